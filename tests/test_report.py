"""What instructors see: the gradebook's numbers, what went wrong, and nothing that runs."""

from __future__ import annotations

import csv
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from builders import COURSE, receive
from nbgrader.api import Gradebook as Database
from nbgrader.plugins.export import CsvExportPlugin
from test_fingerprints import POOL

from grader import plots, tallies
from grader.classroom import Classroom
from grader.course import load_course
from grader.discrimination import Discrimination
from grader.entries import Entry, Mark, Told
from grader.errors import UsageError
from grader.gradebook import Gradebook
from grader.model import Assignment, CellResult, Graded, GradedNotebook, Status, Verdict
from grader.plots import Share
from grader.report import _told_apart, write_report

UNIT = "01-adding"
SCRIPT = "<script>alert(1)</script>"
NAME = "<script>alert(1)<script>"  # a folder's name holds no slash
ODD = "cem?x=1#%41"  # means something in an address
IMAGE = '"><img src=x onerror=alert(1)>'
WRONG = "add: 3 of 7 values are wrong; largest error {} at [2]"
CELLS = (("add-tests", 2.0), ("add-arrays", 1.0), ("why_commutes", 2.0))


def result(name: str, points: float | None, message: str = "", **more: Any) -> CellResult:
    """Return the verdict that goes with these points."""
    maximum = dict(CELLS)[name]
    verdict = Verdict.PASSED if points == maximum else Verdict.FAILED
    if points is None:
        verdict = Verdict.MANUAL
    exercise = "add" if name.startswith("add") else ""
    return CellResult(
        "adding", name, points, maximum, verdict, 0.0, message, exercise=exercise, **more
    )


def graded(unit: Assignment, student: str, *results: CellResult, **more: Any) -> Graded:
    """Return a submission with these verdicts; cells that are not named passed."""
    given = {one.grade_id: one for one in results}
    cells = tuple(given.get(name, result(name, points)) for name, points in CELLS)
    run = GradedNotebook("adding", unit.notebooks[0].sealed, cells)
    return replace(Graded(student, unit.unit, Status.GRADED, (run,)), **more)


