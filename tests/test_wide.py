"""Gates on three qubits and more as elementary ones, and circuits of them as QASM, both ways."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from qasm_walls import changed, make, there_and_back

import adqc
from adqc import Circuit, from_pennylane, from_quimb, to_pennylane, to_qasm
from adqc.elementary import count, product
from adqc.gauge import convert, coordinates
from adqc.qasm import card, from_qasm
from adqc.wide import decompose_wide, pattern_wide, sign_of_ones

WALLS = {
    "o8 wall": {"shape": (6, 20), "gate": "o8", "depth": 4},
    "o8 staircase": {"shape": (16, 9), "gate": "o8", "depth": 2, "wiring": "staircase"},
    "o8 stride": {"shape": (8, 16), "gate": "o8", "depth": 2, "wiring": "staircase", "stride": 2},
    "o8 axes": {"shape": (8, 24), "gate": "o8", "depth": 3, "axes": (8, 4, 6)},
    "o16 wall": {"shape": (8, 16), "gate": "o16", "depth": 3},
    "o16 stride": {"shape": (16, 16), "gate": "o16", "depth": 1, "wiring": "staircase", "stride": 3},
    "o32 wall": {"shape": (8, 8), "gate": "o32", "depth": 2},
    "cartan axes": {"shape": (4, 24), "gate": "cartan", "depth": 3, "axes": (4, 4, 6)},
}


def orthogonal(size, seed, *, sign=None):
    q, r = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    q = q * r.diagonal().sign()
    return q * torch.cat([torch.ones(size - 1), torch.linalg.det(q).sign() * (sign or 1) * torch.ones(1)])


def error(gate, fresh):
    """What the instructions are off in the columns that count, and their numbers."""
    wires = tuple(range(len(fresh)))
    instructions, phase = decompose_wide(gate, fresh=fresh)
    assert all(math.isfinite(one.angle) for one in instructions)
    bits = np.array(list(itertools.product((False, True), repeat=len(fresh))))
    columns = ~(bits & np.array(fresh)).any(axis=1)
    found = np.exp(1j * phase) * product(instructions, wires)
    return np.abs(found - gate.numpy())[:, columns].max(), count(instructions)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("qubits", [3, 4])
def test_a_gate_whatever_its_fresh_wires(qubits, sign):
    for seed, fresh in enumerate(itertools.product((False, True), repeat=qubits)):
        off, numbers = error(orthogonal(2**qubits, seed, sign=sign), fresh)
        assert off < 1e-14
        assert numbers["fixed"] == 0


@pytest.mark.parametrize(
    ("fresh", "sign", "cx"),
    [
        ((False,) * 3, 1, 22), ((False,) * 3, -1, 28), ((False, False, True), 1, 16), ((True,) * 3, -1, 6),
        ((False,) * 4, 1, 106), ((False,) * 4, -1, 120), ((False, False, False, True), -1, 78), ((True,) * 4, 1, 14),
        ((False,) * 5, 1, 466), ((False,) * 4 + (True,), 1, 346), ((False,) * 6, -1, 2016),
    ],
)  # fmt: skip
def test_numbers_of_cx(fresh, sign, cx):
    off, numbers = error(orthogonal(2 ** len(fresh), 7, sign=sign), fresh)
    assert off < 1e-14
    assert numbers["cx"] == cx


SPECIAL = {
    "identity": torch.eye(8),
    "minus identity": -torch.eye(8),
    "reflection": torch.diag(torch.tensor([1.0, 1, 1, -1, 1, 1, 1, 1])),
    "toffoli": torch.eye(8)[[0, 1, 2, 3, 4, 5, 7, 6]],
    "shift": torch.eye(8).roll(1, 0),
    "reversed": torch.eye(8).flip(0),
    "hadamards": torch.tensor([[(-1.0) ** (i & j).bit_count() for i in range(8)] for j in range(8)]).double() / 8**0.5,
    "one rotation": torch.block_diag(
        torch.eye(3), torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64), torch.eye(3)
    ),
}


@pytest.mark.parametrize("fresh", [(False, False, False), (False, False, True), (False, True, True), (True,) * 3])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_gates(name, fresh):
    assert error(SPECIAL[name].double(), fresh)[0] < 1e-14


@pytest.mark.parametrize("size", [1e-12, 1e-8, 1e-4])
def test_near_the_identity(size):
    noise = torch.randn(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gate = torch.linalg.matrix_exp(size * (noise - noise.T))
    assert error(gate, (False,) * 4)[0] < 1e-14


def test_the_pattern_does_not_depend_on_the_gate():
    for fresh in [(False,) * 3, (False, True, True), (False, False, False, True)]:
        found, _ = decompose_wide(orthogonal(2 ** len(fresh), 3, sign=1), fresh=fresh)
        assert tuple((one.name, one.wires) for one in found) == pattern_wide(fresh)
        assert {name for name, _ in pattern_wide(fresh)} == {"ry", "cx"}


def test_the_sign_of_ones():
    for qubits in (3, 4):
        found = np.exp(1j * math.pi / 2**qubits) * product(sign_of_ones(qubits), range(qubits))
        assert np.abs(found - np.diag([1.0] * (2**qubits - 1) + [-1.0])).max() < 1e-14


def test_what_is_no_orthogonal_gate():
    with pytest.raises(ValueError, match="a real gate on 3 qubits is a 8x8 matrix"):
        decompose_wide(torch.eye(4), fresh=(False,) * 3)
    with pytest.raises(ValueError, match="must be orthogonal, but this one is off by"):
        decompose_wide(2 * torch.eye(8), fresh=(False,) * 3)


# --- circuits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", WALLS)
def test_walls_come_back(name, version):
    wall = make(**WALLS[name])
    back = there_and_back(wall, version=version)
    assert back.config == wall.config
    assert (back("gates") - wall("gates")).abs().max() < 1e-13
    # The gates are the same as well, in the columns that count.
    assert (back.matrices() - wall.matrices())[..., 0].abs().max() < 1e-13


def test_both_determinants_occur():
    wall = make(**WALLS["o8 wall"])
    inner = [k for k, fresh in enumerate(wall.wiring.fresh) if not any(fresh)]
    found = set()
    for seed in range(8):
        with torch.no_grad():
            wall.gates.normal_(generator=torch.Generator().manual_seed(seed))
        signs = torch.linalg.det(wall.matrices())[inner].sign().int().tolist()
        found |= set(signs)
        back = there_and_back(wall)
        assert (back("gates") - wall("gates")).abs().max() < 1e-13
        assert torch.linalg.det(back.matrices())[inner].sign().int().tolist() == signs
    assert found == {1, -1}


def test_cards_say_what_is_not_usual():
    assert card(make(**WALLS["o8 stride"]))["stride"] == 2
    described = card(make(**WALLS["o8 axes"]))
    assert (described["axes"], described["padded"]) == ([8, 4, 6], [8, 4, 8])
    assert not {"axes", "stride"} & set(card(make()))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("o8 stride", {"stride": 0}, "the card's 'stride' must be a small whole number"),
        ("o8 stride", {"stride": 3}, "expected 1 to 2 for gate 'o8', got 3"),
        ("o8 axes", {"axes": [8, 4, 7]}, "hold another number of entries"),
        ("o8 axes", {"axes": "8"}, "the card's 'axes' must be a list"),
        ("o8 axes", {"axes": [8, 24]}, "the card's shape and layout make order"),
        ("o8 wall", {"depth": 10_000}, "makes some 35,000 gates"),
        ("o8 wall", {"depth": 3}, "the circuit of the card ends before"),
        ("o8 wall", {"family": "o16"}, "should go on with"),
    ],
)
def test_damaged_cards(name, changes, message):
    wall = make(**WALLS[name])
    with pytest.raises(ValueError, match=message):
        from_qasm(to_qasm(wall), {**card(wall), **changes})


def test_damaged_texts():
    wall = make(**WALLS["o8 wall"])
    text, described = to_qasm(wall), card(wall)
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("cx"))
    shorter = "\n".join([*lines[:place], *lines[place + 1 :]]) + "\n"
    with pytest.raises(ValueError, match=r"gate 0 on sites \(0, 1, 2\) should go on with"):
        from_qasm(*changed(shorter, described))
    with pytest.raises(ValueError, match="but the text ends"):
        from_qasm(*changed("\n".join(lines[:-1]) + "\n", described))


def test_simplified_where_all_gates_are_rotations():
    wall = make(**{**WALLS["o8 staircase"], "depth": 1})
    assert (there_and_back(wall, simplify=True)("gates") - wall("gates")).abs().max() < 1e-13
    rounded = there_and_back(wall, simplify=True, decimals=6)
    bound = card(wall, simplify=True, decimals=6)["error_bound"]
    assert 0 < (rounded("gates") - wall("gates")).norm() <= bound
    improper = make(**WALLS["o8 wall"])
    with torch.no_grad():
        # One of the gates that meet no |0>.
        improper.gates[-1] = 1
        improper.gates[-64:] = torch.diag(torch.tensor([1.0] * 7 + [-1.0])).flatten()
    with pytest.raises(ValueError, match="determinant -1 cannot be read back from fewer gates"):
        to_qasm(improper, simplify=True)
    assert adqc.simplify(improper).after.cx <= improper.resources().cx


@pytest.mark.parametrize("name", ["o8 stride", "o8 axes", "o16 wall"])
def test_every_way_agrees(name):
    wall = make(**WALLS[name])
    layer = adqc.nn.Linear(wall.shape[1], wall.shape[0], circuit=wall.config)
    found = adqc.verify(layer, show=False, tolerance=1e-12)
    assert found.passed, str(found)
    routes = {row.route for row in found.rows if row.values is not None}
    assert {"pennylane", "quimb", "halves", "fused", "network", "qasm", "qasm in quimb", "output"} <= routes
    assert all(row.gradients is not None for row in found.rows if not row.route.startswith("qasm"))


def test_drawings_and_resources():
    wall = make(**{**WALLS["o8 staircase"], "depth": 1})
    found = wall.resources()
    assert (found.gates, found.width, found.cx) == (6, 3, 6 + 5 * 16)
    assert str(found).startswith("8 qubits, 6 three-qubit gates, 86 CX, depth 6 in three-qubit layers, ")
    assert wall.draw().count("\n") == 7
    assert "G5" in adqc.circuit.draw(wall, bricks=True)


def test_what_is_for_two_qubits_only():
    wall = make(**WALLS["o8 wall"])
    with pytest.raises(ValueError, match="'o8' gates, on 3 qubits, cannot become one of 'cartan'"):
        convert(wall, "cartan")
    with pytest.raises(ValueError, match="cannot become one of 'free'"):
        adqc.relax_(adqc.nn.Linear(8, 8, circuit=Circuit(depth=2, gate="o8")))
    with pytest.raises(ValueError, match="act on two qubits and can be projected"):
        adqc.project_(adqc.nn.Linear(8, 8, circuit=Circuit(gate="free")), gate="o8")
    with pytest.raises(ValueError, match="'cartan' has 4x4 gates, but these are 8x8"):
        coordinates(adqc.gates.CARTAN, wall.wiring, wall.matrices())
    assert torch.equal(convert(wall, "o8")("gates"), wall("gates"))


@pytest.mark.parametrize("name", ["o8 stride", "o8 axes", "o16 wall"])
def test_from_other_libraries(name):
    import quimb.tensor as qtn

    wall = make(**WALLS[name])
    circuit = qtn.Circuit(wall.sites)
    gates = wall.family.full_matrices(wall.gate_parameters()).detach().numpy()
    for gate, sites in zip(gates, wall.wiring.gates, strict=True):
        circuit.apply_gate_raw(gate, sites)
    for found in (
        from_pennylane(to_pennylane(wall), wall.shape, wall.config, scale=-1.7),
        from_quimb(circuit, wall.shape, wall.config, scale=-1.7),
    ):
        assert (found("gates") - wall("gates")).abs().max() < 1e-13


def test_qiskit_may_write_the_text_anew():
    qasm3 = pytest.importorskip("qiskit.qasm3")
    pytest.importorskip("qiskit_qasm3_import")
    wall = make(**WALLS["o8 wall"])
    anew = qasm3.dumps(qasm3.loads(to_qasm(wall)))
    assert (from_qasm(anew, json.loads(json.dumps(card(wall))))("gates") - wall("gates")).abs().max() < 1e-9
