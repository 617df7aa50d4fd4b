"""Products of a real matrix with many others, and sums of products, in compiled loops: four rows of one side and two
vectors of the other at a time, of which the latter are brought side by side first."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries, fill, load, repeat, store, times_plus, transpose_

# How many entries of the shared side are taken at once where products are added up.
SHARED = 256


def spread(left: NumpyArray, right: NumpyArray, found: NumpyArray) -> None:
    """One matrix times each of some.

    Args:
        left: (m, k), real.
        right: (items, k, n), n a multiple of what fills a vector.
        found: (items, m, n), in one stretch: gets the products.
    """
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    team = find_team(left.size * right.shape[0] * right.shape[2] // WORK)
    _spread_(*team, left, right, found, count_entries(left.itemsize))


def add_up(left: NumpyArray, right: NumpyArray) -> NumpyArray:
    """The sum of the products of some matrices with the transposes of others.

    Args:
        left: (items, m, n), real, n a multiple of what fills a vector.
        right: (items, k, n).

    Returns:
        (m, k).
    """
    (items, columns, shared), wide = right.shape, count_entries(left.itemsize)
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    filled = columns + -columns % wide
    if filled > columns:
        right = np.concatenate([right, np.zeros((items, filled - columns, shared), right.dtype)], axis=1)
    team, rows = find_team(left.size * filled // WORK), left.shape[1]
    # Threads that share the rows each bring all of the other side into order, those that share the products add up all.
    parts = np.zeros((1 if rows >= items * shared else team.size, rows, filled), left.dtype)
    _add_up_(*team, left, right, parts, wide)
    found = parts[0] if len(parts) == 1 else parts.sum(0)
    return found if filled == columns else np.ascontiguousarray(found[:, :columns])


def transpose(items: NumpyArray) -> NumpyArray:
    """A real matrix, transposed, in one stretch."""
    turned = items.T
    if turned.flags.c_contiguous:
        return turned
    items = np.ascontiguousarray(items)
    found = np.empty(turned.shape, items.dtype)
    _transpose_(*find_team(items.size), items, found, count_entries(items.itemsize))
    return found


@compiled
def _transpose_(addresses: Any, team: int, items: Any, found: Any, wide: int) -> None:
    split(addresses, team, _transpose_part_, (items, found, wide))


@compiled
def _transpose_part_(items: Any, found: Any, wide: int, _: Any, number: int, count: int) -> None:
    rows, columns = items.shape
    ours, into = items.reshape(-1), found.reshape(-1)
    blocks = (columns + wide - 1) // wide
    for block in range(number * blocks // count, (number + 1) * blocks // count):
        column = block * wide
        row = 0
        if column + wide <= columns:
            while row + wide <= rows:
                transpose_(ours, row * columns + column, columns, into, column * rows + row, rows)
                row += wide
        for c in range(column, min(column + wide, columns)):
            for r in range(row, rows):
                found[c, r] = items[r, c]


@compiled
def _spread_(addresses: Any, team: int, left: Any, right: Any, found: Any, wide: int) -> None:
    split(addresses, team, _spread_part_, (left, right, found, wide))


@compiled
def _spread_part_(left: Any, right: Any, found: Any, wide: int, _: Any, number: int, count: int) -> None:
    (items, shared, columns), rows = right.shape, len(left)
    ours, theirs, into = left.reshape(-1), right.reshape(-1), found.reshape(-1)
    packed = np.empty(shared * 2 * wide, left.dtype)
    vectors = columns // wide
    pairs = (items * vectors + 1) // 2
    for pair in range(number * pairs // count, (number + 1) * pairs // count):
        # Of an odd number the last vector twice.
        one, other = 2 * pair, min(2 * pair + 1, items * vectors - 1)
        first, second = one % vectors * wide, other % vectors * wide
        one, other = one // vectors, other // vectors
        at, more, to = one * shared * columns + first, other * shared * columns + second, 0
        while to < len(packed):
            store(packed, to, load(theirs, at))
            store(packed, to + wide, load(theirs, more))
            at += columns
            more += columns
            to += 2 * wide
        begin = one * rows * columns + first
        apart = other * rows * columns + second - begin
        for row in range(0, rows, 4):
            _multiply_(ours, 0, shared, row, rows, packed, 0, shared, into, begin, columns, apart, False, wide)


@compiled
def _add_up_(addresses: Any, team: int, left: Any, right: Any, parts: Any, wide: int) -> None:
    split(addresses, team, _add_up_part_, (left, right, parts, wide))


@compiled
def _add_up_part_(left: Any, right: Any, parts: Any, wide: int, _: Any, number: int, count: int) -> None:
    (items, rows, shared), columns = left.shape, right.shape[1]
    own, own_count, first_row, end = number, count, 0, rows
    if len(parts) < count:
        blocks = (rows + 3) // 4
        own, own_count = 0, 1
        first_row, end = number * blocks // count * 4, min((number + 1) * blocks // count * 4, rows)
    ours, theirs, into = left.reshape(-1), right.reshape(-1), parts[own].reshape(-1)
    length = min(shared, SHARED)
    while items * (shared // length) < own_count and length % (2 * wide) == 0:
        length //= 2
    chunks = (shared + length - 1) // length
    panels = (columns + 2 * wide - 1) // (2 * wide)
    packed = np.empty(length * panels * 2 * wide, left.dtype)
    for unit in range(own * items * chunks // own_count, (own + 1) * items * chunks // own_count):
        item, first = unit // chunks, unit % chunks * length
        some = min(length, shared - first)
        for half in range(2 * panels):
            at = (item * columns + min(half * wide, columns - wide)) * shared + first
            to = half // 2 * some * 2 * wide + half % 2 * wide
            for k in range(0, some, wide):
                transpose_(theirs, at + k, shared, packed, to + k * 2 * wide, 2 * wide)
        begin = item * rows * shared + first
        for panel in range(panels):
            column, at = panel * 2 * wide, panel * some * 2 * wide
            apart = wide if column + wide < columns else 0
            for row in range(first_row, end, 4):
                _multiply_(ours, begin, shared, row, end, packed, at, some, into, column, columns, apart, True, wide)


@compiled
def _multiply_(
    left: Any, at: int, line: int, row: int, rows: int, packed: Any, begin: int, shared: int, found: Any, to: int,
    columns: int, apart: int, more: bool, wide: int,
) -> None:  # fmt: skip
    """Four rows times two vectors.

    Args:
        left: The rows, flat.
        at: Where the first of all begins.
        line: How far apart they lie.
        row: The first one that is multiplied; of fewer than four that are left the last one comes again.
        rows: The row behind the last one that is there.
        packed: For each entry of the shared side two vectors, flat.
        begin: Where they begin.
        shared: How many entries the shared side has.
        found: Gets the result, flat.
        to: Where its first row's first vector lies.
        columns: How far apart its rows lie.
        apart: How far apart a row's two vectors lie.
        more: Whether the result is added to what is there.
        wide: Entries of a vector.
    """
    i1, i2, i3 = min(row + 1, rows - 1), min(row + 2, rows - 1), min(row + 3, rows - 1)
    p0, p1, p2, p3 = to + row * columns, to + i1 * columns, to + i2 * columns, to + i3 * columns
    zero = fill(left.dtype.type(0))
    a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
    if more:
        a0, a1, a2, a3 = load(found, p0), load(found, p1), load(found, p2), load(found, p3)
        b0, b1 = load(found, p0 + apart), load(found, p1 + apart)
        b2, b3 = load(found, p2 + apart), load(found, p3 + apart)
    r0, r1, r2, r3 = at + row * line, at + i1 * line, at + i2 * line, at + i3 * line
    x, q = begin, 0
    while q < shared:
        a, b = load(packed, x), load(packed, x + wide)
        g = repeat(left, r0 + q)
        a0, b0 = times_plus(g, a, a0), times_plus(g, b, b0)
        g = repeat(left, r1 + q)
        a1, b1 = times_plus(g, a, a1), times_plus(g, b, b1)
        g = repeat(left, r2 + q)
        a2, b2 = times_plus(g, a, a2), times_plus(g, b, b2)
        g = repeat(left, r3 + q)
        a3, b3 = times_plus(g, a, a3), times_plus(g, b, b3)
        x += 2 * wide
        q += 1
    store(found, p0, a0)
    store(found, p1, a1)
    store(found, p2, a2)
    store(found, p3, a3)
    store(found, p0 + apart, b0)
    store(found, p1 + apart, b1)
    store(found, p2 + apart, b2)
    store(found, p3 + apart, b3)
