"""How far the grading of a class is, from its folder and its journal."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from datetime import datetime

from grader.classroom import Classroom
from grader.journal import Attempt, Journal, Kind, fingerprint
from grader.model import Assignment, SourceNotebook, Status

RECENT = 50  # outcomes, from which the time of the next ones is judged
ENOUGH = 10  # of these, to go by how they followed each other


@dataclass(frozen=True)
class Progress:
    """Of one unit.

    Attributes:
        handed_in: students who handed in anything.
        graded: of these, those who have marks for what they handed in last.
        running: begun, by somebody who is at work now.
        waiting: neither graded nor running; begun ones that were stopped are among them.
        broken: names of students whom the grader failed, or who were set aside: look at them.
        seconds_left: at the pace of the last outcomes; None where nothing is known of it.
    """

    unit: str
    handed_in: int
    graded: int
    running: int
    waiting: int
    broken: tuple[str, ...]
    seconds_left: float | None

    def to_dict(self) -> dict[str, object]:
        """Return the plain form that ``grader status --json`` prints."""
        return asdict(self) | {"broken": list(self.broken)}


def pace(ended: list[Attempt], slots: int) -> float | None:
    """Return the seconds from one outcome to the next, in the run that was last."""
    if not ended:
        return None
    last = max(one.run for one in ended)
    recent = sorted((one for one in ended if one.run == last and one.ended), key=_ended)[-RECENT:]
    if len(recent) >= ENOUGH:
        # However many workers there were, and are.
        return (_ended(recent[-1]) - _ended(recent[0])).total_seconds() / (len(recent) - 1)
    seconds = [(one.graded or {}).get("seconds", 0.0) for one in ended[-RECENT:]]
    return statistics.fmean(seconds) / slots


def _ended(attempt: Attempt) -> datetime:
    return attempt.ended or attempt.began


def progress(classroom: Classroom, units: list[str] | None = None) -> list[Progress]:
    """Return how far each of `units` is, by default of all that anybody handed in."""
    with Journal(classroom) as journal:
        is_at_work = journal.is_being_written
        return [
            _progress(classroom, journal, unit, is_at_work) for unit in units or classroom.units()
        ]


def _progress(classroom: Classroom, journal: Journal, unit: str, is_at_work: bool) -> Progress:
    names = sorted(path.stem for path in classroom.released(unit).glob("*.ipynb"))
    outline = Assignment(unit, tuple(SourceNotebook(name, "", "") for name in names))
    receipts = classroom.receipts(unit)
    students = {
        name: fingerprint(classroom.submission(name, outline, receipts))
        for name in classroom.students(unit)
    }
    latest = {
        name: one for name, one in journal.latest(unit).items() if one.input == students.get(name)
    }
    broken = {
        name
        for name, one in latest.items()
        if one.kind is Kind.ASIDE or (one.graded or {}).get("status") == Status.BROKEN
    }
    unfinished = journal.unfinished(unit) if is_at_work else []
    begun = {one.student for one in unfinished if one.input == students.get(one.student)}
    begun -= latest.keys()
    waiting = len(students) - len(latest.keys() | begun)
    each = pace(list(latest.values()), journal.slots())
    left = None if each is None else (waiting + len(begun)) * each
    return Progress(
        unit=unit,
        handed_in=len(students),
        graded=len(latest),
        running=len(begun),
        waiting=waiting,
        broken=tuple(sorted(broken)),
        seconds_left=left,
    )
