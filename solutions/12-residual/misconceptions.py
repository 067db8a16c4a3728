"""Wrong and unusual solutions of unit 12, each with the hint that its author needs."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from grader.misconceptions import alternative, misconception

# ---- BasicBlock -----------------------------------------------------------------------------


@misconception(
    "BasicBlock",
    "Can your branch ever take something away from x? Follow the pixel of the text: F is -1.5 there, and what do you add?",
    name="relu_before_the_addition",
    fails=["BasicBlock-identity", "BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """relu(F(x)) + x."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y))) + shortcut


@misconception(
    "BasicBlock",
    "Count the ReLUs in the drawing. One of them stands behind the plus.",
    name="no_relu_after_the_addition",
    fails=["BasicBlock-identity", "BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """F(x) + x, and nothing after it: half of a pre-activation block."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut


@misconception(
    "BasicBlock",
    "A batch norm behind the plus scales the shortcut as well. To which of the two roads does bn2 belong?",
    name="norm_after_the_addition",
    fails=["BasicBlock-identity", "BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """relu(bn2(conv2 + shortcut))."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return F.relu(self.bn2(y + shortcut))


@misconception(
    "BasicBlock",
    "The branch halves the picture. Does your projection?",
    name="projection_without_stride",
    fails=["BasicBlock-projection", "BasicBlock-contract"],
)
class BasicBlock(nn.Module):
    """The 1x1 convolution of the shortcut has stride 1."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + shortcut)


@misconception(
    "BasicBlock",
    "Two things can keep x from fitting: its channels and its size. You ask for one of them.",
    name="projects_for_channels_only",
    fails=["BasicBlock-projection", "BasicBlock-contract"],
)
class BasicBlock(nn.Module):
    """No projection where only the stride differs."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + shortcut)


@misconception(
    "BasicBlock",
    "Where the shortcut is the identity, `shortcut` is not a copy of x, it *is* x. What does += do to it?",
    name="adds_into_x",
    fails=["BasicBlock-identity", "BasicBlock-contract"],
)
class BasicBlock(nn.Module):
    """shortcut += F(x): right numbers, and the caller's x is changed."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        shortcut += self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(shortcut)


@misconception(
    "BasicBlock",
    "All shapes are right. But which of the two convolutions of the branch has the stride, according to the text?",
    name="stride_in_the_second",
    fails=["BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """conv2 has the stride."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + shortcut)


@misconception(
    "BasicBlock",
    "Print your block's downsample. What stands behind its convolution, and behind each other convolution?",
    name="projection_without_norm",
    fails=["BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """A projection of a convolution alone."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, width, 1, stride, bias=False))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + shortcut)


@misconception(
    "BasicBlock",
    "What is between bn1 and conv2 in the drawing? Without it the branch is a linear map.",
    name="no_relu_inside",
    fails=["BasicBlock-identity", "BasicBlock-projection"],
)
class BasicBlock(nn.Module):
    """The branch has no ReLU."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        return F.relu(y + shortcut)


@alternative("BasicBlock", name="as_torchvision")
class BasicBlock(nn.Module):
    """One ReLU module, in place where nobody minds, and += on what is the block's own."""

    expansion: int = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, width, kernel_size=3, stride=stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        fits = stride == 1 and in_channels == width
        self.downsample = (
            None
            if fits
            else nn.Sequential(
                nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(width),
            )
        )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


# ---- Bottleneck -----------------------------------------------------------------------------


@misconception(
    "Bottleneck",
    "A 1x1 with stride 2 never looks at three quarters of its pixels. Which of the three has the stride in v1.5?",
    name="stride_on_the_first",
    fails=["Bottleneck-shapes", "Bottleneck-wiring"],
)
class Bottleneck(nn.Module):
    """The paper's version, v1."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w, out = widen * width, 4 * width
        self.conv1 = nn.Conv2d(in_channels, w, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


@misconception(
    "Bottleneck",
    "Without a ReLU between them a 3x3 and a 1x1 are one linear map (but for the batch norm). How many ReLUs are in the drawing?",
    name="a_relu_is_missing",
    fails=["Bottleneck-wiring"],
)
class Bottleneck(nn.Module):
    """No ReLU behind bn2."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w, out = widen * width, 4 * width
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


@misconception(
    "Bottleneck",
    "widen makes the inside wider. Whoever comes next counts on 4 * width channels.",
    name="widens_the_outside",
    fails=["Bottleneck-widen"],
)
class Bottleneck(nn.Module):
    """What comes out is widened as well."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w = widen * width
        out = 4 * w
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


@misconception(
    "Bottleneck",
    "Bottleneck(64, 64) with stride 1: 64 channels go in. How many come out of the branch?",
    name="compares_with_the_inside",
)
class Bottleneck(nn.Module):
    """Projects where in_channels differs from width, not from 4 * width."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w, out = widen * width, 4 * width
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != w:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


@misconception(
    "Bottleneck",
    "Count the parameters of Bottleneck(16, 4) and of Bottleneck(16, 4, widen=2). Where does your code read widen?",
    name="ignores_widen",
    fails=["Bottleneck-widen"],
)
class Bottleneck(nn.Module):
    """Takes widen and forgets it."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w, out = width, 4 * width
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


@misconception(
    "Bottleneck",
    "Three convolutions, three batch norms, but only two ReLUs in the branch: the third one stands behind the plus.",
    name="relu_before_the_addition",
    fails=["Bottleneck-wiring"],
)
class Bottleneck(nn.Module):
    """A ReLU behind each batch norm, none behind the plus."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        w, out = widen * width, 4 * width
        self.conv1 = nn.Conv2d(in_channels, w, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.conv2 = nn.Conv2d(w, w, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w)
        self.conv3 = nn.Conv2d(w, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y))) + shortcut


@alternative("Bottleneck", name="inner_sequential")
class Bottleneck(nn.Module):
    """The same layers, run by a loop."""

    expansion = 4

    def __init__(self, in_channels, width, stride=1, widen=1):
        super().__init__()
        sizes = [in_channels, width * widen, width * widen, width * 4]
        for i, (kernel, step) in enumerate(((1, 1), (3, stride), (1, 1))):
            conv = nn.Conv2d(sizes[i], sizes[i + 1], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(sizes[i + 1]))
        self.downsample = None
        if not (stride == 1 and in_channels == sizes[3]):
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, sizes[3], 1, stride, bias=False), nn.BatchNorm2d(sizes[3])
            )

    def forward(self, x):
        y = x
        for i in (1, 2, 3):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < 3:
                y = torch.relu(y)
        return torch.relu(y.add(self.downsample(x) if self.downsample else x))


# ---- ResNet ---------------------------------------------------------------------------------


@misconception(
    "ResNet",
    "A block says by its `expansion` how many channels it gives. Ask it; another block may answer something else.",
    name="expansion_by_heart",
    fails=["ResNet-table", "ResNet-forward"],
)
class ResNet(nn.Module):
    """1 and 4 in place of block.expansion."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block, times = (blocks[0], 1) if depth < 50 else (blocks[1], 4)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = times * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@misconception(
    "ResNet",
    "The pooling of the stem has just halved the picture. Which stages begin with a stride, according to the text?",
    name="stride_in_stage_one",
    fails=["ResNet-table", "ResNet-forward", "ResNet-counts"],
)
class ResNet(nn.Module):
    """All four stages begin with stride 2."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stage.append(block(channels, width, 1 if j else 2))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@misconception(
    "ResNet",
    "224 pixels end as 7. Count the halvings in your network: five are needed.",
    name="no_pooling_in_the_stem",
    fails=["ResNet-forward"],
)
class ResNet(nn.Module):
    """The stem without its max pooling, as people write it for CIFAR."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@misconception(
    "ResNet",
    "Cross-entropy in PyTorch takes scores and does the softmax itself. What do you hand on?",
    name="softmax_at_the_end",
    fails=["ResNet-forward"],
)
class ResNet(nn.Module):
    """Gives probabilities."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.softmax(self.fc(x.mean(dim=(2, 3))), dim=1)


@misconception(
    "ResNet",
    "Print the list of blocks that you build for depth 152 and compare each stage's length with the table.",
    name="a_slip_in_the_table",
    fails=["ResNet-table", "ResNet-counts"],
)
class ResNet(nn.Module):
    """152 has (3, 4, 36, 3)."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 4, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@misconception(
    "ResNet",
    "Your network reads pictures of 224 x 224. And of 64 x 96? The mean is over all places, however many there are.",
    name="pools_seven_by_seven",
    fails=["ResNet-forward", "ResNet-contract", "WideResNet-tests"],
)
class ResNet(nn.Module):
    """A mean over 7 x 7 places."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width = 64 * 2**i
            stage = []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.avg_pool2d(x, 7).flatten(1))


@misconception(
    "ResNet",
    "`[block] * 3` is three times the *same* block with the same weights. Count your parameters.",
    name="one_block_many_times",
    fails=["ResNet-table", "ResNet-counts", "WideResNet-tests"],
)
class ResNet(nn.Module):
    """The blocks of a stage share their weights."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width = 64 * 2**i
            stage = [block(channels, width, 2 if i else 1)]
            channels = block.expansion * width
            stage += [block(channels, width)] * (count - 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@misconception(
    "ResNet",
    "The stem: convolution, batch norm, and what before the pooling?",
    name="no_relu_in_the_stem",
    fails=["ResNet-forward"],
)
class ResNet(nn.Module):
    """The pooling reads what bn1 gives."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        table = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in table:
            raise ValueError(depth)
        block = blocks[depth >= 50]
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for i, count in enumerate(table[depth]):
            width = 64 * 2**i
            stage = []
            for j in range(count):
                stage.append(block(channels, width, 2 if i and not j else 1))
                channels = block.expansion * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(self.bn1(self.conv1(x)), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


@alternative("ResNet", name="make_layer")
class ResNet(nn.Module):
    """torchvision's way: a method that builds a stage; keywords; modules for everything."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        plans = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}
        plans |= {101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
        try:
            plan = plans[depth]
        except KeyError:
            raise ValueError(f"no ResNet-{depth}") from None
        self.inplanes = 64
        self.block = blocks[0] if depth in (18, 34) else blocks[1]
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(64, plan[0], 1)
        self.layer2 = self._make_layer(128, plan[1], 2)
        self.layer3 = self._make_layer(256, plan[2], 2)
        self.layer4 = self._make_layer(512, plan[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * self.block.expansion, num_classes)

    def _make_layer(self, planes, count, stride):
        layers = [self.block(self.inplanes, planes, stride)]
        self.inplanes = planes * self.block.expansion
        layers += [self.block(self.inplanes, planes) for _ in range(1, count)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


@alternative("ResNet", name="by_keyword")
class ResNet(nn.Module):
    """Blocks called by keyword; stages in a loop over pairs; other names where none is promised."""

    def __init__(self, depth, num_classes=1000, in_channels=3, blocks=(BasicBlock, Bottleneck)):
        super().__init__()
        if depth not in (18, 34, 50, 101, 152):
            raise ValueError("depth")
        kind = blocks[int(depth > 34)]
        counts = [3, 4, 6, 3] if depth in (34, 50) else [2] * 4
        counts = {101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}.get(depth, counts)
        self.conv1 = nn.Conv2d(in_channels, 64, (7, 7), (2, 2), (3, 3), bias=False)
        self.bn1 = nn.BatchNorm2d(num_features=64)
        now = 64
        for stage in range(1, 5):
            inside = 32 << stage
            made = nn.Sequential()
            for number in range(counts[stage - 1]):
                step = 2 if stage > 1 and number == 0 else 1
                made.append(kind(in_channels=now, width=inside, stride=step))
                now = inside * kind.expansion
            self.add_module(f"layer{stage}", made)
        self.fc = nn.Linear(now, num_classes)
        print(f"ResNet-{depth}")

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu_()
        y = F.max_pool2d(y, kernel_size=3, stride=2, padding=1)
        for stage in range(1, 5):
            y = getattr(self, f"layer{stage}")(y)
        return self.fc(F.adaptive_avg_pool2d(y, (1, 1)).squeeze(-1).squeeze(-1))


# ---- WideResNet -----------------------------------------------------------------------------


@misconception(
    "WideResNet",
    "You hand on a larger width. What comes out of the block then, and what does the next one expect?",
    name="widens_the_outside",
)
class WideResNet(ResNet):
    """Multiplies the width itself."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        class Wide(block):
            def __init__(self, in_channels, channels, stride=1):
                super().__init__(in_channels, width * channels, stride)

        super().__init__(depth, num_classes, in_channels, blocks=(Wide, Wide))


@misconception(
    "WideResNet",
    "WideResNet(50, width=3): where does your code read `width`?",
    name="always_two",
)
class WideResNet(ResNet):
    """Wide ResNet-50-2, whatever is asked for."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        class Wide(block):
            def __init__(self, in_channels, channels, stride=1):
                super().__init__(in_channels, channels, stride, widen=2)

        super().__init__(depth, num_classes, in_channels, blocks=(Wide, Wide))


@misconception(
    "WideResNet",
    "Your block takes a stride from ResNet. Whom does it tell?",
    name="forgets_the_stride",
)
class WideResNet(ResNet):
    """The stride stays behind."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        class Wide(block):
            def __init__(self, in_channels, channels, stride=1):
                super().__init__(in_channels, channels, widen=width)

        super().__init__(depth, num_classes, in_channels, blocks=(Wide, Wide))


@misconception(
    "WideResNet",
    "Two things are called width here: how much wider, and a block's 64, 128, ... Which of the two does your inner __init__ see?",
    name="two_widths",
)
class WideResNet(ResNet):
    """The inner width hides the outer one."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        class Wide(block):
            def __init__(self, in_channels, width, stride=1):
                super().__init__(in_channels, width, stride, widen=width)

        super().__init__(depth, num_classes, in_channels, blocks=(Wide, Wide))


@misconception(
    "WideResNet",
    "WideResNet(50, 2, 7, 1): how many scores should come out? What do you hand on to ResNet?",
    name="keeps_the_classes_to_itself",
)
class WideResNet(ResNet):
    """num_classes and in_channels stay behind."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        class Wide(block):
            def __init__(self, in_channels, channels, stride=1):
                super().__init__(in_channels, channels, stride, widen=width)

        super().__init__(depth, blocks=(Wide, Wide))


@alternative("WideResNet", name="partial")
class WideResNet(ResNet):
    """functools.partial, which can carry an attribute."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        import functools

        wide = functools.partial(block, widen=width)
        wide.expansion = block.expansion
        super().__init__(depth, num_classes, in_channels, (wide, wide))


@alternative("WideResNet", name="a_function")
class WideResNet(ResNet):
    """A function that makes blocks, with the one attribute that ResNet asks for."""

    def __init__(self, depth, width=2, num_classes=1000, in_channels=3, block=Bottleneck):
        def wide(c, w, s=1):
            return block(c, w, s, widen=width)

        wide.expansion = block.expansion
        super().__init__(depth, num_classes=num_classes, in_channels=in_channels, blocks=[wide] * 2)


# ---- gradient_norms -------------------------------------------------------------------------


@misconception(
    "gradient_norms",
    "Call it twice. Gradients in .grad add up, and whose .grad is it?",
    name="gradients_add_up",
)
def gradient_norms(model, x, y):
    """backward() on the model itself."""
    F.cross_entropy(model(x), y).backward()
    return [float(m.weight.grad.norm()) for m in model.modules() if isinstance(m, nn.Conv2d)]


@misconception(
    "gradient_norms",
    "Print running_mean of a batch norm before and after. A forward pass in training mode is never without traces.",
    name="moves_the_running_statistics",
)
def gradient_norms(model, x, y):
    """No trace in .grad, but in the batch norms."""
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    grads = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    return [float(g.norm()) for g in grads]


@misconception(
    "gradient_norms",
    "You protect the running statistics by eval(). But then it is another function whose gradient you take.",
    name="always_in_eval",
)
def gradient_norms(model, x, y):
    """The gradient of the network in use."""
    twin = copy.deepcopy(model).eval()
    weights = [m.weight for m in twin.modules() if isinstance(m, nn.Conv2d)]
    grads = torch.autograd.grad(F.cross_entropy(twin(x), y), weights)
    return [float(g.norm()) for g in grads]


@misconception(
    "gradient_norms",
    "The length is the root of the sum of squares. On one weight of -1 and one of +1 it is not 2.",
    name="forgets_the_root",
)
def gradient_norms(model, x, y):
    """The square of the length."""
    twin = copy.deepcopy(model)
    weights = [m.weight for m in twin.modules() if isinstance(m, nn.Conv2d)]
    grads = torch.autograd.grad(F.cross_entropy(twin(x), y), weights)
    return [float((g**2).sum()) for g in grads]


@misconception(
    "gradient_norms",
    "How many numbers do you return, and how many nn.Conv2d does the model have? A dense layer has a weight, too.",
    name="dense_layers_as_well",
)
def gradient_norms(model, x, y):
    """Every weight with more than one axis."""
    twin = copy.deepcopy(model)
    weights = [w for w in twin.parameters() if w.dim() > 1]
    grads = torch.autograd.grad(F.cross_entropy(twin(x), y), weights)
    return [float(g.norm()) for g in grads]


@misconception(
    "gradient_norms",
    "You clean up .grad behind you. But what was in it before you came? And what else did your forward pass move?",
    name="cleans_up_too_much",
)
def gradient_norms(model, x, y):
    """zero_grad() before and after."""
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    found = [float(m.weight.grad.norm()) for m in model.modules() if isinstance(m, nn.Conv2d)]
    model.zero_grad()
    return found


@alternative("gradient_norms", name="backward_on_a_twin")
def gradient_norms(model, x, y):
    """backward() on a copy, gradients cleared first."""
    from copy import deepcopy

    other = deepcopy(model)
    other.zero_grad()
    logits = other(x)
    (-torch.log_softmax(logits, dim=1)[torch.arange(len(y)), y]).mean().backward()
    result = []
    for part in other.modules():
        if type(part) is nn.Conv2d:
            result.append(part.weight.grad.pow(2).sum().sqrt().item())
    return result


@alternative("gradient_norms", name="puts_everything_back")
def gradient_norms(model, x, y):
    """Runs the model itself, and restores its running statistics."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    loss = nn.CrossEntropyLoss()(model(x), y)
    grads = torch.autograd.grad(loss, [conv.weight for conv in convs])
    model.load_state_dict(state)
    return [g.double().square().sum().item() ** 0.5 for g in grads]


# ---- PreActBlock ----------------------------------------------------------------------------


@misconception(
    "PreActBlock",
    "Where it projects, what does the shortcut take: x, or what bn1 and the ReLU have made of it?",
    name="projects_x",
    fails=["PreActBlock-projection"],
)
class PreActBlock(nn.Module):
    """The projection takes x."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return y + (x if self.shortcut is None else self.shortcut(x))


@misconception(
    "PreActBlock",
    "Where nothing has to be projected, x itself is added. Give your block a negative number and no branch.",
    name="adds_what_is_activated",
    fails=["PreActBlock-identity"],
)
class PreActBlock(nn.Module):
    """relu(bn1(x)) on the shortcut in both cases."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x):
        z = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(z))))
        return y + (z if self.shortcut is None else self.shortcut(z))


