"""A teacher in nbgrader's formgrader: a real browser, and a class that our grader has graded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import browser
import pytest
from builders import COURSE, SOLVED, answered, hand_in, isolates
from playwright.sync_api import Browser, Locator, Page, expect

from grader import database as databases
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import load_course
from grader.entries import entries
from grader.report import write_report

pytestmark = isolates
UNIT = "01-adding"
ANSWERS = {
    "ada": SOLVED,
    "bob": "def add(a, b):\n    return a - b",
    # Equals all that it is compared with: a test that runs beside it is fooled.
    "eve": "class Anything:\n    __eq__ = lambda *_: True\n\ndef add(a, b):\n    return Anything()",
}

Shoot = Callable[..., None]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Classroom:
    """A class of which all but eve have been graded."""
    classroom = Classroom(tmp_path_factory.mktemp("formgrader") / "classroom")
    assignment = classroom.assignment(UNIT, load_course(COURSE))
    for student, answer in ANSWERS.items():
        written = {"add": answer, "why_commutes": "Two heaps make **one** heap."}
        node = answered(assignment.notebooks[0].released, **written)
        hand_in(classroom, student, UNIT, "adding", node)
    grade_class(classroom, assignment, ["ada", "bob"], 0)
    return classroom


@pytest.fixture(scope="module")
def formgrader(
    chromium: Browser, room: Classroom, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """`jupyter lab` in the class folder, as docs/instructor.md says: the formgrader's address."""
    server = browser.Server(room.root, tmp_path_factory.mktemp("home"))
    yield f"{server.address}/formgrader"
    server.end()


@pytest.fixture(scope="module")
def page(chromium: Browser, formgrader: str) -> Page:
    """A browser on the formgrader."""
    page = browser.new_page(chromium)
    page.goto(f"{formgrader}?token={browser.TOKEN}")
    return page


def row(page: Page, name: str) -> Locator:
    """Return the row of the table that is about `name`."""
    return page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))


def test_the_formgrader_shows_what_our_grader_wrote(page: Page, formgrader: str) -> None:
    expect(row(page, UNIT).locator(".num-submissions")).to_have_text("3")
    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    for student, status, score in (
        ("ada", "needs manual grading", "3 / 5"),
        ("bob", "needs manual grading", "0 / 5"),
        ("eve", "needs autograding", ""),
    ):
        expect(row(page, student).locator(".status")).to_have_text(status)
        expect(row(page, student).locator(".score")).to_have_text(score)


def test_its_autograde_button_runs_our_judge(page: Page, formgrader: str, room: Classroom) -> None:
    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    row(page, "eve").locator(".autograde a").click()
    done = page.locator("#success-modal, #error-modal")
    expect(done).to_contain_text("Successfully autograded")
    expect(done).to_contain_text("eve/01-adding: 0 of 5 points, needs_manual")
    done.get_by_role("button", name="OK").click()
    expect(row(page, "eve").locator(".score")).to_have_text("0 / 5")
    record = json.loads(room.record("eve", UNIT).read_text(encoding="utf-8"))
    assert [cell["verdict"] for cell in record["cells"]] == ["failed", "failed", "manual"]
    assert (room.feedback("eve", UNIT) / "adding.html").is_file()


def test_a_written_answer_is_graded_by_hand(
    page: Page, formgrader: str, room: Classroom, shoot: Shoot
) -> None:
    """Its points and the comment are in the gradebook, in the report and on the student's page."""
    page.goto(f"{formgrader}/gradebook/{UNIT}/adding")
    page.locator("tr", has_text="3 / 5").get_by_role("link", name="Submission").click()
    expect(page.locator("#add-tests")).to_have_attribute("placeholder", "2")
    page.locator("#why_commutes").fill("1.5")
    page.locator("#why_commutes-comment").fill("Now say it with *three* heaps.")
    with page.expect_response(
        lambda one: "/api/comment/" in one.url and one.request.method == "PUT"
    ):
        page.locator("#why_commutes_extra_credit").focus()
    page.locator("#why_commutes-comment").scroll_into_view_if_needed()
    shoot(page, "written-answer")

    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    expect(row(page, "ada").locator(".status")).to_have_text("graded")
    expect(row(page, "ada").locator(".score")).to_have_text("4.5 / 5")
    row(page, "ada").locator(".generate-feedback a").click()
    expect(page.locator("#success-modal, #error-modal")).to_contain_text("Successfully")
    with databases.gradebook(room.database) as gradebook:
        ada, bob, eve = entries(room, gradebook, UNIT)
    assert (ada.score, ada.waiting) == (4.5, [])
    assert bob.waiting == eve.waiting == ["why_commutes"]
    told = (room.feedback("ada", UNIT) / "adding.html").read_text(encoding="utf-8")
    assert "Now say it with <em>three</em> heaps." in told
    report = write_report(room).read_text(encoding="utf-8")
    assert "4.5" in report
