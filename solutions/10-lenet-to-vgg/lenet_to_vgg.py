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
#     minutes: 280
#     prerequisites:
#     - 09-training
#     title: From LeNet to VGG
# ---

# %% [markdown]
# # From LeNet to VGG
#
# **280 minutes. You need unit 02 (convolution, counting weights), unit 05 (groups, FLOPs), unit 07 (He initialisation, dropout), unit 08 (batch norm, LRN) and unit 09 (`train`, `evaluate`).**
#
# Four networks, sixteen years: LeNet-5 (1998), AlexNet (2012), ZFNet (2013), VGG (2014). You will build each from its paper's table, and each time ask three questions. *What did the one before fail at? What does each layer cost? What would you have needed to know to come up with it?*
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: sixteen layers that learn nothing | 10 |
# | 2 | `LeNet5`; what it was in 1998; trained, and looked into | 45 |
# | 3 | `conv_cost`; a network drawn from the network | 25 |
# | 4 | `AlexNet`, and `AlexNet2012` on its two GPUs | 60 |
# | 5 | ReLU against tanh: six times faster? | 20 |
# | 6 | `ZFNet`: what a stride of 4 does to stripes | 25 |
# | 7 | `stack_cost`, `compose_kernels`: two 3x3 for one 5x5 | 40 |
# | 8 | `VGG`: four networks, one table | 30 |
# | 9 | `grow`: how VGG got started, and the thing done | 20 |
# | 10 | sixteen years on one page | 5 |

# %% [markdown]
# ## What your modules may count on, and what they promise
#
# This holds for every network of this unit. The tests look at all of it.
#
# - **Input.** `x` is a float tensor `(N, C, H, W)`, on any device, float32 or float64 as the network's parameters are. $H$ and $W$ may differ. How small a picture may be, each docstring says.
# - **Output.** Scores (*logits*) `(N, num_classes)`, on the device and of the dtype of `x`. **No softmax at the end**: `F.cross_entropy` has it inside (unit 01). No argument is changed.
# - **What has weights** is made of `nn.Conv2d`, `nn.Linear` and `nn.BatchNorm2d`, one for each line of the table, with bias, created in `__init__` with its sizes (no lazy layers) and used once in `forward`. All else (ReLU, pooling, flattening) is free: modules or functions, `nn.Sequential` or by hand, names as you like.
# - **Two modes.** In `eval()` the answer is deterministic, and the same for an example whoever else is in the batch. In `train()` dropout is at work where the table says so, with probability 0.5, and nowhere else.
# - **Start.** What PyTorch gives a layer's weights is right; no start is asked for, and two networks do not start alike. Every parameter gets a gradient.
# - **`num_classes`, `in_channels`** may be anything from 1. `hidden` is the width of the two hidden dense layers: 4,096 in the papers, less on your laptop.
# - **Meta.** A network must be constructible and runnable under `with torch.device("meta"):`, where tensors have shapes and no numbers. That is how 138 million weights are counted for nothing. It works by itself if you use no `.item()` and no NumPy in `forward`.
# - Sizes round down, as PyTorch's do: $\lfloor (H + 2p - k)/s \rfloor + 1$. "Pool 3/2" is max pooling with window 3 and stride 2.
#
# Functions that are no networks say in their docstring what they take. Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" trains longer, repeats the measurements, and uses MNIST and CIFAR-10 where found
seed = 0
device = ""  # "cuda", "cpu"; empty: a GPU if there is one

# %% locked=true
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.patches import Patch, Polygon, Rectangle
from previously import evaluate, local_response_norm, train
from torch import nn

from data import DataError, cifar10, glyphs, measured, mnist, photograph
from grader import check

