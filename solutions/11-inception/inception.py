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
#       memory_bytes: 4294967296
#       submission_seconds: 300
#     minutes: 300
#     prerequisites:
#     - 10-lenet-to-vgg
#     title: Inception
# ---

# %% [markdown]
# # Inception
#
# **300 minutes. You need unit 05 (depthwise and grouped convolutions), unit 08 (batch norm) and unit 10 (VGG, `layer_table`).**
#
# VGG asked one question per layer, at one scale: what is in these 3 x 3 places? Today each layer asks at several scales at once, and a 1 x 1 convolution in front of each question pays for it. You build the cell that does it and the network of 22 layers that won ImageNet 2014 with a twentieth of VGG's weights. Then you follow the idea to its end: kernels cut into a column and a row, cells with a shortcut, and a network that keeps channels and places apart altogether.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: three sizes side by side, and what they cost | 10 |
# | 2 | `inception_cost`: what a 1 x 1 bottleneck saves | 25 |
# | 3 | `InceptionCell`: four branches, drawn | 35 |
# | 4 | `GoogLeNet` from its table | 50 |
# | 5 | two more mouths: what auxiliary heads do, measured | 25 |
# | 6 | `separate`: n x n as n x 1 and 1 x n | 30 |
# | 7 | from v1 to v3, and `smooth_cross_entropy` | 25 |
# | 8 | `InceptionV3` | 45 |
# | 9 | `InceptionResNetV2Block` | 20 |
# | 10 | `Xception`: the idea at its end | 30 |
# | 11 | the thing done | 5 |

# %% [markdown]
# ## What your modules may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Shapes.** Pictures and feature maps are `x` of shape `(N, C, H, W)`, and $H$ and $W$ may differ. "Size" is $H \times W$. Logits are `(N, num_classes)`.
# - **Kinds of numbers, devices.** `x` is a floating tensor on any device. The result is on the same device and of the same dtype as the module's weights (`net.double()` makes them float64, and the result is float64 then). Do not move `x`, and do not look at its numbers: a network must also run on the `"meta"` device, where a tensor has a shape and no numbers.
# - **No argument is changed.** The result may share memory with an argument.
# - **What holds weights** is an `nn.Conv2d`, an `nn.BatchNorm2d` or an `nn.Linear`, so that tests (and you) can look in, and it is called as a module: `self.fc(x)`. Dropout is `nn.Dropout` or `F.dropout`. All else is free: `nn.Sequential` or a `forward` by hand, functional or module ReLU, your own names. Only names that a docstring promises are binding, and the arguments of `__init__`, which each stub gives.
# - **Each convolution** has no bias, is followed by batch norm with `eps=1e-3` and then by a ReLU, and is padded so that stride 1 keeps the size, unless the text says otherwise. Each `nn.Linear` has a bias. Initial values are PyTorch's.
# - **Modes.** `train()` and `eval()` differ where batch norm, dropout and auxiliary heads differ, and nowhere else.
# - **`num_classes`, `in_channels`** are any positive integers, and the images may have any size at which no map becomes empty.
# - **`width`** scales a network: *every* number of channels in a table, and of hidden units, is multiplied by it. It is a multiple of 1/8, and all products come out whole. `in_channels` and `num_classes` are not scaled.
# - **Parameters** are counted as PyTorch counts them: weights and biases, two per channel of a batch norm, running statistics not.
#
# Each exercise can be done without the ones before it. (Experiments use your modules together.)

# %% tags=["parameters"]
profile = "quick"  # "full" measures again what is stored, and trains on CIFAR-10 where it is found
seed = 0
device = ""  # "cuda", "cpu"; empty: a GPU if there is one

# %% locked=true
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from previously import Stage, draw_stages, evaluate, layer_table
from torch import nn

from data import DataError, cifar10, glyphs, measured
from grader import check

device = device or ("cuda" if torch.cuda.is_available() else "cpu")
plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})

# %% locked=true
MAPS = {
    "3": 28,
    "4": 14,
    "5": 7,
}  # height and width of the maps in these cells, for 224 x 224 images


def parameters(net):
    """How many numbers of net are learned."""
    return sum(p.numel() for p in net.parameters())


# %% given=true
# Szegedy et al. 2014, table 1, the nine cells. Channels of: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection
GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# %% [markdown]
# ## 1. What could not be done until now
#
# A dog fills the picture, or it sits far off in a corner. Which kernel size is right for its ear? Nobody knows beforehand, so take several: on the same map a 1 x 1, a 3 x 3 and a 5 x 5 convolution and a 3 x 3 max pooling, side by side. With the right padding all four answers have the same height and width. Stack them along the channels, and let the next layer choose. This is the *naive* inception cell (Szegedy and others 2014, figure 2a).
#
# Two bills come with it. A 5 x 5 kernel that looks at 192 channels has 4,800 weights, for one output channel. And the pooled map has as many channels as came in, so **each cell hands on more channels than it got**.
#
# **Predict.** Nine such cells, with as many 1 x 1, 3 x 3 and 5 x 5 filters as GoogLeNet has. The first gets 192 channels. How many channels come out of the ninth? How many weights do the nine have together? (VGG-16 has 14.7 million in all its convolutions.)


# %% figure="explosion"
def naive_stack(first=192):
    """Channels, millions of weights and of multiply-adds of each naive cell, one after another."""
    channels, rows = first, []
    for name, (n1, _, n3, _, n5, _) in GOOGLENET.items():
        weights = channels * (n1 + 9 * n3 + 25 * n5)
        channels = n1 + n3 + n5 + channels  # the pooled map comes out whole
        rows.append((name, channels, weights / 1e6, weights * MAPS[name[0]] ** 2 / 1e6))
    return rows


