"""A person's own notebook: checks show green or red, and how far the unit is.

`grader.check` begins this in a kernel that Jupyter Server started for a person's session, and
nowhere else: not where papermill, nbclient or nbgrader run a notebook, and not where we grade.
It changes what is shown of a cell, never what happens in it.

    passed            a check mark, and a line on the unit
    failed            a cross, what `grader.check` or the test's author says, and which check it was
    not written yet   a circle, and whose
    any other error   a cross, which check it was, and the student's own part of the traceback
"""

import ast
import contextlib
import html
import linecache
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from grader.check.failures import CheckFailed
from grader.check.unit import (
    Unit,
    line,
    load_passed,
    progress,
    read_unit,
    save_passed,
)

WIDEST = 90  # characters of a line of code that is quoted

# White signs on colours that are dark enough for them: the same on a light and a dark screen.
CROSS, CIRCLE = "\x1b[38;5;231;48;5;124m ✗ \x1b[0m", "\x1b[38;5;231;48;5;94m ○ \x1b[0m"
GREEN = "#2e7d32"
BOX = """
<div style="border-left: 4px solid {green}; padding: 2px 12px; line-height: 1.5">
<div><span style="background: {green}; color: white; padding: 0 0.5em" aria-hidden="true">✓</span>
<b>{name}</b> passed, {points}</div>
<div style="font-size: 90%"><span aria-hidden="true" style="display: inline-block;
width: 120px; height: 7px; margin-right: 8px; border: 1px solid {green}; border-radius: 4px"><span
style="display: block; width: {percent}%; height: 100%; background: {green}"></span></span>
{line}</div>
</div>
"""


class Session:
    """What is shown in one kernel's notebook."""

    def __init__(self, shell: Any, unit: Unit) -> None:
        self.shell = shell
        self.unit = unit
        self.passed = load_passed(unit) or set()
        self.cell = ""  # the id of the one that runs, which is a test cell's name

    def before(self, info: Any) -> None:
        """IPython's pre_run_cell."""
        self.cell = info.cell_id or ""

    def after(self, result: Any) -> None:
        """IPython's post_run_cell."""
        test = self.cell
        if test not in self.unit.tests:
            return
        stored = load_passed(self.unit)  # `grader try` writes there too
        self.passed = self.passed if stored is None else stored
        known = set(self.passed)
        self.passed = self.passed | {test} if result.success else self.passed - {test}
        if self.passed != known:
            save_passed(self.unit, self.passed)
        if result.success:
            self.shell.display_pub.publish(
                {"text/plain": self.text(test), "text/html": self.box(test)}
            )

    def text(self, test: str) -> str:
        """Return what is shown of a test that passed."""
        return f"✓ {title(test)}: passed, {self._points(test)}\n  {line(self.unit, self.passed)}"

    def box(self, test: str) -> str:
        """Return the same as HTML."""
        done = progress(self.unit, self.passed)
        return BOX.format(
            green=GREEN,
            name=html.escape(title(test)),
            points=self._points(test),
            percent=round(100 * done.points / (done.all_points or 1)),
            line=html.escape(line(self.unit, self.passed)),
        )

    def _points(self, test: str) -> str:
        points = self.unit.tests[test]
        return f"{points:g} point{'s' if points != 1 else ''}"

    # ---- what went wrong --------------------------------------------------------------------

    def failed(
        self,
        shell: Any,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType,
        tb_offset: int | None = None,
    ) -> None:
        """IPython's handler of exceptions that end a cell."""
        lines: list[str] = []
        with contextlib.suppress(Exception):  # what explains an error must not become one
            lines = self.words(error, trace)
        if lines:
            object.__setattr__(error, "_render_traceback_", lambda: lines)  # it may be frozen
        shell.showtraceback((kind, error, trace), running_compiled_code=True)

    def words(self, error: BaseException, trace: TracebackType) -> list[str]:
        """Return what is told of an error; nothing where IPython's own words are right."""
        every = list(_chain(trace))
        frames = [one for one in every if self._is_of_a_cell(one)]
        if not frames:
            return []
        stub = every[-1].tb_frame.f_code
        if (
            type(error) is NotImplementedError
            and not error.args
            and every[-1] is frames[-1]
            and stub.co_name != "<module>"
        ):
            return [f"{CIRCLE} {stub.co_qualname}: not written yet"]
        if self.cell not in self.unit.tests:
            return []
        here = frames[0].tb_frame.f_code.co_filename
        asked = [one for one in frames if one.tb_frame.f_code.co_filename == here]
        where = _statement("".join(linecache.getlines(here)), asked[-1].tb_lineno)
        own = next((one for one in frames if one.tb_frame.f_code.co_filename != here), None)
        if isinstance(error, AssertionError) and (isinstance(error, CheckFailed) or own is None):
            said = str(error).strip().splitlines() or [f"{title(self.cell)}: this does not hold"]
            return [f"{CROSS} {said[0]}", *said[1:], where]
        first = (str(error).strip().splitlines() or [""])[0]
        line = f"{CROSS} {title(self.cell)}: stopped by {type(error).__name__}"
        line += f": {first[:WIDEST]}" if first else ""
        if own is None:
            return [line, where]
        theirs = self.shell.InteractiveTB.structured_traceback(type(error), error, own, tb_offset=0)
        return [line, where, *theirs]

    def _is_of_a_cell(self, trace: TracebackType) -> bool:
        file = trace.tb_frame.f_code.co_filename
        return self.shell.compile.format_code_name(file) is not None


def _chain(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _statement(source: str, line: int) -> str:
    """Return which statement of a test is there, in one line."""
    around = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    text = ast.unparse(max(around, key=lambda node: node.lineno)).splitlines()[0]
    return f"in the test, line {line}: {text[:WIDEST]}{' ...' if len(text) > WIDEST else ''}"


def title(test: str) -> str:
    """Return what a test cell is called: "conv2d, stride"."""
    exercise, _, part = test.rpartition("-")
    return test if not exercise else exercise if part == "tests" else f"{exercise}, {part}"


def begin() -> None:
    """Begin, if this is a person's notebook of a unit."""
    shell = sys.modules["IPython"].get_ipython()
    unit = read_unit(Path(os.environ["JPY_SESSION_NAME"]))
    if shell is None or unit is None or not hasattr(shell, "kernel"):
        return
    session = Session(shell, unit)
    shell.events.register("pre_run_cell", session.before)
    shell.events.register("post_run_cell", session.after)
    shell.set_custom_exc((Exception,), session.failed)
    # Figures for screens with small pixels.
    shell.config.InlineBackend.setdefault("figure_formats", {"retina"})
