"""One gate on a window's entries, and its gradient: the innermost loops.

A tile holds a window's part of a state: its sites' values, and for each of these side by side as many others as fill
vectors. Loops count by hand, as machine code divides to find out how often a range is run through.
"""

from __future__ import annotations

from typing import Any

from adqc.compiled import compiled
from adqc.vectors import fill, load, store, times_plus, total


@compiled
def apply_gate_(gate: Any, turned: bool, tile: Any, found: Any, inner: int, far: int, wide: int, planes: int) -> None:
    """What a gate makes of a tile.

    Args:
        gate: (2^k, 2^k), or (2 · 2^k, 2 · 2^k) where there are two planes.
        turned: Whether it is transposed.
        tile: What it acts on, flat.
        found: As large; gets the result.
        inner: How far apart neighbouring values of its last axis lie.
        far: The same of the axis ahead of it.
        wide: Entries of a vector; divides both.
        planes: In how many stretches the tile lies, one behind another; rows of the gate go on in the second one.
    """
    size, entries = len(gate) >> (planes - 1), len(tile) >> (planes - 1)
    span = max(size * inner, 2 * far)
    zero = fill(tile.dtype.type(0))
    below = 0
    for row in range(0, len(gate), 4):
        beside = 0
        for column in range(0, len(gate), 4):
            own = gate[column : column + 4, row : row + 4] if turned else gate[row : row + 4, column : column + 4]
            g00, g01, g02, g03 = fill(own[0, 0]), fill(own[0, 1]), fill(own[0, 2]), fill(own[0, 3])
            g10, g11, g12, g13 = fill(own[1, 0]), fill(own[1, 1]), fill(own[1, 2]), fill(own[1, 3])
            g20, g21, g22, g23 = fill(own[2, 0]), fill(own[2, 1]), fill(own[2, 2]), fill(own[2, 3])
            g30, g31, g32, g33 = fill(own[3, 0]), fill(own[3, 1]), fill(own[3, 2]), fill(own[3, 3])
            if turned:
                g01, g02, g03, g10, g20, g30 = g10, g20, g30, g01, g02, g03
                g12, g13, g23, g21, g31, g32 = g21, g31, g32, g12, g13, g23
            j = 0
            while j < entries:
                end = j + far
                while j < end:
                    last = j + inner
                    while j < last:
                        x, y = j + beside, j + below
                        a, b = load(tile, x), load(tile, x + inner)
                        c, d = load(tile, x + far), load(tile, x + far + inner)
                        s, t, u, v = zero, zero, zero, zero
                        if column > 0:
                            s, t = load(found, y), load(found, y + inner)
                            u, v = load(found, y + far), load(found, y + far + inner)
                        s = times_plus(g00, a, times_plus(g01, b, times_plus(g02, c, times_plus(g03, d, s))))
                        t = times_plus(g10, a, times_plus(g11, b, times_plus(g12, c, times_plus(g13, d, t))))
                        u = times_plus(g20, a, times_plus(g21, b, times_plus(g22, c, times_plus(g23, d, u))))
                        v = times_plus(g30, a, times_plus(g31, b, times_plus(g32, c, times_plus(g33, d, v))))
                        store(found, y, s)
                        store(found, y + inner, t)
                        store(found, y + far, u)
                        store(found, y + far + inner, v)
                        j += wide
                    j += inner
                j += span - far
            beside = entries if column + 4 == size else beside + 4 * inner
        below = entries if row + 4 == size else below + 4 * inner


@compiled
def pull_gate_(own: Any, tile: Any, grad: Any, inner: int, far: int, wide: int, planes: int) -> None:
    """Add a tile's part of a gate's gradient to it.

    Args:
        own: The gate's gradient, as large as the gate.
        tile: What the gate was given.
        grad: The gradient of what it made.
        inner: As of :func:`apply_gate_`, as what follows.
        far: The same.
        wide: The same.
        planes: The same.
    """
    size, entries = len(own) >> (planes - 1), len(tile) >> (planes - 1)
    span = max(size * inner, 2 * far)
    zero = fill(tile.dtype.type(0))
    # More sums than for two rows at once do not find a place in the registers of every machine.
    block = 0
    for row in range(0, len(own), 2):
        below, beside = block + (far if row & 2 else 0), 0
        for column in range(0, len(own), 4):
            s0, s1, s2, s3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
            j = 0
            while j < entries:
                end = j + far
                while j < end:
                    last = j + inner
                    while j < last:
                        x, y = j + beside, j + below
                        a, b = load(tile, x), load(tile, x + inner)
                        c, d = load(tile, x + far), load(tile, x + far + inner)
                        e, f = load(grad, y), load(grad, y + inner)
                        s0, s1 = times_plus(e, a, s0), times_plus(e, b, s1)
                        s2, s3 = times_plus(e, c, s2), times_plus(e, d, s3)
                        t0, t1 = times_plus(f, a, t0), times_plus(f, b, t1)
                        t2, t3 = times_plus(f, c, t2), times_plus(f, d, t3)
                        j += wide
                    j += inner
                j += span - far
            own[row, column] += total(s0)
            own[row, column + 1] += total(s1)
            own[row, column + 2] += total(s2)
            own[row, column + 3] += total(s3)
            own[row + 1, column] += total(t0)
            own[row + 1, column + 1] += total(t1)
            own[row + 1, column + 2] += total(t2)
            own[row + 1, column + 3] += total(t3)
            beside = entries if column + 4 == size else beside + 4 * inner
        if row & 2:
            block = entries if row + 2 == size else block + 4 * inner
