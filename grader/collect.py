"""Bring what students handed in into a class folder, once, whole, and with a time to be trusted.

A source's uploads (`grader.sources`) become one `Collected` for each student: the file that is the
unit's, the id that the class knows, the latest time. `place` puts it into ``submitted/``. Every
submission ends as one line: collected, unchanged, needs a look or refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import nbformat

from grader import clean, intake, sources
from grader.classroom import Classroom
from grader.clean import grade_id, writable
from grader.course import Course, source_notebook
from grader.errors import GraderError, SubmissionError, UsageError, nearest
from grader.journal import Journal
from grader.place import EPOCH, HINT_NOTE, LATE_NOTE, Collected, Outcome, needs_look, place
from grader.receipts import TimeSource, digest
from grader.roster import Person, Sender, Unclear, find, made
from grader.sources import File, Layout, Left, Upload


@dataclass(frozen=True)
class Known:
    """A unit and the others, as far as their notebooks can be told apart.

    Attributes:
        notebooks: (name, nbgrader's names of its cells) of the unit.
        others: (another unit, the names of its cells).
    """

    unit: str
    notebooks: tuple[tuple[str, frozenset[str]], ...]
    others: tuple[tuple[str, frozenset[str]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the unit's notebooks."""
        return tuple(name for name, _ in self.notebooks)


def collect(
    classroom: Classroom,
    known: Known,
    paths: Sequence[Path],
    *,
    layout: Layout = Layout.AUTO,
    roster: Sequence[Person] = (),
    times: Sequence[Person] = (),
    zone: tzinfo = UTC,
    dry_run: bool = False,
) -> tuple[list[Collected], list[Left]]:
    """Bring what is in `paths` into the class; return a line a student, and files not taken.

    Args:
        times: when they were handed in, by a person's word; goes before every other time.
        zone: in which a zip's times are read.

    Raises:
        GraderError: a source cannot be read or understood, and nothing was changed; or the database
            cannot be used.
    """
    found: list[Upload] = []
    left: list[Left] = []
    leave = sources.leaving(known.unit, [unit for unit, _ in known.others])
    for path in paths:
        files = intake.members(path, zone, leave, _inbound(path))
        try:
            for one in sources.uploads(files, layout, known.unit, known.names, roster):
                if isinstance(one, Upload):
                    found.append(replace(one, source=writable(path.resolve().name)))
                else:
                    left.append(one)
        except UsageError as error:
            raise UsageError(f"{writable(str(path))}: {error}") from None
    students, names = who(found, roster)
    rows = []
    for upload, student in zip(found, students, strict=True):
        row, not_taken = read(upload, student, known)
        rows.append(row)
        left += not_taken
    merged, older = merge(rows)
    merged = [_timed(row, names.get(row.student, ()), times) for row in merged]
    if dry_run:
        return place(classroom, merged, None), left + older
    with Journal(classroom) as journal:
        return place(classroom, merged, journal.receive), left + older


def _inbound(path: Path) -> str:
    """The folder of an exchange in which submissions lie, where a course's folder was named."""
    try:
        if not path.is_dir():
            return ""
        if (path / "inbound").is_dir():
            return "inbound"
        courses = [one.parent.name for one in path.glob("*/inbound") if one.is_dir()]
    except OSError:
        return ""  # what cannot be read is said when it is read
    if len(courses) > 1:
        raise UsageError(f"{path} is the exchange of {', '.join(sorted(courses))}: name one course")
    return f"{courses[0]}/inbound" if courses else ""


# ---- the unit -------------------------------------------------------------------------------


def known_unit(classroom: Classroom, unit: str, course: Course | None = None) -> Known:
    """Return what tells `unit` from others: what the class released, or its source, or our course.

    Raises:
        UsageError: there is no such unit.
    """
    units: dict[str, dict[str, frozenset[str]]] = {}
    for lesson in course.lessons if course else ():
        names = {grade_id(cell) for cell in source_notebook(lesson).cells} - {""}
        units[lesson.unit] = {lesson.notebook: frozenset(names)}
    for folder in ("source", "release"):  # the latter is what students were given
        for path in sorted((classroom.root / folder).glob("*/*.ipynb")):
            try:
                cells = nbformat.read(path, as_version=4).cells
            except Exception as error:  # nbformat on a file of any kind
                raise GraderError(f"{path} cannot be read: {error}") from None
            names = {grade_id(cell) for cell in cells} - {""}
            units.setdefault(path.parent.name, {})[path.stem] = frozenset(names)
    if unit not in units:
        raise UsageError(f'no unit "{unit}" in this class or course.{nearest(unit, units)}')
    others = tuple(
        (other, frozenset().union(*notebooks.values()))
        for other, notebooks in units.items()
        if other != unit
    )
    return Known(unit, tuple(units[unit].items()), others)


@dataclass(frozen=True)
class _Looked:
    """What a file's cells say of it: the notebook that it is, or why it may not be one."""

    notebook: str = ""
    foreign: str = ""
    doubt: str = ""


def _look(content: bytes, known: Known) -> _Looked:
    try:
        cells, _ = clean.read(content)
    except SubmissionError as error:
        return _Looked(doubt=str(error))
    names = {cell.grade_id for cell in cells} - {""}
    if not names:
        return _Looked(doubt="no cell in it has a name of nbgrader's")
    ours = max(((len(names & ids), name) for name, ids in known.notebooks), key=lambda p: p[0])
    theirs = max(((len(names & ids), name) for name, ids in known.others), default=(0, ""))
    if ours[0] and ours[0] >= theirs[0]:
        return _Looked(notebook=ours[1])
    return _Looked(foreign=f"a notebook of {theirs[1] if theirs[0] else 'a unit not known here'}")


# ---- which student --------------------------------------------------------------------------


@dataclass(frozen=True)
class Student:
    """The folder that an upload goes to, and what is to be said of how it was found."""

    id: str
    notes: tuple[str, ...] = ()
    doubt: str = ""


def who(
    found: Sequence[Upload], roster: Sequence[Person]
) -> tuple[list[Student], dict[str, list[Sender]]]:
    """Return the student of each upload, and how the sources call each student.

    Two numbers are two students, whatever their names: the roster's line for a name is nobody's
    where two have that name.
    """
    lines: dict[Sender, Person | None] = {}
    unclear: dict[Sender, str] = {}
    for sender in {upload.sender for upload in found}:
        try:
            lines[sender] = find(roster, sender)
        except Unclear as problem:
            lines[sender], unclear[sender] = None, str(problem)
    claims: dict[tuple[Person, str], list[Sender]] = {}
    for sender, person in lines.items():
        if person is not None and sender.system:
            claims.setdefault((person, sender.system), []).append(sender)
    for (person, system), senders in claims.items():
        for sender in senders:
            if len(senders) > 1 and getattr(person, system) != sender.number:
                lines[sender] = None
                unclear[sender] = f"the roster has one {person.name} and the source several"
    students = []
    names: dict[str, list[Sender]] = {}
    for upload in found:
        line = lines[upload.sender]
        if line is not None and line.id:
            student = Student(line.id)
        elif upload.sender in unclear:
            student = Student(made(upload.sender), doubt=f"{unclear[upload.sender]}: give its id")
        else:
            student = Student(made(upload.sender), ("not in the roster",) if roster else ())
        students.append(student)
        names.setdefault(student.id, []).append(upload.sender)
    return students, names


def _timed(row: Collected, names: Iterable[Sender], times: Sequence[Person]) -> Collected:
    """Put in the time that a person vouches for, where there is one."""
    if not times or not row.notebooks:
        return row
    for sender in (Sender(row.student), *names):
        try:
            line = find(times, sender)
        except Unclear as problem:
            row = replace(row, notes=(*row.notes, f"no time was taken from --times: {problem}"))
            continue
        if line is not None and line.time is not None:
            notes = tuple(note for note in row.notes if note not in (HINT_NOTE, LATE_NOTE))
            return replace(row, time=line.time, time_source=TimeSource.TIMES, notes=notes)
    return replace(row, notes=(*row.notes, "--times has no time for it"))


# ---- which file -----------------------------------------------------------------------------

QUIET = (intake.NOISE, intake.NO_NOTEBOOK, intake.EMPTY)


def read(upload: Upload, student: Student, known: Known) -> tuple[Collected, list[Left]]:
    """Choose of an upload the files that are the unit's; what is not taken has its reason."""
    looked = {
        file: _look(file.member.content, known)
        for file in upload.files
        if file.member.content is not None
    }
    chosen: dict[str, File] = {}
    notes = [*upload.notes, *student.notes]
    doubts = [doubt for doubt in (upload.doubt, student.doubt) if doubt]
    for name in known.names:
        try:
            file, said = _choose(name, looked, upload, len(known.names) == 1)
        except Unclear as problem:
            doubts.append(str(problem))
            continue
        if file is not None:
            chosen[name] = file
            notes += said
    left = [
        Left(file.member.name, _reason(file, looked.get(file), chosen), student.id)
        for file in upload.files
        if file not in chosen.values()
    ]
    notes += [
        f"{_called(file)}: {file.member.reason}"
        for file in upload.files
        if file.member.reason and file.member.reason not in QUIET
    ]
    missing = [name for name in known.names if name not in chosen]
    if not chosen and not doubts:
        doubts.append(_nothing(upload, looked))
    elif missing and not doubts:
        notes.append(f"there is no {', '.join(missing)}")
    books = tuple(
        (name, file.member.content)
        for name, file in sorted(chosen.items())
        if file.member.content is not None and not doubts
    )
    hostile = not looked and any(file.member.hostile for file in upload.files)
    outcome = Outcome.COLLECTED if books else Outcome.REFUSED if hostile else Outcome.NEEDS_LOOK
    when, source = _when(upload, list(chosen.values()))
    if books and source is TimeSource.HINT:
        notes.append(HINT_NOTE)
    if upload.late:
        notes.append(LATE_NOTE)
    row = Collected(
        student=student.id,
        unit=known.unit,
        notebooks=books,
        time=when,
        time_source=source,
        digest=digest(books),
        notes=tuple(dict.fromkeys(writable(note) for note in (*doubts, *notes))),
        outcome=outcome,
        source=f"{upload.layout} {upload.source}".strip(),
    )
    return row, left


def _when(upload: Upload, chosen: Sequence[File]) -> tuple[datetime | None, TimeSource]:
    if upload.time is not None:
        return upload.time, TimeSource.FILE_SYSTEM
    written = [file.member.written for file in chosen or upload.files]
    hint = upload.hint or max((one for one in written if one is not None), default=None)
    if upload.late:
        return hint, TimeSource.LATE_FLAG
    return hint, TimeSource.HINT if hint else TimeSource.UNKNOWN


def _choose(
    name: str, looked: Mapping[File, _Looked], upload: Upload, alone: bool
) -> tuple[File | None, list[str]]:
    """Return the file that is the unit's notebook `name`, or None.

    Raises:
        Unclear: several may be.
    """
    exact = f"{name}.ipynb"
    sure = [file for file, what in looked.items() if what.notebook == name]
    perhaps = [file for file, what in looked.items() if what.doubt]
    if not alone:  # of several notebooks, only its name tells what an unnamed one is
        perhaps = [file for file in perhaps if _stem(file)[0] == name.casefold()]
    candidates = sure or perhaps
    if upload.by_name and (named := [file for file in candidates if file.name == exact]):
        candidates = named
    if not candidates:
        return None, []
    notes = []
    contents = {file.member.content for file in candidates}
    if len(contents) == 1:
        file = candidates[0]
    else:
        latest = _latest(candidates)
        if latest is None:
            names = ", ".join(_called(file) for file in candidates)
            raise Unclear(f"{len(candidates)} files may be {exact}: {names}")
        file = latest
        notes.append(f"{_called(file)} is the latest of {len(candidates)}")
    if doubt := looked[file].doubt:
        notes.append(f"{_called(file)}: {doubt}")
    elif _stem(file)[0] != name.casefold():
        notes.append(f"{_called(file)} is {exact} by its cells")
    return file, notes


def _called(file: File) -> str:
    return file.name or file.member.name.rstrip("/")


def _stem(file: File) -> tuple[str, int]:
    """A file's name without the number that Canvas adds to a name that was there before."""
    match = re.fullmatch(r"(?s)(.*?)(?:-([0-9]{1,3}))?\.ipynb", file.name, re.IGNORECASE)
    if match is None:
        return file.name.casefold(), 0
    return match[1].rpartition("/")[2].casefold(), int(match[2] or 0)


def _latest(files: Sequence[File]) -> File | None:
    """Of a file and its resubmissions return the last; None where they are not such.

    A student, too, may end a name with -1: only if Canvas's own numbers grow with it, it is one.
    """
    ordered = sorted(files, key=lambda file: file.order)
    stems = [_stem(file) for file in ordered]
    orders = [file.order for file in ordered]
    grows = all(a[1] < b[1] for a, b in itertools.pairwise(stems))
    if len({base for base, _ in stems}) > 1 or not grows or len(set(orders)) < len(orders):
        return None
    return ordered[-1]


def _reason(file: File, what: _Looked | None, chosen: Mapping[str, File]) -> str:
    if what is None:
        return file.member.reason
    if what.foreign:
        return what.foreign
    if what.notebook in chosen:
        other = chosen[what.notebook]
        same = other.member.content == file.member.content
        return f"the same as {other.name}" if same else f"{other.name} was taken"
    return what.doubt or "nobody can tell whether it is the one"


def _nothing(upload: Upload, looked: Mapping[File, _Looked]) -> str:
    foreign = [f"{_called(file)} is {what.foreign}" for file, what in looked.items()
               if what.foreign]  # fmt: skip
    if foreign:
        return "; ".join(foreign)
    if not looked and any(file.member.hostile for file in upload.files):
        return "there is nothing in it that may be taken"
    others = [_called(file) for file in upload.files if file.member.reason != intake.NOISE]
    if not any(others) or all(f.member.reason == intake.EMPTY for f in upload.files):
        return "nothing was handed in: the folder is empty"
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return f"no notebook was handed in, but {', '.join(others[:5])}{more}"


# ---- one line a student ---------------------------------------------------------------------


def merge(rows: Iterable[Collected]) -> tuple[list[Collected], list[Left]]:
    """Return one line for each student, the latest, in order; and what it has outdated.

    Where two may be the latest, or two students' ids differ only by case, a person must look.
    """
    by_student: dict[str, list[Collected]] = {}
    for row in rows:
        by_student.setdefault(row.student, []).append(row)
    spelled: dict[str, list[str]] = {}
    for student in by_student:
        spelled.setdefault(student.casefold(), []).append(student)
    merged = []
    left = []
    for student, theirs in sorted(by_student.items()):
        row, older = _last(theirs)
        left += older
        others = [name for name in spelled[student.casefold()] if name != student]
        if others:
            row = needs_look(row, f"{', '.join(others)} is another student, but for case")
        merged.append(row)
    return merged, left


def _last(theirs: Sequence[Collected]) -> tuple[Collected, list[Left]]:
    alike = {(row.digest, row.time, row.outcome, row.notes): row for row in theirs}
    different = list(alike.values())
    digests = {row.digest for row in different}
    if len(different) == 1:
        return different[0], []
    if any(row.time is None for row in different):
        if len(digests) == 1:
            return max(different, key=lambda row: row.time or EPOCH), []
        return needs_look(different[0], "handed in more than once, and one has no time"), []
    ordered = sorted(different, key=lambda row: row.time or EPOCH)
    last = ordered[-1]
    if any(row.time == last.time and row.digest != last.digest for row in ordered[:-1]):
        return needs_look(last, "handed in more than once at one time"), []
    older = [
        Left(f"{row.student}, {row.time:%Y-%m-%d %H:%M} UTC", "an older submission", row.student)
        for row in ordered[:-1]
    ]
    if last.outcome is not Outcome.COLLECTED:
        return replace(last, notes=(*last.notes, "an older submission was not taken")), older
    return last, older
