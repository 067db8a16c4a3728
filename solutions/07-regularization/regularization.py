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
#     minutes: 335
#     prerequisites:
#     - 06-optimizers
#     title: Initialisation and regularization
# ---

# %% [markdown]
# # Initialisation and regularization
#
# **335 minutes (take it in two sittings, the break is after part 4). You need units 01, 04 and 06: layers with `forward` and `backward`, the cross-entropy, Adam.**
#
# A network can fail before its first step, and it can fail after its last. Today you see both. A network of 50 layers gets no signal through itself, so training never begins. A small network reads its 100 training digits without one mistake, and new digits badly. The first is a question of how large the first random numbers are. The second is a question of what you tell the network besides its 100 digits. At the end both are cured, and you will know by measurement which cure did it. One of them will not be the one you expect.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: two failures | 10 |
# | 2 | `zeros_init`: why all units stay equal | 15 |
# | 3 | `he_init`, `xavier_init`: fifty layers, derived and drawn | 55 |
# | 4 | `truncated_normal`, and what no variance tells you | 30 |
# | 5 | capacity: too little, too much, far too much | 20 |
# | 6 | `l1`, `l2`, `max_norm`, and noise | 50 |
# | 7 | `dropout`, `dropout_backward`: 1,024 networks in one | 35 |
# | 8 | `EarlyStopping` | 20 |
# | 9 | `random_flip`, `random_crop`, `random_shift`, `rotate`, `random_brightness`, `cutout`, `augment` | 85 |
# | 10 | both failures cured, and counted | 15 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Weights** are floating arrays (float32 or float64), $w$ of shape `(fan_in, fan_out)` for a dense layer (unit number $j$ has its incoming weights in *column* $j$), and `(C_out, C_in, kH, kW)` for a convolution (filter number $f$ is `w[f]`).
# - **Pictures** are arrays `x` of shape `(N, C, H, W)`, floating, with values from 0 to 1. $H$ and $W$ may differ.
# - **Chance.** `rng` is a NumPy generator, made by `np.random.default_rng(seed)`. Draw from *it*, never from `np.random.rand` and its like, and make no generator of your own: the same seed must give the same numbers again, and a second call must go on where the first stopped. *How* you draw is up to you: `rng.random`, `rng.binomial`, `rng.choice`, one number at a time or all at once. The tests look at what must be true of every right way.
# - **Results** are floating NumPy arrays. float64 is always right.
# - **No argument is changed.** The state of `rng` is the one exception. Results may share memory with arguments.
# - **Views.** Arguments may be non-contiguous.
# - **Speed does not count.** Loops over pictures are fine.
#
# NumPy only. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" uses more seeds and MNIST where it is found
seed = 0

# %% locked=true
import itertools
import os

import matplotlib.pyplot as plt
import numpy as np
from previously import (
    Conv2d,
    Dense,
    Flatten,
    Layer,
    ReLU,
    Sequential,
    adam,
    cross_entropy,
    cross_entropy_backward,
    minibatches,
    update,
)

from data import DataError, digits, mnist
from grader import check

plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})


def show(ax, picture, title, **settings):
    """Draw picture (H, W) on ax, grey from 0 to 1."""
    drawn = ax.imshow(picture, **({"cmap": "gray", "vmin": 0, "vmax": 1} | settings))
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


def with_weights(net, init, rng):
    """Give every Dense layer of net new weights init(shape, rng) and biases of 0; return net."""
    for layer in net.layers:
        if "w" in layer.params:
            layer.params["w"][...] = init(layer.params["w"].shape, rng)
            layer.params["b"][...] = 0
    return net


