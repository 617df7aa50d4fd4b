"""verify: every route is compared, a wrong one is found, and the model is left alone."""

import copy
import importlib.util
import json
import math
import sys

import pennylane as qml
import pytest
import torch
from torch import nn

import adqc
from adqc import BrickWall, Circuit, engine
from adqc.config import ROUTES
from adqc.parametrization import parametrize_
from adqc.qasm import save_qasm
from adqc.verify import COMPARED_ROUTES, MOST_ENTRIES, verify

OWN = adqc.gate_family(
    "ry-cz-verify", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)]
)


def routes(found):
    return [row.route for row in found.rows]


def by_route(found, route):
    return next(row for row in found.rows if row.route == route)


@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize(
    "gate", ["cartan", "so4", "cartan-su4", "su4", "free", OWN], ids=lambda g: getattr(g, "name", g)
)
def test_every_family_passes_on_every_route(gate, wiring):
    layer = adqc.nn.Linear(6, 5, circuit=Circuit(depth=4, gate=gate, wiring=wiring))
    if layer.circuit.state is not None:
        nn.init.normal_(layer.circuit.state)
    found = verify(layer, show=False)
    assert found.passed
    assert found.largest < 1e-12
    unitary = layer.circuit.family.unitary
    compared = ["pennylane", "quimb", *COMPARED_ROUTES, "auto (its own)"]
    readers = ["qasm in quimb", "qasm in qiskit"] if unitary else []
    outputs = ["output", "output (matrix-free)"]
    assert routes(found) == [*compared, "qasm", *readers, *outputs]
    for route in (*compared, *outputs):
        assert by_route(found, route).values is not None
        assert by_route(found, route).gradients is not None
    assert (by_route(found, "qasm").values is not None) == unitary
    if not unitary:
        assert found.refused == (("Linear", "qasm"),)
        assert by_route(found, "qasm").note == "QASM needs unitary gates, not 'free'"
    assert {row.name for row in found.rows} == {"Linear"}


def test_every_route_that_the_engine_has_is_compared():
    assert set(COMPARED_ROUTES) == set(ROUTES) - {"auto", "gates", "matrix-free"}
    own = verify(BrickWall((4, 4), Circuit(route="network")), show=False)
    assert routes(own)[2 : 2 + len(COMPARED_ROUTES)] == [
        f"{route} (its own)" if route == "network" else route for route in COMPARED_ROUTES
    ]


def test_a_route_that_refuses_a_circuit_is_told(monkeypatch):
    true_build = engine.build

    def build(gates, wiring, layout, **options):
        if options["route"] == "fused":
            raise ValueError("fused knows only walls of even depth")
        return true_build(gates, wiring, layout, **options)

    monkeypatch.setattr("adqc.engine.build", build)
    # Small circuits do not come by.
    monkeypatch.setattr("adqc.brickwall.build_at_once", lambda *_: None)
    found = verify(BrickWall((4, 4), Circuit(gate="su4")), show=False)
    assert found.passed
    assert ("BrickWall", "fused") in found.refused
    assert by_route(found, "fused").note == "fused knows only walls of even depth"
    assert "not compared: BrickWall by fused" in str(found)


@pytest.mark.parametrize("missing", ["qiskit", "qiskit-qasm3-import"])
def test_where_qiskit_is_not_installed(missing, monkeypatch):
    pytest.importorskip("qiskit")
    find = importlib.util.find_spec
    hidden = missing.replace("-", "_")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == hidden else find(name, *rest))
    row = by_route(verify(BrickWall((4, 4)), show=False), "qasm in qiskit")
    # Without its reader of OpenQASM 3 it is given version 2.
    assert (row.values is None) == (missing == "qiskit")
    assert (row.note == "qiskit is not installed") == (missing == "qiskit")


