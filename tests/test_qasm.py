"""OpenQASM 2 and 3, both ways: exact, read by others, and strict about what is read."""

import json
import re

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import adqc
from adqc import BrickWall, Circuit
from adqc.engine.statevector import run_gates
from adqc.gates import SO4, GateFamily
from adqc.qasm import card, from_qasm, load_qasm, save_qasm, to_qasm

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
FAMILIES = ["cartan", "so4", RY_CZ, RY_CX_CX, SWAPS]


def name(value):
    return value.name if isinstance(value, GateFamily) else str(value)


def make(gate="cartan", shape=(3, 5), depth=3, dtype=torch.float64, **options):
    wall = BrickWall(shape, Circuit(depth=depth, gate=gate, **options), dtype=dtype)
    with torch.no_grad():
        wall.scale.fill_(-1.7)
    return wall


def there_and_back(wall, version=3):
    return from_qasm(to_qasm(wall, version=version), json.loads(json.dumps(card(wall, version=version))))


def angles_in(text):
    return [float(number) for number in re.findall(r"ry\(([^)]*)\)", text)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_the_weight_comes_back(gate, wiring, version):
    wall = make(gate, wiring=wiring)
    found = there_and_back(wall, version)
    assert found.scale.dtype == torch.float64
    assert (found.shape, found.layout, found.wiring) == (wall.shape, wall.layout, wall.wiring)
    assert (found("gates") - wall("gates")).abs().max() < 1e-13


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (2, 2), (7, 9), (2, 3, 2), (1, 6), (4, 3, 1, 5)])
@pytest.mark.parametrize("layout", ["interleaved", "rows-first", "explicit"])
@pytest.mark.parametrize("gate", ["cartan", "so4"])
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


def test_type_and_device_can_be_chosen_and_the_random_stream_is_left_alone():
    wall = make("so4")
    before = torch.get_rng_state()
    found = from_qasm(to_qasm(wall), card(wall), dtype=torch.float32, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.gates.dtype == torch.float32


def quimb_state(text, version, qubits):
    import quimb.tensor as qtn

    read = qtn.Circuit.from_openqasm2_str if version == 2 else qtn.Circuit.from_openqasm3_str
    # quimb's site 0 is the most significant one, as ours.
    outputs = [f"k{site}" for site in range(qubits)]
    return np.asarray(read(text).psi.contract(output_inds=outputs, optimize="greedy").data).ravel()


@pytest.mark.parametrize("gate", FAMILIES, ids=name)
@pytest.mark.parametrize("version", [2, 3])
def test_quimb_reads_the_same_amplitudes(gate, version):
    wall = make(gate, depth=4)
    state = quimb_state(to_qasm(wall, version=version), version, wall.sites)
    assert np.abs(state - run_gates(wall.matrices(), wall.wiring).detach().numpy()).max() < 1e-13


def test_pennylane_reads_what_its_grammar_knows():
    pytest.importorskip("openqasm3")
    wall = make("so4", shape=(2, 4))
    text = to_qasm(wall)
    with pytest.raises(NotImplementedError, match="Include"):
        qml.from_qasm3(text, {})()
    prepare = qml.from_qasm3(text.replace('include "stdgates.inc";\n', ""), {})

    @qml.qnode(qml.device("default.qubit", wires=["q[0]", "q[1]", "q[2]"]))
    def state():
        prepare()
        return qml.state()

    assert np.abs(state() - wall.qnode()().detach().numpy()).max() < 1e-13


@pytest.mark.parametrize("version", [2, 3])
def test_qiskit_reads_the_same_amplitudes(version):
    pytest.importorskip("qiskit")
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import Statevector

    if version == 3:
        pytest.importorskip("qiskit_qasm3_import")
    wall = make("so4")
    circuit = (qasm2 if version == 2 else qasm3).loads(to_qasm(wall, version=version))
    state = Statevector(circuit.reverse_bits()).data
    assert np.abs(state - wall.qnode()().detach().numpy()).max() < 1e-13


@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_only_three_kinds_of_gates_and_as_many_cx_as_resources_says(gate):
    wall = make(gate, depth=4)
    lines = [line for line in to_qasm(wall).splitlines()[3:] if not line.startswith("//")]
    assert {re.match("[a-z]+", line)[0] for line in lines[1:]} == {"h", "ry", "cx"}
    assert sum(line.startswith("cx") for line in lines) == wall.resources().cx
    per_gate = {"cartan": (3, 4)}.get(name(gate), (3, 6))
    turns = sum(line.startswith("ry") for line in lines)
    fresh = sum(map(all, wall.wiring.fresh))
    assert turns == per_gate[0] * fresh + per_gate[1] * (len(wall.wiring.gates) - fresh)


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
    assert (there_and_back(wall)("gates") - wall("gates")).abs().max() < 1e-13
    text = to_qasm(wall)
    assert np.abs(quimb_state(text, 3, 4) - run_gates(wall.matrices(), wall.wiring).detach().numpy()).max() < 3e-14


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
    st.sampled_from(["cartan", "so4"]),
    st.sampled_from(["brick-wall", "staircase"]),
    st.sampled_from(["interleaved", "rows-first"]),
    st.sampled_from([2, 3]),
    st.sampled_from(["haar", "layered", "near-identity"]),
)
@settings(max_examples=60, deadline=None)
def test_every_circuit_comes_back(shape, depth, gate, wiring, layout, version, start):
    wall = make(gate, tuple(shape), depth, wiring=wiring, layout=layout, start=start)
    assert (there_and_back(wall, version)("gates") - wall("gates")).abs().max() < 1e-12


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_every_number_comes_back_bit_by_bit_and_has_a_decimal_point(value):
    from adqc.qasm_text import number_text, parse

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
    import hashlib

    described = {**card(wall), "sha256": hashlib.sha256(bare.encode()).hexdigest()}
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
    with pytest.raises(ValueError, match="damaged card"):
        load_qasm(tmp_path)
    save_qasm(make("cartan"), tmp_path)
    (tmp_path / "circuit.qasm").write_text((tmp_path / "circuit.qasm").read_text()[:200])
    with pytest.raises(ValueError, match="the text was altered or belongs to another card"):
        load_qasm(tmp_path)


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "word"), [("free", "project"), ("su4", "complex"), ("cartan-su4", "complex")])
def test_gates_that_qasm_cannot_hold(gate, word):
    wall = make(gate)
    with pytest.raises(
        ValueError, match=rf"QASM needs real unitary gates .*shape \(3, 5\) has the gate '{gate}'.*"
    ) as e:
        to_qasm(wall)
    assert word in str(e.value)
    with pytest.raises(ValueError, match="QASM needs real unitary gates"):
        card(wall)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["gates", "scale"])