device = device or ("cuda" if torch.cuda.is_available() else "cpu")
plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update({"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9})


# %% locked=true
def halves(part, first):
    """images (N, 1, H, W), mean 0, spread 1, and labels: the first `first` for training, the rest for the test."""
    x, y = torch.from_numpy(part.images), torch.from_numpy(part.labels)
    x = (x - x.mean()) / x.std()
    return x[:first], y[:first], x[first:], y[first:]


# characters 0 ... 9, 32 x 32, from matplotlib's fonts: turned, sheared, shifted; and upright in the middle
train_x, train_y, test_x, test_y = halves(glyphs(2500, size=32, seed=seed), 2000)
easy_x, easy_y, easy_test_x, easy_test_y = halves(
    glyphs(1000, size=32, seed=seed, affine=False), 600
)


def start_normal(net, std):
    """Weights from N(0, std**2), biases 0; std is a number, or a function of fan_in -> net."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, std(fan_in) if callable(std) else std)
            nn.init.zeros_(module.bias)
    return net


# %% [markdown]
# ## 1. What could not be done until now
#
# Deeper should be better. So take a network of the last unit's kind, and make it deep: thirteen convolutions of 3x3 in five stages with a pooling after each, then three dense layers. Sixteen layers with weights. It shall read the easiest pictures there are: ten printed digits in several fonts, upright, in the middle of 32 x 32 pixels. Beside it a shallow one, with two convolutions and one dense layer.
#
# Both start as AlexNet did in 2012: weights from a normal distribution with standard deviation 0.01. Both are trained by Adam, at the same three learning rates.
#
# **Predict.** Which of the two reads digits after three epochs over 600 of them, and at which rate?


# %%
def conv_stages(convolutions, width=8):
    """Stages of 3x3 convolutions with ReLU, a 2x2 pooling after each; width doubles up to 8 times."""
    layers, channels = [], 1
    for stage, number in enumerate(convolutions):
        for _ in range(number):
            filters = width * min(2**stage, 8)
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
        layers += [nn.MaxPool2d(2)]
    return layers, channels


def shallow_network():
    layers, channels = conv_stages([1, 1])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 64, 10))


def deep_network():
    layers, channels = conv_stages([2, 2, 3, 3, 3])
    dense = [nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


rates = [0.001, 0.003, 0.01]
start = {}
for name, make in {"3 layers": shallow_network, "16 layers": deep_network}.items():
    start[name] = []
    for lr in rates:
        torch.manual_seed(seed)
        net = start_normal(make(), 0.01).to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr)
        train(net, easy_x, easy_y, optimizer, epochs=3, batch_size=20, seed=seed)
        start[name].append(100 * evaluate(net, easy_test_x, easy_test_y)[1])
    print(
        f"{name:>9}:",
        "  ".join(f"lr {lr:g}: {a:.0f} %" for lr, a in zip(rates, start[name], strict=True)),
    )

# %% figure="before"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.3), layout="constrained", width_ratios=[1.3, 1])
sheet = torch.cat([torch.cat(list(row[:, 0]), dim=1) for row in easy_x[:24].split(8)])
axes[0].imshow(sheet.clamp(0.2, 2), cmap="gray")
axes[0].set_axis_off()
axes[0].set_title("What is to be read")
for (name, values), style in zip(start.items(), ("o-", "s--"), strict=True):
    axes[1].plot(rates, values, style, label=name)
axes[1].axhline(10, color="gray", linewidth=1)
axes[1].text(rates[0], 13, "guessing", color="gray")
axes[1].set(
    xscale="log", xlabel="learning rate", ylabel="test accuracy (%)", ylim=(0, 105), xticks=rates
)
axes[1].set_xticks(rates, [f"{r:g}" for r in rates])
axes[1].minorticks_off()
axes[1].set_title("Three epochs, weights from N(0, 0.01²)")
axes[1].legend(loc="center right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, 24 printed digits. Right, test accuracy against the learning rate: the network of three layers climbs to nearly all digits, the one of sixteen layers stays on the line of guessing at each rate.](figures/before.png)
#
# Three layers learn. Sixteen guess, at every rate. It is not that they overfit: their *training* loss stays at $\ln 10$, too. This is where people stood who made LeNet deeper. Between it and a working VGG lie a dozen ideas. At the end of this lesson you train your own sixteen layers on the same digits.
#
# </details>

# %%
assert max(start["3 layers"]) > 80
assert max(start["16 layers"]) < 20
assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in deep_network()) == 16

# %% [markdown]
# ## 2. LeNet-5: the plan that all others follow
#
# **The problem.** Read the digits on cheques (LeCun, Bottou, Bengio and Haffner 1998). Before, people designed features by hand and learned a classifier on top. The idea of LeNet: learn the features as well, from pixels to answer, by gradient descent.
#
# **The plan.** Convolve, subsample, convolve, subsample, then dense layers. On the way the picture shrinks and the number of channels grows: *where* is given up for *what*. Every network of this unit follows it.
#
# As it is usually built today:
#
# | layer | size | output | parameters |
# |---|---|---|---|
# | input | | 1 x 32 x 32 | |
# | conv, activation | 6 filters 5x5 | 6 x 28 x 28 | 6 (25 + 1) = 156 |
# | max pool 2/2 | | 6 x 14 x 14 | |
# | conv, activation | 16 filters 5x5 | 16 x 10 x 10 | 16 (6 * 25 + 1) = 2,416 |
# | max pool 2/2, flatten | | 400 | |
# | dense, activation | 120 | 120 | 120 (400 + 1) = 48,120 |
# | dense, activation | 84 | 84 | 84 (120 + 1) = 10,164 |
# | dense | `num_classes` | 10 | 10 (84 + 1) = 850 |
# | **sum** | | | **61,706** |
#
# MNIST's pictures have 28 x 28 pixels. LeCun put them into the middle of 32 x 32, so that a stroke's end at the border can still be in the *centre* of a 5 x 5 window. So your network takes both: a picture of 28 x 28 gets two rows and columns of zeros on each side first.

# %% [markdown]
# ### Exercise: `LeNet5`
#
# *20 minutes, easy. What it is for: it still is the first network that you try on small pictures, and the plan of all the others.*
#
# <details><summary>Hint 1: the module's skeleton</summary>
#
# `super().__init__()` first, then the layers as attributes, then `forward`. What you hold in a plain Python list, PyTorch does not find; `nn.Sequential` and `nn.ModuleList` it does.
#
# </details>
# <details><summary>Hint 2: the activation is an argument</summary>
#
# `activation` is a function of a tensor, such as `torch.tanh`. Keep it as an attribute, and call it four times in `forward`. Not after the last layer: why would scores be cut at zero?
#
# </details>
# <details><summary>Hint 3: 28 pixels</summary>
#
# `F.pad(x, (left, right, top, bottom))`. Which picture needs it, and how do you know?
#
# </details>


# %% exercise="LeNet5"
class LeNet5(nn.Module):
    """LeNet-5 as it is built today: x (N, in_channels, 32, 32), or 28 x 28, padded by 2 first -> (N, num_classes).

    LeCun et al. 1998, with max pooling, complete connections and a dense layer at the end.
    activation: a function of a tensor, after each layer with weights but the last.
    """

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        ### BEGIN SOLUTION
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))
        ### END SOLUTION


# %% tests="LeNet5" part="table" points=1
@check.remote
def _look(make, x, *args, **kwargs):
    """Number of parameters; shapes of what Conv2d and Linear give, in the order in which they run."""
    net, shapes = make(*args, **kwargs), []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    net(x)
    return sum(p.numel() for p in net.parameters()), shapes


_count, _shapes = _look(LeNet5, torch.zeros(2, 1, 32, 32))
check.equal(_count, 61706, what="parameters of LeNet5()")
check.equal(_shapes[0], (2, 6, 28, 28), what="LeNet5, shape after the first convolution")
check.equal(_shapes[-1], (2, 10), what="LeNet5, shape of the scores")
del _look, _count, _shapes


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(make, size, N, num_classes, in_channels):
        shapes = []
        net = make(num_classes=num_classes, in_channels=in_channels)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
        y = net(torch.zeros(N, in_channels, size, size))
        return sum(p.numel() for p in net.parameters()), shapes, tuple(y.shape)

    for size, N, classes, channels in (
        (32, 3, 10, 1),
        (28, 2, 7, 3),
        (32, 1, 1, 2),
        (28, 1, 26, 1),
    ):
        what = f"LeNet5({classes}, {channels}), x {(N, channels, size, size)}"
        count, shapes, scores = look(LeNet5, size, N, classes, channels)
        expected = 6 * (25 * channels + 1) + 2416 + 48120 + 10164 + 85 * classes
        check.equal(count, expected, what=f"{what}, parameters")
        table = [(N, 6, 28, 28), (N, 16, 10, 10), (N, 120), (N, 84), (N, classes)]
        check.equal(shapes, table, what=f"{what}, shapes layer by layer")
        check.equal(scores, (N, classes), what=f"{what}, shape of the result")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="LeNet5" part="wiring" points=2
# A picture of 28 x 28 is the same picture in the middle of 32 x 32
@check.remote
def _new(make, *args, **kwargs):
    torch.manual_seed(2)
    return make(*args, **kwargs).eval()


_net = _new(LeNet5)
_x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(2))
check.close(
    _net(_x).detach(),
    _net(F.pad(_x, (2, 2, 2, 2))).detach(),
    what="LeNet5 of a 28 x 28 picture, against the same in 32 x 32",
)
# All weights 0 and all biases -1: the scores are biases of the last layer, and nothing is done to them
with torch.no_grad():
    for _p in _net.parameters():
        _p.fill_(-float(_p.dim() == 1))
check.close(_net(_x).detach(), -torch.ones(2, 10), what="LeNet5, all weights 0, all biases -1")
del _new, _net, _x, _p


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, activation, kwargs):
        """Every parameter is filled by one rule, whatever its name."""
        torch.manual_seed(6)
        chosen = {} if activation is None else {"activation": getattr(torch, activation)}
        net = make(**kwargs, **chosen).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 10
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
            return net(x)

    dice = torch.Generator().manual_seed(1001)
    for N, channels, size, classes, activation in (
        (2, 1, 32, 10, None),
        (3, 2, 28, 5, None),
        (2, 1, 28, 10, "tanh"),
        (1, 3, 32, 4, "sigmoid"),
        (2, 1, 32, 3, "sin"),
    ):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = torch.randn(N, channels, size, size, generator=dice, dtype=torch.float64)

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        f = getattr(torch, activation or "relu")
        h = F.pad(x, (2, 2, 2, 2)) if size == 28 else x
        h = F.max_pool2d(f(F.conv2d(h, w(6, channels, 5, 5), w(6))), 2)
        h = F.max_pool2d(f(F.conv2d(h, w(16, 6, 5, 5), w(16))), 2)
        h = f(F.linear(h.flatten(1), w(120, 400), w(120)))
        expected = F.linear(f(F.linear(h, w(84, 120), w(84))), w(classes, 84), w(classes))
        before = x.clone()
        got = run(LeNet5, values, x, activation, {"num_classes": classes, "in_channels": channels})
        what = f"LeNet5, x {tuple(x.shape)}, activation={activation or 'left out'}"
        check.close(got, expected, what=what, rtol=1e-8)
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="LeNet5" part="learns" points=1
# Every parameter gets a gradient; nothing depends on the mode
@check.remote
def _without_gradient(make):
    torch.manual_seed(2)
    net = make()
    F.cross_entropy(net(torch.rand(4, 1, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    return [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


check.equal(_without_gradient(LeNet5), [], what="LeNet5, parameters without gradient")
del _without_gradient


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def learn(make, x, y, dtype):
        torch.manual_seed(5)
        net = make(in_channels=x.shape[1]).to(dtype)
        two = make(in_channels=x.shape[1])
        same = all(
            torch.equal(p, q) for p, q in zip(net.parameters(), two.parameters(), strict=True)
        )
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        none = sum(p.grad is None or not p.grad.any() for p in net.parameters())
        net.train()
        loud = net(x).detach()
        net.eval()
        quiet, alone = net(x).detach(), net(x[:1]).detach()
        with torch.device(type="meta"):
            there = make()(torch.zeros(1, 1, 32, 32)).shape
        return none, same, loud, quiet, alone, len(list(net.parameters())), tuple(there)

    dice = torch.Generator().manual_seed(1002)
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(5, 2, 28, 28, generator=dice, dtype=dtype)
        y = torch.tensor([0, 3, 9, 3, 1])
        none, same, loud, quiet, alone, tensors, there = learn(LeNet5, x, y, dtype)
        check.equal(none, 0, what="LeNet5, parameters without gradient")
        check.equal(tensors, 10, what="LeNet5, number of parameter tensors")
        check.equal(same, False, what="two networks start with the same weights")
        check.close(loud, quiet, what="LeNet5 in train() against eval()", rtol=1e-4)
        check.close(
            alone, quiet[:1], what="LeNet5, an example alone or in a batch", rtol=1e-4, atol=1e-5
        )
        check.equal(str(quiet.dtype), str(dtype), what="dtype of the scores")
        check.equal(there, (1, 10), what="LeNet5 on the meta device")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **What the original had.** The paper's LeNet-5 differs from what goes by its name today, in four places:
#
# - **C3 was not complete.** Each of the 16 maps of the second convolution saw only some of the 6 maps before it (table I of the paper). The authors give two reasons: fewer connections, and, as different maps get different inputs, the symmetry is broken: they are forced to extract different features.
# - **Subsampling was trainable.** It added the four pixels, multiplied the sum by one coefficient per map, added one bias, and sent it through the squashing function.
# - **The activation** was $1.7159 \tanh(\frac23 a)$.
# - **The output** was no dense layer. Each class had a fixed target of 84 values, $+1$ or $-1$, a small picture of the character, 7 x 12. The score was the squared distance from F6 to it (a radial basis function, RBF). It had nothing to learn.
#
# Count it, from the table.

# %%
C3_TABLE = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""
connected = torch.tensor([[mark == "X" for mark in row] for row in C3_TABLE.split()])  # (6, 16)
original = {
    "C1": 6 * (25 + 1),
    "S2": 6 * 2,  # one coefficient and one bias a map
    "C3": 25 * int(connected.sum()) + 16,
    "S4": 16 * 2,
    "C5": 120 * (16 * 25 + 1),
    "F6": 84 * (120 + 1),
}
print(original, "sum:", sum(original.values()))
assert connected.sum() == 60
assert original["C3"] == 1516
assert sum(original.values()) == 60_000

# %% [markdown]
# 60,000 on the dot: the paper's number ("only 60,000 trainable free parameters because of the weight sharing", section II.B). In PyTorch a sparse table is a mask: multiply the `(16, 6, 5, 5)` weight by `connected.T[:, :, None, None]`, and the gradient of what is masked is zero, too. Fourteen years later AlexNet cut connections again, for another reason. You will see which.
#
# **Train it.** 2,000 drawn digits, now turned, sheared and shifted. A few seconds.
#
# **Predict.** 61,706 parameters, 2,000 examples. How many of 500 other digits does it read: half, 90 %, more?

# %%
torch.manual_seed(seed)
lenet = LeNet5().to(device)
optimizer = torch.optim.Adam(lenet.parameters(), 0.002)
lenet_losses = train(lenet, train_x, train_y, optimizer, epochs=6, batch_size=50, seed=seed)
lenet_accuracy = 100 * evaluate(lenet, test_x, test_y)[1]
print(
    f"LeNet-5: {lenet_accuracy:.1f} % of {len(test_x)} digits, after 6 epochs over {len(train_x)}"
)
assert lenet_accuracy > 95


# %%
def lenet_on_mnist(seed):
    """Test accuracy (%) of LeNet5 after one epoch over MNIST's 60,000 pictures, 28 x 28."""
    torch.manual_seed(seed)
    part, rest = mnist("train"), mnist("test")
    net = LeNet5().to(device)
    x, y = torch.from_numpy(part.images), torch.from_numpy(part.labels)
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    train(net, x, y, optimizer, epochs=1, batch_size=100, scheduler=falling, seed=seed)
    found = 100 * evaluate(net, torch.from_numpy(rest.images), torch.from_numpy(rest.labels))[1]
    return {"accuracy": found}


if profile == "full":
    try:
        print(f"MNIST, test accuracy after one epoch: {lenet_on_mnist(seed)['accuracy']:.2f} %")
    except DataError as error:
        print("no MNIST here:", error)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# More than 95 % of the 500 drawn digits, in a few seconds. 61,706 parameters for 2,000 examples do not hurt: a convolution's weights are used at every place, so each picture gives hundreds of examples of what a filter should do.
#
# In the full profile, and where MNIST is found, the cell above trains on its 60,000 digits, too. LeNet-5 of 1998 had 0.95 % errors on them, after 20 epochs, and 0.8 % with distorted copies of the digits (section III.B).
#
# </details>

# %% [markdown]
# **Look inside.** The six filters of the first layer, and what they make of one digit. Then the sixteen maps behind the second.


# %%
def maps_of(net, x, kinds=(nn.Conv2d,)):
    """What each module of these kinds gives for x, in the order in which they run, after a ReLU."""
    found = []
    hooks = [
        module.register_forward_hook(lambda m, i, o: found.append(torch.relu(o.detach()).cpu()))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        net(x.to(next(net.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found


def first_filters(net):
    """Weights of the first convolution, (C_out, C_in, kH, kW)."""
    return next(m for m in net.modules() if isinstance(m, nn.Conv2d)).weight.detach().cpu()


# %% figure="lenet_inside"
shown = test_x[int((test_y == 4).nonzero()[0])][None]
first, second = maps_of(lenet, shown)
filters = first_filters(lenet)[:, 0]
fig = plt.figure(figsize=(7.2, 2.2), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[2.3, 1])
axes = left.subplots(2, 7)
limit = float(filters.abs().max())
axes[0, 0].set_axis_off()
axes[1, 0].imshow(shown[0, 0], cmap="gray")
for i in range(6):
    axes[0, i + 1].imshow(filters[i], cmap="PuOr", vmin=-limit, vmax=limit)
    axes[1, i + 1].imshow(first[0, i], cmap="gray")
left.suptitle("A digit; six filters (purple +), six maps of 28 x 28", fontsize=9)
more = right.subplots(4, 4)
for ax, one in zip(more.flat, second[0], strict=True):
    ax.imshow(one, cmap="gray")
right.suptitle("Sixteen maps of 10 x 10", fontsize=9)
for ax in [*axes.flat, *more.flat]:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![A digit 4; above, six learned 5 by 5 filters, some with one half positive and the other negative; below, what each filter makes of the digit: strokes of one direction or one side light up. Right, sixteen coarse maps in which a few spots remain.](figures/lenet_inside.png)
#
# Nobody told it to look for edges. Some filters have one side positive and the other negative: edges of a direction. Some are blobs, and pass the stroke on. In the second layer a map is a few spots: *here* is an end, *there* a crossing. Where exactly, matters less and less.
#
# </details>

# %% [markdown]
# ## 3. What a layer costs
#
# Two prices, and they are not the same. **Parameters** are stored, sent and regularised. **Multiply-adds** (one multiplication and one addition: two FLOPs) are what you wait for. (A third, for training, is **memory**: each layer's output is kept until its gradient comes back. Part 8 counts it.)
#
# A convolution from $C_{in}$ to $C_{out}$ channels with a $k_H \times k_W$ kernel, whose output has $H \times W$ places: one output number is a sum over $C_{in} k_H k_W$ products. There are $C_{out} H W$ output numbers. So
#
# $$\text{parameters} = C_{out}\,(C_{in} k_H k_W + 1), \qquad \text{multiply-adds} = C_{out}\, H W \cdot C_{in} k_H k_W .$$
#
# The weights are used $H W$ times each. In a dense layer each weight is used *once* for an example. Keep this in mind: it decides where a network's weights are, and where its time goes.
#
# **Groups** (unit 05): with `groups=g` the channels are cut into $g$ columns, and each output channel sees only the $C_{in}/g$ inputs of its own column. Replace $C_{in}$ by $C_{in}/g$ in both formulas.
#
# By hand, LeNet's second convolution: $16\,(6 \cdot 25 + 1) = 2{,}416$ parameters and $16 \cdot 100 \cdot 150 = 240{,}000$ multiply-adds. Its first dense layer: 48,120 parameters and 48,000 multiply-adds. Twenty times the weights, a fifth of the work.

# %% [markdown]
# ### Exercise: `conv_cost`
#
# *8 minutes, easy. What it is for: reading a paper's table and knowing what it costs, before you wait for it.*
#
# <details><summary>Hint 1</summary>
#
# What is the shape of the weight? What is the shape of the output? The multiply-adds are (numbers in the output) times (numbers in one filter).
#
# </details>
# <details><summary>Hint 2</summary>
#
# `kernel_size` may be a number or a pair. Which values does the bias change: both, or one?
#
# </details>


# %% exercise="conv_cost"
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Parameters and multiply-adds (for one example) of a convolution -> two ints.

    kernel_size: an int or a pair; output_size: (H, W) of its output. Adding the bias counts as no multiply-add.
    """
    ### BEGIN SOLUTION
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = out_channels * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels * bias, weights * H * W
    ### END SOLUTION


# %% tests="conv_cost" part="plain" points=1
# LeNet's two convolutions
check.equal(conv_cost(1, 6, 5, (28, 28)), (156, 117600), what="conv_cost(1, 6, 5, (28, 28))")
check.equal(conv_cost(6, 16, 5, (10, 10)), (2416, 240000), what="conv_cost(6, 16, 5, (10, 10))")
# A kernel of 2 x 3, 5 x 7 places, no bias: 4 * 3 * 6 = 72 weights, each used 35 times
check.equal(
    conv_cost(3, 4, (2, 3), (5, 7), bias=False),
    (72, 2520),
    what="conv_cost(3, 4, (2, 3), (5, 7), bias=False)",
)


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(1003)
    for kernel in (1, 3, (1, 7), (5, 2), (4, 1)):
        for bias in (True, False):
            C, K, H, W = (int(n) for n in rng.integers(2, 20, 4))
            with torch.device(type="meta"):
                conv = nn.Conv2d(C, K, kernel, bias=bias)
            parameters = sum(p.numel() for p in conv.parameters())
            work = K * H * W * conv.weight[0].numel()
            what = f"conv_cost({C}, {K}, {kernel}, {(H, W)}, bias={bias})"
            check.equal(conv_cost(C, K, kernel, (H, W), bias=bias), (parameters, work), what=what)
    check.equal(
        conv_cost(3, 5, 3, (4, 6)), (140, 3240), what="conv_cost(3, 5, 3, (4, 6)), bias left out"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="conv_cost" part="groups" points=1
# Two columns: each of the 4 filters sees 3 of the 6 channels, 4 * 3 * 9 = 108 weights
check.equal(
    conv_cost(6, 4, 3, (5, 5), groups=2), (112, 2700), what="conv_cost(6, 4, 3, (5, 5), groups=2)"
)


### BEGIN HIDDEN TESTS
def _hidden():
    for C, K, kernel, size, groups in (
        (12, 8, 3, (7, 5), 4),
        (6, 12, (3, 1), (4, 9), 3),
        (10, 10, 5, (6, 6), 10),
        (4, 20, 1, (3, 8), 2),
        (96, 256, 5, (27, 27), 2),
    ):
        for bias in (True, False):
            with torch.device(type="meta"):
                conv = nn.Conv2d(C, K, kernel, groups=groups, bias=bias)
            parameters = sum(p.numel() for p in conv.parameters())
            work = K * size[0] * size[1] * conv.weight[0].numel()
            what = f"conv_cost({C}, {K}, {kernel}, {size}, groups={groups}, bias={bias})"
            check.equal(conv_cost(C, K, kernel, size, groups, bias), (parameters, work), what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Let the network count itself.** A table in a notebook can lie about the code below it. So do not write a table: *run* the network once, and have each layer tell what it did. PyTorch calls a **forward hook** after each `forward` of a module: `hook(module, inputs, output)`. `layer_table` hangs one on every leaf of the module tree (and on what holds parameters itself), runs the network once, and takes the hooks off again.
#
# Read it: you will use it in every unit from here on. Run it on the `meta` device, and a network of 138 million weights costs no memory and no time: there a tensor has a shape, and nothing in it.


# %% given=true
class Stage:
    """One module of a network as it ran once: see layer_table.

    name            in the network, "features.0"
    kind            its class, "Conv2d"
    shape           of its output, (N, C, H, W); of the first tensor where it gives several; () if there is none
    parameters      its own, without its children's; 0 where they were counted in an earlier row
    multiply_adds   of convolutions and dense layers, for the whole batch; 0 for all others
    """

    def __init__(self, name, kind, shape, parameters, multiply_adds):
        self.name, self.kind, self.shape = name, kind, shape
        self.parameters, self.multiply_adds = parameters, multiply_adds

    def __repr__(self):
        size = " x ".join(str(n) for n in self.shape[1:])
        return f"{self.name:<16} {self.kind:<18} {size:>16} {self.parameters:>12,} {self.multiply_adds:>15,}"


def layer_table(model, x):
    """Run model on x once, with a hook on each leaf of its tree of modules -> a Stage for each, in the order in which they ran.

    A module that runs twice has two rows. Parameters count once, in the row that ran first, also those that two
    modules share. A module that holds parameters of its own beside its children has a row, too, after theirs.
    What is called as a function (F.relu), and a module that does not run, has no row. Works on the "meta" device.
    The model runs in the mode it is in (in training, auxiliary heads run as well), without gradients; its buffers,
    such as running statistics, are left as they were, and the hooks are taken off, also if it fails.
    """
    forward_convs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    transposed_convs = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    rows, hooks, counted = [], [], set()

    def first_tensor(value):
        """The first tensor in nested tuples, lists and dicts; None if there is none."""
        if isinstance(value, torch.Tensor):
            return value
        if isinstance(value, dict):
            value = list(value.values())
        inside = value if isinstance(value, tuple | list) else ()
        return next((t for t in map(first_tensor, inside) if t is not None), None)

    def record(name, module, arguments, output):
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in own)
        output = first_tensor(output)
        work = 0  # products: weights of one filter, for each number of the output
        if isinstance(module, (*forward_convs, nn.Linear)):
            work = output.numel() * module.weight[0].numel()
        elif isinstance(module, transposed_convs):  # here each number of the *input* meets a filter
            work = first_tensor(arguments).numel() * module.weight[0].numel()
        shape = () if output is None else tuple(output.shape)
        rows.append(Stage(name, type(module).__name__, shape, sum(p.numel() for p in own), work))

    for name, module in model.named_modules():
        if not list(module.children()) or list(module.parameters(recurse=False)):
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, kwargs, o, name=name: record(name, m, (args, kwargs), o),
                    with_kwargs=True,
                )
            )
    before = [(b, b.clone()) for b in model.buffers()]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
    return rows


# %% given=true
def draw_stages(rows, ax=None):
    """Draw a network from layer_table's rows: a block for each layer that has weights or changes the maps' shape.

    Above the line: height of a block = height of the map, width = its channels (logarithmic); a thin bar is a dense
    layer. Below the line, under each block: its share of all parameters (light) and of all multiply-adds (dark).
    """
    ax = ax or plt.gca()
    colors = {"conv": "#5a8fc3", "pool": "#d9d9d9", "dense": "#e0a94a", "other": "#ffffff"}

    def group(row):
        if row.kind.startswith(("Conv", "LazyConv")):
            return "conv"
        if row.kind == "Linear":
            return "dense"
        return "pool" if "Pool" in row.kind else "other"

    blocks, costs = [], []  # what is drawn; its costs, with those of the rows that are not
    for row in rows:
        weighty = group(row) in ("conv", "dense")
        picture = len(row.shape) == 4
        changed = picture and (not blocks or row.shape[1:] != blocks[-1].shape[1:])
        if weighty or changed:
            blocks.append(row)
            costs.append([row.parameters, row.multiply_adds])
        elif blocks:
            costs[-1][0] += row.parameters
            costs[-1][1] += row.multiply_adds
    if not blocks:
        return ax
    highest = max([row.shape[2] for row in blocks if len(row.shape) == 4], default=1)
    lefts, widths, left, told = [], [], 0.0, None
    crowded = len(blocks) > 16
    for row in blocks:
        if len(row.shape) == 4:
            height, width = row.shape[2] / highest, 0.12 * np.log2(row.shape[1] + 1)
        else:
            height, width = 0.045 * np.log2(row.shape[-1] + 1), 0.16
        depth = 0.22 * height if len(row.shape) == 4 else 0.04
        color = colors[group(row)]
        side = dict(closed=True, edgecolor="black", linewidth=0.5, facecolor=color)
        front = [(left, 0), (left + width, 0), (left + width, height), (left, height)]
        top = [
            (left, height),
            (left + depth, height + depth),
            (left + width + depth, height + depth),
            front[2],
        ]
        right = [front[1], front[2], top[2], (left + width + depth, depth)]
        for corners, light in ((right, 0.75), (top, 0.9), (front, 1.0)):
            shade = tuple(light * c for c in plt.matplotlib.colors.to_rgb(color))
            ax.add_patch(Polygon(corners, **{**side, "facecolor": shade}))
        size = "x".join(str(n) for n in row.shape[2:4]) if len(row.shape) == 4 else ""
        if len(set(row.shape[2:4])) == 1:
            size = str(row.shape[2])
        middle = left + width / 2
        if size and (size != told or not crowded):
            ax.text(
                middle + depth / 2,
                height + depth + 0.02,
                size,
                ha="center",
                va="bottom",
                fontsize=6.5,
            )
        if not crowded or group(row) == "dense" or size != told:
            small = 5.5 if row.shape[1] > 999 else 6.5
            ax.text(middle, -0.03, str(row.shape[1]), ha="center", va="top", fontsize=small)
        told = size
        lefts.append(left)
        widths.append(width)
        left += width + 0.55 * depth + (0.42 if group(row) == "dense" else 0.1 if crowded else 0.2)
    zero = -0.22
    totals = np.maximum(np.sum(costs, axis=0), 1)
    shares = np.array(costs) / totals
    scale = 0.75 / shares.max() if shares.max() > 0 else 0
    for which, color in ((0, "#c8c8c8"), (1, "#303030")):
        for x, width, share in zip(lefts, widths, shares[:, which], strict=True):
            half = max(width, 0.16) / 2
            ax.add_patch(
                Rectangle(
                    (x + which * half, zero),
                    half,
                    -scale * share,
                    facecolor=color,
                    edgecolor="black",
                    linewidth=0.3,
                )
            )
            if share > 0.045:
                ax.text(
                    x + (which + 0.5) * half,
                    zero - scale * share - 0.02,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="top",
                    fontsize=6,
                )
    ax.plot([-0.1, left], [zero, zero], color="black", linewidth=0.6)
    names = {"conv": "convolution", "pool": "pooling", "dense": "dense"}
    kinds = [kind for kind in names if any(group(row) == kind for row in blocks)]
    handles = [
        Patch(facecolor=colors[kind], edgecolor="black", label=names[kind]) for kind in kinds
    ]
    handles += [
        Patch(facecolor="#c8c8c8", edgecolor="black", label=f"% of {_short(totals[0])} parameters"),
        Patch(facecolor="#303030", label=f"% of {_short(totals[1])} multiply-adds"),
    ]
    ax.legend(handles=handles, fontsize=6.5, loc="upper right", frameon=False)
    ax.set(xlim=(-0.15, left + 0.1), ylim=(zero - 0.9, 1.35))
    ax.set_axis_off()
    return ax


def _short(number):
    """61706 -> '62 k', 61100840 -> '61.1 M'."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


# %% [markdown]
# **Predict.** Where are LeNet's 61,706 parameters: in the convolutions, or in the dense layers? And where is its work?

# %%
rows = layer_table(LeNet5().to(device), torch.zeros(1, 1, 32, 32, device=device))
for row in rows:
    print(row)


def shares(rows):
    """Percent of the parameters that dense layers hold, percent of the multiply-adds that convolutions do."""
    weights, work = sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows)
    dense = sum(r.parameters for r in rows if r.kind == "Linear")
    conv = sum(r.multiply_adds for r in rows if r.kind == "Conv2d")
    return 100 * dense / weights, 100 * conv / work


lenet_shares = shares(rows)
print(
    "dense layers hold {:.0f} % of the parameters, convolutions do {:.0f} % of the work".format(
        *lenet_shares
    )
)

# %% figure="lenet_stages"
fig, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
draw_stages(rows, ax)
ax.set_title("LeNet-5, from its own run")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![LeNet-5 as blocks that become lower and wider: 28, 10, then three thin bars of 120, 84 and 10. Below, under each block, light bars for parameters: 78 percent under the first dense layer; dark bars for multiply-adds: most under the second convolution.](figures/lenet_stages.png)
#
# The dense layers hold 96 % of the parameters. The convolutions do 86 % of the work. A dense weight is used once, a convolution's $H \cdot W$ times. Your formula and the hooks agree:
#
# </details>

# %%
check.equal(
    conv_cost(6, 16, 5, (10, 10)),
    (rows[1].parameters, rows[1].multiply_adds),
    what="conv_cost and layer_table",
)
assert sum(row.parameters for row in rows) == 61706
assert round(lenet_shares[0]) == 96
assert round(lenet_shares[1]) == 86

# %% [markdown]
# (The table has no rows for ReLU and pooling if you wrote them as functions: a hook sees modules only. Parameters and multiply-adds of Part II's networks all sit in modules.)
#
# **Does it keep its word?** Later units stand on `layer_table`, so try what networks of theirs will do: a convolution that runs *twice*, two dense layers that *share* a weight, a module with a *tuple* as its output and with a parameter of its own beside its children, a layer that *never runs*, a network that *fails* half way.
#
# **Predict** the rows. How many has `Odd`, and in which one is `gain` counted?


# %%
class Odd(nn.Module):
    """x (N, 4, H, W) -> (maps, {"scores": ...})."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.two.weight = self.one.weight
        self.never = nn.Linear(7, 7)

    def forward(self, x):
        x = self.norm(self.conv(self.gain * F.relu(self.conv(x))))
        return self.up(input=x), {"scores": self.two(self.one(x))}


def plain(rows):
    return [(r.name, r.kind, r.shape, r.parameters, r.multiply_adds) for r in rows]


odd = Odd().to(device)
expected = [  # name, kind, shape, parameters, multiply-adds
    ("conv", "Conv2d", (2, 4, 5, 6), 4 * (2 * 9 + 1), 2 * 4 * 30 * 18),
    ("conv", "Conv2d", (2, 4, 5, 6), 0, 2 * 4 * 30 * 18),
    ("norm", "BatchNorm2d", (2, 4, 5, 6), 8, 0),
    ("up", "ConvTranspose2d", (2, 2, 10, 12), 4 * 2 * 4 + 2, 2 * 4 * 30 * 8),
    ("one", "Linear", (2, 4, 5, 6), 42, 2 * 4 * 30 * 6),
    ("two", "Linear", (2, 4, 5, 6), 0, 2 * 4 * 30 * 6),
    ("", "Odd", (2, 2, 10, 12), 4, 0),  # the tuple's first tensor
]
for row in layer_table(odd, torch.rand(2, 4, 5, 6, device=device)):
    print(row)
assert plain(layer_table(odd, torch.rand(2, 4, 5, 6, device=device))) == expected
with torch.device("meta"):
    assert plain(layer_table(Odd(), torch.zeros(2, 4, 5, 6))) == expected
try:
    layer_table(odd, torch.rand(2, 4, 5, 7, device=device))  # the dense layer takes 6 columns
except RuntimeError as error:
    print("fails, as it must:", str(error).split("\n")[0])
assert odd.norm.num_batches_tracked == 0
assert not odd.norm.running_mean.any()
assert not any(m._forward_hooks for m in odd.modules())

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Seven rows. `conv` has two, and its 76 parameters count in the first. `two` has none of its own left: it shares the weight of `one`. `gain` belongs to the network itself, whose row comes last, as its `forward` ends last; its name is empty, as nothing holds it. `never` is not there: 56 parameters are made and stored, and nothing runs through them. So *the sum over the rows is what the network used*, which is less than `sum(p.numel() for p in net.parameters())` where something lies idle. The batch norm ran in training mode three times, once in the run that failed, and its running statistics know nothing of it.
#
# </details>

# %% [markdown]
# ## 4. AlexNet: the same plan, a thousand times larger
#
# **The problem.** ImageNet: 1.2 million photographs, 1,000 classes, as large as you like. LeNet's plan was known for fourteen years. What was missing to make it work at that size? Krizhevsky, Sutskever and Hinton (2012) list their answers (sections 3 to 5; the first four in the order of importance):
#
# | what | why | where in this course |
# |---|---|---|
# | ReLU in place of tanh | does not saturate, so it learns in fewer steps | part 5, measured |
# | two GPUs | 3 GB each: the network did not fit into one | below, `groups=2` |
# | local response normalization | top-1 and top-5 errors fell by 1.4 and 1.2 points | unit 08; VGG could not confirm it |
# | overlapping pooling, 3/2 in place of 2/2 | by 0.4 and 0.3 points | unit 03 |
# | crops and mirror images | else "substantial overfitting" | unit 07, and below |
# | colour shifts along principal axes | top-1 by more than 1 point | |
# | dropout 0.5 | doubles the number of steps that are needed, stops overfitting | unit 07 |
# | weights from N(0, 0.01²), biases partly 1 | the ReLUs start in their positive half | parts 1 and 9 |
#
# Overlapping pooling means that the window (3) is larger than the stride (2), so that neighbouring windows share a row.
#
# Two networks go by the name. You build both.
#
# - **AlexNet, one column** (Krizhevsky 2014, "one weird trick"; what torchvision calls AlexNet). 61,100,840 parameters. No LRN.
# - **AlexNet 2012**, as in the paper: wider, cut into two columns, with LRN. 60,965,224 parameters.

# %% [markdown]
# The one-column table, for a picture of 224 x 224:
#
# | layer | size | output |
# |---|---|---|
# | conv, ReLU | 64 filters 11x11, stride 4, padding 2 | 64 x 55 x 55 |
# | pool 3/2 | | 64 x 27 x 27 |
# | conv, ReLU | 192 filters 5x5, padding 2 | 192 x 27 x 27 |
# | pool 3/2 | | 192 x 13 x 13 |
# | conv, ReLU | 384 filters 3x3, padding 1 | 384 x 13 x 13 |
# | conv, ReLU | 256 filters 3x3, padding 1 | 256 x 13 x 13 |
# | conv, ReLU | 256 filters 3x3, padding 1 | 256 x 13 x 13 |
# | pool 3/2 | | 256 x 6 x 6 |
# | adaptive average pooling to 6 x 6, flatten | (does nothing at 224) | 9,216 |
# | dropout, dense, ReLU | 4,096 | 4,096 |
# | dropout, dense, ReLU | 4,096 | 4,096 |
# | dense | `num_classes` | 1,000 |
#
# The adaptive pooling is torchvision's. It lets the network take pictures of any size from 63 x 63 on.

# %% [markdown]
# ### Exercise: `AlexNet`
#
# *20 minutes, medium. What it is for: the network that started it, still used where a perceptual distance is wanted (LPIPS), and the baseline of a thousand papers.*
#
# <details><summary>Hint 1: the count is off by</summary>
#
# 61,100,840 minus yours is 0 for a right network. Is it off by a few thousand? A bias, or a kernel size of a small layer. By millions? The first dense layer: 256 * 6 * 6 inputs.
#
# </details>
# <details><summary>Hint 2: dropout on which side?</summary>
#
# The table says *dropout, dense*: what is dropped is the dense layer's input. It is at work twice, and never on the input of the last layer.
#
# </details>
# <details><summary>Hint 3: dropout as a function</summary>
#
# `F.dropout(x, 0.5)` has `training=True` by default, also in `eval()`. `nn.Dropout` knows the network's mode.
#
# </details>


# %% exercise="AlexNet"
class AlexNet(nn.Module):
    """AlexNet in one column: x (N, in_channels, H, W), H and W at least 63 -> (N, num_classes).

    Krizhevsky 2014 (arXiv:1404.5997), as torchvision has it. hidden: width of the two hidden dense layers.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        ### BEGIN SOLUTION
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.classifier(self.features(x).flatten(1))
        ### END SOLUTION


# %% tests="AlexNet" part="table" points=1
@check.remote
def _look(make, x, *args, **kwargs):
    """Number of parameters; shapes of what Conv2d and Linear give, on the meta device."""
    shapes = []
    with torch.device("meta"):
        net = make(*args, **kwargs)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    net(torch.zeros(x, device="meta"))
    return sum(p.numel() for p in net.parameters()), shapes


_count, _shapes = _look(AlexNet, (2, 3, 224, 224))
check.equal(_shapes[0], (2, 64, 55, 55), what="AlexNet, shape after the first convolution")
check.equal(len(_shapes), 8, what="AlexNet, number of convolutions and dense layers")
check.equal(_shapes[4], (2, 256, 13, 13), what="AlexNet, shape after the fifth convolution")
check.equal(_count, 61100840, what="parameters of AlexNet()")
del _look, _count, _shapes


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(make, x, num_classes, in_channels, hidden):
        shapes = []
        with torch.device(type="meta"):
            net = make(num_classes=num_classes, in_channels=in_channels, hidden=hidden)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
        y = net(torch.zeros(x, device="meta"))
        return sum(p.numel() for p in net.parameters()), shapes, tuple(y.shape)

    for N, H, W, classes, channels, hidden in (
        (1, 224, 224, 1000, 3, 4096),
        (2, 227, 227, 10, 1, 512),
        (1, 63, 95, 7, 4, 100),
        (3, 192, 301, 21, 3, 64),
    ):
        what = f"AlexNet({classes}, {channels}, hidden={hidden}), x {(N, channels, H, W)}"
        count, shapes, scores = look(AlexNet, (N, channels, H, W), classes, channels, hidden)
        size, table = [(H - 7) // 4 + 1, (W - 7) // 4 + 1], []
        for filters, pool in ((64, False), (192, True), (384, True), (256, False), (256, False)):
            size = [(n - 3) // 2 + 1 for n in size] if pool else size
            table.append((N, filters, *size))
        table += [(N, hidden), (N, hidden), (N, classes)]
        check.equal(shapes, table, what=f"{what}, shapes layer by layer")
        expected = 64 * (121 * channels + 1) + 192 * 1601 + 384 * 1729 + 256 * 3457 + 256 * 2305
        expected += hidden * 9217 + hidden * (hidden + 1) + classes * (hidden + 1)
        check.equal(count, expected, what=f"{what}, parameters")
        check.equal(scores, (N, classes), what=f"{what}, shape of the result")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="AlexNet" part="wiring" points=2
# All weights 0 and all biases -1: the scores are the last layer's biases, and nothing is done to them
_net = AlexNet(4, 1, hidden=8).eval()
with torch.no_grad():
    for _p in _net.parameters():
        _p.fill_(-float(_p.dim() == 1))
check.close(
    _net(torch.ones(2, 1, 64, 64)).detach(),
    -torch.ones(2, 4),
    what="AlexNet, all weights 0, all biases -1",
)
del _net, _p


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, kwargs):
        """Every parameter is filled by one rule, whatever its name."""
        torch.manual_seed(6)
        net = make(**kwargs).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 10
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
            return net(x)

    dice = torch.Generator().manual_seed(1004)
    for N, channels, H, W, classes, hidden in ((2, 3, 66, 131, 5, 12), (1, 1, 224, 100, 3, 7)):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = torch.randn(N, channels, H, W, generator=dice, dtype=torch.float64)

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        h = F.relu(F.conv2d(x, w(64, channels, 11, 11), w(64), stride=4, padding=2))
        h = F.relu(F.conv2d(F.max_pool2d(h, 3, 2), w(192, 64, 5, 5), w(192), padding=2))
        h = F.relu(F.conv2d(F.max_pool2d(h, 3, 2), w(384, 192, 3, 3), w(384), padding=1))
        h = F.relu(F.conv2d(h, w(256, 384, 3, 3), w(256), padding=1))
        h = F.relu(F.conv2d(h, w(256, 256, 3, 3), w(256), padding=1))
        h = F.adaptive_avg_pool2d(F.max_pool2d(h, 3, 2), 6).flatten(1)
        h = F.relu(F.linear(h, w(hidden, 9216), w(hidden)))
        h = F.relu(F.linear(h, w(hidden, hidden), w(hidden)))
        expected = F.linear(h, w(classes, hidden), w(classes))
        kwargs = {"num_classes": classes, "in_channels": channels, "hidden": hidden}
        before = x.clone()
        got = run(AlexNet, values, x, kwargs)
        check.close(got, expected, what=f"AlexNet, x {tuple(x.shape)}, eval()", rtol=1e-8)
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="AlexNet" part="dropout" points=1
# In eval() the answer is always the same; in train() it is not
@check.remote
def _twice(make, x, training, *args, **kwargs):
    """Two answers to one picture, in train() or in eval()."""
    torch.manual_seed(3)
    net = make(*args, **kwargs).train(training)
    return net(x).detach(), net(x).detach()


_x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
_one, _two = _twice(AlexNet, _x, False, 4, 1, hidden=64)
check.close(_one, _two, what="AlexNet in eval(), twice the same picture")
_one, _two = _twice(AlexNet, _x, True, 4, 1, hidden=64)
check.equal(
    bool((_one == _two).all()),
    False,
    what="AlexNet in train(): two answers to one picture are equal",
)
del _twice, _x, _one, _two


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def inputs(make, x, seed):
        """What goes into each dense layer, in eval() and in train(); parameters without gradient; twice in eval()."""
        torch.manual_seed(seed)
        net = make(num_classes=5, in_channels=x.shape[1], hidden=1500).to(x.dtype)
        with torch.no_grad():
            for p in net.parameters():
                if p.dim() == 1:
                    p.add_(0.5)
        seen = []
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda m, i, o: seen.append(i[0].detach().flatten()))
        net.eval()
        same = torch.equal(net(x), net(x))
        quiet = seen[-3:]
        alone = net(x[:1]).detach(), net(x).detach()[:1]
        net.train()
        y = net(x)
        loud = seen[-3:]
        y.pow(2).sum().backward()
        return (
            quiet,
            loud,
            same,
            sum(p.grad is None or not p.grad.any() for p in net.parameters()),
            alone,
            y.dtype,
        )

    dice = torch.Generator().manual_seed(1005)
    for dtype, shape in ((torch.float32, (2, 3, 224, 200)), (torch.float64, (3, 1, 70, 63))):
        x = torch.rand(shape, generator=dice, dtype=dtype)
        quiet, loud, same, none, alone, kind = inputs(AlexNet, x, 7)
        check.equal(same, True, what="AlexNet in eval() gives one answer to one picture")
        check.equal(none, 0, what="AlexNet, parameters without gradient")
        check.equal(str(kind), str(dtype), what="dtype of the scores")
        check.close(
            alone[0], alone[1], what="AlexNet, an example alone or in a batch", rtol=1e-3, atol=1e-4
        )
        # the first dense layer's input: zeroed with probability 0.5, or doubled
        alive = quiet[0] > 0
        gone = float((loud[0][alive] == 0).double().mean())
        check.equal(
            0.4 < gone < 0.6,
            True,
            what="half of the first dense layer's input is dropped in train()",
        )
        left = alive & (loud[0] != 0)
        check.close(
            loud[0][left], 2 * quiet[0][left], what="what is not dropped is doubled", rtol=1e-3
        )
        zeros = [[float((t == 0).double().mean()) for t in some] for some in (quiet, loud)]
        share = (zeros[1][1] - zeros[0][1]) / (1 - zeros[0][1])
        check.equal(share > 0.2, True, what="the second dense layer's input is dropped in train()")
        share = abs(zeros[1][2] - zeros[0][2])
        check.equal(share < 0.25, True, what="the last dense layer's input is not dropped")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **224 or 227?** The paper says that pictures have 224 x 224 pixels and the first layer's output 55 x 55. Try: 11 x 11, stride 4, no padding.

# %%
for size, padding in ((224, 0), (224, 2), (227, 0)):
    places = (size + 2 * padding - 11) / 4 + 1
    print(f"{size} pixels, padding {padding}: {places:.2f} places")
assert (224 - 11) // 4 + 1 == 54
assert (224 + 4 - 11) // 4 + 1 == 55
assert (227 - 11) / 4 + 1 == 55

# %% [markdown]
# With 224 and no padding there would be 54 places, and a rest. It works out for 227, or with padding 2 and rounding down. The paper does not say which. Krizhevsky's published code took 224 pixels without padding and rounds *up*: its last windows hang over the border. Caffe's copy took 227. Torchvision and you take 224 with padding 2.
#
# **How much data is a crop worth?** From pictures of 256 x 256 the network was fed random crops of 224 x 224 and their mirror images. The paper: "this increases the size of our training set by a factor of 2048". That is $(256-224)^2 \cdot 2 = 32^2 \cdot 2$. Some notes combine the factor 2,048 with crops of 227: that would be 1,682. And if you count places, as in unit 02, a crop of 224 fits into 256 at 33 positions along each axis, 0 to 32:

# %%
print(
    "the paper's factor:",
    (256 - 224) ** 2 * 2,
    "   with 227:",
    (256 - 227) ** 2 * 2,
    "   counted:",
    33**2 * 2,
)
assert (256 - 224) ** 2 * 2 == 2048
assert (256 - 227) ** 2 * 2 == 1682
assert len(range(0, 256 - 224 + 1)) ** 2 * 2 == 2178

# %% [markdown]
# Neighbouring crops are nearly equal, so this is not 2,048 times the information. It is a way to say "shifts and mirror images do not matter". At test time the network looked at ten crops (four corners and the middle, and their mirror images) and averaged the ten softmax outputs.

# %% [markdown]
# ### Two GPUs: the split, and what it became
#
# A GTX 580 had 3 GB. So the network was cut in two: half of the channels on each GPU. Layers 2, 4 and 5 see only the channels of their own GPU. Only the third convolution and the dense layers look at both. Today that is one argument: `groups=2`.
#
# | layer of 2012 | size | groups | output |
# |---|---|---|---|
# | conv, ReLU, LRN, pool 3/2 | 96 filters 11x11, stride 4, padding 2 | 1 | 96 x 27 x 27 |
# | conv, ReLU, LRN, pool 3/2 | 256 filters 5x5, padding 2 | `groups` | 256 x 13 x 13 |
# | conv, ReLU | 384 filters 3x3, padding 1 | 1 | 384 x 13 x 13 |
# | conv, ReLU | 384 filters 3x3, padding 1 | `groups` | 384 x 13 x 13 |
# | conv, ReLU, pool 3/2 | 256 filters 3x3, padding 1 | `groups` | 256 x 6 x 6 |
# | adaptive average pooling to 6 x 6, flatten | | | 9,216 |
# | dense, ReLU, dropout | 4,096 | | 4,096 |
# | dense, ReLU, dropout | 4,096 | | 4,096 |
# | dense | `num_classes` | | 1,000 |
#
# Two things to mind.
#
# - **Dropout is on the other side.** The paper drops the *outputs* of the first two dense layers. (The one-column table above drops their inputs. Both are called AlexNet.)
# - **LRN** (unit 08): $k = 2$, $n = 5$, $\alpha = 10^{-4}$, $\beta = 0.75$ in the paper, which multiplies the sum of squares by $\alpha$. `nn.LocalResponseNorm(size, alpha, beta, k)` divides `alpha` by the size, as your function of unit 08 does. Which `alpha` gives the paper's formula? Here each window runs over all channels, also across the border between the two halves.
#
# **By hand.** Does the split save weights? The second convolution: $256\,(48 \cdot 25 + 1)$ in place of $256\,(96 \cdot 25 + 1)$. Half.

# %% [markdown]
# ### Exercise: `AlexNet2012`
#
# *20 minutes, medium. What it is for: grouped convolution was born as a way around 3 GB of memory. Today it is in ResNeXt, MobileNet and EfficientNet, to save work on purpose.*
#
# <details><summary>Hint 1</summary>
#
# Start from your `AlexNet`. Change the numbers of filters, add `groups=groups` in three places and `nn.LocalResponseNorm` in two, move the dropout.
#
# </details>
# <details><summary>Hint 2: alpha</summary>
#
# PyTorch computes $(k + \frac{\texttt{alpha}}{\texttt{size}} \sum a^2)^{\beta}$, the paper $(k + \alpha \sum a^2)^{\beta}$ with $n = 5$. Set them equal.
#
# </details>
# <details><summary>Hint 3: in which order?</summary>
#
# Section 3.5 of the paper: response normalization follows the first and second convolutional layers (and their ReLUs); max pooling follows both response normalization layers, and the fifth convolution.
#
# </details>


# %% exercise="AlexNet2012"
class AlexNet2012(nn.Module):
    """AlexNet as in the paper: x (N, in_channels, H, W), H and W at least 63 -> (N, num_classes).

    Krizhevsky, Sutskever, Hinton 2012. groups=2 is its two GPUs, groups=1 one large one.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        ### BEGIN SOLUTION
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.classifier(self.features(x).flatten(1))
        ### END SOLUTION


# %% tests="AlexNet2012" part="table" points=1
@check.remote
def _look(make, x, *args, **kwargs):
    """Number of parameters; shapes of what Conv2d and Linear give, on the meta device."""
    shapes = []
    with torch.device("meta"):
        net = make(*args, **kwargs)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    net(torch.zeros(x, device="meta"))
    return sum(p.numel() for p in net.parameters()), shapes


_count, _shapes = _look(AlexNet2012, (2, 3, 224, 224))
check.equal(_shapes[1], (2, 256, 27, 27), what="AlexNet2012, shape after the second convolution")
check.equal(_shapes[4], (2, 256, 13, 13), what="AlexNet2012, shape after the fifth convolution")
check.equal(_count, 60965224, what="parameters of AlexNet2012()")
_count, _shapes = _look(AlexNet2012, (1, 3, 224, 224), groups=1)
check.equal(_count, 62378344, what="parameters of AlexNet2012(groups=1)")
del _look, _count, _shapes


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(make, x, num_classes, in_channels, hidden, groups):
        shapes = []
        with torch.device(type="meta"):
            net = make(
                num_classes=num_classes, in_channels=in_channels, hidden=hidden, groups=groups
            )
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
        y = net(torch.zeros(x, device="meta"))
        return sum(p.numel() for p in net.parameters()), shapes, tuple(y.shape)

    for N, H, W, classes, channels, hidden, g in (
        (1, 224, 224, 1000, 3, 4096, 2),
        (2, 227, 227, 10, 1, 512, 1),
        (1, 63, 95, 7, 4, 100, 4),
        (3, 192, 301, 21, 3, 64, 2),
    ):
        what = f"AlexNet2012({classes}, {channels}, hidden={hidden}, groups={g}), x {(N, channels, H, W)}"
        count, shapes, scores = look(AlexNet2012, (N, channels, H, W), classes, channels, hidden, g)
        size, table = [(H - 7) // 4 + 1, (W - 7) // 4 + 1], []
        for filters, pool in ((96, False), (256, True), (384, True), (384, False), (256, False)):
            size = [(n - 3) // 2 + 1 for n in size] if pool else size
            table.append((N, filters, *size))
        table += [(N, hidden), (N, hidden), (N, classes)]
        check.equal(shapes, table, what=f"{what}, shapes layer by layer")
        expected = 96 * (121 * channels + 1) + 256 * (2400 // g + 1) + 384 * 2305
        expected += 384 * (3456 // g + 1) + 256 * (3456 // g + 1)
        expected += hidden * 9217 + hidden * (hidden + 1) + classes * (hidden + 1)
        check.equal(count, expected, what=f"{what}, parameters")
        check.equal(scores, (N, classes), what=f"{what}, shape of the result")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="AlexNet2012" part="columns" points=1
# Silence channels 60 to 95 of the first convolution: which of the second one's 256 hear of it?
@check.remote
def _who_hears(make, silent, number, **kwargs):
    """Channels of convolution `number` (from 0) that change when channels `silent` on of the first one are set to 0."""
    torch.manual_seed(3)
    net, quiet, seen = make(5, 2, hidden=8, **kwargs).eval(), [], []
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]

    def hush(module, inputs, output):
        if quiet:
            output = output.clone()
            output[:, silent:] = 0
        return output

    convs[0].register_forward_hook(hush)
    convs[number].register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()))
    x = torch.rand(2, 2, 63, 70, generator=torch.Generator().manual_seed(3))
    net(x)
    quiet.append(True)
    net(x)
    return (seen[0] != seen[1]).any(dim=3).any(dim=2).any(dim=0).nonzero()[:, 0].tolist()


check.equal(
    _who_hears(AlexNet2012, 60, 1),
    list(range(128, 256)),
    what="channels of the second convolution that hear",
)
del _who_hears


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def who_hears(make, first, silent, number, groups):
        """Channels of convolution `number` that change when channels of convolution `first` are set to 0."""
        torch.manual_seed(4)
        net, quiet, heard = make(5, 2, hidden=8, groups=groups).eval(), [], []
        convs = [one for one in net.modules() if isinstance(one, nn.Conv2d)]

        def silence(module, inputs, maps):
            if quiet:
                maps = maps.clone()
                maps[:, silent:] = 0
            return maps

        convs[first].register_forward_hook(silence)
        convs[number].register_forward_hook(lambda m, i, o: heard.append(o.detach().clone()))
        x = torch.rand(2, 2, 63, 70, generator=torch.Generator().manual_seed(4))
        net(x)
        quiet.append(1)
        net(x)
        return (heard[0] != heard[1]).any(dim=3).any(dim=2).any(dim=0).nonzero()[:, 0].tolist()

    for first, silent, number, groups, where in (
        (0, 60, 1, 2, (128, 256)),
        (0, 60, 1, 1, (0, 256)),
        (1, 140, 2, 2, (0, 384)),  # 140: normalization carries a change two channels further
        (2, 200, 3, 2, (192, 384)),
        (3, 192, 4, 2, (128, 256)),
        (3, 288, 4, 4, (192, 256)),
        (2, 192, 3, 1, (0, 384)),
    ):
        heard = who_hears(AlexNet2012, first, silent, number, groups)
        what = f"groups={groups}: convolution {first + 1} silent from channel {silent} on: who of convolution {number + 1} hears"
        check.equal(heard, list(range(*where)), what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="AlexNet2012" part="wiring" points=2
# All weights 0 and all biases -1: the scores are the last layer's biases, and nothing is done to them
_net = AlexNet2012(4, 2, hidden=8).eval()
with torch.no_grad():
    for _p in _net.parameters():
        _p.fill_(-float(_p.dim() == 1))
check.close(
    _net(torch.ones(2, 2, 64, 64)).detach(),
    -torch.ones(2, 4),
    what="AlexNet2012, all weights 0, all biases -1",
)
del _net, _p


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, kwargs):
        """Every parameter is filled by one rule, whatever its name."""
        torch.manual_seed(6)
        net = make(**kwargs).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 10
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
            return net(x)

    dice = torch.Generator().manual_seed(1006)
    for N, C, H, W, classes, hidden, g in ((2, 3, 66, 131, 5, 12, None), (1, 1, 164, 100, 3, 7, 1)):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = 30 * torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)
        G = 2 if g is None else g

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        def norm(h):
            squares = F.pad(h**2, (0, 0, 0, 0, 2, 2))
            around = sum(squares[:, i : i + h.shape[1]] for i in range(5))
            return h / (2 + 1e-4 * around) ** 0.75

        h = norm(F.relu(F.conv2d(x, w(96, C, 11, 11), w(96), stride=4, padding=2)))
        h = F.conv2d(F.max_pool2d(h, 3, 2), w(256, 96 // G, 5, 5), w(256), padding=2, groups=G)
        h = F.max_pool2d(norm(F.relu(h)), 3, 2)
        h = F.relu(F.conv2d(h, w(384, 256, 3, 3), w(384), padding=1))
        h = F.relu(F.conv2d(h, w(384, 384 // G, 3, 3), w(384), padding=1, groups=G))
        h = F.relu(F.conv2d(h, w(256, 384 // G, 3, 3), w(256), padding=1, groups=G))
        h = F.adaptive_avg_pool2d(F.max_pool2d(h, 3, 2), 6).flatten(1)
        h = F.relu(F.linear(h, w(hidden, 9216), w(hidden)))
        h = F.relu(F.linear(h, w(hidden, hidden), w(hidden)))
        expected = F.linear(h, w(classes, hidden), w(classes))
        kwargs = {"num_classes": classes, "in_channels": C, "hidden": hidden}
        kwargs |= {} if g is None else {"groups": g}
        got = run(AlexNet2012, values, x, kwargs)
        what = f"AlexNet2012, x {tuple(x.shape)}, groups={'left out' if g is None else g}, eval()"
        check.close(got, expected, what=what, rtol=1e-7)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="AlexNet2012" part="dropout" points=1
# In eval() the answer is always the same; in train() it is not
@check.remote
def _twice(make, x, training, *args, **kwargs):
    """Two answers to one picture, in train() or in eval()."""
    torch.manual_seed(3)
    net = make(*args, **kwargs).train(training)
    return net(x).detach(), net(x).detach()


_x = torch.rand(2, 2, 64, 64, generator=torch.Generator().manual_seed(3))
_one, _two = _twice(AlexNet2012, _x, False, 4, 2, hidden=64)
check.close(_one, _two, what="AlexNet2012 in eval(), twice the same picture")
_one, _two = _twice(AlexNet2012, _x, True, 4, 2, hidden=64)
check.equal(
    bool((_one == _two).all()),
    False,
    what="AlexNet2012 in train(): two answers to one picture are equal",
)
del _twice, _x, _one, _two


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def inputs(make, x, seed):
        """What goes into each dense layer, in eval() and in train(); parameters without gradient."""
        torch.manual_seed(seed)
        net = make(num_classes=5, in_channels=x.shape[1], hidden=1500).to(x.dtype)
        with torch.no_grad():
            for p in net.parameters():
                if p.dim() == 1:
                    p.add_(0.5)
        seen = []
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda m, i, o: seen.append(i[0].detach().flatten()))
        net.eval()
        same = torch.equal(net(x), net(x))
        quiet = seen[-3:]
        net.train()
        y = net(x)
        loud = seen[-3:]
        y.pow(2).sum().backward()
        return (
            quiet,
            loud,
            same,
            sum(p.grad is None or not p.grad.any() for p in net.parameters()),
            y.dtype,
        )

    dice = torch.Generator().manual_seed(1007)
    for dtype, shape in ((torch.float32, (2, 3, 164, 140)), (torch.float64, (3, 2, 70, 63))):
        x = torch.rand(shape, generator=dice, dtype=dtype)
        quiet, loud, same, none, kind = inputs(AlexNet2012, x, 8)
        check.equal(same, True, what="AlexNet2012 in eval() gives one answer to one picture")
        check.equal(none, 0, what="AlexNet2012, parameters without gradient")
        check.equal(str(kind), str(dtype), what="dtype of the scores")
        check.close(
            loud[0],
            quiet[0],
            what="the first dense layer's input, train() against eval()",
            rtol=1e-3,
        )
        # the second one's input is the first one's output: zeroed with probability 0.5, or doubled
        alive = quiet[1] > 0
        gone = float((loud[1][alive] == 0).double().mean())
        check.equal(
            0.4 < gone < 0.6,
            True,
            what="half of the first dense layer's output is dropped in train()",
        )
        left = alive & (loud[1] != 0)
        check.close(
            loud[1][left], 2 * quiet[1][left], what="what is not dropped is doubled", rtol=1e-3
        )
        zeros = [float((some[2] == 0).double().mean()) for some in (quiet, loud)]
        share = (zeros[1] - zeros[0]) / (1 - zeros[0])
        check.equal(share > 0.2, True, what="the second dense layer's output is dropped in train()")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Is that LRN yours?** PyTorch's layer with `alpha=5e-4`, your NumPy function of unit 08 with the same, and the paper's formula written out.

# %%
maps = 20 * np.random.default_rng(seed).standard_normal((2, 9, 4, 3))
by_torch = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(torch.tensor(maps)).numpy()
by_you = local_response_norm(maps, 5, alpha=5e-4, beta=0.75, k=2.0)
by_paper = np.stack(
    [
        maps[:, c] / (2 + 1e-4 * (maps[:, max(0, c - 2) : c + 3] ** 2).sum(axis=1)) ** 0.75
        for c in range(9)
    ],
    axis=1,
)
check.close(by_you, by_torch, what="unit 08 and nn.LocalResponseNorm")
check.close(by_you, by_paper, what="unit 08 and the paper's formula")

# %% [markdown]
# **The paper's own numbers.** The caption of figure 2 gives the number of neurons of each layer after the input: 253,440, 186,624, 64,896, 64,896, 43,264, 4,096, 4,096, 1,000. Ask your network.

# %%
with torch.device("meta"):
    of_2012 = layer_table(AlexNet2012(), torch.zeros(1, 3, 224, 224))
neurons = [int(np.prod(row.shape)) for row in of_2012 if row.multiply_adds]
printed = [253440, 186624, 64896, 64896, 43264, 4096, 4096, 1000]
for mine, theirs in zip(neurons, printed, strict=True):
    print(f"{mine:>9,} {theirs:>9,}", "" if mine == theirs else "  <- differs")
assert neurons[1:] == printed[1:]
assert neurons[0] == 55 * 55 * 96 == 290400

# %% [markdown]
# Seven of eight agree. The first does not, and cannot: 253,440 is no multiple of $55^2$, nor is it $54^2 \cdot 96$. It has been wrong in print since 2012. How could it come about? $253{,}440 = 55 \cdot 48 \cdot 96$: as if the 48 filters of one GPU had slipped into the place of one 55. That is a guess. (The 150,528 input numbers are right: $224 \cdot 224 \cdot 3$.) Even in the most cited papers: count.

# %%
assert 253440 % 55**2 > 0
assert 54**2 * 96 != 253440
assert 55 * 48 * 96 == 253440
assert 224 * 224 * 3 == 150528

# %% [markdown]
# **Where are the weights, and where is the work?** Your two networks, drawn from their own runs.
#
# **Predict.** Five convolutions, three dense layers. Which share of the 61 million parameters do the dense layers hold? Which share of the work do the convolutions do? The split into two columns: what does it save of the work in convolutions?

# %%
with torch.device("meta"):
    one_column = layer_table(AlexNet(), torch.zeros(1, 3, 224, 224))
    unsplit = layer_table(AlexNet2012(groups=1), torch.zeros(1, 3, 224, 224))
for name, table in {
    "one column, 2014": one_column,
    "2012, two GPUs": of_2012,
    "2012, groups=1": unsplit,
}.items():
    weights, work = sum(r.parameters for r in table), sum(r.multiply_adds for r in table)
    print(
        f"{name:>17}: {weights / 1e6:6.2f} M parameters, {work / 1e9:.3f} G multiply-adds;",
        "dense layers hold {:.0f} %, convolutions do {:.0f} %".format(*shares(table)),
    )
conv_work = [
    sum(r.multiply_adds for r in table if r.kind == "Conv2d") for table in (of_2012, unsplit)
]
print(f"the split saves {100 * (1 - conv_work[0] / conv_work[1]):.0f} % of the convolutions' work")

# %% figure="alexnet_stages"
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), layout="constrained")
draw_stages(one_column, axes[0])
axes[0].set_title("AlexNet, one column (2014)")
draw_stages(of_2012, axes[1])
axes[1].set_title("AlexNet, two GPUs (2012)")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two networks as blocks that shrink from 55 to 6 pixels and grow from 64 or 96 to 256 channels, then three thin bars for dense layers. Below them the light bars (parameters) stand under the first two dense layers, the dark bars (multiply-adds) under the convolutions.](figures/alexnet_stages.png)
#
# The dense layers hold 96 % of the parameters; more than half of all sit in one matrix, 9,216 x 4,096. The convolutions do 92 % of the work. The split saves 38 % of the convolutions' work, and of the parameters only 2 %: so few are in the convolutions.
#
# This was the state of affairs for years: *to make it smaller, look at the dense layers; to make it faster, at the convolutions.* Unit 11 removes the dense layers. Unit 13 splits the convolutions, and then all the way.
#
# </details>

# %%
assert [round(s) for s in shares(one_column)] == [96, 92]
assert [round(s) for s in shares(of_2012)] == [96, 92]
assert round(100 * (1 - conv_work[0] / conv_work[1])) == 38
assert sum(r.parameters for r in one_column) < 2 * 9216 * 4096

# %% [markdown] manual="split" points=2
# **Question (2 points, 8 minutes).** (a) The paper reports (section 3.2) that the two-GPU network has lower errors than one GPU's network with *half as many kernels in each convolutional layer*. Is that a comparison that shows that cutting connections is good? Which control would? (b) The two columns start alike and get the same pictures. Yet after training, one had learned mostly colour-blind filters and the other mostly coloured ones (figure 3). Why is such a division possible at all, and why does it not appear in a first layer whose channels are mixed by the second, `groups=1`?
#
# ### BEGIN SOLUTION
# (a) No. The one-GPU network is smaller, so size and split change together. The control has the same size and no split: `groups=1` with the same filters (62.4 M parameters), or a narrower unsplit network with equal parameters or equal work. (1 point. The paper says itself that the comparison is biased towards the one-GPU network in another respect: its dense layers were not halved.)
#
# (b) The two halves never see each other's channels before the third convolution, so what one column's second layer needs must come from its own first layer. Each column specialises in one kind of input, as features that are used together gain by being in the same column. Random starts decide which column gets which kind. With `groups=1` each second-layer filter sees all 96 channels. The loss is then unchanged if the first layer's channels are reordered (together with the second layer's weights), so nothing can make "the first 48" different from "the last 48". (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## 5. ReLU against tanh: six times faster?
#
# Figure 1 of the paper is famous: a four-layer convolutional network with ReLUs reaches 25 % training error on CIFAR-10 six times sooner than the same network with tanh. (*Six times sooner*, and it is ReLU that is fast. Some notes have it the other way round.) Learning rates were chosen for each network alone, as fast as possible. No regularisation.
#
# Measure it. Three convolutions and one dense layer, as there, on 500 pictures of CIFAR-10 (decoded from JPEG) of 16 x 16 pixels. Each starts as unit 07 says: He ($\sqrt{2/n}$) for ReLU, $\sqrt{1/n}$ for tanh.
#
# **Who chooses the rates decides such a race.** So: the same six learning rates for both, from 0.001 to 0.1, one run each with seed 100. The best one of each goes into the race, with three seeds that had no part in the choice. And look where the best one lies: if it is the first or the last of the list, a better one may lie beyond it. (In parts 7 and 9, where one lay at the edge, the list was made longer, for all competitors alike.)
#
# **Predict.** By which factor is ReLU faster: 6, 2, or not at all?


# %%
def four_layers(activation, in_channels, size):
    """Three convolutions 5x5 with pooling 3/2, one dense layer, after Krizhevsky et al. 2012, figure 1; narrower."""
    channels, layers = in_channels, []
    for filters in (16, 16, 32):
        layers += [
            nn.Conv2d(channels, filters, 5, padding=2),
            activation(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        channels, size = filters, (size + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, 10))


ACTIVATIONS = {  # and the standard deviation of the first weights: unit 07's rule for each
    "ReLU": (nn.ReLU, lambda fan_in: (2 / fan_in) ** 0.5),
    "tanh": (nn.Tanh, lambda fan_in: (1 / fan_in) ** 0.5),
}
RACE_RATES = (0.001, 0.0025, 0.006, 0.016, 0.04, 0.1)  # the same six for both


def epochs_until(x, y, name, lr, seed, most, error=0.25):
    """Epochs until the training error falls to `error`, between two epochs by a straight line; `most` if it does not."""
    activation, std = ACTIVATIONS[name]
    torch.manual_seed(seed)
    net = start_normal(four_layers(activation, x.shape[1], x.shape[-1]), std).to(device)
    errors = [0.9]

    def far_enough(epoch):
        errors.append(1 - evaluate(net, x, y, batch_size=500)[1])
        return errors[-1] <= error

    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    train(net, x, y, optimizer, epochs=most, batch_size=25, after_epoch=far_enough, seed=seed)
    if errors[-1] > error:
        return float(most)
    return len(errors) - 2 + (errors[-2] - error) / (errors[-2] - errors[-1])


def small_cifar(split, first, last):
    """Pictures of CIFAR-10, averaged down to 16 x 16 pixels, each colour with mean 0 and spread 1; labels."""
    part = cifar10(split)
    x, y = torch.from_numpy(part.images[first:last]), torch.from_numpy(part.labels[first:last])
    mean, std = x.mean(dim=(0, 2, 3), keepdim=True), x.std(dim=(0, 2, 3), keepdim=True)
    return F.avg_pool2d((x - mean) / std, 2), y


def best_rate(found, best):
    """found {rate: result}, best: min or max -> the rate with the best result, the middle one of equally good ones."""
    goal = best(found.values())
    winners = [rate for rate, result in found.items() if result == goal]
    return float(winners[len(winners) // 2])


def again_or_stored(name, run, seeds, on):
    """The stored result of an experiment; in the full profile measured anew, where its data are found."""
    try:
        again = profile == "full"
        return measured(UNIT, name, run, seeds=seeds, on=on, device=device, again=again)
    except DataError:  # full profile, and no CIFAR-10 here
        return measured(UNIT, name, run)


UNIT, CIFAR = "10-lenet-to-vgg", "CIFAR-10 decoded from JPEG, 16 x 16 pixels"


def race_rates(seed):
    """Epochs that each activation takes at each rate, at most 40."""
    x, y = small_cifar("train", 0, 500)
    return {
        name: {str(r): epochs_until(x, y, name, r, seed, 40) for r in RACE_RATES}
        for name in ACTIVATIONS
    }


tried = again_or_stored("race_rates", race_rates, [100], f"{CIFAR}, 500 pictures").rows[0]
rate = {name: best_rate(tried[name], min) for name in ACTIVATIONS}


def race_on_cifar(seed):
    """Epochs that each activation takes at the rate that was best for it with seed 100, at most 60."""
    x, y = small_cifar("train", 0, 500)
    return {name: epochs_until(x, y, name, rate[name], seed, 60) for name in ACTIVATIONS}


race_cifar = again_or_stored(
    "race_on_cifar", race_on_cifar, range(10, 13), f"{CIFAR}, 500 pictures"
)
x, y, *_ = halves(glyphs(400, size=20, seed=seed + 1, noise=0.1), 400)
for name in ACTIVATIONS:
    live = epochs_until(x, y, name, rate[name], seed, 20)
    print(
        f"{name}: rate {rate[name]:g}, {np.round(race_cifar.column(name), 1)} epochs;",
        f"live, 400 glyphs at this rate: {live:.1f} epochs",
    )
print(race_cifar)

# %% figure="race"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.3), layout="constrained", width_ratios=[1.2, 1])
for place, (name, style) in enumerate({"ReLU": "o-", "tanh": "s--"}.items()):
    color = ("#5a8fc3", "#c77f1a")[place]
    axes[0].plot(RACE_RATES, tried[name].values(), style, color=color, label=name)
    values = race_cifar.column(name)
    hatch = ("", "//")[place]
    axes[1].barh(-place, np.mean(values), color=color, hatch=hatch, edgecolor="black")
    axes[1].plot(values, [-place] * len(values), "k|", markersize=12)
axes[0].set(xscale="log", xlabel="learning rate", ylabel="epochs to 25 % error", ylim=(0, 43))
axes[0].legend(fontsize=7)
axes[0].set_title("Choosing, seed 100 (40: not within 40)")
axes[1].set_yticks([0, -1], ["ReLU", "tanh"])
axes[1].set(xlabel="epochs to 25 % training error", xlim=(0, None))
axes[1].set_title(f"The race: a stroke for each of {len(race_cifar.rows)} new seeds")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, epochs to 25 percent training error against the learning rate: ReLU is fastest at 0.006 and does not get there at 0.016 and more; tanh is fastest at 0.04 and does not get there at 0.1. Right, two bars: ReLU takes longer than tanh, for each of three seeds.](figures/race.png)
#
# No factor of six, and not even in the same direction. On 500 small pictures of CIFAR-10 (decoded from JPEG, CPU, 3 new seeds) ReLU takes 14.7, 19.2 and 12.3 epochs, tanh 9.3, 9.6 and 8.1. In this network, at this size, **tanh is the faster one**, by a factor of 1.7. Each got six trials, and the best rate lies inside the list for both: 0.006 for ReLU, 0.04 for tanh. The left picture tells why: tanh bears a step seven times larger. A ReLU's output has no bound, and at 0.016 the network falls apart.
#
# Look at the left picture once more. At 0.006, the best rate of ReLU, it is the faster one. Who tries that rate alone finds the opposite result.
#
# This is not the paper's experiment: its network was wider, its pictures larger, and there were 50,000 of them. It does not show that the paper is wrong. It shows that "six times" belongs to one network, one data set and one way to choose the rate, and that it must not be quoted without them. What holds in general is the reason: where $|a|$ is large, tanh has a slope near 0, and a ReLU has 1. The more layers, and the larger the weights have grown, the more often that counts. Three layers that start well hardly get there.
#
# </details>

# %%
epochs = {name: np.array(race_cifar.column(name)) for name in ACTIVATIONS}
assert all(epochs["ReLU"] > epochs["tanh"])
assert tried["ReLU"]["0.006"] < tried["tanh"]["0.006"]
if profile == "quick":  # as stored; measured anew, the numbers may differ a little
    assert np.round(epochs["ReLU"], 1).tolist() == [14.7, 19.2, 12.3]
    assert np.round(epochs["tanh"], 1).tolist() == [9.3, 9.6, 8.1]
    assert round(epochs["ReLU"].mean() / epochs["tanh"].mean(), 1) == 1.7
    assert rate == {"ReLU": 0.006, "tanh": 0.04}
    assert tried["ReLU"]["0.016"] == tried["tanh"]["0.1"] == 40

# %% [markdown]
# ## 6. ZFNet: look first, then change it
#
# **The problem.** In 2012 nobody knew *why* AlexNet worked. Zeiler and Fergus (2013) built a way to look: they projected the activity of a single feature map back into the space of pixels (unit 18). In the first two layers they saw two faults (section 4.1): the first-layer filters are "a mix of extremely high and low frequency information, with little coverage of the mid frequencies", and the second layer shows "aliasing artifacts caused by the large stride 4". So they took 7 x 7 filters in place of 11 x 11, and stride 2 in place of 4. The error fell, and with a few more such changes the company of one of them won the competition of 2013 with 11.7 % (AlexNet 2012: 16.4 %).
#
# **What is aliasing?** A layer with stride $s$ looks at each $s$-th place. A wave of less than $2s$ pixels per period is then sampled less than twice per period, and comes out as *another, slower* wave. Stripes of period 5 pixels at stride 4: from one sample to the next the wave moves on by $4/5$ of a period. This looks exactly like $-1/5$: a wave of five samples per period, 20 pixels. It is not there.
#
# **Predict.** Below is a picture of rings that become narrower and narrower towards the border. It goes through a first layer whose filter is a small blur, once with AlexNet's geometry (11 x 11, stride 4), once with ZFNet's (7 x 7, stride 2). How many bull's eyes do you see in each?


# %%
def blurred(x, kernel_size, stride, padding, sigma=0.7):
    """x (N, 1, H, W) through a convolution with a Gaussian blur as its filter."""
    r = torch.arange(kernel_size) - kernel_size // 2
    line = torch.exp(-(r**2) / (2 * sigma**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    return F.conv2d(x, kernel[None, None], stride=stride, padding=padding)


def strongest_period(wave, stride):
    """Period in pixels of the strongest wave in a line of samples that are `stride` pixels apart."""
    spectrum = (wave - wave.mean()).double().numpy()
    power = np.abs(np.fft.rfft(spectrum * np.hanning(len(spectrum)), 4096))
    return float(stride / np.fft.rfftfreq(4096)[power.argmax()])


r = torch.arange(224) - 111.5
squared = r[:, None] ** 2 + r[None, :] ** 2
rings = 0.5 + 0.5 * torch.cos(
    torch.pi * squared * 0.25 / 112
)  # 0.25 periods per pixel at the edge's middle
coarse, fine = blurred(rings[None, None], 11, 4, 2), blurred(rings[None, None], 7, 2, 1)
stripes = torch.cos(2 * torch.pi * torch.arange(224) / 5).expand(1, 1, 224, 224)
periods = {
    s: strongest_period(blurred(stripes, k, s, p)[0, 0, 20], s)
    for k, s, p in ((11, 4, 2), (7, 2, 1))
}
print(
    "stripes of period 5 come out with period",
    {f"stride {s}": round(p, 2) for s, p in periods.items()},
)

# %% figure="aliasing"
fig, axes = plt.subplots(1, 3, figsize=(5.8, 2.2), layout="constrained")
names = ("224 x 224 pixels", "11x11, stride 4: 55 x 55", "7x7, stride 2: 110 x 110")
for ax, picture, name in zip(axes, (rings, coarse[0, 0], fine[0, 0]), names, strict=True):
    ax.imshow(
        picture, cmap=plt.get_cmap("gray", 5), extent=(0, 224, 224, 0), interpolation="nearest"
    )
    ax.set(title=name, xticks=[0, 112, 224], yticks=[0, 112, 224])
axes[0].set(xlabel="pixels", ylabel="pixels")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, rings that become narrower towards the border. Middle, at stride 4, the same rings and beside them four more bull's eyes at the middles of the edges and fainter ones in the corners, which the picture does not contain. Right, at stride 2, only the true rings.](figures/aliasing.png)
#
# At stride 4 there are bull's eyes at the middle of each edge and in the corners, as large as the true one. At the edge's middle the rings have a period of 4 pixels: from sample to sample exactly one period, so they look constant, and around this place slow. At stride 2 those places are just at the limit (a period of 4 pixels is two samples), and only one bull's eye is left. What the second layer gets, at stride 4, is a picture in which fine texture and coarse shape are the same thing.
#
# </details>

# %%
assert abs(periods[4] - 20) < 0.3
assert abs(periods[2] - 5) < 0.1

# %% [markdown]
# The price: four times as many places in the first layer's output. To pay for it, the second convolution gets stride 2 as well. The table below is figure 3 of the paper, with paddings chosen so that its sizes (110, 55, 26, 13, 6) come out. Its "contrast normalization" is left out here, as VGG found no use for it.
#
# | layer | size | output at 224 |
# |---|---|---|
# | conv, ReLU | 96 filters 7x7, stride 2, padding 1 | 96 x 110 x 110 |
# | pool 3/2, padding 1 | | 96 x 55 x 55 |
# | conv, ReLU | 256 filters 5x5, stride 2, no padding | 256 x 26 x 26 |
# | pool 3/2, padding 1 | | 256 x 13 x 13 |
# | conv, ReLU | 384 filters 3x3, padding 1 | 384 x 13 x 13 |
# | conv, ReLU | 384 filters 3x3, padding 1 | 384 x 13 x 13 |
# | conv, ReLU | 256 filters 3x3, padding 1 | 256 x 13 x 13 |
# | pool 3/2, no padding | | 256 x 6 x 6 |
# | adaptive average pooling to 6 x 6, flatten | | 9,216 |
# | dense, ReLU, dropout | 4,096 | 4,096 |
# | dense, ReLU, dropout | 4,096 | 4,096 |
# | dense | `num_classes` | 1,000 |

# %% [markdown]
# ### Exercise: `ZFNet`
#
# *12 minutes, easy once AlexNet is done. What it is for: you read a table from a figure, and let the sizes tell you the paddings that a paper forgot.*
#
# <details><summary>Hint 1</summary>
#
# Write the sizes down layer by layer: 224, 110, 55, 26, 13, 13, 13, 13, 6. Compare with what your network's hooks say (`layer_table`).
#
# </details>
# <details><summary>Hint 2</summary>
#
# 110 pixels, window 3, stride 2: without padding 54 places. The table says 55. Which pooling layers have a padding, and which has none?
#
# </details>


# %% exercise="ZFNet"
class ZFNet(nn.Module):
    """ZFNet by the table above: x (N, in_channels, H, W), H and W at least 53 -> (N, num_classes).

    Zeiler and Fergus 2013 (arXiv:1311.2901), figure 3, without contrast normalization.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        ### BEGIN SOLUTION
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.classifier(self.features(x).flatten(1))
        ### END SOLUTION


# %% tests="ZFNet" part="table" points=1
@check.remote
def _look(make, x, *args, **kwargs):
    """Number of parameters; shapes of what Conv2d and Linear give, on the meta device."""
    shapes = []
    with torch.device("meta"):
        net = make(*args, **kwargs)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    net(torch.zeros(x, device="meta"))
    return sum(p.numel() for p in net.parameters()), shapes


_count, _shapes = _look(ZFNet, (2, 3, 224, 224))
check.equal(_shapes[0], (2, 96, 110, 110), what="ZFNet, shape after the first convolution")
check.equal(_shapes[1], (2, 256, 26, 26), what="ZFNet, shape after the second convolution")
check.equal(_shapes[4], (2, 256, 13, 13), what="ZFNet, shape after the fifth convolution")
check.equal(_count, 62357608, what="parameters of ZFNet()")
del _look, _count, _shapes


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(make, x, num_classes, in_channels, hidden):
        shapes = []
        with torch.device(type="meta"):
            net = make(num_classes=num_classes, in_channels=in_channels, hidden=hidden)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
        y = net(torch.zeros(x, device="meta"))
        return sum(p.numel() for p in net.parameters()), shapes, tuple(y.shape)

    for N, H, W, classes, channels, hidden in (
        (1, 224, 224, 1000, 3, 4096),
        (2, 225, 97, 10, 1, 512),
        (1, 53, 95, 7, 4, 100),
        (3, 192, 301, 21, 3, 64),
    ):
        what = f"ZFNet({classes}, {channels}, hidden={hidden}), x {(N, channels, H, W)}"
        count, shapes, scores = look(ZFNet, (N, channels, H, W), classes, channels, hidden)
        one = [(n - 5) // 2 + 1 for n in (H, W)]
        two = [((n - 1) // 2 + 1 - 5) // 2 + 1 for n in one]
        rest = [(n - 1) // 2 + 1 for n in two]
        table = [(N, 96, *one), (N, 256, *two), (N, 384, *rest), (N, 384, *rest), (N, 256, *rest)]
        table += [(N, hidden), (N, hidden), (N, classes)]
        check.equal(shapes, table, what=f"{what}, shapes layer by layer")
        expected = 96 * (49 * channels + 1) + 256 * 2401 + 384 * 2305 + 384 * 3457 + 256 * 3457
        expected += hidden * 9217 + hidden * (hidden + 1) + classes * (hidden + 1)
        check.equal(count, expected, what=f"{what}, parameters")
        check.equal(scores, (N, classes), what=f"{what}, shape of the result")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="ZFNet" part="wiring" points=2
# All weights 0 and all biases -1: the scores are the last layer's biases
_net = ZFNet(4, 1, hidden=8).eval()
with torch.no_grad():
    for _p in _net.parameters():
        _p.fill_(-float(_p.dim() == 1))
_x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
check.close(_net(_x).detach(), -torch.ones(2, 4), what="ZFNet, all weights 0, all biases -1")


# In eval() the answer is always the same; in train() it is not
@check.remote
def _twice(make, x, training, *args, **kwargs):
    """Two answers to one picture, in train() or in eval()."""
    torch.manual_seed(3)
    net = make(*args, **kwargs).train(training)
    return net(x).detach(), net(x).detach()


_one, _two = _twice(ZFNet, _x, False, 4, 1, hidden=64)
check.close(_one, _two, what="ZFNet in eval(), twice the same picture")
_one, _two = _twice(ZFNet, _x, True, 4, 1, hidden=64)
check.equal(
    bool((_one == _two).all()),
    False,
    what="ZFNet in train(): two answers to one picture are equal",
)
del _net, _p, _x, _twice, _one, _two


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, kwargs):
        """Every parameter is filled by one rule, whatever its name; and what the dense layers get in train()."""
        torch.manual_seed(6)
        net = make(**kwargs).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 10
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
        y = net(x).detach()
        seen = []
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda m, i, o: seen.append(i[0].detach().flatten()))
        net(x)
        net.train()
        net(x).pow(2).sum().backward()
        return y, seen, sum(p.grad is None for p in net.parameters())

    dice = torch.Generator().manual_seed(1008)
    for N, C, H, W, classes, hidden in ((2, 3, 66, 131, 5, 900), (1, 1, 164, 100, 3, 1200)):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = torch.randn(N, C, H, W, generator=dice, dtype=torch.float64)

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        h = F.relu(F.conv2d(x, w(96, C, 7, 7), w(96), stride=2, padding=1))
        h = F.relu(F.conv2d(F.max_pool2d(h, 3, 2, 1), w(256, 96, 5, 5), w(256), stride=2))
        h = F.relu(F.conv2d(F.max_pool2d(h, 3, 2, 1), w(384, 256, 3, 3), w(384), padding=1))
        h = F.relu(F.conv2d(h, w(384, 384, 3, 3), w(384), padding=1))
        h = F.relu(F.conv2d(h, w(256, 384, 3, 3), w(256), padding=1))
        h = F.adaptive_avg_pool2d(F.max_pool2d(h, 3, 2), 6).flatten(1)
        h = F.relu(F.linear(h, w(hidden, 9216), w(hidden)))
        h = F.relu(F.linear(h, w(hidden, hidden), w(hidden)))
        expected = F.linear(h, w(classes, hidden), w(classes))
        kwargs = {"num_classes": classes, "in_channels": C, "hidden": hidden}
        what = f"ZFNet, x {tuple(x.shape)}"
        got, seen, none = run(ZFNet, values, x, kwargs)
        check.close(got, expected, what=f"{what}, eval()", rtol=1e-8)
        check.equal(none, 0, what=f"{what}, parameters without gradient")
        quiet, loud = seen[:3], seen[3:]
        check.close(
            loud[0], quiet[0], what=f"{what}, the first dense layer's input, train() against eval()"
        )
        alive = quiet[1] > 0
        gone = float((loud[1][alive] == 0).double().mean())
        check.equal(
            0.4 < gone < 0.6,
            True,
            what=f"{what}, half of the first dense layer's output is dropped in train()",
        )
        left = alive & (loud[1] != 0)
        check.close(
            loud[1][left], 2 * quiet[1][left], what=f"{what}, what is not dropped is doubled"
        )
        zeros = [float((some[2] == 0).double().mean()) for some in (quiet, loud)]
        share = (zeros[1] - zeros[0]) / (1 - zeros[0])
        check.equal(
            share > 0.2, True, what=f"{what}, the second dense layer's output is dropped in train()"
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Two 3x3 for one 5x5
#
# **The idea of VGG** (Simonyan and Zisserman 2014, section 2.3). Two convolutions of 3 x 3 see as much as one of 5 x 5: the receptive field is $1 + 2 + 2 = 5$ (unit 03). Three see as much as one of 7 x 7. With $c$ channels in and out, and no biases:
#
# - two 3 x 3: $2 \cdot 9 c^2 = 18 c^2$ parameters; one 5 x 5: $25 c^2$;
# - three 3 x 3: $27 c^2$; one 7 x 7: $49 c^2$, "81 % more", says the paper.
#
# (Some notes write $18c$ against $25c$. That is the count for *one* output channel. The ratio is the same.) And between two convolutions there is room for another ReLU.

# %% [markdown]
# ### Exercise: `stack_cost`
#
# *5 minutes, easy. What it is for: the sum that decided the shape of nearly every network since.*
#
# <details><summary>Hint</summary>
#
# Each kernel of size $k$ adds $k^2 c^2$ parameters and $k - 1$ to the receptive field. What do you start from?
#
# </details>


# %% exercise="stack_cost"
def stack_cost(kernel_sizes, channels):
    """Square convolutions in a row, stride 1, channels in and out, no biases -> (parameters, receptive field), two ints."""
    ### BEGIN SOLUTION
    parameters = sum(k * k for k in kernel_sizes) * channels**2
    return parameters, 1 + sum(k - 1 for k in kernel_sizes)
    ### END SOLUTION


# %% tests="stack_cost" points=1
check.equal(stack_cost([5], 1), (25, 5), what="stack_cost([5], 1)")
check.equal(stack_cost([3, 3], 1), (18, 5), what="stack_cost([3, 3], 1)")
check.equal(stack_cost([3, 3], 10), (1800, 5), what="stack_cost([3, 3], 10)")


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(1009)
    for length in (1, 2, 3, 4, 6):
        kernels = [int(k) for k in rng.choice([1, 2, 3, 4, 5, 7], length)]
        channels = int(rng.integers(2, 70))
        parameters, field = 0, 1
        for k in kernels:
            parameters += k * k * channels * channels
            field += k - 1
        what = f"stack_cost({kernels}, {channels})"
        check.equal(stack_cost(kernels, channels), (parameters, field), what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
for stack, single in (([3, 3], [5]), ([3, 3, 3], [7])):
    a, b = stack_cost(stack, 1), stack_cost(single, 1)
    print(
        f"{stack}: {a[0]} c², {single}: {b[0]} c², {100 * (b[0] / a[0] - 1):.0f} % more; receptive fields {a[1]}, {b[1]}"
    )

# %% [markdown]
# **But do they do the same?** Leave the ReLU out for a moment. Then two convolutions in a row are linear, and so they are *one* convolution of 5 x 5. Which?
#
# $$z[o, i] = \sum_m \sum_b v[o, m, b] \sum_c \sum_a w[m, c, a]\; x[c, i + a + b] = \sum_c \sum_s \Big( \underbrace{\sum_m \sum_{a + b = s} v[o, m, b]\, w[m, c, a]}_{K[o, c, s]} \Big)\, x[c, i + s] .$$
#
# ($i, a, b, s$ are pairs of numbers; $w$ is the first layer's weight, $v$ the second's, $m$ counts the channels between.) Each product of a first and a second weight lands at the sum of their places. You know this sum from unit 02: it is a *full convolution* of the two kernels, with a true flip, and over the channels it is a matrix product.
#
# **By hand**, in one dimension and one channel: $w = (1, 2)$, $v = (3, 5)$. $K = (1\cdot3,\; 1\cdot5 + 2\cdot3,\; 2 \cdot 5) = (3, 11, 10)$. Like multiplying $(1 + 2t)(3 + 5t) = 3 + 11 t + 10 t^2$. **A stack of linear convolutions is a product of polynomials.**

# %% [markdown]
# ### Exercise: `compose_kernels`
#
# *15 minutes, medium to hard. What it is for: you can tell exactly what a stack without activations can express, and what it cannot. It also merges layers for use, as folding did in unit 08.*
#
# <details><summary>Hint 1: one channel first</summary>
#
# Start with zeros of $(h + h' - 1, w + w' - 1)$. For each place $(i, j)$ of the *second* kernel, the whole first kernel, times `second[i, j]`, is added at an offset. At which?
#
# </details>
# <details><summary>Hint 2: then channels</summary>
#
# At each place of the second kernel stands a matrix `second[:, :, i, j]`, $(C_{out}, C_{mid})$. At each place of the first one stands `first[:, :, a, b]`, $(C_{mid}, C_{in})$. Which product has the shape $(C_{out}, C_{in})$? `torch.einsum("om,mcab->ocab", ...)` does it for all places of the first at once.
#
# </details>


# %% exercise="compose_kernels"
def compose_kernels(first, second):
    """The kernel of one convolution that does what two do: first (M, C, h, w), then second (K, M, kH, kW) -> (K, C, h+kH-1, w+kW-1).

    For all x: F.conv2d(F.conv2d(x, first), second) == F.conv2d(x, result), stride 1, no padding, no biases.
    first and second are float tensors of one dtype.
    """
    ### BEGIN SOLUTION
    h, w = first.shape[2:]
    kH, kW = second.shape[2:]
    result = first.new_zeros(second.shape[0], first.shape[1], h + kH - 1, w + kW - 1)
    for i in range(kH):
        for j in range(kW):
            result[:, :, i : i + h, j : j + w] += torch.einsum(
                "om,mcab->ocab", second[:, :, i, j], first
            )
    return result
    ### END SOLUTION


# %% tests="compose_kernels" part="one_channel" points=1
# (1, 2) and then (3, 5), as a row and as a column
_row = compose_kernels(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 5.0]]]]))
check.close(
    _row, torch.tensor([[[[3.0, 11.0, 10.0]]]]), what="compose_kernels, (1, 2) and then (3, 5)"
)
# A row (1, 2), then a column (3, 5): an outer product
_both = compose_kernels(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0], [5.0]]]]))
check.close(
    _both,
    torch.tensor([[[[3.0, 6.0], [5.0, 10.0]]]]),
    what="compose_kernels, a row and then a column",
)
del _row, _both


