"""What a submission's code has no business with, for a teacher to look at.

None of it wins a point, and none of it costs one: the tests run in a process of their own. It is
noted because a person may want to ask what it was for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# What a test is made of; a student's code uses it and does not replace it.
TOOLS = frozenset(("check", "np", "numpy", "torch", "builtins", "math", "sys", "nn", "F"))
REACHES = {
    "get_ipython": "reaches for the notebook's own machinery",
    "sys.settrace": "watches every line that runs",
    "sys.setprofile": "watches every call",
    "sys.addaudithook": "watches what Python does",
    "sys._getframe": "looks at who calls it",
    "sys._current_frames": "looks at what runs in other threads",
    "inspect.stack": "looks at who calls it",
    "inspect.currentframe": "looks at who calls it",
    "gc.get_objects": "looks through all objects in memory",
    "gc.get_referrers": "looks through all objects in memory",
    "os._exit": "ends its own process",
    "os.kill": "sends signals",
    "os.fork": "makes processes",
    "atexit.register": "does something when the kernel ends",
}
IMPORTS = {
    "ctypes": "reaches past Python",
    "grader.answer": "reaches for the grader",
    "grader.judge": "reaches for the grader",
    "ptrace": "reaches into other processes",
}
ALWAYS_TRUE = ("__eq__", "__ne__", "__bool__", "__instancecheck__", "__subclasscheck__")


def found(source: str) -> list[str]:
    """Return what the code `source` does that no exercise asks for, one line each."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = {(getattr(node, "lineno", 0), text) for node in ast.walk(tree) for text in _looks(node)}
    return [f"line {line}: {text}" for line, text in sorted(lines)]


def _looks(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        single = isinstance(node, ast.AugAssign | ast.AnnAssign)
        for target in [node.target] if single else node.targets:  # type: ignore[union-attr]
            if isinstance(target, ast.Attribute) and _root(target) in TOOLS:
                yield f"replaces {ast.unparse(target)}"
            if isinstance(target, ast.Subscript) and "sys.modules" in ast.unparse(target):
                yield "replaces a module"
            if isinstance(target, ast.Subscript) and ast.unparse(target.value) == "globals()":
                yield "binds names by their text"
            if isinstance(target, ast.Attribute | ast.Name) and _last(target) == "__class__":
                yield "claims to be of another class"
    elif isinstance(node, ast.Attribute | ast.Name):
        text = ast.unparse(node)
        if text in REACHES and isinstance(node.ctx, ast.Load):
            yield f"{text}: {REACHES[text]}"
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in IMPORTS:
                yield f"imports {alias.name}: {IMPORTS[alias.name]}"
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if (node.module or "").startswith("IPython.core"):
                yield f"imports {node.module}: reaches for the notebook's own machinery"
            for name in (node.module or "", f"{node.module}.{alias.name}"):
                if name in IMPORTS:
                    yield f"imports {name}: {IMPORTS[name]}"
                if name in REACHES:
                    yield f"{name}: {REACHES[name]}"
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and node.args:
        if _root(node.args[0]) in TOOLS:
            yield f"replaces something of {ast.unparse(node.args[0])}"
    elif isinstance(node, ast.FunctionDef) and node.name in ALWAYS_TRUE:
        last = node.body[-1]
        value = last.value if isinstance(last, ast.Return) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, bool):
            yield f"an object whose {node.name} says {value.value}"
    elif isinstance(node, ast.FunctionDef) and node.name in (
        "__array_function__",
        "__array_ufunc__",
    ):
        yield f"an object that answers in NumPy's place ({node.name})"


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id
