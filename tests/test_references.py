"""A test asks a student's code over a socket, and it feels like ordinary Python."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import warnings
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import check
from grader.answer import Agent
from grader.answer.wire import FRAME, MAGIC, Gone, WireError
from grader.judge.references import AnswerError, Judge, is_reference

Ask = Callable[[str], Any]


@contextlib.contextmanager
def student(source: str) -> Iterator[tuple[Judge, Ask]]:
    """A process in which `source` has run, and the way to ask for its names."""
    near, far = socket.socketpair()
    namespace: dict[str, Any] = {"np": np, "torch": torch, "far": far}
    exec(source, namespace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: they do nothing
        pid = os.fork()
    if pid == 0:
        near.close()
        with contextlib.suppress(BaseException):
            Agent(far, namespace).work()
        os._exit(0)
    far.close()
    judge = Judge(near)
    try:
        yield judge, lambda name: dict(judge.question("names", (name,)))[name]
        with contextlib.suppress(WireError):
            judge.end()
    finally:
        near.close()
        os.waitpid(pid, 0)


# ---- values ---------------------------------------------------------------------------------

ECHO = "def echo(*args, **kwargs): return args, kwargs\ndef same(x): return x"
VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**200,
    0.1,
    float("inf"),
    1 + 2j,
    "ü\ud800",
    b"\0\xff",
    (1, (2, "3")),
    [1, [2.5, None]],
    {"a": 1, (1, 2): [3]},
    {1, 2},
    frozenset([1]),
    bytearray(b"xy"),
    OrderedDict(b=1, a=2),
    deque([1, 2]),
    slice(1, None, 2),
    range(0, 10, 3),
    ...,
    np.float32(0.1),
    np.int64(-3),
    np.bool_(True),
    np.str_("x"),
    np.dtype("float16"),
    torch.float32,
    torch.Size([2, 3]),
    torch.device("cpu"),
    int,
    ValueError,
    np.float64,
    torch.nn.ReLU,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_went(value: object) -> None:
    with student(ECHO) as (_, ask):
        (here,), named = ask("echo")(value, key=value)
        assert type(here) is type(value)
        assert here == value
        assert named == {"key": value}


def test_nan_and_the_sign_of_zero_come_back() -> None:
    with student(ECHO) as (_, ask):
        nan, zero = ask("same")((float("nan"), -0.0))
        assert nan != nan
        assert str(zero) == "-0.0"


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.arange(6.0).reshape(2, 3).T,
    np.arange(10)[::-2],
    np.zeros((0, 3)),
    np.array(3.0),
    np.broadcast_to(np.arange(3), (4, 3)),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array(["2020-01-01"], dtype="datetime64[D]"),
    np.arange(3, dtype=">i2"),
    np.asfortranarray(np.ones((3, 4), np.float32)),
    np.arange(10_000)[::1000],
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_keeps_its_type_shape_and_values(array: np.ndarray) -> None:
    about = "def about(x): return x.dtype.str, x.shape, x.strides, x.flags.writeable, x.copy()"
    with student(about) as (_, ask):
        dtype, shape, strides, writable, values = ask("about")(array)
        assert (dtype, shape) == (array.dtype.str, array.shape)
        assert writable == array.flags.writeable
        if array.nbytes * 8 + 4096 > np.ptp(np.lib.array_utils.byte_bounds(array)):
            assert strides == array.strides
        assert np.array_equal(values, array)


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64],
)
def test_a_tensor_keeps_its_type_shape_and_strides(dtype: torch.dtype) -> None:
    tensor = torch.ones(3, 4).to(dtype).T
    with student("def about(x): return x.dtype, x.shape, x.stride(), x + x") as (_, ask):
        kind, shape, strides, doubled = ask("about")(tensor)
        assert (kind, shape, strides) == (dtype, tensor.shape, tensor.stride())
        assert torch.equal(doubled, tensor + tensor)


def test_a_parameter_stays_one_and_brings_its_gradient() -> None:
    source = """
