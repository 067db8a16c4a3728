"""Downloads, against a real server on this machine that also serves what goes wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import struct
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data import DataError
from data.cache import fetch, unpack
from data.official import load_cifar, load_idx
from data.origins import CIFAR10, MNIST, Origin, Remote, idx_remotes

CONTENT = np.random.default_rng(0).bytes(400_000)


@dataclass
class Served:
    """A file and how the server treats it."""

    content: bytes
    ranges: bool = True
    if_range: bool = True  # compares If-Range with the validator, as a good server does
    etag: str | None = '"v1"'
    modified: str | None = None
    drops: list[int] = field(default_factory=list)  # bytes sent before each broken connection
    status: int = 200
    encoding: str | None = None
    lies: int = 0  # added to the first byte of a range that it sends


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, and keeps the headers of each request in `requests`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, Message]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def serve(self, name: str, file: Served) -> str:
        self.files[name] = file
        return self.url(name)

    def ranges(self) -> list[str | None]:
        """The Range of each request so far."""
        return [headers["Range"] for _, headers in self.requests]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.server.requests.append((name, self.headers))
        file = self.server.files.get(name)
        if file is None or file.status != 200:
            self.send_error(file.status if file else 404)
            return
        asked, validator = self.headers["Range"], file.etag or file.modified
        if file.if_range and self.headers["If-Range"] != validator:
            asked = None
        first, total = 0, len(file.content)
        if asked and file.ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-")) + file.lies
            if first >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(total - first))
        for header, value in (
            ("ETag", file.etag),
            ("Last-Modified", file.modified),
            ("Content-Encoding", file.encoding),
        ):
            if value:
                self.send_header(header, value)
        self.end_headers()
        end = first + file.drops.pop(0) if file.drops else total
        self.wfile.write(file.content[first:end])

    def log_message(self, *_: object) -> None:
        """Not on the test's stderr."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("CNN_COURSE_DATA", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def get(cache: Path, *urls: str, content: bytes = CONTENT, attempts: int = 5) -> bytes:
    """Fetch a file that should hold `content`, and read it."""
    remote = Remote("file.bin", sha256(content), urls)
    return fetch(remote, cache, progress=False, attempts=attempts, pause=0).read_bytes()


def left(cache: Path) -> set[str]:
    """What lies in the cache, but for locks."""
    return {path.name for path in cache.iterdir() if path.suffix != ".lock"}


# --- one file ------------------------------------------------------------------------------------


def test_a_file_is_downloaded_once(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT))
    assert get(cache, url) == CONTENT
    assert get(cache, url) == CONTENT
    assert len(server.requests) == 1
    assert left(cache) == {"file.bin"}


def test_a_transfer_that_breaks_off_is_resumed_at_once(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT, drops=[150_000, 100_000]))
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None, "bytes=150000-", "bytes=250000-"]
    assert [headers["If-Range"] for _, headers in server.requests] == [None, '"v1"', '"v1"']
    assert left(cache) == {"file.bin"}


def test_a_later_call_goes_on_where_the_last_one_stopped(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT, drops=[150_000], etag=None, modified="Mon, 01 Jan"))
    with pytest.raises(DataError, match=r"broke off after 150000 bytes(.|\n)*a part .* is kept"):
        get(cache, url, attempts=1)
    assert left(cache) == {"file.bin.part", "file.bin.part.json"}
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None, "bytes=150000-"]
    assert server.requests[1][1]["If-Range"] == "Mon, 01 Jan"


def test_a_part_is_first_completed_from_the_mirror_it_came_from(
    server: Server, cache: Path
) -> None:
    first = server.serve("a", Served(CONTENT, status=503))
    second = server.serve("b", Served(CONTENT, drops=[150_000]))
    with pytest.raises(DataError, match="503"):
        get(cache, first, second, attempts=1)
    server.requests.clear()
    assert get(cache, first, second) == CONTENT
    assert [name for name, _ in server.requests] == ["b"]
    assert server.ranges() == ["bytes=150000-"]


