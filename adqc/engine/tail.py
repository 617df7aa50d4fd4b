"""A small deep circuit, or its last layers, on the whole state, on numpy's arrays: blocks of gates, built and applied,
and the backward pass of both.

It does what :mod:`adqc.engine.blocks` and :mod:`adqc.engine.evolve` do, without autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from adqc.arrays import NumpyArray, identity, multiply
from adqc.engine.arrange import Move, move_axes, move_back, permute_axes
from adqc.engine.program import FRESH, Group, Program
from adqc.engine.steps import apply_block, as_operand, as_product, flip_back, pull_block, pull_operand

# What each gate of a group was multiplied with.
Met = Sequence[NumpyArray]


def run_tail(
    state: NumpyArray, gates: NumpyArray, program: Program
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """The state after the gates.

    Args:
        state: (2^Q,), real; (1,) where the program begins with |0…0>, which it is then the factor of.
        gates: (G, 2^k, 2^k), real, in the order in which they act.
        program: Of one piece.

    Returns:
        The state, (2^Q,), and what makes the gradients of state and gates of its own.
    """
    order = np.array(program.order, dtype=np.intp)
    stacks = _split(gates[order], program.groups)
    built = [_build(stack, group) for stack, group in zip(stacks, program.groups, strict=True)]
    blocks = [found for found, _ in built]
    (piece,) = program.pieces
    operands = []
    for step in piece.steps:
        operands.append(as_operand(_move(state, step.move), step))
        state = apply_block(blocks[step.group][step.row], operands[-1], step)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        grad = _move_back(grad, piece.move)
        found = [np.empty(own.shape, own.dtype) for own in blocks]
        for step, x in zip(reversed(piece.steps), reversed(operands), strict=True):
            grad = as_product(grad, step)
            found[step.group][step.row] = pull_block(grad, x, step)
            grad = flip_back(pull_operand(grad, blocks[step.group][step.row], step), step)
            grad = _move_back(grad, step.move)
        pulled = np.empty_like(gates)
        parts = zip(found, stacks, built, program.groups, strict=True)
        pulled[order] = np.concatenate([_pull(own, stack, met, group) for own, stack, (_, met), group in parts])
        return grad.reshape(-1), pulled

    return _move(state, piece.move).reshape(-1), pull


def _move(state: NumpyArray, move: Move | None) -> NumpyArray:
    return state if move is None else move_axes(state, move)


def _move_back(state: NumpyArray, move: Move | None) -> NumpyArray:
    return state if move is None else move_back(state, move)


def _split(gates: NumpyArray, groups: Sequence[Group]) -> list[NumpyArray]:
    """The gates of each group, (gates of a block, count, 2^k, 2^k)."""
    ends = np.cumsum([group.count * len(group.gates) for group in groups])[:-1]
    parts = zip(np.split(gates, ends), groups, strict=True)
    return [part.reshape(len(group.gates), group.count, *gates.shape[1:]) for part, group in parts]


def _build(stack: NumpyArray, group: Group) -> tuple[NumpyArray, Met]:
    """The blocks of a group, (count, rows, columns)."""
    sites = len(group.rows)
    closed = sum(2 ** (sites - 1 - at) for at, kind in enumerate(group.inputs) if kind == FRESH)
    # Of fresh sites, which hold |0>, the first column is all that counts.
    matrix = identity(2**sites, stack)[None]
    if closed:
        matrix = matrix[:, :, [k for k in range(2**sites) if not k & closed]]
    met = []
    for gate, (first, *_) in zip(stack, group.gates, strict=True):
        met.append(matrix.reshape(len(matrix), 2**first, gate.shape[-1], -1))
        matrix = multiply(gate[:, None], met[-1])
    if group.rows != tuple(range(sites)):
        axes = (*group.rows, sites)
        matrix = permute_axes(matrix.reshape(len(matrix), -1), (2,) * sites + group.shape[1:], axes)
    matrix = matrix.reshape(-1, *group.shape)
    # Without gates all of them are the same.
    return (matrix if met else matrix.repeat(group.count, axis=0)), met


def _pull(grad: NumpyArray, stack: NumpyArray, met: Met, group: Group) -> NumpyArray:
    """The gradient of a group's gates, in the order in which :func:`_split` found them, from its blocks'."""
    sites = len(group.rows)
    if group.rows != tuple(range(sites)):
        back = sorted(range(sites), key=group.rows.__getitem__)
        grad = permute_axes(grad.reshape(group.count, -1), (2,) * sites + group.shape[1:], (*back, sites))
    found = np.empty_like(stack)
    for at in range(len(met) - 1, -1, -1):
        grad = grad.reshape(group.count, *met[at].shape[1:])
        found[at] = multiply(grad, met[at].mT).sum(1)
        if at:
            grad = multiply(stack[at].mT[:, None], grad)
    return found.reshape(-1, *found.shape[2:])
