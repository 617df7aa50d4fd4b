"""tensorcircuit-ng: its ``Circuit`` on the torch backend in complex64, the contraction's order kept between calls.

A circuit is made anew at each call, as its users do; the order in which its network is contracted is found once by
cotengra (the checked, untimed call finds it). Its jit is torch's compiler and is not used.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import adqc


def prepare(wall: adqc.BrickWall) -> Callable[[Tensor], Tensor]:
    """From the gates, (G, 4, 4), to the amplitudes, (2^Q,)."""
    import cotengra
    import tensorcircuit as tc

    tc.set_backend("pytorch")
    tc.set_dtype("complex64")
    optimizer = cotengra.ReusableHyperOptimizer(methods=["greedy"], max_repeats=32, parallel=False, progbar=False)
    tc.set_contractor("custom", optimizer=optimizer, preprocessing=True)

    def run(gates: Tensor) -> Tensor:
        circuit = tc.Circuit(wall.sites)
        for gate, sites in zip(gates.to(torch.complex64), wall.wiring.gates, strict=True):
            circuit.any(*sites, unitary=gate)
        state: Tensor = circuit.state()
        return state

    return run
