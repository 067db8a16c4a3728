"""Read one lesson's source (jupytext py:percent) and refuse what would go wrong later.

`load` returns a `Lesson`: cells with a role, a name and a line number. The format is described for
authors in docs/authoring.md.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import jupytext
import yaml

from grader.errors import LessonError, nearest
from grader.model import Limits

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

CELL_KEYS = {"exercise", "tests", "part", "points", "manual", "locked", "given", "figure", "tags"}
LIMIT_KEYS = set(Limits.__dataclass_fields__)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
MARKERS = "# %% or # %% [markdown]"
LONGEST = 64  # characters of a cell's id, says nbformat


def _is_number(value: object) -> bool:
    """Whether it is a positive number, which True and NaN are not."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf  # type: ignore[operator]


# What may stand in the header: {key: (is its value right?, what it must be)}
HEADER_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "title": (lambda value: isinstance(value, str) and bool(value), "a text"),
    "minutes": (lambda value: isinstance(value, int) and _is_number(value), "a whole number"),
    "prerequisites": (
        lambda value: isinstance(value, list) and all(isinstance(unit, str) for unit in value),
        "a list of units: [01-neurons]",
    ),
    "limits": (lambda value: isinstance(value, dict), "one line for each limit below it"),
    "gpu": (
        lambda value: isinstance(value, bool) or value == "optional",
        "true, false or optional",
    ),
    "profile": (lambda value: value in ("quick", "full"), "quick or full"),
    "tests": (lambda value: value in ("judge", "in-kernel"), "judge or in-kernel"),
}


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
        given: a locked cell whose functions and classes later units get, too.
        line: line of the cell's ``# %%`` marker in the lesson's file, from 1.
    """

    role: Role
    source: str
    line: int
    name: str = ""
    exercise: str = ""
    given: bool = False
    points: float = 0.0
    figure: str = ""
    tags: tuple[str, ...] = ()
    markdown: bool = False

    @property
    def kept(self) -> bool:
        """Whether later units have what is defined here, in ``previously``."""
        return self.given or self.role is Role.EXERCISE


@dataclass(frozen=True)
class Lesson:
    """A unit's lesson as its author wrote it.

    Attributes:
        gpu: it is graded on one.
        without_gpu: what becomes of it where there is none: see `grader.model.Assignment`.
        profile: in which it is graded.
    """

    unit: str
    path: Path
    title: str
    minutes: int
    prerequisites: tuple[str, ...]
    gpu: bool
    without_gpu: Literal["wait", "quick"]
    profile: str
    judged: bool
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
        without_gpu="quick" if header.get("gpu") == "optional" else "wait",
        profile=header.get("profile", "quick"),
        judged=header.get("tests", "judge") == "judge",
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
        header = yaml.safe_load(block)
        places = dict(_places(yaml.compose(block)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = min((mark.line if mark else 0) + 2, fences[1])
        raise LessonError(path, line, "the header is not YAML", str(error)) from None
    for name in ("jupyter", "lesson"):
        header = header.get(name) if isinstance(header, dict) else None
    if not isinstance(header, dict):
        raise LessonError(path, 1, "no lesson in the header", "add jupyter: lesson: title: ...")
    _check_header(path, header, places)
    return header


def _places(node: yaml.Node | None, above: tuple[str, ...] = ()) -> Iterator[tuple[Any, int]]:
    """Yield (path of keys, its line in the lesson's file) for every key of the header."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        here = (*above, str(key.value))
        yield here, key.start_mark.line + 2
        yield from _places(value, here)


def _check_header(path: Path, header: dict[Any, Any], places: dict[Any, int]) -> None:
    top = ("jupyter", "lesson")
    for key, value in header.items():
        line = places.get((*top, str(key)), 1)
        if key not in HEADER_KEYS:
            raise LessonError(
                path,
                line,
                f"unknown key {key!r} in the header.{nearest(str(key), HEADER_KEYS)}",
                f"known: {', '.join(sorted(HEADER_KEYS))}",
            )
        is_right, kind = HEADER_KEYS[key]
        if not is_right(value):
            raise LessonError(path, line, f"{key}: {value!r} in the header", f"{key}: {kind}")
    for key in ("title", "minutes"):
        if key not in header:
            raise LessonError(
                path, places[top], f"the header needs {key}", f"{key}: {HEADER_KEYS[key][1]}"
            )
    for key, value in (header.get("limits") or {}).items():
        if key not in LIMIT_KEYS or not _is_number(value):
            raise LessonError(
                path,
                places.get((*top, "limits", str(key)), 1),
                f"limits: {key}: {value!r} is not a limit." + nearest(str(key), LIMIT_KEYS - {key}),
                f"positive numbers for {', '.join(sorted(LIMIT_KEYS))}",
            )


# ---- cells ----------------------------------------------------------------------------------


def _cells(path: Path, text: str) -> list[Cell]:
    lines = text.splitlines()
    markers = [i for i, line in enumerate(lines, 1) if re.match(r"# ?%%", line)]
    for i in markers:
        if not re.match(r"# ?%%( |$)", lines[i - 1]):
            raise LessonError(path, i, "not a cell marker", f"{MARKERS}; lessons use no magics")
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except Exception as error:  # jupytext and nbformat raise what they like
        line = next((i for i in markers if _is_refused(lines[i - 1])), 1)
        raise LessonError(path, line, "not a cell", str(error).splitlines()[0]) from None
    if len(notebook.cells) != len(markers):
        header = [i for i, line in enumerate(lines, 1) if line.strip() == "# ---"][1]
        above = lines[header : markers[0] - 1 if markers else None]
        outside = [header + i for i, line in enumerate(above, 1) if line.strip()]
        inside = [
            line
            for cell, line in zip(notebook.cells, markers[1:], strict=False)
            if lines[line - 1] in cell.source.splitlines()
        ]
        raise LessonError(
            path,
            (outside or inside or [1])[0],
            "text outside of a cell" if outside else "a cell marker inside of a string",
            f"every cell starts with a line {MARKERS}",
        )
    return [
        _cell(path, line, cell.cell_type, cell.source, dict(cell.metadata))
        for line, cell in zip(markers, notebook.cells, strict=True)
    ]


def _is_refused(marker: str) -> bool:
    try:
        jupytext.reads(f"{marker}\n1\n", fmt="py:percent")
    except Exception:  # whatever it is, the whole lesson has raised it before
        return True
    return False


def _cell(path: Path, line: int, kind: str, source: str, keys: dict[str, Any]) -> Cell:
    keys.pop("lines_to_next_cell", None)  # jupytext's note on blank lines
    for key, value in keys.items():
        if key == "incorrectly_encoded_metadata":  # jupytext's name for what it cannot read
            raise LessonError(path, line, f"not keys: {value}", 'name="text" or name=number')
        if key not in CELL_KEYS:
            raise LessonError(
                path,
                line,
                f"unknown key {key!r}.{nearest(key, CELL_KEYS)}",
                f"known: {', '.join(sorted(CELL_KEYS))}",
            )
    if kind not in ("code", "markdown"):
        raise LessonError(path, line, f"a {kind} cell", MARKERS)
    roles = [key for key in ("exercise", "tests", "manual", "locked", "given") if keys.get(key)]
    if len(roles) > 1:
        raise LessonError(path, line, f"{' and '.join(roles)} in one cell", "split the cell")
    given = roles == ["given"]
    roles = ["locked"] if given else roles
    role = Role(roles[0]) if roles else (Role.PROSE if kind == "markdown" else Role.CODE)
    markdown = kind == "markdown"
    if markdown and (given or role in (Role.EXERCISE, Role.TESTS)):
        what = "given" if given else role
        raise LessonError(path, line, f"{what} in a markdown cell", "remove [markdown]")
    tags = tuple(keys.get("tags") or ())
    if "parameters" in tags:
        role = Role.LOCKED  # what the grader injects follows this cell, so it must be there
    cell = Cell(
        role=role,
        source=source,
        line=line,
        name=_name(path, line, role, source, keys),
        exercise=str(keys.get("exercise") or keys.get("tests") or ""),
        given=given,
        points=_points(path, line, role, keys),
        figure=str(keys.get("figure", "")),
        tags=tags,
        markdown=markdown,
    )
    _check_regions(path, cell)
    if not markdown:
        _check_python(path, cell)
    return cell


def _check_python(path: Path, cell: Cell) -> None:
    try:
        compile(cell.source, str(path), "exec", dont_inherit=True)
        body = ast.parse(cell.source).body
    except SyntaxError as error:
        raise LessonError(
            path,
            cell.line + (error.lineno or 1),
            f"not Python: {error.msg}",
            "lessons use no magics",
        ) from None
    last = body[-1] if body and cell.role is Role.TESTS else None
    if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Call):
        raise LessonError(
            path,
            cell.line + last.lineno,
            "a test cell ends in a value, and nbgrader pays a number as partial credit",
            f"assert {ast.unparse(last)}",
        )


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
    name = f"{given}-{keys.get('part', 'tests')}" if role is Role.TESTS else str(given)
    if len(name) > LONGEST:
        raise LessonError(path, line, f"{name!r} is too long", f"at most {LONGEST} characters")
    return name


