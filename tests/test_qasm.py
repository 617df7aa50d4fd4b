"""OpenQASM 2 and 3, both ways: exact, read by others, and strict about what is read."""

import json
import re

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qasm_walls import FAMILIES, PAULI, PHASES, RY_CX_CX, RY_CZ, changed, make, name, there_and_back

import adqc
from adqc import Circuit
from adqc.elementary import run
from adqc.engine.statevector import run_gates
from adqc.gates import SO4, SU4, GateFamily, special_unitary_logarithm
from adqc.qasm import card, from_qasm, load_qasm, save_qasm, to_qasm
from adqc.qasm_text import number_text, parse


def angles_in(text):
    return [float(number) for number in re.findall(r"ry\(([^)]*)\)", text)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_the_weight_comes_back(gate, wiring, version):
    wall = make(gate, wiring=wiring)
    assert (there_and_back(wall, version, simplify=True)("gates") - wall("gates")).abs().max() < 1e-13
    found = there_and_back(wall, version)
    assert found.scale.dtype == torch.float64
    assert (found.shape, found.layout, found.wiring) == (wall.shape, wall.layout, wall.wiring)
    assert (found("gates") - wall("gates")).abs().max() < 1e-13


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (2, 2), (7, 9), (2, 3, 2), (1, 6), (4, 3, 1, 5)])
@pytest.mark.parametrize("layout", ["interleaved", "rows-first", "explicit"])
@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4"])
def test_any_shape_and_layout(gate, layout, shape):
    bits = max(1, sum((n - 1).bit_length() for n in shape))
    wall = make(gate, shape=shape, layout=tuple(torch.randperm(bits).tolist()) if layout == "explicit" else layout)
    assert (there_and_back(wall)("gates") - wall("gates")).abs().max() < 1e-13


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_cartan_parameters_come_back_bit_by_bit(dtype):
    wall = make("cartan", depth=5, dtype=dtype)
    found = there_and_back(wall)
    assert found.family is wall.family
    assert torch.equal(found.gates, wall.gates.double())
    assert torch.equal(found.scale, wall.scale.double())


def test_the_families_that_come_back():
    # A gate on a fresh qubit can be given either determinant; the others of these families have -1.
    assert there_and_back(make("so4")).family.name == "so4"
    assert there_and_back(make(RY_CX_CX)).family.name == "so4"
    assert there_and_back(make(RY_CZ)).family.name == "free"
    assert there_and_back(make(RY_CZ, depth=1)).family.name == "so4"
    assert there_and_back(make(PHASES)).family.name == there_and_back(make(PAULI)).family.name == "cartan-su4"
    assert there_and_back(make("su4")).family.name == "su4"
    assert there_and_back(make("so4"), simplify=True).family.name == "so4"


