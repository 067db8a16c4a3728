"""What students see: a table of verdicts, their work, and nothing that is hidden or dangerous."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from builders import COURSE, HOMEWORK, SEALED, SOLVED, assignment, cell, notebook
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbgrader.api import Gradebook as Database
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory

from grader import feedback, formulas, markup
from grader.classroom import Classroom
from grader.course import Course, load_course
from grader.grade import grade
from grader.gradebook import Gradebook
from grader.model import (
    Assignment,
    CellResult,
    Graded,
    GradedNotebook,
    SourceNotebook,
    Status,
    Submission,
    Verdict,
)
from grader.wording import Marks

PASSED = CellResult("hw", "add-tests", 2.0, 2.0, Verdict.PASSED)
WHY = CellResult("hw", "why", None, 2.0, Verdict.MANUAL)
HIDDEN = SEALED.splitlines()[1]
DOT = base64.b64encode(b"\x89PNG\r\n\x1a\n dot").decode()


def executed(*more: NotebookNode, answer: str = SOLVED) -> str:
    """Return the homework as it was run, with cells that the student added at its end."""
    node = nbformat.reads(HOMEWORK.sealed, as_version=4)
    node.cells[3].source = answer
    node.cells += more
    return nbformat.writes(node)


def graded(*more: NotebookNode, result: CellResult = PASSED, **changes: Any) -> Graded:
    """Return ada's graded homework, made by hand."""
    run = GradedNotebook("hw", executed(*more), (result, WHY))
    made = Graded("ada", "unit", Status.NEEDS_MANUAL, (run,))
    return replace(made, **changes)


def page(
    *more: NotebookNode,
    result: CellResult = PASSED,
    marks: Marks | None = None,
    files: tuple[tuple[str, bytes], ...] = (),
    **changes: Any,
) -> str:
    """Return ada's page."""
    unit = assignment(HOMEWORK, files=files)
    made = graded(*more, result=result, **changes)
    return feedback.pages(unit, made, {"hw": marks} if marks else None)["hw"]


def ran(*outputs: NotebookNode) -> NotebookNode:
    """Return a cell that the student added, with what it put out."""
    node = cell("x", id="free-1")
    node.outputs = list(outputs)
    return node


def shown(kind: str, text: str) -> NotebookNode:
    """Return a cell that displayed something."""
    return ran(nbformat.v4.new_output("display_data", data={kind: text}))


def printing(text: str) -> NotebookNode:
    """Return a cell that printed something."""
    return ran(nbformat.v4.new_output("stream", name="stdout", text=text))