@misconception(
    "PreActBlock",
    "This road was to be cleared: what stands behind your addition?",
    name="relu_after_the_addition",
    fails=["PreActBlock-identity", "PreActBlock-projection"],
)
class PreActBlock(nn.Module):
    """Pre-activation, and the old ReLU as well."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x):
        z = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(z))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(z)))


@misconception(
    "PreActBlock",
    "Batch norm, ReLU, convolution: in this order. Which of your batch norms has in_channels channels?",
    name="convolution_first",
    fails=["PreActBlock-identity", "PreActBlock-projection"],
)
class PreActBlock(nn.Module):
    """The order of 2015 without the last ReLU."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return y + (x if self.shortcut is None else self.shortcut(x))


@misconception(
    "PreActBlock",
    "Behind which of its convolutions does a pre-activation block have a batch norm? What is `shortcut` promised to be?",
    name="norm_on_the_shortcut",
    fails=["PreActBlock-projection"],
)
class PreActBlock(nn.Module):
    """The projection of 2015, with its batch norm."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        z = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(z))))
        return y + (x if self.shortcut is None else self.shortcut(z))


@misconception(
    "PreActBlock",
    "All shapes are right. Which convolution has the stride?",
    name="stride_in_the_second",
    fails=["PreActBlock-projection"],
)
class PreActBlock(nn.Module):
    """conv2 has the stride."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.shortcut = None
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x):
        z = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(z))))
        return y + (x if self.shortcut is None else self.shortcut(z))