def test_numbers_that_are_none(which, value):
    wall = make("cartan")
    with torch.no_grad():
        getattr(wall, which).view(-1)[0] = value
    with pytest.raises(ValueError, match=f"NaN or infinity in '{which}'"):
        to_qasm(wall)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="version 2 or 3, got 4"):
        to_qasm(make(), version=4)
    with pytest.raises(TypeError, match=r"expected a compressed layer .* got Linear"):
        to_qasm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="says it is unitary, but"):
        to_qasm(make(lonely(np.eye(4) * 1.01), shape=(4, 4)))


def changed(text, described):
    import hashlib

    return text, {**described, "sha256": hashlib.sha256(text.encode()).hexdigest()}


CARDS = [
    ({"format": "other"}, "a card is a mapping with format 'adqc-circuit'"),
    ({"format_version": 2}, "format version 2, but this adqc reads version 1: update adqc"),
    ({"sha256": "0"}, "the text was altered or belongs to another card"),
    ({"shape": [3, 0]}, "'shape' must be a list of whole numbers"),
    ({"shape": [3, 5.0]}, "'shape' must be"),
    ({"shape": "35"}, "'shape' must be"),
    ({"shape": [3, 9]}, "the card's shape and layout make qubits 6, but it says 5"),
    ({"depth": 0}, "'depth' must be"),
    ({"depth": 10**15}, "'depth' must be"),
    ({"depth": True}, "'depth' must be"),
    ({"depth": 2}, "the circuit of the card ends before"),
    ({"depth": 4}, "gate 6 .* should go on with 'h q.1.', but the text ends"),
    ({"layout": 3}, "'layout' must be"),
    ({"layout": "spiral"}, "unknown layout 'spiral'"),
    ({"layout": "rows-first"}, "make order .* but it says"),
    ({"wiring": None}, "'wiring' must be"),
    ({"wiring": "ring"}, "unknown wiring 'ring'"),
    ({"family": 4}, "'family' must be"),
    ({"family": "free"}, "QASM needs real unitary gates, but the card's family is 'free'"),
    ({"family": "so4"}, "should go on with 'ry q.1.', got 'h q.1.'"),
    ({"scale": float("nan")}, "'scale' must be a finite number"),
    ({"scale": "1"}, "'scale' must be a finite number"),
    ({"padded": [4, 4]}, "make padded .* but it says"),
]


