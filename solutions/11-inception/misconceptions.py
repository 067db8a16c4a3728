"""Wrong and unusual solutions of unit 11, each with the hint that its author needs."""

import torch
import torch.nn.functional as F
from previously import GOOGLENET, ConvNormReLU, Mixed
from torch import nn

from grader.misconceptions import alternative, misconception

# ---- inception_cost ----------------------------------------------------------------------------


@misconception(
    "inception_cost",
    "How many weights has a 3 x 3 kernel on one channel: 3, or 9?",
    name="kernel_not_squared",
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """k in place of k * k."""
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 3 * r3 * n3 + kernel * r5 * n5
    else:
        weights = in_channels * (n1 + 3 * n3 + kernel * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * width, n1 + n3 + n5 + p


@misconception(
    "inception_cost",
    "What comes into the 3 x 3 when a 1 x 1 to r3 stands in front of it? Not all the channels of the cell.",
    name="large_kernels_see_all",
    fails=["inception_cost-bottlenecks"],
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """The large kernels look at all channels behind their bottlenecks, too."""
    if bottlenecks:
        weights = (
            in_channels * (n1 + r3 + r5 + p) + 9 * in_channels * n3 + kernel**2 * in_channels * n5
        )
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * width, n1 + n3 + n5 + p


@misconception(
    "inception_cost",
    "Nobody projects the pooled map of the naive cell. How many channels has it?",
    name="naive_pool_projected",
    fails=["inception_cost-naive"],
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """p channels come out of the naive cell's pooling."""
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 9 * r3 * n3 + kernel**2 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
    return weights, weights * height * width, n1 + n3 + n5 + p


@misconception(
    "inception_cost",
    "Each weight is used at every place of the map: how many are there?",
    name="work_once",
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """Forgets the width of the map."""
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 9 * r3 * n3 + kernel**2 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * height, n1 + n3 + n5 + p


@misconception(
    "inception_cost",
    "Call it with kernel=3. Which of your lines looks at kernel?",
    name="kernel_is_five",
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """The third branch is always 5 x 5."""
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 9 * r3 * n3 + 25 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + 25 * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * width, n1 + n3 + n5 + p


@misconception(
    "inception_cost",
    "Behind the pooling stands a 1 x 1, too. How many channels does it take, and how many come out?",
    name="pool_unprojected",
    fails=["inception_cost-bottlenecks"],
)
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """The pooled map is never projected."""
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5) + 9 * r3 * n3 + kernel**2 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
    return weights, weights * height * width, n1 + n3 + n5 + in_channels


@alternative("inception_cost", name="formulas")
def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """One formula each."""
    C = in_channels
    if not bottlenecks:
        weights = C * n1 + 9 * C * n3 + kernel * kernel * C * n5
        return weights, height * width * weights, n1 + n3 + n5 + C
    one = C * n1
    three = C * r3 + 9 * r3 * n3
    five = C * r5 + kernel * kernel * r5 * n5
    pool = C * p
    weights = one + three + five + pool
    work = 0
    for _ in range(height):
        work += width * weights
    return weights, work, n1 + n3 + n5 + p


# ---- InceptionCell -----------------------------------------------------------------------------


@misconception(
    "InceptionCell",
    "Axis 0 is the batch. Which axis are the channels? The branches agree in all the others.",
    name="concatenates_on_height",
)
class InceptionCell(nn.Module):
    """Puts the maps below each other."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=2)


@misconception(
    "InceptionCell",
    "In the fourth branch the pooling comes first. Does the order matter? Between the two stand a batch norm and a ReLU.",
    name="projects_before_pooling",
    fails=["InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """1 x 1 first, then the pooling."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(ConvNormReLU(in_channels, p), nn.MaxPool2d(3, stride=1, padding=1)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@misconception(
    "InceptionCell",
    "Call InceptionCell with kernel=3. Which of your lines looks at it?",
    name="ignores_kernel",
    fails=["InceptionCell-shape", "InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """The large kernel is always 5 x 5."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@misconception(
    "InceptionCell",
    "The convolutions that reduce have a batch norm and a ReLU as well: six of each in a cell.",
    name="bare_bottlenecks",
    fails=["InceptionCell-shape", "InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """The bottlenecks are convolutions alone."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(nn.Conv2d(in_channels, r3, 1, bias=False), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(
                    nn.Conv2d(in_channels, r5, 1, bias=False), ConvNormReLU(r5, n5, kernel)
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@misconception(
    "InceptionCell",
    "Which pooling has GoogLeNet's fourth branch? (Inception v3 has the other one.)",
    name="average_pooling",
    fails=["InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """Average pooling in the fourth branch."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@misconception(
    "InceptionCell",
    "In which order do the answers stand: 1 x 1, 3 x 3, 5 x 5, pooling. Silence one branch and see which channels become zero.",
    name="pool_in_front",
    fails=["InceptionCell-branches", "InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """The pooled branch comes first in the result."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([self.branches[n](x) for n in (3, 0, 1, 2)], dim=1)


@misconception(
    "InceptionCell",
    "nn.MaxPool2d(3) has stride 3. Which stride keeps the size?",
    name="pooling_shrinks",
)
class InceptionCell(nn.Module):
    """The stride of the pooling is left out."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@misconception(
    "InceptionCell",
    "nn.BatchNorm2d has eps=1e-5 unless you say otherwise. Which eps does the text ask for?",
    name="another_eps",
    fails=["InceptionCell-values"],
)
class InceptionCell(nn.Module):
    """Its own layers, with PyTorch's own eps."""

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()

        def ConvNormReLU(inputs, outputs, k=1):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, k, padding=k // 2, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            )

        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@alternative("InceptionCell", name="by_hand")
class InceptionCell(nn.Module):
    """Its own layers, functional ReLU and pooling."""

    class Branch(nn.Module):
        def __init__(self, shapes, pool):
            super().__init__()
            self.convolutions = nn.ModuleList()
            self.norms = nn.ModuleList()
            for inputs, outputs, k in shapes:
                self.convolutions.append(nn.Conv2d(inputs, outputs, k, padding=k // 2, bias=False))
                self.norms.append(nn.BatchNorm2d(outputs, eps=0.001))
            self.pool = pool

        def forward(self, x):
            if self.pool:
                x = F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = torch.relu_(norm(convolution(x)))
            return x

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        C = in_channels
        self.branches = nn.ModuleList()
        for shapes, pool in (
            ([(C, n1, 1)], False),
            ([(C, r3, 1), (r3, n3, 3)], False),
            ([(C, r5, 1), (r5, n5, kernel)], False),
            ([(C, p, 1)], True),
        ):
            self.branches.append(self.Branch(shapes, pool))

    def forward(self, x):
        one, three, five, pooled = (branch(x) for branch in self.branches)
        return torch.cat((one, three, five, pooled), -3)


# ---- GoogLeNet ---------------------------------------------------------------------------------


@misconception(
    "GoogLeNet",
    "Call eval() and look at what comes back. Who asks a head when nobody learns?",
    name="heads_in_use",
    fails=["GoogLeNet-heads", "GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """The heads answer in eval, too."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "What does cross-entropy expect: logits or probabilities? A softmax before it squeezes the gradient.",
    name="softmax_at_the_end",
    fails=["GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """Probabilities in place of logits."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x).softmax(dim=1)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "(logits, aux_4a, aux_4d): which head speaks first?",
    name="heads_in_reverse",
    fails=["GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """The later head comes first."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra[::-1]) if extra else logits


@misconception(
    "GoogLeNet",
    "On the result of which cell does the first head sit? 4a and 4b have equally many channels, so the count cannot tell you.",
    name="head_one_cell_late",
    fails=["GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """The first head sits on 4b."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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
            if aux and name in {"4b", "4d"}:
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "F.dropout drops unless it is told not to. Ask the same network twice for the same picture in eval().",
    name="dropout_in_use",
    fails=["GoogLeNet-heads", "GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """Functional dropout without a look at the mode."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Identity(), nn.Linear(channels, num_classes)
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier[3](F.dropout(self.classifier[:2](x), 0.4))
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "112 becomes 56, 28, 14 and 7. What does a 3 x 3 pooling with stride 2 make of 112 without padding?",
    name="pooling_without_padding",
    fails=["GoogLeNet-stages", "GoogLeNet-heads", "GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """No padding in the poolings."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
        first, second = round(64 * width), round(192 * width)
        self.stages = nn.ModuleDict(
            {
                "conv1": ConvNormReLU(in_channels, first, 7, stride=2),
                "pool1": nn.MaxPool2d(3, 2),
                "conv2": nn.Sequential(ConvNormReLU(first, first), ConvNormReLU(first, second, 3)),
                "pool2": nn.MaxPool2d(3, 2),
            }
        )
        self.heads = nn.ModuleDict()
        channels = second
        for name, (n1, r3, n3, r5, n5, p) in GOOGLENET.items():
            if name in {"4a", "5a"}:
                self.stages["pool3" if name == "4a" else "pool4"] = nn.MaxPool2d(3, 2)
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "width scales hidden units, too. Count the parameters at width=0.125.",
    name="width_forgotten_in_heads",
    fails=["GoogLeNet-count", "GoogLeNet-heads", "GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """The heads keep their full width."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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
        narrow, hidden = 128, 1024
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            ConvNormReLU(channels, narrow),
            nn.Flatten(),
            nn.Linear(16 * narrow, hidden),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "The text says padding 1. Rounding up without padding gives the same sizes at 224, and other numbers. Try an image of 193 x 130.",
    name="pools_as_torchvision",
    fails=["GoogLeNet-stages", "GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """Poolings without padding that round up."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
        first, second = round(64 * width), round(192 * width)
        self.stages = nn.ModuleDict(
            {
                "conv1": ConvNormReLU(in_channels, first, 7, stride=2),
                "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
                "conv2": nn.Sequential(ConvNormReLU(first, first), ConvNormReLU(first, second, 3)),
                "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
            }
        )
        self.heads = nn.ModuleDict()
        channels = second
        for name, (n1, r3, n3, r5, n5, p) in GOOGLENET.items():
            if name in {"4a", "5a"}:
                self.stages["pool3" if name == "4a" else "pool4"] = nn.MaxPool2d(
                    3, 2, ceil_mode=True
                )
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "A head has two dense layers. What stands between them? Without it they are one linear map.",
    name="head_without_relu",
    fails=["GoogLeNet-values"],
)
class GoogLeNet(nn.Module):
    """No ReLU between the dense layers of a head."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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
            nn.Dropout(0.7),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@misconception(
    "GoogLeNet",
    "Which shares does the text give: 0.4 before the last dense layer, 0.7 in a head?",
    name="dropouts_of_torchvision",
    fails=["GoogLeNet-heads"],
)
class GoogLeNet(nn.Module):
    """torchvision's default dropout."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
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
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, num_classes)
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

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


@alternative("GoogLeNet", name="by_hand")
class GoogLeNet(nn.Module):
    """Cells of its own, F.dropout, means by hand."""

    class Cell(nn.Module):
        def __init__(self, C, n1, r3, n3, r5, n5, p, kernel):
            super().__init__()
            self.one = ConvNormReLU(C, n1)
            self.three = nn.Sequential(ConvNormReLU(C, r3), ConvNormReLU(r3, n3, 3))
            self.five = nn.Sequential(ConvNormReLU(C, r5), ConvNormReLU(r5, n5, kernel))
            self.project = ConvNormReLU(C, p)

        def forward(self, x):
            pooled = self.project(F.max_pool2d(x, 3, 1, 1))
            return torch.cat([self.one(x), self.three(x), self.five(x), pooled], 1)

    class Head(nn.Module):
        def __init__(self, C, narrow, hidden, num_classes):
            super().__init__()
            self.reduce = ConvNormReLU(C, narrow)
            self.hidden = nn.Linear(4 * 4 * narrow, hidden)
            self.out = nn.Linear(hidden, num_classes)

        def forward(self, x):
            x = self.reduce(F.adaptive_avg_pool2d(x, (4, 4)))
            x = F.relu(self.hidden(x.reshape(len(x), -1)))
            return self.out(F.dropout(x, 0.7, self.training))

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()

        def n(channels):
            return int(width * channels)

        def halve():
            return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        self.aux = aux
        stages = [
            ("conv1", ConvNormReLU(in_channels, n(64), 7, 2)),
            ("pool1", halve()),
            ("conv2", nn.Sequential(ConvNormReLU(n(64), n(64)), ConvNormReLU(n(64), n(192), 3))),
            ("pool2", halve()),
        ]
        C = n(192)
        for name, row in GOOGLENET.items():
            if name == "4a":
                stages.append(("pool3", halve()))
            if name == "5a":
                stages.append(("pool4", halve()))
            row = [n(channels) for channels in row]
            stages.append((name, self.Cell(C, *row, kernel)))
            C = row[0] + row[2] + row[4] + row[5]
        self.stages = nn.ModuleDict(stages)
        if aux:
            self.aux1 = self.Head(n(512), n(128), n(1024), num_classes)
            self.aux2 = self.Head(n(528), n(128), n(1024), num_classes)
        self.fc = nn.Linear(C, num_classes)

    def forward(self, x):
        print("forward", tuple(x.shape))
        found = {}
        for name in self.stages:
            x = self.stages[name](x)
            found[name] = x
        x = F.dropout(x.mean((2, 3)), p=0.4, training=self.training)
        x = self.fc(x)
        if self.training and self.aux:
            return x, self.aux1(found["4a"]), self.aux2(found["4d"])
        return x


@alternative("GoogLeNet", name="attributes")
class GoogLeNet(nn.Module):
    """A name for each layer, stages that point to them, ReLUs in place."""

    class Conv(nn.Module):
        def __init__(self, inputs, outputs, **how):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, bias=False, **how)
            self.bn = nn.BatchNorm2d(outputs, eps=0.001)

        def forward(self, x):
            return F.relu(self.bn(self.conv(x)), inplace=True)

    class Inception(nn.Module):
        def __init__(self, inputs, n1, r3, n3, r5, n5, p, kernel):
            super().__init__()
            conv = GoogLeNet.Conv
            self.branch1 = conv(inputs, n1, kernel_size=1)
            self.branch2 = nn.Sequential(
                conv(inputs, r3, kernel_size=1), conv(r3, n3, kernel_size=3, padding=1)
            )
            self.branch3 = nn.Sequential(
                conv(inputs, r5, kernel_size=1),
                conv(r5, n5, kernel_size=kernel, padding=kernel // 2),
            )
            self.branch4 = nn.Sequential(
                nn.MaxPool2d(kernel_size=3, stride=1, padding=1), conv(inputs, p, kernel_size=1)
            )

        def forward(self, x):
            return torch.cat(
                [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1
            )

    class Aux(nn.Module):
        def __init__(self, inputs, narrow, hidden, num_classes):
            super().__init__()
            self.conv = GoogLeNet.Conv(inputs, narrow, kernel_size=1)
            self.fc1 = nn.Linear(16 * narrow, hidden)
            self.fc2 = nn.Linear(hidden, num_classes)
            self.dropout = nn.Dropout(p=0.7)

        def forward(self, x):
            x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)
            return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
        self.aux_logits = aux
        C = [int(n * width) for n in (64, 192, 512, 528, 1024, 128, 1024)]
        self.conv1 = self.Conv(in_channels, C[0], kernel_size=7, stride=2, padding=3)
        self.conv2 = self.Conv(C[0], C[0], kernel_size=1)
        self.conv3 = self.Conv(C[0], C[1], kernel_size=3, padding=1)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        pools = [self.maxpool, *(nn.MaxPool2d(3, stride=2, padding=1) for _ in range(3))]
        self.stages = nn.ModuleDict()
        self.stages["conv1"], self.stages["pool1"] = self.conv1, pools[0]
        self.stages["conv2"] = nn.Sequential(self.conv2, self.conv3)
        self.stages["pool2"] = pools[1]
        inputs = C[1]
        for name in GOOGLENET:
            if name == "4a":
                self.stages["pool3"] = pools[2]
            elif name == "5a":
                self.stages["pool4"] = pools[3]
            row = [int(n * width) for n in GOOGLENET[name]]
            cell = self.Inception(inputs, *row, kernel)
            setattr(self, f"inception{name}", cell)
            self.stages[name] = cell
            inputs = row[0] + row[2] + row[4] + row[5]
        if aux:
            self.aux1 = self.Aux(C[2], C[5], C[6], num_classes)
            self.aux2 = self.Aux(C[3], C[5], C[6], num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(C[4], num_classes)

    def forward(self, x):
        x, first, second = self.features(x)
        x = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return (x, first, second) if first is not None else x

    def features(self, x):
        first = second = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "4a" and self.training and self.aux_logits:
                first = self.aux1(x)
            if name == "4d" and self.training and self.aux_logits:
                second = self.aux2(x)
        return x, first, second


# ---- separate ----------------------------------------------------------------------------------


@misconception(
    "separate",
    "Take the kernel 4, 0; 0, 3: what does your product have in its corner, 1 or 4?",
    name="forgets_sigma",
    fails=["separate-product"],
)
def separate(w):
    """The first singular value is left out."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1]
    row = vh[..., :1, :]
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


@misconception(
    "separate",
    "The singular vectors are the columns of u and the rows of vh.",
    name="row_of_u",
    fails=["separate-product"],
)
def separate(w):
    """Takes the first row of u."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1, :].transpose(-1, -2) * s[..., :1, None]
    row = vh[..., :1, :]
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


@misconception(
    "separate",
    "Is the norm the sum of squares, or its root? For the diagonal 4, 3 the answer is 3/5.",
    name="lost_without_root",
    fails=["separate-lost"],
)
def separate(w):
    """Squares without the root."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :]
    lost = (s[..., 1:] ** 2).sum(dim=-1) / (s**2).sum(dim=-1)
    return column, row, lost


@misconception(
    "separate",
    "lost is a share of the norm of the whole kernel: of 4 and 3 together that is 5.",
    name="lost_of_the_first",
    fails=["separate-lost"],
)
def separate(w):
    """Divides by the first singular value alone."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :]
    lost = s[..., 1:].norm(dim=-1) / s[..., 0]
    return column, row, lost


@misconception(
    "separate",
    "All singular values but the first are left over, not the second alone. A 2 x 2 kernel cannot tell the difference; a 5 x 5 can.",
    name="only_the_second",
    fails=["separate-lost"],
)
def separate(w):
    """Counts the second singular value only."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :]
    lost = s[..., 1:2].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


@misconception(
    "separate",
    "The first singular value belongs into the product once: into the column, or into the row, or its root into both.",
    name="sigma_twice",
    fails=["separate-product"],
)
def separate(w):
    """The singular value goes into both."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :] * s[..., :1, None]
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


@misconception(
    "separate",
    "vh is transposed already: its rows are the singular vectors.",
    name="column_of_vh",
    fails=["separate-product"],
)
def separate(w):
    """Takes the first column of vh."""
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :, :1].transpose(-1, -2)
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


@alternative("separate", name="eigenvectors")
def separate(w):
    """The first eigenvector of w' w, in float64."""
    kernels = w.double()
    _, vectors = torch.linalg.eigh(kernels.transpose(-1, -2) @ kernels)
    row = vectors[..., -1:].transpose(-1, -2)
    column = kernels @ row.transpose(-1, -2)
    left = kernels - column * row
    lost = left.flatten(-2).norm(dim=-1) / kernels.flatten(-2).norm(dim=-1)
    return column.to(w.dtype), row.to(w.dtype), lost.to(w.dtype)


# ---- smooth_cross_entropy ----------------------------------------------------------------------


@misconception(
    "smooth_cross_entropy",
    "The uniform part goes to all K classes, the right one included.",
    name="spreads_over_the_others",
)
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """Gives smoothing / (K - 1) to each of the other classes."""
    log_p = logits.log_softmax(dim=1)
    K = logits.shape[1]
    smoothing = smoothing * K / (K - 1)
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.mean()


@misconception(
    "smooth_cross_entropy",
    "Try logits of 1,000. What does softmax give for the others, and what is its logarithm?",
    name="softmax_then_log",
)
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """softmax and then log: infinite for large logits."""
    log_p = logits.softmax(dim=1).log()
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.mean()


@misconception(
    "smooth_cross_entropy",
    "q has to sum to 1: what is added to all classes must be taken from the right one.",
    name="keeps_the_whole_label",
)
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """The label keeps its full weight."""
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).mean()
    return -right - smoothing * log_p.mean()


@misconception(
    "smooth_cross_entropy",
    "The uniform part is a mean over the K classes: each has smoothing / K.",
    name="sums_over_classes",
)
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """Sums -log p over the classes."""
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.sum(dim=1).mean()


@misconception(
    "smooth_cross_entropy",
    "Mean over the batch: call it with the same image twice. Does the loss stay?",
    name="sums_over_the_batch",
)
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """Sums over the batch."""
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).sum()
    return -(1 - smoothing) * right - smoothing * log_p.mean(dim=1).sum()


@alternative("smooth_cross_entropy", name="torch")
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """torch's own."""
    return F.cross_entropy(logits, y, label_smoothing=smoothing)


@alternative("smooth_cross_entropy", name="mixed_labels")
def smooth_cross_entropy(logits, y, smoothing=0.1):
    """The mixed labels written down."""
    N, K = logits.shape
    q = torch.full((N, K), smoothing / K, dtype=logits.dtype, device=logits.device)
    for n in range(N):
        q[n, y[n]] += 1 - smoothing
    shifted = logits - logits.max(dim=1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    return -(q * log_p).sum() / N


# ---- InceptionV3 -------------------------------------------------------------------------------


@misconception(
    "InceptionV3",
    "1x7 is one row high and seven columns wide: (1, 7), height first.",
    name="turns_the_kernels",
    fails=["InceptionV3-C", "InceptionV3-reductions", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """Takes 1x7 for seven rows and one column."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
        tall, flat = (1, 7), (7, 1)

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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "In E the 1 x 3 and the 3 x 1 stand side by side, each on the same map. In C they follow each other.",
    name="fork_in_a_row",
    fails=["InceptionV3-E", "InceptionV3-count", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """1 x 3 and then 3 x 1 in place of a fork."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
        fork = [[(384, (1, 3)), (768, (3, 1))]]
        E = [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["avg", (192, 1)]]
        cells = {"A1": A(32), "A2": A(64), "A3": A(64), "B": B}
        cells |= {"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "The cells of v3 that keep their size pool with the mean; only what halves takes the maximum.",
    name="pools_with_max",
    fails=["InceptionV3-A", "InceptionV3-C", "InceptionV3-E", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """Max pooling in A, C and E."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
            return [[(64, 1)], [(48, 1), (64, 5)], twice, ["max", (p, 1)]]

        def C(c):
            once = [(c, 1), (c, flat), (192, tall)]
            twice = [(c, 1), (c, tall), (c, flat), (c, tall), (192, flat)]
            return [[(192, 1)], once, twice, ["max", (192, 1)]]

        B = [[(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], ["max/2"]]
        D = [[(192, 1), (320, 3, 2)], [(192, 1), (192, flat), (192, tall), (192, 3, 2)], ["max/2"]]
        fork = [[(384, (1, 3))], [(384, (3, 1))]]
        E = [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["max", (192, 1)]]
        cells = {"A1": A(32), "A2": A(64), "A3": A(64), "B": B}
        cells |= {"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "The network that was released keeps one 5 x 5 in A. Only the third branch has two 3 x 3.",
    name="cuts_the_5x5",
    fails=["InceptionV3-A", "InceptionV3-count", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """Two 3 x 3 in place of A's 5 x 5."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
            return [[(64, 1)], [(48, 1), (64, 3), (64, 3)], twice, ["avg", (p, 1)]]

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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "The four C differ in one number: 128, 160, 160, 192.",
    name="one_width_for_all_C",
    fails=["InceptionV3-C", "InceptionV3-count", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """All four C are as wide as the first."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
        cells |= {"C1": C(128), "C2": C(128), "C3": C(128), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "On the result of which stage does the head sit? All C hand on 768 channels, so the count cannot tell you.",
    name="head_on_C3",
    fails=["InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """The head looks at C3."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C3" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "What should eval() return with aux=True?",
    name="head_in_use",
    fails=["InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """The head answers in eval, too."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "Which share of the 2,048 means is dropped in training?",
    name="no_dropout",
    fails=["InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """Dropout left out."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    "1x3 comes first in a fork. Both have the same number of weights, so the count cannot tell you.",
    name="fork_turned",
    fails=["InceptionV3-E", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """3x1 before 1x3 in the forks."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
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
        fork = [[(384, (3, 1))], [(384, (1, 3))]]
        E = [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["avg", (192, 1)]]
        cells = {"A1": A(32), "A2": A(64), "A3": A(64), "B": B}
        cells |= {"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@misconception(
    "InceptionV3",
    'The third convolution of the stem is "same". 147 has to stay 147.',
    name="stem_without_padding",
    fails=["InceptionV3-reductions", "InceptionV3-network"],
)
class InceptionV3(nn.Module):
    """No padding anywhere in the stem."""

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
        n32, n64, n80, n128, n192, n768 = (round(n * width) for n in (32, 64, 80, 128, 192, 768))
        self.stages = nn.ModuleDict()
        self.stages["stem"] = nn.Sequential(
            ConvNormReLU(in_channels, n32, 3, stride=2, padding=0),
            ConvNormReLU(n32, n32, 3, padding=0),
            ConvNormReLU(n32, n64, 3, padding=0),
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

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


@alternative("InceptionV3", name="by_hand")
class InceptionV3(nn.Module):
    """Cells as functions that return modules, without Mixed."""

    class Side(nn.ModuleList):
        def forward(self, x):
            return torch.cat([one(x) for one in self], dim=1)

    class Chain(nn.Sequential):
        def __init__(self, C, width, *steps):
            super().__init__()
            for step in steps:
                if isinstance(step, nn.Module):
                    self.append(step)
                else:
                    outputs, kernel, *rest = step
                    self.append(ConvNormReLU(C, int(outputs * width), kernel, *rest))
                    C = int(outputs * width)

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
        half = (2, 0)

        def n(channels):
            return int(width * channels)

        def chain(C, *steps):
            return self.Chain(n(C), width, *steps)

        def mean():
            return nn.AvgPool2d(3, stride=1, padding=1)

        def A(C, p):
            return self.Side(
                [
                    chain(C, (64, 1)),
                    chain(C, (48, 1), (64, 5)),
                    chain(C, (64, 1), (96, 3), (96, 3)),
                    chain(C, mean(), (p, 1)),
                ]
            )

        def C(c):
            return self.Side(
                [
                    chain(768, (192, 1)),
                    chain(768, (c, 1), (c, (1, 7)), (192, (7, 1))),
                    chain(768, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
                    chain(768, mean(), (192, 1)),
                ]
            )

        def E(inputs):
            def fork(before):
                return self.Side([chain(before, (384, (1, 3))), chain(before, (384, (3, 1)))])

            return self.Side(
                [
                    chain(inputs, (320, 1)),
                    chain(inputs, (384, 1), fork(384)),
                    chain(inputs, (448, 1), (384, 3), fork(384)),
                    chain(inputs, mean(), (192, 1)),
                ]
            )

        B = self.Side(
            [
                chain(288, (384, 3, *half)),
                chain(288, (64, 1), (96, 3), (96, 3, *half)),
                nn.MaxPool2d(3, 2),
            ]
        )
        D = self.Side(
            [
                chain(768, (192, 1), (320, 3, *half)),
                chain(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, *half)),
                nn.MaxPool2d(3, 2),
            ]
        )
        stem = nn.Sequential(
            self.Chain(in_channels, width, (32, 3, *half), (32, 3, 1, 0), (64, 3)),
            nn.MaxPool2d(3, 2),
            chain(64, (80, 1), (192, 3, 1, 0)),
            nn.MaxPool2d(3, 2),
        )
        self.stages = nn.ModuleDict(
            {
                "stem": stem,
                **{"A1": A(192, 32), "A2": A(256, 64), "A3": A(288, 64), "B": B},
                **{"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)},
                **{"D": D, "E1": E(1280), "E2": E(2048)},
            }
        )
        self.aux = aux
        if aux:
            self.reduce = chain(768, (128, 1), (768, 5, 1, 0))
            self.aux_fc = nn.Linear(n(768), num_classes)
        self.fc = nn.Linear(n(2048), num_classes)

    def forward(self, x):
        extra = ()
        for name in self.stages:
            x = self.stages[name](x)
            if name == "C4" and self.aux and self.training:
                small = self.reduce(F.adaptive_avg_pool2d(x, (5, 5)))
                extra = (self.aux_fc(small[:, :, 0, 0]),)
        x = F.dropout(x.mean((2, 3)), 0.5, self.training)
        return (self.fc(x), *extra) if extra else self.fc(x)


# ---- InceptionResNetV2Block --------------------------------------------------------------------


@misconception(
    "InceptionResNetV2Block",
    "What is added may be negative. Which layer of yours forbids it?",
    name="relu_before_the_sum",
    fails=["InceptionResNetV2Block-values"],
)
class InceptionResNetV2Block(nn.Module):
    """The expansion ends in a ReLU."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * F.relu(self.expand(self.mixed(x)))
        return y if self.last else F.relu(y)


@misconception(
    "InceptionResNetV2Block",
    "With scale 0 x has to come through. What is it that is scaled?",
    name="scales_the_sum",
)
class InceptionResNetV2Block(nn.Module):
    """Scales x as well."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = self.scale * (x + self.expand(self.mixed(x)))
        return y if self.last else F.relu(y)


@misconception(
    "InceptionResNetV2Block",
    "Where is the ReLU after the sum, and which block goes without?",
    name="no_relu_after_the_sum",
)
class InceptionResNetV2Block(nn.Module):
    """Never a ReLU after the sum."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * self.expand(self.mixed(x))
        return y


@misconception(
    "InceptionResNetV2Block",
    "x += ... writes into the caller's tensor. Look at x after the call.",
    name="adds_in_place",
)
class InceptionResNetV2Block(nn.Module):
    """x += ..."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x
        y += self.scale * self.expand(self.mixed(x))
        return y if self.last else F.relu(y)


@misconception(
    "InceptionResNetV2Block",
    "The expansion is linear: a 1 x 1 convolution with bias, and nothing behind it. A batch norm there would undo part of the scale.",
    name="norm_behind_the_expansion",
)
class InceptionResNetV2Block(nn.Module):
    """Batch norm behind the expansion."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Sequential(
            nn.Conv2d(self.mixed.out_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, eps=1e-3),
        )
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * self.expand(self.mixed(x))
        return y if self.last else F.relu(y)


@misconception(
    "InceptionResNetV2Block",
    "The branches get x itself, negative numbers and all.",
    name="starts_with_relu",
    fails=["InceptionResNetV2Block-values"],
)
class InceptionResNetV2Block(nn.Module):
    """The branches get ReLU(x)."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * self.expand(self.mixed(x.relu()))
        return y if self.last else F.relu(y)


@misconception(
    "InceptionResNetV2Block",
    "Leave scale out. Which one should it be?",
    name="another_default",
    fails=["InceptionResNetV2Block-values"],
)
class InceptionResNetV2Block(nn.Module):
    """scale is 1 unless told otherwise."""

    def __init__(self, channels, branches, scale=1.0, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * self.expand(self.mixed(x))
        return y if self.last else F.relu(y)


@alternative("InceptionResNetV2Block", name="by_hand")
class InceptionResNetV2Block(nn.Module):
    """Branches and concatenation by hand."""

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.towers, total = nn.ModuleList(), 0
        for steps in branches:
            tower = Mixed(channels, [steps])
            self.towers.append(tower)
            total += tower.out_channels
        self.up = nn.Conv2d(total, channels, kernel_size=1, bias=True)
        self.scale, self.act = scale, nn.Identity() if last else nn.ReLU(inplace=True)

    def forward(self, x):
        new = self.up(torch.cat([tower(x) for tower in self.towers], 1))
        return self.act(new.mul(self.scale).add(x))


# ---- Xception ----------------------------------------------------------------------------------


@misconception(
    "Xception",
    "How many weights has one 3 x 3 that looks at a single channel? Without groups each looks at all of them.",
    name="depthwise_without_groups",
)
class Xception(nn.Module):
    """An ordinary 3 x 3 in place of the depthwise one."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
            nn.Conv2d(inputs, inputs, 3, padding=1, bias=False),
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

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "Nothing stands between the depthwise and the pointwise convolution.",
    name="relu_between",
    fails=["Xception-units", "Xception-network"],
)
class Xception(nn.Module):
    """A ReLU between depthwise and pointwise."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
            nn.ReLU(),
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

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "Set gamma and beta of a middle unit to zero: what should come out, x or ReLU(x)?",
    name="relu_after_the_sum",
    fails=["Xception-units", "Xception-network"],
)
class Xception(nn.Module):
    """ReLU after the sum, as in a ResNet."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
            return F.relu(self.body(x) + self.shortcut(x))

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "nn.ReLU(inplace=True) writes into what it gets. Who else needs that tensor?",
    name="relu_in_place",
    fails=["Xception-units", "Xception-network"],
)
class Xception(nn.Module):
    """The first ReLU of a unit changes x before the shortcut sees it."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
                layers += [nn.ReLU(inplace=True), *Xception.separable(before, after)]
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

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "Count: two numbers per channel of each shortcut that is not the identity.",
    name="shortcut_without_norm",
)
class Xception(nn.Module):
    """No batch norm in the shortcuts."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
                )

        def forward(self, x):
            """The sum is not cut."""
            return self.body(x) + self.shortcut(x)

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "nn.BatchNorm2d has eps=1e-5 unless you say otherwise. The text asks for 1e-3, in the pairs and in the shortcuts.",
    name="another_eps",
)
class Xception(nn.Module):
    """PyTorch's own eps."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
            nn.BatchNorm2d(outputs),
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
                    nn.BatchNorm2d(after),
                )

        def forward(self, x):
            """The sum is not cut."""
            return self.body(x) + self.shortcut(x)

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "In Xception places come first: the depthwise 3 x 3, and then the pointwise 1 x 1.",
    name="places_last",
)
class Xception(nn.Module):
    """Pointwise, then depthwise."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False),
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

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "What stands at the very end of exit2?",
    name="exit_without_relu",
    fails=["Xception-units", "Xception-network"],
)
class Xception(nn.Module):
    """No ReLU before the mean over all places."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@misconception(
    "Xception",
    "74, 37, 19, 10: what does a 3 x 3 pooling with stride 2 make of 147 without padding, and what does the shortcut make of it?",
    name="pools_without_padding",
    fails=["Xception-units", "Xception-network"],
)
class Xception(nn.Module):
    """No padding in the poolings."""

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
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
                self.body.append(nn.MaxPool2d(3, 2))
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, after, 1, stride=2, bias=False),
                    nn.BatchNorm2d(after, eps=1e-3),
                )

        def forward(self, x):
            """The sum is not cut."""
            return self.body(x) + self.shortcut(x)

    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))


@alternative("Xception", name="by_hand")
class Xception(nn.Module):
    """Classes of its own, functional where possible."""

    class Separable(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.places = nn.Conv2d(inputs, inputs, (3, 3), 1, 1, groups=inputs, bias=False)
            self.channels = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm = nn.BatchNorm2d(outputs, eps=0.001)

        def forward(self, x):
            return self.norm(self.channels(self.places(x)))

    class Block(nn.Module):
        def __init__(self, *widths, first=True, halves=True):
            super().__init__()
            self.pairs = nn.ModuleList()
            for n in range(len(widths) - 1):
                self.pairs.append(Xception.Separable(widths[n], widths[n + 1]))
            self.first, self.halves = first, halves
            if halves:
                self.conv = nn.Conv2d(widths[0], widths[-1], 1, 2, bias=False)
                self.norm = nn.BatchNorm2d(widths[-1], eps=0.001)

        def forward(self, x):
            y = x
            for number, pair in enumerate(self.pairs):
                if number > 0 or self.first:
                    y = torch.clamp(y, min=0)
                y = pair(y)
            if not self.halves:
                return x + y
            return F.max_pool2d(y, 3, 2, 1) + self.norm(self.conv(x))

    class Last(nn.Module):
        def __init__(self, a, b, c):
            super().__init__()
            self.one, self.two = Xception.Separable(a, b), Xception.Separable(b, c)

        def forward(self, x):
            return F.relu(self.two(F.relu(self.one(x))))

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
        a, b, c, d, e, f, g, h = (int(n * width) for n in (32, 64, 128, 256, 728, 1024, 1536, 2048))
        block = self.Block
        stages = {
            "stem": nn.Sequential(
                ConvNormReLU(in_channels, a, 3, 2, 0), ConvNormReLU(a, b, 3, 1, 0)
            ),
            "entry1": block(b, c, c, first=False),
            "entry2": block(c, d, d),
            "entry3": block(d, e, e),
        }
        stages.update({f"middle{n + 1}": block(e, e, e, e, halves=False) for n in range(middle)})
        stages["exit1"] = block(e, e, f)
        stages["exit2"] = self.Last(f, g, h)
        self.stages = nn.ModuleDict(stages)
        self.fc = nn.Linear(h, num_classes)

    def forward(self, x):
        for name in self.stages:
            x = self.stages[name](x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