class Read(HTMLParser):
    """What a browser would find in a page: its elements, its text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the table at the top."""
    table = text[text.index('<table class="glance">') :].partition("</table>")[0]
    return [
        [Read(part).text.strip() for part in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr><td.*?</tr>", table, re.DOTALL)
    ]


# ---- what the page says ---------------------------------------------------------------------


def test_the_table_at_the_top_says_points_verdict_and_why() -> None:
    failed = replace(PASSED, points=0.0, verdict=Verdict.FAILED, message="add(2, 2) is 5")
    assert rows(page(result=failed)) == [
        ["add-tests", "0 / 2", "failed", "add(2, 2) is 5"],
        ["why", "– / 2", "not yet read", "Your teacher will read this."],
    ]


def test_every_link_of_the_table_leads_to_a_cell() -> None:
    found = Read(page())
    targets = {attributes.get("id") for _, attributes in found.elements}
    links = [a["href"] for a in found.all("a")]
    assert {"#cell-add-tests", "#cell-why"} <= set(links)
    assert all(link.removeprefix("#") in targets for link in links)


@pytest.mark.parametrize(
    ("verdict", "points", "message", "word", "says"),
    [
        (Verdict.PASSED, 2.0, "", "passed", ""),
        (Verdict.FAILED, 1.0, "1 of 2 points", "partly", "1 of 2 points"),
        (Verdict.FAILED, 0.0, "No response.", "not answered", "Left as it was handed out."),
        (
            Verdict.NOT_RUN,
            0.0,
            "not run: the kernel had died before",
            "not run",
            "could not be run",
        ),
        (Verdict.BROKEN, None, "the grader failed", "not your fault", "not you"),
        (Verdict.FAILED, 0.0, "time limit: stopped", "failed", "a loop without an end"),
        (Verdict.FAILED, 0.0, "kernel died: os._exit", "failed", "Python itself ended"),
        (Verdict.FAILED, 0.0, "IndexError: index 3", "failed", "an index lies outside"),
        (Verdict.FAILED, 0.0, "OddError: strange", "failed", "Stopped by OddError: strange"),
    ],
)
def test_each_verdict_is_said_in_plain_words(
    verdict: Verdict, points: float | None, message: str, word: str, says: str
) -> None:
    row = rows(page(result=replace(PASSED, points=points, verdict=verdict, message=message)))[0]
    assert row[2] == word
    assert says in row[3]


def test_a_file_that_cannot_be_read_says_so_once() -> None:
    made = grade(assignment(HOMEWORK), Submission("ada", "unit", (("hw", b"%PDF"),)))
    text = feedback.pages(assignment(HOMEWORK), made)["hw"]
    assert Read(text).text.count("not a notebook") == 1
    assert [row[1:3] for row in rows(text)] == [["0 / 2", "not run"], ["0 / 2", "not run"]]


def test_what_people_decided_and_wrote_and_the_late_penalty_are_shown() -> None:
    marks = Marks(
        points={"add-tests": 2.0, "why": 1.5},
        comments={"why": "Nearly: *which* heap?"},
        penalty=0.5,
    )
    text = page(marks=marks)
    assert "<b>3</b> of 4 points" in text
    assert "0.5 taken off because it came late" in text
    assert rows(text)[1][1:] == [
        "1.5 / 2",
        "read",
        "Your teacher has read this. There is a comment at the cell.",
    ]
    assert "Nearly: <em>which</em> heap?" in text


def test_a_penalty_takes_no_more_than_there_is() -> None:
    assert "<b>0</b> of 4 points" in page(marks=Marks(penalty=50.0))


def test_a_long_output_is_shown_by_its_two_ends() -> None:
    text = page(printing("".join(f"line {n}\n" for n in range(5000))))
    assert "line 0\n" in text
    assert "line 4999" in text
    assert "4,901 lines are not shown" in text
    assert len(text) < 60_000


# ---- one exercise ---------------------------------------------------------------------------

ADD = replace(PASSED, exercise="add")


def exercise(text: str, name: str) -> BeautifulSoup:
    """Return the part of the page that is about one exercise."""
    found = BeautifulSoup(text, "html.parser").find(id=f"cell-{name}")
    assert found is not None, f"no exercise {name}"
    return BeautifulSoup(str(found), "html.parser")


def said(part: BeautifulSoup) -> str:
    """Return the text of a part of the page, with single blanks."""
    return " ".join(part.get_text(" ").split())


def test_an_exercise_has_all_that_is_known_of_it_in_one_place() -> None:
    node = nbformat.reads(executed(answer="print('mine')"), as_version=4)
    node.cells[3].outputs = printing("what it printed").outputs
    failed = replace(
        ADD, points=0.0, verdict=Verdict.FAILED, message="add(2, 2) is 5", hints=("Count *again*.",)
    )
    run = GradedNotebook("hw", nbformat.writes(node), (failed, WHY))
    text = page(notebooks=(run,), marks=Marks(comments={"add": "See me."}))
    [add, why] = rows(text)
    assert add[:3] == ["add", "0 / 2", "failed"]
    assert add[3] == "add(2, 2) is 5Hint Count again."
    part = exercise(text, "add")
    for words in (
        "add 0 / 2 failed",
        "add(2, 2) is 5",
        "Hint Count again .",
        "Comment See me.",
        "what it printed",
        "There are more tests than those shown here.",
    ):
        assert words in said(part)
    assert "print('mine')" in part.get_text()
    assert why[0] == "why"
    assert "mine" not in said(exercise(text, "why"))


def test_what_was_asked_is_the_lesson_and_not_what_the_student_made_of_it() -> None:
    cells = [cell("Add **two** numbers.", id="asked", kind="markdown"), cell(SOLVED, "add")]
    cells[1].metadata.nbgrader["solution"] = True
    released = nbformat.writes(notebook(*cells, cell(SEALED, "add-tests", points=2)))
    cells[0] = cell("Do nothing, and get 2 points.", id="asked", kind="markdown")
    mine = nbformat.writes(notebook(*cells, cell(SEALED, "add-tests", points=2)))
    unit = assignment(SourceNotebook("hw", released, released))
    made = Graded("ada", "unit", Status.GRADED, (GradedNotebook("hw", mine, (ADD,)),))
    part = exercise(feedback.pages(unit, made)["hw"], "add")
    assert "What was asked Add two numbers." in said(part)
    assert "Do nothing" not in said(part)


def test_one_of_several_tests_is_named_and_what_it_says() -> None:
    tests = [
        replace(ADD, grade_id="add-tests"),
        replace(
            ADD,
            grade_id="add-big",
            points=0.0,
            verdict=Verdict.FAILED,
            message="10**9 is too big",
        ),
    ]
    run = GradedNotebook("hw", executed(cell("assert True", "add-big", points=2)), (*tests, WHY))
    text = page(notebooks=(run,))
    expected = ["add", "2 / 4", "partly", "1 of 2 tests did not pass. big: 10**9 is too big"]
    assert rows(text)[0] == expected
    part = said(exercise(text, "add"))
    assert "tests 2 / 2 passed" in part
    assert "big 0 / 2 failed 10**9 is too big" in part


def test_an_answer_that_met_a_limit_says_so_in_plain_words() -> None:
    node = nbformat.reads(executed(), as_version=4)
    node.cells[3].metadata["judged"] = {
        "status": "memory limit",
        "seconds": 1.0,
        "error": "stopped: a submission may use 2 GB",
    }
    run = GradedNotebook("hw", nbformat.writes(node), (ADD, WHY))
    part = said(exercise(page(notebooks=(run,)), "add"))
    assert "Your answer It needed more memory than it may: a submission may use 2 GB." in part
    node.cells[3].metadata["judged"] = {"status": "error", "error": "NameError"}
    run = GradedNotebook("hw", nbformat.writes(node), (ADD, WHY))
    assert "NameError" not in said(exercise(page(notebooks=(run,)), "add"))


def test_what_cost_points_is_to_be_looked_at_first_and_what_never_ran_is_not() -> None:
    failed = replace(ADD, points=0.0, verdict=Verdict.FAILED)
    assert "Look first at add ." in said(BeautifulSoup(page(result=failed), "html.parser"))
    not_run = replace(ADD, points=0.0, verdict=Verdict.NOT_RUN, message="not run: it had died")
    assert "Look first" not in page(result=not_run)
    assert "Look first" not in page(result=ADD)


def test_notes_on_the_attempt_are_shown_but_never_one_that_quotes_a_hidden_test() -> None:
    restored = "cell add-tests had been changed; the course's own was used"
    limit = "time limit in add: a cell may take 10 s"
    text = Read(page(notes=(restored, limit, f"odd: {HIDDEN}"))).text
    assert restored in text
    assert limit in text
    assert "add(2, 2)" not in text


def test_cells_of_the_students_own_are_told_from_those_of_the_lesson() -> None:
    node = nbformat.reads(executed(cell("helper = 7", id="mine")), as_version=4)
    node.cells[2].outputs = printing("scale is two").outputs
    run = GradedNotebook("hw", nbformat.writes(node), (ADD, WHY))
    text = said(BeautifulSoup(page(notebooks=(run,)), "html.parser"))
    own, _, lesson = text.partition("What the lesson's own cells put out")
    assert "Your other cells helper = 7" in own
    assert "1 cell scale = 2 scale is two" in lesson


# ---- what is hidden -------------------------------------------------------------------------

LEAKS = {
    "printed": printing(SEALED),
    "as a repr": printing(repr([SEALED, "x = 'y'"])),
    "as JSON": printing(json.dumps({"source": SEALED})),
    "in colours": printing(HIDDEN.replace(" ", "\x1b[39m \x1b[31m")),
    "as HTML": shown("text/html", f"<b>{HIDDEN.replace('=', '&#61;')}</b>"),
    "as Markdown": shown("text/markdown", f"`{HIDDEN}`"),
    "as SVG": shown("image/svg+xml", f"<svg><text>{HIDDEN}</text></svg>"),
    "as a value": shown("text/plain", HIDDEN),
    "in a traceback": ran(
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[f"----> {HIDDEN}"])
    ),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_an_output_that_quotes_a_hidden_test_is_left_out(leak: NotebookNode) -> None:
    text = page(leak)
    assert "add(2, 2)" not in Read(text).text
    assert base64.b64encode(HIDDEN.encode())[4:-4].decode() not in text
    assert "Left out: it quotes tests that are not shown." in text


def test_a_message_that_quotes_a_hidden_test_is_left_out() -> None:
    failed = replace(PASSED, points=0.0, verdict=Verdict.FAILED, message=f"Boom: {SEALED!r}")
    text = page(result=failed)
    assert "add(2, 2)" not in text
    assert "The message is left out" in rows(text)[0][3]


def test_a_test_cell_shows_its_visible_part_and_no_output() -> None:
    node = nbformat.reads(executed(), as_version=4)
    node.cells[4].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="the student prints 2 2"),
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[f"----> {HIDDEN}"]),
    ]
    run = GradedNotebook("hw", nbformat.writes(node), (PASSED, WHY))
    text = Read(page(notebooks=(run,))).text
    assert "assert add(1, 2) == 3" in text
    assert "add(2, 2)" not in text
    assert "prints 2 2" not in text
    assert "There are more tests than those shown here." in text


