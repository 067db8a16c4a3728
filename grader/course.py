"""The course: solutions/ -> units, exercises, source notebooks, previously.py, misconceptions."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from grader import names
from grader.errors import LessonError, UsageError, nearest
from grader.lesson import BEGIN_SOLUTION, END_SOLUTION, Cell, Lesson, Role, load


@dataclass(frozen=True)
class Variant:
    """A whole solution of one exercise, other than the reference.

    Attributes:
        name: slug, unique within the exercise.
        hint: what the author of a wrong one needs to hear; empty for a right one.
        fails: grade_ids of the test cells that it must fail; empty for a right one.
        about: first line of its docstring.
    """

    exercise: str
    name: str
    source: str
    about: str
    hint: str = ""
    fails: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it must earn full marks."""
        return not self.fails


@dataclass(frozen=True)
class Course:
    """All lessons below one ``solutions/`` folder, in order; one is read when it is asked for.

    Attributes:
        sources: {unit: its lesson's file}.

    Raises, whatever asks for a lesson:
        UsageError: there is no such unit.
        LessonError: the lesson has a mistake.
    """

    root: Path
    sources: Mapping[str, Path]
    _read: dict[str, Lesson] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """Every lesson."""
        return tuple(self[unit] for unit in self.sources)

    def __getitem__(self, unit: str) -> Lesson:
        if unit not in self.sources:
            raise UsageError(f'no unit "{unit}".{nearest(unit, self.sources)}')
        if unit not in self._read:
            self._read[unit] = load(self.sources[unit])
        return self._read[unit]

    def __contains__(self, unit: object) -> bool:
        return unit in self.sources

    def before(self, lesson: Lesson) -> list[Lesson]:
        """Return the lessons that come before `lesson`."""
        return [self[unit] for unit in self.sources if unit < lesson.unit]


def load_course(root: Path) -> Course:
    """Find every lesson below `root` (a ``solutions/`` folder).

    Raises:
        UsageError: `root` holds no lesson.
        LessonError: a unit has not one lesson.
    """
    found = {}
    for folder in sorted(path for path in root.glob("[0-9]*") if path.is_dir()):
        sources = [path for path in folder.glob("*.py") if path.name != "misconceptions.py"]
        if len(sources) != 1:
            raise LessonError(
                folder, 1, f"{len(sources)} lessons in one unit", "one .py beside misconceptions.py"
            )
        found[folder.name] = sources[0]
    if not found:
        raise UsageError(
            f"no lessons in {root}/: go to the folder of the course, or name it with --solutions"
        )
    return Course(root, found)


# ---- source notebook ------------------------------------------------------------------------


def source_notebook(lesson: Lesson) -> NotebookNode:
    """Return `lesson` as an nbgrader source notebook, solutions and hidden tests in.

    Cell ids are stable: a graded cell's id is its name, another's a hash of unit and text, so
    that a change in one cell does not rename the others.
    """
    cells = []
    seen: dict[str, int] = {}
    for cell in lesson.cells:
        node = (
            nbformat.v4.new_markdown_cell(cell.source)
            if cell.markdown
            else nbformat.v4.new_code_cell(cell.source)
        )
        digest = hashlib.sha256(f"{lesson.unit}\n{cell.source}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        anonymous = f"cell-{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else "")
        node.id = cell.name or anonymous
        metadata: dict[str, Any] = {}
        if cell.tags:
            metadata["tags"] = list(cell.tags)
        if cell.figure:
            metadata["figure"] = cell.figure
        if cell.role not in (Role.PROSE, Role.CODE):
            metadata["nbgrader"] = _nbgrader(cell, node.id)
        node.metadata.update(metadata)
        cells.append(node)
    notebook = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            "lesson": {"title": lesson.title, "minutes": lesson.minutes, "unit": lesson.unit},
        },
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _nbgrader(cell: Cell, grade_id: str) -> dict[str, Any]:
    graded = cell.role in (Role.TESTS, Role.MANUAL)
    metadata: dict[str, Any] = {
        "grade": graded,
        "grade_id": grade_id,
        "locked": cell.role in (Role.TESTS, Role.LOCKED),
        "schema_version": 3,
        "solution": cell.role in (Role.EXERCISE, Role.MANUAL),
        "task": False,
    }
    if graded:
        metadata["points"] = cell.points
    return metadata


# ---- what later units stand on --------------------------------------------------------------


def exports(lesson: Lesson) -> dict[str, str]:
    """Return {exercise: reference solution}, markers taken out."""
    return {cell.exercise: without_markers(cell.source) for cell in lesson.of(Role.EXERCISE)}


