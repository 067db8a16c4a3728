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
#       cell_seconds: 30
#       submission_seconds: 300
#     minutes: 170
#     prerequisites:
#     - 02-convolution
#     title: Pooling
# ---

# %% [markdown]
# # Pooling
#
# **170 minutes. You need unit 02: a convolution slides one set of weights, and its maps move with the picture.**
#
# A feature map says *where* a feature is. A reader of digits should say *what* the digit is, wherever it stands. Between the two something must forget. Today you build the layers that forget: they look through a window and keep one number. You will find out how much they forget at each step (less than most texts say), what else breaks on the way, and how much of a picture one unit of a network can see. At the end a network of your own functions reads digits and does not notice that they have moved.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: feature maps, and a dense layer that stumbles over one pixel | 10 |
# | 2 | `max_pool2d`: keep the largest; how invariant that is, derived and measured | 40 |
# | 3 | overlap, tiles and gaps: a window drawer | 10 |
# | 4 | `avg_pool2d`, `min_pool2d`, `l2_pool2d`: other questions to the same window | 35 |
# | 5 | what the stride costs, and three remedies put to the test | 25 |
# | 6 | `adaptive_avg_pool2d`: choose the size of the result | 15 |
# | 7 | `flatten`: from maps to a row, in one order | 10 |
# | 8 | `receptive_field`: what a unit can see, and what it really looks at | 15 |
# | 9 | the digits again | 10 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Pictures and maps** are arrays `x` of shape `(N, C, H, W)`: number of pictures, channels, height, width. $H$ and $W$ may differ. Values may be negative, all of them, too.
# - **`kernel_size`** is an int or a pair `(kH, kW)`: the height and the width of the window. **`stride`** is an int or `None`. `None` means: as far as the window is large, so that windows lie side by side. For a pair `(kH, kW)` it is `kH` down and `kW` to the right. **`padding`** is an int, the same on all four sides, and at most half of the kernel (of `kH` and of `kW`). So every window sees at least one real pixel.
# - **Sizes** follow unit 02: $H_{out} = \lfloor (H + 2p - k_H)/s_H \rfloor + 1$, and $W_{out}$ likewise. At least one window fits. Rows and columns that no window reaches are dropped.
# - **Kinds of numbers.** Arguments are NumPy arrays of float32, float64 or integers. The **result is a NumPy array, and it is always floating**. float64 is always right; float32 is right too where the argument is float32.
# - **Views.** Arguments may be non-contiguous. **No argument is changed.** The result may share memory with an argument.
# - **`receptive_field`** takes a list of pairs of ints and returns a whole number.
# - **Speed does not count.** Python loops earn full marks.
#
# NumPy only. Every exercise can be done without the ones before it. You may call an earlier function of your own, but then a mistake in it costs twice.

# %% tags=["parameters"]
profile = "quick"  # "full" adds MNIST, where it is found, and shows the sliders
seed = 0

# %% locked=true
import os

import matplotlib.pyplot as plt
import numpy as np
from previously import conv2d, relu

from data import DataError, digits, mnist, photograph
from grader import check

plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})


def show(ax, picture, title, signed=False, limit=None, **settings):
    """Draw picture (H, W) on ax: grey, or orange-white-purple around zero if signed."""
    if signed:
        limit = limit or float(np.abs(picture).max()) or 1.0
        settings = {"cmap": "PuOr", "vmin": -limit, "vmax": limit} | settings
    drawn = ax.imshow(picture, **({"cmap": "gray"} | settings))
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


def write_values(ax, values, form="{:.0f}"):
    """Write each of values (H, W) into its pixel."""
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = ax.images[0].to_rgba(value)
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
        ax.text(j, i, form.format(value), ha="center", va="center", color=colour, fontsize=8)


# The photograph, three times smaller, as in unit 02: (142, 213), values from 0 to 1.
grey = photograph()[:426, :639].mean(axis=2) / 255
grey = grey.reshape(142, 3, 213, 3).mean(axis=(1, 3))

# %% [markdown]
# ## 1. What could not be done until now
#
# Take the digits of unit 02 again: 8 x 8 pixels, in the middle of a canvas of 16 x 16. This time no dense layer on pixels. A layer of **your convolution** comes first: 64 filters of 5 x 5. Nobody has to train them. Each is a piece of a training digit, cut out at random, minus its mean, scaled to length 1. (Such filters do surprisingly well: A. Coates and A. Ng, 2011, in the reading list.) Then a ReLU: what does not look like the filter counts 0. Then a dense layer on all the maps, its weights found in closed form by least squares with a little ridge (a penalty on large weights, which keeps the solution stable).
#
# An honest word first. The size and number of the filters, the rule that cuts them and the ridge were tried out on these same test digits, and one seed is shown. So read the accuracies of this lesson for their *pattern*: what falls, what stays. As estimates for new digits they are a little too good.

# %% locked=true
handwritten = digits()
train_x, train_y = handwritten.images[:1000], handwritten.labels[:1000]
test_x, test_y = handwritten.images[1000:], handwritten.labels[1000:]
shifts = list(range(5))


def on_canvas(pictures, down=0, right=0, size=16):
    """Put pictures (N, 1, h, w) on a black canvas (N, 1, size, size), off its middle by (down, right)."""
    h, w = pictures.shape[2:]
    top, left = (size - h) // 2 + down, (size - w) // 2 + right
    canvas = np.zeros((len(pictures), 1, size, size), dtype=np.float32)
    canvas[:, :, top : top + h, left : left + w] = pictures
    return canvas


def cut_filters(maps, number, size, rng):
    """Pieces of maps (N, C, H, W), minus their mean and of length 1: (number, C, size, size).

    Flat pieces are mostly passed over: of three drawn the one with the most contrast is taken.
    """
    N, _, H, W = maps.shape
    filters = []
    for _ in range(number):
        places = rng.integers(0, (N, H - size + 1, W - size + 1), (3, 3))
        pieces = np.stack([maps[n, :, i : i + size, j : j + size] for n, i, j in places])
        pieces = pieces - pieces.mean(axis=(1, 2, 3), keepdims=True)
        lengths = np.sqrt((pieces**2).sum(axis=(1, 2, 3)))
        filters.append(pieces[lengths.argmax()] / (lengths.max() + 1e-12))
    return np.stack(filters)


def in_pieces(function, pictures, size=200):
    """function(pictures) in float32, `size` pictures at a time: large maps need not all exist at once."""
    pieces = [function(pictures[n : n + size]) for n in range(0, len(pictures), size)]
    return np.concatenate([np.asarray(piece, dtype=np.float32) for piece in pieces])


def fit_dense(features, labels, ridge=0.1):
    """Least squares on features (N, D), targets +1 and -1: weights (D, 10) and biases (10,)."""
    mean = features.mean(axis=0)
    inputs = features - mean
    targets = 2.0 * np.eye(10)[labels] - 1
    offset = targets.mean(axis=0)
    if (
        len(inputs) < inputs.shape[1]
    ):  # fewer pictures than features: solve for one number a picture
        products = inputs @ inputs.T + ridge * np.eye(len(inputs))
        w = inputs.T @ np.linalg.solve(products, targets - offset)
    else:
        products = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
        w = np.linalg.solve(products, inputs.T @ (targets - offset))
    return w, offset - mean @ w


def read(features, dense):
    """The digits that a dense layer (w, b) reads in features (N, D): (N,)."""
    w, b = dense
    return (features @ w + b).argmax(axis=1)


def percent(answers, labels):
    """How many answers are right, in percent."""
    return 100 * float(np.mean(answers == labels))


filters = cut_filters(train_x, 64, 5, np.random.default_rng(seed))  # (64, 1, 5, 5)


def feature_maps(pictures):
    """Sixty-four maps of pictures (N, 1, H, W), as large as the picture: (N, 64, H, W)."""
    return relu(conv2d(pictures, filters, padding=2))


# %% [markdown]
# A convolution is equivariant: the digit moves, and the maps move along. You might hope that this is enough.
#
# **Predict.** The dense layer was trained on centred digits. You move the test digits to the right by 1 pixel, by 2, 3, 4. What becomes of the accuracy? Better than the dense layer on *pixels* of unit 02, which was at chance after two pixels?

# %%
train_maps = in_pieces(feature_maps, on_canvas(train_x))
rows = train_maps.reshape(len(train_maps), -1)  # one row of numbers a picture: part 7 builds this
on_maps = fit_dense(rows, train_y)
moved_maps = [feature_maps(on_canvas(test_x[:1], right=right))[0] for right in (0, 1)]
maps_accuracy = []
for right in shifts:
    maps = in_pieces(feature_maps, on_canvas(test_x, right=right))
    maps_accuracy.append(percent(read(maps.reshape(len(maps), -1), on_maps), test_y))
print(f"numbers in a picture {16 * 16:8,}     in its maps {rows.shape[1]:8,}")
print(f"weights and biases of the dense layer      {on_maps[0].size + 10:8,}")
del maps, train_maps, rows  # large

# %% figure="maps_move"
fig = plt.figure(figsize=(7.4, 2.3), layout="constrained")
left, right_part = fig.subfigures(1, 2, width_ratios=[1.7, 1])
axes = left.subplots(1, 3)
strongest = int(moved_maps[0].max(axis=(1, 2)).argmax())
first, second = (maps[strongest] for maps in moved_maps)
for ax, picture, title in zip(axes, (first, second), ("one map", "digit moved 1 px"), strict=False):
    drawn = show(ax, picture, title, cmap="viridis", vmin=0, vmax=first.max())
left.colorbar(drawn, ax=axes[:2], label="response", location="bottom", aspect=30)
drawn = show(axes[2], second - first, "difference", signed=True, limit=first.max())
left.colorbar(drawn, ax=axes[2], label="change", location="bottom", aspect=15)
ax = right_part.subplots()
ax.plot(shifts, maps_accuracy, "o-", label="convolution, then dense")
ax.axhline(10, color="gray", linewidth=1, linestyle=":", label="guessing")
ax.set(title="Do maps that move help?", ylim=(0, 103), xticks=shifts)
ax.set(xlabel="shift of the test digits (pixels)", ylabel="accuracy (%)")
ax.legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![One feature map of a digit, the same map after the digit moved by one pixel, their difference, which is as strong as the map, and the accuracy of a dense layer on all maps: 97 % without shift, about 50 % after one pixel, near chance after two.](figures/maps_move.png)
#
# Better features, and the same fall: from more than 95 % to about half after one pixel, and to near chance after two. Equivariance does not help a dense layer. The map has moved, and each of its weights still looks at the old place. For this digit the difference of the maps, one pixel apart, is three quarters as large as the maps themselves. There is a second trouble. The maps hold 16,384 numbers where the picture had 256, and the dense layer pays for each of them: 163,850 parameters.
#
# </details>
#
# Two wishes, then. Let the numbers that reach the dense layer **stay the same** when the picture moves a little. And let there be **fewer** of them.

# %%
print("shift   ", " ".join(f"{right:4d} px" for right in shifts))
print("accuracy", " ".join(f"{value:5.1f} %" for value in maps_accuracy), f"  (n = {len(test_y)})")
change = np.linalg.norm(moved_maps[1] - moved_maps[0]) / np.linalg.norm(moved_maps[0])
print(f"difference of the maps, relative to the maps: {change:.2f}")
assert maps_accuracy[0] > 95
assert maps_accuracy[1] < 70
assert maps_accuracy[2] < 25
assert change > 0.6

# %% [markdown]
# ## 2. Keep the largest: `max_pool2d`
#
# **Idea.** If a feature is in this neighbourhood, say so. Do not say where in the neighbourhood. So: slide a window over each map and keep the **largest** number in it.
#
# **Picture.** Windows of 2 x 2, side by side (stride 2), on a map of 4 x 4:
#
# ```
#   5  1 | 3  4
#   8  2 | 9  2          8  9
#   -----+-----    -->   3  2
#   1  3 | 0  1
#   2  2 | 2  0
# ```
#
# **Formula.**
#
# $$y[n,c,i,j] = \max_{0 \le k_1 < k_H,\ 0 \le k_2 < k_W} x_p[\,n,\ c,\ i\,s_H+k_1,\ j\,s_W+k_2\,] .$$
#
# Compare it with the convolution of unit 02. The window and the steps are the same. But there are no weights: **a pooling layer has nothing to learn**. And $c$ stands on both sides: **each channel is pooled for itself**. As many maps come out as went in. (A convolution adds its channels up.)
#
# **The padding is not zero.** $x_p$ is $x$ with a ring around it. A ring of zeros would be a lie: in a map whose values are all negative, 0 wins every window at the border, and 0 is no value of the map. The ring must never win. The one number that never wins a maximum is $-\infty$, in NumPy `-np.inf`. And as the padding is at most half of the window, every window has a real number in it: no $-\infty$ ever comes out.

# %% [markdown]
# ### Exercise: `max_pool2d`
#
# *25 minutes, medium. What it is for: it stands between the convolutions of LeNet's successors up to VGG, and unit 04 trains through it.*
#
# In steps, each with its own test:
#
# 1. windows side by side, for an int and for a pair, several pictures and channels (2 points);
# 2. a stride, smaller or larger than the window (1 point);
# 3. the padding (1 point);
# 4. the contract: integers, float32, float64 with all its digits, views, nothing changed (1 point).
#
# <details><summary>Hint 1: an int or a pair</summary>
#
# Make two numbers out of `kernel_size` first, `kH` and `kW`. `isinstance(kernel_size, int)` tells which kind you have. Then two numbers out of `stride`, and here `None` is the third case.
#
# </details>
# <details><summary>Hint 2: the windows</summary>
#
# A loop over the output places $(i, j)$: the window `x_p[:, :, top : top + kH, left : left + kW]` has shape `(N, C, kH, kW)`. Which two axes may the maximum use up?
#
# </details>
# <details><summary>Hint 3: the ring</summary>
#
# `np.pad` can put other numbers than 0: `constant_values`. An array of integers cannot hold $-\infty$. What do you have to do first?
#
# </details>
# <details><summary>Hint 4: the other way round (faster, if you like)</summary>
#
# Fix a place $(k_1, k_2)$ *in* the window and take this number of all windows at once. That is one slice with steps, of the shape of the result. There are $k_H k_W$ such slices. `np.maximum(a, b)` keeps the larger one, number by number.
#
# </details>


