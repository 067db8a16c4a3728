"""Whose files are whose: how nbgrader's exchange, folders, Canvas and Moodle name what they hold.

Each source is one function from files to uploads. It knows names only: what is in a notebook is
looked at later, and nothing is read or written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from grader.errors import UsageError, nearest
from grader.intake import NOISE, Leave, Member
from grader.roster import Person, Sender, Unclear, find

AGREE = timedelta(minutes=1)  # copying takes time: so far may a folder's name and its ctime be

EXCHANGE = re.compile(
    r"(?P<student>.+)\+(?P<unit>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^+]{0,20})"
    r"(?:\+(?P<random>[^+]*))?"
)
# The name in lower case without blanks; what is not a letter in Canvas's eyes is gone, all of it
# at worst. A hidden name is `anon`, and then LATE comes first.
CANVAS = re.compile(
    r"(?:(?:(?P<anonlate>LATE)_)?anon_(?P<anon>[A-Za-z0-9]{1,20})"
    r"|(?P<name>.*?)_(?:(?P<late>LATE)_)?(?P<user>[0-9]{1,20}))"
    r"_(?:(?P<file>[0-9]{1,20})_(?P<original>.+)|(?P<entry>text|link)\.html)",
    re.DOTALL,
)
MOODLE = re.compile(
    r"(?P<name>.*?)_(?P<number>[0-9]{1,20})_assignsubmission_(?P<plugin>[a-z]+)(?:_(?P<rest>.*))?",
    re.DOTALL,
)
WRAPPERS = ("submitted", "submissions", "inbound")


class Layout(StrEnum):
    """How a source names what is whose."""

    AUTO = "auto"
    EXCHANGE = "exchange"
    FOLDER = "folder"
    CANVAS = "canvas"
    MOODLE = "moodle"


def named(layout: str) -> Layout:
    """Return the layout that a person named.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return Layout(layout)
    except ValueError:
        raise UsageError(
            f'no layout "{layout}"; there are {", ".join(Layout)}.{nearest(layout, Layout)}'
        ) from None


LAYOUTS = """\
<student>+<unit>+<time>+<random>/x.ipynb (nbgrader's exchange)
    <student>/<unit>/x.ipynb, <student>/x.ipynb, <student>.ipynb or <student>_<notebook>.ipynb
    doejane_LATE_123_456_x.ipynb (Canvas)
    Jane Doe_123_assignsubmission_file_/x.ipynb or ..._file_x.ipynb (Moodle)"""


@dataclass(frozen=True)
class Left:
    """A file that is not taken, and why."""

    path: str
    reason: str
    student: str = ""


@dataclass(frozen=True)
class File:
    """A file of an upload.

    Attributes:
        name: as the student called it.
        order: grows with each upload to the system (Canvas); 0 where nothing is known.
    """

    name: str
    member: Member
    order: int = 0


@dataclass(frozen=True)
class Upload:
    """What one student handed in at one time, as the source tells it.

    Attributes:
        time: by a clock that the student's process does not set; None where there is none.
        hint: what a name says of the time, where nobody vouches for it.
        late: the platform says that it came late.
        by_name: nbgrader's own rule holds: of several notebooks that of the unit's name counts.
        doubt: why it may be somebody else's.
        layout: of the source that it was found in.
        source: that source, as a person knows it; whoever reads the files fills it in.
    """

    sender: Sender
    files: tuple[File, ...]
    time: datetime | None = None
    hint: datetime | None = None
    late: bool = False
    by_name: bool = False
    doubt: str = ""
    notes: tuple[str, ...] = ()
    layout: str = ""
    source: str = ""


Found = Iterator[Upload | Left]


def uploads(
    found: Sequence[Member],
    layout: Layout,
    unit: str,
    notebooks: Sequence[str],
    roster: Sequence[Person] = (),
) -> Found:
    """Return what students handed in, and the files that are nobody's.

    Raises:
        UsageError: the layout cannot be told, or not without guessing.
    """
    yield from (Left(member.name, member.reason) for member in found if member.stray)
    found = [member for member in found if not member.stray]
    if layout is Layout.AUTO:
        layout = recognise(found)
    if layout is Layout.FOLDER:
        parts = folder(_unwrapped(found, unit, notebooks), unit, notebooks, roster)
    else:
        found = _inside(found, layout)
        if layout is Layout.EXCHANGE:
            parts = exchange(found, unit)
        else:
            parts = (canvas if layout is Layout.CANVAS else moodle)(found)
    for one in parts:
        yield replace(one, layout=str(layout)) if isinstance(one, Upload) else one


