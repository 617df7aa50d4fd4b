"""Linear layers whose weight is never stored: made tile by tile of two halves, each tile multiplied by the inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled, merged
from adqc.engine.gate_loops import add_up_, begin
from adqc.engine.join import Join
from adqc.engine.patches import Patches
from adqc.engine.placed import MOST_BONDS, count_turned
from adqc.engine.placed_loops import HIGH
from adqc.engine.script import Script, script_sides
from adqc.engine.tile_loops import apply_part_, pull_inputs_part_
from adqc.engine.window_loops import pull_part_, run_part_
from adqc.geometry import Layout
from adqc.threads import WORK, find_team, split, wait
from adqc.vectors import count_entries

# How many entries a tile has at most, and of how many of the first half's rows it is at least.
TILE, LEAST = 2**16, 4
# The outputs, and what makes the gradients of scale, gates and bias of theirs.
Outputs = tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray, NumpyArray]]]


class Tiles(NamedTuple):
    """Where a weight's entries lie in tiles, and how its halves come.

    The first half holds the leading bits of rows and columns, ``high`` and ``outer`` values, the second one the others,
    ``low`` and ``inner`` values.

    Args:
        script: How the halves are made: (high · outer, bonds), and (bonds, panels · inner · lanes), where lanes are the
            last values of ``low``, and panels the first ones.
        tables: For each row of the first half where its entries begin in a tile; for each vector of a panel of the
            second one where it lies; for each vector of all panels its first column, and zero as no two overlap; and no
            row of what is cropped.
        sizes: high, outer, low, inner, lanes and panels, and of how many values of ``high`` and of ``outer`` a tile is.
    """

    script: Script
    tables: tuple[NumpyArray, ...]
    sizes: tuple[int, ...]


@lru_cache(maxsize=256)
def make_tiles(patches: Patches, join: Join, layout: Layout, dtype: np.dtype[Any]) -> Tiles | None:
    """The tiles of a weight, (rows, columns); None where its halves do not hold bits as they must, or too few.

    Args:
        patches: The halves.
        join: How they are joined.
        layout: Shape and order of the sites.
        dtype: Type of the entries, real.
    """
    if len(layout.shape) != 2 or patches.pieces[0].shape[2] > MOST_BONDS:
        return None
    bits, first = [{layout.order[site] for site in piece.sites} for piece in patches.pieces], layout.bits[0]
    above, ahead = (sum(bit < first for bit in bits[0]), sum(bit >= first for bit in bits[0]))
    if bits[0] != {*range(above), *range(first, first + ahead)}:
        return None
    low, inner = 2 ** (first - above), 2 ** (layout.bits[1] - ahead)
    wide = count_entries(dtype.itemsize)
    lanes = min(low, 2 * wide)
    panels, together = low // lanes, 2 * wide // lanes
    part = min(HIGH, TILE // (inner * 2 * wide))
    if low < wide or inner * lanes < 2 * wide or not (above and ahead and part >= LEAST):
        return None
    high, outer = (-(-size // inside) for size, inside in zip(layout.shape, (low, inner), strict=True))
    script = script_sides(patches, dataclasses.replace(join, swapped=False), dtype, inner=(inner, lanes))
    row, column = np.divmod(np.arange(high * outer), outer)
    vector = np.arange(0, inner * lanes, wide)
    tables = (
        column % part * inner * 2 * wide + row % together * lanes,
        vector // lanes * 2 * wide + vector % lanes,
        np.arange(0, panels * inner * lanes, wide),
        np.zeros(panels * inner * lanes // wide, np.intp),
        np.zeros((0, len(vector)), np.bool_),
    )
    return Tiles(script, tables, (high, outer, low, inner, lanes, panels, together, part))


def apply_tiles(
    x: NumpyArray, bias: NumpyArray | None, gates: NumpyArray, scale: NumpyArray, tiles: Tiles, rows: int
) -> Outputs:
    """What a linear layer makes of inputs.

    Args:
        x: (batch, columns), real, both sides at least what fills a vector.
        bias: (rows,), what is added.
        gates: (G, 2^k, 2^k), in the order in which they act.
        scale: (1,).
        tiles: How its weight is made.
        rows: Number of outputs.

    Returns:
        (batch, rows); and a function of its gradient, whose last result is empty where there is no bias.
    """
    script, kind = tiles.script, x.dtype
    begun, bonds = begin(scale, script), script.shapes[1][0]
    x, gates = np.ascontiguousarray(x), np.ascontiguousarray(gates)
    bias = np.empty(0, kind) if bias is None else np.ascontiguousarray(bias)
    sizes = script.made, script.last, script.bounds[-1], script.bounds[-1] - script.bounds[1]
    made, last, sides, packed = (np.empty(size, kind) for size in sizes)
    found = np.empty((len(x), rows), kind)
    team = find_team((len(x) + bonds) * rows * x.shape[1] // WORK)
    given = packed, tiles.tables, tiles.sizes, begun, made, gates, script.tables, script.limits
    _apply_(*team, x, bias, found, last, sides, *given)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray, NumpyArray]:
        turned = np.zeros(script.last, kind) if script.cropped else np.empty(script.last, kind)
        pulled = np.empty((2 * len(script.firsts), script.widest), kind)
        own = np.zeros((team.size, *gates.shape), kind)
        parts, side_grads = np.empty((team.size, len(packed)), kind), np.empty(len(sides), kind)
        bias_grad, across = np.empty(len(bias), kind), np.empty(count_turned(packed, bonds, script.limits[0]), kind)
        _pull_(
            *team, x, np.ascontiguousarray(grad), np.empty(x.shape[::-1], kind), across, sides, side_grads, parts,
            bias_grad, turned, pulled, own, *given,
        )  # fmt: skip
        return pulled[script.row, :1], own[0], bias_grad

    return found, pull


@compiled
def _apply_(
    addresses: Any, number: int, count: int, x: Any, bias: Any, found: Any, last: Any, sides: Any, packed: Any,
    places: Any, sizes: Any, begun: Any, made: Any, gates: Any, tables: Any, limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        return
    run_part_(begun, made, last, sides, gates, tables, limits, addresses, number, count)
    if count > 1:
        wait(addresses[1])
    left, right = _halves(sides, sizes)
    apply_part_(x, bias, left, right, packed, found, places, sizes, limits[0], addresses, number, count)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, x: Any, grad: Any, x_turned: Any, across: Any, sides: Any, side_grads: Any,
    parts: Any, bias_grad: Any, turned: Any, pulled: Any, own: Any, packed: Any, places: Any, sizes: Any, begun: Any,
    made: Any, gates: Any, tables: Any, limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        add_up_(own)
        return
    left, _ = _halves(sides, sizes)
    left_grad, right_grad = _halves(side_grads, sizes)
    pull_inputs_part_(
        x, x_turned, grad, left, packed, across, left_grad, right_grad, parts, bias_grad, places, sizes, limits[0],
        addresses, number, count,
    )  # fmt: skip
    if count > 1:
        wait(addresses[1])
    pull_part_(side_grads, turned, pulled, own, begun, made, gates, tables, limits, addresses, number, count)


@merged
def _halves(sides: Any, sizes: Any) -> Any:
    """The first half, (high · outer, bonds), and the second one, (bonds, …), which lie one behind another."""
    high, outer, _, inner, lanes, panels, _, _ = sizes
    columns = panels * inner * lanes
    bonds = len(sides) // (high * outer + columns)
    end = high * outer * bonds
    return sides[:end].reshape(high * outer, bonds), sides[end:].reshape(bonds, columns)
