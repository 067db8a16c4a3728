"""When something was handed in is what the collector wrote down, and no file that came with it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from builders import SOLVED, answered, content, receive

from grader import collect, place, receipts
from grader.classroom import Classroom
from grader.collect import Known
from grader.course import Course
from grader.model import Assignment, SourceNotebook
from grader.place import Collected, Outcome
from grader.progress import progress
from grader.roster import Person

pytestmark = pytest.mark.databases

UNIT = "01-adding"
NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
OUTLINE = Assignment(UNIT, (SourceNotebook("adding", "", ""),))
NOT_USED = "its timestamp.txt was not used"


@pytest.fixture
def known(classroom: Classroom, course: Course) -> Known:
    """The unit, as collect knows it."""
    return collect.known_unit(classroom, UNIT, course)


def bring(
    classroom: Classroom,
    known: Known,
    adding: Assignment,
    folder: Path,
    answer: str = SOLVED,
    time: datetime | None = NOON,
    **options: Any,
) -> Collected:
    """Collect what ada hands in."""
    path = folder / "week 5" / "ada" / "x.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(answered(adding.notebooks[0].released, add=answer)))
    times = [Person(id="ada", time=time)] if time else []
    [row], _ = collect.collect(classroom, known, [folder / "week 5"], times=times, **options)
    return row


def rows(classroom: Classroom) -> list[Any]:
    """All receipts of the class."""
    engine = sa.create_engine(classroom.database)
    with engine.connect() as connection:
        found = connection.execute(sa.select(receipts.table).order_by(receipts.table.c.id)).all()
    engine.dispose()
    return list(found)


def handed_in(classroom: Classroom) -> tuple[str, tuple[str, ...]]:
    """When ada handed in, as the grading has it, and what is noted."""
    found = classroom.submission("ada", OUTLINE)
    return found.stamp, found.notes


def test_a_receipt_says_what_came_when_from_where_and_by_whom(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path
) -> None:
    row = bring(classroom, known, adding, tmp_path)
    assert row.outcome is Outcome.COLLECTED
    [one] = rows(classroom)
    assert (one.unit, one.student, one.content) == (UNIT, "ada", row.digest)
    assert (one.handed_in, one.time_source) == (NOON.replace(tzinfo=None), "times")
    assert one.source == "folder week 5"
    assert " on " in one.collector
    age = datetime.now(UTC).replace(tzinfo=None) - one.collected
    assert timedelta(0) <= age < timedelta(minutes=5)


def test_receipts_are_only_ever_added(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path
) -> None:
    bring(classroom, known, adding, tmp_path, "first = 1")
    first = rows(classroom)
    assert bring(classroom, known, adding, tmp_path, "first = 1").outcome is Outcome.UNCHANGED
    assert rows(classroom) == first
    later = NOON + timedelta(hours=1)
    assert bring(classroom, known, adding, tmp_path, "x = 2", later).outcome is Outcome.COLLECTED
    bring(classroom, known, adding, tmp_path, "first = 1", later + timedelta(hours=1))
    assert rows(classroom)[:1] == first
    assert handed_in(classroom)[0] == "2024-05-31 14:00:00.000000 UTC"
    assert len(rows(classroom)) == 3


def test_a_dry_run_writes_none(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path
) -> None:
    assert bring(classroom, known, adding, tmp_path, dry_run=True).outcome is Outcome.COLLECTED
    if classroom.database.startswith("sqlite"):
        assert not (classroom.root / "gradebook.db").exists()
    assert receipts.read(classroom.database, UNIT) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_whoever_is_stopped_while_collecting_does_it_again(
    classroom: Classroom,
    known: Known,
    adding: Assignment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Between a receipt and its submission, and right behind both: nothing wrong is there."""
    bring(classroom, known, adding, tmp_path, "old = 1")
    write = place._write

    def stopped(*args: Any) -> None:
        if moment == "after":
            write(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(place, "_write", stopped)
    with pytest.raises(KeyboardInterrupt):
        bring(classroom, known, adding, tmp_path, time=NOON + timedelta(hours=1))
    monkeypatch.undo()
    now = {"before": "12:00", "after": "13:00"}[moment]
    assert handed_in(classroom) == (f"2024-05-31 {now}:00.000000 UTC", ())
    row = bring(classroom, known, adding, tmp_path, time=NOON + timedelta(hours=1))
    assert row.outcome is (Outcome.COLLECTED if moment == "before" else Outcome.UNCHANGED)
    assert handed_in(classroom) == ("2024-05-31 13:00:00.000000 UTC", ())


@pytest.mark.parametrize("text", ["1999-01-01 00:00:00 UTC", "2999-01-01 00:00:00 UTC", None])
def test_the_receipt_counts_whatever_lies_beside_the_notebook(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path, text: str | None
) -> None:
    bring(classroom, known, adding, tmp_path)
    stamp = classroom.submitted("ada", UNIT) / "timestamp.txt"
    stamp.write_text(text, encoding="utf-8") if text else stamp.unlink()
    assert handed_in(classroom) == ("2024-05-31 12:00:00.000000 UTC", ())


def test_a_timestamp_without_a_receipt_is_not_used(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path
) -> None:
    """Put there by hand, or changed since it was collected."""
    folder = classroom.submitted("ada", UNIT)
    folder.mkdir(parents=True)
    (folder / "adding.ipynb").write_bytes(content(answered(adding.notebooks[0].released)))
    os.utime(folder / "adding.ipynb", (1, 1))
    (folder / "timestamp.txt").write_text("2024-05-31 11:00:00 UTC", encoding="utf-8")
    stamp, [note] = handed_in(classroom)
    assert (stamp, note.startswith(NOT_USED)) == ("", True)

    bring(classroom, known, adding, tmp_path)
    assert handed_in(classroom)[0]
    (folder / "adding.ipynb").write_bytes(b"{}")
    stamp, [note] = handed_in(classroom)
    assert (stamp, note.startswith(NOT_USED)) == ("", True)


def test_a_hint_is_no_time(
    classroom: Classroom, known: Known, adding: Assignment, tmp_path: Path
) -> None:
    """The file of an earlier submission's time is not read for one that has none."""
    bring(classroom, known, adding, tmp_path, time=None)
    [one] = rows(classroom)
    assert (one.time_source, one.handed_in is None) == ("hint", False)
    (classroom.submitted("ada", UNIT) / "timestamp.txt").write_text("2024-05-31 11:00:00 UTC")
    assert handed_in(classroom) == ("", ())


@pytest.mark.parametrize("text", ["yesterday", "", "\udcff", "9" * 5000, "0001-01-01 +23:00"])
def test_a_class_may_trust_timestamps_and_then_it_is_noted(
    classroom: Classroom, adding: Assignment, text: str
) -> None:
    config = classroom.root / "nbgrader_config.py"
    trust = "c.Classroom.trust_timestamps = True\n"
    config.write_text(config.read_text(encoding="utf-8") + trust, encoding="utf-8")
    folder = classroom.submitted("ada", UNIT)
    folder.mkdir(parents=True)
    stamp = folder / "timestamp.txt"
    stamp.write_text("2024-05-31 11:00:00 UTC", encoding="utf-8")
    noted = "handed in at 2024-05-31 11:00 UTC by its timestamp.txt"
    assert handed_in(classroom) == ("2024-05-31 11:00:00.000000 UTC", (noted,))
    receive(classroom, "ada", UNIT, "2024-05-31 12:00:00")
    assert handed_in(classroom) == ("2024-05-31 12:00:00.000000 UTC", ())
    (folder / "adding.ipynb").write_bytes(b"{}")
    stamp.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert handed_in(classroom) == ("", ())


def test_of_two_students_with_the_same_work_each_has_a_time_of_their_own(
    classroom: Classroom,
) -> None:
    for student, hour in (("ada", 11), ("bob", 13)):
        classroom.submitted(student, UNIT).mkdir(parents=True)
        (classroom.submitted(student, UNIT) / "adding.ipynb").write_bytes(b"{}")
        receive(classroom, student, UNIT, f"2024-05-31 {hour}:00:00")
    known = classroom.receipts(UNIT)
    for student, hour in (("ada", 11), ("bob", 13)):
        for read in (known, None):
            when, _ = classroom.handed_in(student, UNIT, read)
            assert when == NOON.replace(hour=hour)


def test_who_reads_many_submissions_asks_the_database_once(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        classroom.submitted(f"s{number}", UNIT).mkdir(parents=True)
    asked: list[str] = []
    read = receipts.read

    def counted(address: str, unit: str, student: str | None = None) -> Any:
        asked.append(unit)
        return read(address, unit, student)

    monkeypatch.setattr(receipts, "read", counted)
    progress(classroom)
    assert asked == [UNIT]
