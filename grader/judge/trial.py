"""Runs test cells in the judge's kernel, one after the other.

What a cell needs and no test has defined is looked up in the student's kernel; modules are the
judge's own. What a failure says is what the test's author meant to say: a message of `check` or of
an assert, and where in the student's code. Lines of hidden tests are never shown, nor what a
library says of the values there.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import socket
import symtable
import sys
import types
from collections.abc import Iterator
from typing import Any

from grader import check
from grader.answer import dice
from grader.answer.wire import Gone, WireError
from grader.check import CheckFailed
from grader.judge.explain import Trace, explain, populated
from grader.judge.references import AnswerError, Judge, is_reference

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
MAX_MESSAGE = 4000  # characters
FILE = "<test>"

# What these say is of Python's machinery, not of the values that a test expects.
TELLING = (
    TypeError,
    AttributeError,
    NameError,
    ValueError,
    IndexError,
    ZeroDivisionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)


_BUILTINS = frozenset(dir(builtins))


class Failed(Exception):
    """A test cell did not pass; subclasses are named by the exception that ended it.

    Attributes:
        lines: what is shown of it.
    """

    lines: list[str]

    def _render_traceback_(self) -> list[str]:  # IPython's way to ask
        return self.lines


class Trial:
    """The judge's side of one submission.

    Attributes:
        notes: what was tried, for the teacher.
    """

    def __init__(self, descriptor: int, prelude: list[str], seed: int) -> None:
        """Begin.

        Args:
            descriptor: a socket; the student's kernel is at its other end.
            prelude: the import statements of the lesson.
            seed: for what tests and answers draw without a generator of their own.
        """
        self.judge = Judge(socket.socket(fileno=descriptor))
        self.notes = self.judge.notes
        self.trace = Trace()
        self._prelude = prelude
        self._seed = seed  # of the next test
        self._before = dice.Dice()  # of the test that ran last
        self._asked = self.judge  # by the test that runs
        self._lost = ""
        self._tree = ast.parse("")
        self._worlds: dict[str, dict[str, Any]] = {}  # by exercise
        self._explained: dict[str, set[str]] = {}
        # A module, so that dataclasses and pickles of a test's find where they are from.
        home = sys.modules["__test__"] = types.ModuleType("__test__")
        self._names = home.__dict__
        check.remote = self.remote
        for statement in prelude:
            with contextlib.suppress(ImportError):  # the test will say so where it needs it
                exec(compile(statement, "<imports>", "exec"), self._names)

    def hear(self, source: str) -> Any:
        """Run a test cell, and return the number that it ends in, if any.

        Raises:
            Failed: it did not pass.
        """
        hidden = hidden_lines(source)
        dice.seed(self._seed)
        self._before = dice.Dice()
        self.trace = Trace()
        self.judge.listener = self.trace.listen
        try:
            with self._answers():
                # What an answer draws depends on the test alone, not on what ran before, and can
                # be drawn again. Who has spoilt the generators keeps them as they are.
                with contextlib.suppress(AnswerError):
                    self.judge.question("seed", self._seed)
                self._seed += 1
                return self._run(self.judge, source)
        except BaseException as error:
            if isinstance(error, WireError) and not isinstance(error, Gone):
                self._lost = "what the student's code answered could not be read"
                self.notes.append(f"the protocol of answers was broken: {error}")
            elif isinstance(error, Gone):
                self._lost = self._lost or "the student's code does not answer any longer"
            raise failure(error, source, hidden, self._lost) from None

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Let the student's side go when the test has ended."""
        if self._lost:
            raise Gone(self._lost)
        try:
            yield
        finally:
            with contextlib.suppress(WireError):
                self.judge.end()

    def explain(
        self,
        source: str,
        world: list[tuple[str, str]],
        exercise: str,
        wrong: list[tuple[str, str]],
    ) -> list[str]:
        """Return the misconceptions that explain why the last test, `source`, failed."""

        def run(judge: Judge) -> None:
            names = dict(self._names)
            self._before.restore()
            try:
                self._run(judge, source)
            finally:
                self._names.clear()
                self._names.update(names)

        if exercise not in self._worlds:
            self._worlds[exercise] = populated(world)
        # What explained an earlier test of the exercise; where nothing did, anything may.
        likely = self._explained.get(exercise) or {name for name, _ in wrong}
        known = [(name, text) for name, text in wrong if name in likely]
        after = dice.Dice()
        found = explain(self.trace.steps, self._worlds[exercise], known, run)
        after.restore()
        self._explained[exercise] = set(found) or likely
        return found

    def _run(self, judge: Judge, source: str) -> Any:
        self._asked = judge
        self._tree = ast.parse(source, FILE)
        wanted = sorted(_free(source) - self._names.keys())
        answered = judge.question("names", tuple(wanted)) if wanted else ()
        found = {name: value for name, value in answered if name in wanted}
        del answered
        self._names.update(found)
        body, last = list(self._tree.body), None
        end = body[-1] if body else None
        if isinstance(end, ast.Expr):
            body.pop()
            last = ast.Expression(end.value)
        try:
            exec(compile(ast.Module(body, []), FILE, "exec"), self._names)
            if last is not None:
                return _number(eval(compile(last, FILE, "eval"), self._names))
            return None
        finally:
            # The student may define them anew before the next test.
            for name, value in found.items():
                if self._names.get(name) is value:
                    del self._names[name]

    def remote(self, function: Any) -> Any:
        """Let a helper of the test run in the student's process: `grader.check.remote`."""
        if function.__closure__:
            raise TypeError(f"{function.__name__}: a @remote helper sees no names of a function")
        for node in ast.walk(self._tree):
            first = getattr(function.__code__, "co_firstlineno", 0)
            if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
                lines = [node.lineno, *(one.lineno for one in node.decorator_list)]
                if first in lines:
                    kept = [one for one in node.decorator_list if not _is_remote(one)]
                    plain = ast.FunctionDef(
                        **{**dict(ast.iter_fields(node)), "decorator_list": kept}
                    )
                    text = ast.unparse(ast.fix_missing_locations(plain)) + "\n"
                    return self._asked.question("define", node.name, text, "\n".join(self._prelude))
        raise TypeError(f"{function.__name__}: @remote is for functions of a test cell")


