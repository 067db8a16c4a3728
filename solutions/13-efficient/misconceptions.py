"""Wrong and unusual solutions of unit 13, each with the hint that its author needs.

Where an exercise has two classes, a block and a network, a variant is the network, and `global` in its
body hands the block out: a variant is one class or function.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from grader.misconceptions import alternative, misconception

# What a lesson gives; named here for whoever reads this file with a linter.
MOBILENET_V1 = MOBILENET_V2 = MOBILENET_V3 = V3_HIDDEN = EFFICIENTNET_B0 = EFFICIENTNETS = {}
normed_conv = make_divisible = fit_channels = nasnet_operation = None

# ---- MobileNetV1 ----------------------------------------------------------------------------


@misconception(
    "MobileNetV1",
    "How many weights has your 3 x 3 convolution? A depthwise one has a single 3 x 3 kernel for each channel. Which "
    "argument of the convolution says that channels do not meet?",
    name="without_groups",
)
class MobileNetV1(nn.Module):
    """The depthwise convolution is an ordinary one."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = int(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV1",
    "What stands between looking and mixing? Two linear steps in a row are one linear step; the paper's figure 3 has a "
    "ReLU behind each of the two.",
    name="linear_in_the_middle",
    fails=["MobileNetV1-block", "MobileNetV1-network"],
)
class MobileNetV1(nn.Module):
    """No ReLU behind the depthwise step."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(self.look(x)))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = int(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV1",
    "Which of the two steps has the stride? A 1 x 1 convolution with stride 2 throws away three of four places that the "
    "step before has computed.",
    name="pointwise_strides",
    fails=["MobileNetV1-block", "MobileNetV1-table", "MobileNetV1-network"],
)
class MobileNetV1(nn.Module):
    """The stride stands on the pointwise step."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels, 1, stride)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = int(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV1",
    "Print the channels of your first convolution for width 0.25. The multiplier thins every layer, the stem as well.",
    name="full_stem",
    fails=["MobileNetV1-network", "MobileNetV1-width"],
)
class MobileNetV1(nn.Module):
    """The stem keeps its 32 channels, whatever the width."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = 32
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV1",
    "Add up what your network returns for one picture. F.cross_entropy takes the softmax by itself: a second one in the "
    "network makes all gradients small.",
    name="softmax_inside",
    fails=["MobileNetV1-network"],
)
class MobileNetV1(nn.Module):
    """Probabilities instead of logits."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = int(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3))).softmax(dim=1)


@alternative("MobileNetV1", name="own_convolutions")
class MobileNetV1(nn.Module):
    """Plain convolutions, ReLU in place, a ModuleList, adaptive pooling; other names; prints."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Sequential):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__(
                nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
                nn.BatchNorm2d(in_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        print("building a MobileNet")
        sizes = [int(width * c) for c in [32] + [c for c, _ in MOBILENET_V1]]
        self.conv1 = nn.Conv2d(in_channels, sizes[0], 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(sizes[0])
        self.body = nn.ModuleList(
            DepthwiseSeparable(sizes[i], sizes[i + 1], MOBILENET_V1[i][1]) for i in range(13)
        )
        self.fc = nn.Linear(sizes[-1], num_classes)

    def forward(self, x):
        x = torch.clamp(self.bn1(self.conv1(x)), min=0)
        for block in self.body:
            x = block(x)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


@misconception(
    "MobileNetV1",
    "Which channels has your stem for width 0.3? Here the text asks for the whole part of 9.6. Multiples of 8 come with MobileNetV2.",
    name="rounds_to_eights",
    fails=["MobileNetV1-width"],
)
class MobileNetV1(nn.Module):
    """Channels to multiples of 8, as in MobileNetV2."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = int(32 * width + 4) // 8 * 8
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width + 4) // 8 * 8, stride))
            channels = int(full * width + 4) // 8 * 8
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@alternative("MobileNetV1", name="convolution_as_classifier")
class MobileNetV1(nn.Module):
    """The dense layer as a 1 x 1 convolution, made before the rest."""

    global DepthwiseSeparable

    class DepthwiseSeparable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.look = normed_conv(in_channels, in_channels, 3, stride, groups=in_channels)
            self.mix = normed_conv(in_channels, out_channels)

        def forward(self, x):
            return F.relu(self.mix(F.relu(self.look(x))))

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        self.head = nn.Conv2d(int(1024 * width), num_classes, 1)
        channels = int(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for full, stride in MOBILENET_V1:
            layers.append(DepthwiseSeparable(channels, int(full * width), stride))
            channels = int(full * width)
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3), keepdim=True)).flatten(1)


# ---- relu_round_trip ------------------------------------------------------------------------


