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
#     - 11-inception
#     title: Residual networks
# ---

# %% [markdown]
# # Residual networks
#
# **300 minutes. You need unit 08 (batch norm, its two modes), unit 09 (`train`, `evaluate`), unit 10 (VGG, `layer_table`) and of unit 11 the 1 x 1 bottleneck.**
#
# Unit 10 ended with nineteen layers. So put fifty there, or a hundred: surely it cannot hurt? It does. Today you watch deeper networks get *worse at what they are trained on*, find out what it is not (overfitting) and what it is not either (vanishing gradients), and mend it with one plus sign. Then you build the families that grew from this plus sign, from one table each, down to the last of their 60 million parameters.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: deeper gets worse, and a deep network that is as good as a shallow one, made by hand | 25 |
# | 2 | `BasicBlock`: a branch and a shortcut | 35 |
# | 3 | `Bottleneck`: why 1x1, 3x3, 1x1 | 30 |
# | 4 | `ResNet`: five networks from one table | 40 |
# | 5 | `WideResNet`: deeper or wider? | 15 |
# | 6 | the experiment of 2015, again; what a reader of the paper objects | 25 |
# | 7 | `gradient_norms`: how long the gradients are, where they point, and what happens without batch norm | 40 |
# | 8 | `PreActBlock`: a clean road | 20 |
# | 9 | delete a layer of a trained network | 15 |
# | 10 | `DenseBlock`, `count_connections`, `DenseNet`: concatenate instead of add | 50 |
# | 11 | the thing done | 5 |

# %% [markdown]
# ## What your modules may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **Shapes.** `x` is a float tensor `(N, C, H, W)`. $H$ and $W$ may differ and may be odd. float32 or float64, on any device; a network's parameters are of the same kind as `x`, and so is the result. The whole networks get pictures of at least 32 x 32.
# - **No argument is changed.** That includes `x`: mind `inplace=True` and `+=` on something that *is* `x`.
# - **Modules.** Convolutions, batch norms and dense layers are `nn.Conv2d`, `nn.BatchNorm2d`, `nn.Linear`, each one a module of its own that runs once, so that tools such as `layer_table` find them. ReLU, pooling and additions may be functions or modules, as you like. Batch norms keep PyTorch's settings (`eps`, `momentum`).
# - **No bias in a convolution.** Each one is followed, sooner or later, by a batch norm that would remove it (unit 08). Padding keeps $H \times W$ where the stride is 1: `padding=1` for 3 x 3, none for 1 x 1.
# - **Names.** Where a docstring names an attribute, the name is promised. `BasicBlock`, `Bottleneck` and `ResNet` carry torchvision's names: in unit 14 you load published weights into *your* network, and weights are found by name. Everything that is not named you may call as you like.
# - **Two modes.** `train()` and `eval()` are batch norm's business alone. Nothing else differs between them here.
# - **The meta device.** `forward` does arithmetic on tensors only (no `.item()`, no NumPy). Then a network of 60 million parameters can be built and asked for its shapes under `torch.device("meta")`, where it costs nothing.
# - **Initial weights** are up to you: PyTorch's are fine. Tests set the weights themselves.
# - **Speed does not count.**
# - **Blocks are an argument.** A whole network takes the *class* of its block as an argument, with your own block as the default. The tests hand in classes of their own: `nn.Module`s that write down what they are asked for, or scale, or repeat channels. So a mistake in a block costs you the block and not the network. For you this means: call the class that was handed in, once for each block, in the order in which the blocks run, with arguments in the order (or by the names) of the docstring. Ask it for its `expansion` where the docstring says so. Count on nothing else in it: the tests' blocks have no `conv1` and no `downsample`. Wrong depths, which no table holds, raise a `ValueError`.
#
# Every exercise can be done without the ones before it. There is one exception: `WideResNet` *is* a `ResNet`, namely yours.

# %% tags=["parameters"]
profile = "quick"  # "full" repeats the recorded experiments (about ten minutes of one core)
seed = 0
device = ""  # "cuda", "cpu"; empty: a GPU if there is one

# %% locked=true
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from previously import draw_stages, evaluate, layer_table, train
from torch import nn

from data import glyphs, measured
from grader import check

device = device or ("cuda" if torch.cuda.is_available() else "cpu")
plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})

# %% locked=true
drawn = glyphs(1000, size=12, seed=seed)  # ten digits from matplotlib's fonts, turned and noisy
glyph_x, glyph_y = torch.tensor(drawn.images), torch.tensor(drawn.labels)
few_x, few_y = glyph_x[:640].to(device), glyph_y[:640].to(device)  # what is trained on
new_x, new_y = glyph_x[640:].to(device), glyph_y[640:].to(device)  # what is not


def plain_network(depth, width=8, in_channels=1, num_classes=10):
    """depth - 1 convolutions 3x3 with batch norm and ReLU in three stages, an average, one dense layer.

    depth is 6n + 2: 2n + 1 convolutions of `width` channels, 2n of twice, 2n of four times as many.
    The first one of stages two and three has stride 2. He initialisation.
    """
    n = (depth - 2) // 6
    layers, channels = [], in_channels
    for stage, count in enumerate((2 * n + 1, 2 * n, 2 * n)):
        for i in range(count):
            out = width * 2**stage
            conv = nn.Conv2d(channels, out, 3, 2 if stage and i == 0 else 1, 1, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers += [conv, nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    )


def fit(make, x=few_x, y=few_y, epochs=6, lr=0.1, seed=seed):
    """make() -> (the network, trained by SGD with momentum 0.9 in batches of 64; the loss of each step).

    The rate falls from lr to 0 along half a cosine, so that the running statistics catch up at the end.
    """
    torch.manual_seed(seed)
    net = make().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    steps = epochs * math.ceil(len(x) / 64)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return net, train(net, x, y, optimizer, epochs=epochs, scheduler=cosine, seed=seed)


def smooth(losses, window=10):
    """Mean of each window of losses."""
    return np.convolve(losses, np.full(window, 1 / window), mode="valid")


# %% [markdown]
# ## 1. What cannot be done yet: use the depth
#
# A network of the VGG kind: 3 x 3 convolutions, batch norm, ReLU, three stages. He initialisation, so the signal keeps its size (unit 07). Batch norm, so the scale is under control anyway (unit 08). Everything you know is in there. You train it on 640 drawn digits of 12 x 12, for 60 steps: with 8, with 20 and with 44 layers. Nothing else differs.
#
# **Predict.** More layers can express more. Which of the three has the lowest loss *on the digits that it is trained on*? (Not on new ones. So overfitting does not enter.)

# %%
plain_curves, plain_nets = {}, {}
for depth in (8, 20, 44):
    plain_nets[depth], plain_curves[depth] = fit(lambda depth=depth: plain_network(depth))

# %% figure="deeper_is_worse"
depth_styles = {8: ":", 20: "--", 44: "-"}
fig, ax = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
for depth, losses in plain_curves.items():
    curve = smooth(losses)
    ax.plot(
        np.arange(10, 10 + len(curve)), curve, depth_styles[depth], label=f"plain, {depth} layers"
    )
ax.axhline(math.log(10), color="gray", linewidth=1, label="guessing, ln 10")
ax.set(
    xlabel="step", ylabel="training loss (nats)", ylim=(0, 2.6), title="Three depths of one network"
)
ax.legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss over 60 steps: the networks of 8 and of 20 layers fall together to about 0.95, that of 44 layers hardly leaves the line of guessing.](figures/deeper_is_worse.png)
#
# 20 layers are no better than 8 (which of the two is ahead depends on the seed), and 44 hardly leave the line of guessing. On the *training* digits. It is no overfitting, since an overfitted network is good at exactly these. And it is no lack of data either: more digits would make none of this easier to fit. (Some lecture notes say that residual networks answer a lack of data. They do not.) He, Zhang, Ren and Sun (2015) saw it on CIFAR-10 (figure 1) and on ImageNet (figure 4), and called it **degradation**.
#
# You may object that 60 steps are few, and that one rate was tried. Right: keep the objection. Part 6 tests it.
#
# </details>

# %%
last = {depth: float(np.mean(losses[-10:])) for depth, losses in plain_curves.items()}
print("plain, mean loss of the last ten steps:")
for depth, value in last.items():
    print(f"  {depth:2} layers {value:.2f}")
assert last[20] > last[8] - 0.3
assert last[44] > last[20] + 0.5

# %% [markdown]
# ### It should not be able to happen
#
# Here is why this is a scandal. Take the trained network of 8 layers. Insert 36 layers that do nothing: convolutions whose kernel is 1 in the middle, from each channel to itself, and 0 elsewhere. Behind a ReLU nothing is negative, so the next ReLU does nothing either. The result has 44 layers and computes *exactly the same*. So a network of 44 layers with the loss of the shallow one **exists**. The optimizer started elsewhere and did not find it.
#
# He and others (2015, section 1) make this argument in words, "by construction". You can make it in fact. One detail: batch norm has to do nothing as well. In use it computes $\gamma (z - \mu)/\sqrt{v + \varepsilon} + \beta$ with $\mu = 0$, $v = 1$ at the start.
#
# **Predict.** Which $\gamma$ makes it the identity?


# %%
def do_nothing(channels):
    """A convolution, batch norm and ReLU that hand on what is not negative, unchanged (in use)."""
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(channels)
    nn.init.dirac_(conv.weight)  # 1 in the middle, from each channel to itself
    nn.init.constant_(norm.weight, math.sqrt(1 + norm.eps))
    return [conv, norm, nn.ReLU()]


def deepened(net, times):
    """A copy of a plain network with `times` layers that do nothing after each convolution but the first."""
    layers, seen = [], 0
    for layer in copy.deepcopy(net):
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            channels, seen = layer.out_channels, seen + 1
        if isinstance(layer, nn.ReLU) and seen > 1:
            for _ in range(times):
                layers += do_nothing(channels)
    return nn.Sequential(*layers).to(device)


by_hand = deepened(plain_nets[8], 6)
depth_of = {
    name: sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in net)
    for name, net in {
        "trained": plain_nets[8],
        "by hand": by_hand,
        "from scratch": plain_nets[44],
    }.items()
}
print("layers:", depth_of)
for name, net in (
    ("8 layers, trained", plain_nets[8]),
    ("44 layers, by hand", by_hand),
    ("44 layers, trained", plain_nets[44]),
):
    loss, accuracy = evaluate(net, few_x, few_y)
    print(f"{name}: training loss {loss:.3f}, {100 * accuracy:.0f} % right")
assert depth_of["by hand"] == depth_of["from scratch"] == 44
assert abs(evaluate(by_hand, few_x, few_y)[0] - evaluate(plain_nets[8], few_x, few_y)[0]) < 1e-3

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# $\gamma = \sqrt{1 + \varepsilon}$. The network that was deepened by hand has the very loss of the 8 layers. The one that was trained from scratch is far from it. The two have the same architecture: a point in the space of weights that is at least as good as the shallow network is there, and nobody finds it.
#
# </details>
#
# So what is hard for the optimizer? Seemingly this: *to do nothing*. A stack of convolutions and ReLUs with random weights mangles what goes through it. To hand it on unharmed, all its weights have to conspire. Doing nothing is one special point far from the start.
#
# **The idea of 2015.** Make doing nothing the easy case. Let a few layers learn not the output $H(x)$, but what has to be *added* to the input:
#
# $$H(x) = x + F(x) .$$
#
# If the best thing is to do nothing, $F = 0$ will do: weights near zero, which is where weights are at home. The name is **residual** learning, since $F(x) = H(x) - x$ is what remains.

# %% [markdown]
# ## 2. A branch and a shortcut
#
# The **basic block** (He and others 2015, figure 5, left) has a *branch* $F$ of two 3 x 3 convolutions and a *shortcut*:
#
# ```
#          x ──► conv 3x3 (stride) ─ BN ─ ReLU ─ conv 3x3 ─ BN ──► (+) ──► ReLU ──► y
#          │                                                         ▲
#          └───────────────── shortcut ──────────────────────────────┘
# ```
#
# Three things are easily got wrong.
#
# - **The last ReLU comes after the addition.** In front of it, the branch could only ever add something positive, and numbers would grow from block to block. What the branch adds must be able to have both signs. But *there is* a ReLU after the addition.
# - **Each convolution has its batch norm, and the addition has none behind it.** A batch norm after the plus would scale the shortcut, too, and the clean road would be gone.
# - **The shortcut must fit.** Where the block keeps $C$ and $H \times W$, it is the identity: no parameters, no work. Where the block has a stride, or another number of channels, $x$ and $F(x)$ cannot be added. Then the shortcut is a **projection**: a 1 x 1 convolution *with the same stride*, and a batch norm. (He and others call this option B. Option A, zeros for the missing channels, comes in part 6.)
#
# **By hand.** One channel, one pixel, $x = 3$. Of a padded 3 x 3 kernel only the middle meets the pixel. Let it be $2$ in the first convolution and $-\frac14$ in the second; the batch norms do nothing. Then $F = -\frac14 \cdot \mathrm{ReLU}(2 \cdot 3) = -1.5$, and $y = \mathrm{ReLU}(3 - 1.5) = 1.5$. With a ReLU in front of the addition it would be $3$. With $-1$ in the second convolution: $F = -6$ and $y = \mathrm{ReLU}(-3) = 0$.

# %% [markdown]
# ### Exercise: `BasicBlock`
#
# *25 minutes, medium. What it is for: ResNet-18 and ResNet-34 are eight and sixteen of these and little else.*
#
# The names are torchvision's: `conv1`, `bn1`, `conv2`, `bn2`, and `downsample`, which is `None` where the shortcut is the identity and `nn.Sequential(convolution, batch norm)` where it projects.
#
# <details><summary>Hint 1: when to project</summary>
#
# Two conditions, either is enough. Ask yourself for each of `(4, 4, stride 1)`, `(4, 8, stride 1)`, `(4, 4, stride 2)`.
#
# </details>
# <details><summary>Hint 2: the size</summary>
#
# A 3 x 3 with padding 1 and stride 2 makes 4 of 7 pixels. What does a 1 x 1 without padding and with stride 2 make of 7? It takes the pixels 0, 2, 4, 6.
#
# </details>
# <details><summary>Hint 3: which stride where</summary>
#
# One convolution of the branch has the stride. If both had it, the shortcut would have to have its square.
#
# </details>


