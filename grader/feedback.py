"""Graded -> one HTML page per notebook: nbgrader's feedback template, sanitised.

A page shows the student's work, the visible tests and what went wrong; it never shows hidden
tests, nor a traceback that quotes them.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import nbformat
import nbgrader
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from grader.clean import grade_id
from grader.model import Assignment, CellResult, Graded, GradedNotebook, Verdict

WORDS = {
    Verdict.PASSED: "Passed.",
    Verdict.FAILED: "Failed.",
    Verdict.NOT_RUN: "Not run.",
    Verdict.BROKEN: "The test is at fault, not you; your teacher has been told.",
    Verdict.MANUAL: "Your teacher will read this.",
}


def pages(assignment: Assignment, graded: Graded) -> dict[str, str]:
    """Return {notebook name: HTML page} for a graded submission."""
    released = {notebook.name: notebook.released for notebook in assignment.notebooks}
    exporter = _exporter()
    return {
        notebook.name: _page(exporter, notebook, released[notebook.name], graded)
        for notebook in graded.notebooks
    }


def _page(exporter: HTMLExporter, graded: GradedNotebook, released: str, submission: Graded) -> str:
    notebook = nbformat.reads(graded.executed, as_version=4)
    visible = {
        grade_id(cell): cell.source
        for cell in nbformat.reads(released, as_version=4).cells
        if grade_id(cell)
    }
    results = {cell.grade_id: cell for cell in graded.cells}
    for cell in notebook.cells:
        name = grade_id(cell)
        if not name:
            continue
        if name in results:
            _mark(cell, results[name], hidden=visible.get(name) != cell.source)
            if not cell.metadata.nbgrader.solution and name in visible:
                cell.source = visible[name]
        elif name in graded.unanswered:
            cell.metadata.nbgrader["comment"] = "No response."
    if submission.notes:
        text = "\n".join(f"- {note.splitlines()[0]}" for note in submission.notes)
        notebook.cells.insert(
            0, nbformat.v4.new_markdown_cell(f"**About your file**\n\n{text}", id="about-your-file")
        )
    score = sum(cell.points or 0.0 for cell in graded.cells)
    resources = {
        "nbgrader": {
            "notebook": graded.name,
            "assignment": submission.unit,
            "student": submission.student,
            "score": score,
            "max_score": sum(cell.max_points for cell in graded.cells),
            "late_penalty": 0,
        }
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert warns of pictures without alternative text
        html, _ = exporter.from_notebook_node(notebook, resources)
    return str(html)


def _mark(cell: NotebookNode, result: CellResult, hidden: bool) -> None:
    role = cell.metadata.nbgrader
    role["score"] = result.points or 0.0
    role["points"] = result.max_points
    text = WORDS[result.verdict]
    if result.message:
        text = f"{text} {result.message}"
    role["comment"] = text
    if cell.cell_type != "code" or role.get("solution"):
        return
    # Tracebacks quote the lines around an error: of a test with hidden parts only the message is
    # shown.
    cell.outputs = [
        _short(output, result) if output.output_type == "error" and hidden else output
        for output in cell.outputs
    ]


def _short(output: NotebookNode, result: CellResult) -> NotebookNode:
    return nbformat.v4.new_output(
        "error", ename=output.ename, evalue="", traceback=[result.message or output.ename]
    )


def _exporter() -> HTMLExporter:
    templates = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader" / "templates"
    config = Config()
    config.HTMLExporter.template_name = "feedback"
    config.HTMLExporter.extra_template_basedirs = [str(templates)]
    config.HTMLExporter.sanitize_html = True
    static = templates.parent / "static" / "node_modules" / "bootstrap" / "dist" / "css"
    config.HTMLExporter.extra_template_paths = [str(static)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HTMLExporter(config=config)