@misconception(
    "relu_round_trip",
    "Leave the ReLU out for a moment: do the points come back exactly? The transpose is an inverse only of a rotation.",
    name="transpose_for_inverse",
)
def relu_round_trip(points, t):
    """Back by the transpose."""
    return torch.relu(points @ t) @ t.T


@misconception(
    "relu_round_trip",
    "Your points come back exactly. Where is the ReLU: in the n dimensions, or nowhere?",
    name="no_relu",
)
def relu_round_trip(points, t):
    """There and back, and no ReLU."""
    return points @ t @ torch.linalg.pinv(t)


@misconception(
    "relu_round_trip",
    "Look at (3, -4) in four dimensions: can anything negative come back? The last step is linear.",
    name="relu_at_the_end",
)
def relu_round_trip(points, t):
    """A second ReLU behind the way back."""
    return F.relu(F.relu(points @ t) @ torch.linalg.pinv(t))


@alternative("relu_round_trip", name="least_squares")
def relu_round_trip(points, t):
    """Solves for the points instead."""
    wide = (points @ t).clamp(min=0)
    return torch.linalg.lstsq(t.T, wide.T).solution.T


@misconception(
    "relu_round_trip",
    "(3, -4) with the text's T of four dimensions: what is negative before T is applied, and what after? The ReLU stands in the n dimensions.",
    name="relu_in_the_plane",
)
def relu_round_trip(points, t):
    """The ReLU before the way out."""
    return F.relu(points) @ t @ torch.linalg.pinv(t)


# ---- MobileNetV2 ----------------------------------------------------------------------------


