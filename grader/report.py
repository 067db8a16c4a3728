"""Gradebook -> one HTML file that shows a class at a glance.

The numbers are nbgrader's: its database is read, never written. Why a cell failed comes from the
``graded.json`` beside each executed notebook. The file carries its plots, runs no scripts and
fetches nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median

import nbformat
from markupsafe import Markup
from nbgrader.api import Assignment
from nbgrader.api import Student as Known
from sqlalchemy import select

from grader import database as databases
from grader import markup, plots
from grader.classroom import Classroom
from grader.clean import grade_id
from grader.entries import Entry, Mark, Told
from grader.entries import entries as read_entries
from grader.errors import UsageError
from grader.model import Verdict
from grader.plots import Share

MANY = 40  # rows; longer tables are folded
UNANSWERED = ("", "No response.", "not written yet")
MISTAKES = 6  # kinds of mistakes of one cell that are shown at once


@dataclass(frozen=True)
class Mistake:
    """Messages that say the same but for numbers."""

    message: str
    entries: tuple[Entry, ...]
    is_answer: bool  # and not an empty cell, or one that was not reached


@dataclass(frozen=True)
class Unit:
    """All that the template needs of one unit."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    shares: tuple[Share, ...]
    mistakes: tuple[tuple[Share, tuple[Mistake, ...]], ...]
    missing: tuple[str, ...]  # known students who handed in nothing
    ungraded: tuple[str, ...]  # handed in and not in the gradebook
    histogram: Markup
    success: Markup

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return max(entry.max_score for entry in self.entries)

    @property
    def mean(self) -> float:
        """Mean score of all submissions."""
        return fmean(entry.score for entry in self.entries)

    @property
    def median(self) -> float:
        """Median score of all submissions."""
        return median(entry.score for entry in self.entries)

    @property
    def broken(self) -> list[Entry]:
        """Submissions on which the grader or a test failed."""
        return [entry for entry in self.entries if entry.is_broken]

    @property
    def curious(self) -> list[Entry]:
        """Those whose code does what no exercise asks for."""
        return [entry for entry in self.entries if entry.evidence]

    @property
    def unreadable(self) -> list[Entry]:
        """Submissions of which nothing could be read."""
        return [entry for entry in self.entries if entry.is_unreadable]

    @property
    def waiting(self) -> int:
        """How many submissions wait for a person."""
        return sum(entry.is_broken or bool(entry.waiting) for entry in self.entries)

    @property
    def hardest(self) -> list[str]:
        """The cells in which most points were lost, three at most."""
        tested = [share for share, mistakes in self.mistakes if mistakes[0].is_answer]
        return [share.name for share in sorted(tested, key=lambda share: share.rate)[:3]]

    @property
    def to_read(self) -> list[tuple[str, list[Entry]]]:
        """(cell, submissions whose answer waits for a person), in the lesson's order."""
        waiting = [entry for entry in self.entries if entry.waiting and not entry.is_broken]
        cells = [share.name for share in self.shares]
        found = [(cell, [e for e in waiting if cell in e.waiting]) for cell in cells]
        return [(cell, entries) for cell, entries in found if entries]


def write_report(classroom: Classroom) -> Path:
    """Write DIR/report/index.html from the gradebook and return its path.

    Raises:
        UsageError: nothing has been graded in this class.
    """
    units = _units(classroom)
    if not units:
        raise UsageError(f"nothing has been graded in {classroom.root} yet: run grader grade")
    page = markup.template("report.html.j2").render(
        name=classroom.root.resolve().name,
        when=datetime.now().astimezone(),
        units=units,
        many=MANY,
        shown=MISTAKES,
    )
    classroom.report.mkdir(parents=True, exist_ok=True)
    path = classroom.report / "index.html"
    path.write_text(page, encoding="utf-8", errors="replace")
    return path


# ---- reading --------------------------------------------------------------------------------


def _units(classroom: Classroom) -> list[Unit]:
    url = classroom.database
    if not databases.is_there(url):
        return []
    units = []
    with databases.gradebook(url) as database:
        students = set(database.db.scalars(select(Known.id)))
        names = sorted(database.db.scalars(select(Assignment.name)))
        for place, name in enumerate(names):
            entries = read_entries(classroom, database, name)
            if entries:
                units.append(_unit(classroom, name, f"u{place}", entries, students))
    return units


# ---- one unit -------------------------------------------------------------------------------


def _unit(
    classroom: Classroom, name: str, key: str, entries: list[Entry], students: set[str]
) -> Unit:
    title, order = _lesson(classroom, name)
    readable = [entry for entry in entries if not entry.is_unreadable]
    shares = _shares(readable, order)
    graded = {entry.student for entry in entries}
    handed_in = set(classroom.students(name))
    scores = [entry.score for entry in entries]
    return Unit(
        name=name,
        title=title,
        entries=tuple(entries),
        shares=shares,
        mistakes=tuple(
            (share, mistakes) for share in shares if (mistakes := _mistakes(share.name, readable))
        ),
        missing=tuple(sorted(students - graded - handed_in)),
        ungraded=tuple(sorted(handed_in - graded)),
        histogram=plots.histogram(scores, max(e.max_score for e in entries), f"{key}h"),
        success=plots.success(shares, f"{key}s") if shares else Markup(),
    )


def _lesson(classroom: Classroom, unit: str) -> tuple[str, list[str]]:
    """Return the unit's title and its graded cells in the lesson's order."""
    title, order = "", []
    for path in sorted(classroom.released(unit).glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        title = title or str(notebook.metadata.get("lesson", {}).get("title", ""))
        order += [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
    return title or unit, order


def _shares(entries: Iterable[Entry], order: Sequence[str]) -> tuple[Share, ...]:
    marks: dict[str, list[Mark]] = {}
    for entry in entries:
        for mark in entry.marks:
            marks.setdefault(mark.cell, []).append(mark)
    place = {name: index for index, name in enumerate(order)}
    shares = []
    for name in sorted(marks, key=lambda name: (place.get(name, len(place)), name)):
        decided = [mark for mark in marks[name] if not mark.waiting]
        full = sum(mark.score >= mark.max_score for mark in decided)
        none = sum(mark.score <= 0 < mark.max_score for mark in decided)
        shares.append(
            Share(
                name=name,
                n=len(marks[name]),
                all_points=full,
                some_points=len(decided) - full - none,
                no_points=none,
                waiting=len(marks[name]) - len(decided),
            )
        )
    return tuple(shares)


def _mistakes(cell: str, entries: Iterable[Entry]) -> tuple[Mistake, ...]:
    """Group what was said of `cell`, most frequent first; what says nothing stands last."""
    groups: dict[str, list[tuple[str, Entry]]] = {}
    for entry in entries:
        for told in entry.told:
            if told.cell == cell and told.verdict in (Verdict.FAILED, Verdict.NOT_RUN):
                groups.setdefault(_kind(told), []).append((told.message, entry))
    found = []
    for kind, group in groups.items():
        usual = Counter(message for message, _ in group).most_common(1)[0][0]
        said = usual if kind else "not answered, or not run"
        found.append(Mistake(said, tuple(entry for _, entry in group), is_answer=bool(kind)))
    return tuple(sorted(found, key=lambda m: (not m.is_answer, -len(m.entries), m.message)))


def _kind(told: Told) -> str:
    """Return the message without the numbers in which one mistake may differ."""
    if told.verdict == Verdict.NOT_RUN or told.message in UNANSWERED:
        return ""
    message = re.sub(r"0x[0-9a-fA-F]+", "0x", told.message)
    return re.sub(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", "0", message)
