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
#     minutes: 290
#     prerequisites:
#     - 13-efficient
#     title: Transfer
# ---

# %% [markdown]
# # Transfer
#
# **290 minutes. You need unit 08 (the two modes of batch norm), unit 09 (`train`, `evaluate`) and unit 12 (`ResNet`).**
#
# Nobody trains a large network for fifty pictures. You take one that has been trained on something else, and change the end of it. Today you write all that this takes: features from a foreign network, a new head, layers that hold still (really still), small steps where the network knows something; and a loader for weights that strangers have published. And you measure when it helps. It does not always.
#
# | part | what you build | minutes |
# |---|---|---|
# | 1 | nothing yet: fifty pictures are not enough | 15 |
# | 2 | `extract_features`: a foreign network as a pair of glasses | 30 |
# | 3 | `replace_head` | 20 |
# | 4 | `freeze`: two ways of changing, and how to close both | 45 |
# | 5 | `parameter_groups`, `thawed`: fine-tuning, how it overfits, and what it forgets | 55 |
# | 6 | near and far, little and much: the four cases, measured | 25 |
# | 7 | where to cut | 15 |
# | 8 | `read_weights`, `rename_keys`, `match_by_order`, `load_matching`: published weights | 80 |
# | 9 | the thing done | 5 |

# %% [markdown]
# ## What your functions may count on, and what they promise
#
# This holds for every exercise of this unit. The tests look at all of it.
#
# - **A model** is any `nn.Module` with parts: nested, branching, with any names. It lives on one device and may be in any mode; single modules inside may be in another mode than the model. Your functions work with *its* parts, not only with those of the networks in this lesson.
# - **The head** is the `nn.Linear` that `model.modules()` names **last**: `fc` of a `ResNet`, `classifier[6]` of a `VGG`. It is a part of the model, never the model itself, and each forward pass goes through it once.
# - **Pictures** `x` are floating tensors `(N, C, H, W)`, $H$ and $W$ may differ, on any device; a result goes back to `x`'s device. Models and pictures are float32 or float64.
# - **State dicts** are dicts of name and tensor, in the order in which the modules were made.
# - **No argument is changed**, but for the model where a function says so (`freeze`, `replace_head`, `load_matching`). These change it in place.
# - **Nothing else moves.** What a docstring does not name (other modules, their mode, their gradients, their hooks) is afterwards as it was.
# - **Errors** are `ValueError` where the text says so; the words are yours, but for the names that they must contain.
# - **Speed does not count**, and prints and warnings do no harm.
#
# Every exercise can be done without the ones before it.

# %% tags=["parameters"]
profile = "quick"  # "full" measures the recorded experiments again (half an hour and more)
seed = 0
device = ""  # "cuda", "cpu"; empty: a GPU if there is one

# %% locked=true
import copy
import hashlib
import inspect
import io
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from previously import ResNet, evaluate, train
from torch import nn

from data import DataError, cifar10, digits, glyphs, measured, mnist, photograph
from grader import check

device = device or ("cuda" if torch.cuda.is_available() else "cpu")
plt.style.use("petroff10")  # colours that every kind of colour vision tells apart
plt.rcParams.update(
    {"figure.dpi": 90, "font.size": 9, "axes.titlesize": 9, "legend.handlelength": 3.2}
)


# %% locked=true
def stage(inputs, outputs, pool):
    """3x3 convolution, batch norm, ReLU, and a 2x2 maximum if pool."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    last = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), *last)


class LetterNet(nn.Module):
    """Four stages and a head for pictures (N, 1, 16, 16). Its first weights depend on seed alone."""

    def __init__(self, num_classes=39, width=12, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layer1 = stage(1, width, pool=True)
            self.layer2 = stage(width, 2 * width, pool=False)
            self.layer3 = stage(2 * width, 3 * width, pool=True)
            self.layer4 = stage(3 * width, 4 * width, pool=False)
            self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghkmnqrt"
# Rectangles of the photograph (top, bottom, left, right): eight kinds of surface
SURFACES = {
    "roof": (78, 122, 120, 300),
    "columns": (185, 232, 110, 290),
    "eaves": (232, 272, 90, 330),
    "low columns": (282, 335, 90, 310),
    "tree, left": (345, 425, 0, 110),
    "tree, right": (170, 335, 565, 640),
    "bush": (335, 425, 440, 560),
    "blossom": (290, 420, 325, 440),
}


def recipe(images):
    """(N, C, H, W) from 0 to 1 -> (N, 1, 16, 16), grey, scaled as the source network is used to."""
    grey = torch.as_tensor(images).float().mean(dim=1, keepdim=True)
    small = F.interpolate(grey, size=(16, 16), mode="bilinear", antialias=True)
    return (small - 0.15) / 0.3


def printed(characters, n, seed):
    """n noisy printed characters -> x, y."""
    drawn = glyphs(n, classes=characters, size=16, seed=seed, noise=0.25)
    return recipe(drawn.images), torch.from_numpy(drawn.labels)


def textures(n, split):
    """n pieces of 24 x 24 pixels of the photograph -> x, y: from which surface? Brightness and contrast are taken out.

    The first six tenths of each rectangle (along its longer side) are for training, the rest for testing.
    """
    grey, rng = photograph().mean(axis=2) / 255, np.random.default_rng(split == "test")
    pieces, labels = [], torch.arange(n) % len(SURFACES)
    for label in labels:
        top, bottom, left, right = list(SURFACES.values())[label]
        if right - left > bottom - top:
            middle = left + (right - left) * 6 // 10
            left, right = (left, middle) if split == "train" else (middle, right)
        else:
            middle = top + (bottom - top) * 6 // 10
            top, bottom = (top, middle) if split == "train" else (middle, bottom)
        row, column = rng.integers(top, bottom - 23), rng.integers(left, right - 23)
        piece = grey[row : row + 24, column : column + 24]
        pieces.append(piece[:, ::-1] if rng.random() < 0.5 else piece)
    pieces = np.stack(pieces)[:, None]
    centred = pieces - pieces.mean(axis=(2, 3), keepdims=True)
    return recipe(0.3 + 0.2 * centred / centred.std(axis=(2, 3), keepdims=True)), labels


def few(x, y, each, seed):
    """`each` examples of every class, drawn by seed -> x, y."""
    rng = np.random.default_rng(seed)
    places = [
        rng.permutation(np.flatnonzero(y == label))[:each] for label in range(int(y.max()) + 1)
    ]
    chosen = np.concatenate(places)
    return x[chosen], y[chosen]


def percent(model, x, y):
    """Percent right."""
    return 100 * evaluate(model, x, y)[1]


letters_x, letters_y = printed(LETTERS, 6000, 1)
letters_test = printed(LETTERS, 800, 2)
digits_pool, digits_test = printed("0123456789", 1000, 11), printed("0123456789", 1000, 12)
written = digits()  # handwritten, 8 x 8 pixels
written_x, written_y = recipe(written.images), torch.from_numpy(written.labels)
texture_pool, texture_test = textures(800, "train"), textures(800, "test")

# %% [markdown]
# ## 1. What cannot be done yet
#
# Three little worlds, all of 16 x 16 grey pixels. **Letters**: 39 of them, printed in many fonts under heavy noise, 6,000 pictures. This is the *source*: somebody has collected much of it. **Printed digits**: the same fonts, the same noise, other characters. This is *near*. **Surfaces**: pieces of a photograph; from which of eight places is it: the roof, the columns, a tree? This is *far*. (All three need no download. Later MNIST and CIFAR-10 join.)
#
# You have fifty digits, five of each. That is your whole training set.
#
# **Predict.** A network of four convolutions, trained on these fifty from scratch for 40 epochs: how many percent of 1,000 other digits will it read? Guessing gives 10. And on the fifty themselves?

# %% figure="worlds"
fig, axes = plt.subplots(3, 14, figsize=(7, 1.9), layout="constrained")
samples = {
    "letters": (letters_x, letters_y),
    "printed digits": digits_pool,
    "surfaces": texture_pool,
}
for row, (name, pictures) in zip(axes, samples.items(), strict=True):
    for k, ax in enumerate(row):
        ax.imshow(pictures[0][k, 0], cmap="gray")
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
fig.suptitle("The source, something near, something far: what do they share?", fontsize=9)
plt.show()

# %%
fifty_x, fifty_y = few(*digits_pool, 5, seed)


def momentum_sgd(groups, steps, lr=0.05):
    """SGD with momentum 0.9 and weight decay, and a cosine from its rates to 0 over all steps."""
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=5e-4)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def fit(net, x, y, groups=None, lr=0.05, epochs=40, batch_size=32, seed=0, after_epoch=None):
    """Train net on x, y -> net, moved to the lesson's device. groups: of parameters, if not all at rate lr."""
    net = net.to(device)
    steps = epochs * -(-len(x) // batch_size)
    optimizer, scheduler = momentum_sgd(net.parameters() if groups is None else groups, steps, lr)
    kinds = {"scheduler": scheduler, "after_epoch": after_epoch, "seed": seed}
    train(net, x, y, optimizer, epochs=epochs, batch_size=batch_size, **kinds)
    return net


scratch = fit(LetterNet(10, seed=seed), fifty_x, fifty_y)
from_scratch = percent(scratch, *digits_test)
print(
    f"from scratch: {percent(scratch, fifty_x, fifty_y):.0f} % of the fifty, {from_scratch:.0f} % of 1,000 others"
)

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Three rows of pictures: noisy printed letters, noisy printed digits that look like them, and pieces of a photograph with stripes, leaves and railings.](figures/worlds.png)
#
# All of the fifty, and 30 to 50 % of the others. That is overfitting, in its pure form: the network has 27,000 weights, and fifty pictures leave them nearly free. Noise that happens to lie in five pictures of a 3 is as good a clue as a 3's bows.
#
# </details>

# %%
assert percent(scratch, fifty_x, fifty_y) > 95
assert 25 < from_scratch < 55
assert 26_000 < sum(p.numel() for p in scratch.parameters()) < 27_000

# %% [markdown]
# Now the **source network**. Somebody trains the same architecture on the 6,000 letters. Today this is you, and it takes some ten seconds. For an ImageNet network it took many days of a GPU, and you download the result (part 8).


# %%
def pretrain(seed, labels=letters_y, epochs=6):
    """A LetterNet trained on the letters (or on other labels for them)."""
    return fit(
        LetterNet(seed=seed), letters_x, labels, lr=0.1, epochs=epochs, batch_size=64, seed=seed
    )


sources = {}


def pretrained(seed):
    """The source network of a seed, trained once -> a copy of it, on the CPU."""
    if seed not in sources:
        sources[seed] = pretrain(seed).cpu()
    return copy.deepcopy(sources[seed])


source = pretrained(seed).to(device)
again = profile == "full"  # measure the recorded experiments again?
print(f"source network: {percent(source, *letters_test):.0f} % of 800 unseen letters, 39 classes")
assert percent(source, *letters_test) > 60

# %% [markdown]
# ## 2. A foreign network as a pair of glasses
#
# **Idea.** The source network has never seen a digit. But a letter is made of strokes, bows and corners, and so is a digit. All layers up to the head turn a picture into 48 numbers, its **features**, and only the head turns these into 39 letters. Throw the head away, keep the 48 numbers, and train a new head on them: 48 x 10 weights and 10 biases. Fifty pictures can pin down 490 weights much better than 27,000. This is called a **linear probe**.
#
# ```
# picture ──▶ layer1 ──▶ layer2 ──▶ layer3 ──▶ layer4 ──▶ mean ──▶ 48 features ──▶ head ──▶ 39 letters
#                                                                       └────────▶ a new head ──▶ 10 digits
# ```
#
# The features of a picture never change while you train the head. So compute them **once**. From then on each step of the probe is one small matrix product, and no step goes through the network.

# %% [markdown]
# ### Exercise: `extract_features`
#
# *15 minutes, medium. What it is for: the cheapest way to use a network that somebody else has trained. The pictures go through once; every experiment afterwards costs a matrix product.*
#
# Return what the **head** of `model` is given for each picture of `x`: a tensor `(N, D)` without gradient, on `x`'s device. The model works in evaluation mode, `batch_size` pictures at a time. Afterwards it is as it was: each of its modules (not only the outermost one) in the mode that it had before, nothing attached to it, also if it raises in between.
#
# <details><summary>Hint 1</summary>
#
# You cannot call "all layers but the last one": a model is free to flatten, average or branch in its `forward`. Let the model run as it is, and listen at the door of the head.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `module.register_forward_pre_hook(f)` calls `f(module, inputs)` before each forward; `inputs` is a tuple. It returns a handle with `remove()`. A `try: ... finally: ...` removes it in any case. Why is `model.train(was_training)` not enough to restore the modes?
#
# </details>


# %% exercise="extract_features"
def extract_features(model, x, batch_size=256):
    """What the head of model (its last nn.Linear) is given for x (N, C, H, W) -> (N, D), on x's device, no gradient.

    In evaluation mode. Afterwards every module of model has the mode it had, and no hook is left.
    """
    ### BEGIN SOLUTION
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    device = head.weight.device
    modes = [(module, module.training) for module in model.modules()]
    caught = []
    hook = head.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    model.eval()
    try:
        with torch.no_grad():
            for xb in x.split(batch_size):
                model(xb.to(device))
    finally:
        hook.remove()
        for module, training in modes:
            module.training = training
    return torch.cat(caught).to(x.device)
    ### END SOLUTION


# %% tests="extract_features" part="features" points=2
# A network that flattens 1 x 2 pixels: its head is given the pixels themselves, after doubling
@check.remote
def _doubled(extract_features):
    import torch
    from torch import nn

    double = nn.Conv2d(1, 1, 1, bias=False)
    double.weight.data.fill_(2.0)
    net = nn.Sequential(double, nn.Dropout(0.5), nn.Flatten(), nn.Linear(2, 3))
    return extract_features(net, torch.tensor([[[[1.0, 5.0]]], [[[3.0, -1.0]]], [[[0.0, 4.0]]]]), 2)


check.close(
    _doubled(extract_features),
    np.array([[2.0, 10.0], [6.0, -2.0], [0.0, 8.0]]),
    what="extract_features of three pictures, two at a time, through a network with dropout",
)
del _doubled


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def build(kind, width, channels, classes, seed, dtype):
        import torch
        import torch.nn.functional as F
        from torch import nn

        class Branching(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(channels, width, 3, padding=1)
                self.bn = nn.BatchNorm2d(width)
                self.gate = nn.Linear(width, width)
                self.drop = nn.Dropout(0.5)
                self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, classes))

            def forward(self, x):
                y = F.relu(self.bn(self.conv(x)))
                means, tops = y.mean(dim=(2, 3)), y.amax(dim=(2, 3))
                gated = means * torch.sigmoid(self.gate(means))
                return self.classifier(torch.cat([gated, self.drop(tops)], dim=1))

        torch.manual_seed(seed)
        if kind == "branching":
            net = Branching()
        else:
            net = nn.Sequential(
                nn.Conv2d(channels, width, 3, stride=2, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d((2, 1)),
                nn.Flatten(),
                nn.Linear(2 * width, width + 1),
                nn.Tanh(),
                nn.Linear(width + 1, classes),
            )
        for name, buffer in net.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
        return net.to(getattr(torch, dtype))

    @check.remote
    def again(net, x):
        import torch
        import torch.nn.functional as F

        # Once more, from the network's own numbers.
        state = net.state_dict()
        if hasattr(net, "classifier"):
            y = F.conv2d(x, state["conv.weight"], state["conv.bias"], padding=1)
            keys = ("running_mean", "running_var", "weight", "bias")
            y = F.relu(F.batch_norm(y, *(state[f"bn.{key}"] for key in keys)))
            means = y.mean(dim=(2, 3))
            gate = torch.sigmoid(means @ state["gate.weight"].T + state["gate.bias"])
            return torch.cat([means * gate, y.amax(dim=(2, 3))], dim=1)
        y = F.conv2d(x, state["0.weight"], state["0.bias"], stride=2, padding=1)
        keys = ("running_mean", "running_var", "weight", "bias")
        y = F.relu(F.batch_norm(y, *(state[f"1.{key}"] for key in keys)))
        y = F.adaptive_avg_pool2d(y, (2, 1)).flatten(1)
        return torch.tanh(y @ state["5.weight"].T + state["5.bias"])

    dice = torch.Generator().manual_seed(1401)
    for kind, n, channels, size, batch, dtype in (
        ("branching", 5, 3, (6, 4), 2, "float32"),
        ("sequential", 7, 1, (5, 8), 3, "float32"),
        ("branching", 4, 2, (3, 3), 256, "float64"),
        ("sequential", 1, 2, (4, 7), 1, "float64"),
        ("sequential", 300, 1, (3, 3), None, "float32"),
    ):
        net = build(kind, 4, channels, 3, n, dtype)
        x = torch.randn(n, channels, *size, generator=dice).to(getattr(torch, dtype))
        expected = again(net, x).clone()
        before = x.clone()
        features = extract_features(net, x) if batch is None else extract_features(net, x, batch)
        what = f"extract_features, {kind}, x {tuple(x.shape)}, batch_size={batch}, {dtype}"
        check.close(features, expected, what=what, rtol=1e-4, atol=1e-5)
        check.unchanged(before, x, what=f"x, {what}")

    @check.remote
    def batches(extract_features, n, batch_size):
        import torch
        from torch import nn

        sizes = []

        class Counting(nn.Module):
            def forward(self, x):
                sizes.append(len(x))
                return x

        net = nn.Sequential(Counting(), nn.Flatten(), nn.Linear(2, 3))
        extract_features(net, torch.zeros(n, 1, 1, 2), *batch_size)
        return sizes

    for n, batch_size in ((300, ()), (7, (3,)), (4, (1,)), (5, (5,))):
        most = max(batches(extract_features, n, batch_size))
        what = f"{n} pictures, batch_size {batch_size or 'left out'}"
        limit = batch_size[0] if batch_size else 256
        assert most <= limit, f"extract_features, {what}: {most} pictures went in at once"

    # Tensors of the meta device have no values, and refuse to meet those of a CPU: another device
    # than the lesson's, on every machine.
    @check.remote
    def elsewhere(extract_features):
        import torch
        from torch import nn

        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        x = torch.empty(5, 1, 2, 2, device="meta")
        features = extract_features(net.to("meta"), x, 2)
        return features.device.type, tuple(features.shape)

    what = "device and shape of the features, model and pictures on the meta device"
    check.equal(elsewhere(extract_features), ("meta", (5, 3)), what=what)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="extract_features" part="left_alone" points=2
# Modes before and after, of a network whose second layer was in evaluation mode and whose others were not
@check.remote
def _modes(extract_features):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2), nn.Linear(2, 3))
    net[1].eval()
    features = extract_features(net, torch.randn(6, 1, 1, 2))
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())
    modes = [module.training for module in net.modules()]
    return modes, features.requires_grad, hooks, float(net[1].num_batches_tracked)


