"""Read one lesson's source (jupytext py:percent) and refuse what would go wrong later.

`load` returns a `Lesson`: cells with a role, a name and a line number. The format is described for
authors in docs/authoring.md.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jupytext
import yaml

from grader.errors import LessonError, nearest
from grader.model import Limits

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

CELL_KEYS = {"exercise", "tests", "part", "points", "manual", "locked", "figure", "tags"}
HEADER_KEYS = {"title", "minutes", "prerequisites", "limits", "gpu"}
LIMIT_KEYS = set(Limits.__dataclass_fields__)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")


class Role(StrEnum):
    """What a cell is for."""

    PROSE = "prose"
    CODE = "code"  # the student may change it
    LOCKED = "locked"  # restored before grading
    EXERCISE = "exercise"
    TESTS = "tests"
    MANUAL = "manual"


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson.

    Attributes:
        name: nbgrader's grade_id; empty for prose and ordinary code.
        exercise: the exercise that a test cell tests, or that this cell is.
        line: line of the cell's ``# %%`` marker in the lesson's file, from 1.
    """

    role: Role
    source: str
    line: int
    name: str = ""
    exercise: str = ""
    points: float = 0.0
    figure: str = ""
    tags: tuple[str, ...] = ()
    markdown: bool = False


@dataclass(frozen=True)
class Lesson:
    """A unit's lesson as its author wrote it."""

    unit: str
    path: Path
    title: str
    minutes: int
    prerequisites: tuple[str, ...]
    gpu: bool
    limits: Limits
    cells: tuple[Cell, ...]

    @property
    def notebook(self) -> str:
        """Name of the lesson's notebook, without ``.ipynb``."""
        return self.path.stem

    @property
    def points(self) -> float:
        """Points that the lesson's test cells and written answers carry."""
        return sum(cell.points for cell in self.cells)

    def of(self, role: Role) -> list[Cell]:
        """Return the cells of one role, in order."""
        return [cell for cell in self.cells if cell.role is role]