names, channels, millions, work = zip(*naive_stack(), strict=True)
fig, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
real = [n1 + n3 + n5 + p for n1, _, n3, _, n5, p in GOOGLENET.values()]
axes[0].plot(names, channels, "o-", label="naive cells")
axes[0].plot(names, real, "s--", label="GoogLeNet's table")
axes[0].set(xlabel="cell", ylabel="channels that come out", ylim=(0, None))
axes[0].legend()
axes[1].bar(names, millions, color="#33206b")
axes[1].set(
    xlabel="cell", ylabel="weights (million)", title=f"together {sum(millions):.1f} million"
)
plt.show()
print(
    f"channels after 5b: {channels[-1]}; weights {sum(millions):.1f} million; multiply-adds {sum(work) / 1000:.1f} billion"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the channels after each of nine cells: naive cells climb from 416 to 4,944, GoogLeNet's own table from 256 to 1,024. Right, the weights of each naive cell, rising from 0.4 to 28 million.](figures/explosion.png)
#
# 4,944 channels and 92.5 million weights, six times VGG-16's convolutions, although each filter bank is small. The weights of a cell grow with the channels that come in, and nobody ever lets a channel go. It would run, and nobody would want to train it. The cure is one line long: **put a 1 x 1 convolution in front of whatever is expensive.** Nine cells will cost 5.8 million then.
#
# </details>

# %%
assert channels[-1] == 4944
assert real[-1] == 1024
assert 92.4 < sum(millions) < 92.6

# %% [markdown]
# ## 2. Bottlenecks, and what they save
#
# A 1 x 1 convolution mixes the channels of each place and does not look around (unit 02). With fewer outputs than inputs it is a **bottleneck**: it sums the channels up in a few, and the large kernel works on the few. GoogLeNet's table calls it *reduce*. Behind the pooling the same trick is called *pool projection*.
#
# ```
#              ┌── 1 x 1, n1 ──────────────────────────┐
#              │                                       │
#   x ─────────┼── 1 x 1, r3 ──▶ 3 x 3, n3 ────────────┤  channels
#   C channels │                                       ├─────────▶  n1 + n3 + n5 + p
#              ├── 1 x 1, r5 ──▶ 5 x 5, n5 ────────────┤  side by side
#              │                                       │
#              └── 3 x 3 max pooling ──▶ 1 x 1, p ─────┘
# ```
#
# **Formula.** A $k \times k$ convolution from $a$ to $b$ channels has $a b k^2$ weights (no bias: a batch norm follows). With stride 1 and same padding each weight is used once at each of the $HW$ places, so it takes $a b k^2 H W$ multiply-adds. For the 5 x 5 branch:
#
# $$\underbrace{25\, C\, n_5}_{\text{direct}} \qquad\text{against}\qquad \underbrace{C\, r_5 + 25\, r_5\, n_5}_{\text{through a bottleneck}} .$$
#
# **By hand.** $C = 4$ channels on a map of 2 x 3, with $n_1 = 2$, $r_3 = 1$, $n_3 = 2$, $r_5 = 1$, $n_5 = 1$, $p = 1$.
#
# ```
#                   with bottlenecks                      without
# 1 x 1             4 * 2                      =   8      4 * 2           =   8
# 3 x 3             4 * 1  + 1 * 2 *  9        =  22      4 * 2 *  9      =  72
# 5 x 5             4 * 1  + 1 * 1 * 25        =  29      4 * 1 * 25      = 100
# pool              4 * 1                      =   4      no weights          0
# weights                                         63                        180
# multiply-adds     63 * 6                     = 378      180 * 6         = 1080
# channels out      2 + 2 + 1 + 1              =   6      2 + 2 + 1 + 4   =   9
# ```

# %% [markdown]
# ### Exercise: `inception_cost`
#
# *15 minutes, easy. What it is for: the one sum that decided what networks looked like for five years.*
#
# <details><summary>Hint 1</summary>
#
# Write the convolutions of the cell as a list of (inputs, outputs, kernel). The rest is one sum.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Without bottlenecks the list has three entries. Which channels come out of a pooling that nobody projects?
#
# </details>


# %% exercise="inception_cost"
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """Cost of an inception cell on a map (in_channels, height, width) -> weights, multiply_adds, out_channels.

    Weights of convolutions only: no bias, no batch norm. Every convolution keeps the size of the map. The third
    branch has a kernel of kernel x kernel. bottlenecks=False: the naive cell, in which the large kernels look at all
    in_channels and the pooled map comes out as it is; r3, r5 and p play no role then. All three are Python integers.
    """
    ### BEGIN SOLUTION
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 9 * r3 * n3 + kernel**2 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * width, n1 + n3 + n5 + p
    ### END SOLUTION


# %% tests="inception_cost" part="bottlenecks" points=1
# The table of the text: 4 channels, 2 x 3 places
check.equal(
    inception_cost(2, 3, 4, 2, 1, 2, 1, 1, 1),
    (63, 378, 6),
    what="inception_cost(2, 3, 4, 2, 1, 2, 1, 1, 1)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(1101)
    for _ in range(12):
        H, W, C, n1, r3, n3, r5, n5, p = (int(n) for n in rng.integers(2, 40, 9))
        kernel = int(rng.choice([3, 5, 7]))
        weights = C * (n1 + r3 + r5 + p) + r3 * n3 * 9 + r5 * n5 * kernel * kernel
        arguments = (H, W, C, n1, r3, n3, r5, n5, p)
        expected = (weights, H * W * weights, n1 + n3 + n5 + p)
        what = f"inception_cost{arguments}, kernel={kernel}"
        check.equal(inception_cost(*arguments, kernel=kernel), expected, what=what)
        if kernel == 5:
            check.equal(inception_cost(*arguments), expected, what=f"{what} (left out)")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="inception_cost" part="naive" points=1
# The right-hand column of the same table
check.equal(
    inception_cost(2, 3, 4, 2, 1, 2, 1, 1, 1, bottlenecks=False),
    (180, 1080, 9),
    what="inception_cost(2, 3, 4, 2, 1, 2, 1, 1, 1, bottlenecks=False)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(1102)
    for _ in range(12):
        H, W, C, n1, r3, n3, r5, n5, p = (int(n) for n in rng.integers(2, 40, 9))
        kernel = int(rng.choice([3, 5, 7]))
        weights = C * n1 + C * n3 * 9 + C * n5 * kernel * kernel
        arguments = (H, W, C, n1, r3, n3, r5, n5, p)
        expected = (weights, H * W * weights, C + n1 + n3 + n5)
        what = f"inception_cost{arguments}, kernel={kernel}, bottlenecks=False"
        got = inception_cost(*arguments, kernel=kernel, bottlenecks=False)
        check.equal(got, expected, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it, against the paper.** Table 1 of Szegedy and others (2014) gives "159K" parameters and "128M" operations for cell 3a, which works on 192 channels of 28 x 28.
#
# **Predict.** Which of the two numbers does your function give, exactly? And by what factor does the bottleneck make 3a and 5a cheaper?

# %%
for cell, C in (("3a", 192), ("5a", 832)):
    side = MAPS[cell[0]]
    lean = inception_cost(side, side, C, *GOOGLENET[cell])
    fat = inception_cost(side, side, C, *GOOGLENET[cell], bottlenecks=False)
    print(
        f"{cell}: {lean[0]:>9,} weights, {lean[1] / 1e6:6.1f} million multiply-adds, {lean[2]:>5} channels out"
    )
    print(
        f"    {fat[0]:>9,} weights, {fat[1] / 1e6:6.1f} million multiply-adds, {fat[2]:>5} channels out  without bottlenecks"
    )
    print(f"    {fat[0] / lean[0]:.1f} times as many weights")
    if cell == "3a":
        assert lean == (163_328, 128_049_152, 256)
        assert fat[0] == 387_072
        assert round(fat[0] / lean[0], 1) == 2.4
    else:
        assert round(lean[1] / 1e6, 1) == 51.1
        assert round(fat[0] / lean[0], 1) == 5.1
nine, C = 0, 192
for row in GOOGLENET.values():
    weights, _, C = inception_cost(1, 1, C, *row)
    nine += weights
print(f"nine cells: {nine:,} weights, {C} channels at the end")
assert 163_328 // 1024 == 159
assert C == 1024
assert 5.9e6 > nine > 5.8e6

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Both: 163,328 weights and 128,049,152 multiply-adds. So the paper's K is 1,024 ($163{,}328 = 159.5 \cdot 1024$), its M is a million, and its "ops" are multiply-adds. (Not every row of that table agrees as well. For 5a you get 51.1 million, and the paper says 54M.) The cell 3a becomes 2.4 times cheaper, 5a 5.1 times: the more channels come in, the more there is to save. That is why the bottleneck made *deep* networks of this kind possible, and not only smaller ones.
#
# Is information lost? Yes: 192 channels go through 16. You bet that neighbouring channels say similar things. Part 10 takes this bet to its end.
#
# </details>

# %% [markdown]
# ## 3. The cell
#
# Now as a module. Four branches work on the *same* map. Their results are concatenated along the channels, axis 1.
#
# **Same padding.** All four must have the same size, or they cannot be put side by side. With stride 1 a kernel of $k$ (odd) needs $(k-1)/2$ zeros on each side: 0 for 1, 1 for 3, 2 for 5. The pooling needs it as well: 3 x 3 with stride **1** and padding 1. It does not shrink anything; it asks "is this feature somewhere near?". (`nn.MaxPool2d(3)` has stride 3, as its stride is its kernel unless you say otherwise.)
#
# **5 x 5 or 3 x 3?** The paper says 5 x 5. The GoogLeNet in torchvision has a 3 x 3 in that place: a known slip of its code, kept because its published weights fit it. The parameter counts that people quote are torchvision's. So the size is an argument here, `kernel`.
#
# **Batch norm?** The paper of 2014 had none (batch norm is of 2015). It had biases, and AlexNet's local response normalization twice in the stem. torchvision's version, and nearly everybody's today, has batch norm and no bias. So has yours. These three layers come together so often that they are given:


# %% given=true
class ConvNormReLU(nn.Sequential):
    """Convolution without bias, batch norm (eps 1e-3), ReLU.

    kernel   an int, or a pair (height, width)
    padding  "same": (kernel - 1) / 2 on each side, so that stride 1 keeps the size; or an int
    """

    def __init__(self, in_channels, out_channels, kernel=1, stride=1, padding="same"):
        kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        if padding == "same":
            padding = tuple((k - 1) // 2 for k in kernel)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3),
            nn.ReLU(),
        )


# %% [markdown]
# ### Exercise: `InceptionCell`
#
# *25 minutes, medium. What it is for: a layer with more than one path. All that follows, in this unit and the next, is a network of paths.*
#
# Each of the six convolutions (also the reducing ones) is followed by batch norm and ReLU. In each branch the order is that of the picture in part 2: the bottleneck comes *before* the large kernel, and *behind* the pooling.
#
# <details><summary>Hint 1</summary>
#
# Each branch is an `nn.Sequential` of `ConvNormReLU`s, or a single one. Write its channels down from left to right.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cat(list_of_tensors, dim=...)`. If it complains about sizes, print the shape of each branch's result: which one has another size?
#
# </details>


# %% exercise="InceptionCell"
class InceptionCell(nn.Module):
    """(N, in_channels, H, W) -> (N, n1 + n3 + n5 + p, H, W), concatenated in this order:

    1 x 1 to n1;   1 x 1 to r3, 3 x 3 to n3;   1 x 1 to r5, kernel x kernel to n5;   3 x 3 max pooling, 1 x 1 to p.

    kernel is odd. Every convolution without bias, then batch norm (eps 1e-3), then ReLU. Szegedy et al. 2014, figure 2b.
    branches is an nn.ModuleList of the four, in this order; each takes the cell's input, forward calls each once, and
    their results, concatenated, are the cell's.
    """

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        ### BEGIN SOLUTION
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )
        ### END SOLUTION

    def forward(self, x):
        """Ask all four branches the same question."""
        ### BEGIN SOLUTION
        return torch.cat([branch(x) for branch in self.branches], dim=1)
        ### END SOLUTION


# %% tests="InceptionCell" part="shape" points=1
import torch as _torch

# 3 channels in; 2 + 4 + 3 + 5 come out, and the size stays
check.shape(
    InceptionCell(3, 2, 1, 4, 1, 3, 5)(_torch.zeros(2, 3, 7, 6)),
    (2, 14, 7, 6),
    what="InceptionCell(3, 2, 1, 4, 1, 3, 5) on x (2, 3, 7, 6)",
)
# Weights: 3*2 + (3*1 + 1*4*9) + (3*1 + 1*3*25) + 3*5 = 138; batch norms: 2 * (2 + 1 + 4 + 1 + 3 + 5) = 32
check.equal(
    sum(_p.numel() for _p in InceptionCell(3, 2, 1, 4, 1, 3, 5).parameters()),
    170,
    what="parameters of InceptionCell(3, 2, 1, 4, 1, 3, 5)",
)
del _torch


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def count(cell):
        return sum(p.numel() for p in cell.parameters())

    rng = np.random.default_rng(1111)
    for N, H, W, kernel in ((1, 5, 8, 5), (2, 4, 4, 3), (3, 1, 9, 7), (2, 6, 3, 1)):
        C, n1, r3, n3, r5, n5, p = (int(n) for n in rng.permutation(np.arange(2, 12))[:7])
        what = f"InceptionCell({C}, {n1}, {r3}, {n3}, {r5}, {n5}, {p}, kernel={kernel})"
        cell = InceptionCell(C, n1, r3, n3, r5, n5, p, kernel=kernel)
        y = cell(torch.zeros(N, C, H, W))
        check.shape(y, (N, n1 + n3 + n5 + p, H, W), what=f"{what} on x {(N, C, H, W)}")
        weights = C * (n1 + r3 + r5 + p) + 9 * r3 * n3 + kernel**2 * r5 * n5
        norms = 2 * (n1 + r3 + n3 + r5 + n5 + p)
        check.equal(count(cell), weights + norms, what=f"parameters of {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionCell" part="branches" points=2
@check.remote
def _silenced(cell, n, x):
    """The cell's answer in use, with the answer of branch n set to zero."""
    hook = cell.branches[n].register_forward_hook(lambda module, inputs, output: 0 * output)
    answer = cell.eval()(x)
    hook.remove()
    return answer.detach()


import torch as _torch

_cell = InceptionCell(3, 2, 1, 4, 1, 3, 5)
_x = _torch.randn(1, 3, 6, 5, generator=_torch.Generator().manual_seed(0))
# Branch 1 is the 3 x 3: silence it, and channels 2 to 5 are zero, and nothing else changes
_y, _without = _silenced(_cell, 0, _x), _silenced(_cell, 1, _x)
check.close(_without[:, 2:6], 0 * _y[:, 2:6], what="channels 2 to 5 with branches[1] silenced")
check.close(_without[:, 6:], _y[:, 6:], what="channels 6 to 13 with branches[1] silenced")
del _silenced, _torch, _cell, _x, _y, _without


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def answers(cell, x):
        """What the cell gives, what each of its branches gives, and the cell with each of them silenced."""
        cell.eval()
        found, calls = [cell(x)], [0]

        def silence(module, inputs, output):
            calls[0] += 1
            return 0 * output

        found += [one(x) for one in cell.branches]
        for one in list(cell.branches):
            hook = one.register_forward_hook(silence)
            found.append(cell(x))
            hook.remove()
        return [one.detach() for one in found], calls[0], len(cell.branches)

    dice = torch.Generator().manual_seed(1112)
    for C, widths, kernel, N, H, W in (
        (4, (3, 2, 5, 2, 4, 6), 5, 2, 6, 7),
        (3, (5, 3, 2, 1, 3, 4), 3, 1, 8, 5),
    ):
        n1, _, n3, _, n5, p = widths
        x = torch.randn(N, C, H, W, generator=dice)
        before = x.clone()
        cell = InceptionCell(C, *widths, kernel=kernel)
        found, calls, count = answers(cell, x)
        check.equal(count, 4, what="len(branches)")
        check.equal(calls, 4, what="calls of the four branches in four passes, one of each watched")
        whole, parts, silenced = found[0], found[1:5], found[5:]
        bounds = np.cumsum([0, n1, n3, n5, p])
        for n in range(4):
            own = slice(int(bounds[n]), int(bounds[n + 1]))
            check.close(whole[:, own], parts[n], what=f"channels {own} against branches[{n}](x)")
            expected = whole.clone()
            expected[:, own] = 0
            check.close(silenced[n], expected, what=f"the cell with branches[{n}] silenced")
        cell(x)
        check.unchanged(before, x)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionCell" part="values" points=2
@check.remote
def _eps(net):
    """What the batch norms of net add to a variance, each value once."""
    import torch

    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return tuple(sorted({m.eps for m in norms}))


import torch as _torch

# Before any learning each batch norm has mean 0 and variance 1 stored. No number is negative: each branch ends in a ReLU
_x = _torch.randn(2, 3, 6, 5, generator=_torch.Generator().manual_seed(0))
_cell = InceptionCell(3, 2, 1, 4, 1, 3, 5)
check.equal(_eps(_cell), (0.001,), what="eps of the batch norms in the cell, each value once")
_y = _cell.eval()(_x)
assert float(_y.detach().min()) >= 0, (
    "a negative number comes out: which branch does not end in a ReLU?"
)
# In training each batch norm measures the batch instead: the same map gives other numbers
assert not _torch.equal(_cell.train()(_x), _y), (
    "train() and eval() give the same: where is the batch norm?"
)
del _torch, _eps, _cell, _x, _y


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    @check.remote
    def gradients(cell, x):
        """How large the gradient of each parameter is."""
        cell.double().train()
        (cell(x) ** 2).sum().backward()
        return [float(p.grad.abs().max()) for p in cell.parameters()]

    dice = torch.Generator().manual_seed(1113)
    for (C, n1, r3, n3, r5, n5, p), kernel, (N, H, W) in (
        ((4, 3, 2, 5, 6, 7, 8), 5, (2, 6, 7)),
        ((3, 8, 7, 6, 5, 4, 2), 3, (3, 5, 4)),
        ((5, 2, 9, 4, 3, 6, 7), 7, (2, 9, 8)),
    ):
        x = torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)
        for training in (False, True):
            three = unit(unit(x, r3, 1, training), n3, 3, training)
            five = unit(unit(x, r5, 1, training), n5, kernel, training)
            pooled = unit(F.max_pool2d(x, 3, 1, 1), p, 1, training)
            expected = torch.cat([unit(x, n1, 1, training), three, five, pooled], dim=1)
            arguments = (C, n1, r3, n3, r5, n5, p, kernel)
            what = f"InceptionCell{arguments}, training={training}, x {(N, C, H, W)}"
            cell = InceptionCell(C, n1, r3, n3, r5, n5, p, kernel=kernel)
            check.close(run(cell, x, training), expected, what=what)
        found = gradients(cell, x)
        assert min(found) > 0, f"{what}: no gradient reaches {found.count(0.0)} parameters"
    # kernel left out is 5
    x = torch.randn(2, 3, 7, 6, generator=dice, dtype=torch.float64)
    expected = unit(unit(x, 4, 1, False), 6, 5, False)
    y = run(InceptionCell(3, 2, 5, 7, 4, 6, 8), x, False)
    check.close(y[:, 9:15], expected, what="the third branch of InceptionCell(3, 2, 5, 7, 4, 6, 8)")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it: four answers to one picture.** The hooks below hang on your module's `branches`. Above, the picture is a single bright dot, and all weights are set to the same positive number. Then what lights up is where a branch *looks*. Below, it is a letter, and the weights are random, as they are at the start.
#
# **Predict.** Draw the four spots for the dot. The fourth branch has no large kernel. What does it make of a dot?


# %% figure="branches"
def branch_answers(cell, x):
    """What each of the four branches says to x, in use: four tensors."""
    answers, hooks = [], []
    for branch in cell.branches:
        hooks.append(branch.register_forward_hook(lambda m, inputs, output: answers.append(output)))
    with torch.no_grad():
        cell.eval()(x)
    for hook in hooks:
        hook.remove()
    return [answer.cpu() for answer in answers]


torch.manual_seed(seed)
cell = InceptionCell(1, 4, 4, 4, 4, 4, 4).to(device)
letter = torch.tensor(glyphs(1, "R", 28, seed=3, noise=0, affine=False).images)
dot = torch.zeros(1, 1, 11, 11)
dot[0, 0, 5, 5] = 1
letter_answers = branch_answers(cell, letter.to(device))
with torch.no_grad():
    for module in cell.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.fill_(1.0)
dot_answers = branch_answers(cell, dot.to(device))
fig, axes = plt.subplots(2, 5, figsize=(7, 2.9), layout="constrained")
titles = ["x", "1 x 1", "3 x 3", "5 x 5", "pool, 1 x 1"]
for row, (x, answers) in zip(axes, ((dot, dot_answers), (letter, letter_answers)), strict=True):
    row[0].imshow(x[0, 0], cmap="gray")
    for ax, answer in zip(row[1:], answers, strict=True):
        strongest = answer[0, answer[0].std(dim=(1, 2)).argmax()]  # the channel with most to say
        ax.imshow(strongest, cmap="viridis")
    for ax in row:
        ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[0], titles, strict=True):
    ax.set_title(title)
plt.show()
seen = [int((answer[0, 0] > 0).sum()) for answer in dot_answers]
print("places that a dot lights up:", dict(zip(titles[1:], seen, strict=True)))

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two rows. Above, a single dot and what four branches make of it: one place, a square of 3 by 3, a square of 5 by 5, again a square of 3 by 3. Below, the letter R and one channel of each branch: sharp for the 1 x 1, with edges for the 3 x 3, more smeared for the 5 x 5, thick for the pooling branch.](figures/branches.png)
#
# 1, 9, 25 and 9 places. The pooling branch copies the dot to all windows that contain it: it makes strokes thick. The next cell gets all four, and each of *its* branches may mix all four scales. After two cells the map holds answers of fields of 1, 3, 5, 7 and 9 pixels, and one learns which matter.
#
# </details>

# %%
check.equal(seen, [1, 9, 25, 9], what="places that light up")

# %% [markdown]
# ## 4. GoogLeNet
#
# Nine cells on a short stem. Follow one path and count the layers with weights: three in the stem, two in each of nine cells, the dense layer at the end. That is 22. Here is table 1 of Szegedy and others (2014) for images of 224 x 224; the nine rows in the middle are `GOOGLENET`, at the top of this lesson.
#
# | stage | what | output |
# |---|---|---|
# | `conv1` | convolution 7 x 7, stride 2, to 64 | 112 x 112 x 64 |
# | `pool1` | max pooling 3 x 3, stride 2 | 56 x 56 x 64 |
# | `conv2` | convolution 1 x 1 to 64, then 3 x 3 to 192 | 56 x 56 x 192 |
# | `pool2` | max pooling 3 x 3, stride 2 | 28 x 28 x 192 |
# | `3a`, `3b` | two cells | 28 x 28 x 256, x 480 |
# | `pool3` | max pooling 3 x 3, stride 2 | 14 x 14 x 480 |
# | `4a` to `4e` | five cells | 14 x 14 x 512, 512, 512, 528, 832 |
# | `pool4` | max pooling 3 x 3, stride 2 | 7 x 7 x 832 |
# | `5a`, `5b` | two cells | 7 x 7 x 832, x 1,024 |
# | | mean over all places, dropout with $p = 0.4$, dense layer to the classes | 1,024, then 1,000 |
#
# The `7 x 7` has padding 3. All poolings with stride 2 have padding 1 here, so that a map is halved and rounded up. (torchvision rounds up in another way, and its `pool4` is 2 x 2. At 224 all sizes agree.) No VGG-like dense layers of 100 million weights: each channel is averaged over its map, and one dense layer reads the 1,024 means.
#
# **Auxiliary heads.** Two more classifiers sit on the results of `4a` and `4d`, **only in training**. Each one: average pooling to 4 x 4 (`nn.AdaptiveAvgPool2d(4)`), a 1 x 1 convolution to 128 with batch norm and ReLU, flatten, dense to 1,024, ReLU, dropout with $p = 0.7$, dense to the classes. Their losses are added with weight 0.3. In use they are thrown away. What they are good for is the question of part 5.
#
# **A table is a program.** You wrote one cell by hand. From here on all cells are tables, and this reads them. It is given; read it once, slowly, for you will write three networks in its language.


# %% given=true
class Mixed(nn.Module):
    """Branches side by side on the same map, each a list of steps; their results concatenated along the channels.

    A step is one of
        (channels, kernel)      ConvNormReLU with stride 1 that keeps the size; kernel an int or (height, width)
        (channels, kernel, 2)   ConvNormReLU with stride 2, without padding
        "max", "avg"            3 x 3 pooling with stride 1 that keeps the size
        "max/2"                 3 x 3 max pooling with stride 2, without padding
        [steps, steps, ...]     a fork: branches again
    All channels are multiplied by width. out_channels tells how many come out.
    """

    def __init__(self, in_channels, branches, width=1.0):
        super().__init__()
        poolings = {
            "max": (nn.MaxPool2d, 1, 1),
            "avg": (nn.AvgPool2d, 1, 1),
            "max/2": (nn.MaxPool2d, 2, 0),
        }
        self.branches, self.out_channels = nn.ModuleList(), 0
        for steps in branches:
            channels, branch = in_channels, nn.Sequential()
            for step in steps:
                if isinstance(step, str):
                    pooling, stride, padding = poolings[step]
                    branch.append(pooling(3, stride, padding))
                elif isinstance(step, list):
                    fork = Mixed(channels, step, width)
                    branch.append(fork)
                    channels = fork.out_channels
                else:
                    outputs, kernel, *stride = step
                    outputs = round(outputs * width)
                    how = (2, 0) if stride == [2] else (1, "same")
                    branch.append(ConvNormReLU(channels, outputs, kernel, *how))
                    channels = outputs
            self.branches.append(branch)
            self.out_channels += channels

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        answers = [branch(x) for branch in self.branches]
        return torch.cat(answers, dim=1)


# %%
small = Mixed(3, [[(2, 1)], [(1, 1), (4, 3)], ["max", (5, 1)]])
print(small(torch.zeros(1, 3, 6, 7)).shape, small.out_channels)
halving = Mixed(3, [[(8, (1, 7)), (8, (7, 1)), (4, 3, 2)], ["max/2"]])
print(halving(torch.zeros(1, 3, 9, 11)).shape)
assert small.out_channels == 11
assert halving(torch.zeros(1, 3, 9, 11)).shape == (1, 7, 4, 5)

# %% [markdown]
# ### Exercise: `GoogLeNet`
#
# *45 minutes, hard. What it is for: reading a table of a paper until it runs, and knowing that it is right, as the count of its parameters is.*
#
# Build the cells with `Mixed`. (Your `InceptionCell` works as well, but then its mistakes count here, too.) The nine rows are in `GOOGLENET`; a loop over them is shorter than nine lines, and cannot be mistyped.
#
# With `kernel=3`, the default, you get torchvision's network, with `kernel=5` the paper's.
#
# <details><summary>Hint 1</summary>
#
# Put the stages into `self.stages` in a loop over the rows, and keep the number of channels in a variable: what comes out of one is what goes into the next.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In `forward` loop over `self.stages.items()`. After which names must you ask a head, and in which mode?
#
# </details>
# <details><summary>Hint 3</summary>
#
# The count is off by a few? Compare with the pieces: the dense layer at the end has 1,025,000 parameters, a head (without the classes' layer) 65,536 + 256 + 2,098,176 for `4a`. The convolution in front of a head has no bias. `layer_table(net, x)` of unit 10 on the `"meta"` device lists every layer.
#
# </details>


# %% exercise="GoogLeNet"
class GoogLeNet(nn.Module):
    """Szegedy et al. 2014 (arXiv:1409.4842), table 1, with batch norm: (N, in_channels, H, W) -> logits.

    kernel x kernel is the size of the third branch's large kernel. width scales all channels and hidden units.
    stages is an nn.ModuleDict, in order: conv1, pool1, conv2, pool2, 3a, 3b, pool3, 4a ... 4e, pool4, 5a, 5b; each
    takes the result of the one before.

    In training, with aux: (logits, aux_4a, aux_4d), all (N, num_classes); otherwise the logits alone.
    """

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
        ### BEGIN SOLUTION
        first, second = round(64 * width), round(192 * width)
        self.stages = nn.ModuleDict(
            {
                "conv1": ConvNormReLU(in_channels, first, 7, stride=2),
                "pool1": nn.MaxPool2d(3, 2, padding=1),
                "conv2": nn.Sequential(ConvNormReLU(first, first), ConvNormReLU(first, second, 3)),
                "pool2": nn.MaxPool2d(3, 2, padding=1),
            }
        )
        self.heads = nn.ModuleDict()
        channels = second
        for name, (n1, r3, n3, r5, n5, p) in GOOGLENET.items():
            if name in {"4a", "5a"}:
                self.stages["pool3" if name == "4a" else "pool4"] = nn.MaxPool2d(3, 2, padding=1)
            branches = [[(n1, 1)], [(r3, 1), (n3, 3)], [(r5, 1), (n5, kernel)], ["max", (p, 1)]]
            self.stages[name] = Mixed(channels, branches, width)
            channels = self.stages[name].out_channels
            if aux and name in {"4a", "4d"}:
                self.heads[name] = self.head(channels, num_classes, width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(channels, num_classes)
        )

    @staticmethod
    def head(channels, num_classes, width):
        """An auxiliary classifier on a map of so many channels."""
        narrow, hidden = round(128 * width), round(1024 * width)
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            ConvNormReLU(channels, narrow),
            nn.Flatten(),
            nn.Linear(16 * narrow, hidden),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(hidden, num_classes),
        )
        ### END SOLUTION

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        ### BEGIN SOLUTION
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits
        ### END SOLUTION


# %% tests="GoogLeNet" part="stages" points=2
@check.remote
def _sizes(GoogLeNet, side, **how):
    """{stage: shape of its result} for one image, computed without numbers."""
    import torch

    found = {}
    with torch.device("meta"):
        net = GoogLeNet(**how).eval()
        for name, stage in net.stages.items():
            stage.register_forward_hook(
                lambda module, inputs, output, name=name: found.update({name: tuple(output.shape)})
            )
        net(torch.zeros(1, 3, side, side))
    return found


_found = _sizes(GoogLeNet, 224)
check.equal(
    tuple(_found),
    (
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "3a",
        "3b",
        "pool3",
        "4a",
        "4b",
        "4c",
        "4d",
        "4e",
        "pool4",
        "5a",
        "5b",
    ),
    what="the names in stages, in the order in which they run",
)
for _name, _shape in {
    "conv1": (1, 64, 112, 112),
    "pool2": (1, 192, 28, 28),
    "3a": (1, 256, 28, 28),
    "4d": (1, 528, 14, 14),
    "5b": (1, 1024, 7, 7),
}.items():
    check.equal(_found[_name], _shape, what=f"the result of stage {_name} for 224 x 224")
