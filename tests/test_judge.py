"""Test cells run in a judge's kernel: whole submissions, from cells to proofs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from builders import isolates, printed, strangers, wait_until_gone
from nbformat import NotebookNode

from grader import engine, launch
from grader.errors import SandboxError
from grader.judge.kernel import JudgedCells
from grader.model import Limits

QUICK = Limits(cell_seconds=5, submission_seconds=60, output_bytes=100_000)
PRELUDE = ("import numpy as np", "import pytest", "from grader import check")
SECRET = "424242"

pytestmark = isolates


def hidden(body: str) -> str:
    """A test cell whose lines are all hidden."""
    return f"### BEGIN HIDDEN TESTS\n{body}\n### END HIDDEN TESTS"


def judged(
    folder: Path,
    *cells: tuple[str, str] | str,
    limits: Limits = QUICK,
    sandbox: bool = True,
    seed: int = 0,
    **tests: Any,
) -> list[NotebookNode]:
    """Run cells; ("test", source) are the judge's, ("test name", source) have an id."""
    nodes, ids = [], []
    for n, given in enumerate(cells):
        kind, source = ("cell", given) if isinstance(given, str) else given
        node = nbformat.v4.new_code_cell(source, id=kind.partition(" ")[2] or f"{kind}-{n}")
        nodes.append(node)
        ids += [node.id] if kind.startswith("test") else []
    notebook = nbformat.v4.new_notebook(cells=nodes)
    for name in ("student", "judge"):
        (folder / name).mkdir(exist_ok=True)
    chosen = JudgedCells(frozenset(ids), PRELUDE, folder / "judge", seed, **tests)
    executed = engine.run(
        notebook, folder / "student", limits, {}, sandbox=sandbox, tests=chosen, seed=seed
    )
    return list(executed.cells)


def status(cell: NotebookNode) -> str:
    return str(cell.metadata.judged.status)


def error(cell: NotebookNode) -> str:
    return str(cell.metadata.judged.error)


ADD = "def add(a, b):\n    print('adds')\n    return a + b"


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_right_answer_passes_and_a_wrong_one_fails_with_its_bug(
    tmp_path: Path, sandbox: bool
) -> None:
    _, right, wrong, visible = judged(
        tmp_path,
        ADD,
        ("test", "check.close(add(np.ones(2), 1), np.full(2, 2.0))"),
        ("test", "check.close(add(np.ones(2), 1), np.full(2, 3.0), what='add')"),
        ("test", "assert add(1, 2) == 4, 'one and two'"),
        sandbox=sandbox,
    )
    assert status(right) == "ok"
    assert printed(right) == "adds\n"  # shown below the test, and costs nothing
    assert error(wrong).startswith("CheckFailed: add: 2 of 2 values are wrong")
    assert error(visible) == "AssertionError: one and two"
    (shown,) = (o for o in visible.outputs if o.output_type == "error")
    assert "line 1: assert add(1, 2) == 4" in "\n".join(shown.traceback)


@pytest.mark.parametrize(
    "body",
    [
        f"assert add(1, 1) == {SECRET}",
        f"assert add(1, 1) == {SECRET}, check.__name__",
        f"np.testing.assert_allclose(add(1, 1), {SECRET})",
        f"np.testing.assert_array_equal([add(1, 1)], [{SECRET}])",
        f"check.close(add(1, 1), {SECRET}.0)",
        f"check.equal(add(1, 1), {SECRET})",
        f"{{'a': 1}}['{SECRET}']",
        f"raise RuntimeError({SECRET})",
        f"pytest.fail('{SECRET}')",
        f"with pytest.raises(ValueError, match='{SECRET}'): add(1, 1)",
        f"with pytest.raises(ValueError, match='{SECRET}'): fail(1)",
        f"def inner(x={SECRET}):\n    assert add(x, 0) == 1\ninner()",
        f"x = {SECRET}\nfail(x + 1)",
    ],
)
def test_no_hidden_line_and_no_expected_value_is_shown(tmp_path: Path, body: str) -> None:
    answers = "def add(a, b): return a + b\ndef fail(x): raise ValueError('no')"
    _, test = judged(tmp_path, answers, ("test", hidden(body)))
    assert status(test) == "error"
    shown = json.dumps(test.outputs) + error(test)
    assert SECRET not in shown
    assert "in a hidden test" in shown


