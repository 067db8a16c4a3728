"""The course as a static site: a page for each lesson, as it looks when it is solved, unsolved.

A page has the cells of the released notebook, word for word, and below them what the reference
solutions put out. Sphinx makes the pages, with myst-nb and furo (the extra ``site``): search,
contents, light and dark. Nothing is fetched, neither by the build nor by a reader's browser.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grader.course import Course
from grader.errors import GraderError
from grader.lesson import Lesson, Role
from grader.release import write_notebook

# Parts of an output that are of use on a page without a kernel, the best first.
SHOWN = ("image/svg+xml", "image/png", "text/plain")
WIDGET = "application/vnd.jupyter.widget-view+json"
FIGURE = re.compile(r"!\[(?P<alt>[^]]*)\]\(figures/(?P<name>[\w-]+)\.png\)\n*")


def write_pages(course: Course, executed: Path, released: Path, guides: Path, to: Path) -> None:
    """Write what Sphinx reads into the new folder `to`.

    Args:
        executed: folder of the lessons that the reference solutions have run through.
        released: folder of the released lessons (notebooks/).
        guides: folder of the guides and of Sphinx's settings (docs/).

    Raises:
        GraderError: a lesson was not executed, or `executed` is not what `released` was built from.
    """
    shutil.rmtree(to, ignore_errors=True)
    (to / "_static").mkdir(parents=True)
    for name in ("conf.py", "site.css"):
        shutil.copy(guides / "site" / name, to if name == "conf.py" else to / "_static")
    for name in ("student.md", "results.md"):
        shutil.copy(guides / name, to)
    shutil.copytree(guides / "pictures", to / "pictures")
    for lesson in course.lessons:
        path = released / lesson.unit / f"{lesson.notebook}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        ran = executed / lesson.unit / path.name
        if not ran.is_file():
            raise GraderError(f"no {ran}: grader run --artifacts {executed}")
        folder = to / lesson.unit
        write_notebook(page(notebook, nbformat.read(ran, as_version=4)), folder / path.name)
        if (path.parent / "figures").is_dir():
            shutil.copytree(path.parent / "figures", folder / "figures")
    head = (guides / "site" / "index.md").read_text(encoding="utf-8")
    (to / "index.md").write_text(head + _index(course.lessons), encoding="utf-8")


def page(released: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return `released` with the outputs of `executed`; the cells find each other by their ids.

    Raises:
        GraderError: a cell of the one is not in the other.
    """
    ran = {cell.id: cell for cell in executed.cells}
    made = copy.deepcopy(released)
    seen: dict[str, NotebookNode] = {}  # figures by their names
    for cell in made.cells:
        if cell.id not in ran:
            raise GraderError(
                f'the notebook that was executed has no cell "{cell.id}": run it anew'
            )
        if cell.cell_type == "markdown":
            cell.source = FIGURE.sub(lambda found: _described(found, seen), cell.source)
            continue
        cell.outputs = list(_outputs(ran[cell.id].outputs))
        if cell.metadata.get("figure") and cell.outputs:
            seen[cell.metadata["figure"]] = cell
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Show the visible checks"}
    return made


def _described(found: re.Match[str], seen: Mapping[str, NotebookNode]) -> str:
    """An expected figure stands above, as an output: its description becomes that picture's."""
    cell = seen.get(found["name"])
    if cell is None:
        return found[0]
    cell.metadata["mystnb"] = {"image": {"alt": found["alt"]}}
    return ""


def _outputs(outputs: Iterable[NotebookNode]) -> Iterable[NotebookNode]:
    for output in outputs:
        data = output.get("data")
        if data is None:
            yield output
        elif WIDGET in data:
            told = "(In JupyterLab there are sliders here.)\n"
            yield nbformat.v4.new_output("stream", name="stdout", text=told)
        else:
            kept = next((mime for mime in SHOWN if mime in data), None)
            if kept is not None:
                yield nbformat.v4.new_output("display_data", data={kept: data[kept]})


def _index(lessons: Iterable[Lesson]) -> str:
    """A table of the units and Sphinx's own of the pages."""
    lessons = list(lessons)
    rows = ["| unit | what you build | minutes | points |", "|---|---|---|---|"]
    for lesson in lessons:
        built = ", ".join(f"`{cell.exercise}`" for cell in lesson.of(Role.EXERCISE))
        points = sum(cell.points for cell in lesson.cells)
        link = f"[{lesson.title}]({lesson.unit}/{lesson.notebook}.ipynb)"
        rows.append(f"| {link} | {built} | {lesson.minutes} | {points:g} |")
    parts = ["\n".join(rows)]
    for caption, pages in (
        ("Lessons", [f"{lesson.unit}/{lesson.notebook}" for lesson in lessons]),
        ("Guides", ["student", "results"]),
    ):
        listed = "\n".join(pages)
        parts.append(f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{listed}\n```")
    return "\n\n".join(parts) + "\n"


def build(pages: Path, to: Path) -> None:
    """Let Sphinx make HTML of `pages`.

    Raises:
        GraderError: Sphinx is not installed, or a page has a fault: a broken link, a title that is
            skipped, a picture that is not there.
    """
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        raise GraderError("Sphinx is missing: pip install 'cnn-course[site]'") from None
    arguments = ["-b", "html", "-W", "--keep-going", "-q", "-E", str(pages), str(to)]
    if build_main(["-d", str(pages.parent / "doctrees"), *arguments]) != 0:
        raise GraderError("Sphinx found faults in the pages, see above")
