"""Stage 1 on outputs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import adqc
from adqc import outputs


class Tiny(nn.Module):
    """A convolution, a linear layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Linear(64, 12)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (N, 3); the convolution acts first, though it was made later."""
        scores: Tensor = self.head(self.late(input=self.drop(self.conv(x).relu().flatten(1))).relu())
        return scores


def make(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module, list[Tensor]]:
    torch.manual_seed(0)
    dense = Tiny().to(dtype)
    model = copy.deepcopy(dense)
    config = adqc.Circuit(depth=3)
    adqc.compress_(
        model, config, select=["conv", "late"], fit=None, generator=torch.Generator().manual_seed(1), progress=False
    )
    return model, dense, [torch.randn(20, 2, 4, 4, dtype=dtype) for _ in range(3)]


def distance(model: nn.Module, dense: nn.Module, batches: list[Tensor]) -> float:
    with torch.no_grad():
        return sum(float((model.eval()(x) - dense.eval()(x)).square().sum()) for x in batches)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_network_comes_nearer_to_the_trained_one(dtype: torch.dtype) -> None:
    model, dense, batches = make(dtype)
    far = distance(model, dense, batches)
    report = adqc.fit_outputs_(model, dense, batches, steps=60, progress=False)
    assert [row.name for row in report.rows] == ["conv", "late"]
    assert all(row.after < row.before for row in report.rows)
    assert distance(model, dense, batches) < 0.7 * far
    assert next(model.parameters()).dtype == dtype


def test_the_errors_are_those_of_the_outputs_given_what_comes_before() -> None:
    model, dense, batches = make(torch.float64)
    report = adqc.fit_outputs_(model, dense, batches, steps=20, progress=False)
    given = [model.conv(x).relu().flatten(1) for x in batches]
    asked = [dense.late(dense.conv(x).relu().flatten(1)) for x in batches]
    missed = sum(float((model.late(x) - y).detach().square().sum()) for x, y in zip(given, asked, strict=True))
    power = sum(float(y.detach().square().sum()) for y in asked)
    assert report.rows[1].after == pytest.approx(missed / power, rel=1e-5)


def test_all_else_stays() -> None:
    model, dense, batches = make()
    model.train()
    model.head.eval()
    model.conv.circuit.gates.requires_grad_(False)
    calls: list[int] = []
    model.conv.register_forward_hook(lambda *_: calls.append(1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    own = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    fused = torch.backends.mha.get_fastpath_enabled()
    adqc.fit_outputs_(model, dense, batches, steps=5, progress=False)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{name}.circuit.{part}" for name in ("conv", "late") for part in ("gates", "scale")}
    assert all(torch.equal(tensor, own[name]) for name, tensor in dense.state_dict().items())
    assert all(parameter.grad is None for parameter in (*model.parameters(), *dense.parameters()))
    assert [model.training, model.head.training, model.conv.training] == [True, False, True]
    assert not model.conv.circuit.gates.requires_grad
    assert model.late.circuit.gates.requires_grad
    assert len(model.conv._forward_hooks) == 1
    assert not dense.conv._forward_hooks
    # The user's own hook heard the network, not the steps.
    assert len(calls) == 2 * len(batches)
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_pairs_of_inputs_and_targets_do_as_well() -> None:
    model, dense, batches = make()
    twin = copy.deepcopy(model)
    adqc.fit_outputs_(model, dense, batches, steps=3, progress=False)
    adqc.fit_outputs_(twin, dense, ([x, torch.zeros(len(x))] for x in batches), steps=3, progress=False)
    assert torch.equal(model.late.weight, twin.late.weight)


def test_a_circuit_that_cannot_be_bettered_is_kept() -> None:
    model, _, batches = make()
    report = adqc.fit_outputs_(model, adqc.decompress_(copy.deepcopy(model)), batches, steps=3, progress=False)
    assert all(row.after <= row.before < 1e-10 for row in report.rows)


def test_an_embedding_and_a_layer_that_is_not_called() -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Embedding(40, 16), nn.Linear(16, 16))
    dense.add_module("idle", nn.Identity())
    dense.idle.unused = nn.Linear(16, 16)  # type: ignore[assignment]
    model = copy.deepcopy(dense)
    adqc.compress_(model, adqc.Circuit(depth=2), select=["0", "idle.unused"], fit=None, progress=False)
    report = adqc.fit_outputs_(model, dense, [torch.arange(40).reshape(8, 5)], steps=30, progress=False)
    first, idle = report.rows
    assert first.after < first.before
    assert (idle.name, idle.why) == ("idle.unused", "the network does not call it")
    assert "does not call" in str(report)


def test_a_tensor_of_no_layer_is_left_alone() -> None:
    torch.manual_seed(0)
    dense = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = copy.deepcopy(dense)
    select = ["self_attn.in_proj_weight", "linear1"]
    adqc.compress_(model, adqc.Circuit(depth=2), select=select, fit=None, progress=False)
    before = model.self_attn.in_proj_weight.clone()
    report = adqc.fit_outputs_(model, dense.eval(), [torch.randn(4, 6, 16)], steps=20, progress=False)
    assert {row.name: row.why for row in report.rows} == {
        "self_attn.in_proj_weight": "it is no layer's weight",
        "linear1": "",
    }
    assert torch.equal(model.self_attn.in_proj_weight, before)


def test_a_tied_weight_is_fitted_once() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(16, 16)
    dense = nn.Sequential(shared, nn.ReLU(), shared)
    model = copy.deepcopy(dense)
    adqc.compress_(model, adqc.Circuit(depth=3), select="0", fit=None, progress=False)
    (row,) = adqc.fit_outputs_(model, dense, [torch.randn(30, 16)], steps=40, progress=False).rows
    assert row.after < row.before


@pytest.mark.parametrize(
    "case", ["steps", "half", "rate", "nan", "batches", "tensor", "dense", "shape", "circuit", "finite"]
)
def test_bad_input_leaves_the_model_as_it_was(case: str) -> None:
    model, dense, batches = make()
    before = copy.deepcopy(model.state_dict())
    others, steps, lr, given = dense, 3, None, batches
    if case in ("steps", "half"):
        steps = {"steps": 0, "half": 2.5}[case]
    elif case in ("rate", "nan"):
        lr = {"rate": -1.0, "nan": float("nan")}[case]
    elif case == "batches":
        given = []
    elif case == "tensor":
        given = batches[0]
    elif case == "shape":
        others = copy.deepcopy(dense)
        others.late = nn.Linear(64, 13)
    elif case == "dense":
        others = nn.Sequential(nn.Linear(3, 3))
    elif case == "circuit":
        model = dense
        before = copy.deepcopy(dense.state_dict())
    else:
        others = copy.deepcopy(dense)
        others.late.bias.data[0] = torch.nan
    said = {
        "steps": "steps=0",
        "half": r"whole number of steps for each layer, at least 1, got steps=2\.5",
        "rate": r"learning rate above 0, got lr=-1\.0",
        "nan": "got lr=nan",
        "tensor": "put it in a list",
        "shape": r"layer 'late' with a weight of shape \(12, 64\), and has one of shape \(13, 64\)",
        "batches": "no batches",
        "dense": "layer 'late' with a weight of shape .*, and has none",
        "circuit": "no compressed layer",
        "finite": "late: the trained network's outputs",
    }
    with pytest.raises(ValueError, match=said[case]):
        adqc.fit_outputs_(model, others, given, steps=steps, lr=lr, progress=False)  # type: ignore[arg-type]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_batch_that_the_network_does_not_take_is_named() -> None:
    model, dense, batches = make()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError) as caught:
        adqc.fit_outputs_(model, dense, [batches[0], torch.zeros(5, 3)], steps=2, progress=False)
    (note,) = caught.value.__notes__
    assert note == "fit_outputs_ gave the network batch 2, a tensor of shape (5, 3), which it does not take"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_ctrl_c_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model, dense, batches = make()
    before = copy.deepcopy(model.state_dict())
    fit, seen = outputs._fit_layer_, []

    def once(name: str, *rest: object) -> outputs.OutputsRow:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return fit(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(outputs, "_fit_layer_", once)
    with pytest.raises(KeyboardInterrupt):
        adqc.fit_outputs_(model, dense, batches, steps=3, progress=False)
    assert seen == ["conv", "late"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
