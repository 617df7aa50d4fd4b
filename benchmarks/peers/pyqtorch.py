"""pyqtorch: ``apply_operator``, the step that its circuits take for every gate, on a real state.

Its circuits' own gates are made of fixed matrices or single rotations in complex128; calling their common step directly
lets it work in float32, without their objects, which is faster than they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import adqc


def prepare(wall: adqc.BrickWall) -> Callable[[Tensor], Tensor]:
    """From the gates, (G, 4, 4), to the amplitudes, (2^Q,)."""
    from pyqtorch.apply import apply_operator

    def run(gates: Tensor) -> Tensor:
        # shape: (2, …, 2, 1), the batch last, as pyqtorch has it
        state = torch.zeros(2**wall.sites, dtype=gates.dtype, device=gates.device)
        state[0] = 1
        state = state.reshape([2] * wall.sites + [1])
        for gate, sites in zip(gates.unsqueeze(-1), wall.wiring.gates, strict=True):
            state = apply_operator(state, gate, sites)
        return state.reshape(-1)

    return run
