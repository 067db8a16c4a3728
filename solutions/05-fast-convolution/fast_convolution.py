# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: lesson,kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   lesson:
#     gpu: false
#     limits:
#       cell_seconds: 60
#       submission_seconds: 300
#     minutes: 270
#     prerequisites:
#     - 04-backprop
#     title: Fast convolution
# ---

# %% [markdown]
# # Fast convolution
#
# **270 minutes. You need unit 04 (backpropagation: `conv2d_backward`, layers, `Sequential`).**
#
# Your networks are right, and they are slow. PyTorch takes the same step of training several times faster, on the same machine and as good as the same numbers. Today you find out where the time goes. You write convolution as one matrix product, forward and backward. Then you measure your machine: how fast could it be at best, how fast are you, how fast is PyTorch, and why.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: you time a step | 10 |
# | 2 | nothing yet: a view that costs nothing | 15 |
# | 3 | `im2col`: windows become columns | 25 |
# | 4 | `conv2d`: one matrix product, with dilation and groups | 50 |
# | 5 | `col2im`: the way back; what overlaps is added | 25 |
# | 6 | `conv2d_backward`: two matrix products | 40 |
# | 7 | `flops`: operations, bytes, and the roofline of your machine | 40 |
# | 8 | dilation drawn; `conv_transpose2d` | 35 |
# | 9 | `depthwise_separable` | 20 |
# | 10 | the step again, beside PyTorch | 10 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Pictures** are `x` of shape `(N, C_in, H, W)`. **Weights** are `w` of shape `(C_out, C_in // groups, kH, kW)`. $H$ and $W$ may differ, and so may $k_H$ and $k_W$.
# - **`kernel_size`** is an int or a pair `(kH, kW)`. **`stride`, `padding`, `dilation`, `groups`** are Python ints: `stride >= 1`, `padding >= 0`, `dilation >= 1`, and `groups` divides both numbers of channels. Padding adds zeros on each side. The (dilated) kernel always fits into the padded picture.
# - **Columns.** $L = H_{out} \cdot W_{out}$ is the number of places of the window, row by row. `im2col` gives `(N, C * kH * kW, L)`.
# - **Kinds of numbers.** Arguments are NumPy arrays of float32 or float64. Only a picture `x` may also be of integers (a photograph is `uint8`). The **result is a NumPy array, and it is always floating**, also for a picture of bytes. float64 is always right; float32 is right too where no argument is float64.
# - **Views.** Arguments may be non-contiguous: a slice, a transpose, a reversed array.
# - **No argument is changed.** The result may share memory with an argument.
# - **A backward function** takes the upstream gradient first, then what the forward function took, and returns one gradient for each of `x`, `w`, `b`: a tuple `(dx, dw, db)`.
# - **Speed earns no marks.** The tests are small. Loops pass. You will want speed all the same: each part measures it. Times are printed and never tested, as no two machines agree on them.
#
# NumPy only in your functions. PyTorch is here to be measured. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" takes larger layers and more repetitions
seed = 0

# %% locked=true
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from previously import Conv2d as SlowConv2d
from previously import (
    Dense,
    Flatten,
    MaxPool2d,
    ReLU,
    Sequential,
    cross_entropy,
    cross_entropy_backward,
)
from previously import conv2d as slow_conv2d

from data import glyphs, photograph
from grader import check

plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})
repeats = 5 if profile == "quick" else 25

# NumPy and PyTorch get the same number of cores. One is the fairest: nobody waits for the other's threads.
threads = 1 if profile == "quick" else os.cpu_count()
try:
    from threadpoolctl import threadpool_limits  # it comes with scikit-learn

    threadpool_limits(threads)
except ImportError:  # nothing else can tell NumPy in the middle of a session: both take all cores
    threads = os.cpu_count()
torch.set_num_threads(threads)
# CPU time does not count what other programs do meanwhile. It adds up threads, so it is for one core only.
clock = time.process_time if threads == 1 else time.perf_counter


def milliseconds(functions, times=repeats, pick=np.median):
    """Median milliseconds of each of {name: function}; they take turns, so that noise hits all alike."""
    taken = {name: [] for name in functions}
    for turn in range(times + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if turn:  # the first call warms up
                taken[name].append(1000 * (clock() - start))
    return {name: float(pick(values)) for name, values in taken.items()}


def show(ax, picture, title, **settings):
    """Draw picture (H, W) or (H, W, 3) on ax, without ticks."""
    drawn = ax.imshow(picture, **({"cmap": "gray"} | settings))
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


def write_values(ax, values, form="{:.0f}", size=8):
    """Write each of values (H, W) into its pixel."""
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = ax.images[0].to_rgba(value)
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
        ax.text(j, i, form.format(value), ha="center", va="center", color=colour, fontsize=size)


# %% [markdown]
# ## 1. A slow step
#
# Here is a small network out of your own layers of unit 04. It reads 28 x 28 characters, ten at a time: two convolutions of 5 x 5, each with ReLU and max pooling, then one dense layer. PyTorch builds the same network. Both take one step: forward, loss, backward. (A batch of ten is small: the slow step should not keep you waiting. It was settled after looking at the times, and the factor below depends on it. Try another.)
#
# **Predict.** How many times faster is PyTorch? And which layers of yours take the time?

# %%
characters = glyphs(n=320, classes="0123456789", size=28, seed=seed)
images, labels = characters.images, characters.labels
batch, batch_labels = images[:10], labels[:10]  # one of each


def network(convolution, pooling=MaxPool2d):
    """The network of this unit, with these layer classes for its convolutions and its pooling."""
    rng = np.random.default_rng(seed)
    return Sequential(
        [
            convolution(1, 8, 5, rng, padding=2),
            ReLU(),
            pooling(2),
            convolution(8, 16, 5, rng, padding=2),
            ReLU(),
            pooling(2),
            Flatten(),
            Dense(16 * 7 * 7, 10, rng),
        ]
    )


def gradient_step(net, x, y, lr=0.05):
    """One step of gradient descent, in place; return the loss before it."""
    scores = net.forward(x)
    loss = float(cross_entropy(scores, y))
    net.backward(cross_entropy_backward(1.0, scores, y))
    for name, value in net.params.items():
        value -= lr * net.grads[name]
    return loss


torch_net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 8, 5, padding=2),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(8, 16, 5, padding=2),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Flatten(),
    torch.nn.Linear(16 * 7 * 7, 10),
)
torch_batch, torch_labels = torch.tensor(batch), torch.tensor(batch_labels)


def torch_step(lr=0.05):
    """The same step in PyTorch."""
    loss = torch.nn.functional.cross_entropy(torch_net(torch_batch), torch_labels)
    torch_net.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in torch_net.parameters():
            parameter -= lr * parameter.grad
    return loss.item()


slow_net = network(SlowConv2d)
with torch.no_grad():  # both begin with the same weights
    for theirs, yours in zip(torch_net.parameters(), slow_net.params.values(), strict=True):
        theirs.copy_(torch.from_numpy(yours.T if yours.ndim == 2 else yours))
losses = {"yours": gradient_step(slow_net, batch, batch_labels), "PyTorch": torch_step()}
check.close(losses["PyTorch"], losses["yours"], what="the loss of PyTorch", rtol=1e-5)
first_times = milliseconds(
    {"yours": lambda: gradient_step(slow_net, batch, batch_labels), "PyTorch": torch_step}, times=3
)
for name, value in first_times.items():
    print(f"one step, {name:<8} {value:8.1f} ms")
print(f"PyTorch is {first_times['yours'] / first_times['PyTorch']:.0f} times faster")


# %%
def milliseconds_by_kind(net):
    """Milliseconds of one forward and backward pass through net, added up for each kind of layer."""
    spent = {}

    def timed(layer, function, value):
        start = clock()
        value = function(value)
        kind = type(layer).__name__
        spent[kind] = spent.get(kind, 0.0) + 1000 * (clock() - start)
        return value

    value = batch
    for layer in net.layers:
        value = timed(layer, layer.forward, value)
    value = np.ones_like(value)
    for layer in reversed(net.layers):
        value = timed(layer, layer.backward, value)
    return spent


slow_spent = milliseconds_by_kind(slow_net)
for kind, value in slow_spent.items():
    print(f"{kind:<12} {value:8.1f} ms")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Most of it goes to the two convolutions. Your `conv2d` goes through the output place by place. Each place costs a few small calls of NumPy, and so small a call can cost more than the arithmetic that it does. The arithmetic itself is not the problem: PyTorch does just as much of it. Remember pooling. It looks harmless here.
#
# </details>
#
# The cure has been known since 2006. Chellapilla, Puri and Simard (*High Performance Convolutional Neural Networks for Document Processing*) copied all windows into one large matrix, so that the convolution became **one matrix product**. People have tuned matrix products (the routine is called **GEMM**, general matrix multiply) for decades. NumPy has a good one behind `@`.

# %% [markdown]
# ## 2. A view costs nothing
#
# **Idea.** An array is a row of bytes in memory, plus a little slip of paper. The slip says: shape, type, and for each axis how many **bytes** to go for the next element. These are the **strides**. (The word means something else than the stride of a convolution.) `x[i, j]` lies at byte $i \cdot s_0 + j \cdot s_1$.
#
# Write another slip, and you have another array on the same bytes. Nothing is copied. That is a **view**. A transpose swaps two strides. `x[::2]` doubles one. `x[::-1]` makes one negative.
#
# Now the trick. Nothing says that two elements of a view must lie at different bytes. For $x$ of shape $(H, W)$ with strides $(s_0, s_1)$, all windows together are an array with *four* axes: `windows[i, j, k1, k2] = x[i + k1, j + k2]`. It lies at byte
#
# $$(i+k_1)\,s_0 + (j+k_2)\,s_1 = i\,s_0 + j\,s_1 + k_1\,s_0 + k_2\,s_1 .$$
#
# So the strides are $(s_0, s_1, s_0, s_1)$. That is all that `np.lib.stride_tricks.sliding_window_view` does.
#
# **Predict.** `x` is 4 x 5 of float32 (4 bytes each). What are its strides? And those of its windows of 2 x 3?

# %% figure="strides"
small = np.arange(20, dtype=np.float32).reshape(4, 5)
windows = np.lib.stride_tricks.sliding_window_view(small, (2, 3))
print("x       shape", small.shape, "      strides", small.strides)
print("windows shape", windows.shape, "strides", windows.strides)
assert small.strides == (20, 4)
assert windows.strides == (20, 4, 20, 4)

fig, axes = plt.subplots(3, 1, figsize=(7, 2.5), layout="constrained")
for ax, (i, j) in zip(axes, ((0, 0), (0, 1), (1, 0)), strict=True):
    seen = np.isin(small.ravel(), windows[i, j])[None]
    ax.imshow(np.where(seen, 0.35, 0.95), cmap="gray", vmin=0, vmax=1, aspect="auto")
    for number in range(20):
        colour = "white" if seen[0, number] else "black"
        ax.text(number, 0, number, ha="center", va="center", color=colour)
    ax.set(yticks=[], ylabel=f"[{i}, {j}]", xticks=range(20))
    ax.set_xticklabels([4 * n for n in range(20)], fontsize=7)
axes[2].set(xlabel="byte in memory")
fig.suptitle("Three windows of 2 x 3, and the bytes that they read (dark)", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three strips of memory with the numbers 0 to 19. Window 0,0 reads the numbers 0, 1, 2, 5, 6, 7; window 0,1 reads the same, four bytes later; window 1,0 twenty bytes later.](figures/strides.png)
#
# One step to the right is 4 bytes, one step down is one row: $5 \cdot 4 = 20$ bytes. The window that starts one to the right reads the same pattern, 4 bytes later. The pattern has a gap: a window is *not* one piece of memory. Keep that in mind.
#
# </details>
#
# **Predict.** Sixteen padded pictures, 32 channels of 30 x 30, in float32. How large are its windows of 3 x 3, and how long does it take to make the view? And the copy?

# %%
maps = np.random.default_rng(seed).standard_normal((16, 32, 30, 30), dtype=np.float32)
view = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(2, 3))
view_times = milliseconds(
    {
        "view": lambda: np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(2, 3)),
        "copy": lambda: np.ascontiguousarray(view),
    }
)
print(f"16 padded maps   {maps.nbytes / 2**20:6.1f} MiB")
print(f"their windows    {view.nbytes / 2**20:6.1f} MiB, it says")
print(f"shares memory    {np.shares_memory(maps, view)}")
for name, value in view_times.items():
    print(f"making the {name}  {value:6.3f} ms")
assert np.shares_memory(maps, view)

# %% [markdown]
# A view costs the same little time whatever its size. (It is read-only by default, and for a reason: one write would change several windows.) But GEMM wants a matrix whose rows, or columns, are one piece of memory each. The windows are none. **The view is free, the copy is not**, and a reshape of such a view copies in silence. Part 4 measures what the copy costs.

# %% [markdown]
# ## 3. Windows become columns: `im2col`
#
# **Idea.** Each output number is a dot product of a filter with a window. So write each window, all its channels, as one **column**. Write each filter as one row. Then *all* outputs are one matrix product.
#
# **Picture.** One channel of 3 x 4 and a window of 2 x 2. Six places, six columns:
#
# ```
# x   0  1  2  3        column of place   (0,0) (0,1) (0,2) (1,0) (1,1) (1,2)
#     4  5  6  7        pixel (0,0)         0     1     2     4     5     6
#     8  9 10 11        pixel (0,1)         1     2     3     5     6     7
#                       pixel (1,0)         4     5     6     8     9    10
#                       pixel (1,1)         5     6     7     9    10    11
# ```
#
# Read it by columns: windows. Now read it by **rows**. The row of kernel pixel $(k_1, k_2)$ is *the picture itself, moved*: the first row is `x[0:2, 0:3]`, the second `x[0:2, 1:4]`. So you need no loop over places. A loop over the $k_H k_W$ pixels of the kernel will do, with one slice copy each.
#
# **Formula.** With several channels, row number $(c\,k_H + k_1)\,k_W + k_2$ belongs to channel $c$, and column number $i\,W_{out} + j$ to place $(i, j)$. With stride $s$, dilation $d$ and the padded picture $x_p$:
#
# $$\text{cols}\,[\,n,\ (c\,k_H + k_1)\,k_W + k_2,\ i\,W_{out} + j\,] = x_p[\,n,\ c,\ i\,s + k_1\,d,\ j\,s + k_2\,d\,].$$
#
# The size is that of unit 02, $H_{out} = \lfloor (H + 2p - d\,(k_H-1) - 1)/s \rfloor + 1$. PyTorch calls the function `unfold`.

# %% [markdown]
# ### Exercise: `im2col`
#
# *20 minutes, medium. What it is for: every fast convolution starts from the question of how windows reach the matrix product.*
#
# Three tests: windows at stride 1; then stride, padding and dilation; then the contract.
#
# <details><summary>Hint 1: no places, only kernel pixels</summary>
#
# Make `cols = np.empty((N, C, kH, kW, H_out, W_out))`, fill `cols[:, :, k1, k2]` for each kernel pixel, and reshape at the end. Why does the reshape give the right order of rows?
#
# </details>
# <details><summary>Hint 2: which slice?</summary>
#
# Rows `k1*d, k1*d + s, k1*d + 2*s, ...`, and there are `H_out` of them. A slice `start : stop : s` says that. Its stop must not let in one too many.
#
# </details>
# <details><summary>Hint 3: an int or a pair</summary>
#
# `np.ndim(3)` is 0, `np.ndim((3, 2))` is 1.
#
# </details>


