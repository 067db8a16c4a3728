"""Which of the course's own cells a mark can depend on.

Most of a lesson's cells show something: they draw pictures of what the student's functions do. No
test looks at them. `mark` finds those that nothing graded stands on, so that a grader need not run
them. It errs on the side of running: a cell is left out only if it is the course's own text, and
nothing that runs later uses a name that it binds or could have been changed by it.

Where a generator of random numbers stands is nothing that a mark may depend on: grading with
several seeds finds those that do. So a cell need not run because it calls torch.manual_seed.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeGuard

from nbformat import NotebookNode

# Modules with a state of their own that a cell could leave changed for those after it.
STATEFUL = {"os", "random", "sys", "warnings", "builtins", "logging", "gc", "importlib"}
# Asked for functions, and not changed by it.
MODULES = {"np", "plt", "torch", "nn", "F", "math", "check"}
COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}  # symtable's names
BUILTINS = set(dir(builtins))
# What reads, or binds, names that are written nowhere: nothing can be left out where it is used.
BLIND = {"globals", "locals", "vars", "exec", "eval", "__import__", "get_ipython", "__main__"}
BLIND |= {"__globals__", "f_globals"}
# What can change what is not its own in other ways.
REFLECTIVE = {"compile", "open", "input"}
# They look at what they are given, and at no more.
READERS = {"abs", "all", "any", "dict", "enumerate", "float", "int", "isinstance", "len", "list"}
READERS |= {"max", "min", "print", "range", "repr", "round", "set", "sorted", "str", "sum", "tuple"}
READERS |= {"type", "zip"}
READING = {"copy", "count", "get", "index", "items", "keys", "values"}  # methods
STORES = {"setattr", "delattr"}  # as ``x.name = value`` does


@dataclass
class Effects:
    """What one cell does to the names of a notebook.

    Attributes:
        uses: names that it reads before it has bound them itself.
        later: names that its functions read, whenever they are called.
        binds: names that it may bind.
        surely: of these, those that it binds whatever happens.
        touches: names of others whose objects it may change: stored into, or given to a call.
        handed: names that are given to a call as they are; a function or class stays what it is.
        asked: names whose methods are called; a module stays what it is.
        defined: names that it binds by def, class or import, or to a number or text, and in no
            other way: no call can change them.
        modules: of these, those that it binds by ``import``.
        opaque: it may do anything, and always runs.
        blind: it may read any name.
    """

    uses: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    surely: set[str] = field(default_factory=set)
    touches: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    opaque: bool = False
    blind: bool = False


def mark(cells: list[NotebookNode], own: set[str]) -> set[int]:
    """Return the indices of the code cells that must run.

    Args:
        cells: of the notebook, in order.
        own: ids of the cells that are the course's own text and carry no mark; all others run in
            any case.
    """
    found = {n: effects(cell.source) for n, cell in enumerate(cells) if cell.cell_type == "code"}
    must = {n for n, does in found.items() if cells[n].get("id") not in own or does.opaque}
    binds = {name for does in found.values() for name in does.binds}
    inert = binds - {name for does in found.values() for name in does.binds - does.defined}
    modules = binds - {name for does in found.values() for name in does.binds - does.modules}
    touches = {
        n: does.touches | (does.handed - inert) | (does.asked - modules)
        for n, does in found.items()
    }
    if any(found[n].blind for n in must):
        return set(found)
    while True:
        # A function may be called at any time from its making on: every binding of what it reads
        # counts, before it and after it.
        later = {name for n in must for name in found[n].later}
        more = set(must)
        wanted = set(later)
        for n in reversed(found):
            does = found[n]
            if n in more or (does.binds | touches[n]) & wanted:
                more.add(n)
                wanted = (wanted - does.surely) | does.uses | later
        if more == must:
            return must
        must = more


@lru_cache(maxsize=2000)  # a class has one course: its cells are looked at once
def effects(source: str) -> Effects:
    """Return what the code `source` does; where that cannot be read, it may do anything.

    The result is shared: it must not be changed.
    """
    does = Effects()
    try:
        tree = ast.parse(source)
        table = symtable.symtable(source, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        does.opaque = does.blind = True  # a magic, or not Python
        return does
    for statement in tree.body:
        bound = does.surely
        does.uses |= _read(statement) - bound
        changed, handed, asked = (names - bound for names in _touched(statement))
        does.touches |= changed
        does.handed |= handed
        does.asked |= asked
        does.surely = bound | _surely(statement)
    does.binds = {name.get_name() for name in table.get_symbols() if name.is_assigned()}
    does.binds |= {name.get_name() for name in table.get_symbols() if name.is_imported()}
    for inner in _tables(table):
        for name in inner.get_symbols():
            if name.is_global():
                (does.binds if name.is_assigned() else does.later).add(name.get_name())
    does.defined, does.modules = _defined(tree)
    looks = {id(part) for node in ast.walk(tree) for part in _looked_at(node)}
    # model.eval() is torch's; whatever reads names has something to read.
    quiet = {id(node.func) for node in ast.walk(tree) if _is_torch_eval(node)}
    does.blind = any(_reads_any_name(node) for node in ast.walk(tree) if id(node) not in quiet)
    does.opaque = does.blind or any(
        _may_do_anything(node) for node in ast.walk(tree) if id(node) not in looks
    )
    return does


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """All functions and classes; comprehensions of the cell itself run at once, and are none."""
    for child in table.get_children():
        if child.get_name() not in COMPREHENSIONS or table.get_type() == "function":
            yield child
        yield from _tables(child)


def _parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement that run with it: without the bodies of functions."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults]
            waiting += [default for default in node.args.kw_defaults if default]
        elif isinstance(node, ast.Lambda):
            waiting += node.args.defaults
        else:
            waiting += ast.iter_child_nodes(node)


def _read(statement: ast.stmt) -> set[str]:
    """Names that the statement reads, but for those of its own loops."""
    read: set[str] = set()
    looped: set[str] = set()
    for node in _parts(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            read.add(node.id)
        elif isinstance(node, ast.AugAssign):
            read |= _names(node.target)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            looped |= _names(node.target)
    return read - looped


def _surely(statement: ast.stmt) -> set[str]:
    """Names that the statement binds whatever happens, if it does not fail."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    elif isinstance(statement, ast.With):
        targets = [item.optional_vars for item in statement.items if item.optional_vars]
    return {
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _touched(node: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """Names whose objects the code may change, that it gives to a call, whose methods it calls."""
    changed: set[str] = set()
    handed: set[str] = set()
    asked: set[str] = set()
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        changed |= _names(node.value)
    elif isinstance(node, ast.Call):
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Name) and node.func.id in STORES and node.args:
            changed |= _names(node.args[0])
        if isinstance(node.func, ast.Name) and node.func.id in READERS:
            given = []
        elif isinstance(node.func, ast.Attribute) and node.func.attr not in READING:
            given.append(node.func)
        for part in given:
            parts, methods = _taken_apart(part)
            changed |= parts
            asked |= methods
            handed |= _names(part) - parts - methods
    for child in ast.iter_child_nodes(node):
        for mine, inner in zip((changed, handed, asked), _touched(child), strict=True):
            mine |= inner
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        local = _locals(node)
        changed, handed, asked = changed - local, handed - local, asked - local
    known = MODULES | BUILTINS
    return changed - known, handed - known, asked - known


def _taken_apart(expression: ast.expr) -> tuple[set[str], set[str]]:
    """Names of whose objects a part is taken, ``x.grad``, ``x[0]``; and a method, ``x.ravel()``."""
    functions = {id(part.func) for part in ast.walk(expression) if isinstance(part, ast.Call)}
    parts: set[str] = set()
    methods: set[str] = set()
    for part in ast.walk(expression):
        if isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.value, ast.Name):
            is_method = id(part) in functions or part is expression
            (methods if is_method else parts).add(part.value.id)
    return parts, methods


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Names of a function's own, which nobody outside of it can mean."""
    given = function.args
    own = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    own |= {one.arg for one in (given.vararg, given.kwarg) if one is not None}
    elsewhere: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
    return own - elsewhere


