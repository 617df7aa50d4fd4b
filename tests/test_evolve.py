"""Programs: every way to cut and fuse, and the ways to save memory in the backward pass, against the oracle."""

from __future__ import annotations

import itertools

import pytest
import torch
from route_suite import TWO_QUBIT, Case, joined, make_wall

import adqc
from adqc import brickwall
from adqc.engine import evolve, materialise
from adqc.engine.evolve import run_program
from adqc.engine.fusion import Fusion, fuse
from adqc.engine.program import _choose_form, make_program
from adqc.engine.split import cut, halves, shorten, slopes, whole
from adqc.engine.statevector import run_gates
from adqc.geometry import wire

FUSIONS = (Fusion(2, False), Fusion(4, False), Fusion(6, False), Fusion(4, True), Fusion(6, True))


@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize(
    ("gate", "sites", "depth"),
    [
        *((gate, *sizes) for gate in ("cartan", "su4", "free") for sizes in ((1, 2), (2, 3), (5, 4), (7, 5))),
        *(("o8", 3, 2), ("o8", 7, 3), ("o16", 7, 2)),
    ],
)
def test_every_cut_and_every_fusion(wiring, gate, sites, depth):
    wall = make_wall(Case(gate, wiring, "rows-first", depth, (2**sites,)))
    gates, state = wall.matrices().detach(), None if wall.state is None else wall.state.detach()
    due = run_gates(gates, wall.wiring, state)
    places = range(1 - depth, sites + depth)
    for fusion, slope in itertools.product(FUSIONS, slopes(wall.wiring)):
        chosen = [(p,) for p in places] + [(p, p + 2) for p in places] + [(p, p + 1, p + 3) for p in places]
        splits = [whole(wall.wiring), *(cut(wall.wiring, each, slope) for each in chosen)]
        for split in filter(None, splits):
            program = make_program(wall.wiring, split, fusion)
            found = joined(run_program(gates, program, state))
            torch.testing.assert_close(found, due, rtol=0, atol=1e-10 * max(1, due.abs().max().item()))


@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
@pytest.mark.parametrize("width", [2, 3, 5])
def test_blocks_hold_every_gate_once_and_are_no_wider_than_said(wiring, fusion, width):
    circuit = wire(wiring, 11, 6, width=width)
    blocks = fuse(circuit, range(len(circuit.gates)), fusion)
    assert sorted(k for block in blocks for k in block.gates) == list(range(len(circuit.gates)))
    assert max(block.high - block.low for block in blocks) <= max(fusion.width, width)
    # On every wire the gates come in their order.
    flat = [k for block in blocks for k in block.gates]
    for gates in circuit.wires:
        assert [k for k in flat if k in gates] == list(gates)