def test_gates_that_cannot_be_written_are_no_failure():
    # A turn of some 10^7 rounds is finite, but beyond what is read from QASM.
    wall = BrickWall((4, 4), Circuit(depth=2), dtype=torch.float64)
    with torch.no_grad():
        wall.gates[0] = 1e8
    found = verify(wall, tolerance=1e-6, show=False)
    assert found.passed
    assert found.refused == (("BrickWall", "qasm"),)
    assert "take whole turns out" in by_route(found, "qasm").note


def test_a_text_that_reads_back_as_gates_that_are_not_unitary_is_compared(tmp_path):
    swap = adqc.gate_family("swap-verify", 1, lambda p, wires: [qml.RY(p[0], wires[0]), qml.SWAP(wires)])
    save_qasm(BrickWall((4, 4), Circuit(gate=swap, depth=4)), tmp_path)
    found = verify(tmp_path, show=False)
    assert found.passed
    assert found.refused == ((tmp_path.name, "qasm"),)
    assert by_route(found, "qasm in quimb").values < 1e-12


def test_a_text_that_is_not_read_back_fails(monkeypatch):
    def refuse(*args, **options):
        raise ValueError("the text was altered")

    monkeypatch.setattr(sys.modules[verify.__module__], "from_qasm", refuse)
    found = verify(BrickWall((4, 4)), show=False)
    assert not found.passed
    assert by_route(found, "qasm").note == "the text was altered"


# --- layers -------------------------------------------------------------------------------------------------------

LAYERS = {
    "linear": lambda: adqc.nn.Linear(6, 5),
    "conv1d": lambda: adqc.nn.Conv1d(4, 6, 3, stride=2, groups=2, padding=4, padding_mode="reflect"),
    "conv2d": lambda: adqc.nn.Conv2d(3, 4, (3, 2), dilation=(1, 2), padding="same", bias=False),
    "conv3d": lambda: adqc.nn.Conv3d(2, 3, 2, padding=1, padding_mode="circular"),
    "embedding": lambda: adqc.nn.Embedding(7, 5, padding_idx=2, max_norm=0.5, scale_grad_by_freq=True),
    "padding from behind": lambda: adqc.nn.Embedding(7, 5, padding_idx=-1),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_the_output_of_every_kind_of_layer_is_compared(layer):
    found = verify(layer(), show=False)
    assert found.passed
    row = by_route(found, "output")
    assert row.values < 1e-12
    assert row.gradients < 1e-12


def test_an_output_that_is_wrong_without_the_weight_is_found(monkeypatch):
    true = adqc.matrix_free.apply_chain
    monkeypatch.setattr(adqc.matrix_free, "apply_chain", lambda *args: true(*args) * (1 + 1e-6))
    found = verify(adqc.nn.Linear(4, 4), show=False)
    assert "output (matrix-free)" in [row.route for row in found.rows if row.values > found.tolerance]


@pytest.mark.parametrize("route", ["auto", "matrix-free"])
def test_pieces_larger_than_the_weight_are_not_made(route, monkeypatch):
    monkeypatch.setattr(adqc.matrix_free, "_matrices", lambda layer, chain: pytest.fail("pieces were made"))
    found = verify(adqc.nn.Linear(16, 16, circuit=Circuit(depth=24, route=route)), show=False)
    assert found.passed
    assert "output (matrix-free)" not in routes(found)
    assert found.refused == ((("Linear", "output"),) if route == "matrix-free" else ())


def test_a_layer_whose_layout_does_not_allow_its_route_is_told():
    free, auto = (adqc.nn.Conv2d(3, 4, 3, circuit=Circuit(route=route)) for route in ("matrix-free", "auto"))
    found = verify(free, show=False)
    assert found.passed
    assert found.refused == (("Conv2d", "output"),)
    assert "layout='rows-first' for a convolution" in by_route(found, "output").note
    assert "matrix-free (its own)" in routes(found)
    # Where nobody asked for it there is nothing to tell.
    assert verify(auto, show=False).refused == ()


def test_a_padding_row_that_is_not_zero_is_found(monkeypatch):
    layer = adqc.nn.Embedding(7, 5, padding_idx=2)
    monkeypatch.setattr(adqc.nn, "_masked", lambda layer, weight: weight)
    found = verify(layer, show=False)
    assert [row.route for row in found.rows if row.values is not None and row.values > 1e-3] == ["output"]


@pytest.mark.parametrize("when", ["training", "afterwards"])
def test_an_output_that_is_wrong_in_one_mode_is_found(when, monkeypatch):
    true_weight = adqc.nn._weight

    def weight(layer):
        return true_weight(layer) * (1 + 1e-6 * (torch.is_grad_enabled() == (when == "training")))

    monkeypatch.setattr(adqc.nn.Linear, "weight", property(weight))
    found = verify(adqc.nn.Linear(4, 4), show=False)
    assert [row.route for row in found.rows if row.values > found.tolerance] == ["output"]


def test_layers_that_share_a_circuit_are_each_compared():
    first, second = adqc.nn.Linear(4, 4), adqc.nn.Linear(4, 4)
    second.circuit = first.circuit
    found = verify(nn.Sequential(first, nn.ReLU(), second), show=False)
    assert [row.name for row in found.rows if row.route == "output"] == ["0", "2"]
    assert [row.name for row in found.rows if row.route == "quimb"] == ["0"]


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (1, 1, 3), (4, 3, 1, 5)])
def test_small_and_odd_shapes(shape):
    assert verify(BrickWall(shape, Circuit(depth=3)), show=False).largest < 1e-12


