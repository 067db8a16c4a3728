"""A class is graded side by side, and no submission costs another its marks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from builders import COURSE, SOLVED, answered, hand_in, isolates, strangers
from nbgrader.api import Gradebook

from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import Course
from grader.journal import Journal, Kind
from grader.kernels import doctor
from grader.model import Graded, Status

UNIT = "01-adding"
IN_A_ROOM = 3  # processes: bubblewrap's first, the one that waits, the kernel
KILLER = f"{SOLVED}\nimport os, signal\nos.kill(os.getppid(), signal.SIGKILL)"


def test_a_submission_that_kills_its_grader_costs_nobody_else_anything(
    classroom: Classroom, course: Course
) -> None:
    unit = classroom.assignment(UNIT, course)
    people = {"eve": SOLVED, "bob": KILLER, "ada": SOLVED}
    for student, answer in people.items():
        node = answered(unit.notebooks[0].released, add=answer)
        hand_in(classroom, student, UNIT, "adding", node)
    stored: list[Graded] = []
    graded = grade_class(
        classroom, unit, list(people), where=2, on_graded=stored.append, sandbox=False
    )

    assert [(one.student, one.score, one.status) for one in graded] == [
        ("eve", 3, Status.GRADED),
        ("bob", 0, Status.BROKEN),
        ("ada", 3, Status.GRADED),
    ]
    assert graded[1].notes == ("it ended the process that graded it, again and again",)
    # Nobody tries it again who does not ask for it.
    again = grade_class(classroom, unit, ["bob"], where=2, sandbox=False, again=False)
    assert [one.to_dict() for one in again] == [graded[1].to_dict()]
    with Journal(classroom) as journal:
        assert [one.kind for one in journal.history(UNIT, "bob")] == [Kind.ASIDE]
    assert {one.student for one in stored} == set(people)
    with Gradebook(classroom.database) as gradebook:
        assert gradebook.find_submission(UNIT, "bob").needs_manual_grade
        assert not gradebook.find_submission(UNIT, "ada").needs_manual_grade


def test_a_result_that_cannot_be_stored_is_named_and_the_others_are_stored(
    classroom: Classroom, course: Course
) -> None:
    unit = classroom.assignment(UNIT, course)
    for student in ("ada", "bob", "eve"):
        node = answered(unit.notebooks[0].released, add=SOLVED)
        hand_in(classroom, student, UNIT, "adding", node)
    (classroom.root / "autograded").mkdir()
    (classroom.root / "autograded" / "bob").write_text("in the way", encoding="utf-8")
    graded = grade_class(classroom, unit, ["ada", "bob", "eve"], where=0)

    assert [one.status for one in graded] == [Status.GRADED, Status.BROKEN, Status.GRADED]
    assert "could not be stored" in graded[1].notes[-1]
    assert all(classroom.record(student, UNIT).is_file() for student in ("ada", "eve"))


def test_when_the_grader_is_killed_no_process_of_its_remains(
    classroom: Classroom, course: Course
) -> None:
    unit = classroom.assignment(UNIT, course)
    for student in ("ada", "bob"):
        node = answered(unit.notebooks[0].released, add="import time\ntime.sleep(9)")
        hand_in(classroom, student, UNIT, "adding", node)
    command = [sys.executable, "-m", "grader.cli", "grade", UNIT, "--class", str(classroom.root)]
    grader = psutil.Popen(
        [*command, "--solutions", str(COURSE)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while len(strangers(grader)) < 2 * IN_A_ROOM:
        assert time.monotonic() < until
        time.sleep(0.2)
    family = grader.children(recursive=True)
    grader.kill()
    grader.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def test_who_grades_hears_nothing_of_dask(classroom: Classroom, course: Course) -> None:
    unit = classroom.assignment(UNIT, course)
    node = answered(unit.notebooks[0].released, add="def add(a, b):\n    return a + b")
    hand_in(classroom, "ada", UNIT, "adding", node)
    command = [sys.executable, "-m", "grader.cli", "grade", UNIT, "--class", str(classroom.root)]
    done = subprocess.run(
        [*command, "--solutions", str(COURSE)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert "distributed" not in done.stdout + done.stderr


@pytest.mark.skipif(doctor.obstacle() is not None, reason="ordinary kernels are not seeded")
def test_what_depends_on_the_seed_is_named_and_the_first_seed_counts(
    classroom: Classroom, course: Course
) -> None:
    unit = classroom.assignment(UNIT, course)
    lucky = "import random\nsign = 1 if random.random() < 0.5 else -1\n"
    lucky += "def add(a, b):\n    return a + sign * b"
    for name, source in {"lucky": lucky, "ada": SOLVED}.items():
        released = unit.notebooks[0].released
        hand_in(classroom, name, UNIT, "adding", answered(released, add=source))
    ada, other = grade_class(classroom, unit, ["ada", "lucky"], where=0, seeds=(0, 1))
    assert (ada.score, ada.notes) == (3.0, ())
    # The seed 0 draws 0.84 first, the seed 1 draws 0.13.
    assert (other.score, other.seed) == (0.0, 0)
    assert other.notes == (
        "flaky: add-tests earned 0.0 points with seed 0, 2.0 with seed 1",
        "flaky: add-arrays earned 0.0 points with seed 0, 1.0 with seed 1",
    )


@isolates
def test_a_module_in_the_current_folder_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Whoever grades stands in a folder with files of others, or in another checkout of ours."""
    (tmp_path / "nbformat.py").write_text("raise SystemExit('somebody else')\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("grader"), "validate", "01-adding", "--no-mutants"]
    done = subprocess.run(
        [*command, "--workers", "1", "--solutions", str(COURSE)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