_after = _modes(extract_features)
check.equal(
    _after[0], [True, True, False, True], what="the modes of net, Flatten, BatchNorm1d, Linear"
)
check.equal(_after[1], False, what="whether the features require a gradient")
check.equal(_after[2], 0, what="hooks left on the network")
check.equal(_after[3], 0.0, what="batches that batch norm has counted")
del _modes, _after


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(extract_features, modes, wrong):
        import torch
        from torch import nn

        torch.manual_seed(5)
        inner = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.2))
        net = nn.Sequential(inner, nn.Flatten(), nn.Linear(12, 4))
        net.requires_grad_(True)
        for module, mode in zip(net.modules(), modes, strict=True):
            module.training = mode
        before = {name: value.clone() for name, value in net.state_dict().items()}
        raised = False
        try:
            features = extract_features(net, torch.randn(5, 2, 5 if wrong else 4, 4), 2)
        except RuntimeError:
            raised, features = True, torch.zeros(1)
        same = all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        hooks = sum(
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
            for m in net.modules()
        )
        trainable = all(p.requires_grad and p.grad is None for p in net.parameters())
        after = [module.training for module in net.modules()]
        classes = tuple(net(torch.randn(3, 2, 4, 4)).shape)
        return after, same, hooks, trainable, features.requires_grad, raised, classes

    for modes in (
        [True, True, True, False, True, True, True],
        [False, False, False, False, False, False, False],
        [True, False, False, True, False, True, False],
        [False, True, True, True, True, False, True],
    ):
        for wrong in (False, True):
            got = look(extract_features, modes, wrong)
            what = f"modes {modes}" + (", pictures of a size that the head cannot take" * wrong)
            check.equal(got[0], modes, what=f"the modes afterwards, {what}")
            check.equal(
                got[1], True, what=f"whether all parameters and buffers are as before, {what}"
            )
            check.equal(got[2], 0, what=f"hooks left on the network, {what}")
            check.equal(got[3], True, what=f"whether the parameters can still be trained, {what}")
            check.equal(got[4], False, what=f"whether the features require a gradient, {what}")
            check.equal(got[5], wrong, what=f"whether RuntimeError was raised, {what}")
            check.equal(
                got[6], (3, 4), what=f"shape of what the network returns afterwards, {what}"
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it, with controls.** Good features should make a probe good. But how much of that is due to what the network *learned*? A random network computes features, too. So there are three controls. `pixels`: the 256 grey values themselves. `random`: a network that was never trained; its batch norms have only measured their statistics on letters. `shuffled labels`: a network trained on the letters with **shuffled labels**, for as many epochs; it did the same work on the same pictures, and what it memorised means nothing.
#
# The experiment is recorded for three seeds. Each seed has its own source network, its own shuffle, its own random network and its own draws of the training pictures. A smaller version runs live beside it.
#
# **Predict.** The order of the four, for digits (near) and for surfaces (far), with five pictures per class.


# %%
def settled(net, x=letters_x):
    """Let the batch norms of an untrained net measure their statistics on x; no weight moves. -> net"""
    net = net.to(device).train()
    with torch.no_grad():
        for xb in x[:1000].split(50):
            net(xb.to(device))
    return net.eval()


def memorizer(seed):
    """A LetterNet that did the source's work for labels that mean nothing."""
    dice = torch.Generator().manual_seed(seed)
    return pretrain(seed + 1000, letters_y[torch.randperm(len(letters_y), generator=dice)])


def probe(features, y, test_features, test_y, seed=0):
    """Train one dense layer on features (N, D) -> percent right of the test. Features are standardised first."""
    mean, scale = features.mean(dim=0), features.std(dim=0) + 1e-3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(features.shape[1], int(y.max()) + 1).to(features.device)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01, weight_decay=1e-4)
    epochs = max(1, 200 // -(-len(y) // 64))  # about 200 steps
    train(head, (features - mean) / scale, y, optimizer, epochs=epochs, seed=seed)
    return percent(head, (test_features - mean) / scale, test_y)


def spread(values):
    """Mean ± standard deviation over the seeds, as text."""
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def near_and_far():
    """The two targets that need no download: name -> (pool, test)."""
    return {"digits": (digits_pool, digits_test), "surfaces": (texture_pool, texture_test)}


amounts = (1, 2, 5, 10, 20, 50)
glasses = {
    "pretrained": pretrained,
    "shuffled labels": memorizer,
    "random": lambda seed: settled(LetterNet(seed=seed + 2000)),
    "pixels": lambda seed: nn.Sequential(nn.Flatten(), nn.Linear(256, 1)),  # its head sees pixels
}


def probes(seed, names=tuple(glasses), amounts=amounts, draws=2):
    """By target and glasses: percent right of a probe for each amount, the mean of some draws of the pictures."""
    row = {}
    for name in names:
        body = glasses[name](seed)
        for target, ((pool_x, pool_y), (tx, ty)) in near_and_far().items():
            seen, test_seen = extract_features(body, pool_x), extract_features(body, tx)  # once
            row[f"{target}, {name}"] = [
                np.mean(
                    [
                        probe(*few(seen, pool_y, each, draw), test_seen, ty, draw)
                        for draw in range(10 * seed, 10 * seed + draws)
                    ]
                )
                for each in amounts
            ]
    return row


live = probes(seed, names=("pretrained", "random"), amounts=(5, 20), draws=1)
print("live, 5 and 20 per class:", {name: [round(v) for v in row] for name, row in live.items()})
probe_runs = measured(
    "14-transfer",
    "probes",
    probes,
    seeds=range(3),
    on="probes on letters' features: printed digits and surfaces",
    device=device,
    again=again,
)
print(f"measured: {probe_runs}")

# %% figure="probes"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharey=True)
styles = {"pretrained": "o-", "shuffled labels": "s--", "random": "^-.", "pixels": "x:"}
for ax, target in zip(axes, ("digits", "surfaces"), strict=True):
    for k, (name, style) in enumerate(styles.items()):
        values = np.array(probe_runs.column(f"{target}, {name}"))  # (seeds, amounts)
        ax.plot(amounts, values.mean(axis=0), style, color=f"C{k}", label=name, markersize=4)
        low, high = values.min(axis=0), values.max(axis=0)
        ax.fill_between(amounts, low, high, color=f"C{k}", alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="training pictures per class", ylim=(0, 100))
    ax.set_xticks(amounts, amounts)
    ax.minorticks_off()
    ax.axhline(10 if target == "digits" else 100 / 8, color="gray", linewidth=1)
    ax.set_title("printed digits (near)" if target == "digits" else "surfaces (far)")
axes[0].set_ylabel("right, of the test (%)")
axes[1].legend(fontsize=7)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, printed digits: the probe on pretrained features is far above the three others at every number of pictures. Right, surfaces: pretrained and shuffled features lie together, random ones a little below, pixels at the bottom.](figures/probes.png)
#
# (Three seeds; the bands go from the smallest to the largest. The grey line is guessing.) **Near:** with five pictures of each digit the probe on pretrained features reads 70 %, and no control comes over 30, in any seed. It is also far above the 27,000 free weights of part 1. What it uses was *learned*. And it was learned from the *labels*: the network with shuffled labels did the same work and reads 24 %, less than the pixels alone.
#
# **Far:** pretrained and shuffled give the same curve. A network that has learned what 39 letters mean is no better for leaves and railings than one that has learned **nonsense**; and one that has learned nothing is only a few points below. All of them are well above the pixels, since convolutions with a ReLU are already a fair set of filters, whatever their weights (Jarrett and others 2009 saw that with surprise for random filters, a rectification and pooling). When somebody shows you a probe that works, ask for these controls.
#
# </details>

# %%
near, far = (
    {name: np.array(probe_runs.column(f"{target}, {name}")) for name in styles}  # (seeds, amounts)
    for target in ("digits", "surfaces")
)
controls = ("shuffled labels", "random", "pixels")
for name in styles:
    print(
        f"five per class, {name}: near {spread(near[name][:, 2])}, far {spread(far[name][:, 2])} %"
    )
assert abs(near["pretrained"][:, 2].mean() - 70) < 1
assert max(near[name][:, 2].max() for name in controls) < 30
assert near["pretrained"][:, 2].mean() > from_scratch + 10
assert near["shuffled labels"][:, 2].mean() < near["pixels"][:, 2].mean()
assert abs(far["pretrained"] - far["shuffled labels"]).mean(axis=0).max() < 8
assert abs((far["pretrained"] - far["shuffled labels"]).mean(axis=0)).max() < 2.5
above = (far["pretrained"] - far["random"]).mean(axis=0)
assert above.min() > 0
assert above.max() < 8
assert min(far[name][:, 2:].min() for name in controls[:2]) > far["pixels"][:, 2:].max()

# %% [markdown]
# ## 3. A new head
#
# A probe lives beside the network. To train more than the head, the new head must sit *in* the network.

# %% [markdown]
# ### Exercise: `replace_head`
#
# *15 minutes, medium. What it is for: a published network knows 1,000 classes. Yours has 10, or 39, or 2.*
#
# Put a fresh `nn.Linear` with `num_classes` outputs in the place of the head, **wherever it sits** (`model.fc`, `model.classifier[6]`, three modules deep). It has a bias where the old one had one, and the old one's device and dtype. It is trainable, also where the old one was frozen, and nothing of the old one's numbers is in it. Everything else stays the same object. The model is changed in place, and returned. A model without any `nn.Linear` is a `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# Writing `head.out_features = 10` changes a label on the box. Which tensor decides how many numbers come out?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `named_modules()` gives dotted names such as `"classifier.6"`. `"classifier.6".rpartition(".")` splits such a name into the parent's name and the last piece. `model.get_submodule(name)` finds a module; for `""` it finds the model itself. `setattr` works on an `nn.Sequential`, too.
#
# </details>


# %% exercise="replace_head"
def replace_head(model, num_classes):
    """Put a fresh nn.Linear with num_classes outputs in the place of model's last nn.Linear -> model, changed in place.

    in_features, bias or none, device and dtype are the old one's. Raises ValueError if there is no nn.Linear.
    """
    ### BEGIN SOLUTION
    linear = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ValueError(f"no nn.Linear in {type(model).__name__}")
    name, old = linear[-1]
    has_bias, kind = old.bias is not None, {"device": old.weight.device, "dtype": old.weight.dtype}
    new = nn.Linear(old.in_features, num_classes, bias=has_bias, **kind)
    parent, _, place = name.rpartition(".")
    setattr(model.get_submodule(parent), place, new)
    return model
    ### END SOLUTION


# %% tests="replace_head" part="place" points=2
# A Sequential of four modules with two Linear layers: 7 outputs, and the first Linear is left alone
@check.remote
def _replaced(replace_head):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    first = net[1]
    returned = replace_head(net, 7)
    shapes = [tuple(p.shape) for p in net.parameters()]
    try:
        result = tuple(net(torch.zeros(2, 1, 2, 3)).shape)
    except RuntimeError:  # the layers do not fit each other
        result = ()
    return shapes, result, returned is net, net[1] is first


_got = _replaced(replace_head)
check.equal(_got[0], [(4, 6), (4,), (7, 4), (7,)], what="shapes of the parameters, 7 classes")
check.equal(_got[1], (2, 7), what="shape of what the network returns for two pictures")
check.equal(_got[2], True, what="whether the model itself is returned")
check.equal(_got[3], True, what="whether the first Linear is still the same object")
del _replaced, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(replace_head, kind, old, new, channels):
        import torch
        from torch import nn

        class Deep(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(channels, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
                self.squeeze = nn.Linear(5, 4)
                inner = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, old))
                self.top = nn.ModuleDict({"norm": nn.LayerNorm(4), "classifier": inner})

            def forward(self, x):
                y = self.squeeze(self.body(x).mean(dim=(2, 3)))
                return 2 * self.top["classifier"](self.top["norm"](y)) + 1

        class Plain(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
                self.fc = nn.Linear(6, old)

            def forward(self, x):
                return self.fc(self.conv1(x).amax(dim=(2, 3)))

        if kind == "deep":
            net = Deep()
        elif kind == "fc":
            net = Plain()
        else:
            head = nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, old))
            parts = (
                nn.Conv2d(channels, 2, 3),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                head,
                nn.Tanh(),
            )
            net = nn.Sequential(*parts)
        before = list(net.named_modules())
        values = {name: value.clone() for name, value in net.state_dict().items()}
        returned = replace_head(net, new)
        after = dict(net.named_modules())
        swapped = [name for name, module in before if after.get(name) is not module]
        state = net.state_dict()
        moved = [
            name
            for name, value in values.items()
            if name not in state
            or value.shape != state[name].shape
            or not torch.equal(value, state[name])
        ]
        x = torch.randn(3, channels, 5, 6)
        net.eval()
        y = net(x)
        head = after[swapped[0]] if swapped else nn.Identity()
        is_linear = type(head) is nn.Linear and head.out_features == new
        names = sorted(values) == sorted(state)
        return swapped, moved, tuple(y.shape), returned is net, names, is_linear

    for kind, where in (("deep", "top.classifier.1"), ("fc", "fc"), ("sequential", "3.3")):
        for old, new, channels in ((10, 7, 3), (3, 3, 1), (2, 11, 2), (5, 1, 4)):
            got = look(replace_head, kind, old, new, channels)
            what = f"replace_head from {old} to {new} classes, head at {where}"
            check.equal(
                got[0], [where], what=f"names of the modules that are other objects now, {what}"
            )
            check.equal(
                got[1], [f"{where}.weight", f"{where}.bias"], what=f"tensors that differ, {what}"
            )
            check.equal(got[2], (3, new), what=f"shape of what the network returns, {what}")
            check.equal(got[3], True, what=f"whether the model itself is returned, {what}")
            check.equal(
                got[4], True, what=f"whether the names of the state dict are as before, {what}"
            )
            check.equal(
                got[5], True, what=f"whether the head is an nn.Linear with {new} outputs, {what}"
            )

    @check.remote
    def without(replace_head):
        from torch import nn

        replace_head(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), 3)

    check.raises(
        ValueError, without, replace_head, what="replace_head of a model without nn.Linear"
    )


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="replace_head" part="kind" points=1
# A frozen head in float64 without bias: the new one is float64, has no bias, and can be trained
@check.remote
def _kind(replace_head):
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4, bias=False).double()).requires_grad_(False)
    head = replace_head(net, 5)[1]
    return str(head.weight.dtype), head.bias is None, head.weight.requires_grad


check.equal(_kind(replace_head), ("torch.float64", True, True), what="dtype, no bias, trainable")
del _kind


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(replace_head, bias, dtype, device, trainable, new):
        import torch
        from torch import nn

        net = nn.Sequential(nn.Linear(3, 4, device="cpu"), nn.Tanh(), nn.Linear(4, 6, bias=bias))
        net[2].to(device=device, dtype=getattr(torch, dtype)).requires_grad_(trainable)
        net[0].requires_grad_(requires_grad=False)
        if device == "cpu":
            net[2].weight.data.fill_(3.0)
        head = replace_head(net, new)[2]
        left = device == "cpu" and bool((head.weight == 3).any())
        flags = [p.requires_grad for p in head.parameters()]
        others = [p.requires_grad for p in net[0].parameters()]
        kinds = [(str(p.dtype), str(p.device)) for p in head.parameters()]
        return head.bias is not None, kinds, flags, others, left

    for bias, dtype, device, trainable, new in (
        (True, "float64", "cpu", True, 3),
        (False, "float32", "cpu", False, 9),
        (True, "bfloat16", "cpu", False, 6),
        (True, "float32", "meta", True, 2),
        (False, "float64", "meta", False, 8),
        (True, "float32", "cpu", True, 6),
    ):
        got = look(replace_head, bias, dtype, device, trainable, new)
        n = 1 + bias
        what = f"bias={bias}, {dtype} on {device}, old head trainable: {trainable}"
        check.equal(got[0], bias, what=f"whether the new head has a bias, {what}")
        check.equal(got[1], [(f"torch.{dtype}", device)] * n, what=f"dtype and device, {what}")
        check.equal(got[2], [True] * n, what=f"whether the new head is trainable, {what}")
        check.equal(
            got[3], [False, False], what=f"requires_grad of the frozen layer before it, {what}"
        )
        check.equal(got[4], False, what=f"whether numbers of the old head are left, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it** on your own `ResNet(18)`, on torch's `meta` device: there a network has shapes and no numbers.

# %%
with torch.device("meta"):
    giant = ResNet(18)
before = sum(p.numel() for p in giant.parameters())
replace_head(giant, 10)
after = sum(p.numel() for p in giant.parameters())
print(
    f"ResNet-18: {before:,} parameters with 1,000 classes, {after:,} with 10; the head is on {giant.fc.weight.device}"
)
assert before == 11_689_512
assert before - after == 513 * 990

# %% [markdown]
# ## 4. Two ways of changing
#
# **Idea.** Fifty pictures should move the head, and nothing else. So the rest is **frozen**: `requires_grad = False`, no gradient, no step. Every tutorial does this. It is not enough.
#
# **A batch norm has two ways of changing.** Its $\gamma$ and $\beta$ are parameters, and gradients move them. Its running mean and variance are *buffers*. No gradient moves these. The **forward pass** does, in training mode: $\text{running mean} \leftarrow 0.9\, \text{running mean} + 0.1\, \mu_{\text{batch}}$. And in training mode it normalizes by the batch in front of it, not by what the source network is used to.
#
# **Watch it happen.** We take the source network and send surfaces through it, in training mode, under `torch.no_grad()`. There is no loss. There is no optimizer. No weight moves. Now and then we ask it for *letters* again.
#
# **Predict.** How well does it read letters after 0, 10, 100 batches? Does it matter whether a batch has 4 pictures or 64?


# %%
def drift(net, x, batch_size, checkpoints=(0, 2, 5, 10, 20, 50, 100), training=True, seed=0):
    """Percent of letters that a copy of net reads after so many batches of x went through in training mode (or not)."""
    net, rng, seen, kept = copy.deepcopy(net).to(device), np.random.default_rng(seed), 0, []
    for stop in checkpoints:
        net.train(training)
        with torch.no_grad():
            for _ in range(stop - seen):
                net(x[rng.integers(len(x), size=batch_size)].to(device))
        seen = stop
        kept.append(percent(net, letters_test[0][:400], letters_test[1][:400]))
    return kept


checkpoints = (0, 2, 5, 10, 20, 50, 100)
drifts = {
    "surfaces, batches of 64": drift(source, texture_pool[0], 64),
    "surfaces, batches of 4": drift(source, texture_pool[0], 4),
    "digits, batches of 64": drift(source, digits_pool[0], 64),
    "letters, batches of 64": drift(source, letters_x, 64),
    "surfaces, evaluation mode": drift(source, texture_pool[0], 64, training=False),
}

# %% figure="no_weight_moved"
fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
for (name, kept), style in zip(drifts.items(), ("s-", "^--", "v-.", "x:", "o-"), strict=True):
    ax.plot(range(len(checkpoints)), kept, style, label=name, markersize=4)
ax.axhline(100 / 39, color="gray", linewidth=1)
ax.set(xticks=range(len(checkpoints)), xticklabels=checkpoints, ylim=(0, 100))
ax.set(
    xlabel="batches that went through (no loss, no optimizer)", ylabel="letters it still reads (%)"
)
ax.legend(fontsize=7, loc="upper right", ncol=2)
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Percent of letters still read against the number of batches sent through: level for letters and in evaluation mode, falling a little for digits and steeply for surfaces.](figures/no_weight_moved.png)
#
# **Forgetting without learning.** From 69 % down to 33 % within a hundred batches of surfaces, and *not a single weight has changed*. The running statistics now describe surfaces; letters are normalized by numbers that were measured on something else. Batches of 4 do the same as batches of 64: each estimate is noisier, but the running mean averages it out. And look at the digits: the same fonts, the same noise, only other characters, and still 14 points are lost. The controls: with letters, and in evaluation mode, nothing happens.
#
# So this is what a network "with frozen layers" does inside of an ordinary training loop. It passes the first check (`requires_grad` is `False` everywhere), the weights are equal bit by bit, and the features are other ones.
#
# </details>

# %%
lost = {name: kept[0] - kept[-1] for name, kept in drifts.items()}
assert lost["surfaces, batches of 64"] > 25
assert abs(lost["surfaces, evaluation mode"]) < 1e-9
assert 5 < lost["digits, batches of 64"] < 25
assert abs(lost["surfaces, batches of 64"] - lost["surfaces, batches of 4"]) < 15
assert abs(lost["letters, batches of 64"]) < 6

# %% [markdown]
# ### Exercise: `freeze`
#
# *25 minutes, hard. What it is for: a part that must not change has two ways of changing. Everybody closes the first one.*
#
# `freeze(module)` freezes `module` and everything in it, and returns it:
#
# - **Parameters.** None of them requires a gradient, and no old gradient is left (`p.grad is None`): an optimizer that still holds them then leaves them alone, even with weight decay or momentum.
# - **Batch norm** (`nn.BatchNorm1d`, `2d`, `3d`, with or without $\gamma$ and $\beta$) normalizes by its running statistics and leaves these as they are. **Also after** somebody calls `model.train()`, on it or on any model that it is part of. 09's `train` does that at the start of each epoch.
# - **Nothing else.** Dropout inside goes on as the mode says. Gradients still flow *through* the frozen part, to what lies before it. The modules stay the same objects, and the state dict keeps its names. A `copy.deepcopy` of a frozen model is frozen too, as a model of its own.
#
# `freeze(module, False)` thaws it, and returns it: all parameters require a gradient, and from the next `train()` or `eval()` on batch norm obeys again. Freezing twice is freezing once; thawing what was never frozen does no harm.
#
# <details><summary>Hint 1</summary>
#
# `module.eval()` inside of `freeze` is undone by the next `model.train()`, which visits every module. `momentum = 0` saves the running statistics, but in training mode a batch norm still normalizes by the *batch*. Who could put a batch norm back into evaluation mode, after `train()` and before it computes?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two ways. Give each batch norm a forward pre-hook that calls its `eval()`. It runs after any `train()`, in the last moment. (A hook gets the module as its argument. Use that one, and not a variable of a loop: a copy of the model brings its own modules. And what a pre-hook returns, if it is not `None`, takes the place of the inputs: `eval()` returns the module.) Or give it a `train` of its own that ignores its argument. For thawing you must find again what you attached: an attribute of the module is a good place.
#
# </details>


