"""Machine-made wrong solutions: a reference solution with one thing changed.

A test that no mutant fails tests nothing. Each mutant changes one place of the solution as people
do by mistake: another operator, a constant or a bound off by one, a term or a statement left out,
axes swapped, a copy forgotten, a keyword forgotten, epsilon outside of the root.

The libraries for mutation testing (cosmic-ray, mutmut) change files of a package that pytest
imports, one run for each mutant, and know nothing of axes or copies; here a mutant is the text of
one cell.
"""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}
COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
# What gives its first argument, or the object before the dot, a new form or a new place.
UNWRAPPED = frozenset(
    [
        "copy",
        "abs",
        "sqrt",
        "exp",
        "log",
        "maximum",
        "minimum",
        "clip",
        "flip",
        "rot90",
        "round",
        "ceil",
        "floor",
        "float",
        "int",
        "mean",
        "asarray",
        "array",
        "ascontiguousarray",
        "astype",
        "transpose",
        "swapaxes",
        "T",
        "detach",
        "clone",
        "squeeze",
        "ravel",
    ]
)
NAMED_AXES = frozenset(("axis", "dim"))
EPSILONS = frozenset(("eps", "epsilon"))
OTHERS = {"max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax", "sum": "mean"}
OTHERS |= {"mean": "sum", "zeros": "ones", "ones": "zeros", "maximum": "minimum"}
OTHERS |= {"minimum": "maximum", "zeros_like": "ones_like", "ones_like": "zeros_like"}
OTHERS |= {"ceil": "floor", "floor": "ceil", "any": "all", "all": "any", "var": "std"}


@dataclass(frozen=True)
class Mutant:
    """A solution with one change.

    Attributes:
        source: all of it.
        before: the lines that were changed, as they were.
        after: as they are.
    """

    source: str
    before: str
    after: str

    @property
    def change(self) -> str:
        """The change, as a reader wants it."""
        return f"{self.before}  ->  {self.after}"


def mutants(source: str) -> list[Mutant]:
    """Return every mutant of the solution `source`, each once, in the order of their places."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    # What is said to readers and to type checkers changes nothing that runs.
    inert = {id(part) for node in ast.walk(tree) for told in _told(node) for part in ast.walk(told)}
    found: dict[str, None] = {}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in inert:
            continue
        for change in _changes(node):
            twin = copy.deepcopy(tree)
            change(next(one for n, one in enumerate(ast.walk(twin)) if n == index))
            with contextlib.suppress(SyntaxError, ValueError, AttributeError, TypeError):
                text = ast.unparse(ast.fix_missing_locations(twin))
                compile(text, "<mutant>", "exec")
                found.setdefault(text)
    found.pop(original, None)
    made = [(_first_change(original, text), text) for text in found]
    return [Mutant(text, *_difference(original, text)) for _, text in sorted(made)]


def _first_change(original: str, text: str) -> int:
    pairs = zip(original.splitlines(), text.splitlines(), strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), 0)


def _difference(original: str, text: str) -> tuple[str, str]:
    """Return the lines in which the two differ, of each."""
    before, after = original.splitlines(), text.splitlines()
    while before and after and before[0] == after[0]:
        del before[0], after[0]
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    return "\n".join(line.strip() for line in before), "\n".join(line.strip() for line in after)


Change = Callable[[ast.AST], None]


def _told(node: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, annotations, and what an exception says."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            yield first
    if isinstance(node, ast.FunctionDef) and node.returns:
        yield node.returns
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        yield from node.exc.args
    if isinstance(node, ast.Assert) and node.msg:
        yield node.msg


def _changes(node: ast.AST) -> Iterator[Change]:
    for rule in RULES:
        yield from rule(node)


def _set(field: str, value: object) -> Change:
    def change(place: ast.AST) -> None:
        setattr(place, field, value)

    return change


def _operators(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.BinOp | ast.AugAssign):
        if type(node.op) in BINARY:
            yield _set("op", BINARY[type(node.op)]())
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult | ast.Sub | ast.Div):
            yield _swap_sides
    elif isinstance(node, ast.Compare):
        for n, operator in enumerate(node.ops):
            for other in COMPARE.get(type(operator), ()):
                yield _set("ops", [*node.ops[:n], other(), *node.ops[n + 1 :]])
    elif isinstance(node, ast.BoolOp):
        yield _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.AugAssign):
        yield _set("op", ast.Sub())


def _swap_sides(place: ast.AST) -> None:
    assert isinstance(place, ast.BinOp)
    place.left, place.right = place.right, place.left


def _become(field: str, part: str) -> Change:
    """Replace the child `field` by one of its own children, `part`."""

    def change(place: ast.AST) -> None:
        child = getattr(place, field)
        setattr(place, field, getattr(child, part))

    return change


def _terms(node: ast.AST) -> Iterator[Change]:
    """Leave out a term, a factor, a sign, a ``not``."""
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.BinOp) and isinstance(
            child.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Pow
        ):
            yield _become(field, "left")
            if isinstance(child.op, ast.Add | ast.Mult):
                yield _become(field, "right")
        elif isinstance(child, ast.UnaryOp):
            yield _become(field, "operand")


def _constants(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield _set("value", not value)
    elif isinstance(value, int):
        for other in {value + 1, value - 1} - ({-1} if value == 0 else set()):
            yield _set("value", other)
        if value == 0:
            yield _set("value", -1)
    elif isinstance(value, float):
        yield _set("value", value * 2 if value else 1.0)
    elif isinstance(value, str) and value:
        yield _set("value", f"{value}_")


def _bounds(node: ast.AST) -> Iterator[Change]:
    """A bound of a slice or a range off by one, or left out."""
    if isinstance(node, ast.Slice):
        for field in ("lower", "upper", "step"):
            bound = getattr(node, field)
            if bound is None:
                continue
            yield _set(field, None)
            if not isinstance(bound, ast.Constant):
                yield _set(field, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
    elif isinstance(node, ast.Call) and _called(node) == "range" and node.args:
        for n, bound in enumerate(node.args[:2]):
            if not isinstance(bound, ast.Constant):
                for operator in (ast.Add(), ast.Sub()):
                    moved = ast.BinOp(bound, operator, ast.Constant(1))
                    yield _set("args", [*node.args[:n], moved, *node.args[n + 1 :]])


def _axes(node: ast.AST) -> Iterator[Change]:
    """Two neighbours of a tuple or of a call's arguments swapped; an axis that is another."""
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        for n in range(len(node.elts) - 1):
            if ast.dump(node.elts[n]) != ast.dump(node.elts[n + 1]):
                swapped = [*node.elts]
                swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
                yield _set("elts", swapped)
    elif isinstance(node, ast.Call):
        for n in range(len(node.args) - 1):
            if not any(isinstance(one, ast.Starred | ast.Constant) for one in node.args[n : n + 2]):
                swapped = [*node.args]
                swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
                yield _set("args", swapped)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        return


