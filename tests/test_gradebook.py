"""What is stored of a class: marks of the last attempt, people's marks, penalties, pages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from builders import SOLVED, answered, content, hand_in, receive
from nbgrader.api import Gradebook

from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import Course, load_course
from grader.errors import AssignmentError, UsageError
from grader.journal import fingerprint
from grader.model import Assignment, Graded, Status

pytestmark = pytest.mark.databases

UNIT = "01-adding"
RIGHT = {"add": SOLVED, "why_commutes": "Counting."}


@pytest.fixture
def unit(classroom: Classroom, course: Course) -> Assignment:
    """01-adding as an assignment of the class."""
    return classroom.assignment(UNIT, course)


def mark(classroom: Classroom, unit: Assignment, file: Any = None, student: str = "ada") -> Graded:
    """Hand in a notebook (its answers, or any file) and grade it."""
    if isinstance(file, dict):
        file = content(answered(unit.notebooks[0].released, **file))
    if file is not None:
        hand_in(classroom, student, unit.unit, "adding", file)
    [graded] = grade_class(classroom, unit, [student], where=0)
    return graded


def stored(classroom: Classroom, student: str = "ada") -> dict[str, Any]:
    """Return the marks of a submission in the database."""
    with Gradebook(classroom.database) as gradebook:
        submission = gradebook.find_submission(UNIT, student)
        [notebook] = submission.notebooks
        return {
            "score": submission.score,
            "max": submission.max_score,
            "manual": submission.needs_manual_grade,
            "late": submission.total_seconds_late,
            "penalty": notebook.late_submission_penalty,
            "comments": {c.name: c.auto_comment for c in notebook.comments if c.auto_comment},
            **{grade.name: grade.auto_score for grade in notebook.grades},
        }


# ---- marks ----------------------------------------------------------------------------------


def test_no_mark_of_an_older_attempt_survives(classroom: Classroom, unit: Assignment) -> None:
    """nbgrader leaves the old score where the new notebook dies."""
    mark(classroom, unit, RIGHT)
    assert (stored(classroom)["score"], stored(classroom)["manual"]) == (3, True)

    mark(classroom, unit, {"add": f"{SOLVED}\nimport os; os._exit(0)"})
    now = stored(classroom)
    assert (now["score"], now["manual"]) == (0, False)
    assert now["comments"] == {"why_commutes": "No response."}

    mark(classroom, unit, RIGHT)
    assert stored(classroom)["comments"] == {}

    graded = mark(classroom, unit, b"<html>")
    assert (graded.status, stored(classroom)["score"]) == (Status.UNREADABLE, 0)
    record = json.loads(classroom.record("ada", UNIT).read_text(encoding="utf-8"))
    assert (record["status"], record["score"]) == ("unreadable", 0)
    assert "not a notebook" in record["notes"][0]
    assert (classroom.autograded("ada", UNIT) / "adding.ipynb").is_file()
    page = (classroom.feedback("ada", UNIT) / "adding.html").read_text(encoding="utf-8")
    assert "not a notebook" in page


def test_what_a_person_gave_survives_a_regrade_and_is_looked_at_again(
    classroom: Classroom, unit: Assignment
) -> None:
    mark(classroom, unit, RIGHT)
    with Gradebook(classroom.database) as gradebook:
        tests = gradebook.find_grade("add-tests", "adding", UNIT, "ada")
        why = gradebook.find_grade("why_commutes", "adding", UNIT, "ada")
        tests.extra_credit, why.manual_score, why.needs_manual_grade = 0.5, 1.5, False
        comment = gradebook.find_comment("why_commutes", "adding", UNIT, "ada")
        comment.manual_comment = "Nice."
        gradebook.db.commit()
    assert (stored(classroom)["score"], stored(classroom)["manual"]) == (5, False)

    mark(classroom, unit, RIGHT | {"why_commutes": "Another answer."})
    assert (stored(classroom)["score"], stored(classroom)["manual"]) == (5, True)
    with Gradebook(classroom.database) as gradebook:
        comment = gradebook.find_comment("why_commutes", "adding", UNIT, "ada")
        assert comment.manual_comment == "Nice."


LATE = 'c.LateSubmissionPlugin.penalty_method = "zero"\n'


def test_a_late_penalty_is_what_the_class_configured(
    classroom: Classroom, unit: Assignment
) -> None:
    with Gradebook(classroom.database) as gradebook:
        gradebook.update_or_create_assignment(UNIT, duedate="2025-02-01 12:00:00 UTC")
    path = hand_in(
        classroom, "ada", UNIT, "adding", answered(unit.notebooks[0].released, add=SOLVED)
    )
    path.with_name("timestamp.txt").write_text("2025-02-01 10:00:00 UTC\n", encoding="utf-8")
    receive(classroom, "ada", UNIT, "2025-02-01 13:00:00")
    mark(classroom, unit)
    now = stored(classroom)
    assert (now["score"], now["late"], now["penalty"]) == (3, 3600, None)
    assert (classroom.autograded("ada", UNIT) / "timestamp.txt").is_file()

    with (classroom.root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(LATE)
    mark(classroom, unit)
    now = stored(classroom)
    assert (now["score"], now["add-tests"], now["penalty"]) == (3, 2, 3)  # nbgrader subtracts it

    receive(classroom, "ada", UNIT, "2025-02-01 11:00:00")
    mark(classroom, unit)
    assert (stored(classroom)["late"], stored(classroom)["penalty"]) == (0, None)


def test_a_unit_that_changed_after_submissions_is_refused_with_the_reason(
    classroom: Classroom, unit: Assignment, course: Course, tmp_path: Path
) -> None:
    mark(classroom, unit, RIGHT)
    text = course[UNIT].path.read_text(encoding="utf-8")
    changed = tmp_path / "solutions" / UNIT / "adding.py"
    changed.parent.mkdir(parents=True)
    changed.write_text(text.replace('part="arrays"', 'part="vectors"'), encoding="utf-8")
    with pytest.raises(AssignmentError, match="Cannot add or remove cells"):
        classroom.assignment(UNIT, load_course(changed.parents[1]))
    assert stored(classroom)["score"] == 3


def test_files_that_a_notebook_writes_cannot_take_the_place_of_ours(
    classroom: Classroom, unit: Assignment
) -> None:
    code = (
        f"{SOLVED}\nimport os\nfor name in ('adding.ipynb', 'graded.json', 'timestamp.txt'):\n"
        "    os.mkdir(name); open(name + '/x', 'w').close()\n"
        "open('mine.txt', 'w').write('1'); open(b'\\xff', 'w').close()"
    )
    mark(classroom, unit, {"add": code})
    folder = classroom.autograded("ada", UNIT)
    assert (folder / "adding.ipynb").is_file()
    assert (folder / "graded.json").is_file()
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "1"
    assert stored(classroom)["score"] == 3


# ---- what is read of a folder ---------------------------------------------------------------


def read(classroom: Classroom, unit: Assignment) -> tuple[dict[str, bytes], str]:
    submission = classroom.submission("ada", unit)
    return dict(submission.notebooks), "; ".join(submission.notes)


def test_a_link_is_not_followed(classroom: Classroom, unit: Assignment, tmp_path: Path) -> None:
    path = hand_in(classroom, "ada", UNIT, "adding", b"{}")
    path.rename(tmp_path / "elsewhere.ipynb")
    path.symlink_to(tmp_path / "elsewhere.ipynb")
    assert read(classroom, unit) == ({}, "adding.ipynb is a link and was not followed")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_opened(classroom: Classroom, unit: Assignment, make: Any) -> None:
    path = hand_in(classroom, "ada", UNIT, "adding", b"{}")
    path.unlink()
    make(path)
    assert read(classroom, unit) == ({}, "adding.ipynb is not a regular file and was not opened")


def test_a_single_notebook_of_another_name_is_the_one(
    classroom: Classroom, unit: Assignment
) -> None:
    hand_in(classroom, "ada", UNIT, "adding (1)", b"{}")
    assert read(classroom, unit) == (
        {"adding": b"{}"},
        "adding (1).ipynb was read as adding.ipynb",
    )
    hand_in(classroom, "ada", UNIT, "adding", b"[]")
    found, notes = read(classroom, unit)
    assert found == {"adding": b"[]"}
    assert notes == "adding (1).ipynb is no notebook of this unit and was not read"


def test_names_that_are_no_text_harm_nobody(classroom: Classroom, unit: Assignment) -> None:
    folder = hand_in(classroom, "ada", UNIT, "adding", b"{}").parent
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.ipynb")).write_bytes(b"{}")
    assert read(classroom, unit)[1].startswith("?.ipynb is no notebook of this unit")
    os.makedirs(os.fsencode(classroom.root) + b"/submitted/\xff/" + UNIT.encode())
    with pytest.raises(UsageError, match="its name is not UTF-8; rename it"):
        classroom.students(UNIT)


@pytest.mark.parametrize("name", ["", ".", "..", "../01-adding", "/tmp", "01-adding/"])
def test_a_unit_s_name_never_leads_out_of_the_class(classroom: Classroom, name: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a unit"):
        classroom.assignment(name, source=classroom.root)


def test_a_unit_of_ours_is_the_same_without_the_course_beside_it(
    classroom: Classroom, unit: Assignment
) -> None:
    """The formgrader's button, and who is in another folder, know where its tests run."""
    assert classroom.assignment(UNIT) == unit
    assert unit.judged
    assert fingerprint(classroom.assignment(UNIT)) == fingerprint(unit)
    other = classroom.assignment(UNIT, source=classroom.root / "source")
    assert not other.judged
    assert classroom.assignment(UNIT) == other


def test_a_unit_that_another_version_has_kept_is_made_anew(
    classroom: Classroom, course: Course, unit: Assignment
) -> None:
    kept = classroom.private / "units" / f"{UNIT}.json"
    for text in (kept.read_text("utf-8").replace('"judged"', '"judgement"'), "[]", "{"):
        kept.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=r"another version of the grader.*grader grade 01-add"):
            classroom.assignment(UNIT)
    assert classroom.assignment(UNIT, course) == unit == classroom.assignment(UNIT)
