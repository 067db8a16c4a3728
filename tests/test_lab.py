"""A student in JupyterLab: from the course page through a lesson, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import browser
import nbformat
import pytest
from builders import REPOSITORY, answered
from playwright.sync_api import APIResponse, Browser, Locator, Page, expect

from grader import course as courses
from grader import lab, release
from grader.check.unit import read_unit, save_passed
from grader.course import Course

COURSE = courses.load_course(REPOSITORY / "solutions")
UNIT = COURSE["02-convolution"]
CELLS = json.loads((REPOSITORY / f"notebooks/{UNIT.unit}/convolution.ipynb").read_text("utf-8"))[
    "cells"
]
EXERCISE = "cross_correlate1d"
# The stride changes only the size of its result: the first check passes, the second fails.
WRONG = next(one.source for one in courses.variants(UNIT) if one.name == "stride_only_in_size")
RIGHT = courses.exports(UNIT)[EXERCISE]
NOISY = "import sys\ndef add(a, b):\n    print('hm', file=sys.stderr)\n    return a + b"
DRAWING = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"

Shoot = Callable[..., None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, course: Course) -> Path:
    """What a student has: the course's notebooks, of which one is done, and a tiny lesson."""
    made = tmp_path_factory.mktemp("student")
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(REPOSITORY / "notebooks", made / "notebooks", ignore=hidden)
    first = read_unit(made / "notebooks" / "01-neurons" / "neurons.ipynb")
    assert first is not None
    save_passed(first, set(first.tests))
    release.build(course, course.lessons[:1], made / "tiny")
    path = made / "tiny" / "01-adding" / "adding.ipynb"
    tiny = answered(path.read_text(encoding="utf-8"), add=NOISY)
    tiny.cells.append(nbformat.v4.new_code_cell(DRAWING, id="drawing"))
    nbformat.write(tiny, path)
    return made


