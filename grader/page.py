"""One executed notebook -> one HTML page: the exercises at a glance, then each of them.

An exercise has its verdict, what was asked in the lesson's words, hints, what each test said, the
student's answer with what it put out, and the tests that students were given. What is hidden stays
hidden: hidden tests, and every output that quotes them. Of the other cells those follow that the
student added or changed, and those of the lesson that put something out.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from markupsafe import Markup
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution, is_task

from grader import formulas, markup, proof, wording
from grader.clean import grade_id
from grader.model import CellResult
from grader.wording import NO_RESPONSE, NOT_RUN, Marks, Row, Summary

MAX_RICH = 600_000  # characters of one page that are parsed; the others are shown as typed
MAX_PICTURES = 12_000_000  # characters of pictures in one page
PICTURES = ("image/png", "image/jpeg", "image/gif")
NOTHING_RUN = "nothing-was-run"  # the cell that says why a file could not be run
PARAMETERS = "injected-parameters"  # papermill's cell, put in by the grader
TELLING = 16  # a shorter line of a hidden test ("for n in range(3):") gives nothing away
QUESTION = 80  # characters; a written answer's own cell that is shorter does not hold the question


@dataclass(frozen=True)
class Work:
    """What a page is made from.

    Attributes:
        notebook: as it was executed, hidden tests in.
        released: as students were given it; None where that is not known any more.
        pictures: {relative path: ``data:`` address} that the text may refer to.
    """

    notebook: NotebookNode
    name: str
    unit: str
    student: str
    results: tuple[CellResult, ...]
    marks: Marks
    released: NotebookNode | None
    pictures: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One cell of the page; `prose` or `program` is set."""

    prose: Markup | None = None
    program: Markup | None = None
    outputs: tuple[Markup, ...] = ()