def test_a_server_without_ranges_makes_it_start_again(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT, drops=[150_000], ranges=False))
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None, "bytes=150000-"]


@pytest.mark.parametrize("if_range", [True, False], ids=["good server", "ignores If-Range"])
def test_a_file_that_changed_makes_it_start_again(
    server: Server, cache: Path, if_range: bool
) -> None:
    url = server.serve("a", Served(b"old" * 100_000, drops=[150_000]))
    with pytest.raises(DataError):
        get(cache, url, attempts=1)
    server.serve("a", Served(CONTENT, etag='"v2"', if_range=if_range))
    assert get(cache, url) == CONTENT
    assert server.requests[1][1]["If-Range"] == '"v1"'


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_part_that_cannot_be_compared_is_not_resumed(
    server: Server, cache: Path, etag: str | None
) -> None:
    url = server.serve("a", Served(CONTENT, drops=[150_000], etag=etag))
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None, None]


def test_a_range_that_begins_elsewhere_is_not_believed(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT, drops=[150_000], lies=-10))
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None, "bytes=150000-", None]


@pytest.mark.parametrize("extra", [b"", b"more"], ids=["whole", "too long"])
def test_a_part_with_no_rest_to_ask_for_is_finished_or_thrown_away(
    server: Server, cache: Path, extra: bytes
) -> None:
    url = server.serve("a", Served(CONTENT))
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(CONTENT + extra)
    (cache / "file.bin.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    assert get(cache, url) == CONTENT
    assert len(server.requests) == (2 if extra else 1)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 1}'])
def test_a_part_with_a_damaged_note_is_not_resumed(server: Server, cache: Path, note: str) -> None:
    url = server.serve("a", Served(CONTENT))
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(b"something else")
    (cache / "file.bin.part.json").write_text(note)
    assert get(cache, url) == CONTENT
    assert server.ranges() == [None]


def test_a_part_that_is_damaged_is_thrown_away_by_the_checksum(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT))
    cache.mkdir()
    (cache / "file.bin.part").write_bytes(bytes(1000))
    (cache / "file.bin.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    with pytest.raises(DataError, match="wrong checksum and was thrown away"):
        get(cache, url)
    assert left(cache) == set()
    assert get(cache, url) == CONTENT


@pytest.mark.parametrize(
    "content", [CONTENT[:-1], CONTENT + b"x", b"<html>", b""], ids=["cut", "long", "page", "empty"]
)
def test_another_content_is_never_used(server: Server, cache: Path, content: bytes) -> None:
    bad, good = server.serve("bad", Served(content)), server.serve("good", Served(CONTENT))
    with pytest.raises(DataError, match="wrong checksum"):
        get(cache, bad)
    assert left(cache) == set()
    assert get(cache, bad, good) == CONTENT


def test_a_label_gzip_on_a_gzip_file_does_not_unpack_it(server: Server, cache: Path) -> None:
    packed = gzip.compress(CONTENT)
    url = server.serve("a", Served(packed, encoding="gzip"))
    assert get(cache, url, content=packed) == packed
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_the_mirrors_are_tried_in_order(server: Server, cache: Path) -> None:
    urls = [
        server.url("not-there"),
        server.serve("down", Served(CONTENT, status=503)),
        server.serve("good", Served(CONTENT)),
        server.serve("spare", Served(CONTENT)),
    ]
    assert get(cache, *urls) == CONTENT
    assert [name for name, _ in server.requests] == ["not-there", "down", "good"]


def test_a_failure_says_for_each_mirror_why(server: Server, cache: Path) -> None:
    with Server() as closed:
        nobody = closed.url("a")
    urls = [server.url("not-there"), server.serve("bad", Served(b"bad")), nobody]
    with pytest.raises(DataError) as failure:
        get(cache, *urls)
    lines = str(failure.value).splitlines()
    assert lines[0] == "file.bin could not be downloaded:"
    assert lines[1] == f"  {urls[0]}: the server answers 404 Not Found"
    assert lines[2] == f"  {urls[1]}: what came has the wrong checksum and was thrown away"
    assert lines[3] == f"  {nobody}: no connection"
    assert "CNN_COURSE_DATA" in lines[4]


def test_a_transfer_that_brings_nothing_is_not_tried_for_ever(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT, drops=[0] * 100))
    with pytest.raises(DataError, match="broke off after 0 bytes"):
        get(cache, url)
    assert len(server.requests) == 1
    server.serve("a", Served(CONTENT, drops=[10] * 100))
    with pytest.raises(DataError, match="broke off after 30 bytes"):
        get(cache, url, attempts=3)


