"""The networks of the experiments, those of larger images in their versions for CIFAR (32 × 32)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _scaled(count: int, width: float) -> int:
    return max(1, round(count * width))


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling, for images of 28 × 28.

    conv1 1→6 (5×5, padding 2), conv2 6→16 (5×5), fc1 400→120, fc2 120→84, fc3 84→classes. conv2, fc1 and fc2 hold
    2,400 + 48,000 + 10,080 = 60,480 weights.

    Args:
        classes: Number of classes.
        width: Factor of all hidden widths.

    Shape:
        Input (N, 1, 28, 28), output (N, classes).

    Source: LeCun, Bottou, Bengio, Haffner, Proceedings of the IEEE 86 (1998) 2278, Fig. 2.
    """

    def __init__(self, classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        first, second, third, fourth = (_scaled(n, width) for n in (6, 16, 120, 84))
        self.conv1 = nn.Conv2d(1, first, 5, padding=2)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.fc1 = nn.Linear(25 * second, third)
        self.fc2 = nn.Linear(third, fourth)
        self.fc3 = nn.Linear(fourth, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, (N, classes)."""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        scores: Tensor = self.fc3(x)
        return scores


class FC2(nn.Module):
    """Two linear layers, 784→256→classes, with ReLU between.

    Args:
        classes: Number of classes.
        width: Factor of the hidden width.

    Shape:
        Input (N, 1, 28, 28), output (N, classes).
    """

    def __init__(self, classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        hidden = _scaled(256, width)
        self.fc1 = nn.Linear(784, hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, (N, classes)."""
        scores: Tensor = self.fc2(F.relu(self.fc1(images.flatten(1))))
        return scores


class Stack(nn.Module):
    """Convolutions with batch norm, ReLU and max pooling, then linear layers: AlexNet's, ZFNet's and VGG's plan.

    The convolutions are named conv1, conv2, … and the linear layers fc1, fc2, …, in their order.

    Args:
        convolutions: Channels and kernel size of each (padded to keep the size); 0 halves the image (2×2 max pooling).
        linear: Widths of the hidden linear layers.
        classes: Number of classes.
        width: Factor of all hidden widths.
        mean: Whether the linear layers see each map's mean rather than all of it.

    Shape:
        Input (N, 3, 32, 32), output (N, classes).
    """

    def __init__(
        self,
        convolutions: Sequence[tuple[int, int] | int],
        linear: Sequence[int],
        classes: int,
        *,
        width: float = 1.0,
        mean: bool = False,
    ) -> None:
        super().__init__()
        self.mean = mean
        channels, size, number = 3, 32, 0
        self.plan: list[str] = []
        for entry in convolutions:
            if isinstance(entry, int):
                size //= 2
                self.plan.append("pool")
                continue
            number += 1
            wide, kernel = _scaled(entry[0], width), entry[1]
            # The norm's shift stands for the bias.
            self.add_module(f"conv{number}", nn.Conv2d(channels, wide, kernel, padding=kernel // 2, bias=False))
            self.add_module(f"norm{number}", nn.BatchNorm2d(wide))
            self.plan.append(f"{number}")
            channels = wide
        widths = [channels if mean else channels * size * size, *(_scaled(n, width) for n in linear), classes]
        self.linear = len(widths) - 1
        for k in range(self.linear):
            self.add_module(f"fc{k + 1}", nn.Linear(widths[k], widths[k + 1]))

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, (N, classes)."""
        x = images
        for step in self.plan:
            if step == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(self._modules[f"norm{step}"](self._modules[f"conv{step}"](x)))  # type: ignore[misc]
        x = x.mean((2, 3)) if self.mean else x.flatten(1)
        for k in range(1, self.linear):
            x = F.relu(self._modules[f"fc{k}"](x))  # type: ignore[misc]
        scores: Tensor = self._modules[f"fc{self.linear}"](x)  # type: ignore[misc]
        return scores


def alexnet(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """AlexNet for CIFAR: five convolutions (64, 192, 384, 256, 256), linear 4096→4096→4096→classes.

    The strides of the first layers are left out; three poolings leave 256 maps of 4 × 4.

    Source: Krizhevsky, Sutskever, Hinton, NIPS 2012; channels as in Krizhevsky, arXiv:1404.5997.
    """
    plan: list[tuple[int, int] | int] = [(64, 3), 0, (192, 3), 0, (384, 3), (256, 3), (256, 3), 0]
    return Stack(plan, (4096, 4096), classes, width=width)


def zfnet(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """ZFNet for CIFAR: five convolutions (96, 256, 384, 384, 256), linear 4096→1024→1024→classes.

    Source: Zeiler, Fergus, arXiv:1311.2901, Fig. 3; kernels and linear layers are smaller, as the images are.
    """
    plan: list[tuple[int, int] | int] = [(96, 5), 0, (256, 5), 0, (384, 3), (384, 3), (256, 3), 0]
    return Stack(plan, (1024, 1024), classes, width=width)


def vgg16(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """VGG-16 for CIFAR, with batch norm: thirteen 3×3 convolutions, linear 512→4096→2048→classes.

    conv11, conv12 and conv13 are 512×512×3×3 (7,077,888 weights); fc1 and fc2 hold 10,485,760.

    Source: Simonyan, Zisserman, arXiv:1409.1556, configuration D.
    """
    blocks = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    plan: list[tuple[int, int] | int] = []
    for channels, count in blocks:
        plan += [(channels, 3)] * count + [0]
    return Stack(plan, (4096, 2048), classes, width=width)


def small_vgg(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """A small VGG: 3×3 convolutions 3→32→64→128→128 and one linear layer.

    conv2, conv3 and conv4 hold 9 · (32·64 + 64·128 + 128·128) = 239,616 weights.
    """
    return Stack([(32, 3), 0, (64, 3), 0, (128, 3), (128, 3), 0], (), classes, width=width)


def small_vgg_mean(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """The small VGG with each map's mean before the linear layer, which then holds 1,290 numbers in place of 20,490.

    Source: the mean is Lin, Chen, Yan, arXiv:1312.4400, section 3.2.
    """
    return Stack([(32, 3), 0, (64, 3), 0, (128, 3), (128, 3)], (), classes, width=width, mean=True)


class Block(nn.Module):
    """A residual block: convolutions with batch norm beside an identity or a 1×1 convolution.

    Args:
        channels: Channels that come in.
        inner: Channels of the 3×3 convolutions.
        stride: Step of the block.
        bottleneck: Whether it is 1×1, 3×3, 1×1 with four times the channels at the end, or twice 3×3.
    """

    def __init__(self, channels: int, inner: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outer = 4 * inner if bottleneck else inner
        kernels = [(1, channels, inner, 1), (3, inner, inner, stride), (1, inner, outer, 1)]
        if not bottleneck:
            kernels = [(3, channels, inner, stride), (3, inner, inner, 1)]
        self.depth = len(kernels)
        for k, (kernel, wide, out, step) in enumerate(kernels, 1):
            self.add_module(f"conv{k}", nn.Conv2d(wide, out, kernel, stride=step, padding=kernel // 2, bias=False))
            self.add_module(f"bn{k}", nn.BatchNorm2d(out))
        self.downsample = nn.Sequential()
        if stride != 1 or channels != outer:
            self.downsample.append(nn.Conv2d(channels, outer, 1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, (N, channels, height, width)."""
        y = x
        for k in range(1, self.depth + 1):
            y = self._modules[f"bn{k}"](self._modules[f"conv{k}"](y))  # type: ignore[misc]
            y = F.relu(y) if k < self.depth else y
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A residual network for CIFAR: a 3×3 stem without pooling, four groups of blocks, the mean, one linear layer.

    Modules are named as torchvision's.

    Args:
        counts: Number of blocks in each group.
        bottleneck: Kind of the blocks.
        classes: Number of classes.
        width: Factor of all hidden widths.

    Shape:
        Input (N, 3, 32, 32), output (N, classes).

    Source: He, Zhang, Ren, Sun, arXiv:1512.03385, Table 1.
    """

    def __init__(self, counts: Sequence[int], *, bottleneck: bool, classes: int, width: float = 1.0) -> None:
        super().__init__()
        channels = _scaled(64, width)
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.groups = len(counts)
        for group, count in enumerate(counts):
            inner, blocks = _scaled(64 * 2**group, width), nn.Sequential()
            for k in range(count):
                blocks.append(Block(channels, inner, 2 if group and not k else 1, bottleneck=bottleneck))
                channels = 4 * inner if bottleneck else inner
            self.add_module(f"layer{group + 1}", blocks)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, (N, classes)."""
        x = F.relu(self.bn1(self.conv1(images)))
        for group in range(1, self.groups + 1):
            x = self._modules[f"layer{group}"](x)  # type: ignore[misc]
        scores: Tensor = self.fc(x.mean((2, 3)))
        return scores


def resnet18(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """ResNet-18 for CIFAR."""
    return ResNet((2, 2, 2, 2), bottleneck=False, classes=classes, width=width)


def resnet50(classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """ResNet-50 for CIFAR."""
    return ResNet((3, 4, 6, 3), bottleneck=True, classes=classes, width=width)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "fc2": FC2,
    "alexnet": alexnet,
    "zfnet": zfnet,
    "small-vgg": small_vgg,
    "small-vgg-mean": small_vgg_mean,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
}


def image_shape(name: str) -> tuple[int, int, int]:
    """Channels, height and width of the images that a network takes."""
    return (1, 28, 28) if name in ("lenet5", "fc2") else (3, 32, 32)


def make_model(name: str, *, classes: int = 10, width: float = 1.0, seed: int | None = None) -> nn.Module:
    """The network named so, with torch's own start.

    Args:
        name: One of :data:`MODELS`.
        classes: Number of classes.
        width: Factor of all hidden widths.
        seed: Seed of the start; None leaves torch's generator as it is. The generator's state is kept.

    Raises:
        ValueError: If there is no such network.
    """
    if name not in MODELS:
        raise ValueError(f"unknown network {name!r}: use one of {', '.join(MODELS)}")
    if seed is None:
        return MODELS[name](classes, width=width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](classes, width=width)


def narrow_model(name: str, total: int, *, classes: int = 10, seed: int | None = None) -> nn.Module:
    """The network named so, as wide as it can be with a given number of parameters in all.

    Args:
        name: One of :data:`MODELS`.
        total: Largest number of parameters, biases and norms included.
        classes: Number of classes.
        seed: Seed of the start.

    Raises:
        ValueError: If even the narrowest has more.
    """
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        with torch.device("meta"):
            count = sum(p.numel() for p in make_model(name, classes=classes, width=middle).parameters())
        low, high = (middle, high) if count <= total else (low, middle)
    model = make_model(name, classes=classes, width=low, seed=seed)
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > total:
        raise ValueError(f"{name}: the narrowest network has {count:,} parameters, got a budget of {total:,}")
    return model