def dense_net(sizes, init, rng):
    """Dense layers of these sizes with a ReLU between every two."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [Dense(fan_in, fan_out, rng), ReLU()]
    return with_weights(Sequential(layers[:-1]), init, rng)


def accuracy(net, x, y):
    """Percent of the pictures that net reads right, in inference mode."""
    net.training = False
    return 100 * float(np.mean(net.forward(x).argmax(axis=1) == y))


def train(
    net, x, y, rng, epochs, lr=2e-3, batch_size=20, change=None, penalty=None, after=None,
    jitter=0.0, watch=None,
):  # fmt: skip
    """Train net with Adam on the cross-entropy; return the loss of every step.

    change(x, rng) alters the pictures of a batch. penalty(w) -> (value, gradient) is added for each weight.
    after(w) replaces each weight after a step. jitter: std of noise on the weights during a step.
    watch(net) is called after every epoch; if it returns True, training ends.
    """
    states, losses = {}, []
    for _ in range(epochs):
        net.training = True
        for batch in minibatches(len(x), batch_size, rng):
            pictures = x[batch] if change is None else change(x[batch], rng)
            kept = {name: w.copy() for name, w in net.params.items()} if jitter else {}
            for name in kept:
                net.params[name][...] += jitter * rng.standard_normal(kept[name].shape)
            scores = net.forward(pictures)
            losses.append(cross_entropy(scores, y[batch]))
            net.backward(cross_entropy_backward(1.0, scores, y[batch]))
            for name, w in kept.items():
                net.params[name][...] = w
            for name, w in net.params.items():
                if penalty is not None and name.endswith("w"):
                    net.grads[name][...] += penalty(w)[1]
            update(net, adam, states, lr=lr)
            for name, w in net.params.items():
                if after is not None and name.endswith("w"):
                    w[...] = after(w)
        if watch is not None and watch(net):
            break
    return losses


# Digits of 8 x 8 pixels, in two forms. Rows: 64 numbers, mean 0, standard deviation 1, for deep networks.
handwritten = digits()
labels = handwritten.labels
rows = handwritten.images.reshape(len(labels), 64).astype(float)
rows = (rows - rows.mean()) / rows.std()


def placed(pictures, rng, size=12):
    """Put each of pictures (N, 1, 8, 8) somewhere on a black canvas: (N, 1, size, size)."""
    canvas = np.zeros((len(pictures), 1, size, size))
    for picture, target in zip(pictures, canvas, strict=True):
        top, left = rng.integers(0, size - 7, size=2)
        target[:, top : top + 8, left : left + 8] = picture
    return canvas


# On a canvas: a digit stands wherever the camera caught it. The control: always in the middle.
canvases = placed(handwritten.images, np.random.default_rng(seed))
centred = np.pad(handwritten.images, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(float)

# %% [markdown]
# ## 1. What could not be done until now
#
# ### Failure one: the network that never begins
#
# Fifty dense layers, 64 units wide, a ReLU between every two, 1,000 handwritten digits, Adam. The weights are drawn from a normal distribution. In the first network their standard deviation is 0.01 ("small random numbers", says many a text). In the second it is 1.
#
# **Predict.** What is the size of the numbers that arrive at the last layer? Guess the power of ten. And what will the loss be after 100 steps?

# %% locked=true
depth, width = 50, 64
deep_sizes = [64] + [width] * (depth - 1) + [10]


def small_normal(shape, rng):
    """Normal with standard deviation 0.01."""
    return 0.01 * rng.standard_normal(shape)


def unit_normal(shape, rng):
    """Normal with standard deviation 1."""
    return rng.standard_normal(shape)


def signal(net, x):
    """Root mean square of what every Dense layer of net gives, for input x."""
    sizes = []
    for layer in net.layers:
        x = layer.forward(x)
        if "w" in layer.params:
            sizes.append(float(np.sqrt(np.mean(x**2))))
    return sizes


first_inits = {"std 0.01": small_normal, "std 1": unit_normal}
signals, first_losses = {}, {}
for name, init in first_inits.items():
    rng = np.random.default_rng(seed)
    net = dense_net(deep_sizes, init, rng)
    signals[name] = signal(net, rows[:200])
    first_losses[name] = train(net, rows[:1000], labels[:1000], rng, 5, lr=3e-4, batch_size=50)
    ends = first_losses[name][0], first_losses[name][-1]
    print(f"{name:<9} last layer: root mean square {signals[name][-1]:.0e}", end="")
    print(f"   loss {ends[0]:.3g} -> {ends[1]:.3g} in {len(first_losses[name])} steps")
print(f"guessing without looking: loss ln 10 = {np.log(10):.3f}")

# %% [markdown]
# ### Failure two: the network that learns by heart
#
# One hidden layer of 128 units, 100 training digits. Each digit has 8 x 8 pixels and stands somewhere on a canvas of 12 x 12.
#
# **Predict.** Accuracy on the 100 digits, and on 500 new ones?


# %% locked=true
all_digits = range(len(labels))


def split(number, pictures=canvases, pool=all_digits):
    """100 pictures to train on, 100 to validate, 500 to test: those of pool, mixed with seed `number`."""
    order = np.random.default_rng(number).permutation(pool)
    parts = order[:100], order[100:200], order[200:700]
    return [(pictures[part], labels[part]) for part in parts]


def small_net(init, rng, extra=None):
    """144 pixels -> 128 units -> 10 scores; `extra` is a layer between the two dense ones."""
    layers = [Flatten(), Dense(144, 128, rng), ReLU(), extra, Dense(128, 10, rng)]
    net = Sequential([layer for layer in layers if layer is not None])
    return with_weights(net, init, rng)


def fan_in_normal(shape, rng):
    """Normal with variance 1 / fan_in: good enough for two layers."""
    return rng.standard_normal(shape) / np.sqrt(shape[0])


curve = {"training": [], "test": []}


def note_accuracy(net):
    """Keep both accuracies after an epoch."""
    curve["training"].append(accuracy(net, *learn))
    curve["test"].append(accuracy(net, *test))


learn, validate, test = split(seed)
rng = np.random.default_rng(seed)
net = small_net(fan_in_normal, rng)
train(net, *learn, rng, epochs=60, watch=note_accuracy)
print(f"training {curve['training'][-1]:.1f} %, test {curve['test'][-1]:.1f} %, guessing 10 %")
assert curve["training"][-1] == 100
assert curve["test"][-1] < 45

# %% figure="two_failures"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for (name, values), style in zip(signals.items(), ("o-", "s--"), strict=True):
    axes[0].plot(range(1, depth + 1), values, style, markersize=3, label=f"weights of {name}")
axes[0].set(yscale="log", xlabel="layer", ylabel="root mean square of the scores")
axes[0].set(title="Fifty layers, before training")
axes[0].legend()
for (name, values), style in zip(curve.items(), ("-", "--"), strict=True):
    axes[1].plot(range(1, 61), values, style, label=name)
axes[1].axhline(10, color="gray", linewidth=1, linestyle=":", label="guessing")
axes[1].set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 102), title="A hundred digits")
axes[1].legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left: on a logarithmic axis the signal of one network falls in a straight line to ten to the minus 62, that of the other rises to ten to the 38. Right: training accuracy reaches 100 percent, test accuracy stays near 30 percent.](figures/two_failures.png)
#
# Two straight lines on a logarithmic axis: each layer multiplies the signal by the same factor, and the factor's fiftieth power is what arrives. With small weights nothing arrives, every score is 0, and the loss is stuck at $\ln 10$, the price of guessing. With large weights the scores have some 38 digits. The loss is as absurd as they are, and a hundred steps of 0.0003 bring it nowhere near the price of guessing.
#
# On the right nothing is wrong with the signal. The network reads all 100 digits that it has seen, and about three of ten that it has not.
#
# </details>

# %%
assert signals["std 0.01"][-1] < 1e-60
assert signals["std 1"][-1] > 1e35
assert abs(first_losses["std 0.01"][-1] - np.log(10)) < 0.02
assert first_losses["std 1"][-1] > 1e30

# %% [markdown]
# ## 2. Zeros: fifty equal opinions
#
# **Idea.** If small numbers die and large ones explode, why not start from the most modest number of all?
#
# Take a network with one hidden layer, $h = \phi(x W_1)$, scores $s = h W_2$ (biases left out, $\phi$ with $\phi(0)=0$, like ReLU or tanh). Backpropagation gives, with $d_s$ the gradient at the scores,
#
# $$dW_2 = h^\top d_s, \qquad dW_1 = x^\top\big( (d_s W_2^\top) \odot \phi'(xW_1) \big).$$
#
# $W_1 = 0$ makes $h = 0$, so $dW_2 = 0$. $W_2 = 0$ makes $dW_1 = 0$. Neither ever moves. Only the last bias learns: how frequent each digit is. **Nothing was large.** You will read that zeros lead to very large responses. All responses are exactly 0.
#
# **The deeper reason is symmetry.** Give all weights the same value, not zero: say 0.05. Now there are gradients. But swap any two hidden units, and the network is the same network. Their inputs are equal, their outgoing weights are equal, so their gradients are equal, so they are equal after the step, and after every step. A layer of 64 units that are all equal is *one* unit, written 64 times. Gradient descent cannot break a symmetry that the start and the data have. Random numbers can.
#
# Biases are another matter. Once the weights differ, the units differ, and biases may start at 0. They usually do.

# %% [markdown]
# ### Exercise: `zeros_init`
#
# *3 minutes, easy. What it is for: biases. And an experiment.*
#
# All initialisers of this unit are called the same way, `init(shape, rng)`, so that one can be put in another's place. This one has no use for `rng`, and it may be left out.
#
# <details><summary>Hint</summary>
#
# NumPy has a function of nearly this name. Which dtype does it give?
#
# </details>


# %% exercise="zeros_init"
def zeros_init(shape, rng=None):
    """Zeros of this shape, floating; rng is not used."""
    ### BEGIN SOLUTION
    return np.zeros(shape)
    ### END SOLUTION


# %% tests="zeros_init" points=1
check.close(
    zeros_init((2, 3), np.random.default_rng(0)), np.zeros((2, 3)), what="zeros_init((2, 3), rng)"
)
check.close(zeros_init((4,)), np.zeros(4), what="zeros_init((4,))")


### BEGIN HIDDEN TESTS
def _hidden():
    for shape in ((1, 7), (7, 1), (5,), (3, 2, 4, 5), (2, 2)):
        check.close(zeros_init(shape), np.zeros(shape), what=f"zeros_init({shape})")
        rng = np.random.default_rng(701)
        check.close(zeros_init(shape, rng), np.zeros(shape), what=f"zeros_init({shape}, rng)")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Eight hidden units, 1,000 digits of 8 x 8 pixels, three ways to begin: all weights 0; all weights 0.05; and small random numbers (the control).
#
# **Predict.** How many *different* units does each network have after training? What accuracy goes with it?


# %% figure="symmetry"
def constant_init(shape, rng):
    """Every weight is 0.05."""
    return np.full(shape, 0.05)


starts = {"zeros": zeros_init, "all 0.05": constant_init, "random": fan_in_normal}
learned, symmetry_accuracy, spread = {}, {}, {}
for name, init in starts.items():
    rng = np.random.default_rng(seed)
    net = dense_net([64, 8, 10], init, rng)
    train(net, rows[:1000], labels[:1000], rng, epochs=8, lr=5e-3, batch_size=50)
    learned[name] = net.params["0.w"].T  # (8 units, 64 pixels)
    symmetry_accuracy[name] = accuracy(net, rows[1000:], labels[1000:])
    spread[name] = float(np.abs(learned[name] - learned[name][0]).max())
fig, axes = plt.subplots(3, 8, figsize=(6.8, 2.9), layout="constrained")
for line, (name, weights) in zip(axes, learned.items(), strict=True):
    for number, (ax, unit) in enumerate(zip(line, weights, strict=True)):
        title = f"unit {number}" if line is axes[0] else ""
        drawn = show(ax, unit.reshape(8, 8), title, cmap="PuOr", vmin=-0.6, vmax=0.6)
    line[0].set_ylabel(name)
fig.colorbar(drawn, ax=axes, label="weight", extend="both")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three rows of eight small pictures of weights. From zeros: all blank. From equal weights: eight copies of one pattern. From random weights: eight different patterns.](figures/symmetry.png)
#
# From zeros: eight blank units. From equal weights: eight copies of *one* detector. It did learn something, as one unit can. From random weights: eight different detectors, and they read most digits.
#
# </details>

# %%
for name, weights in learned.items():
    print(f"{name:<9} largest difference between two units {spread[name]:.1e}", end="")
    print(f"   largest weight {np.abs(weights).max():.2f}   test {symmetry_accuracy[name]:.1f} %")
assert np.abs(learned["zeros"]).max() == 0
assert spread["all 0.05"] < 1e-9
assert np.abs(learned["all 0.05"]).max() > 0.1
assert spread["random"] > 0.5
assert symmetry_accuracy["zeros"] < 15
assert symmetry_accuracy["all 0.05"] < 45 < 75 < symmetry_accuracy["random"]

# %% [markdown]
# ## 3. Fifty layers: how large is random?
#
# **Idea.** Each layer multiplies the size of the signal by a factor. Choose the weights so that the factor is 1.
#
# **Derivation.** Follow one unit of layer $l$ (K. He and others, 2015, section 2.2). It adds up $n$ products, $n$ being its **fan-in**, the number of its inputs:
#
# $$y_l = \sum_{i=1}^{n} w_i\, x_i .$$
#
# The weights are drawn independently, with mean 0, and know nothing of the inputs. The products then have mean 0 and are uncorrelated, so their variances add, and $\operatorname{Var}[w x] = E[w^2]\,E[x^2]$:
#
# $$\operatorname{Var}[y_l] = n\,\operatorname{Var}[w]\,E[x_l^2].$$
#
# Read the last factor carefully. It is the mean *square* of the input, not its variance. The input is what a ReLU let through, and that has no mean of 0. (Here derivations found on the web go wrong.) Now $x_l = \max(0, y_{l-1})$, and $y_{l-1}$ is as often positive as negative, and equally large: the ReLU keeps half of the mean square,
#
# $$E[x_l^2] = \tfrac12 \operatorname{Var}[y_{l-1}] \qquad\Longrightarrow\qquad \operatorname{Var}[y_l] = \tfrac12\, n \operatorname{Var}[w] \cdot \operatorname{Var}[y_{l-1}].$$
#
# That is the factor. Over $L$ layers it is multiplied $L$ times. It must be 1:
#
# $$\boxed{\ \tfrac12\, n \operatorname{Var}[w] = 1 \ }\qquad \operatorname{Var}[w] = \frac2n, \qquad \text{std} = \sqrt{\frac2n} \qquad \text{(He and others, 2015, eq. 10).}$$
#
# Check it against part 1. $n = 64$. Weights of standard deviation 0.01 give the factor $\frac12 \cdot 64 \cdot 10^{-4} = 0.0032$ for the variance. Weights of standard deviation 1 give $\frac12 \cdot 64 = 32$.

# %%
for std in (0.01, 1.0):
    factor = 64 * std**2 / 2
    measured = (signals[f"std {std:g}"][-2] / signals[f"std {std:g}"][0]) ** (2 / 48)
    print(f"std {std:<5g} variance per layer: formula x {factor:<7.4g} measured x {measured:.4g}")
    assert abs(measured / factor - 1) < 0.1

# %% [markdown]
# **Backward** the same happens to the gradients: $dx = W\,dy$ adds up one product for each unit that the input feeds. Their number is the **fan-out** $\hat n$. The ReLU lets through half of the gradients. So the factor of the gradients' variance is $\frac12 \hat n \operatorname{Var}[w]$ (eq. 14). For square layers both conditions are one. For others you cannot have both, and need not: if all layers obey eq. 10, then the gradients' factor over the whole network is the product of all $\hat n_l / n_l$, in which all but the first and the last number cancel.
#
# **Glorot and Bengio (2010)** had asked the same for tanh, five years before. Near 0, tanh is a straight line of slope 1 and halves nothing. Forward they want $n \operatorname{Var}[w] = 1$ (eq. 10), backward $\hat n \operatorname{Var}[w] = 1$ (eq. 11), and they take the middle:
#
# $$\operatorname{Var}[w] = \frac{2}{n + \hat n} \quad \text{(eq. 12)}; \qquad w \sim U\left[-\sqrt{\tfrac{6}{n + \hat n}},\ +\sqrt{\tfrac{6}{n + \hat n}}\right] \quad\text{(eq. 16)}.$$
#
# The 6 is no other rule. A uniform distribution on $[-a, a]$ has variance $a^2/3$, and $a^2/3 = 2/(n+\hat n)$ gives $a = \sqrt{6/(n+\hat n)}$. The rule bears Xavier Glorot's first name or his last. **Keras uses the uniform one by default** for dense and convolution layers. Some texts say that the default is Glorot *normal*. It is not.
#
# **The shape of the distribution does not matter, its variance does.** The derivation used mean 0 and a variance, and nothing else. Normal and uniform are both right below.
#
# **Fan-in of a convolution.** How many products does one output pixel add up? One for each weight of its filter: $C_{in}\, k_H\, k_W$. And how many outputs does one input pixel feed? Each filter sees it at each of the kernel's places: $C_{out}\, k_H\, k_W$. (Borders and strides are neglected.)
#
# | weight | shape | fan-in | fan-out |
# |---|---|---|---|
# | dense | `(n_in, n_out)` | `n_in` | `n_out` |
# | convolution | `(C_out, C_in, kH, kW)` | `C_in * kH * kW` | `C_out * kH * kW` |
#
# By hand: a dense weight of `(50, 200)` wants variance $2/50 = 0.04$ (std 0.2) from He and $2/250 = 0.008$ from Glorot. A convolution `(16, 8, 5, 5)` has fan-in $8 \cdot 25 = 200$, so He's std is 0.1. PyTorch's own dense weights are stored the other way round, `(n_out, n_in)`: look twice before you copy.

# %% [markdown]
# ### Exercise: `he_init`
#
# *12 minutes, easy. What it is for: every network with ReLUs that you train from nothing.*
#
# Three tests: dense weights, convolution weights, and where the chance comes from.
#
# <details><summary>Hint 1: multiply or divide?</summary>
#
# `rng.standard_normal(shape)` has standard deviation 1. You want $\sqrt{2/n}$, which is small for large $n$. Lecture notes with "random(n)/sqrt(2/n)" have it upside down.
#
# </details>
# <details><summary>Hint 2: variance or standard deviation?</summary>
#
# Multiply numbers by $c$, and their variance is multiplied by $c^2$. `np.var(he_init((500, 400), rng))` should come out near $2/500$.
#
# </details>
# <details><summary>Hint 3: the fan-in of both kinds</summary>
#
# `len(shape)` tells you which kind it is. In a convolution weight, which of the four numbers is *not* a part of the fan-in?
#
# </details>


# %% exercise="he_init"
def he_init(shape, rng):
    """Random weights with mean 0 and variance 2 / fan_in (He et al. 2015, arXiv:1502.01852, eq. 10).

    shape is (fan_in, fan_out) or (C_out, C_in, kH, kW), where fan_in is C_in * kH * kW.
    Normal or uniform.
    """
    ### BEGIN SOLUTION
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    ### END SOLUTION


# %% tests="he_init" part="dense" points=1
# Fan-in 50: the standard deviation should be sqrt(2 / 50) = 0.2, up to chance (here less than 4 %)
_w = he_init((50, 200), np.random.default_rng(0))
check.shape(_w, (50, 200), what="he_init((50, 200), rng)")
_std = float(np.std(_w))
assert 0.192 < _std < 0.208, f"std of he_init((50, 200), rng): {_std:.4f}, expected about 0.2"
_mean = float(np.mean(_w))
assert abs(_mean) < 0.012, f"mean of he_init((50, 200), rng): {_mean:.4f}, expected about 0"
del _w, _std, _mean


### BEGIN HIDDEN TESTS
def _hidden():
    for number, shape in enumerate(((300, 40), (20, 900), (128, 128), (8, 3000), (1000, 15))):
        w = he_init(shape, np.random.default_rng(710 + number))
        check.shape(w, shape, what=f"he_init({shape}, rng)")
        check.floating(w, what=f"he_init({shape}, rng)")
        check.finite(w, what=f"he_init({shape}, rng)")
        w = np.asarray(w, dtype=float)
        wanted = (2 / shape[0]) ** 0.5
        ratio = float(np.sqrt(np.mean(w**2))) / wanted
        assert 0.95 < ratio < 1.05, f"he_init({shape}, rng): std is {ratio:.3f} of the right one"
        mean = float(np.mean(w)) / wanted * w.size**0.5
        assert abs(mean) < 6, f"he_init({shape}, rng): the mean is not 0"
        # No weight dominates, and no two units are twins
        assert np.abs(w).max() < 8 * wanted, f"he_init({shape}, rng): weights of extreme size"
        assert len(np.unique(w)) > 0.9 * w.size, f"he_init({shape}, rng): weights are repeated"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="he_init" part="convolution" points=1
# Fan-in 8 * 5 * 5 = 200: the standard deviation should be sqrt(2 / 200) = 0.1
_w = he_init((40, 8, 5, 5), np.random.default_rng(0))
check.shape(_w, (40, 8, 5, 5), what="he_init((40, 8, 5, 5), rng)")
_std = float(np.std(_w))
assert 0.095 < _std < 0.105, f"std of he_init((40, 8, 5, 5), rng): {_std:.4f}, expected about 0.1"
del _w, _std


### BEGIN HIDDEN TESTS
def _hidden():
    cases = ((64, 16, 3, 5), (20, 60, 5, 2), (48, 3, 7, 7), (96, 128, 1, 1), (30, 32, 1, 9))
    for number, shape in enumerate(cases):
        w = he_init(shape, np.random.default_rng(720 + number))
        check.shape(w, shape, what=f"he_init({shape}, rng)")
        check.floating(w, what=f"he_init({shape}, rng)")
        w = np.asarray(w, dtype=float)
        wanted = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        ratio = float(np.sqrt(np.mean(w**2))) / wanted
        assert 0.93 < ratio < 1.07, f"he_init({shape}, rng): std is {ratio:.3f} of the right one"
        mean = float(np.mean(w)) / wanted * w.size**0.5
        assert abs(mean) < 6, f"he_init({shape}, rng): the mean is not 0"
        assert np.abs(w).max() < 8 * wanted, f"he_init({shape}, rng): weights of extreme size"
        assert len(np.unique(w)) > 0.9 * w.size, f"he_init({shape}, rng): weights are repeated"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="he_init" part="stream" points=1
# The same seed gives the same weights; a second call goes on where the first one stopped
check.close(
    he_init((6, 5), np.random.default_rng(3)),
    he_init((6, 5), np.random.default_rng(3)),
    what="he_init with the same seed twice",
)
_rng = np.random.default_rng(3)
_first, _second = he_init((6, 5), _rng), he_init((6, 5), _rng)
assert not np.allclose(_first, _second), "two calls with one rng gave the same weights"
del _rng, _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    for shape in ((7, 4), (5, 2, 3, 4)):
        drawn = [np.asarray(he_init(shape, np.random.default_rng(s))) for s in (730, 731, 730)]
        check.close(drawn[2], drawn[0], what=f"he_init({shape}) with one seed, twice")
        assert not np.allclose(drawn[0], drawn[1]), f"he_init({shape}): two seeds, one result"
        rng = np.random.default_rng(732)
        several = [np.asarray(he_init(shape, rng)) for _ in range(3)]
        for one, other in ((0, 1), (1, 2), (0, 2)):
            same = np.allclose(several[one], several[other])
            assert not same, f"he_init({shape}): calls with one rng repeat themselves"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `xavier_init`
#
# *8 minutes, easy. What it is for: tanh and sigmoid, attention layers (later), and reading other people's code.*
#
# <details><summary>Hint 1</summary>
#
# Two numbers now, fan-in and fan-out, and then one line. For a convolution both contain `kH * kW`.
#
# </details>
# <details><summary>Hint 2: if you draw from a uniform distribution</summary>
#
# $\sqrt{6/(n+\hat n)}$ is the *bound*, $\sqrt{2/(n+\hat n)}$ is the standard deviation. Which of the two does `rng.uniform` want, and which one `rng.normal`?
#
# </details>


# %% exercise="xavier_init"
def xavier_init(shape, rng):
    """Random weights, mean 0, variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12 and 16).

    shape is (fan_in, fan_out) or (C_out, C_in, kH, kW), where fan_in is C_in * kH * kW and
    fan_out is C_out * kH * kW. Normal or uniform.
    """
    ### BEGIN SOLUTION
    # (C_out, C_in, kH, kW): fan_in + fan_out = (C_out + C_in) * kH * kW; a dense weight has no kH, kW
    fans = (shape[0] + shape[1]) * np.prod(shape[2:])
    bound = np.sqrt(6 / fans)
    return rng.uniform(-bound, bound, shape)
    ### END SOLUTION


# %% tests="xavier_init" part="dense" points=1
# Fan-in 50, fan-out 200: the standard deviation should be sqrt(2 / 250) = 0.0894, up to chance
_w = xavier_init((50, 200), np.random.default_rng(0))
check.shape(_w, (50, 200), what="xavier_init((50, 200), rng)")
_std = float(np.std(_w))
assert 0.0858 < _std < 0.0931, f"std of xavier_init((50, 200), rng): {_std:.4f}, not about 0.0894"
_mean = float(np.mean(_w))
assert abs(_mean) < 0.006, f"mean of xavier_init((50, 200), rng): {_mean:.4f}, expected about 0"
del _w, _std, _mean


### BEGIN HIDDEN TESTS
def _hidden():
    for number, shape in enumerate(((300, 40), (20, 900), (128, 128), (8, 3000), (1000, 15))):
        w = xavier_init(shape, np.random.default_rng(740 + number))
        check.shape(w, shape, what=f"xavier_init({shape}, rng)")
        check.floating(w, what=f"xavier_init({shape}, rng)")
        check.finite(w, what=f"xavier_init({shape}, rng)")
        w = np.asarray(w, dtype=float)
        wanted = (2 / (shape[0] + shape[1])) ** 0.5
        ratio = float(np.sqrt(np.mean(w**2))) / wanted
        assert 0.95 < ratio < 1.05, (
            f"xavier_init({shape}, rng): std is {ratio:.3f} of the right one"
        )
        mean = float(np.mean(w)) / wanted * w.size**0.5
        assert abs(mean) < 6, f"xavier_init({shape}, rng): the mean is not 0"
        assert np.abs(w).max() < 8 * wanted, f"xavier_init({shape}, rng): weights of extreme size"
        assert len(np.unique(w)) > 0.9 * w.size, f"xavier_init({shape}, rng): weights are repeated"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="xavier_init" part="convolution" points=1
# Fan-in 8 * 25 = 200, fan-out 40 * 25 = 1,000: the standard deviation should be sqrt(2 / 1,200) = 0.0408
_w = xavier_init((40, 8, 5, 5), np.random.default_rng(0))
check.shape(_w, (40, 8, 5, 5), what="xavier_init((40, 8, 5, 5), rng)")
_std = float(np.std(_w))
assert 0.0388 < _std < 0.0429, f"std of xavier_init((40, 8, 5, 5), rng): {_std:.4f}, not 0.0408"
del _w, _std


### BEGIN HIDDEN TESTS
def _hidden():
    cases = ((64, 16, 3, 5), (20, 60, 5, 2), (48, 3, 7, 7), (96, 128, 1, 1), (30, 32, 1, 9))
    for number, shape in enumerate(cases):
        w = xavier_init(shape, np.random.default_rng(750 + number))
        check.shape(w, shape, what=f"xavier_init({shape}, rng)")
        check.floating(w, what=f"xavier_init({shape}, rng)")
        w = np.asarray(w, dtype=float)
        wanted = (2 / ((shape[0] + shape[1]) * shape[2] * shape[3])) ** 0.5
        ratio = float(np.sqrt(np.mean(w**2))) / wanted
        assert 0.93 < ratio < 1.07, (
            f"xavier_init({shape}, rng): std is {ratio:.3f} of the right one"
        )
        mean = float(np.mean(w)) / wanted * w.size**0.5
        assert abs(mean) < 6, f"xavier_init({shape}, rng): the mean is not 0"
        assert np.abs(w).max() < 8 * wanted, f"xavier_init({shape}, rng): weights of extreme size"
        assert len(np.unique(w)) > 0.9 * w.size, f"xavier_init({shape}, rng): weights are repeated"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="xavier_init" part="stream" points=1
check.close(
    xavier_init((6, 5), np.random.default_rng(3)),
    xavier_init((6, 5), np.random.default_rng(3)),
    what="xavier_init with the same seed twice",
)
_rng = np.random.default_rng(3)
_first, _second = xavier_init((6, 5), _rng), xavier_init((6, 5), _rng)
assert not np.allclose(_first, _second), "two calls with one rng gave the same weights"
del _rng, _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    for shape in ((7, 4), (5, 2, 3, 4)):
        drawn = [np.asarray(xavier_init(shape, np.random.default_rng(s))) for s in (760, 761, 760)]
        check.close(drawn[2], drawn[0], what=f"xavier_init({shape}) with one seed, twice")
        assert not np.allclose(drawn[0], drawn[1]), f"xavier_init({shape}): two seeds, one result"
        rng = np.random.default_rng(762)
        several = [np.asarray(xavier_init(shape, rng)) for _ in range(3)]
        for one, other in ((0, 1), (1, 2), (0, 2)):
            same = np.allclose(several[one], several[other])
            assert not same, f"xavier_init({shape}): calls with one rng repeat themselves"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### The picture to remember
#
# Send 200 digits through fifty layers and draw the histogram of what arrives at layers 1, 10, 25 and 50, before the ReLU. Every row has another initialiser. What falls off the axis is piled up at its ends.
#
# **Predict.** Xavier is half of He for square layers: $1/n$ instead of $2/n$. That is a factor of 1.4 in the weights. Does it matter?


# %% figure="histograms"
def scores_by_layer(init, activation, x, number=0, layers=50):
    """What each of `layers` square layers gives before its activation, for input x (N, D)."""
    rng = np.random.default_rng(number)
    scores = []
    for _ in range(layers):
        scores.append(x @ init((x.shape[1], x.shape[1]), rng))
        x = activation(scores[-1])
    return scores


def relu_of(y):
    """max(0, y)."""
    return np.maximum(y, 0)


inits = {"std 0.01": small_normal, "std 1": unit_normal, "Xavier": xavier_init, "He": he_init}
shown = (1, 10, 25, 50)
fig, axes = plt.subplots(4, 4, figsize=(7, 4), sharex=True, sharey=True, layout="constrained")
for line, (name, init) in zip(axes, inits.items(), strict=True):
    scores = scores_by_layer(init, relu_of, rows[:200], seed)
    for ax, number in zip(line, shown, strict=True):
        values = scores[number - 1].ravel()
        ax.hist(np.clip(values, -3, 3), bins=np.linspace(-3, 3, 42), color="C0")
        ax.set(yscale="log", ylim=(5, 30_000), xticks=(-3, 0, 3))
        ax.set_title(f"layer {number}: std {values.std():.0e}", fontsize=8)
    line[0].set_ylabel(name)
for ax in axes[-1]:
    ax.set_xlabel("score")
fig.suptitle("What arrives (number of scores, logarithmic), 64 units, ReLU", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Sixteen histograms. Standard deviation 0.01: a single spike at zero from layer 10 on. Standard deviation 1: everything is piled up at both ends of the axis. Xavier: a bell that is a spike from layer 10 on. He: a bell in every layer.](figures/histograms.png)
#
# It does. A factor of 1.4, fifty times in a row, is $2^{25}$, some 30 million: with Xavier the signal arrives with a standard deviation of $3 \cdot 10^{-8}$. **He keeps a bell in every layer.** Its bell is somewhat narrower at layer 50 than at layer 1. That is no mistake of yours; part 4 finds out why.
#
# </details>

# %% [markdown]
# Now every layer, four initialisers, two activations, forward and backward. For the gradients we send random numbers of standard deviation 1 into the *last* layer and follow them down to the first.
#
# **Predict.** Which initialiser keeps its line level for ReLU, which for tanh? And do the gradients agree with the signals?


# %% figure="variance"
def second_moments(init, kind, x, number=0, layers=50):
    """Mean squares of the scores of each layer and of the gradients there; both of length layers."""
    activation, slope = {
        "ReLU": (relu_of, lambda y: y > 0),
        "tanh": (np.tanh, lambda y: 1 - np.tanh(y) ** 2),
    }[kind]
    rng = np.random.default_rng(number)
    weights, scores = [], []
    for _ in range(layers):
        weights.append(init((x.shape[1], x.shape[1]), rng))
        scores.append(x @ weights[-1])
        x = activation(scores[-1])
    gradient = np.random.default_rng(number + 1).standard_normal(x.shape)
    gradients = []
    for w, y in zip(reversed(weights), reversed(scores), strict=True):
        gradient = gradient * slope(y)
        gradients.append(np.mean(gradient**2))
        gradient = gradient @ w.T
    return np.array([np.mean(y**2) for y in scores]), np.array(gradients[::-1])


moments = {
    (kind, name): second_moments(init, kind, rows[:200], seed)
    for kind in ("ReLU", "tanh")
    for name, init in inits.items()
}
fig, axes = plt.subplots(2, 2, figsize=(7, 4), sharex=True, sharey=True, layout="constrained")
for (kind, name), both in moments.items():
    style = {"std 0.01": ":", "std 1": "-.", "Xavier": "--", "He": "-"}[name]
    for ax, values in zip(axes[:, ["ReLU", "tanh"].index(kind)], both, strict=True):
        ax.plot(range(1, 51), np.maximum(values, 1e-30), style, label=name)
for ax, title in zip(axes.ravel(), ("ReLU", "tanh", "", ""), strict=True):
    ax.set(yscale="log", ylim=(1e-28, 1e28), title=title)
axes[0, 0].set(ylabel="scores\n(mean square)")
axes[1, 0].set(ylabel="gradients\n(mean square)", xlabel="layer")
axes[1, 1].set(xlabel="layer")
axes[0, 0].legend(fontsize=7, ncols=2, loc="upper right")
fig.suptitle("Fifty layers of 64 units: size of the signal, and of its gradient", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Four panels on logarithmic axes. For ReLU the line of He is level forward and backward, Xavier falls to about ten to the minus 16, the fixed standard deviations leave the picture. For tanh Xavier is nearly level forward and backward, He is level forward while its gradients grow.](figures/variance.png)
#
# For **ReLU**, He is level both ways, and Xavier loses a factor of 2 per layer both ways. For **tanh**, Xavier is nearly level: tanh halves nothing, but it squashes a little, so the signal slowly shrinks. Large weights do not explode through tanh, as it cannot give more than 1. They **saturate** it: its slope is nearly 0 there. That costs the gradients, but each layer's large weights pay it back with interest, and the gradients of "std 1" explode. The gradient at the first layer is what the first layer learns from: with "std 0.01" it is 0 for all that a computer can tell.
#
# </details>

# %%
for (kind, name), (forward, backward) in moments.items():
    print(f"{kind}  {name:<9} scores, layer 50: {forward[-1]:.0e}", end="")
    print(f"   gradients, layer 1: {backward[0]:.0e}")
assert 1e-3 < moments["ReLU", "He"][0][-1] < 1e2
assert 1e-3 < moments["ReLU", "He"][1][0] < 1e2
assert 1e-18 < moments["ReLU", "Xavier"][0][-1] < 1e-13
assert 1e-3 < moments["tanh", "Xavier"][0][-1] < 1
assert 1e-4 < moments["tanh", "Xavier"][1][0] < 10
assert moments["tanh", "std 1"][1][0] > 1e6
assert moments["ReLU", "std 0.01"][1][0] < 1e-100

# %% [markdown]
# **Experiment.** How exact must the factor be? Multiply He's weights by a gain of your own, and change the last line. In JupyterLab you get a slider.
#
# **Predict.** With a gain of 1.1 (weights 10 % too large), by what factor is the signal too large after 50 layers?


# %% figure="gain"
def draw_gain(gain=1.1):
    """Draw the root mean square score of 50 ReLU layers with gain times He's weights."""
    _, ax = plt.subplots(figsize=(4.6, 2.3), layout="constrained")
    for factor, style in ((1.0, "-"), (gain, "--")):
        scores = scores_by_layer(
            lambda shape, rng, factor=factor: factor * he_init(shape, rng), relu_of, rows[:50], seed
        )
        sizes = [np.sqrt(np.mean(y**2)) for y in scores]
        ax.plot(range(1, 51), sizes, style, label=f"gain {factor:g}: {sizes[-1]:.2g} at the end")
    ax.set(yscale="log", xlabel="layer", ylabel="root mean square", title=f"He times {gain:g}")
    ax.legend()
    plt.show()


draw_gain(gain=1.1)

# %%
# Sliders need a page to live in. Without them the figure above is all there is to see.
sliders = profile == "full" or "JPY_SESSION_NAME" in os.environ
if sliders:
    from ipywidgets import interact

    interact(draw_gain, gain=(0.5, 1.5, 0.05))
print(f"1.1 to the power 50 is {1.1**50:.0f}")
assert 110 < 1.1**50 < 120

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two lines over 50 layers on a logarithmic axis: with gain 1 level, with gain 1.1 rising to about a hundred times as much.](figures/gain.png)
#
# $1.1^{50} \approx 117$: the lines part exactly so. Ten percent per layer is still bearable: such a network learns, if more slowly. A factor of 1.4 per layer is not (part 10).
#
# </details>

# %% [markdown]
# **Convolutions, too.** The same count with a convolution of 8 to 16 channels, 3 x 5, no padding: the mean square of the scores should be $\frac12 \cdot n \cdot \frac2n = 1$ times the mean square that went into the ReLU before it.

# %%
rng = np.random.default_rng(seed)
before_relu = rng.standard_normal((4, 8, 14, 16))
layer = Conv2d(8, 16, 3, rng)
layer.params["w"] = he_init((16, 8, 3, 5), rng)
ratio = float(np.mean(layer.forward(relu_of(before_relu)) ** 2) / np.mean(before_relu**2))
print(f"mean square after / before: {ratio:.2f} (one layer, fan-in {8 * 3 * 5})")
assert 0.7 < ratio < 1.4

