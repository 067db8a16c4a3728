"""Every attempt is written before it starts and after it ends; whoever is stopped goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from builders import SOLVED, answered, hand_in, receive
from nbgrader.api import Gradebook as Database
from sqlalchemy.engine import Connection

from grader import batch, database, journal, receipts
from grader.batch import grade_class, regrade
from grader.classroom import Classroom
from grader.course import Course
from grader.errors import GraderError
from grader.gradebook import Gradebook
from grader.journal import Attempt, Journal, Kind, Spool, fingerprint
from grader.model import Assignment, Graded, Status
from grader.progress import pace, progress

pytestmark = pytest.mark.databases

UNIT = "01-adding"
WRONG = "def add(a, b):\n    return a - b"
PEOPLE = {"ada": SOLVED, "bob": WRONG, "eve": SOLVED}


@pytest.fixture
def unit(classroom: Classroom, course: Course) -> Assignment:
    """01-adding, handed in by three students."""
    made = classroom.assignment(UNIT, course)
    for student, answer in PEOPLE.items():
        put(classroom, made, student, answer)
    return made


def put(classroom: Classroom, unit: Assignment, student: str, answer: str) -> None:
    """Hand in `answer`."""
    node = answered(unit.notebooks[0].released, add=answer)
    hand_in(classroom, student, UNIT, "adding", node)


def grade(classroom: Classroom, unit: Assignment, **options: Any) -> dict[str, float]:
    """Grade whom nobody has graded; return the scores."""
    options = {"where": 0, "again": False, "sandbox": False} | options
    found = grade_class(classroom, unit, sorted(PEOPLE), **options)
    return {one.student: one.score for one in found}


def attempts(classroom: Classroom) -> dict[str, int]:
    """Return the number of attempts by student."""
    with Journal(classroom) as book:
        return {student: len(book.history(UNIT, student)) for student in PEOPLE}


def marks(classroom: Classroom) -> dict[str, float]:
    """Return the scores that nbgrader's gradebook has."""
    with Database(classroom.database) as database:
        return {one.student.id: one.score for one in database.assignment_submissions(UNIT)}


RIGHT = {"ada": 3.0, "bob": 0.0, "eve": 3.0}


def test_our_tables_are_what_the_migrations_make(classroom: Classroom) -> None:
    with Journal(classroom):
        pass
    ours = sa.MetaData()
    for table in (*journal.tables.sorted_tables, receipts.table):
        table.to_metadata(ours)

    def is_ours(_: object, name: str, kind: str, *more: object) -> bool:
        return kind != "table" or name in ours.tables

    engine = sa.create_engine(classroom.database)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": is_ours}
        made = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(made, ours) == []
        assert set(ours.tables) <= set(sa.inspect(connection).get_table_names())
    engine.dispose()


def test_a_journal_first_and_nbgrader_s_tables_after_it(
    classroom: Classroom, unit: Assignment
) -> None:
    assert grade(classroom, unit) == marks(classroom) == RIGHT


def test_what_was_graded_is_graded_no_more(classroom: Classroom, unit: Assignment) -> None:
    assert grade(classroom, unit) == RIGHT
    assert grade(classroom, unit) == RIGHT
    assert attempts(classroom) == {"ada": 1, "bob": 1, "eve": 1}

    put(classroom, unit, "bob", SOLVED)
    assert grade(classroom, unit) == RIGHT | {"bob": 3.0}
    assert attempts(classroom) == {"ada": 1, "bob": 2, "eve": 1}
    assert marks(classroom)["bob"] == 3.0


def test_another_time_of_handing_in_is_another_submission(
    classroom: Classroom, unit: Assignment
) -> None:
    grade(classroom, unit)
    receive(classroom, "bob", UNIT, "2026-01-02 03:04:05")
    assert grade(classroom, unit) == RIGHT
    assert attempts(classroom) == {"ada": 1, "bob": 2, "eve": 1}
    with Database(classroom.database) as database:
        assert f"{database.find_submission(UNIT, 'bob').timestamp}" == "2026-01-02 03:04:05"


def test_an_attempt_tells_what_was_graded_where_and_how(
    classroom: Classroom, unit: Assignment
) -> None:
    grade(classroom, unit, seeds=(5,))
    with Journal(classroom) as book:
        [one] = book.history(UNIT, "bob")
    assert one.input == fingerprint(classroom.submission("bob", unit))
    assert one.version == fingerprint(unit)
    assert one.options == {"seeds": [5], "sandbox": False}
    assert one.kind is Kind.GRADED
    assert one.ended is not None
    assert one.began <= one.ended
    assert one.machine is not None
    assert str(os.cpu_count()) in one.machine
    assert one.graded is not None
    assert one.graded["score"] == 0.0


