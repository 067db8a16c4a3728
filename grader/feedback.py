"""Graded -> one HTML page per notebook: what became of each exercise at the top, the work below.

A page shows the student's work, the visible tests and what went wrong; it never shows hidden
tests, nor anything that quotes them. It carries its pictures, runs no scripts and fetches nothing.

`FeedbackExporter` makes the same page for ``nbgrader generate_feedback`` and formgrader's button,
with what a person has decided and written meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import Exporter
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution, is_task

from grader import markup
from grader.clean import grade_id
from grader.model import RECORD, Assignment, CellResult, Graded, Verdict
from grader.page import Work, render
from grader.score import exercise_of
from grader.wording import NO_RESPONSE, Marks


def pages(
    assignment: Assignment, graded: Graded, marks: Mapping[str, Marks] | None = None
) -> dict[str, str]:
    """Return {notebook name: HTML page} for a graded submission.

    Args:
        marks: {notebook name: what the gradebook knows}; by default what the tests gave.
    """
    pictures = _pictures((*graded.files, *assignment.files))
    released = {notebook.name: notebook.released for notebook in assignment.notebooks}
    made = {}
    for notebook in graded.notebooks:
        work = Work(
            notebook=nbformat.reads(notebook.executed, as_version=4),
            name=notebook.name,
            unit=graded.unit,
            student=graded.student,
            results=notebook.cells,
            marks=(marks or {}).get(notebook.name)
            or Marks(comments=dict.fromkeys(notebook.unanswered, NO_RESPONSE)),
            released=_read(released[notebook.name]),
            pictures=pictures,
            notes=graded.notes,
        )
        made[notebook.name] = render(work)
    return made


class FeedbackExporter(Exporter):  # type: ignore[misc]  # nbconvert ships no types
    """The same page from an executed notebook in ``autograded/``, by nbgrader's own command.

    nbgrader's preprocessors have put the gradebook's marks and comments into the cells.
    """

    file_extension = ".html"
    output_mimetype = "text/html"

    def from_notebook_node(
        self, nb: NotebookNode, resources: Any = None, **kw: Any
    ) -> tuple[str, Any]:
        """Return the page and nbconvert's resources."""
        notebook, resources = super().from_notebook_node(nb, resources, **kw)
        names = resources["nbgrader"]
        folder = Path(resources.get("metadata", {}).get("path", ""))
        record = _record(folder)
        work = Work(
            notebook=notebook,
            name=names["notebook"],
            unit=names["assignment"],
            student=names["student"],
            results=_results(notebook, names["notebook"], record),
            marks=_marks(notebook, names.get("late_penalty") or 0.0),
            released=_released(folder, names["assignment"], names["notebook"]),
            pictures=_pictures(_files(folder)),
            notes=tuple(record.get("notes", ())),
        )
        return render(work), resources


@lru_cache(maxsize=32)
def _read(text: str) -> NotebookNode:
    """Read what students were given; nobody changes it."""
    return nbformat.reads(text, as_version=4)


def _pictures(files: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    found = {name: markup.picture(name, content) for name, content in files}
    return {name: data for name, data in found.items() if data}


# ---- by nbgrader's own command --------------------------------------------------------------


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _results(notebook: NotebookNode, name: str, record: dict[str, Any]) -> tuple[CellResult, ...]:
    told = {cell["grade_id"]: cell for cell in record.get("cells", ()) if cell["notebook"] == name}
    answers = {grade_id(cell) for cell in notebook.cells if is_solution(cell)}
    found = []
    for cell in notebook.cells:
        if not (is_grade(cell) or is_task(cell)):
            continue
        role = cell.metadata.nbgrader
        score, maximum = float(role.get("score") or 0.0), float(role.get("points") or 0.0)
        verdict = Verdict.PASSED if score >= maximum else Verdict.FAILED
        if is_solution(cell) or is_task(cell):
            verdict = Verdict.MANUAL
        mine = told.get(role.grade_id, {})
        points = mine.get("points", score)
        verdict = Verdict(mine.get("verdict", verdict))
        found.append(
            CellResult(
                name,
                role.grade_id,
                points,
                maximum,
                verdict,
                message=mine.get("message", ""),
                exercise=exercise_of(cell, answers),
                hints=tuple(mine.get("hints", ())),
            )
        )
    return tuple(found)


def _marks(notebook: NotebookNode, penalty: float) -> Marks:
    points, comments, waiting = {}, {}, set()
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if role.get("comment"):
            comments[role.grade_id] = str(role.comment)
        if "score" in role:
            points[role.grade_id] = float(role.score or 0.0)
            if (is_solution(cell) or is_task(cell)) and not role.score and not role.get("comment"):
                waiting.add(role.grade_id)
    return Marks(points, frozenset(waiting), comments, penalty)


def _released(folder: Path, unit: str, name: str) -> NotebookNode | None:
    """Return the notebook as students were given it, where the class folder still has it."""
    path = folder.resolve().parents[2] / "release" / unit / f"{name}.ipynb"
    return _read(path.read_text(encoding="utf-8")) if path.is_file() else None


def _files(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in markup.TYPES and path.is_file() and not path.is_symlink()
    ]
