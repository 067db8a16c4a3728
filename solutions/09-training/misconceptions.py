"""Wrong and unusual solutions of unit 09, each with the hint that its author needs."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from previously import BatchNorm, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential
from torch import nn

from grader.misconceptions import alternative, misconception

# ---- numpy_network --------------------------------------------------------------------------


@misconception(
    "numpy_network",
    "What is the side of a map after a 5 x 5 kernel without padding? The table says 28.",
    name="no_padding",
)
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """The convolutions shrink the picture."""
    H, W = image_size
    layers = [Conv2d(in_channels, 16, 5, rng), BatchNorm(16), ReLU(), MaxPool2d(2)]
    layers += [Conv2d(16, 32, 5, rng), BatchNorm(32), ReLU(), MaxPool2d(2), Flatten()]
    return Sequential([*layers, Dense(32 * (H // 4) * (W // 4), num_classes, rng)])


@misconception(
    "numpy_network",
    "The table has two lines between convolution and pooling. In which order?",
    name="norm_after_relu",
    fails=["numpy_network-wiring"],
)
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """ReLU before batch norm."""
    H, W = image_size
    layers = [Conv2d(in_channels, 16, 5, rng, padding=2), ReLU(), BatchNorm(16), MaxPool2d(2)]
    layers += [Conv2d(16, 32, 5, rng, padding=2), ReLU(), BatchNorm(32), MaxPool2d(2), Flatten()]
    return Sequential([*layers, Dense(32 * (H // 4) * (W // 4), num_classes, rng)])


@misconception(
    "numpy_network",
    "Pool a side of 7 twice. How many windows of 2 fit into 7 without hanging over the edge?",
    name="rounds_up",
)
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """Odd sides are rounded up."""
    H, W = (-(-side // 4) for side in image_size)
    layers = [Conv2d(in_channels, 16, 5, rng, padding=2), BatchNorm(16), ReLU(), MaxPool2d(2)]
    layers += [Conv2d(16, 32, 5, rng, padding=2), BatchNorm(32), ReLU(), MaxPool2d(2), Flatten()]
    return Sequential([*layers, Dense(32 * H * W, num_classes, rng)])


@misconception(
    "numpy_network",
    "Count the ReLUs of the table. Two linear layers in a row are one.",
    name="one_relu",
    fails=["numpy_network-wiring"],
)
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """The second ReLU is missing."""
    H, W = image_size
    layers = [Conv2d(in_channels, 16, 5, rng, padding=2), BatchNorm(16), ReLU(), MaxPool2d(2)]
    layers += [Conv2d(16, 32, 5, rng, padding=2), BatchNorm(32), MaxPool2d(2), Flatten()]
    return Sequential([*layers, Dense(32 * (H // 4) * (W // 4), num_classes, rng)])


@misconception(
    "numpy_network",
    "Build it twice, from two generators. Are the weights different?",
    name="rng_of_its_own",
    fails=["numpy_network-wiring"],
)
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """Draws from a generator of its own."""
    rng, (H, W) = np.random.default_rng(0), image_size
    layers = [Conv2d(in_channels, 16, 5, rng, padding=2), BatchNorm(16), ReLU(), MaxPool2d(2)]
    layers += [Conv2d(16, 32, 5, rng, padding=2), BatchNorm(32), ReLU(), MaxPool2d(2), Flatten()]
    return Sequential([*layers, Dense(32 * (H // 4) * (W // 4), num_classes, rng)])


@alternative("numpy_network", name="in_a_loop")
def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """The two stages are one loop, the side is followed through the poolings."""
    layers, (H, W) = [], image_size
    for out_channels in (16, 32):
        layers.append(
            Conv2d(in_channels, out_channels, kernel_size=5, rng=rng, stride=1, padding=2)
        )
        layers.extend([BatchNorm(out_channels), ReLU(), MaxPool2d(2, 2)])
        in_channels, H, W = out_channels, H // 2, W // 2
    print("flat:", in_channels * H * W)
    return Sequential([*layers, Flatten(), Dense(in_channels * H * W, num_classes, rng)])


# ---- FashionNet -----------------------------------------------------------------------------


@misconception(
    "FashionNet",
    "What does F.cross_entropy do to the logits first? Then it is done twice.",
    name="softmax_at_the_end",
    fails=["FashionNet-wiring", "FashionNet-learning"],
)
class FashionNet(nn.Module):
    """Probabilities in the place of logits."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.max_pool2d(F.relu(self.n2(self.c2(x))), 2)
        return self.fc(x.flatten(1)).softmax(dim=1)


@misconception(
    "FashionNet",
    "Batch norm stands before the ReLU in the table. What are mean and variance of what comes out of a ReLU?",
    name="norm_after_relu",
    fails=["FashionNet-wiring"],
)
class FashionNet(nn.Module):
    """ReLU before batch norm."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.max_pool2d(self.n1(F.relu(self.c1(x))), 2)
        x = F.max_pool2d(self.n2(F.relu(self.c2(x))), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "One stage has no non-linearity. Walk through forward with the table beside you.",
    name="one_relu",
    fails=["FashionNet-wiring"],
)
class FashionNet(nn.Module):
    """The second ReLU is missing."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.max_pool2d(self.n2(self.c2(x)), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "Print list(model.parameters()). Torch registers modules that are assigned to self; does it look into a Python list?",
    name="layers_in_a_list",
)
class FashionNet(nn.Module):
    """The convolutions hide in a Python list."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.stages = [
            nn.Sequential(nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)),
            nn.Sequential(nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)),
        ]
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        for stage in self.stages:
            x = F.max_pool2d(F.relu(stage(x)), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "1,568 is 32 * 7 * 7. Where does 7 come from when the picture is not 28 x 28?",
    name="only_28",
)
class FashionNet(nn.Module):
    """The last layer knows one size of picture only."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.fc = nn.Linear(1568, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.max_pool2d(F.relu(self.n2(self.c2(x))), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "A bias before a batch norm is redundant, and the table counts it all the same: 416 = 400 + 16.",
    name="no_bias",
)
class FashionNet(nn.Module):
    """Convolutions without bias, as ResNets have them."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2, bias=False), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2, bias=False), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.max_pool2d(F.relu(self.n2(self.c2(x))), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "Where is the maximum taken, and where the mean? Read the lines of the table with POOL again.",
    name="average_pooling",
    fails=["FashionNet-wiring"],
)
class FashionNet(nn.Module):
    """Average pooling."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = nn.Conv2d(in_channels, 16, 5, padding=2), nn.BatchNorm2d(16)
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.avg_pool2d(F.relu(self.n2(self.c2(x))), 2)
        return self.fc(x.flatten(1))