### BEGIN HIDDEN TESTS
def _hidden():
    dice = torch.Generator().manual_seed(1010)
    for shape, other in (
        ((3, 3), (3, 3)),
        ((2, 4), (3, 2)),
        ((1, 5), (4, 1)),
        ((3, 3), (1, 1)),
        ((5, 2), (2, 3)),
    ):
        first = torch.randn(1, 1, *shape, generator=dice, dtype=torch.float64)
        second = torch.randn(1, 1, *other, generator=dice, dtype=torch.float64)
        a, b = first[0, 0].numpy(), second[0, 0].numpy()
        size = (shape[0] + other[0] - 1, shape[1] + other[1] - 1)
        expected = np.fft.irfft2(np.fft.rfft2(a, size) * np.fft.rfft2(b, size), size)[None, None]
        before = first.clone(), second.clone()
        what = f"compose_kernels, first (1, 1, {shape[0]}, {shape[1]}), second (1, 1, {other[0]}, {other[1]})"
        check.close(compose_kernels(first, second), expected, what=what)
        check.unchanged(before, (first, second), what="first, second")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="compose_kernels" part="channels" points=2
# Kernels of 1 x 1 are matrices: two channels to three, three to one
_first = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])[:, :, None, None]
_second = torch.tensor([[1.0, 10.0, 100.0]])[:, :, None, None]
check.close(
    compose_kernels(_first, _second),
    torch.tensor([[301.0, 12.0]])[:, :, None, None],
    what="compose_kernels of 1 x 1 kernels",
)
del _first, _second


