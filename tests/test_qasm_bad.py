"""What is no circuit of ours, or not the card's, gets one sentence: never a hang, never a wrong circuit."""

import json
import math
import random
import re
import time

import numpy as np
import pennylane as qml
import pytest
import torch
from qasm_walls import changed, make, there_and_back
from torch import nn

from adqc.elementary import run
from adqc.gates import GateFamily
from adqc.qasm import card, from_qasm, load_qasm, save_qasm, to_qasm


def test_gates_that_qasm_cannot_hold():
    wall = make("free")
    message = r"QASM needs unitary gates, .*shape \(3, 5\) has the gate 'free', which is not unitary: project it"
    with pytest.raises(ValueError, match=message):
        to_qasm(wall)
    with pytest.raises(ValueError, match=message):
        card(wall)


def lying(matrix):
    """A family whose matrix is not what its operations make."""
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    return GateFamily(
        "lying", 1, lambda p, wires: qml.RY(p[0], wires[0]), lambda p: matrix.to(p).expand(*p.shape[:-1], 4, 4)
    )


def test_a_family_whose_matrix_is_not_what_its_operations_make_gets_no_file(tmp_path):
    for matrix in (np.eye(4), np.eye(4) * 1.01, np.eye(4) * float("nan")):
        wall = make(lying(matrix))
        with pytest.raises(
            ValueError, match=r"gate 0 on sites \(0, 1\) cannot be written: gate family 'lying': the dec"
        ):
            save_qasm(wall, tmp_path / "none")
        assert not (tmp_path / "none").exists()
        assert wall.resources().cx is None


def test_an_operation_without_decomposition_and_matrix():
    class Opaque(qml.operation.Operation):
        num_wires = 2

    matrix = torch.eye(4, dtype=torch.float64)
    family = GateFamily("opaque", 1, lambda p, w: Opaque(wires=w), lambda p: matrix.expand(*p.shape[:-1], 4, 4))
    with pytest.raises(ValueError, match="Opaque on 2 wires has neither a decomposition nor a matrix"):
        to_qasm(make(family))


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


CARDS = [
    ({"format": "other"}, "a card is a mapping with format 'adqc-circuit'"),
    ({"format_version": 2}, "format version 2, but this adqc reads version 1: update adqc"),
    ({"sha256": "0", "program": {}}, "the text was altered or belongs to another card"),
    ({"sha256": "0", "program": None}, "the text was altered or belongs to another card"),
    ({"sha256": "0", "program": {"gates": 3, "angles": 1.5}}, "the text was altered or belongs to another card"),
    ({"sha256": "0", "program": {**card(make())["program"], "angles": 1.5}}, "the text was altered or belongs"),
    ({"sha256": None}, "the text was altered or belongs to another card"),
    ({"shape": [3, 0]}, "'shape' must be a list of whole numbers"),
    ({"shape": [3, 5.0]}, "'shape' must be"),
    ({"shape": "35"}, "'shape' must be"),
    ({"shape": [3, 9]}, "the card's shape and layout make qubits 6, but it says 5"),
    ({"depth": 0}, "'depth' must be"),
    ({"depth": 10**15}, r"depth 10{15} makes some 2,000,000,000,000,000 gates, but the QASM text has \d+ instr"),
    ({"depth": True}, "'depth' must be"),
    ({"depth": 2}, "the circuit of the card ends before"),
    ({"depth": 4}, "gate 6 .* should go on with 'h q.1.', but the text ends"),
    ({"layout": 3}, "'layout' must be"),
    ({"layout": [0, 1, 2, 3, None]}, "'layout' must be"),
    ({"layout": [0, 1, 2, 3, 3]}, "must be a permutation"),
    ({"frequencies": [0, "five"]}, "'frequencies' must be"),
    ({"frequencies": [2]}, "one number for each axis"),
    ({"frequencies": [0, 2]}, "make qubits 3, but it says 5"),
    ({"layout": "spiral"}, "unknown layout 'spiral'"),
    ({"layout": "rows-first"}, "make order .* but it says"),
    ({"wiring": None}, "'wiring' must be"),
    ({"wiring": "ring"}, "unknown wiring 'ring'"),
    ({"family": 4}, "'family' must be"),
    ({"family": "free"}, "QASM needs unitary gates, but the card's family is 'free'"),
    ({"family": "su4", "shape": [3, 9]}, "make qubits 6"),
    ({"family": "so4"}, "should go on with 'ry q.1.', got 'h q.1.'"),
    ({"scale": float("nan")}, "'scale' must be a finite number"),
    ({"scale": 10**400}, "'scale' must be a finite number"),
    ({"scale": "1"}, "'scale' must be a finite number"),
    ({"padded": [4, 4]}, "make padded .* but it says"),
]


