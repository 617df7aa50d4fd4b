"""Rivals of the circuit at equal parameters: frozen random, tensor train, low rank, random weight sharing.

Each builds a weight from its own parameters, as a circuit does, and stands in a layer as a parametrization.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


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

    def forward(self) -> Tensor:
        """The weight."""
        return self.values[self.which] * self.signs


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
        # The larger row factors meet the smaller column factors, so that the cores are of about one size.
        return sorted(factorise(self.rows, cores), reverse=True), sorted(factorise(self.columns, cores))

    def _choose_cores(self, budget: int) -> int:
        used = {}
        for cores in range(1, max(2, math.prod(self.shape).bit_length() // 2 + 1)):
            modes = [n * m for n, m in zip(*self._factors(cores), strict=True)]
            used[cores] = count_parameters(modes, choose_ranks(modes, budget)) if sum(modes) <= budget else 0
            if used[cores] >= 0.9 * budget:
                return cores
        # Where nothing comes near the budget, the longest of the best: it is also the cheapest if nothing fits.
        return max(used, key=lambda cores: (used[cores], cores))

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


METHODS: dict[str, Callable[..., Baseline]] = {
    "frozen": Frozen,
    "low-rank": LowRank,
    "hashing": Hashing,
    "tensor-train": TensorTrain,
}


def replace_(
    model: nn.Module, budgets: Mapping[str, int], *, method: str, generator: torch.Generator | None = None
) -> dict[str, int]:
    """Put a rival in the place of layers' weights; biases and all other layers stay.

    Args:
        model: Any module.
        budgets: Name of each layer and the largest number of parameters its weight may have.
        method: ``"frozen"``, ``"low-rank"``, ``"hashing"`` or ``"tensor-train"``.
        generator: Source of the starts, on the CPU.

    Returns:
        The number of trained parameters of each layer's weight.

    Raises:
        ValueError: If the method is unknown, a layer is not there or has no dense weight, or a budget is too small;
            the model is then unchanged.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: use one of {', '.join(METHODS)}")
    modules = dict(model.named_modules())
    made: dict[str, Baseline] = {}
    for name, budget in budgets.items():
        weight = modules[name]._parameters.get("weight") if name in modules else None
        if weight is None:
            raise ValueError(f"the model has no layer {name!r} with a dense weight to replace")
        fan_in = math.prod(weight.shape[1:])
        std = 1.0 if isinstance(modules[name], nn.Embedding) else 1 / math.sqrt(3 * fan_in)
        try:
            made[name] = METHODS[method](weight.shape, budget=budget, std=std, generator=generator)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        made[name].to(weight)
    for name, baseline in made.items():
        # unsafe: torch would compare what is built with the dense weight, and their values differ by intent.
        parametrize.register_parametrization(modules[name], "weight", baseline, unsafe=True)
    return {name: baseline.parameter_count for name, baseline in made.items()}
