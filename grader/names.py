"""Which names a piece of Python code binds, uses and imports at its top level."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

_BUILTINS = frozenset(dir(builtins))


def bound(source: str) -> set[str]:
    """Return the global names that remain bound when `source` has run (``del`` unbinds)."""
    tree = ast.parse(source)
    table = symtable.symtable(source, "<cell>", "exec")
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    for child in _functions(table):
        names |= {
            s.get_name() for s in child.get_symbols() if s.is_declared_global() and s.is_assigned()
        }
    for node in tree.body:
        if isinstance(node, ast.Delete):
            names -= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def used(source: str) -> set[str]:
    """Return the global names that `source` needs from elsewhere; builtins are left out."""
    table = symtable.symtable(source, "<cell>", "exec")
    own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for child in _functions(table):
        names |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
    return names - own - _BUILTINS


def imported(source: str) -> set[str]:
    """Return the names that top-level imports of `source` bind."""
    return set(imports(source))


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


def _functions(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _functions(child)
