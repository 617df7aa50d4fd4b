"""A weight made tile by tile and multiplied by inputs at once, and back: the loops.

A tile holds the entries of as many outputs as two vectors have places, for all inputs or for a part of them, input by
input. It is made where it lies, a few products of a row of one half and columns of the other, and never leaves the
cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import inlined, merged
from adqc.engine.block_loops import SHARED, transpose_part_
from adqc.engine.placed_loops import add_parts_, count_room, multiply_block_, pack_, pull_block_, turn_packed_
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import wait
from adqc.vectors import fill, load, plus, store


@merged
def apply_part_(
    x: Any, bias: Any, left: Any, right: Any, packed: Any, found: Any, tables: Any, sizes: Any, wide: int,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the outputs.

    Args:
        x: (batch, columns), the inputs.
        bias: (rows,), or (0,) where there is none.
        left: (…, bonds), see :class:`adqc.engine.tiles.Tiles`.
        right: (bonds, …).
        packed: Gets the right side, see :func:`adqc.engine.placed_loops.multiply_part_`.
        found: (batch, rows): gets the outputs.
        tables: See there.
        sizes: See there.
        wide: Entries of a vector.
        addresses: What threads wait at.
        number: This thread's.
        count: How many threads there are.
    """
    rows, vectors, columns, _, crop = tables
    high, outer, low, inner, lanes, panels, together, part = sizes
    pack_(right, columns, packed, wide, number, count)
    if count > 1:
        wait(addresses[1])
    (batch, shared), bonds, line = x.shape, left.shape[1], 2 * wide
    ours, flat = x.reshape(-1), left.reshape(-1)
    tile, sums = np.empty(part * inner * line, x.dtype), np.empty(batch * line, x.dtype)
    spare = np.empty(8 * wide, x.dtype)
    units = (high + together - 1) // together * panels
    for unit in range(number * units // count, (number + 1) * units // count):
        group, panel = unit // panels, unit % panels
        for top in range(0, outer, part):
            end = min(top + part, outer)
            for row in range(group * together, min((group + 1) * together, high)):
                multiply_block_(
                    flat, row * outer + top, row * outer + end, bonds, packed, panel * inner * lanes * bonds,
                    tile, rows, vectors, crop, spare, wide,
                )  # fmt: skip
            first = top * inner
            length = min((end - top) * inner, shared - first)
            for k in range(0, length, SHARED):
                some = min(SHARED, length - k)
                for n in range(0, batch, 4):
                    four, to = place_four(first + k, shared, n, batch), place_four(0, line, n, batch)
                    multiply_four_(ours, four, 1, tile, k * line, wide, line, some, sums, to, wide, first + k > 0)
        for slot in range(together):
            _write_(sums, slot * lanes, found, bias, (group * together + slot) * low + panel * lanes, lanes, wide)


@inlined
def _write_(sums: Any, at: int, found: Any, bias: Any, first: int, lanes: int, wide: int) -> None:
    """Some outputs, from that one on, of all inputs."""
    batch, rows = found.shape
    into = found.reshape(-1)
    for n in range(batch):
        own, to = 2 * n * wide + at, n * rows + first
        if first + lanes <= rows:
            for j in range(0, lanes, wide):
                total = load(sums, own + j)
                store(into, to + j, plus(total, load(bias, first + j)) if len(bias) > 0 else total)
        else:
            for j in range(rows - first):
                into[to + j] = sums[own + j] + bias[first + j] if len(bias) > 0 else sums[own + j]


@merged
def pull_inputs_part_(
    x: Any, turned: Any, grad: Any, left: Any, packed: Any, across: Any, left_grad: Any, right_grad: Any, parts: Any,
    last: Any, tables: Any, sizes: Any, wide: int, addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the sides' gradients, and of the bias'.

    Args:
        x: As of :func:`apply_part_`, as what is not named here.
        turned: (columns, batch): gets the inputs, transposed.
        grad: (batch, rows), of the outputs.
        left: The same.
        packed: What that has made of the right side.
        across: As long, or empty: gets the same transposed, see :func:`adqc.engine.placed_loops.pull_part_`.
        left_grad: As large as ``left``: gets its gradient.
        right_grad: As large as the right side: gets its gradient.
        parts: (threads, …): gets the threads' parts of this.
        last: (rows,), or (0,) where it is not wanted: gets the bias'.
        tables: The same.
        sizes: The same.
        wide: The same.
        addresses: The same.
        number: The same.
        count: The same.
    """
    rows, vectors, columns, overlaps, crop = tables
    high, outer, low, inner, lanes, panels, together, part = sizes
    transpose_part_(x, turned, wide, addresses, number, count)
    turn_packed_(packed, left.shape[1], across, wide, number, count)
    if count > 1:
        wait(addresses[1])
    (batch, shared), bonds, line = x.shape, left.shape[1], 2 * wide
    theirs, flat = turned.reshape(-1), left.reshape(-1)
    groups = (high + together - 1) // together
    # Others have no outputs.
    busy = min(count, groups)
    if number < busy:
        own, room = parts[number], np.zeros(count_room(bonds, wide), x.dtype)
        tile, grads = np.empty(part * inner * line, x.dtype), np.empty(batch * line, x.dtype)
        begin = number * groups // busy
        for group in range(begin, (number + 1) * groups // busy):
            for panel in range(panels):
                for slot in range(together):
                    at = (group * together + slot) * low + panel * lanes
                    _read_(grads, slot * lanes, grad, last, at, lanes, wide)
                for top in range(0, outer, part):
                    end = min(top + part, outer)
                    first = top * inner
                    length = min((end - top) * inner, shared - first)
                    for k in range(0, batch, SHARED):
                        some = min(SHARED, batch - k)
                        for c in range(0, length, 4):
                            four = place_four(first * batch + k, batch, c, length)
                            to = place_four(0, line, c, length)
                            multiply_four_(theirs, four, 1, grads, k * line, wide, line, some, tile, to, wide, k > 0)
                    tile[length * line : (end - top) * inner * line] = 0
                    for row in range(group * together, min((group + 1) * together, high)):
                        more = group > begin or top > 0 or row > group * together
                        pull_block_(
                            tile, flat, row * outer + top, row * outer + end, bonds, packed, across,
                            panel * inner * lanes * bonds, left_grad, panel > 0, own, more, rows, vectors, overlaps,
                            crop, room, wide,
                        )  # fmt: skip
    if count > 1:
        wait(addresses[1])
    add_parts_(parts, busy, columns, overlaps, right_grad, wide, number, count)


@inlined
def _read_(grads: Any, at: int, grad: Any, last: Any, first: int, lanes: int, wide: int) -> None:
    """The gradients of some outputs, from that one on, zeros where there is none; and their sums."""
    batch, rows = grad.shape
    given, zero = grad.reshape(-1), fill(grad.dtype.type(0))
    for j in range(0, lanes, wide):
        if first + j + wide <= rows:
            total = zero
            for n in range(batch):
                one = load(given, n * rows + first + j)
                store(grads, 2 * n * wide + at + j, one)
                total = plus(total, one)
            if len(last) > 0:
                store(last, first + j, total)
            continue
        for n in range(batch):
            for k in range(j, j + wide):
                grads[2 * n * wide + at + k] = grad[n, first + k] if first + k < rows else 0
        if len(last) > 0:
            for k in range(first + j, min(first + j + wide, rows)):
                last[k] = 0
                for n in range(batch):
                    last[k] += grad[n, k]
