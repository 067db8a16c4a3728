"""Which names a piece of Python code binds, uses and imports at its top level."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator
from typing import TypeGuard

_BUILTINS = frozenset(dir(builtins))


def bound(source: str) -> set[str]:
    """Return the global names that remain bound when `source` has run (``del`` unbinds)."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Delete):
            names -= {n.id for target in node.targets for n in ast.walk(target) if _is_name(n)}
        else:
            names |= _binds(symtable.symtable(ast.unparse(node), "<cell>", "exec"))
    return names


def used(source: str) -> set[str]:
    """Return the global names that `source` needs from elsewhere; builtins are left out.

    ``n = n + 1`` needs ``n`` although it binds it; a function's body may use what is bound below.
    """
    table = symtable.symtable(source, "<cell>", "exec")
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for child in _functions(table):
        names |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
    names -= _binds(table)
    have: set[str] = set()
    for node in ast.parse(source).body:
        here = symtable.symtable(ast.unparse(node), "<cell>", "exec")
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            reads = {s.get_name() for s in here.get_symbols() if s.is_referenced()}
            if isinstance(node, ast.AugAssign) and _is_name(node.target):
                reads.add(node.target.id)
            names |= reads - have
        have |= _binds(here)
    return names - _BUILTINS


def used_at_once(source: str) -> set[str]:
    """Return the global names that must exist already when `source` runs, not when it is called."""
    table = symtable.symtable(source, "<cell>", "exec")
    classes = [child for child in _functions(table) if child.get_type() == "class"]
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for child in classes:
        names |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
    return names - _BUILTINS


def imports(source: str) -> dict[str, str]:
    """Return {bound name: import statement} for the top-level imports of `source`."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                one = (
                    ast.Import([alias])
                    if isinstance(node, ast.Import)
                    else ast.ImportFrom(node.module, [alias], node.level)
                )
                found[name] = ast.unparse(one)
    return found


def _binds(table: symtable.SymbolTable) -> set[str]:
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    for child in _functions(table):
        names |= {
            s.get_name() for s in child.get_symbols() if s.is_declared_global() and s.is_assigned()
        }
    return names


def _is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _functions(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _functions(child)
