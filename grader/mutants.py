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
        line: of the change, in the reference solution's text, from 1 on.
        before: the changed piece, as it was and as it is.
        after: see before.
    """

    source: str
    line: int
    before: str
    after: str

    @property
    def change(self) -> str:
        """The change, as a reader wants it."""
        return f"{self.before}  ->  {self.after or '(left out)'}"


def mutants(source: str) -> list[Mutant]:
    """Return every mutant of the solution `source`, each once, in the order of their places."""
    tree = ast.parse(source)
    found: dict[str, Mutant] = {}
    original = ast.unparse(tree)
    # What is said to readers and to type checkers changes nothing that runs.
    inert = {id(part) for node in ast.walk(tree) for told in _told(node) for part in ast.walk(told)}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in inert:
            continue
        for before, change in _changes(node):
            twin = copy.deepcopy(tree)
            place = next(one for n, one in enumerate(ast.walk(twin)) if n == index)
            after = change(place)
            try:
                text = ast.unparse(ast.fix_missing_locations(twin))
                compile(text, "<mutant>", "exec")
            except (SyntaxError, ValueError, AttributeError, TypeError):
                continue
            if text != original:
                line = getattr(node, "lineno", 1)
                found.setdefault(text, Mutant(text, line, before, after))
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.before, mutant.after))


Change = tuple[str, Callable[[ast.AST], str]]


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


def _set(field: str, value: object) -> Callable[[ast.AST], str]:
    def change(place: ast.AST) -> str:
        setattr(place, field, value)
        return _text(place)

    return change


def _text(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return text if len(text) <= 100 else f"{text[:97]}..."


def _operators(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.BinOp | ast.AugAssign):
        if type(node.op) in BINARY:
            yield _text(node), _set("op", BINARY[type(node.op)]())
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult | ast.Sub | ast.Div):
            yield _text(node), lambda p: _swap_sides(p)
    elif isinstance(node, ast.Compare):
        for n, operator in enumerate(node.ops):
            for other in COMPARE.get(type(operator), ()):
                yield _text(node), _set("ops", [*node.ops[:n], other(), *node.ops[n + 1 :]])
    elif isinstance(node, ast.BoolOp):
        yield _text(node), _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.AugAssign):
        yield _text(node), _set("op", ast.Sub())


def _swap_sides(place: ast.AST) -> str:
    assert isinstance(place, ast.BinOp)
    place.left, place.right = place.right, place.left
    return _text(place)


def _become(field: str, part: str) -> Callable[[ast.AST], str]:
    """Replace the child `field` by one of its own children, `part`."""

    def change(place: ast.AST) -> str:
        child = getattr(place, field)
        setattr(place, field, getattr(child, part))
        return _text(place)

    return change


def _terms(node: ast.AST) -> Iterator[Change]:
    """Leave out a term, a factor, a sign, a ``not``."""
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.BinOp) and isinstance(
            child.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Pow
        ):
            yield _text(node), _become(field, "left")
            if isinstance(child.op, ast.Add | ast.Mult):
                yield _text(node), _become(field, "right")
        elif isinstance(child, ast.UnaryOp):
            yield _text(node), _become(field, "operand")


def _constants(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield _text(node), _set("value", not value)
    elif isinstance(value, int):
        for other in {value + 1, value - 1} - ({-1} if value == 0 else set()):
            yield _text(node), _set("value", other)
        if value == 0:
            yield _text(node), _set("value", -1)
    elif isinstance(value, float):
        yield _text(node), _set("value", value * 2 if value else 1.0)
    elif isinstance(value, str) and value:
        yield _text(node), _set("value", f"{value}_")


def _bounds(node: ast.AST) -> Iterator[Change]:
    """A bound of a slice or a range off by one, or left out."""
    if isinstance(node, ast.Slice):
        for field in ("lower", "upper", "step"):
            bound = getattr(node, field)
            if bound is None:
                continue
            yield _text(node), _set(field, None)
            if not isinstance(bound, ast.Constant):
                yield _text(node), _set(field, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
    elif isinstance(node, ast.Call) and _called(node) == "range" and node.args:
        for n, bound in enumerate(node.args[:2]):
            if not isinstance(bound, ast.Constant):
                for operator in (ast.Add(), ast.Sub()):
                    moved = ast.BinOp(bound, operator, ast.Constant(1))
                    yield _text(node), _set("args", [*node.args[:n], moved, *node.args[n + 1 :]])


def _axes(node: ast.AST) -> Iterator[Change]:
    """Two neighbours of a tuple or of a call's arguments swapped; an axis that is another."""
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        for n in range(len(node.elts) - 1):
            if ast.dump(node.elts[n]) != ast.dump(node.elts[n + 1]):
                swapped = [*node.elts]
                swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
                yield _text(node), _set("elts", swapped)
    elif isinstance(node, ast.Call):
        for n in range(len(node.args) - 1):
            if not any(isinstance(one, ast.Starred | ast.Constant) for one in node.args[n : n + 2]):
                swapped = [*node.args]
                swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
                yield _text(node), _set("args", swapped)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        return


