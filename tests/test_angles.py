"""SO(4) as pairs of quaternions: exact at random, near the identity and at special gates."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adqc import angles
from adqc.gates import SO4

CX = torch.eye(4, dtype=torch.float64)[[0, 1, 3, 2]]
SWAP = torch.eye(4, dtype=torch.float64)[[0, 2, 1, 3]]
SPECIAL = {
    "identity": torch.eye(4),
    "minus identity": -torch.eye(4),
    "Z on the first": torch.diag(torch.tensor([1.0, 1, -1, -1])),
    "Z on the second": torch.diag(torch.tensor([1.0, -1, 1, -1])),
    "ZZ": torch.diag(torch.tensor([1.0, -1, -1, 1])),
    "CX after SWAP": CX @ SWAP,
    "SWAP with a sign": SWAP * torch.tensor([1.0, 1, 1, -1]),
    "swap of 00 and 11 with signs": torch.eye(4)[[3, 1, 2, 0]] * torch.tensor([1.0, 1, 1, -1]),
    "XX": torch.eye(4).flip(0),
}


def rotations(count, spread=None):
    if spread is None:
        params = SO4.random(torch.zeros(count, 2, dtype=torch.bool))
    else:
        params = torch.randn(count, 6, dtype=torch.float64) * spread
    # Orthogonal to the last bit or so, where the matrix exponential is only to some 1e-15.
    q, r = torch.linalg.qr(SO4.matrices(params))
    return q * torch.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)


def through_angles(gates):
    pair = [angles.from_euler(angles.euler_angles(q)) for q in angles.split_rotation(gates)]
    return angles.join_rotation(*pair)


@pytest.mark.parametrize("spread", [None, 1e-1, 1e-3, 1e-6, 1e-9, 1e-12, 1e-16])
def test_any_rotation_comes_back_from_its_euler_angles(spread):
    gates = rotations(300, spread)
    assert (through_angles(gates) - gates).abs().max() < 3e-15


@pytest.mark.parametrize("name", SPECIAL)
def test_special_gates_come_back_with_their_sign(name):
    gate = SPECIAL[name].double()
    assert torch.linalg.det(gate) > 0
    assert (through_angles(gate) - gate).abs().max() < 1e-15
    log = [angles.quaternion_logarithm(q) for q in angles.split_rotation(gate)]
    assert (SO4.matrices(angles.to_special_unitary(*log)) - gate).abs().max() < 3e-15


@pytest.mark.parametrize("spread", [None, 1e-8])
def test_the_logarithm_gives_the_parameters_of_so4(spread):
    gates = rotations(200, spread)
    log = [angles.quaternion_logarithm(q) for q in angles.split_rotation(gates)]
    assert (SO4.matrices(angles.to_special_unitary(*log)) - gates).abs().max() < 1e-14


@pytest.mark.parametrize("spread", [None, 1e-5])
def test_small_parameters_keep_their_relative_precision(spread):
    params = torch.randn(50, 6, dtype=torch.float64) * (1e-8 if spread is None else spread)
    log = [angles.quaternion_logarithm(q) for q in angles.split_rotation(SO4.matrices(params))]
    assert (angles.to_special_unitary(*log) - params).abs().max() < 1e-15


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda v: math.hypot(*v) > 1e-3))
@settings(max_examples=200, deadline=None)
def test_schmidt_angles_prepare_any_real_state(vector):
    state = torch.tensor(vector, dtype=torch.float64)
    state = state / state.norm()
    angle = angles.real_schmidt(state).tolist()
    assert abs(angle[0]) <= math.pi / 4 + 1e-15
    t, c, d = torch.tensor(angle, dtype=torch.float64)
    ry = [torch.stack([(x / 2).cos(), -(x / 2).sin(), (x / 2).sin(), (x / 2).cos()]).view(2, 2) for x in (c, d)]
    found = (ry[0] @ torch.diag(torch.stack([t.cos(), t.sin()])) @ ry[1].T).flatten()
    assert (found - state).abs().max() < 1e-15
