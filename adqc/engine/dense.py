"""A weight that has been built times inputs, in compiled loops: torch's linear function and its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from adqc.arrays import NumpyArray, as_array, is_kept_elsewhere, is_plain, is_traced
from adqc.compiled import compiled, merged
from adqc.engine.block_loops import pack_rows_, share, spread_part_, transpose_part_
from adqc.engine.product_kernels import multiply_four_, place_four
from adqc.threads import WORK, find_team, shares_threads, split, wait
from adqc.vectors import count_entries, load, plus, store

# To bring some rows of the weight into order takes as long as to multiply so many inputs by them.
TURNED = 7
# The gradients of inputs, weight and bias, None for those that are not wanted, from that of the outputs.
PullInputs = Callable[[NumpyArray, Sequence[bool]], Sequence[NumpyArray | None]]


def goes_in_loops(x: Tensor, shape: Sequence[int], others: Sequence[Tensor | None], *, filled: bool = False) -> bool:
    """Whether compiled loops may multiply inputs, (batch, columns), by a weight.

    Args:
        x: The inputs.
        shape: The weight's, (rows, columns).
        others: Tensors that must be of the same kind as the inputs; None for one that is not there.
        filled: Whether zeros would be put behind inputs that do not fill a vector.
    """
    if x.dim() != 2 or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or is_traced():
        return False
    # Fewer rows or columns do not fill a vector; for fewer inputs the weight would be read and turned, and hardly
    # multiplied.
    least = min(*shape) if filled and len(x) else min(*x.shape, *shape)
    if x.shape[1] != shape[1] or least < count_entries(x.element_size()) or not shares_threads():
        return False
    for one in (x, *others):
        if one is not None and not (is_plain(one) and one.dtype == x.dtype and one.device == x.device):
            return False
    return True


def multiply_inputs(x: NumpyArray, weight: NumpyArray, bias: NumpyArray | None) -> tuple[NumpyArray, PullInputs]:
    """The outputs, and what makes gradients of theirs.

    Args:
        x: (batch, columns), real.
        weight: (rows, columns), rows and columns at least what fills a vector.
        bias: (rows,).

    Returns:
        (batch, rows); and a function of its gradient, and of whether those of inputs, weight and bias are wanted.
    """
    x, weight, kind = np.ascontiguousarray(x), np.ascontiguousarray(weight), x.dtype
    (batch, columns), rows, wide = x.shape, len(weight), count_entries(x.itemsize)
    team = find_team(x.size * rows // WORK)
    found = np.empty((batch, rows), kind)
    _multiply_(*team, x, weight, found[0, :0] if bias is None else np.ascontiguousarray(bias), found, wide)

    def pull(grad: NumpyArray, wanted: Sequence[bool]) -> Sequence[NumpyArray | None]:
        own = np.empty((batch if wanted[0] else 0, columns), kind)
        pulled = np.empty((rows if wanted[1] else 0, columns), kind)
        last = np.empty(rows if wanted[2] else 0, kind)
        turned = np.empty(grad.shape[::-1] if wanted[1] else (0, 0), kind)
        _pull_(*team, x, weight, np.ascontiguousarray(grad), turned, own, pulled, last, wide)
        return [one if want else None for one, want in zip((own, pulled, last), wanted, strict=True)]

    return found, pull


@compiled
def _multiply_(addresses: Any, number: int, count: int, x: Any, weight: Any, bias: Any, found: Any, wide: int) -> None:
    if number < 0:
        split(addresses, number, count)
    else:
        _multiply_part_(x, weight, bias, found, wide, number, count)


@merged
def _multiply_part_(x: Any, weight: Any, bias: Any, found: Any, wide: int, number: int, count: int) -> None:
    (batch, shared), rows, line = x.shape, len(weight), 2 * wide
    ours, theirs, into = x.reshape(-1), weight.reshape(-1), found.reshape(-1)
    pairs, low, high = (rows + line - 1) // line, 0, batch
    begin, end = number * pairs // count, (number + 1) * pairs // count
    if pairs * (batch // count + TURNED) < (pairs + count - 1) // count * (batch + TURNED):
        # Each brings all of the weight into order, for some of the inputs.
        begin, end, low, high = 0, pairs, number * batch // count, (number + 1) * batch // count
    length = share(shared, wide)
    packed, sums = np.empty(length * line, x.dtype), np.empty((high - low) * line, x.dtype)
    for pair in range(begin, end):
        # Where rows do not fill vectors, the last ones overlap.
        one, other = min(pair * line, rows - wide), min(pair * line + wide, rows - wide)
        for first in range(0, shared, length):
            some = min(length, shared - first)
            pack_rows_(theirs, one * shared + first, shared, some, packed, 0, wide)
            pack_rows_(theirs, other * shared + first, shared, some, packed, wide, wide)
            for row in range(0, high - low, 4):
                four = place_four(low * shared + first, shared, row, high - low)
                to = place_four(0, line, row, high - low)
                multiply_four_(ours, four, 1, packed, 0, wide, line, some, sums, to, wide, first > 0)
        for row in range(high - low):
            a, b = load(sums, row * line), load(sums, row * line + wide)
            if len(bias) > 0:
                a, b = plus(a, load(bias, one)), plus(b, load(bias, other))
            store(into, (low + row) * rows + one, a)
            store(into, (low + row) * rows + other, b)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, x: Any, weight: Any, grad: Any, turned: Any, own: Any, pulled: Any,
    last: Any, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
    else:
        _pull_part_(x, weight, grad, turned, own, pulled, last, wide, addresses, number, count)


@merged
def _pull_part_(
    x: Any, weight: Any, grad: Any, turned: Any, own: Any, pulled: Any, last: Any, wide: int, addresses: Any,
    number: int, count: int,
) -> None:  # fmt: skip
    (batch, rows), columns = grad.shape, x.shape[1]
    if len(pulled) > 0:
        transpose_part_(grad, turned, wide, addresses, number, count)
        if count > 1:
            wait(addresses[1])
        spread_part_(
            turned, x.reshape(1, batch, columns), pulled.reshape(1, rows, columns), wide, addresses, number, count
        )
    if len(own) > 0:
        spread_part_(
            grad, weight.reshape(1, rows, columns), own.reshape(1, batch, columns), wide, addresses, number, count
        )
    flat, vectors = grad.reshape(-1), (len(last) + wide - 1) // wide
    for v in range(number * vectors // count, (number + 1) * vectors // count):
        at = min(v * wide, rows - wide)
        total = load(flat, at)
        for row in range(1, batch):
            total = plus(total, load(flat, row * rows + at))
        store(last, at, total)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As torch's, in compiled loops where these may be used."""
    flat = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    if not goes_in_loops(flat, weight.shape, (weight, bias)) or is_kept_elsewhere():
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        found: Tensor = _Linear.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    else:
        found = torch.from_numpy(_multiply(flat, weight, bias)[0])
    return found if x.dim() == 2 else found.reshape(*x.shape[:-1], -1)


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[NumpyArray, PullInputs]:
    return multiply_inputs(as_array(x), as_array(weight), None if bias is None else as_array(bias))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        found, ctx.pull = _multiply(x, weight, bias)
        return torch.from_numpy(found)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Also asks whether somebody has written into them since.
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled() or not is_plain(grad):
            # As functions that have gradients themselves, or for a batch of them.
            return (
                grad @ weight if wanted[0] else None,
                grad.mT @ x if wanted[1] else None,
                grad.sum(-2) if wanted[2] else None,
            )
        return tuple(None if one is None else torch.from_numpy(one) for one in ctx.pull(as_array(grad), wanted))
