"""Wrong and unusual solutions of unit 10, each with the hint that its author needs."""

import torch
import torch.nn.functional as F
from torch import nn

from grader.misconceptions import alternative, misconception

# ---- LeNet5 ------------------------------------------------------------------------------------


@misconception(
    "LeNet5",
    "Your scores are never negative. What stands behind the last dense layer in the table?",
    name="relu_on_scores",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """An activation behind the last layer, too."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.activation(self.fc3(self.activation(self.fc2(x))))


@misconception(
    "LeNet5",
    "Your scores add up to 1. Who takes the softmax: the network, or F.cross_entropy?",
    name="softmax_at_the_end",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """Probabilities in place of scores."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return torch.softmax(self.fc3(self.activation(self.fc2(x))), dim=1)


@misconception(
    "LeNet5",
    "Build LeNet5(activation=torch.tanh). Is there a tanh anywhere in it?",
    name="ignores_activation",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """Always ReLU."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = torch.relu

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))


@misconception(
    "LeNet5",
    "Which pictures did you test with? Send a picture of 32 x 32 through as well.",
    name="for_28_only",
)
class LeNet5(nn.Module):
    """The padding is in the first convolution, for pictures of every size."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))


@misconception(
    "LeNet5",
    "Print list(net.parameters()): how many tensors are there, and how many should there be? What does PyTorch find in a plain Python list?",
    name="plain_list",
)
class LeNet5(nn.Module):
    """The dense layers are in a list, where no optimizer finds them."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense = [nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, num_classes)]
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.dense[0](x.flatten(1)))
        return self.dense[2](self.activation(self.dense[1](x)))


@misconception(
    "LeNet5",
    "Count the activations in the table: four. Two dense layers without one between them are one dense layer.",
    name="two_dense_are_one",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """No activation between the last two dense layers."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.fc2(x))


@misconception(
    "LeNet5",
    "The table says max pooling. Average pooling is nearer to 1998, but not what is built here.",
    name="average_pooling",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """Average pooling."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.avg_pool2d(self.activation(self.conv1(x)), 2)
        x = F.avg_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))


@alternative("LeNet5", name="sequential")
class LeNet5(nn.Module):
    """All in one Sequential; the padding by a slice of zeros; prints."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()

        class Act(nn.Module):
            def forward(self, x):
                return activation(x)

        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5),
            Act(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5),
            Act(),
            nn.MaxPool2d(2, 2),
            nn.Flatten(),
            nn.Linear(400, 120),
            Act(),
            nn.Linear(120, 84),
            Act(),
            nn.Linear(84, num_classes),
        )
        print("LeNet5 with", num_classes, "classes")

    def forward(self, images):
        missing = (32 - images.size(2)) // 2
        if missing > 0:
            wide = images.new_zeros(images.size(0), images.size(1), 32, 32)
            wide[:, :, missing:-missing, missing:-missing] = images
            images = wide
        return self.stem(images)


@alternative("LeNet5", name="zero_pad_module")
class LeNet5(nn.Module):
    """nn.ZeroPad2d, pooling modules, view."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.f = activation
        self.pool = nn.MaxPool2d(2)
        self.pad = nn.ZeroPad2d(2)

    def forward(self, x):
        x = self.pad(x) if x.shape[2] < 32 else x
        x = self.pool(self.f(self.conv1(x)))
        x = self.pool(self.f(self.conv2(x)))
        x = self.f(self.fc1(x.reshape(x.shape[0], -1)))
        return self.fc3(self.f(self.fc2(x)))


@misconception(
    "LeNet5",
    "Take activation=torch.tanh or torch.sigmoid: how many of them has the table, and how many run in yours?",
    name="dense_part_without_activation",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """activation is used behind the convolutions, ReLU in the dense part."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


@misconception(
    "LeNet5",
    "Pooling before the activation: for ReLU and tanh nothing changes (why?). The table says conv, activation, pool; try an activation that falls somewhere, such as torch.sin.",
    name="pool_before_activation",
    fails=["LeNet5-wiring"],
)
class LeNet5(nn.Module):
    """The maximum is taken before the activation."""

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(in_channels, 6, 5), nn.Conv2d(6, 16, 5)])
        self.dense = nn.ModuleList([nn.Linear(400, 120), nn.Linear(120, 84)])
        self.last = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        x = F.pad(x, (2, 2, 2, 2)) if x.shape[-1] == 28 else x
        for conv in self.convs:
            x = self.activation(F.max_pool2d(conv(x), 2))
        x = x.flatten(1)
        for dense in self.dense:
            x = self.activation(dense(x))
        return self.last(x)


