"""Two pieces and the gate between them, against the oracle's weight and torch's product with it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import adqc
from adqc import matrix_free
from adqc.engine import apply_loops, chain, pair
from adqc.engine.apply import apply_chain
from adqc.engine.pair import apply_pair, suits_pair
from adqc.engine.split import cut
from adqc.geometry import LAYOUTS

# Rows and columns, depth and inputs: even and odd depth; cropped rows, columns, or both; fewer inputs than a vector
# has places, or as many, or some more; sides that fill pairs of vectors, or not.
CASES = [
    ((64, 64), 4, 16),
    ((60, 50), 5, 40),
    ((33, 200), 3, 5),
    ((256, 20), 6, 17),
    ((100, 700), 4, 64),
    ((16, 16), 2, 33),
]


def make_wall(shape, depth, order="interleaved", gate="cartan", dtype=torch.float64):
    wall = adqc.BrickWall(shape, adqc.Circuit(depth=depth, layout=order, gate=gate), dtype=dtype)
    return move_(wall)


def move_(wall):
    """Its scale, and its product state where it has one, away from their special values."""
    with torch.no_grad():
        wall.scale.fill_(1.75)
        if wall.state is not None:
            wall.state.normal_()
    return wall


def make_crossings(wall, batch):
    return [
        chain._finish_crossing(wall.wiring, wall.layout, crossing, batch)
        for crossing in chain._find_crossings(wall.wiring, wall.layout)
    ]


def compare(plan, wall, x, *, trained=True, whole=True, added=True):
    """Outputs and gradients of the loops against those of the same steps in torch, and of these the oracle's."""
    rows = wall.shape[0]
    matrices = [matrix.detach().requires_grad_() for matrix in wall.pieces(plan)]
    x = x.detach().requires_grad_()
    rounding = 1e-11 if x.dtype == torch.float64 else 1e-4
    due = F.linear(x, wall("gates"))
    steps = apply_chain(x, matrices, plan, rows)
    size = max(1, due.abs().max().item())
    torch.testing.assert_close(steps, due, rtol=0, atol=rounding * size)
    arrays = [matrix.detach().numpy() for matrix in matrices]
    bias = torch.randn(rows, dtype=x.dtype) if added else None
    numbers = None if bias is None else bias.numpy()
    found, pull = apply_pair(x.detach().numpy(), numbers, arrays, plan, rows, trained=trained)
    due = due if bias is None else due + bias
    torch.testing.assert_close(torch.from_numpy(found), due.detach(), rtol=0, atol=rounding * size)
    seed = torch.randn(rows, len(x), dtype=x.dtype).T
    expected = torch.autograd.grad(steps, [x, *matrices], seed)
    # Twice, as the second one takes what the first one has left.
    for _ in range(2):
        own, grads, last = pull(seed.numpy(), whole=whole)
        assert (own is not None) == whole
        assert (last is not None) == added
        if added:
            torch.testing.assert_close(torch.from_numpy(last), seed.sum(0), rtol=0, atol=rounding)
        for one, other in zip((own, *grads) if whole else grads, expected[not whole :], strict=True):
            size = max(1, other.abs().max().item())
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=0, atol=rounding * size)


def assert_near(found, due):
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12 * max(1, due.abs().max().item()))


@pytest.mark.parametrize(("shape", "depth", "batch"), CASES)
@pytest.mark.parametrize("order", ["interleaved", "rows-first"])
def test_every_crossing_in_loops_and_in_steps(team, shape, depth, batch, order):
    wall = make_wall(shape, depth, order)
    x = torch.randn(batch, 2 * shape[1], dtype=torch.float64)[:, ::2]
    found = make_crossings(wall, batch)
    # Where rows end and columns begin there is a gate in one of two depths.
    assert len(found) > 1 if order == "interleaved" else len(found) == 1 - (wall.layout.bits[0] + depth) % 2
    for plan in found:
        assert suits_pair(plan)
        compare(plan, wall, x, whole=batch != 16, added=batch % 2 == 0)


