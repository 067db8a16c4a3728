"""What leaves the gradebook: every score in its place, none that is not one, nothing else moved."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from builders import CASES, COURSE, receive
from nbgrader.api import Gradebook as Database

from grader import cli, sheets
from grader.classroom import Classroom
from grader.course import load_course
from grader.export import QuotedCsvExport
from grader.gradebook import Gradebook
from grader.model import Assignment, CellResult, Graded, GradedNotebook, Status, Verdict

pytestmark = pytest.mark.databases

ADDING, DOUBLING = "01-adding", "02-doubling"
CELLS = {
    ADDING: ("adding", {"add-tests": 2.0, "add-arrays": 1.0, "why_commutes": 2.0}),
    DOUBLING: ("doubling", {"double-tests": 1.0}),
}
ZOE = unicodedata.normalize("NFD", "zoë")  # as a folder is called on macOS
EVIL = "=1+2|'x'!A0"
HALF = "half a character: \ud83d"


def graded(unit: Assignment, student: str, **points: float | None) -> Graded:
    """Return a submission with full points but for the cells that are named; None waits."""
    name, cells = CELLS[unit.unit]
    given = {cell: points.get(cell.replace("-", "_"), most) for cell, most in cells.items()}
    results = tuple(
        CellResult(name, cell, value, cells[cell], _verdict(value, cells[cell]))
        for cell, value in given.items()
    )
    waits = None in given.values()
    run = GradedNotebook(name, unit.notebooks[0].sealed, results)
    return Graded(student, unit.unit, Status.NEEDS_MANUAL if waits else Status.GRADED, (run,))


def _verdict(points: float | None, most: float) -> Verdict:
    if points is None:
        return Verdict.MANUAL
    return Verdict.PASSED if points == most else Verdict.FAILED


def broken(unit: Assignment, student: str) -> Graded:
    """Return a submission on whose first test the grader failed."""
    name, cells = CELLS[unit.unit]
    first = next(iter(cells))
    results = tuple(
        CellResult(name, cell, None, most, Verdict.BROKEN, 0, "ours")
        if cell == first
        else CellResult(name, cell, most, most, Verdict.PASSED)
        for cell, most in cells.items()
    )
    run = GradedNotebook(name, unit.notebooks[0].sealed, results, evidence=(HALF,))
    return Graded(student, unit.unit, Status.BROKEN, (run,), ("the grader failed",))


@pytest.fixture(scope="module")
def room(
    tmp_path_factory: pytest.TempPathFactory, keep: Callable[[Classroom], Classroom]
) -> Classroom:
    """A class in which everything happens once."""
    classroom = keep(Classroom(tmp_path_factory.mktemp("rooms") / "autumn"))
    course = load_course(COURSE)
    adding = classroom.assignment(ADDING, course)
    doubling = classroom.assignment(DOUBLING, course)
    with Database(classroom.database, "cnn-course") as database:
        database.update_or_create_assignment(ADDING, duedate=datetime(2025, 1, 10, 12))
        database.add_student("ada", first_name="Ada", last_name="Lovelace", email="ada@uni.example")
        database.add_student("never", lms_user_id="1009")
    stamps = {"ada": "2025-01-09 10:00:00.500", "late": "2025-01-12 10:00:00"}
    gradebook = Gradebook(classroom)
    for one in (
        graded(adding, "ada"),
        graded(adding, "bea", add_tests=2 / 3, add_arrays=0.0, why_commutes=0.0),
        graded(adding, "cem", why_commutes=None),
        broken(adding, "dan"),
        graded(adding, "late", why_commutes=0.0),
        graded(adding, ZOE, add_arrays=0.0),
        graded(adding, "李小龙", add_tests=0.0),
        graded(adding, EVIL),
        graded(doubling, "ada"),
        graded(doubling, "bea", double_tests=0.0),
    ):
        folder = classroom.submitted(one.student, one.unit)
        folder.mkdir(parents=True)
        if one.student in stamps:
            receive(classroom, one.student, one.unit, stamps[one.student])
        gradebook.store(adding if one.unit == ADDING else doubling, one)
    classroom.submitted("fresh", ADDING).mkdir(parents=True)
    with Database(classroom.database, "cnn-course") as database:
        [notebook] = database.find_submission(ADDING, "late").notebooks
        notebook.late_submission_penalty = 4.0  # more than the 3 points that were earned
        database.find_submission(ADDING, "ada").extension = timedelta(hours=1)
        database.db.commit()
    return classroom


SCORES = {"ada": 5, "bea": 0.66667, "late": 0, ZOE: 4, "李小龙": 3, EVIL: 5}
HELD = {"cem", "dan", "fresh"}


class Result(NamedTuple):
    """Exit code, what was said, and the file."""

    code: int
    out: str
    err: str
    path: Path

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    def rows(self, delimiter: str = ",") -> list[list[str]]:
        """The table as a strict reader has it."""
        text = self.content.decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


Export = Callable[..., Result]


@pytest.fixture
def export(
    room: Classroom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Export:
    """Run ``grader export --to ...`` as a person does."""
    monkeypatch.setattr(cli.out, "_width", 500)
    monkeypatch.setattr(cli.err, "_width", 500)

    def run(to: str, *arguments: object, root: Path = room.root) -> Result:
        path = tmp_path / f"out.{to}"
        line = ["grader", "export", "--to", to, "--class", root, *arguments]
        if root == room.root:  # a copy has its own place for it
            line += ["--out", path] if "--out" not in arguments else []
        else:
            path = Classroom(root).grades(to)
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Result(int(end.value.code or 0), *capsys.readouterr(), path)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file that a teacher has."""

    def write(content: str | bytes, name: str = "template.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


File = Callable[..., Path]


def copied(room: Classroom, tmp_path: Path) -> Classroom:
    """Return a copy of the class that a test may change."""
    shutil.copytree(room.root, tmp_path / "copy")
    url = sa.make_url(room.database)
    if url.get_backend_name() == "postgresql":
        name = f"{url.database}_{tmp_path.name}"
        engine = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            made = sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{url.database}"')
            connection.execute(made)
        engine.dispose()
        config = tmp_path / "copy" / "nbgrader_config.py"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace(f"/{url.database}?", f"/{name}?"), encoding="utf-8")
    return Classroom(tmp_path / "copy")


