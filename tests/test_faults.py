"""Killed at random moments, a class is graded in the end as if nothing had been."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import COURSE, REPOSITORY, isolates

from grader.batch import grade_class
from grader.course import Course
from grader.errors import GraderError
from grader.journal import Journal

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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "grader", f"{folder}"]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk of its own can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", f"{folder}"], check=True, capture_output=True)


@isolates
@pytest.mark.parametrize("room", [0, 12_000, 24_000])
def test_a_disk_that_is_full_stops_the_run_and_loses_nothing(
    disk: Path, tmp_path: Path, course: Course, room: int
) -> None:
    calm = faults.make_class(tmp_path / "calm", 3, course)
    full = faults.make_class(disk / "class", 3, course)
    unit = full.assignment(faults.UNIT, course)
    students = full.students(faults.UNIT)
    grade_class(calm, calm.assignment(faults.UNIT, course), students, 0)
    with Journal(full):
        pass  # its tables
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(b"0" * (free - room))
    with pytest.raises(GraderError, match="cannot be stored"):
        grade_class(full, unit, students, 0, again=False)
    filler.unlink()
    grade_class(full, unit, students, 0, again=False)
    assert faults.differences(faults.outcome(calm), faults.outcome(full)) == []
