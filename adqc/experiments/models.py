"""The networks of the experiments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling, for images of 28 × 28.

    conv1 1→6 (5×5, padding 2), conv2 6→16 (5×5), fc1 400→120, fc2 120→84, fc3 84→classes. conv2, fc1 and fc2 hold
    2,400 + 48,000 + 10,080 = 60,480 weights.

    Args:
        classes: Number of classes.

    Shape:
        Input (N, 1, 28, 28), output (N, classes).

    Source: LeCun, Bottou, Bengio, Haffner, Proceedings of the IEEE 86 (1998) 2278, Fig. 2.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

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

    Shape:
        Input (N, 1, 28, 28), output (N, classes).
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.fc2 = nn.Linear(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, (N, classes)."""
        scores: Tensor = self.fc2(F.relu(self.fc1(images.flatten(1))))
        return scores


MODELS: dict[str, Callable[[], nn.Module]] = {"lenet5": LeNet5, "fc2": FC2}


def make_model(name: str, *, seed: int | None = None) -> nn.Module:
    """The network named so, with torch's own start.

    Args:
        name: One of :data:`MODELS`.
        seed: Seed of the start; None leaves torch's generator as it is. The generator's state is kept.

    Raises:
        ValueError: If there is no such network.
    """
    if name not in MODELS:
        raise ValueError(f"unknown network {name!r}: use one of {', '.join(MODELS)}")
    if seed is None:
        return MODELS[name]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name]()
