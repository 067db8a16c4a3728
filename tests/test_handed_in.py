"""What a student may hand in besides an answer: every trick has a stored verdict that says why.

The whole way is gone here: a file in a folder, a kernel, marks, pages. That only text is taken
from a file is tested in `test_clean`, what is no notebook in `test_unreadable`, single links and
odd names in `test_gradebook`, and what Markdown and HTML become in `test_feedback`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import nbformat
import pytest
from bleach._vendor import html5lib  # type: ignore[import-untyped]  # reads as browsers do
from builders import (
    COURSE,
    HOMEWORK,
    QUICK,
    SEALED,
    SOLVED,
    answered,
    as_file,
    assignment,
    cell,
    hand_in,
    homework,
    isolates,
    printed,
    submission,
)
from nbconvert.exporters import HTMLExporter
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory

from grader import cli, feedback
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.clean import clean
from grader.course import Course
from grader.errors import UsageError
from grader.grade import grade
from grader.model import Assignment, Graded, Status, Submission, Verdict
from grader.report import write_report

UNIT = "01-adding"
WRONG = "def add(a, b):\n    return 0"
ADD, TESTS = 3, 4  # where the answer and its tests are in the homework
EVIL = "https://evil.example"

Cells = list[dict[str, Any]]

pytestmark = isolates


@pytest.fixture(scope="module")
def made(course: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Assignment]:
    """A class folder in which nobody has handed in anything, and its unit 01-adding."""
    root = tmp_path_factory.mktemp("made") / "class"
    return root, Classroom(root).assignment(UNIT, course)


@pytest.fixture
def classroom(made: tuple[Path, Assignment], tmp_path: Path) -> Classroom:
    """A copy of that folder."""
    shutil.copytree(made[0], tmp_path / "class")
    return Classroom(tmp_path / "class")


@pytest.fixture
def unit(made: tuple[Path, Assignment]) -> Assignment:
    """01-adding as an assignment of the class."""
    return made[1]


def stored(classroom: Classroom, unit: Assignment, student: str = "eve") -> Graded:
    """Grade what a student handed in, see that it was stored, and return it."""
    [graded] = grade_class(classroom, unit, [student], where=0)
    assert json.loads(classroom.record(student, UNIT).read_text("utf-8")) == graded.to_dict()
    return graded


def page_of(classroom: Classroom, student: str = "eve") -> str:
    """Return a student's feedback page."""
    return (classroom.feedback(student, UNIT) / "adding.html").read_text(encoding="utf-8")


# ---- a notebook that asks for marks ---------------------------------------------------------


def with_metadata(cells: Cells) -> Cells:
    """Put into every cell what makes other programs skip it, or pay for it."""
    tags = ["skip-execution", "raises-exception", "remove-cell", "remove-output", "parameters"]
    roles = {"grade": False, "solution": True, "locked": False, "points": 100, "task": True}
    for one in cells:
        one["metadata"] |= {"tags": tags, "papermill": {"status": "completed"}}
        one["metadata"] |= {"judged": {"status": "ok", "seconds": 0.1, "error": ""}}
        if "nbgrader" in one["metadata"]:
            one["metadata"]["nbgrader"] |= roles
    return cells


def with_outputs(cells: Cells) -> Cells:
    """Put the outputs of full marks into every code cell."""
    value = {"output_type": "execute_result", "data": {"text/plain": "2.0"}, "metadata": {}}
    for one in cells:
        if one["cell_type"] == "code":
            one |= {"outputs": [value | {"execution_count": 1}], "execution_count": 1}
    return cells


def with_test(cells: Cells, at: int, **changes: Any) -> Cells:
    """Put a copy of the test cell, which tests nothing, before cell `at`."""
    return [*cells[:at], cells[TESTS] | {"source": "pass"} | changes, *cells[at:]]


def exchanged(cells: Cells, *keys: str) -> Cells:
    """Let the answer and its tests take each other's place, or only what makes them known."""
    add, tests = cells[ADD], cells[TESTS]
    for key in keys or add.keys():
        add[key], tests[key] = tests[key], add[key]
    return cells