# %% [markdown] manual="leaky" points=2
# **Question (2 points, 8 minutes).** A leaky ReLU gives $x$ for $x > 0$ and $a\,x$ for $x \le 0$. Derive the variance that its weights need, in the manner of He's eq. 10. Then put in $a = 0$ and $a = 1$, and say for each what kind of network that is and whether the result is one you know.
#
# ### BEGIN SOLUTION
# $y_{l-1}$ is symmetric around 0. The positive half contributes $\frac12 \operatorname{Var}[y_{l-1}]$ to $E[x_l^2]$, the negative half $\frac12 a^2 \operatorname{Var}[y_{l-1}]$. So $\operatorname{Var}[y_l] = \frac12 (1 + a^2)\, n \operatorname{Var}[w] \operatorname{Var}[y_{l-1}]$, and the factor is 1 for $\operatorname{Var}[w] = \frac{2}{(1 + a^2)\, n}$ (He and others, 2015, eq. 15). (1 point.)
#
# $a = 0$: a plain ReLU, and He's $2/n$. $a = 1$: no non-linearity at all, a linear network, and $1/n$, the forward condition of Glorot and Bengio (eq. 10), who treat tanh as linear near 0. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 4. Cut-off tails, and what no variance tells you
#
# **Idea.** A normal distribution now and then draws a very large number. Of a million weights, 63 are expected beyond four standard deviations. Such a weight can dominate its unit from the first step on. So cut the tails: whatever lies beyond two standard deviations is **drawn again**, until it lies inside.
#
# Drawn again, not clipped. Clipping would pile up 4.6 % of all weights at exactly the two bounds.
#
# **What it does to the variance.** Without its tails the distribution is narrower. With $\varphi$ and $\Phi$ the density and the distribution function of the standard normal, cut at $\pm b$ (integrate $z^2\varphi(z)$ by parts, and divide by the probability that is left):
#
# $$\operatorname{Var} = \sigma^2 \left( 1 - \frac{2\, b\, \varphi(b)}{2\,\Phi(b) - 1} \right), \qquad b = 2:\quad \operatorname{Var} = 0.7737\,\sigma^2, \quad \text{std} = 0.8796\,\sigma .$$
#
# So "std" in the name of an initialiser may mean two things: that of the normal *before* the cut, or that of the weights *after* it. Ours means before (as in `torch.nn.init.trunc_normal_`, whose bounds however are plain numbers and not multiples of std). Keras's `HeNormal` and `GlorotNormal` divide by 0.8796 first, so that the weights come out right. Hold on to that number. In a moment it decides whether a network lives.

# %% [markdown]
# ### Exercise: `truncated_normal`
#
# *12 minutes, easy. What it is for: transformers and many published image networks begin like this.*
#
# Every value is `std * z` with $|z| \le$ `bound`: the bound counts in standard deviations. `std > 0`, `bound > 0`, both floats.
#
# <details><summary>Hint 1</summary>
#
# Draw all. Find out which lie outside. Draw as many new ones as that and put them there. Are you done after that?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `outside = np.abs(z) > bound` is an array of True and False. `z[outside] = ...` assigns to those places, `outside.sum()` counts them. `while outside.any():`
#
# </details>


# %% exercise="truncated_normal"
def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """std * z, z standard normal, redrawn until every |z| <= bound; floating array of this shape."""
    ### BEGIN SOLUTION
    z = np.full(shape, np.inf)  # nothing drawn yet: all of it lies outside
    while (outside := np.abs(z) > bound).any():
        z[outside] = rng.standard_normal(outside.sum())
    return std * z
    ### END SOLUTION


# %% tests="truncated_normal" part="bounds" points=1
_w = truncated_normal((100, 200), np.random.default_rng(0))
check.shape(_w, (100, 200), what="truncated_normal((100, 200), rng)")
_largest = float(np.max(np.abs(_w)))
assert _largest <= 2, f"largest |w| is {_largest:.3f}, and bound * std is 2"
_w = truncated_normal((100, 200), np.random.default_rng(0), std=0.1, bound=1.5)
_largest = float(np.max(np.abs(_w)))
assert _largest <= 0.15 + 1e-9, (
    f"std=0.1, bound=1.5: largest |w| is {_largest:.3f}, expected at most 0.15"
)
del _w, _largest


### BEGIN HIDDEN TESTS
def _hidden():
    cases = (((50, 300), 1.0, 2.0), ((80, 4, 5, 7), 0.02, 0.5), ((30, 400), 3.0, 1.0))
    for number, (shape, std, bound) in enumerate((*cases, ((9000,), 0.5, 2.5))):
        what = f"truncated_normal({shape}, rng, std={std}, bound={bound})"
        w = truncated_normal(shape, np.random.default_rng(770 + number), std=std, bound=bound)
        check.shape(w, shape, what=what)
        check.floating(w, what=what)
        check.finite(w, what=what)
        w = np.asarray(w, dtype=float)
        assert np.abs(w).max() <= std * bound * (1 + 1e-6), f"{what}: values beyond the bound"
        # The whole range is used, on both sides
        assert w.max() > 0.95 * std * bound, f"{what}: the upper end is never reached"
        assert w.min() < -0.95 * std * bound, f"{what}: the lower end is never reached"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="truncated_normal" part="redrawn" points=1
# Nothing is piled up: 0.2 % of the weights lie between 1.98 and 2 (or -2 and -1.98), and no two are equal
_w = truncated_normal((100, 200), np.random.default_rng(0))
_rim = float(np.mean(np.abs(_w) > 1.98))
assert _rim < 0.01, f"{100 * _rim:.1f} % of the weights stand at the bounds: clipped, not redrawn?"
# The text's variance, 0.7737, up to chance
_variance = float(np.var(_w))
assert 0.74 < _variance < 0.81, f"variance {_variance:.3f}, expected about 0.7737"
del _w, _rim, _variance


### BEGIN HIDDEN TESTS
def _hidden():
    import math

    cases = (((200, 300), 1.0, 2.0), ((60, 20, 5, 7), 0.02, 0.5), ((200, 201), 3.0, 1.0))
    for number, (shape, std, bound) in enumerate((*cases, ((50000,), 0.5, 2.5))):
        what = f"truncated_normal({shape}, rng, std={std}, bound={bound})"
        w = truncated_normal(shape, np.random.default_rng(780 + number), std=std, bound=bound)
        z = np.sort(np.asarray(w, dtype=float).ravel()) / std
        inside = math.erf(bound / 2**0.5)
        density = math.exp(-(bound**2) / 2) / (2 * math.pi) ** 0.5
        wanted = 1 - 2 * bound * density / inside
        assert abs(np.var(z) / wanted - 1) < 0.05, f"{what}: the variance is wrong"
        assert abs(np.mean(z)) < 6 * (wanted / z.size) ** 0.5, f"{what}: the mean is not 0"
        # The distribution itself, everywhere (Kolmogorov-Smirnov)
        erf = np.array([math.erf(one / 2**0.5) for one in z[::50]])
        should = (erf + inside) / (2 * inside)
        distance = np.abs(should - np.arange(z.size)[::50] / z.size).max()
        assert distance < 3 / z.size**0.5, f"{what}: not the normal distribution, cut off"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="truncated_normal" part="stream" points=1
check.close(
    truncated_normal((6, 5), np.random.default_rng(3)),
    truncated_normal((6, 5), np.random.default_rng(3)),
    what="truncated_normal with the same seed twice",
)
_rng = np.random.default_rng(3)
_first, _second = truncated_normal((6, 5), _rng), truncated_normal((6, 5), _rng)
assert not np.allclose(_first, _second), "two calls with one rng gave the same weights"
del _rng, _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    for bound in (2.0, 0.7):
        shape = (8, 9)
        drawn = [
            np.asarray(truncated_normal(shape, np.random.default_rng(s), bound=bound))
            for s in (790, 791, 790)
        ]
        check.close(drawn[2], drawn[0], what=f"truncated_normal, bound={bound}, one seed twice")
        assert not np.allclose(drawn[0], drawn[1]), "truncated_normal: two seeds, one result"
        rng = np.random.default_rng(792)
        several = [np.asarray(truncated_normal(shape, rng, bound=bound)) for _ in range(3)]
        assert not np.allclose(several[0], several[1]), "truncated_normal: calls repeat themselves"
        assert not np.allclose(several[1], several[2]), "truncated_normal: calls repeat themselves"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Predict.** Two networks of fifty ReLU layers. One draws `truncated_normal` with std $= \sqrt{2/n}$. The other one divides that std by 0.8796 first. Both have their tails cut off, and nobody could tell their first layers apart by eye. What arrives at layer 50 of each?


# %%
def cut_he(shape, rng):
    """He's std, tails cut off, nothing corrected."""
    return truncated_normal(shape, rng, std=np.sqrt(2 / shape[0]))


def corrected_he(shape, rng):
    """He's std after the cut (what Keras's HeNormal does)."""
    return truncated_normal(shape, rng, std=np.sqrt(2 / shape[0]) / 0.87962566103423978)


tails = {}
for name, init in {"He": he_init, "cut": cut_he, "cut, corrected": corrected_he}.items():
    ends = []
    for number in range(40):
        scores = scores_by_layer(init, relu_of, rows[:20], number)
        ends.append(np.mean(scores[-1] ** 2) / np.mean(scores[0] ** 2))
    tails[name] = float(np.median(ends))
    print(f"{name:<15} mean square of layer 50 / layer 1: {tails[name]:.1e} (median of 40 seeds)")
print(f"0.7737 to the power 49: {0.7737**49:.1e}")
assert tails["cut"] < 1e-4 * tails["He"]
assert 0.05 < tails["cut, corrected"] / tails["He"] < 20

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The uncorrected network loses a factor of 0.7737 per layer, and $0.7737^{49} \approx 3.5 \cdot 10^{-6}$ is what arrives. The corrected one is as good as He. "std" has two meanings, and in fifty layers they differ by a factor of several hundred thousand.
#
# </details>

# %% [markdown]
# ### Luck
#
# He's rule holds the *expected* mean square. You draw one network, not the expectation. In the picture above the bell of layer 50 was narrower than that of layer 1. Accident?
#
# **Derivation.** Give one input to a He layer of $n$ units. Given the input's length, the $n$ scores are independent normal numbers $g_j$ of equal variance. The mean square after the ReLU is multiplied by
#
# $$r = \frac{2}{n} \sum_{j=1}^n \max(0, g_j)^2, \qquad E[r] = 1, \qquad \operatorname{Var}[r] = \frac1n \big(4 \cdot \tfrac12 \cdot 3 - 1\big) = \frac5n,$$
#
# as $E[g^4] = 3$. After $L$ layers you have a product of $L$ such factors, and its logarithm is a sum. $E[\ln r] \approx -\frac12 \operatorname{Var}[r]$ for small fluctuations, so
#
# $$\ln \frac{E[x_L^2]}{E[x_0^2]} \ \approx\ \text{normal, mean } -\frac{5L}{2n}, \quad \text{variance } \frac{5L}{n}.$$
#
# Two things follow. Widths and depths count only through $L/n$. And the typical network loses signal, although the *mean* over networks is 1: it is held up by a few lucky ones. (B. Hanin and M. Nica, 2018, prove this with care.)
#
# **Predict.** Fifty layers of 16, 64 and 256 units, some hundred networks each. How far apart are the luckiest and the unluckiest network of 16 units?

# %% figure="luck"
deep_ratios, inputs_luck = {}, np.random.default_rng(seed)
for units, networks in ((16, 300), (64, 150), (256, 20)):
    logs = []
    for number in range(networks):
        x = inputs_luck.standard_normal((1, units))
        start = np.mean(x**2)
        rng = np.random.default_rng(1000 + number)
        for _ in range(50):
            x = relu_of(x @ he_init((units, units), rng))
        logs.append(np.log10(np.mean(x**2) / start) if x.any() else -20.0)
    deep_ratios[units] = np.array(logs)


def theory(units, layers=50):
    """Mean and standard deviation of log10 of the ratio."""
    return -5 * layers / (2 * units) / np.log(10), np.sqrt(5 * layers / units) / np.log(10)


fig, axes = plt.subplots(1, 3, figsize=(7, 2.2), sharex=True, sharey=True, layout="constrained")
for ax, (units, logs) in zip(axes, deep_ratios.items(), strict=True):
    ax.hist(logs, bins=np.linspace(-11, 4, 31), density=True, color="lightgray", edgecolor="gray")
    centre, std = theory(units)
    z = np.linspace(-11, 4, 200)
    ax.plot(z, np.exp(-(((z - centre) / std) ** 2) / 2) / std / np.sqrt(2 * np.pi), "k-")
    ax.axvline(0, color="C0", linestyle="--")
    ax.set(title=f"{units} units, {len(logs)} networks", xlabel="log10 of mean square ratio")
axes[0].set(ylabel="density")
fig.suptitle("Fifty He layers: what is left (dashed: nothing lost; line: theory)", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three histograms of the logarithm of the ratio of mean squares after 50 layers, for widths 16, 64 and 256, each with the theoretical bell: the narrow network is spread over ten powers of ten and its centre is far below zero, the wide one is close to zero.](figures/luck.png)
#
# Sixteen units: the networks are spread over some ten powers of ten, and the typical one keeps less than a thousandth. 256 units: nearly all keep a tenth or more. The curve is not fitted. It is $-5L/2n$ and $5L/n$, a little off for 16 units, where $5/n$ is not small. So "He fixes depth" means: *if the network is wider than it is deep*.
#
# </details>

# %%
for units, logs in deep_ratios.items():
    centre, std = theory(units)
    print(f"{units:>4} units: mean of log10 {logs.mean():6.2f} (theory {centre:5.2f})", end="")
    print(f"   std {logs.std():.2f} (theory {std:.2f})   n = {len(logs)}")
assert abs(deep_ratios[64].mean() - theory(64)[0]) < 0.3
assert abs(deep_ratios[64].std() / theory(64)[1] - 1) < 0.25
assert deep_ratios[16].max() - deep_ratios[16].min() > 7
assert np.median(deep_ratios[16]) < -3
assert np.mean(deep_ratios[256] > -1.1) > 0.9

# %% [markdown]
# ### What the variance does not see
#
# So the strength of the signal is kept. Is the *signal*? Two different digits enter. Follow the cosine of the angle between them: 1 means that the network can no longer tell them apart, but for their length.
#
# **Predict.** He's weights. The average cosine between two digits at the input is 0.49. At layer 50?


