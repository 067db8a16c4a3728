"""The README's main command: `make demo` grades a class, and every score is the one expected."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbgrader.utils import is_grade, is_solution
from playwright.sync_api import Browser

from grader import course, demo, markup
from grader.classroom import Classroom
from grader.model import Assignment, SourceNotebook

ROOT = Path(__file__).parents[1]
LESSON = course.load_course(ROOT / "solutions")["02-convolution"]
MADE_BY_MAKE = Path(sys.prefix) / ".base"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The class folder of a demo run, and what the command printed."""
    folder = tmp_path_factory.mktemp("class") / "demo"
    command = (
        ["make", "--no-print-directory", "demo", f"VENV={sys.prefix}", f"CLASS={folder}"]
        if MADE_BY_MAKE.exists()
        else [sys.executable, "-m", "grader.cli", "demo", LESSON.unit, "--class", str(folder)]
    )
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def people() -> list[demo.Student]:
    """The students, and the score that each must get."""
    path = ROOT / "notebooks" / LESSON.unit / f"{LESSON.notebook}.ipynb"
    text = path.read_text(encoding="utf-8")
    notebook = SourceNotebook(LESSON.notebook, sealed=text, released=text)
    return demo.students(LESSON, Assignment(LESSON.unit, (notebook,)))


def graded(folder: Path, student: str) -> dict[str, object]:
    """What the grader stored for a student."""
    path = folder / "autograded" / student / LESSON.unit / "graded.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_every_demo_student_gets_exactly_the_expected_score(
    demo_run: tuple[Path, str], people: list[demo.Student]
) -> None:
    folder, printed = demo_run
    expected = {student.name: student.score for student in people}
    assert {name: graded(folder, name)["score"] for name in expected} == expected
    assert "Every student got the score that was expected." in printed


def test_the_gradebook_holds_the_same_scores(
    demo_run: tuple[Path, str], people: list[demo.Student]
) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(Classroom(demo_run[0]).database) as gradebook:
        stored = {
            submission.student.id: submission.score
            for submission in gradebook.assignment_submissions(LESSON.unit)
        }
    assert stored == {student.name: student.score for student in people}


def test_a_misconception_fails_exactly_the_test_cells_that_it_names(
    demo_run: tuple[Path, str],
) -> None:
    for variant in course.variants(LESSON):
        kind = "right" if variant.is_right else "wrong"
        name = f"{kind}-{variant.exercise}-{variant.name}"
        cells = graded(demo_run[0], name)["cells"]
        assert isinstance(cells, list)
        failed = {cell["grade_id"] for cell in cells if cell["verdict"] == "failed"}
        assert failed == set(variant.fails), name


@pytest.mark.parametrize(
    ("student", "status", "phrase"),
    [
        ("perfect", "needs_manual", ""),
        ("no_notebook", "unreadable", "not a notebook"),
        ("loops_forever", "needs_manual", ""),
        ("kills_the_kernel", "needs_manual", ""),
        ("blank", "graded", ""),
    ],
)
def test_odd_submissions_have_their_status_and_reason(
    demo_run: tuple[Path, str], student: str, status: str, phrase: str
) -> None:
    found = graded(demo_run[0], student)
    assert found["status"] == status
    assert phrase in " ".join(map(str, found["notes"]))  # type: ignore[call-overload]


def test_after_the_kernel_died_cells_are_not_run_and_say_so(demo_run: tuple[Path, str]) -> None:
    cells = graded(demo_run[0], "kills_the_kernel")["cells"]
    assert isinstance(cells, list)
    verdicts = [c["verdict"] for c in cells if c["verdict"] != "manual"]
    first = verdicts.index("not_run")
    assert set(verdicts[:first]) == {"passed"}
    assert set(verdicts[first:]) == {"not_run"}


def test_feedback_and_report_are_where_the_command_says(
    demo_run: tuple[Path, str], people: list[demo.Student]
) -> None:
    folder, printed = demo_run
    flat = "".join(printed.split())
    assert str(folder / "feedback") in flat
    assert str(folder / "report" / "index.html") in flat
    for student in people:
        page = folder / "feedback" / student.name / LESSON.unit / f"{LESSON.notebook}.html"
        assert page.stat().st_size > 10_000
    report = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert all(student.name in report for student in people)