def loss(p):
    (p ** 2).sum().backward()
    return p
"""
    with student(source) as (_, ask):
        parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        assert ask("loss")(parameter) is parameter
        assert parameter.grad is not None
        assert parameter.grad.tolist() == [2.0, 4.0]


def test_a_random_generator_goes_on_where_the_students_code_left_it() -> None:
    with student("def draw(rng): return rng.standard_normal(3)") as (_, ask):
        ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
        assert np.array_equal(ask("draw")(theirs), ours.standard_normal(3))
        assert theirs.random() == ours.random()


def test_what_cannot_cross_is_named() -> None:
    with student(ECHO) as (_, ask):
        echo = ask("echo")
        with pytest.raises(TypeError, match=r"cannot hand a module .*@remote"):
            echo(np)
        assert echo(1) == ((1,), {})  # and the conversation goes on


# ---- changes in place -----------------------------------------------------------------------


def test_what_is_changed_in_place_is_changed_here() -> None:
    source = """
def change(x, t, a, d, s, b):
    x *= 2; t.add_(1); a.append(x); d["new"] = a; s.add(3); b[:] = b"changed"
"""
    x, t = np.arange(3.0), torch.zeros(2)
    a: list[Any] = []
    d: dict[str, Any] = {"old": x}
    s, b = {1}, bytearray(b"before")
    with student(source) as (_, ask):
        ask("change")(x, t, a, d, s, b)
    assert x.tolist() == [0.0, 2.0, 4.0]
    assert t.tolist() == [1.0, 1.0]
    assert a[0] is x
    assert d == {"old": x, "new": a}
    assert s == {1, 3}
    assert b == b"changed"


def test_an_object_stays_the_same_object_on_both_sides() -> None:
    with student("def pair(x, y): return x is y, y, [x, [x]]") as (_, ask):
        x = np.ones(2)
        same, back, nested = ask("pair")(x, x)
        assert same is True
        assert back is x
        assert nested[0] is x
        assert nested[1][0] is x


def test_views_share_memory_on_both_sides() -> None:
    source = """
def view(x): return x[1:]
def shared(x, y): x[0] = 7; return np.shares_memory(x, y), float(y[0, 0])
"""
    with student(source) as (_, ask):
        x = np.arange(6.0)
        assert np.shares_memory(ask("view")(x), x)
        assert ask("shared")(x, x.reshape(2, 3)) == (True, 7.0)
        assert x[0] == 7.0


def test_a_view_of_something_far_larger_takes_only_its_own_along() -> None:
    with student("def total(x): x[0] = 1; return x.sum()") as (judge, ask):
        large = np.zeros(1_000_000)
        part = large[500:510]
        sent = []
        judge.connection = Counted(judge.connection, sent)  # type: ignore[assignment]
        assert ask("total")(part) == 1.0
        assert large[500] == 1.0
        assert sum(sent) < 10_000


class Counted:
    """A socket that tells how much was sent."""

    def __init__(self, connection: socket.socket, sent: list[int]) -> None:
        self.connection, self.sent = connection, sent

    def sendall(self, data: Any) -> None:
        self.sent.append(len(data))
        self.connection.sendall(data)

    def recv(self, size: int) -> bytes:
        return self.connection.recv(size)


def test_what_a_student_keeps_is_kept_in_step() -> None:
    source = """
class SGD:
    def __init__(self, params, lr): self.params, self.lr = params, lr
    def step(self, grads):
        for name in self.params:
            self.params[name] = self.params[name] - self.lr * grads[name]
class InPlace(SGD):
    def step(self, grads):
        for name in self.params: self.params[name] -= self.lr * grads[name]