def test_an_honest_output_beside_hidden_tests_is_kept() -> None:
    assert "add(1, 1) = 2" in page(printing("add(1, 1) = 2"))


def test_the_demo_lesson_shows_no_line_of_its_hidden_tests(adding: Assignment) -> None:
    source = adding.notebooks[0]
    made = Graded(
        "ada",
        "01-adding",
        Status.GRADED,
        (GradedNotebook(source.name, source.sealed, ()),),
    )
    text = Read(feedback.pages(adding, made)[source.name]).text
    secret = set(_lines(source.sealed)) - set(_lines(source.released))
    assert secret
    assert not [line for line in secret if len(line) > 16 and line in text]


def _lines(text: str) -> list[str]:
    cells = nbformat.reads(text, as_version=4).cells
    return [line.strip() for c in cells for line in c.source.splitlines()]


# ---- what is dangerous ----------------------------------------------------------------------

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<style>body{display:none}</style>",
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<base href="https://evil.example/">',
    "<form action=https://evil.example><input autofocus onfocus=alert(1)></form>",
    "<object data=x></object><embed src=x>",
    '<p style="background:url(https://evil.example)" id="top" class="verdict good">x</p>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" jav&#x0A;ascript:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    "[x](javascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "![x](https://evil.example/pixel.png)",
    "![$x onerror=alert(1) $](y)",
    '![a $" onerror=alert(1) "$](data:image/png;base64,AAAA)',
    "![x](attachment:none.png)",
    '<img src="data:image/svg+xml;base64,AAAA">',
    r'$\text{<img src=x onerror="alert(1)">}$',
    r'$\text{<img src="x" onerror="alert(1)"/>}$',
    r"$\text{<b><i>x</i></b>}$",
    r"$\href{javascript:alert(1)}{x}$",
    "$$<script>alert(1)</script>$$",
    "&#xe000;0&#xe001; \ue0007\ue001",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=a()>">',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<!-- --!><script>alert(1)</script> -->",
    "</div></section></main></body><script>alert(1)</script>",
    "```mermaid\n<script>alert(1)</script>\n```",
    "```html\n<script>alert(1)</script>\n```",
    "</title><script>alert(1)</script>",
]
# Elements of the page's own: nothing of these is for a stranger.
OURS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "bdi"}
HARMLESS = (markup.TAGS | OURS | formulas.ELEMENTS) - {"script"}


