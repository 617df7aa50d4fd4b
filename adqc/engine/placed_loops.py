"""A product over few bonds, each entry made where it shall lie, and back: the loops, block of rows by block of rows.

A row of the product is read from the cache several times for each time that it is written, and never moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled, inlined, merged
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import wait
from adqc.vectors import fill, load, plus, store, transpose_

# Rows that are taken together: of two vectors so many rows lie in the nearest cache, and what belongs to them.
HIGH = 32
# Pairs of vectors of these rows that are taken together.
TOGETHER = 4


@compiled
def pack_(right: Any, columns: Any, found: Any, wide: int, number: int, count: int) -> None:
    """A thread's part of (k, n) -> (pairs of vectors, k, 2 wide), flat: rows that are a power of two apart would take
    one another's place in the cache."""
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


@merged
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
    pack_(right, columns, packed, wide, number, count)
    if count > 1:
        wait(addresses[1])
    size, bonds = left.shape
    flat = left.reshape(-1)
    # Four rows' vectors of which only some are kept.
    tile = np.empty(8 * wide, left.dtype)
    # Of rows with few bonds more would take one another's place in the cache, where the product lies row by row.
    high = min(HIGH, bonds + -bonds % 8)
    blocks = (size + high - 1) // high
    for block in range(number * blocks // count, (number + 1) * blocks // count):
        end = min((block + 1) * high, size)
        multiply_block_(flat, block * high, end, bonds, packed, 0, found, rows, vectors, crop, tile, wide)


@compiled
def multiply_block_(
    left: Any, first: int, end: int, bonds: int, packed: Any, begin: int, found: Any, rows: Any, vectors: Any,
    crop: Any, tile: Any, wide: int,
) -> None:  # fmt: skip
    """Some rows of the product.

    Args:
        left: (m, k), flat.
        first: The first row.
        end: The one behind the last.
        bonds: k.
        packed: See :func:`multiply_part_`.
        begin: Where the vectors begin in it.
        found: Gets the product, flat.
        rows: See :class:`Places`.
        vectors: The same.
        crop: The same.
        tile: Room for eight vectors.
        wide: Entries of a vector.
    """
    last, whole = len(vectors) - 1, len(crop) == 0
    for pair in range(last // 2 + 1):
        # Of an odd number the last vector twice.
        u, v = 2 * pair, min(2 * pair + 1, last)
        at, gap, apart = begin + pair * bonds * 2 * wide, (v - u) * wide, vectors[v] - vectors[u]
        for row in range(first, end, 4):
            four, (i0, i1, i2, i3) = place_four(0, bonds, row, end), place_four(0, 1, row, end)
            if whole or _are_all(crop, row, end, u, v):
                to = rows[i0] + vectors[u], rows[i1] + vectors[u], rows[i2] + vectors[u], rows[i3] + vectors[u]
                multiply_four_(left, four, 1, packed, at, gap, 2 * wide, bonds, found, to, apart, False)
                continue
            to = 0, 2 * wide, 4 * wide, 6 * wide
            multiply_four_(left, four, 1, packed, at, gap, 2 * wide, bonds, tile, to, wide, False)
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
def turn_packed_(packed: Any, bonds: int, found: Any, wide: int, number: int, count: int) -> None:
    """A thread's part of (pairs of vectors, k, 2 wide) -> (pairs of vectors, 2 wide, k), both flat, k a number of
    vectors; of nothing where there is no room for it."""
    line, size = 2 * wide, 2 * wide * bonds
    pairs = len(found) // size
    for pair in range(number * pairs // count, (number + 1) * pairs // count):
        for at in range(0, line, wide):
            for q in range(0, bonds, wide):
                transpose_(packed, pair * size + q * line + at, line, found, pair * size + at * bonds + q, bonds)


@merged
def pull_part_(
    grad: Any, left: Any, packed: Any, turned: Any, left_grad: Any, right_grad: Any, parts: Any, places: Any, wide: int,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the sides' gradients.

    Args:
        grad: The product's, flat.
        left: (m, k).
        packed: What :func:`multiply_part_` has made of the right side.
        turned: As long where k is a number of pairs of vectors, else empty: gets the same transposed.
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
    (size, bonds), flat = left.shape, left.reshape(-1)
    turn_packed_(packed, bonds, turned, wide, number, count)
    if count > 1:
        wait(addresses[1])
    blocks = (size + HIGH - 1) // HIGH
    # Others have no rows.
    busy = min(count, blocks)
    if number < busy:
        room = np.zeros(count_room(bonds, wide), left.dtype)
        begin = number * blocks // busy
        for block in range(begin, (number + 1) * blocks // busy):
            first, end = block * HIGH, min((block + 1) * HIGH, size)
            pull_block_(
                grad, flat, first, end, bonds, packed, turned, 0, left_grad, False, parts[number], block > begin, rows,
                vectors, overlaps, crop, room, wide,
            )  # fmt: skip
    if count > 1:
        wait(addresses[1])
    add_parts_(parts, busy, columns, overlaps, right_grad, wide, number, count)


@inlined
def count_room(bonds: int, wide: int) -> int:
    """How many entries :func:`pull_block_` needs room for."""
    return HIGH * max(4 * wide + bonds, 2 * TOGETHER * wide)


@compiled
def pull_block_(
    grad: Any, left: Any, first: int, end: int, bonds: int, packed: Any, turned: Any, begin: int, left_grad: Any,
    again: bool, own: Any, more: bool, rows: Any, vectors: Any, overlaps: Any, crop: Any, room: Any, wide: int,
) -> None:  # fmt: skip
    """The part that at most :data:`HIGH` rows have in the sides' gradients.

    Args:
        grad: The product's, flat.
        left: (m, k), flat.
        first: The first row.
        end: The one behind the last.
        bonds: k.
        packed: See :func:`multiply_part_`.
        turned: See :func:`pull_part_`.
        begin: Where the vectors begin in it, and in ``packed``.
        left_grad: (m, k): gets the left side's.
        again: Whether it is added to what is there.
        own: As long as ``packed``: gets the right side's, in pairs of vectors.
        more: Whether it is added to what is there.
        rows: See :class:`Places`.
        vectors: The same.
        overlaps: The same.
        crop: The same.
        room: Room for :func:`count_room` entries, zeros at first.
        wide: Entries of a vector.
    """
    line, pairs = 2 * wide, (len(vectors) + 1) // 2
    if len(turned) > 0:
        into = left_grad.reshape(-1)
        for ahead in range(0, pairs, TOGETHER):
            some = min(TOGETHER, pairs - ahead)
            for u in range(2 * some):
                _read_(
                    room, u * wide, some * line, grad, rows, vectors, overlaps, crop, first, end, 2 * ahead + u, wide
                )
            at = begin + ahead * bonds * line
            for row in range(0, end - first, 4):
                four = place_four(0, some * line, row, end - first)
                for q in range(0, bonds, line):
                    to = place_four(first * bonds + q, bonds, row, end - first)
                    multiply_four_(
                        room, four, 1, turned, at + q, wide, bonds, some * line, into, to, wide, again or ahead > 0
                    )
            for pair in range(some):
                for q in range(0, bonds, 4):
                    four = place_four(at + pair * bonds * line, line, q, bonds)
                    above = place_four(first * bonds, 1, q, bonds)
                    multiply_four_(
                        left, above, bonds, room, pair * line, wide, some * line, end - first, own, four, wide, more
                    )
        return
    # Two vectors of the rows' gradients, the same transposed, and for each bond the sums of these rows.
    tile, back, sums = room[: HIGH * line], room[HIGH * line : 2 * HIGH * line], room[2 * HIGH * line :]
    for pair in range(pairs):
        for half in range(2):
            _read_(tile, half * wide, line, grad, rows, vectors, overlaps, crop, first, end, 2 * pair + half, wide)
            for row in range(0, HIGH, wide):
                transpose_(tile, row * line + half * wide, line, back, half * wide * HIGH + row, HIGH)
        at = begin + pair * bonds * line
        for q in range(0, bonds, 4):
            four = place_four(at, line, q, bonds)
            for row in range(0, HIGH, line):
                to = place_four(row, HIGH, q, bonds)
                multiply_four_(packed, four, 1, back, row, wide, HIGH, line, sums, to, wide, pair > 0)
            above = place_four(first * bonds, 1, q, bonds)
            multiply_four_(left, above, bonds, tile, 0, wide, line, end - first, own, four, wide, more)
    for row in range(first, end):
        for q in range(bonds):
            total = sums[q * HIGH + row - first]
            left_grad[row, q] = total + left_grad[row, q] if again else total


@compiled
def add_parts_(
    parts: Any, busy: int, columns: Any, overlaps: Any, right_grad: Any, wide: int, number: int, count: int
) -> None:
    """The right side's gradient, of so many threads' parts: a thread's share of the vectors."""
    (bonds, length), into, spare = right_grad.shape, right_grad.reshape(-1), np.empty(wide, parts.dtype)
    for u in range(number * len(columns) // count, (number + 1) * len(columns) // count):
        at, to = u // 2 * bonds * 2 * wide + u % 2 * wide, columns[u]
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
            at += 2 * wide
            to += length


@inlined
def _read_(
    tile: Any, at: int, line: int, grad: Any, rows: Any, vectors: Any, overlaps: Any, crop: Any, first: int, end: int,
    u: int, wide: int,
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
        at += line
