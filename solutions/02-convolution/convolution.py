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
#     prerequisites:
#     - 01-neurons
#     title: Convolution
# ---

# %% [markdown]
# # Convolution
#
# **210 minutes. You need unit 01 (a dense layer is `x @ w + b`) and NumPy slicing.**
#
# In the last unit every neuron looked at every pixel. Today you build the layer that replaced it. It is a small window of weights, moved over the picture. You will write it from nothing, first on a row of numbers, then on pictures, then on pictures with many channels. At the end, ten little windows, moved by your own code, read handwritten digits wherever they stand.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: you watch a dense layer fail | 10 |
# | 2 | `cross_correlate1d`: a window slides over a row | 25 |
# | 3 | `convolve1d`: the same with a flipped window, and what the flip buys | 20 |
# | 4 | `conv_output_size`, `pad_amount`: how large the result is | 20 |
# | 5 | `correlate2d`: pictures, the loop detector, a photograph | 25 |
# | 6 | `conv2d`: channels, filters, bias, stride, padding | 40 |
# | 7 | `locally_connected2d`, `count_parameters`: the three ideas inside a convolution | 45 |
# | 8 | a surprise: convolutions that nobody programmed | 20 |
# | 9 | the digits again | 5 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Pictures** are arrays `x` of shape `(N, C, H, W)`: number of pictures, channels, height, width. **Weights** are `w` of shape `(C_out, C_in, kH, kW)`: number of filters, channels of the input, kernel height, kernel width. $H$ and $W$ may differ. So may $k_H$ and $k_W$.
# - **Rows** (parts 2 and 3) are arrays `x` of shape `(n,)`, their kernels `w` of shape `(m,)`, and $m$ is at least 1.
# - **Kinds of numbers.** Arguments are NumPy arrays of float32 or float64. Pictures and rows may hold integers, too (a photograph is `uint8`: whole numbers from 0 to 255). The **result is a NumPy array, and it is always floating**. float64 is always right; float32 is right too where the arguments are float32.
# - **Views.** Arguments may be non-contiguous: a slice, a transpose, a reversed array.
# - **No argument is changed.** What was passed in is bit for bit the same afterwards. The result may share memory with an argument.
# - **Functions that count** (`conv_output_size`, `pad_amount`, `count_parameters`) take ints and return a whole number. Their docstrings say what they refuse.
# - **`stride` and `padding`** are Python ints, `stride >= 1`, `padding >= 0`. Padding adds that many zeros on *each* side. The kernel always fits into the padded picture.
# - **Speed does not count.** Python loops earn full marks. (Unit 05 makes them fast.)
#
# NumPy only. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" uses more pictures and shows the sliders
seed = 0

# %% locked=true
import os

import matplotlib.pyplot as plt
import numpy as np

from data import digits, photograph
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


def write_values(ax, values, form="{:.2f}"):
    """Write each of values (H, W) into its pixel."""
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = ax.images[0].to_rgba(value)
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
        ax.text(j, i, form.format(value), ha="center", va="center", color=colour, fontsize=8)


