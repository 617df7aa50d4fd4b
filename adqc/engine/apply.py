"""Applying a chain's pieces to inputs, and looking rows up in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, pad

from adqc.arrays import Array, as_array, is_kept_elsewhere, is_plain, is_traced, own_backward, pull_again, turn
from adqc.engine.apply_loops import apply_arrays, count_together, goes_at_once
from adqc.engine.chain import Chain
from adqc.engine.lookup_loops import fits_lookup, look_up_arrays
from adqc.engine.products import apply_to_middle, fill_up, pull_matrix, spread, suits_loops, transpose

# A piece's bond, rows, columns and bond as forwards products take them, and back.
FORWARDS, BACK = (1, 3, 0, 2), (2, 0, 3, 1)
# A gate's outputs and inputs, as a chain of two pieces takes them between these: what the first one gets and the bit of
# the rows, of the bit of the columns and what the second one has made; where this has the row's bit's site behind it,
# and ahead of it. And back.
CROSSED = (2, 1, 0, 3), (2, 0, 1, 3)
UNCROSSED = (2, 1, 0, 3), (1, 2, 0, 3)


def as_matrices(pieces: Sequence[Array], chain: Chain, peeled: Sequence[Array] = ()) -> list[Array]:
    """The pieces as the matrices that :func:`apply_chain` multiplies by, in the order in which it does.

    Args:
        pieces: (left bonds, rows · columns, right bonds) each; complex ones as tensors only.
        chain: The chain that they were made for.
        peeled: Its gate between them, (4, 4), where it has one.
    """
    found: list[Array] = []
    if isinstance(pieces[0], Tensor) and pieces[0].is_complex():
        pieces = [_as_real(piece, k == 0, k == len(pieces) - 1) for k, piece in enumerate(pieces)]
    for piece, rows, columns in zip(pieces, chain.rows, chain.columns, strict=True):
        left, _, right = piece.shape
        if chain.backwards:
            found.append(piece.reshape(left * rows, columns * right))
        else:
            found.append(turn(piece.reshape(left, rows, columns, right), FORWARDS).reshape(rows * right, -1))
    if not chain.backwards:
        return found
    gates: list[Array] = [turn(gate.reshape(2, 2, 2, 2), CROSSED[chain.turned]).reshape(4, 4) for gate in peeled]
    return found[:0:-1] + gates + found[:1]


def pull_pieces(grads: Sequence[Array], chain: Chain) -> list[Array]:
    """The gradients of real pieces from those of what :func:`as_matrices` made of them."""
    found: list[Array] = []
    borders = pairwise((1, *chain.bonds, 1))
    if chain.peeled:
        grads = grads[::2]
    ordered = grads[::-1] if chain.backwards else grads
    for grad, rows, columns, (left, right) in zip(ordered, chain.rows, chain.columns, borders, strict=True):
        if not chain.backwards:
            grad = turn(grad.reshape(rows, right, left, columns), BACK)
        found.append(grad.reshape(left, rows * columns, right))
    return found


def pull_peeled(grads: Sequence[Array], chain: Chain) -> list[Array]:
    """The same of the gate between the pieces, (4, 4), where there is one."""
    own = grads[1:-1] if chain.peeled else ()
    return [turn(grad.reshape(2, 2, 2, 2), UNCROSSED[chain.turned]).reshape(4, 4) for grad in own]


def _as_real(piece: Tensor, first: bool, last: bool) -> Tensor:
    """A complex piece as a real one with twice the bonds: multiplied together they make the product's real part."""
    # As loops make them, see adqc.engine.planes: second derivatives go through these pieces in their place.
    upper = piece.real if last else torch.cat([piece.real, piece.imag], dim=2)
    if first:
        return upper
    lower = -piece.imag if last else torch.cat([-piece.imag, piece.real], dim=2)
    return torch.cat([upper, lower], dim=0)


