"""The matrices of a brick wall's columns, and their backward pass: both in a few batched products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adqc.constants import constant
from adqc.engine.arrange import permute_axes
from adqc.engine.columns import Columns
from adqc.engine.products import own_backward


def build_columns(gates: Tensor, columns: Columns, start: Tensor | None = None) -> list[Sequence[Tensor]]:
    """The columns as the matrices that the pieces' steps apply.

    Args:
        gates: (G, 4, 4), in the order in which they act.
        columns: What :func:`adqc.engine.columns.make_columns` returned.
        start: (Q, 2), the product state to begin with; None for |0…0>.

    Returns:
        For each piece the column that it begins with, (rows, 1), and its other ones, (rows, columns) each.
    """
    pairs = None if start is None else _pair_up(start, columns)
    if own_backward():
        found: Sequence[Tensor] = _Build.apply(columns, gates, pairs)  # type: ignore[no-untyped-call]
    else:
        found = _make(gates, columns, pairs)
    groups: list[Sequence[Tensor]] = []
    for count in columns.sizes:
        groups.append(found[:count])
        found = found[count:]
    *others, rest, end = groups
    return [*others, end, rest]


def _pair_up(start: Tensor, columns: Columns) -> Tensor:
    """The start vectors of each column's two sites as one, (columns, 4, 1)."""
    if columns.sites % 2:
        start = torch.cat([start, constant(((1.0, 0.0),), start)])
    pair = start.reshape(columns.count, 2, 2)
    return (pair[:, 0, :, None] * pair[:, 1, None, :]).reshape(columns.count, 4, 1)


class _Taken(NamedTuple):
    """The gates' entries: those of the first layer, of the other even ones, of the last, and of the odd layers."""

    first: Tensor
    even: Tensor
    last: Tensor
    odd: Tensor


def _take(gates: Tensor, columns: Columns, pairs: Tensor | None) -> _Taken:
    entries = columns.entries if pairs is None else columns.given
    # One index for all is one call.
    index = constant(entries.places, gates, dtype=torch.long)
    taken = torch.cat([gates.reshape(-1), constant((0.0, 1.0), gates)]).index_select(0, index)
    first, even, last, odd = taken.split(entries.sizes)
    count = columns.count
    return _Taken(
        first.reshape(count, -1, 2) if pairs is None else first.reshape(count, 4, 4),
        even.reshape(-1, 8, 2),
        last.reshape(-1, 2, 8),
        odd.reshape(-1, 2, 8),
    )


def _multiply_out(taken: _Taken, columns: Columns, pairs: Tensor | None) -> tuple[list[Tensor], Tensor]:
    """The columns, (columns, entries), last in a list of what they grow from, (columns, …, 2) layer by layer; and what
    each two layers but the first do to them, (layers / 2 - 1, columns, 2, 32)."""
    count = columns.count
    first = taken.first if pairs is None else torch.bmm(taken.first, pairs).reshape(count, 2, 2)
    made = [first, torch.bmm(first, taken.odd[:count]).reshape(count, 8, 2)]
    between = torch.bmm(taken.even, taken.odd[count:]).reshape(-1, count, 2, 32)
    for layer in between.unbind(0):
        made.append(torch.bmm(made[-1], layer).reshape(count, -1, 2))
    if len(taken.last):
        made.append(torch.bmm(made[-1], taken.last))
    made[-1] = made[-1].reshape(count, -1)
    return made, between


def _make(gates: Tensor, columns: Columns, pairs: Tensor | None) -> tuple[Tensor, ...]:
    made, _ = _multiply_out(_take(gates, columns, pairs), columns, pairs)
    return _cut(made[-1], columns)


def _cut(made: Tensor, columns: Columns) -> tuple[Tensor, ...]:
    """The blocks, as :attr:`Columns.sizes` counts them."""
    bond = 2 ** (columns.depth - 1)
    # shape: (columns, left bonds, outputs, right bonds)
    made = permute_axes(made, (2,) * len(columns.axes), columns.axes).reshape(columns.count, bond, 4, bond)
    *parts, end = made.split(columns.sizes)
    edge = constant(columns.edge, made).reshape(-1, bond)
    found = [(edge @ parts[0].reshape(bond, 4 * bond)).reshape(-1, 1)]
    for number, part in enumerate(parts[1:-1], 1):
        found += part.reshape(-1, bond, 4 * bond).mT.unbind(0) if number % 2 else (part.reshape(-1, 1),)
    found += parts[-1].reshape(-1, 4 * bond, bond).unbind(0) if len(parts[-1]) else ()
    # What lies beyond the last site is |0> and stays so.
    return (*found, end.reshape(-1, 2**columns.beyond * bond)[:, :1])