def test_all_circuits_of_a_model_by_name_and_shared_ones_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = adqc.nn.Conv2d(2, 3, 3, circuit=Circuit(depth=2))
            self.tied = nn.ModuleList([adqc.nn.Linear(4, 4, circuit=Circuit(depth=2, route="network"))] * 2)
            self.head = nn.Linear(4, 2)
            self.lstm = nn.LSTM(3, 2)

    net = Net()
    parametrize_(net.lstm, "weight_ih_l0", wall=BrickWall((8, 3), Circuit(depth=2)))
    found = verify(net, show=False)
    assert found.passed
    assert list(dict.fromkeys(row.name for row in found.rows)) == ["first", "tied.0", "lstm.weight_ih_l0"]
    assert "network (its own)" in routes(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_is_not_changed(dtype):
    layer = adqc.nn.Linear(6, 5, circuit=Circuit(depth=3, gate="free")).to(dtype).eval()
    layer.circuit.gates.requires_grad_(False)
    layer.circuit.scale.grad = torch.ones_like(layer.circuit.scale)
    before = copy.deepcopy(layer)
    stream = torch.get_rng_state()
    assert verify(layer, show=False).passed
    assert torch.equal(torch.get_rng_state(), stream)
    for one, other in zip(layer.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)
        assert (one.dtype, one.requires_grad) == (other.dtype, other.requires_grad)
    assert layer.circuit.scale.grad == 1
    assert layer.circuit.state.grad is None
    assert not layer.training


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_compared_where_the_caller_wants_none(context):
    layer = adqc.nn.Linear(4, 4, circuit=Circuit(depth=2))
    with context():
        found = verify(layer, show=False)
    assert found.passed
    assert found.rows[0].gradients is not None


def test_a_wrong_value_is_found(monkeypatch):
    true_build = BrickWall.build

    def build(wall, *numbers, **options):
        tensor = true_build(wall, *numbers, **options)
        return tensor * (1 + 1e-7) if options["route"] != "gates" else tensor

    monkeypatch.setattr(BrickWall, "build", build)
    found = verify(BrickWall((4, 4)), show=False)
    assert not found.passed
    assert found.largest == pytest.approx(1e-7, rel=1e-3)
    wrong = [row.route for row in found.rows if row.values is not None and row.values > found.tolerance]
    assert wrong == [*COMPARED_ROUTES, "auto (its own)"]
    assert verify(BrickWall((4, 4)), tolerance=1e-6, show=False).passed


def test_a_wrong_gradient_is_found(monkeypatch):
    true_build = BrickWall.build

    def build(wall, *numbers, **options):
        tensor = true_build(wall, *numbers, **options)
        return tensor + 1e-3 * (tensor - tensor.detach()) if options["route"] != "gates" else tensor

    monkeypatch.setattr(BrickWall, "build", build)
    found = verify(BrickWall((4, 4)), show=False)
    assert not found.passed
    wrong = by_route(found, "halves")
    assert wrong.values < 1e-12
    assert wrong.gradients > 1e-5


def test_a_wrong_gate_of_a_family_is_found():
    from dataclasses import replace

    from adqc.gates import CARTAN

    # PennyLane's operations and torch's matrices of one family disagree.
    broken = replace(CARTAN, name="broken", matrices=lambda p: CARTAN.matrices(p * (1 + 1e-6)))
    found = verify(BrickWall((4, 4), Circuit(gate=broken)), show=False)
    assert not found.passed
    assert found.rows[0].values > 1e-8
    assert found.rows[1].values < 1e-12


@pytest.mark.parametrize("gate", ["cartan", "su4"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_fail(value, gate):
    wall = BrickWall((4, 4), Circuit(gate=gate))
    with torch.no_grad():
        wall.scale.fill_(value)
    found = verify(wall, show=False)
    assert not found.passed
    assert math.isnan(found.largest)
    assert math.isnan(by_route(found, "qasm").values)
    assert by_route(found, "qasm").note
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (plain["passed"], plain["largest"]) == (False, None)


def test_circuits_too_large_for_the_oracle_are_skipped_and_said_so():
    model = nn.Sequential(adqc.nn.Linear(2**13, 2**12), adqc.nn.Linear(2, 2))
    found = verify(model, show=False)
    assert found.passed
    assert found.skipped == ("0",)
    assert f"{MOST_ENTRIES:,}" in found.rows[0].note
    assert "not compared: 0" in str(found)


def test_gradients_are_left_out_where_memory_is_short(monkeypatch):
    wall = BrickWall((16, 16))
    monkeypatch.setattr(
        sys.modules[verify.__module__], "free_memory", lambda device: 2 * 256 * 16 * len(wall.wiring.gates) * 5
    )
    found = verify(wall, show=False)
    assert [row.gradients is None for row in found.rows[:3]] == [True, False, False]
    assert found.rows[0].note == "values only: too little memory for the gradients"
    monkeypatch.setattr(sys.modules[verify.__module__], "free_memory", lambda device: 1)
    assert [row.gradients is None for row in verify(wall, show=False).rows[:3]] == [True] * 3
    assert by_route(verify(adqc.nn.Linear(4, 4), show=False), "output").gradients is None


def test_the_table(capsys):
    found = verify(adqc.nn.Linear(4, 4, circuit=Circuit(depth=2)))
    printed = capsys.readouterr().out
    assert printed == f"{found}\n"
    assert all(f"{row.name}" in printed and row.route in printed for row in found.rows)
    assert printed.rstrip().endswith("passed: tolerance 1e-09")
    assert repr(found).startswith("Verification(passed=True, largest=")
    assert "FAILED" in str(verify(BrickWall((3,)), tolerance=-1, show=False))


def test_plain_values_for_json():
    found = verify(adqc.nn.Linear(4, 4, circuit=Circuit(depth=2, gate="free")), show=False)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["passed"] is True
    assert plain["largest"] == found.largest
    assert plain["not_compared"] == [f"{name} by {route}" for name, route in found.refused]
    assert [(row["route"], row["values"], row["gradients"]) for row in plain["rows"]] == [
        (row.route, row.values, row.gradients) for row in found.rows
    ]
    assert [row["passed"] for row in plain["rows"]] == [None if row.values is None else True for row in found.rows]


def test_a_model_without_circuits():
    with pytest.raises(ValueError, match=r"Sequential has no circuit to verify: .* adqc\.compress_"):
        verify(nn.Sequential(nn.Linear(2, 2)))
