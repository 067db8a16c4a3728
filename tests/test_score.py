"""Points are paid for proof that a test ran to its end; nbgrader's own reading agrees."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from builders import cell, notebook
from nbformat import NotebookNode
from nbgrader.utils import compute_checksum, determine_grade

from grader import proof
from grader.model import Verdict
from grader.score import blank, limits, results, settle, unanswered

PASSED, FAILED, NOT_RUN, BROKEN = Verdict.PASSED, Verdict.FAILED, Verdict.NOT_RUN, Verdict.BROKEN
ASSERT = "assert add(1, 2) == 3"


def out(kind: str, **more: Any) -> NotebookNode:
    return nbformat.v4.new_output(kind, **more)


def value(text: object) -> NotebookNode:
    return out("execute_result", data={"text/plain": text})


def error(name: str = "AssertionError", text: str = "no") -> NotebookNode:
    return out("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


STDERR = out("stream", name="stderr", text="a warning\n")
STDOUT = out("stream", name="stdout", text="2.0\n")
PICTURE = out("execute_result", data={"image/png": ""})
SHOWN = out("display_data", data={"text/plain": "1.0"})


def executed(source: str, status: str, text: str = "", *outputs: NotebookNode) -> NotebookNode:
    """Return a test cell of 2 points that ended with this proof, error and outputs."""
    node = cell(source, "add-tests", points=2)
    left = outputs if outputs or status == "ok" else [error()]  # as the engine leaves it
    node.outputs = [nbformat.from_dict(output) for output in left]
    if status:
        node.metadata["judged"] = {"status": status, "seconds": 0.5, "error": text}
    return node


# {what happened: (cell, points, verdict, part of the message)}
TESTS: dict[str, tuple[NotebookNode, float | None, Verdict, str]] = {
    # proof
    "ran": (executed(ASSERT, "ok"), 2, PASSED, ""),
    "no_proof_at_all": (executed(ASSERT, ""), 0, NOT_RUN, "not run"),
    "not_run": (executed(ASSERT, "not run", "it had died", error()), 0, NOT_RUN, "it had died"),
    "too_long": (executed(ASSERT, "time limit", "stopped", error("TimeLimit")), 0, FAILED, "time"),
    "flood": (executed(ASSERT, "output limit", "stopped", error("x")), 0, FAILED, "output limit"),
    "killed": (executed(ASSERT, "kernel died", "os._exit", error("x")), 0, FAILED, "kernel died"),
    "silent": (executed(ASSERT, "no reply", "changed", error("x")), 0, FAILED, "no reply"),
    # noise
    "stderr": (executed(ASSERT, "ok", "", STDERR), 2, PASSED, ""),
    "printed_number": (executed(ASSERT, "ok", "", STDOUT), 2, PASSED, ""),
    "displayed_number": (executed(ASSERT, "ok", "", SHOWN), 2, PASSED, ""),
    "forged_error": (executed(ASSERT, "ok", "", error()), 2, PASSED, ""),
    "forged_value": (executed(ASSERT, "ok", "", value("0.5")), 2, PASSED, ""),
    "forged_value_before_an_error": (
        executed(ASSERT, "error", "AssertionError: no", value("2"), error()),
        0,
        FAILED,
        "no",
    ),
    # partial credit
    "part": (executed("score", "ok", "", value("0.5")), 0.5, FAILED, "0.5 of 2 points"),
    "all": (executed("score", "ok", "", value("2")), 2, PASSED, ""),
    "nothing": (executed("score", "ok", "", value("0")), 0, FAILED, "0 of 2 points"),
    "numpy": (executed("score", "ok", "", value("np.float64(0.5)")), 0.5, FAILED, "0.5 of 2"),
    "torch": (executed("s", "ok", "", value("tensor(0.5, dtype=torch.float64)")), 0.5, FAILED, ""),
    "array": (executed("score", "ok", "", value("array(0.5)")), 0.5, FAILED, "0.5 of 2 points"),
    "the_last_of_two": (executed("s", "ok", "", value("2"), value("0.5")), 0.5, FAILED, "0.5 of"),
    "beside_noise": (executed("s", "ok", "", STDERR, value("0.5"), STDOUT), 0.5, FAILED, "0.5"),
    "no_value": (executed("score", "ok"), 2, PASSED, ""),
    "text": (executed("score", "ok", "", value("'well done'")), 2, PASSED, ""),
    "truth": (executed("score", "ok", "", value("True")), 2, PASSED, ""),
    "picture": (executed("score", "ok", "", PICTURE), 2, PASSED, ""),
    "too_much": (executed("score", "ok", "", value("3")), None, BROKEN, "not within its 2 points"),
    "negative": (executed("score", "ok", "", value("-1")), None, BROKEN, "not within its 2"),
    "nan": (executed("score", "ok", "", value("nan")), None, BROKEN, "not within its 2 points"),
    "magic": (executed("%time score", "ok", "", value("0.5")), 0.5, FAILED, "0.5 of 2 points"),
    # what a student reads
    "assert": (executed(ASSERT, "error", "AssertionError: look"), 0, FAILED, "look"),
    "bare_assert": (executed(ASSERT, "error", "AssertionError"), 0, FAILED, "an assert failed"),
    "check": (executed(ASSERT, "error", "CheckFailed: add: shape (2,)"), 0, FAILED, "add: shape"),
    "stub": (executed(ASSERT, "error", "NotImplementedError"), 0, FAILED, "not written yet"),
    "crash": (executed(ASSERT, "error", "TypeError: bad"), 0, FAILED, "TypeError: bad"),
    "students_syntax": (executed(ASSERT, "error", "SyntaxError: x"), 0, FAILED, "SyntaxError: x"),
    "tests_syntax": (executed("assert (", "error", "SyntaxError: x"), None, BROKEN, "not Python"),
}


@pytest.mark.parametrize("name", TESTS)
def test_a_test_cell_is_scored_by_its_proof(name: str) -> None:
    node, points, verdict, message = TESTS[name]
    [result] = results("hw", notebook(nbformat.from_dict(node)))
    assert (result.points, result.verdict, result.max_points) == (points, verdict, 2)
    assert message in result.message
    assert bool(result.message) == (verdict is not PASSED)
    assert (result.notebook, result.grade_id) == ("hw", "add-tests")


@pytest.mark.parametrize("name", [name for name in TESTS if name != "no_proof_at_all"])
def test_nbgrader_pays_the_same_once_settled(name: str) -> None:
    node, points, *_ = TESTS[name]
    settled = settle(notebook(nbformat.from_dict(node)))
    assert determine_grade(settled.cells[0]) == (points or 0, 2)
    nbformat.validate(settled)


def test_an_error_in_the_answer_explains_a_missing_name() -> None:
    answer = cell("def add(:", "add", solution=True)
    answer.metadata["judged"] = {"status": "error", "seconds": 0, "error": "SyntaxError: invalid"}
    test = executed(ASSERT, "error", "NameError: name 'add' is not defined")
    [result] = results("hw", notebook(answer, test))
    assert result.message == ("add is not defined: the cell add stopped with SyntaxError: invalid")
    [result] = results("hw", notebook(test))
    assert result.message == "NameError: name 'add' is not defined"


def test_a_test_of_no_points_costs_nothing() -> None:
    node = executed(ASSERT, "error", "AssertionError: no")
    node.metadata.nbgrader.points = 0
    [result] = results("hw", notebook(node))
    assert (result.points, result.max_points, result.verdict) == (0, 0, FAILED)


# ---- what people grade ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["markdown", "code"])
def test_an_answer_for_a_person_waits_and_an_untouched_one_does_not(kind: str) -> None:
    node = cell("Because.", "why", kind=kind, points=3, solution=True)
    node.metadata.nbgrader["checksum"] = "of the released text"
    [waiting] = results("hw", notebook(node))
    assert (waiting.points, waiting.verdict, waiting.no_response) == (None, Verdict.MANUAL, False)
    assert determine_grade(node) == (None, 3)

    node.metadata.nbgrader["checksum"] = compute_checksum(node)
    [silent] = results("hw", notebook(node))
    assert (silent.points, silent.verdict, silent.no_response) == (0, FAILED, True)
    assert silent.message == "No response."
    assert determine_grade(node) == (0, 3)
    assert unanswered(notebook(node)) == ("why",)


def test_a_task_always_waits_for_a_person() -> None:
    node = cell("Draw something.", "task", kind="markdown", points=4, task=True)
    [result] = results("hw", notebook(node))
    assert (result.points, result.max_points, result.verdict) == (None, 4, Verdict.MANUAL)


def test_what_an_answer_prints_is_left_as_it_is() -> None:
    answer = cell("1", "add", solution=True, points=None)
    answer.outputs = [nbformat.from_dict(STDERR), nbformat.from_dict(value("1"))]
    before = nbformat.from_dict(answer)
    assert settle(notebook(answer)).cells == [before]


def test_nothing_run_is_zero_and_nothing_known_is_nobody_s_zero() -> None:
    node = notebook(
        cell(ASSERT, "add-tests", points=2),
        cell("Why?", "why", kind="markdown", points=1, solution=True),
        cell("add = 1", "add", solution=True),
        "print(1)",
    )
    unread = blank("hw", node, NOT_RUN, "not a notebook")
    assert [(r.grade_id, r.points, r.message) for r in unread] == [
        ("add-tests", 0, "not a notebook"),
        ("why", 0, "not a notebook"),
    ]
    assert [r.points for r in blank("hw", node, BROKEN, "the grader failed")] == [None, None]


# ---- notes on the attempt -------------------------------------------------------------------


def test_each_cell_that_met_a_limit_is_noted_and_found_again_in_the_note() -> None:
    free = cell("while True: pass", id="free")
    free.metadata["judged"] = {"status": "CPU time limit", "seconds": 9, "error": "stopped: 9 s"}
    met = executed(ASSERT, "time limit", "stopped: a cell may take 10 s", error("TimeLimit"))
    statuses = ("ok", "error", "not run", "not needed", "")
    fine = [executed(ASSERT, status) for status in statuses]
    for number, node in enumerate(fine):
        node.id = f"fine-{number}"
    notes = limits(notebook(free, met, *fine))
    assert notes == [
        "CPU time limit in a cell that carries no mark: 9 s",
        "time limit in add-tests: a cell may take 10 s",
    ]
    assert [proof.noted(note) for note in notes] == [
        (proof.Proof.CPU, "a cell that carries no mark"),
        (proof.Proof.TIME, "add-tests"),
    ]


def test_another_note_names_no_limit() -> None:
    assert proof.noted("cell add-tests had been changed; the time limit in it was not") is None
