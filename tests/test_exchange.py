"""Circuits built in PennyLane and quimb become walls of the same weight, or get one sentence."""

import numpy as np
import pennylane as qml
import pytest
import quimb.tensor as qtn
import torch
from qasm_walls import FAMILIES, RY_CZ, SWAPS, make, name

import adqc
from adqc import Circuit, from_pennylane, from_quimb, to_pennylane
from adqc.engine.arrange import to_tensor
from adqc.engine.mend import mend_autoray


def as_quimb(wall):
    # Whatever ran before in this process: quimb itself shall take a circuit in numpy.
    mend_autoray()
    circuit = qtn.Circuit(wall.sites)
    for gate, sites in zip(wall.matrices().detach().numpy(), wall.wiring.gates, strict=True):
        circuit.apply_gate_raw(gate, sites)
    return circuit


def weight_of(state, wall):
    return to_tensor(torch.as_tensor(np.asarray(state).real.copy()), wall.layout)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_walls_come_back_with_their_wiring_and_depth(gate, wiring, depth):
    wall = make(gate, shape=(4, 5), depth=depth, wiring=wiring)
    for found in (
        from_pennylane(to_pennylane(wall), (4, 5), scale=-1.7),
        from_quimb(as_quimb(wall), (4, 5), scale=-1.7),
    ):
        assert (found("gates") - wall("gates")).abs().max() < 1e-13
        assert (found.config.wiring, found.config.depth) == (wiring, depth)
        # A gate on fresh qubits may have any determinant, as its last column meets no state.
        improper = gate in (RY_CZ, SWAPS) and not all(any(fresh) for fresh in wall.wiring.fresh)
        assert found.family.name == ("cartan" if wall.family.real and not improper else "cartan-su4")


@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4"])
def test_the_configuration_may_be_given(gate):
    wall = make(gate, shape=(4, 4), depth=2, layout="rows-first")
    config = Circuit(depth=5, gate="su4", layout="rows-first", wiring="staircase")
    found = from_pennylane(to_pennylane(wall), (4, 4), config, scale=-1.7, dtype=torch.float32)
    assert found.config == config
    assert found.scale.dtype == torch.float32
    assert (found("gates") - wall("gates").float()).abs().max() < 1e-5


def build_pennylane():
    for wire in range(4):
        qml.RY(0.3 * wire + 0.2, wire)
    qml.CNOT([0, 1])
    qml.CNOT([3, 2])
    qml.Hadamard(0)
    qml.CZ([2, 1])
    qml.IsingXX(0.4, [1, 2])
    qml.Barrier([0, 1])
    qml.SWAP([2, 3])
    qml.S(3)
    qml.GlobalPhase(0.7)


def build_quimb():
    circuit = qtn.Circuit(4)
    for wire in range(4):
        circuit.ry(0.3 * wire + 0.2, wire)
    circuit.cx(0, 1)
    circuit.cx(3, 2)
    circuit.h(0)
    circuit.cz(2, 1)
    circuit.rxx(0.4, 1, 2)
    circuit.swap(2, 3)
    circuit.apply_gate("S", 3)
    circuit.apply_gate("X", 0, controls=[1])
    return circuit


def test_elementary_gates_of_pennylane():
    @qml.qnode(qml.device("default.qubit", wires=4))
    def node():
        build_pennylane()
        return qml.state()

    for circuit in (build_pennylane, node, qml.tape.make_qscript(build_pennylane)()):
        wall = from_pennylane(circuit, (4, 4))
        assert (wall() - weight_of(node(), wall)).abs().max() < 1e-14
        assert wall.config.depth == 3


def test_elementary_gates_of_quimb():
    circuit = build_quimb()
    wall = from_quimb(circuit, (4, 4))
    assert (wall() - weight_of(circuit.to_dense(optimize="greedy").ravel(), wall)).abs().max() < 1e-14


def test_wires_with_names_and_templates():
    def prepare():
        qml.QFT(["a", "b"])
        qml.RY(0.3, "c")
        qml.CNOT(["b", "c"])
        qml.BasicEntanglerLayers([[0.1, 0.2, 0.3]], wires=["a", "b", "c"], rotation=qml.RX)

    with pytest.raises(ValueError, match=r"operation .* sites 2 and 0 are not neighbours"):
        from_pennylane(prepare, (8,), wires=["a", "b", "c"])

    def chain():
        qml.RY(0.3, "c")
        qml.MultiRZ(0.3, ["b", "c"])
        qml.CNOT(["b", "a"])

    wall = from_pennylane(chain, (2, 4), wires=["a", "b", "c"])
    state = qml.matrix(chain, wire_order=["a", "b", "c"])()[:, 0]
    assert (wall() - weight_of(state, wall)).abs().max() < 1e-14
    with pytest.raises(ValueError, match=r"shape \(2, 4\) takes 3 wires, but the circuit also acts on wire 'c'"):
        from_pennylane(chain, (2, 4))


