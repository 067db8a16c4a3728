"""grade(assignment, submission): values in, values out, whatever was handed in."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import nbformat
import pytest
from builders import (
    QUICK,
    SOLVED,
    answered,
    assignment,
    cell,
    content,
    notebook,
    printed,
    source,
    submission,
)
from nbformat import NotebookNode

from grader.course import Course, variants
from grader.errors import SubmissionError
from grader.grade import grade, try_out
from grader.model import Assignment, Graded, Status, Submission, Verdict

TEST = cell("assert add(1, 2) == 3", "add-tests", points=2)
ANSWER = cell("def add(a, b):\n    raise NotImplementedError()", "add", solution=True)
SOLUTION = cell(SOLVED, "add", solution=True)


def mark(unit: Assignment, **answers: str) -> Graded:
    """Grade a submission of 01-adding in which these cells were answered."""
    node = answered(unit.notebooks[0].released, **answers)
    return grade(unit, Submission("ada", unit.unit, (("adding", content(node)),)))


def verdicts(graded: Graded) -> dict[str, str]:
    return {result.grade_id: str(result.verdict) for result in graded.cells}


# ---- the traps ------------------------------------------------------------------------------


def test_a_notebook_that_died_early_earns_nothing_for_tests_that_did_not_run(
    adding: Assignment,
) -> None:
    graded = mark(adding, add=f"{SOLVED}\nimport os; os._exit(0)")
    assert (graded.score, graded.status) == (0, Status.GRADED)
    assert verdicts(graded)["add-tests"] == verdicts(graded)["add-arrays"] == "not_run"
    assert graded.cells[0].message == "not run: the kernel had died before"


def test_noise_costs_nothing_and_earns_nothing(adding: Assignment) -> None:
    noise = (
        "import sys, warnings\n"
        "def add(a, b):\n"
        "    warnings.warn('slow')\n"
        "    print('2.0', file=sys.stderr)\n"
        "    print(0.25)\n"
        "    return a + b"
    )
    graded = mark(adding, add=noise)
    assert graded.score == 3
    executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
    outputs = [out for c in executed.cells if "tests" in c.id for out in c.outputs]
    assert {out.name for out in outputs} == {"stdout"}


def test_an_error_before_the_tests_does_not_stop_them(adding: Assignment) -> None:
    graded = mark(adding, add=f"{SOLVED}\n1 / 0")
    assert graded.score == 3


@pytest.mark.parametrize("variant", ["subtracts", "numbers_only", "backwards"])
def test_a_variant_fails_exactly_the_tests_that_its_author_named(
    course: Course, adding: Assignment, variant: str
) -> None:
    [chosen] = [v for v in variants(course["01-adding"]) if v.name == variant]
    graded = mark(adding, add=chosen.source)
    failed = {name for name, verdict in verdicts(graded).items() if verdict == "failed"}
    assert failed - {"why_commutes"} == set(chosen.fails)


# ---- what a submission becomes --------------------------------------------------------------


def test_an_answer_for_a_person_is_announced(adding: Assignment) -> None:
    graded = mark(adding, add=SOLVED, why_commutes="Counting.")
    assert (graded.score, graded.max_score, graded.status) == (3, 5, Status.NEEDS_MANUAL)
    assert graded.cells[-1].points is None
    assert graded.notebooks[0].unanswered == ()


def test_a_release_that_was_handed_in_again_scores_nothing(adding: Assignment) -> None:
    graded = mark(adding)
    assert (graded.score, graded.status) == (0, Status.GRADED)
    assert [result.message for result in graded.cells] == [
        "not written yet",
        "not written yet",
        "No response.",
    ]
    assert graded.notebooks[0].unanswered == ("add", "why_commutes")


def test_a_lesson_of_ours_gets_its_parameters_and_is_not_told_more(adding: Assignment) -> None:
    look = f"{SOLVED}\nimport os\nprint(profile, seed, 'NBGRADER_EXECUTION' in os.environ)"
    node = nbformat.reads(mark(adding, add=look).notebooks[0].executed, as_version=4)
    texts = {c.id: printed(c) for c in node.cells if c.cell_type == "code"}
    assert texts["add"] == "quick 0 False\n"


def test_a_missing_notebook_costs_its_own_points_only() -> None:
    unit = assignment(source(ANSWER, TEST, name="one"), source(ANSWER, TEST, name="two"))
    graded = grade(unit, submission(two=notebook(SOLUTION, TEST)))
    assert [(r.notebook, r.points, r.verdict) for r in graded.cells] == [
        ("one", 0, Verdict.NOT_RUN),
        ("two", 2, Verdict.PASSED),
    ]
    assert graded.status is Status.GRADED
    assert graded.notes == ("one.ipynb was not handed in",)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>Log in</html>", "not a notebook: line 1, column 1: Expecting value"),
        (b'{"cells": 3}', "not a notebook: it has no list of cells"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_verdict_with_its_reason(file: bytes, reason: str) -> None:
    graded = grade(assignment(source(ANSWER, TEST)), submission(hw=file))
    assert (graded.status, graded.score, graded.max_score) == (Status.UNREADABLE, 0, 2)
    assert graded.notes == (reason,)
    assert graded.cells[0].message == reason
    executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
    assert reason in executed.cells[0].source


def test_a_broken_test_is_never_the_student_s_failure() -> None:
    wrong = cell("3 if add(1, 2) == 3 else 0", "add-tests", points=2)
    graded = grade(assignment(source(ANSWER, wrong)), submission(hw=notebook(SOLUTION, wrong)))
    assert (graded.status, graded.cells[0].points) == (Status.BROKEN, None)
    assert "the test returned 3" in graded.cells[0].message


def test_a_failure_of_the_grader_is_never_the_student_s_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> NotebookNode:
        raise OSError("no space left on device")

    monkeypatch.setattr("grader.engine.run", fail)
    graded = grade(assignment(source(ANSWER, TEST)), submission(hw=notebook(SOLUTION, TEST)))
    assert (graded.status, graded.cells[0].points) == (Status.BROKEN, None)
    assert "no space left on device" in graded.notes[0]
    assert "no space" not in graded.cells[0].message


# ---- files ----------------------------------------------------------------------------------


def test_support_files_are_there_and_small_files_that_are_written_come_back() -> None:
    code = cell(
        "import os\n"
        "print(open('data/in.txt').read())\n"
        "open('data/in.txt', 'w').write('changed')\n"
        "open('out.txt', 'w').write('mine')\n"
        "open('large.bin', 'wb').write(bytes(2_000_000))\n"
        "open('.hidden', 'w').write('x')\n"
        "os.symlink('/etc/passwd', 'link.txt'); os.symlink('/etc', 'links')\n"
        "os.mkfifo('pipe')\n",
        id="code",
    )
    unit = assignment(source(code, TEST), files=(("data/in.txt", b"given"),))
    graded = grade(unit, submission(hw=notebook(code, TEST)))
    executed = nbformat.reads(graded.notebooks[0].executed, as_version=4)
    assert printed(executed.cells[0]) == "given\n"
    assert graded.files == (("out.txt", b"mine"),)


@pytest.mark.parametrize(
    "mischief",
    [
        "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')",
        "import os, shutil; shutil.rmtree(os.getcwd())",
        "import os; os.mkdir('x'); open('x/y', 'w').close(); os.chmod('x', 0)",
        "for n in range(500): open(f'f{n}', 'w').write('x')",
    ],
    ids=["deep", "removed", "forbidden", "many"],
)
def test_what_a_notebook_does_to_its_folder_costs_nobody_anything(
    mischief: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = cell(f"{SOLVED}\n{mischief}", "add", solution=True)
    graded = grade(assignment(source(ANSWER, TEST)), submission(hw=notebook(code, TEST)))
    assert graded.score == 2
    assert len(graded.files) <= 20
    assert not list(tmp_path.glob("run-*"))


# ---- values ---------------------------------------------------------------------------------


def test_everything_that_travels_can_be_sent_to_another_machine(adding: Assignment) -> None:
    graded = mark(adding, add=SOLVED)
    assert pickle.loads(pickle.dumps(adding)) == adding
    assert pickle.loads(pickle.dumps(graded)) == graded
    assert json.loads(json.dumps(graded.to_dict()))["cells"][0] == {
        "notebook": "adding",
        "grade_id": "add-tests",
        "exercise": "add",
        "points": 2,
        "max_points": 2,
        "verdict": "passed",
        "seconds": round(graded.cells[0].seconds, 3),
        "message": "",
        "misconceptions": [],
        "hints": [],
    }


# ---- a student's own check ------------------------------------------------------------------


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_student_s_own_check_runs_the_visible_tests(
    adding: Assignment, tmp_path: Path, mark: bytes
) -> None:
    node = answered(adding.notebooks[0].released, add="def add(a, b):\n    return 5")
    (tmp_path / "mine.ipynb").write_bytes(mark + content(node))
    tests, arrays, why = try_out(tmp_path / "mine.ipynb", QUICK)
    assert (tests.verdict, arrays.verdict) == (Verdict.PASSED, Verdict.FAILED)
    assert why.no_response


def test_a_student_s_own_check_says_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.ipynb").write_bytes(b"")
    with pytest.raises(SubmissionError, match="the file is empty"):
        try_out(tmp_path / "mine.ipynb", QUICK)