def test_type_and_device_can_be_chosen_and_the_random_stream_is_left_alone():
    wall = make("so4")
    before = torch.get_rng_state()
    found = from_qasm(to_qasm(wall), card(wall), dtype=torch.float32, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.gates.dtype == torch.float32


def state_of(wall):
    return run_gates(wall.matrices(), wall.wiring).detach().numpy()


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_the_gates_prepare_the_state_phase_included(gate, wiring, simplify):
    wall = make(gate, shape=(4, 5), depth=4, wiring=wiring)
    qubits, instructions = parse(to_qasm(wall, simplify=simplify))
    assert np.abs(run(qubits, instructions) - state_of(wall)).max() < 1e-13


@pytest.mark.parametrize("gate", ["so4", "su4"])
def test_errors_do_not_add_up_in_deep_circuits(gate):
    wall = make(gate, shape=(8, 8), depth=60)
    for simplify in (False, True):
        qubits, instructions = parse(to_qasm(wall, simplify=simplify))
        assert np.abs(run(qubits, instructions) - state_of(wall)).max() < 1e-13
        assert (there_and_back(wall, simplify=simplify)("gates") - wall("gates")).abs().max() < 1e-13


@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_as_many_gates_as_resources_says(gate):
    wall = make(gate, depth=4)
    lines = [line for line in to_qasm(wall).splitlines()[3:] if not line.startswith("//")]
    names = [re.match("[a-z]+", line)[0] for line in lines[1:]]
    # Where gates of a user's have a phase, one rz more makes it good.
    extra = int(gate is PHASES)
    found = wall.resources()
    assert (names.count("cx"), names.count("ry") + names.count("rz")) == (found.cx, found.rotations + extra)
    assert len(names) == found.cx + found.rotations + found.fixed + extra
    fresh = [sum(f) for f in wall.wiring.fresh]
    if gate in ("cartan", "so4"):
        assert set(names) == {"h", "ry", "cx"}
        assert found.cx == sum(1 if f == 2 else 2 for f in fresh)
        assert found.rotations == sum(3 if f == 2 else 4 if gate == "cartan" else 6 for f in fresh)
    elif gate in ("cartan-su4", "su4"):
        assert found.cx == sum(3 - f for f in fresh)
        assert found.rotations == sum((10, 8, 7)[f] for f in fresh)


def lonely(gate):
    """A family of one constant gate, as random walls of it would not be."""
    matrix = torch.as_tensor(gate, dtype=torch.float64)
    return GateFamily("constant", 1, lambda p, wires: qml.QubitUnitary(matrix.numpy(), wires),
                      lambda p: matrix.to(p).expand(*p.shape[:-1], 4, 4))  # fmt: skip


SIGNED_SWAP = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, -1]]
SPECIAL = {
    "identity": np.eye(4),
    "minus identity": -np.eye(4),
    "swap": np.eye(4)[[0, 2, 1, 3]],
    "minus swap": -np.eye(4)[[0, 2, 1, 3]],
    "signed swap": np.array(SIGNED_SWAP),
    "cx": np.eye(4)[[0, 1, 3, 2]],
    "cx upside down": np.eye(4)[[0, 3, 2, 1]],
    "cz": np.diag([1, 1, 1, -1]),
    "minus cz": np.diag([-1, 1, 1, 1]),
    "x": np.kron([[0, 1], [1, 0]], np.eye(2)),
    "z": np.kron(np.eye(2), [[1, 0], [0, -1]]),
    "hadamards": np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_gates_have_their_sign(kind):
    wall = make(lonely(SPECIAL[kind]), shape=(4, 4), depth=5)
    for simplify in (False, True):
        assert (there_and_back(wall, simplify=simplify)("gates") - wall("gates")).abs().max() < 1e-13
        assert np.abs(run(*parse(to_qasm(wall, simplify=simplify))) - state_of(wall)).max() < 3e-14


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-8, 1e-4])
def test_special_gates_in_su4_and_all_around_them(kind, size):
    wall = make("su4", shape=(4, 4), depth=4)
    special = torch.as_tensor(SPECIAL[kind]).to(torch.complex128)
    near = SU4.matrices(size * torch.randn(len(wall.wiring.gates), 15, dtype=torch.float64))
    wall.set_gate_parameters_(special_unitary_logarithm(special @ near))
    for simplify in (False, True):
        assert (there_and_back(wall, simplify=simplify)("gates") - wall("gates")).abs().max() < 1e-12
        assert np.abs(run(*parse(to_qasm(wall, simplify=simplify))) - state_of(wall)).max() < 1e-12


@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-8, 1e-4])
@pytest.mark.parametrize("gate", ["cartan", "so4"])
def test_near_the_identity_nothing_is_lost(gate, spread):
    wall = make(gate, depth=4)
    wall.set_gate_parameters_(wall.gate_parameters().detach() * spread)
    found = there_and_back(wall)
    assert (found("gates") - wall("gates")).abs().max() < 1e-15 + 1e-7 * spread
    # The gates are what they were, to the last digits of their distance from the identity.
    one, other = (w.matrices() - torch.eye(4) for w in (found, wall))
    inner = [k for k, fresh in enumerate(wall.wiring.fresh) if not all(fresh)]
    assert (one - other)[inner].abs().max() < 2e-15


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6), st.sampled_from([1.0, 1e-3, 1e-9, 1e-13]))
@settings(max_examples=60, deadline=None)
def test_one_so4_gate_of_any_kind_comes_back_below_1e14(params, size):
    wall = make("so4", shape=(2, 2), depth=3)
    row = torch.tensor(params, dtype=torch.float64) * size
    full = wall.gate_parameters().detach().clone()
    full[1] = row
    wall.set_gate_parameters_(full)
    gate, found = SO4.matrices(row), there_and_back(wall).matrices()[1]
    # Large angles cost the matrix exponential digits; what is written is the gate it gave, made orthogonal.
    assert (gate - found).abs().max() < 1e-14 * max(1, row.norm().item())


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 7),
    st.sampled_from(["cartan", "so4", "cartan-su4", "su4"]),
    st.sampled_from(["brick-wall", "staircase"]),
    st.sampled_from(["interleaved", "rows-first"]),
    st.sampled_from([2, 3]),
    st.sampled_from(["haar", "layered", "near-identity"]),
)
@settings(max_examples=60, deadline=None)
def test_every_circuit_comes_back(shape, depth, gate, wiring, layout, version, start):
    wall = make(gate, tuple(shape), depth, wiring=wiring, layout=layout, start=start)
    assert (there_and_back(wall, version)("gates") - wall("gates")).abs().max() < 1e-12


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6))
def test_every_number_comes_back_bit_by_bit_and_has_a_decimal_point(value):
    text = number_text(value)
    assert re.fullmatch(r"-?[0-9]+\.[0-9]*(e[-+]?[0-9]+)?", text)
    _, (turn,) = parse(f'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; ry({text}) q[0];')
    assert turn.angle == value


