"""nbgrader's own commands work in a class folder and give the marks that we give."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from builders import answered, hand_in
from nbgrader.api import Gradebook

from grader import release
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import Course

ANSWERS = {
    "ada": "def add(a, b):\n    return a + b",
    # Runs into an error before its tests; writes to stderr, which nbgrader itself would punish.
    "bob": "import sys\nprint('hm', file=sys.stderr)\nadd = lambda a, b: int(a) + int(b)\n1 / 0",
}


def nbgrader(folder: Path, *arguments: str) -> None:
    """Run one of nbgrader's commands with nothing on PATH: neither alembic nor jupyter."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    run = subprocess.run(
        command,
        cwd=folder,
        env={"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr


def marks(classroom: Classroom, unit: str) -> dict[tuple[str, str], tuple[float | None, bool]]:
    """Return {(student, cell): (automatic score, waits for a person)} from the database."""
    with Gradebook(classroom.database) as gradebook:
        return {
            (submission.student_id, grade.name): (grade.auto_score, grade.needs_manual_grade)
            for submission in gradebook.assignment_submissions(unit)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def test_nbgrader_alone_is_a_complete_fallback(classroom: Classroom, course: Course) -> None:
    lesson = course["01-adding"]
    release.write_source(course, lesson, classroom.source(lesson.unit))
    nbgrader(classroom.root, "generate_assignment", lesson.unit)
    released = (classroom.released(lesson.unit) / "adding.ipynb").read_text(encoding="utf-8")
    for student, answer in ANSWERS.items():
        node = answered(released, add=answer, why_commutes="It just does.")
        hand_in(classroom, student, lesson.unit, "adding", node)

    nbgrader(classroom.root, "autograde", lesson.unit)
    theirs = marks(classroom, lesson.unit)
    assert theirs["ada", "add-tests"] == (2, False)
    assert theirs["bob", "add-arrays"] == (0, False)
    assert theirs["bob", "add-tests"] == (2, False)
    assert theirs["bob", "why_commutes"] == (None, True)

    nbgrader(classroom.root, "generate_feedback", lesson.unit)
    nbgrader(classroom.root, "export")
    assert (classroom.feedback("ada", lesson.unit) / "adding.html").is_file()
    with (classroom.root / "grades.csv").open(encoding="utf-8") as file:
        assert {row["student_id"]: row["score"] for row in csv.DictReader(file)} == {
            "ada": "3.0",
            "bob": "2.0",
        }

    assignment = classroom.assignment(lesson.unit, course)
    graded = grade_class(classroom, assignment, sorted(ANSWERS), where=0)
    assert [one.score for one in graded] == [3, 2]
    assert marks(classroom, lesson.unit) == theirs
