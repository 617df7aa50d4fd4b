"""The ways from gates to a weight: all give the same tensor and the same gradients."""

from __future__ import annotations

from torch import Tensor

from adqc.engine.arrange import to_tensor
from adqc.engine.fused import run_fused
from adqc.engine.halves import build_by_halves, find_cut
from adqc.engine.network import contract_network
from adqc.engine.statevector import run_gates
from adqc.geometry import Layout, Wiring

__all__ = ["build", "choose_route"]


def choose_route(wiring: Wiring) -> str:
    """The cheaper of ``"halves"`` and ``"fused"`` for this wiring, by multiply-adds."""
    cut = find_cut(wiring)
    # A block is as wide as the bond on both of its sides: beyond the size of the state it does not pay.
    if 2 * cut.widest > max(wiring.sites, 6):
        return "fused"
    # A fused block takes 64 multiply-adds an amplitude for three gates, and moves the state through memory.
    return "halves" if cut.bond <= 64 * len(wiring.gates) + 64 else "fused"


def build(gates: Tensor, wiring: Wiring, layout: Layout, *, start: Tensor | None = None, route: str = "auto") -> Tensor:
    """The weight, before the scale.

    Args:
        gates: (G, 4, 4), in the order in which they act.
        wiring: Where they act.
        layout: Shape and order of the sites.
        start: (Q, 2), the product state to begin with; None for |0…0>.
        route: ``"auto"``, ``"halves"`` (``"fused"`` where the bond exceeds the state), ``"fused"``,
            ``"network"`` or ``"gates"``.

    Returns:
        A real tensor of ``layout.shape``.
    """
    if route in ("auto", "halves"):
        route = choose_route(wiring)
    if route == "halves":
        return build_by_halves(gates, wiring, layout, start)
    ways = {"fused": run_fused, "network": contract_network, "gates": run_gates}
    state = ways[route](gates, wiring, start)
    return to_tensor(state.real if state.is_complex() else state, layout)
