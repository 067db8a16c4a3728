"""What strangers handed in, read from a folder, a zip or a tar as far as that is safe.

Nothing is written, no link is followed, no archive inside of an archive is opened. What a member's
header says of its size is not believed: bytes are counted as they come.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import IO, BinaryIO, cast

from grader.clean import MAX_FILE, writable
from grader.errors import GraderError, UsageError

MAX_MEMBERS = 20_000  # files of one source; a class of a thousand has a few thousand
MAX_TOTAL = 2_000_000_000  # bytes of one source, unpacked; notebooks are held in memory
MAX_RATIO = 200  # unpacked to packed; a notebook reaches 30, zeros reach 1,000
RATIO_FROM = 1_000_000  # bytes; below this nothing is a bomb
MAX_DIRECTORY = 8_000_000  # bytes of a zip's list of members
MAX_DEPTH = 12
CHUNK = 1 << 16

ARCHIVE_NAMES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
EMPTY = "the folder is empty"
NESTED = "an archive inside; archives inside are not opened"
NOISE = "a file of the operating system's or an editor's"
NO_NOTEBOOK = "not a notebook"

Leave = Callable[[tuple[str, ...]], str]


@dataclass(frozen=True)
class Member:
    """One file of a source.

    Attributes:
        path: its folders and its name, in NFC; the last is empty for an empty folder.
        content: None where it was not read.
        reason: why it was not read.
        hostile: somebody made it so on purpose, or the file is broken.
        stray: its path leads out of the archive; what stands in it names nobody.
        written: what the archive or the file system says of its time; anybody may have set that.
        changed: when the kernel last saw it or a folder around it change (ctime); nobody can set
            that. None in archives.
        owner: whom the file system says it belongs to; empty in archives.
    """

    path: tuple[str, ...]
    content: bytes | None = None
    reason: str = ""
    hostile: bool = False
    stray: bool = False
    written: datetime | None = None
    changed: datetime | None = None
    owner: str = ""

    @property
    def name(self) -> str:
        """The path as a person reads it."""
        return "/".join(self.path)


class _Refused(Exception):
    """A member is not taken; the message says why."""


def members(
    source: Path, zone: tzinfo = UTC, leave: Leave = lambda path: "", inside: str = ""
) -> list[Member]:
    """Return every file of `source`: a folder, a zip, a tar, a tar.gz or one notebook.

    Args:
        zone: in which a zip's times are read; it does not say.
        leave: why a path need not be read; empty where it must.
        inside: a folder of `source` to read, in place of all.

    Raises:
        UsageError: there is no such source, or it is nothing of these.
        GraderError: it cannot be read, or it is too much, or it breaks off.
    """
    try:
        if source.is_dir():
            found = list(_folder(source / inside, leave))
        elif not source.exists():
            raise UsageError(f"no file or folder {writable(str(source))}")
        else:
            found = list(_file(source, zone, leave))
    except OSError as error:
        raise GraderError(f"{writable(str(source))} cannot be read: {error.strerror}") from None
    if not found:
        raise UsageError(f"{writable(str(source))} is empty")
    return found


def _file(source: Path, zone: tzinfo, leave: Leave) -> Iterator[Member]:
    with source.open("rb") as file:
        start = file.read(4)
    if source.suffix.lower() == ".ipynb":
        yield from _folder(source.parent, leave, only=source.name)
    elif start in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _without_twins(_read_all(source, lambda: _zip(source, zone, leave)))
    elif start[:2] == b"\x1f\x8b" or _is_tar(source):
        yield from _without_twins(_read_all(source, lambda: _tar(source, leave)))
    else:
        raise UsageError(
            f"{writable(str(source))} is neither a folder nor a notebook, a zip, a tar or a tar.gz"
        )


def _is_tar(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def _read_all(source: Path, read: Callable[[], Iterator[Member]]) -> list[Member]:
    try:
        return list(read())
    except _Refused as problem:
        raise GraderError(f"{writable(str(source))}: {problem}; nothing of it was taken") from None
    except Exception as error:  # parsers on a stranger's bytes: whatever they raise means the same
        raise GraderError(
            f"{writable(str(source))} is a broken archive ({type(error).__name__}: {error}); "
            "nothing of it was taken. Was the download cut short?"
        ) from None


# ---- what holds for every kind of source ----------------------------------------------------


def _path(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name in an archive.

    Raises:
        _Refused: it leads out of the archive.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise _Refused("its path is absolute")
    if ".." in parts:
        raise _Refused("its path climbs out of the archive")
    if not parts or "\0" in name:
        raise _Refused("its name is none")
    if len(parts) > MAX_DEPTH:
        raise _Refused(f"it lies more than {MAX_DEPTH} folders deep")
    return tuple(_shown(part) for part in parts)


def _shown(part: str) -> str:
    """A part of a path in NFC; what is not UTF-8 in it becomes a question mark in a box."""
    text = part.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return unicodedata.normalize("NFC", text)


def _unread(path: tuple[str, ...], leave: Leave) -> str:
    """Why a file of that name need not be read; empty where it must."""
    name = path[-1]
    if name.startswith("._") or name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        return NOISE
    if any(part.startswith(".") or part == "__MACOSX" for part in path):
        return NOISE
    if reason := leave(path):
        return reason
    if name.lower().endswith(ARCHIVE_NAMES):
        return NESTED
    return "" if name.lower().endswith(".ipynb") else NO_NOTEBOOK


class _Budget:
    """Bytes that a source may still unpack to."""

    def __init__(self) -> None:
        self.left = MAX_TOTAL

    def read(self, stream: IO[bytes], packed: int | None) -> bytes:
        """Return all of `stream`.

        Raises:
            _Refused: it is more than one file may have, or than there may be of all.
        """
        chunks: list[bytes] = []
        size = 0
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            self.left -= len(chunk)
            if self.left < 0:
                raise _Refused(f"the source unpacks to more than {MAX_TOTAL:,} bytes")
            if size > MAX_FILE:
                raise _Refused(f"it unpacks to more than {MAX_FILE:,} bytes")
            if packed is not None and size > max(RATIO_FROM, MAX_RATIO * packed):
                raise _Refused(f"it unpacks to more than {MAX_RATIO} times its size")
            chunks.append(chunk)
        return b"".join(chunks)


def _without_twins(found: list[Member]) -> list[Member]:
    """Refuse all members that have one name, or names that only case tells apart."""
    names: dict[str, list[str]] = {}
    for member in found:
        names.setdefault(member.name.casefold(), []).append(member.name)
    kept = []
    for member in found:
        same = names[member.name.casefold()]
        if len(same) > 1 and member.content is not None:
            others = sorted(set(same) - {member.name})
            reason = (
                f"its name differs only by case from {others[0]}"
                if others
                else f"it is in the archive {len(same)} times"
            )
            member = replace(member, content=None, reason=reason, hostile=True)
        kept.append(member)
    return kept


def _empty(folders: list[tuple[str, ...]], found: list[Member]) -> list[Member]:
    """A member for each folder in which there is nothing."""
    used = {member.path[:depth] for member in found for depth in range(1, len(member.path))}
    used |= {folder[:depth] for folder in folders for depth in range(1, len(folder))}
    return [Member((*f, ""), reason=EMPTY) for f in sorted(set(folders) - used)]


# ---- zip ------------------------------------------------------------------------------------


class _Frugal(io.FileIO):
    """A file of which little is read at once: zipfile reads a list of members at one go."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = MAX_DIRECTORY + 1
        if size > MAX_DIRECTORY + 1:
            raise _Refused(f"its list of members has more than {MAX_DIRECTORY:,} bytes")
        return super().read(size) or b""


