"""The course's NumPy layers beside torch's on this CPU, and beside the bare matrix product.

    python bench/conv.py [repeats]

For each shape the three are run in turns, many times, so that a noisy machine is noisy for all of
them alike; the table has medians, and the speed of ours as a share of torch's. float32; as many
threads for torch as NumPy's BLAS uses. The layers are those that `previously` gives to unit 09.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl
import torch
from rich.console import Console
from rich.table import Table

from grader.course import load_course, previously

SOLUTIONS = Path(__file__).parents[1] / "solutions"
GOALS = {"conv2d": 0.8, "conv2d_backward": 0.6}  # of torch's speed, in the median over the shapes
BURST = 3  # calls in a row
out = Console(width=120)
F = torch.nn.functional


class Shape(NamedTuple):
    """A convolution layer and its batch."""

    N: int
    C_in: int
    C_out: int
    H: int
    W: int
    k: int
    stride: int = 1
    padding: int = 0

    def __str__(self) -> str:
        text = f"{self.N} x {self.C_in} x {self.H} x {self.W} -> {self.C_out}, {self.k} x {self.k}"
        return f"{text}, s {self.stride}, p {self.padding}"


SHAPES = (
    Shape(64, 1, 16, 28, 28, 5, padding=2),  # a first layer on digits
    Shape(64, 3, 32, 32, 32, 3, padding=1),  # on colours
    Shape(64, 16, 32, 14, 14, 5, padding=2),
    Shape(64, 32, 64, 28, 28, 3, padding=1),
    Shape(64, 64, 64, 14, 14, 3, padding=1),
    Shape(64, 128, 128, 7, 7, 3, padding=1),
    Shape(32, 64, 128, 16, 16, 3, stride=2, padding=1),
    Shape(32, 64, 256, 14, 14, 1),  # 1 x 1: nothing to gather
    Shape(16, 256, 64, 14, 14, 1),
    Shape(8, 32, 32, 56, 56, 3, padding=1),
    Shape(1, 64, 64, 56, 56, 3, padding=1),  # a single picture
    Shape(128, 8, 16, 8, 8, 3, padding=1),  # the digits of unit 06
)


def in_turns(*actions: Callable[[], Any], repeats: int) -> list[float]:
    """Return the median milliseconds of each action; they take turns of `BURST`, `repeats` times.

    The threads of one library go on spinning for a while after its call, and take the cores from
    the other's next one: the first call of each turn is not counted.
    """
    taken: list[list[float]] = [[] for _ in actions]
    for n in range(repeats + 1):
        for mine, action in zip(taken, actions, strict=True):
            action()
            for _ in range(BURST):
                began = time.perf_counter()
                action()
                if n:
                    mine.append(time.perf_counter() - began)
    return [1000 * statistics.median(mine) for mine in taken]


def reference() -> dict[str, Any]:
    """Return the functions of the course, in their latest form."""
    names: dict[str, Any] = {}
    exec(previously(list(load_course(SOLUTIONS).lessons)), names)
    return names


def convolutions(ours: dict[str, Any], repeats: int) -> tuple[Table, dict[str, float]]:
    """Return the table of forward and backward, and the median share of torch's speed of each."""
    table = Table(title="Milliseconds", title_justify="left")
    for column in (
        "layer",
        "ours",
        "torch",
        "product",
        "share",
        "back",
        "torch",
        "products",
        "share",
    ):
        table.add_column(column, justify="left" if column == "layer" else "right")
    shares: dict[str, list[float]] = {name: [] for name in GOALS}
    for shape in SHAPES:
        forward = _forward(ours, shape, repeats)
        backward = _backward(ours, shape, repeats)
        cells = []
        for name, (mine, theirs, bare) in zip(shares, (forward, backward), strict=True):
            shares[name].append(theirs / mine)
            cells += [f"{mine:.2f}", f"{theirs:.2f}", f"{bare:.2f}", f"{theirs / mine:.2f}"]
        table.add_row(str(shape), *cells)
    return table, {name: statistics.median(each) for name, each in shares.items()}


def _forward(ours: dict[str, Any], shape: Shape, repeats: int) -> list[float]:
    x, w, b, y = _arrays(ours, shape)
    tx, tw, tb = map(torch.from_numpy, (x, w, b))
    stride, padding = shape.stride, shape.padding
    rows, columns = w.reshape(len(w), -1), _columns(shape, y)
    return in_turns(
        lambda: ours["conv2d"](x, w, b, stride, padding),
        lambda: F.conv2d(tx, tw, tb, stride, padding),
        lambda: rows @ columns,
        repeats=repeats,
    )


