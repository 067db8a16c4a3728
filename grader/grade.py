"""grade(assignment, submission) -> Graded: clean, run, score.

Pure with respect to the course folder: everything it needs comes in as values, everything it
found goes out as values, so that it runs the same here, in a test and on another machine.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from papermill.parameterize import parameterize_notebook

from grader import clean, engine, needed, release, score
from grader.course import Course
from grader.errors import GraderError, SandboxError, SubmissionError
from grader.lesson import Lesson
from grader.model import (
    Assignment,
    CellResult,
    Graded,
    GradedNotebook,
    Limits,
    SourceNotebook,
    Status,
    Submission,
    Verdict,
)

MAX_WRITTEN = 1_000_000  # bytes of one file that a notebook may leave behind
MAX_WRITTEN_FILES = 20
# Beside ours nbgrader takes a notebook for a submission, and a page of feedback for its own. What
# a browser would run is not kept where teachers click.
TAKEN = {".ipynb", ".html", ".htm", ".xhtml", ".svg", ".xml"}
MAX_DEPTH = 5  # folders within folders that are looked into


def grade(assignment: Assignment, submission: Submission, *, sandbox: bool = True) -> Graded:
    """Return what `submission` is worth. Never raises: a failure of ours is a verdict too.

    Args:
        sandbox: isolate its kernels; where that cannot be done it comes back as broken.
    """
    began = time.monotonic()
    notes = list(submission.notes)
    handed_in = dict(submission.notebooks)
    graded: list[GradedNotebook] = []
    read = 0
    written: tuple[tuple[str, bytes], ...] = ()
    with _folder_of_its_own() as folder:
        for path, content in assignment.files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for source in assignment.notebooks:
            try:
                if source.name not in handed_in:
                    raise SubmissionError(f"{source.name}.ipynb was not handed in")
                notebook, remarks = clean.clean(source, handed_in[source.name])
                read += 1
                notes += remarks
                graded.append(_run(assignment, source, notebook, folder, sandbox))
            except SandboxError as error:  # the machine is at fault, and says what it needs
                notes.append(str(error))
                graded.append(_blank(source, Verdict.BROKEN, "the grader failed, not you"))
            except SubmissionError as error:
                notes.append(str(error))
                graded.append(_blank(source, Verdict.NOT_RUN, str(error)))
            except Exception:  # nothing may be lost: what failed is stored, and by whose fault
                notes.append(f"the grader failed on {source.name}:\n{traceback.format_exc()}")
                graded.append(_blank(source, Verdict.BROKEN, "the grader failed, not you"))
        written = _written(folder, {path for path, _ in assignment.files})
    return Graded(
        student=submission.student,
        unit=submission.unit,
        status=_status(read, graded),
        notebooks=tuple(graded),
        notes=tuple(notes),
        files=written,
        seconds=time.monotonic() - began,
    )


def set_aside(assignment: Assignment, submission: Submission, reason: str) -> Graded:
    """Return the outcome of a submission that cannot be graded here at all: a person must look."""
    notebooks = tuple(_blank(source, Verdict.BROKEN, reason) for source in assignment.notebooks)
    notes = (*submission.notes, reason)
    return Graded(submission.student, submission.unit, Status.BROKEN, notebooks, notes)


def try_out(path: Path, limits: Limits) -> tuple[CellResult, ...]:
    """Run a student's notebook as it stands, in its own folder, and score its visible tests.

    Raises:
        SubmissionError: it is not a notebook.
    """
    content = path.read_bytes()
    clean.read(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbformat on missing ids
        notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
    for cell in notebook.cells:
        cell.setdefault("metadata", nbformat.from_dict({}))
    notebook = engine.run(notebook, path.parent, limits, {}, sandbox=False)
    return score.results(path.stem, notebook)


def run_reference(course: Course, lesson: Lesson) -> NotebookNode:
    """Execute `lesson` with its reference solutions.

    Raises:
        GraderError: a cell ended in an error.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / lesson.unit
        release.write_source(course, lesson, folder)
        notebook = nbformat.read(folder / f"{lesson.notebook}.ipynb", as_version=4)
        notebook = engine.run(notebook, folder, Limits(600, 3600), {}, sandbox=False)
    for cell in notebook.cells:
        judged = cell.metadata.get("judged", {})
        if judged.get("error"):
            raise GraderError(f"{lesson.unit}: {judged['error']}\nin the cell:\n{cell.source}")
    return notebook