@misconception(
    "FashionNet",
    "Keras's momentum 0.99 weights the OLD statistics, torch's weights the new ones. What is 0.99 here?",
    name="momentum_of_keras",
    fails=["FashionNet-shapes"],
)
class FashionNet(nn.Module):
    """Batch norm with the momentum of another library: no training loss shows it."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.c1, self.n1 = (
            nn.Conv2d(in_channels, 16, 5, padding=2),
            nn.BatchNorm2d(16, momentum=0.99),
        )
        self.c2, self.n2 = nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32, momentum=0.99)
        self.fc = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n1(self.c1(x))), 2)
        x = F.max_pool2d(F.relu(self.n2(self.c2(x))), 2)
        return self.fc(x.flatten(1))


@alternative("FashionNet", name="one_sequential")
class FashionNet(nn.Module):
    """All in one Sequential, ReLUs in place, made in a loop."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        layers, (H, W) = [], image_size
        for channels in (16, 32):
            layers += [nn.Conv2d(in_channels, channels, (5, 5), padding="same")]
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)]
            in_channels, H, W = channels, H // 2, W // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(in_channels * H * W, num_classes))

    def forward(self, pictures):
        return self.net(pictures)


@alternative("FashionNet", name="last_layer_first")
class FashionNet(nn.Module):
    """By hand, the last layer defined first, and the ReLU after the pooling, which is the same."""

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        self.out = nn.Linear(32 * (image_size[0] // 4) * (image_size[1] // 4), num_classes)
        self.norm_b, self.norm_a = nn.BatchNorm2d(32), nn.BatchNorm2d(16)
        self.b = nn.Conv2d(16, 32, kernel_size=5, padding=2)
        self.a = nn.Conv2d(in_channels, 16, kernel_size=5, padding=2)

    def forward(self, x):
        x = torch.relu(F.max_pool2d(self.norm_a(self.a(x)), kernel_size=2, stride=2))
        x = F.max_pool2d(self.norm_b(self.b(x)), kernel_size=2, stride=2).clamp(min=0)
        return self.out(x.reshape(x.shape[0], -1))


# ---- copy_weights ---------------------------------------------------------------------------


@misconception(
    "copy_weights",
    "Our Dense computes x @ w, torch's Linear x @ weight.T. What are the shapes of the two?",
    name="not_turned",
    fails=["copy_weights-weights", "copy_weights-in_place"],
)
def copy_weights(net, model):
    """The dense weight as it is."""
    names = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
            for name, array in layer.params.items():
                getattr(twin, names[name]).copy_(torch.from_numpy(array))
            if isinstance(twin, nn.BatchNorm2d):
                twin.running_mean.copy_(torch.from_numpy(layer.running_mean))
                twin.running_var.copy_(torch.from_numpy(layer.running_var))


@misconception(
    "copy_weights",
    "reshape makes the shapes fit and keeps the order in memory. Is that a transposition? Try [[1, 2], [3, 4]].",
    name="reshaped",
    fails=["copy_weights-weights"],
)
def copy_weights(net, model):
    """The dense weight is reshaped instead of transposed."""
    names = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
            for name, array in layer.params.items():
                target = getattr(twin, names[name])
                target.copy_(torch.from_numpy(array).reshape(target.shape))
            if isinstance(twin, nn.BatchNorm2d):
                twin.running_mean.copy_(torch.from_numpy(layer.running_mean))
                twin.running_var.copy_(torch.from_numpy(layer.running_var))


@misconception(
    "copy_weights",
    "Compare the two networks in use as well. What does batch norm divide by there?",
    name="no_statistics",
    fails=["copy_weights-statistics"],
)
def copy_weights(net, model):
    """Parameters only: the running statistics stay."""
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
            weight, bias = layer.params.values()
            twin.weight.copy_(torch.tensor(weight.T if isinstance(twin, nn.Linear) else weight))
            twin.bias.copy_(torch.tensor(bias))


@misconception(
    "copy_weights",
    "Change the model's weight after the copy, and look at ours. torch.from_numpy makes no copy.",
    name="shares_memory",
    fails=["copy_weights-in_place"],
)
def copy_weights(net, model):
    """The parameters' data become our arrays."""
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
        weight, bias = layer.params.values()
        twin.weight.data = torch.from_numpy(weight.T if isinstance(twin, nn.Linear) else weight)
        twin.bias.data = torch.from_numpy(bias)
        if isinstance(twin, nn.BatchNorm2d):
            twin.running_mean.data = torch.from_numpy(layer.running_mean)
            twin.running_var.data = torch.from_numpy(layer.running_var)


@misconception(
    "copy_weights",
    "The optimizer was made with the old parameters. Which ones does it move now?",
    name="new_parameters",
    fails=["copy_weights-in_place"],
)
def copy_weights(net, model):
    """New Parameter objects."""
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
        weight, bias = layer.params.values()
        turned = weight.T.copy() if isinstance(twin, nn.Linear) else weight
        kind = twin.weight.dtype
        twin.weight = nn.Parameter(torch.tensor(turned, dtype=kind))
        twin.bias = nn.Parameter(torch.tensor(bias, dtype=kind))
        if isinstance(twin, nn.BatchNorm2d):
            twin.running_mean = torch.tensor(layer.running_mean, dtype=kind)
            twin.running_var = torch.tensor(layer.running_var, dtype=kind)


@misconception(
    "copy_weights",
    "Which of gamma and beta multiplies? In torch's BatchNorm2d that one is called weight.",
    name="gamma_is_the_bias",
    fails=["copy_weights-weights", "copy_weights-statistics"],
)
def copy_weights(net, model):
    """gamma and beta are exchanged."""
    names = {"w": "weight", "b": "bias", "gamma": "bias", "beta": "weight"}
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
            for name, array in layer.params.items():
                turned = array.T if isinstance(twin, nn.Linear) else array
                getattr(twin, names[name]).copy_(torch.from_numpy(turned))
            if isinstance(twin, nn.BatchNorm2d):
                twin.running_mean.copy_(torch.from_numpy(layer.running_mean))
                twin.running_var.copy_(torch.from_numpy(layer.running_var))


@misconception(
    "copy_weights",
    "torch.Tensor(array) and .float() make float32 of everything. What is left of a float64 after that?",
    name="through_float32",
    fails=["copy_weights-weights"],
)
def copy_weights(net, model):
    """Every array goes through float32, also into a float64 model."""
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip([one for one in net.layers if one.params], twins, strict=True):
            weight, bias = layer.params.values()
            twin.weight.copy_(torch.Tensor(weight.T if isinstance(twin, nn.Linear) else weight))
            twin.bias.copy_(torch.Tensor(bias))
            if isinstance(twin, nn.BatchNorm2d):
                twin.running_mean.copy_(torch.Tensor(layer.running_mean))
                twin.running_var.copy_(torch.Tensor(layer.running_var))


@alternative("copy_weights", name="by_state_dict")
def copy_weights(net, model):
    """A state dict is made of our arrays, and loaded."""
    arrays = []
    for layer in net.layers:
        if layer.params:
            for array in layer.params.values():
                arrays.append(array.T if array.ndim == 2 else array)
            if isinstance(layer, BatchNorm):
                arrays += [layer.running_mean, layer.running_var]
    old = model.state_dict()
    names = [name for name in old if not name.endswith("num_batches_tracked")]
    new = {name: torch.tensor(np.array(array)) for name, array in zip(names, arrays, strict=True)}
    model.load_state_dict({**old, **new})


@alternative("copy_weights", name="data_and_ellipsis")
def copy_weights(net, model):
    """Writes through .data, with an index."""
    kinds = {Conv2d: nn.Conv2d, BatchNorm: nn.BatchNorm2d, Dense: nn.Linear}
    modules = iter([m for m in model.modules() if isinstance(m, tuple(kinds.values()))])
    for layer in net.layers:
        if not layer.params:
            continue
        twin = next(modules)
        if isinstance(twin, nn.BatchNorm2d):
            twin.weight.data[...] = torch.as_tensor(layer.params["gamma"])
            twin.bias.data[...] = torch.as_tensor(layer.params["beta"])
            twin.running_mean[...] = torch.as_tensor(layer.running_mean)
            twin.running_var[...] = torch.as_tensor(layer.running_var)
        else:
            w = torch.as_tensor(layer.params["w"])
            twin.weight.data[...] = w.t() if isinstance(twin, nn.Linear) else w
            twin.bias.data[...] = torch.as_tensor(layer.params["b"])


# ---- evaluate -------------------------------------------------------------------------------


@misconception(
    "evaluate",
    "Ten examples in batches of 4 are 4, 4 and 2. How much does each of the last two count in your mean?",
    name="mean_of_means",
    fails=["evaluate-mean", "evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """The mean over batches."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    losses, rights = [], []
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits = model(xb.to(device))
            losses.append(float(F.cross_entropy(logits, yb.to(device))))
            rights.append(float((logits.argmax(1) == yb.to(device)).float().mean()))
    model.train(was_training)
    return sum(losses) / len(losses), sum(rights) / len(rights)


@misconception(
    "evaluate",
    "Evaluate the same pictures twice with a model that has dropout. Should the two numbers differ?",
    name="forgets_eval",
    fails=["evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """In whatever mode the model is."""
    device = next(model.parameters()).device
    loss, right = 0.0, 0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits, yb = model(xb.to(device)), yb.to(device)
            loss += float(F.cross_entropy(logits, yb, reduction="sum"))
            right += int((logits.argmax(1) == yb).sum())
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "Print model.training before and after the call. Whoever trains on will wonder.",
    name="stays_in_eval",
    fails=["evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """Leaves the model in evaluation mode."""
    device = next(model.parameters()).device
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits, yb = model(xb.to(device)), yb.to(device)
            loss += float(F.cross_entropy(logits, yb, reduction="sum"))
            right += int((logits.argmax(1) == yb).sum())
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "A model that came in evaluation mode should leave in evaluation mode. Note its mode first.",
    name="always_back_to_training",
    fails=["evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """Sets training mode at the end, whatever it was."""
    device = next(model.parameters()).device
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits, yb = model(xb.to(device)), yb.to(device)
            loss += float(F.cross_entropy(logits, yb, reduction="sum"))
            right += int((logits.argmax(1) == yb).sum())
    model.train()
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "Look at logits.requires_grad. Torch keeps every activation for a backward that never comes.",
    name="keeps_graphs",
    fails=["evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """Without no_grad."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    loss, right = 0.0, 0
    for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits, yb = model(xb.to(device)), yb.to(device)
        loss += float(F.cross_entropy(logits, yb, reduction="sum").detach())
        right += int((logits.argmax(1) == yb).sum())
    model.train(was_training)
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "The model may lie on a GPU, and the pictures not. Where does each batch have to go?",
    name="stays_where_it_is",
    fails=["evaluate-device"],
)
def evaluate(model, x, y, batch_size=256):
    """Moves nothing."""
    was_training = model.training
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits = model(xb)
            loss += float(F.cross_entropy(logits, yb, reduction="sum"))
            right += int((logits.argmax(1) == yb).sum())
    model.train(was_training)
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "The model gives logits, and F.cross_entropy wants logits. What is your softmax for?",
    name="softmax_first",
    fails=["evaluate-mean", "evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """Cross-entropy of probabilities."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            p, yb = model(xb.to(device)).softmax(dim=1), yb.to(device)
            loss += float(F.cross_entropy(p, yb, reduction="sum"))
            right += int((p.argmax(1) == yb).sum())
    model.train(was_training)
    return loss / len(x), right / len(x)


@misconception(
    "evaluate",
    "How many examples go through the model at once if there are 60,000? What is batch_size for?",
    name="all_at_once",
    fails=["evaluate-mean", "evaluate-device"],
)
def evaluate(model, x, y, batch_size=256):
    """Everything in one batch."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    with torch.no_grad():
        logits, y = model(x.to(device)), y.to(device)
    model.train(was_training)
    return float(F.cross_entropy(logits, y)), float((logits.argmax(1) == y).double().mean())


@misconception(
    "evaluate",
    "How many examples has the last batch? You count it as if it had batch_size of them.",
    name="last_batch_is_full",
    fails=["evaluate-mean", "evaluate-mode"],
)
def evaluate(model, x, y, batch_size=256):
    """Batch means times batch_size, also for the smaller last batch."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    loss, right = 0.0, 0.0
    with torch.no_grad():
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits, yb = model(xb.to(device)), yb.to(device)
            loss += float(F.cross_entropy(logits, yb)) * batch_size
            right += float((logits.argmax(1) == yb).float().mean()) * batch_size
    model.train(was_training)
    return loss / len(x), right / len(x)


@alternative("evaluate", name="all_logits_first")
def evaluate(model, x, y, batch_size=256):
    """Collects the logits of all batches, and judges them together in float64."""
    where = next(iter(model.parameters())).device
    mode = model.training
    model.train(False)
    with torch.inference_mode():
        logits = torch.cat([model(part.to(where)).cpu().double() for part in x.split(batch_size)])
    model.train(mode)
    y = y.cpu()
    loss = -logits.log_softmax(dim=1).gather(1, y[:, None]).mean()
    return loss.item(), np.mean((logits.argmax(dim=1) == y).numpy())


@alternative("evaluate", name="data_loader")
def evaluate(model, x, y, batch_size=256):
    """With a DataLoader, batch means weighted by their sizes."""
    device, was_training = next(model.parameters()).device, model.training
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size)
    loss = right = 0.0
    with torch.no_grad():
        model.eval()
        for xb, yb in loader:
            xb, yb = xb.to(device), yb.to(device)
            logits = model(xb)
            loss += len(xb) * F.cross_entropy(logits, yb).item()
            right += len(xb) * (logits.argmax(1) == yb).double().mean().item()
    model.train(was_training)
    print("evaluated", len(x))
    return [loss / len(x), right / len(x)][0], right / len(x)


# ---- train ----------------------------------------------------------------------------------


@misconception(
    "train",
    "Print p.grad of one parameter after each backward. backward adds; who sets it to zero?",
    name="no_zero_grad",
    fails=["train-steps"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The gradients pile up."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "The third loss of the visible check is right only if cross_entropy gets logits. What do you hand it?",
    name="softmax_first",
    fails=["train-steps"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Cross-entropy of probabilities."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(F.softmax(model(xb), dim=1), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "In which order does the network see the examples? Patient A of part 6 would like a word.",
    name="never_shuffles",
    fails=["train-batches"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """In the order of the file."""
    device, losses = next(model.parameters()).device, []
    for epoch in range(epochs):
        model.train()
        for start in range(0, len(x), batch_size):
            xb, yb = (
                x[start : start + batch_size].to(device),
                y[start : start + batch_size].to(device),
            )
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "Do the same examples always meet in one batch? When is the order drawn?",
    name="shuffles_once",
    fails=["train-batches"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """One order for all epochs."""
    device, losses = next(model.parameters()).device, []
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    for epoch in range(epochs):
        model.train()
        for batch in order.split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "torch.manual_seed sets the generator that everybody shares: dropout, new layers, other people's code. Have one of "
    "your own.",
    name="seeds_the_world",
    fails=["train-batches"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Seeds torch's shared generator."""
    device, losses = next(model.parameters()).device, []
    torch.manual_seed(seed)
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x)).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "Call it twice with one seed. Are the batches the same? Who draws the order?",
    name="ignores_seed",
    fails=["train-batches"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The order comes from torch's shared generator."""
    device, losses = next(model.parameters()).device, []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x)).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "after_epoch may call model.eval(). In which mode does the next epoch train?",
    name="training_mode_once",
    fails=["train-modes"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Training mode is set once, before the first epoch."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    model.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "Where does a batch lie, and where the model? On one CPU you do not see the difference.",
    name="moves_nothing",
    fails=["train-modes"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The batches stay where they are."""
    dice, losses = torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch], y[batch]
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "The schedules of this course count steps. How often does yours move in an epoch of three batches?",
    name="scheduler_each_epoch",
    fails=["train-hooks"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The scheduler moves once an epoch."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        if scheduler is not None:
            scheduler.step()
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "What does after_epoch return, and what should a true answer do?",
    name="never_stops",
    fails=["train-hooks"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """after_epoch is called, and its answer is ignored."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None:
            after_epoch(epoch)
    return losses


@misconception(
    "train",
    "An augmentation that is drawn once is no augmentation: each batch should be changed anew.",
    name="augments_once",
    fails=["train-hooks", "train-modes"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The whole set is augmented, once."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    x = x if augment is None else augment(x)
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            loss = F.cross_entropy(model(x[batch].to(device)), y[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "Ten examples, four at a time: how many are never learned from in your epoch?",
    name="drops_the_rest",
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Leaves out the smaller last batch."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(x), generator=dice)
        for k in range(len(x) // batch_size):
            batch = order[k * batch_size : (k + 1) * batch_size]
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "What do the gradients hold at the moment of optimizer.step? Read your five lines in order.",
    name="zero_grad_before_step",
    fails=["train-steps"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """backward, and then the gradients to zero, before they are used."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "Each loss is the one before its step. The first loss of the example is ln 2: the weights are still 0.",
    name="loss_after_the_step",
    fails=["train-steps", "train-batches", "train-modes", "train-hooks"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Looks again after the step, and notes that loss."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            xb = xb if augment is None else augment(xb)
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
            loss = F.cross_entropy(model(xb), yb)
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@misconception(
    "train",
    "augment gets the batch on the model's device (on a GPU it is much faster there). Which of your two lines comes first?",
    name="augments_before_moving",
    fails=["train-modes"],
)
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The batch is augmented where x lies, and moved then."""
    device, dice, losses = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb = x[batch] if augment is None else augment(x[batch])
            xb, yb = xb.to(device), y[batch].to(device)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(float(loss.detach()))
        if after_epoch is not None and after_epoch(epoch):
            break
    return losses


@alternative("train", name="numpy_order")
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """The order comes from NumPy, gradients are set to None by hand after the step."""
    rng, losses, where = np.random.default_rng(seed), [], next(iter(model.parameters())).device
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            model.train(True)
            index = torch.as_tensor(order[start : start + batch_size])
            inputs = x[index].to(where)
            if augment:
                inputs = augment(inputs)
            logits = model(inputs)
            loss = -logits.log_softmax(1).gather(1, y[index].to(where)[:, None]).mean()
            loss.backward()
            optimizer.step()
            for p in model.parameters():
                p.grad = None
            if scheduler:
                scheduler.step()
            losses.append(loss.item())
        if after_epoch and after_epoch(epoch):
            return losses
    return losses


@alternative("train", name="data_loader")
def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """With a DataLoader."""
    device, losses, dice = next(model.parameters()).device, [], torch.Generator()
    dice.manual_seed(seed)
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, batch_size, shuffle=True, generator=dice)
    for epoch in range(epochs):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad(set_to_none=False)
            xb, yb = xb.to(device), yb.to(device)
            if augment is not None:
                xb = augment(xb)
            loss = nn.CrossEntropyLoss()(model(xb), yb)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.item())
        stop = after_epoch(epoch) if after_epoch is not None else False
        if stop:
            break
    return losses


# ---- confusion_matrix -----------------------------------------------------------------------


@misconception(
    "confusion_matrix",
    "Rows are truth. Which of your two indices comes first?",
    name="columns_are_truth",
)
def confusion_matrix(y_true, y_pred, num_classes):
    """Turned round."""
    counts = np.zeros((num_classes, num_classes), dtype=int)
    np.add.at(counts, (y_pred, y_true), 1)
    return counts


@misconception(
    "confusion_matrix",
    "m[rows, columns] += 1 reads all, adds 1 to all, and writes all. What happens to a place that occurs twice?",
    name="counts_once",
)
def confusion_matrix(y_true, y_pred, num_classes):
    """A place that occurs several times is counted once."""
    counts = np.zeros((num_classes, num_classes), dtype=int)
    counts[y_true, y_pred] += 1
    return counts


@misconception(
    "confusion_matrix",
    "Take 20 classes and labels in uint8. What is 19 * 20 + 19 there?",
    name="overflows",
)
def confusion_matrix(y_true, y_pred, num_classes):
    """Computes with the labels in their own type."""
    place = y_true * y_true.dtype.type(num_classes) + y_pred
    return np.bincount(place, minlength=num_classes**2)[: num_classes**2].reshape(num_classes, -1)


@misconception(
    "confusion_matrix",
    "A class that nobody saw and nobody named has a row and a column, too.",
    name="only_seen_classes",
)
def confusion_matrix(y_true, y_pred, num_classes):
    """As many classes as occur."""
    size = int(max(y_true.max(), y_pred.max())) + 1
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (y_true, y_pred), 1)
    return counts


@misconception(
    "confusion_matrix",
    "The counts need an integer type of their own. How far can one of uint8, the labels' type, count?",
    name="counts_in_the_labels_type",
)
def confusion_matrix(y_true, y_pred, num_classes):
    """The matrix has the type of the labels."""
    counts = np.zeros((num_classes, num_classes), dtype=np.asarray(y_true).dtype)
    np.add.at(counts, (y_true, y_pred), 1)
    return counts


@alternative("confusion_matrix", name="loop")
def confusion_matrix(y_true, y_pred, num_classes):
    """A loop in Python."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int32)
    for i, j in zip(y_true, y_pred, strict=True):
        counts[i, j] = counts[i, j] + 1
    return counts


@alternative("confusion_matrix", name="one_hot")
def confusion_matrix(y_true, y_pred, num_classes):
    """A product of one-hot matrices."""
    eye = np.eye(num_classes, dtype=int)
    return eye[y_true].T @ eye[y_pred]


# ---- precision, recall, f1 ------------------------------------------------------------------


@misconception(
    "precision",
    "You divide by all that are c. Precision asks about all that were called c.",
    name="recall_instead",
)
def precision(y_true, y_pred, num_classes):
    """The recall."""
    return np.array(
        [
            np.sum((y_true == c) & (y_pred == c)) / max(np.sum(y_true == c), 1)
            for c in range(num_classes)
        ]
    )


@misconception(
    "precision", "What is 0/0 in NumPy, and what does the exercise want there?", name="nan"
)
def precision(y_true, y_pred, num_classes):
    """NaN where nothing was called c."""
    with np.errstate(all="ignore"):
        return np.array(
            [
                np.sum((y_true == c) & (y_pred == c)) / np.sum(y_pred == c)
                for c in range(num_classes)
            ]
        )


@misconception(
    "precision",
    "A class has a number of its own. Yours are shares of all examples.",
    name="share_of_all",
)
def precision(y_true, y_pred, num_classes):
    """Divides by the number of examples."""
    return np.array([np.mean((y_true == c) & (y_pred == c)) for c in range(num_classes)])


@alternative("precision", name="loop")
def precision(y_true, y_pred, num_classes):
    """Loops and a list."""
    result = []
    for c in range(num_classes):
        chosen = [t for t, p in zip(y_true.tolist(), y_pred.tolist(), strict=True) if p == c]
        result.append(sum(t == c for t in chosen) / len(chosen) if chosen else 0.0)
    return np.array(result)


@misconception(
    "recall",
    "You divide by all that were called c. Recall asks about all that are c.",
    name="precision_instead",
)
def recall(y_true, y_pred, num_classes):
    """The precision."""
    return np.array(
        [
            np.sum((y_true == c) & (y_pred == c)) / max(np.sum(y_pred == c), 1)
            for c in range(num_classes)
        ]
    )


@misconception("recall", "What is 0/0 in NumPy, and what does the exercise want there?", name="nan")
def recall(y_true, y_pred, num_classes):
    """NaN where c does not occur."""
    with np.errstate(all="ignore"):
        return np.array(
            [
                np.sum((y_true == c) & (y_pred == c)) / np.sum(y_true == c)
                for c in range(num_classes)
            ]
        )


@misconception(
    "recall",
    "You count the examples of other classes that were rightly not called c. Recall does not look at them.",
    name="accuracy_of_each",
)
def recall(y_true, y_pred, num_classes):
    """The accuracy of the question: is it c?"""
    return np.array([np.mean((y_true == c) == (y_pred == c)) for c in range(num_classes)])


@alternative("recall", name="from_a_matrix")
def recall(y_true, y_pred, num_classes):
    """By the confusion matrix, in float32."""
    m = np.zeros((num_classes, num_classes), dtype=np.float32)
    np.add.at(m, (y_true, y_pred), 1)
    rows = m.sum(axis=1)
    return np.divide(np.diag(m), rows, out=np.zeros(num_classes, dtype=np.float32), where=rows > 0)


@misconception(
    "f1",
    "The harmonic mean is not half of the sum. With P = 1 and R = 0 it is 0.",
    name="arithmetic_mean",
)
def f1(y_true, y_pred, num_classes):
    """(P + R) / 2."""
    tp = np.array([np.sum((y_true == c) & (y_pred == c)) for c in range(num_classes)])
    there = np.array([np.sum(y_true == c) for c in range(num_classes)])
    called = np.array([np.sum(y_pred == c) for c in range(num_classes)])
    return (tp / np.maximum(called, 1) + tp / np.maximum(there, 1)) / 2


@misconception("f1", "P and R can both be 0. What is your result there?", name="nan")
def f1(y_true, y_pred, num_classes):
    """NaN where precision and recall are both 0."""
    tp = np.array([np.sum((y_true == c) & (y_pred == c)) for c in range(num_classes)])
    p = tp / np.maximum([np.sum(y_pred == c) for c in range(num_classes)], 1)
    r = tp / np.maximum([np.sum(y_true == c) for c in range(num_classes)], 1)
    with np.errstate(all="ignore"):
        return 2 * p * r / (p + r)


@misconception(
    "f1", "With P = R = 1 it should be 1. Which factor is missing?", name="without_the_two"
)
def f1(y_true, y_pred, num_classes):
    """PR / (P + R)."""
    tp = np.array([np.sum((y_true == c) & (y_pred == c)) for c in range(num_classes)])
    both = np.array([np.sum(y_true == c) + np.sum(y_pred == c) for c in range(num_classes)])
    return tp / np.maximum(both, 1)


@alternative("f1", name="from_both")
def f1(y_true, y_pred, num_classes):
    """From precision and recall, in a loop."""
    result = np.zeros(num_classes)
    for c in range(num_classes):
        tp = np.sum((y_true == c) & (y_pred == c))
        if tp > 0:
            p, r = tp / np.sum(y_pred == c), tp / np.sum(y_true == c)
            result[c] = 2 / (1 / p + 1 / r)
    return result


# ---- top_k_accuracy -------------------------------------------------------------------------


@misconception(
    "top_k_accuracy",
    "argsort sorts upwards. Are the first k the best or the worst?",
    name="worst_k",
)
def top_k_accuracy(scores, y, k):
    """The k smallest scores."""
    return float(np.mean((np.argsort(scores, axis=1)[:, :k] == y[:, None]).any(axis=1)))


@misconception(
    "top_k_accuracy",
    "The truth may be the best, or the second best. Do you count both for k = 2?",
    name="exactly_the_kth",
)
def top_k_accuracy(scores, y, k):
    """Only the k-th best counts."""
    return float(np.mean(np.argsort(scores, axis=1)[:, -k] == y))


@misconception(
    "top_k_accuracy",
    "With k = 1 it must be the accuracy. What is it in yours?",
    name="one_too_many",
)
def top_k_accuracy(scores, y, k):
    """The k + 1 best."""
    better = (scores > scores[np.arange(len(y)), y][:, None]).sum(axis=1)
    return float(np.mean(better <= k))


@alternative("top_k_accuracy", name="argsort")
def top_k_accuracy(scores, y, k):
    """Sorted downwards, row by row."""
    best = np.argsort(-scores, axis=1)[:, :k]
    return np.mean([label in row for label, row in zip(y, best, strict=True)])


@alternative("top_k_accuracy", name="torch_topk")
def top_k_accuracy(scores, y, k):
    """Torch's topk."""
    best = torch.from_numpy(scores).topk(k, dim=1).indices
    hits = (best == torch.from_numpy(y.astype(np.int64))[:, None]).any(dim=1)
    return hits.double().mean().item()


# ---- random_search --------------------------------------------------------------------------


@misconception(
    "random_search",
    "Of ten draws from 0.001 to 10, how many of yours are below 1? On a log scale it should be three quarters.",
    name="all_linear",
    fails=["random_search-scales"],
)
def random_search(objective, space, n, rng):
    """Ignores the scale."""
    history = []
    for _ in range(n):
        config = {name: float(rng.uniform(low, high)) for name, (low, high, _) in space.items()}
        history.append((config, float(objective(config))))
    known = [pair for pair in history if pair[1] == pair[1]]
    return min(known, key=lambda pair: pair[1])[0], history


@misconception(
    "random_search",
    "min([nan, 1.0]) is NaN. Hand your search an objective whose first loss is NaN.",
    name="nan_wins",
    fails=["random_search-search"],
)
def random_search(objective, space, n, rng):
    """min over all losses."""
    history = []
    for _ in range(n):
        config = {}
        for name, (low, high, scale) in space.items():
            u = rng.random()
            config[name] = low * (high / low) ** u if scale == "log" else low + (high - low) * u
        history.append((config, float(objective(config))))
    return min(history, key=lambda pair: pair[1])[0], history


@misconception(
    "random_search",
    "objective is a loss. Which one is best, the largest or the smallest?",
    name="maximises",
    fails=["random_search-search"],
)
def random_search(objective, space, n, rng):
    """The largest loss."""
    history = []
    for _ in range(n):
        config = {}
        for name, (low, high, scale) in space.items():
            u = rng.random()
            config[name] = low * (high / low) ** u if scale == "log" else low + (high - low) * u
        history.append((config, float(objective(config))))
    known = [pair for pair in history if pair[1] == pair[1]]
    return max(known, key=lambda pair: pair[1])[0], history


@misconception(
    "random_search",
    "Call it with two generators of different seeds. All chance should come from rng.",
    name="own_dice",
    fails=["random_search-search"],
)
def random_search(objective, space, n, rng):
    """Draws from a generator of its own, the same in each call."""
    dice, history = np.random.default_rng(0), []
    for _ in range(n):
        config = {}
        for name, (low, high, scale) in space.items():
            u = dice.random()
            config[name] = low * (high / low) ** u if scale == "log" else low + (high - low) * u
        history.append((config, float(objective(config))))
    known = [pair for pair in history if pair[1] == pair[1]]
    return min(known, key=lambda pair: pair[1])[0], history


@misconception(
    "random_search",
    "Do your knobs move together? One draw for all of them searches a line and not a space.",
    name="one_draw_for_all",
    fails=["random_search-scales"],
)
def random_search(objective, space, n, rng):
    """One random number for all knobs."""
    history = []
    for _ in range(n):
        config, u = {}, rng.random()
        for name, (low, high, scale) in space.items():
            config[name] = low * (high / low) ** u if scale == "log" else low + (high - low) * u
        history.append((config, float(objective(config))))
    known = [pair for pair in history if pair[1] == pair[1]]
    return min(known, key=lambda pair: pair[1])[0], history


@alternative("random_search", name="powers_of_ten")
def random_search(objective, space, n, rng):
    """All configurations first, by powers of ten; the best one is kept on the way."""
    configs = [
        {
            name: float(
                10 ** rng.uniform(np.log10(a), np.log10(b)) if scale == "log" else rng.uniform(a, b)
            )
            for name, (a, b, scale) in space.items()
        }
        for _ in range(n)
    ]
    history, best, lowest = [], None, None
    for config in configs:
        loss = objective(config)
        history.append((config, loss))
        if not math.isnan(loss) and (lowest is None or loss < lowest):
            best, lowest = config, loss
    return best, history


# ---- hyperband ------------------------------------------------------------------------------


@misconception(
    "hyperband",
    "Try max_budget = 243. What is int(math.log(243) / math.log(3))?",
    name="logarithm",
    fails=["hyperband-brackets"],
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """s_max by a logarithm in floating point."""
    s_max, history = int(math.log(max_budget) / math.log(eta)), []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        configs = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            losses = [float(objective(config, budget)) for config in configs]
            history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
            order = sorted(range(len(configs)), key=lambda k: (losses[k] != losses[k], losses[k]))
            configs = [configs[k] for k in order[: len(configs) // eta]]
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "A loss: the smallest third should go on. Print the losses of those who do in yours.",
    name="keeps_the_worst",
    fails=["hyperband-survivors"],
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """The largest losses go on."""
    s_max, history = 0, []
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        configs = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            losses = [float(objective(config, budget)) for config in configs]
            history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
            order = sorted(range(len(configs)), key=lambda k: (losses[k] != losses[k], -losses[k]))
            configs = [configs[k] for k in order[: len(configs) // eta]]
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "Who goes into round 1: the best of round 0, or newcomers?",
    name="newcomers",
    fails=["hyperband-survivors", "hyperband-chance"],
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """Each round draws new configurations."""
    s_max, history = 0, []
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            for _ in range(n // eta**i):
                config = sample(rng)
                history.append((config, budget, float(objective(config, budget))))
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "Sort [3, nan, 1, 2] with sorted. Is it in order? Every comparison with NaN is false.",
    name="nan_among_them",
    fails=["hyperband-survivors"],
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """NaN is sorted like a number."""
    s_max, history = 0, []
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        configs = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            losses = [float(objective(config, budget)) for config in configs]
            history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
            order = sorted(range(len(configs)), key=lambda k: losses[k])
            configs = [configs[k] for k in order[: len(configs) // eta]]
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "One tournament is successive halving. Hyperband does not know how early it may judge, so it holds several.",
    name="one_bracket",
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """Only the bracket with the most configurations."""
    s, history = 0, []
    while eta ** (s + 1) <= max_budget:
        s += 1
    configs = [sample(rng) for _ in range(eta**s)]
    for i in range(s + 1):
        budget = max_budget * float(eta) ** (i - s)
        losses = [float(objective(config, budget)) for config in configs]
        history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
        order = sorted(range(len(configs)), key=lambda k: (losses[k] != losses[k], losses[k]))
        configs = [configs[k] for k in order[: len(configs) // eta]]
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "Where does the rounding stand in the formula of n: around the whole product, or around the fraction alone?",
    name="rounds_too_early",
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """n = floor((s_max + 1) / (s + 1)) eta^s."""
    s_max, history = 0, []
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    for s in range(s_max, -1, -1):
        configs = [sample(rng) for _ in range((s_max + 1) // (s + 1) * eta**s)]
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            losses = [float(objective(config, budget)) for config in configs]
            history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
            order = sorted(range(len(configs)), key=lambda k: (losses[k] != losses[k], losses[k]))
            configs = [configs[k] for k in order[: len(configs) // eta]]
    return min((h for h in history if h[2] == h[2]), key=lambda h: h[2])[0], history


@misconception(
    "hyperband",
    "The smallest loss at any budget, says the exercise. Where do you look?",
    name="last_budget_only",
    fails=["hyperband-survivors"],
)
def hyperband(objective, sample, max_budget, rng, eta=3):
    """The best of those with the full budget."""
    s_max, history = 0, []
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        configs = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            budget = max_budget * float(eta) ** (i - s)
            losses = [float(objective(config, budget)) for config in configs]
            history += [(c, budget, loss) for c, loss in zip(configs, losses, strict=True)]
            order = sorted(range(len(configs)), key=lambda k: (losses[k] != losses[k], losses[k]))
            configs = [configs[k] for k in order[: len(configs) // eta]]
    full = [h for h in history if h[1] > 0.99 * max_budget and h[2] == h[2]]
    return min(full, key=lambda h: h[2])[0], history


@alternative("hyperband", name="as_in_the_paper")
def hyperband(objective, sample, max_budget, rng, eta=3):
    """B, n, r and T as in algorithm 1, NaN as infinity, whole numbers by round."""
    s_max = math.floor(math.log(max_budget) / math.log(eta) + 1e-9)
    B = (s_max + 1) * max_budget
    seen = []
    for s in reversed(range(s_max + 1)):
        n = math.ceil(B / max_budget * eta**s / (s + 1) - 1e-9)
        r = max_budget * float(eta) ** -s
        T = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            r_i = r * eta**i
            L = []
            for t in T:
                loss = objective(t, r_i)
                L.append(loss)
                seen.append((t, r_i, loss))
            rank = np.argsort(np.array(L, dtype=float), kind="stable")
            T = [T[k] for k in rank[: len(T) // eta]]
    best = int(np.nanargmin([loss for _, _, loss in seen]))
    return seen[best][0], seen


# ---- gp_posterior ---------------------------------------------------------------------------


@misconception(
    "gp_posterior",
    "The second result is a standard deviation. In the example of the text it is 0.447 at 0, and its square 0.2.",
    name="variance",
    fails=["gp_posterior-std"],
)
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """Returns the variance."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / (2 * length**2))

    inverse, cross = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x))), kernel(x_new, x)
    return cross @ inverse @ y, np.maximum(1 - ((cross @ inverse) * cross).sum(axis=1), 0)


@misconception(
    "gp_posterior",
    "You measured 2 with noise 1. Do you believe 2 now? Where does the noise go?",
    name="no_noise",
)
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """The losses are taken as exact."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / (2 * length**2))

    inverse, cross = np.linalg.inv(kernel(x, x) + 1e-9 * np.eye(len(x))), kernel(x_new, x)
    return cross @ inverse @ y, np.sqrt(np.maximum(1 - ((cross @ inverse) * cross).sum(axis=1), 0))


@misconception(
    "gp_posterior",
    "At distance 1 and length 1 the kernel is exp(-1/2) = 0.6065. What is yours?",
    name="kernel_without_the_two",
)
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """exp(-d^2 / l^2)."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / length**2)

    inverse, cross = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x))), kernel(x_new, x)
    return cross @ inverse @ y, np.sqrt(np.maximum(1 - ((cross @ inverse) * cross).sum(axis=1), 0))


@misconception(
    "gp_posterior",
    "Yours is the spread of a new measurement. Asked is the spread of the function itself.",
    name="spread_of_a_measurement",
    fails=["gp_posterior-std"],
)
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """The noise is added to the posterior variance."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / (2 * length**2))

    inverse, cross = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x))), kernel(x_new, x)
    return cross @ inverse @ y, np.sqrt(
        np.maximum(1 + noise - ((cross @ inverse) * cross).sum(axis=1), 0)
    )


@misconception(
    "gp_posterior",
    "Rounding can make a variance of zero slightly negative. What is its root?",
    name="root_of_a_negative",
    fails=["gp_posterior-std"],
)
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """No guard before the root."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / (2 * length**2))

    inverse, cross = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x))), kernel(x_new, x)
    with np.errstate(all="ignore"):
        return cross @ inverse @ y, np.sqrt(1 - ((cross @ inverse) * cross).sum(axis=1))


@alternative("gp_posterior", name="one_place_at_a_time")
def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """Loops, and np.linalg.solve without Cholesky."""

    def k(u, v):
        return math.exp(-float(np.sum((u - v) ** 2)) / (2 * length**2))

    K = np.array([[k(u, v) for v in x] for u in x]) + noise * np.identity(len(x))
    means, stds = [], []
    for place in x_new:
        row = np.array([k(place, u) for u in x])
        weights = np.linalg.solve(K, row)
        means.append(weights @ y)
        stds.append(math.sqrt(max(0.0, 1 - weights @ row)))
    return np.array(means), np.array(stds)


# ---- expected_improvement -------------------------------------------------------------------


@misconception(
    "expected_improvement", "A loss: is an improvement below or above the best?", name="maximises"
)
def expected_improvement(mean, std, best):
    """Improvement is upwards."""
    gain = mean - best
    z = gain / np.where(std > 0, std, 1)
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.where(
        std > 0,
        gain * below + std * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi),
        np.maximum(gain, 0),
    )


@misconception(
    "expected_improvement", "Where std is 0 you divide by it. What is 0/0?", name="divides_by_zero"
)
def expected_improvement(mean, std, best):
    """NaN where std is 0."""
    with np.errstate(all="ignore"):
        z = (best - mean) / std
        below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return (best - mean) * below + std * density + 0 * z


@misconception(
    "expected_improvement",
    "Yours is the probability of an improvement. How large would the improvement be?",
    name="probability",
)
def expected_improvement(mean, std, best):
    """Probability of improvement."""
    z = (best - mean) / np.where(std > 0, std, 1)
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.where(std > 0, below, (best > mean).astype(float))


@misconception(
    "expected_improvement",
    "Which of the two terms is large for a place that is uncertain, and by which factor?",
    name="density_without_std",
)
def expected_improvement(mean, std, best):
    """The second term without std."""
    gain = best - mean
    z = gain / np.where(std > 0, std, 1)
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.where(
        std > 0, gain * below + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), np.maximum(gain, 0)
    )


@alternative("expected_improvement", name="one_at_a_time")
def expected_improvement(mean, std, best):
    """A loop with Python's erfc."""
    result = []
    for m, s in zip(mean, std, strict=True):
        if s == 0:
            result.append(max(best - m, 0.0))
        else:
            z = (best - m) / s
            density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            result.append(s * (z * 0.5 * math.erfc(-z / math.sqrt(2)) + density))
    return np.array(result)


# ---- bayesian_search ------------------------------------------------------------------------


@misconception(
    "bayesian_search",
    "The acquisition says how promising a place is. Do you take the most or the least promising?",
    name="least_promising",
    fails=["bayesian_search-loop"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """argmin of the acquisition."""
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [float(objective(candidates[i])) for i in tried]
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        y = (np.array(losses) - np.mean(losses)) / (np.std(losses) or 1.0)
        tried.append(rest[int(np.argmin(acquisition(candidates[tried], y, candidates[rest])))])
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@misconception(
    "bayesian_search",
    "May a candidate be tried twice? Hand the acquisition only those that are left.",
    name="tries_again",
    fails=["bayesian_search-loop"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """All candidates stay in the game."""
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [float(objective(candidates[i])) for i in tried]
    while len(tried) < n:
        y = (np.array(losses) - np.mean(losses)) / (np.std(losses) or 1.0)
        tried.append(int(np.argmax(acquisition(candidates[tried], y, candidates))))
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@misconception(
    "bayesian_search",
    "The prior of the map has mean 0 and variance 1. What have your losses?",
    name="raw_losses",
    fails=["bayesian_search-loop"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """The losses are not standardised."""
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [float(objective(candidates[i])) for i in tried]
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        scores = acquisition(candidates[tried], np.array(losses), candidates[rest])
        tried.append(rest[int(np.argmax(scores))])
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@misconception(
    "bayesian_search",
    "All losses equal: what is their standard deviation, and what do you divide by?",
    name="flat_is_nan",
    fails=["bayesian_search-loop"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """Divides by a standard deviation of zero."""
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [float(objective(candidates[i])) for i in tried]
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        with np.errstate(all="ignore"):
            y = (np.array(losses) - np.mean(losses)) / np.std(losses)
        tried.append(rest[int(np.argmax(acquisition(candidates[tried], y, candidates[rest])))])
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@misconception(
    "bayesian_search",
    "Run it with two seeds and start = n. Are the places the same? Who chooses the first ones?",
    name="starts_at_the_top",
    fails=["bayesian_search-start"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """The first candidates of the list come first."""
    tried = list(range(start))
    losses = [float(objective(candidates[i])) for i in tried]
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        y = (np.array(losses) - np.mean(losses)) / (np.std(losses) or 1.0)
        tried.append(rest[int(np.argmax(acquisition(candidates[tried], y, candidates[rest])))])
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@misconception(
    "bayesian_search",
    "The acquisition should know all that was tried so far. How many losses does it get at the last step?",
    name="remembers_the_start_only",
    fails=["bayesian_search-loop"],
)
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """The map is drawn once, after the start."""
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [float(objective(candidates[i])) for i in tried]
    known, first = list(tried), np.array(losses)
    y = (first - first.mean()) / (first.std() or 1.0)
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        tried.append(rest[int(np.argmax(acquisition(candidates[known], y, candidates[rest])))])
        losses.append(float(objective(candidates[tried[-1]])))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[int(np.argmin(losses))]], history


@alternative("bayesian_search", name="with_a_mask")
def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """A mask of what is open, and rng.choice."""
    open_, order, losses = np.ones(len(candidates), dtype=bool), [], []
    first = list(rng.choice(len(candidates), size=start, replace=False))
    for step in range(n):
        if step < start:
            index = first[step]
        else:
            values = np.array(losses)
            spread = values.std()
            y = (values - values.mean()) / (spread if spread > 0 else 1)
            left = np.flatnonzero(open_)
            index = left[np.asarray(acquisition(candidates[order], y, candidates[left])).argmax()]
        open_[index] = False
        order.append(index)
        losses.append(objective(candidates[index]))
    return candidates[order[int(np.argmin(losses))]], list(
        zip(candidates[order], losses, strict=True)
    )
