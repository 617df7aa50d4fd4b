"""Rows of a weight looked up in a chain's two pieces, in compiled loops, as arrays.

Some bits of a row's number choose a slice of the first piece, the others one of the second, and the row is the product
of these two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.engine import block_loops
from adqc.engine.arrange import widen
from adqc.engine.chain import Chain
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries

# Entries of a gradient up to which each thread has one of its own, for its part of the rows. Of larger ones each thread
# takes the slices whose numbers are its own, of all rows.
SMALL = 2**16
# Bonds of a single slice up to which it is spread out where that spares writing columns that are not kept.
FEW = 64

# Some rows, and what makes the gradients of what they are made of of their own.
Rows = tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]


def fits_lookup(chain: Chain, itemsize: int) -> bool:
    """Whether :func:`look_up_arrays` takes such pieces: the second one's columns fill vectors."""
    return chain.columns[1] % count_entries(itemsize) == 0


def look_up_arrays(index: NumpyArray, left: NumpyArray, right: NumpyArray, columns: int) -> Rows:
    """Rows of the weight, as :func:`adqc.engine.apply.look_up` has them.

    Args:
        index: (n,), which rows.
        left: (rows, bonds, columns) of the first piece, real.
        right: The same of the second one, see :func:`fits_lookup`.
        columns: Number of columns that are kept.

    Returns:
        (n, columns); and what makes the gradients of both of its gradient.
    """
    # A copy: loops do not check it again, and whoever shares its memory may write into it before the backward pass.
    index = np.array(index, np.int64)
    if len(right) > 1:
        return _look_up_in_both(index, np.ascontiguousarray(left), np.ascontiguousarray(right), columns)
    (_, bonds, first), (_, _, second) = left.shape, right.shape
    spread_out = first > 1 and columns < first * second and first * bonds <= FEW
    return (_look_up_spread_out if spread_out else _look_up_in_one)(index, left, right, columns)


def _look_up_in_one(index: NumpyArray, left: NumpyArray, right: NumpyArray, columns: int) -> Rows:
    """All rows meet the same slice of the second piece: one product."""
    (high, bonds, first), (_, _, second), wide = left.shape, right.shape, count_entries(left.itemsize)
    if first == 1 and columns >= wide:
        right = right[:, :, :columns]
    # The first piece is made with its bonds last.
    taken = left.transpose(0, 2, 1)[index].reshape(-1, bonds)
    made = np.empty((1, len(taken), right.shape[2]), left.dtype)
    block_loops.spread(taken, right, made)
    found = np.ascontiguousarray(made.reshape(len(index), -1)[:, :columns])

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        own = widen(grad, (len(index), first * right.shape[2])).reshape(1, len(taken), right.shape[2])
        other = np.empty(right.shape, right.dtype)
        block_loops.spread(block_loops.transpose(taken), own, other)
        pulled = np.zeros((high, first * bonds), left.dtype)
        rows = block_loops.add_up(own, right).reshape(len(index), -1)
        _scatter_(*find_team(rows.size), index, rows, pulled)
        more = np.zeros((1, bonds, second - right.shape[2]), left.dtype)
        return pulled.reshape(high, first, bonds).transpose(0, 2, 1), np.concatenate([other, more], axis=2)

    return found, pull


def _look_up_spread_out(index: NumpyArray, left: NumpyArray, right: NumpyArray, columns: int) -> Rows:
    """The same with the first piece's columns as bonds: what these meet of the second one lies on a diagonal."""
    (high, bonds, first), (_, _, second) = left.shape, right.shape
    matrix = np.zeros((first, bonds, first, second), left.dtype)
    for k in range(first):
        matrix[k, :, k] = right[0]
    sides = left.transpose(0, 2, 1).reshape(high, -1, 1), matrix.reshape(1, -1, first * second)
    found, pull_found = _look_up_in_one(index, *sides, columns)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        own, other = pull_found(grad)
        diagonal = other.reshape(1, first, bonds, first, second).diagonal(axis1=1, axis2=3)
        return own.reshape(high, first, bonds).transpose(0, 2, 1), diagonal.sum(-1)

    return found, pull