def load(path: Path) -> Lesson:
    """Read the lesson at `path`; its folder's name is the unit's.

    Raises:
        LessonError: with file, line and advice, for every mistake that can be seen here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(path, 1, f"cannot be read: {error}") from None
    header = _header(path, text)
    cells = tuple(_cells(path, text))
    lesson = Lesson(
        unit=path.parent.name,
        path=path,
        title=header["title"],
        minutes=header["minutes"],
        prerequisites=tuple(header.get("prerequisites") or ()),
        gpu=bool(header.get("gpu", False)),
        limits=Limits(**(header.get("limits") or {})),
        cells=cells,
    )
    _check_names(lesson)
    _check_figures(lesson)
    _check_scopes(lesson)
    return lesson


# ---- header ---------------------------------------------------------------------------------


def _header(path: Path, text: str) -> dict[str, Any]:
    lines = text.splitlines()
    fences = [i for i, line in enumerate(lines) if line.strip() == "# ---"][:2]
    if len(fences) < 2 or fences[0] != 0:
        raise LessonError(path, 1, "no header", "start the file with # ---, YAML, # ---")
    block = "\n".join(line[2:] for line in lines[1 : fences[1]])
    try:
        header = ((yaml.safe_load(block) or {}).get("jupyter") or {}).get("lesson")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = (mark.line if mark else 0) + 2
        raise LessonError(path, line, "the header is not YAML", str(error)) from None
    if not isinstance(header, dict):
        raise LessonError(path, 1, "no lesson in the header", "add jupyter: lesson: title: ...")
    for key in header:
        if key not in HEADER_KEYS:
            raise LessonError(
                path,
                _find(lines, f"{key}:"),
                f"unknown key {key!r} in the header.{nearest(key, HEADER_KEYS)}",
                f"known: {', '.join(sorted(HEADER_KEYS))}",
            )
    for key, kind in (("title", str), ("minutes", int)):
        if not isinstance(header.get(key), kind) or not header[key]:
            raise LessonError(
                path,
                _find(lines, f"{key}:"),
                f"the header needs {key}",
                f"{key}: a {kind.__name__}",
            )
    for key, value in (header.get("limits") or {}).items():
        if key not in LIMIT_KEYS or not isinstance(value, int | float) or value <= 0:
            raise LessonError(
                path,
                _find(lines, f"{key}:"),
                f"limits: {key}: {value!r} is not a limit.{nearest(key, LIMIT_KEYS)}",
                f"positive numbers for {', '.join(sorted(LIMIT_KEYS))}",
            )
    return header


def _find(lines: list[str], text: str) -> int:
    return next((i for i, line in enumerate(lines, 1) if text in line), 1)


# ---- cells ----------------------------------------------------------------------------------


def _cells(path: Path, text: str) -> list[Cell]:
    markers = [i for i, line in enumerate(text.splitlines(), 1) if re.match(r"# ?%%( |$)", line)]
    notebook = jupytext.reads(text, fmt="py:percent")
    if len(notebook.cells) != len(markers):
        raise LessonError(
            path,
            markers[0] if markers else 1,
            "text outside of a cell",
            "every cell starts with a line # %% or # %% [markdown]",
        )
    return [
        _cell(path, line, cell.cell_type, cell.source, dict(cell.metadata))
        for line, cell in zip(markers, notebook.cells, strict=True)
    ]


def _cell(path: Path, line: int, kind: str, source: str, keys: dict[str, Any]) -> Cell:
    keys.pop("lines_to_next_cell", None)  # jupytext's note on blank lines
    for key in keys:
        if key not in CELL_KEYS:
            raise LessonError(
                path,
                line,
                f"unknown key {key!r}.{nearest(key, CELL_KEYS)}",
                f"known: {', '.join(sorted(CELL_KEYS))}",
            )
    roles = [key for key in ("exercise", "tests", "manual", "locked") if keys.get(key)]
    if len(roles) > 1:
        raise LessonError(path, line, f"{' and '.join(roles)} in one cell", "split the cell")
    role = Role(roles[0]) if roles else (Role.PROSE if kind == "markdown" else Role.CODE)
    markdown = kind == "markdown"
    if markdown and role in (Role.EXERCISE, Role.TESTS):
        raise LessonError(path, line, f"{role} in a markdown cell", "remove [markdown]")
    tags = tuple(keys.get("tags") or ())
    if "parameters" in tags:
        role = Role.LOCKED  # what the grader injects follows this cell, so it must be there
    cell = Cell(
        role=role,
        source=source,
        line=line,
        name=_name(path, line, role, source, keys),
        exercise=str(keys.get("exercise") or keys.get("tests") or ""),
        points=_points(path, line, role, keys),
        figure=str(keys.get("figure", "")),
        tags=tags,
        markdown=markdown,
    )
    _check_regions(path, cell)
    if not markdown:
        try:
            ast.parse(source)
        except SyntaxError as error:
            raise LessonError(
                path,
                line + (error.lineno or 1),
                f"not Python: {error.msg}",
                "lessons use no magics",
            ) from None
    return cell


def _name(path: Path, line: int, role: Role, source: str, keys: dict[str, Any]) -> str:
    if "part" in keys and role is not Role.TESTS:
        raise LessonError(path, line, "part without tests", 'tests="conv2d" part="stride"')
    given = keys.get(str(role)) if role in (Role.EXERCISE, Role.TESTS, Role.MANUAL) else None
    if given is None:
        return ""
    for value in (given, keys.get("part", "tests")):
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise LessonError(
                path, line, f"{value!r} is not a name", "letters, digits and _, at most 41"
            )
    return f"{given}-{keys.get('part', 'tests')}" if role is Role.TESTS else str(given)


def _points(path: Path, line: int, role: Role, keys: dict[str, Any]) -> float:
    points = keys.get("points")
    if role in (Role.TESTS, Role.MANUAL):
        if isinstance(points, bool) or not isinstance(points, int | float) or points <= 0:
            raise LessonError(path, line, "points missing", "a positive number: points=2")
        return float(points)
    if points is not None:
        raise LessonError(
            path, line, f"points on a {role} cell", "points belong to tests and manual cells"
        )
    return 0.0


def _check_regions(path: Path, cell: Cell) -> None:
    pairs = (
        (BEGIN_SOLUTION, END_SOLUTION, (Role.EXERCISE, Role.MANUAL)),
        (BEGIN_HIDDEN, END_HIDDEN, (Role.TESTS,)),
    )
    for begin, end, roles in pairs:
        is_open = False
        seen = False
        for offset, text in enumerate(cell.source.splitlines(), 1):
            if begin in text or end in text:
                seen = True
                if cell.role not in roles:
                    raise LessonError(
                        path, cell.line + offset, f"{begin[4:]} in a {cell.role} cell", ""
                    )
                if (begin in text) == is_open:
                    raise LessonError(
                        path, cell.line + offset, f"{begin[4:]} and its END do not alternate", ""
                    )
                is_open = begin in text
        if is_open:
            raise LessonError(path, cell.line, f"{begin[4:]} is never closed", f"add {end}")
        if not seen and begin == BEGIN_SOLUTION and cell.role is Role.EXERCISE:
            raise LessonError(
                path, cell.line, "an exercise without a solution", f"{begin} ... {end}"
            )


# ---- the lesson as a whole ------------------------------------------------------------------


def _check_names(lesson: Lesson) -> None:
    seen: dict[str, int] = {}
    exercises: set[str] = set()
    every_exercise = {cell.exercise for cell in lesson.of(Role.EXERCISE)}
    for cell in lesson.cells:
        if cell.name in seen:
            raise LessonError(
                lesson.path,
                cell.line,
                f"duplicate name {cell.name!r}, first in line {seen[cell.name]}",
                'give a second test cell of an exercise a part="..."'
                if cell.role is Role.TESTS
                else "",
            )
        if cell.name:
            seen[cell.name] = cell.line
        if cell.role is Role.EXERCISE:
            exercises.add(cell.exercise)
        if cell.role is Role.TESTS and cell.exercise not in exercises:
            where = "is defined further down" if cell.exercise in every_exercise else "is not there"
            raise LessonError(
                lesson.path,
                cell.line,
                f"tests for {cell.exercise!r}, which {where}."
                + nearest(cell.exercise, every_exercise - {cell.exercise}),
                "tests stand below their exercise",
            )
    for cell in lesson.of(Role.EXERCISE):
        tests = [test for test in lesson.of(Role.TESTS) if test.exercise == cell.exercise]
        if not tests:
            raise LessonError(
                lesson.path,
                cell.line,
                f"exercise {cell.exercise!r} has no tests",
                f'# %% tests="{cell.exercise}" points=1',
            )
        if not any(BEGIN_HIDDEN in test.source for test in tests):
            raise LessonError(
                lesson.path,
                tests[0].line,
                f"exercise {cell.exercise!r} has no hidden tests",
                f"{BEGIN_HIDDEN} ... {END_HIDDEN}: visible asserts alone can be answered by heart",
            )


def _check_figures(lesson: Lesson) -> None:
    made = {cell.figure: cell.line for cell in lesson.cells if cell.figure}
    shown: set[str] = set()
    for cell in lesson.cells:
        if not cell.markdown:
            continue
        for name in re.findall(r"figures/([\w-]+)\.png", cell.source):
            shown.add(name)
            if name not in made:
                raise LessonError(
                    lesson.path,
                    cell.line,
                    f"figures/{name}.png is made by no cell.{nearest(name, made)}",
                    f'mark the cell that draws it: # %% figure="{name}"',
                )
    for name, line in made.items():
        if name not in shown:
            raise LessonError(
                lesson.path,
                line,
                f"the expected figure {name!r} is shown nowhere",
                f"in markdown below: ![what it shows](figures/{name}.png)",
            )


def _check_scopes(lesson: Lesson) -> None:
    from grader import names  # kept apart: it is all about Python's scopes, nothing about lessons

    code = [cell for cell in lesson.cells if not cell.markdown]
    for index, cell in enumerate(code):
        if cell.role is not Role.TESTS:
            continue
        leaves = names.bound(cell.source)
        for later in code[index + 1 :]:
            leaked = leaves & names.used(later.source)
            if leaked:
                raise LessonError(
                    lesson.path,
                    cell.line,
                    f"the test cell leaves {', '.join(sorted(leaked))}, "
                    f"which the cell in line {later.line} uses",
                    "put the tests into a function and delete it, or choose another name",
                )
    known = set[str]()
    exercises = set[str]()
    for cell in code:
        known |= names.imported(cell.source)
        if cell.role is Role.EXERCISE:
            exercises |= names.bound(cell.source)
    for cell in lesson.of(Role.EXERCISE):
        unknown = names.used(cell.source) - known - exercises
        if unknown:
            raise LessonError(
                lesson.path,
                cell.line,
                f"the solution of {cell.exercise!r} uses {', '.join(sorted(unknown))}, "
                "which later units would not have",
                "define it in the exercise's cell, or import it",
            )
