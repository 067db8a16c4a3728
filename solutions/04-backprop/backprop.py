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
#       submission_seconds: 400
#     minutes: 360
#     prerequisites:
#     - 03-pooling
#     title: Backpropagation
# ---

# %% [markdown]
# # Backpropagation
#
# **360 minutes, best in three sittings (parts 1 to 5, 6 to 8, 9 to 11). You need units 01 to 03, and the derivative of a function of one variable.**
#
# Until now nobody has learned anything. The weights of your networks came from a formula, from mean pictures, or from a person who drew a kernel by hand. Today you build the machine that finds them. You will write the backward half of every layer that your network needs, check each one against a method that is slow and hard to get wrong, and at the end your own network, arrays and nothing else, learns ten pictures by heart.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: 1,898 knobs, and which way to turn each? | 15 |
# | 2 | `numerical_gradient`: slow and sure, and its traps | 45 |
# | 3 | nothing: the chain rule, drawn as a graph | 25 |
# | 4 | `sigmoid_backward`, `tanh_backward`, `relu_backward`, `leaky_relu_backward`, `swish_backward` | 35 |
# | 5 | `dense_backward`, `cross_entropy_backward` | 45 |
# | 6 | `conv_matrix`: a convolution is a dense layer with shared weights | 40 |
# | 7 | `conv2d_backward` | 60 |
# | 8 | `max_pool2d_backward`, `avg_pool2d_backward` | 35 |
# | 9 | `Dense`, `Sequential`: layers that keep what they need | 40 |
# | 10 | the whole network checked, and ten images learned by heart | 10 |
# | 11 | a surprise: wrong gradients that learn | 10 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **The order.** A backward function takes the **upstream gradient `dy` first**, then the inputs of the forward function. It returns **one gradient for each input that can be differentiated**, in the order of the arguments: `conv2d_backward(dy, x, w, stride=1, padding=0) -> dx, dw, db`. Several gradients are a tuple, one is the array itself.
# - **Shapes.** `dy` has the shape of the forward result. A gradient has the shape of what it is the gradient of: `dx` that of `x`, `dw` that of `w`. Pictures are `(N, C, H, W)`, weights `(C_out, C_in, kH, kW)`; $H$ and $W$ may differ, and so may $k_H$ and $k_W$.
# - **`dy` holds any floating numbers**, not only ones. It comes from the layers behind yours.
# - **Kinds of numbers.** Arguments are NumPy arrays of float32 or float64; `x` may also hold integers (a photograph is `uint8`), except logits, which are floating. A result is **always floating**. float64 is always right; float32 is right too where the arguments are float32.
# - **Views.** Arguments may be non-contiguous: a slice, a transpose, a reversed array.
# - **No argument is changed.** (`numerical_gradient` may turn its `x` while it works, and leaves it bit for bit as it was.) The result may share memory with an argument.
# - **`stride` and `padding`** are Python ints, **`kernel_size`** is an int or a pair. For pooling `stride=None` means "as large as the kernel", and padding is at most half the kernel. The kernel always fits into the padded picture. Rows and columns that no window sees have gradient zero.
# - **Classes** (`Dense`, `Sequential`) promise what part 9 says.
# - **Speed does not count.** Python loops earn full marks.
#
# NumPy only. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full": every knob, three seeds, MNIST, sliders
seed = 0

# %% locked=true
import os
import time

import matplotlib.pyplot as plt
import numpy as np
from previously import (
    avg_pool2d,
    conv2d,
    cross_entropy,
    dense,
    flatten,
    leaky_relu,
    max_pool2d,
    relu,
    sigmoid,
    softmax,
    swish,
    tanh,
)

from data import DataError, digits, mnist
from grader import check

plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})


def show(ax, picture, title, signed=False, limit=None, **settings):
    """Draw picture (H, W) on ax: grey, or orange-white-purple around zero if signed."""
    if signed:
        limit = limit or float(np.abs(picture).max()) or 1.0
        settings = {"cmap": "PuOr", "vmin": -limit, "vmax": limit} | settings
    else:
        settings = {"cmap": "gray"} | settings
    drawn = ax.imshow(picture, **settings)
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


def write_values(ax, values, form="{:.0f}", size=8, times=1):
    """Write each of values (H, W), multiplied by times, into its pixel."""
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = ax.images[0].to_rgba(value)
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
        text = form.format(value * times)
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def relative_error(a, b):
    """Length of a - b, relative to the lengths of a and b: 0 is equal, 1 is as wrong as can be."""
    size = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(np.subtract(a, b)) / size) if size else 0.0


# %% [markdown]
# ## 1. 1,898 knobs
#
# Here is a small convolutional network for the handwritten digits of 8 x 8 pixels. You have written every function in it. Eight filters look for something, a pooling halves the picture, sixteen filters look for something in that, another pooling, and a dense layer names the digit. All weights are random. A network's weights are its **knobs**.

# %% locked=true
handwritten = digits()
ten_x, ten_y = handwritten.images[:10].astype(float), handwritten.labels[:10]  # one of each digit


def random_knobs(rng):
    """The weights and biases of the small network, named by the number of their layer."""

    def draw(*shape, inputs):
        return rng.standard_normal(shape) * np.sqrt(2 / inputs)

    return {
        "0.w": draw(8, 1, 3, 3, inputs=9),
        "0.b": np.zeros(8),
        "3.w": draw(16, 8, 3, 3, inputs=72),
        "3.b": np.zeros(16),
        "7.w": draw(64, 10, inputs=64),
        "7.b": np.zeros(10),
    }


def loss_of(knobs, x, y):
    """Mean cross-entropy of the small network on pictures x (N, 1, 8, 8) with labels y (N,)."""
    x = max_pool2d(relu(conv2d(x, knobs["0.w"], knobs["0.b"], padding=1)), 2)  # (N, 8, 4, 4)
    x = max_pool2d(relu(conv2d(x, knobs["3.w"], knobs["3.b"], padding=1)), 2)  # (N, 16, 2, 2)
    return cross_entropy(dense(flatten(x), knobs["7.w"], knobs["7.b"]), y)


knobs = random_knobs(np.random.default_rng(seed))
number_of_knobs = sum(values.size for values in knobs.values())
first_loss = loss_of(knobs, ten_x, ten_y)
print(f"knobs: {number_of_knobs:,}")
print(
    f"loss on ten pictures: {first_loss:.3f}   (who answers 10 % for each digit has {np.log(10):.3f})"
)
assert number_of_knobs == 1898
assert round(first_loss, 2) == 3.56
assert np.array_equal(ten_y, np.arange(10))

# %% [markdown]
# To learn is to turn the knobs so that the loss goes down. Which way, and how far? Take hold of four of them. Turn one at a time by up to 1 in either direction, leave all others alone, and write down the loss.
#
# **Predict.** How many of the four curves go *down* to the right? If you had to turn all knobs at once, what would you need to know of each?

# %% figure="four_knobs"
chosen = [("0.w", (2, 0, 1, 1)), ("3.w", (5, 3, 0, 2)), ("7.w", (40, 3)), ("7.b", (8,))]
turns = np.linspace(-1, 1, 21)


def loss_with(name, place, turn):
    """The loss with one knob turned by turn."""
    turned = knobs | {name: knobs[name].copy()}
    turned[name][place] += turn
    return loss_of(turned, ten_x, ten_y)


fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.1), sharey=True, layout="constrained")
for ax, (name, place) in zip(axes, chosen, strict=True):
    losses = [loss_with(name, place, turn) for turn in turns]
    slope = (loss_with(name, place, 1e-5) - loss_with(name, place, -1e-5)) / 2e-5
    ax.plot(turns, losses, color="C0")
    ax.plot(turns[5:16], first_loss + slope * turns[5:16], "--", color="black", linewidth=1)
    ax.plot(0, first_loss, "o", color="black", markersize=4)
    ax.set(title=f"{name}{list(place)}\nslope {slope:.3f}", xlabel="turned by")
axes[0].set(ylabel="loss (nats)")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Four curves of the loss against the turn of one weight each, with the tangent at zero as a dashed line and its slope in the title; the slopes differ in sign and in size.](figures/four_knobs.png)
#
# One of the four, the last, goes down to the right. Every curve has its own slope at the black dot, with its own sign and its own size. The slope of one knob says which way to turn *it*. All slopes together are the **gradient**: one number for each knob. That is all you need in order to turn all of them at once: each against its slope, the steep ones further.
#
# </details>
#
# So measure all slopes like that: turn each knob up a little, run the network, turn it down a little, run the network. Two runs for each knob. How long does that take?


