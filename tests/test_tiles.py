"""Linear layers whose weight is made tile by tile, against the oracle's weight and torch's product with it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import adqc
from adqc import engine, linear_at_once
from adqc.engine import tiles
from adqc.engine.join import make_join
from adqc.engine.patches import make_patches
from adqc.engine.split import halves
from adqc.engine.tiles import apply_tiles, make_tiles
from adqc.geometry import brick_wall, layout

# Rows and columns, depth and inputs; which fill tiles, or not: their rows, their columns, both, or one of two that a
# tile holds together; with panels; with more inputs than are taken at once.
CASES = [
    ((256, 256), 4, 8),
    ((1024, 64), 5, 20),
    ((1000, 50), 5, 9),
    ((250, 300), 4, 33),
    ((100, 300), 5, 17),
    ((72, 300), 5, 16),
    ((2048, 256), 4, 40),
    ((64, 4096), 4, 11),
    ((200, 200), 3, 300),
]


def make(shape, depth, dtype=np.float64, order="interleaved"):
    weights = layout(shape, order)
    wiring = brick_wall(weights.sites, depth)
    for split in halves(wiring):
        patches = make_patches(wiring, split, ranks=weights.order)
        if patches is not None:
            found = make_tiles(patches, make_join(patches.pieces, weights), weights, np.dtype(dtype))
            if found is not None:
                return wiring, weights, found
    return wiring, weights, None


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def draw_all(shape, batch, wiring):
    gates = np.linalg.qr(draw(len(wiring.gates), 4, 4))[0]
    return draw(batch, shape[1], seed=1), draw(shape[0], seed=2), gates, np.array([1.75])


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize(("shape", "depth", "batch"), CASES)
def test_values_and_gradients_are_the_oracles(team, shape, depth, batch, added):
    wiring, weights, own = make(shape, depth)
    assert own is not None
    x, bias, gates, scale = draw_all(shape, batch, wiring)
    given = [torch.from_numpy(array.copy()).requires_grad_() for array in (scale, gates, bias)]
    weight = engine.build(given[1], wiring, weights, scale=given[0][0], route="gates")
    due = F.linear(torch.from_numpy(x), weight, given[2] if added else None)
    found, pull = apply_tiles(x, bias if added else None, gates, scale, own, shape[0])
    np.testing.assert_allclose(found, due.detach(), rtol=0, atol=1e-12)
    seed = draw(batch, shape[0], seed=3)
    grads = torch.autograd.grad(due, given[: 2 + added], torch.from_numpy(seed))
    # Twice, as the second one takes what the first one has left.
    for _ in range(2):
        pulled = pull(seed)
        assert len(pulled[2]) == (shape[0] if added else 0)
        for one, expected in zip(pulled, grads, strict=False):
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-12 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize(("shape", "depth", "batch"), [((512, 512), 4, 40), ((1000, 500), 4, 30), ((2000, 300), 6, 16)])
def test_single_precision_is_as_good_as_it_can_be(team, shape, depth, batch):
    wiring, _, double = make(shape, depth)
    _, _, single = make(shape, depth, np.float32)
    assert single is not None
    given = draw_all(shape, batch, wiring)
    seed = draw(batch, shape[0], seed=3)
    due, due_pull = apply_tiles(*given, double, shape[0])
    found, pull = apply_tiles(*(array.astype(np.float32) for array in given), single, shape[0])
    pairs = [(found, due), *zip(pull(seed.astype(np.float32)), due_pull(seed), strict=True)]
    for own, expected in pairs:
        assert own.dtype == np.float32
        assert np.abs(own - expected).max() < 2e-5 * np.abs(expected).max()


def test_halves_that_hold_other_bits_have_none():
    # All rows in the first half, and with them some of the columns; no two axes; too few rows for a vector.
    assert make((64, 4096), 4, order="rows-first")[2] is None
    assert make((16, 16, 16), 4)[2] is None
    assert make((4, 4096), 3)[2] is None


@pytest.mark.parametrize(("shape", "depth"), [((256, 256), 4), ((250, 250), 4), ((72, 300), 5)])
def test_columns_that_one_tile_does_not_hold(monkeypatch, team, shape, depth):
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "TILE", 2**11)
        make_tiles.cache_clear()
        wiring, _, few = make(shape, depth)
    make_tiles.cache_clear()
    _, _, whole = make(shape, depth)
    assert few.sizes[-1] < whole.sizes[-1]
    given, seed = draw_all(shape, 20, wiring), draw(20, shape[0], seed=3)
    due, due_pull = apply_tiles(*given, whole, shape[0])
    found, pull = apply_tiles(*given, few, shape[0])
    for own, expected in zip((found, *pull(seed)), (due, *due_pull(seed)), strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


def take_note(monkeypatch):
    calls = []
    own = linear_at_once.apply_tiles
    monkeypatch.setattr(linear_at_once, "apply_tiles", lambda *given: calls.append(1) or own(*given))
    return calls


def make_layer(**options):
    config = adqc.Circuit(depth=5, layout="interleaved", route="halves")
    return adqc.nn.Linear(300, 250, circuit=config, dtype=torch.float64, **options)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [30, 1])
def test_a_layer_whose_inputs_need_no_gradient_stores_no_weight(monkeypatch, bias, batch):
    calls, layer, x = take_note(monkeypatch), make_layer(bias=bias), torch.randn(batch, 300, dtype=torch.float64)
    parameters = list(layer.parameters())
    found = layer(x)
    due = F.linear(x, layer.circuit("gates"), layer.bias)
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12)
    seed = torch.randn_like(due)
    assert len(calls) == 1
    for own, expected in zip(
        torch.autograd.grad(found, parameters, seed), torch.autograd.grad(due, parameters, seed), strict=True
    ):
        torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), due)
    assert len(calls) == 2


def test_others_build_it(monkeypatch):
    calls, x = take_note(monkeypatch), torch.randn(30, 300, dtype=torch.float64)
    layer = make_layer()
    (grad,) = torch.autograd.grad(layer(x.requires_grad_()).sum(), x)
    torch.testing.assert_close(grad, layer.weight.sum(0).expand(30, -1))
    # What is frozen has no gradient that were worth tiles.
    layer.circuit.requires_grad_(False)
    layer(x.detach()).sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.full_like(layer.bias, 30))
    assert not calls


def test_memory_holds_no_weight():
    config = adqc.Circuit(depth=4, layout="interleaved", route="halves")
    layer = adqc.nn.Linear(1024, 1024, circuit=config, dtype=torch.float64)

    def most(x):
        # Once before, so that nothing kept for later is counted.
        layer(x).sum().backward()
        tracemalloc.start()
        layer(x).sum().backward()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    x, weight = torch.randn(16, 1024, dtype=torch.float64), 8 * 1024**2
    assert most(x) < weight / 4
    # The measure sees one where there is one.
    assert most(x.requires_grad_()) > weight


def test_second_derivatives_go_in_steps():
    layer, x = make_layer(), torch.randn(20, 300, dtype=torch.float64)
    found = []
    for weight in (None, layer.circuit("gates")):
        y = layer(x) if weight is None else F.linear(x, weight, layer.bias)
        (grad,) = torch.autograd.grad(y.square().sum(), layer.circuit.gates, create_graph=True)
        found.append(torch.autograd.grad(grad.square().sum(), layer.circuit.gates)[0])
    torch.testing.assert_close(*found)
