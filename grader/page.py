"""One executed notebook -> one HTML page: the table of verdicts, then the work, cell by cell.

What is hidden stays hidden: hidden tests, and every output that quotes them.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from markupsafe import Markup
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution, is_task

from grader import formulas, markup, wording
from grader.clean import grade_id
from grader.model import CellResult
from grader.wording import NOT_RUN, Marks, Row

MAX_RICH = 600_000  # characters of one page that are parsed; the others are shown as typed
MAX_PICTURES = 12_000_000  # characters of pictures in one page
NOTHING_RUN = "nothing-was-run"  # the cell that says why a file could not be run
TELLING = 16  # a shorter line of a hidden test ("for n in range(3):") gives nothing away


@dataclass(frozen=True)
class Work:
    """What a page is made from.

    Attributes:
        notebook: as it was executed, hidden tests in.
        visible: {grade_id: text of the cell as students were given it}.
        pictures: {relative path: ``data:`` address} that the text may refer to.
    """

    notebook: NotebookNode
    name: str
    unit: str
    student: str
    results: tuple[CellResult, ...]
    marks: Marks
    visible: Mapping[str, str]
    pictures: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One cell of the page; `prose` or `program` is set."""

    prose: Markup | None = None
    program: Markup | None = None
    heading: str = ""
    anchor: str = ""
    row: Row | None = None
    comment: str = ""
    outputs: tuple[Markup, ...] = ()


@dataclass(frozen=True)
class Page:
    """All that the template needs."""

    title: str
    unit: str
    student: str
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    penalty: float = 0.0
    waiting: float = 0.0

    @property
    def score(self) -> float:
        """Points that count, as the gradebook has them."""
        return max(0.0, sum(row.points for row in self.rows) - self.penalty)

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return sum(row.max_points for row in self.rows)

    @property
    def first(self) -> list[Row]:
        """The cells that the student should look at first: those that ran and lost points."""
        return [row for row in self.rows if row.colour == "bad" and row.word != NOT_RUN][:3]


def render(work: Work) -> str:
    """Return the page of `work`."""
    notebook = work.notebook
    secrets = Secrets(notebook, work.visible)
    rows = [wording.row(result, work.marks, secrets.quoted_in) for result in work.results]
    if any(cell.get("id") == NOTHING_RUN for cell in notebook.cells):
        # The notes say why, once.
        rows = [replace(row, says="") if row.word == NOT_RUN else row for row in rows]
    view = _View(work, {row.grade_id: row for row in rows}, secrets)
    page = Page(
        title=str(notebook.metadata.get("lesson", {}).get("title") or work.name),
        unit=work.unit,
        student=work.student,
        rows=tuple(rows),
        cells=tuple(view.cell(cell) for cell in notebook.cells if cell.get("id") != NOTHING_RUN),
        notes=tuple(markup.plain(note.splitlines()[0]) for note in work.notes if note.strip()),
        penalty=work.marks.penalty,
        waiting=sum(row.max_points for row in rows if row.is_waiting),
    )
    return str(markup.template("feedback.html.j2").render(page=page))


