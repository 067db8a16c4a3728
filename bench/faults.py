"""Kill the grader at random moments, let it go on, and compare with a run that nobody disturbed.

    python bench/faults.py [kills] [students] [seed]

The last gradebook, pages and notebooks must be the same, byte for byte where bytes have a meaning:
times, numbers of rows and names of machines have none. And nothing that was known is graded again:
the journal has one outcome for each submission.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook
from rich.console import Console

from grader import demo
from grader.classroom import Classroom
from grader.course import Course, load_course
from grader.journal import Journal, Spool

COURSE = Path(__file__).parents[1] / "tests" / "cases" / "course"
UNIT = "01-adding"
out = Console(width=120)


def make_class(
    folder: Path, students: int, course: Course, unit: str = UNIT, db: str | None = None
) -> Classroom:
    """Make a class of copies of the demo's students: right, wrong and unreadable ones."""
    classroom = demo.open_class(folder, db)
    assignment = classroom.assignment(unit, course)
    people = demo.students(course[unit], assignment)
    demo.hand_in(classroom, assignment, people)
    submitted = folder / "submitted"
    for number in range(students - len(people)):
        person = people[number % len(people)].name
        shutil.copytree(submitted / person, submitted / f"{person}-{number}")
    for extra in people[students:]:
        shutil.rmtree(submitted / extra.name)
    return classroom


def grade(classroom: Classroom, courses: Path, kill_after: float | None = None) -> int:
    """Run ``grader grade``, for `kill_after` seconds or to its end; return its exit code."""
    command = [sys.executable, "-m", "grader.cli", "grade", UNIT, "--class", str(classroom.root)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command, "--solutions", str(courses)], stdout=said, stderr=subprocess.STDOUT
        )
        try:
            return process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.wait()


def outcome(classroom: Classroom, unit: str = UNIT) -> dict[str, Any]:
    """Return all that a class's grading has left, without what has no meaning."""
    found: dict[str, Any] = {}
    with Gradebook(classroom.database) as gradebook:
        for submission in gradebook.assignment_submissions(unit):
            who = submission.student.id
            for notebook in submission.notebooks:
                for one in notebook.grades:
                    marks = (one.auto_score, one.manual_score, one.extra_credit)
                    found[f"mark of {who}, {one.name}"] = (*marks, one.needs_manual_grade)
                for one in notebook.comments:
                    found[f"comment for {who}, {one.name}"] = (one.auto_comment, one.manual_comment)
                found[f"penalty of {who}"] = notebook.late_submission_penalty
            found[f"hand-in of {who}"] = submission.timestamp
    for kind in ("autograded", "feedback"):
        folder = classroom.root / kind
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found[str(path.relative_to(classroom.root))] = _meaning(path)
    found["results that wait"] = Spool(classroom.private).attempts()
    return found


def _meaning(path: Path) -> Any:
    """Return what counts of a file."""
    if path.name == "graded.json":
        record = json.loads(path.read_text(encoding="utf-8"))
        for cell in record["cells"]:
            del cell["seconds"]
        return record | {"seconds": None, "machine": None}
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.metadata.get("judged", {}).pop("seconds", None)
            cell.metadata.pop("execution", None)
            cell.metadata.pop("papermill", None)
        notebook.metadata.pop("papermill", None)
        return nbformat.writes(notebook)
    return path.read_bytes()


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what differs."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def counted(classroom: Classroom, unit: str = UNIT) -> tuple[int, int]:
    """Return how many attempts were begun, and how many of them have an outcome."""
    with Journal(classroom) as journal:
        tries = [one for name in classroom.students(unit) for one in journal.history(unit, name)]
    return len(tries), sum(one.kind is not None for one in tries)


def main(kills: int = 20, students: int = 40, seed: int = 0) -> None:
    """Kill `kills` times, and say what is different afterwards."""
    luck = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        course = load_course(COURSE)
        calm = make_class(Path(folder) / "calm", students, course)
        wild = make_class(Path(folder) / "wild", students, course)
        began = time.monotonic()
        grade(calm, COURSE)
        seconds = time.monotonic() - began
        killed = 0
        for _ in range(kills):
            after = luck.uniform(0.0, min(seconds, 15.0))
            killed += grade(wild, COURSE, after) == -signal.SIGKILL
        last = grade(wild, COURSE)
        begun, ended = counted(wild)
        different = differences(outcome(calm), outcome(wild))
    out.print(
        f"{students} submissions, {seconds:.0f} s undisturbed; killed {killed} times, "
        f"{begun} attempts begun, {ended} ended; exit code {last}; "
        f"{len(different)} things differ"
    )
    for name in different:
        out.print(f"  {name}")
    if different or ended != students:
        sys.exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
