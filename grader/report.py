"""Gradebook -> one HTML file that shows a class at a glance, and one that leads to each student.

The numbers are nbgrader's: its database is read, never written. Why a cell failed comes from the
``graded.json`` beside each executed notebook. The files carry their plots, run no scripts and
fetch nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean, median

import nbformat
from markupsafe import Markup
from nbgrader.api import Assignment
from nbgrader.api import Student as Known
from sqlalchemy import select

from grader import concerns, discrimination, fingerprints, markup, plots, similar, tallies
from grader import database as databases
from grader.classroom import Classroom
from grader.clean import grade_id
from grader.concerns import Concern
from grader.entries import Entry, Told
from grader.entries import entries as read_entries
from grader.errors import UsageError
from grader.model import Verdict
from grader.plots import Share
from grader.similar import Likeness
from grader.tallies import Item, Limit, Misconception, Mistake, Pace

MANY = 40  # rows, or names; longer tables are folded, longer lists cut
MISTAKES = 6  # kinds of mistakes of one cell that are shown at once
SLOWEST = 5  # tests
BARS = 15  # of the plot of known mistakes
SIDES = 20  # pairs that are shown side by side
PAIRS = 200  # that are listed


@dataclass(frozen=True)
class Unit:
    """All that the template needs of one unit."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    items: tuple[Item, ...]  # exercises
    counted: int  # students whose points discrimination is reckoned from
    mistakes: tuple[tuple[Share, tuple[Mistake, ...]], ...]
    misconceptions: tuple[Misconception, ...]
    slowest: tuple[Pace, ...]
    limits: tuple[Limit, ...]
    concerns: tuple[Concern, ...]
    likenesses: tuple[Likeness, ...]
    missing: tuple[str, ...]  # known students who handed in nothing
    ungraded: tuple[str, ...]  # handed in and not in the gradebook
    histogram: Markup
    success: Markup
    met: Markup  # the plot of known mistakes
    times: Markup

    def by_name(self, student: str) -> Entry:
        """The submission of `student`."""
        return next(entry for entry in self.entries if entry.student == student)

    @property
    def seconds(self) -> list[float]:
        """What the grading of each readable submission took."""
        return seconds(self.entries)

    @property
    def unexplained(self) -> int:
        """Submissions with a failed test that no known mistake explains."""
        return sum(
            any(t.verdict == Verdict.FAILED and not t.misconceptions for t in entry.told)
            for entry in self.entries
            if not entry.is_unreadable
        )

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
        cells = [cell.share.name for item in self.items for cell in item.cells or (item,)]
        found = [(cell, [e for e in waiting if cell in e.waiting]) for cell in cells]
        return [(cell, entries) for cell, entries in found if entries]


def write_report(classroom: Classroom) -> Path:
    """Write DIR/report/ from the gradebook and return the path of its index.html.

    Raises:
        UsageError: nothing has been graded in this class.
    """
    units = _units(classroom)
    if not units:
        raise UsageError(f"nothing has been graded in {classroom.root} yet: run grader grade")
    known = {
        "name": classroom.root.resolve().name,
        "when": datetime.now().astimezone(),
        "units": units,
    }
    index = markup.template("report.html.j2").render(
        known,
        many=MANY,
        shown=MISTAKES,
        sides=SIDES,
        pairs=PAIRS,
        rules=concerns.RULES,
        fewest=discrimination.FEWEST,
        prints=fingerprints,
    )
    everybody = markup.template("class.html.j2").render(known, rows=_rows(units))
    classroom.report.mkdir(parents=True, exist_ok=True)
    for name, page in (("class.html", everybody), ("index.html", index)):
        (classroom.report / name).write_text(page, encoding="utf-8", errors="replace")
    return classroom.report / "index.html"


def _rows(units: Sequence[Unit]) -> list[tuple[str, list[Entry | str | None]]]:
    """Return (student, what there is of each unit): an entry, "ungraded", or None."""
    found = [{entry.student: entry for entry in unit.entries} for unit in units]
    students = {name for unit in units for name in (*unit.missing, *unit.ungraded)}
    return [
        (
            student,
            [
                one.get(student, "ungraded" if student in unit.ungraded else None)
                for one, unit in zip(found, units, strict=True)
            ],
        )
        for student in sorted(students.union(*found))
    ]