# %% exercise="max_pool2d"
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Largest number of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is
    -infinity: it never wins. The convention of torch.nn.functional.max_pool2d.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(1.0 * x, ring, constant_values=-np.inf)  # 1.0 * x is floating; float32 stays
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = -np.inf
    for k1 in range(kH):  # number (k1, k2) of all windows at once
        for k2 in range(kW):
            y = np.maximum(y, x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW])
    return y
    ### END SOLUTION


# %% tests="max_pool2d" part="windows" points=2
# The map of the text
check.close(
    max_pool2d(
        np.array(
            [
                [
                    [
                        [5.0, 1.0, 3.0, 4.0],
                        [8.0, 2.0, 9.0, 2.0],
                        [1.0, 3.0, 0.0, 1.0],
                        [2.0, 2.0, 2.0, 0.0],
                    ]
                ]
            ]
        ),
        2,
    ),
    np.array([[[[8.0, 9.0], [3.0, 2.0]]]]),
    what="max_pool2d, 2 x 2",
)
# A pair: windows of one row and three columns. The stride is that pair, too. The last column is dropped
check.close(
    max_pool2d(
        np.array([[[[1.0, 5.0, 2.0, 7.0, 0.0, 3.0, 9.0], [4.0, 0.0, 6.0, 1.0, 8.0, 2.0, 9.0]]]]),
        (1, 3),
    ),
    np.array([[[[5.0, 7.0], [6.0, 8.0]]]]),
    what="max_pool2d, kernel (1, 3)",
)
# Two pictures of two channels: each channel for itself. In the last one -1 is larger than -6
check.close(
    max_pool2d(
        np.array([[[[1.0, 4.0]], [[3.0, 2.0]]], [[[0.0, 7.0]], [[-6.0, -1.0]]]]),
        (1, 2),
    ),
    np.array([[[[4.0]], [[3.0]]], [[[7.0]], [[-1.0]]]]),
    what="max_pool2d, two pictures of two channels",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(301)
    for N, C, H, W, kernel in (
        (2, 3, 6, 8, 2),
        (1, 2, 7, 11, 3),
        (3, 1, 5, 7, (2, 3)),
        (2, 4, 9, 4, (4, 1)),
        (1, 3, 4, 6, (1, 2)),
        (2, 2, 3, 5, (3, 5)),
        (2, 3, 4, 5, 1),
        (1, 2, 8, 7, (2, 4)),
    ):
        x = rng.standard_normal((N, C, H, W))
        for values in (x, -np.abs(x) - 1):
            before = values.copy()
            expected = torch.nn.functional.max_pool2d(torch.tensor(values), kernel).numpy()
            check.close(
                max_pool2d(values, kernel),
                expected,
                what=f"max_pool2d, x {x.shape}, kernel {kernel}",
            )
            check.unchanged(before, values, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d" part="stride" points=1
# Stride 1, windows of 1 x 2 overlap: 4 is the largest of two windows. Stride 3: 2 and 3 are in no window
_row = np.array([[[[1.0, 4.0, 2.0, 3.0, 0.0]]]])
check.close(
    max_pool2d(_row, (1, 2), stride=1),
    np.array([[[[4.0, 4.0, 3.0, 3.0]]]]),
    what="max_pool2d, kernel (1, 2), stride 1",
)
check.close(
    max_pool2d(np.array([[[[1.0, 4.0, 9.0, 2.0, 5.0, 9.0]]]]), (1, 2), stride=3),
    np.array([[[[4.0, 5.0]]]]),
    what="max_pool2d, kernel (1, 2), stride 3",
)
del _row
# Both directions: windows of 3 x 3 start in rows 0, 2 and in columns 0, 2
check.close(
    max_pool2d(
        np.array(
            [
                [1.0, 0.0, 2.0, 0.0, 3.0],
                [0.0, 5.0, 0.0, 4.0, 0.0],
                [6.0, 0.0, 7.0, 0.0, 2.0],
                [0.0, 1.0, 0.0, 8.0, 0.0],
                [9.0, 0.0, 1.0, 0.0, 1.0],
            ]
        )[None, None],
        3,
        stride=2,
    ),
    np.array([[[[7.0, 7.0], [9.0, 8.0]]]]),
    what="max_pool2d, 3 x 3, stride 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(302)
    for stride in (1, 2, 3, 4):
        for N, C, H, W, kernel in (
            (2, 3, 7, 9, 2),
            (1, 2, 8, 6, 3),
            (2, 1, 9, 10, (2, 3)),
            (1, 2, 7, 8, (4, 1)),
            (1, 3, 5, 11, (1, 5)),
        ):
            x = rng.standard_normal((N, C, H, W)) - 3
            before = x.copy()
            expected = torch.nn.functional.max_pool2d(torch.tensor(x), kernel, stride).numpy()
            check.close(
                max_pool2d(x, kernel, stride),
                expected,
                what=f"max_pool2d, x {x.shape}, kernel {kernel}, stride={stride}",
            )
            check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d" part="padding" points=1
# All values are negative. The windows at the border must answer with a value of the map, not with the ring's
check.close(
    max_pool2d(np.array([[[[-5.0, -1.0], [-3.0, -4.0]]]]), 2, padding=1),
    np.array([[[[-5.0, -1.0], [-3.0, -4.0]]]]),
    what="max_pool2d of negative values, 2 x 2, padding 1",
)
# Windows of 3 x 3 start one row above and one column before the map, then move by 1
check.close(
    max_pool2d(np.array([[[[-2.0, -7.0, -6.0]]]]), 3, stride=1, padding=1),
    np.array([[[[-2.0, -2.0, -6.0]]]]),
    what="max_pool2d of a row of three, 3 x 3, stride 1, padding 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(303)
    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 6, 7, 2, None, 1),
        (1, 2, 5, 8, 3, 1, 1),
        (2, 2, 7, 5, 3, 2, 1),
        (1, 3, 8, 9, (2, 3), 3, 1),
        (2, 1, 6, 5, (4, 5), None, 2),
        (1, 2, 7, 4, (5, 4), 2, 2),
        (1, 2, 3, 4, 5, 1, 2),
        (2, 2, 5, 6, (3, 2), 1, 1),
    ):
        for values in (
            rng.standard_normal((N, C, H, W)),
            -1 - rng.random((N, C, H, W)),
            -1e30 * (1 + rng.random((N, C, H, W))),
            rng.integers(-90, -3, (N, C, H, W)),
        ):
            before = values.copy()
            expected = torch.nn.functional.max_pool2d(
                torch.tensor(values.astype(float)), kernel, stride, padding
            ).numpy()
            check.close(
                max_pool2d(values, kernel, stride, padding),
                expected,
                what=f"max_pool2d, x {before.shape}, kernel {kernel}, stride={stride}, padding={padding}",
            )
            check.unchanged(before, values, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d" part="contract" points=1
# Whole numbers in, a floating result out
check.close(
    max_pool2d(np.array([[[[1, 200], [7, 30]]]], dtype=np.uint8), 2),
    np.array([[[[200.0]]]]),
    what="max_pool2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(304)

    def compare(x, kernel, stride, padding, what, rtol=1e-5, atol=1e-6):
        wide = torch.tensor(np.array(x, dtype=np.float64))
        expected = torch.nn.functional.max_pool2d(wide, kernel, stride, padding).numpy()
        before = x.copy()
        check.close(
            max_pool2d(x, kernel, stride, padding), expected, what=what, rtol=rtol, atol=atol
        )
        check.unchanged(before, x, what="x")

    image = rng.integers(0, 256, (2, 3, 6, 7), dtype=np.uint8)
    compare(image, 2, None, 0, "max_pool2d of uint8")
    signed = rng.integers(-90, -3, (2, 2, 5, 6))
    compare(signed, (2, 3), None, 0, "max_pool2d of negative integers")
    x = rng.standard_normal((2, 3, 6, 8))
    compare(x, 2, None, 0, "max_pool2d of float64, all its digits", rtol=1e-12, atol=1e-14)
    compare(x.astype(np.float32), (3, 2), None, 0, "max_pool2d of float32")
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, 2, None, 0, "max_pool2d of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The map of part 1, pooled by your function, and the same after the digit has moved by one pixel.

# %% figure="pooled_map"
fig, axes = plt.subplots(2, 4, figsize=(7.2, 3.5), layout="constrained")
for row, (name, values) in enumerate((("digit in place", first), ("moved 1 px", second))):
    for ax, k in zip(axes[row], (1, 2, 4, 8), strict=True):
        pooled = max_pool2d(values[None, None], k)[0, 0]
        title = name if k == 1 else f"max pooled {k} x {k}"
        show(ax, pooled, title, cmap="viridis", vmin=0, vmax=first.max())
fig.suptitle("The larger the window, the less the map knows of the move", fontsize=9)
plt.show()

# %% [markdown]
# ![Two rows of four maps: the feature map of a digit and its max pooled versions with windows of 2, 4 and 8, above for the digit in place, below for the digit moved by one pixel; the two rows grow more alike as the windows grow.](figures/pooled_map.png)
#
# The more you pool, the more the two rows look alike. This is what people mean by **local invariance**: within its window a feature may move, and the answer stays. (Some notes say that max pooling introduces local *variance*. It is the opposite: it takes variation away. Invariance.)

# %% [markdown]
# ### How invariant is it?
#
# "Small shifts do not change the result." You will read this sentence in many texts. Do not believe it: count.
#
# **Predict.** A map of pure noise, a window of 2 x 2. You move the map by *one* pixel. How many of the pooled values are exactly the same as before? Nine in ten? Half? Say a number. And for a window of 3 x 3?


# %% figure="survival"
def survival(maps, k, d):
    """Share of k x k pooled values of maps (N, C, H, W) that a move by d pixels leaves exactly as they are.

    Windows that hold nothing but zeros, before and after, are not counted.
    """
    here = max_pool2d(maps[:, :, :, d:], k, stride=1)
    there = max_pool2d(maps[:, :, :, : maps.shape[3] - d], k, stride=1)
    counted = (here != 0) | (there != 0)
    return float(np.mean(here[counted] == there[counted]))


noise = np.random.default_rng(seed).standard_normal((1, 1, 160, 160))
real = feature_maps(on_canvas(test_x[:50]))
sizes = list(range(1, 9))
on_noise = {d: [survival(noise, k, d) for k in sizes] for d in (1, 2)}
on_real = [survival(real, k, 1) for k in sizes]
fig, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
ax.plot(sizes, on_real, "D:", color="tab:gray", label="maps of digits, moved 1 px")
ax.plot(sizes, on_noise[1], "o-", color="C0", label="noise, moved 1 px")
ax.plot(sizes, on_noise[2], "s--", color="C1", label="noise, moved 2 px")
ax.set(xlabel="side of the window k (pixels)", ylabel="share that stays the same", ylim=(0, 1))
ax.set(title="How many pooled values survive a move?")
ax.legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Share of pooled values that stay the same against the side of the window, from 1 to 8. Noise moved by one pixel: 0, one third, one half, and so on up to 78 %; noise moved by two pixels lies lower, and so do maps of digits: 0.19 for a window of 2, 0.30 for 3.](figures/survival.png)
#
# **One in three.** For 3 x 3 it is one half. You can derive it. The window before the move and the window after it overlap. Together they cover $k\,(k+1)$ pixels; $k\,(k-1)$ of them are in both. When are the two maxima the same number? Exactly when the largest number of *all* that they cover lies in the part that they share: if it lies outside, only one of the two windows has it. In noise each of the $k\,(k+1)$ pixels is the largest with equal probability. So
#
# $$P(\text{the value stays}) = \frac{k\,(k-1)}{k\,(k+1)} = \frac{k-1}{k+1}, \qquad \text{and after } d \text{ pixels}\quad \frac{k-d}{k+d} .$$
#
# For 2 x 2 and one pixel: $1/3$. The most used pooling layer of all keeps one value in three over the smallest move there is. Maps of digits do *worse*: about one in five. They are not noise but hills and slopes. On a slope the largest number of a window stands at the window's edge, and what stands at the edge is what a move takes away, or tops. On a pure slope *nothing* survives: the next cell checks it. (Not to be exactly equal is not to be far off: see the question below.)
#
# So a pooling layer is not a wall against shifts. It is a sieve. **Max pooling gives local invariance, a bit of it, and the bit is $(k-d)/(k+d)$.**
#
# </details>

# %%
for k, value in zip(sizes, on_noise[1], strict=True):
    print(f"k = {k}: noise {value:.3f}, (k - 1) / (k + 1) = {(k - 1) / (k + 1):.3f}")
    assert abs(value - (k - 1) / (k + 1)) < 0.03
for k, value in zip(sizes, on_noise[2], strict=True):
    assert abs(value - max(0, (k - 2) / (k + 2))) < 0.04
slope = np.arange(160.0).reshape(1, 1, 1, 160) + np.zeros((1, 1, 160, 1))  # rises to the right
assert [survival(slope, k, 1) for k in sizes] == [0] * len(sizes)
print(
    "maps of digits", " ".join(f"{value:.2f}" for value in on_real), f"  (k = 1 to 8, seed {seed})"
)

# %% [markdown] manual="survival" points=2
# **Question (2 points, 10 minutes).** A map of noise is moved *diagonally*: by one pixel down and one to the right. What share of the max pooled values of $k \times k$ windows stays the same? Derive it as above, and give the number for $k = 2$. Then: pooled values that change, by how much do they change? Name one property of real feature maps, and say whether it makes the change smaller or larger than in noise.
#
# ### BEGIN SOLUTION
# The windows share $(k-1)^2$ pixels. Together they cover $2k^2 - (k-1)^2$. The value stays exactly when the largest of all of them lies in the shared part, and each pixel is the largest with equal probability:
#
# $$P = \frac{(k-1)^2}{2k^2 - (k-1)^2}, \qquad k = 2:\ \frac{1}{8-1} = \frac17 .$$
#
# (1 point.) Real maps are smooth: the filter's windows at neighbouring places overlap (5 x 5 filters share 20 of 25 pixels), so neighbouring values are correlated, and the new maximum is mostly a neighbour of the old one and close to it. That makes the change smaller. Or: after a ReLU many values are 0, and windows without the feature stay at exactly 0. That makes the change smaller, too. (1 point for a property with its direction and a reason.)
# ### END SOLUTION

# %% [markdown]
# ## 3. Overlap, tiles, gaps
#
# Three cases, told apart by stride and kernel along each axis:
#
# - $s < k$: windows **overlap**. One strong value may be the answer of several windows.
# - $s = k$: windows **tile**. Each value belongs to one window (or to none, at the right and lower rim). It is the usual choice, so it is what `stride=None` means.
# - $s > k$: there are **gaps**. Values in a gap are never looked at. Hardly anybody wants this.
#
# AlexNet pooled with windows of 3 x 3 at stride 2. Compared with 2 x 2 tiles, which give maps of nearly the same size, this lowered its top-1 error by 0.4 and its top-5 error by 0.3 percentage points (A. Krizhevsky and others, 2012, section 3.4).
#
# **Play.** Frames are windows; dashes tell neighbours apart. The right picture is what your `max_pool2d` makes of the left one. Change the numbers in the last line of the cell. In JupyterLab you get sliders.
#
# **Predict.** The picture has 7 x 9 values, one of them is 9, all others are smaller. Windows of 3 x 3, stride 2. How many of the results are 9? And at stride 3, at stride 1?


# %% figure="pooling_windows"
def draw_pooling(kH=3, kW=3, stride=2, padding=0):
    """Draw the windows of a pooling layer on 7 x 9 values, and what max_pool2d makes of them."""
    values = np.random.default_rng(3).integers(0, 9, (7, 9)).astype(float)  # 0 to 8, and one 9
    values[2, 4] = 9
    # More than half of the kernel is refused: some windows would see nothing but padding
    p = min(padding, kH // 2, kW // 2)
    pooled = max_pool2d(values[None, None], (kH, kW), stride, p)[0, 0]
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9), layout="constrained", width_ratios=[1.6, 1])
    ring = np.pad(values, p, constant_values=np.nan)
    show(axes[0], ring, f"{ring.shape[0]} x {ring.shape[1]} values, padding {p}", cmap="cividis")
    axes[0].images[0].set_clim(0, 9)
    for i, j in np.ndindex(*values.shape):
        colour = "black" if values[i, j] > 4 else "white"
        axes[0].text(j + p, i + p, f"{values[i, j]:.0f}", ha="center", va="center", color=colour)
    for i, j in np.ndindex(*pooled.shape):
        inset = 0.08 + 0.14 * ((i + j) % 2)  # neighbouring frames must not lie on each other
        corner = (j * stride - 0.5 + inset, i * stride - 0.5 + inset)
        axes[0].add_patch(
            plt.Rectangle(
                corner,
                kW - 2 * inset,
                kH - 2 * inset,
                fill=False,
                edgecolor=("white", "C1")[(i + j) % 2],
                linestyle=("-", "--")[(i + j) % 2],
                linewidth=1.4,
            )
        )
    show(axes[1], pooled, f"max_pool2d: {pooled.shape[0]} x {pooled.shape[1]}", cmap="cividis")
    axes[1].images[0].set_clim(0, 9)
    write_values(axes[1], pooled)
    kinds = ["overlap" if stride < k else "tile" if stride == k else "leave gaps" for k in (kH, kW)]
    fig.suptitle(f"stride {stride}: windows {kinds[0]} down, {kinds[1]} to the right", fontsize=9)
    plt.show()


draw_pooling(kH=3, kW=3, stride=2, padding=0)

# %%
# Sliders need a page to live in. Without them the figure above is all there is to see.
sliders = profile == "full" or "JPY_SESSION_NAME" in os.environ
if sliders:
    from ipywidgets import interact

    interact(draw_pooling, kH=(1, 5), kW=(1, 5), stride=(1, 5), padding=(0, 2))

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A table of 7 by 9 values with overlapping frames of 3 by 3, and the 3 by 4 maxima beside it; the one 9 of the table appears in several of them.](figures/pooling_windows.png)
#
# The 9 stands in row 2, column 4. At stride 2 the windows of rows 0-2 and of rows 2-4 both hold row 2; column 4 is in the windows of columns 2-4 and of columns 4-6. So four results are 9. At stride 3 the windows tile, and one result is 9. At stride 1 nine windows see it: nine results. Overlap makes a strong value count more often. At stride 4 with windows of 3 x 3 there are gaps: column 3 and row 3 are seen by nobody. (Nor are columns 7 and 8, where no whole window fits.)
#
# </details>

# %%
_values = np.zeros((1, 1, 7, 9))
_values[0, 0, 2, 4] = 9
nines = [int(np.sum(max_pool2d(_values, 3, stride) == 9)) for stride in (1, 2, 3)]
print("results that are 9, at stride 1, 2, 3:", nines)
assert nines == [9, 4, 1]

# %% [markdown]
# ## 4. Other questions to the same window
#
# The largest number is one answer. Here is one window and four:
#
# ```
#    3  0      largest          max       3
#    0 -4      smallest         min      -4
#              mean             avg      (3 + 0 + 0 - 4) / 4     = -0.25
#              length           L2       sqrt(9 + 0 + 0 + 16)    =  5
# ```
#
# **Average.** $y = \frac{1}{k_H k_W} \sum_{k_1,k_2} x_p[\dots]$, the same index as before. Every value counts, not only the winner. Here the ring is **zeros, and they count**: the sum is always divided by $k_H k_W$, also at the border. So a border window of ones has a mean below 1. (PyTorch's `avg_pool2d` does this unless told otherwise: `count_include_pad=True`.)
#
# **Smallest.** For negative features it is what the maximum is for positive ones. The largest of the negated numbers is the negated smallest:
#
# $$\min(a, b, \dots) = -\max(-a, -b, \dots) .$$
#
# So min pooling is max pooling between two minus signs, and its ring is $+\infty$. Networks rarely use it. After a ReLU the values are 0 or more, and the smallest of a window is mostly 0. You will measure that.
#
# **Length.** $y = \sqrt{\sum_{k_1,k_2} x_p[\dots]^2}$, the root of the **sum** of squares (not of the mean), with a ring of zeros. It asks "how much is going on here?" and does not look at signs. P. Sermanet, S. Chintala and Y. LeCun (2012, [arXiv:1204.3968](https://arxiv.org/abs/1204.3968)) read house numbers with it and its relatives. PyTorch has it as `lp_pool2d` with `norm_type=2`.
#
# Sum, length and maximum are one family. For numbers that are not negative $\left(\sum x^p\right)^{1/p}$ is the sum for $p = 1$, the length for $p = 2$, and for $p \to \infty$ the largest takes over and you have the maximum.

# %% [markdown]
# ### Exercise: `avg_pool2d`
#
# *10 minutes, easy. What it is for: the end of most networks since 2014, and the one pooling layer that is linear.*
#
# Parts: windows (1 point), stride and padding (1 point), the contract (1 point).
#
# <details><summary>Hint 1</summary>
#
# Everything but one operation and one number is as in `max_pool2d`. Which number goes into the ring?
#
# </details>
# <details><summary>Hint 2: sums of bytes</summary>
#
# `np.uint8(200) + np.uint8(100)` is 44: a byte holds no more than 255. Make the numbers floating before you add them.
#
# </details>


# %% exercise="avg_pool2d"
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Mean of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is zeros,
    and they count: each sum is divided by kH * kW. The convention of torch.nn.functional.avg_pool2d.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    x_p = np.pad(1.0 * x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    total = 0.0
    for k1 in range(kH):
        for k2 in range(kW):
            total = total + x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW]
    return total / (kH * kW)
    ### END SOLUTION


# %% tests="avg_pool2d" part="windows" points=1
# The map of part 2: (5 + 1 + 8 + 2) / 4 = 4, (3 + 4 + 9 + 2) / 4 = 4.5, then 2 and 0.75
check.close(
    avg_pool2d(
        np.array(
            [
                [
                    [
                        [5.0, 1.0, 3.0, 4.0],
                        [8.0, 2.0, 9.0, 2.0],
                        [1.0, 3.0, 0.0, 1.0],
                        [2.0, 2.0, 2.0, 0.0],
                    ]
                ]
            ]
        ),
        2,
    ),
    np.array([[[[4.0, 4.5], [2.0, 0.75]]]]),
    what="avg_pool2d, 2 x 2",
)
# A pair, two channels: (1 + 5 + 3) / 3 = 3 and (4 - 1 + 0) / 3 = 1. The last column is dropped
check.close(
    avg_pool2d(np.array([[[[1.0, 5.0, 3.0, 8.0]], [[4.0, -1.0, 0.0, 8.0]]]]), (1, 3)),
    np.array([[[[3.0]], [[1.0]]]]),
    what="avg_pool2d, two channels, kernel (1, 3)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(305)
    for N, C, H, W, kernel in (
        (2, 3, 6, 8, 2),
        (1, 2, 7, 11, 3),
        (3, 1, 5, 7, (2, 3)),
        (2, 4, 9, 4, (4, 1)),
        (1, 3, 4, 6, (1, 2)),
        (2, 2, 3, 5, (3, 5)),
        (1, 2, 8, 7, (2, 4)),
    ):
        x = rng.standard_normal((N, C, H, W))
        before = x.copy()
        expected = torch.nn.functional.avg_pool2d(torch.tensor(x), kernel).numpy()
        check.close(
            avg_pool2d(x, kernel), expected, what=f"avg_pool2d, x {x.shape}, kernel {kernel}"
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="avg_pool2d" part="options" points=1
# Stride 1: (1 + 3) / 2 = 2, (3 + 8) / 2 = 5.5, (8 + 2) / 2 = 5
check.close(
    avg_pool2d(np.array([[[[1.0, 3.0, 8.0, 2.0]]]]), (1, 2), stride=1),
    np.array([[[[2.0, 5.5, 5.0]]]]),
    what="avg_pool2d, kernel (1, 2), stride 1",
)
# Zeros of the ring count: each window of 2 x 2 holds one value and three zeros. 8 / 4 = 2
check.close(
    avg_pool2d(np.array([[[[8.0, 4.0], [-12.0, 20.0]]]]), 2, padding=1),
    np.array([[[[2.0, 1.0], [-3.0, 5.0]]]]),
    what="avg_pool2d, 2 x 2, padding 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(306)
    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 7, 9, 2, 1, 0),
        (1, 2, 8, 6, 3, 2, 0),
        (2, 1, 9, 10, (2, 3), 3, 0),
        (1, 2, 7, 8, (2, 1), 4, 0),
        (2, 3, 6, 7, 2, None, 1),
        (1, 2, 5, 8, 3, 1, 1),
        (2, 2, 7, 5, 3, 2, 1),
        (1, 3, 8, 9, (2, 3), 3, 1),
        (2, 1, 6, 5, (4, 5), None, 2),
        (1, 2, 7, 4, (5, 4), 2, 2),
        (1, 2, 3, 4, 5, 1, 2),
    ):
        x = rng.standard_normal((N, C, H, W)) + 2
        before = x.copy()
        expected = torch.nn.functional.avg_pool2d(torch.tensor(x), kernel, stride, padding).numpy()
        check.close(
            avg_pool2d(x, kernel, stride, padding),
            expected,
            what=f"avg_pool2d, x {x.shape}, kernel {kernel}, stride={stride}, padding={padding}",
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="avg_pool2d" part="contract" points=1
# (200 + 100 + 50 + 3) / 4 = 88.25. A byte holds neither the sum nor the fraction
check.close(
    avg_pool2d(np.array([[[[200, 100], [50, 3]]]], dtype=np.uint8), 2),
    np.array([[[[88.25]]]]),
    what="avg_pool2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(307)

    def compare(x, kernel, stride, padding, what, rtol=1e-5, atol=1e-6):
        wide = torch.tensor(np.array(x, dtype=np.float64))
        expected = torch.nn.functional.avg_pool2d(wide, kernel, stride, padding).numpy()
        before = x.copy()
        check.close(
            avg_pool2d(x, kernel, stride, padding), expected, what=what, rtol=rtol, atol=atol
        )
        check.unchanged(before, x, what="x")

    image = rng.integers(0, 256, (2, 3, 6, 7), dtype=np.uint8)
    compare(image, 2, None, 0, "avg_pool2d of uint8")
    compare(rng.integers(-90, 90, (2, 2, 5, 6)), (2, 3), None, 0, "avg_pool2d of integers")
    x = rng.standard_normal((2, 3, 6, 8))
    compare(x, 2, None, 0, "avg_pool2d of float64, all its digits", rtol=1e-10, atol=1e-12)
    compare(x.astype(np.float32), (3, 2), None, 0, "avg_pool2d of float32")
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, 2, None, 0, "avg_pool2d of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `min_pool2d`
#
# *5 minutes, easy. What it is for: to see that the ring belongs to the question. (PyTorch has no such function. Now you know why it needs none.)*
#
# Parts: windows (1 point), stride, padding and the contract (1 point).
#
# <details><summary>Hint</summary>
#
# Two roads: the loop of `max_pool2d` with another operation and another ring. Or the formula with two minus signs. On the second road mind whole numbers: `-np.uint8(5)` is 251.
#
# </details>


# %% exercise="min_pool2d"
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """Smallest number of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding never wins.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(1.0 * x, ring, constant_values=np.inf)
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = np.inf
    for k1 in range(kH):
        for k2 in range(kW):
            y = np.minimum(y, x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW])
    return y
    ### END SOLUTION


# %% tests="min_pool2d" part="windows" points=1
# The map of part 2
check.close(
    min_pool2d(
        np.array(
            [
                [
                    [
                        [5.0, 1.0, 3.0, 4.0],
                        [8.0, 2.0, 9.0, 2.0],
                        [1.0, 3.0, 0.0, 1.0],
                        [2.0, 2.0, 2.0, 0.0],
                    ]
                ]
            ]
        ),
        2,
    ),
    np.array([[[[1.0, 2.0], [1.0, 0.0]]]]),
    what="min_pool2d, 2 x 2",
)
# Two channels, a pair: -7 is smaller than 2, though it is farther from 0
check.close(
    min_pool2d(np.array([[[[3.0, 6.0, 5.0, 1.0]], [[4.0, 2.0, -7.0, -9.0]]]]), (1, 3)),
    np.array([[[[3.0]], [[-7.0]]]]),
    what="min_pool2d, two channels, kernel (1, 3)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(308)
    for N, C, H, W, kernel in (
        (2, 3, 6, 8, 2),
        (1, 2, 7, 11, 3),
        (3, 1, 5, 7, (2, 3)),
        (2, 4, 9, 4, (4, 1)),
        (2, 2, 3, 5, (3, 5)),
    ):
        x = rng.standard_normal((N, C, H, W))
        for values in (x, np.abs(x) + 1, -np.abs(x) - 1):
            before = values.copy()
            expected = -torch.nn.functional.max_pool2d(-torch.tensor(values), kernel).numpy()
            check.close(
                min_pool2d(values, kernel),
                expected,
                what=f"min_pool2d, x {x.shape}, kernel {kernel}",
            )
            check.unchanged(before, values, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="min_pool2d" part="options" points=1
# Stride 1
check.close(
    min_pool2d(np.array([[[[1.0, 4.0, 2.0, 3.0]]]]), (1, 2), stride=1),
    np.array([[[[1.0, 2.0, 2.0]]]]),
    what="min_pool2d, kernel (1, 2), stride 1",
)
# All values are positive. The windows at the border must answer with a value of the map
check.close(
    min_pool2d(np.array([[[[5.0, 1.0], [3.0, 4.0]]]]), 2, padding=1),
    np.array([[[[5.0, 1.0], [3.0, 4.0]]]]),
    what="min_pool2d of positive values, 2 x 2, padding 1",
)
# Bytes
check.close(
    min_pool2d(np.array([[[[200, 9], [70, 30]]]], dtype=np.uint8), 2),
    np.array([[[[9.0]]]]),
    what="min_pool2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(309)

    def compare(x, kernel, stride, padding, what, rtol=1e-5, atol=1e-6):
        wide = torch.tensor(np.array(x, dtype=np.float64))
        expected = -torch.nn.functional.max_pool2d(-wide, kernel, stride, padding).numpy()
        before = x.copy()
        check.close(
            min_pool2d(x, kernel, stride, padding), expected, what=what, rtol=rtol, atol=atol
        )
        check.unchanged(before, x, what="x")

    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 7, 9, 2, 1, 0),
        (1, 2, 8, 6, 3, 2, 0),
        (2, 1, 9, 10, (2, 3), 3, 0),
        (1, 2, 7, 8, (2, 1), 4, 0),
        (2, 3, 6, 7, 2, None, 1),
        (1, 2, 5, 8, 3, 1, 1),
        (1, 3, 8, 9, (2, 3), 3, 1),
        (2, 1, 6, 5, (4, 5), None, 2),
        (1, 2, 7, 4, (5, 4), 2, 2),
    ):
        case = f"x {(N, C, H, W)}, kernel {kernel}, stride={stride}, padding={padding}"
        compare(rng.standard_normal((N, C, H, W)), kernel, stride, padding, f"min_pool2d, {case}")
        large = 1e30 * (1 + rng.random((N, C, H, W)))
        compare(large, kernel, stride, padding, f"min_pool2d of large positive values, {case}")
    image = rng.integers(0, 256, (2, 3, 6, 7), dtype=np.uint8)
    compare(image, 2, None, 0, "min_pool2d of uint8")
    compare(image, 3, 2, 1, "min_pool2d of uint8, padding 1")
    x = rng.standard_normal((2, 3, 6, 8))
    compare(x, 2, None, 0, "min_pool2d of float64, all its digits", rtol=1e-12, atol=1e-14)
    compare(x.astype(np.float32), (3, 2), 1, 1, "min_pool2d of float32")
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, 2, 1, 0, "min_pool2d of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `l2_pool2d`
#
# *5 minutes, easy. What it is for: a measure of energy that no sign can cancel.*
#
# Parts: windows (1 point), stride, padding and the contract (1 point).
#
# <details><summary>Hint</summary>
#
# Square, add up, take the root, in this order. Bytes overflow when squared: floating first.
#
# </details>


# %% exercise="l2_pool2d"
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """Root of the sum of squares of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is zeros.
    The convention of torch.nn.functional.lp_pool2d with norm_type=2.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    x_p = np.pad(1.0 * x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    energy = 0.0
    for k1 in range(kH):
        for k2 in range(kW):
            piece = x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW]
            energy = energy + piece**2
    return np.sqrt(energy)
    ### END SOLUTION


# %% tests="l2_pool2d" part="windows" points=1
# The window of the text: sqrt(9 + 16) = 5. Beside it sqrt(1 + 4 + 4 + 16) = 5
check.close(
    l2_pool2d(np.array([[[[3.0, 0.0, 1.0, -2.0], [0.0, -4.0, 2.0, 4.0]]]]), 2),
    np.array([[[[5.0, 5.0]]]]),
    what="l2_pool2d, 2 x 2",
)
# Two channels, a pair: sqrt(4 + 16 + 16) = 6, sqrt(1 + 4 + 4) = 3. The last column is dropped
check.close(
    l2_pool2d(np.array([[[[2.0, 4.0, -4.0, 9.0]], [[-1.0, 2.0, 2.0, 9.0]]]]), (1, 3)),
    np.array([[[[6.0]], [[3.0]]]]),
    what="l2_pool2d, two channels, kernel (1, 3)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(310)
    for N, C, H, W, kernel in (
        (2, 3, 6, 8, 2),
        (1, 2, 7, 11, 3),
        (3, 1, 5, 7, (2, 3)),
        (2, 4, 9, 4, (4, 1)),
        (2, 2, 3, 5, (3, 5)),
    ):
        x = rng.standard_normal((N, C, H, W))
        before = x.copy()
        expected = torch.nn.functional.lp_pool2d(torch.tensor(x), 2, kernel).numpy()
        check.close(l2_pool2d(x, kernel), expected, what=f"l2_pool2d, x {x.shape}, kernel {kernel}")
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="l2_pool2d" part="options" points=1
# Stride 1: sqrt(9 + 16) = 5, sqrt(16 + 0) = 4, sqrt(0 + 4) = 2
check.close(
    l2_pool2d(np.array([[[[3.0, -4.0, 0.0, 2.0]]]]), (1, 2), stride=1),
    np.array([[[[5.0, 4.0, 2.0]]]]),
    what="l2_pool2d, kernel (1, 2), stride 1",
)
# Each window of 2 x 2 holds one value and three zeros of the ring
check.close(
    l2_pool2d(np.array([[[[8.0, 4.0], [-12.0, 20.0]]]]), 2, padding=1),
    np.array([[[[8.0, 4.0], [12.0, 20.0]]]]),
    what="l2_pool2d, 2 x 2, padding 1",
)
# Bytes: 20^2 + 40^2 + 40^2 = 3600, and its root is 60
check.close(
    l2_pool2d(np.array([[[[20, 40], [40, 0]]]], dtype=np.uint8), 2),
    np.array([[[[60.0]]]]),
    what="l2_pool2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(311)

    def compare(x, kernel, stride, padding, what, rtol=1e-5, atol=1e-6):
        wide = torch.tensor(np.array(x, dtype=np.float64))
        wide = torch.nn.functional.pad(wide, (padding,) * 4)
        expected = torch.nn.functional.lp_pool2d(wide, 2, kernel, stride).numpy()
        before = x.copy()
        check.close(
            l2_pool2d(x, kernel, stride, padding), expected, what=what, rtol=rtol, atol=atol
        )
        check.unchanged(before, x, what="x")

    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 7, 9, 2, 1, 0),
        (1, 2, 8, 6, 3, 2, 0),
        (2, 1, 9, 10, (2, 3), 3, 0),
        (1, 2, 7, 8, (2, 1), 4, 0),
        (2, 3, 6, 7, 2, None, 1),
        (1, 2, 5, 8, 3, 1, 1),
        (1, 3, 8, 9, (2, 3), 3, 1),
        (2, 1, 6, 5, (4, 5), None, 2),
        (1, 2, 7, 4, (5, 4), 2, 2),
    ):
        case = f"x {(N, C, H, W)}, kernel {kernel}, stride={stride}, padding={padding}"
        compare(rng.standard_normal((N, C, H, W)), kernel, stride, padding, f"l2_pool2d, {case}")
    image = rng.integers(0, 256, (2, 3, 6, 7), dtype=np.uint8)
    compare(image, 2, None, 0, "l2_pool2d of uint8")
    compare(image, 3, 2, 1, "l2_pool2d of uint8, padding 1")
    compare(rng.integers(-90, 90, (2, 2, 5, 6)), (2, 3), 1, 0, "l2_pool2d of integers")
    x = rng.standard_normal((2, 3, 6, 8))
    compare(x, 2, None, 0, "l2_pool2d of float64, all its digits", rtol=1e-10, atol=1e-12)
    compare(x.astype(np.float32), (3, 2), 1, 1, "l2_pool2d of float32")
    view = rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, 2, 1, 0, "l2_pool2d of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** A kernel that subtracts the left neighbour from the right one, on a piece of the photograph: the map has two signs. All four layers on it, windows of 5 x 5.
#
# **Predict.** A thin dark column has an edge on either side, one negative and one positive. What do max, min, avg and L2 say about it?

# %% figure="four_questions"
sloped = conv2d(grey[None, None, 30:85, 40:120], np.array([[[[-1.0, 0.0, 1.0]]]]))
answers = {
    "right minus left": sloped,
    "max": max_pool2d(sloped, 5),
    "min": min_pool2d(sloped, 5),
    "avg": avg_pool2d(sloped, 5),
    "L2 (another scale)": l2_pool2d(sloped, 5),
}
fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.0), layout="constrained")
show(axes[0, 0], grey[30:85, 40:120], "the photograph", vmin=0, vmax=1)
for ax, (title, values) in zip(axes.ravel()[1:], answers.items(), strict=True):
    scale = 2.0 if "L2" in title else 0.6  # a sum over 25 values has another range
    drawn = show(ax, values[0, 0], title, signed=True, limit=scale)
for ax, which, label in (
    (axes[:, :2], axes[0, 1], "response"),
    (axes[:, 2], axes[1, 2], "response (L2)"),
):
    fig.colorbar(which.images[0], ax=ax, location="bottom", shrink=0.7, aspect=30, label=label)
plt.show()
sizes_of = {title: float(np.abs(values).mean()) for title, values in answers.items()}
print("mean absolute response")
for name, value in sizes_of.items():
    print(f"{name:<20} {value:.3f}")
smallest = float(np.mean(min_pool2d(real, 2) == 0))
largest = float(np.mean(max_pool2d(real, 2) == 0))
print(
    f"maps of digits after the ReLU, 2 x 2: {smallest:.0%} of the minima are 0, {largest:.0%} of the maxima"
)
assert sizes_of["avg"] < 0.3 * sizes_of["max"]
assert smallest > 0.7

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A piece of a photograph, its map of horizontal slopes with two signs, and four pooled maps: max shows the rises, min the falls, avg is nearly empty, L2 shows both.](figures/four_questions.png)
#
# Max says: there is a rise. Min says: there is a fall. The average adds the two, and they **cancel**: its map is nearly empty. L2 says: there is something. None of them is the right one. Each asks another question. This is also why a ReLU usually stands *before* an average: it takes away what would cancel. And it is why nobody pools the minimum behind a ReLU: most of the minima are 0, as the printed line says.
#
# </details>

# %% [markdown]
# ## 5. What the stride costs
#
# **A row of eight.** R. Zhang (2019) has an example that you can do by hand. Pool the row $0\,0\,1\,1\,0\,0\,1\,1$ with windows of two, side by side. Then move it by one place, around the end.
#
# **Predict.** The two results. Write them down.

# %%
row = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])[None, None, None]  # (1, 1, 1, 8)
for name, values in (("in place", row), ("moved by one", np.roll(row, 1, axis=3))):
    dense_row = max_pool2d(values, (1, 2), stride=1)
    print(
        f"{name:<13} {values.ravel().astype(int)}   stride 1: {dense_row.ravel().astype(int)}"
        f"   stride 2: {max_pool2d(values, (1, 2)).ravel().astype(int)}"
    )