"""
    with student(source) as (judge, ask):
        for name in ("SGD", "InPlace"):
            params = {"w": np.ones(2)}
            optimizer = ask(name)(params, lr=0.5)
            optimizer.step({"w": np.ones(2)})
            params["w"] = params["w"] + 10  # the test moves the weights between two steps
            optimizer.step({"w": np.ones(2)})
            assert params["w"].tolist() == [10.0, 10.0]
        del optimizer, params
        ask("SGD")
        ask("SGD")
        assert len(judge._linked) <= 2  # nothing piles up


def test_what_is_changed_here_is_changed_there() -> None:
    source = """
class Layer:
    def __init__(self): self.w = np.zeros(3); self.seen = []
    def total(self): return float(self.w.sum()), len(self.seen)
"""
    with student(source) as (_, ask):
        layer = ask("Layer")()
        layer.w[:] = 2
        seen = layer.seen
        seen.append("x")
        assert layer.total() == (6.0, 1)
        layer.w = np.ones(2)
        assert layer.total() == (2.0, 1)


def test_an_argument_that_may_not_be_written_is_not() -> None:
    with student("def write(x): x.flags.writeable = True; x[0] = 1") as (_, ask):
        x = np.zeros(2)
        x.flags.writeable = False
        with contextlib.suppress(ValueError):
            ask("write")(x)
        assert x.tolist() == [0.0, 0.0]


# ---- functions ------------------------------------------------------------------------------

NUMERICAL = """
def gradient(f, x, h=1e-5):
    g = np.zeros_like(x)
    for i in range(x.size):
        old = x.flat[i]
        x.flat[i] = old + h; above = f(x)
        x.flat[i] = old - h; below = f(x)
        x.flat[i] = old
        g.flat[i] = (above - below) / (2 * h)
    return g
def cube(x): return float((x ** 3).sum())
kept = []
def keep(f): kept.append(f)
def use(): return kept[0](1)
def reraise(f):
    try: f()
    except KeyError as error: return type(error).__name__, str(error)
"""


def test_the_students_function_calls_the_tests_function() -> None:
    x = np.array([1.0, 2.0])
    with student(NUMERICAL) as (_, ask):
        # The second does not look at its argument: x itself was changed in place.
        for f in (lambda v: float((v**3).sum()), lambda _: float((x**3).sum())):
            assert np.allclose(ask("gradient")(f, x), 3 * x**2)
            assert x.tolist() == [1.0, 2.0]


def test_the_tests_function_calls_the_students_function() -> None:
    with student(NUMERICAL) as (_, ask):
        cube = ask("cube")
        assert np.allclose(ask("gradient")(lambda v: cube(v), np.array([2.0])), 12.0)
        assert np.allclose(ask("gradient")(cube, np.array([2.0])), 12.0)  # their own comes back


def test_a_library_function_is_the_students_own_there() -> None:
    with student("def apply(f, x): return f(x), f is np.exp") as (_, ask):
        assert ask("apply")(np.exp, 0.0) == (1.0, True)
        assert ask("apply")(torch.relu, torch.tensor(-1.0))[0] == 0


def test_a_tests_function_can_be_called_by_the_test_alone() -> None:
    with student(NUMERICAL) as (judge, ask):
        ask("keep")(lambda x: x)
        assert ask("use")() == 1
        judge._functions.clear()
        with pytest.raises(WireError, match="not lent"):
            ask("use")()


def test_an_exception_of_the_tests_function_can_be_caught_by_the_students() -> None:
    def fails() -> None:
        raise KeyError("gone")

    with student(NUMERICAL) as (_, ask):
        assert ask("reraise")(fails) == ("KeyError", "\"'gone'\"")


# ---- objects --------------------------------------------------------------------------------

OBJECTS = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
    def forward(self, x): return self.fc(x)
class Box:
    def __init__(self, items): self.items = list(items)
    def __len__(self): return len(self.items)
    def __getitem__(self, i): return self.items[i]
    def __setitem__(self, i, value): self.items[i] = value
    def __delitem__(self, i): del self.items[i]
    def __add__(self, other): return Box(self.items + [other])
    def __radd__(self, other): return Box([other] + self.items)
    def __neg__(self): return Box([-i for i in self.items])
    def __enter__(self): return "in"
    def __exit__(self, kind, error, trace): return kind is ValueError
def count(n): yield from range(n)
from collections import namedtuple
from dataclasses import dataclass
Pair = namedtuple("Pair", "out cache")
def pair(): return Pair(np.ones(2), {"x": 1})
@dataclass
class Config: lr: float = 0.1
def about(value): return type(value).__name__, value.lr
def lrs(value): return value[0], value.b
"""


