"""The only writer of nbgrader's gradebook and of the class folder's results."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook as Database
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import is_solution, is_task
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SAWarning

from grader import database as databases
from grader import feedback
from grader.classroom import Classroom
from grader.clean import grade_id
from grader.model import RECORD, Assignment, Graded, GradedNotebook
from grader.receipts import Receipts
from grader.wording import Marks


class Gradebook:
    """Stores graded submissions: database, ``autograded/`` and ``feedback/``.

    As a context manager it keeps the database open: SQLAlchemy then compiles a query once a class
    and not once a student.
    """

    def __init__(self, classroom: Classroom) -> None:
        self.classroom = classroom
        self.config = classroom.config
        self.url = databases.patient(classroom.database)
        self._open: Database | None = None

    def __enter__(self) -> Gradebook:
        self._open = Database(self.url, "cnn-course")
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextlib.contextmanager
    def _database(self) -> Iterator[Database]:
        if self._open is None:
            with Database(self.url, "cnn-course") as database:
                yield database
            return
        try:
            yield self._open
        finally:
            self._open.db.remove()  # ends the session; what was not committed is rolled back

    def store(
        self,
        assignment: Assignment,
        *results: Graded,
        also: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """Write every mark of `results`, so that none of an older attempt survives.

        Args:
            also: writes something else in the transaction of the marks.
        """
        late = []
        known = self.classroom.receipts(assignment.unit)
        with warnings.catch_warnings(), self._database() as database:
            # nbgrader links its rows before it adds them; SQLAlchemy mentions each one.
            warnings.simplefilter("ignore", SAWarning)
            for graded in results:
                if self._mark(database, graded, known):
                    late.append(graded)
            also(database.db.connection())
            database.db.commit()
        for graded in late:
            self._penalties(graded)
        for graded in results:
            with self._database() as database:
                marks = _marks(database, graded)
            self._write(assignment, graded, marks)

    def _mark(self, database: Database, graded: Graded, known: Receipts) -> bool:
        """Write the marks, and return whether it came late."""
        when, _ = self.classroom.handed_in(graded.student, graded.unit, known)
        timestamp = when.replace(tzinfo=None) if when else None  # nbgrader's are UTC, and say none
        with _one_commit(database):
            database.update_or_create_student(graded.student)
            database.update_or_create_submission(graded.unit, graded.student, timestamp=timestamp)
        for notebook in graded.notebooks:
            _store_notebook(database, graded, notebook)
        submission = database.find_submission(graded.unit, graded.student)
        for stored in submission.notebooks:
            stored.late_submission_penalty = None
        return bool(submission.total_seconds_late > 0)

    def _penalties(self, graded: Graded) -> None:
        """Let nbgrader's late-submission plugin, as the class configured it, set its penalty."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plugin = AssignLatePenalties(config=self.config)
        for notebook in graded.notebooks:
            names = {
                "notebook": notebook.name,
                "assignment": graded.unit,
                "student": graded.student,
                "db_url": self.url,
            }
            plugin.preprocess(nbformat.v4.new_notebook(), {"nbgrader": names})

    def _write(self, assignment: Assignment, graded: Graded, marks: dict[str, Marks]) -> None:
        target = self.classroom.autograded(graded.student, graded.unit)
        shutil.rmtree(target, ignore_errors=True)
        ours = {RECORD, "timestamp.txt", *(f"{n.name}.ipynb" for n in graded.notebooks)}
        target.mkdir(parents=True, exist_ok=True)
        for name, content in assignment.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)
        for name, content in graded.files:
            if Path(name).parts[0] in ours:
                continue  # a notebook wrote a file, or made a folder, of a name that we need
            with contextlib.suppress(OSError):  # or one that is a folder of ours, or too long
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(content)
        for notebook in graded.notebooks:
            (target / f"{notebook.name}.ipynb").write_text(notebook.executed, encoding="utf-8")
        record = json.dumps(graded.to_dict(), indent=1)
        path = self.classroom.record(graded.student, graded.unit)
        path.write_text(record + "\n", encoding="utf-8")
        stamp = self.classroom.submitted(graded.student, graded.unit) / "timestamp.txt"
        with contextlib.suppress(OSError):  # a folder that we may not look into
            if stamp.is_file() and not stamp.is_symlink():
                shutil.copy(stamp, target)
        pages = self.classroom.feedback(graded.student, graded.unit)
        shutil.rmtree(pages, ignore_errors=True)
        pages.mkdir(parents=True)
        for name, html in feedback.pages(assignment, graded, marks).items():
            (pages / f"{name}.html").write_text(html, encoding="utf-8")


@contextlib.contextmanager
def _one_commit(database: Database) -> Iterator[None]:
    """Leave it to us when what nbgrader writes is committed."""
    session = database.db()
    commit = session.commit
    session.commit = session.flush
    try:
        yield
    finally:
        session.commit = commit


def _store_notebook(database: Database, graded: Graded, notebook: GradedNotebook) -> None:
    place = (notebook.name, graded.unit, graded.student)
    # All at once: nbgrader looks for each by a query over six tables.
    stored = database.find_submission_notebook(*place)
    grades = {grade.name: grade for grade in stored.grades}
    comments = {comment.name: comment for comment in stored.comments}
    for cell in notebook.cells:
        grade = grades.get(cell.grade_id) or database.find_grade(cell.grade_id, *place)
        grade.auto_score = cell.points
        # A mark that a person gave belongs to what was handed in then: somebody looks again.
        grade.needs_manual_grade = cell.points is None or grade.manual_score is not None
    for cell in nbformat.reads(notebook.executed, as_version=4).cells:
        if is_solution(cell) or is_task(cell):
            name = grade_id(cell)
            silent = name in notebook.unanswered
            comment = comments.get(name) or database.find_comment(name, *place)
            comment.auto_comment = "No response." if silent else None


def _marks(database: Database, graded: Graded) -> dict[str, Marks]:
    """Return what counts: people's marks and comments of an earlier attempt hold until changed."""
    marks = {}
    for notebook in graded.notebooks:
        stored = database.find_submission_notebook(notebook.name, graded.unit, graded.student)
        marks[notebook.name] = Marks(
            points={grade.name: float(grade.score) for grade in stored.grades},
            waiting=frozenset(grade.name for grade in stored.grades if grade.needs_manual_grade),
            comments={c.name: c.comment for c in stored.comments if c.comment},
            penalty=float(stored.late_submission_penalty or 0.0),
        )
    return marks
