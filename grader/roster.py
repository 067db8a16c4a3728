"""Who is who: names that are safe as folders, the class's roster, times that a person vouches for.

A learning platform knows a student by a number and a name as it writes it; the class by an id. A
roster says which is which. Where it does not, nothing is guessed: the student is given a name made
of the platform's name and number.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from grader import sheets
from grader.errors import UsageError

MAX_NAME = 120  # bytes of UTF-8; a file system takes 255, and nbgrader adds to it
BAD = set('<>:"/\\|?*\ufffd')
JOINERS = "\u200c\u200d"  # part of how Persian, Hindi and others are spelled
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.I)

# What a column may be called, in lower case; the second of each is what Moodle writes.
COLUMNS = {
    "id": ("id", "student id"),
    "name": ("name", "full name"),
    "email": ("email", "email address"),
    "canvas": ("canvas id",),
    "moodle": ("moodle id", "identifier"),
    "time": ("time", "last modified (submission)"),
}
# Moodle's worksheet, in its English and American ways; ISO 8601 is tried before.
FORMATS = ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p", "%d %B %Y, %I:%M %p")


@dataclass(frozen=True)
class Person:
    """A line of a roster or of a table of times; what it does not say is empty."""

    id: str = ""
    name: str = ""
    email: str = ""
    canvas: str = ""
    moodle: str = ""
    time: datetime | None = None


@dataclass(frozen=True)
class Sender:
    """A student as a source calls them.

    Attributes:
        system: ``canvas`` or ``moodle``; empty where the name is a folder's or a file's.
        number: what the system numbers them by.
    """

    name: str
    system: str = ""
    number: str = ""


class Unclear(Exception):
    """More than one line may be meant; the message says which."""


# ---- names ----------------------------------------------------------------------------------


def safe(text: str) -> str:
    """Return `text` as a folder's name that every system takes, unchanged (in NFC) where it is one.

    Two different names stay different: what had to be changed ends with a part of its hash.
    """
    whole = unicodedata.normalize("NFC", text)
    name = _cut(_printable(whole), MAX_NAME)
    if name and name == whole and not RESERVED.fullmatch(name):
        return name
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    name = _cut(name, MAX_NAME - len(digest) - 2) or "student"
    return f"{'_' if RESERVED.fullmatch(name) else ''}{name}-{digest}"


def made(sender: Sender) -> str:
    """Return a student's folder for a sender that no roster knows: the name and the number."""
    if not sender.number:
        return safe(sender.name)
    name = _printable(unicodedata.normalize("NFC", sender.name)).replace(" ", "-")
    name = _cut(name, MAX_NAME - len(sender.number) - 1)
    return safe(f"{name or sender.system}-{sender.number}")


def _printable(text: str) -> str:
    kept = []
    for place, char in enumerate(text):
        if char in JOINERS:
            around = (text[place - 1 : place], text[place + 1 : place + 2])
            kept.append(char if all(map(_joins, around)) else "")
        else:
            kept.append(char if char.isprintable() and char not in BAD else "\0")
    # Windows takes no dot or blank at an end; a dot or a dash at the start hides or is an option.
    return re.sub("\0+", "-", "".join(kept).strip("\0 ")).rstrip(". ").lstrip("-.~ ")


def _joins(char: str) -> bool:
    return not char.isascii() and (char.isalnum() or unicodedata.category(char)[:1] == "M")


def _cut(name: str, size: int) -> str:
    """`name` in at most `size` bytes; no letter loses its accents."""
    if len(name.encode()) <= size:
        return name
    short = name.encode()[:size].decode("utf-8", "ignore")
    rest = name[len(short) :]
    while short and (rest[:1] in (*JOINERS, "") or unicodedata.category(rest[0])[:1] == "M"):
        short, rest = short[:-1], short[-1:] + rest
    return short.rstrip(". " + JOINERS)


def squash(name: str) -> str:
    """Letters, marks and digits of a name in lower case: what Canvas leaves of one."""
    return "".join(
        char
        for char in unicodedata.normalize("NFC", name).lower()
        if char.isalnum() or char == "_" or unicodedata.category(char)[:1] == "M"
    )


def spellings(name: str) -> set[str]:
    """What `squash` makes of a name, whichever of its words a system puts first."""
    words = re.split(r"[\s,]+", name.strip())
    return {squash("".join(words[n:] + words[:n])) for n in range(len(words))} - {""}


