"""Verdicts -> words that a student can do something with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from grader import markup
from grader.model import CellResult, Verdict

WAITING = "not yet read"
NOT_RUN = "not run"
NO_RESPONSE = "No response."  # nbgrader's comment on a cell that was left as it was released

# What the engine says -> what a student needs to hear.
PLAIN = {
    "time limit": "It ran longer than a cell may, and was stopped. Is there a loop without an end?",
    "output limit": "It printed far too much, and was stopped. Is there a print in a loop?",
    "CPU time limit": "It kept the processor busy longer than it may, and was stopped: {}.",
    "memory limit": "It needed more memory than it may: {}.",
    "GPU memory limit": "It needed more memory on the GPU than it may: {}.",
    "process limit": "It started too many processes or threads: {}.",
    "open files limit": "It had too many files open: {}.",
    "file size limit": "It wrote a file that is too large: {}.",
    "disk limit": "It wrote more to the disk than it may: {}.",
    "picture limit": "It showed too many pictures, or a picture that is too large: {}.",
    "kernel died": "Python itself ended while this ran: {}.",
    "no reply": "Python did not answer any more: {}.",
    "not run": "It could not be run: {}.",
}
KINDS = {
    "AttributeError": "a value does not have what is asked of it",
    "ImportError": "something cannot be imported",
    "IndexError": "an index lies outside of its array or list",
    "KeyError": "a dictionary does not have this key",
    "ModuleNotFoundError": "there is no such module here",
    "NameError": "a name is used that has no value",
    "RecursionError": "a function calls itself without an end",
    "TypeError": "a function is called in a way, or with values, that it does not take",
    "UnboundLocalError": "a variable is used before it has a value",
    "ValueError": "a value or a shape does not fit",
    "ZeroDivisionError": "something is divided by zero",
}


MAX_HINTS = 3  # a test cannot always tell misconceptions apart


@dataclass(frozen=True)
class Marks:
    """What the gradebook knows beyond the tests: people's decisions and the late penalty.

    Attributes:
        points: {grade_id: points that count}.
        waiting: grade_ids that a person has not decided.
        comments: {grade_id: text in Markdown}.
    """

    points: Mapping[str, float] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()
    comments: Mapping[str, str] = field(default_factory=dict)
    penalty: float = 0.0


@dataclass(frozen=True)
class Row:
    """What became of one graded cell, in words.

    Attributes:
        exercise: what it belongs to; its own name where that is an answer, or not known.
    """

    grade_id: str
    exercise: str
    points: float
    max_points: float
    word: str
    colour: str  # good, bad, wait
    says: str
    hints: tuple[str, ...] = ()

    @property
    def is_waiting(self) -> bool:
        """Whether a person has still to give the points."""
        return self.word == WAITING

    @property
    def part(self) -> str:
        """What it is called among the tests of its exercise."""
        return self.grade_id.removeprefix(f"{self.exercise}-")


def row(result: CellResult, marks: Marks, quotes: Callable[[str], bool]) -> Row:
    """Return what is said of one graded cell.

    Args:
        quotes: says of a text whether it quotes a hidden test.
    """
    name = result.grade_id
    points = marks.points.get(name, result.points or 0.0)
    full = points >= result.max_points
    says = _says(result, quotes)
    word, colour = {
        Verdict.PASSED: ("passed", "good"),
        Verdict.FAILED: ("partly" if result.points else "failed", "bad"),
        Verdict.NOT_RUN: (NOT_RUN, "bad"),
        Verdict.BROKEN: ("not your fault", "wait"),
        Verdict.MANUAL: (WAITING, "wait"),
    }[result.verdict]
    if result.message == NO_RESPONSE:
        word = "not answered"
    if points != (result.points or 0.0) or (name in marks.points and word == WAITING):
        word, colour, says = "read", "good" if full else "bad", "Your teacher has read this."
        if name in marks.waiting:
            word, colour, says = WAITING, "wait", "Your teacher will read this."
    if marks.comments.get(name, NO_RESPONSE) != NO_RESPONSE:
        says = f"{says} There is a comment at the cell.".strip()
    hints = () if full else result.hints[:MAX_HINTS]
    if hints:
        # Who knows the mistake by name has more to say than who compares two arrays.
        says = "\n".join(line for line in says.splitlines() if not line.startswith("hint: "))
    exercise = result.exercise or name
    return Row(name, exercise, points, result.max_points, word, colour, says, hints)


@dataclass(frozen=True)
class Summary:
    """What became of one exercise: of all its graded cells together."""

    rows: tuple[Row, ...]

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(row.points for row in self.rows)

    @property
    def max_points(self) -> float:
        """Points that can be earned."""
        return sum(row.max_points for row in self.rows)

    @property
    def is_waiting(self) -> bool:
        """Whether a person has still to give all of its points."""
        return all(row.is_waiting for row in self.rows)

    @property
    def colour(self) -> str:
        """The colour of its worst cell: good, wait or bad."""
        return max((row.colour for row in self.rows), key=("good", "wait", "bad").index)

    @property
    def word(self) -> str:
        """Its verdict."""
        words = {row.word for row in self.rows}
        if len(words) == 1:
            return words.pop()
        if self.colour != "bad":
            return next(row.word for row in self.rows if row.colour == self.colour)
        return "partly" if self.points else "failed"

    @property
    def lost(self) -> list[Row]:
        """Its cells that are decided and have not earned all."""
        return [row for row in self.rows if row.colour == "bad"]

    @property
    def hints(self) -> tuple[str, ...]:
        """Hints to the known mistakes that gave the same answers, each once."""
        return tuple(dict.fromkeys(hint for row in self.rows for hint in row.hints))[:MAX_HINTS]

    @property
    def says(self) -> str:
        """One sentence or two for the table at the top."""
        said = list(dict.fromkeys(row.says for row in self.lost or self.rows if row.says))
        if len(self.rows) == 1 or self.word == NOT_RUN or (len(said) == 1 and len(self.lost) != 1):
            return said[0] if said else ""
        if not self.lost:
            return " ".join(said)
        count = f"{len(self.lost)} of {len(self.rows)} tests did not pass."
        # Who knows the mistake by name has said the rest.
        first = next((row for row in self.lost if row.says), None)
        return count if self.hints or first is None else f"{count} {first.part}: {first.says}"


def limit(message: str) -> str:
    """Return what a student needs to hear of a limit; empty where `message` names none."""
    kind, _, text = message.partition(": ")
    return PLAIN[kind].format(text.removeprefix("stopped: ").rstrip(".")) if kind in PLAIN else ""


def _says(result: CellResult, quotes: Callable[[str], bool]) -> str:
    if result.verdict is Verdict.BROKEN:
        return "The test itself is at fault, not you; a person will look at it."
    if result.verdict is Verdict.MANUAL:
        return "Your teacher will read this."
    if result.message == NO_RESPONSE:
        return "Left as it was handed out."
    message = markup.plain(result.message)
    if quotes(message):
        return "The message is left out: it quotes tests that are not shown."
    if plain := limit(message):
        return plain
    kind, _, text = message.partition(": ")
    if re.fullmatch(r"\w+(Error|Exception|Interrupt|Exit|Iteration|Warning)", kind):
        about = f" ({KINDS[kind]})" if kind in KINDS else ""
        return f"Stopped by {kind}{about}{': ' if text else ''}{text}"
    return message