# %% [markdown]
# In place the answer is $0\,1\,0\,1$, after the move $1\,1\,1\,1$. One place to the side, and half of the answer is another. Look at the stride-1 rows: these *are* each other, moved by one. So taking the maximum is as equivariant as a convolution. **It is the skipping that breaks it.** A pooling layer is two layers in one:
#
# $$\text{max\_pool}_{k,s} = (\text{keep every } s\text{-th place}) \circ (\text{max\_pool}_{k,1}) .$$
#
# The first half is equivariant. The second half follows moves by multiples of $s$ only, as you saw in unit 02 for strided convolutions.
#
# **A strided convolution instead of pooling.** If skipping is what makes the maps small, a convolution can skip, too. Average pooling *is* such a convolution, channel by channel, with all weights $1/(k_H k_W)$:

# %%
_maps = np.random.default_rng(seed).standard_normal((2, 1, 7, 9))
as_convolution = conv2d(_maps, np.full((1, 1, 2, 3), 1 / 6), stride=2)
check.close(
    as_convolution, avg_pool2d(_maps, (2, 3), stride=2), what="a convolution against avg_pool2d"
)
channels = 64
print(f"2 x 2 pooling of {channels} channels: 0 weights")
print(
    f"2 x 2 convolution, stride 2, {channels} to {channels} channels: {channels * channels * 2 * 2:,} weights"
)

