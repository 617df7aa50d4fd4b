"""Rivals in the place of layers' weights, and how a budget is shared between layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn.utils import parametrize

from adqc.baselines.cosines import InCosines
from adqc.baselines.simple import Baseline, Frozen, Hashing, LowRank, Pruned
from adqc.baselines.train import QuantisedTrain, TensorTrain
from adqc.baselines.tucker import CP, Tucker
from adqc.cosine import kept_axes, to_cosines

METHODS: dict[str, type[Baseline]] = {
    "frozen": Frozen,
    "low-rank": LowRank,
    "hashing": Hashing,
    "tensor-train": TensorTrain,
    "quantised-train": QuantisedTrain,
    "tucker": Tucker,
    "cp": CP,
    "pruned": Pruned,
}


def find_method(method: str, shape: Sequence[int]) -> type[Baseline]:
    """The class that stands for a weight of this shape; of a matrix, Tucker's and CP's forms are low rank.

    Raises:
        ValueError: If the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: use one of {', '.join(METHODS)}")
    return LowRank if method in ("tucker", "cp") and len(shape) == 2 else METHODS[method]


def allot(budget: int, shapes: Mapping[str, Sequence[int]], *, method: str) -> dict[str, int]:
    """Share a budget between layers: in proportion to the bits of their indices, as circuits of one depth do.

    Every layer gets at least what the method needs for its shape.

    Args:
        budget: Number of parameters for all.
        shapes: Name of each layer and the shape of its weight.
        method: One of :data:`METHODS`.

    Returns:
        The largest number of parameters of each layer's weight.

    Raises:
        ValueError: If the method is unknown or the least that it needs is above the budget.

    Example:
        >>> allot(300, {"conv": (16, 6, 5, 5), "fc": (84, 120)}, method="hashing")
        {'conv': 144, 'fc': 155}
    """
    least = {name: find_method(method, shape).minimum(shape) for name, shape in shapes.items()}
    if sum(least.values()) > budget:
        raise ValueError(f"{method}: these layers take at least {sum(least.values()):,} parameters, not {budget:,}")
    size = {name: sum((n - 1).bit_length() for n in shape) or 1 for name, shape in shapes.items()}
    shares: dict[str, int] = {}
    open_names = list(shapes)
    while open_names:
        rest, total = budget - sum(shares.values()), sum(size[name] for name in open_names)
        short = [name for name in open_names if rest * size[name] // total < least[name]]
        for name in short or open_names:
            shares[name] = least[name] if short else rest * size[name] // total
        open_names = [name for name in open_names if name not in shares]
    return {name: shares[name] for name in shapes}


def replace_(
    model: nn.Module,
    budgets: Mapping[str, int],
    *,
    method: str,
    fitted: bool = False,
    cosines: Mapping[str, tuple[Sequence[int], Sequence[int]]] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, int]:
    """Put a rival in the place of layers' weights; biases and all other layers stay.

    Args:
        model: Any module.
        budgets: Name of each layer and the largest number of parameters its weight may have.
        method: One of :data:`METHODS`.
        fitted: Start from the layers' weights, as well as the method can, with their norms; otherwise at random.
            Pruning always starts from them.
        cosines: Axes and frequencies of layers that the method shall see in the cosine basis, as ``Circuit`` has them.
        generator: Source of the starts, on the CPU.

    Returns:
        The number of trained parameters of each layer's weight.

    Raises:
        ValueError: If the method is unknown, a layer is not there or has no dense weight, or a budget is too small;
            the model is then unchanged.
    """
    find_method(method, ())
    modules = dict(model.named_modules())
    made: dict[str, Baseline] = {}
    wrapped: dict[str, InCosines] = {}
    for name, budget in budgets.items():
        weight = modules[name]._parameters.get("weight") if name in modules else None
        if weight is None:
            raise ValueError(f"the model has no layer {name!r} with a dense weight to replace")
        fan_in = math.prod(weight.shape[1:])
        std = 1.0 if isinstance(modules[name], nn.Embedding) else 1 / math.sqrt(3 * fan_in)
        axes, frequencies = (cosines or {}).get(name, (weight.shape, [0] * weight.dim()))
        try:
            shape = kept_axes(axes, frequencies)
            # Fewer entries of the same norm.
            std *= math.sqrt(weight.numel() / math.prod(shape))
            kind: Callable[..., Baseline] = find_method(method, shape)
            made[name] = kind(shape, budget=budget, std=std, generator=generator).to(weight)
            if any(frequencies):
                wrapped[name] = InCosines(weight.shape, axes=axes, frequencies=frequencies, inner=made[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        coefficients = to_cosines(weight.detach().reshape(tuple(axes)), frequencies)
        if method == "pruned":
            made[name].fit_(coefficients)
        elif fitted and method != "frozen":
            made[name].fit_(coefficients).rescale_(weight.detach().norm())
    for name, baseline in made.items():
        # unsafe: torch would compare what is built with the dense weight, and their values differ by intent.
        parametrize.register_parametrization(modules[name], "weight", wrapped.get(name, baseline), unsafe=True)
    return {name: baseline.parameter_count for name, baseline in made.items()}