def _free(source: str) -> set[str]:
    """Return the global names that `source` reads, anywhere, and binds nowhere at its top level."""
    top = symtable.symtable(source, FILE, "exec")
    names: set[str] = set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found = (symbol for symbol in table.get_symbols() if symbol.is_referenced())
        names |= {symbol.get_name() for symbol in found if table is top or symbol.is_global()}
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    return names - bound - _BUILTINS


def _is_remote(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).split(".")[-1] == "remote"


def _number(value: Any) -> Any:
    """Return a number that a test ends in as a plain one; None for all else."""
    if is_reference(value) or isinstance(value, bool | str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def hidden_lines(source: str) -> set[int]:
    """Return the numbers of the lines that students do not see, from 1 on."""
    found, inside = set(), False
    for number, line in enumerate(source.splitlines(), 1):
        inside = inside or BEGIN in line
        if inside:
            found.add(number)
        inside = inside and END not in line
    return found


def failure(error: BaseException, source: str, hidden: set[int], lost: str) -> Failed:
    """Return what is told of `error`, which ended a test cell."""
    place, is_own = 0, False  # the line, and whether the error was raised there
    trace = error.__traceback__
    while trace is not None:
        is_own = trace.tb_frame.f_code.co_filename == FILE
        place = trace.tb_lineno if is_own else place
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == FILE:
        place = error.lineno or 0
    name = type(error).__name__
    message = _message(error, place in hidden, is_own)
    if isinstance(error, WireError):
        name, message = "NoAnswer", lost
    lines = [f"{name}: {message}" if message else name]
    text = source.splitlines()[place - 1].strip() if 0 < place <= len(source.splitlines()) else ""
    if place in hidden:
        lines.append("in a hidden test")
    elif text:
        lines.append(f"in the test, line {place}: {text}")
    if isinstance(error, AnswerError) and error.student_traceback:
        lines += ["in your code:", *error.student_traceback.splitlines()]
    failed: Failed = type(name, (Failed,), {})(message)
    failed.lines = lines
    return failed


def _message(error: BaseException, is_hidden: bool, is_own: bool) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]} ..."
    if not is_hidden or isinstance(error, CheckFailed | AnswerError):
        return text
    if isinstance(error, AssertionError):
        # The message of the test's own assert is for the student; numpy.testing's shows values.
        return (text if is_own else "") or "a hidden test failed"
    return text if isinstance(error, TELLING) else ""


current: Trial | None = None


def begin(descriptor: int, prelude: list[str], seed: int) -> None:
    """Begin the trial of this process; see `Trial`."""
    global current
    current = Trial(descriptor, prelude, seed)


def hear(source: str) -> Any:
    """Run a test cell in the trial that has begun."""
    assert current is not None
    return current.hear(source)
