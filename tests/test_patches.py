"""Pieces of a cut circuit as states of their own, against those that autograd's steps make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adqc.engine import join, patches, script
from adqc.engine.arrange import to_tensor
from adqc.engine.chain import _finish
from adqc.engine.evolve import run_program
from adqc.engine.fusion import FUSIONS
from adqc.engine.gate_loops import run_halves, run_patches
from adqc.engine.patches import make_patches
from adqc.engine.program import make_program
from adqc.engine.split import cut, halves
from adqc.engine.statevector import run_gates
from adqc.geometry import Wiring, brick_wall, layout, staircase

CASES = [
    (brick_wall(5, 3), (2,), 0),
    (brick_wall(8, 4), (4,), 0),
    (brick_wall(9, 6), (4,), 0),
    (brick_wall(9, 6), (5,), 0),
    (brick_wall(12, 5), (3, 8), 0),
    (brick_wall(12, 6), (5, 7), 0),
    (brick_wall(13, 4), (3, 6, 9), 0),
    (staircase(8, 1), (4,), 0),
    (staircase(9, 3), (5,), -1),
    (staircase(9, 2), (4,), 0),
    # Sites without a gate, in either half.
    (Wiring(7, ((1, 2), (2, 3), (3, 4), (2, 3)), (4,)), (3,), 0),
]


def draw_gates(wiring, dtype=np.float64):
    side = 2 ** len(wiring.gates[0])
    return np.linalg.qr(np.random.default_rng(0).normal(size=(len(wiring.gates), side, side)))[0].astype(dtype)


def multiply_out(pieces):
    """(outputs of all pieces), from left to right."""
    found = pieces[0]
    for piece in pieces[1:]:
        found = torch.einsum("aob,bpc->aopc", found, piece).flatten(1, 2)
    return found.reshape(-1)


@pytest.mark.parametrize(("wiring", "places", "slope"), CASES)
def test_values_and_gradients_are_the_oracles(wiring, places, slope):
    split = cut(wiring, places, slope)
    made = make_patches(wiring, split, ranks=range(wiring.sites))
    gates, scale = draw_gates(wiring), np.array([1.75])
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (scale, gates)]
    due = run_gates(inputs[1], wiring) * inputs[0]
    found, pull = run_patches(gates, made, scale)
    assert [own.shape for own in found] == [piece.shape for piece in made.pieces]
    pieces = [torch.from_numpy(own.copy()).requires_grad_() for own in found]
    torch.testing.assert_close(multiply_out(pieces), due, rtol=0, atol=1e-13)
    seed = torch.from_numpy(np.random.default_rng(1).normal(size=due.shape))
    own_scale, own_gates = pull([own.numpy() for own in torch.autograd.grad(multiply_out(pieces), pieces, seed)])
    due_scale, due_gates = torch.autograd.grad(due, inputs, seed)
    np.testing.assert_allclose(own_gates, due_gates, rtol=0, atol=1e-12)
    np.testing.assert_allclose(own_scale, due_scale, rtol=0, atol=1e-12)


def test_outputs_are_in_the_order_that_they_shall_have():
    wiring = brick_wall(8, 3)
    (split, *_) = halves(wiring)
    ranks = layout((16, 16)).order
    made = make_patches(wiring, split, ranks=ranks)
    program = make_program(wiring, split, FUSIONS[0], ranks=ranks)
    assert [piece.sites for piece in made.pieces] == [piece.sites for piece in program.pieces]
    gates = draw_gates(wiring)
    found, _ = run_patches(gates, made, np.ones(1))
    due = run_program(torch.from_numpy(gates), program)
    # Bonds may lie in another order.
    left, right = (torch.from_numpy(own.copy()) for own in found)
    torch.testing.assert_close(left[0] @ right[..., 0], due[0][0] @ due[1][..., 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("depth", [3, 4, 5, 6])
@pytest.mark.parametrize("places", [(6,), (4, 8), (5, 7), (3, 6, 9)])
def test_those_of_a_chain_are_its_columns(depth, places):
    # Whoever asks for second derivatives gets pieces of the same bonds.
    wiring = brick_wall(12, depth)
    chain = _finish(wiring, layout((64, 64)), cut(wiring, places), 64, False, "linear", True)
    gates = draw_gates(wiring)
    found, _ = run_patches(gates, chain.patches, np.ones(1))
    for own, due in zip(found, run_program(torch.from_numpy(gates), chain.program), strict=True):
        np.testing.assert_allclose(own, due, rtol=0, atol=1e-13)


def test_single_precision():
    # Entries that are moved as one are not added up as one.
    for wiring, places in ((brick_wall(13, 6), (6,)), (brick_wall(13, 6), (7,)), (brick_wall(12, 6), (5, 7))):
        made = make_patches(wiring, cut(wiring, places), ranks=range(wiring.sites))
        gates, scale = draw_gates(wiring), np.ones(1)
        due, due_pull = run_patches(gates, made, scale)
        found, pull = run_patches(gates.astype(np.float32), made, scale.astype(np.float32))
        seeds = [np.random.default_rng(number).normal(size=own.shape) for number, own in enumerate(due)]
        due_grads, grads = due_pull(seeds), pull([seed.astype(np.float32) for seed in seeds])
        for own, expected in zip((*found, *grads), (*due, *due_grads), strict=True):
            assert own.dtype == np.float32
            assert np.abs(own - expected).max() < 3e-6 * np.abs(expected).max()


def test_what_is_too_large_has_none(monkeypatch):
    wiring = brick_wall(12, 5)
    split = cut(wiring, (6,))
    assert make_patches(wiring, split, ranks=range(12)).size > 2**10
    monkeypatch.setattr(patches, "MOST_AXES", 9)
    assert make_patches(wiring, split, ranks=range(12)) is None
    # Of many layers the wires at the border lie too far from its site.
    monkeypatch.undo()
    deep = brick_wall(12, 16)
    assert make_patches(deep, cut(deep, (6,)), ranks=range(12)) is None
    # What comes in lies between the sites of a wide gate.
    wide = staircase(9, 1, width=3, stride=2)
    assert make_patches(wide, cut(wide, (4,)), ranks=range(9)) is None


# Cropped or not, in either half's bits; the second half first; whether loops make the product; and too many bonds.
JOINS = [
    ((16, 16), 3, "interleaved"),
    ((64, 64), 4, "interleaved"),
    ((60, 50), 5, "interleaved"),
    ((256, 12), 4, "rows-first"),
    ((200, 300), 6, "interleaved"),
    ((5, 300), 4, "rows-first"),
    ((9, 4, 20), 3, "interleaved"),
    ((16, 16), 4, (4, 5, 6, 7, 0, 1, 2, 3)),
    ((200, 60), 4, (8, 9, 10, 11, 12, 13, 0, 1, 2, 3, 4, 5, 6, 7)),
]


@pytest.mark.parametrize(("shape", "depth", "order"), JOINS)
@pytest.mark.parametrize("most", [0, 128])
def test_products_of_halves_are_the_oracles(monkeypatch, team, shape, depth, order, most):
    monkeypatch.setattr(script, "MOST_BONDS", most)
    monkeypatch.setattr(join, "MOST_BONDS", most)
    script.script_patches.cache_clear()
    weights = layout(shape, order)
    wiring = brick_wall(weights.sites, depth)
    gates, scale = draw_gates(wiring), np.array([1.75])
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (scale, gates)]
    due = to_tensor(run_gates(inputs[1], wiring) * inputs[0], weights)
    seed = np.random.default_rng(1).normal(size=shape)
    grads = torch.autograd.grad(due, inputs, torch.from_numpy(seed))
    count = 0
    for split in halves(wiring):
        made = make_patches(wiring, split, ranks=weights.order)
        if made is None:
            continue
        count += 1
        found, pull = run_halves(gates, made, join.make_join(made.pieces, weights), scale)
        np.testing.assert_allclose(found, due.detach(), rtol=0, atol=1e-13)
        # Twice, as the second one takes what the first one has left.
        for _ in range(2):
            for own, expected in zip(pull(seed), grads, strict=True):
                np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)
    assert count