def test_a_module_is_one() -> None:
    with student(OBJECTS) as (_, ask):
        net = ask("Net")()
        assert isinstance(net, torch.nn.Module)
        assert isinstance(net.fc, torch.nn.Linear)
        assert [p.shape for p in net.parameters()] == [(2, 3), (2,)]
        assert dict(net.named_parameters())["fc.weight"].requires_grad
        x = torch.ones(1, 3)
        assert torch.allclose(net(x), x @ net.fc.weight.T + net.fc.bias)
        state = net.state_dict()
        assert type(state) is OrderedDict
        net.load_state_dict({name: torch.zeros_like(value) for name, value in state.items()})
        assert net(x).tolist() == [[0.0, 0.0]]
        with torch.no_grad():
            net.fc.bias.fill_(1)
        assert net(x).tolist() == [[1.0, 1.0]]


def test_an_object_is_used_like_any() -> None:
    with student(OBJECTS) as (_, ask):
        box = ask("Box")([1, 2, 3])
        assert (len(box), box[1], box[-1], list(box), 2 in box, 9 in box) == (
            3,
            2,
            3,
            [1, 2, 3],
            True,
            False,
        )
        box[0] = 5
        del box[1]
        assert list(box + 7) == [5, 3, 7]
        assert list(7 + box) == [7, 5, 3]
        assert list(-box) == [-5, -3]
        with box as inside:
            assert inside == "in"
            raise ValueError
        with pytest.raises(KeyError), box:
            raise KeyError
        with pytest.raises(AttributeError, match="nothing"):
            _ = box.nothing
        first, *rest = box
        assert (first, rest) == (5, [3])


def test_generators_named_tuples_and_dataclasses_are_used_like_any() -> None:
    point = namedtuple("point", "a b")

    @dataclasses.dataclass
    class Own:
        lr: float

    with student(OBJECTS) as (_, ask):
        assert list(ask("count")(3)) == [0, 1, 2]
        steps = ask("count")(2)
        assert [next(steps), next(steps), next(steps, "end")] == [0, 1, "end"]
        pair = ask("pair")()
        assert isinstance(pair, tuple)
        assert pair.cache == {"x": 1}
        out, cache = pair
        assert (out.tolist(), cache) == ([1.0, 1.0], {"x": 1})
        assert ask("Config")().lr == 0.1
        assert ask("about")(Own(0.5)) == ("Own", 0.5)
        assert ask("lrs")(point(1, 2)) == (1, 2)


def test_the_same_object_is_the_same_reference() -> None:
    with student("box = object()\ndef get(): return box\ndef new(): return object()") as (_, ask):
        assert ask("get")() is ask("get")()
        assert ask("new")() is not ask("new")()


# ---- exceptions -----------------------------------------------------------------------------

RAISES = """
class Mine(ValueError): pass
def fail(kind, *args): raise kind(*args)
def mine(): raise Mine("of my own")
def divide(): return 1 / 0
def ends(): raise SystemExit(3)
def unreadable():
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd
"""


@pytest.mark.parametrize(
    "kind", [ValueError, KeyError, IndexError, NotImplementedError, OSError, MemoryError]
)
def test_an_exception_has_the_type_that_was_raised(kind: type[Exception]) -> None:
    with student(RAISES) as (_, ask), pytest.raises(kind, match="why") as caught:
        ask("fail")(kind, "why")
    assert isinstance(caught.value, AnswerError)


