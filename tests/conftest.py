"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import postgres
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``databases`` on both, SQLite and PostgreSQL, or on those it names."""
    marker = metafunc.definition.get_closest_marker("databases")
    if marker is not None and "system" in metafunc.fixturenames:
        metafunc.parametrize("system", marker.args or ["sqlite", "postgresql"], scope="session")


@pytest.fixture(scope="session")
def system() -> str:
    """What a class is kept in."""
    return "sqlite"


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL of this process's own."""
    if why := postgres.missing():
        pytest.skip(why)
    one = postgres.Server()
    yield one
    one.end()


@pytest.fixture(scope="session")
def keep(system: str, request: pytest.FixtureRequest) -> Callable[[Classroom], Classroom]:
    """Let a class be kept in what this test runs on."""

    def kept(classroom: Classroom) -> Classroom:
        if system == "postgresql":
            classroom.use_database(request.getfixturevalue("server").with_tables())
        return classroom

    return kept


@pytest.fixture
def classroom(
    tmp_path: Path, keep: Callable[[Classroom], Classroom], request: pytest.FixtureRequest
) -> Iterator[Classroom]:
    """An empty class folder."""
    made = keep(Classroom(tmp_path / "class"))
    address = made.database
    server = request.getfixturevalue("server") if "postgresql" in address else None
    yield made
    if server is not None:
        server.drop(address)


@pytest.fixture(scope="session")
def adding(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    """Unit 01-adding as an assignment, made by nbgrader once for all tests of a process."""
    return Classroom(tmp_path_factory.mktemp("adding")).assignment("01-adding", course)
