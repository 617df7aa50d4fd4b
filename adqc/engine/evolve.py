"""Running a program: the tensor of a piece, block by block, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adqc.engine.arrange import move_axes, move_back
from adqc.engine.blocks import build_blocks
from adqc.engine.products import own_backward
from adqc.engine.program import OPEN, Program, Step

# Operands that take more bytes than this together are not kept for the backward pass, but computed again.
KEEP = 2**25


def run_program(
    gates: Tensor, program: Program, start: Tensor | None = None, scale: Tensor | None = None, *, unitary: bool = False
) -> list[Tensor]:
    """Contract all pieces.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        program: What :func:`adqc.engine.program.make_program` returned.
        start: (Q, 2), the product state to begin with; None for |0…0>.
        scale: (), multiplies the first piece.
        unitary: Whether the gates are unitary.

    Returns:
        For each piece (left bonds, 2^sites, right bonds), the sites in the order that the program says.
    """
    one = gates.new_ones(1)
    first = one if scale is None else scale.to(gates.dtype).reshape(1)
    return _run([first] + [one] * (len(program.pieces) - 1), gates, program, start, unitary)


def run_on(state: Tensor, gates: Tensor, program: Program, *, unitary: bool = False) -> Tensor:
    """The state, (2^Q,), after the gates of a program of one piece that goes on from a state."""
    return _run([state], gates, program, None, unitary)[0].reshape(-1)


def _run(
    tensors: Sequence[Tensor], gates: Tensor, program: Program, start: Tensor | None, unitary: bool
) -> list[Tensor]:
    blocks = [group.unbind(0) for group in build_blocks(gates, program, start)]
    found = []
    for tensor, piece in zip(tensors, program.pieces, strict=True):
        matrices = [blocks[step.group][step.row] for step in piece.steps]
        reversible = unitary and not any(OPEN in program.groups[step.group].inputs for step in piece.steps)
        tensor = evolve(tensor, matrices, piece.steps, reversible=reversible)
        if piece.move is not None:
            tensor = move_axes(tensor, piece.move)
        found.append(tensor.reshape(piece.sizes).permute(piece.back))
    return found


def evolve(tensor: Tensor, blocks: Sequence[Tensor], steps: tuple[Step, ...], *, reversible: bool = False) -> Tensor:
    """The tensor after all blocks.

    Args:
        tensor: Flat.
        blocks: One matrix a step, (rows, columns).
        steps: How each is applied.
        reversible: Whether every block is an isometry, so that the backward pass can undo it.

    Returns:
        The tensor, flat.
    """
    if own_backward():
        found: Tensor = _Evolve.apply(steps, reversible, tensor, *blocks)  # type: ignore[no-untyped-call]
        return found
    return _evolve(tensor, blocks, steps)


def _evolve(tensor: Tensor, blocks: Sequence[Tensor], steps: Sequence[Step]) -> Tensor:
    for block, step in zip(blocks, steps, strict=True):
        tensor = _apply(_operand(tensor, step), block, step)
    return tensor.reshape(-1)


def _operand(tensor: Tensor, step: Step) -> Tensor:
    """The tensor as a matrix, (columns, rest) where the step says ``front``, else (rest, columns)."""
    if step.move is not None:
        tensor = move_axes(tensor, step.move)
    return tensor.reshape((step.columns, step.rest) if step.front else (step.rest, step.columns))


def _apply(x: Tensor, block: Tensor, step: Step) -> Tensor:
    """The product, (rows, rest) where the step says ``lead``, else (rest, rows)."""
    if step.lead:
        return block @ (x if step.front else x.mT)
    return (x.mT if step.front else x) @ block.mT


def _pull_operand(grad: Tensor, block: Tensor, step: Step) -> Tensor:
    """The operand's gradient from the product's; for an isometry also the operand from the product."""
    if step.front:
        return block.mH @ (grad if step.lead else grad.mT)
    return (grad.mT if step.lead else grad) @ block.conj()


def _pull_block(grad: Tensor, x: Tensor, step: Step) -> Tensor:
    """The block's gradient from the product's."""
    return (grad if step.lead else grad.mT) @ (x.mH if step.front else x.conj())


def _as_product(flat: Tensor, block: Tensor, step: Step) -> Tensor:
    return flat.reshape((block.shape[0], -1) if step.lead else (-1, block.shape[0]))


class _Evolve(torch.autograd.Function):
    """Blocks on a tensor; what the backward pass needs is kept, or computed again where that would be too much."""

    @staticmethod
    def forward(ctx: Any, steps: tuple[Step, ...], reversible: bool, tensor: Tensor, *blocks: Tensor) -> Tensor:
        needed = sum(step.columns * step.rest for step in steps) * tensor.element_size()
        # How many operands are computed again from one that is kept; a reversible circuit keeps the result alone.
        stretch = 1 if needed <= KEEP else len(steps) + 1 if reversible else math.isqrt(len(steps)) + 1
        kept = [tensor]
        for at, (block, step) in enumerate(zip(blocks, steps, strict=True)):
            x = _operand(tensor, step)
            if at and at % stretch == 0:
                kept.append(x)
            tensor = _apply(x, block, step)
        ctx.steps, ctx.stretch, ctx.reversible = steps, stretch, reversible and stretch > 1
        ctx.save_for_backward(tensor, *blocks, *kept)
        return tensor.reshape(-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps: tuple[Step, ...] = ctx.steps
        result, *saved = ctx.saved_tensors
        blocks, kept = saved[: len(steps)], saved[len(steps) :]
        if torch.is_grad_enabled():
            return None, None, *_differentiable(grad, kept[0], blocks, steps, ctx.needs_input_grad[2:])
        found: list[Tensor | None] = [None] * len(steps)
        recent: dict[int, Tensor] = {}
        for at in range(len(steps) - 1, -1, -1):
            step, block = steps[at], blocks[at]
            if ctx.reversible and at:
                x = result = _pull_operand(_as_product(result, block, step), block, step)
            else:
                if at not in recent:
                    recent = _again(at, kept, blocks, steps, ctx.stretch)
                x = recent.pop(at)
            grad = _as_product(grad, block, step)
            found[at] = _pull_block(grad, x, step)
            # Each of these is as large as the state: none is held longer than it is needed.
            del x
            if ctx.reversible and at and step.move is not None:
                result = move_back(result, step.move)
            if at or ctx.needs_input_grad[2]:
                grad = _pull_operand(grad, block, step)
                if step.move is not None:
                    grad = move_back(grad, step.move)
        return None, None, grad.reshape(-1) if ctx.needs_input_grad[2] else None, *found


def _again(
    last: int, kept: Sequence[Tensor], blocks: Sequence[Tensor], steps: Sequence[Step], stretch: int
) -> dict[int, Tensor]:
    """The operands of the steps up to this one since the one that was kept."""
    first = last // stretch * stretch
    x = kept[last // stretch]
    found = {first: x if first else _operand(x, steps[0])}
    for at in range(first + 1, last + 1):
        found[at] = _operand(_apply(found[at - 1], blocks[at - 1], steps[at - 1]), steps[at])
    return found


def _differentiable(
    grad: Tensor, tensor: Tensor, blocks: Sequence[Tensor], steps: Sequence[Step], needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients as functions that have gradients themselves."""
    inputs = [tensor, *blocks]
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
    result = _evolve(tensor, blocks, steps)
    found = torch.autograd.grad(result, wanted, grad, create_graph=True, materialize_grads=True, allow_unused=True)
    grads = iter(found)
    return [next(grads) if need else None for need in needed]