# ---- conv_cost ---------------------------------------------------------------------------------


@misconception(
    "conv_cost",
    "With groups=2, how many of the 6 input channels does one filter see?",
    name="forgets_groups",
    fails=["conv_cost-groups"],
)
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Groups change nothing."""
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = out_channels * in_channels * kH * kW
    H, W = output_size
    return weights + out_channels * bias, weights * H * W


@misconception(
    "conv_cost",
    "Two groups: each has half of the filters, and each filter sees half of the channels. But there are two groups. How many weights together?",
    name="divides_twice",
    fails=["conv_cost-groups"],
)
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Input and output channels are both divided."""
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = (out_channels // groups) * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels * bias, weights * H * W


@misconception(
    "conv_cost",
    "Adding the bias counts as no multiply-add here. Which of your two numbers should it change?",
    name="bias_is_work",
)
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """The biases are in the multiply-adds."""
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = out_channels * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels * bias, (weights + out_channels * bias) * H * W


@misconception(
    "conv_cost",
    "Try a kernel of 2 x 3. How many weights has one filter for each channel?",
    name="square_kernel",
)
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Takes the first number of a pair for both sides."""
    kH = kW = kernel_size[0] if isinstance(kernel_size, tuple) else kernel_size
    weights = out_channels * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels * bias, weights * H * W


@misconception(
    "conv_cost",
    "What does bias=False change?",
    name="always_a_bias",
)
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """The bias is always counted."""
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = out_channels * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels, weights * H * W


@alternative("conv_cost", name="ask_torch")
def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Builds the layer where tensors have no numbers, and counts."""
    with torch.device("meta"):
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=bias)
    weights = 0
    for p in conv.parameters():
        weights += p.numel()
    work = 0
    for _ in range(output_size[0]):
        work += output_size[1] * out_channels * conv.weight[0].numel()
    return weights, work


# ---- AlexNet -----------------------------------------------------------------------------------


@misconception(
    "AlexNet",
    "Look at the table again: does the dropout stand before the dense layer, or behind its ReLU? (The paper of 2012 and this one differ.)",
    name="dropout_behind",
    fails=["AlexNet-dropout"],
)
class AlexNet(nn.Module):
    """Drops the outputs of the dense layers, as in 2012."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet",
    "Call net.eval() and ask twice about one picture. F.dropout has an argument training; what is it if you leave it out?",
    name="dropout_in_use",
    fails=["AlexNet-wiring", "AlexNet-dropout"],
)
class AlexNet(nn.Module):
    """F.dropout drops in eval(), too."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(F.dropout(self.features(x).flatten(1), 0.5))


@misconception(
    "AlexNet",
    "At 224 pixels your sizes are right. Try another: 192 x 301. Is your pooling window 3, or 2?",
    name="pool_2_2",
    fails=["AlexNet-table", "AlexNet-wiring"],
)
class AlexNet(nn.Module):
    """Pooling 2/2: the sizes agree at 224."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet",
    "How often does the table say dropout? What is the last dense layer's input?",
    name="three_dropouts",
    fails=["AlexNet-dropout"],
)
class AlexNet(nn.Module):
    """Dropout before the last layer, too."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet",
    "The table has one more line between the last pooling and the dense layers. What is it for? Send a picture of 64 x 64 through.",
    name="only_224",
)
class AlexNet(nn.Module):
    """Without the adaptive pooling."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet",
    "Count the ReLUs: seven. Which layer of yours has none behind it?",
    name="no_relu_before_pool",
    fails=["AlexNet-wiring"],
)
class AlexNet(nn.Module):
    """No ReLU behind the fifth convolution."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@alternative("AlexNet", name="by_hand")