@dataclass
class Exercise:
    """An answer and its tests.

    Attributes:
        asked: what was expected of it, in the lesson's words.
        stopped: limits that the answer itself met, in plain words.
        comments: what a person wrote.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    asked: Markup | None = None
    stopped: list[str] = field(default_factory=list)
    answers: list[Cell] = field(default_factory=list)
    tests: list[Cell] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def summary(self) -> Summary:
        """What became of it."""
        return Summary(tuple(self.rows))


@dataclass(frozen=True)
class Page:
    """All that the template needs.

    Attributes:
        own, lesson: cells of no exercise: the student's, and the lesson's with an output.
        ran: whether anything of the file was run.
    """

    title: str
    unit: str
    student: str
    exercises: tuple[Exercise, ...]
    own: tuple[Cell, ...]
    lesson: tuple[Cell, ...]
    ran: bool = True
    notes: tuple[str, ...] = ()
    penalty: float = 0.0

    @property
    def graded(self) -> list[Exercise]:
        """Those that earn points."""
        return [exercise for exercise in self.exercises if exercise.rows]

    @property
    def _rows(self) -> list[Row]:
        return [row for exercise in self.exercises for row in exercise.rows]

    @property
    def score(self) -> float:
        """Points that count, as the gradebook has them."""
        return max(0.0, sum(row.points for row in self._rows) - self.penalty)

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return sum(row.max_points for row in self._rows)

    @property
    def waiting(self) -> float:
        """Points that a person has still to decide on."""
        return sum(row.max_points for row in self._rows if row.is_waiting)

    @property
    def first(self) -> list[Exercise]:
        """What the student should look at first: what ran and lost points."""
        lost = [one for one in self.graded if any(r.word != NOT_RUN for r in one.summary.lost)]
        return lost[:3]


def render(work: Work) -> str:
    """Return the page of `work`."""
    notebook = work.notebook
    ran = all(cell.get("id") != NOTHING_RUN for cell in notebook.cells)
    view = _View(work)
    exercises, own, lesson = view.parts()
    if not ran:  # the notes say why, once
        for exercise in exercises:
            exercise.rows = [
                replace(row, says="") if row.word == NOT_RUN else row for row in exercise.rows
            ]
    page = Page(
        title=str(notebook.metadata.get("lesson", {}).get("title") or work.name),
        unit=work.unit,
        student=work.student,
        exercises=tuple(exercises),
        own=tuple(own),
        lesson=tuple(lesson),
        ran=ran,
        notes=tuple(view.notes()),
        penalty=work.marks.penalty,
    )
    return str(markup.template("feedback.html.j2").render(page=page))


class _View:
    """A notebook -> the parts of its page."""

    def __init__(self, work: Work) -> None:
        self.work = work
        released = work.released.cells if work.released is not None else []
        self.given = {cell.get("id"): cell.source for cell in released}
        self.visible = {grade_id(cell): cell.source for cell in released if grade_id(cell)}
        self.secrets = Secrets(work.notebook, self.visible)
        self.asked = _questions(released or work.notebook.cells)
        self.room = MAX_PICTURES
        self.rich = MAX_RICH

    def parts(self) -> tuple[list[Exercise], list[Cell], list[Cell]]:
        """Return the exercises, the student's own cells, and the lesson's with an output."""
        marks, found = self.work.marks, dict[str, Exercise]()
        rows = {
            result.grade_id: wording.row(result, marks, self.secrets.quoted_in)
            for result in self.work.results
        }
        own: list[Cell] = []
        lesson: list[Cell] = []
        for cell in self.work.notebook.cells:
            name = grade_id(cell)
            answer = bool(name) and (is_solution(cell) or is_task(cell))
            if not (answer or is_grade(cell)):
                if cell.get("id") in (NOTHING_RUN, PARAMETERS):
                    continue
                same = self.given.get(cell.get("id")) == cell.source
                if not same or cell.get("outputs"):
                    shown = self._cell(cell, self.visible.get(name, cell.source))
                    (lesson if same else own).append(shown)
                continue
            row = rows.get(name)
            key = row.exercise if row else name
            exercise = found.setdefault(key, Exercise(key))
            if row:
                exercise.rows.append(row)
            if answer:
                exercise.answers.append(self._cell(cell, cell.source))
                exercise.stopped += self._stopped(cell)
                if name in self.asked and self._affords(self.asked[name]):
                    exercise.asked = markup.markdown(self.asked[name], self.work.pictures)
            else:
                exercise.tests += self._test(cell)
            if marks.comments.get(name, NO_RESPONSE) != NO_RESPONSE:
                exercise.comments.append(marks.comments[name])
        return list(found.values()), own, lesson

    def _stopped(self, cell: NotebookNode) -> list[str]:
        how = cell.metadata.get("judged", {})
        if how.get("status") not in proof.LIMITS:
            return []
        says = markup.plain(wording.limit(f"{how['status']}: {how.get('error', '')}"))
        return [] if self.secrets.quoted_in(says) else [says]

    def notes(self) -> list[str]:
        """Return what is said of the file and its run."""
        lines = [markup.plain(note.splitlines()[0]) for note in self.work.notes if note.strip()]
        return [line for line in lines if not self.secrets.quoted_in(line)]

    def _test(self, cell: NotebookNode) -> list[Cell]:
        """Return a test as students were given it; where that is not known, nothing of it."""
        source = self.visible.get(grade_id(cell))
        if source is None:
            return []
        shown = self._cell(cell, source)
        if source != cell.source:
            # What the student's code prints here, and tracebacks, would give hidden tests away.
            more = Markup('<p class="soft">There are more tests than those shown here.</p>')
            shown = replace(shown, outputs=(more,))
        return [shown]

    def _cell(self, cell: NotebookNode, source: str) -> Cell:
        if cell.cell_type != "code":
            pictures = dict(self.work.pictures)
            for file, data in cell.get("attachments", {}).items():
                for kind, text in data.items():
                    pictures[f"attachment:{file}"] = f"data:{kind};base64,{text}"
            if not self._affords(source):
                return Cell(prose=Markup("<pre>{}</pre>").format(markup.code(source, "text")))
            return Cell(prose=markup.markdown(source, pictures))
        language = self.work.notebook.metadata.get("language_info", {}).get("name", "python")
        merged, _ = CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
        return Cell(
            program=markup.code(source, str(language) if self._affords(source) else "text"),
            outputs=tuple(self._output(output) for output in merged.get("outputs", [])),
        )

    def _output(self, output: NotebookNode) -> Markup:
        if output.output_type == "stream":
            data = {"text/plain": output.text}
        elif output.output_type == "error":
            data = {"text/plain": "\n".join(output.traceback) or output.ename}
        else:
            data = {kind: value for kind, value in output.data.items() if isinstance(value, str)}
        shown = self._shown(data)
        # Also as it will be read: tags and colours may stand between the letters.
        read = re.sub(r'"data:[^"]*"', "", shown)
        texts = [text for kind, text in data.items() if kind not in PICTURES]
        if any(map(self.secrets.quoted_in, (*texts, read))):
            return Markup('<p class="soft">Left out: it quotes tests that are not shown.</p>')
        return shown

    def _shown(self, data: Mapping[str, str]) -> Markup:
        for kind in ("text/html", "text/markdown", "image/svg+xml", "text/latex"):
            if kind in data and (shown := self._rich(kind, data[kind])):
                return shown
        for kind in PICTURES:
            if kind in data:
                return self._picture(kind, data[kind])
        return Markup("<pre>{}</pre>").format(markup.terminal(data.get("text/plain", "")))

    def _affords(self, text: str) -> bool:
        """Whether there is time for another text: parsers are slow, and slower on odd ones."""
        self.rich -= len(text)
        return self.rich >= 0

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
        self.room -= len(text)
        if self.room < 0 or not re.fullmatch(r"[A-Za-z0-9+/=]*", text):
            return Markup('<p class="soft">A picture is left out here.</p>')
        return Markup('<img src="data:{};base64,{}" alt="output of this cell">').format(kind, text)


def _questions(cells: list[NotebookNode]) -> dict[str, str]:
    """Return {answer: the Markdown above it}, of a lesson as students were given it."""
    found, above = {}, ""
    for cell in cells:
        if grade_id(cell) and is_solution(cell):
            if cell.cell_type == "code" or len(cell.source) < QUESTION:
                found[grade_id(cell)] = above
        elif cell.cell_type == "markdown":
            above = cell.source
    return found


class Secrets:
    """The lines of hidden tests, to be found in whatever is shown."""

    def __init__(self, notebook: NotebookNode, visible: Mapping[str, str]) -> None:
        tests = [cell for cell in notebook.cells if is_grade(cell) and not is_solution(cell)]
        sealed = {grade_id(cell): "" for cell in tests}
        known = [(sealed | dict(visible)).get(grade_id(c), c.source) for c in notebook.cells]
        public = self._bare("\n".join(known))
        lines = {self._bare(line) for cell in tests for line in cell.source.splitlines()}
        self.lines = {line for line in lines if self._tells(line) and line not in public}

    def quoted_in(self, text: str) -> bool:
        """Whether `text` quotes a hidden test, also in a repr, in HTML or in colours."""
        for bare in {self._bare(text), self._bare(re.sub(r"<[^<>]*>", "", text))}:
            if "BEGINHIDDENTESTS" in bare or any(line in bare for line in self.lines):
                return True
        return False

    @staticmethod
    def _tells(line: str) -> bool:
        return len(line) >= (8 if line.startswith(("assert", "check.")) else TELLING)

    @staticmethod
    def _bare(text: str) -> str:
        """Return the letters that are read: no blanks, colours, invisible or disguised ones."""
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|[\s\\]", "", html.unescape(text))
        if text.isascii():
            return text
        plain = unicodedata.normalize("NFKC", text)
        return "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
