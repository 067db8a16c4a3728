"""Which answers are alike beyond chance: winnowed fingerprints, found again by an index.

Schleimer, Wilkerson and Aiken 2003, "Winnowing: Local Algorithms for Document Fingerprinting",
section 3: of each run of `WINDOW` hashes of `LENGTH` tokens the smallest one is kept. Tokens are
those of the syntax tree, so that comments, layout, docstrings and annotations do not count; names
that the answer itself binds are all one token, others (``np.sum``, ``range``) are themselves.

Pieces that the course gave, or that many wrote, are no sign of anything and are left out. Each
piece leads to the few answers that hold it: no two answers are compared that share nothing.
"""

from __future__ import annotations

import ast
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

LENGTH = 10  # tokens of a piece
WINDOW = 4  # pieces in a row, of which at least one is kept: 13 equal tokens are always found
COMMON = 10  # a piece that more answers have is how it is done (as in MOSS); in small classes:
THIRD = 3  # more than one in three
MATCH = 0.5  # of the pieces of the shorter answer: then two answers are alike
LEAST = 3  # pieces; fewer are no match
ENOUGH = 12  # pieces in all matches of two students: then a person should look
MAX_TEXT = 100_000  # characters of one answer that are compared
TRIES = 5  # errors of syntax; the answer ends above the last of them

_SILENT = (
    ast.Module, ast.Expr, ast.arguments, ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp,
)  # fmt: skip
_SKIPPED = {"annotation", "ctx", "returns", "type_comment", "type_ignores", "type_params"}


@dataclass(frozen=True)
class Answer:
    """What a student wrote into one cell, a program or prose."""

    text: str
    prose: bool = False


@dataclass(frozen=True)
class Match:
    """Two answers that are alike.

    Attributes:
        pieces, of: that both have, and that the shorter one has.
        lines: of either answer, from 1, of which the greater part lies in pieces of both.
    """

    cell: str
    pieces: int
    of: int
    lines: tuple[frozenset[int], frozenset[int]]


@dataclass(frozen=True)
class Pair:
    """Two students whose answers a person should look at.

    Attributes:
        of: pieces of the one who has fewer, in all cells.
    """

    students: tuple[str, str]
    matches: tuple[Match, ...]
    of: int

    @property
    def pieces(self) -> int:
        """Pieces that both have in the cells that are alike."""
        return sum(match.pieces for match in self.matches)

    @property
    def share(self) -> float:
        """Of all that the shorter of the two wrote and few others did, 0 to 1."""
        return self.pieces / self.of


def alike(answers: Mapping[str, Mapping[str, Answer]], given: Iterable[Answer] = ()) -> list[Pair]:
    """Return the pairs worth a look, those with most in common first.

    Args:
        answers: {student: {cell: answer}}.
        given: what all were given; none of it counts.
    """
    known = {piece for one in given for piece in _pieces(one)}
    cells = dict.fromkeys(cell for one in answers.values() for cell in one)
    found: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
    total: Counter[str] = Counter()
    for cell in cells:
        prints = {
            student: fingerprint(mine[cell]) - known
            for student, mine in answers.items()
            if cell in mine
        }
        shared, sizes = _shared(prints)
        total.update(sizes)
        for pair, count in shared.items():
            shorter = min(sizes[student] for student in pair)
            if count >= LEAST and count >= MATCH * shorter:
                found.setdefault(pair, []).append((cell, count, shorter))
    pairs = []
    for pair, matches in found.items():
        if sum(count for _, count, _ in matches) >= ENOUGH:
            one, other = (answers[student] for student in pair)
            made = tuple(
                Match(cell, count, of, _lines(one[cell], other[cell], known))
                for cell, count, of in matches
            )
            pairs.append(Pair(pair, made, min(total[student] for student in pair)))
    return sorted(pairs, key=lambda pair: (-pair.pieces, pair.students))