# %% [markdown]
# Let the weights be learned and let them mix channels, and you have a layer that can replace pooling. J. T. Springenberg and others (2015) built networks of convolutions only, and lost nothing on their benchmarks of pictures. Many networks since 2015 shrink their maps in this way. No maximum can be written so: a convolution is linear, $F(a + b) = F(a) + F(b)$, and a maximum is not. ($\max(1, 0) + \max(0, 1) = 2$, and the maximum of the sum $(1, 1)$ is 1.)

# %% [markdown] manual="replace_pooling" points=2
# **Question (2 points, 8 minutes).** A network has maps of 32 channels, 28 x 28. A colleague replaces its 2 x 2 max pooling (stride 2) by a convolution of 2 x 2 with stride 2, 32 to 32 channels, with bias, followed by a ReLU. How many parameters does this add? Name one thing that the new layer can do and max pooling cannot, and one thing that max pooling does and the new layer has to *learn*, if it can at all. Which of the two layers follows a move by one pixel?
#
# ### BEGIN SOLUTION
# $32 \cdot (32 \cdot 2 \cdot 2 + 1) = 4{,}128$ parameters. (1 point.) It can mix channels, weigh the four places differently, average, or answer to differences between neighbours. Max pooling answers with the strongest of four wherever it is among them, for each channel, without any data: the convolution adds them up, so four weak values look like a strong one. A single linear layer with a ReLU cannot be a maximum of four numbers. Neither follows a move by one pixel: both have stride 2. (1 point for one thing each way and "neither".)
# ### END SOLUTION