@pytest.mark.parametrize(("change", "message"), CARDS, ids=lambda value: str(value)[:30])
def test_cards_that_do_not_fit(change, message):
    wall = make()
    with pytest.raises(ValueError, match=message):
        from_qasm(to_qasm(wall), {**card(wall), **change})


OPTIONAL = {"openqasm", "parameters", "conventions", "program", "simplified", "decimals", "error_bound"}


@pytest.mark.parametrize("key", sorted(set(card(make())) - OPTIONAL))
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
    ("cx q[0],q[1];", "ry(1e999) q[0];", "line 8, column 1: an angle must be a finite number up to 1,000,000, got"),
    ("cx q[0],q[1];", "ry(pi/2) q[0];", "line 8, column 1: gate 0 .* got 'ry q.0.'"),
    ("cx q[0],q[1];", "ry(pi/0) q[0];", "line 8, column 1: expected one of .* got the angle 'pi/0'"),
    ("cx q[0],q[1];", "ry(theta) q[0];", "line 8, column 1: expected one of .* got the angle 'theta'"),
    ("cx q[0],q[1];", "ry(pi*(2) q[0];", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "ry(1_0) q[0];", "line 8, column 1: expected one of .* got the angle '1_0'"),
    ("cx q[0],q[1];", "ry() q[0];", "line 8, column 1: expected one of .* got the angle ''"),
    ("cx q[0],q[1];", "cx q[1],q[1];", "line 8, column 1: a cx acts on two qubits, got q.1. twice"),
    ("cx q[0],q[1];", "reset q[0];", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", 'include "more.inc";', "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "gphase(0.5);", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "if (c == 1) h q[0];", "line 8, column 1: expected one of"),
    ("cx q[0],q[1];", "gate g a { h a; }", "line 8, column 1: expected one of"),
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


# --- texts of a general circuit, gate by gate onto the wiring ----------------------------------------------------

GENERAL = [
    ("cx q[3],q[4];", "cx q[1],q[4];", "a gate on qubits 1 and 4, which are not neighbours"),
    (
        "cx q[3],q[4];",
        "cx q[3],q[4];" + "cx q[0],q[1];cx q[1],q[2];" * 3,
        "the wiring has no gate left on qubits 0 and 1 here",
    ),
    ("qubit[5] q;", "qubit[5] q; h q[9];", "the register has 5 qubits, got q.9."),
]


@pytest.mark.parametrize(("old", "new", "message"), GENERAL, ids=lambda value: str(value)[:20])
def test_circuits_that_do_not_fit_the_wiring(old, new, message):
    wall = make("su4", depth=2)
    text = to_qasm(wall)
    assert old in text
    with pytest.raises(ValueError, match=rf"^QASM line \d+, column \d+: {message}"):
        from_qasm(*changed(text.replace(old, new, 1), card(wall)))


def test_a_gate_on_a_qubit_that_no_brick_holds():
    wall = make("su4", shape=(8,), depth=1)
    with pytest.raises(ValueError, match=r"QASM line \d+, column \d+: the wiring has no gate on qubit 2"):
        from_qasm(*changed(to_qasm(wall) + "h q[2];\n", card(wall)))
    # What |0> does not notice but for its phase is none.
    found = from_qasm(*changed(to_qasm(wall) + f"rz({2 * math.pi}) q[2];\n", card(wall)))
    assert (found("gates") + wall("gates")).abs().max() < 1e-14


def test_complex_gates_with_a_card_of_a_real_family():
    wall = make("cartan")
    described = {**card(wall, simplify=True), "simplified": True}
    with pytest.raises(ValueError, match="'cartan' is real, but the gates of the QASM text are complex"):
        from_qasm(*changed(to_qasm(wall).replace("h q[1]", "s q[1]"), described))


