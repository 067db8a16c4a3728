"""A mistake in a lesson's source is refused with file, line and advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import CASES

from grader import names
from grader.course import Course, variants
from grader.errors import LessonError
from grader.lesson import Role, load

LESSON = (CASES / "lesson.py").read_text(encoding="utf-8")
MISTAKES = yaml.safe_load((CASES / "lesson_mistakes.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a lesson of unit 01-adding is written."""
    (tmp_path / "01-adding").mkdir()
    return tmp_path / "01-adding" / "adding.py"


def test_the_lesson_that_the_mistakes_are_made_on_has_none(path: Path) -> None:
    path.write_text(LESSON, encoding="utf-8")
    lesson = load(path)
    assert (lesson.unit, lesson.notebook, lesson.title) == ("01-adding", "adding", "Adding")
    assert (lesson.minutes, lesson.gpu, lesson.limits.cell_seconds) == (10, False, 10)
    assert [(cell.role, cell.name, cell.points) for cell in lesson.cells] == [
        (Role.EXERCISE, "add", 0),
        (Role.TESTS, "add-tests", 1),
    ]


@pytest.mark.parametrize("case", MISTAKES, ids=[case["id"] for case in MISTAKES])
def test_a_mistake_is_refused_with_file_line_and_advice(path: Path, case: dict[str, Any]) -> None:
    text = case.get("lesson", LESSON)
    for old, new in case.get("change", {}).items():
        assert old in text
        text = text.replace(old, new)
    if "add" in case:
        text += "\n" + case["add"]
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LessonError) as refusal:
        load(path)
    error = refusal.value
    assert case["says"] in str(error)
    assert str(error).startswith(f"{path}:{error.line}: ")
    assert text.splitlines()[error.line - 1].startswith(case["line"])


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_lesson_that_cannot_be_read_is_named(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LessonError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize(
    "cell",
    [
        "# %%\nprint(add(1, 2))\n",  # what an exercise binds is for everybody
        "# %% locked=true\nimport math\n",
        '# %% tests="add" part="more" points=0.5\nassert add(1, 1) == 2\n',
        '# %% tests="add" part="f" points=1\ndef _f():\n    n = 1\n    assert n\n_f()\ndel _f\n',
        '# %% [markdown] manual="why" points=2\n# Why?\n',  # a model answer is not a must
        '# %% figure="m"\nx = 1\n\n# %% [markdown]\n# ![a map](figures/m.png)\n',
        "# %%\n",
        '# %%\n"""Add a marker to a line: # %% and more."""\n',
    ],
)
def test_what_is_no_mistake_is_taken(path: Path, cell: str) -> None:
    path.write_text(LESSON + "\n" + cell, encoding="utf-8")
    assert len(load(path).cells) > 2


VARIANT = '@misconception("add", "which sign?", name="minus")\ndef add(a, b):\n    return a - b\n'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"add"', '"ad"', "no exercise 'ad'. Did you mean add?"),
        ('"which sign?", ', "", "needs a hint"),
        ('"which sign?"', '""', "needs a hint"),
        (', name="minus"', "", "needs a name"),
        ('name="minus"', 'name="m", fails=["add-test"]', "Did you mean add-tests?"),
        ('name="minus"', 'name="m", fail=["add-tests"]', "Did you mean fails?"),
        ('name="minus"', 'name="m", fails=list("ab")', "plain text and lists"),
        ("@misconception", "@misconceptoin", "unknown decorator"),
        ("@misconception", "@alternative", "an alternative has none"),
        ("return a - b", "return a -", "not Python"),
        (VARIANT, VARIANT * 2, "two variants of add are named 'minus'"),
    ],
)
def test_a_mistake_in_misconceptions_is_refused(path: Path, old: str, new: str, says: str) -> None:
    path.write_text(LESSON, encoding="utf-8")
    text = VARIANT.replace(old, new)
    path.with_name("misconceptions.py").write_text(text, encoding="utf-8")
    with pytest.raises(LessonError) as refusal:
        variants(load(path))
    assert says in str(refusal.value)
    assert refusal.value.path.name == "misconceptions.py"


def test_variants_are_read_exactly(course: Course) -> None:
    wrong, partly, right = variants(course["01-adding"])
    assert (wrong.name, wrong.hint, wrong.about) == (
        "subtracts",
        "which sign stands between the two numbers?",
        "Subtracts instead.",
    )
    assert wrong.source == (
        'def add(a, b):\n    """Subtracts instead."""\n    return a - b'
    )  # no decorator
    assert wrong.fails == ("add-tests", "add-arrays")
    assert partly.fails == ("add-arrays",)
    assert right.is_right
    assert (right.name, right.hint, right.fails) == ("backwards", "", ())


@pytest.mark.parametrize(
    ("source", "bound", "used"),
    [
        ("x = y", {"x"}, {"y"}),
        ("x = x + 1", {"x"}, {"x"}),
        ("x += 1", {"x"}, {"x"}),
        ("x = 1\nx += 1", {"x"}, set()),
        ("x, (y, *z) = 1, (2,)", {"x", "y", "z"}, set()),
        ("a[0] = 1\na.b = 2", set(), {"a"}),
        ("x = 1\ndel x", set(), set()),
        ("x = 1\ndel x\nx = 2", {"x"}, set()),
        ("x = y = 1\ndel (x, y)", set(), set()),
        ("import a.b, c as d", {"a", "d"}, set()),
        ("from a import b as c", {"c"}, set()),
        ("for i in r: pass", {"i"}, {"r"}),
        ("with p as q: pass", {"q"}, {"p"}),
        ("[i for i in r if i > k]", set(), {"r", "k"}),
        ("[(n := i) for i in r]", {"n"}, {"r"}),
        ("print(len(__name__))", set(), set()),
        ("def f(a=k): return a + n\nn = 1", {"f", "n"}, {"k"}),
        ("def f():\n    global g\n    g = 1", {"f", "g"}, set()),
        ("def f():\n    x = 1\n    def g(): return x", {"f"}, set()),
        ("class A(B):\n    x = 1\n    def f(self): return x", {"A"}, {"B", "x"}),
        ("f = lambda a: a + b", {"f"}, {"b"}),
        ("@d\ndef f(): pass", {"f"}, {"d"}),
        ("match x:\n    case [m, *r]: pass", {"m", "r"}, {"x"}),
    ],
)
def test_names_bound_and_used(source: str, bound: set[str], used: set[str]) -> None:
    assert (names.bound(source), names.used(source)) == (bound, used)


def test_imports_are_split_into_one_statement_a_name() -> None:
    assert names.imports("import a.b, c as d\nfrom e.f import g, h as i\ndef k():\n import z") == {
        "a": "import a.b",
        "d": "import c as d",
        "g": "from e.f import g",
        "i": "from e.f import h as i",
    }