### BEGIN HIDDEN TESTS
def _hidden():
    dice = torch.Generator().manual_seed(1011)
    for M, C, K, shape, other in (
        (4, 2, 3, (3, 3), (3, 3)),
        (2, 5, 3, (2, 4), (3, 2)),
        (3, 3, 3, (3, 3), (3, 3)),
        (1, 3, 4, (1, 3), (3, 1)),
        (6, 1, 2, (1, 1), (2, 3)),
        (3, 4, 1, (4, 2), (1, 1)),
    ):
        for dtype, rtol in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
            first = torch.randn(M, C, *shape, generator=dice, dtype=torch.float64).to(dtype)
            second = torch.randn(K, M, *other, generator=dice, dtype=torch.float64).to(dtype)
            h, w = shape[0] + other[0] - 1, shape[1] + other[1] - 1
            # its response to single pixels is the kernel, turned round
            x = torch.zeros(C, C, 2 * h - 1, 2 * w - 1, dtype=torch.float64)
            for c in range(C):
                x[c, c, h - 1, w - 1] = 1
            y = F.conv2d(F.conv2d(x, first.double()), second.double())
            expected = y.flip(2, 3).transpose(0, 1)
            what = f"compose_kernels, first {tuple(first.shape)}, second {tuple(second.shape)}, {dtype}"
            got = compose_kernels(first, second)
            check.close(got, expected, what=what, rtol=rtol)
            check.equal(str(got.dtype), str(dtype), what="dtype of the result")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **The subset.** Without a ReLU between them, two 3 x 3 make *some* 5 x 5 kernels. Which can they not make? In one channel, a 5 x 5 kernel has 25 numbers. Two 3 x 3 have 18, and one is wasted: $w$ times 2 and $v$ by 2 is the same product. 17 directions in a space of 25. So nearly every 5 x 5 kernel is out of reach.
