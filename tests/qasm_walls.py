"""Circuits that the tests of QASM share."""

import hashlib
import json

import pennylane as qml
import torch

import adqc
from adqc import BrickWall, Circuit
from adqc.gates import GateFamily
from adqc.qasm import card, from_qasm, to_qasm

RY_CZ = adqc.gate_family(
    "ry-cz-qasm", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)]
)
RY_CX_CX = adqc.gate_family(
    "ry-cx-cx",
    3,
    lambda p, wires: [
        qml.RY(p[0], wires[0]), qml.CNOT(wires), qml.RY(p[1], wires[1]), qml.CNOT(wires[::-1]), qml.RY(p[2], wires[1]),
    ],
)  # fmt: skip
SWAPS = adqc.gate_family("swaps", 1, lambda p, wires: [qml.RY(p[0], wires[0]), qml.SWAP(wires)])
# Real gates whose decomposition is complex, one by one with phases.
PAULI = adqc.gate_family(
    "pauli", 2, lambda p, wires: [qml.PauliRot(p[0], "XY", wires), qml.PauliRot(p[1], "YX", wires)]
)
PHASES = adqc.gate_family(
    "phases",
    3,
    lambda p, wires: [
        qml.PhaseShift(p[0], wires[0]), qml.RX(p[1], wires[1]), qml.IsingXY(p[2], wires), qml.T(wires[0]),
        qml.CRY(p[1], wires), qml.GlobalPhase(p[0]),
    ],
)  # fmt: skip
REAL = ["cartan", "so4", RY_CZ, RY_CX_CX, SWAPS, PAULI]
FAMILIES = [*REAL, "cartan-su4", "su4", PHASES]


def name(value):
    return value.name if isinstance(value, GateFamily) else str(value)


def make(gate="cartan", shape=(3, 5), depth=3, dtype=torch.float64, **options):
    wall = BrickWall(shape, Circuit(depth=depth, gate=gate, **options), dtype=dtype)
    with torch.no_grad():
        wall.scale.fill_(-1.7)
    return wall


def there_and_back(wall, version=3, **options):
    text, described = to_qasm(wall, version=version, **options), card(wall, version=version, **options)
    return from_qasm(text, json.loads(json.dumps(described, allow_nan=False)))


def changed(text, described):
    """The text, and a card that says it belongs to it."""
    return text, {**described, "sha256": hashlib.sha256(text.encode()).hexdigest()}
