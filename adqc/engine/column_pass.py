"""The pieces of a brick wall from its columns, and the backward pass of both in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import Array, adjoint, as_array, as_tensor, is_small, is_traced, multiply, own_backward
from adqc.constants import constant
from adqc.engine.arrange import permute_axes
from adqc.engine.column_blocks import Made, make_columns_of, pull_columns
from adqc.engine.columns import Columns
from adqc.engine.pieces import Piece


def contract_columns(
    gates: Tensor, columns: Columns, *, start: Tensor | None = None, scale: Tensor | None = None
) -> list[Tensor]:
    """Contract all pieces; arguments and result as for :func:`adqc.engine.evolve.run_program`."""
    pairs = None if start is None else pair_up(start, columns)
    # numpy makes plain numbers of arrays without axes.
    scale = None if scale is None else scale.reshape(1)
    if own_backward():
        return list(_Contract.apply(columns, gates, pairs, scale))  # type: ignore[no-untyped-call]
    if is_traced() or not is_small(gates, columns.size):
        return _contract(gates, columns, pairs, scale)[0]
    arrays = (None if tensor is None else as_array(tensor) for tensor in (pairs, scale))
    return [torch.from_numpy(piece) for piece in _contract(as_array(gates), columns, *arrays)[0]]


def pair_up(start: Tensor, columns: Columns) -> Tensor:
    """The start vectors of each column's two sites as one, (columns, 4, 1)."""
    if columns.sites % 2:
        start = torch.cat([start, constant(((1.0, 0.0),), start)])
    pair = start.reshape(columns.count, 2, 2)
    return (pair[:, 0, :, None] * pair[:, 1, None, :]).reshape(columns.count, 4, 1)


# For each piece, what each step multiplied.
Operands = list[list[Array]]


def _contract(
    gates: Array, columns: Columns, pairs: Array | None, scale: Array | None
) -> tuple[list[Array], Made[Array], list[Sequence[Array]], Operands[Array]]:
    """The pieces, and what the backward pass needs."""
    blocks, made = make_columns_of(gates, columns, pairs)
    pieces, operands = [], []
    for piece, own in zip(columns.pieces, blocks, strict=True):
        x, met = own[0], []
        if scale is not None and piece is columns.pieces[0]:
            x = x * scale
        for step in piece.steps[1:]:
            x = x.reshape((step.columns, -1) if step.before == 1 else (-1, step.columns))
            met.append(x)
            x = multiply(own[step.row], x) if step.before == 1 else multiply(x, own[step.row].mT)
        if piece.move is not None:
            x = permute_axes(x.reshape(1, -1), piece.move.shape, piece.move.axes)
        pieces.append(_turn(x.reshape(piece.sizes), piece.back))
        operands.append(met)
    return pieces, made, blocks, operands


def _turn(x: Array, axes: Sequence[int]) -> Array:
    return x.permute(*axes) if isinstance(x, Tensor) else x.transpose(axes)


def _pull_piece(grad: Array, piece: Piece, blocks: Sequence[Array], operands: Sequence[Array]) -> list[Array]:
    """The gradients of a piece's blocks from its own."""
    inverse = sorted(range(3), key=piece.back.__getitem__)
    grad = _turn(grad, inverse).reshape(1, -1)
    if piece.move is not None:
        grad = permute_axes(grad, piece.move.shape_back, piece.move.axes_back)
    found: list[Array] = [blocks[0]] * len(blocks)
    for step, x in zip(reversed(piece.steps[1:]), reversed(operands), strict=True):
        block = blocks[step.row]
        if step.before == 1:
            grad = grad.reshape(step.rows, -1)
            found[step.row] = multiply(grad, adjoint(x))
            grad = multiply(adjoint(block), grad)
        else:
            grad = grad.reshape(-1, step.rows)
            found[step.row] = multiply(grad.mT, x.conj())
            grad = multiply(grad, block.conj())
    found[0] = grad.reshape(blocks[0].shape)
    return found


def _flatten(nested: Any) -> Iterator[Any]:
    """All that lies in tuples and lists."""
    if isinstance(nested, (tuple, list)):
        for part in nested:
            yield from _flatten(part)
    else:
        yield nested


def _refill(nested: Any, leaves: Iterator[Any]) -> Any:
    """The same tuples and lists, filled with these."""
    if isinstance(nested, Made):
        return Made(*(_refill(part, leaves) for part in nested))
    if isinstance(nested, (tuple, list)):
        return [_refill(part, leaves) for part in nested]
    return next(leaves)


class _Contract(torch.autograd.Function):
    """autograd by itself would take a step for every view, which are more than the products."""

    @staticmethod
    def forward(
        ctx: Any, columns: Columns, gates: Tensor, pairs: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.columns, ctx.fits = columns, is_small(gates, columns.size)
        inputs: list[Any] = [gates, pairs, scale]
        if ctx.fits:
            inputs = [None if tensor is None else as_array(tensor) for tensor in inputs]
        first, *others = inputs
        pieces, made, blocks, operands = _contract(first, columns, *others)
        ctx.rest = made, blocks, operands
        # What torch holds can be computed again or kept elsewhere, as checkpoints do; arrays are small.
        kept = () if ctx.fits else tuple(_flatten(ctx.rest))
        ctx.rest = ctx.rest if ctx.fits else _refill(ctx.rest, iter(range(len(kept))))
        ctx.save_for_backward(gates, pairs, scale, *kept)
        return tuple(map(as_tensor, pieces))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        columns: Columns = ctx.columns
        gates, pairs, scale, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            # The same products once more, as functions that have gradients themselves.
            wanted = ctx.needs_input_grad[1:]
            needed = [tensor for tensor, need in zip((gates, pairs, scale), wanted, strict=True) if need]
            pieces = _contract(gates, columns, pairs, scale)[0]
            found = iter(torch.autograd.grad(pieces, needed, grads, create_graph=True))
            return None, *(next(found) if need else None for need in wanted)
        made, blocks, operands = ctx.rest if ctx.fits else _refill(ctx.rest, iter(kept))
        sides: list[Any] = [as_array(grad) for grad in grads] if ctx.fits else list(grads)
        pulled = [
            _pull_piece(grad, piece, own, met)
            for grad, piece, own, met in zip(sides, columns.pieces, blocks, operands, strict=True)
        ]
        pulled_scale = None
        if scale is not None:
            factor = as_array(scale) if ctx.fits else scale
            pulled_scale = as_tensor((pulled[0][0] * blocks[0][0].conj()).sum().reshape(1))
            pulled[0][0] = pulled[0][0] * factor.conj()
        found, own_pairs = pull_columns(pulled, columns, made)
        return (
            None,
            as_tensor(found).reshape(gates.shape),
            None if own_pairs is None else as_tensor(own_pairs),
            pulled_scale,
        )
