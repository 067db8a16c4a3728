"""What it costs that tests run in a process of their own.

    python bench/judge.py

One question and its answer, for values of several sizes, between two processes; and whole test
cells, run by a judge's kernel and in the student's own kernel, side by side in one run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from rich.console import Console
from rich.table import Table

from grader import engine
from grader.answer import Agent
from grader.judge.kernel import JudgedCells
from grader.judge.references import Judge
from grader.model import Limits

ANSWERS = """
import numpy as np
def same(x): return x
def total(x): return float(x.sum())
def inplace(x): x += 1
def calls(f, n):
    for _ in range(n): f(1.0)
"""
CELLS = 40
out = Console(width=100)


@contextlib.contextmanager
def student() -> Iterator[Callable[[str], Any]]:
    """A process that answers, and the way to its names."""
    near, far = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        near.close()
        namespace: dict[str, Any] = {}
        exec(ANSWERS, namespace)
        with contextlib.suppress(BaseException):
            Agent(far, namespace).work()
        os._exit(0)
    far.close()
    judge = Judge(near)
    yield lambda name: dict(judge.question("names", (name,)))[name]
    judge.end()
    near.close()
    os.waitpid(pid, 0)


def median_ms(act: Callable[[], Any], times: int) -> float:
    """Return the median of `times` runs, in milliseconds, after a few to warm up."""
    taken = []
    for n in range(times + 3):
        began = time.perf_counter()
        act()
        if n >= 3:
            taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def round_trips() -> Table:
    """Return what one question costs."""
    table = Table(title="One question and its answer", title_justify="left")
    table.add_column("what")
    table.add_column("ms", justify="right")
    with student() as ask:
        same, total, inplace = ask("same"), ask("total"), ask("inplace")
        table.add_row("a number there and back", f"{median_ms(lambda: same(1.0), 2000):.3f}")
        for shape in ((3, 3), (32, 32), (64, 3, 32, 32)):
            x = np.ones(shape)
            size = f"{x.nbytes / 1000:g} kB"
            for name, function in (("there", total), ("there and back", lambda x: same(x) + 0)):
                cost = median_ms(lambda f=function, x=x: f(x), 200)
                table.add_row(f"float64 {shape}, {size}, {name}", f"{cost:.3f}")
            cost = median_ms(lambda x=x: inplace(x), 200)
            table.add_row(f"float64 {shape}, {size}, there, and the change back", f"{cost:.3f}")
        calls = ask("calls")
        cost = median_ms(lambda: calls(lambda value: value, 100), 20) / 100
        table.add_row("the student's function calls the test's", f"{cost:.3f}")
    return table


def test_cells() -> Table:
    """Return what a whole test cell costs, in milliseconds of wall time."""
    table = Table(title=f"A test cell of one line, median of {CELLS}", title_justify="left")
    for column in ("kernels", "first cell, ms", "each other, ms"):
        table.add_column(column, justify="left" if column == "kernels" else "right")
    for judged in (False, True):
        setup = nbformat.v4.new_code_cell("import numpy as np\ndef add(a, b): return a + b")
        line = "import numpy as np\nassert add(np.ones(3), 1)[0] == 2"
        cells = [nbformat.v4.new_code_cell(line, id=f"test-{n}") for n in range(CELLS)]
        notebook = nbformat.v4.new_notebook(cells=[setup, *cells])
        ids = frozenset(cell.id for cell in cells)
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            engine.run(nbformat.v4.new_notebook(cells=[setup]), Path(one), Limits(), {})
            tests = JudgedCells(ids, ("import numpy as np",), Path(two)) if judged else None
            executed = engine.run(notebook, Path(one), Limits(), {}, tests=tests)
        assert all(c.metadata.judged.status == "ok" for c in executed.cells)
        taken = [1000 * c.metadata.judged.seconds for c in executed.cells[1:]]
        name = "the student's and the judge's" if judged else "the student's alone"
        table.add_row(name, f"{taken[0]:.0f}", f"{statistics.median(taken[1:]):.1f}")
    return table


if __name__ == "__main__":
    out.print(round_trips())
    out.print(test_cells())