# The photograph, three times smaller (each pixel is the mean of 3 x 3), values from 0 to 1.
photo = photograph()
photo = photo[: photo.shape[0] // 3 * 3, : photo.shape[1] // 3 * 3] / 255
photo = photo.reshape(photo.shape[0] // 3, 3, photo.shape[1] // 3, 3, 3).mean(axis=(1, 3))
grey = photo.mean(axis=2)  # (142, 213)

# %% [markdown]
# ## 1. What could not be done until now
#
# A dense layer joins every input with every unit. Count what that costs. A film frame has 1920 x 1080 pixels in 3 colours. Join them with a hidden layer of 4 million units.

# %%
inputs = 1920 * 1080 * 3
print(f"inputs of one film frame        {inputs:>22,}")
print(f"weights to 4 million units      {inputs * 4_000_000:>22,}")
print(f"with the inputs rounded down    {6_000_000 * 4_000_000:>22,}   (6 million inputs)")
print(f"weights of ONE unit on 28x28x3  {28 * 28 * 3:>22,}")

# %% [markdown]
# Say 6 million inputs, times 4 million units: 24 **trillion** weights is the round figure to remember. (Exactly it is 24.9 trillion.) At four bytes each that is about 100 terabytes for one layer. And 2,352 is the price of **one** unit on a picture of 28 x 28 in colour. It is not the price of a layer.
#
# Suppose you had the memory. There is a second problem, and memory does not cure it. Here are two dense layers that read handwritten digits. The digits are 8 x 8 pixels, and they stand in the middle of a 16 x 16 canvas.
#
# - **Least squares**: the best 10 x 256 weights (and 10 biases) for 1,000 training digits, found in closed form.
# - **Templates**: unit number $c$ has the mean picture of all training digits $c$ as its weights, scaled to length 1. The unit with the largest response wins.
#
# **Predict.** The layers were trained on centred digits. You move the test digits to the right by 1, 2, 3, 4 pixels. What becomes of their accuracy? Say a number for 2 pixels before you run the cell.

# %% locked=true
handwritten = digits()
train_x, train_y = handwritten.images[:1000], handwritten.labels[:1000]
test_x, test_y = handwritten.images[1000:], handwritten.labels[1000:]
if profile == "quick":
    test_x, test_y = test_x[:100], test_y[:100]


def on_canvas(pictures, down=0, right=0, size=16):
    """Put pictures (N, 1, 8, 8) on a black canvas (N, 1, size, size), off its middle by (down, right)."""
    top, left = (size - 8) // 2 + down, (size - 8) // 2 + right
    canvas = np.zeros((len(pictures), 1, size, size))
    canvas[:, :, top : top + 8, left : left + 8] = pictures
    return canvas


# Templates: mean of each class, length 1. (10, 1, 8, 8)
templates = np.stack([train_x[train_y == c].mean(axis=0) for c in range(10)]).astype(float)
templates /= np.linalg.norm(templates, axis=(2, 3), keepdims=True)
template_rows = on_canvas(templates).reshape(10, 256)

# Least squares with a little ridge, targets +1 and -1. (257, 10), the last row is the bias
_inputs = np.c_[on_canvas(train_x).reshape(-1, 256), np.ones(len(train_x))]
_normal = _inputs.T @ _inputs + 10 * np.eye(257)
fitted = np.linalg.solve(_normal, _inputs.T @ (2 * np.eye(10)[train_y] - 1))

shifts = list(range(5))
accuracy = {"least squares": [], "templates": []}
for right in shifts:
    pixels = on_canvas(test_x, right=right).reshape(-1, 256)
    guess = {
        "least squares": (pixels @ fitted[:-1] + fitted[-1]).argmax(axis=1),
        "templates": (pixels @ template_rows.T).argmax(axis=1),
    }
    for name, labels in guess.items():
        accuracy[name].append(100 * float(np.mean(labels == test_y)))

# %% figure="shifted_digits"
fig = plt.figure(figsize=(7, 2.6), layout="constrained")
grid = fig.add_gridspec(1, 4, width_ratios=[1, 1, 1, 2.4])
for column, right in enumerate((0, 2, 4)):
    ax = fig.add_subplot(grid[column])
    show(ax, on_canvas(test_x[:1], right=right)[0, 0], f"moved {right} px")
ax = fig.add_subplot(grid[3])
for (name, values), style in zip(accuracy.items(), ("o-", "s--"), strict=True):
    ax.plot(shifts, values, style, label=name)
ax.axhline(10, color="gray", linewidth=1, linestyle=":", label="guessing")
ax.set(title="What does a dense layer know?", ylim=(0, 100))
ax.set(xlabel="shift of the test digits (pixels)", ylabel="accuracy (%)", xticks=shifts)
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three pictures of one handwritten digit, moved to the right by 0, 2 and 4 pixels, and the accuracy of two dense layers against the shift: both start well above 85 % and are at chance after two pixels.](figures/shifted_digits.png)
#
# Both start well above 85 %. Two pixels later both are at the level of guessing. Nothing about the digit has changed: you read it without noticing. But pixel (5, 6) of the canvas now feeds a weight that learned something about another part of the digit. A dense layer knows pixels, not shapes. It would have to learn every digit again at every place.
#
# </details>
#
# Keep the templates. In part 9 the very same numbers read every shifted digit. All you change is how they are *used*.

# %%
print(f"{'shift':<14}", " ".join(f"{right:4d} px" for right in shifts))
for name, values in accuracy.items():
    print(f"{name:<14}", " ".join(f"{value:5.1f} %" for value in values), f"  (n = {len(test_y)})")
    assert values[0] > 85
    assert values[2] < 30

# %% [markdown]
# ## 2. A window slides over a row
#
# **Idea.** What makes an edge an edge does not depend on where it is. So take few weights, look through a small window, write down one number, move the window by one, and use *the same weights again*.
#
# **Picture.** The row is `x`, the window is `w`, called the **kernel** or **filter**:
#
# ```
# x        1   2   4   7   0            x        1   2   4   7   0
# w       -1   0   1                    w           -1   0   1
# y[0] = -1*1 + 0*2 + 1*4 = 3           y[1] = -1*2 + 0*4 + 1*7 = 5
# ```
#
# One more step gives $y[2] = -4 + 0 = -4$. Then the window has reached the end. So $y = (3, 5, -4)$: five numbers and a window of three give three.
#
# **Formula.** For $x$ with $n$ numbers and $w$ with $m$ numbers
#
# $$y[i] = \sum_{k=0}^{m-1} x[i+k]\; w[k], \qquad i = 0, 1, \dots, n-m .$$
#
# This is called **cross-correlation**. Each $y[i]$ is a dot product: it is large where the piece of $x$ under the window looks like $w$. The kernel above subtracts the left neighbour from the right one. It answers "how steeply does the row rise here?"
#
# Two knobs belong to it.
#
# - **Padding** $p$: first put $p$ zeros at *each* end of $x$. Call the result $x_p$. It has $n + 2p$ numbers.
# - **Stride** $s$: move the window by $s$ instead of 1.
#
# With both, $$y[i] = \sum_{k=0}^{m-1} x_p[\,i\,s + k\,]\; w[k],$$
#
# for all $i$ whose window lies inside $x_p$. The last window starts at $n + 2p - m$ or before, so there are $\lfloor (n+2p-m)/s \rfloor + 1$ of them. ($\lfloor a \rfloor$ is $a$ rounded down, in Python `//`.) Part 4 derives this with care.

# %% [markdown]
# ### Exercise: `cross_correlate1d`
#
# *15 minutes, easy. What it is for: every convolution of this course is this function with more indices.*
#
# Write the sum above. Three tests check the sliding, the stride, and the padding (alone, then with a stride), so do them in this order.
#
# <details><summary>Hint 1: how to start</summary>
#
# Pad first: `np.pad(x, padding)` returns a new, longer array. From there on you need not think of padding again.
#
# </details>
# <details><summary>Hint 2: one output</summary>
#
# The piece under the window is `x_p[start : start + m]`. What is `start` for output number `i`?
#
# </details>
# <details><summary>Hint 3: floating results</summary>
#
# `np.zeros(n_out)` makes a floating array. A value that you store in it becomes floating too. And `np.asarray(x, dtype=float)` turns integers into floats before anything can overflow.
#
# </details>


# %% exercise="cross_correlate1d"
def cross_correlate1d(x, w, padding=0, stride=1):
    """Slide w (m,) over x (n,) and return the dot products (n_out,), floating.

    y[i] = sum over k of x_p[i*stride + k] * w[k], x_p being x with padding zeros at each end;
    n_out = (n + 2*padding - m) // stride + 1.
    """
    ### BEGIN SOLUTION
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    y = np.zeros(n_out)
    for i in range(n_out):
        start = i * stride
        y[i] = np.sum(x_p[start : start + m] * w)
    return y
    ### END SOLUTION


# %% tests="cross_correlate1d" part="slide" points=1
# A single 1 in the row meets the kernel's last number first: 3, then 2, then 1
check.close(
    cross_correlate1d(np.array([0.0, 0.0, 1.0, 0.0, 0.0]), np.array([1.0, 2.0, 3.0])),
    np.array([3.0, 2.0, 1.0]),
    what="cross_correlate1d of 0 0 1 0 0",
)
# The row of the text: y[0] = -1*1 + 0*2 + 1*4 = 3
check.close(
    cross_correlate1d(np.array([1.0, 2.0, 4.0, 7.0, 0.0]), np.array([-1.0, 0.0, 1.0])),
    np.array([3.0, 5.0, -4.0]),
    what="cross_correlate1d",
)
# Whole numbers in, a floating result out. y[0] = 0.5*1 + 0.5*2 = 1.5
check.close(
    cross_correlate1d(np.array([1, 2, 4]), np.array([0.5, 0.5])),
    np.array([1.5, 3.0]),
    what="cross_correlate1d of integers",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(201)
    for n, m in ((5, 2), (9, 4), (6, 6), (7, 1), (12, 5)):
        x, w = rng.standard_normal(n), rng.standard_normal(m)
        expected = np.array([sum(x[i + k] * w[k] for k in range(m)) for i in range(n - m + 1)])
        before = x.copy(), w.copy()
        check.close(cross_correlate1d(x, w), expected, what=f"cross_correlate1d, n={n}, m={m}")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")
    long = rng.standard_normal(20)
    expected = np.correlate(long[::-2], np.array([1.0, 0.0, 2.0]))
    check.close(
        cross_correlate1d(long[::-2], np.array([1.0, 0.0, 2.0])),
        expected,
        what="cross_correlate1d of a reversed slice",
    )
    small = rng.standard_normal(8).astype(np.float32)
    expected = np.correlate(small.astype(float), np.array([2.0, 1.0]))
    check.close(
        cross_correlate1d(small, np.array([2, 1], dtype=np.float32)),
        expected,
        what="cross_correlate1d in float32",
        rtol=1e-4,
        atol=1e-5,
    )
    bytes_ = np.array([200, 100, 250, 30], dtype=np.uint8)
    check.close(
        cross_correlate1d(bytes_, np.array([3.0, 2.0])),
        np.array([800.0, 800.0, 810.0]),
        what="cross_correlate1d of uint8",
    )
    x, w = rng.standard_normal(9), rng.standard_normal(4)
    expected = np.correlate(x, w)
    check.close(
        cross_correlate1d(x, w),
        expected,
        what="cross_correlate1d of float64, all its digits",
        rtol=1e-10,
        atol=1e-12,
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_correlate1d" part="stride" points=1
# Windows start at 0, 2, 4: 1*1 + 2*2 = 5, 1*3 + 2*4 = 11, 1*5 + 2*6 = 17
check.close(
    cross_correlate1d(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 2.0]), stride=2),
    np.array([5.0, 11.0, 17.0]),
    what="cross_correlate1d, stride 2",
)
# A fourth window would start at 6 and stick out: the last number is never seen
check.close(
    cross_correlate1d(
        np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), np.array([1.0, 2.0]), stride=2
    ),
    np.array([5.0, 11.0, 17.0]),
    what="cross_correlate1d, stride 2, one number left over",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(202)
    for n, m, stride in ((9, 2, 3), (10, 3, 2), (10, 4, 3), (11, 5, 2), (8, 1, 3), (5, 5, 2)):
        x, w = rng.standard_normal(n), rng.standard_normal(m)
        expected = np.correlate(x, w)[::stride]
        check.close(
            cross_correlate1d(x, w, stride=stride),
            expected,
            what=f"cross_correlate1d, n={n}, m={m}, stride={stride}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_correlate1d" part="padding" points=1
# One zero at each end: 1*0 + 2*1 = 2, then 1*1 + 2*3 = 7, 1*3 + 2*5 = 13, and 1*5 + 2*0 = 5
check.close(
    cross_correlate1d(np.array([1.0, 3.0, 5.0]), np.array([1.0, 2.0]), padding=1),
    np.array([2.0, 7.0, 13.0, 5.0]),
    what="cross_correlate1d, padding 1",
)
# Windows start at 0 and 2 of 0 1 3 5 0: 1*0 + 2*1 = 2, 1*3 + 2*5 = 13
check.close(
    cross_correlate1d(np.array([1.0, 3.0, 5.0]), np.array([1.0, 2.0]), padding=1, stride=2),
    np.array([2.0, 13.0]),
    what="cross_correlate1d, padding 1, stride 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(203)
    for n, m in ((8, 3), (9, 2), (5, 5), (6, 4), (4, 5), (3, 3)):
        for padding in (1, 2, 3):
            for stride in (1, 2, 3):
                x, w = rng.standard_normal(n), rng.standard_normal(m)
                before = x.copy(), w.copy()
                zeros = np.zeros(padding)
                row = np.concatenate([zeros, x, zeros])
                starts = range(0, len(row) - m + 1, stride)
                expected = np.array([row[start : start + m] @ w for start in starts])
                check.close(
                    cross_correlate1d(x, w, padding, stride),
                    expected,
                    what=f"cross_correlate1d, n={n}, m={m}, padding={padding}, stride={stride}",
                )
                check.unchanged(before[0], x, what="x")
                check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** One row of pixels of the photograph, and the kernel $(-1, 0, 1)$ on it.
#
# **Predict.** The row crosses a roof against the sky. Where will the result be far from zero: where the row is bright, where it is dark, or somewhere else?

# %% figure="slide1d"
row = grey[55]
slope = cross_correlate1d(row, np.array([-1.0, 0.0, 1.0]), padding=1)
fig, axes = plt.subplots(
    3, 1, figsize=(6.4, 4), sharex=True, layout="constrained", height_ratios=[1.4, 1, 1]
)
axes[0].imshow(grey, cmap="gray", aspect="auto")
axes[0].axhline(55, color="white", linewidth=2)
axes[0].axhline(55, color="black", linewidth=1, linestyle="--")
axes[0].set(title="The window slides along the dashed row", ylabel="row (pixels)")
axes[1].plot(row, color="black")
axes[1].set(ylabel="brightness\n(0 to 1)")
axes[2].plot(slope, color="C0")
axes[2].axhline(0, color="gray", linewidth=0.5)
axes[2].set(title="what (-1, 0, 1) answers", ylabel="response")
axes[2].set(xlabel="column (pixels)")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A grey photograph with one row marked; below it the brightness along this row; below that the response of the kernel, near zero where brightness is constant and with tall peaks where it jumps.](figures/slide1d.png)
#
# Somewhere else: the kernel responds to change, not to brightness. A bright stretch and a dark stretch both give nearly 0. The response is large where the brightness *jumps*: positive where it rises, negative where it falls. The very first and last values are an exception: the zeros of the padding look like a black wall beside the picture.
#
# </details>

# %% [markdown]
# ## 3. Convolution is the same with a flipped kernel
#
# **Idea.** Mathematicians had the word first, and they meant something slightly different. For endless sequences
#
# $$(x * w)[i] = \sum_{k=-\infty}^{\infty} x[i-k]\; w[k] .$$
#
# There is a **minus**. While $k$ walks forward through $w$, it walks backward through $x$.
#
# **Picture.** Cut this down to arrays. The window of output $i$ covers $x_p[i], \dots, x_p[i+m-1]$, as before. Walking backward through it means to begin at its last number:
#
# ```
# x        1   2   4   7                 x        1   2   4   7
# w       w2  w1  w0                     w           w2  w1  w0
# y[0] = x[2] w0 + x[1] w1 + x[0] w2     y[1] = x[3] w0 + x[2] w1 + x[1] w2
# ```
#
# **Formula.** Counting from 0, as Python does,
#
# $$y[i] = \sum_{k=0}^{m-1} x_p[\,i + m - 1 - k\,]\; w[k] .$$
#
# Check the two ends. For $k=0$ the index is $i+m-1$, the last number of the window. For $k=m-1$ it is $i$, the first. (Many texts print $i+m-k$. That is right when you count from 1. In Python it reads one number too far.)
#
# Put $k' = m-1-k$. As $k$ runs from $0$ to $m-1$, $k'$ runs from $m-1$ to $0$. The sum becomes
#
# $$y[i] = \sum_{k'=0}^{m-1} x_p[\,i + k'\,]\; w[\,m-1-k'\,] :$$
#
# **a convolution is a cross-correlation with the kernel read from the end.**
#
# **Which one do neural networks use?** Cross-correlation, and they call it convolution. `torch.nn.Conv2d` does not flip. Nothing is lost: the weights are learned, and where one layer learns $w$ the other learns $w$ flipped. You will meet both, so you must be able to tell them apart.

# %% [markdown]
# ### Exercise: `convolve1d`
#
# *10 minutes, easy. What it is for: signal processing, older papers and `np.convolve` flip. `conv2d` does not. Whoever mixes them up gets mirrored filters and no error message.*
#
# Same arguments as before; the kernel is flipped. With a stride, the window of output $i$ starts at $i\,s$.
#
# <details><summary>Hint 1</summary>
#
# Only the kernel is turned around. The row, the windows and the size of the result stay as they were.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `w[::-1]` is a reversed *view* of `w`. Making it changes nothing in `w`. Writing into `w` does.
#
# </details>


# %% exercise="convolve1d"
def convolve1d(x, w, padding=0, stride=1):
    """Convolve x (n,) with w (m,), the kernel flipped -> (n_out,), floating.

    y[i] = sum over k of x_p[i*stride + m - 1 - k] * w[k]; n_out = (n + 2*padding - m) // stride + 1.
    """
    ### BEGIN SOLUTION
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    y = np.zeros(n_out)
    for i in range(n_out):
        for k in range(m):
            y[i] += x_p[i * stride + m - 1 - k] * w[k]
    return y
    ### END SOLUTION


# %% tests="convolve1d" part="flip" points=1
# A convolution copies the kernel to where the 1 is
check.close(
    convolve1d(np.array([0.0, 0.0, 1.0, 0.0, 0.0]), np.array([1.0, 2.0, 3.0])),
    np.array([1.0, 2.0, 3.0]),
    what="convolve1d of 0 0 1 0 0",
)
# The window 1, 2, 4 is read backward: y[0] = 4*1 + 2*2 + 1*3 = 11
check.close(
    convolve1d(np.array([1.0, 2.0, 4.0, 7.0]), np.array([1.0, 2.0, 3.0])),
    np.array([11.0, 21.0]),
    what="convolve1d",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(204)
    for n, m in ((5, 2), (9, 4), (6, 6), (7, 1), (12, 5)):
        x, w = rng.standard_normal(n), rng.standard_normal(m)
        before = x.copy(), w.copy()
        expected = np.convolve(x, w, mode="valid")
        check.close(convolve1d(x, w), expected, what=f"convolve1d, n={n}, m={m}")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")
    check.close(
        convolve1d(np.array([1, 2, 4, 8]), np.array([0.5, 0.25])),
        np.array([1.25, 2.5, 5.0]),
        what="convolve1d of integers",
    )
    bytes_ = np.array([200, 100, 250, 30], dtype=np.uint8)
    check.close(
        convolve1d(bytes_, np.array([3.0, 2.0])),
        np.array([700.0, 950.0, 590.0]),
        what="convolve1d of uint8",
    )
    x, w = rng.standard_normal(9), rng.standard_normal(4)
    expected = np.convolve(x, w, mode="valid")
    check.close(
        convolve1d(x, w),
        expected,
        what="convolve1d of float64, all its digits",
        rtol=1e-10,
        atol=1e-12,
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="convolve1d" part="options" points=1
# Zeros at both ends, windows start at 0, 2, 4 of 0 1 3 5 2 0: 1*1 + 2*0, 1*5 + 2*3, 1*0 + 2*2
check.close(
    convolve1d(np.array([1.0, 3.0, 5.0, 2.0]), np.array([1.0, 2.0]), padding=1, stride=2),
    np.array([1.0, 11.0, 4.0]),
    what="convolve1d, padding 1, stride 2",
)
# Windows 2 0 1 and 1 4 3, read backward: 1*1 + 3*0 + 2*2 = 5, 1*3 + 3*4 + 2*1 = 17. The last 1 is not seen
check.close(
    convolve1d(np.array([2.0, 0.0, 1.0, 4.0, 3.0, 1.0]), np.array([1.0, 3.0, 2.0]), stride=2),
    np.array([5.0, 17.0]),
    what="convolve1d, stride 2, one number left over",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(205)
    for n, m in ((8, 3), (9, 2), (5, 5), (6, 4)):
        for padding in (0, 1, 2):
            for stride in (1, 2, 3):
                x, w = rng.standard_normal(n), rng.standard_normal(m)
                before = x.copy(), w.copy()
                zeros = np.zeros(padding)
                row = np.concatenate([zeros, x, zeros])
                expected = np.convolve(row, w, mode="valid")[::stride]
                check.close(
                    convolve1d(x, w, padding, stride),
                    expected,
                    what=f"convolve1d, n={n}, m={m}, padding={padding}, stride={stride}",
                )
                check.unchanged(before[0], x, what="x")
                check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** An **impulse** is a row of zeros with a single 1. Feed it to both functions, with the kernel $(1, 2, 3, 0, 0)$.
#
# **Predict.** One of the two results is an exact copy of the kernel, the other is its mirror image. Which is which?

# %% figure="flip1d"
impulse = np.zeros(11)
impulse[5] = 1
ramp = np.array([1.0, 2.0, 3.0, 0.0, 0.0])
results = {
    "the kernel": ramp,
    "cross_correlate1d of an impulse": cross_correlate1d(impulse, ramp, padding=2),
    "convolve1d of an impulse": convolve1d(impulse, ramp, padding=2),
}
fig, axes = plt.subplots(
    1, 3, figsize=(6.6, 2), sharey=True, layout="constrained", width_ratios=[1, 2, 2]
)
for ax, (title, values) in zip(axes, results.items(), strict=True):
    ax.bar(np.arange(len(values)), values, color="C0")
    ax.set(title=title, xlabel="position", xticks=range(0, len(values), 2))
axes[0].set(ylabel="value")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three bar charts: the kernel with bars 1, 2, 3; the cross-correlation of an impulse with it, bars 3, 2, 1; the convolution of an impulse with it, bars 1, 2, 3.](figures/flip1d.png)
#
# Convolution copies the kernel to wherever the impulse is. The formula for endless rows says why: $x[i-k]$ is 1 only for $k = i - 5$, so $y[i] = w[i-5]$. (In the arrays the windows begin two places earlier, because of the padding.) Cross-correlation has $x[i+k]$, so $k = 5 - i$, and $y[i] = w[5-i]$: backward.
#
# </details>
#
# **What the flip buys.** Let the rows be endless (zeros outside). Put $j = i-k$ in the definition:
#
# $$(x*w)[i] = \sum_k x[i-k]\,w[k] = \sum_j x[j]\,w[i-j] = (w*x)[i].$$
#
# Convolution does not care which one is the picture and which the kernel: it is **commutative**. It is **associative** as well, $(x*v)*w = x*(v*w)$: two filters in a row are one filter. Cross-correlation with swapped arguments comes out mirrored. With "full" padding (every overlap counts, $p = m-1$) your arrays behave like endless rows:

# %%
signal, kernel = np.array([1.0, 5.0, 2.0, 0.0, 3.0]), np.array([1.0, 2.0, -1.0])
print("x conv w ", convolve1d(signal, kernel, padding=len(kernel) - 1))
print("w conv x ", convolve1d(kernel, signal, padding=len(signal) - 1))
print("x corr w ", cross_correlate1d(signal, kernel, padding=len(kernel) - 1))
print("w corr x ", cross_correlate1d(kernel, signal, padding=len(signal) - 1), " <- mirrored")

# %% [markdown]
# ## 4. How large is the result?
#
# **Idea.** Count the places where the window may start.
#
# **Derivation.** The padded row has $n + 2p$ numbers. A window of $m$ covers $m$ of them. Sometimes kernels are **dilated**: their numbers are read with gaps, every $d$-th number of the row. There are $m-1$ gaps between $m$ numbers, each gap is a step of $d$, and the first number itself counts 1. So the window spans $d\,(m-1) + 1$. For $d=1$ this is $m$.
#
# ```
# m = 3, d = 1:   w w w          spans 3
# m = 3, d = 2:   w . w . w      spans 5 = 2*(3-1) + 1
# ```
#
# The first window starts at 0. The last one may start at $L = n + 2p - d\,(m-1) - 1$, where its end touches the end of the row. Windows start at $0, s, 2s, \dots$, as long as they are not past $L$. The largest multiple of $s$ that is not past $L$ is number $\lfloor L/s \rfloor$, and number 0 counts too:
#
# $$o = \left\lfloor \frac{n + 2p - d\,(m-1) - 1}{s} \right\rfloor + 1 \qquad \left(\text{for } d = 1:\ \left\lfloor \frac{n+2p-m}{s} \right\rfloor + 1\right).$$
#
# **When the division does not come out even**, the rest is dropped: those last rows and columns of the picture are never seen. No error, no extra zero. You round **down**. In pictures the formula holds for the height and for the width, each with its own $n$ and $m$.

# %% [markdown]
# ### Exercise: `conv_output_size`
#
# *5 minutes, easy. What it is for: many error messages of your first networks are about sizes. This is the only formula that you need to know by heart.*
#
# (Dilation appears here and nowhere else in this unit. You build dilated convolutions in unit 05.)
#
# <details><summary>Hint 1</summary>
#
# Work out by hand: $n=7$, $m=3$, $s=3$. Where do the windows start? Count them, then let your function count.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `a // b` rounds down and keeps ints ints. `a / b` gives a float.
#
# </details>


# %% exercise="conv_output_size"
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Number of windows of m numbers, dilation apart, on n numbers with padding on both sides -> int."""
    ### BEGIN SOLUTION
    span = dilation * (m - 1) + 1
    return (n + 2 * padding - span) // stride + 1
    ### END SOLUTION


# %% tests="conv_output_size" part="floor" points=1
check.equal(conv_output_size(5, 3), 3, what="conv_output_size(5, 3)")
check.equal(conv_output_size(28, 5, padding=2), 28, what="conv_output_size(28, 5, padding=2)")
# Windows start at 0, 3: a third at 6 would stick out of 7 numbers
check.equal(conv_output_size(7, 3, stride=3), 2, what="conv_output_size(7, 3, stride=3)")
# Windows start at 0, 2: a third at 4 would stick out of 6 numbers
check.equal(conv_output_size(6, 3, stride=2), 2, what="conv_output_size(6, 3, stride=2)")
# 7 numbers with the padding, windows of 1 start at 0 and 4
check.equal(conv_output_size(5, 1, 1, 4), 2, what="conv_output_size(5, 1, padding=1, stride=4)")
check.equal(conv_output_size(63, 7, stride=2), 29, what="conv_output_size(63, 7, stride=2)")


### BEGIN HIDDEN TESTS
def _hidden():
    for n in (5, 6, 11, 224):
        for m in (1, 2, 3, 5):
            for padding in (0, 1, 2):
                for stride in (1, 2, 3, 4):
                    starts = range(0, n + 2 * padding - m + 1, stride)
                    check.equal(
                        conv_output_size(n, m, padding, stride),
                        len(starts),
                        what=f"conv_output_size({n}, {m}, padding={padding}, stride={stride})",
                    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv_output_size" part="dilation" points=1
# Three numbers, two apart, span 5
check.equal(conv_output_size(7, 3, dilation=2), 3, what="conv_output_size(7, 3, dilation=2)")
check.equal(
    conv_output_size(16, 3, padding=4, dilation=4),
    16,
    what="conv_output_size(16, 3, padding=4, dilation=4)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    for n in (13, 20):
        for m in (1, 2, 3, 4):
            for padding in (0, 1, 2):
                for dilation in (1, 2, 3):
                    last = n + 2 * padding - (dilation * (m - 1) + 1)
                    for stride in (1, 2, 3):
                        if last % stride == 0:
                            check.equal(
                                conv_output_size(n, m, padding, stride, dilation),
                                len(range(0, last + 1, stride)),
                                what=f"conv_output_size({n}, {m}, padding={padding}, "
                                f"stride={stride}, dilation={dilation})",
                            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Why pad at all?** Two reasons. Without padding every layer eats $m-1$ rows and columns: of a 28 x 28 picture, 13 layers of 3 x 3 leave 2 x 2 pixels, and a 14th does not fit. And the pixels are not treated alike. Count how many windows see each pixel.
#
# **Predict.** A 3 x 3 window slides over 7 x 9 pixels without padding. How many windows see a corner pixel? How many see a pixel in the middle?


# %% figure="visits"
def count_visits(height, width, m, padding=0, stride=1):
    """How many m x m windows see each pixel: (height, width), the padding cut off."""
    seen = np.zeros((height + 2 * padding, width + 2 * padding))
    for i in range(conv_output_size(height, m, padding, stride)):
        for j in range(conv_output_size(width, m, padding, stride)):
            seen[i * stride : i * stride + m, j * stride : j * stride + m] += 1
    return seen[padding : padding + height, padding : padding + width]


fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.3), layout="constrained")
for ax, padding, name in zip(axes, (0, 1, 2), ("valid", "same", "full"), strict=True):
    visits = count_visits(7, 9, 3, padding)
    show(ax, visits, f"{name}, p = {padding}", cmap="cividis", vmin=0, vmax=9)
    write_values(ax, visits, "{:.0f}")
fig.suptitle("How many windows see each pixel?", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three tables of 7 by 9 counts. Without padding the corner has 1 and the middle 9; with one ring of zeros the corner has 4; with two rings every pixel has 9.](figures/visits.png)
#
# Without padding a corner is seen once, the middle nine times. The corner is in one window only, with its own corner. A pixel in the middle is in $k_H \cdot k_W = 9$ windows, once at each place of the kernel. So without padding the rim of a picture hardly counts. One ring of zeros helps, two make it fair.
#
# </details>
#
# Three amounts of padding have names. They are meant for stride 1.
#
# | mode | padding $p$ | size of the result | use |
# |---|---|---|---|
# | valid | $0$ | $n-m+1$ | no invented zeros |
# | same | $(m-1)/2$ | $n$ | the usual choice in networks: layers can be stacked without thinking of sizes |
# | full | $m-1$ | $n+m-1$ | each overlap counts, down to one number; usual in signal processing, rare in networks |
#
# **Derivation of "same".** You want $n + 2p - m + 1 = n$, so $2p = m-1$. For an odd $m$ half of $m-1$ is whole. For an **even** $m$ it is not: one side would need a zero more than the other, and a single number $p$ cannot say that. Libraries that offer it put the extra zero on one side, and the picture moves by half a pixel. Our contract: `pad_amount("same", m)` **raises a `ValueError` for an even `m`**. This is one reason why most kernels are 3, 5 or 7 wide.

# %% [markdown]
# ### Exercise: `pad_amount`
#
# *5 minutes, easy. What it is for: naming what you mean. Half of the marks are for refusing what cannot be done.*
#
# Return the padding as an int for `"full"`, `"same"`, `"valid"`. Raise `ValueError` for "same" with an even `m`, and for any other mode. A good error message names what was wrong and what was allowed.
#
# <details><summary>Hint</summary>
#
# `if mode == "same": ...` three times, and what is left at the end is an unknown mode. `raise ValueError(f"...")`.
#
# </details>


# %% exercise="pad_amount"
def pad_amount(mode, m):
    """Zeros to put on each side for a kernel of m numbers: mode "full", "same" or "valid" -> int.

    Raises ValueError for an unknown mode and for "same" with an even m, which needs unequal sides.
    """
    ### BEGIN SOLUTION
    if mode == "full":
        return m - 1
    if mode == "same":
        if m % 2 == 0:
            raise ValueError(f"same padding needs an odd kernel, m (={m}) is even")
        return (m - 1) // 2
    if mode == "valid":
        return 0
    raise ValueError(f'unknown mode "{mode}", expected "full", "same" or "valid"')
    ### END SOLUTION


# %% tests="pad_amount" part="modes" points=1
check.equal(pad_amount("valid", 5), 0, what='pad_amount("valid", 5)')
check.equal(pad_amount("same", 5), 2, what='pad_amount("same", 5)')
check.equal(pad_amount("full", 5), 4, what='pad_amount("full", 5)')
check.equal(pad_amount("full", 4), 3, what='pad_amount("full", 4)')


### BEGIN HIDDEN TESTS
def _hidden():
    for m in range(1, 12):
        check.equal(pad_amount("valid", m), 0, what=f'pad_amount("valid", {m})')
        check.equal(pad_amount("full", m), m - 1, what=f'pad_amount("full", {m})')
        if m % 2:
            check.equal(pad_amount("same", m), m // 2, what=f'pad_amount("same", {m})')


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="pad_amount" part="refuses" points=1
check.raises(ValueError, pad_amount, "same", 4, what='pad_amount("same", 4)')
check.raises(ValueError, pad_amount, "some", 3, what='pad_amount("some", 3)')


### BEGIN HIDDEN TESTS
def _hidden():
    check.raises(ValueError, pad_amount, "same", 2, what='pad_amount("same", 2)')
    check.raises(ValueError, pad_amount, "sane", 3, what='pad_amount("sane", 3)')
    check.raises(ValueError, pad_amount, "", 5, what='pad_amount("", 5)')


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Play.** Where do the windows lie, and what is never seen? Each cross is the first pixel of a window. Numbers say how many windows see a pixel; the frame is the picture itself, and outside it is padding (none at first). Change the numbers in the last line of the cell. In JupyterLab you get sliders.
#
# **Predict.** Without padding, which stride makes a 3 x 3 kernel touch no pixel twice and leave no gaps between windows? Which leaves gaps? And with stride 2 on 7 x 10 pixels: is there a pixel that no window sees?


# %% figure="windows"
def draw_windows(height=7, width=10, m=3, padding=0, stride=2):
    """Draw how often m x m windows see each padded pixel of a height x width picture."""
    rows = conv_output_size(height, m, padding, stride)
    columns = conv_output_size(width, m, padding, stride)
    seen = np.zeros((height + 2 * padding, width + 2 * padding))
    for i in range(rows):
        for j in range(columns):
            seen[i * stride : i * stride + m, j * stride : j * stride + m] += 1
    _, ax = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
    unseen = int(np.sum(seen[padding : padding + height, padding : padding + width] == 0))
    title = (
        f"m = {m}, p = {padding}, s = {stride}: result {rows} x {columns}, {unseen} pixels unseen"
    )
    show(ax, seen, title, cmap="cividis", vmin=0, vmax=seen.max())
    write_values(ax, seen, "{:.0f}")
    tops, lefts = np.meshgrid(np.arange(rows) * stride, np.arange(columns) * stride)
    ax.plot(lefts.ravel() - 0.3, tops.ravel() - 0.3, "x", color="white", markersize=5)
    corner = (padding - 0.5, padding - 0.5)
    ax.add_patch(plt.Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=2))
    plt.show()


draw_windows(height=7, width=10, m=3, padding=0, stride=2)

# %%
# Sliders need a page to live in. Without them the figure above is all there is to see.
sliders = profile == "full" or "JPY_SESSION_NAME" in os.environ
if sliders:
    from ipywidgets import interact

    interact(draw_windows, height=(5, 12), width=(5, 12), m=(1, 5), padding=(0, 3), stride=(1, 4))

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A table of 7 by 10 counts, the first pixels of the windows marked by crosses: a 3 by 3 kernel without padding and with stride 2 gives 3 by 4 windows, and the last column, 7 pixels, has count 0.](figures/windows.png)
#
# Stride 3 tiles: each pixel is seen once (and a rest may be seen never). Stride 4 is larger than the kernel and leaves gaps *between* windows. Stride 1 and 2 overlap. With stride 2 the windows begin in columns 0, 2, 4, 6. The last one ends in column 8, so the seven pixels of column 9 are thrown away. One ring of zeros would save them: try it.
#
# </details>

# %% [markdown]
# ## 5. Pictures
#
# **Idea.** The window becomes a rectangle. It slides to the right and down.
#
# **Formula.** For one picture $x$ of shape $(H, W)$ and one kernel $w$ of shape $(k_H, k_W)$
#
# $$y[i,j] = \sum_{k_1=0}^{k_H-1}\ \sum_{k_2=0}^{k_W-1} x[\,i+k_1,\ j+k_2\,]\; w[k_1,k_2].$$
#
# This is cross-correlation. The convolution of mathematics has two minus signs, $x[\,i-k_1,\ j-k_2\,]$: the kernel is flipped along *both* axes, which turns it by 180 degrees. That is `w[::-1, ::-1]`, not the transpose. (Mind the second index: it is $j-k_2$. With $j-k_1$, as some notes have it, $k_2$ would never reach the picture.)
#
# **By hand.** $x$ is 2 x 3, $w$ is 2 x 2. The result has $2-2+1 = 1$ row and $3-2+1 = 2$ columns.
#
# ```
# x   1 2 0      w   1 3      y[0,0] = 1*1 + 3*2 + 0*0 + 2*1 = 9
#     0 1 3          0 2      y[0,1] = 1*2 + 3*0 + 0*1 + 2*3 = 8
# ```

# %% [markdown]
# ### Exercise: `correlate2d`
#
# *10 minutes, easy. What it is for: the heart of `conv2d`, without anything around it.*
#
# One picture, one kernel, no padding, stride 1.
#
# <details><summary>Hint 1</summary>
#
# Two loops, over $i$ and $j$. The window is one slice with two ranges.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `np.sum(window * w)` multiplies number by number and adds everything up. (`window @ w` is a matrix product and something else.)
#
# </details>


# %% exercise="correlate2d"
def correlate2d(x, w):
    """Cross-correlate x (H, W) with w (kH, kW) -> (H-kH+1, W-kW+1), floating. No padding."""
    ### BEGIN SOLUTION
    kH, kW = w.shape
    H_out, W_out = x.shape[0] - kH + 1, x.shape[1] - kW + 1
    x = np.asarray(x, dtype=float)
    y = np.zeros((H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW] * w)
    return y
    ### END SOLUTION


# %% tests="correlate2d" part="square" points=1
# A single 1 in the middle meets the kernel's last number first
check.close(
    correlate2d(
        np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
    ),
    np.array([[4.0, 3.0], [2.0, 1.0]]),
    what="correlate2d of a single 1",
)
# y[0, 0] = 1*2 + 2*1 + 3*5 + 4*0 = 19
check.close(
    correlate2d(
        np.array([[2.0, 1.0, 2.0], [5.0, 0.0, 1.0], [1.0, 7.0, 3.0]]),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
    ),
    np.array([[19.0, 9.0], [36.0, 35.0]]),
    what="correlate2d, a square picture",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(206)
    for n, m in ((4, 2), (5, 3), (4, 4), (6, 1)):
        x, w = rng.standard_normal((n, n)), rng.standard_normal((m, m))
        before = x.copy(), w.copy()
        size = n - m + 1
        expected = np.zeros((size, size))
        for i in range(m):
            for j in range(m):
                expected += w[i, j] * x[i : i + size, j : j + size]
        check.close(correlate2d(x, w), expected, what=f"correlate2d, {n} x {n} with {m} x {m}")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="correlate2d" part="shapes" points=1
# The example of the text: 2 x 3 with 2 x 2
check.close(
    correlate2d(np.array([[1, 2, 0], [0, 1, 3]]), np.array([[1, 3], [0, 2]])),
    np.array([[9.0, 8.0]]),
    what="correlate2d, integers, 2 x 3 with 2 x 2",
)
# A kernel of 3 x 2. y[0, 0] = 1*1 + 3*0 + 0*1, plus 0*0 + 1*2 + 2*1, column by column: 5
check.close(
    correlate2d(
        np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 1.0, 4.0]]),
        np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
    ),
    np.array([[5.0, 3.0], [9.0, 8.0]]),
    what="correlate2d, 4 x 3 with 3 x 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(207)
    for H, W, kH, kW in ((5, 8, 3, 2), (7, 4, 2, 4), (3, 6, 3, 1), (6, 5, 1, 3), (4, 7, 4, 7)):
        x, w = rng.standard_normal((W, H)).T, rng.standard_normal((kH, kW))
        before = x.copy(), w.copy()
        H_out, W_out = H - kH + 1, W - kW + 1
        expected = np.zeros((H_out, W_out))
        for i in range(kH):
            for j in range(kW):
                expected += w[i, j] * x[i : i + H_out, j : j + W_out]
        check.close(correlate2d(x, w), expected, what=f"correlate2d, {H} x {W} with {kH} x {kW}")
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")
    check.close(
        correlate2d(np.full((2, 3), 200, dtype=np.uint8), np.full((2, 1), 0.75)),
        np.full((1, 3), 300.0),
        what="correlate2d of uint8",
    )
    check.close(
        correlate2d(
            np.array([[190, 90, 11], [60, 5, 80]], dtype=np.uint8),
            np.array([[3.0, 2.0], [1.0, 4.0]]),
        ),
        np.array([[830.0, 617.0]]),
        what="correlate2d of a uint8 picture",
    )
    x, w = rng.standard_normal((4, 5)), rng.standard_normal((2, 3))
    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            expected[i, j] = np.sum(x[i : i + 2, j : j + 3] * w)
    check.close(
        correlate2d(x, w),
        expected,
        what="correlate2d of float64, all its digits",
        rtol=1e-10,
        atol=1e-12,
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### The loop detector
#
# Here is a 9 on 7 x 5 pixels, white 1 and black $-1$. And here is a kernel that looks like its head: a ring of ones with $-1$ in the middle. Divide by 9, and a perfect match gives exactly 1: nine agreements, each $1/9$. Each disagreement takes $2/9$ away.
#
# **Predict.** The map will have $5 \times 3$ numbers. Where is the 1?


# %%
def picture_of(*lines):
    """A picture of 1 (#) and -1 (.)."""
    return np.array([[1.0 if mark == "#" else -1.0 for mark in line] for line in lines])


nine = picture_of(".###.", ".#.#.", ".###.", "...#.", "...#.", "..#..", ".#...")
loop = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
loopy_map = correlate2d(nine, loop) / 9
print(loopy_map.round(2))

# %% figure="loopy_nine"
fig, axes = plt.subplots(1, 3, figsize=(6, 2.9), layout="constrained", width_ratios=[5, 3, 3])
show(axes[0], nine, "a nine (7 x 5)", vmin=-1, vmax=1)
show(axes[1], loop, "looks for this (3 x 3)", vmin=-1, vmax=1)
show(axes[2], loopy_map, "feature map (5 x 3)", signed=True, limit=1)
write_values(axes[2], loopy_map)
axes[0].add_patch(plt.Rectangle((0.5, -0.45), 3, 3, fill=False, edgecolor="tab:cyan", linewidth=3))
fig.suptitle("A kernel that looks like a head, slid over a nine", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A nine in white on black with its head framed, the ring-shaped kernel, and the map of 5 by 3 numbers with 1.00 at the top in the middle.](figures/loopy_nine.png)
#
# The 1 stands in row 0, column 1: the window that starts one pixel to the right of the corner covers the head exactly. No other place comes near it. Now check your numbers: the second row starts with $-0.56$ ($= -5/9$: two pixels agree, seven do not), and the last two rows are $(-0.56, -0.11, -0.56)$ and $(-0.33, -0.56, -0.33)$. Printed versions of this example have other numbers there. Yours are right: the next cell makes sure.
#
# </details>

# %%
check.close(loopy_map[0], np.array([-1, 9, -1]) / 9, what="first row")
check.close(loopy_map[1, 0], -5 / 9, what="second row, first number")
check.close(loopy_map[3:], np.array([[-5, -1, -5], [-3, -5, -3]]) / 9, what="last two rows")

# %% [markdown]
# Such a result is called a **feature map**: a picture again, whose brightness says "how much of my feature is here?"
#
# **Predict.** You show the same nine weights a 6, an 8, and the number 96. How many peaks does each map have, and where?

# %% figure="loopy_family"
six = nine[::-1, ::-1]
eight = picture_of(".....", ".###.", ".#.#.", ".###.", ".#.#.", ".###.", ".....")
family = {"9": nine, "6": six, "8": eight, "96": np.concatenate([nine, six], axis=1)}
fig, axes = plt.subplots(2, 4, figsize=(6.6, 3.6), layout="constrained", width_ratios=[5, 5, 5, 10])
for column, (name, picture) in enumerate(family.items()):
    feature_map = correlate2d(picture, loop) / 9
    peaks = np.argwhere(feature_map > 0.99)
    show(axes[0, column], picture, f"picture {name}", vmin=-1, vmax=1)
    count = f"{len(peaks)} peak" + "s" * (len(peaks) > 1)
    drawn = show(axes[1, column], feature_map, count, signed=True, limit=1)
    axes[1, column].plot(
        peaks[:, 1], peaks[:, 0], "o", markersize=9, markerfacecolor="none", markeredgecolor="white"
    )
    for top, left in peaks:
        frame = plt.Rectangle(
            (left - 0.45, top - 0.45), 2.9, 2.9, fill=False, edgecolor="tab:cyan", linewidth=2
        )
        axes[0, column].add_patch(frame)
fig.colorbar(drawn, ax=axes[1], label="match (-1 to 1)")
fig.suptitle("The same nine weights on four pictures", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Pictures of 9, 6, 8 and 96 with their loops framed, and below each its feature map with a ring at every peak: one, one, two and two.](figures/loopy_family.png)
#
# One, one, two, two: nine weights find every loop, wherever it is. The peak of the 6 has moved down with its loop. The 8 has two loops that share three pixels, and both are found. And 96 is a wider picture: nobody had to tell the kernel. A dense layer for 35 pixels could not even have been *applied* to 70.
#
# </details>

# %% [markdown]
# ### Edge, blur, sharpen
#
# Before kernels were learned they were designed. Four famous ones on the photograph:
#
# - **blur**, 5 x 5: every weight is $1/25$, so the result is the mean of the window.
# - **vertical edges**: right minus left, with the middle row counted twice (Sobel's kernel).
# - **horizontal edges**: the transpose of it, below minus above.
# - **sharpen**: each pixel, plus its differences from its four neighbours.
#
# **Predict.** Add up the weights of each kernel. Which kernels keep the brightness of a plain grey wall, and which make it 0?

# %%
kernels = {
    "blur (5 x 5)": np.full((5, 5), 1 / 25),
    "vertical edges": np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]),
    "horizontal edges": np.array([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]),
    "sharpen": np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]),
}
for name, kernel in kernels.items():
    print(f"{name:<17} sum of weights {kernel.sum():5.2f}")
filtered = {name: correlate2d(grey, kernel) for name, kernel in kernels.items()}

# %% figure="photo_kernels"
fig, axes = plt.subplots(2, 3, figsize=(6.6, 3.7), layout="constrained")
cut = (slice(30, 80), slice(40, 115))
show(axes[0, 0], grey[cut], "the photograph", vmin=0, vmax=1)
show(axes[0, 1], filtered["blur (5 x 5)"][cut], "blur: the mean of 25", vmin=0, vmax=1)
show(axes[0, 2], filtered["sharpen"][cut], "sharpen: detail stands out", vmin=0, vmax=1)
show(axes[1, 0], filtered["vertical edges"][cut], "right minus left", signed=True, limit=2)
drawn = show(
    axes[1, 1], filtered["horizontal edges"][cut], "below minus above", signed=True, limit=2
)
fig.colorbar(drawn, ax=axes[1, :2], label="response", location="bottom", aspect=40)
strength = np.hypot(filtered["vertical edges"], filtered["horizontal edges"])
drawn = show(axes[1, 2], strength[cut], "both: edge strength", vmin=0, vmax=2)
fig.colorbar(drawn, ax=axes[1, 2], label="strength", location="bottom")
fig.suptitle("Same function, other weights, other question", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Six versions of a photograph of a temple roof: original, blurred, sharpened, vertical edges and horizontal edges in two colours for the two signs, and the strength of both together.](figures/photo_kernels.png)
#
# Blur and sharpen have weights that add up to 1: a plain wall of grey $g$ gives $g \cdot 1$. The edge kernels add up to 0: a plain wall gives 0, whatever its brightness. A network learns such kernels by itself: the first layer of many a trained network is full of edge detectors (unit 18 shows them).
#
# </details>
#
# **Experiment.** Change the kernel and run the cell. Try `kernel.T`, `-kernel`, a blur of 1 x 7 (`np.full((1, 7), 1 / 7)`).
#
# **Predict.** Last, try `loop / 9`. On pictures of $-1$ and 1 it found loops. What will it find in a photograph, whose pixels go from 0 to 1?

# %%
kernel = kernels["vertical edges"]
found = correlate2d(grey, kernel)
fig, ax = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
drawn = show(ax, found, f"from {found.min():.2f} to {found.max():.2f}", signed=True)
fig.colorbar(drawn, ax=ax, label="response")
plt.show()

# %% [markdown]
# <details><summary>What <code>loop / 9</code> finds</summary>
#
# Brightness. Its weights add up to $8/9 - 1/9 = 7/9$, so a plain white wall gives $7/9$, and no loop in the photograph can beat that. The map looks like a blur. On pictures of $-1$ and 1 nobody noticed, because there dark pixels *vote against* a loop, whereas here they say nothing. The cure: subtract the kernel's mean. Then its weights add up to 0, and only the pattern counts. Put `kernel = loop / 9 - np.mean(loop / 9)` into the cell above. The next cell measures it: how much does each map resemble the plain mean over 3 x 3 pixels? (A correlation of 1: it is the same map, up to brightness and contrast.)
#
# </details>

# %%
plain = correlate2d(grey, np.full((3, 3), 1 / 9)).ravel()
likeness = {}
for name, tried in (("loop / 9", loop / 9), ("mean subtracted", loop / 9 - np.mean(loop / 9))):
    likeness[name] = float(np.corrcoef(correlate2d(grey, tried).ravel(), plain)[0, 1])
    total = abs(tried.sum())
    print(f"{name:<16} weights add up to {total:4.2f}, likeness to the mean {likeness[name]:6.3f}")
assert likeness["loop / 9"] > 0.99
assert abs(likeness["mean subtracted"]) < 0.2

# %% [markdown]
# ## 6. Channels and filters: `conv2d`
#
# **Idea.** A colour picture has three channels. A feature map is one more channel for the next layer. So a layer reads $C_{in}$ channels and writes $C_{out}$.
#
# **Picture.** Follow one filter. It is not flat: it has one flat kernel *per input channel*. Each kernel slides over its own channel. The maps are **added**, the bias of the filter is added once, and one map comes out. Another filter, another map.
#
# ```
#   x (C_in=2, H, W)          filter 0: w[0] (2, kH, kW)
#   channel 0  --- slides with w[0, 0] ---\
#                                          +  b[0]  --->  y[0]
#   channel 1  --- slides with w[0, 1] ---/
#
#                             filter 1: w[1] (2, kH, kW)
#   channel 0  --- slides with w[1, 0] ---\
#                                          +  b[1]  --->  y[1]
#   channel 1  --- slides with w[1, 1] ---/
# ```
#
# **Formula.** For picture number $n$ and filter number $f$
#
# $$y[n,f,i,j] = b[f] + \sum_{c=0}^{C_{in}-1}\ \sum_{k_1=0}^{k_H-1}\ \sum_{k_2=0}^{k_W-1} x_p[\,n,\ c,\ i\,s+k_1,\ j\,s+k_2\,]\; w[f,c,k_1,k_2].$$
#
# Read the indices. $n$ and $f$ stand on the left: each picture and each filter has its own result. $c, k_1, k_2$ stand under the sums: they are used up. Channels are **summed**, not averaged. $x_p$ is padded along height and width only.
#
# **By hand.** Two channels of 2 x 3, two filters of 2 x 2:
#
# ```
# x[0,0]  1 2 0     w[0,0]  1 0    w[0,1]  0 1       channel 0: 1*1 + 2*0 = 1,  1*2 + 2*1 = 4
#         0 1 3             2 0            0 3       channel 1: 1*0 + 3*1 = 3,  1*1 + 3*0 = 1
#                                                    y[0,0] =   4, 5
# x[0,1]  2 0 1     w[1,0]  1 1    w[1,1]  0 0       channel 0: 1+2 = 3,        2+0 = 2
#         1 1 0             0 0            2 0       channel 1: 2*1 = 2,        2*1 = 2
#                                                    y[0,1] =   5, 4
# ```
#
# (Stanford's course notes, CS231n, have a well-known animation of this: three channels, two filters, stride 2. Its numbers are the ones that this formula gives.)

# %% [markdown]
# ### Exercise: `conv2d`
#
# *30 minutes, medium. What it is for: this is the layer. Everything from here to unit 20 stands on it.*
#
# Build it in steps. Each step has its own test, and each test pays alone:
#
# 1. several pictures, channels and filters, with `b=None`, `stride=1`, `padding=0` (2 points);
# 2. the bias (1 point);
# 3. the stride (1 point);
# 4. the padding (1 point);
# 5. bias, stride and padding together (1 point);
# 6. the contract: integers, float32, float64 with all its digits, views, nothing changed (1 point).
#
# <details><summary>Hint 1: which loops?</summary>
#
# Loop over the output places $(i, j)$ only. The window `x_p[:, :, rows, columns]` has shape `(N, C_in, kH, kW)`: all pictures and all channels at once. (Seven nested loops are right too.)
#
# </details>
# <details><summary>Hint 2: window times filters</summary>
#
# You want, for every picture and every filter, the sum over the last three axes. Filter by filter: `np.sum(window * w[f], axis=(1, 2, 3))` has shape `(N,)`. All filters in one go: `np.tensordot` or `np.einsum`.
#
# </details>
# <details><summary>Hint 3: padding two axes out of four</summary>
#
# `np.pad` takes one pair per axis: `((before, after), ...)`. For pictures and channels it is `(0, 0)`.
#
# </details>
# <details><summary>Hint 4: the bias</summary>
#
# `b` has one number per filter, and filters are axis 1 of the result. `b.reshape(1, -1, 1, 1)` lines them up. `b` may be `None`.
#
# </details>


# %% exercise="conv2d"
def conv2d(x, w, b=None, stride=1, padding=0):
    """Cross-correlate x (N, C_in, H, W) with filters w (C_out, C_in, kH, kW) -> (N, C_out, H_out, W_out).

    b (C_out,) or None is added to each map. Floating. The convention of torch.nn.functional.conv2d;
    H_out = (H + 2*padding - kH) // stride + 1, and likewise W_out.
    """
    ### BEGIN SOLUTION
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    H_out = (H + 2 * padding - kH) // stride + 1
    W_out = (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, left = i * stride, j * stride
            window = x_p[:, :, top : top + kH, left : left + kW]  # (N, C_in, kH, kW)
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    if b is not None:
        y += np.reshape(b, (1, C_out, 1, 1))
    return y
    ### END SOLUTION


# %% tests="conv2d" part="channels" points=2
# Two pictures with a single number in the middle, 1 and 10: it meets the kernel's last number first
_x = np.zeros((2, 1, 3, 3))
_x[:, 0, 1, 1] = 1.0, 10.0
check.close(
    conv2d(_x, np.array([[[[1.0, 2.0], [3.0, 4.0]]]])),
    np.array([[[[4.0, 3.0], [2.0, 1.0]]], [[[40.0, 30.0], [20.0, 10.0]]]]),
    what="conv2d, two pictures with a single number",
)
del _x
# The example of the text
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
# Four pictures of 3 channels, 5 filters, nothing square
check.shape(conv2d(np.ones((4, 3, 6, 9)), np.ones((5, 3, 2, 3))), (4, 5, 5, 7), what="conv2d")


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(208)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 7, 5, 3, 2),
        (1, 2, 1, 5, 8, 1, 4),
        (3, 1, 2, 6, 4, 6, 4),
        (2, 4, 3, 4, 6, 1, 1),
        (1, 3, 2, 6, 7, 2, 5),
        (2, 2, 3, 6, 6, 3, 3),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w)).numpy()
        check.close(conv2d(x, w), expected, what=f"conv2d, x {x.shape}, w {w.shape}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="bias" points=1
# Where the picture is black only the bias is left: 10 in map 0, -20 in map 1
check.close(
    conv2d(np.zeros((1, 3, 2, 4)), np.ones((2, 3, 2, 2)), np.array([10.0, -20.0])),
    np.array([[[[10.0, 10.0, 10.0]], [[-20.0, -20.0, -20.0]]]]),
    what="conv2d of a black picture, with bias",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(209)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 7, 3, 2),
        (3, 2, 5, 6, 4, 1, 3),
        (2, 4, 3, 4, 5, 2, 3),
        (1, 2, 1, 3, 4, 3, 4),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        b = rng.standard_normal(C_out)
        before = b.copy()
        expected = torch.nn.functional.conv2d(
            torch.tensor(x), torch.tensor(w), torch.tensor(b)
        ).numpy()
        check.close(conv2d(x, w, b), expected, what=f"conv2d with bias, x {x.shape}, w {w.shape}")
        check.unchanged(before, b, what="b")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="stride" points=1
# Both directions stride: windows start in rows 0, 2 and in columns 0, 2. The last column is never seen.
# The kernel looks at its upper row only: 1*3 + 2*1 = 5, 1*4 + 2*1 = 6; two rows down 1*5 + 2*8 = 21, 1*9 + 2*7 = 23
_x = np.array(
    [
        [3.0, 1.0, 4.0, 1.0, 5.0],
        [9.0, 2.0, 6.0, 5.0, 3.0],
        [5.0, 8.0, 9.0, 7.0, 9.0],
        [3.0, 2.0, 3.0, 8.0, 4.0],
    ]
)
check.close(
    conv2d(_x[None, None], np.array([[[[1.0, 2.0], [0.0, 0.0]]]]), stride=2),
    np.array([[[[5.0, 6.0], [21.0, 23.0]]]]),
    what="conv2d, stride 2",
)
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(210)
    for N, C_in, C_out, H, W, kH, kW, stride in (
        (2, 3, 4, 8, 7, 3, 2, 2),
        (1, 2, 3, 7, 10, 2, 3, 3),
        (2, 1, 2, 9, 8, 1, 2, 3),
        (1, 4, 2, 6, 11, 4, 3, 2),
        (2, 2, 3, 5, 6, 5, 6, 2),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        expected = torch.nn.functional.conv2d(
            torch.tensor(x), torch.tensor(w), stride=stride
        ).numpy()
        check.close(
            conv2d(x, w, stride=stride),
            expected,
            what=f"conv2d, x {x.shape}, w {w.shape}, stride={stride}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="padding" points=1
# A ring of zeros around one pixel: the result is the kernel, turned by 180 degrees
check.close(
    conv2d(
        np.full((1, 1, 1, 1), 2.0),
        np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]]),
        padding=2,
    ),
    np.array([[[[18.0, 16.0, 14.0], [12.0, 10.0, 8.0], [6.0, 4.0, 2.0]]]]),
    what="conv2d of one pixel, padding 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(211)
    for N, C_in, C_out, H, W, kH, kW, padding in (
        (2, 3, 4, 5, 7, 3, 2, 1),
        (1, 2, 3, 6, 4, 2, 3, 2),
        (2, 1, 2, 3, 4, 5, 6, 2),
        (3, 4, 2, 4, 6, 1, 3, 1),
        (1, 2, 4, 2, 3, 4, 5, 1),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        expected = torch.nn.functional.conv2d(
            torch.tensor(x), torch.tensor(w), padding=padding
        ).numpy()
        check.close(
            conv2d(x, w, padding=padding),
            expected,
            what=f"conv2d, x {x.shape}, w {w.shape}, padding={padding}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="together" points=1
# A textbook's example is a convolution: its kernel is turned by 180 degrees first. Padding 1, stride 2.
# y[0, 0] = 0.4*2 + 0.3*1 + 0.7*5 + 0.5*0 = 4.6
_w = np.array([[0.5, 0.7, 0.4], [0.3, 0.4, 0.1], [0.5, 1.0, 0.5]])
check.close(
    conv2d(
        np.array([[[[2.0, 1.0, 2.0], [5.0, 0.0, 1.0], [1.0, 7.0, 3.0]]]]),
        _w[None, None, ::-1, ::-1],
        stride=2,
        padding=1,
    ),
    np.array([[[[4.6, 1.6], [7.5, 2.9]]]]),
    what="conv2d, padding 1, stride 2",
)
# The same with a bias: it is added once to each number of the map
check.close(
    conv2d(
        np.array([[[[2.0, 1.0, 2.0], [5.0, 0.0, 1.0], [1.0, 7.0, 3.0]]]]),
        _w[None, None, ::-1, ::-1],
        np.array([10.0]),
        stride=2,
        padding=1,
    ),
    np.array([[[[14.6, 11.6], [17.5, 12.9]]]]),
    what="conv2d, bias 10, padding 1, stride 2",
)
del _w


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(212)
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            for N, C_in, C_out, H, W, kH, kW in ((2, 3, 2, 7, 5, 3, 2), (1, 2, 3, 4, 9, 2, 4)):
                x, w = (
                    rng.standard_normal((N, C_in, H, W)),
                    rng.standard_normal((C_out, C_in, kH, kW)),
                )
                b = rng.standard_normal(C_out)
                before = x.copy(), w.copy(), b.copy()
                plain = torch.nn.functional.conv2d(
                    torch.tensor(x), torch.tensor(w), stride=stride, padding=padding
                ).numpy()
                biased = plain + b.reshape(1, C_out, 1, 1)
                case = f"x {x.shape}, w {w.shape}, stride={stride}, padding={padding}"
                check.close(conv2d(x, w, b, stride, padding), biased, what=f"conv2d, bias, {case}")
                check.unchanged(before[0], x, what="x")
                check.unchanged(before[1], w, what="w")
                check.unchanged(before[2], b, what="b")
                check.close(conv2d(x, w, None, stride, padding), plain, what=f"conv2d, {case}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d" part="contract" points=1
# 2*200 + 1*100 + 3*50 + 1*3 = 653 and 2*100 + 1*7 + 3*3 + 1*90 = 306. A byte holds no more than 255
check.close(
    conv2d(
        np.array([[[[200, 100, 7], [50, 3, 90]]]], dtype=np.uint8),
        np.array([[[[2.0, 1.0], [3.0, 1.0]]]]),
    ),
    np.array([[[[653.0, 306.0]]]]),
    what="conv2d of uint8",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(213)

    def compare(x, w, what, rtol=1e-5, atol=1e-6):
        wide = [torch.tensor(np.array(a, dtype=np.float64)) for a in (x, w)]
        expected = torch.nn.functional.conv2d(*wide).numpy()
        before = x.copy(), w.copy()
        check.close(conv2d(x, w), expected, what=what, rtol=rtol, atol=atol)
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")

    image = rng.integers(0, 256, (2, 3, 5, 6), dtype=np.uint8)
    compare(image, rng.integers(-3, 4, (4, 3, 2, 3)), "conv2d, a uint8 picture, whole weights")
    compare(image, rng.standard_normal((2, 3, 3, 2)), "conv2d, a uint8 picture, floating weights")
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
    compare(x, w, "conv2d of float64, all its digits", rtol=1e-10, atol=1e-12)
    compare(x.astype(np.float32), w.astype(np.float32), "conv2d in float32", rtol=1e-4, atol=1e-4)
    compare(
        rng.standard_normal((2, 6, 9, 3)).transpose(0, 3, 1, 2)[:, :, ::-1, ::2],
        rng.standard_normal((2, 3, 3, 4)).transpose(3, 1, 2, 0)[:, ::-1],
        "conv2d of non-contiguous views",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** One filter on a colour photograph: its kernel for red is a blur, its kernel for green is zero, its kernel for blue is minus that blur. (Picture: `(H, W, 3)`. Your layer wants `(1, 3, H, W)`: move the last axis.)
#
# **Predict.** Which parts of the photograph will give a large positive sum? Which a negative one? What will a grey cloud give?

# %% figure="channels"
colour = photo.transpose(2, 0, 1)[None, :, 20:120, 30:200]  # (1, 3, 100, 170)
blur = np.full((3, 3), 1 / 9)
warm = np.stack([blur, 0 * blur, -blur])[None]  # (1, 3, 3, 3): one filter
per_channel = [conv2d(colour[:, c : c + 1], warm[:, c : c + 1])[0, 0] for c in range(3)]
warm_map = conv2d(colour, warm)[0, 0]
fig, axes = plt.subplots(2, 3, figsize=(7.2, 2.9), layout="constrained")
show(axes[0, 0], colour[0].transpose(1, 2, 0), "the photograph, 3 channels")
axes[0, 1].axis("off")
text = f"filter = one kernel per channel\nw has shape {warm.shape}\n\nthe three maps are added"
axes[0, 1].text(0.5, 0.5, text, ha="center", va="center")
drawn = show(axes[0, 2], warm_map, "the sum of the three", signed=True, limit=0.6)
fig.colorbar(drawn, ax=axes[0, 2], label="response")
for ax, values, name in zip(
    axes[1], per_channel, ("red, blurred", "green, times 0", "blue, times -1"), strict=True
):
    show(ax, values, name, signed=True, limit=1)
plt.show()
check.close(sum(per_channel), warm_map, what="the sum of the three maps")
assert warm_map.max() > 0.5
assert -0.08 < np.median(warm_map[:60, 100:]) < -0.02  # sky and lake

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A colour photograph, the responses of the red, green and blue kernel, and their sum: clearly positive on the red columns, slightly negative on sky and lake, near zero in the haze.](figures/channels.png)
#
# The filter answers "more red than blue?" The red columns give up to $+0.6$. Sky and lake are pale and only a little bluer than grey: they are slightly negative, about $-0.05$. The haze over the far shore is near 0, and so is any grey cloud: grey has as much red as blue, however bright it is. No single channel shows this. The *sum over channels* does.
#
# </details>

# %% [markdown]
# ### A kernel of 1 x 1
#
# What is left of a convolution when the window is a single pixel? The sums over $k_1$ and $k_2$ have one term each:
#
# $$y[n,f,i,j] = b[f] + \sum_{c} x[n,c,i,j]\; w[f,c] .$$
#
# That is `x @ w.T + b`, a **dense layer applied to each pixel's channels**, with the same weights at each pixel. It mixes channels and leaves places alone. Networks use it to make few channels out of many, cheaply (unit 11).
#
# **Predict.** One layer of 1 x 1 with four filters: how many weights does it have on 3 channels? Does the number depend on the size of the photograph?

# %% figure="pointwise"
mix = np.array(
    [
        [0.299, 0.587, 0.114],  # brightness as the eye weighs it (ITU-R BT.601)
        [0.393, 0.769, 0.189],  # sepia: red
        [0.349, 0.686, 0.168],  # sepia: green
        [0.272, 0.534, 0.131],  # sepia: blue
    ]
)
mixed = conv2d(colour, mix[:, :, None, None])[0]  # (4, H, W)
fig, axes = plt.subplots(1, 3, figsize=(7.2, 1.7), layout="constrained")
show(axes[0], colour[0].transpose(1, 2, 0), "three channels in")
show(axes[1], mixed[0], "filter 0: brightness", vmin=0, vmax=1)
show(axes[2], mixed[1:].transpose(1, 2, 0).clip(0, 1), "filters 1, 2, 3: an old photograph")
fig.suptitle("1 x 1 convolutions mix colours, pixel by pixel", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A colour photograph, its grey version and a sepia version, both made by 1 by 1 convolutions.](figures/pointwise.png)
#
# $4 \times 3 = 12$ weights, for a stamp as for a poster. The next cell compares with a dense layer over the list of pixels: same numbers.
#
# </details>

# %%
pixels = colour[0].reshape(3, -1).T  # one row per pixel: (17000, 3)
dense_result = (pixels @ mix.T).T.reshape(mixed.shape)
check.close(mixed, dense_result, what="1 x 1 convolution against a dense layer per pixel")
print(
    f"{mix.size} weights, {len(pixels):,} pixels, largest difference {np.abs(mixed - dense_result).max():.1e}"
)

# %% [markdown]
# ## 7. Three ideas inside a convolution
#
# Start from a dense layer between two pictures and take things away.
#
# 1. **Sparse interaction.** A unit looks at a window of $k_H \times k_W$ pixels, not at all of them. What is far away is left to later layers.
# 2. **Parameter sharing.** All units of a map use the *same* weights. What is worth finding in one place is worth finding everywhere.
# 3. **Equivariance to translation.** Move the picture, and the map moves along. On an endless picture this follows from the second.
#
# To see what sharing alone gives, build the layer that has only the first idea. In a **locally connected** layer every place has its own kernel, and its own bias:
#
# $$y[n,f,i,j] = b[f,i,j] + \sum_{c,k_1,k_2} x[\,n,\ c,\ i\,s+k_1,\ j\,s+k_2\,]\; w[\,i,j,f,c,k_1,k_2\,].$$
#
# The only change is that $w$ and $b$ know where they are.

# %% [markdown]
# ### Exercise: `locally_connected2d`
#
# *10 minutes, easy after `conv2d`. What it is for: you understand sharing when you have built a layer without it.*
#
# `w` has shape `(H_out, W_out, C_out, C_in, kH, kW)`: first the place, then a filter bank as in `conv2d`. `b` has shape `(C_out, H_out, W_out)` or is `None`. No padding.
#
# <details><summary>Hint 1</summary>
#
# Take your `conv2d` and ask at each output place: which weights belong here? `w[i, j]` has the shape that `w` had before.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The size of the result need not be computed: `w.shape` begins with it.
#
# </details>


# %% exercise="locally_connected2d"
def locally_connected2d(x, w, b=None, stride=1):
    """Like conv2d without sharing: each place has its own filters -> (N, C_out, H_out, W_out), floating.

    x (N, C_in, H, W), w (H_out, W_out, C_out, C_in, kH, kW), b (C_out, H_out, W_out) or None.
    """
    ### BEGIN SOLUTION
    H_out, W_out, C_out, _, kH, kW = w.shape
    x = np.asarray(x, dtype=float)
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + kH, left : left + kW]
            y[:, :, i, j] = np.tensordot(window, w[i, j], axes=([1, 2, 3], [1, 2, 3]))
    if b is not None:
        y += b
    return y
    ### END SOLUTION


# %% tests="locally_connected2d" part="weights" points=1
# A row of four numbers, three places with a kernel of 1 x 2 each: (1, 0), (0, 1), (2, 3)
check.close(
    locally_connected2d(
        np.array([[[[1.0, 2.0, 3.0, 4.0]]]]),
        np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]]).reshape(1, 3, 1, 1, 1, 2),
    ),
    np.array([[[[1.0, 3.0, 18.0]]]]),
    what="locally_connected2d",
)
# 2 x 3 places, two filters, a kernel of 1 x 1: filter 0 has its own number at each place, and so has filter 1
_first = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
_second = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
check.close(
    locally_connected2d(
        np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]),
        np.stack([_first, _second], axis=-1).reshape(2, 3, 2, 1, 1, 1),
    ),
    np.array([[[[1.0, 0.0, 6.0], [0.0, 15.0, 6.0]], [[2.0, 2.0, 0.0], [4.0, 0.0, 6.0]]]]),
    what="locally_connected2d, 2 x 3 places, two filters",
)
del _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(214)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 6, 2, 3),
        (1, 2, 1, 4, 7, 3, 2),
        (3, 1, 2, 3, 4, 3, 4),
        (2, 2, 3, 3, 5, 1, 1),
    ):
        x = rng.standard_normal((N, C_in, H, W))
        w = rng.standard_normal((H - kH + 1, W - kW + 1, C_out, C_in, kH, kW))
        before = x.copy(), w.copy()
        expected = np.zeros((N, C_out, H - kH + 1, W - kW + 1))
        for n, f, i, j in np.ndindex(*expected.shape):
            expected[n, f, i, j] = np.sum(x[n, :, i : i + kH, j : j + kW] * w[i, j, f])
        check.close(
            locally_connected2d(x, w),
            expected,
            what=f"locally_connected2d, x {x.shape}, w {w.shape}",
        )
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")
    check.close(
        locally_connected2d(
            np.array([[[[190, 90, 11], [60, 5, 80]]]], dtype=np.uint8),
            np.array([[3.0, 2, 1, 4], [1, 5, 2, 3]]).reshape(1, 2, 1, 1, 2, 2),
        ),
        np.array([[[[830.0, 395.0]]]]),
        what="locally_connected2d of uint8",
    )
    x, w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 3, 2, 3, 2, 3))
    expected = np.zeros((2, 2, 3, 3))
    for n, f, i, j in np.ndindex(*expected.shape):
        expected[n, f, i, j] = np.sum(x[n, :, i : i + 2, j : j + 3] * w[i, j, f])
    check.close(
        locally_connected2d(x, w),
        expected,
        what="locally_connected2d of float64, all its digits",
        rtol=1e-10,
        atol=1e-12,
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="locally_connected2d" part="options" points=1
# Stride 2: windows 1 2 and 3 4. Each place has its own bias: 10 and 20
check.close(
    locally_connected2d(
        np.array([[[[1.0, 2.0, 3.0, 4.0]]]]),
        np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 1, 1, 2),
        np.array([[[10.0, 20.0]]]),
        stride=2,
    ),
    np.array([[[[11.0, 24.0]]]]),
    what="locally_connected2d, stride 2, with bias",
)
# 2 x 3 places, two maps, all weights 1: b[f] is laid out like map f
check.close(
    locally_connected2d(
        np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]),
        np.ones((2, 3, 2, 1, 1, 1)),
        np.array([[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]], [[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]]]),
    ),
    np.array([[[[11.0, 22.0, 33.0], [44.0, 55.0, 66.0]], [[1.0, 2.0, 4.0], [4.0, 7.0, 6.0]]]]),
    what="locally_connected2d, 2 x 3 places, two filters, with bias",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(215)
    for N, C_in, C_out, H, W, kH, kW, stride in (
        (2, 3, 2, 7, 6, 3, 2, 2),
        (1, 2, 3, 8, 11, 2, 3, 3),
        (2, 1, 2, 5, 4, 2, 1, 1),
    ):
        H_out, W_out = (H - kH) // stride + 1, (W - kW) // stride + 1
        x = rng.standard_normal((N, C_in, H, W))
        w = rng.standard_normal((H_out, W_out, C_out, C_in, kH, kW))
        b = rng.standard_normal((C_out, H_out, W_out))
        before = x.copy(), w.copy(), b.copy()
        expected = np.zeros((N, C_out, H_out, W_out))
        for n, f, i, j in np.ndindex(*expected.shape):
            window = x[n, :, i * stride : i * stride + kH, j * stride : j * stride + kW]
            expected[n, f, i, j] = np.sum(window * w[i, j, f]) + b[f, i, j]
        check.close(
            locally_connected2d(x, w, b, stride),
            expected,
            what=f"locally_connected2d, x {x.shape}, w {w.shape}, stride={stride}",
        )
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], w, what="w")
        check.unchanged(before[2], b, what="b")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Suppose a layer was trained on nines whose head was always at the top. The locally connected layer has learned the loop kernel in the upper rows. Its lower rows have never seen a loop; their weights are still the random ones of the start. Now show it a picture with two equal loops.