def assert_inert(text: str) -> None:
    """Assert that nothing in the page runs, fetches, or passes for what the page itself says."""
    found = Read(text)
    for tag, attributes in found.elements:
        assert tag in HARMLESS, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("srcdoc", "action", "formaction", "background", "xlink:href")
            if name == "href":
                assert re.match(r"#|https?://|mailto:", value), value
            if name == "src":
                assert value.startswith("data:image/"), value
            if name == "style":
                assert value.startswith("text-align"), value
    assert len(found.all("style")) == len(found.all("title")) == len(found.all("main")) == 1
    assert len(found.all("meta")) == 4
    assert sum(attributes.get("id") == "top" for _, attributes in found.elements) == 1


def everywhere(text: str) -> str:
    """Return a page that shows `text` in every place that a student can write to."""
    markdown = cell(text, id="free-0", kind="markdown")
    program = cell(text, id="free-2")
    program.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=text),
        nbformat.v4.new_output("error", ename=text, evalue=text, traceback=[text]),
        *(
            nbformat.v4.new_output(
                "display_data", data={kind: text}, metadata={kind: {"width": text}}
            )
            for kind in (
                "text/html",
                "text/markdown",
                "text/latex",
                "text/plain",
                "image/svg+xml",
                "image/png",
                "application/javascript",
            )
        ),
    ]
    failed = replace(PASSED, points=0.0, verdict=Verdict.FAILED, message=text)
    run = GradedNotebook("hw", executed(markdown, program, answer=text), (failed, WHY))
    return page(
        notebooks=(run,),
        notes=(text,),
        student=text,
        marks=Marks(comments={"why": text}, points={"why": 1.0}),
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_student_writes_is_inert_wherever_it_is_shown(payload: str) -> None:
    assert_inert(everywhere(payload))


PIECES = [
    *PAYLOADS,
    "<",
    ">",
    '"',
    "'",
    "`",
    "$",
    "\n\n",
    "<b>",
    "</b>",
    "[",
    "](",
    ")",
    "&lt;",
    "|",
]


@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=5).map("".join))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_pieces_of_attacks_put_together_are_inert(text: str) -> None:
    markdown = cell(text, id="free-0", kind="markdown")
    assert_inert(page(markdown, shown("text/html", text)))


