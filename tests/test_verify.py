"""verify: every route is compared, a wrong one is found, and the model is left alone."""

import copy
import math
import sys

import pennylane as qml
import pytest
import torch
from torch import nn

import adqc
from adqc import BrickWall, Circuit, engine
from adqc.parametrization import parametrize_
from adqc.verify import MOST_ENTRIES, verify

OWN = adqc.gate_family(
    "ry-cz-verify", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)]
)


def routes(found):
    return [row.route for row in found.rows]


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
    assert routes(found) == [
        "pennylane",
        "quimb",
        f"layer ({engine.describe_route(layer.circuit.wiring, layer.circuit.layout)})",
        "qasm",
    ]
    assert all(row.values is not None and row.gradients is not None for row in found.rows[:3])
    real = layer.circuit.family.real and layer.circuit.family.unitary
    assert (found.rows[3].values is not None) == real
    assert ("real unitary" in found.rows[3].note) != real
    assert {row.name for row in found.rows} == {"Linear"}


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
    assert "layer (network)" in routes(found)


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
    true_build = engine.build

    def build(gates, wiring, layout, **options):
        tensor = true_build(gates, wiring, layout, **options)
        return tensor * (1 + 1e-7) if options["route"] != "gates" else tensor

    monkeypatch.setattr("adqc.engine.build", build)
    found = verify(BrickWall((4, 4)), show=False)
    assert not found.passed
    assert found.largest == pytest.approx(1e-7, rel=1e-3)
    assert [row.route for row in found.rows if row.values > found.tolerance] == [found.rows[2].route]
    assert verify(BrickWall((4, 4)), tolerance=1e-6, show=False).passed


def test_a_wrong_gradient_is_found(monkeypatch):
    true_build = engine.build

    def build(gates, wiring, layout, **options):
        tensor = true_build(gates, wiring, layout, **options)
        return tensor + 1e-3 * (tensor - tensor.detach()) if options["route"] != "gates" else tensor

    monkeypatch.setattr("adqc.engine.build", build)
    found = verify(BrickWall((4, 4)), show=False)
    assert not found.passed
    wrong = found.rows[2]
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_fail(value):
    wall = BrickWall((4, 4))
    with torch.no_grad():
        wall.scale.fill_(value)
    found = verify(wall, show=False)
    assert not found.passed
    assert math.isnan(found.largest)
    assert "NaN or infinity in 'scale'" in found.rows[-1].note


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


def test_the_table(capsys):
    found = verify(adqc.nn.Linear(4, 4, circuit=Circuit(depth=2)))
    printed = capsys.readouterr().out
    assert printed == f"{found}\n"
    assert all(f"{row.name}" in printed and row.route in printed for row in found.rows)
    assert printed.rstrip().endswith("passed: tolerance 1e-09")
    assert repr(found).startswith("Verification(passed=True, largest=")
    assert "FAILED" in str(verify(BrickWall((3,)), tolerance=-1, show=False))


def test_a_model_without_circuits():
    with pytest.raises(ValueError, match=r"Sequential has no circuit to verify: .* adqc\.compress_"):
        verify(nn.Sequential(nn.Linear(2, 2)))
