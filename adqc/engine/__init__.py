"""The ways from gates to a weight: all give the same tensor and the same gradients."""

from __future__ import annotations

from torch import Tensor

from adqc.engine.arrange import to_tensor
from adqc.engine.materialise import build_weight, make_plan
from adqc.engine.network import contract_network
from adqc.engine.statevector import run_gates
from adqc.geometry import Layout, Wiring

__all__ = ["build", "describe_route"]


def describe_route(
    wiring: Wiring, layout: Layout, *, in_loops: bool = False, unitary: bool = False, real: bool = True
) -> str:
    """What ``route="auto"`` does for this geometry: ``"halves"``, ``"fused"``, or both one after the other.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        in_loops: As for :func:`adqc.engine.materialise.make_plan`.
        unitary: The same.
        real: The same.
    """
    plan = make_plan(wiring, layout, in_loops=in_loops, unitary=unitary, real=real)
    if plan.head is None:
        return "fused"
    return "halves" if plan.first == len(wiring.gates) else "halves + fused"


def build(
    gates: Tensor,
    wiring: Wiring,
    layout: Layout,
    *,
    scale: Tensor,
    start: Tensor | None = None,
    route: str = "auto",
    unitary: bool = False,
) -> Tensor:
    """The weight.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        wiring: Where they act.
        layout: Shape and order of the sites.
        scale: (), multiplies the weight.
        start: (Q, 2), the product state to begin with; None for |0…0>.
        route: ``"auto"``, ``"halves"``, ``"fused"``, ``"network"`` or ``"gates"``; ``"matrix-free"`` is for layers
            and means ``"auto"`` here.
        unitary: Whether the gates are unitary, so that the backward pass may undo them.

    Returns:
        A real tensor of ``layout.shape``.
    """
    if route not in ("network", "gates"):
        return build_weight(gates, wiring, layout, scale, start, route=route, unitary=unitary)
    ways = {"network": contract_network, "gates": run_gates}
    state = ways[route](gates, wiring, start)
    return to_tensor(state.real if state.is_complex() else state, layout) * scale