def changed(before: str, after: Result, delimiter: str = ",") -> dict[tuple[str, str], str]:
    """Return {(first field of the row, column): new value} of all that is not as it was."""
    opened = io.StringIO(before.removeprefix("\ufeff"), newline="")
    old = list(csv.reader(opened, delimiter=delimiter))
    new = after.rows(delimiter)
    assert [len(row) for row in new] == [len(row) for row in old]
    assert new[0] == old[0]
    return {
        (theirs[0], old[0][place]): value
        for theirs, ours in zip(old, new, strict=True)
        for place, value in enumerate(ours)
        if value != theirs[place]
    }


# ---- Canvas ---------------------------------------------------------------------------------

CANVAS = (CASES / "export" / "canvas.csv").read_text(encoding="utf-8")
CANVAS = CANVAS.replace('E""\nve', 'E""\r\nve')  # a line end within a field stays what it is
HEAD = CANVAS.splitlines()[0]
COLUMN = "01-adding (12345)"
BEA = "student,SIS Login ID\nbea,bea@uni.example\n"
FILLED = {
    ("Lovelace, Ada", COLUMN): "5",
    ("Braun, Bea", COLUMN): "0.66667",
    ('="Late"', COLUMN): "0",
    ("Zoe, Zoe", COLUMN): "4",
    ("Li, 小龙", COLUMN): "3",
    ('Evil, "E"\r\nve', COLUMN): "5",
}


def test_canvas_s_own_export_is_filled_in_and_nothing_else_of_it_changes(
    export: Export, file: File
) -> None:
    """The penalty of `late` is larger than the score; `cem` waits, `dan` is broken."""
    template, roster = file(CANVAS), file(BEA, "roster.csv")
    done = export("canvas", ADDING, "--template", template, "--roster", roster)
    assert done.code == 0, done.err
    assert changed(CANVAS, done) == FILLED
    assert "(6 scores)" in done.out
    assert "cem: 01-adding waits for a person (why_commutes)" in done.err
    assert "dan: 01-adding the grader failed on it (add-tests)" in done.err
    assert "fresh: 01-adding was handed in and is not graded yet" in done.err
    assert "never" not in done.err


def test_a_file_keeps_its_mark_its_line_ends_and_its_delimiter(export: Export, file: File) -> None:
    text = CANVAS.replace("\r\n", "").replace("\n", "\r\n").replace(",", ";")
    text = re.sub(r"(\d)\.(\d)", r"\1,\2", text).replace("BEA@uni.example", "bea")
    done = export("canvas", ADDING, "--template", file("\ufeff" + text))
    assert done.code == 0, done.err
    assert done.content.startswith("\ufeffStudent;ID;".encode())
    assert done.content.count(b"\r\n") == done.content.count(b"\n") == text.count("\r\n")
    assert changed(text, done, ";")["Braun; Bea", COLUMN] == "0,66667"

    plain = export("canvas", ADDING, "--template", file(CANVAS), "--roster", file(BEA, "r.csv"))
    assert plain.content.startswith(b"Student,ID,")
    assert b"\r\n" not in plain.content.replace(b'"Evil, ""E""\r\nve"', b"")


@pytest.mark.parametrize("sign", [".", ","])
def test_the_decimal_sign_is_that_of_the_file(export: Export, file: File, sign: str) -> None:
    """English Moodle reads 12,5 as 12; where numbers are there, they tell and not the delimiter."""
    text = CANVAS.replace(",", ";").replace("5.00", f"5{sign}00").replace("1.00", f"1{sign}00")
    text = text.replace("2.00", "2").replace("3.50", "3").replace("BEA@uni.example", "bea")
    done = export("canvas", ADDING, "--template", file(text))
    assert changed(text, done, ";")["Braun; Bea", COLUMN] == f"0{sign}66667"