#
# **Predict.** Which of these can be reached, exactly: (a) the blur $(1, 4, 6, 4, 1) \otimes (1, 4, 6, 4, 1)$; (b) the mean over 5 x 5, all ones; (c) a diagonal line; (d) an X, both diagonals; (e) random numbers?
#
# To find out, search: hold $w$ and solve for the best $v$ (least squares), hold $v$ and solve for $w$, and so on, from 20 random starts. And let there be $M = 1, 2, 3$ channels in the middle.


# %%
def nearest_stack(target, M, starts=20, rounds=150, seed=0):
    """The stack C=1 -> M -> 1 of two 3x3 kernels nearest to target (5, 5) -> (first, second, share of energy that is missed)."""
    rng, best = np.random.default_rng(seed), (None, None, np.inf)

    def shifted(kernels):
        """(25, 9 M): what each weight of the other layer adds to the composed kernel."""
        columns = np.zeros((5, 5, len(kernels), 3, 3))
        for i in range(3):
            for j in range(3):
                columns[i : i + 3, j : j + 3, :, i, j] = kernels.transpose(1, 2, 0)
        return columns.reshape(25, -1)

    for _ in range(starts):
        one = rng.standard_normal((M, 3, 3))
        for _ in range(rounds):
            two = np.linalg.lstsq(shifted(one), target.ravel(), rcond=1e-10)[0].reshape(M, 3, 3)
            one, two = two / max(np.abs(two).max(), 1e-300), one
        last = np.linalg.lstsq(shifted(one), target.ravel(), rcond=1e-10)[0].reshape(M, 3, 3)
        missed = float(
            ((shifted(one) @ last.ravel() - target.ravel()) ** 2).sum() / (target**2).sum()
        )
        if missed < best[2]:
            best = (one, last, missed)
        if missed < 1e-8:
            break
    return best


