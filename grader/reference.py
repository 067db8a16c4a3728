"""A lesson with its reference solutions in place: written into a folder, and executed.

Lessons are their authors' own: kernels are cold, and nothing isolates them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode

from grader import engine, release
from grader.course import Course, parameters
from grader.errors import GraderError
from grader.grade import with_parameters
from grader.lesson import Lesson
from grader.model import Limits
from grader.proof import Proof

# What nobody waits for longer. A full profile may take what it needs.
LIMITS = {"quick": Limits(600, 3600), "full": Limits(6 * 3600, 12 * 3600)}


@dataclass(frozen=True)
class Prepared:
    """A lesson's notebook, ready to be run.

    Attributes:
        notebook: reference solutions and papermill's parameters in.
        folder: where it is run, with ``previously.py`` and ``figures/``.
        lines: {cell id: line of the cell in the lesson's file}.
        sees_gpu: its kernel sees the GPUs that this process sees; else none.
        digest: of notebook and folder.
    """

    lesson: Lesson
    notebook: NotebookNode
    folder: Path
    lines: Mapping[str, int]
    sees_gpu: bool
    digest: str


@dataclass(frozen=True)
class FailedCell:
    """A cell that did not run to its end, or was not reached.

    Attributes:
        name: the cell's id.
        place: file and line of the lesson, as an editor opens it.
        status: a `grader.proof.Proof`.
        error: in one line.
        traceback: plain text, without colours.
    """

    name: str
    place: str
    status: str
    error: str
    source: str
    traceback: str


@dataclass(frozen=True)
class Run:
    """What became of one notebook.

    Attributes:
        executed: the notebook with its outputs, errors in place.
        failed: its failed cells; of those that were then not reached none.
        unchanged: it was not run now; this is what an earlier run gave.
        error: why it could not be run at all; empty for almost all.
    """

    unit: str
    notebook: str
    executed: NotebookNode
    failed: tuple[FailedCell, ...] = ()
    unchanged: bool = False
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether every cell ran to its end."""
        return not (self.failed or self.error)

    @property
    def result(self) -> str:
        """``passed``, ``failed``, or ``unchanged``: passed before."""
        return "unchanged" if self.unchanged else "passed" if self.passed else "failed"

    @property
    def seconds(self) -> float:
        """What its cells took, when they were run."""
        return sum((float(cell.metadata.judged.seconds) for cell in _code(self.executed)), 0.0)

    @property
    def summary(self) -> str:
        """What failed, in one line; empty where nothing did."""
        if not self.failed:
            return self.error
        first, *others = self.failed
        more = f" (and {len(others)} more)" if others else ""
        return f"{first.place}: {first.error}{more}"

    def to_dict(self) -> dict[str, object]:
        """Return the plain form that ``grader run --json`` prints (docs/commands.md)."""
        return {
            "unit": self.unit,
            "notebook": self.notebook,
            "result": self.result,
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "failed": [
                {"cell": one.name, "place": one.place, "status": one.status, "error": one.error}
                for one in self.failed
            ],
        }


def prepare(
    course: Course, lesson: Lesson, folder: Path, wanted: Mapping[str, object] | None = None
) -> Prepared:
    """Write `lesson` with its reference solutions into `folder`.

    Args:
        wanted: papermill's parameters; one that the lesson has no name for is left out.

    Raises:
        LessonError: what the units before it give does not fit into one module.
    """
    wanted = wanted or {}
    release.write_source(course, lesson, folder)
    notebook = nbformat.read(folder / f"{lesson.notebook}.ipynb", as_version=4)
    lines = {node.id: cell.line for node, cell in zip(notebook.cells, lesson.cells, strict=True)}
    known = parameters(lesson)
    named = {name: value for name, value in wanted.items() if name in known}
    if named:
        notebook = with_parameters(notebook, named)
    device = wanted.get("device")
    sees_gpu = lesson.gpu if device is None else device != "cpu"
    digest = hashlib.sha256(json.dumps(notebook, sort_keys=True).encode())
    digest.update(digest_of(folder).encode())
    return Prepared(lesson, notebook, folder, lines, sees_gpu, digest.hexdigest())


def execute(
    prepared: Prepared, limits: Limits = LIMITS["quick"], env: dict[str, str] | None = None
) -> Run:
    """Run every cell; whatever goes wrong is told in what comes back.

    Args:
        env: variables that are added to the kernel's.
    """
    lesson, folder, error = prepared.lesson, prepared.folder, ""
    notebook = copy.deepcopy(prepared.notebook)
    gpu = None if prepared.sees_gpu else False
    try:
        engine.run(notebook, folder, limits, env or {}, sandbox=False, gpu=gpu)
    except Exception as raised:  # its kernel did not start: that is no reason to stop others
        error = f"{type(raised).__name__}: {raised}"
    failed = () if error else tuple(failures(prepared, notebook))
    return Run(lesson.unit, lesson.notebook, notebook, failed, error=error)


def run_reference(
    course: Course,
    lesson: Lesson,
    wanted: Mapping[str, object] | None = None,
    env: dict[str, str] | None = None,
) -> NotebookNode:
    """Execute `lesson` alone and return its notebook; see `prepare` and `execute`.

    Raises:
        GraderError: a cell failed.
    """
    limits = LIMITS[str((wanted or {}).get("profile", "quick"))]
    with tempfile.TemporaryDirectory() as name:
        run = execute(prepare(course, lesson, Path(name) / lesson.unit, wanted), limits, env)
    if not run.passed:
        source = f"\nin the cell:\n{run.failed[0].source}" if run.failed else ""
        raise GraderError(f"{lesson.unit}: {run.summary}{source}")
    return run.executed


def failures(prepared: Prepared, executed: NotebookNode) -> Iterator[FailedCell]:
    """Find the cells that failed, and the first of those not reached if none before it did."""
    has_failed = False
    for cell in _code(executed):
        status, error = cell.metadata.judged.status, cell.metadata.judged.error
        if status == Proof.OK or (has_failed and status == Proof.NOT_RUN):
            continue
        has_failed = True
        # The cell of papermill's parameters stands in no file.
        line = prepared.lines.get(cell.id, 1)
        told = [text for o in cell.outputs if o.output_type == "error" for text in o.traceback]
        yield FailedCell(
            cell.id,
            f"{prepared.lesson.path}:{line}",
            status,
            error.splitlines()[0] if error else status,
            cell.source,
            strip_ansi("\n".join(told)),
        )


def files(folder: Path) -> list[Path]:
    """Return the files in and below `folder`, in order, without what Python compiled."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def digest_of(folder: Path) -> str:
    """Return a digest of the files in and below `folder`, their names and bytes."""
    digest = hashlib.sha256()
    for path in files(folder):
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
    return digest.hexdigest()


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
