"""Every cell runs, past errors, within limits; how it ended is proved by the kernel's reply."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from builders import QUICK, cell, content, notebook, printed, run, statuses
from nbformat import NotebookNode

from grader import engine
from grader.engine import Proof
from grader.model import Limits

HASTY = Limits(cell_seconds=2, submission_seconds=60, output_bytes=100_000)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for kernels that will not answer."""
    monkeypatch.setattr(engine, "GRACE", 1.0)


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "cold"])
def test_every_cell_runs_past_errors(tmp_path: Path, sandbox: bool) -> None:
    executed = run(
        "1 / 0",
        "print('here')",
        "raise ValueError('no')",
        "def f(:",
        "import sys; sys.exit(3)",
        "input('name? ')",
        "%time x = 5",
        "import asyncio; await asyncio.sleep(0)",
        "",
        "print(x, __name__)",
        folder=tmp_path,
        sandbox=sandbox,
    )
    ok, error = "ok", "error"
    assert statuses(executed) == [error, ok, error, error, error, error, ok, ok, ok, ok]
    errors = [c.metadata["judged"]["error"] for c in executed.cells]
    assert errors[0] == "ZeroDivisionError: division by zero"
    assert errors[2] == "ValueError: no"
    assert errors[3].startswith("SyntaxError: invalid syntax")
    assert errors[4] == "SystemExit: 3"
    assert errors[5].startswith("StdinNotImplementedError")
    assert errors[1] == errors[-1] == ""
    assert printed(executed.cells[1]) == "here\n"
    assert printed(executed.cells[-1]) == "5 __main__\n"
    assert all(c.metadata["judged"]["seconds"] >= 0 for c in executed.cells)
    assert executed.metadata.keys() <= {"kernelspec", "language_info"}  # nothing of papermill's
    assert all(c.metadata.keys() == {"judged"} for c in executed.cells)
    nbformat.validate(executed)


def test_skip_execution_does_not_skip(tmp_path: Path) -> None:
    tagged = cell("1 / 0", id="t", tags=["skip-execution", "raises-exception"])
    executed = run(tagged, "print(1)", folder=tmp_path)
    assert statuses(executed) == ["error", "ok"]


def test_a_cell_that_takes_too_long_is_interrupted_and_the_next_ones_run(tmp_path: Path) -> None:
    executed = run("import time", "time.sleep(60)", "print(1)", limits=HASTY, folder=tmp_path)
    assert statuses(executed) == ["ok", "time limit", "ok"]
    assert executed.cells[1].metadata["judged"]["seconds"] < 20


def test_a_cell_that_ignores_interrupts_costs_the_cells_after_it(
    tmp_path: Path, impatient: None
) -> None:
    stubborn = (
        "import time\nwhile True:\n    try:\n        time.sleep(9)\n"
        "    except KeyboardInterrupt:\n        pass"
    )
    executed = run("print(1)", stubborn, "print(2)", limits=HASTY, folder=tmp_path)
    assert statuses(executed) == ["ok", "time limit", "not run"]
    assert "could not be interrupted" in executed.cells[1].metadata["judged"]["error"]
    assert [o.output_type for o in executed.cells[2].outputs] == ["error"]


def test_the_time_of_the_whole_notebook_is_limited(tmp_path: Path) -> None:
    limits = Limits(cell_seconds=60, submission_seconds=2)
    executed = run("import time", "time.sleep(60)", "print(1)", limits=limits, folder=tmp_path)
    assert statuses(executed) == ["ok", "time limit", "not run"]


@pytest.mark.parametrize("end", ["import os; os._exit(0)", "import ctypes; ctypes.string_at(0)"])
def test_a_dead_kernel_is_told(tmp_path: Path, end: str) -> None:
    executed = run("x = 1", end, "print(x)", folder=tmp_path)
    assert statuses(executed) == ["ok", "kernel died", "not run"]


def test_endless_output_is_cut_and_the_next_cells_run(tmp_path: Path) -> None:
    executed = run(
        "import time\nwhile True:\n    print('x' * 1000)\n    time.sleep(0.001)",
        "print('after')",
        limits=replace(HASTY, cell_seconds=30),
        folder=tmp_path,
    )
    assert statuses(executed) == ["output limit", "ok"]
    assert len(nbformat.writes(executed)) < 3 * HASTY.output_bytes
    assert printed(executed.cells[1]) == "after\n"


def test_who_prints_without_end_is_stopped_before_the_time_is_over(tmp_path: Path) -> None:
    """Its messages are larger than any that is received: they break the connection, uncounted."""
    limits = replace(HASTY, cell_seconds=60, submission_seconds=120)
    executed = run("while True: print('x' * 1000)", limits=limits, folder=tmp_path)
    assert statuses(executed) == ["output limit"]
    assert executed.cells[0].metadata["judged"]["seconds"] < 50


