"""The execute step of ``nbgrader autograde``, swapped in by `grader.interop.configure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Float

from grader import engine, score
from grader.model import Limits


class JudgedExecute(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader ships no types
    """Run every cell with our engine and leave outputs that nbgrader reads as we do."""

    cell_seconds = Float(Limits.cell_seconds, help="Seconds that a cell may take.").tag(config=True)
    submission_seconds = Float(
        Limits.submission_seconds, help="Seconds that a notebook may take."
    ).tag(config=True)

    sandbox = Bool(True, help="Run notebooks in isolated kernels.").tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Return `nb` executed in its own folder (nbconvert's contract)."""
        folder = Path(resources.get("metadata", {}).get("path") or ".")
        limits = Limits(self.cell_seconds, self.submission_seconds)
        # nbgrader promises its authors this variable.
        nb = engine.run(
            nb, folder, limits, {"NBGRADER_EXECUTION": "autograde"}, sandbox=self.sandbox
        )
        return score.settle(nb), resources
