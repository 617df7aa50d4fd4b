"""Passes keep the state, sign and phase included, and rounding keeps its bound."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import adqc
from adqc import BrickWall, Circuit
from adqc.elementary import Instruction, count, matrix, one_qubit, run
from adqc.passes import merge, round_angles, with_phase

MIXED = adqc.gate_family(
    "mixed-passes",
    2,
    lambda p, wires: [qml.PhaseShift(p[0], wires[0]), qml.RX(p[1], wires[1]), qml.CRY(p[0], wires), qml.T(wires[0])],
)
SPECIAL_ANGLES = [0.0, math.pi, -math.pi, math.pi / 2, 2 * math.pi, 4 * math.pi, 1e-9, 1e-16]
QUBITS = 3


def gates(real=False):
    wire = st.integers(0, QUBITS - 1)
    angle = st.one_of(st.floats(-7, 7), st.sampled_from(SPECIAL_ANGLES))
    turn = st.builds(
        lambda n, a, w: Instruction(n, a, (w,)), st.sampled_from(["ry"] if real else ["ry", "rz"]), angle, wire
    )
    fixed = st.builds(
        lambda n, w: Instruction(n, 0.0, (w,)), st.sampled_from(["h"] if real else ["h", "s", "sdg"]), wire
    )
    cx = st.permutations(range(QUBITS)).map(lambda p: Instruction("cx", 0.0, tuple(p[:2])))
    return st.lists(st.one_of(turn, fixed, cx, cx), max_size=25)


def phased(found, phase):
    return np.exp(1j * phase) * run(QUBITS, found)


@given(st.booleans().flatmap(gates))
@settings(max_examples=150, deadline=None)
def test_merging_keeps_the_state_and_costs_nothing(instructions):
    found, phase = merge(instructions)
    # A CX counts more than any number of one-qubit gates.
    assert (count(found)["cx"], len(found)) <= (count(instructions)["cx"], len(instructions))
    expected = run(QUBITS, instructions)
    assert np.abs(phased(found, phase) - expected).max() < 1e-13
    assert np.abs(run(QUBITS, with_phase(found, phase)) - expected).max() < 1e-13


@given(gates())
@settings(max_examples=60, deadline=None)
def test_merging_keeps_the_whole_unitary_where_qubits_are_not_fresh(instructions):
    found, phase = merge(instructions, fresh=False)
    for start in range(2**QUBITS):
        flips = [Instruction("ry", math.pi, (wire,)) for wire in range(QUBITS) if start >> wire & 1]
        assert np.abs(phased(flips + found, phase) - run(QUBITS, flips + instructions)).max() < 1e-13


@given(gates(real=True))
@settings(max_examples=60, deadline=None)
def test_real_circuits_stay_real_with_one_turn_on_either_side_of_a_cx(instructions):
    found, phase = merge(instructions)
    assert phase == 0.0
    assert {one.name for one in found} <= {"ry", "h", "cx"}
    number = count(found)
    if len(found) < len(instructions):
        assert number["rotations"] <= 2 * number["cx"] + QUBITS
        assert number["fixed"] <= QUBITS


def test_what_merges_drops_and_cancels():
    h, cx = Instruction("h", 0.0, (0,)), Instruction("cx", 0.0, (0, 1))
    assert merge([h, h])[0] == []
    assert merge([Instruction("rz", 0.5, (0,))]) == ([], -0.25)
    assert merge([cx]) == ([], 0.0)
    assert merge([cx], fresh=False) == ([cx], 0.0)
    assert merge([h, cx, cx, h]) == ([], 0.0)
    # Peeled pair by pair from the inside.
    inside = [Instruction("cx", 0.0, (1, 2)), Instruction("s", 0.0, (1,)), Instruction("sdg", 0.0, (1,))]
    assert merge([h, cx, *inside, Instruction("cx", 0.0, (1, 2)), cx], fresh=False)[0] == [h]
    # A control in |1> is an X.
    (turn,), _ = merge([Instruction("ry", math.pi, (0,)), cx])[0][1:], 0
    assert (turn.wires, turn.angle) == ((1,), math.pi)
    # The other way round the same pair does not cancel.
    assert len(merge([cx, Instruction("cx", 0.0, (1, 0))], fresh=False)[0]) == 2


@pytest.mark.parametrize("phase", [0.0, 1e-17, 0.7, -2.0, math.pi, -math.pi, 3 * math.pi])
@pytest.mark.parametrize("instructions", [[], [Instruction("h", 0.0, (0,))], [Instruction("ry", -0.4, (1,))]])
def test_a_phase_is_made_good(instructions, phase):
    found = with_phase(instructions, phase)
    assert np.abs(run(QUBITS, found) - phased(instructions, phase)).max() < 1e-15
    assert len(found) <= len(instructions) + 1


@given(
    st.lists(st.tuples(st.sampled_from(["ry", "rz", "h", "s", "sdg"]), st.sampled_from([*SPECIAL_ANGLES, 0.3, -1.2])))
)
@settings(max_examples=100, deadline=None)
def test_one_qubit_gates_have_their_phase(run_of_gates):
    gate = np.eye(2, dtype=complex)
    for name, angle in run_of_gates:
        gate = matrix(name, angle) @ gate
    found, phase = one_qubit(gate, 0)
    again = np.exp(1j * phase) * np.eye(2)
    for one in found:
        again = matrix(one.name, one.angle) @ again
    assert np.abs(again - gate).max() < 1e-14
    assert len(found) <= 3


def test_rounding_counts_what_it_does():
    turns = [Instruction("ry", 0.123456, (0,)), Instruction("rz", 4e-4, (1,)), Instruction("h", 0.0, (0,))]
    found, error = round_angles(turns, 3)
    assert [one.angle for one in found] == [0.123, 0.0]
    assert [one.name for one in found] == ["ry", "h"]
    assert error == pytest.approx((0.000456 + 4e-4) / 2)


@pytest.mark.parametrize("decimals", [1, 2, 4, 8])
@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4", MIXED], ids=str)
def test_rounding_keeps_its_bound_on_the_weight(gate, decimals):
    wall = BrickWall((3, 6), Circuit(depth=4, gate=gate), dtype=torch.float64)
    with torch.no_grad():
        wall.scale.fill_(-2.5)
    result = adqc.simplify(wall, decimals=decimals)
    options = {"simplify": True, "decimals": decimals}
    described = adqc.card(wall, **options)
    again = adqc.from_qasm(adqc.to_qasm(wall, **options), described)
    distance = (again("gates") - wall("gates")).norm().item()
    assert described["error_bound"] == result.bound
    # It binds, and by no more than the number of angles would explain.
    assert distance <= result.bound + 1e-13
    assert result.bound <= 2.5 * result.after.rotations * 10**-decimals / 4
    assert distance > result.bound / 500


@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4", MIXED], ids=str)
def test_resources_before_and_after(gate):
    wall = BrickWall((8, 8), Circuit(depth=5, gate=gate))
    result = adqc.simplify(wall)
    before, after = result.before, result.after
    assert before == wall.resources()
    assert after.cx <= before.cx
    assert after.rotations + after.fixed < before.rotations + before.fixed
    assert result.bound == 0
    if gate in ("cartan", "so4"):
        # What 'cartan' stores, whatever the family.
        smallest = BrickWall((8, 8), Circuit(depth=5)).gates.numel()
        assert (after.rotations - smallest, after.fixed) in [(0, 0), (1, 0), (2, 0)]
    text = str(result)
    assert text.startswith(f"before: {before.cx} CX in {before.cx_layers} layers, {before.rotations} rotations, ")
    assert f"{after.cx} CX" in text.splitlines()[1]


def test_an_identity_simplifies_to_nothing():
    wall = BrickWall((4, 4), Circuit(depth=6))
    wall.set_gate_parameters_(torch.zeros_like(wall.gate_parameters()))
    assert adqc.simplify(wall).instructions == ()
    again = adqc.from_qasm(adqc.to_qasm(wall, simplify=True), adqc.card(wall, simplify=True))
    assert torch.equal(again("gates").float(), wall("gates"))


@pytest.mark.parametrize("decimals", [-1, 16, 2.0, True, "3"])
def test_decimals_that_are_none(decimals):
    with pytest.raises(ValueError, match="decimals must be a whole number from 0 to 15"):
        adqc.simplify(BrickWall((2, 2)), decimals=decimals)
    with pytest.raises(ValueError, match="rounded when the circuit is simplified"):
        adqc.to_qasm(BrickWall((2, 2)), decimals=decimals)
