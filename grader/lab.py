"""What is ours in JupyterLab: the course page, on which it opens, and what *Validate* says.

An extension of Jupyter Server, which is told of it by `etc/jupyter_server.json`. In a server whose
folder holds no units it does nothing.
"""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

from grader.check.unit import find_units, load_passed, progress
from grader.errors import GraderError


class CourseHandler(JupyterHandler):
    """What our handlers share."""

    def initialize(self, root: Path) -> None:
        """Remember the server's folder."""
        self.root = root


class CoursePage(CourseHandler):
    """The units, with links to their lessons, and how far each is."""

    @web.authenticated
    def get(self) -> None:
        """Send the page as it is now."""
        self.set_header("Cache-Control", "no-store")
        self.finish(page(self.root, self.base_url))


class Validate(CourseHandler):
    """Answers nbgrader's button, in nbgrader's place: as `grader try`.

    nbgrader's own handler stops the whole server until it has run the notebook, fails a test for
    anything on stderr, and gives a cell 30 seconds.
    """

    @web.authenticated
    async def post(self) -> None:
        """Run the visible checks of the notebook `path`."""
        path = (self.root / self.get_argument("path")).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise web.HTTPError(403)
        try:
            self.finish({"success": True, "value": await asyncio.to_thread(failed_checks, path)})
        except (GraderError, OSError) as error:
            self.finish({"success": False, "value": str(error)})


def page(root: Path, base_url: str) -> str:
    """Return the course page for the units below `root`."""
    from grader import markup  # half a second, which other servers need not spend

    units = find_units(root)
    rows = []
    for unit in units:
        path = quote(unit.notebook.relative_to(root).as_posix())
        done = progress(unit, load_passed(unit) or set())
        rows.append((unit, done, url_path_join(base_url, "lab/tree", path)))
    return markup.template("course.html.j2").render(
        rows=rows,
        hours=round(sum(unit.minutes for unit in units) / 60),
        lab=url_path_join(base_url, "lab"),
    )


def failed_checks(path: Path) -> dict[str, list[dict[str, str]]]:
    """Run a notebook, and return its failures as nbgrader's dialog wants them.

    Raises:
        SubmissionError: it is not a notebook.
    """
    from grader.grade import try_out
    from grader.model import Verdict

    failures = [
        {"source": cell.grade_id, "error": html.escape(cell.message), "raw_error": cell.message}
        for cell in try_out(path)
        if cell.verdict not in (Verdict.PASSED, Verdict.MANUAL)
    ]
    return {"failed": failures} if failures else {}


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "grader.lab"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    root = Path(server.root_dir)
    if not find_units(root):
        return
    course = url_path_join(server.base_url, "course")
    # Extensions are loaded by name, and the first that answers is asked: we come before nbgrader.
    validate = url_path_join(server.base_url, "assignments/validate")
    handlers = [(course, CoursePage, {"root": root}), (validate, Validate, {"root": root})]
    server.web_app.add_handlers(".*", handlers)  # type: ignore[no-untyped-call]  # tornado's
    if server.default_url == url_path_join(server.base_url, "lab"):  # nobody asked for another
        server.default_url = course
