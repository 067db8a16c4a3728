"""What a person sees of checks in a notebook of their own, and that nobody else's run shows it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from builders import QUICK, cell, notebook
from jupyter_client.manager import start_new_kernel

from grader import engine
from grader.check.unit import Unit, find_units, load_passed, progress, read_unit, save_passed

RIGHT = "def add(a, b):\n    return a + b"
WRONG = "def add(a, b):\n    return a - b"
STUB = "def add(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
CRASHES = "def helper(a):\n    return a['x']\n\ndef add(a, b):\n    return helper(a)"
HELPER = "def _test(n):\n    assert add(n, n) == 2 * n\n\n_test(4)"


def lesson(folder: Path) -> Path:
    """Write a released lesson of two exercises, and return its notebook."""
    made = notebook(
        cell("from grader import check\nimport numpy as np\nX = np.ones(2)", id="imports"),
        cell(STUB, "add", solution=True),
        cell("check.close(add(X, 2 * X), 3 * X, 'add')", "add-tests", points=2),
        cell("assert add(2, 3) == 5, 'add(2, 3) is not 5'", "add-numbers", points=1),
        cell("def twice(a):\n    raise NotImplementedError()", "twice", solution=True),
        cell(HELPER, "twice-tests", points=1.5),
        cell("Why?", "why", kind="markdown", points=2, solution=True),
    )  # fmt: skip
    made.metadata["lesson"] = {"title": "Adding", "minutes": 10, "unit": "01-adding"}
    path = folder / "01-adding" / "adding.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(made, path)
    return path


class Person:
    """Somebody at a notebook in JupyterLab, as its kernel sees them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells = {c.id: c.source for c in nbformat.read(path, as_version=4).cells}
        self.manager, self.client = start_new_kernel(
            cwd=str(path.parent), env={**os.environ, "JPY_SESSION_NAME": str(path)}
        )
        self.run("imports")

    def run(self, name: str, source: str | None = None) -> list[dict[str, Any]]:
        """Run a cell, and return its outputs."""
        shown: list[dict[str, Any]] = []
        message = self.client.session.msg(
            "execute_request",
            {"code": self.cells.get(name, "") if source is None else source, "silent": False},
            metadata={"cellId": name},
        )
        self.client.shell_channel.send(message)
        while True:
            heard = self.client.get_iopub_msg(timeout=60)
            if heard["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if heard["msg_type"] == "status" and heard["content"]["execution_state"] == "idle":
                return shown
            if heard["msg_type"] in ("display_data", "error", "stream", "execute_result"):
                shown.append({"type": heard["msg_type"], **heard["content"]})

    def text(self, name: str, source: str | None = None) -> str:
        """Run a cell, and return what it shows, without colours."""
        shown = ["\n".join(one["traceback"]) if one["type"] == "error"
                 else one["text"] if one["type"] == "stream"
                 else one["data"]["text/plain"] for one in self.run(name, source)]  # fmt: skip
        text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown))
        return re.sub(r"^ ([✗○])  ", r"\1 ", text)  # which is white on a colour

    def end(self) -> None:
        """Leave."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    one = Person(lesson(tmp_path_factory.mktemp("course")))
    yield one
    one.end()


def stored(path: Path) -> set[str] | None:
    """What stands beside a notebook."""
    unit = read_unit(path)
    assert unit is not None
    return load_passed(unit)


# ---- what is shown ---------------------------------------------------------------------------


def test_a_check_that_passes_shows_a_check_mark_and_how_far_the_unit_is(person: Person) -> None:
    person.run("add", RIGHT)
    [shown] = person.run("add-tests")
    assert shown["type"] == "display_data"
    assert shown["data"]["text/plain"] == (
        "✓ add: passed, 2 points\n  01-adding: 0 of 2 exercises, 2 of 4.5 points (visible checks)"
    )
    page = shown["data"]["text/html"]
    assert "✓" in page
    assert "<b>add</b> passed, 2 points" in page
    assert "width: 44%" in page
    assert "✓ add, numbers: passed, 1 point\n" in person.text("add-numbers")
    assert "1 of 2 exercises, 3 of 4.5 points" in person.text("add-tests")
    assert stored(person.path) == {"add-tests", "add-numbers"}


def test_a_check_that_fails_shows_a_cross_and_the_diagnosis(person: Person) -> None:
    person.run("add", WRONG)
    [shown] = person.run("add-tests")
    assert shown["type"] == "error"
    assert shown["ename"] == "CheckFailed"
    assert person.text("add-tests").splitlines() == [
        "✗ add: 2 of 2 values are wrong; largest error 4.0 at [0]",
        "your result equals the expected one times -1/3",
        "hint: a mean where a sum is wanted, or the other way round?",
        "in the test, line 1: check.close(add(X, 2 * X), 3 * X, 'add')",
    ]
    assert stored(person.path) is not None
    assert "add-tests" not in (stored(person.path) or ())


def test_an_assert_of_the_author_says_what_it_means(person: Person) -> None:
    person.run("add", WRONG)
    assert person.text("add-numbers").splitlines() == [
        "✗ add(2, 3) is not 5",
        "in the test, line 1: assert add(2, 3) == 5, 'add(2, 3) is not 5'",
    ]
    assert person.text("twice-tests").splitlines() == [
        "✗ twice: this does not hold",
        "in the test, line 2: assert add(n, n) == 2 * n",
    ]


def test_what_is_not_written_yet_is_one_line_wherever_it_is_called(person: Person) -> None:
    person.run("add", STUB)
    assert person.text("add-tests") == "○ add: not written yet"
    assert person.text("picture", "1\nadd(1, 2)") == "○ add: not written yet"
    person.run("add", "class Add:\n    def forward(self):\n        raise NotImplementedError")
    assert person.text("picture", "Add().forward()") == "○ Add.forward: not written yet"


def test_an_error_in_the_students_function_shows_the_students_part(person: Person) -> None:
    person.run("add", CRASHES)
    first, where, *rest = person.text("add-numbers").splitlines()
    assert first == "✗ add, numbers: stopped by TypeError: 'int' object is not subscriptable"
    assert where.startswith("in the test, line 1: assert add(2, 3)")
    text = "\n".join(rest)
    assert "in add(a, b)" in text
    assert "in helper(a)" in text
    assert "is not 5" not in text  # the test's own frame


def test_a_name_that_the_test_does_not_find(person: Person) -> None:
    person.run("other", "del add")
    assert person.text("add-numbers").splitlines() == [
        "✗ add, numbers: stopped by NameError: name 'add' is not defined",
        "in the test, line 1: assert add(2, 3) == 5, 'add(2, 3) is not 5'",
    ]


def test_errors_in_other_cells_are_shown_as_ever(person: Person) -> None:
    text = person.text("mine", "def mine():\n    return 1 / 0\n\nmine()")
    assert text.startswith("-----")
    assert "----> 4 mine()" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "SyntaxError" in person.text("mine", "1 +")
    assert "raised on purpose" in person.text(
        "mine", "raise NotImplementedError('raised on purpose')"
    )


def test_an_exception_that_cannot_be_shown_stops_nothing(person: Person) -> None:
    broken = (
        "class Broken(Exception):\n    def __str__(self):\n        raise ValueError\n\n"
        "def add(a, b):\n    raise Broken"
    )
    frozen = (
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Frozen(Exception):\n"
        "    n: int\n\ndef add(a, b):\n    raise Frozen(3)"
    )
    person.run("add", frozen)
    assert person.text("add-tests").startswith("✗ add: stopped by Frozen")
    person.run("add", broken)
    assert "Broken" in person.text("add-tests")
    person.run("add", RIGHT)
    assert person.text("add-tests").startswith("✓ add: passed")


def test_a_new_kernel_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    path = lesson(tmp_path)
    unit = read_unit(path)
    assert unit is not None
    save_passed(unit, {"add-tests"})
    one = Person(path)
    try:
        one.run("add", RIGHT)
        assert "1 of 2 exercises, 3 of 4.5 points" in one.text("add-numbers")
        # Nobody can write there any more.
        (hidden,) = path.parent.glob(".progress*")
        hidden.unlink()
        hidden.mkdir()
        assert "2 of 2 exercises, 4.5 of 4.5 points" in one.text("twice-tests")
    finally:
        one.end()


# ---- and nowhere else ------------------------------------------------------------------------


def test_nothing_of_it_happens_where_a_notebook_is_run_by_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where that program was started from a notebook."""
    path = lesson(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    made = nbformat.read(path, as_version=4)
    made.cells[1].source = RIGHT
    nbclient.NotebookClient(made, allow_errors=True, kernel_name="python3").execute(
        cwd=str(path.parent)
    )
    assert [c.outputs for c in made.cells[2:4]] == [[], []]
    ours = engine.run(nbformat.read(path, as_version=4), path.parent, QUICK, {}, sandbox=False)
    assert "Traceback" in "\n".join(ours.cells[3].outputs[0].traceback)
    assert not list(path.parent.glob(".progress*"))


# ---- units and progress ----------------------------------------------------------------------


def unit_of(tmp_path: Path) -> Unit:
    unit = read_unit(lesson(tmp_path))
    assert unit is not None
    return unit


def test_a_unit_is_what_its_notebook_says(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)
    assert (unit.name, unit.title, unit.minutes, unit.points) == ("01-adding", "Adding", 10, 6.5)
    assert unit.tests == {"add-tests": 2, "add-numbers": 1, "twice-tests": 1.5}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", '{"metadata": {}}', '{"metadata": {"lesson": 3}, "cells": [{}]}', "\x00"],
)
def test_what_is_no_lesson_is_no_unit(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    assert read_unit(path) is None
    assert read_unit(tmp_path / "nothing.ipynb") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"passed": 3}', '{"passed": null}', '{"pas": []}', "\ud800"]
)
def test_a_damaged_file_of_progress_is_none(tmp_path: Path, content: str) -> None:
    unit = unit_of(tmp_path)
    hidden = unit.notebook.with_name(".progress-01-adding.json")
    hidden.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert load_passed(unit) is None
    save_passed(unit, {"add-tests"})
    assert load_passed(unit) == {"add-tests"}
    assert [path.name for path in unit.notebook.parent.iterdir() if path.suffix != ".ipynb"] == [
        hidden.name
    ]


def test_tests_that_are_not_the_units_do_not_count(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)
    hidden = unit.notebook.with_name(".progress-01-adding.json")
    hidden.write_text(json.dumps({"passed": ["add-tests", "of_another", 3]}))
    assert load_passed(unit) == {"add-tests"}


def test_an_exercise_is_done_when_all_its_tests_pass(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)
    assert str(progress(unit, {"add-numbers"})) == "0 of 2 exercises, 1 of 4.5 points"
    assert str(progress(unit, {"add-numbers", "add-tests"})) == "1 of 2 exercises, 3 of 4.5 points"
    assert str(progress(unit, set(unit.tests))) == "2 of 2 exercises, 4.5 of 4.5 points"


def test_units_are_found_from_the_course_s_folder_and_from_that_of_its_notebooks(
    tmp_path: Path,
) -> None:
    path = lesson(tmp_path / "notebooks")
    path.with_name("adding-Copy1.ipynb").write_bytes(path.read_bytes())
    path.with_name("broken.ipynb").write_text("{")
    for root in (tmp_path, tmp_path / "notebooks"):
        assert [unit.notebook for unit in find_units(root)] == [path]
    assert find_units(path.parent) == []
