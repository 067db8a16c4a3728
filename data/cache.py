"""The cache of downloads: several mirrors, and no file is used without the right checksum."""

from __future__ import annotations

import contextlib
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.dataset import DataError
from data.download import Resuming, reason
from data.local import DATA_VARIABLE, md5
from data.origins import Remote


def fetch(
    remote: Remote, cache: Path, *, progress: bool = True, attempts: int = 5, pause: float = 1.0
) -> Path:
    """The file in the cache folder, downloaded where it is not there with the right checksum.

    progress         show a bar on stderr
    attempts, pause  how often a mirror's broken transfer is taken up again, after so many seconds

    Raises DataError that says for each mirror why not.
    """
    import pooch  # type: ignore[import-untyped, unused-ignore]  # ships no types

    path = cache / remote.name
    # First, so that a filled cache may be read-only.
    if path.is_file() and pooch.file_hash(str(path), alg="sha256") == remote.sha256:
        return path
    downloader = Resuming(
        cache / f"{remote.name}.part", progress=progress, attempts=attempts, pause=pause
    )
    reasons = []
    with alone(cache, remote.name):
        begun_at = downloader.begun_at()
        for url in sorted(remote.urls, key=lambda url: url != begun_at):
            try:
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{remote.sha256}",
                    fname=remote.name,
                    path=cache,
                    downloader=downloader,
                )
                return path
            except (OSError, ValueError) as error:  # requests' exceptions are OSErrors
                reasons.append(f"  {url}: {reason(error)}")
    raise DataError(
        "\n".join(
            [
                f"{remote.name} could not be downloaded:",
                *reasons,
                f"Try again later (a part that came is kept), or set {DATA_VARIABLE} to a folder "
                "that holds the data; see data/README.md.",
            ]
        )
    )


def unpack(archive: Path, checksums: Mapping[str, str], target: Path) -> None:
    """Take the files named (name -> md5) out of archive's folder target.name into target.

    Nothing else is unpacked, and nothing is put into target before all are whole.
    Raises DataError for a damaged archive, a missing file, a link, a wrong checksum.
    """
    wanted = {f"{target.name}/{name}": name for name in checksums}
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="unpack-") as folder:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    if member.name in wanted and member.isreg():
                        tar.extract(member, folder, filter="data")
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise DataError(f"{archive}: cannot be unpacked ({error})") from error
        for path, name in wanted.items():
            file = Path(folder, path)
            if not file.is_file():
                raise DataError(f"{archive}: holds no file {path}")
            if md5(file.read_bytes()) != checksums[name]:
                raise DataError(f"{archive}: {path} has the wrong checksum")
        target.mkdir(parents=True, exist_ok=True)
        for path, name in wanted.items():
            os.replace(Path(folder, path), target / name)


@contextlib.contextmanager
def alone(cache: Path, name: str) -> Iterator[None]:
    """One process at a time works on this name in the cache; the others wait, then find it done.

    Raises DataError where the cache folder cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f"{name}.lock").open("w")
    except OSError as error:
        raise DataError(f"{cache}: cannot be written ({error.strerror or error})") from error
    with lock:
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
