"""``nbgrader autograde`` and the formgrader's button, graded as ``grader grade`` grades.

nbgrader makes each notebook of ``submitted/`` one of ``autograded/`` with an exporter, and asks its
configuration which. Ours grades the submission that the notebook belongs to with all that
``grader grade`` does (rebuilt notebooks, rooms, the judge, the journal, feedback), and hands over
the notebook that came of it. So no hidden test gets into a student's process this way, either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import WARNING, Logger
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.converters.base import NbGraderException
from traitlets import Bool

from grader.batch import grade_class
from grader.classroom import Classroom
from grader.errors import GraderError
from grader.journal import Journal
from grader.launch import require_sandbox
from grader.model import Assignment


class AutogradeExporter(NotebookExporter):  # type: ignore[misc]  # nbconvert ships no types
    """Grades; `grader.interop.configure` sets it for nbgrader's `Autograde`."""

    sandbox = Bool(True, help="Run submissions in isolated kernels.").tag(config=True)

    def __init__(self, **options: Any) -> None:
        """Check what can be checked: after this nbgrader removes what was graded before.

        Raises:
            NbGraderException: nothing can be graded here, or somebody else is at it.
        """
        super().__init__(**options)
        self._assignments: dict[str, Assignment] = {}
        self._graded: set[tuple[str, str]] = set()
        try:
            self._classroom = Classroom(Path(self.parent.coursedir.root))
            if self.sandbox:
                require_sandbox()
            with Journal(self._classroom) as journal, journal.writing():
                pass
        except GraderError as error:  # its own kind nbgrader shows without a traceback
            self.log.error(str(error))
            raise NbGraderException(str(error)) from None

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Grade the submission that the notebook is of, once, and return its executed notebook.

        nbgrader asks twice for each notebook: before it runs anything, and to have it run.

        Raises:
            GraderError: it could not be stored; nbgrader shows the reason.
        """
        names = (resources or {})["nbgrader"]
        student, unit = names["student"], names["assignment"]
        if (student, unit) not in self._graded:
            self._grade(student, unit)
            self._graded.add((student, unit))
        path = self._classroom.autograded(student, unit) / f"{names['notebook']}.ipynb"
        return super().from_filename(str(path), resources, **options)  # type: ignore[no-any-return]

    def _grade(self, student: str, unit: str) -> None:
        if unit not in self._assignments:
            with _quiet(self.log):
                self._assignments[unit] = self._classroom.assignment(unit)
        assignment = self._assignments[unit]
        with _quiet(self.log):
            (graded,) = grade_class(self._classroom, assignment, [student], 0, sandbox=self.sandbox)
        notes = "; ".join(graded.notes)
        if not self._classroom.record(student, unit).is_file():
            raise GraderError(f"{student}/{unit}: {notes}")
        points = f"{graded.score:g} of {graded.max_score:g} points"
        self.log.info("%s/%s: %s, %s. %s", student, unit, points, graded.status, notes)


@contextmanager
def _quiet(log: Logger) -> Iterator[None]:
    """Keep what kernels say of themselves out of the log that the formgrader shows."""
    level = log.level
    log.setLevel(max(level, WARNING))
    try:
        yield
    finally:
        log.setLevel(level)