@pytest.mark.parametrize(
    "flood",
    [
        "print('x' * 150_000_000)",
        "raise ValueError('x' * 150_000_000)",
        "while True: print('x' * 1000)",
    ],
)
def test_the_grader_s_memory_stays_flat_under_a_flood(
    tmp_path: Path, impatient: None, flood: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    executed = run(flood, limits=replace(HASTY, cell_seconds=2), folder=tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # kB
    assert len(nbformat.writes(executed)) < 3 * HASTY.output_bytes


def test_a_long_error_is_kept_short(tmp_path: Path) -> None:
    executed = run("raise ValueError('x' * 50_000)", folder=tmp_path)
    assert len(executed.cells[0].metadata["judged"]["error"]) < 2100


def test_text_that_no_file_can_hold_does_not_cost_the_notebook(tmp_path: Path) -> None:
    executed = run(
        "print('\\ud800')", "'\\ud800'", "raise ValueError('\\ud800')", "print(1)", folder=tmp_path
    )
    assert statuses(executed)[-1] == "ok"
    assert nbformat.writes(executed).encode("utf-8")


PARENT = "k = get_ipython().kernel\nident = [i for i in k._parent_ident.values() if i][-1]\n"
SABOTAGE = {
    "showtraceback": "get_ipython().showtraceback = lambda *a, **k: None",
    "excepthook": "import sys; sys.excepthook = lambda *a: None",
    "forged_reply": PARENT
    + "k.session.send(k.shell_stream.socket, {'header': k.session.msg_header('execute_reply'),"
    " 'msg_id': '1', 'msg_type': 'execute_reply', 'parent_header': [1], 'metadata': {},"
    " 'content': {}}, ident=ident)",
    "garbage": PARENT + "k.shell_stream.socket.send_multipart([*ident, b'garbage'])",
    "garbage_output": PARENT + "k.iopub_socket.send_multipart([b'garbage'])",
}


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_an_error_stays_an_error_after_sabotage(tmp_path: Path, sabotage: str) -> None:
    executed = run(SABOTAGE[sabotage], "1 / 0", "print(1)", folder=tmp_path)
    assert statuses(executed)[1:] == ["error", "ok"]
    assert executed.cells[1].metadata["judged"]["error"] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "broken", ["k.do_execute = None", "k.session.send = lambda *a, **b: None", "k.session = None"]
)
def test_a_kernel_that_answers_no_more_is_ended(
    tmp_path: Path, impatient: None, broken: str
) -> None:
    executed = run(f"k = get_ipython().kernel\n{broken}", "1", "2", limits=HASTY, folder=tmp_path)
    assert set(statuses(executed)[1:]) <= {"no reply", "time limit", "not run"}
    assert statuses(executed)[-1] == "not run"


def test_a_cold_kernel_runs_in_its_folder_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("number = 7")
    executed = run(
        "import beside, os, subprocess, sys\nprint(beside.number, os.getcwd())",
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
        "print(p.pid)",
        folder=tmp_path,
        sandbox=False,
    )
    assert printed(executed.cells[0]).split() == ["7", str(tmp_path.resolve())]
    process = Path(f"/proc/{printed(executed.cells[2]).strip()}/stat")
    for _ in range(50):
        if not process.exists() or process.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("a process that the notebook started is still there")


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "cold"])
def test_the_kernel_is_not_told_that_it_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: bool
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    executed = run("import os; print(sorted(os.environ))", folder=tmp_path, sandbox=sandbox)
    names = printed(executed.cells[0])
    assert ("SOMETHING_ELSE" in names) is not sandbox
    for name in ("NBGRADER", "PYTEST", "PAPERMILL", "'CI'", "PYTHONPATH"):
        assert name not in names
    node = notebook("import os; print(os.environ['A'])")
    engine.run(node, tmp_path, QUICK, {"A": "b"}, sandbox=sandbox)
    assert printed(node.cells[0]) == "b\n"


def test_a_python_notebook_of_an_unknown_kernel_runs_in_ours(tmp_path: Path) -> None:
    node = notebook("print(1)")
    node.metadata["kernelspec"] = {"name": "conda-env-somebody-py", "display_name": "x"}
    assert statuses(engine.run(node, tmp_path, QUICK, {})) == ["ok"]


def test_a_kernel_that_does_not_start_leaves_no_cell_without_proof(tmp_path: Path) -> None:
    node = notebook("print(1)")
    with pytest.raises(FileNotFoundError):
        engine.run(node, tmp_path / "nowhere", QUICK, {})
    assert statuses(node) == [Proof.NOT_RUN]


def test_papermill_can_be_told_to_use_it(tmp_path: Path) -> None:
    parameters = cell("x = 1", id="p", tags=["parameters"])
    (tmp_path / "in.ipynb").write_bytes(content(notebook(parameters, "1 / 0", "print(x)")))
    command = [sys.executable, "-m", "papermill", "--engine", "judged", "-p", "x", "5"]
    done = subprocess.run(
        [*command, "in.ipynb", "out.ipynb"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},  # and nothing on PATH
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1  # papermill's word for a notebook with an error in it
    assert "ZeroDivisionError" in done.stderr
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert statuses(executed) == ["ok", "ok", "error", "ok"]
    assert printed(executed.cells[-1]) == "5\n"


def test_it_can_be_used_where_an_event_loop_is_running(tmp_path: Path) -> None:
    """As papermill is from a notebook."""

    async def in_a_notebook() -> NotebookNode:
        return run("1 + 1", folder=tmp_path)

    executed = asyncio.run(in_a_notebook())
    assert executed.cells[0].metadata["judged"]["status"] == Proof.OK