# %% figure="angles"
def cosines(x):
    """Mean cosine between different rows of x."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return float((unit @ unit.T)[np.triu_indices(len(x), 1)].mean())


def next_cosine(c):
    """The cosine after one wide He layer with ReLU (Cho and Saul, 2009)."""
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


kinds = {"ReLU, He": (he_init, relu_of), "tanh, Xavier": (xavier_init, np.tanh)}
fig, ax = plt.subplots(figsize=(4.8, 2.5), layout="constrained")
final_cosine = {}
for (name, (init, activation)), style in zip(kinds.items(), ("o-", "s--"), strict=True):
    path = [cosines(rows[:100])]
    scores = scores_by_layer(init, activation, rows[:100], seed)
    path += [cosines(activation(y)) for y in scores]
    final_cosine[name] = path[-1]
    ax.plot(range(51), path, style, markersize=3, label=name)
law = [path[0]]
for _ in range(50):
    law.append(float(next_cosine(law[-1])))
ax.plot(range(51), law, "k:", label="theory for ReLU, endless width")
ax.set(xlabel="layer", ylabel="mean cosine of two digits", ylim=(0, 1.02))
ax.set(title="What becomes of the difference?")
ax.legend(fontsize=7, loc="lower right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The mean cosine between two digits over 50 layers: with ReLU and He weights it rises from 0.5 to nearly 1, close to the theoretical curve; with tanh and Xavier it stays far lower.](figures/angles.png)
#
# With ReLU it goes to 0.98 and beyond. All the digits point in nearly the same direction. The reason is that a ReLU's outputs are never negative: they share a mean, the shared part is kept by every layer, and the difference is partly cut away. The theoretical curve follows one pair of digits through layers of endless width (Y. Cho and L. Saul, 2009: one line of geometry). It rises at every cosine below 1, so it can end only there. Tanh is odd: its outputs are as often negative as positive, share no mean, and the cosine hardly drifts.
#
# So fifty plain ReLU layers are hard to train even with the right variance. Yours will learn in part 10, but slowly, and with a small learning rate. Normalization (unit 08) and residual links (unit 12) were invented for this.
#
# </details>

# %%
print({name: round(value, 3) for name, value in final_cosine.items()}, f"input {path[0]:.2f}")
assert final_cosine["ReLU, He"] > 0.95
assert final_cosine["tanh, Xavier"] < 0.8
assert abs(path[0] - 0.49) < 0.01

# %% [markdown]
# ## 5. Capacity: too little, too much, far too much
#
# **The second failure.** A network's **capacity** is how rich a set of functions it can become. With too little it cannot even fit what it was shown: it **underfits**, and both errors are large. With more it fits. With still more it fits the accidents of its examples as well: it **overfits**, the training error is 0 and the test error is not. So says every textbook, and draws a U.
#
# Let us measure the U, with a network whose best weights are known exactly, so that no optimizer can be blamed. Its first layer is random and stays so (your `he_init`, and a ReLU). Its second layer is the least squares solution for 100 training digits, upright ones of 8 x 8 pixels. Where there are several, take the one with the smallest weights. The capacity is the number of random features $m$.
#
# **Predict.** Draw the test error for $m = 5, 10, \dots, 100, \dots, 3000$ before you look. At $m = 100$ a hundred equations can be solved exactly by a hundred unknowns. And beyond, with thirty unknowns for each digit?

# %% figure="capacity"
feature_counts = [5, 10, 20, 40, 60, 80, 90, 100, 110, 125, 160, 250, 500, 1000, 3000]


def feature_errors(count, number, ridge=0.0):
    """Training and test error (%) and length of the weights of least squares on `count` features."""
    rng = np.random.default_rng(number)
    order = rng.permutation(len(rows))
    parts = order[:100], order[100:600]
    w = he_init((64, count), rng)
    train_features, test_features = (relu_of(rows[part] @ w) / np.sqrt(count) for part in parts)
    targets = np.eye(10)[labels[parts[0]]] - 0.1
    if ridge:
        kernel = train_features @ train_features.T + ridge * np.eye(100)
        top = train_features.T @ np.linalg.solve(kernel, targets)
    else:
        top = np.linalg.lstsq(train_features, targets, rcond=None)[0]
    errors = [
        100 * float(np.mean((features @ top).argmax(axis=1) != labels[part]))
        for features, part in zip((train_features, test_features), parts, strict=True)
    ]
    return [*errors, float(np.linalg.norm(top))]


repeats = 20 if profile == "full" else 6
plain = np.array([[feature_errors(m, k) for k in range(repeats)] for m in feature_counts])
ridged = np.array([[feature_errors(m, k, 0.1) for k in range(repeats)] for m in feature_counts])
plain_mean, ridged_mean = plain.mean(axis=1), ridged.mean(axis=1)
fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
ax.plot(feature_counts, plain_mean[:, 0], "s:", color="gray", markersize=4, label="training")
ax.plot(feature_counts, plain_mean[:, 1], "o-", color="black", markersize=4, label="test")
ax.plot(feature_counts, ridged_mean[:, 1], "^--", color="C0", markersize=4, label="test, with L2")
ax.axvline(100, color="gray", linewidth=1)
ax.set(xscale="log", xlabel="random features m (line: as many as digits)", ylabel="error (%)")
ax.set(title="More capacity, more error?", ylim=(0, 100))
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Error against the number of random features on a logarithmic axis. The training error is near zero from 40 features on. The test error falls, rises from there to a sharp peak at 100 features, and falls again to its lowest value at 3,000. With L2 there is no peak.](figures/capacity.png)
#
# The U is there: from 60 features on, the test error gets worse and worse, up to $m = 100$. And then it falls again, below the bottom of the U. At $m=100$ there is exactly *one* solution that fits all digits, and it has to bend itself out of shape for that: its weights are huge (the next cell prints their length). With more features there are many solutions, and the one with the smallest weights is tame. This is called **double descent** (M. Belkin and others, 2019).
#
# Two lessons. Here "too many parameters" is not the disease, huge weights are. And the third curve pays for the size of its weights, with the penalty that you build next (one strength for all $m$): the peak is gone, and at 3,000 features nothing is gained.
#
# </details>

# %%
at = {count: number for number, count in enumerate(feature_counts)}
print(f"test error (%), mean of {repeats} seeds, n = 500 digits each")
for count in (5, 20, 100, 3000):
    print(f"  m = {count:>4}: plain {plain_mean[at[count], 1]:.1f}", end="")
    print(f"   with L2 {ridged_mean[at[count], 1]:.1f}", end="")
    print(
        f"   length of the weights {plain_mean[at[count], 2]:.1f} and {ridged_mean[at[count], 2]:.1f}"
    )
assert plain_mean[at[100], 1] > 1.3 * plain_mean[:6, 1].min()
assert plain_mean[at[3000], 1] < plain_mean[:6, 1].min()
assert plain_mean[at[100] :, 0].max() == 0
assert ridged_mean[at[100], 1] < 0.6 * plain_mean[at[100], 1]

# %% [markdown]
# **Regularization** is everything that you do to lower the error on *new* data and not on the training data. The rest of this unit is five kinds of it: a price for large weights, a limit on them, noise, an early end, and more pictures.
#
# ## 6. A price for weights: `l1`, `l2`, `max_norm`
#
# **Idea.** Add to the loss a **penalty** that grows with the weights. Gradient descent then wants both: to fit, and to stay small.
#
# $$R_2(w) = \frac{\lambda}{2} \sum_i w_i^2, \quad \frac{\partial R_2}{\partial w_i} = \lambda\, w_i; \qquad\qquad R_1(w) = \lambda \sum_i |w_i|, \quad \frac{\partial R_1}{\partial w_i} = \lambda\, \operatorname{sign}(w_i).$$
#
# At 0 the absolute value has a kink and no derivative. We take 0 there, the middle of all possible slopes, as NumPy's `sign` does.
#
# **Picture.** Forget the data for a moment and descend on the penalty alone. L2 pulls in proportion to the weight, $w \leftarrow (1 - \eta\lambda)\,w$: each step takes the same *share*, and nothing ever arrives at 0. L1 pulls with constant force, whatever the weight: each step takes the same *amount*, and small weights arrive. Hence the saying that L1 makes weights **sparse**.
#
# **The half.** We put the $\frac12$ there so that the gradient is $\lambda w$ and $\lambda$ means the same as `weight_decay` in PyTorch's SGD. Keras's `L2(0.01)` has no half: its gradient is $2 \cdot 0.01\, w$. The same number in two libraries is twice the strength in one of them. When you copy a recipe, look for the half. And biases are usually left out: they cost no capacity to speak of.
#
# **By hand**, $w = (3, -4, 0)$ and $\lambda = 0.1$: $R_2 = 0.05 \cdot 25 = 1.25$ with gradient $(0.3, -0.4, 0)$. $R_1 = 0.1 \cdot 7 = 0.7$ with gradient $(0.1, -0.1, 0)$.

# %% [markdown]
# ### Exercises: `l1` and `l2`
#
# *5 minutes each, easy. What they are for: L2 (or weight decay) is in nearly every recipe of Part II. L1 is for when you want to know which inputs count.*
#
# Both return a pair: the penalty, a number, and its gradient, an array of the shape of `w`. `w` has any shape; `strength` is $\lambda \ge 0$.
#
# <details><summary>Hint 1</summary>
#
# Sum or mean? Look at the formulas. With a mean the pull on one weight would depend on how many others there are.
#
# </details>
# <details><summary>Hint 2: test it without being told the answer</summary>
#
# Unit 04's `numerical_gradient(lambda w: l2(w, 0.1)[0], w)` must agree with `l2(w, 0.1)[1]`.
#
# </details>


# %% exercise="l1"
def l1(w, strength):
    """strength * sum |w| and its gradient with respect to w (0 where w is 0) -> number, array."""
    ### BEGIN SOLUTION
    return strength * np.sum(np.abs(w)), strength * np.sign(w)
    ### END SOLUTION


# %% tests="l1" part="penalty" points=1
# 0.1 * (3 + 4 + 0) = 0.7
_penalty, _ = l1(np.array([3.0, -4.0, 0.0]), 0.1)
check.close(_penalty, 0.7, what="l1, the penalty")
# Four weights of size 1: 0.5 * 4, and not 0.5 * 1 (a mean)
_penalty, _ = l1(np.array([[1.0, -1.0], [-1.0, 1.0]]), 0.5)
check.close(_penalty, 2.0, what="l1 of a matrix, the penalty")
del _penalty, _


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(800)
    for shape in ((7,), (3, 5), (4, 2, 3, 2), (1, 1)):
        for strength in (0.0, 0.3, 2.5):
            w = rng.normal(size=shape)
            expected = strength * sum(abs(float(v)) for v in w.ravel())
            before = w.copy()
            penalty, _ = l1(w, strength)
            check.close(penalty, expected, what=f"l1, w {shape}, strength={strength}, penalty")
            check.unchanged(before, w, what="w")
    w = rng.standard_normal((6, 8)).astype(np.float32)
    expected = 0.2 * float(np.abs(w.astype(float))[::2].sum())
    penalty, _ = l1(w[::2], 0.2)
    check.close(penalty, expected, what="l1 of every other row, float32", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="l1" part="gradient" points=1
# The pull does not depend on how large a weight is, only on its sign. No pull at 0.
_, _gradient = l1(np.array([3.0, -4.0, 0.0]), 0.1)
check.close(_gradient, np.array([0.1, -0.1, 0.0]), what="l1, the gradient")
del _, _gradient


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(801)
    for shape in ((7,), (3, 5), (4, 2, 3, 2), (1, 1)):
        for strength in (0.0, 0.3, 2.5):
            w = rng.normal(size=shape)
            w.flat[0] = 0.0
            expected = np.where(w > 0, strength, np.where(w < 0, -strength, 0.0))
            before = w.copy()
            _, gradient = l1(w, strength)
            check.close(gradient, expected, what=f"l1, w {shape}, strength={strength}, gradient")
            check.unchanged(before, w, what="w")
    w = rng.standard_normal((6, 8)).astype(np.float32)
    expected = 0.2 * np.sign(w.T.astype(float))
    _, gradient = l1(w.T, 0.2)
    check.close(gradient, expected, what="l1 of a transposed float32 matrix, gradient", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="l2"
def l2(w, strength):
    """strength / 2 * sum w**2 and its gradient with respect to w -> number, array."""
    ### BEGIN SOLUTION
    return strength / 2 * np.sum(w**2), strength * w
    ### END SOLUTION


# %% tests="l2" part="penalty" points=1
# 0.1 / 2 * (9 + 16 + 0) = 1.25
_penalty, _ = l2(np.array([3.0, -4.0, 0.0]), 0.1)
check.close(_penalty, 1.25, what="l2, the penalty")
_penalty, _ = l2(np.array([[1.0, -2.0], [-1.0, 2.0]]), 0.5)
check.close(_penalty, 2.5, what="l2 of a matrix, the penalty")
del _penalty, _


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(802)
    for shape in ((7,), (3, 5), (4, 2, 3, 2), (1, 1)):
        for strength in (0.0, 0.3, 2.5):
            w = rng.normal(size=shape)
            expected = strength / 2 * sum(float(v) ** 2 for v in w.ravel())
            before = w.copy()
            penalty, _ = l2(w, strength)
            check.close(penalty, expected, what=f"l2, w {shape}, strength={strength}, penalty")
            check.unchanged(before, w, what="w")
    w = rng.standard_normal((6, 8)).astype(np.float32)
    expected = 0.1 * float((w.astype(float) ** 2)[::2].sum())
    penalty, _ = l2(w[::2], 0.2)
    check.close(penalty, expected, what="l2 of every other row, float32", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="l2" part="gradient" points=1
_, _gradient = l2(np.array([3.0, -4.0, 0.0]), 0.1)
check.close(_gradient, np.array([0.3, -0.4, 0.0]), what="l2, the gradient")
del _, _gradient


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(803)
    for shape in ((7,), (3, 5), (4, 2, 3, 2), (1, 1)):
        for strength in (0.0, 0.3, 2.5):
            w = rng.normal(size=shape)
            expected = np.multiply(strength, w)
            before = w.copy()
            _, gradient = l2(w, strength)
            check.close(gradient, expected, what=f"l2, w {shape}, strength={strength}, gradient")
            check.unchanged(before, w, what="w")
    w = rng.standard_normal((6, 8)).astype(np.float32)
    expected = 0.2 * w.T.astype(float)
    _, gradient = l2(w.T, 0.2)
    check.close(gradient, expected, what="l2 of a transposed float32 matrix, gradient", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** First the penalties alone: six weights, 60 steps with your gradients. Then the penalties at work: one dense layer, 64 pixels to 10 scores, 100 upright digits. Drawn are its 64 weights for the digit 3.
#
# **Predict.** Without a penalty: what are the weights of the pixels in the corners, where no digit has ever had ink? (The inputs are in $[0, 1]$ here, so such a pixel is exactly 0.)

# %% figure="penalties"
fig = plt.figure(figsize=(7.2, 2.5), layout="constrained")
grid = fig.add_gridspec(1, 5, width_ratios=[1.5, 1.5, 1, 1, 1])
for column, (name, penalty) in enumerate({"L2 alone": l2, "L1 alone": l1}.items()):
    ax = fig.add_subplot(grid[column])
    w = np.array([-1.0, -0.5, -0.1, 0.2, 0.6, 1.0])
    path = [w]
    for _ in range(60):
        w = w - 0.02 * penalty(w, 1.0)[1]
        path.append(w)
    ax.plot(path, color="C0")
    ax.axhline(0, color="gray", linewidth=0.5)
    ax.set(title=name, xlabel="step", ylim=(-1.1, 1.1))
    if column == 0:
        ax.set_ylabel("six weights")
pixels = handwritten.images.reshape(-1, 64).astype(float)
no_ink = pixels[:100].max(axis=0) == 0
penalties = {"none": None, "L1": lambda w: l1(w, 0.003), "L2": lambda w: l2(w, 0.01)}
layers = {}
for column, (name, penalty) in enumerate(penalties.items()):
    rng = np.random.default_rng(seed)
    net = Sequential([Dense(64, 10, rng)])
    net.params["0.w"][...] = 0.3 * rng.standard_normal((64, 10))
    train(net, pixels[:100], labels[:100], rng, 150, lr=0.01, penalty=penalty)
    layers[name] = net
    ax = fig.add_subplot(grid[2 + column])
    picture = net.params["0.w"][:, 3].reshape(8, 8)
    drawn = show(ax, picture, f"penalty: {name}", cmap="PuOr", vmin=-1.5, vmax=1.5)
fig.colorbar(drawn, ax=ax, label="weight", extend="both", shrink=0.8)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Six weights under L2 shrink along exponential curves and never arrive; under L1 they run to zero along straight lines and stay near it. Then three pictures of 64 weights: without a penalty noisy into the corners, with L1 mostly zero with a few strong pixels, with L2 smooth and small.](figures/penalties.png)
#
# On the left: the same share per step, and the same amount per step. (With steps of 0.02 a weight under L1 ends up trembling around 0 by one step. Solvers that want exact zeros stop it there.) On the right: without a penalty the corner weights are what they were at the start: noise. A pixel that is always 0 gives its weight no gradient (unit 04: $dw = x^\top dy$). Nothing *happens* to such a weight, until a new digit puts ink there, and then the noise votes. Both penalties clear it away, because they pull when the data do not. L1 then keeps few weights and leaves them strong. L2 keeps many and makes all of them small.
#
# </details>

# %%
print("one dense layer, 100 upright digits, test on 800 others")
for name, net in layers.items():
    w = net.params["0.w"]
    small = 100 * float(np.mean(np.abs(w) < 0.02))
    print(f"  {name:<5} |w| < 0.02: {small:5.1f} %   norm {np.linalg.norm(w):5.2f}", end="")
    print(f"   corner weights up to {np.abs(w[no_ink]).max():.3f}", end="")
    print(f"   test {accuracy(net, pixels[100:900], labels[100:900]):.1f} %")
_sparse = {name: np.mean(np.abs(net.params["0.w"]) < 0.02) for name, net in layers.items()}
assert _sparse["L1"] > 0.5 > 5 * _sparse["none"]
assert np.abs(layers["none"].params["0.w"][no_ink]).max() > 0.5
assert np.abs(layers["L1"].params["0.w"][no_ink]).max() < 0.05
assert np.abs(layers["L2"].params["0.w"][no_ink]).max() < 0.3

# %% [markdown]
# ### A limit instead of a price: max-norm
#
# **Idea.** A price pulls always, also on weights that need not shrink. A limit does nothing until it is reached. After each step, look at the *incoming* weights of every unit. If their length $\lVert w_j \rVert = \sqrt{\sum_i w_{ij}^2}$ is more than $c$, scale them back to length $c$, and leave the direction alone:
#
# $$w_j \leftarrow w_j \cdot \min\!\left(1, \frac{c}{\lVert w_j \rVert}\right) .$$
#
# One length for each **unit**, not one for the matrix: a unit is what shouts. N. Srivastava and others (2014) found that dropout likes it, with $c$ of 3 or 4 or so: it allows large learning rates without weights blowing up.
#
# **By hand.** Two units in the columns of $w = \begin{pmatrix} 3 & 0.3 \\ 4 & 0.4 \end{pmatrix}$, $c = 1$. Lengths 5 and 0.5. The first column is divided by 5, the second stays: $\begin{pmatrix} 0.6 & 0.3 \\ 0.8 & 0.4 \end{pmatrix}$.

# %% [markdown]
# ### Exercise: `max_norm`
#
# *10 minutes, medium. What it is for: beside dropout; and the same three lines are gradient clipping (unit 06) and the projection of an attack (unit 19).*
#
# Three tests: dense weights, filters, and what must stay as it is. Mind the axes: a dense weight has its units in columns, a convolution weight has its filters in front (look at the contract).
#
# <details><summary>Hint 1</summary>
#
# Over which axes do you sum for one unit? For dense weights over axis 0. For filters over all *but* axis 0. `keepdims=True` saves you a reshape.
#
# </details>
# <details><summary>Hint 2: a unit without weights</summary>
#
# Its length is 0, and $c/0$ is no number. Which of two things must you compare before you divide?
#
# </details>


# %% exercise="max_norm"
def max_norm(w, limit):
    """Scale each unit's incoming weights to length `limit` (> 0) where they are longer -> new array.

    w is (fan_in, fan_out), a unit is a column; or (C_out, C_in, kH, kW), a unit is w[f].
    """
    ### BEGIN SOLUTION
    axes = 0 if w.ndim == 2 else (1, 2, 3)
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * (limit / np.maximum(length, limit))
    ### END SOLUTION


# %% tests="max_norm" part="dense" points=1
# The example of the text: column lengths 5 and 0.5, limit 1
check.close(
    max_norm(np.array([[3.0, 0.3], [4.0, 0.4]]), 1.0),
    np.array([[0.6, 0.3], [0.8, 0.4]]),
    what="max_norm of two units",
)
# Three inputs, two units of lengths 3 and 6, limit 2
check.close(
    max_norm(np.array([[1.0, 4.0], [2.0, -4.0], [-2.0, 2.0]]), 2.0),
    np.array([[2 / 3, 4 / 3], [4 / 3, -4 / 3], [-4 / 3, 2 / 3]]),
    what="max_norm of two units with three inputs",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(810)
    for shape, limit in (
        ((5, 9), 2.0),
        ((12, 4), 3.0),
        ((1, 6), 0.5),
        ((7, 1), 1.0),
        ((6, 6), 2.5),
    ):
        w = rng.normal(size=shape)
        expected = w.copy()
        for j in range(shape[1]):
            length = sum(float(v) ** 2 for v in w[:, j]) ** 0.5
            if length > limit:
                expected[:, j] = w[:, j] * limit / length
        check.close(max_norm(w, limit), expected, what=f"max_norm, w {shape}, limit={limit}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_norm" part="convolution" points=1
# Two filters of one channel, 1 x 2, lengths 5 and 0.5, limit 1
check.close(
    max_norm(np.array([[[[3.0, 4.0]]], [[[0.3, 0.4]]]]), 1.0),
    np.array([[[[0.6, 0.8]]], [[[0.3, 0.4]]]]),
    what="max_norm of two filters",
)
# One filter of two channels: 4 numbers of size 1 are one length of 2
check.close(
    max_norm(np.array([[[[1.0, -1.0]], [[1.0, 1.0]]]]), 1.0),
    np.array([[[[0.5, -0.5]], [[0.5, 0.5]]]]),
    what="max_norm of a filter of two channels",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(811)
    for shape, limit in (((6, 3, 2, 4), 4.5), ((2, 5, 3, 1), 3.0), ((4, 1, 3, 3), 2.5)):
        w = rng.standard_normal(shape) * rng.uniform(0.5, 1.5, (shape[0], 1, 1, 1))
        expected = w.copy()
        for f in range(shape[0]):
            length = float(np.dot(w[f].ravel(), w[f].ravel())) ** 0.5
            if length > limit:
                expected[f] = w[f] * limit / length
        check.close(max_norm(w, limit), expected, what=f"max_norm, w {shape}, limit={limit}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="max_norm" part="keeps" points=1
# A unit at the limit or below stays as it is; one without weights stays 0; the argument is not changed
_w = np.array([[0.6, 0.0, 6.0], [0.8, 0.0, 8.0]])
_before = _w.copy()
check.close(
    max_norm(_w, 1.0),
    np.array([[0.6, 0.0, 0.6], [0.8, 0.0, 0.8]]),
    what="max_norm, lengths 1, 0, 10",
)
check.unchanged(_before, _w, what="w")
del _w, _before


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(812)
    short = 0.01 * rng.standard_normal((4, 5))
    check.close(max_norm(short, 3.0), short.copy(), what="max_norm of short units", rtol=1e-12)
    short = 0.01 * rng.standard_normal((3, 2, 4, 2))
    check.close(max_norm(short, 3.0), short.copy(), what="max_norm of short filters", rtol=1e-12)
    w = rng.standard_normal((6, 4, 3, 2))
    w[1] = 0
    expected = w / np.maximum(1, np.sqrt((w**2).sum(axis=(1, 2, 3), keepdims=True)) / 2.0)
    before = w.copy()
    check.close(max_norm(w, 2.0), expected, what="max_norm with a filter of zeros")
    check.unchanged(before, w, what="w")
    w = (5 * rng.standard_normal((9, 14))).astype(np.float32)[1:, ::3]
    wide = w.astype(float)
    expected = wide / np.maximum(1, np.sqrt((wide**2).sum(axis=0)) / 4.0)
    before = w.copy()
    result = max_norm(w, 4.0)
    check.close(result, expected, what="max_norm of every third column, float32", rtol=1e-4)
    check.unchanged(before, w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Noise, and what it is in disguise
#
# **Noise on the inputs.** Take a linear model $\hat y = x \cdot w$ and squared error. Show each example with fresh noise on it, $x + \varepsilon$, every $\varepsilon_i$ independent with variance $\sigma^2$. The mean over the noise:
#
# $$E\big[(y - (x+\varepsilon)\cdot w)^2\big] = (y - x\cdot w)^2 - 2\,(y - x \cdot w)\, \underbrace{E[\varepsilon \cdot w]}_{0} + \underbrace{E[(\varepsilon \cdot w)^2]}_{\sigma^2 \lVert w \rVert^2} .$$
#
# Noise **is** an L2 penalty, with $\lambda = 2\sigma^2$ (for our half, and the mean over examples). For a linear model this is exact. For a network it is the first term of a series (C. Bishop, 1995).
#
# **Noise on the weights.** The same model, $w + \varepsilon$. The roles are swapped: $E[(y - x\cdot(w+\varepsilon))^2] = (y - x\cdot w)^2 + \sigma^2 \lVert x \rVert^2$. The extra term has no $w$ in it!
#
# **Predict.** A linear model is trained with noise on its *weights*. Does the best $w$ change? And if a network with a hidden layer is trained so?
#
# First the linear facts, by machine. 40 examples, 6 inputs, noise of $\sigma = 0.5$. We fit least squares to $K$ noisy copies of the data, and compare with the ridge solution.

# %%
rng = np.random.default_rng(seed)
inputs = rng.standard_normal((40, 6))
wanted = inputs @ np.array([2.0, -1.0, 0.5, 0.0, 1.0, -2.0]) + 0.5 * rng.standard_normal(40)
sigma = 0.5
unpenalised = np.linalg.solve(inputs.T @ inputs, inputs.T @ wanted)
# The minimum of mean (y - x w)**2 + l2(w, 2 sigma**2): its gradient is 0
ridge = np.linalg.solve(inputs.T @ inputs + 40 * sigma**2 * np.eye(6), inputs.T @ wanted)
slope = -2 * inputs.T @ (wanted - inputs @ ridge) / 40 + l2(ridge, 2 * sigma**2)[1]
check.close(slope, np.zeros(6), what="gradient at the ridge solution")
print(f"least squares and ridge differ by {np.linalg.norm(unpenalised - ridge):.3f}")
distances = {}
for copies in (10, 100, 1000, 10000):
    noisy = np.tile(inputs, (copies, 1)) + sigma * rng.standard_normal((40 * copies, 6))
    fit = np.linalg.lstsq(noisy, np.tile(wanted, copies), rcond=None)[0]
    distances[copies] = float(np.linalg.norm(fit - ridge))
    print(f"{copies:>6} noisy copies: least squares and ridge differ by {distances[copies]:.4f}")
assert distances[10000] < 0.03 < 0.4 < np.linalg.norm(unpenalised - ridge)

# Noise on the weights: the price is the same for every w
for w in (ridge, unpenalised, np.zeros(6)):
    shaken = w + sigma * rng.standard_normal((20000, 6))
    extra = np.mean((wanted - shaken @ inputs.T) ** 2) - np.mean((wanted - inputs @ w) ** 2)
    print(
        f"noise on the weights costs {extra:.3f}, formula {sigma**2 * 6 * np.mean(inputs**2):.3f}"
    )
    assert abs(extra / (sigma**2 * 6 * np.mean(inputs**2)) - 1) < 0.05

# %% [markdown]
# For a linear model, noise on the weights changes nothing. Now the network of part 1 with 128 hidden units. By Taylor, noise on the weights adds $\frac{\sigma^2}{2} \sum_i \partial^2 L / \partial w_i^2$ on average: a price for *curvature*. The network should end in a **flatter** place.
#
# **Predict.** Two networks, trained on the same 100 digits, one with noise of $\sigma = 0.1$ on all weights in each step. Both then have training accuracy 100 %. Now shake the weights of both, more and more. Who breaks first? And who reads new digits better?

# %% figure="flatness"
learn, validate, test = split(seed)
shaken_nets = {}
for name, jitter in (("trained without noise", 0.0), ("trained with noise 0.1", 0.1)):
    rng = np.random.default_rng(seed)
    net = small_net(he_init, rng)
    train(net, *learn, rng, epochs=150, jitter=jitter)
    shaken_nets[name] = net


def loss_when_shaken(net, std, draws=10):
    """Mean training loss with noise of this std on all weights."""
    rng = np.random.default_rng(seed)
    kept = {name: w.copy() for name, w in net.params.items()}
    losses = []
    for _ in range(draws):
        for name, w in net.params.items():
            w[...] = kept[name] + std * rng.standard_normal(w.shape)
        losses.append(cross_entropy(net.forward(learn[0]), learn[1]))
    for name, w in net.params.items():
        w[...] = kept[name]
    return float(np.mean(losses))


shakes = np.linspace(0, 0.3, 7)
fig, ax = plt.subplots(figsize=(4.8, 2.4), layout="constrained")
shaken_losses = {}
for (name, net), style in zip(shaken_nets.items(), ("o-", "s--"), strict=True):
    shaken_losses[name] = [loss_when_shaken(net, std) for std in shakes]
    ax.plot(shakes, shaken_losses[name], style, label=name)
ax.set(xlabel="noise on the weights (std)", ylabel="training loss", title="Who breaks first?")
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss against the noise on the weights: both curves start near zero; the one of the network trained without noise rises earlier and steeper.](figures/flatness.png)
#
# The network that was trained with noise sits in a wider valley. But on *new digits* the two are close (next cell). One strength of noise was tried, and three other draws of digits gave the same picture. Flat and good at new digits often go together; they are not the same thing. Keep this in mind when somebody tells you that one explains the other.
#
# </details>

# %%
noise_accuracy = {name: accuracy(net, *test) for name, net in shaken_nets.items()}
for name, net in shaken_nets.items():
    print(f"{name:<24} training {accuracy(net, *learn):.0f} %", end="")
    print(
        f"   test {noise_accuracy[name]:.1f} %   loss shaken by 0.2: {shaken_losses[name][4]:.3f}"
    )
without, with_noise = shaken_losses.values()
assert with_noise[4] < 0.8 * without[4]
assert abs(np.subtract(*noise_accuracy.values())) < 6

# %% [markdown]
# ## 7. Dropout: 1,024 networks in one
#
# **Idea.** In each training step, set every unit's output to 0 with probability $p$, each by its own throw. No unit can rely on a certain other one being there (G. Hinton and others, 2012; N. Srivastava and others, 2014).
#
# **Formula.** Draw a mask $m$ of the shape of $x$:
#
# $$m_i = \begin{cases} 0 & \text{with probability } p \\ \frac{1}{1-p} & \text{with probability } 1-p \end{cases} \qquad y = x \odot m, \qquad E[y_i] = p\cdot 0 + (1-p)\,\frac{x_i}{1-p} = x_i .$$
#
# The $\frac1{1-p}$ is there so that the next layer gets what it is used to, on average. It can be put in two places. The first papers multiplied by $1-p$ at **inference**. Everybody today divides by $1-p$ at **training** time: this is **inverted** dropout. Its advantage: at inference there is nothing to do at all, $y = x$. The name is a trap: nothing is inverted at inference.
#
# A second trap: our $p$ is the probability to **drop**, as in PyTorch and Keras. In the course CS231n, $p$ is the probability to *keep*. With $p = 0.5$ nobody notices the difference.
#
# **By hand.** $x = (2, 6, 1, 4)$, $p = 0.75$, and only the second unit survives: $m = (0, 4, 0, 0)$, $y = (0, 24, 0, 0)$.
#
# **Backward.** $y = x \odot m$ is linear in $x$, and the mask is a constant: $dx = dy \odot m$, with *the mask of the forward call*. That is why `dropout` returns it.

# %% [markdown]
# ### Exercises: `dropout` and `dropout_backward`
#
# *12 and 3 minutes, easy. What they are for: dense layers with few examples (AlexNet, VGG); and for understanding ensembles.*
#
# `x` has any shape, and every *element* has its own throw, in every picture anew. $0 \le p < 1$. With `training=False` you return $x$ as it is, and any mask: nobody looks at it.
#
# <details><summary>Hint 1: a throw for each element</summary>
#
# `rng.random(x.shape)` gives numbers in $[0, 1)$. With which probability is such a number below $p$?
#
# </details>
# <details><summary>Hint 2: what is the mask?</summary>
#
# *What x was multiplied by*: 0 or $1/(1-p)$. Not True and False. For $p = 0.75$ the largest value in your mask must be 4.
#
# </details>
# <details><summary>Hint 3: the backward function</summary>
#
# It gets the mask, and the mask holds all that it needs. It does not know $p$, and need not.
#
# </details>


# %% exercise="dropout"
def dropout(x, p, rng, training=True):
    """Inverted dropout of every element of x with probability p (to DROP), 0 <= p < 1 -> y, mask.

    Training: y = x * mask, mask is 0 with probability p, else 1 / (1 - p).
    Inference: y = x; the mask is not looked at.
    """
    ### BEGIN SOLUTION
    if not training:
        return x, None
    mask = (rng.random(x.shape) >= p) / (1 - p)
    return x * mask, mask
    ### END SOLUTION


# %% tests="dropout" part="mask" points=1
# p = 0.75: the mask holds 0 and 1 / (1 - 0.75) = 4, nothing else, and y = x * mask
_x = np.arange(1.0, 25.0).reshape(4, 6)
_y, _mask = dropout(_x, 0.75, np.random.default_rng(0))
check.shape(_mask, (4, 6), what="the mask")
assert np.all(np.isclose(_mask, 0) | np.isclose(_mask, 4)), (
    f"p = 0.75: the mask holds {np.unique(_mask)[:4]}, expected 0 and 4 only"
)
check.close(_y, np.arange(1.0, 25.0).reshape(4, 6) * _mask, what="y, which should be x * mask")
# p = 0 drops nothing
check.close(dropout(_x, 0.0, np.random.default_rng(0))[0], _x.copy(), what="dropout with p = 0")
del _x, _y, _mask


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(820)
    for shape in ((9,), (6, 7), (2, 3, 5, 4)):
        for p in (0.0, 0.2, 0.5, 0.9):
            x = 1 + rng.random(shape)
            before = x.copy()
            what = f"dropout, x {shape}, p={p}"
            y, mask = dropout(x, p, np.random.default_rng(821))
            mask = np.array(mask, dtype=float)
            check.shape(mask, shape, what=f"{what}, the mask")
            kept = ~np.isclose(mask, 0)
            expected = np.where(kept, 1 / (1 - p), 0.0)
            check.close(mask, expected, what=f"{what}, the mask (0 or 1 / (1 - p))")
            check.close(y, before * expected, what=f"{what}, y")
            check.unchanged(before, x, what="x")
    whole = np.arange(1.0, 31.0).reshape(5, 6)
    y, mask = dropout(whole[:, ::2], 0.4, np.random.default_rng(822))
    check.close(y, whole[:, ::2] * mask, what="dropout of every other column")
    x = rng.standard_normal((8, 5)).astype(np.float32)
    expected = x.astype(float).T
    y, mask = dropout(x.T, 0.3, np.random.default_rng(823), training=True)
    check.close(y, expected * np.asarray(mask, dtype=float), what="dropout, float32", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dropout" part="frequency" points=1
# 10,000 ones, p = 0.2: about 2,000 are dropped (up to chance), and the mean stays about 1
_y, _ = dropout(np.ones((100, 100)), 0.2, np.random.default_rng(0))
_dropped = float(np.mean(_y == 0))
assert 0.17 < _dropped < 0.23, f"p = 0.2, and {100 * _dropped:.0f} % were dropped"
assert 0.95 < float(np.mean(_y)) < 1.05, f"the mean of 10,000 ones became {float(np.mean(_y)):.2f}"
del _y, _, _dropped


### BEGIN HIDDEN TESTS
def _hidden():
    for number, p in enumerate((0.1, 0.3, 0.5, 0.8)):
        for shape in ((120, 90), (15, 8, 9, 10)):
            y, _ = dropout(np.ones(shape), p, np.random.default_rng(830 + number))
            gone = np.asarray(y) == 0
            off = abs(gone.mean() - p) / np.sqrt(p * (1 - p) / gone.size)
            assert off < 6, f"dropout, p={p}: {100 * gone.mean():.1f} % were dropped"
            mean = float(np.mean(y))
            assert abs(mean - 1) < 0.13, f"dropout, p={p}: the mean of ones became {mean:.2f}"
            # Every element its own throw: along no axis do neighbours share their fate
            for axis in range(len(shape)):
                pair = np.moveaxis(gone, axis, 0)
                same = np.mean(pair[1:] == pair[:-1])
                fair = p**2 + (1 - p) ** 2
                assert abs(same - fair) < 0.06, (
                    f"dropout, x {shape}: throws shared along axis {axis}"
                )
            # ... and no fixed number of survivors per example
            per_example = gone.reshape(shape[0], -1).sum(axis=1)
            assert len(np.unique(per_example)) > 1, f"dropout, p={p}: each example drops as many"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dropout" part="inference" points=1
# Inference: x comes back as it is, nothing dropped and nothing scaled
_y, _ = dropout(np.array([[1.0, 2.0], [3.0, 4.0]]), 0.75, np.random.default_rng(0), training=False)
check.close(_y, np.array([[1.0, 2.0], [3.0, 4.0]]), what="dropout, training=False")
del _y, _


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(840)
    for shape in ((9,), (6, 7), (2, 3, 5, 4)):
        for p in (0.0, 0.2, 0.9):
            x = rng.standard_normal(shape)
            expected = x.copy()
            y, _ = dropout(x, p, np.random.default_rng(841), training=False)
            check.close(y, expected, what=f"dropout, x {shape}, p={p}, training=False")
            check.unchanged(expected, x, what="x")
    x = rng.standard_normal((4, 6)).astype(np.float32)[:, ::-1]
    expected = x.astype(float)
    y, _ = dropout(x, 0.5, np.random.default_rng(842), training=False)
    check.close(y, expected, what="dropout of a reversed view, training=False")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="dropout" part="stream" points=1
# The same seed, the same mask; the next call with the same rng, another mask
_x = np.ones((8, 8))
_rng = np.random.default_rng(3)
_first, _second = dropout(_x, 0.5, _rng)[1], dropout(_x, 0.5, _rng)[1]
check.close(dropout(_x, 0.5, np.random.default_rng(3))[1], _first, what="the mask of the same seed")
assert not np.allclose(_first, _second), "two calls with one rng gave the same mask"
del _x, _rng, _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    for shape in ((60,), (3, 2, 5, 4)):
        x = np.ones(shape)
        drawn = [
            np.array(dropout(x, 0.5, np.random.default_rng(s))[0], dtype=float)
            for s in (850, 851, 850)
        ]
        check.close(drawn[2], drawn[0], what="dropout with one seed, twice")
        assert not np.allclose(drawn[0], drawn[1]), "dropout: two seeds, one mask"
        rng = np.random.default_rng(852)
        several = [np.array(dropout(x, 0.5, rng)[0], dtype=float) for _ in range(3)]
        for k in (0, 1):
            assert not np.allclose(several[k], several[k + 1]), "dropout: a call repeats the mask"


_hidden()
del _hidden
### END HIDDEN TESTS


# %% exercise="dropout_backward"
def dropout_backward(dy, mask):
    """Gradient dx of dropout for the upstream gradient dy; mask is what x was multiplied by."""
    ### BEGIN SOLUTION
    return dy * mask
    ### END SOLUTION


# %% tests="dropout_backward" points=1
# The mask of the text, p = 0.75: what was multiplied by 4 passes 4 times its gradient
check.close(
    dropout_backward(np.array([5.0, -3.0, 1.0, 2.0]), np.array([0.0, 4.0, 0.0, 0.0])),
    np.array([0.0, -12.0, 0.0, 0.0]),
    what="dropout_backward",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(860)
    for shape in ((9,), (6, 7), (2, 3, 5, 4)):
        for p in (0.0, 0.2, 0.5, 0.9):
            dy = rng.standard_normal(shape)
            mask = (rng.random(shape) >= p) / (1 - p)
            expected = np.where(mask == 0, 0.0, dy / (1 - p))
            before = dy.copy(), mask.copy()
            check.close(
                dropout_backward(dy, mask), expected, what=f"dropout_backward, dy {shape}, p={p}"
            )
            check.unchanged(before[0], dy, what="dy")
            check.unchanged(before[1], mask, what="mask")
    dy = rng.standard_normal((5, 8)).astype(np.float32)
    mask = np.where(rng.random((8, 5)) < 0.5, 0, 2).astype(np.float32)
    expected = dy.T.astype(float) * mask
    check.close(dropout_backward(dy.T, mask), expected, what="dropout_backward, float32", rtol=1e-4)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# With both, a layer for your networks. It keeps the mask for the way back, and it looks at its own `training`, which `Sequential` sets for all its layers.


# %% given=true
class Dropout(Layer):
    """dropout as a layer: p is the probability to drop, rng throws the dice, no params."""

    def __init__(self, p, rng):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x):
        y, self.mask = dropout(x, self.p, self.rng, self.training)
        return y

    def backward(self, dy):
        return dropout_backward(dy, self.mask) if self.training else dy


# %% [markdown]
# **See it.** A digit, three of its masked versions with $p = 0.5$, and means over many masks.
#
# **Predict.** The mean over 1,000 masks looks like what? And the mean if the $\frac{1}{1-p}$ is forgotten?

# %% figure="dropout_masks"
digit = handwritten.images[3, 0].astype(float)
rng = np.random.default_rng(seed)
draws = np.array([dropout(digit, 0.5, rng)[0] for _ in range(1000)])
panels = {
    "the digit": digit,
    "draw 1": draws[0],
    "draw 2": draws[1],
    "draw 3": draws[2],
    "mean of 30": draws[:30].mean(axis=0),
    "mean of 1,000": draws.mean(axis=0),
    "not inverted": 0.5 * draws.mean(axis=0),
}
fig, axes = plt.subplots(1, 7, figsize=(7.2, 1.5), layout="constrained")
for ax, (title, picture) in zip(axes, panels.items(), strict=True):
    drawn = show(ax, picture, title, vmax=2)
fig.colorbar(drawn, ax=axes[-1], label="value")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A handwritten 3; three versions with half of the pixels black and the others twice as bright; the mean of 30 versions, grainy; the mean of 1,000, like the digit; and the mean without the factor, half as bright.](figures/dropout_masks.png)
#
# The survivors are twice as bright (the scale goes to 2). On average it is the digit again. Without the factor it comes out half as bright, and a layer that was trained on that would meet numbers twice as large at inference.
#
# </details>

# %%
print(f"mean of 1,000 draws: largest error {np.abs(draws.mean(axis=0) - digit).max():.3f}")
assert np.abs(draws.mean(axis=0) - digit).max() < 0.15

# %% [markdown]
# ### An ensemble, exactly
#
# With 10 units there are $2^{10} = 1024$ masks, so dropout trains 1,024 networks that share their weights. You will read that inference with $y = x$ gives their average. **When is that true?** No need to believe anything. 1,024 is few: take them all.
#
# Mask number $k$ has probability $P_k = p^{\text{dropped}} (1-p)^{\text{kept}}$. The ensemble's answer is the sum of $P_k$ times the answer of network $k$. Three networks on top of ten hidden numbers $h$:
#
# 1. **linear**: $\hat y = (h \odot m) \cdot v$. The mean of a sum is the sum of the means: exactly $h \cdot v$.
# 2. **softmax of linear scores**. The arithmetic mean of the probabilities is another one. But take the *geometric* mean of the 1,024 answers, $\prod_k q_k^{P_k}$, and normalise: logarithms turn the product into a mean of scores, the normalising constants are the same for all classes, and what is left is the softmax of the mean scores. Exact again.
# 3. **one more ReLU layer**: the mean of ReLUs is not the ReLU of the mean. Only an approximation.
#
# **Predict.** For the third network: is the answer without masks larger or smaller than the ensemble's mean, if its last weights are all positive? (A ReLU is convex.)

# %% figure="ensemble"
rng = np.random.default_rng(seed)
p_drop = 0.3
hidden = relu_of(rng.standard_normal(10)) + 0.2
to_one, to_five = rng.standard_normal(10), rng.standard_normal((10, 5))
middle, last = he_init((10, 20), rng), np.abs(rng.standard_normal(20)) / 5
keeps = np.array(list(itertools.product((0, 1), repeat=10)))  # (1024, 10): all of them
chances = p_drop ** (10 - keeps.sum(axis=1)) * (1 - p_drop) ** keeps.sum(axis=1)
masked = hidden * keeps / (1 - p_drop)  # (1024, 10)


def softmax_of(scores):
    """Softmax over the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


