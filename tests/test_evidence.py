"""What no exercise asks for is noted, and ordinary work is not."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest

from grader import course, evidence

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("source", "noted"),
    [
        ("check.close = lambda *a: None", "replaces check.close"),
        ("np.testing.assert_allclose = print", "replaces np.testing.assert_allclose"),
        ("import builtins\nbuiltins.abs = print", "replaces builtins.abs"),
        ("setattr(np, 'allclose', print)", "replaces something of np"),
        ("import sys\nsys.modules['x'] = 1", "replaces a module"),
        ("from IPython import get_ipython\nget_ipython()", "the notebook's own machinery"),
        ("import sys\nsys._getframe(1)", "looks at who calls it"),
        ("from inspect import stack", "looks at who calls it"),
        ("import gc\ngc.get_objects()", "looks through all objects"),
        ("import ctypes", "reaches past Python"),
        ("from grader import answer", "reaches for the grader"),
        ("import os\nos._exit(0)", "ends its own process"),
        ("class Y:\n    def __eq__(self, o): return True", "__eq__ says True"),
        ("class Y:\n    __class__ = float", "claims to be of another class"),
    ],
)
def test_what_no_exercise_asks_for_is_noted(source: str, noted: str) -> None:
    lines = evidence.found(source)
    assert any(noted in line for line in lines), lines
    assert all(line.startswith("line ") for line in lines)


@pytest.mark.parametrize(
    "source",
    [
        "def broken(:",
        "x.T[0] = 1\nself.w = 3\nlayer.bias += 1",
        "plt.rcParams['figure.dpi'] = 90",
        "class V:\n    def __eq__(self, o):\n        return self.x == o.x",
        "import sys\nprint(sys.version)",
        "np.random.seed(0)\nnp.set_printoptions(precision=2)",
    ],
)
def test_ordinary_work_is_not(source: str) -> None:
    assert evidence.found(source) == []


def test_no_solution_and_no_known_mistake_of_the_course_is_noted() -> None:
    for lesson in course.load_course(ROOT / "solutions").lessons:
        for source in course.exports(lesson).values():
            assert evidence.found(source) == []
        for variant in course.variants(lesson):
            assert evidence.found(variant.source) == [], variant.name


WINS = [
    path
    for path in (ROOT / "tests/attacks/kernel").glob("*.py")
    if "    wins:" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WINS, ids=lambda path: path.stem)
def test_every_attack_that_wins_where_tests_run_in_the_students_kernel_is_noted(path: Path) -> None:
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    assert any(evidence.found(source) for source in cells)
