"""The journal of attempts, in the class's database beside nbgrader's tables.

A row of an attempt is written before it starts, a row of its outcome when it has ended, and neither
is ever changed. An attempt without an outcome was begun and not finished, by whatever it was
stopped. What came of it, as soon as it is known, lies in a file of its own (`Spool`) until all of
it has been stored: marks, penalties, folders. So whoever is stopped between two of these steps does
them all again, and grades nothing again.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import json
import os
import platform
import socket
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from grader import database as databases
from grader import grade, receipts
from grader.classroom import Classroom
from grader.errors import GraderError
from grader.model import (
    CellResult,
    Graded,
    GradedNotebook,
    Status,
    Submission,
    Verdict,
)
from grader.receipts import Receipt

MIGRATIONS = Path(__file__).parent / "migrations"

tables = sa.MetaData()
runs = sa.Table(
    "grader_run",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("began", sa.DateTime, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
)
attempts = sa.Table(
    "grader_attempt",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.Integer, sa.ForeignKey("grader_run.id"), nullable=False),
    sa.Column("unit", sa.String(255), nullable=False),
    sa.Column("student", sa.String(255), nullable=False),
    sa.Column("input", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("began", sa.DateTime, nullable=False),
    sa.Index("grader_attempt_of", "unit", "student"),
)
outcomes = sa.Table(
    "grader_outcome",
    tables,
    sa.Column("attempt", sa.Integer, sa.ForeignKey("grader_attempt.id"), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("ended", sa.DateTime, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("graded", sa.Text, nullable=False),
)


class Kind(StrEnum):
    """How an attempt ended."""

    GRADED = "graded"  # its marks are, or were, those of the gradebook
    ASIDE = "set aside"  # it ended its grader, again and again: a person must look
    DECLINED = "declined"  # a regrade that nobody wanted: its marks never counted


@dataclass(frozen=True)
class Attempt:
    """One grading of one submission.

    Attributes:
        input: `fingerprint` of the submission.
        version: `fingerprint` of the assignment: tests, limits, files.
        options: seeds and what else was chosen.
        began, ended: UTC; `ended` and all below are None while there is no outcome.
        machine: where it ran.
        graded: `Graded.to_dict`.
    """

    id: int
    run: int
    unit: str
    student: str
    input: str
    version: str
    options: dict[str, Any]
    began: datetime
    kind: Kind | None = None
    ended: datetime | None = None
    machine: str | None = None
    graded: dict[str, Any] | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do for this very input."""
        return self.kind is Kind.ASIDE or (
            self.kind is Kind.GRADED
            and self.graded is not None
            and self.graded["status"] != Status.BROKEN  # the grader's fault, and perhaps mended
        )