def test_without_numbers_a_semicolon_tells_of_a_decimal_comma(export: Export, file: File) -> None:
    text = re.sub(r"(\d)\.\d+", r"\1", CANVAS).replace("BEA@uni.example", "bea")
    text = text.replace(",", ";")
    done = export("canvas", ADDING, "--template", file(text))
    assert changed(text, done, ";")["Braun; Bea", COLUMN] == "0,66667"


def test_no_sum_of_canvas_s_is_an_assignment(export: Export, file: File) -> None:
    arguments = ["--template", file(CANVAS), "--column", "01-adding=Current Score"]
    refused = export("canvas", ADDING, *arguments)
    assert refused.code == 2
    assert "no assignment Current Score there" in refused.err


@pytest.mark.parametrize("title", ["01-ADDING (12345)", "01-adding", "Homework 1 (12345)"])
def test_an_assignment_is_found_by_its_name(export: Export, file: File, title: str) -> None:
    text = CANVAS.replace(COLUMN, title)
    arguments = ["--template", file(text), "--roster", file(BEA, "r.csv")]
    if "Homework" in title:
        refused = export("canvas", ADDING, *arguments)
        assert refused.code == 2
        assert '01-adding: no assignment 01-adding there. See also --column "01-adding=NAME"' in (
            refused.err
        )
        assert not refused.path.exists()
        arguments += ["--column", "01-adding=Homework 1"]
    done = export("canvas", ADDING, *arguments)
    assert done.code == 0, done.err
    assert len(changed(text, done)) == len(FILLED)


def test_a_unit_without_a_column_is_said_with_the_nearest_name(export: Export, file: File) -> None:
    text = CANVAS.replace("Essay (900)", "02-dubling (900)")
    done = export("canvas", "--template", file(text), "--roster", file(BEA, "r.csv"))
    assert done.code == 1
    assert "02-doubling: no assignment 02-doubling there. Did you mean 02-dubling?" in done.err
    assert changed(text, done) == FILLED


def test_two_assignments_of_one_name_are_told_apart_by_their_number(
    export: Export, file: File
) -> None:
    text = CANVAS.replace("Essay (900)", "01-adding (900)").replace("10.00", "5.00")
    arguments = ["--template", file(text), "--roster", file(BEA, "r.csv")]
    refused = export("canvas", ADDING, *arguments)
    assert refused.code == 2
    assert "01-adding (900) and 01-adding (12345)" in refused.err
    done = export("canvas", ADDING, *arguments, "--column", "01-adding=01-adding (12345)")
    assert changed(text, done) == FILLED
    both = ["--column", "01-adding=01-adding (900)", "--column", "02-doubling=01-adding (900)"]
    assert "two units cannot both be" in export("canvas", *arguments, *both).err


def test_whoever_cannot_be_placed_is_named_and_the_rest_is_written(
    export: Export, file: File
) -> None:
    """The roster's word is the last one: nobody else is taken who is called like the folder."""
    text = CANVAS.replace(",ada,", ",bob,").replace(",cem,", ",adam,")
    roster = file("student,SIS Login ID\nbea,bea@uni.example\n李小龙,li\n", "roster.csv")
    done = export("canvas", ADDING, "--template", file(text), "--roster", roster)
    assert done.code == 1
    assert "ada: not found in" in done.err
    assert "template.csv. Did you mean adam?" in done.err
    assert "cem: not found in" in done.err  # waits, and will need a place
    assert "李小龙: not found in" in done.err
    assert "as li." in done.err
    placed = {place: value for place, value in FILLED.items() if place[0] not in (
        "Lovelace, Ada", "Li, 小龙")}  # fmt: skip
    assert changed(text, done) == placed


def test_a_student_who_may_be_two_and_two_who_are_one_are_not_placed(
    export: Export, file: File
) -> None:
    text = CANVAS.replace("S11,kept", "ada,kept").replace("BEA@uni.example", "bea")
    done = export("canvas", ADDING, "--template", file(text))
    assert "ada: may be any of 2 rows" in done.err
    assert done.code == 1
    assert ("Lovelace, Ada", COLUMN) not in changed(text, done)

    both = file("student,SIS Login ID\nbea,bea\nada,bea\n", "both.csv")
    done = export("canvas", ADDING, "--template", file(text), "--roster", both)
    assert done.err.count("ada and bea are the same row") == 2
    assert {place for place, _ in changed(text, done)}.isdisjoint({"Braun, Bea", "Lovelace, Ada"})