# %% exercise="freeze"
def freeze(module, frozen=True):
    """Freeze module, or thaw it (frozen=False) -> module.

    Frozen: no parameter requires a gradient or keeps one, and each batch norm uses its running statistics and leaves
    them as they are, whatever train() says. All else works as before. Thawed: all parameters require a gradient.
    """

    ### BEGIN SOLUTION
    def hold(norm, inputs):
        norm.eval()

    for parameter in module.parameters():
        parameter.requires_grad = not frozen
        parameter.grad = None
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            if hasattr(part, "held"):
                part.held.remove()
            if frozen:
                part.held = part.register_forward_pre_hook(hold)
    return module
    ### END SOLUTION


# %% tests="freeze" part="gradients" points=1
# Two layers; the second one is frozen after a backward pass, so that it has old gradients
@check.remote
def _gradients(freeze):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net(torch.ones(1, 2)).sum().backward()
    returned = freeze(net[1])
    flags = [p.requires_grad for p in net.parameters()]
    old = [p.grad is None for p in net[1].parameters()]
    net[0].zero_grad()
    y = net(torch.ones(1, 2)).sum()
    if y.requires_grad:
        y.backward()
    arrived = net[0].weight.grad is not None and bool((net[0].weight.grad != 0).any())
    return returned is net[1], flags, old, arrived


