"""Columns: every cut of shallow brick walls, values and derivatives, against the oracle."""

from __future__ import annotations

import pytest
import torch
from route_suite import Case, joined, make_wall, take_in

from adqc import arrays
from adqc.engine import evolve
from adqc.engine.columns import DEEPEST, Columns, make_columns
from adqc.engine.evolve import run_program
from adqc.engine.materialise import make_plan
from adqc.engine.statevector import run_gates
from adqc.geometry import brick_wall, layout, wire


def every_cut(wiring):
    sites = range(1, wiring.sites)
    chosen = [(a,) for a in sites] + [(a, b) for a in sites for b in sites] + [(3, 5, 7), (2, 4, 6)]
    return [
        made
        for borders in chosen
        for sliced in (False, True)
        if (made := make_columns(wiring, borders, sliced=sliced)) is not None
    ]


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize("sites", [3, 4, 5, 8, 9, 10])
@pytest.mark.parametrize("depth", range(2, DEEPEST + 1))
def test_every_cut(gate, sites, depth):
    wall = make_wall(Case(gate, "brick-wall", "rows-first", depth, (2**sites,)))
    gates, state = wall.matrices().detach(), None if wall.state is None else wall.state.detach()
    due = run_gates(gates, wall.wiring, state)
    found = every_cut(wall.wiring)
    # Borders between columns are odd sites in walls of even depth, and even ones in others.
    assert len(found) >= (sites - 2) // 2
    for columns in found:
        pieces = run_program(take_in(gates, state, wall.wiring), columns, None, torch.tensor(1.75))
        torch.testing.assert_close(joined(pieces), 1.75 * due, rtol=0, atol=1e-10 * max(1, due.abs().max().item()))
        assert [piece.shape for piece in pieces] == [piece.shape for piece in columns.pieces]


# Computed again rather than kept, in torch, in numpy with torch's products, in numpy.
@pytest.mark.parametrize(
    ("keep", "small", "product"), [(0, 0, 0), (2**25, 0, 0), (2**25, 2**17, 0), (2**25, 2**17, 2**17)]
)
@pytest.mark.parametrize("gate", ["so4", "cartan-su4", "free"])
@pytest.mark.parametrize(("sites", "depth"), [(7, 4), (8, 3), (6, 6), (9, 2)])
def test_gradients(gate, sites, depth, keep, small, product, monkeypatch):
    monkeypatch.setattr(evolve, "KEEP", keep)
    monkeypatch.setattr(arrays, "SMALL", small)
    monkeypatch.setattr(arrays, "PRODUCT", product)
    wall = make_wall(Case(gate, "brick-wall", "rows-first", depth, (2**sites,)))
    inputs = [wall.matrices().detach().requires_grad_()] + ([] if wall.state is None else [wall.state])
    due = run_gates(inputs[0], wall.wiring, wall.state)
    seed = torch.randn_like(due)
    due = torch.autograd.grad((due * seed).abs().square().sum(), inputs)
    for columns in every_cut(wall.wiring):
        found = joined(run_program(take_in(inputs[0], wall.state, wall.wiring), columns))
        found = torch.autograd.grad((found * seed).abs().square().sum(), inputs)
        for a, b in zip(found, due, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9 * max(1, b.abs().max().item()))


@pytest.mark.parametrize("small", [0, 2**17])
@pytest.mark.parametrize("gate", ["cartan", "cartan-su4", "free"])
@pytest.mark.parametrize("depth", [3, 4])
def test_second_derivatives(gate, depth, small, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    wall = make_wall(Case(gate, "brick-wall", "rows-first", depth, (2**4,)))
    columns = every_cut(wall.wiring)[0]

    def square(gates):
        return joined(run_program(take_in(gates, wall.state, wall.wiring), columns)).abs().square()

    torch.autograd.gradgradcheck(square, wall.matrices().detach().requires_grad_())


def test_outputs_come_in_the_order_of_their_ranks():
    wiring = brick_wall(8, 4)
    ranks = (3, 1, 6, 0, 7, 2, 5, 4)
    gates = torch.randn(len(wiring.gates), 4, 4, dtype=torch.float64)
    plain, sorted_ = (
        joined(run_program(gates, make_columns(wiring, (5,), ranks=order))).reshape((2,) * 8) for order in (None, ranks)
    )
    order = [*sorted(range(5), key=ranks.__getitem__), *sorted(range(5, 8), key=ranks.__getitem__)]
    torch.testing.assert_close(sorted_, plain.permute(order), rtol=0, atol=0)


def test_what_is_no_wall_of_columns():
    assert make_columns(wire("staircase", 8, 2), (4,)) is None
    assert make_columns(wire("brick-wall", 8, 2, width=3), (5,)) is None
    assert make_columns(brick_wall(8, 1), (4,)) is None
    assert make_columns(brick_wall(8, DEEPEST + 1), (5,)) is None
    assert make_columns(brick_wall(2, 2), (1,)) is None
    # Through the middle of a column, out of order, and where a piece would hold no column.
    for borders in ((), (4,), (5, 3), (3, 3), (1,), (9,)):
        assert make_columns(brick_wall(8, 4), borders) is None


@pytest.mark.parametrize("shape", [(16, 20), (128, 512), (1024, 1024)])
@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
def test_shallow_walls_are_built_of_columns(shape, depth):
    weights = layout(shape)
    assert isinstance(make_plan(brick_wall(weights.sites, depth), weights).head, Columns)