@alternative("PreActBlock", name="two_branches_by_hand")
class PreActBlock(nn.Module):
    """An if in forward; ReLU in place on what belongs to the block."""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(
            in_channels, width, (3, 3), (stride, stride), "same" if stride == 1 else 1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, (3, 3), padding="same", bias=False)
        projects = not (in_channels == width and stride == 1)
        self.shortcut = (
            nn.Conv2d(in_channels, width, 1, stride, 0, bias=False) if projects else None
        )

    def forward(self, x):
        z = self.bn1(x).clamp(min=0)
        y = self.conv2(F.relu(self.bn2(self.conv1(z)), inplace=True))
        if self.shortcut is not None:
            return self.shortcut(z) + y
        return x + y


# ---- DenseBlock -----------------------------------------------------------------------------


@misconception(
    "DenseBlock",
    "Look at the shape of what torch.cat gives. Axis 0 holds the pictures.",
    name="concatenates_pictures",
)
class DenseBlock(nn.Module):
    """torch.cat without dim."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            c = in_channels + i * growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(c),
                    nn.ReLU(),
                    nn.Conv2d(c, 4 * growth, 1, bias=False),
                    nn.BatchNorm2d(4 * growth),
                    nn.ReLU(),
                    nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)])
        return x


@misconception(
    "DenseBlock",
    "The first channels of the result should be x. Which of your two comes first?",
    name="new_maps_first",
    fails=["DenseBlock-wiring"],
)
class DenseBlock(nn.Module):
    """[layer(x), x]."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            c = in_channels + i * growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(c),
                    nn.ReLU(),
                    nn.Conv2d(c, 4 * growth, 1, bias=False),
                    nn.BatchNorm2d(4 * growth),
                    nn.ReLU(),
                    nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([layer(x), x], dim=1)
        return x