class _Build(torch.autograd.Function):
    """autograd by itself would take a step for every view, which are more than the products."""

    @staticmethod
    def forward(ctx: Any, columns: Columns, gates: Tensor, pairs: Tensor | None) -> tuple[Tensor, ...]:
        taken = _take(gates, columns, pairs)
        made, between = _multiply_out(taken, columns, pairs)
        ctx.columns = columns
        ctx.save_for_backward(gates, pairs, *taken, between, *made[:-1])
        return _cut(made[-1], columns)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        columns: Columns = ctx.columns
        gates, pairs, first, even, last, odd, between, *made = ctx.saved_tensors
        if torch.is_grad_enabled():
            # The same products once more, as functions that have gradients themselves.
            needed = [tensor for tensor, wanted in zip((gates, pairs), ctx.needs_input_grad[1:], strict=True) if wanted]
            found = iter(torch.autograd.grad(_make(gates, columns, pairs), needed, grads, create_graph=True))
            return None, *(next(found) if wanted else None for wanted in ctx.needs_input_grad[1:])
        taken = _Taken(first, even, last, odd)
        pulled, pulled_pairs = _pull(_pull_cut(grads, columns), taken, made, between, pairs)
        places = (columns.entries if pairs is None else columns.given).places
        index = constant(places, gates, dtype=torch.long)
        entries = pulled.new_zeros(gates.numel() + 2).index_add_(0, index, pulled)
        return None, entries[:-2].reshape(gates.shape), pulled_pairs


def _pull_cut(grads: Sequence[Tensor], columns: Columns) -> Tensor:
    """The gradient of the columns, (columns, entries), from those of the blocks."""
    bond = 2 ** (columns.depth - 1)
    edge = constant(columns.edge, grads[0]).reshape(-1, bond)
    parts = [edge.mT @ grads[0].reshape(-1, 4 * bond)]
    at = 1
    for number, count in enumerate(columns.sizes[1:-2], 1):
        parts += [grad.mT if number % 2 else grad for grad in grads[at : at + count]]
        at += count
    end = grads[-1].new_zeros(len(grads[-1]), 2**columns.beyond * bond)
    end[:, :1] = grads[-1]
    found = torch.cat([part.reshape(1, -1) for part in (*parts, *grads[at:-1], end)])
    return permute_axes(found, (2,) * len(columns.back), columns.back)


def _pull(
    grad: Tensor, taken: _Taken, made: Sequence[Tensor], between: Tensor, pairs: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The gradients of the gates' entries and of the pairs of start vectors from that of the columns."""
    first, *made = made
    count = len(first)
    last: list[Tensor] = []
    if len(taken.last):
        grad = grad.reshape(count, -1, 8)
        last = [torch.bmm(made.pop().mH, grad)]
        grad = torch.bmm(grad, taken.last.mH)
    layers: list[Tensor] = []
    for layer in reversed(between.unbind(0)):
        grad = grad.reshape(count, -1, 32)
        layers.append(torch.bmm(made.pop().mH, grad))
        grad = torch.bmm(grad, layer.mH)
    grad = grad.reshape(count, 2, 8)
    odd = [torch.bmm(first.mH, grad)]
    grad = torch.bmm(grad, taken.odd[:count].mH)
    pulled_pairs = None
    if pairs is not None:
        grad = grad.reshape(count, 4, 1)
        pulled_pairs = torch.bmm(taken.first.mH, grad)
        grad = torch.bmm(grad, pairs.mH)
    even: list[Tensor] = []
    if layers:
        both = torch.cat(layers[::-1]).reshape(-1, 8, 8)
        even = [torch.bmm(both, taken.odd[count:].mH)]
        odd.append(torch.bmm(taken.even.mH, both))
    return torch.cat([part.reshape(-1) for part in (grad, *even, *last, *odd)]), pulled_pairs