# %%
def seconds_per_call(f, repeats=10):
    """The fastest of several calls of f, in seconds of wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


forward_seconds = seconds_per_call(lambda: loss_of(knobs, ten_x, ten_y))
runs = 2 * number_of_knobs
print(f"one run of the network    {1000 * forward_seconds:8.2f} ms")
print(f"one gradient, {runs:,} runs {runs * forward_seconds:8.1f} s")
alexnet = 61_100_840
hours = 2 * alexnet * forward_seconds / 3600
print(
    f"AlexNet, {alexnet:,} knobs, if a run took no longer than this: {hours:.0f} hours a gradient"
)
if profile == "full":
    start = time.perf_counter()
    for name, values in knobs.items():
        for place in np.ndindex(values.shape):
            loss_with(name, place, 1e-5), loss_with(name, place, -1e-5)
    print(f"measured: {time.perf_counter() - start:.1f} s")

# %% [markdown]
# Seconds for one step of a tiny network, on ten pictures. Training takes thousands of steps, and the runs of a larger network are longer as well as more. You cannot learn like that.
#
# By the end of this lesson you have the same 1,898 slopes, all of them, for the price of *a few* runs. Part 10 measures how few.

# %% [markdown]
# ## 2. Slow and sure: the numerical gradient
#
# **Idea.** Before you build something fast and clever, build something slow that is hard to get wrong. It will be the judge of all that follows.
#
# **Formula.** Let $f$ take an array $x$ and return an array $y$. You want one number for each element of $x$. A layer's output has many numbers, so first they are made one: $L = \sum f(x) \cdot dy$, a weighted sum. The weights $dy$ say how much the rest of the world cares for each output; they are called the **upstream gradient**. Then turn element number $k$ of $x$ up and down by $h$, others untouched:
#
# $$dx_k = \sum_j \frac{f(x + h\,e_k)_j - f(x - h\,e_k)_j}{2h}\; dy_j .$$
#
# ($e_k$ is 1 at place $k$ and 0 elsewhere.) This is a **central difference**.
#
# **Why both sides?** Write Taylor's series twice, $f(x \pm h) = f \pm h f' + \frac{h^2}{2} f'' \pm \frac{h^3}{6} f''' + \dots$ Subtract and divide:
#
# $$\frac{f(x+h) - f(x-h)}{2h} = f' + \frac{h^2}{6} f''' + \dots \qquad\text{but}\qquad \frac{f(x+h) - f(x)}{h} = f' + \frac{h}{2} f'' + \dots$$
#
# The even terms cancel. With $h = 10^{-5}$ the central difference is off by about $10^{-11}$, the one-sided difference by about $10^{-5}$.
#
# **By hand.** $f(x) = x^3$ at $x = 1$ with a coarse $h = 0.5$: $(1.5^3 - 0.5^3) / 1 = 3.375 - 0.125 = 3.25$. The slope is 3, the error is $\frac{h^2}{6} f''' = \frac{0.25}{6} \cdot 6 = 0.25$. (The one-sided difference gives $(3.375 - 1)/0.5 = 4.75$.)

# %% [markdown]
# ### Exercise: `numerical_gradient`
#
# *20 minutes, medium. What it is for: the judge of every backward function that you will ever write.*
#
# `f` is any function of one array. It looks only at its argument. It may return a number or an array of any shape; it may even return **its argument itself, or a view of it** (`lambda v: v`, `lambda v: v.T`). `x` is float64, of any shape, and may be a view. When you are done, `x` holds bit for bit what it held before.
#
# Three tests: the differences (2 points), the upstream gradient (1 point), and what may go wrong with memory (1 point).
#
# <details><summary>Hint 1: all places of an array of any shape</summary>
#
# `for place in np.ndindex(x.shape)` runs over all index tuples, and `x[place]` is the element. It works for views as well. `x.ravel()[k] = ...` does not: of a view that is not contiguous, `ravel` makes a copy, and `f` never sees your turn.
#
# </details>
# <details><summary>Hint 2: bit for bit</summary>
#
# `x[place] += h`, later `x[place] -= h`: in floating point $(x + h) - h$ need not be $x$. What would you have to keep?
#
# </details>
# <details><summary>Hint 3: f returns its argument</summary>
#
# With `f = lambda v: v` the result of `f(x)` *is* `x`. Turn `x` back, and the result that you kept turns back with it. When must you copy?
#
# </details>


# %% exercise="numerical_gradient"
def numerical_gradient(f, x, dy=None, h=1e-5):
    """Gradient of sum(f(x) * dy) with respect to x (float64, any shape) by central differences -> shape of x.

    dy: an array like f(x), or a number, or None for ones. f looks only at its argument, and may
    return it or a view of it. Afterwards x is bit for bit what it was.
    """
    ### BEGIN SOLUTION
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = np.array(f(x))  # a copy: f may have returned x itself
        x[place] = kept - h
        below = np.array(f(x))
        x[place] = kept  # not += h: that would round
        slope = (above - below) / (2 * h)
        dx[place] = np.sum(slope if dy is None else slope * dy)
    return dx
    ### END SOLUTION


# %% tests="numerical_gradient" part="differences" points=2
# The example of the text: (1.5**3 - 0.5**3) / (2 * 0.5) = 3.25
check.close(
    numerical_gradient(lambda v: v**3, np.array([1.0]), h=0.5),
    np.array([3.25]),
    what="numerical_gradient of x**3 at 1, h=0.5",
)
# Each element has its own slope: of x**2 it is 2 x
check.close(
    numerical_gradient(lambda v: (v**2).sum(), np.array([[1.0, -2.0, 3.0], [0.5, 0.0, 4.0]])),
    np.array([[2.0, -4.0, 6.0], [1.0, 0.0, 8.0]]),
    what="numerical_gradient of the sum of x**2",
)
# f may return fewer numbers than it takes: all of them are added up. d(ab + b)/da = b, d/db = a + 1
check.close(
    numerical_gradient(lambda v: np.array([v[0] * v[1], v[1]]), np.array([3.0, 5.0])),
    np.array([5.0, 4.0]),
    what="numerical_gradient of (a*b, b) at (3, 5)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(401)
    for shape in ((5,), (3, 4), (2, 1, 3, 2), ()):
        x = np.array(rng.standard_normal(shape))
        expected = np.cos(x) * np.exp(np.sin(x))
        check.close(
            numerical_gradient(lambda v: np.exp(np.sin(v)), x),
            expected,
            what=f"numerical_gradient of exp(sin(x)), x of shape {shape}",
        )
    for h in (0.5, 0.1, 1e-3, 1e-7):
        x = rng.standard_normal((2, 3)) + 2
        expected = 3 * x**2 + h**2
        check.close(
            numerical_gradient(lambda v: v**3, x, h=h),
            expected,
            what=f"numerical_gradient of x**3, h={h}",
        )
    check.close(
        numerical_gradient(lambda v: np.maximum(v, 0), np.array([1.5e-5, 0.5e-5])),
        np.array([1.0, 0.75]),
        what="numerical_gradient of max(x, 0) at 1.5e-5 and 0.5e-5, h=1e-5",
    )
    a, x = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    expected = np.repeat(a.sum(axis=0)[:, None], 2, axis=1)
    check.close(
        numerical_gradient(lambda v: a @ v, x), expected, what="numerical_gradient of a @ x"
    )
    check.close(
        numerical_gradient(lambda v: 7, x),
        np.zeros((3, 2)),
        what="numerical_gradient of a constant",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="numerical_gradient" part="upstream" points=1
# The first output counts 10 times, the second is subtracted: d(10 ab - b)/da = 10 b = 50, d/db = 10 a - 1 = 29
check.close(
    numerical_gradient(
        lambda v: np.array([v[0] * v[1], v[1]]), np.array([3.0, 5.0]), np.array([10.0, -1.0])
    ),
    np.array([50.0, 29.0]),
    what="numerical_gradient of (a*b, b) at (3, 5) with dy = (10, -1)",
)
# dy may be a number: twice the slope of x**2 at 3
check.close(
    numerical_gradient(lambda v: v[0] ** 2, np.array([3.0]), 2.0),
    np.array([12.0]),
    what="numerical_gradient of x**2 at 3 with dy = 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(402)
    for n, k, m in ((2, 3, 4), (3, 1, 2), (1, 4, 1)):
        a, x, dy = (
            rng.standard_normal((n, k)),
            rng.standard_normal((k, m)),
            rng.standard_normal((n, m)),
        )
        expected, before = a.T @ dy, dy.copy()
        check.close(
            numerical_gradient(lambda v, a=a: a @ v, x, dy),
            expected,
            what=f"numerical_gradient of a @ x, a {a.shape}, x {x.shape}, with dy",
        )
        check.unchanged(before, dy, what="dy")
    x, dy = rng.standard_normal((2, 3)), rng.standard_normal((3, 2))
    expected = 2 * x * dy.T
    check.close(
        numerical_gradient(lambda v: v.T**2, x, dy=dy),
        expected,
        what="numerical_gradient of x.T**2 with dy",
    )
    check.close(
        numerical_gradient(lambda v: v**2, x, dy=np.zeros((2, 3))),
        np.zeros((2, 3)),
        what="numerical_gradient with dy = 0",
    )
    expected = -3 * np.cos(x)
    check.close(
        numerical_gradient(np.sin, x, dy=-3.0), expected, what="numerical_gradient of sin, dy = -3"
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="numerical_gradient" part="memory" points=1
@check.remote
def _of_itself(numerical_gradient, x, dy, how):
    """The numerical gradient of a function that returns its argument, or a view of it."""
    return numerical_gradient({"itself": lambda v: v, "a view": lambda v: v.T}[how], x, dy)


# f returns its own argument: every slope is 1
check.close(
    _of_itself(numerical_gradient, np.array([2.0, 5.0]), None, "itself"),
    np.array([1.0, 1.0]),
    what="numerical_gradient of f(x) = x",
)
# After the call x is what it was. A huge step shows it: (0.1 + 1e12) - 1e12 is 0.09998 in the machine
_x = np.array([0.1, 0.7])
numerical_gradient(lambda v: 2 * v, _x, h=1e12)
check.equal(_x, np.array([0.1, 0.7]), what="x after numerical_gradient, h=1e12")
# To the last bit, whatever the step
numerical_gradient(lambda v: v**2, _x)
check.equal(_x, np.array([0.1, 0.7]), what="x after numerical_gradient")
del _x, _of_itself


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def of_itself(numerical_gradient, x, dy, how):
        functions = {"itself": lambda v: v, "a view": lambda v: v.T, "a part": lambda v: v[1:]}
        return numerical_gradient(functions[how], x, dy)

    @check.remote
    def of_a_view(numerical_gradient, whole, step):
        part = whole[::step, ::-1].T
        return numerical_gradient(lambda v: v**2, part), whole

    rng = np.random.default_rng(403)
    x, dy = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    check.close(
        of_itself(numerical_gradient, x, dy, "itself"), dy, what="numerical_gradient of f(x) = x"
    )
    check.close(
        of_itself(numerical_gradient, x, dy.T, "a view"),
        dy,
        what="numerical_gradient of f(x) = x.T",
    )
    expected = np.concatenate([np.zeros((1, 4)), dy[1:]])
    check.close(
        of_itself(numerical_gradient, x, dy[1:], "a part"),
        expected,
        what="numerical_gradient of f(x) = x[1:]",
    )
    whole = rng.standard_normal((5, 3))
    expected, before = 2 * whole[::2, ::-1].T, whole.copy()
    got, after = of_a_view(numerical_gradient, whole, 2)
    check.close(got, expected, what="numerical_gradient where x is a view")
    check.equal(after, before, what="x, a view, after numerical_gradient")
    x = rng.random((2, 3))
    before = x.copy()
    numerical_gradient(lambda v: -3 * v, x, h=1e13)
    check.equal(x, before, what="x after numerical_gradient, h=1e13")
    for scale in (1e-9, 1.0, 1e3):
        x = rng.standard_normal((4, 5)) * scale
        before = x.copy()
        numerical_gradient(lambda v: np.sin(v), x)
        check.equal(x, before, what=f"x after numerical_gradient, numbers of size {scale}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** How small should $h$ be? In the formula the error is $\frac{h^2}{6} f'''$: the smaller the better. Try $h$ from 1 down to $10^{-13}$ on $f(x) = \sin x$, whose slope you know.
#
# **Predict.** Draw the error against $h$ in your mind, both axes logarithmic. What is the slope of the line where $h$ is large? What happens when $h$ becomes tiny? And if $f$ works in float32, as most networks do: which $h$ is best then?

# %% figure="the_v"
points = np.linspace(0.3, 1.2, 10)
steps = 10.0 ** np.arange(-13, 0.5, 0.5)


def sine32(v):
    """The sine, computed in float32."""
    return np.sin(v.astype(np.float32))


def one_sided(f, x, h):
    """Forward differences, element by element, as f is elementwise."""
    return (f(x + h) - f(x)) / h


errors = {"central, float64": [], "one-sided, float64": [], "central, float32": []}
for h in steps:
    guesses = (
        numerical_gradient(np.sin, points, h=h),
        one_sided(np.sin, points, h),
        numerical_gradient(sine32, points, h=h),
    )
    for line, guess in zip(errors.values(), guesses, strict=True):
        line.append(max(relative_error(guess, np.cos(points)), 1e-16))
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
for (name, line), style in zip(errors.items(), ("o-", "s--", "^:"), strict=True):
    ax.loglog(steps, line, style, markersize=4, label=name)
ax.loglog(steps[16:], steps[16:] ** 2 / 12, color="gray", linewidth=1)
ax.text(2e-2, 1e-6, "$h^2$", color="gray")
ax.loglog(steps[:14], 4e-17 / steps[:14], color="gray", linewidth=1)
ax.text(1e-10, 2e-9, r"$\epsilon/h$", color="gray")
ax.axvline(1e-5, color="black", linewidth=1)
ax.set(xlabel="h", ylabel="relative error", ylim=(1e-13, 10), title="How wrong is the difference?")
ax.legend(fontsize=7, loc="lower left")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Relative error against h on logarithmic axes: three curves in the shape of a V. Central differences in float64 are best near 1e-5 with an error near 1e-11, one-sided ones near 1e-8 with an error near 1e-8, central ones in float32 near 3e-3 with an error of a few millionths.](figures/the_v.png)
#
# A **V**. On its right arm you see Taylor: the error falls like $h^2$ (one-sided: like $h$). On its left arm you see the machine: $f(x+h)$ and $f(x-h)$ agree in nearly all of their digits. A float64 keeps about 16, $\epsilon \approx 2 \cdot 10^{-16}$, so their difference carries an error of about $\epsilon$, and you divide it by $h$. The sum $\frac{h^2}{6} + \frac{\epsilon}{h}$ is smallest where $h^3 \approx 3\,\epsilon$, so $h \approx 10^{-5}$: the vertical line, and the default of your function. In **float32** $\epsilon \approx 10^{-7}$: the best $h$ is a few thousandths, and with $h = 10^{-5}$ the difference is worth little. **Check gradients in float64**, also of networks that will run in float32.
#
# </details>

# %%
best = {name: (float(steps[np.argmin(line)]), float(min(line))) for name, line in errors.items()}
at_default = {name: line[int(np.argmin(np.abs(steps - 1e-5)))] for name, line in errors.items()}
for name, (h, error) in best.items():
    print(
        f"{name:<19} best h {h:7.0e}: error {error:7.0e}     error at h = 1e-05: {at_default[name]:7.0e}"
    )
assert 1e-6 <= best["central, float64"][0] <= 1e-4
assert best["central, float64"][1] < 1e-10
assert best["one-sided, float64"][1] > 1e-10
assert 1e-3 <= best["central, float32"][0] <= 1e-1
assert at_default["central, float32"] > 1e-4

# %% [markdown]
# **The second trap: kinks.** ReLU has no slope at 0. Your difference does not know. If the kink lies between $x - h$ and $x + h$, it measures a bit of each side.
#
# **Predict.** 1,000 numbers from the standard normal distribution go through a ReLU. The true slope of each is 0 or 1. You compute it with $h = 10^{-1}$, then $10^{-2}$, ... How many of the 1,000 slopes are wrong? (The density of the normal distribution at 0 is 0.4.)

# %% figure="kinks"
inputs = np.random.default_rng(seed).standard_normal(1000)
sizes = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
wrong = [
    int(np.sum(np.abs(numerical_gradient(relu, inputs, h=h) - (inputs > 0)) > 1e-3)) for h in sizes
]
near = np.linspace(-2, 2, 41)  # in units of h
fig, axes = plt.subplots(1, 2, figsize=(6.6, 2.4), layout="constrained")
axes[0].plot(
    near, numerical_gradient(relu, near * 1e-5, h=1e-5), "o-", markersize=3, label="measured"
)
axes[0].step(near, near > 0, "--", where="pre", color="black", linewidth=1, label="true slope")
axes[0].set(xlabel="x, in units of h", ylabel="slope of ReLU", title="Across the kink")
axes[0].legend(fontsize=7)
axes[1].plot(sizes, wrong, "s-")
for h, count in zip(sizes, wrong, strict=True):
    axes[1].text(h, count + 5, str(count), ha="center")
axes[1].set(xscale="log", xlabel="h", ylabel="wrong slopes of 1,000", title="How many meet a kink?")
axes[1].set(ylim=(-5, 95), xlim=(3e-6, 3e-1))
plt.show()
print(dict(zip(sizes, wrong, strict=True)))
assert 60 <= wrong[0] <= 100
assert wrong[-1] == 0

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left: the measured slope of ReLU rises in a straight line from 0 at minus h to 1 at plus h, where the true slope jumps. Right: of 1,000 slopes about 80 are wrong for h = 0.1, about 8 for 0.01, none for the smallest.](figures/kinks.png)
#
# The window is $2h$ wide and the density 0.4, so about $0.8\,h$ of all inputs are wrong: about 80, about 8, about 1, ... Where a check fails on *single* entries, and other entries fail when you change $h$ or the data, you have met kinks and not a mistake. Max pooling has kinks as well: where two numbers of a window are closer than $2h$. Do not check at data full of ties (black pixels, whole numbers). Draw random floats.
#
# </details>
#
# Three rules for the rest of the day: **float64; $h = 10^{-5}$; random inputs and a random `dy`.** The last is worth a word. With `dy` of ones you see only the *sum* of what each output does, and mistakes that move a gradient from one output to another stay hidden.
#
# What does an error mean? With the relative error $|a-b| / (|a|+|b|)$ in float64: below $10^{-7}$ you are right; above $10^{-3}$ you are wrong, unless a few single entries make up all of it; between, look for kinks before you relax.

# %% [markdown]
# ## 3. The chain rule, drawn
#
# **Idea.** A network is a chain of small steps. Each step knows its own slope. Nobody needs to know the whole.
#
# If $u$ changes $L$ three times as fast as itself moves ($\partial L/\partial u = 3$), and $w$ changes $u$ three times as fast ($\partial u/\partial w = 3$), then $w$ changes $L$ nine times as fast. Slopes along a path **multiply**:
#
# $$\frac{\partial L}{\partial w} = \frac{\partial L}{\partial u}\,\frac{\partial u}{\partial w}.$$
#
# And if $w$ reaches $L$ along *two* paths, by $u$ and by $v$, it moves $L$ by both of them at once. Slopes of parallel paths **add**:
#
# $$\frac{\partial L}{\partial w} = \frac{\partial L}{\partial u}\,\frac{\partial u}{\partial w} + \frac{\partial L}{\partial v}\,\frac{\partial v}{\partial w}.$$
#
# That is the whole chain rule. Multiply along a path, add where paths meet. Everything in this lesson is these two lines, with more indices.
#
# **Picture.** Draw the calculation as a graph: each circle is a number, each arrow says "is used for". The numbers flow forward. Then the gradients flow backward, against the arrows, from $\partial L / \partial L = 1$. Each circle receives $\partial L/\partial(\text{its value})$, multiplies it by the slope of its own small step, and hands it on. What it receives is the **upstream** gradient. The slope of its own step is the **local** gradient.
#
# Here is the smallest convolution there is: a kernel of *one* weight $w$ slides over the row $(x_0, x_1) = (3, -1)$. So $u = w x_0$ and $v = w x_1$. Then $z = v + b$, and $L = u z$. Note that $w$ is used twice.
#
# **Predict.** With $w = 2$ and $b = 5$: work out the gradient of each of $u, z, v, b, w$ with a pencil, from right to left. (Of a product, the local gradient for one factor is the other factor. Of a sum it is 1.)


# %%
class Number:
    """A number that remembers how it was made: parents and, for each, its local gradient."""

    def __init__(self, name, value, parents=()):
        self.name, self.value, self.parents, self.grad = name, value, list(parents), 0.0


def times(name, a, b):
    """a * b: the local gradient for one factor is the other factor."""
    return Number(name, a.value * b.value, [(a, b.value), (b, a.value)])


def plus(name, a, b):
    """a + b: both local gradients are 1."""
    return Number(name, a.value + b.value, [(a, 1.0), (b, 1.0)])


def send_back(numbers, hops=None):
    """Send gradients from the last of numbers to the first, for so many hops (all, if None)."""
    for number in numbers:
        number.grad = 0.0
    numbers[-1].grad = 1.0
    sent = []
    for number in list(reversed(numbers))[:hops]:
        for parent, local in number.parents:
            parent.grad += number.grad * local  # += : paths that meet add up
            sent.append((number, parent))
    return sent


w, x0, x1, b = (Number(n, v) for n, v in (("w", 2.0), ("x0", 3.0), ("x1", -1.0), ("b", 5.0)))
u = times("u", w, x0)
v = times("v", w, x1)
z = plus("z", v, b)
graph = [w, x0, x1, b, u, v, z, times("L", u, z)]
send_back(graph)
for number in graph:
    print(f"{number.name:<3} value {number.value:5.1f}   gradient {number.grad:5.1f}")


# %% figure="graph"
spots = {"x0": (0, 2), "w": (0, 1), "x1": (0, 0), "b": (1.15, -0.35)}
spots |= {"u": (1.15, 1.7), "v": (1.15, 0.7), "z": (2.3, 0.5), "L": (3.4, 1.2)}


def draw_graph(hops=8):
    """Draw the graph with its values, and the gradients after so many circles have sent theirs back."""
    sent = send_back(graph, hops)
    _, ax = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    arrow = {"arrowstyle": "-|>", "shrinkA": 15, "shrinkB": 15}
    for number in graph:
        for parent, local in number.parents:
            start, end = np.array(spots[parent.name]), np.array(spots[number.name])
            ax.annotate("", end, start, arrowprops=arrow | {"color": "gray"})
            if (number, parent) in sent:
                back = arrow | {"color": "tab:red", "linestyle": "--", "linewidth": 1.5}
                back["connectionstyle"] = "arc3,rad=-0.25"
                ax.annotate("", start, end, arrowprops=back)
                width, height = end - start
                middle = (start + end) / 2 + 0.125 * np.array([0.58 * height, -1.72 * width])
                text = f"{number.grad:g} x {local:g}"
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                ax.text(
                    *middle, text, color="tab:red", fontsize=7, ha="center", va="center", bbox=box
                )
    reached = {parent for _, parent in sent} | {graph[-1]}
    for number in graph:
        ax.plot(
            *spots[number.name],
            "o",
            markersize=27,
            color="white",
            markeredgecolor="black",
            zorder=3,
        )
        x, y = spots[number.name]
        ax.text(
            x, y, f"{number.name}\n{number.value:g}", ha="center", va="center", fontsize=8, zorder=4
        )
        if number in reached:
            ax.text(
                x,
                y + 0.3,
                f"{number.grad:g}",
                color="tab:red",
                ha="center",
                weight="bold",
                zorder=4,
            )
    ax.set(xlim=(-0.4, 3.9), ylim=(-0.75, 2.6))
    ax.set(title="values flow forward (grey), gradients flow back (red, dashed)")
    ax.axis("off")
    plt.show()


draw_graph()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A graph of eight circles with their values. Dashed red arrows run against the grey ones, each labelled upstream times local; at w two of them meet, 3 times 3 and 6 times -1, and its gradient is 3.](figures/graph.png)
#
# From the right: $L = u z$, so $u$ gets $1 \cdot z = 3$ and $z$ gets $1 \cdot u = 6$. The sum hands its 6 to both $v$ and $b$. Then $w$ gets $3 \cdot x_0 = 9$ from $u$ and $6 \cdot x_1 = -6$ from $v$. Two uses, one weight: $9 - 6 = 3$. **Not their mean, 1.5.** Here is the control, without any chain rule: $L = w x_0 (w x_1 + b) = -3w^2 + 15w$, whose slope at 2 is $-12 + 15 = 3$.
#
# </details>

# %%
slope = numerical_gradient(lambda k: k[0] * 3.0 * (k[0] * -1.0 + 5.0), np.array([2.0]))
print(f"gradient of w by the graph {w.grad:g}, by turning w {slope[0]:.6f}")
check.close(slope, np.array([3.0]), what="slope of w")
assert w.grad == 3.0
sliders = profile == "full" or "JPY_SESSION_NAME" in os.environ
if sliders:
    from ipywidgets import interact

    interact(draw_graph, hops=(0, 8))

# %% [markdown]
# **Why backward?** You could also go forward: start at $w$ and ask how fast each circle moves, up to $L$. One such walk gives the slope of *one* knob. The walk back gives the slopes of *all* knobs, since all paths to all knobs start at the same $L$. A network has a million knobs and one loss. (With one knob and a million losses you would go forward.)
#
# **Modules.** In a network a circle is a whole array and a step is a whole layer. The rule stays the same: *given the upstream gradient `dy`, return the gradient of each input.* Derive it once per kind of layer, write it as one function, and never again derive the gradient of a whole network. This is **modular backpropagation**. The rest of the lesson is a list of such functions.

# %% [markdown]
# ## 4. Activations
#
# **Idea.** An activation works element by element: $y_k = a(x_k)$. Output $k$ has one input, so there is one path: $dx_k = dy_k \cdot a'(x_k)$. No sums, no matrices.
#
# **Formulas.** Write $\sigma = \sigma(x) = 1/(1+e^{-x})$.
#
# - **Sigmoid.** By the quotient rule $\sigma' = \frac{e^{-x}}{(1+e^{-x})^2} = \frac{1}{1+e^{-x}} \cdot \frac{e^{-x}}{1+e^{-x}} = \sigma\,(1-\sigma)$.
# - **tanh.** $\tanh = \sinh/\cosh$, so $\tanh' = \frac{\cosh^2 - \sinh^2}{\cosh^2} = 1 - \tanh^2$.
# - **ReLU.** 1 where $x > 0$, otherwise 0. At $x = 0$ there is no slope; we choose 0, as torch does.
# - **Leaky ReLU.** 1 where $x > 0$, otherwise `negative_slope`; at 0 as well.
# - **Swish**, $x\,\sigma(\beta x)$. Product rule and chain rule: $\sigma(\beta x) + \beta\, x\, \sigma(\beta x)\,\bigl(1 - \sigma(\beta x)\bigr)$.
#
# **By hand.** At $x = 0$: $\sigma = \frac12$, so $\sigma' = \frac14$. That is its largest value. $\tanh'(0) = 1$. Swish with $\beta = 1$: $\frac12 + 0 = \frac12$.

# %% [markdown]
# ### Exercises: five backward functions
#
# *20 minutes for all five, easy. What they are for: each is one line, and each is the line through which every gradient of your network passes.*
#
# Any shape of `x`; `dy` has the same. Large inputs must not give NaN: $\sigma(\pm 1000)$ is 1 or 0, and its slope is 0.
#
# <details><summary>Hint 1: which x?</summary>
#
# `x` is what went *into* the activation. `np.tanh(x)` is what came out of it. Some texts pass the output instead, since $\sigma(1-\sigma)$ and $1-\tanh^2$ need no more. We do not.
#
# </details>
# <details><summary>Hint 2: a sigmoid that does not overflow</summary>
#
# $\sigma(x) = \frac12 \bigl(1 + \tanh \frac{x}{2}\bigr)$. And `np.tanh` takes any number.
#
# </details>
# <details><summary>Hint 3: whose sign decides?</summary>
#
# In ReLU the sign of `x` decides who passes. What passes is `dy`, which may have any sign.
#
# </details>


# %% exercise="sigmoid_backward"
def sigmoid_backward(dy, x):
    """Upstream dy and input x, any shape -> dx = dy * sigmoid'(x). No overflow."""
    ### BEGIN SOLUTION
    p = (1 + np.tanh(x / 2)) / 2  # the sigmoid, without overflow
    return dy * p * (1 - p)
    ### END SOLUTION