class Journal:
    """Of one class; see the module.

    Raises:
        GraderError: its database cannot be used.
    """

    def __init__(self, classroom: Classroom) -> None:
        self.folder = classroom.private
        self._url = url = classroom.database
        self._lock: Connection | None = None  # holds PostgreSQL's while we write
        with databases.explained(url):
            self._engine = sa.create_engine(databases.patient(url), pool_pre_ping=True)
            self._migrate()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def _migrate(self) -> None:
        """Bring our tables to their newest form."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with self._engine.begin() as connection:
            databases.one_at_a_time(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who grades this class.

        Raises:
            GraderError: somebody else does.
        """
        self.folder.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context((self.folder / "lock").open("a+", encoding="utf-8"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                who = file.read().strip() or "somebody"
                raise GraderError(f"this class is being graded already, by {who}") from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            stack.enter_context(self._everywhere())
            yield

    @contextlib.contextmanager
    def _everywhere(self) -> Iterator[None]:
        """Be the only one on other machines too: PostgreSQL's lock lives as long as a connection.

        Raises:
            GraderError: somebody else is.
        """
        if self._engine.dialect.name != "postgresql":
            yield
            return
        # Outside of a transaction: one that is open for hours hinders the server, or is ended.
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            me = f"process {os.getpid()} on {socket.gethostname()}"
            connection.execute(sa.select(sa.func.set_config("application_name", me[:63], False)))
            taken = connection.execute(sa.select(sa.func.pg_try_advisory_lock(databases.LOCK)))
            if not taken.scalar():
                who = self._holder(connection) or "somebody"
                raise GraderError(f"this class is being graded already, by {who}")
            # A machine that is gone without a word would hold it for hours.
            for name, value in (("idle", 60), ("interval", 10), ("count", 3)):
                connection.execute(sa.text(f"SET tcp_keepalives_{name} = {value}"))
            self._lock = connection
            try:
                yield
            finally:
                self._lock = None
                with contextlib.suppress(SQLAlchemyError):  # it has broken off, and the lock went
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(databases.LOCK)))
                connection.invalidate()  # it has our name, and another isolation

    def _still_alone(self) -> None:
        """See that the lock is held still: it went if the server was stopped in between.

        Raises:
            OperationalError: it is not.
        """
        if self._lock is None:
            return
        try:
            self._lock.execute(sa.select(1))
        except SQLAlchemyError as error:
            lost = ConnectionError(f"the connection broke off: {databases.reason(error)}")
            raise OperationalError(None, None, lost) from error

    @staticmethod
    def _holder(connection: Connection) -> str | None:
        """Return who holds PostgreSQL's lock, as they call themselves; None if nobody does."""
        query = """
            SELECT coalesce(nullif(application_name, ''), 'somebody')
            FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND classid = 0 AND objid = :lock AND objsubid = 1
            AND granted AND datname = current_database()
        """
        return connection.execute(sa.text(query), {"lock": databases.LOCK}).scalar()

    @property
    def is_being_written(self) -> bool:
        """Whether somebody grades this class now: on this machine, or with PostgreSQL on any."""
        if self._engine.dialect.name == "postgresql":
            with self._engine.connect() as connection:
                return self._holder(connection) is not None
        try:
            with self.writing():
                return False
        except GraderError:
            return True

    # ---- rows

    def receive(self, receipt: Receipt) -> None:
        """Write down what comes into the class."""
        with databases.explained(self._url), self._engine.begin() as connection:
            receipts.write(connection, receipt)

    def run(self, slots: int) -> int:
        """Write that somebody begins to grade, `slots` submissions at a time; return its number."""
        row = {
            "began": _now(),
            "machine": grade.machine(),
            "code": f"cnn-course {version('cnn-course')}, Python {platform.python_version()}",
            "slots": slots,
        }
        with self._engine.begin() as connection:
            return _inserted(connection, runs, row)

    def slots(self) -> int:
        """Return how many submissions at a time the last run graded."""
        last = sa.select(runs.c.slots).order_by(runs.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            return int(connection.execute(last).scalar() or 1)

    def begin(
        self,
        run: int,
        unit: str,
        version: str,
        submissions: Sequence[Submission],
        options: dict[str, Any],
    ) -> list[int]:
        """Write that attempts begin; return their numbers.

        Args:
            version: `fingerprint` of the assignment.
        """
        rows = [
            {
                "run": run,
                "unit": unit,
                "student": one.student,
                "input": fingerprint(one),
                "version": version,
                "options": json.dumps(options),
                "began": _now(),
            }
            for one in submissions
        ]
        self._still_alone()
        with self._engine.begin() as connection:
            return [_inserted(connection, attempts, row) for row in rows]

    def end(self, results: Iterable[tuple[int, Graded, Kind]], connection: Connection) -> None:
        """Write what came of attempts; those that have an outcome keep it.

        Args:
            connection: in the transaction that stores the marks, too.
        """
        self._still_alone()
        for attempt, graded, kind in results:
            known = sa.select(outcomes.c.attempt).where(outcomes.c.attempt == attempt)
            if connection.execute(known).first() is None:
                connection.execute(outcomes.insert(), _outcome(attempt, graded, kind))

    def end_alone(self, attempt: int, graded: Graded, kind: Kind) -> None:
        """Write what came of an attempt whose marks are not stored."""
        with self._engine.begin() as connection:
            self.end([(attempt, graded, kind)], connection)

    def latest(self, unit: str) -> dict[str, Attempt]:
        """Return {student: the last attempt that ended and whose marks count}."""
        counts = outcomes.c.kind != str(Kind.DECLINED)  # which is not true without an outcome
        return {one.student: one for one in self._attempts(attempts.c.unit == unit, counts)}

    def find(self, numbers: Iterable[int]) -> list[Attempt]:
        """Return the attempts of these numbers."""
        return self._attempts(attempts.c.id.in_(list(numbers)))

    def unfinished(self, unit: str) -> list[Attempt]:
        """Return the attempts that have no outcome."""
        return self._attempts(attempts.c.unit == unit, outcomes.c.attempt.is_(None))

    def history(self, unit: str, student: str) -> list[Attempt]:
        """Return all attempts at one submission, the first one first."""
        return self._attempts(attempts.c.unit == unit, attempts.c.student == student)

    def _attempts(self, *which: Any) -> list[Attempt]:
        query = (
            sa.select(attempts, outcomes)
            .join_from(attempts, outcomes, isouter=True)
            .where(*which)
            .order_by(attempts.c.id)
        )
        with self._engine.connect() as connection:
            return [_attempt(row) for row in connection.execute(query)]


def _inserted(connection: Connection, table: sa.Table, row: dict[str, Any]) -> int:
    """Insert `row`, and return its number."""
    key = connection.execute(table.insert().returning(table.c.id), row).scalar_one()
    return int(key)


def _outcome(attempt: int, graded: Graded, kind: Kind) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "kind": str(kind),
        "ended": _now(),
        "machine": graded.machine,
        "status": str(graded.status),
        "score": graded.score,
        "seconds": graded.seconds,
        "graded": json.dumps(graded.to_dict()),
    }


