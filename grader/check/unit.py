"""What a unit's notebook says of itself, and how much of it passes the checks that it shows.

What has passed stands beside the notebook in a hidden file of its own,
`.progress-02-convolution.json`, so that it outlives the kernel and the course page can tell it.
Nobody depends on that file: where it is damaged or cannot be written, nothing is said of it.
"""

import contextlib
import json
import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

PLACES = ("", "notebooks")  # where units are, seen from where somebody works


@dataclass(frozen=True)
class Unit:
    """One unit of the course.

    Attributes:
        name: "02-convolution"
        points: of the whole unit; some are given by a person, for written answers.
        tests: {name of a test cell: its points}
        notebook: its file.
    """

    name: str
    title: str
    minutes: int
    points: float
    tests: dict[str, float]
    notebook: Path


@dataclass(frozen=True)
class Progress:
    """How much of a unit passes: of its exercises, and of the points of its test cells."""

    exercises: int
    all_exercises: int
    points: float
    all_points: float

    def __str__(self) -> str:
        return (
            f"{self.exercises} of {self.all_exercises} exercises, "
            f"{self.points:g} of {self.all_points:g} points"
        )


def read_unit(notebook: Path) -> Unit | None:
    """Return the unit of a student's notebook; None if it cannot be read, or is no lesson."""
    try:
        document = json.loads(notebook.read_text(encoding="utf-8"))
        lesson = document["metadata"]["lesson"]
        cells = [cell["metadata"].get("nbgrader", {}) for cell in document["cells"]]
        graded = [cell for cell in cells if cell.get("grade")]
        return Unit(
            name=str(lesson["unit"]),
            title=str(lesson["title"]),
            minutes=int(lesson["minutes"]),
            points=sum(float(cell["points"]) for cell in graded),
            tests={
                str(cell["grade_id"]): float(cell["points"])
                for cell in graded
                if not cell["solution"]
            },
            notebook=notebook,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # anybody may put anything there


def find_units(root: Path) -> list[Unit]:
    """Return the units below `root`, in order: the course's folder, or that of its notebooks."""
    found: dict[str, Unit] = {}
    for place in PLACES:
        # Of a lesson and its copies the lesson has the shortest name.
        for path in sorted(root.glob(f"{place}/[0-9]*/*.ipynb".lstrip("/")), key=_length):
            unit = read_unit(path)
            if unit is not None:
                found.setdefault(unit.name, unit)
    return [found[name] for name in sorted(found)]


def _length(path: Path) -> tuple[int, str]:
    return len(path.name), str(path)


def exercise_of(test: str) -> str:
    """Return the exercise of a test cell: `conv2d` of `conv2d-stride`."""
    return test.rpartition("-")[0] or test


def progress(unit: Unit, passed: Set[str]) -> Progress:
    """Return how far one is whose test cells `passed` do."""
    every = {exercise_of(test) for test in unit.tests}
    open_ = {exercise_of(test) for test in unit.tests if test not in passed}
    points = sum(points for test, points in unit.tests.items() if test in passed)
    return Progress(len(every - open_), len(every), points, sum(unit.tests.values()))


def line(unit: Unit, passed: Set[str]) -> str:
    """Return how far one is, in one line: "02-convolution: 7 of 10 exercises, ..."."""
    return f"{unit.name}: {progress(unit, passed)} (visible checks)"


def load_passed(unit: Unit) -> set[str] | None:
    """Return the test cells that passed when they ran last; None where nothing is written."""
    try:
        passed = json.loads(_file(unit).read_text(encoding="utf-8"))["passed"]
        return {test for test in unit.tests if test in passed}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def save_passed(unit: Unit, passed: Set[str]) -> None:
    """Write down which test cells pass."""
    path = _file(unit)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # a disk that is full, a folder of somebody else's
        try:
            beside.write_text(json.dumps({"passed": sorted(passed)}) + "\n", encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _file(unit: Unit) -> Path:
    return unit.notebook.with_name(f".progress-{unit.name}.json")