linear_all, linear_plain = masked @ to_one, hidden @ to_one
relu_all, relu_plain = relu_of(masked @ middle) @ last, relu_of(hidden @ middle) @ last
ensembles = {
    "linear": (linear_all, linear_plain),
    "one more ReLU layer": (relu_all, relu_plain),
}
fig, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
for ax, (title, (answers, plain)) in zip(axes, ensembles.items(), strict=True):
    ax.hist(answers, bins=40, weights=chances, color="lightgray", edgecolor="gray")
    ax.axvline(chances @ answers, color="black", label="mean of all 1,024")
    ax.axvline(plain, color="C1", linestyle="--", linewidth=2, label="no mask, y = x")
    ax.set(title=title, xlabel="answer")
    ax.legend(fontsize=7)
axes[0].set(ylabel="probability")
fig.suptitle("The answers of all 1,024 networks", fontsize=9)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two histograms of the answers of 1,024 networks. For the linear one the line of the mean and the line of the unmasked network coincide; with a ReLU layer in between they stand apart.](figures/ensemble.png)
#
# Linear: the two lines are one. With the ReLU layer the unmasked answer is **smaller** than the mean of the ensemble: for a convex function the mean of the values is at least the value at the mean (Jensen). A real network has weights of both signs, the errors partly cancel, and it works well enough. But in a deep network "dropout averages exponentially many networks" is an approximation, and now you know where it comes from.
#
# </details>

# %%
answers = softmax_of(masked @ to_five)  # (1024, 5)
geometric = np.exp(chances @ np.log(answers))
geometric /= geometric.sum()
arithmetic = chances @ answers
plain_softmax = softmax_of(hidden @ to_five)
print(f"probabilities of the masks add up to {chances.sum():.12f}")
print(f"linear:  mean {chances @ linear_all:.6f}   no mask {linear_plain:.6f}")
print(f"softmax: geometric mean off by {np.abs(geometric - plain_softmax).max():.1e}", end="")
print(f"   arithmetic mean off by {np.abs(arithmetic - plain_softmax).max():.3f}")
print(f"ReLU:    mean {chances @ relu_all:.4f}   no mask {relu_plain:.4f}")
check.close(chances @ linear_all, linear_plain, what="linear ensemble")
check.close(geometric, plain_softmax, what="geometric mean of softmaxes")
assert np.abs(arithmetic - plain_softmax).max() > 0.01
assert relu_plain < chances @ relu_all - 0.01

# %% [markdown]
# **Dropout is a penalty, too.** A linear model with squared error, dropout on its inputs. The mean over all masks has a variance term, exactly as with noise in part 6, only that here the noise on $x_i$ is as large as $x_i$ itself:
#
# $$E\big[(y - (x \odot m)\cdot w)^2\big] = (y - x\cdot w)^2 + \frac{p}{1-p} \sum_i x_i^2 w_i^2 .$$
#
# An L2 penalty in which every weight has its own strength: weights of strong inputs pay more. (S. Wager and others, 2013.) Again by all 1,024 masks:

# %%
target = 1.5
loss_all = chances @ (target - masked @ to_one) ** 2
penalty = p_drop / (1 - p_drop) * np.sum(hidden**2 * to_one**2)
print(f"mean over all masks {loss_all:.6f}, formula {(target - linear_plain) ** 2 + penalty:.6f}")
check.close(loss_all, (target - linear_plain) ** 2 + penalty, what="dropout as a penalty")

# %% [markdown] manual="dropout_inference" points=2
# **Question (2 points, 8 minutes).** A colleague's network has `Dropout(0.5)` between two layers. He forgets `net.training = False` before he measures the test accuracy. What does he see when he measures twice, and is his accuracy right on average? A second colleague remembers it, but has left out the $\frac1{1-p}$. Say what arrives at her next layer, for $p = 0.8$, in training and at inference, and why her training loss did not warn her.
#
# ### BEGIN SOLUTION
# He gets a different number each time, as new masks are drawn. The scores have the right *mean*, but each picture is read by one randomly thinned network instead of the whole one, so the accuracy is too low on average (the noise costs answers and wins few). (1 point.)
#
# In training her next layer gets $E[x \odot m] = 0.2\,x$ on average, at inference $x$: five times as much as it was trained on. Training loss looks normal, since during training the next layer's weights adapt to the small numbers. Only inference mode shows the error. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 8. Stop in time: `EarlyStopping`
#
# **Idea.** The training loss falls for ever. The loss on *other* digits, a **validation set**, falls, turns, and rises. Keep the weights of the turning point.
#
# You know the turning point only after it: the validation loss is noisy, and a bad epoch may be an accident. So wait. Stop when `patience` epochs *in a row* have brought no improvement over the best, and go back to the best weights.
#
# | epoch | 0 | 1 | 2 | 3 | 4 | 5 |
# |---|---|---|---|---|---|---|
# | loss | 1.0 | 0.8 | 0.9 | 0.7 | 0.75 | 0.7 |
# | improvement? | yes | yes | no (1) | yes | no (1) | no (2) |
# | `update` returns, patience 2 | False | False | False | False | False | **True** |
#
# Epoch 5 is *equal* to the best. That is no improvement. With `min_delta` $= \delta$ an improvement must be worth it: only a loss **below** `best` $-\ \delta$ counts, and what does not count leaves `best` alone. (Otherwise a loss that creeps down by less than $\delta$ each time would drag `best` along and never count.)
#
# It is called a regularizer because few steps reach only weights near the start. For a linear model it is nearly L2, and steps times learning rate are about one over its strength (Goodfellow, Bengio and Courville, 2016, section 7.8).

# %% [markdown]
# ### Exercise: `EarlyStopping`
#
# *15 minutes, medium. What it is for: every training from unit 09 on.*
#
# Four tests: patience, `min_delta`, `best`, and the weights. `params` is a dict like `net.params`, {name: array}, or `None`.
#
# <details><summary>Hint 1: what must it remember?</summary>
#
# Patience and min_delta, the best loss and weights, and how many updates in a row brought nothing.
#
# </details>
# <details><summary>Hint 2: the weights</summary>
#
# Our optimizer writes into the weights in place: `w[...] = w_next`. What does your dict hold after the next step if you kept the arrays themselves? And does `dict(params)` copy the arrays?
#
# </details>
# <details><summary>Hint 3: NaN</summary>
#
# A comparison with NaN is always False. Ask "is it an improvement?", and NaN is none. Ask "is it worse?", and NaN is an improvement.
#
# </details>