@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("depth", [2, 5, 8])
def test_no_axis_is_moved_between_the_products(wiring, depth):
    circuit = wire(wiring, 16, depth)
    for split, fusion in itertools.product(
        [whole(circuit), *halves(circuit)[:2]], [Fusion(4, False), Fusion(6, False)]
    ):
        program = make_program(circuit, split, fusion)
        assert not any(step.move for piece in program.pieces for step in piece.steps)


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize("keep", [0, 2**25])
def test_widened_and_flipped_blocks(gate, keep, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", keep)
    wall = make_wall(Case(gate, "brick-wall", "rows-first", 4, (2**12,)))
    program = make_program(wall.wiring, whole(wall.wiring), Fusion(4, True))
    steps = program.pieces[0].steps
    assert [{step.behind for step in steps if getattr(step, form)} for form in ("widened", "flipped")] == [{2}, {4}]
    gates = wall.matrices().detach().requires_grad_()
    start = None if wall.state is None else wall.state.detach().to(gates.dtype)
    turn = torch.randn(2**12, dtype=gates.dtype)
    for reversible in (False, True) if wall.family.unitary else (False,):
        found = run_program(gates, program, start, unitary=reversible)[0].flatten()
        due = run_gates(gates, wall.wiring, start)
        torch.testing.assert_close(found, due, rtol=0, atol=1e-12 * max(1, due.abs().max().item()))
        for a, b in zip(
            *(torch.autograd.grad((x * turn).abs().square().sum(), gates) for x in (found, due)), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * max(1, b.abs().max().item()))


def test_a_deep_circuit_on_arrays_flips_blocks_too():
    wall = make_wall(Case("cartan", "brick-wall", "interleaved", 24, (64, 64)))
    plan = materialise.make_plan(wall.wiring, wall.layout, "fused")
    assert any(step.flipped for step in plan.tail.pieces[0].steps)
    seed = torch.randn(64, 64, dtype=torch.float64)
    found, due = wall("fused"), wall("gates")
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(y, list(wall.parameters()), seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * max(1, b.abs().max().item()))


def test_which_blocks_are_widened_and_which_flipped():
    found = {
        (columns, behind): _choose_form(2**16 // columns // behind, columns, behind, columns)
        for columns, behind in itertools.product((4, 16, 64), (1, 2, 4, 8, 16))
    }
    assert {key for key, (widened, _) in found.items() if widened} == {(4, 2), (4, 4), (4, 8), (16, 2)}
    assert {key for key, (_, flipped) in found.items() if flipped} == {
        (4, 16), (16, 4), (16, 8), (64, 2), (64, 4), (64, 8),
    }  # fmt: skip
    # In the cache, and with few products, many small ones are no slower.
    assert _choose_form(2**5, 16, 8, 16) == (False, False)
    assert _choose_form(16, 64, 4, 64) == (False, False)


def test_cuts_need_few_bonds():
    # DESIGN: at most 4 for each gate across, 2 for one of the first layer; half a slanted staircase's.
    for depth in range(1, 9):
        assert halves(wire("brick-wall", 12, depth))[0].bonds[0] <= depth
        assert halves(wire("staircase", 12, depth))[0].bonds[0] <= depth
    early = shorten(wire("brick-wall", 6, 4), 1, 3)
    assert early.gates == wire("brick-wall", 6, 3).gates[3:]


@pytest.mark.parametrize("gate", [*TWO_QUBIT, "o8", "o16"])
@pytest.mark.parametrize("route", ["halves", "fused", "auto"])
def test_gradients_where_operands_are_computed_again(gate, route, monkeypatch):
    wall = make_wall(Case(gate, "brick-wall", "interleaved", 9 if gate in TWO_QUBIT else 3, (16, 20)))
    seed = torch.randn(16, 20, dtype=torch.float64)
    due = torch.autograd.grad(wall("gates"), list(wall.parameters()), seed)
    monkeypatch.setattr(evolve, "KEEP", 0)
    found = torch.autograd.grad(wall(route), list(wall.parameters()), seed)
    for a, b in zip(found, due, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9 * max(1, b.abs().max().item()))


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize("route", ["halves", "fused"])
def test_second_derivatives_where_operands_are_computed_again(gate, route, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", 0)
    wall = make_wall(Case(gate, "brick-wall", "interleaved", 7, (4, 6)))
    # The gates as leaves: directions that lead away from the unitary ones count as well.
    gates = wall.matrices().detach().requires_grad_()
    scale = wall.scale.detach().requires_grad_()
    start = None if wall.state is None else wall.state.detach().to(gates.dtype)
    seed, turn = torch.randn(4, 6, dtype=torch.float64), torch.randn_like(gates)
    results = []
    for way in (route, "gates"):
        options = {"scale": scale, "start": start, "route": way, "unitary": wall.family.unitary}
        weight = adqc.engine.build(gates, wall.wiring, wall.layout, **options)
        first, plain = torch.autograd.grad((weight**3 * seed).sum(), [gates, scale], create_graph=True)
        second = torch.autograd.grad((first * turn.conj()).real.sum() + plain**2, [gates, scale])
        results.append((first, plain, *second))
    for found, due in zip(*results, strict=True):
        torch.testing.assert_close(found, due, rtol=0, atol=1e-10 * max(1, due.abs().max().item()))


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
def test_halves_below_a_large_state_are_computed_again(gate, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", 0)
    wall = make_wall(Case(gate, "brick-wall", "interleaved", 9, (16, 20)))
    plan = materialise._plans(wall.wiring, wall.layout, 4, materialise._Flags(False, False, wall.family.real))[0]
    monkeypatch.setattr(materialise, "make_plan", lambda *args: plan)
    monkeypatch.setattr(brickwall, "build_at_once", lambda *_: None)
    seed, parameters = torch.randn(16, 20, dtype=torch.float64), list(wall.parameters())
    results = []
    for route in ("auto", "gates"):
        first = torch.autograd.grad((wall(route) ** 3 * seed).sum(), parameters, create_graph=True)
        results.append([*first, *torch.autograd.grad(sum((x**2).sum() for x in first), parameters)])
    for found, due in zip(*results, strict=True):
        torch.testing.assert_close(found, due, rtol=0, atol=1e-9 * max(1, due.abs().max().item()))


def saved_bytes(build):
    """Bytes that autograd keeps for the backward pass, each storage counted once."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        build()
    return sum(kept.values())


@pytest.mark.parametrize("depth", [32, 128])
def test_a_deep_unitary_circuit_keeps_few_states(depth, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", 2**20)
    wall = adqc.BrickWall((256, 256), adqc.Circuit(depth=depth, start="haar"))
    state = 2**16 * 4
    # Four states are operands that KEEP allows.
    gates = saved_bytes(wall.matrices) + 10 * wall.matrices().numel() * 4
    blocks = 4 * 64 * 64 * 2 * len(fuse(wall.wiring, range(len(wall.wiring.gates)), Fusion(6, True)))
    assert saved_bytes(wall) <= (4 + 2) * state + gates + blocks
    # With all operands kept it would be many more.
    monkeypatch.setattr(evolve, "KEEP", 2**40)
    assert saved_bytes(wall) > depth / 4 * state


def test_a_deep_circuit_of_free_gates_keeps_a_root_of_its_states(monkeypatch):
    config = adqc.Circuit(depth=64, gate="free", route="fused")
    wall = adqc.BrickWall((512, 256), config)
    monkeypatch.setattr(evolve, "KEEP", 2**40)
    all_kept = saved_bytes(wall)
    monkeypatch.setattr(evolve, "KEEP", 0)
    assert saved_bytes(wall) < 0.5 * all_kept


def test_plans_are_kept_and_bounded():
    wall = adqc.BrickWall((64, 64), adqc.Circuit(depth=4))
    first = materialise.make_plan(wall.wiring, wall.layout)
    assert materialise.make_plan(wall.wiring, wall.layout) is first
    assert materialise._make_plan.cache_info().maxsize is not None


@pytest.mark.parametrize(
    ("shape", "depth", "route"),
    [((1024, 1024), 4, "halves"), ((1024, 1024), 8, "halves"), ((256, 784), 16, "halves + fused"), ((4,), 9, "fused")],
)
def test_what_auto_takes(shape, depth, route):
    wall = adqc.BrickWall(shape, adqc.Circuit(depth=depth))
    found = adqc.engine.describe_route(wall.wiring, wall.layout)
    assert found == route