@pytest.mark.parametrize(("change", "message"), CARDS, ids=lambda value: str(value)[:30])
def test_cards_that_do_not_fit(change, message):
    wall = make()
    with pytest.raises(ValueError, match=message):
        from_qasm(to_qasm(wall), {**card(wall), **change})


@pytest.mark.parametrize("key", sorted(set(card(make())) - {"openqasm", "parameters", "conventions"}))
def test_a_card_without_a_key(key):
    wall = make()
    described = card(wall)
    del described[key]
    with pytest.raises(ValueError, match="card"):
        from_qasm(to_qasm(wall), described)


def test_what_is_no_card():
    with pytest.raises(ValueError, match="a card is a mapping"):
        from_qasm(to_qasm(make()), [1])


TEXTS = [
    ("OPENQASM 3.0;", "OPENQASM 4.0;", "line 1, column 1: expected 'OPENQASM 2.0;' or 'OPENQASM 3.0;', got"),
    ("stdgates.inc", "qelib1.inc", "line 2, column 1: expected 'include \"stdgates.inc\";', got"),
    ("qubit[5] q;", "qreg q[5];", "line 5, column 1: expected a register 'qubit.…. q;', got 'qreg q.5.;'"),
    ("qubit[5] q;", "qubit[6] q;", "the card says 5 qubits, but the QASM text has 6"),
    ("qubit[5] q;", "qubit[4] q;", r"line \d+, column \d+: the register has 4 qubits, got q\[4\]"),
    ("qubit[5] q;", "qubit[99999999999] q;", "line 5, column 1: expected a register"),
    ("cx q[0],q[1];", "  swap q[0],q[1];", "line 8, column 3: expected one of 'h q.*, got 'swap q.0.,q.1.;'"),
    ("cx q[0],q[1];", "measure q;", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "for int i in [0:3] { h q[i]; }", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "cx q[1],q[0];", "line 8, column 1: gate 0 .* with 'cx q.0.,q.1.', got 'cx q.1.,q.0.'"),
    ("cx q[0],q[1];", "h q[0];cx q[0],q[1];", "line 8, column 1: gate 0 .* got 'h q.0.'"),
    ("cx q[0],q[1];", "ry(nan) q[0];", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "ry(1e999) q[0];", "line 8, column 1: an angle must be a finite number, got 1e999"),
    ("cx q[0],q[1];", "ry(pi/2) q[0];", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "cx q[0],q[1]", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "/* cx */", "line 8, column 1: expected one of"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), TEXTS, ids=lambda value: str(value)[:20])
def test_texts_that_are_not_ours(old, new, message):
    wall = make()
    text = to_qasm(wall)
    assert old in text
    with pytest.raises(ValueError, match=message):
        from_qasm(*changed(text.replace(old, new, 1), card(wall)))


def test_blanks_and_comments_may_differ():
    wall = make("so4")
    text = re.sub(r"//[^\n]*\n", "", to_qasm(wall))
    loose = text.replace(";", " ;\r\n\n // more\n").replace(",", " ,\t").replace("ry(", "ry ( ").replace("q[", "q [ ")
    assert torch.equal(from_qasm(*changed(loose, card(wall)))(), there_and_back(wall)())


@pytest.mark.parametrize(
    "text", ["", "OPENQASM 3.0;", 'OPENQASM 3.0; include "stdgates.inc";', "\ud800", "//" * 50_000]
)
def test_texts_cut_short(text):
    described = card(make())
    with pytest.raises(ValueError, match=r"but the text ends here|surrogates"):
        from_qasm(*changed(text, described))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_files_are_refused_or_mean_what_they_say(data):
    wall = make("cartan", shape=(4, 2), depth=2)
    with torch.no_grad():
        wall.gates.copy_(torch.linspace(-3, 4, len(wall.gates)))
    text = to_qasm(wall)
    at = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(
        st.sampled_from(["", "x", ";", "[", "9", "-", ".", "\n", "ry(1) q[0];", "//", "q", "e", "\x00", "٣"])
    )
    mutated = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    found, message = None, ""
    try:
        found = from_qasm(*changed(mutated, card(wall)))
    except ValueError as error:
        message = str(error)
    assert "\n" not in message
    if found is not None:
        plain = "".join(re.sub(r"//[^\n]*", "", mutated).split())
        assert angles_in(to_qasm(found)) == pytest.approx(angles_in(plain))