# %% tests="sigmoid_backward" points=1
# At 0 the slope is 1/4; far out it is 0
check.close(
    sigmoid_backward(np.array([4.0, -8.0, 1.0, 1.0]), np.array([0.0, 0.0, 1000.0, -1000.0])),
    np.array([1.0, -2.0, 0.0, 0.0]),
    what="sigmoid_backward at 0, 0, 1000, -1000",
)
# sigmoid(ln 3) = 3/4, so the slope is 3/4 * 1/4 = 3/16
check.close(
    sigmoid_backward(np.array([16.0]), np.array([np.log(3.0)])),
    np.array([3.0]),
    what="sigmoid_backward at ln 3",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(404)
    for shape in ((7,), (3, 5), (2, 3, 4, 2)):
        x, dy = rng.standard_normal(shape) * 4, rng.standard_normal(shape)
        t = torch.tensor(x, requires_grad=True)
        torch.sigmoid(t).backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(sigmoid_backward(dy, x), t.grad.numpy(), what=f"sigmoid_backward, {shape}")
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2 * dy
    got = sigmoid_backward(np.float32(dy), np.float32(x))
    check.close(got, expected, what="sigmoid_backward in float32", rtol=1e-4, atol=1e-5)
    got = sigmoid_backward(dy[:, ::-1].T, x[:, ::-1].T)
    check.close(got, expected[:, ::-1].T, what="sigmoid_backward of views")
    whole = np.array([-3, 0, 2])
    p = 1 / (1 + np.exp(-whole.astype(float)))
    check.close(
        sigmoid_backward(np.array([1.0, 2.0, 3.0]), whole),
        np.array([1.0, 2.0, 3.0]) * p * (1 - p),
        what="sigmoid_backward, x of integers",
    )
    far = np.array([-800.0, 900.0, -2000.0, 750.0])
    check.close(
        sigmoid_backward(np.array([3.0, -2.0, 1.0, 5.0]), far),
        np.zeros(4),
        what="sigmoid_backward far from 0",
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="tanh_backward"
def tanh_backward(dy, x):
    """Upstream dy and input x, any shape -> dx = dy * tanh'(x)."""
    ### BEGIN SOLUTION
    return dy * (1 - np.tanh(1.0 * x) ** 2)  # times 1.0: the tanh of uint8 would be a float16
    ### END SOLUTION


# %% tests="tanh_backward" points=1
# At 0 the slope is 1, far out it is 0. tanh(ln 2) = 3/5, so there it is 1 - 9/25 = 16/25
check.close(
    tanh_backward(np.array([3.0, 1.0, 1.0, -25.0]), np.array([0.0, 1000.0, -1000.0, np.log(2.0)])),
    np.array([3.0, 0.0, 0.0, -16.0]),
    what="tanh_backward at 0, 1000, -1000, ln 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(405)
    for shape in ((7,), (3, 5), (2, 3, 4, 2)):
        x, dy = rng.standard_normal(shape) * 2, rng.standard_normal(shape)
        t = torch.tensor(x, requires_grad=True)
        torch.tanh(t).backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(tanh_backward(dy, x), t.grad.numpy(), what=f"tanh_backward, {shape}")
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = t.grad.numpy()
    got = tanh_backward(np.float32(dy), np.float32(x))
    check.close(got, expected, what="tanh_backward in float32", rtol=1e-4, atol=1e-5)
    check.close(tanh_backward(dy.T, x.T), expected.T, what="tanh_backward of views")
    whole = np.array([-2, 0, 1])
    check.close(
        tanh_backward(np.array([1.0, 2.0, 3.0]), whole),
        np.array([1.0, 2.0, 3.0]) / np.cosh(whole) ** 2,
        what="tanh_backward, x of integers",
    )
    far = np.array([-800.0, 900.0, -2000.0, 750.0])
    check.close(
        tanh_backward(np.array([3.0, -2.0, 1.0, 5.0]), far),
        np.zeros(4),
        what="tanh_backward far from 0",
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="relu_backward"
def relu_backward(dy, x):
    """Upstream dy and input x, any shape -> dx: dy where x > 0, else 0 (at x = 0 as well)."""
    ### BEGIN SOLUTION
    return np.where(x > 0, dy, 0)
    ### END SOLUTION


# %% tests="relu_backward" points=1
# The sign of x decides; what passes is dy, whatever its sign
check.close(
    relu_backward(np.array([5.0, -6.0, 7.0, -8.0, 9.0]), np.array([2.0, 3.0, -1.0, -4.0, 0.0])),
    np.array([5.0, -6.0, 0.0, 0.0, 0.0]),
    what="relu_backward at 2, 3, -1, -4, 0",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(406)
    for shape in ((7,), (3, 5), (2, 3, 4, 2)):
        x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
        x[rng.random(shape) < 0.2] = 0
        t = torch.tensor(x, requires_grad=True)
        torch.relu(t).backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(relu_backward(dy, x), t.grad.numpy(), what=f"relu_backward, {shape}")
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = t.grad.numpy()
    got = relu_backward(np.float32(dy), np.float32(x))
    check.close(got, expected, what="relu_backward in float32", rtol=1e-4, atol=1e-5)
    check.close(relu_backward(dy.T, x.T), expected.T, what="relu_backward of views")
    check.close(
        relu_backward(np.array([0.5, -1.5, 2.5, 3.5]), np.array([1, 9, 0, -7])),
        np.array([0.5, -1.5, 0.0, 0.0]),
        what="relu_backward, x of integers",
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="leaky_relu_backward"
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """Upstream dy and input x, any shape -> dx: dy where x > 0, else negative_slope * dy."""
    ### BEGIN SOLUTION
    return np.where(x > 0, dy, negative_slope * dy)
    ### END SOLUTION


# %% tests="leaky_relu_backward" points=1
check.close(
    leaky_relu_backward(
        np.array([5.0, -6.0, 7.0, -8.0, 9.0]), np.array([2.0, 3.0, -1.0, -4.0, 0.0]), 0.5
    ),
    np.array([5.0, -6.0, 3.5, -4.0, 4.5]),
    what="leaky_relu_backward at 2, 3, -1, -4, 0, negative_slope=0.5",
)
# The default slope is 0.01
check.close(
    leaky_relu_backward(np.array([300.0, 300.0]), np.array([-2.0, 2.0])),
    np.array([3.0, 300.0]),
    what="leaky_relu_backward at -2 and 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(407)
    for shape, slope in (((7,), 0.3), ((3, 5), 0.0), ((2, 3, 4, 2), 1.5), ((4, 6), 0.2)):
        x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
        x[rng.random(shape) < 0.2] = 0
        t = torch.tensor(x, requires_grad=True)
        torch.nn.functional.leaky_relu(t, slope).backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(
            leaky_relu_backward(dy, x, negative_slope=slope),
            t.grad.numpy(),
            what=f"leaky_relu_backward, {shape}, negative_slope={slope}",
        )
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = t.grad.numpy()
    got = leaky_relu_backward(np.float32(dy), np.float32(x), 0.2)
    check.close(got, expected, what="leaky_relu_backward in float32", rtol=1e-4, atol=1e-5)
    check.close(
        leaky_relu_backward(dy.T, x.T, 0.2), expected.T, what="leaky_relu_backward of views"
    )
    check.close(
        leaky_relu_backward(np.array([0.5, -1.5, 2.5, 3.5]), np.array([1, 9, 0, -7]), 0.1),
        np.array([0.5, -1.5, 0.25, 0.35]),
        what="leaky_relu_backward, x of integers",
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="swish_backward"
def swish_backward(dy, x, beta=1.0):
    """Upstream dy and input x, any shape -> dx = dy * derivative of x * sigmoid(beta * x). No overflow."""
    ### BEGIN SOLUTION
    p = (1 + np.tanh(beta * x / 2)) / 2  # sigmoid(beta * x), without overflow
    return dy * (p + beta * x * p * (1 - p))
    ### END SOLUTION


# %% tests="swish_backward" points=1
# At 0 the slope is 1/2; far to the right it is 1, far to the left 0
check.close(
    swish_backward(np.array([4.0, 3.0, 3.0]), np.array([0.0, 1000.0, -1000.0])),
    np.array([2.0, 3.0, 0.0]),
    what="swish_backward at 0, 1000, -1000",
)
# beta = 2, x = ln(3)/2: the sigmoid is 3/4, so the slope is 3/4 + ln(3) * 3/16
check.close(
    swish_backward(np.array([16.0]), np.array([np.log(3.0) / 2]), beta=2.0),
    np.array([12 + 3 * np.log(3.0)]),
    what="swish_backward at ln(3)/2, beta=2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(408)
    for shape, beta in (((7,), 1.0), ((3, 5), 0.5), ((2, 3, 4, 2), 2.5), ((4, 6), 1.7)):
        x, dy = rng.standard_normal(shape) * 3, rng.standard_normal(shape)
        t = torch.tensor(x, requires_grad=True)
        (t * torch.sigmoid(beta * t)).backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(
            swish_backward(dy, x, beta),
            t.grad.numpy(),
            what=f"swish_backward, {shape}, beta={beta}",
        )
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = t.grad.numpy()
    got = swish_backward(np.float32(dy), np.float32(x), 1.7)
    check.close(got, expected, what="swish_backward in float32", rtol=1e-4, atol=1e-5)
    check.close(swish_backward(dy.T, x.T, 1.7), expected.T, what="swish_backward of views")
    whole = np.array([-2, 0, 3])
    p = 1 / (1 + np.exp(-whole.astype(float)))
    check.close(
        swish_backward(np.array([1.0, 2.0, 3.0]), whole),
        np.array([1.0, 2.0, 3.0]) * (p + whole * p * (1 - p)),
        what="swish_backward, x of integers",
    )
    far = np.array([-800.0, 900.0, -2000.0, 750.0])
    check.close(
        swish_backward(np.array([3.0, -2.0, 1.0, 5.0]), far),
        np.array([0.0, -2.0, 0.0, 5.0]),
        what="swish_backward far from 0",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Feed `dy = 1` and you get the slope itself. The judge of part 2 runs beside it.
#
# **Predict.** A gradient comes back through ten sigmoids, and each of them stands at its best place, at 0. What is left of it? And through ten swishes: can a slope be larger than 1? Can it be negative?

# %% figure="slopes"
line = np.linspace(-6, 6, 121)
pairs = {
    "sigmoid": (sigmoid, sigmoid_backward, "-"),
    "tanh": (tanh, tanh_backward, "--"),
    "relu": (relu, relu_backward, ":"),
    "leaky_relu": (lambda v: leaky_relu(v, 0.1), lambda d, v: leaky_relu_backward(d, v, 0.1), "-."),
    "swish": (swish, swish_backward, (0, (6, 1))),
}
off_kink = line[np.abs(line) > 1e-4]
slopes = {name: back(np.ones_like(line), line) for name, (_, back, _) in pairs.items()}
fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
for (name, (forward, back, style)), colour in zip(
    pairs.items(), ("black", "C0", "C2", "C1", "C4"), strict=True
):
    ax.plot(line, slopes[name], linestyle=style, color=colour, label=name)
    measured = numerical_gradient(forward, off_kink)
    ax.plot(off_kink[::12], measured[::12], ".", color=colour, markersize=5)
    check.close(back(np.ones_like(off_kink), off_kink), measured, what=name, rtol=1e-4)
ax.axhline(0.25, color="gray", linewidth=0.7)
ax.set(
    xlabel="x", ylabel="slope", title="Slopes: your functions (lines) and numerical_gradient (dots)"
)
ax.legend(fontsize=7, loc="upper left")
plt.show()
print(f"through ten sigmoids at best {slopes['sigmoid'].max() ** 10:.1e}")
print(f"swish: slopes from {slopes['swish'].min():.2f} to {slopes['swish'].max():.2f}")
assert slopes["sigmoid"].max() ** 10 < 1e-6
assert slopes["swish"].min() < -0.09
assert slopes["swish"].max() > 1.09

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Slopes of five activations against x: the sigmoid's is a low hill of height one quarter, tanh's a hill of height 1, ReLU's jumps from 0 to 1, leaky ReLU's from 0.1 to 1, swish's dips below zero, rises past 1 and settles at 1; dots lie on every line.](figures/slopes.png)
#
# At most $\frac14$ each time: after ten sigmoids less than a millionth is left, and away from 0 it is far worse. This is the **vanishing gradient**. Tanh's slope reaches 1, at one point. ReLU's is exactly 1 on half of the line, so along an open path nothing is lost; on the other half it is 0, and a unit that is never open never learns (the dead ReLU of unit 01). Swish's slope goes from about $-0.10$ to $1.10$.
#
# </details>

# %% [markdown]
# ## 5. The dense layer, and the loss
#
# **Idea.** One output of a dense layer is a sum of many products. So each weight has one path per *picture*, and each input has one path per *output*. Add them up.
#
# **Derivation.** $y_{nk} = \sum_j x_{nj} w_{jk} + b_k$ for pictures $n$, inputs $j$, outputs $k$. Take one weight, $w_{jk}$. Where does it appear? In $y_{nk}$ for every $n$, each time with the factor $x_{nj}$. So
#
# $$dw_{jk} = \sum_n x_{nj}\, dy_{nk}.$$
#
# Now $x_{nj}$. It appears in $y_{nk}$ for every $k$, with the factor $w_{jk}$. And $b_k$ appears in $y_{nk}$ for every $n$, with the factor 1:
#
# $$dx_{nj} = \sum_k dy_{nk}\, w_{jk}, \qquad db_k = \sum_n dy_{nk}.$$
#
# The weights are *shared by all pictures of the batch*, so their gradients are **added over the batch**. (Where does the mean of the loss come in? In `dy`, which brings the factor $1/N$ along. Not here.)
#
# **Shapes as a compass.** Write these sums as matrix products. There is only one way to get $(N, D_{in})$ out of $(N, D_{out})$ and $(D_{in}, D_{out})$. But test with three different sizes, else a wrong product fits as well.
#
# **By hand.** One picture $x = (1, 2)$, weights $w = \begin{pmatrix} 3 & 4 & 5 \\ 6 & 7 & 8\end{pmatrix}$, upstream $dy = (1, 0, -1)$. Then $dx = (3 - 5,\ 6 - 8) = (-2, -2)$, $dw = \begin{pmatrix} 1 & 0 & -1 \\ 2 & 0 & -2 \end{pmatrix}$, $db = (1, 0, -1)$.

# %% [markdown]
# ### Exercise: `dense_backward`
#
# *15 minutes, easy. What it is for: three lines that you will meet in every layer with weights. Part 6 turns the convolution into this one.*
#
# A point for each of the three, checked alone, and one for all together.
#
# <details><summary>Hint 1</summary>
#
# Look at the sums. $dw_{jk}$ sums over $n$, the *first* axis of both arrays. A matrix product sums over the *second* axis of its left side. What turns axes around?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Three for you to place: `.T`, `@`, `.sum(axis=...)`.
#
# </details>


# %% exercise="dense_backward"
def dense_backward(dy, x, w):
    """Upstream dy (N, D_out) of x (N, D_in) @ w (D_in, D_out) + b -> dx (N, D_in), dw (D_in, D_out), db (D_out,)."""
    ### BEGIN SOLUTION
    dx = dy @ w.T
    dw = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dw, db
    ### END SOLUTION


# %% tests="dense_backward" part="dw" points=1
# The example of the text: every input times every upstream number
check.close(
    dense_backward(
        np.array([[1.0, 0.0, -1.0]]),
        np.array([[1.0, 2.0]]),
        np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]),
    )[1],
    np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0]]),
    what="dense_backward, one picture, dw",
)
# Two pictures: their gradients are added. 1*10 + 3*20 = 70, 2*10 + 5*20 = 120
check.close(
    dense_backward(
        np.array([[10.0], [20.0]]), np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[7.0], [9.0]])
    )[1],
    np.array([[70.0], [120.0]]),
    what="dense_backward, two pictures, dw",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(409)
    for N, D_in, D_out in ((4, 3, 2), (1, 5, 3), (3, 1, 4), (5, 2, 1), (3, 3, 3)):
        dy, x = rng.standard_normal((N, D_out)), rng.standard_normal((N, D_in))
        w = rng.standard_normal((D_in, D_out))
        expected = np.array(
            [[sum(x[n, j] * dy[n, k] for n in range(N)) for k in range(D_out)] for j in range(D_in)]
        )
        before = dy.copy(), x.copy(), w.copy()
        check.close(
            dense_backward(dy, x, w)[1],
            expected,
            what=f"dense_backward, x {x.shape}, w {w.shape}, dw",
        )
        for name, old, new in zip(("dy", "x", "w"), before, (dy, x, w), strict=True):
            check.unchanged(old, new, what=name)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dense_backward" part="dx" points=1
# 1*3 + 0*4 - 1*5 = -2 and 1*6 + 0*7 - 1*8 = -2
check.close(
    dense_backward(
        np.array([[1.0, 0.0, -1.0]]),
        np.array([[1.0, 2.0]]),
        np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]),
    )[0],
    np.array([[-2.0, -2.0]]),
    what="dense_backward, one picture, dx",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(410)
    for N, D_in, D_out in ((4, 3, 2), (1, 5, 3), (3, 1, 4), (5, 2, 1), (3, 3, 3)):
        dy, x = rng.standard_normal((N, D_out)), rng.standard_normal((N, D_in))
        w = rng.standard_normal((D_in, D_out))
        expected = np.array(
            [[sum(w[j, k] * dy[n, k] for k in range(D_out)) for j in range(D_in)] for n in range(N)]
        )
        check.close(
            dense_backward(dy, x, w)[0],
            expected,
            what=f"dense_backward, x {x.shape}, w {w.shape}, dx",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dense_backward" part="db" points=1
# Each bias is used once per picture: 10 + 20 + 5 = 35, 1 + 2 - 3 = 0
check.close(
    dense_backward(
        np.array([[10.0, 1.0], [20.0, 2.0], [5.0, -3.0]]), np.ones((3, 4)), np.ones((4, 2))
    )[2],
    np.array([35.0, 0.0]),
    what="dense_backward, three pictures, db",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(411)
    for N, D_in, D_out in ((4, 3, 2), (1, 5, 3), (3, 1, 4), (5, 2, 1), (3, 3, 3)):
        dy, x = rng.standard_normal((N, D_out)), rng.standard_normal((N, D_in))
        w = rng.standard_normal((D_in, D_out))
        expected = np.array([sum(dy[n, k] for n in range(N)) for k in range(D_out)])
        check.close(
            dense_backward(dy, x, w)[2],
            expected,
            what=f"dense_backward, x {x.shape}, w {w.shape}, db",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dense_backward" part="together" points=1
# All three, in the order of the arguments, as a tuple
check.close(
    dense_backward(
        np.array([[1.0, 0.0, -1.0]]),
        np.array([[1.0, 2.0]]),
        np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]),
    ),
    (
        np.array([[-2.0, -2.0]]),
        np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0]]),
        np.array([1.0, 0.0, -1.0]),
    ),
    what="dense_backward",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(412)
    dy, x, w = rng.standard_normal((4, 3)), rng.standard_normal((4, 6)), rng.standard_normal((6, 3))
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, np.zeros(3))]
    (leaves[0] @ leaves[1] + leaves[2]).backward(torch.tensor(dy))
    expected = tuple(leaf.grad.numpy() for leaf in leaves)
    names = ("dx", "dw", "db")
    got = dense_backward(np.float32(dy), np.float32(x), np.float32(w))
    check.close(got, expected, what="dense_backward in float32", names=names, rtol=1e-4, atol=1e-5)
    got = dense_backward(np.asfortranarray(dy), x.T.copy().T, w[::-1][::-1])
    check.close(got, expected, what="dense_backward of views", names=names)
    pixels = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    expected = expected[0], pixels.astype(float).T @ dy, expected[2]
    check.close(
        dense_backward(dy, pixels, w), expected, what="dense_backward, x of uint8", names=names
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### The loss: softmax and cross-entropy in one
#
# **Derivation.** One picture with logits $x_1, \dots, x_K$, the true class $t$. With $p = \mathrm{softmax}(x)$ the loss is
#
# $$L = -\log p_t = -x_t + \log \sum_k e^{x_k}.$$
#
# Differentiate by $x_k$. The first term gives $-1$ if $k = t$, else 0. The second gives $e^{x_k} / \sum_i e^{x_i} = p_k$. So
#
# $$\frac{\partial L}{\partial x_k} = p_k - [k = t].$$
#
# *What you said, minus what was true.* It is as clean as a gradient can be: it is never larger than 1, it vanishes only when you are right, and where you are wrong and sure of it, it is near 1 and does not vanish. Over $N$ pictures the loss is a mean, so each row is divided by $N$. Times `dy`, a number (1, if the loss is the end).
#
# **By hand.** Two classes, logits $(\ln 3, 0)$: $p = (\frac34, \frac14)$. If class 0 is true: $(-\frac14, \frac14)$. If class 1 is true: $(\frac34, -\frac34)$. Each row adds up to 0: softmax does not care about a number added to all logits.

# %% [markdown]
# ### Exercise: `cross_entropy_backward`
#
# *15 minutes, medium. What it is for: the first gradient of every classifier, the one that all others are made from.*
#
# `y` holds labels `(N,)` of any integer type, or one-hot rows `(N, K)` of integers or floats. `dy` is a number. One point for labels, one for one-hot rows, one for `dy` and for large logits.
#
# <details><summary>Hint 1</summary>
#
# The softmax of unit 01 subtracts the largest logit of each row first. Do that here.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `p[np.arange(N), y]` is the probability of the true class in each row. You can subtract 1 from exactly those.
#
# </details>
# <details><summary>Hint 3</summary>
#
# How do you tell labels from one-hot rows? Not by the type, and not by the values. By the number of axes.
#
# </details>


# %% exercise="cross_entropy_backward"
def cross_entropy_backward(dy, x, y):
    """Gradient of dy * cross_entropy(x, y) for logits x (N, K) -> dx (N, K). No overflow.

    y: labels (N,) of any integer type, or one-hot rows (N, K). dy: a number. The loss is a mean over N.
    """
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    if np.ndim(y) == 1:
        truth = np.zeros_like(p)
        truth[np.arange(len(y)), y] = 1
    else:
        truth = y
    return dy * (p - truth) / len(x)
    ### END SOLUTION


# %% tests="cross_entropy_backward" part="labels" points=1
# The example of the text, each row alone
check.close(
    cross_entropy_backward(1.0, np.array([[np.log(3.0), 0.0]]), np.array([0])),
    np.array([[-0.25, 0.25]]),
    what="cross_entropy_backward, class 0 is true",
)
# Both rows at once: the loss is a mean, so each row is divided by 2
check.close(
    cross_entropy_backward(1.0, np.log(np.array([[3.0, 1.0], [3.0, 1.0]])), np.array([0, 1])),
    np.array([[-0.125, 0.125], [0.375, -0.375]]),
    what="cross_entropy_backward of two pictures",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(413)
    for N, K, kind in ((5, 3, np.int64), (1, 4, np.uint8), (3, 3, np.int32), (4, 7, np.int8)):
        x, y = rng.standard_normal((N, K)) * 3, rng.integers(0, K, N).astype(kind)
        t = torch.tensor(x, requires_grad=True)
        torch.nn.functional.cross_entropy(t, torch.tensor(y.astype(np.int64))).backward()
        before = x.copy(), y.copy()
        check.close(
            cross_entropy_backward(1.0, x, y),
            t.grad.numpy(),
            what=f"cross_entropy_backward, x {x.shape}, labels of {kind.__name__}",
        )
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], y, what="y")
    expected = t.grad.numpy()
    got = cross_entropy_backward(1.0, np.float32(x), y)
    check.close(got, expected, what="cross_entropy_backward in float32", rtol=1e-4, atol=1e-5)
    got = cross_entropy_backward(1.0, x.T.copy().T, np.repeat(y, 2)[::2])
    check.close(got, expected, what="cross_entropy_backward of views")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy_backward" part="one_hot" points=1
