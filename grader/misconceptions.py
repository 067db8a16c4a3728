"""What a lesson's ``misconceptions.py`` is written with.

The two decorators only mark functions; `grader.course` reads their text, so that a wrong solution
is kept exactly as its author wrote it and nothing of it is run to find it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def misconception(
    exercise: str, hint: str, *, name: str, fails: Sequence[str] | None = None
) -> Callable[[Function], Function]:
    """Mark a plausible wrong solution of `exercise`.

    Args:
        exercise: the exercise that it answers.
        hint: what its author needs to hear; shown in feedback, so it never gives the answer away.
        name: a short slug, unique within the exercise; it names the demo student.
        fails: grade_ids of exactly those test cells that must fail; by default all test cells
            of the exercise.
    """
    return lambda function: function


def alternative(exercise: str, *, name: str) -> Callable[[Function], Function]:
    """Mark a right solution of `exercise`, written another way; it must earn full marks."""
    return lambda function: function
