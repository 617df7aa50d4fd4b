"""Gates on a whole state in its place, undone on the way back, against the oracle; and what is kept."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_gate_loops import CASES, assert_oracles, draw, draw_gates, follow

import adqc
from adqc.at_once import find_plan
from adqc.engine import windows
from adqc.engine.gate_loops import run_again, run_windows
from adqc.engine.statevector import zero_state
from adqc.engine.undone import run_undone
from adqc.engine.windows import find_windows
from adqc.geometry import brick_wall, layout


@pytest.fixture
def none_kept(monkeypatch):
    """As for states of which few may be kept."""
    monkeypatch.setattr(windows, "MOST", 0)


@pytest.mark.parametrize(("shape", "wiring", "order"), CASES, ids=[str(shape) for shape, *_ in CASES])
def test_values_and_gradients_are_the_oracles(team, none_kept, shape, wiring, order):
    weights = layout(shape, order)
    state, gates = draw(2**wiring.sites), draw_gates(wiring)
    given = state.copy()
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (state, gates)]
    laid = find_windows(wiring, weights, range(wiring.sites), unitary=True)
    assert laid.undone == 0
    found, pull = run_undone(state, gates, laid)
    assert_oracles(found, pull, follow(*inputs, wiring, weights), inputs)
    np.testing.assert_array_equal(state, given)
    # What comes is the caller's own.
    seed = draw(*shape)
    before = pull(seed)
    found[:] = np.nan
    for own, expected in zip(pull(seed), before, strict=True):
        np.testing.assert_array_equal(own, expected)


DEEP = [
    ((4,), brick_wall(2, 5), "interleaved"),
    ((60, 33), brick_wall(12, 20), "interleaved"),
    ((2**13,), brick_wall(13, 16), "interleaved"),
    ((200, 60), brick_wall(14, 14), "rows-first"),
    ((33, 40), brick_wall(12, 9, width=5), "interleaved"),
]


@pytest.mark.parametrize(("shape", "wiring", "order"), DEEP, ids=[str(shape) for shape, *_ in DEEP])
def test_a_state_that_grows_first_is_kept_until_it_is_whole(team, none_kept, shape, wiring, order):
    weights = layout(shape, order)
    factor, gates = draw(1), draw_gates(wiring)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (factor, gates)]
    laid = find_windows(wiring, weights, range(wiring.sites), zeros=True, unitary=True)
    assert laid.undone is None or laid.undone > 0
    if laid.undone is None:
        assert wiring.sites <= windows.WIDEST, "all gates are in a window that makes the state"
        return
    found, pull = run_undone(factor, gates, laid)
    start = inputs[0] * zero_state(wiring.sites, inputs[0])
    assert_oracles(found, pull, follow(start, inputs[1], wiring, weights), inputs)


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize(("shape", "wiring", "order"), [*CASES, *DEEP], ids=[str(own[0]) for own in (*CASES, *DEEP)])
def test_what_is_made_again_is_the_oracles(team, none_kept, shape, wiring, order, zeros):
    weights = layout(shape, order)
    # No gate has an inverse of any use.
    start, gates = draw(1 if zeros else 2**wiring.sites), draw(*draw_gates(wiring).shape)
    gates /= 2 * np.sqrt(len(gates[0]))
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (start, gates)]
    laid = find_windows(wiring, weights, range(wiring.sites), zeros=zeros)
    assert laid.kept_at[0] == 0
    found, pull = run_again(start, gates, laid)
    state = inputs[0] * zero_state(wiring.sites, inputs[0]) if zeros else inputs[0]
    assert_oracles(found, pull, follow(state, inputs[1], wiring, weights), inputs)


def test_single_precision_is_as_good_as_what_is_kept(team, monkeypatch):
    wiring, weights = brick_wall(13, 40), layout((60, 100))
    state, gates, seed = draw(2**13), draw_gates(wiring), draw(60, 100, seed=1)
    state /= np.linalg.norm(state)
    due, due_pull = run_windows(state, gates, find_windows(wiring, weights, range(13)))
    monkeypatch.setattr(windows, "MOST", 0)
    laid = find_windows(wiring, weights, range(13), unitary=True)
    found, pull = run_undone(state.astype(np.float32), gates.astype(np.float32), laid)
    assert found.dtype == np.float32
    assert np.abs(found - due).max() < 3e-6 * np.abs(due).max()
    for own, expected in zip(pull(seed.astype(np.float32)), due_pull(seed), strict=True):
        assert own.dtype == np.float32
        assert np.abs(own - expected).max() < 1e-5 * np.abs(expected).max()


def test_only_what_transposed_gates_undo_goes_without_what_is_kept(monkeypatch):
    wiring, weights = brick_wall(16, 12), layout((256, 256))
    monkeypatch.setattr(windows, "MOST", 2**16)
    assert find_windows(wiring, weights, range(16)).undone is None
    assert find_windows(wiring, weights, range(16), unitary=True).undone == 0
    monkeypatch.setattr(windows, "LARGEST", 2**16 - 1)
    assert find_windows(wiring, weights, range(16), unitary=True) is None
    monkeypatch.undo()
    assert find_windows(wiring, weights, range(16), unitary=True).undone is None
    for gate, undone in (("cartan", True), ("o8", True), ("free", False)):
        depth = 12 if gate == "o8" else 48
        wall = adqc.BrickWall((512, 512), adqc.Circuit(depth=depth, gate=gate, route="fused"))
        monkeypatch.setattr(windows, "MOST", 2**19)
        adqc.engine.materialise._make_plan.cache_clear()
        plan = find_plan(wall, wall.gates, wall.scale, "fused", wall.state)
        assert (plan.tail.undone is not None) == (undone and wall.every == 1)
        assert bool(plan.tail.kept_at) != (plan.tail.undone is not None)
        monkeypatch.undo()
        adqc.engine.materialise._make_plan.cache_clear()


def measure(wall):
    """The bytes that are kept behind a forward pass, and the most that both passes take."""
    tracemalloc.start()
    weight = wall()
    kept = tracemalloc.get_traced_memory()[0]
    weight.sum().backward()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return kept, most


def test_a_deep_circuit_keeps_few_states():
    wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=48))
    state = 2**20 * 4
    plan = find_plan(wall, wall.gates, wall.scale, "auto")
    assert plan.tail.undone is not None
    wall().sum().backward()
    kept, most = measure(wall)
    # The weight, the last state, and one of all that windows are given while the state grows; then the gradient as it
    # lies, and the state that is undone.
    assert kept < 3.1 * state
    assert most < 5.2 * state


def test_a_deep_circuit_of_free_gates_keeps_a_root_of_its_states():
    wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=48, gate="free"))
    state = 2**20 * 4
    tail = find_plan(wall, wall.gates, wall.scale, "auto", wall.state).tail
    count, parts = len(tail.windows.values), len(tail.kept_at)
    assert count > 3 * parts
    wall().sum().backward()
    kept, most = measure(wall)
    # The weight, what some windows were given, and what those of one stretch are; then of two stretches, and gradients.
    longest = max(b - a for a, b in pairwise((*tail.kept_at, count)))
    assert kept < (parts + longest + 1.1) * state
    assert most < (parts + 2 * longest + 4.1) * state
    assert most < 0.8 * count * state


def test_what_halves_have_made_is_not_kept_behind_them(monkeypatch):
    monkeypatch.setattr(windows, "MOST", 2**16)
    wall = adqc.BrickWall((512, 512), adqc.Circuit(depth=13))
    plan = find_plan(wall, wall.gates, wall.scale, "auto")
    assert plan.head is not None
    assert plan.tail.undone == 0
    wall()
    tracemalloc.start()
    weight = wall()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # The weight and the last state.
    assert kept < 2.5 * weight.numel() * 4
