"""Applying a chain's pieces to inputs in compiled loops, as arrays.

Where the batch is large, parts of it go through all pieces one after another, so that what lies between these stays in
the cache.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from adqc.arrays import NumpyArray
from adqc.engine import block_loops
from adqc.engine.arrange import widen
from adqc.engine.chain import Chain
from adqc.engine.pair import Pulled, apply_pair, suits_pair
from adqc.engine.products import fill_up
from adqc.engine.thin import apply_thin, suits_thin
from adqc.vectors import count_entries

# Bytes that inputs may take up between the pieces, at least and at most: as much as half of the batch itself takes, but
# no more than cores keep near them. And how many inputs go through together at least, as narrower products are slow.
AT_ONCE, AT_MOST, LEAST = 2**20, 2**22, 16
# Entries that all matrices are multiplied by up to which three in four may be zeros that fill vectors, not one in two.
FILLED = 2**18
# Bytes of what the matrices are multiplied by up to which that is kept for the backward pass.
KEPT = 5 * 2**20


def count_together(entries: int, chain: Chain, itemsize: int) -> int:
    """How many inputs go through all pieces together."""
    room = min(max(AT_ONCE, entries * itemsize // 2), AT_MOST)
    return max(LEAST, room // (chain.widest * itemsize))


def goes_at_once(batch: int, itemsize: int, chain: Chain) -> bool:
    """Whether :func:`apply_arrays` takes so many inputs."""
    if suits_thin(chain, itemsize) or fill_up(batch, itemsize) is not None:
        return True
    filled = count_entries(itemsize)
    return 4 * batch >= filled and filled * chain.met <= FILLED


def apply_arrays(
    x: NumpyArray, matrices: Sequence[NumpyArray], chain: Chain, rows: int, *, bias: NumpyArray | None = None,
    trained: bool = False,
) -> tuple[NumpyArray, Callable[..., Pulled]]:  # fmt: skip
    """The weight times each input, as :func:`adqc.engine.apply.apply_chain` has it; see :func:`goes_at_once`.

    Args:
        x: (batch, columns before the padding).
        matrices: What :func:`adqc.engine.apply.as_matrices` returned.
        chain: The chain.
        rows: Number of rows that are kept.
        bias: (rows,), what is added.
        trained: Whether there may be a gradient.

    Returns:
        (batch, rows); and what makes of its gradient that of x, where that is wanted, those of the matrices, and the
        bias'.
    """
    if suits_thin(chain, x.itemsize):
        return apply_thin(x, bias, matrices, chain, rows)
    if suits_pair(chain):
        return apply_pair(x, bias, matrices, chain, rows, trained=trained)
    ends = _ends(len(x), x.shape[1], chain, x.itemsize)
    made, kept = np.empty((len(x), rows), x.dtype), []
    is_kept = trained and len(x) * chain.met * x.itemsize <= KEPT
    for first, end in pairwise(ends):
        operands = deque(_operands(x[first:end], matrices, chain), None if is_kept else 1)
        found = _multiply(matrices[-1], operands[-1])
        _turn_back_(made[first:end], found.reshape(math.prod(chain.rows), -1))
        if is_kept:
            kept.append(operands)
    if bias is not None:
        made += bias

    def pull(grad: NumpyArray, *, whole: bool) -> Pulled:
        turned = [block_loops.transpose(matrix) if k or whole else None for k, matrix in enumerate(matrices)]
        x_grad = np.empty(x.shape, x.dtype) if whole else None
        total: list[NumpyArray] = []
        for k, (first, end) in enumerate(pairwise(ends)):
            operands = kept[k].copy() if kept else deque(_operands(x[first:end], matrices, chain))
            own, pulled = _pull(_turn(grad[first:end], chain.rows), operands, turned)
            total = [one + other for one, other in zip(total, pulled, strict=True)] if total else pulled
            if x_grad is not None:
                _turn_back_(x_grad[first:end], own.reshape(math.prod(chain.columns), -1))
        return x_grad, total, None if bias is None else grad.sum(0)

    return made, pull


def _ends(batch: int, columns: int, chain: Chain, itemsize: int) -> list[int]:
    """Where the parts of a batch end that go through all pieces one after another, alike and filling vectors."""
    wide = count_entries(itemsize)
    count = -(-batch // max(wide, count_together(batch * columns, chain, itemsize)))
    part = -(-batch // (count * wide)) * wide
    return [*range(0, batch, part), batch]


def _operands(x: NumpyArray, matrices: Sequence[NumpyArray], chain: Chain) -> Iterator[NumpyArray]:
    """What each matrix is multiplied by: (items, columns and bond of the piece, the rest and the batch)."""
    found = _turn(x, chain.columns).reshape(chain.items[0], matrices[0].shape[1], -1)
    yield found
    for done, matrix, items in zip(matrices, matrices[1:], chain.items[1:], strict=False):
        found = _multiply(done, found).reshape(items, matrix.shape[1], -1)
        yield found


def _multiply(matrix: NumpyArray, operand: NumpyArray) -> NumpyArray:
    found = np.empty((len(operand), len(matrix), operand.shape[2]), operand.dtype)
    block_loops.spread(matrix, operand, found)
    return found


def _pull(
    grad: NumpyArray, operands: deque[NumpyArray], turned: Sequence[NumpyArray | None]
) -> tuple[NumpyArray, list[NumpyArray]]:
    """The gradient of the first operand, where its matrix is given, and those of the matrices, given transposed; takes
    the operands away, as what comes next is as large."""
    pulled = []
    for matrix in reversed(turned):
        operand = operands.pop()
        grad = grad.reshape(len(operand), -1, operand.shape[2])
        pulled.append(block_loops.add_up(grad, operand))
        del operand
        if matrix is not None:
            grad = _multiply(matrix, grad)
    return grad, pulled[::-1]


def _turn(items: NumpyArray, sizes: Sequence[int]) -> NumpyArray:
    """(batch, numbers), transposed, with zeros behind as many as there are of such bits, and to fill vectors."""
    batch = len(items)
    return block_loops.transpose(widen(items, (batch + -batch % count_entries(items.itemsize), math.prod(sizes))))


def _turn_back_(found: NumpyArray, items: NumpyArray) -> None:
    """The same back, less what lies behind."""
    own = items[: found.shape[1]]
    if own.shape[1] == len(found):
        block_loops.transpose_into_(found, own)
    else:
        found[:] = block_loops.transpose(own)[: len(found)]
