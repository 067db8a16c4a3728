"""Receipts: what `grader collect` wrote down about each submission that it brought into the class.

Rows of ``grader_collection``, in the class's database, never changed. One is written before the
submission takes its place, and found again by the submission's contents. So it does not matter
where collecting is stopped: a receipt for what never came describes nothing that is there.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from grader import database

STAMP = "timestamp.txt"  # nbgrader's, beside the notebooks
STAMP_FORMAT = "%Y-%m-%d %H:%M:%S.%f UTC"

table = sa.Table(
    "grader_collection",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("unit", sa.String(255), nullable=False),
    sa.Column("student", sa.String(255), nullable=False),
    sa.Column("content", sa.String(64), nullable=False),
    sa.Column("handed_in", sa.DateTime),
    sa.Column("time_source", sa.String(20), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("collected", sa.DateTime, nullable=False),
    sa.Column("collector", sa.Text, nullable=False),
    sa.Index("grader_collection_of", "unit", "student"),
)


class TimeSource(StrEnum):
    """Who says when it was handed in. The first two are to be trusted, and only these."""

    FILE_SYSTEM = "file system"  # ctime in the exchange
    TIMES = "times"  # a table that a person gave
    KEPT = "kept"  # what the class knows already
    LATE_FLAG = "late flag"  # Canvas: it came late, and nobody says by how much
    HINT = "hint"  # an archive's or a file's own time
    UNKNOWN = "unknown"


TRUSTED = (TimeSource.FILE_SYSTEM, TimeSource.TIMES)


@dataclass(frozen=True)
class Receipt:
    """Of one submission, at one time.

    Attributes:
        content: `digest` of the notebooks.
        handed_in: in UTC; None where nobody knows.
        source: layout and name of the folder or archive that it came in.
    """

    unit: str
    student: str
    content: str
    handed_in: datetime | None
    time_source: TimeSource
    source: str = ""

    @property
    def time(self) -> datetime | None:
        """When it was handed in, if somebody says so who is not the student."""
        return self.handed_in if self.time_source in TRUSTED else None


Receipts = dict[tuple[str, str], Receipt]  # {(student, content): the last one}


def digest(notebooks: Iterable[tuple[str, bytes]]) -> str:
    """Return the sha256 of notebooks' names and contents; empty for none."""
    whole = hashlib.sha256()
    books = sorted(notebooks)
    for name, content in books:
        line = f"{name}\0{hashlib.sha256(content).hexdigest()}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest() if books else ""


def write(connection: Connection, receipt: Receipt) -> None:
    """Add a row."""
    # Without zones: SQLite keeps none, and all of ours are UTC.
    moment = receipt.handed_in and receipt.handed_in.astimezone(UTC).replace(tzinfo=None)
    connection.execute(
        table.insert(),
        {
            "unit": receipt.unit,
            "student": receipt.student,
            "content": receipt.content,
            "handed_in": moment,
            "time_source": str(receipt.time_source),
            "source": receipt.source,
            "collected": datetime.now(UTC).replace(tzinfo=None),
            "collector": _me(),
        },
    )


def read(address: str, unit: str, student: str | None = None) -> Receipts:
    """Return the last receipt for each submission of `unit`; none where there is no database.

    Raises:
        GraderError: the database cannot be used.
    """
    if not database.is_there(address):
        return {}
    query = sa.select(table).where(table.c.unit == unit).order_by(table.c.id)
    if student is not None:
        query = query.where(table.c.student == student)
    known = database.patient(address)
    with database.explained(address), _engine(known).connect() as connection:
        if not sa.inspect(connection).has_table(table.name):
            return {}
        rows = connection.execute(query).all()
    return {(row.student, row.content): _receipt(row) for row in rows}


@functools.lru_cache(maxsize=4)
def _engine(address: str) -> sa.Engine:
    # What SQLAlchemy learns of a server is kept, and no connection: the file may be another soon.
    return sa.create_engine(address, poolclass=sa.NullPool)


def _receipt(row: sa.Row[tuple[object, ...]]) -> Receipt:
    moment = row.handed_in
    return Receipt(
        unit=row.unit,
        student=row.student,
        content=row.content,
        handed_in=moment.replace(tzinfo=UTC) if moment else None,
        time_source=TimeSource(row.time_source),
        source=row.source,
    )


def _me() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        user = "somebody"
    return f"{user} on {socket.gethostname()}"
