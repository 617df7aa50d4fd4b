"""Running a program: the tensor of a piece, block by block, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adqc.arrays import own_backward
from adqc.engine.arrange import move_axes, move_back
from adqc.engine.blocks import build_blocks
from adqc.engine.columns import Columns
from adqc.engine.contract import contract
from adqc.engine.pieces import Piece, Step
from adqc.engine.program import Program
from adqc.engine.steps import apply_block, as_operand, as_product, flip_back, pull_block, pull_operand
from adqc.engine.train import Train

# Operands that take more bytes than this together are not kept for the backward pass, but computed again.
KEEP = 2**25


def run_program(
    gates: Tensor,
    program: Program | Columns | Train,
    start: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    unitary: bool = False,
) -> list[Tensor]:
    """Contract all pieces.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        program: What :func:`adqc.engine.program.find_programs` returned.
        start: (Q, 2), the product state to begin with; None for |0…0>, and where :func:`adqc.engine.absorb.absorb` has
            taken it in.
        scale: (), multiplies the first piece.
        unitary: Whether the gates are unitary.

    Returns:
        For each piece (left bonds, 2^sites, right bonds), the sites in the order that the program says.
    """
    if not isinstance(program, Program):
        assert start is None, "gates take it in where every site has one"
        return contract(gates, program, scale=None if scale is None else scale.to(gates.dtype))
    one = gates.new_ones(1)
    first = one if scale is None else scale.to(gates.dtype).reshape(1)
    return _run([first] + [one] * (len(program.pieces) - 1), gates, program, start, unitary)


def run_on(state: Tensor, gates: Tensor, program: Program, *, unitary: bool = False) -> Tensor:
    """The state, (2^Q,), after the gates of a program of one piece that goes on from a state."""
    return _run([state], gates, program, None, unitary)[0].reshape(-1)


def _run(
    tensors: Sequence[Tensor], gates: Tensor, program: Program, start: Tensor | None, unitary: bool
) -> list[Tensor]:
    blocks: list[Sequence[Tensor]]
    if own_backward() and any(is_large(piece, gates.element_size()) for piece in program.pieces):
        # Building blocks keeps every gate's product: beside large states that is computed again as well.
        blocks = checkpoint(_build, gates, program, start, use_reentrant=False, preserve_rng_state=False)
    else:
        blocks = _build(gates, program, start)
    found = []
    for tensor, piece in zip(tensors, program.pieces, strict=True):
        matrices = [blocks[step.group][step.row] for step in piece.steps]
        tensor = evolve(tensor, matrices, piece, reversible=unitary and piece.closed)
        found.append(tensor.reshape(piece.sizes).permute(piece.back))
    return found


def _build(gates: Tensor, program: Program, start: Tensor | None) -> list[Sequence[Tensor]]:
    """The blocks of each kind."""
    return [group.unbind(0) for group in build_blocks(gates, program, start)]


def is_large(piece: Piece, element: int) -> bool:
    """Whether what a piece's backward pass needs, of so many bytes an entry, is rather computed again than kept."""
    return sum(step.before * step.columns * step.behind for step in piece.steps) * element > KEEP


def evolve(tensor: Tensor, blocks: Sequence[Tensor], piece: Piece, *, reversible: bool = False) -> Tensor:
    """The tensor after all blocks and the piece's last move.

    Args:
        tensor: Flat.
        blocks: One matrix a step, (rows, columns).
        piece: How each is applied.
        reversible: Whether every block is an isometry, so that the backward pass can undo it.

    Returns:
        The tensor, flat.
    """
    if own_backward():
        found: Tensor = _Evolve.apply(piece, reversible, tensor, *blocks)  # type: ignore[no-untyped-call]
        return found
    return _evolve(tensor, blocks, piece)


def _evolve(tensor: Tensor, blocks: Sequence[Tensor], piece: Piece) -> Tensor:
    for block, step in zip(blocks, piece.steps, strict=True):
        tensor = apply_block(block, _operand(tensor, step), step)
    return tensor.reshape(-1) if piece.move is None else move_axes(tensor, piece.move)


def _undo(tensor: Tensor, blocks: Sequence[Tensor], piece: Piece) -> Tensor:
    """The inverse of :func:`_evolve`, where every block is an isometry."""
    if piece.move is not None:
        tensor = move_back(tensor, piece.move)
    for block, step in zip(reversed(blocks), reversed(piece.steps), strict=True):
        tensor = flip_back(pull_operand(as_product(tensor, step), block, step), step)
        if step.move is not None:
            tensor = move_back(tensor, step.move)
    return tensor.reshape(-1)


def _operand(tensor: Tensor, step: Step) -> Tensor:
    """The tensor as a block takes it."""
    return as_operand(tensor if step.move is None else move_axes(tensor, step.move), step)