# Class 1 is true in the first row, p = (3/4, 1/4); class 0 in the second, p = (1/2, 1/2)
check.close(
    cross_entropy_backward(
        1.0, np.log(np.array([[3.0, 1.0], [2.0, 2.0]])), np.array([[0, 1], [1, 0]])
    ),
    np.array([[0.375, -0.375], [-0.25, 0.25]]),
    what="cross_entropy_backward, one-hot rows",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(414)
    for N, K, kind in ((5, 3, float), (1, 4, np.int64), (4, 4, np.uint8), (3, 6, np.float32)):
        x, labels = rng.standard_normal((N, K)) * 3, rng.integers(0, K, N)
        y = np.eye(K)[labels].astype(kind)
        t = torch.tensor(x, requires_grad=True)
        torch.nn.functional.cross_entropy(t, torch.tensor(labels)).backward()
        before = x.copy(), y.copy()
        check.close(
            cross_entropy_backward(1.0, x, y),
            t.grad.numpy(),
            what=f"cross_entropy_backward, x {x.shape}, one-hot rows of {np.dtype(kind).name}",
        )
        check.unchanged(before[0], x, what="x")
        check.unchanged(before[1], y, what="y")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cross_entropy_backward" part="scale" points=1
# Logits of 1000 and 0: p is (1, 0). Sure and wrong: the gradient is as large as it gets, times dy = 10
check.close(
    cross_entropy_backward(10.0, np.array([[1000.0, 0.0]]), np.array([1])),
    np.array([[10.0, -10.0]]),
    what="cross_entropy_backward, logits 1000 and 0, dy=10",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(415)
    for dy, size in ((0.3, 1.0), (-2.0, 1.0), (5.0, 800.0), (1.5, -800.0), (0.0, 1.0)):
        x, y = rng.standard_normal((3, 4)) + size * np.array([0, 1, 0, 2]), rng.integers(0, 4, 3)
        t = torch.tensor(x, requires_grad=True)
        torch.nn.functional.cross_entropy(t, torch.tensor(y)).backward(torch.tensor(dy))
        check.close(
            cross_entropy_backward(dy, x, y),
            t.grad.numpy(),
            what=f"cross_entropy_backward, dy={dy}, logits as large as {abs(2 * size):g}",
        )
    x = np.full((2, 3), -1200.0)
    check.close(
        cross_entropy_backward(6.0, x, np.array([0, 2])),
        np.array([[-2.0, 1.0, 1.0], [1.0, 1.0, -2.0]]),
        what="cross_entropy_backward, all logits -1200",
    )
    x = np.array([[3000.0, 3000.0], [-3000.0, -3000.0]])
    check.close(
        cross_entropy_backward(4.0, x, np.array([0, 0])),
        np.array([[-1.0, 1.0], [-1.0, 1.0]]),
        what="cross_entropy_backward, logits 3000 in one row, -3000 in the other",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Why in one?** Modular backpropagation would go back through the logarithm and then through the softmax. On paper that is the same. The step through $-\log p_t$ is $-1/p_t$. The step through softmax is $dx = p \odot (dp - \sum_k dp_k\, p_k)$: its Jacobian has $p_i([i=j] - p_j)$ at $(i, j)$.
#
# **Predict.** You take the two steps one after the other, for logits $(1000, 0)$ and true class 1. What comes out?

# %%
sure = np.array([[1000.0, 0.0]])
p = softmax(sure)
with np.errstate(divide="ignore", invalid="ignore"):
    dp = np.array([[0.0, -1.0]]) / p  # back through -log p[1]
    in_two = p * (dp - np.sum(dp * p, axis=1, keepdims=True))  # back through softmax
in_one = cross_entropy_backward(1.0, sure, np.array([1]))
print("in two steps", in_two, "  in one", in_one)
assert not np.isfinite(in_two).any()
check.close(in_one, np.array([[1.0, -1.0]]), what="in one step")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# NaN and NaN, against $(1, -1)$. $p_1$ is so small that it is 0 in the machine; $1/0$ is infinite, and infinite times 0 is not a number. In one step the $p_t$ of the softmax and the $1/p_t$ of the logarithm have cancelled *on paper*. This is why libraries want logits, and why their loss contains the softmax.
#
# </details>
#
# **Check it as you will check everything.** Random input, random `dy`, float64:

# %%
rng = np.random.default_rng(seed)
x, w, dy = rng.standard_normal((4, 5)), rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
dx, dw, db = dense_backward(dy, x, w)
print(
    f"dense, dx          {relative_error(dx, numerical_gradient(lambda v: dense(v, w, 0), x, dy)):.1e}"
)
print(
    f"dense, dw          {relative_error(dw, numerical_gradient(lambda v: dense(x, v, 0), w, dy)):.1e}"
)
zero = np.zeros(3)
print(
    f"dense, db          {relative_error(db, numerical_gradient(lambda v: dense(x, w, v), zero, dy)):.1e}"
)
labels = np.array([2, 0, 1, 1])
by_hand = cross_entropy_backward(0.7, dy, labels)
measured = numerical_gradient(lambda v: cross_entropy(v, labels), dy, 0.7)
print(f"cross-entropy, dx  {relative_error(by_hand, measured):.1e}")
assert relative_error(by_hand, measured) < 1e-7

# %% [markdown]
# ## 6. A convolution is a dense layer in disguise
#
# **Idea.** You can take a dense layer back. Is a convolution one? It is linear: each output is a weighted sum of pixels. So there is *some* matrix $M$ with $y = M x$, if you write picture and result as long columns. Build it, and all of part 5 applies.
#
# **Picture.** A picture of 4 x 4 and a kernel of 3 x 3. The result is 2 x 2. Flatten the picture row by row to 16 numbers, the result to 4. So $M$ is 4 x 16, one row per output. Row 0 says which pixel counts how much for $y[0,0]$: put the kernel on the picture's top left corner, zeros elsewhere, and flatten. For the next output move the kernel by one.
#
# ```
# y[0,0]   w00 w01 w02  0    w10 w11 w12  0    w20 w21 w22  0     0   0   0   0
# y[0,1]    0  w00 w01 w02    0  w10 w11 w12    0  w20 w21 w22    0   0   0   0
# y[1,0]    0   0   0   0   w00 w01 w02  0    w10 w11 w12  0    w20 w21 w22  0
# y[1,1]    0   0   0   0    0  w00 w01 w02    0  w10 w11 w12    0  w20 w21 w22
#           picture row 0    picture row 1     picture row 2     picture row 3
# ```
#
# Two things are special about this dense layer. Many entries are **zero**: each output sees 9 pixels, here of 16, and still 9 of a larger picture. And the others are **shared**: 36 of them, but 9 different weights. Along each diagonal of a block the entry is constant (a *Toeplitz* matrix), and the blocks themselves repeat along diagonals: a **doubly blocked Toeplitz matrix**.
#
# **Several channels.** The picture `(C_in, H, W)` is flattened as it is: channel, row, column. So is the result `(C_out, H_out, W_out)`. The rows of $M$ then come in $C_{out}$ groups and the columns in $C_{in}$ groups, and in group $(f, c)$ stands the matrix of the kernel `w[f, c]`.

# %% [markdown]
# ### Exercise: `conv_matrix`
#
# *20 minutes, medium. What it is for: to see what a convolution is, and to get its backward from a layer that you know. (Nobody computes with it: for a real picture nearly all of it is zeros.)*
#
# Stride 1, no padding, one row per output, a plain dense array. `w` is `(kH, kW)` with `input_shape` `(H, W)`, or `(C_out, C_in, kH, kW)` with `(C_in, H, W)`. One point for the first kind, two for the second.
#
# <details><summary>Hint 1: do not compute indices</summary>
#
# Begin with zeros of shape `(H_out, W_out, H, W)`: for each output a whole picture. Into picture `[i, j]` put the kernel, where the window lies. `reshape` at the end.
#
# </details>
# <details><summary>Hint 2: channels</summary>
#
# The same with shape `(C_out, H_out, W_out, C_in, H, W)`. The slice that you fill has axes `(C_out, C_in, kH, kW)`, exactly those of `w`.
#
# </details>
# <details><summary>Hint 3: both kinds</summary>
#
# A kernel without channels is one with one filter and one channel: `w[None, None]`.
#
# </details>


# %% exercise="conv_matrix"
def conv_matrix(w, input_shape):
    """The matrix that correlates w with an input of input_shape: stride 1, no padding, one row per output.

    w (kH, kW) and input_shape (H, W) -> (H_out*W_out, H*W), or w (C_out, C_in, kH, kW) and
    input_shape (C_in, H, W) -> (C_out*H_out*W_out, C_in*H*W). Floating and dense.
    """
    ### BEGIN SOLUTION
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, _, kH, kW = w.shape
    C_in, H, W = input_shape
    H_out, W_out = H - kH + 1, W - kW + 1
    matrix = np.zeros((C_out, H_out, W_out, C_in, H, W))
    for i in range(H_out):
        for j in range(W_out):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(C_out * H_out * W_out, C_in * H * W)
    ### END SOLUTION


# %% tests="conv_matrix" part="one_channel" points=1
# A picture of 2 x 3 and a kernel of 2 x 2: two places, six pixels
check.close(
    conv_matrix(np.array([[1.0, 2.0], [3.0, 4.0]]), (2, 3)),
    np.array([[1.0, 2.0, 0.0, 3.0, 4.0, 0.0], [0.0, 1.0, 2.0, 0.0, 3.0, 4.0]]),
    what="conv_matrix, kernel 2 x 2 on 2 x 3",
)
# A picture of 3 x 2 and a kernel of 2 x 1: four places, each a row below or a column beside the last
check.close(
    conv_matrix(np.array([[5.0], [7.0]]), (3, 2)),
    np.array(
        [
            [5.0, 0.0, 7.0, 0.0, 0.0, 0.0],
            [0.0, 5.0, 0.0, 7.0, 0.0, 0.0],
            [0.0, 0.0, 5.0, 0.0, 7.0, 0.0],
            [0.0, 0.0, 0.0, 5.0, 0.0, 7.0],
        ]
    ),
    what="conv_matrix, kernel 2 x 1 on 3 x 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(416)
    for H, W, kH, kW in ((4, 4, 3, 3), (3, 6, 2, 4), (6, 3, 5, 1), (4, 5, 4, 5), (2, 3, 1, 1)):
        w = rng.standard_normal((kW, kH)).T
        before = w.copy()
        pixels = torch.eye(H * W, dtype=torch.float64).reshape(H * W, 1, H, W)
        y = torch.nn.functional.conv2d(pixels, torch.tensor(w.copy())[None, None])
        expected = y.reshape(H * W, -1).T.numpy()
        check.close(
            conv_matrix(w, (H, W)), expected, what=f"conv_matrix, kernel {kH} x {kW} on {H} x {W}"
        )
        check.unchanged(before, w, what="w")
    check.close(
        conv_matrix(np.array([[1, -2]]), (2, 2)),
        np.array([[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -2.0]]),
        what="conv_matrix of integers",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv_matrix" part="channels" points=2
# Two channels of 1 x 2, one filter of 1 x 1: columns are channel 0 (two pixels), then channel 1
check.close(
    conv_matrix(np.array([[[[2.0]], [[3.0]]]]), (2, 1, 2)),
    np.array([[2.0, 0.0, 3.0, 0.0], [0.0, 2.0, 0.0, 3.0]]),
    what="conv_matrix, one filter on two channels",
)
# One channel, two filters: rows are filter 0 (two places), then filter 1
check.close(
    conv_matrix(np.array([[[[2.0]]], [[[3.0]]]]), (1, 1, 2)),
    np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 3.0]]),
    what="conv_matrix, two filters on one channel",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(417)
    for C_out, C_in, H, W, kH, kW in (
        (2, 3, 4, 5, 3, 2),
        (3, 1, 3, 4, 1, 2),
        (1, 2, 5, 3, 2, 3),
        (4, 2, 2, 3, 2, 3),
    ):
        w = rng.standard_normal((C_out, C_in, kH, kW))
        before, size = w.copy(), C_in * H * W
        pixels = torch.eye(size, dtype=torch.float64).reshape(size, C_in, H, W)
        y = torch.nn.functional.conv2d(pixels, torch.tensor(w))
        expected = y.reshape(size, -1).T.numpy()
        check.close(
            conv_matrix(w, (C_in, H, W)),
            expected,
            what=f"conv_matrix, w {w.shape}, input ({C_in}, {H}, {W})",
        )
        check.unchanged(before, w, what="w")
    got = conv_matrix(np.float32(w), (C_in, H, W))
    check.close(got, expected, what="conv_matrix in float32", rtol=1e-4, atol=1e-5)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The kernel $(1, 2, \dots, 9)$, so that you can tell the weights apart: first on 4 x 4 pixels, the matrix of the text, then on 8 x 8.
#
# **Predict.** How many rows and columns has the second matrix, and which part of it is zero?

# %% figure="toeplitz"
count_to_nine = np.arange(1.0, 10.0).reshape(3, 3)
small, large = conv_matrix(count_to_nine, (4, 4)), conv_matrix(count_to_nine, (8, 8))
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained", width_ratios=[1.25, 1])
for ax, matrix, name in zip(axes, (small, large), ("4 x 4", "8 x 8"), strict=True):
    drawn = ax.imshow(np.ma.masked_equal(matrix, 0), cmap="viridis", vmin=1, vmax=9)
    ax.set(title=f"3 x 3 kernel on {name} pixels: {matrix.shape[0]} x {matrix.shape[1]}")
    ax.set(xlabel="pixel (row by row)", ylabel="output (row by row)")
for (i, j), value in np.ndenumerate(small):
    axes[0].text(
        j,
        i,
        f"{value:.0f}" if value else "·",
        ha="center",
        va="center",
        fontsize=7,
        color="white" if 0 < value < 6 else "black",
    )
axes[0].set(xticks=range(0, 16, 4), yticks=range(4))
axes[1].set(xticks=range(0, 64, 8), yticks=range(0, 36, 6))
for ax, step in zip(axes, (4, 8), strict=True):
    for edge in range(step, small.shape[1] if step == 4 else 64, step):
        ax.axvline(edge - 0.5, color="gray", linewidth=0.5)
for edge in range(2, 4, 2):
    axes[0].axhline(edge - 0.5, color="gray", linewidth=0.5)
for edge in range(6, 36, 6):
    axes[1].axhline(edge - 0.5, color="gray", linewidth=0.5)
fig.colorbar(drawn, ax=axes[1], shrink=0.6, aspect=12, label="weight", ticks=range(1, 10, 2))
plt.show()
print(
    f"zeros: {np.mean(small == 0):.1%} of the small one, {np.mean(large == 0):.1%} of the large one"
)
assert small.shape == (4, 16)
assert large.shape == (36, 64)
assert np.count_nonzero(large) == 36 * 9

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two matrices drawn as tables, the entries coloured by weight. Both are made of blocks; three neighbouring diagonals of blocks are filled, the others empty, and in each filled block three neighbouring diagonals are filled.](figures/toeplitz.png)
#
# 36 rows (6 x 6 outputs), 64 columns, 9 entries in each row: 324 of 2,304, so 86 % are zeros. Look at one block: its diagonals are constant, they hold one *row* of the kernel. Now look at the blocks as if they were numbers: their diagonals are constant as well, one for each row of the kernel. Toeplitz within Toeplitz: that is the meaning of "doubly blocked".
#
# </details>
#
# Does the matrix do what a convolution does? Two checks: against your `conv2d` of unit 02, and for the 4 x 4 picture entry by entry. (Lecture notes often print this matrix transposed, 16 x 4, one *column* per output. Look twice whose rows you are reading.)

# %%
rng = np.random.default_rng(seed)
x, w = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 3, 2))
check.close(
    conv_matrix(w, x.shape[1:]) @ x.ravel(), conv2d(x, w).ravel(), what="matrix times picture"
)
printed = """
1 0 0 0 / 2 1 0 0 / 3 2 0 0 / 0 3 0 0 / 4 0 1 0 / 5 4 2 1 / 6 5 3 2 / 0 6 0 3
7 0 4 0 / 8 7 5 4 / 9 8 6 5 / 0 9 0 6 / 0 0 7 0 / 0 0 8 7 / 0 0 9 8 / 0 0 0 9
"""
columns = [line.split() for line in printed.strip().replace("\n", "/").split("/")]
check.close(small.T, np.array(columns, dtype=float), what="the matrix as lecture notes print it")

# %% [markdown]
# ### Backward, first half: the picture
#
# $y = M x$ is a dense layer. So $dx = M^\top dy$: the transposed matrix. Each row of $M$ *collected* one output from nine pixels. Each column of $M^\top$ *scatters* one upstream number over the same nine pixels. This operation has a name of its own, **transposed convolution**, and a bad name, "deconvolution". The bad name suggests that it undoes the convolution.
#
# **Predict.** $x$ is a handwritten digit, 8 x 8. The kernel is a blur, 3 x 3. You compute $y = Mx$ (6 x 6), then $M^\top y$ (8 x 8 again). Do you get the digit back? And with $M^+$, the pseudoinverse, the best that linear algebra has to offer?

# %% figure="not_an_inverse"
blur = np.full((3, 3), 1 / 9)
M = conv_matrix(blur, (8, 8))
digit = ten_x[3, 0]
blurred = M @ digit.ravel()
transposed, pseudo = M.T @ blurred, np.linalg.pinv(M) @ blurred
fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.1), layout="constrained")
for ax, (picture, side, title) in zip(
    axes,
    (
        (digit, 8, "x"),
        (blurred, 6, "y = M x"),
        (transposed, 8, "transposed: $M^T y$"),
        (pseudo, 8, "pseudoinverse: $M^+ y$"),
    ),
    strict=True,
):
    drawn = show(ax, np.reshape(picture, (side, side)), title, vmin=0, vmax=1)
fig.colorbar(drawn, ax=axes, label="brightness")
plt.show()
for name, guess in (("transposed", transposed), ("pseudoinverse", pseudo)):
    rms = float(np.sqrt(np.mean((guess - digit.ravel()) ** 2)))
    print(f"{name:<14} root mean square error {rms:.3f}")
    assert rms > 0.1
check.close(M @ pseudo, blurred, what="M times the pseudoinverse's answer")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A handwritten three of 8 by 8 pixels, its blurred map of 6 by 6, the transposed matrix's answer, which is a still more blurred three of 8 by 8, and the pseudoinverse's, which is sharper in the middle but not the three.](figures/not_an_inverse.png)
#
# The transpose gives back the *shape* and not the *values*: it blurs a second time. Not even the pseudoinverse can: its answer fits $y$ perfectly (the last line makes sure) and is not the digit, since 36 numbers do not determine 64. A transposed convolution is not an inverse. It is the same connections, run backward. With a stride the forward pass makes the picture smaller, so the transpose makes it **larger**: a learned enlargement, which you build in unit 05 and use in unit 15.
#
# </details>

# %% [markdown]
# ### Backward, second half: the shared weights
#
# The dense layer also gives the gradient of every entry of $M$: $dM = dy\; x^\top$, 4 x 16 numbers, *as if each entry were a knob of its own*. But they are not free. The entries that show $w_{00}$ are one knob, wired to four places. Turn the knob, and all four move. Part 3 has the rule: paths that meet **add**. So $dw_{00}$ is the **sum** of the four entries of $dM$ where $w_{00}$ stands (and the entries where $M$ has a fixed zero are no knobs at all):
#
# $$dw_{ab} = \sum_{(r, c)\ :\ M_{rc} \text{ shows } w_{ab}} dM_{rc} .$$
#
# Some texts say: "update the kernel with the *average* of the gradients". It sounds fair. It is wrong. You have the judge, so do not take my word.
#
# **Predict.** For the 3 x 3 kernel on 4 x 4 pixels each weight is used four times. Below, grey dots are the four entries of $dM$ for each weight. What will the judge say: sum, or mean? And on the 28 x 28 pixels of MNIST: by what factor do the two differ?

# %% figure="sum_of_uses"
rng = np.random.default_rng(seed + 3)
x, w, dy = rng.standard_normal((4, 4)), rng.standard_normal((3, 3)), rng.standard_normal((2, 2))
dM = np.outer(dy.ravel(), x.ravel())  # (4, 16): every entry of the matrix as a knob of its own
which = conv_matrix(count_to_nine, (4, 4))  # 1 ... 9: which weight stands here? 0: none
uses = np.array([dM[which == number] for number in range(1, 10)])  # (9, 4)


def by_matrix(kernel):
    """The result (2, 2) of the convolution, as a dense layer."""
    return (conv_matrix(kernel, (4, 4)) @ x.ravel()).reshape(2, 2)


judged = numerical_gradient(by_matrix, w, dy).ravel()
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.5), layout="constrained", width_ratios=[1, 1.3])
drawn = show(
    axes[0],
    np.where(which > 0, dM, np.nan),
    "dM: each entry for itself",
    signed=True,
    limit=float(np.abs(dM).max()),
    aspect="auto",
)
for (i, j), number in np.ndenumerate(which):
    if number:
        dark = abs(dM[i, j]) > 0.6 * np.abs(dM).max()
        colour = "white" if dark else "black"
        text = f"{number - 1:.0f}"
        axes[0].text(j, i, text, ha="center", va="center", fontsize=7, color=colour)
axes[0].set(xlabel="pixel", ylabel="output")
under = axes[0].inset_axes([0, -0.28, 1, 0.07])
fig.colorbar(drawn, cax=under, orientation="horizontal", label="gradient")
numbers = np.arange(9)
axes[1].bar(numbers, uses.sum(axis=1), color="lightsteelblue", label="sum of the four uses")
for use in uses.T:
    axes[1].plot(numbers, use, ".", color="gray", markersize=4)
axes[1].plot(numbers, uses.mean(axis=1), "^", color="C1", markerfacecolor="none", label="mean")
axes[1].plot(numbers, judged, "x", color="black", label="the judge")
axes[1].axhline(0, color="black", linewidth=0.5)
axes[1].set(xlabel="weight (0 to 8, row by row)", ylabel="gradient", xticks=numbers)
axes[1].set(title="What does turning the weight do?")
axes[1].set(ylim=(-13, 8))
axes[1].legend(fontsize=7, loc="lower right", ncols=2)
plt.show()
check.close(uses.sum(axis=1), judged, what="sum over the uses")
print("mean / judge:", (uses.mean(axis=1) / judged).round(6))
print(
    f"uses of each weight of a 3 x 3 kernel on 28 x 28 pixels: {conv_matrix(count_to_nine, (28, 28)).shape[0]}"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the matrix dM in two colours with the number of the weight in each entry. Right, for each of the nine weights four grey dots, a bar for their sum, a triangle for their mean, and a cross of the numerical gradient at the end of each bar.](figures/sum_of_uses.png)
#
# Every cross sits at the end of its bar: the **sum**. The mean is a quarter of it, for each weight. On MNIST it is $1/676$ ($26 \cdot 26$ places). Is a constant factor so bad? The direction *within* this kernel stays. But the whole gradient also has a dense layer's weights (factor 1), a bias, and a second convolution with fewer places (another factor). Each of these gets a different factor, so the whole no longer points downhill the steepest way, and your learning rate means something else in each layer.
#
# </details>

# %% [markdown] manual="why_sum" points=2
# **Question (2 points, 8 minutes).** A weight $w$ of a kernel is used at $P$ places: $u_p = w\, x_p + r_p$, for $p = 1, \dots, P$, where $r_p$ does not depend on $w$. The loss is any function $L(u_1, \dots, u_P)$. Prove that $\partial L / \partial w$ is the sum of $dy_p\, x_p$, with $dy_p = \partial L/\partial u_p$. A colleague says: "With the mean I get the same training, since my learning rate can be larger." Say for which networks the colleague is right, and name one where it fails.
#
# ### BEGIN SOLUTION
# Give each place a weight of its own, $u_p = w_p x_p + r_p$. Then $\partial L / \partial w_p = dy_p\, x_p$, since $w_p$ appears in $u_p$ only. Sharing means $w_p = w$ for all $p$, so $\partial w_p / \partial w = 1$, and by the chain rule (paths that meet add) $\frac{\partial L}{\partial w} = \sum_p \frac{\partial L}{\partial w_p} \frac{\partial w_p}{\partial w} = \sum_p dy_p\, x_p$. (1 point.)
#
# The mean is $1/P$ times the sum. With plain gradient descent the colleague is right if *all* parameters have the same $P$: one convolution without padding and without a dense layer behind it (its bias is used $P$ times as well), or if each layer gets its own learning rate, $P$ times as large. It fails as soon as layers with different $P$ share a learning rate: a convolution ($P = 676$) in front of a dense layer ($P = 1$), or two convolutions with a pooling between them. It also fails for a weight decay or a clipping of the gradient norm, which compare the gradient's size with something else. (1 point for one case each way.)
# ### END SOLUTION