def people(unit: Assignment) -> list[Graded]:
    """Return a class in which everything happens once."""
    broken = tuple(CellResult("adding", n, None, p, Verdict.BROKEN, 0, "ours") for n, p in CELLS)
    empty = tuple(CellResult("adding", n, 0.0, p, Verdict.NOT_RUN, 0, "no file") for n, p in CELLS)
    sealed = unit.notebooks[0].sealed
    return [
        graded(unit, "ada"),
        graded(unit, "bea", result("add-arrays", 0.0, WRONG.format("1.5"))),
        graded(unit, ODD, result("add-arrays", 0.0, WRONG.format("2.25"))),
        graded(unit, "dan", result("add-arrays", 0.0, f"{SCRIPT}{IMAGE}")),
        graded(unit, "eva", result("add-arrays", 0.0, "not written yet")),
        graded(unit, "fay", result("add-tests", 0.5, "0.5 of 2 points")),
        graded(unit, "gil", result("why_commutes", None), status=Status.NEEDS_MANUAL),
        graded(unit, NAME, result("add-tests", 0.0, "IndexError: index 3")),
        graded(unit, IMAGE),
        graded(unit, "late"),
        Graded(
            "hal",
            UNIT,
            Status.BROKEN,
            (GradedNotebook("adding", sealed, broken),),
            (f"the grader failed on adding:\nTraceback\nOSError: {SCRIPT}",),
        ),
        Graded(
            "ian",
            UNIT,
            Status.UNREADABLE,
            (GradedNotebook("adding", sealed, empty),),
            (f"adding.ipynb was not handed in {SCRIPT}",),
        ),
    ]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Classroom:
    """A graded class with a late submission, whose penalty is all of its points."""
    root = tmp_path_factory.mktemp("rooms") / "autumn <b>"
    classroom = Classroom(root)
    unit = classroom.assignment(UNIT, load_course(COURSE))
    with (root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    with Database(classroom.database, "cnn-course") as database:
        database.update_or_create_assignment(UNIT, duedate=datetime(2025, 1, 10))
        database.add_student("never")
    gradebook = Gradebook(classroom)
    for one in people(unit):
        folder = root / "submitted" / one.student / UNIT
        folder.mkdir(parents=True)
        if one.student == "late":
            receive(classroom, one.student, one.unit, "2025-01-12 10:00:00")
        gradebook.store(unit, one)
    (root / "submitted" / "waiting" / UNIT).mkdir(parents=True)
    return classroom


@pytest.fixture(scope="module")
def text(room: Classroom) -> str:
    """The report as a file."""
    return write_report(room).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> BeautifulSoup:
    """The report as a browser has it."""
    return BeautifulSoup(text, "html.parser")


def table(page: BeautifulSoup, *columns: str) -> list[list[str]]:
    """Return the rows of the first table whose head begins with `columns`."""
    for found in page.select("table"):
        head = [cell.get_text() for cell in found.select("thead th")]
        if head[: len(columns)] == list(columns):
            return [
                [cell.get_text(" ", strip=True) for cell in row.select("td")]
                for row in found.select("tbody tr")
            ]
    raise AssertionError(f"no table {columns}")


def items(page: BeautifulSoup) -> dict[str, list[str]]:
    """Return {exercise or test: what is said of its success}."""
    rows = next(
        found.select("tbody tr")
        for found in page.select("table")
        if found.th and found.th.get_text() == "exercise, test"
    )
    cells = ([one.get_text(" ", strip=True) for one in row.select("th, td")] for row in rows)
    return {name: rest for name, *rest in cells}


def section(page: BeautifulSoup, title: str) -> Tag:
    """Return the heading's parent."""
    return next(h.parent for h in page.select("h3") if h.get_text() == title and h.parent)


# ---- numbers --------------------------------------------------------------------------------


def test_scores_are_those_that_nbgrader_exports(
    room: Classroom, page: BeautifulSoup, tmp_path: Path
) -> None:
    with Database(room.database, "cnn-course") as database:
        CsvExportPlugin(to=str(tmp_path / "grades.csv")).export(database)
    lines = (tmp_path / "grades.csv").read_text().splitlines()
    exported = {
        line["student_id"]: float(line["score"])
        for line in csv.DictReader(lines, quoting=csv.QUOTE_NONE)  # nbgrader quotes nothing
    }
    shown = {row[0]: float(row[1]) for row in table(page, "student", "points of 5")}
    assert shown.pop("late") == exported.pop("late") == 0.0  # 5 points and a penalty of 5
    assert exported.pop("never") == 0.0
    assert shown == exported


def test_scores_are_those_of_the_gradebook_less_the_penalty(
    room: Classroom, page: BeautifulSoup
) -> None:
    with Database(room.database, "cnn-course") as database:
        expected = {
            one.student.id: max(0.0, one.score - one.late_submission_penalty)
            for one in database.assignment_submissions(UNIT)
        }
    assert len(expected) == 12
    assert {row[0]: float(row[1]) for row in table(page, "student", "points of 5")} == expected


def test_the_mean_and_the_median_are_of_all_submissions(page: BeautifulSoup) -> None:
    numbers = [item.get_text(" ", strip=True) for item in page.select(".numbers li")]
    # ada 5, bea, cem?, dan, eva 4, fay 3.5, gil 3, <script> 3, <img> 5, late, hal, ian 0
    assert numbers == [
        "12 submissions",
        "2.96 mean, of 5 points",
        "3.75 median",
        "2 wait for a person",
        "1 could not be read",
    ]


def test_success_is_counted_among_decided_marks_of_readable_submissions(
    page: BeautifulSoup,
) -> None:
    # n, all points, some, none, waits, success, mean; ian could not be read, hal is undecided
    assert items(page) == {
        "add": ["11", "4", "6", "0", "1", "40 %", "75 %", "–"],
        "add-tests": ["11", "8", "1", "1", "1", "80 %", "82 %", "–"],
        "add-arrays": ["11", "6", "0", "4", "1", "60 %", "60 %", "–"],
        "why_commutes": ["11", "9", "0", "0", "2", "100 %", "100 %", "–"],
    }
    assert "under 20 it is not reckoned" in page.get_text()


def test_late_submissions_say_what_they_lost(page: BeautifulSoup) -> None:
    row = next(row for row in table(page, "student", "points of 5") if row[0] == "late")
    assert row[1:3] == ["0", "graded late: −5"]


# ---- what went wrong ------------------------------------------------------------------------


def test_mistakes_are_grouped_over_numbers_and_counted_most_frequent_first(
    page: BeautifulSoup,
) -> None:
    found = [
        [cell.get_text(" ", strip=True) for cell in row.select("td:first-child, .says")]
        for row in page.select("table.mistakes tr")
    ]
    assert found == [
        ["1", "0.5 of 2 points"],
        ["1", "IndexError: index 3"],
        ["2", WRONG.format("1.5")],
        ["1", f"{SCRIPT}{IMAGE}"],
        ["1", "not answered, or not run"],
    ]


def test_the_students_of_a_mistake_stand_behind_a_fold(page: BeautifulSoup) -> None:
    row = page.select("table.mistakes tr")[2]
    assert row.select_one("details").get_text(" ", strip=True) == f"who bea , {ODD}"  # type: ignore[union-attr]
    assert "open" not in row.select_one("details").attrs  # type: ignore[union-attr]


def test_who_needs_a_person_is_named_with_the_reason(page: BeautifulSoup) -> None:
    needs = section(page, "What needs a person").get_text(" ", strip=True)
    assert "hal : the grader or a test failed, not the student." in needs
    assert f"OSError: {SCRIPT}" in needs
    assert "why_commutes : 1 answer to read who gil" in needs


def test_unreadable_submissions_say_why(page: BeautifulSoup) -> None:
    assert table(page, "student", "why") == [["ian", f"adding.ipynb was not handed in {SCRIPT}"]]


def test_who_handed_in_nothing_and_what_is_not_graded_is_said(page: BeautifulSoup) -> None:
    concerns = section(page, "Students to talk to").get_text(" ", strip=True)
    assert "never handed in nothing" in concerns
    assert "1 handed in and not graded yet: waiting" in page.get_text(" ", strip=True)


# ---- safety ---------------------------------------------------------------------------------


def test_names_and_messages_are_inert(text: str, page: BeautifulSoup) -> None:
    assert not page.select("script, img, iframe, object, form, input, link, base")
    for element in page.find_all(True):
        for name, value in element.attrs.items():
            assert not name.startswith("on"), element
            if name in ("href", "xlink:href"):
                assert value.startswith(("../feedback/", "#")) or value == "class.html", value
    assert "<b>" not in page.h1.decode_contents()  # type: ignore[union-attr]
    assert page.h1.get_text() == "Class report: autumn <b>"  # type: ignore[union-attr]
    assert SCRIPT not in text


def test_code_that_is_shown_side_by_side_is_inert(room: Classroom, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(room.root, copy)
    classroom = Classroom(copy)
    for student in ("ada", "bea"):
        path = classroom.autograded(student, UNIT) / "adding.ipynb"
        node = nbformat.read(path, as_version=4)
        answer = next(c for c in node.cells if c.metadata.get("nbgrader", {}).get("solution"))
        answer.source = f"# {IMAGE}</pre>{SCRIPT}\x1b[31m\u202e\n{POOL}"
        nbformat.write(node, path)
    text = write_report(classroom).read_text(encoding="utf-8")
    found = BeautifulSoup(text, "html.parser")
    pair = found.select_one("details.pair")
    assert pair is not None
    assert pair.summary is not None
    assert pair.summary.get_text() == "ada and bea, side by side"
    assert "block.max(axis=(2, 3))" in pair.get_text()
    assert f"{IMAGE}</pre>{SCRIPT}" in pair.get_text()
    assert not found.select("script, img, iframe")
    assert SCRIPT not in text
    assert not re.search("\x1b", text)


def test_a_report_forbids_scripts_and_the_network_by_itself(page: BeautifulSoup) -> None:
    policy = page.select_one('meta[http-equiv="Content-Security-Policy"]')
    assert policy is not None
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:;")
    assert "url(http" not in str(page)
    assert "@import" not in str(page)


def test_every_feedback_link_leads_to_a_page(room: Classroom, page: BeautifulSoup) -> None:
    links = [str(link["href"]) for link in page.select("a[href^='../feedback']")]
    pages = {os.path.normpath(room.report / unquote(link)) for link in links}
    assert len(pages) == 12
    assert all(Path(path).is_file() for path in pages)


def test_a_class_without_grades_is_refused_in_one_sentence(classroom: Classroom) -> None:
    with pytest.raises(UsageError, match="nothing has been graded"):
        write_report(classroom)
    assert not (classroom.root / "gradebook.db").exists()


def test_a_gradebook_that_nbgrader_alone_has_filled_is_reported_on(
    room: Classroom, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(room.root, copy, ignore=shutil.ignore_patterns("autograded", "feedback"))
    page = BeautifulSoup(write_report(Classroom(copy)).read_text(encoding="utf-8"), "html.parser")
    assert len(table(page, "student", "points of 5")) == 12
    assert not page.select("table.mistakes")


# ---- the page of the class ------------------------------------------------------------------


def test_the_page_of_the_class_leads_to_every_page_and_leaves_nobody_out(
    room: Classroom, page: BeautifulSoup
) -> None:
    write_report(room)
    text = (room.report / "class.html").read_text(encoding="utf-8")
    found = BeautifulSoup(text, "html.parser")
    rows = {
        row.th.get_text(): row.td.get_text(" ", strip=True)  # type: ignore[union-attr]
        for row in found.select("tbody tr")
    }
    assert rows["ada"] == "5 graded"
    assert rows["gil"] == "3 1 to read"
    assert rows["late"] == "0 graded late: −5"
    assert rows["never"] == "nothing handed in"
    assert rows["waiting"] == "not graded yet"
    assert len(rows) == 14
    targets = {str(link["href"]) for link in found.select("a")} - {"index.html"}
    assert targets == {str(link["href"]) for link in page.select("a[href^='../feedback']")}
    assert not found.select("script, img, iframe")
    assert SCRIPT not in text
    assert page.select("a[href='class.html']")


def test_cells_that_two_notebooks_of_a_unit_have_are_told_apart() -> None:
    def entry(student: str, first: float, second: float) -> Entry:
        marks = (Mark("a", "add", first, 1.0, False), Mark("b", "add", second, 1.0, False))
        told = (Told("add", Verdict.PASSED, "", "a"), Told("add", Verdict.FAILED, "no", "b"))
        return Entry(student, 1.0, 2.0, 0.0, marks, told, "graded", (), (), ())

    [one] = _told_apart([entry("ada", 1.0, 0.0)])
    assert [mark.cell for mark in one.marks] == ["a: add", "b: add"]
    assert [told.cell for told in one.told] == ["a: add", "b: add"]
    found, _ = tallies.items([one], [])
    assert [(item.share.name, item.share.rate) for item in found] == [("a: add", 1), ("b: add", 0)]


# ---- plots ----------------------------------------------------------------------------------


def bars(svg: str) -> int:
    """Return how many bars a plot has."""
    return len(re.findall(r"#0072b2", svg))


def test_a_plot_is_well_formed_and_says_in_words_what_it_shows() -> None:
    svg = str(plots.histogram([1.0, 2.0, 2.0, 5.0], 5.0, "k"))
    root = ElementTree.fromstring(
        svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    )
    assert root.get("role") == "img"
    assert root.get("aria-label") == (
        "Histogram of 4 scores between 1 and 5 of 5 points; median 2."
    )
    assert "Half of the 4 submissions have 2 points or more" in svg
    assert bars(svg) == 3


@pytest.mark.parametrize(
    ("scores", "maximum"),
    [([0.0], 0.0), ([3.0], 10.0), ([0.5, 1.0], 1.0), ([7.0, 12.0], 10.0), ([50.0] * 300, 1000.0)],
    ids=["no points", "one student", "one point", "extra credit", "many points"],
)
def test_a_histogram_can_be_drawn_of_any_class(scores: list[float], maximum: float) -> None:
    assert "<svg" in plots.histogram(scores, maximum, "k")


def test_cells_stand_in_the_order_of_the_lesson_and_the_title_names_the_hardest() -> None:
    shares = [
        Share("zeta", 10, 9, 0, 1, 0),
        Share("alpha$x$<b>", 10, 3, 2, 5, 0),
        Share("beta", 10, 0, 0, 1, 9),
    ]
    svg = str(plots.success([(share, None) for share in shares], "k"))
    assert "Hardest: alpha$x$&lt;b&gt;, all points for 30%" in svg
    assert (
        svg.index("zeta</text>") < svg.index("alpha$x$&lt;b&gt;</text>") < svg.index("beta</text>")
    )
    assert "90%, n = 10" in svg
    assert "1 of 10 decided" in svg


def test_plots_of_one_page_share_no_ids(text: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_report_is_one_small_file(room: Classroom) -> None:
    assert write_report(room).stat().st_size < 120_000


def test_the_lesson_gives_its_title(page: BeautifulSoup) -> None:
    assert page.h2.get_text(" ", strip=True) == f"Adding {UNIT}"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("seconds", "title"),
    [
        ([0.25], "Half took 0.25 s or less, the longest 0.25 s"),
        ([1.0, 2.0, 140.4], "Half took 2 s or less, the longest 140 s"),
    ],
)
def test_times_can_be_drawn_of_any_class(seconds: list[float], title: str) -> None:
    svg = str(plots.times(seconds, "k"))
    assert title in svg
    assert 'role="img" aria-label="Histogram of the time' in svg


def test_known_mistakes_are_drawn_with_the_most_frequent_at_the_top() -> None:
    svg = str(plots.counts([("conv2d: <flipped>", 3), ("add: twice", 1)], "k"))
    assert "The most frequent: in 3 submissions" in svg
    assert svg.index(">conv2d: &lt;flipped&gt;</text>") < svg.index(">add: twice</text>")
    assert "by known mistake: conv2d: &lt;flipped&gt; 3; add: twice 1" in svg


def test_discrimination_is_drawn_where_it_is_known() -> None:
    share = Share("add", 30, 20, 0, 10, 0)
    known = str(plots.success([(share, Discrimination(0.4, 0.1, 0.6))], "k"))
    assert "Dots, discrimination: add 0.40" in known
    assert "Tells apart?" in known
    assert "Tells apart?" not in plots.success([(share, None)], "k")


def test_each_figure_can_be_heard(page: BeautifulSoup) -> None:
    figures = page.select("figure svg")
    assert len(figures) >= 2
    assert all(svg["role"] == "img" and len(str(svg["aria-label"])) > 30 for svg in figures)
