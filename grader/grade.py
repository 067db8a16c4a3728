"""grade(assignment, submission) -> Graded: clean, run, score.

Pure with respect to the course folder: everything it needs comes in as values, everything it
found goes out as values, so that it runs the same here, in a test and on another machine.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution
from papermill.parameterize import parameterize_notebook

from grader import clean, engine, evidence, names, needed, score
from grader.check.unit import read_unit, save_passed
from grader.errors import DeviceError, SandboxError, SubmissionError
from grader.judge.kernel import JudgedCells
from grader.kernels import devices
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
TRY_LIMITS = Limits(cell_seconds=60, submission_seconds=1800)
MAX_DEPTH = 5  # folders within folders that are looked into


def grade(
    assignment: Assignment, submission: Submission, *, sandbox: bool = True, seed: int = 0
) -> Graded:
    """Return what `submission` is worth. A failure of ours is a verdict too.

    Args:
        sandbox: isolate its kernels; where that cannot be done it comes back as broken.
        seed: of the random numbers of Python, NumPy and torch, in every notebook.

    Raises:
        DeviceError: there is no GPU for it that is empty and answers. Nothing else is raised.
    """
    began = time.monotonic()
    notes = list(submission.notes)
    if assignment.without_gpu == "quick" and not assignment.gpu:
        notes.append("graded on the CPU, in its quick profile: no GPU was in reach")
    handed_in = dict(submission.notebooks)
    graded: list[GradedNotebook] = []
    read = 0
    written: tuple[tuple[str, bytes], ...] = ()
    with _folder_of_its_own(assignment.files) as folder:
        for source in assignment.notebooks:
            try:
                if source.name not in handed_in:
                    raise SubmissionError(f"{source.name}.ipynb was not handed in")
                notebook, remarks = clean.clean(source, handed_in[source.name])
                read += 1
                notes += remarks
                one, remarks = _run(assignment, source, notebook, folder, sandbox, seed)
                graded.append(one)
                notes += remarks
            except DeviceError:  # another slot can grade it, or this one later
                raise
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
        seed=seed,
        seconds=time.monotonic() - began,
        machine=machine(gpu=assignment.gpu),
    )


def grade_with(
    assignment: Assignment, submission: Submission, *, sandbox: bool = True, seeds: Sequence[int]
) -> Graded:
    """Grade with each of `seeds`; return the first, and in its notes the tests that differ."""
    first, *others = (grade(assignment, submission, sandbox=sandbox, seed=one) for one in seeds)
    points = {cell.grade_id: cell.points for cell in first.cells}
    notes = [
        f"flaky: {cell.grade_id} earned {points[cell.grade_id]} points with seed {first.seed}, "
        f"{cell.points} with seed {other.seed}"
        for other in others
        for cell in other.cells
        if cell.points != points.get(cell.grade_id)
    ]
    return replace(first, notes=(*first.notes, *notes))


def machine(*, gpu: bool = False) -> str:
    """Return what is worth knowing of this machine; of its GPU too, where that was used."""
    parts = [socket.gethostname(), platform.machine(), f"{os.cpu_count()} cores"]
    found = devices.devices() if gpu else ()
    return ", ".join(parts + [one.name for one in found[:1]])


def set_aside(assignment: Assignment, submission: Submission, reason: str) -> Graded:
    """Return the outcome of a submission that cannot be graded here at all: a person must look."""
    notebooks = tuple(_blank(source, Verdict.BROKEN, reason) for source in assignment.notebooks)
    notes = (*submission.notes, reason)
    return Graded(
        submission.student, submission.unit, Status.BROKEN, notebooks, notes, machine=machine()
    )


def try_out(path: Path, limits: Limits = TRY_LIMITS) -> tuple[CellResult, ...]:
    """Run a student's notebook as it stands, in its own folder, and score its visible tests.

    Those that pass are written down beside it, where the course page looks.

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
    notebook = engine.run(notebook, path.parent, limits, {}, sandbox=False, gpu=None)
    cells = score.results(path.stem, notebook)
    unit = read_unit(path)
    if unit is not None:
        save_passed(unit, {one.grade_id for one in cells if one.verdict is Verdict.PASSED})
    return cells


def with_parameters(notebook: NotebookNode, parameters: Mapping[str, object]) -> NotebookNode:
    """Return `notebook` with papermill's cell of parameters, where it has one to follow."""
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        return notebook
    notebook.metadata.setdefault("papermill", {})  # papermill reads both without asking
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    notebook = parameterize_notebook(notebook, dict(parameters))
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"  # a new one each time, or what is stored differs
    return notebook


