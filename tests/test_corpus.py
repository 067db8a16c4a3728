"""Notebooks of nbgrader's own tests: the marks that nbgrader promises, and those that it loses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from builders import hand_in
from nbgrader.api import Gradebook

from grader.batch import grade_class
from grader.classroom import Classroom
from grader.errors import AssignmentError
from grader.model import Assignment, Graded, Status

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "nbgrader"
FILES = CORPUS / "nbgrader" / "tests" / "apps" / "files"
MANIFEST = CORPUS / "manifest.json"
CASES = json.loads(MANIFEST.read_text(encoding="utf-8"))["cases"] if MANIFEST.exists() else []

pytestmark = [
    pytest.mark.skipif(not CASES, reason=f"no corpus in {CORPUS}"),
    # nbgrader's autotests leave the sockets of their kernel to the garbage collector.
    pytest.mark.filterwarnings("ignore:Unclosed socket:ResourceWarning"),
]

CONFIG = """from grader.interop import configure
c = get_config()
configure(c)
"""
# nbgrader 0.9.6 cannot grade these; with the cell put right they are worth what upstream meant.
LOST_BY_NBGRADER = {"answer-cell-type-changed", "grade-cell-type-changed"}
# Part of the reason with which a source is refused.
REASONS = {
    # A code cell without outputs: nbformat refuses it before nbgrader looks.
    "metadata-ok-cell-type-changed": "'outputs' is a required property",
    "no-metadata": "Error: ",
    "schema-too-new": "Please update your version of",
    "schema": "nbgrader update .",
}
# Nothing is promised but an end: a student's loop, and output without one.
ENDLESS = {"infinite-loop", "memory-bomb"}


def of(*kinds: str) -> pytest.MarkDecorator:
    """Parametrise with the cases of these kinds."""
    cases = [case for case in CASES if case["kind"] in kinds]
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def listed(value: str | list[str]) -> list[Path]:
    return [CORPUS / path for path in ([value] if isinstance(value, str) else value)]


Make = Callable[[dict[str, Any]], Assignment]


@pytest.fixture
def make(classroom: Classroom, tmp_path: Path) -> Make:
    """Make the source of a case an assignment of the class."""

    def assignment(case: dict[str, Any]) -> Assignment:
        source = tmp_path / "source" / "ps1"
        source.mkdir(parents=True)
        for path in listed(case["source_file"] or case["file"]):
            shutil.copy(path, source)
        shutil.copy(FILES / "autotests.yml", source.parent)
        if case.get("config", "").startswith("c."):
            config = classroom.root / "nbgrader_config.py"
            config.write_text(f"{CONFIG}{case['config']}\n", encoding="utf-8")
        return classroom.assignment("ps1", source=source.parent)

    return assignment


def grade(classroom: Classroom, assignment: Assignment, case: dict[str, Any]) -> Graded:
    sources, files = listed(case["source_file"]), listed(case["file"])
    for source, path in zip(sources, files, strict=True):
        # Where the source itself is handed in, a student has its release.
        is_release = case["id"] == "hidden-tests"
        file = classroom.released("ps1") / source.name if is_release else path
        hand_in(classroom, "ada", "ps1", source.stem, file.read_bytes())
    [graded] = grade_class(classroom, assignment, ["ada"], where=0)
    return graded


def observed(case: dict[str, Any]) -> dict[str, float | None]:
    """Return {cell: points} that nbgrader itself gave, of all notebooks."""
    seen = case.get("observed_nbgrader_0_9_6")
    if not isinstance(seen, dict):
        return {}
    parts = [seen] if "cells" in seen else seen.values()
    return {name: points for part in parts for name, points in part["cells"].items()}


@of("autograde")
def test_a_submission_gets_the_marks_that_nbgrader_promises(
    classroom: Classroom, make: Make, case: dict[str, Any]
) -> None:
    graded = grade(classroom, make(case), case)
    expected = case["expected"]
    if case["id"] in LOST_BY_NBGRADER:
        expected = {"score": 1, "max": 7}
    if case["id"] in ENDLESS:
        assert graded.status is Status.GRADED
        expected = {"score": 0}
    if "score" in expected:
        assert graded.score == expected["score"]
    if "max" in expected:
        assert graded.max_score == expected["max"]
    for notebook in graded.notebooks:
        maximum = sum(cell.max_points for cell in notebook.cells)
        assert maximum == expected.get(f"max_{notebook.name}", maximum)
    with Gradebook(classroom.database) as gradebook:
        stored = gradebook.find_submission("ps1", "ada")
        assert (stored.score, stored.max_score) == (graded.score, graded.max_score)
        if "needs_manual" in expected:
            assert stored.needs_manual_grade == expected["needs_manual"]
        comments = {c.name: c.auto_comment for n in stored.notebooks for c in n.comments}
    for name, comment in expected.get("comments", {}).items():
        assert comments[name] == comment
    ours = {cell.grade_id: cell.points for cell in graded.cells}
    for name, points in observed(case).items():
        assert ours[name] == points
    for notebook in graded.notebooks:
        path = classroom.autograded("ada", "ps1") / f"{notebook.name}.ipynb"
        nbformat.validate(nbformat.read(path, as_version=4))


def find(name: str) -> dict[str, Any]:
    [case] = [case for case in CASES if case["id"] == name]
    return dict(case)


def test_what_a_notebook_writes_stays_with_the_executed_one(
    classroom: Classroom, make: Make
) -> None:
    case = find("side-effects")
    grade(classroom, make(case), case)
    assert (classroom.autograded("ada", "ps1") / "side-effect.txt").is_file()
    assert not (classroom.submitted("ada", "ps1") / "side-effect.txt").exists()


def test_hidden_tests_are_in_the_executed_notebook_only(classroom: Classroom, make: Make) -> None:
    case = find("hidden-tests")
    graded = grade(classroom, make(case), case)
    released = (classroom.released("ps1") / "test-hidden-tests.ipynb").read_text(encoding="utf-8")
    assert case["expected"]["release_must_not_contain"] not in released
    assert case["expected"]["autograded_must_contain"] in graded.notebooks[0].executed


@of("metadata", "generate", "schema")
def test_a_source_is_refused_or_taken_as_nbgrader_does(
    classroom: Classroom, make: Make, case: dict[str, Any]
) -> None:
    expected = case["expected"]
    reason = expected.get("raises") or REASONS.get(case["id"]) or REASONS.get(case["kind"])
    if reason:
        with pytest.raises(AssignmentError) as refusal:
            make(case)
        assert reason in str(refusal.value)
        return
    assignment = make(case)
    if "grade_cells" in expected:
        with Gradebook(classroom.database) as gradebook:
            [notebook] = gradebook.find_assignment(assignment.unit).notebooks
            assert len(notebook.grade_cells) == expected["grade_cells"]
