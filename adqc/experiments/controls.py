"""What stands in the layers' place in a run's controls: a rival, or circuits of another kind."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from adqc.baselines import METHODS, replace_
from adqc.compress import compress_
from adqc.experiments.depths import choose_widths, stored
from adqc.experiments.recipe import Recipe
from adqc.selection import find_targets


def put_control_(
    model: nn.Module,
    recipe: Recipe,
    method: str,
    budgets: Mapping[str, int],
    *,
    generator: torch.Generator | None = None,
) -> dict[str, int]:
    """Replace a network's layers by a control.

    Args:
        model: The trained dense network; changed in place.
        recipe: Has the axes and layouts of circuits.
        method: One of :data:`adqc.baselines.METHODS`, or of the comparisons' ``"wide"`` and ``"cosine"``.
        budgets: Largest number of parameters of each layer; of circuits, of all layers together.
        generator: Source of the start, on the CPU.

    Returns:
        How many numbers each layer stores.

    Raises:
        ValueError: If it does not fit.
    """
    if method in METHODS:
        return replace_(model, budgets, method=method, generator=generator)
    shapes = {target.name: target.shape for target in find_targets(model) if target.name in budgets}
    seen = {**recipe.wide, **(recipe.cosines if method == "cosine" else {})}
    configs = choose_widths(sum(budgets.values()), shapes, seen)
    compress_(model, select=configs, fit=None, generator=generator, progress=False)
    return {target.name: stored(target.wall) for target in find_targets(model) if target.wall is not None}