# --- the card ---------------------------------------------------------------------------------------------------


def test_the_card_holds_what_the_text_does_not():
    import hashlib

    wall = make("so4", shape=(3, 5), depth=2, wiring="staircase", layout="rows-first")
    found = json.loads(json.dumps(card(wall, version=2), allow_nan=False))
    assert found["sha256"] == hashlib.sha256(to_qasm(wall, version=2).encode()).hexdigest()
    assert found["format_version"] == 1
    assert (found["shape"], found["padded"], found["qubits"]) == ([3, 5], [4, 8], 5)
    assert (found["wiring"], found["depth"], found["family"]) == ("staircase", 2, "so4")
    assert (found["layout"], found["order"], found["scale"]) == ("rows-first", [0, 1, 2, 3, 4], -1.7)
    assert "most significant" in found["conventions"]["qubits"]


def test_the_card_and_a_state_vector_make_the_weight_as_the_conventions_say():
    wall = make("cartan", shape=(3, 5))
    described = card(wall)
    state = wall.qnode()().detach().real.numpy().reshape((2,) * described["qubits"])
    # Axis k is site k and carries bit order[k].
    bits = state.transpose(np.argsort(described["order"]))
    weight = described["scale"] * bits.reshape(described["padded"])[tuple(slice(n) for n in described["shape"])]
    assert np.abs(weight - wall("gates").detach().numpy()).max() < 1e-12


def test_the_gates_are_read_from_the_text_not_from_comments_or_the_card():
    wall = make("cartan")
    text = to_qasm(wall)
    angles = angles_in(text)
    altered = text.replace(f"ry({angles[3]!r})", "ry(0.125)", 1)
    bare = re.sub(r"//[^\n]*\n", "", altered)
    _, described = changed(bare, card(wall))
    assert (from_qasm(bare, described)() - wall()).abs().max() > 1e-3
    assert 0.125 in angles_in(to_qasm(from_qasm(bare, described)))


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_files_of_a_layer(tmp_path, version):
    layer = adqc.nn.Conv2d(3, 5, 3, circuit=Circuit(depth=3))
    folder = save_qasm(layer, tmp_path / "a" / "b", version=version)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "circuit.qasm"]
    assert (load_qasm(folder)() - layer.weight).abs().max() < 1e-6
    assert torch.equal(load_qasm(folder, dtype=torch.float32)(), layer.weight)


def test_a_refused_circuit_leaves_the_files_as_they_were(tmp_path):
    save_qasm(make("cartan"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="'free'"):
        save_qasm(make("free"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no circuit\.qasm"):
        load_qasm(tmp_path)
    save_qasm(make("cartan"), tmp_path)
    (tmp_path / "card.json").write_text((tmp_path / "card.json").read_text()[:50])
    with pytest.raises(ValueError, match=r"card\.json is damaged: it is no JSON"):
        load_qasm(tmp_path)
    save_qasm(make("cartan"), tmp_path)
    (tmp_path / "circuit.qasm").write_text((tmp_path / "circuit.qasm").read_text()[:200])
    with pytest.raises(ValueError, match=r"line \d+, column \d+"):
        load_qasm(tmp_path)
    save_qasm(make("so4"), tmp_path)
    save_qasm(make("cartan"), tmp_path / "other")
    (tmp_path / "circuit.qasm").write_bytes((tmp_path / "other" / "circuit.qasm").read_bytes())
    with pytest.raises(ValueError, match="the text was altered or belongs to another card"):
        load_qasm(tmp_path)
    (tmp_path / "card.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"card\.json is damaged: it is no JSON"):
        load_qasm(tmp_path)