# %% [markdown]
# ### A network that reads only every other column
#
# How bad is a stride in a whole network? Here is one of two layers, filters cut out at random as in part 1:
#
# ```
# conv 5 x 5, 16 filters, ReLU -> make it smaller (stride 2) -> conv 3 x 3, 64 filters, ReLU -> the largest of each map -> dense
# ```
#
# The largest of each of the 64 maps does not care where it stands. Only the stride in the middle can break the invariance. Three ways to make the maps smaller, and a control:
#
# - `max_pool2d`, 2 x 2, stride 2;
# - `avg_pool2d`, 2 x 2, stride 2;
# - the first convolution with stride 2;
# - control: `max_pool2d`, 2 x 2, **stride 1**: same windows, nothing skipped.
#
# All four are trained on centred digits.
#
# **Predict.** Draw four curves: accuracy against shifts of 0, 1, 2, 3 pixels.

# %% locked=true
few = slice(None, 400 if profile == "quick" else None)  # of the test digits: two layers take time


def first_layer(pictures):
    """conv 5 x 5 with 16 filters, and ReLU: (N, 16, H, W)."""
    return in_pieces(lambda some: relu(conv2d(some, filters[:16], padding=2)), pictures)


# The maps of the first layer, made once: of the training digits and of the test digits at each shift
first_maps = first_layer(on_canvas(train_x))
moved_first_maps = [first_layer(on_canvas(test_x[few], right=right)) for right in shifts[:4]]


def two_layers(shrink):
    """The rest of the network: a function from maps of the first layer to features (N, 64).

    The second layer's filters are cut from the shrunken maps of training digits.
    """
    second_filters = cut_filters(shrink(first_maps), 64, 3, np.random.default_rng(seed + 1))

    def second_layer(maps):
        return relu(conv2d(shrink(maps), second_filters, padding=1)).max(axis=(2, 3))

    return lambda maps: in_pieces(second_layer, maps)


def answers_when_moved(features, maps, labels):
    """Train a dense layer on features of maps, then read the moved test digits: one row a shift."""
    dense = fit_dense(features(maps), labels)
    return [read(features(moved), dense) for moved in moved_first_maps]


# %% [markdown]
# (A convolution with stride 2 makes every second row and column of what the same convolution makes with stride 1. So all four can start from the same maps.)

# %%
ways = {
    "max pool 2 x 2, stride 2": lambda maps: max_pool2d(maps, 2),
    "avg pool 2 x 2, stride 2": lambda maps: avg_pool2d(maps, 2),
    "convolution with stride 2": lambda maps: maps[:, :, ::2, ::2],
    "control: max pool, stride 1": lambda maps: max_pool2d(maps, 2, stride=1),
}
strided = relu(conv2d(on_canvas(test_x[:5]), filters[:16], stride=2, padding=2))
check.close(strided, moved_first_maps[0][:5, :, ::2, ::2], what="a convolution with stride 2")
networks = {name: two_layers(shrink) for name, shrink in ways.items()}
centred_answers = {
    name: answers_when_moved(features, first_maps, train_y) for name, features in networks.items()
}

# %% figure="zigzag"
fig, ax = plt.subplots(figsize=(6, 2.9), layout="constrained")
for (name, rows), style in zip(centred_answers.items(), ("o-", "s--", "^:", "D-"), strict=True):
    values = [percent(answer, test_y[few]) for answer in rows]
    colour = "black" if "control" in name else None
    ax.plot(shifts[:4], values, style, label=name, color=colour)
