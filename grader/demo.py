"""A demo class: students whose exact scores are known, made from a unit's misconceptions.

One perfect student, one for each misconception and each alternative, one who copied from one of
these and changed all names, one who handed in the release untouched, one with a syntax error, one
whose cell loops forever, one who kills the kernel, one whose file is not a notebook.
"""

from __future__ import annotations

import ast
import shutil
from dataclasses import dataclass
from pathlib import Path

import nbformat

from grader import database
from grader.classroom import Classroom
from grader.clean import grade_id
from grader.course import exports, variants, without_markers
from grader.errors import UsageError
from grader.lesson import Lesson, Role
from grader.model import Assignment

MARKER = ".demo"


@dataclass(frozen=True)
class Student:
    """A demo student.

    Attributes:
        content: the file that is handed in.
        score: what it must earn without the cells that a person grades.
    """

    name: str
    content: bytes
    score: float


def open_class(folder: Path, db: str | None = None) -> Classroom:
    """Return an empty demo class in `folder`; what an earlier demo left there is removed.

    Args:
        db: address of its database, which must be empty: nothing is removed there.

    Raises:
        UsageError: the folder, or the database, holds something that is not a demo class.
    """
    if db is not None and not database.is_empty(database.normal(db)):
        raise UsageError(f"{database.shown(db)} is not empty; make a new one for the demo")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"{folder} is not empty and not a demo class; name another --class")
    shutil.rmtree(folder, ignore_errors=True)
    classroom = Classroom(folder)
    classroom.use_database(db)
    (folder / MARKER).write_text("made by grader demo; it may be removed at any time\n")
    return classroom


def hand_in(classroom: Classroom, assignment: Assignment, people: list[Student]) -> None:
    """Write what each of `people` hands in."""
    for student in people:
        folder = classroom.submitted(student.name, assignment.unit)
        folder.mkdir(parents=True)
        (folder / f"{assignment.notebooks[0].name}.ipynb").write_bytes(student.content)


def students(lesson: Lesson, assignment: Assignment) -> list[Student]:
    """Return the demo students of `lesson`, with the score that each must get."""
    reference = exports(lesson)
    points = {cell.name: cell.points for cell in lesson.of(Role.TESTS)}
    total = sum(points.values())

    def made(name: str, score: float, **answers: str) -> Student:
        return Student(name, notebook(lesson, assignment, reference | answers), score)

    people = [made("perfect", total)]
    known = variants(lesson)
    for variant in known:
        lost = sum(points[test] for test in variant.fails)
        kind = "right" if variant.is_right else "wrong"
        people.append(
            made(
                f"{kind}-{variant.exercise}-{variant.name}",
                total - lost,
                **{variant.exercise: variant.source},
            )
        )
    longest = max(
        (one for one in known if one.is_right), key=lambda one: len(one.source), default=None
    )
    if longest is not None:
        people.append(made("copied", total, **{longest.exercise: disguised(longest.source)}))
    # The last exercise: nothing that comes later stands on it.
    last = list(reference)[-1]
    without_last = total - sum(c.points for c in lesson.of(Role.TESTS) if c.exercise == last)
    middle = list(reference)[len(reference) // 2]
    return [
        *people,
        Student("blank", assignment.notebooks[0].released.encode(), 0.0),
        made("syntax_error", without_last, **{last: reference[last] + "\n    return ("}),
        made("loops_forever", without_last, **{last: f"while True:\n    {last} = None"}),
        made(
            "kills_the_kernel",
            _points_before(lesson, middle),
            **{middle: "import os\n\nos._exit(1)"},
        ),
        Student("no_notebook", b"%PDF-1.7 scanned on a Sunday night", 0.0),
    ]


def disguised(source: str) -> str:
    """Return a program as somebody hands it in who copied it: other names, layout and comments.

    Names of parameters stay, for tests call by them; so does what belongs to a class.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    kept = {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            fields = (part for part in node.body if not isinstance(part, ast.FunctionDef))
            kept |= {n.id for part in fields for n in ast.walk(part) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.Global | ast.Nonlocal):
            kept |= set(node.names)
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if not isinstance(node.ctx, ast.Load)} - kept
    for node in names:
        if node.id in own:
            node.id = f"my_{node.id}"
    return f"# All by myself\n{ast.unparse(tree)}"


def _points_before(lesson: Lesson, exercise: str) -> float:
    points = 0.0
    for cell in lesson.cells:
        if cell.role is Role.EXERCISE and cell.exercise == exercise:
            break
        points += cell.points if cell.role is Role.TESTS else 0.0
    return points


def notebook(lesson: Lesson, assignment: Assignment, answers: dict[str, str]) -> bytes:
    """Return the released notebook with `answers` and the model's written answers filled in."""
    written = {cell.name: without_markers(cell.source) for cell in lesson.of(Role.MANUAL)}
    made = nbformat.reads(assignment.notebooks[0].released, as_version=4)
    for cell in made.cells:
        name = grade_id(cell)
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = (answers | written)[name]
    text: str = nbformat.writes(made)
    return text.encode()