@misconception(
    "MobileNetV2",
    "Look at the smallest number that your block returns. What follows the projection? Part 3 was about this.",
    name="relu_behind_projection",
    fails=["MobileNetV2-block", "MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """A ReLU6 behind the projection, too."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels), nn.ReLU6())
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "Give the block stride 2 and as many channels out as in, and silence its branch. What still comes out? The paper has "
    "a shortcut only where stride is 1.",
    name="shortcut_across_stride",
    fails=["MobileNetV2-block", "MobileNetV2-shortcut", "MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """Where the stride is 2, every second pixel goes through the shortcut."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut, self.stride = in_channels == out_channels, stride

        def forward(self, x):
            y = self.branch(x)
            return y + x[:, :, :: self.stride, :: self.stride] if self.shortcut else y

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "You bring the shortcut to the right shape as unit 12 did. Count: are those weights in the table? Where the shapes "
    "differ this block has no shortcut at all.",
    name="projected_shortcut",
)
class MobileNetV2(nn.Module):
    """A 1x1 convolution on the shortcut where the shapes differ, as in ResNet."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = nn.Identity()
            if stride != 1 or in_channels != out_channels:
                self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

        def forward(self, x):
            return self.shortcut(x) + self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "Send a large number through the block. Where does ReLU6 stop it, and where does yours?",
    name="relu_for_relu6",
    fails=["MobileNetV2-block", "MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """ReLU, without the bound of 6."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "Print the size of the map behind each block. Which blocks of a row have the row's stride?",
    name="every_block_strides",
    fails=["MobileNetV2-table", "MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """Each block of a row has the stride of the row."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for _ in range(blocks):
                layers.append(InvertedResidual(channels, wide, stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "Which channels does width 0.35 give your stem? 11.2 rounded down to 8 loses more than a tenth: the given "
    "make_divisible takes the next multiple of 8 then.",
    name="rounds_down",
    fails=["MobileNetV2-network", "MobileNetV2-width"],
)
class MobileNetV2(nn.Module):
    """Multiples of 8, always rounded down, at least 8."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = max(8, int(32 * width) // 8 * 8)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = max(8, int(full * width) // 8 * 8)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "How many features stand in front of your dense layer for width 0.35? The last convolution is never made smaller "
    "than 1,280.",
    name="thin_last",
    fails=["MobileNetV2-network", "MobileNetV2-width"],
)
class MobileNetV2(nn.Module):
    """The last convolution shrinks with the width."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV2",
    "Ask your network twice about one picture, in eval(). F.dropout does not know of the mode unless you tell it.",
    name="dropout_in_use",
    fails=["MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """F.dropout without training=self.training."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            n = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, n), nn.ReLU6()]
            layers += [normed_conv(n, n, 3, stride, groups=n), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(n, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, x):
        return self.classifier(F.dropout(self.features(x).mean(dim=(2, 3)), 0.2))


@alternative("MobileNetV2", name="by_hand")
class MobileNetV2(nn.Module):
    """No helper of the lesson: convolutions, clamp for ReLU6, branches in forward, sizes worked out by hand."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            t = expand * in_channels
            if expand > 1:
                self.conv1 = nn.Conv2d(in_channels, t, kernel_size=1, bias=False)
                self.bn1 = nn.BatchNorm2d(t)
            self.conv2 = nn.Conv2d(t, t, 3, stride, 1, groups=t, bias=False)
            self.bn2 = nn.BatchNorm2d(t)
            self.conv3 = nn.Conv2d(t, out_channels, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out_channels)
            self.stride, self.expand = stride, expand

        def forward(self, x):
            h = x
            if self.expand > 1:
                h = torch.clamp(self.bn1(self.conv1(h)), 0, 6)
            h = F.hardtanh(self.bn2(self.conv2(h)), 0.0, 6.0)
            h = self.bn3(self.conv3(h))
            if self.stride == 1 and h.shape[1] == x.shape[1]:
                h = h + x
            return h

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()

        def channels(c):
            c *= width
            n = max(8, int(c + 4) // 8 * 8)
            return n if n >= 0.9 * c else n + 8

        first = channels(32)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 3, 2, 1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU6(inplace=True),
        )
        self.rows = nn.ModuleList()
        for t, c, n, s in MOBILENET_V2:
            row = nn.Sequential(InvertedResidual(first, channels(c), s, t))
            for i in range(1, n):
                row.add_module(str(i), InvertedResidual(channels(c), channels(c), expand=t))
            self.rows.append(row)
            first = channels(c)
        last = 1280 if width <= 1 else channels(1280)
        self.top = nn.Conv2d(first, last, 1, bias=False)
        self.top_bn = nn.BatchNorm2d(last)
        self.drop = nn.Dropout(p=0.2)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for row in self.rows:
            x = row(x)
        x = F.relu6(self.top_bn(self.top(x)))
        return self.fc(self.drop(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)))


@misconception(
    "MobileNetV2",
    "Which activation stands behind your stem, and which in your blocks? Send a large picture through.",
    name="relu_in_the_stem",
    fails=["MobileNetV2-network"],
)
class MobileNetV2(nn.Module):
    """ReLU instead of ReLU6 in the stem."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            inside = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, inside), nn.ReLU6()]
            layers += [normed_conv(inside, inside, 3, stride, groups=inside), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(inside, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@alternative("MobileNetV2", name="convolution_as_classifier")
class MobileNetV2(nn.Module):
    """The dense layer as a 1 x 1 convolution."""

    global InvertedResidual

    class InvertedResidual(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expand=6):
            super().__init__()
            inside = in_channels * expand
            layers = [] if expand == 1 else [normed_conv(in_channels, inside), nn.ReLU6()]
            layers += [normed_conv(inside, inside, 3, stride, groups=inside), nn.ReLU6()]
            self.branch = nn.Sequential(*layers, normed_conv(inside, out_channels))
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            return x + self.branch(x) if self.shortcut else self.branch(x)

    def __init__(self, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.ReLU6()]
        for expand, full, blocks, stride in MOBILENET_V2:
            wide = make_divisible(full * width)
            for n in range(blocks):
                layers.append(InvertedResidual(channels, wide, 1 if n else stride, expand))
                channels = wide
        last = make_divisible(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.ReLU6())
        self.classifier = nn.Sequential(
            nn.Dropout(0.2), nn.Conv2d(last, num_classes, 1), nn.Flatten()
        )

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3), keepdim=True))


# ---- SqueezeExcitation ----------------------------------------------------------------------


@misconception(
    "SqueezeExcitation",
    "How large can your gates become, and can one be negative? A gate lies between 0 and 1: what makes it so?",
    name="no_sigmoid",
)
class SqueezeExcitation(nn.Module):
    """The second dense layer is the gate."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x):
        z = self.up(F.relu(self.down(x.mean(dim=(2, 3)))))
        return x * z[:, :, None, None]


@misconception(
    "SqueezeExcitation",
    "Ask about one picture alone, and then beside others. Over which axes do you average?",
    name="averages_the_batch",
)
class SqueezeExcitation(nn.Module):
    """The average runs over the batch as well."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.hard = hard

    def forward(self, x):
        z = self.up(F.relu(self.down(x.mean(dim=(0, 2, 3)))))
        gate = F.hardsigmoid(z) if self.hard else z.sigmoid()
        return x * gate[:, None, None]


@misconception(
    "SqueezeExcitation",
    "Squeeze means the average of a channel over all places. What does your squeeze return for (0, 2)?",
    name="squeezes_by_maximum",
    fails=["SqueezeExcitation-gates"],
)
class SqueezeExcitation(nn.Module):
    """The maximum instead of the average."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.hard = hard

    def forward(self, x):
        z = self.up(F.relu(self.down(x.amax(dim=(2, 3)))))
        gate = F.hardsigmoid(z) if self.hard else z.sigmoid()
        return x * gate[:, :, None, None]


@misconception(
    "SqueezeExcitation",
    "Two dense layers in a row, and nothing between them? They are one dense layer then.",
    name="no_relu",
    fails=["SqueezeExcitation-gates"],
)
class SqueezeExcitation(nn.Module):
    """No ReLU between the dense layers."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.hard = hard

    def forward(self, x):
        z = self.up(self.down(x.mean(dim=(2, 3))))
        gate = F.hardsigmoid(z) if self.hard else z.sigmoid()
        return x * gate[:, :, None, None]


@misconception(
    "SqueezeExcitation",
    "Try hard=True with the text's weights: 5/6 and 1/6. Your gates are those of the smooth sigmoid.",
    name="never_hard",
    fails=["SqueezeExcitation-gates"],
)
class SqueezeExcitation(nn.Module):
    """hard is taken and forgotten."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down, self.up = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x):
        z = self.up(F.relu(self.down(x.mean(dim=(2, 3)))))
        return x * z.sigmoid()[:, :, None, None]


@alternative("SqueezeExcitation", name="dense_layers")
class SqueezeExcitation(nn.Module):
    """Dense layers, the hard sigmoid by hand, einsum."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.net = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, squeezed),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels),
        )
        self.hard = hard

    def forward(self, x):
        z = self.net(x)
        gate = torch.clamp(z + 3, 0, 6) / 6 if self.hard else 1 / (1 + torch.exp(-z))
        return torch.einsum("nchw,nc->nchw", x, gate)


@misconception(
    "SqueezeExcitation",
    "How many numbers come out of your squeeze for one picture? One for each channel: the channels are not averaged with one another.",
    name="one_average",
    fails=["SqueezeExcitation-gates"],
)
class SqueezeExcitation(nn.Module):
    """The average over channels, too."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.up = nn.Conv2d(squeezed, channels, 1)
        self.gate = F.hardsigmoid if hard else torch.sigmoid

    def forward(self, x):
        average = x.mean(dim=(1, 2, 3), keepdim=True).expand(-1, x.shape[1], 1, 1)
        return x * self.gate(self.up(F.relu(self.down(average))))


# ---- MobileNetV3 ----------------------------------------------------------------------------


@misconception(
    "MobileNetV3",
    "In which order do your depthwise step, its activation and the gates come? Squeeze and excitation looks at what the activation has left.",
    name="gates_before_activation",
    fails=["MobileNetV3-block", "MobileNetV3-network"],
)
class MobileNetV3(nn.Module):
    """The gates stand between the depthwise convolution and its activation."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded)]
            self.act = act()
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(self.act(y))
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV3",
    "Two gates of this unit look alike. Which one is made of straight lines, and which one does MobileNetV3 use?",
    name="smooth_gates",
    fails=["MobileNetV3-block", "MobileNetV3-network"],
)
class MobileNetV3(nn.Module):
    """The smooth sigmoid as the gate."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Sigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV3",
    "Your count is off by some thousands. What is a quarter of 72, and what does make_divisible say to it?",
    name="squeeze_not_rounded",
)
class MobileNetV3(nn.Module):
    """A quarter of the inside, as it comes."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = expanded // 4
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV3",
    "Print eps and momentum of a BatchNorm2d of your network. The text asks for others.",
    name="default_norms",
    fails=["MobileNetV3-network"],
)
class MobileNetV3(nn.Module):
    """BatchNorm2d as torch makes it."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV3",
    "How many convolutions has your first block? Where the inside is as wide as what comes in, there is nothing to expand.",
    name="always_expands",
)
class MobileNetV3(nn.Module):
    """An expansion in the first block, too, where nothing is to be expanded."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()]
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "MobileNetV3",
    "The table has a column for the activation. Send a negative number through a block of the kind RE.",
    name="hswish_everywhere",
    fails=["MobileNetV3-block", "MobileNetV3-network"],
)
class MobileNetV3(nn.Module):
    """h-swish in every block."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = nn.Hardswish
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, make_divisible(V3_HIDDEN[kind] * width)
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@alternative("MobileNetV3", name="with_modules")
class MobileNetV3(nn.Module):
    """A module for the gates with dense layers, h-swish by hand, BatchNorm2d with its arguments."""

    global Bneck

    def Bneck(in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation):
        class Gates(nn.Module):
            def __init__(self, n):
                super().__init__()
                quarter = n / 4
                few = max(8, int(quarter + 4) // 8 * 8)
                few += 8 if few < 0.9 * quarter else 0
                self.one, self.two = nn.Linear(n, few), nn.Linear(few, n)

            def forward(self, x):
                z = self.two(torch.relu(self.one(x.mean((2, 3)))))
                return x * (F.relu6(z + 3) / 6).reshape(*z.shape, 1, 1)

        class Act(nn.Module):
            def forward(self, x):
                return x * F.relu6(x + 3) / 6 if activation == "HS" else x.clamp(min=0)

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.steps = nn.Sequential()

                def add(i, o, k, s, g):
                    convolution = nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False)
                    self.steps.append(convolution)
                    self.steps.append(nn.BatchNorm2d(o, eps=1e-3, momentum=0.01))

                if expanded != in_channels:
                    add(in_channels, expanded, 1, 1, 1)
                    self.steps.append(Act())
                add(expanded, expanded, kernel_size, stride, expanded)
                self.steps.append(Act())
                if squeeze:
                    self.steps.append(Gates(expanded))
                add(expanded, out_channels, 1, 1, 1)

            def forward(self, x):
                y = self.steps(x)
                return y.add_(x) if y.shape == x.shape and stride == 1 else y

        return Block()

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()

        def scaled(c):
            return make_divisible(c * width)

        def norm(n):
            return nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)

        c = scaled(16)
        self.stem, self.stem_norm = nn.Conv2d(in_channels, c, 3, 2, 1, bias=False), norm(c)
        self.blocks = nn.ModuleList()
        for k, e, o, se, act, s in MOBILENET_V3[kind]:
            self.blocks.append(Bneck(c, scaled(e), scaled(o), k, s, se, act))
            c = scaled(o)
        self.last, self.last_norm = nn.Conv2d(c, 6 * c, 1, bias=False), norm(6 * c)
        self.fc1 = nn.Linear(6 * c, scaled(V3_HIDDEN[kind]))
        self.fc2 = nn.Linear(scaled(V3_HIDDEN[kind]), num_classes)

    def forward(self, x):
        x = F.hardswish(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        x = F.hardswish(self.last_norm(self.last(x)))
        x = F.hardswish(self.fc1(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)))
        return self.fc2(F.dropout(x, 0.2, self.training))


@misconception(
    "MobileNetV3",
    "How wide is your hidden dense layer for width 0.5? The multiplier goes through V3_HIDDEN as well.",
    name="head_keeps_its_width",
    fails=["MobileNetV3-network"],
)
class MobileNetV3(nn.Module):
    """V3_HIDDEN is not scaled."""

    global Bneck

    class Bneck(nn.Module):
        def __init__(
            self, in_channels, expanded, out_channels, kernel_size, stride, squeeze, activation
        ):
            super().__init__()
            act = {"RE": nn.ReLU, "HS": nn.Hardswish}[activation]
            layers = [normed_conv(in_channels, expanded), act()] if expanded != in_channels else []
            layers += [normed_conv(expanded, expanded, kernel_size, stride, groups=expanded), act()]
            self.inside = nn.Sequential(*layers)
            self.gates = None
            if squeeze:
                few = make_divisible(expanded / 4)
                self.gates = nn.Sequential(
                    nn.AdaptiveAvgPool2d((1, 1)),
                    nn.Conv2d(expanded, few, 1),
                    nn.ReLU(),
                    nn.Conv2d(few, expanded, 1),
                    nn.Hardsigmoid(),
                )
            self.project = normed_conv(expanded, out_channels)
            self.shortcut = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = self.inside(x)
            if self.gates is not None:
                y = y * self.gates(y)
            y = self.project(y)
            return x + y if self.shortcut else y

    def __init__(self, kind, num_classes=1000, in_channels=3, width=1.0):
        super().__init__()
        channels = make_divisible(16 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.Hardswish()]
        for kernel_size, inside, full, squeeze, activation, stride in MOBILENET_V3[kind]:
            expanded, out = make_divisible(inside * width), make_divisible(full * width)
            layers.append(Bneck(channels, expanded, out, kernel_size, stride, squeeze, activation))
            channels = out
        last, hidden = 6 * channels, V3_HIDDEN[kind]
        self.features = nn.Sequential(*layers, normed_conv(channels, last), nn.Hardswish())
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 0.001, 0.01

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


# ---- NASNetCell -----------------------------------------------------------------------------


@misconception(
    "NASNetCell",
    "Which operations of a reduction cell have stride 2? What reads the sum of a block reads a map that is halved already.",
    name="stride_everywhere",
)
class NASNetCell(nn.Module):
    """The stride stands on every operation."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        self.table, self.output = table, output
        self.blocks = nn.ModuleList()
        for pair in table:
            operations = [nasnet_operation(name, filters, stride) for name, state in pair]
            self.blocks.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.blocks, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output], dim=1)