def _zip(source: Path, zone: tzinfo, leave: Leave) -> Iterator[Member]:
    budget = _Budget()
    folders: list[tuple[str, ...]] = []
    found: list[Member] = []
    with _Frugal(str(source)) as file, zipfile.ZipFile(cast(BinaryIO, file)) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise _Refused(f"it has {len(infos):,} members; at most {MAX_MEMBERS:,} are read")
        for info in infos:
            name = _zip_name(info)
            try:
                path = _path(name)
                if info.is_dir():
                    folders.append(path)
                    continue
                _look_at(info)
                if reason := _unread(path, leave):
                    found.append(Member(path, reason=reason))
                    continue
                with archive.open(info) as stream:
                    content = budget.read(stream, info.compress_size)
            except _Refused as problem:
                found.append(_refused(name, str(problem)))
            except Exception as error:  # zipfile and its decompressors on a stranger's bytes
                found.append(_refused(name, f"it is broken: {error}"))
            else:
                found.append(Member(path, content, written=_zip_time(info, zone)))
    yield from found
    yield from _empty(folders, found)


def _refused(name: str, reason: str) -> Member:
    try:
        return Member(_path(name), reason=reason, hostile=True)
    except _Refused:
        return Member((_shown(name) or "?",), reason=reason, hostile=True, stray=True)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name; many programs write UTF-8 and forget to say so."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return name
    return name


