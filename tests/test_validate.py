"""`grader validate` finds what is wrong with a course's tests, and nothing where all is well."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import COURSE, isolates

from grader.course import load_course
from grader.errors import LessonError, UsageError
from grader.validate import EQUIVALENTS, Report, validate

ADDING = "01-adding/adding.py"
WRONG = "01-adding/misconceptions.py"
NOTHING = "(lambda *args, **named: None)"

pytestmark = isolates


def look(
    folder: Path, *edits: tuple[str, str, str], unit: str = "01-adding", mutants: bool = False
) -> Report:
    """Validate a copy of the tiny course with (file, old text, new text) edits."""
    shutil.copytree(COURSE, folder / "course", dirs_exist_ok=True)
    for name, old, new in edits:
        path = folder / "course" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    course = load_course(folder / "course")
    return validate(course, course[unit], with_mutants=mutants, workers=0)


def test_where_all_is_well_nothing_is_said(tmp_path: Path) -> None:
    report = look(tmp_path, mutants=True)
    assert report.problems == []
    add = report.exercises["add"]
    assert (add.caught, add.hidden, add.hinted, add.misconceptions) == (2, 2, 2, 2)
    assert (add.accepted, add.alternatives) == (1, 1)
    assert add.killed == add.mutants > 3
    assert report.explained == {
        "add: subtracts": ["subtracts"],
        "add: numbers_only": ["numbers_only"],
    }


def test_an_author_looks_at_one_exercise_or_at_a_sample(tmp_path: Path) -> None:
    course = load_course(COURSE)
    lesson = course["01-adding"]
    whole = validate(course, lesson, workers=0)
    some = validate(course, lesson, sample=2, workers=0)
    assert 0 < some.exercises["add"].mutants <= 2 < whole.exercises["add"].mutants
    one = validate(course, lesson, exercises=["add"], with_mutants=False, workers=0)
    assert list(one.exercises) == ["add"]
    assert one.seconds == 0  # the lesson itself was not run
    assert one.problems == []
    with pytest.raises(UsageError, match="Did you mean add"):
        validate(course, lesson, exercises=["ad"], workers=0)


def test_tests_that_test_too_little_are_found(tmp_path: Path) -> None:
    hidden = (
        (ADDING, 'assert add(-40, 23) == -17, "add: negative numbers"', "_ = add(-40, 23)"),
        (ADDING, "    check.close(\n        add(a, b)", f"    {NOTHING}(\n        add(a, b)"),
    )
    visible = (
        (ADDING, 'assert add(2, 3) == 5, "add(2, 3) is not 5"', "_ = add(2, 3)"),
        (ADDING, "check.close(add(np.array([1.0, 2.0])", f"{NOTHING}(add(np.array([1.0, 2.0])"),
    )
    report = look(tmp_path, *hidden)
    assert report.problems == ["add: the misconception subtracts passes the hidden tests"]
    assert report.exercises["add"].hidden == 1  # int() of an array is an error in any case
    report = look(tmp_path, *hidden, *visible, mutants=True)
    problems = "\n".join(report.problems)
    assert "the misconception subtracts fails nothing" in problems
    change = "summed_up_by_reference = a + b  ->  summed_up_by_reference = a - b"
    assert f"add: this change survives: {change}" in problems
    assert change in [mutant.change for mutant in report.exercises["add"].survivors]


def test_tests_that_ask_too_much_are_found(tmp_path: Path) -> None:
    report = look(
        tmp_path,
        (
            ADDING,
            'assert add(2, 3) == 5, "',
            'import random\nassert profile and random.random() < 0.5, "',
        ),
        (ADDING, "rng = np.random.default_rng(101)", "rng = nowhere.default_rng(101)"),
        (WRONG, "return b + a", "return b + a + 1"),
    )
    problems = "\n".join(report.problems)
    # Of the seeds 0 to 3, two draw more than a half.
    assert "the solution (seed 0) fails add-tests" in problems
    assert "the solution (seed 1) fails add-tests" not in problems
    assert "uses nowhere, which nothing defines" in problems
    assert "add-tests uses profile of the lesson, which a student may change" in problems
    assert "the alternative backwards fails add-arrays" in problems


def test_a_release_that_is_paid_and_a_hint_that_is_not_given_are_found(tmp_path: Path) -> None:
    report = look(
        tmp_path,
        (ADDING, 'assert add(2, 3) == 5, "add(2, 3) is not 5"', "pass"),
        (ADDING, 'assert add(-40, 23) == -17, "add: negative numbers"', "pass"),
        # Another answer each time: nothing equals it twice.
        (WRONG, "return a - b", "return a - b + __import__('os').urandom(1)[0] / 7"),
    )
    problems = "\n".join(report.problems)
    assert "the release is paid for add-tests" in problems
    assert "the misconception subtracts is not given its hint" in problems


def test_a_test_that_believes_what_is_left_of_its_arguments_is_found(tmp_path: Path) -> None:
    visible = "check.close(add(np.array([1.0, 2.0]), np.array([0.5, 0.5])), np.array([1.5, 2.5]), "
    hidden = "    check.close(\n        add(a, b), np.array("
    late = "    got = add(a, b)\n    check.close(\n        got, np.array("
    report = look(tmp_path, (ADDING, visible, "dict("), (ADDING, hidden, late))
    assert report.problems == [
        "add: no test notices a function that writes zeros into its arguments"
    ]


def test_a_change_that_is_no_mistake_needs_a_reason_on_record(tmp_path: Path) -> None:
    weaker = (
        ADDING,
        "summed_up_by_reference = a + b\n",
        "summed_up_by_reference = a + b + 0 * a\n",
    )
    report = look(tmp_path, weaker, mutants=True)
    (survivor, *others) = report.exercises["add"].survivors
    assert others
    path = tmp_path / "course" / "01-adding" / EQUIVALENTS
    reasons = [
        f"[[equivalent]]\nexercise = 'add'\nbefore = '{one.before}'\nafter = '{one.after}'\n"
        "because = 'nothing is added'\n"
        for one in (survivor, *others)
    ]
    gone = reasons[0].replace(survivor.after, "gone")
    path.write_text("\n".join([*reasons, gone]), encoding="utf-8")
    course = load_course(tmp_path / "course")
    report = validate(course, course["01-adding"], workers=0)
    assert report.exercises["add"].survivors == []
    assert report.exercises["add"].equivalent == len(reasons)
    assert [line for line in report.problems if "no mutant of add survives" in line]


@pytest.mark.parametrize(
    "text", ["[[equivalent", "[[equivalent]]\nexercise = 'add'", "[[equivalent]]\nbecause = ''"]
)
def test_a_reason_that_cannot_be_read_is_an_authors_mistake(tmp_path: Path, text: str) -> None:
    shutil.copytree(COURSE, tmp_path / "course")
    (tmp_path / "course" / "01-adding" / EQUIVALENTS).write_text(text, encoding="utf-8")
    course = load_course(tmp_path / "course")
    with pytest.raises(LessonError, match=EQUIVALENTS):
        validate(course, course["01-adding"])


def test_what_stands_on_earlier_units_is_validated_too(tmp_path: Path) -> None:
    more = ("02-doubling/doubling.py", "return add(x, x)", "return add(0, 2 * x)")
    report = look(tmp_path, more, unit="02-doubling", mutants=True)
    assert report.problems == []
    assert report.exercises["double"].killed == report.exercises["double"].mutants > 0
