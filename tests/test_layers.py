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
    7: {"cli", "guide", "lab"},
    6: {"autograde", "batch", "demo", "junit", "runs", "validate"},
    5: {
        "classroom",
        "cluster",
        "collect",
        "concerns",
        "entries",
        "export",
        "gradebook",
        "gradesheets",
        "journal",
        "place",
        "progress",
        "report",
        "similar",
        "slurm",
        "tallies",
        "workers",
    },
    4: {"grade", "feedback", "page", "reference", "results", "site"},
    3: {"ahead", "engine", "judge", "judged", "score", "sources", "wording"},
    2: {
        "release",
        "interop",
        "database",
        "receipts",
        "clean",
        "intake",
        "needed",
        "formulas",
        "markup",
        "plots",
        "launch",
        "proof",
        "kernels",
    },
    1: {"lesson", "course", "roster", "sheets"},
    0: {
        "model",
        "errors",
        "names",
        "misconceptions",
        "mutants",
        "evidence",
        "fingerprints",
        "discrimination",
        "answer",
    },
}
PACKAGES = {"kernels", "judge", "answer"}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules}
FLOOR["check"] = -1  # below all of them: a student imports it
SOURCES = {path.stem: path for path in (REPOSITORY / "grader").glob("*.py")}
KERNELS = {f"kernels.{path.stem}": path for path in (REPOSITORY / "grader/kernels").glob("*.py")}
JUDGE = {f"judge.{path.stem}": path for path in (REPOSITORY / "grader/judge").glob("*.py")}
ANSWER = {f"answer.{path.stem}": path for path in (REPOSITORY / "grader/answer").glob("*.py")}
CHECK = {f"check.{path.stem}": path for path in (REPOSITORY / "grader" / "check").glob("*.py")}


def imports(module: str) -> set[str]:
    """Return every module that `module` names in an import, in functions and under ifs too."""
    found: set[str] = set()
    path = (SOURCES | KERNELS | JUDGE | ANSWER | CHECK)[module]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    assert set(SOURCES) == (FLOOR.keys() - PACKAGES - {"check"}) | {"__init__"}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() & FLOOR.keys()))
def test_a_module_imports_only_from_its_floor_and_those_below(module: str) -> None:
    above = {name for name in ours(module) if FLOOR.get(name, 99) > FLOOR[module]}
    assert not above


def test_no_modules_import_each_other_around_a_corner() -> None:
    graph = {module: ours(module) for module in SOURCES}
    modules = set(graphlib.TopologicalSorter(graph).static_order())  # or CycleError
    assert modules == set(SOURCES) | PACKAGES - {"answer"} | {"check"}  # the judge needs `answer`


def test_the_zygote_needs_nothing_of_ours_but_its_package() -> None:
    """It runs in the interpreter of whatever environment a notebook asks for."""
    graph: dict[str, set[str]] = {}
    for module in KERNELS:
        parts = [name.split(".") for name in imports(module)]
        inside = {part[2] for part in parts if part[:2] == ["grader", "kernels"]}
        graph[module] = {f"kernels.{name}" for name in inside}
        assert {FLOOR[name] for name in ours(module) - {"kernels"}} <= {0}
    for module in ("zygote", "room", "groups"):
        assert ours(f"kernels.{module}") <= {"kernels"}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(KERNELS)  # or CycleError


def test_what_runs_in_the_kernels_of_a_submission_needs_little() -> None:
    """A room shows no more of ours than this: `grader.launch.shown`."""
    graph: dict[str, set[str]] = {}
    for module in ANSWER:
        assert ours(module) <= {"answer"}
        parts = {name.partition(".")[0] for name in imports(module)}
        assert parts <= sys.stdlib_module_names | {"grader", "numpy", "torch", "IPython"}
    for module in JUDGE:
        above = {"launch"} if module == "judge.kernel" else set()  # the grader's own part
        assert ours(module) <= {"answer", "check", "judge"} | above
        parts = [name.split(".") for name in imports(module)]
        inside = {part[2] for part in parts if part[:2] == ["grader", "judge"]}
        graph[module] = {f"judge.{name}" for name in inside}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(JUDGE)  # or CycleError


def test_what_a_student_imports_stands_alone() -> None:
    allowed = sys.stdlib_module_names | {"numpy"}
    graph: dict[str, set[str]] = {}
    for module in CHECK:
        parts = [name.split(".") for name in imports(module)]
        assert {part[0] for part in parts if part[:2] != ["grader", "check"]} <= allowed
        graph[module] = {f"check.{part[2]}" for part in parts if part[:2] == ["grader", "check"]}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(CHECK)  # or CycleError
    assert imports("__init__") == {"sys"}


@pytest.mark.parametrize("module", ["grader.engine", "grader.grade", "papermill"])
def test_each_door_into_papermill_can_be_the_first(module: str) -> None:
    """papermill loads our engine while it is imported itself: the order must not matter."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def test_the_architecture_page_draws_the_same_floors() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", page, re.MULTILINE)
    drawn: dict[int, set[str]] = {}
    for floor, names in rows:
        drawn.setdefault(int(floor), set()).update(re.findall(r"`(\w+)`", names))
    assert drawn == FLOORS