def test_a_kernel_that_cannot_answer_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "shown", lambda **_: [])  # nothing of ours is in the room
    with pytest.raises(SandboxError, match=r"cannot import grader\.answer"):
        judged(tmp_path, "x = 1", ("test", "assert x == 1"))


def test_the_students_exception_has_the_students_traceback(tmp_path: Path) -> None:
    _, test = judged(
        tmp_path, "def f(x):\n    y = x[0]\n    return y / 0", ("test", hidden("f([1])"))
    )
    assert error(test) == "ZeroDivisionError: division by zero"
    (shown,) = (o for o in test.outputs if o.output_type == "error")
    text = "\n".join(shown.traceback)
    assert "Cell In[1], line 3, in f\n    return y / 0" in text
    assert "f([1])" not in text
    assert "grader" not in text


def test_what_a_test_ends_in_is_partial_credit_and_only_the_judges(tmp_path: Path) -> None:
    forge = """
from IPython import get_ipython
def add(a, b):
    kernel = get_ipython().kernel
    kernel.session.send(kernel.iopub_socket, "execute_result",
        {"data": {"text/plain": "9.0"}, "metadata": {}, "execution_count": 1},
        parent=kernel.get_parent())
    return a + b
"""
    _, half, none = judged(
        tmp_path, forge, ("test", "add(1, 2)\nnp.float64(0.5)"), ("test", "add(1, 2) == 3")
    )
    (result,) = (o for o in half.outputs if o.output_type == "execute_result")
    assert result.data["text/plain"] == "0.5"
    assert not [o for o in none.outputs if o.output_type == "execute_result"]
    assert status(none) == "ok"


def test_names_are_the_tests_own_or_the_students_as_they_are_now(tmp_path: Path) -> None:
    cells = judged(
        tmp_path,
        "f = lambda: 1\nnp = 'not numpy'\nx = [1]",
        ("test", "assert f() == 1\nassert np.ones(1)[0] == 1\nx.append(2)\nkept = 5"),
        "f = lambda: 2\nassert x == [1, 2]\nassert 'kept' not in dir()",
        ("test", "assert f() == 2\nassert kept == 5"),
        ("test", "nowhere(1)"),
    )
    assert [status(cell) for cell in cells] == ["ok"] * 4 + ["error"]
    assert error(cells[4]) == "NameError: name 'nowhere' is not defined"


def test_a_remote_helper_runs_where_the_students_code_runs(tmp_path: Path) -> None:
    source = """
@check.remote
def gradients(net, x):
    net(x).sum().backward()
    return [p.grad for p in net.parameters()]

import torch
net = Net()
w, b = gradients(net, torch.ones(1, 3))
assert w.tolist() == [[1.0, 1.0, 1.0]]
assert [p.grad is not None for p in net.parameters()] == [True, True]
"""
    net = "import torch\nNet = lambda: torch.nn.Linear(3, 1)"
    closed = "def make(n):\n    @check.remote\n    def f(): return n\n    return f\nmake(1)"
    _, test, refused = judged(tmp_path, net, ("test", source), ("test", closed))
    assert status(test) == "ok", error(test)
    assert "sees no names of a function" in error(refused)


def test_where_an_answer_never_ends_the_next_test_is_judged(tmp_path: Path) -> None:
    source = "def forever():\n    while True: pass\ndef add(a, b): return a + b"
    _, endless, after = judged(
        tmp_path,
        source,
        ("test", "forever()"),
        ("test", "assert add(1, 2) == 3"),
        limits=replace(QUICK, cell_seconds=1),
    )
    assert status(endless) == "time limit"
    assert status(after) == "ok"


STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
def forever():
    while True: time.sleep(0.1)
"""


MANY = """
import subprocess, sys, time
def f():
    kept = [subprocess.Popen(["sleep", "60"]) for _ in range(40)]
    time.sleep(60)