_got = _gradients(freeze)
check.equal(_got[0], True, what="whether freeze returns the module")
check.equal(
    _got[1], [True, True, False, False], what="requires_grad of both layers' weight and bias"
)
check.equal(_got[2], [True, True], what="whether the frozen layer's old gradients are gone")
check.equal(_got[3], True, what="whether a gradient arrives at the layer before the frozen one")
del _gradients, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(freeze, first, last, seed):
        import copy

        import torch
        from torch import nn

        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.GroupNorm(2, 4), nn.Tanh()),
            nn.Conv2d(4, 3, 2),
            nn.Flatten(),
            nn.Linear(3 * 2 * 1, 5),
        )
        parts = net[first:last]
        x = torch.randn(4, 2, 7, 6, requires_grad=True)
        twin = copy.deepcopy(net)
        twin(x).square().sum().backward()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        net(x).square().sum().backward()
        for part in parts:
            freeze(part)
        before = [p.detach().clone() for p in parts.parameters()]
        left = [p.grad is None for p in parts.parameters()]
        optimizer.step()
        still = all(torch.equal(a, b) for a, b in zip(before, parts.parameters(), strict=True))
        net.load_state_dict(twin.state_dict())
        net.zero_grad()
        net(x).square().sum().backward()
        none = [p.grad is None for p in parts.parameters()]
        held = {id(p) for p in parts.parameters()}
        flags = [one.requires_grad for one in net.parameters()]
        wanted = [id(p) not in held for p in net.parameters()]
        pairs = [
            (p.grad, q.grad)
            for p, q in zip(net.parameters(), twin.parameters(), strict=True)
            if id(p) not in held
        ]
        same = all(p is not None and torch.allclose(p, q, atol=1e-5) for p, q in pairs)
        return flags == wanted, all(left), still, all(none), same

    for first, last in ((0, 1), (1, 2), (1, 3), (2, 5), (0, 5), (4, 5)):
        got = look(freeze, first, last, 10 * first + last)
        what = f"modules {first} to {last - 1} of 5 frozen"
        check.equal(
            got[0], True, what=f"whether exactly the frozen parameters require no gradient, {what}"
        )
        check.equal(got[1], True, what=f"whether their old gradients are gone, {what}")
        check.equal(got[2], True, what=f"whether SGD with weight decay leaves them alone, {what}")
        check.equal(got[3], True, what=f"whether they get no gradient in a backward pass, {what}")
        check.equal(got[4], True, what=f"whether all others get the gradient that they had, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="freeze" part="statistics" points=2
# A frozen batch norm with running mean 0 and variance 1 sees the numbers 4 and 6, after net.train()
@check.remote
def _held(freeze):
    import torch
    from torch import nn

    net = nn.Sequential(nn.BatchNorm1d(1))
    freeze(net[0])
    net.train()
    y = net(torch.tensor([[4.0], [6.0]]))
    return y.detach(), net[0].running_mean.clone(), net[0].running_var.clone()


_got = _held(freeze)
check.close(
    _got[1],
    np.array([0.0]),
    what="running_mean of a frozen batch norm after net.train() and a batch",
)
check.close(
    _got[2],
    np.array([1.0]),
    what="running_var of a frozen batch norm after net.train() and a batch",
)
check.close(
    _got[0],
    np.array([[4.0], [6.0]]),
    what="a frozen batch norm, running mean 0, variance 1, of 4 and 6",
)
del _held, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(freeze, dim, affine, shape, seed, copied, alone):
        import copy

        import torch
        from torch import nn

        torch.manual_seed(seed)
        kind = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dim - 1]
        frozen = nn.Sequential(kind(shape[1], affine=affine), nn.Dropout(0.5))
        net = nn.Sequential(kind(shape[1]), nn.Sequential(frozen, nn.Identity()), kind(shape[1]))
        for buffer in net.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2)
        modules, names = list(net.modules()), list(net.state_dict())
        freeze(frozen[0] if alone else frozen)
        kept = all(a is b for a, b in zip(modules, net.modules(), strict=True))
        kept = kept and names == list(net.state_dict())
        original = net
        if copied:
            net = copy.deepcopy(net)
            frozen = net[1][0]
        norm = frozen[0]
        net.train()
        before = [b.clone() for b in norm.buffers()]
        others = [b.clone() for part in (net[0], net[2]) for b in part.buffers()]
        first = [b.clone() for b in original.buffers()]
        x = 3 * torch.randn(shape) + 1
        inner = [None, None]
        listen = norm.register_forward_hook(
            lambda m, i, o: inner.__setitem__(slice(None), [i[0], o])
        )
        y = net(x)
        net.eval()
        net.train()
        net(x)
        listen.remove()
        after = list(norm.buffers())
        still = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        moved = [b.clone() for part in (net[0], net[2]) for b in part.buffers()]
        go_on = all(not torch.equal(a, b) for a, b in zip(others, moved, strict=True))
        given = torch.nn.functional.batch_norm(
            inner[0], before[0], before[1], norm.weight, norm.bias, False, eps=norm.eps
        )
        by_running = torch.allclose(given, inner[1], atol=1e-5)
        dropped = frozen[1](torch.ones(200))
        noisy = bool((dropped == 0).any())
        apart = not copied or all(
            torch.equal(a, b) for a, b in zip(first, original.buffers(), strict=True)
        )
        return kept, still, by_running, go_on, noisy, tuple(y.shape), apart

    for dim, affine, shape, copied, alone in (
        (1, True, (6, 3), False, False),
        (2, True, (4, 3, 5, 2), False, False),
        (2, False, (2, 4, 3, 3), False, True),
        (3, True, (2, 2, 3, 2, 4), False, False),
        (2, True, (3, 2, 4, 5), True, False),
        (1, False, (5, 4), True, False),
        (2, True, (4, 2, 3, 3), True, True),
    ):
        got = look(freeze, dim, affine, shape, dim, copied, alone)
        what = f"BatchNorm{dim}d, affine={affine}, x {shape}" + ", in a deepcopy" * copied
        what += ", freeze of the batch norm itself" if alone else ""
        check.equal(
            got[0], True, what=f"whether modules and names of the state dict are kept, {what}"
        )
        check.equal(got[1], True, what=f"whether the frozen running statistics stand still, {what}")
        check.equal(got[2], True, what=f"whether it normalizes by them in training mode, {what}")
        check.equal(
            got[3], True, what=f"whether batch norms that are not frozen go on learning, {what}"
        )
        check.equal(got[4], True, what=f"whether dropout still drops in training mode, {what}")
        check.equal(got[5], shape, what=f"shape of the result, {what}")
        check.equal(got[6], True, what=f"whether the original is left alone by its copy, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="freeze" part="thaw" points=1
# Frozen twice, thawed once: momentum 0.5 from running mean 0 and a batch of mean 5 gives 2.5
@check.remote
def _thawed_again(freeze):
    import torch
    from torch import nn

    net = nn.Sequential(nn.BatchNorm1d(1, momentum=0.5))
    freeze(freeze(net))
    returned = freeze(net, False)
    net.train()
    net(torch.tensor([[4.0], [6.0]]))
    return returned is net, [p.requires_grad for p in net.parameters()], net[0].running_mean.clone()


_got = _thawed_again(freeze)
check.equal(_got[0], True, what="whether freeze(module, False) returns the module")
check.equal(_got[1], [True, True], what="requires_grad after thawing")
check.close(
    _got[2], np.array([2.5]), what="running_mean after thawing, train() and a batch of mean 5"
)
del _thawed_again, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(freeze, times, part, never, copied):
        import copy

        import torch
        from torch import nn

        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2)),
            nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3)),
        )
        plain = copy.deepcopy(net)
        for _ in range(0 if never else times):
            freeze(net)
        if copied:
            net = copy.deepcopy(net)
        net.train()
        freeze(net if part is None else net[part], False)
        net.train()
        plain.train()
        x = torch.randn(5, 1, 4, 3)
        same_part = range(2) if part is None else [part]
        if part == 1:  # what comes before is frozen: feed it to the second one alone
            y, z = net[1](torch.ones(4, 2, 3, 3) * x[:4, :, :3, :1]), None
            z = plain[1](torch.ones(4, 2, 3, 3) * x[:4, :, :3, :1])
        else:
            y, z = (net(x), plain(x)) if part is None else (net[0](x), plain[0](x))
        agree = torch.allclose(y, z, atol=1e-5)
        buffers = all(
            torch.allclose(a.double(), b.double())
            for k in same_part
            for a, b in zip(net[k].buffers(), plain[k].buffers(), strict=True)
        )
        flags = [all(p.requires_grad for p in net[k].parameters()) for k in range(2)]
        y.square().sum().backward()
        learns = all(p.grad is not None for k in same_part for p in net[k].parameters())
        net.eval()
        before = [b.clone() for b in net.buffers()]
        net(x)
        obeys = all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
        freeze(net)
        net.train()
        net(x)
        again = all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
        again = again and not any(p.requires_grad for p in net.parameters())
        return agree, buffers, flags, learns, obeys, again

    for times, part, never, copied in (
        (1, None, False, False),
        (3, None, False, False),
        (1, 0, False, False),
        (2, 1, False, False),
        (1, None, True, False),
        (2, None, False, True),
    ):
        got = look(freeze, times, part, never, copied)
        what = "thawed without ever being frozen" if never else f"frozen {times} times"
        what += ", thawed once" if part is None else f", then module {part} of 2 thawed"
        what += ", in a deepcopy" * copied
        check.equal(
            got[0], True, what=f"whether it computes like one that was never frozen, {what}"
        )
        check.equal(got[1], True, what=f"whether its running statistics move again, {what}")
        flags = [True, True] if part is None or never else [part == 0, part == 1]
        check.equal(got[2], flags, what=f"whether module 0 and module 1 can be trained, {what}")
        check.equal(got[3], True, what=f"whether what was thawed gets gradients, {what}")
        check.equal(got[4], True, what=f"whether eval() holds the statistics, {what}")
        check.equal(got[5], True, what=f"whether it can be frozen once more, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it.** The same fifty digits, a new head, everything else frozen, in 09's own loop; and the same with `requires_grad = False` alone. Then we put the *old* head back and ask for letters.

# %%
frozen = replace_head(freeze(copy.deepcopy(source)), 10)
leaky = replace_head(copy.deepcopy(source).requires_grad_(False), 10)
for name, net in (("freeze", frozen), ("requires_grad only", leaky)):
    fit(net, fifty_x, fifty_y)
    on_digits = percent(net, *digits_test)
    net.fc = copy.deepcopy(source.fc)
    print(
        f"{name:<20} digits {on_digits:.0f} %, letters with the old head {percent(net, *letters_test):.0f} %"
    )
assert abs(percent(frozen, *letters_test) - percent(source, *letters_test)) < 1e-9

# %% [markdown]
# **How much does it matter for the new task?** Here the head is trained in the loop, on 10 pictures per class, and the rest is "frozen": once with `requires_grad = False` alone, once with your `freeze`. Batches of 2 and of 32.
#
# **Predict.** For digits, and for surfaces: which of the two is better, with which batches? (Careful: the far case is not as clear as it looks. The source's statistics are *wrong* for surfaces.)


# %%
def statistics(seed, net=None, batch_sizes=(2, 32), epochs=4, drifts=(4, 64)):
    """Percent right of the test, by target, kind of freezing and batch size; and letters kept after 50 batches."""
    net = net or pretrained(seed)
    row = {}
    for target, ((pool_x, pool_y), (tx, ty)) in near_and_far().items():
        x, y = few(pool_x, pool_y, 10, seed)
        for kind in ("freeze", "requires_grad only"):
            for size in batch_sizes:
                body = copy.deepcopy(net)
                body = freeze(body) if kind == "freeze" else body.requires_grad_(False)
                tuned = fit(
                    fresh_head(body, ty, seed), x, y, epochs=epochs, batch_size=size, seed=seed
                )
                row[f"{target}, {kind}, {size}"] = percent(tuned, tx, ty)
        for size in drifts:
            row[f"{target}, letters kept, {size}"] = drift(net, pool_x, size, (0, 50), seed=seed)
    return row


def fresh_head(net, y, seed):
    """net with a new head for the classes in y; its first weights depend on seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return replace_head(net, int(y.max()) + 1)


live = statistics(seed, source, batch_sizes=(32,), epochs=2, drifts=())
frozen_runs = measured(
    "14-transfer",
    "statistics",
    statistics,
    seeds=range(3),
    on="letters to printed digits and surfaces, 10 per class",
    device=device,
    again=again,
)
print("live: ", {name: round(value) for name, value in live.items()})
print(f"\nmeasured ({frozen_runs}):")
for target in ("digits", "surfaces"):
    for kind in ("freeze", "requires_grad only"):
        cells = [frozen_runs.column(f"{target}, {kind}, {size}") for size in (2, 32)]
        told = ", ".join(
            f"batches of {size}: {np.mean(c):.1f} ± {np.std(c, ddof=1):.1f}"
            for size, c in zip((2, 32), cells, strict=True)
        )
        print(f"{target:<9} {kind:<19} {told}")


# %%
gain = {
    (target, size): np.subtract(
        frozen_runs.column(f"{target}, freeze, {size}"),
        frozen_runs.column(f"{target}, requires_grad only, {size}"),
    )
    for target in ("digits", "surfaces")
    for size in (2, 32)
}
print("what freeze gains:", {key: spread(values) for key, values in gain.items()})
assert (gain["digits", 2] > 0).all()  # every seed
assert (gain["digits", 32] > 0).all()
assert sorted(gain["surfaces", 2] > 0) == [False, False, True]  # the other way, in two of three
assert sorted(gain["surfaces", 32] > 0) == [False, False, True]
assert gain["surfaces", 2].min() < -10
assert gain["surfaces", 2].max() < 1
kept = np.array(frozen_runs.column("surfaces, letters kept, 64"))
assert (kept[:, 0] - kept[:, 1] > 25).all()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# For **digits** holding the statistics is better in each of the three seeds, by some 5 points: the features stay those that the source network was trained to make, and training and use agree. For **surfaces** it tends the other way: with batches of 2 the norms that go along win by 7 and by 12 points in two seeds, and lose by less than one in the third; with batches of 32 they win two seeds as well. The statistics of letters are wrong for leaves, and a batch norm that goes along adapts to the new world without a label. (Four epochs of a new head on far features: all of these numbers are low, and three seeds are few.) So "always freeze batch norm" is not a law. What is always wrong is to do it *unknowingly*. If you want new statistics, measure them on purpose: many target pictures in training mode under `no_grad`, then hold them (Li and others 2016 call it AdaBN).
#
# </details>

# %% [markdown]
# ## 5. Fine-tuning, and what it forgets
#
# **Idea.** A probe cannot change what the network sees. If the features are nearly right, small changes of *all* weights could make them right. So continue the training, on your data, from the source's weights: **fine-tuning**. The loop is 09's `train`, unchanged. The craft lies in what you hand to it.
#
# - **Which learning rate?** The first steps of a fresh head are wild, and their gradients go through all layers. A rate that was good for training from scratch can wipe out in twenty steps what the source had learned. This is **catastrophic forgetting**: the network does not become bad, it becomes a network that was trained on your fifty pictures.
# - **The head first.** Train the head alone, with the rest frozen, and then all. The wild gradients are over by then (Kumar and others 2022 call it LP-FT).
# - **Different rates for different layers.** The head knows nothing: large steps. `layer1` knows edges, and edges are good for anything: tiny steps. These are **discriminative learning rates** (Howard and Ruder 2018, section 3.2). With a factor of 0.5 and five layers the rates are 1, 1/2, 1/4, 1/8, 1/16 of the head's.
# - **One layer after the other.** Gradual unfreezing, from the head down.

# %% [markdown]
# ### Exercise: `parameter_groups`
#
# *20 minutes, medium. What it is for: small steps where the network knows something, large ones where it knows nothing.*
#
# Every optimizer of torch takes a list of groups in the place of the parameters: `[{"params": [...], "lr": ..., "weight_decay": ...}, ...]`. Build that list.
#
# - **Layers** are the model's top-level children, in the order of `model.children()`. The uppermost is the last one that has something to train: `fc` in a `ResNet`, and in a `VGG` all of `classifier`. Its rate is `base_lr`. Each layer further down has the rate of the one above it times `factor`. Parameters that belong to the model itself and to none of its children are one more layer, below all others.
# - Only parameters that require a gradient are in a group. A layer without any (ReLU, pooling, a frozen one) is **no step**: the layer below it follows as if it were not there.
# - **Each parameter exactly once.** If two layers share a tensor, it counts for the upper one.
# - **Weight decay** is `weight_decay` for parameters with two dimensions or more, and 0 for those with fewer: biases, and $\gamma$ and $\beta$ of normalizations. (Pulling a $\gamma$ or a bias to zero regularizes nothing; Goyal and others 2017 leave $\gamma$ and $\beta$ out as well.)
# - Every group has the three keys, and none is empty. How many groups a layer is split into, and their order, are yours to choose.
#
# <details><summary>Hint 1</summary>
#
# Go from the head down, and multiply the rate after each layer that had something to train.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A `set` of the parameters that already have a place answers "each once". With it, `model.parameters()` at the very end gives what no child had.
#
# </details>


# %% exercise="parameter_groups"
def parameter_groups(model, base_lr, factor=0.5, weight_decay=0.0):
    """Groups for a torch optimizer: base_lr for the last child of model, factor times less for each one below it.

    Each parameter that requires a gradient is in exactly one of the dicts {"params", "lr", "weight_decay"};
    the weight decay of those with fewer than two dimensions is 0. Layers without any of them are no step.
    """
    ### BEGIN SOLUTION
    groups, placed, lr = [], set(), base_lr
    for layer in [*reversed(list(model.children())), model]:
        new = [p for p in layer.parameters() if p.requires_grad and p not in placed]
        placed.update(new)
        matrices, vectors = [p for p in new if p.ndim > 1], [p for p in new if p.ndim <= 1]
        for chosen, decay in ((matrices, weight_decay), (vectors, 0.0)):
            if chosen:
                groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
        if new:
            lr *= factor
    return groups
    ### END SOLUTION


# %% tests="parameter_groups" part="rates" points=2
# Three layers with parameters, a ReLU between them: 0.8 for the head, then 0.4, then 0.2
@check.remote
def _rates(parameter_groups):
    from torch import nn

    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4))
    rates = {
        id(p): group["lr"] for group in parameter_groups(net, 0.8, 0.5) for p in group["params"]
    }
    return [rates.get(id(p), -1.0) for p in net.parameters()]


check.close(
    np.array(_rates(parameter_groups)),
    np.array([0.2, 0.2, 0.4, 0.4, 0.8, 0.8]),
    what="rates of weight and bias of the three layers, base_lr 0.8, factor 0.5 (-1: in no group)",
)
del _rates


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(parameter_groups, kind, frozen, args, kwargs):
        import torch
        from torch import nn

        torch.manual_seed(1)
        if kind == "blocks":
            first = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
            second = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
            net = nn.Sequential(first, nn.MaxPool2d(2), second, nn.Flatten(), nn.Linear(3, 4))
        elif kind == "loose":

            class Loose(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(1, 2, 3)
                    self.act = nn.PReLU()
                    self.fc = nn.Linear(2, 3)
                    self.token = nn.Parameter(torch.zeros(1, 2))
                    self.scale = nn.Parameter(torch.zeros(()))

            net = Loose()
        else:
            net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(6)))
        for name, p in net.named_parameters():
            p.requires_grad = not any(name.startswith(start) for start in frozen)
        rates = {}
        for group in parameter_groups(net, *args, **kwargs):
            for p in group["params"]:
                rates[id(p)] = group["lr"]
        return {name: rates.get(id(p), -1.0) for name, p in net.named_parameters()}

    blocks = {
        "0.0.weight": 2, "0.0.bias": 2, "0.1.weight": 2, "0.1.bias": 2,
        "2.0.weight": 1, "2.0.bias": 1, "2.1.weight": 1, "2.1.bias": 1,
        "4.weight": 0, "4.bias": 0,
    }  # fmt: skip
    loose = {"token": 3, "scale": 3, "conv.weight": 2, "conv.bias": 2}
    loose |= {"act.weight": 1, "fc.weight": 0, "fc.bias": 0}
    six = {f"{k}.{name}": 5 - k for k in range(6) for name in ("weight", "bias")}
    for kind, frozen, args, kwargs, steps in (
        ("blocks", (), (0.1, 0.3), {}, blocks),
        ("blocks", (), (0.25,), {}, blocks),
        ("loose", (), (2.0, 0.1), {"weight_decay": 0.5}, loose),
        ("six", (), (0.7,), {"factor": 0.9}, six),
        ("six", ("0.", "1."), (0.1, 0.2), {}, {n: s if s < 4 else None for n, s in six.items()}),
        ("six", ("5.", "2."), (0.1, 0.2), {},
         {n: {5: 3, 4: 2, 2: 1, 1: 0}.get(s) for n, s in six.items()}),
        ("blocks", ("2.0", "0."), (0.1, 0.5), {},
         {n: None if n.startswith(("0", "2.0")) else s for n, s in blocks.items()}),
        ("loose", ("act", "conv"), (0.1, 0.5), {}, loose | {"act.weight": None, "conv.weight": None,
         "conv.bias": None, "token": 1, "scale": 1}),
        ("six", (), (0.3, 1.0), {}, six),
    ):  # fmt: skip
        factor = args[1] if len(args) > 1 else kwargs.get("factor", 0.5)
        expected = {n: -1.0 if s is None else args[0] * factor**s for n, s in steps.items()}
        got = look(parameter_groups, kind, frozen, args, kwargs)
        for name, rate in expected.items():
            what = f"rate of {name} (-1: in no group), {kind}, frozen {frozen}, arguments {args} {kwargs}"
            check.close(got[name], rate, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="parameter_groups" part="once" points=1
# A frozen first layer and a shared weight: each of the others in exactly one group, no group empty
@check.remote
def _counts(parameter_groups):
    from torch import nn

    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    net[0].requires_grad_(False)
    net[2].weight = net[1].weight
    groups = parameter_groups(net, 0.8)
    everywhere = [id(p) for group in groups for p in group["params"]]
    sizes = [len(group["params"]) for group in groups]
    return [everywhere.count(id(p)) for p in net.parameters()], min(sizes)


_got = _counts(parameter_groups)
check.equal(
    _got[0], [0, 0, 1, 1, 1], what="in how many groups each parameter is (the first two are frozen)"
)
assert _got[1] > 0, "parameter_groups: a group is empty"
del _counts, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(parameter_groups, tied, frozen):
        import torch
        from torch import nn

        torch.manual_seed(2)
        net = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
            nn.Sequential(nn.Linear(4, 4), nn.Identity()),
            nn.Linear(4, 4),
            nn.Linear(4, 4, bias=False),
        )
        for low, high in tied:
            net.get_submodule(high).weight = net.get_submodule(low).weight
        for name, p in net.named_parameters(remove_duplicate=False):
            if any(name.startswith(start) for start in frozen):
                p.requires_grad = False
        before = [(p.requires_grad, p.detach().clone()) for p in net.parameters()]
        groups = parameter_groups(net, 0.5, 0.5)
        places = [id(p) for group in groups for p in group["params"]]
        counts = [places.count(id(p)) for p in net.parameters()]
        foreign = len(set(places) - {id(p) for p in net.parameters()})
        if groups:
            torch.optim.AdamW(groups, lr=1.0)  # raises if a parameter is in two groups
        rates = {id(p): group["lr"] for group in groups for p in group["params"]}
        shared = [rates.get(id(net.get_submodule(low).weight), -1.0) for low, high in tied]
        empty = sum(not group["params"] for group in groups)
        after = [(p.requires_grad, p.detach().clone()) for p in net.parameters()]
        same = all(
            a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(before, after, strict=True)
        )
        return counts, [int(flag) for flag, _ in before], foreign, shared, empty, same

    for tied, frozen, rates in (
        ((), (), []),
        ((("1.0", "3"),), (), [0.5]),
        ((("1.0", "2"),), (), [0.25]),
        ((("1.0", "2"), ("1.0", "3")), ("0.1",), [0.5, 0.5]),
        ((), ("0", "1", "2", "3"), []),
        ((("2", "3"),), ("0.0", "1"), [0.5]),
    ):
        got = look(parameter_groups, tied, frozen)
        what = f"shared weights {tied}, frozen {frozen}"
        check.equal(got[0], got[1], what=f"in how many groups each parameter is, {what}")
        check.equal(
            got[2], 0, what=f"tensors in the groups that are no parameters of the model, {what}"
        )
        check.close(np.array(got[3]), np.array(rates), what=f"rates of the shared weights, {what}")
        check.equal(got[4], 0, what=f"groups that are empty, {what}")
        check.equal(got[5], True, what=f"whether the model is as it was, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="parameter_groups" part="decay" points=1
# Weight decay 0.1 for the two weights, 0 for bias, gamma and beta
@check.remote
def _decays(parameter_groups):
    from torch import nn

    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)), nn.Linear(2, 3)
    )
    groups = parameter_groups(net, 0.8, weight_decay=0.1)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    return [decays.get(id(p), -1.0) for p in net.parameters()]


check.close(
    np.array(_decays(parameter_groups)),
    np.array([0.1, 0.0, 0.0, 0.1, 0.0]),
    what="weight decay of the convolution, gamma, beta, the head's weight and bias (-1: in no group)",
)
del _decays


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(parameter_groups, args, kwargs):
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))
                self.position = nn.Parameter(torch.ones(1, 3))
                self.conv1 = nn.Conv1d(1, 2, 3)
                self.norm = nn.LayerNorm((2, 4))
                self.inner = nn.Sequential(nn.GroupNorm(1, 2), nn.Linear(2, 2), nn.PReLU(2))
                self.conv3 = nn.Conv3d(2, 2, 1, bias=False)
                self.bn = nn.BatchNorm1d(2)
                self.fc = nn.Linear(2, 1)

        net = Net()
        groups = parameter_groups(net, *args, **kwargs)
        decays = {id(p): one["weight_decay"] for one in groups for p in one["params"]}
        return {name: (p.ndim, decays.get(id(p), -1.0)) for name, p in net.named_parameters()}

    for args, kwargs, decay in (
        ((0.1, 0.5, 0.3), {}, 0.3),
        ((0.1,), {"weight_decay": 2.0}, 2.0),
        ((0.1, 0.9), {}, 0.0),
    ):
        for name, (ndim, got) in look(parameter_groups, args, kwargs).items():
            what = f"weight decay of {name}, which has {ndim} dimensions, arguments {args} {kwargs}"
            check.close(got, decay if ndim > 1 else 0.0, what=what)


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **See it**: the rates of the source network, and those of a `ResNet(18)`.

# %%
with torch.device("meta"):
    giant = ResNet(18)
for name, net in (("LetterNet", source), ("ResNet-18", giant)):
    table = {}
    for group in parameter_groups(net, 0.1, 0.5, weight_decay=5e-4):
        table.setdefault(group["lr"], 0)
        table[group["lr"]] += sum(p.numel() for p in group["params"])
    print(f"{name}: " + ", ".join(f"{count:,} at {rate:.4f}" for rate, count in table.items()))
    assert sum(table.values()) == sum(p.numel() for p in net.parameters())

# %% [markdown]
# ### Exercise: `thawed`
#
# *10 minutes, easy. What it is for: gradual unfreezing (Howard and Ruder 2018, section 3.3). The head learns first; then the layers wake up, one after the other, from the top.*
#
# Return the **names** of the model's top-level children that learn in epoch number `epoch` (from 0), the last one first. In epoch 0 it is that one alone (in our networks it is the head). After every `every` epochs there is one more. Children without parameters do not count and are not named (those with frozen parameters do count). Once all of them learn, all go on.
#
# By hand: children `layer1`, `layer2`, `pool`, `fc`, `every=2`. Epochs 0 and 1: `["fc"]`. Epochs 2 and 3: `["fc", "layer2"]`. From epoch 4 on: `["fc", "layer2", "layer1"]`.
#
# <details><summary>Hint</summary>
#
# `named_children()` goes from the input to the head. A slice may be longer than the list.
#
# </details>


# %% exercise="thawed"
def thawed(model, epoch, every=1):
    """Names of the top-level children (those with parameters) that learn in this epoch, from 0; head first.

    One in the first `every` epochs, and one more after each further `every` epochs.
    """
    ### BEGIN SOLUTION
    layers = [name for name, child in model.named_children() if list(child.parameters())]
    return layers[::-1][: epoch // every + 1]
    ### END SOLUTION


# %% tests="thawed" points=2
# The example of the text
@check.remote
def _names(thawed, epochs, every):
    from collections import OrderedDict

    from torch import nn

    parts = {
        "layer1": nn.Linear(2, 2),
        "layer2": nn.Linear(2, 2),
        "pool": nn.ReLU(),
        "fc": nn.Linear(2, 3),
    }
    net = nn.Sequential(OrderedDict(parts))
    return [list(thawed(net, epoch, every)) for epoch in epochs]


_got = _names(thawed, [0, 1, 2, 3, 4, 9], 2)
check.equal(_got[0], ["fc"], what="thawed in epoch 0, every=2")
check.equal(_got[1], ["fc"], what="thawed in epoch 1, every=2")
check.equal(_got[2], ["fc", "layer2"], what="thawed in epoch 2, every=2")
check.equal(_got[3], ["fc", "layer2"], what="thawed in epoch 3, every=2")
check.equal(_got[4], ["fc", "layer2", "layer1"], what="thawed in epoch 4, every=2")
check.equal(_got[5], ["fc", "layer2", "layer1"], what="thawed in epoch 9, every=2")
del _names, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(thawed, kinds, frozen, args):
        from collections import OrderedDict

        from torch import nn

        make = {
            "conv": lambda: nn.Conv2d(1, 2, 3),
            "block": lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.Tanh())),
            "norm": lambda: nn.BatchNorm2d(2),
            "bare": lambda: nn.BatchNorm2d(2, affine=False),
            "act": nn.ReLU,
            "empty": lambda: nn.Sequential(nn.ReLU(), nn.Flatten()),
            "fc": lambda: nn.Linear(2, 3),
        }
        net = nn.Sequential(
            OrderedDict((f"{kind}_{k}", make[kind]()) for k, kind in enumerate(kinds))
        )
        for k in frozen:
            net[k].requires_grad_(False)
        return list(thawed(net, *args))

    for kinds, frozen, every in (
        (("conv", "norm", "act", "block", "empty", "fc"), (), 1),
        (("conv", "bare", "block", "block", "fc", "act"), (0, 2), 3),
        (("fc",), (), 2),
        (("block", "block", "empty", "conv", "norm", "act", "bare", "fc"), (0, 1, 3, 4, 7), 2),
    ):
        layers = [
            f"{kind}_{k}" for k, kind in enumerate(kinds) if kind not in ("bare", "act", "empty")
        ]
        layers.reverse()
        for epoch in range(3 * every * len(layers) // 2 + 2):
            expected = [name for k, name in enumerate(layers) if k * every <= epoch]
            what = f"thawed, epoch {epoch}, every={every}, children {kinds}, frozen {frozen}"
            check.equal(look(thawed, kinds, frozen, (epoch, every)), expected, what=what)
    names = look(thawed, ("conv", "conv", "fc"), (), (1,))
    check.equal(names, ["fc_2", "conv_1"], what="thawed, epoch 1, every left out")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Watch it overfit.** A pretrained network has 27,000 weights, too, and a hundred pictures cannot pin them down. So look at both sides while it trains: at the hundred (ten of each digit), and at 1,000 digits that it never sees. Once all layers learn, once the head alone. And once more with a mistake that every hand-made data set has: **wrong labels**, here 30 of the 100. The rate is 0.02 and does not fall.
#
# **Predict.** Who learns all of the hundred, also the wrong ones? What becomes of the accuracy on the 1,000 while that happens, and what of the *loss*?


# %%
def watched(net, x, y, test, lr=0.02, epochs=40, every=4, seed=0):
    """Train all that is not frozen at one rate -> [loss on x, percent right of x, loss on test, percent] now and then."""
    net, seen = net.to(device), []

    def look(epoch):
        if (epoch + 1) % every == 0 or epoch == 0:
            here, there = evaluate(net, x, y), evaluate(net, *test)
            seen.append([here[0], 100 * here[1], there[0], 100 * there[1]])

    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    train(net, x, y, optimizer, epochs=epochs, batch_size=32, after_epoch=look, seed=seed)
    return seen


def mislabelled(y, share, seed):
    """Labels y of ten classes, a share of them moved to another class."""
    rng, y = np.random.default_rng(seed), y.clone()
    places = rng.permutation(len(y))[: int(share * len(y))]
    y[places] = (y[places] + torch.from_numpy(rng.integers(1, 10, len(places)))) % 10
    return y


learners = ("all layers", "head alone")


def overfitting(seed, names=learners, shares=(0.0, 0.3), epochs=40):
    """By who learns, and the share of wrong labels: the curve of 100 digits, ten of each."""
    x, y = few(*digits_pool, 10, seed)
    row = {}
    for name in names:
        for share in shares:
            net = pretrained(seed) if name == "all layers" else freeze(pretrained(seed))
            labels = mislabelled(y, share, seed)
            row[f"{name}, {share}"] = watched(
                fresh_head(net, y, seed), x, labels, digits_test, epochs=epochs, seed=seed
            )
    return row


live = overfitting(seed, names=learners[:1], shares=(0.3,), epochs=16)["all layers, 0.3"]
print("live, all layers, 30 wrong labels, right of the 1,000 after 1, 4, 8, 12, 16 epochs:")
print(", ".join(f"{percents:.0f} %" for _, _, _, percents in live))
overfit_runs = measured(
    "14-transfer",
    "overfitting",
    overfitting,
    seeds=range(1, 4),
    on="100 printed digits, with and without 30 wrong labels",
    device=device,
    again=again,
)
print(f"measured: {overfit_runs}")

# %% figure="overfitting"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.7), layout="constrained")
passed = [1, *range(4, 41, 4)]
for name, colour in zip(learners, ("C0", "C1"), strict=True):
    for share, line, sign in ((0.0, "-", "o"), (0.3, "--", "s")):
        values = np.array(overfit_runs.column(f"{name}, {share}"))  # (seeds, epochs, 4)
        label = f"{name}, {share:.0%} wrong labels"
        for ax, k in zip(axes, (3, 2), strict=True):
            seen = values[:, :, k]
            ax.plot(
                passed,
                seen.mean(axis=0),
                line,
                marker=sign,
                color=colour,
                markersize=3,
                label=label,
            )
            ax.fill_between(
                passed, seen.min(axis=0), seen.max(axis=0), color=colour, alpha=0.15, linewidth=0
            )
axes[0].set(xlabel="epochs", ylabel="right, of the test (%)", ylim=(0, 100))
axes[1].set(xlabel="epochs", ylabel="cross-entropy, of the test", ylim=(0, None))
axes[0].legend(fontsize=7, loc="lower right")
plt.show()

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, percent of test digits against epochs: with right labels both curves rise to three quarters, with 30 wrong labels the curve of all layers peaks at 59 percent after 8 epochs and falls to 49. Right, its test loss rises from 1.3 to 2.](figures/overfitting.png)
#
# (Three seeds, 1 to 3; the bands go from the smallest to the largest. Seed 0 was used to choose the experiment.) With **wrong labels** you see overfitting as an event. After 8 epochs the whole network reads 59 % of the 1,000: it has learnt what the pictures of a class share. Then it learns the rest by heart, one wrong label after the other. At the end it agrees with 97 % of the hundred labels, 30 of which are nonsense, and reads 49 %. The *loss* tells it sooner and louder, from 1.3 to 2.0: the network has become sure of its mistakes.
#
# The **head alone** cannot do that. It has 49 numbers per class, agrees with two thirds of the labels at the end, and loses little. That is one good reason for "little data: a linear classifier". With **right labels** the difference is small: the head stays at 77 %, and all layers pass through 78 % and come back to some 73, jumping about, since the rate does not fall.
#
# What helps: fewer weights that may move, smaller rates, a rate that falls, fewer epochs, weight decay, other views of the pictures (07's `augment`). And to stop in time? You would need pictures to stop by. Of 20 that you hold out, a network that is right on 60 % gets 12, give or take 2: its accuracy has a standard error of 11 points.
#
# </details>

# %%
watch = {  # (seeds, epochs 1, 4, 8 ... 40, [loss, right, test loss, test right])
    (name, share): np.array(overfit_runs.column(f"{name}, {share}"))
    for name in learners
    for share in (0.0, 0.3)
}
for key, values in watch.items():
    told = (f"epoch {passed[k]}: {spread(values[:, k, 3])}" for k in (2, 4, 10))
    print(key, "right, of the test (%):", ", ".join(told))
noisy, head_noisy = watch["all layers", 0.3], watch["head alone", 0.3]
assert (
    noisy[:, -1, 1].mean() > 95
)  # all layers learn the labels that they are told, also the wrong ones,
assert (noisy[:, 2, 3] - noisy[:, -1, 3] > 3).all()  # read fewer digits than after 8 epochs,
assert 55 < noisy[:, 2, 3].mean() < 62
assert 45 < noisy[:, -1, 3].mean() < 52
assert noisy[:, -1, 2].mean() > 1.4 * noisy[:, 2, 2].mean()  # and their loss says it louder
assert head_noisy[:, -1, 1].mean() < 75  # the head alone cannot
assert head_noisy[:, -1, 3].mean() > noisy[:, -1, 3].mean() + 3
assert watch["all layers", 0.0][:, 4, 3].mean() > watch["all layers", 0.0][:, -1, 3].mean() + 3
assert abs(watch["head alone", 0.0][:, 4:, 3].mean() - 76.5) < 1.5

# %% [markdown]
# **Five ways to hand the fifty digits to the same loop.** All have 40 epochs. `all at once`: a fresh head, one rate for everything. `norms held`: the same, but each batch norm is frozen ($\gamma$ and $\beta$ as well). `probe then all`: 20 epochs with everything below the head frozen, then 20 with all. `discriminative`: rates with factor 0.5. `gradual`: the same rates; the head alone, and after every four epochs one more layer. One optimizer holds all layers from the start. Your `freeze` promised that it leaves the frozen ones alone.
#
# Two numbers for each: how many digits it reads, and how many **letters** it still reads if the old head is put back.


# %%
def all_at_once(net, x, y, seed, lr=0.05, epochs=40):
    """Fine-tune everything at one rate."""
    return fit(net, x, y, lr=lr, epochs=epochs, seed=seed)


def hold_norms(net):
    """Freeze each batch norm of net, and nothing else -> net."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            freeze(part)
    return net


def norms_held(net, x, y, seed, lr=0.05, epochs=40):
    """Fine-tune everything but the batch norms at one rate."""
    return fit(hold_norms(net), x, y, lr=lr, epochs=epochs, seed=seed)


def probe_then_all(net, x, y, seed, lr=0.05, epochs=40):
    """The head alone for half of the epochs, then everything."""
    freeze(freeze(net).fc, False)
    fit(net, x, y, [p for p in net.parameters() if p.requires_grad], lr, epochs // 2, seed=seed)
    return fit(freeze(net, False), x, y, lr=lr, epochs=epochs - epochs // 2, seed=seed)


def discriminative(net, x, y, seed, lr=0.05, epochs=40, factor=0.5):
    """Fine-tune everything, each layer at factor times the rate of the one above it."""
    return fit(
        net, x, y, parameter_groups(net, lr, factor, weight_decay=5e-4), epochs=epochs, seed=seed
    )


def gradual(net, x, y, seed, lr=0.05, epochs=40, factor=0.5):
    """The same, and thaw one more layer every four epochs, from the head down."""
    groups = parameter_groups(net, lr, factor, weight_decay=5e-4)  # before any layer is frozen

    def wake(epoch):
        """After this epoch: thaw what learns in the next one."""
        for name in thawed(net, epoch + 1, every=4):
            freeze(net.get_submodule(name), False)

    freeze(net)
    wake(-1)
    return fit(net, x, y, groups, epochs=epochs, seed=seed, after_epoch=wake)


ways = {
    way.__name__.replace("_", " "): way
    for way in (all_at_once, norms_held, probe_then_all, discriminative, gradual)
}


def letters_kept(net, origin):
    """Percent of the letters that net reads with the head of origin."""
    net = copy.deepcopy(net)
    net.fc = copy.deepcopy(origin.fc).to(next(net.parameters()).device)
    return percent(net, *letters_test)


def schedules(seed, names=tuple(ways)):
    """Percent of digits right and of letters kept, for each of the ways."""
    net, row = pretrained(seed), {}
    x, y = few(*digits_pool, 5, seed)
    for name in names:
        tuned = ways[name](fresh_head(copy.deepcopy(net), y, seed), x, y, seed)
        row[name] = [percent(tuned, *digits_test), letters_kept(tuned, net)]
    row["letters before"] = percent(net, *letters_test)
    return row


live = schedules(seed, names=("all at once", "norms held"))
schedule_runs = measured(
    "14-transfer",
    "schedules",
    schedules,
    seeds=range(3),
    on="letters to fifty printed digits",
    device=device,
    again=again,
)


print("live: ", {name: np.round(value).tolist() for name, value in live.items()})
print(f"measured: {'digits right (%)':>20} {'letters kept (%)':>18}")
for name in ways:
    digits_right, kept = np.array(schedule_runs.column(name)).T
    print(f"{name:<16} {spread(digits_right):>13} {spread(kept):>18}")
print(f"letters before: {spread(schedule_runs.column('letters before'))} %   ({schedule_runs})")

# %%
right = {name: np.array(schedule_runs.column(name))[:, 0] for name in ways}
kept = {name: np.array(schedule_runs.column(name))[:, 1] for name in ways}
before = np.mean(schedule_runs.column("letters before"))
careful = ("probe then all", "discriminative", "gradual")
for name in careful:
    assert abs(right[name].mean() - right["all at once"].mean()) < 2
    assert (kept[name] > kept["all at once"]).all()  # in every seed
assert before - kept["all at once"].mean() > 20
assert right["norms held"].mean() < right["all at once"].mean() - 10
assert np.ptp(right["norms held"]) > 25  # from seed to seed
assert kept["norms held"].mean() < kept["all at once"].mean() - 15

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# On the *digits* the four ordinary ways are the same: 73 to 74 %, and the seeds spread by one or two. The careful ones were invented for networks of a hundred million weights and for rates that were too high. What they buy here is memory: `probe then all` keeps 4 points more of the *letters* than `all at once`, discriminative rates some 5, gradual thawing 7, and that in each of the three seeds. It costs nothing. Measure before you believe a recipe, and measure more than one thing.
#
# The surprise is `norms held`. The statistics cannot drift, so it should forget least. It forgets **most** (25 % of letters are left, against 44 %), it learns least, and in one seed it nearly falls apart: 43 % of digits. In training mode a batch norm divides by the spread of *this* batch, whatever the weights did a step before. That makes a rate of 0.05 bearable (unit 08: larger rates become usable). With held statistics that brake is gone, and 0.05 is too much. Holding the norms is a good idea that needs a smaller rate. How much smaller, and is it worth it?
#
# </details>

# %% [markdown]
# **How much does it forget, where, and who is to blame?** Now we turn the one knob that everybody turns: the learning rate. 20 handwritten digits per class (another hand than any font), 10 epochs of SGD with momentum. Afterwards: how many unseen digits does it read, and how many *letters* with its old head?
#
# From part 4 you know two suspects: the **weights** move, and the batch norms' **statistics** move. So there are two loops, one as everybody writes it (`norms go along`) and one with your `freeze` on each batch norm (`norms held`). And there is a rate that looks silly: **0**. At rate 0 no weight can move.
#
# Another question is: which layers have changed? **Linear CKA** (Kornblith and others 2019) compares two sets of features of the same $N$ pictures. Centre both, $A$ is $(N, D_1)$ and $B$ is $(N, D_2)$, and take
#
# $$\mathrm{CKA}(A, B) = \frac{\lVert A^\top B\rVert_F^2}{\lVert A^\top A\rVert_F\;\lVert B^\top B\rVert_F}.$$
#
# It is 1 if one set is a rotation and a rescaling of the other, and near 0 if they have nothing to do with each other. Here $A$ is a stage of the source network on 400 letters, and $B$ is the same stage after fine-tuning on digits.
#
# **Predict.** Rates from 0 to 0.1. Draw four curves on paper: digits and letters, with norms that go along and norms that are held. Whose fault is the forgetting? Which stage changes most: the first or the last?


# %%
def cka(a, b):
    """Linear CKA of features a (N, D1) and b (N, D2), from 0 to 1."""
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    return float((a.T @ b).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm()))


def stages(net, x):
    """What layer1 ... layer4 make of x, averaged over places: a list of four tensors (N, C)."""
    seen, net = [], copy.deepcopy(net).eval()
    for name in ("layer1", "layer2", "layer3", "layer4"):
        net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: seen.append(output.mean(dim=(2, 3)).cpu())
        )
    with torch.no_grad():
        net(x.to(next(net.parameters()).device))
    return seen


def moved(net, origin):
    """By how many percent of their length the convolutions' weights have moved."""
    now, before = (
        torch.cat([one.get_submodule(f"layer{k}.0").weight.flatten().cpu() for k in range(1, 5)])
        for one in (net, origin)
    )
    return 100 * float((now - before).detach().norm() / before.detach().norm())


rates = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)
loops = ("norms go along", "norms held")


