"""Matrix products whose backward pass takes the fast form of each product."""

from __future__ import annotations

from collections.abc import Sequence
from operator import matmul
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import as_array, is_plain, is_traced, multiply_tensors, own_backward
from adqc.engine import block_loops
from adqc.vectors import count_entries

# Entries that the gradient of a matrix may take in between.
AT_ONCE = 2**17
# A shared side from which on a product is fast in any form.
NARROW = 16


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for a narrow shared side: (m, k) x (k, n) -> (m, n), k far below m and n."""
    if not own_backward():
        return left @ right if is_traced() else multiply_tensors(left, right)
    found: Tensor = _Multiply.apply(left, right)  # type: ignore[no-untyped-call]
    return found


class _Multiply(torch.autograd.Function):
    """autograd's own choice of operands, by their strides, is up to ten times slower for narrow matrices."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return multiply_tensors(left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        product = matmul if torch.is_grad_enabled() else multiply_tensors
        first = None
        if ctx.needs_input_grad[0]:
            narrow = left.shape[1] < NARROW
            first = product(right.conj(), grad.mT).mT if narrow else grad @ right.mH
        return first, product(left.mH, grad) if ctx.needs_input_grad[1] else None


def multiply_in_blocks(left: Tensor, right: Tensor, shape: Sequence[int]) -> Tensor:
    """``left @ right``, the rows seen as (a, b) and the columns as (c, d), in the order (a, c, b, d).

    Each block is made where it shall lie, so that a product larger than the caches is written once and not moved.

    Args:
        left: (a b, k), real.
        right: (k, c d).
        shape: a, b, c and d.

    Returns:
        (a, c, b, d).
    """
    found: Tensor = _MultiplyInBlocks.apply(left, right, tuple(shape))  # type: ignore[no-untyped-call]
    return found


class _MultiplyInBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
        ctx.save_for_backward(left, right)
        ctx.shape = a, b, c, d = shape
        found = left.new_empty(a, c, b, d)
        lefts, rights = left.reshape(a, b, -1), _split_columns(right, c)
        for one, block in zip(lefts, found, strict=True):
            torch.bmm(one.expand(c, -1, -1), rights, out=block)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        left, right = ctx.saved_tensors
        a, b, c, d = ctx.shape
        if torch.is_grad_enabled() or not is_plain(grad):
            # Second derivatives and batches of gradients cannot be written in place.
            moved = grad.transpose(1, 2).reshape(a * b, c * d)
            return moved @ right.mT, left.mT @ moved, None
        lefts, rights = left.reshape(a, b, -1), _split_columns(right, c)
        first, second = torch.empty_like(lefts), torch.zeros_like(rights)
        for own, one, block in zip(first, lefts, grad, strict=True):
            torch.sum(torch.bmm(block, rights.mT), 0, out=own)
            second.baddbmm_(one.mT.expand(c, -1, -1), block)
        return first.reshape(left.shape), second.transpose(0, 1).reshape(right.shape), None


def _split_columns(matrix: Tensor, parts: int) -> Tensor:
    """(k, parts n) -> (parts, k, n)."""
    return matrix.reshape(len(matrix), parts, -1).transpose(0, 1).contiguous()


def apply_to_middle(matrix: Tensor, x: Tensor) -> Tensor:
    """One matrix on the middle axis: (m, k) and (batch, k, n) -> (batch, m, n)."""
    if x.shape[0] == 1 and not (suits_loops(matrix, x) and _fills(x)):
        return (matrix @ x[0]).unsqueeze(0)
    if not (own_backward() and (matrix.requires_grad or x.requires_grad)):
        return spread(matrix, x)
    found: Tensor = _ApplyToMiddle.apply(matrix, x)  # type: ignore[no-untyped-call]
    return found


def suits_loops(matrix: Tensor, x: Tensor) -> bool:
    """Whether compiled loops may be used, which take less time than the library that torch calls."""
    if matrix.device.type != "cpu" or matrix.dtype not in (torch.float32, torch.float64) or matrix.dtype != x.dtype:
        return False
    return not is_traced() and is_plain(matrix) and is_plain(x)


def fill_up(batch: int, itemsize: int) -> int | None:
    """So many of a batch's last axis that vectors have no gaps; None where these would be half of it and more."""
    filled = batch + -batch % count_entries(itemsize)
    return filled if 2 * batch > filled else None


def _goes_in_loops(matrix: Tensor, x: Tensor) -> bool:
    """The same where autograd would have to see what they do."""
    if not suits_loops(matrix, x) or not _fills(x):
        return False
    return not (torch.is_grad_enabled() and (matrix.requires_grad or x.requires_grad))


def transpose(items: Tensor) -> Tensor:
    """A matrix, transposed; in one stretch where compiled loops bring it there in no time."""
    if not suits_loops(items, items) or (torch.is_grad_enabled() and items.requires_grad):
        return items.mT
    return torch.from_numpy(block_loops.transpose(as_array(items)))


def _fills(x: Tensor) -> bool:
    """Whether the last axis fills vectors."""
    return x.shape[2] % count_entries(x.element_size()) == 0


def spread(matrix: Tensor, x: Tensor) -> Tensor:
    """The same as :func:`apply_to_middle`, for use inside of a backward pass of one's own."""
    if _goes_in_loops(matrix, x):
        found = x.new_empty(len(x), len(matrix), x.shape[2])
        block_loops.spread(block_loops.transpose(as_array(matrix).T), as_array(x), as_array(found))
        return found
    if x.shape[0] == 1:
        return (matrix @ x[0]).unsqueeze(0)
    # torch.matmul may fold the batch into one side, for which it copies x.
    return torch.bmm(matrix.expand(x.shape[0], -1, -1), x)


def pull_matrix(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of the matrix: (batch, m, n) and (batch, k, n) -> (m, k)."""
    rows, columns = grad.shape[1], x.shape[1]
    if _goes_in_loops(grad, x):
        return torch.from_numpy(block_loops.add_up(as_array(grad), as_array(x)))
    if x.shape[0] == 1:
        return grad[0] @ x[0].mH
    moved = x.shape[2] * (rows + columns)
    parts = -(-x.shape[0] * min(rows * columns, moved) // AT_ONCE)
    pairs = zip(grad.chunk(parts), x.chunk(parts), strict=True)
    if rows * columns <= moved:
        found = [torch.bmm(left, right.mH).sum(0) for left, right in pairs]
    else:
        found = [_side_by_side(left) @ _side_by_side(right).mH for left, right in pairs]
    return found[0] if parts == 1 else torch.stack(found).sum(0)


def _side_by_side(batch: Tensor) -> Tensor:
    return batch.transpose(0, 1).reshape(batch.shape[1], -1)


class _ApplyToMiddle(torch.autograd.Function):
    """autograd's own way keeps a copy of the matrix, and of its gradient, for each item of the batch."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(matrix, x)
        return spread(matrix, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix, x = ctx.saved_tensors
        found = pull_matrix(grad, x) if ctx.needs_input_grad[0] else None
        return found, spread(matrix.mH, grad) if ctx.needs_input_grad[1] else None
