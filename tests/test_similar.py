"""From the class folder to pairs side by side; what students wrote is only read."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import cell, content, notebook
from nbformat import NotebookNode
from test_fingerprints import HONEST, NORM, POOL, RENAMED

from grader import similar
from grader.classroom import Classroom
from grader.similar import MAX_LINES, OWN, Likeness

UNIT = "01-pooling"
ASKED = f"# Pooling\n\nNormalise like this:\n\n```python{NORM}```\n"
STUB = "def pool(x, size):\n    raise NotImplementedError"


def lesson(answer: str = STUB, *more: str, essay: str = "") -> NotebookNode:
    """Return the lesson with an answer, and cells that the student added."""
    return notebook(
        cell(ASKED, id="title", kind="markdown"),
        cell(answer, "pool", solution=True),
        cell("assert pool(x, 2).shape == (1, 1, 2, 2)", "pool-tests", points=1),
        cell(essay, "why", kind="markdown", points=1, solution=True),
        *(cell(text, id=f"mine-{n}") for n, text in enumerate(more)),
    )


def found(root: Path, *extra_files: tuple[str, bytes], **students: NotebookNode) -> list[Likeness]:
    """Return the pairs of a class in which these notebooks have been graded."""
    classroom = Classroom(root)
    released = classroom.released(UNIT)
    released.mkdir(parents=True)
    (released / "pooling.ipynb").write_bytes(content(lesson()))
    for name, file in extra_files:
        (released / name).write_bytes(file)
    for student, node in students.items():
        folder = classroom.autograded(student, UNIT)
        folder.mkdir(parents=True)
        (folder / "pooling.ipynb").write_bytes(content(node))
    return similar.find(classroom, UNIT, sorted(students))


def test_a_pair_is_shown_side_by_side_with_the_lines_that_both_have(tmp_path: Path) -> None:
    [one] = found(tmp_path, ada=lesson(POOL), bob=lesson(RENAMED), cem=lesson(HONEST))
    assert one.pair.students == ("ada", "bob")
    [beside] = one.beside
    assert beside.match.cell == "pool"
    left, right = (["".join(line.text) for line in side if line.both] for side in beside.sides)
    assert "    for i in range(rows):" in left
    assert "    for row in range(p):" in right
    assert "# my own idea" not in right


def test_what_was_released_does_not_count(tmp_path: Path) -> None:
    """Programs in the prose, modules beside the notebook, and the stub."""
    modules = ("previously.py", POOL.encode())
    assert found(tmp_path, modules, ada=lesson(POOL), bob=lesson(RENAMED)) == []
    assert found(tmp_path / "b", ada=lesson(NORM), bob=lesson(NORM)) == []
    assert found(tmp_path / "c", ada=lesson(), bob=lesson()) == []


def test_cells_of_their_own_are_compared_as_one(tmp_path: Path) -> None:
    halves = POOL.split("    for i", 1)
    ada = lesson(STUB, "import math", POOL)
    bob = lesson(STUB, RENAMED)
    [one] = found(tmp_path, ada=ada, bob=bob, cem=lesson(STUB, *halves[:1]))
    assert [beside.match.cell for beside in one.beside] == [OWN]


@pytest.mark.parametrize(
    "file",
    [b"", b"%PDF", b"[]", b"{}", b'{"cells": 7}', b'{"cells": [7]}', b"\xff", b"[" * 100_000],
)
def test_a_file_that_is_no_notebook_is_nobodys_like(tmp_path: Path, file: bytes) -> None:
    classroom = Classroom(tmp_path)
    for student in ("ada", "bob"):
        folder = classroom.autograded(student, UNIT)
        folder.mkdir(parents=True)
        (folder / "pooling.ipynb").write_bytes(file)
    assert similar.find(classroom, UNIT, ["ada", "bob", "nobody"]) == []


def test_of_a_long_answer_the_part_with_common_lines_is_shown(tmp_path: Path) -> None:
    long = "\n".join(f"x{n} = {n}" for n in range(2 * MAX_LINES)) + POOL
    [one] = found(tmp_path, ada=lesson(long), bob=lesson(RENAMED))
    [beside] = one.beside
    assert len(beside.sides[0]) <= MAX_LINES
    assert any(line.both for line in beside.sides[0])