def forgetting(seed, rates=rates, names=loops):
    """For each loop and rate: digits right, letters kept, how far the weights moved (all %), CKA of the four stages."""
    net, row = pretrained(seed), {}
    x, y = few(written_x[:1000], written_y[:1000], 20, seed)
    some = letters_test[0][:400]
    for name in names:
        row[name] = []
        for lr in rates:
            tuned = fresh_head(copy.deepcopy(net), y, seed)
            tuned = hold_norms(tuned) if name == "norms held" else tuned
            tuned = all_at_once(tuned, x, y, seed, lr, epochs=10)
            right = percent(tuned, written_x[1000:], written_y[1000:])
            alike = [cka(a, b) for a, b in zip(stages(net, some), stages(tuned, some), strict=True)]
            numbers = [right, letters_kept(tuned, net), moved(tuned, net), *alike]
            # A run that diverged has no CKA: JSON knows no nan, so None.
            row[name].append([number if np.isfinite(number) else None for number in numbers])
    return row


live = forgetting(seed, rates=(0.0, 0.003))
forgetting_runs = measured(
    "14-transfer",
    "forgetting",
    forgetting,
    seeds=range(3),
    on="letters to handwritten digits, 20 per class",
    device=device,
    again=again,
)
for name, values in live.items():
    for lr, v in zip((0.0, 0.003), values, strict=True):
        print(f"live, {name}, rate {lr}: digits {v[0]:.0f} %, letters {v[1]:.0f} %")
print(f"measured: {forgetting_runs}")

# %% figure="forgetting"
fig, axes = plt.subplots(1, 2, figsize=(7, 3.1), layout="constrained")
forgot = {n: np.array(forgetting_runs.column(n), dtype=float) for n in loops}  # (seeds, rates, 7)
places = range(len(rates))
for name, line in (("norms go along", "--"), ("norms held", "-")):
    for k, (what, colour, sign) in enumerate((("digits", "C0", "o"), ("letters", "C1", "s"))):
        values = forgot[name][:, :, k]
        label = f"{what}, {name}"
        axes[0].plot(
            places, values.mean(axis=0), line, marker=sign, color=colour, markersize=4, label=label
        )
        low, high = values.min(axis=0), values.max(axis=0)
        axes[0].fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
axes[0].set(xticks=places, xlabel="learning rate", ylabel="right (%)", ylim=(0, 100))
axes[0].set_xticklabels(rates, fontsize=8)
axes[0].set_title("digits learnt, letters kept")
axes[0].legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncol=2)
for name, k, style in (
    ("norms held", 2, "o-"),
    ("norms held", 4, "s-."),
    ("norms held", 5, "v:"),
    ("norms go along", 0, "x--"),
):
    axes[1].plot(
        range(1, 5),
        forgot[name][:, k, 3:].mean(axis=0),
        style,
        color="0.3" if k == 0 else None,
        label=f"{name}, rate {rates[k]:g}",
        markersize=4,
    )
axes[1].set(xticks=range(1, 5), ylim=(0, 1.03), xlabel="stage", ylabel="CKA with the source")
axes[1].set_title("how like its former self is each stage?")
axes[1].legend(fontsize=7, loc="lower left")
plt.show()

# %%
for name, values in forgot.items():
    print(f"{name + ', rate':<22}{'digits right (%)':>20}{'letters kept (%)':>20}")
    for lr, v in zip(rates, values.swapaxes(0, 1), strict=True):
        print(f"{lr:<22g}{spread(v[:, 0]):>20}{spread(v[:, 1]):>20}")
along, held = (forgot[name] for name in loops)
assert (along[:, 0, 2] == 0).all()  # rate 0: no weight moved,
assert along[:, 0, 1].mean() < 25  # and the letters are gone
assert np.ptp(along[:, :, 1].mean(axis=0)) < 8  # at every rate about as many
assert (held[:, 0, 1] > 60).all()  # norms held and rate 0: nothing happens
assert (np.diff(held[:, :, 1], axis=1) < 0).all()  # in every seed: the larger the rate, the fewer
assert (held[:, :4, 1].mean(axis=0) > along[:, :4, 1].mean(axis=0) + 5).all()  # up to 0.01
assert abs(held[:, 2:4, 0].mean(axis=0) - along[:, 2:4, 0].mean(axis=0)).max() < 3  # 0.003, 0.01
assert along[:, 5, 0].mean() > held[:, 5, 0].mean() + 15  # 0.1 is too much without the norms
assert 3 < held[:, 2, 2].mean() < 5  # rate 0.003: weights moved by 4 %,
assert abs(along[:, 0, 6].mean() - held[:, 4, 6].mean()) < 0.03  # rate 0 along, 0.03 held
assert held[:, 2, 6].mean() > 0.9  # the last stage looks nearly the same,
assert held[:, 0, 1].mean() - held[:, 2, 1].mean() > 25  # and 30 points of letters are lost

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, against the learning rate: digits learnt rise for both loops; letters kept lie near 20 percent at every rate, also at 0, where the norms go along, and fall from 68 percent at rate 0 to 5 percent where they are held. Right, CKA with the source falls from the first to the last stage, also for the curve at rate 0.](figures/forgetting.png)
#
# (Three seeds; the bands go from the smallest to the largest.) Look at the dashed orange line first. In the loop as everybody writes it 14 to 20 % of the letters are left, **whatever the rate**. Also at rate 0, where no weight has moved and no digit is learnt. So at small rates it is the statistics, and nothing but the statistics: part 4 once more, inside of an ordinary training loop.
#
# Now the solid one. With the norms held the textbook's curve is there: the larger the rate, the fewer letters, from 68 % through 57, 38 and 25 down to 5. At 0.003 and at 0.01 it learns as many digits as the other loop and keeps half as many letters again, or twice as many. At 0.1 it fails (75 % of digits against 95): that is the price from above.
#
# **Who is to blame?** At small rates the statistics alone. At large ones *each of the two alone is enough*: hold the norms, and the letters are gone all the same. This is a trap for controls. Somebody holds the norms at one rate, in one seed, finds 31 % of letters in the place of 27, and concludes that it was the weights. The first draft of this lesson did. With two causes you need all four corners: both, the one, the other, none. The corner that was missing is the silly one, rate 0.
#
# The right picture says where. Stage 1 hardly changes, the last one most, and more with a larger rate. But the grey curve belongs to rate 0: a stage can look as changed as by a rate of 0.03 while not one of its weights has moved. And with the norms held and a rate of 0.003 the weights have moved by 4 % of their length, CKA of the last stage is above 0.9, and 30 points of letters are lost. The old head is a lock, and features that are nearly the same are a key that nearly fits.
#
# </details>

# %% [markdown]
# ## 6. Near and far, little and much
#
# Lecture notes give a table of four cases. It goes back to the notes of Stanford's CS231n:
#
# | data | near | far |
# |---|---|---|
# | **little** | train a linear classifier on top | you are in trouble: try a linear classifier from earlier stages |
# | **much** | fine-tune a few layers | fine-tune a larger number of layers |
#
# A table without numbers. How much is much? You can measure it now, at our size: *little* is 5 pictures per class, *much* is 50, so 400 or 500 in all. (For an ImageNet network people say "little" of such a set.) Four target worlds, from near to far: printed digits (the fonts and the noise of the source), handwriting (MNIST), surfaces, and CIFAR-10 in grey, all of 16 x 16. Four ways: from scratch, linear probe, fine-tune all, fine-tune with discriminative rates. And a control: the probe on a **random** network.
#
# **Predict.** Copy the table of 4 worlds x 2 amounts, and write into each cell which of the four ways wins. In which cells is pretraining *worse* than starting from scratch?


# %%
def world(name):
    """(pool_x, pool_y), (test_x, test_y). Raises DataError where it must be found first, and is not."""
    if name == "printed digits":
        return digits_pool, digits_test
    if name == "surfaces":
        return texture_pool, texture_test
    load = {"handwriting": mnist, "CIFAR-10": cifar10}[name]
    pool, test = load("train"), load("test")
    return tuple(
        (recipe(one.images[:n]), torch.from_numpy(one.labels[:n]))
        for one, n in ((pool, 5000), (test, 2000))
    )


def four_ways(net, blank, pool, test, each, seed):
    """Percent right of the test for each way, from net (pretrained) or from blank (random)."""
    x, y = few(*pool, each, seed)
    epochs = 40 if each < 20 else 12
    seen = {
        name: (extract_features(one, x), extract_features(one, test[0]))
        for name, one in (("probe", net), ("probe, random", blank))
    }
    row = {name: probe(a, y, b, test[1], seed) for name, (a, b) in seen.items()}
    starts = {"scratch": LetterNet(seed=seed + 3000), "all": net}
    for name, start in starts.items():
        tuned = all_at_once(fresh_head(copy.deepcopy(start), y, seed), x, y, seed, epochs=epochs)
        row[name] = percent(tuned, *test)
    tuned = discriminative(fresh_head(copy.deepcopy(net), y, seed), x, y, seed, epochs=epochs)
    return row | {"discriminative": percent(tuned, *test)}


worlds = ("printed digits", "handwriting", "surfaces", "CIFAR-10")


def four_cases(seed):
    """For each world and amount: percent right of each way."""
    blank = settled(LetterNet(seed=seed + 2000))
    return {
        f"{name}, {each}": four_ways(pretrained(seed), blank, *world(name), each, seed)
        for name in worlds
        for each in (5, 50)
    }


def found():
    """Are MNIST and CIFAR-10 there (or can they be downloaded)?"""
    try:
        return bool(world("handwriting") and world("CIFAR-10"))
    except DataError:
        return False


case_runs = measured(
    "14-transfer",
    "four_cases",
    four_cases,
    seeds=range(3),
    on="letters to printed digits, MNIST, surfaces, CIFAR-10 (decoded from JPEG, grey), 16 x 16",
    device=device,
    again=again and found(),
)
live = four_ways(source, settled(LetterNet(seed=seed + 2000)), *world("surfaces"), 5, seed)
print("live, surfaces, 5 per class:", ", ".join(f"{way} {v:.0f}" for way, v in live.items()))
print(f"measured: {case_runs}")

# %% figure="four_cases"
shown = ("scratch", "probe", "all", "discriminative", "probe, random")
faces = ("0.55", "C0", "C1", "C2", "white")
fig, axes = plt.subplots(2, 4, figsize=(7, 3.6), layout="constrained", sharey=True)
for row, each in zip(axes, (5, 50), strict=True):
    for ax, name in zip(row, worlds, strict=True):
        for k, (way, face) in enumerate(zip(shown, faces, strict=True)):
            values = [run[way] for run in case_runs.column(f"{name}, {each}")]
            hatch = "///" if k == 4 else None
            ax.bar(k, np.mean(values), color=face, edgecolor="k", linewidth=0.7, hatch=hatch)
            ax.plot([k] * len(values), values, "k.", markersize=3)
        scratch = np.mean([run["scratch"] for run in case_runs.column(f"{name}, {each}")])
        ax.axhline(scratch, color="0.4", linewidth=0.8, linestyle="--")
        ax.axhline(100 / 8 if name == "surfaces" else 10, color="k", linewidth=0.8, linestyle=":")
        ax.set(xticks=[], ylim=(0, 100))
        if each == 5:
            ax.set_title(name)
        else:
            ax.set_xticks(
                range(5),
                ["scratch", "probe", "all", "discr.", "probe, rnd"],
                rotation=90,
                fontsize=7,
            )
for ax, each in zip(axes[:, 0], (5, 50), strict=True):
    ax.set_ylabel(f"{each} per class\nright (%)")
plt.show()

# %%
print(f"{'':<22}" + "".join(f"{way:>16}" for way in shown))
table = {}
for name in worlds:
    for each in (5, 50):
        runs = case_runs.column(f"{name}, {each}")
        table[name, each] = {way: np.array([run[way] for run in runs]) for way in shown}
        cells = (f"{v.mean():.1f} ± {v.std(ddof=1):.1f}" for v in table[name, each].values())
        print(f"{name + ', ' + str(each):<22}" + "".join(f"{cell:>16}" for cell in cells))

# %%
best = {key: max(list(shown)[:4], key=lambda way: table[key][way].mean()) for key in table}
lead = {key: table[key]["all"] - table[key]["scratch"] for key in table}  # one value a seed
learned = {key: table[key]["probe"] - table[key]["probe, random"] for key in table}
print(f"{'':<22}{'highest mean':>16}{'all - scratch':>20}{'probe - random':>20}")
for (name, each), way in best.items():
    gains = (spread(lead[name, each]), spread(learned[name, each]))
    print(f"{name + ', ' + str(each):<22}{way:>16}" + "".join(f"{gain:>20}" for gain in gains))
for name in ("printed digits", "handwriting"):  # near
    assert (lead[name, 5] > 4).all()  # in every seed
    assert min(learned[name, 5].min(), learned[name, 50].min()) > 10
for name in ("surfaces", "CIFAR-10"):  # far
    assert (lead[name, 5] < 0.1).all()
    assert (lead[name, 50] < 0).all()
assert lead["printed digits", 5].mean() > 30
assert (lead["printed digits", 50] > 3).all()
assert abs(lead["handwriting", 50]).max() < 1
for key in (("surfaces", 5), ("CIFAR-10", 5), ("CIFAR-10", 50)):
    assert abs(learned[key].mean()) < 3
assert 2 < learned["surfaces", 50].mean() < 9
assert "discriminative" not in best.values()

# %% [markdown]
# **Is it the rate?** One rate, 0.05, for all ways and worlds: perhaps it suits a fresh network and not a pretrained one. So here are surfaces, `scratch` and `all` once more, with rates of 0.02, 0.1 and 0.2 beside it. If pretraining is worse there, it should be worse at the best rate of each.


# %%
def case_rates(seed, rates=(0.02, 0.1, 0.2)):
    """Percent of surfaces right from scratch and fine-tuned: one value for each rate, by amount and way."""
    (pool, test), row = near_and_far()["surfaces"], {}
    for each, epochs in ((5, 40), (50, 12)):
        x, y = few(*pool, each, seed)
        for way, start in (("scratch", LetterNet(seed=seed + 3000)), ("all", pretrained(seed))):
            row[f"{each}, {way}"] = []
            for lr in rates:
                net = fresh_head(copy.deepcopy(start), y, seed)
                row[f"{each}, {way}"].append(
                    percent(all_at_once(net, x, y, seed, lr, epochs), *test)
                )
    return row


rate_runs = measured(
    "14-transfer",
    "case_rates",
    case_rates,
    seeds=range(3),
    on="surfaces from scratch and fine-tuned, rates 0.02, 0.1, 0.2",
    device=device,
    again=again,
)
by_rate = {}  # amount and way: percent right, (seeds, rates)
for each in (5, 50):
    for way in ("scratch", "all"):
        others = np.array(rate_runs.column(f"{each}, {way}"))
        here = table["surfaces", each][way]  # at 0.05, from the recorded four cases
        by_rate[each, way] = np.column_stack([others[:, 0], here, others[:, 1:]])
        told = (
            f"{lr}: {spread(v)}"
            for lr, v in zip((0.02, 0.05, 0.1, 0.2), by_rate[each, way].T, strict=True)
        )
        print(f"surfaces, {each} per class, {way}: " + ", ".join(told))