class AlexNet(nn.Module):
    """All by hand: functions, other names, dropout with self.training."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        sizes = [(in_channels, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
        self.convs = nn.ModuleList()
        for number, (a, b, k) in enumerate(sizes):
            self.convs.append(
                nn.Conv2d(
                    a, b, kernel_size=k, stride=4 if number == 0 else 1, padding=2 if k > 3 else 1
                )
            )
        self.a, self.b = nn.Linear(9216, hidden), nn.Linear(hidden, hidden)
        self.c = nn.Linear(hidden, num_classes)

    def forward(self, x):
        for number, conv in enumerate(self.convs):
            x = F.relu(conv(x), inplace=True)
            if number in (0, 1, 4):
                x = F.max_pool2d(x, kernel_size=3, stride=2)
        x = torch.flatten(F.adaptive_avg_pool2d(x, (6, 6)), 1)
        x = F.dropout(x, p=0.5, training=self.training)
        x = torch.clamp(self.a(x), min=0)
        x = F.relu(self.b(F.dropout(x, p=0.5, training=self.training)))
        return self.c(x)


# ---- AlexNet2012 -------------------------------------------------------------------------------


@misconception(
    "AlexNet2012",
    "How many input channels has one filter of your second convolution: 96, or the 48 of its own GPU?",
    name="no_groups",
    fails=["AlexNet2012-table", "AlexNet2012-columns", "AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """groups is not used."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet2012",
    "Which layers of 2012 look at both GPUs? The third convolution is one of them.",
    name="groups_everywhere",
    fails=["AlexNet2012-table", "AlexNet2012-columns", "AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """The third convolution is cut, too."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
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
            nn.Conv2d(256, 384, 3, padding=1, groups=groups),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet2012",
    "PyTorch divides alpha by the size of the window. The paper does not. What must alpha be, so that both say the same?",
    name="alpha_of_the_paper",
    fails=["AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """alpha = 1e-4 in a formula that divides it by 5."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)

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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet2012",
    "In 2012 the outputs of the first two dense layers are dropped. Are the numbers that go into the first one dropped in yours?",
    name="dropout_before",
    fails=["AlexNet2012-dropout"],
)
class AlexNet2012(nn.Module):
    """Drops the inputs, as in the one-column network."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
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
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet2012",
    "Response normalization follows the ReLU (section 3.5 of the paper). Which comes first in yours?",
    name="norm_before_relu",
    fails=["AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """LRN between convolution and ReLU."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            response_norm(),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            response_norm(),
            nn.ReLU(),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "AlexNet2012",
    "Max pooling follows the normalization. Does it in yours?",
    name="norm_behind_pool",
    fails=["AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """LRN behind the pooling."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            response_norm(),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            response_norm(),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@alternative("AlexNet2012", name="two_columns_by_hand")
class AlexNet2012(nn.Module):
    """ModuleList and functions."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()
        table = (
            (96, 11, 4, 2, 1),
            (256, 5, 1, 2, groups),
            (384, 3, 1, 1, 1),
            (384, 3, 1, 1, groups),
            (256, 3, 1, 1, groups),
        )
        self.convolutions, channels = nn.ModuleList(), in_channels
        for filters, k, stride, padding, g in table:
            self.convolutions.append(nn.Conv2d(channels, filters, k, stride, padding, groups=g))
            channels = filters
        self.dense = nn.ModuleList(
            [nn.Linear(9216, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, num_classes)]
        )

    def forward(self, x):
        for i, conv in enumerate(self.convolutions):
            x = conv(x).relu()
            if i < 2:
                x = F.local_response_norm(x, 5, 0.0005, 0.75, 2)
            if i in (0, 1, 4):
                x = F.max_pool2d(x, 3, 2)
        x = F.adaptive_avg_pool2d(x, 6).view(len(x), -1)
        for layer in self.dense[:2]:
            x = F.dropout(layer(x).relu(), training=self.training)
        return self.dense[2](x)


@alternative("AlexNet2012", name="inplace")
class AlexNet2012(nn.Module):
    """ReLUs in place, one module of each kind for all places, nn.Flatten; the dense part is made first."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()
        relu, drop = nn.ReLU(inplace=True), nn.Dropout()
        self.head = nn.Sequential(nn.Linear(9216, hidden), relu, drop)
        self.head.extend([nn.Linear(hidden, hidden), relu, drop, nn.Linear(hidden, num_classes)])
        norm, pool = nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d((3, 3), (2, 2))
        self.body = nn.Sequential(
            *(nn.Conv2d(in_channels, 96, 11, 4, 2), relu, norm, pool),
            *(nn.Conv2d(96, 256, 5, 1, 2, groups=groups), relu, norm, pool),
            *(nn.Conv2d(256, 384, 3, padding="same"), relu),
            *(nn.Conv2d(384, 384, 3, padding="same", groups=groups), relu),
            *(nn.Conv2d(384, 256, 3, padding="same", groups=groups), relu, pool),
            *(nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten()),
        )

    def forward(self, x):
        return self.head(self.body(x))


@misconception(
    "AlexNet2012",
    "What is k in the paper's normalization, and what does nn.LocalResponseNorm take if you do not say it?",
    name="k_left_out",
    fails=["AlexNet2012-wiring"],
)
class AlexNet2012(nn.Module):
    """k is 1, PyTorch's default."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()
        relu, drop = nn.ReLU(), nn.Dropout()
        self.head = nn.Sequential(nn.Linear(9216, hidden), relu, drop)
        self.head.extend([nn.Linear(hidden, hidden), relu, drop, nn.Linear(hidden, num_classes)])
        norm, pool = nn.LocalResponseNorm(5, 5e-4, 0.75), nn.MaxPool2d(3, 2)
        self.body = nn.Sequential(
            *(nn.Conv2d(in_channels, 96, 11, 4, 2), relu, norm, pool),
            *(nn.Conv2d(96, 256, 5, 1, 2, groups=groups), relu, norm, pool),
            *(nn.Conv2d(256, 384, 3, padding=1), relu),
            *(nn.Conv2d(384, 384, 3, padding=1, groups=groups), relu),
            *(nn.Conv2d(384, 256, 3, padding=1, groups=groups), relu, pool),
            *(nn.AdaptiveAvgPool2d(6), nn.Flatten()),
        )

    def forward(self, x):
        return self.head(self.body(x))


# ---- ZFNet -------------------------------------------------------------------------------------


@misconception(
    "ZFNet",
    "What size has your map behind the first pooling: 55, or 54?",
    name="first_pool_unpadded",
)
class ZFNet(nn.Module):
    """No padding in the first two pooling layers."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "ZFNet",
    "The last pooling turns 13 into 6. Yours makes 7, and the adaptive pooling hides it.",
    name="last_pool_padded",
    fails=["ZFNet-wiring"],
)
class ZFNet(nn.Module):
    """All pooling layers padded."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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
            nn.MaxPool2d(3, 2, padding=1),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "ZFNet",
    "55 pixels, 5 x 5, stride 2: the table says 26. What padding gives that?",
    name="same_padding",
)
class ZFNet(nn.Module):
    """The second convolution is padded as AlexNet's is."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(96, 256, 5, stride=2, padding=2),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "ZFNet",
    "Call net.eval() and ask twice about one picture.",
    name="dropout_in_use",
    fails=["ZFNet-wiring"],
)
class ZFNet(nn.Module):
    """F.dropout drops in eval(), too."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()

        class Always(nn.Module):
            def forward(self, x):
                return F.dropout(x, 0.5)

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
            Always(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "ZFNet",
    "Your scores add up to 1. Who takes the softmax: the network, or F.cross_entropy?",
    name="softmax_at_the_end",
    fails=["ZFNet-wiring"],
)
class ZFNet(nn.Module):
    """Probabilities in place of scores."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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

    def forward(self, x):
        return F.softmax(self.classifier(self.features(x).flatten(1)), dim=1)