# %% exercise="im2col"
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Windows of x (N, C, H, W) as columns -> (N, C*kH*kW, H_out*W_out), floating: torch's unfold.

    Rows are ordered by channel, kernel row, kernel column; columns by output row, output column.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    N, C, H, W = x.shape
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    dtype = np.result_type(x, np.float32)  # at least float32: float64 stays, bytes become floats
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides))
    cols = np.empty((N, C, kH, kW, H_out, W_out), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        top, left = k1 * dilation, k2 * dilation
        rows = slice(top, top + stride * H_out, stride)
        columns = slice(left, left + stride * W_out, stride)
        cols[:, :, k1, k2] = x_p[:, :, rows, columns]
    return cols.reshape(N, C * kH * kW, H_out * W_out)
    ### END SOLUTION


# %% tests="im2col" part="slide" points=2
# The picture of the text: row 0 is the picture without its last row and column, row 3 without its first
check.close(
    im2col(np.array([[[[3.0, 1.0, 4.0], [1.0, 5.0, 9.0]]]]), 2),
    np.array([[[3.0, 1.0], [1.0, 4.0], [1.0, 5.0], [5.0, 9.0]]]),
    what="im2col of 3 1 4 / 1 5 9, windows of 2 x 2",
)
# Two channels, a window of 1 x 2: both rows of channel 0 come first
check.close(
    im2col(np.array([[[[3.0, 1.0, 4.0]], [[15.0, 92.0, 65.0]]]]), (1, 2)),
    np.array([[[3.0, 1.0], [1.0, 4.0], [15.0, 92.0], [92.0, 65.0]]]),
    what="im2col of two channels, windows of 1 x 2",
)
check.shape(im2col(np.ones((4, 3, 6, 9)), (2, 3)), (4, 18, 35), what="im2col, x (4, 3, 6, 9)")


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(501)
    for N, C, H, W, size in (
        (2, 3, 5, 7, (3, 2)),
        (1, 2, 6, 4, (1, 4)),
        (3, 1, 4, 5, (4, 5)),
        (2, 4, 5, 4, 3),
        (2, 3, 3, 5, 1),
        (1, 3, 7, 5, (5, 1)),
    ):
        x = rng.standard_normal((N, C, H, W))
        before = x.copy()
        expected = torch.nn.functional.unfold(torch.tensor(x), size).numpy()
        check.close(im2col(x, size), expected, what=f"im2col, x {x.shape}, kernel_size {size}")
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="im2col" part="options" points=2
# Stride 2 on a row of five: windows start at 0 and 2. Each row of the result holds one kernel pixel
_row = np.array([[[[3.0, 1.0, 4.0, 1.0, 5.0]]]])
check.close(
    im2col(_row, (1, 2), stride=2),
    np.array([[[3.0, 4.0], [1.0, 1.0]]]),
    what="im2col of a row, stride 2",
)
# Dilation 2: the window reads every second pixel, and spans 3
check.close(
    im2col(_row, (1, 2), dilation=2),
    np.array([[[3.0, 1.0, 4.0], [4.0, 1.0, 5.0]]]),
    what="im2col of a row, dilation 2",
)
# A ring of zeros around one pixel, windows of 2 x 2: each of the four places sees it once
check.close(
    im2col(np.array([[[[7.0]]]]), 2, padding=1),
    np.array([[[0.0, 0.0, 0.0, 7.0], [0.0, 0.0, 7.0, 0.0], [0.0, 7.0, 0.0, 0.0], [7.0, 0, 0, 0]]]),
    what="im2col of one pixel, padding 1",
)
del _row


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(502)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for dilation in (1, 2, 3):
                for H, W, size in ((9, 8, (3, 2)), (7, 10, (2, 3)), (8, 7, (1, 2))):
                    x = rng.standard_normal((2, 2, H, W))
                    expected = torch.nn.functional.unfold(
                        torch.tensor(x), size, dilation, padding, stride
                    ).numpy()
                    check.close(
                        im2col(x, size, stride, padding, dilation),
                        expected,
                        what=f"im2col, x {x.shape}, kernel_size={size}, stride={stride}, "
                        f"padding={padding}, dilation={dilation}",
                    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="im2col" part="contract" points=1
# Bytes in, floating numbers out
check.floating(im2col(np.ones((1, 1, 3, 3), dtype=np.uint8), 2), what="im2col of uint8")


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(503)
    wide = rng.standard_normal((2, 9, 8, 3))
    for x, what in (
        (rng.integers(0, 256, (2, 3, 5, 6), dtype=np.uint8), "uint8"),
        (rng.integers(-99, 99, (2, 3, 5, 6)), "whole numbers"),
        (rng.standard_normal((2, 3, 5, 6)).astype(np.float32), "float32"),
        (rng.standard_normal((2, 3, 5, 6)), "float64, all its digits"),
        (wide.transpose(0, 3, 1, 2)[:, ::-1, :, ::2], "a non-contiguous view"),
    ):
        expected = torch.nn.functional.unfold(
            torch.tensor(np.array(x, dtype=float)), (2, 3), padding=1
        ).numpy()
        before = x.copy()
        check.close(
            im2col(x, (2, 3), padding=1),
            expected,
            what=f"im2col of {what}, padding=1",
            rtol=1e-12,
            atol=1e-12,
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** A picture of 4 x 4, the numbers 0 to 15, windows of 3 x 3 and of 2 x 2 with stride 2.
#
# **Predict.** Which of the two repeats numbers, and how often does the 5 occur in each? How many numbers has a column matrix of 3 x 3 windows, padding 1, compared with its picture?

# %% figure="columns"
sixteen = np.arange(16.0).reshape(1, 1, 4, 4)
columns_of = {
    "3 x 3, stride 1": im2col(sixteen, 3)[0],
    "2 x 2, stride 2": im2col(sixteen, 2, stride=2)[0],
}
fig, axes = plt.subplots(1, 3, figsize=(6.6, 3), layout="constrained", width_ratios=[1, 1, 1])
show(axes[0], sixteen[0, 0], "the picture", cmap="cividis", vmin=0, vmax=15)
write_values(axes[0], sixteen[0, 0])
for ax, (name, values) in zip(axes[1:], columns_of.items(), strict=True):
    show(ax, values, f"columns, {name}", cmap="cividis", vmin=0, vmax=15)
    write_values(ax, values)
    ax.set(xlabel="place of the window", ylabel="pixel of the kernel")
plt.show()
assert [int(np.sum(values == 5)) for values in columns_of.values()] == [4, 1]

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The numbers 0 to 15 in a square; their columns for 3 by 3 windows, nine rows and four columns with repeated numbers; and for 2 by 2 windows at stride 2, four rows and four columns in which each number stands once.](figures/columns.png)
#
# Windows of 3 x 3 overlap: pixel 5 is in all four of them. At stride 2 the windows of 2 x 2 do not overlap, and `im2col` only reorders. With "same" padding and stride 1 each pixel has $k_H k_W$ places in the columns: **nine times the memory** for a kernel of 3 x 3.
#
# </details>
#
# Is nine times much? For one layer in the style of VGG-16 (64 channels of 224 x 224, kernel 3 x 3) and 32 pictures:

# %%
pictures = 4 * 32 * 64 * 224 * 224
print(f"the feature maps          {pictures / 2**30:6.2f} GiB (float32)")
print(f"their columns             {9 * pictures / 2**30:6.2f} GiB")
print(f"columns of ONE picture    {9 * pictures / 32 / 2**20:6.1f} MiB")
assert round(9 * pictures / 2**30, 1) == 3.4

# %% [markdown]
# That is the price: **memory against speed**. The way out is in the last line. Nobody needs all columns at once. Make the columns of a few pictures, multiply, use the same memory for the next few.

# %% [markdown]
# ## 4. One matrix product: `conv2d`
#
# **Formula.** Let $W$ be the filters as a matrix of shape $(C_{out},\ C_{in} k_H k_W)$: that is `w.reshape(C_out, -1)`. Then, for each picture,
#
# $$Y = W \cdot \text{cols} + b, \qquad (C_{out} \times C_{in}k_Hk_W)\cdot(C_{in}k_Hk_W \times L) = (C_{out} \times L),$$
#
# and `Y.reshape(C_out, H_out, W_out)` is the result. The bias is added once to each row.
#
# **By hand.** Many lecture notes have this example: an input of 200 x 200 x 3, and 75 filters of 10 x 10 x 3 with stride 2. The window fits $\lfloor (200-10)/2 \rfloor + 1 = 96$ times in each direction. (Some print other numbers for it.) So

# %%
places = (200 - 10) // 2 + 1
rows_of_w, inner, columns_of_y = 75, 10 * 10 * 3, places * places
print(f"filters     {rows_of_w} x {inner}")
print(f"columns     {inner} x {columns_of_y:,}   ({places} x {places} places)")
print(f"result      {rows_of_w} x {columns_of_y:,}")
print(f"multiply-adds {rows_of_w * inner * columns_of_y:,}")
check.shape(
    im2col(np.zeros((1, 3, 200, 200), dtype=np.float32), 10, stride=2), (1, 300, 9216), "columns"
)
assert (rows_of_w, inner, columns_of_y) == (75, 300, 9216)

# %% [markdown]
# **Dilation** spreads the kernel: its pixels read the picture $d$ apart. `im2col` knows it already, and the product does not care.
#
# **Groups** cut the channels into $G$ equal parts. Filters of group $g$ see the channels of group $g$ only. So `w` has only `C_in // groups` channels. Filters are numbered group by group: the first `C_out // groups` belong to group 0. With $G = 1$ all channels are mixed, as always. With $G = C_{in}$ none are (part 9).
#
# ```
# groups = 2:   channels 0, 1 --- filters 0, 1, 2        six products of 2 channels each,
#               channels 2, 3 --- filters 3, 4, 5        not of 4
# ```
#
# **By hand.** Two channels of 1 x 2, $(1, 2)$ and $(10, 20)$, and two filters of 1 x 1 with the weights 3 and 5, `groups=2`: map 0 is $3\cdot(1,2) = (3,6)$, map 1 is $5\cdot(10,20) = (50,100)$. Neither has seen the other channel.

# %% [markdown]
# ### What a copy costs
#
# Somebody must write the columns into memory. Here are four ways to do it for one picture. All of them read the same numbers and write the same numbers.
#
# - **by place**: one small copy for each place of the window, which fills a column;
# - **by pixel**: one copy for each pixel of the kernel, as in `im2col`;
# - **all at once**: one assignment. Its right side is the view of part 2 with its axes in the order of the columns;
# - **as rows**: one assignment too, but each window becomes a *row*, `(L, C * kH * kW)`. Many libraries and tutorials write it so.
#
# **Predict.** Order the four. Do the last two differ?


# %%
def copy_by_place(x_p, cols):
    """3 x 3 windows of x_p (C, H, W) into cols (C, 3, 3, H-2, W-2), window by window."""
    for i, j in np.ndindex(cols.shape[3:]):
        cols[..., i, j] = x_p[:, i : i + 3, j : j + 3]


def copy_by_pixel(x_p, cols):
    """The same, kernel pixel by kernel pixel."""
    _, _, _, H_out, W_out = cols.shape
    for k1, k2 in np.ndindex(3, 3):
        cols[:, k1, k2] = x_p[:, k1 : k1 + H_out, k2 : k2 + W_out]


rng = np.random.default_rng(seed)
for channels, width in ((128, 7), (64, 14), (32, 28)):
    one = rng.standard_normal((channels, width + 2, width + 2), dtype=np.float32)
    # (C, H_out, W_out, 3, 3), nothing copied yet
    of_one = np.lib.stride_tricks.sliding_window_view(one, (3, 3), axis=(1, 2))
    in_columns, in_rows = of_one.transpose(0, 3, 4, 1, 2), of_one.transpose(1, 2, 0, 3, 4)
    cols, rows = (np.empty(a.shape, dtype=np.float32) for a in (in_columns, in_rows))
    copy_times = milliseconds(
        {
            "by place": lambda x=one, c=cols: copy_by_place(x, c),
            "by pixel": lambda x=one, c=cols: copy_by_pixel(x, c),
            "all at once": lambda v=in_columns, c=cols: np.copyto(c, v),
            "as rows": lambda v=in_rows, r=rows: np.copyto(r, v),
        },
        times=20,
    )
    told = ", ".join(f"{name} {value:.3f} ms" for name, value in copy_times.items())
    print(f"{channels:3d} x {width} x {width}: {told}")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# By place is the slowest: hundreds of calls, nine numbers of each channel in each. Nine calls or one hardly matter. But the last two differ, and they are one call each. Copying goes piece by piece, and a piece is what lies side by side on *both* sides. In the columns a piece is as long as an output row, since one row of the columns is the picture, moved. In the rows a piece is as long as a kernel row: three numbers. Each piece has a fixed cost (start the loop, find the addresses), and three numbers hardly pay for it. The same surprise comes back all day: **the machine charges for moving and for starting, not only for multiplying**.
#
# </details>

# %% [markdown]
# ### Exercise: `conv2d`
#
# *40 minutes, medium. What it is for: later units train their NumPy networks with it. It is also how Caffe did it, a library of 2014 that many of the first deep networks were trained with.*
#
# Each step has a test of its own:
#
# 1. windows as columns, one product, nothing else (2 points);
# 2. bias, stride and padding (2 points);
# 3. dilation (1 point);
# 4. groups (2 points);
# 5. the contract: pictures of bytes, float32, views, nothing changed, more pictures than one block holds (1 point).
#
# Write the columns yourself inside the function (copy the lines of your `im2col`), for all pictures at once. That is a full solution. When all tests pass, make it fast, if you like: hints 4 and 5.
#
# <details><summary>Hint 1: the product for all pictures</summary>
#
# `(C_out, D) @ (N, D, L)` is `(N, C_out, L)`: NumPy repeats the product over the first axis.
#
# </details>
# <details><summary>Hint 2: bytes</summary>
#
# Which type have the columns of a `uint8` picture? Choose it before the copy: `np.result_type(x, w, np.float32)` is at least float32, and float64 where somebody asks for it.
#
# </details>
# <details><summary>Hint 3: groups without a loop</summary>
#
# Rows of the columns are ordered by channel. So `cols.reshape(N, groups, D, L)` has the groups on an axis of their own. Give the filters such an axis as well, and `@` does the rest.
#
# </details>
# <details><summary>Hint 4: fast, the blocks</summary>
#
# Take a few pictures at a time. Their columns side by side are one matrix, $(D, nL)$, so one product does for all $n$; then put the maps in their places. How many pictures? Try. The last block may be shorter.
#
# </details>
# <details><summary>Hint 5: fast, the copies</summary>
#
# `sliding_window_view` knows nothing of stride and dilation. But a slice with a step of a view is a view. For a dilated kernel take windows as wide as it spans, and of their pixels every `dilation`-th. Then all columns are *one* assignment. And what are the columns of a 1 x 1 kernel with stride 1?
#
# </details>


# %% exercise="conv2d"
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate x (N, C_in, H, W) with w (C_out, C_in // groups, kH, kW) -> (N, C_out, H_out, W_out).

    b (C_out,) or None. Filters of one group see the channels of that group. Floating: at least
    float32. The convention of torch.nn.functional.conv2d.
    """
    ### BEGIN SOLUTION
    (N, C_in, _, _), (C_out, _, kH, kW) = x.shape, w.shape
    dtype = np.result_type(x, w, np.float32)
    filters = w.reshape(groups, C_out // groups, -1).astype(dtype)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)) if padding else x
    # All columns as a view, (C_in, kH, kW, N, H_out, W_out): nothing is copied yet
    span = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x_p, span, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    windows = windows.transpose(1, 4, 5, 0, 2, 3)
    y = np.empty((N, C_out, *windows.shape[4:]), dtype)
    if kH == kW == stride == 1:  # the picture is its own columns
        matrix = x_p.reshape(N, groups, C_in // groups, -1)
        np.matmul(filters, matrix, out=y.reshape(N, groups, C_out // groups, -1))
    else:
        block = max(
            1, 2**18 // windows[:, :, :, 0].size
        )  # pictures whose columns fit into the cache
        for first in range(0, N, block):
            some = slice(first, first + block)
            cols = windows[:, :, :, some].reshape(groups, filters.shape[2], -1)
            part = filters @ cols  # one product for the whole block
            y[some] = part.reshape(C_out, -1, *y.shape[2:]).swapaxes(0, 1)
    if b is not None:
        y += np.reshape(b, (-1, 1, 1))
    return y
    ### END SOLUTION


# %% tests="conv2d" part="product" points=2
# Two pictures with a single number in the middle, 1 and 10: it meets the kernel's last number first
_x = np.zeros((2, 1, 3, 3))
_x[:, 0, 1, 1] = 1.0, 10.0
check.close(
    conv2d(_x, np.array([[[[1.0, 2.0], [3.0, 4.0]]]])),
    np.array([[[[4.0, 3.0], [2.0, 1.0]]], [[[40.0, 30.0], [20.0, 10.0]]]]),
    what="conv2d, two pictures with a single number",
)
del _x
# The example of unit 02: two channels, two filters
check.close(
    conv2d(
        np.array([[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]], [[2.0, 0.0, 1.0], [1.0, 1.0, 0.0]]]]),
        np.array(
            [
                [[[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]],
                [[[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]],
            ]
        ),
    ),
    np.array([[[[4.0, 5.0]], [[5.0, 4.0]]]]),
    what="conv2d, two channels, two filters",
)
check.shape(conv2d(np.ones((4, 3, 6, 9)), np.ones((5, 3, 2, 3))), (4, 5, 5, 7), what="conv2d")


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(511)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 7, 5, 3, 2),
        (1, 2, 1, 5, 8, 1, 4),
        (3, 1, 2, 6, 4, 6, 4),
        (2, 4, 3, 4, 6, 1, 1),
        (1, 3, 2, 6, 7, 2, 5),
        (2, 2, 3, 6, 6, 3, 3),
        (2, 3, 5, 7, 4, 4, 1),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w)).numpy()
        check.close(conv2d(x, w), expected, what=f"conv2d, x {x.shape}, w {w.shape}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="options" points=2
# A black picture: only the bias is left, one number for each map
check.close(
    conv2d(np.zeros((1, 3, 2, 4)), np.ones((2, 3, 2, 2)), np.array([10.0, -20.0])),
    np.array([[[[10.0, 10.0, 10.0]], [[-20.0, -20.0, -20.0]]]]),
    what="conv2d of a black picture, with bias",
)
# Stride 2 on a row, kernel (1, 2): 1*3 + 2*1 = 5, 1*4 + 2*1 = 6. The last pixel is never seen
check.close(
    conv2d(np.array([[[[3.0, 1.0, 4.0, 1.0, 5.0]]]]), np.array([[[[1.0, 2.0]]]]), stride=2),
    np.array([[[[5.0, 6.0]]]]),
    what="conv2d of a row, stride 2",
)
# A ring of zeros around one pixel: it meets each kernel number once, the last one first
check.close(
    conv2d(np.array([[[[2.0]]]]), np.array([[[[1.0, 3.0], [4.0, 5.0]]]]), padding=1),
    np.array([[[[10.0, 8.0], [6.0, 2.0]]]]),
    what="conv2d of one pixel, padding 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(512)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for H, W, kH, kW in (
                (7, 6, 3, 2),
                (6, 9, 2, 3),
                (5, 6, 1, 1),
                (8, 5, 1, 3),
                (6, 7, 2, 2),
            ):
                x, w = rng.standard_normal((2, 3, H, W)), rng.standard_normal((4, 3, kH, kW))
                b = rng.standard_normal(4)
                expected = torch.nn.functional.conv2d(
                    torch.tensor(x), torch.tensor(w), torch.tensor(b), stride, padding
                ).numpy()
                before = b.copy()
                case = f"x {x.shape}, w {w.shape}, stride={stride}, padding={padding}"
                check.close(conv2d(x, w, b, stride, padding), expected, what=f"conv2d, {case}")
                check.unchanged(before, b, what="b")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="dilation" points=1
# Kernel (1, 2), two apart: 1*3 + 2*4 = 11, 1*1 + 2*1 = 3, 1*4 + 2*5 = 14
check.close(
    conv2d(np.array([[[[3.0, 1.0, 4.0, 1.0, 5.0]]]]), np.array([[[[1.0, 2.0]]]]), dilation=2),
    np.array([[[[11.0, 3.0, 14.0]]]]),
    what="conv2d of a row, dilation 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(513)
    for dilation in (2, 3):
        for stride in (1, 2, 3):
            for padding in (0, 1, 2):
                for H, W, kH, kW in ((9, 8, 3, 2), (8, 11, 2, 3)):
                    x, w = rng.standard_normal((2, 2, H, W)), rng.standard_normal((3, 2, kH, kW))
                    expected = torch.nn.functional.conv2d(
                        torch.tensor(x), torch.tensor(w), None, stride, padding, dilation
                    ).numpy()
                    check.close(
                        conv2d(x, w, None, stride, padding, dilation),
                        expected,
                        what=f"conv2d, x {x.shape}, w {w.shape}, stride={stride}, "
                        f"padding={padding}, dilation={dilation}",
                    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="groups" points=2
# The example of the text: no map sees the other channel
check.close(
    conv2d(
        np.array([[[[1.0, 2.0]], [[10.0, 20.0]]]]),
        np.array([3.0, 5.0]).reshape(2, 1, 1, 1),
        groups=2,
    ),
    np.array([[[[3.0, 6.0]], [[50.0, 100.0]]]]),
    what="conv2d, two groups",
)
# Two filters for each group: filters 0 and 1 read channel 0, filters 2 and 3 read channel 1
check.close(
    conv2d(
        np.array([[[[1.0]], [[10.0]]]]),
        np.array([2.0, 3.0, 5.0, 7.0]).reshape(4, 1, 1, 1),
        groups=2,
    ),
    np.array([2.0, 3.0, 50.0, 70.0]).reshape(1, 4, 1, 1),
    what="conv2d, two groups of two filters",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(514)
    for groups, per_group, filters in ((2, 3, 2), (3, 1, 1), (3, 2, 1), (4, 1, 3), (2, 2, 4)):
        for kH, kW, stride, padding, dilation in (
            (3, 2, 1, 0, 1),
            (2, 3, 2, 1, 2),
            (1, 1, 1, 0, 1),
            (2, 2, 3, 2, 1),
        ):
            x = rng.standard_normal((2, groups * per_group, 7, 6))
            w = rng.standard_normal((groups * filters, per_group, kH, kW))
            b = rng.standard_normal(groups * filters)
            expected = torch.nn.functional.conv2d(
                torch.tensor(x),
                torch.tensor(w),
                torch.tensor(b),
                stride,
                padding,
                dilation,
                groups,
            ).numpy()
            check.close(
                conv2d(x, w, b, stride, padding, dilation, groups),
                expected,
                what=f"conv2d, x {x.shape}, w {w.shape}, groups={groups}, stride={stride}, "
                f"padding={padding}, dilation={dilation}",
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="contract" points=1
# A picture of bytes: 2*200 + 0.5*100 = 450 and 2*100 + 0.5*7 = 203.5. A byte holds whole numbers up to 255
check.close(
    conv2d(np.array([[[[200, 100, 7]]]], dtype=np.uint8), np.array([[[[2.0, 0.5]]]])),
    np.array([[[[450.0, 203.5]]]]),
    what="conv2d of a uint8 picture",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(515)

    def compare(x, w, what, padding=1, rtol=1e-5, atol=1e-6, **options):
        wide = [torch.tensor(np.array(a, dtype=np.float64)) for a in (x, w)]
        expected = torch.nn.functional.conv2d(*wide, padding=padding, **options).numpy()
        before = x.copy(), w.copy()
        y = conv2d(x, w, padding=padding, **options)
        check.close(y, expected, what=what, rtol=rtol, atol=atol)
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")

    image = rng.integers(0, 256, (2, 3, 5, 6), dtype=np.uint8)
    weights = rng.standard_normal((4, 3, 3, 2))
    compare(image, weights, "conv2d, a uint8 picture")
    compare(image, weights[:, :, :1, :1], "conv2d, a uint8 picture, 1 x 1", padding=0)
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
    compare(x, w, "conv2d of float64, all its digits", rtol=1e-10, atol=1e-12)
    compare(x, w[..., :1, :1], "conv2d of float64, 1 x 1", padding=0, rtol=1e-10, atol=1e-12)
    compare(x.astype(np.float32), w.astype(np.float32), "conv2d in float32", rtol=1e-4, atol=1e-4)
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    other = rng.standard_normal((2, 3, 3, 4)).transpose(3, 1, 2, 0)[:, ::-1]
    compare(view, other, "conv2d of non-contiguous views")
    compare(view, other, "conv2d of non-contiguous views, stride=2", stride=2)
    compare(view, other[..., :1, :1], "conv2d of non-contiguous views, 1 x 1", padding=0)
    # More pictures than a cache holds, and a number of them that blocks do not divide
    x, w = rng.standard_normal((13, 8, 30, 31)), rng.standard_normal((2, 8, 3, 3))
    compare(x, w, "conv2d, x (13, 8, 30, 31), w (2, 8, 3, 3), padding=1")
    # A single picture whose columns no cache of a core holds
    x, w = rng.standard_normal((2, 3, 104, 105)), rng.standard_normal((2, 3, 3, 3))
    compare(x, w, "conv2d, x (2, 3, 104, 105), w (2, 3, 3, 3), padding=1")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The photograph through a Sobel kernel, dilated by 1 and by 4, with your function. And the same call of PyTorch beside it.
#
# **Predict.** What does an edge detector of 3 x 3 find when its pixels stand 4 apart?

# %% figure="dilated_edges"
photo = (photograph().mean(axis=2) / 255).astype(np.float32)[60:330:2, 160:560:2]
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32)[None, None]
fig, axes = plt.subplots(1, 3, figsize=(7, 1.9), layout="constrained")
show(axes[0], photo, "the photograph")
for ax, dilation in zip(axes[1:], (1, 4), strict=True):
    edges = conv2d(photo[None, None], sobel, padding=dilation, dilation=dilation)
    show(ax, edges[0, 0], f"right minus left, d = {dilation}", cmap="PuOr", vmin=-2, vmax=2)
    same = torch.nn.functional.conv2d(
        torch.tensor(photo[None, None]), torch.tensor(sobel), padding=dilation, dilation=dilation
    )
    check.close(edges, same.numpy(), what="yours and PyTorch's", rtol=1e-4, atol=1e-4)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A temple in grey; its vertical edges as thin lines with dilation 1; with dilation 4 as broad bands.](figures/dilated_edges.png)
#
# Coarse edges. The same nine weights span 9 pixels instead of 3, since $d\,(k-1)+1 = 4\cdot 2+1 = 9$. Fine columns of the roof blur into broad bands. No weight was added and no multiplication.
#
# </details>

# %% [markdown]
# ### Where do the milliseconds go?
#
# Take one layer: 32 channels of 28 x 28, 64 filters of 3 x 3, padding 1. Four things take turns:
#
# - **GEMM**: the bare matrix product, one picture after another, columns ready made. Whoever makes columns first and then does these products cannot be faster.
# - **im2col + GEMM**: all columns of all pictures at first, then the product. The textbook's way.
# - **your `conv2d`**.
# - **PyTorch**, on the same machine, with the same number of cores (`threads`).
#
# **Predict.** Which share of the textbook's way is the product? And how far is PyTorch from the bare product?

# %%
N = 16 if profile == "quick" else 64
rng = np.random.default_rng(seed)
x = rng.standard_normal((N, 32, 28, 28), dtype=np.float32)
w = rng.standard_normal((64, 32, 3, 3), dtype=np.float32)
tensors = torch.from_numpy(x), torch.from_numpy(w)
ready, filters = im2col(x, 3, padding=1), w.reshape(64, -1)
gflop = 2 * N * 64 * 28 * 28 * 32 * 9 / 1e9


def bare_gemm():
    """The products alone."""
    for columns in ready:
        filters @ columns


with torch.inference_mode():
    layer_times = milliseconds(
        {
            "bare GEMM": bare_gemm,
            "im2col alone": lambda: im2col(x, 3, padding=1),
            "im2col + GEMM": lambda: filters @ im2col(x, 3, padding=1),
            "your conv2d": lambda: conv2d(x, w, padding=1),
            "PyTorch": lambda: torch.nn.functional.conv2d(*tensors, padding=1),
            "unit 02": lambda: slow_conv2d(x, w, padding=1),
        }
    )
print(f"N = {N}, {gflop:.2f} thousand million operations, {threads} core(s) each")
for name, value in layer_times.items():
    rate = "" if name == "im2col alone" else f"{1000 * gflop / value:7.1f} GFLOP/s"
    print(f"{name:<14} {value:8.2f} ms {rate}")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The numbers are yours, as they depend on the machine. (With one core, milliseconds are CPU time: see `clock` in the set-up.) Look for three things.
#
# 1. The product alone is most of it, and PyTorch is near the bare product, sometimes a little ahead of it: **nobody multiplies much faster than a good GEMM**. What PyTorch can save is the copy. (The library that it uses on many processors, oneDNN, has kernels that read the windows straight from the picture: *direct* convolution.)
# 2. The copy has *no* arithmetic in it at all, and it costs a good share.
# 3. All rows that multiply did the same multiplications, unit 02 too (but in float64, numbers twice as wide).
#
# </details>
#
# **Memory against speed.** Take a block of pictures at a time, in a room for columns that is made once and used again. How many pictures should share it? One needs little memory, all of them need much. Try.
#
# **Predict.** Is one block of all pictures the fastest, as it has the fewest calls?


# %%
x_p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
layer_windows = np.lib.stride_tricks.sliding_window_view(x_p, (3, 3), axis=(2, 3))
layer_windows = layer_windows.transpose(0, 1, 4, 5, 2, 3)  # a view with its axes like columns
room, maps = np.empty(layer_windows.shape, np.float32), np.empty((N, 64, 28 * 28), np.float32)


def by_blocks(block):
    """The layer above with `block` pictures at a time."""
    cols = room[:block]
    for n in range(0, N, block):
        cols[...] = layer_windows[n : n + block]
        np.matmul(filters, cols.reshape(block, 32 * 9, -1), out=maps[n : n + block])


sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= N]
block_times = milliseconds({size: lambda size=size: by_blocks(size) for size in sizes})
for size, value in block_times.items():
    print(f"{size:3d} pictures, columns {size * ready[0].nbytes / 2**20:6.1f} MiB: {value:7.2f} ms")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Look for the row where it becomes slower. Columns of one picture (0.9 MiB) fit into the cache of most cores: they are multiplied while they are still warm. Columns of all pictures are written out to memory and read back. So here is a case where you need not choose. **Less memory can be faster**, as long as a block is large enough to be worth a call.
#
# The `conv2d` that later units get works by blocks, too. Its blocks have at most $2^{18}$ numbers in their columns (1 MiB in float32), or one picture where that is more. The number was found by trying, on one machine. And it puts the columns of a block side by side: one large product instead of one for each picture, which several cores share better. The plain way, all columns and one `@`, is just as right and earns the same points. Is yours the plain one? Then compare your row with "im2col + GEMM" above, and put in the loop.
#
# </details>

# %% [markdown] manual="why_faster" points=2
# **Question (2 points, 8 minutes).** `conv2d` of unit 02 and yours of today do exactly the same multiplications and additions. Name two different reasons why yours is faster, and for each of them a row (or a pair of rows) of your own tables above that supports it. Then say what would happen to the advantage if the layer had 1,024 channels of 4 x 4 pixels.
#
# ### BEGIN SOLUTION
# (1) Fewer calls: unit 02 makes one small NumPy call for each place of the output (784 here), today's makes a handful for each block. A call has a fixed cost. Supported by "unit 02" against "im2col + GEMM": same arithmetic, different time. (2) Reuse in the cache: a large GEMM works in tiles and uses each number many times while it is near; a small product for one place reads all weights again. Supported by the rate (GFLOP/s) of "bare GEMM" against that of "unit 02". Also right: fewer copies of longer pieces cost less (the table of copies: "by place" against "by pixel"); float32 instead of float64 halves the bytes. (1 point for two reasons with their rows.)
#
# With 1,024 channels of 4 x 4 there are only 16 places, and each call of unit 02 does a large product (1,024 x 9 numbers per filter). The fixed cost hardly counts, so the advantage shrinks. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 5. The way back: `col2im`
#
# **Idea.** `im2col` only copies, so it is linear: a huge matrix $A$ of zeros and ones, one row for each entry of the columns, a single 1 in each row (or none, where the entry is padding). Backpropagation needs its transpose $A^T$. Unit 04 says what the transpose of copying is: **what was copied to several places collects the gradients of all of them, as a sum**.
#
# **Picture.** A row of three pixels, windows of two. The middle pixel was copied twice:
#
# ```
# columns   a  c        pixel 0 gets  a          place 0 is the column (a, b)
#           b  d        pixel 1 gets  b + c      place 1 is the column (c, d)
#                       pixel 2 gets  d
# ```
#
# **Formula.** For every kernel pixel, add where `im2col` had read:
#
# $$\text{im}_p[\,n, c,\ i\,s + k_1 d,\ j\,s + k_2 d\,]\ \mathrel{+}=\ \text{cols}\,[\,n,\ (c\,k_H + k_1)\,k_W + k_2,\ i\,W_{out}+j\,],$$
#
# then cut the padding off. **Add, do not assign, and do not average.** `col2im` is the transpose of `im2col`, it is not its inverse.
#
# There is a test of "is the transpose of" that needs no matrix. For all $u$ and $v$, $\langle A u, v\rangle = \langle u, A^T v\rangle$. Draw $u$ and $v$ at random, and compare two numbers. Engineers call it the *adjoint test*.

# %% [markdown]
# ### Exercise: `col2im`
#
# *20 minutes, medium. What it is for: it is half of the backward pass, and all of a transposed convolution.*
#
# `output_size` is `(H, W)` of the picture: the columns alone cannot tell it. PyTorch calls the function `fold`.
#
# <details><summary>Hint 1: go back the way you came</summary>
#
# `cols.reshape(N, C, kH, kW, H_out, W_out)`, zeros of the size of the *padded* picture, and the slices of `im2col` on the left of `+=`.
#
# </details>
# <details><summary>Hint 2: is it safe to add to a slice?</summary>
#
# Inside one slice no pixel occurs twice: one kernel pixel meets each picture pixel at most once. So `x_p[slices] += part` adds each number. (With lists of indices that repeat, `+=` would lose some.)
#
# </details>
# <details><summary>Hint 3: cutting the padding off</summary>
#
# `x_p[:, :, p:-p, p:-p]` has a trap. What is it for `p = 0`?
#
# </details>


# %% exercise="col2im"
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """The transpose of im2col: add cols (N, C*kH*kW, L) up into (N, C, H, W), output_size being (H, W)."""
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    H, W = output_size
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    parts = cols.reshape(len(cols), -1, kH, kW, H_out, W_out)
    shape = (*parts.shape[:2], H + 2 * padding, W + 2 * padding)
    x_p = np.zeros(shape, np.result_type(cols, np.float32))
    for k1, k2 in np.ndindex(kH, kW):
        top, left = k1 * dilation, k2 * dilation
        rows = slice(top, top + stride * H_out, stride)
        columns = slice(left, left + stride * W_out, stride)
        x_p[:, :, rows, columns] += parts[:, :, k1, k2]
    return x_p[:, :, padding : padding + H, padding : padding + W]
    ### END SOLUTION


# %% tests="col2im" part="overlap" points=2
# The picture of the text, columns (3, 1) and (4, 7): the middle pixel gets 1 + 4
check.close(
    col2im(np.array([[[3.0, 4.0], [1.0, 7.0]]]), (1, 3), (1, 2)),
    np.array([[[[3.0, 5.0, 7.0]]]]),
    what="col2im of two windows on a row",
)
# Four windows of 2 x 2 on 3 x 3 pixels: each kernel pixel brings its own number, 1, 10, 100, 1000
check.close(
    col2im(np.array([1.0, 10.0, 100.0, 1000.0])[None, :, None] * np.ones((1, 4, 4)), (3, 3), 2),
    np.array([[[[1.0, 11.0, 10.0], [101.0, 1111.0, 1010.0], [100.0, 1100.0, 1000.0]]]]),
    what="col2im of four windows",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(521)
    for N, C, H, W, kH, kW in (
        (2, 3, 5, 7, 3, 2),
        (1, 2, 6, 4, 1, 4),
        (3, 1, 4, 5, 4, 5),
        (2, 2, 5, 5, 3, 3),
        (2, 4, 3, 5, 1, 1),
    ):
        cols = rng.standard_normal((N, C * kH * kW, (H - kH + 1) * (W - kW + 1)))
        before = cols.copy()
        expected = torch.nn.functional.fold(torch.tensor(cols), (H, W), (kH, kW)).numpy()
        check.close(
            col2im(cols, (H, W), (kH, kW)),
            expected,
            what=f"col2im, cols {cols.shape}, output_size ({H}, {W}), kernel_size ({kH}, {kW})",
        )
        check.unchanged(before, cols, what="cols")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="col2im" part="options" points=2
# Stride 2 on a row of five: windows at 0 and 2, no overlap. The last pixel was never seen: 0
check.close(
    col2im(np.array([[[3.0, 4.0], [1.0, 7.0]]]), (1, 5), (1, 2), stride=2),
    np.array([[[[3.0, 1.0, 4.0, 7.0, 0.0]]]]),
    what="col2im of a row, stride 2",
)
# Dilation 2 on a row of four: windows read pixels 0 and 2, then 1 and 3
check.close(
    col2im(np.array([[[3.0, 4.0], [1.0, 7.0]]]), (1, 4), (1, 2), dilation=2),
    np.array([[[[3.0, 4.0, 1.0, 7.0]]]]),
    what="col2im of a row, dilation 2",
)
# One pixel in a ring of zeros: of each window only the entry on the pixel stays, 4 + 7 + 10 + 13
check.close(
    col2im(np.arange(1.0, 17.0).reshape(1, 4, 4), (1, 1), 2, padding=1),
    np.array([[[[34.0]]]]),
    what="col2im onto one pixel, padding 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(522)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for dilation in (1, 2, 3):
                for H, W, size in ((9, 8, (3, 2)), (7, 10, (2, 3)), (8, 7, (1, 2)), (8, 9, 2)):
                    options = (size, dilation, padding, stride)
                    picture = torch.zeros((2, 3, H, W), dtype=torch.float64)
                    shape = tuple(torch.nn.functional.unfold(picture, *options).shape)
                    cols = rng.standard_normal(shape)
                    expected = torch.nn.functional.fold(torch.tensor(cols), (H, W), *options)
                    check.close(
                        col2im(cols, (H, W), size, stride, padding, dilation),
                        expected.numpy(),
                        what=f"col2im, output_size ({H}, {W}), kernel_size={size}, "
                        f"stride={stride}, padding={padding}, dilation={dilation}",
                    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="col2im" part="contract" points=1
# Columns in float32, and a view: its rows are the columns (9, 200) and (100, 7)
check.close(
    col2im(np.array([[[9, 200], [100, 7]]], dtype=np.float32).swapaxes(1, 2), (1, 3), (1, 2)),
    np.array([[[[9.0, 300.0, 7.0]]]]),
    what="col2im of a transposed view, float32",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(523)
    wide = rng.standard_normal((24, 2, 18))
    for cols, what, digits in (
        (rng.standard_normal((2, 18, 12)).astype(np.float32), "float32", 1e-5),
        (rng.standard_normal((2, 18, 12)), "float64, all its digits", 1e-12),
        (wide.transpose(1, 2, 0)[:, ::-1, ::2], "a non-contiguous view", 1e-12),
    ):
        expected = torch.nn.functional.fold(
            torch.tensor(np.array(cols, dtype=float)), (5, 6), 3
        ).numpy()
        before = cols.copy()
        check.close(
            col2im(cols, (5, 6), 3), expected, what=f"col2im of {what}", rtol=digits, atol=digits
        )
        check.unchanged(before, cols, what="cols")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The adjoint test for your two functions, and then `col2im(im2col(x))` of a picture of ones.
#
# **Predict.** What is `col2im(im2col(ones))`: ones again? Where is it largest? And for stride 3 with windows of 2?

# %% figure="overlap"
rng = np.random.default_rng(seed)
u = rng.standard_normal((2, 3, 7, 9))
settings = {"kernel_size": (3, 2), "stride": 2, "padding": 1, "dilation": 2}
Au = im2col(u, **settings)
v = rng.standard_normal(Au.shape)
left_side, right_side = np.sum(Au * v), np.sum(u * col2im(v, u.shape[2:], **settings))
print(f"<A u, v> = {left_side:.12f}\n<u, A^T v> = {right_side:.12f}")
check.close(left_side, right_side, what="the adjoint test", rtol=1e-10)

fig, axes = plt.subplots(1, 3, figsize=(7, 2.1), layout="constrained")
ones = np.ones((1, 1, 7, 9))
for ax, size, stride in zip(axes, (3, 3, 2), (1, 2, 3), strict=True):
    counts = col2im(im2col(ones, size, stride), (7, 9), size, stride)[0, 0]
    show(ax, counts, f"windows {size} x {size}, stride {stride}", cmap="cividis", vmin=0, vmax=9)
    write_values(ax, counts, size=7)
fig.suptitle("col2im(im2col(ones))", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three tables of 7 by 9 counts: up to nine in the middle at stride 1; a lattice of 1, 2 and 4 at stride 2; ones and zeros at stride 3.](figures/overlap.png)
#
# It is a count: how many windows see each pixel? You drew it in unit 02 with two loops. At stride 1 the middle has 9. At stride 2 the windows of 3 overlap by one pixel, and the counts make a **lattice** of 1, 2 and 4. Remember it, it comes back in part 8. At stride 3 windows of 2 leave gaps, and there is nothing to give back. So `col2im` is not the inverse. Divide by these counts, and you have an inverse (where they are not 0).
#
# </details>

# %% [markdown]
# ## 6. Two more matrix products: `conv2d_backward`
#
# **Derive.** For one picture, forward was $\text{cols} = A(x)$ and $Y = W\,\text{cols} + b$. Let $dY$ be the upstream gradient, of shape $(C_{out}, L)$. A matrix product has two gradients (unit 04, dense layer):
#
# $$dW = dY \cdot \text{cols}^T, \qquad d\text{cols} = W^T \cdot dY, \qquad dx = A^T(d\text{cols}), \qquad db = \sum_{\text{places}} dY .$$
#
# $A^T$ is `col2im`. Over a batch, $dW$ and $db$ are **summed** over the pictures: the weights are shared by pictures as they are by places. Check the shapes: $(C_{out} \times L)(L \times C_{in}k_Hk_W)$ is the shape of $W$. The sum over places is inside the product.
#
# So backward costs two products of the size of the forward one. This is where the rule comes from that **a training step costs three times its forward pass**.
#
# **By hand.** $x = (1, 2, 3)$, $w = (10, 20)$, $dY = (1, 100)$. The columns are $(1,2)$ and $(2,3)$.
#
# ```
# dW    = 1*(1, 2) + 100*(2, 3) = (201, 302)
# dcols = column 0: 1*(10, 20) = (10, 20)      column 1: 100*(10, 20) = (1000, 2000)
# dx    = (10, 20 + 1000, 2000) = (10, 1020, 2000)           db = 101
# ```

# %% [markdown]
# ### Exercise: `conv2d_backward`
#
# *35 minutes, hard. What it is for: training. Two thirds of the time of a training step are here.*
#
# Each of the three gradients has its own test with strides and padding, so you may do one after the other (return `None` for the others). Then come dilation, groups, and the contract. Write what you need inside the function.
#
# <details><summary>Hint 1: order of work</summary>
#
# `db` is one line. For `dw` make the columns as in the forward pass. For `dx` multiply first, then add up as in `col2im`.
#
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `d = dy.reshape(N, C_out, L)`. Then `d @ cols.transpose(0, 2, 1)` is one `dw` for each picture. What is still to be done with axis 0?
#
# </details>
# <details><summary>Hint 3: pixels that no window has seen</summary>
#
# With a stride the last rows of `x` may never have been read. Their gradient is 0, and `dx` has the shape of `x` all the same. Start from zeros of the full size.
#
# </details>
# <details><summary>Hint 4: groups</summary>
#
# Give every matrix an axis for the groups: columns `(N, G, C_in//G * kH*kW, L)`, upstream `(N, G, C_out//G, L)`, filters `(G, C_out//G, C_in//G * kH*kW)`. Then both products are one `@` each, with `swapaxes` on the last two axes.
#
# </details>
# <details><summary>Hint 5: fast</summary>
#
# Blocks again. Add each block's part to `dw`. After that nobody needs the block's columns, so `dcols` can be written over them. Why can you read all windows with one assignment, but not add to all of them with one `+=`?
#
# </details>


# %% exercise="conv2d_backward"
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of sum(dy * conv2d(x, w, b, stride, padding, dilation, groups)) -> dx, dw, db.

    dy (N, C_out, H_out, W_out), x (N, C_in, H, W), w (C_out, C_in // groups, kH, kW).
    """
    ### BEGIN SOLUTION
    (N, C_in, H, W), (C_out, _, kH, kW) = x.shape, w.shape
    dtype = np.result_type(dy, x, w, np.float32)
    filters = w.reshape(groups, C_out // groups, -1)
    d = np.asarray(dy, dtype).reshape(N, groups, C_out // groups, -1)
    db = dy.sum(axis=(0, 2, 3), dtype=dtype)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)) if padding else x
    span = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1

    def as_columns(a):
        """All columns of a, of the shape of x_p, as a view (N, C_in, kH, kW, H_out, W_out)."""
        view = np.lib.stride_tricks.sliding_window_view(a, span, axis=(2, 3), writeable=True)
        view = view[:, :, ::stride, ::stride, ::dilation, ::dilation]
        return view.transpose(0, 1, 4, 5, 2, 3)

    if kH == kW == stride == 1:  # the picture is its own columns
        matrix = x_p.reshape(N, groups, C_in // groups, -1)
        dw = (d @ matrix.swapaxes(2, 3)).sum(axis=0)
        dx_p = (filters.swapaxes(1, 2) @ d).reshape(x_p.shape)
    else:
        dx_p, dw = np.zeros(x_p.shape, dtype), np.zeros(filters.shape, dtype)
        windows, d_windows = as_columns(x_p), as_columns(dx_p)
        block = max(1, 2**18 // windows[0].size)  # pictures whose columns fit into the cache
        cols = np.empty((min(block, N), *windows.shape[1:]), dtype)
        for first in range(0, N, block):
            some = slice(first, first + block)
            cols = cols[: len(d[some])]  # the last block may be shorter
            cols[...] = windows[some]
            matrix = cols.reshape(len(cols), groups, filters.shape[2], -1)
            dw += (d[some] @ matrix.swapaxes(2, 3)).sum(axis=0)
            np.matmul(filters.swapaxes(1, 2), d[some], out=matrix)  # cols is now its own gradient
            for k1, k2 in np.ndindex(kH, kW):  # one by one, as windows overlap
                d_windows[some, :, k1, k2] += cols[:, :, k1, k2]
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw.reshape(w.shape), db
    ### END SOLUTION


# %% tests="conv2d_backward" part="db" points=1
# Each map's bias was added everywhere: it collects 1 + 2 + 3 and 10 + 20 + 40
check.close(
    conv2d_backward(
        np.array([[[[1.0, 2.0, 3.0]], [[10.0, 20.0, 40.0]]]]),
        np.ones((1, 1, 1, 3)),
        np.ones((2, 1, 1, 1)),
    )[2],
    np.array([6.0, 70.0]),
    what="conv2d_backward, db",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(531)
    for N, C_in, C_out, H, W, kH, kW, stride, padding in (
        (2, 3, 4, 6, 5, 3, 2, 1, 0),
        (3, 2, 1, 4, 7, 1, 3, 1, 0),
        (2, 3, 4, 7, 5, 3, 3, 2, 1),
        (3, 2, 3, 5, 6, 2, 2, 1, 1),
        (2, 2, 5, 4, 6, 1, 1, 1, 0),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
        dy = rng.standard_normal((N, C_out, H_out, W_out))
        check.close(
            conv2d_backward(dy, x, w, stride, padding)[2],
            np.einsum("nfij->f", dy),
            what=f"conv2d_backward, db, dy {dy.shape}, w {w.shape}, stride={stride}, "
            f"padding={padding}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dw" points=2
# By hand: 1*(1, 2) + 100*(2, 3)
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]]), np.array([[[[10.0, 20.0]]]])
    )[1],
    np.array([[[[201.0, 302.0]]]]),
    what="conv2d_backward, dw",
)
# The same picture twice, upstream 1 and 100: pictures are summed, (1+2)*1 and (1+2)*100 in all
check.close(
    conv2d_backward(
        np.array([[[[1.0]]], [[[100.0]]]]), np.array([[[[3.0]]], [[[3.0]]]]), np.array([[[[5.0]]]])
    )[1],
    np.array([[[[303.0]]]]),
    what="conv2d_backward, dw of two pictures",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(532)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for N, C_in, C_out, H, W, kH, kW in (
                (2, 3, 4, 7, 6, 3, 2),
                (3, 2, 1, 6, 8, 2, 3),
                (2, 3, 2, 5, 6, 1, 1),
                (1, 2, 2, 6, 5, 3, 1),
                (2, 1, 2, 7, 6, 2, 2),
            ):
                x = rng.standard_normal((N, C_in, H, W))
                w = rng.standard_normal((C_out, C_in, kH, kW))
                weights = torch.tensor(w, requires_grad=True)
                y = torch.nn.functional.conv2d(torch.tensor(x), weights, None, stride, padding)
                dy = rng.standard_normal(tuple(y.shape))
                y.backward(torch.tensor(dy))
                case = f"x {x.shape}, w {w.shape}, stride={stride}, padding={padding}"
                check.close(
                    conv2d_backward(dy, x, w, stride, padding)[1],
                    weights.grad.numpy(),
                    what=f"conv2d_backward, dw, {case}",
                )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dx" points=2
# By hand: the middle pixel was seen twice, 20*1 + 10*100
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]]), np.array([[[[10.0, 20.0]]]])
    )[0],
    np.array([[[[10.0, 1020.0, 2000.0]]]]),
    what="conv2d_backward, dx",
)
# Stride 2 on five pixels: the last pixel was never seen, and its gradient is 0
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]), np.ones((1, 1, 1, 5)), np.array([[[[10.0, 20.0]]]]), stride=2
    )[0],
    np.array([[[[10.0, 20.0, 1000.0, 2000.0, 0.0]]]]),
    what="conv2d_backward, dx, stride 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(533)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for N, C_in, C_out, H, W, kH, kW in (
                (2, 3, 4, 7, 6, 3, 2),
                (3, 2, 1, 6, 8, 2, 3),
                (2, 3, 2, 5, 6, 1, 1),
                (1, 1, 2, 8, 7, 2, 2),
                (1, 2, 2, 6, 5, 3, 1),
            ):
                x = rng.standard_normal((N, C_in, H, W))
                w = rng.standard_normal((C_out, C_in, kH, kW))
                pixels = torch.tensor(x, requires_grad=True)
                y = torch.nn.functional.conv2d(pixels, torch.tensor(w), None, stride, padding)
                dy = rng.standard_normal(tuple(y.shape))
                y.backward(torch.tensor(dy))
                case = f"x {x.shape}, w {w.shape}, stride={stride}, padding={padding}"
                check.close(
                    conv2d_backward(dy, x, w, stride, padding)[0],
                    pixels.grad.numpy(),
                    what=f"conv2d_backward, dx, {case}",
                )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dilation" points=1