def _attempt(row: Any) -> Attempt:
    ended = row.attempt is not None
    return Attempt(
        id=row.id,
        run=row.run,
        unit=row.unit,
        student=row.student,
        input=row.input,
        version=row.version,
        options=json.loads(row.options),
        began=row.began,
        kind=Kind(row.kind) if ended else None,
        ended=row.ended if ended else None,
        machine=row.machine if ended else None,
        graded=json.loads(row.graded) if ended else None,
    )


def _now() -> datetime:
    # Without a zone: SQLite keeps none, and all of ours are UTC.
    return datetime.now(UTC).replace(tzinfo=None)


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a value of `grader.model`, by its contents."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: object) -> None:
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, one.name) for one in dataclasses.fields(value))
    if isinstance(value, tuple):
        sha.update(b"(%d" % len(value))
        for part in value:
            _feed(sha, part)
        return
    data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    sha.update(b"%d:" % len(data))
    sha.update(data)


# ---- what is known and not yet stored -------------------------------------------------------


class Spool:
    """Outcomes of attempts as files, from the moment that they are known until they are stored."""

    def __init__(self, folder: Path, name: str = "results") -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, attempt: int) -> Path:
        return self.folder / f"{attempt}.json.gz"

    def attempts(self) -> list[int]:
        """Return the numbers of the attempts whose outcomes are here."""
        return sorted(int(path.name.split(".")[0]) for path in self.folder.glob("*.json.gz"))

    def save(self, attempt: int, graded: Graded) -> None:
        """Keep `graded`, so that not even a power cut loses it.

        Raises:
            OSError: there is no room.
        """
        path = self._path(attempt)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(gzip.compress(json.dumps(packed(graded)).encode(), compresslevel=1))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def load(self, attempt: int) -> Graded | None:
        """Return what came of `attempt`; None where that is not known."""
        try:
            return unpacked(json.loads(gzip.decompress(self._path(attempt).read_bytes())))
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
            return None  # of another version of ours, or damaged: it is graded again

    def give(self, attempt: int, other: Spool) -> None:
        """Let `other` keep what came of `attempt`."""
        self._path(attempt).replace(other._path(attempt))

    def drop(self, attempt: int) -> None:
        """Forget `attempt`: it has been stored."""
        self._path(attempt).unlink(missing_ok=True)


def packed(graded: Graded) -> dict[str, Any]:
    """Return `graded` in JSON's types."""
    plain = dataclasses.asdict(graded)
    plain["files"] = [(name, base64.b64encode(data).decode()) for name, data in graded.files]
    return plain


def unpacked(plain: dict[str, Any]) -> Graded:
    """Return what `packed` was given."""

    def cell(one: dict[str, Any]) -> CellResult:
        lists = {name: tuple(one[name]) for name in ("misconceptions", "hints")}
        return CellResult(**(one | lists | {"verdict": Verdict(one["verdict"])}))

    def notebook(one: dict[str, Any]) -> GradedNotebook:
        lists = {name: tuple(one[name]) for name in ("unanswered", "evidence")}
        return GradedNotebook(**(one | lists | {"cells": tuple(map(cell, one["cells"]))}))

    return Graded(
        **plain
        | {
            "status": Status(plain["status"]),
            "notebooks": tuple(map(notebook, plain["notebooks"])),
            "notes": tuple(plain["notes"]),
            "files": tuple((name, base64.b64decode(data)) for name, data in plain["files"]),
        }
    )