#
# **Predict.** What does each layer say about the lower loop?

# %% figure="local_or_shared"
two_loops = -np.ones((1, 1, 12, 12))
for top, left in ((1, 2), (8, 7)):
    two_loops[0, 0, top : top + 3, left : left + 3] = loop
own_weights = np.random.default_rng(seed).standard_normal((10, 10, 1, 1, 3, 3)) / 9
own_weights[:5] = loop / 9
maps = {
    "shared weights: 9": conv2d(two_loops, loop[None, None] / 9)[0, 0],
    f"own weights: {own_weights.size}": locally_connected2d(two_loops, own_weights)[0, 0],
}
fig, axes = plt.subplots(1, 3, figsize=(6.8, 2.3), layout="constrained")
show(axes[0], two_loops[0, 0], "the same loop twice", vmin=-1, vmax=1)
for ax, (title, values) in zip(axes[1:], maps.items(), strict=True):
    drawn = show(ax, values, title, signed=True, limit=1)
    ax.plot([2, 7], [1, 8], "o", markersize=13, mfc="none", mec="tab:cyan", mew=2)
fig.colorbar(drawn, ax=axes[2], label="match (-1 to 1)")
fig.suptitle(
    "Two loops, and two layers that look for them (rings: where the loops are)", fontsize=9
)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A picture with one loop at the upper left and one at the lower right; the map of the convolution peaks at both, the map of the locally connected layer only at the upper one, and its lower half is noise.](figures/local_or_shared.png)
#
# Without sharing, what is learned here is not known there. The convolution finds both with 9 weights. The locally connected layer has a hundred times as many, 900, and misses the second loop: for each place it would need examples with a loop *at that place*. Fewer weights, and more found.
#
# </details>

