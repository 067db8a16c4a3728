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
#       cell_seconds: 20
#       submission_seconds: 300
#     minutes: 210
#     title: Neurons
# ---

# %% [markdown]
# # Neurons
#
# **210 minutes. You need Python, NumPy arrays (slices, broadcasting, `@`), and the functions exp and log.**
#
# A neuron multiplies, adds, and bends the result. That is all. Today you build everything that stands around this one idea: pictures as numbers, single neurons, layers of them, the bends, the probabilities at the end, and the losses that say how wrong a network is. At the start, a good simple rule on raw pixels falls apart when a digit moves by two pixels, and no single neuron can say "here is an edge". At the end, a network made of nothing but your functions finds the edges of a photograph and reads handwritten digits.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: pictures as numbers, and why pixels are not enough | 20 |
# | 2 | `resize`, `standardise`: pictures made ready | 25 |
# | 3 | `perceptron`: one neuron, and a rule that teaches it | 30 |
# | 4 | `dense`: many neurons, and what they cost | 25 |
# | 5 | `sigmoid`, `tanh`, `relu`, `leaky_relu`, `swish`: the bends | 35 |
# | 6 | `softmax`: from numbers to probabilities | 20 |
# | 7 | `mse`, `mae`, `binary_cross_entropy`, `cross_entropy`: how wrong? | 45 |
# | 8 | the thing done: edges, and digits | 10 |

# %% [markdown]
# ## How a lesson works
#
# - **Exercise.** A cell with a signature, a docstring and `# YOUR CODE HERE`. Above it stand the minutes, the difficulty and what it is for. Hints are folded, the weakest first. Take as few as you can.
# - **Check.** The read-only cell below it calls your function. It is silent if all is well; otherwise it says what is wrong, where, and often which mistake it is. The grader tries more shapes and values than you see, and nothing that the contract below does not promise.
# - **Predict.** Before each experiment stands a question. Answer it in words *before* you run the cell. A fold below the cell, *What you should see, and why*, has the expected picture.
# - **Submit.** Type `grader try notebooks/01-neurons/neurons.ipynb` in a terminal: one line for each exercise. Then *Kernel → Restart Kernel and Run All Cells*, and hand in the `.ipynb` file. Some questions are answered in words and read by a person.

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This is the contract of the whole course. Each lesson adds to it; none takes back.
#
# - **Pictures** are arrays `x` of shape `(N, C, H, W)`: number of pictures, channels (colours), height, width. **Rows of features** are `x` of shape `(N, D)`: $N$ examples of $D$ numbers each. $N$ may be 1. $H$ and $W$ may differ.
# - **Kinds of numbers.** Arguments are NumPy arrays of float32 or float64. Only pictures (`x` of `resize`, `standardise`, `perceptron` and `dense`, and `reference`) and labels (`y`) may be integers as well: pixels are `uint8`, whole numbers from 0 to 255. The **result is a NumPy array of float64, or float32 where the arguments are float32**. Never of integers, and never of float16.
# - **Losses** return one floating number, a Python `float` or a NumPy one.
# - **Views.** Arguments may be non-contiguous: a slice, a transpose, a reversed array.
# - **No argument is changed.** What was passed in is bit for bit the same afterwards. The result may share memory with an argument.
# - **Large numbers** are no excuse: no result is `nan` where the right answer is a number. Warnings and prints cost nothing.
# - **Options** (`axis`, `negative_slope`, `beta`, `from_logits`, and later `stride`, `padding`) are plain Python ints, floats and bools.
# - **Speed does not count**, and neither does style. Loops earn full marks.
#
# NumPy only, until unit 09. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" reads MNIST at the end and shows the slider
seed = 0

# %% locked=true
import os
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from data import DataError, digits, mnist, photograph
from grader import check

plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})


def show(ax, picture, title, signed=False, limit=None, **settings):
    """Draw picture (H, W) or (H, W, 3) on ax: grey, or orange-white-purple around zero if signed."""
    if signed:
        limit = limit or float(np.abs(picture).max()) or 1.0
        settings = {"cmap": "PuOr", "vmin": -limit, "vmax": limit} | settings
    elif np.ndim(picture) == 2:
        settings = {"cmap": "gray"} | settings
    drawn = ax.imshow(picture, **settings)
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


handwritten = digits()  # 1,797 digits of 8 x 8 pixels, ink 1 on paper 0

# %% [markdown]
# ## 1. What a picture is
#
# To a computer a picture is a tensor of whole numbers from 0 to 255: one number for each row, column and colour. Cameras and image files put the colour last: `(H, W, 3)`. A picture of 800 x 600 in colour has the shape `(600, 800, 3)`: the *height* comes first.

# %% figure="pixels"
photo = photograph()
print(f"shape {photo.shape}, {photo.dtype}, from {photo.min()} to {photo.max()}")
print(f"one pixel, red green blue: {photo[230, 318]}")
top, left = 226, 300
piece = photo[top : top + 6, left : left + 9, 0]  # red only: (6, 9)
fig, axes = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained", width_ratios=[1.3, 1.2])
show(axes[0], photo[::3, ::3], "what you see")
axes[0].plot(left / 3, top / 3, "s", mfc="none", mec="white", markersize=9, mew=2)
show(axes[1], piece, "what the computer has (red, 6 x 9 pixels)", vmin=0, vmax=255)
for (i, j), value in np.ndenumerate(piece):
    axes[1].text(
        j, i, value, ha="center", va="center", fontsize=7, color="black" if value > 120 else "white"
    )
plt.show()

# %% [markdown]
# <details><summary>What you should see</summary>
#
# ![A photograph of a temple with a small square marked, and beside it the six by nine pixels of this square with their numbers between 0 and 255.](figures/pixels.png)
#
# 0 is black and 255 is white. (Some texts have it the other way round. Look at your own picture.)
#
# </details>
#
# These whole numbers are **bytes** (`uint8`), and bytes are a trap. They hold 0 to 255 and nothing else. What does not fit comes out wrong, without an error.
#
# **Predict.** A bright pixel has the value 200. You add 100. You subtract 201. You take `exp` of a pixel of value 12. (The right answer is 162,754.8.)

# %%
pixel = np.array([200], dtype=np.uint8)
with np.errstate(over="ignore"):
    print("200 + 100          =", pixel + np.uint8(100))
    print("200 - 201          =", pixel - np.uint8(201))
    print("-200               =", -pixel)
    dim = np.array([12], dtype=np.uint8)
    print("exp(12)            =", np.exp(dim), np.exp(dim).dtype)
    print("exp(1.0 * 12)      =", np.exp(1.0 * dim), np.exp(1.0 * dim).dtype)
assert pixel + np.uint8(100) == 44
assert pixel - np.uint8(201) == 255
assert -pixel == 56

# %% [markdown]
# Bytes count round a ring of 256: $300 - 256 = 44$, and $-1$ is 255. And NumPy gives `exp` of a byte as a float16, whose largest number is 65,504. So before you compute with bytes, write
#
# ```
# x = 1.0 * x
# ```
#
# It turns integers into float64, leaves float32 and float64 as they are, and makes a new array, so that nothing you do to it reaches the caller. In the exercises bytes come as pictures and as labels only. Weights, sums, logits and probabilities are floating, and a byte times a floating weight is floating by itself.

# %% [markdown]
# ### Why pixels are not enough
#
# Here is a good simple rule: keep 1,000 pictures of handwritten digits; a new picture gets the label of the stored picture whose pixels are nearest (smallest sum of squared differences). Nothing is learned. On untouched digits it is hard to beat.
#
# Now do to the new pictures what the world does to pictures.
#
# - **Intensity.** The camera moves a little, by two pixels: the number at each place is another one.
# - **Light.** The lamp goes down to 30 %.
# - **Clutter.** The digit is written on a scrap of the photograph, at 70 % of its brightness.
# - **Occlusion.** A strip of two rows is covered.
# - **Deformation.** The digit is slanted.
#
# You will read them all without trouble.
#
# **Predict.** The rule gets 97 % on untouched digits. Which of the five hurts it most? Say a number for "moved by two pixels".


# %% locked=true
def framed(pictures, right=0):
    """Put pictures (N, 8, 8) into a black frame (N, 14, 14), moved to the right by some pixels."""
    canvas = np.zeros((len(pictures), 14, 14))
    canvas[:, 3:11, 3 + right : 11 + right] = pictures
    return canvas


ink = (255 * handwritten.images[:, 0]).round()  # (1797, 8, 8), whole numbers 0 ... 255
stored, stored_y = framed(ink[:1000]).reshape(1000, -1), handwritten.labels[:1000]
fresh, fresh_y = ink[1000:1200], handwritten.labels[1000:1200]

rng = np.random.default_rng(seed)
backgrounds = np.zeros((200, 14, 14))
for one in backgrounds:
    top, left = rng.integers(0, 427 - 42), rng.integers(0, 640 - 42)
    one[:] = photo[top : top + 42 : 3, left : left + 42 : 3].mean(axis=2)
cluttered = np.maximum(framed(fresh), 0.7 * backgrounds)
covered = framed(fresh)
covered[:, 6:8] = 0
slanted = np.stack(
    [np.roll(framed(fresh)[:, i], round((6.5 - i) / 2), axis=1) for i in range(14)], axis=1
)
changes = {
    "untouched": framed(fresh),
    "moved 2 px": framed(fresh, right=2),
    "light: 30 %": 0.3 * framed(fresh),
    "cluttered": cluttered,
    "occluded": covered,
    "deformed": slanted,
}


def nearest_label(pictures):
    """Labels (N,) of the stored pictures that are nearest to pictures (N, 14, 14)."""
    rows = pictures.reshape(len(pictures), -1)
    distance = (rows**2).sum(axis=1)[:, None] - 2 * rows @ stored.T + (stored**2).sum(axis=1)
    return stored_y[distance.argmin(axis=1)]


by_rule = {
    name: 100 * float(np.mean(nearest_label(pictures) == fresh_y))
    for name, pictures in changes.items()
}

# %% figure="five_reasons"
textured = backgrounds.std(axis=(1, 2)) * (fresh_y == 5)
shown_five = int(textured.argmax())  # the five with the liveliest background
fig, axes = plt.subplots(1, 6, figsize=(7.4, 1.9), layout="constrained")
for ax, (name, pictures) in zip(axes, changes.items(), strict=True):
    show(ax, pictures[shown_five], name, vmin=0, vmax=255)
    ax.set(xlabel=f"{by_rule[name]:.1f} % right")
fig.suptitle(f"The nearest of 1,000 stored pictures (n = {len(fresh)} new ones each)", fontsize=9)
plt.show()
changed = [value for name, value in by_rule.items() if name != "untouched"]
assert by_rule["untouched"] == 97.0
assert max(changed) < 80
assert by_rule["moved 2 px"] == min(changed)
faint = np.maximum(framed(fresh), 0.5 * backgrounds)
by_faint = 100 * float(np.mean(nearest_label(faint) == fresh_y))
print(f"cluttered by a scrap at 50 % of its brightness instead of 70 %: {by_faint:.1f} % right")
assert 90 < by_faint < 97

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![One handwritten five untouched, moved by two pixels, darkened, on a scrap of a photograph, with two rows covered, and slanted; below each the share of right answers: 97 percent for the first, less than 80 for all others, least for the moved one.](figures/five_reasons.png)
#
# All five hurt, at the strengths chosen here. They were chosen so that each shows: a paler scrap does little harm (the line below the figure). Moving by two pixels is the worst: about one in five is still right, and guessing would give one in ten. To the rule a picture is a list of 196 numbers, and after the move nearly every number is another one. No threshold on single pixels survives this, and no distance that compares them place by place survives the move. What you need are numbers *computed from* the pixels that stay when the world changes: **features**. Neurons compute them.
#
# </details>

# %% [markdown]
# ### A question that no single neuron can answer
#
# The simplest feature of all: two pixels side by side, $a$ and $b$. **Is there an edge between them?** Yes, if one is bright and the other dark, *whichever of the two it is*.
#
# | $a$ | $b$ | edge? |
# |---|---|---|
# | 0 | 0 | 0 |
# | 0 | 1 | 1 |
# | 1 | 0 | 1 |
# | 1 | 1 | 0 |
#
# This table is known as **XOR**, "either, but not both". You will see in part 3 why a single neuron cannot do it, however it is trained. In part 5 three neurons can. In part 8 the same three draw the edges of the photograph.

# %% [markdown]
# ## 2. Pictures made ready
#
# Three things are done to nearly every picture before a network sees it.
#
# **Rescale.** Divide by 255: numbers from 0 to 1. 0 is still black and 1 is white. Weights of an ordinary size then give sums of an ordinary size. (One set of lecture notes prints $1/2550$. It is $1/255$.) You need no function for that: `x / 255` is floating already, even for bytes.
#
# **Resize.** A dense layer has one weight for each pixel, so all pictures must have one size. The simplest way: lay the new grid over the old picture, and let each new pixel take the value of the old pixel under its *middle*. This is called nearest neighbour.
#
# ```
# old row, 5 pixels     |  a  |  b  |  c  |  d  |  e  |
# new row, 3 pixels     |    .    |    .    |    .    |       the dots are the middles
#                       0        1.67      3.33       5
# ```
#
# **Derivation.** Measure places from the left edge, in old pixels. Old pixel $k$ covers the places from $k$ to $k+1$. There are $W$ old pixels and $W_{out}$ new ones, so a new pixel is $W / W_{out}$ wide. New pixel $j$ covers $j\,W/W_{out}$ to $(j+1)\,W/W_{out}$, and its middle is
#
# $$\left(j + \tfrac12\right) \frac{W}{W_{out}}, \qquad \text{so it takes old pixel} \quad k(j) = \left\lfloor \left(j + \tfrac12\right) \frac{W}{W_{out}} \right\rfloor .$$
#
# ($\lfloor a \rfloor$ is $a$ rounded down.) For 5 to 3: the middles are $0.83, 2.5, 4.17$, so the new row is $a, c, e$. Leave out the $\frac12$, as many programs do, and you get $\lfloor 0 \rfloor, \lfloor 1.67 \rfloor, \lfloor 3.33 \rfloor$, that is $a, b, d$: the picture has moved to the right, and its right end is lost. Rows work in the same way, with $H$ and $H_{out}$.

# %% [markdown]
# ### Exercise: `resize`
#
# *10 minutes, easy. What it is for: every data pipeline begins with it, and half a pixel lost here is lost in every picture.*
#
# Resize pictures by nearest neighbour. `size` is a pair `(H_out, W_out)`, larger or smaller than before, and each direction has its own ratio. (The tests avoid sizes where a middle falls exactly between two old pixels.)
#
# <details><summary>Hint 1: which old pixels?</summary>
#
# `np.arange(W_out)` holds all $j$. Compute all $k(j)$ at once. `.astype(int)` rounds positive numbers down.
#
# </details>
# <details><summary>Hint 2: how to take them</summary>
#
# An array of whole numbers is an index: `x[:, :, rows]` takes these rows, `x[:, :, :, columns]` these columns. Do one after the other.
#
# </details>


# %% exercise="resize"
def resize(x, size):
    """Pictures x (N, C, H, W) -> (N, C, H_out, W_out), floating; size is the pair (H_out, W_out).

    Nearest neighbour: each new pixel takes the value of the old pixel under its middle.
    """
    ### BEGIN SOLUTION
    H, W = x.shape[2:]
    H_out, W_out = size
    rows = ((np.arange(H_out) + 0.5) * H / H_out).astype(int)
    columns = ((np.arange(W_out) + 0.5) * W / W_out).astype(int)
    return 1.0 * x[:, :, rows][:, :, :, columns]
    ### END SOLUTION