# {what is done to the file: (how, points with a right answer)}; a wrong answer earns nothing.
TRICKS: dict[str, tuple[Callable[[Cells], Cells], float]] = {
    "tags and metadata": (with_metadata, 2),
    "outputs of full marks": (with_outputs, 2),
    "tests deleted": (lambda cells: cells[:TESTS] + cells[TESTS + 1 :], 2),
    "tests replaced": (lambda cells: with_test(cells[:TESTS] + cells[TESTS + 1 :], TESTS), 2),
    "tests made raw": (lambda cells: with_test(cells, TESTS, cell_type="raw"), 2),
    "tests first": (lambda cells: with_test(cells, 0), 2),
    "tests twice, with one id": (lambda cells: with_test(cells, TESTS + 1), 2),
    "tests twice, with another id": (lambda cells: with_test(cells, TESTS + 1, id="x"), 2),
    "tests and answer exchanged": (lambda cells: exchanged(cells), 2),
    "ids exchanged": (lambda cells: exchanged(cells, "id"), 0),
    "ids and names exchanged": (lambda cells: exchanged(cells, "id", "metadata"), 0),
    "nothing but the answer": (lambda cells: [cells[ADD]], 2),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_earns_what_the_answer_does_not(trick: str) -> None:
    change, points = TRICKS[trick]
    for answer, earned in ((SOLVED, points), (WRONG, 0)):
        file = as_file({"nbformat": 4, "nbformat_minor": 5, "cells": change(homework(answer))})
        graded = grade(assignment(HOMEWORK), submission(hw=file))
        tests, why = graded.cells
        assert (tests.grade_id, tests.points, tests.max_points) == ("add-tests", earned, 2)
        assert tests.verdict is (Verdict.PASSED if earned else Verdict.FAILED)
        assert (why.grade_id, why.max_points) == ("why", 2)
        executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
        assert [c.source for c in executed.cells if c.id == "add-tests"] == [SEALED]


def test_nbgraders_own_command_skips_no_cell_either(classroom: Classroom, unit: Assignment) -> None:
    """nbgrader takes the student's cells with their tags, and pays for a cell without an error."""
    for student, answer in (("ada", SOLVED), ("eve", WRONG)):
        node = answered(unit.notebooks[0].released, add=answer, why_commutes="It does.")
        for one in node.cells:
            one.metadata["tags"] = ["skip-execution", "raises-exception"]
            one.metadata["judged"] = {"status": "ok", "seconds": 0.1, "error": ""}
        node.metadata["kernelspec"] = {"name": "bash", "display_name": "", "language": "bash"}
        hand_in(classroom, student, UNIT, "adding", node)
    api = NbGraderAPI(coursedir=CourseDirectory(config=classroom.config), config=classroom.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy on nbgrader's rows
        for student in ("ada", "eve"):
            result = api.autograde(UNIT, student)
            assert result["success"], result
    scores = {one["student"]: one["score"] for one in api.get_submissions(UNIT)}
    assert scores == {"ada": 3, "eve": 0}


def test_files_beside_the_notebook_never_reach_its_kernel(
    classroom: Classroom, unit: Assignment
) -> None:
    look = f"{SOLVED}\nimport os\nprint(sorted(os.listdir()), os.environ.get('LEAK'))"
    node = answered(unit.notebooks[0].released, add=look)
    folder = hand_in(classroom, "eve", UNIT, "adding", node).parent
    for name in ("numpy.py", "math.py", "sitecustomize.py", "usercustomize.py", "startup.ipy"):
        (folder / name).write_text("raise SystemExit('shadowed')", encoding="utf-8")
    (folder / "x.pth").write_text("import os; os.environ['LEAK'] = 'x'", encoding="utf-8")
    (folder / "grader").mkdir()
    (folder / "grader" / "__init__.py").write_text("raise SystemExit", encoding="utf-8")
    graded = stored(classroom, unit)
    assert graded.score == 3
    executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
    assert [printed(c) for c in executed.cells if c.id == "add"] == ["[] None\n"]


# ---- a notebook whose messages are odd ------------------------------------------------------

KERNEL = (
    "from IPython.display import display, update_display\n"
    "kernel = get_ipython().kernel\n"
    "def send(kind, **content):\n"
    "    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())\n"
)


def run_with(code: str, output_bytes: int = 100_000) -> Graded:
    """Grade the homework whose right answer does more than to add."""
    limits = replace(QUICK, output_bytes=output_bytes)
    answer = f"{SOLVED}\n{KERNEL}{code}"
    node = {"nbformat": 4, "nbformat_minor": 5, "cells": homework(answer)}
    return grade(assignment(HOMEWORK, limits=limits), submission(hw=as_file(node)))


ODD_MESSAGES = {
    "texts that are lists": "send('stream', name='stdout', text=['a', 'b'])",
    "texts that are numbers": "send('stream', name=1, text=2)",
    "an error of numbers": "send('error', ename=1, evalue=2, traceback=3)",
    "a value of lists": "send('execute_result', data={'text/plain': ['2.0']}, metadata={})",
    "a picture of numbers": "send('display_data', data={'image/png': 5}, metadata={})",
    "a picture of text": "send('display_data', data={'image/png': '\"><b>'}, metadata={})",
    "a list of kinds": "send('display_data', data=['text/html'], metadata=[])",
    "an odd kind": "send('display_data', data={'': {}, 'a+json': {'a': None}}, metadata={})",
    "an update of nothing": "send('update_display_data', data={}, transient={'display_id': 'x'})",
    "a parent of nothing": "send('status', execution_state=['idle'])",
}


@pytest.mark.parametrize("odd", ODD_MESSAGES)
def test_an_odd_message_costs_neither_marks_nor_the_page(odd: str) -> None:
    graded = run_with(ODD_MESSAGES[odd])
    assert (graded.status, graded.score) == (Status.NEEDS_MANUAL, 2)
    assert "<h2>add</h2>" in feedback.pages(assignment(HOMEWORK), graded)["hw"]


def test_a_forged_number_of_a_cell_is_not_stored() -> None:
    graded = run_with("send('execute_input', code='', execution_count='x' * 1_000_000)")
    executed = graded.notebooks[0].executed
    assert len(executed) < 100_000
    nbformat.validate(nbformat.reads(executed, as_version=4))


def test_display_updates_do_not_multiply_what_is_stored() -> None:
    graded = run_with(
        "for _ in range(300): display({'text/plain': ''}, raw=True, display_id='x')\n"
        "update_display({'text/plain': 'y' * 50_000}, raw=True, display_id='x')"
    )
    assert len(graded.notebooks[0].executed) < 300_000


FLOODS = {
    "on the channel of input, to which nobody listens": (
        "ident = kernel._shell_parent_ident.get()\n"
        "for _ in range(40): kernel.stdin_socket.send_multipart([*ident, large], copy=False)\n"
        "time.sleep(2)"
    ),
    "beside the text of one message": (
        "kernel.session.send(kernel.iopub_socket, 'comm_msg', {'comm_id': 'x', 'data': {}},\n"
        "    parent=kernel.get_parent(), buffers=[memoryview(large)] * 60)\n"
        "time.sleep(2)"
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_messages_does_not_fill_the_graders_memory(flood: str) -> None:
    def memory(key: str) -> int:
        [size] = re.findall(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
        return int(size) * 1024

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = memory("VmRSS")
    run_with(f"import time\nlarge = bytes(30_000_000)\n{FLOODS[flood]}")
    assert memory("VmHWM") - before < 1_000_000_000


def test_a_notebook_that_a_notebook_wrote_is_not_stored_among_ours() -> None:
    """nbgrader would make feedback of it, fail, and take the student's page away."""
    code = (
        "for name in ('other.ipynb', 'page.html', 'plot.png'):\n"
        "    open(name, 'w').write('<script>')"
    )
    names = [name for name, _ in run_with(code).files]
    assert "plot.png" in names
    assert not {"other.ipynb", "page.html"} & set(names)


# ---- something else than a notebook ---------------------------------------------------------


def zipped(**members: bytes) -> bytes:
    """Return a ZIP archive of these files; a double underscore in a name is a way up."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "../"), data)
    return file.getvalue()


def tarred() -> bytes:
    """Return a tar archive that climbs, links out and brings a device."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in ("../../climbed.ipynb", "/tmp/climbed-from-the-root.ipynb"):
            archive.addfile(tarfile.TarInfo(name))
        for name, kind in (("adding.ipynb", tarfile.SYMTYPE), ("hard.ipynb", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        device = tarfile.TarInfo("zero.ipynb")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
        archive.addfile(device)
    return file.getvalue()


NOTEBOOK = as_file({"nbformat": 4, "nbformat_minor": 5, "cells": []})
BOMB = zipped(**{"adding.ipynb": bytes(80_000_000)})
ARCHIVES = {
    "zip": zipped(**{"adding.ipynb": NOTEBOOK}),
    "zip that climbs": zipped(**{"______climbed.ipynb": NOTEBOOK, "__climbed.ipynb": b""}),
    "zip that explodes": BOMB,
    "zip of zips": zipped(**{f"{n}.zip": BOMB for n in range(10)}),
    "tar": tarred(),
}


def everything(folder: Path) -> set[str]:
    """Return the names of all that is in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("name", ["adding.ipynb", "adding.zip"])
def test_an_archive_is_a_verdict_and_is_never_unpacked(
    classroom: Classroom, unit: Assignment, kind: str, name: str
) -> None:
    path = hand_in(classroom, "eve", UNIT, "adding", ARCHIVES[kind])
    path.rename(path.with_name(name))
    before = everything(classroom.root.parent)
    began = time.monotonic()
    graded = stored(classroom, unit)
    assert time.monotonic() - began < 10
    assert (graded.status, graded.score, graded.max_score) == (Status.UNREADABLE, 0, 5)
    assert graded.notes[0] in page_of(classroom)
    new = everything(classroom.root.parent) - before
    assert not [name for name in new if "climbed" in name]
    ours = {".grader", "autograded", "feedback", "gradebook.db"}
    assert {name.split("/")[1] for name in new} <= ours
    assert not Path("/tmp/climbed-from-the-root.ipynb").exists()


@pytest.mark.parametrize(
    "name",
    [
        "adding.zip",
        "adding.tar.gz",
        "adding.ipynb.txt",
        "adding.json",
        "adding.pdf",
        "sub/adding.ipynb",
    ],
)
def test_what_was_handed_in_instead_of_a_notebook_is_named(
    classroom: Classroom, unit: Assignment, name: str
) -> None:
    path = classroom.submitted("eve", UNIT) / name
    path.parent.mkdir(parents=True)
    path.write_bytes(NOTEBOOK)
    graded = stored(classroom, unit)
    assert graded.status is Status.UNREADABLE
    assert Path(name).parts[0] in graded.notes[0]


def test_an_archive_under_a_notebooks_name_is_called_one() -> None:
    graded = grade(assignment(HOMEWORK), submission(hw=ARCHIVES["zip"]))
    assert "archive" in graded.notes[0]


# ---- a folder with more in it than files ----------------------------------------------------


def as_device(path: Path) -> None:
    """Make a device that never ends; only root may."""
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def as_socket(path: Path) -> None:
    """Make a socket."""
    here = os.getcwd()
    os.chdir(path.parent)  # the whole path may be too long for one
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [as_device, as_socket])
@pytest.mark.parametrize("name", ["adding.ipynb", "another.ipynb"])
def test_a_device_or_a_socket_is_not_opened(
    classroom: Classroom, unit: Assignment, make: Callable[[Path], None], name: str
) -> None:
    path = hand_in(classroom, "eve", UNIT, "adding", b"").with_name(name)
    path.with_name("adding.ipynb").unlink()
    make(path)
    graded = stored(classroom, unit)
    assert graded.status is Status.UNREADABLE
    assert graded.notes[0] == f"{name} is not a regular file and was not opened"


@pytest.mark.parametrize("make", [as_device, as_socket, os.mkfifo, os.mkdir])
def test_a_time_stamp_that_is_no_file_is_none(
    classroom: Classroom, unit: Assignment, make: Callable[[Path], None]
) -> None:
    path = hand_in(classroom, "eve", UNIT, "adding", b"")
    make(path.with_name("timestamp.txt"))
    assert stored(classroom, unit).notes == ("the file is empty",)


def test_a_hard_link_is_read_and_what_it_leads_to_is_left_alone(
    classroom: Classroom, unit: Assignment, tmp_path: Path
) -> None:
    """A second name of a file cannot be told from its first; nothing is ever written to it."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for you")
    path = classroom.submitted("eve", UNIT) / "adding.ipynb"
    path.parent.mkdir(parents=True)
    path.hardlink_to(secret)
    graded = stored(classroom, unit)
    assert graded.status is Status.UNREADABLE
    assert secret.read_bytes() == b"not for you"
    assert "not for you" not in page_of(classroom)


@pytest.mark.parametrize("link", ["eve", f"eve/{UNIT}"])
def test_the_work_of_another_student_is_not_taken_through_a_linked_folder(
    classroom: Classroom, unit: Assignment, link: str
) -> None:
    hand_in(classroom, "ada", UNIT, "adding", answered(unit.notebooks[0].released, add=SOLVED))
    path = classroom.root / "submitted" / link
    path.parent.mkdir(exist_ok=True)
    target = classroom.submitted("ada", UNIT)
    path.symlink_to(target if UNIT in link else target.parent)
    graded = stored(classroom, unit)
    assert (graded.status, graded.score) == (Status.UNREADABLE, 0)
    assert "link" in graded.notes[0]


def test_a_folder_that_is_no_unit_stops_nobody(
    classroom: Classroom, unit: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(classroom, "ada", UNIT, "adding", b"")
    (classroom.root / "submitted" / "eve" / "00-mine").mkdir(parents=True)
    arguments = ("grade", "--class", classroom.root, "--solutions", COURSE, "--workers", "0")
    assert run_cli(monkeypatch, *arguments) == 0
    assert classroom.record("ada", UNIT).is_file()


def test_a_folder_that_cannot_be_read_stops_nobody(classroom: Classroom, unit: Assignment) -> None:
    hand_in(classroom, "ada", UNIT, "adding", b"")
    closed = hand_in(classroom, "eve", UNIT, "adding", b"").parent
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("root may read everything")
    try:
        ada, eve = grade_class(classroom, unit, ["ada", "eve"], where=0)
    finally:
        closed.chmod(0o700)
    assert (ada.status, eve.status) == (Status.UNREADABLE, Status.UNREADABLE)
    assert "cannot be read" in eve.notes[0]


# ---- names ----------------------------------------------------------------------------------

NAMES = [
    "-rf",
    "--student=ada",
    "~",
    "$HOME",
    "`id`",
    "%s%n",
    "{x}",
    "*",
    "[ab]",
    "a\\b",
    "x" * 255,
    "ü",
    "u\u0308",  # looks the same, and is another person
    " ",
    "a'b\"c;--",
    "<img src=x onerror=alert(1)>",
    "[red]",
    "\u0645\u06cc\u200c\u0646\u0627",  # a joiner that Persian is spelled with
]


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_what_macos_notes_beside_a_file_is_not_a_second_notebook(
    classroom: Classroom, unit: Assignment
) -> None:
    folder = classroom.submitted("eve", UNIT)
    folder.mkdir(parents=True)
    (folder / "my adding.ipynb").write_bytes(NOTEBOOK)
    (folder / "._my adding.ipynb").write_bytes(b"\x00\x05\x16\x07")
    graded = stored(classroom, unit)
    assert graded.status is not Status.UNREADABLE
    assert "my adding" in graded.notes[0]


def test_any_printable_name_of_a_student_has_its_verdict_and_its_page(
    classroom: Classroom, unit: Assignment
) -> None:
    for name in NAMES:
        hand_in(classroom, name, UNIT, "adding", b"")
    assert sorted(NAMES) == classroom.students(UNIT)
    for graded in grade_class(classroom, unit, NAMES, where=0):
        assert graded.status is Status.UNREADABLE
        assert "the file is empty" in page_of(classroom, graded.student)
    report = write_report(classroom).read_text(encoding="utf-8")
    assert report.count('href="../feedback/') >= len(NAMES)
    assert_inert(report, PLOTS)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "\x1b[2J", "\u202egpj.exe"])
def test_a_name_that_cannot_be_printed_is_refused(
    classroom: Classroom, unit: Assignment, name: str
) -> None:
    """A line break alone stops nbgrader's feedback for the whole class."""
    hand_in(classroom, name, UNIT, "adding", b"")
    with pytest.raises(UsageError, match="rename it"):
        classroom.students(UNIT)


# A spreadsheet runs what begins with one of these, and quotes nothing of what it is not told to.
FORMULAS = ["=1+2|'x'!A0", "+1", "-1+2", "@sum(1)", "a,01-adding,9", 'a"b']


def test_no_name_becomes_a_formula_or_a_column_in_nbgraders_export(
    classroom: Classroom, unit: Assignment
) -> None:
    for name in FORMULAS:
        hand_in(classroom, name, UNIT, "adding", b"")
    grade_class(classroom, unit, FORMULAS, where=0)
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "export"],
        cwd=classroom.root,
        env={"HOME": str(classroom.root.parent)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    with (classroom.root / "grades.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert len(rows) == len(FORMULAS)
    for row in rows:
        assert len(row) == len(head)
        assert not [text for text in row if text.startswith(("=", "+", "-", "@", "\t", "\r"))]


HOSTILE = "\x1b[2J\x1b]0;owned\x07"  # clears a terminal and renames it


def test_nothing_of_a_file_steers_the_terminal(
    classroom: Classroom,
    unit: Assignment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = hand_in(classroom, "eve", UNIT, "adding", b"")
    path.with_name(f"{HOSTILE}.ipynb").write_bytes(b"")
    arguments = ("grade", UNIT, "--class", classroom.root, "--solutions", COURSE, "--workers", "0")
    assert run_cli(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert "no notebook of this unit" in shown
    assert "\x1b" not in shown


def test_a_note_is_short_and_printable() -> None:
    for kind in ("x" * 1_000_000, HOSTILE):
        cells = homework()
        cells[ADD]["cell_type"] = kind
        cells[-1]["attachments"] = {"a": {kind: ""}}
        _, notes = clean(HOMEWORK, as_file({"cells": cells}))
        assert any("had been made a" in note for note in notes)
        assert all(len(note) < 300 and note.isprintable() for note in notes)


def test_names_of_files_are_inert_where_they_are_noted(
    classroom: Classroom, unit: Assignment
) -> None:
    path = hand_in(classroom, "eve", UNIT, "adding", b"")
    for name in ("<img src=x onerror=alert(1)>.ipynb", '"><script>alert(1)<!--.ipynb'):
        path.with_name(name).write_bytes(b"")
    assert len(stored(classroom, unit).notes) == 3
    assert_inert(page_of(classroom))
    assert_inert(write_report(classroom).read_text(encoding="utf-8"), PLOTS)


# ---- what is shown --------------------------------------------------------------------------

BASE64 = "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="  # <script>alert(1)</script>
PAYLOADS = [
    "[x][1]\n\n[1]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "[x](JaVaScRiPt:alert(1)) [x](java\tscript:alert(1)) [x](\x01javascript:alert(1))",
    "[x](vbscript:alert(1)) [x](file:///etc/passwd) [x](blob:x) [x](//evil.example)",
    f"[x](data:text/html;base64,{BASE64}) ![x](javascript:alert(1))",
    f'<a href="{EVIL}" ping="{EVIL}" onclick="alert(1)" target="_blank">x</a>',
    '<a href="jav&Tab;ascript:alert(1)">x</a><area href="javascript:alert(1)">',
    "<svg><foreignObject><body onload=alert(1)><iframe src=x></body></foreignObject></svg>",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    f'<svg><use href="data:image/svg+xml;base64,{BASE64}#x"/><image href="{EVIL}/x.png"/></svg>',
    '<svg><animate onbegin=alert(1) attributeName=x dur=1s><set attributeName="href" to="x"></svg>',
    '<math><maction actiontype="statusline" xlink:href="javascript:alert(1)">x</maction></math>',
    '<math href="javascript:alert(1)"><mi xlink:href="javascript:alert(1)">x</mi></math>',
    '<math><annotation-xml encoding="text/html"><script>alert(1)</script></annotation-xml></math>',
    f'<img src="{EVIL}/x.png" srcset="{EVIL}/y.png 2x" onload="alert(1)">',
    f'<picture><source srcset="{EVIL}/x.png"><img src="{EVIL}/y.png"></picture>',
    f'<video poster="{EVIL}" src="{EVIL}" autoplay onerror=alert(1)><track src="{EVIL}"></video>',
    f'<audio src="{EVIL}" onerror=alert(1)></audio><embed src="{EVIL}"><object data="{EVIL}">',
    f'<table background="{EVIL}"><td style="background:url({EVIL})">x</td></table>',
    f'<td style="text-align: left; background: url({EVIL})">x</td>',
    f'<style>@import "{EVIL}"; a[href^=x] {{ background: url({EVIL}) }}</style>',
    f'<div style="position:fixed; inset:0; background:url({EVIL})" class="verdict good">x</div>',
    f'<meta http-equiv="refresh" content="0;url={EVIL}"><base href="{EVIL}" target="_top">',
    f'<link rel="prefetch" href="{EVIL}"><link rel="dns-prefetch" href="{EVIL}">',
    f'<iframe src="{EVIL}"></iframe><iframe srcdoc="&lt;script&gt;alert(1)&lt;/script&gt;">',
    f'<form action="{EVIL}"><button formaction="javascript:alert(1)">x</button></form>',
    "<marquee onstart=alert(1)>x</marquee><body onload=alert(1)><frameset onload=alert(1)>",
    "<template><script>alert(1)</script></template><noembed><script>alert(1)</script></noembed>",
    "<textarea></main><script>alert(1)</script>",
    "<xmp><script>alert(1)</script></xmp><plaintext>",
    "<![CDATA[<script>alert(1)</script>]]><?xml-stylesheet href='x'?><!DOCTYPE html [<!ENTITY x>]>",
    "<p id=top class=score><h1 id=add-tests><title>Full marks</title>",
    "<input type=image src=x onerror=alert(1)><select onfocus=alert(1) autofocus>",
    r"$\\class{verdict good}{x}$ $\\cssId{top}{x}$ $\\style{background:url(x)}{x}$",
    r"$\\require{html}\\href{javascript:alert(1)}{x}$ $\\unicode{60}$",
    r"$\\text{</math><script>alert(1)</script>}$ $\\mbox{<iframe src=x>}$",
    rf"$\\includegraphics{{{EVIL}/x.png}}$ $\\url{{javascript:alert(1)}}$",
]
KINDS = ["text/html", "text/markdown", "text/latex", "image/svg+xml", "text/plain", "image/png"]
KINDS += ["image/jpeg", "application/javascript", "application/pdf", "application/json", "a/b"]

# No page needs one of these.
RUNS = frozenset(
    (
        *("script", "iframe", "frame", "frameset", "object", "embed", "applet", "link", "base"),
        *("form", "input", "button", "select", "textarea", "audio", "video", "source", "track"),
        *("picture", "image", "animate", "set", "foreignobject", "maction", "annotation-xml"),
        *("template", "noembed", "plaintext", "xmp", "marquee", "portal", "area", "svg", "use"),
    )
)
PLOTS = frozenset(("svg", "use"))  # of the report
FETCH = ("srcset", "srcdoc", "ping", "action", "formaction", "background", "poster", "manifest")
LINKS = r"#|https?://|mailto:|\.\./feedback/|(class|index)\.html$"
STYLES = ("text-align", "color", "background-color")  # numbers of a terminal's colours


def assert_inert(text: str, plots: frozenset[str] = frozenset()) -> None:
    """Assert that a browser that reads the page runs nothing, fetches nothing and is not misled."""
    page: Element = html5lib.parse(text, treebuilder="etree", namespaceHTMLElements=False)
    ids, metas = [], []
    for element in page.iter():
        if not isinstance(element.tag, str):
            continue  # a comment
        tag = element.tag.rpartition("}")[2].lower()
        assert tag not in RUNS - plots, (tag, element.attrib)
        if tag == "meta":
            metas.append(element.get("http-equiv"))
        for key, value in element.attrib.items():
            name = key.rpartition("}")[2].lower()
            assert not name.startswith("on"), (tag, name)
            assert name not in FETCH, (tag, name)
            if name == "href":
                assert re.match(LINKS, value), value
            elif name == "src":
                assert re.match(r"data:image/(png|jpeg|gif|svg\+xml);base64,", value), value
            elif name == "style" and not plots:
                for part in value.rstrip(";").split(";"):
                    assert part.partition(":")[0].strip() in STYLES, value
                assert "url" not in value
            elif name == "id":
                ids.append(value)
    assert metas == [None, "Content-Security-Policy", None, None]
    assert len(ids) == len(set(ids))
    assert len(page.findall(".//title")) == 1
    if not plots:  # each brings a style of its own
        assert len(page.findall(".//style")) == 1


def test_what_a_kernel_shows_is_inert_in_feedback_and_report(
    classroom: Classroom, unit: Assignment
) -> None:
    wild = (
        f"{SOLVED}\n{KERNEL}"
        f"payloads, kinds = {PAYLOADS!r}, {KINDS!r}\n"
        "for text in payloads:\n"
        "    print(text)\n"
        "    send('error', ename=text, evalue=text, traceback=[text])\n"
        "    for kind in kinds: display({kind: text}, metadata={kind: {'width': text}}, raw=True)\n"
        "def add(a, b): raise AssertionError('\\n'.join(payloads))"
    )
    node = answered(unit.notebooks[0].released, add=wild, why_commutes="\n\n".join(PAYLOADS[:5]))
    node.cells += [cell(text, id=f"m{n}", kind="markdown") for n, text in enumerate(PAYLOADS)]
    hand_in(classroom, "eve", UNIT, "adding", node)
    graded = stored(classroom, replace(unit, limits=replace(QUICK, pictures=1000)))
    assert graded.score == 0
    outputs = nbformat.reads(graded.notebooks[0].executed, as_version=4).cells
    assert max(len(c.get("outputs", [])) for c in outputs) >= len(PAYLOADS) * (len(KINDS) + 1)
    text = page_of(classroom)
    assert "javascript:alert(1)" in text  # shown as text
    assert_inert(text)
    report = write_report(classroom).read_text(encoding="utf-8")
    assert "javascript:alert(1)" in report
    assert_inert(report, PLOTS)


def test_what_a_kernel_shows_is_inert_in_the_formgrader(
    classroom: Classroom, unit: Assignment
) -> None:
    """The formgrader's page is nbconvert's, in the teacher's own Jupyter server."""
    wild = f"{SOLVED}\n{KERNEL}display({{'text/html': '<script>evil()</script>'}}, raw=True)"
    node = answered(unit.notebooks[0].released, add=wild)
    node.cells.append(cell("<img src=x onerror=evil()>", id="m", kind="markdown"))
    hand_in(classroom, "eve", UNIT, "adding", node)
    stored(classroom, unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert on alt text
        page, _ = HTMLExporter(config=classroom.config).from_filename(
            str(classroom.autograded("eve", UNIT) / "adding.ipynb")
        )
    assert "evil()" in page
    found = html5lib.parse(page, treebuilder="etree", namespaceHTMLElements=False)
    assert not [e for e in found.iter("script") if "evil" in (e.text or "")]
    assert not [e for e in found.iter("img") if "onerror" in e.attrib]


# What keeps the parsers of a page busy for more than a time that grows with its length.
BUSY = {
    "blank lines": cell(" \n" * 12_000, id="free-1"),
    "attributes": cell("", id="free-1"),
}
BUSY["attributes"].outputs = [
    nbformat.v4.new_output(
        "display_data", data={"text/html": f"<p {' '.join(f'a{n}=b' for n in range(20_000))}>"}
    )
]


@pytest.mark.parametrize("busy", BUSY)
def test_a_page_does_not_keep_the_grader_busy(busy: str) -> None:
    node = nbformat.reads(HOMEWORK.sealed, as_version=4)
    node.cells.append(BUSY[busy])
    made = grade(assignment(HOMEWORK), Submission("eve", "unit", ()))
    run = replace(made.notebooks[0], executed=nbformat.writes(node))
    began = time.monotonic()
    feedback.pages(assignment(HOMEWORK), replace(made, notebooks=(run,)))
    assert time.monotonic() - began < 4
