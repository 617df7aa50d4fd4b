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
from adqc.vectors import copy_

# The list for the last axes has so many entries at least, where there are as many.
LOW = 256
# Bytes that are moved as one at most.
UNIT = 16


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
    _move_(*find_team(found.size), np.ascontiguousarray(items).reshape(-1), found, *origins[:3], False)


def scatter(items: NumpyArray, origins: Origins, count: int) -> NumpyArray:
    """The inverse of :func:`gather`: ``count`` entries, flat, zeros where one is left out."""
    found = np.empty(count, items.dtype) if items.size == count else np.zeros(count, items.dtype)
    _move_(*find_team(items.size), found, np.ascontiguousarray(items).reshape(-1), *origins[:3], True)
    return found


@compiled
def _move_(
    addresses: Any, number: int, count: int, items: Any, found: Any, high: Any, low: Any, unit: int, back: bool
) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        move_part_(items, 0, found, 0, high, low, unit, back, number, count)


@compiled
def move_part_(
    items: Any, at: int, found: Any, to: int, high: Any, low: Any, unit: int, back: bool, number: int, count: int
) -> None:
    """A thread's part of :func:`gather`, or of :func:`scatter`.

    Args:
        items: What has the entries as they lie, flat.
        at: Where they begin.
        found: What has those that are kept in their new order, flat.
        to: Where they begin.
        high: See :class:`Origins`.
        low: The same.
        unit: The same.
        back: Whether those in their new order are given, and the others found.
        number: This thread's.
        count: How many threads there are.
    """
    size = len(low)
    for a in range(number * len(high) // count, (number + 1) * len(high) // count):
        for b in range(size):
            one, other = at + (high[a] + low[b]) * unit, to + (a * size + b) * unit
            if back:
                copy_(found, other, items, one, unit)
            else:
                copy_(items, one, found, other, unit)