@pytest.fixture(scope="module")
def server(
    chromium: Browser, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[browser.Server]:
    """`jupyter lab` in that folder."""
    one = browser.Server(folder, tmp_path_factory.mktemp("home"))
    yield one
    one.end()


@pytest.fixture(scope="module")
def welcome(chromium: Browser, server: browser.Server) -> Page:
    """The page that `jupyter lab` opens."""
    page = browser.new_page(chromium)
    page.goto(server.url(server.opens_on))
    return page


@pytest.fixture(scope="module")
def notebook(welcome: Page) -> Page:
    """The lesson on convolution, opened from there; its first cells have run."""
    with welcome.context.expect_page() as opened:
        welcome.get_by_role("link", name="02 Convolution").click()
    page = opened.value
    _wait(page, len(CELLS))
    run(page, next(n for n, one in enumerate(CELLS) if "import numpy as np\n" in one["source"]))
    return page


def _wait(page: Page, cells: int) -> None:
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(cells)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")


def place(name: str) -> int:
    """Return where a cell of the lesson on convolution is."""
    return next(n for n, one in enumerate(CELLS) if one["id"] == name)


def run(page: Page, number: int, source: str | None = None) -> Locator:
    """Run a cell, with another text if one is given; return what it shows."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    prompt = cell.locator(".jp-InputArea-prompt")
    before = prompt.inner_text()
    cell.locator(".cm-content").click()
    if source is not None:
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    expect(prompt).not_to_have_text(before)
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
    return cell.locator(".jp-OutputArea-output")


def refresh(page: Page) -> None:
    """Come back to a page: a browser without a window does not tell it so."""
    page.evaluate("dispatchEvent(new Event('focus'))")


def contrast(element: Locator) -> float:
    """WCAG's contrast of an element's text with what is behind it."""
    return float(
        element.evaluate(
            """element => {
              const parse = text => text.match(/[\\d.]+/g).map(Number);
              const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
                v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
              ).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
              const behind = one => {  // some backgrounds are half transparent
                const [r, g, b, part = 1] = parse(getComputedStyle(one).backgroundColor);
                if (part === 1) return [r, g, b];
                const rest = behind(one.parentElement);
                return [r, g, b].map((v, k) => part * v + (1 - part) * rest[k]);
              };
              const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))];
              return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            }"""
        )
    )


# ---- the course page -------------------------------------------------------------------------


def test_jupyter_lab_opens_on_the_units(server: browser.Server, welcome: Page) -> None:
    assert server.opens_on == "/course"
    rows = welcome.locator("tbody tr")
    expect(rows).to_have_count(len(COURSE.lessons))
    for row, lesson in zip(rows.all(), COURSE.lessons, strict=True):
        expect(row).to_contain_text(lesson.title)
        expect(row.locator(".minutes")).to_have_text(str(lesson.minutes))
        expect(row.locator(".points")).to_have_text(f"{lesson.points:g}")
    expect(rows.nth(0)).to_contain_text("✓")
    expect(rows.nth(0)).to_contain_text("14 of 14 exercises, 29 of 29 points")
    expect(rows.nth(1)).to_contain_text("not begun")


def test_a_folder_without_units_gets_no_course_page(tmp_path: Path) -> None:
    server: Any = SimpleNamespace(root_dir=str(tmp_path))  # whoever asked it for more would fail
    lab._load_jupyter_server_extension(server)


def test_links_know_where_the_server_is(tmp_path: Path) -> None:
    document = {"lesson": {"unit": "01-a", "title": "<b>A</b>", "minutes": 10}}
    (tmp_path / "01-a").mkdir()
    file = tmp_path / "01-a" / "a & b.ipynb"
    file.write_text(json.dumps({"metadata": document, "cells": []}), encoding="utf-8")
    page = lab.page(tmp_path, "/user/ada/")
    assert 'href="/user/ada/lab/tree/01-a/a%20%26%20b.ipynb"' in page
    assert "01 &lt;b&gt;A&lt;/b&gt;" in page


# ---- a lesson --------------------------------------------------------------------------------


def test_the_table_of_contents_has_every_heading(notebook: Page) -> None:
    notebook.locator(".jp-SideBar [data-id='table-of-contents']").click()
    headings = [
        re.sub(r"[`*$]", "", line.lstrip("#").strip())
        for one in CELLS
        if one["cell_type"] == "markdown"
        for line in "".join(one["source"]).splitlines()
        if re.match(r"#+ ", line)
    ]
    entries = notebook.locator(".jp-TableOfContents-tree .jp-tocItem-content")
    expect(entries).to_have_text(headings)


def test_nothing_scrolls_sideways_on_a_laptop(notebook: Page) -> None:
    wide = notebook.evaluate(
        """() => [...document.querySelectorAll('.jp-Notebook, .jp-Notebook *')]
          .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
          .filter(one => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))
          .map(one => one.textContent)"""
    )
    assert wide == []


def test_a_check_is_green_or_red_and_the_course_page_keeps_up(
    notebook: Page, welcome: Page
) -> None:
    slide, stride = place(f"{EXERCISE}-slide"), place(f"{EXERCISE}-stride")
    run(notebook, place(EXERCISE))
    expect(run(notebook, slide)).to_have_text(f"○ {EXERCISE}: not written yet")
    run(notebook, place(EXERCISE), WRONG)
    green, red = run(notebook, slide), run(notebook, stride)
    expect(green).to_contain_text(f"✓ {EXERCISE}, slide passed, 1 point")
    expect(green).to_contain_text("02-convolution: 0 of 8 exercises, 1 of 22 points")
    expect(red).to_contain_text(f"✗ {EXERCISE}, stride 2: ")
    expect(red).to_contain_text(f"in the test, line 2: check.close({EXERCISE}(")
    assert len(red.inner_text().splitlines()) <= 4

    row = welcome.locator("tbody tr").nth(1)
    refresh(welcome)
    expect(row).to_contain_text("0 of 8 exercises, 1 of 22 points")
    run(notebook, place(EXERCISE), RIGHT)
    expect(run(notebook, stride)).to_contain_text("0 of 8 exercises, 2 of 22 points")
    line = run(notebook, place(f"{EXERCISE}-padding"))
    expect(line).to_contain_text("1 of 8 exercises, 3 of 22 points")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_green_and_red_can_be_read_in_each_theme(
    notebook: Page, welcome: Page, theme: str, shoot: Shoot
) -> None:
    notebook.get_by_role("menuitem", name="Settings", exact=True).click()
    for name in ("Theme", f"JupyterLab {theme}"):
        notebook.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{name}$")).click()
    is_light = str(theme == "Light").lower()
    expect(notebook.locator("body")).to_have_attribute("data-jp-theme-light", is_light)
    run(notebook, place(EXERCISE), WRONG)
    red = run(notebook, place(f"{EXERCISE}-stride"))
    green = run(notebook, place(f"{EXERCISE}-slide"))
    for text in (green.locator("b"), green.get_by_text(f"{UNIT.unit}:"), red.locator("pre")):
        assert contrast(text) > 4.5
    for mark in (green.get_by_text("✓"), red.get_by_text("✗")):
        assert contrast(mark.last) > 4.5
    assert browser.barriers(notebook, ".jp-CodeCell .jp-OutputArea-output") == []
    red.evaluate("one => one.scrollIntoView({block: 'end'})")
    shoot(notebook, f"checks-{theme.lower()}")

    welcome.emulate_media(color_scheme="light" if theme == "Light" else "dark")
    refresh(welcome)
    points = re.search(r"[\d.]+ of [\d.]+ points", green.inner_text())
    assert points
    expect(welcome.locator("tbody tr").nth(1)).to_contain_text(points[0])
    for text in welcome.locator("h1, th, td.progress, td a").all():
        assert contrast(text) > 4.5
    assert browser.barriers(welcome) == []
    shoot(welcome, f"course-{theme.lower()}", full_page=True)


def test_whoever_cannot_see_a_lesson_is_told_all_of_it(notebook: Page) -> None:
    assert browser.barriers(notebook, ".jp-MarkdownOutput") == []
    made = notebook.context.new_page()
    made.set_content("<main><h1>A curve</h1><img src='data:,'></main>")
    [missing] = browser.barriers(made, "main")
    assert missing.startswith("image-alt:")
    made.close()


def test_validate_says_what_our_grader_says_and_figures_are_crisp(
    server: browser.Server, welcome: Page, folder: Path
) -> None:
    """nbgrader itself would fail both tests of `add` for its noise on stderr."""
    page = welcome.context.new_page()
    page.goto(f"{server.address}/lab/tree/tiny/01-adding/adding.ipynb")
    path = folder / "tiny" / "01-adding" / "adding.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    _wait(page, len(cells))
    run(page, 1)
    image = run(page, len(cells) - 1).locator("img")
    assert image.evaluate("one => one.naturalWidth / one.width") == pytest.approx(2, abs=0.01)

    page.get_by_role("button", name="Validate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("why_commutes")
    assert "add-" not in dialog.inner_text()
    page.close()


def test_validate_looks_at_notebooks_of_the_course_only(
    server: browser.Server, welcome: Page
) -> None:
    def asked(path: str) -> APIResponse:
        query = {"path": path, "token": browser.TOKEN}
        return welcome.context.request.post(f"{server.address}/assignments/validate", params=query)

    assert asked("../../secret.ipynb").status == 403
    for path in ("notebooks/02-convolution/previously.py", "notebooks/nothing.ipynb"):
        answer = asked(path).json()
        assert not answer["success"]
        assert answer["value"]