def _points(path: Path, line: int, role: Role, keys: dict[str, Any]) -> float:
    points = keys.get("points")
    if role in (Role.TESTS, Role.MANUAL):
        if not _is_number(points):
            raise LessonError(path, line, "points missing", "a positive number: points=2")
        return float(points)  # type: ignore[arg-type]
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
    used = [names.used(cell.source) for cell in code]
    for index, cell in enumerate(code):
        if cell.role is not Role.TESTS:
            continue
        leaves = names.bound(cell.source)
        for later, needs in zip(code[index + 1 :], used[index + 1 :], strict=True):
            leaked = leaves & needs
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
        if cell.role is not Role.TESTS:
            # Another name for what `previously` gives would be unknown where it is exported to.
            imports = names.imports(cell.source).items()
            known |= {n for n, text in imports if not re.match("from previously .* as ", text)}
        if cell.kept:
            exercises |= names.bound(cell.source)
    for cell in (cell for cell in lesson.cells if cell.kept):
        unknown = names.used(cell.source) - known - exercises
        if unknown:
            what = f"the solution of {cell.exercise!r}" if cell.exercise else "what is given here"
            raise LessonError(
                lesson.path,
                cell.line,
                f"{what} uses {', '.join(sorted(unknown))}, which later units would not have",
                "define it in the same cell or in one marked given=true, or import it",
            )
