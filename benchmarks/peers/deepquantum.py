"""DeepQuantum: ``evolve_state``, the step that its circuits take for every gate, on a real state.

A gate given as a matrix (``UAnyGate``) is a constant there, complex, and checked to be unitary when it is made; calling
the step directly keeps the gradient and works in float32, which is faster than its circuits are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import adqc


def prepare(wall: adqc.BrickWall) -> Callable[[Tensor], Tensor]:
    """From the gates, (G, 4, 4), to the amplitudes, (2^Q,)."""
    from deepquantum.qmath import evolve_state

    def run(gates: Tensor) -> Tensor:
        # shape: (1, 2, …, 2), the batch first, as DeepQuantum has it
        state = torch.zeros(2**wall.sites, dtype=gates.dtype, device=gates.device)
        state[0] = 1
        state = state.reshape([1] + [2] * wall.sites)
        for gate, sites in zip(gates, wall.wiring.gates, strict=True):
            state = evolve_state(state, gate, wall.sites, list(sites))
        return state.reshape(-1)

    return run
