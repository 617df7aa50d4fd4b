"""Small circuits: from the numbers stored to the tensor, and back, in one step of autograd.

A small circuit takes the time of calls, and a step of torch's autograd takes that of many of numpy's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from adqc.arrays import NumpyArray, as_array, fixed, is_plain, is_small, is_traced, silently
from adqc.engine.columns import Columns
from adqc.engine.contract import contract_joined
from adqc.engine.join import Join
from adqc.engine.materialise import make_plan
from adqc.engine.train import Train

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall

ROUTES = ("auto", "halves", "matrix-free")


def build_at_once(wall: BrickWall, gates: Tensor, scale: Tensor, route: str) -> Tensor | None:
    """What the wall's state holds, cropped; None where the circuit is not small, or somebody looks on.

    Args:
        wall: The circuit.
        gates: (P,), as ``wall.gates``.
        scale: (), as ``wall.scale``.
        route: One of :data:`adqc.config.ROUTES`.

    Returns:
        A tensor of ``wall.layout.shape``.
    """
    if wall.family.arrays is None or route not in ROUTES or is_traced() or gates.dtype != scale.dtype:
        return None
    if gates.dtype not in (torch.float32, torch.float64) or not (is_small(gates, gates.numel()) and is_plain(scale)):
        return None
    plan = make_plan(wall.wiring, wall.layout, route)
    if plan.tail is not None or not isinstance(plan.head, (Columns, Train)) or not is_small(gates, plan.head.size):
        return None
    assert plan.join is not None, "halves are joined"
    if plan.join.in_blocks:
        return None
    given = wall, plan.head, plan.join
    if torch.is_grad_enabled():
        found: Tensor = _AtOnce.apply(*given, gates, scale)  # type: ignore[no-untyped-call]
        return found
    return torch.from_numpy(_build(*given, as_array(gates), as_array(scale))[0])


def _build(
    wall: BrickWall, head: Columns | Train, join: Join, gates: NumpyArray, scale: NumpyArray
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """The tensor, and what makes the gradients of gates and scale of its own."""
    count, each = len(wall.wiring.gates), wall.family.parameters
    index = None if wall.slots is None else fixed(wall.slots, gates, index=True)
    params = gates
    if index is not None:
        params = np.zeros(count * each, gates.dtype)
        params[index] = gates
    arrays = wall.family.arrays
    assert arrays is not None, "asked of families that have it"
    if wall.every > 1:
        arrays = partial(arrays, every=wall.every)
    with silently():
        matrices, pull_params = arrays(params.reshape(count, each))
        found, pull_matrices = contract_joined(matrices, head, join, scale.reshape(1))

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        with silently():
            own, own_scale = pull_matrices(grad)
            flat = pull_params(own).reshape(-1)
        return flat if index is None else flat[index], own_scale

    return found, pull


class _AtOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wall: BrickWall, head: Columns | Train, join: Join, gates: Tensor, scale: Tensor) -> Tensor:
        ctx.wall = wall
        ctx.save_for_backward(gates, scale)
        found, ctx.pull = _build(wall, head, join, as_array(gates), as_array(scale))
        return torch.from_numpy(found)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gates, scale = ctx.saved_tensors
        create = torch.is_grad_enabled()
        if not create and is_plain(grad):
            own, own_scale = ctx.pull(as_array(grad))
            return None, None, None, torch.from_numpy(own), torch.from_numpy(own_scale).reshape(scale.shape)
        # As functions that have gradients themselves, or for a batch of them.
        wanted = ctx.needs_input_grad[3:]
        needed = [tensor for tensor, need in zip((gates, scale), wanted, strict=True) if need]
        with torch.enable_grad():
            found = ctx.wall.build_in_steps(gates, scale)
        again = iter(torch.autograd.grad(found, needed, grad, create_graph=create))
        return None, None, None, *(next(again) if need else None for need in wanted)
