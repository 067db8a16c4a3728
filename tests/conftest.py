"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import postgres
import pytest
from builders import COURSE
from hypothesis import settings

from grader.classroom import Classroom
from grader.course import Course, load_course
from grader.model import Assignment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

collect_ignore = ["attacks"]  # whatever pattern of pytest's a file in there is named by

# A loaded machine is slow, and that is no bug.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make pictures` asks for the docs' pictures."""
    parser.addoption("--pictures", metavar="FOLDER", help="write the docs' pictures there")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium: of a module only, as no other event loop can run beside Playwright."""
    import browser  # which few tests need

    if why := browser.missing():
        if "CI" in os.environ:
            pytest.fail(why)
        pytest.skip(why)
    with browser.chromium() as one:
        yield one


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Take a picture for the docs where somebody wants them: `make pictures`."""
    target = request.config.getoption("--pictures")

    def take(page: Page, name: str, *, full_page: bool = False) -> None:
        if target:
            page.screenshot(path=Path(target) / f"{name}.png", full_page=full_page)

    return take


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
    """Let a class of many tests be kept in what they run on."""
    return lambda classroom: _kept(classroom, system, request)


def _kept(classroom: Classroom, system: str, request: pytest.FixtureRequest) -> Classroom:
    if system == "postgresql":
        classroom.use_database(request.getfixturevalue("server").with_tables())
    return classroom


@pytest.fixture
def classroom(tmp_path: Path, system: str, request: pytest.FixtureRequest) -> Iterator[Classroom]:
    """An empty class folder."""
    # Not by `keep`: pytest gives that of the last test that ran on both to one that does not.
    made = _kept(Classroom(tmp_path / "class"), system, request)
    address = made.database
    server = request.getfixturevalue("server") if "postgresql" in address else None
    yield made
    if server is not None:
        server.drop(address)


@pytest.fixture(scope="session")
def adding(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    """Unit 01-adding as an assignment, made by nbgrader once for all tests of a process."""
    return Classroom(tmp_path_factory.mktemp("adding")).assignment("01-adding", course)