# Kernel (10, 20) two apart on four pixels: it saw pixels 0 and 2, then 1 and 3
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]),
        np.array([[[[1.0, 2.0, 3.0, 5.0]]]]),
        np.array([[[[10.0, 20.0]]]]),
        dilation=2,
    ),
    (
        np.array([[[[10.0, 1000.0, 20.0, 2000.0]]]]),
        np.array([[[[201.0, 503.0]]]]),
        np.array([101.0]),
    ),
    what="conv2d_backward, dilation 2",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(534)
    for dilation in (2, 3):
        for stride in (1, 2, 3):
            for padding in (0, 1, 2):
                H, W, kH, kW = (9, 8, 3, 2) if padding else (8, 11, 2, 3)
                x, w = rng.standard_normal((2, 2, H, W)), rng.standard_normal((3, 2, kH, kW))
                inputs = [torch.tensor(a, requires_grad=True) for a in (x, w, np.zeros(3))]
                y = torch.nn.functional.conv2d(*inputs, stride, padding, dilation)
                dy = rng.standard_normal(tuple(y.shape))
                y.backward(torch.tensor(dy))
                check.close(
                    conv2d_backward(dy, x, w, stride, padding, dilation),
                    tuple(a.grad.numpy() for a in inputs),
                    what=f"conv2d_backward, x {x.shape}, w {w.shape}, stride={stride}, "
                    f"padding={padding}, dilation={dilation}",
                    names=("dx", "dw", "db"),
                )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="groups" points=1