# %% [markdown]
# ### Counting weights
#
# Three layers that turn a picture $(C_{in}, H, W)$ into maps $(C_{out}, H_{out}, W_{out})$:
#
# | kind | weights | biases |
# |---|---|---|
# | `"conv"` | one kernel stack per filter: $C_{out} \cdot C_{in} k_H k_W$ | one per filter: $C_{out}$ |
# | `"local"` | one kernel stack per filter *and place*: $H_{out} W_{out} \cdot C_{out} \cdot C_{in} k_H k_W$ | one per filter and place: $C_{out} H_{out} W_{out}$ |
# | `"dense"` | each output with each input: $(C_{out} H_{out} W_{out}) \cdot (C_{in} H W)$ | one per output: $C_{out} H_{out} W_{out}$ |
#
# Padding adds no weights: zeros are not inputs. It changes $H_{out}$ and $W_{out}$, though.
#
# **Work these out on paper first.**
#
# 1. A colour picture of 300 x 300, 100 filters of 5 x 5. How many weights has the layer? How many biases?
# 2. A volume of 63 x 63 x 16, 32 filters of 7 x 7, stride 2, no padding. What shape comes out, and how many values?
# 3. A volume of 64 x 64 x 16 and one filter of 1 x 1 with its bias. How many parameters?
#
# <details><summary>Answers</summary>
#
# 1. $100 \cdot 3 \cdot 5 \cdot 5 = 7{,}500$ weights and 100 biases. The size of the picture does not enter.
# 2. $\lfloor (63-7)/2 \rfloor + 1 = 29$, so 29 x 29 x 32 = 26,912 values.
# 3. $16 \cdot 1 \cdot 1 + 1 = 17$.
#
# </details>