def test_an_exception_of_the_students_own_is_also_what_it_inherits_from() -> None:
    with student(RAISES) as (_, ask):
        with pytest.raises(ValueError, match="of my own") as caught:
            ask("mine")()
        assert type(caught.value).__name__ == "Mine"
        with pytest.raises(ZeroDivisionError) as divided:
            ask("divide")()
        assert "in divide" in divided.value.student_traceback  # type: ignore[attr-defined]
        assert "answer" not in divided.value.student_traceback  # type: ignore[attr-defined]


def test_an_end_or_an_odd_exception_is_an_exception_here() -> None:
    with student(RAISES) as (_, ask):
        for name in ("ends", "unreadable"):
            with pytest.raises(AnswerError):
                ask(name)()
        with pytest.raises(TypeError, match="positional argument"):
            ask("mine")(1)


# ---- what a reference never does ------------------------------------------------------------

LIARS = """
class Liar:
    __class__ = float
    shape, dtype, ndim = (2,), np.dtype(float), 1
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __float__(self): return 1.0
    def __array__(self, *args, **kwargs): return np.ones(2)
    def __len__(self): return 2
    def __getitem__(self, i): return 1.0
    def __hash__(self): return hash(1)
class Float(float):
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
class Array(np.ndarray):
    def __eq__(self, other): return np.bool_(True)
class Text(str):
    def __eq__(self, other): return True
    def __hash__(self): return 1
class Meta(type):
    def __instancecheck__(cls, x): return True
    mro = lambda cls: [cls, *type.mro(cls)[1:]]
class Odd(metaclass=Meta):
    def __getattribute__(self, name): raise RuntimeError("no")
liars = (Liar(), Float(1), np.ones(2).view(Array), Text("a"), Odd())
def all_liars(): return liars
"""


def test_a_reference_equals_nothing_by_its_own_word() -> None:
    with student(LIARS) as (_, ask):
        for liar in ask("all_liars")():
            assert is_reference(liar)
            for value in (1, 1.0, 0, "a", None, np.ones(2)[0], True):
                # Not only the opposite: each of the four is a question of its own.
                assert not (liar == value)  # noqa: SIM201
                assert liar != value
                assert not (value == liar)  # noqa: SIM201
                assert value != liar
            with pytest.raises(TypeError):
                bool(liar)
            with pytest.raises(TypeError):
                float(liar)
            with pytest.raises((TypeError, AssertionError)):
                np.testing.assert_allclose(liar, np.ones(2))
            with pytest.raises((TypeError, AssertionError)):
                np.testing.assert_array_equal(np.ones(2), liar)
            with pytest.raises(check.CheckFailed):
                check.close(liar, np.ones(2))
            with pytest.raises(check.CheckFailed):
                check.equal(liar, 1)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("(x for x in [1])", "an object of type generator"),
        ("type('Foo', (), {})()", "an object of type Foo"),
        ("np.array([1, None])", "an object of type ndarray with dtype object"),
        ("np.ma.array([1])", "an object of type MaskedArray with dtype int64"),
        ("torch.nn.Linear(1, 1)", "an object of type Linear"),
        ("lambda x: x", "a function"),
        ("None", "None"),
        ("'text'", "an object of type str"),
        ("[1, 2]", "a list"),
    ],
)
def test_a_check_names_what_came_in_the_place_of_an_array(answer: str, named: str) -> None:
    with student(f"def f(): return {answer}") as (_, ask):
        for look in (check.close, check.equal):
            with pytest.raises(check.CheckFailed, match=f"returned {named}, expected"):
                look(ask("f")(), np.ones(2))


def test_a_reference_has_the_type_that_it_has() -> None:
    with student(LIARS) as (_, ask):
        liar, number, array, _text, _odd = ask("all_liars")()
        assert not isinstance(liar, float)
        assert isinstance(number, float)  # it is one: it inherits from float
        assert isinstance(array, np.ndarray)
        assert not isinstance(number, np.ndarray)


# ---- who breaks the rules -------------------------------------------------------------------