print(rate_runs)
means = {key: values.mean(axis=0) for key, values in by_rate.items()}  # one for each rate
assert means[50, "scratch"].max() - means[50, "all"].max() > 4
assert (by_rate[50, "scratch"].max(axis=1) > by_rate[50, "all"].max(axis=1)).all()  # in every seed
assert 0 < means[5, "scratch"].max() - means[5, "all"].max() < 3
assert means[5, "all"][3] > means[5, "scratch"][3] + 2  # at 0.2 the order turns round

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Two rows of four bar charts, five and fifty pictures per class, for printed digits, handwriting, surfaces and CIFAR-10. Near, fine-tuning is the highest bar or equal to it; far, from scratch is the highest. Dots are the three seeds, the dashed line is from scratch, the dotted line is guessing.](figures/four_cases.png)
#
# (Three seeds; each has its own source network and its own pictures. CIFAR-10's pictures were decoded from JPEG.)
#
# - **Near, little:** the folklore holds, and it is not a matter of a percent. Printed digits with five per class: 40 % from scratch, 69 % with a probe, 74 % fine-tuned. The probe on a random network has 26 %: what helps was *learned*. But the probe is not the winner that the table says; fine-tuning everything is, in spite of fifty pictures.
# - **Near, much:** the gain shrinks: 92 against 88 %. For handwriting it is gone: 93 and 92 %, and the seeds do not agree who is ahead. He and others (2019) found the same for ImageNet and detection: with enough data pretraining buys time, and little else. The probe is now the *worst* of the four ways: 49 numbers per class cannot use more pictures.
# - **Far, little:** "you are in trouble". Yes, and pretraining does not get you out of it. The probe is no better than on a random network, and at this rate fine-tuning is in no seed better than from scratch.
# - **Far, much:** "fine-tune a larger number of layers". At the rate of 0.05 starting from scratch is better in every seed, by 5 points for surfaces and by 2 for CIFAR-10. And **is it the rate?** For 50 surfaces per class it is not: at the best of four rates it is 62 % from scratch and 58 % fine-tuned, and if each seed may choose its own best rate, scratch is ahead in all three. This is **negative transfer**: the start that 6,000 letters give is a worse start than none. For 5 per class it is 47 and 45 %, and at 0.2 the order turns round: call that a draw. (The rates were compared on the test pictures, for both ways alike. For CIFAR-10 there is one rate only.)
#
# Discriminative rates win no cell. Where the source is right, all layers can be trained at once; where it is wrong, they protect what should go.
#
# Is that the truth about ImageNet networks? No. They have seen a thousand classes and a million photographs, and most of what people photograph is nearer to that than leaves are to letters. And our "much" is 400 pictures. What holds for both: whether it helps depends on source *and* target *and* amount, the controls tell you, and they cost an afternoon.
#
# </details>

# %% [markdown]
# ## 7. Where to cut
#
# "Near" and "far" are words about tasks. Yosinski and others (2014) turned them into a question about layers: **copy the first $n$ layers, let the rest start anew. How good is the result?** Once with the copied layers frozen, once with all of them trained on. If the frozen curve falls with $n$, the later layers are too special for the new task. If the trained one does not rise above $n = 0$, the copy was worth nothing.
#
# Here $n$ goes from 0 (all new) to 4 (only the head is new), with 20 pictures per class.
#
# **Predict.** The four curves: digits and surfaces, frozen and trained on.


# %%
def cuts(seed, net=None, depths=range(5), epochs=10):
    """Percent right, by target and by whether the copied stages are frozen, for n = 0 ... 4 copied stages."""
    net, row = net or pretrained(seed), {}
    for target, (pool, (tx, ty)) in near_and_far().items():
        x, y = few(*pool, 20, seed)
        for kind in ("frozen", "trained on"):
            row[f"{target}, {kind}"] = []
            for n in depths:
                hybrid = LetterNet(int(ty.max()) + 1, seed=seed + 4000)
                for name in ("layer1", "layer2", "layer3", "layer4")[:n]:
                    setattr(hybrid, name, copy.deepcopy(net.get_submodule(name)))
                    if kind == "frozen":
                        freeze(hybrid.get_submodule(name))
                groups = [p for p in hybrid.parameters() if p.requires_grad]
                row[f"{target}, {kind}"].append(
                    percent(fit(hybrid, x, y, groups, epochs=epochs, seed=seed), tx, ty)
                )
    return row


live = cuts(seed, source, depths=(4,), epochs=5)
cut_runs = measured(
    "14-transfer",
    "cuts",
    cuts,
    seeds=range(3),
    on="letters to printed digits and surfaces, 20 per class",
    device=device,
    again=again,
)
told = (f"{name} " + ", ".join(f"{v:.0f} %" for v in values) for name, values in live.items())
print("live, all stages copied, 5 epochs: " + "; ".join(told))
print(f"measured: {cut_runs}")

# %% figure="cuts"
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained", sharex=True)
for ax, target in zip(axes, ("digits", "surfaces"), strict=True):
    for kind, style, colour in (("frozen", "s--", "C1"), ("trained on", "o-", "C0")):
        values = np.array(cut_runs.column(f"{target}, {kind}"))
        ax.plot(
            range(5),
            values.mean(axis=0),
            style,
            color=colour,
            label=f"copied stages {kind}",
            markersize=4,
        )
        ax.fill_between(
            range(5), values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0
        )
    ax.axhline(
        np.array(cut_runs.column(f"{target}, trained on"))[:, 0].mean(), color="gray", linewidth=1
    )
    ax.set(xlabel="stages copied from the source", xticks=range(5), ylabel="right, of the test (%)")
    ax.set_title("printed digits (near)" if target == "digits" else "surfaces (far)")
axes[0].legend(fontsize=7)
plt.show()

# %%
cut = {
    name: np.array(cut_runs.column(name))
    for name in ("digits, frozen", "digits, trained on", "surfaces, frozen", "surfaces, trained on")
}
for name, values in cut.items():
    print(f"{name:<21}" + ", ".join(f"n={n}: {spread(values[:, n])}" for n in range(5)))
assert (cut["digits, trained on"][:, 4] > cut["digits, trained on"][:, 0] + 10).all()
assert (cut["digits, trained on"][:, 4] > cut["digits, frozen"][:, 4]).all()
assert abs(cut["surfaces, frozen"][:, 2].mean() - cut["surfaces, frozen"][:, 0].mean()) < 3
assert (cut["surfaces, frozen"][:, 4] < cut["surfaces, frozen"][:, 2] - 10).all()
assert abs(cut["surfaces, trained on"][:, 4].mean() - cut["surfaces, trained on"][:, 0].mean()) < 5

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# ![Left, printed digits: both curves rise with the number of copied stages, the trained one to 85 percent, the frozen one levels off at 80. Right, surfaces: the trained curve is level near 52 percent, the frozen one is level up to two stages and falls to 35.](figures/cuts.png)
#
# (Three seeds; the bands go from the smallest to the largest.) Near: every stage that you copy helps, 65 % with none and 85 % with all four, if they may go on learning. Frozen, the curve is level from two stages on: the later ones are too much about letters. Far: the first **two** stages can be copied *and frozen* without any loss. Edges and spots are as good for leaves as for letters: these layers are **general**. The third and the fourth are **special**, and freezing them costs 16 points. But copied and trained on, they gain next to nothing over a new start. "Try a classifier from an earlier stage" (the table of part 6) is this curve, read from right to left.
#
# How does that compare with the paper? In ImageNet's eight layers, between halves of its classes, the first layers were general and the last ones special as well, and part of the fall in the middle came from cutting *between* layers that had learned together. But one thing was different there: copied **and trained on** was better than a new start at every depth, even with some 640,000 target pictures. Our far world has nothing to win from its source; theirs had.
#
# </details>

# %% [markdown]
# ## 8. Weights that strangers have published
#
# The source network was yours. From now on it is a file on somebody's server: `resnet18-f37072fd.pth`, 47 MB, the torchvision ResNet-18 trained on ImageNet. What is in it, may you open it, and does it fit?
#
# **What is in it.** A dict of names and tensors, a *state dict*, packed by `torch.save`. For a ResNet-18 these are:

# %%
with torch.device("meta"):
    state = ResNet(18).state_dict()
for name in [*list(state)[:8], *list(state)[-2:]]:
    print(f"{name:<32} {tuple(state[name].shape)}")
print(f"{len(state)} entries; {sum(v.numel() for v in state.values()):,} numbers")
assert len(state) == 122
assert sum(name.endswith("num_batches_tracked") for name in state) == 20

# %% [markdown]
# 122 entries: 62 parameters (20 convolutions; $\gamma$ and $\beta$ of 20 batch norms; weight and bias of the head) and 60 buffers (running mean, running variance and a counter for each batch norm). Unit 12 asked you to use torchvision's names. This is where it pays: a name is the only thing that connects a tensor in a file with a place in your network.
#
# **May you open it?** `torch.save` writes a *pickle*, and a pickle is not data. It is a small program: "call this function with these arguments". Whoever loads it runs it. Here is the most harmless of all attacks: the file says "call `os.mkdir`".

# %%
import pickle
import pickletools
from os import mkdir


