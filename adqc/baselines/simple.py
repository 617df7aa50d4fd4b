"""Rivals without a network of tensors: frozen random, low rank, random weight sharing, pruning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Baseline(nn.Module):
    """A weight that is built from something smaller; the base of this module's classes.

    Args:
        shape: The weight's shape.

    Raises:
        ValueError: If the shape is empty.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(int(n) for n in shape)
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"a weight needs at least one entry, got shape {self.shape}")
        self.rows, self.columns = self.shape[0], math.prod(self.shape[1:])

    @property
    def parameter_count(self) -> int:
        """Number of trained numbers stored."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def dimension(self) -> int:
        """Number of parameters less those that only choose between equal weights (the gauge)."""
        return self.parameter_count

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """The smallest budget that a weight of this shape takes."""
        return 1

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> Baseline:
        """Take the start from a trained weight, as well as the form can; here nothing can be taken.

        Args:
            weight: A tensor of this shape.
        """
        return self

    @torch.no_grad()
    def rescale_(self, norm: Tensor | float) -> None:
        """Give the weight this norm; every class here is linear in each of its parameters."""
        own = list(self.parameters())
        actual = float(self.forward().norm()) if own else 0.0
        for parameter in own:
            if actual > 0:
                parameter.mul_((float(norm) / actual) ** (1 / len(own)))

    def forward(self) -> Tensor:
        """The weight."""
        raise NotImplementedError

    def right_inverse(self, tensor: Tensor) -> tuple[()]:
        """Nothing of the dense weight is stored."""
        return ()

    def extra_repr(self) -> str:
        """Shape and number of parameters."""
        return f"shape={self.shape}, parameters={self.parameter_count}"


class Frozen(Baseline):
    """A random weight that is not trained: what the rest of the network can do without this layer.

    Args:
        shape: The weight's shape.
        budget: Not used: there is nothing to train.
        std: Standard deviation of the entries, drawn uniformly as torch does.
        generator: Source of the weight, on the CPU.
    """

    weight: Tensor

    def __init__(
        self, shape: Sequence[int], *, budget: int = 0, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        bound = math.sqrt(3) * std
        self.register_buffer("weight", (torch.rand(self.shape, generator=generator) * 2 - 1) * bound)

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Nothing."""
        return 0

    def forward(self) -> Tensor:
        """The weight."""
        return self.weight


class LowRank(Baseline):
    """The weight as a matrix (first axis × the others), a product of two thin ones.

    Args:
        shape: The weight's shape.
        budget: Largest number of parameters; the rank is the largest that fits.
        std: Standard deviation of the entries at the start.
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If not even rank 1 fits.
    """

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        self.rank = min(budget // (self.rows + self.columns), self.rows, self.columns)
        if self.rank < 1:
            raise ValueError(
                f"low rank: a weight of shape {self.shape} takes at least {self.rows + self.columns} parameters, "
                f"got a budget of {budget}"
            )
        # A sum of r products of two numbers of variance s^2 has variance r s^4.
        each = math.sqrt(std / math.sqrt(self.rank))
        self.left = nn.Parameter(torch.randn(self.rows, self.rank, generator=generator) * each)
        self.right = nn.Parameter(torch.randn(self.rank, self.columns, generator=generator) * each)

    @property
    def dimension(self) -> int:
        """A rotation of the inner axis, rank × rank, changes nothing."""
        return self.parameter_count - self.rank**2

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Rank 1."""
        return shape[0] + math.prod(shape[1:])

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> LowRank:
        """Take the best approximation, from the singular values."""
        left, values, right = torch.linalg.svd(weight.detach().reshape(self.rows, self.columns), full_matrices=False)
        root = values[: self.rank].sqrt()
        self.left.copy_(left[:, : self.rank] * root)
        self.right.copy_(root[:, None] * right[: self.rank])
        return self

    def forward(self) -> Tensor:
        """The weight."""
        return (self.left @ self.right).view(self.shape)


class Hashing(Baseline):
    """Random weight sharing: every entry is one of a few numbers, chosen with its sign by a seed.

    Args:
        shape: The weight's shape.
        budget: Number of shared numbers.
        std: Standard deviation of the entries at the start.
        generator: Source of choice, signs and start, on the CPU.

    Raises:
        ValueError: If the budget is below 1.

    Source: Chen, Wilson, Tyree, Weinberger, Chen, arXiv:1504.04788, Eqs. (3) and (7).
    """

    which: Tensor
    signs: Tensor

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        if budget < 1:
            raise ValueError(f"hashing: a weight needs at least 1 shared number, got a budget of {budget}")
        count = min(budget, math.prod(self.shape))
        self.register_buffer("which", torch.randint(0, count, self.shape, generator=generator))
        self.register_buffer("signs", torch.randint(0, 2, self.shape, generator=generator) * 2.0 - 1)
        self.values = nn.Parameter(torch.randn(count, generator=generator) * std)

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> Hashing:
        """Take, for each number, the mean of the entries that share it."""
        entries, which = (weight.detach() * self.signs).flatten(), self.which.flatten()
        total = torch.zeros_like(self.values).index_add_(0, which, entries)
        self.values.copy_(total / torch.bincount(which, minlength=len(total)).clamp_min(1))
        return self

    def forward(self) -> Tensor:
        """The weight."""
        return self.values[self.which] * self.signs


class Pruned(Baseline):
    """The largest entries of a trained weight, trained on; all others are zero.

    Counted are the entries that are kept, not where they are, which takes about as much again to store.

    Args:
        shape: The weight's shape.
        budget: Number of entries to keep.
        std: Standard deviation of the entries before :meth:`fit_` (which it needs: these lie at random).
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If the budget is below 1.

    Source: Han, Pool, Tran, Dally, arXiv:1506.02626.
    """

    places: Tensor

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        if budget < 1:
            raise ValueError(f"pruning: a weight keeps at least 1 entry, got a budget of {budget}")
        entries = math.prod(self.shape)
        count = min(budget, entries)
        self.register_buffer("places", torch.randint(entries, (count,), generator=generator).sort().values)
        # So few entries must carry the whole weight's norm.
        self.values = nn.Parameter(torch.randn(count, generator=generator) * std * math.sqrt(entries / count))

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> Pruned:
        """Keep the largest entries."""
        entries = weight.detach().flatten()
        self.places.copy_(entries.abs().topk(len(self.values)).indices.sort().values)
        self.values.copy_(entries[self.places])
        return self

    def forward(self) -> Tensor:
        """The weight."""
        empty = self.values.new_zeros(math.prod(self.shape))
        return empty.index_put((self.places,), self.values).view(self.shape)