# %% exercise="BasicBlock"
class BasicBlock(nn.Module):
    """relu(F(x) + shortcut(x)), F two 3x3 convolutions: in_channels -> width channels (He et al. 2015, fig. 5).

    F is conv1 (has the stride), bn1, ReLU, conv2, bn2. The shortcut is x itself where it fits; otherwise
    downsample, an nn.Sequential of a 1x1 convolution with the stride and a BatchNorm2d. downsample is
    None where the shortcut is x. expansion: the block gives expansion * width channels.
    """

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        ### BEGIN SOLUTION
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W) -> (N, width, ceil(H / stride), ceil(W / stride))."""
        ### BEGIN SOLUTION
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + shortcut)
        ### END SOLUTION


# %% tests="BasicBlock" part="identity" points=2
# The pixel of the text: x = 3, the middle of the first kernel is 2, that of the second -1/4, then -1
@check.remote
def _one_pixel(BasicBlock, x, first, second):
    """One channel, one pixel, in use."""
    import torch

    block = BasicBlock(1, 1).eval()
    with torch.no_grad():
        for conv, middle in ((block.conv1, first), (block.conv2, second)):
            conv.weight.zero_()
            conv.weight[0, 0, 1, 1] = middle
        return float(block(torch.full((1, 1, 1, 1), x)))


check.close(
    _one_pixel(BasicBlock, 3.0, 2.0, -0.25),
    1.5,
    what="relu(3 - 1.5), the shortcut being x",
    rtol=1e-4,
)
check.close(
    _one_pixel(BasicBlock, 3.0, 2.0, -1.0),
    0.0,
    what="relu(3 - 6): a ReLU after the addition",
    rtol=1e-4,
)
del _one_pixel


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        state = {k: v.clone() for k, v in block.state_dict().items()}
        block.train(training)
        x = x.clone().requires_grad_()
        y = block(x)
        y.backward(dy)
        grads = {k: p.grad for k, p in block.named_parameters()}
        return state, y.detach(), x.grad, grads, list(block.state_dict())

    def expect(state, x, training):
        def norm(y, name):
            mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
            w, b = state[f"{name}.weight"], state[f"{name}.bias"]
            return F.batch_norm(y, mean.clone(), var.clone(), w, b, training)

        y = F.relu(norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"))
        return F.relu(norm(F.conv2d(y, state["conv2.weight"], padding=1), "bn2") + x)

    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {"conv1.weight", "conv2.weight", *(f"bn{i}.{n}" for i in (1, 2) for n in norms)}
    for case, (shape, training) in enumerate(
        (((3, 4, 5, 7), False), ((4, 2, 6, 3), True), ((1, 5, 1, 4), False), ((2, 1, 4, 4), True))
    ):
        dice = torch.Generator().manual_seed(1200 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        dy = torch.randn(shape, generator=dice, dtype=torch.float64)
        C = shape[1]
        what = f"BasicBlock({C}, {C}), x {shape}, {'train' if training else 'eval'}"
        state, y, dx, grads, found = ran(BasicBlock, (C, C), x, dy, training, case)
        assert set(found) == names, (
            f"{what}: names missing {sorted(names - set(found))}, unexpected {sorted(set(found) - names)}"
        )
        leaves = {k: state[k].requires_grad_() for k in grads}
        x_leaf = x.clone().requires_grad_()
        wanted = expect(state | leaves, x_leaf, training)
        check.close(y, wanted.detach(), what=what)
        wanted.backward(dy)
        check.close(dx, x_leaf.grad, what=f"gradient of x, {what}")
        for k, leaf in leaves.items():
            assert grads[k] is not None, f"{what}: no gradient reaches {k}"
            check.close(grads[k], leaf.grad, what=f"gradient of {k}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="BasicBlock" part="projection" points=2
# Two channels of 5 x 7 become six of 3 x 4: the branch and the shortcut alike
_block = BasicBlock(2, 6, stride=2)
assert _block.downsample is not None, "2 channels cannot be added to 6: who brings them there?"
check.shape(
    _block(torch.zeros(1, 2, 5, 7)), (1, 6, 3, 4), what="BasicBlock(2, 6, stride=2), x (1, 2, 5, 7)"
)
assert BasicBlock(6, 6).downsample is None, "BasicBlock(6, 6): x fits as it is, downsample is None"
assert BasicBlock(6, 6, stride=2).downsample is not None, (
    "BasicBlock(6, 6, stride=2): do the sizes fit?"
)
del _block


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        state = {k: v.clone() for k, v in block.state_dict().items()}
        block.train(training)
        y = block(x)
        y.backward(dy)
        grads = {k: p.grad for k, p in block.named_parameters()}
        return state, y.detach(), grads, list(block.state_dict())

    def expect(state, x, stride, training):
        def norm(y, name):
            mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
            w, b = state[f"{name}.weight"], state[f"{name}.bias"]
            return F.batch_norm(y, mean.clone(), var.clone(), w, b, training)

        y = F.relu(norm(F.conv2d(x, state["conv1.weight"], stride=stride, padding=1), "bn1"))
        y = norm(F.conv2d(y, state["conv2.weight"], padding=1), "bn2")
        return F.relu(
            y + norm(F.conv2d(x, state["downsample.0.weight"], stride=stride), "downsample.1")
        )

    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {"conv1.weight", "conv2.weight", "downsample.0.weight"}
    names |= {f"{bn}.{n}" for bn in ("bn1", "bn2", "downsample.1") for n in norms}
    for case, (shape, width, stride, training) in enumerate(
        (
            ((3, 4, 5, 7), 6, 2, False),
            ((4, 2, 6, 3), 5, 1, True),
            ((2, 4, 7, 4), 4, 2, True),
            ((2, 3, 8, 5), 2, 3, False),
            ((2, 5, 6, 6), 3, 1, False),
        )
    ):
        dice = torch.Generator().manual_seed(1210 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        out = (shape[0], width, -(-shape[2] // stride), -(-shape[3] // stride))
        dy = torch.randn(out, generator=dice, dtype=torch.float64)
        what = f"BasicBlock({shape[1]}, {width}, {stride}), x {shape}, {'train' if training else 'eval'}"
        state, y, grads, found = ran(BasicBlock, (shape[1], width, stride), x, dy, training, case)
        assert set(found) == names, (
            f"{what}: names missing {sorted(names - set(found))}, unexpected {sorted(set(found) - names)}"
        )
        leaves = {k: state[k].requires_grad_() for k in grads}
        wanted = expect(state | leaves, x, stride, training)
        check.close(y, wanted.detach(), what=what)
        wanted.backward(dy)
        for k, leaf in leaves.items():
            assert grads[k] is not None, f"{what}: no gradient reaches {k}"
            check.close(grads[k], leaf.grad, what=f"gradient of {k}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="BasicBlock" part="contract" points=1
# x is what it was before; the width is the number of channels that come out
_x = torch.tensor([[[[1.0, -2.0], [-3.0, 4.0]]]])
_before = _x.clone()
BasicBlock(1, 1)(_x)
check.unchanged(_before, _x, what="x after BasicBlock(1, 1)(x)")
check.equal(BasicBlock.expansion, 1, what="BasicBlock.expansion")
del _x, _before


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def on_meta(make, args, shape):
        import torch

        with torch.device("meta"), torch.enable_grad():
            return tuple(make(*args)(torch.empty(shape)).shape)

    @check.remote
    def kinds(make, args, x):
        block = make(*args).to(x.dtype).eval()
        norms = [m for m in block.modules() if hasattr(m, "running_mean")]
        settings = sorted({(m.eps, m.momentum) for m in norms})
        y = block(x)
        return str(y.dtype), y.detach(), block.double()(x.double()).detach(), settings

    dice = torch.Generator().manual_seed(1220)
    for shape, width, stride in (((2, 3, 6, 5), 3, 1), ((2, 3, 6, 5), 4, 1), ((2, 4, 7, 9), 4, 2)):
        what = f"BasicBlock({shape[1]}, {width}, {stride}), x {shape}"
        x = torch.randn(shape[0], shape[1], shape[3], shape[2], generator=dice).transpose(2, 3)
        before = x.clone()
        kind, y, double, settings = kinds(BasicBlock, (shape[1], width, stride), x)
        check.equal(settings, [(1e-5, 0.1)], what=f"(eps, momentum) of the batch norms, {what}")
        check.unchanged(before, x, what=f"x, {what}")
        check.equal(kind, "torch.float32", what=f"dtype of the result, {what}, float32")
        check.close(y, double, what=f"{what}, float32 beside float64", rtol=1e-4, atol=1e-5)
        out = (shape[0], width, -(-shape[2] // stride), -(-shape[3] // stride))
        check.equal(
            on_meta(BasicBlock, (shape[1], width, stride), shape),
            out,
            what=f"shape on meta, {what}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Look at the identity.** A batch norm has a scale $\gamma$. Set $\gamma = 0$ in the last one of the branch ($\beta$ is 0 anyway), and the branch is gone: $y = \mathrm{ReLU}(x)$, and behind another block, where nothing is negative, $y = x$. Goyal and others (2017, section 5.1) *start* the training this way: at step 0 each block hands on its input, and of a network of 50 layers only the stem, four projections and the dense layer do anything. It costs one line.
#
# **Predict.** With $\gamma = 0$ in the last batch norm: which of the block's parameters get a gradient in the first step?

# %%
torch.manual_seed(seed)
quiet = BasicBlock(4, 4)
nn.init.zeros_(quiet.bn2.weight)
some_x = torch.rand(8, 4, 6, 6)  # nothing negative, as behind a ReLU
check.close(quiet(some_x).detach(), some_x, what="a block with gamma 0")
quiet(some_x).square().sum().backward()
for name, parameter in quiet.named_parameters():
    print(f"{name:<14} largest gradient {float(parameter.grad.abs().max()):.3g}")
assert quiet.conv1.weight.grad.abs().max() == 0
assert quiet.conv2.weight.grad.abs().max() == 0
assert quiet.bn2.weight.grad.abs().max() > 0

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Only `bn2`: its $\gamma$ and its $\beta$. To every other parameter the gradient comes *through* $\gamma$, and is multiplied by 0. It is not unit 07's trouble with zeros: there all units stayed equal for ever. Here the convolutions are random and differ. After one step $\gamma$ is no longer 0, and the branch wakes up.
#
# </details>

# %% [markdown]
# ## 3. The bottleneck
#
# Fifty layers and more get expensive. A basic block on 256 channels has $2 \cdot 9 \cdot 256^2 = 1{,}179{,}648$ weights. Unit 11 had the remedy: make it narrow with a 1 x 1, do the 3 x 3 there, make it wide again.
#
# ```
# x (256) ─► 1x1, 64 ─ BN ─ ReLU ─ 3x3, 64 (stride) ─ BN ─ ReLU ─ 1x1, 256 ─ BN ─► (+) ─► ReLU
#   └───────────────────────────── shortcut ────────────────────────────────────────▲
# ```
#
# $256 \cdot 64 + 9 \cdot 64^2 + 64 \cdot 256 = 16{,}384 + 36{,}864 + 16{,}384 = 69{,}632$: one 17th. That is less than a basic block on 64 channels has (73,728), and the road that the shortcut keeps open is four times as wide. In general, for a width $w$ and $4w$ channels outside: $4w^2 + 9w^2 + 4w^2 = 17 w^2$, against $2 \cdot 9\,(4w)^2 = 288 w^2$.
#
# **Where does the stride go?** The paper has it in the *first* 1 x 1. Such a convolution reads one pixel in four and throws the others away unseen. torchvision has it in the **3 x 3**, which sees all pixels. This is called v1.5. It has the same parameters and needs some more arithmetic (part 4 counts how much). NVIDIA, who named it, found it about half a percent more accurate on ImageNet. You build v1.5, since the weights that unit 14 loads were trained for it. Weights made for v1 fit in as well, without an error, and are then used wrongly: the shapes are the same.

# %%
basic, narrow = 2 * 9 * 256**2, 256 * 64 + 9 * 64**2 + 64 * 256
print(f"{basic:,} and {narrow:,}: {basic / narrow:.1f} times as many")
assert (basic, narrow, 2 * 9 * 64**2) == (1_179_648, 69_632, 73_728)
assert 4 + 9 + 4 == 17
assert 2 * 9 * 4**2 == 288

# %% [markdown]
# ### Exercise: `Bottleneck`
#
# *20 minutes, medium. What it is for: ResNet-50, for years the network to start from, and still the one to compare with.*
#
# Names: `conv1` (1x1), `bn1`, `conv2` (3x3, has the stride), `bn2`, `conv3` (1x1), `bn3`, `downsample` as before. The block gives `4 * width` channels. With `widen=2` the *inside* is twice as wide, `2 * width` channels, and what comes out still has `4 * width`. (You need this for part 5.)
#
# <details><summary>Hint 1</summary>
#
# Write it without `widen` first. Then ask at each of the six places where `width` stands whether it means the inside or the outside.
#
# </details>
# <details><summary>Hint 2: when to project</summary>
#
# `Bottleneck(64, 64)` takes 64 channels and gives 256. Does x fit?
#
# </details>


# %% exercise="Bottleneck"
class Bottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), F of 1x1, 3x3 (has the stride), 1x1: in_channels -> 4 * width channels.

    F is conv1, bn1, ReLU, conv2, bn2, ReLU, conv3, bn3; inside it has widen * width channels.
    downsample as in BasicBlock. He et al. 2015, fig. 5 right, with the stride of torchvision (v1.5).
    """

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        ### BEGIN SOLUTION
        inside, out = widen * width, self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W) -> (N, 4 * width, ceil(H / stride), ceil(W / stride))."""
        ### BEGIN SOLUTION
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + shortcut)
        ### END SOLUTION


# %% tests="Bottleneck" part="shapes" points=2
# 6 channels of 8 x 10, width 3, stride 2: what each convolution makes of it
@check.remote
def _kernels(Bottleneck, args):
    """The kernel sizes of conv1, conv2, conv3."""
    block = Bottleneck(*args)
    return [tuple(conv.kernel_size) for conv in (block.conv1, block.conv2, block.conv3)]


@check.remote
def _seen(Bottleneck, args, shape):
    """The shapes that conv1, conv2, conv3 give."""
    import torch

    block, sizes = Bottleneck(*args), []
    for conv in (block.conv1, block.conv2, block.conv3):
        conv.register_forward_hook(lambda module, inputs, y: sizes.append(tuple(y.shape[1:])))
    block(torch.zeros(shape))
    return sizes


check.equal(
    _kernels(Bottleneck, (6, 3, 2)), [(1, 1), (3, 3), (1, 1)], what="kernels of conv1, conv2, conv3"
)
check.equal(
    _seen(Bottleneck, (6, 3, 2), (2, 6, 8, 10)),
    [(3, 8, 10), (3, 4, 5), (12, 4, 5)],
    what="shapes (C, H, W) behind conv1, conv2, conv3 of Bottleneck(6, 3, stride=2), x (2, 6, 8, 10)",
)
del _kernels, _seen


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def described(make, args, shape):
        import torch

        block, sizes = make(*args), []
        for name in ("conv1", "conv2", "conv3"):
            getattr(block, name).register_forward_hook(lambda m, i, y: sizes.append(tuple(y.shape)))
        y = block(torch.zeros(shape))
        weights = {k: tuple(p.shape) for k, p in block.named_parameters()}
        return sizes, tuple(y.shape), weights, block.downsample is None

    for (N, C, H, W), width, stride in (
        ((2, 8, 6, 5), 2, 1),
        ((2, 5, 7, 9), 3, 2),
        ((3, 8, 5, 4), 2, 2),
        ((2, 3, 7, 4), 3, 1),
        ((2, 6, 10, 7), 2, 3),
    ):
        what = f"Bottleneck({C}, {width}, {stride}), x {(N, C, H, W)}"
        h, w, out = -(-H // stride), -(-W // stride), 4 * width
        sizes, y, weights, bare = described(Bottleneck, (C, width, stride), (N, C, H, W))
        wanted = [(N, width, H, W), (N, width, h, w), (N, out, h, w)]
        check.equal(sizes, wanted, what=f"shapes behind conv1, conv2, conv3 of {what}")
        check.equal(y, (N, out, h, w), what=f"shape of {what}")
        check.equal(bare, stride == 1 and out == C, what=f"downsample is None, {what}")
        wanted = {
            "conv1.weight": (width, C, 1, 1),
            "conv2.weight": (width, width, 3, 3),
            "conv3.weight": (out, width, 1, 1),
        }
        for i, channels in ((1, width), (2, width), (3, out)):
            wanted |= {f"bn{i}.weight": (channels,), f"bn{i}.bias": (channels,)}
        if not bare:
            wanted["downsample.0.weight"] = (out, C, 1, 1)
            wanted |= {"downsample.1.weight": (out,), "downsample.1.bias": (out,)}
        for k in sorted(wanted.keys() | weights.keys()):
            assert weights.get(k) == wanted.get(k), f"{what}: {k} has shape {weights.get(k)}"


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="Bottleneck" part="wiring" points=2
# With a branch of zeros (gamma 0 in bn3) the identity remains, and the ReLU after it
@check.remote
def _without_branch(Bottleneck, x):
    """Bottleneck(4, 1) with gamma 0 in its last batch norm."""
    import torch

    block = Bottleneck(4, 1)
    torch.nn.init.zeros_(block.bn3.weight)
    return block(x).detach()


check.close(
    _without_branch(
        Bottleneck, torch.tensor([[1.0, -2.0, 3.0, -4.0]]).reshape(1, 4, 1, 1).repeat(2, 1, 2, 2)
    ),
    torch.tensor([[1.0, 0.0, 3.0, 0.0]]).reshape(1, 4, 1, 1).repeat(2, 1, 2, 2),
    what="Bottleneck(4, 1) without its branch: relu(x)",
)
del _without_branch


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        state = {k: v.clone() for k, v in block.state_dict().items()}
        block.train(training)
        x = x.clone().requires_grad_()
        y = block(x)
        y.backward(dy)
        return state, y.detach(), x.grad, {k: p.grad for k, p in block.named_parameters()}

    def expect(state, x, stride, training):
        def norm(y, name):
            mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
            w, b = state[f"{name}.weight"], state[f"{name}.bias"]
            return F.batch_norm(y, mean.clone(), var.clone(), w, b, training)

        y = F.relu(norm(F.conv2d(x, state["conv1.weight"]), "bn1"))
        y = F.relu(norm(F.conv2d(y, state["conv2.weight"], stride=stride, padding=1), "bn2"))
        y = norm(F.conv2d(y, state["conv3.weight"]), "bn3")
        if "downsample.0.weight" in state:
            x = norm(F.conv2d(x, state["downsample.0.weight"], stride=stride), "downsample.1")
        return F.relu(y + x)

    for case, (shape, width, stride, training) in enumerate(
        (
            ((2, 8, 5, 6), 2, 1, False),
            ((3, 8, 4, 3), 2, 1, True),
            ((2, 5, 4, 7), 3, 1, True),
            ((2, 3, 5, 2), 2, 1, False),
            ((2, 4, 1, 1), 1, 1, False),
            ((2, 5, 6, 7), 3, 2, False),
            ((2, 8, 7, 4), 2, 2, True),
        )
    ):
        dice = torch.Generator().manual_seed(1230 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        out = (shape[0], 4 * width, -(-shape[2] // stride), -(-shape[3] // stride))
        dy = torch.randn(out, generator=dice, dtype=torch.float64)
        what = f"Bottleneck({shape[1]}, {width}, {stride}), x {shape}, {'train' if training else 'eval'}"
        state, y, dx, grads = ran(Bottleneck, (shape[1], width, stride), x, dy, training, case)
        leaves = {k: state[k].requires_grad_() for k in grads}
        x_leaf = x.clone().requires_grad_()
        wanted = expect(state | leaves, x_leaf, stride, training)
        check.close(y, wanted.detach(), what=what)
        wanted.backward(dy)
        check.close(dx, x_leaf.grad, what=f"gradient of x, {what}")
        for k, leaf in leaves.items():
            assert grads[k] is not None, f"{what}: no gradient reaches {k}"
            check.close(grads[k], leaf.grad, what=f"gradient of {k}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="Bottleneck" part="widen" points=1
# Twice as wide inside, and not outside: 16*8 + 9*8*8 + 8*16 weights and 2*(8+8+16) of the batch norms
check.equal(
    sum(p.numel() for p in Bottleneck(16, 4, widen=2).parameters()),
    128 + 576 + 128 + 64,
    what="parameters of Bottleneck(16, 4, widen=2)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def described(make, args, widen, shape):
        import torch

        with torch.device("meta"), torch.enable_grad():
            block = make(*args, widen=widen)
            y = block(torch.empty(shape))
        norms = [m for m in block.modules() if hasattr(m, "running_mean")]
        return (
            tuple(y.shape),
            {k: tuple(p.shape) for k, p in block.named_parameters()},
            block.expansion,
            sorted({(m.eps, m.momentum) for m in norms}),
        )

    for C, width, stride, widen in ((8, 2, 1, 3), (5, 3, 2, 2), (12, 3, 1, 2), (6, 4, 3, 1)):
        what = f"Bottleneck({C}, {width}, {stride}, widen={widen})"
        y, weights, expansion, settings = described(
            Bottleneck, (C, width, stride), widen, (2, C, 7, 9)
        )
        check.equal(settings, [(1e-5, 0.1)], what=f"(eps, momentum) of the batch norms, {what}")
        check.equal(y, (2, 4 * width, -(-7 // stride), -(-9 // stride)), what=f"shape of {what}")
        check.equal(expansion, 4, what="Bottleneck.expansion")
        inside = widen * width
        for k, wanted in {
            "conv1.weight": (inside, C, 1, 1),
            "bn1.weight": (inside,),
            "conv2.weight": (inside, inside, 3, 3),
            "bn2.bias": (inside,),
            "conv3.weight": (4 * width, inside, 1, 1),
            "bn3.weight": (4 * width,),
        }.items():
            assert weights.get(k) == wanted, f"{what}: {k} has shape {weights.get(k)}"


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Five networks from one table
#
# All five networks are one sentence: *a stem, four stages, an average, one dense layer.* The stem is a 7 x 7 convolution with stride 2 and 64 channels, batch norm, ReLU, and a 3 x 3 max pooling with stride 2 and padding 1. Stage 1, 2, 3, 4 consist of blocks of width 64, 128, 256, 512. The first block of stages 2, 3, 4 has stride 2. Then the mean over all places, and a dense layer with bias. No dropout, no three dense layers: VGG-16 spends 124 of its 138 million parameters there.
#
# What differs is the block, and how many of them (He and others 2015, table 1):
#
# | depth | block | blocks in stages 1, 2, 3, 4 | parameters |
# |---|---|---|---|
# | 18 | basic | 2, 2, 2, 2 | 11,689,512 |
# | 34 | basic | 3, 4, 6, 3 | 21,797,672 |
# | 50 | bottleneck | 3, 4, 6, 3 | 25,557,032 |
# | 101 | bottleneck | 3, 4, 23, 3 | 44,549,160 |
# | 152 | bottleneck | 3, 8, 36, 3 | 60,192,808 |
#
# Why is it called 50? $3 + 4 + 6 + 3 = 16$ blocks of three convolutions, the stem's, and the dense layer. Projections are not counted. Check 18 and 152 in your head.
#
# **Watch the channels.** A stage's first block gets what the stage before *gave*: with bottlenecks 64, then 256, 512, 1024. All others get `expansion * width`. So the first block of stage 1 of ResNet-50 projects (64 to 256) although it has no stride, and that of ResNet-18 does not.

# %% [markdown]
# ### Exercise: `ResNet`
#
# *35 minutes, hard. What it is for: the backbone of most detectors and segmenters you will meet, and the network into which unit 14 loads published weights.*
#
# `blocks` is a pair of classes: the one for depths 18 and 34, and the one for the others. Make each block by calling its class as `block(in_channels, width, stride)`; what comes out has `block.expansion * width` channels. The tests hand in classes of their own, with an `expansion` of their own (3, for one), and ask in which order, how often and with which numbers you called them.
#
# Names, all torchvision's: `conv1`, `bn1`, then `layer1` to `layer4` (each an `nn.Sequential` of blocks), `fc`. What has no parameters you may call as you like; as modules (`nn.MaxPool2d`, `nn.AdaptiveAvgPool2d`) they show in the drawing below.
#
# <details><summary>Hint 1: the table in code</summary>
#
# A dict from depth to (block, counts).
#
# </details>
# <details><summary>Hint 2: one loop</summary>
#
# Let a variable `channels` hold what the block before gave. It is 64 behind the stem. Each block gets it, and changes it. Then nothing depends on which block is the first of a stage but the stride.
#
# </details>
# <details><summary>Hint 3: four names</summary>
#
# `setattr(self, f"layer{i}", ...)`, or collect four modules in a list and unpack it at the end.
#
# </details>


# %% exercise="ResNet"
class ResNet(nn.Module):
    """ResNet of He et al. 2015, table 1: depth 18, 34 (basic blocks), 50, 101, 152 (bottlenecks).

    x (N, in_channels, H, W) -> scores (N, num_classes). torchvision's names of parameters: conv1, bn1, layer1.0.conv1,
    layer1.0.bn1, ..., layer2.0.downsample.0, ..., fc. blocks: the class for 18 and 34, and the class for the others,
    each called as block(in_channels, width, stride), giving block.expansion * width channels; expansion is an
    attribute of the class. Another depth: ValueError.
    """

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        ### BEGIN SOLUTION
        basic, bottleneck = blocks
        table = {
            18: (basic, (2, 2, 2, 2)),
            34: (basic, (3, 4, 6, 3)),
            50: (bottleneck, (3, 4, 6, 3)),
            101: (bottleneck, (3, 4, 23, 3)),
            152: (bottleneck, (3, 8, 36, 3)),
        }
        if depth not in table:
            raise ValueError(f"depth (={depth}) must be one of {sorted(table)}")
        block, counts = table[depth]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, channels, width = [], 64, 64
        for count in counts:
            stage = []
            for i in range(count):
                stride = 2 if stages and i == 0 else 1
                stage.append(block(channels, width, stride))
                channels = block.expansion * width
            stages.append(nn.Sequential(*stage))
            width *= 2
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W), H and W at least 32 -> (N, num_classes)."""
        ### BEGIN SOLUTION
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))
        ### END SOLUTION


