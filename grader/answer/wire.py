"""Objects over a socket: how a test and a student's code share values without sharing a process.

Two peers take turns. One asks (call this, fetch that), the other answers; whoever is waiting for
an answer can be asked in the meantime, so that callbacks nest.

What crosses **by value**: None, bool, int, float, complex, str, bytes, tuple, slice, range, NumPy
scalars and dtypes, torch dtypes, devices and sizes; list, dict, set, bytearray, arrays, tensors and
random generators. These last are linked while both sides hold them: the same object
arrives as the same object, views keep sharing memory, and what one side changed in place is
brought to the other with the next message. A tensor of a GPU arrives on the CPU, and `came_from`
names the device. Everything else crosses as a **reference**, which each
side makes in its own way (`Peer.refer`, `Peer.resolve`).

A message is a header in JSON, with raw bytes behind it; there is nothing in it that could be code.
What comes from the other side is checked before it is believed, and bounded in size and depth.
"""

from __future__ import annotations

import json
import operator
import socket
import struct
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

MAX_HEADER = 64_000_000  # bytes
MAX_DEPTH = 60  # of containers within containers
MAX_DIGITS = 5000  # hexadecimal, of an int
FRAME = struct.Struct("!4sQ")
MAGIC = b"ask1"

SMALL = 65536  # bytes
_JSON = json.JSONEncoder(separators=(",", ":"))

CONTAINERS = (list, dict, OrderedDict, set, bytearray, deque)
KINDS = frozenset("biufcSUmM")  # of NumPy dtypes that hold no Python objects
LIBRARIES = frozenset(
    ("builtins", "collections", "functools", "math", "numpy", "operator", "torch", "_operator")
)


class WireError(Exception):
    """The other side broke the rules, or what was to be sent cannot be."""


class Gone(WireError):
    """The other side is not there any more."""


# ---- what is linked -------------------------------------------------------------------------


class _Span:
    """Bytes at an address; numpy.asarray makes an array of them that keeps `owner` alive."""

    def __init__(self, address: int, size: int, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, False),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }


@dataclass(eq=False)
class Memory:
    """Bytes that both sides have.

    Attributes:
        owner: what keeps them alive.
        now: (size,) uint8, the bytes themselves.
        sent: as they were when both sides agreed.
        writable: from the other side.
        held: number of references to `owner` that are ours.
        after: called when they were changed from the other side.
    """

    owner: Any
    now: np.ndarray
    sent: np.ndarray
    writable: bool
    held: int
    after: Callable[[], None] | None = None

    @property
    def start(self) -> int:
        """Their address."""
        return int(self.now.__array_interface__["data"][0])

    @property
    def end(self) -> int:
        """The address behind them."""
        return self.start + self.now.size


@dataclass(eq=False)
class Linked:
    """An object that both sides have.

    Attributes:
        state: what it contains besides memory, encoded, when both sides agreed.
        memory: key of the memory that it is a view of, if it is.
    """

    value: Any
    state: Any
    memory: int | None = None


# ---- a side ---------------------------------------------------------------------------------