def test_a_known_result_is_stored_by_who_comes_next(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grader is stopped after a result was known, in the middle of storing it."""
    for place in ("store", "_penalties", "_write"):
        stopped = Stop(Gradebook, place, monkeypatch)
        put(classroom, unit, "ada", f"{SOLVED}  # {place}")
        with pytest.raises(KeyboardInterrupt):
            grade(classroom, unit)
        stopped.undo()
        before = attempts(classroom)
        assert grade(classroom, unit) == marks(classroom) == RIGHT
        assert attempts(classroom)["ada"] == before["ada"]
        assert (classroom.feedback("ada", UNIT) / "adding.html").is_file()
        assert Spool(classroom.private).attempts() == []


class Stop:
    """Ctrl-C where a method is called."""

    def __init__(self, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._undone = (owner, name, getattr(owner, name), monkeypatch)

        def stop(*args: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, name, stop)
        if name == "_penalties":  # asked only for who is late
            monkeypatch.setattr(Gradebook, "_mark", late(Gradebook._mark))

    def undo(self) -> None:
        """Let the method be what it was."""
        self._undone[3].undo()


def late(mark: Any) -> Any:
    """Return `Gradebook._mark` for a class in which everybody is late."""

    def marks(*args: Any) -> bool:
        mark(*args)
        return True

    return marks


def test_a_damaged_result_is_graded_again(classroom: Classroom, unit: Assignment) -> None:
    with Journal(classroom) as book:
        number = book.run(1)
        [attempt] = book.begin(
            number, unit.unit, fingerprint(unit), [classroom.submission("ada", unit)], {}
        )
    spool = Spool(classroom.private)
    (spool.folder / f"{attempt}.json.gz").write_bytes(b"\x1f\x8bhalf a file")
    (spool.folder / f"{attempt + 1}.json.new").write_bytes(b"the power went")
    assert grade(classroom, unit) == marks(classroom) == RIGHT
    assert attempts(classroom)["ada"] == 2
    assert spool.attempts() == []


def test_a_packed_result_is_what_it_was(classroom: Classroom, unit: Assignment) -> None:
    [graded] = grade_class(classroom, unit, ["bob"], where=0, sandbox=False)
    graded = replace(graded, files=(("plot.png", b"\x89\x00"),), notes=("äöü \0", "\ud800"))
    spool = Spool(classroom.private)
    spool.save(7, graded)
    assert spool.load(7) == graded
    assert Graded.from_dict(graded.to_dict()).to_dict() == graded.to_dict()
    with Journal(classroom) as book:  # PostgreSQL takes neither NUL nor half a character as text
        bob = classroom.submission("bob", unit)
        [attempt] = book.begin(book.run(1), UNIT, fingerprint(unit), [bob], {})
        book.end_alone(attempt, graded, Kind.GRADED)
        assert book.find([attempt])[0].graded == graded.to_dict()


def test_the_grader_s_own_failures_are_tried_again(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("grader.grade.engine.run", fails)
    found = grade_class(classroom, unit, ["ada"], where=0, sandbox=False)
    assert [one.status for one in found] == [Status.BROKEN]
    assert progress(classroom)[0].broken == ("ada",)
    monkeypatch.undo()
    assert grade(classroom, unit) == RIGHT
    assert attempts(classroom)["ada"] == 2


def test_two_do_not_grade_one_class(classroom: Classroom, unit: Assignment) -> None:
    with Journal(classroom) as book, book.writing():
        with pytest.raises(GraderError, match="being graded already, by process"):
            grade(classroom, unit)
        assert book.is_being_written
    assert grade(classroom, unit) == RIGHT


@contextmanager
def locked(classroom: Classroom) -> Iterator[Connection]:
    """What somebody's program does who looks at the gradebook, and lets nobody else in."""
    engine = sa.create_engine(classroom.database, connect_args=LOOSE.get(system(classroom), {}))
    with engine.connect() as other:
        yield other
        other.rollback()
    engine.dispose()


LOOSE = {"sqlite": {"check_same_thread": False}}


def system(classroom: Classroom) -> str:
    """What the class is kept in."""
    return sa.make_url(classroom.database).get_backend_name()


def lock(other: Connection) -> None:
    """Let nobody else store marks."""
    is_sqlite = other.dialect.name == "sqlite"
    other.exec_driver_sql("BEGIN EXCLUSIVE" if is_sqlite else "LOCK TABLE submitted_assignment")


def test_a_locked_database_is_waited_for(classroom: Classroom, unit: Assignment) -> None:
    """Longer than SQLite waits by itself."""
    grade(classroom, unit)
    put(classroom, unit, "bob", SOLVED)
    with locked(classroom) as other:
        lock(other)
        later = threading.Timer(8.0, other.rollback)
        later.start()
        assert grade(classroom, unit)["bob"] == 3.0
        later.join()
    assert marks(classroom)["bob"] == 3.0


def test_a_database_that_stays_locked_loses_nothing(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT", 1)
    with locked(classroom) as other:

        def first(graded: Graded) -> None:
            if graded.student == "ada":
                lock(other)

        said = {"sqlite": "database is locked", "postgresql": "lock timeout"}[system(classroom)]
        with pytest.raises(GraderError, match=said):
            grade(classroom, unit, on_graded=first)
    assert Spool(classroom.private).attempts()
    assert grade(classroom, unit) == marks(classroom) == RIGHT
    assert {attempts(classroom)[known] for known in ("ada", "bob")} == {1}


def test_a_full_disk_stops_the_run_and_loses_nothing(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Spool.save, []

    def full(self: Spool, attempt: int, graded: Graded) -> None:
        if saved:
            raise OSError(28, "No space left on device")
        saved.append(graded.student)
        save(self, attempt, graded)

    monkeypatch.setattr(Spool, "save", full)
    with pytest.raises(GraderError, match="No space left on device"):
        grade(classroom, unit)
    monkeypatch.undo()
    assert list(marks(classroom)) == saved
    assert grade(classroom, unit) == marks(classroom) == RIGHT
    assert attempts(classroom)[saved[0]] == 1


def test_a_regrade_shows_who_changes_and_stores_nothing_before_somebody_agrees(
    classroom: Classroom, unit: Assignment
) -> None:
    grade(classroom, unit)
    sealed = unit.notebooks[0].sealed
    harder = replace(
        unit,
        notebooks=(
            replace(unit.notebooks[0], sealed=sealed.replace("add(2, 3) == 5", "add(2, 3) == 6")),
        ),
    )
    assert harder != unit
    seen: list[batch.Change] = []

    def no(changes: list[batch.Change]) -> bool:
        seen.extend(changes)
        return False

    again: dict[str, Any] = {"where": 0, "sandbox": False}
    regrade(classroom, harder, sorted(PEOPLE), agrees=no, **again)
    assert {(one.student, one.before, one.after) for one in seen} == {
        ("ada", 2.0, 0.0),
        ("eve", 2.0, 0.0),
    }
    assert {one.why for one in seen} == {"the unit has changed"}
    assert seen[0].says_now == "add(2, 3) is not 5"
    assert marks(classroom) == RIGHT
    assert grade(classroom, unit) == RIGHT  # what was declined does not count
    assert attempts(classroom) == {"ada": 2, "bob": 2, "eve": 2}

    regrade(classroom, harder, ["ada"], agrees=lambda changes: True, **again)
    assert marks(classroom) == RIGHT | {"ada": 1.0}


def test_a_regrade_goes_on_where_it_was_stopped(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(classroom, unit)

    def stop(graded: Graded) -> None:
        if graded.student == "bob":
            raise KeyboardInterrupt

    def unasked(changes: list[batch.Change]) -> bool:
        raise AssertionError("nothing has changed")

    again: dict[str, Any] = {"where": 0, "sandbox": False, "agrees": unasked}
    with pytest.raises(KeyboardInterrupt):
        regrade(classroom, unit, sorted(PEOPLE), on_graded=stop, **again)
    grade(classroom, unit)
    assert regrade(classroom, unit, sorted(PEOPLE), **again) == []
    assert attempts(classroom) == {"ada": 2, "bob": 2, "eve": 2}


def test_status_tells_what_is_done_and_what_is_left(classroom: Classroom, unit: Assignment) -> None:
    [before] = progress(classroom)
    assert (before.handed_in, before.graded, before.waiting, before.seconds_left) == (3, 0, 3, None)
    grade(classroom, unit)
    put(classroom, unit, "bob", SOLVED)
    with Journal(classroom) as book:
        book.begin(
            book.run(1), unit.unit, fingerprint(unit), [classroom.submission("bob", unit)], {}
        )
        [stopped] = progress(classroom)
        assert (stopped.graded, stopped.running, stopped.waiting) == (2, 0, 1)
        assert stopped.seconds_left is not None
        assert stopped.seconds_left > 0
        with book.writing():
            [now] = progress(classroom)
    assert (now.graded, now.running, now.waiting) == (2, 1, 0)


def test_the_time_left_goes_by_how_outcomes_followed_each_other() -> None:
    def ended(run: int, second: float, took: float) -> Attempt:
        moment = datetime(2026, 1, 1) + timedelta(seconds=second)
        return Attempt(
            1, run, UNIT, "ada", "", "", {}, moment, Kind.GRADED, moment, "", {"seconds": took}
        )

    long_ago = [ended(1, 10.0 * n, 10.0) for n in range(40)]
    now = [ended(2, 1000 + 0.5 * n, 8.0) for n in range(20)]  # 16 workers
    assert pace([*long_ago, *now], 4) == pytest.approx(0.5)
    assert pace(long_ago[:5], 4) == pytest.approx(2.5)  # too few to tell
    assert pace([], 4) is None
