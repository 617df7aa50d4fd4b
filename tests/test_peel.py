"""Gates taken out of the halves and put behind the join: every way against the oracle."""

from __future__ import annotations

import pytest
import torch
from route_suite import Case, joined, make_wall, take_in

import adqc
from adqc import arrays, at_once
from adqc.engine import evolve, materialise
from adqc.engine.columns import make_columns
from adqc.engine.evolve import run_program
from adqc.engine.patches import Patches
from adqc.engine.peel import find_peel, place
from adqc.engine.split import cut, halves
from adqc.engine.statevector import run_gates
from adqc.geometry import Wiring, brick_wall, layout, wire


def peeled_columns(wiring):
    found = []
    for split in halves(wiring):
        peeled = find_peel(wiring, split)
        borders = [split.sites[1].start]
        made = (make_columns(wiring, borders, sliced=sliced, peeled=peeled) for sliced in (False, True) if peeled)
        found += [(peeled, columns) for columns in made if columns is not None]
    return found


def flags(wall, in_loops):
    return materialise._Flags(in_loops, unitary=False, real=wall.family.real)


def force(monkeypatch, wall, last=None):
    """Have the wall built by the cheapest plan that peels the first layers."""
    last = len(wall.wiring.layers) if last is None else last
    for module, in_loops in ((at_once, True), (materialise, False)):
        plans = materialise._plans(wall.wiring, wall.layout, last, flags(wall, in_loops))
        plan = min((plan for plan in plans if plan.peeled), key=lambda plan: plan.seconds)
        monkeypatch.setattr(module, "make_plan", lambda *args, plan=plan, **options: plan)
    return plan


