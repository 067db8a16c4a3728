"""``papermill --engine judged in.ipynb out.ipynb``, and ``judged-no-sandbox``

papermill loads this module while it is itself being imported (its registry of entry points), so
it must need nothing of ours until a notebook is run, and is never imported by our own modules:
they ask papermill for the engine by name.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from papermill.engines import Engine, NotebookExecutionManager


class JudgedEngine(Engine):  # type: ignore[misc]  # papermill ships no types
    """Every cell runs, past errors, with limits, in a sandbox; see `grader.engine`."""

    sandbox = True

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        limits: Any = None,
        environment: dict[str, str] | None = None,
        cwd: str | Path | None = None,
        gpu: bool | None = False,
        skip: Collection[str] = (),
        tests: Any = None,
        seed: int | None = None,
        execution_timeout: float | None = None,
        **_: Any,
    ) -> None:
        """Run the notebook that `nb_man` holds (papermill's contract).

        Args:
            limits: a `grader.model.Limits`: what a cell and the notebook may use.
            environment: variables added to the kernel's.
            gpu: run it on the GPU; see `grader.engine.run`.
            skip: ids of cells that are left out.
            tests: a `grader.judge.kernel.JudgedCells`: the cells that a judge's kernel runs.
            seed: of the kernel's random numbers.
            cwd: the kernel's folder; by default this process's.
            execution_timeout: papermill's option for the seconds of a cell.
        """
        from grader import engine
        from grader.model import Limits

        limits = limits or Limits(
            cell_seconds=execution_timeout or Limits.cell_seconds,
            submission_seconds=24 * 3600.0,  # papermill's own users set no limit on the whole
        )
        engine.execute(
            nb_man,
            kernel_name,
            limits,
            environment or {},
            Path(cwd or Path.cwd()),
            sandbox=cls.sandbox,
            gpu=gpu,
            skip=skip,
            tests=tests,
            seed=seed,
        )


class UnsandboxedEngine(JudgedEngine):
    """The same in an ordinary kernel, which can do what you can do."""

    sandbox = False
