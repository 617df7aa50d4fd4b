"""Two pieces applied to inputs, and the gate between them, and back: the loops.

As many inputs as fill a vector go through everything together, for a few values after others of those of the second
piece's rows that the gate does not meet: so what lies between the pieces is made where it is used, and stays in the
nearer caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled, inlined, merged
from adqc.engine.block_loops import SHARED
from adqc.engine.gate_kernels import apply_gate_, pull_gate_
from adqc.engine.product_kernels import multiply_rows_
from adqc.threads import wait
from adqc.vectors import load, plus, repeat, store, transpose_


@merged
def apply_part_(
    x: Any, bias: Any, found: Any, turned: Any, made: Any, kept: Any, first: Any, gate: Any, second: Any, sizes: Any,
    wide: int, addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the outputs.

    Args:
        x: (batch, columns), the inputs.
        bias: (rows,), what is added; or (0,).
        found: (batch, rows): gets the outputs.
        turned: (blocks, columns, wide), flat: room for some inputs, of which as many as fill a vector are a block.
        made: (blocks, rows, wide), flat: room for their outputs.
        kept: Gets what the second piece makes of the first inputs, (blocks of all, low, between, 2, wide), flat, as
            far as it goes.
        first: (low, 2 bonds, inner), flat: the second piece.
        gate: (4, 4), or (0, 0) where there is none.
        second: (high, between), flat: the first piece.
        sizes: high, low, outer, inner, bonds, blocks and some: of the rows how many values the first piece holds, and
            half as many as the second one; of the columns half as many as the first one, and how many the second one;
            the dimension of the bond; how many blocks there is room for; and how many values of ``low`` go together,
            which divides them.
        wide: Entries of a vector.
        addresses: What threads wait at.
        number: This thread's.
        count: How many threads there are.
    """
    high, low, outer, inner, bonds, blocks, some = sizes
    between, total, groups = 2 * outer * bonds, (len(x) + wide - 1) // wide, low // some
    size = between * 2 * wide
    room, meant = np.empty(some * size, x.dtype), np.empty(size, x.dtype)
    for top in range(0, total, blocks):
        here = min(blocks, total - top)
        _turn_in_(x, x[0, :0], top * wide, turned, here, 2 * outer * inner, wide, number, count)
        if count > 1:
            wait(addresses[1])
        for unit in range(number * here * groups // count, (number + 1) * here * groups // count):
            block, row = unit // groups, unit % groups * some
            begin = (top * low + unit * some) * size
            end = begin + some * size
            given = kept[begin:end] if end <= len(kept) else room
            _run_first_(turned, block, first, row, given, sizes, wide)
            for k in range(some):
                own = given[k * size : (k + 1) * size]
                if len(gate) > 0:
                    apply_gate_(gate, False, own, meant, wide, 2 * bonds * wide, wide, 1)
                    own = meant
                to = (block * 2 * high * low + row + k) * wide
                for at in range(0, between, SHARED):
                    multiply_rows_(
                        second, at, between, high, own, 2 * at * wide, wide, 2 * wide, min(SHARED, between - at), made,
                        to, 2 * low * wide, low * wide, at > 0,
                    )  # fmt: skip
        if count > 1:
            wait(addresses[1])
        _turn_out_(made, 1, here, 2 * high * low, bias, found, top * wide, wide, number, count)


@inlined
def _run_first_(turned: Any, block: int, first: Any, row: int, given: Any, sizes: Any, wide: int) -> None:
    """What the second piece makes of a block of inputs, for some values of its rows from that one on."""
    _, _, outer, inner, bonds, _, some = sizes
    high, size = 2 * bonds, 4 * outer * bonds * wide
    for pair in range(outer):
        begin = (block * outer + pair) * 2 * inner * wide
        for k in range(some):
            multiply_rows_(
                first, (row + k) * high * inner, inner, high, turned, begin, inner * wide, wide, inner, given,
                k * size + pair * 2 * high * wide, wide, high * wide, False,
            )  # fmt: skip


@merged
def pull_inputs_part_(
    x: Any, grad: Any, x_grad: Any, turned: Any, beside: Any, grads: Any, pulled: Any, kept: Any, first: Any,
    first_back: Any, gate: Any, second_back: Any, first_grads: Any, gate_grads: Any, second_grads: Any, bias_grads: Any,
    sizes: Any, wide: int, addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """A thread's part of the gradients.

    Args:
        x: As of :func:`apply_part_`, as what is not named here.
        grad: (batch, rows), of the outputs.
        x_grad: (batch, columns): gets that of the inputs; (0, 0) where it is not wanted.
        turned: The same; empty where all is kept.
        beside: (blocks, 2 outer, wide, filled inner), flat: room for some inputs, the last side filled with zeros to a
            number of pairs of vectors.
        grads: (blocks, rows, wide), flat: room for their outputs' gradients.
        pulled: (threads, blocks, columns, wide): room for parts of their own, or empty.
        kept: What that has kept.
        first: The same.
        first_back: (low, inner, 2 bonds), flat: the same transposed, or empty as ``x_grad``.
        gate: The same.
        second_back: (between, high), flat.
        first_grads: (threads, low, 2 bonds, filled inner), zeros: gets parts of that of ``first``.
        gate_grads: (threads, 4, 4), zeros: gets parts of that of the gate.
        second_grads: (threads, between, filled high), zeros: gets parts of that of ``second``, transposed.
        bias_grads: (threads, rows), zeros: gets parts of that of what is added; or (threads, 0).
        sizes: The same.
        wide: The same.
        addresses: The same.
        number: The same.
        count: The same.
    """
    high, low, outer, inner, bonds, blocks, some = sizes
    between, total, line, groups = 2 * outer * bonds, (len(x) + wide - 1) // wide, 2 * wide, low // some
    size, filled, across = between * line, -(-inner // line) * line, -(-high // line) * line
    room, last = np.empty(some * size, x.dtype), np.empty(some * size, x.dtype)
    meant, own = np.empty(size, x.dtype), np.empty(size, x.dtype)
    pair, flat = np.empty(high * line, x.dtype), np.zeros(line * across, x.dtype)
    own_first, own_second = first_grads[number].reshape(-1), second_grads[number].reshape(-1)
    whole = len(pulled) > 0
    for top in range(0, total, blocks):
        here = min(blocks, total - top)
        if (top + here) * low * size > len(kept):
            _turn_in_(x, x[0, :0], top * wide, turned, here, 2 * outer * inner, wide, number, count)
        _lay_beside_(x, top * wide, beside, here, sizes, filled, wide, number, count)
        _turn_in_(grad, bias_grads[number], top * wide, grads, here, 2 * high * low, wide, number, count)
        if whole:
            pulled[number] = 0
        if count > 1:
            wait(addresses[1])
        for unit in range(number * here * groups // count, (number + 1) * here * groups // count):
            block, row = unit // groups, unit % groups * some
            begin = (top * low + unit * some) * size
            end = begin + some * size
            given = kept[begin:end] if end <= len(kept) else room
            if end > len(kept):
                _run_first_(turned, block, first, row, given, sizes, wide)
            for k in range(some):
                one, pulled_one = given[k * size : (k + 1) * size], last[k * size : (k + 1) * size]
                _read_pair_(grads, block, row + k, pair, flat, across, sizes, wide)
                if len(gate) > 0:
                    apply_gate_(gate, False, one, meant, wide, 2 * bonds * wide, wide, 1)
                    _pull_second_(pair, flat, second_back, meant, own, own_second, high, across, between, line)
                    pull_gate_(gate_grads[number], one, own, wide, 2 * bonds * wide, wide, 1)
                    apply_gate_(gate, True, own, pulled_one, wide, 2 * bonds * wide, wide, 1)
                else:
                    _pull_second_(pair, flat, second_back, one, pulled_one, own_second, high, across, between, line)
            for item in range(2 * outer):
                for k in range(some):
                    to = (row + k) * 2 * bonds * filled
                    for at in range(0, filled, line):
                        multiply_rows_(
                            last, k * size + item * bonds * line, wide, 2 * bonds, beside,
                            (block * 2 * outer + item) * wide * filled + at, wide, filled, wide, own_first, to + at,
                            filled, wide, True,
                        )  # fmt: skip
            if whole:
                for item in range(outer):
                    for k in range(some):
                        multiply_rows_(
                            first_back, (row + k) * inner * 2 * bonds, 2 * bonds, inner, last,
                            k * size + item * 2 * bonds * line, bonds * line, wide, 2 * bonds, pulled[number],
                            (block * outer + item) * inner * line, wide, inner * wide, True,
                        )  # fmt: skip
        if count > 1:
            wait(addresses[1])
        if whole:
            _turn_out_(
                pulled.reshape(-1), count, here, 2 * outer * inner, x[0, :0], x_grad, top * wide, wide, number, count
            )
            if count > 1:
                wait(addresses[1])


@compiled
def _pull_second_(
    pair: Any, flat: Any, second_back: Any, given: Any, found: Any, own: Any, high: int, across: int, between: int,
    line: int,
) -> None:  # fmt: skip
    """The gradient of what the first piece is given, and its own."""
    wide = line // 2
    for k in range(0, across, line):
        multiply_rows_(given, 0, line, between, flat, k, wide, across, line, own, k, across, wide, True)
    multiply_rows_(second_back, 0, high, between, pair, 0, wide, line, high, found, 0, line, wide, False)


@inlined
def _read_pair_(grads: Any, block: int, row: int, pair: Any, flat: Any, across: int, sizes: Any, wide: int) -> None:
    """The gradients of a block's outputs for one value of the rows, (high, 2, wide), and the same with the first side
    last."""
    high, low, _, _, _, _, _ = sizes
    for k in range(2 * high):
        store(pair, k * wide, load(grads, (block * 2 * high * low + k * low + row) * wide))
    for half in range(2):
        done = 0
        while done + wide <= high:
            transpose_(pair, (2 * done + half) * wide, 2 * wide, flat, half * wide * across + done, across)
            done += wide
        for k in range(done, high):
            for j in range(wide):
                flat[(half * wide + j) * across + k] = pair[(2 * k + half) * wide + j]


@compiled
def _turn_in_(
    items: Any, sums: Any, begin: int, turned: Any, blocks: int, length: int, wide: int, number: int, count: int
) -> None:
    """A thread's part of (batch, numbers) -> (blocks, length, wide), from an input on, with zeros where there is
    nothing; and, added to what is there, of the sums over the batch, (numbers,) or (0,)."""
    (batch, numbers), flat = items.shape, items.reshape(-1)
    parts = (length + wide - 1) // wide
    for unit in range(number * blocks * parts // count, (number + 1) * blocks * parts // count):
        block, column = unit // parts, unit % parts * wide
        item, to = begin + block * wide, (block * length + column) * wide
        if item + wide <= batch and column + wide <= numbers and column + wide <= length:
            transpose_(flat, item * numbers + column, numbers, turned, to, wide)
            if len(sums) > 0:
                whole = load(sums, column)
                for j in range(wide):
                    whole = plus(whole, load(flat, (item + j) * numbers + column))
                store(sums, column, whole)
            continue
        for k in range(min(wide, length - column)):
            for j in range(wide):
                there = item + j < batch and column + k < numbers
                turned[to + k * wide + j] = items[item + j, column + k] if there else 0
                if there and len(sums) > 0:
                    sums[column + k] += items[item + j, column + k]


@compiled
def _turn_out_(
    made: Any, parts: int, blocks: int, length: int, bias: Any, found: Any, begin: int, wide: int, number: int,
    count: int,
) -> None:  # fmt: skip
    """A thread's part of the way back, the sum of so many parts, and with what is added."""
    (batch, numbers), flat, apart = found.shape, found.reshape(-1), len(made) // parts
    square, chunks = np.empty(wide * wide, made.dtype), (min(length, numbers) + wide - 1) // wide
    for unit in range(number * blocks * chunks // count, (number + 1) * blocks * chunks // count):
        block, column = unit // chunks, unit % chunks * wide
        item, at = begin + block * wide, (block * length + column) * wide
        for k in range(min(wide, length - column)):
            total = load(made, at + k * wide)
            for part in range(1, parts):
                total = plus(total, load(made, part * apart + at + k * wide))
            if column + k < len(bias):
                total = plus(total, repeat(bias, column + k))
            store(square, k * wide, total)
        if item + wide <= batch and column + wide <= numbers:
            transpose_(square, 0, wide, flat, item * numbers + column, numbers)
            continue
        for j in range(min(wide, batch - item)):
            for k in range(min(wide, numbers - column)):
                found[item + j, column + k] = square[k * wide + j]


@compiled
def _lay_beside_(
    x: Any, begin: int, beside: Any, blocks: int, sizes: Any, filled: int, wide: int, number: int, count: int
) -> None:
    """A thread's part of (batch, columns) -> (blocks, 2 outer, wide, filled inner)."""
    _, _, outer, inner, _, _, _ = sizes
    batch, columns = x.shape
    flat = x.reshape(-1)
    for unit in range(number * blocks * wide // count, (number + 1) * blocks * wide // count):
        block, j = unit // wide, unit % wide
        item = begin + block * wide + j
        for pair in range(2 * outer):
            to, at = ((block * 2 * outer + pair) * wide + j) * filled, pair * inner
            there = min(inner, columns - at) if item < batch else 0
            k = 0
            while k + wide <= there:
                store(beside, to + k, load(flat, item * columns + at + k))
                k += wide
            for rest in range(k, filled):
                beside[to + rest] = flat[item * columns + at + rest] if rest < there else 0