def test_each_misconception_is_told_its_hint(demo_run: tuple[Path, str]) -> None:
    for variant in course.variants(LESSON):
        if variant.is_right:
            continue
        student = f"wrong-{variant.exercise}-{variant.name}"
        path = demo_run[0] / "feedback" / student / LESSON.unit / f"{LESSON.notebook}.html"
        assert str(markup.markdown(variant.hint)) in path.read_text(encoding="utf-8"), student


def test_no_page_shows_a_hidden_line(demo_run: tuple[Path, str]) -> None:
    def lines(folder: str, *, tests: bool) -> set[str]:
        path = demo_run[0] / folder / LESSON.unit / f"{LESSON.notebook}.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        wanted = [cell for cell in cells if not tests or (is_grade(cell) and not is_solution(cell))]
        return {line.strip() for cell in wanted for line in cell.source.splitlines()}

    given = lines("release", tests=False)
    hidden = {one for one in lines("source", tests=True) - given if len(one) > 16}
    hidden = {one for one in hidden if not any(one in line for line in given)}
    assert hidden
    pages = list((demo_run[0] / "feedback").glob(f"*/{LESSON.unit}/*.html"))
    assert pages
    for page in pages:
        text = html.unescape(re.sub("<[^>]*>", "", page.read_text(encoding="utf-8")))
        found = [line for line in hidden if line in text]
        if found:  # a student may think of the same line as a test
            assert set(found) <= lines(f"submitted/{page.parts[-3]}", tests=False), page


def test_who_copied_is_listed_with_whom(demo_run: tuple[Path, str]) -> None:
    text = (demo_run[0] / "report" / "index.html").read_text(encoding="utf-8")
    pairs = BeautifulSoup(text, "html.parser").select("details.pair > summary")
    assert [pair.get_text() for pair in pairs if "copied" in pair.get_text()] == [
        "copied and right-conv2d-seven_loops, side by side"
    ]


def test_who_met_a_limit_is_told_so(demo_run: tuple[Path, str]) -> None:
    assert graded(demo_run[0], "loops_forever")["notes"] == [
        "time limit in count_parameters: a cell may take 20 seconds"
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_barriers_and_fit_a_phone(
    demo_run: tuple[Path, str], chromium: Browser, shoot: Callable[..., None], scheme: Any
) -> None:
    page = browser.new_page(chromium)
    page.emulate_media(color_scheme=scheme)
    student = f"feedback/wrong-conv2d-turns_kernel/{LESSON.unit}/{LESSON.notebook}"
    died = f"feedback/kills_the_kernel/{LESSON.unit}/{LESSON.notebook}"
    for name in ("report/index", "report/class", student, died):
        page.set_viewport_size(browser.LAPTOP)
        page.goto((demo_run[0] / f"{name}.html").as_uri())
        if scheme == "light" and name in ("report/index", student):
            shoot(page, name.partition("/")[0])
        page.set_viewport_size({"width": 390, "height": 800})
        assert browser.barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_disguised_program_does_the_same_under_other_names() -> None:
    source = """
def scale(x, factor=2):
    total = 0
    for value in x:
        total += value * factor  # a comment
    return total
"""
    disguised = demo.disguised(source)
    assert "total" not in disguised.replace("my_total", "")
    assert "a comment" not in disguised
    names: dict[str, Any] = {}
    exec(disguised, names)  # our own few lines, above
    assert names["scale"]([1, 2], factor=3) == 9


def test_a_folder_that_is_no_demo_class_is_left_alone(tmp_path: Path) -> None:
    from grader.errors import UsageError

    (tmp_path / "submitted").mkdir()
    with pytest.raises(UsageError, match="not empty and not a demo class"):
        demo.open_class(tmp_path)
    assert (tmp_path / "submitted").is_dir()