def _look_up_in_both(index: NumpyArray, left: NumpyArray, right: NumpyArray, columns: int) -> Rows:
    (high, bonds, first), (low, _, second), kind = left.shape, right.shape, left.dtype
    wide = count_entries(left.itemsize)
    # Of the first piece's columns only so many hold any that are kept.
    some = -(-columns // second)
    made = np.empty((len(index), some * second), kind)
    team = find_team(made.size * bonds // WORK)
    _look_up_(*team, index, left, right, made, some, wide)
    found = made if some * second == columns else np.ascontiguousarray(made[:, :columns])

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        # Bonds that do not fill vectors have zeros behind them.
        filled = bonds + -bonds % wide
        across = np.zeros((low, second, filled), kind)
        across[:, :, :bonds] = right.transpose(0, 2, 1)
        pulled, other = (
            np.zeros((team.size if size <= SMALL else 1, *shape), kind)
            for size, shape in ((left.size, (high, first, filled)), (right.size, right.shape))
        )
        seeds = np.ascontiguousarray(widen(grad, made.shape))
        _pull_(*team, index, left, across, seeds, pulled, other, some, wide)
        return np.ascontiguousarray(pulled.sum(0)[:, :, :bonds].transpose(0, 2, 1)), other.sum(0)

    return found, pull


@compiled
def _scatter_(addresses: Any, number: int, count: int, index: Any, rows: Any, found: Any) -> None:
    if number < 0:
        split(addresses, number, count)
        return
    for k in range(len(index)):
        if index[k] % count == number:
            for j in range(rows.shape[1]):
                found[index[k], j] += rows[k, j]


@compiled
def _look_up_(
    addresses: Any, number: int, count: int, index: Any, left: Any, right: Any, found: Any, some: int, wide: int
) -> None:
    if number < 0:
        split(addresses, number, count)
        return
    (_, bonds, first), (low, _, second) = left.shape, right.shape
    ours, theirs, into = left.reshape(-1), right.reshape(-1), found.reshape(-1)
    for k in range(number * len(index) // count, (number + 1) * len(index) // count):
        one, other = index[k] // low * first * bonds, index[k] % low * bonds * second
        for column in range(0, second, 2 * wide):
            apart = wide if column + wide < second else 0
            for row in range(0, some, 4):
                four, to = place_four(one, 1, row, some), place_four(k * some * second + column, second, row, some)
                multiply_four_(ours, four, first, theirs, other + column, apart, second, bonds, into, to, apart, False)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, index: Any, left: Any, across: Any, grad: Any, pulled: Any, other: Any,
    some: int, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        return
    (_, bonds, first), (low, second, filled) = left.shape, across.shape
    ours, theirs, seeds = left.reshape(-1), across.reshape(-1), grad.reshape(-1)
    # Of what threads share each has its own slices.
    alone, other_alone = len(pulled) < count, len(other) < count
    into, other_into = pulled[0 if alone else number].reshape(-1), other[0 if other_alone else number].reshape(-1)
    begin, end = number * len(index) // count, (number + 1) * len(index) // count
    for k in range(len(index)):
        high_digit, digit, seed = index[k] // low, index[k] % low, k * some * second
        if high_digit % count == number if alone else begin <= k < end:
            for bond in range(0, filled, 2 * wide):
                apart = wide if bond + wide < filled else 0
                for row in range(0, some, 4):
                    four = place_four(seed, second, row, some)
                    to = place_four(high_digit * first * filled + bond, filled, row, some)
                    at = digit * second * filled + bond
                    multiply_four_(seeds, four, 1, theirs, at, apart, filled, second, into, to, apart, True)
        if digit % count == number if other_alone else begin <= k < end:
            for column in range(0, second, 2 * wide):
                apart = wide if column + wide < second else 0
                for bond in range(0, bonds, 4):
                    four = place_four(high_digit * bonds * first, first, bond, bonds)
                    to = place_four(digit * bonds * second + column, second, bond, bonds)
                    multiply_four_(
                        ours, four, 1, seeds, seed + column, apart, second, some, other_into, to, apart, True
                    )