del _sizes, _found, _name, _shape


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def trace(GoogLeNet, how, size):
        """Of every stage its result's shape, the convolutions in it as they ran, and whether its input is the last result."""
        import torch

        shapes, convolutions, chained = {}, {}, []
        nowhere = torch.device("meta")
        with nowhere:
            one = GoogLeNet(**how).eval()
            last = [None]
            for name, part in one.stages.items():

                def before(module, inputs, name=name):
                    chained.append(last[0] is None or inputs[0] is last[0])

                def after(module, inputs, output, name=name):
                    shapes[name] = tuple(output.shape)
                    last[0] = output

                part.register_forward_pre_hook(before)
                part.register_forward_hook(after)
                for module in part.modules():
                    if isinstance(module, torch.nn.Conv2d):
                        kind = (*module.weight.shape, *module.stride, module.groups)
                        convolutions.setdefault(name, []).append(kind)
            one(torch.zeros(2, how.get("in_channels", 3), *size))
        return shapes, convolutions, chained

    table = {
        name: [int(n) for n in row]
        for name, *row in (
            line.split()
            for line in """3a 64 96 128 16 32 32
                           3b 128 128 192 32 96 64
                           4a 192 96 208 16 48 64
                           4b 160 112 224 24 64 64
                           4c 128 128 256 24 64 64
                           4d 112 144 288 32 64 64
                           4e 256 160 320 32 128 128
                           5a 256 160 320 32 128 128
                           5b 384 192 384 48 128 128""".splitlines()
        )
    }

    def conv(outputs, inputs, k, stride=1):
        return (outputs, inputs, k, k, stride, stride, 1)

    for how, size in (
        ({}, (224, 224)),
        ({"in_channels": 2, "kernel": 5, "num_classes": 7}, (193, 130)),
        ({"width": 0.5, "aux": False}, (64, 96)),
    ):
        shapes, convolutions, chained = trace(GoogLeNet, how, size)
        assert all(chained), f"GoogLeNet({how}): a stage does not get the result of the one before"
        factor, kernel = how.get("width", 1), how.get("kernel", 3)
        (H, W), channels = size, how.get("in_channels", 3)
        names = [
            "conv1",
            "pool1",
            "conv2",
            "pool2",
            "3a",
            "3b",
            "pool3",
            "4a",
            "4b",
            "4c",
            "4d",
            "4e",
            "pool4",
            "5a",
            "5b",
        ]
        check.equal(tuple(shapes), tuple(names), what="the stages as they ran")
        for name in names:
            wanted = []
            if name == "conv1" or name.startswith("pool"):
                H, W = (H + 1) // 2, (W + 1) // 2
            if name == "conv1":
                wanted = [conv(int(64 * factor), channels, 7, 2)]
                channels = int(64 * factor)
            elif name == "conv2":
                new = int(192 * factor)
                wanted = [conv(channels, channels, 1), conv(new, channels, 3)]
                channels = new
            elif name in table:
                n1, r3, n3, r5, n5, p = (int(n * factor) for n in table[name])
                wanted = [conv(n, channels, 1) for n in (n1, r3, r5, p)]
                wanted += [conv(n3, r3, 3), conv(n5, r5, kernel)]
                channels = n1 + n3 + n5 + p
            what = f"stage {name} of GoogLeNet({how}), image {size}"
            check.equal(shapes[name], (2, channels, H, W), what=f"shape, {what}")
            got = tuple(sorted(convolutions.get(name, [])))
            check.equal(
                got, tuple(sorted(wanted)), what=f"(out, in, kernel, stride, groups), {what}"
            )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="GoogLeNet" part="count" points=1
@check.remote
def _count(GoogLeNet, **how):
    """How many parameters there are, without one number being drawn."""
    import torch

    with torch.device("meta"):
        return sum(p.numel() for p in GoogLeNet(**how).parameters())


check.equal(_count(GoogLeNet, aux=False), 6_624_904, what="parameters of GoogLeNet(aux=False)")
check.equal(_count(GoogLeNet), 13_004_888, what="parameters of GoogLeNet()")
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(GoogLeNet, how):
        import torch

        nowhere = torch.device("meta")
        with nowhere:
            return sum(weight.numel() for weight in GoogLeNet(**how).parameters())

    for how, expected in (
        ({}, 13_004_888),
        ({"aux": False}, 6_624_904),
        ({"aux": False, "kernel": 5}, 7_005_832),
        ({"kernel": 5}, 13_385_816),
        ({"num_classes": 10, "aux": False}, 6_624_904 - 990 * 1025),
        ({"num_classes": 10}, 13_004_888 - 3 * 990 * 1025),
        ({"in_channels": 1, "aux": False}, 6_624_904 - 2 * 64 * 49),
        ({"num_classes": 10, "in_channels": 1, "width": 0.125}, 161_142),
        ({"num_classes": 10, "in_channels": 1, "width": 0.25}, 631_734),
    ):
        check.equal(count(GoogLeNet, how), expected, what=f"parameters of GoogLeNet({how})")
        if not how:
            check.equal(count(GoogLeNet, {"num_classes": 1000, "in_channels": 3}), expected)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="GoogLeNet" part="heads" points=2
import torch as _torch

_net, _x = GoogLeNet(num_classes=5, in_channels=1, width=0.125), _torch.zeros(2, 1, 40, 48)
_out = _net.train()(_x)
check.equal(
    isinstance(_out, tuple), True, what="in training a tuple (logits, aux_4a, aux_4d) comes out"
)
check.equal(len(_out), 3, what="how many come out in training: (logits, aux_4a, aux_4d)")
for _one in _out:
    check.shape(_one, (2, 5), what="each of the three in training, 5 classes, 2 images")
check.shape(_net.eval()(_x), (2, 5), what="the logits alone in eval")
_net = GoogLeNet(num_classes=5, in_channels=1, aux=False, width=0.125)
check.shape(_net.train()(_x), (2, 5), what="the logits alone in training with aux=False")
del _torch, _net, _x, _out, _one


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def watched(GoogLeNet, how, training, x):
        """Rate and width of each dropout that is at work, number of dense layers that run, and each gradient's size."""
        import torch

        torch.manual_seed(0)
        net = GoogLeNet(**how).train(training)
        rates, dense, kept = [], [0], torch.nn.functional.dropout

        def dropout(x, p=0.5, training=True, inplace=False):
            rates.extend([(float(p), x.numel() // len(x))] if training and p else [])
            return x

        def ran(module, inputs, output):
            dense[0] += 1

        for module in net.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(ran)
        torch.nn.functional.dropout = dropout
        try:
            out = net(x)
        finally:
            torch.nn.functional.dropout = kept
        several = isinstance(out, tuple)
        sum((one**2).sum() for one in (out if several else (out,))).backward()
        sizes = [
            float("nan") if p.grad is None else float(p.grad.abs().max()) for p in net.parameters()
        ]
        return several, sorted(rates), dense[0], sum(not size > 0 for size in sizes)

    x = torch.randn(3, 2, 70, 64, generator=torch.Generator().manual_seed(1121))
    how = {"num_classes": 4, "in_channels": 2, "width": 0.125}
    for aux, training, rates, dense in (
        (True, True, [(0.4, 128), (0.7, 128), (0.7, 128)], 5),
        (True, False, [], 1),
        (False, True, [(0.4, 128)], 1),
        (False, False, [], 1),
    ):
        what = f"aux={aux}, training={training}"
        got = watched(GoogLeNet, {**how, "aux": aux}, training, x)
        check.equal(got[0], aux and training, what=f"a tuple comes out, {what}")
        check.equal(
            got[1],
            rates,
            what=f"(rate, how many numbers of an image) of each dropout at work, {what}",
        )
        check.equal(got[2], dense, what=f"dense layers that run, {what}")
        if training:
            check.equal(got[3], 0, what=f"parameters that no gradient reaches, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="GoogLeNet" part="values" points=3
@check.remote
def _alone(net, x):
    """The first image alone and among others, in use, after the batch norms have seen one batch."""
    import torch

    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    net.train()(x)
    net.eval()
    return net(x[:1]).detach(), net(x)[:1].detach()


import torch as _torch

# In use the answer to an image depends neither on the others in the batch nor on chance
_x = _torch.randn(3, 1, 40, 48, generator=_torch.Generator().manual_seed(0))
_one, _among = _alone(GoogLeNet(num_classes=5, in_channels=1, width=0.125), _x)
check.close(_one, _among, what="the first image alone, in eval", rtol=1e-3, atol=1e-3)
del _torch, _alone, _x, _one, _among


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from its shape, then net on x, without dropout -> what each stage gave, the answer."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            given = []
            hooks = [
                stage.register_forward_hook(lambda m, i, answer: given.append(answer.clone()))
                for stage in net.stages.values()
            ]
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return given, net(x)
            finally:
                torch.nn.functional.dropout = kept
                for hook in hooks:
                    hook.remove()

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def dense(x, outputs):
        shape = (outputs, x.shape[1])
        return F.linear(x, weight(shape), 0.2 * draw((outputs,), 6))

    def network(x, classes, kernel, width, training):
        def n(channels):
            return int(channels * width)

        def head(x):
            y = unit(F.adaptive_avg_pool2d(x, 4), n(128), 1, training).flatten(1)
            return dense(F.relu(dense(y, n(1024))), classes)

        def cell(x, n1, r3, n3, r5, n5, p):
            three = unit(unit(x, n(r3), 1, training), n(n3), 3, training)
            five = unit(unit(x, n(r5), 1, training), n(n5), kernel, training)
            pooled = unit(F.max_pool2d(x, 3, 1, 1), n(p), 1, training)
            return torch.cat([unit(x, n(n1), 1, training), three, five, pooled], dim=1)

        def halve(x):
            return F.max_pool2d(x, 3, 2, 1)

        given, extra = [unit(x, n(64), 7, training, 2)], []
        given.append(halve(given[-1]))
        given.append(unit(unit(given[-1], n(64), 1, training), n(192), 3, training))
        given.append(halve(given[-1]))
        for name, row in table.items():
            given.append(cell(given[-1], *row) if row else halve(given[-1]))
            if name in ("4a", "4d"):
                extra.append(head(given[-1]))
        return given, (dense(given[-1].mean(dim=(2, 3)), classes), *extra)

    table = {}
    for line in """3a 64 96 128 16 32 32;   3b 128 128 192 32 96 64;   pool3
                   4a 192 96 208 16 48 64;  4b 160 112 224 24 64 64;  4c 128 128 256 24 64 64
                   4d 112 144 288 32 64 64; 4e 256 160 320 32 128 128; pool4
                   5a 256 160 320 32 128 128; 5b 384 192 384 48 128 128""".replace(
        ";", "\n"
    ).splitlines():
        name, *row = line.split()
        table[name] = [int(channels) for channels in row]
    names = ["conv1", "pool1", "conv2", "pool2", *table]

    dice = torch.Generator().manual_seed(1122)
    for C, classes, kernel, width, (N, H, W), aux in (
        (1, 4, 3, 0.125, (3, 100, 83), True),
        (2, 3, 5, 0.25, (2, 131, 96), True),
        (3, 6, 5, 0.125, (2, 90, 110), False),
    ):
        x = torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)
        how = {"num_classes": classes, "in_channels": C, "kernel": kernel, "width": width}
        for training in (False, True):
            parts, expected = network(x, classes, kernel, width, training)
            what = f"GoogLeNet({how}, aux={aux}), training={training}, x {tuple(x.shape)}"
            given, got = run(GoogLeNet(**how, aux=aux), x, training)
            check.equal(len(given), len(names), what=f"stages that run, {what}")
            for name, one, part in zip(names, given, parts, strict=True):
                check.close(one, part, what=f"the result of {name}, {what}", rtol=1e-4, atol=1e-5)
            if aux and training:
                said = ("logits", "aux_4a", "aux_4d")
                check.close(got, expected, what=what, names=said, rtol=1e-4, atol=1e-5)
            else:
                check.close(got, expected[0], what=what, rtol=1e-4, atol=1e-5)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it: where is the weight, and where is the work?** `layer_table` runs your network on the `"meta"` device, where nothing is computed, and lists every layer. Here its rows are added up, stage by stage, and drawn.
#
# **Predict.** Which stage has most weights? Which takes most multiply-adds?


# %% figure="stages"
def by_stage(net, x):
    """The rows of layer_table added up: a Stage for each of net.stages, and one for all that stands behind them."""

    def sums(rows):
        return np.array([[row.parameters, row.multiply_adds] for row in rows]).sum(axis=0)

    whole, rows = layer_table(net, x), []
    for name, stage in net.stages.items():
        inside, x = layer_table(stage, x), stage(x)
        kind = "Conv2d" if sums(inside)[0] else inside[0].kind
        rows.append(Stage(name, kind, tuple(x.shape), *sums(inside).tolist()))
    behind = sums(whole) - sums(rows)
    return [*rows, Stage("dense", "Linear", whole[-1].shape, *behind.tolist())]


with torch.device("meta"):
    stages = by_stage(GoogLeNet(aux=False).eval(), torch.zeros(1, 3, 224, 224))
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
draw_stages(stages, ax)
plt.show()
weights = {row.name: row.parameters for row in stages}
work = {row.name: row.multiply_adds for row in stages}
total, operations = sum(weights.values()), sum(work.values())
for name in weights:
    if weights[name]:
        share, of_work = 100 * weights[name] / total, 100 * work[name] / operations
        print(f"{name:<6} {share:4.1f} % of the parameters, {of_work:4.1f} % of the multiply-adds")
print(f"{total:,} parameters, {operations / 1e9:.2f} billion multiply-adds for one image")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The stages of GoogLeNet as blocks whose height is that of the feature map, falling from 112 to 7. Under each block two bars, its share of the parameters and of the multiply-adds: parameters grow towards the end and are most in 5b, work is most in conv2.](figures/stages.png)
#
# From left to right: `conv1`, `pool1`, `conv2`, `pool2`, `3a` and so on. The weights sit at the end, where channels are many, and the work at the beginning, where places are many: `conv2` alone takes a quarter of it. 6.6 million parameters in all, a twenty-first of VGG-16's 138 million, and 1.5 billion multiply-adds, a tenth of VGG-16's 15.5.
#
# </details>

# %%
assert total == 6_624_904
assert round(138_357_544 / total) == 21
assert max(work, key=work.get) == "conv2"
assert 0.22 < work["conv2"] / operations < 0.28
assert max(weights, key=weights.get) == "5b"
assert 1.45e9 < operations < 1.55e9

# %% [markdown]
# **It learns.** All 22 layers at a quarter of the width, on characters of 32 x 32 pixels. Such a small picture is a single pixel by the time it reaches `5a`; the network does not mind. The loss has three terms: that of the logits, and 0.3 times that of each head.


# %%
def losses_of(outputs, y, weight=0.3, smoothing=0.0):
    """The loss of the logits plus weight times that of each head; outputs is a tensor or a tuple."""
    logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = F.cross_entropy(logits, y, label_smoothing=smoothing)
    return loss + weight * sum(
        F.cross_entropy(head, y, label_smoothing=smoothing) for head in heads
    )


def train_with_heads(net, x, y, *, epochs, lr=0.003, weight=0.3, seed=0, after_epoch=None):
    """Adam, one rise and fall of the rate up to lr, batches of 64 -> the loss of every step."""
    optimizer = torch.optim.Adam(net.parameters(), lr)
    batches = -(-len(x) // 64)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    dice, losses = torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        net.train()
        for batch in torch.randperm(len(x), generator=dice).split(64):
            loss = losses_of(net(x[batch]), y[batch], weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.detach())
        if after_epoch is not None:
            after_epoch(epoch)
    return torch.stack(losses).tolist()


def characters(n, seed):
    """n noisy digits of 32 x 32 pixels on the device: images (n, 1, 32, 32), labels (n,)."""
    drawn = glyphs(n, "0123456789", 32, seed=seed)
    return torch.tensor(drawn.images).to(device), torch.tensor(drawn.labels).to(device)


train_x, train_y = characters(1500, seed=1)
test_x, test_y = characters(1000, seed=2)
torch.manual_seed(seed)
reader = GoogLeNet(num_classes=10, in_channels=1, width=0.25).to(device)
newborn = copy.deepcopy(reader)  # as it was before it learned; part 6 looks back at it
reader_losses = train_with_heads(reader, train_x, train_y, epochs=5, seed=seed)
_, reached = evaluate(reader, test_x, test_y)
print(f"{parameters(reader):,} parameters in training, 1,500 characters, 5 epochs, seed {seed}")
print(f"test accuracy {100 * reached:.1f} %  (n = {len(test_y)})")
assert reached > 0.8

# %% [markdown]
# ## 5. Two more mouths
#
# Why the heads? In 2014 there was no batch norm. A gradient had to come back through 22 layers, and the authors feared that little of it would arrive. The heads feed gradient into the middle. "We would expect to encourage discrimination in the lower stages in the classifier, increase the gradient signal that gets propagated back, and provide additional regularization" (Szegedy and others 2014, section 5). A year later the same group looked again: "auxiliary classifiers did not result in improved convergence early in the training" (2015, section 4). Who is right? You have the network. Ask it.
#
# **The test.** One network, one batch, at the start. Compute the gradient twice: of the loss of the logits alone (weight 0), and of the loss with heads (weight 0.3). Same weights, same batch, same dropout; only the heads' terms differ. Do it once for your network and once for the same without its batch norms, as in 2014.
#
# **Predict.** For each of the two networks: by what factor do the heads raise the gradient at `conv1`? And at `5b`?


# %%
def bare(net):
    """net without its batch norms, as in 2014 -> net, changed."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return net


def gradient_by_stage(net, x, y, weight):
    """{stage: norm of the loss's gradient with respect to its weights}, the dice of dropout thrown alike each time."""
    torch.manual_seed(seed)
    net.train().zero_grad()
    losses_of(net(x), y, weight).backward()
    norms = {}
    for name, stage in net.stages.items():
        grads = [p.grad.flatten() for p in stage.parameters() if p.ndim == 4]
        if grads:
            norms[name] = float(torch.cat(grads).norm())
    return norms


gradients = {}  # {(has batch norm, weight): one {stage: norm} per seed}
for one in range(3):
    for has_norm in (False, True):
        torch.manual_seed(one)
        net = GoogLeNet(num_classes=10, in_channels=1, width=0.125)
        net = (net if has_norm else bare(net)).to(device)
        for weight in (0.0, 0.3):
            found = gradient_by_stage(net, train_x[:64], train_y[:64], weight)
            gradients.setdefault((has_norm, weight), []).append(found)


def factor(has_norm, stage):
    """By what the heads multiply the gradient of a stage, for each seed."""
    pairs = zip(gradients[has_norm, 0.3], gradients[has_norm, 0.0], strict=True)
    return [with_heads[stage] / without[stage] for with_heads, without in pairs]


for has_norm in (False, True):
    print("with batch norm:   " if has_norm else "without batch norm:", end=" ")
    for stage in ("conv1", "4a", "4d", "4e", "5b"):
        print(f"{stage} x {np.median(factor(has_norm, stage)):.3g}", end="   ")
    print("(median of 3 seeds)")

# %% figure="gradients"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharey=True)
stages = list(gradients[True, 0.0][0])
for ax, has_norm in zip(axes, (False, True), strict=True):
    for weight, style, label in ((0.0, "o:", "logits alone"), (0.3, "s-", "with heads on 4a, 4d")):
        runs = np.array([[run[s] for s in stages] for run in gradients[has_norm, weight]])
        (line,) = ax.plot(stages, np.median(runs, axis=0), style, markersize=4, label=label)
        for run in runs:
            ax.plot(stages, run, ".", color=line.get_color(), alpha=0.4, markersize=3)
    ax.set(
        yscale="log",
        xlabel="stage",
        title="with batch norm" if has_norm else "without batch norm (2014)",
    )
    ax.tick_params(axis="x", labelsize=6)
axes[0].set_ylabel("norm of the gradient")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The norm of the gradient for each of eleven stages, on a logarithmic axis. Left, without batch norm: with the logits alone it is near one millionth at all stages; with heads the stages up to 4a are lifted by two orders of magnitude, 4b to 4d by less, the rest not at all. Right, with batch norm: between 1 and 30, and the two lines lie on each other.](figures/gradients.png)
#
# **Without batch norm** there is next to no gradient, and the heads lift it about a hundredfold up to `4a`, two or three times at `4d`. From `4e` on nothing changes: a head cannot send gradient upwards. Did you expect a line that falls towards the input? It is level. The gradient of a weight is the product of what comes up to it and what comes back down. With PyTorch's small initial weights both shrink by a factor at each layer, and every stage has the same number of layers above and below together, so *all* starve alike. A head makes the way shorter, and each layer left out is one factor less. **With batch norm** there is nothing to cure: the factor is about 1.
#
# So the gradient that starved in 2014 did not starve any more in 2015, with batch norm. Does a larger gradient below make a network learn better? That is another question.
#
# </details>

# %%
assert min(factor(False, "conv1")) > 20
assert max(factor(True, "conv1")) < 1.2
assert np.abs(np.array(factor(False, "5b") + factor(True, "5b")) - 1).max() < 1e-3

# %% [markdown]
# **The experiment.** Train it, with heads (weight 0.3) and without (weight 0), from the same initial weights, with the same batches and the same dropout. Three kinds of network:
#
# - without batch norm, with PyTorch's small initial weights: the one whose gradient starves,
# - without batch norm, with He's initial weights (unit 07),
# - with batch norm.
#
# **Predict.** Three pairs of curves of test accuracy, epoch by epoch. Where is a pair apart: early, late, or nowhere? Which pair needs its heads?


# %%
def curve_of(kind, weight, one):
    """Test accuracy after each of 8 epochs of a small GoogLeNet; one is the seed of its weights and batches."""
    torch.manual_seed(one)
    net = GoogLeNet(num_classes=10, in_channels=1, width=0.125)
    if kind != "batch norm":
        net = bare(net)
    if kind == "none":
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    net, curve, (x, y) = net.to(device), [], characters(1500, seed=1)
    look = lambda epoch: curve.append(evaluate(net, test_x, test_y)[1])  # noqa: E731
    train_with_heads(net, x, y, epochs=8, weight=weight, seed=one, after_epoch=look)
    return curve


def heads_matter(one):
    """{which network: its curve} with batch norm, and with none but with He's initial weights, for the seed one."""
    pairs = [(kind, weight) for kind in ("none", "batch norm") for weight in (0.0, 0.3)]
    return {f"{kind}, weight {weight}": curve_of(kind, weight, one) for kind, weight in pairs}


def starved(one):
    """The same without batch norm and with PyTorch's small initial weights, whose gradient you saw starve."""
    return {f"weight {weight}": curve_of("small weights", weight, one) for weight in (0.0, 0.3)}


heads_runs = measured(
    "11-inception",
    "heads",
    heads_matter,
    seeds=range(3),
    on="glyphs, 1,500 for training and 1,000 for testing, GoogLeNet of width 1/8",
    device=device,
    again=profile == "full",
)
starved_runs = measured(
    "11-inception",
    "starved",
    starved,
    seeds=range(3),
    on="glyphs, 1,500 for training and 1,000 for testing, GoogLeNet of width 1/8",
    device=device,
    again=profile == "full",
)
print(heads_runs)
print(starved_runs)
curves = {name: 100 * np.array(heads_runs.column(name)) for name in heads_runs.rows[0]}
for name in starved_runs.rows[0]:
    curves[f"small weights, {name}"] = 100 * np.array(starved_runs.column(name))
for name, runs in curves.items():
    ends = ", ".join(f"{end:.1f}" for end in runs[:, -1])
    print(
        f"{name:<25} {runs[:, 1].mean():.1f} % after 2 epochs, {runs[:, -1].mean():.1f} % after 8 ({ends})"
    )

# %%
for weight in (0.0, 0.3):  # a small piece of it, live: two epochs with batch norm
    torch.manual_seed(seed)
    net = GoogLeNet(num_classes=10, in_channels=1, width=0.125).to(device)
    train_with_heads(net, train_x, train_y, epochs=2, weight=weight, seed=seed)
    print(f"here, weight {weight}: {100 * evaluate(net, test_x, test_y)[1]:.1f} % after 2 epochs")

# %% figure="heads"
titles = {"small weights": "small weights", "none": "He's weights", "batch norm": "with batch norm"}
fig, axes = plt.subplots(1, 3, figsize=(7, 2.5), layout="constrained", sharey=True)
for ax, (kind, title) in zip(axes, titles.items(), strict=True):
    for weight, style, label in ((0.0, "o:", "logits alone"), (0.3, "s-", "with heads")):
        runs = curves[f"{kind}, weight {weight}"]
        epochs = range(1, runs.shape[1] + 1)
        (line,) = ax.plot(epochs, runs.mean(axis=0), style, markersize=4, label=label)
        for run in runs:
            ax.plot(epochs, run, "-", color=line.get_color(), alpha=0.3, linewidth=0.8)
    ax.set(xlabel="epoch", title=title, ylim=(0, 100), xticks=range(1, 9))
axes[0].set_ylabel("test accuracy (%)")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Test accuracy over eight epochs, thick lines for the mean of three seeds, thin ones for each seed. Left, without batch norm and with small weights: both lines stay below 30 %, and their seeds lie far apart. Middle, with He's weights: the line with heads runs below the one without. Right, with batch norm: the two lines agree for two epochs, then the one with heads is higher.](figures/heads.png)
#
# Three seeds, 1,500 characters for training and 1,000 for testing, Adam, on a CPU.
#
# - **The starving network** learns little, with heads or without: 21.4 % against 26.7 % on average. The seeds do not even agree on the sign (-27.3, -0.9 and +12.4 points), so three of them cannot tell whether heads help here. They can tell that no head saved it. The gradient was a hundred times as large, the steps were not: Adam divides each gradient by its own recent size (unit 06). (SGD does not, and in 2014 it was SGD.) And the gradient is not all that is small. On the way up each layer shrinks what differs between two pictures.
# - **With He's weights** nothing starves, and the heads did harm, with each seed: 72.9 % against 80.2 %. One guess: the lower stages have to serve three masters.
# - **With batch norm** the two agree after two epochs, when little is learnt yet (20 % and 20 %). Then the heads go ahead: by 4.5 points after five epochs, by 7.4 after eight, 82.8 % against 75.4 % (seed by seed 2.4, 3.8 and 15.9 points).
#
# Szegedy and others (2015, section 4) saw it at full size: no effect early, a somewhat higher plateau late. They read it as **regularization**. What you see here cannot tell that from faster learning; you would have to look at the accuracy on the training set as well.
#
# So the reason of 2014 is true as far as it is about the gradient, a hundredfold. What was hoped from it did not follow, here: where the gradient starves, the heads did not save the network, and where they helped, it does not starve. Be as careful with this as with the paper: three seeds, a network at an eighth of its width, tiny pictures, one optimizer, one rate for all.
#
# </details>

# %%
assert len(heads_runs.seeds) >= 3
if profile == "quick":  # what is stored; another machine's numbers will differ
    gains = curves["batch norm, weight 0.3"] - curves["batch norm, weight 0.0"]
    check.close(np.sort(gains[:, -1]), np.array([2.4, 3.8, 15.9]), what="gain by heads", atol=0.06)
    assert abs(gains[:, 1].mean()) < 1
    check.equal(tuple(np.round(gains.mean(axis=0)[[4, 7]], 1).tolist()), (4.5, 7.4), what="gain")
    assert np.round(curves["batch norm, weight 0.3"][:, -1].mean(), 1) == 82.8
    assert np.round(curves["batch norm, weight 0.0"][:, -1].mean(), 1) == 75.4
    assert np.round(curves["none, weight 0.3"][:, -1].mean(), 1) == 72.9
    assert np.round(curves["none, weight 0.0"][:, -1].mean(), 1) == 80.2
    assert (curves["none, weight 0.3"][:, -1] < curves["none, weight 0.0"][:, -1]).all()
    gains = curves["small weights, weight 0.3"] - curves["small weights, weight 0.0"]
    ends = [-27.3, -0.9, 12.4]
    check.close(np.sort(gains[:, -1]), np.array(ends), what="gain by heads, starving", atol=0.06)
    assert np.round(curves["small weights, weight 0.3"][:, -1].mean(), 1) == 21.4
    assert np.round(curves["small weights, weight 0.0"][:, -1].mean(), 1) == 26.7

# %% [markdown]
# ## 6. A column and a row
#
# VGG made 5 x 5 out of two 3 x 3 (unit 10). Can one cut a kernel further? Take a $k \times k$ kernel that is a product of a column $v$ and a row $h$: $w_{ij} = v_i h_j$. Then
#
# $$\sum_{i}\sum_{j} v_i h_j\, x_{a+i,\,b+j} \;=\; \sum_i v_i \Big( \sum_j h_j\, x_{a+i,\,b+j} \Big) .$$
#
# The bracket is a convolution with the row, $1 \times k$. Around it stands one with the column, $k \times 1$. So two thin convolutions do the same, with $2k$ weights in place of $k^2$: for $k = 7$ it is 14 against 49. Such a kernel is called **separable**. As a matrix it has rank one.
#
# **Which kernels are?** The Gauss of unit 02 is, and so is Sobel's edge. A diagonal edge is not. For any other kernel take the nearest separable one. The singular value decomposition gives it: $w = \sum_r \sigma_r u_r v_r^\top$ with $\sigma_1 \ge \sigma_2 \ge \dots \ge 0$, and the first term alone is the best rank-one approximation (Eckart and Young 1936). What is left over is the other terms. Their size, as a root of the sum of squares of all entries (the Frobenius norm $\|\cdot\|_F$):
#
# $$\|w - \sigma_1 u_1 v_1^\top\|_F = \sqrt{\sigma_2^2 + \sigma_3^2 + \dots}, \qquad \text{lost} = \frac{\sqrt{\sigma_2^2 + \sigma_3^2 + \dots}}{\|w\|_F} .$$
#
# The largest singular value of what is left is $\sigma_2$. `lost` is 0 for a separable kernel.
#
# **By hand.** $\begin{pmatrix} 1 & 2 \\ 2 & 4 \end{pmatrix}$ is $(1, 2)^\top (1, 2)$: nothing is lost. $\begin{pmatrix} 4 & 0 \\ 0 & 3 \end{pmatrix}$ has $\sigma = (4, 3)$. Its nearest separable kernel keeps the 4 and drops the 3: lost is $3/5$. And the diagonal $\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}$ loses $1/\sqrt2 = 0.71$, the most that a 2 x 2 kernel can lose.

# %% [markdown]
# ### Exercise: `separate`
#
# *20 minutes, medium. What it is for: telling whether a large kernel is worth its weights. Image libraries blur this way; compression of trained networks starts here.*
#
# <details><summary>Hint 1</summary>
#
# `torch.linalg.svd(w)` works on the last two axes of any tensor and gives `u`, `s`, `vh`. Which column of `u` and which row of `vh` belong to the first singular value?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Where does $\sigma_1$ go? Into the column, or the row, or its root into both: the product is the same. Keep the lengths of the axes with `[..., :, :1]`.
#
# </details>


# %% exercise="separate"
def separate(w):
    """The best approximation of kernels w (..., kH, kW) by a column times a row -> column, row, lost.

    column (..., kH, 1), row (..., 1, kW): column * row is the rank-one kernel nearest to w, in least squares.
    lost (...): how far it is from w, as a share of the norm of w: from 0 to below 1. No kernel is all zeros.
    w is a floating tensor with two axes or more; the results have its dtype and device.
    """
    ### BEGIN SOLUTION
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :]
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost
    ### END SOLUTION


# %% tests="separate" part="product" points=1
import torch as _torch

# (1, 2) times (1, 2) is separable; of the diagonal 4, 3 the 4 is kept
for _w, _best in (
    ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [2.0, 4.0]]),
    ([[4.0, 0.0], [0.0, 3.0]], [[4.0, 0.0], [0.0, 0.0]]),
):
    _column, _row, _ = separate(_torch.tensor(_w))
    check.shape(_column, (2, 1), what=f"column of {_w}")
    check.shape(_row, (1, 2), what=f"row of {_w}")
    check.close(_column * _row, np.array(_best), what=f"column * row of {_w}")
