"""Gradebook -> files for other systems: nbgrader's CSV, Canvas, Moodle, JSON, a zip of feedback.

A score is written if it is one: not while a person has still to read something, and never where
the grader itself failed. Late penalties are taken off and nothing is below zero, as in nbgrader's
own export.

`QuotedCsvExport` is what ``nbgrader export`` runs in a class folder. nbgrader's own plugin joins
fields with commas as they are: a name with a comma moves the columns, and one that begins with
``=`` is a formula to the spreadsheet that opens the file.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import CsvExportPlugin

from grader import database as databases
from grader import gradesheets, sheets
from grader.classroom import Classroom
from grader.entries import Entry, Told, entries
from grader.errors import UsageError, nearest
from grader.gradesheets import Filled, Person, Scores
from grader.model import System

FORMAT = 1  # of the JSON; a change that a reader could trip over makes it 2
COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)  # nbgrader's


class State(StrEnum):
    """What a student's score of a unit is."""

    FINAL = "final"
    WAITING = "waiting"  # a person has still to decide something
    BROKEN = "broken"  # the grader or a test failed, and no person has decided since
    UNGRADED = "ungraded"  # handed in, and not in the gradebook
    MISSING = "missing"  # nothing was handed in


@dataclass(frozen=True)
class Wish:
    """What is to be exported, and how.

    Attributes:
        units: all that were graded where none is named.
        template: what the system itself exported.
        roster: see `gradesheets.read_roster`.
        titles: {unit: what the system calls it}.
        waiting: scores that wait for a person are written all the same.
        zeros: so is a zero for what was not handed in.
        scale: to what the template says a unit is worth.
    """

    to: System
    units: tuple[str, ...] = ()
    template: Path | None = None
    roster: Path | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    waiting: bool = False
    zeros: bool = False
    scale: bool = False


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Attributes:
        count: scores that were written.
        held: a line for each submission whose score was not.
        problems: a line for each student and unit that found no place.
        book: where it comes from.
        folders: {student: their folder in Moodle's zip of feedback}.
    """

    content: bytes
    count: int
    held: tuple[str, ...]
    problems: tuple[str, ...]
    book: Book
    folders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """One unit of the gradebook: `entries` by student, and who handed in and is not in it."""

    name: str
    max_score: float
    due: datetime | None
    entries: Mapping[str, Entry]
    ungraded: frozenset[str]
    waiting: bool

    def state(self, student: str) -> State:
        """Return what a student's score is."""
        entry = self.entries.get(student)
        if entry is None:
            return State.UNGRADED if student in self.ungraded else State.MISSING
        if entry.undecided or (entry.is_broken and not entry.marks):
            return State.BROKEN
        return State.WAITING if entry.waiting else State.FINAL

    def counts(self, student: str) -> bool:
        """Whether a score of theirs is written."""
        state = self.state(student)
        return state is State.FINAL or (state is State.WAITING and self.waiting)

    @property
    def held(self) -> dict[str, str]:
        """{student: why their score is not written} of those who handed in."""
        why = {}
        for student in sorted({*self.entries, *self.ungraded}):
            if self.counts(student):
                continue
            entry = self.entries.get(student)
            why[student] = {
                State.BROKEN: "the grader failed on it"
                + (f" ({', '.join(entry.undecided)})" if entry and entry.undecided else ""),
                State.WAITING: f"waits for a person ({', '.join(entry.waiting if entry else ())})",
                State.UNGRADED: "was handed in and is not graded yet",
            }[self.state(student)]
        return why


@dataclass(frozen=True)
class Book:
    """What the gradebook and the class folder know; `people`: {student: what nbgrader knows}."""

    classroom: Classroom
    units: tuple[Unit, ...]
    people: Mapping[str, Mapping[str, str | None]]


def export(classroom: Classroom, wish: Wish) -> Exported:
    """Make the file that is wished for.

    Raises:
        UsageError: something that was named does not exist, or is not what it should be.
        GraderError: the gradebook cannot be read.
    """
    _check(wish)
    url = classroom.database
    if not databases.is_there(url):
        raise _nothing(classroom)
    with databases.gradebook(url) as gradebook:
        book = _book(classroom, gradebook, wish)
        content, filled = _content(gradebook, book, wish)
    held = [f"{s}: {u.name} {why}" for u in book.units for s, why in u.held.items()]
    count = sum(unit.counts(student) for unit in book.units for student in unit.entries)
    return Exported(
        content=content,
        count=filled.count if filled else count,
        held=tuple(held),
        problems=filled.problems if filled else (),
        book=book,
        folders=filled.folders if filled else {},
    )


def _check(wish: Wish) -> None:
    """Refuse what would have no effect, for somebody expects one."""
    if wish.to in (System.NBGRADER, System.JSON):
        for option, given in (
            ("--template", wish.template),
            ("--roster", wish.roster),
            ("--column", wish.titles),
        ):
            if given:
                raise UsageError(f"{option} is for canvas and moodle, and not for {wish.to}")
    if wish.scale and wish.template is None:
        raise UsageError("--scale needs a --template, which says to what")
    if wish.to is System.NBGRADER and wish.zeros:
        raise UsageError("nbgrader's file has a zero for what was not handed in in any case")


def _content(gradebook: Gradebook, book: Book, wish: Wish) -> tuple[bytes, Filled | None]:
    if wish.to is System.NBGRADER:
        held = {(unit.name, student) for unit in book.units for student in unit.held}
        rows = nbgrader_rows(gradebook, [unit.name for unit in book.units], held=held)
        return _lines(rows), None
    if wish.to is System.JSON:
        return _json(book, zeros=wish.zeros), None
    filled = _sheet(book, wish)
    return filled.sheet.encode(), filled


# ---- the gradebook --------------------------------------------------------------------------


def _book(classroom: Classroom, gradebook: Gradebook, wish: Wish) -> Book:
    assignments = {assignment.name: assignment for assignment in gradebook.assignments}
    for name in (*wish.units, *wish.titles):
        if name not in assignments:
            raise UsageError(f'no unit "{name}" was graded.{nearest(name, assignments)}')
    units = []
    for name in sorted(set(wish.units) or assignments):
        found = {entry.student: entry for entry in entries(classroom, gradebook, name)}
        if found or wish.units:
            assignment = assignments[name]
            handed_in = set(classroom.students(name))
            units.append(
                Unit(
                    name=name,
                    max_score=float(assignment.max_score),
                    due=assignment.duedate,
                    entries=found,
                    ungraded=frozenset(handed_in - found.keys()),
                    waiting=wish.waiting,
                )
            )
    if not units:
        raise _nothing(classroom)
    people = {
        student.id: {
            "first_name": student.first_name,
            "last_name": student.last_name,
            "email": student.email,
            "lms_user_id": student.lms_user_id,
        }
        for student in gradebook.students
    }
    for unit in units:
        people |= {name: {} for name in unit.ungraded if name not in people}
    return Book(classroom, tuple(units), dict(sorted(people.items())))


def _nothing(classroom: Classroom) -> UsageError:
    return UsageError(f"nothing has been graded in {classroom.root} yet: run grader grade")


# ---- nbgrader -------------------------------------------------------------------------------


class QuotedCsvExport(CsvExportPlugin):  # type: ignore[misc]  # nbgrader ships no types
    """See the module; the columns, options and scores are nbgrader's."""

    def export(self, gradebook: Gradebook) -> None:
        """Write ``grades.csv``, or the file that nbgrader's option ``--to`` names."""
        rows = nbgrader_rows(gradebook, self.assignment, self.student)
        Path(self.to or "grades.csv").write_bytes(_lines(rows))


def nbgrader_rows(
    gradebook: Gradebook,
    assignments: Collection[str] = (),
    students: Collection[str] = (),
    held: Collection[tuple[str, str]] = (),
) -> Iterator[list[object]]:
    """Yield a row for each assignment and student, of those named or of all.

    Args:
        held: (assignment, student) whose score is left out.
    """
    # nbgrader's order, and where it has none, for SQLite and PostgreSQL differ, that of ids.
    people = sorted(
        gradebook.students, key=lambda one: (one.last_name or "", one.first_name or "", one.id)
    )
    for assignment in gradebook.assignments:
        if assignments and assignment.name not in assignments:
            continue
        for student in people:
            if not students or student.id in students:
                row = _row(gradebook, assignment, student)
                if (assignment.name, student.id) in held:
                    row |= {"raw_score": None, "score": None}
                yield [row[column] for column in COLUMNS]


def _row(gradebook: Gradebook, assignment: Any, student: Any) -> dict[str, Any]:
    row = {
        "assignment": assignment.name,
        "duedate": assignment.duedate,
        "student_id": student.id,
        "last_name": student.last_name,
        "first_name": student.first_name,
        "email": student.email,
        "max_score": assignment.max_score,
        "timestamp": None,
        "raw_score": 0.0,
        "late_submission_penalty": 0.0,
        "score": 0.0,
    }
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:  # handed nothing in
        return row
    penalty = submission.late_submission_penalty
    return row | {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
    }


def _lines(rows: Iterable[list[object]]) -> bytes:
    lines = [sheets.line(COLUMNS)]
    lines += [sheets.line([sheets.safe(value) for value in row]) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


# ---- Canvas and Moodle ----------------------------------------------------------------------


def _sheet(book: Book, wish: Wish) -> Filled:
    listed = gradesheets.read_roster(wish.roster) if wish.roster else {}
    folders = {sheets.normal(student): student for student in book.people}
    roster = {folders.get(student, student): known for student, known in listed.items()}
    people = {student: _person(book, student, roster) for student in {*book.people, *roster}}
    units = [_scores(unit, wish.titles.get(unit.name, unit.name)) for unit in book.units]
    if wish.template is not None:
        template = sheets.read(wish.template)
        if wish.to is System.CANVAS:
            fill = gradesheets.fill_canvas
            return fill(template, units, people, scale=wish.scale, zeros=wish.zeros)
        if len(units) > 1:
            names = ", ".join(unit.unit for unit in units)
            raise UsageError(f"a worksheet of Moodle's is of one assignment; name one of {names}")
        return gradesheets.fill_moodle(
            template, units[0], people, scale=wish.scale, zeros=wish.zeros
        )
    if wish.to is System.MOODLE:
        return gradesheets.new_moodle(
            units, people, zeros=wish.zeros, listed=wish.roster is not None
        )
    if wish.roster is None:
        raise UsageError(
            "Canvas needs --template FILE.csv, which it exports itself (Gradebook, Export), or "
            "--roster FILE.csv with the columns student and SIS Login ID, SIS User ID or ID"
        )
    return gradesheets.new_canvas(units, people, zeros=wish.zeros)


def _person(book: Book, student: str, roster: Mapping[str, Mapping[str, str]]) -> Person:
    known = book.people.get(student, {})
    found = {
        "name": " ".join(filter(None, (known.get("first_name"), known.get("last_name")))),
        "email": known.get("email") or "",
        **dict.fromkeys(("canvas", "moodle"), known.get("lms_user_id") or ""),
    }
    return Person(
        student, roster.get(student, {}), {n: value for n, value in found.items() if value}
    )


def _scores(unit: Unit, title: str) -> Scores:
    given = {s: entry.score for s, entry in unit.entries.items() if unit.counts(s)}
    return Scores(unit.name, title, unit.max_score, given, frozenset(unit.held))


# ---- JSON -----------------------------------------------------------------------------------


def _json(book: Book, *, zeros: bool) -> bytes:
    document = {
        "format": FORMAT,
        "class": book.classroom.root.resolve().name,
        "units": [
            {"unit": unit.name, "max": unit.max_score, "due": _time(unit.due)}
            for unit in book.units
        ],
        "students": [
            {
                "student": student,
                **{name: known.get(name) for name in ("first_name", "last_name", "email")},
                "lms_user_id": known.get("lms_user_id"),
                "units": [_student(unit, student, zeros=zeros) for unit in book.units],
            }
            for student, known in book.people.items()
        ],
    }
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    # Half a character, as a student's message may hold it, becomes what JSON calls it.
    return text.encode(errors="backslashreplace")


def _student(unit: Unit, student: str, *, zeros: bool) -> dict[str, object]:
    state, entry = unit.state(student), unit.entries.get(student)
    found: dict[str, object] = {"unit": unit.name, "state": str(state), "max": unit.max_score}
    if entry is None:
        nothing = 0.0 if zeros and state is State.MISSING else None
        return found | {"raw": nothing, "penalty": nothing, "score": nothing, "cells": []}
    counts = unit.counts(student)
    told = {(one.notebook, one.cell): one for one in entry.told}
    return found | {
        "raw": entry.raw if counts else None,
        "penalty": entry.penalty,
        "score": entry.score if counts else None,
        "status": entry.status or None,
        "handed_in": _time(entry.handed_in),
        "due": _time(entry.due),
        "seed": entry.seed,
        "notes": list(entry.notes),
        "evidence": list(entry.evidence),
        "cells": [
            {
                "notebook": mark.notebook,
                "cell": mark.cell,
                "points": None if mark.waiting else mark.score,
                "max": mark.max_score,
                "auto": mark.auto,
                "manual": mark.manual,
                "extra": mark.extra,
                "waiting": mark.waiting,
                **_told(told.get((mark.notebook, mark.cell))),
            }
            for mark in entry.marks
        ],
    }


def _told(told: Told | None) -> dict[str, object]:
    if told is None:  # nbgrader alone has graded it
        return {}
    return {
        "exercise": told.exercise,
        "verdict": told.verdict,
        "message": told.message,
        "misconceptions": list(told.misconceptions),
        "hints": list(told.hints),
    }


def _time(moment: datetime | None) -> str | None:
    """Return a time of the database, which is in UTC and does not say so."""
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None


# ---- feedback -------------------------------------------------------------------------------


def feedback(exported: Exported, wish: Wish) -> tuple[bytes, int, tuple[str, ...]]:
    """Return a zip of the pages of all whose score is written, how many, and who has no place.

    ``<student>/<unit>/<notebook>.html``; for Moodle one folder a student, as its "upload multiple
    feedback files in a zip" finds people: ``<full name>_<number>_assignsubmission_file_/``.

    Raises:
        UsageError: for Moodle, of more than one unit.
    """
    book = exported.book
    is_moodle = wish.to is System.MOODLE
    if is_moodle and len(book.units) > 1:
        names = ", ".join(unit.name for unit in book.units)
        raise UsageError(f"Moodle takes feedback on one assignment at a time; name one of {names}")
    buffer = io.BytesIO()
    count, problems = 0, []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for unit in book.units:
            for student in sorted(unit.entries):
                pages = sorted(book.classroom.feedback(student, unit.name).glob("*.html"))
                if not pages or not unit.counts(student):
                    continue
                folder = f"{student}/{unit.name}"
                if is_moodle:
                    if student not in exported.folders:
                        if wish.template is None:  # else it was said that they are not in it
                            problems.append(f"{student}: no feedback, Moodle's number is not known")
                        continue
                    folder = exported.folders[student]
                for page in pages:
                    # Without a time: the same pages are the same file.
                    name = zipfile.ZipInfo(f"{folder}/{page.name}")
                    name.compress_type, name.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(name, page.read_bytes())
                    count += 1
    return buffer.getvalue(), count, tuple(problems)