# %% exercise="EarlyStopping"
class EarlyStopping:
    """EarlyStopping(patience, min_delta=0.0) says when to stop and keeps the best loss and weights.

    update(loss, params=None) -> bool: True once the last `patience` (>= 1) calls brought no
    improvement, a loss below best - min_delta. NaN is none. No call follows a True.
    best: the loss of the last improvement, infinite before the first.
    best_params: {name: copy of the array} of that moment, or None.
    """

    ### BEGIN SOLUTION
    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params = np.inf, None
        self.waited = 0  # updates in a row without an improvement

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.waited += 1
        return self.waited >= self.patience

    ### END SOLUTION


# %% tests="EarlyStopping" part="patience" points=1
# The table of the text
_stopper = EarlyStopping(patience=2)
_said = [bool(_stopper.update(loss)) for loss in (1.0, 0.8, 0.9, 0.7, 0.75, 0.7)]
check.equal(
    _said, [False, False, False, False, False, True], what="losses of the table, patience 2"
)
# Patience 1: the first update without an improvement ends it
_stopper = EarlyStopping(patience=1)
_said = [bool(_stopper.update(loss)) for loss in (3.0, 2.0, 2.5)]
check.equal(_said, [False, False, True], what="losses 3.0, 2.0, 2.5, patience 1")
del _stopper, _said


### BEGIN HIDDEN TESTS
def _hidden():
    nan = float("nan")
    cases = [
        ([5, 4, 4.5, 4.4, 3.9, 4.2, 4.1, 4.0], 3, [0, 0, 0, 0, 0, 0, 0, 1]),
        ([1, 2, 0.5, 2, 0.4, 2, 0.3, 2], 2, [0, 0, 0, 0, 0, 0, 0, 0]),
        ([1, 1, 1, 1], 3, [0, 0, 0, 1]),
        ([2, nan, 1, nan, nan], 2, [0, 0, 0, 0, 1]),
        ([nan, nan], 2, [0, 1]),
        ([9, 10, 9.5, 9.2, 9.1], 4, [0, 0, 0, 0, 1]),
        ([-1, -2, -3, -2.9], 1, [0, 0, 0, 1]),
        ([3, 4, 5], 2, [0, 0, 1]),
    ]
    for losses, patience, expected in cases:
        stopper = EarlyStopping(patience=patience)
        said = [int(bool(stopper.update(float(loss)))) for loss in losses]
        check.equal(said, expected, what=f"losses {losses}, patience={patience}: stop?")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="EarlyStopping" part="delta" points=1
# min_delta = 0.1: 0.95 is not below 1.0 - 0.1, neither is 0.91; 0.85 is
_stopper = EarlyStopping(patience=3, min_delta=0.1)
_said = [bool(_stopper.update(loss)) for loss in (1.0, 0.95, 0.91, 0.85, 0.8, 0.79, 0.78)]
check.equal(_said, [False] * 6 + [True], what="min_delta 0.1, patience 3")
del _stopper, _said


