"""The oracle: the state, gate by gate, in plain torch. Every faster way is checked against it."""

from __future__ import annotations

import torch
from torch import Tensor

from adqc.geometry import Wiring


def product_state(vectors: Tensor) -> Tensor:
    """The product of one vector a site.

    Args:
        vectors: (Q, 2).

    Returns:
        (2^Q,), the first site most significant.
    """
    state = vectors.new_ones(1)
    for vector in vectors.unbind(0):
        state = (state.unsqueeze(1) * vector).flatten()
    return state


def zero_state(sites: int, like: Tensor) -> Tensor:
    """|0…0> of this many sites, (2^Q,), with the dtype and device of ``like``."""
    state = like.new_zeros(2**sites)
    state[0] = 1
    return state


def apply_gate(state: Tensor, gate: Tensor, site: int) -> Tensor:
    """The state after one gate.

    Args:
        state: (2^Q,), or (2^Q, batch).
        gate: (2^k, 2^k), ``gate[out, in]``, on the k neighbouring sites from ``site`` on.
        site: First site of the gate.

    Returns:
        The new state, of the same shape.
    """
    before = 2**site
    # shape: (sites before, gate's sites, sites after and batch)
    return torch.matmul(gate, state.reshape(before, gate.shape[-1], -1)).reshape(state.shape)


def run_gates(gates: Tensor, wiring: Wiring, start: Tensor | None = None) -> Tensor:
    """The state that the circuit prepares.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        wiring: Where they act.
        start: (Q, 2), the product state to begin with; None for |0…0>.

    Returns:
        (2^Q,), the first site most significant; complex where the gates are.
    """
    state = zero_state(wiring.sites, gates) if start is None else product_state(start.to(gates.dtype))
    for gate, sites in zip(gates.unbind(0), wiring.gates, strict=True):
        state = apply_gate(state, gate, sites[0])
    return state