def _calls(node: ast.AST) -> Iterator[Change]:
    """A keyword forgotten, a function that is another, one that is not called at all."""
    if isinstance(node, ast.Call):
        for n in range(len(node.keywords)):
            kept = [*node.keywords[:n], *node.keywords[n + 1 :]]
            yield _text(node), _set("keywords", kept)
    if isinstance(node, ast.Attribute) and node.attr in OTHERS:
        yield _text(node), _set("attr", OTHERS[node.attr])
    if isinstance(node, ast.Name) and node.id in OTHERS:
        yield _text(node), _set("id", OTHERS[node.id])
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.Call) and _called(child) in UNWRAPPED:
            yield _text(node), _unwrap(field)
        elif isinstance(child, ast.Attribute) and child.attr in UNWRAPPED and field != "func":
            yield _text(node), _become(field, "value")


def _unwrap(field: str) -> Callable[[ast.AST], str]:
    def change(place: ast.AST) -> str:
        call = getattr(place, field)
        is_method = isinstance(call.func, ast.Attribute) and not (
            isinstance(call.func.value, ast.Name)
            and call.func.value.id in ("np", "torch", "math", "F")
        )
        if is_method:
            setattr(place, field, call.func.value)
        elif call.args:
            setattr(place, field, call.args[0])
        return _text(place)

    return change


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _epsilon(node: ast.AST) -> Iterator[Change]:
    """``sqrt(v + eps)`` that became ``sqrt(v) + eps``."""
    if not (isinstance(node, ast.Call) and _called(node) == "sqrt" and node.args):
        return
    inner = node.args[0]
    if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and _is_epsilon(inner.right):

        def change(place: ast.AST) -> str:
            assert isinstance(place, ast.Call)
            twin = copy.deepcopy(place)
            assert isinstance(twin.args[0], ast.BinOp)
            epsilon, twin.args[0] = twin.args[0].right, twin.args[0].left
            # A call has no place for a sum: float(x) of one is the same number or array.
            place.func = ast.parse("(lambda value: value)", mode="eval").body
            place.args, place.keywords = [ast.BinOp(twin, ast.Add(), epsilon)], []
            return _text(place.args[0])

        yield _text(node), change


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
            yield _text(statement), _without(field, n)
    if isinstance(node, ast.If | ast.IfExp):
        yield f"if {_text(node.test)}", _negated
    if isinstance(node, ast.FunctionDef):
        for n, default in enumerate(node.args.defaults):
            if isinstance(default, ast.Constant) and default.value is None:
                continue
            name = node.args.args[len(node.args.args) - len(node.args.defaults) + n].arg
            yield f"{name}={_text(default)}", _without_default(n, name)


def _without(field: str, n: int) -> Callable[[ast.AST], str]:
    def change(place: ast.AST) -> str:
        getattr(place, field)[n] = ast.Pass()
        return ""

    return change


def _without_default(n: int, name: str) -> Callable[[ast.AST], str]:
    def change(place: ast.AST) -> str:
        assert isinstance(place, ast.FunctionDef)
        del place.args.defaults[: n + 1]
        return f"{name} without a default"

    return change


def _negated(place: ast.AST) -> str:
    assert isinstance(place, ast.If | ast.IfExp)
    place.test = ast.UnaryOp(ast.Not(), place.test)
    return f"if {_text(place.test)}"


RULES = (_operators, _terms, _constants, _bounds, _axes, _calls, _epsilon, _statements)
