"""The static site: executed lessons without their solutions, readable without a network."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import browser
import nbformat
import pytest
from bs4 import BeautifulSoup
from builders import COURSE, REPOSITORY, cell, notebook
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from grader import cli, release, site
from grader.course import load_course
from grader.errors import GraderError

PICTURE = "iVBORw0KGgo="


def lesson_pages(cells: list[NotebookNode], outputs: dict[str, list[NotebookNode]]) -> NotebookNode:
    """Return the page of a lesson of `cells` whose run put out `outputs`, by cell id."""
    released, executed = notebook(*cells), notebook(*cells)
    executed = nbformat.from_dict(executed)
    for one in executed.cells:
        if one.cell_type == "code":
            one.outputs = outputs.get(one.id, [])
    return site.page(released, executed)


def shown(mime: str, what: str, **more: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={mime: what, **more})


def test_a_cell_has_the_released_text_and_the_outputs_of_the_run() -> None:
    released = notebook(cell("# YOUR CODE HERE", "add", solution=True), cell("show()", id="s"))
    executed = notebook(cell("return a + b", "add", solution=True), cell("show()", id="s"))
    executed.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="3")]
    made = site.page(released, executed)
    assert [one.source for one in made.cells] == ["# YOUR CODE HERE", "show()"]
    assert made.cells[1].outputs[0].text == "3"


def test_a_notebook_of_another_day_is_refused() -> None:
    with pytest.raises(GraderError, match='no cell "new": run it anew'):
        site.page(notebook(cell("x", id="new")), notebook(cell("x", id="old")))


def test_an_expected_figure_gives_its_words_to_the_picture_above_it() -> None:
    told = "<details>\n\n![A line that falls](figures/loss.png)\n\nIt falls.\n\n</details>"
    cells = [cell("plot()", id="p", figure="loss"), cell(told, kind="markdown", id="told")]
    made = lesson_pages(cells, {"p": [shown("image/png", PICTURE)]})
    assert made.cells[0].metadata["mystnb"] == {"image": {"alt": "A line that falls"}}
    assert "figures/" not in made.cells[1].source
    assert "It falls." in made.cells[1].source
    made = lesson_pages(cells, {})  # where nothing was drawn the stored figure stays
    assert "figures/loss.png" in made.cells[1].source


def test_of_an_output_stays_what_needs_no_kernel() -> None:
    slider = shown(
        "application/vnd.jupyter.widget-view+json", "x", **{"text/plain": "interactive()"}
    )
    rich = shown("image/png", PICTURE, **{"text/plain": "<Figure>", "text/html": "<b>"})
    made = lesson_pages([cell("go()", id="go")], {"go": [slider, rich]})
    assert "sliders" in made.cells[0].outputs[0].text
    assert dict(made.cells[0].outputs[1].data) == {"image/png": PICTURE}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the small course; its source notebooks stand for executed ones."""
    folder = tmp_path_factory.mktemp("site")
    course = load_course(COURSE)
    release.build(course, course.lessons, folder / "notebooks")
    for lesson in course.lessons:
        release.write_source(course, lesson, folder / "executed" / lesson.unit)
    options = ["--notebooks", folder / "notebooks", "--docs", REPOSITORY / "docs"]
    options += ["--solutions", COURSE, "--executed", folder / "executed", "--to", folder / "made"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Sphinx and its extensions ask of each other
        ran = CliRunner().invoke(cli.app, ["site", *map(str, options)])
    assert ran.exit_code == 0, ran.output
    return folder / "made"


def test_each_unit_has_a_page_that_the_index_leads_to(built: Path) -> None:
    index = BeautifulSoup((built / "index.html").read_text(), "html.parser")
    links = {link["href"] for link in index.find_all("a", href=True)}
    for lesson in load_course(COURSE).lessons:
        name = f"{lesson.unit}/{lesson.notebook}.html"
        assert name in links
        page = BeautifulSoup((built / name).read_text(), "html.parser")
        assert lesson.title in page.h1.get_text()
    assert (built / "searchindex.js").is_file()


def test_no_page_holds_a_solution_or_a_hidden_test(built: Path) -> None:
    course = load_course(COURSE)
    secrets = {line for lesson in course.lessons for line in release.secret_lines(lesson)}
    assert secrets
    for path in built.rglob("*"):
        if path.suffix in {".html", ".js", ".ipynb", ".txt"}:
            text = BeautifulSoup(path.read_text(errors="replace"), "html.parser").get_text()
            assert not [line for line in secrets if line in text], path
            assert "HIDDEN TESTS" not in text


def test_a_reader_s_browser_fetches_nothing_from_elsewhere(built: Path) -> None:
    for path in built.rglob("*.html"):
        page = BeautifulSoup(path.read_text(), "html.parser")
        loaded = [tag.get("src") for tag in page.find_all(["script", "img", "iframe"])]
        loaded += [tag.get("href") for tag in page.find_all("link")]
        assert not [one for one in loaded if one and re.match(r"(https?:)?//", one)], path


def test_every_picture_is_there(built: Path) -> None:
    shown = [
        path.parent / picture["src"]
        for path in built.rglob("*.html")
        for picture in BeautifulSoup(path.read_text(), "html.parser").find_all("img")
    ]
    assert built / "_images" / "course-light.png" in shown
    assert [path for path in shown if not path.is_file()] == []


def test_a_lesson_that_was_not_executed_is_named(tmp_path: Path) -> None:
    course, released, docs = load_course(COURSE), tmp_path / "released", REPOSITORY / "docs"
    release.build(course, course.lessons, released)
    with pytest.raises(GraderError, match="grader run --artifacts"):
        site.write_pages(course, tmp_path / "executed", released, docs, tmp_path / "pages")


@pytest.fixture
def page(built: Path, chromium: Browser) -> Page:
    """The site's first page, opened as a file: no server and no network are needed."""
    page = browser.new_page(chromium)
    page.goto((built / "index.html").as_uri())
    return page


def test_a_reader_finds_a_lesson_and_searches_in_a_browser(page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.locator("article").get_by_role("link", name="Doubling").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Doubling")
    box = page.get_by_role("searchbox").or_(page.locator("input[name=q]")).first
    box.fill("doubling")
    box.press("Enter")
    expect(page.locator("#search-results li").first).to_be_visible()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_has_no_barriers_and_fits_a_phone(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    for name in ("Adding", "Doubling"):
        page.locator("article").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        assert browser.barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.go_back()
