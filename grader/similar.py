"""Class folder -> pairs of submissions that a person should look at, side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import markup
from grader.classroom import Classroom
from grader.fingerprints import Answer, Match, Pair, alike

OWN = "cells of their own"
MAX_FILE = 30_000_000  # bytes of a notebook that is read
MAX_LINES = 150  # of one answer that are shown
MAX_WIDTH = 200  # characters of one line
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of an answer as it is shown; `both`: the other one has it too."""

    text: str
    both: bool


@dataclass(frozen=True)
class Beside:
    """Two answers to one exercise, side by side."""

    match: Match
    sides: tuple[tuple[Line, ...], tuple[Line, ...]]


@dataclass(frozen=True)
class Likeness:
    """A pair and its answers."""

    pair: Pair
    beside: tuple[Beside, ...]


def find(classroom: Classroom, unit: str, students: list[str]) -> list[Likeness]:
    """Return the pairs of `students` whose graded submissions are alike beyond chance."""
    known = list(given(classroom.released(unit)))
    texts = {one.text for one in known}
    answers = {
        student: _answers(classroom.autograded(student, unit), texts) for student in students
    }
    found = []
    for pair in alike(answers, known):
        one, other = (answers[student] for student in pair.students)
        beside = tuple(
            Beside(match, (_shown(one, match, 0), _shown(other, match, 1)))
            for match in pair.matches
        )
        found.append(Likeness(pair, beside))
    return found


def given(folder: Path) -> Iterator[Answer]:
    """All that students were given: cells, programs in the prose, modules."""
    for path in sorted(folder.glob("*.ipynb")):
        for cell in _cells(path):
            prose = cell["cell_type"] != "code"
            yield Answer(cell["source"], prose)
            if prose:
                yield from (Answer(program) for program in _FENCED.findall(cell["source"]))
    for path in sorted(folder.glob("*.py")):
        yield Answer(path.read_text(encoding="utf-8", errors="replace"))


def _answers(folder: Path, given: set[str]) -> dict[str, Answer]:
    """Return {cell: what the student wrote there}, of the notebooks as they were graded."""
    found: dict[str, Answer] = {}
    own = []
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        for cell in _cells(path):
            role = cell["nbgrader"]
            if is_answer(cell):
                name = str(role.get("grade_id"))
                name = name if len(paths) == 1 else f"{path.stem}: {name}"
                found[name] = Answer(cell["source"], cell["cell_type"] != "code")
            elif not role and cell["cell_type"] == "code" and cell["source"] not in given:
                own.append(cell["source"])
    return found | ({OWN: Answer("\n\n".join(own))} if own else {})


def is_answer(metadata: Mapping[str, Any]) -> bool:
    """Whether a cell with this metadata is one that a student writes into."""
    return bool((metadata.get("nbgrader") or {}).get("solution"))


def _cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook; none of what is no notebook."""
    # Not by nbformat, which checks each of them: a class has thousands.
    try:
        if path.stat().st_size > MAX_FILE:
            return []
        cells = json.loads(path.read_bytes())["cells"]
        return [
            {
                "cell_type": str(cell["cell_type"]),
                "source": re.sub("\r\n?", "\n", "".join(cell["source"])),
                "nbgrader": cell["metadata"].get("nbgrader") or {},
            }
            for cell in cells
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _shown(answers: dict[str, Answer], match: Match, side: int) -> tuple[Line, ...]:
    lines = answers[match.cell].text.split("\n")
    both = match.lines[side]
    first = max(0, min(both, default=1) - 6) if len(lines) > MAX_LINES else 0
    return tuple(
        Line(markup.readable(line[:MAX_WIDTH]), number in both)
        for number, line in enumerate(lines[first : first + MAX_LINES], first + 1)
    )
