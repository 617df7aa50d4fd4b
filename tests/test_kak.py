"""Any two-qubit gate as elementary ones: exact where others lose digits, with few CX."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from adqc.elementary import count, product
from adqc.gates import SO4, SU4
from adqc.kak import decompose

X, Y, Z = (np.array(m, dtype=complex) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))
AXES = [np.kron(pauli, pauli) for pauli in (X, Y, Z)]
SPECIAL = {
    "identity": np.eye(4),
    "minus identity": -np.eye(4),
    "phase": np.exp(0.3j) * np.eye(4),
    "swap": np.eye(4)[[0, 2, 1, 3]],
    "cx": np.eye(4)[[0, 1, 3, 2]],
    "cx upside down": np.eye(4)[[0, 3, 2, 1]],
    "cz": np.diag([1, 1, 1, -1]),
    "double cx": np.eye(4)[[0, 2, 3, 1]],
    "iswap": expm(0.25j * math.pi * (AXES[0] + AXES[1])),
    "root of swap": expm(0.125j * math.pi * sum(AXES)),
    "b gate": expm(0.25j * math.pi * AXES[0] + 0.125j * math.pi * AXES[1]),
    "local": np.kron(expm(0.3j * X), expm(0.7j * (Y + Z))),
    "local x": np.kron(X, np.eye(2)),
    "controlled phase": np.diag([1, 1, 1, np.exp(1e-9j)]),
}
CX = {"identity": 0, "minus identity": 0, "phase": 0, "cx": 1, "cx upside down": 1, "cz": 1, "double cx": 2,
      "iswap": 2, "b gate": 2, "local": 0, "local x": 0, "controlled phase": 2}  # fmt: skip


def haar(seed):
    generator = np.random.default_rng(seed)
    q, r = np.linalg.qr(generator.normal(size=(4, 4)) + 1j * generator.normal(size=(4, 4)))
    return q * (np.diag(r) / abs(np.diag(r)))


def local(seed):
    generator = np.random.default_rng(seed)
    return np.kron(*(expm(1j * sum(generator.normal() * pauli for pauli in (X, Y, Z))) for _ in range(2)))


def error(gate, wires=(0, 1)):
    gate = torch.as_tensor(gate)
    instructions, phase = decompose(gate, wires=wires)
    numbers = count(instructions)
    assert numbers["cx"] <= 3
    assert numbers["rotations"] <= 15
    assert all(math.isfinite(one.angle) for one in instructions)
    return np.abs(np.exp(1j * phase) * product(instructions, wires) - gate.numpy()).max(), numbers


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_gates_take_as_few_cx_as_they_need(kind):
    off, numbers = error(SPECIAL[kind])
    assert off < 3e-15
    assert numbers["cx"] == CX.get(kind, 3)
    assert error(SPECIAL[kind], (5, 2))[0] < 3e-15


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15])
def test_near_special_gates_no_digit_is_lost(kind, size):
    near = expm(size * 1j * (haar(1) + haar(1).conj().T))
    assert error(near @ SPECIAL[kind])[0] < 1e-14
    assert error(local(2) @ SPECIAL[kind] @ near @ local(3))[0] < 1e-14


def test_edges_and_corners_of_the_weyl_chamber():
    for core in itertools.product([0, math.pi / 8, math.pi / 4, -math.pi / 4, 3 * math.pi / 4, 0.3], repeat=3):
        gate = expm(1j * sum(c * axis for c, axis in zip(core, AXES, strict=True)))
        off, numbers = error(gate)
        assert off < 1e-14
        assert numbers["cx"] <= (2 if 0 in core else 3)
        assert error(local(0) @ gate @ local(1))[0] < 1e-14


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_gate(seed):
    off, numbers = error(haar(seed))
    assert off < 1e-14
    assert numbers == {"cx": 3, "rotations": 15, "fixed": 0, "cx_layers": 3}


@given(st.lists(st.floats(-3, 3), min_size=15, max_size=15), st.floats(-12, 0), st.sampled_from(sorted(SPECIAL)))
@settings(max_examples=60, deadline=None)
def test_near_the_identity_and_near_special_gates(params, exponent, kind):
    near = SU4.matrices(10**exponent * torch.tensor(params, dtype=torch.float64)).numpy()
    assert error(near)[0] < 1e-14
    assert error(near @ SPECIAL[kind])[0] < 1e-14


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(-12, 0))
@settings(max_examples=60, deadline=None)
def test_real_gates_take_two_cx_and_six_rotations(params, exponent):
    off, numbers = error(SO4.matrices(10**exponent * torch.tensor(params, dtype=torch.float64)))
    assert off < 1e-14
    assert numbers["cx"] <= 2
    assert numbers["rotations"] <= 6


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (torch.eye(2), r"a 4x4 matrix, got shape \(2, 2\)"),
        (2 * torch.eye(4), "must be unitary, but this one is off by 3.0e"),
        (torch.full((4, 4), float("nan")), "off by nan"),
    ],
)
def test_what_is_no_gate(gate, message):
    with pytest.raises(ValueError, match=message):
        decompose(gate)