@misconception(
    "NASNetCell",
    "Count the parameters of your cell. nn.Module looks into ModuleLists, and not into plain lists.",
    name="hidden_modules",
)
class NASNetCell(nn.Module):
    """Modules in a plain list."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        self.table, self.output = table, output
        self.blocks = []
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.blocks.append(operations)

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.blocks, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output], dim=1)


@misconception(
    "NASNetCell",
    "Which of the two inputs is state 0? Try the text's cell with h = 2 and p = 5.",
    name="swaps_h_and_p",
    fails=["NASNetCell-wiring"],
)
class NASNetCell(nn.Module):
    """State 0 is p and state 1 is h."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        self.table, self.output = table, output
        self.blocks = nn.ModuleList()
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.blocks.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_p(p), self.fit_h(h)]
        for (left, right), pair in zip(self.blocks, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output], dim=1)


@misconception(
    "NASNetCell",
    "How many channels come out? The cell's output is a tuple of states; not every block's sum is in it.",
    name="concatenates_all",
)
class NASNetCell(nn.Module):
    """All sums are concatenated, whatever output says."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        self.table, self.output = table, output
        self.blocks = nn.ModuleList()
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.blocks.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.blocks, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat(states[2:], dim=1)


@misconception(
    "NASNetCell",
    "Look at the first number of your result's shape. Along which axis are channels?",
    name="concatenates_pictures",
)
class NASNetCell(nn.Module):
    """The states are joined along the batch."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        self.table, self.output = table, output
        self.blocks = nn.ModuleList()
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.blocks.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.blocks, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output])


