"""The judge's side of a test: what stands there for a student's functions and objects.

A `Reference` behaves like the object: calls, attributes, items, iteration, len, operators, ``with``
are asked of the student's kernel, and values come back. What it never does is to speak for itself:
it equals nothing but itself, it has no truth value, it is no array, and its class is what the
type in the student's process really inherits from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from grader.answer import MAX_BYTES, MAX_MESSAGE, MAX_TRACEBACK, OPERATORS, readable
from grader.answer.wire import Peer, WireError, lookup

# Attributes with two underscores that mean the object; all others belong to Python's machinery,
# which asks for them by itself.
ASKED = frozenset(("__name__", "__doc__", "__dict__", "__defaults__", "__len__"))


class Judge(Peer):
    """Asks the student's kernel.

    Attributes:
        notes: what was tried, for the teacher; not part of any score.
        listener: told ((question, *operands), answer or exception) of every outermost question.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, 0, MAX_BYTES)
        self.notes: list[str] = []
        self._references: weakref.WeakValueDictionary[int, Reference] = (
            weakref.WeakValueDictionary()
        )
        self._forgotten: list[tuple[int, int]] = []
        self._functions: dict[int, Callable[..., Any]] = {}
        self._function_keys: dict[int, int] = {}
        self.listener: Callable[[tuple[Any, ...], Any], None] | None = None

    def question(self, name: str, *operands: Any) -> Any:
        """Ask the student's kernel, and return its answer."""
        forgotten, self._forgotten = tuple(self._forgotten), []
        try:
            answer = self.ask(name, forgotten, *operands)
        except AnswerError as error:
            if self.listener is not None and self.depth == 0:
                self.listener((name, *operands), error)
            raise
        if self.listener is not None and self.depth == 0:
            self.listener((name, *operands), answer)
        return answer

    def end(self) -> None:
        """Say that the test has ended; its functions can be called no longer."""
        self._functions.clear()
        self._function_keys.clear()
        self.send("end", None)

    # ---- what crosses

    def refer(self, value: Any, encode: Callable[[Any], Any]) -> dict[str, Any]:
        """Name a reference of the student's, or lend one of the test's functions."""
        if is_reference(value):
            return {"t": "yours", "i": _about(value)["i"]}
        fields = _fields(value)
        if fields is not None:
            kind, names = fields
            parts = [encode(getattr(value, name)) for name in names]
            own = type(value).__name__
            return {"t": "record", "kind": kind, "is": own, "fields": names, "v": parts}
        if callable(value):
            key = self._function_keys.get(id(value))
            if key is None:
                key = self.new_key()
                self._functions[key] = value
                self._function_keys[id(value)] = key
            name = getattr(value, "__name__", type(value).__name__)
            return {"t": "function", "i": key, "is": str(name)}
        raise TypeError(
            f"a test cannot hand a {type(value).__name__} to a student's code: only plain values, "
            "arrays, tensors, functions, named tuples and dataclasses. Make it in a @remote helper."
        )

    def resolve(self, tag: dict[str, Any], decode: Callable[[Any], Any]) -> Any:
        """Return the reference that the student's kernel has described."""
        key = tag["i"]
        if type(key) is not int:
            raise WireError("a reference without a key")
        if tag["t"] == "yours":
            if key not in self._functions:
                raise WireError("a function that the test has not lent")
            return self._functions[key]
        if tag["t"] != "ref":
            raise WireError("unknown reference")
        found = self._references.get(key)
        if found is None:
            about = {
                "i": key,
                "is": str(tag["is"])[:200],
                "own": tag["own"] is True,
                "type": _known([str(name) for name in tag["types"][:50]]),
                "count": 0,
            }
            found = _class(str(tag["kind"])[:200], tag["call"] is True)(self, about)
            weakref.finalize(found, self._release, about).atexit = False
            self._references[key] = found
        _about(found)["count"] += 1
        return found

    def _release(self, about: dict[str, Any]) -> None:
        self._forgotten.append((about["i"], about["count"]))

    def named(self, name: str) -> Any:
        """Return a class that a student's code has answered with.

        A function of a library is called in the student's process only: here it could be ``exec``.
        """
        found = lookup(name)
        if isinstance(found, type) and _is_harmless(found):
            return found
        raise WireError(f"{name[:100]} was not expected as an answer")

    def serve(self, body: Any) -> Any:
        """Call a function of the test, for the student's code."""
        question, function, args, kwargs = body
        if question != "call" or id(function) not in self._function_keys:
            raise WireError("the student's side may ask for calls of lent functions only")
        return function(*args, **dict(kwargs))

    def describe(self, error: BaseException) -> Any:
        """Return what a student's code may know of an exception of the test's function."""
        types = tuple(
            f"builtins:{one.__name__}"
            for one in type(error).__mro__
            if one.__module__ == "builtins"
        )
        return (types, type(error).__name__, str(error)[:1000], "")

    def raised(self, body: Any) -> BaseException:
        """Return an exception of the type that the student's code raised."""
        types, name, message, text = body
        base: type[Exception] = Exception
        for one in types:
            with contextlib.suppress(WireError):
                found = lookup(str(one))
                if isinstance(found, type) and issubclass(found, Exception):
                    base = found
                    break
        name, message, text = (readable(str(part)) for part in (name, message, text))
        return answer_error(base, name[:200], message[:MAX_MESSAGE], text[:MAX_TRACEBACK])


# ---- exceptions -----------------------------------------------------------------------------