def apply_chain(x: Tensor, matrices: Sequence[Tensor], chain: Chain, rows: int) -> Tensor:
    """The weight times each input.

    Between the pieces an input takes up many times its own size; where that is much for the whole batch, parts of it go
    through all pieces one after another, and the backward pass computes what it needs of them again.

    Args:
        x: (batch, columns before the padding).
        matrices: What :func:`as_matrices` returned.
        chain: The chain.
        rows: Number of rows that are kept.

    Returns:
        (batch, rows).
    """
    if _goes_in_arrays(x, matrices) and goes_at_once(x.shape[0], x.element_size(), chain):
        return torch.from_numpy(apply_arrays(as_array(x), list(map(as_array, matrices)), chain, rows)[0])
    total = math.prod(chain.columns)
    if x.shape[1] < total:
        x = pad(x, (0, total - x.shape[1]))
    batch = x.shape[0]
    filled = fill_up(batch, x.element_size()) if suits_loops(x, matrices[0]) else None
    if filled is not None and filled > batch:
        x = pad(x, (0, 0, 0, filled - batch))
    part = count_together(x.numel(), chain, x.element_size())
    if is_traced() or x.shape[0] <= part:
        found = _through(x, matrices, chain)[:, :rows]
    elif own_backward():
        found = _ApplyInParts.apply(chain, rows, part, x, *matrices)  # type: ignore[no-untyped-call]
    else:
        found = _in_parts(x, matrices, chain, rows, part)
    return found if len(found) == batch else found[:batch]


def _goes_in_arrays(x: Tensor, matrices: Sequence[Tensor]) -> bool:
    if torch.is_grad_enabled() and any(one.requires_grad for one in (x, *matrices)):
        return False
    return all(suits_loops(x, matrix) for matrix in matrices)


def _in_parts(x: Tensor, matrices: Sequence[Tensor], chain: Chain, rows: int, part: int) -> Tensor:
    return torch.cat([_through(some, matrices, chain)[:, :rows] for some in x.split(part)])


def _through(x: Tensor, matrices: Sequence[Tensor], chain: Chain) -> Tensor:
    """(batch, columns) -> (batch, rows), all of them."""
    *_, last = _operands(x, matrices, chain)
    return transpose(apply_to_middle(matrices[-1], last).reshape(-1, x.shape[0]))


def _operands(x: Tensor, matrices: Sequence[Tensor], chain: Chain) -> Iterator[Tensor]:
    """What each matrix is multiplied by: (items, columns and bond of the piece, the rest and the batch)."""
    # The batch lies last, so that every product has one long side.
    found = transpose(x).reshape(chain.items[0], matrices[0].shape[1], -1)
    yield found
    if chain.peeled:
        found = _gather(apply_to_middle(matrices[0], found), chain)
        yield found
        yield _scatter(apply_to_middle(matrices[1], found), chain).reshape(1, matrices[2].shape[1], -1)
        return
    for done, matrix, items in zip(matrices, matrices[1:], chain.items[1:], strict=False):
        found = apply_to_middle(done, found).reshape(items, matrix.shape[1], -1)
        yield found


