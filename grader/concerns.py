"""Students whom a person should talk to, each with the reason; the rules are few and stated.

A point is a point of what is decided by now; what waits for a person counts for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from grader import proof
from grader.entries import Entry

FALL = 0.25  # of all points: so much worse than usual, measured against the class
LOW = 0.5  # of what the median of the class earned
RULES = (
    "handed in nothing",
    "nothing could be read, or the submission was set aside",
    f"less than {100 * LOW:.0f} % of what the median of the class earned",
    f"at least {100 * FALL:.0f} percentage points lower than usual: in each unit the difference to "
    "the class's mean is taken, and its mean over the units before is what is usual",
    "a limit was met",
)


@dataclass(frozen=True)
class Concern:
    """A student and why.

    Attributes:
        entry: what was handed in; None where there is nothing.
    """

    student: str
    entry: Entry | None
    reasons: tuple[str, ...]


def concerns(
    entries: Sequence[Entry],
    missing: Iterable[str],
    earlier: Sequence[Mapping[str, Entry]] = (),
) -> list[Concern]:
    """Return the students to talk to, those with most reasons first.

    Args:
        missing: known students who handed in nothing.
        earlier: {student: entry} of each unit before this one.
    """
    found = []
    for student in missing:
        before = sum(student not in unit for unit in earlier)
        again = f", and for {before} of the {len(earlier)} units before" if before else ""
        found.append(Concern(student, None, (f"handed in nothing{again}",)))
    now = standings(entries)
    past = [standings(unit.values()) for unit in earlier]
    shares = [share for entry in entries if (share := earned(entry)) is not None]
    middle = median(shares) if shares else 0.0
    for entry in entries:
        reasons = [
            *_handed_in(entry),
            *_points(entry, middle),
            *_fall(
                now.get(entry.student), [one[entry.student] for one in past if entry.student in one]
            ),
            *(_limit(note) for note in entry.notes if proof.noted(note)),
        ]
        if reasons:
            found.append(Concern(entry.student, entry, tuple(reasons)))
    return sorted(found, key=lambda one: (-len(one.reasons), one.student))


def earned(entry: Entry) -> float | None:
    """Return the share of the points that are decided, 0 to 1; None where none is."""
    marks = [mark for mark in entry.marks if not mark.waiting]
    maximum = sum(mark.max_score for mark in marks)
    if entry.is_unreadable or entry.is_broken or not maximum:
        return None
    return sum(mark.score for mark in marks) / maximum


def standings(entries: Iterable[Entry]) -> dict[str, float]:
    """Return {student: share of points above the mean of the class}."""
    shares = {entry.student: share for entry in entries if (share := earned(entry)) is not None}
    mean = fmean(shares.values()) if shares else 0.0
    return {student: share - mean for student, share in shares.items()}


def _handed_in(entry: Entry) -> list[str]:
    if entry.aside:
        return ["set aside: it ended its grader again and again"]
    return ["nothing could be read"] if entry.is_unreadable else []


def _points(entry: Entry, middle: float) -> list[str]:
    share = earned(entry)
    if share is None or share >= LOW * middle:
        return []
    return [f"{100 * share:.0f} % of the points; the class's median is {100 * middle:.0f} %"]


def _fall(now: float | None, past: Sequence[float]) -> list[str]:
    if now is None or not past or fmean(past) - now < FALL:
        return []
    return [
        f"{100 * (fmean(past) - now):.0f} percentage points lower than usual, "
        f"measured against the class ({len(past)} {'unit' if len(past) == 1 else 'units'} before)"
    ]


def _limit(note: str) -> str:
    limit, cell = proof.noted(note) or ("", "")
    return f"{limit} in {cell}"