def previously(lessons: list[Lesson]) -> str:
    """Return the text of the module ``previously`` for a unit that follows `lessons`.

    An exercise that a later unit teaches anew (conv2d, once by loops and once as one matrix
    product) is exported in its latest form, and so is what a cell marked ``given`` defines.

    Raises:
        LessonError: two cells define one helper, and one module can hold only one of them.
    """
    code: dict[str, str] = {}
    statements: dict[str, str] = {}
    owners: dict[str, str] = {}
    for lesson in lessons:
        imports: dict[str, str] = {}
        for cell in lesson.cells:
            if not cell.markdown and cell.role is not Role.TESTS:
                imports |= names.imports(cell.source)
        for cell in (cell for cell in lesson.cells if cell.kept):
            source = without_markers(cell.source)
            defined = names.bound(source) - set(names.imports(source))
            owner = cell.exercise or ", ".join(sorted(defined))
            for name in defined:
                if owners.setdefault(name, owner) != owner:
                    raise LessonError(
                        lesson.path,
                        cell.line,
                        f"{name} is defined by {owner!r} and by {owners[name]!r}",
                        "later units have both in one module: choose another name",
                    )
            code.pop(owner, None)  # its place is where it was taught last
            code[owner] = source
            for name in names.used(source) & set(imports):
                if not imports[name].startswith("from previously "):  # it is in `code` already
                    statements[name] = imports[name]
    head = '"""Reference solutions of the units before this one. Built from solutions/."""\n\n'
    imported = "\n".join(sorted(set(statements.values())))
    return "\n\n\n".join(filter(None, [head + imported, *_in_order(list(code.values()))])) + "\n"


def _in_order(sources: list[str]) -> list[str]:
    """Return `sources` with those first that others need while they are being defined.

    A class that is taught anew moves down, and must still stand above its subclasses.
    """
    waiting = [source.strip() for source in sources]
    bound = {source: names.bound(source) for source in waiting}
    needed = {source: names.used_at_once(source) for source in waiting}
    placed: list[str] = []
    while waiting:
        for source in waiting:
            others = set[str]().union(*(bound[one] for one in waiting if one is not source))
            if not (needed[source] & others):
                break
        else:
            source = waiting[0]  # they need each other: Python will say so
        waiting.remove(source)
        placed.append(source)
    return placed


def without_markers(source: str) -> str:
    """Return the text of an answer cell with its solution in and the markers out."""
    return "\n".join(
        line
        for line in source.splitlines()
        if BEGIN_SOLUTION not in line and END_SOLUTION not in line
    )


def parameters(lesson: Lesson) -> set[str]:
    """Return the names that papermill may set: those that the parameters cell binds."""
    cells = [cell.source for cell in lesson.cells if "parameters" in cell.tags]
    return {name for source in cells for name in names.bound(source)}


# ---- misconceptions -------------------------------------------------------------------------


def variants(lesson: Lesson) -> list[Variant]:
    """Return the wrong and right variants in the unit's ``misconceptions.py``, in order.

    Raises:
        LessonError: an exercise or test cell that does not exist, a missing name or hint, two
            variants of one name.
    """
    path = lesson.path.with_name("misconceptions.py")
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise LessonError(path, error.lineno or 1, f"not Python: {error.msg}") from None
    # ast.get_source_segment would split the file anew for each of fifty variants.
    lines = text.split("\n")
    found: list[Variant] = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name):
                found.append(_variant(path, lesson, node, decorator, lines))
    pairs = [(variant.exercise, variant.name) for variant in found]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise LessonError(path, 1, f"two variants of {pair[0]} are named {pair[1]!r}")
    return found


def _variant(
    path: Path,
    lesson: Lesson,
    node: ast.FunctionDef | ast.ClassDef,
    decorator: ast.Call,
    lines: list[str],
) -> Variant:
    line = decorator.lineno
    kind = decorator.func.id if isinstance(decorator.func, ast.Name) else ""
    if kind not in ("misconception", "alternative"):
        raise LessonError(
            path, line, f"unknown decorator {kind}", "@misconception(...) or @alternative(...)"
        )
    try:
        arguments = [ast.literal_eval(argument) for argument in decorator.args]
        keywords = {k.arg: ast.literal_eval(k.value) for k in decorator.keywords}
    except ValueError:
        raise LessonError(path, line, "arguments must be plain text and lists") from None
    exercises = [cell.exercise for cell in lesson.of(Role.EXERCISE)]
    exercise = arguments[0] if arguments else ""
    if exercise not in exercises:
        raise LessonError(
            path, line, f"no exercise {exercise!r}.{nearest(str(exercise), exercises)}"
        )
    name = keywords.get("name")
    if not isinstance(name, str) or not name:
        raise LessonError(path, line, "a variant needs a name", 'name="flips_kernel"')
    keys = {"name", "fails"} if kind == "misconception" else {"name"}
    for key in keywords:
        if key not in keys:
            raise LessonError(path, line, f"unknown {key!r}.{nearest(str(key), keys)}")
    wanted = 2 if kind == "misconception" else 1
    if len(arguments) != wanted or not all(isinstance(a, str) and a for a in arguments):
        raise LessonError(path, line, "a misconception needs a hint, an alternative has none")
    tests = {cell.name: cell for cell in lesson.of(Role.TESTS)}
    fails: tuple[str, ...] = ()
    if kind == "misconception":
        own = [n for n, cell in tests.items() if cell.exercise == exercise]
        fails = tuple(keywords.get("fails") or own)
        for test in fails:
            if test not in tests:
                raise LessonError(path, line, f"no test cell {test!r}.{nearest(test, tests)}")
        if not set(fails) & set(own):
            raise LessonError(
                path, line, f"it passes all tests of {exercise}", "a misconception must fail one"
            )
    body = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    docstring = ast.get_docstring(node) or ""
    return Variant(
        exercise=exercise,
        name=name,
        source=body,
        about=docstring.split("\n")[0],
        hint=arguments[1] if kind == "misconception" else "",
        fails=fails,
    )