def _defined(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names bound by def, class, import or to a constant alone; of these, those by ``import``."""
    made: set[str] = set()
    modules: set[str] = set()
    stored: set[str] = set()
    constant: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            constant |= {id(target) for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            made |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            (made if id(node) in constant else stored).add(node.id)
    return (made | modules) - stored, modules - made - stored


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """``os.environ`` where it is only looked at: ``"X" in os.environ``, ``os.environ.get("X")``."""
    if isinstance(node, ast.Compare):
        yield from (one for one in node.comparators if ast.unparse(one) == "os.environ")
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
        yield from ast.walk(node.func)


def _is_torch_eval(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "eval"
        and not (node.args or node.keywords)
    )


def _reads_any_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in BLIND
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any(alias.name in BLIND for alias in node.names)
    return isinstance(node, ast.Name) and node.id in BLIND


def _may_do_anything(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in REFLECTIVE
    if isinstance(node, ast.ImportFrom):
        return any(alias.name == "*" for alias in node.names)
    return isinstance(node, ast.Attribute) and _is_state(ast.unparse(node).split("."))


def _is_state(path: list[str]) -> bool:
    """Whether an attribute is the way to a module's own state: random.seed, plt.rcParams, ..."""
    if any("(" in part for part in path):
        return False  # of what a call returned: torch.Generator().manual_seed
    if path[0] in STATEFUL:
        return True
    if path[:2] in (["np", "random"], ["numpy", "random"]):
        return len(path) == 3 and path[2] not in {"default_rng", "seed"}
    if path[0] in {"torch", "plt", "matplotlib", "mpl", "np"}:
        last = path[-1]
        return last in {"rc", "rcParams", "style", "use", "seterr"} or (
            path[0] == "torch" and last.startswith("set_") and last != "set_num_threads"
        )
    return False


def _names(node: ast.AST) -> set[str]:
    """Names in an expression, but for functions that it calls."""
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in called
    }
