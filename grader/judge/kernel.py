"""The judge's kernel, seen from the grader: started when the first test cell needs it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader import launch

NOTES = "__trial__.current.notes"  # in that kernel
FIND_ANSWER = "__import__('importlib.util').util.find_spec('grader.answer').name"
ANSWER = "__import__('grader.answer').answer.serve({})"  # what the student's kernel executes


@dataclass(frozen=True)
class JudgedCells:
    """The cells that a judge's kernel runs while the student's answers.

    Attributes:
        cells: their ids.
        prelude: import statements of the lesson; what they bind is the judge's own.
        folder: the judge's kernel's own.
        seed: of the random numbers of both kernels.
        worlds: {exercise: (name, source) of the cells that its answer stands on, itself right}
        wrong: {test cell: (exercise, ((name, source) of each known wrong solution, ...))}
    """

    cells: frozenset[str]
    prelude: tuple[str, ...]
    folder: Path
    seed: int = 0
    worlds: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    wrong: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)


class JudgeKernel:
    """Runs test cells; the student's kernel is at the other end of a socket.

    Attributes:
        far: the student's end of the socket.
        over: it has ended and will not be started again.
    """

    def __init__(self, tests: JudgedCells, manager: launch.JudgedManager) -> None:
        self.tests = tests
        self.near, self.far = socket.socketpair()
        self.manager = manager
        self.client: Any = None
        self.over = False

    async def start(self, environment: dict[str, str]) -> None:
        """Start the kernel, and let it begin, unless that has been done.

        Raises:
            RuntimeError: it did not start.
        """
        if self.client is not None:
            return
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        lent = launch.lend(self.manager, self.near.fileno())
        await self.manager.start_kernel(
            env=environment, cwd=str(self.tests.folder), **quiet, **lent
        )
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=launch.START_SECONDS)
        number = launch.lent(self.manager, self.near.fileno())
        arguments = f"{number}, {list(self.tests.prelude)!r}, {self.tests.seed}"
        begin = f"from grader.judge import trial as __trial__; __trial__.begin({arguments})"
        self.client.execute(begin, silent=True, store_history=False)
        self.near.close()

    def hear(self, source: str) -> str:
        """Ask for a test cell to be run, and return the request's id."""
        return str(
            self.client.execute(
                f"__trial__.hear({source!r})",
                store_history=False,
                user_expressions={"notes": NOTES},
                stop_on_error=False,
                allow_stdin=False,
            )
        )

    def explain(self, cell: str, source: str) -> str | None:
        """Ask which known mistake explains that a test failed; return the request's id, if any."""
        exercise, known = self.tests.wrong.get(cell, ("", ()))
        if not known:
            return None
        world = list(self.tests.worlds.get(exercise, ()))
        arguments = f"{source!r}, {world!r}, {exercise!r}, {list(known)!r}"
        expression = f"__trial__.current.explain({arguments})"
        options = {"silent": True, "store_history": False, "allow_stdin": False}
        return str(self.client.execute("", user_expressions={"explained": expression}, **options))

    async def end(self) -> None:
        """End the kernel."""
        self.over = True
        for one in (self.near, self.far):
            one.close()
        with contextlib.suppress(RuntimeError):
            if self.client is not None:
                self.client.stop_channels()
            if self.manager.has_kernel:
                await self.manager.shutdown_kernel(now=True)
                await self.manager.cleanup_resources()
