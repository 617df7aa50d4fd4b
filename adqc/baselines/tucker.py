"""Rivals for convolutions: Tucker and CP decompositions of the kernel."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adqc.baselines.simple import Baseline


class Tucker(Baseline):
    """A kernel W[o, i, k] = Σ U[o, a] G[a, b, k] V[i, b]: a 1×1 convolution, a small one, and a 1×1 one.

    Args:
        shape: The kernel's shape, (out, in, …).
        budget: Largest number of parameters; both ranks grow as long as they fit.
        std: Standard deviation of the entries at the start.
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If not even ranks of 1 fit, or the weight is no kernel.

    Source: Kim, Park, Yoo, Choi, Yang, Shin, arXiv:1511.06530, Eq. (3); the fit is tensorly's ``partial_tucker``.
    """

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        _check_kernel("Tucker", self.shape, budget, self.minimum(self.shape))
        out, into, taps = self.shape[0], self.shape[1], math.prod(self.shape[2:])
        first, second = 1, 1
        while True:
            # The rank that is smaller for its axis is raised first, or else the other one.
            order = [(first + 1, second), (first, second + 1)]
            if first / out > second / into:
                order.reverse()
            fits = [
                pair
                for pair in order
                if pair[0] <= out and pair[1] <= into and _tucker_count(out, into, taps, *pair) <= budget
            ]
            if not fits:
                break
            first, second = fits[0]
        self.ranks = (first, second)
        each = (std / math.sqrt(first * second)) ** (1 / 3)
        self.core = nn.Parameter(torch.randn(first, second, taps, generator=generator) * each)
        self.left = nn.Parameter(torch.randn(out, first, generator=generator) * each)
        self.right = nn.Parameter(torch.randn(into, second, generator=generator) * each)
        self.rescale_(std * math.sqrt(math.prod(self.shape)))

    @property
    def dimension(self) -> int:
        """On either bond a matrix, rank × rank, can go from the factor to the core."""
        return self.parameter_count - sum(rank**2 for rank in self.ranks)

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Ranks of 1."""
        return sum(shape[:2]) + math.prod(shape[2:])

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> Tucker:
        """Take core and factors from tensorly."""
        from tensorly.decomposition import partial_tucker

        kernel = weight.detach().reshape(self.shape[0], self.shape[1], -1).double().cpu().numpy()
        (core, (left, right)), _ = partial_tucker(kernel, rank=list(self.ranks), modes=[0, 1])
        for parameter, value in ((self.core, core), (self.left, left), (self.right, right)):
            parameter.copy_(torch.from_numpy(value.copy()))
        return self

    def forward(self) -> Tensor:
        """The weight."""
        weight: Tensor = torch.einsum("oa,abk,ib->oik", self.left, self.core, self.right)
        return weight.reshape(self.shape)


class CP(Baseline):
    """A kernel as a sum of products of vectors, one for each axis.

    Args:
        shape: The kernel's shape, (out, in, …).
        budget: Largest number of parameters; the rank is the largest that fits.
        std: Standard deviation of the entries at the start.
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If not even rank 1 fits, or the weight is no kernel.

    Source: Lebedev, Ganin, Rakhuba, Oseledets, Lempitsky, arXiv:1412.6553, Eq. (2); the fit is tensorly's ``parafac``.
    """

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(shape)
        _check_kernel("CP", self.shape, budget, self.minimum(self.shape))
        self.rank = budget // sum(self.shape)
        each = (std / math.sqrt(self.rank)) ** (1 / len(self.shape))
        self.factors = nn.ParameterList(
            nn.Parameter(torch.randn(size, self.rank, generator=generator) * each) for size in self.shape
        )
        self.rescale_(std * math.sqrt(math.prod(self.shape)))

    @property
    def dimension(self) -> int:
        """In every product the lengths of the vectors can be traded."""
        return self.parameter_count - self.rank * (len(self.shape) - 1)

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Rank 1."""
        return sum(shape)

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> CP:
        """Take the vectors from tensorly."""
        from tensorly.decomposition import parafac

        kernel = weight.detach().double().cpu().numpy()
        with warnings.catch_warnings():
            # It warns of ranks above an axis's length, which is all right here.
            warnings.simplefilter("ignore")
            found: Any = parafac(
                kernel, self.rank, n_iter_max=50, init="random", random_state=0, normalize_factors=False
            )
        for parameter, value in zip(self.factors, found.factors, strict=True):
            parameter.copy_(torch.from_numpy(value.copy()))
        return self

    def forward(self) -> Tensor:
        """The weight."""
        built = self.factors[0]
        for factor in list(self.factors)[1:-1]:
            built = (built[:, None] * factor).flatten(0, 1)
        weight: Tensor = built @ self.factors[-1].T
        return weight.reshape(self.shape)


def _tucker_count(out: int, into: int, taps: int, first: int, second: int) -> int:
    return out * first + into * second + taps * first * second


def _check_kernel(name: str, shape: tuple[int, ...], budget: int, least: int) -> None:
    if len(shape) < 3:
        raise ValueError(f"{name}: only a convolution's kernel has more than two axes, got a weight of shape {shape}")
    if budget < least:
        raise ValueError(
            f"{name}: a weight of shape {shape} takes at least {least} parameters, got a budget of {budget}"
        )