# %% [markdown]
# ### Exercise: `count_parameters`
#
# *10 minutes, easy. What it is for: you will read, check and doubt the parameter counts of famous networks for ten units.*
#
# <details><summary>Hint 1</summary>
#
# `kernel_size` may be an int or a pair. Make it a pair first. `isinstance(kernel_size, int)` tells.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The three rows of the table differ in two things: how many sets of weights there are, and how many numbers one output looks at. With a bias, one output looks at one number more.
#
# </details>


# %% exercise="count_parameters"
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """Weights and biases of a layer from in_shape (C_in, H, W) to c_out maps -> int.

    kind is "conv", "local" or "dense" (see the table); kernel_size is an int or a pair (kH, kW).
    "dense" has as many outputs as the other two would have. Any other kind raises ValueError.
    """
    ### BEGIN SOLUTION
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "conv":
        return c_out * (c_in * kH * kW + bias)
    if kind == "local":
        return places * c_out * (c_in * kH * kW + bias)
    if kind == "dense":
        return places * c_out * (c_in * H * W + bias)
    raise ValueError(f'unknown kind "{kind}", expected "conv", "local" or "dense"')
    ### END SOLUTION


# %% tests="count_parameters" part="conv" points=1
check.equal(
    count_parameters("conv", (3, 300, 300), 100, 5, bias=False),
    7500,
    what="100 filters of 5x5 on 300x300x3",
)
check.equal(count_parameters("conv", (3, 300, 300), 100, 5), 7600, what="the same with biases")
check.equal(
    count_parameters("conv", (16, 64, 64), 1, 1), 17, what="one 1x1 filter on 64x64x16, with bias"
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    for c_in, c_out, kH, kW in ((3, 8, 3, 2), (5, 2, 1, 4), (1, 6, 7, 5), (4, 4, 2, 2)):
        for bias in (True, False):
            for stride, padding in ((1, 0), (2, 1)):
                layer = torch.nn.Conv2d(c_in, c_out, (kH, kW), bias=bias)
                check.equal(
                    count_parameters(
                        "conv", (c_in, 13, 11), c_out, (kH, kW), stride, padding, bias
                    ),
                    sum(p.numel() for p in layer.parameters()),
                    what=f"conv, {c_in} -> {c_out} channels, kernel ({kH}, {kW}), bias={bias}",
                )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="count_parameters" part="others" points=1
# A picture of 1 x 4, kernel (1, 2): three places with 2 weights and a bias each; 3 outputs from 4 inputs
check.equal(
    count_parameters("local", (1, 1, 4), 1, (1, 2)), 9, what="local, 1x4 picture, kernel (1, 2)"
)
check.equal(
    count_parameters("dense", (1, 1, 4), 1, (1, 2)), 15, what="dense, 1x4 picture, kernel (1, 2)"
)
# 4 x 4, one ring of zeros, windows of 3 x 3 start at 0 and 2: 4 places. Two filters: 8 outputs of 9 weights and a bias
check.equal(
    count_parameters("local", (1, 4, 4), 2, 3, stride=2, padding=1),
    80,
    what="local, 4x4 picture, 2 filters 3x3, stride=2, padding=1",
)
# The same 8 outputs, each joined with 16 pixels (the zeros around them are no inputs) and a bias
check.equal(
    count_parameters("dense", (1, 4, 4), 2, 3, stride=2, padding=1),
    136,
    what="dense, 4x4 picture, 2 filters 3x3, stride=2, padding=1",
)
check.raises(
    ValueError, count_parameters, "densed", (1, 4, 4), 2, 3, what='count_parameters("densed", ...)'
)


### BEGIN HIDDEN TESTS
def _hidden():
    for c_in, c_out, H, W, kH, kW in ((3, 8, 6, 9, 3, 2), (5, 2, 7, 8, 1, 4), (1, 3, 5, 6, 5, 6)):
        for bias in (True, False):
            for stride, padding in ((1, 0), (2, 1), (3, 2)):
                H_out = len(range(0, H + 2 * padding - kH + 1, stride))
                W_out = len(range(0, W + 2 * padding - kW + 1, stride))
                outputs = c_out * H_out * W_out
                arguments = ((c_in, H, W), c_out, (kH, kW), stride, padding, bias)
                for kind, seen in (("local", c_in * kH * kW), ("dense", c_in * H * W)):
                    check.equal(
                        count_parameters(kind, *arguments),
                        outputs * seen + (outputs if bias else 0),
                        what=f"{kind}, in ({c_in}, {H}, {W}), {c_out} filters ({kH}, {kW}), "
                        f"stride={stride}, padding={padding}, bias={bias}",
                    )
    for kind in ("", "Local", "pool"):
        check.raises(
            ValueError,
            count_parameters,
            kind,
            (3, 8, 9),
            4,
            (3, 2),
            what=f'count_parameters("{kind}", ...)',
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Predict.** The picture of question 1, and three ways to make 100 maps of it. The convolution has 7,600 parameters. By what factor is the locally connected layer larger? And the dense one? Guess the powers of ten.

# %% figure="parameter_counts"
counts = {
    kind: count_parameters(kind, (3, 300, 300), 100, 5) for kind in ("conv", "local", "dense")
}
fig, ax = plt.subplots(figsize=(6.2, 1.9), layout="constrained")
labels = ["convolution", "locally connected:\ngive up sharing", "dense: give up\nsparsity as well"]
ax.barh(labels, list(counts.values()), color=["C0", "tab:gray", "black"])
for place, value in enumerate(counts.values()):
    ax.text(value * 1.3, place, f"{value:,}", va="center", fontsize=8)
ax.set(xscale="log", xlim=(1e3, 1e16), xlabel="parameters (each gridline is 100 times more)")
ax.set_xticks([1e3, 1e5, 1e7, 1e9, 1e11, 1e13, 1e15])
ax.grid(axis="x", linewidth=0.5)
ax.invert_yaxis()
ax.set(title="Parameters of three layers from 300 x 300 x 3 to 100 maps")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A bar chart on a logarithmic axis: 7,600 parameters for the convolution, 665,881,600 for the locally connected layer and 2.4 trillion for the dense layer.](figures/parameter_counts.png)
#
# Giving up sharing costs a factor of $296 \cdot 296 = 87{,}616$, one set of weights for each place: about $10^5$. Giving up sparsity as well brings the factor to 311 million, more than $10^8$. The next cell has all the digits.
#
# </details>

# %%
for kind, value in counts.items():
    print(f"{kind:<6} {value:>20,}   {value / counts['conv']:>18,.0f} times the convolution")
values_out = 32 * conv_output_size(63, 7, stride=2) ** 2
print(f"63x63x16 with 32 filters 7x7, stride 2: {values_out:,} values")
assert values_out == 26_912
assert counts["local"] == 296**2 * counts["conv"] == 665_881_600
assert counts["dense"] // counts["conv"] == 311_268_521

# %% [markdown]
# ### Equivariance: shift, then convolve; convolve, then shift
#
# Let $T$ move a picture by $(a, b)$ pixels: $(Tx)[i,j] = x[i-a, j-b]$. A function $F$ is **equivariant** to translation if $F(Tx) = T(Fx)$. Both ways round the result is the same. (It is *invariant* if $F(Tx) = F(x)$: the result does not move at all. That is something else. Unit 03 is about it.)
#
# **Predict.** A piece of the photograph, a kernel that compares each pixel with its four neighbours, same padding. You move the picture 4 down and 6 to the right; pixels that leave are lost, zeros come in. You do both ways round and subtract. Where is the difference not zero? Be careful: there are two kinds of places.


# %% figure="equivariance"
def move(pictures, down, right):
    """Move pictures (N, C, H, W) by (down, right) >= 0 pixels: zeros come in, what leaves is lost."""
    H, W = pictures.shape[2:]
    moved = np.zeros(pictures.shape)
    moved[:, :, down:, right:] = pictures[:, :, : H - down, : W - right]
    return moved


piece = grey[None, None, 30:78, 60:124]
outline = np.array(
    [[[[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]]]
)  # a pixel against its neighbours
shift_first = conv2d(move(piece, 4, 6), outline, padding=1)
shift_last = move(conv2d(piece, outline, padding=1), 4, 6)
difference = shift_first - shift_last
fig, axes = plt.subplots(1, 4, figsize=(7.6, 1.9), layout="constrained")
show(axes[0], move(piece, 4, 6)[0, 0], "picture, moved (4, 6)", vmin=0, vmax=1)
show(axes[1], shift_first[0, 0], "shift, then convolve", signed=True, limit=1)
show(axes[2], shift_last[0, 0], "convolve, then shift", signed=True, limit=1)
drawn = show(axes[3], difference[0, 0], "difference", signed=True, limit=1)
fig.colorbar(drawn, ax=axes[3], label="response")
fig.suptitle("Where do the two ways round differ?", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A piece of the photograph moved down and to the right, the two maps of outlines, which look alike, and their difference: zero but for thin lines along the new and the old border.](figures/equivariance.png)
#
# Both ways round agree everywhere but at two borders. Inside, the difference is 0. At the **right and lower border** the two disagree: convolving first, the window still saw the pixels that shifting first has thrown away. And just outside the **old left and upper border** as well: shifting first, the window there sees picture on one side; convolving first, that place lay outside the map and was never computed. A convolution is equivariant as far as its windows do not touch the border. In small pictures and deep networks that is not very far.
#
# </details>

# %%
touched = np.abs(difference[0, 0]) > 1e-9
print(f"places that differ: {touched.sum()} of {touched.size}")
print(
    "rows",
    sorted({int(i) for i in np.flatnonzero(touched.mean(axis=1) > 0.5)}),
    "(the picture starts in row 4)",
)
print(
    "columns",
    sorted({int(j) for j in np.flatnonzero(touched.mean(axis=0) > 0.5)}),
    "(it starts in column 6)",
)
inside = difference[:, :, 4:-1, 6:-1]
assert np.abs(inside).max() < 1e-12

# %% [markdown]
# **Stride breaks it too.** With stride 2 the map has half the places. Move the picture by one pixel, and the map would have to move by half a place.
#
# **Predict.** A digit in the middle of a large canvas (no border trouble), an edge kernel, stride 1, 2 or 3. You move the digit by $0, 1, \dots, 6$ pixels and look for the whole-place shift of the first map that fits best. For which moves does one fit *exactly*?

# %% figure="stride_breaks"
edge = kernels["vertical edges"][None, None]  # (1, 1, 3, 3)


def best_misfit(stride, right):
    """Relative distance between the map of the moved digit and the best shifted first map."""
    canvas = on_canvas(test_x[:1], right=-6, size=24)
    before = conv2d(canvas, edge, stride=stride)
    after = conv2d(move(canvas, 0, right), edge, stride=stride)
    misfits = [np.linalg.norm(after - move(before, 0, places)) for places in range(right + 1)]
    return min(misfits) / np.linalg.norm(before)


moves = list(range(7))
fig, ax = plt.subplots(figsize=(5.6, 2.4), layout="constrained")
for stride, style in ((1, "o-"), (2, "s--"), (3, "^:")):
    ax.plot(moves, [best_misfit(stride, right) for right in moves], style, label=f"stride {stride}")
ax.set(
    xlabel="the digit is moved by (pixels)",
    ylabel="misfit of the best\nshifted map",
    ylim=(-0.05, 1.5),
)
ax.set(title="Which moves does a map with a stride follow?")
ax.legend(loc="upper center", ncols=3)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Misfit against the move in pixels: zero throughout for stride 1, zero at even moves and large at odd ones for stride 2, zero at 0, 3 and 6 for stride 3.](figures/stride_breaks.png)
#
# With stride $s$ only moves by multiples of $s$ are followed. Stride 1 follows every move. Stride 2 follows even moves and loses the odd ones: the misfit is of the size of the map itself. Stride 3 follows 0, 3, 6. Many networks have a total stride of 32: few moves are followed exactly. Zhang (2019) measured how often their answers change when a picture is shifted.
#
# </details>

# %%
for stride in (1, 2, 3):
    assert all(best_misfit(stride, right) < 1e-12 for right in moves if right % stride == 0)
    assert all(best_misfit(stride, right) > 0.3 for right in moves if right % stride != 0)

# %% [markdown] manual="why_equivariance" points=2
# **Question (2 points, 8 minutes).** Prove that cross-correlation with stride 1 on an endless picture is equivariant to translation: start from the formula, put in the moved picture, and end at the moved result. Then name the step of your proof that fails for a locally connected layer, and say why.
#
# ### BEGIN SOLUTION
# Let $(Tx)[i,j] = x[i-a,\,j-b]$ and $F(x)[i,j] = \sum_{k_1,k_2} x[i+k_1,\,j+k_2]\,w[k_1,k_2]$. Then
#
# $$F(Tx)[i,j] = \sum_{k_1,k_2} (Tx)[i+k_1,\,j+k_2]\,w[k_1,k_2] = \sum_{k_1,k_2} x[(i-a)+k_1,\,(j-b)+k_2]\,w[k_1,k_2]$$
#
# $$= F(x)[i-a,\,j-b] = (T\,F(x))[i,j].$$
#
# (1 point.) The third equality reads the sum as the output at $(i-a, j-b)$. That is allowed because the same $w$ is used there. In a locally connected layer the sum has the weights of the place $(i,j)$, $w[i,j]$, whereas the output at $(i-a,j-b)$ is made with $w[i-a,\,j-b]$. These are different numbers, so the step fails: without sharing there is no equivariance. (1 point.)
# ### END SOLUTION

# %% [markdown] manual="choose_layer" points=2
# **Question (2 points, 8 minutes).** A camera at a passport office takes pictures of 96 x 96 x 1. The face is always in the middle, the eyes always in the same rows. A colleague wants the first layer to be *locally connected*: 16 filters of 7 x 7, stride 1, no padding, with bias. Give the parameters of this layer and of the convolution of the same size. Name one reason for the colleague's choice and one against it, each tied to a property of this task.
#
# ### BEGIN SOLUTION
# The maps are $96-7+1 = 90$ wide and high. Convolution: $16 \cdot (1 \cdot 7 \cdot 7 + 1) = 800$ parameters. Locally connected: $90 \cdot 90 \cdot 800 = 6{,}480{,}000$, that is 8,100 times as many. (1 point.)
#
# For: the faces are aligned, so what is worth finding differs from place to place. An eye detector is of no use at the chin, and equivariance is not needed. Against, any of these: low-level features such as edges are useful at every place, so most of the weights would learn the same thing over and over; each place learns only from what happens there, so 8,100 times as many weights need far more pictures; the layer works for 96 x 96 only; a slightly turned or moved head falls out of what was learned. (1 point for one reason each way.)
# ### END SOLUTION

# %% [markdown]
# ## 8. Convolutions that nobody programmed
#
# You have seen that a convolution commutes with shifts. Now the other way round. Are there *other* linear layers that do?
#
# Take any linear layer on a row of $n$ numbers. It is a matrix $M$ of shape $(n, n)$. Bend the row into a ring, so that there is no border. Let $S$ be the shift by one place. To make $M$ fair to all places, average it over all of them: shift the row by $r$, apply $M$, shift back, and take the mean over all $r$:
#
# $$\bar M = \frac1n \sum_{r=0}^{n-1} S^{-r} M S^{r}.$$
#
# **Predict.** $M$ is filled with random numbers. It is noise, 576 of them. What does $\bar M$ look like? Noise again, only weaker?

# %% figure="averaged_matrix"
size = 24
noise = np.random.default_rng(seed).standard_normal((size, size))
order = np.random.default_rng(seed + 1).permutation(size)


def mean_over_shifts(matrix, some_shifts):
    """Mean of S^-r M S^r over some shifts r: entry (i, j) becomes the mean of M[i+r, j+r]."""
    return np.mean([np.roll(matrix, (-r, -r), axis=(0, 1)) for r in some_shifts], axis=0)


fig, axes = plt.subplots(1, 4, figsize=(7.6, 2.1), layout="constrained")
for ax, count in zip(axes, (1, 12, 20, size), strict=True):
    average = mean_over_shifts(noise, order[:count])
    show(ax, average, f"mean over {count} shift" + "s" * (count > 1), signed=True)
axes[0].set(ylabel="output")
for ax in axes:
    ax.set(xlabel="input")
fig.suptitle("A random matrix, averaged over more and more shifts", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Four matrices of 24 by 24. The first is noise; after averaging over 12, 20 and all 24 shifts, diagonal stripes appear, and in the last one every diagonal is constant.](figures/averaged_matrix.png)
#
# Stripes. Ask a random matrix to treat all places alike, and it becomes a convolution: every row of the last matrix is the row above it, moved by one. That is a kernel sliding along. **You did not put in a convolution. You put in noise and a wish for fairness.**
#
# Proof. Shift the average once more: $S^{-1} \bar M S = \frac1n \sum_r S^{-(r+1)} M S^{r+1} = \bar M$, as the shifts form a ring and the sum runs over the same terms. So $\bar M S = S \bar M$: it commutes with shifts. In numbers this says $\bar M[i+1, j+1] = \bar M[i,j]$. So $\bar M[i,j]$ depends on $j-i$ only; call it $c[j-i]$. Then $y[i] = \sum_j c[j-i]\, x[j] = \sum_k x[i+k]\, c[k]$, with places counted around the ring: the formula of part 2.
#
# And if $M$ commutes with shifts already, every term of the mean is $M$ itself, so $M = \bar M$ is a convolution. There are no others: **linear and equivariant to translation means convolution** (in either of the two conventions: read $c$ from the end and the sum has its minus). You never choose convolution. You choose equivariance, and convolution is what you get. (That the kernel is *small* is the other idea, sparse interaction.)
#
# </details>
#
# Check it with your own function. The first row of $\bar M$ is the kernel; the ring is unrolled by appending the row to itself, all of it but its last number.

# %%
fair = mean_over_shifts(noise, range(size))
ring_kernel = fair[0]
ring = np.random.default_rng(seed + 2).standard_normal(size)
by_matrix = fair @ ring
by_sliding = cross_correlate1d(np.concatenate([ring, ring[:-1]]), ring_kernel)
check.close(by_sliding, by_matrix, what="your cross_correlate1d against the averaged matrix")
print(
    f"{fair.size} entries, {len(ring_kernel)} different numbers; largest difference {np.abs(by_sliding - by_matrix).max():.1e}"
)

# %% [markdown]
# **Now let the data do it.** Nobody averages over shifts in this experiment. You cut 20,000 rows of 32 pixels out of the *left half* of the photograph, anywhere. You add noise (standard deviation 0.1). And you train a dense layer without bias, 32 x 32 = 1,024 free weights, to give the clean row back. Least squares finds the best weights of all.
#
# **Predict.** Nobody told the layer that pixel 5 is beside pixel 6. Draw, on paper, what you think its 1,024 weights look like as a picture.

# %%
full_grey = photograph().mean(axis=2) / 255
half = full_grey.shape[1] // 2
length, sigma = 32, 0.1
rng = np.random.default_rng(seed)
tops = rng.integers(0, full_grey.shape[0], 20_000)
lefts = rng.integers(0, half - length, 20_000)
clean = full_grey[tops[:, None], lefts[:, None] + np.arange(length)]  # (20000, 32)


def denoiser(rows):
    """The best dense layer (n, n), one row per output, that gives rows (N, n) back from noisy ones."""
    noisy = rows + sigma * rng.standard_normal(rows.shape)
    return np.linalg.solve(noisy.T @ noisy, noisy.T @ rows).T


learned = denoiser(clean)  # (32, 32)


# %% figure="learned_matrix"
def stripes_of(matrix):
    """A copy of matrix (n, n) in which each diagonal is replaced by its mean."""
    stripes = np.zeros_like(matrix)
    for offset in range(-len(matrix) + 1, len(matrix)):
        places = np.eye(len(matrix), k=offset) == 1
        stripes[places] = matrix[places].mean()
    return stripes


taps = 7
middle = length // 2
learned_kernel = stripes_of(learned)[middle, middle - taps : middle + taps + 1]  # (15,)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.5), layout="constrained", width_ratios=[1, 1.5])
drawn = show(axes[0], learned, "a trained dense layer:\n1,024 free weights", signed=True)
axes[0].set(xlabel="input pixel", ylabel="output pixel")
fig.colorbar(drawn, ax=axes[0], label="weight")
for start in range(length // 2 - 4, length // 2 + 5):
    window = learned[start, start - taps : start + taps + 1]
    axes[1].plot(np.arange(-taps, taps + 1), window, color="gray", linewidth=1)
axes[1].plot(
    np.arange(-taps, taps + 1),
    learned_kernel,
    "o",
    markersize=4,
    color="black",
    label="mean of each diagonal",
)
axes[1].set(
    title="nine of its rows (lines),\neach moved to its own pixel",
    xlabel="distance (pixels)",
    ylabel="weight",
    ylim=(-0.05, 0.7),
    xticks=range(-6, 7, 2),
)
axes[1].legend(loc="upper right", fontsize=7)
fig.suptitle("What a dense layer learned from a photograph", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the trained weights as a matrix: a narrow diagonal band, zero elsewhere. Right, nine rows of it laid over each other after moving each to its own pixel, all nearly equal to their mean.](figures/learned_matrix.png)
#
# A diagonal band. Far from the diagonal the weights are nearly zero: the layer discovered **sparse interaction**. Along the diagonal they repeat: it discovered **sharing**. Nobody asked for it: **a dense layer, trained on photographs, reinvents convolution.**
#
# How exactly? Replace each diagonal by its mean. What is left is a convolution, and the next cell says how much of the layer's energy (sum of squared weights) it holds: more than 99 %. Do not trust such a number at once. More than four fifths of that energy are the main diagonal, which says no more than "answer with what you see". So leave the main diagonal out. Of the energy beside it 98 % is still a convolution; of random weights it would be 6 %.
#
# </details>


# %%
def convolution_shares(matrix):
    """Share of the energy of matrix (n, n) that its stripes hold: of all of it, and off the main diagonal."""
    stripes, off = stripes_of(matrix), ~np.eye(len(matrix), dtype=bool)
    whole = float(np.sum(stripes**2) / np.sum(matrix**2))
    return whole, float(np.sum(stripes[off] ** 2) / np.sum(matrix[off] ** 2))


share, share_off = convolution_shares(learned)
on_diagonal = float(np.sum(np.diag(learned) ** 2) / np.sum(learned**2))
by_chance = 2 / length  # what random weights give on average: 2n - 2 of n*n - n off the diagonal
print(f"energy on the main diagonal     {100 * on_diagonal:5.1f} %")
print(f"a convolution, of all of it     {100 * share:5.1f} %")
print(
    f"a convolution, off the diagonal {100 * share_off:5.1f} %   (random: {100 * by_chance:.1f} %)"
)
assert share > 0.99
assert share_off > 0.97
assert 0.8 < on_diagonal < 0.86

# %% [markdown]
# **Why?** Here is a guess: photographs look alike everywhere. Shift the data, and you have data that are just as likely. So the *world* did the averaging over shifts. A guess needs a control: data for which it is not so. Take the rows of the digits of part 1. They always stand in the middle of their canvas of 16 pixels. Same noise, same least squares. Then take the very same rows and roll each around the ring of 16 pixels, by a random number of places.
#
# **Predict.** What does the layer look like that was trained on centred rows? And the one that was trained on rolled rows?

# %% figure="symmetry_control"
centred = on_canvas(train_x)[:, 0, 4:12].reshape(-1, 16)  # the rows with ink: (8000, 16)
by = rng.integers(0, 16, len(centred))
rolled = np.take_along_axis(centred, (np.arange(16) - by[:, None]) % 16, axis=1)
layers = {"always centred": denoiser(centred), "rolled to random places": denoiser(rolled)}
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.5), layout="constrained")
for ax, (name, layer) in zip(axes, layers.items(), strict=True):
    drawn = show(ax, layer, name, signed=True, limit=0.4)
    ax.set(xlabel="input pixel", ylabel="output pixel")
