"""What a class adds up to, each number reckoned by hand."""

from __future__ import annotations

import pytest

from grader import tallies
from grader.discrimination import FEWEST
from grader.entries import Entry, Mark, Told
from grader.model import Verdict

ORDER = ["add-tests", "add-big", "why"]


def told(cell: str, message: str = "", seconds: float = 0.0, *known: str) -> Told:
    """Return what was said of a test of `add`; one with a message failed."""
    verdict = Verdict.FAILED if message else Verdict.PASSED
    hints = tuple(f"hint of {name}" for name in known)
    return Told(cell, verdict, message, "hw", "add", known, hints, seconds)


def entry(
    student: str,
    *said: Told,
    points: tuple[float | None, ...] = (1.0, 1.0, 2.0),
    notes: tuple[str, ...] = (),
) -> Entry:
    """Return a submission; points of None wait for a person."""
    marks = tuple(
        Mark("hw", cell, one or 0.0, maximum, one is None)
        for cell, one, maximum in zip(ORDER, points, (1.0, 1.0, 2.0), strict=True)
    )
    said = said or (told("add-tests"), told("add-big"))
    return Entry(student, 0.0, 4.0, 0.0, marks, said, "graded", notes, (), ())


# ---- success and discrimination -------------------------------------------------------------


def test_the_tests_of_an_exercise_stand_under_it_in_the_lessons_order() -> None:
    found, _ = tallies.items([entry("ada")], ["why", "add-tests", "add-big"])
    assert [(one.share.name, [c.share.name for c in one.cells]) for one in found] == [
        ("why", []),
        ("add", ["add-tests", "add-big"]),
    ]


def test_success_is_of_those_that_are_decided() -> None:
    entries = [
        entry("ada"),
        entry("bob", points=(1.0, 0.0, None)),
        entry("cem", points=(0.0, 0.0, 1.0)),
    ]
    (add, why), _ = tallies.items(entries, ORDER)
    one = add.share
    assert (one.n, one.all_points, one.some_points, one.no_points, one.waiting) == (3, 1, 1, 1, 0)
    assert one.rate == pytest.approx(1 / 3)
    assert one.mean == pytest.approx((1 + 0.5 + 0) / 3)
    assert (why.share.n, why.share.waiting, why.share.rate, why.share.mean) == (3, 1, 0.5, 0.75)


def strong_and_weak(big: float | None = None) -> list[Entry]:
    """Return 10 who can do all, and 10 who can do nothing but, `big` given, add big numbers."""
    strong = [entry(f"s{n}", points=(1.0, 1.0, 2.0)) for n in range(FEWEST // 2)]
    weak = [entry(f"w{n}", points=(0.0, big or 0.0, 0.0)) for n in range(FEWEST // 2)]
    return strong + weak


def test_an_items_own_points_are_not_in_what_it_is_compared_with() -> None:
    """Passed or failed by chance, it would still go along with a total that it is a part of."""
    entries = [entry(f"s{n}", points=(float(n % 2), 0.0, n // 2 % 2 * 2.0)) for n in range(FEWEST)]
    (add, why), counted = tallies.items(entries, ORDER)
    assert counted == FEWEST
    assert add.discrimination is not None
    assert add.discrimination.value == pytest.approx(0.0)
    assert why.discrimination is not None
    assert why.discrimination.value == pytest.approx(0.0)


def test_a_test_that_everybody_passes_tells_nobody_apart() -> None:
    (add, why), _ = tallies.items(strong_and_weak(big=1.0), ORDER)
    tests, big = add.cells
    assert big.discrimination is None
    assert tests.discrimination is not None
    assert tests.discrimination.value == pytest.approx(1.0)
    assert why.discrimination is not None


def test_who_waits_for_a_person_is_not_counted_nor_a_cell_that_most_wait_for() -> None:
    some = [*strong_and_weak(), entry("late", points=(1.0, 1.0, None))]
    (_, why), counted = tallies.items(some, ORDER)
    assert counted == FEWEST
    assert why.discrimination is not None
    most = [entry(f"s{n}", points=(n % 2, n % 2, None)) for n in range(FEWEST)]
    (add, why), counted = tallies.items(most, ORDER)
    assert (counted, why.discrimination) == (FEWEST, None)
    assert add.discrimination is None  # nothing is left to compare it with
    assert add.cells[0].discrimination is not None


# ---- what went wrong ------------------------------------------------------------------------


def test_failures_are_one_by_their_known_mistake_whatever_they_say() -> None:
    flipped = [
        entry("ada", told("add-tests", "largest error 1.5", 0, "flipped")),
        entry("bob", told("add-tests", "shape (2, 3), expected (3, 2)", 0, "flipped")),
        entry("cem", told("add-tests", "largest error 2.5", 0, "flipped")),
    ]
    others = [
        entry("dan", told("add-tests", "largest error 1.5")),
        entry("eva", told("add-tests", "largest error 17.25e-3")),
        entry("fay", told("add-tests", "not written yet")),
        entry("gil", told("add-tests", "x is 1", 0, "flipped", "shifted")),
    ]
    found = tallies.mistakes([*others, *flipped])["add-tests"]
    assert [(one.known, [e.student for e in one.entries], one.is_answer) for one in found] == [
        (("flipped",), ["ada", "bob", "cem"], True),
        ((), ["dan", "eva"], True),
        (("flipped", "shifted"), ["gil"], True),
        ((), ["fay"], False),
    ]
    assert found[3].message == "not answered, or not run"


def test_known_mistakes_are_counted_once_a_student_with_the_hint_of_their_own() -> None:
    entries = [
        entry(
            "ada",
            told("add-tests", "no", 0, "flipped", "shifted"),
            told("add-big", "no", 0, "flipped"),
        ),
        entry("bob", told("add-tests", "no", 0, "flipped")),
    ]
    assert [(one.name, one.hint, len(one.entries)) for one in tallies.misconceptions(entries)] == [
        ("flipped", "hint of flipped", 2),
        ("shifted", "hint of shifted", 1),
    ]


# ---- time and limits ------------------------------------------------------------------------


def test_the_slowest_tests_are_those_that_ran_longest_for_anybody() -> None:
    entries = [
        entry("ada", told("add-tests", "", 1.0), told("add-big", "", 2.0)),
        entry("bob", told("add-tests", "", 9.0), told("add-big", "", 2.0)),
        entry("cem", told("add-tests", "", 2.0), told("add-big", "", 0.0)),
    ]
    one, other = tallies.slowest(entries, 5)
    assert (one.cell, one.median, one.longest, one.entry.student) == ("add-tests", 2.0, 9.0, "bob")
    assert (other.cell, other.median) == ("add-big", 2.0)
    assert tallies.slowest(entries, 1) == (one,)


def test_limits_are_counted_by_kind_and_cell() -> None:
    limit = "time limit in add: a cell may take 10 s"
    entries = [
        entry("ada", notes=(limit, "cell add had been changed")),
        entry("bob", notes=(limit, limit)),
        entry("cem", notes=("memory limit in add: more than 2 GB",)),
    ]
    found = [(one.limit, one.cell, len(one.entries)) for one in tallies.limits(entries)]
    assert found == [("time limit", "add", 2), ("memory limit", "add", 1)]