binomial = np.array([1.0, 4, 6, 4, 1])
targets = {
    "blur": np.outer(binomial, binomial),
    "mean": np.ones((5, 5)),
    "diagonal": np.eye(5),
    "X": np.maximum(np.eye(5), np.eye(5)[::-1]),
    "random": np.random.default_rng(seed).standard_normal((5, 5)),
}
found = {name: {M: nearest_stack(target, M) for M in (1, 2)} for name, target in targets.items()}
for name, stacks in found.items():
    print(
        f"{name:>9}:", "  ".join(f"M = {M}: {100 * s[2]:8.4f} % missed" for M, s in stacks.items())
    )
composed = {
    name: compose_kernels(torch.tensor(stacks[1][0])[:, None], torch.tensor(stacks[1][1])[None])[
        0, 0
    ].numpy()
    for name, stacks in found.items()
}

# %% figure="reach"
fig, axes = plt.subplots(2, 5, figsize=(6.6, 2.9), layout="constrained")
for column, (name, target) in zip(axes.T, targets.items(), strict=True):
    limit = np.abs(target).max()
    for ax, kernel in zip(column, (target, composed[name]), strict=True):
        ax.imshow(kernel, cmap="PuOr", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    column[0].set_title(name)
    column[1].set_xlabel(f"{100 * found[name][1][2]:.1f} % missed")
axes[0, 0].set_ylabel("wanted 5x5")
axes[1, 0].set_ylabel("two 3x3, linear")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Above, five 5 by 5 kernels: a blur, a mean, a diagonal, an X and random numbers. Below, the nearest that two 3 by 3 kernels make. The first three are exact, the X and the random kernel are not.](figures/reach.png)
#
# (a), (b) and (c) are reached. (d) and (e) are not. A stack is a product of polynomials. The blur is $(1+t)^4 = (1+t)^2 (1+t)^2$ in each direction. And the mean? Every real polynomial of degree 4 splits into two real ones of degree 2. For $1 + t + t^2 + t^3 + t^4$ the factors hold the golden ratio, $\varphi = 1.618$:
#
# $$1 + t + t^2 + t^3 + t^4 = (1 + \varphi\, t + t^2)\,(1 - \tfrac1\varphi\, t + t^2), \qquad \varphi - \tfrac1\varphi = 1 .$$
#
# So every 5 x 5 kernel that is *separable* (a column times a row) is a stack of two 3 x 3. The diagonal is the same polynomial in $t = t_1 t_2$. In two variables most polynomials do not split at all, and that is (d) and (e).
#
# **And with two channels in the middle every kernel here is reached**, exactly. $2 \cdot 18 = 36$ numbers, of which $2^2 = 4$ are wasted (any invertible mixing of the middle channels can be undone), leave 32 directions for a space of 25.
#
# </details>

# %%
phi = (1 + 5**0.5) / 2
check.close(
    np.convolve([1, phi, 1], [1, -1 / phi, 1]),
    np.ones(5),
    what="the mean of five as two kernels of three",
)
for name in ("blur", "mean", "diagonal"):
    assert found[name][1][2] < 1e-4
for name in ("X", "random"):
    assert found[name][1][2] > 0.01
assert all(stacks[2][2] < 1e-4 for stacks in found.values())
for name, stacks in found.items():  # compose_kernels and the search agree
    missed = ((composed[name] - targets[name]) ** 2).sum() / (targets[name] ** 2).sum()
    assert abs(missed - stacks[1][2]) < 1e-6

# %% [markdown]
# So "two 3 x 3 are a cheaper 5 x 5" is not quite true. *Linear*, at equal width, they are less: a regularised 5 x 5, as the paper says itself. What the ReLU between them adds is another question. It needs an experiment with controls:
#
# | network's block, 18 channels in and out | parameters | receptive field | ReLUs |
# |---|---|---|---|
# | one 5x5 | 8,100 | 5 | 1 |
# | 3x3 to 25 channels, ReLU, 3x3 | 8,100 | 5 | 2 |
# | 3x3 to 25 channels, *no* ReLU, 3x3 | 8,100 | 5 | 1 |
#
# All have equal parameters (with 25 channels in the middle), equal receptive field and equal work. Only what is asked about differs. The last two differ in one ReLU.
#
# As in part 5, each gets the same five learning rates with seed 100, judged on pictures that are used for nothing else; the best goes on to three new seeds and the test pictures.
#
# **Predict** an order of the three in test accuracy on CIFAR-10, after 8 epochs over 1,000 pictures, and say how large you think the differences are.


# %%
class Blocks(nn.Module):
    """A first convolution, then twice: a block, ReLU, pooling 2/2; a dense layer. For 16 x 16 pictures."""

    def __init__(self, middle, between, in_channels=3, width=18):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(2):
            if middle is None:
                block = [nn.Conv2d(width, width, 5, padding=2, bias=False)]
            else:
                block = [nn.Conv2d(width, middle, 3, padding=1, bias=False)]
                block += [nn.ReLU()] if between else []
                block += [nn.Conv2d(middle, width, 3, padding=1, bias=False)]
            self.blocks.append(nn.Sequential(*block))
            for i, conv in enumerate(m for m in block if isinstance(m, nn.Conv2d)):
                gain = 1 if middle and i == 0 and not between else 2  # 1: no ReLU behind it
                nn.init.normal_(conv.weight, 0, (gain / conv.weight[0].numel()) ** 0.5)
        self.last = nn.Linear(width * 16, 10)

    def forward(self, x):
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = F.max_pool2d(F.relu(block(x)), 2)
        return self.last(x.flatten(1))


variants = {
    "one 5x5": (None, False),
    "3x3, ReLU, 3x3": (25, True),
    "3x3, no ReLU, 3x3": (25, False),
}


STACK_RATES = (0.00125, 0.0025, 0.005, 0.01, 0.02)  # the same five for each variant


def trained_blocks(name, lr, seed, x, y, *tests):
    """Accuracies (%) of one variant after 8 epochs of Adam: on what it was trained on, and on each of the tests."""
    middle, between = variants[name]
    torch.manual_seed(seed)
    net = Blocks(middle, between, x.shape[1]).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8 * -(-len(x) // 50))
    train(net, x, y, optimizer, epochs=8, batch_size=50, scheduler=falling, seed=seed)
    return [100 * evaluate(net, *some)[1] for some in ((x, y), *tests)]


def stack_rates(seed):
    """Accuracy (%) of each variant at each rate, on 2,000 pictures that are used for nothing else."""
    x, y = small_cifar("train", 0, 1000)
    other = small_cifar("train", 8000, 10000)
    return {
        name: {str(r): trained_blocks(name, r, seed, x, y, other)[1] for r in STACK_RATES}
        for name in variants
    }


stacks_tried = again_or_stored(
    "stack_rates", stack_rates, [100], f"{CIFAR}, 1,000 pictures, tried on 2,000 others"
)
stack_rate = {name: best_rate(stacks_tried.rows[0][name], max) for name in variants}


def stacks_on_cifar(seed):
    """Training and test accuracy (%) of each variant, each at the rate that was best for it with seed 100."""
    x, y = small_cifar("train", 0, 1000)
    test = small_cifar("test", 0, 4000)
    found = {}
    for name in variants:
        accuracies = trained_blocks(name, stack_rate[name], seed, x, y, test)
        found[name] = dict(zip(("train", "test"), accuracies, strict=True))
    return found


stacks = again_or_stored(
    "stacks_on_cifar", stacks_on_cifar, range(10, 13), f"{CIFAR}, 1,000 pictures, test on 4,000"
)
for name in variants:
    print(
        f"{name:>30}, rate {stack_rate[name]:g}:",
        *(
            f"{part} {np.round([row[part] for row in stacks.column(name)], 1)} %"
            for part in ("train", "test")
        ),
    )
print(stacks)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# Test accuracy in per cent, 3 new seeds, CPU, 4,000 pictures of CIFAR-10 (decoded from JPEG): one 5x5 37.8, 38.6, 38.6; 3x3, ReLU, 3x3 36.8, 37.5, 36.1; 3x3, no ReLU, 3x3 38.8, 38.6, 40.0. The best rate was 0.0025 for all three, inside of the list. On the training pictures they reach 58, 53 and 58 % on average.
#
# So here the ReLU between **costs** one to two points, with each seed, and the stack without it is no worse than the 5x5. It does not overfit: it is behind on the pictures that it learned from, too. It is the one that is hardest to train, and eight epochs over 1,000 pictures are short. What it can express more, it has no time and no data to use.
#
# The paper has the opposite at its size (section 4.1): B with each pair of 3x3 replaced by one 5x5 has a top-1 error 7 % higher. That is the advice that the field took, and depth, ReLUs and parameters change together in it; there is no stack *without* the ReLU beside it. Two things to keep: more ReLUs are an *ability*, not a gift; and a claim about one layer's worth belongs to a size, a budget and a control.
#
# </details>

# %%
accuracy = {
    name: {part: np.array([row[part] for row in stacks.column(name)]) for part in ("train", "test")}
    for name in variants
}
one_5x5, with_relu, without = (accuracy[name] for name in variants)
assert all(with_relu["test"] < one_5x5["test"])
assert all(with_relu["test"] < without["test"])
assert without["test"].mean() >= one_5x5["test"].mean()
if profile == "quick":  # as stored
    assert np.abs(one_5x5["test"] - [37.8, 38.6, 38.6]).max() < 0.06
    assert np.abs(with_relu["test"] - [36.8, 37.5, 36.1]).max() < 0.06
    assert np.abs(without["test"] - [38.8, 38.6, 40.0]).max() < 0.06
    assert [round(a["train"].mean()) for a in accuracy.values()] == [58, 53, 58]
    assert set(stack_rate.values()) == {0.0025}

# %% [markdown]
# ## 8. VGG: one table
#
# **The problem.** AlexNet and ZFNet have filters of 11, 7, 5 and 3, strides of 4, 2 and 1. Which of these choices matter? Simonyan and Zisserman (2014) fixed them all, to change one thing: **depth**. Each convolution is 3 x 3, stride 1, padding 1. Each pooling is 2/2. A stage has equal sizes; behind each stage the size halves, and the filters double, until 512. Then the same three dense layers as ever. No LRN: it "does not improve the performance" (section 2.1; table 3 has the network A with it and without).
#
# So a network of the family is told by five numbers, the convolutions in each stage:
#
# | VGG | depth | stage 1 (64) | 2 (128) | 3 (256) | 4 (512) | 5 (512) | parameters |
# |---|---|---|---|---|---|---|---|
# | A | 11 | 1 | 1 | 2 | 2 | 2 | 132,863,336 |
# | B | 13 | 2 | 2 | 2 | 2 | 2 | 133,047,848 |
# | D | 16 | 2 | 2 | 3 | 3 | 3 | 138,357,544 |
# | E | 19 | 2 | 2 | 4 | 4 | 4 | 143,667,240 |
#
# (C is D with 1 x 1 in three places; D is better.) Behind stage 5: adaptive average pooling to 7 x 7 (torchvision's; it does nothing at 224), flatten, then
#
# | layer | outputs |
# |---|---|
# | dense, ReLU, dropout | `hidden` |
# | dense, ReLU, dropout | `hidden` |
# | dense | `num_classes` |
#
# Two arguments make the family fit on a laptop: `width` is the number of filters in stage 1 (64 in the paper; the stages have 1, 2, 4, 8, 8 times as many), and `hidden`. And one more is from later: with `batch_norm=True` there is a batch norm between each convolution and its ReLU (the convolutions keep their biases, as torchvision's do, although unit 08 knows better).
#
# ### Exercise: `VGG`
#
# *25 minutes, medium. What it is for: you see the pattern, and write the table in place of four networks. And VGG's features are still what style transfer (unit 18) uses.*
#
# Five parts: the counts of all depths, the shapes of each layer, what is computed, batch norm, and the two modes.
#
# <details><summary>Hint 1: the table in code</summary>
#
# A dict from depth to five numbers. Two loops: over the stages, and over the convolutions of a stage. What must you carry from one convolution to the next?
#
# </details>
# <details><summary>Hint 2: the filters of a stage</summary>
#
# `width * 2 ** stage` doubles for ever. Stage 5 has as many as stage 4.
#
# </details>
# <details><summary>Hint 3: the first dense layer</summary>
#
# It takes $8 \cdot$ `width` $\cdot 7 \cdot 7$ numbers: 25,088 at full width. How large the picture is does not matter. Why?
#
# </details>


# %% exercise="VGG"
class VGG(nn.Module):
    """VGG(11), VGG(13), VGG(16), VGG(19): x (N, in_channels, H, W), H and W at least 32 -> (N, num_classes).

    Simonyan and Zisserman 2014 (arXiv:1409.1556), table 1, columns A, B, D, E. width: filters of stage 1;
    hidden: width of the two hidden dense layers; batch_norm: after each convolution, before its ReLU.
    """

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
        ### BEGIN SOLUTION
        super().__init__()
        convolutions = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }
        layers, channels = [], in_channels
        for number, times in zip(convolutions[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(number):
                layers.append(nn.Conv2d(channels, width * times, 3, padding=1))
                channels = width * times
                if batch_norm:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.classifier(self.features(x).flatten(1))
        ### END SOLUTION


# %% tests="VGG" part="counts" points=1
@check.remote
def _count(make, *args, **kwargs):
    with torch.device("meta"):
        return sum(p.numel() for p in make(*args, **kwargs).parameters())


check.equal(_count(VGG, 11), 132863336, what="parameters of VGG(11)")
check.equal(_count(VGG, 16), 138357544, what="parameters of VGG(16)")
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def count(make, *args, **kwargs):
        with torch.device(type="meta"):
            tensors = make(*args, **kwargs).parameters()
        return sum(one.numel() for one in tensors)

    for depth, expected in ((11, 132863336), (13, 133047848), (16, 138357544), (19, 143667240)):
        check.equal(count(VGG, depth), expected, what=f"parameters of VGG({depth})")
        # 10 classes in place of 1,000, one channel in place of three
        fewer = expected - 990 * 4097 - 2 * 64 * 9
        what = f"parameters of VGG({depth}, num_classes=10, in_channels=1)"
        check.equal(count(VGG, depth, num_classes=10, in_channels=1), fewer, what=what)
    for depth, width, hidden in ((11, 8, 32), (13, 5, 7), (16, 12, 100), (19, 3, 4096)):
        stages = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }[depth]
        expected, channels = 0, 2
        for number, filters in zip(stages, [width * n for n in (1, 2, 4, 8, 8)], strict=True):
            for _ in range(number):
                expected += filters * (9 * channels + 1)
                channels = filters
        expected += hidden * (49 * channels + 1) + hidden * (hidden + 1) + 6 * (hidden + 1)
        what = f"parameters of VGG({depth}, 6, 2, width={width}, hidden={hidden})"
        check.equal(count(VGG, depth, 6, 2, width=width, hidden=hidden), expected, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="VGG" part="shapes" points=1
@check.remote
def _sizes(make, x, *args, **kwargs):
    """Shapes (without N) of what Conv2d and Linear give, in the order in which they run, on the meta device."""
    shapes = []
    with torch.device("meta"):
        net = make(*args, **kwargs)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    net(torch.zeros(x, device="meta"))
    return shapes


_shapes = _sizes(VGG, (1, 3, 224, 224), 13)
check.equal(len(_shapes), 13, what="VGG(13), number of layers with weights")
check.equal(_shapes[1], (64, 224, 224), what="VGG(13), shape after the second convolution")
check.equal(_shapes[2], (128, 112, 112), what="VGG(13), shape after the third convolution")
check.equal(_shapes[9], (512, 14, 14), what="VGG(13), shape after the last convolution")
del _sizes, _shapes


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def sizes(make, x, depth, num_classes, batch_norm, width, hidden):
        shapes = []
        with torch.device(type="meta"):
            net = make(depth, num_classes, x[1], batch_norm, width, hidden)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
        y = net(torch.zeros(x, device="meta"))
        return shapes, tuple(y.shape)

    for depth, x, classes, norm, width, hidden in (
        (11, (2, 3, 224, 224), 1000, False, 64, 4096),
        (13, (1, 1, 32, 64), 10, False, 16, 30),
        (16, (3, 4, 100, 47), 7, False, 6, 20),
        (16, (2, 3, 64, 64), 5, True, 8, 16),
        (19, (1, 3, 256, 320), 3, False, 64, 256),
    ):
        stages = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }[depth]
        H, W, table = x[2], x[3], []
        for number, filters in zip(stages, [width * n for n in (1, 2, 4, 8, 8)], strict=True):
            table += [(x[0], filters, H, W)] * (number * (2 if norm else 1))
            H, W = H // 2, W // 2
        table += [(x[0], hidden), (x[0], hidden), (x[0], classes)]
        shapes, scores = sizes(VGG, x, depth, classes, norm, width, hidden)
        what = f"VGG({depth}, {classes}, {x[1]}, {norm}, {width}, {hidden}), x {x}"
        check.equal(shapes, table, what=f"{what}, shapes layer by layer")
        check.equal(scores, (x[0], classes), what=f"{what}, shape of the result")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="VGG" part="wiring" points=2
# All weights 0 and all biases -1: the scores are the last layer's biases, and nothing is done to them
_net = VGG(11, 4, 1, width=2, hidden=8).eval()
with torch.no_grad():
    for _p in _net.parameters():
        _p.fill_(-float(_p.dim() == 1))
check.close(
    _net(torch.ones(2, 1, 32, 32)).detach(),
    -torch.ones(2, 4),
    what="VGG(11), all weights 0, all biases -1",
)
del _net, _p


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, args, kwargs):
        """Every parameter is filled by one rule, whatever its name."""
        torch.manual_seed(6)
        net = make(*args, **kwargs).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 10
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
            return net(x)

    dice = torch.Generator().manual_seed(1012)
    for depth, shape, classes, width, hidden in (
        (11, (2, 3, 32, 32), 5, 4, 9),
        (13, (1, 2, 70, 101), 3, 3, 8),
        (16, (2, 1, 64, 32), 4, 4, 11),
        (19, (1, 3, 33, 65), 2, 3, 7),
        (16, (1, 3, 224, 230), 3, 2, 6),
    ):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = torch.randn(shape, generator=dice, dtype=torch.float64)

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 10
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        stages = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }[depth]
        h, channels = x, shape[1]
        for number, filters in zip(stages, [width * n for n in (1, 2, 4, 8, 8)], strict=True):
            for _ in range(number):
                h = F.relu(F.conv2d(h, w(filters, channels, 3, 3), w(filters), padding=1))
                channels = filters
            h = F.max_pool2d(h, 2)
        h = F.adaptive_avg_pool2d(h, 7).flatten(1)
        h = F.relu(F.linear(h, w(hidden, 49 * channels), w(hidden)))
        h = F.relu(F.linear(h, w(hidden, hidden), w(hidden)))
        expected = F.linear(h, w(classes, hidden), w(classes))
        before = x.clone()
        got = run(VGG, values, x, (depth, classes, shape[1]), {"width": width, "hidden": hidden})
        check.close(
            got, expected, what=f"VGG({depth}), x {shape}, width={width}, eval()", rtol=1e-8
        )
        check.unchanged(before, x, what="x")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="VGG" part="batch_norm" points=1