"""

CLOSES = """
import os
for fd in range(3, 200):
    try: os.close(fd)
    except OSError: pass
f = 1
"""


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f():\n    import os; os._exit(0)", ("kernel died",)),
        ("def f():\n    import os; os.kill(os.getpid(), 9)", ("kernel died",)),
        ("def f():\n    x = bytearray(900_000_000)\n    x[::4096] = b'x' * len(x[::4096])",
         ("memory limit",)),
        (STUBBORN + "f = forever", ("time limit",)),
        (MANY, ("process limit",)),
        ("def f():\n    while True: print('x' * 1000)", ("output limit",)),
        ("import sys\nsys.modules['grader.answer'] = None\nf = 1", ("no reply",)),
        ("import builtins\nbuiltins.__import__ = None\nf = 1", ("no reply", "not run")),
        (CLOSES,
         ("no reply", "kernel died", "time limit", "not run")),
    ],
    ids=[
        "exits", "kills", "memory", "stubborn", "many", "output", "module", "import", "descriptors"
    ],
)  # fmt: skip
def test_a_dead_or_silent_kernel_ends_the_question(
    tmp_path: Path, source: str, wanted: tuple[str, ...]
) -> None:
    before = strangers()
    # Who is to meet another limit is given the time for it, on a busy machine too.
    seconds = 60 if wanted[0] in ("memory limit", "process limit", "output limit") else 2
    limits = replace(QUICK, cell_seconds=seconds, memory_bytes=400_000_000, processes=30)
    _, test, after = judged(
        tmp_path, source, ("test", "f()"), ("test", "assert f() == 3"), limits=limits
    )
    assert status(test) in wanted, error(test)
    assert test.metadata["judged"]["seconds"] < 50
    assert status(after) != "ok"
    assert wait_until_gone(before)


def test_too_much_to_hand_over_is_an_error_and_the_next_test_is_judged(tmp_path: Path) -> None:
    source = (
        "def huge(): return np.zeros(80_000_000)\ndef add(a, b): return a + b\nimport numpy as np"
    )
    limits = replace(QUICK, cell_seconds=60, submission_seconds=120)
    _, test, after = judged(
        tmp_path, source, ("test", "huge()"), ("test", "assert add(1, 2) == 3"), limits=limits
    )
    assert status(test) == "error"
    assert "MB at once" in error(test)
    assert status(after) == "ok"


def test_what_a_student_wrote_beside_the_notebook_is_not_imported(tmp_path: Path) -> None:
    source = "from pathlib import Path\nPath('helper.py').write_text('x = 1')\nx = 1"
    _, test = judged(tmp_path, source, ("test", "import helper"))
    assert error(test).startswith("ModuleNotFoundError")


def test_the_test_never_enters_the_students_process(tmp_path: Path) -> None:
    spy = """
import gc, sys
seen = []
def look(*args):
    frame = sys._getframe()
    while frame is not None:
        seen.append(repr(frame.f_code.co_consts) + repr(frame.f_locals))
        frame = frame.f_back
    seen.extend(repr(o)[:2000] for o in gc.get_objects() if isinstance(o, (str, tuple, list, dict)))
    return 1
"""
    tell = "print([text[max(0, text.find('5' + '4321') - 50):][:200] for text in seen"
    tell += " if '5' + '4321' in text])"
    _, _, told = judged(tmp_path, spy, ("test", hidden("assert look(7) == 54321")), tell)
    assert status(told) == "ok"
    assert printed(told) == "[]\n"


def test_the_seed_is_the_same_in_every_kernel_of_a_submission(tmp_path: Path) -> None:
    draw = "import random, numpy as np, torch\n"
    draw += "print(random.random(), np.random.rand(), torch.rand(1).item())"
    one, two, other = (
        [printed(cell) for cell in judged(tmp_path, draw, ("test", draw), seed=seed)]
        for seed in (3, 3, 4)
    )
    assert one == two
    assert not set(one[0].split()) & set(other[0].split())
    assert one[0] == one[1]


def test_a_broken_protocol_is_noted_and_wins_nothing(tmp_path: Path) -> None:
    source = """
