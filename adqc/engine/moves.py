"""An array's axes in another order, cropped, and back: entry by entry in loops.

Where an entry comes from is the sum of two numbers, one of its first axes and one of its last ones, so that two short
lists stand for all places.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.threads import find_team, split

# The list for the last axes has so many entries at least, where there are as many.
LOW = 256
# Bytes that are moved as one at most, and numbers that have so many.
UNIT = 16
NUMBERS: dict[int, Any] = {8: np.complex64, 16: np.complex128}


class Origins(NamedTuple):
    """Where the entries come from, in units of some that stay side by side.

    Args:
        high: For each place on the first axes of the result.
        low: For each unit on the last ones; added to the former.
        unit: How many entries a unit has.
        run: How many entries stay side by side.
    """

    high: NumpyArray
    low: NumpyArray
    unit: int
    run: int


@lru_cache(maxsize=256)
def find_origins(
    shape: tuple[int, ...], axes: tuple[int, ...], whole: tuple[int, ...], kept: tuple[int, ...], itemsize: int
) -> Origins:
    """Where entries come from when axes change their order and the first entries of each axis are kept.

    Args:
        shape: The sizes of the axes as they lie.
        axes: Their new order.
        whole: The shape that they have then; its axes are some of those together.
        kept: The shape that is kept.
        itemsize: Bytes of an entry.
    """
    sizes = tuple(shape[axis] for axis in axes)
    if whole == kept:
        # In small steps, so that both lists may be short.
        whole = kept = tuple(factor for size in sizes for factor in _halve(size))
    strides = [math.prod(shape[axis + 1 :]) for axis in axes]

    def come_from(first: int, last: int) -> NumpyArray:
        """For all entries on these axes, those on the others being the first ones."""
        count = math.prod(kept[first:last])
        own = np.unravel_index(np.arange(count), kept[first:last] or (1,))
        place = np.ravel_multi_index(own, whole[first:last] or (1,)) * math.prod(whole[last:])
        digits = np.unravel_index(place, sizes)
        return sum((digit * stride for digit, stride in zip(digits, strides, strict=True)), np.zeros(count, np.intp))

    split = len(kept) - 1
    while split > 0 and math.prod(kept[split:]) < LOW:
        split -= 1
    high, low = come_from(0, split), come_from(split, len(kept))
    unit = max(1, UNIT // itemsize)
    while unit > 1 and not _goes_in(unit, high, low):
        unit //= 2
    gaps = np.flatnonzero(np.diff(low) != 1)
    return Origins(high // unit, low[::unit] // unit, unit, int(gaps[0]) + 1 if len(gaps) else len(low))


def _halve(size: int) -> list[int]:
    """Twos, and what is left of a size without them."""
    twos = (size & -size).bit_length() - 1
    return [size >> twos, *[2] * twos]


def _goes_in(unit: int, high: NumpyArray, low: NumpyArray) -> bool:
    """Whether all entries come in units of so many."""
    if len(low) % unit or (high % unit).any() or (low[::unit] % unit).any():
        return False
    return bool((low.reshape(-1, unit) - low[::unit, None] == np.arange(unit)).all())


def gather(items: NumpyArray, origins: Origins) -> NumpyArray:
    """The entries that are kept, in their new order, flat.

    Args:
        items: An array of any shape.
        origins: Where they come from.
    """
    found = np.empty(len(origins.high) * len(origins.low) * origins.unit, items.dtype)
    gather_(found, items, origins)
    return found


def gather_(found: NumpyArray, items: NumpyArray, origins: Origins) -> None:
    """The same, into an array that is there."""
    team = find_team(found.size)
    _gather_(*team, _as_units(items, origins.unit), _as_units(found, origins.unit), origins.high, origins.low)


def scatter(items: NumpyArray, origins: Origins, count: int) -> NumpyArray:
    """The inverse of :func:`gather`: ``count`` entries, flat, zeros where one is left out."""
    found = np.empty(count, items.dtype) if items.size == count else np.zeros(count, items.dtype)
    team = find_team(items.size)
    _scatter_(*team, _as_units(items, origins.unit), _as_units(found, origins.unit), origins.high, origins.low)
    return found


def _as_units(items: NumpyArray, unit: int) -> NumpyArray:
    flat = np.ascontiguousarray(items).reshape(-1)
    return flat if unit == 1 else flat.view(NUMBERS[unit * items.itemsize])


@compiled
def _gather_(addresses: Any, team: int, items: Any, found: Any, high: Any, low: Any) -> None:
    split(addresses, team, gather_part_, (items, found, high, low))


@compiled
def gather_part_(items: Any, found: Any, high: Any, low: Any, _: Any, number: int, count: int) -> None:
    """A thread's part of :func:`gather`, of units."""
    size = len(low)
    for a in range(number * len(high) // count, (number + 1) * len(high) // count):
        own, line = items[high[a] :], found[a * size : (a + 1) * size]
        for b in range(size):
            line[b] = own[low[b]]


@compiled
def _scatter_(addresses: Any, team: int, items: Any, found: Any, high: Any, low: Any) -> None:
    split(addresses, team, scatter_part_, (items, found, high, low))


@compiled
def scatter_part_(items: Any, found: Any, high: Any, low: Any, _: Any, number: int, count: int) -> None:
    """The same of :func:`scatter`."""
    size = len(low)
    for a in range(number * len(high) // count, (number + 1) * len(high) // count):
        own, line = found[high[a] :], items[a * size : (a + 1) * size]
        for b in range(size):
            own[low[b]] = line[b]
