"""Rows times vectors of neighbouring columns: the innermost loops of products.

Where something lies is told by its place in a flat array. Four rows times two vectors are as many sums as keep a core
busy.
"""

from __future__ import annotations

from typing import Any

from adqc.compiled import compiled, inlined
from adqc.vectors import fill, load, repeat, store, times_plus


@inlined
def place_four(at: int, line: int, row: int, rows: int) -> Any:
    """Where four rows lie: the first of all, how far they are apart, the first of the four, and the one behind the last
    that is there, which comes again where fewer are left."""
    last = rows - 1
    return (
        at + row * line,
        at + min(row + 1, last) * line,
        at + min(row + 2, last) * line,
        at + min(row + 3, last) * line,
    )


@inlined
def multiply_four_(
    left: Any, four: Any, step: int, right: Any, begin: int, gap: int, jump: int, shared: int, found: Any, to: Any,
    apart: int, more: bool,
) -> None:  # fmt: skip
    """Four rows times two vectors.

    Args:
        left: The rows, flat.
        four: Where each of them begins.
        step: How far apart its entries lie.
        right: For each entry of the shared side two vectors, flat.
        begin: Where the first one lies.
        gap: How far apart the two lie.
        jump: How far apart those of neighbouring entries lie.
        shared: How many entries the shared side has.
        found: Gets the result, flat.
        to: Where each row's first vector lies.
        apart: How far apart its two vectors lie.
        more: Whether the result is added to what is there.
    """
    r0, r1, r2, r3 = four
    p0, p1, p2, p3 = to
    zero = fill(left.dtype.type(0))
    a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
    if more:
        a0, a1, a2, a3 = load(found, p0), load(found, p1), load(found, p2), load(found, p3)
        b0, b1 = load(found, p0 + apart), load(found, p1 + apart)
        b2, b3 = load(found, p2 + apart), load(found, p3 + apart)
    x, q, end = begin, 0, shared * step
    while q < end:
        a, b = load(right, x), load(right, x + gap)
        g = repeat(left, r0 + q)
        a0, b0 = times_plus(g, a, a0), times_plus(g, b, b0)
        g = repeat(left, r1 + q)
        a1, b1 = times_plus(g, a, a1), times_plus(g, b, b1)
        g = repeat(left, r2 + q)
        a2, b2 = times_plus(g, a, a2), times_plus(g, b, b2)
        g = repeat(left, r3 + q)
        a3, b3 = times_plus(g, a, a3), times_plus(g, b, b3)
        x += jump
        q += step
    store(found, p0, a0)
    store(found, p1, a1)
    store(found, p2, a2)
    store(found, p3, a3)
    store(found, p0 + apart, b0)
    store(found, p1 + apart, b1)
    store(found, p2 + apart, b2)
    store(found, p3 + apart, b3)


@compiled
def multiply_rows_(
    left: Any, at: int, line: int, rows: int, right: Any, begin: int, gap: int, jump: int, shared: int, found: Any,
    to: int, below: int, apart: int, more: bool,
) -> None:  # fmt: skip
    """Some rows times two vectors.

    Args:
        left: The rows, flat.
        at: Where the first one begins.
        line: How far apart they lie.
        rows: How many there are.
        right: As of :func:`multiply_four_`, as what is not named here.
        begin: The same.
        gap: The same.
        jump: The same.
        shared: The same.
        found: The same.
        to: Where the first row's first vector lies.
        below: How far apart the rows' lie.
        apart: The same.
        more: The same.
    """
    for row in range(0, rows, 4):
        four, places = place_four(at, line, row, rows), place_four(to, below, row, rows)
        multiply_four_(left, four, 1, right, begin, gap, jump, shared, found, places, apart, more)