# Two groups of one channel: nothing of one group reaches the other
check.close(
    conv2d_backward(
        np.array([[[[1.0]], [[100.0]]]]),
        np.array([[[[2.0]], [[3.0]]]]),
        np.array([5.0, 7.0]).reshape(2, 1, 1, 1),
        groups=2,
    ),
    (
        np.array([[[[5.0]], [[700.0]]]]),
        np.array([2.0, 300.0]).reshape(2, 1, 1, 1),
        np.array([1.0, 100.0]),
    ),
    what="conv2d_backward, two groups",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(535)
    for groups, per_group, filters in ((2, 3, 2), (3, 1, 1), (3, 2, 1), (4, 1, 3), (2, 2, 4)):
        for kH, kW, stride, padding, dilation in (
            (3, 2, 1, 0, 1),
            (2, 3, 2, 1, 2),
            (1, 1, 1, 0, 1),
        ):
            x = rng.standard_normal((2, groups * per_group, 7, 6))
            w = rng.standard_normal((groups * filters, per_group, kH, kW))
            b = np.zeros(groups * filters)
            inputs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
            y = torch.nn.functional.conv2d(*inputs, stride, padding, dilation, groups)
            dy = rng.standard_normal(tuple(y.shape))
            y.backward(torch.tensor(dy))
            check.close(
                conv2d_backward(dy, x, w, stride, padding, dilation, groups),
                tuple(a.grad.numpy() for a in inputs),
                what=f"conv2d_backward, x {x.shape}, w {w.shape}, groups={groups}, "
                f"stride={stride}, padding={padding}, dilation={dilation}",
                names=("dx", "dw", "db"),
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="contract" points=1
# A picture of bytes. Its gradient is floating: 2 * 150.5 = 301 and 0.5 * 150.5 = 75.25 are no bytes
check.close(
    conv2d_backward(
        np.array([[[[2.0, 0.5]]]]),
        np.array([[[[200, 100]]]], dtype=np.uint8),
        np.array([[[[150.5]]]]),
    ),
    (np.array([[[[301.0, 75.25]]]]), np.array([[[[450.0]]]]), np.array([2.5])),
    what="conv2d_backward of a uint8 picture",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(536)

    def compare(dy, x, w, what, rtol=1e-5, atol=1e-6, stride=1, padding=0):
        wide = [torch.tensor(np.array(a, dtype=np.float64), requires_grad=True) for a in (x, w)]
        bias = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(*wide, bias, stride, padding)
        y.backward(torch.tensor(np.array(dy, dtype=np.float64)))
        expected = tuple(a.grad.numpy() for a in (*wide, bias))
        before = dy.copy(), x.copy(), w.copy()
        got = conv2d_backward(dy, x, w, stride, padding)
        check.close(got, expected, what=what, names=("dx", "dw", "db"), rtol=rtol, atol=atol)
        for name, old, new in zip(("dy", "x", "w"), before, (dy, x, w), strict=True):
            check.unchanged(old, new, what=name)

    dy, x = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((2, 3, 6, 5))
    w = rng.standard_normal((4, 3, 2, 3))
    compare(dy, x, w, "conv2d_backward of float64, all its digits", rtol=1e-10, atol=1e-12)
    small = [a.astype(np.float32) for a in (dy, x, w)]
    compare(*small, "conv2d_backward in float32", rtol=1e-4, atol=1e-4)
    image = rng.integers(0, 256, (2, 3, 6, 5), dtype=np.uint8)
    compare(dy, image, w, "conv2d_backward, a uint8 picture")
    compare(
        rng.standard_normal((2, 5, 6, 4)).transpose(0, 3, 1, 2)[..., ::2],
        rng.standard_normal((2, 6, 5, 3)).transpose(0, 3, 1, 2)[:, ::-1],
        rng.standard_normal((2, 3, 3, 4)).transpose(3, 1, 0, 2)[:, :, ::-1],
        "conv2d_backward of non-contiguous views",
    )
    point = rng.standard_normal((2, 6, 5, 4)).transpose(0, 3, 1, 2)
    compare(point, image, w[:, :, :1, :1], "conv2d_backward, 1 x 1, a uint8 picture")
    # More pictures than a cache holds, and a number of them that blocks do not divide
    x, w = rng.standard_normal((13, 8, 30, 31)), rng.standard_normal((2, 8, 3, 3))
    dy = rng.standard_normal((13, 2, 30, 31))
    compare(dy, x, w, "conv2d_backward, x (13, 8, 30, 31), padding=1", padding=1)
    # A single picture whose columns no cache of a core holds
    x, w = rng.standard_normal((2, 3, 104, 105)), rng.standard_normal((2, 3, 3, 3))
    dy = rng.standard_normal((2, 2, 104, 105))
    compare(dy, x, w, "conv2d_backward, x (2, 3, 104, 105), padding=1", padding=1)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Forward and backward of the layer of part 4, yours and PyTorch's, taking turns.
#
# **Predict.** Backward is two products. How many times the forward pass does it take?

# %%
dy = rng.standard_normal((N, 64, 28, 28), dtype=np.float32)
torch_dy = torch.from_numpy(dy)
torch_inputs = [torch.from_numpy(a).requires_grad_() for a in (x, w)]
torch_maps = torch.nn.functional.conv2d(*torch_inputs, padding=1)


def torch_forward():
    """PyTorch's forward pass, without its bookkeeping."""
    with torch.inference_mode():
        torch.nn.functional.conv2d(*tensors, padding=1)


training_times = milliseconds(
    {
        "forward": lambda: conv2d(x, w, padding=1),
        "backward": lambda: conv2d_backward(dy, x, w, padding=1),
        "PyTorch forward": torch_forward,
        "PyTorch backward": lambda: torch.autograd.grad(
            torch_maps, torch_inputs, torch_dy, retain_graph=True
        ),
    }
)
for name, value in training_times.items():
    print(f"{name:<17} {value:8.2f} ms")
print(f"yours: backward / forward    {training_times['backward'] / training_times['forward']:5.2f}")
check.close(
    conv2d_backward(dy, x, w, padding=1)[:2],
    tuple(g.numpy() for g in torch.autograd.grad(torch_maps, torch_inputs, torch_dy)),
    what="yours and PyTorch's",
    rtol=1e-4,
    atol=1e-3,
    names=("dx", "dw"),
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Two, and somewhat more. Two products make two. `col2im` on top of it is dearer than `im2col`: adding reads *and* writes its target. Compare PyTorch's ratio: it has the same two products to do.
#
# </details>

# %% [markdown]
# ## 7. How fast could it be? `flops` and the roofline
#
# **Idea.** A machine does two things: it calculates and it moves bytes. Each has a top speed. A layer that must do $F$ operations and move $B$ bytes takes at least $F/\text{(operations per second)}$, and at least $B/\text{(bytes per second)}$, whichever is longer. So count both.
#
# **What is a FLOP?** A floating point operation: one multiplication, or one addition. A dot product of $K$ numbers takes $K$ multiplications and (with the first added to 0) $K$ additions: $2K$ FLOPs. Many papers count **multiply-adds** (also MACs) and call them FLOPs: the ResNet paper (He et al. 2015) does. It is half the number. Processors have an instruction that does both at once (FMA), so neither is wrong. But never compare two tables before you know which they count. **Here a multiply-add counts 2.** FLOPs are an amount. FLOP/s is a speed.
#
# **Formula.** Every output number of a convolution is a dot product over its window:
#
# $$F = 2 \cdot \underbrace{N\,C_{out} H_{out} W_{out}}_{\text{outputs}} \cdot \underbrace{\tfrac{C_{in}}{G}\,k_H k_W}_{\text{window}} \quad (+ \text{outputs, if there is a bias}).$$
#
# Products with zeros of the padding count: the usual convention, and GEMM does them. A dense layer has $2 N D_{in} D_{out}$. A *transposed* convolution (part 8) does one product for every **input** number, output channel and kernel pixel: $2\,N C_{in} H W\, C_{out} k_H k_W$.
#
# **Bytes**, at the very least: read the input once, read the weights once, write the output once, 4 bytes a number in float32.
#
# **By hand.** One picture of 3 x 4 with 2 channels, 5 filters of 2 x 2 with bias: outputs $5 \cdot 2 \cdot 3 = 30$, window $2\cdot 4 = 8$. So $2\cdot 30 \cdot 8 + 30 = 510$ FLOPs, $5 \cdot 8 + 5 = 45$ parameters, $4\,(24 + 45 + 30) = 396$ bytes.

# %% [markdown]
# ### Exercise: `flops`
#
# *20 minutes, easy. What it is for: saying how long a layer must take before you build it. Every paper on efficient networks is about these three numbers.*
#
# A layer is a dict:
#
# ```python
# {"kind": "conv2d", "x": (N, C_in, H, W), "w": (C_out, C_in // groups, kH, kW), "bias": True,
#  "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
# {"kind": "conv_transpose2d", "x": (N, C_in, H, W), "w": (C_in, C_out, kH, kW), "bias": True,
#  "stride": 1, "padding": 0}
# {"kind": "dense", "x": (N, D_in), "w": (D_in, D_out), "bias": True}
# ```
#
# `"x"` and `"w"` are shapes, tuples of ints. Whatever else is missing has its default: no bias, stride 1, padding 0, dilation 1, one group. The result is a dict `{"flops": ..., "params": ..., "bytes": ...}` of whole numbers. Any other kind raises `ValueError`. The output of a transposed convolution is $(H-1)\,s + k_H - 2p$ high (derived in part 8), and wide likewise.
#
# <details><summary>Hint 1: groups</summary>
#
# What does the shape of `w` say already? Do you have to divide once more?
#
# </details>
# <details><summary>Hint 2: one plan for all kinds</summary>
#
# Find the number of outputs and the number of multiply-adds for each kind. The rest is the same for all.
#
# </details>
# <details><summary>Hint 3: products of shapes</summary>
#
# `int(np.prod(shape))` is the number of numbers. `layer.get("stride", 1)` has a default.
#
# </details>


# %% exercise="flops"
def flops(layer):
    """Cost of a layer (a dict, see the text) -> {"flops": ..., "params": ..., "bytes": ...}, whole numbers.

    A multiply-add counts 2, a bias 1 for each output. Bytes: x, the parameters and y once each,
    4 bytes a number. Raises ValueError for an unknown kind.
    """
    ### BEGIN SOLUTION
    x, w, kind = layer["x"], layer["w"], layer["kind"]
    stride, padding = layer.get("stride", 1), layer.get("padding", 0)
    if kind == "conv2d":
        span = [layer.get("dilation", 1) * (k - 1) + 1 for k in w[2:]]
        size = [(n + 2 * padding - m) // stride + 1 for n, m in zip(x[2:], span, strict=True)]
        y = (x[0], w[0], *size)
        multiply_adds = np.prod(y) * np.prod(w[1:])
    elif kind == "conv_transpose2d":
        size = [(n - 1) * stride + k - 2 * padding for n, k in zip(x[2:], w[2:], strict=True)]
        y = (x[0], w[1], *size)
        multiply_adds = np.prod(x) * np.prod(w[1:])
    elif kind == "dense":
        y = (x[0], w[1])
        multiply_adds = np.prod(x) * w[1]
    else:
        raise ValueError(f'unknown kind "{kind}", expected conv2d, conv_transpose2d or dense')
    outputs = np.prod(y)
    params, total = np.prod(w), 2 * multiply_adds
    if layer.get("bias", False):
        params += y[1]
        total += outputs
    numbers = np.prod(x) + params + outputs
    return {"flops": int(total), "params": int(params), "bytes": int(4 * numbers)}
    ### END SOLUTION


# %% tests="flops" part="conv2d" points=2
# By hand: 2*30*8 + 30, 5*8 + 5, 4*(24 + 45 + 30)
_cost = flops({"kind": "conv2d", "x": (1, 2, 3, 4), "w": (5, 2, 2, 2), "bias": True})
check.equal(_cost["flops"], 510, what="flops, the example by hand")
check.equal(_cost["params"], 45, what="params, the example by hand")
check.equal(_cost["bytes"], 396, what="bytes, the example by hand")
# Without bias: 2*30*8 and 5*8
_cost = flops({"kind": "conv2d", "x": (1, 2, 3, 4), "w": (5, 2, 2, 2)})
check.equal(_cost["flops"], 480, what="flops, the example without bias")
check.equal(_cost["params"], 40, what="params, the example without bias")
# Two groups of one channel: w says (4, 1, 2, 2), so a window has 4 numbers. 2 * 4*2*3 * 4
_cost = flops({"kind": "conv2d", "x": (1, 2, 3, 4), "w": (4, 1, 2, 2), "groups": 2})
check.equal(_cost["flops"], 192, what="flops, two groups")
del _cost


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(541)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for dilation in (1, 2):
                for groups in (1, 2):
                    N, c, f, kH, kW = (int(v) for v in rng.integers(1, 5, 5))
                    H, W = (int(v) for v in rng.integers(9, 14, 2))
                    x, w = (N, c * groups, H, W), (f * groups, c, kH, kW)
                    bias = bool(rng.integers(0, 2))
                    y = torch.nn.functional.conv2d(
                        torch.zeros(x), torch.zeros(w), None, stride, padding, dilation, groups
                    )
                    layer = {"kind": "conv2d", "x": x, "w": w, "bias": bias}
                    layer |= {"stride": stride, "padding": padding}
                    layer |= {"dilation": dilation, "groups": groups}
                    before = dict(layer)
                    params = f * groups * c * kH * kW + (f * groups if bias else 0)
                    total = y.numel() * (2 * c * kH * kW + bias)
                    size = 4 * (N * c * groups * H * W + params + y.numel())
                    cost = flops(layer)
                    what = f"of {before}"
                    check.equal(cost["flops"], total, what=f"flops {what}")
                    check.equal(cost["params"], params, what=f"params {what}")
                    check.equal(cost["bytes"], size, what=f"bytes {what}")
                    assert layer == before, "flops changed the dict that it was given"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="flops" part="others" points=1
# Dense, 3 pictures, 4 to 5 units: 2*3*4*5 + 3*5, 4*5 + 5, 4*(12 + 25 + 15)
_cost = flops({"kind": "dense", "x": (3, 4), "w": (4, 5), "bias": True})
check.equal(_cost["flops"], 135, what="flops of a dense layer")
check.equal(_cost["params"], 25, what="params of a dense layer")
check.equal(_cost["bytes"], 208, what="bytes of a dense layer")
# Transposed, 2 x 3 pixels, 1 to 2 channels, 3 x 3, stride 2: 2*6*2*9; the result is 5 x 7
_cost = flops({"kind": "conv_transpose2d", "x": (1, 1, 2, 3), "w": (1, 2, 3, 3), "stride": 2})
check.equal(_cost["flops"], 216, what="flops of a transposed convolution")
check.equal(_cost["bytes"], 376, what="bytes of a transposed convolution")
del _cost


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(542)
    for bias in (False, True):
        for _ in range(4):
            N, D_in, D_out = (int(v) for v in rng.integers(1, 30, 3))
            cost = flops({"kind": "dense", "x": (N, D_in), "w": (D_in, D_out), "bias": bias})
            params = D_in * D_out + (D_out if bias else 0)
            what = f"of a dense layer, x ({N}, {D_in}), w ({D_in}, {D_out}), bias {bias}"
            check.equal(cost["flops"], N * D_out * (2 * D_in + bias), what=f"flops {what}")
            check.equal(cost["params"], params, what=f"params {what}")
            check.equal(cost["bytes"], 4 * (N * (D_in + D_out) + params), what=f"bytes {what}")
        for stride in (1, 2, 3):
            for padding in (0, 1):
                N, c, f = (int(v) for v in rng.integers(1, 5, 3))
                x, w = (N, c, 3, 5), (c, f, 4, 3)
                y = torch.nn.functional.conv_transpose2d(
                    torch.zeros(x), torch.zeros(w), None, stride, padding
                ).numel()
                layer = {"kind": "conv_transpose2d", "x": x, "w": w, "bias": bias}
                cost = flops(layer | {"stride": stride, "padding": padding})
                params = c * f * 12 + (f if bias else 0)
                total = 2 * N * c * 15 * f * 12 + (y if bias else 0)
                what = f"of {layer}, stride={stride}, padding={padding}"
                check.equal(cost["flops"], total, what=f"flops {what}")
                check.equal(cost["params"], params, what=f"params {what}")
                check.equal(cost["bytes"], 4 * (N * c * 15 + params + y), what=f"bytes {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="flops" part="refuses" points=1
check.raises(ValueError, flops, {"kind": "conv3d", "x": (1, 1, 2, 2), "w": (1, 1, 1, 1)})


### BEGIN HIDDEN TESTS
def _hidden():
    for kind in ("pool", "", "Conv2d"):
        check.raises(
            ValueError,
            flops,
            {"kind": kind, "x": (1, 2, 3, 3), "w": (2, 2, 1, 1)},
            what=f'flops of the kind "{kind}"',
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### The roofline
#
# Divide the two counts: $I = F/B$, operations for each byte, the **arithmetic intensity** of a layer. Let $P$ be the top speed of calculating (FLOP/s) and $M$ that of moving (byte/s). Then no program can be faster than
#
# $$\min(P,\ I \cdot M).$$
#
# Draw this over $I$, both axes logarithmic: a slope that ends in a level roof. This is the **roofline** (S. Williams, A. Waterman, D. Patterson, *Roofline*, Communications of the ACM 2009). Left of the corner $I = P/M$ a layer waits for memory, right of it for arithmetic.
#
# Measure yours. For $P$ take a large matrix product, for $M$ a large copy (each number read once and written once). Then put your own layers on it, each with the time that your own function takes:
#
# - **3 x 3**: 64 channels to 64, 28 x 28
# - **1 x 1**: 64 channels to 64, 28 x 28
# - **first layer**: 3 channels to 16, 5 x 5, 56 x 56
# - **depthwise**: 64 channels, 3 x 3, `groups=64`, 28 x 28
# - **bias only**: adding one number to each output, no weights worth speaking of
#
# **Predict.** Order the five by intensity. Which lie left of the corner? Which will lie far below the roof?

# %%
batch_size = 8 if profile == "quick" else 32
rng = np.random.default_rng(seed)
square = rng.standard_normal((768, 768), dtype=np.float32)
large = np.zeros(6_000_000, dtype=np.float32)
target = np.empty_like(large)
limits = milliseconds(
    {"product": lambda: square @ square, "copy": lambda: np.copyto(target, large)},
    times=9,
    pick=np.min,  # a roof is the best that was ever seen
)
peak = 2 * 768**3 / limits["product"] / 1e6  # GFLOP/s
bandwidth = 2 * large.nbytes / limits["copy"] / 1e6  # GB/s
print(f"this machine: {peak:.0f} GFLOP/s, {bandwidth:.1f} GB/s, corner at {peak / bandwidth:.1f}")

candidates = {
    "3 x 3": {"kind": "conv2d", "x": (batch_size, 64, 28, 28), "w": (64, 64, 3, 3), "padding": 1},
    "1 x 1": {"kind": "conv2d", "x": (batch_size, 64, 28, 28), "w": (64, 64, 1, 1)},
    "first layer": {
        "kind": "conv2d",
        "x": (batch_size, 3, 56, 56),
        "w": (16, 3, 5, 5),
        "padding": 2,
    },
    "depthwise": {
        "kind": "conv2d",
        "x": (batch_size, 64, 28, 28),
        "w": (64, 1, 3, 3),
        "padding": 1,
        "groups": 64,
    },
}


def operands(layer):
    """Random x and w of the layer's shapes in float32, and the options of conv2d."""
    shapes = layer["x"], layer["w"]
    pair = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    return *pair, {key: layer[key] for key in ("padding", "groups") if key in layer}


points = {}  # name: (FLOP / byte, GFLOP/s of yours, GFLOP/s of PyTorch)
for name, layer in candidates.items():
    lx, lw, options = operands(layer)
    cost = flops(layer)
    pair = torch.from_numpy(lx), torch.from_numpy(lw)
    with torch.inference_mode():
        taken = milliseconds(
            {
                "yours": lambda a=lx, b=lw, o=options: conv2d(a, b, **o),
                "PyTorch": lambda p=pair, o=options: torch.nn.functional.conv2d(*p, **o),
            },
            pick=np.min,
        )
    speeds = [cost["flops"] / taken[who] / 1e6 for who in ("yours", "PyTorch")]
    points[name] = (cost["flops"] / cost["bytes"], *speeds)
maps = np.ones((batch_size, 64, 28, 28), dtype=np.float32)
bias = np.ones((64, 1, 1), dtype=np.float32)
tensor_maps, tensor_bias = torch.from_numpy(maps), torch.from_numpy(bias)
taken = milliseconds(
    {"yours": lambda: maps + bias, "PyTorch": lambda: tensor_maps + tensor_bias}, pick=np.min
)
points["bias only"] = (1 / 8, *(maps.size / taken[who] / 1e6 for who in ("yours", "PyTorch")))
for name, (intensity, yours, theirs) in points.items():
    roof = min(peak, intensity * bandwidth)
    print(
        f"{name:<12} {intensity:7.2f} FLOP/byte, roof {roof:6.1f}, "
        f"yours {yours:6.1f}, PyTorch {theirs:6.1f} GFLOP/s"
    )

# %% figure="roofline"
fig, ax = plt.subplots(figsize=(6.6, 3.3), layout="constrained")
along = np.logspace(-1.3, 2.7, 200)
roof = np.minimum(peak, along * bandwidth)
ax.fill_between(along, roof, 5000, color="0.75")
ax.plot(along, roof, color="black", linewidth=2)
ax.text(0.06, 1500, "no program gets here", fontsize=9)
for n, (name, (intensity, yours, theirs)) in enumerate(points.items()):
    ax.plot(intensity, yours, "o", color="C0", label="yours" if n == 0 else None)
    ax.plot(intensity, theirs, "x", color="C1", markersize=8, label=None if n else "PyTorch")
    ax.annotate(name, (intensity, 0.14), fontsize=7, ha="center", rotation=20)
    ax.axvline(intensity, color="0.6", linewidth=0.5, linestyle=":")
ax.set(xscale="log", yscale="log", xlim=(0.05, 500), ylim=(0.1, 5000))
ax.set(xlabel="arithmetic intensity (FLOP per byte)", ylabel="speed (GFLOP/s)")
ax.set(title="The roofline of this machine")
ax.legend(loc="upper right", fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A slope that bends into a level roof, grey above it. Five layers by rising intensity: bias only, depthwise, 1 by 1, first layer, 3 by 3, each with a dot for this unit's function and a cross for PyTorch.](figures/roofline.png)
#
# From left to right: bias only (0.125 FLOP/byte: read 4 bytes, write 4, one addition), depthwise, 1 x 1, first layer, 3 x 3. What counts is how often a number is used once it is there. A 1 x 1 layer uses each input 64 times, once per filter. The first layer uses each of its few inputs 16 times *for each of 25 kernel pixels*. The slope holds the first one down, whoever programs it. From the 1 x 1 layer on they stand under the level part, unless your corner lies right of 16. Where your dot lies far below the roof, the difference is what you move and the count does not know: the columns. The depthwise layer has it worst: it makes nine numbers out of each pixel and uses each of them once, so that its matrix product is only one row high. How near does PyTorch come there, which need not make columns?
#
# A cross may even lie *above* the slope: these maps are small enough to stay in the cache, and the cache is faster than the memory that you measured. A roofline says which roof it is about. (And a program that shares the machine with others measures what is left over.)
#
# </details>

# %%
intensities = [points[name][0] for name in ("bias only", "depthwise", "1 x 1", "first layer")]
assert intensities == sorted(intensities)
assert points["3 x 3"][0] > intensities[-1]
print("intensity of a 3 x 3 layer, 28 x 28, as channels grow:")
for channels in (1, 4, 16, 64, 256):
    cost = flops(
        {
            "kind": "conv2d",
            "x": (8, channels, 28, 28),
            "w": (channels, channels, 3, 3),
            "padding": 1,
        }
    )
    print(f"{channels:4d} channels {cost['flops'] / cost['bytes']:8.2f} FLOP/byte")

# %% [markdown]
# ## 8. Dilate the kernel, or dilate the input
#
# Two operations put zeros between numbers, and people mix them up.
#
# - A **dilated** convolution puts $d-1$ holes between the pixels of the **kernel**. Each output sees farther. You have it already.
# - A **transposed** convolution with stride $s$ puts $s-1$ zeros between the pixels of the **input**. The result becomes larger: it **up**samples.
#
# ### Seeing far
#
# A kernel of $k$ with dilation $d$ spans $d\,(k-1)+1$ pixels. Layers of stride 1 add up: the receptive field of a stack is $1 + \sum_l d_l\,(k_l - 1)$. Three layers of 3 x 3 with $d = 1, 2, 4$ span $1 + 2\,(1+2+4) = 15$ pixels; with $d = 2, 2, 2$ they span 13. Ordinary ones: 7.
#
# Spanning is not seeing. To find which pixels a middle output depends on, send a gradient of 1 back from it, through kernels of ones, with your own `conv2d_backward`. Pixels that get 0 are not seen.
#
# **Predict.** Of the $13 \cdot 13 = 169$ pixels that $2, 2, 2$ spans, how many does it see? And of the $15 \cdot 15 = 225$ of $1, 2, 4$?


# %% figure="gridding"
def seen_from_the_middle(dilations, size=17):
    """How many paths lead from each pixel to the middle output, through 3 x 3 layers of ones."""
    gradient = np.zeros((1, 1, size, size))
    gradient[0, 0, size // 2, size // 2] = 1
    kernel = np.ones((1, 1, 3, 3))
    for d in reversed(dilations):
        gradient, _, _ = conv2d_backward(
            gradient, np.zeros_like(gradient), kernel, padding=d, dilation=d
        )
    return gradient[0, 0]


fig, axes = plt.subplots(1, 3, figsize=(7, 2.4), layout="constrained")
counts = {}
for ax, dilations in zip(axes, ((1, 1, 1), (2, 2, 2), (1, 2, 4)), strict=True):
    paths = seen_from_the_middle(dilations)
    counts[dilations] = int(np.sum(paths > 0))
    show(ax, np.log2(1 + paths), f"d = {', '.join(map(str, dilations))}", cmap="cividis", vmin=0)
fig.suptitle("Paths from each pixel to the middle output (brighter: more)", fontsize=9)
plt.show()
for dilations, count in counts.items():
    side = 1 + 2 * sum(dilations)
    print(f"d = {dilations}: spans {side} x {side} = {side**2} pixels, sees {count}")
assert counts == {(1, 1, 1): 49, (2, 2, 2): 49, (1, 2, 4): 225}

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three maps of 17 by 17 pixels. Dilations 1, 1, 1: a full square of 7. Dilations 2, 2, 2: every second pixel of a square of 13, like a sieve. Dilations 1, 2, 4: a full square of 15.](figures/gridding.png)
#
# Three equal dilations of 2 see 49 of 169 pixels: every second row and column. Their neighbours could be anything. This is the *gridding* of dilated networks (F. Yu, V. Koltun, T. Funkhouser, *Dilated Residual Networks*, 2017). The stack $1, 2, 4$ sees all 225: the small steps fill the holes of the large ones. Doubling makes the field grow exponentially with depth, at the same 27 weights (F. Yu and V. Koltun, *Multi-Scale Context Aggregation by Dilated Convolutions*, 2015). WaveNet does it with sound (unit 16).
#
# </details>
#
# ### Growing: the transposed convolution
#
# **Idea.** A convolution with stride 2 makes few numbers out of many. Its backward pass makes many out of few: $dx = A^T W^T dY$. Use *that* as a layer.
#
# **Picture.** Every input number stamps the whole kernel, multiplied by itself, onto the output. Stamps are $s$ apart. Where they overlap they add.
#
# ```
# x = (3, 5), w = (1, 10, 100), stride 2        stamp of 3     3  30 300
#                                               stamp of 5            5  50 500
#                                               y              3  30 305  50 500
# ```
#
# **Formula.** With $w$ of shape $(C_{in}, C_{out}, k_H, k_W)$: note the order, input channels first. It is the order of the convolution whose transpose it is.
#
# $$y_p[\,n, f,\ i\,s + k_1,\ j\,s + k_2\,]\ \mathrel{+}=\ \sum_c x[n,c,i,j]\; w[c,f,k_1,k_2].$$
#
# The last stamp starts at $(H-1)\,s$ and is $k_H$ high, so $y_p$ has $(H-1)\,s + k_H$ rows. **Padding** $p$ means here: *cut* $p$ rows and columns off each side, as the transpose of adding them. So
#
# $$H_{out} = (H-1)\,s + k_H - 2p .$$
#
# The same numbers come out if you put $s-1$ zeros between the pixels of $x$, pad by $k-1-p$ and correlate with the flipped kernel at stride 1: a cell below the exercise checks it. It is a bad way to compute it, as most of the products are with zeros.
#
# (Lecture notes say of stride > 1 that it downsamples. For a convolution, yes. For a transposed one the stride is the distance of the stamps, and it **up**samples. And sizes: a kernel of 3 with stride 2 and padding 1 makes 4 out of 7 and out of 8, so the way back is not unique. PyTorch has `output_padding` for the choice.)

# %% [markdown]
# ### Exercise: `conv_transpose2d`
#
# *15 minutes, medium. What it is for: growing feature maps in segmentation (unit 15) and in generators.*
#
# <details><summary>Hint 1</summary>
#
# Loop over kernel pixels. For one kernel pixel, where do the numbers of *all* input pixels go? It is a slice with step `stride`.
#
# </details>
# <details><summary>Hint 2: channels</summary>
#
# `w.reshape(C_in, -1).T @ x.reshape(N, C_in, -1)` does all sums over $c$ at once. Which shape does it have, and what are its rows?
#
# </details>
# <details><summary>Hint 3: the cut</summary>
#
# Build the uncut result, then take `padding : padding + H_out`. (Not `p:-p`.)
#
# </details>


# %% exercise="conv_transpose2d"
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """Stamp w (C_in, C_out, kH, kW) for each pixel of x (N, C_in, H, W) -> (N, C_out, H_out, W_out).

    H_out = (H - 1)*stride + kH - 2*padding, likewise W_out; padding is cut off. b (C_out,) or None.
    Floating. The convention of torch.nn.functional.conv_transpose2d.
    """
    ### BEGIN SOLUTION
    (N, C_in, H, W), (_, C_out, kH, kW) = x.shape, w.shape
    H_p, W_p = (H - 1) * stride + kH, (W - 1) * stride + kW
    dtype = np.result_type(x, w, np.float32)
    stamps = w.reshape(C_in, -1).T.astype(dtype) @ x.reshape(N, C_in, -1)
    stamps = stamps.reshape(N, C_out, kH, kW, H, W)
    y_p = np.zeros((N, C_out, H_p, W_p), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        rows = slice(k1, k1 + stride * H, stride)
        columns = slice(k2, k2 + stride * W, stride)
        y_p[:, :, rows, columns] += stamps[:, :, k1, k2]
    if b is not None:
        y_p += np.reshape(b, (-1, 1, 1))
    return y_p[:, :, padding : H_p - padding, padding : W_p - padding]
    ### END SOLUTION


# %% tests="conv_transpose2d" part="stamps" points=2
# The picture of the text, stride 2: the stamps share one place, 300 + 5
check.close(
    conv_transpose2d(np.array([[[[3.0, 5.0]]]]), np.array([[[[1.0, 10.0, 100.0]]]]), stride=2),
    np.array([[[[3.0, 30.0, 305.0, 50.0, 500.0]]]]),
    what="conv_transpose2d of (3, 5), stride 2",
)
# One pixel of two channels, two filters: w[c, f]. Map 0 is 1*2 + 10*5, map 1 is 1*3 + 10*7
check.close(
    conv_transpose2d(
        np.array([1.0, 10.0]).reshape(1, 2, 1, 1),
        np.array([[2.0, 3.0], [5.0, 7.0]]).reshape(2, 2, 1, 1),
    ),
    np.array([52.0, 73.0]).reshape(1, 2, 1, 1),
    what="conv_transpose2d, two channels, two filters",
)
# It upsamples: 2 x 3 pixels become (2-1)*2 + 4 = 6 by (3-1)*2 + 3 = 7
check.shape(
    conv_transpose2d(np.ones((2, 3, 2, 3)), np.ones((3, 5, 4, 3)), stride=2),
    (2, 5, 6, 7),
    what="conv_transpose2d, stride 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(551)
    for stride in (1, 2, 3):
        for N, C_in, C_out, H, W, kH, kW in (
            (2, 3, 4, 3, 4, 3, 2),
            (1, 2, 1, 4, 2, 2, 5),
            (3, 1, 2, 2, 3, 1, 1),
            (2, 2, 2, 3, 1, 3, 3),
        ):
            x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_in, C_out, kH, kW))
            expected = torch.nn.functional.conv_transpose2d(
                torch.tensor(x), torch.tensor(w), stride=stride
            ).numpy()
            check.close(
                conv_transpose2d(x, w, stride=stride),
                expected,
                what=f"conv_transpose2d, x {x.shape}, w {w.shape}, stride={stride}",
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv_transpose2d" part="options" points=1
# Padding 1 cuts one number off each end: 30, 305, 50
check.close(
    conv_transpose2d(
        np.array([[[[0.0, 0.0], [3.0, 5.0], [0.0, 0.0]]]]),
        np.array([[[[1.0, 10.0, 100.0]]]]),
        stride=2,
        padding=1,
    ),
    np.array([[[[0.0, 0.0, 0.0], [30.0, 305.0, 50.0], [0.0, 0.0, 0.0]]]]),
    what="conv_transpose2d, stride 2, padding 1",
)
# The bias is added once to each output, and not once for each stamp
check.close(
    conv_transpose2d(np.zeros((1, 1, 1, 2)), np.ones((1, 2, 1, 2)), np.array([4.0, 7.0])),
    np.array([[[[4.0, 4.0, 4.0]], [[7.0, 7.0, 7.0]]]]),
    what="conv_transpose2d of a black picture, with bias",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(552)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for kH, kW in ((5, 6), (7, 5)):
                x, w = rng.standard_normal((2, 3, 3, 4)), rng.standard_normal((3, 2, kH, kW))
                b = rng.standard_normal(2)
                before = b.copy()
                expected = torch.nn.functional.conv_transpose2d(
                    torch.tensor(x), torch.tensor(w), torch.tensor(b), stride, padding
                ).numpy()
                check.close(
                    conv_transpose2d(x, w, b, stride, padding),
                    expected,
                    what=f"conv_transpose2d, x {x.shape}, w {w.shape}, stride={stride}, "
                    f"padding={padding}, with bias",
                )
                check.unchanged(before, b, what="b")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv_transpose2d" part="contract" points=1
# A picture of bytes: 2*200 = 400, 0.5*200 + 2*101 = 302, 0.5*101 = 50.5. A byte holds whole numbers up to 255
check.close(
    conv_transpose2d(np.array([[[[200, 101]]]], dtype=np.uint8), np.array([[[[2.0, 0.5]]]])),
    np.array([[[[400.0, 302.0, 50.5]]]]),
    what="conv_transpose2d of a uint8 picture",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(553)
    wide = rng.standard_normal((2, 4, 9, 3)).transpose(0, 3, 1, 2)[:, ::-1, :, ::2]
    other = rng.standard_normal((3, 2, 3, 4)).transpose(0, 3, 1, 2)[..., ::-1]
    image = rng.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    for x, w, what, digits in (
        (image, rng.standard_normal((3, 2, 3, 3)), "a uint8 picture", 1e-6),
        (wide, other, "non-contiguous views, all digits", 1e-11),
        (wide.astype(np.float32), other.astype(np.float32), "float32", 1e-4),
    ):
        expected = torch.nn.functional.conv_transpose2d(
            torch.tensor(np.array(x, dtype=float)),
            torch.tensor(np.array(w, dtype=float)),
            stride=2,
        ).numpy()
        before = x.copy(), w.copy()
        check.close(
            conv_transpose2d(x, w, stride=2),
            expected,
            what=f"conv_transpose2d of {what}, stride=2",
            rtol=digits,
            atol=digits,
        )
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The photograph goes down through a 4 x 4 mean with stride 2, and up again through the transpose of the very same convolution.
#
# **Predict.** Is the photograph back? If not, what is missing?

# %% figure="not_an_inverse"
mean_kernel = np.full((1, 1, 4, 4), 1 / 16)
start = photo[None, None, 20:84, 30:130].astype(float)
down = conv2d(start, mean_kernel, stride=2, padding=1)
up = conv_transpose2d(down, mean_kernel, stride=2, padding=1)
fig, axes = plt.subplots(1, 3, figsize=(7, 1.9), layout="constrained")
for ax, picture, name in zip(axes, (start, down, up), ("the start", "down", "up"), strict=True):
    show(ax, picture[0, 0], f"{name}: {picture.shape[2]} x {picture.shape[3]}", vmin=0, vmax=1)
plt.show()
middle = (slice(4, -4), slice(4, -4))
print(
    f"mean of the start {start[0, 0][middle].mean():.3f}, of the result {up[0, 0][middle].mean():.3f}"
)
best = 4 * up  # the brightness put right
error = np.sqrt(np.mean((best - start)[0, 0][middle] ** 2))
spread = start[0, 0][middle].std()
print(
    f"with the brightness put right, the error is {error / spread:.0%} of the photograph's contrast"
)
assert up.shape == start.shape
assert error > 0.2 * spread

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A piece of a photograph, its half-size version, and the full-size result: blurred, and four times darker.](figures/not_an_inverse.png)
#
# The *shape* is back, the photograph is not. It is blurred twice, and a quarter as bright: each pixel is under $2 \cdot 2 = 4$ stamps, each of them weighs $1/16$. Three of four numbers were thrown away on the way down, and no layer can know them. **A transposed convolution is a transpose. It is no inverse, and "deconvolution" is a bad name for it.** (Transpose and inverse are equal for orthogonal matrices, which learned ones need not be.)
#
# </details>
#
# Now the check that was promised, and a pattern.
#
# **Predict.** All pixels are 1, all weights are 1, the stride is 2. Is the result flat? Try kernels of 3 and of 4.

# %%
rng = np.random.default_rng(seed)
sparse, kernel = rng.standard_normal((1, 1, 3, 4)), rng.standard_normal((1, 1, 3, 3))
with_zeros = np.zeros((1, 1, 5, 7))
with_zeros[:, :, ::2, ::2] = sparse  # the input, dilated
check.close(
    conv_transpose2d(sparse, kernel, stride=2),
    conv2d(with_zeros, kernel[:, :, ::-1, ::-1], padding=2),
    what="stamps against a convolution of the dilated input",
)

# %% figure="checkerboard"
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.9), layout="constrained")
flat = np.ones((1, 1, 5, 5))
for ax, size in zip(axes, (3, 4), strict=True):
    stamped = conv_transpose2d(flat, np.ones((1, 1, size, size)), stride=2)[0, 0]
    show(ax, stamped, f"kernel {size} x {size}, stride 2", cmap="cividis", vmin=0, vmax=4)
    write_values(ax, stamped, size=7)
    inside = stamped[2:-2, 2:-2]
    assert (inside.min() == inside.max()) == (size == 4)
fig.suptitle("A flat input, all weights 1", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two tables of counts. For a 3 by 3 kernel at stride 2 a checkerboard of 1, 2 and 4; for a 4 by 4 kernel all 4 inside the border.](figures/checkerboard.png)
#
# Stamps of 3 at a distance of 2 overlap in every second row and column: the lattice of part 5, now as an **artefact**. Pictures of generators show it as checkerboards (A. Odena, V. Dumoulin, C. Olah, *Deconvolution and Checkerboard Artifacts*, Distill 2016). A kernel whose size is a multiple of the stride overlaps evenly. Unit 15 comes back to this.
#
# </details>

# %% [markdown]
# ## 9. Groups to the end: depthwise separable
#
# **Idea.** A convolution does two things at once. It looks at neighbours, and it mixes channels. Do one after the other:
#
# 1. **depthwise**: one kernel for each channel, `groups = C_in`, weights $(C_{in}, 1, k_H, k_W)$. It looks, and mixes nothing.
# 2. **pointwise**: 1 x 1, weights $(C_{out}, C_{in}, 1, 1)$. It mixes, and looks at nothing.
#
# **Picture.** Which outputs depend on which channels? Give a 1 x 1 convolution eight one-hot inputs, and read its matrix off.

# %% figure="groups"
fig, axes = plt.subplots(1, 4, figsize=(7, 2), layout="constrained")
one_hot = np.eye(8)[:, :, None, None]  # eight pictures of one pixel and eight channels
rng = np.random.default_rng(seed)
for ax, groups in zip(axes, (1, 2, 4, 8), strict=True):
    weights = rng.uniform(0.3, 1, (8, 8 // groups, 1, 1))
    mixing = conv2d(one_hot, weights, groups=groups)[:, :, 0, 0].T
    title = f"groups = {groups}: {np.count_nonzero(mixing)} weights"
    show(ax, mixing, title, cmap="cividis", vmin=0, vmax=1)
    ax.set(xlabel="channel in")
    assert np.count_nonzero(mixing) == 64 // groups
axes[0].set(ylabel="channel out")
plt.show()

# %% [markdown]
# ![Four matrices of 8 by 8: full, two blocks, four blocks, and only the diagonal.](figures/groups.png)
#
# Groups make the matrix block diagonal. $G$ groups have $1/G$ of the weights and of the operations. (AlexNet of 2012 had two groups since its network did not fit on one graphics card: unit 10.)
#
# **Derive the saving.** Count multiply-adds for each output place. Standard: $C_{out}\,C_{in}\,k^2$. Depthwise: $C_{in}\,k^2$. Pointwise: $C_{out}\,C_{in}$. So
#
# $$\frac{C_{in} k^2 + C_{out} C_{in}}{C_{out}\,C_{in}\,k^2} = \frac{1}{C_{out}} + \frac{1}{k^2}.$$
#
# With 64 filters of 3 x 3 this is $1/64 + 1/9 = 0.127$: about eight times less. For many filters the 1 x 1 part is nearly all that is left. (MobileNets: Howard et al. 2017, section 3.1.)
#
# **By hand.** Channels $(1, 2)$ and $(10, 20)$, depthwise kernels of 1 x 2 $(1, 1)$ and $(3, 0)$: channel 0 gives $3$, channel 1 gives $30$. Pointwise weights $(2, 1)$: $2\cdot 3 + 30 = 36$.

# %% [markdown]
# ### Exercise: `depthwise_separable`
#
# *15 minutes, easy. What it is for: nearly every network on a telephone is made of these (unit 13).*
#
# Stride and padding belong to the depthwise step, the bias to the pointwise one. Nothing stands between the two steps. (Networks put a normalisation and a ReLU there.)
#
# <details><summary>Hint 1</summary>
#
# For each kernel pixel: a slice of the padded picture, multiplied by one number for each channel. Add up.
#
# </details>
# <details><summary>Hint 2: the second step</summary>
#
# `w_point.reshape(C_out, C_in) @ y.reshape(N, C_in, -1)`.
#
# </details>


# %% exercise="depthwise_separable"
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """One kernel for each channel of x (N, C_in, H, W), then 1 x 1 -> (N, C_out, H_out, W_out), floating.

    w_depth (C_in, 1, kH, kW), with stride and padding; w_point (C_out, C_in, 1, 1), b (C_out,) or None.
    """
    ### BEGIN SOLUTION
    (N, C_in, H, W), (_, _, kH, kW) = x.shape, w_depth.shape
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    dtype = np.result_type(x, w_depth, w_point, np.float32)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)).astype(dtype)
    looked = np.zeros((N, C_in, H_out, W_out), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        rows = slice(k1, k1 + stride * H_out, stride)
        columns = slice(k2, k2 + stride * W_out, stride)
        looked += x_p[:, :, rows, columns] * w_depth[:, :, k1, k2, None]
    y = w_point[:, :, 0, 0] @ looked.reshape(N, C_in, -1)
    if b is not None:
        y = y + np.reshape(b, (-1, 1))
    return y.reshape(N, -1, H_out, W_out)
    ### END SOLUTION


# %% tests="depthwise_separable" part="steps" points=2
# By hand: 2 * (1 + 2) + 1 * (3*10 + 0*20)
check.close(
    depthwise_separable(
        np.array([[[[1.0, 2.0]], [[10.0, 20.0]]]]),
        np.array([[[[1.0, 1.0]]], [[[3.0, 0.0]]]]),
        np.array([2.0, 1.0]).reshape(1, 2, 1, 1),
    ),
    np.array([[[[36.0]]]]),
    what="depthwise_separable, two channels",
)
check.shape(
    depthwise_separable(np.ones((2, 3, 5, 7)), np.ones((3, 1, 2, 3)), np.ones((4, 3, 1, 1))),
    (2, 4, 4, 5),
    what="depthwise_separable",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    F = torch.nn.functional
    rng = np.random.default_rng(561)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 7, 3, 2),
        (1, 4, 2, 6, 4, 1, 3),
        (3, 1, 3, 4, 5, 2, 2),
        (2, 2, 2, 4, 3, 1, 1),
    ):
        x, deep = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_in, 1, kH, kW))
        point = rng.standard_normal((C_out, C_in, 1, 1))
        looked = F.conv2d(torch.tensor(x), torch.tensor(deep), groups=C_in)
        expected = F.conv2d(looked, torch.tensor(point)).numpy()
        check.close(
            depthwise_separable(x, deep, point),
            expected,
            what=f"depthwise_separable, x {x.shape}, w_depth {deep.shape}, w_point {point.shape}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="depthwise_separable" part="options" points=1
# The padding belongs to the depthwise step, the bias to the last: 5 everywhere, and 2*(1*7) + 5 on the pixel
check.close(
    depthwise_separable(
        np.array([[[[7.0]]]]),
        np.array([[[[1.0]]]]),
        np.array([[[[2.0]]]]),
        np.array([5.0]),
        padding=1,
    ),
    np.array([[[[5.0, 5.0, 5.0], [5.0, 19.0, 5.0], [5.0, 5.0, 5.0]]]]),
    what="depthwise_separable, padding 1, with bias",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    F = torch.nn.functional
    rng = np.random.default_rng(562)

    def compare(x, deep, point, b, stride, padding, digits, what):
        x64, deep64, point64, b64 = (
            torch.tensor(np.array(a, dtype=float)) for a in (x, deep, point, b)
        )
        looked = F.conv2d(x64, deep64, None, stride, padding, groups=x.shape[1])
        expected = F.conv2d(looked, point64, b64).numpy()
        arguments = x, deep, point, b
        before = [a.copy() for a in arguments]
        check.close(
            depthwise_separable(x, deep, point, b, stride, padding),
            expected,
            what=f"depthwise_separable{what}, stride={stride}, padding={padding}",
            rtol=digits,
            atol=digits,
        )
        for name, old, new in zip(("x", "w_depth", "w_point", "b"), before, arguments, strict=True):
            check.unchanged(old, new, what=name)

    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            x, deep = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((3, 1, 3, 2))
            point, b = rng.standard_normal((4, 3, 1, 1)), rng.standard_normal(4)
            compare(x, deep, point, b, stride, padding, 1e-11, "")
    image = rng.integers(0, 256, (2, 3, 5, 6), dtype=np.uint8)
    compare(image, deep, point, b, 2, 1, 1e-6, " of a uint8 picture")
    small = [a.astype(np.float32) for a in (x, deep, point, b)]
    compare(*small, 1, 0, 1e-4, " in float32")
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, ::-1, :, ::2]
    compare(view, deep[:, :, ::-1], point[::-1], b[::-1], 1, 1, 1e-11, " of views")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Measure.** The saving in operations is 1/0.127, nearly eight. What is it in milliseconds?
#
# **Predict.** Use the roofline. Which of the two steps will take longer, the one with most of the operations?

# %%
rng = np.random.default_rng(seed)
x = rng.standard_normal((batch_size, 64, 28, 28), dtype=np.float32)
full = rng.standard_normal((64, 64, 3, 3), dtype=np.float32)
deep = rng.standard_normal((64, 1, 3, 3), dtype=np.float32)
point = rng.standard_normal((64, 64, 1, 1), dtype=np.float32)
costs = {
    "standard": flops({"kind": "conv2d", "x": x.shape, "w": full.shape, "padding": 1}),
    "depthwise": flops(
        {"kind": "conv2d", "x": x.shape, "w": deep.shape, "padding": 1, "groups": 64}
    ),
    "pointwise": flops({"kind": "conv2d", "x": x.shape, "w": point.shape}),
}
saving = (costs["depthwise"]["flops"] + costs["pointwise"]["flops"]) / costs["standard"]["flops"]
print(f"operations: {saving:.4f} of the standard layer; 1/C_out + 1/k^2 = {1 / 64 + 1 / 9:.4f}")
check.close(saving, 1 / 64 + 1 / 9, what="the saving")
separable_times = milliseconds(
    {
        "standard": lambda: conv2d(x, full, padding=1),
        "separable": lambda: depthwise_separable(x, deep, point, padding=1),
        "depthwise": lambda: conv2d(x, deep, padding=1, groups=64),
        "pointwise": lambda: conv2d(x, point),
    }
)
for name, value in separable_times.items():
    print(f"{name:<10} {value:7.2f} ms")
ratio = separable_times["separable"] / separable_times["standard"]
print(f"time: {ratio:.2f} of the standard layer")

# A separable layer is a standard one whose filters share one kernel for each channel, up to a factor
as_standard = point * deep[:, 0]  # (C_out, C_in, 1, 1) * (C_in, kH, kW)
check.close(
    depthwise_separable(x[:1], deep, point, padding=1),
    conv2d(x[:1], as_standard, padding=1),
    what="a separable layer as a standard one",
    rtol=1e-3,
    atol=1e-3,
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Eight times fewer operations, and not eight times faster. The depthwise step has $2 \cdot 9$ operations for each pixel and moves it in and out: on the roofline it stands to the left of the others. It has the fewest operations of all. Compare its time with that of the 1 x 1 step. **Operations are not time.** Unit 13 meets this again with real networks, on other machines.
#
# And the last check says what is given up. In a separable layer the kernels of channel $c$ in all filters are multiples of *one* kernel, `w_point[f, c] * w_depth[c]`. A standard layer has $C_{out}$ different ones.
#
# </details>

# %% [markdown] manual="which_roof" points=2
# **Question (2 points, 8 minutes).** A colleague replaces a standard convolution (256 channels to 256, 3 x 3, 14 x 14) by a depthwise separable one. He reports "about nine times fewer FLOPs, so about nine times faster". Compute the exact saving in operations. Then use arithmetic intensity (weights may be neglected) to say which of the three layers (standard, depthwise, pointwise) would profit from a processor with twice the GFLOP/s and the same memory, and which would not, on a machine whose corner is at 20 FLOP/byte.
#
# ### BEGIN SOLUTION
# $1/256 + 1/9 = 0.115$: 8.7 times fewer. (1 point.) With weights neglected each layer reads 256 numbers and writes 256 for each place: $4 \cdot 512 = 2{,}048$ bytes. Standard: $2 \cdot 256 \cdot 256 \cdot 9 / 2048 = 576$ FLOP/byte. Pointwise: $2 \cdot 256 \cdot 256 / 2048 = 64$. Both lie right of 20: they wait for arithmetic and profit (the pointwise one until the corner has moved to 40). Depthwise: $2 \cdot 256 \cdot 9 / 2048 = 2.25$, left of the corner: it waits for memory and gains nothing. So the time shrinks by less than the operations. (1 point.)
# ### END SOLUTION

# %%
for name, operations in (
    ("standard", 2 * 256 * 256 * 9),
    ("pointwise", 2 * 256 * 256),
    ("depthwise", 2 * 256 * 9),
):
    print(f"{name:<10} {operations / (4 * 512):7.2f} FLOP/byte, weights neglected")
assert round(1 / (1 / 256 + 1 / 9), 1) == 8.7

# %% [markdown]
# ## 10. The step again
#
# Put your functions into the layer of unit 04, and change nothing else.


# %%
class FastConv2d(SlowConv2d):
    """The layer of unit 04 with today's functions; it calculates in the type of its weights."""

    def forward(self, x):
        """Return y for a batch x."""
        w, b = self.params["w"], self.params["b"]
        self.seen = x.astype(w.dtype, copy=False)
        return conv2d(self.seen, w, b, self.stride, self.padding)

    def backward(self, dy):
        """Return dx for the batch of the last forward, and fill grads."""
        w = self.params["w"]
        dy = dy.astype(w.dtype, copy=False)
        dx, dw, db = conv2d_backward(dy, self.seen, w, self.stride, self.padding)
        self.grads = {"w": dw, "b": db}
        return dx


slow_net, fast_net = network(SlowConv2d), network(FastConv2d)
slow_losses = [gradient_step(slow_net, batch, batch_labels) for _ in range(3)]
fast_losses = [gradient_step(fast_net, batch, batch_labels) for _ in range(3)]
print("losses, unit 04 ", *(f"{value:.10f}" for value in slow_losses))
print("losses, today   ", *(f"{value:.10f}" for value in fast_losses))
check.close(np.array(fast_losses), np.array(slow_losses), what="the losses", rtol=1e-6)

# %% [markdown]
# The same network, the same numbers. Now in float32, as PyTorch does it: half the bytes.
#
# **Predict.** How many times faster is the whole step? And how many times faster would it be if convolutions took no time at all? (Part 1 has the numbers.)

# %%
float32_net = network(FastConv2d)
for layer in float32_net.layers:
    layer.params = {name: value.astype(np.float32) for name, value in layer.params.items()}
steps = {
    "unit 04": lambda: gradient_step(slow_net, batch, batch_labels),
    "today, float64": lambda: gradient_step(fast_net, batch, batch_labels),
    "today, float32": lambda: gradient_step(float32_net, batch, batch_labels),
    "PyTorch": torch_step,
}
step_times = milliseconds(steps, times=3)
for name, value in step_times.items():
    print(f"{name:<15} {value:8.1f} ms   {step_times['unit 04'] / value:7.1f} times as fast")

fast_spent = milliseconds_by_kind(float32_net)
print("\nforward and backward in float32, by kind of layer:")
for kind, value in fast_spent.items():
    print(f"{kind:<12} {value:8.2f} ms")
alone = slow_spent["Conv2d"] / fast_spent["FastConv2d"]
print(f"the convolutions alone are {alone:.1f} times as fast as in part 1")
share = slow_spent["Conv2d"] / sum(slow_spent.values())
print(f"there they took {share:.0%}: without them {1 / (1 - share):.1f} times as fast at most")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The step is faster, but less so than the convolutions alone are. Look at the table by kind of layer. The other layers take about what they took before. So their share has grown, above all that of **pooling** with its loop over places. Nobody made it slower. That is *Amdahl's law* (1967): if a share $f$ of the time is made $k$ times faster, the whole becomes $1/(1 - f + f/k)$ times faster, and never more than $1/(1-f)$. (Here the other layers gain a little from float32 as well.) Measure again after each improvement: what is worth your work has changed.
#
# </details>
#
# You know the cure by now. Windows that do not overlap need no loop over places, only one over the pixels of a window: slices again. Here it is for pooling.


# %%
class FastMaxPool2d(MaxPool2d):
    """Max pooling with windows of size x size that do not overlap and leave nothing over."""

    def __init__(self, size):
        super().__init__(size)
        self.size = size

    def forward(self, x):
        """Return the largest of the size * size slices, place by place."""
        self.shape, k = x.shape, self.size
        self.parts = [x[:, :, i::k, j::k] for i, j in np.ndindex(k, k)]
        self.largest = self.parts[0]
        for part in self.parts[1:]:
            self.largest = np.maximum(self.largest, part)
        return self.largest

    def backward(self, dy):
        """The first pixel of each window that has the maximum gets it all."""
        dx, waiting, k = np.zeros(self.shape, dy.dtype), np.ones(dy.shape, dtype=bool), self.size
        for (i, j), part in zip(np.ndindex(k, k), self.parts, strict=True):
            first = waiting & (part == self.largest)
            dx[:, :, i::k, j::k] = dy * first
            waiting &= ~first
        return dx


last_net = network(FastConv2d, FastMaxPool2d)
last_losses = [gradient_step(last_net, batch, batch_labels) for _ in range(3)]
check.close(np.array(last_losses), np.array(slow_losses), what="the losses", rtol=1e-6)
for layer in last_net.layers:
    layer.params = {name: value.astype(np.float32) for name, value in layer.params.items()}
steps["both, float32"] = lambda: gradient_step(last_net, batch, batch_labels)
step_times = milliseconds(steps)
for name, value in step_times.items():
    print(f"{name:<15} {value:8.2f} ms   {step_times['unit 04'] / value:7.1f} times as fast")

# %% figure="training"
trained, slow = network(FastConv2d, FastMaxPool2d), network(SlowConv2d)
batches = [slice(10 * n % 320, 10 * n % 320 + 10) for n in range(80)]
curve = [gradient_step(trained, images[some], labels[some]) for some in batches]
marks = [gradient_step(slow, images[some], labels[some]) for some in batches[:5]]
seconds = len(curve) / 1000
print(f"{len(curve)} steps: {seconds * step_times['both, float32']:.2f} s, ", end="")
print(f"in unit 04 {seconds * step_times['unit 04']:.2f} s")
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.plot(range(1, len(curve) + 1), curve, "-", color="C0", label="today's functions")
ax.plot(range(1, 6), marks, "o", mfc="none", color="black", markersize=8, label="unit 04")
ax.axhline(np.log(10), color="0.5", linestyle=":", label="guessing, log 10")
ax.set(xlabel="step (10 characters each)", ylabel="cross-entropy (nats)", ylim=(0, None))
ax.set(title="The same steps, sooner")
ax.legend(fontsize=7)
plt.show()
assert np.mean(curve[-10:]) < 0.6 * np.mean(curve[:10])
check.close(np.array(marks), np.array(curve[:5]), what="the first losses", rtol=1e-6)

# %% [markdown]
# ![The loss of 80 steps falls from the level of guessing to well below it; rings of unit 04 lie on the first five points.](figures/training.png)
#
# The same losses, up to rounding. Only the clock has changed.

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **A convolution is one matrix product on windows written as columns.** Its backward pass is two, and `col2im` is the transpose of `im2col`: it adds.
# 2. **Time is operations or bytes, whichever takes longer.** A view is free, a copy is not, operations are not time. Measure before you improve, and again after.
# 3. **Dilated: holes in the kernel, sees farther. Transposed: holes in the input, upsamples, is no inverse. Groups: a block diagonal; to the end it is depthwise,** and with a 1 x 1 after it costs $1/C_{out} + 1/k^2$.
#
# ## What to read
#
# - K. Chellapilla, S. Puri, P. Simard, *High Performance Convolutional Neural Networks for Document Processing*, 2006: unrolling convolution into a matrix product.
# - S. Williams, A. Waterman, D. Patterson, *Roofline: An Insightful Visual Performance Model*, Communications of the ACM 2009.
# - K. Goto and R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM Transactions on Mathematical Software 2008: what happens inside `@`.
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), chapters 4 and 5: transposed and dilated, as pictures.
# - A. Howard and others, *MobileNets*, 2017, [arXiv:1704.04861](https://arxiv.org/abs/1704.04861), section 3.1: depthwise separable convolution and its cost.
#
# ## The road not taken
#
# GEMM on columns is one road of four.
#
# - **Direct** convolution reads windows in place, with loops arranged for cache and vector instructions. PyTorch's library did that above. It needs another language than NumPy.
# - **Fourier**: convolution becomes a product of spectra (unit 02). It pays for large kernels (M. Mathieu, M. Henaff, Y. LeCun, 2013, [arXiv:1312.5851](https://arxiv.org/abs/1312.5851)).
# - **Winograd**: fewer multiplications for small kernels (A. Lavin and S. Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016, [arXiv:1509.09308](https://arxiv.org/abs/1509.09308)). Two neighbouring outputs of a kernel of three need $2 \cdot 3 = 6$ multiplications. Four are enough:

# %%
rng = np.random.default_rng(seed)
d, g = rng.standard_normal(4), rng.standard_normal(3)  # four pixels, a kernel of three
m1 = (d[0] - d[2]) * g[0]
m2 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
m3 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
m4 = (d[1] - d[3]) * g[2]
winograd = np.array([m1 + m2 + m3, m2 - m3 - m4])
check.close(winograd, np.correlate(d, g), what="two outputs by four multiplications")
print("four multiplications", winograd, "  six", np.correlate(d, g))

# %% [markdown]
# (The sums of kernel numbers, with their halves, are made once for all places.) In two dimensions it is 16 instead of 36 for a tile of 2 x 2 outputs. It costs more additions and some digits. The choice between these roads depends on the layer, and libraries measure it, as you did today.