@pytest.mark.parametrize(
    "tex",
    [r"\text{<b>x</b>}", r'\text{<img src="x" onerror="alert(1)"/>}', r"\href{javascript:1}{x}"],
)
def test_a_formula_holds_nothing_but_mathematics(tex: str) -> None:
    for tag, attributes in Read(formulas.formula(tex)).elements:
        assert tag in formulas.ELEMENTS | {"code"}
        assert attributes.keys() <= formulas.ATTRIBUTES | {"alttext", "class"}


def test_a_page_forbids_scripts_and_the_network_by_itself() -> None:
    policy = Read(page()).all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize(
    "wild",
    ["<b>" * 30_000, "[" * 50_000, "$" * 50_000, "\\\\(" * 20_000, "> " * 5_000, "``` \n" * 9_000],
    ids=["nested", "brackets", "dollars", "escapes", "quotes", "fences"],
)
def test_a_text_made_to_keep_a_parser_busy_does_not(wild: str) -> None:
    began = time.monotonic()
    page(cell(wild, id="free-0", kind="markdown"), shown("text/html", wild))
    assert time.monotonic() - began < 5


# ---- what is kept ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<details><summary>Hint</summary>\n\n*a*\n\n</details>", "<summary>Hint</summary>"),
        ("| a | b |\n|---|--:|\n| 1 | 2 |", '<td style="text-align:right">2</td>'),
        ("`a < b && c`", "<code>a &lt; b &amp;&amp; c</code>"),
        ("```python\nif a < b: pass\n```", '<span class="k">if</span>'),
        ("$a < b$", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        ("$(-1, 0)$", '<mo form="prefix">−</mo><mn>1</mn>'),
        (r"$$\sum_{k=0}^{m-1} x_k$$", '<math display="block"'),
        (r"$\newcommand{\x}{y}\x$", r'<code class="tex">\newcommand{\x}{y}\x</code>'),
        ("[here](https://arxiv.org/abs/1603.07285)", 'href="https://arxiv.org/abs/1603.07285"'),
        ("H<sub>2</sub>O", "H<sub>2</sub>O"),
        ("![a plot](https://x.example/y.png)", "[picture: a plot]"),
        (r"![of $\alpha$](data:image/png;base64,AAAA)", 'alt="of \\alpha"'),
        ("# One\n## Two", "<h2>Two</h2>"),
    ],
)
def test_markdown_keeps_its_form(text: str, kept: str) -> None:
    assert kept in page(cell(text, id="free-0", kind="markdown"))


def test_headings_carry_no_pilcrows() -> None:
    assert "¶" not in page()


def test_pictures_of_answers_and_of_the_lesson_are_carried_by_the_page() -> None:
    answer = cell("![mine](attachment:p.png) ![ours](figures/f.png)", id="free-0", kind="markdown")
    answer["attachments"] = {"p.png": {"image/png": DOT}}
    figure = b"\x89PNG\r\n\x1a\n figure"
    text = page(answer, files=(("figures/f.png", figure), ("figures/g.png", b"<svg>")))
    sources = [image["src"] for image in Read(text).all("img")]
    assert sources == [
        f"data:image/png;base64,{DOT}",
        f"data:image/png;base64,{base64.b64encode(figure).decode()}",
    ]