@alternative("NASNetCell", name="dictionary")
class NASNetCell(nn.Module):
    """A ModuleDict, states in a dictionary."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.program, self.out = [tuple(pair) for pair in table], list(output)
        self.entries = nn.ModuleDict(
            {
                "h": fit_channels(in_channels[0], filters, 1),
                "p": fit_channels(in_channels[1], filters, p_stride),
            }
        )
        self.ops = nn.ModuleDict()
        for i, pair in enumerate(self.program):
            for j, (name, source) in enumerate(pair):
                self.ops[f"{i}_{j}"] = nasnet_operation(
                    name, filters, {0: stride, 1: stride}.get(source, 1)
                )

    def forward(self, h, p):
        state = {0: self.entries["h"](h), 1: self.entries["p"](p)}
        for i, pair in enumerate(self.program):
            state[i + 2] = sum(self.ops[f"{i}_{j}"](state[pair[j][1]]) for j in (1, 0))
        return torch.cat(tuple(map(state.get, self.out)), 1)


@misconception(
    "NASNetCell",
    "Let h come with as many channels as filters. Does it still go through ReLU, convolution and normalization? The text fits both inputs, always.",
    name="skips_the_fit",
)
class NASNetCell(nn.Module):
    """No fit where the channels agree already."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        fits = in_channels[0] != filters
        self.fit_h = fit_channels(in_channels[0], filters) if fits else nn.Identity()
        fits = in_channels[1] != filters or p_stride != 1
        self.fit_p = fit_channels(in_channels[1], filters, p_stride) if fits else nn.Identity()
        self.table, self.output = table, output
        self.pairs = nn.ModuleList()
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.pairs.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.pairs, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output], dim=1)


