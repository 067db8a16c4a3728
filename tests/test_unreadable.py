"""A file that is no notebook is refused with the reason; an odd cell costs only itself."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
from builders import HOMEWORK, SOLVED, STUB, as_file, homework
from hypothesis import given
from hypothesis import strategies as st

from grader import clean as cleaning
from grader.clean import clean, read
from grader.errors import SubmissionError

NOT_NOTEBOOKS = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\t ", "the file is empty"),
    "html": (b"<!DOCTYPE html><html>Please log in</html>", "line 1, column 1"),
    "half": (as_file({"cells": homework()})[:300], "not a notebook: line 1"),
    "utf_16": ("{}".encode("utf-16"), "is not UTF-8"),
    "zip": (b"PK\x03\x04\xff\xff", "an archive"),
    "a_number": (b"42", "no cells"),
    "a_list": (b"[]", "no cells"),
    "no_cells": (b'{"nbformat": 4}', "no list of cells"),
    "cells_of_text": (b'{"cells": "abc"}', "no list of cells"),
    "format_3_of_nonsense": (b'{"nbformat": 3, "worksheets": 5}', "cannot be converted"),
    "nested": (b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    "long_number": (b'{"cells": ' + b"9" * 10_000 + b"}", "nested or written too wildly"),
    "too_many_cells": (b'{"cells": [' + b"1," * 10_000 + b"1]}", "10,001 cells; at most 5,000"),
}


@pytest.mark.parametrize("name", NOT_NOTEBOOKS)
def test_what_is_no_notebook_is_refused_with_the_reason(name: str) -> None:
    content, reason = NOT_NOTEBOOKS[name]
    with pytest.raises(SubmissionError) as refusal:
        clean(HOMEWORK, content)
    assert reason in str(refusal.value)


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "MAX_FILE", 1000)
    with pytest.raises(SubmissionError, match="more than 1,000 bytes"):
        read(b" " * 1001)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    result, notes = clean(HOMEWORK, b"\xef\xbb\xbf" + as_file({"cells": homework()}))
    assert (result.cells[3].source, notes) == (SOLVED, [])


def nested(depth: int) -> Any:
    value: Any = "code"
    for _ in range(depth):
        value = [value]
    return value


CODE: dict[str, Any] = {"cell_type": "code", "source": "x = 1"}
ODD_CELLS: list[object] = [
    None,
    3,
    "text",
    [],
    {},
    {"cell_type": "code"},
    {"source": "x", "id": 5},
    CODE | {"source": 5},
    CODE | {"source": ["a", 1]},
    CODE | {"source": "x" * 600_000},
    CODE | {"cell_type": ["code"]},
    CODE | {"cell_type": nested(800)},
    CODE | {"metadata": []},
    CODE | {"metadata": {"nbgrader": "add"}},
    CODE | {"metadata": {"nbgrader": {"grade_id": {}}}},
    {"cell_type": "markdown", "source": "x", "attachments": {"a": {"image/png": 5}}},
    CODE | {"source": "(" * 5000},
    CODE | {"source": "-" * 20_000 + "1"},
]


@pytest.mark.parametrize("odd", ODD_CELLS, ids=range(len(ODD_CELLS)))
def test_an_odd_cell_does_not_cost_the_others(odd: Any) -> None:
    result, _ = clean(HOMEWORK, as_file({"cells": [odd, *homework(), odd]}))
    nbformat.validate(result)
    assert {c.id: c.source for c in result.cells}["add"] == SOLVED


def test_text_that_no_file_can_hold_is_replaced() -> None:
    cells = homework("s = '\ud800\0'")
    cells[5]["attachments"] = {"a": {"\udfff": ""}}
    result, notes = clean(HOMEWORK, as_file({"cells": cells}))
    assert result.cells[3].source == "s = '?'"
    assert json.dumps(notes, ensure_ascii=False).encode("utf-8")


def test_remarks_are_counted_where_there_are_too_many() -> None:
    odd = {f"a{n}": {f"type/{n}": ""} for n in range(1000)}
    _, notes = read(as_file({"cells": [*[5] * 1000, {"source": "", "attachments": odd}]}))
    assert len(notes) == 21
    assert notes[-1] == "and 981 remarks more"


KEYS = st.sampled_from(
    [
        *("cells", "cell_type", "source", "metadata", "nbgrader", "grade_id", "id"),
        *("attachments", "outputs", "worksheets", "nbformat", "input", "image/png"),
    ]
)
WORDS = st.sampled_from(["code", "markdown", "raw", "heading", "add", "add-tests", STUB, SOLVED])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@given(st.binary() | st.text().map(str.encode) | JSON.map(as_file))
def test_no_bytes_raise_anything_but_a_refusal(content: bytes) -> None:
    try:
        result, _ = clean(HOMEWORK, content)
    except SubmissionError as error:
        reason = str(error)
    else:
        reason = result.cells[0].source
    assert reason


@given(st.lists(st.dictionaries(KEYS, JSON), max_size=8))
def test_no_cells_raise_anything_at_all(cells: list[dict[str, Any]]) -> None:
    result, notes = clean(HOMEWORK, as_file({"cells": cells}))
    nbformat.validate(result)
    assert (nbformat.writes(result) + "".join(notes)).encode()
