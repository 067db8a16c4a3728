"""nbgrader's own commands work in a class folder and give the marks that we give."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from builders import answered, hand_in
from nbgrader.api import Gradebook

from grader import release
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import Course
from grader.journal import Journal

ANSWERS = {
    "ada": "def add(a, b):\n    return a + b",
    # Runs into an error before its tests; writes to stderr, which nbgrader itself would punish.
    "bob": "import sys\nprint('hm', file=sys.stderr)\nadd = lambda a, b: int(a) + int(b)\n1 / 0",
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of nbgrader's commands with nothing on PATH: neither alembic nor jupyter."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=folder,
        env={"HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def nbgrader(folder: Path, *arguments: str) -> None:
    """Run one of nbgrader's commands, which must succeed."""
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr


def marks(classroom: Classroom, unit: str) -> dict[tuple[str, str], tuple[float | None, bool]]:
    """Return {(student, cell): (automatic score, waits for a person)} from the database."""
    with Gradebook(classroom.database) as gradebook:
        return {
            (submission.student_id, grade.name): (grade.auto_score, grade.needs_manual_grade)
            for submission in gradebook.assignment_submissions(unit)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def test_nbgrader_s_own_commands_take_a_class_from_source_to_grades(
    classroom: Classroom, course: Course
) -> None:
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


def test_autograde_grades_as_grader_grade_does(classroom: Classroom, course: Course) -> None:
    """In the judge's kernel, with hints, and on record; what is no notebook gets its verdict."""
    assignment = classroom.assignment("01-adding", course)
    fooling = "class Any:\n    __eq__ = lambda *_: True\n\ndef add(a, b):\n    return Any()"
    answers = {**ANSWERS, "cal": "def add(a, b):\n    return a - b", "eve": fooling}
    for student, answer in answers.items():
        node = answered(assignment.notebooks[0].released, add=answer, why_commutes="It does.")
        hand_in(classroom, student, assignment.unit, "adding", node)
    hand_in(classroom, "zoe", assignment.unit, "adding", b"%PDF-1.7")
    # A file of the student's own, which nbgrader would believe.
    stamp = classroom.submitted("ada", assignment.unit) / "timestamp.txt"
    stamp.write_text("1999-01-01 00:00:00 UTC", encoding="utf-8")
    nbgrader(classroom.root, "autograde", assignment.unit)
    theirs = [outcome(classroom, one) for one in (*answers, "zoe")]
    with Gradebook(classroom.database) as gradebook:
        assert gradebook.find_submission(assignment.unit, "ada").timestamp is None
    grade_class(classroom, assignment, [*answers, "zoe"], where=0)
    assert [outcome(classroom, one) for one in (*answers, "zoe")] == theirs
    scores = {one["student"]: one["score"] for one in theirs}
    assert scores == {"ada": 3, "bob": 2, "cal": 0, "eve": 0, "zoe": 0}
    assert theirs[2]["cells"][0]["misconceptions"] == ["subtracts"]
    with Journal(classroom) as journal:
        assert {one.graded["student"] for one in journal.latest(assignment.unit).values()} == {
            *scores
        }


def outcome(classroom: Classroom, student: str) -> dict[str, Any]:
    """Return what was kept of a submission, less what is another each time."""
    record = json.loads(classroom.record(student, "01-adding").read_text(encoding="utf-8"))
    for one in (record, *record["cells"]):
        del one["seconds"]
    return record


def test_autograde_leaves_alone_what_somebody_else_is_grading(
    classroom: Classroom, course: Course
) -> None:
    assignment = classroom.assignment("01-adding", course)
    node = answered(assignment.notebooks[0].released, add=ANSWERS["ada"])
    hand_in(classroom, "ada", assignment.unit, "adding", node)
    grade_class(classroom, assignment, ["ada"], where=0)
    with Journal(classroom) as journal, journal.writing():
        done = run(classroom.root, "autograde", assignment.unit, "--force")
    assert done.returncode == 1
    assert "this class is being graded already, by process" in done.stderr
    assert "Traceback" not in done.stderr
    assert classroom.record("ada", assignment.unit).is_file()