# One batch norm for each of the eight convolutions of VGG(11): 2 parameters a channel more, 2,752 channels
@check.remote
def _count(make, *args, **kwargs):
    with torch.device("meta"):
        return sum(p.numel() for p in make(*args, **kwargs).parameters())


check.equal(
    _count(VGG, 11, batch_norm=True), 132868840, what="parameters of VGG(11, batch_norm=True)"
)
del _count


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def run(make, values, x, args, kwargs):
        """Filled by one rule; running statistics too. eval(), and the maps that the dense part gets in train()."""
        torch.manual_seed(6)
        net = make(*args, batch_norm=True, **kwargs).double().eval()
        with torch.no_grad():
            for p in net.parameters():
                fan = p[0].numel() if p.dim() > 1 else 1
                many = values.repeat(p.numel() // len(values) + 1)[: p.numel()]
                p.copy_(many.view(p.shape) * (2 / fan) ** 0.5)
            for layer in net.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.running_mean.copy_(values[: layer.num_features] / 3)
                    layer.running_var.copy_(values[: layer.num_features].abs() + 0.5)
            quiet = net(x)
            seen = []
            for layer in net.modules():
                if isinstance(layer, nn.Linear):
                    layer.register_forward_hook(lambda m, i, o: seen.append(i[0]))
            net.train()
            net(x)
        return quiet, seen[0]

    dice = torch.Generator().manual_seed(1013)
    for depth, shape, classes, width, hidden in (
        (11, (3, 3, 64, 64), 5, 4, 9),
        (16, (4, 2, 70, 101), 3, 3, 8),
    ):
        values = torch.randn(509, generator=dice, dtype=torch.float64)
        values -= values.mean()  # or else all ReLUs of a layer may be dead
        x = torch.randn(shape, generator=dice, dtype=torch.float64)

        def w(*shape, values=values):
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
            numel = int(np.prod(shape))
            return values.repeat(numel // 509 + 1)[:numel].view(shape) * (2 / fan) ** 0.5

        def maps(h, training, stages, width, w=w, values=values):
            channels = h.shape[1]
            for number, filters in zip(stages, [width * n for n in (1, 2, 4, 8, 8)], strict=True):
                for _ in range(number):
                    h = F.conv2d(h, w(filters, channels, 3, 3), w(filters), padding=1)
                    mean, var = values[:filters] / 3, values[:filters].abs() + 0.5
                    h = F.relu(
                        F.batch_norm(h, mean.clone(), var.clone(), w(filters), w(filters), training)
                    )
                    channels = filters
                h = F.max_pool2d(h, 2)
            return F.adaptive_avg_pool2d(h, 7).flatten(1)

        stages = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}[depth]
        h = maps(x, False, stages, width)
        h = F.relu(F.linear(h, w(hidden, 49 * 8 * width), w(hidden)))
        h = F.relu(F.linear(h, w(hidden, hidden), w(hidden)))
        expected = F.linear(h, w(classes, hidden), w(classes))
        in_training = maps(x, True, stages, width)
        quiet, loud = run(
            VGG, values, x, (depth, classes, shape[1]), {"width": width, "hidden": hidden}
        )
        what = f"VGG({depth}, batch_norm=True), x {shape}, width={width}"
        check.close(quiet, expected, what=f"{what}, eval()", rtol=1e-7)
        check.close(
            loud, in_training, what=f"{what}, input of the dense layers in train()", rtol=1e-7
        )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="VGG" part="modes" points=1
# In eval() the answer is always the same; in train() it is not
@check.remote
def _twice(make, x, training, *args, **kwargs):
    """Two answers to one picture, in train() or in eval()."""
    torch.manual_seed(3)
    net = make(*args, **kwargs).train(training)
    return net(x).detach(), net(x).detach()


_x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(3))
_one, _two = _twice(VGG, _x, False, 11, 4, 1, width=4, hidden=64)
check.close(_one, _two, what="VGG in eval(), twice the same picture")
_one, _two = _twice(VGG, _x, True, 11, 4, 1, width=4, hidden=64)
check.equal(
    bool((_one == _two).all()),
    False,
    what="VGG in train(): two answers to one picture are equal",
)
del _twice, _x, _one, _two


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def inputs(make, x, depth, norm, seed):
        """What goes into each dense layer, in eval() and in train(); parameters without gradient."""
        torch.manual_seed(seed)
        net = make(depth, 5, x.shape[1], norm, 4, 1500).to(x.dtype)
        with torch.no_grad():
            for p in net.parameters():
                if p.dim() == 1:
                    p.add_(0.5)
        seen = []
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda m, i, o: seen.append(i[0].detach().flatten()))
        net.eval()
        same = torch.equal(net(x), net(x))
        alone = net(x[:1]).detach(), net(x).detach()[:1]
        quiet = seen[-3:]
        net.train()
        y = net(x)
        loud = seen[-3:]
        y.pow(2).sum().backward()
        return quiet, loud, same, sum(p.grad is None for p in net.parameters()), alone, y.dtype

    dice = torch.Generator().manual_seed(1014)
    for dtype, shape, depth, norm in (
        (torch.float32, (2, 3, 64, 40), 13, False),
        (torch.float64, (3, 2, 36, 33), 16, False),
        (torch.float64, (4, 1, 64, 64), 11, True),
    ):
        x = torch.rand(shape, generator=dice, dtype=dtype)
        what = f"VGG({depth}, batch_norm={norm}), x {shape}"
        quiet, loud, same, none, alone, kind = inputs(VGG, x, depth, norm, 9)
        check.equal(same, True, what=f"{what}, eval() gives one answer to one picture")
        check.equal(none, 0, what=f"{what}, parameters without gradient")
        check.equal(str(kind), str(dtype), what=f"{what}, dtype of the scores")
        check.close(
            alone[0], alone[1], what=f"{what}, an example alone or in a batch", rtol=1e-3, atol=1e-4
        )
        if norm:
            continue  # in train() the batch is measured, and dropout is not all that differs
        check.close(
            loud[0],
            quiet[0],
            what=f"{what}, the first dense layer's input, train() against eval()",
            rtol=1e-3,
        )
        alive = quiet[1] > 0
        gone = float((loud[1][alive] == 0).double().mean())
        check.equal(
            0.4 < gone < 0.6,
            True,
            what=f"{what}, half of the first dense layer's output is dropped in train()",
        )
        left = alive & (loud[1] != 0)
        check.close(
            loud[1][left],
            2 * quiet[1][left],
            what=f"{what}, what is not dropped is doubled",
            rtol=1e-3,
        )
        zeros = [float((some[2] == 0).double().mean()) for some in (quiet, loud)]
        share = (zeros[1] - zeros[0]) / (1 - zeros[0])
        check.equal(
            share > 0.2, True, what=f"{what}, the second dense layer's output is dropped in train()"
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Predict.** VGG-16 against AlexNet: how many times the parameters, how many times the work? From 16 to 19 layers: how much of each is added?

# %%
vgg = {}
with torch.device("meta"):
    for depth in (11, 13, 16, 19):
        vgg[depth] = layer_table(VGG(depth), torch.zeros(1, 3, 224, 224))
        weights, work = (
            sum(r.parameters for r in vgg[depth]),
            sum(r.multiply_adds for r in vgg[depth]),
        )
        print(
            f"VGG-{depth}: {weights / 1e6:.1f} M parameters, {work / 1e9:.2f} G multiply-adds;",
            "dense layers hold {:.0f} %, convolutions do {:.0f} %".format(*shares(vgg[depth])),
        )
weighty = [row for row in vgg[16] if row.multiply_adds]
kept = [int(np.prod(row.shape)) for row in weighty]  # the third price
print(
    f"VGG-16, outputs of its layers with weights: {sum(kept) / 1e6:.1f} M numbers for a picture,",
    f"{4 * sum(kept) / 1e6:.0f} MB; {100 * sum(kept[:2]) / sum(kept):.0f} % of them are the first two layers'",
)

# %% figure="vgg_stages"
fig, ax = plt.subplots(figsize=(7.2, 3), layout="constrained")
draw_stages(vgg[16], ax)
ax.set_title("VGG-16")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![VGG-16 as thirteen blocks in five stages with poolings between, from 224 to 7 pixels high, and three thin bars for dense layers. Below, the parameters: 74 percent under the first dense layer. The multiply-adds spread evenly over the convolutions.](figures/vgg_stages.png)
#
# VGG-16 has 2.3 times AlexNet's parameters and 22 times its work. The dense layers hold 89 % of the parameters, the first one alone 74 %; the convolutions do 99 % of the work. And look how evenly: when the size halves, a layer has a quarter of the places, and with twice the channels on both sides four times the products for each. **Halve the size, double the channels: the work stays.** Every network of the next units keeps this rule. (Stage 5 halves the size and keeps its 512 channels: a quarter of the work.)
#
# The third price, memory, stands at the other end: 47 % of the 13.6 million numbers that must be kept for a picture are the maps of the first two layers, which hold 0.03 % of the parameters. A batch of 256 needs 14 GB for these outputs alone. So VGG was trained on four GPUs, each with its own part of the batch.
#
# From 16 to 19: three more convolutions, 4 % more parameters, 27 % more work.
#
# </details>

# %%
total = {d: (sum(r.parameters for r in t), sum(r.multiply_adds for r in t)) for d, t in vgg.items()}
of_alexnet = sum(r.parameters for r in one_column), sum(r.multiply_adds for r in one_column)
assert round(total[16][0] / of_alexnet[0], 1) == 2.3
assert round(total[16][1] / of_alexnet[1]) == 22
assert [round(s) for s in shares(vgg[16])] == [89, 99]
assert round(100 * max(r.parameters for r in vgg[16]) / total[16][0]) == 74
assert [round(sum(kept) / 1e6, 1), round(100 * sum(kept[:2]) / sum(kept))] == [13.6, 47]
assert round(256 * 4 * sum(kept) / 1e9) == 14
assert round(100 * sum(r.parameters for r in weighty[:2]) / total[16][0], 2) == 0.03
assert round(100 * (total[19][0] / total[16][0] - 1)) == 4
assert round(100 * (total[19][1] / total[16][1] - 1)) == 27
by_hand = [
    conv_cost(64, 64, 3, (224, 224)),
    conv_cost(128, 128, 3, (112, 112)),
    conv_cost(256, 256, 3, (56, 56)),
]
assert (
    len({cost[1] for cost in by_hand}) == 1
)  # the second convolutions of stages 1, 2, 3: equal work

# %% [markdown] manual="dense" points=2
# **Question (2 points, 8 minutes).** (a) Your VGG takes pictures of any size from 32 x 32 on, and the number of parameters does not change. At 448 x 448, which layers do more work, by which factor, and which do the same? (b) Somebody replaces everything between the last pooling and the scores by one average over all places and one dense layer from 512 to 1,000. How many parameters has VGG-16 then? What does the network lose that the 7 x 7 x 512 layer could do?
#
# ### BEGIN SOLUTION
# (a) Each convolution's output has four times the places, so four times the work, with the same weights. The adaptive pooling brings 14 x 14 to 7 x 7. The dense layers get 25,088 numbers as before, and do the same work. (1 point.)
#
# (b) The convolutions hold 14,714,688; the new layer has 513,000. Together 15,227,688, a ninth. It loses the knowledge of *where*: the big dense layer has a weight of its own for each channel at each of the 49 places ("sky above, grass below"); an average over the places treats them alike. (1 point. Unit 11's GoogLeNet does this, and loses nothing in accuracy: at that depth, where hardly matters, and 100 million weights fewer overfit less.)
# ### END SOLUTION

# %%
convolutions = sum(r.parameters for r in vgg[16] if r.kind == "Conv2d")
assert (convolutions, 512 * 1000 + 1000) == (14714688, 513000)

# %% [markdown]
# ## 9. How to get sixteen layers started
#
# Back to part 1. Sixteen layers, weights from N(0, 0.01²): nothing. Why? Unit 07 tells: a ReLU layer with $n$ inputs per filter multiplies the typical size of a signal by $\sigma \sqrt{n/2}$. It should be 1. For VGG's convolutions $n = 9\,C_{in}$. He and others (2015, section 2.2) did this sum for VGG-B, with $\sigma = 0.01$:

# %%
with torch.device("meta"):
    convs = [m for m in VGG(13).modules() if isinstance(m, nn.Conv2d)]
forward = [0.01 * (m.weight[0].numel() / 2) ** 0.5 for m in convs]
backward = [0.01 * (m.out_channels * 9 / 2) ** 0.5 for m in convs]
print("a signal, layer by layer, is multiplied by", np.round(forward, 2))
print(f"after ten convolutions: one part in {1 / np.prod(forward):.1e}")
print(f"a gradient, from convolution 10 to 2: one part in {1 / np.prod(backward[1:10]):.1e}")
assert np.prod(forward) < 1e-6
assert round(1 / np.prod(backward[1:10]), -3) == 17_000  # He et al. print 1.7 * 10^4

# %% [markdown]
# Ten convolutions turn a signal of size 1 into less than a millionth, and the gradient on its way back is divided by 17,000. Your deep network of part 1 had fewer filters, so for it the same $\sigma$ is even worse.
#
# **VGG's way out** (section 3.1): train the shallow network A first, which starts from random weights. Then let the deeper ones begin with *its* weights: "the first four convolutional layers and the last three fully-connected layers", the rest random. After the paper was submitted they "found that it is possible to initialise the weights without pre-training by using the random initialisation procedure of Glorot & Bengio (2010)". It says so in the same section.
#
# **A puzzle.** A's first four convolutions go $3 \to 64 \to 128 \to 256 \to 256$. B's go $3 \to 64 \to 64 \to 128 \to 128$. The shapes do not fit one to one, and the paper does not say which layer goes where. What makes sense: go through the deep network, and let the next of A's layers wait until a place with its shape comes. A's second layer, $64 \to 128$, passes by B's second ($64 \to 64$) and lands on B's third.

# %% [markdown]
# ### Exercise: `grow`
#
# *15 minutes, medium. What it is for: starting a network from another's weights. In unit 14 you do it with weights from ImageNet.*
#
# <details><summary>Hint 1: who is where?</summary>
#
# `[m for m in net.modules() if isinstance(m, nn.Conv2d)]` lists the convolutions in the order in which they were made. In your VGG it is the order in which they run.
#
# </details>
# <details><summary>Hint 2: waiting</summary>
#
# One counter for the shallow network's convolutions. It moves on only when a place was found. What do you compare: the weights' shapes.
#
# </details>
# <details><summary>Hint 3: copy, do not share</summary>
#
# `deep_layer.weight = shallow_layer.weight` makes both networks hold the *same* tensor: train one, and you train the other. `deep_layer.load_state_dict(shallow_layer.state_dict())` copies the numbers, weight and bias.
#
# </details>


# %% exercise="grow"
def grow(deep, shallow, convolutions=4):
    """Start deep from the trained network shallow (Simonyan and Zisserman 2014, section 3.1) -> deep, changed in place.

    The first `convolutions` nn.Conv2d of shallow are copied, weight and bias, in their order: each to the next
    nn.Conv2d of deep, behind the last one used, whose weight has the same shape. One that finds no place keeps those
    behind it waiting: they are not copied either. The last three nn.Linear of shallow are copied to the last three of
    deep (their shapes agree). All these layers have biases. All else in deep stays as it is, and so does shallow.
    """
    ### BEGIN SOLUTION

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            place.load_state_dict(waiting.pop(0).state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep
    ### END SOLUTION


# %% tests="grow" part="convolutions" points=1
@check.remote
def _sources(grow, shallow, deep, **kwargs):
    """Which convolution of shallow (from 0) each one of deep equals afterwards; None for its own weights. Channels are given."""

    def net(channels):
        convs = [nn.Conv2d(channels[i], channels[i + 1], 3) for i in range(len(channels) - 1)]
        return nn.Sequential(*convs, nn.Linear(7, 6), nn.Linear(6, 5), nn.Linear(5, 4))

    big, small = net(deep), net(shallow)
    grow(big, small, **kwargs)
    convs = [[m for m in some.modules() if isinstance(m, nn.Conv2d)] for some in (big, small)]
    return [
        next(
            (
                i
                for i, b in enumerate(convs[1])
                if a.weight.shape == b.weight.shape and torch.equal(a.weight, b.weight)
            ),
            None,
        )
        for a in convs[0]
    ]


# A into B, with a tenth of the filters: a second convolution 6 -> 6 stands in between
check.equal(
    _sources(grow, (3, 6, 12, 25, 25, 51), (3, 6, 6, 12, 12, 25, 25, 51)),
    [0, None, 1, None, 2, 3, None],
    what="grow: which convolution of the shallow network each one of the deep network holds",
)
del _sources


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def sources(grow, shallow, deep, kernels, kwargs):
        """(weight, bias) sources of each convolution of deep; was shallow changed; is anything shared; what came back."""

        def net(channels, sizes):
            convs = [
                nn.Conv2d(channels[i], channels[i + 1], sizes[i]) for i in range(len(channels) - 1)
            ]
            inner = nn.Sequential(*convs[1:], nn.ReLU())
            dense = [nn.Dropout(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5), nn.Linear(5, 4)]
            return nn.Sequential(convs[0], nn.ReLU(), inner, nn.Flatten(), nn.Sequential(*dense))

        big, small = net(deep, kernels[1]), net(shallow, kernels[0])
        start = {k: v.clone() for k, v in big.state_dict().items()}
        before = {k: v.clone() for k, v in small.state_dict().items()}
        back = grow(big, small, **kwargs)
        kept = all(torch.equal(v, before[k]) for k, v in small.state_dict().items())
        own = {p.data_ptr() for p in small.parameters()}
        shared = any(p.data_ptr() in own for p in big.parameters())
        convs = [
            [one for one in some.modules() if isinstance(one, nn.Conv2d)] for some in (big, small)
        ]
        names = [n for n, m in big.named_modules() if isinstance(m, nn.Conv2d)]
        result = []
        for name, a in zip(names, convs[0], strict=True):
            for part in ("weight", "bias"):
                mine = getattr(a, part)
                found = [i for i, b in enumerate(convs[1]) if torch.equal(mine, getattr(b, part))]
                same = torch.equal(mine, start[f"{name}.{part}"])
                result.append("own" if same else found[0] if found else "new")
        return result, kept, shared, back is big, all(p.requires_grad for p in big.parameters())

    for shallow, deep, kernels, kwargs, expected in (
        (
            (3, 6, 12, 25, 25, 51),
            (3, 6, 6, 12, 12, 25, 25, 51),
            ((3,) * 9,) * 2,
            {},
            [0, "own", 1, "own", 2, 3, "own"],
        ),
        (
            (3, 4, 4, 8, 8, 8, 8),
            (3, 4, 4, 4, 8, 8, 8, 8),
            ((3,) * 9,) * 2,
            {},
            [0, 1, "own", 2, 3, "own", "own"],
        ),
        ((1, 5, 5, 5), (1, 5, 5, 5, 5), ((3,) * 9,) * 2, {"convolutions": 2}, [0, 1, "own", "own"]),
        (
            (2, 4, 8, 4),
            (2, 4, 4, 4, 8, 8, 4),
            ((3,) * 9,) * 2,
            {"convolutions": 3},
            [0, "own", "own", 1, "own", 2],
        ),
        ((2, 4, 4, 4), (2, 4, 4, 4), ((3, 1, 3), (3, 3, 1)), {"convolutions": 3}, [0, "own", 1]),
        ((3, 6, 12), (3, 6, 6, 12, 12), ((3,) * 9,) * 2, {}, [0, "own", 1, "own"]),
        ((2, 9, 4, 6), (2, 4, 4, 6), ((3,) * 9,) * 2, {}, ["own", "own", "own"]),
    ):
        result, kept, shared, back, trains = sources(grow, shallow, deep, kernels, kwargs)
        what = f"grow, shallow {shallow}, deep {deep}, kernels {kernels[0][:3]} and {kernels[1][:3]}, {kwargs}"
        check.equal(result[::2], expected, what=f"{what}: sources of the weights")
        check.equal(result[1::2], expected, what=f"{what}: sources of the biases")
        check.equal(kept, True, what=f"{what}: shallow is as it was")
        check.equal(shared, False, what=f"{what}: the two networks share a tensor")
        check.equal(back, True, what=f"{what}: the deep network comes back")
        check.equal(trains, True, what=f"{what}: all parameters of deep can be trained")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="grow" part="dense" points=1
# The three dense layers are copied, weight and bias
@check.remote
def _dense(grow):
    """How many of the six tensors of the dense layers are equal, before and after."""

    def net():
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(7, 6), nn.Linear(6, 5), nn.Linear(5, 4))

    big, small = net(), net()

    def equal():
        pairs = zip(list(big.parameters())[2:], list(small.parameters())[2:], strict=True)
        return sum(torch.equal(a, b) for a, b in pairs)

    before = equal()
    grow(big, small)
    return before, equal()


check.equal(_dense(grow), (0, 6), what="grow: equal tensors of the dense layers, before and after")
del _dense


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def dense(grow, more_deep, more_shallow):
        """Equal tensors among those of the last three dense layers; are those before them as they were; is one shared."""

        def net(more):
            first = [nn.Linear(8, 8) for _ in range(more)]
            rest = [nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5), nn.Linear(5, 4)]
            return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Sequential(*first, *rest))

        big, small = net(more_deep), net(more_shallow)
        before = [p.clone() for p in list(big.parameters())[2:-6]]
        theirs = [p.clone() for p in small.parameters()]
        grow(big, small)
        last = [list(some.parameters())[-6:] for some in (big, small)]
        same = sum(torch.equal(a, b) for a, b in zip(*last, strict=True))
        kept = all(
            torch.equal(a, b) for a, b in zip(before, list(big.parameters())[2:-6], strict=True)
        )
        still = all(torch.equal(a, b) for a, b in zip(theirs, small.parameters(), strict=True))
        shared = {p.data_ptr() for p in last[0]} & {p.data_ptr() for p in last[1]}
        with torch.no_grad():
            last[0][0].add_(1)
        return same, kept, still, len(shared), bool(torch.equal(last[0][0], last[1][0]))

    for more in ((0, 0), (2, 0), (0, 1), (1, 1)):
        what = f"grow, {3 + more[0]} and {3 + more[1]} dense layers"
        same, kept, still, shared, moved = dense(grow, *more)
        check.equal(same, 6, what=f"{what}: equal tensors of the last three")
        check.equal(kept, True, what=f"{what}: the deep network's earlier ones are as they were")
        check.equal(still, True, what=f"{what}: shallow is as it was")
        check.equal((shared, moved), (0, False), what=f"{what}: tensors that both networks share")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Four starts.** Your `VGG(16)`, with 8 filters in its first stage in place of 64. So that each layer multiplies a signal as the real one's does, $\sigma = 0.01$ becomes $0.01 \sqrt{64/8} = 0.028$. The same digits as in part 1.