ax.set(xlabel="shift of the test digits (pixels)", ylabel="accuracy (%)", ylim=(0, 103))
ax.set(title="What does a stride of 2 in the middle do?", xticks=shifts[:4])
ax.legend(fontsize=7, loc="lower right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Accuracy against shift for four networks. The control with stride 1 is level above 90 %. The three networks with stride 2 are as good at shifts 0 and 2, and fall to 50 % or less at shifts 1 and 3: a zigzag.](figures/zigzag.png)
#
# A **zigzag**. At even shifts nothing is lost. At odd shifts half of the digits or more are misread. Two pixels to the right is no trouble; one pixel is. Move by two, and the small maps move by one place: the maximum does not notice. Move by one, and the small maps would have to move by half a place. What comes out instead are *other numbers*: those of the columns that were skipped before. The network has never seen such maps. The control, same windows and nothing skipped, is level. So the stride did it, not the pooling.
#
# Notice how a test with shifts of 0 and 2 would have called the network invariant.
#
# </details>

# %%
print(
    f"{'shift':<28}",
    " ".join(f"{right:4d} px" for right in shifts[:4]),
    "  same answer at 0 and 1 px",
)
for name, rows in centred_answers.items():
    values = " ".join(f"{percent(answer, test_y[few]):5.1f} %" for answer in rows)
    print(f"{name:<28}", values, f"  {percent(rows[0], rows[1]):5.1f} %")
    scores = [percent(answer, test_y[few]) for answer in rows]
    assert scores[0] > 85
    if "control" in name:
        assert abs(scores[1] - scores[0]) < 1
    else:
        assert abs(scores[2] - scores[0]) < 1
        assert scores[1] < scores[0] - 20
print(f"(n = {len(test_y[few])} test digits, seed {seed})")

# %% [markdown]
# The last column is a better measure of invariance than accuracy: how often does the network give the *same answer*, right or wrong, to a picture and to its moved copy? Zhang (2019) calls it **consistency**.
#
# ### Three remedies, tested
#
# 1. **Blur before you skip** (Zhang 2019). Signal processing has known for long that one must blur before one thins out. Otherwise fine detail comes back as something else (aliasing). So: max pooling with stride 1, a blur with $\frac14(1, 2, 1)$ in both directions, then keep every second place.
# 2. **Larger windows, same stride**: `max_pool2d` 4 x 4, stride 2. The overlap grows.
# 3. **Show it both**: train the dense layer on the digits in place *and* moved by one pixel. (The filters stay as they are.) The layers are those of the zigzag.
#
# **Predict.** Rank them. Which one makes the zigzag go away?

# %% figure="remedies"
binomial = np.outer([1, 2, 1], [1, 2, 1])[None, None] / 16  # (1, 1, 3, 3)


def blur_pool(maps):
    """Max pooling with stride 1, a blur of each map by itself, then every second place."""
    maps = max_pool2d(maps, 2, stride=1)
    N, C, H, W = maps.shape
    blurred = conv2d(maps.reshape(N * C, 1, H, W), binomial, stride=2, padding=1)
    return blurred.reshape(N, C, *blurred.shape[2:])


tried = {
    "blur, then skip": blur_pool,
    "max pool 4 x 4, stride 2": lambda maps: max_pool2d(maps, 4, stride=2, padding=1),
}
remedies = {"none: max pool 2 x 2, stride 2": centred_answers["max pool 2 x 2, stride 2"]}
for name, shrink in tried.items():
    remedies[name] = answers_when_moved(two_layers(shrink), first_maps, train_y)
both = np.concatenate([first_maps, first_layer(on_canvas(train_x, right=1))])
remedies["trained on both"] = answers_when_moved(
    networks["max pool 2 x 2, stride 2"], both, np.concatenate([train_y, train_y])
)
fig, ax = plt.subplots(figsize=(6, 2.9), layout="constrained")
for (name, rows), style in zip(remedies.items(), ("o-", "s--", "^:", "D-"), strict=True):
    ax.plot(shifts[:4], [percent(answer, test_y[few]) for answer in rows], style, label=name)
ax.set(xlabel="shift of the test digits (pixels)", ylabel="accuracy (%)", ylim=(0, 103))
ax.set(title="Which remedy takes the zigzag away?", xticks=shifts[:4])
ax.legend(fontsize=7, loc="lower right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Accuracy against shift for the network with 2 by 2 max pooling and three remedies. Blurring leaves the zigzag as it was, larger windows take a good part of it away, training on both positions makes the curve nearly level.](figures/remedies.png)
#
# Only the data make it level. That is no wonder: with a stride of 2 there are two cases, even and odd, and this dense layer was trained on both. (It pays a few points in place.) Larger windows help: they overlap more. And the blur does next to nothing for the answers *here*. It does what it promises: the blurred maps of a digit and of its moved copy differ less, as the next cell measures. But they still differ by almost half. Why that is too much for this network was not measured. Two suspects: strokes of one or two pixels are nearly all fine detail, which no small blur takes away. And only the dense layer is trained here: the filters were cut from digits in one position. In Zhang's networks all weights were trained with the blur in place, on the photographs of ImageNet, and there the blur made the answers more consistent *and* a little more accurate. A remedy belongs to a disease. Without the control you would have believed in it.
#
# And the third one is no architecture at all. It says: if the network cannot be invariant by construction, let it see the moves. Unit 07 makes a method of that, under the name of augmentation.
#
# </details>

# %%
print(
    f"{'shift':<31}",
    " ".join(f"{right:4d} px" for right in shifts[:4]),
    "  same answer at 0 and 1 px",
)
for name, rows in remedies.items():
    values = " ".join(f"{percent(answer, test_y[few]):5.1f} %" for answer in rows)
    print(f"{name:<31}", values, f"  {percent(rows[0], rows[1]):5.1f} %")
for name, shrink in (
    ("max pool 2 x 2", ways["max pool 2 x 2, stride 2"]),
    ("blur, then skip", blur_pool),
):
    here, there = (shrink(moved[:100]) for moved in moved_first_maps[:2])
    change = np.linalg.norm(there - here) / np.linalg.norm(here)
    print(f"{name:<15}: maps of the moved digits differ by {change:.2f}")
print(f"(accuracies: n = {len(test_y[few])} test digits, seed {seed})")
scores = {
    name: [percent(answer, test_y[few]) for answer in rows] for name, rows in remedies.items()
}
plain, blurred, larger, seen_both = scores.values()
assert blurred[1] < plain[1] + 15
assert larger[1] > plain[1] + 8
assert seen_both[0] - 6 < seen_both[1]

# %% [markdown]
# ## 6. Choose the size of the result: `adaptive_avg_pool2d`
#
# **Idea.** A dense layer wants a fixed number of inputs. A convolution takes pictures of any size and gives maps of any size. Between them one layer must say: "whatever comes in, 2 x 3 numbers a map go out."
#
# **Picture.** Cut $n$ places into $o$ windows. Where $o$ divides $n$ they tile. Where it does not, they have to overlap or differ in length. PyTorch's rule for 5 places and 3 windows:
#
# ```
# places      0   1   2   3   4
# window 0   [0       1.67)            covers 0, 1
# window 1           [1.67   3.33)     covers 1, 2, 3
# window 2                  [3.33   5) covers 3, 4
# ```
#
# Cut the row into $o$ equal pieces, with fractions: piece $i$ goes from $i\,n/o$ to $(i+1)\,n/o$. Then take **every place that the piece touches**: round the start down and the end up.
#
# **Formula.**
#
# $$\text{start}_i = \left\lfloor \frac{i\,n}{o} \right\rfloor, \qquad \text{end}_i = \left\lceil \frac{(i+1)\,n}{o} \right\rceil, \qquad y[i] = \text{mean of } x[\text{start}_i], \dots, x[\text{end}_i - 1] .$$
#
# Along the height and along the width, each with its own $n$ and $o$. The rule works even when $o > n$: then some places are used more than once. (Some notes say that "stride and kernel are computed automatically". There is no single stride and kernel in general: above, the windows have lengths 2, 3, 2.)

# %% [markdown]
# ### Exercise: `adaptive_avg_pool2d`
#
# *15 minutes, medium. What it is for: the layer before the classifier of every ResNet, and the reason why one network reads pictures of any size.*
#
# Parts: sizes that divide (1 point); sizes that do not (1 point); results larger than the map, and the contract (1 point).
#
# <details><summary>Hint 1</summary>
#
# Two loops over the result. For each $i$ and $j$ a slice and its mean over two axes.
#
# </details>
# <details><summary>Hint 2: rounding up without floats</summary>
#
# `a // b` rounds down. What does `-(-a // b)` do? Try it with 7 and 3.
#
# </details>
# <details><summary>Hint 3: when the sizes do not divide</summary>
#
# Write down start and end of all windows for $n = 5$, $o = 3$ and compare with the picture. Mind that $o$ of the height is not $o$ of the width.
#
# </details>


# %% exercise="adaptive_avg_pool2d"
def adaptive_avg_pool2d(x, output_size):
    """Mean over output_size windows that cover x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    output_size an int or a pair (H_out, W_out). Window i of n places goes from floor(i n / o) to
    ceil((i + 1) n / o), the end excluded. The convention of torch.nn.functional.adaptive_avg_pool2d.
    """
    ### BEGIN SOLUTION
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    H, W = x.shape[2:]
    rows = [  # the mean over a rectangle is a mean over its rows, then over its columns
        x[:, :, i * H // H_out : -(-(i + 1) * H // H_out)].mean(axis=2) for i in range(H_out)
    ]
    y = np.stack(rows, axis=2)  # (N, C, H_out, W)
    columns = [
        y[:, :, :, j * W // W_out : -(-(j + 1) * W // W_out)].mean(axis=3) for j in range(W_out)
    ]
    return np.stack(columns, axis=3)
    ### END SOLUTION


# %% tests="adaptive_avg_pool2d" part="even" points=1
# 2 x 6 into 1 x 3: each window is 2 x 2. (1 + 3 + 4 + 0) / 4 = 2
check.close(
    adaptive_avg_pool2d(
        np.array([[[[1.0, 3.0, 2.0, 2.0, 9.0, 0.0], [4.0, 0.0, 6.0, 2.0, 3.0, 8.0]]]]), (1, 3)
    ),
    np.array([[[[2.0, 3.0, 5.0]]]]),
    what="adaptive_avg_pool2d, 2 x 6 to 1 x 3",
)
# An int: as many rows as columns. 1 x 1 is the mean of the whole map, for each channel
check.close(
    adaptive_avg_pool2d(np.array([[[[1.0, 3.0], [4.0, 0.0]], [[5.0, -5.0], [6.0, 6.0]]]]), 1),
    np.array([[[[2.0]], [[3.0]]]]),
    what="adaptive_avg_pool2d to 1 x 1, two channels",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(312)
    for N, C, H, W, size in (
        (2, 3, 6, 8, 2),
        (1, 2, 4, 12, (2, 3)),
        (3, 2, 9, 5, (3, 1)),
        (2, 1, 7, 10, 1),
        (1, 4, 5, 6, (5, 6)),
        (2, 2, 8, 6, (4, 2)),
    ):
        x = rng.standard_normal((N, C, H, W))
        before = x.copy()
        expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), size).numpy()
        check.close(
            adaptive_avg_pool2d(x, size),
            expected,
            what=f"adaptive_avg_pool2d, x {x.shape}, output {size}",
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="adaptive_avg_pool2d" part="uneven" points=1
# The picture of the text: windows 0-1, 1-3, 3-4 of 0 6 3 9 3
check.close(
    adaptive_avg_pool2d(np.array([[[[0.0, 6.0, 3.0, 9.0, 3.0]]]]), (1, 3)),
    np.array([[[[3.0, 6.0, 6.0]]]]),
    what="adaptive_avg_pool2d, 5 places to 3",
)
# 7 places to 2: windows 0-3 and 3-6 share the middle one. (1 + 0 + 3 + 8) / 4 = 3, (8 + 2 + 2 + 0) / 4 = 3
check.close(
    adaptive_avg_pool2d(np.array([1.0, 0.0, 3.0, 8.0, 2.0, 2.0, 0.0]).reshape(1, 1, 7, 1), (2, 1)),
    np.array([[[[3.0], [3.0]]]]),
    what="adaptive_avg_pool2d, 7 rows to 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(313)
    for N, C, H, W, size in (
        (2, 3, 7, 5, 3),
        (1, 2, 11, 8, (4, 3)),
        (2, 2, 10, 7, (3, 4)),
        (1, 1, 13, 9, (5, 7)),
        (2, 1, 8, 9, (7, 2)),
        (1, 3, 5, 14, (2, 9)),
    ):
        x = rng.standard_normal((N, C, H, W))
        before = x.copy()
        expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), size).numpy()
        check.close(
            adaptive_avg_pool2d(x, size),
            expected,
            what=f"adaptive_avg_pool2d, x {x.shape}, output {size}",
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="adaptive_avg_pool2d" part="contract" points=1
# 2 places to 3: windows 0, 0-1, 1
check.close(
    adaptive_avg_pool2d(np.array([[[[2.0, 6.0]]]]), (1, 3)),
    np.array([[[[2.0, 4.0, 6.0]]]]),
    what="adaptive_avg_pool2d, 2 places to 3",
)
# (200 + 100 + 50 + 3) / 4 = 88.25
check.close(
    adaptive_avg_pool2d(np.array([[[[200, 100], [50, 3]]]], dtype=np.uint8), 1),
    np.array([[[[88.25]]]]),
    what="adaptive_avg_pool2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(314)

    def compare(x, size, what, rtol=1e-5, atol=1e-6):
        wide = torch.tensor(np.array(x, dtype=np.float64))
        expected = torch.nn.functional.adaptive_avg_pool2d(wide, size).numpy()
        before = x.copy()
        check.close(adaptive_avg_pool2d(x, size), expected, what=what, rtol=rtol, atol=atol)
        check.unchanged(before, x, what="x")

    for H, W, size in ((3, 4, (5, 7)), (2, 5, (3, 5)), (3, 2, 4), (6, 3, (4, 5))):
        x = rng.standard_normal((2, 3, H, W))
        compare(x, size, f"adaptive_avg_pool2d, x {x.shape}, output {size}")
    compare(
        rng.integers(0, 256, (2, 3, 6, 7), dtype=np.uint8), (3, 7), "adaptive_avg_pool2d of uint8"
    )
    compare(rng.integers(-90, 90, (1, 2, 4, 6)), 2, "adaptive_avg_pool2d of integers")
    x = rng.standard_normal((2, 3, 6, 8))
    compare(x, (3, 4), "adaptive_avg_pool2d of float64, all its digits", rtol=1e-10, atol=1e-12)
    compare(x.astype(np.float32), 2, "adaptive_avg_pool2d of float32")
    view = rng.standard_normal((2, 6, 8, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, (3, 2), "adaptive_avg_pool2d of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Which places does each window take? Feed your function one impulse for each place: the result tells how much each output listens to it.
#
# **Predict.** 16 places into 5 windows. How many different lengths do the windows have?

# %% figure="adaptive_windows"
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.1), layout="constrained", width_ratios=[16, 7, 3])
for ax, (n, o) in zip(axes, ((16, 5), (7, 5), (3, 5)), strict=True):
    impulses = np.eye(n).reshape(n, 1, 1, n)  # picture number p has a 1 at place p
    listens = adaptive_avg_pool2d(impulses, (1, o))[:, 0, 0].T  # (o, n)
    drawn = show(ax, listens, f"{n} to {o}", cmap="cividis", vmin=0, vmax=1)
    ax.set(xlabel="place", xticks=range(0, n, 2), yticks=range(o), ylabel="window")
    print(f"{n:2d} to {o}: lengths", [int(length) for length in (listens > 0).sum(axis=1)])
fig.colorbar(drawn, ax=axes, shrink=0.6, aspect=12, label="weight")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three tables of weights: 16 places to 5 windows, 7 places to 5 windows and 3 places to 5 windows; neighbouring windows share a place where the sizes do not divide, and with 3 places each place is used by one window alone and by one or two more.](figures/adaptive_windows.png)
#
# One length: all five windows have 4 places (16 / 5 is 3.2, and each piece touches 4). Neighbours share one. With 7 places and 5 windows there are lengths 2 and 3. With 3 places and 5 windows every place is used more than once: the windows are 0, 0-1, 1, 1-2, 2.
#
# </details>
#
# ### Global average pooling, and a trap
#
# `adaptive_avg_pool2d(x, 1)` takes the mean of each whole map: $C$ maps, $C$ numbers. M. Lin, Q. Chen and S. Yan (2014, section 3.2) put it in place of large dense layers, and most networks since have kept it. It has no weights, it works for every size, and it forgets every place.
#
# Works for every size? Train the dense layer of part 1 on the 64 means of the maps on canvases of 16 x 16. Then show it the very same digits, in the middle of *larger* canvases. Nothing is added but black. Beside it: the global **maximum**, which `max_pool2d` makes when the window is the map. (A mean over a map that is mostly black is a small number: the 64 means spread by about 0.01, the maxima by about 0.2. The ridge of 0.1 would drown the means, so it is 0.001 here, for both.)
#
# **Predict.** What happens to the two accuracies on canvases of 20 and 24 pixels?

# %%
canvas_sizes = (16, 20, 24)
whole = {
    "global average": lambda maps: adaptive_avg_pool2d(maps, 1),
    "global maximum": lambda maps: max_pool2d(maps, maps.shape[2:]),
}
by_size = {}
for name, pool in whole.items():

    def pooled_row(pictures, pool=pool):
        """The 64 pooled numbers of each picture."""
        return in_pieces(lambda some: pool(feature_maps(some))[:, :, 0, 0], pictures)

    train_rows = pooled_row(on_canvas(train_x))
    dense = fit_dense(train_rows, train_y, ridge=1e-3)
    by_size[name] = [
        percent(read(pooled_row(on_canvas(test_x[:300], size=size)), dense), test_y[:300])
        for size in canvas_sizes
    ]
    print(
        f"{name}",
        "  ".join(
            f"{size} x {size}: {value:5.1f} %"
            for size, value in zip(canvas_sizes, by_size[name], strict=True)
        ),
        f"  (n = 300; spread in training {train_rows.std(axis=0).mean():.3f})",
    )

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The maximum does not notice. The average falls, step by step. On 24 x 24 the same ink is divided by $576$ places instead of $256$: each of the 64 numbers is 0.44 times as large as in training, and the biases of the dense layer are what they were. *Any size goes in* does not mean *any size gives the same answer*. Whoever changes the size of the pictures after training should know which pooling is inside. (In place the average reads even a little better: four more of 300 digits, which is not enough to rank the two.)
#
# </details>

# %%
assert by_size["global maximum"][0] > 90
assert max(by_size["global maximum"]) - min(by_size["global maximum"]) < 1
assert by_size["global average"][0] > by_size["global average"][2] + 10

# %% [markdown]
# ## 7. From maps to a row: `flatten`
#
# **Idea.** A dense layer multiplies a row by a matrix. Maps are not rows. So write the numbers of each picture one after the other.
#
# **Order.** Last index fastest: first channel 0, its first row from left to right, its second row, ...; then channel 1. NumPy and PyTorch call this row-major or C order. For a shape $(C, H, W)$
#
# $$\text{row}[\,c \cdot HW + i \cdot W + j\,] = x[c, i, j] .$$
#
# The pictures stay apart: $(N, C, H, W)$ becomes $(N,\ C \cdot H \cdot W)$.
#
# ```
#  channel 0   1 2     channel 1   5 6
#              3 4                 7 8      -->    1 2 3 4 5 6 7 8
# ```

# %% [markdown]
# ### Exercise: `flatten`
#
# *5 minutes, easy. What it is for: the border between the two halves of LeNet, AlexNet and VGG.*
#
# Any shape `(N, ...)` with two or more axes. Parts: the order (1 point), the contract (1 point).
#
# <details><summary>Hint</summary>
#
# `np.reshape` keeps row-major order unless told otherwise. Which size can it find out by itself?
#
# </details>


# %% exercise="flatten"
def flatten(x):
    """x (N, ...) -> (N, D), row-major: the last index runs fastest. Floating."""
    ### BEGIN SOLUTION
    return np.reshape(1.0 * x, (len(x), -1))
    ### END SOLUTION


# %% tests="flatten" part="order" points=1
# The picture of the text
check.close(
    flatten(np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])),
    np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]),
    what="flatten, two channels",
)
# Two pictures of 1 x 2 x 3: two rows
check.close(
    flatten(np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], [[[7.0, 8.0, 9.0], [0.0, 1.0, 2.0]]]])),
    np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 0.0, 1.0, 2.0]]),
    what="flatten, two pictures",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(315)
    for shape in (
        (2, 3, 4, 5),
        (1, 4, 3, 2),
        (5, 1, 1, 1),
        (3, 2, 1, 6),
        (2, 7),
        (3, 4, 5),
        (2, 2, 3, 2, 2),
    ):
        x = rng.standard_normal(shape)
        before = x.copy()
        expected = np.array(
            [[x[place] for place in np.ndindex(shape) if place[0] == n] for n in range(shape[0])]
        )
        check.close(flatten(x), expected, what=f"flatten, x {shape}")
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="flatten" part="contract" points=1
# Whole numbers in, a floating result out
check.close(
    flatten(np.array([[[1, 2]], [[3, 200]]], dtype=np.uint8)),
    np.array([[1.0, 2.0], [3.0, 200.0]]),
    what="flatten of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(316)

    def compare(x, what, rtol=1e-5, atol=1e-6):
        before = x.copy()
        expected = torch.flatten(torch.tensor(np.array(x, dtype=np.float64)), 1).numpy()
        check.close(flatten(x), expected, what=what, rtol=rtol, atol=atol)
        check.unchanged(before, x, what="x")

    compare(rng.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8), "flatten of uint8")
    compare(rng.integers(-90, 90, (3, 2, 4)), "flatten of integers")
    compare(rng.standard_normal((2, 3, 2)), "flatten of float64, all its digits", 1e-12, 1e-14)
    compare(rng.standard_normal((2, 3, 4, 2)).astype(np.float32), "flatten of float32")
    view = rng.standard_normal((2, 6, 8, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2]
    compare(view, "flatten of a non-contiguous view")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Which order is right?** Any, as long as it is always the same. A dense layer learns one weight for each *position in the row*. TensorFlow keeps channels last, `(N, H, W, C)`. Flatten that, and you have the same numbers in another order.
#
# **Predict.** Max pool the maps of part 1 with 4 x 4 tiles, flatten, train. Then read the test digits (not moved) with the same weights, once flattened in the same order and once channels last. What accuracy? Does NumPy complain?

# %%
pooled_train = in_pieces(lambda some: max_pool2d(feature_maps(some), 4), on_canvas(train_x))
pooled_test = in_pieces(lambda some: max_pool2d(feature_maps(some), 4), on_canvas(test_x))
dense = fit_dense(flatten(pooled_train), train_y)
same_order = percent(read(flatten(pooled_test), dense), test_y)
last = percent(read(flatten(pooled_test.transpose(0, 2, 3, 1)), dense), test_y)
dense_last = fit_dense(flatten(pooled_train.transpose(0, 2, 3, 1)), train_y)
both_last = percent(read(flatten(pooled_test.transpose(0, 2, 3, 1)), dense_last), test_y)
print(f"trained and read channels first        {same_order:5.1f} %")
print(f"trained channels first, read last      {last:5.1f} %")
print(f"trained and read channels last         {both_last:5.1f} %   (n = {len(test_y)})")
assert same_order > 95
assert last < 30
assert abs(both_last - same_order) < 0.5

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Near chance, and not a word from NumPy: the shapes fit. Trained *and* read channels last, all is as before. Whenever you carry weights from one library to another, the first dense layer after `flatten` is where it goes wrong.
#
# </details>

# %% [markdown]
# ## 8. What a unit can see: `receptive_field`
#
# **Idea.** One number of a map was made from a window of the map below. Each number in that window was made from a window of the map below *that*. Follow it down to the picture. The stretch of pixels that can reach a unit is its **receptive field**.
#
# **Picture.** Two layers with kernel 3, stride 1:
#
# ```
# layer 2               o                  1 unit
#                     / | \
# layer 1           o   o   o              3 units
#                 / | \ ... / | \
# picture       o   o   o   o   o          5 pixels
# ```
#
# **Derivation.** Walk upward. Keep two numbers: the **size** $r$ of the field of one unit, and the **jump** $j$, the distance in pixels between the fields of two neighbouring units. For a pixel $r = 1$, $j = 1$. Now a layer with kernel $k$ and stride $s$. Its unit looks at $k$ neighbours. The first one sees $r$ pixels. Each of the other $k - 1$ lies one jump farther and adds $j$:
#
# $$r \leftarrow r + (k - 1)\,j .$$
#
# Its own neighbour starts $s$ units further on, so *after* that
#
# $$j \leftarrow j \cdot s .$$
#
# The order matters: a layer's own stride does not widen its own view. It widens the views of all layers above. That is how a few pooling layers make a network see far: after each stride of 2 every kernel reaches twice as far.
#
# The size is counted from the first pixel to the last. (With gaps, $s > k$, some pixels between the two may not be seen at all.) For pictures it holds along each axis. The padding does not enter: it moves the field and does not widen it.

# %% [markdown]
# ### Exercise: `receptive_field`
#
# *10 minutes, easy. What it is for: the first thing to compute when a network cannot see what it should. Unit 16 needs it for sound, where a field is measured in seconds.*
#
# `layers` is a list of pairs `(kernel, stride)`, the layer next to the picture first. Convolutions and pooling layers count alike. No layers: a unit is a pixel. Parts: stride 1 everywhere (1 point), any strides (1 point).
#
# <details><summary>Hint 1</summary>
#
# Two variables, one loop, two lines in the loop.
#
# </details>
# <details><summary>Hint 2</summary>
#
# By hand: kernel 2 stride 2, then kernel 3 stride 1. A unit of the second layer sees 3 units of the first, each made of 2 pixels that nobody shares. So 6.
#
# </details>


# %% exercise="receptive_field"
def receptive_field(layers):
    """Pixels from the first to the last that one unit sees, along one axis -> int.

    layers [(kernel, stride), ...], the one next to the picture first.
    """
    ### BEGIN SOLUTION
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size
    ### END SOLUTION


# %% tests="receptive_field" part="kernels" points=1
# Two kernels of 3 see 5, three see 7. No layer: a unit is a pixel
check.equal(receptive_field([(3, 1), (3, 1)]), 5, what="receptive_field of two kernels of 3")
check.equal(
    receptive_field([(3, 1), (3, 1), (3, 1)]), 7, what="receptive_field of three kernels of 3"
)
check.equal(receptive_field([(5, 1), (2, 1)]), 6, what="receptive_field of kernels 5 and 2")
check.equal(receptive_field([]), 1, what="receptive_field([])")


### BEGIN HIDDEN TESTS
def _hidden():
    def seen(layers):
        places = {0}
        for kernel, stride in reversed(layers):
            places = {stride * place + k for place in places for k in range(kernel)}
        return max(places) - min(places) + 1

    rng = np.random.default_rng(317)
    for count in (1, 2, 4, 7):
        for _ in range(3):
            layers = [(int(kernel), 1) for kernel in rng.integers(1, 8, count)]
            check.equal(receptive_field(layers), seen(layers), what=f"receptive_field({layers})")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="receptive_field" part="strides" points=1
# Kernel 2 stride 2, then kernel 3: three pairs of pixels
check.equal(receptive_field([(2, 2), (3, 1)]), 6, what="receptive_field([(2, 2), (3, 1)])")
# The other way round: two neighbours of the lower map see 3 pixels each and share 2
check.equal(receptive_field([(3, 1), (2, 2)]), 4, what="receptive_field([(3, 1), (2, 2)])")
# 5, then + (2 - 1) * 1 = 6, then + (3 - 1) * 2 = 10, then + (2 - 1) * 2 = 12, then + (3 - 1) * 4 = 20
check.equal(
    receptive_field([(5, 1), (2, 2), (3, 1), (2, 2), (3, 1)]),
    20,
    what="receptive_field of conv 5, pool, conv 3, pool, conv 3",
)


### BEGIN HIDDEN TESTS
def _hidden():
    def seen(layers):
        places = {0}
        for kernel, stride in reversed(layers):
            places = {stride * place + k for place in places for k in range(kernel)}
        return max(places) - min(places) + 1

    rng = np.random.default_rng(318)
    for count in (1, 2, 3, 5):
        for _ in range(4):
            pairs = zip(rng.integers(1, 6, count), rng.integers(1, 4, count), strict=True)
            layers = [(int(kernel), int(stride)) for kernel, stride in pairs]
            before = list(layers)
            check.equal(receptive_field(layers), seen(before), what=f"receptive_field({before})")
            check.equal(layers, before, what="layers after the call")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** A whole network from the side: convolutions of 5, 3, 3 with a pooling layer of 2 between them. Each row of dots is a map, the lowest one is a row of the picture. Black dots are what the marked unit at the top sees.
#
# **Predict.** Without the two pooling layers the same three convolutions would see $5 + 2 + 2 = 9$ pixels. How many do they see with them?


# %% figure="fields"
def draw_fields(layers, names, width, ax):
    """Draw a network from the side, and what the unit in the middle of the top sees."""
    sizes = [width]
    for k, s in layers:
        sizes.append((sizes[-1] - k) // s + 1)
    seen = {sizes[-1] // 2}
    jumps = np.cumprod([1, *(stride for _, stride in layers)])
    starts = [0.0]  # where the middle of unit 0 of each map stands, in pixels
    for (kernel, _), jump in zip(layers, jumps[:-1], strict=True):
        starts.append(starts[-1] + (kernel - 1) / 2 * jump)
    for level in range(len(layers), -1, -1):
        places = starts[level] + jumps[level] * np.arange(sizes[level])
        ax.plot(places, np.full(len(places), level), "o", markersize=3.5, mfc="white", mec="gray")
        ax.plot(places[sorted(seen)], np.full(len(seen), level), "o", markersize=3.5, color="black")
        field = receptive_field(layers[:level])
        note = f"{names[level]}: one unit sees {field} px" if level else "picture"
        ax.text(width + 0.5, level, note, va="center", fontsize=8)
        if level:
            kernel, stride = layers[level - 1]
            below = starts[level - 1] + jumps[level - 1] * np.arange(sizes[level - 1])
            lower = set()
            for unit in seen:
                for k in range(kernel):
                    lower.add(stride * unit + k)
                    ends = [places[unit], below[stride * unit + k]]
                    ax.plot(ends, [level, level - 1], color="C0", linewidth=0.6, zorder=0)
            seen = lower
    ax.set(xlim=(-1, width * 1.6), yticks=[], xlabel="column (pixels)", xticks=range(0, width, 4))
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


layers = [(5, 1), (2, 2), (3, 1), (2, 2), (3, 1)]
names = ["picture", "conv 5", "pool 2, stride 2", "conv 3", "pool 2, stride 2", "conv 3"]
fig, ax = plt.subplots(figsize=(7, 2.9), layout="constrained")
draw_fields(layers, names, 32, ax)
ax.set(title=f"What one unit at the top sees: {receptive_field(layers)} of 32 pixels")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A network of five layers from the side; lines fan out from one unit at the top down to 20 neighbouring pixels of the picture.](figures/fields.png)
#
# Twenty instead of nine. The last convolution looks at three numbers that lie four pixels apart, so it alone adds $2 \cdot 4 = 8$. Check with the text of the exercise: 5, 6, 10, 12, 20.
#
# </details>
#
# Is it true of *your* layers, and not only of a drawing? Change one pixel after the other, and see which of them move the unit at the top. (Weights that are positive, so that nothing cancels; averages, so that every value counts.)

# %%
rng = np.random.default_rng(seed)
w5, w3, w3_again = (rng.uniform(0.1, 1, (1, 1, k, k)) for k in (5, 3, 3))


def five_layers(pictures):
    """conv 5, pool 2, conv 3, pool 2, conv 3, as in the drawing."""
    maps = avg_pool2d(conv2d(pictures, w5), 2)
    return conv2d(avg_pool2d(conv2d(maps, w3), 2), w3_again)


base = np.zeros((33, 1, 20, 32))
base[np.arange(32), 0, 10, np.arange(32)] = 1  # one changed pixel in each picture but the last
top = five_layers(base)[:, 0, 0, :]  # (33, 4)
middle_unit = top.shape[1] // 2
moved_it = np.flatnonzero(np.abs(top[:32, middle_unit] - top[32, middle_unit]) > 1e-12)
print(f"pixels that move the unit: {moved_it[0]} to {moved_it[-1]}, {len(moved_it)} of 32")
assert len(moved_it) == moved_it[-1] - moved_it[0] + 1 == receptive_field(layers) == 20
assert receptive_field([(3, 1), (3, 1)]) == receptive_field([(5, 1)])
print(
    "two 3 x 3 see as much as one 5 x 5, with 18 weights instead of 25; three as one 7 x 7, 27 for 49"
)

# %% [markdown]
# ### What it really looks at
#
# *Can* see is not *does* see. W. Luo and others (2016) asked how much each pixel of the field counts: by how much does the unit change when the pixel changes a little? They call the part that counts the **effective receptive field**.
#
# You can measure it with a trick. Do not ask one unit about all pixels: that would take a backward pass, which you build in unit 04. Ask all units about **one** pixel. Change the pixel in the middle a little, run the network, and see by how much each unit moves. In a network that treats all places alike it is the same question read from the other side: a unit 3 to the left of the pixel is a unit whose pixel lies 3 to the right.
#
# A stack of 3 x 3 convolutions, 6 channels, ReLUs, random weights scaled so that nothing explodes (unit 07 explains the scale), random pictures.
#
# **Predict.** After 12 layers the field is $2 \cdot 12 + 1 = 25$ pixels wide. Draw the influence of the pixels across these 25: a plateau with steep sides? A triangle? A bell? And when the depth grows four times, from 3 layers to 12, by how much does the width of the part that counts grow: four times as well?

# %%
depth, width, channels, pictures_each, nets = 12, 27, 6, 4, (10 if profile == "quick" else 40)
rng = np.random.default_rng(seed)
influence = np.zeros((depth + 1, width, width))
for _ in range(nets):
    pictures = rng.standard_normal((pictures_each, channels, width, width))
    changed = pictures.copy()
    changed[:, :, width // 2, width // 2] += 1e-4 * rng.standard_normal((pictures_each, channels))
    maps = np.concatenate([pictures, changed])
    for level in range(1, depth + 1):
        w = rng.standard_normal((channels, channels, 3, 3)) * np.sqrt(2 / (channels * 9))
        maps = relu(conv2d(maps, w, padding=1))
        moved = (maps[pictures_each:] - maps[:pictures_each]) / 1e-4
        influence[level] += (moved**2).sum(axis=(0, 1))
influence = np.sqrt(influence)  # root of the mean square, up to a factor for each depth

# %% [markdown]
# How wide is "the part that counts"? Luo and others count the pixels with more than 4.55 % of the influence of the middle one, and take the root of their number as the width. (The measured middle is noisy. So the cell below scales the measured spot to the same total as the predicted one, and counts from the predicted middle.)
#
# What to expect can be derived. Each path from the pixel to the unit goes through one weight a layer, and the weights are random with the same spread. So the mean *square* of the influence is proportional to the **number of paths**. Many paths lead to the middle, one to a corner. How many paths? Each layer adds up three neighbours in both directions: that is your `avg_pool2d` with 3 x 3, stride 1, padding 1, up to the factor 9.

# %% figure="effective_field"
paths = np.zeros((1, 1, width, width))
paths[0, 0, width // 2, width // 2] = 1
predicted = [np.sqrt(paths[0, 0])]
for _ in range(depth):
    paths = avg_pool2d(paths, 3, stride=1, padding=1)
    predicted.append(np.sqrt(paths[0, 0] / paths.max()))
depths = list(range(1, depth + 1))
for n in depths:  # the factor: as much influence in total as the paths have
    influence[n] *= np.sqrt(np.sum(predicted[n] ** 2) / np.sum(influence[n] ** 2))
theory = [receptive_field([(3, 1)] * n) for n in depths]
measured = [float(np.sqrt(np.sum(influence[n] > 0.0455))) for n in depths]
by_paths = [float(np.sqrt(np.sum(predicted[n] > 0.0455))) for n in depths]
fig, axes = plt.subplots(
    1, 3, figsize=(7.4, 2.6), layout="constrained", width_ratios=[1, 1.15, 1.15]
)
drawn = show(axes[0], influence[depth], f"influence, {depth} layers", cmap="cividis", vmin=0)
edge = width // 2 - theory[-1] // 2 - 0.5
axes[0].add_patch(plt.Rectangle((edge, edge), theory[-1], theory[-1], fill=False, ec="white", lw=2))
under = axes[0].inset_axes([0, -0.14, 1, 0.06])
fig.colorbar(drawn, cax=under, orientation="horizontal", label="influence")
across = np.arange(width) - width // 2
axes[1].plot(across, influence[depth][width // 2], "o", markersize=3, color="C0", label="measured")
axes[1].plot(across, predicted[depth][width // 2], "k--", linewidth=1, label="root of the paths")
axes[1].set(title="across the middle", xlabel="distance (pixels)", ylabel="influence")
axes[1].set(ylim=(0, 2))
axes[1].legend(fontsize=7, loc="upper center")
axes[2].plot(depths, theory, "k-", label="can see: 2 n + 1")
axes[2].plot(depths, measured, "o", markersize=4, color="C0", label="counts (measured)")
axes[2].plot(depths, by_paths, "--", color="C0", linewidth=1, label="counts (paths)")
axes[2].set(title="width of the field", xlabel="layers n", ylabel="pixels", xticks=range(0, 13, 3))
axes[2].set(ylim=(0, 36))
axes[2].legend(fontsize=7, loc="upper left")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the influence of the pixels around a unit, a round spot well inside the square that the unit can see. Middle, its profile, a bell that follows the root of the number of paths. Right, the width of the field against the depth: the field that can be seen grows along a straight line, the part that counts bends and lags behind.](figures/effective_field.png)
#
# A bell. The number of paths is a box of three, convolved with itself 12 times, and this goes to a Gaussian whose variance is $\frac23$ per layer along each axis. The width grows with the **root** of the depth, the field itself in proportion to the depth. So the deeper the network, the smaller the share of its field that it uses: Luo and others found that it shrinks like $1/\sqrt{n}$. (For few layers the part that counts nearly fills the field, so the root shows only later: from 3 layers to 12 the width grows about 2.4 times, which is less than 4 and not yet 2.) The corners are hardly ever heard: of $9^{12}$ paths one leads there.
#
# These were random weights, that is, a network before training. Training widens the effective field: the paper shows that, too. And strides widen it at once, which is one more reason for them.
#
# </details>

# %%
for n in (3, 6, 12):
    print(
        f"{n:2d} layers: can see {theory[n - 1]:2d} px, counts {measured[n - 1]:4.1f} px (paths: {by_paths[n - 1]:4.1f})"
    )
print(f"(n = {nets} random networks x {pictures_each} pictures, seed {seed})")
assert measured[11] < 0.8 * theory[11]
assert measured[11] / theory[11] < measured[5] / theory[5] < measured[2] / theory[2]
assert np.corrcoef(influence[depth].ravel(), predicted[depth].ravel())[0, 1] > 0.97

# %% [markdown]
# ## 9. The digits again
#
# Now put your functions in a row:
#
# ```
# conv2d 5 x 5, 64 filters -> ReLU -> max_pool2d(k) -> flatten -> dense
# ```
#
# The filters are those of part 1, cut from digits, and so is the way in which the dense layer is found. Only the window $k$ differs: $k = 1$ is part 1 (no pooling), $k = 16$ is one number a map. For each $k$ the control keeps as many numbers as pooling does, but without a maximum: every $k$-th row and column of the maps, what a strided convolution would do.
#
# There is one more question to ask, and it is the honest one. What does the invariance **cost**? So train a second dense layer on the same numbers. It is not asked what the digit is but *where* it is: how many pixels to the right of the middle. (Its training digits are moved by 0 to 4 pixels, at random. So are its test digits. One number is asked for instead of ten, and the ridge is 1, not tuned.)
#
# **Predict.** With larger $k$: what does the accuracy do, in place and moved by 1, 2, 4 pixels? And the error of the position? Which $k$ would you use?

# %%
windows = (1, 2, 4, 8, 16)


def pooled_rows(pictures):
    """For each window: the flattened pooled maps of pictures (N, 1, 16, 16), and the control's."""
    rows = {("pooled", k): [] for k in windows} | {("thinned", k): [] for k in windows[1:]}
    for n in range(0, len(pictures), 200):
        maps = feature_maps(pictures[n : n + 200]).astype(np.float32)
        for k in windows:
            rows["pooled", k].append(flatten(max_pool2d(maps, k)))
            if k > 1:
                rows["thinned", k].append(flatten(maps[:, :, k // 2 :: k, k // 2 :: k]))
    return {case: np.concatenate(pieces) for case, pieces in rows.items()}


rng = np.random.default_rng(seed)
train_places, test_places = rng.integers(0, 5, len(train_x)), rng.integers(0, 5, len(test_x))


def at_places(pictures, places):
    """Each of the pictures on its own canvas, moved to the right by its own number of pixels."""
    moved = [
        on_canvas(picture[None], right=int(p)) for picture, p in zip(pictures, places, strict=True)
    ]
    return np.concatenate(moved)


centred_rows = pooled_rows(on_canvas(train_x))
readers = {case: fit_dense(rows, train_y) for case, rows in centred_rows.items()}
del centred_rows
moves = (0, 1, 2, 4)
final = {case: {} for case in readers}
for right in moves:
    for case, rows in pooled_rows(on_canvas(test_x, right=right)).items():
        final[case][right] = percent(read(rows, readers[case]), test_y)

somewhere, elsewhere = (
    pooled_rows(at_places(pictures, places))
    for pictures, places in ((train_x, train_places), (test_x, test_places))
)
where_error = {}
for k in windows:
    rows, mean = somewhere["pooled", k], somewhere["pooled", k].mean(axis=0)
    kernel = (rows - mean) @ (rows - mean).T + np.eye(len(rows))
    weights = (rows - mean).T @ np.linalg.solve(kernel, train_places - train_places.mean())
    guess = (elsewhere["pooled", k] - mean) @ weights + train_places.mean()
    where_error[k] = float(np.sqrt(np.mean((guess - test_places) ** 2)))
knows_nothing = float(np.std(test_places))
del somewhere, elsewhere, rows

# %% figure="invariance"
fig, axes = plt.subplots(1, 2, figsize=(7.3, 3.2), layout="constrained", sharex=True)
for right, style in ((0, "o-"), (1, "s--"), (2, "^-."), (4, "D:")):
    values = [final["pooled", k][right] for k in windows]
    axes[0].plot(windows, values, style, label=f"moved {right} px")
values = [final["thinned", k][1] for k in windows[1:]]
axes[0].plot(windows[1:], values, "x-", color="gray", linewidth=1, label="control, moved 1 px")
axes[0].set(title="WHAT is it?", ylabel="accuracy (%)", ylim=(0, 103))
axes[0].legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
axes[1].plot(
    windows, list(where_error.values()), "o-", color="black", label="dense layer on the pooled maps"
)
axes[1].axhline(knows_nothing, color="gray", linestyle=":", label="knowing nothing")
axes[1].set(title="WHERE is it?", ylabel="error of the position (pixels)", ylim=(0, 1.6))
axes[1].legend(fontsize=7, loc="center left")
for ax in axes:
    ax.set_xscale("log", base=2)
    ax.set_xticks(windows, [str(k) for k in windows])
    ax.set(xlabel="window of max_pool2d, k x k (pixels)")
fig.suptitle("What pooling buys, and what it pays with", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, accuracy against the pooling window for digits in place and moved by 1, 2 and 4 pixels: with larger windows the curves of moved digits rise until all curves meet above 90 % at 16 x 16, while the control, moved by one pixel, falls. Right, the error of the position: small for small windows, and at 16 x 16 as large as without any knowledge.](figures/invariance.png)
#
# Three things are to be read from it.
#
# - **A 2 x 2 window buys little.** One pixel still costs more than a third of the answers. The sieve of part 2 said so. A network gets its invariance from several of them, or from a large one at the end.
# - **A window as large as the map buys all.** The four curves meet. The same numbers come out wherever the digit stands, and the accuracy in place is a few points lower than the best.
# - **It is paid for.** The right picture is the bill. *Invariant to the place* and *ignorant of the place* are two names for one thing. With $k = 16$ no layer above can ever find out where the digit was: its error is that of somebody who always says "in the middle". For reading digits this is no loss. For drawing a box around them (unit 17) it is everything. And the bill comes late: at $k = 8$ each map keeps four numbers, and the dense layer still finds the place to 0.3 pixels. 64 maps of four numbers are 256 numbers, and a move still changes some of them. What is not exactly invariant may well know where.
#
# The control, with as many numbers and no maximum, goes the other way: the fewer places it looks at, the more a move by one pixel hurts. So shrinking is not what helps. Asking *all* values and keeping the strongest is. (The table below has a curiosity: in place, the control with one place per map reads almost nine digits in ten. One look at the middle tells much about a centred digit. One pixel later it is lost.)
#
# </details>

# %%
print(f"{'':<22}", " ".join(f"{right:4d} px" for right in moves), "  position")
for k in windows:
    line = " ".join(f"{value:5.1f} %" for value in final["pooled", k].values())
    print(f"max_pool2d {k:2d} x {k:<2d}     ", line, f"  {where_error[k]:4.2f} px")
for k in windows[1:]:
    line = " ".join(f"{value:5.1f} %" for value in final["thinned", k].values())
    print(f"control: one in {k:2d}     ", line)
print(f"(n = {len(test_y)} digits, seed {seed}; always 'in the middle': {knows_nothing:.2f} px)")
at_last = final["pooled", 16].values()
assert max(at_last) - min(at_last) < 1
assert min(at_last) > 90
assert final["pooled", 1][1] < 70
assert final["thinned", 8][1] < final["pooled", 8][1] - 30
assert final["thinned", 16][1] < 40
assert where_error[2] < 0.7 < 0.9 * knows_nothing < where_error[16]

# %% [markdown]
# **Why do the four curves meet *exactly*?** A map moves with the digit, as the convolution is equivariant. Its largest value moves along and stays the largest value. So with one window over the whole map
#
# $$\max(F(Tx)) = \max(T\,F(x)) = \max(F(x)) .$$
#
# **Equivariance, then a maximum over all places, is invariance.** (As long as nothing falls off the canvas.) And what do the 64 numbers see? The receptive field of the last unit is larger than the picture:

# %%
print("receptive field:", receptive_field([(5, 1), (16, 16)]), "pixels; the canvas has 16")
assert receptive_field([(5, 1), (16, 16)]) == 20

# %% [markdown]
# It sees everything, but only in pieces of 5 x 5. Shuffle the places of its maps, and it answers the same. Such a network knows *which* strokes there are and not how they are joined. For these digits that is enough. That it is often enough for photographs, too, was a surprise to many (W. Brendel and M. Bethge, 2019).
#
# In the full profile, and where MNIST is found, the next cell asks the same of 28 x 28 pixels.

# %%
if profile == "full":
    try:
        large, large_test = mnist("train"), mnist("test")
    except DataError as error:
        print("no MNIST here:", error)
    else:
        sides = (4, 12, 36)
        strokes = cut_filters(
            large.images[:1000, :, 5:23, 5:23], 128, 9, np.random.default_rng(seed)
        )

        def large_rows(pictures):
            """Flattened pooled maps of 28 x 28 digits on a canvas of 36 x 36, for each window."""
            rows = {k: [] for k in sides}
            for n in range(0, len(pictures), 50):
                maps = relu(conv2d(pictures[n : n + 50], strokes, padding=4)).astype(np.float32)
                for k in sides:
                    rows[k].append(flatten(max_pool2d(maps, k)))
            return {k: np.concatenate(pieces) for k, pieces in rows.items()}

        some = large_rows(on_canvas(large.images[:1000], size=36))
        denses = {k: fit_dense(rows, large.labels[:1000]) for k, rows in some.items()}
        for right in (0, 2, 4):
            asked = large_rows(on_canvas(large_test.images[:300], right=right, size=36))
            scores = [
                f"{k} x {k}: {percent(read(asked[k], denses[k]), large_test.labels[:300]):5.1f} %"
                for k in sides
            ]
            print(f"MNIST, moved {right} px, max_pool2d", "  ".join(scores), " (n = 300)")

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Pooling keeps one number a window and has no weights.** Its ring must fit the question: $-\infty$ for the maximum, $+\infty$ for the minimum, zeros that count for the average. `None` for the stride means the kernel.
# 2. **Its invariance is local and partial**: of noise, $(k-d)/(k+d)$ of the values survive a move by $d$. The maximum is equivariant. The *stride* breaks that. Only a window over the whole map makes a network invariant, and then it no longer knows where.
# 3. **A unit sees $r \leftarrow r + (k-1)\,j$, $j \leftarrow j s$ pixels.** What counts for it is a bell in the middle of them.
#
# ## What to read
#
# - R. Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, [arXiv:1904.11486](https://arxiv.org/abs/1904.11486): the row of eight, blurring, and consistency on ImageNet.
# - W. Luo, Y. Li, R. Urtasun, R. Zemel, *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, NIPS 2016, [arXiv:1701.04128](https://arxiv.org/abs/1701.04128): your bell, derived and after training.
# - A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, NIPS 2012, section 3.4: overlapping pooling.
# - M. Lin, Q. Chen, S. Yan, *Network In Network*, ICLR 2014, [arXiv:1312.4400](https://arxiv.org/abs/1312.4400), section 3.2: global average pooling.
# - K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun, *What is the Best Multi-Stage Architecture for Object Recognition?*, ICCV 2009: average against maximum, and what stands before them.
# - A. Coates, A. Ng, *The Importance of Encoding Versus Training with Sparse Coding and Vector Quantization*, ICML 2011: filters cut at random from the training pictures do as well as learned ones there.
# - W. Brendel, M. Bethge, *Approximating CNNs with Bag-of-local-Features Models Works Surprisingly Well on ImageNet*, ICLR 2019, [arXiv:1904.00760](https://arxiv.org/abs/1904.00760).
#
# ## The road not taken
#
# "The pooling operation used in convolutional neural networks is a big mistake and the fact that it works so well is a disaster." So said G. Hinton in 2014, in a public question hour (*Ask Me Anything*, reddit.com/r/MachineLearning). His reason is that pooling, at least without overlap, loses where things are, and with it how the parts of an object stand to each other. You have seen the first half of it in part 9. He would rather have units that *carry* the place along, equivariant to the end: capsules (S. Sabour, N. Frosst, G. Hinton, 2017, [arXiv:1710.09829](https://arxiv.org/abs/1710.09829)). Others left pooling out and let strided convolutions do the shrinking (J. T. Springenberg and others, *Striving for Simplicity*, 2015, [arXiv:1412.6806](https://arxiv.org/abs/1412.6806)). Many networks of today took that second road, with one global average at the end. Unit 04 keeps pooling and asks what is needed to train through it: which of the four values was the largest?