# --- size -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", ["x", " ", "\n", "//", "h q[0];\n", "9", "("], ids=repr)
def test_a_hundred_megabytes_are_refused_at_once(piece, tmp_path):
    wall = make()
    text = to_qasm(wall) + piece * (100_000_000 // len(piece))
    start = time.process_time()
    with pytest.raises(ValueError, match="characters, but adqc reads at most 20,000,000"):
        from_qasm(text, card(wall))
    assert time.process_time() - start < 1
    save_qasm(wall, tmp_path)
    (tmp_path / "circuit.qasm").write_text(text[:20_000_001])
    with pytest.raises(ValueError, match=r"circuit.qasm has 20,000,001 bytes, but adqc reads at most"):
        load_qasm(tmp_path)
    save_qasm(wall, tmp_path)
    with (tmp_path / "card.json").open("a") as file:
        file.write(" " * 10_000_000)
    with pytest.raises(ValueError, match=r"card.json has 10,\d+,\d+ bytes, but adqc reads at most"):
        load_qasm(tmp_path)


@pytest.mark.parametrize(
    "piece", [" ", "\n", "//", "//\n", "h", "9", "(", "ry(", "ry(1", "-", "q[0", "pi*", "h q[0"], ids=repr
)
@pytest.mark.parametrize("before", ["", "ry(", "ry(1) ", "h q["], ids=repr)
def test_long_runs_of_anything_are_read_in_linear_time(before, piece):
    wall = make()
    # Not in a comment, which would be fine.
    text = to_qasm(wall) + before + piece * (2_000_000 // len(piece)) + "\n"
    start = time.process_time()
    with pytest.raises(ValueError, match=r"^[^\n]{1,400}$"):
        from_qasm(*changed(text + "!", card(wall)))
    assert time.process_time() - start < 2


# --- mutations --------------------------------------------------------------------------------------------------


def meaning(text, described):
    """The weight that a text and a card make, by a reader of its own."""
    statements = [" ".join(part.split()) for part in re.sub(r"//[^\n]*", "", text).split(";")]
    assert statements.pop() == ""
    qubits = int(re.search(r"\[ ?(\d+) ?\]", statements[2])[1])
    instructions = []
    for statement in statements[3:]:
        found = re.fullmatch(r"([a-z]+) ?(?:\((.*)\))? ?q ?\[ ?(\d+) ?\](?: ?, ?q ?\[ ?(\d+) ?\])?", statement)
        # Python's numbers begin with no zero.
        angle = eval(re.sub(r"(?<![\d.])0+(?=\d)", "", found[2]).strip(), {"pi": math.pi}) if found[2] else 0.0
        instructions.append((found[1], angle, tuple(int(wire) for wire in found.groups()[2:] if wire is not None)))
    state = run(qubits, instructions).real.reshape((2,) * described["qubits"])
    padded = state.transpose(np.argsort(described["order"])).reshape(described["padded"])
    return described["scale"] * padded[tuple(slice(n) for n in described["shape"])]


PIECES = ["", "x", ";", "[", "9", "-", ".", "\n", "//", "q", "e", "\x00", "٣", "pi", "(", "*", "0", "1e3", "h q[0];",
          "ry(1) q[0];", "rz(-pi/3) q[1];", "cx q[0],q[1];", "cx q[2],q[1];", "s q[2];", "nan", "1e999"]  # fmt: skip


def mutate(text, source):
    at = source.randrange(len(text))
    kind = source.randrange(6)
    if kind == 0:
        return text[:at] + source.choice(PIECES) + text[at + source.randrange(4) :]
    if kind == 1:
        return text[:at] + source.choice(PIECES) + text[at:]
    if kind == 2:
        return text[:at]
    if kind == 3:
        return text[:at] + text[at + source.randrange(40) :]
    lines = text.split("\n")
    one, other = source.randrange(len(lines)), source.randrange(len(lines))
    if kind == 4:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, lines[other])
    return "\n".join(lines)


ODD = [None, True, -1, 0, 1, 2, 7, 10**30, 1.5, float("nan"), "", "cartan", "su4", "staircase", "rows-first", [], [2],
       [4, 2], [0, 1, 2], [2, 1, 0], {}, {"gates": None}]  # fmt: skip


def read(text, described):
    try:
        return from_qasm(text, described), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.slow
def test_ten_thousand_mutated_files_are_refused_or_mean_what_they_say():
    source = random.Random(0)
    files = []
    for gate, options in [("cartan", {}), ("so4", {"version": 2}), ("su4", {}), ("cartan-su4", {"simplify": True})]:
        wall = make(gate, shape=(4, 2), depth=2)
        files.append((to_qasm(wall, **options), json.loads(json.dumps(card(wall, **options)))))
    accepted, start = 0, time.process_time()
    for number in range(10_000):
        text, described = files[number % len(files)]
        if number % 5 == 4:
            described = {**described, source.choice(sorted(described)): source.choice(ODD)}
        else:
            text = mutate(text, source)
            if number % 2:
                text, described = changed(text, described)
        found, message = read(text, described)
        if found is None:
            assert re.fullmatch(r"[^\n]{10,600}", message), message
            continue
        accepted += 1
        due = meaning(text, described)
        assert np.abs(found("gates").detach().numpy() - due).max() < 1e-9 * max(1, abs(described["scale"]))
    # Blanks, comments, and circuits that are others but whole.
    assert 300 < accepted < 5_000
    assert time.process_time() - start < 60
