"""A teacher in nbgrader's formgrader: a real browser, and a class that our grader has graded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import COURSE, SOLVED, answered, hand_in, isolates

from grader import database as databases
from grader.batch import grade_class
from grader.classroom import Classroom
from grader.course import load_course
from grader.entries import entries
from grader.report import write_report

api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    isolates,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt install chromium"),
]
UNIT = "01-adding"
SECONDS = 90.0  # that a busy machine may need for what takes one or two
ANSWERS = {
    "ada": SOLVED,
    "bob": "def add(a, b):\n    return a - b",
    # Equals all that it is compared with: a test that runs beside it is fooled.
    "eve": "class Anything:\n    __eq__ = lambda *_: True\n\ndef add(a, b):\n    return Anything()",
}

Shoot = Callable[[str], None]


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
def formgrader(room: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`jupyter lab` in the class folder, as docs/instructor.md says: the formgrader's address."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if "JUPYTER" not in name}
    options = ["--no-browser", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=token"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--allow-root", *options],
        cwd=room.root,
        env=kept | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            break
    else:
        raise AssertionError("".join(said))
    # Nobody reads what else it says, and it must not have to wait for that.
    reader = threading.Thread(target=lambda: said.extend(server.stderr or ()))
    reader.start()
    yield f"{found[0]}/formgrader"
    server.terminate()
    server.wait(30)
    reader.join()
    server.stderr.close()


@pytest.fixture(scope="module")
def page(formgrader: str) -> Iterator[Any]:
    """A browser on the formgrader."""
    with api.sync_playwright() as playwright:
        # Its own sandbox refuses to run as root, and it opens nothing but our own server.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.set_default_timeout(1000 * SECONDS)
        api.expect.set_options(timeout=1000 * SECONDS)
        page.goto(f"{formgrader}?token=token")
        yield page
        browser.close()


@pytest.fixture
def shoot(page: Any, request: pytest.FixtureRequest) -> Shoot:
    """Take a picture for the docs where somebody wants them: `make pictures`."""
    target = request.config.getoption("--pictures")

    def take(name: str) -> None:
        if target:
            page.screenshot(path=Path(target) / f"{name}.png")

    return take


def row(page: Any, name: str) -> Any:
    """Return the row of the table that is about `name`."""
    return page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))


def test_the_formgrader_shows_what_our_grader_wrote(
    page: Any, formgrader: str, shoot: Shoot
) -> None:
    api.expect(row(page, UNIT).locator(".num-submissions")).to_have_text("3")
    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    for student, status, score in (
        ("ada", "needs manual grading", "3 / 5"),
        ("bob", "needs manual grading", "0 / 5"),
        ("eve", "needs autograding", ""),
    ):
        api.expect(row(page, student).locator(".status")).to_have_text(status)
        api.expect(row(page, student).locator(".score")).to_have_text(score)
    shoot("formgrader")


def test_its_autograde_button_runs_our_judge(page: Any, formgrader: str, room: Classroom) -> None:
    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    row(page, "eve").locator(".autograde a").click()
    done = page.locator("#success-modal, #error-modal")
    api.expect(done).to_contain_text("Successfully autograded")
    api.expect(done).to_contain_text("eve/01-adding: 0 of 5 points, needs_manual")
    done.get_by_role("button", name="OK").click()
    api.expect(row(page, "eve").locator(".score")).to_have_text("0 / 5")
    record = json.loads(room.record("eve", UNIT).read_text(encoding="utf-8"))
    assert [cell["verdict"] for cell in record["cells"]] == ["failed", "failed", "manual"]
    assert (room.feedback("eve", UNIT) / "adding.html").is_file()


def test_a_written_answer_is_graded_by_hand(
    page: Any, formgrader: str, room: Classroom, shoot: Shoot
) -> None:
    """Its points and the comment are in the gradebook, in the report and on the student's page."""
    page.goto(f"{formgrader}/gradebook/{UNIT}/adding")
    page.locator("tr", has_text="3 / 5").get_by_role("link", name="Submission").click()
    api.expect(page.locator("#add-tests")).to_have_attribute("placeholder", "2")
    page.locator("#why_commutes").fill("1.5")
    page.locator("#why_commutes-comment").fill("Now say it with *three* heaps.")
    with page.expect_response(
        lambda one: "/api/comment/" in one.url and one.request.method == "PUT"
    ):
        page.locator("#why_commutes_extra_credit").focus()
    page.locator("#why_commutes-comment").scroll_into_view_if_needed()
    shoot("written-answer")

    page.goto(f"{formgrader}/manage_submissions/{UNIT}")
    api.expect(row(page, "ada").locator(".status")).to_have_text("graded")
    api.expect(row(page, "ada").locator(".score")).to_have_text("4.5 / 5")
    row(page, "ada").locator(".generate-feedback a").click()
    api.expect(page.locator("#success-modal, #error-modal")).to_contain_text("Successfully")
    with databases.gradebook(room.database) as gradebook:
        ada, bob, eve = entries(room, gradebook, UNIT)
    assert (ada.score, ada.waiting) == (4.5, [])
    assert bob.waiting == eve.waiting == ["why_commutes"]
    told = (room.feedback("ada", UNIT) / "adding.html").read_text(encoding="utf-8")
    assert "Now say it with <em>three</em> heaps." in told
    report = write_report(room).read_text(encoding="utf-8")
    assert "4.5" in report
