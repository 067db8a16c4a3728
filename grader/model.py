"""What travels between the floors: frozen, picklable, and made of plain values.

A notebook travels as the JSON text of its file, so that a task can be sent to another machine
and nobody can change a notebook that somebody else holds.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

RECORD = "graded.json"  # the file that keeps `Graded.to_dict`, beside the executed notebooks


class Verdict(StrEnum):
    """What became of one graded cell."""

    PASSED = "passed"  # ran to its end and earned all its points
    FAILED = "failed"  # ran and earned less
    NOT_RUN = "not_run"  # there is no proof that it ran: no points
    BROKEN = "broken"  # the test itself or the grader is at fault, not the student
    MANUAL = "manual"  # waits for a person


class Status(StrEnum):
    """What became of a submission as a whole."""

    GRADED = "graded"
    NEEDS_MANUAL = "needs_manual"  # graded, and a person still has to read some answers
    UNREADABLE = "unreadable"  # no notebook in it could be read: zero, with the reason in the notes
    BROKEN = "broken"  # the grader failed on it: nothing is known about the student's work


class Profile(StrEnum):
    """What a lesson is to do: what a student waits for, or all that it can measure."""

    QUICK = "quick"
    FULL = "full"


class System(StrEnum):
    """For whom grades are exported."""

    NBGRADER = "nbgrader"
    CANVAS = "canvas"
    MOODLE = "moodle"
    JSON = "json"


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds, bytes, and numbers of things.

    Times and output hold everywhere; the others where kernels are sandboxed.

    Attributes:
        cell_seconds, submission_seconds: wall clock.
        cell_cpu_seconds, submission_cpu_seconds: of all its processes and threads together.
        memory_bytes: of all its processes together, and of each one.
        gpu_memory_bytes: of all its processes together, where the unit asks for a GPU.
        processes: at a time, threads included.
        open_files: at a time, in one process.
        file_bytes: of one file.
        disk_bytes, inodes: of all it writes, in its folder, in /tmp and in /dev/shm, each.
        output_bytes: of one cell; what comes after is dropped, and the cell interrupted.
        pictures, picture_bytes: pictures that one cell may show, and the size of each.
    """

    cell_seconds: float = 30.0
    submission_seconds: float = 300.0
    cell_cpu_seconds: float = 60.0
    submission_cpu_seconds: float = 600.0
    memory_bytes: int = 2 * 2**30
    gpu_memory_bytes: int = 4 * 2**30
    processes: int = 128
    open_files: int = 512
    file_bytes: int = 100_000_000
    disk_bytes: int = 200_000_000
    inodes: int = 10_000
    output_bytes: int = 4_000_000
    pictures: int = 60
    picture_bytes: int = 2_000_000


@dataclass(frozen=True)
class SourceNotebook:
    """One notebook of an assignment.

    Attributes:
        name: file name without ``.ipynb``.
        sealed: what is executed: solutions cleared, hidden tests in.
        released: what students were given.
    """

    name: str
    sealed: str
    released: str


@dataclass(frozen=True)
class Misconception:
    """A known wrong solution of an exercise.

    Attributes:
        hint: what its author needs to hear.
        fails: names of the test cells that it fails.
    """

    exercise: str
    name: str
    hint: str
    source: str
    fails: tuple[str, ...]