# %% [markdown]
# ## 7. `conv2d_backward`
#
# **Idea.** The matrix is for thinking. For computing you need its two gradients without building it. There is a short way: look at *one number of the kernel* at a time.
#
# **Derivation.** Fix the place $(a, b)$ in the kernel. What does `w[:, :, a, b]`, a small matrix $(C_{out}, C_{in})$, do in the forward pass? It meets those pixels of the padded picture that lie $a$ rows below and $b$ columns beside the first pixel of each window. These are a picture as well, one pixel for each output:
#
#     seen = x_p[:, :, a : a + stride * H_out : stride, b : b + stride * W_out : stride]
#
# Its shape is $(N, C_{in}, H_{out}, W_{out})$.
#
# In the formula of unit 02, $y[n,f,i,j] = b[f] + \sum_{c,a,b} x_p[n, c, is+a, js+b]\; w[f,c,a,b]$, sort the sum by $(a, b)$:
#
# $$y[n,f,i,j] = b[f] + \sum_{a,b} \Bigl( \sum_c \text{seen}_{ab}[n,c,i,j]\; w[f,c,a,b] \Bigr).$$
#
# The bracket is a **dense layer**: inputs $c$, outputs $f$, and $n, i, j$ only count examples. *A convolution is $k_H \cdot k_W$ dense layers, added up.* And you know how a dense layer goes back. For each $(a, b)$:
#
# $$dw[f,c,a,b] = \sum_{n,i,j} dy[n,f,i,j]\; \text{seen}_{ab}[n,c,i,j] \qquad\text{(the sum over all examples, that is over all places)}$$
#
# $$d\text{seen}_{ab}[n,c,i,j] = \sum_f dy[n,f,i,j]\; w[f,c,a,b], \qquad db[f] = \sum_{n,i,j} dy[n,f,i,j].$$
#
# What becomes of $d\text{seen}_{ab}$? A pixel is seen by several $(a,b)$: its gradients **add**. So add each into `dx_p` at the very slice it was read from. At the end cut off the padding: the zeros there were no inputs, and what they receive is thrown away. A pixel that no window has seen is never added to. Its gradient is 0.
#
# **By hand.** The picture and the kernel of unit 02, with $y = (9, 8)$, and $dy = (1, 10)$:
#
# ```
# x   1 2 0     w   1 3     dy  1 10      dw[0,0] = 1*1 + 10*2 = 21     dw[0,1] = 1*2 + 10*0 =  2
#     0 1 3         0 2                   dw[1,0] = 1*0 + 10*1 = 10     dw[1,1] = 1*1 + 10*3 = 31
#
# dx = 1 * kernel in the left window + 10 * kernel in the right window
#    =   1  3  0    +    0 10 30    =    1 13 30
#        0  2  0         0  0 20         0  2 20           db = 1 + 10 = 11
# ```
#
# (You may meet two other descriptions. For stride 1, `dw` is the correlation of the picture with `dy` as the kernel, and `dx` is a *full* convolution of `dy` with `w`, that is a correlation with the kernel turned by 180 degrees. Both are true. With a stride they need zeros inserted between the numbers of `dy`, and that is where people slip.)

# %% [markdown]
# ### Exercise: `conv2d_backward`
#
# *45 minutes, hard. What it is for: this is how every convolutional network learns.*
#
# Each step has its own test and pays alone. Work in this order, and return `None` for what you do not have yet:
#
# 1. `db` (1 point);
# 2. `dw` for stride 1 without padding (2 points), then with a stride (1), then with padding (1);
# 3. `dx` for stride 1 without padding (2 points), then with a stride (1), then with padding (1);
# 4. rows and columns that no window sees (1 point);
# 5. all three together (1 point); the contract: float32, `uint8` pictures, views, nothing changed (1 point).
#
# <details><summary>Hint 1: which loops?</summary>
#
# The derivation needs only two: over $a$ and $b$. Four loops, over pictures, filters and places $(i, j)$, are right too: at each place `dw[f] += dy[n,f,i,j] * window`, and `dx_p[window] += dy[n,f,i,j] * w[f]`.
#
# </details>
# <details><summary>Hint 2: the sums</summary>
#
# Letters help: `np.einsum("nfij,ncij->fc", dy, seen)` is the first sum as it stands on paper. Write the second one likewise. (`np.tensordot` and `@` do the same faster.)
#
# </details>
# <details><summary>Hint 3: sizes</summary>
#
# Take `H_out` and `W_out` from `dy`, not from a formula. Then a stride that does not come out even takes care of itself.
#
# </details>
# <details><summary>Hint 4: padding</summary>
#
# Work on `x_p` and `dx_p`, which have the same shape. `dx_p[:, :, padding:-padding, padding:-padding]` is a trap: what is `[0:-0]`?
#
# </details>


# %% exercise="conv2d_backward"
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """Upstream dy (N, C_out, H_out, W_out) of conv2d(x, w, b, stride, padding) -> dx, dw, db.

    x (N, C_in, H, W), w (C_out, C_in, kH, kW); db has shape (C_out,).
    """
    ### BEGIN SOLUTION
    H, W = x.shape[2:]
    kH, kW = w.shape[2:]
    H_out, W_out = dy.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides))
    dx_p = np.zeros(x_p.shape, dtype=dy.dtype)
    dw = np.empty(w.shape, dtype=dy.dtype)
    dy_last = np.moveaxis(dy, 1, 3)  # (N, H_out, W_out, C_out): a dense layer's outputs come last
    for a in range(kH):
        for b in range(kW):
            rows = slice(a, a + stride * H_out, stride)
            columns = slice(b, b + stride * W_out, stride)
            seen = x_p[:, :, rows, columns]  # what w[:, :, a, b] saw: (N, C_in, H_out, W_out)
            dw[:, :, a, b] = np.tensordot(dy, seen, axes=([0, 2, 3], [0, 2, 3]))
            dx_p[:, :, rows, columns] += np.moveaxis(dy_last @ w[:, :, a, b], 3, 1)
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %% tests="conv2d_backward" part="db" points=1
# Each bias is added at every place of every picture: 1 + 2 + 3 + 4 = 10 and 10 + 20 + 30 + 40 = 100
check.close(
    conv2d_backward(
        np.array([[[[1.0, 2.0]], [[10.0, 20.0]]], [[[3.0, 4.0]], [[30.0, 40.0]]]]),
        np.ones((2, 1, 1, 2)),
        np.ones((2, 1, 1, 1)),
    )[2],
    np.array([10.0, 100.0]),
    what="conv2d_backward, two pictures, two filters, db",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(418)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 7, 3, 2),
        (2, 2, 3, 6, 5, 3, 3),
        (1, 2, 3, 4, 4, 2, 2),
        (3, 1, 2, 3, 5, 1, 4),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        dy = rng.standard_normal((N, C_out, H - kH + 1, W - kW + 1))
        expected = np.array([dy[:, f].sum() for f in range(C_out)])
        check.close(
            conv2d_backward(dy, x, w)[2],
            expected,
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, db",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dw" points=2
# The example of the text: dw[0, 0] = 1*1 + 10*2 = 21
check.close(
    conv2d_backward(
        np.array([[[[1.0, 10.0]]]]),
        np.array([[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]]]]),
        np.array([[[[1.0, 3.0], [0.0, 2.0]]]]),
    )[1],
    np.array([[[[21.0, 2.0], [10.0, 31.0]]]]),
    what="conv2d_backward, the example of the text, dw",
)
# Two channels, two filters, two pictures of one pixel: filter 0 gets 1*(5, 6) + 2*(7, 8) = (19, 22)
check.close(
    conv2d_backward(
        np.array([[1.0, 10.0], [2.0, 0.0]]).reshape(2, 2, 1, 1),
        np.array([[5.0, 6.0], [7.0, 8.0]]).reshape(2, 2, 1, 1),
        np.ones((2, 2, 1, 1)),
    )[1],
    np.array([[19.0, 22.0], [50.0, 60.0]]).reshape(2, 2, 1, 1),
    what="conv2d_backward, two pictures of one pixel, dw",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(419)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 7, 3, 2),
        (1, 2, 3, 4, 4, 2, 2),
        (3, 1, 2, 3, 5, 1, 4),
        (2, 4, 1, 6, 4, 6, 1),
        (2, 2, 2, 6, 6, 3, 3),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        dy = rng.standard_normal((N, C_out, H - kH + 1, W - kW + 1))
        leaf = torch.tensor(w, requires_grad=True)
        torch.nn.functional.conv2d(torch.tensor(x), leaf).backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w)[1],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, dw",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dx" points=2
# The example of the text: the kernel once in the left window, ten times in the right one
check.close(
    conv2d_backward(
        np.array([[[[1.0, 10.0]]]]),
        np.array([[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]]]]),
        np.array([[[[1.0, 3.0], [0.0, 2.0]]]]),
    )[0],
    np.array([[[[1.0, 13.0, 30.0], [0.0, 2.0, 20.0]]]]),
    what="conv2d_backward, the example of the text, dx",
)
# One pixel, two channels, three filters. Channel 0: 1*2 + 10*3 + 100*4 = 432; channel 1: 1*5 + 10*6 + 100*7 = 765
check.close(
    conv2d_backward(
        np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1),
        np.ones((1, 2, 1, 1)),
        np.array([[2.0, 5.0], [3.0, 6.0], [4.0, 7.0]]).reshape(3, 2, 1, 1),
    )[0],
    np.array([432.0, 765.0]).reshape(1, 2, 1, 1),
    what="conv2d_backward, one pixel, three filters, dx",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(420)
    for N, C_in, C_out, H, W, kH, kW in (
        (2, 3, 4, 5, 7, 3, 2),
        (1, 2, 3, 4, 4, 2, 2),
        (3, 1, 2, 3, 5, 1, 4),
        (2, 4, 1, 6, 4, 6, 1),
        (2, 2, 2, 6, 6, 3, 3),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        dy = rng.standard_normal((N, C_out, H - kH + 1, W - kW + 1))
        leaf = torch.tensor(x, requires_grad=True)
        torch.nn.functional.conv2d(leaf, torch.tensor(w)).backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w)[0],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, dx",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dw_stride" points=1
# Windows (3, 1) and (4, 2) of the row 3 1 4 2, dy = (1, 100): dw = (1*3 + 100*4, 1*1 + 100*2)
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]),
        np.array([[[[3.0, 1.0, 4.0, 2.0]]]]),
        np.array([[[[5.0, 7.0]]]]),
        stride=2,
    )[1],
    np.array([[[[403.0, 201.0]]]]),
    what="conv2d_backward of a row, stride=2, dw",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(421)
    for N, C_in, C_out, H, W, kH, kW, stride in (
        (2, 3, 4, 7, 6, 3, 2, 2),
        (1, 2, 3, 8, 5, 2, 2, 3),
        (2, 1, 2, 6, 7, 2, 3, 2),
        (1, 2, 2, 9, 11, 3, 1, 3),
        (2, 3, 1, 4, 5, 4, 5, 2),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaf = torch.tensor(w, requires_grad=True)
        y = torch.nn.functional.conv2d(torch.tensor(x), leaf, stride=stride)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, stride=stride)[1],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, stride={stride}, dw",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dx_stride" points=1
