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
from adqc.compiled import compiled
from adqc.engine.arrange import Move
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries, fill, load, plus, repeat, store, times_plus, total

# Bonds from which on a library's product is the faster one, though it is moved then.
MOST_BONDS = 128


class Places(NamedTuple):
    """Where the entries of a product lie, vector by vector.

    Args:
        rows: For each row; added to what follows.
        vectors: For each vector of neighbouring columns.
        columns: The first column of each; where a run of columns does not fill vectors, its last two overlap.
        crop: (rows, vectors), which are kept; without rows where all are.
        kept: The shape in which they lie.
    """

    rows: NumpyArray
    vectors: NumpyArray
    columns: NumpyArray
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
    crop = np.zeros((0, len(begins)), np.bool_)
    if whole != kept:
        right, left = ends
        # Along a vector a place only grows, so that its ends tell for all of it.
        first, last = (_fits(left, right[:, own], kept) for own in (begins, begins + wide - 1))
        if (first != last).any():
            return None
        crop = first
    return Places(down, across[begins], begins, crop, kept)


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
    team = find_team(left.size * right.shape[1] // WORK)
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    _multiply_(*team, left, right, found.reshape(-1), *places[:4], count_entries(left.itemsize))
    return found


def pull_placed(grad: NumpyArray, left: NumpyArray, right: NumpyArray, places: Places) -> tuple[NumpyArray, NumpyArray]:
    """The gradients of both sides from that of what :func:`multiply_placed` has made."""
    bonds, columns, wide = left.shape[1], right.shape[1], count_entries(left.itemsize)
    missing = -bonds % 4, -columns % wide
    if any(missing):
        # With bonds in fours, and columns that fill vectors.
        left, right = np.pad(left, ((0, 0), (0, missing[0]))), np.pad(right, [(0, some) for some in missing])
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    team = find_team(left.size * right.shape[1] // WORK)
    own, across = np.empty_like(left), np.empty_like(right)
    _pull_(*team, np.ascontiguousarray(grad).reshape(-1), left, right, own, across, *places[:4], wide)
    return own[:, :bonds], across[:bonds, :columns]


@compiled
def _multiply_(
    addresses: Any, team: int, left: Any, right: Any, found: Any, rows: Any, vectors: Any, columns: Any, crop: Any,
    wide: int,
) -> None:  # fmt: skip
    split(addresses, team, _multiply_part_, (left, _pack(right, columns, wide), found, rows, vectors, crop, wide))


@compiled
def _pack(right: Any, columns: Any, wide: int) -> Any:
    """(k, n) -> (vectors, k, wide), flat: rows that are a power of two apart would take one another's place in the
    cache."""
    bonds, flat = len(right), right.reshape(-1)
    found = np.empty(len(columns) * bonds * wide, right.dtype)
    for q in range(bonds):
        to, line = q * wide, q * right.shape[1]
        for u in range(len(columns)):
            store(found, to, load(flat, line + columns[u]))
            to += bonds * wide
    return found


@compiled
def _unpack_(parts: Any, found: Any, wide: int) -> None:
    """The inverse of :func:`_pack` for all columns, of the sum of some."""
    bonds, columns = found.shape
    flat = found.reshape(-1)
    for q in range(bonds):
        at, to = q * wide, q * columns
        while at < found.size:
            own = load(parts[0], at)
            for k in range(1, len(parts)):
                own = plus(own, load(parts[k], at))
            store(flat, to, own)
            at += bonds * wide
            to += wide


@compiled
def _multiply_part_(
    left: Any, packed: Any, found: Any, rows: Any, vectors: Any, crop: Any, wide: int, _: Any, number: int, count: int
) -> None:
    size, bonds = left.shape
    flat = left.reshape(-1)
    zero = fill(left.dtype.type(0))
    blocks, last = (size + 3) // 4, len(vectors) - 1
    for block in range(number * blocks // count, (number + 1) * blocks // count):
        # The last row, and the last vector, may come several times.
        i0 = 4 * block
        i1, i2, i3 = min(i0 + 1, size - 1), min(i0 + 2, size - 1), min(i0 + 3, size - 1)
        for u in range(0, last + 1, 2):
            v = min(u + 1, last)
            a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
            x, y, q = u * bonds * wide, v * bonds * wide, 0
            while q < bonds:
                a, b = load(packed, x), load(packed, y)
                g = repeat(flat, i0 * bonds + q)
                a0, b0 = times_plus(g, a, a0), times_plus(g, b, b0)
                g = repeat(flat, i1 * bonds + q)
                a1, b1 = times_plus(g, a, a1), times_plus(g, b, b1)
                g = repeat(flat, i2 * bonds + q)
                a2, b2 = times_plus(g, a, a2), times_plus(g, b, b2)
                g = repeat(flat, i3 * bonds + q)
                a3, b3 = times_plus(g, a, a3), times_plus(g, b, b3)
                x += wide
                y += wide
                q += 1
            whole = len(crop) == 0
            if whole or crop[i0, u]:
                store(found, rows[i0] + vectors[u], a0)
            if whole or crop[i0, v]:
                store(found, rows[i0] + vectors[v], b0)
            if whole or crop[i1, u]:
                store(found, rows[i1] + vectors[u], a1)
            if whole or crop[i1, v]:
                store(found, rows[i1] + vectors[v], b1)
            if whole or crop[i2, u]:
                store(found, rows[i2] + vectors[u], a2)
            if whole or crop[i2, v]:
                store(found, rows[i2] + vectors[v], b2)
            if whole or crop[i3, u]:
                store(found, rows[i3] + vectors[u], a3)
            if whole or crop[i3, v]:
                store(found, rows[i3] + vectors[v], b3)


@compiled
def _pull_(
    addresses: Any, team: int, grad: Any, left: Any, right: Any, left_grad: Any, right_grad: Any, rows: Any,
    vectors: Any, columns: Any, crop: Any, wide: int,
) -> None:  # fmt: skip
    parts = np.zeros((team, right.size), right.dtype)
    packed = _pack(right, np.arange(0, right.shape[1], wide), wide)
    given = grad, left, packed, left_grad, parts, rows, vectors, columns, crop, wide
    split(addresses, team, _pull_part_, given)
    _unpack_(parts, right_grad, wide)


@compiled
def _pull_part_(
    grad: Any, left: Any, packed: Any, left_grad: Any, parts: Any, rows: Any, vectors: Any, begins: Any, crop: Any,
    wide: int, _: Any, number: int, count: int,
) -> None:  # fmt: skip
    size, bonds = left.shape
    columns, flat, own = len(packed) // bonds, left.reshape(-1), parts[number]
    zero = fill(left.dtype.type(0))
    # What four rows are given, in the order of the columns; zeros where there are no such rows or nothing is kept.
    lines = np.zeros((4, columns), grad.dtype)
    g0, g1, g2, g3 = lines[0], lines[1], lines[2], lines[3]
    blocks = (size + 3) // 4
    for block in range(number * blocks // count, (number + 1) * blocks // count):
        first = 4 * block
        for k in range(4):
            line, row = lines[k], first + k
            if row >= size or len(crop) > 0:
                line[:] = 0
            if row < size:
                for u in range(len(vectors)):
                    if len(crop) == 0 or crop[row, u]:
                        store(line, begins[u], load(grad, rows[row] + vectors[u]))
        q = 0
        while q < bonds:
            s00, s01, s02, s03, s10, s11, s12, s13 = zero, zero, zero, zero, zero, zero, zero, zero
            s20, s21, s22, s23, s30, s31, s32, s33 = zero, zero, zero, zero, zero, zero, zero, zero
            x, j = q * wide, 0
            while j < columns:
                a, b, c, d = load(g0, j), load(g1, j), load(g2, j), load(g3, j)
                e = load(packed, x)
                s00, s10 = times_plus(a, e, s00), times_plus(b, e, s10)
                s20, s30 = times_plus(c, e, s20), times_plus(d, e, s30)
                e = load(packed, x + wide)
                s01, s11 = times_plus(a, e, s01), times_plus(b, e, s11)
                s21, s31 = times_plus(c, e, s21), times_plus(d, e, s31)
                e = load(packed, x + 2 * wide)
                s02, s12 = times_plus(a, e, s02), times_plus(b, e, s12)
                s22, s32 = times_plus(c, e, s22), times_plus(d, e, s32)
                e = load(packed, x + 3 * wide)
                s03, s13 = times_plus(a, e, s03), times_plus(b, e, s13)
                s23, s33 = times_plus(c, e, s23), times_plus(d, e, s33)
                x += bonds * wide
                j += wide
            for k in range(min(4, size - first)):
                if k == 0:
                    t0, t1, t2, t3 = total(s00), total(s01), total(s02), total(s03)
                elif k == 1:
                    t0, t1, t2, t3 = total(s10), total(s11), total(s12), total(s13)
                elif k == 2:
                    t0, t1, t2, t3 = total(s20), total(s21), total(s22), total(s23)
                else:
                    t0, t1, t2, t3 = total(s30), total(s31), total(s32), total(s33)
                left_grad[first + k, q] = t0
                left_grad[first + k, q + 1] = t1
                left_grad[first + k, q + 2] = t2
                left_grad[first + k, q + 3] = t3
            q += 4
        i0 = first * bonds
        # Of rows that are not there the gradient is zero.
        i1, i2 = min(first + 1, size - 1) * bonds, min(first + 2, size - 1) * bonds
        i3 = min(first + 3, size - 1) * bonds
        x, j = 0, 0
        while j < columns:
            a, b, c, d = load(g0, j), load(g1, j), load(g2, j), load(g3, j)
            q = 0
            while q < bonds:
                e = times_plus(a, repeat(flat, i0 + q), load(own, x))
                e = times_plus(b, repeat(flat, i1 + q), e)
                e = times_plus(c, repeat(flat, i2 + q), e)
                store(own, x, times_plus(d, repeat(flat, i3 + q), e))
                x += wide
                q += 1
            j += wide