class _Evolve(torch.autograd.Function):
    """Blocks on a tensor; what the backward pass needs is kept, or computed again where that would be too much."""

    @staticmethod
    def forward(ctx: Any, piece: Piece, reversible: bool, tensor: Tensor, *blocks: Tensor) -> Tensor:
        steps = piece.steps
        spare = is_large(piece, tensor.element_size())
        ctx.piece, ctx.reversible = piece, reversible and spare
        # How many operands are computed again from one that is kept; a reversible circuit keeps the result alone,
        # which whoever asked for it holds anyway.
        ctx.stretch = math.isqrt(len(steps)) + 1 if spare else 1
        kept = []
        for at, (block, step) in enumerate(zip(blocks, steps, strict=True)):
            x = _operand(tensor, step)
            if at % ctx.stretch == 0 and not ctx.reversible:
                kept.append(x if at else tensor)
            tensor = apply_block(block, x, step)
        tensor = tensor.reshape(-1) if piece.move is None else move_axes(tensor, piece.move)
        ctx.save_for_backward(*blocks, *([tensor] if ctx.reversible else kept))
        return tensor

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        piece: Piece = ctx.piece
        # Under a checkpoint they may be asked for once only.
        saved = ctx.saved_tensors
        blocks, kept = saved[: len(piece.steps)], saved[len(piece.steps) :]
        if torch.is_grad_enabled():
            # The same products once more, as functions that have gradients themselves.
            start = _start(kept[0], blocks, piece) if ctx.reversible else kept[0]
            pulled, found = _pull_again(grad, [start], blocks, piece, len(blocks) + 1, ctx.needs_input_grad[2])
        elif ctx.reversible:
            pulled, found = _pull_undoing(grad, kept[0], blocks, piece, ctx.needs_input_grad[2])
        else:
            pulled, found = _pull_again(grad, kept, blocks, piece, ctx.stretch, ctx.needs_input_grad[2])
        return None, None, pulled, *found


def _pull_undoing(
    grad: Tensor, result: Tensor, blocks: Sequence[Tensor], piece: Piece, needed: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of tensor and blocks; each step's operand from its product, beginning with the result."""
    # Both are as large as the state: what was before a line is let go by it.
    if piece.move is not None:
        grad, result = move_back(grad, piece.move), move_back(result, piece.move)
    found = []
    for at in range(len(blocks) - 1, -1, -1):
        step, block = piece.steps[at], blocks[at]
        result = as_product(result, step)
        result = pull_operand(result, block, step)
        grad = as_product(grad, step)
        found.append(pull_block(grad, result, step))
        result = flip_back(result, step)
        if at and step.move is not None:
            result = move_back(result, step.move)
        if at or needed:
            grad = pull_operand(grad, block, step)
            grad = flip_back(grad, step)
            if step.move is not None:
                grad = move_back(grad, step.move)
    return grad.reshape(-1) if needed else None, found[::-1]


def _pull_again(
    grad: Tensor, kept: Sequence[Tensor], blocks: Sequence[Tensor], piece: Piece, stretch: int, needed: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of tensor and blocks; operands that were not kept are computed again from one before them."""
    if piece.move is not None:
        grad = move_back(grad, piece.move)
    found = []
    recent: dict[int, Tensor] = {}
    for at in range(len(blocks) - 1, -1, -1):
        step, block = piece.steps[at], blocks[at]
        if at not in recent:
            recent = _again(at, kept, blocks, piece.steps, stretch)
        grad = as_product(grad, step)
        found.append(pull_block(grad, recent.pop(at), step))
        if at or needed:
            grad = pull_operand(grad, block, step)
            grad = flip_back(grad, step)
            if step.move is not None:
                grad = move_back(grad, step.move)
    return grad.reshape(-1) if needed else None, found[::-1]


def _again(
    last: int, kept: Sequence[Tensor], blocks: Sequence[Tensor], steps: Sequence[Step], stretch: int
) -> dict[int, Tensor]:
    """The operands of the steps up to this one since the one that was kept."""
    first = last // stretch * stretch
    x = kept[last // stretch]
    found = {first: x if first else _operand(x, steps[0])}
    for at in range(first + 1, last + 1):
        found[at] = _operand(apply_block(blocks[at - 1], found[at - 1], steps[at - 1]), steps[at])
    return found


def _start(result: Tensor, blocks: Sequence[Tensor], piece: Piece) -> Tensor:
    """The tensor that gave the result, as a function of result and blocks.

    Its value is the undone result; by the second term it also has the tensor's own first derivatives where blocks
    change to ones that are no isometries.
    """
    with torch.no_grad():
        value = _undo(result, blocks, piece)
    return value + _undo(result - _evolve(value, blocks, piece), blocks, piece)
