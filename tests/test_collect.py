"""What comes into a class folder: from where, whose, when, and what is refused.

Every archive is built here, with the names that nbgrader, Canvas and Moodle really give.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import struct
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import COURSE, SOLVED, answered, as_file, cell, content, notebook
from hypothesis import example, given
from hypothesis import strategies as st
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeSubmit
from traitlets.config import Config

from grader import cli, collect, intake, place, roster, sources
from grader.classroom import Classroom
from grader.collect import Known
from grader.course import Course, source_notebook
from grader.errors import GraderError, UsageError
from grader.journal import Journal
from grader.place import Collected, Outcome
from grader.receipts import TimeSource, digest
from grader.roster import Person, Sender
from grader.sources import Layout, Left

UNIT = "01-adding"
NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
STAMP = "2024-05-31 12:00:00.000000 UTC"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def known(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Unit 01-adding, and 02-doubling as another one."""
    return collect.known_unit(Classroom(tmp_path_factory.mktemp("known")), UNIT, course)


def work(course: Course, answer: str = SOLVED, unit: str = UNIT) -> bytes:
    """A notebook of a unit as a student hands it in."""
    node = source_notebook(course[unit])
    node.cells.append(cell(f"# {answer}", id="mine"))
    return content(node)


@pytest.fixture
def book(course: Course) -> bytes:
    """A notebook of the unit."""
    return work(course)


def zipped(path: Path, files: Files, time: datetime = NOON) -> Path:
    """Write a zip whose members have a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, time.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    """Write a tar of members, whatever they are."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # modes are literals
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A tar's member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, link, int(NOON.timestamp())
    return info


def written(root: Path, files: Files) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    return root


def people(path: Path, text: str) -> tuple[Person, ...]:
    """Read a roster."""
    path.write_text(text, encoding="utf-8")
    return roster.read_people(path)


def bring(classroom: Classroom, known: Known, *paths: Path, **options: Any) -> dict[str, Collected]:
    """Collect, and return the lines by student."""
    rows, _ = collect.collect(classroom, known, paths, **options)
    assert len({row.student for row in rows}) == len(rows)
    return {row.student: row for row in rows}


def outcomes(rows: dict[str, Collected]) -> dict[str, str]:
    """What became of each student's."""
    return {student: str(row.outcome) for student, row in rows.items()}


def left(classroom: Classroom, known: Known, *paths: Path) -> dict[str, str]:
    """Collect, and return why files were not taken."""
    return {one.path: one.reason for one in collect.collect(classroom, known, paths)[1]}


def there(classroom: Classroom) -> dict[str, bytes]:
    """Every file of every student in the class."""
    root = classroom.root / "submitted"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def has_note(row: Collected, *words: str) -> bool:
    """Whether one note has all these words."""
    return any(all(word in note for word in words) for note in row.notes)


# ---- nbgrader's exchange --------------------------------------------------------------------


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, datetime], None]:
    """Set what the kernel says of the time of whatever lies below a folder of that name.

    Nobody can set a ctime: that is what it is trusted for. So the clock that is read is replaced.
    """
    clocks: dict[str, int] = {}
    moment = intake._moment
    walk = intake._walk

    def clocked(handle: int, above: tuple[str, ...], changed: int, rest: Any) -> None:
        inside = os.readlink(f"/proc/self/fd/{handle}")
        time = next((at for name, at in clocks.items() if name in inside), None)
        walk(handle, above, changed, rest)
        if time is not None:
            for place, one in enumerate(rest.found):
                if any(name in part for part in one.path for name in clocks):
                    name = next(n for n in clocks if any(n in part for part in one.path))
                    found = intake.replace(one, changed=moment(clocks[name]))
                    rest.found[place] = found

    monkeypatch.setattr(intake, "_walk", clocked)

    def set_clock(name: str, time: datetime) -> None:
        clocks[name] = int(time.timestamp()) * 10**9

    return set_clock


def submitted(
    root: Path, student: str, files: Files, time: str = STAMP, random: str = "a-_9"
) -> Path:
    """What `nbgrader submit` leaves in an exchange."""
    stamp = {"timestamp.txt": time.encode(), "submission_secret.txt": b"secret"}
    return written(root / "course/inbound" / f"{student}+{UNIT}+{time}+{random}", files | stamp)


