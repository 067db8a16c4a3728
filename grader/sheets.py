"""CSV files that other programs wrote or will read: read strictly, written so that nothing runs.

What a spreadsheet would compute gets an apostrophe, by which it stays a text; a number is a number.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.errors import UsageError

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes
BOM = "\ufeff"
DELIMITERS = (",", ";", "\t")
MAX_FILE = 50_000_000  # bytes; a class of ten thousand has some three
ADVICE = 'save it as "CSV UTF-8" (LibreOffice: text CSV, character set UTF-8)'
NUMBER = re.compile(r"[-+]?\d+(?:([.,])\d+)?")


@dataclass(frozen=True)
class Sheet:
    """A table and how its file is written.

    Attributes:
        path: where it was read, for messages.
        rows: those below the head; a row may be shorter than the head, never longer.
        bom: the file begins with a byte order mark, by which Excel knows UTF-8.
        lines: the line of the file on which each row ends.
    """

    path: Path | None
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    delimiter: str = ","
    newline: str = "\n"
    bom: bool = False
    lines: tuple[int, ...] = ()

    def column(self, *names: str) -> int | None:
        """Return the place of the column that is called one of `names`; None if there is none.

        Raises:
            UsageError: more than one is.
        """
        wanted = {key(name) for name in names}
        found = [place for place, name in enumerate(self.head) if key(name) in wanted]
        if len(found) > 1:
            raise UsageError(f"{self.path} has more than one column {self.head[found[0]]}")
        return found[0] if found else None

    def point(self, places: Iterable[int]) -> str:
        """Return the decimal sign: as the numbers of these columns have it, else as is usual."""
        wanted = set(places)
        signs = [
            match[1]
            for row in self.rows
            for place, text in enumerate(row)
            if place in wanted and (match := NUMBER.fullmatch(text.strip())) and match[1]
        ]
        usual = "," if self.delimiter == ";" else "."  # where the comma is taken
        return max(signs, key=signs.count) if signs else usual

    def encode(self) -> bytes:
        """Return the file."""
        lines = (line(row, self.delimiter) + self.newline for row in (self.head, *self.rows))
        return ((BOM if self.bom else "") + "".join(lines)).encode()


def read(path: Path, *, wide: bool = False) -> Sheet:
    """Read a CSV file: UTF-8, its delimiter found by itself.

    Args:
        wide: it may be UTF-16, as Excel's "Unicode text" is: nothing is to be written back.

    Raises:
        UsageError: it is none, with what to do.
    """
    text = _text(path, wide)
    bare = text.removeprefix(BOM)
    if not bare.splitlines() or not bare.splitlines()[0].strip():
        raise UsageError(f"{path} is empty, or its first line is")
    try:
        delimiter = max(DELIMITERS, key=lambda one: _width(bare, one))
        reader = csv.reader(io.StringIO(bare, newline=""), delimiter=delimiter, strict=True)
        numbered = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path} is not a CSV file that can be read: {error}") from None
    (_, head), *rest = numbered
    for number, row in rest:
        if len(row) > len(head):
            raise UsageError(
                f"{path}, line {number}: {len(row)} fields below a head of {len(head)}; "
                "is a comma in a name not quoted?"
            )
    return Sheet(
        path=path,
        head=tuple(head),
        rows=tuple(tuple(row) for _, row in rest),
        delimiter=delimiter,
        newline="\r\n" if bare.partition("\n")[0].endswith("\r") else "\n",
        bom=text.startswith(BOM),
        lines=tuple(number for number, _ in rest),
    )


def _text(path: Path, wide: bool) -> str:
    if not path.is_file():
        raise UsageError(f"no file {path}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"{path} is larger than {MAX_FILE:,} bytes")
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError(f"{path} is a spreadsheet and not CSV: {ADVICE}")
    is_marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if (is_marked or b"\0" in content) and not (is_marked and wide):
        raise UsageError(f"{path} is UTF-16 and not UTF-8: {ADVICE}")
    try:
        return content.decode("utf-16" if is_marked else "utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {number} is not UTF-8: {ADVICE}") from None


def _width(text: str, delimiter: str) -> int:
    """Return the number of columns that a delimiter makes of the head."""
    return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))


def key(text: str) -> str:
    """Return what of a column's name counts: letters and digits, in lower case."""
    return "".join(c for c in normal(text).casefold() if c.isalnum())


def normal(text: str) -> str:
    """Return `text` as it is compared: macOS writes é in two characters, others in one."""
    return unicodedata.normalize("NFC", text).strip()


def number(text: str) -> float | None:
    """Return the number that a field holds, with a point or a comma; None if it holds none."""
    text = text.strip()
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None


def written(value: float, point: str = ".") -> str:
    """Return a score as a field: as many digits as it needs, five behind the point at most."""
    return f"{value:.5f}".rstrip("0").rstrip(".").replace(".", point)


def safe(value: object) -> str:
    """Return a field of ours: a text that a spreadsheet would compute stays a text."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else str(value)


def line(fields: Sequence[str], delimiter: str = ",") -> str:
    """Return one line of a CSV file, without its end."""
    buffer = io.StringIO()
    # With "\n" alone Python would not quote a field that holds "\r".
    csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue()[:-2]


def save(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads `path` finds the old one or the new one.

    Raises:
        UsageError: it cannot be written there.
    """
    target = path.resolve()  # a link stays a link
    if target.exists() and not target.is_file():
        raise UsageError(f"{path} is not a file")
    part = target.with_name(f".{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