class Trap:
    """When this is pickled, the pickle says: call os.mkdir(folder)."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return mkdir, (self.folder,)


with tempfile.TemporaryDirectory() as folder:
    file, proof = Path(folder) / "resnet18-best.pth", Path(folder) / "it_ran"
    torch.save({"fc.bias": torch.zeros(3), "extra": Trap(str(proof))}, file)
    try:
        torch.load(file, weights_only=True)
    except Exception as error:
        print("weights_only=True: ", type(error).__name__, "; did it run?", proof.exists())
    assert not proof.exists()
    torch.load(file, weights_only=False)
    print("weights_only=False: no error; did it run?", proof.exists())
    assert proof.exists()

names = [
    str(arg)
    for op, arg, _ in pickletools.genops(pickle.dumps(Trap("x"), protocol=2))
    if op.name == "GLOBAL"
]
print("what the pickle calls:", names)
hub = inspect.signature(torch.hub.load_state_dict_from_url).parameters["weights_only"]
print("load_state_dict_from_url:", hub)
assert hub.default is False

# %% [markdown]
# It could have been any function with any arguments, and you would have seen nothing. `weights_only=True` allows tensors and plain containers, and refuses every other name. It has been torch's default since 2.6. Older torch, and `torch.hub.load_state_dict_from_url` even now (the last line above), read with `weights_only=False` unless you say otherwise. So say it. (The format `safetensors` has no program in it at all.)
#
# **Is it the file that they published?** A checksum answers. torchvision puts the first eight hexadecimal digits of the file's SHA-256 into its name: `resnet18-`**`f37072fd`**`.pth`. Eight digits are 32 bits. A broken download passes with probability $2^{-32}$. An *attacker* needs about $2^{32} = 4$ billion tries to make a file of the same eight digits, and that is less than a day for one computer. Against malice you need all 64.

# %% [markdown]
# ### Exercise: `read_weights`
#
# *20 minutes, medium. What it is for: opening a file from a stranger.*
#
# Read the file at `path` (text or a `Path`) and return the dict of tensors in it, on the CPU.
#
# - **Checksum first.** `sha256` is the hexadecimal SHA-256 of the file, in upper or lower case: all 64 digits, or the first eight or more. If it is `None` and the file's name says it (a hyphen and 8 to 64 lower-case hexadecimal digits at the end, right before the suffix, as in `resnet18-f37072fd.pth`), that is what is checked. Otherwise there is nothing to check. If the file has another checksum, raise `ValueError` **before anything in it is interpreted**. A `sha256` of fewer than eight digits is a `ValueError` as well.
# - **No program.** A file that would run code must raise (whatever exception), and run nothing. So must a file that is cut off, or is no file of torch at all.
# - **Wrapped.** Training scripts save more than weights: `{"epoch": 90, "state_dict": {...}, "optimizer": ...}`. If the dict has a key `"state_dict"` or `"model"` whose value is a dict, that one holds the weights.
# - **Only tensors.** If what you would return is anything but a dict of names and tensors (a list, a single tensor, a number among the tensors, a wrapping that you do not know), raise `ValueError`. `weights_only=True` lets numbers, text and lists through.
#
# <details><summary>Hint 1</summary>
#
# `hashlib.sha256(data).hexdigest()`; `re.search` for the name; `Path(path).stem` is the name without folder and suffix.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Read the bytes once, check *these*, and give *these* to `torch.load` (it takes `io.BytesIO(data)`). If you check the file and then open it again, somebody can exchange it in between.
#
# </details>


# %% exercise="read_weights"
def read_weights(path, sha256=None):
    """The tensors of a published file -> dict of name: tensor, on the CPU.

    sha256: its hexadecimal checksum or the first 8 digits or more; None takes what the file's name says (-f37072fd.pth),
    if it does. Raises ValueError where it does not fit, before reading. Never runs code of the file, and raises
    ValueError if the result would be anything but a dict of tensors.
    """
    ### BEGIN SOLUTION
    data = Path(path).read_bytes()
    if sha256 is None:
        said = re.search("-([0-9a-f]{8,64})$", Path(path).stem)
        sha256 = said[1] if said else None
    if sha256 is not None:
        digest = hashlib.sha256(data).hexdigest()
        if len(sha256) < 8 or not digest.startswith(sha256.lower()):
            raise ValueError(f"{path}: sha256 is {digest}, expected {sha256}")
    weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    values = weights.values() if isinstance(weights, dict) else [None]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise ValueError(f"{path}: there is something else than names and tensors in it")
    return weights
    ### END SOLUTION


# %% tests="read_weights" part="tensors" points=1
# Written and read again, bare and wrapped
@check.remote
def _read(read_weights, wrap):
    import tempfile
    from pathlib import Path

    import torch

    weights = {"fc.weight": torch.tensor([[1.0, 2.0]]), "fc.bias": torch.tensor([3.0])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        torch.save({"epoch": 90, "state_dict": weights} if wrap else weights, path)
        return dict(read_weights(path))


for _wrap in (False, True):
    _got = _read(read_weights, _wrap)
    _kind = "with an epoch and a state_dict" if _wrap else "of tensors alone"
    check.equal(sorted(_got), ["fc.bias", "fc.weight"], what=f"names in a file {_kind}")
    check.close(_got["fc.weight"], np.array([[1.0, 2.0]]), what=f"fc.weight of a file {_kind}")
del _read, _got, _wrap, _kind


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(read_weights, name, content, as_text, key, beside):
        import tempfile
        from collections import OrderedDict
        from pathlib import Path

        import torch

        if key == "own":  # a tensor of that name is no wrapping
            content = {**content, "model": torch.ones(2), "state_dict": torch.zeros(1)}
        elif key:
            content = {**beside, key: OrderedDict(content)}
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / name
            torch.save(content, path)
            weights = read_weights(str(path) if as_text else path)
            return (
                list(weights),
                {n: v for n, v in weights.items()},
                [str(v.device) for v in weights.values()],
            )

    dice = torch.Generator().manual_seed(1431)
    for name, as_text, key, beside in (
        ("plain.pth", True, "", {}),
        ("resnet18-best.pt", False, "", {}),  # no checksum in these names
        ("run-20261.tar.pth", True, "state_dict", {"epoch": 3, "arch": "resnet18"}),
        ("deadbeef.pth", False, "model", {"optimizer": {"lr": 0.1}}),
        ("12345678-net.pth", True, "", {}),
        ("net-1234567.pth", True, "own", {}),
        ("net-DEADBEEF.pth", False, "", {}),
        ("net_0123456789.pth", True, "model", {"args": [1, 2]}),
        ("net-0123456789-x.pth", True, "", {}),
        ("net-0123456g.pth", True, "state_dict", {"best": 0.7}),
    ):
        content = {
            "z.weight": torch.randn(3, 2, generator=dice),
            "a.bias": torch.randn(4, generator=dice, dtype=torch.float64),
            "bn.num_batches_tracked": torch.tensor(7),
        }
        names, got, devices = look(read_weights, name, content, as_text, key, beside)
        what = f"read_weights of {name}" + (f", wrapped as {key!r}" if key else "")
        wanted = [*content, *(("model", "state_dict") if key == "own" else ())]
        check.equal(sorted(names), sorted(wanted), what=f"names, {what}")
        check.equal(devices, ["cpu"] * len(names), what=f"devices, {what}")
        for one, value in content.items():
            check.close(got[one], value, what=f"{one}, {what}")
            check.equal(str(got[one].dtype), str(value.dtype), what=f"dtype of {one}, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="read_weights" part="checksum" points=2
# The checksum in the name: right, and with one wrong digit
@check.remote
def _checked(read_weights, wrong):
    import hashlib
    import tempfile
    from pathlib import Path

    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        torch.save({"w": torch.ones(2)}, path)
        digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        if wrong:
            digits = digits[:7] + ("0" if digits[7] != "0" else "1")
        return sorted(read_weights(path.rename(path.with_name(f"net-{digits}.pth"))))


check.equal(
    _checked(read_weights, False), ["w"], what="names in a file whose name says its checksum"
)
check.raises(
    ValueError,
    _checked,
    read_weights,
    True,
    what="read_weights, one of the 8 digits in the name is wrong",
)
del _checked


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(read_weights, where, length, wrong, upper, good_file):
        import hashlib
        import tempfile
        from pathlib import Path

        import torch

        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "net.pth")
            torch.save({"w": torch.arange(length)}, path)
            if not good_file:
                path.write_bytes(b"no file of torch at all")
            said = hashlib.sha256(path.read_bytes()).hexdigest()[:length]
            if wrong is not None:
                other = "0" if said[wrong] != "0" else "1"
                said = said[:wrong] + other + said[wrong + 1 :]
            said = said.upper() if upper else said
            argument = None
            if where == "name":
                path = path.rename(path.with_name(f"my-net-{said}.pth"))
            elif where == "both":  # the name is wrong, the argument counts
                path, argument = path.rename(path.with_name("net-00000000.pth")), said
            else:
                argument = said
            return sorted(read_weights(path) if argument is None else read_weights(path, argument))

    for where, length, upper in (
        ("name", 8, False), ("name", 64, False), ("name", 13, False),
        ("argument", 64, False), ("argument", 8, False), ("argument", 64, True),
        ("argument", 9, True), ("both", 64, False), ("both", 10, True),
    ):  # fmt: skip
        what = f"{length} digits in the {where}" + ", upper case" * upper
        got = look(read_weights, where, length, None, upper, True)
        check.equal(got, ["w"], what=f"names of a file with the right checksum, {what}")
        for wrong in {0, 7, length - 1}:
            for good in (True, False):
                kind = "a good file" if good else "a file that is no torch file"
                check.raises(
                    ValueError, look, read_weights, where, length, wrong, upper, good,
                    what=f"read_weights of {kind}, digit {wrong} is wrong, {what}",
                )  # fmt: skip
    for length in (0, 1, 7):
        check.raises(
            ValueError, look, read_weights, "argument", length, None, False, True,
            what=f"read_weights, sha256 of {length} digits",
        )  # fmt: skip

    @check.remote
    def longer(read_weights, more):
        import hashlib
        import tempfile
        from pathlib import Path

        import torch

        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "net.pth")
            torch.save({"w": torch.ones(3)}, path)
            read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest() + more)

    check.raises(ValueError, longer, read_weights, "0", what="read_weights, sha256 of 65 digits")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="read_weights" part="safe" points=1
# A file whose pickle makes a folder when it is loaded: harmless, and a proof that code ran
@check.remote
def _attack(read_weights):
    import os
    import tempfile
    from pathlib import Path

    import torch

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(Path(folder) / "it_ran"),)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        torch.save({"w": torch.ones(2), "trap": Trap()}, path)
        try:
            read_weights(path)
            refused = False
        except NotImplementedError:
            raise
        except Exception:
            refused = True
        return refused, (Path(folder) / "it_ran").exists()


_got = _attack(read_weights)
check.equal(_got[1], False, what="whether the code in the file ran")
check.equal(_got[0], True, what="whether the file was refused")
del _attack, _got


# A file whose weights are wrapped in a way that nobody told you of, with a number beside them
@check.remote
def _unknown(read_weights):
    import tempfile
    from pathlib import Path

    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pth"
        torch.save({"epoch": 90, "net": {"w": torch.ones(2)}}, path)
        read_weights(path)


check.raises(
    ValueError, _unknown, read_weights, what='read_weights of {"epoch": 90, "net": {"w": ...}}'
)
del _unknown


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(read_weights, kind, legacy, said):
        import hashlib
        import os
        import pickle
        import tempfile
        from pathlib import Path

        import torch

        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(Path(place, "it_ran")),)

        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "net.pth")
            if kind == "pickle":
                path.write_bytes(pickle.dumps(Trap(), protocol=2))
            elif kind == "deep":
                torch.save({"state_dict": {"w": [torch.ones(2), {"x": Trap()}]}}, path)
            else:
                content = {"w": torch.ones(2), "trap": Trap()}
                torch.save(content, path, _use_new_zipfile_serialization=not legacy)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            sha256 = {"right": digest, "wrong": "0" * 64}.get(said)
            try:
                read_weights(path, sha256=sha256)
                raised = ""
            except ValueError:
                raised = "ValueError"
            except Exception:
                raised = "another"
            return raised, (Path(place, "it_ran")).exists()

    for kind in ("dict", "deep", "pickle"):
        for legacy in (False, True):
            for said in ("none", "right", "wrong"):
                raised, ran = look(read_weights, kind, legacy, said)
                what = f"a file with code in it, {kind}, checksum {said}" + ", old format" * legacy
                check.equal(ran, False, what=f"whether the code ran, {what}")
                check.equal(raised != "", True, what=f"whether it was refused, {what}")
                if said == "wrong":
                    check.equal(raised, "ValueError", what=f"what was raised, {what}")

    @check.remote
    def strange(read_weights, kind):
        import tempfile
        from collections import OrderedDict
        from pathlib import Path

        import torch

        tensor = torch.ones(2)
        content = {
            "a list": [tensor, tensor],
            "a tensor": tensor,
            "a number": 7,
            "a number among tensors": {"w": tensor, "epoch": 3},
            "a list among tensors": {"w": [tensor], "b": tensor},
            "None among tensors": OrderedDict(w=tensor, b=None),
            "text in a state_dict": {"state_dict": {"w": tensor, "arch": "resnet18"}},
            "dicts in a model": {"model": {"w": {"weight": tensor}}, "epoch": 3},
            "a wrapping of another name": {"params": {"w": tensor}},
        }[kind]
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "net.pth")
            torch.save(content, path)
            read_weights(path)

    for kind in (
        "a list", "a tensor", "a number", "a number among tensors", "a list among tensors",
        "None among tensors", "text in a state_dict", "dicts in a model",
        "a wrapping of another name",
    ):  # fmt: skip
        check.raises(
            ValueError, strange, read_weights, kind, what=f"read_weights of a file with {kind}"
        )

    @check.remote
    def cut(read_weights, share, legacy):
        import tempfile
        from pathlib import Path

        import torch

        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "net.pth")
            content = {"w": torch.arange(500.0), "b": torch.ones(3)}
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
            whole = path.read_bytes()
            path.write_bytes(whole[: int(share * len(whole))])
            try:
                read_weights(path)
            except NotImplementedError:
                raise
            except Exception:
                return True
            return False

    for share in (0.0, 0.3, 0.9, 0.99):
        for legacy in (False, True):
            what = f"a file of which {share:.0%} are there" + ", old format" * legacy
            refused = cut(read_weights, share, legacy)
            check.equal(refused, True, what=f"whether it was refused, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **The download itself** is one line, and no part of this lesson runs it. Each of the two checks the file; note how many digits each of them is given.
#
# ```python
# url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
# torch.hub.download_url_to_file(url, "resnet18-f37072fd.pth", hash_prefix="f37072fd")
# pooch.retrieve(url, known_hash="sha256:...", fname="resnet18-f37072fd.pth")   # all 64 digits, from a page that you trust
# ```
#
# **Does it fit?** Three things stand in the way, and they have happened to everybody: a prefix, other names, another head.

# %% [markdown]
# ### Exercise: `rename_keys`
#
# *15 minutes, medium. What it is for: the same layer has a name in their program and another one in yours.*
#
# Return a new dict with the same tensors, in the same order, under new names.
#
# 1. If **every** name begins with `module.` (the network was saved from inside of `nn.DataParallel`), this piece is dropped.
# 2. Then `rename`, a dict of old beginnings and new ones. A beginning fits where it is the whole name or is followed by a dot. **The first one that fits** is replaced, once, at the start of the name. So `{"layer1": "stage1"}` changes `layer1.0.bn1.weight`, but neither `layer10.bn1.weight` nor `block.layer1.weight`. If the new beginning is `""`, the old one is dropped together with its dot.
# 3. If two names become one, raise `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `str.replace` changes *every* place: `"layer1.bn1".replace("bn1", "norm")`. And `"module.layer1".lstrip("module.")` gives `"ayer1"`: why?
#
# </details>
# <details><summary>Hint 2</summary>
#
# `str.removeprefix` removes a piece of text, `lstrip` a *set of letters*. Test `name == old or name.startswith(old + ".")`, and stop at the first pair that fits.
#
# </details>


# %% exercise="rename_keys"
def rename_keys(weights, rename=None):
    """weights (name: tensor) under new names -> a new dict in the same order.

    "module." is dropped if all names begin with it. Then the first beginning in rename ({old: new}) that fits a name,
    in whole pieces between dots, is replaced; new may be "". Raises ValueError if two names become one.
    """
    ### BEGIN SOLUTION
    parallel = all(name.startswith("module.") for name in weights)
    renamed = {}
    for name, value in weights.items():
        if parallel:
            name = name.removeprefix("module.")
        for old, new in (rename or {}).items():
            if name == old or name.startswith(old + "."):
                name = (new + name.removeprefix(old)).removeprefix(".")
                break
        if name in renamed:
            raise ValueError(f"two tensors would be named {name}")
        renamed[name] = value
    return renamed
    ### END SOLUTION


# %% tests="rename_keys" part="prefix" points=1
# Saved from nn.DataParallel, and not
check.equal(
    list(rename_keys({"module.layer1.bn1.bias": 1.0, "module.fc.bias": 2.0})),
    ["layer1.bn1.bias", "fc.bias"],
    what="names without module.",
)
check.equal(
    list(rename_keys({"module.fc.bias": 1.0, "layer1.bias": 2.0})),
    ["module.fc.bias", "layer1.bias"],
    what="names, not all of which begin with module.",
)


### BEGIN HIDDEN TESTS
def _hidden():
    for names, expected in (
        (
            ["module.model.weight", "module.module.x", "module.emodul.b"],
            ["model.weight", "module.x", "emodul.b"],
        ),
        (["module.old.w", "module.le"], ["old.w", "le"]),
        (["modules.a", "module.b"], None),
        (["modulea.b", "modulea.c"], None),
        (["features.module.0", "features.module.1"], None),
        (["module.a.module.b"], ["a.module.b"]),
        (["z", "module.a", "y"], None),
        (["b", "a", "c"], None),
    ):
        for rename in (None, {}):
            weights = {name: torch.full((2,), float(k)) for k, name in enumerate(names)}
            before = {name: value.clone() for name, value in weights.items()}
            got = rename_keys(weights) if rename is None else rename_keys(weights, rename)
            what = f"rename_keys, names {names}"
            check.equal(list(got), expected or names, what=f"names, {what}")
            for k, value in enumerate(got.values()):
                check.close(value, np.full(2, float(k)), what=f"tensor {k}, {what}")
            check.equal(
                list(weights), list(before), what=f"names of the argument afterwards, {what}"
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="rename_keys" part="pieces" points=2
# Whole pieces, at the start, the first pair that fits
_names = ["bn1.bias", "layer1.0.bn1.bias", "bn10.bias", "head.fc.bias"]
check.equal(
    list(rename_keys(dict.fromkeys(_names, 1.0), {"bn1": "norm", "head": "", "norm": "x"})),
    ["norm.bias", "layer1.0.bn1.bias", "bn10.bias", "fc.bias"],
    what='names after rename {"bn1": "norm", "head": "", "norm": "x"}',
)
check.raises(
    ValueError,
    rename_keys,
    {"a.w": 1.0, "b.w": 2.0},
    {"a": "b"},
    what="rename_keys, a.w becomes b.w, which is there",
)
del _names


### BEGIN HIDDEN TESTS
def _hidden():
    for names, rename, expected in (
        (
            ["conv1.w", "conv11.w", "x.conv1.w", "conv1"],
            {"conv1": "stem.conv"},
            ["stem.conv.w", "conv11.w", "x.conv1.w", "stem.conv"],
        ),
        (["layer1.0.w", "layer1.1.w"], {"layer1.0": "a", "layer1": "b"}, ["a.w", "b.1.w"]),
        (["layer1.0.w", "layer1.1.w"], {"layer1": "b", "layer1.0": "a"}, ["b.0.w", "b.1.w"]),
        (["a.a.w", "a.b.a"], {"a": "c"}, ["c.a.w", "c.b.a"]),
        (["a.w", "b.w"], {"a": "b", "b": "a"}, ["b.w", "a.w"]),
        (["backbone.body.w", "backbone.b", "fc.w"], {"backbone": ""}, ["body.w", "b", "fc.w"]),
        (["module.bn.w", "module.fc.w"], {"bn": "norm", "module": "x"}, ["norm.w", "fc.w"]),
        (["module.bn.w", "fc.w"], {"module": "x"}, ["x.bn.w", "fc.w"]),
        (
            ["features.0.weight", "features.3.weight"],
            {"features.0": "conv1", "features.3": "conv2"},
            ["conv1.weight", "conv2.weight"],
        ),
        (["aab.w", "ab.w"], {"a": "c", "ab": "d"}, ["aab.w", "d.w"]),
        (["w.x"], {"w.x": "y"}, ["y"]),
        (["l.w", "lay.l.w"], {"nothing": "z"}, ["l.w", "lay.l.w"]),
        (["a.b.w"], {"b": "c", "a.b.w.x": "d", "a.b": "e.f"}, ["e.f.w"]),
    ):
        weights = {name: torch.full((1,), float(k)) for k, name in enumerate(names)}
        table = dict(rename)
        got = rename_keys(weights, rename)
        what = f"rename_keys, names {names}, rename {rename}"
        check.equal(list(got), expected, what=f"names, {what}")
        for k, value in enumerate(got.values()):
            check.close(value, np.full(1, float(k)), what=f"tensor {k}, {what}")
        check.equal(list(weights), names, what=f"names of the argument afterwards, {what}")
        check.equal(list(rename.items()), list(table.items()), what=f"rename afterwards, {what}")
    for names, rename in (
        (["a.w", "b.w", "c.w"], {"a": "c"}),
        (["c.w", "a.w"], {"a": "c"}),
        (["a.x.w", "a.w"], {"a.x": "a"}),
        (["module.p.w", "module.q.w"], {"p": "q"}),
    ):
        weights = dict.fromkeys(names, 1.0)
        check.raises(
            ValueError,
            rename_keys,
            weights,
            rename,
            what=f"rename_keys, names {names}, rename {rename}",
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `match_by_order`
#
# *10 minutes, easy. What it is for: names that have nothing in common, and layers that are built in the same order.*
#
# `weights` are published tensors, `own` is your model's `state_dict()`, both in the order in which their modules were made. Return a dict that gives the $k$-th published tensor the $k$-th own name. Entries that end in `num_batches_tracked` are left out on both sides: old files do not have them. If a shape differs, or the numbers of tensors do, raise `ValueError`; if it is a shape, the message contains **both names** of the first pair that does not fit.
#
# <details><summary>Hint</summary>
#
# `zip` stops at the shorter one without a word. `strict=True` does not. And `weight` and `bias` of a batch norm have the same shape: what does this function *not* protect you from?
#
# </details>


# %% exercise="match_by_order"
def match_by_order(weights, own):
    """The k-th tensor of weights under the k-th name of own (both dicts of name: tensor) -> dict.

    num_batches_tracked does not count. Raises ValueError where shapes (naming both) or numbers of tensors differ.
    """
    ### BEGIN SOLUTION
    theirs, mine = (
        [(name, value) for name, value in state.items() if not name.endswith("num_batches_tracked")]
        for state in (weights, own)
    )
    matched = {}
    for (name, value), (place, now) in zip(theirs, mine, strict=True):
        if value.shape != now.shape:
            raise ValueError(f"{name} {tuple(value.shape)} does not fit {place} {tuple(now.shape)}")
        matched[place] = value
    return matched
    ### END SOLUTION


# %% tests="match_by_order" part="pairs" points=1
# Two tensors and a counter, which is left out
_got = match_by_order(
    {"0.gamma": torch.tensor([1.0, 2.0]), "1.kernel": torch.tensor([[3.0, 4.0]])},
    {
        "bn.weight": torch.zeros(2),
        "bn.num_batches_tracked": torch.tensor(0),
        "fc.weight": torch.zeros(1, 2),
    },
)
check.equal(list(_got), ["bn.weight", "fc.weight"], what="names given by match_by_order")
check.close(_got["bn.weight"], np.array([1.0, 2.0]), what="what was matched to bn.weight")
check.close(_got["fc.weight"], np.array([[3.0, 4.0]]), what="what was matched to fc.weight")
del _got


### BEGIN HIDDEN TESTS
def _hidden():
    dice = torch.Generator().manual_seed(1441)
    tracked = "num_batches_tracked"
    for theirs, mine, shapes in (
        (["c", "a", "b"], ["x.y", "w", "z"], [(2, 3), (4,), (4,)]),
        (["a", f"a.{tracked}", "b"], ["n.weight", "m.weight"], [(2,), None, (2, 1, 3)]),
        (["a", "b"], [f"q.{tracked}", "p", "o", f"z.{tracked}"], [(1,), ()]),
        (
            [f"b.{tracked}", "b", f"c.{tracked}"],
            ["b", f"b.{tracked}", f"c.{tracked}"],
            [None, (3,), None],
        ),
        ([], [], []),
        (["a.num_batches", "tracked"], [f"{tracked}.x", "e"], [(2,), (1, 2)]),
    ):
        weights = {
            name: torch.tensor(5) if shape is None else torch.randn(shape, generator=dice)
            for name, shape in zip(theirs, shapes, strict=True)
        }
        real = [shape for shape in shapes if shape is not None]
        places = [name for name in mine if not name.endswith(tracked)]
        own = {name: torch.tensor(0) for name in mine}
        own |= {name: torch.zeros(shape) for name, shape in zip(places, real, strict=True)}
        own = {name: own[name] for name in mine}
        values = [v.clone() for n, v in weights.items() if not n.endswith(tracked)]
        got = match_by_order(weights, own)
        what = f"match_by_order of {theirs} to {mine}"
        check.equal(list(got), places, what=f"names, {what}")
        for name, value in zip(places, values, strict=True):
            check.close(got[name], value, what=f"{name}, {what}")
        check.equal(list(weights), theirs, what=f"published names afterwards, {what}")
        check.equal(list(own), mine, what=f"own names afterwards, {what}")
        for name in places:
            check.close(
                own[name], np.zeros(tuple(own[name].shape)), what=f"own {name} afterwards, {what}"
            )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% tests="match_by_order" part="refused" points=1
# A shape that differs; one tensor too few
_own = {"a.weight": torch.zeros(2, 3), "b.weight": torch.zeros(4)}
check.raises(
    ValueError,
    match_by_order,
    {"p": torch.ones(2, 3), "q": torch.ones(5)},
    _own,
    what="match_by_order, (5,) for (4,)",
)
check.raises(
    ValueError,
    match_by_order,
    {"p": torch.ones(2, 3)},
    _own,
    what="match_by_order, one tensor for two",
)
_said = ""
try:
    match_by_order({"p.kernel": torch.ones(2, 3), "q.gamma": torch.ones(5)}, _own)
except ValueError as _error:
    _said = str(_error)
assert "q.gamma" in _said, "match_by_order: the message does not name q.gamma, which does not fit"
assert "b.weight" in _said, "match_by_order: the message does not name b.weight, where it should go"
del _own, _said


### BEGIN HIDDEN TESTS
def _hidden():
    def message(theirs, mine):
        try:
            match_by_order(
                {name: torch.ones(shape) for name, shape in theirs},
                {name: torch.zeros(shape) for name, shape in mine},
            )
        except ValueError as refused:
            return str(refused)
        return None

    good = [("first.w", (2, 3)), ("second.w", (3,)), ("third.w", (3, 1, 2, 2)), ("fourth.w", ())]
    mine = [("alpha.k", (2, 3)), ("beta.k", (3,)), ("gamma.k", (3, 1, 2, 2)), ("delta.k", ())]
    check.equal(
        message(good, mine) is None, True, what="whether match_by_order takes four tensors that fit"
    )
    for k, shape in (
        (0, (3, 2)),
        (1, (3, 1)),
        (1, ()),
        (2, (3, 1, 2)),
        (2, (1, 3, 2, 2)),
        (3, (1,)),
        (0, (6,)),
    ):
        theirs = [*good]
        theirs[k] = (good[k][0], shape)
        said = message(theirs, mine)
        what = (
            f"match_by_order, {good[k][0]} of shape {shape} for {mine[k][0]} of shape {mine[k][1]}"
        )
        check.equal(said is not None, True, what=f"whether ValueError was raised, {what}")
        for name in (good[k][0], mine[k][0]):
            assert name in said, f"{what}: the message does not name {name}"
    for theirs, own in (
        (good[:3], mine), (good, mine[:3]), (good[:0], mine), (good, mine[:0]),
        ([*good, ("bn.num_batches_tracked", ())], mine[:3]),
        (good[:3], [*mine[:3], ("x.w", ()), ("bn.num_batches_tracked", ())]),
    ):  # fmt: skip
        what = f"match_by_order of {len(theirs)} published entries to {len(own)} own ones"
        check.equal(
            message(theirs, own) is not None, True, what=f"whether ValueError was raised, {what}"
        )


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: `load_matching`
#
# *20 minutes, medium. What it is for: all of the weights, or none of them and a message that tells why.*
#
# Copy `weights` (names as in your model) into `model`.
#
# - Every tensor of `model.state_dict()` must be there, with the same shape, and nothing else. If not, raise one `ValueError` whose message contains the name of **every** tensor that is missing, of every one that is unexpected and of every one whose shape differs, and change **nothing** in the model. Missing `num_batches_tracked` are no mistake: files from before PyTorch 0.4.1 (2018) have none.
# - `head=False`: weight and bias of the model's last `nn.Linear` stay as they are, whatever `weights` has under their names (another size, or nothing).
# - The numbers are copied: dtype and device stay the model's, and the model shares no memory with `weights`.
# - Return the list of the names that were left as they were, in the order of `model.state_dict()`.
#
# <details><summary>Hint 1</summary>
#
# `load_state_dict(strict=True)` raises *after* it has copied all that fits. So look first, then load. `strict=False` forgives everything that is missing or unexpected, even if that is all of it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Three list comprehensions over the names: missing, unexpected, misshapen. The head's two names come from `named_modules()`.
#
# </details>


# %% exercise="load_matching"
def load_matching(model, weights, head=True):
    """Copy weights (name: tensor) into model -> names that were left as they were (head=False: the last nn.Linear's).

    Raises ValueError with all names that are missing (but num_batches_tracked), unexpected or of another shape;
    then nothing is changed.
    """
    ### BEGIN SOLUTION
    own, kept = model.state_dict(), []
    if not head:
        last = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
        kept = [f"{last}.weight", f"{last}.bias"]
    chosen = {name: value for name, value in weights.items() if name not in kept}
    left = [name for name in own if name not in chosen]
    missing = [name for name in left if name not in kept and "num_batches_tracked" not in name]
    unexpected = [name for name in chosen if name not in own]
    misshapen = [name for name in chosen if name in own and chosen[name].shape != own[name].shape]
    if missing or unexpected or misshapen:
        raise ValueError(f"missing {missing}, unexpected {unexpected}, other shapes {misshapen}")
    model.load_state_dict(chosen, strict=False)
    return left
    ### END SOLUTION


# %% tests="load_matching" part="values" points=1
# A model of two layers and its state, changed
@check.remote
def _loaded(load_matching):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    weights = {name: torch.full_like(value, 3) for name, value in net.state_dict().items()}
    del weights["1.num_batches_tracked"]
    left = load_matching(net, weights)
    return list(left), [float(value) for value in net.state_dict().values()]


_got = _loaded(load_matching)
check.equal(_got[0], ["1.num_batches_tracked"], what="names that were left as they were")
check.close(
    np.array(_got[1]), np.array([3.0, 3, 3, 3, 3, 3, 0]), what="the model's numbers afterwards"
)
del _loaded, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(load_matching, dtype, given, tracked, order):
        import torch
        from torch import nn

        torch.manual_seed(4)
        body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
        net = nn.Sequential(body, nn.Linear(4, 3)).to(getattr(torch, dtype))
        places = {name: value.data_ptr() for name, value in net.state_dict().items()}
        weights = {}
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                weights[name] = torch.randn(value.shape).to(getattr(torch, given))
            elif tracked:
                weights[name] = torch.tensor(7)
        weights = dict(sorted(weights.items(), reverse=order))
        before = {name: value.clone() for name, value in weights.items()}
        left = list(load_matching(net, weights))
        state = net.state_dict()
        right = [
            name
            for name, value in before.items()
            if torch.allclose(state[name].double(), value.double(), atol=1e-2)
        ]
        kinds = {str(value.dtype) for value in state.values() if value.is_floating_point()}
        same = all(torch.equal(before[name], value) for name, value in weights.items())
        shared = [
            name for name, value in weights.items() if value.data_ptr() == state[name].data_ptr()
        ]
        at_home = all(places[name] == value.data_ptr() for name, value in state.items())
        trainable = all(p.requires_grad and isinstance(p, nn.Parameter) for p in net.parameters())
        return left, sorted(right) == sorted(before), kinds, same, shared, at_home, trainable

    for dtype, given, tracked, order in (
        ("float32", "float32", True, False), ("float64", "float32", False, True),
        ("float32", "float64", True, True), ("float32", "float16", False, False),
    ):  # fmt: skip
        got = look(load_matching, dtype, given, tracked, order)
        what = f"a {dtype} model, {given} weights" + (
            "" if tracked else " without num_batches_tracked"
        )
        left = [] if tracked else ["0.1.num_batches_tracked"]
        check.equal(got[0], left, what=f"names that were left, {what}")
        check.equal(got[1], True, what=f"whether all numbers arrived, {what}")
        check.equal(
            got[2] == {f"torch.{dtype}"}, True, what=f"whether the model kept its dtype, {what}"
        )
        check.equal(got[3], True, what=f"whether weights are as before, {what}")
        check.equal(got[4], [], what=f"tensors that model and weights share, {what}")
        check.equal(
            got[5],
            True,
            what=f"whether the numbers were copied into the model's own tensors, {what}",
        )
        check.equal(got[6], True, what=f"whether the parameters can be trained, {what}")

    @check.remote
    def without_linear(load_matching):
        import torch
        from torch import nn

        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2)))
        weights = {name: torch.full_like(value, 2) for name, value in net.state_dict().items()}
        left = list(load_matching(net, weights))
        return left, sum(float(value.double().sum()) for value in net.state_dict().values())

    left, total = without_linear(load_matching)
    check.equal(left, [], what="names that were left, a model without nn.Linear")
    check.close(total, 2.0 * (18 + 2 + 8 + 1), what="sum of all numbers, a model without nn.Linear")


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="load_matching" part="refused" points=2
# One tensor missing, one unexpected, one of another shape: all three named, nothing changed
@check.remote
def _refused(load_matching):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    for p in net.parameters():
        p.data.zero_()
    weights = {
        "0.bias": torch.ones(2),
        "1.weight": torch.ones(5, 2),
        "1.bias": torch.ones(3),
        "x.bias": torch.ones(1),
    }
    message = ""
    try:
        load_matching(net, weights)
    except ValueError as error:
        message = str(error)
    return message, sum(float(p.detach().abs().sum()) for p in net.parameters())


_message, _sum = _refused(load_matching)
for _name, _why in (
    ("0.weight", "is missing"),
    ("1.weight", "has another shape"),
    ("x.bias", "is unexpected"),
):
    assert _name in _message, f"load_matching: no ValueError that names {_name}, which {_why}"
assert "0.bias" not in _message, "load_matching: the message names 0.bias, which is all right"
assert "1.bias" not in _message, "load_matching: the message names 1.bias, which is all right"
check.close(_sum, 0.0, what="sum of the model's numbers, which were 0, after the ValueError")
del _refused, _message, _sum, _name, _why


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(load_matching, drop, add, reshape, head):
        import torch
        from torch import nn

        torch.manual_seed(6)
        net = nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
            nn.Linear(3, 4),
            nn.Tanh(),
            nn.Linear(4, 2),
        )
        weights = {name: value.clone() + 1 for name, value in net.state_dict().items()}
        before = {name: value.clone() for name, value in net.state_dict().items()}
        for name in drop:
            del weights[name]
        for name in add:
            weights[name] = torch.ones(1)
        for name, shape in reshape:
            weights[name] = torch.ones(shape)
        message, raised = "", False
        try:
            load_matching(net, weights, head)
        except ValueError as refused:
            message, raised = str(refused), True
        state = net.state_dict()
        return (
            raised,
            message,
            all(torch.equal(value, state[name]) for name, value in before.items()),
        )

    everything = ["0.0.weight", "0.1.weight", "0.1.bias", "0.1.running_mean", "0.1.running_var"]
    everything += ["1.weight", "1.bias", "3.weight", "3.bias"]
    prefixed = [f"module.{name}" for name in everything]
    for drop, add, reshape, head in (
        (["0.1.running_mean"], [], [], True),
        (["0.1.running_var", "3.bias"], [], [], True),
        ([], ["extra.weight", "0.1.num_batches_trackt"], [], True),
        ([], [], [("1.weight", (3, 4)), ("0.0.weight", (3, 2, 3)), ("0.1.bias", (1,))], True),
        ([], [], [("3.weight", (7, 4)), ("3.bias", (7,))], True),
        ([], [], [("1.weight", (7, 3)), ("1.bias", (7,))], False),
        (["1.bias"], ["2.weight"], [("0.1.running_var", (3, 1))], False),
        (["1.weight", "1.bias"], [], [], False),
        (everything, prefixed, [], True),
        (["0.1.num_batches_tracked"], ["y"], [], True),
    ):
        raised, message, same = look(load_matching, drop, add, reshape, head)
        shapes = [name for name, _ in reshape]
        what = (
            f"load_matching, head={head}, missing {drop}, unexpected {add}, other shapes {shapes}"
        )
        check.equal(raised, True, what=f"whether ValueError was raised, {what}")
        check.equal(same, True, what=f"whether the model is as before, {what}")
        for name in {*drop, *add, *shapes} - {"0.1.num_batches_tracked"}:
            assert name in message, f"{what}: the message does not name {name}"


_hidden()
del _hidden
### END HIDDEN TESTS


# %% tests="load_matching" part="head" points=1
# head=False: the file's head has 1000 classes, the model's 3
@check.remote
def _headless(load_matching):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    net[1].weight.data.fill_(5.0)
    weights = {
        "0.weight": torch.ones(2, 2),
        "0.bias": torch.ones(2),
        "1.weight": torch.ones(1000, 2),
        "1.bias": torch.ones(1000),
    }
    left = load_matching(net, weights, head=False)
    return list(left), net[0].weight.detach().clone(), net[1].weight.detach().clone()


_got = _headless(load_matching)
check.equal(_got[0], ["1.weight", "1.bias"], what="names that were left as they were, head=False")
check.close(_got[1], np.ones((2, 2)), what="the first layer's weight, head=False")
check.close(_got[2], np.full((3, 2), 5.0), what="the head's weight, head=False")
del _headless, _got


### BEGIN HIDDEN TESTS
def _hidden():
    @check.remote
    def look(load_matching, kind, bias, given, tracked):
        import torch
        from torch import nn

        torch.manual_seed(8)
        if kind == "deep":
            top = nn.Sequential(
                nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Linear(6, 3, bias=bias))
            )
            net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), top)
            last = "2.2.1"
        else:
            two = nn.Linear(2, 3), nn.Linear(3, 3)
            net = nn.Sequential(*two, nn.Linear(3, 3, bias=bias), nn.BatchNorm1d(3))
            last = "2"
        weights = {name: value.clone() + 1 for name, value in net.state_dict().items()}
        before = {name: value.clone() for name, value in net.state_dict().items()}
        for name in (f"{last}.weight", f"{last}.bias"):
            if given == "none":
                weights.pop(name, None)
            elif given == "other":
                weights[name] = torch.zeros(11)
            elif given == "extra":
                weights[name] = torch.zeros(3)
        if not tracked:
            weights = {n: v for n, v in weights.items() if not n.endswith("tracked")}
        sizes = {name: tuple(value.shape) for name, value in weights.items()}
        left = list(load_matching(net, weights, head=False))
        after = net.state_dict()
        same = [name for name in before if torch.equal(before[name], after[name])]
        plus = [name for name in before if torch.equal(before[name] + 1, after[name])]
        intact = sizes == {name: tuple(value.shape) for name, value in weights.items()}
        return left, same, plus, list(before), intact

    for kind, last in (("deep", "2.2.1"), ("flat", "2")):
        for bias in (True, False):
            for given in ("same", "none", "other", "extra"):
                for tracked in (True, False):
                    left, same, plus, names, intact = look(
                        load_matching, kind, bias, given, tracked
                    )
                    what = f"load_matching, head=False, head {last} with bias={bias}, the file's head: {given}"
                    what += "" if tracked else ", no num_batches_tracked"
                    kept = [
                        n
                        for n in names
                        if n.rpartition(".")[0] == last or (n.endswith("tracked") and not tracked)
                    ]
                    check.equal(left, kept, what=f"names that were left, {what}")
                    check.equal(same, kept, what=f"tensors that are as before, {what}")
                    check.equal(
                        plus,
                        [n for n in names if n not in kept],
                        what=f"tensors that were loaded, {what}",
                    )
                    check.equal(intact, True, what=f"whether weights are as before, {what}")


_hidden()
del _hidden
### END HIDDEN TESTS

# %% [markdown]
# **Put together.** This cell is given; later units have it, with your functions inside.


# %% given=true
def load_published(model, path, sha256=None, rename=None, head=True):
    """Read published weights from the file at path into model -> names that were left as they were.

    sha256: the file's checksum (or the first eight digits or more; else what its name says). rename: {old beginning:
    new one}, or "order": by position and shape. head=False: the last nn.Linear stays as it is.
    """
    weights = read_weights(path, sha256)
    if rename == "order":
        weights = match_by_order(weights, model.state_dict())
    else:
        weights = rename_keys(weights, rename)
    return load_matching(model, weights, head)


# %%
def publish(net, folder, name="net", rename=None, parallel=False):
    """Save net's weights as torchvision does, with eight digits of the checksum in the name -> path."""
    weights = rename_keys({n: v.cpu() for n, v in net.state_dict().items()}, rename)
    if parallel:
        weights = {f"module.{n}": v for n, v in weights.items()}
    path = Path(folder) / "new.pth"
    torch.save(weights, path)
    return path.rename(
        path.with_name(f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
    )


with tempfile.TemporaryDirectory() as folder:
    theirs = ResNet(18).eval()
    file = publish(theirs, folder, "resnet18", parallel=True)
    mine = ResNet(18, num_classes=10).eval()
    left = load_published(mine, file, head=False)
    print(f"{file.name}, {file.stat().st_size / 1e6:.1f} MB; left as they were: {left}")
    picture = torch.rand(1, 3, 64, 64)
    alike = torch.allclose(
        extract_features(theirs, picture), extract_features(mine, picture), atol=1e-5
    )
    print("the same features:", alike)
    try:
        load_published(mine, file)
    except ValueError as error:
        print("with its head: ValueError:", str(error)[:90])
    file.write_bytes(file.read_bytes()[:-1000])  # the download broke off; the name still promises
    try:
        load_published(mine, file, head=False)
    except ValueError as error:
        print("cut off: ValueError:", str(error).replace(folder, "...")[:90])
assert alike
assert left == ["fc.weight", "fc.bias"]
theirs = mine = None

# %% [markdown]
# **What goes wrong in silence.** Three accidents that raise no error. The source network is published, and somebody loads it.
#
# 1. `strict=False`, and all names still begin with `module.`
# 2. Matched by order of shapes, from a library that writes $\beta$ before $\gamma$. Both have shape $(C,)$.
# 3. Everything loaded right, and the pictures fed as they come, from 0 to 1, without the **recipe** of the source (here: minus 0.15, over 0.3).
#
# **Predict.** Percent of letters for each (39 classes; the source network itself read about 70).

# %%
accidents = {}
prefixed = {f"module.{name}": value for name, value in source.state_dict().items()}
careless = LetterNet(seed=99).to(device)
report = careless.load_state_dict(prefixed, strict=False)
accidents["strict=False, module."] = percent(careless, *letters_test)
print(
    f"strict=False: no error. Missing: {len(report.missing_keys)} of {len(prefixed)}, unexpected: {len(report.unexpected_keys)}"
)

swapped = dict(source.state_dict())
for name in [n for n in swapped if n.endswith("1.weight")]:  # gamma of each stage's batch norm
    other = name.replace("weight", "bias")
    swapped[name], swapped[other] = swapped[other], swapped[name]
wrong = LetterNet().to(device)
load_matching(wrong, match_by_order(swapped, wrong.state_dict()))
accidents["gamma and beta swapped"] = percent(wrong, *letters_test)
accidents["raw pixels"] = percent(source, letters_test[0] * 0.3 + 0.15, letters_test[1])
accidents["all right"] = percent(source, *letters_test)
for name, value in accidents.items():
    print(f"{name:<24} {value:.0f} %")
assert accidents["strict=False, module."] < 10
assert accidents["gamma and beta swapped"] < accidents["all right"] - 30
assert accidents["raw pixels"] < accidents["all right"] - 10

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The first is a network of random weights: guessing is 2.6 %. The second has all the right numbers in wrong places, and every shape agrees. The third is the most common one. Nothing is wrong with the network, it is asked in a language that it never learned. For torchvision's ImageNet weights the recipe is: shorter side to 256, the middle 224 x 224, divided by 255, minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225) for red, green, blue. **The recipe is a part of the weights.**
#
# So after loading: *measure*. One number that the publisher gives (69.8 % top-1 on ImageNet for this file) and that you can reproduce is worth more than an absent error message.
#
# </details>

# %% [markdown]
# ## 9. The thing done
#
# Part 1 again, with strangers' weights. The source network is published under other names, from inside of `DataParallel`, with a checksum. You read it, rename it, leave out its head, and fine-tune it on fifty digits: the head first, then all. After that the same once more with **handwritten** digits: again five of each to learn from, and 797 others to read.

# %%
with tempfile.TemporaryDirectory() as folder:
    foreign = {
        "layer1": "stem",
        "layer2": "block.0",
        "layer3": "block.1",
        "layer4": "block.2",
        "fc": "classifier",
    }
    file = publish(source, folder, "letters", rename=foreign, parallel=True)
    adapted = LetterNet(10, seed=5)
    left = load_published(
        adapted, file, rename={new: old for old, new in foreign.items()}, head=False
    )
    print(f"{file.name}: left as they were: {left}")
adapted = probe_then_all(adapted.to(device), fifty_x, fifty_y, seed)
with_transfer = percent(adapted, *digits_test)
print(
    f"printed digits, fifty for training: from scratch {from_scratch:.0f} %, with transfer {with_transfer:.0f} %"
)

hand_x, hand_y = few(written_x[:1000], written_y[:1000], 5, seed)
hand = {
    "from scratch": fit(LetterNet(10, seed=seed), hand_x, hand_y),
    "with transfer": probe_then_all(
        fresh_head(copy.deepcopy(source), hand_y, seed), hand_x, hand_y, seed
    ),
}
hand = {name: percent(net, written_x[1000:], written_y[1000:]) for name, net in hand.items()}
print(
    "handwritten digits, fifty for training: "
    + ", ".join(f"{n} {v:.0f} %" for n, v in hand.items())
)
assert with_transfer > from_scratch + 15

# %% [markdown]
# <details><summary>What you should see, and why</summary>
#
# The fifty printed digits of part 1: from under 50 % to over 65 %, with weights that came from a file. And the handwritten ones are the warning at the end: they are smooth, large and without noise, an easy set on which fifty pictures already carry a network from scratch far, and the source's habits (filters against heavy noise) may cost more than they give. Read your own two numbers. Near is not what *we* call near.
#
# </details>

# %% [markdown] manual="which_way" points=3
# **Which way, and why?** A friend has 300 X-ray pictures of hands, 512 x 512 and grey, in six classes, and wants to use a `ResNet(18)` trained on ImageNet. In five to eight sentences: which of the ways of this unit would you try first, which control would you run beside it and what would it tell you, what must happen to the pictures before they go in, and what would make you drop the pretrained weights?
#
# ### BEGIN SOLUTION
# With 300 pictures I would start with a linear probe on `extract_features`, computed once: it costs minutes, and it is the yardstick for all that follows. (300 points in 512 dimensions can be told apart perfectly, so its training accuracy says nothing; I look at held-out pictures, and use weight decay.) X-rays are far from photographs, so beside it I run the same probe on a random `ResNet(18)` whose batch norms have measured X-rays; only what the pretrained one is better by was transferred. Then probe-then-all with small, falling rates (`parameter_groups`) and the same network from scratch with the same number of steps; three or more splits, since 300 pictures give a test error with a spread of several percent. The recipe belongs to the weights: three equal channels (or the first convolution's weights summed over its input channels), the size and the mean and standard deviation of ImageNet. I would also try features from an earlier stage. I drop the pretrained weights if from scratch is as good on several splits: at the far end of part 6 it was better.
# ### END SOLUTION

# %% [markdown] manual="the_log" points=2
# **Read this log.** Somebody fine-tunes the head of a network and has "frozen everything else" by `requires_grad = False`. Batches of 4. The printed training accuracy (measured in training mode, on the batches) is 92 %. On the *same* training pictures `evaluate` gives 61 %. And the old head, put back, has lost a third of its old accuracy. What has happened, how would you prove it without any training, and what are two cures?
#
# ### BEGIN SOLUTION
# The batch norms were not frozen: in training mode they normalize each batch of 4 by its own statistics, and drag their running statistics along. The head has learned to live with features normalized by the batch; `evaluate` normalizes by the running statistics, which after noisy batches of 4 fit neither the batches nor the source. Proof: send the pictures through in training mode under `no_grad`, without any optimizer, and watch the old head's accuracy fall (or compare `running_mean` before and after). Cures: hold the batch norms (`freeze`), so that training and use see the same features; or compute the features once in evaluation mode and train the head on these; or, if the new statistics are wanted, measure them once on many pictures and hold them then.
# ### END SOLUTION

# %% [markdown]
# ## What you learnt
#
# Three things for tomorrow:
#
# 1. **Transfer is a measurement, not a belief.** Beside each transferred result stand two others: from scratch, and the same procedure on a random network. Near and with little data it won by far. Far away it won nothing, and lost where there was more data.
# 2. **A frozen layer has two doors.** `requires_grad = False` closes one. The running statistics of batch norm go through the other, in every forward pass in training mode. And where each of two causes is enough by itself, a control needs all four corners.
# 3. **A published file is a program until you refuse to run it, and a heap of numbers until you have measured that it works.** Checksum, `weights_only=True`, every name accounted for, the recipe, one number reproduced.
#
# ## What to read
#
# - J. Yosinski, J. Clune, Y. Bengio, H. Lipson, *How transferable are features in deep neural networks?*, NeurIPS 2014, [arXiv:1411.1792](https://arxiv.org/abs/1411.1792): figure 2, the cut.
# - S. Kornblith, J. Shlens, Q. Le, *Do Better ImageNet Models Transfer Better?*, CVPR 2019, [arXiv:1805.08974](https://arxiv.org/abs/1805.08974): probes, fine-tuning and from scratch on twelve sets.
# - K. He, R. Girshick, P. Dollár, *Rethinking ImageNet Pre-training*, ICCV 2019, [arXiv:1811.08883](https://arxiv.org/abs/1811.08883): with enough data and patience, from scratch is as good.
# - J. Howard, S. Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018, [arXiv:1801.06146](https://arxiv.org/abs/1801.06146): section 3, discriminative rates and gradual unfreezing.
# - A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, *Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution*, ICLR 2022, [arXiv:2202.10054](https://arxiv.org/abs/2202.10054): the head first.
# - S. Kornblith, M. Norouzi, H. Lee, G. Hinton, *Similarity of Neural Network Representations Revisited*, ICML 2019, [arXiv:1905.00414](https://arxiv.org/abs/1905.00414): CKA.
# - P. Goyal and others, *Accurate, Large Minibatch SGD*, 2017, [arXiv:1706.02677](https://arxiv.org/abs/1706.02677): no decay for $\gamma$ and $\beta$, among much else.
#
# ## The road not taken
#
# You changed all weights or only the head. There is a middle: leave every weight as it is and train small pieces beside them. *Adapters* (Rebuffi, Bilen and Vedaldi 2017, for images) add a small convolution to each block; *LoRA* (Hu and others 2021) adds a matrix of low rank to each weight. One frozen network then serves a hundred tasks. And the source task itself may be another one: today most networks that are worth transferring were trained without labels, by making two views of one picture agree (Chen and others 2020, SimCLR) or by guessing hidden pieces of it (He and others 2022, MAE).
