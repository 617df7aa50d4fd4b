"""What making a chain's pieces and applying them costs, see :mod:`adqc.engine.cost`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from adqc.engine import cost
from adqc.engine.patches import MOST_AXES
from adqc.geometry import Layout, Wiring

# For each piece its rows, columns, left and right bond.
Shapes = Sequence[tuple[int, int, int, int]]
# Inputs from which on products go in compiled loops; a quarter as many may, with zeros for the others. And a
# second piece's columns from which on rows are looked up in loops.
LOOPED = 16


def build_cost(wiring: Wiring, rows: int, columns: int, left: int, right: int) -> float:
    """Making a piece of so many rows and columns, and of such bonds."""
    entries = rows * columns * left * right
    if entries <= 2**MOST_AXES:
        # In loops; a gate acts on half of it on average, as a state grows with its gates.
        adds = len(wiring.gates) * math.log2(rows * columns) / wiring.sites * len(wiring.gates[0])
        return 3 * cost.CALL + 2 * cost.copy(entries, fresh=True) + cost.LOOPED * adds * entries / cost.RATE
    # A layer doubles the bonds: all layers together move and multiply about twice what the last one does.
    calls = len(wiring.layers) * max(1, (rows * columns).bit_length() // 4) * 3
    return calls * cost.CALL + 2 * (cost.copy(entries) + 32 * entries / cost.RATE)


def use_cost(layout: Layout, shapes: Shapes, batch: int, use: str, backwards: bool) -> float:
    """Applying pieces.

    Args:
        layout: The weight's.
        shapes: For each piece its rows, columns, left and right bond.
        batch: Number of inputs.
        use: As for :func:`adqc.engine.chain.make_chain`.
        backwards: Whether the input goes into the last piece first.
    """
    if use == "lookup":
        return _lookup_cost(shapes, batch)
    if use == "conv":
        return _conv_cost(shapes, math.prod(layout.shape[1:]), batch)
    return _apply_cost(shapes, batch, backwards)


def _apply_cost(shapes: Shapes, batch: int, backwards: bool) -> float:
    """The products of a chain, and turning input and output so that the batch lies last."""
    columns, rows = 1, 1
    for row, column, _, _ in shapes:
        rows, columns = rows * row, columns * column
    # Loops turn a part of the batch at a time, and go on with it at once.
    fresh = batch >= LOOPED
    loops = find_loops(shapes, batch, "linear", backwards)
    if loops:
        return _thin_cost(shapes, batch) if loops == "thin" else pair_cost(shapes, batch, gated=False)
    seconds = sum(cost.copy(batch * side, fresh=fresh) for side in (rows, columns)) + (6 + 3 * len(shapes)) * cost.CALL
    done, left = 1, columns
    for row, column, before, after in reversed(shapes) if backwards else shapes:
        inner, outer = (after, before) if backwards else (before, after)
        left //= column
        items, rest = (left, done) if backwards else (done, left)
        sides = items, row * outer, column * inner
        looped = cost.spread(*sides, rest * max(batch, LOOPED))
        if 4 * batch < LOOPED:
            seconds += cost.batched(*sides, rest * batch)
        else:
            seconds += looped if batch >= LOOPED else min(looped, cost.batched(*sides, rest * batch))
        done *= row
    return seconds


def pair_cost(shapes: Shapes, batch: int, *, gated: bool) -> float:
    """The same of two pieces backwards in the loops of :mod:`adqc.engine.pair`."""
    (above, ahead, _, bond), (below, behind, _, _) = shapes
    entries = below * bond * ahead * (batch + -batch % LOOPED)
    # They take four rows and two vectors at a time.
    adds = _fill(above) + _fill(behind) * max(1.0, 2 / bond) + 4 * gated
    turned = cost.ELEMENT * batch * (above * below + ahead * behind) / cost.CACHED
    # Both pieces are brought into order.
    turned += 2 * cost.copy(bond * (above * ahead + below * behind), fresh=True)
    return 12 * cost.CALL + turned + cost.PAIRED * entries * adds / cost.RATE


def _thin_cost(shapes: Shapes, batch: int) -> float:
    """The same in the loops of :mod:`adqc.engine.thin`."""
    (above, ahead, _, bond), (_, behind, _, _) = shapes
    sides = above + behind
    # They take four inputs at a time, and read and write these where they lie.
    seconds = 8 * cost.CALL + cost.PLACED * (batch + -batch % 4) * ahead * bond * sides / cost.RATE
    size = cost.ELEMENT * batch * (above + ahead * behind)
    # Both pieces are brought into order.
    seconds += 2 * cost.copy(ahead * bond * sides, fresh=True)
    return seconds + size / (cost.CACHED if size < cost.CACHE else cost.BYTES)


def find_loops(shapes: Shapes, batch: int, use: str, backwards: bool) -> str:
    """Which loops of their own such pieces go in: those of a thin pair, of a pair, or none."""
    if use != "linear" or not backwards or len(shapes) != 2:
        return ""
    if shapes[1][0] == 1:
        return "thin" if shapes[1][1] >= 2 * LOOPED else ""
    return "pair" if batch >= LOOPED and min(side for shape in shapes for side in shape[:2]) > 1 else ""


def _fill(side: int) -> float:
    """A side that one product in three takes in pairs of vectors."""
    return (2 * side + max(side, 2 * LOOPED)) / 3


def _conv_cost(shapes: Shapes, columns: int, batch: int) -> float:
    """A convolution with as many channels as the bond and the second piece's rows, and the product that mixes them."""
    (high, _, _, bond), (low, _, _, _) = shapes
    seconds = 10 * cost.CALL + cost.dense(bond * low, columns, batch, use="conv")
    return seconds + cost.product(high, bond, low * batch) + cost.copy(batch * high * low)


def _lookup_cost(shapes: Shapes, batch: int) -> float:
    """Gathering a slice of each piece for every index, and the products of these."""
    (_, first, _, bond), (low, second, _, _) = shapes
    seconds = 8 * cost.CALL + cost.ELEMENT * batch * first * second / cost.BYTES
    if low == 1:
        return seconds + cost.copy(batch * first * bond) + cost.placed(batch * first, bond, second)
    if second < LOOPED:
        return seconds + cost.copy(batch * bond * (first + second)) + cost.batched(batch, first, bond, second)
    # Loops take four rows and two vectors at a time.
    seconds += cost.placed(batch * -(-first // 4) * 4, bond, max(second, 2 * LOOPED))
    return seconds + cost.ELEMENT * batch * bond * (first + second) / cost.CACHED
