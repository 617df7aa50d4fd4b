"""The weight, built: two halves of the chain and one product, then what is left of a deep circuit on the whole state.

The first layers of a circuit make little entanglement, so the halves share few bonds and one matrix product joins them.
From some layer on the bonds would be wider than the state; from there the gates, fused into blocks, act on the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adqc.arrays import own_backward
from adqc.constants import plans
from adqc.engine import cost
from adqc.engine.arrange import crop
from adqc.engine.columns import DEEPEST_SLICED, Columns
from adqc.engine.contract import as_halves
from adqc.engine.evolve import is_large, run_on, run_program
from adqc.engine.fusion import FUSIONS
from adqc.engine.join import Join, join_halves, make_join
from adqc.engine.program import Program, find_programs, make_program
from adqc.engine.split import halves, shorten, whole
from adqc.engine.train import Train
from adqc.geometry import Layout, Wiring

# Layers at which a deep circuit may go over from halves to the whole state; more of them would only cost time.
SWITCHES = (4, 8)


@dataclass(frozen=True)
class Plan:
    """How a weight is built.

    Args:
        head: The two halves of the first layers; None where all gates act on the whole state.
        tail: The other layers, on the whole state; None where there are none.
        first: Number of gates in the head.
        join: How the halves become the weight, or the state before a tail; None without halves.
        seconds: What it costs, see :mod:`adqc.engine.cost`.
    """

    head: Program | Columns | Train | None
    tail: Program | None
    first: int
    join: Join | None
    seconds: float


@plans
def make_plan(wiring: Wiring, layout: Layout, route: str = "auto") -> Plan:
    """The cheapest plan.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        route: ``"halves"`` (all layers in the head, where there are two sites), ``"fused"`` (all in the tail), or
            ``"auto"``.
    """
    return _make_plan(wiring, layout, route)


@lru_cache(maxsize=256)
def _make_plan(wiring: Wiring, layout: Layout, route: str) -> Plan:
    depth = len(wiring.layers)
    route = "auto" if route == "matrix-free" else route
    lasts = {"fused": [0], "halves": [depth]}.get(route) or sorted(
        {0, depth, *(last for last in SWITCHES if last < depth)}
    )
    plans = [plan for last in lasts for plan in _plans(wiring, layout, last)]
    if not plans:
        # One site, or one gate over all sites, cannot be cut.
        plans = _plans(wiring, layout, 0)
    return min(plans, key=lambda plan: plan.seconds)


def _plans(wiring: Wiring, layout: Layout, last: int) -> list[Plan]:
    depth = len(wiring.layers)
    heads: list[tuple[Program | Columns | Train | None, Join | None, float]] = [(None, None, 0.0)]
    if last:
        heads = []
        early = shorten(wiring, 0, last)
        ranks: Sequence[int] = layout.order if last == depth else range(wiring.sites)
        programs: list[Program | Columns | Train] = []
        # Of a deep circuit the halves are hardly ever taken alone, and their programs are long to plan.
        for split in halves(early)[: 2 if last == depth <= DEEPEST_SLICED else 1]:
            # Wider than this a half would be larger than the state.
            if split.bonds[0] + max(map(len, split.sites)) > max(wiring.sites, 8) + 2:
                continue
            programs += find_programs(early, split, ranks=ranks)
        for made in programs:
            found = make_join(made.pieces, layout if last == depth else None)
            heads.append((made, found, cost.program_cost(made) + found.seconds))
        heads = sorted(heads, key=lambda entry: entry[2])[:1]
    if not heads:
        return []
    ((head, join, seconds),) = heads
    first = sum(wiring.layers[:last])
    if last == depth:
        return [Plan(head, None, first, join, seconds)]
    late = shorten(wiring, last, depth) if last else wiring
    tails = [make_program(late, whole(late), fusion, ranks=layout.order, running=bool(last)) for fusion in FUSIONS]
    return [
        Plan(
            head,
            tail,
            first,
            join,
            seconds + cost.program_cost(tail, at_once=not is_large(tail.pieces[0], cost.ELEMENT)),
        )
        for tail in tails
    ]


def build_weight(
    gates: Tensor,
    wiring: Wiring,
    layout: Layout,
    scale: Tensor,
    start: Tensor | None = None,
    *,
    route: str = "auto",
    unitary: bool = False,
) -> Tensor:
    """The weight by the plan of its geometry; arguments as for :func:`adqc.engine.build`."""
    plan = make_plan(wiring, layout, route)
    if plan.head is None:
        assert plan.tail is not None, "a plan without a head has a tail"
        (state,) = run_program(gates, plan.tail, start, scale, unitary=unitary)
    elif plan.tail is None:
        state = _build_head(plan, gates, scale, start, unitary)
    else:
        head, tail = gates[: plan.first], gates[plan.first :]
        if own_backward() and is_large(plan.tail.pieces[0], gates.element_size()):
            # Beside large states what the halves keep would not pass unseen.
            options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
            state = checkpoint(_build_head, plan, head, scale, start, unitary, **options)
        else:
            state = _build_head(plan, head, scale, start, unitary)
        state = run_on(state.reshape(-1), tail, plan.tail, unitary=unitary)
    if state.is_complex():
        state = state.real
    return state if plan.tail is None else crop(state.reshape(layout.padded), layout)


def _build_head(plan: Plan, gates: Tensor, scale: Tensor, start: Tensor | None, unitary: bool) -> Tensor:
    assert plan.head is not None, "halves are asked for"
    assert plan.join is not None, "halves are joined"
    pieces = run_program(gates, plan.head, start, scale, unitary=unitary)
    return join_halves(*as_halves(pieces), plan.join, real=plan.tail is None)
