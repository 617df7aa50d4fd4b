"""Tensor trains of a weight, and how their modes and ranks are chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adqc.baselines.simple import Baseline


class TensorTrain(Baseline):
    """A tensor train of the weight as a matrix (first axis × the others).

    Rows and columns are factorised, n = n_1 n_2 … and m = m_1 m_2 …; core k has the shape (r_k, n_k, m_k, r_{k+1}).
    An axis whose factors would be too unequal is padded and cropped.

    Args:
        shape: The weight's shape.
        budget: Largest number of parameters; ranks grow, the smallest first, as long as they fit.
        std: Standard deviation of the entries at the start.
        cores: Number of cores; None for the fewest that use nine tenths of the budget (few cores did best
            on MNIST at equal parameters).
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If not even ranks of 1 fit.

    Source: Novikov, Podoprikhin, Osokin, Vetrov, arXiv:1509.06569, Eq. (3); Oseledets, SIAM J. Sci. Comput. 33
    (2011) 2295.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        budget: int,
        std: float = 1.0,
        cores: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(shape)
        cores = self._choose_cores(budget) if cores is None else cores
        self.row_factors, self.column_factors = self._factors(cores)
        modes = [n * m for n, m in zip(self.row_factors, self.column_factors, strict=True)]
        if sum(modes) > budget:
            raise ValueError(
                f"tensor train: a weight of shape {self.shape} takes at least {sum(modes)} parameters in {cores} "
                f"cores, got a budget of {budget}"
            )
        self.ranks = choose_ranks(modes, budget)
        # An entry is a sum over all bonds of products of `cores` numbers.
        each = (std / math.sqrt(math.prod(self.ranks))) ** (1 / cores)
        self.cores = nn.ParameterList(
            nn.Parameter(torch.randn(left, n, m, right, generator=generator) * each)
            for left, n, m, right in zip(
                self.ranks, self.row_factors, self.column_factors, self.ranks[1:], strict=False
            )
        )
        with torch.no_grad():
            # Products of normal numbers scatter widely: the weight at hand gets the deviation that was asked for.
            actual = self().square().mean().sqrt()
            for core in self.cores:
                core.mul_((std / actual) ** (1 / cores))

    def _factors(self, cores: int) -> tuple[list[int], list[int]]:
        return self._pair(self.rows, self.columns, cores)

    @staticmethod
    def _pair(rows: int, columns: int, cores: int) -> tuple[list[int], list[int]]:
        # The larger row factors meet the smaller column factors, so that the cores are of about one size.
        return sorted(factorise(rows, cores), reverse=True), sorted(factorise(columns, cores))

    def _choose_cores(self, budget: int) -> int:
        used = {}
        for cores in range(1, max(2, math.prod(self.shape).bit_length() // 2 + 1)):
            modes = [n * m for n, m in zip(*self._factors(cores), strict=True)]
            used[cores] = count_parameters(modes, choose_ranks(modes, budget)) if sum(modes) <= budget else 0
            if used[cores] >= 0.9 * budget:
                return cores
        # Where nothing comes near the budget, the longest of the best: it is also the cheapest if nothing fits.
        return max(used, key=lambda cores: (used[cores], cores))

    @property
    def dimension(self) -> int:
        """On every bond a matrix, rank × rank, can go from one core to the next."""
        return self.parameter_count - sum(rank**2 for rank in self.ranks[1:-1])

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Ranks of 1, in as many cores as make the sum of the modes least."""
        rows, columns = shape[0], math.prod(shape[1:])
        most = max(2, math.prod(shape).bit_length() // 2 + 1)
        return min(sum(n * m for n, m in zip(*cls._pair(rows, columns, k), strict=True)) for k in range(1, most))

    def forward(self) -> Tensor:
        """The weight."""
        built = self.cores[0].squeeze(0)  # shape: (rows so far, columns so far, bond)
        for core in list(self.cores)[1:]:
            joined = torch.einsum("abr,rnms->anbms", built, core)
            built = joined.flatten(2, 3).flatten(0, 1)
        weight: Tensor = built.squeeze(2)[: self.rows, : self.columns].reshape(self.shape)
        return weight

    @torch.no_grad()
    def fit_(self, weight: Tensor) -> TensorTrain:
        """Take the cores from a weight by successive truncated singular-value decompositions.

        Args:
            weight: A tensor of this shape.
        """
        count = len(self.cores)
        padded = weight.new_zeros(math.prod(self.row_factors), math.prod(self.column_factors), dtype=torch.float64)
        padded[: self.rows, : self.columns] = weight.detach().reshape(self.rows, self.columns)
        pairs = [axis for k in range(count) for axis in (k, count + k)]
        rest = padded.view(*self.row_factors, *self.column_factors).permute(pairs).reshape(1, -1)
        for k, core in enumerate(self.cores):
            if k == count - 1:
                core.copy_(rest.view(core.shape))
                break
            left, values, right = torch.linalg.svd(rest.reshape(core[..., 0].numel(), -1), full_matrices=False)
            rank = core.shape[3]
            core.copy_(left[:, :rank].view(core.shape))
            rest = values[:rank, None] * right[:rank]
        return self


class QuantisedTrain(TensorTrain):
    """A tensor train in the finest modes: as many cores as the longer side has bits, each of at most 2 × 2.

    Args:
        shape: The weight's shape.
        budget: Largest number of parameters; ranks grow, the smallest first, as long as they fit.
        std: Standard deviation of the entries at the start.
        generator: Source of the start, on the CPU.

    Raises:
        ValueError: If not even ranks of 1 fit.

    Source: Khoromskij, Constructive Approximation 34 (2011) 257.
    """

    def __init__(
        self, shape: Sequence[int], *, budget: int, std: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        cores = self._bits(shape)
        super().__init__(shape, budget=budget, std=std, cores=cores, generator=generator)

    @staticmethod
    def _bits(shape: Sequence[int]) -> int:
        return max(1, (max(shape[0], math.prod(shape[1:])) - 1).bit_length())

    @staticmethod
    def _pair(rows: int, columns: int, cores: int) -> tuple[list[int], list[int]]:
        sides = [(size - 1).bit_length() for size in (rows, columns)]
        # The shorter side's bits lie in the middle of the chain, where they meet the most of the others.
        factors = []
        for bits in sides:
            front = (cores - bits) // 2
            factors.append([2 if front <= k < front + bits else 1 for k in range(cores)])
        return factors[0], factors[1]

    @classmethod
    def minimum(cls, shape: Sequence[int]) -> int:
        """Ranks of 1."""
        rows, columns = shape[0], math.prod(shape[1:])
        return sum(n * m for n, m in zip(*cls._pair(rows, columns, cls._bits(shape)), strict=True))


def factorise(size: int, parts: int) -> list[int]:
    """Factors of about equal size whose product is ``size``, or the next number above it that has such factors."""
    limit = 2 * size ** (1 / parts) + 1
    top = 1 << (size - 1).bit_length()
    for padded in range(size, top):
        found = _spread(padded, parts)
        if max(found) <= limit:
            return found
    return _spread(top, parts)


def _spread(size: int, parts: int) -> list[int]:
    primes, divisor = [], 2
    while size > 1:
        while size % divisor == 0:
            primes.append(divisor)
            size //= divisor
        divisor += 1
    bins = [1] * parts
    for prime in reversed(primes):
        bins[bins.index(min(bins))] *= prime
    return bins


def choose_ranks(modes: Sequence[int], budget: int) -> list[int]:
    """Ranks of a tensor train, the outer ones 1: the smallest is raised first, as long as the budget allows.

    Args:
        modes: Entries of each core for a pair of bond values.
        budget: Largest number of parameters, Σ r_k · mode_k · r_{k+1}.
    """
    count = len(modes)
    ranks = [1] * (count + 1)
    # No bond needs more than the smaller of the two sides that it joins.
    most = [min(math.prod(modes[:k]), math.prod(modes[k:])) for k in range(count + 1)]

    open_bonds = set(range(1, count))
    while open_bonds:
        bond = min(open_bonds, key=lambda k: (ranks[k], abs(2 * k - count), k))
        trial = [rank + (k == bond) for k, rank in enumerate(ranks)]
        if trial[bond] > most[bond] or count_parameters(modes, trial) > budget:
            open_bonds.remove(bond)
        else:
            ranks = trial
    return ranks


def count_parameters(modes: Sequence[int], ranks: Sequence[int]) -> int:
    """Entries of all cores, Σ r_k · mode_k · r_{k+1}."""
    return sum(ranks[k] * mode * ranks[k + 1] for k, mode in enumerate(modes))
