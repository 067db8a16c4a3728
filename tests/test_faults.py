"""Killed at random moments, a class is graded in the end as if nothing had been."""

from __future__ import annotations

import importlib.util
import random
import signal
from pathlib import Path

import pytest
from builders import COURSE, REPOSITORY, isolates

from grader.course import Course

spec = importlib.util.spec_from_file_location("faults", REPOSITORY / "bench" / "faults.py")
assert spec is not None
assert spec.loader is not None
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)

STUDENTS = 6


@isolates
@pytest.mark.slow
@pytest.mark.databases
def test_a_grader_that_is_killed_goes_on(
    tmp_path: Path, course: Course, system: str, request: pytest.FixtureRequest
) -> None:
    """On PostgreSQL too, beside a class in SQLite that nobody disturbs."""
    calm = faults.make_class(tmp_path / "calm", STUDENTS, course)
    db = None if system == "sqlite" else request.getfixturevalue("server").with_tables()
    wild = faults.make_class(tmp_path / "wild", STUDENTS, course, db=db)
    assert faults.grade(calm, COURSE) == 0
    luck = random.Random(1)
    known = 0
    for _ in range(3):
        assert faults.grade(wild, COURSE, luck.uniform(4, 9)) in (0, -signal.SIGKILL)
        begun, ended = faults.counted(wild)
        assert ended >= known
        known = ended
    assert faults.grade(wild, COURSE) == 0
    begun, ended = faults.counted(wild)
    assert begun >= ended == STUDENTS
    assert faults.differences(faults.outcome(calm), faults.outcome(wild)) == []