from grader.answer import Agent
from grader.answer.wire import FRAME, MAGIC
def work(self):
    self.receive()
    self.connection.sendall(b"everything is fine" * 100)
Agent.work = work
"""
    cells = judged(tmp_path, source, ("test", "f()"), ("test", "f()"))
    assert [status(cell) for cell in cells[1:]] == ["error", "error"]
    assert error(cells[1]).startswith("NoAnswer")


WORLD = (("setup", "import numpy as np"), ("mean", "def mean(x):\n    return sum(x) / len(x)"))
WRONG = (
    ("forgets_to_divide", "def mean(x):\n    return sum(x)"),
    ("drops_last", "def mean(x):\n    return sum(x[:-1]) / len(x)"),
    ("never_ends", "def mean(x):\n    while True: pass"),
    ("not_python", "def mean(x):"),
)


@pytest.mark.parametrize(
    ("answer", "explained"),
    [
        ("def mean(x):\n    total = 0\n    for v in x: total += v\n    return total",
         ["forgets_to_divide"]),
        ("def mean(x):\n    return np.sum(x[:-1]) / len(x)", ["drops_last"]),
        ("def mean(x):\n    return 17.0", []),
    ],
)  # fmt: skip
def test_a_known_mistake_explains_a_wrong_answer(
    tmp_path: Path, answer: str, explained: list[str]
) -> None:
    test = "for n in (1, 3, 4):\n    check.close(float(mean(list(range(1, n + 1)))), (n + 1) / 2)"
    _, cell = judged(
        tmp_path,
        f"import numpy as np\n{answer}",
        ("test mean-all", test),
        worlds={"mean": WORLD},
        wrong={"mean-all": ("mean", WRONG)},
    )
    assert status(cell) == "error", error(cell)
    assert cell.metadata.explained == explained


def test_an_object_is_explained_by_what_its_methods_answer(tmp_path: Path) -> None:
    right = """
class Layer:
    def __init__(self, w): self.w = w
    def forward(self, x):
        self.x = x
        return self.w * x
    def backward(self, dy):
        self.dw = (dy * self.x).sum()
        return dy * self.w
"""
    wrong = right.replace("return dy * self.w", "return dy")
    test = """
layer = Layer(3.0)
check.close(layer.forward(np.arange(3.0)), 3 * np.arange(3.0))
check.close(layer.backward(np.ones(3)), np.full(3, 3.0))
"""
    _, cell = judged(
        tmp_path,
        wrong.replace("self.w = w", "self.w = float(w)"),
        ("test layer-all", test),
        worlds={"layer": (("setup", "import numpy as np"), ("layer", right))},
        wrong={"layer-all": ("layer", (("forgets_w", wrong), ("other", right)))},
    )
    assert cell.metadata.explained == ["forgets_w"]


def test_who_draws_from_the_global_generator_is_told_so(tmp_path: Path) -> None:
    right = "def draw(n, rng):\n    return rng.standard_normal(n)"
    wrong = "def draw(n, rng):\n    return np.random.standard_normal(n)"
    test = """
same = [draw(3, np.random.default_rng(5)) for _ in range(2)]
check.close(same[1], same[0])
"""
    cells = judged(
        tmp_path,
        "import numpy as np, random\ndef draw(size, rng):\n    return np.random.randn(size)",
        "np.random.rand(7)",
        ("test draw-first", "draw(1, None)"),
        ("test draw-all", test),
        worlds={"draw": (("setup", "import numpy as np"), ("draw", right))},
        wrong={"draw-all": ("draw", (("other", right), ("global_random", wrong)))},
    )
    assert cells[-1].metadata.explained == ["global_random"]


def test_what_an_answer_draws_does_not_depend_on_what_ran_before(tmp_path: Path) -> None:
    test = ("test", "print(draw())")
    start = "import numpy as np\ndef draw(): return np.random.rand()"
    after = [printed(judged(tmp_path, start, more, test)[-1]) for more in ("1", "draw()")]
    assert after[0] == after[1]
    spoilt = "np.random.seed = None"
    assert status(judged(tmp_path, start, spoilt, test)[-1]) == "ok"
