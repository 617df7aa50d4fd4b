"""Batches of images that lie in memory: shuffled, augmented and normalised as whole tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adqc.experiments.data import normalise


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images, each image its own.

    Args:
        shift: Largest shift along each axis, in pixels.
        rotate: Largest rotation, in degrees.
        scale: Largest relative change of size, e.g. 0.1 for 0.9 to 1.1.
        shear: Largest shear, in degrees.
        flip: Whether to mirror half of the images left to right.

    Raises:
        ValueError: If a range is negative.
    """

    shift: float = 0
    rotate: float = 0
    scale: float = 0
    shear: float = 0
    flip: bool = False

    def __post_init__(self) -> None:
        for field in ("shift", "rotate", "scale", "shear"):
            if getattr(self, field) < 0:
                raise ValueError(
                    f"augment.{field} is the largest change and cannot be negative, got {getattr(self, field)}"
                )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed images, (N, C, H, W) in float; what comes in from outside is black."""
        if self.flip:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1).to(images.device), images.flip(-1), images)
        if self.rotate or self.scale or self.shear:
            return self._warp(images, generator)
        if self.shift:
            return _shifted(images, int(self.shift), generator)
        return images

    def _warp(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = images.shape

        def uniform(limit: float) -> Tensor:
            return (torch.rand(count, generator=generator) * 2 - 1) * limit

        angle, slant = uniform(math.radians(self.rotate)), torch.tan(uniform(math.radians(self.shear)))
        across, down = 1 + uniform(self.scale), 1 + uniform(self.scale)
        # The matrix takes each place of the new image to its place in the old one, in units of half an image.
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        slanted = torch.stack([across, across * slant, torch.zeros(count), down], 1).view(-1, 2, 2)
        moved = torch.stack([uniform(2 * self.shift / width), uniform(2 * self.shift / height)], 1)
        matrix = torch.cat([turn @ slanted, moved.unsqueeze(2)], 2).to(images.device)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)


def _shifted(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, (limit,) * 4)
    down, right = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    rows = (down + torch.arange(height)).to(images.device)
    columns = (right + torch.arange(width)).to(images.device)
    which = torch.arange(count, device=images.device)
    # Indices beside the channel axis put it last: (N, H, W, C).
    picked = padded[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


class Batches:
    """Batches of one data set, each epoch in an order that depends on the seed and the epoch's number alone.

    So training that stops after an epoch goes on as if it had not stopped, once :attr:`epoch` is set.

    Args:
        images: uint8, (N, C, H, W).
        labels: int64, (N,).
        batch_size: Images in a batch; the last one may be smaller.
        mean: Channel means to take out.
        std: Channel deviations to divide by.
        seed: Seed of order and augmentation; None keeps the images' order, unchanged (for testing).
        augment: Random changes; None for none.
        device: Where the batches shall lie.
        share: Number of this process and of all processes: each gets its part of every batch.

    Attributes:
        epoch: Number of the next epoch.
        weight: Of the batch at hand, what the mean loss of this process's part counts in the mean over processes.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int | None = None,
        augment: Augment | None = None,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.images, self.labels = images.to(device), labels.to(device)
        self.batch_size = batch_size
        self.mean, self.std = mean, std
        self.seed = seed
        self.augment = augment
        self.epoch = 0
        self.share = share
        self.weight = 1.0

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        if self.seed is None:
            for start in range(0, len(self.labels), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield self._finished(self.images[part]), self.labels[part]
            return
        # Any function that gives different numbers for different pairs will do.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.labels), generator=generator).to(self.images.device)
        number, processes = self.share
        for which in order.split(self.batch_size):
            images = self.images.index_select(0, which).float() / 255
            if self.augment is not None:
                # The whole batch, so that an image changes in the same way whichever process gets it.
                images = self.augment(images, generator)
            images, labels = self._finished(images), self.labels.index_select(0, which)
            if processes > 1:
                own = slice(len(which) * number // processes, len(which) * (number + 1) // processes)
                self.weight = (own.stop - own.start) * processes / len(which)
                if own.stop == own.start:
                    # Every process takes every step: one without images takes another's, and they count nothing.
                    own = slice(0, 1)
                images, labels = images[own], labels[own]
            yield images, labels

    def _finished(self, images: Tensor) -> Tensor:
        # Convolutions and pooling are faster on a CPU with the channels last in memory.
        return normalise(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)