# The kernel (5, 7) once in the window of pixels 0 and 1, and 100 times in that of pixels 2 and 3
check.close(
    conv2d_backward(
        np.array([[[[1.0, 100.0]]]]),
        np.array([[[[1.0, 2.0, 3.0, 4.0]]]]),
        np.array([[[[5.0, 7.0]]]]),
        stride=2,
    )[0],
    np.array([[[[5.0, 7.0, 500.0, 700.0]]]]),
    what="conv2d_backward of a row, stride=2, dx",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(422)
    # The stride comes out even everywhere; windows overlap, touch, or leave gaps between them
    for N, C_in, C_out, H, W, kH, kW, stride in (
        (2, 3, 4, 7, 6, 3, 2, 2),
        (1, 2, 3, 8, 5, 2, 2, 3),
        (2, 1, 2, 6, 7, 2, 3, 2),
        (1, 2, 2, 9, 10, 3, 1, 3),
        (2, 3, 1, 4, 5, 4, 5, 2),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.conv2d(leaf, torch.tensor(w), stride=stride)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, stride=stride)[0],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, stride={stride}, dx",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dw_padding" points=1
# One pixel with a ring of zeros: only the kernel's middle met it. 2 * 7 = 14
check.close(
    conv2d_backward(
        np.array([[[[2.0]]]]),
        np.array([[[[7.0]]]]),
        np.arange(1.0, 10.0).reshape(1, 1, 3, 3),
        padding=1,
    )[1],
    np.array([[[[0.0, 0.0, 0.0], [0.0, 14.0, 0.0], [0.0, 0.0, 0.0]]]]),
    what="conv2d_backward of one pixel, padding=1, dw",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(423)
    for N, C_in, C_out, H, W, kH, kW, padding in (
        (2, 3, 4, 5, 6, 3, 2, 1),
        (1, 2, 3, 4, 5, 2, 3, 2),
        (3, 1, 2, 3, 4, 5, 1, 2),
        (2, 3, 4, 6, 5, 3, 3, 1),
        (2, 2, 3, 2, 3, 3, 4, 1),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaf = torch.tensor(w, requires_grad=True)
        y = torch.nn.functional.conv2d(torch.tensor(x), leaf, padding=padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, padding=padding)[1],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, padding={padding}, dw",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="dx_padding" points=1
# One pixel with a ring of zeros: it met the kernel's middle, 5. The zeros were no inputs. 2 * 5 = 10
check.close(
    conv2d_backward(
        np.array([[[[2.0]]]]),
        np.array([[[[7.0]]]]),
        np.arange(1.0, 10.0).reshape(1, 1, 3, 3),
        padding=1,
    )[0],
    np.array([[[[10.0]]]]),
    what="conv2d_backward of one pixel, padding=1, dx",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(424)
    for N, C_in, C_out, H, W, kH, kW, padding in (
        (2, 3, 4, 5, 6, 3, 2, 1),
        (1, 2, 3, 4, 5, 2, 3, 2),
        (3, 1, 2, 3, 4, 5, 1, 2),
        (2, 3, 4, 6, 5, 3, 3, 1),
        (2, 2, 3, 2, 3, 3, 4, 1),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.conv2d(leaf, torch.tensor(w), padding=padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, padding=padding)[0],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, padding={padding}, dx",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="unseen" points=1
# 3 x 5 pixels, windows of 2 x 2, stride 2: the last row and the last column are never seen
check.close(
    conv2d_backward(
        np.array([[[[1.0, 10.0]]]]),
        np.ones((1, 1, 3, 5)),
        np.array([[[[1.0, 2.0], [3.0, 4.0]]]]),
        stride=2,
    )[0],
    np.array([[[[1.0, 2.0, 10.0, 20.0, 0.0], [3.0, 4.0, 30.0, 40.0, 0.0], [0.0] * 5]]]),
    what="conv2d_backward, 3 x 5 pixels, stride=2, dx",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(425)
    for N, C_in, C_out, H, W, kH, kW, stride, padding in (
        (2, 3, 2, 6, 8, 3, 3, 2, 0),
        (1, 2, 3, 7, 6, 2, 3, 3, 0),
        (2, 1, 2, 5, 8, 2, 2, 3, 1),
        (1, 2, 1, 6, 5, 3, 2, 2, 1),
        (1, 1, 2, 4, 7, 1, 1, 3, 0),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.conv2d(leaf, torch.tensor(w), stride=stride, padding=padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, stride, padding)[0],
            leaf.grad.numpy(),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, stride={stride}, padding={padding}, dx",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="together" points=1
# Windows of 1 x 2 in rows 0 and 2 of the padded picture. Row 0 is all zeros. Row 2 is 0 6 8 0: the windows
# are (0, 6) and (8, 0), with dy = (1, 10). Row 1, that is 0 3 4 0, is never seen
check.close(
    conv2d_backward(
        np.array([[[[5.0, 5.0], [1.0, 10.0]]]]),
        np.array([[[[3.0, 4.0], [6.0, 8.0]]]]),
        np.array([[[[2.0, 7.0]]]]),
        stride=2,
        padding=1,
    ),
    (
        np.array([[[[0.0, 0.0], [7.0, 20.0]]]]),
        np.array([[[[80.0, 6.0]]]]),
        np.array([21.0]),
    ),
    what="conv2d_backward of 2 x 2 pixels, stride=2, padding=1",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(426)
    for N, C_in, C_out, H, W, kH, kW, stride, padding in (
        (2, 3, 4, 7, 6, 3, 2, 2, 1),
        (1, 2, 3, 5, 8, 2, 3, 3, 2),
        (3, 1, 2, 6, 7, 4, 1, 2, 2),
        (2, 3, 2, 7, 6, 3, 3, 2, 1),
        (2, 2, 1, 8, 5, 3, 5, 1, 2),
        (1, 4, 2, 5, 5, 1, 1, 2, 0),
    ):
        x, w = rng.standard_normal((N, C_in, H, W)), rng.standard_normal((C_out, C_in, kH, kW))
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, np.zeros(C_out))]
        y = torch.nn.functional.conv2d(*leaves, stride=stride, padding=padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            conv2d_backward(dy, x, w, stride, padding),
            tuple(leaf.grad.numpy() for leaf in leaves),
            what=f"conv2d_backward, x {x.shape}, w {w.shape}, stride={stride}, padding={padding}",
            names=("dx", "dw", "db"),
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv2d_backward" part="contract" points=1
# A picture of whole numbers: 250 * 2 = 500 does not fit into a uint8, and halves are no whole numbers
check.close(
    conv2d_backward(
        np.array([[[[2.0]]]]), np.array([[[[250]]]], dtype=np.uint8), np.array([[[[0.25]]]])
    ),
    (np.array([[[[0.5]]]]), np.array([[[[500.0]]]]), np.array([2.0])),
    what="conv2d_backward of a uint8 pixel",
    names=("dx", "dw", "db"),
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(427)
    names = ("dx", "dw", "db")
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))

    def oracle(x, w, stride, padding):
        leaves = [
            torch.tensor(a.astype(float), requires_grad=True) for a in (x, w, np.zeros(len(w)))
        ]
        y = torch.nn.functional.conv2d(*leaves, stride=stride, padding=padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        return dy, tuple(leaf.grad.numpy() for leaf in leaves)

    dy, expected = oracle(x, w, 2, 1)
    before = dy.copy(), x.copy(), w.copy()
    got = conv2d_backward(dy, x, w, 2, 1)
    check.close(
        got, expected, what="conv2d_backward, all digits", names=names, rtol=1e-9, atol=1e-11
    )
    for name, old, new in zip(("dy", "x", "w"), before, (dy, x, w), strict=True):
        check.unchanged(old, new, what=name)
    got = conv2d_backward(np.float32(dy), np.float32(x), np.float32(w), stride=2, padding=1)
    check.close(got, expected, what="conv2d_backward in float32", names=names, rtol=1e-4, atol=1e-4)
    views = dy[:, :, ::-1].copy()[:, :, ::-1], np.asfortranarray(x), w.T.copy().T
    got = conv2d_backward(*views, stride=2, padding=1)
    check.close(got, expected, what="conv2d_backward of views", names=names)
    pixels = rng.integers(0, 256, (2, 3, 6, 5), dtype=np.uint8)
    for stride, padding in ((1, 0), (2, 1)):
        dy, expected = oracle(pixels, w, stride, padding)
        before = dy.copy(), pixels.copy(), w.copy()
        got = conv2d_backward(dy, pixels, w, stride, padding)
        check.close(
            got,
            expected,
            what=f"conv2d_backward, x of uint8, stride={stride}, padding={padding}",
            names=names,
        )
        for name, old, new in zip(("dy", "x", "w"), before, (dy, pixels, w), strict=True):
            check.unchanged(old, new, what=name)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Check it twice.** Against the judge, and against the matrix of part 6:

# %%
rng = np.random.default_rng(seed)
x, w, b = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2)), np.zeros(4)


def judged_errors(stride, padding):
    """Relative errors of dx, dw, db of conv2d_backward against numerical_gradient."""
    dy = rng.standard_normal(conv2d(x, w, b, stride, padding).shape)
    measured = (
        numerical_gradient(lambda v: conv2d(v, w, b, stride, padding), x, dy),
        numerical_gradient(lambda v: conv2d(x, v, b, stride, padding), w, dy),
        numerical_gradient(lambda v: conv2d(x, w, v, stride, padding), b, dy),
    )
    derived = conv2d_backward(dy, x, w, stride, padding)
    return [relative_error(*pair) for pair in zip(derived, measured, strict=True)]


print("stride padding        dx        dw        db")
for stride, padding in ((1, 0), (1, 1), (2, 0), (2, 1), (3, 2)):
    wrongs = judged_errors(stride, padding)
    print(f"{stride:6d} {padding:7d}  ", "  ".join(f"{error:8.1e}" for error in wrongs))
    assert max(wrongs) < 1e-7
dy = rng.standard_normal((2, 4, 4, 4))
by_transpose = dy.reshape(2, -1) @ conv_matrix(w, (3, 6, 5))  # row n is (M^T dy[n])^T
dx, _, _ = conv2d_backward(dy, x, w)
check.close(dx, by_transpose.reshape(x.shape), what="dx and M^T dy")

# %% [markdown]
# **See it.** Set all weights and all of `dy` to 1. Then `dx` has a meaning that you can see.
#
# **Predict.** What does `dx` count? What stands in the corner, and what in the middle, for a 3 x 3 kernel with stride 1? Where are the zeros for a kernel of 2 x 2 with stride 3?

# %% figure="visits_again"
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.5), layout="constrained")
for ax, (m, stride, padding) in zip(axes, ((3, 1, 0), (3, 2, 1), (2, 3, 0)), strict=True):
    ones = np.ones((1, 1, 7, 9))
    kernel = np.ones((1, 1, m, m))
    dy = np.ones_like(conv2d(ones, kernel, stride=stride, padding=padding))
    reached = conv2d_backward(dy, ones, kernel, stride, padding)[0][0, 0]
    show(
        ax,
        reached,
        f"kernel {m} x {m}, s = {stride}, p = {padding}",
        cmap="cividis",
        vmin=0,
        vmax=9,
    )
    write_values(ax, reached)
fig.suptitle("dx for a kernel of ones and an upstream gradient of ones", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three tables of 7 by 9 counts: for the 3 by 3 kernel with stride 1 the corner has 1 and the middle 9; with stride 2 and padding 1 the counts alternate between 1, 2 and 4; for the 2 by 2 kernel with stride 3 there are islands of ones between rows and columns of zeros.](figures/visits_again.png)
#
# It counts the windows that see each pixel: the very tables of unit 02, where you counted by hand. Forward, a pixel goes into so many outputs; backward, it gets so many gradients, and they are added. With stride 2 the counts alternate, 1, 2, 4: a checkerboard. (The same one that you will see in unit 15 in the pictures that transposed convolutions paint.) Between windows that do not touch, no window looks, and no gradient arrives.
#
# </details>

# %% [markdown]
# ## 8. Pooling goes back
#
# **Idea.** Pooling has no weights, so there is only `dx`. Ask the same question as always: how does the output move when I turn this input?
#
# **Maximum.** $y = \max$ of a window. Turn the largest number: $y$ moves with it, slope 1. Turn any other a little: nothing happens, slope 0. So the whole upstream number goes to the **winner**. The backward pass needs to know who won; that is why it gets `x`.
#
# ```
# x   5 1 3 4      windows of 2 x 2, stride 2      dy  1 2      dx  0 0 0 0
#     8 2 9 2      y  8 9                              3 4          1 0 2 0
#     1 3 0 1         3 2                                           0 3 0 0
#     2 2 2 0                                                       0 0 4 0
# ```
#
# Three things to decide or to see:
#
# - **Ties.** In a window $(2, 2)$ both are maxima, and turning either one up moves $y$. There is no slope; we need a rule. Ours, and torch's: **the first maximum in row-major order** (row by row, each from left to right) gets everything.
# - **Overlap.** If windows overlap, one pixel can win several. Its gradients **add**: of the row $(1, 5, 2)$ with windows of two and stride 1 the 5 wins both.
# - **Padding.** For the maximum, padding is $-\infty$ and never wins. It never receives a gradient.
#
# **Mean.** $y$ is the sum of the window over $k_H k_W$. Each input has slope $\frac{1}{k_H k_W}$: the upstream number is shared out evenly. Overlaps add. Zeros of the padding *count* in the mean (that is unit 03's contract), so a window at the border has the same divisor, and the share of the padding is thrown away.

# %% [markdown]
# ### Exercise: `max_pool2d_backward`
#
# *20 minutes, medium. What it is for: the only layer so far whose backward is a decision.*
#
# One point each for windows that do not overlap, for overlaps and gaps, for ties, and for padding.
#
# <details><summary>Hint 1</summary>
#
# Two loops over the places $(i, j)$ of `dy`; for each window find the winner, and *add* `dy[n, c, i, j]` to its place. `argmax` of the flattened window gives the first winner in row-major order.
#
# </details>
# <details><summary>Hint 2: without loops over places</summary>
#
# With `sliding_window_view` you get all windows at once, and one `argmax` gives all winners as numbers $0, \dots, k_H k_W - 1$. Then loop over these numbers, as part 7 loops over $(a, b)$.
#
# </details>
# <details><summary>Hint 3: padding</summary>
#
# Pad with `-np.inf` (integers have no infinity: make `x` floating first). Work on a padded `dx_p` and cut at the end.
#
# </details>


# %% exercise="max_pool2d_backward"
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Upstream dy of max_pool2d(x, kernel_size, stride, padding) -> dx, shape of x (N, C, H, W).

    Each dy goes to the first maximum of its window in row-major order; padding never wins.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    H, W = x.shape[2:]
    H_out, W_out = dy.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    windows = windows[:, :, ::sH, ::sW]  # (N, C, H_out, W_out, kH, kW)
    winner = windows.reshape(*dy.shape, kH * kW).argmax(axis=4)  # the first one, where several are
    dx_p = np.zeros(x_p.shape, dtype=dy.dtype)
    for number in range(kH * kW):
        a, b = divmod(number, kW)
        rows, columns = slice(a, a + sH * H_out, sH), slice(b, b + sW * W_out, sW)
        dx_p[:, :, rows, columns] += np.where(winner == number, dy, 0)
    return dx_p[:, :, padding : padding + H, padding : padding + W]
    ### END SOLUTION


# %% tests="max_pool2d_backward" part="windows" points=1
# The example of the text
check.close(
    max_pool2d_backward(
        np.array([[[[1.0, 2.0], [3.0, 4.0]]]]),
        np.array([[[[5.0, 1, 3, 4], [8, 2, 9, 2], [1, 3, 0, 1], [2, 2, 2, 0]]]]),
        2,
    ),
    np.array([[[[0, 0, 0, 0], [1.0, 0, 2.0, 0], [0, 3.0, 0, 0], [0, 0, 4.0, 0]]]]),
    what="max_pool2d_backward, 4 x 4, windows of 2 x 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(428)
    for N, C, H, W, kernel in (
        (2, 3, 4, 6, 2),
        (1, 2, 6, 4, (3, 2)),
        (3, 1, 5, 7, (2, 3)),
        (2, 2, 7, 5, (1, 2)),
        (1, 4, 3, 5, (3, 5)),
    ):
        x = rng.standard_normal((N, C, H, W)) - 2
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.max_pool2d(leaf, kernel)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(
            max_pool2d_backward(dy, x, kernel),
            leaf.grad.numpy(),
            what=f"max_pool2d_backward, x {x.shape}, kernel_size={kernel}",
        )
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = leaf.grad.numpy()
    got = max_pool2d_backward(np.float32(dy), np.float32(x), kernel)
    check.close(got, expected, what="max_pool2d_backward in float32", rtol=1e-4, atol=1e-5)
    got = max_pool2d_backward(dy[..., ::-1].copy()[..., ::-1], np.asfortranarray(x), kernel)
    check.close(got, expected, what="max_pool2d_backward of views")
    pixels = rng.permutation(48).reshape(2, 1, 4, 6).astype(np.uint8)
    dy = rng.standard_normal((2, 1, 2, 3))
    expected = np.zeros(pixels.shape)
    for n, i, j in np.ndindex(2, 2, 3):
        window = pixels[n, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        a, b = np.argwhere(window == window.max())[0]
        expected[n, 0, 2 * i + a, 2 * j + b] = dy[n, 0, i, j]
    check.close(
        max_pool2d_backward(dy, pixels, 2), expected, what="max_pool2d_backward, x of uint8"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d_backward" part="overlap" points=1
# The 5 wins both of its windows: 1 + 10
check.close(
    max_pool2d_backward(
        np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 5.0, 2.0]]]]), (1, 2), stride=1
    ),
    np.array([[[[0.0, 11.0, 0.0]]]]),
    what="max_pool2d_backward of a row, kernel_size=(1, 2), stride=1",
)
# Windows of 1, three apart: what lies between is never seen
check.close(
    max_pool2d_backward(
        np.array([[[[1.0, 10.0]]]]), np.array([[[[4.0, 6.0, 7.0, 2.0, 9.0]]]]), 1, stride=3
    ),
    np.array([[[[1.0, 0.0, 0.0, 10.0, 0.0]]]]),
    what="max_pool2d_backward of a row, kernel_size=1, stride=3",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(429)
    for N, C, H, W, kernel, stride in (
        (2, 3, 6, 7, 3, 2),
        (1, 2, 5, 8, (2, 3), 1),
        (2, 1, 7, 9, 2, 3),
        (2, 2, 6, 5, (3, 1), 2),
        (1, 1, 8, 8, (1, 4), 3),
    ):
        x = rng.standard_normal((N, C, H, W))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.max_pool2d(leaf, kernel, stride)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            max_pool2d_backward(dy, x, kernel, stride),
            leaf.grad.numpy(),
            what=f"max_pool2d_backward, x {x.shape}, kernel_size={kernel}, stride={stride}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d_backward" part="ties" points=1
# Three maxima: the first one, row by row, is the second number of the first row
check.close(
    max_pool2d_backward(
        np.array([[[[6.0]]]]), np.array([[[[1.0, 5.0, 2.0], [5.0, 0.0, 5.0]]]]), (2, 3)
    ),
    np.array([[[[0.0, 6.0, 0.0], [0.0, 0.0, 0.0]]]]),
    what="max_pool2d_backward, window 1 5 2 / 5 0 5",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(430)
    for N, C, H, W, kH, kW, stride, padding in (
        (2, 3, 4, 6, 2, 2, None, 0),
        (2, 2, 6, 7, 3, 3, 2, 0),
        (1, 2, 5, 6, 2, 3, 1, 0),
        (1, 2, 5, 4, 3, 2, 2, 1),
    ):
        x = rng.integers(-1, 2, (N, C, H, W)).astype(float)
        sH, sW = (kH, kW) if stride is None else (stride, stride)
        H_out, W_out = (H + 2 * padding - kH) // sH + 1, (W + 2 * padding - kW) // sW + 1
        dy = rng.standard_normal((N, C, H_out, W_out))
        expected = np.zeros(x.shape)
        for n, c, i, j in np.ndindex(*dy.shape):
            best = None
            for row in range(i * sH - padding, i * sH - padding + kH):
                for column in range(j * sW - padding, j * sW - padding + kW):
                    inside = 0 <= row < H and 0 <= column < W
                    if inside and (
                        best is None or x[n, c, row, column] > x[n, c, best[0], best[1]]
                    ):
                        best = row, column
            expected[n, c, best[0], best[1]] += dy[n, c, i, j]
        check.close(
            max_pool2d_backward(dy, x, (kH, kW), stride, padding),
            expected,
            what=f"max_pool2d_backward with ties, x {x.shape}, kernel_size=({kH}, {kW}), "
            f"stride={stride}, padding={padding}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_pool2d_backward" part="padding" points=1
# Four windows, in each of them one pixel and three places of padding: the pixel wins, negative or not
check.close(
    max_pool2d_backward(
        np.array([[[[1.0, 2.0], [3.0, 4.0]]]]),
        np.array([[[[-5.0, 6.0], [-7.0, -8.0]]]]),
        2,
        None,
        1,
    ),
    np.array([[[[1.0, 2.0], [3.0, 4.0]]]]),
    what="max_pool2d_backward of -5 6 / -7 -8, padding=1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(431)
    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 6, 7, 3, 2, 1),
        (1, 2, 5, 8, (2, 3), 1, 1),
        (2, 1, 7, 6, (4, 5), 3, 2),
        (1, 2, 5, 6, (4, 5), 1, 2),
        (2, 2, 4, 5, (3, 2), None, 1),
    ):
        x = rng.standard_normal((N, C, H, W)) - 1.5
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.max_pool2d(leaf, kernel, stride, padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            max_pool2d_backward(dy, x, kernel, stride, padding),
            leaf.grad.numpy(),
            what=f"max_pool2d_backward, x {x.shape}, kernel_size={kernel}, stride={stride}, "
            f"padding={padding}",
        )
    # Black corners, each alone in its window: the padding must not win against a 0
    pixels = rng.permutation(24).reshape(1, 1, 4, 6).astype(np.uint8) + np.uint8(1)
    pixels[:, :, ::3, ::5] = 0
    leaf = torch.tensor(pixels.astype(float), requires_grad=True)
    y = torch.nn.functional.max_pool2d(leaf, 2, padding=1)
    dy = rng.standard_normal(tuple(y.shape))
    y.backward(torch.tensor(dy))
    check.close(
        max_pool2d_backward(dy, pixels, 2, padding=1),
        leaf.grad.numpy(),
        what="max_pool2d_backward, x of uint8, kernel_size=2, padding=1",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `avg_pool2d_backward`
#
# *10 minutes, easy. What it is for: sharing evenly. Many modern networks end with a mean over the whole map.*
#
# The values of `x` do not matter, its shape does. One point each for windows that do not overlap, for overlaps and gaps, and for padding.
#
# <details><summary>Hint</summary>
#
# Average pooling is a convolution of each channel with the kernel that is $\frac{1}{k_H k_W}$ everywhere. Look at what you wrote in part 7, and leave out what is not needed.
#
# </details>


# %% exercise="avg_pool2d_backward"
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Upstream dy of avg_pool2d(x, kernel_size, stride, padding) -> dx, shape of x (N, C, H, W).

    Each dy is shared out evenly over its kH*kW places, those of the padding included.
    """
    ### BEGIN SOLUTION
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    H_out, W_out = dy.shape[2:]
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding), dtype=dy.dtype)
    for a in range(kH):
        for b in range(kW):
            dx_p[:, :, a : a + sH * H_out : sH, b : b + sW * W_out : sW] += dy / (kH * kW)
    return dx_p[:, :, padding : padding + H, padding : padding + W]
    ### END SOLUTION


# %% tests="avg_pool2d_backward" part="windows" points=1
# Windows of 1 x 2, side by side: half of dy for each of the two
check.close(
    avg_pool2d_backward(np.array([[[[2.0, 10.0], [4.0, -6.0]]]]), np.ones((1, 1, 2, 4)), (1, 2)),
    np.array([[[[1.0, 1.0, 5.0, 5.0], [2.0, 2.0, -3.0, -3.0]]]]),
    what="avg_pool2d_backward, 2 x 4, windows of 1 x 2",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(432)
    for N, C, H, W, kernel in (
        (2, 3, 4, 6, 2),
        (1, 2, 6, 4, (3, 2)),
        (3, 1, 5, 7, (2, 3)),
        (2, 2, 7, 5, (1, 2)),
        (1, 2, 7, 5, 2),
        (1, 4, 3, 5, (3, 5)),
        (2, 1, 8, 7, 3),
    ):
        x = rng.standard_normal((N, C, H, W))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.avg_pool2d(leaf, kernel)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        before = dy.copy(), x.copy()
        check.close(
            avg_pool2d_backward(dy, x, kernel),
            leaf.grad.numpy(),
            what=f"avg_pool2d_backward, x {x.shape}, kernel_size={kernel}",
        )
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
    expected = leaf.grad.numpy()
    got = avg_pool2d_backward(np.float32(dy), np.float32(x), kernel)
    check.close(got, expected, what="avg_pool2d_backward in float32", rtol=1e-4, atol=1e-5)
    got = avg_pool2d_backward(dy[..., ::-1].copy()[..., ::-1], np.asfortranarray(x), kernel)
    check.close(got, expected, what="avg_pool2d_backward of views")
    got = avg_pool2d_backward(dy, np.uint8(abs(x)), kernel)
    check.close(got, expected, what="avg_pool2d_backward, x of uint8")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="avg_pool2d_backward" part="overlap" points=1
# The pixel in the middle is in both windows, 1 + 10; those at the ends are in one each
check.close(
    avg_pool2d_backward(
        np.array([[[[2.0, 20.0]], [[4.0, 8.0]]]]), np.ones((1, 2, 1, 3)), (1, 2), stride=1
    ),
    np.array([[[[1.0, 11.0, 10.0]], [[2.0, 6.0, 4.0]]]]),
    what="avg_pool2d_backward of rows, kernel_size=(1, 2), stride=1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(433)
    for N, C, H, W, kernel, stride in (
        (2, 3, 6, 7, 3, 2),
        (1, 2, 5, 8, (2, 3), 1),
        (2, 1, 7, 9, 2, 3),
        (2, 2, 6, 5, (3, 1), 2),
        (1, 1, 8, 8, (1, 4), 3),
    ):
        x = rng.standard_normal((N, C, H, W))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.avg_pool2d(leaf, kernel, stride)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            avg_pool2d_backward(dy, x, kernel, stride),
            leaf.grad.numpy(),
            what=f"avg_pool2d_backward, x {x.shape}, kernel_size={kernel}, stride={stride}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="avg_pool2d_backward" part="padding" points=1
# Four windows, in each one pixel and three zeros, and each dy is divided by 4: the zeros count
check.close(
    avg_pool2d_backward(
        np.array([[[[4.0, 8.0], [12.0, 20.0]]]]), np.ones((1, 1, 2, 2)), 2, None, 1
    ),
    np.array([[[[1.0, 2.0], [3.0, 5.0]]]]),
    what="avg_pool2d_backward, padding=1",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(434)
    for N, C, H, W, kernel, stride, padding in (
        (2, 3, 6, 7, 3, 2, 1),
        (1, 2, 5, 8, (2, 3), 1, 1),
        (2, 1, 7, 6, (4, 5), 3, 2),
        (1, 2, 5, 6, (4, 5), 1, 2),
        (2, 2, 4, 5, (3, 2), None, 1),
    ):
        x = rng.standard_normal((N, C, H, W))
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.avg_pool2d(leaf, kernel, stride, padding)
        dy = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(dy))
        check.close(
            avg_pool2d_backward(dy, x, kernel, stride, padding),
            leaf.grad.numpy(),
            what=f"avg_pool2d_backward, x {x.shape}, kernel_size={kernel}, stride={stride}, "
            f"padding={padding}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** A handwritten digit goes through both poolings, windows of 2 x 2. Back comes an upstream gradient of ones.
#
# **Predict.** In the black corners all four pixels of a window are equal. Where does the maximum send its gradient there?

# %% figure="pooling_routes"
digit = ten_x[3:4]  # (1, 1, 8, 8)
dy = np.ones((1, 1, 4, 4))
to_winners, to_all = max_pool2d_backward(dy, digit, 2), avg_pool2d_backward(dy, digit, 2)
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
show(axes[0], digit[0, 0], "x", vmin=0, vmax=1)
write_values(axes[0], digit[0, 0], size=6, times=16)
show(axes[1], to_winners[0, 0], "maximum: dx", cmap="cividis", vmin=0, vmax=1)
drawn = show(axes[2], to_all[0, 0], "mean: dx", cmap="cividis", vmin=0, vmax=1)
for ax in axes:
    for edge in (1.5, 3.5, 5.5):
        ax.axvline(edge, color="tab:cyan", linewidth=1)
        ax.axhline(edge, color="tab:cyan", linewidth=1)
fig.colorbar(drawn, ax=axes, label="gradient")
plt.show()
check.close(to_winners.sum(), to_all.sum(), what="all that comes in goes out")
rng = np.random.default_rng(seed)
x, dy = rng.standard_normal((2, 2, 7, 6)), rng.standard_normal((2, 2, 4, 3))
for forward, backward in ((max_pool2d, max_pool2d_backward), (avg_pool2d, avg_pool2d_backward)):
    measured = numerical_gradient(lambda v, forward=forward: forward(v, 3, 2, 1), x, dy)
    print(
        f"{forward.__name__}: relative error {relative_error(backward(dy, x, 3, 2, 1), measured):.1e}"
    )
    assert relative_error(backward(dy, x, 3, 2, 1), measured) < 1e-7

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A handwritten three with its brightness from 0 to 16 in each pixel, the gradient of max pooling, one bright pixel in each window, and that of mean pooling, one quarter everywhere; lines mark the windows.](figures/pooling_routes.png)
#
# The maximum sends all of it to one pixel of each window, the mean a quarter to each. In a black window the *first* pixel, upper left, is said to have won. That is arbitrary, and it is harmless for learning. But the judge would disagree there: turn any of four equal pixels *up* and the output moves; turn it *down* and it does not. The difference reports one half for each of the four. (So the check above draws random numbers.) In both poolings as much comes out as went in, 16.
#
# </details>

# %% [markdown]
# ## 9. Layers that keep what they need
#
# **Idea.** The backward functions want the forward pass's input. Somebody has to keep it. So put the two halves together in one object: a **layer**. Its `forward` keeps what its `backward` will need.
#
# This is the whole protocol. It is given, and all units to come keep to it:
#
# - `forward(x)` returns `y` and keeps what is needed. `backward(dy)` returns `dx` **for the batch of the last `forward`**.
# - `params` is a dict of the layer's arrays, `{"w": ..., "b": ...}`; empty if there is nothing to learn. Whoever trains the layer changes these arrays *in place*, so `forward` and `backward` must use the arrays that stand in `params`.
# - `grads` is a dict with the same keys. `backward` **sets** it, it does not add to what was there before.
# - `training` is `True` at first. (Some layers of units 07 and 08 behave differently while they learn.)


# %% given=true
class Layer:
    """One step of a network: forward keeps what backward needs; grads gets the keys of params."""

    def __init__(self):
        self.params, self.grads = {}, {}
        self.training = True

    def forward(self, x):
        """Return y for a batch x."""
        raise NotImplementedError

    def backward(self, dy):
        """Return dx for the batch of the last forward, and set grads."""
        raise NotImplementedError


# %% [markdown]
# ### Exercise: `Dense`
#
# *15 minutes, easy. What it is for: your first layer that can learn.*
#
# `Dense(in_features, out_features, rng)` makes `params["w"]` of shape `(in_features, out_features)`, drawn from the NumPy generator `rng` with mean 0 and **standard deviation $\sqrt{2 / \text{in\_features}}$** (normal or uniform; unit 07 says why this size), and `params["b"]`, zeros. One point for these, one for `forward`, one for `backward`, one for several passes in a row.
#
# <details><summary>Hint 1</summary>
#
# Three methods: `__init__`, `forward`, `backward`. The first line of `__init__` is `super().__init__()`. It makes the empty dicts and `training`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `forward` keeps `self.x = x`. Write the three lines of part 5 into `backward`: two of them go into `self.grads`, one is returned.
#
# </details>


# %% exercise="Dense"
class Dense(Layer):
    """x (N, in_features) -> x @ w + b (N, out_features); params "w" and "b"."""

    ### BEGIN SOLUTION
    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["w"].T

    ### END SOLUTION


# %% tests="Dense" part="params" points=1
_layer = Dense(3, 2, np.random.default_rng(0))
check.equal(sorted(_layer.params), ["b", "w"], what="the keys of Dense(3, 2, rng).params")
check.shape(_layer.params["w"], (3, 2), what='Dense(3, 2, rng).params["w"]')
check.close(_layer.params["b"], np.zeros(2), what='Dense(3, 2, rng).params["b"]')
check.equal(_layer.training, True, what="Dense(3, 2, rng).training")
# 200 x 50 weights: their standard deviation is close to sqrt(2 / 200) = 0.1
check.close(
    np.std(Dense(200, 50, np.random.default_rng(1)).params["w"]),
    0.1,
    what="standard deviation of w, 200 inputs",
    rtol=0.05,
)
del _layer


### BEGIN HIDDEN TESTS
def _hidden():
    for n_in, n_out in ((300, 80), (50, 400)):
        w = np.array(Dense(n_in, n_out, np.random.default_rng(2)).params["w"])
        check.shape(w, (n_in, n_out), what=f"w of Dense({n_in}, {n_out}, rng)")
        check.close(
            np.std(w), np.sqrt(2 / n_in), what=f"standard deviation of w, {n_in} inputs", rtol=0.05
        )
        check.close(np.mean(w) / np.std(w), 0.0, what="mean of w in standard deviations", atol=0.05)
    first = np.array(Dense(4, 3, np.random.default_rng(5)).params["w"])
    again = np.array(Dense(4, 3, np.random.default_rng(5)).params["w"])
    other = np.array(Dense(4, 3, np.random.default_rng(6)).params["w"])
    check.close(again, first, what="w, drawn twice from generators of one seed")
    assert not np.allclose(first, other), (
        "w does not come from rng: two seeds give the same weights"
    )
    check.equal(Dense(4, 3, np.random.default_rng(5)).training, True, what="training at first")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Dense" part="forward" points=1
# Weights and bias are put in by hand. (1, 2) @ w = (15, 18, 21), plus (10, 20, 30)
_layer = Dense(2, 3, np.random.default_rng(0))
_layer.params["w"][...] = np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
_layer.params["b"][...] = np.array([10.0, 20.0, 30.0])
check.close(
    _layer.forward(np.array([[1.0, 2.0]])), np.array([[25.0, 38.0, 51.0]]), what="Dense.forward"
)
del _layer


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(435)
    for N, n_in, n_out in ((4, 3, 5), (1, 6, 2), (3, 1, 1)):
        layer = Dense(n_in, n_out, np.random.default_rng(7))
        layer.params["b"][...] = rng.standard_normal(n_out)
        w, b = np.array(layer.params["w"]), np.array(layer.params["b"])
        x = rng.standard_normal((N, n_in))
        before, expected = x.copy(), x @ w + b
        check.close(
            layer.forward(x), expected, what=f"Dense({n_in}, {n_out}, rng).forward, x {x.shape}"
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Dense" part="backward" points=1
# The example of part 5, and a second picture (0, 1) with dy = (2, 0, 0): their gradients add up
_layer = Dense(2, 3, np.random.default_rng(0))
_layer.params["w"][...] = np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
_layer.forward(np.array([[1.0, 2.0], [0.0, 1.0]]))
check.close(
    _layer.backward(np.array([[1.0, 0.0, -1.0], [2.0, 0.0, 0.0]])),
    np.array([[-2.0, -2.0], [6.0, 12.0]]),
    what="Dense.backward",
)
check.equal(sorted(_layer.grads), ["b", "w"], what="the keys of grads after backward")
check.close(
    _layer.grads["w"], np.array([[1.0, 0.0, -1.0], [4.0, 0.0, -2.0]]), what='Dense, grads["w"]'
)
check.close(_layer.grads["b"], np.array([3.0, 0.0, -1.0]), what='Dense, grads["b"]')
del _layer


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(436)
    for N, n_in, n_out in ((4, 3, 5), (1, 6, 2), (3, 3, 3), (5, 1, 1)):
        layer = Dense(n_in, n_out, np.random.default_rng(8))
        layer.params["w"][...] = rng.standard_normal((n_in, n_out))
        w = np.array(layer.params["w"])
        x, dy = rng.standard_normal((N, n_in)), rng.standard_normal((N, n_out))
        before = dy.copy(), x.copy()
        layer.forward(x)
        case = f"Dense({n_in}, {n_out}, rng), x {x.shape}"
        check.close(layer.backward(dy), before[0] @ w.T, what=f"{case}, backward")
        check.close(layer.grads["w"], before[1].T @ before[0], what=f'{case}, grads["w"]')
        check.close(layer.grads["b"], before[0].sum(axis=0), what=f'{case}, grads["b"]')
        check.unchanged(before[0], dy, what="dy")
        check.unchanged(before[1], x, what="x")
        check.close(layer.params["w"], w, what=f'{case}, params["w"] after backward')


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Dense" part="again" points=1
# backward belongs to the last forward, and sets grads anew: 5 * 7 = 35, not 2 * 7, and not their sum
_layer = Dense(1, 1, np.random.default_rng(0))
for _value in (2.0, 5.0):
    _layer.forward(np.array([[_value]]))
    _layer.backward(np.array([[7.0]]))
check.close(_layer.grads["w"], np.array([[35.0]]), what='grads["w"] after the second backward')
check.close(_layer.grads["b"], np.array([7.0]), what='grads["b"] after the second backward')
# A weight that was changed in place counts at once
_layer.params["w"][...] = 100.0
check.close(
    _layer.forward(np.array([[3.0]])), np.array([[300.0]]), what="forward after a change of w"
)
check.close(
    _layer.backward(np.array([[2.0]])), np.array([[200.0]]), what="backward after a change of w"
)
del _layer, _value


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(437)
    layer = Dense(3, 2, np.random.default_rng(9))
    twin = Dense(3, 2, np.random.default_rng(9))
    for step in range(4):
        w, b = np.array(layer.params["w"]), np.array(layer.params["b"])
        x, dy = rng.standard_normal((step + 1, 3)), rng.standard_normal((step + 1, 2))
        layer.forward(rng.standard_normal((2, 3)))
        twin.forward(rng.standard_normal((2, 3)))
        check.close(layer.forward(x), x @ w + b, what=f"Dense.forward, step {step}")
        check.close(layer.backward(dy), dy @ w.T, what=f"Dense.backward, step {step}")
        check.close(layer.grads["w"], x.T @ dy, what=f'grads["w"], step {step}')
        check.close(layer.grads["b"], dy.sum(axis=0), what=f'grads["b"], step {step}')
        layer.params["w"][...] = w - 0.1 * x.T @ dy
        layer.params["b"][...] = b - 0.1 * dy.sum(axis=0)
    untouched = np.array(Dense(3, 2, np.random.default_rng(9)).params["w"])
    check.close(twin.params["w"], untouched, what="w of another layer")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# The other layers of the network follow the same pattern, with your functions inside. They are given. Read one of them: it is the two halves, and the memory between them.


# %% given=true
class Conv2d(Layer):
    """conv2d as a layer; params "w" (out_channels, in_channels, k, k) and "b" (out_channels,)."""

    def __init__(self, in_channels, out_channels, kernel_size, rng, stride=1, padding=0):
        super().__init__()
        self.stride, self.padding = stride, padding
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        w = rng.standard_normal(shape) * np.sqrt(2 / (in_channels * kernel_size**2))
        self.params = {"w": w, "b": np.zeros(out_channels)}

    def forward(self, x):
        self.x = x
        return conv2d(x, self.params["w"], self.params["b"], self.stride, self.padding)

    def backward(self, dy):
        dx, dw, db = conv2d_backward(dy, self.x, self.params["w"], self.stride, self.padding)
        self.grads = {"w": dw, "b": db}
        return dx


class MaxPool2d(Layer):
    """max_pool2d as a layer."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.settings = (kernel_size, stride, padding)

    def forward(self, x):
        self.x = x
        return max_pool2d(x, *self.settings)

    def backward(self, dy):
        return max_pool2d_backward(dy, self.x, *self.settings)


class ReLU(Layer):
    """relu as a layer."""

    def forward(self, x):
        self.x = x
        return relu(x)

    def backward(self, dy):
        return relu_backward(dy, self.x)


class Flatten(Layer):
    """(N, ...) -> (N, D); backward restores the shape."""

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


# %% [markdown]
# ### Exercise: `Sequential`
#
# *20 minutes, medium. What it is for: a network. It is a layer itself: a chain of layers has a forward, a backward and params like any other. So a chain may contain chains.*
#
# `Sequential(layers)` takes a list of layers.
#
# - `forward` runs them in order, `backward` in reverse.
# - `params` has the arrays of all layers, under `"0.w"`, `"0.b"`, `"2.w"`, ...: the number of the layer from 0, a point, the layer's own name. They are **the layers' own arrays, not copies**: whoever changes `net.params["0.w"]` in place changes the layer. Layers without params (ReLU) count in the numbering and add nothing.
# - `grads` likewise, of the last `backward`.
# - `net.training = False` reaches every layer; `net.training` reads it.
#
# One point for the order, one for `params`, one for `grads`, one for `training`, one for a chain in a chain.
#
# <details><summary>Hint 1: attributes that are computed</summary>
#
# The layers' `grads` are new dicts after each `backward`. A dict that you built in `__init__` would be stale. A **property** is computed whenever somebody reads it:
#
# `@property`, and below it `def grads(self): return {...}`.
#
# </details>
# <details><summary>Hint 2: the names</summary>
#
# Two loops in one dict: over `enumerate(self.layers)`, and over `layer.params.items()`. The key is `f"{i}.{name}"`.
#
# </details>
# <details><summary>Hint 3: setting training</summary>
#
# `@training.setter`, and below it `def training(self, value): ...` is called on `net.training = value`. (With properties for `params`, `grads` and `training`, do not call `super().__init__()`: it would try to set them.)
#
# </details>


# %% exercise="Sequential"
class Sequential(Layer):
    """Layers one after another; params and grads of layer 0 are called "0.w", "0.b", and so on."""

    ### BEGIN SOLUTION
    def __init__(self, layers):
        self.layers = list(layers)

    @property
    def params(self):
        """{"0.w": array, ...}: the layers' own arrays."""
        return self._gathered("params")

    @property
    def grads(self):
        """The gradients of the last backward, under the names of params."""
        return self._gathered("grads")

    def _gathered(self, kind):
        return {
            f"{i}.{name}": array
            for i, layer in enumerate(self.layers)
            for name, array in getattr(layer, kind).items()
        }

    @property
    def training(self):
        """Whether the layers are in training mode."""
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, mode):
        for layer in self.layers:
            layer.training = mode

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    ### END SOLUTION


# %% tests="Sequential" part="order" points=1
@check.remote
def _chain(Sequential, factors):
    """Layers that multiply each column by its factor, add up the columns, and square the sum."""
    import numpy

    class Weigh:
        params, grads, training = {}, {}, True

        def forward(self, x):
            return x * factors

        def backward(self, dy):
            return dy * factors

    class AddUp:
        params, grads, training = {}, {}, True

        def forward(self, x):
            return x.sum(axis=1, keepdims=True)

        def backward(self, dy):
            return numpy.repeat(dy, len(factors), axis=1)

    class Square:
        params, grads, training = {}, {}, True

        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dy):
            return 2 * self.x * dy

    return Sequential([Weigh(), AddUp(), Square()])


# (1, 2) -> (3, 20) -> 23 -> 529. And back: 1 -> 2 * 23 = 46 -> (46, 46) -> (138, 460)
_net = _chain(Sequential, np.array([3.0, 10.0]))
check.close(_net.forward(np.array([[1.0, 2.0]])), np.array([[529.0]]), what="Sequential.forward")
check.close(
    _net.backward(np.array([[1.0]])), np.array([[138.0, 460.0]]), what="Sequential.backward"
)
del _net, _chain


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def chain(Sequential, weights):
        import numpy

        class Matrix:
            training, params, grads = True, {}, {}

            def __init__(self, w):
                self.params = {"w": numpy.array(w)}

            def forward(self, x):
                self.x = x
                return x @ self.params["w"]

            def backward(self, dy):
                self.grads = {"w": self.x.T @ dy}
                return dy @ self.params["w"].T

        class Bend:
            training, params, grads = True, {}, {}

            def forward(self, x):
                self.y = numpy.tanh(x)
                return self.y

            def backward(self, dy):
                return dy * (1 - self.y**2)

        layers = [layer for w in weights for layer in (Matrix(w), Bend())]
        return Sequential(layers[:-1])

    from itertools import pairwise

    rng = np.random.default_rng(438)
    for sizes in ((3, 4, 2), (2, 5, 3, 4), (4, 3)):
        weights = [rng.standard_normal(pair) for pair in pairwise(sizes)]
        x, dy = rng.standard_normal((5, sizes[0])), rng.standard_normal((5, sizes[-1]))
        outputs = [x @ weights[0]]
        for w in weights[1:]:
            outputs.append(np.tanh(outputs[-1]) @ w)
        back = dy @ weights[-1].T
        for w, y in zip(weights[-2::-1], outputs[-2::-1], strict=True):
            back = (back * (1 - np.tanh(y) ** 2)) @ w.T
        net = chain(Sequential, weights)
        check.close(net.forward(x), outputs[-1], what=f"Sequential.forward, sizes {sizes}")
        check.close(net.backward(dy), back, what=f"Sequential.backward, sizes {sizes}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="Sequential" part="params" points=1
@check.remote
def _two_layers(Sequential):
    """Layers 0 and 2 have params, layer 1 has none; forward multiplies by all of them."""
    import numpy

    class Times:
        params, grads, training = {}, {}, True

        def __init__(self, k):
            self.params = {"k": numpy.array([k])}

        def forward(self, x):
            return x * self.params["k"]

    class Nothing:
        params, grads, training = {}, {}, True

        def forward(self, x):
            return x

    return Sequential([Times(3.0), Nothing(), Times(2.0)])


_net = _two_layers(Sequential)
check.equal(sorted(_net.params), ["0.k", "2.k"], what="the keys of params")
check.close(_net.params["0.k"], np.array([3.0]), what='params["0.k"]')
# They are the layers' own arrays: change one in place, and the network computes with it. 1 * 10 * 2
_net.params["0.k"][...] = 10.0
check.close(_net.forward(np.array([[1.0]])), np.array([[20.0]]), what="forward after a change")
del _net, _two_layers


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def layers_with(Sequential, keys):
        import numpy

        class Holder:
            training, params, grads = True, {}, {}

            def __init__(self, names):
                self.params = {name: numpy.full(2, value) for name, value in names.items()}

            def forward(self, x):
                for array in self.params.values():
                    x = x + array
                return x

        return Sequential([Holder(names) for names in keys])

    @check.remote
    def step(net, by):
        for array in net.params.values():
            array -= by

    keys = ({}, {"w": 1.0, "b": 2.0}, {}, {"gamma": 4.0})
    net = layers_with(Sequential, keys)
    check.equal(sorted(net.params), ["1.b", "1.w", "3.gamma"], what="the keys of params")
    check.close(net.params["3.gamma"], np.full(2, 4.0), what='params["3.gamma"]')
    check.close(net.params["1.b"], np.full(2, 2.0), what='params["1.b"]')
    for steps in range(1, 4):
        step(net, 0.5)
        expected = np.full((1, 2), 7 - 1.5 * steps)
        check.close(net.forward(np.zeros((1, 2))), expected, what=f"forward after {steps} changes")
    many = layers_with(Sequential, [{"w": float(k)} for k in range(12)])
    check.equal(len(many.params), 12, what="the number of params of 12 layers")
    check.close(many.params["11.w"], np.full(2, 11.0), what='params["11.w"]')
    check.equal(
        len(layers_with(Sequential, [{}, {}]).params), 0, what="params where there are none"
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="Sequential" part="grads" points=1
@check.remote
def _counters(Sequential):
    """Layers that multiply by 3 and by 2."""
    import numpy

    class Times:
        params, grads, training = {}, {}, True

        def __init__(self, k):
            self.params = {"k": numpy.array([k])}

        def forward(self, x):
            self.x = x
            return x * self.params["k"]

        def backward(self, dy):
            self.grads = {"k": numpy.array([float((dy * self.x).sum())])}
            return dy * self.params["k"]

    return Sequential([Times(3.0), Times(2.0)])


# 10 -> 30 -> 60. The second factor gets 30, the first 2 * 10 = 20
_net = _counters(Sequential)
_net.forward(np.array([[10.0]]))
_net.backward(np.array([[1.0]]))
check.close(_net.grads["1.k"], np.array([30.0]), what='grads["1.k"]')
check.close(_net.grads["0.k"], np.array([20.0]), what='grads["0.k"]')
# A second pass: grads are those of the last one
_net.forward(np.array([[1.0]]))
_net.backward(np.array([[1.0]]))
check.close(_net.grads["0.k"], np.array([2.0]), what='grads["0.k"] of the second backward')
del _net, _counters


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def chain(Sequential, weights):
        import numpy

        class Matrix:
            training, params, grads = True, {}, {}

            def __init__(self, w):
                self.params = {"w": numpy.array(w), "b": numpy.zeros(w.shape[1])}

            def forward(self, x):
                self.x = x
                return x @ self.params["w"] + self.params["b"]

            def backward(self, dy):
                self.grads = {"b": dy.sum(axis=0), "w": self.x.T @ dy}
                return dy @ self.params["w"].T

        class Nothing:
            training, params, grads = True, {}, {}

            def forward(self, x):
                return x

            def backward(self, dy):
                return dy

        return Sequential([Matrix(weights[0]), Nothing(), Matrix(weights[1])])

    rng = np.random.default_rng(439)
    weights = [rng.standard_normal((3, 4)), rng.standard_normal((4, 2))]
    net = chain(Sequential, weights)
    for step in range(3):
        x, dy = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
        middle = x @ weights[0]
        expected = {
            "2.w": middle.T @ dy,
            "2.b": dy.sum(axis=0),
            "0.w": x.T @ (dy @ weights[1].T),
            "0.b": (dy @ weights[1].T).sum(axis=0),
        }
        net.forward(x)
        net.backward(dy)
        check.equal(sorted(net.grads), ["0.b", "0.w", "2.b", "2.w"], what="the keys of grads")
        for name, values in expected.items():
            check.close(net.grads[name], values, what=f'grads["{name}"], pass {step}')


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="Sequential" part="training" points=1
@check.remote
def _three_plain(Sequential):
    """A chain of three layers, and the layers."""

    class Plain:
        params, grads, training = {}, {}, True

    layers = [Plain(), Plain(), Plain()]
    return Sequential(layers), layers


_net, _layers = _three_plain(Sequential)
check.equal(_net.training, True, what="training at first")
_net.training = False
check.equal([_one.training for _one in _layers], [False] * 3, what="training of the three layers")
check.equal(_net.training, False, what="training of the network")
del _net, _layers, _three_plain


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def plain(Sequential, n):
        class Empty:
            training, params, grads = True, {}, {}

        chained = [Empty() for _ in range(n)]
        return Sequential(chained), chained

    for n in (1, 4):
        net, layers = plain(Sequential, n)
        for value in (False, True, False):
            net.training = value
            got = [layer.training for layer in layers]
            check.equal(
                got, [value] * n, what=f"training of {n} layers after net.training = {value}"
            )
            check.equal(net.training, value, what="training of the network")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="Sequential" part="nested" points=1
@check.remote
def _chain_in_chain(Sequential):
    """Times 3, then a chain of times 2 and times 5."""
    import numpy

    class Times:
        params, grads, training = {}, {}, True

        def __init__(self, k):
            self.params = {"k": numpy.array([k])}

        def forward(self, x):
            self.x = x
            return x * self.params["k"]

        def backward(self, dy):
            self.grads = {"k": numpy.array([float((dy * self.x).sum())])}
            return dy * self.params["k"]

    return Sequential([Times(3.0), Sequential([Times(2.0), Times(5.0)])])


# 1 -> 3 -> 6 -> 30. Layer 1 of the chain that is layer 1: its factor gets 6
_net = _chain_in_chain(Sequential)
check.equal(sorted(_net.params), ["0.k", "1.0.k", "1.1.k"], what="the keys of a chain in a chain")
check.close(_net.forward(np.array([[1.0]])), np.array([[30.0]]), what="forward")
check.close(_net.backward(np.array([[1.0]])), np.array([[30.0]]), what="backward")
check.close(_net.grads["1.1.k"], np.array([6.0]), what='grads["1.1.k"]')
del _net, _chain_in_chain


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def chains(Sequential):
        import numpy

        class Scale:
            training, params, grads = True, {}, {}

            def __init__(self, factor):
                self.params = {"k": numpy.full(1, factor)}

            def forward(self, x):
                self.seen = x
                return self.params["k"] * x

            def backward(self, dy):
                self.grads = {"k": numpy.full(1, numpy.sum(dy * self.seen))}
                return self.params["k"] * dy

        inner = Scale(2.0)
        return Sequential([Sequential([Sequential([inner])]), Scale(7.0)]), inner

    net, inner = chains(Sequential)
    check.equal(sorted(net.params), ["0.0.0.k", "1.k"], what="the keys of three chains")
    net.params["0.0.0.k"][...] = 4.0
    check.close(net.forward(np.array([[1.0, 2.0]])), np.array([[28.0, 56.0]]), what="forward")
    check.close(net.backward(np.array([[1.0, 1.0]])), np.array([[28.0, 28.0]]), what="backward")
    check.close(net.grads["0.0.0.k"], np.array([21.0]), what='grads["0.0.0.k"]')
    net.training = False
    check.equal(inner.training, False, what="training of the innermost layer")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ## 10. The thing done
#
# The network of part 1, now as an object. It gets the very knobs of part 1, so that nothing is new but the way back.


# %%
def small_network(rng, side=8):
    """The network of part 1 for pictures of side x side pixels."""
    return Sequential(
        [
            Conv2d(1, 8, 3, rng, padding=1),
            ReLU(),
            MaxPool2d(2),
            Conv2d(8, 16, 3, rng, padding=1),
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Dense(16 * (side // 4) ** 2, 10, rng),
        ]
    )


def loss_and_backward(network, x, y):
    """Run the network forward and back; its grads are set. Return the loss."""
    logits = network.forward(x)
    network.backward(cross_entropy_backward(1.0, logits, y))
    return cross_entropy(logits, y)


network = small_network(np.random.default_rng(seed))
for name, values in network.params.items():
    values[...] = knobs[name]
check.close(loss_and_backward(network, ten_x, ten_y), first_loss, what="the loss of part 1")
for name, values in network.grads.items():
    print(f"{name}  {values.size:5d} slopes, from {values.min():7.3f} to {values.max():6.3f}")

# %% [markdown]
# **What did it cost?** Part 1 needed two runs for each knob.

# %%
forward_seconds = seconds_per_call(lambda: network.forward(ten_x))
both_seconds = seconds_per_call(lambda: loss_and_backward(network, ten_x, ten_y))
price = both_seconds / forward_seconds
print(f"forward {1000 * forward_seconds:.2f} ms, forward and backward {1000 * both_seconds:.2f} ms")
print(f"the price of {number_of_knobs:,} slopes: {price:.1f} runs, not {2 * number_of_knobs:,}")
assert price < 20

# %% [markdown]
# A few runs, whatever the number of knobs. It is a law: where many inputs make *one* number by small steps, the whole gradient takes at most a small constant times as many steps as the number itself (Baur and Strassen 1983, for sums, products and quotients). This is what makes learning possible.
#
# **Is it right?** Every layer was checked alone. Now check the whole: all 24 biases of the two convolutions and 40 weights drawn by chance, against the judge. Once on the ten digits, once on ten pictures of random numbers.
#
# **Predict.** One of the two checks fails, at the biases, and your code is right. Which one, and why?


# %%
def slopes_of(network, x, y, places):
    """(numerical, backpropagated) slopes of the loss at places [(name, index), ...]."""
    loss_and_backward(network, x, y)
    grads = {name: np.array(values) for name, values in network.grads.items()}
    numerical = []
    for name, index in places:
        values = network.params[name]

        def loss_at(v, values=values, index=index):
            kept, values[index] = values[index], v[0]
            loss = cross_entropy(network.forward(x), y)
            values[index] = kept
            return loss

        numerical.append(numerical_gradient(loss_at, np.array([values[index]]))[0])
    return np.array(numerical), np.array([grads[name][index] for name, index in places])


rng = np.random.default_rng(seed)
bias_places = [(name, (k,)) for name, size in (("0.b", 8), ("3.b", 16)) for k in range(size)]
weight_places = [
    (name, tuple(int(rng.integers(n)) for n in network.params[name].shape))
    for name in ("0.w", "3.w", "3.w", "7.w")
    for _ in range(10)
]
noise = rng.standard_normal((10, 1, 8, 8))
pairs = {}
for label, pictures in (("the ten digits", ten_x), ("random pictures", noise)):
    pairs[label] = slopes_of(network, pictures, ten_y, bias_places + weight_places)

# %% figure="whole_check"
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), layout="constrained")
for ax, (label, (numerical, derived)) in zip(axes, pairs.items(), strict=True):
    ends = [min(derived.min(), numerical.min()), max(derived.max(), numerical.max())]
    ax.plot(ends, ends, color="gray", linewidth=0.8)
    ax.plot(numerical[:24], derived[:24], "^", markersize=5, color="C1", label="biases")
    ax.plot(numerical[24:], derived[24:], "o", markersize=3, color="C0", label="weights")
    ax.set(title=label, xlabel="numerical slope")
axes[0].set(ylabel="backpropagated slope")
axes[0].legend(fontsize=7)
plt.show()

# %%
for label, (numerical, derived) in pairs.items():
    biases = relative_error(numerical[:24], derived[:24])
    weights = relative_error(numerical[24:], derived[24:])
    print(f"{label:<16} relative error: biases {biases:.0e}, weights {weights:.0e}")
errors_of = {label: relative_error(a[:24], b[:24]) for label, (a, b) in pairs.items()}
assert errors_of["the ten digits"] > 1e-2
assert errors_of["random pictures"] < 1e-6
numerical, derived = pairs["the ten digits"]
off = [
    name
    for (name, _), a, b in zip(bias_places, numerical, derived, strict=False)
    if abs(a - b) > 1e-3
]
print("on the digits off by more than 0.001:", off)
assert off == 8 * ["0.b"]
black = float(np.mean(conv2d(ten_x, knobs["0.w"], knobs["0.b"], padding=1) == 0))
print(f"outputs of the first convolution that are exactly 0 on the digits: {100 * black:.0f} %")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Backpropagated against numerical slopes. On the digits the weights lie on the diagonal and the biases of the first convolution do not; on random pictures all lie on it.](figures/whole_check.png)
#
# The check on the digits fails, at all eight biases of the first convolution and at no other. Where a digit is black, that convolution gives exactly its bias, and the bias is exactly 0: the ReLU stands **on its kink**, at every black place at once. Turn the bias up, and all of them open; turn it down, and nothing happens. The judge reports the mean of the two, the backward function its choice at 0. Neither is wrong: there is no slope. On random pictures nothing is exactly 0, and 64 of 64 agree. So if a check fails, first ask *where*, and try other data.
#
# </details>
#
# ### Ten images, by heart
#
# Now turn all knobs, against their slopes, a little at a time: $w \leftarrow w - \text{lr} \cdot dw$. This is **gradient descent**. (Unit 06 is about doing it well.)
#
# **Before you train any network on anything, let it learn ten pictures by heart.** It takes seconds. The loss must go to nearly zero. If it does not, something is broken, and no amount of data will mend it.
#
# **Predict.** Two runs: ten digits with their true labels, and the same ten with *shuffled* labels, so that no picture has its own. What does the second loss curve look like? And a network that knows ten pictures by heart: how many of the other digits does it read?


# %%
def train(network, x, y, steps=200, lr=0.2):
    """Gradient descent on all of x, y at once: return the loss before each step."""
    losses = []
    for _ in range(steps):
        losses.append(loss_and_backward(network, x, y))
        grads = network.grads
        for name, values in network.params.items():
            values -= lr * grads[name]  # in place: these are the layers' own arrays
    return losses


shuffled = np.random.default_rng(seed + 1).permutation(ten_y)
assert np.all(shuffled != ten_y)
learners = {label: small_network(np.random.default_rng(seed)) for label in ("true", "shuffled")}
curves = {
    "true": train(learners["true"], ten_x, ten_y),
    "shuffled": train(learners["shuffled"], ten_x, shuffled),
}
others = slice(10, 510) if profile == "quick" else slice(10, None)
other_x, other_y = handwritten.images[others].astype(float), handwritten.labels[others]
scores = {
    label: 100 * float(np.mean(learner.forward(other_x).argmax(axis=1) == other_y))
    for label, learner in learners.items()
}
said = softmax(learners["true"].forward(ten_x))  # (10, 10): a row for each picture

# %% figure="ten_by_heart"
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="constrained", width_ratios=[1.5, 1])
for (label, losses), style in zip(curves.items(), ("-", "--"), strict=True):
    axes[0].semilogy(losses, style, label=f"{label} labels")
axes[0].axhline(np.log(10), color="gray", linewidth=0.8, linestyle=":")
axes[0].text(199, np.log(10) * 1.15, "10 % for each digit", ha="right", color="gray", fontsize=7)
axes[0].set(xlabel="step", ylabel="loss (nats)", title="Ten pictures")
axes[0].legend(fontsize=7, loc="lower left")
drawn = axes[1].imshow(said, cmap="cividis", vmin=0, vmax=1)
axes[1].set(title="after 200 steps (true labels)", xlabel="answer", ylabel="picture")
axes[1].set(xticks=range(10), yticks=range(10))
fig.colorbar(drawn, ax=axes[1], label="probability")
plt.show()

# %%
for label, losses in curves.items():
    print(
        f"{label:<9} labels: loss {losses[0]:.2f} -> {losses[-1]:.4f}; of the others it reads "
        f"{scores[label]:.1f} % (n = {len(other_y)})"
    )
    assert losses[-1] < 0.02
assert np.array_equal(said.argmax(axis=1), ten_y)
assert 50 < scores["true"] < 65
assert scores["shuffled"] < 10

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the loss against the step on a logarithmic axis: both curves fall from about 3 to below a hundredth. Right, a table of ten pictures against ten answers, bright along the diagonal.](figures/ten_by_heart.png)
#
# **It learns.** Two convolutions, two ReLUs, two poolings and a dense layer, all of it arrays and your own functions. The loss falls from 3.56 to less than a hundredth, and each of the ten pictures is named with near certainty.
#
# The shuffled labels are learned as well: with 1,898 knobs the network can store ten answers, true or not. (Zhang and others showed the same in 2017 with networks of millions of weights and all of CIFAR-10.) On digits it has never seen, the first reads nearly six in ten (one seed), where guessing reads one, from *one example of each*. The second reads fewer than guessing would: it learned that a 3 is something else, and applies it faithfully. Learning by heart proves that the machine turns. It does not prove that it has understood. That is for units 06 and 07.
#
# </details>

# %%
# With MNIST on this machine (28 x 28 pixels), the full profile learns ten of its pictures as well.
if profile == "full":
    try:
        large_digits = mnist("train")
    except DataError as error:
        print(error)
    else:
        places = [int(np.flatnonzero(large_digits.labels == c)[0]) for c in range(10)]
        learner = small_network(np.random.default_rng(seed), side=28)
        losses = train(learner, large_digits.images[places].astype(float), np.arange(10), lr=0.05)
        print(f"MNIST: loss {losses[0]:.2f} -> {losses[-1]:.4f}")

# %% [markdown]
# ## 11. Wrong gradients that learn
#
# You have learned ten pictures by heart. So all your gradients are right? That is what the loss curve *seems* to say. Put it to the test: break the backward pass, on purpose, one mistake at a time, and learn the ten pictures again.
#
# 1. **mean, not sum**: both convolutions divide `dw` and `db` by the number of places.
# 2. **no ReLU**: going back, ReLU lets everything pass.
# 3. **pool to all**: the maximum gives the full gradient to all four pixels.
# 4. **turned, dx**: the second convolution uses its kernel turned by 180 degrees for `dx`.
# 5. **turned, dw**: both convolutions return `dw` turned by 180 degrees.
# 6. **random dx**: the dense layer computes `dx` with small random numbers in place of its weights.
# 7. **dx = 0**: the dense layer sends nothing back at all. No convolution ever learns.
# 8. **sign of dy**: ReLU lets pass what has `dy > 0`, where it should ask for `x > 0`.
# 9. **minus dx**: the dense layer sends back `dx` with the wrong sign.
# 10. **minus dw**: the dense layer's own `dw` has the wrong sign.
#
# **Predict.** How many of the ten learn all ten pictures? Which ones do not, and what do these have in common? Write your guess down. (The list is a choice; with other mistakes the count would be another.)


# %%
def break_it(network, mistake):
    """Replace the backward of some layers of the small network by a wrong one; return the network."""
    first, second, last = network.layers[0], network.layers[3], network.layers[7]
    right = {layer: layer.backward for layer in network.layers}

    def change_grads(layer, change):
        def backward(dy):
            dx = right[layer](dy)
            layer.grads = {name: change(name, values, dy) for name, values in layer.grads.items()}
            return dx

        layer.backward = backward

    def turn(name, values, dy):
        return values[:, :, ::-1, ::-1] if name == "w" else values

    def second_turned(dy):
        dx = right[second](dy)
        turned = second.params["w"][:, :, ::-1, ::-1]
        dx[...] = conv2d_backward(dy, second.x, turned, padding=1)[0]
        return dx

    def last_sends(dx_of):
        def backward(dy):
            right[last](dy)
            return dx_of(dy)

        last.backward = backward

    if mistake == "mean, not sum":
        for layer in (first, second):
            change_grads(layer, lambda name, values, dy: values / dy[0, 0].size)
    elif mistake == "no ReLU":
        network.layers[1].backward = network.layers[4].backward = lambda dy: dy
    elif mistake == "pool to all":
        for layer in (network.layers[2], network.layers[5]):
            layer.backward = lambda dy: dy.repeat(2, axis=2).repeat(2, axis=3)
    elif mistake == "turned, dx":
        second.backward = second_turned
    elif mistake == "turned, dw":
        for layer in (first, second):
            change_grads(layer, turn)
    elif mistake == "random dx":
        other = 0.05 * np.random.default_rng(99).standard_normal(last.params["w"].shape)
        last_sends(lambda dy: dy @ other.T)
    elif mistake == "dx = 0":
        last_sends(lambda dy: np.zeros((len(dy), 64)))
    elif mistake == "minus dx":
        last_sends(lambda dy: -dy @ last.params["w"].T)
    elif mistake == "minus dw":
        change_grads(last, lambda name, values, dy: -values if name == "w" else values)
    elif mistake == "sign of dy":
        for layer in (network.layers[1], network.layers[4]):
            layer.backward = lambda dy: np.where(dy > 0, dy, 0)
    return network


mistakes = ["none", "mean, not sum", "no ReLU", "pool to all", "turned, dx", "turned, dw"]
mistakes += ["random dx", "dx = 0", "sign of dy", "minus dx", "minus dw"]
seeds = [seed] if profile == "quick" else [seed, seed + 1, seed + 2]
verdicts = {}
for mistake in mistakes:
    fresh = break_it(small_network(np.random.default_rng(seed)), mistake)
    wrongness = relative_error(*slopes_of(fresh, noise, ten_y, weight_places))
    finals, reads = [], []
    for one in seeds:
        learner = break_it(small_network(np.random.default_rng(one)), mistake)
        with np.errstate(all="ignore"):  # one of them overflows
            finals.append(train(learner, ten_x, ten_y, steps=150)[-1])
            reads.append(int(np.sum(learner.forward(ten_x).argmax(axis=1) == ten_y)))
    verdicts[mistake] = wrongness, max(finals), min(reads)

# %% figure="wrong_but_learning"
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True, layout="constrained")
rows = np.arange(len(mistakes))
for row, (wrongness, final, read) in zip(rows, verdicts.values(), strict=True):
    learned = read == 10
    style = {"color": "C0" if learned else "black", "markersize": 7}
    style["markerfacecolor"] = style["color"] if learned else "white"
    axes[0].plot(wrongness, row, "o" if wrongness < 1e-6 else "X", color="black", markersize=7)
    text = f"{read} of 10"
    if np.isfinite(final):
        axes[1].plot(final, row, "o" if learned else "X", **style)
        axes[1].text(final * 1.5, row, text, va="center", fontsize=7)
    else:
        axes[1].text(18, row, f"no number (NaN), {text}", va="center", ha="right", fontsize=7)