def assert_same(wall, seed, tolerance=1e-10):
    parameters = list(wall.parameters())
    found, due = wall("halves"), wall("gates")
    torch.testing.assert_close(found, due, rtol=0, atol=tolerance)
    for a, b in zip(*(torch.autograd.grad(y, parameters, seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=10 * tolerance * max(1, b.abs().max().item()))
    with torch.no_grad():
        torch.testing.assert_close(wall("halves"), due, rtol=0, atol=tolerance)


def test_which_gates_are_peeled():
    even, odd = brick_wall(12, 8), brick_wall(12, 7)
    assert [even.gates[k] for k in find_peel(even, cut(even, (4,)))] == [(4, 5), (3, 4), (5, 6)]
    assert [odd.gates[k] for k in find_peel(odd, cut(odd, (5,)))] == [(5, 6), (4, 5), (6, 7)]
    for wiring, place_ in ((even, 4), (odd, 5)):
        peeled = find_peel(wiring, cut(wiring, (place_,)))
        # They come last: no other gate acts on what they leave.
        others = [k for k in range(len(wiring.gates)) if k not in peeled]
        touched = {site: max(k for k in others if site in wiring.gates[k]) for site in range(12)}
        assert all(k > touched[site] for k in peeled for site in wiring.gates[k])


def test_where_nothing_is_peeled():
    for wiring in (brick_wall(12, 4), wire("staircase", 12, 8), wire("brick-wall", 12, 6, width=3)):
        assert all(find_peel(wiring, split) == () for split in halves(wiring))
    # The last column has no gate behind it that could be taken out.
    wiring = brick_wall(8, 8)
    splits = [split for place_ in range(1, 8) if (split := cut(wiring, (place_,))) is not None]
    late = [split for split in splits if split.sites[1].start >= 6]
    assert late
    assert all(find_peel(wiring, split) == () for split in late)


def test_the_block_lies_in_the_middle():
    ranks = place((5, 0, 4, 1, 3, 2), Wiring(6, ((1, 2), (2, 3)), (2,)), 2)
    assert sorted(range(2), key=ranks.__getitem__) == [0, 1]
    assert sorted(range(2, 6), key=ranks.__getitem__) == [2, 3, 5, 4]


@pytest.mark.parametrize("small", [0, 2**17])
@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize(("sites", "depth"), [(7, 5), (8, 6), (9, 7), (8, 8), (10, 8), (9, 9), (9, 10)])
def test_halves_without_them(gate, sites, depth, small, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    wall = make_wall(Case(gate, "brick-wall", "rows-first", depth, (2**sites,)))
    wiring, state = wall.wiring, None if wall.state is None else wall.state.detach()
    gates = wall.matrices().detach().requires_grad_()
    found = peeled_columns(wiring)
    assert found
    for peeled, columns in found:
        others = [k for k in range(len(wiring.gates)) if k not in peeled]
        early = Wiring(sites, tuple(wiring.gates[k] for k in others), (len(others),))
        due = run_gates(gates[others], early, state)
        pieces = run_program(take_in(gates, state, wiring), columns)
        assert pieces[0].shape[2] == pieces[1].shape[0] == 2 ** (depth - 3)
        assert [piece.shape for piece in pieces] == [piece.shape for piece in columns.pieces]
        scale = max(1, due.abs().max().item())
        torch.testing.assert_close(joined(pieces), due, rtol=0, atol=1e-10 * scale)
        seed = torch.randn_like(due)
        first, second = (torch.autograd.grad((y * seed).abs().square().sum(), gates)[0] for y in (joined(pieces), due))
        torch.testing.assert_close(first, second, rtol=0, atol=1e-9 * max(1, second.abs().max().item()))


# In torch with operands computed again, in torch, on arrays.
@pytest.mark.parametrize(("keep", "small"), [(0, 0), (2**25, 0), (2**25, 2**17)])
@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "free"])
@pytest.mark.parametrize("layout_", ["interleaved", "rows-first", "random"])
@pytest.mark.parametrize(
    ("shape", "depth", "last"), [((16, 16), 7, None), ((13, 40), 8, None), ((5, 4, 6), 6, None), ((32, 18), 11, 8)]
)
def test_weights(gate, layout_, shape, depth, last, keep, small, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", keep)
    monkeypatch.setattr(arrays, "SMALL", small)
    wall = make_wall(Case(gate, "brick-wall", layout_, depth, shape))
    plan = force(monkeypatch, wall, last)
    assert len(plan.peeled) == 3
    assert_same(wall, torch.randn(shape, dtype=torch.float64), 1e-10 * max(1, wall("gates").abs().max().item()))


@pytest.mark.parametrize("small", [0, 2**17])
@pytest.mark.parametrize("gate", ["cartan", "cartan-su4", "free"])
def test_second_derivatives(gate, small, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    wall = make_wall(Case(gate, "brick-wall", "interleaved", 5, (8, 8)))
    force(monkeypatch, wall)
    seed, parameters, results = torch.randn(8, 8, dtype=torch.float64), list(wall.parameters()), []
    for route in ("halves", "gates"):
        first = torch.autograd.grad((wall(route) ** 3 * seed).sum(), parameters, create_graph=True)
        results.append([*first, *torch.autograd.grad(sum((x**2).sum() for x in first), parameters)])
    for found, due in zip(*results, strict=True):
        torch.testing.assert_close(found, due, rtol=0, atol=1e-9 * max(1, due.abs().max().item()))


def test_many_walls_at_once():
    wiring = brick_wall(8, 6)
    ((_, columns), *_) = peeled_columns(wiring)
    gates = torch.randn(3, len(wiring.gates), 4, 4, dtype=torch.float64)

    def build(gates):
        return joined(run_program(gates, columns))

    due = torch.stack([build(own) for own in gates])
    torch.testing.assert_close(torch.func.vmap(build)(gates), due)
    # Each gradient on its own.
    found = torch.func.vmap(torch.func.grad(lambda own: build(own).square().sum()))(gates)
    leaf = gates.requires_grad_()
    due = torch.autograd.grad(sum(build(own).square().sum() for own in leaf), leaf)[0]
    torch.testing.assert_close(found, due)


def test_what_auto_peels():
    def peels(depth, size, **options):
        weights = layout((size, size))
        return bool(materialise.make_plan(brick_wall(weights.sites, depth), weights, **options).peeled)

    # Where the bond is the most of the work; elsewhere the block would cost more.
    assert [depth for depth in range(1, 13) if peels(depth, 1024)] == [7, 8, 9, 10, 11, 12]
    assert not any(peels(depth, 16) for depth in range(1, 9))
    # In loops gates on the whole state take over sooner, and do all of a small one.
    assert [depth for depth in range(1, 13) if peels(depth, 1024, in_loops=True)] == [7, 8, 9, 10]
    assert not any(peels(depth, 128, in_loops=True) for depth in range(1, 13))
    # A large state is one more that goes through memory, which takes longer than a bond of up to 256.
    assert [depth for depth in (8, 9, 10) if peels(depth, 4096)] == [10]


def test_a_plan_that_peels_compiles_into_one_graph():
    wall = adqc.BrickWall((512, 512), adqc.Circuit(depth=8))
    assert materialise.make_plan(wall.wiring, wall.layout).peeled
    assert adqc.engine.describe_route(wall.wiring, wall.layout) == "halves"
    compiled = torch.compile(wall, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(), wall())
    seed, parameters = torch.randn(512, 512), list(wall.parameters())
    for a, b in zip(*(torch.autograd.grad(y, parameters, seed) for y in (compiled(), wall())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gate", ["cartan", "cartan-su4"])
@pytest.mark.parametrize(("shape", "order", "depth"), [((60, 64), "interleaved", 8), ((128, 50), "rows-first", 9)])
def test_halves_made_as_states_leave_the_middle_alone(team, monkeypatch, shape, order, depth, gate):
    wall = adqc.BrickWall(shape, adqc.Circuit(depth=depth, layout=order, gate=gate), dtype=torch.float64)
    peeled = [
        plan
        for last in (8, depth)
        for plan in materialise._plans(wall.wiring, wall.layout, last, flags(wall, True))
        if plan.peeled and isinstance(plan.head, Patches)
    ]
    assert peeled
    parameters, seed = list(wall.parameters()), torch.randn(shape, dtype=torch.float64)
    due = wall("gates")
    for plan in peeled:
        monkeypatch.setattr(at_once, "make_plan", lambda *_, plan=plan, **__: plan)
        found = wall()
        torch.testing.assert_close(found, due, rtol=0, atol=1e-13)
        pairs = (torch.autograd.grad(y, parameters, seed, retain_graph=True) for y in (found, due))
        for a, b in zip(*pairs, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