def test_one_qubit_gates_alone():
    def turns():
        for wire in range(3):
            qml.RY(0.5 + wire, wire)

    wall = from_pennylane(turns, (8,))
    state = qml.matrix(turns, wire_order=[0, 1, 2])()[:, 0]
    assert (wall() - weight_of(state, wall)).abs().max() < 1e-15


def test_a_gate_on_odd_sites_alone_takes_the_second_layer():
    def prepare():
        qml.RY(0.4, 1)
        qml.CNOT([1, 2])

    wall = from_pennylane(prepare, (4, 4))
    assert (wall.config.wiring, wall.config.depth) == ("brick-wall", 2)
    state = qml.matrix(prepare, wire_order=[0, 1, 2, 3])()[:, 0]
    assert (wall() - weight_of(state, wall)).abs().max() < 1e-15


def test_a_layer_can_train_from_there():
    wall = from_quimb(build_quimb(), (4, 4), dtype=torch.float32)
    wall().sum().backward()
    assert wall.gates.grad.abs().max() > 0


def back_and_forth():
    for wires in ([0, 1], [1, 2], [0, 1]):
        qml.CNOT(wires)


def measured():
    qml.RY(0.3, 0)
    qml.measure(0)


BAD = [
    (lambda: qml.CNOT([0, 2]), {}, "operation 0 does not fit: sites 0 and 2 are not neighbours"),
    (lambda: qml.Toffoli([0, 1, 2]), {}, "are not neighbours"),
    (measured, {}, "operation 1, MidMeasureMP on wires .0., is not a unitary gate on one or two wires"),
    (lambda: qml.StatePrep(np.eye(8)[3], [0, 1, 2]), {}, "sites|not a unitary"),
    (lambda: qml.QubitUnitary(np.eye(4) * 2, [0, 1], unitary_check=False), {}, "operation 0 .* is not unitary"),
    (lambda: qml.RY(float("nan"), 0), {}, "operation 0 on sites .0,. is not unitary, or not finite"),
    (lambda: qml.RY(np.array([0.1, 0.2]), 0), {}, "has one matrix of 2 rows, got .2, 2, 2."),
    (back_and_forth, {"config": Circuit(depth=1, wiring="staircase")}, "operation 2 does not fit: .* no gate left"),
    (lambda: qml.RX(0.3, 0), {"config": Circuit(depth=2)}, "gate family 'cartan' is real|complex, but"),
    (lambda: qml.RY(0.3, 2), {"config": Circuit(depth=1)}, "the wiring has no gate on qubit 2"),
    (lambda: qml.RY(0.3, 0), {"wires": [0, 1]}, "takes 3 wires, but wires names 2"),
]  # fmt: skip


@pytest.mark.parametrize(("circuit", "options", "message"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_gets_one_sentence(circuit, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        from_pennylane(circuit, (8,), **options)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_of_quimb():
    long = qtn.Circuit(3)
    long.cx(0, 2)
    with pytest.raises(ValueError, match="operation 0 does not fit: sites 0 and 2 are not neighbours"):
        from_quimb(long, (8,))
    wide = qtn.Circuit(3)
    wide.apply_gate("X", 2, controls=[0, 1])
    with pytest.raises(ValueError, match=r"gate 0, X on sites .0, 1, 2., is not a gate on one or two sites"):
        from_quimb(wide, (8,))
    with pytest.raises(ValueError, match=r"a weight of shape \(4,\) takes 2 sites, but the circuit has 3"):
        from_quimb(long, (4,))
    with pytest.raises(TypeError, match=r"expected a quimb\.tensor\.Circuit, got TensorNetwork"):
        from_quimb(make().to_quimb(), (3, 5))
    with pytest.raises(TypeError, match="expected a quantum function, a QNode or a tape of PennyLane, got int"):
        from_pennylane(3, (8,))


def test_a_family_that_gives_no_parameters_is_named():
    family = adqc.gate_family("ry-cz-exchange", 2, lambda p, w: [qml.RY(p[0], w[0]), qml.RY(p[1], w[1]), qml.CZ(w)])
    with pytest.raises(ValueError, match="'ry-cz-exchange' gives no parameters"):
        from_pennylane(to_pennylane(make()), (3, 5), Circuit(depth=3, gate=family))


def test_the_random_stream_is_left_alone():
    prepare = to_pennylane(make())
    before = torch.get_rng_state()
    from_pennylane(prepare, (3, 5))
    assert torch.equal(torch.get_rng_state(), before)