def leaving(unit: str, others: Sequence[str]) -> Leave:
    """Return the rule that files in a folder of another unit need not be read."""

    def leave(path: tuple[str, ...]) -> str:
        for part in path[:-1]:
            match = EXCHANGE.fullmatch(part)
            if match and match["unit"] != unit:
                return f"of another unit, {match['unit']}"
            if part in others and unit not in path:
                return f"of another unit, {part}"
        return ""

    return leave


# ---- which layout ---------------------------------------------------------------------------


def recognise(found: Sequence[Member]) -> Layout:
    """Return the layout of a source.

    Raises:
        UsageError: it may be two.
    """
    for inside in (list(found), _below(found)):
        kinds = {kind for member in inside if (kind := _kind(member)) is not None}
        if len(kinds) > 1:
            names = " and ".join(sorted(kinds))
            raise UsageError(f"the source looks like {names}: say --from, or name its parts alone")
        if kinds == {Layout.CANVAS} and (
            strays := [m.name for m in inside if _is_loose(m) and _kind(m) is None]
        ):
            raise UsageError(
                f"some files are named as Canvas names them, and {strays[0]} is not: say --from"
            )
        if kinds:
            return kinds.pop()
    return Layout.FOLDER


def _kind(member: Member) -> Layout | None:
    top = member.path[0]
    if len(member.path) > 1 and EXCHANGE.fullmatch(top):
        return Layout.EXCHANGE
    if MOODLE.fullmatch(top):
        return Layout.MOODLE
    if len(member.path) == 1 and CANVAS.fullmatch(top):
        return Layout.CANVAS
    return None


def _is_loose(member: Member) -> bool:
    return len(member.path) == 1 and top_is_notebook(member)


def top_is_notebook(member: Member) -> bool:
    """Whether a file's name is a notebook's and no program's own."""
    return member.path[-1].lower().endswith(".ipynb") and member.reason != NOISE


def _inside(found: Sequence[Member], layout: Layout) -> Sequence[Member]:
    """Return the files without a folder around all, and see that the layout is there."""
    for inside in (found, _below(found)):
        if any(_kind(member) is layout for member in inside):
            return inside
    raise UsageError(f"nothing is named as in {layout}; known are\n    {LAYOUTS}")


def _below(found: Sequence[Member]) -> list[Member]:
    """Return the files without their first folder, where all have the same one."""
    tops = {member.path[0] for member in found if member.reason != NOISE}
    if len(tops) != 1 or any(len(m.path) == 1 for m in found if m.reason != NOISE):
        return []
    return [replace(m, path=m.path[1:] if m.path[0] in tops else m.path) for m in found]


def _unwrapped(found: Sequence[Member], unit: str, notebooks: Sequence[str]) -> Sequence[Member]:
    """Return the files without a folder that is no student's.

    Raises:
        UsageError: whether it is one cannot be told.
    """
    while inside := _below(found):
        top = next(m.path[0] for m in found if m.reason != NOISE)
        books = [m for m in inside if top_is_notebook(m)]
        seconds = {m.path[0] for m in books if len(m.path) > 1}
        flat = [m for m in books if len(m.path) == 1]
        if top == unit or top.lower() in WRAPPERS:
            found = inside
        elif unit in seconds or not books or (len(flat) == 1 and not seconds):
            return found
        elif flat:
            if {m.path[0][:-6] for m in flat} & set(notebooks):
                return found
            raise UsageError(
                f"is {top} a student with {len(flat)} notebooks, or the folder of {len(flat)} "
                f"students? Rename it {WRAPPERS[0]} if it is no student"
            )
        elif len(seconds) == 1:
            raise UsageError(
                f"is {top} the student, or {seconds.pop()} in it? "
                f"Rename {top} to {WRAPPERS[0]} if it is no student"
            )
        else:
            found = inside
    return found


# ---- nbgrader's exchange --------------------------------------------------------------------


def exchange(found: Sequence[Member], unit: str) -> Found:
    """Folders of an exchange's ``inbound``, a student's several submissions as several uploads.

    The folder's name and what is in it were written by the student's own process. The kernel's
    ctime was not; the later of both counts.
    """
    folders: dict[str, list[Member]] = {}
    for member in found:
        match = EXCHANGE.fullmatch(member.path[0]) if len(member.path) > 1 else None
        if match is None:
            yield Left(member.name, member.reason or "not in a submission's folder")
        elif match["unit"] == unit:
            folders.setdefault(member.path[0], []).append(member)
        else:
            yield Left(member.name, f"of another unit, {match['unit']}")
    made = [_submission(name, inside) for name, inside in folders.items()]
    owners = {name: {m.owner for m in inside if m.owner} for name, inside in folders.items()}
    known = {one.sender.name for one, of in zip(made, owners.values(), strict=True)
             if one.sender.name in of}  # fmt: skip
    doubted = []
    for upload, of in zip(made, owners.values(), strict=True):
        strangers = sorted(of - {upload.sender.name})
        if strangers and (upload.sender.name in known or set(strangers) & known):
            reason = f"its files belong to {', '.join(strangers)}"
            upload = replace(upload, doubt=reason)
        doubted.append(upload)
    sure = {one.sender for one in doubted if not one.doubt}
    for upload, name in zip(doubted, folders, strict=True):
        if upload.doubt and upload.sender in sure:
            yield Left(name, upload.doubt, upload.sender.name)
        else:
            yield upload


def _submission(name: str, inside: Sequence[Member]) -> Upload:
    match = EXCHANGE.fullmatch(name)
    assert match is not None  # its caller matched it
    claimed = _claimed(match["time"])
    changed = max((m.changed for m in inside if m.changed), default=None)
    notes = []
    if changed is None:
        time = None
        notes.append("an exchange in an archive: what its folders say of the time is the student's")
    else:
        time = changed if claimed is None else max(changed, claimed)
        if claimed is None or abs(changed - claimed) > AGREE:
            says = "no time" if claimed is None else f"{claimed:%Y-%m-%d %H:%M}"
            notes.append(
                f"its folder's name says {says}, the file system {changed:%Y-%m-%d %H:%M} UTC: "
                "the later counts"
            )
    return Upload(
        Sender(match["student"]),
        tuple(File("/".join(m.path[1:]), m) for m in inside),
        time=time,
        hint=claimed,
        by_name=True,
        notes=tuple(notes),
    )


def _claimed(text: str) -> datetime | None:
    from nbgrader.utils import parse_utc

    try:
        return parse_utc(text).replace(tzinfo=UTC)  # type: ignore[no-any-return]  # no types
    except (ValueError, OverflowError):
        return None


# ---- a folder of a person's own -------------------------------------------------------------


def folder(
    found: Sequence[Member], unit: str, notebooks: Sequence[str], roster: Sequence[Person] = ()
) -> Found:
    """``<student>/<unit>/x.ipynb``, ``<student>/x.ipynb``, or flat files with students' names.

    Raises:
        UsageError: folders and loose notebooks stand side by side, or a name tells no student.
    """
    loose = [member for member in found if _is_loose(member)]
    deep = [member for member in found if len(member.path) > 1 and member.reason != NOISE]
    if loose and any(top_is_notebook(member) for member in deep):
        raise UsageError(
            f"folders and loose notebooks ({loose[0].name}) side by side: which are the students? "
            f"Known are\n    {LAYOUTS}"
        )
    if loose:
        yield from _flat(loose, unit, notebooks, roster)
    students: dict[str, list[Member]] = {}
    for member in found:
        if not loose and member in deep:
            students.setdefault(member.path[0], []).append(member)
        elif member not in loose:
            yield Left(member.name, member.reason or "not in a student's folder")
    for student, theirs in students.items():
        own = [m for m in theirs if len(m.path) > 2 and m.path[1] == unit]
        others = [m for m in theirs if (own and m not in own) or "of another unit" in m.reason]
        for member in others:
            yield Left(member.name, member.reason or f"not in the folder {unit}", student)
        at = 2 if own else 1
        files = [File("/".join(m.path[at:]), m) for m in theirs if m not in others]
        if files:
            yield Upload(Sender(student), tuple(files), by_name=True)


