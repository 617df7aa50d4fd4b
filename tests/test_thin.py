"""Two pieces of which the second one holds no rows, against the oracle's weight and torch's product with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import adqc
from adqc import matrix_free
from adqc.engine import apply_loops, chain, thin_loops
from adqc.engine.apply import apply_chain
from adqc.engine.split import cut
from adqc.engine.thin import apply_thin, suits_thin

# Rows and columns, depth, where the second piece begins, and inputs: it holds all columns, or the first one holds some;
# cropped rows, columns or both; one input, fewer than are taken together, and more.
CASES = [
    ((64, 64), 4, 7, 1),
    ((64, 64), 3, 6, 40),
    ((60, 50), 5, 6, 3),
    ((60, 500), 4, 9, 33),
    ((500, 60), 2, 9, 5),
    ((33, 100), 6, 7, 100),
    ((256, 32), 1, 8, 9),
]


def make(shape, depth, place, gate="cartan", dtype=torch.float64):
    wall = adqc.BrickWall(shape, adqc.Circuit(depth=depth, layout="rows-first", gate=gate), dtype=dtype)
    with torch.no_grad():
        wall.scale.fill_(1.75)
        if wall.state is not None:
            wall.state.normal_()
    split = cut(wall.wiring, (place,))
    plan = chain._finish(wall.wiring, wall.layout, split, 32, True, "linear", wall.family.real)
    assert suits_thin(plan, dtype.itemsize)
    return wall, plan


def compare(wall, plan, x, *, whole=True, added=True):
    rows = wall.shape[0]
    rounding = 1e-11 if x.dtype == torch.float64 else 1e-4
    matrices = [matrix.detach().requires_grad_() for matrix in wall.pieces(plan)]
    bias = torch.randn(rows, dtype=x.dtype) if added else None
    x = x.detach().requires_grad_()
    due = F.linear(x, wall("gates"), bias)
    size = max(1, due.abs().max().item())
    steps = apply_chain(x, matrices, plan, rows)
    numbers = None if bias is None else bias.numpy()
    found, pull = apply_thin(x.detach().numpy(), numbers, [one.detach().numpy() for one in matrices], plan, rows)
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


@pytest.mark.parametrize(("shape", "depth", "place", "batch"), CASES)
def test_values_and_gradients_are_the_oracles(team, shape, depth, place, batch):
    wall, plan = make(shape, depth, place)
    x = torch.randn(batch, 2 * shape[1], dtype=torch.float64)[:, ::2]
    compare(wall, plan, x, whole=batch != 3, added=batch % 2 == 1)


@pytest.mark.parametrize("gate", ["free", "cartan-su4"])
def test_gates_that_are_free_or_complex(team, gate):
    wall, plan = make((60, 50), 4, 7, gate)
    compare(wall, plan, torch.randn(20, 50, dtype=torch.float64))


def test_single_precision(team, monkeypatch):
    monkeypatch.setattr(thin_loops, "TOGETHER", 8)
    wall, plan = make((300, 200), 4, 9, dtype=torch.float32)
    compare(wall, plan, torch.randn(70, 200))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_layers_go_in_one_step(team, batch, monkeypatch):
    calls = []
    monkeypatch.setattr(apply_loops, "apply_thin", lambda *a: calls.append(1) or apply_thin(*a))
    layer = adqc.nn.Linear(
        500, 100, circuit=adqc.Circuit(depth=4, layout="rows-first", route="matrix-free"), dtype=torch.float64
    )
    x = torch.randn(batch, 500, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]
    found, due = layer(x), F.linear(x, layer.circuit("gates"), layer.bias)
    assert calls
    assert "AtOnce" in found.grad_fn.name()
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12)
    seed = torch.randn_like(due)
    for a, b in zip(*(torch.autograd.grad(y, leaves, seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), due, rtol=0, atol=1e-12)


def test_infinities_stay_with_their_inputs():
    wall, plan = make((64, 64), 4, 7)
    matrices = [one.detach().numpy() for one in wall.pieces(plan)]
    x = np.ones((6, 64))
    x[2, 5] = np.inf
    found, _ = apply_thin(x, None, matrices, plan, 64)
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
    assert not np.isfinite(found[2]).any()


def test_what_goes_in_these_loops():
    def find(shape, batch, **options):
        wall = adqc.BrickWall(shape, adqc.Circuit(**{"depth": 4, "layout": "rows-first", **options}))
        return matrix_free.find_chain(wall, batch, use="linear", kept=False)

    for batch in (1, 64, 2048):
        assert suits_thin(find((512, 512), batch), 4)
    assert suits_thin(find((1024, 1024), 1), 4)
    # Columns that fill no pair of vectors.
    wall, _ = make((64, 64), 4, 7)
    narrow = chain._finish(wall.wiring, wall.layout, cut(wall.wiring, (10,)), 32, True, "linear", True)
    assert narrow.rows[1] == 1
    assert not suits_thin(narrow, 8)