# %% tests="resize" part="shrink" points=1
# The row of the text: a b c d e becomes a c e
check.close(
    resize(np.array([[[[10.0, 40.0, 20.0, 70.0, 50.0]]]]), (1, 3)),
    np.array([[[[10.0, 20.0, 50.0]]]]),
    what="resize of 10 40 20 70 50 to (1, 3)",
)
# Middles of the new rows: 0.5 * 5/3, 1.5 * 5/3, 2.5 * 5/3, so rows 0, 2, 4. Columns: the middle one of three
_x = np.array(
    [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 9.0, 7.0], [8.0, 6.0, 1.0], [2.0, 3.0, 5.0]]]]
)
check.close(
    resize(_x, (3, 1)), np.array([[[[2.0], [9.0], [3.0]]]]), what="resize of 5 x 3 to (3, 1)"
)
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(101)
    for N, C, H, W, H_out, W_out in (
        (2, 3, 7, 11, 3, 4),
        (1, 1, 9, 5, 2, 5),
        (3, 2, 13, 9, 6, 7),
        (1, 2, 5, 7, 5, 7),
        (2, 1, 15, 7, 1, 1),
    ):
        x = rng.standard_normal((N, C, H, W))
        expected = torch.nn.functional.interpolate(
            torch.tensor(x), (H_out, W_out), mode="nearest-exact"
        ).numpy()
        before = x.copy()
        check.close(
            resize(x, (H_out, W_out)), expected, what=f"resize, {x.shape} to {H_out, W_out}"
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="resize" part="grow" points=1
# Twice as wide: every pixel twice. Bytes go in, floats come out
check.close(
    resize(np.array([[[[10, 250, 30]]]], dtype=np.uint8), (1, 6)),
    np.array([[[[10.0, 10.0, 250.0, 250.0, 30.0, 30.0]]]]),
    what="resize of the bytes 10 250 30 to (1, 6)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(102)
    for N, C, H, W, H_out, W_out in (
        (2, 3, 3, 5, 7, 9),
        (1, 2, 5, 3, 4, 11),
        (2, 1, 3, 3, 9, 2),
        (1, 4, 1, 7, 5, 8),
    ):
        expected = rng.integers(0, 256, (N, W, H, C)).astype(np.uint8)
        for kind in (np.uint8, np.float32, np.float64):
            x = expected.astype(kind).transpose(0, 3, 2, 1)[:, :, ::-1]
            before = x.copy()
            wanted = torch.nn.functional.interpolate(
                torch.tensor(before.astype(float)), (H_out, W_out), mode="nearest-exact"
            ).numpy()
            what = f"resize, {kind.__name__} {x.shape}, a view, to {H_out, W_out}"
            check.close(resize(x, (H_out, W_out)), wanted, what=what)
            check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The photograph at $107 \times 161$ and at $23 \times 35$ pixels. Your function wants `(N, C, H, W)`: the colours move from the last axis to the second.
#
# **Predict.** Nearest neighbour keeps one old pixel and throws its neighbours away. What becomes of the thin lines, the rows of tiles on the roof?

# %% figure="resized"
as_tensor = photo.transpose(2, 0, 1)[None]  # (1, 3, 427, 640)
fig, axes = plt.subplots(1, 2, figsize=(6.6, 2.3), layout="constrained")
for ax, size in zip(axes, ((107, 161), (23, 35)), strict=True):
    small = resize(as_tensor / 255, size)
    show(ax, small[0].transpose(1, 2, 0), f"{size[0]} x {size[1]} pixels: {small.size:,} numbers")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The photograph of the temple at 107 by 161 pixels, still clear but with ragged edges, and at 23 by 35 pixels, a mosaic of squares in which the temple can just be told.](figures/resized.png)
#
# Thin lines become ragged or vanish: whether a line survives depends on whether it happens to lie under a middle. The mean of all old pixels under a new one is better for shrinking. That is a pooling layer, and unit 03 builds it.
#
# </details>
#
# **Standardise.** A network learns faster when each channel is centred at 0 and spread by about 1. (Why, you will see in unit 06.) So subtract the mean and divide by the standard deviation, **for each channel by itself**: with $\mu_c$ and $\sigma_c$ over all pictures, rows and columns of channel $c$,
#
# $$\hat x[n,c,i,j] = \frac{x[n,c,i,j] - \mu_c}{\sigma_c}, \qquad \mu_c = \frac{1}{NHW}\sum_{n,i,j} x[n,c,i,j], \qquad \sigma_c^2 = \frac{1}{NHW}\sum_{n,i,j} \left(x[n,c,i,j]-\mu_c\right)^2 .$$
#
# **Whose mean?** That of the *training* pictures, always. The same two numbers are then used for every picture that will ever come. If you take the mean of the test pictures instead, you have looked at the exam; and a picture that is brighter than usual would lose the very thing that makes it so.

# %% [markdown]
# ### Exercise: `standardise`
#
# *10 minutes, easy. What it is for: the most common silent mistake of a first project is to prepare training and test pictures differently.*
#
# `x` are the pictures to prepare, `reference` the training pictures that $\mu_c$ and $\sigma_c$ are taken from. Both have $C$ channels; the other sizes may differ. No channel of `reference` is constant.
#
# <details><summary>Hint 1</summary>
#
# `reference.mean(axis=...)` takes several axes at once. Which three are averaged away?
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `keepdims=True` the result has shape `(1, C, 1, 1)`, and that lines up with `x`.
#
# </details>


# %% exercise="standardise"
def standardise(x, reference):
    """Subtract the mean of each channel and divide by its standard deviation, both taken from reference.

    x (N, C, H, W), reference (M, C, H_r, W_r) -> (N, C, H, W), floating.
    """
    ### BEGIN SOLUTION
    mean = reference.mean(axis=(0, 2, 3), keepdims=True)
    deviation = reference.std(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / deviation
    ### END SOLUTION


# %% tests="standardise" part="channels" points=1
# Two pictures of 1 x 2 pixels. Channel 0: 2 2 and 6 6, so mean 4, deviation 2.
# Channel 1: 10 30 and 10 30, so mean 20, deviation 10
_x = np.array([[[[2.0, 2.0]], [[10.0, 30.0]]], [[[6.0, 6.0]], [[10.0, 30.0]]]])
check.close(
    standardise(_x, _x.copy()),
    np.array([[[[-1.0, -1.0]], [[-1.0, 1.0]]], [[[1.0, 1.0]], [[-1.0, 1.0]]]]),
    what="standardise by its own statistics, two pictures, two channels",
)
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(103)
    for N, C, H, W in ((4, 3, 5, 6), (1, 2, 4, 3), (6, 1, 2, 5)):
        x = rng.standard_normal((N, C, H, W)) * (1 + np.arange(C)).reshape(C, 1, 1) + 3
        flat = x.transpose(1, 0, 2, 3).reshape(C, -1)
        centre = np.array([sum(row) / len(row) for row in flat])
        spread = np.sqrt(
            [sum((row - m) ** 2) / len(row) for row, m in zip(flat, centre, strict=True)]
        )
        expected = (x - centre.reshape(C, 1, 1)) / spread.reshape(C, 1, 1)
        check.close(standardise(x, x.copy()), expected, what=f"standardise, x {x.shape}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="standardise" part="reference" points=1
# The reference has mean 4 and deviation 2. A brighter picture stays brighter: (8 - 4) / 2 = 2, (10 - 4) / 2 = 3
check.close(
    standardise(np.array([[[[8, 10, 0]]]], dtype=np.uint8), np.array([[[[2, 6]]]], dtype=np.uint8)),
    np.array([[[[2.0, 3.0, -2.0]]]]),
    what="standardise of bytes by another reference",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(104)
    for kind in (np.float64, np.float32, np.uint8):
        x = (20 * rng.random((3, 5, 4, 2)) + 9).astype(kind).transpose(0, 3, 1, 2)[..., ::-1]
        reference = (9 * rng.random((5, 2, 3, 7)) * [[[4]], [[9]]]).astype(kind)
        wide = reference.astype(float)
        centre, spread = np.zeros((2, 1, 1)), np.zeros((2, 1, 1))
        for c in range(2):
            centre[c] = np.sum(wide[:, c]) / wide[:, c].size
            spread[c] = np.sqrt(np.sum((wide[:, c] - centre[c]) ** 2) / wide[:, c].size)
        expected = (x.astype(float) - centre) / spread
        before = x.copy(), reference.copy()
        what = f"standardise, {kind.__name__} x {x.shape}, reference {reference.shape}"
        check.close(standardise(x, reference), expected, what=what, rtol=1e-4, atol=1e-4)
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], reference, what="reference")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The left half of the photograph is the "training set"; the right half is new.
#
# **Predict.** The left half comes out with mean 0 and deviation 1 in each channel. What about the right half: also 0 and 1?

# %%
left_half, right_half = np.split(as_tensor, 2, axis=3)
for name, half in (("left, the reference", left_half), ("right, new", right_half)):
    ready = standardise(half, left_half)
    print(f"{name:<20} mean", ready.mean(axis=(0, 2, 3)).round(2), end="   ")
    print("deviation", ready.std(axis=(0, 2, 3)).round(2))
assert abs(standardise(left_half, left_half).mean()) < 1e-9
assert 0.5 < standardise(right_half, left_half).mean() < 0.7

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Not at all. The right half is brighter, for there is more sky in it, and it stays brighter: its channels come out with means of about 0.6 and deviations a little above 1. That is right so. It was measured with the ruler of the training set.
#
# </details>
#
# %% [markdown]
# ## 3. One neuron
#
# **Idea.** A neuron weighs evidence. Each input gets a weight: positive if it speaks for "yes", negative if against, zero if it does not matter. Add everything up. If the sum passes a threshold, the answer is yes.
#
# **Picture.**
#
# ```
#   x[0] --- w[0] ---\
#   x[1] --- w[1] ----+---> z = x . w + b ---> 1 if z > 0, else 0
#   x[2] --- w[2] ---/
#                    b
# ```
#
# **Formula.** For example number $n$, with $D$ inputs,
#
# $$z[n] = b + \sum_{d=0}^{D-1} x[n,d]\; w[d], \qquad y[n] = \begin{cases} 1 & z[n] > 0 \\ 0 & z[n] \le 0 . \end{cases}$$
#
# $w$ are the **weights**, $b$ is the **bias**. Without a bias the threshold would be stuck at 0: a black picture would always give $z = 0$. At $z = 0$ exactly the answer is 0. This is the unit of Frank Rosenblatt's **perceptron** (1958). It ran as a program first, and was then built: a machine whose weights were turned by motors.
#
# **By hand.** $w = (2, -1)$, $b = -1$. For $x = (1, 0)$: $z = 2 - 0 - 1 = 1$, yes. For $(1, 1)$: $z = 2 - 1 - 1 = 0$, no. For $(0, 0)$: $z = -1$, no.

# %% [markdown]
# ### Exercise: `perceptron`
#
# *10 minutes, easy. What it is for: every unit of every network is this, but for the step at the end.*
#
# Many examples at once: `x` has shape `(N, D)`, the result `(N,)`.
#
# <details><summary>Hint 1</summary>
#
# `x @ w` is the sum over $d$ for all $n$ at once.
#
# </details>
# <details><summary>Hint 2: zeros and ones, floating</summary>
#
# `z > 0` is an array of True and False. `np.where` chooses between two numbers.
#
# </details>


# %% exercise="perceptron"
def perceptron(x, w, b):
    """Rosenblatt's unit: x (N, D), w (D,), b a number -> (N,), 1.0 where x @ w + b > 0, else 0.0."""
    ### BEGIN SOLUTION
    return np.where(x @ w + b > 0, 1.0, 0.0)
    ### END SOLUTION


# %% tests="perceptron" part="decide" points=1
# The example of the text: z = 1 and -1. Then z = 2*3 - 1*1 - 1 = 4. Only the next cell asks for floats
_said = perceptron(np.array([[1.0, 0.0], [0.0, 0.0], [3.0, 1.0]]), np.array([2.0, -1.0]), -1.0)
check.close(
    np.asarray(_said, dtype=float),
    np.array([1.0, 0.0, 1.0]),
    what="perceptron, w = (2, -1), b = -1",
)
del _said


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(105)
    for N, D in ((12, 3), (9, 5), (1, 4), (30, 1), (5, 64)):
        x, w = rng.standard_normal((N, D)), rng.standard_normal(D)
        b = float(rng.standard_normal())
        before = x.copy(), w.copy()
        z = [sum(x[n, d] * w[d] for d in range(D)) + b for n in range(N)]
        expected = np.array([1.0 if value > 0 else 0.0 for value in z])
        said = np.asarray(perceptron(x, w, b), dtype=float)
        check.close(said, expected, what=f"perceptron, x {x.shape}, b = {b:.2f}")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="perceptron" part="contract" points=1
# Exactly on the threshold: 2*1 - 1*1 - 1 = 0 is not above it
check.close(
    perceptron(np.array([[1.0, 1.0]]), np.array([2.0, -1.0]), -1.0),
    np.array([0.0]),
    what="perceptron, z = 0",
)
# Pixels as bytes: z = 2*200 - 1.5*100 - 240 = 10 and 2*10 - 1.5*20 - 240 = -250
check.close(
    perceptron(np.array([[200, 100], [10, 20]], dtype=np.uint8), np.array([2.0, -1.5]), -240.0),
    np.array([1.0, 0.0]),
    what="perceptron of the bytes 200, 100 and 10, 20",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(106)
    for kind in (np.float32, np.float64, np.int64, np.uint8):
        x = rng.integers(0, 250, (6, 9)).astype(kind).T[:, ::-1]
        weight_kind = np.float32 if kind == np.float32 else np.float64
        w = (rng.integers(-3, 4, 12) / 2).astype(weight_kind)[::2]
        b = -float(np.median(x.astype(float) @ w.astype(float)))  # one of nine sums is 0
        before = x.copy(), w.copy()
        expected = np.array([float(row @ w.astype(float) + b > 0) for row in x.astype(float)])
        check.close(perceptron(x, w, b), expected, what=f"perceptron, x {kind.__name__}, views")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### A rule that learns
#
# Where do the weights come from? Rosenblatt's rule needs no calculus. Show the unit one example $x$ with the true answer $y$, and let $\hat y$ be what it says.
#
# - Right: change nothing.
# - It said 0 and 1 is true: **add** the example to the weights, $w \leftarrow w + x$, $b \leftarrow b + 1$.
# - It said 1 and 0 is true: **subtract** it, $w \leftarrow w - x$, $b \leftarrow b - 1$.
#
# In one line: $w \leftarrow w + (y - \hat y)\,x$. Why does it help? After adding, the same example gives $z_{new} = x \cdot (w + x) + b + 1 = z + \|x\|^2 + 1$: more than before. Go through the examples again and again until a whole round passes without a mistake.
#
# **Predict.** 216 handwritten ones and sevens, weights all 0 at first. How many mistakes will the unit make before it has learned them: about 10, 100 or 1,000? And what will its 64 weights look like as a picture?


# %% locked=true
def rosenblatt(x, y, rounds):
    """Rosenblatt's rule on x (N, D), y (N,) of 0 and 1 -> w, b, the weights after each mistake, mistakes per round."""
    w, b = np.zeros(x.shape[1]), 0.0
    kept, mistakes = [w.copy()], []
    for _ in range(rounds):
        mistakes.append(0)
        for example, truth in zip(x, y, strict=True):
            error = truth - perceptron(example[None], w, b)[0]
            if error != 0:
                w, b = w + error * example, b + error
                kept.append(w.copy())
                mistakes[-1] += 1
        if mistakes[-1] == 0:
            break
    return w, b, kept, mistakes


is_pair = np.isin(handwritten.labels, (1, 7))
pair = handwritten.images[is_pair].reshape(-1, 64).astype(float)  # (361, 64)
is_seven = (handwritten.labels[is_pair] == 7).astype(float)
w17, b17, kept, mistakes = rosenblatt(pair[:216], is_seven[:216], rounds=100)

# %% figure="two_digits"
fig, axes = plt.subplots(1, 6, figsize=(7.4, 1.75), layout="constrained")
show(axes[0], pair[is_seven == 0][4].reshape(8, 8), "a one")
show(axes[1], pair[is_seven == 1][0].reshape(8, 8), "a seven")
limit = np.abs(kept[-1]).max()
for ax, count in zip(axes[2:], (1, 3, 6, len(kept) - 1), strict=True):
    title = f"{count} mistake" + "s" * (count > 1)
    drawn = show(ax, kept[count].reshape(8, 8), title, signed=True, limit=limit)
fig.colorbar(drawn, ax=axes[2:], label="weight")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A handwritten one and a seven, and the 64 weights of the unit after 1, 3, 6 and 13 mistakes: at first a single digit, added, at the end a picture of positive and negative weights.](figures/two_digits.png)
#
# Thirteen. After the first mistake the weights are one single picture, added or subtracted, for they *are* sums of pictures: every mistake adds or subtracts one. At the end the positive weights (purple) lie where only sevens have ink, the negative ones (orange) where only ones have.
#
# </details>

# %%
said = perceptron(pair[216:], w17, b17)
right = 100 * float(np.mean(said == is_seven[216:]))
print(f"mistakes in each round: {mistakes}")
print(f"new digits: {right:.1f} % right (n = {len(said)})")
longest = np.sum(pair[:216] ** 2, axis=1).max() + 1
margin = np.min((2 * is_seven[:216] - 1) * (pair[:216] @ w17 + b17))
bound = longest * (w17 @ w17 + b17**2) / margin**2
print(f"Novikoff's bound on the mistakes, with these weights: {bound:,.0f}")
assert sum(mistakes) == len(kept) - 1 == 13
assert mistakes[-1] == 0
assert right > 99
assert sum(mistakes) <= bound
every_pair = {}  # the same for all 45 pairs of digits: rounds, and percent right on new digits
for one in range(10):
    for other in range(one + 1, 10):
        chosen = np.isin(handwritten.labels, (one, other))
        rows = handwritten.images[chosen].reshape(-1, 64).astype(float)
        truth = (handwritten.labels[chosen] == other).astype(float)
        w, b, _, found = rosenblatt(rows[:216], truth[:216], rounds=100)
        share = 100 * float(np.mean(perceptron(rows[216:], w, b) == truth[216:]))
        every_pair[one, other] = (len(found), share)
        assert found[-1] == 0
worst = min(every_pair, key=lambda two: every_pair[two][1])
print(f"hardest of {len(every_pair)} pairs: {worst}, {every_pair[worst][1]:.1f} % right")
assert max(count for count, _ in every_pair.values()) == 11
assert worst == (2, 3)
assert round(every_pair[worst][1]) == 88

# %% [markdown]
# **Will it always stop?** If some unit gets all examples right, yes. Novikoff (1962) proved it: append a 1 to every example, so that the bias is one more weight. Write $R$ for the length of the longest example and $\gamma$ for the distance of the nearest one to the border $z = 0$ of that unit. Then the rule, started at zero, makes at most $R^2/\gamma^2$ mistakes, whatever the order of the examples. The cell above puts numbers in: the bound is loose, and it holds. One and seven are only one pair, and not the hardest: all 45 pairs of digits are learned, in 11 rounds at most, and of the new digits between 88 % (two and three) and 100 % are right. **If no unit gets all examples right, it never stops.** That is the rest of this part.
#
# ### What a single neuron cannot do
#
# Where $z = 0$ the answer changes, and $x[0]\,w[0] + x[1]\,w[1] + b = 0$ is a straight line. So a neuron with two inputs cuts the plane along **one straight line** (with $D$ inputs: along one hyperplane).
#
# **Predict.** You let the rule learn AND (1 if both are 1), OR (1 if at least one is) and XOR (1 if exactly one is). Which does it learn? What does it do with the others?

# %% figure="one_line"
corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
tables = {"AND": [0.0, 0.0, 0.0, 1.0], "OR": [0.0, 1.0, 1.0, 1.0], "XOR": [0.0, 1.0, 1.0, 0.0]}
plane = np.stack(np.meshgrid(np.linspace(-0.5, 1.5, 401), np.linspace(-0.5, 1.5, 401)), axis=-1)


def draw_plane(ax, answer, points, truth, title):
    """Shade where answer(rows (M, 2)) -> (M,) is 1, and draw points (4, 2): filled where truth is 1."""
    shade = answer(plane.reshape(-1, 2)).reshape(plane.shape[:2])
    ax.imshow(shade, origin="lower", extent=(-0.5, 1.5, -0.5, 1.5), cmap="Blues", vmin=0, vmax=2)
    for (a, b), yes in zip(points, truth, strict=True):
        ax.plot(a, b, "o", markersize=9, mfc="black" if yes else "white", mec="black")
    ax.set(title=title, xlabel="input a", xticks=[0, 1], yticks=[0, 1])


fig, axes = plt.subplots(1, 3, figsize=(6.6, 2.5), layout="constrained")
rounds_needed = {}
for ax, (name, truth) in zip(axes, tables.items(), strict=True):
    w, b, _, found = rosenblatt(corners, truth, rounds=1000)
    rounds_needed[name] = len(found) if found[-1] == 0 else None
    state = f"no mistake in round {len(found)}" if found[-1] == 0 else f"{len(found):,} rounds"
    draw_plane(
        ax, lambda rows, w=w, b=b: perceptron(rows, w, b), corners, truth, f"{name}: {state}"
    )
axes[0].set(ylabel="input b")
fig.suptitle("Shaded: the unit says 1. Filled points: 1 is true", fontsize=9)
plt.show()
assert rounds_needed["AND"]
assert rounds_needed["OR"]
assert not rounds_needed["XOR"]

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three squares with four corners each. For AND and OR a straight border separates filled from empty corners. For XOR, after 1,000 rounds, it does not.](figures/one_line.png)
#
# AND and OR are learned in a few rounds. For XOR the weights go round and round for ever: with 1,000 rounds or a million, some corner is wrong. It is not the rule's fault. **No weights exist.** Suppose they did. The four rows of the table say
#
# $$b \le 0, \qquad w_1 + b > 0, \qquad w_2 + b > 0, \qquad w_1 + w_2 + b \le 0 .$$
#
# Add the two in the middle: $w_1 + w_2 + 2b > 0$, so $w_1 + w_2 + b > -b$. As $b \le 0$, this is $\ge 0$. But the last one says $\le 0$. A contradiction. Minsky and Papert's book *Perceptrons* (1969) is full of such proofs.
#
# </details>
#
# The next cell throws 200,000 random units at the table. The best get three corners of four.

# %%
rng = np.random.default_rng(seed)
many_w, many_b = rng.uniform(-1, 1, (200_000, 2)), rng.uniform(-1, 1, 200_000)
answers = (corners @ many_w.T + many_b > 0).T  # (200000, 4)
corners_right = (answers == np.array(tables["XOR"])).sum(axis=1)
print({int(k): int(n) for k, n in zip(*np.unique(corners_right, return_counts=True), strict=True)})
assert corners_right.max() == 3

# %% [markdown]
# ## 4. Many neurons: a dense layer
#
# **Idea.** Let several neurons look at the same inputs, each with its own weights. Keep the sums $z$ and leave out the step (part 5 puts something better in its place).
#
# **Formula.** Write the weights of neuron $k$ into column $k$ of a matrix $w$ of shape $(D_{in}, D_{out})$. Then
#
# $$y[n,k] = b[k] + \sum_{d} x[n,d]\; w[d,k], \qquad\text{in matrices}\quad y = x\,w + b .$$
#
# Shapes: $(N, D_{in})$ times $(D_{in}, D_{out})$ gives $(N, D_{out})$, and $b$ of shape $(D_{out},)$ is added to every row. It is called **dense** or fully connected: every input is joined with every unit.
#
# **By hand.** One example, two inputs, three units:
#
# ```
# x  1 2      w   1  0  2      b  10 20 30      y[0,0] = 1*1 + 2*3 + 10 = 17
#                 3  1 -1                       y[0,1] = 1*0 + 2*1 + 20 = 22
#                                               y[0,2] = 1*2 - 2*1 + 30 = 30
# ```
#
# (Some libraries store the transpose. `torch.nn.Linear` keeps `(D_out, D_in)` and computes $x\,w^\top + b$. Ours is `(D_in, D_out)`, as in CS231n and Keras.)

# %% [markdown]
# ### Exercise: `dense`
#
# *5 minutes, easy. What it is for: the last layer of nearly every network in this course.*
#
# <details><summary>Hint</summary>
#
# One line. Pixels may be bytes, but the weights are floating. What kind of numbers is `x @ w` then?
#
# </details>


# %% exercise="dense"
def dense(x, w, b):
    """x (N, D_in), w (D_in, D_out), b (D_out,) -> x @ w + b (N, D_out), floating."""
    ### BEGIN SOLUTION
    return x @ w + b
    ### END SOLUTION


# %% tests="dense" part="formula" points=1
# The example of the text, and a row with a negative result: 1*1 - 4*3 + 10 = -1
check.close(
    dense(
        np.array([[1.0, 2.0], [1.0, -4.0]]),
        np.array([[1.0, 0.0, 2.0], [3.0, 1.0, -1.0]]),
        np.array([10.0, 20.0, 30.0]),
    ),
    np.array([[17.0, 22.0, 30.0], [-1.0, 16.0, 36.0]]),
    what="dense, two rows, two inputs, three units",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(107)
    for N, D_in, D_out in ((4, 3, 5), (1, 7, 2), (6, 1, 3), (3, 3, 3), (5, 4, 1), (3, 8, 3)):
        x, w, b = (rng.standard_normal(s) for s in ((N, D_in), (D_in, D_out), (D_out,)))
        before = x.copy(), w.copy(), b.copy()
        expected = torch.nn.functional.linear(*map(torch.tensor, (x, w.T.copy(), b))).numpy()
        check.close(dense(x, w, b), expected, what=f"dense, x {x.shape}, w {w.shape}")
        for name, old, new in zip(("x", "w", "b"), before, (x, w, b), strict=True):
            check.unchanged(old, new, what=name)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dense" part="contract" points=1
# Pixels as bytes: 200*2.5 + 100*1 + 0.25 = 600.25 and 200*0.5 - 100*1.5 - 1 = -51
check.close(
    dense(
        np.array([[200, 100]], dtype=np.uint8),
        np.array([[2.5, 0.5], [1.0, -1.5]]),
        np.array([0.25, -1.0]),
    ),
    np.array([[600.25, -51.0]]),
    what="dense of the bytes 200, 100",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(108)
    for kind in (np.float32, np.float64, np.int32, np.uint8):
        weight_kind = np.float32 if kind == np.float32 else np.float64
        x = (250 * rng.random((7, 4))).astype(kind).T[::-1]
        w = rng.standard_normal((3, 14)).astype(weight_kind).T[::2]
        b = rng.standard_normal(6).astype(weight_kind)[::-2]
        before = x.copy(), w.copy(), b.copy()
        expected = np.einsum("nd,dk->nk", x.astype(float), w.astype(float)) + b.astype(float)
        check.close(dense(x, w, b), expected, what=f"dense, x {kind.__name__}, views")
        for name, old, new in zip(("x", "w", "b"), before, (x, w, b), strict=True):
            check.unchanged(old, new, what=name)
    x, w, b = rng.standard_normal((5, 9)), rng.standard_normal((9, 4)), rng.standard_normal(4)
    expected = np.einsum("nd,dk->nk", x, w) + b
    check.close(
        dense(x, w, b), expected, what="dense of float64, all its digits", rtol=1e-10, atol=1e-12
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Two layers that are one
#
# If one layer is good, surely two are better? Put the second on top of the first:
#
# $$(x\,w_1 + b_1)\,w_2 + b_2 = x\,\underbrace{(w_1 w_2)}_{w} + \underbrace{(b_1 w_2 + b_2)}_{b} .$$
#
# It is a single dense layer again, with other numbers in it. Two straight cuts in a row are one straight cut. The same holds for a hundred.
#
# **Predict.** Three layers, from 64 inputs to 500 units, to 300, to 10. How many weights and biases are that? And how many has the one layer that does exactly the same?

# %%
rng = np.random.default_rng(seed)
sizes = (64, 500, 300, 10)
stack = [
    (rng.standard_normal((m, n)) / np.sqrt(m), rng.standard_normal(n)) for m, n in pairwise(sizes)
]
some = pair[:5]
by_stack = some
for w, b in stack:
    by_stack = dense(by_stack, w, b)
one_w, one_b = np.eye(64), np.zeros(64)
for w, b in stack:
    one_w, one_b = one_w @ w, one_b @ w + b
check.close(dense(some, one_w, one_b), by_stack, what="one layer instead of three")
in_stack = sum(w.size + b.size for w, b in stack)
print(f"three layers  {in_stack:>8,} numbers")
print(f"one layer     {one_w.size + one_b.size:>8,} numbers, the same results")
assert in_stack == 64 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10 == 185_810
assert one_w.size + one_b.size == 650

# %% [markdown]
# 185,810 numbers do the work of 650. So a stack of linear layers makes no sense as it stands. Something has to happen *between* them that is not linear. That is part 5.
#
# ### What a dense layer costs
#
# Count. A layer from $D_{in}$ inputs to $D_{out}$ units has $D_{in} \cdot D_{out}$ weights and $D_{out}$ biases. A colour picture of 28 x 28 has $28 \cdot 28 \cdot 3 = 2{,}352$ numbers. So 2,352 is the number of weights of **one** neuron. You may read that it is "the number of weights in the first hidden layer". That would be a layer of one unit. At 200 x 200 x 3 one neuron has 120,000.
#
# **Predict.** A modest first layer: 1,000 units. Weights in float32, 4 bytes each. A laptop has 16 GB of memory. From which size of picture on does the layer alone no longer fit: 200 x 200, 1920 x 1080, or never?

# %% figure="dense_memory"
units = 1000
pictures = {"28 x 28": (28, 28), "200 x 200": (200, 200), "1920 x 1080": (1080, 1920)}
gigabytes = {name: 4 * 3 * H * W * units / 1e9 for name, (H, W) in pictures.items()}
heights = np.array([20, 2000])
fig, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
ax.loglog(3 * heights**2, 4 * 3 * heights**2 * units / 1e9, color="gray", linewidth=1)
for (name, (H, W)), mark in zip(pictures.items(), "os^", strict=True):
    ax.plot(3 * H * W, gigabytes[name], mark, color="C0", markersize=7)
    text = f"{name}: {gigabytes[name]:.3g} GB"
    lower_right = name != "1920 x 1080"
    ax.annotate(
        text,
        (3 * H * W, gigabytes[name]),
        xytext=(8, -9) if lower_right else (-8, 6),
        textcoords="offset points",
        ha="left" if lower_right else "right",
    )
ax.axhline(16, color="black", linestyle="--", linewidth=1)
ax.text(1.3e3, 6, "memory of a laptop: 16 GB", fontsize=8)
ax.set(xlabel="numbers in one picture, H x W x 3", ylabel="memory of the weights (GB)")
ax.set(title="One dense layer of 1,000 units", xlim=(1e3, 1e8), ylim=(2e-3, 200))
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Memory of a dense layer of 1,000 units against the size of the picture on logarithmic axes, a straight line: 0.009 gigabytes at 28 by 28, 0.48 at 200 by 200, 24.9 at 1920 by 1080, above the 16 gigabytes of a laptop.](figures/dense_memory.png)
#
# A film frame of 1920 x 1080 is too much: 24.9 GB for 1,000 units. And 1,000 units are nothing: they must stand for a whole picture. A layer that gives as many numbers as it takes needs the *square* of 6,220,800: 38.7 trillion weights, 155 terabytes. Every step of training must then move each of them. Digits of 8 x 8 are fine. Photographs are not.
#
# </details>

# %%
frame = 1920 * 1080 * 3
print(f"numbers in a film frame             {frame:>22,}")
print(f"weights to 1,000 units              {frame * 1000:>22,}")
print(f"weights to a layer of the same size {frame**2:>22,}")
assert round(gigabytes["1920 x 1080"], 1) == 24.9
assert 28 * 28 * 3 == 2_352
assert 200 * 200 * 3 == 120_000
assert round(4 * frame**2 / 1e12) == 155

# %% [markdown]
# **One for the road.** A set of slides joins 6 million inputs with 4 million units and counts "24 million" weights. What is the right number? The next unit begins with it, and with a layer that has 7,500 weights for a picture of *any* size.

# %% [markdown] manual="collapse" points=2
# **Question (2 points, 8 minutes).** A colleague reads pictures of 32 x 32 x 3 with three dense layers, to 1,000 units, to 1,000 units, to 10, with nothing between them. She reports that it does no better than one layer, and wants to add a fourth. Give the number of weights and biases of her network, and of the one layer that computes the same. Write down the weights and biases of that layer in terms of hers. What should she add instead, and which step of your derivation does it break?
#
# ### BEGIN SOLUTION
# Inputs: $32 \cdot 32 \cdot 3 = 3{,}072$. Hers: $3{,}072 \cdot 1{,}000 + 1{,}000 + 1{,}000 \cdot 1{,}000 + 1{,}000 + 1{,}000 \cdot 10 + 10 = 4{,}084{,}010$. One layer: $3{,}072 \cdot 10 + 10 = 30{,}730$, with
#
# $$w = w_1 w_2 w_3, \qquad b = b_1 w_2 w_3 + b_2 w_3 + b_3 .$$
#
# (1 point.) A fourth layer only adds another factor. She should put a nonlinear function (ReLU, say) after each hidden layer: $g(x w_1 + b_1)\,w_2$ cannot be multiplied out, because $g(u + v) \ne g(u) + g(v)$; the matrices can no longer be drawn together. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 5. The bends
#
# **Idea.** Between two layers, bend every number by itself: $h = g(z)$. $g$ is called the **activation function**. Any $g$ that is not a straight line stops the collapse. Which one is best is a matter of slopes, as you will see.
#
# | name | $g(x)$ | from, to | remember |
# |---|---|---|---|
# | sigmoid | $\dfrac{1}{1+e^{-x}}$ | 0, 1 | a probability; saturates on both sides |
# | tanh | $\dfrac{e^x - e^{-x}}{e^x + e^{-x}}$ | $-1$, 1 | centred at 0; saturates on both sides |
# | ReLU | $\max(0, x)$ | 0, $\infty$ | cheap; slope exactly 1 or 0; can die |
# | leaky ReLU | $x$ if $x > 0$, else $a x$ | $-\infty$, $\infty$ | cannot die; $a = 0.01$ by custom |
# | swish | $x \cdot \mathrm{sigmoid}(\beta x)$ | about $-0.28$ (for $\beta = 1$), $\infty$ | smooth; dips below 0 |
#
# All five take an array of any shape and return one of the same shape. All five must survive $x = \pm 1000$.

# %% [markdown]
# ### Exercise: `sigmoid`
#
# *10 minutes, medium. What it is for: it turns a sum of evidence into a probability.*
#
# There is a catch. $e^{1000}$ is larger than the largest float, so it becomes `inf`, and `inf / inf` is `nan`. Multiply numerator and denominator of $\frac{1}{1+e^{-x}}$ by $e^x$:
#
# $$\frac{1}{1+e^{-x}} = \frac{e^{x}}{1+e^{x}} .$$
#
# The two are equal on paper. In the computer one of them is safe for every $x$ (`1 / inf` is 0) and the other is not. Find out which.
#
# <details><summary>Hint 1</summary>
#
# Try both in a cell with `x = np.array([-1000.0, 1000.0])`.
#
# </details>
# <details><summary>Hint 2: without any warning</summary>
#
# $e^{-|x|}$ lies between 0 and 1 and cannot overflow. Write both forms with it, one for $x \ge 0$, one for $x < 0$, and choose with `np.where`.
#
# </details>


# %% exercise="sigmoid"
def sigmoid(x):
    """1 / (1 + exp(-x)) for each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    ### BEGIN SOLUTION
    small = np.exp(-np.abs(x))  # from 0 to 1: it cannot overflow
    return np.where(x < 0, small, 1.0) / (1.0 + small)
    ### END SOLUTION


# %% tests="sigmoid" part="values" points=1
# exp(-ln 3) = 1/3 and 1 / (1 + 1/3) = 3/4; exp(ln 3) = 3 and 1 / (1 + 3) = 1/4
check.close(
    sigmoid(np.array([[0.0, np.log(3.0), -np.log(3.0)]])),
    np.array([[0.5, 0.75, 0.25]]),
    what="sigmoid of 0, ln 3, -ln 3",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(109)
    for shape in ((9,), (4, 5), (2, 3, 4, 5)):
        for kind in (np.float64, np.float32):
            x = (4 * rng.standard_normal(shape)).astype(kind)[..., ::-1]
            before = x.copy()
            expected = torch.sigmoid(torch.tensor(before.astype(float))).numpy()
            check.close(sigmoid(x), expected, what=f"sigmoid, {kind.__name__} {shape}")
            check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="sigmoid" part="extremes" points=1
check.close(
    sigmoid(np.array([-1000.0, 1000.0])), np.array([0.0, 1.0]), what="sigmoid of -1000, 1000"
)


### BEGIN HIDDEN TESTS
def _hidden():
    for kind in (np.float64, np.float32):
        x = np.array([[-1e4, -800.0, -95.0], [95.0, 800.0, 1e4]], dtype=kind)
        expected = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
        check.close(sigmoid(x), expected, what=f"sigmoid, {kind.__name__}, far from 0")
    # 13 is not far: 1 - sigmoid(13) = 2.26e-6
    expected = 1 / (1 + np.exp(13.0))
    got = 1e6 * (1 - np.asarray(sigmoid(np.array([13.0]))))
    check.close(got, np.array([1e6 * expected]), what="a million times 1 - sigmoid(13)", rtol=1e-3)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `tanh`
#
# *3 minutes, easy. What it is for: LeNet-5 (in a stretched form) and many networks before 2012 used it.*
#
# NumPy has `np.tanh`, and you may use it. The formula with four exponentials overflows: `inf / inf` again. (By the way: $\tanh x = 2\,\mathrm{sigmoid}(2x) - 1$. It is the sigmoid, stretched to go from $-1$ to 1.)
#
# <details><summary>Hint: without <code>np.tanh</code></summary>
#
# $e^{-2|x|}$ lies between 0 and 1 and cannot overflow. Write the fraction with it for $x \ge 0$; the other side has the opposite sign.
#
# </details>


# %% exercise="tanh"
def tanh(x):
    """Hyperbolic tangent of each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    ### BEGIN SOLUTION
    return np.tanh(x)
    ### END SOLUTION


# %% tests="tanh" points=1
# (3 - 1/3) / (3 + 1/3) = 0.8
check.close(
    tanh(np.array([[np.log(3.0), 0.0], [-np.log(3.0), 1000.0]])),
    np.array([[0.8, 0.0], [-0.8, 1.0]]),
    what="tanh of ln 3, 0, -ln 3, 1000",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(110)
    for shape in ((9,), (4, 5), (2, 3, 4, 5)):
        for kind in (np.float64, np.float32):
            x = (2 * rng.standard_normal(shape)).astype(kind)[..., ::-1]
            before = x.copy()
            expected = torch.tanh(torch.tensor(before.astype(float))).numpy()
            check.close(tanh(x), expected, what=f"tanh, {kind.__name__} {shape}")
            check.unchanged(before, x, what="x")
        far = np.array([-1e4, -800.0, -100.0, 100.0, 800.0, 1e4])
        expected = np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
        check.close(tanh(far), expected, what="tanh, far from 0")
        check.close(tanh(far.astype(np.float32)), expected, what="tanh, float32, far from 0")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `relu`
#
# *3 minutes, easy. What it is for: the default activation of this course. Networks with it learn several times faster than with tanh: on CIFAR-10 a small convolutional network reached 25 % training error in a sixth of the rounds (Krizhevsky, Sutskever and Hinton 2012, figure 1).*
#
# <details><summary>Hint</summary>
#
# `np.maximum` compares number by number. (`np.max` finds one largest number.) And `x[x < 0] = 0` writes into the caller's array.
#
# </details>


# %% exercise="relu"
def relu(x):
    """max(0, x) for each number of x, any shape; floating."""
    ### BEGIN SOLUTION
    return np.maximum(0.0, x)
    ### END SOLUTION


# %% tests="relu" points=1
_x = np.array([[-2.0, 3.0, 0.0], [0.5, -0.1, 7.0]])
check.close(
    relu(_x), np.array([[0.0, 3.0, 0.0], [0.5, 0.0, 7.0]]), what="relu of -2, 3, 0, 0.5, -0.1, 7"
)
check.unchanged(np.array([[-2.0, 3.0, 0.0], [0.5, -0.1, 7.0]]), _x, what="x")
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(111)
    for shape in ((9,), (4, 5), (2, 3, 4, 5)):
        for kind in (np.float64, np.float32):
            x = (40 * rng.standard_normal(shape)).astype(kind)[..., ::-1]
            before = x.copy()
            expected = torch.relu(torch.tensor(before.astype(float))).numpy()
            check.close(relu(x), expected, what=f"relu, {kind.__name__} {shape}")
            check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `leaky_relu`
#
# *5 minutes, easy. What it is for: units that cannot die (the experiment below).*
#
# $x$ where $x > 0$, and $a\,x$ elsewhere; $a$ is `negative_slope`. In the **parametric ReLU** (PReLU; He and others 2015, eq. 1) $a$ is *learned*, one for each channel. So your function must take any $a$: 0.01, 0.25, 2, and negative ones.
#
# <details><summary>Hint</summary>
#
# `np.maximum(x, a * x)` is a well-known trick. Try it with $a = 2$. Which question does `np.where` ask?
#
# </details>


# %% exercise="leaky_relu"
def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x, for each number of x, any shape; floating.

    negative_slope is any number: below 0 and above 1, too.
    """
    ### BEGIN SOLUTION
    return np.where(x > 0, x, negative_slope * x)
    ### END SOLUTION


# %% tests="leaky_relu" part="small_slope" points=1
check.close(
    leaky_relu(np.array([[-2.0, 3.0], [0.0, -100.0]])),
    np.array([[-0.02, 3.0], [0.0, -1.0]]),
    what="leaky_relu of -2, 3, 0, -100",
)
check.close(
    leaky_relu(np.array([-2.0, 3.0]), negative_slope=0.25),
    np.array([-0.5, 3.0]),
    what="leaky_relu of -2, 3, negative_slope=0.25",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(112)
    for shape in ((9,), (4, 5), (2, 3, 4, 5)):
        for kind in (np.float64, np.float32):
            for slope in (0.01, 0.2, 0.0, 1.0):
                x = (40 * rng.standard_normal(shape)).astype(kind)[..., ::-1]
                before = x.copy()
                wide = torch.tensor(before.astype(float))
                expected = torch.nn.functional.leaky_relu(wide, slope).numpy()
                what = f"leaky_relu, {kind.__name__} {shape}, negative_slope={slope}"
                check.close(leaky_relu(x, slope), expected, what=what)
                check.unchanged(before, x, what="x")
    x = 40 * rng.standard_normal((3, 5))
    expected = torch.nn.functional.leaky_relu(torch.tensor(x)).numpy()
    check.close(leaky_relu(x), expected, what="leaky_relu (3, 5), negative_slope not given")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="leaky_relu" part="any_slope" points=1
check.close(
    leaky_relu(np.array([-3.0, 0.0, 5.0]), negative_slope=2.0),
    np.array([-6.0, 0.0, 5.0]),
    what="leaky_relu of -3, 0, 5, negative_slope=2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(113)
    for slope in (1.5, 3.0, -0.5, -2.0):
        x = rng.standard_normal((4, 6))
        expected = np.array([[v if v > 0 else slope * v for v in row] for row in x])
        check.close(leaky_relu(x, slope), expected, what=f"leaky_relu, negative_slope={slope}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `swish`
#
# *5 minutes, easy after `sigmoid`. What it is for: MobileNetV3 and EfficientNet (unit 13) use it or its cheaper cousin.*
#
# $x \cdot \mathrm{sigmoid}(\beta x)$ (Ramachandran, Zoph and Le 2017). With $\beta = 1$ it is also called SiLU. With $\beta = 0$ the sigmoid is always $\frac12$ and swish is the line $x/2$; the larger $\beta$, the more it looks like ReLU.
#
# <details><summary>Hint</summary>
#
# Compute the sigmoid here once more; the check of this exercise must not depend on another one. $\beta$ goes inside the sigmoid only. Once the sigmoid is safe at $\pm 1000$, so is swish.
#
# </details>


# %% exercise="swish"
def swish(x, beta=1.0):
    """x * sigmoid(beta * x) for each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    ### BEGIN SOLUTION
    small = np.exp(-np.abs(beta * x))
    return x * np.where(beta * x < 0, small, 1.0) / (1.0 + small)
    ### END SOLUTION


# %% tests="swish" part="values" points=1
# sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4
check.close(
    swish(np.array([[0.0, np.log(3.0)], [-np.log(3.0), 1000.0]])),
    np.array([[0.0, 0.75 * np.log(3.0)], [-0.25 * np.log(3.0), 1000.0]]),
    what="swish of 0, ln 3, -ln 3, 1000",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(114)
    for shape in ((9,), (4, 5), (2, 3, 4, 5)):
        for kind in (np.float64, np.float32):
            x = (3 * rng.standard_normal(shape)).astype(kind)[..., ::-1]
            before = x.copy()
            expected = torch.nn.functional.silu(torch.tensor(before.astype(float))).numpy()
            check.close(swish(x), expected, what=f"swish, {kind.__name__} {shape}")
            check.unchanged(before, x, what="x")
    far = np.array([-1e4, -800.0, 800.0, 1e4])
    expected = np.array([0.0, 0.0, 800.0, 1e4])
    check.close(swish(far), expected, what="swish, far from 0")
    check.close(swish(far.astype(np.float32)), expected, what="swish, float32, far from 0")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="swish" part="beta" points=1
# beta * x = ln 3, so the sigmoid is 3/4. With beta = 0 it is 1/2
check.close(
    swish(np.array([np.log(3.0) / 2]), beta=2.0),
    np.array([0.375 * np.log(3.0)]),
    what="swish of (ln 3) / 2, beta=2",
)
check.close(swish(np.array([6.0]), beta=0.0), np.array([3.0]), what="swish of 6, beta=0")


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(115)
    for beta in (0.5, 1.7, 3.0, 0.0, -1.2):
        x = rng.standard_normal((4, 7))
        expected = x * torch.sigmoid(beta * torch.tensor(x)).numpy()
        check.close(swish(x, beta), expected, what=f"swish, beta={beta}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See them.** Above, the five functions. Below, their **slopes**: how much the output moves when the input moves by a little, measured with $\frac{g(x+h) - g(x-h)}{2h}$ for a small $h$. Learning goes through slopes (unit 04): where the slope is 0, nothing is learned.
#
# **Predict.** Which of the five have a slope near 0 at $x = 6$? Which at $x = -6$? What is the largest slope of the sigmoid?

# %% figure="activations"
activations = {
    "sigmoid": (sigmoid, "-"),
    "tanh": (tanh, "--"),
    "relu": (relu, "-."),
    "leaky_relu, a = 0.1": (lambda x: leaky_relu(x, 0.1), ":"),
    "swish": (swish, (0, (5, 1, 1, 1, 1, 1))),
}
line = np.linspace(-6, 6, 240)  # an even number of points: none at 0, where ReLU has no slope


def slope_of(g, x, h=1e-5):
    """Slope of g at each number of x."""
    return (g(x + h) - g(x - h)) / (2 * h)


fig, axes = plt.subplots(1, 2, figsize=(7, 2.7), layout="constrained")
for (name, (g, style)), colour in zip(
    activations.items(), plt.get_cmap("cividis")(np.linspace(0, 0.85, 5)), strict=True
):
    axes[0].plot(line, g(line), linestyle=style, color=colour, label=name)
    axes[1].plot(line, slope_of(g, line), linestyle=style, color=colour)
axes[0].set(title="five bends", xlabel="x", ylabel="g(x)", ylim=(-1.2, 3))
axes[1].set(title="their slopes", xlabel="x", ylabel="slope of g at x", ylim=(-0.2, 1.2))
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left the five activation functions from minus 6 to 6, right their slopes: sigmoid and tanh have slopes near zero at both ends, the sigmoid's largest is a quarter; relu has slope 0 or 1.](figures/activations.png)
#
# Sigmoid and tanh are flat at **both** ends: they **saturate**. The sigmoid's slope is at most $\frac14$, at $x = 0$. ReLU is flat on the left only, and on the right its slope is exactly 1, however large $x$ is. Leaky ReLU is flat nowhere. Swish has a dip: its lowest value is about $-0.278$, at $x = -1.278$.
#
# </details>
#
# In a deep network slopes are multiplied, one factor for each layer. Leave the weights aside: ten sigmoids in a row pass on at most $(1/4)^{10}$, about one millionth. Ten ReLUs that are switched on pass on 1.

# %%
print(f"largest slope of the sigmoid  {slope_of(sigmoid, line).max():.4f}")
print(f"ten of them in a row          {0.25**10:.1e}")
print(f"slope of tanh at 6            {slope_of(tanh, np.array([6.0]))[0]:.1e}")
fine = np.linspace(-3, 0, 30_001)
lowest = swish(fine).argmin()
print(f"lowest point of swish         {swish(fine)[lowest]:.4f} at x = {fine[lowest]:.3f}")
assert 0.2499 < slope_of(sigmoid, line).max() <= 0.25
assert abs(swish(fine)[lowest] + 0.2785) < 1e-4
assert abs(fine[lowest] + 1.278) < 1e-3

# %% [markdown]
# **What a bend can do.** A little network: one input, 12 hidden units, one output. Its weights are drawn by chance, once, and stay the same in all panels. Only the function between the layers changes.
#
# **Predict.** Sketch the output against the input for: no function at all, the step of the perceptron, ReLU, tanh.

# %% figure="same_weights"
rng = np.random.default_rng(seed + 5)
hidden_w, hidden_b = rng.standard_normal((1, 12)), rng.uniform(-2, 2, 12)
out_w, out_b = rng.standard_normal((12, 1)), np.zeros(1)
bends = {
    "nothing": lambda z: z,
    "step": lambda z: perceptron(z.reshape(-1, 1), np.ones(1), 0.0).reshape(z.shape),
    "relu": relu,
    "tanh": tanh,
}
inputs = np.linspace(-3, 3, 301)[:, None]
fig, axes = plt.subplots(1, 4, figsize=(7.4, 1.9), layout="constrained", sharex=True)
for ax, (name, bend) in zip(axes, bends.items(), strict=True):
    ax.plot(inputs[:, 0], dense(bend(dense(inputs, hidden_w, hidden_b)), out_w, out_b)[:, 0])
    ax.set(title=name, xlabel="input")
axes[0].set(ylabel="output")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Four curves of output against input: a straight line without a function, stairs with the step, a line with kinks with ReLU, a smooth wave with tanh.](figures/same_weights.png)
#
# Nothing: a straight line, as you proved in part 4. Step: a staircase, with a jump where a hidden unit switches. ReLU: a broken line, with a kink where a unit switches. tanh: the same, rounded. With enough units a broken line or a staircase comes as near as you like to any continuous curve over an interval. (Cybenko 1989 and Hornik 1991 are the classic proofs, for bends like tanh; Leshno and others 1993 have it for nearly every bend that is not a polynomial, ReLU and the step among them.) A straight line never does. Only: the staircase has slope 0 nearly everywhere. It cannot be learned through slopes. That is why the step had to go.
#
# </details>

# %% [markdown]
# ### XOR, with three neurons
#
# Here is the hand-made network. Two hidden units, one for each kind of edge, and one unit that adds them up:
#
# $$h_1 = \mathrm{relu}(a - b), \qquad h_2 = \mathrm{relu}(b - a), \qquad y = 1 \text{ if } h_1 + h_2 - \tfrac12 > 0 .$$
#
# **Predict.** The hidden layer moves the four corners of the square to new places $(h_1, h_2)$. Work the four places out. Can one straight line now separate yes from no?

# %% figure="xor_folded"
edge_w, edge_b = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)
sum_w = np.ones(2)


def xor_net(rows, threshold=0.5):
    """1 where the two numbers of rows (N, 2) differ by more than threshold -> (N,)."""
    return perceptron(relu(dense(rows, edge_w, edge_b)), sum_w, -threshold)


hidden = relu(dense(corners, edge_w, edge_b))
print("a b    h1 h2   y")
for row, h, y in zip(corners, hidden, xor_net(corners), strict=True):
    print(f"{row[0]:.0f} {row[1]:.0f}    {h[0]:.0f}  {h[1]:.0f}    {y:.0f}")
fig, axes = plt.subplots(1, 2, figsize=(5.4, 2.7), layout="constrained")
draw_plane(axes[0], xor_net, corners, tables["XOR"], "the network's answer")
axes[0].set(ylabel="input b")
draw_plane(
    axes[1], lambda h: perceptron(h, sum_w, -0.5), hidden, tables["XOR"], "seen by the last unit"
)
axes[1].set(xlabel="hidden h1", ylabel="hidden h2")
axes[1].annotate("two corners\nlie here", (0, 0), xytext=(0.25, -0.38), fontsize=7)
plt.show()
check.close(xor_net(corners), np.array(tables["XOR"]), what="the network on XOR")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left the square of inputs with the answer 1 shaded in two corners, separated by a band along the diagonal; right the plane of the two hidden units, where both no-corners lie at the origin and one straight border separates them from the others.](figures/xor_folded.png)
#
# The hidden layer **folds** the plane along its diagonal: $(0,0)$ and $(1,1)$ both land at the origin, and one straight cut is enough. No unit got cleverer. The last one is the same perceptron that failed. It has been given better inputs.
#
# </details>

# %%
check.close(hidden, np.array([[0, 0], [0, 1], [1, 0], [0, 0]]), what="the four places")

# %% [markdown]
# ### Units that die
#
# ReLU has slope 0 on the left. If a unit's $z$ is negative for **every** picture, its output is always 0, its slope is always 0, and nothing that is learned through slopes will move its weights again. It is **dead**, unless the layers before it change and wake it. This happens: one step of learning that is too large pushes a bias far down.
#
# **Predict.** 200 random units look at 1,000 handwritten digits. All biases are set to 0, then to $-1$, $-2$, down to $-5$. What share of the ReLU units is dead? And of leaky ReLU units?

# %% figure="dead_units"
rows = handwritten.images[:1000].reshape(1000, 64).astype(float)
rows = (rows - rows.mean()) / rows.std()
rng = np.random.default_rng(seed)
unit_w = rng.standard_normal((64, 200)) / 8
biases = np.arange(0.0, -5.5, -0.5)
dead = {"relu": [], "leaky_relu": []}
for bias in biases:
    z = dense(rows, unit_w, np.full(200, bias))
    for name, g in (("relu", relu), ("leaky_relu", leaky_relu)):
        slopes = (
            g(z + 1e-6) - g(z - 1e-6)
        ) / 2e-6  # (1000, 200): how much each unit's answer moves
        dead[name].append(100 * float(np.mean(slopes.max(axis=0) < 1e-9)))
fig, ax = plt.subplots(figsize=(5, 2.4), layout="constrained")
for (name, share), style in zip(dead.items(), ("o-", "s--"), strict=True):
    ax.plot(biases, share, style, label=name)
ax.set(xlabel="bias of all units", ylabel="dead units (%)", ylim=(-5, 105))
ax.set(title="Which of 200 units have slope 0 for all 1,000 digits?")
ax.invert_xaxis()
ax.legend()
plt.show()
print("bias           ", " ".join(f"{bias:5.1f}" for bias in biases))
print("dead relu units", " ".join(f"{share:5.1f}" for share in dead["relu"]), "(%)")
assert dead["relu"][0] == 0
assert dead["relu"][-1] > 90
assert max(dead["leaky_relu"]) == 0

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Share of dead units against the bias: zero at bias 0, rising steeply between minus 1 and minus 3 for ReLU, zero throughout for leaky ReLU.](figures/dead_units.png)
#
# At bias 0 none is dead: every unit likes some digit. Further down they die, first a few, then nearly all. A leaky unit keeps a slope of 0.01, and through it can find its way back. He and others (2015) let the network learn that slope and started it at 0.25. Plain ReLU is still the default; keep the first steps of learning small, and look at the share of zeros now and then.
#
# </details>

# %% [markdown]
# ## 6. From numbers to probabilities
#
# **Idea.** A layer of ten units says ten numbers about a digit, one for each class. They may be negative, and they add up to anything. Such raw numbers are called **logits** (or scores). You want probabilities: none negative, all together 1, and a larger logit means a larger probability.
#
# **Formula.** Make them positive with exp, then divide by their sum:
#
# $$p_k = \mathrm{softmax}(x)_k = \frac{e^{x_k}}{\sum_j e^{x_j}} .$$
#
# **By hand.** Take logits $(\ln 1, \ln 2, \ln 5)$: exp makes them $1, 2, 5$, the sum is 8, so $p = (\frac18, \frac28, \frac58)$.
#
# **Only differences count.** Add the same $c$ to all logits:
#
# $$\frac{e^{x_k + c}}{\sum_j e^{x_j + c}} = \frac{e^c\, e^{x_k}}{e^c \sum_j e^{x_j}} = \frac{e^{x_k}}{\sum_j e^{x_j}} .$$
#
# Nothing changes: softmax is **invariant to shifts**. That is more than a curiosity. $e^{1000}$ is `inf`, and `inf / inf` is `nan`. But you may shift as you like: subtract the *largest* logit first. Then the largest exponent is 0, so no exp overflows, and the sum is at least $e^0 = 1$, so you never divide by 0.
#
# With two classes and logits $(x, 0)$ softmax gives $\frac{e^x}{e^x + 1}$ for the first: the sigmoid. So sigmoid is the softmax of two.

# %% [markdown]
# ### Exercise: `softmax`
#
# *15 minutes, medium. What it is for: the last function of nearly every classifier, and the middle of nearly every attention layer.*
#
# The probabilities add up to 1 along `axis`, which may be any axis of an array of any number of dimensions. Each row has its own largest logit.
#
# <details><summary>Hint 1</summary>
#
# `x.max(axis=axis, keepdims=True)` has the shape of `x`, but for a 1 along `axis`. It can be subtracted from `x`.
#
# </details>
# <details><summary>Hint 2: why not one maximum for all rows?</summary>
#
# Take the rows $(0, 1)$ and $(2000, 2001)$. What is left of the first if you subtract 2001?
#
# </details>


# %% exercise="softmax"
def softmax(x, axis=-1):
    """exp(x) divided by its sum along axis, same shape as x; floating, and right for large x, too."""
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
    ### END SOLUTION


# %% tests="softmax" part="values" points=1
# The example of the text, and a second row: exp makes it 3, 1, 4
check.close(
    softmax(np.log(np.array([[1.0, 2.0, 5.0], [3.0, 1.0, 4.0]]))),
    np.array([[1 / 8, 2 / 8, 5 / 8], [3 / 8, 1 / 8, 4 / 8]]),
    what="softmax of (ln 1, ln 2, ln 5) and (ln 3, ln 1, ln 4)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(116)
    for shape in ((5, 4), (1, 7), (3, 1), (4, 4), (2, 3, 5)):
        for kind in (np.float64, np.float32):
            x = (3 * rng.standard_normal(shape)).astype(kind)[::-1]
            before = x.copy()
            expected = torch.softmax(torch.tensor(before.astype(float)), dim=-1).numpy()
            check.close(softmax(x), expected, what=f"softmax, {kind.__name__} {shape}")
            check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="softmax" part="large" points=1
# Each row by itself: a difference of ln 3 makes 1 : 3, wherever the row lies
_low, _high = np.array([0.0, np.log(3.0)]), np.array([2000.0, 2000.0 + np.log(3.0)])
_x = np.stack([_low, _high, -_high])
check.close(
    softmax(_x),
    np.array([[0.25, 0.75], [0.25, 0.75], [0.75, 0.25]]),
    what="softmax of three rows around 0, 2000, -2000",
)
check.unchanged(np.stack([_low, _high, -_high]), _x, what="x")
del _low, _high, _x


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(117)
    for kind in (np.float64, np.float32):
        x = rng.integers(-9, 9, (6, 5)) / 4 + np.array([[0], [900], [-900], [8000], [-8000], [99]])
        x = x.astype(kind)
        before = x.copy()
        expected = torch.softmax(torch.tensor(before.astype(float)), dim=1).numpy()
        check.close(softmax(x), expected, what=f"softmax, {kind.__name__}, large numbers")
        check.unchanged(before, x, what="x")
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    expected = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    check.close(softmax(x), expected, what="softmax of 10000, -10000, 0")
    for axis in (0, 1, -2):
        x = rng.standard_normal((3, 4, 2))
        expected = torch.softmax(torch.tensor(x), dim=axis).numpy()
        what = f"softmax, x {x.shape}, all near 1000, axis={axis}"
        check.close(softmax(x + 1000.0, axis), expected, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="softmax" part="axis" points=1
# Down the columns: 1 : 3 and 2 : 2
check.close(
    softmax(np.log(np.array([[1.0, 2.0], [3.0, 2.0]])), axis=0),
    np.array([[0.25, 0.5], [0.75, 0.5]]),
    what="softmax, axis=0",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(118)
    for shape in ((3, 5), (2, 4, 3), (2, 3, 4, 5), (6,)):
        for axis in range(-len(shape), len(shape)):
            x = rng.standard_normal(shape)
            expected = torch.softmax(torch.tensor(x), dim=axis).numpy()
            check.close(softmax(x, axis), expected, what=f"softmax, x {shape}, axis={axis}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Predict.** Logits $(1.5, 0.8, 2.1)$ give about $(0.30, 0.15, 0.55)$. What happens to the three bars if you add 100 to all logits? Multiply all by 4? Divide all by 4?

# %% figure="softmax_bars"
logits = np.array([1.5, 0.8, 2.1])
versions = {"x": logits, "x + 100": logits + 100, "4 x": 4 * logits, "x / 4": logits / 4}
fig, axes = plt.subplots(1, 4, figsize=(7, 1.9), layout="constrained", sharey=True)
for ax, (name, values) in zip(axes, versions.items(), strict=True):
    shares = softmax(values)
    ax.bar([0, 1, 2], shares, color="C0")
    for place, share in enumerate(shares):
        ax.text(place, share + 0.02, f"{share:.2f}", ha="center", fontsize=8)
    ax.set(title=f"softmax of {name}", xlabel="class", xticks=[0, 1, 2], ylim=(0, 1.1))
axes[0].set(ylabel="probability")
plt.show()
check.close(softmax(logits + 100), softmax(logits), what="shifted")
check.close(softmax(logits).round(2), np.array([0.30, 0.15, 0.55]), what="the three")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Four bar charts of three probabilities: 0.30, 0.15, 0.55; the same after adding 100; nearly everything on the last class after multiplying by 4; nearly even after dividing by 4.](figures/softmax_bars.png)
#
# Adding changes nothing. Multiplying does: only *differences* count, and they have grown. The network becomes surer, without becoming righter: the order stays. Dividing makes it more modest. The divisor is known as **temperature**. In part 8 it decides between a good and a bad loss.
#
# </details>

# %% [markdown]
# ## 7. How wrong?
#
# A network answers. How wrong is it, as *one number*? That number is what learning makes small. It decides what is learned.
#
# **The exam.** Each student $i$ has attended $x_1$ lectures and spent $x_2$ hours on the final project, and passed ($y = 1$) or failed ($y = 0$). One unit with a sigmoid answers with the probability of passing: $p = \mathrm{sigmoid}(w_1 x_1 + w_2 x_2 + b)$. A student with 4 lectures and 5 hours gets $p = 0.1$. The student passed.
#
# - The **loss** $\ell(p, y)$ says how bad the answer is for *one* example. Here it should be large.
# - The **cost** $J = \frac1n \sum_{i=1}^{n} \ell(p_i, y_i)$ is its *mean* over all $n$ examples. This is what you make small by choosing the weights. (A mean and not a sum: it does not grow with the number of examples. Libraries call both "loss".)
#
# Four losses, and for each of them the functions below return the mean over everything.

# %% [markdown]
# ### Exercises: `mse` and `mae`
#
# *5 minutes, easy. What they are for: numbers as answers, such as a price, an angle or a brightness.*
#
# $$\mathrm{mse} = \frac1M \sum_m (p_m - y_m)^2 , \qquad \mathrm{mae} = \frac1M \sum_m |p_m - y_m| .$$
#
# The sums run over **all** $M$ elements of the arrays: all examples *and* all outputs. `p` and `y` have the same shape, any shape; `y` may be integers. For the student of the exam: $(0.1 - 1)^2 = 0.81$ and $|0.1 - 1| = 0.9$.
#
# <details><summary>Hint</summary>
#
# `np.mean` without an axis takes everything.
#
# </details>


# %% exercise="mse"
def mse(p, y):
    """Mean of (p - y)**2 over all elements; p and y have the same shape, any shape -> one float."""
    ### BEGIN SOLUTION
    return np.mean((p - y) ** 2)
    ### END SOLUTION


# %% tests="mse" points=1
check.close(mse(np.array([0.1]), np.array([1.0])), 0.81, what="mse of 0.1 and 1")
# Six elements: 1 + 4 + 0 + 9 + 0 + 1 = 15, and 15 / 6 = 2.5
check.close(
    mse(np.array([[2.0, 0.0, 5.0], [1.0, 7.0, 3.0]]), np.array([[1.0, 2.0, 5.0], [4.0, 7.0, 2.0]])),
    2.5,
    what="mse of two rows of three",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(119)
    for shape in ((7,), (4, 3), (3, 4), (2, 3, 4, 5), (1,)):
        for kind, label_kind in (
            (np.float64, np.float64),
            (np.float32, np.float32),
            (np.float64, np.int64),
            (np.float32, np.uint8),
        ):
            p = (100 * rng.random(shape[::-1])).astype(kind).T
            y = (100 * rng.random(shape)).astype(label_kind)[::-1]
            before = p.copy(), y.copy()
            wide = [torch.tensor(a.astype(float)) for a in before]
            expected = float(torch.nn.functional.mse_loss(*wide))
            what = f"mse, p {kind.__name__} {shape}, y {label_kind.__name__}"
            check.close(mse(p, y), expected, what=what, rtol=1e-4)
            check.unchanged(before[0], p, what="p")
            check.unchanged(before[1], y, what="y")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="mae"
def mae(p, y):
    """Mean of |p - y| over all elements; p and y have the same shape, any shape -> one float."""
    ### BEGIN SOLUTION
    return np.mean(np.abs(p - y))
    ### END SOLUTION


# %% tests="mae" points=1
check.close(mae(np.array([0.1]), np.array([1.0])), 0.9, what="mae of 0.1 and 1")
# Six elements: 1 + 2 + 0 + 3 + 0 + 1 = 7, and 7 / 6
check.close(
    mae(np.array([[2.0, 0.0, 5.0], [1.0, 7.0, 3.0]]), np.array([[1.0, 2.0, 5.0], [4.0, 7.0, 2.0]])),
    7 / 6,
    what="mae of two rows of three",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(120)
    for shape in ((7,), (4, 3), (3, 4), (2, 3, 4, 5), (1,)):
        for kind, label_kind in (
            (np.float64, np.float64),
            (np.float32, np.float32),
            (np.float64, np.int64),
            (np.float32, np.uint8),
        ):
            p = (100 * rng.random(shape[::-1])).astype(kind).T
            y = (100 * rng.random(shape)).astype(label_kind)[::-1]
            before = p.copy(), y.copy()
            wide = [torch.tensor(a.astype(float)) for a in before]
            expected = float(torch.nn.functional.l1_loss(*wide))
            what = f"mae, p {kind.__name__} {shape}, y {label_kind.__name__}"
            check.close(mae(p, y), expected, what=what, rtol=1e-4)
            check.unchanged(before[0], p, what="p")
            check.unchanged(before[1], y, what="y")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Two losses, two ideas of "best".** Five houses in a street cost 1, 2, 3, 4 and 20 (in some unit). You must name *one* price for all five.
#
# **Predict.** Which price makes the mse smallest? Which makes the mae smallest?

# %%
prices = np.array([1.0, 2.0, 3.0, 4.0, 20.0])
guesses = np.linspace(0, 20, 201)
best_mse = guesses[np.argmin([mse(np.full(5, guess), prices) for guess in guesses])]
best_mae = guesses[np.argmin([mae(np.full(5, guess), prices) for guess in guesses])]
print(f"smallest mse at {best_mse:.1f}, smallest mae at {best_mae:.1f}")
check.close(best_mse, prices.mean(), what="the mean")
check.close(best_mae, float(np.median(prices)), what="the median")

# a trap: one column against one row
column = prices[:, None]
print(
    "mse of the prices with themselves, as a column and as a row:", np.mean((column - prices) ** 2)
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# 6, the **mean**, and 3, the **median**. The square makes the house of 20 count most, and pulls the answer towards it. Absolute values do not care how far out it is.
#
# And the trap: a network returns `(N, 1)`, the labels are `(N,)`. Subtract them, and broadcasting makes `(N, N)`: every example against every other. No error, a wrong number. Look at the shapes before you subtract.
#
# </details>

# %% [markdown]
# ### Cross-entropy: how surprised were you?
#
# **Idea.** For classes there is a better question than "how far?": *how probable did you call what then happened?* Call that probability $q$. For the student of the exam, who passed, $q = p = 0.1$. Had the student failed, it would be $q = 1 - p = 0.9$.
#
# **Derivation.** Good weights make what happened probable, for all $n$ examples together: they make the product $q_1 q_2 \cdots q_n$ large. A product of a thousand small numbers is 0 in a computer. So take its logarithm, which turns the product into a sum; put a minus, so that small is good; and divide by $n$, so that it does not grow with the examples:
#
# $$J = -\frac1n \log (q_1 q_2 \cdots q_n) = \frac1n \sum_i -\log q_i .$$
#
# The loss of one example is $-\log q$: 0 if you were sure and right, 0.69 ($= \ln 2$) if you tossed a coin, and without bound if you were sure and wrong. Here $-\ln 0.1 = 2.30$. (log is the natural logarithm throughout.)
#
# As a formula in $p$ and $y \in \{0, 1\}$, the **binary cross-entropy**:
#
# $$\ell(p, y) = -\big(y \log p + (1-y) \log(1-p)\big) .$$
#
# One of the two terms is always multiplied by 0. It is a formula's way of writing "if".
#
# **Where it breaks.** Sure and right is allowed: $p = 1$ with $y = 1$ costs 0. But the formula computes $0 \cdot \log 0 = 0 \cdot (-\infty) =$ `nan`. A common cure is to push all probabilities away from 0 and 1, by $10^{-7}$ say. That cures the `nan`, and caps the loss at 16.1: whoever gives $10^{-12}$ to what then happens ought to pay 27.6. Better not to compute the term that does not count.

# %% [markdown]
# ### Exercise: `binary_cross_entropy`
#
# *15 minutes, medium. What it is for: yes-or-no answers: is there a face, did the student pass, is this pixel part of the road?*
#
# `p` are probabilities of "yes", `y` the labels 0 and 1 (of any number type), both of the same shape, any shape. The mean goes over all elements. `p` may be exactly 0 or 1 **where the label agrees**; the opposite, surely wrong, is not tested. If you guard against $\log 0$, the guard must not be noticed: three percent of the loss is allowed at $p = 10^{-12}$. So a guard of $10^{-12}$ or less is all right, if it works for float32 as well: there $1 - 10^{-12}$ is exactly 1.
#
# <details><summary>Hint 1</summary>
#
# Follow the idea and not the formula: what is $q$, for each element? Then $-\log q$, then the mean.
#
# </details>
# <details><summary>Hint 2</summary>
#
# "If the label is 1, then $p$, else $1 - p$" is one call of `np.where`. (If you prefer the formula with both terms: labels may be bytes, and part 1 shows what `-y` is then.)
#
# </details>


# %% exercise="binary_cross_entropy"
def binary_cross_entropy(p, y):
    """Mean of -(y log p + (1 - y) log(1 - p)) over all elements -> one float.

    p: probabilities of 1. y: labels 0 and 1, same shape. p may be 0 or 1 where the label agrees.
    """
    ### BEGIN SOLUTION
    q = np.where(y == 1, p, 1.0 - p)  # how probable it called what happened
    return -np.mean(np.log(q))
    ### END SOLUTION


# %% tests="binary_cross_entropy" part="values" points=1
check.close(
    binary_cross_entropy(np.array([0.1]), np.array([1.0])), 2.302585093, what="p = 0.1, y = 1"
)
# q is 1/2, 1/4 and 1/8: (1 + 2 + 3) * ln 2 / 3 = 2 ln 2
check.close(
    binary_cross_entropy(np.array([0.5, 0.75, 0.125]), np.array([0, 0, 1])),
    2 * np.log(2.0),
    what="p = 1/2, 3/4, 1/8, y = 0, 0, 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(121)
    for shape in ((7,), (4, 3), (2, 3, 4, 5), (1,), (6, 1)):
        for kind in (np.float64, np.float32):
            for label_kind in (np.int64, np.float64, np.float32):
                p = rng.uniform(0.02, 0.98, shape[::-1]).astype(kind).T
                y = (rng.random(shape) < 0.4).astype(label_kind)[::-1]
                before = p.copy(), y.copy()
                wide = [torch.tensor(a.astype(float)) for a in before]
                expected = float(torch.nn.functional.binary_cross_entropy(*wide))
                what = f"binary_cross_entropy, {kind.__name__} {shape}, y {label_kind.__name__}"
                check.close(binary_cross_entropy(p, y), expected, what=what)
                check.unchanged(before[0], p, what="p")
                check.unchanged(before[1], y, what="y")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="binary_cross_entropy" part="certain" points=1
# Sure and right costs nothing: only the coin is paid for, ln 2 / 4
check.close(
    binary_cross_entropy(np.array([1.0, 0.0, 0.5, 1.0]), np.array([1, 0, 1, 1])),
    np.log(2.0) / 4,
    what="p = 1, 0, 1/2, 1, y = 1, 0, 1, 1",
)
check.close(
    binary_cross_entropy(np.array([1.0, 0.0], dtype=np.float32), np.array([1, 0])),
    0.0,
    what="p = 1, 0 in float32, y = 1, 0",
)
# Labels as bytes
check.close(
    binary_cross_entropy(np.array([0.25, 0.5]), np.array([1, 0], dtype=np.uint8)),
    1.5 * np.log(2.0),
    what="p = 1/4, 1/2, y = 1, 0 as bytes",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(122)
    for kind in (np.float64, np.float32):
        y = rng.integers(0, 2, (5, 3))
        check.close(
            binary_cross_entropy(y.astype(kind), y.copy()),
            0.0,
            what=f"binary_cross_entropy, all sure and right, p {kind.__name__}",
        )
        for label_kind in (np.uint8, np.int8, np.uint64):
            p, y = rng.uniform(0.02, 0.98, (5, 3)).astype(kind), y.astype(label_kind)
            pairs = zip(p.ravel().tolist(), y.ravel().tolist(), strict=True)
            expected = sum(-np.log(q if yes else 1 - q) for q, yes in pairs) / 15
            what = f"binary_cross_entropy, p {kind.__name__}, y {label_kind.__name__}"
            check.close(binary_cross_entropy(p, y), expected, what=what)
    p, y = rng.uniform(0.1, 0.9, 12), np.tile([0.0, 1.0], 6)
    p[[0, 4]], p[[3, 5, 9]] = 0.0, 1.0
    unsure = [i for i in range(12) if 0 < p[i] < 1]
    expected = sum(-np.log(p[i] if y[i] else 1 - p[i]) for i in unsure) / 12
    check.close(
        binary_cross_entropy(p, y), expected, what="binary_cross_entropy, five of twelve sure"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="binary_cross_entropy" part="tiny" points=1
# -ln 1e-12 = 12 * 2.302585 = 27.63
check.close(
    binary_cross_entropy(np.array([1e-12]), np.array([1.0])),
    27.63102,
    what="p = 1e-12, y = 1",
    rtol=0.03,
)


### BEGIN HIDDEN TESTS
def _hidden():
    for tiny in (1e-9, 1e-10, 1e-11):
        p, y = np.array([tiny, 1 - tiny]), np.array([1, 0])
        expected = float(-np.log(tiny))
        what = f"binary_cross_entropy, p = {tiny}, 1 - {tiny}, y = 1, 0"
        check.close(binary_cross_entropy(p, y), expected, what=what, rtol=0.03)
    expected = 12 * float(np.log(10.0))  # -ln 1e-12
    got = binary_cross_entropy(np.array([[1e-12], [1e-12]]), np.array([[1], [1]]))
    check.close(got, expected, what="binary_cross_entropy, p = 1e-12 twice, y = 1", rtol=0.03)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Play.** Twenty-four students and the unit of the exam. Shading is the probability of passing; the dashed line is $p = \frac12$. The student with the ring is the one of the text. The title has the cost: your `binary_cross_entropy` over all 24. Change the three numbers in the last line. In JupyterLab you get sliders.
#
# **Predict.** With weights $0.5$ and $0.4$ and a bias of $-6.2$ the student at $(4, 5)$ gets $p = 0.1$. Should the bias go up or down? Can you bring the cost below 0.35, by the bias alone? A unit that says $\frac12$ to all has 0.69.

# %% figure="exam"
exam_rng = np.random.default_rng(seed + 3)
students = np.vstack([[4.0, 5.0], exam_rng.integers(0, 11, (23, 2))])  # lectures, hours
chance = sigmoid(0.8 * students[:, 0] + 0.6 * students[:, 1] - 5.5)
passed = (exam_rng.random(24) < chance).astype(float)
passed[0] = 1.0


def draw_exam(w_lectures=0.5, w_hours=0.4, b=-6.2):
    """Draw what the unit says about every pair of lectures and hours, and the 24 students."""

    def answer(rows):
        return sigmoid(dense(rows, np.array([[w_lectures], [w_hours]]), np.array([b])))[:, 0]

    grid = np.stack(np.meshgrid(np.linspace(-0.5, 10.5, 90), np.linspace(-0.5, 10.5, 90)), axis=-1)
    field = answer(grid.reshape(-1, 2)).reshape(90, 90)
    fig, ax = plt.subplots(figsize=(4.6, 3.3), layout="constrained")
    drawn = ax.imshow(
        field, origin="lower", extent=(-0.5, 10.5, -0.5, 10.5), cmap="cividis", vmin=0, vmax=1
    )
    if field.min() < 0.5 < field.max():
        ax.contour(grid[..., 0], grid[..., 1], field, [0.5], colors="white", linestyles="--")
    for yes, mark, name in ((1, "o", "passed"), (0, "X", "failed")):
        some = students[passed == yes]
        ax.plot(some[:, 0], some[:, 1], mark, color="white", mec="black", markersize=7, label=name)
    ax.plot(4, 5, "o", mfc="none", mec="white", markersize=14, mew=2)
    cost = binary_cross_entropy(answer(students), passed)
    ax.set(title=f"p(4, 5) = {answer(students)[0]:.2f}, cost of all 24 = {cost:.2f}")
    ax.set(xlabel="lectures attended", ylabel="hours on the project")
    fig.legend(loc="outside lower center", ncols=2, fontsize=7)
    fig.colorbar(drawn, ax=ax, label="probability of passing")
    plt.show()


draw_exam(w_lectures=0.5, w_hours=0.4, b=-6.2)

# %%
# Sliders need a page to live in. Without them the figure above is all there is to see.
sliders = profile == "full" or "JPY_SESSION_NAME" in os.environ
if sliders:
    from ipywidgets import interact

    interact(draw_exam, w_lectures=(-1.0, 2.0, 0.1), w_hours=(-1.0, 2.0, 0.1), b=(-12.0, 3.0, 0.1))

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Twenty-four students by lectures and hours, circles for passed and crosses for failed, over the unit's probability of passing; the ringed student at 4 lectures and 5 hours lies on the dark side with p = 0.10.](figures/exam.png)
#
# The unit is too strict: the ringed student and many others who passed lie on its dark side. With these two weights the bias must go **up**, to about $-3.3$: the cost falls to 0.30. Then let all three numbers grow together: the border stays about where it is, and the answers become surer. The cell below finds a cost of 0.26 in this way. What you do with the sliders, looking for the lowest cost, is exactly what learning does, and it has a formula: $w^* = \arg\min_w J(w)$. You turned three knobs by hand. For a million knobs you need to know which way each should turn, without trying. That is the gradient, and unit 04.
#
# </details>


# %%
def exam_cost(w_lectures, w_hours, b):
    """Cost of the unit with these three numbers on the 24 students."""
    rows = dense(students, np.array([[w_lectures], [w_hours]]), np.array([b]))
    return binary_cross_entropy(sigmoid(rows)[:, 0], passed)


tried = {
    (wl, wh, b): exam_cost(wl, wh, b)
    for wl in np.arange(-1, 2.05, 0.2)
    for wh in np.arange(-1, 2.05, 0.2)
    for b in np.arange(-12, 3.05, 0.5)
}
best = min(tried, key=tried.get)
bias_alone = {b: exam_cost(0.5, 0.4, b) for b in np.arange(-12, 3.05, 0.1)}
best_b = min(bias_alone, key=bias_alone.get)
print(f"the bias alone: best at {best_b:.1f}, cost {bias_alone[best_b]:.2f}")
print(f"at first {exam_cost(0.5, 0.4, -6.2):.2f}; best of {len(tried):,} tried: {tried[best]:.2f}")
print("at (w_lectures, w_hours, b) =", tuple(round(float(v), 1) for v in best))
assert round(tried[best], 2) == 0.26
assert round(best_b, 1) == -3.3
assert round(bias_alone[best_b], 2) == 0.30
assert best[0] > 0.5
assert best[1] > 0.4
check.close(exam_cost(0.0, 0.0, 0.0), np.log(2.0), what="a unit that says 1/2 to all")

# %% [markdown]
# ### Why not the squared error?
#
# You could take mse for classes, too. It is 0.81 for the student of the exam, and 0 if the unit is right. Here is what goes wrong. The unit learns by turning its knobs, so what counts is how much the loss *changes* when $z$ (the sum before the sigmoid) is moved a little: the slope.
#
# **Predict.** The truth is $y = 1$. The unit says $z = -10$: sure, and wrong. Which loss has the larger slope there, and by which factor: 2, 100, or 10,000?

# %% figure="loss_slopes"
z_line = np.linspace(-12, 6, 181)
yes = np.array([1.0])
losses = {
    "mse of sigmoid(z)": (lambda z: mse(sigmoid(np.array([z])), yes), "s--"),
    "binary cross-entropy": (lambda z: binary_cross_entropy(sigmoid(np.array([z])), yes), "o-"),
}
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
steep = {}
for name, (loss_at, style) in losses.items():
    slopes = np.array([(loss_at(z + 1e-4) - loss_at(z - 1e-4)) / 2e-4 for z in z_line])
    axes[0].plot(z_line, [loss_at(z) for z in z_line], style, markevery=20, label=name)
    axes[1].semilogy(z_line, np.abs(slopes), style, markevery=20, label=name)
    steep[name] = abs(slopes[20])  # z = -10
for ax, what in zip(axes, ("loss", "|slope of the loss|"), strict=True):
    ax.axvline(-10, color="gray", linewidth=1, linestyle=":")
    ax.set(xlabel="z (the truth is y = 1)", ylabel=what)
axes[0].set(title="two losses")
axes[1].set(title="how strongly they pull", ylim=(1e-6, 3))
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, squared error and cross-entropy against z: the first is flat on the far left, the second rises in a straight line. Right, the size of their slopes on a logarithmic axis: at z = -10 the squared error's is about one ten-thousandth, the cross-entropy's about one.](figures/loss_slopes.png)
#
# Ten thousand. Confidently wrong is where help is needed most, and there the squared error is flat: the sigmoid has saturated, and its tiny slope is a factor of the loss's slope. The logarithm undoes exactly this factor. For $y = 1$ the slope of the cross-entropy is $p - 1$: nearly $-1$ when $p$ is nearly 0. (Unit 04 derives both.)
#
# </details>

# %%
for name, value in steep.items():
    print(f"{name:<22} |slope| at z = -10: {value:.2e}")
ratio = steep["binary cross-entropy"] / steep["mse of sigmoid(z)"]
print(f"ratio {ratio:,.0f}")
assert z_line[20].round(9) == -10
assert 10_000 < ratio < 12_000

# %% [markdown]
# ### Many classes, and two kinds of input
#
# With $K$ classes the question is the same: *how probable did you call what then happened?* If $y_n$ is the true class of example $n$ and $p[n, k]$ the probabilities,
#
# $$J = \frac1N \sum_n -\log p[n,\, y_n] .$$
#
# **Labels or one-hot.** The truth can be written in two ways. As *labels*: `2`. Or *one-hot*, a row with a single 1: `0 0 1`. Then the same loss reads $-\sum_k y[n,k] \log p[n,k]$. (Keras calls the first "sparse". It is only another way to write it down.)
#
# **Logits or probabilities.** Some networks end with softmax, some end before it. A loss must be told which it gets. From logits one can do better than softmax first and log afterwards:
#
# $$-\log \mathrm{softmax}(x)_y = -\log \frac{e^{x_y}}{\sum_j e^{x_j}} = \log \sum_j e^{x_j} - x_y = m + \log \sum_j e^{x_j - m} - x_y ,$$
#
# with $m = \max_j x_j$, by the shift that you know. No exp overflows, and there is no $\log 0$: the sum is at least 1. With logits $10^4$ and $-10^4$, and the second one true, this gives 20,000. Softmax first gives exactly 0, and then $-\log 0 = \infty$.
#
# | truth | prediction | the call | loss |
# |---|---|---|---|
# | `2` | logits `1.5 0.8 2.1` | `cross_entropy(x, y)` | 0.60 |
# | `0 0 1` | logits `1.5 0.8 2.1` | `cross_entropy(x, y)` | 0.60 |
# | `2` | probabilities `0.30 0.15 0.55` | `cross_entropy(x, y, from_logits=False)` | 0.60 |
# | `0 0 1` | probabilities `0.30 0.15 0.55` | `cross_entropy(x, y, from_logits=False)` | 0.60 |
#
# **By hand.** Logits $(\ln 1, \ln 2, \ln 5)$, true class 1: $-\ln \frac28 = \ln 4 = 1.386$. True class 2: $-\ln \frac58 = 0.470$.

# %% [markdown]
# ### Exercise: `cross_entropy`
#
# *25 minutes, medium. What it is for: nearly every classifier of this course is trained with it.*
#
# Five steps, each with its own check and its own point:
#
# 1. from logits, labels as integers;
# 2. from probabilities (`from_logits=False`): exactly 1 for the true class is allowed, and so is 0 for the others; a probability of $10^{-12}$ for the true class costs 27.6 (three percent are allowed, as before);
# 3. one-hot truth, of any number type, shape `(N, K)`, for both;
# 4. logits as large as $\pm 10^4$;
# 5. labels of any integer type, and $N = K$.
#
# <details><summary>Hint 1: pick one number from each row</summary>
#
# `x[np.arange(N), y]` takes element `y[n]` from row `n`: shape `(N,)`.
#
# </details>
# <details><summary>Hint 2: labels or one-hot?</summary>
#
# They differ in the number of dimensions: `y.ndim`. The place of the 1 in a one-hot row is its `argmax`, and with this you are back at labels.
#
# </details>
# <details><summary>Hint 3: logits</summary>
#
# Subtract the maximum of each row from `x` first, for good. Then the last formula of the text has no $m$ any more.
#
# </details>


# %% exercise="cross_entropy"
def cross_entropy(x, y, from_logits=True):
    """Mean over N of -log of the probability of the true class -> one float.

    x (N, K): logits, or probabilities if from_logits is False.
    y: labels (N,) of any integer type, or one-hot rows (N, K).
    """
    ### BEGIN SOLUTION
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    rows = np.arange(len(x))
    if not from_logits:
        return -np.mean(np.log(x[rows, labels]))
    x = x - x.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(x).sum(axis=1)) - x[rows, labels])
    ### END SOLUTION


# %% tests="cross_entropy" part="logits" points=1
# The example of the text: ln(8/2) and ln(8/5), and their mean
check.close(
    cross_entropy(np.log(np.array([[1.0, 2.0, 5.0]])), np.array([1])),
    np.log(4.0),
    what="cross_entropy of (ln 1, ln 2, ln 5), y = 1",
)
check.close(
    cross_entropy(np.log(np.array([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]])), np.array([1, 2])),
    (np.log(8 / 2) + np.log(8 / 5)) / 2,
    what="cross_entropy of two rows, y = 1, 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(123)
    for N, K in ((6, 4), (3, 10), (1, 5), (9, 2)):
        for kind in (np.float64, np.float32):
            x = (3 * rng.standard_normal((K, N))).astype(kind).T[::-1]
            y = rng.integers(0, K, 2 * N)[::2]
            before = x.copy(), y.copy()
            wide = torch.tensor(before[0].astype(float)), torch.tensor(before[1])
            expected = float(torch.nn.functional.cross_entropy(*wide))
            check.close(
                cross_entropy(x, y), expected, what=f"cross_entropy, x {kind.__name__} {N, K}"
            )
            check.unchanged(before[0], x, what="x")
            check.unchanged(before[1], y, what="y")
    x, y = np.eye(4)[[2, 0, 3]], np.array([2, 1, 3])  # logits, though every row adds up to 1
    expected = float(torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(y)))
    check.close(cross_entropy(x, y), expected, what="cross_entropy, logits that add up to 1")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy" part="probabilities" points=1
# (ln 4 + ln 2) / 2 = 1.5 ln 2
check.close(
    cross_entropy(np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([0, 1]), from_logits=False),
    1.5 * np.log(2.0),
    what="cross_entropy of probabilities 1/4 and 1/2",
)
# Sure and right costs nothing. 1e-12 costs 27.63, and the mean is 13.82
check.close(
    cross_entropy(np.array([[0.0, 1.0], [1e-12, 1 - 1e-12]]), np.array([1, 0]), from_logits=False),
    13.81551,
    what="cross_entropy of probabilities 1 and 1e-12",
    rtol=0.03,
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(124)
    for N, K in ((6, 4), (3, 10), (1, 5), (9, 2)):
        for kind in (np.float64, np.float32):
            share = rng.uniform(0.2, 1.0, (N, K))
            x = (share / share.sum(axis=1, keepdims=True)).astype(kind)[::-1]
            y = rng.integers(0, K, N)
            before = x.copy(), y.copy()
            expected = sum(-np.log(float(x[n, y[n]])) for n in range(N)) / N
            check.close(
                cross_entropy(x, y, from_logits=False),
                expected,
                what=f"cross_entropy, from_logits=False, x {kind.__name__} {N, K}",
            )
            check.unchanged(before[0], x, what="x")
            check.unchanged(before[1], y, what="y")
    sure = np.eye(5)[[3, 1, 4]]
    check.close(
        cross_entropy(sure, np.array([3, 1, 4]), from_logits=False),
        0.0,
        what="cross_entropy, from_logits=False, all sure and right",
    )
    rare = np.array([[1e-11, 1 - 1e-11], [1 - 1e-10, 1e-10]])
    check.close(
        cross_entropy(rare, np.array([0, 1]), from_logits=False),
        10.5 * 2.302585093,
        what="cross_entropy of probabilities 1e-11 and 1e-10",
        rtol=0.03,
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy" part="one_hot" points=1
check.close(
    cross_entropy(np.log(np.array([[1.0, 2.0, 5.0]])), np.array([[0.0, 1.0, 0.0]])),
    np.log(4.0),
    what="cross_entropy of (ln 1, ln 2, ln 5), y = 0 1 0",
)
# Probabilities 0 where the truth is 0: the second row costs nothing
check.close(
    cross_entropy(
        np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[1, 0, 0], [0, 0, 1]], dtype=np.uint8),
        from_logits=False,
    ),
    np.log(2.0),
    what="cross_entropy of probabilities, y one-hot bytes",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(125)
    for N, K in ((6, 4), (4, 4), (1, 5), (9, 2)):
        for kind in (np.float64, np.float32, np.int64, np.uint8):
            x, labels = rng.standard_normal((N, K)), rng.integers(0, K, N)
            y = np.zeros((N, K), dtype=kind)
            y[np.arange(N), labels] = 1
            before = x.copy(), y.copy()
            expected = float(
                torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(labels))
            )
            shares = torch.softmax(torch.tensor(before[0]), dim=1).numpy()
            what = f"cross_entropy, x {N, K}, y one-hot {kind.__name__}"
            check.close(cross_entropy(x, y), expected, what=what)
            check.unchanged(before[0], x, what="x")
            check.unchanged(before[1], y, what="y")
            check.close(
                cross_entropy(shares, y, from_logits=False),
                expected,
                what=what + ", from_logits=False",
            )
            sure = before[1].astype(float)
            check.close(
                cross_entropy(sure, y, from_logits=False), 0.0, what=what + ", all sure and right"
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy" part="large" points=1
# log(e^10000 + e^-10000) - (-10000) = 20000. The second row: 10000 - 10000 = 0. The mean is 10000
check.close(
    cross_entropy(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([1, 0])),
    10000.0,
    what="cross_entropy of logits 10000 and -10000, y = 1, 0",
)
# Each row has its own maximum: 1/4 and 1/2, so (ln 4 + ln 2) / 2 = 1.5 ln 2
check.close(
    cross_entropy(np.array([[0.0, np.log(3.0)], [5000.0, 5000.0]]), np.array([0, 1])),
    1.5 * np.log(2.0),
    what="cross_entropy of rows around 0 and 5000, y = 0, 1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(126)
    for offset in (1e4, -1e4, 800.0, -800.0):
        x, y = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
        expected = float(torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(y)))
        what = f"cross_entropy, all logits near {offset:.0f}"
        check.close(cross_entropy(x + offset, y), expected, what=what)
    levels = np.array([[0.0], [5000.0], [-5000.0]])
    x, y = rng.standard_normal((3, 4)) + levels, np.array([2, 0, 3])
    expected = float(torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(y)))
    check.close(cross_entropy(x, y), expected, what="cross_entropy, rows near 0, 5000, -5000")
    for kind in (np.float64, np.float32):
        x, y = (1e3 * rng.standard_normal((6, 5))).astype(kind), rng.integers(0, 5, 6)
        wide = torch.tensor(x.astype(float)), torch.tensor(y)
        expected = float(torch.nn.functional.cross_entropy(*wide))
        what = f"cross_entropy, {kind.__name__} logits spread over thousands"
        check.close(cross_entropy(x, y), expected, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy" part="labels" points=1
# Bytes as labels: log(e^2 + e^0 + e^1) - 1 = 1.407606
check.close(
    cross_entropy(np.array([[2.0, 0.0, 1.0]]), np.array([2], dtype=np.uint8)),
    1.4076059644443804,
    what="cross_entropy of 2 0 1, y = 2, a byte",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(127)
    for kind in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64):
        for N, K in ((7, 3), (4, 4), (1, 1), (2, 6)):
            x, y = rng.standard_normal((N, K)), rng.integers(0, K, N).astype(kind)
            before = y.copy()
            wide = torch.tensor(x), torch.tensor(before.astype(np.int64))
            expected = float(torch.nn.functional.cross_entropy(*wide))
            check.close(
                cross_entropy(x, y), expected, what=f"cross_entropy, x {N, K}, y {kind.__name__}"
            )
            check.unchanged(before, y, what="y")
            shares = torch.softmax(wide[0], dim=1).numpy()
            check.close(
                cross_entropy(shares, y, from_logits=False),
                expected,
                what=f"cross_entropy, from_logits=False, x {N, K}, y {kind.__name__}",
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
table_x, table_p = np.array([[1.5, 0.8, 2.1]]), np.array([[0.30, 0.15, 0.55]])
for truth in (np.array([2]), np.array([[0, 0, 1]])):
    print(
        f"{cross_entropy(table_x, truth):.2f}  {cross_entropy(table_p, truth, from_logits=False):.2f}"
    )
    assert round(cross_entropy(table_x, truth), 2) == 0.60
    assert round(cross_entropy(table_p, truth, from_logits=False), 2) == 0.60

# %% [markdown]
# **The most common bug with this loss.** Give it *probabilities* where it expects *logits*. It applies softmax a second time. No error, and training even works a little.
#
# **Predict.** Ten classes. The network is perfect: probability 1 for the true class, 0 for the others. The true loss is 0. What does `cross_entropy(p, y)` say, without `from_logits=False`? And what is the loss of a network that knows nothing?

# %%
perfect, truth = np.eye(10), np.arange(10)
print(f"perfect, told the truth    {abs(cross_entropy(perfect, truth, from_logits=False)):.4f}")
print(f"perfect, softmaxed twice   {cross_entropy(perfect, truth):.4f}")
print(f"knows nothing              {cross_entropy(np.zeros((10, 10)), truth):.4f}")
check.close(cross_entropy(perfect, truth), np.log(np.e + 9) - 1, what="the floor")
check.close(cross_entropy(np.zeros((10, 10)), truth), np.log(10.0), what="ln 10")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# 1.4612, which is $\ln(e^1 + 9 e^0) - 1$. The best that such a network can ever show is 1.46, and the worst is $\ln(1 \cdot e + 9) - 0 = 2.46$. Remember two numbers for ten classes: **2.30** ($= \ln 10$) is what a fresh network should start with, and a loss that **never falls below 1.46** has been through softmax twice.
#
# </details>

# %% [markdown] manual="which_loss" points=2
# **Question (2 points, 8 minutes).** A network with a single sigmoid at its end decides whether a scan shows a tumour. It is trained with mse. On some scans with a tumour it says $p = 0.0001$, and a thousand rounds of training change nothing about them. Explain with the two slopes at this $p$ (they are $2(p-1)\,p\,(1-p)$ for the squared error and $p-1$ for the cross-entropy, with respect to $z$). Which of the losses of this lesson would you use, on which output of the network, and why does it matter whether you hand over $z$ or $p$?
#
# ### BEGIN SOLUTION
# Slopes at $p = 0.0001$, $y = 1$: squared error $2 \cdot (-0.9999) \cdot 0.0001 \cdot 0.9999 \approx -0.0002$; cross-entropy $-0.9999$. The first is 5,000 times smaller: the sigmoid is saturated and its slope $p(1-p)$ is a factor of the first, so these scans hardly pull at the weights although they are the worst ones. (1 point.)
#
# Binary cross-entropy. Its logarithm cancels the sigmoid's slope. Best from the logit $z$, with the maximum taken out as in `cross_entropy` (the two logits $(0, z)$): from $p$, a large $|z|$ has been rounded to exactly 0 or 1, and $\log 0$ is infinite; and a function that expects logits and gets probabilities (or the reverse) gives wrong numbers without an error. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 8. The thing done
#
# ### Edges
#
# Your XOR network, on every pair of neighbours in a photograph: $a$ is a pixel, $b$ the one to its right. "Is there an edge?" means: do they differ by more than 0.1, in either direction? That is XOR with shades of grey. The network: `dense`, `relu`, `perceptron`, nine numbers in all.
#
# Beside it stands the best single neuron that there is, found by trying 360 directions with 201 thresholds each, on these very pairs. To be fair to both, edges and non-edges count half each.
#
# **Predict.** Guessing has 50 %. What does the best single neuron get? The network?

# %% figure="edges"
shades = resize(as_tensor.mean(axis=1, keepdims=True) / 255, (142, 213))[0, 0]  # (142, 213)
couples = np.stack([shades[:, :-1].ravel(), shades[:, 1:].ravel()], axis=1)  # (30104, 2)
is_edge = np.abs(couples[:, 0] - couples[:, 1]) > 0.1


def fair_accuracy(answer):
    """Mean of the shares of edges and of non-edges that answer (M,) gets right, in percent."""
    return 50 * (np.mean(answer[is_edge] > 0) + np.mean(answer[~is_edge] == 0))


best_single = (0.0, np.zeros(2), 0.0)
for angle in np.deg2rad(np.arange(360)):
    w = np.array([np.cos(angle), np.sin(angle)])
    z = couples @ w
    cuts = np.quantile(z, np.linspace(0, 1, 201))
    hit = 1 - np.searchsorted(np.sort(z[is_edge]), cuts, side="right") / is_edge.sum()
    kept_off = np.searchsorted(np.sort(z[~is_edge]), cuts, side="right") / (~is_edge).sum()
    cut = (hit + kept_off).argmax()
    if 50 * (hit + kept_off)[cut] > best_single[0]:
        best_single = (50 * (hit + kept_off)[cut], w, -cuts[cut])
answers = {
    "best single neuron": perceptron(couples, best_single[1], best_single[2]),
    "dense, relu, perceptron": xor_net(couples, threshold=0.1),
}
fig, axes = plt.subplots(1, 3, figsize=(7.4, 1.9), layout="constrained")
show(axes[0], shades, "the photograph, 142 x 213")
for ax, (name, answer) in zip(axes[1:], answers.items(), strict=True):
    title = f"{name}: {fair_accuracy(answer):.1f} %"
    show(ax, answer.reshape(142, 212), title, cmap="gray_r")
fig.suptitle(f"Is there an edge to the right? (n = {len(couples):,} pairs)", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The photograph; the answer of the best single neuron, which blackens whole dark regions or one kind of edge; and the answer of the network, a clean drawing of the temple's outlines.](figures/edges.png)
#
# The best single neuron is not at 50 %. It has found a trick: where it is bright there are few edges here, for most of the bright pixels are sky, so it bets on darkness. It paints regions. The network answers the question itself, for both directions, and is right on every pair. (It should be: you wrote its weights. In unit 04 networks find such weights by themselves, and in unit 18 you will look for edge detectors in a trained one and find them.)
#
# </details>

# %%
for name, answer in answers.items():
    print(f"{name:<24} {fair_accuracy(answer):6.2f} %")
assert fair_accuracy(answers["dense, relu, perceptron"]) == 100
assert 60 < fair_accuracy(answers["best single neuron"]) < 85

# %% [markdown]
# ### Digits
#
# Now a whole network of your functions:
#
# ```
# pictures --- standardise --- dense (random weights) --- bend --- dense (fitted) --- softmax
# ```
#
# The hidden weights are drawn by chance and **never trained**. Only the last layer is fitted, by least squares, in one step (a formula, no learning by slopes). This is honest and simple, and it allows a clean experiment: the same random weights, the same fitting, and only the function in the middle differs.
#
# **Predict.** With 16 hidden units, and with a thousand: which of these beat a single dense layer on the pixels? Nothing in the middle, the step, ReLU, tanh?

# %%
data_name, pictures_x, pictures_y = "digits", handwritten.images, handwritten.labels
n_train, widths, repeats = 1000, (16, 64, 256, 1000), 3
if profile == "full":
    try:
        official = mnist("train")
        data_name, pictures_x, pictures_y = (
            "MNIST",
            official.images[:20_000],
            official.labels[:20_000],
        )
        n_train, widths, repeats = 15_000, (64, 256, 1000, 3000), 1  # some minutes
    except DataError as error:
        print(error)
ready = standardise(pictures_x, pictures_x[:n_train]).reshape(len(pictures_x), -1).astype(float)
train_x, test_x = ready[:n_train], ready[n_train:]
train_y, test_y = pictures_y[:n_train], pictures_y[n_train:]


def random_layer(width, number):
    """Random weights (D, width) and biases (width,) of a hidden layer; number makes another one."""
    rng = np.random.default_rng([seed, number, width])
    D = train_x.shape[1]
    return rng.standard_normal((D, width)) / np.sqrt(D), rng.uniform(-1, 1, width)


def fit_last(h, y, ridge=3.0):
    """Weights (D, 10) and biases (10,) that bring dense(h, w, b) nearest to one-hot rows of y.

    ridge > 0 keeps the weights small: large ones learn the fitted digits by heart.
    """
    with_one = np.c_[h, np.ones(len(h))]
    normal = with_one.T @ with_one + ridge * np.eye(with_one.shape[1])
    both = np.linalg.solve(normal, with_one.T @ np.eye(10)[y])
    return both[:-1], both[-1]


def accuracy(scores, y):
    """Share of rows of scores (N, 10) whose largest number is at the label, in percent."""
    return 100 * float(np.mean(scores.argmax(axis=1) == y))


w, b = fit_last(train_x, train_y)
on_pixels = accuracy(dense(test_x, w, b), test_y)
reached = {name: [] for name in bends}
for name, bend in bends.items():
    for width in widths:
        scores = []
        for number in range(repeats):
            w1, b1 = random_layer(width, number)
            w2, b2 = fit_last(bend(dense(train_x, w1, b1)), train_y)
            scores.append(accuracy(dense(bend(dense(test_x, w1, b1)), w2, b2), test_y))
        reached[name].append(float(np.mean(scores)))
print(f"{data_name}: {n_train:,} to fit, {len(test_y):,} to test, mean of {repeats} drawn")
print(f"{'hidden units':<14}", " ".join(f"{width:>7,}" for width in widths))
for name, values in reached.items():
    print(f"{name:<14}", " ".join(f"{value:6.1f}%" for value in values))
print(f"one dense layer on the pixels: {on_pixels:.1f} %")

# %% figure="random_features"
fig, ax = plt.subplots(figsize=(5.4, 2.7), layout="constrained")
for (name, values), style in zip(reached.items(), ("x:", "^-.", "o-", "s--"), strict=True):
    ax.semilogx(widths, values, style, label=f"{name} in the middle")
ax.axhline(on_pixels, color="gray", linewidth=1)
ax.text(widths[0], on_pixels + 0.6, "one layer on the pixels", fontsize=7, color="gray")
ax.set(xlabel="random hidden units", ylabel="accuracy on new digits (%)", ylim=(50, 100))
ax.set(title="Which functions make a hidden layer worth having?", xticks=widths)
ax.set_xticklabels([f"{width:,}" for width in widths])
ax.minorticks_off()
ax.legend(fontsize=7, loc="lower right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Accuracy against the number of random hidden units. Without a function it rises to the level of a single layer and stays there; with the step, ReLU and tanh it rises above it.](figures/random_features.png)
#
# *Nothing* climbs to the level of the single layer and stays on it, however many units you pay for: a thousand linear units are the 64 pixels, mixed. That is your proof of part 4, as a measurement. **Same weights, same fitting; put a bend in the middle, and the network reads most of the digits that the line misread.** With few units random features are *worse* than the pixels. They were never trained, and much is lost on the way. ReLU and tanh end up close together, and the step behind them: it keeps only a yes or no of each sum. (One reservation: the ridge of 3 and the numbers of units were chosen with a look at the new digits. From 1 to 30 the ridge moves ReLU and tanh at a thousand units by half a point and the step by about three, and the order stays.)
#
# </details>

# %%
if data_name == "digits":
    assert abs(reached["nothing"][-1] - on_pixels) < 0.5
    assert max(reached["nothing"]) < on_pixels + 1
    for name in ("relu", "tanh"):
        assert reached[name][-1] > on_pixels + 5
        assert reached[name][0] < on_pixels
    assert (
        reached["nothing"][-1] < reached["step"][-1] < min(reached["relu"][-1], reached["tanh"][-1])
    )

# %% [markdown]
# **And its loss?** The fitted layer aims at 0 and 1, and as logits such numbers are timid: you know that softmax of a perfect row of 0 and 1 costs 1.46. So multiply the logits by a number (divide them by a temperature), chosen on training digits that were held back from the fit.
#
# **Predict.** Does this change the accuracy? Does it change the loss?

# %% figure="reads_digits"
w1, b1 = random_layer(widths[-1], 0)
n_fit = n_train * 4 // 5  # a fifth of the training digits is held back to choose the factor
w2, b2 = fit_last(relu(dense(train_x[:n_fit], w1, b1)), train_y[:n_fit])


def network(x):
    """Logits (N, 10) for standardised pictures x (N, D)."""
    return dense(relu(dense(x, w1, b1)), w2, b2)


scales = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0]
logits_of = {
    "fitted": (network(train_x[:n_fit]), train_y[:n_fit], "s--"),
    "held back": (network(train_x[n_fit:]), train_y[n_fit:], "^-."),
    "new": (network(test_x), test_y, "o-"),
}
loss_of = {
    name: [cross_entropy(scale * logits, y) for scale in scales]
    for name, (logits, y, _) in logits_of.items()
}
test_logits, test_loss = logits_of["new"][0], loss_of["new"]
chosen = scales[int(np.argmin(loss_of["held back"]))]
probabilities = softmax(chosen * test_logits)
final = cross_entropy(probabilities, test_y, from_logits=False)
fig = plt.figure(figsize=(7.2, 2.5), layout="constrained")
left_part, right_part = fig.subfigures(1, 2, width_ratios=[1, 1.25])
ax = left_part.subplots()
for name, (_, _, style) in logits_of.items():
    ax.plot(scales, loss_of[name], style, markersize=4, label=f"{name} digits")
ax.axhline(np.log(10), color="black", linestyle=":", linewidth=1, label="knows nothing: ln 10")
ax.set(xlabel="logits multiplied by", ylabel="cross-entropy", ylim=(0, 2.5))
ax.legend(fontsize=7)
wrong = np.flatnonzero(probabilities.argmax(axis=1) != test_y)
order = np.concatenate([np.arange(5), wrong[:5]])
side = pictures_x.shape[-1]
for ax, place in zip(right_part.subplots(2, 5).ravel(), order, strict=True):
    said = probabilities[place].argmax()
    title = f"{said} ({100 * probabilities[place, said]:.0f} %)"
    show(ax, pictures_x[n_train + place, 0], title)
    ax.set(xlabel=f"true: {test_y[place]}")
right_part.suptitle("five new digits; five of its mistakes", fontsize=9)
plt.show()
print(f"{data_name}: {accuracy(test_logits, test_y):.1f} % of {len(test_y):,} new digits")
print(f"cross-entropy as it is {test_loss[0]:.3f}, times {chosen:.0f}: {final:.3f}")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the cross-entropy of fitted, held-back and new digits against the factor: all start at about 1.5; that of the fitted digits falls to zero, the other two have a lowest point and rise again. Right, ten handwritten digits with the network's answers and their probabilities, five right and five wrong.](figures/reads_digits.png)
#
# The accuracy cannot change: the largest logit stays the largest. The loss of the new digits falls to about a tenth. Accuracy asks *which*; cross-entropy asks *how sure*, and it punishes false modesty as well as false pride. See why the factor must not be chosen on the fitted digits: the network knows them by heart, so for them no factor is too large. The digits held back tell the truth. Look at the mistakes, too: some are made with more than 90 %. Sure and wrong: a few of these make up much of what is left of the loss.
#
# </details>

# %%
if data_name == "digits":
    assert accuracy(test_logits, test_y) > 95
    assert min(loss_of["fitted"][0], test_loss[0]) > 1.46
    assert chosen in (12, 16)
    assert test_loss[0] > 10 * final
    assert int(np.argmin(loss_of["fitted"])) == len(scales) - 1
check.close(
    cross_entropy(chosen * test_logits, test_y), final, what="from logits and from probabilities"
)

# %% [markdown]
# The nearest stored picture of part 1 does as well on the same untouched digits (the next cell counts). So what is won? Two things. This network computes with fixed weights and need not keep the pictures. And every weight in it can be *moved*: with slopes, the hidden layer will be trained as well (unit 04), and with shared weights (unit 02) it will survive what broke the pixels. For it has not yet. Try:

# %%
if data_name == "digits":
    shifted = np.zeros_like(pictures_x)
    shifted[..., 1:] = pictures_x[..., :-1]  # one pixel to the right
    shifted = standardise(shifted, pictures_x[:n_train]).reshape(len(shifted), -1)[n_train:]
    same_digits = framed(ink[n_train:])
    nearest = 100 * float(np.mean(nearest_label(same_digits) == test_y))
    print(f"nearest stored       {nearest:5.1f} %")
    print(f"new digits           {accuracy(test_logits, test_y):5.1f} %")
    assert abs(nearest - accuracy(test_logits, test_y)) < 1
    print(f"moved by ONE pixel   {accuracy(network(shifted), test_y):5.1f} %")
    assert accuracy(network(shifted), test_y) < 75

# %% [markdown]
# That is where unit 02 begins.
#
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **A dense layer is $x\,w + b$, and without a bend in between, many layers are one.** A hidden layer with a bend folds the plane, and a unit that failed succeeds.
# 2. **Softmax knows only differences.** Subtract the largest logit, and nothing overflows. Go from logits straight to the loss.
# 3. **Cross-entropy is $-\log$ of the probability of what happened**, and it pulls hardest where the network is sure and wrong. Ten classes start at $\ln 10 = 2.30$.
#
# ## What to read
#
# - F. Rosenblatt, *The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain*, Psychological Review 65(6), 1958: the machine. A. Novikoff, *On Convergence Proofs on Perceptrons*, 1962: why its rule stops.
# - M. Minsky and S. Papert, *Perceptrons*, MIT Press 1969: what single layers cannot do.
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, [chapter 6](https://www.deeplearningbook.org/contents/mlp.html): XOR with ReLU (6.1), output units and cost functions (6.2).
# - A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, NeurIPS 2012, section 3.1: ReLU against tanh.
# - K. He and others, *Delving Deep into Rectifiers*, 2015, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), section 2.1: PReLU. P. Ramachandran, B. Zoph, Q. Le, *Searching for Activation Functions*, 2017, [arXiv:1710.05941](https://arxiv.org/abs/1710.05941): swish.
#
# ## The road not taken
#
# The hidden layer of part 8 was random. That is a serious idea with a name, *random features* (A. Rahimi and B. Recht, NeurIPS 2007), and with ever more units it becomes a *kernel method*: one fits all of it in closed form, and learning by slopes is not needed. For 8 x 8 pixels it does well, as you saw. For photographs the random features would have to be too many, and the road of this course is the other one: fewer features, but learned.
