"""What the submissions of one unit add up to: success, discrimination, mistakes, time, limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from grader import proof
from grader.discrimination import Discrimination, discrimination
from grader.entries import Entry, Mark, Told
from grader.model import Verdict
from grader.plots import Share

Kind = tuple[tuple[str, ...], str]  # known mistakes, or else a message
UNANSWERED = ("", "No response.", "not written yet")


@dataclass(frozen=True)
class Item:
    """An exercise, or one of its tests.

    Attributes:
        cells: its tests, where there are several.
    """

    share: Share
    discrimination: Discrimination | None
    cells: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Mistake:
    """Failures that are one: the same known mistake, or else the same message but for numbers.

    Attributes:
        message: the most frequent one.
        is_answer: and not an empty cell, or one that was not reached.
        known: the misconceptions that give the same answers.
    """

    message: str
    entries: tuple[Entry, ...]
    is_answer: bool
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Misconception:
    """A known mistake, and whose answers were the same wrong ones."""

    exercise: str
    name: str
    hint: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Pace:
    """How long a test ran: median and longest, in seconds, and for whom."""

    cell: str
    median: float
    longest: float
    entry: Entry


@dataclass(frozen=True)
class Limit:
    """A limit that was met in a cell."""

    limit: str
    cell: str
    entries: tuple[Entry, ...]


# ---- success and discrimination -------------------------------------------------------------


def items(entries: Sequence[Entry], order: Sequence[str]) -> tuple[tuple[Item, ...], int]:
    """Return the exercises in the order of the lesson, and how many students discrimination counts.

    A cell that waits for a person in most submissions is left out of it, and so is a student for
    whom another one waits: of both nobody knows the points.

    Args:
        order: names of the graded cells, as they stand in the lesson.
    """
    exercise_of = {told.cell: told.exercise for entry in entries for told in entry.told}
    marks = [{mark.cell: mark for mark in entry.marks} for entry in entries]
    place = {name: index for index, name in enumerate(order)}
    names = sorted({cell for one in marks for cell in one}, key=lambda n: (place.get(n, 1e9), n))
    decided = {
        name: [one[name] for one in marks if name in one and not one[name].waiting]
        for name in names
    }
    counted = [name for name in names if 2 * len(decided[name]) >= len(entries)]
    sure = [one for one in marks if all(name in one and not one[name].waiting for name in counted)]

    def item(name: str, cells: Sequence[str]) -> Item:
        told = _discrimination(sure, cells, counted) if set(cells) <= set(counted) else None
        return Item(_share(name, marks, cells), told)

    exercises: dict[str, list[str]] = {}
    for name in names:
        exercises.setdefault(exercise_of.get(name) or name, []).append(name)
    made = []
    for exercise, cells in exercises.items():
        parts = tuple(item(cell, [cell]) for cell in cells) if cells != [exercise] else ()
        whole = item(exercise, cells)
        made.append(Item(whole.share, whole.discrimination, parts))
    return tuple(made), len(sure)


def _share(name: str, marks: Iterable[dict[str, Mark]], cells: Sequence[str]) -> Share:
    full = some = none = waiting = 0
    earned = []
    for one in marks:
        mine = [one[cell] for cell in cells if cell in one]
        if not mine:
            continue
        score, maximum = sum(m.score for m in mine), sum(m.max_score for m in mine)
        if any(mark.waiting for mark in mine):
            waiting += 1
            continue
        full += score >= maximum
        none += score <= 0 < maximum
        some += 0 < score < maximum
        earned.append(score / maximum if maximum else 1.0)
    n = full + some + none + waiting
    return Share(name, n, full, some, none, waiting, fmean(earned) if earned else 0.0)


def _discrimination(
    marks: Iterable[dict[str, Mark]], cells: Sequence[str], counted: Sequence[str]
) -> Discrimination | None:
    item, rest = [], []
    for one in marks:
        inside = sum(one[cell].score for cell in cells)
        item.append(round(inside, 6))
        rest.append(round(sum(one[cell].score for cell in counted) - inside, 6))
    return discrimination(item, rest)


# ---- what went wrong ------------------------------------------------------------------------


def mistakes(entries: Iterable[Entry]) -> dict[str, tuple[Mistake, ...]]:
    """Return {cell: what went wrong in it}, most frequent first; what says nothing stands last."""
    groups: dict[str, dict[Kind, list[tuple[str, Entry]]]] = {}
    for entry in entries:
        for told in entry.told:
            if told.verdict in (Verdict.FAILED, Verdict.NOT_RUN):
                kinds = groups.setdefault(told.cell, {})
                kinds.setdefault(_kind(told), []).append((told.message, entry))
    return {cell: _sorted(kinds) for cell, kinds in groups.items()}


def _sorted(kinds: dict[Kind, list[tuple[str, Entry]]]) -> tuple[Mistake, ...]:
    found = []
    for (known, message), group in kinds.items():
        usual = Counter(message for message, _ in group).most_common(1)[0][0]
        is_answer = bool(known or message)
        said = usual if is_answer else "not answered, or not run"
        found.append(Mistake(said, tuple(entry for _, entry in group), is_answer, known))
    return tuple(sorted(found, key=lambda m: (not m.is_answer, -len(m.entries), m.message)))


def _kind(told: Told) -> Kind:
    """Return the known mistakes, or the message without the numbers in which one may differ."""
    if told.verdict == Verdict.NOT_RUN or told.message in UNANSWERED:
        return (), ""
    if told.misconceptions:
        return told.misconceptions, ""
    message = re.sub(r"0x[0-9a-fA-F]+", "0x", told.message)
    return (), re.sub(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", "0", message)


def misconceptions(entries: Iterable[Entry]) -> tuple[Misconception, ...]:
    """Return the known mistakes that were met, most frequent first."""
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    hints: dict[tuple[str, str], str] = {}
    for entry in entries:
        for told in entry.told:
            for name in told.misconceptions:
                found.setdefault((told.exercise, name), {})[entry.student] = entry
                # Hints are there once for several; alone, one belongs to its mistake.
                if len(told.misconceptions) == len(told.hints):
                    hints[told.exercise, name] = told.hints[told.misconceptions.index(name)]
    made = [
        Misconception(*key, hints.get(key, ""), tuple(those.values()))
        for key, those in found.items()
    ]
    return tuple(sorted(made, key=lambda one: (-len(one.entries), one.exercise, one.name)))


# ---- time and limits ------------------------------------------------------------------------


def slowest(entries: Iterable[Entry], count: int) -> tuple[Pace, ...]:
    """Return the `count` tests that ran longest for anybody."""
    ran: dict[str, list[tuple[float, Entry]]] = {}
    for entry in entries:
        for told in entry.told:
            if told.seconds > 0:
                ran.setdefault(told.cell, []).append((told.seconds, entry))
    paces = []
    for cell, times in ran.items():
        longest, entry = max(times, key=lambda time: time[0])
        paces.append(Pace(cell, median(seconds for seconds, _ in times), longest, entry))
    return tuple(sorted(paces, key=lambda pace: -pace.longest)[:count])


def limits(entries: Iterable[Entry]) -> tuple[Limit, ...]:
    """Return the limits that were met, most frequent first."""
    met: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        for note in entry.notes:
            if found := proof.noted(note):
                met.setdefault(found, {})[entry.student] = entry
    made = [Limit(str(limit), cell, tuple(who.values())) for (limit, cell), who in met.items()]
    return tuple(sorted(made, key=lambda one: (-len(one.entries), one.limit, one.cell)))
