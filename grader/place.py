"""Put what was collected into the class folder: whole or not at all, and never a newer one away.

A line of a collection is a `Collected`. Its receipt is written first, see `grader.receipts`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from grader.classroom import Classroom, notebooks_in
from grader.clean import writable
from grader.errors import GraderError
from grader.receipts import STAMP, STAMP_FORMAT, TRUSTED, Receipt, Receipts, TimeSource, digest

ROOM = ".collecting-"  # where a submission is written before it takes its place
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3600
HINT_NOTE = "its time is only a hint of the source's: no penalty follows from it; see --times"
LATE_NOTE = "Canvas marks it LATE; by how much only --times can tell"


class Outcome(StrEnum):
    """What became of a student's submission."""

    COLLECTED = "collected"
    UNCHANGED = "unchanged"
    NEEDS_LOOK = "needs a look"  # a person has to decide; nothing was guessed and nothing changed
    REFUSED = "refused"  # there is nothing in it that may be taken


@dataclass(frozen=True)
class Collected:
    """A student's submission of a unit: what is, or would be, in the class folder.

    Attributes:
        notebooks: (name without ``.ipynb``, content); empty where nothing is taken.
        time: in UTC. Only one whose source is `TRUSTED` was not written by the student.
        digest: sha256 of the notebooks' names and contents; empty where there are none.
        notes: for the teacher.
        source: layout and name of what it came in.
    """

    student: str
    unit: str
    notebooks: tuple[tuple[str, bytes], ...] = field(repr=False)
    time: datetime | None
    time_source: TimeSource
    digest: str
    notes: tuple[str, ...]
    outcome: Outcome
    source: str = ""

    @property
    def receipt(self) -> Receipt:
        """What is written down of it."""
        return Receipt(
            unit=self.unit,
            student=self.student,
            content=self.digest,
            handed_in=self.time,
            time_source=self.time_source,
            source=self.source,
        )

    def to_dict(self) -> dict[str, object]:
        """Return what JSON can hold: names of notebooks, not their contents."""
        return {
            "student": self.student,
            "unit": self.unit,
            "outcome": str(self.outcome),
            "notebooks": [f"{name}.ipynb" for name, _ in self.notebooks],
            "time": self.time.isoformat() if self.time else None,
            "time_source": str(self.time_source),
            "digest": self.digest,
            "source": self.source,
            "notes": list(self.notes),
        }


def needs_look(row: Collected, why: str) -> Collected:
    """Return the line of a submission that a person must decide on; nothing of it is taken."""
    return replace(
        row, notebooks=(), digest="", notes=(why, *row.notes), outcome=Outcome.NEEDS_LOOK
    )


def place(
    classroom: Classroom,
    rows: Sequence[Collected],
    receive: Callable[[Receipt], None] | None,
) -> list[Collected]:
    """Put each submission into ``submitted/`` in one step, and return what became of it.

    A line that is unchanged describes what lies in the class, not what was offered. One that
    cannot be written is refused, and the others go on.

    Args:
        receive: writes a receipt, and is asked to before a submission takes its place: there is
            none in the class whose receipt is still to be written. None for a dry run, which only
            says what would be.
    """
    placed = []
    folders = _folders(classroom)
    known = {unit: classroom.receipts(unit) for unit in {row.unit for row in rows}}
    with _room(classroom, receive is None) as room:
        for row in rows:
            try:
                now = _decide(classroom, row, folders, known[row.unit])
                if now.outcome is Outcome.COLLECTED and receive is not None:
                    receive(now.receipt)
                    _write(classroom, now, room)
            except OSError as error:
                reason = f"{writable(error.filename or '')}: {error.strerror}".lstrip(": ")
                now = replace(row, outcome=Outcome.REFUSED, notes=(reason, *row.notes))
            placed.append(now)
    return placed


@dataclass(frozen=True)
class _There:
    """What lies in the class."""

    notebooks: tuple[tuple[str, bytes], ...]
    time: datetime | None
    time_source: TimeSource


def _folders(classroom: Classroom) -> dict[str, str]:
    """The students' folders that are there, by what they are on a system that ignores case."""
    names = [path.name for path in (classroom.root / "submitted").iterdir()]
    return {unicodedata.normalize("NFC", writable(name)).casefold(): name for name in names}


