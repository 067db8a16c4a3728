"""Which misconception explains a wrong answer.

Where a test has failed, it is run again against each known wrong solution of the exercise, and
against the right one. A misconception explains the student's answers if it gave the same ones,
wherever the student's differ from the right ones, and there is such a place.

All of it happens in the judge's kernel: what stands in for the student is a fork of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from grader.answer import Agent
from grader.judge.references import Judge, is_reference

MAX_KEPT = 2_000_000  # bytes of one answer that are compared
MAX_TRACE = 5000  # questions of one test
SECONDS = 5  # of one wrong solution in one test
RTOL, ATOL = 1e-6, 1e-9


Step = tuple[str, Any]  # what was asked, and what came of it, frozen


class Trace:
    """What a test asked and was answered, as it was at that time."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def listen(self, question: tuple[Any, ...], answer: Any) -> None:
        """Take down one question (`Judge.listener`)."""
        if len(self.steps) < MAX_TRACE and question[0] != "names":
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
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    with nowhere, contextlib.redirect_stdout(nowhere):
        for name, text in world:
            with contextlib.suppress(Exception):
                exec(compile(text, f"<{name}>", "exec"), namespace)
    return namespace


def replay(world: dict[str, Any], source: str, run: Callable[[Judge], None]) -> list[Step]:
    """Return what a test is answered where `source` has run in `world`."""
    near, far = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            near.close()
            _stand_in(far, world, source)
        os._exit(0)
    far.close()
    judge, trace = Judge(near), Trace()
    judge.listener = trace.listen
    try:
        with contextlib.suppress(BaseException):  # it fails: that is why it is here
            run(judge)
    finally:
        near.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return trace.steps


def _stand_in(far: socket.socket, world: dict[str, Any], source: str) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    exec(compile(source, "<misconception>", "exec"), world)
    Agent(far, world).work()
