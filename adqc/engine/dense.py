"""A weight that has been built times inputs, in compiled loops: torch's linear function and its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from adqc.arrays import NumpyArray, as_array, is_kept_elsewhere, is_plain, is_traced
from adqc.engine import block_loops
from adqc.threads import shares_threads
from adqc.vectors import count_entries

# The gradients of inputs, weight and bias, None for those that are not wanted, from that of the outputs.
PullInputs = Callable[[NumpyArray, Sequence[bool]], Sequence[NumpyArray | None]]


def goes_in_loops(x: Tensor, columns: int, others: Sequence[Tensor | None]) -> bool:
    """Whether compiled loops may multiply inputs, (batch, columns), by a weight.

    Args:
        x: The inputs.
        columns: How many columns the weight has.
        others: Tensors that must be of the same kind as the inputs; None for one that is not there.
    """
    if x.dim() != 2 or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or is_traced():
        return False
    # Fewer columns do not fill a vector; for fewer inputs the weight would be read and turned, and hardly multiplied.
    if x.shape[1] != columns or min(x.shape) < count_entries(x.element_size()) or not shares_threads():
        return False
    there = (x, *(one for one in others if one is not None))
    return all(is_plain(one) and one.dtype == x.dtype and one.device == x.device for one in there)


def multiply_inputs(x: NumpyArray, weight: NumpyArray, bias: NumpyArray | None) -> tuple[NumpyArray, PullInputs]:
    """The outputs, and what makes gradients of theirs.

    Args:
        x: (batch, columns), real.
        weight: (rows, columns).
        bias: (rows,).

    Returns:
        (batch, rows); and a function of its gradient, and of whether those of inputs, weight and bias are wanted.
    """

    def pull(grad: NumpyArray, wanted: Sequence[bool]) -> Sequence[NumpyArray | None]:
        own = np.empty((1, *x.shape), x.dtype) if wanted[0] else None
        pulled = np.empty((1, *weight.shape), x.dtype) if wanted[1] else None
        if own is not None:
            block_loops.spread(grad, weight[None], own)
        if pulled is not None:
            block_loops.spread(block_loops.transpose(grad), x[None], pulled)
        return [
            None if own is None else own[0], None if pulled is None else pulled[0], grad.sum(0) if wanted[2] else None
        ]  # fmt: skip

    return block_loops.add_up(x[None], weight[None], start=bias), pull


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As torch's, in compiled loops where these may be used."""
    flat = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    if not goes_in_loops(flat, weight.shape[1], (weight, bias)) or is_kept_elsewhere():
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