### BEGIN HIDDEN TESTS
def _hidden():
    cases = [
        ([1.0, 0.8, 0.6, 0.4], 2, 0.25, [0, 0, 0, 0]),
        ([1.0, 0.8, 0.76, 0.76], 3, 0.25, [0, 0, 0, 1]),
        ([1.0, 0.75, 0.875], 2, 0.25, [0, 0, 1]),
        ([4.0, 3.75, 3.75, 3.5, 3.0], 3, 0.25, [0, 0, 0, 0, 0]),
        ([4.0, 3.9, 3.8], 2, 0.5, [0, 0, 1]),
        ([2.0, 2.25, 2.125], 2, 0.5, [0, 0, 1]),
    ]
    for losses, patience, delta, expected in cases:
        stopper = EarlyStopping(patience, delta)
        said = [int(bool(stopper.update(loss))) for loss in losses]
        check.equal(said, expected, what=f"losses {losses}, patience={patience}, min_delta={delta}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="EarlyStopping" part="best" points=1
_stopper = EarlyStopping(patience=2, min_delta=0.1)
check.close(_stopper.best, np.inf, what="best, before the first update")
_best = []
for _loss in (1.0, 0.95, 0.7, 0.9):
    _stopper.update(_loss)
    _best.append(float(_stopper.best))
# 0.95 did not count, so best stays 1.0
check.close(np.array(_best), np.array([1.0, 1.0, 0.7, 0.7]), what="best after 1.0, 0.95, 0.7, 0.9")
del _stopper, _best, _loss


### BEGIN HIDDEN TESTS
def _hidden():
    nan = float("nan")
    cases = [
        ([3.0, 2.0, 2.5, 1.0, 4.0], 9, 0.0, [3, 2, 2, 1, 1]),
        ([nan, 2.0, nan, 1.0], 9, 0.0, [float("inf"), 2, 2, 1]),
        ([1.0, 0.9, 0.8, 0.7, 0.6], 9, 0.25, [1, 1, 1, 0.7, 0.7]),
        ([1.0, 2.0, 3.0, 0.5], 3, 0.0, [1, 1, 1, 0.5]),
        ([-1.0, -0.5, -2.0], 3, 0.5, [-1, -1, -2]),
    ]
    for losses, patience, delta, expected in cases:
        stopper = EarlyStopping(patience, min_delta=delta)
        best = []
        for loss in losses:
            stopper.update(loss)
            best.append(float(stopper.best))
        what = f"best, losses {losses}, patience={patience}, min_delta={delta}"
        check.close(np.array(best), np.array(expected, dtype=float), what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="EarlyStopping" part="weights" points=1
# The weights of the best moment, although the optimizer has written into the arrays since then
_params = {"0.w": np.array([[1.0, 2.0]]), "0.b": np.array([3.0])}
_stopper = EarlyStopping(patience=5)
assert _stopper.best_params is None, "best_params before the first update should be None"
_stopper.update(1.0, _params)
_params["0.w"][...] = 99.0
_stopper.update(2.0, _params)
_kept = dict(_stopper.best_params)
check.equal(sorted(_kept), ["0.b", "0.w"], what="the names in best_params")
check.close(_kept["0.w"], np.array([[1.0, 2.0]]), what="best_params, after the weights moved on")
del _params, _stopper, _kept


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def history(make, losses, values, settings):
        stopper = make(**settings)
        w = np.zeros((2, 3))
        b = np.zeros(2)
        out = []
        for loss, value in zip(losses, values, strict=True):
            w[...] = value
            b[0] = -value
            stopper.update(loss, {"w": w, "b": b})
            w += 100.0
            kept = stopper.best_params
            out.append([float(kept["w"][1, 2]), float(kept["b"][0])] if kept else [0.0, 0.0])
        return out, w.tolist()

    cases = [
        ([3.0, 2.0, 2.5, 1.0, 4.0], [1, 2, 3, 4, 5], {"patience": 9}, [1, 2, 2, 4, 4]),
        ([3.0, 2.9, 2.8, 2.0], [5, 6, 7, 8], {"patience": 3, "min_delta": 0.5}, [5, 5, 5, 8]),
        ([1.0, 1.0, 0.5], [7, 8, 9], {"patience": 2}, [7, 7, 9]),
        ([3.0, 1.0, 2.0, 1.5], [6, 7, 8, 9], {"patience": 9}, [6, 7, 7, 7]),
    ]
    for losses, values, settings, expected in cases:
        out, w = history(EarlyStopping, losses, values, settings)
        pairs = np.array([[v, -v] for v in expected], dtype=float)
        check.close(np.array(out), pairs, what=f"best_params, losses {losses}, {settings}")
        last = np.full((2, 3), values[-1] + 100.0)
        check.close(np.array(w), last, what="params, which should not be changed")
    stopper = EarlyStopping(2)
    stopper.update(1.0)
    assert stopper.best_params is None, "best_params should be None if no params were given"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The network of part 1, 100 digits to learn, 100 others to validate, patience 10. Twice: with the digits in the middle of the canvas (the control), and with digits anywhere on it (our failure). We let the training go on after the stop, to see what it saved us from.
#
# **Predict.** Where does the validation loss turn in each? And the test accuracy of the kept weights: better than that of the last epoch, in both?

# %% figure="early_stopping"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True, layout="constrained")
stopping = {}
for ax, (name, pictures) in zip(
    axes, {"always in the middle": centred, "anywhere": canvases}.items(), strict=True
):
    learn, validate, test = split(seed, pictures)
    losses, stopper, stopped_at = {"training": [], "validation": []}, EarlyStopping(10), []

    def look(net, learn=learn, validate=validate, losses=losses, stopper=stopper, at=stopped_at):
        """Note both losses and tell the stopper, until it says stop."""
        net.training = False
        losses["training"].append(cross_entropy(net.forward(learn[0]), learn[1]))
        losses["validation"].append(cross_entropy(net.forward(validate[0]), validate[1]))
        if not at and stopper.update(losses["validation"][-1], net.params):
            at.append(len(losses["training"]))

    rng = np.random.default_rng(seed)
    last_net = small_net(he_init, rng)
    train(last_net, *learn, rng, epochs=80, watch=look)
    kept_net = small_net(he_init, np.random.default_rng(seed))
    for key, w in stopper.best_params.items():
        kept_net.params[key][...] = w
    best_epoch = losses["validation"].index(stopper.best) + 1
    stopping[name] = (
        best_epoch,
        {
            which: (cross_entropy(net.forward(test[0]), test[1]), accuracy(net, *test))
            for which, net in {"kept": kept_net, "last": last_net}.items()
        },
    )
    check.close(
        cross_entropy(kept_net.forward(validate[0]), validate[1]), stopper.best, what="kept loss"
    )
    for (which, values), style in zip(losses.items(), ("-", "--"), strict=True):
        ax.plot(range(1, 81), values, style, label=which)
    ax.axvline(best_epoch, color="black", linewidth=1, label=f"best: epoch {best_epoch}")
    for place in stopped_at:
        ax.axvline(place, color="gray", linewidth=1, linestyle=":", label=f"stop: epoch {place}")
    ax.axhline(np.log(10), color="gray", linewidth=0.5)
    ax.set(title=f"Digits {name}", xlabel="epoch")
    ax.legend(fontsize=7)
axes[0].set(ylabel="cross-entropy\n(thin line: guessing)")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two panels of loss against epoch. Digits in the middle: both losses fall, the validation loss levels off well above the training loss. Digits anywhere: the validation loss hardly gets below the loss of guessing, turns within a few epochs, and rises.](figures/early_stopping.png)
#
# (One draw of digits for each panel.) On the left the training loss goes to 0 and the validation loss levels off: there is little to stop. On the right it turns within a few epochs and never gets better than guessing. Stopping there keeps the loss from exploding. But look at the *accuracy* in the next cell: the kept weights read fewer digits than the last ones! After the turning point the network goes on learning to read, and at the same time it gets surer of what it reads wrongly. Cross-entropy punishes confidence in a mistake, accuracy does not. **What you watch is a decision.** And early stopping does not cure our failure. It only ends it sooner.
#
# </details>

# %%
for name, (best_epoch, results) in stopping.items():
    for which, (loss, percent) in results.items():
        print(
            f"{name:<21} {which} weights: test loss {loss:.2f}   accuracy {percent:.1f} %", end=""
        )
        print(f"   (best epoch {best_epoch})" if which == "kept" else "")
_best_epoch, _results = stopping["anywhere"]
assert _best_epoch < 15
assert _results["kept"][0] < 0.8 * _results["last"][0]
assert _results["kept"][1] < _results["last"][1] - 5
assert _results["kept"][0] > 0.9 * np.log(10)

# %% [markdown]
# ## 9. More pictures from the same pictures
#
# **Idea.** A three that is moved by a pixel is still a three. You know that; the network does not, and it would take many digits to find out. So tell it: change the training pictures at random, **each picture by its own draw, anew in each epoch**, in ways that do not change what they show. Such a change is **label-preserving**. Whether it is, the *task* decides, not the function. A flipped cat is a cat. A flipped 2 is no digit at all, and a 6 that is turned around is a 9.
#
# Augmentation is for training. Validation and test pictures stay as they are. And it is the one regularizer through which you put *knowledge* into the network.
#
# Seven small functions. All take `x` of shape `(N, C, H, W)`, floating, from 0 to 1, and give back as many pictures. **All channels of a picture share one fate**: where the red goes, the green goes.

# %% [markdown]
# ### Exercise: `random_flip`
#
# *6 minutes, easy. What it is for: nearly every recipe for photographs.*
#
# Mirror each picture left to right with probability `p`, each by its own throw.
#
# <details><summary>Hint 1</summary>
#
# `x[..., ::-1]` mirrors all of them. You need some.
#
# </details>
# <details><summary>Hint 2</summary>
#
# One throw for each picture: `rng.random(len(x))`. A loop over the pictures does it. So does `np.where`, if the condition has a shape that broadcasts over `(N, C, H, W)`.
#
# </details>


# %% exercise="random_flip"
def random_flip(x, rng, p=0.5):
    """Mirror each picture of x (N, C, H, W) left to right with probability p -> (N, C, H, W)."""
    ### BEGIN SOLUTION
    chosen = rng.random(len(x)) < p
    return np.where(chosen[:, None, None, None], x[..., ::-1], x)
    ### END SOLUTION


# %% tests="random_flip" part="mirror" points=1
# p = 1 mirrors every picture, p = 0 none
_x = np.array([[[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]]])
check.close(
    random_flip(_x.copy(), np.random.default_rng(0), p=1.0),
    np.array([[[[0.3, 0.2, 0.1], [0.6, 0.5, 0.4]]]]),
    what="random_flip with p = 1",
)
check.close(
    random_flip(_x.copy(), np.random.default_rng(0), p=0.0), _x, what="random_flip with p = 0"
)
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(900)
    for shape in ((3, 1, 5, 4), (2, 3, 4, 7), (5, 2, 1, 3)):
        x = rng.random(shape)
        before = x.copy()
        mirrored = np.flip(before, axis=3).copy()
        y = random_flip(x, np.random.default_rng(901), p=1.0)
        check.close(y, mirrored, what=f"random_flip, x {shape}, p=1")
        check.unchanged(before, x, what="x")
        y = random_flip(x, np.random.default_rng(901), p=0.0)
        check.close(y, before, what=f"random_flip, x {shape}, p=0")
    x = rng.random((6, 5, 3, 2)).astype(np.float32).transpose(0, 2, 3, 1)
    before = x.copy()
    mirrored = before[..., ::-1].astype(float)
    y = random_flip(x, np.random.default_rng(902), 1.0)
    check.close(y, mirrored, what="random_flip of a transposed float32 array", rtol=1e-4)
    check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="random_flip" part="draws" points=1
# 400 pictures, p = 0.5: each is itself or its mirror image, about half of them are mirrored
_x = np.tile(np.array([[[[0.0, 1.0]]]]), (400, 1, 1, 1))
_y = random_flip(_x, np.random.default_rng(0))
_flipped = np.asarray(_y)[:, 0, 0, 0] == 1
assert 130 < _flipped.sum() < 270, f"of 400 pictures {_flipped.sum()} were mirrored, p = 0.5"
del _x, _y, _flipped


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(903)
    x = rng.random((500, 2, 3, 4))
    mirrored = x[..., ::-1].copy()
    for number, p in enumerate((0.2, 0.5, 0.9)):
        y = np.asarray(random_flip(x.copy(), np.random.default_rng(904 + number), p=p))
        check.shape(y, x.shape, what="random_flip")
        as_is = np.isclose(y, x).all(axis=(1, 2, 3))
        turned = np.isclose(y, mirrored).all(axis=(1, 2, 3))
        assert np.all(as_is | turned), (
            "random_flip: a picture is neither itself nor its mirror image"
        )
        off = abs(turned.mean() - p) / np.sqrt(p * (1 - p) / 500)
        assert off < 6, f"random_flip, p={p}: {100 * turned.mean():.0f} % were mirrored"
        again = np.asarray(random_flip(x.copy(), np.random.default_rng(904 + number), p=p))
        check.close(again, y, what="random_flip with one seed, twice")
    rng = np.random.default_rng(908)
    one, other = (np.array(random_flip(x.copy(), rng)) for _ in range(2))
    assert not np.allclose(one, other), "random_flip: a second call with one rng repeats the first"
    other = np.asarray(random_flip(x.copy(), np.random.default_rng(909)))
    assert not np.allclose(one, other), "random_flip: two seeds, one result"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `random_crop`
#
# *8 minutes, easy. What it is for: AlexNet cut 224 x 224 out of 256 x 256, one picture gave thousands.*
#
# Cut a window of `size = (h, w)` out of each picture, at a place of its own. Every place where the window fits is equally likely: there are $(H - h + 1)(W - w + 1)$ of them.
#
# <details><summary>Hint</summary>
#
# `rng.integers(a, b)` never gives `b`. Check with $h = H$: there is one place, row 0.
#
# </details>


# %% exercise="random_crop"
def random_crop(x, rng, size):
    """Cut a window of size (h, w) out of each picture of x (N, C, H, W), anywhere -> (N, C, h, w)."""
    ### BEGIN SOLUTION
    h, w = size
    windows = []
    for picture in x:
        top = rng.integers(x.shape[2] - h + 1)
        left = rng.integers(x.shape[3] - w + 1)
        windows.append(picture[:, top : top + h, left : left + w])
    return np.stack(windows)
    ### END SOLUTION


# %% tests="random_crop" part="windows" points=1
# A window as large as the picture fits in one place only
_x = np.arange(12.0).reshape(1, 1, 3, 4) / 12
check.close(
    random_crop(_x, np.random.default_rng(0), (3, 4)), _x.copy(), what="window 3 x 4 of 3 x 4"
)
# 1 x 4 out of 3 x 4: one of the three rows
_y = np.asarray(random_crop(_x, np.random.default_rng(0), (1, 4)))
check.shape(_y, (1, 1, 1, 4), what="window 1 x 4")
assert any(np.allclose(_y[0, 0, 0], row) for row in _x[0, 0]), f"no row of the picture: {_y}"
del _x, _y


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(910)
    cases = (((6, 3, 5, 8), (2, 3)), ((4, 1, 6, 4), (6, 1)), ((5, 2, 4, 7), (3, 7)))
    for shape, (h, w) in (*cases, ((3, 4, 5, 5), (1, 1))):
        x = rng.random(shape)
        before = x.copy()
        y = random_crop(x, np.random.default_rng(911), (h, w))
        check.shape(y, (*shape[:2], h, w), what=f"random_crop, x {shape}, size=({h}, {w})")
        check.floating(y, what="random_crop")
        check.unchanged(before, x, what="x")
        for n, window in enumerate(np.asarray(y)):
            places = [
                (top, left)
                for top in range(shape[2] - h + 1)
                for left in range(shape[3] - w + 1)
                if np.allclose(before[n][:, top : top + h, left : left + w], window)
            ]
            assert places, (
                f"random_crop, x {shape}, size=({h}, {w}): picture {n} is no window of it"
            )
    x = rng.random((7, 3, 6, 2)).astype(np.float32).transpose(0, 3, 2, 1)
    before = x.copy()
    check.close(
        random_crop(x, np.random.default_rng(912), (6, 3)),
        before,
        what="a transposed float32 array",
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="random_crop" part="draws" points=1
# 300 times 1 x 1 out of 1 x 3 pixels: about 100 each
_x = np.tile(np.array([[[[0.1, 0.2, 0.3]]]]), (300, 1, 1, 1))
_y = np.asarray(random_crop(_x, np.random.default_rng(0), (1, 1)))
_counts = [int(np.isclose(_y, value).sum()) for value in (0.1, 0.2, 0.3)]
assert min(_counts) > 50, f"first, second, third pixel: {_counts} times, expected about 100 each"
del _x, _y, _counts


### BEGIN HIDDEN TESTS
def _hidden():
    # Every pixel tells its place: rows in the first channel, columns in the second
    place = np.stack(np.meshgrid(np.arange(5.0), np.arange(7.0), indexing="ij")) / 10
    x = np.tile(place, (1200, 1, 1, 1))
    y = np.asarray(random_crop(x, np.random.default_rng(913), (3, 4)))
    tops = np.rint(10 * y[:, 0, 0, 0]).astype(int)
    lefts = np.rint(10 * y[:, 1, 0, 0]).astype(int)
    for name, values, number in (("row", tops, 3), ("column", lefts, 4)):
        counts = np.bincount(values, minlength=number)
        fair = 1200 / number
        assert len(counts) == number, f"random_crop: windows start in {name} 0 to {len(counts) - 1}"
        assert np.abs(counts - fair).max() < 6 * fair**0.5, f"random_crop: first {name}s {counts}"
    assert len(set(zip(tops, lefts, strict=True))) == 12, "random_crop: some places never come"
    again = np.asarray(random_crop(x, np.random.default_rng(913), (3, 4)))
    check.close(again, y, what="random_crop with one seed, twice")
    rng = np.random.default_rng(914)
    one, other = (np.array(random_crop(x, rng, (3, 4))) for _ in range(2))
    assert not np.allclose(one, other), "random_crop: a second call with one rng repeats the first"
    assert not np.allclose(one, y), "random_crop: two seeds, one result"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `random_shift`
#
# *10 minutes, easy. What it is for: in part 10 you will see.*
#
# Move each picture by a number of rows and a number of columns, drawn independently from $-\text{most}, \dots, +\text{most}$, **both ends included**. Pixels that leave are lost. Zeros come in. (`np.roll` brings back on the right what has left on the left.) `most` is an int, at least 0 and less than $H$ and $W$.
#
# <details><summary>Hint 1</summary>
#
# Pad with `most` zeros on all four sides. Every shifted picture is a window of the padded one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# How many places are there per axis? For `most = 1`: three. `rng.integers(low, high)` leaves out `high`.
#
# </details>


# %% exercise="random_shift"
def random_shift(x, rng, most):
    """Move each picture of x (N, C, H, W) by -most ... most rows and columns; zeros come in."""
    ### BEGIN SOLUTION
    H, W = x.shape[2:]
    sides = (most, most)
    windows = []
    for picture in np.pad(x, ((0, 0), (0, 0), sides, sides)):
        top, left = rng.integers(2 * most + 1, size=2)
        windows.append(picture[:, top : top + H, left : left + W])
    return np.stack(windows)
    ### END SOLUTION


# %% tests="random_shift" part="places" points=1
# One row, most = 0: nothing moves
_x = np.array([[[[0.1, 0.2, 0.3]]]])
check.close(random_shift(_x, np.random.default_rng(0), 0), _x.copy(), what="random_shift, most = 0")
# 2 x 3 pixels, most = 1: there are nine results, and the corner of each tells which it is
_x = np.array([[[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]]])
_padded = np.pad(_x[0, 0], 1)
_nine = [_padded[i : i + 2, j : j + 3] for i in range(3) for j in range(3)]
for _seed in range(5):
    _y = np.asarray(random_shift(_x, np.random.default_rng(_seed), 1))
    check.shape(_y, (1, 1, 2, 3), what="random_shift")
    assert any(np.allclose(_y[0, 0], one) for one in _nine), f"not moved by -1, 0 or 1:\n{_y[0, 0]}"
del _x, _padded, _nine, _seed, _y


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(920)
    for shape, most in (
        ((20, 3, 5, 8), 2),
        ((20, 1, 6, 4), 3),
        ((20, 2, 4, 7), 1),
        ((3, 2, 5, 4), 0),
    ):
        x = 0.1 + 0.9 * rng.random(shape)
        before = x.copy()
        y = random_shift(x, np.random.default_rng(921), most)
        check.shape(y, shape, what=f"random_shift, x {shape}, most={most}")
        check.floating(y, what="random_shift")
        check.unchanged(before, x, what="x")
        H, W = shape[2:]
        for n, moved in enumerate(np.asarray(y)):
            found = False
            for down in range(-most, most + 1):
                for right in range(-most, most + 1):
                    expected = np.zeros(shape[1:])
                    rows = slice(max(down, 0), H + min(down, 0))
                    columns = slice(max(right, 0), W + min(right, 0))
                    from_rows = slice(max(-down, 0), H + min(-down, 0))
                    from_columns = slice(max(-right, 0), W + min(-right, 0))
                    expected[:, rows, columns] = before[n][:, from_rows, from_columns]
                    found = found or np.allclose(expected, moved)
            assert found, f"random_shift, x {shape}, most={most}: picture {n} is no shifted one"
    x = rng.random((7, 3, 6, 2)).astype(np.float32).transpose(0, 3, 2, 1)
    before = x.copy()
    check.close(
        random_shift(x, np.random.default_rng(922), 0), before, what="a transposed float32 array"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="random_shift" part="draws" points=1
# A single 1 in the middle of 3 x 3, 900 times, most = 1: it comes to each of the nine pixels about 100 times
_x = np.zeros((900, 1, 3, 3))
_x[:, 0, 1, 1] = 1
_counts = np.asarray(random_shift(_x, np.random.default_rng(0), 1)).sum(axis=(0, 1))
assert _counts.min() > 50, f"how often the 1 came to each pixel:\n{_counts}\nexpected about 100"
del _x, _counts


### BEGIN HIDDEN TESTS
def _hidden():
    for most, number in ((1, 900), (2, 1500)):
        H, W = 2 * most + 3, 2 * most + 5
        x = np.zeros((number, 2, H, W))
        x[:, :, most + 1, most + 2] = 1
        y = np.asarray(random_shift(x.copy(), np.random.default_rng(923), most))
        counts = y[:, 0].sum(axis=0)[1 : 2 * most + 2, 2 : 2 * most + 3]
        fair = number / (2 * most + 1) ** 2
        assert abs(counts.sum() - number) < 0.5, f"random_shift, most={most}: moved too far"
        assert np.abs(counts - fair).max() < 6 * fair**0.5, f"random_shift, most={most}: {counts}"
        check.close(y[:, 1], y[:, 0].copy(), what="random_shift: the second channel")
        again = np.asarray(random_shift(x.copy(), np.random.default_rng(923), most))
        check.close(again, y, what="random_shift with one seed, twice")
        rng = np.random.default_rng(924)
        one, other = (np.array(random_shift(x.copy(), rng, most)) for _ in range(2))
        assert not np.allclose(one, other), (
            "random_shift: a second call with one rng repeats the first"
        )
        assert not np.allclose(one, y), "random_shift: two seeds, one result"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `rotate`
#
# *25 minutes, hard. What it is for: a tilted camera, a sheet that lies askew. And looking backward from the result is how every picture is warped, on paper or on a GPU.*
#
# This one draws nothing. It gets the angles, `angles` of shape `(N,)` in **degrees**, one for each picture, **counter-clockwise** as you see it on the screen. So it can be tested exactly.
#
# **Look back.** Do not ask where each pixel goes: two may land in one place, and another place stays empty. Ask for each pixel of the *result* where it **came from**: turn its place by $-\theta$ around the middle of the picture, $(\frac{H-1}{2}, \frac{W-1}{2})$. Rows grow downward. With $d$ rows below and $r$ columns right of the middle, turned back:
#
# $$d' = d\cos\theta + r \sin\theta, \qquad r' = r\cos\theta - d\sin\theta .$$
#
# Check with $\theta = 90°$: the result's pixel on the right ($d=0$, $r=1$) came from $d'=1$, $r'=0$, from below. Turning counter-clockwise carries what is below to the right. So it does.
#
# **Between the pixels.** The place $(a, b)$ it came from falls between four pixels. Take their mean, weighted by nearness (**bilinear**). With $i = \lfloor a \rfloor$, $j = \lfloor b \rfloor$, $\alpha = a - i$, $\beta = b - j$:
#
# $$y = (1-\alpha)(1-\beta)\,x[i,j] + (1-\alpha)\,\beta\, x[i,j{+}1] + \alpha\,(1-\beta)\, x[i{+}1,j] + \alpha\,\beta\, x[i{+}1,j{+}1].$$
#
# Outside of the picture everything is 0, also a neighbour that lies outside.
#
# <details><summary>Hint 1: places</summary>
#
# `np.indices((H, W))` gives two arrays of shape `(H, W)`: the row and the column of every pixel. Subtract the middle.
#
# </details>
# <details><summary>Hint 2: outside</summary>
#
# Put one ring of zeros around the picture. A place that is farther out than the ring may as well be *on* the ring: `np.clip` the coordinates of the padded picture to $0 \dots H+1$ and $0 \dots W+1$. Then $i+1$ must not leave the array: let $i$ be $H$ at most.
#
# </details>
# <details><summary>Hint 3: reading many places at once</summary>
#
# `picture[:, i, j]` with integer arrays `i` and `j` of shape `(H, W)` gives `(C, H, W)`: the pixel `(i, j)` for every place. `np.floor(a).astype(int)`.
#
# </details>


# %% exercise="rotate"
def rotate(x, angles):
    """Turn each picture of x (N, C, H, W) around its middle by angles (N,), degrees, counter-clockwise.

    Bilinear, zeros outside, same size.
    """
    ### BEGIN SOLUTION
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # zeros outside; shifts each place by 1
    turned = []
    for picture, angle in zip(ring, np.radians(angles), strict=True):
        a = down * np.cos(angle) + right * np.sin(angle) + (H + 1) / 2
        b = right * np.cos(angle) - down * np.sin(angle) + (W + 1) / 2
        a, b = np.clip(a, 0, H + 1), np.clip(b, 0, W + 1)
        i, j = np.minimum(a.astype(int), H), np.minimum(b.astype(int), W)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j + 1]
        lower = (1 - b) * picture[:, i + 1, j] + b * picture[:, i + 1, j + 1]
        turned.append((1 - a) * upper + a * lower)
    return np.stack(turned)
    ### END SOLUTION


# %% tests="rotate" part="right_angles" points=1
# A quarter turn counter-clockwise: the right column becomes the upper row
_x = np.array([[[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]]])
check.close(
    rotate(_x, np.array([90.0])),
    np.array([[[[0.3, 0.6, 0.9], [0.2, 0.5, 0.8], [0.1, 0.4, 0.7]]]]),
    what="rotate by 90 degrees",
)
# Two pictures, each by its own angle
check.close(
    rotate(np.concatenate([_x, _x]), np.array([0.0, 180.0])),
    np.concatenate([_x, _x[:, :, ::-1, ::-1]]),
    what="rotate by 0 and 180 degrees",
)
del _x


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(930)
    for shape in ((4, 1, 5, 5), (4, 3, 6, 6), (4, 2, 3, 3)):
        x = rng.random(shape)
        before, angles = x.copy(), np.array([90.0, -90.0, 180.0, 360.0])
        expected = np.stack(
            [np.rot90(one, k, axes=(1, 2)) for one, k in zip(before, (1, 3, 2, 0), strict=True)]
        )
        check.close(
            rotate(x, angles), expected, what=f"rotate, x {shape}, angles 90, -90, 180, 360"
        )
        check.unchanged(before, x, what="x")
        check.unchanged(np.array([90.0, -90.0, 180.0, 360.0]), angles, what="angles")
    x = rng.random((3, 2, 4, 7))
    expected = np.stack([x[0], x[1, :, ::-1, ::-1], x[2]])
    check.close(rotate(x, np.array([0.0, 180.0, -360.0])), expected, what="rotate, 4 x 7")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="rotate" part="any_angle" points=2
# A single 1 in the middle of 3 x 3, turned by 45 degrees. The middle stays 1. The pixel right of it came from
# (0.707, 0.707) below and right of the middle, between four pixels: 0.293 * 0.293 = 0.0858 of the 1 is left.
_x = np.zeros((1, 1, 3, 3))
_x[0, 0, 1, 1] = 1
_share = (1 - np.sqrt(0.5)) ** 2
check.close(
    rotate(_x, np.array([45.0])),
    np.array([[[[0, _share, 0], [_share, 1, _share], [0, _share, 0]]]]),
    what="rotate a single 1 by 45 degrees",
)
del _x, _share


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(931)
    for shape in ((5, 1, 6, 6), (4, 3, 5, 8), (6, 2, 9, 4), (3, 1, 1, 5)):
        x = rng.random(shape)
        angles = rng.uniform(-180, 180, shape[0])
        angles[0] = 13.0
        H, W = shape[2:]
        expected = np.zeros(shape)
        for n, angle in enumerate(angles):
            # Complex plane: right is real, up is imaginary. Each pixel counts by its nearness.
            right, down = np.meshgrid(np.arange(W) - (W - 1) / 2, np.arange(H) - (H - 1) / 2)
            source = np.exp(-1j * np.radians(angle)) * (right - 1j * down)
            by_row = 1 - np.abs((H - 1) / 2 - source.imag[..., None] - np.arange(H))
            by_column = 1 - np.abs((W - 1) / 2 + source.real[..., None] - np.arange(W))
            near = np.maximum(by_row, 0), np.maximum(by_column, 0)
            expected[n] = np.einsum("abh,abw,chw->cab", *near, x[n])
        before, kept = x.copy(), angles.copy()
        check.close(rotate(x, angles), expected, what=f"rotate, x {shape}, angles {kept.round(1)}")
        check.unchanged(before, x, what="x")
        check.unchanged(kept, angles, what="angles")
        # A picture upside down, turned the other way, is the turned picture upside down
        thin = before.astype(np.float32)[:, :, ::-1]
        check.close(
            rotate(thin, -kept), expected[:, :, ::-1], what="rotate of a float32 view",
            rtol=1e-4, atol=1e-4,
        )  # fmt: skip


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `random_brightness`
#
# *6 minutes, easy. What it is for: clouds, lamps, and other people's cameras.*
#
# Multiply each picture by a factor of its own, uniform between $1 - \text{most}$ and $1 + \text{most}$ ($0 \le$ `most` $\le 1$), and cut off what is above 1.
#
# <details><summary>Hint</summary>
#
# One factor for a picture. Which shape makes $N$ factors broadcast over `(N, C, H, W)`? Then `np.clip` or `np.minimum`.
#
# </details>


# %% exercise="random_brightness"
def random_brightness(x, rng, most):
    """Multiply each picture of x (N, C, H, W) by its own factor from 1 - most to 1 + most; at most 1."""
    ### BEGIN SOLUTION
    factors = rng.uniform(1 - most, 1 + most, (len(x), 1, 1, 1))
    return np.minimum(x * factors, 1)
    ### END SOLUTION


# %% tests="random_brightness" part="factor" points=1
# most = 0.5: one factor for all pixels of the picture, between 0.5 and 1.5; nothing above 1
_x = np.array([[[[0.2, 0.4, 0.6]], [[0.1, 0.2, 1.0]]]])
_y = np.asarray(random_brightness(_x, np.random.default_rng(0), 0.5))
check.shape(_y, (1, 2, 1, 3), what="random_brightness")
_factor = float(_y[0, 0, 0, 0]) / 0.2
assert 0.5 <= _factor <= 1.5, f"the first pixel was multiplied by {_factor:.3f}"
check.close(_y, np.minimum(_x * _factor, 1), what="random_brightness, all pixels times one factor")
del _x, _y, _factor


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(940)
    for shape, most in (((30, 3, 4, 5), 0.3), ((30, 1, 6, 2), 0.8), ((30, 2, 3, 3), 1.0)):
        x = rng.random(shape)
        x[:, 0, 0, 0] = 0.1
        x[:, 0, 1, 1] = 1.0
        before = x.copy()
        y = random_brightness(x, np.random.default_rng(941), most)
        check.unchanged(before, x, what="x")
        factors = np.asarray(y)[:, 0, 0, 0].astype(float) / 0.1
        what = f"random_brightness, x {shape}, most={most}"
        assert factors.min() >= 1 - most - 1e-6, f"{what}: a factor of {factors.min():.3f}"
        assert factors.max() <= 1 + most + 1e-6, f"{what}: a factor of {factors.max():.3f}"
        expected = np.minimum(before * factors[:, None, None, None], 1)
        check.close(y, expected, what=what)
    x = rng.random((7, 3, 6, 2)).astype(np.float32).transpose(0, 3, 2, 1)
    before = x.copy()
    y = random_brightness(x, np.random.default_rng(942), 0.0)
    check.close(
        y, before.astype(float), what="random_brightness, most=0, a float32 view", rtol=1e-4
    )
    check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="random_brightness" part="draws" points=1
# 400 pictures of one pixel, 0.5, most = 0.5: about half get darker and half brighter, about evenly spread
_y = np.asarray(
    random_brightness(np.full((400, 1, 1, 1), 0.5), np.random.default_rng(0), 0.5)
).ravel()
_counts = [int(np.sum((_y >= 0.25 + 0.125 * k) & (_y < 0.375 + 0.125 * k))) for k in range(4)]
assert min(_counts) > 50, f"factors in four equal ranges: {_counts}, expected about 100 each"
del _y, _counts


### BEGIN HIDDEN TESTS
def _hidden():
    for most in (0.4, 0.9):
        x = np.full((1000, 2, 2, 1), 0.5)
        y = np.asarray(random_brightness(x.copy(), np.random.default_rng(943), most))
        factors = np.sort(y[:, 0, 0, 0]) / 0.5
        even = 1 - most + 2 * most * (np.arange(1000) + 0.5) / 1000
        assert np.abs(factors - even).max() < 0.2 * most, (
            f"random_brightness, most={most}: not uniform"
        )
        again = np.asarray(random_brightness(x.copy(), np.random.default_rng(943), most))
        check.close(again, y, what="random_brightness with one seed, twice")
        rng = np.random.default_rng(944)
        one, other = (np.array(random_brightness(x.copy(), rng, most)) for _ in range(2))
        assert not np.allclose(one, other), "random_brightness: a second call repeats the first"
        assert not np.allclose(one, y), "random_brightness: two seeds, one result"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `cutout`
#
# *10 minutes, medium. What it is for: a network that must not stare at one detail (T. DeVries and G. Taylor, 2017).*
#
# In each picture, draw a centre $(i, j)$, any of its $H \cdot W$ pixels with equal chance. Set a square of `size` x `size` pixels to 0 in all channels: rows $i - \lfloor \text{size}/2 \rfloor$ to $i - \lfloor \text{size}/2 \rfloor + \text{size} - 1$, columns likewise. What lies outside of the picture is left out, so that holes at the border are smaller. (DeVries and Taylor found this important: some pictures keep nearly everything.)
#
# <details><summary>Hint 1</summary>
#
# Work on a copy. A loop over its pictures is fine.
#
# </details>
# <details><summary>Hint 2: a trap of Python</summary>
#
# `row[-1:2]` does not start one before the beginning. It starts at the *last* element. Where could a negative start come from?
#
# </details>


# %% exercise="cutout"
def cutout(x, rng, size):
    """Set a square of size x size around a random pixel of each picture of x (N, C, H, W) to 0."""
    ### BEGIN SOLUTION
    y = x.copy()
    for picture in y:
        top = rng.integers(x.shape[2]) - size // 2
        left = rng.integers(x.shape[3]) - size // 2
        picture[:, max(top, 0) : top + size, max(left, 0) : left + size] = 0
    return y
    ### END SOLUTION


# %% tests="cutout" part="square" points=1
# size = 1: one pixel of each picture. size = 3: a square of 9 pixels, fewer at the border, never 0
_y = np.asarray(cutout(np.ones((50, 2, 4, 5)), np.random.default_rng(0), 1))
check.close(
    (_y == 0).sum(axis=(2, 3)), np.ones((50, 2), dtype=int), what="zeros per channel, size 1"
)
_y = np.asarray(cutout(np.ones((200, 1, 4, 5)), np.random.default_rng(0), 3))
_zeros = sorted(set((_y == 0).sum(axis=(1, 2, 3)).tolist()))
check.equal(_zeros, [4, 6, 9], what="numbers of zeros in 200 pictures of 4 x 5, size 3")
del _y, _zeros


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(950)
    for shape, size in (
        ((60, 3, 5, 8), 3),
        ((60, 1, 6, 4), 2),
        ((60, 2, 4, 7), 4),
        ((60, 1, 5, 5), 5),
    ):
        x = 0.1 + 0.9 * rng.random(shape)
        before = x.copy()
        y = cutout(x, np.random.default_rng(951), size)
        check.shape(y, shape, what=f"cutout, x {shape}, size={size}")
        check.floating(y, what="cutout")
        check.unchanged(before, x, what="x")
        H, W = shape[2:]
        rows, columns = np.indices((H, W))
        holes = []
        for i in range(H):
            for j in range(W):
                top, left = i - size // 2, j - size // 2
                inside = (rows >= top) & (rows < top + size)
                holes.append(inside & (columns >= left) & (columns < left + size))
        for n, cut in enumerate(np.asarray(y)):
            good = any(np.allclose(np.where(hole, 0, before[n]), cut) for hole in holes)
            assert good, f"cutout, x {shape}, size={size}: picture {n} has no such square"
        smallest = (np.asarray(y)[:, 0] == 0).sum(axis=(1, 2)).min()
        assert smallest < size**2, f"cutout, x {shape}, size={size}: no square crosses the border"
    x = (0.1 + 0.9 * rng.random((7, 3, 6, 2))).astype(np.float32).transpose(0, 3, 2, 1)
    before = x.copy()
    y = np.asarray(cutout(x, np.random.default_rng(952), 2))
    check.close(y[y != 0], before[y != 0], what="cutout of a float32 view, outside of the hole")
    check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="cutout" part="draws" points=1
# 900 pictures of 3 x 3, size 1: each pixel is cut about 100 times
_y = np.asarray(cutout(np.ones((900, 1, 3, 3)), np.random.default_rng(0), 1))
_counts = (_y == 0).sum(axis=(0, 1))
assert _counts.min() > 50, f"how often each pixel was cut:\n{_counts}\nexpected about 100"
del _y, _counts


### BEGIN HIDDEN TESTS
def _hidden():
    for size in (1, 2, 3):
        H, W, number = 4, 5, 2000
        y = np.asarray(cutout(np.ones((number, 1, H, W)), np.random.default_rng(953), size))
        expected = np.zeros((H, W))
        for i in range(H):
            for j in range(W):
                top, left = i - size // 2, j - size // 2
                expected[max(top, 0) : top + size, max(left, 0) : left + size] += number / (H * W)
        counts = (y == 0).sum(axis=(0, 1))
        off = np.abs(counts - expected) / np.sqrt(expected)
        assert off.max() < 6, f"cutout, size={size}: centres are not equally likely"
        again = np.asarray(cutout(np.ones((number, 1, H, W)), np.random.default_rng(953), size))
        check.close(again, y, what="cutout with one seed, twice")
        rng = np.random.default_rng(954)
        one, other = (np.array(cutout(np.ones((60, 1, H, W)), rng, size)) for _ in range(2))
        assert not np.allclose(one, other), "cutout: a second call with one rng repeats the first"
        other = np.asarray(cutout(np.ones((60, 1, H, W)), np.random.default_rng(955), size))
        assert not np.allclose(one, other), "cutout: two seeds, one result"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `augment`
#
# *5 minutes, easy. What it is for: a recipe is a list.*
#
# `steps` is a list of functions `step(x, rng)`. Apply them in their order, each to the result of the one before, and all with the same `rng`. An empty list changes nothing.
#
# <details><summary>Hint</summary>
#
# A loop of two lines. Which variable must each step get?
#
# </details>


# %% exercise="augment"
def augment(x, rng, steps):
    """Apply each function step(x, rng) of steps, in order, to the result of the one before."""
    ### BEGIN SOLUTION
    for step in steps:
        x = step(x, rng)
    return x
    ### END SOLUTION


# %% tests="augment" points=1
# First double, then add 0.1: 2 * 0.2 + 0.1 = 0.5. (The other order would give 0.6.)
check.close(
    augment(
        np.full((1, 1, 1, 2), 0.2),
        np.random.default_rng(0),
        [lambda x, rng: 2 * x, lambda x, rng: x + 0.1],
    ),
    np.full((1, 1, 1, 2), 0.5),
    what="augment with two steps",
)
check.close(
    augment(np.full((1, 1, 1, 2), 0.2), np.random.default_rng(0), []),
    np.full((1, 1, 1, 2), 0.2),
    what="augment without steps",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(960)
    for shape in ((2, 3, 4, 5), (1, 1, 6, 3)):
        x = rng.random(shape)
        before = x.copy()
        steps = [lambda v, _: v + 1, lambda v, _: v * v, lambda v, _: v[:, :, ::-1] - 3]
        expected = ((x + 1) ** 2)[:, :, ::-1] - 3
        check.close(
            augment(x, np.random.default_rng(1), steps), expected, what="augment, three steps"
        )
        check.unchanged(before, x, what="x")
        expected = x[..., 1:].copy()
        result = augment(x, np.random.default_rng(1), [lambda v, _: v[..., 1:]])
        check.close(result, expected, what="augment, one step")

    @check.remote
    def noisy(function, x, start):
        def add(v, dice):
            return v + dice.random(v.shape)

        dice = np.random.default_rng(start)
        once = function(x, dice, [add, add])
        return once, function(x, dice, [add])

    x = np.zeros((2, 1, 3, 2))
    draws = np.random.default_rng(961).random((3, 2, 1, 3, 2))
    expected = draws[0] + draws[1], draws[2]
    result = noisy(augment, x, 961)
    check.close(
        result, expected, what="augment", names=("two steps that draw from rng", "next call")
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Eight digits, and what each function makes of them.
#
# **Predict.** Which rows are label-preserving *for digits*?

# %% figure="gallery"
sample = canvases[:8]
recipes = {
    "as it is": [],
    "flip": [lambda x, rng: random_flip(x, rng, 1.0)],
    "crop": [lambda x, rng: random_crop(x, rng, (9, 9))],
    "shift": [lambda x, rng: random_shift(x, rng, 2)],
    "rotate": [lambda x, rng: rotate(x, rng.uniform(-30, 30, len(x)))],
    "brightness": [lambda x, rng: random_brightness(x, rng, 0.7)],
    "cutout": [lambda x, rng: cutout(x, rng, 4)],
}
fig, axes = plt.subplots(len(recipes), 8, figsize=(6, 5), layout="constrained")
for line, (name, steps) in zip(axes, recipes.items(), strict=True):
    pictures = augment(sample, np.random.default_rng(seed + 1), steps)
    for ax, picture in zip(line, pictures, strict=True):
        show(ax, picture[0], "")
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Seven rows of eight handwritten digits 0 to 7: as they are, mirrored, cut to 9 by 9 pixels, moved, turned by up to 30 degrees, with other brightness, and with a black square of 4 by 4 pixels.](figures/gallery.png)
#
# Shift, small rotations and brightness preserve the label. A flip does not: the mirrored 2, 3, 5 and 7 are no digits. A crop of 9 x 9 may cut a digit to pieces, and a square of 4 x 4 may swallow the stroke that tells a 1 from a 7. For photographs of animals, flips and crops are the first two lines of every recipe.
#
# </details>
#
# **How far may you turn?** Digits in the middle of the canvas, 200 to learn, rotations by up to 15, 60, 180 degrees. The test digits stand upright.
#
# **Predict.** Which two digits suffer most when training goes up to 180 degrees?

# %% figure="six_or_nine"
turns = [0, 15, 60, 180]


def turned_accuracy(number, most):
    """Accuracy (%) on 6 and 9, and on the other eight, after training with turns by up to `most`."""
    order = np.random.default_rng(number).permutation(len(labels))
    learn, test = order[:200], order[300:1300]
    rng = np.random.default_rng(number)
    net = small_net(he_init, rng)

    def turn(x, rng):
        """Turn each picture by an angle of its own."""
        return rotate(x, rng.uniform(-most, most, len(x)))

    change = turn if most else None
    train(net, centred[learn], labels[learn], rng, 35, lr=4e-3, batch_size=50, change=change)
    net.training = False
    right = net.forward(centred[test]).argmax(axis=1) == labels[test]
    sixes = np.isin(labels[test], (6, 9))
    return [100 * float(np.mean(right[part])) for part in (sixes, ~sixes)]


turn_seeds = range(6 if profile == "full" else 3)
by_turn = np.array([[turned_accuracy(k, most) for k in turn_seeds] for most in turns])
fig = plt.figure(figsize=(7, 2.5), layout="constrained")
grid = fig.add_gridspec(1, 4, width_ratios=[1, 1, 1, 2.6])
six = centred[labels == 6][4:5]
for column, angle in enumerate((0, 90, 180)):
    ax = fig.add_subplot(grid[column])
    show(ax, rotate(six, np.array([angle]))[0, 0], f"a 6, by {angle}°")
ax = fig.add_subplot(grid[3])
for number, name in enumerate(("6 and 9", "the other eight")):
    style, colour = ("o-", "s--")[number], ("C0", "C1")[number]
    ax.plot(range(4), by_turn[:, :, number].mean(axis=1), style, color=colour, label=name)
    ax.plot(range(4), by_turn[:, :, number], style[0], color=colour, markersize=3, alpha=0.5)
ax.set(xticks=range(4), xticklabels=turns, xlabel="turned in training by up to (degrees)")
ax.set(ylabel="test accuracy (%)\n(small: single draws)", ylim=(30, 100))
ax.set(title="How far may you turn a digit?")
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A handwritten 6 upright, turned by 90 degrees, and turned by 180 degrees, where it looks like a 9. Beside it test accuracy against the largest rotation in training: the accuracy of 6 and 9 falls more at 180 degrees than that of the other digits.](figures/six_or_nine.png)
#
# 6 and 9. From 180 degrees on, the same picture comes with both labels, and no network can learn both. The others lose accuracy as well: they must be recognised at every angle by the same few units. Three draws of 200 digits (six in the full profile) are few. On average 6 and 9 lose clearly more than the rest, but not in every draw: look at the small marks and at the next cell. A little turning (15 degrees) does no harm. The function `rotate` is the same throughout. It is the *range* that makes it label-changing.
#
# </details>

# %%
for most, draws_69 in zip(turns, by_turn, strict=True):
    pair, others = draws_69.mean(axis=0)
    print(
        f"turned by up to {most:>3}: 6 and 9 {pair:5.1f} %, the other eight {others:5.1f} %", end=""
    )
    print(f"   (mean of {len(turn_seeds)} draws, 1,000 test digits each)")
lost = by_turn[0] - by_turn[3]  # (draws, 2)
print("lost between 0 and 180 degrees, 6 and 9 | the others, draw by draw:")
print(lost.round(1).tolist())
assert lost[:, 0].mean() > 20
assert lost[:, 0].mean() > 1.2 * lost[:, 1].mean()

# %% [markdown]
# ## 10. Both failures, cured and counted
#
# ### The network that never began
#
# The same fifty layers, the same digits, Adam with the same learning rate of 0.0003. Only the first random numbers differ.
#
# **Predict.** Xavier's weights are 1.4 times smaller than He's. After 100 steps, what is the loss of each?

# %% figure="cured_depth"
deep_losses, deep_accuracy = dict(first_losses), {}
epochs = 60 if profile == "full" else 18
for name, init in {"Xavier": xavier_init, "He": he_init}.items():
    rng = np.random.default_rng(seed)
    net = dense_net(deep_sizes, init, rng)
    rounds = epochs if name == "He" else 5
    deep_losses[name] = train(net, rows[:1000], labels[:1000], rng, rounds, lr=3e-4, batch_size=50)
    parts = (rows[:1000], labels[:1000]), (rows[1000:], labels[1000:])
    deep_accuracy[name] = [accuracy(net, *part) for part in parts]
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for (name, values), style in zip(deep_losses.items(), (":", "-.", "--", "-"), strict=True):
    smooth = np.convolve(np.clip(values, 0, 1e3), np.ones(20) / 20, mode="valid")
    ax.plot(np.arange(len(smooth)) + 20, smooth, style, label=name, lw=3 if style == ":" else 1.5)
ax.axhline(np.log(10), color="gray", linewidth=0.5)
ax.set(xlabel="step (loss: mean of 20 steps)", ylabel="training loss", ylim=(0, 4))
ax.set(title="Fifty layers (thin line: guessing)")
ax.legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss against steps: small weights and Xavier stay on the line of guessing, weights of standard deviation 1 are outside of the picture, He falls to well below 1.](figures/cured_depth.png)
#
# Xavier is still guessing. Its gradients arrive with a mean square of $10^{-16}$ of what they should be. Adam divides by their size, and so repairs much, but what is to be learned from scores that do not depend on the picture? He learns. Not fast, and you know why from part 4: all digits arrive in nearly the same direction. The cure of *that* is unit 08.
#
# Is the comparison fair? The learning rate is one that suits He: it was picked among several. But Xavier was tried with 0.00001, 0.0001, 0.001, 0.003 and 0.01 as well, 160 steps each, and stayed at guessing with all of them. He learned with 0.0001, 0.001 and 0.003, too (240 steps, one seed each).
#
# </details>

# %%
for name, (train_percent, test_percent) in deep_accuracy.items():
    print(f"{name:<7} {len(deep_losses[name]):>4} steps   training {train_percent:.1f} %", end="")
    print(f"   test {test_percent:.1f} % (n = 797)")
assert deep_accuracy["Xavier"][1] < 20
assert deep_accuracy["He"][0] > 80
assert deep_accuracy["He"][1] > 60

# %% [markdown]
# ### The network that learned by heart
#
# 100 digits, anywhere on the canvas; part 1 read about 30 % of the new ones. Now all your cures, each alone, with the same number of steps (early stopping decides for itself). And as a control, four of them for digits that stand in the *middle* of the canvas.
#
# **A fair race.** A cure with a badly chosen strength proves nothing. So each cure is tried at three or four strengths, and the one with the best accuracy on *validation* digits is taken. All of that happens among the first 900 digits. The accuracies that you will see come from the other 897, which no choice has looked at.
#
# **Predict.** Sort them. Which cure helps most, and by how much: L2, max-norm, dropout, early stopping, brightness, flips, shifts? Write the order down.

# %%
tried = {
    "nothing": (0,),
    "L2": (0.001, 0.01, 0.03, 0.1),
    "max-norm": (0.3, 0.5, 1.0, 2.0),
    "dropout": (0.2, 0.5, 0.8),
    "early stopping": (5, 20, 50),
    "brightness": (0.3, 0.6, 1.0),
    "flips": (0.1, 0.25, 0.5),
    "shifts": (1, 2, 3),
}
for_choosing, for_the_report = range(900), range(900, len(labels))


def cure_settings(name, strength):
    """The arguments of `cured` for a cure of this strength."""
    return {
        "nothing": {},
        "L2": {"penalty": lambda w: l2(w, strength)},
        "max-norm": {"after": lambda w: max_norm(w, strength)},
        "dropout": {"dropout": strength},
        "early stopping": {"patience": strength},
        "brightness": {"change": lambda x, rng: random_brightness(x, rng, strength)},
        "flips": {"change": lambda x, rng: random_flip(x, rng, strength)},
        "shifts": {"change": lambda x, rng: random_shift(x, rng, strength)},
    }[name]


def cured(number, pictures, pool, dropout=0.0, patience=0, **settings):
    """Validation and test accuracy of the small network after 300 steps on 100 pictures of pool."""
    learn, validate, test = split(number, pictures, pool)
    rng = np.random.default_rng(number)
    net = small_net(he_init, rng, Dropout(dropout, rng) if dropout else None)
    if patience:
        stopper = EarlyStopping(patience)

        def watch(net):
            """Stop on the validation loss."""
            net.training = False
            loss = cross_entropy(net.forward(validate[0]), validate[1])
            return stopper.update(loss, net.params)

        settings["watch"] = watch
    train(net, *learn, rng, 300, lr=8e-3, batch_size=100, **settings)
    if patience:
        for name, w in stopper.best_params.items():
            net.params[name][...] = w
    return accuracy(net, *validate), accuracy(net, *test)


# What the race among the first 900 digits chose; the full profile runs it again
chosen = {"nothing": 0, "L2": 0.001, "max-norm": 2.0, "dropout": 0.5}
chosen |= {"early stopping": 5, "brightness": 0.6, "flips": 0.5, "shifts": 3}
if profile == "full":
    for name, strengths in tried.items():
        validated = []
        for strength in strengths:
            settings = cure_settings(name, strength)
            runs = [cured(k, canvases, for_choosing, **settings)[0] for k in (100, 101, 102)]
            validated.append(float(np.mean(runs)))
        chosen[name] = strengths[int(np.argmax(validated))]
        print(f"{name:<15} {strengths}: validation {np.round(validated, 1)} %")

seeds = range(10 if profile == "full" else 3)
races = {name: cure_settings(name, strength) for name, strength in chosen.items()}
outcome = {
    f"{name}, {chosen[name]}" if chosen[name] else name: [
        cured(number, canvases, for_the_report, **settings)[1] for number in seeds
    ]
    for name, settings in races.items()
}
control = {
    name: [cured(number, centred, for_the_report, **races[name])[1] for number in seeds[:2]]
    for name in ("nothing", "dropout", "flips", "shifts")
}
print(f"test accuracy (%), 500 digits each{'anywhere':>16}{'in the middle':>18}")
for name, label in zip(races, outcome, strict=True):
    values = outcome[label]
    print(f"  {label:<18} {np.mean(values):24.1f} ({min(values):.1f} to {max(values):.1f})", end="")
    print(f"{np.mean(control[name]):12.1f}" if name in control else "")
print(f"n = {len(seeds)} seeds anywhere, {len(control['nothing'])} in the middle")

# %% figure="cured_digits"
fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
means = {name: float(np.mean(values)) for name, values in zip(races, outcome.values(), strict=True)}
colours = ["black"] + ["silver"] * (len(means) - 2) + ["C0"]
ax.barh(list(outcome), list(means.values()), color=colours, edgecolor="gray")
for place, values in enumerate(outcome.values()):
    ax.plot(values, [place] * len(values), "d", color="C1", markersize=4)
    ax.text(max(values) + 1.5, place, f"{np.mean(values):.0f} %", va="center", fontsize=8)
ax.axvline(means["nothing"], color="black", linewidth=1, linestyle=":")
ax.set(xlim=(0, 100), xlabel="test accuracy (%) on new digits (diamonds: seeds)")
ax.set(title="A hundred digits, one cure at a time")
ax.invert_yaxis()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A bar chart of test accuracy: nothing, L2, max-norm, dropout, brightness and flips all near 32 percent, early stopping at about half of that, shifts above 80 percent.](figures/cured_digits.png)
#
# Six cures do next to nothing, or harm. One lifts the accuracy from about 30 % to about 80 %. If you have put dropout first, you are in good company.
#
# Was it the strengths? On the validation digits (three draws), nothing reached 27 %, and no strength of L2, max-norm, dropout, brightness or flips more than 30 %. Shifts by 1, 2 and 3 reached 68, 77 and 81 %. The strongest L2 and the tightest limit fell to 10 or 11 %, which is guessing. The learning rate is 0.008 for all, as shifts need it: with 0.002 they reached 66 % at best, and no other cure did better than 29 %. This holds for this network, these strengths and 300 steps.
#
# The network's trouble was never the size of its weights. It did not know that a digit may stand anywhere, and *nothing in 100 digits and no penalty says so*. Shifts say it. Brightness is augmentation, too, 30,000 new pictures of it, and it says nothing that was missing. So it is not the *number* of new pictures that cures.
#
# Now the control. In the middle of the canvas the network reads about 90 %, and there was little left to cure. There you see what false or idle knowledge costs: flips take some percent away (a mirrored digit is none), and shifts as well, for they ask the network to be ready for what never comes.
#
# **A regularizer is a piece of knowledge.** L2 knows "small is likely". That is little, and it was the cure in part 5, where weights were huge. Shifts know the symmetry of the world. And now look back to unit 02: a convolution has that symmetry *built in*.
#
# </details>