@alternative("ZFNet", name="by_hand")
class ZFNet(nn.Module):
    """A table and two loops; padding by hand."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        filters = [in_channels, 96, 256, 384, 384, 256]
        kernels, strides, paddings = (7, 5, 3, 3, 3), (2, 2, 1, 1, 1), (1, 0, 1, 1, 1)
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, k, s, p)
            for a, b, k, s, p in zip(filters, filters[1:], kernels, strides, paddings, strict=False)
        )
        self.six, self.seven = nn.Linear(9216, hidden), nn.Linear(hidden, hidden)
        self.eight, self.drop = nn.Linear(hidden, num_classes), nn.Dropout(0.5)

    def forward(self, x):
        for i, conv in enumerate(self.conv):
            x = F.relu(conv(x))
            if i < 2:
                x = F.max_pool2d(
                    F.pad(x, (1, 1, 1, 1)), 3, 2
                )  # zeros lose against what a ReLU gives
        x = F.adaptive_avg_pool2d(F.max_pool2d(x, 3, 2), 6).flatten(1)
        x = self.drop(F.relu(self.six(x)))
        return self.eight(self.drop(F.relu(self.seven(x))))


@misconception(
    "ZFNet",
    "In train(), which numbers are set to 0: those that go into the first dense layer, or those that come out of it?",
    name="dropout_before",
    fails=["ZFNet-wiring"],
)
class ZFNet(nn.Module):
    """Drops the inputs of the dense layers, as AlexNet's one column does."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
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
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "ZFNet",
    "110 pixels become 55 in the table. There are two ways to get there; which one does the table name, padding 1 or rounding up? Try other picture sizes.",
    name="rounds_up",
)
class ZFNet(nn.Module):
    """ceil_mode in place of padding: the same sizes at 224, other windows."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, 96, 7, stride=2, padding=1), nn.ReLU(), pool),
            *(nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(), pool),
            *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(6), nn.Flatten()),
        )
        self.classifier = nn.Sequential(
            *(nn.Linear(9216, hidden), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


@alternative("ZFNet", name="inplace")
class ZFNet(nn.Module):
    """ReLUs in place, padding by hand with -inf, adaptive pooling as a function."""

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        sizes = ((96, 7, 2, 1), (256, 5, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))
        self.stages = nn.ModuleList()
        for filters, k, s, p in sizes:
            conv = nn.Conv2d(in_channels, filters, k, s, p)
            self.stages.append(nn.Sequential(conv, nn.ReLU(inplace=True)))
            in_channels = filters
        self.dense = nn.Sequential(
            *(nn.Linear(9216, hidden), nn.ReLU(True), nn.Dropout()),
            *(nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout()),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i < 2:
                x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 2)
        x = F.adaptive_avg_pool2d(F.max_pool2d(x, 3, 2), 6)
        return self.dense(torch.flatten(x, start_dim=1))


# ---- stack_cost --------------------------------------------------------------------------------


@misconception(
    "stack_cost",
    "With 10 channels, how many filters has each layer, and how many channels does each filter see?",
    name="one_output_channel",
)
def stack_cost(kernel_sizes, channels):
    """The parameters of one output channel."""
    parameters = sum(k * k for k in kernel_sizes) * channels
    return parameters, 1 + sum(k - 1 for k in kernel_sizes)


@misconception(
    "stack_cost",
    "Draw two kernels of 3 in a row. Which pixels does one output see: 6, or 5?",
    name="field_is_the_sum",
)
def stack_cost(kernel_sizes, channels):
    """The receptive field as the sum of the kernel sizes."""
    parameters = sum(k * k for k in kernel_sizes) * channels**2
    return parameters, sum(kernel_sizes)


@misconception(
    "stack_cost",
    "No biases, says the docstring.",
    name="with_biases",
)
def stack_cost(kernel_sizes, channels):
    """Adds the biases."""
    parameters = sum(k * k for k in kernel_sizes) * channels**2
    return parameters + channels * len(kernel_sizes), 1 + sum(k - 1 for k in kernel_sizes)


@alternative("stack_cost", name="loop")
def stack_cost(kernel_sizes, channels):
    """A loop from the output back."""
    parameters, field = 0, 1
    for k in reversed(list(kernel_sizes)):
        parameters += channels * (channels * k * k)
        field = field + k - 1
    return parameters, field


# ---- compose_kernels ---------------------------------------------------------------------------


@misconception(
    "compose_kernels",
    "(1, 2) and then (3, 5) is (3, 11, 10). Which index runs backwards when the sum of the places is fixed?",
    name="not_flipped",
)
def compose_kernels(first, second):
    """A full correlation of the kernels in place of a convolution."""
    kH, kW = second.shape[2:]
    padded = F.pad(first.transpose(0, 1), (kW - 1, kW - 1, kH - 1, kH - 1))
    return F.conv2d(padded, second).transpose(0, 1)


@misconception(
    "compose_kernels",
    "How many places does a stack of two 3 x 3 see in a row: 5, or 6? Their last places fall on one another.",
    name="adds_the_sizes",
)
def compose_kernels(first, second):
    """One row and one column too many."""
    h, w = first.shape[2:]
    kH, kW = second.shape[2:]
    result = first.new_zeros(second.shape[0], first.shape[1], h + kH, w + kW)
    for i in range(kH):
        for j in range(kW):
            result[:, :, i : i + h, j : j + w] += torch.einsum(
                "om,mcab->ocab", second[:, :, i, j], first
            )
    return result


@misconception(
    "compose_kernels",
    "Every channel between is a way from the input to the output. What happens to the ways that meet in one output?",
    name="no_channel_sum",
    fails=["compose_kernels-channels"],
)
def compose_kernels(first, second):
    """Takes the first of the channels between."""
    h, w = first.shape[2:]
    kH, kW = second.shape[2:]
    result = first.new_zeros(second.shape[0], first.shape[1], h + kH - 1, w + kW - 1)
    for i in range(kH):
        for j in range(kW):
            result[:, :, i : i + h, j : j + w] += torch.einsum(
                "o,cab->ocab", second[:, 0, i, j], first[0]
            )
    return result


@misconception(
    "compose_kernels",
    "Two ways that lead to one output: are they averaged, or added?",
    name="averages_the_ways",
    fails=["compose_kernels-channels"],
)
def compose_kernels(first, second):
    """Averages over the channels between."""
    h, w = first.shape[2:]
    kH, kW = second.shape[2:]
    result = first.new_zeros(second.shape[0], first.shape[1], h + kH - 1, w + kW - 1)
    for i in range(kH):
        for j in range(kW):
            result[:, :, i : i + h, j : j + w] += (
                torch.einsum("om,mcab->ocab", second[:, :, i, j], first) / first.shape[0]
            )
    return result


@alternative("compose_kernels", name="one_convolution")
def compose_kernels(first, second):
    """One call: the first kernel is the picture, the second one, flipped, the filter."""
    kH, kW = second.shape[2:]
    padded = F.pad(first.transpose(0, 1), (kW - 1, kW - 1, kH - 1, kH - 1))
    return F.conv2d(padded, second.flip(2, 3)).transpose(0, 1)


@alternative("compose_kernels", name="loops")
def compose_kernels(first, second):
    """Loops over all, in float64."""
    M, C, h, w = first.shape
    K, _, kH, kW = second.shape
    result = torch.zeros(K, C, h + kH - 1, w + kW - 1, dtype=torch.float64)
    for a in range(h):
        for b in range(w):
            for i in range(kH):
                for j in range(kW):
                    for m in range(M):
                        result[:, :, a + i, b + j] += second[:, m, i, j, None] * first[m, :, a, b]
    return result.to(first.dtype)


# ---- VGG ---------------------------------------------------------------------------------------


@misconception(
    "VGG",
    "How many filters has stage 5 in the table: 512, or 1,024?",
    name="doubles_for_ever",
    fails=["VGG-counts", "VGG-shapes", "VGG-wiring", "VGG-batch_norm"],
)
class VGG(nn.Module):
    """The fifth stage has 1,024 filters."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
        super().__init__()
        convolutions = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }
        layers, channels = [], in_channels
        for number, times in zip(convolutions[depth], (1, 2, 4, 8, 16), strict=True):
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "VGG",
    "Two convolutions without a ReLU between them are one (part 7). How many ReLUs has a stage of three convolutions?",
    name="relu_once_a_stage",
    fails=["VGG-wiring", "VGG-batch_norm"],
)
class VGG(nn.Module):
    """One ReLU at the end of each stage."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "VGG",
    "Between each convolution and its ReLU, says the text. In which order do yours run?",
    name="norm_behind_relu",
    fails=["VGG-batch_norm"],
)
class VGG(nn.Module):
    """Batch norm behind the ReLU."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
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
                layers.append(nn.ReLU())
                if batch_norm:
                    layers.append(nn.BatchNorm2d(channels))
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "VGG",
    "Is there a pooling behind the fifth stage? The adaptive pooling hides that it is missing: 14 x 14 becomes 7 x 7, by an average.",
    name="no_last_pooling",
    fails=["VGG-wiring", "VGG-batch_norm"],
)
class VGG(nn.Module):
    """No pooling behind the last stage."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
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
        self.features = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "VGG",
    "Call net.eval() and ask twice about one picture.",
    name="dropout_in_use",
    fails=["VGG-wiring", "VGG-batch_norm", "VGG-modes"],
)
class VGG(nn.Module):
    """F.dropout drops in eval(), too."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
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

    def forward(self, x):
        x = F.relu(self.classifier[0](self.features(x).flatten(1)))
        x = F.relu(self.classifier[3](F.dropout(x, 0.5)))
        return self.classifier[6](F.dropout(x, 0.5))