def remains(name: str) -> set[str]:
    """Those spellings without their letters beyond ASCII, which some systems lose."""
    plain = {re.sub("[^a-z0-9_]", "", one) for one in spellings(name)}
    return {one for one in plain if len(one) > 2}


# ---- tables ---------------------------------------------------------------------------------


def read_people(path: Path, zone: tzinfo = UTC, *, timed: bool = False) -> tuple[Person, ...]:
    """Read a roster, or a table of times; the header tells the columns, in any case and order.

    Args:
        zone: in which times are read that do not name theirs.
        timed: it must have a column of times; lines without one are left out.

    Raises:
        UsageError: it cannot be read, has no such columns, or says two things of one student.
    """
    sheet = sheets.read(path, wide=True)
    places = {
        column: place
        for column, names in COLUMNS.items()
        for name in names
        if (place := sheet.column(name)) is not None
    }
    if not places.keys() - {"time"} or (timed and "time" not in places):
        wanted = "id, name, email, canvas id, moodle id" + (" and time" if timed else "")
        raise UsageError(f"{path}: no such columns in its first line; it may have {wanted}")
    people = []
    for number, row in zip(sheet.lines, sheet.rows, strict=True):
        said = {
            column: sheets.normal(row[place])
            for column, place in places.items()
            if place < len(row)
        }
        time = said.pop("time", "")
        said["moodle"] = re.sub(r"^\D*(?=\d+$)", "", said.get("moodle", ""))  # Participant 123
        when = _time(time, zone, f"{path}:{number}") if timed and time.strip("-") else None
        if any(said.values()) and (when or not timed):
            people.append(Person(**said, time=when))
    _check(path, people, timed)
    return tuple(people)


def _time(text: str, zone: tzinfo, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in FORMATS:
            try:
                found = datetime.strptime(text, form)
                break
            except ValueError:
                continue
        else:
            raise UsageError(
                f"{where}: no time that can be read without guessing: {text}\n"
                "    2024-05-31 23:59, 2024-05-31T23:59:00+02:00 and Moodle's English form can"
            ) from None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{where}: no time of this world: {text}") from None


def _check(path: Path, people: Sequence[Person], timed: bool) -> None:
    for column in ("id", "canvas", "moodle", "email"):
        said: dict[str, Person] = {}
        for person in people:
            value = getattr(person, column).casefold()
            if value and value in said and said[value] != person:
                raise UsageError(f"{path}: two lines have the same {column}: {value}")
            said[value] = person
    for person in people:
        if person.id and not timed and safe(person.id) != person.id:
            raise UsageError(f"{path}: {person.id!a} cannot be a folder's name; give another id")


# ---- who is meant ---------------------------------------------------------------------------


def find(people: Sequence[Person], sender: Sender) -> Person | None:
    """Return the line that `sender` is, or None where there is none.

    By the system's number, and else by the name: a line that has another number is somebody else.

    Raises:
        Unclear: several may be meant, or the number says one and the name another.
    """
    if not sender.system:
        return _find_by_text(people, sender.name)
    numbered = [one for one in people if getattr(one, sender.system) == sender.number]
    named = _named(people, sender.name)
    if numbered:
        one = numbered[0]
        if named and one not in named and one.name:
            raise Unclear(
                f"number {sender.number} is {one.name} in the table, "
                f"and the name is that of {named[0].name}"
            )
        return one
    named = [one for one in named if not getattr(one, sender.system)]
    return _only(named, sender.name)


def _find_by_text(people: Sequence[Person], text: str) -> Person | None:
    for exact in (True, False):
        same = text if exact else text.casefold()
        for column in ("id", "email", "canvas", "moodle"):
            for one in people:
                value = getattr(one, column)
                if value and (value if exact else value.casefold()) == same:
                    return one
    return _only(_named(people, text.replace("_", " ")), text)


def _named(people: Iterable[Person], name: str) -> list[Person]:
    key = squash(name)
    people = [one for one in people if one.name]
    # Whole names come first: what is left of one without its accents may be another's.
    for forms in (spellings, remains):
        if found := [one for one in people if key in forms(one.name)]:
            return found
    return []


def _only(found: list[Person], name: str) -> Person | None:
    if len(found) > 1:
        raise Unclear(f"{len(found)} lines of the table have the name {name}")
    return found[0] if found else None
