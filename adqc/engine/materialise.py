"""The weight, built: two halves of the chain and one product, then what is left of a deep circuit on the whole state.

The first layers of a circuit make little entanglement, so the halves share few bonds and one matrix product joins them.
From some layer on the bonds would be wider than the state; from there the gates, fused into blocks, act on the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adqc.arrays import own_backward
from adqc.constants import constant, plans
from adqc.engine import cost
from adqc.engine.absorb import absorb, is_absorbed
from adqc.engine.arrange import crop
from adqc.engine.columns import DEEPEST_SLICED, Columns, make_columns
from adqc.engine.contract import as_halves
from adqc.engine.evolve import is_large, run_on, run_program
from adqc.engine.fusion import FUSIONS, Fusion
from adqc.engine.join import Join, join_as_they_lie, join_halves, make_join
from adqc.engine.patches import Patches, make_patches, peel_patches
from adqc.engine.peel import find_peel, place
from adqc.engine.program import Program, find_programs, make_program
from adqc.engine.split import Split, halves, shorten, whole
from adqc.engine.train import Train
from adqc.engine.windows import Windows, find_windows
from adqc.geometry import Layout, Wiring

# Layers at which a deep circuit may go over from halves to the whole state; more of them would only cost time.
SWITCHES = (4, 8)
# What complex gates cost without loops, for each second of real ones.
COMPLEX = 2.5


@dataclass(frozen=True)
class Plan:
    """How a weight is built.

    Args:
        head: The two halves of the first layers; None where all gates act on the whole state.
        tail: The other layers, on the whole state; None where there are none. Windows only where loops are asked for.
        first: Number of gates that the head is given.
        peeled: Those of them that it leaves to the tail, which takes them ahead of the others.
        join: How the halves become the weight, or the state before a tail; None without halves.
        seconds: What it costs, see :mod:`adqc.engine.cost`.
    """

    head: Program | Columns | Train | Patches | None
    tail: Program | Windows | None
    first: int
    peeled: tuple[int, ...]
    join: Join | None
    seconds: float


@plans
def make_plan(
    wiring: Wiring, layout: Layout, route: str = "auto", *, in_loops: bool = False, unitary: bool = False,
    real: bool = True,
) -> Plan:  # fmt: skip
    """The cheapest plan.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        route: ``"halves"`` (all layers in the head, where there are two sites), ``"fused"`` (all in the tail), or
            ``"auto"``. All begin with |0…0>, as gates take a product state in.
        in_loops: Whether gates that act on a whole state do so in loops, where it is small or unitary, see
            :mod:`adqc.engine.gate_loops` and :mod:`adqc.engine.undone`; on the CPU.
        unitary: Whether transposed gates undo the gates, so that loops may take any number of them.
        real: Whether the gates are real; loops take complex ones as real ones, see :mod:`adqc.engine.planes`.
    """
    return _make_plan(wiring, layout, route, in_loops, unitary, real or not in_loops)


@lru_cache(maxsize=256)
def _make_plan(wiring: Wiring, layout: Layout, route: str, in_loops: bool, unitary: bool, real: bool) -> Plan:
    depth, flags = len(wiring.layers), _Flags(in_loops, unitary, real)
    route = "auto" if route == "matrix-free" else route
    lasts = {"fused": [0], "halves": [depth]}.get(route) or sorted(
        {0, depth, *(last for last in SWITCHES if last < depth)}
    )
    plans = _list_plans(wiring, layout, lasts, flags)
    if not real:
        slower = _list_plans(wiring, layout, lasts, _Flags(False, unitary, False))
        plans += [replace(plan, seconds=COMPLEX * plan.seconds) for plan in slower]
    return min(plans, key=lambda plan: plan.seconds)


class _Flags(NamedTuple):
    """As of :func:`make_plan`."""

    in_loops: bool
    unitary: bool
    real: bool

    @property
    def planes(self) -> int:
        """In how many planes loops take the gates."""
        return 2 if self.in_loops and not self.real else 1


def _list_plans(wiring: Wiring, layout: Layout, lasts: Sequence[int], flags: _Flags) -> list[Plan]:
    plans = [plan for last in lasts for plan in _plans(wiring, layout, last, flags)]
    # One site, or one gate over all sites, cannot be cut.
    return plans or _plans(wiring, layout, 0, flags)


def _plans(wiring: Wiring, layout: Layout, last: int, flags: _Flags) -> list[Plan]:
    """Plans whose heads are the layers up to the last one, but for what is peeled off them."""
    if not last:
        tails = _tails(wiring, layout, None, FUSIONS, flags)
        return [Plan(None, tail, 0, (), None, _tail_cost(tail)) for tail in tails]
    depth, early = len(wiring.layers), shorten(wiring, 0, last)
    # Of a deep circuit the halves are hardly ever taken alone, and their programs are long to plan.
    splits = halves(early)[: 2 if last == depth <= DEEPEST_SLICED else 1]
    # Wider than this a half would be larger than the state.
    most = max(wiring.sites, 8) + 2
    splits = [split for split in splits if split.bonds[0] + max(map(len, split.sites)) <= most]
    plans = [plan for split in splits for plan in _peeled_plans(wiring, layout, early, split, flags)]
    ranks: Sequence[int] = layout.order if last == depth else range(wiring.sites)
    programs: list[Program | Columns | Train | Patches] = []
    if flags.planes == 1:
        programs += [program for split in splits for program in find_programs(early, split, ranks=ranks)]
    if flags.in_loops:
        patches = [make_patches(early, split, ranks=ranks, real=flags.real) for split in splits]
        programs += [own for own in patches if own is not None]
    if not programs:
        return plans
    if last == depth:
        heads = [(program, make_join(program.pieces, layout)) for program in programs]
    else:
        heads = [(program, make_join(program.pieces, planes=flags.planes)) for program in programs]
    costs = [cost.program_cost(head) + (join.in_loops if flags.in_loops else join.seconds) for head, join in heads]
    seconds, (head, join) = min(zip(costs, heads, strict=True), key=lambda pair: pair[0])
    first = len(early.gates)
    if last == depth:
        return [*plans, Plan(head, None, first, (), join, seconds)]
    tails = _tails(shorten(wiring, last, depth), layout, range(wiring.sites), FUSIONS, flags)
    return [*plans, *(Plan(head, tail, first, (), join, seconds + _tail_cost(tail)) for tail in tails)]


def _peeled_plans(wiring: Wiring, layout: Layout, early: Wiring, split: Split, flags: _Flags) -> list[Plan]:
    """Plans whose heads leave gates in the middle to their tails, see :mod:`adqc.engine.peel`."""
    peeled, first = find_peel(early, split), len(early.gates)
    if not peeled:
        return []
    border = split.sites[1].start
    behind = [*peeled, *range(first, len(wiring.gates))]
    late = Wiring(wiring.sites, tuple(wiring.gates[k] for k in behind), (len(behind),))
    alone = len(behind) == len(peeled)
    # With gates on all sites behind it the state's sites lie in their order.
    ranks = place(layout.order, late, border) if alone else range(wiring.sites)
    made: list[Columns | Patches | None] = []
    if flags.planes == 1:
        made += [make_columns(early, (border,), ranks=ranks, sliced=sliced, peeled=peeled) for sliced in (False, True)]
    if flags.in_loops:
        made.append(peel_patches(early, peeled, border, ranks=ranks, real=flags.real))
    heads = [head for head in made if head is not None]
    if not heads:
        return []
    head = min(heads, key=cost.program_cost)
    join = join_as_they_lie(head.pieces, planes=flags.planes)
    order = [site for piece in head.pieces for site in piece.sites]
    tails = _tails(late, layout, order, FUSIONS[:1] if alone else FUSIONS, flags)
    # A tail that is there anyway needs the state, too.
    seconds = cost.program_cost(head) + (join.in_loops if flags.in_loops else join.seconds)
    seconds += cost.another(flags.planes * 2**wiring.sites) if alone else 0.0
    return [Plan(head, tail, first, peeled, join, seconds + _tail_cost(tail)) for tail in tails]


def _tails(
    late: Wiring, layout: Layout, order: Sequence[int] | None, fusions: Sequence[Fusion], flags: _Flags
) -> Sequence[Program | Windows]:
    """The ways to apply gates to a state that holds the sites in this order; None where it is |0…0>."""
    if flags.in_loops:
        sites, zeros = range(late.sites) if order is None else order, order is None
        windows = find_windows(late, layout, sites, zeros=zeros, unitary=flags.unitary, real=flags.real)
        if windows is not None:
            return [windows]
        if flags.planes > 1:
            return []
    return [make_program(late, whole(late), fusion, ranks=layout.order, running=order) for fusion in fusions]


def _tail_cost(tail: Program | Windows) -> float:
    return cost.windows_cost(tail) if isinstance(tail, Windows) else cost.program_cost(tail)


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
    assert not isinstance(plan.tail, Windows), "no loops were asked for"
    if start is not None and is_absorbed(wiring):
        gates, start = absorb(gates, start, wiring), None
    if plan.head is None:
        assert plan.tail is not None, "a plan without a head has a tail"
        (state,) = run_program(gates, plan.tail, start, scale, unitary=unitary)
    elif plan.tail is None:
        state = _build_head(plan, gates, scale, start, unitary)
    else:
        head, tail = gates[: plan.first], gates[plan.first :]
        if plan.peeled:
            peeled = gates.index_select(0, constant(plan.peeled, gates, dtype=torch.long))
            tail = torch.cat([peeled, tail])
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
    assert not isinstance(plan.head, Patches), "no loops were asked for"
    assert plan.join is not None, "halves are joined"
    pieces = run_program(gates, plan.head, start, scale, unitary=unitary)
    return join_halves(*as_halves(pieces), plan.join, real=plan.tail is None)