def _gather(found: Tensor, chain: Chain) -> Tensor:
    """What lies between the two pieces as their gate takes it, (1, 4, …)."""
    moved = found.reshape(chain.columns[0] // 2, 2, chain.bonds[0], 2, -1).permute(1, 3, 0, 2, 4)
    return moved.reshape(1, 4, -1)


def _scatter(found: Tensor, chain: Chain) -> Tensor:
    """The same back, as the first piece takes it: (columns · bond, two rows …)."""
    moved = found.reshape(2, 2, chain.columns[0] // 2, chain.bonds[0], -1).permute(2, 0, 3, 1, 4)
    return moved.reshape(chain.columns[0] * chain.bonds[0], -1)


class _ApplyInParts(torch.autograd.Function):
    """Keeps the input alone."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, rows: int, part: int, x: Tensor, *matrices: Tensor) -> Tensor:
        ctx.chain, ctx.rows, ctx.part = chain, rows, part
        ctx.save_for_backward(x, *matrices)
        return _in_parts(x, matrices, chain, rows, part)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        chain: Chain = ctx.chain
        x, *matrices = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():
            # The same products once more, as functions that have gradients themselves.
            needed = [tensor for tensor, need in zip((x, *matrices), wanted, strict=True) if need]
            found = iter(
                torch.autograd.grad(_in_parts(x, matrices, chain, ctx.rows, ctx.part), needed, grad, create_graph=True)
            )
            return None, None, None, *(next(found) if need else None for need in wanted)
        # Sums of many parts in a 16-bit type would lose what is added last.
        sums = torch.promote_types(grad.dtype, torch.float32)
        total = [torch.zeros_like(matrix, dtype=sums) for matrix in matrices]
        pulled = []
        missing = math.prod(chain.rows) - ctx.rows
        for some, own in zip(x.split(ctx.part), grad.split(ctx.part), strict=True):
            steps = list(_operands(some, matrices, chain))
            own = transpose(pad(own, (0, missing)) if missing else own)
            for k in range(len(matrices) - 1, -1, -1):
                operand = steps.pop()
                if chain.peeled and k < 2:
                    own = _gather(own, chain) if k else _scatter(own, chain)
                own = own.reshape(len(operand), len(matrices[k]), -1)
                if wanted[1 + k]:
                    total[k] += pull_matrix(own, operand)
                # As large as what the next line makes.
                del operand
                if k or wanted[0]:
                    own = spread(matrices[k].mH, own)
            if wanted[0]:
                pulled.append(transpose(own.reshape(x.shape[1], -1)))
        cast = (own.to(matrix.dtype) for own, matrix in zip(total, matrices, strict=True))
        return None, None, None, torch.cat(pulled) if pulled else None, *cast


def look_up(index: Tensor, matrices: Sequence[Tensor], chain: Chain, columns: int) -> Tensor:
    """Rows of the weight.

    Args:
        index: (n,), which rows.
        matrices: What :func:`as_matrices` returned, of two pieces, forwards.
        chain: The chain.
        columns: Number of columns that are kept.

    Returns:
        (n, columns).
    """
    first, second = matrices
    (high, low), (bond,) = chain.rows, chain.bonds
    # shape: (rows, bond, columns) both
    left, right = first.reshape(high, bond, -1), second.reshape(low, bond, -1)
    if suits_loops(left, right) and fits_lookup(chain, left.element_size()) and is_plain(index) and not is_traced():
        found: Tensor = _LookUp.apply(index, left, right, columns)  # type: ignore[no-untyped-call]
        return found
    return _look_up(index, left, right, columns)


def _look_up(index: Tensor, left: Tensor, right: Tensor, columns: int) -> Tensor:
    low = len(right)
    if low == 1:
        return (_take(left, index).mT.flatten(0, 1) @ right[0]).reshape(len(index), -1)[:, :columns]
    digit = torch.div(index, low, rounding_mode="floor")
    found = torch.bmm(_take(left, digit).mT, _take(right, index - digit * low))
    return found.flatten(1)[:, :columns]


class _LookUp(torch.autograd.Function):
    """The same in compiled loops; autograd's own way adds up rows one call after another."""

    @staticmethod
    def forward(ctx: Any, index: Tensor, left: Tensor, right: Tensor, columns: int) -> Tensor:
        ctx.save_for_backward(index, left, right)
        ctx.columns = columns
        found, pull = look_up_arrays(as_array(index), as_array(left), as_array(right), columns)
        # It holds what others may want to keep elsewhere.
        ctx.pull = None if is_kept_elsewhere() else pull
        return torch.from_numpy(found)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        index, left, right = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_plain(grad):
            # As a function that has gradients itself, or for a batch of them.
            create, wanted = torch.is_grad_enabled(), ctx.needs_input_grad[1:3]
            with torch.enable_grad():
                found = _look_up(index, left, right, ctx.columns)
            needed = [tensor for tensor, need in zip((left, right), wanted, strict=True) if need]
            again = iter(pull_again([found], needed, [grad], create_graph=create))
            return None, *(next(again) if need else None for need in wanted), None
        pull = ctx.pull or look_up_arrays(as_array(index), as_array(left), as_array(right), ctx.columns)[1]
        return None, *map(torch.from_numpy, pull(as_array(grad))), None


def _take(table: Tensor, index: Tensor) -> Tensor:
    # Embedding's gradient adds up rows faster than that of plain indexing.
    rows: Tensor = embedding(index, table.flatten(1)).unflatten(1, table.shape[1:])
    return rows
