"""Products of a real matrix with many others, and sums of products, in compiled loops, which bring the second side's
vectors side by side first."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled, inlined, merged
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries, load, store, transpose_

# How many entries of the shared side are taken at once.
SHARED = 256
# Pairs of vectors for each thread from which on it does not matter that some threads have one more.
UNEVEN = 4


def spread(left: NumpyArray, right: NumpyArray, found: NumpyArray) -> None:
    """One matrix times each of some.

    Args:
        left: (m, k), real.
        right: (items, k, n), n at least what fills a vector.
        found: (items, m, n), in one stretch: gets the products.
    """
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    team = find_team(left.size * right.shape[0] * right.shape[2] // WORK)
    _spread_(*team, left, right, found, count_entries(left.itemsize))


def add_up(left: NumpyArray, right: NumpyArray) -> NumpyArray:
    """The sum of the products of some matrices with the transposes of others.

    Args:
        left: (items, m, n), real.
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
    pairs = -(-filled // (2 * wide))
    in_pairs = pairs % team.size == 0 or pairs >= UNEVEN * team.size
    # Threads that share the rows each bring all of the other side into order, those that share the products add up all.
    parts = np.zeros((1 if in_pairs or rows >= items * shared else team.size, rows, filled), left.dtype)
    _add_up_(*team, left, right, parts, in_pairs, wide)
    found = parts[0] if len(parts) == 1 else parts.sum(0)
    return found if filled == columns else np.ascontiguousarray(found[:, :columns])


def transpose(items: NumpyArray) -> NumpyArray:
    """A real matrix, transposed, in one stretch."""
    turned = items.T
    if turned.flags.c_contiguous:
        return turned
    found = np.empty(turned.shape, items.dtype)
    transpose_into_(found, items)
    return found


def transpose_into_(found: NumpyArray, items: NumpyArray) -> None:
    """The same, into an array in one stretch."""
    items = np.ascontiguousarray(items)
    _transpose_(*find_team(items.size), items, found, count_entries(items.itemsize))


@compiled
def _transpose_(addresses: Any, number: int, count: int, items: Any, found: Any, wide: int) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        transpose_part_(items, found, wide, addresses, number, count)


@compiled
def transpose_part_(items: Any, found: Any, wide: int, _: Any, number: int, count: int) -> None:
    """A thread's part of :func:`transpose`."""
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
def _spread_(addresses: Any, number: int, count: int, left: Any, right: Any, found: Any, wide: int) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        spread_part_(left, right, found, wide, addresses, number, count)


@compiled
def spread_part_(left: Any, right: Any, found: Any, wide: int, _: Any, number: int, count: int) -> None:
    """A thread's part of :func:`spread`."""
    (items, shared, columns), rows = right.shape, len(left)
    ours, theirs, into = left.reshape(-1), right.reshape(-1), found.reshape(-1)
    length = min(shared, SHARED)
    packed = np.empty(length * 2 * wide, left.dtype)
    vectors = (columns + wide - 1) // wide
    pairs = (items * vectors + 1) // 2
    # What is added up in several stretches must not lie where another thread adds up, too.
    alone = shared > length and columns % wide > 0
    sums = np.empty(rows * 2 * wide if alone else 0, left.dtype)
    for pair in range(number * pairs // count, (number + 1) * pairs // count):
        # Of an odd number the last vector twice; where vectors are not filled, the last two overlap.
        one, other = 2 * pair, min(2 * pair + 1, items * vectors - 1)
        first, second = min(one % vectors * wide, columns - wide), min(other % vectors * wide, columns - wide)
        one, other = one // vectors, other // vectors
        begin = one * rows * columns + first
        apart = other * rows * columns + second - begin
        for above in range(0, shared, length):
            some = min(length, shared - above)
            at, more = (one * shared + above) * columns + first, (other * shared + above) * columns + second
            for k in range(some):
                store(packed, k * 2 * wide, load(theirs, at))
                store(packed, k * 2 * wide + wide, load(theirs, more))
                at += columns
                more += columns
            target, at, line, gap = (sums, 0, 2 * wide, wide) if alone else (into, begin, columns, apart)
            for row in range(0, rows, 4):
                four, to = place_four(above, shared, row, rows), place_four(at, line, row, rows)
                multiply_four_(ours, four, 1, packed, 0, wide, 2 * wide, some, target, to, gap, above > 0)
        if alone:
            for row in range(rows):
                store(into, begin + row * columns, load(sums, row * 2 * wide))
                store(into, begin + row * columns + apart, load(sums, row * 2 * wide + wide))


@inlined
def share(shared: int, wide: int) -> int:
    """The length of the stretches that a shared side is taken in: as few as there must be, of like lengths."""
    stretches = (shared + SHARED - 1) // SHARED
    return ((shared + stretches - 1) // stretches + wide - 1) // wide * wide


@inlined
def pack_rows_(rows: Any, at: int, line: int, length: int, packed: Any, to: int, wide: int) -> None:
    """As many rows as a vector has entries, ``line`` apart, so much of each, as every other vector, one for each
    column."""
    for k in range(0, length - wide + 1, wide):
        transpose_(rows, at + k, line, packed, to + k * 2 * wide, 2 * wide)
    for k in range(length - length % wide, length):
        for j in range(wide):
            packed[to + k * 2 * wide + j] = rows[at + k + j * line]


@compiled
def _add_up_(
    addresses: Any, number: int, count: int, left: Any, right: Any, parts: Any, in_pairs: bool, wide: int
) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        _add_up_part_(left, right, parts, in_pairs, wide, number, count)


@merged
def _add_up_part_(left: Any, right: Any, parts: Any, in_pairs: bool, wide: int, number: int, count: int) -> None:
    (items, rows, shared), columns = left.shape, right.shape[1]
    own, own_count, first_row, end = number, count, 0, rows
    panels = (columns + 2 * wide - 1) // (2 * wide)
    first_panel, last_panel = 0, panels
    if in_pairs:
        own, own_count = 0, 1
        first_panel, last_panel = number * panels // count, (number + 1) * panels // count
    elif len(parts) < count:
        blocks = (rows + 3) // 4
        own, own_count = 0, 1
        first_row, end = number * blocks // count * 4, min((number + 1) * blocks // count * 4, rows)
    ours, theirs, into = left.reshape(-1), right.reshape(-1), parts[own].reshape(-1)
    length = share(shared, wide)
    while items * (shared // length) < own_count and length % (2 * wide) == 0:
        length //= 2
    chunks = (shared + length - 1) // length
    packed = np.empty(length * (last_panel - first_panel) * 2 * wide, left.dtype)
    for unit in range(own * items * chunks // own_count, (own + 1) * items * chunks // own_count):
        item, first = unit // chunks, unit % chunks * length
        some = min(length, shared - first)
        begin = item * rows * shared + first
        for panel in range(first_panel, last_panel):
            column, at = panel * 2 * wide, (panel - first_panel) * some * 2 * wide
            for half in range(2):
                line = (item * columns + min(column + half * wide, columns - wide)) * shared + first
                pack_rows_(theirs, line, shared, some, packed, at + half * wide, wide)
        for panel in range(first_panel, last_panel):
            column, at = panel * 2 * wide, (panel - first_panel) * some * 2 * wide
            apart = wide if column + wide < columns else 0
            for row in range(first_row, end, 4):
                four, to = place_four(begin, shared, row, end), place_four(column, columns, row, end)
                multiply_four_(ours, four, 1, packed, at, wide, 2 * wide, some, into, to, apart, True)