def _calls(node: ast.AST) -> Iterator[Change]:
    """A keyword forgotten, a function that is another, one that is not called at all."""
    if isinstance(node, ast.Call):
        for n in range(len(node.keywords)):
            kept = [*node.keywords[:n], *node.keywords[n + 1 :]]
            yield _set("keywords", kept)
    if isinstance(node, ast.Attribute) and node.attr in OTHERS:
        yield _set("attr", OTHERS[node.attr])
    if isinstance(node, ast.Name) and node.id in OTHERS:
        yield _set("id", OTHERS[node.id])
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.Call) and _called(child) in UNWRAPPED:
            yield _unwrap(field)
        elif isinstance(child, ast.Attribute) and child.attr in UNWRAPPED and field != "func":
            yield _become(field, "value")


def _unwrap(field: str) -> Change:
    def change(place: ast.AST) -> None:
        call = getattr(place, field)
        is_method = isinstance(call.func, ast.Attribute) and not (
            isinstance(call.func.value, ast.Name)
            and call.func.value.id in ("np", "torch", "math", "F")
        )
        if is_method:
            setattr(place, field, call.func.value)
        elif call.args:
            setattr(place, field, call.args[0])

    return change


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _epsilon(node: ast.AST) -> Iterator[Change]:
    """``sqrt(v + eps)`` that became ``sqrt(v) + eps``."""
    for field, child in ast.iter_fields(node):
        if not (isinstance(child, ast.Call) and _called(child) == "sqrt" and child.args):
            continue
        inner = child.args[0]
        if not (isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add)):
            continue
        if _is_epsilon(inner.right):
            yield _moved_out(field)


def _moved_out(field: str) -> Change:
    def change(place: ast.AST) -> None:
        root = getattr(place, field)
        inner = root.args[0]
        root.args[0] = inner.left
        setattr(place, field, ast.BinOp(root, ast.Add(), inner.right))

    return change


def _is_epsilon(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in EPSILONS) or (
        isinstance(node, ast.Attribute) and node.attr in EPSILONS
    )


def _statements(node: ast.AST) -> Iterator[Change]:
    """Leave out a statement, or turn a branch round."""
    for field in ("body", "orelse"):
        body = getattr(node, field, None)
        if not isinstance(body, list) or isinstance(node, ast.Module):
            continue
        for n, statement in enumerate(body):
            if isinstance(statement, ast.Return | ast.FunctionDef | ast.ClassDef | ast.Pass):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            yield _without(field, n)
    if isinstance(node, ast.If | ast.IfExp):
        yield _negated
    if isinstance(node, ast.FunctionDef):
        for n, default in enumerate(node.args.defaults):
            if isinstance(default, ast.Constant) and default.value is None:
                continue
            yield _without_default(n)


def _without(field: str, n: int) -> Change:
    def change(place: ast.AST) -> None:
        getattr(place, field)[n] = ast.Pass()

    return change


def _without_default(n: int) -> Change:
    def change(place: ast.AST) -> None:
        assert isinstance(place, ast.FunctionDef)
        del place.args.defaults[: n + 1]

    return change


def _negated(place: ast.AST) -> None:
    assert isinstance(place, ast.If | ast.IfExp)
    place.test = ast.UnaryOp(ast.Not(), place.test)


RULES = (_operators, _terms, _constants, _bounds, _axes, _calls, _epsilon, _statements)