@pytest.mark.parametrize("place", [6, 8])
def test_pieces_that_hold_all_gates(team, place):
    wall = make_wall((60, 50), 4, gate="free")
    plan = chain._finish(wall.wiring, wall.layout, cut(wall.wiring, (place,)), 40, True, "linear", True)
    assert suits_pair(plan)
    assert not plan.peeled
    compare(plan, wall, torch.randn(40, 50, dtype=torch.float64))


@pytest.mark.parametrize(("rows", "kept"), [(1, 0), (16, 2**30), (2**20, 0), (32, 3 * 2**16 + 40)])
def test_in_parts_and_made_again(team, rows, kept, monkeypatch):
    for name, value in (("ROWS", rows), ("KEPT", kept), ("PART", 0)):
        monkeypatch.setattr(pair, name, value)
    wall = make_wall((120, 90), 4)
    for plan in make_crossings(wall, 150):
        compare(plan, wall, torch.randn(150, 90, dtype=torch.float64))
        compare(plan, wall, torch.randn(150, 90, dtype=torch.float64), trained=False, whole=False)


def test_single_precision(team):
    wall = make_wall((250, 300), 4, dtype=torch.float32)
    for plan in make_crossings(wall, 70):
        compare(plan, wall, torch.randn(70, 300))


@pytest.mark.parametrize("gate", ["cartan", "so4", "free", "cartan-su4"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("batch", [3, 33])
def test_layers_go_in_one_step(team, gate, order, batch, monkeypatch):
    calls = []
    monkeypatch.setattr(apply_loops, "apply_pair", lambda *a, **b: calls.append(1) or apply_pair(*a, **b))
    layer = adqc.nn.Linear(
        50, 60, circuit=adqc.Circuit(depth=4, layout=order, gate=gate, route="matrix-free"), dtype=torch.float64
    )
    move_(layer.circuit)
    assert (layer.circuit.state is None) == (gate != "free")
    x = torch.randn(batch, 50, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]
    found, due = layer(x), F.linear(x, layer.circuit("gates"), layer.bias)
    assert "AtOnce" in found.grad_fn.name()
    if order == "interleaved":
        assert calls
    assert_near(found, due)
    seed = torch.randn_like(due)
    for a, b in zip(*(torch.autograd.grad(y, leaves, seed) for y in (found, due)), strict=True):
        assert_near(a, b)
    with torch.no_grad():
        # What is kept then are matrices, with the gate's among them.
        assert_near(layer.eval()(x), due)
        layer.circuit.gates.mul_(1.5)
        assert_near(layer(x), F.linear(x, layer.circuit("gates"), layer.bias))


@pytest.mark.parametrize("depth", [3, 4])
def test_second_derivatives(depth):
    layer = adqc.nn.Linear(
        12, 9, circuit=adqc.Circuit(depth=depth, layout="interleaved", route="matrix-free"), dtype=torch.float64
    )
    assert matrix_free.find_chain(layer.circuit, 16, use="linear", kept=False).peeled
    x = torch.randn(16, 12, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradgradcheck(run, (x, *values))


def test_what_takes_a_gate_between_its_pieces():
    def find(shape, batch, **options):
        wall = adqc.BrickWall(shape, adqc.Circuit(**{"depth": 4, "layout": "interleaved", **options}))
        return matrix_free.find_chain(wall, batch, use="linear", kept=False)

    assert find((1024, 1024), 64).peeled == (33,)
    assert find((1024, 1024), 64).bonds == (4,)
    assert find((1024, 1024), 64, depth=5).turned
    # Elsewhere than on the CPU nothing goes in loops.
    wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=4))
    assert not chain.make_chain(wall.wiring, wall.layout, 64, in_loops=False).peeled
    # Few inputs go in torch's steps, complex gates would leave a complex state, and other layouts gain little.
    assert not find((1024, 1024), 1).peeled
    assert not find((1024, 1024), 64, gate="cartan-su4").peeled
    assert not find((1024, 1024), 64, depth=1).peeled
    # Pieces too large for loops.
    assert not find((4096, 4096), 64, depth=8).peeled