fig.colorbar(drawn, ax=axes, label="weight", extend="both")
fig.suptitle("The same rows of digits, the same solver", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two matrices of 16 by 16 weights. Trained on centred rows: a short piece of the diagonal in the middle, its neighbours irregular, and nothing at either end. Trained on rolled rows: an even diagonal with even neighbours, from corner to corner.](figures/symmetry_control.png)
#
# Trained on centred digits, the layer learns what each *place* needs: at the rim there is never any ink, so it answers 0 there. Only about 40 % of its energy is a convolution. Trained on the same rows, rolled, it is one to within a thousandth. Same data, same noise, same solver. **Only the symmetry of the world has changed.** This is also what went wrong in part 1: on centred digits nothing tells a dense layer that places are alike.
#
# So on photographs a convolution forbids nothing that the dense layer wanted to learn. It only saves the examples that were needed for learning it. And where the world has no such symmetry, it does forbid something: remember the passport office.
#
# </details>

# %%
for name, layer in layers.items():
    whole, off = convolution_shares(layer)
    print(f"{name:<24} a convolution: {100 * whole:6.2f} %, off the diagonal {100 * off:6.2f} %")
_whole, _off = convolution_shares(layers["always centred"])
assert 0.3 < _whole < 0.5
assert _off < 0.5
_whole, _off = convolution_shares(layers["rolled to random places"])
assert _whole > 0.999
assert _off > 0.98

# %% [markdown]
# Last, take the mean kernel out of the dense layer and slide it, with your own function, over whole rows of the *right half* of the photograph, which neither has seen.

# %%
test_rows = full_grey[10:410:10, half:]  # (40, 320)
test_noisy = test_rows + sigma * rng.standard_normal(test_rows.shape)
slid = np.stack([cross_correlate1d(row, learned_kernel, padding=taps) for row in test_noisy])
blocks = test_noisy.reshape(-1, length) @ learned.T  # the dense layer knows pieces of 32 only
errors = {
    "noisy": test_noisy,
    f"dense layer, {learned.size} weights": blocks.reshape(test_rows.shape),
    f"its kernel, {len(learned_kernel)} weights": slid,
}
rms = {
    name: float(np.sqrt(np.mean((rows - test_rows)[:, taps:-taps] ** 2)))
    for name, rows in errors.items()
}
for name, value in rms.items():
    print(f"{name:<26} root mean square error {value:.4f}")
print(f"(n = {len(test_rows)} rows of {test_rows.shape[1]} pixels, seed {seed}, noise {sigma})")
before, by_dense, by_kernel = rms.values()
assert by_dense < 0.7 * before
assert abs(by_kernel / by_dense - 1) < 0.02

# %% [markdown]
# Fifteen numbers do as well as the 1,024 they came from, to within 2 %. And they take rows of any length, where the dense layer needs pieces of 32.

# %% [markdown]
# ## 9. The thing done
#
# Back to the digits of part 1. Same ten templates, same 640 numbers. In part 1 each template was nailed to the middle of the canvas. Now it slides: the templates have shape `(10, 1, 8, 8)`, and that is a set of ten filters for **your** `conv2d`. With one ring of zeros around the canvas each filter makes a map of $16 + 2 - 8 + 1 = 11$ by 11 places. Keep the largest value of each map. The largest of ten wins.
#
# **Predict.** What is the accuracy at the shifts 0, 2 and 4?

# %%
slid_accuracy = []
for right in shifts[::2]:
    maps = conv2d(on_canvas(test_x, right=right), templates, padding=1)  # (N, 10, 11, 11)
    slid_accuracy.append(100 * float(np.mean(maps.max(axis=(2, 3)).argmax(axis=1) == test_y)))
print("shift            ", " ".join(f"{right:4d} px" for right in shifts[::2]))
print("dense, templates ", " ".join(f"{value:5.1f} %" for value in accuracy["templates"][::2]))
print(
    "slid, templates  ",
    " ".join(f"{value:5.1f} %" for value in slid_accuracy),
    f"  (n = {len(test_y)})",
)

# %% figure="slid_templates"
fig = plt.figure(figsize=(7.2, 2.7), layout="constrained")
left_part, right_part = fig.subfigures(1, 2, width_ratios=[1.1, 1.3])
for ax, template, c in zip(
    left_part.subplots(2, 5).ravel(), templates[:, 0], range(10), strict=True
):
    show(ax, template, str(c), cmap="viridis")
left_part.suptitle("ten filters, 640 weights", fontsize=9)
ax = right_part.subplots()
for (name, values), style in zip(accuracy.items(), ("o-", "s--"), strict=True):
    ax.plot(shifts, values, style, color="gray", label=f"{name}, dense")
ax.plot(shifts[::2], slid_accuracy, "D-", color="C0", label="the same templates, slid")
ax.set(title="The same templates, nailed down and slid", ylim=(0, 100), xticks=shifts)
ax.set(xlabel="shift of the test digits (pixels)", ylabel="accuracy (%)")
ax.legend(loc="center right", fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Ten blurred mean digits as filters, and accuracy against shift: both dense layers fall to chance, the slid templates stay on a level line above 85 %.](figures/slid_templates.png)
#
# A level line, to the last digit: slide the same weights, and the shift is gone. As long as the digit does not leave the canvas, its map moves with it (equivariance), and the largest value of a map does not care where it stands (invariance). The weights are those of the dense layer. They even read *centred* digits better, as no handwritten digit is quite in the middle.
#
# To the *last* digit is more than you may expect from a canvas with borders. It needs one fact: the winning template fits best at the digit's own place or one column beside it, never farther off. Hence the one ring of zeros. At shift 4 the digit touches the right edge, and the map reaches just one place past it. The next cell makes sure.
#
# </details>

# %%
centred_maps = conv2d(on_canvas(test_x), templates, padding=1)  # the digit's own place is (5, 5)
winner = centred_maps.max(axis=(2, 3)).argmax(axis=1)
best_column = centred_maps[np.arange(len(winner)), winner].max(axis=1).argmax(axis=1)
print(f"best column minus own column: from {best_column.min() - 5} to {best_column.max() - 5}")
assert np.abs(best_column - 5).max() <= 1
assert max(slid_accuracy) == min(slid_accuracy) > 85

# %% [markdown]
# **Inputs of any size.** Nothing in the ten filters says how wide the picture is. Here is a strip of 16 x 80 pixels with five digits, one in each 16 pixels, at places chosen by chance. One call of your function gives the response of every template at every place. We then cut the strip into its five known cells and take the strongest response in each: we tell the filters *where* to look for a digit and ask them only *which* it is. (Unit 17 finds out where as well.)

# %% figure="any_size"
strip = np.zeros((1, 1, 16, 80))
rng = np.random.default_rng(seed)
chosen = [0, 1, 2, 3, 4]
for place, number in enumerate(chosen):
    top, left = int(rng.integers(0, 9)), 16 * place + int(rng.integers(0, 9))
    strip[0, 0, top : top + 8, left : left + 8] = test_x[number, 0]
strip_maps = conv2d(strip, templates, padding=4)[0]  # (10, 17, 81)
best = strip_maps.max(axis=1)  # the best height for each column: (10, 81)
fig, axes = plt.subplots(2, 1, figsize=(6.8, 3.2), layout="constrained", height_ratios=[1, 1.5])
show(axes[0], strip[0, 0], "A picture five times as wide needs no new weights", aspect="auto")
drawn = axes[1].imshow(best, cmap="viridis", aspect="auto", origin="lower")
for place, number in enumerate(chosen):
    piece = best[:, 16 * place : 16 * place + 16]
    digit, column = np.unravel_index(piece.argmax(), piece.shape)
    axes[1].plot(
        16 * place + column,
        digit,
        "o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor="white",
    )
    axes[1].annotate(
        f"{digit} (true: {test_y[number]})",
        (16 * place + column, digit),
        xytext=(9, 0) if place < 3 else (-9, 0),
        textcoords="offset points",
        color="white",
        ha="left" if place < 3 else "right",
        va="center",
        fontsize=7,
    )
axes[1].set(xlabel="column (pixels)", ylabel="template", yticks=range(10))
fig.colorbar(drawn, ax=axes[1], label="response")
plt.show()

# %% [markdown]
# ![A strip with five handwritten digits and, below it, the response of the ten templates along the strip, with the strongest response in each cell of 16 columns ringed and named.](figures/any_size.png)

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **A convolution layer is one small set of weights, slid over the picture.** $y[n,f,i,j] = b[f] + \sum_{c,k_1,k_2} x_p[n,c,is+k_1,js+k_2]\,w[f,c,k_1,k_2]$. Channels are summed, filters make maps, the kernel is not flipped.
# 2. **The size is $\lfloor (n+2p-m)/s \rfloor + 1$**, and the number of weights, $C_{out} C_{in} k_H k_W$, does not depend on the size of the picture.
# 3. **Linear and equivariant to translation means convolution.** Borders and strides break it.
#
# ## What to read
#
# - Y. LeCun and others, *Backpropagation Applied to Handwritten Zip Code Recognition*, Neural Computation 1989: shared weights, trained by backpropagation, on real mail.
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-Based Learning Applied to Document Recognition*, Proceedings of the IEEE 1998, section II: local receptive fields, shared weights, LeNet-5 (you build it in unit 10).
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, [arXiv:1603.07285](https://arxiv.org/abs/1603.07285): every case of padding and stride as a picture.
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, [chapter 9](https://www.deeplearningbook.org/contents/convnets.html): sparse interactions, parameter sharing, equivariant representations, and locally connected layers.
# - R. Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, [arXiv:1904.11486](https://arxiv.org/abs/1904.11486): what striding does to equivariance, and blurring as the cure.
#
# ## The road not taken
#
# Part 8 asked for fairness to *shifts* and got convolution. Ask for fairness to rotations as well, and other layers come out: group-equivariant networks (T. Cohen and M. Welling, 2016, [arXiv:1602.07576](https://arxiv.org/abs/1602.07576)). Ask for less fairness, give the layer more pictures, and it may find out by itself what it needs, as your denoiser did. Vision transformers make this bet: they cut the picture into patches and learn from data which patches are neighbours (A. Dosovitskiy and others, 2020, [arXiv:2010.11929](https://arxiv.org/abs/2010.11929)). There is also a fast road for large kernels, through the Fourier transform, where convolution is a product. Networks have small kernels, and for these unit 05 finds a shorter one.