# ---- reading --------------------------------------------------------------------------------


def _units(classroom: Classroom) -> list[Unit]:
    url = classroom.database
    if not databases.is_there(url):
        return []
    units: list[Unit] = []
    with databases.gradebook(url) as database:
        students = set(database.db.scalars(select(Known.id)))
        names = sorted(database.db.scalars(select(Assignment.name)))
        for place, name in enumerate(names):
            entries = _told_apart(read_entries(classroom, database, name))
            if entries:
                earlier = [{entry.student: entry for entry in unit.entries} for unit in units]
                units.append(_unit(classroom, name, f"u{place}", entries, students, earlier))
    return units


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Put the notebook's name before that of each cell that two notebooks of a unit have."""
    places = {(mark.notebook, mark.cell) for entry in entries for mark in entry.marks}
    doubled = {cell for cell, count in Counter(cell for _, cell in places).items() if count > 1}
    if not doubled:
        return entries

    def named(told: Told) -> Told:
        exercise = told.exercise and f"{told.notebook}: {told.exercise}"
        return replace(told, cell=f"{told.notebook}: {told.cell}", exercise=exercise)

    return [
        replace(
            entry,
            marks=tuple(
                replace(one, cell=f"{one.notebook}: {one.cell}") if one.cell in doubled else one
                for one in entry.marks
            ),
            told=tuple(named(one) if one.cell in doubled else one for one in entry.told),
        )
        for entry in entries
    ]


# ---- one unit -------------------------------------------------------------------------------


def _unit(
    classroom: Classroom,
    name: str,
    key: str,
    entries: list[Entry],
    students: set[str],
    earlier: list[dict[str, Entry]],
) -> Unit:
    title, order = _lesson(classroom, name)
    readable = [entry for entry in entries if not entry.is_unreadable]
    exercises, counted = tallies.items(readable, order)
    cells = [cell.share for item in exercises for cell in item.cells or (item,)]
    graded = {entry.student for entry in entries}
    handed_in = set(classroom.students(name))
    missing = sorted(students - graded - handed_in)
    mistakes = tallies.mistakes(readable)
    met = tallies.misconceptions(readable)
    took = seconds(entries)
    return Unit(
        name=name,
        title=title,
        entries=tuple(entries),
        items=exercises,
        counted=counted,
        mistakes=tuple((share, mistakes[share.name]) for share in cells if share.name in mistakes),
        misconceptions=met,
        slowest=tallies.slowest(readable, SLOWEST),
        limits=tallies.limits(entries),
        concerns=tuple(concerns.concerns(entries, missing, earlier)),
        likenesses=tuple(similar.find(classroom, name, sorted(graded))),
        missing=tuple(missing),
        ungraded=tuple(sorted(handed_in - graded)),
        histogram=plots.histogram(
            [entry.score for entry in entries], max(e.max_score for e in entries), f"{key}h"
        ),
        success=plots.success([(item.share, item.discrimination) for item in exercises], f"{key}s")
        if exercises
        else Markup(),
        met=plots.counts(
            [(f"{one.exercise}: {one.name}", len(one.entries)) for one in met[:BARS]], f"{key}m"
        )
        if met
        else Markup(),
        times=plots.times(took, f"{key}t") if took else Markup(),
    )


def seconds(entries: Iterable[Entry]) -> list[float]:
    """Return what the grading of each readable submission took, where that is known."""
    return [
        entry.seconds
        for entry in entries
        if entry.seconds and not (entry.is_unreadable or entry.is_broken)
    ]


def _lesson(classroom: Classroom, unit: str) -> tuple[str, list[str]]:
    """Return the unit's title and its graded cells in the lesson's order."""
    title, order = "", []
    for path in sorted(classroom.released(unit).glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        title = title or str(notebook.metadata.get("lesson", {}).get("title", ""))
        order += [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
    return title or unit, order