def _backward(ours: dict[str, Any], shape: Shape, repeats: int) -> list[float]:
    x, w, _, y = _arrays(ours, shape)
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype=np.float32)
    tx, tw, tdy = map(torch.from_numpy, (x, w, dy))
    pair, sides, ones = [shape.stride] * 2, [shape.padding] * 2, [1, 1]
    wanted = [True] * 3  # dx, dw, db
    flat, columns = dy.reshape(len(dy), shape.C_out, -1), _columns(shape, y)
    rows = w.reshape(len(w), -1)
    return in_turns(
        lambda: ours["conv2d_backward"](dy, x, w, shape.stride, shape.padding),
        lambda: torch.ops.aten.convolution_backward(
            tdy, tx, tw, [shape.C_out], pair, sides, ones, False, [0, 0], 1, wanted
        ),
        lambda: (flat @ columns.transpose(0, 2, 1), rows.T @ flat),
        repeats=repeats,
    )


def _arrays(ours: dict[str, Any], shape: Shape) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((shape.N, shape.C_in, shape.H, shape.W), dtype=np.float32)
    w = rng.standard_normal((shape.C_out, shape.C_in, shape.k, shape.k), dtype=np.float32)
    b = rng.standard_normal(shape.C_out, dtype=np.float32)
    y = ours["conv2d"](x, w, b, shape.stride, shape.padding)
    tx, tw, tb = map(torch.from_numpy, (x, w, b))
    right = F.conv2d(tx, tw, tb, shape.stride, shape.padding).numpy()
    np.testing.assert_allclose(y, right, rtol=1e-3, atol=1e-3)  # what is wrong need not be fast
    assert y.dtype == np.float32
    return x, w, b, y


def _columns(shape: Shape, y: np.ndarray) -> np.ndarray:
    """Gathered columns (N, C_in*k*k, L) of ones: all that is left is the matrix product."""
    return np.ones((shape.N, shape.C_in * shape.k**2, y.shape[2] * y.shape[3]), dtype=np.float32)


def others(ours: dict[str, Any], repeats: int) -> Table:
    """Return the table of pooling and batch normalization."""
    table = Table(title="On 64 x 32 x 28 x 28, milliseconds", title_justify="left")
    for column in ("layer", "ours", "torch", "share"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    rng = np.random.default_rng(2)
    x = rng.standard_normal((64, 32, 28, 28), dtype=np.float32)
    dy = rng.standard_normal((64, 32, 14, 14), dtype=np.float32)
    dz = rng.standard_normal(x.shape, dtype=np.float32)
    gamma, beta, mean = (rng.standard_normal(32, dtype=np.float32) for _ in range(3))
    var = np.ones(32, dtype=np.float32)
    tx, tdy, tdz, tgamma, tbeta, tmean, tvar = map(
        torch.from_numpy, (x, dy, dz, gamma, beta, mean.copy(), var.copy())
    )
    _, where = F.max_pool2d(tx, 2, return_indices=True)
    _, saved_mean, saved_rstd = torch.native_batch_norm(
        tx, tgamma, tbeta, tmean, tvar, True, 0.1, 1e-5
    )
    aten = torch.ops.aten
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "max_pool2d, 2 x 2": (lambda: ours["max_pool2d"](x, 2), lambda: F.max_pool2d(tx, 2)),
        "max_pool2d_backward": (
            lambda: ours["max_pool2d_backward"](dy, x, 2),
            lambda: aten.max_pool2d_with_indices_backward(
                tdy, tx, [2, 2], [2, 2], [0, 0], [1, 1], False, where
            ),
        ),
        "avg_pool2d, 2 x 2": (lambda: ours["avg_pool2d"](x, 2), lambda: F.avg_pool2d(tx, 2)),
        "batch_norm, training": (
            lambda: ours["batch_norm"](x, gamma, beta, mean, var, True),
            lambda: F.batch_norm(tx, tmean, tvar, tgamma, tbeta, True),
        ),
        "batch_norm_backward": (
            lambda: ours["batch_norm_backward"](dz, x, gamma),
            lambda: aten.native_batch_norm_backward(
                tdz, tx, tgamma, tmean, tvar, saved_mean, saved_rstd, True, 1e-5, [True] * 3
            ),
        ),
    }
    for name, (mine, theirs) in pairs.items():
        if name.partition(",")[0] in ours:
            one, other = in_turns(mine, theirs, repeats=repeats)
            table.add_row(name, f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}")
    return table


def main() -> None:
    """Print what was measured, and whether the goals are reached."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    threads = max([p["num_threads"] for p in pools], default=1)
    torch.set_num_threads(threads)
    blas = ", ".join(sorted({f"{p['internal_api']} {p['version']}" for p in pools}))
    out.print(f"numpy {np.__version__} ({blas}), torch {torch.__version__}, {threads} threads")
    ours = reference()
    table, shares = convolutions(ours, repeats)
    out.print(table)
    out.print(others(ours, repeats))
    for name, share in shares.items():
        verdict = "reached" if share >= GOALS[name] else "missed"
        out.print(f"{name}: {share:.2f} of torch's speed in the median ({GOALS[name]}: {verdict})")


if __name__ == "__main__":
    main()
