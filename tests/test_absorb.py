"""Product states that the first gates take in: what |0…0> becomes then is what the product state became."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_gate_loops import draw

from adqc.engine.absorb import absorb, absorb_arrays, is_absorbed
from adqc.engine.statevector import run_gates
from adqc.geometry import Wiring, brick_wall, staircase

WIRINGS = [
    brick_wall(2, 1),
    brick_wall(7, 3),
    brick_wall(8, 1),
    staircase(6, 1),
    staircase(9, 2, width=3, stride=2),
    # The last wire of a gate is met first.
    Wiring(4, ((2, 3), (1, 2), (0, 1)), (3,)),
]


@pytest.mark.parametrize("kind", [np.float64, np.complex128])
@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda wiring: f"{wiring.sites}-{len(wiring.gates)}")
def test_zeros_become_what_the_product_state_did(wiring, kind):
    side = 2 ** len(wiring.gates[0])
    gates = draw(len(wiring.gates), side, side).astype(kind)
    gates = gates + 1j * draw(*gates.shape, seed=5) if kind is np.complex128 else gates
    start = draw(wiring.sites, 2, seed=1)
    given = gates.copy(), start.copy()
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (gates, start)]
    due = run_gates(inputs[0], wiring, inputs[1])
    seed = torch.from_numpy(draw(2**wiring.sites, seed=2).astype(kind))
    due_grads = torch.autograd.grad(due, inputs, seed)
    # As tensors, with autograd's own gradients.
    found = run_gates(absorb(*inputs, wiring), wiring)
    torch.testing.assert_close(found, due, rtol=1e-12, atol=1e-12)
    for own, expected in zip(torch.autograd.grad(found, inputs, seed), due_grads, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-11)
    # As arrays, twice, as the second time takes what the first one has left.
    taken, pull = absorb_arrays(gates, start, wiring)
    made = torch.from_numpy(taken).requires_grad_()
    found = run_gates(made, wiring)
    torch.testing.assert_close(found, due, rtol=1e-12, atol=1e-12)
    (grad,) = torch.autograd.grad(found, made, seed)
    for _ in range(2):
        for own, expected in zip(pull(grad.numpy()), due_grads, strict=True):
            np.testing.assert_allclose(own, expected, rtol=1e-11, atol=1e-11)
    for own, expected in zip((gates, start), given, strict=True):
        np.testing.assert_array_equal(own, expected)


def test_sites_without_gates_take_nothing_in():
    assert all(map(is_absorbed, WIRINGS))
    assert not is_absorbed(brick_wall(7, 1))
    assert not is_absorbed(Wiring(1, (), ()))
