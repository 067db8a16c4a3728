"""Whom to talk to: each rule fires where it says, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from grader.concerns import concerns, earned
from grader.entries import Entry, Mark
from grader.model import Status


def entry(student: str, points: float, waiting: bool = False, **more: Any) -> Entry:
    """Return a submission with these points of 10 in its test; an essay may wait for a person."""
    marks = (Mark("hw", "a", points, 10.0, False), Mark("hw", "essay", 0.0, 10.0, waiting))
    marks = marks if waiting else marks[:1]
    made = Entry(student, points, 10.0, 0.0, marks, (), Status.GRADED, (), (), ())
    return replace(made, **more)


def unit(**points: float) -> dict[str, Entry]:
    """Return a unit before this one."""
    return {student: entry(student, score) for student, score in points.items()}


def reasons(*entries: Entry, **more: list[dict[str, Entry]]) -> dict[str, tuple[str, ...]]:
    """Return {student: why}."""
    return {one.student: one.reasons for one in concerns(entries, (), **more)}


def test_a_class_that_does_well_gives_no_cause() -> None:
    assert reasons(entry("ada", 10), entry("bob", 8), entry("cem", 5)) == {}


def test_who_has_less_than_half_of_the_median() -> None:
    found = reasons(entry("ada", 8), entry("bob", 8), entry("cem", 4), entry("dan", 2.9))
    assert found == {"dan": ("29 % of the points; the class's median is 60 %",)}


def test_what_waits_for_a_person_counts_for_nobody() -> None:
    waiting = entry("cem", 8, waiting=True)
    assert earned(waiting) == 0.8
    assert reasons(entry("ada", 8), entry("bob", 8), waiting) == {}


def test_who_falls_is_measured_against_the_class() -> None:
    before = [unit(ada=9, bob=5), unit(ada=10, bob=6)]  # 20 points above the mean and below it
    everybody = reasons(entry("ada", 6), entry("bob", 4), earlier=before)
    assert everybody == {}  # a hard unit, for both
    found = reasons(entry("ada", 6), entry("bob", 8), earlier=before)
    assert found == {
        "ada": (
            "30 percentage points lower than usual, measured against the class (2 units before)",
        )
    }


def test_a_first_unit_is_no_fall() -> None:
    assert reasons(entry("ada", 6), entry("bob", 8), earlier=[unit(bob=8)]) == {}


def test_who_handed_in_nothing_is_told_from_who_never_does() -> None:
    found = concerns([entry("ada", 8)], ["bob", "cem"], [unit(ada=8, bob=8), unit(ada=8, bob=8)])
    assert [(one.student, one.entry, one.reasons) for one in found] == [
        ("bob", None, ("handed in nothing",)),
        ("cem", None, ("handed in nothing, and for 2 of the 2 units before",)),
    ]


def test_an_unreadable_file_and_a_limit_are_reasons_and_most_reasons_stand_first() -> None:
    limit = "time limit in conv2d: a cell may take 10 s"
    found = reasons(
        entry("ada", 8),
        entry("bob", 8, notes=(limit,)),
        entry("cem", 0, status=Status.UNREADABLE),
        entry("dan", 1, notes=(limit,)),
        entry("eva", 8, status=Status.BROKEN, aside=True),
        entry("fay", 8),
    )
    assert found == {
        "dan": ("10 % of the points; the class's median is 80 %", "time limit in conv2d"),
        "bob": ("time limit in conv2d",),
        "cem": ("nothing could be read",),
        "eva": ("set aside: it ended its grader again and again",),
    }
    assert next(iter(found)) == "dan"