def test_a_folder_may_be_called_by_a_system_s_name_and_number_together(
    room: Classroom, tmp_path: Path, export: Export, file: File
) -> None:
    """So it is collected without a roster; a number alone may be anything."""
    own = copied(room, tmp_path)
    unit = own.assignment(DOUBLING, load_course(COURSE))
    for student in ("lovelaceada-1001", "Braun-1002", "Bea-102", "Ada-102", "Li小龙-1007"):
        Gradebook(own).store(unit, graded(unit, student))
    text = CANVAS.replace("Essay (900)", "02-doubling (900)").replace("10.00", "1.00")
    text = text.replace(",ada,", ",x,")
    done = export("canvas", DOUBLING, "--template", file(text), root=own.root)
    assert changed(text, done) == {
        ("Lovelace, Ada", "02-doubling (900)"): "1",
        ("Li, 小龙", "02-doubling (900)"): "1",
    }
    assert "Braun-1002: not found" in done.err
    worksheet = MOODLE.replace("5.00", "1.00")
    done = export("moodle", DOUBLING, "--template", file(worksheet), root=own.root)
    grades = {("Participant 101", "Grade"): "1", ("Participant 102", "Grade"): "1"}
    assert changed(worksheet, done) == {**grades}
    assert "Ada-102: not found" in done.err


def test_the_case_of_a_login_counts_only_where_two_differ_in_nothing_else(
    export: Export, file: File
) -> None:
    text = CANVAS.replace("S11,kept", "S11,ADA").replace("BEA@uni.example", "bea")
    done = export("canvas", ADDING, "--template", file(text))
    assert done.code == 0, done.err
    assert changed(text, done)["Lovelace, Ada", COLUMN] == "5"
    assert ("Kept, K", COLUMN) not in changed(text, done)


def test_who_is_excused_or_was_not_assigned_it_stays_so(export: Export, file: File) -> None:
    text = CANVAS.replace("=1+1,,90", "=1+1,EX,90").replace("-,1.00", "-,N/A")
    done = export("canvas", ADDING, "--template", file(text), "--roster", file(BEA, "r.csv"))
    assert done.code == 1
    assert "ada: is excused in Canvas (EX): 01-adding" in done.err
    assert "bea: was not assigned it in Canvas (N/A): 01-adding" in done.err
    assert len(changed(text, done)) == len(FILLED) - 2


def test_zeros_are_written_where_nothing_was_handed_in_and_nothing_else_stands(
    export: Export, file: File
) -> None:
    arguments = [ADDING, "--template", file(CANVAS), "--missing-as-zero"]
    done = export("canvas", *arguments, "--roster", file(BEA, "roster.csv"))
    zeros = {("Never, N", COLUMN): "0", ("Student, Test", COLUMN): "0"}
    assert changed(CANVAS, done) == FILLED | zeros

    # An assignment without points: the rows above the students' are no students.
    text = CANVAS.replace("10.00,5.00", "10.00,").replace(",,Manual Posting", ",Manual Posting,")
    arguments[2] = file(text)
    done = export("canvas", *arguments, "--roster", file(BEA, "roster.csv"))
    assert changed(text, done) == FILLED | zeros

    arguments[2] = file(CANVAS)
    done = export("canvas", *arguments)  # bea is not found, so an empty row may be hers
    assert done.code == 1
    assert "01-adding: no zeros were written" in done.err
    assert not zeros.keys() & changed(CANVAS, done).keys()


def test_a_score_that_waits_is_written_when_asked_for_and_a_broken_one_never(
    export: Export, file: File
) -> None:
    arguments = ["--template", file(CANVAS), "--roster", file(BEA, "roster.csv")]
    done = export("canvas", ADDING, *arguments, "--include-waiting")
    assert changed(CANVAS, done) == FILLED | {("Cem, Cem", COLUMN): "3"}
    assert "cem" not in done.err
    assert "dan: 01-adding the grader failed on it" in done.err


def test_what_a_person_decided_is_a_score_though_the_grader_failed(
    room: Classroom, tmp_path: Path, export: Export, file: File
) -> None:
    own = copied(room, tmp_path)
    with Database(own.database, "cnn-course") as database:
        grade = database.find_grade("add-tests", "adding", ADDING, "dan")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 1.5, 1.0, False
        database.db.commit()
    arguments = ["--template", file(CANVAS), "--roster", file(BEA, "roster.csv")]
    done = export("canvas", ADDING, *arguments, root=own.root)
    assert changed(CANVAS, done) == FILLED | {("Dan, Dan", COLUMN): "5.5"}
    assert "dan" not in done.err


@pytest.mark.parametrize("to", ["canvas", "moodle"])
def test_a_unit_that_is_worth_something_else_there_is_converted_only_when_asked(
    export: Export, file: File, to: str
) -> None:
    text = (CANVAS if to == "canvas" else MOODLE).replace("5.00", "100.00")
    roster = BEA if to == "canvas" else LIST
    arguments = [ADDING, "--template", file(text), "--roster", file(roster, "roster.csv")]
    refused = export(to, *arguments)
    assert refused.code == 2
    assert "01-adding has 5 points, and 100 in" in refused.err
    assert not refused.path.exists()
    values = changed(text, export(to, *arguments, "--scale")).values()
    assert sorted(values) == ["0", "100", "100", "13.33333", "60", "80"]
    nothing = [*arguments[:2], file(text.replace("100.00", "0.00")), *arguments[3:], "--scale"]
    assert "that cannot be converted" in export(to, *nothing).err