def _flat(
    loose: Sequence[Member], unit: str, notebooks: Sequence[str], roster: Sequence[Person]
) -> Found:
    theirs: dict[Sender, list[File]] = {}
    unclear = []
    for member in loose:
        sender = _named_in(member.path[0][: -len(".ipynb")], unit, notebooks, roster)
        if sender is None:
            unclear.append(member.name)
        else:
            theirs.setdefault(sender, []).append(File(member.path[0], member))
    if unclear:
        more = f" and {len(unclear) - 3} more" if len(unclear) > 3 else ""
        raise UsageError(
            f"the student cannot be told from {', '.join(unclear[:3])}{more}: name them "
            f"<student>.ipynb or <student>_{notebooks[0]}.ipynb, or give a --roster"
        )
    for sender, files in theirs.items():
        yield Upload(sender, tuple(files))


def _named_in(
    stem: str, unit: str, notebooks: Sequence[str], roster: Sequence[Person]
) -> Sender | None:
    """The student in a flat file's name; None where it may be cut at more than one place."""
    pieces = stem.split("_")
    for count in range(len(pieces), 0, -1):
        sender = Sender("_".join(pieces[:count]))
        try:
            if find(roster, sender) is not None:
                return sender
        except Unclear:
            return None
    for tail in (*notebooks, unit):
        if stem.lower().endswith(f"_{tail.lower()}") and len(stem) > len(tail) + 1:
            return Sender(stem[: -len(tail) - 1])
    return Sender(stem) if len(pieces) == 1 and stem not in (*notebooks, unit) else None


# ---- learning platforms ---------------------------------------------------------------------


def canvas(found: Sequence[Member]) -> Found:
    """Canvas's submissions.zip, or the folder that it was unpacked to."""
    theirs: dict[str, list[File]] = {}
    names: dict[str, str] = {}
    late = set()
    for member in found:
        match = CANVAS.fullmatch(member.path[0]) if len(member.path) == 1 else None
        if match is None:
            yield Left(member.name, member.reason or "not named as Canvas names files")
            continue
        number = match["user"] or match["anon"]
        names.setdefault(number, match["name"] or ("anon" if match["anon"] else ""))
        if match["late"] or match["anonlate"]:
            late.add(number)
        if match["entry"]:
            what = "a text entry" if match["entry"] == "text" else "a link"
            member = replace(member, reason=f"{what}, which is not collected")
            theirs.setdefault(number, []).append(File(f"{match['entry']}.html", member))
        else:
            file = File(match["original"], member, int(match["file"]))
            theirs.setdefault(number, []).append(file)
    for number, files in theirs.items():
        sender = Sender(names[number], "canvas", number)
        yield Upload(sender, tuple(files), late=number in late)


def moodle(found: Sequence[Member]) -> Found:
    """Moodle's download of all submissions, in folders or flat; with hidden names, too."""
    theirs: dict[str, list[File]] = {}
    names: dict[str, str] = {}
    for member in found:
        match = MOODLE.fullmatch(member.path[0])
        if match is None:
            yield Left(member.name, member.reason or "not named as Moodle names files")
            continue
        if match["plugin"] == "onlinetext":
            member = replace(member, reason="an online text, which is not collected")
        elif match["plugin"] != "file":
            member = replace(member, reason=f"of Moodle's {match['plugin']}: no file submission")
        name = "/".join(member.path[1:]) if len(member.path) > 1 else match["rest"] or ""
        names.setdefault(match["number"], match["name"])
        theirs.setdefault(match["number"], []).append(File(name, member))
    for number, files in theirs.items():
        sender = Sender(names[number], "moodle", number)
        yield Upload(sender, tuple(files))