axes[0].axvspan(1e-3, 2, color="lightgray")
axes[0].text(1.6e-3, -0.6, "wrong", va="center", fontsize=7)
axes[0].set(xscale="log", xlim=(1e-11, 2), xlabel="relative error of the slopes", title="The judge")
axes[1].set(xscale="log", xlim=(1e-3, 20), xlabel="loss after 150 steps (nats)", title="Ten images")
axes[0].set(yticks=rows, yticklabels=mistakes, ylim=(len(mistakes) - 0.4, -1.1))
plt.show()

# %%
for mistake, (wrongness, final, read) in verdicts.items():
    print(f"{mistake:<14} relative error {wrongness:7.0e}   loss {final:7.4f}   {read:2d} of 10")
print(f"(the worst of n = {len(seeds)} seeds)")
assert verdicts["none"][0] < 1e-6
assert all(wrongness > 1e-3 for mistake, (wrongness, _, _) in verdicts.items() if mistake != "none")
assert [mistake for mistake, (_, _, read) in verdicts.items() if read < 10] == mistakes[-3:]

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Eleven rows: no mistake, then one for each of the ten. On the left the relative error of the slopes: near 1e-10 without a mistake, between 0.1 and 1 with any of the ten. On the right the loss after 150 steps: all but the last three rows have learned ten of ten pictures.](figures/wrong_but_learning.png)
#
# **Seven of ten wrong networks learn all ten pictures.** (With eight seeds, tried once, it was the same seven each time.) One of them, without any ReLU on the way back, ends with a *smaller* loss than the right one. The control explains it: with "dx = 0" no convolution learns at all, and ten of ten are read all the same. Sixty-four random features are plenty for ten pictures; the last layer alone can do it. So learning by heart tests the last layer, the loss, and the sign of the step. It is **necessary, not sufficient**.
#
# Look at "random dx" beside it: even *random* backward weights teach the layers before them something, as the loss is smaller than with nothing sent back. That is a discovery of Lillicrap and others, 2016. (The random numbers are small on purpose. As large as the weights, 1 run of 12 ended with a loss above 1,000.)
#
# **What does break learning: a wrong sign.** With "sign of dy" only positive `dy` pass: biases and weights are pushed one way, until every ReLU behind the second convolution is dead and the loss stands at $\ln 10$. With "minus dx" the convolutions climb where they should descend, faster and faster, until the numbers overflow. With "minus dw" the last layer climbs, the convolutions turn most of their outputs off, and the loss stays near $\ln 10$. Here a wrong size, or a direction that is partly wrong, is survived; the opposite direction is not.
#
# The judge has no such doubts: ten of ten are wrong by more than a tenth. **Check the gradients of each layer; then learn ten pictures by heart; then train.** In this order. A network with a wrong gradient often does not crash. It learns, a little worse than it could, and you may never know.
#
# </details>

