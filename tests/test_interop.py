"""Other libraries read the files and find the same amplitudes; what Qiskit writes anew comes back."""

import json

import numpy as np
import pennylane as qml
import pytest
import torch
from qasm_walls import FAMILIES, make, name

from adqc.engine.statevector import run_gates
from adqc.qasm import card, from_qasm, load_qasm, save_qasm, to_qasm
from adqc.readers import missing_package, qiskit_state, quimb_state

SHAPE = (3, 5)


def state_of(wall):
    return run_gates(wall.matrices(), wall.wiring).detach().numpy()


def read_quimb(text, version, qubits):
    return quimb_state(text, version).numpy()


def load_qiskit(text, version):
    pytest.importorskip("qiskit", reason="needs the extra interop: pip install 'adqc[interop]'")
    from qiskit import qasm2, qasm3

    if version == 2:
        return qasm2.loads(text)
    pytest.importorskip("qiskit_qasm3_import", reason="needs the extra interop: pip install 'adqc[interop]'")
    return qasm3.loads(text)


def read_qiskit(text, version, qubits):
    if missing_package("qiskit", version) is not None:
        pytest.skip("needs the extra interop: pip install 'adqc[interop]'")
    return qiskit_state(text, version).numpy()


def read_pennylane(text, version, qubits):
    pytest.importorskip("openqasm3", reason="needs the extra interop: pip install 'adqc[interop]'")
    # It reads OpenQASM 2 through pennylane-qiskit only, which needs an older Qiskit. Its grammar has no include.
    prepare = qml.from_qasm3(text.replace('include "stdgates.inc";\n', ""), {})

    @qml.qnode(qml.device("default.qubit", wires=[f"q[{k}]" for k in range(qubits)]))
    def state():
        prepare()
        return qml.state()

    return np.asarray(state())


READERS = [read_quimb, read_qiskit, read_pennylane]


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
@pytest.mark.parametrize(
    ("read", "version"),
    [(read, version) for read in READERS for version in (2, 3) if (read, version) != (read_pennylane, 2)],
)
def test_the_same_amplitudes_sign_and_phase_included(read, version, gate, simplify):
    wall = make(gate, shape=SHAPE, depth=4)
    state = read(to_qasm(wall, version=version, simplify=simplify), version, wall.sites)
    assert np.abs(state - state_of(wall)).max() < 1e-13


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("shape", [(1,), (2, 2), (8,)])
@pytest.mark.parametrize("gate", ["cartan", "su4"])
def test_few_qubits_and_staircases(read, shape, gate):
    wall = make(gate, shape=shape, depth=2, wiring="staircase")
    assert np.abs(read(to_qasm(wall), 3, wall.sites) - state_of(wall)).max() < 1e-13


def test_pennylane_refuses_the_include():
    pytest.importorskip("openqasm3", reason="needs the extra interop: pip install 'adqc[interop]'")
    with pytest.raises(NotImplementedError, match="Include"):
        qml.from_qasm3(to_qasm(make()), {})()


def dump(text, version, into):
    from qiskit import qasm2, qasm3

    return (qasm2 if into == 2 else qasm3).dumps(load_qiskit(text, version))


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
@pytest.mark.parametrize(("version", "into"), [(2, 2), (3, 3), (2, 3), (3, 2)])
def test_what_qiskit_writes_anew_comes_back(gate, version, into, simplify):
    wall = make(gate, shape=SHAPE, depth=4)
    text, described = (f(wall, version=version, simplify=simplify) for f in (to_qasm, card))
    again = dump(text, version, into)
    assert again != text
    found = from_qasm(again, json.loads(json.dumps(described)))
    assert (found("gates") - wall("gates")).abs().max() < 1e-12


def test_angles_that_qiskit_writes_as_fractions_of_pi():
    pytest.importorskip("qiskit", reason="needs the extra interop: pip install 'adqc[interop]'")
    wall = make("cartan", depth=6)
    fractions = torch.tensor([1 / 2, -3 / 4, 1, 2, -1 / 8, 5 / 6, 0, 1e-11], dtype=torch.float64) * torch.pi
    with torch.no_grad():
        wall.gates.copy_(fractions[torch.arange(len(wall.gates)) % len(fractions)])
        # Qiskit knows multiples of 1/pi too.
        wall.gates[4] = 3 / (4 * torch.pi)
    again = dump(to_qasm(wall, version=2), 2, 2)
    assert "*pi/4" in again
    assert "/(4*pi)" in again or "/(2*pi)" in again
    assert (from_qasm(again, card(wall, version=2))("gates") - wall("gates")).abs().max() < 1e-9


def test_a_folder_whose_circuit_qiskit_wrote_anew(tmp_path):
    pytest.importorskip("qiskit", reason="needs the extra interop: pip install 'adqc[interop]'")
    wall = make("su4")
    save_qasm(wall, tmp_path, version=2)
    path = tmp_path / "circuit.qasm"
    path.write_text(dump(path.read_text(), 2, 2))
    assert (load_qasm(tmp_path)("gates") - wall("gates")).abs().max() < 1e-12


@pytest.mark.parametrize("size", [1e-3, 1e-7, 0.5])
def test_what_qiskit_wrote_of_another_circuit_does_not_pass(size):
    pytest.importorskip("qiskit", reason="needs the extra interop: pip install 'adqc[interop]'")
    wall, other = make("cartan"), make("cartan")
    with torch.no_grad():
        other.gates.copy_(wall.gates)
        other.gates[7] += size
    with pytest.raises(ValueError, match="the text was altered or belongs to another card"):
        from_qasm(dump(to_qasm(other), 3, 2), card(wall))


def test_a_transpiled_circuit_is_refused_with_its_place():
    qiskit = pytest.importorskip("qiskit", reason="needs the extra interop: pip install 'adqc[interop]'")
    wall = make("cartan")
    circuit = qiskit.transpile(load_qiskit(to_qasm(wall, version=2), 2), basis_gates=["u3", "cx"])
    with pytest.raises(ValueError, match=r"^QASM line 4, column 1: expected one of 'h q"):
        from_qasm(qiskit.qasm2.dumps(circuit), card(wall, version=2))
