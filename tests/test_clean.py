"""Of a student's file only text is taken; what was lost is put right and said."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from builders import HOMEWORK, SEALED, SOLVED, STUB, VISIBLE, as_file, cell, homework, notebook
from nbformat import NotebookNode

from grader.clean import clean
from grader.model import SourceNotebook

ORDER = ["title", "imports", "setup", "add", "add-tests", "why"]
ADD, TESTS, WHY = 3, 4, 5

Cells = list[dict[str, Any]]


def cleaned(cells: Cells, **more: Any) -> tuple[dict[str, str], list[str]]:
    """Return {cell id: text} in order and the notes."""
    document = {"nbformat": 4, "nbformat_minor": 5, **more, "cells": cells}
    result, notes = clean(HOMEWORK, as_file(document))
    nbformat.validate(result)
    assert len({c.id for c in result.cells}) == len(result.cells)
    return {c.id: c.source for c in result.cells}, notes


def sealed() -> NotebookNode:
    return nbformat.reads(HOMEWORK.sealed, as_version=4)


def mine(name: str, kind: str = "code") -> dict[str, Any]:
    """Return a cell that a student adds."""
    return {"cell_type": kind, "id": name, "source": f"# {name}", "metadata": {}}


# ---- nothing but text -----------------------------------------------------------------------


def test_an_answer_is_put_into_the_course_s_own_notebook() -> None:
    cells, notes = cleaned(homework())
    assert list(cells) == ORDER
    assert cells["add"] == SOLVED
    assert cells["add-tests"] == SEALED
    assert notes == []


def test_another_profile_is_put_back_without_a_word() -> None:
    """Whoever has tried the full one need not be told of it."""
    text = nbformat.writes(
        notebook(cell('profile = "quick"', "profile", locked=True, tags=["parameters"]))
    )
    theirs = text.replace("quick", "full").encode()
    result, notes = clean(SourceNotebook("hw", text, text), theirs)
    assert [c.source for c in result.cells] == ['profile = "quick"']
    assert notes == []


def test_cleaning_twice_changes_nothing_more() -> None:
    once, _ = clean(HOMEWORK, as_file({"cells": [mine("helper"), *homework()]}))
    twice, notes = clean(HOMEWORK, nbformat.writes(once).encode())
    assert twice == once
    # Its tests are not those that were released any more: they hold the hidden ones.
    assert notes == ["cell add-tests had been changed; the course's own was used"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("points", 1000),
        ("grade", False),
        ("locked", False),
        ("solution", True),
        ("task", True),
        ("schema_version", 99),
        ("checksum", "0" * 32),
        ("cell_type", "markdown"),
    ],
)
def test_nbgrader_s_metadata_comes_from_the_course(key: str, value: object) -> None:
    cells = homework()
    for theirs in cells:
        if "nbgrader" in theirs["metadata"]:
            theirs["metadata"]["nbgrader"][key] = value
    result, _ = clean(HOMEWORK, as_file({"cells": cells}))
    assert [c.metadata for c in result.cells] == [c.metadata for c in sealed().cells]


def test_tags_outputs_and_notebook_metadata_are_dropped() -> None:
    cells = homework()
    for theirs in cells:
        theirs["metadata"]["tags"] = ["skip-execution", "raises-exception", "parameters"]
        if theirs["cell_type"] == "code":
            theirs["execution_count"] = 7
            theirs["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "100 points"}]
    file = as_file({"cells": cells, "metadata": {"kernelspec": {"name": "evil"}}})
    result, notes = clean(HOMEWORK, file)
    assert notes == []
    assert result.metadata == sealed().metadata
    assert not any("tags" in c.metadata for c in result.cells)
    assert not any(c.get("outputs") or c.get("execution_count") for c in result.cells)


def test_pictures_stay_with_written_answers_and_nothing_else_does() -> None:
    png = {"image/png": base64.b64encode(b"\x89PNG").decode()}
    cells = homework()
    for theirs in cells:
        theirs["attachments"] = {
            "a.png": png | {"text/html": "<script>"},
            "b.svg": {"image/svg+xml": "PHN2Zz4="},
            "c.png": {"image/png": "not base64!"},
            "d\ud800.png": png,
            "e.png": "text",
        }
    cells[WHY]["source"] = "Because ![](attachment:a.png)"
    result, notes = clean(HOMEWORK, as_file({"cells": cells}))
    kept = {c.id: c.get("attachments") for c in result.cells}
    assert kept["why"] == {"a.png": png, "d?.png": png}
    assert kept["add"] is kept["add-tests"] is kept["imports"] is None
    assert "an attachment of type text/html was dropped" in notes
    assert "an attachment of type image/svg+xml was dropped" in notes
    assert "an attachment that is no picture was dropped" in notes


# ---- put right ------------------------------------------------------------------------------


def with_(cells: Cells, index: int, **changes: Any) -> Cells:
    return [*cells[:index], cells[index] | changes, *cells[index + 1 :]]


def without(cells: Cells, *keys: str) -> Cells:
    """Drop ids or metadata, as other programs do when they save."""
    dropped: dict[str, Any] = {
        key: {} for key in keys if key == "metadata"
    }  # a cell without them is no cell
    return [{k: v for k, v in c.items() if k not in keys} | dropped for c in cells]


def paste(cells: Cells, index: int, below: int, **changes: Any) -> Cells:
    """Paste a copy of a cell below another; JupyterLab gives it a new id and the old metadata."""
    return [*cells[: below + 1], cells[index] | {"id": "copy"} | changes, *cells[below + 1 :]]


# {what was done to the solved notebook: (how, what is said; None is silence)}
ACCIDENTS: dict[str, tuple[Callable[[Cells], Cells], str | None]] = {
    "test_deleted": (lambda c: c[:TESTS] + c[WHY:], "cell add-tests was missing"),
    "test_edited": (lambda c: with_(c, TESTS, source="pass"), "add-tests had been changed"),
    "test_spaced": (lambda c: with_(c, TESTS, source=VISIBLE + "\n\n"), None),
    "test_made_markdown": (lambda c: with_(c, TESTS, cell_type="markdown"), None),
    "test_pasted_and_edited": (lambda c: paste(c, TESTS, TESTS, source="pass"), None),
    "imports_deleted": (lambda c: [c[0], *c[2:]], "cell imports was missing"),
    "all_but_the_answer_deleted": (lambda c: [c[ADD]], "cell add-tests was missing"),
    "answer_moved_to_the_end": (lambda c: [*c[:ADD], *c[TESTS:], c[ADD]], None),
    "turned_upside_down": (lambda c: c[::-1], None),
    "answer_made_markdown": (lambda c: with_(c, ADD, cell_type="markdown"), "made a markdown"),
    "answer_made_raw": (lambda c: with_(c, ADD, cell_type="raw"), "add had been made a raw cell"),
    "answer_renamed": (
        lambda c: with_(c, ADD, metadata={"nbgrader": {"grade_id": "sub"}}),
        "answer cell add had lost its name",
    ),
    "metadata_lost": (lambda c: without(c, "metadata"), "answer cell add had lost its name"),
    "ids_lost": (lambda c: without(c, "id"), None),
    "ids_and_metadata_lost": (
        lambda c: without(c, "id", "metadata"),
        "answer cell add had lost its name",
    ),
    "text_in_one_line": (lambda c: [x | {"source": "".join(x["source"])} for x in c], None),
    "stub_pasted_below": (lambda c: paste(c, ADD, ADD, source=STUB), None),
    "stub_pasted_above": (lambda c: paste(c, ADD, ADD - 1, source=STUB), None),
    "solved_in_a_copy": (lambda c: with_(paste(c, ADD, ADD), ADD, source=STUB), None),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_accident_costs_nothing_and_is_said(accident: str) -> None:
    change, note = ACCIDENTS[accident]
    cells, notes = cleaned(change(homework()))
    assert [name for name in cells if name in ORDER] == ORDER
    assert (cells["imports"], cells["setup"]) == ("import math", "scale = 2")
    assert (cells["add"], cells["add-tests"]) == (SOLVED, SEALED)
    assert any(note in n for n in notes) if note else notes == []


def test_a_deleted_answer_is_graded_as_left_empty() -> None:
    cells, notes = cleaned(homework()[:ADD] + homework()[TESTS:])
    assert cells["add"] == STUB
    assert notes == ["answer cell add is missing; graded as left empty"]


def test_two_cells_that_could_be_the_lost_answer_are_not_chosen_from() -> None:
    cells = without(homework(), "id", "metadata")
    texts, notes = cleaned([*cells, mine("try") | {"source": SOLVED + "  # or so"}])
    assert texts["add"] == STUB
    assert "answer cell add is missing; graded as left empty" in notes


def test_a_written_answer_in_a_pasted_copy_is_read() -> None:
    texts, _ = cleaned(paste(homework(), WHY, WHY, source="Because."))
    assert texts["why"] == "Because."
    assert "Why?" in texts.values()


def test_of_two_copies_without_ids_the_later_one_is_the_answer() -> None:
    cells = paste(homework(), ADD, ADD, source=SOLVED + "  # better")
    texts, _ = cleaned(without(cells, "id"))
    assert texts["add"].endswith("better")
    assert SOLVED in texts.values()


def test_helper_cells_stay_in_place_and_in_order() -> None:
    c = homework()
    texts, notes = cleaned([mine("z"), *c[:3], mine("b"), mine("a"), c[3], mine("m"), *c[4:]])
    order = [text if text in ("# z", "# b", "# a", "# m") else name for name, text in texts.items()]
    assert order == ["# z", *ORDER[:3], "# b", "# a", "add", "# m", "add-tests", "why"]
    assert notes == []


def test_equal_free_cells_without_ids_keep_their_places() -> None:
    texts = ["step()", "x = 1", "step()", "y = 2"]
    ours = nbformat.writes(notebook(*texts))
    theirs = without(json.loads(ours)["cells"], "id")
    result, _ = clean(SourceNotebook("hw", ours, ours), as_file({"cells": theirs}))
    assert [c.source for c in result.cells] == texts


def test_free_cells_may_be_changed_and_are_put_back_when_deleted() -> None:
    cells = with_(homework(), 2, source="scale = 3")
    assert cleaned(cells)[0]["setup"] == "scale = 3"
    assert cleaned(cells[:2] + cells[3:])[0]["setup"] == "scale = 2"


@pytest.mark.parametrize("minor", [0, 4])
def test_older_formats_4_are_read(minor: int) -> None:
    cells, notes = cleaned(without(homework(), "id"), nbformat_minor=minor)
    assert (cells["add"], notes) == (SOLVED, [])


def test_format_3_is_read() -> None:
    code = [
        c | {"input": c["source"], "language": "python"}
        for c in without(homework(), "id")
        if c["cell_type"] == "code"
    ]
    result, notes = clean(HOMEWORK, as_file({"nbformat": 3, "worksheets": [{"cells": code}]}))
    assert {c.id: c.source for c in result.cells}["add"] == SOLVED
    assert notes[0] == "written in notebook format 3; converted"


def test_what_the_course_itself_attaches_stays() -> None:
    node = notebook(cell("![](attachment:a.png)", id="title", kind="markdown"))
    node.cells[0].attachments = {"a.png": {"image/png": ""}}
    text = nbformat.writes(node)
    result, _ = clean(SourceNotebook("hw", text, text), as_file({"cells": []}))
    assert result.cells == [] or result.cells[0].attachments == node.cells[0].attachments