def says(header: str, *buffers: bytes) -> str:
    """Source of a student who answers a call with bytes of his own."""
    return f"""
from grader.answer.wire import FRAME, MAGIC
def lie():
    text = {header!r}.encode()
    far.sendall(FRAME.pack(MAGIC, len(text)) + text + {b"".join(buffers)!r})
    far.recv(1)
"""


def body(tree: str, memories: str = "[]", buffers: str = "[]", rest: str = "") -> str:
    """A header that answers with `tree`."""
    return (
        f'{{"kind":"answer","body":{tree},"changes":[],"drop":[],'
        f'"memories":{memories},"buffers":{buffers}{rest}}}'
    )


EIGHT = b"\0" * 8
ARRAY = (
    '{"t":"new","k":901,"is":"ndarray","d":"%s","s":%s,"st":%s,"m":903,"o":%s,"w":true,"v":null}'
)
LIES = {
    "no json": says("nothing"),
    "no header": says("[]"),
    "no kind": says("{}"),
    "deep": says(body('{"t":"tuple","v":[' * 5000 + "]}" * 5000)),
    "huge int": says(body(f'{{"t":"int","v":"0x{"f" * 9000}"}}')),
    "unknown type": says(body('{"t":"pickle","v":"cos"}')),
    "no type": says(body("[1]")),
    "eval": says(body('{"t":"name","v":"builtins:eval"}')),
    "os.system": says(body('{"t":"name","v":"os:system"}')),
    "numpy.load": says(body('{"t":"name","v":"numpy:load"}')),
    "open": says(body('{"t":"name","v":"builtins:open"}')),
    "memmap": says(body('{"t":"name","v":"numpy:memmap"}')),
    "not lent": says(body('{"t":"yours","i":4}')),
    "unknown key": says(body('{"t":"old","k":4}')),
    "unhashable": says(
        body('{"t":"new","k":901,"is":"set","v":[{"t":"new","k":903,"is":"list","v":[]}]}')
    ),
    "a key twice": says(
        body(
            '{"t":"tuple","v":[{"t":"new","k":901,"is":"list","v":[]},'
            '{"t":"new","k":901,"is":"list","v":[]}]}'
        )
    ),
    "too large": says(body("null", buffers="[9000000000]")),
    "a negative size": says(body("null", buffers="[-1]")),
    "out of its memory": says(body(ARRAY % ("<f8", "[2]", "[8]", "0"), "[[903,0]]", "[8]"), EIGHT),
    "before its memory": says(body(ARRAY % ("<f8", "[1]", "[8]", "-8"), "[[903,0]]", "[8]"), EIGHT),
    "far strides": says(
        body(ARRAY % ("<f8", "[2]", "[1099511627776]", "0"), "[[903,0]]", "[8]"), EIGHT
    ),
    "negative strides": says(body(ARRAY % ("<f8", "[2]", "[-8]", "0"), "[[903,0]]", "[8]"), EIGHT),
    "objects": says(body(ARRAY % ("|O", "[1]", "[8]", "0"), "[[903,0]]", "[8]"), EIGHT),
    "no memory": says(
        body('{"t":"new","k":901,"is":"ndarray","d":"<f8","s":[1000000000000],"v":null}')
    ),
    "tensor out of memory": says(
        body(
            '{"t":"new","k":901,"is":"tensor","d":"float64","s":[100],"st":[1],"m":903,"o":0,'
            '"p":false,"dev":"cpu","v":[false,null]}',
            "[[903,0]]",
            "[8]",
        ),
        EIGHT,
    ),
    "another question": says(
        '{"kind":"ask","body":{"t":"tuple","v":["define","f","1",""]},'
        '"changes":[],"drop":[],"memories":[],"buffers":[]}'
    ),
    "a call of what was not lent": says(
        '{"kind":"ask","body":{"t":"tuple","v":["call",{"t":"name","v":"builtins:int"},'
        '{"t":"tuple","v":[]},{"t":"tuple","v":[]}]},'
        '"changes":[],"drop":[],"memories":[],"buffers":[]}'
    ),
    "no message": "def lie(): far.sendall(b'x' * 100)",
    "silence": "def lie(): far.close(); import os; os._exit(0)",
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_who_breaks_the_rules_is_not_believed(lie: str) -> None:
    with student(LIES[lie]) as (_, ask), pytest.raises(WireError):
        ask("lie")()


def test_a_message_may_come_in_pieces() -> None:
    source = """
from grader.answer.wire import FRAME, MAGIC
import time
def lie():
    text = b'{"kind":"answer","body":7,"changes":[],"drop":[],"memories":[],"buffers":[]}'
    for byte in FRAME.pack(MAGIC, len(text)) + text:
        far.sendall(bytes([byte]))
    time.sleep(0.5)
"""
    assert FRAME.size == len(MAGIC) + 8
    with student(source) as (_, ask):
        assert ask("lie")() == 7


def test_a_tensor_of_another_device_says_where_it_was() -> None:
    tensor = (
        '{"t":"new","k":901,"is":"tensor","d":"float64","s":[1],"st":[1],"m":903,"o":0,'
        '"p":false,"dev":"cuda:1","v":[false,null]}'
    )
    with student(says(body(tensor, "[[903,0]]", "[8]"), EIGHT)) as (_, ask):
        found = ask("lie")()
        assert (found.tolist(), str(found.device), found.came_from) == ([0.0], "cpu", "cuda:1")


def test_a_change_of_what_was_never_handed_over_is_refused() -> None:
    change = body("null").replace('"changes":[]', '"changes":[[2,{"t":"tuple","v":[]}]]')
    with student(says(change)) as (_, ask), pytest.raises(WireError):
        ask("lie")()


def test_who_has_gone_is_gone() -> None:
    with student("import os\ndef leave(): os._exit(0)") as (_, ask), pytest.raises(Gone):
        ask("leave")()


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["<f8", "|O", "float64", "builtins:eval", "numpy:ndarray", "ndarray"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["t", "v", "k", "is", "d", "s", "st", "m", "o", "w", "p", "dev", "i"]),
            inner,
            max_size=8,
        )
        | st.builds(
            lambda kind, more: {"t": kind, **more},
            st.sampled_from(
                [
                    "old",
                    "new",
                    "tuple",
                    "frozenset",
                    "int",
                    "bytes",
                    "complex",
                    "slice",
                    "range",
                    "Size",
                    "scalar",
                    "dtype",
                    "device",
                    "name",
                    "ref",
                    "yours",
                    "function",
                    "record",
                    "ellipsis",
                ]
            ),
            st.dictionaries(
                st.sampled_from(
                    [
                        "v",
                        "k",
                        "is",
                        "d",
                        "s",
                        "st",
                        "m",
                        "o",
                        "w",
                        "p",
                        "i",
                        "b",
                        "call",
                        "own",
                        "types",
                    ]
                ),
                inner,
            ),
        )
    ),
    max_leaves=12,
)
HEADERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["answer", "raised", "ask", "end"]) | TREES,
        "body": TREES,
        "changes": st.just([]) | TREES,
        "drop": st.just([]) | st.lists(st.integers(0, 9)) | TREES,
        "memories": st.just([]) | st.just([[1, 0]]) | TREES,
        "buffers": st.just([]) | st.just([8]) | st.just([4, 4]) | TREES,
    }
)


@settings(max_examples=400, deadline=None)
@given(header=HEADERS, tail=st.binary(max_size=8))
def test_whatever_comes_is_read_or_refused(header: dict[str, Any], tail: bytes) -> None:
    near, far = socket.socketpair()
    judge = Judge(near)
    text = json.dumps(header).encode()
    with near, far:
        far.sendall(FRAME.pack(MAGIC, len(text)) + text + tail)
        far.shutdown(socket.SHUT_WR)
        with contextlib.suppress(WireError):
            judge.receive()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_refused(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(WireError):
            Judge(near).receive()