def test_a_damaged_file_in_the_cache_is_replaced_or_refused(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT))
    get(cache, url)
    (cache / "file.bin").write_bytes(CONTENT[:-5])
    server.serve("a", Served(CONTENT, status=500))
    with pytest.raises(DataError, match="500"):
        get(cache, url)
    server.serve("a", Served(CONTENT))
    assert get(cache, url) == CONTENT


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/cache: cannot be written"):
        get(tmp_path / "file" / "cache", "http://127.0.0.1:1/")


def test_calls_at_the_same_time_download_once(server: Server, cache: Path) -> None:
    url = server.serve("a", Served(CONTENT))
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(get(cache, url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 6
    assert len(server.requests) == 1


def test_a_bar_shows_the_progress_on_stderr(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = Remote("file.bin", sha256(CONTENT), (server.serve("a", Served(CONTENT)),))
    fetch(remote, cache)
    shown = capsys.readouterr()
    assert "file.bin" in shown.err
    assert "400k/400k" in shown.err
    assert shown.out == ""


# --- whole sets ----------------------------------------------------------------------------------


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def tiny_mnist(server: Server) -> tuple[Origin, NDArray[np.uint8], dict[str, bytes]]:
    """A set of 20 training images that lies on the server as MNIST does on its mirrors."""
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    contents = {
        "train-images-idx3-ubyte": idx(images),
        "train-labels-idx1-ubyte": idx((np.arange(20) % 10).astype(np.uint8)),
    }
    packed = {name: gzip.compress(content) for name, content in contents.items()}
    for name, content in packed.items():
        server.serve(f"{name}.gz", Served(content))
    origin = replace(
        MNIST,
        remotes=idx_remotes({n: sha256(c) for n, c in packed.items()}, (server.url(""),)),
        md5={n: hashlib.md5(c).hexdigest() for n, c in contents.items()},
    )
    return origin, images, contents


def tiny_cifar(server: Server) -> tuple[Origin, dict[str, bytes]]:
    """A set with batches of 3 images that lies on the server as CIFAR-10's archive does."""
    rng = np.random.default_rng(2)
    contents = {
        name: np.hstack(
            [
                rng.integers(0, 10, (3, 1), dtype=np.uint8),
                rng.integers(0, 256, (3, 3072), dtype=np.uint8),
            ]
        ).tobytes()
        for name in CIFAR10.md5
    }
    packed = tar({f"cifar-10-batches-bin/{n}": c for n, c in contents.items()})
    url = server.serve("cifar-10-binary.tar.gz", Served(packed))
    origin = replace(
        CIFAR10,
        remotes=(Remote("cifar-10-binary.tar.gz", sha256(packed), (url,)),),
        md5={n: hashlib.md5(c).hexdigest() for n, c in contents.items()},
    )
    return origin, contents


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


def test_an_idx_set_is_downloaded_and_read(server: Server, cache: Path) -> None:
    origin, images, _ = tiny_mnist(server)
    for _ in range(2):
        d = load_idx(origin, "train", cache=cache, progress=False)
        assert (d.images[:, 0] == (images / 255).astype(np.float32)).all()
        assert list(d.labels[:11]) == [*range(10), 0]
        assert d.source.startswith("MNIST train, official files; LeCun")
    assert len(server.requests) == 2


def test_the_environment_variable_names_the_cache(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNN_COURSE_CACHE", str(cache))
    load_idx(tiny_mnist(server)[0], "train", progress=False)
    assert (cache / "mnist" / "train-images-idx3-ubyte.gz").is_file()


def test_a_local_folder_goes_before_the_download(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    origin, images, contents = tiny_mnist(server)
    mine = tmp_path / "mine"
    (mine / "mnist").mkdir(parents=True)
    for name, content in contents.items():
        (mine / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    d = load_idx(origin, "train", folder=mine, cache=cache, progress=False)
    assert "train, official files in the local folder mnist" in d.source, "by its raw content"
    assert (d.images[:, 0] == (images / 255).astype(np.float32)).all()
    (mine / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="missing train-labels-idx1-ubyte"):
        load_idx(origin, "train", folder=mine, cache=cache, progress=False)
    assert not server.requests


def test_a_set_without_a_local_folder_of_its_own_is_downloaded(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    d = load_idx(tiny_mnist(server)[0], "train", folder=tmp_path, cache=cache, progress=False)
    assert len(d) == 20
    assert len(server.requests) == 2


def test_cifar_is_downloaded_unpacked_and_read(server: Server, cache: Path) -> None:
    origin, contents = tiny_cifar(server)
    train = load_cifar(origin, "train", cache=cache, progress=False)
    test = load_cifar(origin, "test", cache=cache, progress=False)
    assert train.images.shape == (15, 3, 32, 32)
    assert test.images.shape == (3, 3, 32, 32)
    first = np.frombuffer(contents["data_batch_1.bin"], np.uint8)
    assert train.labels[0] == first[0]
    assert train.images[0, 1, 0, 0] == np.float32(first[1 + 1024] / 255), "green plane second"
    assert train.source == f"CIFAR-10 train, official files; {origin.about}"
    assert len(server.requests) == 1
    assert left(cache) == {"cifar-10-batches-bin"}, "the archive is not kept"


def test_a_damaged_batch_in_the_cache_is_unpacked_anew(server: Server, cache: Path) -> None:
    origin, contents = tiny_cifar(server)
    load_cifar(origin, "test", cache=cache, progress=False)
    path = cache / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(bytes(3 * 3073))
    load_cifar(origin, "test", cache=cache, progress=False)
    assert path.read_bytes() == contents["test_batch.bin"]
    assert len(server.requests) == 2


def test_calls_at_the_same_time_unpack_cifar_once(server: Server, cache: Path) -> None:
    origin, _ = tiny_cifar(server)
    sizes: list[int] = []

    def load() -> None:
        sizes.append(len(load_cifar(origin, "train", cache=cache, progress=False)))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [15] * 4
    assert len(server.requests) == 1


# --- archives ------------------------------------------------------------------------------------

BATCH = bytes(3073)
SUMS = {"a.bin": hashlib.md5(BATCH).hexdigest()}


def test_only_the_files_named_are_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(
        tar(
            {"../out": b"x", "/abs": b"x", "set/b": b"x", "a.bin": b"x", "set/a.bin": BATCH},
            {"set/c": "/etc/passwd"},
        )
    )
    unpack(archive, SUMS, tmp_path / "in" / "set")
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()} == {
        "x.tar.gz",
        "in/set/a.bin",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar({"set/a.bin": BATCH})[:-20], "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
        (gzip.compress(b"no archive" * 100), "cannot be unpacked"),
        (tar({"set/b.bin": BATCH}), "holds no file set/a.bin"),
        (tar({}, {"set/a.bin": "/etc/passwd"}), "holds no file set/a.bin"),
        (tar({"set/a.bin": BATCH[1:]}), "set/a.bin has the wrong checksum"),
    ],
    ids=["cut", "no gzip", "no tar", "missing", "link", "other content"],
)
def test_a_damaged_archive_is_named_and_leaves_nothing(
    tmp_path: Path, content: bytes, message: str
) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=f"x.tar.gz: {message}"):
        unpack(archive, SUMS, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]
