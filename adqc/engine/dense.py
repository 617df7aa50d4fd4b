"""A weight that has been built times inputs, in compiled loops: torch's linear function and its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from adqc.arrays import NumpyArray, as_array, is_kept_elsewhere, is_plain, is_traced
from adqc.engine import block_loops
from adqc.vectors import count_entries

# The gradients of inputs, weight and bias, None where they are not wanted, from that of the outputs.
PullInputs = Callable[..., tuple[NumpyArray | None, NumpyArray | None, NumpyArray | None]]


def goes_in_loops(x: Tensor, weight: Tensor, columns: int, bias: Tensor | None = None) -> bool:
    """Whether compiled loops may take inputs, (batch, columns), for a weight of ``weight``'s kind.

    Args:
        x: The inputs.
        weight: The weight, or anything in its dtype and on its device.
        columns: How many columns it has.
        bias: What is added.
    """
    if x.dtype not in (torch.float32, torch.float64) or x.device.type != "cpu" or is_traced():
        return False
    # Fewer do not fill a vector, and of fewer inputs than that the weight is read, not multiplied.
    least = count_entries(x.element_size())
    if columns < least or x.shape[-1] != columns or x.dim() != 2 or len(x) < least:
        return False
    others = (weight,) if bias is None else (weight, bias)
    return is_plain(x) and all(is_plain(one) and one.dtype == x.dtype and one.device == x.device for one in others)


def multiply_inputs(x: NumpyArray, weight: NumpyArray, bias: NumpyArray | None) -> tuple[NumpyArray, PullInputs]:
    """The outputs, and what makes gradients of theirs.

    Args:
        x: (batch, columns), real.
        weight: (rows, columns).
        bias: (rows,).

    Returns:
        (batch, rows); and a function of its gradient and of which of the three gradients are wanted.
    """
    found = block_loops.add_up(x[None], weight[None], start=bias)

    def pull(
        grad: NumpyArray, wanted: tuple[bool, bool, bool]
    ) -> tuple[NumpyArray | None, NumpyArray | None, NumpyArray | None]:
        own = pulled = None
        if wanted[0]:
            own = np.empty_like(x[None])
            block_loops.spread(grad, weight[None], own)
            own = own[0]
        if wanted[1]:
            pulled = np.empty_like(weight[None])
            block_loops.spread(block_loops.transpose(grad), x[None], pulled)
            pulled = pulled[0]
        return own, pulled, grad.sum(0) if wanted[2] else None

    return found, pull


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As torch's, in loops where these may be used."""
    if not goes_in_loops(x, weight, weight.shape[1], bias) or is_kept_elsewhere():
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        found: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return found
    made, _ = multiply_inputs(as_array(x), as_array(weight), None if bias is None else as_array(bias))
    return torch.from_numpy(made)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        made, ctx.pull = multiply_inputs(as_array(x), as_array(weight), None if bias is None else as_array(bias))
        return torch.from_numpy(made)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled() or not is_plain(grad):
            # As functions that have gradients themselves, or for a batch of them.
            return (
                grad @ weight if wanted[0] else None,
                grad.mT @ x if wanted[1] else None,
                grad.sum(-2) if wanted[2] else None,
            )
        found = ctx.pull(as_array(grad), wanted)
        return tuple(None if one is None else torch.from_numpy(one) for one in found)
