"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import COURSE
from hypothesis import settings

from grader.classroom import Classroom
from grader.course import Course, load_course
from grader.model import Assignment

collect_ignore = ["attacks"]  # whatever pattern of pytest's a file in there is named by

# A loaded machine is slow, and that is no bug.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def course() -> Course:
    """The course of two tiny units in cases/course/."""
    return load_course(COURSE)


@pytest.fixture
def classroom(tmp_path: Path) -> Classroom:
    """An empty class folder."""
    return Classroom(tmp_path / "class")


@pytest.fixture(scope="session")
def adding(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    """Unit 01-adding as an assignment, made by nbgrader once for all tests of a process."""
    return Classroom(tmp_path_factory.mktemp("adding")).assignment("01-adding", course)