class AnswerError(Exception):
    """The student's code raised; each is also of the type that it raised.

    Attributes:
        student_traceback: where, as text.
    """

    student_message = ""
    student_traceback = ""

    def __init__(self, *args: Any) -> None:
        """Do nothing: the constructors of some types want what we do not have."""

    def __str__(self) -> str:
        return self.student_message


def answer_error(base: type[Exception], name: str, message: str, traceback: str) -> AnswerError:
    """Return an exception that is a `base` and carries what the student's code said."""
    # `base` first: some of them are made in a way of their own, and look it up there.
    bases = (AnswerError,) if base is Exception else (base, AnswerError)
    own = {"__init__": AnswerError.__init__, "__str__": AnswerError.__str__}
    made: Any = type(name if name.isidentifier() else base.__name__, bases, own)
    error: AnswerError = made.__new__(made)
    error.args = (message,)
    error.student_message, error.student_traceback = message, traceback
    return error


# ---- references -----------------------------------------------------------------------------


class Reference:
    """An object in the student's process; see the module."""

    __slots__ = ("__weakref__", "_about_", "_judge_")
    __array_ufunc__ = None  # NumPy's operators leave it to ours

    def __init__(self, judge: Judge, about: dict[str, Any]) -> None:
        object.__setattr__(self, "_judge_", judge)
        object.__setattr__(self, "_about_", about)

    @property  # type: ignore[misc]  # mypy knows it as a plain attribute
    def __class__(self) -> Any:
        """The first class of a library that the object's type inherits from."""
        return _about(self)["type"] or Reference

    def __repr__(self) -> str:
        about = _about(self)
        return about["is"] if about["own"] else f"<{about['is']} object>"

    def __bool__(self) -> bool:
        raise TypeError(f"whether {self!r} is true is for the test to find out from its values")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"{self!r} is not an array")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{self!r} is in the student's process: copy it in a @remote helper")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ASKED:
            raise AttributeError(f"{self!r} has no attribute {name!r} here")
        if name.startswith(("_ipython_", "_repr_")):
            raise AttributeError(name)  # what a display asks of anything
        return _judge(self).question("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _judge(self).question("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        _judge(self).question("delete", self, name)

    def __getitem__(self, key: Any) -> Any:
        return _judge(self).question("item", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _judge(self).question("set_item", self, key, value)

    def __delitem__(self, key: Any) -> None:
        _judge(self).question("delete_item", self, key)

    def __len__(self) -> int:
        return int(_judge(self).question("len", self))

    def __iter__(self) -> Iterator[Any]:
        steps = _judge(self).question("iter", self)
        while step := _judge(self).question("next", steps):
            yield step[0]

    def __next__(self) -> Any:
        steps = _judge(self).question("iter", self)
        for item in _judge(self).question("next", steps):
            return item
        raise StopIteration

    def __enter__(self) -> Any:
        return _judge(self).question("enter", self)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        known = RuntimeError if kind is not None else None
        if kind is not None:
            known = next((one for one in kind.__mro__ if one.__module__ == "builtins"), known)
        return _judge(self).question("exit", self, known, str(error or "")) is True


class CallableReference(Reference):
    """A function, a class, or an object that can be called."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the student's process."""
        return _judge(self).question("call", self, args, tuple(kwargs.items()))


@lru_cache(maxsize=500)
def _class(name: str, is_callable: bool) -> type[Reference]:
    """Return a class of references by the name of the student's type: messages name it."""
    base = CallableReference if is_callable else Reference
    made: type[Reference] = type(name.replace("\0", ""), (base,), {"__slots__": ()})
    return made


def _operators() -> None:
    def binary(name: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: _judge(self).question("operator", name, self, other)

    def reflected(name: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: _judge(self).question("operator", name, other, self)

    def unary(name: str) -> Callable[[Any], Any]:
        return lambda self: _judge(self).question("operator", name, self)

    for name in OPERATORS:
        plain = name.rstrip("_")
        if plain in ("neg", "pos", "abs", "invert"):
            setattr(Reference, f"__{plain}__", unary(name))
            continue
        setattr(Reference, f"__{plain}__", binary(name))
        if not (plain.startswith("i") and plain[1:] in OPERATORS):
            setattr(Reference, f"__r{plain}__", reflected(name))


_operators()
Judge.stand_ins = (Reference,)


def _about(reference: Any) -> dict[str, Any]:
    about: dict[str, Any] = object.__getattribute__(reference, "_about_")
    return about


def _judge(reference: Any) -> Judge:
    judge: Judge = object.__getattribute__(reference, "_judge_")
    return judge


def is_reference(value: Any) -> bool:
    """Whether `value` stands for an object of the student's."""
    return issubclass(type(value), Reference)


# ---- what is known of classes ---------------------------------------------------------------


def _known(names: list[str]) -> type | None:
    """Return the first class of a library among a type's ancestors, `object` left out."""
    for name in names:
        with contextlib.suppress(WireError):
            found = lookup(name)
            if isinstance(found, type) and found is not object:
                return found
    return None


def _is_harmless(found: type) -> bool:
    """Whether a test may hold, and even call, the class `found` on a student's word."""
    plain = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object)
    if found in (*plain, type(None)) or issubclass(found, BaseException | np.generic):
        return True
    return found is np.ndarray or found.__module__.startswith(("torch.nn.modules.", "torch.optim."))


def _fields(value: Any) -> tuple[str, list[str]] | None:
    """Return ("namedtuple" or "dataclass", names of the fields) for a record, else None."""
    names = getattr(value, "_fields", None) if isinstance(value, tuple) else None
    if isinstance(names, tuple):
        return "namedtuple", list(names)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "dataclass", [field.name for field in dataclasses.fields(value)]
    return None