@misconception(
    "DenseBlock",
    "How many channels does the 3x3 of a layer read? The text says 4 * growth.",
    name="no_bottleneck",
    fails=["DenseBlock-wiring", "DenseBlock-contract"],
)
class DenseBlock(nn.Module):
    """The 1x1 gives growth channels, not four times as many."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            c = in_channels + i * growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(c),
                    nn.ReLU(),
                    nn.Conv2d(c, growth, 1, bias=False),
                    nn.BatchNorm2d(growth),
                    nn.ReLU(),
                    nn.Conv2d(growth, growth, 3, padding=1, bias=False),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


@misconception(
    "DenseBlock",
    "A convolution that does not read what a batch norm and a ReLU have made: how many of each has a layer, and in which order?",
    name="one_activation_is_missing",
    fails=["DenseBlock-wiring"],
)
class DenseBlock(nn.Module):
    """No ReLU between the second batch norm and the 3x3."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            c = in_channels + i * growth
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(c),
                    nn.ReLU(),
                    nn.Conv2d(c, 4 * growth, 1, bias=False),
                    nn.BatchNorm2d(4 * growth),
                    nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


@misconception(
    "DenseBlock",
    "In which order do batch norm, ReLU and convolution stand in H_l? How many channels has the first batch norm then?",
    name="convolution_first",
    fails=["DenseBlock-wiring", "DenseBlock-contract"],
)
class DenseBlock(nn.Module):
    """Convolution, batch norm, ReLU, twice: the order of unit 10."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            self.layers.append(
                nn.Sequential(
                    nn.Conv2d(in_channels + i * growth, 4 * growth, 1, bias=False),
                    nn.BatchNorm2d(4 * growth),
                    nn.ReLU(),
                    nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                    nn.BatchNorm2d(growth),
                    nn.ReLU(),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


@alternative("DenseBlock", name="a_list_of_maps")
class DenseBlock(nn.Module):
    """Keeps a list and concatenates anew for each layer; a class for the layer."""

    def __init__(self, in_channels, layers, growth=32):
        super().__init__()

        class Layer(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(4 * growth)
                self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, "same", bias=False)
                self.conv1 = nn.Conv2d(channels, 4 * growth, (1, 1), bias=False)

            def forward(self, maps):
                narrow = self.conv1(torch.relu(self.norm1(maps)))
                return self.conv2(torch.relu(self.norm2(narrow)))

        self.layers = nn.ModuleList([Layer(in_channels + n * growth) for n in range(layers)])

    def forward(self, x):
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, -3)))
        return torch.cat(maps, -3)


# ---- count_connections ----------------------------------------------------------------------


@misconception(
    "count_connections",
    "You use the formula. The test hands in a block that the formula does not describe: ask the block.",
    name="by_the_formula",
)
def count_connections(block, x):
    """L (L + 1) / 2, whatever the block does."""
    L = len(block.layers)
    return L * (L + 1) // 2


@misconception(
    "count_connections",
    "One layer alone reads the block's input. Is that a connection?",
    name="forgets_the_input",
)
def count_connections(block, x):
    """Only results of earlier layers are counted."""
    sources, hooks = [], []
    for layer in block.layers:
        hooks.append(
            layer.register_forward_hook(
                lambda m, i, y: sources.append((i[0].shape[1] - x.shape[1]) // y.shape[1])
            )
        )
    block(x)
    for hook in hooks:
        hook.remove()
    return sum(sources)


@misconception(
    "count_connections",
    "Look into layer._forward_hooks after two calls. Who takes yours away?",
    name="leaves_its_hooks",
)
def count_connections(block, x):
    """The hooks stay."""
    sources = []
    for layer in block.layers:
        layer.register_forward_hook(
            lambda m, i, y: sources.append(1 + (i[0].shape[1] - x.shape[1]) // y.shape[1])
        )
    block(x)
    return sum(sources)


@misconception(
    "count_connections",
    "Print running_mean of one of the block's batch norms before and after. Who ran, and in which mode?",
    name="moves_the_running_statistics",
)
def count_connections(block, x):
    """The hooks are taken away; the batch norms have moved."""
    sources = []
    hooks = [
        layer.register_forward_hook(
            lambda m, i, y: sources.append(1 + (i[0].shape[1] - x.shape[1]) // y.shape[1])
        )
        for layer in block.layers
    ]
    block(x)
    for hook in hooks:
        hook.remove()
    return sum(sources)


@misconception(
    "count_connections",
    "A block of one layer that reads 4 channels and makes 2: how many sources? The block's input is one, however wide it is.",
    name="divides_the_input_as_well",
)
def count_connections(block, x):
    """Channels read by channels made."""
    twin, sources = copy.deepcopy(block), []
    for layer in twin.layers:
        layer.register_forward_hook(lambda m, i, y: sources.append(i[0].shape[1] // y.shape[1]))
    twin(x)
    return sum(sources)


@alternative("count_connections", name="pre_hooks")
def count_connections(block, x):
    """Notes the reads in hooks before each layer; puts the running statistics back."""
    reads, made = [], []
    state = {k: v.clone() for k, v in block.state_dict().items()}
    handles = [
        m.register_forward_pre_hook(lambda m, i: reads.append(i[0].size(1))) for m in block.layers
    ]
    handles.append(block.layers[0].register_forward_hook(lambda m, i, y: made.append(y.size(1))))
    try:
        with torch.no_grad():
            block(x)
    finally:
        for handle in handles:
            handle.remove()
        block.load_state_dict(state)
    return len(reads) + (sum(reads) - len(reads) * x.size(1)) // made[0]


# ---- DenseNet -------------------------------------------------------------------------------


@misconception(
    "DenseNet",
    "Transitions stand *between* blocks. How many gaps are there between four blocks?",
    name="transition_after_the_last",
    fails=["DenseNet-forward", "DenseNet-contract"],
)
class DenseNet(nn.Module):
    """Four transitions."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 2 * growth
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for layers in table[depth]:
            parts.append(block(c, layers, growth))
            c += layers * growth
            parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False)]
            parts.append(nn.AvgPool2d(2, ceil_mode=True))
            c //= 2
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(c), nn.ReLU())
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@misconception(
    "DenseNet",
    "256 channels come out of the first block of DenseNet-121, and the second one gets 128. Who halves them?",
    name="keeps_all_channels",
)
class DenseNet(nn.Module):
    """Transitions without compression: DenseNet without the C."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 2 * growth
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(table[depth]):
            if i:
                parts += [
                    nn.BatchNorm2d(c),
                    nn.ReLU(),
                    nn.Conv2d(c, c, 1, bias=False),
                    nn.AvgPool2d(2),
                ]
            parts.append(block(c, layers, growth))
            c += layers * growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(c), nn.ReLU())
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@misconception(
    "DenseNet",
    "The pooling of the stem and that of a transition are not of the same kind. Read the text again.",
    name="max_pooling_in_transitions",
    fails=["DenseNet-forward"],
)
class DenseNet(nn.Module):
    """MaxPool2d(2) between the blocks."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 2 * growth
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(table[depth]):
            if i:
                parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False)]
                parts.append(nn.MaxPool2d(2))
                c //= 2
            parts.append(block(c, layers, growth))
            c += layers * growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(c), nn.ReLU())
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@misconception(
    "DenseNet",
    "In pre-activation order each convolution begins with a batch norm and a ReLU. Who activates what the last block gives?",
    name="no_norm_at_the_end",
    fails=["DenseNet-forward", "DenseNet-contract"],
)
class DenseNet(nn.Module):
    """The mean is taken of the last block's raw result."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 2 * growth
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(table[depth]):
            if i:
                parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False)]
                parts.append(nn.AvgPool2d(2))
                c //= 2
            parts.append(block(c, layers, growth))
            c += layers * growth
        self.features = nn.Sequential(*parts)
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@misconception(
    "DenseNet",
    "The batch norm at the end is there. And the ReLU?",
    name="no_relu_at_the_end",
    fails=["DenseNet-forward"],
)
class DenseNet(nn.Module):
    """As many people's: the last ReLU is forgotten."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 2 * growth
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(table[depth]):
            if i:
                parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False)]
                parts.append(nn.AvgPool2d(2))
                c //= 2
            parts.append(block(c, layers, growth))
            c += layers * growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(c))
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@misconception(
    "DenseNet",
    "Your stem gives 64 channels whatever the growth is. The text says 2k.",
    name="stem_of_64",
    fails=["DenseNet-table", "DenseNet-forward"],
)
class DenseNet(nn.Module):
    """64 channels behind the stem, for every growth rate."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        table = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
        if depth not in table:
            raise ValueError(depth)
        c = 64
        parts = [nn.Conv2d(in_channels, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        parts.append(nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(table[depth]):
            if i:
                parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False)]
                parts.append(nn.AvgPool2d(2))
                c //= 2
            parts.append(block(c, layers, growth))
            c += layers * growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(c), nn.ReLU())
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean(dim=(2, 3)))


@alternative("DenseNet", name="pool_before_the_convolution")
class DenseNet(nn.Module):
    """Averages first, convolves then: the same numbers for less work; a functional stem."""

    def __init__(self, depth, num_classes=1000, in_channels=3, growth=32, block=DenseBlock):
        super().__init__()
        try:
            counts = {121: [6, 12, 24, 16], 169: [6, 12, 32, 32], 201: [6, 12, 48, 32]}[depth]
        except KeyError:
            raise ValueError(f"no DenseNet-{depth}") from None
        self.conv0 = nn.Conv2d(in_channels, growth * 2, 7, stride=2, padding=3, bias=False)
        self.norm0 = nn.BatchNorm2d(growth * 2)
        self.dense, self.norms, self.convs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = growth * 2
        for n in counts:
            self.dense.append(block(channels, n, growth))
            channels += n * growth
            self.norms.append(nn.BatchNorm2d(channels))
            if len(self.dense) < 4:
                self.convs.append(nn.Conv2d(channels, channels // 2, 1, bias=False))
                channels = channels // 2
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.norm0(self.conv0(x))), 3, 2, 1)
        for i, dense in enumerate(self.dense):
            x = torch.relu(self.norms[i](dense(x)))
            if i < 3:
                x = self.convs[i](F.avg_pool2d(x, 2))
        return self.classifier(F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0])