def _look_at(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 0x1:
        raise _Refused("it is encrypted")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise _Refused("it is a link")
    if kind not in (0, stat.S_IFREG):
        raise _Refused("it is a device or another thing that is no file")


def _zip_time(info: zipfile.ZipInfo, zone: tzinfo) -> datetime | None:
    try:
        time = datetime(*info.date_time, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if info.date_time > (1980, 1, 1, 0, 0, 0) else None  # where none was written


# ---- tar ------------------------------------------------------------------------------------


class _Stream:
    """A tar's bytes, unpacked: counted as they come, and never read twice."""

    def __init__(self, file: IO[bytes], packed: int | None) -> None:
        self.file = file
        self.at = 0
        self.limit = MAX_TOTAL if packed is None else max(RATIO_FROM, packed * MAX_RATIO)
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_FILE:
            raise _Refused("one of its headers is a bomb")
        self.last = self.file.read(size)
        self.at += len(self.last)
        if self.at > min(self.limit, MAX_TOTAL):
            raise _Refused(f"it unpacks to more than {min(self.limit, MAX_TOTAL):,} bytes")
        return self.last

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self.at:
            raise _Refused("it leads back to where it has been read")
        while position > self.at and self.read(min(position - self.at, CHUNK)):
            pass
        return self.at

    def tell(self) -> int:
        return self.at


def _tar(source: Path, leave: Leave) -> Iterator[Member]:
    """Names behind a break are not known: a tar is taken to its end or not at all."""
    budget = _Budget()
    folders: list[tuple[str, ...]] = []
    found: list[Member] = []
    with source.open("rb") as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        size = source.stat().st_size if is_packed else None
        unpacked = gzip.GzipFile(fileobj=raw) if is_packed else raw
        stream = _Stream(cast(IO[bytes], unpacked), size)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as archive:
            for count, info in enumerate(archive, start=1):
                if count > MAX_MEMBERS:
                    raise _Refused(f"it has more than {MAX_MEMBERS:,} members")
                if info.isdir():
                    folders += _tar_folder(info)
                else:
                    found.append(_tar_member(archive, info, leave, budget))
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise _Refused(f"it breaks off after {len(found):,} files")
    yield from found
    yield from _empty(folders, found)


def _tar_folder(info: tarfile.TarInfo) -> list[tuple[str, ...]]:
    try:
        return [_path(info.name)]
    except _Refused:
        return []


def _tar_member(
    archive: tarfile.TarFile, info: tarfile.TarInfo, leave: Leave, budget: _Budget
) -> Member:
    try:
        path = _path(info.name)
        if info.issym() or info.islnk():
            raise _Refused("it is a link")
        if not info.isreg() or info.issparse():
            raise _Refused("it is a device or another thing that is no file")
        _filter(info)
        if reason := _unread(path, leave):
            return Member(path, reason=reason)
        stream = archive.extractfile(info)
        if info.size > MAX_FILE or stream is None:
            raise _Refused(f"it unpacks to more than {MAX_FILE:,} bytes")
        content = budget.read(stream, None)
    except _Refused as problem:
        return _refused(info.name, str(problem))
    return Member(path, content, written=_moment(int(info.mtime) * 10**9))


def _filter(info: tarfile.TarInfo) -> None:
    """A second opinion, though nothing is extracted; Python has it since 3.11.4."""
    if hasattr(tarfile, "data_filter"):
        try:
            tarfile.data_filter(info, os.curdir)
        except tarfile.FilterError as error:
            raise _Refused(str(error)) from None


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


# ---- folder ---------------------------------------------------------------------------------


def _folder(root: Path, leave: Leave, only: str = "") -> Iterator[Member]:
    budget = _Budget()
    found: list[Member] = []
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _walk(handle, (), 0, _Walk(leave, budget, found, only))
    except _Refused as problem:
        raise GraderError(f"{writable(str(root))}: {problem}; nothing of it was taken") from None
    finally:
        os.close(handle)
    yield from found


@dataclass(frozen=True)
class _Walk:
    leave: Leave
    budget: _Budget
    found: list[Member]
    only: str = ""


def _walk(handle: int, above: tuple[str, ...], changed: int, walk: _Walk) -> None:
    """Add all below an open folder to ``walk.found``.

    Every step goes by an open folder and follows no link: the folder of an exchange belongs to
    the student, who may put a link in its place at any time.
    """
    with os.scandir(handle) as entries:
        names = sorted(entry.name for entry in entries)
    if not names:
        walk.found.append(Member((*above, ""), reason=EMPTY, changed=_moment(changed)))
    for name in [walk.only] if walk.only else names:
        path = (*above, _shown(name))
        if len(walk.found) >= MAX_MEMBERS:
            raise _Refused(f"it has more than {MAX_MEMBERS:,} files")
        try:
            status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            latest = max(changed, status.st_ctime_ns)
            about = Member(path, changed=_moment(latest), owner=owner(status.st_uid))
            if stat.S_ISDIR(status.st_mode):
                _enter(handle, name, about, latest, walk)
            else:
                walk.found.append(_regular(handle, name, about, status, walk))
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
            walk.found.append(Member(path, reason=reason, hostile=True))


def _enter(handle: int, name: str, about: Member, changed: int, walk: _Walk) -> None:
    if reason := walk.leave((*about.path, "")):
        walk.found.append(replace(about, path=(*about.path, ""), reason=reason))
        return
    if len(about.path) > MAX_DEPTH or about.path[-1].startswith("."):
        reason = NOISE if about.path[-1].startswith(".") else "its folders lie too deep"
        walk.found.append(replace(about, path=(*about.path, ""), reason=reason))
        return
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
    try:
        _walk(inner, about.path, changed, walk)
    finally:
        os.close(inner)


def _regular(handle: int, name: str, about: Member, status: os.stat_result, walk: _Walk) -> Member:
    if stat.S_ISLNK(status.st_mode):
        return replace(about, reason="it is a link and was not followed", hostile=True)
    if not stat.S_ISREG(status.st_mode):
        return replace(about, reason="it is no regular file and was not opened", hostile=True)
    if reason := _unread(about.path, walk.leave):
        return replace(about, reason=reason)
    # Non-blocking: a pipe that has taken the file's place must not be waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(name, flags, dir_fd=handle), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return replace(about, reason="it is no regular file and was not opened", hostile=True)
        written = _moment(os.fstat(file.fileno()).st_mtime_ns)
        if walk.budget.left < 0:
            raise _Refused(f"its notebooks have more than {MAX_TOTAL:,} bytes")
        try:
            return replace(about, content=walk.budget.read(file, None), written=written)
        except _Refused as problem:
            return replace(about, reason=str(problem), hostile=True)


@functools.cache
def owner(uid: int) -> str:
    """The name of a user of this machine, or the number where there is no name."""
    import pwd  # no Windows has it; what is not called there is not needed there

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
