"""A product over few bonds, each entry made where it shall lie: of matrices that are its halves, and back.

A row of the product is read from the cache several times for each time that it is written, and never moved. Where an
entry lies is the sum of two numbers, one of its row and one of its column.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled, inlined
from adqc.engine.arrange import Move
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import WORK, find_team, split, wait
from adqc.vectors import count_entries, fill, load, plus, store, transpose_

# Bonds from which on a library's product is the faster one, though it is moved then.
MOST_BONDS = 128
# Rows that are taken together: of two vectors so many rows lie in the nearest cache, and what belongs to them.
HIGH = 32


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
    _pull_(*team, np.ascontiguousarray(grad).reshape(-1), left, right, packed, own, across, parts, places[:-1], wide)
    return own, across


def count_packed(places: Places, bonds: int, wide: int) -> int:
    """How many entries the right side has in pairs of vectors."""
    return (len(places.vectors) + 1) // 2 * bonds * 2 * wide


@compiled
def _multiply_(
    addresses: Any, team: int, left: Any, right: Any, packed: Any, found: Any, places: Any, wide: int
) -> None:
    split(addresses, team, multiply_part_, (left, right, packed, found, places, wide))


@compiled
def _pull_(
    addresses: Any, team: int, grad: Any, left: Any, right: Any, packed: Any, left_grad: Any, right_grad: Any,
    parts: Any, places: Any, wide: int,
) -> None:  # fmt: skip
    split(addresses, team, _pack_and_pull_, (grad, left, right, packed, left_grad, right_grad, parts, places, wide))


@compiled
def _pack_and_pull_(
    grad: Any, left: Any, right: Any, packed: Any, left_grad: Any, right_grad: Any, parts: Any, places: Any, wide: int,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    _pack_(right, places[2], packed, wide, number, count)
    if count > 1:
        wait(addresses[1])
    pull_part_(grad, left, packed, left_grad, right_grad, parts, places, wide, addresses, number, count)


@compiled
def _pack_(right: Any, columns: Any, found: Any, wide: int, number: int, count: int) -> None:
    """(k, n) -> (pairs of vectors, k, 2 wide), flat: rows that are a power of two apart would take one another's place
    in the cache."""
    bonds, flat = len(right), right.reshape(-1)
    if len(columns) % 2 and number == 0:
        # Of a last pair one vector is there alone.
        zero = fill(found.dtype.type(0))
        for q in range(bonds):
            store(found, len(found) + (2 * q + 1 - 2 * bonds) * wide, zero)
    for u in range(number * len(columns) // count, (number + 1) * len(columns) // count):
        at, to = columns[u], u // 2 * bonds * 2 * wide + u % 2 * wide
        for _ in range(bonds):
            store(found, to, load(flat, at))
            at += right.shape[1]
            to += 2 * wide


@compiled
def multiply_part_(
    left: Any, right: Any, packed: Any, found: Any, places: Any, wide: int, addresses: Any, number: int, count: int
) -> None:
    """A thread's part of the product.

    Args:
        left: (m, k).
        right: (k, n).
        packed: (pairs of vectors, k, 2 wide), flat: gets the right side's vectors, side by side.
        found: Gets the product, flat.
        places: See :class:`Places`, without the shape.
        wide: Entries of a vector.
        addresses: What threads wait at.
        number: This thread's.
        count: How many threads there are.
    """
    rows, vectors, columns, _, crop = places
    _pack_(right, columns, packed, wide, number, count)
    if count > 1:
        wait(addresses[1])
    size, bonds = left.shape
    flat, last, whole = left.reshape(-1), len(vectors) - 1, len(crop) == 0
    # Four rows' vectors of which only some are kept.
    tile = np.empty(8 * wide, left.dtype)
    # Of rows with few bonds more would take one another's place in the cache, where the product lies row by row.
    high = min(HIGH, bonds + -bonds % 8)
    blocks = (size + high - 1) // high
    for block in range(number * blocks // count, (number + 1) * blocks // count):
        end = min((block + 1) * high, size)
        for pair in range(last // 2 + 1):
            # Of an odd number the last vector twice.
            u, v = 2 * pair, min(2 * pair + 1, last)
            at, gap, apart = pair * bonds * 2 * wide, (v - u) * wide, vectors[v] - vectors[u]
            for row in range(block * high, end, 4):
                four, (i0, i1, i2, i3) = place_four(0, bonds, row, end), place_four(0, 1, row, end)
                if whole or _are_all(crop, row, end, u, v):
                    to = rows[i0] + vectors[u], rows[i1] + vectors[u], rows[i2] + vectors[u], rows[i3] + vectors[u]
                    multiply_four_(flat, four, 1, packed, at, gap, 2 * wide, bonds, found, to, apart, False)
                    continue
                to = 0, 2 * wide, 4 * wide, 6 * wide
                multiply_four_(flat, four, 1, packed, at, gap, 2 * wide, bonds, tile, to, wide, False)
                for k in range(row, min(row + 4, end)):
                    if crop[k, u]:
                        store(found, rows[k] + vectors[u], load(tile, (k - row) * 2 * wide))
                    if crop[k, v]:
                        store(found, rows[k] + vectors[v], load(tile, (k - row) * 2 * wide + wide))


@inlined
def _are_all(crop: Any, row: int, end: int, u: int, v: int) -> bool:
    """Whether two vectors of four rows are kept."""
    found = True
    for k in range(row, min(row + 4, end)):
        found &= crop[k, u] & crop[k, v]
    return found


@compiled
def pull_part_(
    grad: Any, left: Any, packed: Any, left_grad: Any, right_grad: Any, parts: Any, places: Any, wide: int,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the sides' gradients.

    Args:
        grad: The product's, flat.
        left: (m, k).
        packed: What :func:`multiply_part_` has made of the right side.
        left_grad: (m, k): gets the left side's.
        right_grad: (k, n): gets the right side's.
        parts: (threads, …): gets the threads' parts of this, in pairs of vectors.
        places: As there, as what follows.
        wide: The same.
        addresses: The same.
        number: The same.
        count: The same.
    """
    rows, vectors, columns, overlaps, crop = places
    (size, bonds), flat, line = left.shape, left.reshape(-1), 2 * wide
    blocks, pairs = (size + HIGH - 1) // HIGH, (len(vectors) + 1) // 2
    # Others have no rows.
    busy = min(count, blocks)
    if number < busy:
        own = parts[number]
        # Two vectors of some rows' gradients, the same transposed, and for each bond the sums of these rows.
        tile, turned = np.zeros(HIGH * line, left.dtype), np.empty(line * HIGH, left.dtype)
        sums = np.empty(bonds * HIGH, left.dtype)
        begin = number * blocks // busy
        for block in range(begin, (number + 1) * blocks // busy):
            first, end = block * HIGH, min((block + 1) * HIGH, size)
            for pair in range(pairs):
                for half in range(2):
                    _read_(tile, half * wide, grad, rows, vectors, overlaps, crop, first, end, 2 * pair + half, wide)
                    for row in range(0, HIGH, wide):
                        transpose_(tile, row * line + half * wide, line, turned, half * wide * HIGH + row, HIGH)
                at = pair * bonds * line
                for q in range(0, bonds, 4):
                    four = place_four(at, line, q, bonds)
                    for row in range(0, HIGH, line):
                        to = place_four(row, HIGH, q, bonds)
                        multiply_four_(packed, four, 1, turned, row, wide, HIGH, line, sums, to, wide, pair > 0)
                    above = place_four(first * bonds, 1, q, bonds)
                    multiply_four_(flat, above, bonds, tile, 0, wide, line, end - first, own, four, wide, block > begin)
            for row in range(first, end):
                for q in range(bonds):
                    left_grad[row, q] = sums[q * HIGH + row - first]
    if count > 1:
        wait(addresses[1])
    length, into, spare = right_grad.shape[1], right_grad.reshape(-1), np.empty(wide, left.dtype)
    for u in range(number * len(vectors) // count, (number + 1) * len(vectors) // count):
        at, to = u // 2 * bonds * line + u % 2 * wide, columns[u]
        for _ in range(bonds):
            total = load(parts[0], at)
            for k in range(1, busy):
                total = plus(total, load(parts[k], at))
            if overlaps[u] == 0:
                store(into, to, total)
            else:
                # The others are those of the vector ahead.
                store(spare, 0, total)
                for j in range(overlaps[u], wide):
                    into[to + j] = spare[j]
            at += line
            to += length


@inlined
def _read_(
    tile: Any, at: int, grad: Any, rows: Any, vectors: Any, overlaps: Any, crop: Any, first: int, end: int, u: int,
    wide: int,
) -> None:  # fmt: skip
    """A vector of some rows' gradients; zeros where there is none, where nothing is kept, and where another vector has
    the same entry."""
    zero = fill(grad.dtype.type(0))
    for row in range(first, end):
        if u < len(vectors) and (len(crop) == 0 or crop[row, u]):
            store(tile, at, load(grad, rows[row] + vectors[u]))
            for j in range(overlaps[u]):
                tile[at + j] = 0
        else:
            store(tile, at, zero)
        at += 2 * wide