class Peer:
    """One side of a conversation."""

    def __init__(self, connection: socket.socket, first: int, max_bytes: int) -> None:
        """Talk over `connection`.

        Args:
            first: 0 or 1, so that the two sides never give out the same key.
            max_bytes: of one message.
        """
        self.connection = connection
        self.max_bytes = max_bytes
        self._next = first
        self._linked: dict[int, Linked] = {}
        self._memories: dict[int, Memory] = {}
        self._keys: dict[int, int] = {}  # id of a linked value: its key
        self._inbox = bytearray()
        self.depth = 0  # questions that wait for an answer

    # ---- to be made by each side

    stand_ins: tuple[type, ...] = ()  # what stands here for something of the other side's

    def refer(self, value: Any, encode: Callable[[Any], Any]) -> dict[str, Any]:
        """Return what is sent in the place of `value`, which cannot cross; `encode` its parts."""
        raise WireError(f"a {type(value).__name__} cannot be handed over")

    def resolve(self, tag: dict[str, Any], decode: Callable[[Any], Any]) -> Any:
        """Return what the other side meant by `tag`, which its `refer` made."""
        raise WireError("unknown reference")

    def serve(self, body: Any) -> Any:
        """Answer the question `body`."""
        raise WireError("no questions here")

    def named(self, name: str) -> Any:
        """Return what the other side calls `name`, of a library."""
        return lookup(name)

    def describe(self, error: BaseException) -> Any:
        """Return what the other side may know of `error`, as plain values."""
        return ((), type(error).__name__, "", "")

    def raised(self, body: Any) -> BaseException:
        """Return the exception that the other side has described."""
        raise WireError("no exceptions here")

    # ---- questions and answers

    def ask(self, *body: Any) -> Any:
        """Ask, and return the answer.

        Raises:
            WireError: the other side has gone, or broke the rules.
        """
        self.depth += 1
        try:
            self.send("ask", body)
            del body  # what only the table holds is not linked any longer
            while True:
                kind, answer = self.receive()
                if kind == "answer":
                    return answer
                if kind == "raised":
                    raise self.raised(answer)
                if kind != "ask":
                    raise WireError(f"{kind} in the place of an answer")
                self.answer(answer)
        finally:
            self.depth -= 1

    def answer(self, body: Any) -> None:
        """Answer one question."""
        box = [body]
        del body
        try:
            kind, result = "answer", self.serve(box.pop())
        except WireError:
            raise
        except BaseException as error:
            kind, result = "raised", self.describe(error)
        try:
            self.send(kind, result)
        except (Gone, OSError):
            raise
        except Exception as error:  # it cannot be sent, but the other side waits
            self.send("raised", self.describe(error))

    # ---- messages

    def send(self, kind: str, body: Any) -> None:
        """Send a message, and with it all that was changed in place."""
        parcel = _Parcel(self)
        tree = parcel.encode(body)
        del body
        changes = self._changes(parcel)
        header: dict[str, Any] = {"kind": kind, "body": tree, "changes": changes}
        header["drop"] = self._drop()
        header["memories"] = parcel.memories
        header["buffers"] = [len(one) for one in parcel.buffers]
        if sum(header["buffers"]) > self.max_bytes:
            self.forget_all(parcel.new)
            raise WireError(f"more than {self.max_bytes / 1e6:g} MB at once")
        text = _JSON.encode(header).encode("ascii")
        if len(text) > MAX_HEADER:
            self.forget_all(parcel.new)
            raise WireError("too many values at once")
        try:
            small = sum(header["buffers"]) < SMALL
            # One call of the system for most messages; nothing large is copied.
            beside = b"".join(parcel.buffers) if small else b""
            self.connection.sendall(FRAME.pack(MAGIC, len(text)) + text + beside)
            for one in () if small else parcel.buffers:
                self.connection.sendall(one)
        except OSError as error:
            raise Gone(str(error)) from error

    def receive(self) -> tuple[str, Any]:
        """Wait for a message, do what it tells of changes, and return its kind and body."""
        while len(self._inbox) < FRAME.size:
            self._read()
        magic, length = FRAME.unpack_from(self._inbox)
        if magic != MAGIC or length > MAX_HEADER:
            raise WireError("this is no message")
        while len(self._inbox) < FRAME.size + length:
            self._read()
        try:
            header = json.loads(self._inbox[FRAME.size : FRAME.size + length].decode("ascii"))
            sizes = [_whole(size) for size in header["buffers"]]
            kind = str(header["kind"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise WireError("this is no header of a message") from error
        if sum(sizes) > self.max_bytes:
            raise WireError(f"a message of more than {self.max_bytes / 1e6:g} MB")
        total = FRAME.size + length + sum(sizes)
        while len(self._inbox) < total:
            self._read(total - len(self._inbox))
        buffers, place = [], FRAME.size + length
        for size in sizes:
            buffers.append(self._inbox[place : place + size])
            place += size
        del self._inbox[:total]
        try:
            return kind, self._take(header, buffers)
        except WireError:
            raise
        except Exception as error:  # whatever Python, NumPy or torch had against it
            raise WireError(f"a message that cannot be read: {error}") from error

    def _read(self, wanted: int = 65536) -> None:
        """Read more into the inbox. Interrupted, it can be called again: nothing is lost."""
        try:
            data = self.connection.recv(min(max(wanted, 65536), 16_000_000))
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("the connection was closed")
        self._inbox += data

    def _take(self, header: dict[str, Any], buffers: list[bytearray]) -> Any:
        for key, index in _pairs(header["memories"]):
            owner = buffers[_whole(index)]
            now = np.frombuffer(owner, dtype=np.uint8)
            self._add_memory(_whole(key), Memory(owner, now, now.copy(), True, 0))
            self._memories[key].held = sys.getrefcount(owner) - 2  # less `owner` and the argument
        opened = _Opened(self, buffers)
        body = opened.decode(header["body"])
        for change in header["changes"]:
            opened.apply(change)
        for key in header["drop"]:
            self._unlink(_whole(key))
        return body

    # ---- links

    def key_of(self, value: Any) -> int | None:
        """Return the key of a linked value."""
        return self._keys.get(id(value))

    def new_key(self) -> int:
        """Return a key that was never given out."""
        self._next += 2
        return self._next

    def link(self, key: int, linked: Linked) -> None:
        """Remember an object that both sides now have."""
        if key in self._linked or key in self._memories:
            raise WireError("a key was used twice")
        self._linked[key] = linked
        self._keys[id(linked.value)] = key

    def linked(self, key: Any) -> Linked:
        """Return what is linked under `key`."""
        if _whole(key) not in self._linked:
            raise WireError("a key that nobody gave out")
        return self._linked[key]

    def memory(self, key: Any) -> Memory:
        """Return the memory with the key `key`."""
        if _whole(key) not in self._memories:
            raise WireError("a memory that nobody has")
        return self._memories[key]

    def memory_at(self, start: int, end: int) -> int | None:
        """Return the key of the memory in which these addresses lie."""
        for key, memory in self._memories.items():
            if memory.start <= start and end <= memory.end:
                return key
        return None

    def _add_memory(self, key: int, memory: Memory) -> None:
        if key in self._linked or key in self._memories:
            raise WireError("a key was used twice")
        self._memories[key] = memory

    def add_memory(self, start: int, size: int, owner: Any, writable: bool) -> int:
        """Link `size` bytes from the address `start` on, and return their key."""
        key = self.new_key()
        now = np.asarray(_Span(start, size, owner))
        self._add_memory(key, Memory(owner, now, now.copy(), writable, 2))
        return key

    def _changes(self, parcel: _Parcel) -> list[Any]:
        """Return what was changed in place since both sides agreed."""
        changes: list[Any] = []
        for key, linked in list(self._linked.items()):
            if key in parcel.new:
                continue
            state = parcel.state(linked.value)
            if state != linked.state:
                changes.append([key, parcel.contents(linked.value)])
                linked.state = parcel.state(linked.value)
        for key, memory in self._memories.items():
            if key not in parcel.new and not np.array_equal(memory.now, memory.sent):
                memory.sent[:] = memory.now
                changes.append([key, parcel.buffer(memory.sent.data)])
        return changes

    def _drop(self) -> list[int]:
        """Forget what nobody on this side holds any more, and return its keys."""
        dropped: list[int] = []
        while True:
            owners = [id(memory.owner) for memory in self._memories.values()]
            used = {linked.memory for linked in self._linked.values()}
            gone = [
                key
                for key, linked in self._linked.items()
                # The table, `linked`'s own, the argument; twice more for the owner of a memory.
                if sys.getrefcount(linked.value) <= 2 + 2 * owners.count(id(linked.value))
            ]
            gone += [
                key
                for key, memory in self._memories.items()
                if key not in used and sys.getrefcount(memory.owner) <= memory.held + 1
            ]
            if not gone:
                return dropped
            self.forget_all(gone)
            dropped += gone

    def forget_all(self, keys: Iterable[int]) -> None:
        """Unlink all of `keys`."""
        for key in list(keys):
            self._unlink(key)

    def _unlink(self, key: int) -> None:
        linked = self._linked.pop(key, None)
        if linked is not None:
            self._keys.pop(id(linked.value), None)
        self._memories.pop(key, None)


# ---- encoding -------------------------------------------------------------------------------


class _Parcel:
    """What becomes one message."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.buffers: list[Any] = []
        self.memories: list[list[int]] = []
        self.new: set[int] = set()
        self._depth = 0

    def buffer(self, data: Any) -> int:
        """Add raw bytes and return their place."""
        self.buffers.append(data)
        return len(self.buffers) - 1

    def encode(self, value: Any) -> Any:
        """Return `value` as JSON will hold it."""
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is str:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**63 else {"t": "int", "v": _hex(value)}
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WireError(f"more than {MAX_DEPTH} containers within each other")
        try:
            return self._tagged(value, kind)
        finally:
            self._depth -= 1

    def _tagged(self, value: Any, kind: type) -> dict[str, Any]:
        # Of an object of a class that nobody knows, only its type may be asked.
        if issubclass(kind, self.peer.stand_ins):
            return self.peer.refer(value, self.encode)
        key = self.peer.key_of(value)
        if key is not None:
            return {"t": "old", "k": key}
        plain = _PLAIN.get(kind) or (_torch_plain() or _PLAIN).get(kind)
        if plain is not None:
            return {"t": kind.__name__, **plain(self, value)}
        if kind in CONTAINERS or _is_array(value) or _is_tensor(value) or _is_generator(value):
            return self._link(value)
        if issubclass(kind, np.generic) and value.dtype.kind in KINDS:
            return {"t": "scalar", "d": value.dtype.str, "b": self.buffer(value.tobytes())}
        if issubclass(kind, np.dtype) and value.kind in KINDS and value.names is None:
            return {"t": "dtype", "v": value.str}
        name = library_name(value)
        if name is not None:
            return {"t": "name", "v": name}
        return self.peer.refer(value, self.encode)

    def _link(self, value: Any) -> dict[str, Any]:
        key = self.peer.new_key()
        if _is_array(value):
            head, memory = self._array(value)
        elif _is_tensor(value):
            head, memory = self._tensor(value)
        else:
            head, memory = (
                {"is": "generator" if _is_generator(value) else type(value).__name__},
                None,
            )
        linked = Linked(value, None, memory)
        self.peer.link(key, linked)
        self.new.add(key)
        contents = self.contents(value)
        linked.state = self.state(value)
        return {"t": "new", "k": key, **head, "v": contents}

    def contents(self, value: Any) -> Any:
        """Return what is in a linked value, besides memory."""
        if _is_array(value):
            return None
        if _is_tensor(value):
            grad = value.grad if value.is_leaf else None
            return [bool(value.requires_grad and value.is_leaf), self.encode(grad)]
        if _is_generator(value):
            return self.encode(_generator_state(value))
        if isinstance(value, dict):
            return [[self.encode(k), self.encode(v)] for k, v in value.items()]
        if isinstance(value, bytearray):
            return self.buffer(bytes(value))
        return [self.encode(item) for item in value]

    def state(self, value: Any) -> Any:
        """Return what tells whether the contents of a linked value have changed."""
        if _is_array(value):
            return None
        if _is_tensor(value):
            return [value.requires_grad, id(value.grad) if value.is_leaf else None]
        if _is_generator(value):
            return repr(_generator_state(value))
        if isinstance(value, bytearray):
            return bytes(value)
        items = value.items() if isinstance(value, dict) else value
        pairs = items if isinstance(value, dict) else ((None, item) for item in items)
        return [(_mark(k), _mark(v)) for k, v in pairs]

    def _array(self, array: np.ndarray) -> tuple[dict[str, Any], int | None]:
        head: dict[str, Any] = {"is": "ndarray", "d": array.dtype.str, "s": list(array.shape)}
        if array.size == 0:
            return head, None
        low, high = np.lib.array_utils.byte_bounds(array)
        key = self.peer.memory_at(low, high)
        if key is None:
            start, end, owner = low, high, array
            root = array
            while isinstance(root.base, np.ndarray):
                root = root.base
            if type(root) is np.ndarray and root.size:
                first, last = np.lib.array_utils.byte_bounds(root)
                # The whole of it, so that other views of it share it; unless it is far larger.
                if first <= low and high <= last and last - first <= 4 * array.nbytes + 4096:
                    start, end, owner = first, last, root
            if end - start > 8 * array.nbytes + 4096:
                copied = array.copy()  # far apart: only the numbers cross, and no link
                start, end = np.lib.array_utils.byte_bounds(copied)
                key = self._memory(start, end, copied, False)
                return self._placed(head, copied, start, key, array.flags.writeable), key
            key = self._memory(start, end, owner, bool(array.flags.writeable))
        start = self.peer.memory(key).start
        return self._placed(head, array, start, key, bool(array.flags.writeable)), key

    @staticmethod
    def _placed(
        head: dict[str, Any], array: np.ndarray, start: int, key: int, writable: bool
    ) -> dict[str, Any]:
        offset = int(array.__array_interface__["data"][0]) - start
        return {**head, "st": list(array.strides), "m": key, "o": offset, "w": writable}

    def _tensor(self, tensor: Any) -> tuple[dict[str, Any], int | None]:
        import torch

        plain = tensor.detach()
        head: dict[str, Any] = {
            "is": "tensor",
            "d": str(tensor.dtype).removeprefix("torch."),
            "s": list(tensor.shape),
            "p": type(tensor) is torch.nn.Parameter,
            "dev": str(tensor.device),
        }
        if tensor.numel() == 0:
            return head, None
        after: Callable[[], None] | None = None
        if plain.device.type != "cpu":
            staged = plain.cpu()

            def bring(there: Any = plain, here: Any = staged) -> None:
                there.copy_(here)

            plain, after = staged, bring
        size = plain.element_size()
        offsets = [(n - 1) * step for n, step in zip(plain.shape, plain.stride(), strict=True)]
        low = plain.data_ptr()
        high = low + (sum(offsets) + 1) * size
        storage = plain.untyped_storage()
        start, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        key = self.peer.memory_at(low, high)
        if key is None:
            if end - start > 4 * plain.numel() * size + 4096:
                start, end = low, high
            if end - start > 8 * plain.numel() * size + 4096:
                plain = plain.contiguous().clone()
                start, end = plain.data_ptr(), plain.data_ptr() + plain.numel() * size
            key = self._memory(start, end, plain, True)
            self.peer.memory(key).after = after
        offset = plain.data_ptr() - self.peer.memory(key).start
        return {**head, "st": list(plain.stride()), "m": key, "o": offset}, key

    def _memory(self, start: int, end: int, owner: Any, writable: bool) -> int:
        key = self.peer.add_memory(start, end - start, owner, writable)
        self.new.add(key)
        self.memories.append([key, self.buffer(self.peer.memory(key).sent.data)])
        return key


def _mark(value: Any) -> Any:
    """Return what tells a member of a container from another, and holds nothing alive."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return (type(value), value)
    if type(value) is tuple:
        return tuple(_mark(item) for item in value)
    return id(value)


def _hex(value: int) -> str:
    text = hex(value)
    if len(text) > MAX_DIGITS:
        raise WireError("an int with too many digits")
    return text


_PLAIN: dict[type, Callable[[_Parcel, Any], dict[str, Any]]] = {
    tuple: lambda parcel, value: {"v": [parcel.encode(item) for item in value]},
    frozenset: lambda parcel, value: {"v": [parcel.encode(item) for item in value]},
    bytes: lambda parcel, value: {"v": parcel.buffer(value)},
    complex: lambda _, value: {"v": [value.real, value.imag]},
    slice: lambda parcel, value: {
        "v": [parcel.encode(part) for part in (value.start, value.stop, value.step)]
    },
    range: lambda parcel, value: {
        "v": [parcel.encode(part) for part in (value.start, value.stop, value.step)]
    },
    type(Ellipsis): lambda *_: {},
    type(NotImplemented): lambda *_: {},
}


_TORCH_PLAIN: dict[type, Callable[[_Parcel, Any], dict[str, Any]]] = {}


def _torch_plain() -> dict[type, Callable[[_Parcel, Any], dict[str, Any]]]:
    """The same for torch, once it has been imported."""
    torch = sys.modules.get("torch")
    if not _TORCH_PLAIN and torch is not None:
        _TORCH_PLAIN[torch.Size] = lambda _, value: {"v": list(value)}
        _TORCH_PLAIN[torch.device] = lambda _, value: {"v": str(value)}
        _TORCH_PLAIN[torch.dtype] = lambda _, value: {"v": str(value).removeprefix("torch.")}
    return _TORCH_PLAIN


# ---- decoding -------------------------------------------------------------------------------


class _Opened:
    """A message that has come."""

    def __init__(self, peer: Peer, buffers: list[bytearray]) -> None:
        self.peer = peer
        self.buffers = buffers
        self._depth = 0

    def decode(self, tree: Any) -> Any:
        """Return the value that `tree` stands for."""
        if tree is None or type(tree) in (bool, int, float, str):
            return tree
        if not isinstance(tree, dict):
            raise WireError("a value without a type")
        self._depth += 1
        if self._depth > MAX_DEPTH + 2:
            raise WireError("too many containers within each other")
        try:
            return self._untagged(tree)
        finally:
            self._depth -= 1

    def _untagged(self, tree: dict[str, Any]) -> Any:
        kind = tree["t"]
        if kind == "old":
            return self.peer.linked(tree["k"]).value
        if kind == "new":
            return self._new(tree)
        if kind in ("tuple", "frozenset", "slice", "range", "Size"):
            items = [self.decode(item) for item in tree["v"]]
            if kind == "Size":
                return _torch().Size([_whole(item) for item in items])
            if kind in ("slice", "range"):
                return {"slice": slice, "range": range}[kind](*items)
            return {"tuple": tuple, "frozenset": frozenset}[kind](items)
        if kind == "int":
            if len(tree["v"]) > MAX_DIGITS:
                raise WireError("an int with too many digits")
            return int(tree["v"], 16)
        if kind == "bytes":
            return bytes(self.buffers[_whole(tree["v"])])
        if kind == "complex":
            real, imaginary = tree["v"]
            return complex(float(real), float(imaginary))
        if kind == "ellipsis":
            return ...
        if kind == "NotImplementedType":
            return NotImplemented
        if kind == "scalar":
            return np.frombuffer(self.buffers[_whole(tree["b"])], dtype=_dtype(tree["d"]), count=1)[
                0
            ]
        if kind == "dtype" and isinstance(tree["v"], str):
            return (
                getattr(_torch(), _torch_dtype(tree["v"])) if _is_torch(tree) else _dtype(tree["v"])
            )
        if kind == "device":
            return _torch().device(str(tree["v"]))
        if kind == "name":
            return self.peer.named(str(tree["v"]))
        return self.peer.resolve(tree, self.decode)

    def _new(self, tree: dict[str, Any]) -> Any:
        kind, key = tree["is"], _whole(tree["k"])
        memory = None if tree.get("m") is None else _whole(tree["m"])
        value: Any
        if kind == "ndarray":
            value = self._array(tree)
        elif kind == "tensor":
            value = self._tensor(tree)
        elif kind == "generator":
            value = _generator(self.decode(tree["v"]))
        else:
            value = {one.__name__: one for one in CONTAINERS}[kind]()
        linked = Linked(value, None, memory)
        self.peer.link(key, linked)
        if kind not in ("ndarray", "generator"):
            self._fill(value, tree["v"])
        linked.state = _Parcel(self.peer).state(value)
        return value

    def _fill(self, value: Any, contents: Any) -> None:
        if _is_tensor(value):
            wants, grad = contents
            gradient = self.decode(grad)
            if value.is_leaf:
                if value.is_floating_point() or value.is_complex():
                    value.requires_grad_(bool(wants))
                value.grad = gradient
        elif _is_generator(value):
            value.bit_generator.state = _generator(self.decode(contents)).bit_generator.state
        elif isinstance(value, dict):
            pairs = [(self.decode(k), self.decode(v)) for k, v in contents]
            value.clear()
            value.update(pairs)
        elif isinstance(value, bytearray):
            value[:] = self.buffers[_whole(contents)]
        else:
            items = [self.decode(item) for item in contents]
            value.clear()
            (value.update if isinstance(value, set) else value.extend)(items)

    def apply(self, change: Any) -> None:
        """Do what the other side did to something that is linked."""
        key, contents = change
        if key in self.peer._memories:
            memory = self.peer.memory(key)
            data = np.frombuffer(self.buffers[_whole(contents)], dtype=np.uint8)
            if data.size != memory.now.size:
                raise WireError("a memory that has another size")
            if memory.writable:
                memory.now[:] = data
                if memory.after is not None:
                    memory.after()
            memory.sent[:] = memory.now
            return
        linked = self.peer.linked(key)
        if contents is not None:
            self._fill(linked.value, contents)
            linked.state = _Parcel(self.peer).state(linked.value)

    def _array(self, tree: dict[str, Any]) -> np.ndarray:
        dtype, shape = _dtype(tree["d"]), [_whole(n) for n in tree["s"]]
        if tree.get("m") is None:
            if 0 not in shape:
                raise WireError("an array without memory")
            return np.empty(shape, dtype)
        memory = self.peer.memory(tree["m"])
        strides, offset = [_step(step) for step in tree["st"]], _whole(tree["o"])
        _within(shape, strides, dtype.itemsize, offset, memory.now.size)
        source = memory.owner if isinstance(memory.owner, bytearray) else memory.now.data
        array: np.ndarray = np.ndarray(shape, dtype, source, offset, strides)
        array.flags.writeable = bool(tree["w"])
        return array

    def _tensor(self, tree: dict[str, Any]) -> Any:
        torch = _torch()
        dtype, shape = getattr(torch, _torch_dtype(tree["d"])), [_whole(n) for n in tree["s"]]
        if tree.get("m") is None:
            if 0 not in shape:
                raise WireError("a tensor without memory")
            plain = torch.empty(shape, dtype=dtype)
        else:
            memory = self.peer.memory(tree["m"])
            strides, offset = [_whole(step) for step in tree["st"]], _whole(tree["o"])
            size = dtype.itemsize
            _within(shape, [step * size for step in strides], size, offset, memory.now.size)
            if offset % size:
                raise WireError("a tensor between two elements")
            source = memory.owner if isinstance(memory.owner, bytearray) else memory.now
            raw = torch.frombuffer(source, dtype=torch.uint8)
            plain = torch.empty(0, dtype=dtype).set_(
                raw.untyped_storage(), offset // size, shape, strides
            )
        made = torch.nn.Parameter(plain, requires_grad=False) if tree["p"] else plain
        if tree["dev"] != "cpu":
            made.came_from = str(tree["dev"])[:50]  # here it is on the CPU
        return made


def crosses(value: Any) -> bool:
    """Whether `value` crosses by value: all else crosses as a reference."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str) or kind in _PLAIN or kind in CONTAINERS:
        return True
    if _is_array(value) or _is_tensor(value) or _is_generator(value):
        return True
    if issubclass(kind, np.generic | np.dtype) or kind in _torch_plain():
        return True
    return library_name(value) is not None


def _is_array(value: Any) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in KINDS and value.dtype.names is None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and not value.is_quantized
        and value.device.type != "meta"
        and not value.is_conj()
        and not value.is_neg()
    )


def _is_generator(value: Any) -> bool:
    return type(value) is np.random.Generator and type(value.bit_generator) is np.random.PCG64


def _generator_state(value: np.random.Generator) -> tuple[int, ...]:
    state = value.bit_generator.state
    inner = state["state"]
    return (inner["state"], inner["inc"], state["has_uint32"], state["uinteger"])


def _generator(state: Any) -> np.random.Generator:
    number, increment, has, last = (int(operator.index(part)) for part in state)
    made = np.random.Generator(np.random.PCG64(0))
    made.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number % 2**128, "inc": increment % 2**128},
        "has_uint32": has & 1,
        "uinteger": last % 2**32,
    }
    return made


def _torch() -> Any:
    torch = sys.modules.get("torch")
    if torch is None:
        import torch
    return torch


def _is_torch(tree: dict[str, Any]) -> bool:
    return bool(tree["v"].isidentifier())  # NumPy's begin with < > | or =


def _torch_dtype(name: Any) -> str:
    torch = _torch()
    if not isinstance(name, str) or not isinstance(getattr(torch, name, None), torch.dtype):
        raise WireError("an unknown dtype")
    if name.startswith("q"):
        raise WireError("a quantized tensor")
    return name


def _dtype(text: Any) -> np.dtype[Any]:
    if not isinstance(text, str) or len(text) > 30 or "," in text:
        raise WireError("an unknown dtype")
    dtype = np.dtype(text)
    if dtype.kind not in KINDS or dtype.names is not None or dtype.itemsize > 1_000_000:
        raise WireError("a dtype that cannot cross")
    return dtype


def _within(shape: list[int], strides: list[int], size: int, offset: int, total: int) -> None:
    """Check that every element lies within a memory of `total` bytes."""
    if len(shape) != len(strides) or len(shape) > 32:
        raise WireError("strides that do not fit the shape")
    if 0 in shape:
        return
    reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
    low = offset + sum(step for step in reach if step < 0)
    high = offset + sum(step for step in reach if step > 0) + size
    if low < 0 or high > total:
        raise WireError("an array that reaches out of its memory")


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise WireError("a number that should be whole")
    return value


def _step(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise WireError("a stride that should be whole")
    return value


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    return [(first, second) for first, second in value]


# ---- names of libraries ---------------------------------------------------------------------


def lookup(name: str) -> Any:
    """Return what a library calls ``module:qualified.name``; nothing is imported.

    Raises:
        WireError: there is no such thing.
    """
    module, _, path = name.partition(":")
    found = sys.modules.get(module)
    if module.partition(".")[0] not in LIBRARIES or found is None:
        raise WireError(f"{name[:100]} is of no known library")
    for part in path.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise WireError(f"there is no {name[:100]}")
    return found


def library_name(value: Any) -> str | None:
    """Return the name under which `lookup` finds the class or function `value`, if it does."""
    kind = type(value)
    if not issubclass(kind, type) and kind not in _FUNCTIONS:
        return None
    module = getattr(value, "__module__", None) or "builtins"
    if kind is np.ufunc:
        module = "numpy"
    path = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(path, str):
        return None
    if module.partition(".")[0] not in LIBRARIES:
        return None
    try:
        return f"{module}:{path}" if lookup(f"{module}:{path}") is value else None
    except WireError:
        return None


# np.mean is of the last of these.
_FUNCTIONS = (FunctionType, BuiltinFunctionType, np.ufunc, type(np.mean))