def _decide(
    classroom: Classroom, row: Collected, folders: Mapping[str, str], known: Receipts
) -> Collected:
    if row.outcome is not Outcome.COLLECTED:
        return row
    other = folders.get(row.student.casefold(), row.student)
    if other != row.student:
        return needs_look(
            row, f"the class has a folder {writable(other)}, the same but for spelling"
        )
    there = _there(classroom, row.student, row.unit, known)
    if isinstance(there, str):
        return needs_look(row, there)
    if there is None or not there.notebooks:
        return row
    if digest(there.notebooks) == row.digest:
        return _same(row, there)
    if row.time is None or there.time is None or row.time == there.time:
        return needs_look(row, "another is in the class, and which is newer is not known")
    if row.time < there.time:
        kept = replace(
            row,
            notebooks=there.notebooks,
            digest=digest(there.notebooks),
            time=there.time,
            time_source=there.time_source,
        )
        note = f"an older one, of {row.time:%Y-%m-%d %H:%M} UTC, was not taken"
        return replace(kept, outcome=Outcome.UNCHANGED, notes=(note,))
    return replace(
        row, notes=(*row.notes, f"takes the place of one of {there.time:%Y-%m-%d %H:%M} UTC")
    )


def _same(row: Collected, there: _There) -> Collected:
    """The same work again: only a time that is new, and to be trusted, changes anything."""
    is_kept = there.time_source is TimeSource.KEPT
    if row.time_source in TRUSTED and row.time is not None and there.time is not None:
        later = row.time > there.time
        if not is_kept or later or (row.time_source is TimeSource.TIMES and row.time != there.time):
            before = f"{there.time:%Y-%m-%d %H:%M} UTC" if is_kept else "not known"
            return replace(row, notes=(*row.notes, f"the same work; its time was {before}"))
    if is_kept and row.time_source not in TRUSTED:
        notes = tuple(note for note in row.notes if note not in (HINT_NOTE, LATE_NOTE))
        row = replace(row, time=there.time, time_source=there.time_source, notes=notes)
    return replace(row, outcome=Outcome.UNCHANGED)


def _there(classroom: Classroom, student: str, unit: str, known: Receipts) -> _There | str | None:
    """What lies in a student's folder; a sentence where it is in the way."""
    folder = classroom.submitted(student, unit)
    for path in (folder.parent, folder):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no folder"
            return f"{writable(path.name)} in the class is {what}; take it away"
    books = notebooks_in(folder)
    when, _ = classroom.handed_in(student, unit, known)
    if when is not None:
        return _There(books, when, TimeSource.KEPT)
    written = [(folder / f"{name}.ipynb").stat().st_mtime_ns // 1000 for name, _ in books]
    last = max(written, default=0)
    hint = EPOCH + timedelta(microseconds=last) if last else None
    return _There(books, hint, TimeSource.HINT if hint else TimeSource.UNKNOWN)


@contextmanager
def _room(classroom: Classroom, dry_run: bool) -> Iterator[Path]:
    """A folder beside the students' in which nothing is looked for; gone afterwards."""
    submitted = classroom.root / "submitted"
    if dry_run:
        yield submitted
        return
    try:
        for old in submitted.glob(f"{ROOM}*"):
            if time.time() - old.stat().st_mtime > HOUR:  # of a run that was killed
                _put_back(old / "old", submitted)
                shutil.rmtree(old)
        room = Path(tempfile.mkdtemp(prefix=ROOM, dir=submitted))
    except OSError as error:
        raise GraderError(f"{submitted} cannot be written to: {error.strerror}") from None
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _put_back(old: Path, submitted: Path) -> None:
    for folder in old.glob("*/*"):
        target = submitted / folder.parent.name / folder.name
        if not target.exists():
            folder.rename(target)


def _write(classroom: Classroom, row: Collected, room: Path) -> None:
    """Write a submission beside the class and let it take its place; the old one goes, whole."""
    target = classroom.submitted(row.student, row.unit)
    new = room / "new" / row.student / row.unit
    new.mkdir(parents=True)
    moment = row.time - EPOCH if row.time else timedelta(0)
    nanoseconds = (moment // timedelta(microseconds=1)) * 1000
    for name, content in row.notebooks:
        path = new / f"{name}.ipynb"
        _write_file(path, content)
        os.utime(path, ns=(nanoseconds, nanoseconds))  # tells the next run which is newer
    if row.time_source in TRUSTED and row.time is not None:
        _write_file(new / STAMP, row.time.strftime(STAMP_FORMAT).encode())
    target.parent.mkdir(exist_ok=True)
    if os.path.lexists(target):
        if not _exchange(new, target):
            old = room / "old" / row.student / row.unit
            old.parent.mkdir(parents=True)
            target.rename(old)
            new.rename(target)
    else:
        new.rename(target)


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's place in one step, where the system can (Linux)."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap(here, os.fsencode(one), here, os.fsencode(other), both) == 0)