# %%
assert means["shifts"] > 75
assert means["shifts"] > 2 * means["nothing"]
for name in ("L2", "max-norm", "dropout", "brightness", "flips"):
    assert abs(means[name] - means["nothing"]) < 6
assert np.mean(control["flips"]) < np.mean(control["nothing"]) - 1
assert np.mean(control["shifts"]) < np.mean(control["nothing"]) - 1
assert means["early stopping"] < means["nothing"] - 5

# %% [markdown]
# **Larger pictures.** If you have MNIST, its digits of 28 x 28 pixels run through the same lines in the full profile: 100 to learn, 2,000 to test, shifted by up to 3 pixels or not. MNIST's digits are centred with care. Predict first.

# %%
if profile == "full":
    try:
        big = mnist("train")
    except DataError as error:
        print(f"no MNIST here: {error}")
    else:
        big_x, big_y = big.images[:2100].astype(float), big.labels[:2100]
        for name, change in (
            ("nothing", None),
            ("shifts, 3", lambda x, rng: random_shift(x, rng, 3)),
        ):
            rng = np.random.default_rng(seed)
            layers = [Flatten(), Dense(784, 128, rng), ReLU(), Dense(128, 10, rng)]
            net = with_weights(Sequential(layers), he_init, rng)
            train(net, big_x[:100], big_y[:100], rng, 300, batch_size=50, change=change)
            print(
                f"MNIST, {name:<9} test {accuracy(net, big_x[100:], big_y[100:]):.1f} % (n = 2,000)"
            )

# %% [markdown]
# <details><summary>What came out here</summary>
#
# 71.4 % without shifts and 76.2 % with them (one run each, seed 0). Shifts help here too, but by five percent and not by fifty: most of what they could teach, the centring has done already. Yours may differ by some tenths.
#
# </details>

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Before training, only products count.** Each ReLU layer multiplies the variance by $\frac12 n \operatorname{Var}[w]$, so $\operatorname{Var}[w] = 2/n$. Fifty layers forgive ten percent in the weights and do not forgive forty. And weights must *differ*: zeros fail by symmetry.
# 2. **Dropout is an ensemble, exactly where the network is linear**: divide by $1-p$ in training, do nothing at inference.
# 3. **A regularizer is knowledge.** Ask what the network cannot know from its examples, and tell it that. Measure each cure alone, with a control.
#
# ## What to read
#
# - X. Glorot and Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010, section 4.2: eq. 10 to 12 and 16, and histograms like yours.
# - K. He, X. Zhang, S. Ren, J. Sun, *Delving Deep into Rectifiers*, ICCV 2015, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852), section 2.2: one page, eq. 10, 14 and 15.
# - B. Hanin and M. Nica, *Products of Many Large Random Matrices and Gradients in Deep Neural Networks*, 2018, [arXiv:1812.05994](https://arxiv.org/abs/1812.05994): luck, with proofs.
# - Y. Cho and L. Saul, *Kernel Methods for Deep Learning*, NeurIPS 2009: the geometry of one ReLU layer.
# - N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 2014; S. Wager, S. Wang, P. Liang, *Dropout Training as Adaptive Regularization*, 2013, [arXiv:1307.1493](https://arxiv.org/abs/1307.1493).
# - C. Bishop, *Training with Noise is Equivalent to Tikhonov Regularization*, Neural Computation 1995.
# - T. DeVries and G. Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017, [arXiv:1708.04552](https://arxiv.org/abs/1708.04552).
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, [chapter 7](https://www.deeplearningbook.org/contents/regularization.html).
#
# ## The road not taken
#
# Part 5 showed test error falling where every textbook's U says that it rises. Follow it, and you come to **double descent**: M. Belkin, D. Hsu, S. Ma, S. Mandal, *Reconciling modern machine-learning practice and the classical bias-variance trade-off*, 2019, [arXiv:1812.11118](https://arxiv.org/abs/1812.11118). P. Nakkiran and others, [arXiv:1912.02292](https://arxiv.org/abs/1912.02292), found it in residual networks, over width, over time and even over the number of examples, where more data can hurt. Another road leads away from choosing initial weights at all: orthogonal matrices, whose factor is exactly 1 in every direction (A. Saxe, J. McClelland, S. Ganguli, 2013, [arXiv:1312.6120](https://arxiv.org/abs/1312.6120)), or scaling each layer by what it is seen to do with a batch (D. Mishkin and J. Matas, 2015, [arXiv:1511.06422](https://arxiv.org/abs/1511.06422)). Carry that last idea one step on, and scale in *every* training step: that is batch normalization, the next unit.