def _run(
    assignment: Assignment,
    source: SourceNotebook,
    notebook: NotebookNode,
    folder: Path,
    sandbox: bool,
) -> GradedNotebook:
    if any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        notebook.metadata.setdefault("papermill", {})  # papermill reads both without asking
        for cell in notebook.cells:
            cell.metadata.setdefault("tags", [])
        notebook = parameterize_notebook(notebook, dict(assignment.parameters))
    variables = dict(assignment.environment)
    notebook = engine.run(
        notebook,
        folder,
        assignment.limits,
        variables,
        sandbox=sandbox,
        gpu=assignment.gpu,
        skip=_not_needed(source, notebook) if assignment.lean else (),
    )
    return GradedNotebook(
        name=source.name,
        cells=score.results(source.name, notebook),
        executed=nbformat.writes(score.settle(notebook)),
        unanswered=score.unanswered(notebook),
    )


def _not_needed(source: SourceNotebook, notebook: NotebookNode) -> set[str]:
    """Return the ids of the course's own cells on which no mark can depend."""
    given = {
        cell["id"]: cell.source
        for cell in nbformat.reads(source.sealed, as_version=4).cells
        if cell.cell_type == "code" and "nbgrader" not in cell.metadata
    }
    own = {cell.id for cell in notebook.cells if given.get(cell.id) == cell.source}
    must = needed.mark(notebook.cells, own)
    return {cell.id for n, cell in enumerate(notebook.cells) if cell.id in own and n not in must}


def _blank(source: SourceNotebook, verdict: Verdict, reason: str) -> GradedNotebook:
    notebook = nbformat.reads(source.sealed, as_version=4)
    note = nbformat.v4.new_markdown_cell(f"**Nothing was run.** {reason}", id="nothing-was-run")
    cells = score.blank(source.name, notebook, verdict, reason)
    notebook.cells.insert(0, note)
    return GradedNotebook(source.name, nbformat.writes(notebook), cells)


def _status(read: int, graded: list[GradedNotebook]) -> Status:
    cells = [cell for notebook in graded for cell in notebook.cells]
    if any(cell.verdict is Verdict.BROKEN for cell in cells):
        return Status.BROKEN
    if read == 0 and graded:
        return Status.UNREADABLE
    if any(cell.verdict is Verdict.MANUAL for cell in cells):
        return Status.NEEDS_MANUAL
    return Status.GRADED


def _written(folder: Path, given: set[str]) -> tuple[tuple[str, bytes], ...]:
    """Return small files that the notebooks left behind; links and large files stay away."""
    found: list[tuple[str, bytes]] = []
    folders = [folder]
    while folders:
        here = folders.pop(0)
        # Something of the student's may still be at work in there, or have removed it all.
        with contextlib.suppress(OSError):
            for path in sorted(here.iterdir()):
                name = path.relative_to(folder)
                if path.is_symlink() or path.name.startswith((".", "__pycache__")):
                    continue
                if path.is_dir() and len(name.parts) < MAX_DEPTH:
                    folders.append(path)
                if path.suffix.lower() in TAKEN:
                    continue
                if not path.is_file() or str(name) in given or len(found) >= MAX_WRITTEN_FILES:
                    continue
                if path.stat().st_size <= MAX_WRITTEN:
                    found.append((str(name), path.read_bytes()))
    return tuple(found)


@contextlib.contextmanager
def _folder_of_its_own() -> Iterator[Path]:
    """Make a folder to run in, and remove it however deep it has become."""
    folder = Path(tempfile.mkdtemp(prefix="run-"))
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)
