"""Which misconception explains a wrong answer.

Where a test has failed, it is run again against each known wrong solution of the exercise, and
against the right one. A misconception explains the student's answers if it gave the same ones,
wherever the student's differ from the right ones, and there is such a place.

All of it happens in the judge's kernel. The known solutions are the course's own code and need no
walls: they are asked as a student's are, but in the same process.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grader.answer import Agent
from grader.answer.wire import crosses
from grader.judge.references import Judge, is_reference

MAX_KEPT = 2_000_000  # bytes of one answer that are compared
MAX_TRACE = 5000  # questions of one test
CPU_SECONDS = 5  # of one wrong solution in one test; a machine that is busy is no reason to give up
SECONDS = 30  # the same by the clock, since some wait
RTOL, ATOL = 1e-6, 1e-9


Step = tuple[str, Any]  # what was asked, and what came of it, frozen


class Trace:
    """What a test asked and was answered, as it was at that time."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def listen(self, question: tuple[Any, ...], answer: Any) -> None:
        """Take down one question (`Judge.listener`)."""
        if len(self.steps) < MAX_TRACE and question[0] not in ("names", "seed"):
            # What a call did to its arguments is part of its answer.
            said = [answer, question[2:] if question[0] == "call" else None]
            self.steps.append((str(question[0]), frozen(said)))


def frozen(value: Any, depth: int = 0) -> Any:
    """Return a copy of `value` that can be compared: arrays, and tuples of what else there is."""
    if is_reference(value):
        return ("reference", repr(value))
    if isinstance(value, BaseException):
        return ("raised", type(value).__name__)
    if depth > 20 or value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return (type(value).__name__, *(frozen(item, depth + 1) for item in items))
    if isinstance(value, dict):
        return ("dict", *((frozen(k), frozen(v, depth + 1)) for k, v in value.items()))
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, np.ndarray | np.generic) and value.nbytes <= MAX_KEPT:
        return np.array(value)
    return ("a", type(value).__name__)


def same(one: Any, other: Any, *, strict: bool) -> bool:
    """Whether two frozen values are the same, up to rounding; if `strict`, of the same type."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
            return False
        if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
            return False
        if strict and one.dtype != other.dtype:
            return False
        if one.dtype.kind in "fc":
            return bool(np.allclose(one, other, RTOL, ATOL, equal_nan=True))
        return bool(np.array_equal(one, other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(a, b, strict=strict) for a, b in pairs)
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, RTOL, ATOL, equal_nan=True))
    return type(one) is type(other) and bool(one == other)


def explain(
    steps: list[Step],
    world: dict[str, Any],
    wrong: list[tuple[str, str]],
    run: Callable[[Judge], None],
) -> list[str]:
    """Return the names of the misconceptions that explain `steps`.

    Args:
        steps: what the student answered in the test that failed; the last step failed it.
        world: names that answers stand on, right answers among them (`populated`).
        wrong: (name, source) of the misconceptions of the exercise.
        run: runs the test against a judge's other side.
    """
    if not steps:
        return []
    right = replay(world, "", run)
    theirs = {name: replay(world, source, run) for name, source in wrong}
    # A result of the wrong type is a mistake of its own; where that leads nowhere, numbers count.
    for strict in (True, False):

        def agrees(others: list[Step], n: int, strict: bool = strict) -> bool:
            question, answer = steps[n]
            return (
                n < len(others)
                and others[n][0] == question
                and same(answer, others[n][1], strict=strict)
            )

        wrongly = [n for n in range(len(steps)) if not agrees(right, n)]
        found = [name for name, other in theirs.items() if all(agrees(other, n) for n in wrongly)]
        if wrongly and found:
            return found
    return []


def populated(world: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the names that the lesson's own cells bind, right answers in.

    Args:
        world: (name, source) of each cell.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with _silence():
        for name, text in world:
            with contextlib.suppress(Exception):
                exec(compile(text, f"<{name}>", "exec"), namespace)
    return namespace


def replay(world: dict[str, Any], source: str, run: Callable[[Judge], None]) -> list[Step]:
    """Return what a test is answered where `source` has run in `world`."""
    namespace = dict(world)
    judge, trace = Rehearsal(namespace), Trace()
    judge.listener = trace.listen
    # It fails: that is why it is here. And some never end.
    with contextlib.suppress(BaseException), _silence(), _limited():
        exec(compile(source, "<misconception>", "exec"), namespace)
        run(judge)
    return trace.steps


class Rehearsal(Judge):
    """A judge whose other side is a namespace of this process: the course's own code."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        nowhere: Any = None
        super().__init__(nowhere)
        self._agent = Agent(nowhere, namespace)

    def question(self, name: str, *operands: Any) -> Any:
        """Ask without a way between."""
        there = [self._there(operand) for operand in operands]
        self.depth += 1
        try:
            answer = self._here(getattr(self._agent, f"_do_{name}")(*there))
        except Exception as error:
            failed = self.raised(self._agent.describe(error))
            if self.listener is not None and self.depth == 1:
                self.listener((name, *operands), failed)
            raise failed from None
        finally:
            self.depth -= 1
        if self.listener is not None and self.depth == 0:
            self.listener((name, *operands), answer)
        return answer

    def _there(self, value: Any) -> Any:
        if is_reference(value):
            return self._agent.resolve(self.refer(value, lambda part: part), lambda part: part)
        if type(value) is tuple:
            return tuple(self._there(part) for part in value)
        return value

    def _here(self, value: Any) -> Any:
        if type(value) is tuple:
            return tuple(self._here(part) for part in value)
        if crosses(value):
            return value
        return self.resolve(self._agent.refer(value, lambda part: part), lambda part: part)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Interrupt what takes too long."""

    def late(*_: Any) -> None:
        raise TimeoutError

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, CPU_SECONDS),
        (signal.SIGALRM, signal.ITIMER_REAL, SECONDS),
    )
    before = [signal.signal(number, late) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
