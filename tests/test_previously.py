"""Reference solutions reach later units as one module, whatever the student scored before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from builders import CASES, REPOSITORY

from grader.course import Course, load_course, previously, source_notebook
from grader.errors import LessonError

LESSON = (CASES / "lesson.py").read_text(encoding="utf-8")


def unit(root: Path, name: str, cells: str) -> None:
    """Write a lesson: LESSON's header and tests, `cells` before them."""
    header, _, tests = LESSON.partition("# %% exercise")
    (root / name).mkdir()
    add = "# %% exercise" + tests
    (root / name / "lesson.py").write_text(header + cells + add, encoding="utf-8")


def exercise(name: str, body: str) -> str:
    tests = f'# %% tests="{name}" points=1\n### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS\n\n'
    return f'# %% exercise="{name}"\n### BEGIN SOLUTION\n{body}\n### END SOLUTION\n\n' + tests


def module(course: Course) -> dict[str, object]:
    """Run the text of `previously` as an import does."""
    names: dict[str, object] = {"__name__": "previously"}
    exec(compile(previously(list(course.lessons)), "previously.py", "exec"), names)
    return names


def test_previously_can_be_imported_by_a_student(course: Course, tmp_path: Path) -> None:
    text = previously(course.before(course["02-doubling"]))
    (tmp_path / "previously.py").write_text(text, encoding="utf-8")
    code = "import previously; print(previously.add(2, 3), hasattr(previously, 'double'))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True
    )
    assert run.stdout.split() == [b"5", b"False"]


def test_previously_of_a_third_unit_does_not_import_itself(course: Course) -> None:
    text = previously(list(course.lessons))
    assert "import" not in text
    assert module(course)["double"](21) == 42  # type: ignore[operator]


def test_previously_has_the_imports_that_solutions_use_and_no_other(tmp_path: Path) -> None:
    imports = "# %%\nimport math\nimport os.path\nfrom cmath import pi as PI, e\n\n"
    body = "def area(r):\n    return PI * math.pow(r, 2)"
    unit(tmp_path, "01-a", imports + exercise("area", body))
    course = load_course(tmp_path)
    lines = [line for line in previously(list(course.lessons)).splitlines() if "import" in line]
    assert lines == ["from cmath import pi as PI", "import math"]
    assert round(module(course)["area"](1), 2) == 3.14  # type: ignore[operator]


def test_the_latest_definition_wins(tmp_path: Path) -> None:
    unit(tmp_path, "01-a", exercise("shout", "def shout(s):\n    return s.upper()"))
    unit(tmp_path, "02-b", exercise("shout", "def shout(s):\n    return s.upper() + '!'"))
    course = load_course(tmp_path)
    assert module(course)["shout"]("a") == "A!"  # type: ignore[operator]
    assert previously(list(course.lessons)).count("def shout") == 1
    assert previously([course["01-a"]]).count("'!'") == 0


def test_a_class_that_is_taught_anew_still_stands_above_its_subclasses(tmp_path: Path) -> None:
    dense = exercise("Dense", "class Dense(Layer):\n    pass")
    unit(tmp_path, "01-a", exercise("Layer", "class Layer:\n    version = 1") + dense)
    unit(tmp_path, "02-b", exercise("Layer", "class Layer:\n    version = 2"))
    assert module(load_course(tmp_path))["Dense"].version == 2  # type: ignore[attr-defined]


def test_what_a_lesson_gives_reaches_later_units_and_calls_their_latest_functions(
    tmp_path: Path,
) -> None:
    given = "# %% given=true\nclass Twice:\n    def run(self, x):\n        return double(x)\n\n"
    unit(tmp_path, "01-a", exercise("double", "def double(x):\n    return x + x") + given)
    unit(tmp_path, "02-b", exercise("double", "def double(x):\n    return 2.0 * x"))
    course = load_course(tmp_path)
    twice = module(course)["Twice"]()  # type: ignore[operator]
    assert repr(twice.run(2)) == "4.0"
    sealed = source_notebook(course["01-a"]).cells
    assert [c.metadata["nbgrader"]["locked"] for c in sealed if "class Twice" in c.source] == [True]


def test_two_exercises_with_one_helper_are_refused(tmp_path: Path) -> None:
    """Both would be in one module, and the earlier function would call the later helper."""
    for number, name in enumerate(("max_pool", "avg_pool"), 1):
        body = f"def _windows(x):\n    return {number}\n\ndef {name}(x):\n    return _windows(x)"
        unit(tmp_path, f"0{number}-a", exercise(name, body))
    with pytest.raises(LessonError, match="_windows is defined by 'avg_pool' and by 'max_pool'"):
        previously(list(load_course(tmp_path).lessons))


@pytest.mark.parametrize("alias", ["from previously import add as plus", "import math\nplus = 1"])
def test_a_solution_cannot_use_what_later_units_will_not_have(tmp_path: Path, alias: str) -> None:
    unit(tmp_path, "01-a", "")
    unit(tmp_path, "02-b", f"# %%\n{alias}\n\n" + exercise("f", "def f():\n    return plus(1, 2)"))
    with pytest.raises(LessonError, match="uses plus"):
        load_course(tmp_path)["02-b"]


def test_previously_of_the_whole_course_can_be_imported() -> None:
    solutions = REPOSITORY / "solutions"
    assert module(load_course(solutions))["__doc__"]
