"""Two thin pieces applied to inputs, one after the other, and back: the loops.

The second piece holds columns only, the first one all rows: what lies between them is a few numbers for each input.
Inputs and outputs are read and written where they lie, a few at a time, and a lone one is as good as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled, inlined, merged
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.vectors import fill, load, store, times_plus, total

# Inputs that are taken together.
TOGETHER = 32


@merged
def apply_part_(
    x: Any, found: Any, between: Any, first: Any, second: Any, sizes: Any, wide: int, number: int, count: int
) -> None:
    """A thread's part of the outputs.

    Args:
        x: (batch, parts · inner), the inputs.
        found: (batch, rows): gets the outputs.
        between: (batch, length): gets what the second piece makes of each part of the inputs, with ones behind it where
            something is added.
        first: (bonds, inner), flat: the second piece.
        second: (pairs of vectors, length, 2 wide), flat: the first piece, transposed, with what is added behind it, and
            zeros in place of rows that are not there.
        sizes: parts, inner, bonds.
        wide: Entries of a vector.
        number: This thread's.
        count: How many threads there are.
    """
    parts, inner, bonds = sizes
    (batch, rows), length, line = found.shape, between.shape[1], 2 * wide
    ours, numbers, into, room = x.reshape(-1), between.reshape(-1), found.reshape(-1), np.empty(4 * line, x.dtype)
    groups = (batch + TOGETHER - 1) // TOGETHER
    for group in range(number * groups // count, (number + 1) * groups // count):
        begin, end = group * TOGETHER, min((group + 1) * TOGETHER, batch)
        for item in range(begin, end, 4):
            for part in range(parts):
                four = place_four(part * inner, x.shape[1], item, end)
                to = place_four(part * bonds, length, item, end)
                for q in range(0, bonds, 2):
                    _dot_four_(ours, four, first, q * inner, min(q + 1, bonds - 1) * inner, inner, numbers, to, q, wide)
        for k in range(parts * bonds, length):
            between[begin:end, k] = 1
        _multiply_panels_(numbers, begin, end, length, length, second, into, rows, 0, rows, room, wide)


@inlined
def _dot_four_(
    left: Any, four: Any, right: Any, one: int, other: int, length: int, found: Any, to: Any, at: int, wide: int
) -> None:
    """Four rows times each of two."""
    r0, r1, r2, r3 = four
    p0, p1, p2, p3 = to
    zero = fill(left.dtype.type(0))
    a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
    q = 0
    while q < length:
        g, h = load(right, one + q), load(right, other + q)
        x = load(left, r0 + q)
        a0, b0 = times_plus(x, g, a0), times_plus(x, h, b0)
        x = load(left, r1 + q)
        a1, b1 = times_plus(x, g, a1), times_plus(x, h, b1)
        x = load(left, r2 + q)
        a2, b2 = times_plus(x, g, a2), times_plus(x, h, b2)
        x = load(left, r3 + q)
        a3, b3 = times_plus(x, g, a3), times_plus(x, h, b3)
        q += wide
    found[p0 + at], found[p1 + at], found[p2 + at], found[p3 + at] = total(a0), total(a1), total(a2), total(a3)
    if other > one:
        at += 1
        found[p0 + at], found[p1 + at], found[p2 + at], found[p3 + at] = total(b0), total(b1), total(b2), total(b3)


@compiled
def _multiply_panels_(
    left: Any, begin: int, end: int, line: int, shared: int, right: Any, found: Any, length: int, at: int, columns: int,
    room: Any, wide: int,
) -> None:  # fmt: skip
    """Some rows times a matrix in pairs of vectors, of which the last one may not be filled.

    Args:
        left: The rows, flat, ``line`` apart.
        begin: The first one.
        end: The one behind the last.
        line: See there.
        shared: How many entries of each are taken.
        right: (pairs of vectors, shared, 2 wide), flat.
        found: Gets the product, flat, its rows ``length`` apart.
        length: See there.
        at: Where it begins in the first row.
        columns: How many columns it has.
        room: Room for eight vectors.
        wide: Entries of a vector.
    """
    pair = 2 * wide
    for panel in range((columns + pair - 1) // pair):
        column, first = panel * pair, panel * shared * pair
        for row in range(begin, end, 4):
            four = place_four(0, line, row, end)
            if column + pair <= columns:
                to = place_four(at + column, length, row, end)
                multiply_four_(left, four, 1, right, first, wide, pair, shared, found, to, wide, False)
                continue
            to = place_four(0, pair, 0, 4)
            multiply_four_(left, four, 1, right, first, wide, pair, shared, room, to, wide, False)
            for k in range(row, min(row + 4, end)):
                for j in range(columns - column):
                    found[at + k * length + column + j] = room[(k - row) * pair + j]


@merged
def pull_inputs_part_(
    x: Any, grad: Any, x_grad: Any, between: Any, first_back: Any, second: Any, first_grads: Any, second_grads: Any,
    sizes: Any, wide: int, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the gradients.

    Args:
        x: As of :func:`apply_part_`, as what is not named here.
        grad: (batch, filled rows), of the outputs, with zeros behind them to fill pairs of vectors.
        x_grad: (batch, parts · inner): gets that of the inputs; (0, 0) where it is not wanted.
        between: What that has made.
        first_back: (pairs of vectors, bonds, 2 wide), flat: the second piece.
        second: (parts · bonds, filled rows), flat: the first piece, transposed.
        first_grads: (threads, bonds, inner), zeros: gets parts of that of the second piece.
        second_grads: (threads, length, filled rows), zeros: gets parts of that of the first piece, transposed, and of
            what is added.
        sizes: The same.
        wide: The same.
        number: The same.
        count: The same.
    """
    parts, inner, bonds = sizes
    (batch, rows), length, line = grad.shape, between.shape[1], 2 * wide
    ours, theirs, numbers, into = x.reshape(-1), grad.reshape(-1), between.reshape(-1), x_grad.reshape(-1)
    own_first, own_second = first_grads[number].reshape(-1), second_grads[number].reshape(-1)
    pulled, room = np.empty(TOGETHER * parts * bonds, x.dtype), np.empty(4 * line, x.dtype)
    # Rows that are a power of two apart would take one another's place in the cache.
    panel = np.empty(TOGETHER * line, x.dtype)
    many = parts * bonds
    groups = (batch + TOGETHER - 1) // TOGETHER
    for group in range(number * groups // count, (number + 1) * groups // count):
        begin, end = group * TOGETHER, min((group + 1) * TOGETHER, batch)
        for item in range(begin, end, 4):
            four, to = place_four(0, rows, item, end), place_four(0, many, item - begin, end - begin)
            for q in range(0, many, 2):
                _dot_four_(theirs, four, second, q * rows, min(q + 1, many - 1) * rows, rows, pulled, to, q, wide)
        for column in range(0, rows, line):
            _lay_panel_(theirs, begin * rows + column, rows, end - begin, panel, wide)
            for k in range(0, length, 4):
                four, to = place_four(begin * length, 1, k, length), place_four(column, rows, k, length)
                multiply_four_(numbers, four, length, panel, 0, wide, line, end - begin, own_second, to, wide, True)
        for part in range(parts):
            for column in range(0, inner, line):
                _lay_panel_(ours, begin * x.shape[1] + part * inner + column, x.shape[1], end - begin, panel, wide)
                for k in range(0, bonds, 4):
                    four, to = place_four(part * bonds, 1, k, bonds), place_four(column, inner, k, bonds)
                    multiply_four_(pulled, four, many, panel, 0, wide, line, end - begin, own_first, to, wide, True)
            if len(into) > 0:
                # As if these inputs' numbers were all that there are.
                _multiply_panels_(
                    pulled[part * bonds :], 0, end - begin, many, bonds, first_back,
                    into[begin * x.shape[1] + part * inner :], x.shape[1], 0, inner, room, wide,
                )  # fmt: skip


@inlined
def _lay_panel_(items: Any, at: int, line: int, rows: int, panel: Any, wide: int) -> None:
    """Two vectors of some rows, one row behind another."""
    for k in range(0, rows * 2 * wide, 2 * wide):
        store(panel, k, load(items, at))
        store(panel, k + wide, load(items, at + wide))
        at += line