def test_a_file_for_canvas_is_made_of_a_roster(export: Export, file: File) -> None:
    roster = file(
        "student;SIS Login ID;name;Section\nada;ada@uni;Lovelace, Ada;\ncem;cem@uni;;\n"
        "bea;@bea;=SUM(1);-1\nnever;never@uni;N. Never;\nzoë;z;;\n",
        "roster.csv",
    )
    done = export("canvas", "--roster", roster)
    assert not done.content.startswith(b"\xef\xbb\xbf")
    assert done.rows() == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", ADDING, DOUBLING],
        ["    Points Possible", "", "", "", "", "5", "1"],
        ["Lovelace, Ada", "", "", "ada@uni", "", "5", "1"],
        ["'=SUM(1)", "", "", "'@bea", "'-1", "0.66667", "0"],
        [ZOE, "", "", "z", "", "4", ""],
    ]
    assert done.code == 1
    assert "late: no SIS Login ID, SIS User ID or ID of theirs is known" in done.err
    zeros = export("canvas", "--roster", roster, "--missing-as-zero").rows()
    assert ["N. Never", "", "", "never@uni", "", "0", "0"] in zeros
    assert ["cem", "", "", "cem@uni", "", "", "0"] in zeros
    refused = export("canvas")
    assert refused.code == 2
    assert "Canvas needs --template" in refused.err


# ---- Moodle ---------------------------------------------------------------------------------

MOODLE = (CASES / "export" / "moodle.csv").read_text(encoding="utf-8")
LIST = "student,email,identifier\nbea,bea@uni.example,\n李小龙,,107\n"
GRADES = {
    ("Participant 101", "Grade"): "5",
    ("Participant 102", "Grade"): "0.66667",
    ("Participant 105", "Grade"): "0",
    ("Participant 106", "Grade"): "4",
    ("Participant 107", "Grade"): "3",
    ("Participant 108", "Grade"): "5",
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_moodle_s_worksheet_is_filled_in_and_nothing_else_of_it_changes(
    export: Export, file: File, delimiter: str
) -> None:
    """The gradebook has ada's address, the roster bea's, and the number of 李小龙."""
    buffer = io.StringIO()
    rows = csv.reader(io.StringIO(MOODLE, newline=""))
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    text = buffer.getvalue()
    if delimiter == ";":
        text = text.replace("5.00", "5,00").replace("1.00", "1,00")
    done = export(
        "moodle", ADDING, "--template", file("\ufeff" + text), "--roster", file(LIST, "r.csv")
    )
    assert done.code == 0, done.err
    expected = dict(GRADES)
    if delimiter == ";":
        expected["Participant 102", "Grade"] = "0,66667"
    assert changed(text, done, delimiter) == expected
    assert done.content.startswith(b"\xef\xbb\xbfIdentifier")


def test_what_moodle_would_pass_over_in_silence_is_said(
    room: Classroom, tmp_path: Path, export: Export, file: File
) -> None:
    own = copied(room, tmp_path)
    with Database(own.database, "cnn-course") as database:
        database.find_grade("add-tests", "adding", ADDING, "ada").extra_credit = 1.0
        database.db.commit()
    text = MOODLE.replace("1.00,5.00,Yes", "1.00,5.00,No")
    arguments = ["--template", file(text), "--roster", file(LIST, "roster.csv")]
    done = export("moodle", ADDING, *arguments, root=own.root)
    assert done.code == 1
    assert "ada: has 6 of 5, and Moodle passes over what is more: 01-adding" in done.err
    assert "bea: has a grade that Moodle does not let change: 01-adding" in done.err
    assert len(changed(text, done)) == len(GRADES) - 2


def test_a_worksheet_is_of_one_unit_and_has_points(export: Export, file: File) -> None:
    for arguments, text, said in (
        ((), MOODLE, "name one of 01-adding, 02-doubling"),
        ((ADDING,), MOODLE.replace('"Maximum Grade"', "Scale"), "has no points"),
        ((ADDING,), MOODLE.replace("1.00,5.00", "1.00,6.00"), "Maximum Grade is not one number"),
        ((ADDING,), MOODLE.replace("Grade,", "Bewertung,", 1), "no column Grade"),
        ((ADDING,), MOODLE.replace("Identifier", "ID"), "switch Moodle to English"),
        ((ADDING,), MOODLE.splitlines()[0], "lists no students"),
    ):
        refused = export("moodle", *arguments, "--template", file(text))
        assert refused.code == 2
        assert said in refused.err


def test_a_file_for_moodle_s_gradebook_is_made_without_a_worksheet(
    export: Export, file: File
) -> None:
    done = export("moodle")
    assert done.code == 0, done.err
    assert done.content.startswith(b"\xef\xbb\xbf")  # Moodle removes it, Excel needs it
    assert done.rows() == [
        ["Username", ADDING, DOUBLING],
        [f"'{EVIL}", "5", ""],
        ["ada", "5", "1"],
        ["bea", "0.66667", "0"],
        ["late", "0", ""],
        [ZOE, "4", ""],
        ["李小龙", "3", ""],
    ]
    roster = file("student,email\nada,ada@uni.example\n李小龙,li@uni.example\n", "roster.csv")
    done = export("moodle", ADDING, "--roster", roster, "--column", "01-adding=Adding")
    assert done.rows() == [
        ["Email address", "Adding"],
        ["ada@uni.example", "5"],
        ["li@uni.example", "3"],
    ]
    assert done.code == 1
    assert "bea: no Email address of theirs is known" in done.err


# ---- files that people bring ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (CANVAS.replace("Braun", "Bräun").replace("Li, 小龙", "L").replace("ZOË", "z")
         .replace("李小龙", "l").encode("cp1252"), "line 5 is not UTF-8: save it as"),
        (CANVAS.encode("utf-16"), "is UTF-16 and not UTF-8: save it as"),
        (CANVAS.encode("utf-16-le"), "is UTF-16 and not UTF-8: save it as"),
        (b"PK\x03\x04\x14", "is a spreadsheet and not CSV"),
        (CANVAS.replace("Lab 2\"", "Lab 2"), "is not a CSV file that can be read"),
        (f'{HEAD}\n"a"b,1\n', "is not a CSV file that can be read"),
        (f"{HEAD}\n{'x' * 200_000}\n", "is not a CSV file that can be read"),
        (f"{HEAD}\nLovelace, Ada,1,2,3,4,5,6,7,8\n", "line 2: 10 fields below a head of 9"),
        (HEAD, "lists no students"),
        ("a,b\n1,2\n", "is no gradebook of Canvas's: it has no column ID"),
        (CANVAS.replace("SIS User ID", "SIS Login ID"), "more than one column SIS Login ID"),
        (CANVAS.replace(",1002,", ",1001,"), "has ID 1001 in two rows"),
        (CANVAS.replace(",cem,", ",ada,"), "has SIS Login ID ada in two rows"),
        (CANVAS.replace("10.00,5.00", "10.00,(read only)"), "nobody may write into 01-adding"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_worked_with_is_refused_with_the_reason(
    export: Export, file: File, content: str | bytes, said: str
) -> None:
    refused = export("canvas", ADDING, "--template", file(content))
    assert refused.code == 2
    assert said in refused.err
    assert not refused.path.exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_login_may_be_an_address(export: Export, file: File, encoding: str) -> None:
    roster = file("student,email\nbea,bea@uni.example\n".encode(encoding), "roster.csv")
    done = export("canvas", ADDING, "--template", file(CANVAS), "--roster", roster)
    assert changed(CANVAS, done) == FILLED


def test_one_roster_serves_both_systems(export: Export, file: File) -> None:
    """Each system has a number of its own; nbgrader's list of students has one for both."""
    text = "id,Canvas ID,Moodle ID,lms_user_id\nbea,1002,Participant 102,\n李小龙,,,1007\n"
    roster = file(text, "roster.csv")
    done = export("canvas", ADDING, "--template", file(CANVAS), "--roster", roster)
    assert changed(CANVAS, done) == FILLED
    worksheet = MOODLE.replace("Participant 107", "Participant 1007")
    done = export("moodle", ADDING, "--template", file(worksheet), "--roster", roster)
    assert sorted(changed(worksheet, done).values()) == sorted(GRADES.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("login,email\nada,a@b\n", "has no column student"),
        ("student,email\nada,a@b\nada,c@d\n", "has ada twice"),
        ("student,email,E-Mail\nada,a,b\n", "more than one column email"),
        ("student,email\nädä,a@b\n".encode("cp1252"), "line 2 is not UTF-8"),
    ],
)
def test_so_is_such_a_roster(export: Export, file: File, content: str | bytes, said: str) -> None:
    refused = export("moodle", "--roster", file(content))
    assert refused.code == 2
    assert said in refused.err


def test_what_is_named_must_exist_and_must_have_an_effect(
    export: Export, file: File, tmp_path: Path
) -> None:
    template = file(CANVAS)
    for to, arguments, said in (
        ("canvas", ["01-addin"], 'no unit "01-addin" was graded. Did you mean 01-adding?'),
        ("canvas", ["--column", "x=y"], 'no unit "x" was graded.'),
        ("canvas", ["--column", "x"], "write UNIT=NAME"),
        ("canvas", ["--template", tmp_path / "none.csv"], "no file"),
        ("json", ["--template", template], "--template is for canvas and moodle"),
        ("nbgrader", ["--roster", template], "--roster is for canvas and moodle"),
        ("nbgrader", ["--missing-as-zero"], "a zero for what was not handed in in any case"),
        ("canvas", ["--scale"], "--scale needs a --template"),
        ("json", ["--class", tmp_path / "none"], "is not a class folder"),
        ("json", ["--out", tmp_path], "is not a file"),
        ("json", ["--out", tmp_path / "none" / "x.json"], "cannot be written: No such file"),
    ):
        refused = export(to, *arguments)
        assert refused.code == 2
        assert said in refused.err
    assert not (tmp_path / "none").exists()
    empty = Classroom(tmp_path / "empty")
    assert "nothing has been graded" in export("json", root=empty.root).err
    (empty.root / "gradebook.db").write_bytes(b"no database at all" * 100)
    refused = export("json", root=empty.root)
    assert refused.code == 2
    assert "gradebook.db cannot be used: file is not a database" in refused.err


def test_a_file_is_replaced_in_one_step(
    export: Export, file: File, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = export("json").content

    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as half:
            half.write(content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        refused = export("json", "--include-waiting")
    assert refused.code == 2
    assert "cannot be written: No space left on device" in refused.err
    assert refused.content == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_field_is_read_as_it_was_written() -> None:
    fields = ["a\rb", "a\nb", 'a"b', "a,b", "a;b", " a ", "", "é"]
    for delimiter in sheets.DELIMITERS:
        line = sheets.line(fields, delimiter)
        [row] = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)
        assert row == fields


@pytest.mark.parametrize("text", ["=1", "+1", "-1.5", "@a", "\ta", "\ra"])
def test_a_text_that_a_spreadsheet_would_compute_stays_a_text(text: str) -> None:
    assert sheets.safe(text) == f"'{text}"
    assert sheets.safe(-1.5) == "-1.5"  # a number is one


# ---- nbgrader and JSON ----------------------------------------------------------------------


def test_for_nbgrader_it_is_nbgrader_s_export_without_scores_that_are_none(
    room: Classroom, export: Export, tmp_path: Path
) -> None:
    done = export("nbgrader")
    with Database(room.database, "cnn-course") as database:
        QuotedCsvExport(to=str(tmp_path / "theirs.csv")).export(database)
    with (tmp_path / "theirs.csv").open(encoding="utf-8", newline="") as opened:
        theirs = list(csv.DictReader(opened))
    ours = list(csv.DictReader(io.StringIO(done.content.decode(), newline="")))
    for row in theirs:
        if row["student_id"] in HELD and row["assignment"] == ADDING:
            row |= {"raw_score": "", "score": ""}
    assert ours == theirs
    by_student = {row["student_id"]: row for row in ours if row["assignment"] == ADDING}
    assert by_student["late"]["raw_score"] == "3.0"
    assert by_student["late"]["score"] == "0.0"
    assert by_student["cem"]["score"] == ""
    assert by_student["never"]["score"] == "0.0"
    assert f"'{EVIL}" in by_student
    one = export("nbgrader", DOUBLING, "--include-waiting").rows()
    assert {row[0] for row in one[1:]} == {DOUBLING}


def test_json_holds_all_that_is_known(export: Export) -> None:
    done = export("json")
    found = json.loads(done.content)
    assert (found["format"], found["class"]) == (1, "autumn")
    assert found["units"] == [
        {"unit": ADDING, "max": 5.0, "due": "2025-01-10T12:00:00Z"},
        {"unit": DOUBLING, "max": 1.0, "due": None},
    ]
    people = {one["student"]: one for one in found["students"]}
    assert list(people) == sorted(people)
    assert people["ada"]["email"] == "ada@uni.example"
    units = {name: {u["unit"]: u for u in one["units"]} for name, one in people.items()}
    states = {name: unit[ADDING]["state"] for name, unit in units.items()}
    assert states == dict.fromkeys(SCORES, "final") | {
        "cem": "waiting",
        "dan": "broken",
        "fresh": "ungraded",
        "never": "missing",
    }
    for name, unit in units.items():
        score = unit[ADDING]["score"]
        assert score == (pytest.approx(SCORES[name], abs=1e-5) if name in SCORES else None)
        assert (unit[ADDING]["raw"] is None) == (score is None)
    ada, late, dan = (units[name][ADDING] for name in ("ada", "late", "dan"))
    assert (ada["handed_in"], ada["due"]) == ("2025-01-09T10:00:00Z", "2025-01-10T13:00:00Z")
    assert (late["raw"], late["penalty"], late["score"], late["max"]) == (3, 4, 0, 5)
    assert ada["status"] == "graded"
    assert (dan["notes"], dan["evidence"]) == (["the grader failed"], [HALF])
    cells = {cell["cell"]: cell for cell in dan["cells"]}
    assert list(cells) == sorted(cells)
    assert cells["add-tests"] == {
        "notebook": "adding",
        "cell": "add-tests",
        "points": None,
        "max": 2.0,
        "auto": None,
        "manual": None,
        "extra": 0.0,
        "waiting": True,
        "exercise": "add-tests",
        "verdict": "broken",
        "message": "ours",
        "misconceptions": [],
        "hints": [],
    }
    assert units["never"][ADDING]["cells"] == []
    zeros = json.loads(export("json", "--missing-as-zero").content)
    scores = {one["student"]: one["units"][0]["score"] for one in zeros["students"]}
    assert (scores["never"], scores["fresh"], scores["cem"]) == (0, None, None)
    waiting = json.loads(export("json", "--include-waiting").content)
    scores = {one["student"]: one["units"][0]["score"] for one in waiting["students"]}
    assert (scores["cem"], scores["dan"]) == (3, None)


def test_a_unit_that_nbgrader_alone_has_graded_is_exported_too(
    room: Classroom, tmp_path: Path, export: Export
) -> None:
    own = copied(room, tmp_path)
    own.record("ada", ADDING).unlink()
    own.record("cem", ADDING).write_text("[", encoding="utf-8")
    people = json.loads(export("json", root=own.root).content)["students"]
    units = {one["student"]: one["units"][0] for one in people}
    assert (units["ada"]["score"], units["ada"]["status"]) == (5, None)
    assert (units["cem"]["score"], units["cem"]["state"]) == (None, "waiting")


@pytest.mark.parametrize("to", ["json", "nbgrader", "moodle"])
def test_two_exports_of_one_gradebook_are_the_same_file(export: Export, to: str) -> None:
    def both() -> tuple[bytes, bytes]:
        done = export(to, ADDING, "--feedback")
        return done.content, done.path.with_name("out-feedback.zip").read_bytes()

    assert both() == both()


# ---- feedback -------------------------------------------------------------------------------


def pages(done: Result) -> dict[str, bytes]:
    """Return what is in the zip beside the grades."""
    with zipfile.ZipFile(done.path.with_name("out-feedback.zip")) as archive:
        assert archive.testzip() is None
        assert {one.date_time[0] for one in archive.infolist()} == {1980}  # as if without a time
        return {name: archive.read(name) for name in archive.namelist()}


def test_feedback_goes_with_the_scores_that_are_written(
    room: Classroom, tmp_path: Path, export: Export
) -> None:
    done = export("json", "--feedback")
    found = pages(done)
    assert set(found) == {
        *(f"{student}/{ADDING}/adding.html" for student in SCORES),
        f"ada/{DOUBLING}/doubling.html",
        f"bea/{DOUBLING}/doubling.html",
    }
    page = room.feedback("ada", ADDING) / "adding.html"
    assert found[f"ada/{ADDING}/adding.html"] == page.read_bytes()
    assert "(8 pages)" in done.out
    own = copied(room, tmp_path)
    export("moodle", ADDING, "--feedback", root=own.root)
    export("json", "--feedback", root=own.root)
    made = {path.name for path in own.root.glob("grades*")}
    assert made == {
        *("grades-moodle.csv", "grades-moodle-feedback.zip"),
        *("grades.json", "grades-feedback.zip"),
    }
    assert f"cem/{ADDING}/adding.html" in pages(export("json", "--feedback", "--include-waiting"))


def test_feedback_for_moodle_is_in_folders_that_moodle_takes_apart(
    export: Export, file: File
) -> None:
    """Moodle splits a folder's name at its first four underscores: a name must hold none."""
    roster = file(LIST, "roster.csv")
    arguments = ["--template", file(MOODLE), "--roster", roster, "--feedback"]
    names = set(pages(export("moodle", ADDING, *arguments)))
    assert names == {
        f"{name}_{number}_assignsubmission_file_/adding.html"
        for name, number in (
            ("Ada Lovelace A.", 101),
            ("Bea", 102),
            ("Late", 105),
            ("Zoë", 106),
            ("小龙", 107),
            ("Evil", 108),
        )
    }
    done = export("moodle", ADDING, "--template", file(MOODLE), "--feedback")
    assert (done.err.count("bea"), len(pages(done))) == (1, 4)
    for name in names:
        _, number, plugin, kind, rest = name.split("/")[0].split("_", 4)
        assert number.isdecimal()
        assert (plugin, kind, rest) == ("assignsubmission", "file", "")


def test_without_a_worksheet_moodle_s_number_comes_from_the_roster(
    export: Export, file: File
) -> None:
    roster = file("student,username,identifier,name\nada,ada,Participant 101,Ada L.\nbea,bea,,\n")
    done = export("moodle", ADDING, "--roster", roster, "--feedback")
    assert set(pages(done)) == {"Ada L._101_assignsubmission_file_/adding.html"}
    assert "bea: no feedback, Moodle's number is not known" in done.err
    assert done.code == 1
    refused = export("moodle", "--roster", roster, "--feedback")
    assert refused.code == 2
    assert "one assignment at a time; name one of 01-adding, 02-doubling" in refused.err