@dataclass(frozen=True)
class _View:
    """Cells of a notebook -> cells of the page."""

    work: Work
    rows: Mapping[str, Row]
    secrets: Secrets
    room: list[int] = field(default_factory=lambda: [MAX_PICTURES])
    rich: list[int] = field(default_factory=lambda: [MAX_RICH])

    def cell(self, cell: NotebookNode) -> Cell:
        name = grade_id(cell)
        row = self.rows.get(name)
        answer = bool(name) and (is_solution(cell) or is_task(cell))
        source = cell.source if answer else self.work.visible.get(name, cell.source)
        heading = f"Your answer: {name}" if answer else f"Tests: {name}" if row else ""
        shown = Cell(
            heading=heading,
            anchor=f"cell-{name}" if heading else "",
            row=row,
            comment=self.work.marks.comments.get(name, ""),
        )
        if cell.cell_type != "code":
            pictures = dict(self.work.pictures)
            for file, data in cell.get("attachments", {}).items():
                for kind, text in data.items():
                    pictures[f"attachment:{file}"] = f"data:{kind};base64,{text}"
            if not self._affords(source):
                plain = Markup("<pre>{}</pre>").format(markup.code(source, "text"))
                return replace(shown, prose=plain)
            return replace(shown, prose=markup.markdown(source, pictures))
        language = self.work.notebook.metadata.get("language_info", {}).get("name", "python")
        return replace(
            shown,
            program=markup.code(source, str(language) if self._affords(source) else "text"),
            outputs=tuple(self._outputs(cell, bool(row) and not answer and source != cell.source)),
        )

    def _outputs(self, cell: NotebookNode, hidden: bool) -> list[Markup]:
        if hidden:
            # What the student's code prints here, and tracebacks, would give hidden tests away.
            return [Markup('<p class="soft">There are more tests than those shown here.</p>')]
        merged, _ = CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
        return [self._output(output) for output in merged.get("outputs", [])]

    def _output(self, output: NotebookNode) -> Markup:
        if output.output_type == "stream":
            data = {"text/plain": output.text}
        elif output.output_type == "error":
            data = {"text/plain": "\n".join(output.traceback) or output.ename}
        else:
            data = {kind: value for kind, value in output.data.items() if isinstance(value, str)}
        if any(self.secrets.quoted_in(text) for kind, text in data.items() if "png" not in kind):
            return Markup('<p class="soft">Left out: it quotes tests that are not shown.</p>')
        for kind in ("text/html", "text/markdown", "image/svg+xml", "text/latex"):
            if kind in data and (shown := self._rich(kind, data[kind])):
                return shown
        for kind in ("image/png", "image/jpeg", "image/gif"):
            if kind in data:
                return self._picture(kind, data[kind])
        return Markup("<pre>{}</pre>").format(markup.terminal(data.get("text/plain", "")))

    def _affords(self, text: str) -> bool:
        """Whether there is time for another text: parsers are slow, and slower on odd ones."""
        self.rich[0] -= len(text)
        return self.rich[0] >= 0

    def _rich(self, kind: str, text: str) -> Markup:
        if kind != "image/svg+xml" and not self._affords(text):
            return Markup()
        if kind == "text/markdown":
            return markup.markdown(text)
        if kind == "text/latex":
            return formulas.formula(text.strip().strip("$"), block=True)
        if kind == "image/svg+xml":  # within <img> it can neither run nor fetch anything
            return self._picture(kind, base64.b64encode(text.encode()).decode())
        shown = markup.html(text)
        return shown if shown.striptags().strip() or "<img" in shown else Markup()

    def _picture(self, kind: str, text: str) -> Markup:
        text = "".join(text.split())
        self.room[0] -= len(text)
        if self.room[0] < 0 or not re.fullmatch(r"[A-Za-z0-9+/=]*", text):
            return Markup('<p class="soft">A picture is left out here.</p>')
        return Markup('<img src="data:{};base64,{}" alt="output of this cell">').format(kind, text)


class Secrets:
    """The lines of hidden tests, to be found in whatever is shown."""

    def __init__(self, notebook: NotebookNode, visible: Mapping[str, str]) -> None:
        known = [visible.get(grade_id(cell), cell.source) for cell in notebook.cells]
        public = self._bare("\n".join(known))
        self.lines = {
            bare
            for cell in notebook.cells
            if is_grade(cell) and not is_solution(cell)
            for line in cell.source.splitlines()
            if len(bare := self._bare(line)) >= TELLING and bare not in public
        }

    def quoted_in(self, text: str) -> bool:
        """Whether `text` quotes a hidden test, also in a repr, in HTML or in colours."""
        bare = self._bare(text)
        return "BEGINHIDDENTESTS" in bare or any(line in bare for line in self.lines)

    @staticmethod
    def _bare(text: str) -> str:
        return re.sub(r"\x1b\[[0-9;]*m|[\s\\]", "", html.unescape(text))
