"""Gates on a whole state in loops, against the oracle: values, gradients, and what they leave as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adqc.engine.arrange import to_tensor
from adqc.engine.gate_loops import run_windows
from adqc.engine.statevector import apply_gate, zero_state
from adqc.engine.windows import find_windows
from adqc.geometry import Wiring, brick_wall, layout, staircase

CASES = [
    # Of few values, and of one of each: of a window, of what goes through it together, of one more.
    ((4,), brick_wall(2, 1), "interleaved"),
    ((5, 3), brick_wall(5, 4), "interleaved"),
    ((12, 10), brick_wall(8, 5), "rows-first"),
    ((60, 33), brick_wall(12, 9), "interleaved"),
    ((64, 64), brick_wall(12, 9), "interleaved"),
    ((2**13,), brick_wall(13, 6), "interleaved"),
    ((200, 60), brick_wall(14, 11), "interleaved"),
    ((40, 9, 4), staircase(12, 3), "interleaved"),
    ((33, 40), staircase(12, 2, width=3, stride=2), "rows-first"),
    ((33, 40), brick_wall(12, 3, width=5), "interleaved"),
    ((300, 3), staircase(11, 1, width=8), "interleaved"),
]


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def draw_gates(wiring):
    side = 2 ** len(wiring.gates[0])
    return np.linalg.qr(draw(len(wiring.gates), side, side))[0]


def follow(state, gates, wiring, weights, order=None):
    """The oracle's weight; the sites' numbers are those of their places where the state holds them in another order."""
    for gate, sites in zip(gates, wiring.gates, strict=True):
        state = apply_gate(state, gate, sites[0])
    if order is not None:
        state = state.reshape((2,) * len(order)).permute(np.argsort(order).tolist()).reshape(-1)
    return to_tensor(state, weights)


def assert_oracles(found, pull, weight, inputs):
    np.testing.assert_allclose(found, weight.detach(), rtol=0, atol=1e-13)
    seed = draw(*weight.shape, seed=1)
    kept = seed.copy()
    due = torch.autograd.grad(weight, inputs, torch.from_numpy(seed))
    # Twice, as the second one takes what the first one has left.
    for _ in range(2):
        for own, expected in zip(pull(seed), due, strict=True):
            np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12 * max(1, expected.abs().max().item()))
    np.testing.assert_array_equal(seed, kept)


@pytest.mark.parametrize(("shape", "wiring", "order"), CASES, ids=[str(shape) for shape, *_ in CASES])
def test_values_and_gradients_are_the_oracles(team, shape, wiring, order):
    weights = layout(shape, order)
    state, gates = draw(2**wiring.sites), draw_gates(wiring)
    given = state.copy()
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (state, gates)]
    found, pull = run_windows(state, gates, find_windows(wiring, weights, range(wiring.sites)))
    assert_oracles(found, pull, follow(*inputs, wiring, weights), inputs)
    np.testing.assert_array_equal(state, given)
    # The weight keeps nothing else alive.
    assert found.base is None or found.base.size == 2**wiring.sites or found.base.size == found.size


def test_gates_and_states_need_not_lie_in_one_stretch():
    wiring, weights = brick_wall(9, 4), layout((20, 12))
    state, gates = draw(2**9, 2)[:, 0], np.ascontiguousarray(draw_gates(wiring).mT).mT
    inputs = [torch.tensor(array, requires_grad=True) for array in (state, gates)]
    found, pull = run_windows(state, gates, find_windows(wiring, weights, range(9)))
    assert_oracles(found, pull, follow(*inputs, wiring, weights), inputs)


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize(("shape", "wiring", "order"), CASES, ids=[str(shape) for shape, *_ in CASES])
def test_a_factor_alone_begins_with_zeros_on_all_sites(team, shape, wiring, order, zeros):
    weights = layout(shape, order)
    factor, gates = draw(1), draw_gates(wiring)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (factor, gates)]
    found, pull = run_windows(factor, gates, find_windows(wiring, weights, range(wiring.sites), zeros=zeros))
    start = inputs[0] * zero_state(wiring.sites, inputs[0])
    assert_oracles(found, pull, follow(start, inputs[1], wiring, weights), inputs)


def test_the_state_may_hold_the_sites_in_another_order():
    order = [0, 8, 2, 3, 4, 5, 6, 7, 1]
    weights = layout((20, 12))
    wiring = Wiring(9, ((4, 5), (3, 4), (5, 6), (2, 3)), (4,))
    places = Wiring(9, tuple((order.index(a), order.index(b)) for a, b in wiring.gates), (4,))
    state, gates = draw(2**9), draw_gates(wiring)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (state, gates)]
    found, pull = run_windows(state, gates, find_windows(wiring, weights, order))
    assert_oracles(found, pull, follow(*inputs, places, weights, order), inputs)


# Sites behind the last gate, so that windows have one value of others behind them, two, four, eight and sixteen.
@pytest.mark.parametrize("idle", range(5))
def test_single_precision_is_as_good_as_it_can_be(team, idle):
    wall, shape = brick_wall(13 - idle, 8), (60, 100)
    wiring, weights = Wiring(13, wall.gates, wall.layers), layout(shape)
    state, gates, windows = draw(2**13), draw_gates(wiring), find_windows(wiring, weights, range(13))
    state /= np.linalg.norm(state)
    seed = draw(*shape, seed=1)
    due, due_pull = run_windows(state, gates, windows)
    found, pull = run_windows(state.astype(np.float32), gates.astype(np.float32), windows)
    assert found.dtype == np.float32
    assert np.abs(found - due).max() < 1e-6 * np.abs(due).max()
    for own, expected in zip(pull(seed.astype(np.float32)), due_pull(seed), strict=True):
        assert own.dtype == np.float32
        assert np.abs(own - expected).max() < 3e-6 * np.abs(expected).max()


def test_what_is_no_number_stays_so():
    wiring, weights = brick_wall(8, 3), layout((16, 16))
    state = draw(2**8)
    state[5] = np.nan
    found, _ = run_windows(state, draw_gates(wiring), find_windows(wiring, weights, range(8)))
    assert np.isnan(found).any()