#
# - *small*: N(0, 0.028²), as in 2012;
# - *grown*: small, and then `grow` from a VGG-11 that was trained from a He start;
# - *Glorot*: variance $2/(n_{in} + n_{out})$, what VGG's authors found too late;
# - *He*: variance $2/n_{in}$, for ReLU.
#
# One thing to mind. A picture of 32 x 32 is a single place after five poolings, and the adaptive pooling *copies* it to 7 x 7. The first dense layer gets each number 49 times. He's rule counts on independent inputs, whose sum grows like $\sqrt{n}$; 49 equal ones grow like 49, seven times more. So the first dense layer's weights are divided by 7, for each of the starts.
#
# Each start gets the same four learning rates, from 0.00003 to 0.001, with seed 100; the best goes on to three new seeds.
#
# **Predict.** Which of the four read digits after five epochs over 600?


# %%
SMALL = 0.01 * (64 / 8) ** 0.5


def small_vgg(depth, std):
    """VGG for 32 x 32 pictures on a laptop, weights from N(0, std(fan_in, fan_out)**2), biases 0."""
    net = VGG(depth, 10, 1, width=8, hidden=256)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            fan_out = module.weight.numel() // module.weight.shape[1]
            nn.init.normal_(module.weight, 0, std(fan_in, fan_out))
            nn.init.zeros_(module.bias)
    first_dense = next(m for m in net.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        first_dense.weight /= 7
    return net.to(device)


STARTS = {
    "small": lambda fan_in, fan_out: SMALL,
    "Glorot": lambda fan_in, fan_out: (2 / (fan_in + fan_out)) ** 0.5,
    "He": lambda fan_in, fan_out: (2 / fan_in) ** 0.5,
}


def learned(net, epochs, lr, seed):
    """Train on the 600 digits -> loss of each step, test accuracy in %."""
    optimizer = torch.optim.Adam(net.parameters(), lr)
    losses = train(net, easy_x, easy_y, optimizer, epochs=epochs, batch_size=20, seed=seed)
    return losses, 100 * evaluate(net, easy_test_x, easy_test_y)[1]


def vgg16_from(start, seed, shallow):
    """VGG-16, width 8, from one of the four starts; shallow: the trained VGG-11 that one grows from."""
    torch.manual_seed(seed)
    if start == "grown":
        return grow(small_vgg(16, STARTS["small"]), shallow)
    return small_vgg(16, STARTS[start])


START_RATES = (0.00003, 0.0001, 0.0003, 0.001)  # the same four for each start
NAMES = ("small", "grown", "Glorot", "He")


def rates_of_starts(seed):
    """Test accuracy (%) of VGG-16 after 5 epochs, from each start at each rate."""
    torch.manual_seed(seed)
    shallow = small_vgg(11, STARTS["He"])
    learned(shallow, 4, 0.001, seed)
    return {
        name: {str(r): learned(vgg16_from(name, seed, shallow), 5, r, seed)[1] for r in START_RATES}
        for name in NAMES
    }


starts_tried = again_or_stored("rates_of_starts", rates_of_starts, [100], "600 glyphs, test on 400")
start_rate = {name: best_rate(starts_tried.rows[0][name], max) for name in NAMES}


def starts_of_vgg(seed):
    """The same, each start at the rate that was best for it with seed 100; and the VGG-11 that one grows from."""
    torch.manual_seed(seed)
    shallow = small_vgg(11, STARTS["He"])
    found = {"VGG-11, He": learned(shallow, 4, 0.001, seed)[1]}
    for name in NAMES:
        found[name] = learned(vgg16_from(name, seed, shallow), 5, start_rate[name], seed)[1]
    return found


vgg_starts = again_or_stored(
    "starts_of_vgg", starts_of_vgg, range(10, 13), "600 glyphs, test on 400"
)
for name, at in starts_tried.rows[0].items():
    print(f"{name:>10}, seed 100:", ", ".join(f"rate {r}: {a:.0f} %" for r, a in at.items()))
for name in vgg_starts.rows[0]:
    print(f"{name:>18}:", np.round(vgg_starts.column(name), 1), "% of 400, one for each new seed")
print(vgg_starts)
torch.manual_seed(seed)
deep_losses, deep_accuracy = learned(small_vgg(16, STARTS["He"]), 8, start_rate["He"], seed)
print(f"live: VGG-16, width 8, He, 8 epochs: {deep_accuracy:.1f} %")

# %% figure="starts"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for place, name in enumerate(NAMES):
    values = vgg_starts.column(name)
    axes[0].barh(-place, np.mean(values), color="#5a8fc3", edgecolor="black")
    axes[0].plot(values, [-place] * len(values), "k|", markersize=8)
axes[0].axvline(10, color="gray", linewidth=1)
axes[0].set_yticks([-p for p in range(len(NAMES))], NAMES)
axes[0].set(
    xlabel="test accuracy (%)",
    xlim=(0, 103),
    title=f"VGG-16 from four starts, {len(vgg_starts.rows)} seeds",
)
smooth = np.convolve(deep_losses, np.full(10, 0.1), mode="valid")
axes[1].plot(np.arange(10, 10 + len(smooth)), smooth)
axes[1].axhline(np.log(10), color="gray", linewidth=1)
axes[1].text(len(smooth), np.log(10) - 0.05, "guessing", color="gray", ha="right", va="top")
axes[1].set(xlabel="step", ylabel="training loss (nats)", ylim=(0, 2.7), title="Live: VGG-16, He")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, bars of the test accuracy of VGG-16 from four starts: small on the line of guessing, Glorot a little above it, grown in between with a wide spread, He near 96 percent. Right, the training loss of one VGG-16 from the He start, falling from the line of guessing.](figures/starts.png)
#
# After five epochs over 600 digits, test accuracy in per cent of 400, 3 new seeds, CPU: small 10, 10, 10; Glorot 22, 19, 22; grown 94, 48, 43; He 96, 97, 96. Guessing is 10. The VGG-11 that one grows from reads 97, 97, 88 after four epochs. The best rate was 0.0003 for He and for grown, 0.0001 for Glorot, each inside of the list. *Small* guesses at all four rates.
#
# The rows differ in nothing but a factor for each layer: same network, same digits, same steps. *Small* is the control. *He*: all sixteen layers learn. *Glorot*: its variance is half of He's where $n_{in} = n_{out}$, and $0.7^{13}$ is a hundredth. It has begun to learn; VGG's authors gave it weeks, we five epochs. *Grown*: the trick of 2014 works, and not each time. Four convolutions and the dense layers know their task, and the small ones between them have to find theirs.
#
# **The rate, again.** At 0.001, a rate that anybody would try first with Adam, grown reads 10 % (seed 100) and at 0.0003 41 %. With that one rate this page would say that the trick does not work at all.
#
# The best start still needs the right rate: He falls from 94 % at 0.0003 to 74 % at 0.001. Unit 12 has an answer that needs less care.
#
# </details>

# %%
reads = {name: np.array(vgg_starts.column(name)) for name in vgg_starts.rows[0]}
assert min(reads["He"]) > max(reads["small"]) + 50
assert min(reads["grown"]) > max(reads["Glorot"]) > max(reads["small"])
if profile == "quick":  # as stored
    assert reads["grown"].round().tolist() == [94, 48, 43]
    assert np.abs(reads["Glorot"] - [22, 19, 22]).max() <= 0.5
    assert np.abs(reads["He"] - [96, 97, 96]).max() <= 0.5
    assert reads["VGG-11, He"].round().tolist() == [97, 97, 88]
    assert start_rate["He"] == start_rate["grown"] == 0.0003
    assert start_rate["Glorot"] == 0.0001
    at = starts_tried.rows[0]
    assert set(at["small"].values()) == {10}
    assert [at["grown"]["0.001"], at["grown"]["0.0003"]] == [10, 41]
    assert [round(at["He"]["0.0003"]), round(at["He"]["0.001"])] == [94, 74]
assert deep_accuracy > 40 > max(start["16 layers"])
assert abs(0.5 ** (13 / 2) - 0.01) < 0.002

# %% [markdown]
# ## 10. Sixteen years on one page
#
# Top-5 error: the share of the test pictures whose true class is not among the network's five best guesses (`top_k_accuracy` of unit 09). ImageNet's competition, and where your networks stand in it.

# %%
with torch.device("meta"):
    zf = layer_table(ZFNet(), torch.zeros(1, 3, 224, 224))
TOP5 = {  # year, top-5 error in % of the entry (mostly averages of several networks)
    "AlexNet": (2012, 16.4),
    "ZFNet": (2013, 11.7),
    "VGG": (2014, 7.3),
    "GoogLeNet": (2014, 6.7),
    "ResNet": (2015, 3.6),
    "Inception-v4": (2016, 3.1),
}
yours = {"LeNet-5": rows, "AlexNet": one_column, "AlexNet 2012": of_2012, "ZFNet": zf}
yours |= {f"VGG-{depth}": table for depth, table in vgg.items()}
for name, table in yours.items():
    weights, work = sum(r.parameters for r in table), sum(r.multiply_adds for r in table)
    places = max(int(np.prod(r.shape)) for r in table)
    print(
        f"{name:>13}: {weights:>11,} parameters, {work / 1e6:>9,.1f} M multiply-adds, largest map {places:>9,} numbers"
    )

# %% figure="top5"
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
spots = list(range(len(TOP5)))
for spot, (name, (_, error)) in enumerate(TOP5.items()):
    built = name in ("AlexNet", "ZFNet", "VGG")
    axes[0].bar(
        spot,
        error,
        color="#5a8fc3" if built else "#d9d9d9",
        hatch="" if built else "//",
        edgecolor="black",
    )
    axes[0].text(spot, error + 0.3, f"{error}", ha="center")
axes[0].axhline(5.1, color="black", linestyle="--", linewidth=1)
axes[0].text(5.45, 5.3, "one person, 5.1", ha="right", fontsize=8)
axes[0].set_xticks(spots, [f"{name}\n{year}" for name, (year, _) in TOP5.items()], fontsize=6)
axes[0].set(
    ylabel="top-5 error (%)", ylim=(0, 18.5), title="ImageNet's competition (solid: built today)"
)
near = {
    "AlexNet": (6, -9),
    "AlexNet 2012": (6, 1),
    "ZFNet": (-8, 8),
    "VGG-11": (-38, -3),
    "VGG-13": (-38, -3),
    "VGG-16": (-38, 0),
    "VGG-19": (-12, 7),
}
for name, table in yours.items():
    if name == "LeNet-5":
        continue
    weights, work = (
        sum(r.parameters for r in table) / 1e6,
        sum(r.multiply_adds for r in table) / 1e9,
    )
    axes[1].plot(weights, work, "o", color="#5a8fc3", markeredgecolor="black")
    axes[1].annotate(
        name, (weights, work), xytext=near[name], textcoords="offset points", fontsize=7
    )
axes[1].set(
    xscale="linear",
    yscale="log",
    xlim=(40, 165),
    ylim=(0.4, 40),
    xlabel="parameters (millions)",
    ylabel="multiply-adds (10⁹)",
)
axes[1].set_title("What your networks cost, for one picture")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, bars of the top-5 error falling from 16.4 percent in 2012 to 3.1 percent in 2016, crossing a dashed line of one person at 5.1 percent between 2014 and 2015. Right, multiply-adds against parameters: AlexNet and ZFNet on the left below, the four VGG networks on the right and ten times higher.](figures/top5.png)
#
# In two years the error more than halved, and the price for a picture rose from 0.7 to 15 billion multiply-adds. It could not go on like this, and it did not. GoogLeNet of the same year has a smaller error than VGG, a tenth of its work and a *twentieth* of its parameters: unit 11. (The person, Andrej Karpathy, had practised on 500 pictures: Russakovsky and others 2015. The entries are averages of several networks and many crops; the numbers of single networks are larger.)
#
# </details>

# %%
of_zf = sum(r.parameters for r in zf), sum(r.multiply_adds for r in zf)
assert of_zf[0] == 62357608
assert round(of_alexnet[1] / 1e9, 1) == 0.7
assert round(total[16][1] / 1e9) == 15
assert 138357544 / 6624904 > 20  # GoogLeNet without its auxiliary heads

# %% [markdown]
# **The thing done.** A photograph, the whole of your VGG-11's convolutions at full width, untrained, He start. No class to be read yet (that takes weights from ImageNet, unit 14). But a signal goes through all of it, and each stage gives it on at the size it came with.

# %%
torch.manual_seed(seed)
temple = torch.from_numpy(photograph()[100:324, 200:424].copy()).permute(2, 0, 1)[None] / 255
full = start_normal(VGG(11, hidden=16), lambda fan_in: (2 / fan_in) ** 0.5).eval().to(device)
through = maps_of(full, (temple - temple.mean()) / temple.std())
sizes = [float(one.pow(2).mean().sqrt()) for one in through]
print("size (root mean square) after each convolution:", np.round(sizes, 2))
assert 0.2 < min(sizes) < max(sizes) < 5

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **All four networks are one plan**: the picture shrinks, the channels grow, dense layers at the end. VGG is the plan with everything else held fixed: 3 x 3, halve the size and double the channels, and the work of a layer stays.
# 2. **Weights and work live in different places.** Dense layers hold nine tenths of the parameters, convolutions do nine tenths of the work and more, because a convolution uses each weight $H \cdot W$ times.
# 3. **Depth is useless until the signal gets through.** Two linear 3 x 3 are *less* than a 5 x 5. The ReLU between can make them more, given data and time (in your short experiment it did not); and a start at which each layer hands on what it got, and a rate that fits, decide whether anything is learned at all.
#
# ## What to read
#
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-Based Learning Applied to Document Recognition*, Proceedings of the IEEE 1998: section II, table I.
# - A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, NIPS 2012: section 3, and look at figures 1 to 3. A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks*, 2014, [arXiv:1404.5997](https://arxiv.org/abs/1404.5997).
# - M. Zeiler, R. Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, [arXiv:1311.2901](https://arxiv.org/abs/1311.2901): section 4.1.
# - K. Simonyan, A. Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015, [arXiv:1409.1556](https://arxiv.org/abs/1409.1556): sections 2.3 and 3.1. It is one of the clearest papers of its time.
# - K. He, X. Zhang, S. Ren, J. Sun, *Delving Deep into Rectifiers*, ICCV 2015, [arXiv:1502.01852](https://arxiv.org/abs/1502.01852): section 2.2.
#
# ## The road not taken
#
# Large kernels came back. RepVGG (Ding and others 2021) trains 3 x 3, 1 x 1 and an identity side by side, and merges them into one 3 x 3 for use, with a `compose_kernels` of its own: a VGG that is as accurate as a ResNet. ConvNeXt (Liu and others 2022) uses 7 x 7 again, but depthwise (unit 13), where a large kernel costs little. What did not come back is the dense layer of 100 million weights.