@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("image/png", DOT, f'<img src="data:image/png;base64,{DOT}"'),
        ("image/svg+xml", "<svg/>", '<img src="data:image/svg+xml;base64,PHN2Zy8+"'),
        ("text/html", "<table><tr><td>3</td></tr></table>", "<td>3</td>"),
        ("text/latex", r"$\displaystyle x^{2}$", "<msup><mi>x</mi>"),
        ("text/plain", "array([1, 2])", "<pre>array([1, 2])</pre>"),
    ],
)
def test_outputs_are_shown_by_their_kind(kind: str, data: str, kept: str) -> None:
    assert kept in page(shown(kind, data))


# ---- in a class -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classroom, Assignment, Course]:
    """A class whose `nbgrader generate_feedback` makes our pages."""
    root = tmp_path_factory.mktemp("room")
    classroom, course = Classroom(root), load_course(COURSE)
    with (root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write('c.GenerateFeedback.exporter_class = "grader.feedback.FeedbackExporter"\n')
    return classroom, classroom.assignment("01-adding", course), course


def by_hand(unit: Assignment, student: str) -> Graded:
    """Return a submission of 01-adding whose first test failed in its hidden part."""
    source = unit.notebooks[0]
    node = nbformat.reads(source.sealed, as_version=4)
    results = tuple(
        CellResult(
            source.name, name, points, maximum, verdict, 0.0, message, exercise=name.split("-")[0]
        )
        for name, points, maximum, verdict, message in (
            ("add-tests", 0.0, 2.0, Verdict.FAILED, "add: negative numbers"),
            ("add-arrays", 1.0, 1.0, Verdict.PASSED, ""),
            ("why_commutes", None, 2.0, Verdict.MANUAL, ""),
        )
    )
    run = GradedNotebook(source.name, nbformat.writes(node), results)
    files = (("graded.json/x.txt", b"a folder of our name"), ("adding.ipynb", b"forged"))
    return Graded(student, unit.unit, Status.NEEDS_MANUAL, (run,), ("a note",), files)


def generate_feedback(classroom: Classroom) -> None:
    """Run ``nbgrader generate_feedback``."""
    api = NbGraderAPI(coursedir=CourseDirectory(config=classroom.config), config=classroom.config)
    result = api.generate_feedback("01-adding", force=True)
    assert result["success"], result


def test_nbgraders_own_command_makes_the_same_page(
    room: tuple[Classroom, Assignment, Course],
) -> None:
    classroom, unit, _ = room
    Gradebook(classroom).store(unit, by_hand(unit, "ada"))
    path = classroom.feedback("ada", "01-adding") / "adding.html"
    ours = path.read_text(encoding="utf-8")
    path.unlink()
    generate_feedback(classroom)
    theirs = path.read_text(encoding="utf-8")
    assert theirs == ours
    assert "add: negative numbers" in theirs
    assert "add(-40, 23)" not in theirs


def test_what_a_person_decided_is_in_the_page_that_nbgrader_makes_afterwards(
    room: tuple[Classroom, Assignment, Course],
) -> None:
    classroom, unit, _ = room
    Gradebook(classroom).store(unit, by_hand(unit, "cem"))
    place = ("why_commutes", "adding", "01-adding", "cem")
    with Database(classroom.database, "cnn-course") as database:
        mark = database.find_grade(*place)
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        database.find_comment(*place).manual_comment = "Which *heap*?"
        database.db.commit()
    generate_feedback(classroom)
    text = (classroom.feedback("cem", "01-adding") / "adding.html").read_text(encoding="utf-8")
    assert rows(text)[1][1:3] == ["1.5 / 2", "read"]
    assert "<b>2.5</b> of 5 points" in text
    assert "Which <em>heap</em>?" in text


def test_a_file_that_a_notebook_wrote_never_stands_where_ours_do(
    room: tuple[Classroom, Assignment, Course],
) -> None:
    classroom, unit, _ = room
    made = by_hand(unit, "bea")
    Gradebook(classroom).store(unit, made)
    record = json.loads(classroom.record("bea", "01-adding").read_text(encoding="utf-8"))
    assert record == made.to_dict()


def test_a_page_of_a_foreign_notebook_needs_no_metadata() -> None:
    bare = nbformat.writes(notebook("x = 1"))
    made = Graded("ada", "u", Status.GRADED, (GradedNotebook("hw", bare, ()),))
    unit = Assignment("u", (SourceNotebook("hw", bare, bare),))
    assert "x" in feedback.pages(unit, made)["hw"]
