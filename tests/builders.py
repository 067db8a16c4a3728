"""Notebooks, assignments and class folders that a test can write in one line."""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat import NotebookNode

from grader import engine, receipts
from grader.classroom import Classroom, notebooks_in
from grader.journal import Journal
from grader.kernels import doctor
from grader.model import Assignment, Limits, SourceNotebook, Submission
from grader.receipts import Receipt, TimeSource

CASES = Path(__file__).parent / "cases"
isolates = pytest.mark.skipif(
    doctor.obstacle() is not None, reason="this machine cannot isolate: see grader doctor"
)
COURSE = CASES / "course"
REPOSITORY = Path(__file__).parents[1]

QUICK = Limits(cell_seconds=10, submission_seconds=60)


def cell(
    source: str,
    name: str = "",
    *,
    kind: str = "code",
    points: float | None = None,
    solution: bool = False,
    locked: bool = False,
    task: bool = False,
    id: str = "",
    **metadata: Any,
) -> NotebookNode:
    """Return a cell; with a `name` it is one of nbgrader's (a test cell if it has points)."""
    new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    node = new(source, metadata=metadata)
    node.id = id or name or f"c{abs(hash((source, kind))) % 10**9}"
    if name:
        node.metadata["nbgrader"] = {
            "grade": points is not None and not task,
            "grade_id": name,
            "locked": locked or (points is not None and not solution),
            "schema_version": 3,
            "solution": solution,
            "task": task,
            "cell_type": kind,
        }
        if points is not None:
            node.metadata["nbgrader"]["points"] = points
    return node


def notebook(*cells: NotebookNode | str) -> NotebookNode:
    """Return a notebook; plain text becomes a code cell."""
    nodes = [cell(c, id=f"plain-{n}") if isinstance(c, str) else c for n, c in enumerate(cells)]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=nodes, metadata={"kernelspec": spec})


def content(node: NotebookNode) -> bytes:
    """Return the file of a notebook."""
    text: str = nbformat.writes(node)
    return text.encode()


def run(
    *cells: NotebookNode | str, limits: Limits = QUICK, folder: Path, **options: bool
) -> NotebookNode:
    """Execute a notebook of these cells in a real kernel."""
    return engine.run(notebook(*cells), folder, limits, {}, **options)


def strangers(grader: psutil.Process | None = None) -> set[int]:
    """Return the pids of all processes in the rooms of `grader`, by default this process.

    A zygote is the foster parent of all that is born in its rooms, whatever becomes of parents.
    """
    ours = os.stat("/proc/self/ns/user").st_ino
    found = set()
    for process in (grader or psutil.Process()).children(recursive=True):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{process.pid}/ns/user").st_ino != ours:
                found.add(process.pid)
    return found


def wait_until_gone(before: set[int], seconds: float = 3.0) -> bool:
    """Return whether nobody is in a room any more but for those of `before`."""
    end = time.monotonic() + seconds
    while strangers() - before and time.monotonic() < end:
        time.sleep(0.05)
    return not strangers() - before


def source(*cells: NotebookNode, name: str = "hw") -> SourceNotebook:
    """Return a source notebook without hidden tests: sealed and released are the same."""
    text = nbformat.writes(notebook(*cells))
    return SourceNotebook(name, text, text)


def assignment(*notebooks: SourceNotebook, limits: Limits = QUICK, **more: Any) -> Assignment:
    """Return an assignment that no class folder knows of."""
    return Assignment("unit", notebooks, limits=limits, **more)


def submission(**notebooks: bytes | NotebookNode) -> Submission:
    """Return what ada handed in, by notebook name."""
    files = {n: c if isinstance(c, bytes) else content(c) for n, c in notebooks.items()}
    return Submission("ada", "unit", tuple(files.items()))


def answered(released: str, **answers: str) -> NotebookNode:
    """Return a released notebook with the text of answer cells replaced, by grade_id."""
    node = nbformat.reads(released, as_version=4)
    cells = {c.metadata.nbgrader.grade_id: c for c in node.cells if "nbgrader" in c.metadata}
    for name, text in answers.items():
        cells[name].source = text
    return node


def hand_in(
    classroom: Classroom, student: str, unit: str, name: str, file: bytes | NotebookNode
) -> Path:
    """Put a file into ``submitted/``, as a collect step does, and return its path."""
    path = classroom.submitted(student, unit) / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file if isinstance(file, bytes) else content(file))
    return path


def receive(classroom: Classroom, student: str, unit: str, time: str) -> None:
    """Write down when what lies in ``submitted/`` was handed in, as ``grader collect`` does."""
    moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
    content = receipts.digest(notebooks_in(classroom.submitted(student, unit)))
    with Journal(classroom) as journal:
        journal.receive(Receipt(unit, student, content, moment, TimeSource.TIMES, "a test"))


def statuses(executed: NotebookNode) -> list[str]:
    """Return the proof in each code cell."""
    return [c.metadata["judged"]["status"] for c in executed.cells if c.cell_type == "code"]


def printed(node: NotebookNode) -> str:
    """Return what a cell wrote to its streams."""
    return "".join(o.text for o in node.outputs if o.output_type == "stream")


def as_file(document: object) -> bytes:
    """Return any JSON value as the bytes of a file."""
    return json.dumps(document).encode()


# ---- a homework of six cells, for what is done to a student's file ---------------------------

STUB = "def add(a, b):\n    raise NotImplementedError()"
SOLVED = "def add(a, b):\n    return a + b"
VISIBLE = "assert add(1, 2) == 3"
SEALED = VISIBLE + "\nassert add(2, 2) == 4"


def _homework(tests: str) -> str:
    cells = (
        cell("# Adding", id="title", kind="markdown"),
        cell("import math", "imports", locked=True),
        cell("scale = 2", id="setup"),
        cell(STUB, "add", solution=True),
        cell(tests, "add-tests", points=2),
        cell("Why?", "why", kind="markdown", points=2, solution=True),
    )
    text: str = nbformat.writes(notebook(*cells))
    return text


HOMEWORK = SourceNotebook("hw", sealed=_homework(SEALED), released=_homework(VISIBLE))


def homework(answer: str = SOLVED) -> list[dict[str, Any]]:
    """Return the cells of the released homework as its file has them, `add` answered."""
    cells: list[dict[str, Any]] = json.loads(HOMEWORK.released)["cells"]
    cells[3]["source"] = answer
    return cells