# %% tests="ResNet" part="table" points=2
# A block that only writes down what it is asked for: (in_channels, width, stride)
@check.remote
def _asked(ResNet, depth, expansion):
    """What ResNet(depth) asks of its blocks."""
    import torch

    asked = []

    class Probe(torch.nn.Module):
        def __init__(self, in_channels, width, stride=1):
            super().__init__()
            asked.append((in_channels, width, stride))

        def forward(self, x):
            return x

    Probe.expansion = expansion
    ResNet(depth, blocks=(Probe, Probe))
    return asked


check.equal(
    _asked(ResNet, 18, 1),
    [
        (64, 64, 1),
        (64, 64, 1),
        (64, 128, 2),
        (128, 128, 1),
        (128, 256, 2),
        (256, 256, 1),
        (256, 512, 2),
        (512, 512, 1),
    ],
    what="(in_channels, width, stride) of the blocks of ResNet(18), expansion 1",
)
check.equal(
    _asked(ResNet, 50, 4)[:5],
    [(64, 64, 1), (256, 64, 1), (256, 64, 1), (256, 128, 2), (512, 128, 1)],
    what="(in_channels, width, stride) of the first five blocks of ResNet(50), expansion 4",
)
del _asked


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def asked(ResNet, depth, expansions):
        import torch

        calls = []

        class Basic(torch.nn.Module):
            expansion = expansions[0]

            def __init__(self, in_channels, width, stride=1) -> None:
                super().__init__()
                calls.append(("basic", in_channels, width, stride))

            def forward(self, x):
                return x

        class Narrow(torch.nn.Module):
            expansion = expansions[1]

            def __init__(self, in_channels, width, stride=1) -> None:
                super().__init__()
                calls.append(("bottleneck", in_channels, width, stride))

            def forward(self, x):
                return x

        net = ResNet(depth, blocks=(Basic, Narrow))
        return calls, [len(layer) for layer in (net.layer1, net.layer2, net.layer3, net.layer4)]

    for depth, kind, counts in (
        (18, 0, (2, 2, 2, 2)),
        (34, 0, (3, 4, 6, 3)),
        (50, 1, (3, 4, 6, 3)),
        (101, 1, (3, 4, 23, 3)),
        (152, 1, (3, 8, 36, 3)),
    ):
        for expansions in ((1, 4), (3, 2)):
            wanted, channels = [], 64
            for stage, count in enumerate(counts):
                for i in range(count):
                    width = 64 * 2**stage
                    stride = 2 if stage and not i else 1
                    wanted.append((("basic", "bottleneck")[kind], channels, width, stride))
                    channels = expansions[kind] * width
            calls, lengths = asked(ResNet, depth, expansions)
            what = f"ResNet({depth}), blocks with expansions {expansions}"
            check.equal(lengths, list(counts), what=f"blocks in layer1 to layer4 of {what}")
            check.equal(calls, wanted, what=f"(block, in_channels, width, stride) of {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="ResNet" part="forward" points=2
# What the parts around the blocks do to 64 x 96 pixels: a quarter of each side reaches layer1
@check.remote
def _stages(ResNet, shape):
    """The shapes that reach layer1 and fc; blocks that hand on what fits."""
    import torch

    class Probe(torch.nn.Module):
        expansion = 1

        def __init__(self, in_channels, width, stride=1):
            super().__init__()
            self.grow, self.stride = width // in_channels, stride

        def forward(self, x):
            return x.repeat(1, self.grow, 1, 1)[:, :, :: self.stride, :: self.stride]

    net, seen = ResNet(18, num_classes=7, blocks=(Probe, Probe)), []
    for module in (net.layer1, net.fc):
        module.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    scores = tuple(net(torch.zeros(shape)).shape)
    return [*seen, scores]


check.equal(
    _stages(ResNet, (2, 3, 64, 96)),
    [(2, 64, 16, 24), (2, 512), (2, 7)],
    what="shapes in front of layer1, in front of fc, and of the scores, x (2, 3, 64, 96)",
)
del _stages


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(ResNet, depth, x, training, seed):
        import torch

        class StandIn(torch.nn.Module):
            expansion = 1 if depth < 50 else 2

            def __init__(self, in_channels, width, stride=1) -> None:
                super().__init__()
                self.stride, self.out = stride, self.expansion * width
                self.scale = torch.nn.Parameter(torch.rand(self.out, 1, 1) + 0.5)

            def forward(self, x):
                x = x[:, :, :: self.stride, :: self.stride]
                return self.scale * x.repeat(1, -(-self.out // x.shape[1]), 1, 1)[:, : self.out]

        torch.manual_seed(seed)
        net = ResNet(depth, num_classes=4, in_channels=x.shape[1], blocks=(StandIn, StandIn)).to(
            x.dtype
        )
        with torch.no_grad():
            for tensor in (net.bn1.weight, net.bn1.bias, net.bn1.running_mean):
                tensor.normal_()
            net.bn1.running_var.uniform_(0.5, 2)
        state = {k: v.clone() for k, v in net.state_dict().items()}
        net.train(training)
        before = x.clone()
        y = net(x)
        return state, y.detach(), bool((before == x).all())

    counts = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
    for case, (depth, shape, training) in enumerate(
        ((18, (2, 3, 40, 33), False), (18, (3, 1, 32, 47), True), (50, (2, 2, 37, 64), False))
    ):
        dice = torch.Generator().manual_seed(1240 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        what = f"ResNet({depth}, 4, {shape[1]}), x {shape}, {'train' if training else 'eval'}"
        s, y, same = ran(ResNet, depth, x, training, case)
        assert same, f"x was changed: {what}"
        z = F.conv2d(x, s["conv1.weight"], stride=2, padding=3)
        mean, var = s["bn1.running_mean"].clone(), s["bn1.running_var"].clone()
        z = F.relu(F.batch_norm(z, mean, var, s["bn1.weight"], s["bn1.bias"], training))
        z = F.max_pool2d(z, 3, 2, 1)
        for stage, count in enumerate(counts[depth], 1):
            for i in range(count):
                scale = s[f"layer{stage}.{i}.scale"]
                if stage > 1 and i == 0:
                    z = z[:, :, ::2, ::2]
                z = z.repeat(1, -(-len(scale) // z.shape[1]), 1, 1)[:, : len(scale)] * scale
        z = z.mean(dim=(2, 3)) @ s["fc.weight"].T + s["fc.bias"]
        check.close(y, z, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="ResNet" part="contract" points=1
# A depth that is not in the table
check.raises(ValueError, ResNet, 51)


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def described(ResNet, args, named, shape):
        import torch

        class StandIn(torch.nn.Module):
            expansion = 1

            def __init__(self, in_channels, width, stride=1) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(in_channels, width, 1, stride)

            def forward(self, x):
                return self.conv(x)

        with torch.device("meta"), torch.enable_grad():
            net = ResNet(*args, **named, blocks=(StandIn, StandIn))
            y = net(torch.empty(shape))
        y.sum().backward()
        without = [k for k, p in net.named_parameters() if p.grad is None]
        shapes = {
            k: tuple(v.shape) for k, v in net.state_dict().items() if not k.startswith("layer")
        }
        return tuple(y.shape), shapes, without

    norm = {f"bn1.{n}": (64,) for n in ("weight", "bias", "running_mean", "running_var")}
    norm["bn1.num_batches_tracked"] = ()
    for args, named, shape, classes, channels in (
        ((18,), {}, (2, 3, 64, 64), 1000, 3),
        ((34, 10), {}, (1, 3, 224, 160), 10, 3),
        ((18,), {"num_classes": 2, "in_channels": 1}, (3, 1, 33, 50), 2, 1),
        ((34, 5, 4), {}, (1, 4, 32, 32), 5, 4),
    ):
        what = f"ResNet{args} {named or ''}"
        y, shapes, without = described(ResNet, args, named, shape)
        check.equal(y, (shape[0], classes), what=f"shape of the scores, {what}, x {shape}")
        assert not without, f"{what}: no gradient reaches {without[:3]}"
        wanted = {"conv1.weight": (64, channels, 7, 7), **norm}
        wanted |= {"fc.weight": (classes, 512), "fc.bias": (classes,)}
        for k in sorted(wanted.keys() | shapes.keys()):
            assert k in shapes, f"{what}: no parameter of the name {k}"
            assert k in wanted, f"{what}: {k} is not one of torchvision's names"
            check.equal(shapes[k], wanted[k], what=f"shape of {k}, {what}")
    for depth in (0, 20, 153, 200):
        check.raises(ValueError, ResNet, depth, what=f"ResNet({depth!r})")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="ResNet" part="counts" points=1
# Only the class that is used, and how often: 8 blocks of the first kind, 16 of the second
@check.remote
def _kinds(ResNet, depth):
    """How many blocks of the first and of the second class are in ResNet(depth)."""
    import torch

    class First(torch.nn.Module):
        expansion = 1

        def __init__(self, in_channels, width, stride=1):
            super().__init__()

    class Second(First):
        expansion = 4

    with torch.device("meta"):
        parts = list(ResNet(depth, blocks=(First, Second)).modules())
    return [sum(type(part) is kind for part in parts) for kind in (First, Second)]


check.equal(_kinds(ResNet, 18), [8, 0], what="blocks of the first and second class in ResNet(18)")
check.equal(_kinds(ResNet, 50), [0, 16], what="blocks of the first and second class in ResNet(50)")
del _kinds


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(ResNet, depth):
        import torch
        from torch import nn

        class Around(nn.Module):  # weights as in the paper; forward is not asked for
            def __init__(self, in_channels, width, stride=1) -> None:
                super().__init__()
                out = self.expansion * width
                self.a = nn.ModuleList()
                for c, d, k in self.plan(in_channels, width, out):
                    self.a.append(nn.Conv2d(c, d, k, bias=False))
                    self.a.append(nn.BatchNorm2d(d))
                if stride != 1 or in_channels != out:
                    self.a.append(nn.Conv2d(in_channels, out, 1, bias=False))
                    self.a.append(nn.BatchNorm2d(out))

        class Basic(Around):
            expansion = 1

            def plan(self, c, w, out):
                return ((c, w, 3), (w, w, 3))

        class Narrow(Around):
            expansion = 4

            def plan(self, c, w, out):
                return ((c, w, 1), (w, w, 3), (w, out, 1))

        with torch.device("meta"), torch.enable_grad():
            net = ResNet(depth, blocks=(Basic, Narrow))
        return sum(map(torch.numel, net.parameters()))

    @check.remote
    def own(ResNet, BasicBlock, Bottleneck, depth):
        import torch

        try:
            with torch.device("meta"), torch.enable_grad():
                BasicBlock(4, 4), Bottleneck(4, 4)
        except Exception:
            return None  # a block that is not written yet is its own exercise's business
        with torch.device("meta"), torch.enable_grad():
            parts = [type(part) for part in ResNet(depth).modules()]
        return parts.count(BasicBlock), parts.count(Bottleneck)

    for depth, wanted in {18: (8, 0), 101: (0, 33)}.items():
        found = own(ResNet, BasicBlock, Bottleneck, depth)
        assert found in (None, wanted), (
            f"ResNet({depth}) has {found} of your basic blocks and bottlenecks, not {wanted}"
        )
    for depth, wanted in {
        18: 11_689_512,
        34: 21_797_672,
        50: 25_557_032,
        101: 44_549_160,
        152: 60_192_808,
    }.items():
        check.equal(count(ResNet, depth), wanted, what=f"parameters of ResNet({depth})")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **All five at once**, with your own blocks, on the meta device: shapes and counts, no numbers, no memory. `layer_table` is unit 10's; it runs a network once with a hook on each layer.


# %%
def on_meta(make, size=224):
    """The network, and its layer table for one picture of 3 x size x size; on the meta device."""
    with torch.device("meta"):
        net = make()
        return net, layer_table(net, torch.empty(1, 3, size, size))


def per_stage(rows):
    """{stage: (parameters, multiply-adds)}; a stage is what stands before the first dot of a layer's name."""
    total = {}
    for row in rows:
        stage = row.name.split(".")[0]
        p, m = total.get(stage, (0, 0))
        total[stage] = p + row.parameters, m + row.multiply_adds
    return total


published = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
tables = {}
for depth, wanted in published.items():
    net, tables[depth] = on_meta(lambda depth=depth: ResNet(depth))
    found = sum(p.numel() for p in net.parameters())
    cost = sum(row.multiply_adds for row in tables[depth])
    print(
        f"ResNet-{depth:<4} {found:>11,} parameters, {cost / 1e9:5.2f} billion multiply-adds at 224 x 224"
    )
    check.equal(found, wanted, what=f"parameters of your ResNet-{depth}")

# %% [markdown]
# **Where are they?** For each stage its share of parameters and of work.
#
# **Predict.** From stage to stage the number of channels doubles and the picture's sides halve. What happens to a block's parameters? To its work?

# %% figure="where_it_goes"
stages = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
fig, axes = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained", sharey=True)
for ax, what, unit in ((axes[0], 0, 1e6), (axes[1], 1, 1e9)):
    for shift, depth, colour in ((-0.2, 34, "#33206b"), (0.2, 50, "#d9a441")):
        values = [per_stage(tables[depth])[stage][what] / unit for stage in stages]
        ax.barh(np.arange(6) + shift, values, 0.38, color=colour, label=f"ResNet-{depth}")
axes[0].set(
    yticks=range(6),
    yticklabels=stages,
    xlabel="parameters (millions)",
    title="Parameters of each stage",
)
axes[0].invert_yaxis()
axes[1].set(xlabel="multiply-adds (billions, 224 x 224)", title="Work of each stage")
axes[1].legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Bars for each stage of ResNet-34 and ResNet-50. Parameters: almost nothing in the first stages, most in layer3 and layer4. Multiply-adds: between 0.5 and 1.5 billion in each of the four stages.](figures/where_it_goes.png)
#
# A block's parameters go up fourfold from stage to stage (channels in times channels out), places go down fourfold. So a block costs the same work in each stage: VGG's rule, kept by He and others on purpose (section 3.3). ResNet-50 needs about the work of ResNet-34 (4.09 and 3.66 billion), with 16 layers more. That is what the bottleneck is for.
#
# And the stride of part 3? In v1.5 the first 1 x 1 of stages 2, 3, 4 still works on all pixels, in v1 on a quarter of them. Everything else is equal. So v1 saves three quarters of these three layers: 3.86 billion, which the paper's table 1 rounds to 3.8. The 3 x 3 that sees all pixels costs 6 %.
#
# </details>

# %%
work = {depth: sum(row.multiply_adds for row in rows) / 1e9 for depth, rows in tables.items()}
assert abs(work[34] - 3.66) < 0.01
assert abs(work[50] - 4.09) < 0.01
assert abs(work[152] - 11.51) < 0.02
early = [row for row in tables[50] if row.name in {f"layer{i}.0.conv1" for i in (2, 3, 4)}]
v1 = work[50] - 3 / 4 * sum(row.multiply_adds for row in early) / 1e9
print(f"ResNet-50: {work[50]:.2f} billion multiply-adds, with the stride in the first 1x1 {v1:.2f}")
assert len(early) == 3
assert abs(v1 - 3.86) < 0.01
assert abs(work[50] / v1 - 1.06) < 0.005
basic_blocks = [
    sum(row.multiply_adds for row in tables[34] if row.name.startswith(f"layer{i}.1."))
    for i in range(1, 5)
]
assert len(set(basic_blocks)) == 1  # the second block of each stage: the same work to the digit

# %% figure="resnet_stages"
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
draw_stages(tables[18], ax)
ax.set(title="Your ResNet-18, drawn from its own layer table")
plt.show()

# %% [markdown]
# <details><summary>What you should see</summary>
#
# ![ResNet-18 from left to right as boxes: the sides of the feature maps fall from 112 to 7 in four steps, the boxes grow wider with their channels, from 64 to 512. Below each box its share of parameters, which grows to the right, and of multiply-adds, which stays about even.](figures/resnet_stages.png)
#
# Five halvings: stem, pooling, and the first blocks of stages 2, 3, 4. At 224 pixels $224 / 2^5 = 7$. The plus signs are not in the picture: a layer table knows what a layer reads and makes, not where else it goes.
#
# </details>

# %% [markdown]
# ## 5. Deeper or wider?
#
# A thousand layers can be trained with shortcuts (He and others 2015 did 1,202 on CIFAR-10: 7.93 % test error, against 6.43 % with 110). But do they pay? Zagoruyko and Komodakis (2016) turned the question round: their **WRN-28-10** has 28 layers and *ten times* the width of the CIFAR network of part 6, 36.5 million parameters (in part 8 you count them), and beat the thin one of 1,001 layers (4.00 % against 4.92 % error on CIFAR-10, both trained in batches of 128). And wide layers are a few large matrix products, where deep thin ones are many small ones that wait for each other. Hardware likes the former.
#
# For ImageNet they doubled the *inner* width of ResNet-50's bottlenecks: **Wide ResNet-50-2**. Outside all stays.
#
# **Predict.** Each inner width doubles. How do the weights of the 1 x 1 convolutions grow, how those of the 3 x 3? Between which two factors must the parameters of the whole lie?
#
# ### Exercise: `WideResNet`
#
# *10 minutes, easy if you see it. What it is for: a network family in five lines, because the first one was written well.*
#
# `WideResNet(50, width=2)` *is a* `ResNet` with another block: your `Bottleneck` with `widen=width`. But `ResNet` calls its block with three arguments only. Who gives it the fourth? The tests hand in a class of their own as `block`; it takes `widen` by name, as your `Bottleneck` does, and has an `expansion`. (This exercise stands on your `ResNet`: that one first.)
#
# <details><summary>Hint 1</summary>
#
# A class may be defined inside of `__init__`, where it can see `width`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `class WideBlock(block)`, whose `__init__(self, in_channels, channels, stride=1)` calls the one above it with one argument more, `widen`. It inherits everything else, `expansion` as well. Then `super().__init__(..., blocks=...)`.
#
# </details>


# %% exercise="WideResNet"
class WideResNet(ResNet):
    """ResNet of depth 50, 101 or 152 whose bottlenecks are `width` times as wide inside (Zagoruyko & Komodakis 2016).

    block: a class as ResNet's, which takes a fourth argument: block(64, 128, 2, widen=width), the first three as
    ResNet gives them, by position.
    """

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        ### BEGIN SOLUTION
        class WideBlock(block):
            def __init__(self, *asked, **by_name):
                super().__init__(*asked, **by_name, widen=width)

        super().__init__(depth, num_classes, in_channels, blocks=(WideBlock, WideBlock))
        ### END SOLUTION


# %% tests="WideResNet" points=2
# A block that only writes down what it is asked for: as ResNet(50) asks, and `widen`
@check.remote
def _asked(WideResNet, args, named):
    """What WideResNet asks of its blocks: (in_channels, width, stride, widen)."""
    import torch

    asked = []

    class Probe(torch.nn.Module):
        expansion = 4

        def __init__(self, in_channels, width, stride=1, widen=1):
            super().__init__()
            asked.append((in_channels, width, stride, widen))

        def forward(self, x):
            return x

    WideResNet(*args, **named, block=Probe)
    return asked


check.equal(
    [one[3] for one in _asked(WideResNet, (50,), {})],
    [2] * 16,
    what="widen of the 16 blocks of WideResNet(50): the width is 2 where nothing is said",
)
check.equal(
    [one[3] for one in _asked(WideResNet, (50,), {"width": 3})],
    [3] * 16,
    what="widen of the blocks of WideResNet(50, width=3)",
)
del _asked


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def asked(ResNet, WideResNet, depth, width, expansion_):
        import torch

        calls = []

        class StandIn(torch.nn.Module):
            expansion = expansion_

            def __init__(self, in_channels, width, stride=1, widen=1) -> None:
                super().__init__()
                calls.append((in_channels, width, stride, widen))

            def forward(self, x):
                return x

        ResNet(depth, blocks=(StandIn, StandIn))  # the same questions, but for widen
        plain, calls = calls, []
        WideResNet(depth, *width, block=StandIn)
        return plain, calls

    @check.remote
    def described(ResNet, WideResNet, args, named, shape):
        import torch

        class StandIn(torch.nn.Module):
            expansion = 4

            def __init__(self, in_channels, width, stride=1, widen=1) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(in_channels, 4 * width, 1, stride)

            def forward(self, x):
                return self.conv(x)

        with torch.device("meta"), torch.enable_grad():
            net = WideResNet(*args, **named, block=StandIn)
            y = net(torch.empty(shape))
        return isinstance(net, ResNet), tuple(y.shape)

    @check.remote
    def own(WideResNet, Bottleneck):
        import torch

        with torch.device("meta"), torch.enable_grad():
            try:
                Bottleneck(4, 4, 1, 2)
            except Exception:
                return None  # a block that is not written yet is its own exercise's business
            parts = list(WideResNet(50).modules())
        return sum(isinstance(part, Bottleneck) for part in parts)

    for depth, width, expansion in ((50, (2,), 4), (101, (3,), 4), (152, (1,), 2), (50, (), 4)):
        what = f"WideResNet{(depth, *width)}"
        plain, wide = asked(ResNet, WideResNet, depth, width, expansion)
        wanted = [(*one[:3], *(width or (2,))) for one in plain]
        check.equal(
            wide, wanted, what=f"(in_channels, width, stride, widen) of the blocks of {what}"
        )
    for args, named, shape, classes in (
        ((50,), {}, (2, 3, 64, 48), 1000),
        ((50, 2, 7, 1), {}, (2, 1, 40, 64), 7),
        ((101,), {"num_classes": 5, "in_channels": 4}, (1, 4, 32, 33), 5),
    ):
        what = f"WideResNet{args} {named or ''}"
        is_one, y = described(ResNet, WideResNet, args, named, shape)
        assert is_one, f"{what} is a ResNet: it inherits from your class"
        check.equal(y, (shape[0], classes), what=f"shape of the scores of {what}, x {shape}")
    assert own(WideResNet, Bottleneck) in (None, 16), (
        "WideResNet(50): without `block` its 16 blocks are made of your Bottleneck"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
wide_net, wide_rows = on_meta(lambda: WideResNet(50, width=2))
wide_count = sum(p.numel() for p in wide_net.parameters())
wide_work = sum(row.multiply_adds for row in wide_rows) / 1e9
print(
    f"Wide ResNet-50-2: {wide_count:,} parameters ({wide_count / published[50]:.2f} times ResNet-50),"
)
print(
    f"{wide_work:.2f} billion multiply-adds; ResNet-152 has {published[152]:,} and {work[152]:.2f} billion"
)
check.equal(wide_count, 68_883_240, what="parameters of your Wide ResNet-50-2")

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# A 1 x 1 has the inside on one of its sides: twice as many weights. The 3 x 3 has it on both: four times. So the whole lies between 2 and 4 (projections, stem and dense layer pull it down): 2.70 times. Work and parameters are about those of ResNet-152, in 50 layers instead of 152.
#
# </details>

# %%
assert abs(wide_count / published[50] - 2.70) < 0.01
assert abs(wide_work / work[152] - 1) < 0.02

# %% [markdown]
# ## 6. The experiment of 2015, again
#
# Back to the scandal of part 1. For CIFAR-10, with its 32 x 32 pixels, He and others (section 4.2) took a smaller family of basic blocks, and so do you from here on: **6n + 2 layers**. A 3 x 3 convolution, three stages of $n$ blocks with $w$, $2w$, $4w$ channels, an average, a dense layer. Their $w$ is 16; $n = 3$ gives 20 layers and 0.27 million parameters, $n = 9$ gives 56 and 0.85 million.
#
# One detail makes the comparison exact. Where a stage begins, their CIFAR networks do not project. They take every second pixel and fill the missing channels with zeros: **option A**, a shortcut without parameters. So the residual and the plain network have the *same* parameters, to the digit. Take the additions out, and the plain network remains. The class is given.


# %% given=true
class SmallBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; with residual=True their input is added before the last ReLU.

    The shortcut has no parameters (option A): every stride-th pixel, zeros for new channels.
    """

    def __init__(self, in_channels, channels, stride=1, residual=True):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.stride, self.new, self.residual = stride, channels - in_channels, residual

    def forward(self, x):
        """x (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""
        y = self.branch(x)
        if self.residual:
            y = y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(y)


class SmallResNet(nn.Module):
    """He et al. 2015, sec. 4.2: depth = 6n + 2 layers for small pictures; residual=False is the plain twin.

    stem, blocks (3n of them, an nn.Sequential), fc. He initialisation.
    """

    def __init__(self, depth=20, width=16, num_classes=10, in_channels=3, residual=True):
        super().__init__()
        n, rest = divmod(depth - 2, 6)
        if n < 1 or rest:
            raise ValueError(f"depth (={depth}) must be 6n + 2: 8, 14, 20, ...")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        blocks, channels = [], width
        for stage in range(3):
            for i in range(n):
                out = width * 2**stage
                blocks.append(SmallBlock(channels, out, 2 if stage and i == 0 else 1, residual))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x):
        """x (N, in_channels, H, W) -> scores (N, num_classes)."""
        return self.fc(self.blocks(self.stem(x)).mean(dim=(2, 3)))


# %%
def count(net):
    """Number of parameters."""
    return sum(p.numel() for p in net.parameters())


for depth in (20, 56):
    print(
        f"{depth} layers: {count(SmallResNet(depth)):,} residual, {count(SmallResNet(depth, residual=False)):,} plain"
    )
assert count(SmallResNet(20)) == count(SmallResNet(20, residual=False)) == 269_722
assert count(SmallResNet(56)) == count(SmallResNet(56, residual=False)) == 853_018
assert count(SmallResNet(44, 8, in_channels=1, residual=False)) == count(plain_network(44))

# %% [markdown]
# **Now the three networks of part 1 again**, with one plus sign in each block. Same digits, same rate, same 60 steps, same number of parameters.
#
# **Predict.** Where do the three curves go? In which order?

# %%
residual_curves, residual_nets = {}, {}
for depth in (8, 20, 44):
    residual_nets[depth], residual_curves[depth] = fit(
        lambda depth=depth: SmallResNet(depth, width=8, in_channels=1)
    )

# %% figure="one_plus_sign"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained", sharey=True)
for ax, curves, kind in ((axes[0], plain_curves, "plain"), (axes[1], residual_curves, "residual")):
    for depth, losses in curves.items():
        curve = smooth(losses)
        ax.plot(np.arange(10, 10 + len(curve)), curve, depth_styles[depth], label=f"{depth} layers")
    ax.set(xlabel="step", ylim=(0, 2.7), title=kind)
axes[0].set(ylabel="training loss (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss over 60 steps, plain on the left: more layers are worse. Residual on the right: 20 and 44 layers are far below 8 layers.](figures/one_plus_sign.png)
#
# 20 residual layers are far better than 8, and so are 44. (In 60 steps 44 do not quite catch up with 20; nobody promised that they would be *better*.) The 44 plain layers had exactly as many parameters, and hardly learned anything.
#
# </details>

# %%
last_residual = {depth: float(np.mean(losses[-10:])) for depth, losses in residual_curves.items()}
print("residual, mean loss of the last ten steps:")
for depth, value in last_residual.items():
    print(f"  {depth:2} layers {value:.2f}")
assert last_residual[8] > last_residual[20]
assert last_residual[8] > last_residual[44]
assert last_residual[44] < 0.5 * last[44]

# %% [markdown]
# **At the paper's depths, with three seeds.** Plain and residual, 20 and 56 layers, on the same 640 digits, 8 epochs of 10 steps. The rate rises to 0.1 over the first epoch and falls along a cosine. The first is a *warm-up*. Without it deep residual networks begin badly (see the 44 layers above; He and others needed one for their 110 layers, section 4.2). So it was put in, for all four alike. The seed sets initial weights and the order of the digits. These runs take minutes. So the lesson shows what was recorded once, by the cell that you see; the full profile runs it again. The same runs also delete blocks, for part 9.
#
# **Predict.** The *training* error in percent, of all four.


# %%
def removable(net):
    """The numbers of the blocks that keep the shape."""
    return [i for i, block in enumerate(net.blocks) if block.stride == 1 and block.new == 0]


def without_blocks(net, numbers):
    """A copy of a SmallResNet with some blocks replaced by the identity."""
    rest = copy.deepcopy(net)
    for i in numbers:
        rest.blocks[i] = nn.Identity()
    return rest


def error(net, x, y):
    """Percent wrong, in use."""
    return round(100 * (1 - evaluate(net, x, y)[1]), 2)


def warmed_up(net, epochs, lr, seed):
    """Train net on the 640 digits: the rate rises to lr over one epoch, then falls -> mean loss of each epoch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    warm = math.ceil(len(few_x) / 64)
    steps = epochs * warm
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min(1, (t + 1) / warm) * (1 + math.cos(math.pi * t / steps)) / 2
    )
    losses = train(net, few_x, few_y, optimizer, epochs=epochs, scheduler=rate, seed=seed)
    return np.mean(np.reshape(losses, (epochs, -1)), axis=1).round(4).tolist()


def degradation(seed):
    """Four networks: training and test error, loss per epoch; and the training error with blocks deleted."""
    x, y = few_x, few_y
    result, dice = {}, np.random.default_rng(seed)
    for name, depth, residual in (
        ("residual-56", 56, True),
        ("plain-56", 56, False),
        ("residual-20", 20, True),
        ("plain-20", 20, False),
    ):
        torch.manual_seed(seed)
        net = SmallResNet(depth, width=8, in_channels=1, residual=residual).to(device)
        result[f"{name} losses"] = warmed_up(net, 8, 0.1, seed)
        result[name] = error(net, x, y)
        result[f"{name} test"] = error(net, new_x, new_y)
        if name in ("plain-20", "residual-56"):
            numbers = removable(net)
            result[f"{name} deleted"] = [error(without_blocks(net, [i]), x, y) for i in numbers]
        if name == "residual-56":
            several = [dice.choice(numbers, k, replace=False) for k in (2, 4, 8, 16)]
            result["several deleted"] = [error(without_blocks(net, s), x, y) for s in several]
    return result


runs = measured(
    "12-residual",
    "degradation",
    degradation,
    seeds=range(3),
    on=f"640 drawn digits, 12 x 12; {drawn.source}",
    device=device,
    again=profile == "full",
)
for name in ("plain-20", "plain-56", "residual-20", "residual-56"):
    print(
        f"{name:<12} training error {runs.column(name)} %   test error {runs.column(name + ' test')} %"
    )
print(runs)

# %% figure="degradation"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharey=True)
for ax, kind in ((axes[0], "plain"), (axes[1], "residual")):
    for depth, style, colour in ((20, "--", "#b8862b"), (56, "-", "#33206b")):
        curves = np.array(runs.column(f"{kind}-{depth} losses"))
        epochs = np.arange(1, curves.shape[1] + 1)
        ax.plot(epochs, curves.mean(axis=0), style, color=colour, label=f"{kind}-{depth}")
        ax.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25)
    ax.set(xlabel="epoch", xticks=range(0, 9, 2))
    ax.legend(loc="lower left")
axes[0].set(ylabel="training loss (nats)", title="plain, three seeds")
axes[1].set(title="residual, three seeds")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss over 8 epochs, mean and range of three seeds. Left: plain-56 stays far above plain-20. Right: residual-56 starts higher and joins residual-20 near zero, far below both.](figures/degradation.png)
#
# Error on the 640 *training* digits, mean and range of three seeds (CPU): plain-20 24 % (20 to 32), plain-56 83 % (78 to 88), residual-20 0.2 % (0.0 to 0.3), residual-56 2.0 % (0.5 to 3.3). With the same number of parameters, the same digits, the same rate. 36 more layers cost the plain network nearly all that it could; the residual one hardly minds them. On 360 digits that no network saw it is the same picture: 34, 85, 10, 11 % wrong.
#
# </details>

# %%
plain20, plain56 = np.array(runs.column("plain-20")), np.array(runs.column("plain-56"))
residual20, residual56 = np.array(runs.column("residual-20")), np.array(runs.column("residual-56"))
assert plain56.min() > plain20.max() + 10  # every seed of the one above every seed of the other
assert residual56.max() < plain20.min()
assert residual56.max() < residual20.max() + 5
if profile == "quick":  # the numbers of the text
    check.close(plain20.mean(), 24.1, what="mean training error, plain-20", rtol=0.02)
    check.close(plain56.mean(), 82.9, what="mean training error, plain-56", rtol=0.02)
    check.close(residual20.mean(), 0.21, what="mean training error, residual-20", rtol=0.05)
    check.close(residual56.mean(), 1.98, what="mean training error, residual-56", rtol=0.05)
    unseen = [np.mean(runs.column(f"{name} test")) for name in ("plain-20", "plain-56")]
    unseen += [np.mean(runs.column(f"{name} test")) for name in ("residual-20", "residual-56")]
    check.close(np.array(unseen), np.array([33.7, 84.6, 10.5, 10.8]), what="new digits", rtol=0.01)

# %% [markdown]
# ### What a reader of the paper objects
#
# "He and others trained 64,000 steps, and their plain-56 was a few points behind plain-20. Yours has had 80 steps and has not even started. That is no degradation, that is impatience. Or the rate is wrong for it." Both can be tested: five times as long, with a third of the rate as well.
#
# **Predict.** After 400 steps: does plain-56 read the 640 digits? At which rate sooner?


# %%
def patience(seed):
    """The plain networks again, five times as long; the deep one at a lower rate as well."""
    result = {}
    for name, depth, lr in (
        ("plain-20", 20, 0.1),
        ("plain-56", 56, 0.1),
        ("plain-56 slow", 56, 0.03),
    ):
        torch.manual_seed(seed)
        net = SmallResNet(depth, width=8, in_channels=1, residual=False).to(device)
        result[f"{name} losses"] = warmed_up(net, 40, lr, seed)
        result[name] = error(net, few_x, few_y)
    return result


longer = measured(
    "12-residual",
    "patience",
    patience,
    seeds=range(3, 6),
    on=f"640 drawn digits, 12 x 12; {drawn.source}",
    device=device,
    again=profile == "full",
)
for name in ("plain-20", "plain-56", "plain-56 slow"):
    print(f"{name:<14} training error after 400 steps: {longer.column(name)} %")
print(longer)

# %% figure="patience"
fig, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
for name, label, style, colour in (
    ("plain-20", "plain-20, rate 0.1", "--", "#b8862b"),
    ("plain-56", "plain-56, rate 0.1", "-", "#33206b"),
    ("plain-56 slow", "plain-56, rate 0.03", ":", "#3a7d7c"),
):
    curves = np.array(longer.column(f"{name} losses"))
    epochs = np.arange(1, curves.shape[1] + 1)
    ax.plot(epochs, curves.mean(axis=0), style, color=colour, label=label)
    ax.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2)
ax.set(xlabel="epoch", ylabel="training loss (nats)", ylim=(0, 2.5), title="Five times as long")
ax.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.12))
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss over 40 epochs, mean and range of three seeds: plain-20 is near zero after 20 epochs. Plain-56 falls slowly and ends between 1.4 and 2.1, with both rates.](figures/patience.png)
#
# Three new seeds. After 400 steps plain-20 reads each of its 640 digits, in each run. Plain-56 has started, and is still wrong on 70 % (63 to 82); with rate 0.03 on 62 % (59 to 66). Five times the patience, and it is far behind plain-20 after a fifth of it. Remember residual-56: 2 % after 80 steps, with the same number of parameters.
#
# What you have seen, and what not. *Seen:* more layers make the training error of plain networks worse, at this budget and at five times this budget, at two rates, in all seeds, and the shortcut mends it. *Not seen:* that plain-56 never gets there. With enough steps it may read 640 digits; He and others suspect "exponentially low convergence rates" (section 4.1), which is the same as "very late". *Not seen either:* a deeper residual network that is *better*. On CIFAR-10 theirs were, with 20, 32, 44, 56 and 110 layers, and one needs a harder task and a longer training for it: 640 small digits leave residual-56 nothing to gain on residual-20. Their gap between plain-20 and plain-56 was a few percent, yours is most of the scale, since they trained until it stopped. CIFAR-10 at these depths takes a GPU and hours; it is not recorded here.
#
# </details>

# %%
late20, late56 = np.array(longer.column("plain-20")), np.array(longer.column("plain-56"))
slow56 = np.array(longer.column("plain-56 slow"))
assert max(late20.max(), residual56.max()) + 20 < min(late56.min(), slow56.min())
if profile == "quick":  # the numbers of the text
    assert late20.max() == 0
    check.close(late56, [81.56, 63.12, 64.69], what="plain-56 after 400 steps")
    check.close(slow56, [66.25, 61.56, 59.38], what="plain-56 after 400 steps, rate 0.03")
    assert abs(late56.mean() - 69.8) < 0.1
    assert abs(slow56.mean() - 62.4) < 0.1

# %% [markdown]
# ## 7. What about the gradients?
#
# "Plain networks do not learn because the gradient vanishes; the shortcut lets it through." You find this sentence in a hundred places. He and others (2015, section 4.1) wrote themselves that it is *unlikely*: batch norm keeps the signals' variance up, and the gradients that they looked at were healthy. So look.
#
# ### Exercise: `gradient_norms`
#
# *15 minutes, easy, one trap. What it is for: the first thing to look at when a network does not learn.*
#
# For each `nn.Conv2d` of a model: the length of the gradient of the mean cross-entropy with respect to its weight. The model stays as it was: its parameters' `.grad`, its mode, and (this is the trap) the running statistics of its batch norms, which every forward pass in training mode moves.
#
# <details><summary>Hint 1</summary>
#
# `torch.autograd.grad(loss, list_of_tensors)` returns gradients and writes nothing into `.grad`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The running statistics belong to the model. Whom could you ask in its place?
#
# </details>


# %% exercise="gradient_norms"
def gradient_norms(model, x, y):
    """The 2-norm of the gradient of the mean cross-entropy of model(x), y by the weight of each nn.Conv2d.

    -> list of floats, in the order of model.modules(). The model runs in the mode that it is in, and is
    afterwards what it was before: parameters, .grad, running statistics, mode.
    """
    ### BEGIN SOLUTION
    twin = copy.deepcopy(
        model
    )  # a forward pass in training moves running statistics: let it be the twin's
    weights = [module.weight for module in twin.modules() if isinstance(module, nn.Conv2d)]
    loss = F.cross_entropy(twin(x), y)
    return [float(grad.norm()) for grad in torch.autograd.grad(loss, weights)]
    ### END SOLUTION


# %% tests="gradient_norms" points=2
# One convolution, a single weight of 0: scores (0 x, 0) for x = 2, class 0. p = 1/2, so the gradient
# of the first score is -1/2, and that of its weight -1/2 * 2 = -1. The second output: +1. Length sqrt 2
@check.remote
def _norms(gradient_norms, calls):
    """gradient_norms of a 1x1 convolution with two outputs, called some times."""
    import torch

    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.Flatten())
    torch.nn.init.zeros_(net[0].weight)
    x, y = torch.full((1, 1, 1, 1), 2.0), torch.tensor([0])
    return [gradient_norms(net, x, y) for _ in range(calls)], net[0].weight.grad


check.close(
    np.array(_norms(gradient_norms, 2)[0]),
    np.full((2, 1), 2**0.5),
    what="gradient_norms of one convolution, called twice",
)
assert _norms(gradient_norms, 1)[1] is None, (
    "gradient_norms: .grad was None before, and is not None now"
)
del _norms


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def asked(gradient_norms, x, y, training, seed):
        import torch
        from torch import nn

        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(x.shape[1], 3, 3, padding=1),
            nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1, bias=False)),
            nn.BatchNorm2d(4),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Flatten(),
            nn.Linear(4, 5),
        ).to(x.dtype)
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.2, 1.2)
        for owned in net.parameters():
            owned.grad = torch.full_like(owned, 0.5)
        net.train(training)
        net[1].eval()
        before = {k: v.clone() for k, v in net.state_dict().items()}
        got = gradient_norms(net, x, y)
        again = gradient_norms(net, x, y)
        left = all(bool((before[k] == v).all()) for k, v in net.state_dict().items())
        grads = all(p.grad is not None and bool((p.grad == 0.5).all()) for p in net.parameters())
        modes = net.training == training and not net[1][0].training and net[2].training == training
        return before, got, again, (left, grads, modes), all(type(one) is float for one in got)

    for case, (shape, training) in enumerate(
        (((4, 2, 5, 3), True), ((3, 1, 4, 4), False), ((6, 3, 2, 5), True))
    ):
        dice = torch.Generator().manual_seed(1250 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        y = torch.randint(0, 5, (shape[0],), generator=dice)
        s, got, again, (left, grads, modes), plain = asked(gradient_norms, x, y, training, case)
        what = f"gradient_norms, x {shape}, {'train' if training else 'eval'}"
        assert left, f"{what}: a parameter or a running statistic was changed"
        assert grads, f"{what}: .grad was changed"
        assert modes, f"{what}: a module's mode was changed"
        assert plain, f"{what}: a list of floats, please"
        weights = [s["0.weight"].requires_grad_(), s["1.2.weight"].requires_grad_()]
        z = F.conv2d(x, weights[0], s["0.bias"], padding=1)
        z = F.batch_norm(
            z, s["1.0.running_mean"], s["1.0.running_var"], s["1.0.weight"], s["1.0.bias"], False
        )
        z = F.conv2d(F.relu(z), weights[1])
        stats = s["2.running_mean"].clone(), s["2.running_var"].clone()
        z = F.batch_norm(z, *stats, s["2.weight"], s["2.bias"], training)
        z = z.mean(dim=(2, 3)) @ s["5.weight"].T + s["5.bias"]
        F.cross_entropy(z, y).backward()
        wanted = [float(w.grad.norm()) for w in weights]
        check.close(np.array(got), np.array(wanted), what=what)
        check.close(np.array(again), np.array(wanted), what=f"{what}, called again")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Look at them**, at the start of training: plain and residual, 8, 20, 44 layers, with batch norm and without. `without_norm` replaces each batch norm by the identity.
#
# **Predict.** Four panels. In which of them do the gradients vanish towards the first layers? In which do they explode?


# %%
def without_norm(net):
    """A copy of net in which each batch norm is the identity."""
    bare = copy.deepcopy(net)
    for module in list(bare.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return bare


norms = {}
for residual in (False, True):
    for depth in (8, 20, 44):
        torch.manual_seed(seed)
        net = SmallResNet(depth, 8, in_channels=1, residual=residual).to(device)
        norms[residual, True, depth] = gradient_norms(net, few_x[:128], few_y[:128])
        norms[residual, False, depth] = gradient_norms(without_norm(net), few_x[:128], few_y[:128])

# %% figure="gradient_norms"
fig, axes = plt.subplots(1, 4, figsize=(7.4, 2.5), layout="constrained", sharey=True)
for ax, (residual, norm) in zip(
    axes, ((False, True), (True, True), (False, False), (True, False)), strict=True
):
    for depth, style in depth_styles.items():
        values = norms[residual, norm, depth]
        ax.plot(np.arange(1, len(values) + 1), values, style, label=f"{depth} layers")
    kind = "residual" if residual else "plain"
    ax.set(
        yscale="log", xlabel="convolution", title=f"{kind}, {'batch norm' if norm else 'no norm'}"
    )
axes[0].set(ylabel="length of the gradient")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Length of the gradient of each convolution on a logarithmic axis, four panels. Plain with batch norm: straight lines that fall from the first to the last convolution, by a factor of 100 for 44 layers. Residual with batch norm: nearly level. Plain without: level, and the lower the deeper. Residual without: level, at several hundred for 44 layers.](figures/gradient_norms.png)
#
# - **Plain, with batch norm:** nothing vanishes. At the start the gradient *explodes* towards the first layers. With 44 layers the first convolutions get one that is a hundred times as long as the last one's. Yang and others (2019) derive it: in wide layers with ReLU and batch norm each layer lengthens the gradient by $\sqrt{\pi/(\pi - 1)} = 1.21$ on the way back, at the start. (Here it is about 1.1 per layer: narrow ones, whose weights are shared by many places.)
# - **Residual, with batch norm:** nearly level, and nearly the same at 8, 20 and 44 layers. This is what the shortcut does for the gradient: it makes it *even*.
# - **Plain, without:** level as well, He initialisation does what it promised. But the deeper, the smaller, at *every* layer. The last number that is printed below tells why: behind 44 layers all pictures look alike (their features have a cosine near 1). Then the gradients of the ten classes cancel.
# - **Residual, without:** level, and hundreds of times too long. On the road each block *adds* its own variance to what was there. Without a norm both have the same mean square, so it doubles from block to block, where a plain layer keeps it. And from block to block it comes back as it went: the gradient doubles, too.
#
# </details>

# %%
deep = {key: value for key, value in norms.items() if key[2] == 44}
ratio = {key[:2]: np.mean(value[1:5]) / np.mean(value[-4:]) for key, value in deep.items()}
print("gradients of the first convolutions / of the last ones, 44 layers:")
for (shortcut, norm), v in ratio.items():
    name = ("residual" if shortcut else "plain") + (", batch norm" if norm else ", no norm")
    print(f"  {name:<22}{v:8.1f}")
assert ratio[False, True] > 50
assert all(1 / 8 < ratio[key] < 8 for key in ((True, True), (False, False), (True, False)))
assert np.mean(deep[True, False, 44]) > 100 * np.mean(deep[True, True, 44])
assert np.mean(deep[False, False, 44]) < 0.1 * np.mean(norms[False, False, 8])
assert abs(math.sqrt(math.pi / (math.pi - 1)) - 1.21) < 0.01

torch.manual_seed(seed)
bare = without_norm(SmallResNet(44, 8, in_channels=1, residual=False)).to(device)
with torch.no_grad():
    features = bare.blocks(bare.stem(few_x[:128])).mean(dim=(2, 3))
alike = F.cosine_similarity(features[:64], features[64:])
print(
    f"cosine between the features of two different digits, 44 plain layers: {float(alike.mean()):.4f}"
)
assert float(alike.mean()) > 0.95

# %% [markdown]
# ### Long enough. But which way?
#
# Does the explosion explain the degradation, then? It was measured at step 0. And length is not all: where each batch pulls in another direction, the steps cancel, however long they are. So two more measurements.
#
# **(a)** Ten steps of training at rate 0.1. Before each, how many times as long is the gradient of the first convolutions as that of the last ones?
#
# **(b)** At the start: take four batches of 128 digits that share no digit. Each has a gradient for each convolution. The **cosine** between two of them is 1 if the batches pull the same way, and 0 if they have nothing in common.
#
# **Predict.** (a) How long does the explosion last? (b) In which network do the batches agree, plain with 8, 20, 44 layers, or residual with 44?


# %%
def first_to_last(net):
    """Length of the gradient of convolutions 2 to 5 by that of the last four."""
    values = gradient_norms(net, few_x[:64], few_y[:64])
    return float(np.mean(values[1:5]) / np.mean(values[-4:]))


def agreement(net):
    """Mean cosine between the gradients of four batches of 128, for each convolution."""
    pulls = []
    for xb, yb in zip(few_x[:512].split(128), few_y[:512].split(128), strict=True):
        net.zero_grad()
        F.cross_entropy(net(xb), yb).backward()
        pulls.append(
            [F.normalize(p.grad.flatten(), dim=0) for p in net.parameters() if p.dim() == 4]
        )
    cosines = []
    for four in zip(*pulls, strict=True):
        table = torch.stack(four) @ torch.stack(four).T
        cosines.append((float(table.sum()) - 4) / 12)  # without the diagonal
    return cosines


ratios = {}
for residual in (False, True):
    torch.manual_seed(seed)
    net = SmallResNet(44, 8, in_channels=1, residual=residual).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    ratios[residual] = [first_to_last(net)]
    for xb, yb in zip(few_x.split(64), few_y.split(64), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(net(xb), yb).backward()
        optimizer.step()
        ratios[residual].append(first_to_last(net))

agreements = {}
for residual, depth in ((False, 8), (False, 20), (False, 44), (True, 44)):
    runs_of = []
    for one_seed in range(3):
        torch.manual_seed(one_seed)
        net = SmallResNet(depth, 8, in_channels=1, residual=residual).to(device)
        runs_of.append(agreement(net))
    agreements[residual, depth] = np.array(runs_of)

# %% figure="direction"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for residual, style, colour in ((False, "s-", "#b8862b"), (True, "o--", "#33206b")):
    label = f"{'residual' if residual else 'plain'}, 44 layers"
    axes[0].plot(ratios[residual], style, color=colour, markersize=3, label=label)
axes[0].axhline(1, color="gray", linewidth=1)
axes[0].set(
    yscale="log", xlabel="step", ylabel="first / last", title="(a) Lengths: first by last layers"
)
axes[0].legend(fontsize=7)
names = [f"{'residual' if residual else 'plain'} {depth}" for residual, depth in agreements]
for row, values in enumerate(agreements.values()):
    axes[1].plot(values.mean(axis=1), [row] * 3, "o", color="#33206b", markersize=5, alpha=0.7)
axes[1].axvline(0, color="gray", linewidth=1)
axes[1].set(yticks=range(4), yticklabels=names, xlim=(-0.05, 0.5), ylim=(3.5, -0.5))
axes[1].set(xlabel="mean cosine between batches", title="(b) Directions at the start, three seeds")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, on a logarithmic axis: the plain ratio falls from above 100 to below 1 within five steps, the residual one stays between 1 and 5. Right: mean cosine between the gradients of different batches for three seeds; plain 8 around 0.17, plain 20 around 0.05, plain 44 at 0.01, residual 44 around 0.3.](figures/direction.png)
#
# **(a)** The explosion is over after a handful of steps. Batch norm divides by the size of what the convolution gives, so a convolution that is ten times as large does the same, and its gradient is a *tenth*. The first steps throw the first weights far away, and from there their gradients are short. (Yang and others saw the same after one step.) From then on no layer's gradient is more than a few times as long or as short as another's, and the 44 plain layers still learn next to nothing. So it is not the length.
#
# **(b)** It is rather the direction. With 8 plain layers different digits pull a common way: the cosine is about 0.17. With 20 it is lower, with 44 it is 0.01: the four batches want four unrelated things. A step that helps one says nothing about the others. With shortcuts 44 layers agree as well as 8 plain ones do, or better. Balduzzi and others (2017) call it **shattered gradients**: as a function of the input, the gradient of a deep plain network is nearly white noise.
#
# Careful: this is the start, at one width, on one set of digits. It fits to the degradation. That it is *the* cause does not follow.
#
# </details>

# %%
mean_cosine = {key: values.mean(axis=1) for key, values in agreements.items()}
print("mean cosine, seeds 0, 1, 2:")
for name, values in zip(names, mean_cosine.values(), strict=True):
    print(f"  {name:<12}", values.round(3))
assert ratios[False][0] > 50 > 5 > ratios[False][-1] > 0.05
assert max(ratios[True]) < 10
assert mean_cosine[False, 44].max() < 0.05 < mean_cosine[False, 8].min()
assert mean_cosine[True, 44].min() > 0.15
assert np.mean(mean_cosine[False, 44]) < np.mean(mean_cosine[False, 20])
assert np.mean(mean_cosine[False, 20]) < np.mean(mean_cosine[False, 8])
assert abs(np.mean(mean_cosine[False, 8]) - 0.17) < 0.05

# %% [markdown]
# **Train without batch norm.** "Residual, no norm" exploded. The remedy is in the picture of part 2: let each branch start at zero. Then there is nothing to add up, at first. Zhang, Dauphin and Ma (2019) made a recipe of it, **Fixup**: the last convolution of each branch starts at 0, the others are scaled down with the depth, a few scalars are learned. With it they trained residual networks of up to 10,000 layers without any normalization. You take the first ingredient alone.
#
# **Predict.** Four networks of 44 layers, one with batch norm, three without, at the rate of part 1. Who learns?


# %%
def bare_network(residual, start_at_zero=False):
    """A SmallResNet of 44 layers without batch norm; its branches may start at zero."""
    net = without_norm(SmallResNet(44, 8, in_channels=1, residual=residual))
    for block in net.blocks:
        if start_at_zero:
            nn.init.zeros_(block.branch[3].weight)
    return net


bare_curves = {
    "residual, batch norm": residual_curves[44],
    "residual, nothing": fit(lambda: bare_network(True), epochs=1)[1],
    "residual, branches start at 0": fit(lambda: bare_network(True, start_at_zero=True))[1],
    "plain, nothing": fit(lambda: bare_network(False), epochs=3)[1],
}
for name, losses in bare_curves.items():
    print(
        f"{name:<30} first loss {losses[0]:.3g}, mean of the last ten {np.mean(losses[-10:]):.3g}"
    )

# %% figure="without_norm"
fig, ax = plt.subplots(figsize=(5.6, 2.7), layout="constrained")
for (name, losses), style in zip(bare_curves.items(), ("-", "x", "--", "-."), strict=True):
    shown = np.minimum(
        np.nan_to_num(losses, nan=1e3), 1e3
    )  # NaN and what is larger: on the upper edge
    ax.plot(np.arange(1, len(shown) + 1), shown, style, markersize=5, label=name)
ax.axhline(math.log(10), color="gray", linewidth=1)
ax.set(yscale="log", ylim=(0.1, 1500), xlabel="step", ylabel="training loss (nats)")
ax.set(title="44 layers: who needs batch norm? (x at the top: NaN)")
ax.legend(fontsize=7, loc="upper right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Training loss on a logarithmic axis. Residual with batch norm falls below 0.5. Residual with nothing starts above 100 and is NaN at once. Residual with branches that start at zero falls slowly to 1.5. Plain with nothing stays at ln 10.](figures/without_norm.png)
#
# "Residual, nothing" starts at a loss of about 200 and is NaN a few steps later. "Plain, nothing" stays where it is. With branches that start at zero the same residual network, at the same rate, without any normalization, learns: slowly, since its 21 branches first have to wake up. Batch norm helps more. But depth can be trained without it, from a start where the sizes stay bounded. (One seed, one rate. The other ingredients of Fixup are there to make it fast.)
#
# </details>

# %%
assert bare_curves["residual, nothing"][0] > 20
assert not bare_curves["residual, nothing"][-1] < 20  # NaN is not below anything
assert np.mean(bare_curves["residual, branches start at 0"][-10:]) < 2
assert np.mean(bare_curves["plain, nothing"][-10:]) > 2.2

# %% [markdown]
# ## 8. A clean road
#
# In the block of 2015 a ReLU stands on the road, behind each addition. He and others came back a year later (2016, *Identity Mappings*) and cleared it. **Pre-activation:** batch norm and ReLU come *before* each convolution, twice, and after the addition comes nothing.
#
# $$y = x + F(x), \qquad F = \text{conv2} \circ \mathrm{ReLU} \circ \text{bn2} \circ \text{conv1} \circ \mathrm{ReLU} \circ \text{bn1} .$$
#
# Put such blocks in a row, and unroll:
#
# $$x_L = x_0 + \sum_{l=0}^{L-1} F_l(x_l), \qquad \frac{\partial\,\text{loss}}{\partial x_0} = \frac{\partial\,\text{loss}}{\partial x_L}\Big(1 + \frac{\partial}{\partial x_0} \sum_l F_l(x_l)\Big).$$
#
# What comes out is what went in plus a *sum*, where a plain network has a product. And there is the 1 in the gradient: what arrives at $x_L$ also arrives at $x_0$, in full, beside what comes through the branches (equations 4 and 5 there). It holds between two projections, which are no identity.
#
# **Where the block has to project** (a stride, or other channels), the shortcut is a 1 x 1 convolution with the stride, without batch norm, and it takes not $x$ but what comes out of the *first batch norm and ReLU*: the branch and the shortcut share them.
#
# ### Exercise: `PreActBlock`
#
# *20 minutes, medium. What it is for: this order trains a thousand layers. Most large Transformers of today have it, too, under the name "pre-norm".*
#
# Names: `bn1`, `conv1` (has the stride), `bn2`, `conv2`, and `shortcut`: an `nn.Conv2d` where it projects, `None` elsewhere.
#
# <details><summary>Hint 1</summary>
#
# How many channels has `bn1`? It comes first now.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `z = relu(bn1(x))`. Who takes `z`, who takes `x`? There are three candidates and two cases.
#
# </details>


# %% exercise="PreActBlock"
class PreActBlock(nn.Module):
    """x + F(x) with F = bn1, ReLU, conv1 (3x3, has the stride), bn2, ReLU, conv2 (3x3) (He et al. 2016, fig. 1b).

    shortcut is None where x fits as it is, otherwise a 1x1 convolution with the stride that takes relu(bn1(x)).
    """

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        ### BEGIN SOLUTION
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W) -> (N, width, ceil(H / stride), ceil(W / stride))."""
        ### BEGIN SOLUTION
        z = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        y = self.conv1(z)
        y = self.conv2(F.relu(self.bn2(y)))
        return y + shortcut
        ### END SOLUTION


# %% tests="PreActBlock" part="identity" points=2
# With a branch of zeros x itself remains, negative numbers and all
@check.remote
def _without_branch(PreActBlock, x):
    """PreActBlock(4, 4) whose last convolution is zero."""
    import torch

    block = PreActBlock(4, 4)
    torch.nn.init.zeros_(block.conv2.weight)
    return block(x).detach()


check.close(
    _without_branch(
        PreActBlock, torch.tensor([1.0, -2.0, 3.0, -4.0]).reshape(1, 4, 1, 1).repeat(2, 1, 2, 2)
    ),
    torch.tensor([1.0, -2.0, 3.0, -4.0]).reshape(1, 4, 1, 1).repeat(2, 1, 2, 2),
    what="PreActBlock(4, 4) without its branch",
)
del _without_branch


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        state = {k: v.clone() for k, v in block.state_dict().items()}
        block.train(training)
        x = x.clone().requires_grad_()
        y = block(x)
        y.backward(dy)
        grads = {k: p.grad for k, p in block.named_parameters()}
        return state, y.detach(), x.grad, grads, block.shortcut is None

    def norm(state, y, name, training):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        w, b = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.batch_norm(y, mean.clone(), var.clone(), w, b, training)

    for case, (shape, training) in enumerate(
        (((3, 4, 5, 7), False), ((4, 2, 6, 3), True), ((1, 5, 1, 4), False), ((2, 1, 4, 4), True))
    ):
        dice = torch.Generator().manual_seed(1260 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        dy = torch.randn(shape, generator=dice, dtype=torch.float64)
        C = shape[1]
        what = f"PreActBlock({C}, {C}), x {shape}, {'train' if training else 'eval'}"
        state, y, dx, grads, bare = ran(PreActBlock, (C, C), x, dy, training, case)
        assert bare, f"{what}: x fits as it is, shortcut is None"
        names = {"bn1.weight", "bn1.bias", "conv1.weight", "bn2.weight", "bn2.bias", "conv2.weight"}
        assert set(grads) == names, f"{what}: its parameters are {sorted(grads)}"
        s = state | {k: state[k].requires_grad_() for k in grads}
        x_leaf = x.clone().requires_grad_()
        z = F.conv2d(F.relu(norm(s, x_leaf, "bn1", training)), s["conv1.weight"], padding=1)
        z = F.conv2d(F.relu(norm(s, z, "bn2", training)), s["conv2.weight"], padding=1)
        wanted = x_leaf + z
        check.close(y, wanted.detach(), what=what)
        wanted.backward(dy)
        check.close(dx, x_leaf.grad, what=f"gradient of x, {what}")
        for k in names:
            assert grads[k] is not None, f"{what}: no gradient reaches {k}"
            check.close(grads[k], s[k].grad, what=f"gradient of {k}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="PreActBlock" part="projection" points=2
check.shape(
    PreActBlock(2, 6, stride=2)(torch.zeros(1, 2, 5, 7)),
    (1, 6, 3, 4),
    what="PreActBlock(2, 6, stride=2), x (1, 2, 5, 7)",
)
assert PreActBlock(6, 6, stride=2).shortcut is not None, (
    "PreActBlock(6, 6, stride=2): do the sizes fit?"
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        state = {k: v.clone() for k, v in block.state_dict().items()}
        block.train(training)
        x = x.clone().requires_grad_()
        y = block(x)
        y.backward(dy)
        return state, y.detach(), x.grad, {k: p.grad for k, p in block.named_parameters()}

    def norm(state, y, name, training):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        w, b = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.batch_norm(y, mean.clone(), var.clone(), w, b, training)

    for case, (shape, width, stride, training) in enumerate(
        (
            ((3, 4, 5, 7), 6, 2, False),
            ((4, 2, 6, 3), 5, 1, True),
            ((2, 4, 7, 4), 4, 2, True),
            ((2, 3, 8, 5), 2, 3, False),
        )
    ):
        dice = torch.Generator().manual_seed(1270 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        out = (shape[0], width, -(-shape[2] // stride), -(-shape[3] // stride))
        dy = torch.randn(out, generator=dice, dtype=torch.float64)
        what = f"PreActBlock({shape[1]}, {width}, {stride}), x {shape}, {'train' if training else 'eval'}"
        state, y, dx, grads = ran(PreActBlock, (shape[1], width, stride), x, dy, training, case)
        names = {"bn1.weight", "bn1.bias", "conv1.weight", "bn2.weight", "bn2.bias", "conv2.weight"}
        names.add("shortcut.weight")
        assert set(grads) == names, f"{what}: its parameters are {sorted(grads)}"
        s = state | {k: state[k].requires_grad_() for k in grads}
        x_leaf = x.clone().requires_grad_()
        z = F.relu(norm(s, x_leaf, "bn1", training))
        wanted = F.conv2d(z, s["conv1.weight"], stride=stride, padding=1)
        wanted = F.conv2d(F.relu(norm(s, wanted, "bn2", training)), s["conv2.weight"], padding=1)
        wanted = wanted + F.conv2d(z, s["shortcut.weight"], stride=stride)
        check.close(y, wanted.detach(), what=what)
        wanted.backward(dy)
        check.close(dx, x_leaf.grad, what=f"gradient of x, {what}")
        for k in names:
            assert grads[k] is not None, f"{what}: no gradient reaches {k}"
            check.close(grads[k], s[k].grad, what=f"gradient of {k}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="PreActBlock" part="contract" points=1
_x = torch.tensor([[[[1.0, -2.0], [-3.0, 4.0]]]])
_before = _x.clone()
PreActBlock(1, 1)(_x)
check.unchanged(_before, _x, what="x after PreActBlock(1, 1)(x)")
check.equal(PreActBlock.expansion, 1, what="PreActBlock.expansion")
del _x, _before


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def on_meta(make, args, shape):
        import torch

        with torch.device("meta"), torch.enable_grad():
            return tuple(make(*args)(torch.empty(shape)).shape)

    @check.remote
    def kinds(make, args, x):
        block = make(*args).to(x.dtype).eval()
        norms = [m for m in block.modules() if hasattr(m, "running_mean")]
        settings = sorted({(m.eps, m.momentum) for m in norms})
        y = block(x)
        return str(y.dtype), y.detach(), block.double()(x.double()).detach(), settings

    dice = torch.Generator().manual_seed(1280)
    for shape, width, stride in (((2, 3, 6, 5), 3, 1), ((2, 3, 6, 5), 4, 1), ((2, 4, 7, 9), 4, 2)):
        what = f"PreActBlock({shape[1]}, {width}, {stride}), x {shape}"
        x = torch.randn(shape[0], shape[1], shape[3], shape[2], generator=dice).transpose(2, 3)
        before = x.clone()
        kind, y, double, settings = kinds(PreActBlock, (shape[1], width, stride), x)
        check.equal(settings, [(1e-5, 0.1)], what=f"(eps, momentum) of the batch norms, {what}")
        check.unchanged(before, x, what=f"x, {what}")
        check.equal(kind, "torch.float32", what=f"dtype of the result, {what}, float32")
        check.close(y, double, what=f"{what}, float32 beside float64", rtol=1e-4, atol=1e-5)
        out = (shape[0], width, -(-shape[2] // stride), -(-shape[3] // stride))
        check.equal(
            on_meta(PreActBlock, (shape[1], width, stride), shape),
            out,
            what=f"shape on meta, {what}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Is the road clean?** Twenty blocks in a row, and one picture with numbers of both signs. First with branches of zeros, then with random ones: $x_{20} - x_0$ must be the sum of what the branches gave.
#
# **Predict.** What do twenty `BasicBlock`s without branches make of a negative number? What gradient comes back to it?

# %%
torch.manual_seed(seed)
old_road = nn.Sequential(*[BasicBlock(4, 4) for _ in range(20)])
new_road = nn.Sequential(*[PreActBlock(4, 4) for _ in range(20)])
signs = torch.randn(2, 4, 6, 6, requires_grad=True)
added = []
for block in new_road:
    block.conv2.register_forward_hook(lambda module, inputs, y: added.append(y.detach()))
check.close(
    new_road(signs).detach(),
    signs.detach() + sum(added),
    what="x_20 = x_0 + sum of F_l(x_l)",
    rtol=1e-4,
    atol=1e-4,
)

for block in old_road:
    nn.init.zeros_(block.bn2.weight)
for block in new_road:
    nn.init.zeros_(block.conv2.weight)
for name, road in (("BasicBlock", old_road), ("PreActBlock", new_road)):
    (slope,) = torch.autograd.grad(road(signs).sum(), signs)
    unharmed = float((road(signs) == signs).float().mean())
    print(
        f"20 x {name}: {100 * unharmed:.0f} % of the numbers unharmed, mean gradient {float(slope.mean()):.2f}"
    )
check.close(
    new_road(signs).detach(), signs.detach(), what="20 pre-activation blocks without branches"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# All numbers and a gradient of 1 for `PreActBlock`. For `BasicBlock` the negative half is gone at the first ReLU, and no gradient comes back to it. Inside a network that costs less than it seems, since behind the stem's ReLU nothing is negative. But what a later branch subtracts below zero is cut off there as well. Up to about a hundred layers the two are equally good. At 1,001 layers the difference was 7.61 % against 4.92 % error on CIFAR-10 (He and others 2016, table 3).
#
# </details>
#
# WRN-28-10 of part 5 is a row of twelve such blocks. Here it is, out of yours: three stages of four, a convolution in front, and at the end the batch norm and the ReLU that the last block leaves open.


# %%
def wide_28_10():
    """WRN-28-10 for CIFAR-10: 6 * 4 + 4 layers, ten times 16, 32, 64 channels."""
    layers, channels = [nn.Conv2d(3, 16, 3, padding=1, bias=False)], 16
    for stage, width in enumerate((160, 320, 640)):
        for i in range(4):
            layers.append(PreActBlock(channels, width, 2 if stage and i == 0 else 1))
            channels = width
    layers += [nn.BatchNorm2d(640), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(640, 10))


with torch.device("meta"):
    print(f"WRN-28-10: {count(wide_28_10()):,} parameters")
    check.equal(count(wide_28_10()), 36_479_194, what="parameters of WRN-28-10 of your blocks")

# %% [markdown] manual="not_vanishing" points=2
# **Question (2 points, 10 minutes).** A colleague writes in a report: "The plain network of 56 layers has a higher error than that of 20 because it overfits, and because its gradients vanish. Residual connections supply the data that it lacks." Three claims. For each of them name one measurement *of this lesson* that speaks against it (or for it), and say what it showed.
#
# ### BEGIN SOLUTION
# Overfitting: the *training* error of plain-56 is above that of plain-20 (part 6, three seeds); an overfitted network would be good on exactly these pictures. Vanishing gradients: the gradient norms at the start (part 7, plain with batch norm) do not fall towards the first layers; they are a hundred times longer there than at the end, and within a few times of each other ten steps later. (A careful answer adds: what is wrong with them is their direction, which batches do not share.) (1 point.)
#
# Data: all networks of parts 1 and 6 were trained on the same pictures, with the same number of parameters, and only the additions differ; the residual ones fit them. Also, the network deepened by hand (part 1) shows that the weights exist that fit the same data with 44 plain layers: what is lacking is not data, but a way for the optimizer to find them. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 9. Delete a layer of a trained network
#
# Unroll two residual blocks by hand: $x_2 = x_1 + F_1(x_1)$ with $x_1 = x_0 + F_0(x_0)$, so
#
# $$x_2 = x_0 + F_0(x_0) + F_1\big(x_0 + F_0(x_0)\big) .$$
#
# There are four ways through: past both, through one, through the other, through both. With $n$ blocks there are $2^n$. Veit, Wilber and Belongie (2016) asked: is a residual network *one* deep network, or rather an **ensemble of many shallow ones** that share their weights? Their test is brutal. Take a trained network and delete a block, without any further training. If a block were one link of a chain, all would be lost. If it lies on half of the paths, half remain.
#
# **Predict.** A plain and a residual network of 20 layers, both trained for 100 steps. Each block that keeps its shape is deleted, one at a time (it is replaced by the identity). What error on new digits, for both?

# %%
chain, _ = fit(lambda: SmallResNet(20, 8, in_channels=1, residual=False), epochs=10)
ensemble, _ = fit(lambda: SmallResNet(20, 8, in_channels=1), epochs=10)
lesions = {}
for name, net in (("plain", chain), ("residual", ensemble)):
    lesions[name] = [error(without_blocks(net, [i]), new_x, new_y) for i in removable(net)]
    print(
        f"{name}: whole {error(net, new_x, new_y):.1f} % wrong; one block deleted: {lesions[name]}"
    )

# %% figure="lesions"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharey=True)
for (name, values), style in zip(lesions.items(), ("s:", "o-"), strict=True):
    axes[0].plot(removable(chain), values, style, label=f"{name}, 20 layers")
axes[0].set(
    xlabel="deleted block", ylabel="error (%)", ylim=(0, 100), title="Yours: new digits, one seed"
)
axes[0].legend(fontsize=7)
for name, style in (("plain-20", "s:"), ("residual-56", "o-")):
    values = np.array(runs.column(f"{name} deleted"))
    middle = 100 * (np.arange(values.shape[1]) + 0.5) / values.shape[1]
    axes[1].errorbar(
        middle,
        values.mean(axis=0),
        [values.mean(axis=0) - values.min(axis=0), values.max(axis=0) - values.mean(axis=0)],
        fmt=style,
        markersize=3,
        linewidth=1,
        label=name,
    )
    axes[1].axhline(np.mean(runs.column(name)), color="gray", linestyle=style[1:], linewidth=1)
axes[1].set(xlabel="deleted block (% of the way)", title="Recorded: training digits, three seeds")
axes[1].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two panels. Left: with one block deleted the plain network of 20 layers errs on 70 to 98 percent of new digits, the residual one on 10 to 40 percent. Right, recorded: plain-20 near 80 to 90 percent for each block, residual-56 low, with peaks at the first blocks.](figures/lesions.png)
#
# The plain network is gone: with one of its blocks missing it all but guesses (90 % wrong is guessing). The residual one limps on. In the recorded runs a deleted block costs plain-20 nearly everything (85 % wrong on its own training digits, mean of all blocks and seeds) and residual-56 little: 8 % wrong in the mean, 4 % in the median block, against 2.0 % of the whole network. Early blocks, right behind the stem, matter most. With 2, 4, 8 and 16 of its 25 blocks gone, drawn at random, 5, 57, 52, 90 % are wrong (much depends on whether an early block is among them). It loses members, as an ensemble does, and does not break at one link, as a chain.
#
# What this does *not* show: that blocks do nothing. They were trained together, and each deletion costs something.
#
# </details>

# %%
assert min(lesions["plain"]) > 55
assert np.median(lesions["residual"]) < 40
broken = {name: np.array(runs.column(f"{name} deleted")) for name in ("plain-20", "residual-56")}
assert broken["plain-20"].mean() > 2.5 * broken["residual-56"].mean()
if profile == "quick":  # the numbers of the text
    check.close(broken["plain-20"].mean(), 85.4, what="plain-20, one block deleted", rtol=0.02)
    check.close(broken["residual-56"].mean(), 8.5, what="residual-56, one block deleted", rtol=0.02)
    check.close(np.median(broken["residual-56"]), 4.1, what="the median block", rtol=0.05)

# %% [markdown]
# ## 10. Sum or concatenate
#
# A shortcut can be read more freely: *later layers also see what earlier ones saw.* Adding is one way to show it to them, and it mixes old and new for ever. The other way is to put old and new **side by side**, along the channels. Huang, Liu, van der Maaten and Weinberger (2017) did so with *all* layers of a block: **DenseNet**.
#
# In a dense block of $L$ layers each layer $l$ reads everything there is (the block's input and what the layers $0 \dots l-1$ made) and adds $k$ new maps to it, the **growth rate**:
#
# $$x_{l+1} = [\,x_l,\; H_l(x_l)\,], \qquad \text{channels: } C,\; C + k,\; C + 2k,\; \dots,\; C + Lk .$$
#
# $H_l$ is in pre-activation order, with a bottleneck in front: BN, ReLU, 1 x 1 to $4k$ channels, BN, ReLU, 3 x 3 to $k$ channels. $k$ is 32 in DenseNet-121. So each layer is very narrow. It can be: whatever was found before is still there.
#
# **Count the connections.** Layer 0 reads one thing, the block's input. Layer 1 reads two. Layer $L - 1$ reads $L$. Together $1 + 2 + \dots + L = \frac{L(L+1)}{2}$. (You may find $L(L+1)$ in notes. A chain of $L$ layers has $L$ connections, and for one layer $L(L+1)$ would be two.) In a moment your code will count them in your block.
#
# ### Exercise: `DenseBlock`
#
# *20 minutes, medium. What it is for: whoever concatenates what was made earlier, as the U-Nets of unit 15 do, does it like this.*
#
# Promised: `layers`, an `nn.ModuleList` of the $L$ layers. Layer $l$ takes `(N, C + l * growth, H, W)` and returns its `growth` new maps alone; the block does the concatenating. In the result the block's input comes first, then the new maps in the order in which they were made.
#
# <details><summary>Hint 1</summary>
#
# `nn.Sequential(BN, ReLU, 1x1, BN, ReLU, 3x3)` is a fine layer. How many channels has its first batch norm, for layer $l$?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which axis of `(N, C, H, W)` holds the channels? `torch.cat` has `dim=0` by default, and that would make more *pictures*.
#
# </details>


# %% exercise="DenseBlock"
class DenseBlock(nn.Module):
    """layers times: x = [x, layer(x)] along the channels (Huang et al. 2017, eq. 2).

    A layer is BN, ReLU, 1x1 to 4 * growth channels, BN, ReLU, 3x3 to growth channels; all of them are in
    the nn.ModuleList `layers`. Gives in_channels + layers * growth channels: x first, then in the order of layers.
    """

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        ### BEGIN SOLUTION
        stack = []
        for c in range(in_channels, in_channels + layers * growth, growth):
            narrow = [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4 * growth, 1, bias=False)]
            new = [nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)]
            stack.append(nn.Sequential(*narrow, nn.BatchNorm2d(4 * growth), nn.ReLU(), *new))
        self.layers = nn.ModuleList(stack)
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W) -> (N, in_channels + layers * growth, H, W)."""
        ### BEGIN SOLUTION
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x
        ### END SOLUTION


# %% tests="DenseBlock" part="wiring" points=3
# 3 channels and two layers of growth 2: 7 channels, of which the first three are x itself
_x = torch.arange(24.0).reshape(1, 3, 2, 4) - 9
_y = DenseBlock(3, 2, growth=2)(_x)
check.shape(_y, (1, 7, 2, 4), what="DenseBlock(3, 2, growth=2), x (1, 3, 2, 4)")
check.close(_y[:, :3], _x, what="the first three channels of DenseBlock(3, 2, growth=2)")
del _x, _y


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(make, args, x, dy, training, seed):
        import torch
        from torch import nn

        torch.manual_seed(seed)
        block = make(*args).to(x.dtype)
        with torch.no_grad():
            for name, value in block.state_dict().items():
                if value.is_floating_point():
                    var = name.endswith("var")
                    value.copy_(
                        torch.rand_like(value) + 0.5 if var else torch.randn_like(value) / 2
                    )
        block.train(training)
        parts, hooks = [], []

        def note(module, inputs):
            if isinstance(module, nn.BatchNorm2d):
                stats = module.running_mean.clone(), module.running_var.clone()
                parts.append(("norm", module.weight, module.bias, *stats))
            else:
                parts.append(("conv", module.weight, module.bias))

        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d | nn.Conv2d):
                hooks.append(module.register_forward_pre_hook(note))
        x = x.clone().requires_grad_()
        y = block(x)
        y.backward(dy)
        grads = [tuple(None if t is None else t.grad for t in part[1:3]) for part in parts]
        values = [
            (part[0], *(None if t is None else t.detach() for t in part[1:])) for part in parts
        ]
        return values, y.detach(), x.grad, grads, len(block.layers)

    for case, (shape, layers, growth, training) in enumerate(
        (
            ((2, 3, 5, 4), 3, 2, False),
            ((3, 4, 3, 6), 2, 3, True),
            ((2, 1, 4, 4), 1, 1, True),
            ((1, 5, 2, 7), 4, 1, False),
        )
    ):
        dice = torch.Generator().manual_seed(1290 + case)
        N, C, H, W = shape
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        dy = torch.randn((N, C + layers * growth, H, W), generator=dice, dtype=torch.float64)
        what = f"DenseBlock({C}, {layers}, {growth}), x {shape}, {'train' if training else 'eval'}"
        parts, y, dx, grads, found = ran(DenseBlock, (C, layers, growth), x, dy, training, case)
        check.equal(found, layers, what=f"len(layers) of {what}")
        kinds = [part[0] for part in parts]
        order = "batch norms and convolutions in the order in which they run, "
        check.equal(kinds, ["norm", "conv"] * (2 * layers), what=order + what)
        shapes = [tuple(part[1].shape) for part in parts if part[0] == "conv"]
        wanted = []
        for layer in range(layers):
            wanted += [(4 * growth, C + layer * growth, 1, 1), (growth, 4 * growth, 3, 3)]
        check.equal(
            shapes, wanted, what=f"the convolutions' weights in the order in which they run, {what}"
        )
        z, leaves = x.clone().requires_grad_(), []
        x_leaf = z
        for layer in range(layers):
            new = z
            for part in parts[4 * layer : 4 * layer + 4]:
                if part[0] == "norm":
                    w, b = part[1].clone().requires_grad_(), part[2].clone().requires_grad_()
                    new = F.relu(
                        F.batch_norm(new, part[3].clone(), part[4].clone(), w, b, training)
                    )
                    leaves.append((w, b))
                else:
                    assert part[2] is None, f"{what}: a convolution has a bias"
                    w = part[1].clone().requires_grad_()
                    new = F.conv2d(new, w, padding=w.shape[-1] // 2)
                    leaves.append((w, None))
            z = torch.cat([z, new], dim=1)
        check.close(y, z.detach(), what=what)
        z.backward(dy)
        check.close(dx, x_leaf.grad, what=f"gradient of x, {what}")
        for pair, own in zip(leaves, grads, strict=True):
            for leaf, grad in zip(pair, own, strict=True):
                if leaf is not None:
                    assert grad is not None, f"{what}: a parameter gets no gradient"
                    check.close(grad, leaf.grad, what=f"a parameter's gradient, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="DenseBlock" part="contract" points=1
# Without a third argument the growth is 32
check.equal(
    [
        tuple(layer(torch.zeros(1, c, 2, 2)).shape)
        for layer, c in zip(DenseBlock(5, 2).layers, (5, 37), strict=True)
    ],
    [(1, 32, 2, 2)] * 2,
    what="what the two layers of DenseBlock(5, 2) make of 5 and of 37 channels",
)


### BEGIN HIDDEN TESTS
def _hidden():
    import torch

    @check.remote
    def on_meta(make, args, shape):
        import torch

        with torch.device("meta"), torch.enable_grad():
            block = make(*args)
            return tuple(block(torch.empty(shape)).shape), sum(
                p.numel() for p in block.parameters()
            )

    @check.remote
    def kinds(make, args, x):
        block = make(*args).to(x.dtype).eval()
        norms = [m for m in block.modules() if hasattr(m, "running_mean")]
        settings = sorted({(m.eps, m.momentum) for m in norms})
        y = block(x)
        return str(y.dtype), y.detach(), block.double()(x.double()).detach(), settings

    for args, shape in (
        ((64, 6), (2, 64, 9, 5)),
        ((10, 3, 4), (1, 10, 1, 3)),
        ((256, 24), (1, 256, 3, 3)),
    ):
        C, layers, k = (*args, 32)[:3]
        wanted = sum(2 * c + 4 * k * c + 8 * k + 36 * k * k for c in range(C, C + layers * k, k))
        y, found = on_meta(DenseBlock, args, shape)
        check.equal(
            y, (shape[0], C + layers * k, *shape[2:]), what=f"shape of DenseBlock{args}, x {shape}"
        )
        check.equal(found, wanted, what=f"parameters of DenseBlock{args}")
    dice = torch.Generator().manual_seed(1295)
    x = torch.randn(2, 3, 5, 4, generator=dice).transpose(2, 3)
    before = x.clone()
    kind, y, double, settings = kinds(DenseBlock, (3, 3, 2), x)
    check.equal(settings, [(1e-5, 0.1)], what="(eps, momentum) of the batch norms, DenseBlock")
    check.unchanged(before, x, what="x, DenseBlock(3, 3, 2)")
    check.equal(kind, "torch.float32", what="dtype of the result, DenseBlock of float32")
    check.close(y, double, what="DenseBlock(3, 3, 2), float32 beside float64", rtol=1e-4, atol=1e-5)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `count_connections`
#
# *10 minutes, easy. What it is for: you need not believe a formula about a network. You can ask the network.*
#
# Run a block once, and let a hook on each of its `layers` note how many channels the layer *read* and how many it *made*. A layer that reads $C$ channels (those of `x`) has one source, the block's input. Each further `growth` channels are one more. Return the sum over all layers, an int. The block is what it was before: no hooks are left, and (the trap of part 7 again) no batch norm has moved its running statistics.
#
# The tests hand in other blocks, too: any module with `layers`, for instance one in which each layer sees the block's input and only the *two* latest results. The formula is of no use there.
#
# <details><summary>Hint 1</summary>
#
# `layer.register_forward_hook(lambda module, inputs, output: ...)` calls you each time that the layer has run. `inputs` is a tuple of tensors. What it returns has a method `remove()`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Whom did you ask in `gradient_norms`, so that the model kept its statistics? Hooks on *that* one need not even be removed.
#
# </details>


# %% exercise="count_connections"
def count_connections(block, x):
    """How many earlier results the layers of block read, together, when it runs on x (N, C, H, W) -> int.

    block.layers are modules that read C channels, and as many more for each earlier layer that they see as a
    layer makes (all make equally many). Afterwards the block is what it was before: no hooks of yours, the same
    parameters, running statistics and mode.
    """
    ### BEGIN SOLUTION
    twin, sources = copy.deepcopy(block), []  # hooks and running statistics are the twin's

    def note(layer, inputs, output):
        more = inputs[0].shape[1] - x.shape[1]
        sources.append(1 + more // output.shape[1])

    for layer in twin.layers:
        layer.register_forward_hook(note)
    twin(x)
    return sum(sources)
    ### END SOLUTION


# %% tests="count_connections" points=2
# Layers that read the block's input and the latest `window` results
@check.remote
def _count(count_connections, C, layers, growth, window):
    """Three numbers: the count, the count again, hooks that were left."""
    import torch
    from torch import nn

    class Windowed(nn.Module):
        def __init__(self):
            super().__init__()
            reads = [C + growth * min(window, i) for i in range(layers)]
            self.layers = nn.ModuleList(nn.Conv2d(c, growth, 1) for c in reads)

        def forward(self, x):
            made = [x]
            for layer in self.layers:
                made.append(layer(torch.cat([x, *made[1:][-window:]], dim=1)))
            return torch.cat(made, dim=1)

    block, x = Windowed(), torch.zeros(2, C, 3, 4)
    counts = [count_connections(block, x) for _ in range(2)]
    return *counts, sum(
        len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in block.layers
    )


# Three layers: 1 + 2 + 3. And five that see the two latest: 1 + 2 + 3 + 3 + 3
check.equal(
    _count(count_connections, 4, 3, 2, 99),
    (6, 6, 0),
    what="connections of three layers, counted twice; hooks left",
)
check.equal(
    _count(count_connections, 4, 5, 3, 2),
    (12, 12, 0),
    what="connections of five layers that see the two latest",
)
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(count_connections, C, layers, growth, window):
        import torch
        from torch import nn

        class Lately(nn.Module):
            def __init__(self):
                super().__init__()
                widths = [min(window, i) * growth + C for i in range(layers)]
                normed = [nn.Sequential(nn.BatchNorm2d(c), nn.Conv2d(c, growth, 1)) for c in widths]
                self.layers = nn.ModuleList(normed)

            def forward(self, x):
                parts = [x]
                for layer in self.layers:
                    parts.append(layer(torch.cat([x, *parts[1:][-window:]], dim=1)))
                return torch.cat(parts, dim=1)

        block, x = Lately(), torch.arange(6.0 * C).reshape(1, C, 2, 3)
        for layer in block.layers[::2]:
            layer.eval()
        modes = [m.training for m in block.modules()]
        before = {k: v.clone() for k, v in block.state_dict().items()}
        twice = [count_connections(block, x) for _ in range(2)]
        left = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in block.modules()]
        same = all(bool((before[k] == v).all()) for k, v in block.state_dict().items())
        kept = modes == [m.training for m in block.modules()]
        return twice, type(twice[0]) is int, sum(left), same, kept

    for C, layers, growth, window in (
        (3, 1, 2, 99),
        (64, 6, 32, 99),
        (5, 12, 4, 99),
        (7, 9, 3, 1),
        (2, 8, 5, 3),
        (1, 4, 1, 2),
        (6, 24, 2, 99),
    ):
        wanted = sum(1 + min(window, i) for i in range(layers))
        twice, is_int, left, same, kept = count(count_connections, C, layers, growth, window)
        what = f"{layers} layers of growth {growth} that see {C} channels and the {window} latest"
        check.equal(twice, [wanted, wanted], what=f"connections, counted twice, {what}")
        assert is_int, "count_connections: an int, please"
        assert left == 0, "count_connections: hooks were left in the block"
        assert same, f"count_connections moved the block's parameters or running statistics, {what}"
        assert kept, f"count_connections changed the mode of a module of the block, {what}"


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
for L in (1, 2, 6, 12, 24):
    with torch.device("meta"):
        connections = count_connections(DenseBlock(64, L), torch.empty(1, 64, 7, 7))
    print(
        f"L = {L:>2}: {connections:>3} connections in your dense block, L(L+1)/2 = {L * (L + 1) // 2}"
    )
    assert connections == L * (L + 1) // 2

# %% [markdown]
# ### Exercise: `DenseNet`
#
# *25 minutes, medium. What it is for: one more family from one table, and the other answer to the question of part 1.*
#
# The stem is ResNet's (with $2k = 64$ channels). Then dense blocks, with **transitions** between them: BN, ReLU, a 1 x 1 convolution that *halves* the channels, a 2 x 2 average pooling with stride 2. There are four blocks and three transitions. Behind the last block: BN, ReLU, the mean over all places, a dense layer. (Huang and others 2017, table 1.)
#
# | depth | layers in the four blocks | parameters |
# |---|---|---|
# | 121 | 6, 12, 24, 16 | 7,978,856 |
# | 169 | 6, 12, 32, 32 | 14,149,480 |
# | 201 | 6, 12, 48, 32 | 20,013,928 |
#
# Why 121? $2 \cdot (6 + 12 + 24 + 16) = 116$, three transitions, the stem, the dense layer.
#
# The block's class is an argument again, called as `block(in_channels, layers, growth)`; it gives `in_channels + layers * growth` channels, and has no `expansion`. No name is promised.
#
# <details><summary>Hint 1</summary>
#
# A variable `channels` again. It grows in each block and is halved in each transition: 64, 256, 128, 512, 256, 1024, 512, 1024 for depth 121.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In front of the first block there is no transition, and behind the last one neither.
#
# </details>


# %% exercise="DenseNet"
class DenseNet(nn.Module):
    """DenseNet-BC of Huang et al. 2017, table 1: depth 121, 169, 201. x (N, in_channels, H, W) -> scores (N, num_classes).

    Stem: 7x7 with stride 2 and 2 * growth channels, BN, ReLU, 3x3 max pooling with stride 2. Between the four dense blocks:
    BN, ReLU, 1x1 to half of the channels, 2x2 average pooling. At the end BN, ReLU, mean, a dense layer.
    block: called as block(in_channels, layers, growth), giving in_channels + layers * growth channels; it has no
    `expansion`. Another depth: ValueError.
    """

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        ### BEGIN SOLUTION
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(f"depth (={depth}) must be one of {sorted(table)}")
        channels = 2 * growth
        begin = [nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)]
        begin += [nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
        self.begin = nn.Sequential(*begin)
        stages = []
        for layers in table[depth]:
            if stages:  # a transition
                stages += [nn.BatchNorm2d(channels), nn.ReLU()]
                stages += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
                channels //= 2
            stages.append(block(channels, layers, growth))
            channels += layers * growth
        self.stages = nn.Sequential(*stages)
        self.end = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.fc = nn.Linear(channels, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """x (N, in_channels, H, W), H and W at least 32 -> (N, num_classes)."""
        ### BEGIN SOLUTION
        return self.fc(self.end(self.stages(self.begin(x))))
        ### END SOLUTION


# %% tests="DenseNet" part="table" points=2
# A block that only writes down what it is asked for: (in_channels, layers, growth)
@check.remote
def _asked(DenseNet, args, named):
    """What DenseNet asks of its blocks."""
    import torch

    asked = []

    class Probe(torch.nn.Module):
        def __init__(self, in_channels, layers, growth):
            super().__init__()
            asked.append((in_channels, layers, growth))

        def forward(self, x):
            return x

    DenseNet(*args, **named, block=Probe)
    return asked


check.equal(
    _asked(DenseNet, (121,), {}),
    [(64, 6, 32), (128, 12, 32), (256, 24, 32), (512, 16, 32)],
    what="(in_channels, layers, growth) of the blocks of DenseNet(121)",
)
check.raises(ValueError, DenseNet, 50)
del _asked


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def asked(DenseNet, args, named):
        import torch

        calls = []

        class StandIn(torch.nn.Module):
            def __init__(self, in_channels, layers, growth) -> None:
                super().__init__()
                calls.append((in_channels, layers, growth))

            def forward(self, x):
                return x

        DenseNet(*args, **named, block=StandIn)
        return calls

    for depth, counts in {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}.items():
        for growth in (32, 12):
            wanted, channels = [], 2 * growth
            for layers in counts:
                wanted.append((channels, layers, growth))
                channels = (channels + layers * growth) // 2
            named = {} if growth == 32 else {"growth": growth}
            what = f"(in_channels, layers, growth) of the blocks of DenseNet({depth}) {named or ''}"
            check.equal(asked(DenseNet, (depth,), named), wanted, what=what)
    for depth in (0, 120, 264):
        check.raises(ValueError, DenseNet, depth, what=f"DenseNet({depth})")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="DenseNet" part="forward" points=2
# 64 x 96 pixels: what reaches the four blocks
@check.remote
def _sizes(DenseNet, shape):
    """The shapes that reach the blocks, and that of the scores."""
    import torch

    seen = []

    class Probe(torch.nn.Module):
        def __init__(self, in_channels, layers, growth):
            super().__init__()
            self.new = layers * growth

        def forward(self, x):
            seen.append(tuple(x.shape))
            return torch.cat([x, x[:, :1].repeat(1, self.new, 1, 1)], dim=1)

    scores = DenseNet(121, num_classes=7, growth=2, block=Probe)(torch.zeros(shape))
    return [*seen, tuple(scores.shape)]


check.equal(
    _sizes(DenseNet, (2, 3, 64, 96)),
    [(2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6), (2, 32, 2, 3), (2, 7)],
    what="shapes in front of the four blocks, and of the scores, growth 2, x (2, 3, 64, 96)",
)
del _sizes


### BEGIN HIDDEN TESTS
def _hidden():
    import torch
    import torch.nn.functional as F

    @check.remote
    def ran(DenseNet, depth, x, training, seed):
        import torch
        from torch import nn

        class StandIn(nn.Module):
            def __init__(self, in_channels, layers, growth) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(in_channels + layers * growth, 1, 1))
                self.bias = None

            def forward(self, x):
                return (
                    self.weight
                    * x.repeat(1, -(-len(self.weight) // x.shape[1]), 1, 1)[:, : len(self.weight)]
                )

        torch.manual_seed(seed)
        net = DenseNet(depth, 5, x.shape[1], growth=3, block=StandIn).to(x.dtype)
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5) if name.endswith("var") else value.normal_()
        net.train(training)
        parts = []

        def note(module, inputs):
            kind = type(module).__name__
            stats = ()
            if isinstance(module, nn.BatchNorm2d):
                stats = module.running_mean.clone(), module.running_var.clone()
            bias = None if module.bias is None else module.bias.detach()
            parts.append((kind, module.weight.detach(), bias, *stats))

        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear | StandIn):
                module.register_forward_pre_hook(note)
        before = x.clone()
        y = net(x)
        return parts, y.detach(), bool((before == x).all())

    for case, (depth, shape, training) in enumerate(
        ((121, (2, 3, 40, 65), False), (169, (3, 1, 64, 36), True), (201, (2, 2, 32, 33), False))
    ):
        dice = torch.Generator().manual_seed(1300 + case)
        x = torch.randn(shape, generator=dice, dtype=torch.float64)
        what = f"DenseNet({depth}, 5, {shape[1]}, growth=3), x {shape}, {'train' if training else 'eval'}"
        parts, y, same = ran(DenseNet, depth, x, training, case)
        assert same, f"x was changed: {what}"
        between = ["StandIn", "BatchNorm2d", "Conv2d"]
        wanted = ["Conv2d", "BatchNorm2d", *between * 3, "StandIn", "BatchNorm2d", "Linear"]
        check.equal(
            [p[0] for p in parts],
            wanted,
            what=f"what runs, in its order (StandIn: a block), {what}",
        )
        biased = [p[0] for p in parts if p[0] == "Conv2d" and p[2] is not None]
        assert not biased, f"{what}: a convolution has a bias"
        z = x
        for i, (kind, weight, bias, *stats) in enumerate(parts):
            if kind == "Conv2d":
                z = (
                    F.conv2d(z, weight, stride=2, padding=3)
                    if i == 0
                    else F.avg_pool2d(F.conv2d(z, weight), 2)
                )
            elif kind == "BatchNorm2d":
                z = F.relu(
                    F.batch_norm(z, stats[0].clone(), stats[1].clone(), weight, bias, training)
                )
                z = F.max_pool2d(z, 3, 2, 1) if i == 1 else z
            elif kind == "StandIn":
                z = weight * z.repeat(1, -(-len(weight) // z.shape[1]), 1, 1)[:, : len(weight)]
            else:
                z = z.mean(dim=(2, 3)) @ weight.T + bias
        check.close(y, z, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="DenseNet" part="contract" points=1
@check.remote
def _scores(DenseNet, args, shape):
    """The shape of the scores, on the meta device; a block that only repeats."""
    import torch

    class Probe(torch.nn.Module):
        def __init__(self, in_channels, layers, growth):
            super().__init__()
            self.conv = torch.nn.Conv2d(in_channels, in_channels + layers * growth, 1)

        def forward(self, x):
            return self.conv(x)

    with torch.device("meta"):
        return tuple(DenseNet(*args, block=Probe)(torch.empty(shape)).shape)


check.equal(
    _scores(DenseNet, (121, 10, 1), (3, 1, 40, 32)),
    (3, 10),
    what="shape of the scores, DenseNet(121, 10, 1)",
)
del _scores


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def described(DenseNet, args, named, shape):
        import torch

        class StandIn(torch.nn.Module):  # only as many parameters as a block must have channels
            def __init__(self, in_channels, layers, growth) -> None:
                super().__init__()
                self.out = torch.nn.Parameter(torch.ones(in_channels + layers * growth, 1, 1))

            def forward(self, x):
                return (
                    x.repeat(1, -(-len(self.out) // x.shape[1]), 1, 1)[:, : len(self.out)]
                    * self.out
                )

        with torch.device("meta"), torch.enable_grad():
            net = DenseNet(*args, **named, block=StandIn)
            y = net(torch.empty(shape))
        y.sum().backward()
        without = [k for k, p in net.named_parameters() if p.grad is None]
        return tuple(y.shape), sum(p.numel() for p in net.parameters()), without

    @check.remote
    def own_block(DenseNet, DenseBlock):
        import torch

        with torch.device("meta"), torch.enable_grad():
            try:
                DenseBlock(4, 1, 2)
            except Exception:
                return None  # a block that is not written yet is its own exercise's business
            return sum(type(part) is DenseBlock for part in DenseNet(121).modules())

    tables = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
    full = {121: 7_978_856, 169: 14_149_480, 201: 20_013_928}
    for args, named, shape, classes, channels in (
        ((121,), {}, (2, 3, 64, 64), 1000, 3),
        ((169,), {}, (2, 3, 32, 224), 1000, 3),
        ((201,), {}, (2, 3, 33, 40), 1000, 3),
        ((121,), {"num_classes": 2, "in_channels": 1}, (3, 1, 47, 50), 2, 1),
        ((169, 6, 5), {}, (2, 5, 36, 32), 6, 5),
    ):
        what = f"DenseNet{args} {named or ''}"
        # the blocks that are missing here, and what the probes have in their place
        blocks, c = 0, 64
        for layers in tables[args[0]]:
            blocks += sum(2 * d + 128 * d + 256 + 36 * 1024 for d in range(c, c + 32 * layers, 32))
            c += 32 * layers
            blocks -= c
            last, c = c, c // 2
        wanted = full[args[0]] - blocks + (channels - 3) * 64 * 49 + (classes - 1000) * (last + 1)
        y, found, without = described(DenseNet, args, named, shape)
        check.equal(y, (shape[0], classes), what=f"shape of the scores of {what}, x {shape}")
        check.equal(found, wanted, what=f"parameters around the blocks of {what}")
        assert not without, f"{what}: no gradient reaches {without[:3]}"
    found = own_block(DenseNet, DenseBlock)
    assert found in (None, 4), f"DenseNet(121) has {found} of your dense blocks, not 4"


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
published |= {"DenseNet-121": 7_978_856}
dense_net, dense_rows = on_meta(lambda: DenseNet(121))
check.equal(count(dense_net), published["DenseNet-121"], what="parameters of your DenseNet-121")

# %% [markdown]
# ### What concatenating costs and what it saves
#
# For the backward pass autograd has to *remember* numbers: what each convolution and each batch norm read, and more. You can ask it how many, by a hook on what it saves. On the meta device, again.
#
# **Predict.** DenseNet-121 reads ImageNet's photographs nearly as well as ResNet-50 (74.4 % against 76.1 % top-1, with torchvision's first weights). Which has fewer parameters, which needs less work, and which has to remember more? Guess a factor for each.


# %%
def remembered(net, size=224):
    """How many numbers autograd keeps for the backward pass of one picture; parameters are not counted."""
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor  # what shares its memory counts once
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(torch.empty(1, 3, size, size, device="meta"))
    for parameter in net.parameters():
        kept.pop(parameter.untyped_storage()._cdata, None)
    return sum(tensor.numel() for tensor in kept.values())


resnet50, _ = on_meta(lambda: ResNet(50))
print(f"{'':<14}{'parameters':>12}{'multiply-adds':>16}{'numbers remembered':>22}")
bills = {}
for name, net, rows in (
    ("ResNet-50", resnet50, tables[50]),
    ("DenseNet-121", dense_net, dense_rows),
):
    bills[name] = (
        count(net) / 1e6,
        sum(row.multiply_adds for row in rows) / 1e9,
        remembered(net) / 1e6,
    )
    print(f"{name:<14}{bills[name][0]:>10.2f} M{bills[name][1]:>14.2f} G{bills[name][2]:>20.1f} M")

# %% figure="channels_read"
read = {
    "ResNet-50, its 16 blocks": [
        block.conv1.in_channels for block in resnet50.modules() if isinstance(block, Bottleneck)
    ],
    "DenseNet-121, its 58 layers": [
        part.in_channels
        for block in dense_net.modules()
        if isinstance(block, DenseBlock)
        for part in block.layers.modules()
        if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)
    ],
}
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.6), layout="constrained")
for (label, channels), style, colour in zip(
    read.items(), ("s", "."), ("#b8862b", "#33206b"), strict=True
):
    way = 100 * (np.arange(len(channels)) + 0.5) / len(channels)
    axes[0].plot(way, channels, style, markersize=4, color=colour, label=label)
axes[0].axhline(32, color="#33206b", linestyle=":", label="what a dense layer makes")
axes[0].set(yscale="log", yticks=[32, 64, 256, 1024], yticklabels=[32, 64, 256, 1024])
axes[0].set(ylim=(24, 2e4), xlabel="% of the way", ylabel="channels", title="What is read")
axes[0].minorticks_off()
axes[0].legend(fontsize=7, loc="upper left")
names, factor = ["parameters", "multiply-adds", "numbers remembered"], []
for i in range(3):
    factor.append(bills["DenseNet-121"][i] / bills["ResNet-50"][i])
axes[1].barh(names, factor, color="#33206b", height=0.5)
axes[1].axvline(1, color="gray", linewidth=1)
axes[1].invert_yaxis()
axes[1].set(xlabel="DenseNet-121 / ResNet-50", title="The bill")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, on a logarithmic axis: the blocks of ResNet-50 read 64 to 2,048 channels in stairs; the layers of DenseNet-121 read a saw, which climbs within each of four dense blocks, to 1,024 at most, and each makes 32. Right, DenseNet-121 divided by ResNet-50: 0.31 for parameters, 0.69 for multiply-adds, 1.5 for the numbers remembered.](figures/channels_read.png)
#
# A third of the parameters, two thirds of the work, and *half as much again* to remember. DenseNet's layers make little, 32 channels each, since whatever was found before is still there to be read. But each layer reads everything (the saw), so its first batch norm and its concatenation hold everything once more: over a block that grows with $L^2$. (Libraries offer to throw these away and to compute them again in the backward pass.)
#
# </details>

# %%
check.close(
    np.array(factor), np.array([0.312, 0.693, 1.52]), what="DenseNet-121 / ResNet-50", rtol=0.01
)

# %% [markdown] manual="sum_or_concatenate" points=2
# **Question (2 points, 10 minutes).** (a) A 1 x 1 convolution reads a concatenation $[a, b]$ of two feature maps. Show that it is a *sum* of two 1 x 1 convolutions. (b) So a convolution behind a DenseNet's concatenation adds up, as a ResNet does. What, then, is the difference? What can DenseNet do that a ResNet cannot, and what does that cost?
#
# ### BEGIN SOLUTION
# (a) At each place the 1 x 1 convolution is a matrix $W$ of shape (out, $C_a + C_b$). Cut its columns into $W = [W_a, W_b]$. Then $W [a; b] = W_a a + W_b b$: two 1 x 1 convolutions, added. (1 point.)
#
# (b) In a ResNet everything was added *once*, with weight 1, before anybody reads it: each later layer sees the same sum $x_0 + F_0 + F_1 + \dots$ and cannot take it apart. In a DenseNet each reader has its own $W_a, W_b$: it weighs, ignores or subtracts each earlier result as it likes, and the result stays readable as it was. The cost: the channels grow linearly with depth within a block, so the 1 x 1 convolutions that read them grow, too (quadratic in $L$ over the block), and all that was concatenated has to be kept in memory; transitions have to cut it down. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 11. The thing done
#
# 44 layers, 60 steps, on digits that the networks have not seen: the plain one and the one with a plus sign. And the same body from *your* blocks: nine of yours, option B where the stage changes.


# %%
def body(block, width=8):
    """A small network for digits of nine of your blocks: three stages of three."""
    blocks, channels = [], width
    for stage in range(3):
        for i in range(3):
            blocks.append(block(channels, width * 2**stage, 2 if stage and i == 0 else 1))
            channels = width * 2**stage
    stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
    end = [nn.BatchNorm2d(4 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(stem, *blocks, *end, nn.Linear(4 * width, 10))


finals = {
    "plain, 44 layers": plain_nets[44],
    "residual, 44 layers": residual_nets[44],
    "nine of your BasicBlocks": fit(lambda: body(BasicBlock))[0],
    "nine of your PreActBlocks": fit(lambda: body(PreActBlock))[0],
}
right = {name: 100 - error(net, new_x, new_y) for name, net in finals.items()}
for name, value in right.items():
    print(f"{name:<28} {value:5.1f} % of {len(new_y)} new digits right")
assert right["residual, 44 layers"] > 65 > 40 > right["plain, 44 layers"]

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Degradation is an optimizer's problem.** Deeper plain networks are worse *on what they are trained on*. It is neither overfitting nor a lack of data, and no vanishing gradient either: with batch norm the gradients are long enough, but batches pull in unrelated directions. The good weights exist (you built them by hand), and are not found from where one starts, not in five times the time either. $x + F(x)$ makes doing nothing the easy case.
# 2. **Keep the road clean, and make it fit.** The ReLU comes after the addition, or (pre-activation) nothing does. Where shapes change, the shortcut has the stride, too.
# 3. **Adding gives an ensemble, concatenating gives a library.** A residual network survives the loss of a block; a dense block lets everybody read everything, over $L(L+1)/2$ connections, for few weights and much memory.
#
# ## What to read
#
# - K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016, [arXiv:1512.03385](https://arxiv.org/abs/1512.03385): section 1, table 1, section 4.2. One of the most readable papers of the field.
# - The same, *Identity Mappings in Deep Residual Networks*, ECCV 2016, [arXiv:1603.05027](https://arxiv.org/abs/1603.05027): section 2, figure 4.
# - S. Zagoruyko, N. Komodakis, *Wide Residual Networks*, BMVC 2016, [arXiv:1605.07146](https://arxiv.org/abs/1605.07146).
# - A. Veit, M. Wilber, S. Belongie, *Residual Networks Behave Like Ensembles of Relatively Shallow Networks*, NeurIPS 2016, [arXiv:1605.06431](https://arxiv.org/abs/1605.06431): figures 2, 3 and 5.
# - G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, *Densely Connected Convolutional Networks*, CVPR 2017, [arXiv:1608.06993](https://arxiv.org/abs/1608.06993).
# - G. Yang, J. Pennington, V. Rao, J. Sohl-Dickstein, S. Schoenholz, *A Mean Field Theory of Batch Normalization*, ICLR 2019, [arXiv:1902.08129](https://arxiv.org/abs/1902.08129): the gradients of part 7.
# - D. Balduzzi and others, *The Shattered Gradients Problem: If resnets are the answer, then what is the question?*, ICML 2017, [arXiv:1702.08591](https://arxiv.org/abs/1702.08591): part 7 (b).
# - H. Zhang, Y. Dauphin, T. Ma, *Fixup Initialization*, ICLR 2019, [arXiv:1901.09321](https://arxiv.org/abs/1901.09321): section 2, why the sizes explode.
# - P. Goyal and others, *Accurate, Large Minibatch SGD*, 2017, [arXiv:1706.02677](https://arxiv.org/abs/1706.02677): section 5.1, the $\gamma = 0$.
#
# ## The road not taken
#
# Before the plain plus there was a gate. *Highway networks* (Srivastava, Greff and Schmidhuber 2015) compute $t \cdot H(x) + (1 - t) \cdot x$ with a learned $t$, as an LSTM does, and trained 100 layers half a year earlier. He and others took the gate away and found that the open road is better. *Stochastic depth* (Huang and others 2016) deletes random blocks *during* training, which is part 9 as a regularizer. *RepVGG* (Ding and others 2021) trains with shortcuts and then folds them into plain 3 x 3 convolutions, as unit 08 folded batch norm: what is deployed is a plain network, of the kind that you deepened by hand in part 1. It exists, it is as good. It has to be *found* along another road.
