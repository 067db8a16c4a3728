"""The student's side of a test: answers a judge's questions in the student's own process.

A test cell runs in another kernel (`grader.judge`). For as long as it runs, the student's kernel
executes `serve`: it calls the student's functions with the values that come, and sends back what
they return. Nothing of the test is ever here but the arguments of a call.

This module is loaded beside a student's code, which can change whatever it likes of it. That wins
nothing: the judge believes values, not this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import linecache
import operator
import socket
import threading
import traceback
from collections import namedtuple
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from grader.answer import dice
from grader.answer.wire import Peer, WireError, library_name, lookup

MAX_MESSAGE = 10_000  # characters of an exception's text
MAX_TRACEBACK = 20_000
MAX_BYTES = 256_000_000  # of one message; whoever reads it needs three times as much

OPERATORS = frozenset(
    [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "matmul",
        "neg",
        "pos",
        "abs",
        "invert",
        "and_",
        "or_",
        "xor",
        "lshift",
        "rshift",
        "iadd",
        "isub",
        "imul",
        "itruediv",
        "imatmul",
    ]
)


class JudgeFunction:
    """A function of the test, called in the test's own process."""

    def __init__(self, agent: Agent, key: int, name: str) -> None:
        self._agent = agent
        self._key = key
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._agent.call_back(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


class Agent(Peer):
    """Looks up names, calls functions, and keeps the objects that the judge refers to."""

    stand_ins = (JudgeFunction,)

    def __init__(self, connection: socket.socket, namespace: Mapping[str, Any]) -> None:
        super().__init__(connection, 1, MAX_BYTES)
        self._namespace = namespace
        self._objects: dict[int, list[Any]] = {}  # key: the object, how often it was sent
        self._object_keys: dict[int, int] = {}  # id: key
        self._thread = threading.get_ident()
        self._open = False
        self._records: dict[str, Callable[..., Any]] = {}

    def work(self) -> None:
        """Answer until the test has ended.

        Raises:
            WireError: the judge has gone.
        """
        self._thread = threading.get_ident()
        self._open = True
        try:
            while True:
                try:
                    kind, body = self.receive()
                except KeyboardInterrupt:
                    continue  # meant for a student's function that runs no longer
                if kind == "end":
                    return
                if kind != "ask":
                    raise WireError(f"{kind} in the place of a question")
                box = [body]
                del body
                self.answer(box.pop())
        finally:
            self._open = False

    def serve(self, body: Any) -> Any:
        """Do what is asked."""
        question, forgotten, *operands = body
        del body
        for key, count in forgotten:
            self._forget(key, count)
        return getattr(self, f"_do_{question}")(*operands)

    # ---- questions

    def _do_seed(self, number: int) -> None:
        dice.seed(number)

    def _do_names(self, names: list[str]) -> Any:
        return tuple((n, self._namespace[n]) for n in names if n in self._namespace)

    def _do_call(self, function: Any, args: tuple[Any, ...], kwargs: tuple[Any, ...]) -> Any:
        return function(*args, **dict(kwargs))

    def _do_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _do_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _do_delete(self, target: Any, name: str) -> None:
        delattr(target, name)

    def _do_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _do_set_item(self, target: Any, key: Any, value: Any) -> None:
        target[key] = value

    def _do_delete_item(self, target: Any, key: Any) -> None:
        del target[key]

    def _do_len(self, target: Any) -> int:
        return len(target)

    def _do_iter(self, target: Any) -> Any:
        return _Steps(iter(target))

    def _do_next(self, steps: Any) -> tuple[Any, ...]:
        return (*steps.step(),)

    def _do_enter(self, target: Any) -> Any:
        return type(target).__enter__(target)

    def _do_exit(self, target: Any, kind: Any, message: str) -> bool:
        error = None if kind is None else kind(message)
        return bool(type(target).__exit__(target, kind, error, None))

    def _do_operator(self, name: str, *operands: Any) -> Any:
        if name not in OPERATORS:
            raise WireError(f"no operator {name}")
        return getattr(operator, name)(*operands)

    def _do_define(self, name: str, source: str, prelude: str) -> Any:
        space = dict(self._namespace)
        filename = f"<remote {name}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        exec(compile(prelude, "<imports>", "exec"), space)
        exec(compile(source, filename, "exec"), space)
        return space[name]

    # ---- callbacks

    def call_back(
        self, function: JudgeFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Ask the judge to call a function of its own."""
        if not self._open or threading.get_ident() != self._thread:
            raise RuntimeError(
                f"{function.__name__} belongs to a test, and can be called only by it"
            )
        return self.ask("call", function, args, tuple(kwargs.items()))

    def raised(self, body: Any) -> BaseException:
        """Return the judge's exception, as one of the same name."""
        types, own, message, _ = body
        for name in types:
            with contextlib.suppress(WireError):
                kind = lookup(name)
                if isinstance(kind, type) and issubclass(kind, Exception):
                    return kind(message)
        return RuntimeError(f"{own}: {message}")

    # ---- references

    def refer(self, value: Any, encode: Callable[[Any], Any]) -> dict[str, Any]:
        """Keep `value`, and describe it."""
        if type(value) is JudgeFunction:
            return {"t": "yours", "i": value._key}
        key = self._object_keys.get(id(value))
        if key is None:
            key = self.new_key()
            self._objects[key] = [value, 0]
            self._object_keys[id(value)] = key
        self._objects[key][1] += 1
        kind = type(value)
        own = kind is FunctionType or issubclass(kind, type)
        said = kind.__name__
        if issubclass(kind, np.ndarray):  # one that cannot cross: of objects, or of a subclass
            said = f"{said} with dtype {np.ndarray.dtype.__get__(value)}"
        return {
            "t": "ref",
            "i": key,
            "is": str(value.__name__ if own else said)[:200],
            "kind": str(said)[:200],
            "own": own,
            "call": callable(value),
            "types": [name for one in kind.__mro__ if (name := library_name(one))],
        }

    def resolve(self, tag: dict[str, Any], decode: Callable[[Any], Any]) -> Any:
        """Return what the judge refers to."""
        if tag["t"] == "yours":
            return self._objects[tag["i"]][0]
        if tag["t"] == "function":
            return JudgeFunction(self, tag["i"], tag["is"])
        if tag["t"] == "record":
            return self._record(
                tag["kind"], tag["is"], tag["fields"], [decode(v) for v in tag["v"]]
            )
        raise WireError("unknown reference")

    def _record(self, kind: str, name: str, fields: list[str], values: list[Any]) -> Any:
        mark = f"{kind} {name} {fields}"
        if mark not in self._records:
            if kind == "namedtuple":
                self._records[mark] = namedtuple(name, fields)
            else:
                self._records[mark] = dataclasses.make_dataclass(name, fields)
        return self._records[mark](*values)

    def _forget(self, key: int, count: int) -> None:
        kept = self._objects.get(key)
        if kept is not None:
            kept[1] -= count
            if kept[1] <= 0:
                del self._objects[key]
                self._object_keys.pop(id(kept[0]), None)

    # ---- exceptions

    def describe(self, error: BaseException) -> Any:
        """Return name, text and traceback of what the student's code raised."""
        try:
            message = str(error)
        except BaseException:
            message = ""
        types = tuple(name for one in type(error).__mro__ if (name := library_name(one)))
        text = readable(told(error)[-MAX_TRACEBACK:])
        return (types, type(error).__name__[:200], readable(message[:MAX_MESSAGE]), text)


class _Steps:
    """An iterator, one step at a time."""

    def __init__(self, steps: Any) -> None:
        self._steps = steps

    def step(self) -> tuple[Any, ...]:
        try:
            return (next(self._steps),)
        except StopIteration:
            return ()


def readable(text: str) -> str:
    """Return `text` as it can be stored anywhere: without half characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def told(error: BaseException) -> str:
    """Return the traceback of `error` as text, less the frames of this package."""
    lines = []
    with contextlib.suppress(Exception):
        for frame in traceback.extract_tb(error.__traceback__)[-30:]:
            if "grader/answer" in frame.filename.replace("\\", "/"):
                continue
            lines.append(f"  {_place(frame.filename)}, line {frame.lineno}, in {frame.name}")
            if frame.line:
                lines.append(f"    {frame.line.strip()[:300]}")
    return "\n".join(lines)


def _place(filename: str) -> str:
    """Return what a student calls the file: Cell In[3], or its name."""
    shell = _shell()
    if shell is not None:
        with contextlib.suppress(Exception):
            found = shell.compile.format_code_name(filename)
            if found:
                return " ".join(found)
    return f"File {filename}"


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()


_agents: dict[int, Agent] = {}


def serve(descriptor: int) -> None:
    """Answer the judge at the other end of the socket `descriptor` for one test cell."""
    if descriptor not in _agents:
        connection = socket.socket(fileno=descriptor)
        _agents[descriptor] = Agent(connection, _shell().user_ns)
    _agents[descriptor].work()