def _run(
    assignment: Assignment,
    source: SourceNotebook,
    notebook: NotebookNode,
    folder: Path,
    sandbox: bool,
    seed: int,
) -> tuple[GradedNotebook, list[str]]:
    """Return the verdicts on one notebook, and what is to be noted of its run."""
    notebook = with_parameters(notebook, dict(assignment.parameters))
    own = _own(source, notebook)
    skip = own - _needed(notebook, own) if assignment.lean else set()
    with contextlib.ExitStack() as stack:
        tests = None
        if assignment.judged:
            # Not the student's folder: what he wrote there would be imported.
            place = stack.enter_context(_folder_of_its_own(assignment.files))
            tests = JudgedCells(
                _tests(notebook),
                _prelude(source),
                place,
                seed,
                dict(assignment.worlds),
                _wrong(assignment, notebook),
            )
        notebook = engine.run(
            notebook,
            folder,
            assignment.limits,
            dict(assignment.environment),
            sandbox=sandbox,
            gpu=assignment.gpu,
            skip=skip,
            tests=tests,
            seed=seed,
        )
    notes = [*notebook.metadata.pop("device_left", ()), *score.limits(notebook)]
    graded = GradedNotebook(
        name=source.name,
        cells=_with_hints(assignment, score.results(source.name, notebook)),
        evidence=(*_evidence(notebook, own), *notebook.metadata.pop("evidence", ())),
        executed=nbformat.writes(score.settle(notebook)),
        unanswered=score.unanswered(notebook),
    )
    return graded, notes


def _tests(notebook: NotebookNode) -> frozenset[str]:
    """Return the ids of the test cells."""
    return frozenset(
        cell.id
        for cell in notebook.cells
        if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)
    )


@lru_cache(maxsize=8)
def _prelude(source: SourceNotebook) -> tuple[str, ...]:
    """Return the import statements of a lesson: what they bind is the judge's own in a test."""
    statements: dict[str, str] = {}
    for cell in nbformat.reads(source.sealed, as_version=4).cells:
        if cell.cell_type == "code" and not is_solution(cell):
            with contextlib.suppress(SyntaxError):  # a magic
                statements |= names.imports(cell.source)
    return tuple(dict.fromkeys(statements.values()))


def _wrong(
    assignment: Assignment, notebook: NotebookNode
) -> dict[str, tuple[str, tuple[tuple[str, str], ...]]]:
    """Return {test cell: (its exercise, the known wrong solutions of it)}."""
    known: dict[str, list[tuple[str, str]]] = {}
    for one in assignment.misconceptions:
        known.setdefault(one.exercise, []).append((one.name, one.source))
    found = {}
    for test in _tests(notebook):
        exercise = test.rpartition("-")[0]
        found[test] = (exercise, tuple(known.get(exercise, ())))
    return found


def _with_hints(assignment: Assignment, cells: tuple[CellResult, ...]) -> tuple[CellResult, ...]:
    """Put hints to the misconceptions that were found.

    One test cannot always tell two misconceptions apart. All tests of the exercise can tell more:
    which of them fail, and what explains each of those.
    """
    known = {(one.exercise, one.name): one for one in assignment.misconceptions}
    failed: dict[str, set[str]] = {}
    common: dict[str, set[str]] = {}
    for cell in cells:
        if cell.verdict is Verdict.FAILED:
            failed.setdefault(cell.exercise, set()).add(cell.grade_id)
        if cell.misconceptions:
            names = set(cell.misconceptions)
            common[cell.exercise] = common.get(cell.exercise, names) & names
    made = []
    for cell in cells:
        found = [known[cell.exercise, name] for name in cell.misconceptions]
        shared = [one for one in found if one.name in common[cell.exercise]] or found
        chosen = [one for one in shared if set(one.fails) == failed[cell.exercise]] or shared
        made.append(
            replace(
                cell,
                misconceptions=tuple(one.name for one in chosen),
                hints=tuple(dict.fromkeys(one.hint for one in chosen)),
            )
        )
    return tuple(made)


def _evidence(notebook: NotebookNode, own: set[str]) -> Iterator[str]:
    """What the student's cells do that no exercise asks for."""
    others = own | _tests(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id not in others:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "a cell of the student's own")
            yield from (f"{name}, {line}" for line in evidence.found(cell.source))


def _own(source: SourceNotebook, notebook: NotebookNode) -> set[str]:
    """Return the ids of the cells that carry no mark and are as the course gave them."""
    given = {
        cell["id"]: cell.source
        for cell in nbformat.reads(source.sealed, as_version=4).cells
        if cell.cell_type == "code" and not (is_grade(cell) or is_solution(cell))
    }
    return {cell.id for cell in notebook.cells if given.get(cell.id) == cell.source}


def _needed(notebook: NotebookNode, own: set[str]) -> set[str]:
    """Return the ids of the cells of `own` on which a mark can depend."""
    must = needed.mark(notebook.cells, own)
    return {cell.id for n, cell in enumerate(notebook.cells) if cell.id in own and n in must}


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
def _folder_of_its_own(files: tuple[tuple[str, bytes], ...]) -> Iterator[Path]:
    """Make a folder to run in, with `files`, and remove it however deep it has become."""
    folder = Path(tempfile.mkdtemp(prefix="run-"))
    for path, content in files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)