del _torch, _w, _best, _column, _row, _


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(1131)
    for shape in (
        (3, 3),
        (5, 2),
        (2, 7),
        (4, 3, 5),
        (2, 3, 5, 4),
        (6, 1, 7, 7),
        (3, 1, 4),
        (2, 3, 1),
    ):
        for dtype in (torch.float64, torch.float32):
            w = torch.tensor(rng.standard_normal(shape), dtype=dtype)
            u, s, vh = np.linalg.svd(w.numpy().astype(float), full_matrices=False)
            expected = s[..., :1, None] * u[..., :, :1] * vh[..., :1, :]
            before = w.clone()
            column, row, _ = separate(w)
            what = f"w {shape}, {dtype}"
            check.shape(column, (*shape[:-1], 1), what=f"column, {what}")
            check.shape(row, (*shape[:-2], 1, shape[-1]), what=f"row, {what}")
            loose = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {}
            check.close(column * row, expected, what=f"column * row, {what}", **loose)
            check.equal(str(column.dtype), str(dtype), what=f"dtype of column, {what}")
            check.unchanged(before, w, what="w")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="separate" part="lost" points=1
import torch as _torch

check.close(
    separate(_torch.tensor([[1.0, 2.0], [2.0, 4.0]]))[2], 0.0, what="lost, separable", atol=1e-5
)
check.close(
    separate(_torch.tensor([[4.0, 0.0], [0.0, 3.0]]))[2], 0.6, what="lost of the diagonal 4, 3"
)
del _torch


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    rng = np.random.default_rng(1132)
    for shape in (
        (3, 3),
        (5, 2),
        (2, 7),
        (4, 3, 5),
        (2, 3, 5, 4),
        (6, 1, 7, 7),
        (3, 1, 4),
        (2, 3, 1),
    ):
        kernels = rng.standard_normal(shape)
        s = np.linalg.svd(kernels, compute_uv=False)
        expected = np.sqrt((s[..., 1:] ** 2).sum(axis=-1) / (s**2).sum(axis=-1))
        check.close(separate(torch.tensor(kernels))[2], expected, what=f"lost, w {shape}")
        check.close(
            separate(torch.tensor(50 * kernels))[2], expected, what=f"lost, 50 * w, w {shape}"
        )
    v, h = (
        torch.tensor(rng.standard_normal((3, 5, 1))),
        torch.tensor(rng.standard_normal((3, 1, 4))),
    )
    check.close(separate(v * h)[2], np.zeros(3), what="lost of separable kernels")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** First the promise: a separable kernel, applied as a row and then a column, is *exactly* the kernel. For any other one the gap in the worst direction is the second singular value.

# %%
dice = torch.Generator().manual_seed(seed)
picture = torch.randn(1, 1, 12, 13, generator=dice)
sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
diagonal = torch.tensor([[2.0, 1.0, 0.0], [1.0, 0.0, -1.0], [0.0, -1.0, -2.0]])
for name, kernel in (("Sobel", sobel), ("diagonal edge", diagonal)):
    column, row, lost = separate(kernel)
    at_once = F.conv2d(picture, kernel[None, None])
    in_two = F.conv2d(F.conv2d(picture, row[None, None]), column[None, None])
    gap = float((at_once - in_two).abs().max())
    left = float(torch.linalg.matrix_norm(kernel - column * row, 2))
    second = float(torch.linalg.svdvals(kernel)[1])
    print(
        f"{name:<14} lost {float(lost):.3f}; largest gap of the results {gap:.2g}; worst gap of the kernels {left:.3f}, sigma_2 {second:.3f}"
    )
    check.close(left, second, what="what is left, in its worst direction", atol=1e-5)
    assert (gap < 1e-5) == (name == "Sobel")

# %% [markdown]
# **Are learned kernels separable?** Your small GoogLeNet has 16 kernels of 7 x 7 in `conv1`. Nobody told them to be separable.
#
# **Predict.** How large is `lost`, on average: for kernels of random numbers? for the 16 learned ones? Then replace each learned kernel by its nearest separable one. How much accuracy goes? The control is a network whose kernels are turned by *the same angles*, in a random direction.


# %%
def first_kernels(net):
    """The weights of the first convolution, a copy."""
    return next(m for m in net.modules() if isinstance(m, nn.Conv2d)).weight.detach().clone()


def accuracy_with(net, kernels):
    """Test accuracy of a copy of net with other kernels in its first convolution.

    Its batch norms measure their statistics anew, on 512 training pictures; nothing is learned.
    """
    twin = copy.deepcopy(net).train()
    with torch.no_grad():
        next(m for m in twin.modules() if isinstance(m, nn.Conv2d)).weight.copy_(kernels)
        for module in twin.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # a plain mean of all batches
        for part in train_x[:512].split(128):
            twin(part)
    return evaluate(twin, test_x, test_y)[1]


def separated(net, seed):
    """What separating the first kernels loses and costs, beside a turn by the same angles in a random direction."""
    kernels, dice = first_kernels(net), torch.Generator().manual_seed(seed)
    column, row, lost = separate(kernels)
    share, length = lost[..., None, None], kernels.norm(dim=(2, 3), keepdim=True)
    aside = torch.randn(kernels.shape, generator=dice).to(kernels)
    aside -= kernels * (aside * kernels).sum(dim=(2, 3), keepdim=True) / length**2
    aside *= length / aside.norm(
        dim=(2, 3), keepdim=True
    )  # as long as the kernel, at a right angle to it
    return {
        "lost": float(lost.mean()),
        "as learned": accuracy_with(net, kernels),
        "separable": accuracy_with(net, column * row),
        "turned": accuracy_with(net, (1 - share**2).sqrt() * kernels + share * aside),
    }


def learned_kernels(one):
    """separated() of a network trained for 8 epochs with the seed one, and what its kernels lost before."""
    torch.manual_seed(one)
    net = GoogLeNet(num_classes=10, in_channels=1, width=0.25).to(device)
    before = float(separate(first_kernels(net))[2].mean())
    train_with_heads(net, train_x, train_y, epochs=8, seed=one)
    return {"lost before": before, **separated(net, one)}


kernel_runs = measured(
    "11-inception",
    "kernels",
    learned_kernels,
    seeds=range(3),
    on="glyphs, 1,500 for training and 1,000 for testing, GoogLeNet of width 1/4, 8 epochs",
    device=device,
    again=profile == "full",
)
print(kernel_runs)
for name in kernel_runs.rows[0]:
    print(f"{name:<12}", [round(value, 3) for value in kernel_runs.column(name)])
