"""A product over few bonds, each entry made where it shall lie: of matrices that are its halves, and back.

Where an entry lies is the sum of two numbers, one of its row and one of its column.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.engine.arrange import Move
from adqc.engine.placed_loops import multiply_part_, pack_, pull_part_
from adqc.threads import WORK, find_team, split, wait
from adqc.vectors import count_entries

# Bonds from which on a library's product is the faster one, though it is moved then.
MOST_BONDS = 128


class Places(NamedTuple):
    """Where the entries of a product lie, vector by vector.

    Args:
        rows: For each row; added to what follows.
        vectors: For each vector of neighbouring columns.
        columns: The first column of each; where a run of columns does not fill vectors, its last two overlap.
        overlaps: So many of its entries the vector ahead has as well.
        crop: (rows, vectors), which are kept; without rows where all are.
        kept: The shape in which they lie.
    """

    rows: NumpyArray
    vectors: NumpyArray
    columns: NumpyArray
    overlaps: NumpyArray
    crop: NumpyArray
    kept: tuple[int, ...]


@lru_cache(maxsize=256)
def find_places(
    rows: int, columns: int, move: Move | None, whole: tuple[int, ...], kept: tuple[int, ...], itemsize: int
) -> Places | None:
    """Where a product's entries lie when its axes change their order and the first entries of each axis are kept.

    Args:
        rows: The product's rows.
        columns: Its columns.
        move: How its axes get into their order; None where they lie so.
        whole: The shape that they have then.
        kept: The shape that is kept.
        itemsize: Bytes of an entry.

    Returns:
        The places; None where fewer columns than fill a vector stay side by side, or a part of them is kept that does
        not.
    """
    wide = count_entries(itemsize)
    flat = np.arange(columns), np.arange(0, rows * columns, columns)
    ends = [np.array(np.unravel_index(_find_new(own, move), whole)) for own in flat]
    strides = np.array([math.prod(kept[axis + 1 :]) for axis in range(len(kept))])
    across, down = (strides @ own for own in ends)
    gaps = np.flatnonzero(np.diff(across) != 1)
    run = int(gaps[0]) + 1 if len(gaps) else columns
    firsts = across[::run]
    if run < wide or columns % run or (across.reshape(-1, run) - firsts[:, None] != np.arange(run)).any():
        return None
    starts = [*range(0, run - wide + 1, wide), *[run - wide] * (run % wide > 0)]
    begins = np.add.outer(np.arange(0, columns, run), starts).reshape(-1)
    overlaps = np.maximum(0, np.append(-wide, begins[:-1]) + wide - begins)
    crop = np.zeros((0, len(begins)), np.bool_)
    if whole != kept:
        right, left = ends
        # Along a vector a place only grows, so that its ends tell for all of it.
        first, last = (_fits(left, right[:, own], kept) for own in (begins, begins + wide - 1))
        if (first != last).any():
            return None
        crop = first
    return Places(down, across[begins], begins, overlaps, crop, kept)


def _fits(left: NumpyArray, right: NumpyArray, kept: tuple[int, ...]) -> NumpyArray:
    """Which sums of these digits, (axes, rows) and (axes, columns), are kept."""
    found = np.ones((left.shape[1], right.shape[1]), np.bool_)
    for one, other, size in zip(left, right, kept, strict=True):
        found &= np.add.outer(one, other) < size
    return found


def _find_new(flat: NumpyArray, move: Move | None) -> NumpyArray:
    """Where entries lie behind a move."""
    if move is None:
        return flat
    digits = np.unravel_index(flat, move.shape)
    return np.ravel_multi_index([digits[axis] for axis in move.axes], move.shape_back)


def multiply_placed(left: NumpyArray, right: NumpyArray, places: Places) -> NumpyArray:
    """The product, (m, k) x (k, n), as an array of ``places.kept``.

    Args:
        left: (m, k), real.
        right: (k, n).
        places: Where entries lie.
    """
    found = np.empty(places.kept, left.dtype)
    team, wide = find_team(left.size * right.shape[1] // WORK), count_entries(left.itemsize)
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    packed = np.empty(count_packed(places, len(right), wide), left.dtype)
    _multiply_(*team, left, right, packed, found.reshape(-1), places[:-1], wide)
    return found


def pull_placed(grad: NumpyArray, left: NumpyArray, right: NumpyArray, places: Places) -> tuple[NumpyArray, NumpyArray]:
    """The gradients of both sides from that of what :func:`multiply_placed` has made."""
    team, wide = find_team(left.size * right.shape[1] // WORK), count_entries(left.itemsize)
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    own, across = np.empty_like(left), np.empty_like(right)
    packed = np.empty(count_packed(places, len(right), wide), left.dtype)
    parts = np.empty((team.size, len(packed)), left.dtype)
    turned = np.empty(count_turned(packed, len(right), wide), left.dtype)
    flat = np.ascontiguousarray(grad).reshape(-1)
    _pull_(*team, flat, left, right, packed, turned, own, across, parts, places[:-1], wide)
    return own, across


def count_packed(places: Places, bonds: int, wide: int) -> int:
    """How many entries the right side has in pairs of vectors."""
    return (len(places.vectors) + 1) // 2 * bonds * 2 * wide


def count_turned(packed: NumpyArray, bonds: int, wide: int) -> int:
    """How many entries of these the backward pass wants transposed."""
    return 0 if bonds % (2 * wide) else len(packed)


@compiled
def _multiply_(
    addresses: Any, number: int, count: int, left: Any, right: Any, packed: Any, found: Any, places: Any, wide: int
) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        multiply_part_(left, right, packed, found, places, wide, addresses, number, count)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, grad: Any, left: Any, right: Any, packed: Any, turned: Any,
    left_grad: Any, right_grad: Any, parts: Any, places: Any, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        return
    pack_(right, places[2], packed, wide, number, count)
    if count > 1:
        wait(addresses[1])
    pull_part_(grad, left, packed, turned, left_grad, right_grad, parts, places, wide, addresses, number, count)