@misconception(
    "VGG",
    "Which numbers are dropped: those that go into the first dense layer, or those that come out of it?",
    name="dropout_before",
    fails=["VGG-batch_norm", "VGG-modes"],
)
class VGG(nn.Module):
    """Drops the inputs of the dense layers, as AlexNet's one column does."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
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
            nn.Dropout(),
            nn.Linear(channels * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@misconception(
    "VGG",
    "Compare your VGG(16) with the table's row D, stage by stage.",
    name="one_row_too_many",
    fails=["VGG-counts", "VGG-shapes", "VGG-wiring", "VGG-batch_norm"],
)
class VGG(nn.Module):
    """Column C's idea of 16 layers: two convolutions in stage 3, four in stage 5."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
        super().__init__()
        convolutions = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 2, 3, 4),
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

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@alternative("VGG", name="letters")
class VGG(nn.Module):
    """The table as a string with M for pooling, and modules that are made in forward's order; inplace ReLUs."""

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
        super().__init__()
        plans = {
            11: "aMbMccMddMddM",
            13: "aaMbbMccMddMddM",
            16: "aaMbbMcccMdddMdddM",
            19: "aaMbbMccccMddddMddddM",
        }
        self.plan = plans[depth]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for letter in self.plan.replace("M", ""):
            filters = width * 2 ** "abcd".index(letter)
            self.convs.append(nn.Conv2d(in_channels, filters, (3, 3), 1, 1))
            if batch_norm:
                self.norms.append(nn.BatchNorm2d(filters))
            in_channels = filters
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d((7, 7)),
            nn.Flatten(),
            nn.Linear(in_channels * 49, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        number = 0
        for letter in self.plan:
            if letter == "M":
                x = F.max_pool2d(x, 2, 2)
                continue
            x = self.convs[number](x)
            if len(self.norms):
                x = self.norms[number](x)
            x = F.relu(x)
            number += 1
        return self.head(x)


# ---- grow --------------------------------------------------------------------------------------


@misconception(
    "grow",
    "Which shapes have the second convolution of VGG-11 and that of VGG-13? What should the next one do if the place does not fit?",
    name="one_to_one",
    fails=["grow-convolutions"],
)
def grow(deep, shallow, convolutions=4):
    """The first four to the first four, whatever their shapes."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    for place, known in zip(
        layers(deep, nn.Conv2d)[:convolutions], layers(shallow, nn.Conv2d), strict=False
    ):
        place.load_state_dict(known.state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep


@misconception(
    "grow",
    "Change a weight of the deep network afterwards, and look at the shallow one. Is it still what it was?",
    name="shares_tensors",
)
def grow(deep, shallow, convolutions=4):
    """Both networks hold the same tensors."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            known = waiting.pop(0)
            place.weight, place.bias = known.weight, known.bias
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.weight, place.bias = known.weight, known.bias
    return deep


@misconception(
    "grow",
    "How many of the shallow network's convolutions are to be copied? What is the argument convolutions for?",
    name="copies_all",
    fails=["grow-convolutions"],
)
def grow(deep, shallow, convolutions=4):
    """As many convolutions as fit."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            place.load_state_dict(waiting.pop(0).state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep


@misconception(
    "grow",
    "Take them in their order: one that finds no place keeps those behind it waiting. Does yours look further down the shallow network?",
    name="skips_ahead",
    fails=["grow-convolutions"],
)
def grow(deep, shallow, convolutions=4):
    """Any of the four that fits may go first."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        for known in waiting:
            if place.weight.shape == known.weight.shape:
                place.load_state_dict(known.state_dict())
                waiting.remove(known)
                break
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep


@misconception(
    "grow",
    "A layer has two tensors. Which of them did you copy?",
    name="no_bias",
)
def grow(deep, shallow, convolutions=4):
    """Copies the weights, not the biases."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            place.weight.data.copy_(waiting.pop(0).weight.data)
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.weight.data.copy_(known.weight.data)
    return deep


@misconception(
    "grow",
    "The last three dense layers, says the docstring. What if there are more than three?",
    name="first_dense",
    fails=["grow-dense"],
)
def grow(deep, shallow, convolutions=4):
    """The first three dense layers."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            place.load_state_dict(waiting.pop(0).state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[:3], layers(shallow, nn.Linear)[:3], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep


@alternative("grow", name="iterators")
def grow(deep, shallow, convolutions=4):
    """Walks from the shallow side, in place under no_grad."""
    places = iter([m for m in deep.modules() if isinstance(m, nn.Conv2d)])
    sources = [m for m in shallow.modules() if type(m) is nn.Conv2d]
    with torch.no_grad():
        for source in sources[:convolutions]:
            for place in places:
                if tuple(place.weight.size()) == tuple(source.weight.size()):
                    place.weight.copy_(source.weight)
                    place.bias.copy_(source.bias)
                    break
        dense = [[m for m in net.modules() if isinstance(m, nn.Linear)] for net in (deep, shallow)]
        for i in (-1, -2, -3):
            dense[0][i].weight[:] = dense[1][i].weight
            dense[0][i].bias[:] = dense[1][i].bias
    return deep


@misconception(
    "grow",
    "Two places of one shape in the deep network: how many of them does one of the shallow network's layers fill in yours? Each is copied once.",
    name="fills_all_places",
    fails=["grow-convolutions"],
)
def grow(deep, shallow, convolutions=4):
    """Each layer of the shallow network goes to every place that has its shape."""

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    for known in layers(shallow, nn.Conv2d)[:convolutions]:
        for place in layers(deep, nn.Conv2d):
            if place.weight.shape == known.weight.shape:
                place.load_state_dict(known.state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep
