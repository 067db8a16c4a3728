"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from builders import COURSE, SOLVED, answered, hand_in

from grader import cli
from grader.classroom import Classroom
from grader.model import Assignment

HIDDEN = ("-40", "_hidden", "add: negative numbers", "math.fsum")


class Result(NamedTuple):
    """Exit code and what was written."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line as a person does, in a wide terminal."""
    monkeypatch.setattr(cli.out, "_width", 500)
    monkeypatch.setattr(cli.err, "_width", 500)

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Result(int(end.value.code or 0), *capsys.readouterr())

    return run


def test_a_class_is_graded_in_one_command(
    grader: Command, adding: Assignment, classroom: Classroom
) -> None:
    released = adding.notebooks[0].released
    evil = f"{SOLVED}\nfrom IPython.display import HTML\nHTML('<script>alert(1)</script>')"
    answers = {"ada": SOLVED, "bob": "def add(a, b):\n    return a - b", "eve": evil}
    for student, answer in answers.items():
        prose = "<script>alert(2)</script><img src=x onerror=alert(3)>"
        node = answered(released, add=answer, why_commutes=prose)
        hand_in(classroom, student, "01-adding", "adding", node)
    hand_in(classroom, "zoe", "01-adding", "adding", b"")

    done = grader("grade", "--class", classroom.root, "--solutions", COURSE, "--json")
    assert done.code == 0
    results = json.loads(done.out)
    assert [(r["student"], r["score"], r["max_score"], r["status"]) for r in results] == [
        ("ada", 3, 5, "needs_manual"),
        ("bob", 0, 5, "needs_manual"),
        ("eve", 3, 5, "needs_manual"),
        ("zoe", 0, 5, "unreadable"),
    ]
    assert results[0].keys() == {
        *(
            "student",
            "unit",
            "score",
            "max_score",
            "status",
            "notes",
            "seconds",
            "seed",
            "machine",
            "aside",
            "evidence",
            "cells",
        )
    }
    assert results[3]["notes"] == ["the file is empty"]

    for student in ("ada", "bob", "eve", "zoe"):
        path = classroom.feedback(student, "01-adding") / "adding.html"
        page = path.read_text(encoding="utf-8")
        for secret in HIDDEN:
            assert secret not in page, student
        for script in ("<script>alert", "onerror=alert"):
            assert script not in page, student

    table = grader("grade", "01-adding", "--class", classroom.root, "--solutions", COURSE)
    assert table.code == 0
    assert "unreadable" in table.out
    assert "the file" in table.out


def test_a_person_s_mistake_is_one_message_and_exit_code_2(
    grader: Command, classroom: Classroom
) -> None:
    grade = ("grade", "--class", classroom.root, "--solutions", COURSE)
    misspelt = grader(*grade, "01-addign")
    assert misspelt.code == 2
    assert 'Error: no unit "01-addign". Did you mean 01-adding?' in misspelt.err
    assert "Traceback" not in misspelt.err

    nowhere = grader("grade", "--class", classroom.root / "no", "--solutions", COURSE)
    assert nowhere.code == 2
    assert "is not a class folder" in nowhere.err

    assert "no folder" in grader(*grade, "--source", classroom.root / "no").err
    assert "no unit" in grader(*grade, "ps1", "--source", classroom.root).err
    assert grader("grade", "--no-such-option").code == 2
    assert grader("build", "--solutions", classroom.root).code == 2

    (classroom.root / "nbgrader_config.py").write_text("c = 1 / 0", encoding="utf-8")
    broken = grader(*grade, "01-adding")
    assert broken.code == 2
    assert "nbgrader_config.py: ZeroDivisionError" in broken.err


def test_a_mistake_in_a_lesson_names_file_and_line(grader: Command, tmp_path: Path) -> None:
    lesson = tmp_path / "01-x" / "x.py"
    lesson.parent.mkdir()
    lesson.write_text("# ---\n# jupyter:\n#   lesson:\n#     titel: x\n# ---\n", encoding="utf-8")
    done = grader("build", "--solutions", tmp_path)
    assert done.code == 2
    assert "x.py:4: unknown key 'titel' in the header. Did you mean title?" in done.err


def test_a_student_checks_a_notebook(grader: Command, adding: Assignment, tmp_path: Path) -> None:
    node = answered(adding.notebooks[0].released, add="def add(a, b):\n    return [5]")
    path = tmp_path / "adding.ipynb"
    path.write_text(json.dumps(node), encoding="utf-8")
    done = grader("try", path)
    assert done.code == 0
    assert "0 of 2 passed" in done.out
    assert "add(2, 3) is not 5" in done.out
    assert grader("try", tmp_path / "no.ipynb").code == 2
    path.write_text("<html>", encoding="utf-8")
    unreadable = grader("try", path)
    assert unreadable.code == 2
    assert "not a notebook" in unreadable.err