live = separated(reader, seed)
print("here, seed 0:", {name: round(value, 3) for name, value in live.items()})

# %% figure="rank_one"
learned, born = first_kernels(reader), first_kernels(newborn)
moved = float((learned - born).norm() / born.norm())
column, row, lost = separate(learned)
random_lost = separate(torch.randn(2000, 7, 7, generator=torch.Generator().manual_seed(seed)))[2]
order = lost[:, 0].argsort().cpu()
fig = plt.figure(figsize=(7, 2.3), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.3, 1])
picks = order[np.linspace(0, len(order) - 1, 6).astype(int)]
for ax, which in zip(left.subplots(1, 6), picks, strict=True):
    limit = float(learned[which].abs().max())
    pair = [one[which, 0].cpu() for one in (learned, column * row)]
    both = torch.cat([pair[0], torch.full((1, 7), torch.nan), pair[1]])  # one above the other
    ax.imshow(both, cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set_title(f"lost {float(lost[which, 0]):.2f}", fontsize=7)
    ax.set(xticks=[], yticks=[])
    ax.set_frame_on(False)
    if which == picks[0]:
        ax.set_yticks([3, 11], ["learned", "column\nx row"], fontsize=7)
ax = right.subplots()
bins = np.linspace(0, 1, 21)
ax.hist(random_lost, bins, density=True, color="#d9a441", label="random numbers", hatch="//")
ax.hist(lost[:, 0].cpu(), bins, density=True, color="#33206b", label="learned", alpha=0.8)
ax.set(xlabel="lost", ylabel="density")
ax.legend(fontsize=7, loc="upper left")
plt.show()
print(
    f"lost: {float(random_lost.mean()):.2f} of random kernels, {float(lost.mean()):.2f} of the 16 learned ones, "
    f"which training moved by {100 * moved:.0f} % of their length"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, six learned 7 by 7 kernels above their nearest separable ones, from the least to the most that is lost. Right, histograms of what is lost: random kernels around 0.75, learned ones in the same place.](figures/rank_one.png)
#
# Random kernels of 7 x 7 lose about 0.75. The 16 learned ones lose **just as much**: 0.77 on average before the training and 0.77 after it (three seeds, 1,500 characters, 8 epochs, width 1/4, on a CPU). Does learning shun separable kernels? Look at the last number before you say so: in the five epochs here the training moved these kernels by about an eighth of their length. What you see is mostly the dice of the start, in the network's service. (The clean edges of other people's first layers come from ImageNet, and from many thousand steps more.)
#
# In service they are, though. Separable kernels read 62 % of the test characters, the learned ones 97 %. Is it the direction that hurts, or the distance? The control turns each kernel by the same angle, in a random direction: 73 %. So it is the distance that hurts: the nearest separable kernel is no better than a random one as far away. (It was worse with each of these three seeds, and better in the shorter training here. Nothing should be read into that. A batch norm follows, which was measured anew for each row, so the length of a kernel does not matter, only its angle.)
#
# Cutting kernels *after* training is a bad bargain here, then. Inception v3 does something else: it trains thin kernels from the start. And there is one more thing.
#
# </details>

# %%
kernels_kept = {name: np.array(kernel_runs.column(name)) for name in kernel_runs.rows[0]}
if profile == "quick":  # what is stored; another machine's numbers will differ
    assert np.abs(kernels_kept["lost"] - kernels_kept["lost before"]).max() < 0.01
    assert np.round(kernels_kept["lost"].mean(), 2) == 0.77
    shares = [100 * kernels_kept[name].mean() for name in ("as learned", "separable", "turned")]
    check.equal(tuple(round(share) for share in shares), (97, 62, 73), what="percent right")
    assert (kernels_kept["separable"] < kernels_kept["turned"]).all()
assert 0.7 < float(random_lost.mean()) < 0.8
assert 0.1 < moved < 0.16

# %% [markdown]
# **But a network has channels.** Put a row convolution from one channel to $M$ channels, and behind it a column convolution from $M$ channels to one. Without a ReLU in between the two are one kernel again: $\sum_{m=1}^{M} v_m h_m^\top$, the sum of $M$ separable kernels. **Predict** its rank for $M = 1, 2, 3, \dots$ with random weights.

# %%
for M in (1, 2, 3, 7, 20):
    rows, columns = torch.randn(M, 1, 1, 7, generator=dice), torch.randn(1, M, 7, 1, generator=dice)
    impulse = torch.zeros(1, 1, 13, 13)
    impulse[0, 0, 6, 6] = 1
    joint = F.conv2d(F.conv2d(impulse, rows), columns)[
        0, 0
    ]  # the kernel that the two make, turned by 180 degrees
    rank = int(torch.linalg.matrix_rank(joint.double(), rtol=1e-4))
    print(f"M = {M:>2}: rank {rank}, {14 * M} weights in place of 49")
    assert rank == min(M, 7)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# $\min(M, 7)$. "Exact only for rank one" is true for one channel in the middle. With seven of them *any* 7 x 7 kernel can be had. From 192 channels to 192 through $M = 192$ in the middle the pair has $2 \cdot 7 \cdot 192^2 = 516{,}096$ weights, the square kernel $49 \cdot 192^2 = 1{,}806{,}336$, 3.5 times as many. Each of the 36,864 kernels may have full rank; what is given up is that they can be chosen independently. And with batch norm and ReLU in between (Inception v3 has them there) it is another function altogether, with one more bend. Szegedy and others (2015, section 3.2) found it good on maps 12 to 20 places wide, and not good in early layers.
#
# </details>

# %% [markdown]
# ## 7. From v1 to v3
#
# The same group went on for two years. What changed between GoogLeNet and Inception v3 (Szegedy and others 2015, *Rethinking the Inception Architecture*, where v2 and v3 are described):
#
# | what | why |
# |---|---|
# | batch norm behind each convolution (Ioffe and Szegedy 2015) | trains faster, bears larger rates |
# | 5 x 5 becomes two 3 x 3 | 18 weights for 25, and one ReLU more |
# | 7 x 7 becomes 1 x 7 and 7 x 1, on maps of 17 x 17 | part 6: 3.5 times cheaper |
# | at the end 3 x 3 becomes 1 x 3 *beside* 3 x 1 | more channels for the last, small map |
# | a map is halved by branches with stride 2, beside a pooling | pooling first throws information away, convolving first works on a map four times as large |
# | one head in place of two, with batch norm in it | the lower one had no effect; the upper one regularizes |
# | label smoothing | the network is not asked for infinite logits |
# | RMSProp, gradient clipping, 299 x 299 pixels | |
#
# A belief to correct: two 3 x 3 in place of a 5 x 5 are *not* made to imitate it. A linear layer between them would do that better, and the paper tried: with ReLU in between it was always better (their section 3.1).
#
# **Label smoothing.** Cross-entropy with a one-hot label is never content. Let $z_y$ be the logit of the right class and all others equal: the loss is $\ln(1 + (K-1)\,e^{-(z_y - z)})$, which falls for ever as the gap $z_y - z$ grows. The network is paid for being sure beyond reason. So mix the label with a uniform distribution over all $K$ classes ($\varepsilon$ is `smoothing`, 0.1 in the paper):
#
# $$q_k = (1 - \varepsilon)\,[k = y] + \frac{\varepsilon}{K}, \qquad \text{loss} = -\sum_{k=1}^{K} q_k \log p_k, \qquad p = \text{softmax}(z).$$
#
# The loss is smallest where $p = q$. There the gap is $\log(q_y / q_k) = \log\big(1 + K(1-\varepsilon)/\varepsilon\big)$: for $K = 10$ it is $\ln 91 = 4.51$, for $K = 1000$ it is $\ln 9001 = 9.11$. A finite goal.
#
# Note that the right class gets its share of the uniform part as well: $1 - \varepsilon + \varepsilon/K$, not $1 - \varepsilon$.
#
# **By hand.** Two classes, logits $(\ln 3, 0)$, so $p = (\frac34, \frac14)$. Label 0, $\varepsilon = 0.2$: $q = (0.9, 0.1)$. The loss is $-0.9 \ln\frac34 - 0.1 \ln\frac14 = 0.2589 + 0.1386 = 0.3975$. For label 1: $-0.1\ln\frac34 - 0.9\ln\frac14 = 0.0288 + 1.2477 = 1.2765$.

# %% [markdown]
# ### Exercise: `smooth_cross_entropy`
#
# *10 minutes, easy. What it is for: two lines that nearly every recipe for ImageNet has used since.*
#
# `F.cross_entropy` has an argument for it. Write it without, and compare afterwards.
#
# <details><summary>Hint</summary>
#
# `logits.log_softmax(dim=1)` is stable, `softmax(...).log()` is not: try logits of 1,000. The loss is a mixture of two: the usual one, and the mean over all classes of $-\log p_k$.
#
# </details>


# %% exercise="smooth_cross_entropy"
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """Cross-entropy against labels mixed with a uniform distribution, mean over the batch -> a tensor with one number.

    logits (N, K) floating, of any size, also 1,000 and more; y (N,) integers; smoothing from 0 to 1.
    Gradients flow back to logits.
    """
    ### BEGIN SOLUTION
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.mean()
    ### END SOLUTION


# %% tests="smooth_cross_entropy" points=2
import torch as _torch

# The numbers of the text: logits (ln 3, 0), smoothing 0.2
_logits = _torch.tensor([[3.0, 1.0]], dtype=_torch.float64).log()
for _y, _loss in ((0, 0.39754), (1, 1.27651)):
    check.close(
        smooth_cross_entropy(_logits, _torch.tensor([_y]), 0.2),
        _loss,
        what=f"smooth_cross_entropy of logits (ln 3, 0), label {_y}, smoothing 0.2",
        rtol=1e-4,
    )
del _torch, _logits, _y, _loss


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def slope(smooth_cross_entropy, logits, y, smoothing):
        logits = logits.clone().requires_grad_()
        smooth_cross_entropy(logits, y, smoothing).backward()
        return logits.grad

    dice = torch.Generator().manual_seed(1141)
    for N, K, smoothing, size in (
        (4, 3, 0.0, 1),
        (5, 7, 0.1, 2),
        (1, 10, 0.3, 1),
        (6, 2, 1.0, 3),
        (3, 5, 0.25, 1000),
    ):
        logits = size * torch.randn(N, K, generator=dice, dtype=torch.float64)
        y = torch.randint(0, K, (N,), generator=dice)
        expected = F.cross_entropy(logits, y, label_smoothing=smoothing)
        p = logits.softmax(dim=1)
        uphill = (p - (1 - smoothing) * F.one_hot(y, K) - smoothing / K) / N
        what = f"logits ({N}, {K}) of size {size}, smoothing {smoothing}"
        before = logits.clone(), y.clone()
        got = smooth_cross_entropy(logits, y, smoothing)
        check.close(got, expected, what=f"smooth_cross_entropy, {what}")
        check.close(
            slope(smooth_cross_entropy, logits, y, smoothing), uphill, what=f"gradient, {what}"
        )
        check.unchanged(before[0], logits, what="logits")
        check.unchanged(before[1], y, what="y")
    expected = F.cross_entropy(logits, y, label_smoothing=0.1)
    check.close(smooth_cross_entropy(logits, y), expected, what="smoothing left out")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** Ten logits, free to move, label 0, gradient descent on your loss, once with $\varepsilon = 0$ and once with 0.1. **Predict** the two curves of the gap between logit 0 and the others.

# %% figure="smoothing"
fig, ax = plt.subplots(figsize=(5.4, 2.3), layout="constrained")
gaps = {}
for smoothing, style in ((0.0, ":"), (0.1, "-")):
    z, gap = torch.zeros(1, 10, requires_grad=True), []
    for _ in range(600):
        loss = smooth_cross_entropy(z, torch.tensor([0]), smoothing)
        (slope,) = torch.autograd.grad(loss, z)
        z = (z - 2.0 * slope).detach().requires_grad_()
        gap.append(float((z[0, 0] - z[0, 1]).detach()))
    gaps[smoothing] = gap
    ax.plot(gap, style, label=f"smoothing {smoothing}")
ax.axhline(np.log(91), color="gray", linewidth=1, label="ln 91")
ax.set(xlabel="step", ylabel="gap of the logits", title="Is there an end?", ylim=(0, None))
ax.legend(fontsize=7)
plt.show()
check.close(gaps[0.1][-1], np.log(91), what="gap with smoothing 0.1", rtol=1e-3)
assert gaps[0.0][-1] > gaps[0.0][300] + 0.5

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The gap between the right logit and the others over 600 steps: without smoothing it keeps growing like a logarithm, with smoothing 0.1 it levels off at 4.51.](figures/smoothing.png)
#
# Without smoothing the gap grows like the logarithm of the number of steps, without end. With it, it stops at $\ln 91 = 4.51$. On ImageNet the paper gained about 0.2 points of error (their section 7). Mind one thing: a network trained so is less sure *by order*. Its smallest possible loss is not 0 but the entropy of $q$, and losses with and without smoothing cannot be compared.
#
# </details>

# %% [markdown]
# ### Written question
#
# A network has two heads as GoogLeNet has. In use somebody forgets `eval()`. Name three things that differ from what should happen: which of them raise an error, and which of them silently make the answers worse?

# %% [markdown] manual="forgotten_eval" points=2
# ### BEGIN SOLUTION
# 1. The network returns a tuple of three, not a tensor. That raises an error as soon as somebody calls `argmax` on it, which is lucky. (Code that takes `outputs[0]` for "the first image" gets the logits of the whole batch instead.)
# 2. Dropout is at work: 40 % of the 1,024 means are zero, and others in each call. Silent: the answers are noisy.
# 3. Batch norm normalizes with the batch's own statistics. Silent: the answer to an image depends on the others in the batch; with few images on small maps little more than signs is left, and with a single image whose map in `5b` is 1 x 1 PyTorch refuses, with an error. The running statistics also move towards what the network sees in use.
#
# The heads also cost time. The error comes from the one that does no harm; the other two are why one looks at `net.training` when accuracy is strange.
# ### END SOLUTION

# %% [markdown]
# ## 8. Inception v3
#
# Five kinds of cells. Each row of a picture is one branch, from left to right; `a ⊕ b` is a fork: two convolutions on the same map, their results concatenated. $C$ is what comes in.
#
# ```
# A(p)   1x1, 64                                            B   3x3 stride 2, 384
#        1x1, 48 ─ 5x5, 64                                      1x1, 64 ─ 3x3, 96 ─ 3x3 stride 2, 96
#        1x1, 64 ─ 3x3, 96 ─ 3x3, 96                            max pooling 3x3 stride 2
#        average pooling 3x3 ─ 1x1, p
#                                                           D   1x1, 192 ─ 3x3 stride 2, 320
# C(c)   1x1, 192                                               1x1, 192 ─ 1x7, 192 ─ 7x1, 192 ─ 3x3 stride 2, 192
#        1x1, c ─ 1x7, c ─ 7x1, 192                             max pooling 3x3 stride 2
#        1x1, c ─ 7x1, c ─ 1x7, c ─ 7x1, c ─ 1x7, 192
#        average pooling 3x3 ─ 1x1, 192                     E   1x1, 320
#                                                               1x1, 384 ─ (1x3, 384 ⊕ 3x1, 384)
#                                                               1x1, 448 ─ 3x3, 384 ─ (1x3, 384 ⊕ 3x1, 384)
#                                                               average pooling 3x3 ─ 1x1, 192
# ```
#
# `1x7` means one row high and seven columns wide: `(1, 7)`. What has stride 2 has no padding. This is the network that was released (and torchvision's), not quite the one of the paper's figures: A keeps a 5 x 5 in its second branch.
#
# | stage | what | output at 299 x 299 |
# |---|---|---|
# | `stem` | 3x3 stride 2 to 32, no padding; 3x3 to 32, no padding; 3x3 to 64, same; max pooling 3x3 stride 2, no padding; 1x1 to 80; 3x3 to 192, no padding; max pooling 3x3 stride 2, no padding | 35 x 35 x 192 |
# | `A1`, `A2`, `A3` | A(32), A(64), A(64) | 35 x 35 x 256, 288, 288 |
# | `B` | B | 17 x 17 x 768 |
# | `C1` to `C4` | C(128), C(160), C(160), C(192) | 17 x 17 x 768 |
# | `D` | D | 8 x 8 x 1,280 |
# | `E1`, `E2` | E, E | 8 x 8 x 2,048 |
# | | mean over all places, dropout with $p = 0.5$, dense layer to the classes | 2,048, then 1,000 |
#
# The auxiliary head sits on `C4`: average pooling to 5 x 5 (`nn.AdaptiveAvgPool2d(5)`, so that images of other sizes work), 1 x 1 convolution to 128, 5 x 5 convolution without padding to 768, both with batch norm and ReLU, then a dense layer from 768 to the classes.

# %% [markdown]
# ### Exercise: `InceptionV3`
#
# *35 minutes, medium. What it is for: a network of 94 convolutions on one page. Whoever writes it as a table can change it.*
#
# <details><summary>Hint 1</summary>
#
# Write the five kinds in `Mixed`'s language first; A and C are functions of one number. Then a dictionary from the names of the stages to their tables, and one loop. `out_channels` saves you the arithmetic.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A branch of one pooling alone is `["max/2"]`. A fork is a list *inside* the list of steps: `[(384, 1), [[...], [...]]]`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# The stem does not fit `Mixed`'s language (which of its convolutions does not?), so write it with `ConvNormReLU(..., padding=0)`.
#
# </details>