# %%
assert all(wrongness > 0.1 for mistake, (wrongness, _, _) in verdicts.items() if mistake != "none")
assert verdicts["no ReLU"][1] < verdicts["none"][1]
assert verdicts["random dx"][1] < verdicts["dx = 0"][1] / 2

# %% [markdown] manual="read_the_check" points=2
# **Question (2 points, 8 minutes).** A colleague has written a new layer and shows you two reports, both in float64. *Layer A*, $h = 10^{-3}$: relative error $5 \cdot 10^{-3}$; of 4,000 entries of `dx` 3,997 agree to nine digits, three are off, and with other random inputs it is three or four *other* entries. *Layer B*, $h = 10^{-5}$: relative error $9 \cdot 10^{-1}$ for `dw`; every entry of `dw` is one sixteenth of the numerical one; `dx` agrees. For each: right or wrong? What has most likely happened, and which *one* further experiment would convince you?
#
# ### BEGIN SOLUTION
# A is most likely right: it contains kinks (a maximum, a ReLU, an absolute value), and three inputs happen to lie within $h$ of one. (For one kink at 0 and normal inputs part 2 expects $0.8\,h \cdot 4000 \approx 3$.) Experiment, any one of these: make $h$ ten times smaller, and about a tenth as many entries are off; look whether the three inputs lie within $h$ of a kink; move the inputs away from the kinks, and all agree. A mistake in the code would not move to other entries. (1 point.)
#
# B is wrong. One constant factor in all of `dw`: a mean was taken where a sum belongs, over 16 places (a map of 4 x 4) or over a batch of 16. Experiment: change the size of the picture, or the batch, and see whether the factor changes with it. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Multiply along a path, add where paths meet.** Each layer turns `dy` into the gradient of its own inputs, and a network's gradient costs a few runs, however many knobs it has.
# 2. **A convolution is a dense layer whose weights are shared, and the gradient of a shared weight is the *sum* over its uses.** `dx` goes through the transposed matrix. That is a transposed convolution, and not an inverse.
# 3. **Check each layer against `numerical_gradient`** (float64, $h = 10^{-5}$, random inputs, random `dy`, mind the kinks), **then learn ten images by heart, then train.** Learning alone proves little: seven of ten wrong gradients learned.
#
# ## What to read
#
# - D. Rumelhart, G. Hinton, R. Williams, *Learning representations by back-propagating errors*, Nature 323, 1986: four pages that made it known. (The way back itself is older: S. Linnainmaa, 1970.)
# - A. Baydin, B. Pearlmutter, A. Radul, J. Siskind, *Automatic differentiation in machine learning: a survey*, JMLR 18, 2018, [arXiv:1502.05767](https://arxiv.org/abs/1502.05767), section 2: why it is neither numerical nor symbolic differentiation, and section 3: forward and reverse mode.
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, [section 6.5](https://www.deeplearningbook.org/contents/mlp.html): backpropagation on graphs.
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), chapter 4: transposed convolution, from the matrix.
# - T. Lillicrap and others, *Random synaptic feedback weights support error backpropagation for deep learning*, Nature Communications 7, 2016: mistake number 6, taken seriously.
# - C. Zhang and others, *Understanding deep learning requires rethinking generalization*, ICLR 2017, [arXiv:1611.03530](https://arxiv.org/abs/1611.03530): random labels, learned by heart.
# - A. Karpathy, *A Recipe for Training Neural Networks*, 2019: overfit one batch, and what else to do before you train.
#
# ## The road not taken
#
# **Let the machine derive.** You wrote a backward function for every layer. The class `Number` of part 3 needs none: it writes down each small step of the forward pass and walks back along its notes. This is what torch does with whole arrays (`loss.backward()`), and from unit 09 on you use it. You now know what it does, and how to check it.
#
# **Slopes without the V.** The difference $f(x+h) - f(x-h)$ loses digits. With complex numbers there is no difference: $f(x + ih) = f + ih f' - \dots$, so $f' \approx \mathrm{Im}\, f(x+ih) / h$, and $h$ can be as small as you like (Squire and Trapp, SIAM Review 1998):

# %%
tiny = 1e-100
by_complex_step = np.sin(points + 1j * tiny).imag / tiny
print(
    f"complex step, h = {tiny:.0e}: relative error {relative_error(by_complex_step, np.cos(points)):.0e}"
)
assert relative_error(by_complex_step, np.cos(points)) < 1e-14

# %% [markdown]
# It needs an $f$ that takes complex numbers and has no kinks, no comparisons and no `float(...)` inside: not a network with ReLU and max pooling. The slow judge asks for nothing but a function that can be called.
