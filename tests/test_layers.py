"""The floors of the grader: who may import whom."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys

import pytest
from builders import REPOSITORY

FLOORS = {
    7: {"cli"},
    6: {"batch", "demo"},
    5: {"classroom", "entries", "gradebook", "report"},
    4: {"grade", "feedback", "execute", "page"},
    3: {"engine", "judged", "score", "wording"},
    2: {"release", "interop", "clean", "formulas", "markup", "plots"},
    1: {"lesson", "course"},
    0: {"model", "errors", "names", "misconceptions"},
}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules}
SOURCES = {path.stem: path for path in (REPOSITORY / "grader").glob("*.py")}
CHECK = {f"check.{path.stem}": path for path in (REPOSITORY / "grader" / "check").glob("*.py")}


def imports(module: str) -> set[str]:
    """Return every module that `module` names in an import, in functions and under ifs too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((SOURCES | CHECK)[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the floor"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(module: str) -> set[str]:
    """Return the modules of the grader that `module` imports."""
    parts = [name.split(".") for name in imports(module)]
    return {part[1] for part in parts if part[0] == "grader" and len(part) > 1}


def test_every_module_has_a_floor() -> None:
    assert set(SOURCES) == FLOOR.keys() | {"__init__"}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() & FLOOR.keys()))
def test_a_module_imports_only_from_its_floor_and_those_below(module: str) -> None:
    above = {name for name in ours(module) if FLOOR.get(name, 99) > FLOOR[module]}
    assert not above


def test_no_modules_import_each_other_around_a_corner() -> None:
    graph = {module: ours(module) for module in SOURCES}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(SOURCES)  # or CycleError


def test_what_a_student_imports_stands_alone() -> None:
    allowed = sys.stdlib_module_names | {"numpy"}
    graph: dict[str, set[str]] = {}
    for module in CHECK:
        parts = [name.split(".") for name in imports(module)]
        assert {part[0] for part in parts if part[:2] != ["grader", "check"]} <= allowed
        graph[module] = {f"check.{part[2]}" for part in parts if part[:2] == ["grader", "check"]}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(CHECK)  # or CycleError
    assert imports("__init__") == set()


@pytest.mark.parametrize("module", ["grader.engine", "grader.grade", "papermill"])
def test_each_door_into_papermill_can_be_the_first(module: str) -> None:
    """papermill loads our engine while it is imported itself: the order must not matter."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def test_the_architecture_page_draws_the_same_floors() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", page, re.MULTILINE)
    assert {int(floor): set(re.findall(r"`(\w+)`", names)) for floor, names in rows} == FLOORS