# %% exercise="InceptionV3"
class InceptionV3(nn.Module):
    """Szegedy et al. 2015 (arXiv:1512.00567), as released: (N, in_channels, H, W) -> logits. width scales all channels.

    stages is an nn.ModuleDict, in order: stem, A1, A2, A3, B, C1, C2, C3, C4, D, E1, E2; each takes the result of the
    one before. Branches and forks are concatenated in the order of the text.

    In training, with aux: (logits, aux_C4), both (N, num_classes); otherwise the logits alone.
    """

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
        ### BEGIN SOLUTION
        n32, n64, n80, n128, n192, n768 = (round(n * width) for n in (32, 64, 80, 128, 192, 768))
        self.stages = nn.ModuleDict()
        self.stages["stem"] = nn.Sequential(
            ConvNormReLU(in_channels, n32, 3, stride=2, padding=0),
            ConvNormReLU(n32, n32, 3, padding=0),
            ConvNormReLU(n32, n64, 3),
            nn.MaxPool2d(3, 2),
            ConvNormReLU(n64, n80),
            ConvNormReLU(n80, n192, 3, padding=0),
            nn.MaxPool2d(3, 2),
        )
        channels = n192
        for name, branches in self.cells().items():
            self.stages[name] = Mixed(channels, branches, width)
            channels = self.stages[name].out_channels
        self.head = None
        if aux:
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(5),
                ConvNormReLU(n768, n128),
                ConvNormReLU(n128, n768, 5, padding=0),
                nn.Flatten(),
                nn.Linear(n768, num_classes),
            )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, num_classes)
        )

    @staticmethod
    def cells():
        """{stage: its branches}, in the language of Mixed."""
        tall, flat = (7, 1), (1, 7)

        def A(p):
            twice = [(64, 1), (96, 3), (96, 3)]
            return [[(64, 1)], [(48, 1), (64, 5)], twice, ["avg", (p, 1)]]

        def C(c):
            once = [(c, 1), (c, flat), (192, tall)]
            twice = [(c, 1), (c, tall), (c, flat), (c, tall), (192, flat)]
            return [[(192, 1)], once, twice, ["avg", (192, 1)]]

        B = [[(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], ["max/2"]]
        D = [[(192, 1), (320, 3, 2)], [(192, 1), (192, flat), (192, tall), (192, 3, 2)], ["max/2"]]
        fork = [[(384, (1, 3))], [(384, (3, 1))]]
        E = [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["avg", (192, 1)]]
        cells = {"A1": A(32), "A2": A(64), "A3": A(64), "B": B}
        cells |= {"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}
        ### END SOLUTION

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        ### BEGIN SOLUTION
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)
        ### END SOLUTION


# %% tests="InceptionV3" part="A" points=1
@check.remote
def _stage(InceptionV3, name, channels, height, width):
    """The shape of a stage's result, and how many parameters it has."""
    import torch

    with torch.device("meta"):
        stage = InceptionV3().eval().stages[name]
        shape = tuple(stage(torch.zeros(1, channels, height, width)).shape)
    return shape, sum(p.numel() for p in stage.parameters())


# A(32) on 192 channels: 64 + 64 + 96 + 32 come out. Weights: 192*64 + 192*48 + 48*64*25 + 192*64 + 64*96*9
# + 96*96*9 + 192*32 = 254,976; batch norms: 2 * (64 + 48 + 64 + 64 + 96 + 96 + 32) = 928
check.equal(
    _stage(InceptionV3, "A1", 192, 35, 35),
    ((1, 256, 35, 35), 255_904),
    what="stage A1: shape, parameters",
)
del _stage


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def A(x, p, n, t):
        return torch.cat(
            [
                unit(x, n(64), 1, t),
                unit(unit(x, n(48), 1, t), n(64), 5, t),
                unit(unit(unit(x, n(64), 1, t), n(96), 3, t), n(96), 3, t),
                unit(F.avg_pool2d(x, 3, 1, 1), n(p), 1, t),
            ],
            dim=1,
        )

    dice = torch.Generator().manual_seed(1161)
    for name, C, p, width, training in (
        ("A1", 192, 32, 0.125, False),
        ("A2", 256, 64, 0.25, True),
        ("A3", 288, 64, 0.125, False),
    ):
        x = torch.randn(2, int(C * width), 7, 6, generator=dice, dtype=torch.float64)
        expected = A(x, p, lambda channels, width=width: int(channels * width), training)
        net = InceptionV3(num_classes=3, aux=False, width=width)
        got = run(net.stages[name], x, training)
        check.close(got, expected, what=f"stage {name}, width={width}, x {tuple(x.shape)}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionV3" part="C" points=1
@check.remote
def _stage(InceptionV3, name, channels, height, width):
    """The shape of a stage's result, and the kernels of its convolutions, sorted."""
    import torch

    with torch.device("meta"):
        stage = InceptionV3().eval().stages[name]
        shape = tuple(stage(torch.zeros(1, channels, height, width)).shape)
    convolutions = [m for m in stage.modules() if isinstance(m, torch.nn.Conv2d)]
    return shape, sorted(tuple(m.kernel_size) for m in convolutions)


_shape, _kernels = _stage(InceptionV3, "C1", 768, 17, 17)
check.equal(_shape, (1, 768, 17, 17), what="the shape of stage C1's result")
check.equal(
    tuple(_kernels),
    3 * ((1, 1),) + ((1, 1), (1, 7), (1, 7), (1, 7), (7, 1), (7, 1), (7, 1)),
    what="the kernels (height, width) in stage C1, sorted",
)
del _stage, _shape, _kernels


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def C(x, c, n, t):
        flat, tall = (1, 7), (7, 1)
        once = unit(unit(unit(x, n(c), 1, t), n(c), flat, t), n(192), tall, t)
        twice = unit(x, n(c), 1, t)
        for outputs, kernel in ((c, tall), (c, flat), (c, tall), (192, flat)):
            twice = unit(twice, n(outputs), kernel, t)
        pooled = unit(F.avg_pool2d(x, 3, 1, 1), n(192), 1, t)
        return torch.cat([unit(x, n(192), 1, t), once, twice, pooled], dim=1)

    dice = torch.Generator().manual_seed(1162)
    for name, c, width, training in (
        ("C1", 128, 0.125, False),
        ("C2", 160, 0.125, True),
        ("C3", 160, 0.25, False),
        ("C4", 192, 0.125, False),
    ):
        x = torch.randn(2, int(768 * width), 5, 9, generator=dice, dtype=torch.float64)
        expected = C(x, c, lambda channels, width=width: int(channels * width), training)
        net = InceptionV3(num_classes=3, aux=False, width=width)
        got = run(net.stages[name], x, training)
        check.close(got, expected, what=f"stage {name}, width={width}, x {tuple(x.shape)}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionV3" part="E" points=1
@check.remote
def _stage(InceptionV3, name, channels, height, width):
    """The shape of a stage's result, and how many parameters it has."""
    import torch

    with torch.device("meta"):
        stage = InceptionV3().eval().stages[name]
        shape = tuple(stage(torch.zeros(1, channels, height, width)).shape)
    return shape, sum(p.numel() for p in stage.parameters())


# 320 + 2 * 384 + 2 * 384 + 192 come out
check.equal(
    _stage(InceptionV3, "E1", 1280, 8, 8)[0], (1, 2048, 8, 8), what="the shape of stage E1's result"
)
check.equal(_stage(InceptionV3, "E1", 1280, 8, 8)[1], 5_044_608, what="parameters of stage E1")
del _stage


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def E(x, n, t):
        two = unit(x, n(384), 1, t)
        three = unit(unit(x, n(448), 1, t), n(384), 3, t)
        forks = [unit(y, n(384), kernel, t) for y in (two, three) for kernel in ((1, 3), (3, 1))]
        pooled = unit(F.avg_pool2d(x, 3, 1, 1), n(192), 1, t)
        return torch.cat([unit(x, n(320), 1, t), *forks, pooled], dim=1)

    dice = torch.Generator().manual_seed(1163)
    for name, C, training in (("E1", 1280, False), ("E2", 2048, True)):
        x = torch.randn(2, C // 8, 4, 5, generator=dice, dtype=torch.float64)
        expected = E(x, lambda channels: channels // 8, training)
        net = InceptionV3(num_classes=3, aux=False, width=0.125)
        got = run(net.stages[name], x, training)
        check.close(got, expected, what=f"stage {name}, width=0.125, x {tuple(x.shape)}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionV3" part="reductions" points=1
@check.remote
def _stage(InceptionV3, name, channels, height, width):
    """The shape of a stage's result."""
    import torch

    with torch.device("meta"):
        stage = InceptionV3().eval().stages[name]
        return tuple(stage(torch.zeros(1, channels, height, width)).shape)


check.equal(
    _stage(InceptionV3, "B", 288, 35, 35), (1, 768, 17, 17), what="the shape of stage B's result"
)
check.equal(
    _stage(InceptionV3, "D", 768, 17, 17), (1, 1280, 8, 8), what="the shape of stage D's result"
)
check.equal(
    _stage(InceptionV3, "stem", 3, 299, 299),
    (1, 192, 35, 35),
    what="the shape of the stem's result",
)
del _stage


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def stem(x, n, t):
        x = unit(unit(x, n(32), 3, t, 2, 0), n(32), 3, t, 1, 0)
        x = F.max_pool2d(unit(x, n(64), 3, t), 3, 2)
        return F.max_pool2d(unit(unit(x, n(80), 1, t), n(192), 3, t, 1, 0), 3, 2)

    def B(x, n, t):
        second = unit(unit(unit(x, n(64), 1, t), n(96), 3, t), n(96), 3, t, 2, 0)
        return torch.cat([unit(x, n(384), 3, t, 2, 0), second, F.max_pool2d(x, 3, 2)], dim=1)

    def D(x, n, t):
        first = unit(unit(x, n(192), 1, t), n(320), 3, t, 2, 0)
        second = unit(unit(unit(x, n(192), 1, t), n(192), (1, 7), t), n(192), (7, 1), t)
        second = unit(second, n(192), 3, t, 2, 0)
        return torch.cat([first, second, F.max_pool2d(x, 3, 2)], dim=1)

    dice = torch.Generator().manual_seed(1164)
    for name, oracle, C, (H, W), training in (
        ("stem", stem, 3, (43, 54), False),
        ("stem", stem, 3, (51, 40), True),
        ("B", B, 36, (9, 12), False),
        ("B", B, 36, (8, 7), True),
        ("D", D, 96, (9, 8), False),
        ("D", D, 96, (6, 11), True),
    ):
        x = torch.randn(2, C, H, W, generator=dice, dtype=torch.float64)
        expected = oracle(x, lambda channels: channels // 8, training)
        net = InceptionV3(num_classes=3, aux=False, width=0.125)
        got = run(net.stages[name], x, training)
        what = f"stage {name}, width=0.125, training={training}, x {tuple(x.shape)}"
        check.close(got, expected, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="InceptionV3" part="count" points=1
@check.remote
def _count(InceptionV3, **how):
    """How many parameters there are, without one number being drawn."""
    import torch

    with torch.device("meta"):
        return sum(p.numel() for p in InceptionV3(**how).parameters())


check.equal(_count(InceptionV3, aux=False), 23_834_568, what="parameters of InceptionV3(aux=False)")
check.equal(_count(InceptionV3), 27_161_264, what="parameters of InceptionV3()")
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(InceptionV3, how):
        import torch

        nowhere = torch.device("meta")
        with nowhere:
            net = InceptionV3(**how)
            return sum(p.numel() for p in net.parameters()), list(net.stages)

    for how, expected in (
        ({}, 27_161_264),
        ({"aux": False}, 23_834_568),
        ({"num_classes": 10, "aux": False}, 23_834_568 - 990 * 2049),
        ({"num_classes": 10}, 27_161_264 - 990 * (2049 + 769)),
        ({"in_channels": 1, "aux": False}, 23_834_568 - 2 * 32 * 9),
        ({"num_classes": 7, "in_channels": 2, "width": 0.125}, 386_862),
    ):
        got, names = count(InceptionV3, how)
        check.equal(got, expected, what=f"parameters of InceptionV3({how})")
    wanted = ["stem", "A1", "A2", "A3", "B", "C1", "C2", "C3", "C4", "D", "E1", "E2"]
    check.equal(tuple(names), tuple(wanted), what="the names in stages")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="InceptionV3" part="network" points=2
import torch as _torch

_net, _x = InceptionV3(num_classes=5, in_channels=1, width=0.125), _torch.zeros(2, 1, 90, 100)
_out = _net.train()(_x)
check.equal(isinstance(_out, tuple), True, what="in training a tuple (logits, aux_C4) comes out")
check.equal(len(_out), 2, what="how many come out in training: (logits, aux_C4)")
for _one in _out:
    check.shape(_one, (2, 5), what="each of the two in training, 5 classes, 2 images")
check.shape(_net.eval()(_x), (2, 5), what="the logits alone in eval")
_net = InceptionV3(num_classes=5, in_channels=1, aux=False, width=0.125)
check.shape(_net.train()(_x), (2, 5), what="the logits alone in training with aux=False")
del _torch, _net, _x, _out, _one


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    @check.remote
    def watched(InceptionV3, how, training, x):
        """Rate and width of each dropout at work, dense layers that run, whether each stage gets the last result, starved parameters."""
        import torch

        torch.manual_seed(0)
        net = InceptionV3(**how).train(training)
        rates, dense, chained, last = [], [0], [], [None]
        kept = torch.nn.functional.dropout

        def dropout(x, p=0.5, training=True, inplace=False):
            rates.extend([(float(p), x.numel() // len(x))] if training and p else [])
            return x

        def ran(module, inputs, output):
            dense[0] += 1

        def before(module, inputs):
            chained.append(last[0] is None or inputs[0] is last[0])

        def after(module, inputs, output):
            last[0] = output

        for stage in net.stages.values():
            stage.register_forward_pre_hook(before)
            stage.register_forward_hook(after)
        for module in net.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(ran)
        torch.nn.functional.dropout = dropout
        try:
            out = net(x)
        finally:
            torch.nn.functional.dropout = kept
        several = isinstance(out, tuple)
        sum((one**2).sum() for one in (out if several else (out,))).backward()
        sizes = [
            float("nan") if p.grad is None else float(p.grad.abs().max()) for p in net.parameters()
        ]
        starved = sum(not size > 0 for size in sizes)
        return several, rates, dense[0], len(chained), all(chained), starved

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def dense(x, outputs):
        return F.linear(x, weight((outputs, x.shape[1])), 0.2 * draw((outputs,), 6))

    def network(x, classes, n, t):
        def pooled(x, outputs):
            return unit(F.avg_pool2d(x, 3, 1, 1), n(outputs), 1, t)

        def chain(x, *steps):
            for outputs, kernel, *how in steps:
                x = unit(x, n(outputs), kernel, t, *how)
            return x

        def cat(*parts):
            return torch.cat(parts, dim=1)

        flat, tall, half = (1, 7), (7, 1), (2, 0)
        x = chain(x, (32, 3, *half), (32, 3, 1, 0), (64, 3))
        x = F.max_pool2d(chain(F.max_pool2d(x, 3, 2), (80, 1), (192, 3, 1, 0)), 3, 2)
        for p in (32, 64, 64):
            two, three = chain(x, (48, 1), (64, 5)), chain(x, (64, 1), (96, 3), (96, 3))
            x = cat(chain(x, (64, 1)), two, three, pooled(x, p))
        two = chain(x, (64, 1), (96, 3), (96, 3, *half))
        x = cat(chain(x, (384, 3, *half)), two, F.max_pool2d(x, 3, 2))
        for c in (128, 160, 160, 192):
            two = chain(x, (c, 1), (c, flat), (192, tall))
            three = chain(x, (c, 1), (c, tall), (c, flat), (c, tall), (192, flat))
            x = cat(chain(x, (192, 1)), two, three, pooled(x, 192))
        extra = chain(F.adaptive_avg_pool2d(x, 5), (128, 1), (768, 5, 1, 0)).flatten(1)
        two = chain(x, (192, 1), (192, flat), (192, tall), (192, 3, *half))
        x = cat(chain(x, (192, 1), (320, 3, *half)), two, F.max_pool2d(x, 3, 2))
        for _ in range(2):
            forks = [chain(x, (384, 1)), chain(x, (448, 1), (384, 3))]
            forks = [chain(y, (384, kernel)) for y in forks for kernel in ((1, 3), (3, 1))]
            x = cat(chain(x, (320, 1)), *forks, pooled(x, 192))
        return dense(x.mean(dim=(2, 3)), classes), dense(extra, classes)

    dice = torch.Generator().manual_seed(1165)
    x = torch.randn(3, 2, 91, 118, generator=dice)
    how = {"num_classes": 4, "in_channels": 2, "width": 0.125}
    for aux, training, rates, ran in (
        (True, True, [(0.5, 256)], 2),
        (True, False, [], 1),
        (False, True, [(0.5, 256)], 1),
    ):
        what = f"aux={aux}, training={training}"
        got = watched(InceptionV3, {**how, "aux": aux}, training, x)
        check.equal(got[0], aux and training, what=f"a tuple comes out, {what}")
        check.equal(
            got[1],
            rates,
            what=f"(rate, how many numbers of an image) of each dropout at work, {what}",
        )
        check.equal(got[2], ran, what=f"dense layers that run, {what}")
        check.equal(got[3:5], (12, True), what=f"stages that run, each on the last result, {what}")
        if training:
            check.equal(got[5], 0, what=f"parameters that no gradient reaches, {what}")
    for C, classes, (N, H, W), training in (
        (1, 4, (2, 100, 83), False),
        (2, 3, (3, 91, 120), True),
    ):
        x = torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)
        expected = network(x, classes, lambda channels: channels // 8, training)
        how = {"num_classes": classes, "in_channels": C, "width": 0.125}
        got = run(InceptionV3(**how), x, training)
        what = f"InceptionV3({how}), training={training}, x {tuple(x.shape)}"
        expected = expected if training else expected[0]
        check.close(got, expected, what=what, rtol=1e-4, atol=1e-5)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it: what a cell looks at.** Again a single dot and weights of one, in three of your cells. Every output channel lights up a set of places; here are the different sets of each cell.
#
# **Predict.** A has two branches that are meant to see 5 x 5. Do they see it alike? How wide does the long branch of C see? Which sets can a fork make?


# %% figure="footprints"
def footprints(stage, channels, side=15):
    """What a dot lights up, one map for each different set of places, with all weights one."""
    stage = copy.deepcopy(stage).cpu().eval()
    with torch.no_grad():
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / module.weight[0, :, 0, 0].numel())
        dot = torch.zeros(1, channels, side, side)
        dot[:, :, side // 2, side // 2] = 1
        answer = stage(dot)[0]
    found = {}
    for channel in answer:
        found.setdefault(tuple((channel > 0).flatten().tolist()), channel)
    return list(found.values())


torch.manual_seed(seed)
v3 = InceptionV3(num_classes=10, width=0.125)
cells_shown = {"A1": 24, "C1": 96, "E1": 160}
fig, axes = plt.subplots(3, 6, figsize=(7, 3.5), layout="constrained")
widths_seen = {}
for row, (name, channels) in zip(axes, cells_shown.items(), strict=True):
    found = sorted(footprints(v3.stages[name], channels), key=lambda one: int((one > 0).sum()))
    widths_seen[name] = [
        f"{int((one > 0).any(1).sum())}x{int((one > 0).any(0).sum())}" for one in found
    ]
    for ax in row:
        ax.set_axis_off()
    for ax, one, title in zip(row, found, widths_seen[name], strict=False):
        ax.imshow(one**0.5, cmap="viridis")
        ax.set_axis_on()
        ax.set(xticks=[], yticks=[], title=title)
    row[0].set_ylabel(name)
plt.show()
print(widths_seen)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three rows of small maps. A1: one place, 3 by 3, 5 by 5. C1: one place, 3 by 3, 7 by 7, and 13 by 13. E1: one place, 3 by 1 and 1 by 3 bars, 3 by 3, and 5 by 3 and 3 by 5 blocks.](figures/footprints.png)
#
# (Height x width.) In A the 5 x 5 and the two 3 x 3 light up the same 25 places, so they are one set here. The long branch of C sees 13 x 13 with four thin kernels of 28 weights together; one square kernel would take 169. In E the forks make bars, and the bars make maps that lie and maps that stand.
#
# </details>

# %%
check.equal(tuple(widths_seen["A1"]), ("1x1", "3x3", "5x5"), what="A1")
check.equal(tuple(widths_seen["C1"]), ("1x1", "3x3", "7x7", "13x13"), what="C1")
check.equal(
    sorted(widths_seen["E1"]), sorted(["1x1", "1x3", "3x1", "3x3", "3x5", "5x3"]), what="E1"
)

# %% [markdown]
# ## 9. A cell with a shortcut
#
# In December 2015 residual networks won ImageNet (next unit): each block *adds* something to its input. Szegedy and others (2016, *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*) did the same with inception cells:
#
# $$y = \text{ReLU}\big(x + s \cdot (\text{expand}(\text{concat}(\text{branches}(x))) )\big).$$
#
# - **expand** is a 1 x 1 convolution back to as many channels as $x$ has, or the sum would not exist. It is *linear*: with a bias, without batch norm, **without ReLU**. With a ReLU there the block could only ever add; so it may subtract as well.
# - $s$ is a fixed number, the **scale**, 0.1 to 0.3. With more than a thousand filters the authors saw networks "die" early in training, giving only zeros after a few tens of thousands of steps; scaling down what is added cured it, and a lower learning rate or more batch norm did not (their section 3.3).
# - The concatenation is *inside*. A residual network is not made of inception modules; this one is a mixture of two ideas.
#
# One class makes all three blocks of the network. The name of a row is the height of its maps, for images of 299 x 299:


# %%
INCEPTION_RESNET_V2 = {  # the released network: channels, scale, branches in the language of Mixed
    "35": (320, 0.17, [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]),
    "17": (1088, 0.10, [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]),
    "8": (2080, 0.20, [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]),
}

# %% [markdown]
# ### Exercise: `InceptionResNetV2Block`
#
# *15 minutes, easy. What it is for: the shortcut, one unit early; and where a ReLU must not stand.*
#
# <details><summary>Hint</summary>
#
# `Mixed(channels, branches)` and one `nn.Conv2d`. How many channels does it take in?
#
# </details>


# %% exercise="InceptionResNetV2Block"
class InceptionResNetV2Block(nn.Module):
    """ReLU(x + scale * expand(concat(branches(x)))): (N, channels, H, W) -> the same shape.

    branches, all of stride 1, as for Mixed. expand: a 1 x 1 nn.Conv2d with bias to channels, nothing behind it.
    last=True leaves the ReLU after the sum out, as the last block of the network does. x is not changed.
    """

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        ### BEGIN SOLUTION
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last
        ### END SOLUTION

    def forward(self, x):
        """What was, plus a little of what is new."""
        ### BEGIN SOLUTION
        y = x + self.scale * self.expand(self.mixed(x))
        return y if self.last else F.relu(y)
        ### END SOLUTION


# %% tests="InceptionResNetV2Block" part="wiring" points=1
import torch as _torch

_x = _torch.randn(2, 4, 5, 6, generator=_torch.Generator().manual_seed(0))
_branches = [[(2, 1)], [(3, 1), (5, (1, 3))]]
# With scale 0 nothing is added: ReLU(x), and x itself from the last block
_y = InceptionResNetV2Block(4, _branches, scale=0.0).eval()(_x)
check.close(_y, _x.relu(), what="a block with scale 0")
_y = InceptionResNetV2Block(4, _branches, scale=0.0, last=True).eval()(_x)
check.close(_y, _x, what="a last block with scale 0")
# Weights 4*2 + 4*3 + 3*5*3 = 65, batch norms 2 * (2 + 3 + 5) = 20, expand (2 + 5) * 4 + 4 = 32
check.equal(
    sum(_p.numel() for _p in InceptionResNetV2Block(4, _branches).parameters()),
    117,
    what="parameters of InceptionResNetV2Block(4, [[(2, 1)], [(3, 1), (5, (1, 3))]])",
)
del _torch, _x, _branches, _y


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def count(InceptionResNetV2Block, channels, branches):
        import torch

        nowhere = torch.device("meta")
        with nowhere:
            block = InceptionResNetV2Block(channels, branches)
            y = block(torch.zeros(2, channels, 8, 9))
        return sum(p.numel() for p in block.parameters()), tuple(y.shape)

    @check.remote
    def gradients(InceptionResNetV2Block, x):
        block = InceptionResNetV2Block(x.shape[1], [[(2, 1)], [(3, 1), (4, 3)]], 0.3).double()
        (block(x) ** 2).sum().backward()
        return [float(p.grad.abs().max()) for p in block.parameters()]

    for channels, branches in (
        (320, [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]),
        (1088, [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]),
        (2080, [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]),
    ):
        weights, outputs = 0, 0
        for steps in branches:
            inputs = channels
            for outputs_, kernel in steps:
                kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
                weights += inputs * outputs_ * kh * kw + 2 * outputs_
                inputs = outputs_
            outputs += inputs
        expected = (weights + outputs * channels + channels, (2, channels, 8, 9))
        got = count(InceptionResNetV2Block, channels, branches)
        check.equal(got, expected, what=f"parameters and shape of a block of {channels} channels")
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(1151), dtype=torch.float64)
    assert min(gradients(InceptionResNetV2Block, x)) > 0, "a parameter that no gradient reaches"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="InceptionResNetV2Block" part="values" points=2
import torch as _torch

# The sum may go down as well as up: somewhere the last block gives less than x
_x = _torch.randn(2, 4, 5, 6, generator=_torch.Generator().manual_seed(0))
_y = InceptionResNetV2Block(4, [[(2, 1)], [(3, 1), (5, (1, 3))]], last=True).eval()(_x)
assert bool((_y < _x).any()), "nothing is ever subtracted: is there a ReLU before the sum?"
del _torch, _x, _y


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    dice = torch.Generator().manual_seed(1152)
    for C, branches, scale, last in (
        (4, [[(3, 1)], [(2, 1), (5, 3)], [(2, 1), (6, 3), (3, 3)]], 0.17, False),
        (5, [[(4, 1)], [(3, 1), (2, (1, 7)), (6, (7, 1))]], 0.3, True),
        (6, [[(2, 1)], [(7, 1), (3, (1, 3)), (5, (3, 1))]], 1.0, False),
        (3, [[(2, 1)], ["max", (4, 1)]], None, True),
    ):
        x = torch.randn(2, C, 8, 9, generator=dice, dtype=torch.float64)
        for training in (False, True):
            parts = []
            for steps in branches:
                y = x
                for step in steps:
                    y = F.max_pool2d(y, 3, 1, 1) if step == "max" else unit(y, *step, training)
                parts.append(y)
            y = torch.cat(parts, dim=1)
            added = F.conv2d(y, weight((C, y.shape[1], 1, 1)), 0.2 * draw((C,), 6))
            expected = x + (0.17 if scale is None else scale) * added
            expected = expected if last else expected.relu()
            how = {"last": last} | ({} if scale is None else {"scale": scale})
            before = x.clone()
            block = InceptionResNetV2Block(C, branches, **how)
            what = f"InceptionResNetV2Block({C}, {branches}, {how}), training={training}"
            check.close(run(block, x, training), expected, what=what)
            block(x)
            check.unchanged(before, x)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **At full size.** The three rows of `INCEPTION_RESNET_V2`, built by your class:

# %%
blocks = {}
with torch.device("meta"):
    for size, (channels, scale, branches) in INCEPTION_RESNET_V2.items():
        blocks[size] = parameters(InceptionResNetV2Block(channels, branches, scale))
        print(
            f"maps of {size:>2} x {size:<2} {channels:>5} channels, {blocks[size]:>9,} parameters"
        )
stacked = 10 * blocks["35"] + 20 * blocks["17"] + 10 * blocks["8"]
print(f"10, 20 and 10 of them: {stacked:,}")
assert round(stacked / 1e6, 1) == 44.1

# %% [markdown]
# The network stacks 10, 20 and 10 of them, 44.1 million parameters; with a stem, two reductions and an end it has about 56.
#
# **See it.** Twenty blocks in a row, at the start of training, random input. How much of the input is still there? Measured by the correlation of $x$ with what comes out of block $n$. (The ReLU after the sum is left out, so that it does not blur the picture.)
#
# **Predict.** The curves for a scale of 1, 0.3, and 0.1.

# %% figure="scale"
fig, ax = plt.subplots(figsize=(5.4, 2.4), layout="constrained")
kept = {}
for scale, style in ((1.0, ":"), (0.3, "--"), (0.1, "-")):
    curves = []
    for one in range(3):
        torch.manual_seed(one)
        x = torch.randn(8, 64, 8, 8)
        y, curve = x, [1.0]
        for _ in range(20):
            block = InceptionResNetV2Block(64, [[(16, 1)], [(16, 1), (16, 3)]], scale, last=True)
            with torch.no_grad():
                y = block.train()(y)
            curve.append(float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]))
        curves.append(curve)
    kept[scale] = np.mean(curves, axis=0)
    ax.plot(kept[scale], style, label=f"scale {scale}")
ax.set(xlabel="block", ylabel="correlation with x", ylim=(0, 1.03), xticks=range(0, 21, 5))
ax.set_title("How much of x is left?")
ax.legend(fontsize=7)
plt.show()
print(
    {scale: round(float(curve[-1]), 2) for scale, curve in kept.items()},
    "after 20 blocks, mean of 3 seeds",
)
assert kept[1.0][-1] < 0.6
assert kept[0.1][-1] > 0.97

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![The correlation with the input over 20 blocks: with scale 1 it falls to about a half, with 0.3 to about 0.9, with 0.1 it stays near 1.](figures/scale.png)
#
# Each block adds something of its own, with a variance proportional to $s^2$, and the variances add up. With scale 0.1 twenty blocks together are nearly the identity at the start, and learn away from there. Others reach the same by starting batch norm's last `gamma` at zero (next unit). What this figure does *not* show is the dying that the authors saw: that takes a thousand filters and days.
#
# </details>

# %% [markdown]
# ## 10. The idea at its end
#
# Look at a cell again: first 1 x 1 convolutions, which mix channels and do not look around; then 3 x 3 convolutions, each on *its own* few channels. The silent hypothesis: what happens across channels and what happens across places can be separated. How far?
#
# Take a cell with $n$ branches of the same form, 1 x 1 then 3 x 3, nothing else. All $n$ bottlenecks together are *one* 1 x 1 convolution whose result is cut into $n$ segments, and each 3 x 3 works on its segment. But that is a **grouped convolution** with $n$ groups (units 05 and 10). So there is a ruler (Chollet 2017, section 1, figures 2 to 4):
#
# - one group: an ordinary 3 x 3 convolution,
# - three or four groups: about an inception cell,
# - **as many groups as channels**: each channel is filtered alone. This end of the ruler Chollet called *extreme* inception: **Xception**.

# %%
torch.manual_seed(seed)
x = torch.randn(2, 12, 6, 7)
mix, grouped = (
    nn.Conv2d(12, 12, 1, bias=False),
    nn.Conv2d(12, 12, 3, padding=1, groups=3, bias=False),
)
towers = []
for n in range(
    3
):  # three branches with weights of their own: 1 x 1 to 4 channels, 3 x 3 on these 4
    segment = slice(4 * n, 4 * n + 4)
    small = F.conv2d(x, mix.weight[segment])
    towers.append(F.conv2d(small, grouped.weight[segment], padding=1))
check.close(
    grouped(mix(x)).detach(),
    torch.cat(towers, dim=1).detach(),
    what="one grouped convolution, three towers",
)
print("three towers and one convolution with three groups: the same to the last digits")

# %% [markdown]
# **Predict.** 256 channels in, 256 out. A 1 x 1 convolution and then a 3 x 3 with $g$ groups, $g = 1, 2, 4, \dots, 256$. How do the weights fall? At which end is most of it, in the 1 x 1 or in the 3 x 3?

# %% figure="ruler"
groups = [2**n for n in range(9)]
with torch.device("meta"):
    places = [
        nn.Conv2d(256, 256, 3, padding=1, groups=g, bias=False).weight.numel() for g in groups
    ]
channels_part = 256 * 256
fig, ax = plt.subplots(figsize=(5.6, 2.4), layout="constrained")
ax.bar(range(9), places, color="#33206b", label="3 x 3, places")
ax.bar(
    range(9),
    [channels_part] * 9,
    bottom=places,
    color="#d9a441",
    label="1 x 1, channels",
    hatch="//",
)
ax.axhline(9 * 256 * 256, color="gray", linewidth=1, label="one 3 x 3 alone")
ax.set(xticks=range(9), xticklabels=groups, xlabel="groups of the 3 x 3", ylabel="weights")
ax.set_title("From a convolution to its extreme")
ax.legend(fontsize=7)
plt.show()
print(
    f"256 groups: {places[-1]:,} for places and {channels_part:,} for channels; {9 * channels_part / (places[-1] + channels_part):.1f} times fewer than one 3 x 3"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Bars of the number of weights for 1 to 256 groups: the part of the 3 by 3 halves with each step until nothing is to be seen of it, the part of the 1 by 1 stays the same.](figures/ruler.png)
#
# The 3 x 3 falls as $1/g$, the 1 x 1 stays. At the end 2,304 weights look at places and 65,536 mix channels: 8.7 times fewer than a single ordinary 3 x 3. Nearly everything that such a network learns is how to mix channels.
#
# </details>

# %%
assert places[-1] == 2304
assert round(9 * channels_part / (places[-1] + channels_part), 1) == 8.7

# %% [markdown]
# **Separable convolution.** In Xception places come first: a *depthwise* 3 x 3 (as many groups as channels, padding 1), then a *pointwise* 1 x 1. The order hardly matters in a deep stack. What does matter: **nothing stands between them**, neither batch norm nor ReLU. Chollet tried a ReLU or an ELU there and it was worse (his section 4.7). That is a difference from inception cells, which have one behind every convolution. Batch norm comes after the pair. No biases.
#
# ```
# stage          what                                                                         output at 299 x 299
#
# stem           3x3 stride 2 to 32, 3x3 to 64, no padding; batch norm and ReLU behind each       147 x 147 x 64
# entry1         x ──▶ sep 128 ─ BN ─ ReLU ─ sep 128 ─ BN ─ max pool/2 ──▶ (+)                     74 x  74 x 128
#                └───▶ 1x1 stride 2 to 128 ─ BN ────────────────────────▶ (+)
# entry2         x ──▶ ReLU ─ sep 256 ─ BN ─ ReLU ─ sep 256 ─ BN ─ max pool/2 ──▶ (+)              37 x  37 x 256
#                └───▶ 1x1 stride 2 to 256 ─ BN ───────────────────────────────▶ (+)
# entry3         the same with 728                                                                19 x  19 x 728
# middle1 ...    x ──▶ ReLU ─ sep 728 ─ BN ─ ReLU ─ sep 728 ─ BN ─ ReLU ─ sep 728 ─ BN ──▶ (+)      19 x  19 x 728
# ... middle8    └───▶ nothing ────────────────────────────────────────────────────────▶ (+)
# exit1          as entry2, but with sep 728 and then sep 1,024; shortcut to 1,024                10 x  10 x 1,024
# exit2          sep 1,536 ─ BN ─ ReLU ─ sep 2,048 ─ BN ─ ReLU                                    10 x  10 x 2,048
#                mean over all places, dense layer to the classes
# ```
#
# `sep` is the pair. The pooling is 3 x 3 with stride 2 and padding 1. All batch norms have `eps=1e-3`. (For ImageNet Chollet also had a dropout of 0.5 before the dense layer. Figure 5 leaves it out, and so do you.)
#
# **Mind the ReLUs.** They stand *before* each pair, not after the sum: what runs along the shortcuts is never cut. `entry1` has none at its start, as the stem ends in one. And one trap: `nn.ReLU(inplace=True)` at the start of a unit writes into $x$, and the shortcut then gets the cut $x$. No error, no NaN, another network.
#
# **The count.** 22,855,952 for 1,000 classes. Keras reports 22,910,480 for its Xception: it also counts the running means and variances of the batch norms, which nobody learns.

# %% [markdown]
# ### Exercise: `Xception`
#
# *25 minutes, medium. What it is for: the step from here to every small network on a telephone (unit 13), and to the shape of nearly all later blocks: places apart, channels apart, a shortcut around both.*
#
# <details><summary>Hint 1</summary>
#
# Twelve of the units have one form: a list of widths, with or without a ReLU at the start, with or without pooling and a shortcut of its own. Write a class or a function for it *inside* of `Xception` or above it in the same cell.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A depthwise convolution from $C$ channels: `nn.Conv2d(C, C, 3, padding=1, groups=C, bias=False)`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# The count is too large by millions: a depthwise without `groups`. By some thousands: biases, or a batch norm inside of a pair. Too small by some thousands: no batch norm in a shortcut. Right count, wrong values: an order, an `eps`, or a ReLU.
#
# </details>


# %% exercise="Xception"
class Xception(nn.Module):
    """Chollet 2017 (arXiv:1610.02357), figure 5: (N, in_channels, H, W) -> logits. width scales all channels.

    stages is an nn.ModuleDict, in order: stem, entry1, entry2, entry3, middle1 ... (as many as middle says), exit1,
    exit2; each takes the result of the one before, and changes nothing in it.
    """

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
        ### BEGIN SOLUTION
        unit = self.Unit

        def n(channels):
            return round(channels * width)

        self.stages = nn.ModuleDict()
        self.stages["stem"] = nn.Sequential(
            ConvNormReLU(in_channels, n(32), 3, stride=2, padding=0),
            ConvNormReLU(n(32), n(64), 3, padding=0),
        )
        self.stages["entry1"] = unit(n(64), [n(128), n(128)], starts_with_relu=False)
        self.stages["entry2"] = unit(n(128), [n(256), n(256)])
        self.stages["entry3"] = unit(n(256), [n(728), n(728)])
        for one in range(middle):
            self.stages[f"middle{one + 1}"] = unit(n(728), [n(728)] * 3, halves=False)
        self.stages["exit1"] = unit(n(728), [n(728), n(1024)])
        self.stages["exit2"] = nn.Sequential(
            *self.separable(n(1024), n(1536)),
            nn.ReLU(),
            *self.separable(n(1536), n(2048)),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(n(2048), num_classes)

    @staticmethod
    def separable(inputs, outputs):
        """Three layers: places, channels, batch norm."""
        return [
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
        ]

    class Unit(nn.Module):
        """Pairs of ReLU and separable convolution, and a shortcut around them."""

        def __init__(self, inputs, widths, starts_with_relu=True, halves=True):
            super().__init__()
            layers = []
            for before, after in zip([inputs, *widths], widths, strict=False):
                layers += [nn.ReLU(), *Xception.separable(before, after)]
            self.body = nn.Sequential(*layers if starts_with_relu else layers[1:])
            self.shortcut = nn.Identity()
            if halves:
                self.body.append(nn.MaxPool2d(3, 2, padding=1))
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, after, 1, stride=2, bias=False),
                    nn.BatchNorm2d(after, eps=1e-3),
                )

        def forward(self, x):
            """The sum is not cut."""
            return self.body(x) + self.shortcut(x)

        ### END SOLUTION

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        ### BEGIN SOLUTION
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))
        ### END SOLUTION


# %% tests="Xception" part="count" points=1
@check.remote
def _count(Xception, **how):
    """How many parameters there are, and how many other numbers batch norms keep (two per channel)."""
    import torch

    with torch.device("meta"):
        net = Xception(**how)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    weights, kept = sum(p.numel() for p in net.parameters()), sum(2 * m.num_features for m in norms)
    return weights, kept, tuple(sorted({m.eps for m in norms}))


check.equal(_count(Xception)[0], 22_855_952, what="parameters of Xception()")
check.equal(
    sum(_count(Xception)[:2]), 22_910_480, what="with the running statistics, as Keras counts"
)
check.equal(_count(Xception)[2], (0.001,), what="eps of the batch norms, each value once")
# One middle unit: three depthwise (728 * 9), three pointwise (728 * 728), three batch norms (2 * 728)
check.equal(
    _count(Xception, middle=1)[0] - _count(Xception, middle=0)[0],
    3 * (728 * 9 + 728 * 728 + 2 * 728),
    what="parameters of one middle unit",
)
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(Xception, how):
        import torch

        nowhere = torch.device("meta")
        with nowhere:
            net = Xception(**how)
        known = {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)}
        amount = sum(weight.numel() for weight in net.parameters())
        return amount, list(net.stages), tuple(sorted(known))

    unit = 3 * (728 * 9 + 728 * 728 + 2 * 728)
    for how, expected, middle in (
        ({}, 22_855_952, 8),
        ({"num_classes": 10}, 22_855_952 - 990 * 2049, 8),
        ({"in_channels": 1}, 22_855_952 - 2 * 32 * 9, 8),
        ({"middle": 3}, 22_855_952 - 5 * unit, 3),
        ({"num_classes": 7, "in_channels": 2, "width": 0.125, "middle": 2}, 188_542, 2),
    ):
        got, names, eps = count(Xception, how)
        check.equal(got, expected, what=f"parameters of Xception({how})")
        check.equal(eps, (0.001,), what=f"eps of the batch norms of Xception({how})")
        wanted = ["stem", "entry1", "entry2", "entry3"]
        wanted += [f"middle{n}" for n in range(1, middle + 1)] + ["exit1", "exit2"]
        check.equal(tuple(names), tuple(wanted), what=f"the names in stages of Xception({how})")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Xception" part="units" points=2
import torch as _torch


@check.remote
def _unit(Xception, name, x):
    """What a stage of a small network gives, with all its batch norms' weights and shifts zero."""
    import torch

    stage = Xception(width=0.125, middle=1).eval().stages[name]
    for module in stage.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return stage(x).detach()


_x = _torch.randn(1, 91, 5, 6, generator=_torch.Generator().manual_seed(0))
_before = _x.clone()
# With gamma = beta = 0 a middle unit adds zero: x comes out, negative numbers and all
check.close(_unit(Xception, "middle1", _x), _before, what="middle1 with gamma and beta zero")
# exit1 halves (rounding up) and has a shortcut of its own, which is zero then, too
check.shape(_unit(Xception, "exit1", _x), (1, 128, 3, 3), what="exit1 on x (1, 91, 5, 6)")
del _torch, _unit, _x, _before


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def sep(x, width, t):
        C = x.shape[1]
        y = F.conv2d(x, weight((C, 1, 3, 3)), None, 1, 1, groups=C)
        return norm(F.conv2d(y, weight((width, C, 1, 1))), t)

    def halving(x, first, second, t, cut=True):
        y = sep(sep(x.relu() if cut else x, first, t).relu(), second, t)
        short = norm(F.conv2d(x, weight((second, x.shape[1], 1, 1)), None, 2), t)
        return F.max_pool2d(y, 3, 2, 1) + short

    def middle(x, t):
        return x + sep(sep(sep(x.relu(), 91, t).relu(), 91, t).relu(), 91, t)

    def stem(x, t):
        return unit(unit(x, 4, 3, t, 2, 0), 8, 3, t, 1, 0)

    stages = {
        "stem": (3, stem),
        "entry1": (8, lambda x, t: halving(x, 16, 16, t, cut=False)),
        "entry2": (16, lambda x, t: halving(x, 32, 32, t)),
        "entry3": (32, lambda x, t: halving(x, 91, 91, t)),
        "middle1": (91, middle),
        "middle2": (91, middle),
        "exit1": (91, lambda x, t: halving(x, 91, 128, t)),
        "exit2": (128, lambda x, t: sep(sep(x, 192, t).relu(), 256, t).relu()),
    }
    dice = torch.Generator().manual_seed(1171)
    for number, (name, (C, oracle)) in enumerate(stages.items()):
        for training in (False, True):
            H, W = ((9, 12), (8, 7))[(number + training) % 2]
            x = torch.randn(2, C, H, W, generator=dice, dtype=torch.float64)
            x = x.abs() if name == "entry1" else x  # the stem ends in a ReLU
            expected = oracle(x, training)
            net = Xception(num_classes=3, middle=2, width=0.125)
            what = f"stage {name}, width=0.125, training={training}, x {tuple(x.shape)}"
            before = x.clone()
            check.close(run(net.stages[name], x, training), expected, what=what)
            check.unchanged(before, x, what=f"x, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Xception" part="network" points=2
import torch as _torch

_net = Xception(num_classes=5, in_channels=1, middle=1, width=0.125)
check.shape(_net(_torch.zeros(2, 1, 70, 83)), (2, 5), what="5 classes, x (2, 1, 70, 83)")
# In use the answer to an image does not depend on the others in the batch
_x = _torch.randn(3, 1, 40, 48, generator=_torch.Generator().manual_seed(0))
check.close(
    _net.eval()(_x[:1]), _net(_x)[:1], what="the first image alone, in eval", rtol=1e-3, atol=1e-4
)
del _torch, _net, _x


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def run(net, x, training):
        """Draw each number of net anew from the shape that it belongs to, then net on x, without dropout."""
        import torch

        def draw(shape, salt):
            where = salt + sum(n * 37**i for i, n in enumerate(shape))
            dice = torch.Generator().manual_seed(where)
            return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

        net.double().train(training)
        with torch.no_grad():
            for m in net.modules():
                if isinstance(m, torch.nn.BatchNorm2d):
                    C = (m.num_features,)
                    m.weight.copy_(1 + 0.2 * draw(C, 1))
                    m.bias.copy_(0.2 * draw(C, 2))
                    m.running_mean.copy_(0.2 * draw(C, 3))
                    m.running_var.copy_(0.5 + draw(C, 4).abs())
                elif isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
                    m.weight.copy_(draw(m.weight.shape, 5) * (2 / m.weight[0].numel()) ** 0.5)
                    if m.bias is not None:
                        m.bias.copy_(0.2 * draw(m.bias.shape, 6))
            kept, torch.nn.functional.dropout = torch.nn.functional.dropout, lambda x, *a, **k: x
            try:
                return net(x)
            finally:
                torch.nn.functional.dropout = kept

    @check.remote
    def starved(net, x):
        """How many parameters no gradient reaches."""
        net.train()
        (net(x) ** 2).sum().backward()
        return sum(p.grad is None or not float(p.grad.abs().max()) > 0 for p in net.parameters())

    def draw(shape, salt):
        where = salt + sum(n * 37**i for i, n in enumerate(shape))
        dice = torch.Generator().manual_seed(where)
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64)

    def norm(x, training):
        C = (x.shape[1],)
        weight, bias = 1 + 0.2 * draw(C, 1), 0.2 * draw(C, 2)
        stored = (None, None) if training else (0.2 * draw(C, 3), 0.5 + draw(C, 4).abs())
        return F.batch_norm(x, *stored, weight, bias, training, eps=1e-3)

    def weight(shape):
        return draw(shape, 5) * (2 / np.prod(shape[1:])) ** 0.5

    def unit(x, width, kernel, training, stride=1, padding=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = ((kh - 1) // 2, (kw - 1) // 2) if padding is None else padding
        y = F.conv2d(x, weight((width, x.shape[1], kh, kw)), None, stride, padding)
        return F.relu(norm(y, training))

    def sep(x, width, t):
        C = x.shape[1]
        y = F.conv2d(x, weight((C, 1, 3, 3)), None, 1, 1, groups=C)
        return norm(F.conv2d(y, weight((width, C, 1, 1))), t)

    def halving(x, first, second, t, cut=True):
        y = sep(sep(x.relu() if cut else x, first, t).relu(), second, t)
        short = norm(F.conv2d(x, weight((second, x.shape[1], 1, 1)), None, 2), t)
        return F.max_pool2d(y, 3, 2, 1) + short

    def network(x, classes, middle, t):
        x = unit(unit(x, 4, 3, t, 2, 0), 8, 3, t, 1, 0)
        x = halving(halving(halving(x, 16, 16, t, cut=False), 32, 32, t), 91, 91, t)
        for _ in range(middle):
            x = x + sep(sep(sep(x.relu(), 91, t).relu(), 91, t).relu(), 91, t)
        x = halving(x, 91, 128, t)
        x = sep(sep(x, 192, t).relu(), 256, t).relu().mean(dim=(2, 3))
        return F.linear(x, weight((classes, 256)), 0.2 * draw((classes,), 6))

    dice = torch.Generator().manual_seed(1172)
    for C, classes, middle, (N, H, W) in (
        (1, 4, 2, (2, 61, 76)),
        (2, 3, 1, (3, 75, 52)),
        (3, 6, 0, (2, 40, 57)),
    ):
        x = torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)
        how = {"num_classes": classes, "in_channels": C, "middle": middle, "width": 0.125}
        for training in (False, True):
            expected = network(x, classes, middle, training)
            got = run(Xception(**how), x, training)
            what = f"Xception({how}), training={training}, x {tuple(x.shape)}"
            check.close(got, expected, what=what, rtol=1e-4, atol=1e-5)
        check.equal(
            starved(Xception(**how), x.float()), 0, what=f"starved parameters, Xception({how})"
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Written question
#
# Xception has about as many parameters as Inception v3, and was better on ImageNet by 0.8 points top-1 (79.0 % against 78.2 %, Chollet 2017, table 1). The author concludes that the gains "are not due to increased capacity but rather to a more efficient use of model parameters". What would you have to keep equal, and what to vary, to test this sentence? Name one thing besides the separable convolutions in which the two networks differ, and say how you would take it out of the comparison.

# %% [markdown] manual="fair_comparison" points=2
# ### BEGIN SOLUTION
# Keep equal: data, augmentation, optimizer with a search of equal size for each network (the best rate of one is not that of the other), epochs, auxiliary heads, regularization; parameters *and* multiply-adds, as either may be the capacity that counts (Xception takes half as many again). Vary: only whether the convolutions are separable, and the seed, several times, since 0.8 points must be compared with the spread.
#
# The two also differ in: residual shortcuts (Xception has them, Inception v3 does not; Chollet trained one without them, and it was much worse in speed and accuracy), weight decay (chosen anew for Xception, 1e-5 against 4e-5, his section 4.3), depth and layout, and the pre-activation order. (Not in the auxiliary head: he left it out of both.) To take the shortcuts out: give both the same shortcuts, or neither; or replace in Xception each separable convolution by an inception-like one with the same number of parameters and leave all else as it is. The last is the cleanest, as only one thing changes.
# ### END SOLUTION

# %% [markdown]
# ## 11. The thing done
#
# In part 1 nine cells with three sizes cost 92.5 million weights. Your `GoogLeNet(kernel=5)` has the same three sizes, nine cells and 22 layers, and 7.0 million parameters (6.6 with torchvision's `kernel=3`). Here are three generations at full size, by your own classes, and the small one that reads.

# %% figure="done"
with torch.device("meta"):
    family = {
        "GoogLeNet (2014)": (GoogLeNet(aux=False), 224),
        "Inception v3 (2015)": (InceptionV3(aux=False), 299),
        "Xception (2016)": (Xception(), 299),
    }
    sizes = {}
    for name, (net, side) in family.items():
        table = layer_table(net.eval(), torch.zeros(1, 3, side, side))
        sizes[name] = parameters(net), sum(row.multiply_adds for row in table)
for name, (learned_numbers, operations) in sizes.items():
    print(
        f"{name:<20} {learned_numbers:>11,} parameters, {operations / 1e9:5.2f} billion multiply-adds"
    )
mistaken = []
reader.eval()
with torch.no_grad():
    probabilities = reader(test_x).softmax(dim=1).cpu()
guesses = probabilities.argmax(dim=1)
wrong = (guesses != test_y.cpu()).nonzero()[:, 0][:6]
fig = plt.figure(figsize=(7, 2.4), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.2, 1])
ax = left.subplots()
smooth = np.convolve(reader_losses, np.full(10, 0.1), mode="valid")
ax.plot(np.arange(10, 10 + len(smooth)), smooth)
ax.set(xlabel="step", ylabel="loss with both heads (mean of 10)", ylim=(0, None))
ax.set_title(f"GoogLeNet, width 1/4: {100 * reached:.1f} % of {len(test_y)}")
for ax, which in zip(right.subplots(2, 3).flat, wrong.tolist(), strict=False):
    ax.imshow(test_x[which, 0].cpu(), cmap="gray")
    ax.set_title(f"{int(test_y[which])}, read as {int(guesses[which])}", fontsize=8)
for ax in right.axes:
    ax.set_axis_off()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, the training loss of the small GoogLeNet over 120 steps, falling from above 3 to below 0.5. Right, six test characters that it got wrong.](figures/done.png)
#
# 6.6, 23.8 and 22.9 million parameters; 1.5, 5.7 and 8.4 billion multiply-adds. Xception has fewer weights than Inception v3 and more work: its maps stay large for longer. (That work is spread over many thin operations, which hardware likes less than the count says: unit 13.) In the ImageNet contest of 2014 GoogLeNet had 6.7 % top-5 error and VGG 7.3 %, each as an ensemble; an ensemble of Inception-v4 and Inception-ResNet-v2 reached 3.1 % in 2016.
#
# </details>

# %%
with torch.device("meta"):
    assert round(parameters(GoogLeNet(aux=False, kernel=5)) / 1e6, 1) == 7.0
assert sizes["GoogLeNet (2014)"][0] == 6_624_904
assert sizes["Inception v3 (2015)"][0] == 23_834_568
assert 5.6e9 < sizes["Inception v3 (2015)"][1] < 5.8e9
assert sizes["Xception (2016)"][0] == 22_855_952
assert 8.3e9 < sizes["Xception (2016)"][1] < 8.5e9
assert sum(isinstance(m, nn.Conv2d) for m in family["Inception v3 (2015)"][0].modules()) == 94

# %% [markdown]
# **Colour, where it is found.** In the full profile the same class at half width trains on CIFAR-10, pictures doubled to 64 x 64. (The set is looked for in `CNN_COURSE_DATA`; where it is not, nothing happens.)

# %%
if profile == "full":
    try:
        pictures, unseen = cifar10("train"), cifar10("test")
    except DataError as error:
        print("CIFAR-10 was not found:", error)
    else:
        torch.manual_seed(seed)
        colour = GoogLeNet(num_classes=10, width=0.5 if device != "cpu" else 0.125).to(device)
        n = len(pictures.images) if device != "cpu" else 5000

        def doubled(images):
            """Images as a tensor on the device, at twice the size."""
            return F.interpolate(torch.tensor(images), scale_factor=2.0, mode="bilinear").to(device)

        labels = torch.tensor(pictures.labels[:n]).to(device)
        epochs = 15 if device != "cpu" else 4
        train_with_heads(colour, doubled(pictures.images[:n]), labels, epochs=epochs, seed=seed)
        m = 2000
        right = evaluate(colour, doubled(unseen.images[:m]), torch.tensor(unseen.labels[:m]))[1]
        print(
            f"{pictures.source}\n{n} training pictures, {epochs} epochs: {100 * right:.1f} % of {m}"
        )
        assert right > 0.25

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Ask at several scales, and pay with a 1 x 1.** Branches of same padding, concatenated along the channels; a bottleneck in front of each large kernel. 163,328 weights in place of 387,072 for cell 3a.
# 2. **A convolution does two jobs: it looks around and it mixes channels. Each can be factored.** Looking around into a column and a row (exact for rank one, any kernel with enough channels in between), and looking apart from mixing (groups, up to one per channel: Xception).
# 3. **A reason can be measured, and so can what is said to follow from it.** The heads do lift a starving gradient a hundredfold. That did not save the network that starves; with batch norm, where nothing starves, heads helped late. Ask the network, with a control.
#
# ## What to read
#
# - C. Szegedy and others, *Going Deeper with Convolutions*, CVPR 2015 (written 2014), [arXiv:1409.4842](https://arxiv.org/abs/1409.4842): sections 4 and 5, table 1, figures 2 and 3.
# - C. Szegedy and others, *Rethinking the Inception Architecture for Computer Vision*, CVPR 2016, [arXiv:1512.00567](https://arxiv.org/abs/1512.00567): the four principles of section 2, then 3, 4 and 7.
# - C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi, *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*, AAAI 2017, [arXiv:1602.07261](https://arxiv.org/abs/1602.07261): section 3.3 on scaling.
# - F. Chollet, *Xception: Deep Learning with Depthwise Separable Convolutions*, CVPR 2017, [arXiv:1610.02357](https://arxiv.org/abs/1610.02357): section 1 is the clearest page on the idea.
# - M. Lin, Q. Chen, S. Yan, *Network In Network*, ICLR 2014, [arXiv:1312.4400](https://arxiv.org/abs/1312.4400): where the 1 x 1 and the mean over all places come from.
# - R. Müller, S. Kornblith, G. Hinton, *When Does Label Smoothing Help?*, NeurIPS 2019, [arXiv:1906.02629](https://arxiv.org/abs/1906.02629).
#
# ## The road not taken
#
# Each number in these tables was chosen by people: 96, 208, 16, 48. ResNeXt (Xie and others 2017) kept the branches and threw the choosing away: 32 equal branches, which are one grouped convolution, as you saw in part 10. NASNet (Zoph and others 2018, unit 13) went the other way and let a search choose the branches. And most networks since have no branches at all but one: the shortcut. That is the next unit.