@misconception(
    "NASNetCell",
    "Count the parameters of a cell whose inputs have equal channels. h and p are different maps: each has a convolution of its own.",
    name="one_fit_for_both",
    fails=["NASNetCell-nasnet_a"],
)
class NASNetCell(nn.Module):
    """h and p share their fit where it has the same shape."""

    def __init__(self, table, output, in_channels, filters, stride=1, p_stride=1):
        super().__init__()
        self.fit_h = fit_channels(in_channels[0], filters)
        self.fit_p = fit_channels(in_channels[1], filters, p_stride)
        if in_channels[0] == in_channels[1] and p_stride == 1:
            self.fit_p = self.fit_h
        self.table, self.output = table, output
        self.pairs = nn.ModuleList()
        for pair in table:
            operations = [
                nasnet_operation(name, filters, stride if state < 2 else 1) for name, state in pair
            ]
            self.pairs.append(nn.ModuleList(operations))

    def forward(self, h, p):
        states = [self.fit_h(h), self.fit_p(p)]
        for (left, right), pair in zip(self.pairs, self.table, strict=True):
            (_, a), (_, b) = pair
            states.append(left(states[a]) + right(states[b]))
        return torch.cat([states[n] for n in self.output], dim=1)


# ---- compound_scaling -----------------------------------------------------------------------