@dataclass(frozen=True)
class Assignment:
    """All that is needed to grade a submission of one unit, on any machine.

    Attributes:
        files: support files beside the notebooks, (relative path, content).
        environment: variables that the kernel is given. nbgrader promises its authors
            ``NBGRADER_EXECUTION``; a lesson of ours never learns that it is being graded.
        gpu: it is to run on one.
        without_gpu: what becomes of it where there is none: it waits, or `on_cpu` is graded.
        lean: the course's own cells are run only where a mark can depend on them.
        misconceptions: known wrong solutions; their hints go into feedback.
        worlds: (exercise, ((name, source) of the cells that its answer stands on, itself right)).
        judged: test cells run in a kernel of their own, which the student's code never enters.
        parameters: papermill parameters, injected where a notebook has a ``parameters`` cell.
    """

    unit: str
    notebooks: tuple[SourceNotebook, ...]
    files: tuple[tuple[str, bytes], ...] = ()
    limits: Limits = field(default_factory=Limits)
    environment: tuple[tuple[str, str], ...] = ()
    gpu: bool = False
    without_gpu: Literal["wait", "quick"] = "wait"
    lean: bool = False
    judged: bool = False
    misconceptions: tuple[Misconception, ...] = ()
    worlds: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    parameters: tuple[tuple[str, str | int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        files = [(path, b64encode(content).decode()) for path, content in self.files]
        return asdict(self) | {"files": files}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Assignment:
        """Return what `to_dict` was given.

        Raises:
            KeyError, TypeError, ValueError: it was written by another version.
        """
        known = dict(plain)
        known["notebooks"] = tuple(SourceNotebook(**one) for one in plain["notebooks"])
        known["files"] = tuple((path, b64decode(content)) for path, content in plain["files"])
        known["limits"] = Limits(**plain["limits"])
        known["misconceptions"] = tuple(
            Misconception(**{**one, "fails": tuple(one["fails"])})
            for one in plain["misconceptions"]
        )
        known["worlds"] = tuple(
            (name, tuple((cell, source) for cell, source in cells))
            for name, cells in plain["worlds"]
        )
        for name in ("environment", "parameters"):
            known[name] = tuple((key, value) for key, value in plain[name])
        return cls(**known)


def on_cpu(assignment: Assignment) -> Assignment:
    """Return `assignment` as it is graded without a GPU: in its quick profile."""
    instead: dict[str, str | int] = {"profile": "quick", "device": "cpu"}
    parameters = tuple((key, instead.get(key, value)) for key, value in assignment.parameters)
    return replace(assignment, gpu=False, parameters=parameters)


@dataclass(frozen=True)
class Submission:
    """What a student handed in.

    Attributes:
        notebooks: (name without ``.ipynb``, content of the file), only names the unit knows.
        notes: what was odd about the folder itself (a link, a file that is far too large).
        stamp: nbgrader's ``timestamp.txt``, from which a late penalty is reckoned.
    """

    student: str
    unit: str
    notebooks: tuple[tuple[str, bytes], ...]
    notes: tuple[str, ...] = ()
    stamp: str = ""


@dataclass(frozen=True)
class CellResult:
    """The verdict on one graded cell.

    Attributes:
        points: earned; None while a person has not decided.
        seconds: wall clock that the cell ran.
        message: why it failed, as the student may read it: no hidden source, no expected values.
        no_response: the student left an answer cell as it was released.
        exercise: the answer cell that it belongs to, its own name where none is known.
        misconceptions: names of those that give the same wrong answers in this test.
        hints: theirs.
    """

    notebook: str
    grade_id: str
    points: float | None
    max_points: float
    verdict: Verdict
    seconds: float = 0.0
    message: str = ""
    no_response: bool = False
    exercise: str = ""
    misconceptions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the plain form that ``--json`` prints (docs/commands.md)."""
        return {
            "notebook": self.notebook,
            "grade_id": self.grade_id,
            "exercise": self.exercise or self.grade_id,
            "points": self.points,
            "max_points": self.max_points,
            "verdict": str(self.verdict),
            "seconds": round(self.seconds, 3),
            "message": self.message,
            "misconceptions": list(self.misconceptions),
            "hints": list(self.hints),
        }


@dataclass(frozen=True)
class GradedNotebook:
    """One executed notebook with its verdicts.

    Attributes:
        executed: JSON text, as it goes into ``autograded/`` (also when nothing could be run).
        unanswered: grade_ids of answer cells that were left as released, graded or not.
        evidence: what its code has no business with, for a teacher; no part of any score.
    """

    name: str
    executed: str
    cells: tuple[CellResult, ...]
    unanswered: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graded:
    """The outcome of grading one submission.

    Attributes:
        files: small files that the notebooks wrote beside themselves, (relative path, content).
        seed: of the random numbers that it was graded with.
        machine: where it ran.
        aside: it ended its grader again and again, and is not tried again by itself.
    """

    student: str
    unit: str
    status: Status
    notebooks: tuple[GradedNotebook, ...]
    notes: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    seconds: float = 0.0
    seed: int = 0
    machine: str = ""
    aside: bool = False

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """The verdicts of all notebooks, in order."""
        return tuple(cell for notebook in self.notebooks for cell in notebook.cells)

    @property
    def score(self) -> float:
        """Points earned so far; cells that wait for a person count as zero."""
        return sum(cell.points or 0.0 for cell in self.cells)

    @property
    def max_score(self) -> float:
        """Points that can be earned, by hand-graded cells too."""
        return sum(cell.max_points for cell in self.cells)

    def to_dict(self) -> dict[str, object]:
        """Return the plain form that ``grader grade --json`` prints (docs/commands.md)."""
        return {
            "student": self.student,
            "unit": self.unit,
            "score": self.score,
            "max_score": self.max_score,
            "status": str(self.status),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            "machine": self.machine,
            "aside": self.aside,
            "evidence": [line for notebook in self.notebooks for line in notebook.evidence],
            "cells": [cell.to_dict() for cell in self.cells],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Graded:
        """Return what `to_dict` was given, but for executed notebooks and files."""
        cells: dict[str, list[CellResult]] = {}
        for one in plain["cells"]:
            known = {**one, "verdict": Verdict(one["verdict"])}
            known |= {name: tuple(one[name]) for name in ("misconceptions", "hints")}
            cells.setdefault(one["notebook"], []).append(CellResult(**known))
        evidence = tuple(plain["evidence"])
        notebooks = [
            GradedNotebook(name, "", tuple(some), evidence=evidence if n == 0 else ())
            for n, (name, some) in enumerate(cells.items())
        ]
        return cls(
            plain["student"],
            plain["unit"],
            Status(plain["status"]),
            tuple(notebooks),
            tuple(plain["notes"]),
            seconds=plain["seconds"],
            seed=plain["seed"],
            machine=plain["machine"],
            aside=plain.get("aside", False),
        )
