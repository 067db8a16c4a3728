"""Gradebook -> what is known of each submission: its marks, and what the grader said."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.api import Gradebook as Database
from sqlalchemy import select

from grader import markup
from grader.classroom import Classroom
from grader.model import Status


@dataclass(frozen=True)
class Mark:
    """One grade of the gradebook."""

    notebook: str
    cell: str
    score: float
    max_score: float
    waiting: bool


@dataclass(frozen=True)
class Told:
    """What the grader said of one cell."""

    cell: str
    verdict: str
    message: str


@dataclass(frozen=True)
class Entry:
    """One student's submission of one unit.

    Attributes:
        score: points as they count: late penalty taken off, never below zero.
        evidence: what the code has no business with; a person may want to ask.
        links: (notebook, address of its feedback page relative to the report).
    """

    student: str
    score: float
    max_score: float
    penalty: float
    marks: tuple[Mark, ...]
    told: tuple[Told, ...]
    status: str
    notes: tuple[str, ...]
    evidence: tuple[str, ...]
    links: tuple[tuple[str, str], ...]

    @property
    def lost(self) -> list[str]:
        """Cells that are decided and did not earn all their points."""
        return [m.cell for m in self.marks if not m.waiting and m.score < m.max_score]

    @property
    def waiting(self) -> list[str]:
        """Cells that a person has to decide."""
        return [mark.cell for mark in self.marks if mark.waiting]

    @property
    def is_unreadable(self) -> bool:
        """Whether nothing of it could be read."""
        return self.status == Status.UNREADABLE

    @property
    def is_broken(self) -> bool:
        """Whether the grader, or a test, failed on it."""
        return self.status == Status.BROKEN


def entries(classroom: Classroom, database: Database, unit: str) -> list[Entry]:
    """Return the submissions of `unit` that are in the gradebook, by student."""
    marks: dict[str, list[Mark]] = {}
    rows = database.db.execute(
        select(
            SubmittedAssignment.student_id,
            Notebook.name,
            BaseCell.name,
            Grade.score,
            Grade.max_score,
            Grade.needs_manual_grade,
        )
        .select_from(Grade)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .where(Assignment.name == unit)
    )
    for student, notebook, cell, score, maximum, waiting in rows:
        mark = Mark(notebook, cell, float(score), float(maximum), bool(waiting))
        marks.setdefault(student, []).append(mark)
    submissions = database.db.execute(
        select(
            SubmittedAssignment.student_id,
            SubmittedAssignment.score,
            SubmittedAssignment.max_score,
            SubmittedAssignment.late_submission_penalty,
        )
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .where(Assignment.name == unit)
        .order_by(SubmittedAssignment.student_id)
    )
    return [
        _entry(classroom, unit, student, float(score), float(maximum), float(penalty), marks)
        for student, score, maximum, penalty in submissions
    ]


def _entry(
    classroom: Classroom,
    unit: str,
    student: str,
    score: float,
    maximum: float,
    penalty: float,
    marks: dict[str, list[Mark]],
) -> Entry:
    record = _record(classroom.record(student, unit))
    mine = marks.get(student, [])
    pages = classroom.feedback(student, unit)
    links = [
        (notebook, _address(pages / f"{notebook}.html", classroom.report))
        for notebook in sorted({mark.notebook for mark in mine})
        if (pages / f"{notebook}.html").is_file()
    ]
    return Entry(
        student=student,
        score=max(0.0, score - penalty),  # as nbgrader's own export counts
        max_score=maximum,
        penalty=penalty,
        marks=tuple(mine),
        told=tuple(
            Told(str(cell["grade_id"]), str(cell["verdict"]), markup.plain(str(cell["message"])))
            for cell in record.get("cells", ())
        ),
        status=str(record.get("status", "")),
        notes=tuple(str(note) for note in record.get("notes", ())),
        evidence=tuple(str(line) for line in record.get("evidence", ())),
        links=tuple(links),
    )


def _record(path: Path) -> dict[str, Any]:
    """Return a submission's record; empty where nbgrader alone has graded it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _address(page: Path, folder: Path) -> str:
    # The bytes of the name, whatever they are; a leading ".." keeps a name from being a scheme.
    return quote(os.fsencode(os.path.relpath(page, folder)))