@misconception(
    "compound_scaling",
    "Compare the channels of your rows with those you were given. Compound means that all three knobs turn together.",
    name="depth_alone",
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """Only the depth grows."""
    return [(e, k, s, c, math.ceil(n * alpha**phi)) for e, k, s, c, n in table], resolution


@misconception(
    "compound_scaling",
    "2 blocks times 1.2: is that 2 or 3? The text rounds blocks up, always.",
    name="rounds_blocks",
    fails=["compound_scaling-table"],
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """Blocks to the nearest whole number."""
    d, w = alpha**phi, beta**phi
    rows = [(e, k, s, make_divisible(c * w), max(1, round(n * d))) for e, k, s, c, n in table]
    return rows, round(resolution * gamma**phi)


@misconception(
    "compound_scaling",
    "Ask for 11 channels: the nearest multiple of 8 is 8, and that is more than a tenth too few. What does make_divisible do?",
    name="below_ninety_percent",
    fails=["compound_scaling-table"],
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """The nearest multiple of 8, however far it is."""
    d, w = alpha**phi, beta**phi
    rows = [(e, k, s, max(8, int(c * w + 4) // 8 * 8), math.ceil(n * d)) for e, k, s, c, n in table]
    return rows, round(resolution * gamma**phi)


@misconception(
    "compound_scaling",
    "phi = 0 must change nothing. What does your formula give there? phi is an exponent.",
    name="multiplies_by_phi",
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """alpha * phi instead of alpha ** phi."""
    d, w = alpha * phi, beta * phi
    rows = [(e, k, s, make_divisible(c * w), math.ceil(n * d)) for e, k, s, c, n in table]
    return rows, round(resolution * gamma * phi)


@misconception(
    "compound_scaling",
    "224 times 1.15 is 257.6. To which whole number is it nearest?",
    name="cuts_resolution",
    fails=["compound_scaling-resolution"],
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """The resolution is cut off, not rounded."""
    d, w = alpha**phi, beta**phi
    rows = [(e, k, s, make_divisible(c * w), math.ceil(n * d)) for e, k, s, c, n in table]
    return rows, int(resolution * gamma**phi)


@alternative("compound_scaling", name="loop")
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """A loop, lists for rows, rounding by hand."""
    scaled = []
    for row in table:
        row = list(row)
        channels = row[3] * math.pow(beta, phi)
        row[3] = 8
        while row[3] + 4 <= channels or row[3] < 0.9 * channels:
            row[3] += 8
        row[4] = -int(-(row[4] * math.pow(alpha, phi)) // 1)
        scaled.append(row)
    return scaled, int(resolution * math.pow(gamma, phi) + 0.5)


@misconception(
    "compound_scaling",
    "17.6 channels: is 16 or 24 the nearest multiple of 8? Blocks are rounded up, channels are not.",
    name="channels_always_up",
    fails=["compound_scaling-table"],
)
def compound_scaling(table, phi, resolution=224, alpha=1.2, beta=1.1, gamma=1.15):
    """Channels up to the next multiple of 8."""
    depth, width = alpha**phi, beta**phi
    scaled = [
        (expand, kernel, stride, 8 * math.ceil(channels * width / 8), math.ceil(blocks * depth))
        for expand, kernel, stride, channels, blocks in table
    ]
    return scaled, round(resolution * gamma**phi)


# ---- EfficientNet ---------------------------------------------------------------------------


@misconception(
    "EfficientNet",
    "Count the gates' parameters. A quarter of which channels: of those that come into the block, or of the six times wider inside?",
    name="squeeze_of_the_inside",
    fails=["EfficientNet-block", "EfficientNet-b0", "EfficientNet-family", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """The gates' middle is a quarter of the inside, as in MobileNetV3."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside = in_channels * expand
            few = inside // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Train with a large batch and look which pictures lose their branch. All, or none? Each picture has dice of its own.",
    name="drops_the_batch",
    fails=["EfficientNet-drop", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """One decision for the whole batch."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(1, 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Take the text's numbers: branch 3, drop 0.25. What is the mean over many passes in training, and what comes out in use?",
    name="not_divided",
    fails=["EfficientNet-drop"],
)
class EfficientNet(nn.Module):
    """What is kept is not divided by 1 - drop."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Ask your block twice in eval(). Who may be dropped there?",
    name="drops_in_use",
    fails=["EfficientNet-drop", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """Branches are dropped in use, too."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "The first block is needed by all others. Print drop for each block: does it begin at 0 and rise?",
    name="same_drop_everywhere",
    fails=["EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """Each block has the same probability."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels = make_divisible(32 * width)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels = wide
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Compute the blocks of the first row for B1: one times 1.1. Rounded which way?",
    name="blocks_rounded_down",
    fails=["EfficientNet-family", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """Blocks are rounded down."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(int(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(int(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Swish stands for every activation of this block. Look into the gates.",
    name="relu_in_the_gates",
    fails=["EfficientNet-block", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """ReLU in the middle of the gates, as in MobileNetV3."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.ReLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "The end of the block is linear, as in MobileNetV2. What follows your projection?",
    name="swish_behind_projection",
    fails=["EfficientNet-block", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """A swish behind the projection, too."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = F.silu(self.project(y * self.gates(y)))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "What comes out of a block without a shortcut if its branch is dropped? Nothing: those are never dropped.",
    name="drops_without_shortcut",
    fails=["EfficientNet-drop"],
)
class EfficientNet(nn.Module):
    """A branch is dropped where there is nothing else."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y if self.shortcut else y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@alternative("EfficientNet", name="compact")
class EfficientNet(nn.Sequential):
    """A Sequential; Bernoulli masks; the list of all blocks is made first; dense layers in the gates."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            n, self.drop = in_channels * expand, float(drop)
            self.widen = normed_conv(in_channels, n) if n > in_channels else None
            self.depthwise = nn.Conv2d(
                n, n, kernel_size, stride, kernel_size // 2, groups=n, bias=False
            )
            self.norm = nn.BatchNorm2d(n)
            self.fc1, self.fc2 = nn.Linear(n, in_channels // 4), nn.Linear(in_channels // 4, n)
            self.narrow = normed_conv(n, out_channels)
            self.skip = (in_channels, 1) == (out_channels, stride)

        def forward(self, x):
            h = x
            if self.widen is not None:
                h = self.widen(h)
                h = h * h.sigmoid()
            h = F.silu(self.norm(self.depthwise(h)), inplace=True)
            z = torch.sigmoid(self.fc2(F.silu(self.fc1(h.mean((2, 3))))))
            h = self.narrow(h * z.unsqueeze(-1).unsqueeze(-1))
            if self.skip:
                if self.training and self.drop > 0:
                    keep = 1 - self.drop
                    mask = torch.full((x.size(0), 1, 1, 1), keep, device=x.device).bernoulli()
                    h = torch.where(mask > 0, h / keep, torch.zeros_like(h))
                h = h + x
            return h

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        w, d, _, p = EFFICIENTNETS[key]
        w, d = w if width is None else width, d if depth is None else depth
        plan, c = [], make_divisible(32 * w)
        stem = [normed_conv(in_channels, c, 3, 2), nn.SiLU(inplace=True)]
        for t, k, s, out, n in EFFICIENTNET_B0:
            for _ in range(math.ceil(n * d)):
                plan.append((c, make_divisible(out * w), k, s, t))
                c, s = plan[-1][1], 1
        blocks = [MBConv(*row, stochastic_depth * i / len(plan)) for i, row in enumerate(plan)]
        head = [normed_conv(c, 4 * c), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(*stem, *blocks, *head, nn.Dropout(p), nn.Linear(4 * c, num_classes))


@misconception(
    "EfficientNet",
    "Which drop has your very first block? Blocks are counted from 0, so that it is never skipped.",
    name="drop_from_one",
    fails=["EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """Blocks counted from 1."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d((1, 1)),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * (built + 1) / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@misconception(
    "EfficientNet",
    "Look at one picture whose branch was dropped: is all of it gone, or some channels? One decision for each picture, for all of its channels.",
    name="drops_channels",
    fails=["EfficientNet-drop", "EfficientNet-network"],
)
class EfficientNet(nn.Module):
    """A decision for each channel: Dropout2d."""

    global MBConv

    class MBConv(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride, expand, drop=0.0):
            super().__init__()
            inside, few = in_channels * expand, in_channels // 4
            layers = [normed_conv(in_channels, inside), nn.SiLU()] if expand != 1 else []
            layers += [normed_conv(inside, inside, kernel_size, stride, groups=inside), nn.SiLU()]
            self.inside = nn.Sequential(*layers)
            self.gates = nn.Sequential(
                nn.AdaptiveAvgPool2d((1, 1)),
                nn.Conv2d(inside, few, 1),
                nn.SiLU(),
                nn.Conv2d(few, inside, 1),
                nn.Sigmoid(),
            )
            self.project = normed_conv(inside, out_channels)
            self.shortcut, self.drop = stride == 1 and in_channels == out_channels, drop

        def forward(self, x):
            y = self.inside(x)
            y = self.project(y * self.gates(y))
            if not self.shortcut:
                return y
            if self.training:
                kept = torch.rand(len(x), y.shape[1], 1, 1, device=x.device) >= self.drop
                y = y * kept / (1 - self.drop)
            return x + y

    def __init__(
        self, key, num_classes=1000, in_channels=3, width=None, depth=None, stochastic_depth=0.2
    ):
        super().__init__()
        own_width, own_depth, _, dropout = EFFICIENTNETS[key]
        width = own_width if width is None else width
        depth = own_depth if depth is None else depth
        channels, built = make_divisible(32 * width), 0
        total = sum(math.ceil(blocks * depth) for *_, blocks in EFFICIENTNET_B0)
        layers = [normed_conv(in_channels, channels, 3, 2), nn.SiLU()]
        for expand, kernel_size, stride, full, blocks in EFFICIENTNET_B0:
            wide = make_divisible(full * width)
            for n in range(math.ceil(blocks * depth)):
                drop, step = stochastic_depth * built / total, 1 if n else stride
                layers.append(MBConv(channels, wide, kernel_size, step, expand, drop))
                channels, built = wide, built + 1
        self.features = nn.Sequential(*layers, normed_conv(channels, 4 * channels), nn.SiLU())
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))
