"""Cells on which no mark can depend are left out; all others run."""

from __future__ import annotations

from dataclasses import replace

import nbformat
import pytest
from builders import assignment, cell, notebook, printed, source, submission

from grader.grade import grade
from grader.needed import effects, mark

ANSWER = cell("def add(a, b):\n    return a + b", "add", solution=True)
TEST = cell("assert add(1, one) == 2", "add-tests", points=1)


def kept(*sources: str) -> list[int]:
    """Return which of these cells of the course run before a student's answer and a test."""
    own = [cell(text, id=f"own-{n}") for n, text in enumerate(sources)]
    cells = [*own, ANSWER, TEST]
    return sorted(mark(cells, {one.id for one in own}) - {len(own), len(own) + 1})


@pytest.mark.parametrize(
    "showing",
    [
        "print(add)",
        "fig, ax = plt.subplots()\nax.plot([2, 3])\nplt.show()",
        "two = 2\nthree = two + 1",
        "for one_more in range(3):\n    print(one_more)",
        "def show(one):\n    return one",
        "squares = [one for one in range(3)]",
        "rng = np.random.default_rng(0)\nrng.normal()",
        "x = np.zeros(3)\nx[0] = 1",
        "walk(add, [add], {'add': add}.items(), steps=one)",
        "def fill(one):\n    one.append(3)\n    one[0] = 3\n    f(one)",
        "fill = lambda one: f(one)",
        "import itertools\npairs = list(itertools.product([1], repeat=2))",
        "draw = torch.Generator().manual_seed(one)",
        "torch.manual_seed(0)\nnp.random.seed(0)",
        "net = nn.Linear(2, 3).eval()\nwith torch.no_grad():\n    loss = F.relu(net(x))",
        "def bare(net):\n    setattr(net, 'norm', nn.Identity())\n    return net",
        "torch.set_num_threads(1)",
        "# nothing",
    ],
)
def test_what_only_shows_is_left_out(showing: str) -> None:
    assert kept("one = 1", showing) == [0]


@pytest.mark.parametrize(
    "counts",
    [
        "one = 1",
        "one += 1",
        "import numpy as one",
        "from math import pi as one",
        "one: int = 1",
        "with open_it() as one:\n    pass",
        "for one in range(3):\n    pass",
        "if True:\n    one = 1",
        "(one := 1)",
        "def one():\n    pass",
        "class one:\n    pass",
        "del one",
        "def set_it():\n    global one\n    one = 2\nset_it()",
        "try:\n    pass\nexcept OSError as one:\n    pass",
        "one.append(3)",
        "one[0] = 3",
        "one.x = 3",
        "setattr(one, 'x', 3)",
        "train(one)",
        "losses = train(data, net=one)",
        "first = [one]\nfill(*first, one)",
        "np.random.shuffle(two)",
        "import random\nrandom.shuffle([1])",
        "torch.set_default_dtype(torch.float64)",
        "plt.rcParams['figure.dpi'] = 50",
        "import os\nos.environ['X'] = '1'",
        "exec('one = 1')",
        "globals()['one'] = 1",
        "from somewhere import *",
        "%matplotlib inline",
        "!ls",
        "def broken(:",
        "open('file', 'w').write('x')",
    ],
)
def test_what_can_change_a_mark_runs(counts: str) -> None:
    assert 1 in kept("unrelated = 0", counts)


@pytest.mark.parametrize(
    "reads",
    [
        "globals()['helper']",
        "f = lambda: eval('helper')",
        "import builtins\nbuiltins.eval('helper')",
        "look = __builtins__.eval\nlook('helper')",
        "import __main__",
        "helper_of = one.__globals__",
        "%timeit helper",
    ],
)
def test_who_reads_names_that_are_written_nowhere_has_them_all(reads: str) -> None:
    helper, answer = cell("helper = 1", id="n0"), cell(reads, id="answer")
    assert mark([helper, answer], {"n0"}) == {0, 1}
    harmless = cell("y = 1", id="answer")
    assert mark([helper, harmless], {"n0"}) == {1}


@pytest.mark.parametrize(
    ("makes", "changes"),
    [
        ("one = np.zeros(3)", "train(one)"),
        ("one = np.zeros(3)", "train(one.ravel())"),
        ("one = np.zeros(3)", "train(box.one)\nfill(one[0])"),
        ("one = make()", "walk(one)"),  # a function, or an object that can be called
        ("class one:\n    kept = []", "one.kept.append(3)"),
        ("class one:\n    kept = []", "one.keep(3)"),
        ("def one(): pass", "one.calls = 3"),
        ("one = 1", "fill = lambda: one.append(3)"),
        ("one = [1]\none = 1", "for two in one:\n    fill(one)"),
    ],
)
def test_what_can_change_an_object_runs(makes: str, changes: str) -> None:
    assert kept(makes, changes) == [0, 1]


def test_who_only_looks_at_the_environment_changes_nothing() -> None:
    assert 1 not in kept("x = 1", "import os\nshown = 'X' in os.environ or os.environ.get('Y')")
    assert 1 in kept("x = 1", "import os\nos.environ.setdefault('Y', 'os.environ.get')")


def test_what_a_needed_cell_needs_runs_too_and_what_is_bound_anew_does_not() -> None:
    assert kept("base = 1", "one = base", "base = 2") == [0, 1]
    assert kept("one = 5", "one = 1") == [1]
    assert kept("def helper(): return limit", "limit = 1", "one = helper()") == [0, 1, 2]


def test_a_default_is_read_where_a_function_is_made() -> None:
    found = effects("def f(x=start):\n    return x + late\ng = lambda x: x + too")
    assert (found.uses, found.later) == ({"start"}, {"late", "too"})


def test_a_student_s_cell_always_runs_and_a_changed_one_is_a_student_s() -> None:
    shown = cell("print('shown')", id="shown")
    setup = cell("one = 1", id="setup")
    unit = replace(assignment(source(setup, shown, ANSWER, TEST)), lean=True)

    def output(*cells: nbformat.NotebookNode) -> list[str]:
        graded = grade(unit, submission(hw=notebook(*cells)))
        assert graded.score == 1
        executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
        return [printed(one) for one in executed.cells if one.cell_type == "code"]

    assert output(setup, shown, ANSWER, TEST) == [""] * 4
    changed = cell("print('changed')", id="shown")
    assert "changed\n" in output(setup, changed, ANSWER, TEST)
    added = cell("print('added')", id="added")
    assert "added\n" in output(setup, shown, added, ANSWER, TEST)


def test_a_cell_that_is_left_out_says_so() -> None:
    shown = cell("print('shown')", id="shown")
    setup = cell("one = 1", id="setup")
    unit = replace(assignment(source(setup, shown, ANSWER, TEST)), lean=True)
    graded = grade(unit, submission(hw=notebook(setup, shown, ANSWER, TEST)))
    executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
    assert [c.metadata["judged"]["status"] for c in executed.cells] == [
        "ok",
        "not needed",
        "ok",
        "ok",
    ]
    assert graded.notes == ()
