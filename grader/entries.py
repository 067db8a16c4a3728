"""Gradebook -> what is known of each submission: its marks, and what the grader said."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from grader.model import Status, Verdict


@dataclass(frozen=True)
class Mark:
    """One grade of the gradebook.

    Attributes:
        auto, manual: what tests and a person gave; None where they gave nothing.
        extra: what a person gave on top.
    """

    notebook: str
    cell: str
    score: float
    max_score: float
    waiting: bool
    auto: float | None = None
    manual: float | None = None
    extra: float = 0.0


@dataclass(frozen=True)
class Told:
    """What the grader said of one cell."""

    cell: str
    verdict: str
    message: str
    notebook: str = ""
    exercise: str = ""
    misconceptions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Entry:
    """One student's submission of one unit.

    Attributes:
        score: points as they count: late penalty taken off, never below zero.
        raw: points before the penalty.
        evidence: what the code has no business with; a person may want to ask.
        links: (notebook, address of its feedback page relative to the report).
        handed_in, due: in UTC, without saying so; an extension is in the latter.
        seconds: that its grading took; None where that is not known.
        aside: it ended its grader again and again.
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
    raw: float = 0.0
    handed_in: datetime | None = None
    due: datetime | None = None
    seed: int | None = None
    seconds: float | None = None
    aside: bool = False

    @property
    def lost(self) -> list[str]:
        """Cells that are decided and did not earn all their points."""
        return [m.cell for m in self.marks if not m.waiting and m.score < m.max_score]

    @property
    def waiting(self) -> list[str]:
        """Cells that a person has to decide."""
        return [mark.cell for mark in self.marks if mark.waiting]

    @property
    def undecided(self) -> list[str]:
        """Cells on which the grader, or a test, failed, and that no person has decided since."""
        broken = {
            (told.notebook, told.cell) for told in self.told if told.verdict == Verdict.BROKEN
        }
        return [m.cell for m in self.marks if m.waiting and (m.notebook, m.cell) in broken]

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
            Grade.auto_score,
            Grade.manual_score,
            Grade.extra_credit,
        )
        .select_from(Grade)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .where(Assignment.name == unit)
    )
    for student, notebook, cell, score, maximum, waiting, auto, manual, extra in rows:
        mark = Mark(
            notebook, cell, float(score), float(maximum), bool(waiting), auto, manual, extra or 0.0
        )
        marks.setdefault(student, []).append(mark)
    submissions = database.db.execute(
        select(
            SubmittedAssignment.student_id,
            SubmittedAssignment.score,
            SubmittedAssignment.max_score,
            SubmittedAssignment.late_submission_penalty,
            SubmittedAssignment.timestamp,
            SubmittedAssignment.extension,
            Assignment.duedate,
        )
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .where(Assignment.name == unit)
    )
    # Sorted here: PostgreSQL's order is that of a language, and not the same on two servers.
    return [
        _entry(
            classroom,
            unit,
            row,
            tuple(sorted(marks.get(row.student_id, ()), key=lambda one: (one.notebook, one.cell))),
        )
        for row in sorted(submissions, key=lambda one: str(one.student_id))
    ]


def _entry(classroom: Classroom, unit: str, row: Any, mine: tuple[Mark, ...]) -> Entry:
    student, penalty = row.student_id, float(row.late_submission_penalty)
    record = _record(classroom.record(student, unit))
    pages = classroom.feedback(student, unit)
    links = [
        (notebook, _address(pages / f"{notebook}.html", classroom.report))
        for notebook in sorted({mark.notebook for mark in mine})
        if (pages / f"{notebook}.html").is_file()
    ]
    return Entry(
        student=student,
        score=max(0.0, float(row.score) - penalty),  # as nbgrader's own export counts
        max_score=float(row.max_score),
        penalty=penalty,
        marks=mine,
        told=tuple(
            Told(
                cell=str(cell["grade_id"]),
                verdict=str(cell["verdict"]),
                message=markup.plain(str(cell["message"])),
                notebook=str(cell.get("notebook", "")),
                exercise=str(cell.get("exercise", "")),
                misconceptions=tuple(map(str, cell.get("misconceptions", ()))),
                hints=tuple(map(str, cell.get("hints", ()))),
                seconds=float(cell.get("seconds", 0.0)),
            )
            for cell in record.get("cells", ())
        ),
        status=str(record.get("status", "")),
        notes=tuple(str(note) for note in record.get("notes", ())),
        evidence=tuple(str(line) for line in record.get("evidence", ())),
        links=tuple(links),
        raw=float(row.score),
        handed_in=row.timestamp,
        due=row.duedate + (row.extension or timedelta()) if row.duedate else None,
        seed=record.get("seed"),
        seconds=record.get("seconds"),
        aside=bool(record.get("aside")),
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