def test_an_exchange_is_collected_from_any_of_its_folders(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    submitted(tmp_path / "exchange", "ada", {"adding.ipynb": book, "data.csv": b"1"})
    submitted(tmp_path / "exchange", "bob+carol", {"adding.ipynb": book})
    for part in ("", "course", "course/inbound"):
        rows = bring(classroom, known, tmp_path / "exchange" / part, dry_run=True)
        assert outcomes(rows) == {"ada": "collected", "bob+carol": "collected"}
    bring(classroom, known, tmp_path / "exchange")
    assert set(there(classroom)) == {
        f"{student}/{UNIT}/{name}"
        for student in ("ada", "bob+carol")
        for name in ("adding.ipynb", "timestamp.txt")
    }


def test_what_nbgrader_submits_is_collected(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nbgrader's own submit names the folder; the tests above only do as it does."""
    root = written(tmp_path / "exchange", {f"cnn/outbound/{UNIT}/adding.ipynb": book})
    (root / "cnn/inbound").mkdir()
    monkeypatch.chdir(written(tmp_path / "home", {f"{UNIT}/adding.ipynb": book}))
    config = Config()
    config.CourseDirectory.course_id, config.CourseDirectory.assignment_id = "cnn", UNIT
    config.CourseDirectory.student_id = "ada"
    config.Exchange.root, config.Exchange.cache = str(root), str(tmp_path / "cache")
    config.Exchange.assignment_dir = str(tmp_path / "home")
    courses = CourseDirectory(config=config)
    ExchangeSubmit(coursedir=courses, authenticator=Authenticator(), config=config).start()
    rows = bring(classroom, known, root)
    assert outcomes(rows) == {"ada": "collected"}
    assert rows["ada"].notes == (), "both clocks agree"
    assert there(classroom)[f"ada/{UNIT}/adding.ipynb"] == book


def test_two_courses_in_an_exchange_are_not_mixed(
    classroom: Classroom, known: Known, tmp_path: Path
) -> None:
    for course in ("a", "b"):
        (tmp_path / course / "inbound").mkdir(parents=True)
    with pytest.raises(UsageError, match="exchange of a, b: name one"):
        bring(classroom, known, tmp_path)


def test_of_several_submissions_the_latest_counts(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    course: Course,
    at: Callable[[str, datetime], None],
) -> None:
    """By the kernel's clock: what the folders' names say is the other way round."""
    submitted(tmp_path, "ada", {"adding.ipynb": work(course, "first")}, "2024-06-02 12:00:00 UTC")
    submitted(tmp_path, "ada", {"adding.ipynb": work(course, "last")}, "2024-06-01 12:00:00 UTC")
    at("2024-06-02", datetime(2024, 6, 3, tzinfo=UTC))
    at("2024-06-01", datetime(2024, 6, 4, tzinfo=UTC))
    row = bring(classroom, known, tmp_path)["ada"]
    assert row.time == datetime(2024, 6, 4, tzinfo=UTC)
    assert b"# last" in there(classroom)[f"ada/{UNIT}/adding.ipynb"]


def test_a_time_that_the_student_wrote_is_not_believed(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    at: Callable[[str, datetime], None],
) -> None:
    submitted(tmp_path, "eve", {"adding.ipynb": book}, "2020-01-01 00:00:00.000000 UTC")
    at("eve+", NOON)
    row = bring(classroom, known, tmp_path)["eve"]
    assert (row.time, row.time_source) == (NOON, TimeSource.FILE_SYSTEM)
    assert has_note(row, "2020-01-01 00:00", "2024-05-31 12:00", "later counts")
    assert there(classroom)[f"eve/{UNIT}/timestamp.txt"] == STAMP.encode()


def test_the_later_of_both_times_counts(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    at: Callable[[str, datetime], None],
) -> None:
    submitted(tmp_path, "ada", {"adding.ipynb": book})
    at("ada+", NOON - timedelta(hours=1))
    row = bring(classroom, known, tmp_path)["ada"]
    assert row.time == NOON
    assert has_note(row, "later counts")


def test_times_that_agree_within_a_minute_need_no_note(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    at: Callable[[str, datetime], None],
) -> None:
    submitted(tmp_path, "ada", {"adding.ipynb": book})
    at("ada+", NOON + timedelta(seconds=59))
    assert bring(classroom, known, tmp_path)["ada"].notes == ()


def test_a_real_ctime_is_read(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    submitted(tmp_path, "ada", {"adding.ipynb": book})  # whose mtime is years ago
    row = bring(classroom, known, tmp_path)["ada"]
    assert row.time is not None
    assert before < row.time <= datetime.now(UTC) + timedelta(seconds=2)


def test_in_an_exchange_the_notebooks_own_name_counts(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    """As it does for nbgrader: students copy a notebook to try something."""
    files = {"adding.ipynb": work(course), "adding-Copy1.ipynb": work(course, "a try")}
    submitted(tmp_path, "ada", files)
    rows, not_taken = collect.collect(classroom, known, [tmp_path])
    assert rows[0].notebooks == (("adding", files["adding.ipynb"]),)
    assert "adding.ipynb was taken" in {one.reason for one in not_taken}


def test_other_units_of_an_exchange_are_not_even_opened(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    submitted(tmp_path, "ada", {"adding.ipynb": book})
    other = tmp_path / "course/inbound" / f"ada+ps1+{STAMP}+x"
    written(other, {"adding.ipynb": book})
    rows, not_taken = collect.collect(classroom, known, [tmp_path])
    assert [row.student for row in rows] == ["ada"]
    assert Left(f"{other.name}/", "of another unit, ps1") in not_taken


def test_nobody_hands_in_for_another(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    course: Course,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any student can make a folder of any name in an exchange; whose it is, the kernel knows."""
    submitted(tmp_path, "ada", {"adding.ipynb": work(course, "mine")})
    late = "2024-06-30 12:00:00.000000 UTC"
    forged = {"adding.ipynb": work(course, "forged")}
    submitted(tmp_path, "ada", forged, late)
    submitted(tmp_path, "carol", forged, late)
    submitted(tmp_path, "eve", {"adding.ipynb": work(course, "eve")})
    inodes = {
        path.stat().st_ino: "eve" if "06-30" in path.parent.name else path.parent.name[:3]
        for path in tmp_path.rglob("*.*")
    }
    uids = dict(enumerate(sorted(set(inodes.values()))))
    real = os.stat

    def owned(path: Any, **options: Any) -> Any:
        status = real(path, **options)
        uid = next((n for n, who in uids.items() if inodes.get(status.st_ino) == who), 99)
        fields = list(status)
        fields[4] = uid
        return os.stat_result(fields, {n: getattr(status, n) for n in NANOSECONDS})

    NANOSECONDS = ("st_ctime_ns", "st_mtime_ns", "st_atime_ns")
    monkeypatch.setattr(intake.os, "stat", owned)
    monkeypatch.setattr(intake, "owner", lambda uid: uids.get(uid, ""))
    rows, not_taken = collect.collect(classroom, known, [tmp_path])
    assert {row.student: str(row.outcome) for row in rows} == {
        "ada": "collected",
        "carol": "needs a look",
        "eve": "collected",
    }
    assert b"# mine" in there(classroom)[f"ada/{UNIT}/adding.ipynb"]
    assert has_note({row.student: row for row in rows}["carol"], "its files belong to eve")
    assert [one.student for one in not_taken if "belong to eve" in one.reason] == ["ada"]


def test_no_link_of_an_exchange_is_followed(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    secret = written(tmp_path / "secret", {"adding.ipynb": book})
    eve = submitted(tmp_path / "exchange", "eve", {})
    (eve / "adding.ipynb").symlink_to(secret / "adding.ipynb")
    mallory = submitted(tmp_path / "exchange", "mallory", {})
    (mallory / "inner").symlink_to(secret)
    os.mkfifo(mallory / "adding.ipynb")
    rows = bring(classroom, known, tmp_path / "exchange")
    assert outcomes(rows) == {"eve": "refused", "mallory": "refused"}
    assert has_note(rows["eve"], "adding.ipynb", "link")
    assert has_note(rows["mallory"], "inner", "link")
    assert has_note(rows["mallory"], "adding.ipynb", "no regular file")
    assert there(classroom) == {}


def test_an_empty_submission_is_not_lost(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    submitted(tmp_path, "ada", {"adding.ipynb": book})
    (tmp_path / "course/inbound" / f"bob+{UNIT}+{STAMP}+x").mkdir()
    submitted(tmp_path, "carol", {"essay.docx": b"x"})
    rows = bring(classroom, known, tmp_path)
    assert outcomes(rows) == {"ada": "collected", "bob": "needs a look", "carol": "needs a look"}
    assert has_note(rows["bob"], "the folder is empty")
    assert has_note(rows["carol"], "essay.docx")


def test_an_exchange_in_an_archive_has_no_time_to_be_trusted(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    name = f"inbound/ada+{UNIT}+{STAMP}+x"
    path = zipped(tmp_path / "x.zip", {f"{name}/adding.ipynb": book, f"{name}/timestamp.txt": b"1"})
    row = bring(classroom, known, path)["ada"]
    assert (row.time, row.time_source) == (NOON, TimeSource.HINT)
    assert f"ada/{UNIT}/timestamp.txt" not in there(classroom)


# ---- folders --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [f"ada/{UNIT}/adding.ipynb", "ada/adding.ipynb", "ada/homework.ipynb", "ada.ipynb",
     "ada_adding.ipynb", f"ada_{UNIT}.ipynb", f"submitted/ada/{UNIT}/x.ipynb", f"{UNIT}/ada.ipynb",
     f"{UNIT}/ada/x.ipynb", "submissions/ada.ipynb"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_a_folder_and_an_archive_of_it_are_understood(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes, name: str, kind: str
) -> None:
    bob = name.replace("ada", "bob")
    files = {name: book, bob: book}
    if kind == "folder":
        path = written(tmp_path / "handed in", files)
    elif kind == "zip":
        path = zipped(tmp_path / "handed in.zip", files)
    else:
        mode = "w:gz" if kind == "tar.gz" else "w"
        path = tarred(tmp_path / "x", *((entry(n), d) for n, d in files.items()), mode=mode)
    rows = bring(classroom, known, path)
    assert outcomes(rows) == {"ada": "collected", "bob": "collected"}
    assert set(there(classroom)) == {f"{s}/{UNIT}/adding.ipynb" for s in ("ada", "bob")}
    assert [(row.time, row.time_source) for row in rows.values()] == [(NOON, TimeSource.HINT)] * 2
    assert has_note(rows["ada"], "only a hint")


def test_a_folder_around_all_is_seen_through(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {f"group A/{name}/x.ipynb": book for name in ("ada", "bob")}
    assert set(bring(classroom, known, zipped(tmp_path / "x.zip", files))) == {"ada", "bob"}


def test_notebooks_are_sources_too(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    root = written(tmp_path, {"ada.ipynb": book, "bob.ipynb": book, "eve.ipynb": book})
    rows = bring(classroom, known, root / "ada.ipynb", root / "bob.ipynb")
    assert set(rows) == {"ada", "bob"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ada/x.ipynb", "bob.ipynb"], "side by side"),
        (["ada_lovelace.ipynb"], "cannot be told from ada_lovelace.ipynb"),
        (["adding.ipynb"], "cannot be told from adding.ipynb"),
        (["x/a.ipynb", "x/b.ipynb"], "is x a student with 2 notebooks"),
        (["x/y/a.ipynb"], "is x the student, or y in it"),
        ([f"a+{UNIT}+{STAMP}+x/adding.ipynb", "A B_1_assignsubmission_file_/x.ipynb"],
         "looks like exchange and moodle"),
        (["ada_1_2_x.ipynb", "bob.ipynb"], "named as Canvas names them, and bob.ipynb is not"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_refused_in_one_message(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    names: list[str],
    message: str,
) -> None:
    with pytest.raises(UsageError, match=message):
        bring(classroom, known, written(tmp_path / "in", dict.fromkeys(names, book)))
    assert there(classroom) == {}


def test_a_roster_tells_where_a_flat_name_ends(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    class_ = people(tmp_path / "r.csv", "id,name\nada_l,Ada Lovelace\nbob,Bob Byron\n")
    files = {"ada_l_hw.ipynb": book, "Bob_Byron_final_2.ipynb": book}
    rows = bring(classroom, known, written(tmp_path / "in", files), roster=class_)
    assert outcomes(rows) == {"ada_l": "collected", "bob": "collected"}


def test_the_folders_of_other_units_are_left(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    root = written(
        tmp_path / "submitted",
        {f"ada/{UNIT}/adding.ipynb": book, "ada/02-doubling/x.ipynb": book,
         "bob/02-doubling/x.ipynb": book},
    )  # fmt: skip
    rows, not_taken = collect.collect(classroom, known, [root])
    assert [row.student for row in rows] == ["ada"]
    assert Left("bob/02-doubling/", "of another unit, 02-doubling", "bob") in not_taken


def test_the_units_folder_holds_what_counts(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    files = {f"ada/{UNIT}/x.ipynb": work(course), "ada/drafts/y.ipynb": work(course, "draft")}
    rows, not_taken = collect.collect(classroom, known, [written(tmp_path / "in", files)])
    assert [str(row.outcome) for row in rows] == ["collected"]
    assert Left("ada/drafts/y.ipynb", f"not in the folder {UNIT}", "ada") in not_taken


# ---- Canvas ---------------------------------------------------------------------------------


def test_canvas(classroom: Classroom, known: Known, tmp_path: Path, book: bytes) -> None:
    """`ContentZipper`: the sortable name in lower case, letters only; LATE; user; file; name."""
    files = {
        "doejane_101_9001_adding.ipynb": book,
        "osullivanmarym_LATE_102_9002_my_home_work_2.ipynb": book,
        "李明_103_9003_adding-1.ipynb": book,
        "_104_9004_adding.ipynb": book,
        "LATE_anon_a1B2c_9005_adding.ipynb": book,
        "anon_Zz9yx_9006_1_2_adding.ipynb": book,
        "wordsworth_107_text.html": b"<p>",
        "linkman_LATE_108_link.html": b"<p>",
    }
    rows = bring(classroom, known, zipped(tmp_path / "submissions.zip", files))
    assert outcomes(rows) == {
        "doejane-101": "collected",
        "osullivanmarym-102": "collected",
        "李明-103": "collected",
        "canvas-104": "collected",
        "anon-a1B2c": "collected",
        "anon-Zz9yx": "collected",
        "wordsworth-107": "needs a look",
        "linkman-108": "needs a look",
    }
    assert has_note(rows["wordsworth-107"], "text entry")
    assert {s for s, row in rows.items() if has_note(row, "LATE")} == {
        "osullivanmarym-102",
        "anon-a1B2c",
        "linkman-108",
    }
    assert rows["osullivanmarym-102"].time_source is TimeSource.LATE_FLAG
    assert not any(name.endswith("timestamp.txt") for name in there(classroom))


def test_canvas_unpacked_is_the_same(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    for path in ("in", "in2/submissions"):
        root = written(tmp_path / path, {"doejane_101_9001_adding.ipynb": book})
        assert set(bring(classroom, known, root.parent if "2" in path else root)) == {"doejane-101"}


def test_the_latest_resubmission_counts(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    files = {
        f"doejane_101_{9001 + n}_adding{f'-{n}' if n else ''}.ipynb": work(course, f"try {n}")
        for n in (0, 2, 1, 10)
    }
    row = bring(classroom, known, zipped(tmp_path / "submissions.zip", files))["doejane-101"]
    assert b"# try 10" in row.notebooks[0][1]
    assert has_note(row, "adding-10.ipynb is the latest of 4")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("doejane_101_9001_adding.ipynb", "doejane_101_9002_adding_final.ipynb"),
        ("doejane_101_9002_adding.ipynb", "doejane_101_9001_adding-1.ipynb"),  # her own -1
        ("Doe Jane_7_assignsubmission_file_/a.ipynb", "Doe Jane_7_assignsubmission_file_/b.ipynb"),
        (
            "Doe Jane_7_assignsubmission_file_/a.ipynb",  # Moodle numbers nothing
            "Doe Jane_7_assignsubmission_file_/a-1.ipynb",
        ),
        ("doe_adding.ipynb", "doe.ipynb"),
    ],
)
def test_of_two_files_none_is_guessed(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course, first: str, second: str
) -> None:
    files = {first: work(course, "one"), second: work(course, "two")}
    [row] = bring(classroom, known, zipped(tmp_path / "x.zip", files)).values()
    assert row.outcome is Outcome.NEEDS_LOOK
    assert has_note(row, "2 files may be adding.ipynb")
    assert there(classroom) == {}


def test_resubmissions_out_of_order_are_none(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    names = ("adding", "adding-2", "adding-1")
    files = {f"doe_1_{n}_{name}.ipynb": work(course, name) for n, name in enumerate(names)}
    row = bring(classroom, known, zipped(tmp_path / "x.zip", files))["doe-1"]
    assert has_note(row, "3 files may be adding.ipynb")


def test_of_two_files_the_units_own_is_taken(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    files = {
        "doejane_101_9001_one.ipynb": work(course, unit="02-doubling"),
        "doejane_101_9002_two.ipynb": work(course),
        "doejane_101_9003_notes.ipynb": content(notebook("1 + 1")),
    }
    rows, not_taken = collect.collect(classroom, known, [zipped(tmp_path / "x.zip", files)])
    assert rows[0].outcome is Outcome.COLLECTED
    assert has_note(rows[0], "two.ipynb is adding.ipynb by its cells")
    reasons = {one.path: one.reason for one in not_taken}
    assert reasons["doejane_101_9001_one.ipynb"] == "a notebook of 02-doubling"
    assert "no cell in it" in reasons["doejane_101_9003_notes.ipynb"]


def test_the_same_file_twice_is_one(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {"a_1_2_x.ipynb": book, "a_1_3_y.ipynb": book}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert outcomes(rows) == {"a-1": "collected"}


# ---- Moodle ---------------------------------------------------------------------------------

MOODLE = {
    "Jane van der Doe_5001_assignsubmission_file_/adding.ipynb",
    "O'Brien Seán_5002_assignsubmission_file_/sub/adding.ipynb",
    "Group A-李 明_5003_assignsubmission_file_adding_2.ipynb",  # flat, in a group
    "Participant_5004_assignsubmission_file_/adding.ipynb",
    "Participant_5005_assignsubmission_file_adding.ipynb",
}


def test_moodle(classroom: Classroom, known: Known, tmp_path: Path, book: bytes) -> None:
    files = dict.fromkeys(MOODLE, book) | {
        "Jane van der Doe_5001_assignsubmission_onlinetext_/onlinetext.html": b"<p>",
        "Only Words_5006_assignsubmission_onlinetext_onlinetext.html": b"<p>",
        "No Files_5007_assignsubmission_file_/thesis.pdf": b"%PDF",
    }
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert outcomes(rows) == {
        "Jane-van-der-Doe-5001": "collected",
        "O'Brien-Seán-5002": "collected",
        "Group-A-李-明-5003": "collected",
        "Participant-5004": "collected",
        "Participant-5005": "collected",
        "Only-Words-5006": "needs a look",
        "No-Files-5007": "needs a look",
    }
    assert has_note(rows["Jane-van-der-Doe-5001"], "online text")
    assert has_note(rows["Only-Words-5006"], "online text")
    assert has_note(rows["No-Files-5007"], "thesis.pdf")


def test_equal_names_with_two_numbers_are_two_students(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    files = {
        f"Wei Zhang_{number}_assignsubmission_file_/adding.ipynb": work(course, f"{number}")
        for number in (11, 12)
    }
    path = zipped(tmp_path / "x.zip", files)
    assert set(bring(classroom, known, path)) == {"Wei-Zhang-11", "Wei-Zhang-12"}
    assert b"# 11" in there(classroom)[f"Wei-Zhang-11/{UNIT}/adding.ipynb"]
    assert b"# 12" in there(classroom)[f"Wei-Zhang-12/{UNIT}/adding.ipynb"]
    for table in ("id,name\nwz,Wei Zhang\n", "id,name\nwz,Wei Zhang\nwz2,Wei Zhang\n"):
        rows = bring(classroom, known, path, roster=people(tmp_path / "r.csv", table))
        assert outcomes(rows) == {
            "Wei-Zhang-11": "needs a look",
            "Wei-Zhang-12": "needs a look",
        }, "whose line is it?"
    table = "id,name,moodle id\nwz,Wei Zhang,11\nwz2,Wei Zhang,Participant 12\n"
    rows = bring(classroom, known, path, roster=people(tmp_path / "r.csv", table))
    assert outcomes(rows) == {"wz": "collected", "wz2": "collected"}


# ---- names ----------------------------------------------------------------------------------

NAMES = [
    "李小龙", "محمد بن سلمان", "می‌خواهم", "क्‍षत्रिय", "Zoë Ångström",
    "Nguyễn Văn Ánh", "Ελένη", "山田 太郎",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_in_every_script_stay_readable(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes, name: str
) -> None:
    """macOS writes them in NFD; a class has one spelling, NFC, and nbgrader can print it."""
    name = unicodedata.normalize("NFC", name)
    apart = unicodedata.normalize("NFD", name)
    both = {f"{apart}_1_assignsubmission_file_/adding.ipynb": book}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", both))
    assert set(rows) == {f"{name.replace(' ', '-')}-1"}
    assert set(bring(classroom, known, written(tmp_path / "in", {f"{apart}/x.ipynb": book}))) == {
        name
    }
    assert classroom.students(UNIT) == sorted({name, f"{name.replace(' ', '-')}-1"})


def test_utf8_names_of_a_zip_that_does_not_say_so(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    path = zipped(tmp_path / "x.zip", {"李明/adding.ipynb": book, "Zoë/adding.ipynb": book})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            flags = struct.unpack_from("<H", data, place + offset)[0]
            struct.pack_into("<H", data, place + offset, flags & ~0x800)
    path.write_bytes(data)
    assert set(bring(classroom, known, path)) == {"李明", "Zoë"}


def test_names_that_are_not_utf8_are_made_safe(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    name = os.fsdecode(b"m\xfcller/adding.ipynb")
    path = tarred(tmp_path / "x.tar", (entry(name), book), mode="w")
    [student] = bring(classroom, known, path)
    assert student.startswith("m-ller-")
    assert student.isascii()
    assert classroom.students(UNIT) == [student]


@given(st.text(max_size=300))
@example("con")
@example("COM1.txt")
@example("a" * 300)
@example("e\u0301" * 200)
@example("..")
@example("-rf")
@example("a/../b\\c\x00\x1b[31m")
@example("\u202egpj.exe")
@example("a\u200db")
@example("x.")
@example("🏴‍☠️")
def test_any_name_becomes_a_safe_folder(text: str) -> None:
    name = roster.safe(text)
    assert name == roster.safe(name)
    assert 0 < len(name.encode()) <= roster.MAX_NAME
    assert name not in (".", "..")
    assert not set(name) & set('<>:"/\\|?*')
    assert name.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert not name.startswith((".", "-", " ", "~"))
    assert not name.endswith((".", " "))
    assert not roster.RESERVED.fullmatch(name)
    assert unicodedata.is_normalized("NFC", name)


@given(st.text(max_size=20), st.text(max_size=20))
@example("a/b", "a-b")
@example("a:b", "a?b")
@example("con", "_con")
@example("x" * 130, "x" * 131)
def test_two_names_stay_two(one: str, other: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    assert (roster.safe(one) == roster.safe(other)) == same


@given(st.text(max_size=200), st.integers(0, 10**19))
def test_the_number_is_always_whole_in_a_made_name(name: str, number: int) -> None:
    folder = roster.made(Sender(name, "moodle", str(number)))
    assert f"-{number}" in folder
    assert folder == roster.safe(folder)


def test_students_that_only_case_tells_apart_need_a_look(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    root = written(tmp_path / "in", {f"{n}/x.ipynb": book for n in ("Ada", "ada", "bob")})
    rows = bring(classroom, known, root)
    assert outcomes(rows) == {"Ada": "needs a look", "ada": "needs a look", "bob": "collected"}
    (classroom.root / "submitted" / "Eve").mkdir()
    rows = bring(classroom, known, written(tmp_path / "in2", {"eve/x.ipynb": book}))
    assert has_note(rows["eve"], "the class has a folder Eve")


# ---- roster ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("doejane_101_9_adding.ipynb", "a1,,,101,"),
        ("doejane_101_9_adding.ipynb", "a1,Jane Doe,,,"),
        ("desouzaanamaria_101_9_adding.ipynb", "a1,Ana Maria de Souza,,,"),
        ("mllerjrg_101_9_adding.ipynb", "a1,Jörg Müller,,,"),
        ("müllerjörg_101_9_adding.ipynb", "a1,Jörg Müller,,,"),
        ("Jane Doe_7_assignsubmission_file_/adding.ipynb", "a1,,,,7"),
        ("Jane Doe_7_assignsubmission_file_/adding.ipynb", 'a1,"Doe, Jane",,,'),
        ("Participant_7_assignsubmission_file_/adding.ipynb", "a1,,,,7"),
        ("jane@uni.edu/adding.ipynb", "a1,,Jane@Uni.edu,,"),
        ("Jane Doe/adding.ipynb", "a1,Jane Doe,,,"),
        ("a1/adding.ipynb", "a1,,,,"),
    ],
)
def test_a_roster_gives_the_id(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes, name: str, line: str
) -> None:
    header = "ID,Name,E_mail,Canvas ID,MOODLE id".replace("E_mail", "Email address")
    class_ = people(tmp_path / "r.csv", f"{header}\n{line}\nb2,Bob Byron,bob@uni.edu,55,66\n")
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", {name: book}), roster=class_)
    assert outcomes(rows) == {"a1": "collected"}


def test_a_number_and_a_name_that_disagree_need_a_look(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    """Moodle numbers participants of an assignment, and users of the site: easily mixed up."""
    class_ = people(tmp_path / "r.csv", "id,name,moodle id\na1,Jane Doe,8\nb2,Bob Byron,7\n")
    files = {"Jane Doe_7_assignsubmission_file_/adding.ipynb": book}
    [row] = bring(classroom, known, zipped(tmp_path / "x.zip", files), roster=class_).values()
    assert row.outcome is Outcome.NEEDS_LOOK
    assert has_note(row, "number 7 is Bob Byron")


def test_a_line_with_another_number_is_another_student(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    class_ = people(tmp_path / "r.csv", "id,name,canvas id\nwz,Wei Zhang,5\n")
    files = {"zhangwei_7_9_adding.ipynb": book}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files), roster=class_)
    assert outcomes(rows) == {"zhangwei-7": "collected"}


def test_who_is_not_in_the_roster_is_not_lost(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    class_ = people(tmp_path / "r.csv", "id,canvas id\na1,101\n")
    files = {"doejane_102_9_adding.ipynb": book}
    [row] = bring(classroom, known, zipped(tmp_path / "x.zip", files), roster=class_).values()
    assert (row.student, row.outcome) == ("doejane-102", Outcome.COLLECTED)
    assert has_note(row, "not in the roster")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"", "is empty"),
        (b"color,size\nred,1\n", "no such columns"),
        (b"id,canvas id\na,1\nb,1\n", "two lines have the same canvas: 1"),
        (b"id\n../x\n", "cannot be a folder's name"),
        ("id,name\na,Zoë\n".encode("latin-1"), "not UTF-8"),
        (b'id,name\na,"' + b"x" * 200_000, "not a CSV file"),
        (b"id,name\na,Zo,e\n", "line 2: 3 fields below a head of 2"),
    ],
)
def test_a_bad_roster_is_one_message(tmp_path: Path, table: bytes, message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(table)
    with pytest.raises(UsageError, match=message):
        roster.read_people(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_write_tables_in_many_ways(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    text = "ID,Canvas_ID,Name\r\na1,7,Zoë\r\n".replace(",", delimiter)
    (tmp_path / "r.csv").write_bytes(text.encode(encoding))
    assert roster.read_people(tmp_path / "r.csv") == (Person("a1", "Zoë", canvas="7"),)


# ---- times ----------------------------------------------------------------------------------


def test_times_of_moodles_worksheet(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    (tmp_path / "t.csv").write_text(
        "Identifier,Full name,Email address,Status,Last modified (submission)\n"
        'Participant 5001,Jane Doe,j@uni.edu,Submitted,"Friday, 31 May 2024, 2:00 PM"\n'
        "Participant 5002,Bob Byron,b@uni.edu,Submitted,2024-05-31T14:00:00+02:00\n"
        "Participant 5003,Carol,c@uni.edu,No submission,-\n",
        encoding="utf-8",
    )
    zone = cli._zone("Europe/Berlin")
    times = roster.read_people(tmp_path / "t.csv", zone, timed=True)
    files = {
        f"{name}_assignsubmission_file_/adding.ipynb": book
        for name in ("Jane Doe_5001", "Bob Byron_5002", "Eve_5009")
    }
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files), times=times)
    for student in ("Jane-Doe-5001", "Bob-Byron-5002"):
        assert (rows[student].time, rows[student].time_source) == (NOON, TimeSource.TIMES)
        assert not has_note(rows[student], "hint")
        assert there(classroom)[f"{student}/{UNIT}/timestamp.txt"] == STAMP.encode()
    assert rows["Eve-5009"].time_source is TimeSource.HINT
    assert has_note(rows["Eve-5009"], "--times has no time")


def test_nbgrader_reads_the_time_as_it_is_meant(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    root = written(tmp_path / "in", {"ada/x.ipynb": book, "ada/timestamp.txt": b"1999-01-01"})
    bring(classroom, known, root, times=[Person(id="ada", time=NOON)])
    read = CourseDirectory().get_existing_timestamp(str(classroom.submitted("ada", UNIT)))
    assert read == NOON.replace(tzinfo=None)


@pytest.mark.parametrize("text", ["03/04/2024", "yesterday", "31.5.2024 12:00"])
def test_no_time_is_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f"id,time\nada,{text}\n")
    with pytest.raises(UsageError, match=r"t.csv:2: no time"):
        roster.read_people(tmp_path / "t.csv", timed=True)


def test_a_students_own_timestamp_is_never_used(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {"ada/adding.ipynb": book, "ada/timestamp.txt": b"1999-01-01 00:00:00 UTC"}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert rows["ada"].time == NOON
    assert set(there(classroom)) == {f"ada/{UNIT}/adding.ipynb"}


# ---- which unit -----------------------------------------------------------------------------


def test_a_notebook_of_another_unit_needs_a_look(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    files = {"ada/adding.ipynb": work(course, unit="02-doubling")}
    row = bring(classroom, known, written(tmp_path / "in", files))["ada"]
    assert row.outcome is Outcome.NEEDS_LOOK
    assert has_note(row, "adding.ipynb is a notebook of 02-doubling")


def test_units_that_share_a_cell_are_told_apart(classroom: Classroom, tmp_path: Path) -> None:
    known = Known(
        "a", (("a", frozenset({"setup", "add"})),), (("b", frozenset({"setup", "double"})),)
    )
    cells = [cell("pass", name, solution=True) for name in ("setup", "double")]
    row = bring(
        classroom, known, written(tmp_path / "in", {"ada/a.ipynb": content(notebook(*cells))})
    )["ada"]
    assert has_note(row, "a.ipynb is a notebook of b")


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x00\xff", as_file({"cells": 1})])
def test_the_only_file_is_collected_even_if_nobody_can_read_it(
    classroom: Classroom, known: Known, tmp_path: Path, data: bytes
) -> None:
    """What is wrong with it is said when it is graded: a stored verdict."""
    row = bring(classroom, known, written(tmp_path / "in", {"ada/hw.ipynb": data}))["ada"]
    assert row.outcome is Outcome.COLLECTED
    assert any(note.startswith("hw.ipynb: ") for note in row.notes)
    assert there(classroom)[f"ada/{UNIT}/adding.ipynb"] == data


def test_a_unit_of_two_notebooks(classroom: Classroom, tmp_path: Path) -> None:
    books = {name: notebook(cell("pass", f"{name}-q", solution=True)) for name in ("a", "b")}
    for name, node in books.items():
        written(classroom.root / "release/ps1", {f"{name}.ipynb": content(node)})
    known = collect.known_unit(classroom, "ps1")
    files = {"ada/x.ipynb": content(books["b"]), "ada/y.ipynb": content(books["a"]),
             "bob/z.ipynb": content(books["b"])}  # fmt: skip
    rows = bring(classroom, known, written(tmp_path / "in", files))
    assert [name for name, _ in rows["ada"].notebooks] == ["a", "b"]
    assert there(classroom)["ada/ps1/a.ipynb"] == content(books["a"])
    assert has_note(rows["bob"], "there is no a")


def test_a_unit_that_does_not_exist(classroom: Classroom, course: Course) -> None:
    with pytest.raises(UsageError, match="Did you mean 01-adding"):
        collect.known_unit(classroom, "01-ading", course)


# ---- hostile archives -----------------------------------------------------------------------


def test_paths_that_climb_out_or_are_absolute(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    bad = ["../evil.ipynb", "bob/../../evil.ipynb", "/etc/evil.ipynb", "C:\\evil.ipynb",
           "..\\evil.ipynb", "\\\\host\\evil.ipynb"]  # fmt: skip
    files = dict.fromkeys([*bad, "ada/adding.ipynb"], book)
    before = {path for path in tmp_path.rglob("*") if classroom.root not in path.parents}
    for path in (
        zipped(tmp_path / "x.zip", files),
        tarred(tmp_path / "x.tgz", *((entry(name), book) for name in files)),
    ):
        before.add(path)
        rows, not_taken = collect.collect(classroom, known, [path])
        assert [(row.student, row.notebooks != ()) for row in rows] == [("ada", True)]
        reasons = {one.path: one.reason for one in not_taken}
        assert reasons.keys() == set(bad)
        assert all("climbs out" in r or "absolute" in r for r in reasons.values())
    after = {path for path in tmp_path.rglob("*") if classroom.root not in path.parents}
    assert after - before == set()
    assert set(there(classroom)) == {f"ada/{UNIT}/adding.ipynb"}


def test_links_and_devices(classroom: Classroom, known: Known, tmp_path: Path, book: bytes) -> None:
    path = tarred(
        tmp_path / "x.tar",
        (entry("ada/adding.ipynb"), book),
        (entry("bob/adding.ipynb", tarfile.SYMTYPE, "../ada/adding.ipynb"), b""),
        (entry("eve/adding.ipynb", tarfile.LNKTYPE, "ada/adding.ipynb"), b""),
        (entry("mal/adding.ipynb", tarfile.CHRTYPE), b""),
        (entry("zed/adding.ipynb", tarfile.FIFOTYPE), b""),
        mode="w",
    )
    rows = bring(classroom, known, path)
    assert outcomes(rows) == {"ada": "collected"} | dict.fromkeys(
        ("bob", "eve", "mal", "zed"), "refused"
    )
    assert has_note(rows["bob"], "link")
    assert has_note(rows["eve"], "link")
    assert has_note(rows["mal"], "device")

    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ada/adding.ipynb", book)
        for name, kind in (("bob", stat.S_IFLNK), ("mal", stat.S_IFCHR)):
            info = zipfile.ZipInfo(f"{name}/adding.ipynb")
            info.create_system, info.external_attr = 3, (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    rows = bring(classroom, known, path)
    assert has_note(rows["bob"], "link")
    assert has_note(rows["mal"], "device")


def test_members_that_are_there_twice(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course, book: bytes
) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ada/adding.ipynb", book)
        archive.writestr("bob/adding.ipynb", work(course, "shown"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("bob/adding.ipynb", work(course, "meant"))
    rows = bring(classroom, known, path)
    assert outcomes(rows) == {"ada": "collected", "bob": "refused"}
    assert has_note(rows["bob"], "in the archive 2 times")
    two = [(entry("bob/adding.ipynb"), work(course, word)) for word in ("shown", "meant")]
    rows = bring(classroom, known, tarred(tmp_path / "x.tgz", *two))
    assert outcomes(rows) == {"bob": "refused"}


def test_members_that_only_case_tells_apart(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {"ada/adding.ipynb": book, "ada/Adding.ipynb": book, "bob/adding.ipynb": book}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert outcomes(rows) == {"ada": "refused", "bob": "collected"}
    assert has_note(rows["ada"], "differs only by case")


def test_two_spellings_of_one_name_are_one_name(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {f"Zoë/{unicodedata.normalize(form, 'ä')}.ipynb": book for form in ("NFC", "NFD")}
    files["bob/x.ipynb"] = book
    row = bring(classroom, known, zipped(tmp_path / "x.zip", files))["Zoë"]
    assert row.outcome is Outcome.REFUSED
    assert has_note(row, "in the archive 2 times")


def test_encrypted_members(classroom: Classroom, known: Known, tmp_path: Path, book: bytes) -> None:
    path = zipped(tmp_path / "x.zip", {"ada/adding.ipynb": book, "bob/adding.ipynb": book})
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 8] |= 1
    path.write_bytes(data)
    rows = bring(classroom, known, path)
    assert outcomes(rows) == {"ada": "collected", "bob": "refused"}
    assert has_note(rows["bob"], "it is encrypted")


def lying(path: Path, place: bytes, size: int) -> Path:
    """Let the headers of a zip's member say that it unpacks to `size` bytes."""
    data = bytearray(path.read_bytes())
    for mark, name, length in ((b"PK\x03\x04", 30, 22), (b"PK\x01\x02", 46, 24)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            if data[at + name :].startswith(place):
                struct.pack_into("<I", data, at + length, size)
    path.write_bytes(data)
    return path


def test_a_bomb_is_stopped_by_what_it_unpacks_to(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    files = {"ada/adding.ipynb": book, "bob/adding.ipynb": b" " * 3_000_000}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert outcomes(rows) == {"ada": "collected", "bob": "refused"}
    assert has_note(rows["bob"], "more than 200 times its size")
    liar = lying(zipped(tmp_path / "y.zip", files), b"bob", 1000)
    rows = bring(classroom, known, liar)
    assert rows["bob"].outcome is Outcome.REFUSED, "its header says 1,000 bytes"


def test_a_file_and_a_source_have_a_largest_size(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = os.urandom(200_000)
    files = {"ada/adding.ipynb": book, "bob/adding.ipynb": noise, "eve/adding.ipynb": book}
    path = zipped(tmp_path / "x.zip", files)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "MAX_FILE", 150_000)
        rows = bring(classroom, known, path, dry_run=True)
    assert outcomes(rows) == {"ada": "collected", "bob": "refused", "eve": "collected"}
    assert has_note(rows["bob"], "more than 150,000 bytes")
    with monkeypatch.context() as patch:
        patch.setattr(intake, "MAX_TOTAL", 150_000)
        rows = bring(classroom, known, path, dry_run=True)
    assert outcomes(rows) == {"ada": "collected", "bob": "refused", "eve": "refused"}
    assert has_note(rows["eve"], "the source unpacks to more than 150,000 bytes")


@pytest.mark.parametrize("zeros", [3_000_000, 30_000_000])
def test_a_tar_that_is_a_bomb_is_refused_whole(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes, zeros: int
) -> None:
    """What comes behind the bomb cannot be known without unpacking it."""
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", compresslevel=9) as packed:
        info = entry("eve/data.bin")
        info.size = zeros
        packed.write(info.tobuf())
        for _ in range(zeros // 500_000):
            packed.write(bytes(500_000))
    with pytest.raises(GraderError, match=r"unpacks to more than .* nothing of it was taken"):
        bring(classroom, known, path)


def test_tens_of_thousands_of_members(
    classroom: Classroom, known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_001):
            archive.writestr(f"{number}", b"")
    with pytest.raises(GraderError, match="20,001 members; at most 20,000"):
        bring(classroom, known, path)
    monkeypatch.setattr(intake, "MAX_DIRECTORY", 100_000)
    with pytest.raises(GraderError, match="list of members has more than 100,000 bytes"):
        bring(classroom, known, path)
    monkeypatch.setattr(intake, "MAX_MEMBERS", 3)
    many = [(entry(f"{n}/x.ipynb"), b"") for n in range(5)]
    with pytest.raises(GraderError, match="more than 3 members"):
        bring(classroom, known, tarred(tmp_path / "x.tgz", *many))
    with pytest.raises(GraderError, match="more than 3 files"):
        bring(classroom, known, written(tmp_path / "in", {f"{n}/x.ipynb": b"" for n in range(5)}))


def test_archives_inside_are_not_opened(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    inner = zipped(tmp_path / "inner.zip", {"adding.ipynb": book}).read_bytes()
    files = {"ada/adding.ipynb": book, "bob/homework.zip": inner}
    rows = bring(classroom, known, zipped(tmp_path / "x.zip", files))
    assert outcomes(rows) == {"ada": "collected", "bob": "needs a look"}
    assert has_note(rows["bob"], "homework.zip: an archive inside")


def test_a_tar_that_leads_back_ends(classroom: Classroom, known: Known, tmp_path: Path) -> None:
    """A member of negative size lets tarfile read the same headers for ever."""
    header = bytearray(entry("bob/adding.ipynb").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + struct.pack(">h", -512)
    header[148:156] = b" " * 8
    header[148:155] = f"{sum(header):06o}\0".encode()
    first = entry("ada/adding.ipynb").tobuf()
    (tmp_path / "x.tar").write_bytes(first + bytes(header) + bytes(1024))
    with pytest.raises(GraderError, match="leads back to where it has been read; nothing"):
        bring(classroom, known, tmp_path / "x.tar")


# ---- bad input is normal --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.zip", b"hello", "neither a folder nor a notebook, a zip, a tar"),
        ("x.zip", b"", "neither"),
        ("x.zip", b"PK\x05\x06" + bytes(18), "is empty"),
        ("x.zip", b"PK\x03\x04" + bytes(100), "broken archive"),
        ("x.tgz", b"\x1f\x8b" + bytes(100), "broken archive"),
        ("x.tgz", gzip.compress(b"hello", mtime=0), "broken archive"),
    ],
)
def test_what_is_no_archive(
    classroom: Classroom, known: Known, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GraderError, match=message):
        bring(classroom, known, tmp_path / name)


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_a_download_that_was_cut_short_is_not_taken_in_part(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes, kind: str
) -> None:
    """Who comes behind the break would be lost without a word."""
    files = {f"s{n}/adding.ipynb": book for n in range(9)}
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        zipped(path, files)
    else:
        members = [(entry(name), data) for name, data in files.items()]
        tarred(path, *members, mode="w:gz" if kind == "tgz" else "w")
    whole = path.read_bytes()
    size = len(entry("x").tobuf()) + -(-len(book) // 512) * 512
    cuts = {len(whole) // 2, len(whole) // 2 + 7}
    if kind == "tar":
        cuts |= {size, size * 2, size * 3 + 100}  # between two members, and within a header
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(GraderError, match="nothing of it was taken"):
            bring(classroom, known, path)
    if kind == "tar":
        path.write_bytes(whole[:size] + b"garbage " * 64 + whole[size:])
        with pytest.raises(GraderError, match="breaks off after 1 files"):
            bring(classroom, known, path)
    assert there(classroom) == {}


def test_a_member_that_is_broken_stops_nobody_else(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course, book: bytes
) -> None:
    path = zipped(tmp_path / "x.zip", {"ada/adding.ipynb": book, "bob/adding.ipynb": book})
    data = bytearray(path.read_bytes())
    start = data.index(b"bob/adding.ipynb") + 40
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    rows = bring(classroom, known, path)
    assert outcomes(rows) == {"ada": "collected", "bob": "refused"}
    assert has_note(rows["bob"], "broken")


def test_a_folder_that_may_not_be_read(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    book: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = written(tmp_path / "in", {"ada/adding.ipynb": book, "bob/adding.ipynb": book})
    real = os.open

    def refusing(path: Any, flags: int, **options: Any) -> int:
        if path == "bob":  # root may read everything: no chmod shows it
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, **options)

    monkeypatch.setattr(intake.os, "open", refusing)
    rows, not_taken = collect.collect(classroom, known, [root])
    assert [row.student for row in rows] == ["ada"]
    assert Left("bob", "it cannot be read: Permission denied") in not_taken


def test_an_operating_systems_own_files_are_nobodys(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course, book: bytes
) -> None:
    files = {
        "ada/homework.ipynb": book,
        "ada/.ipynb_checkpoints/homework-checkpoint.ipynb": work(course, "an hour ago"),
        "ada/._adding.ipynb": b"\0",
        "__MACOSX/ada/._adding.ipynb": b"\0",
        ".DS_Store": b"\0",
    }
    rows, not_taken = collect.collect(classroom, known, [zipped(tmp_path / "x.zip", files)])
    assert [(row.student, str(row.outcome)) for row in rows] == [("ada", "collected")]
    assert len(not_taken) == 4, "and each is listed"


# ---- into the class, again and again --------------------------------------------------------


def test_a_second_run_changes_nothing_and_says_so(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    root = written(tmp_path / "in", {"ada/x.ipynb": book, "bob/x.ipynb": book})
    submitted(tmp_path / "exchange", "eve", {"adding.ipynb": book})
    first = bring(classroom, known, root, tmp_path / "exchange")
    before = {path: path.stat().st_mtime_ns for path in (classroom.root / "submitted").rglob("*")}
    second = bring(classroom, known, root, tmp_path / "exchange")
    assert set(outcomes(first).values()) == {"collected"}
    assert set(outcomes(second).values()) == {"unchanged"}
    assert before == {
        path: path.stat().st_mtime_ns for path in (classroom.root / "submitted").rglob("*")
    }


def test_a_newer_one_replaces_the_older_whole(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    old = zipped(tmp_path / "old.zip", {"ada/x.ipynb": work(course, "old")})
    bring(classroom, known, old, times=[Person(id="ada", time=NOON)])
    (classroom.submitted("ada", UNIT) / "helper.py").write_text("")
    new = zipped(
        tmp_path / "new.zip", {"ada/x.ipynb": work(course, "new")}, NOON + timedelta(hours=1)
    )
    row = bring(classroom, known, new)["ada"]
    assert row.outcome is Outcome.COLLECTED
    assert has_note(row, "takes the place of one of 2024-05-31 12:00")
    assert list(there(classroom)) == [f"ada/{UNIT}/adding.ipynb"], "not even its timestamp.txt"
    assert b"# new" in there(classroom)[f"ada/{UNIT}/adding.ipynb"]


@pytest.mark.parametrize("is_timed", [True, False])
def test_an_older_one_never_replaces_a_newer_one(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course, is_timed: bool
) -> None:
    new = zipped(tmp_path / "new.zip", {"ada/x.ipynb": work(course, "new")})
    times = [Person(id="ada", time=NOON)] if is_timed else []
    kept = bring(classroom, known, new, times=times)["ada"]
    before = there(classroom)
    old = zipped(
        tmp_path / "old.zip", {"ada/x.ipynb": work(course, "old")}, NOON - timedelta(hours=1)
    )
    row = bring(classroom, known, old)["ada"]
    assert row.outcome is Outcome.UNCHANGED
    assert has_note(row, "an older one, of 2024-05-31 11:00 UTC, was not taken")
    assert (row.digest, row.time) == (kept.digest, NOON), "the line tells what is in the class"
    assert there(classroom) == before


def test_of_two_sources_the_later_counts(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    new = zipped(
        tmp_path / "new.zip", {"ada/x.ipynb": work(course, "new")}, NOON + timedelta(hours=1)
    )
    old = zipped(tmp_path / "old.zip", {"ada/x.ipynb": work(course, "old")})
    rows, not_taken = collect.collect(classroom, known, [new, old])
    assert b"# new" in rows[0].notebooks[0][1]
    assert Left("ada, 2024-05-31 12:00 UTC", "an older submission", "ada") in not_taken


def test_what_is_newer_is_not_guessed(
    classroom: Classroom, known: Known, tmp_path: Path, course: Course
) -> None:
    for word, expected in (("one", "collected"), ("two", "needs a look")):
        path = zipped(tmp_path / f"{word}.zip", {"ada/x.ipynb": work(course, word)})
        assert outcomes(bring(classroom, known, path)) == {"ada": expected}
    assert b"# one" in there(classroom)[f"ada/{UNIT}/adding.ipynb"]
    none = tmp_path / "none.zip"
    with zipfile.ZipFile(none, "w") as archive:
        archive.writestr(zipfile.ZipInfo("ada/x.ipynb"), work(course, "three"))
    row = bring(classroom, known, none)["ada"]
    assert (row.time, row.outcome) == (None, Outcome.NEEDS_LOOK)
    both = [tmp_path / "one.zip", tmp_path / "two.zip"]
    assert outcomes(bring(classroom, known, *both)) == {"ada": "needs a look"}


def line(data: bytes, time: datetime | None, source: TimeSource = TimeSource.HINT) -> Collected:
    """A line of ada's."""
    books = (("adding", data),)
    return Collected("ada", UNIT, books, time, source, digest(books), (), Outcome.COLLECTED)


@pytest.mark.parametrize(
    ("times", "outcome"),
    [((NOON, NOON), "needs a look"), ((NOON, None), "needs a look"),
     ((None, None), "needs a look"), ((NOON, NOON - timedelta(1)), "collected")],
)  # fmt: skip
def test_the_latest_of_two_is_told_by_their_times_alone(
    times: tuple[datetime | None, datetime | None], outcome: str
) -> None:
    lines = [line(data, time) for data, time in zip((b"one", b"two"), times, strict=True)]
    for order in (lines, lines[::-1]):
        [row], _ = collect.merge(order)
        assert str(row.outcome) == outcome
        assert row.notebooks == (lines[0].notebooks if outcome == "collected" else ())


def test_a_time_to_be_trusted_is_written_even_if_it_is_before_the_hint(
    classroom: Classroom,
) -> None:
    early = line(b"one", NOON - timedelta(days=1), TimeSource.FILE_SYSTEM)
    with Journal(classroom) as journal:
        place.place(classroom, [line(b"one", NOON)], journal.receive)
        [row] = place.place(classroom, [early], journal.receive)
    assert row.outcome is Outcome.COLLECTED
    assert b"2024-05-30" in there(classroom)[f"ada/{UNIT}/timestamp.txt"]


def test_a_time_that_becomes_known_is_written(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    path = zipped(tmp_path / "x.zip", {"ada/x.ipynb": book})
    bring(classroom, known, path)
    early = NOON - timedelta(days=1)
    row = bring(classroom, known, path, times=[Person(id="ada", time=early)])["ada"]
    assert (row.outcome, row.time) == (Outcome.COLLECTED, early)
    assert b"2024-05-30 12:00" in there(classroom)[f"ada/{UNIT}/timestamp.txt"]
    row = bring(classroom, known, path)["ada"]
    assert (row.outcome, row.time, row.time_source) == (
        Outcome.UNCHANGED,
        early,
        TimeSource.KEPT,
    )
    assert not has_note(row, "hint")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_write_that_fails_leaves_the_old_one(
    classroom: Classroom,
    known: Known,
    tmp_path: Path,
    course: Course,
    monkeypatch: pytest.MonkeyPatch,
    can_exchange: bool,
) -> None:
    if not can_exchange:
        monkeypatch.setattr(place, "_exchange", lambda one, other: False)
    files = {"ada/x.ipynb": work(course, "old"), "bob/x.ipynb": work(course, "old")}
    bring(classroom, known, zipped(tmp_path / "old.zip", files))
    before = there(classroom)
    real = place._write_file

    def full(path: Path, data: bytes) -> None:
        if "ada" in path.parts:
            path.write_bytes(data[:10])
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(place, "_write_file", full)
    files = {name: work(course, "new") for name in files}
    new = zipped(tmp_path / "new.zip", files, NOON + timedelta(hours=1))
    rows = bring(classroom, known, new)
    assert outcomes(rows) == {"ada": "refused", "bob": "collected"}
    assert has_note(rows["ada"], "No space left on device")
    after = there(classroom)
    assert after[f"ada/{UNIT}/adding.ipynb"] == before[f"ada/{UNIT}/adding.ipynb"]
    assert b"# new" in after[f"bob/{UNIT}/adding.ipynb"]
    assert len(after) == 2, "nothing half-written is left"


def test_what_a_killed_run_left_is_put_right(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    """It was killed where the system cannot exchange two folders, between two steps."""
    room = classroom.root / "submitted" / f"{place.ROOM}x"
    written(room, {f"old/eve/{UNIT}/adding.ipynb": book, f"new/eve/{UNIT}/adding.ipynb": b""})
    (classroom.root / "submitted" / "eve").mkdir()
    os.utime(room, (0, 0))
    bring(classroom, known, written(tmp_path / "in", {"ada/x.ipynb": book}))
    assert there(classroom)[f"eve/{UNIT}/adding.ipynb"] == book
    assert not room.exists()


def test_a_link_in_the_class_is_not_written_through(
    classroom: Classroom, known: Known, tmp_path: Path, book: bytes
) -> None:
    outside = written(tmp_path / "outside", {"mine.txt": b"1"})
    (classroom.root / "submitted" / "ada").symlink_to(outside)
    (classroom.root / "submitted" / "bob").mkdir()
    classroom.submitted("bob", UNIT).symlink_to(outside)
    root = written(tmp_path / "in", {"ada/x.ipynb": book, "bob/x.ipynb": book})
    rows = bring(classroom, known, root)
    assert outcomes(rows) == {"ada": "needs a look", "bob": "needs a look"}
    assert has_note(rows["ada"], "ada in the class is a link")
    assert [path.name for path in outside.iterdir()] == ["mine.txt"]


# ---- the command line -----------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def grader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], classroom: Classroom
) -> Run:
    """`grader collect` in a wide terminal: its exit code and what it wrote."""
    monkeypatch.setattr(cli.out, "_width", 500)
    monkeypatch.setattr(cli.err, "_width", 500)

    def run(*arguments: object) -> tuple[int, str, str]:
        line = ["grader", "collect", "--solutions", str(COURSE), "--class", str(classroom.root)]
        monkeypatch.setattr(sys, "argv", [*line, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def test_the_command(grader: Run, classroom: Classroom, tmp_path: Path, book: bytes) -> None:
    files = {"doejane_101_9_adding.ipynb": book, "byron_102_text.html": b"", "../x.ipynb": book}
    path = zipped(tmp_path / "submissions.zip", files)
    (tmp_path / "r.csv").write_text("id,canvas id\njane,101\n")
    (tmp_path / "t.csv").write_text("canvas id,time\n101,2024-05-31 14:00\n")
    options: tuple[object, ...] = ("--roster", tmp_path / "r.csv", "--times", tmp_path / "t.csv")
    options += ("--timezone", "Europe/Berlin")
    code, out, _ = grader(UNIT, path, *options, "--dry-run")
    assert code == 0
    assert "A dry run" in out
    assert there(classroom) == {}
    code, out, _ = grader(UNIT, path, *options)
    assert "1 needs a look, 1 collected" in out
    assert "jane" in out
    assert "2024-05-31 12:00 (times)" in out
    assert "not taken: ../x.ipynb: its path climbs out of the archive" in out
    code, out, _ = grader(UNIT, path, *options, "--json")
    document = json.loads(out)
    assert [(row["student"], row["outcome"]) for row in document["submissions"]] == [
        ("byron-102", "needs a look"),
        ("jane", "unchanged"),
    ]
    assert document["submissions"][1]["notebooks"] == ["adding.ipynb"]
    assert {one["path"] for one in document["left"]} == {"byron_102_text.html", "../x.ipynb"}


def test_a_dry_run_needs_no_class_and_makes_none(
    grader: Run, tmp_path: Path, book: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jane.ipynb").write_bytes(book)
    code, out, _ = grader(UNIT, "jane.ipynb", "--dry-run", "--class", "new")
    assert code == 0
    assert "1 collected" in out
    assert "A dry run: nothing was changed. The class new would be made." in out
    assert not (tmp_path / "new").exists()


def test_what_every_line_would_say_is_said_once(grader: Run, tmp_path: Path, book: bytes) -> None:
    files = {f"s{n}/x.ipynb": book for n in range(9)}
    _, out, _ = grader(UNIT, zipped(tmp_path / "x.zip", files))
    assert out.count("--times") == 1
    assert "9 collected" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((UNIT, "nowhere"), "no file or folder nowhere"),
        (("ps1", "{book}"), 'no unit "ps1"'),
        ((UNIT, "{book}", "--from", "canvsa"), "Did you mean canvas?"),
        ((UNIT, "{book}", "--from", "moodle"), "nothing is named as in moodle"),
        ((UNIT, "{book}", "--timezone", "Mars"), 'no time zone "Mars"'),
        ((UNIT, "{book}", "--roster", "nowhere.csv"), "no file nowhere.csv"),
    ],
)
def test_a_persons_mistake_is_one_message(
    grader: Run, tmp_path: Path, book: bytes, arguments: tuple[str, ...], message: str
) -> None:
    path = written(tmp_path, {"ada.ipynb": book}) / "ada.ipynb"
    code, _, err = grader(*(one.replace("{book}", str(path)) for one in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_layouts_are_told_apart() -> None:
    """`recognise` alone, on names."""
    for layout, name in (
        (Layout.EXCHANGE, f"inbound/ada+{UNIT}+{STAMP}+x/adding.ipynb"),
        (Layout.CANVAS, "submissions/doe_1_2_x.ipynb"),
        (Layout.MOODLE, "Jane Doe_1_assignsubmission_file_/x.ipynb"),
        (Layout.MOODLE, "x/Jane Doe_1_assignsubmission_file_x.ipynb"),
        (Layout.FOLDER, "ada/x.ipynb"),
    ):
        found = [intake.Member(tuple(name.split("/")), b"")]
        assert sources.recognise(found) is layout, name


def test_the_class_reads_what_was_collected(
    classroom: Classroom, course: Course, tmp_path: Path
) -> None:
    """nbgrader's release tells the unit, and nothing of what was put there is odd."""
    unit = classroom.assignment(UNIT, course)
    mine = content(answered(unit.notebooks[0].released, add=SOLVED))
    known = collect.known_unit(classroom, UNIT)
    files = {"doejane_101_9_home work.ipynb": mine}
    bring(classroom, known, zipped(tmp_path / "x.zip", files))
    submission = classroom.submission("doejane-101", unit)
    assert (submission.notebooks, submission.notes) == ((("adding", mine),), ())
