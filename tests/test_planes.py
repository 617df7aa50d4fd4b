"""Complex gates in loops, as real ones on two planes, against the oracle: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_gate_loops import CASES, assert_oracles, draw, follow
from test_patches import CASES as CUTS
from test_patches import multiply_out
from test_undone import DEEP

from adqc.engine import windows
from adqc.engine.gate_loops import run_again, run_patches, run_windows
from adqc.engine.patches import make_patches
from adqc.engine.planes import as_planes, double_rows, open_planes
from adqc.engine.split import cut
from adqc.engine.statevector import run_gates, zero_state
from adqc.engine.undone import run_undone
from adqc.engine.windows import find_windows
from adqc.geometry import brick_wall, layout

NAMES = [str(shape) for shape, *_ in CASES]


def draw_gates(wiring):
    side = 2 ** len(wiring.gates[0])
    return np.linalg.qr(draw(len(wiring.gates), side, side) + 1j * draw(len(wiring.gates), side, side, seed=2))[0]


def in_planes(state):
    return np.concatenate([state.real, state.imag])


def assert_complex_oracles(found, pull, pull_gates, weight, inputs):
    """As :func:`assert_oracles`, of what loops make of gates in planes, and their pull."""

    def pull_all(seed):
        state, gates = pull(seed)
        return state, pull_gates(gates)

    assert_oracles(found.reshape(weight.shape), pull_all, weight.real, inputs)


@pytest.mark.parametrize("conjugated", [(), (0, 2)])
def test_a_real_gate_does_what_the_complex_one_does(conjugated):
    gates, state = draw(3, 4, 4) + 1j * draw(3, 4, 4, seed=1), draw(4, seed=2) + 1j * draw(4, seed=3)
    found, pull = as_planes(gates, conjugated)
    due = np.stack([gate.conj() if number in conjugated else gate for number, gate in enumerate(gates)]) @ state
    np.testing.assert_allclose(found @ in_planes(state), np.stack(list(map(in_planes, due))), rtol=0, atol=1e-14)
    given = torch.from_numpy(gates).requires_grad_()
    own = torch.stack([gate.conj() if number in conjugated else gate for number, gate in enumerate(given)])
    upper, lower = torch.cat([own.real, -own.imag], dim=2), torch.cat([own.imag, own.real], dim=2)
    seed = draw(3, 8, 8, seed=4)
    (expected,) = torch.autograd.grad(torch.cat([upper, lower], dim=1), given, torch.from_numpy(seed))
    np.testing.assert_allclose(pull(seed), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("undone", [False, True])
@pytest.mark.parametrize(("shape", "wiring", "order"), CASES, ids=NAMES)
def test_states_are_the_oracles(team, monkeypatch, shape, wiring, order, undone):
    monkeypatch.setattr(windows, "MOST", 0 if undone else windows.MOST)
    weights = layout(shape, order)
    state, gates = draw(2**wiring.sites) + 1j * draw(2**wiring.sites, seed=5), draw_gates(wiring)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (state, gates)]
    laid = find_windows(wiring, weights, range(wiring.sites), unitary=undone, real=False)
    assert (laid.undone == 0) == undone
    planes, pull_gates = as_planes(gates)
    found, pull = (run_undone if undone else run_windows)(in_planes(state), planes, laid)

    def pull_state(seed):
        own, own_gates = pull(seed)
        return own[: len(state)] + 1j * own[len(state) :], own_gates

    assert_complex_oracles(found, pull_state, pull_gates, follow(*inputs, wiring, weights), inputs)


@pytest.mark.parametrize("undone", [False, True])
@pytest.mark.parametrize(("shape", "wiring", "order"), [*CASES, *DEEP], ids=[*NAMES, *(str(own[0]) for own in DEEP)])
def test_states_that_grow_are_the_oracles(team, monkeypatch, shape, wiring, order, undone):
    monkeypatch.setattr(windows, "MOST", 0 if undone else windows.MOST)
    weights = layout(shape, order)
    factor, gates = draw(1), draw_gates(wiring)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (factor, gates)]
    laid = find_windows(wiring, weights, range(wiring.sites), zeros=True, unitary=undone, real=False)
    planes, pull_gates = as_planes(gates)
    # Windows that make the state are not undone.
    assert undone == bool(laid.kept_at or laid.undone is not None)
    run = run_again if laid.kept_at else run_undone if undone else run_windows
    found, pull = run(factor, planes, laid)
    start = inputs[0] * zero_state(wiring.sites, inputs[1])
    assert_complex_oracles(found, pull, pull_gates, follow(start, inputs[1], wiring, weights), inputs)


@pytest.mark.parametrize(("wiring", "places", "slope"), CUTS)
def test_pieces_make_the_real_part(team, wiring, places, slope):
    made = make_patches(wiring, cut(wiring, places, slope), ranks=range(wiring.sites), real=False)
    gates, scale = draw_gates(wiring), np.array([1.75])
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (scale, gates)]
    due = (run_gates(inputs[1], wiring) * inputs[0]).real
    planes, pull_gates = as_planes(gates, made.patches[-1].gates.values)
    found, pull = run_patches(planes, made, scale)
    pieces = [torch.from_numpy(own.copy()).requires_grad_() for own in found]
    torch.testing.assert_close(multiply_out(pieces), due, rtol=0, atol=1e-13)
    seed = torch.from_numpy(draw(*due.shape, seed=1))
    own_scale, own = pull([own.numpy() for own in torch.autograd.grad(multiply_out(pieces), pieces, seed)])
    due_scale, due_gates = torch.autograd.grad(due, inputs, seed)
    np.testing.assert_allclose(pull_gates(own), due_gates, rtol=0, atol=1e-12)
    np.testing.assert_allclose(own_scale, due_scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [double_rows, lambda piece: open_planes(piece[:, None])])
def test_rearranged_planes_have_their_gradients(make):
    piece, seed = draw(6, 8), None
    found, pull = make(piece)
    seed = draw(*found.shape, seed=1)
    # Linear: what is pulled back is the adjoint.
    other = draw(6, 8, seed=2)
    np.testing.assert_allclose((make(other)[0] * seed).sum(), (other * pull(seed).reshape(6, 8)).sum(), rtol=1e-13)


def test_single_precision_is_as_good_as_it_can_be(team):
    wiring, weights = brick_wall(12, 8), layout((60, 60))
    planes, _ = as_planes(draw_gates(wiring))
    laid = find_windows(wiring, weights, range(12), zeros=True, real=False)
    due, due_pull = run_windows(np.ones(1), planes, laid)
    found, pull = run_windows(np.ones(1, np.float32), planes.astype(np.float32), laid)
    seed = draw(*found.shape, seed=1)
    assert np.abs(found - due).max() < 1e-6 * np.abs(due).max()
    for own, expected in zip(pull(seed.astype(np.float32)), due_pull(seed), strict=True):
        assert own.dtype == np.float32
        assert np.abs(own - expected).max() < 3e-6 * np.abs(expected).max()
