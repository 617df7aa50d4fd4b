"""Which circuits fit a budget of parameters, how deep or how wide their gates, and what a network stores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from torch import nn

from adqc.baselines import Baseline
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.experiments.recipe import WIDE
from adqc.gates import FAMILIES
from adqc.gates import WIDE as WIDE_FAMILIES
from adqc.minimal import has_minimal_form, minimal_size
from adqc.selection import circuit_size

# Share of the largest fitting size that is as good as all of it.
NEARLY = 0.8


def choose_depths(budget: int, shapes: Mapping[str, Sequence[int]], configs: Mapping[str, Circuit]) -> dict[str, int]:
    """The deepest circuits whose parameters fit a budget: one depth for all, then the largest layers one more.

    Args:
        budget: Largest number of parameters of all circuits.
        shapes: Name of each layer and the shape of its weight.
        configs: The circuit of each layer; its depth counts for nothing.

    Raises:
        ValueError: If not even depth 1 fits.

    Example:
        >>> choose_depths(300, {"fc1": (256, 784)}, {"fc1": Circuit()})
        {'fc1': 9}
    """

    def size(name: str, depth: int) -> int:
        return circuit_size(shapes[name], dataclasses.replace(configs[name], depth=depth))[1]

    depths = dict.fromkeys(shapes, 1)
    least = sum(size(name, 1) for name in shapes)
    if least > budget:
        raise ValueError(f"the circuits take at least {least:,} parameters, not {budget:,}")
    used = {name: size(name, 1) for name in shapes}
    while True:  # Deeper circuits always store more, so this ends.
        deeper = {name: size(name, depths[name] + 1) for name in shapes}
        if sum(deeper.values()) > budget:
            break
        depths, used = {name: depth + 1 for name, depth in depths.items()}, deeper
    for name in _largest_first(shapes):
        if sum(used.values()) - used[name] + deeper[name] <= budget:
            depths[name], used[name] = depths[name] + 1, deeper[name]
    return depths


def choose_widths(
    budget: int, shapes: Mapping[str, Sequence[int]], configs: Mapping[str, Circuit]
) -> dict[str, Circuit]:
    """The wide gates and strides for a budget: the same for all layers, then larger ones for the largest layers.

    Of those that take nearly as much of the budget as the largest that fit the widest gates are taken, which are few
    (few cores do best in tensor trains, too).

    Args:
        budget: Largest number of parameters of all circuits, as :func:`adqc.minimal.minimal_size` counts them.
        shapes: Name of each layer and the shape of its weight.
        configs: Axes and layout of a layer's circuit, where they are not :data:`adqc.experiments.recipe.WIDE`'s.

    Raises:
        ValueError: If not even the smallest fits.

    Example:
        >>> {name: (config.gate, config.stride) for name, config in choose_widths(300, {"fc1": (256, 784)}, {}).items()}
        {'fc1': ('o8', 1)}
    """
    kinds = [(family.name, stride) for family in WIDE_FAMILIES for stride in range(1, family.sites)]

    def make(name: str, kind: tuple[str, int]) -> Circuit:
        config = configs.get(name, Circuit(**WIDE))  # type: ignore[arg-type]
        return dataclasses.replace(config, gate=kind[0], stride=kind[1])

    sizes: dict[str, dict[tuple[str, int], int]] = {name: {} for name in shapes}
    for name, shape in shapes.items():
        for kind in kinds:
            config = make(name, kind)
            if config.arrange(shape).sites >= config.family.sites:
                sizes[name][kind] = minimal_size(circuit_size(shape, config)[0])
    common = [kind for kind in kinds if all(kind in own for own in sizes.values())]
    totals = {kind: sum(own[kind] for own in sizes.values()) for kind in common}
    least = min(totals.values(), default=math.inf)
    if least > budget:
        raise ValueError(f"wide gates take at least {least:,} parameters, not {budget:,}")
    chosen = dict.fromkeys(shapes, _widest(totals, budget))
    for name in _largest_first(shapes):
        left = budget - sum(sizes[other][kind] for other, kind in chosen.items() if other != name)
        chosen[name] = _widest(sizes[name], left)
    return {name: make(name, kind) for name, kind in chosen.items()}


def _widest(sizes: Mapping[tuple[str, int], int], budget: int) -> tuple[str, int]:
    fitting = {kind: size for kind, size in sizes.items() if size <= budget}
    large = [kind for kind, size in fitting.items() if size >= NEARLY * max(fitting.values())]
    return max(large, key=lambda kind: (FAMILIES[kind[0]].sites, fitting[kind]))


def _largest_first(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    return sorted(shapes, key=lambda name: -math.prod(shapes[name]))


def stored(wall: BrickWall) -> int:
    """How many numbers it takes to store a circuit: its parameters, or the minimal form's where it has one."""
    return minimal_size(wall.wiring) if has_minimal_form(wall.config) else wall.parameter_count


def dimension(wall: BrickWall) -> int:
    """Number of a circuit's parameters less those that only choose between equal circuits (the gauge); at least that
    many are redundant.

    Every wire between two gates carries a change of basis: a rotation where gates are real and unitary, a unitary one
    where they are complex, any 2 × 2 matrix where they are free. Gates that meet |0> keep only what it can see.
    """
    family, wiring = wall.family, wall.wiring
    if family.unitary:
        minimal = {"so4": "cartan", "su4": "cartan-su4"}.get(family.name)
        if minimal is None:
            return stored(wall)
        smaller: int = circuit_size(wall.shape, dataclasses.replace(wall.config, gate=minimal))[1]
        return smaller
    inner = sum(not fresh for pair in wiring.fresh for fresh in pair)
    gates = sum(4 << sum(not fresh for fresh in pair) for pair in wiring.fresh)
    # A factor can go from gate to gate, too, so that one number holds all of them.
    idle = sum(not touched for touched in wiring.wires)
    return gates - 3 * inner - (len(wiring.gates) - 1) + idle


def count(model: nn.Module) -> dict[str, int]:
    """Numbers stored in the place of the layers' weights, without their gauge, and in the whole network.

    Of a circuit that is not trained nothing is stored: its seed makes it.
    """
    walls = [module for module in model.modules() if isinstance(module, BrickWall)]
    held = sum(wall.parameter_count for wall in walls)
    walls = [wall for wall in walls if any(parameter.requires_grad for parameter in wall.parameters())]
    rivals = [module for module in model.modules() if isinstance(module, Baseline)]
    return {
        "parameters": sum(map(stored, walls)) + sum(rival.parameter_count for rival in rivals),
        "dimension": sum(map(dimension, walls)) + sum(rival.dimension for rival in rivals),
        "whole": sum(parameter.numel() for parameter in model.parameters()) - held + sum(map(stored, walls)),
    }