def _shared(
    prints: Mapping[str, frozenset[int]],
) -> tuple[Counter[tuple[str, str]], dict[str, int]]:
    """Return how many rare pieces each two answers share, and how many each one has."""
    most = min(COMMON, max(2, len(prints) // THIRD))
    holders: dict[int, list[str]] = {}
    for student, pieces in prints.items():
        for piece in pieces:
            holders.setdefault(piece, []).append(student)
    rare = [those for those in holders.values() if len(those) <= most]
    shared = Counter(pair for those in rare for pair in combinations(sorted(those), 2))
    return shared, Counter(student for those in rare for student in those)


def _lines(one: Answer, other: Answer, known: set[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the lines of either that lie, for the greater part, in pieces of both."""
    both = (set(_pieces(one)) & set(_pieces(other))) - known
    return _covered(one, both), _covered(other, both)


def _covered(answer: Answer, both: set[int]) -> frozenset[int]:
    tokens, covered = _tokens(answer), set[int]()
    for start, piece in enumerate(_pieces(answer)):
        if piece in both:
            covered.update(range(start, start + LENGTH))
    total = Counter(line for _, line in tokens)
    inside = Counter(tokens[place][1] for place in covered)
    return frozenset(line for line, count in inside.items() if 2 * count > total[line])


# ---- one answer -----------------------------------------------------------------------------


def fingerprint(answer: Answer) -> frozenset[int]:
    """Return the hashes that winnowing keeps of `answer`; none of one that is too short."""
    pieces = _pieces(answer)
    windows = range(max(1, len(pieces) - WINDOW + 1)) if pieces else ()
    return frozenset(min(pieces[start : start + WINDOW]) for start in windows)


@lru_cache(maxsize=8192)
def _pieces(answer: Answer) -> tuple[int, ...]:
    """Return the hash of each `LENGTH` tokens in a row."""
    tokens = [token for token, _ in _tokens(answer)]
    return tuple(
        # Not hash(): that of a text differs from one run of Python to the next.
        zlib.crc32("\0".join(tokens[start : start + LENGTH]).encode("utf-8", "replace"))
        for start in range(len(tokens) - LENGTH + 1)
    )


def _tokens(answer: Answer) -> Sequence[tuple[str, int]]:
    """Return (token, line from 1)."""
    text = answer.text[:MAX_TEXT]
    if answer.prose:
        return [
            (word, number)
            for number, line in enumerate(text.lower().split("\n"), 1)
            for word in re.findall(r"\w+", line)
        ]
    tree = _parsed(text)
    own = {name for node in ast.walk(tree) for name in _bound(node)}
    return list(_labels(tree, own))


def _parsed(text: str) -> ast.Module:
    """Return the tree of a program, or of what stands above an error in it."""
    for _ in range(TRIES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on escapes in a student's strings
                return ast.parse(text)
        except SyntaxError as error:
            lines = text.split("\n")
            text = "\n".join(lines[: min((error.lineno or 1), len(lines)) - 1])
        except (ValueError, RecursionError, MemoryError):  # a NUL, or nested without end
            break
    return ast.Module([], [])


def _bound(node: ast.AST) -> Iterator[str]:
    """Names, and attributes with a dot before them, that `node` binds."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        yield f".{node.attr}"
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from (node.name, f".{node.name}")


def _labels(tree: ast.AST, own: set[str]) -> Iterator[tuple[str, int]]:
    """The tokens of a tree from left to right; a stack, for it may be deep."""
    stack, line = [tree], 1
    while stack:
        node = stack.pop()
        line = getattr(node, "lineno", line)
        if label := _label(node, own):
            yield label, line
        stack += reversed(list(_below(node)))


def _below(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED:
            continue
        for child in value if isinstance(value, list) else [value]:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            # What an attribute is of, ``np`` or ``self``, can have any name.
            is_owner = isinstance(node, ast.Attribute) and isinstance(child, ast.Name)
            if isinstance(child, ast.AST) and not is_text and not is_owner:
                yield child


def _label(node: ast.AST, own: set[str]) -> str:
    match node:
        case ast.Name(id=name) | ast.arg(arg=name):
            return "v" if name in own else name
        case ast.Attribute(attr=name):
            return ".v" if f".{name}" in own else f".{name}"
        case ast.keyword(arg=name):
            return f"{name}="
        case ast.alias(name=name):
            return name
        case ast.JoinedStr() | ast.Constant(value=str() | bytes()):
            return "text"
        case ast.Constant(value=int() as value) if abs(value) > 2**64:
            return "number"  # Python refuses to write very long ones
        case ast.Constant(value=value):
            return repr(value).removesuffix(".0")
        case ast.AnnAssign():
            return "Assign"
        case _:
            return "" if isinstance(node, _SILENT) else type(node).__name__
