"""Whole models: compress_ and decompress_ on real modules, and models that stay as they were after an error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import adqc
from adqc import Circuit, Fit
from adqc.compress import Report, compress_, decompress_, plan
from adqc.selection import find_targets

SMALL = Circuit(depth=2)


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Language(nn.Module):
    """An embedding tied to the output head, with a transformer layer and an LSTM between them."""

    def __init__(self, padding: int | None = None) -> None:
        super().__init__()
        self.emb = nn.Embedding(50, 32, padding_idx=padding)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.lstm = nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.lstm(self.encoder(self.emb(tokens)))[0])
        return scores


class Case:
    def __init__(self, make: Callable[[], nn.Module], batch: Callable[[], Tensor], select: Any) -> None:
        self.make, self.batch, self.select = make, batch, select


EVERYTHING = ["emb", "re:encoder.*", "re:lstm.*"]
CASES = {
    "lenet": Case(lenet, lambda: torch.randn(3, 1, 28, 28), None),
    "language": Case(Language, lambda: torch.randint(50, (3, 7)), EVERYTHING),
    "groups": Case(
        lambda: nn.Sequential(nn.Conv2d(8, 16, 3, groups=4, padding=1, padding_mode="circular", bias=False)),
        lambda: torch.randn(2, 8, 6, 6),
        None,
    ),
    "conv1d": Case(lambda: nn.Sequential(nn.Conv1d(8, 16, 3, stride=2)), lambda: torch.randn(2, 8, 9), None),
    "conv3d": Case(lambda: nn.Sequential(nn.Conv3d(4, 8, 3)), lambda: torch.randn(2, 4, 5, 5, 5), None),
    "root": Case(lambda: nn.Linear(64, 64), lambda: torch.randn(2, 64), None),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


class Frozen:
    """What a model was, to see that it still is: objects, classes, keys, values."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = {name: (module, type(module)) for name, module in model.named_modules()}
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.values = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def check(self, model: nn.Module) -> None:
        assert {name: (module, type(module)) for name, module in model.named_modules()} == self.modules
        now = dict(model.named_parameters(remove_duplicate=False))
        assert list(now) == list(self.parameters)
        assert all(now[name] is parameter for name, parameter in self.parameters.items())
        state = model.state_dict()
        assert list(state) == list(self.values)
        assert all(torch.equal(state[name].nan_to_num(), value.nan_to_num()) for name, value in self.values.items())


# --- there and back -------------------------------------------------------------------------------------------------


def test_compress_and_decompress(case: Case) -> None:
    model, batch = case.make(), case.batch()
    modules = {name: id(module) for name, module in model.named_modules()}
    keys = list(model.state_dict())
    compress_(model, SMALL, select=case.select, fit=None)
    for name, module in model.named_modules():
        assert modules.get(name, id(module)) == id(module)
    kept = [key for key in keys if key in model.state_dict()]
    assert [key for key in model.state_dict() if "circuit." not in key] == kept
    small = model(batch)
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set()
    small.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert decompress_(model) is model
    assert set(model.state_dict()) == set(keys)
    torch.testing.assert_close(model(batch), small)
    assert all(type(module).__module__.startswith(("torch.", __name__)) for module in model.modules())
    assert not any(parametrize.is_parametrized(module) for module in model.modules())


def test_the_function_is_that_of_the_circuits_weights(case: Case) -> None:
    model, batch = case.make(), case.batch()
    plain = copy.deepcopy(model)
    compress_(model, SMALL, select=case.select, fit=None)
    places = {place.full_name: target for target in find_targets(model) for place in target.places if target.wall}
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if name in places:
                wall = places[name].wall
                assert wall is not None
                parameter.copy_(wall(route="gates"))
            else:
                parameter.copy_(model.get_parameter(name))
    torch.testing.assert_close(model(batch), plain(batch), rtol=1e-4, atol=1e-5)
    model.eval()
    plain.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(batch), plain(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_mode_and_requires_grad_are_kept(dtype: torch.dtype) -> None:
    model = Language().to(dtype).eval()
    model.lstm.weight_hh_l0.requires_grad_(False)
    compress_(model, SMALL, select=EVERYTHING, fit=Fit(sweeps=1, grow=False), progress=False)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {dtype}
    assert not any(module.training for module in model.modules())
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.rsplit(".", 3)[0] for name in frozen} == {"lstm.parametrizations.weight_hh_l0"}
    assert model(torch.randint(50, (2, 3))).dtype == dtype
    decompress_(model)
    assert model.emb.weight.dtype == dtype
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["lstm.weight_hh_l0"]


def test_biases_hooks_and_options_are_kept() -> None:
    model = lenet()
    layer, bias, calls = model[7], model[7].bias, []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    layer.note = "mine"
    compress_(model, SMALL, select="7", fit=None)
    assert model[7] is layer
    assert layer.bias is bias
    assert layer.note == "mine"
    assert type(layer) is adqc.nn.Linear
    model(torch.randn(1, 1, 28, 28))
    assert calls == [1]
    handle.remove()
    decompress_(model)
    model(torch.randn(1, 1, 28, 28))
    assert calls == [1]
    assert list(dict(layer.named_parameters())) == ["weight", "bias"]


def test_tied_weights_stay_tied() -> None:
    model = Language()
    report = compress_(model, SMALL, select="head", fit=None)
    assert model.emb.circuit is model.head.circuit
    assert [row.tied for row in report.compressed] == [("head.weight",)]
    assert "emb = head.weight" in str(report)
    tokens = torch.randint(50, (2, 5))
    scores = model(tokens)
    decompress_(model)
    assert model.emb.weight is model.head.weight
    torch.testing.assert_close(model(tokens), scores)


def test_a_tied_embedding_with_padding_keeps_its_function() -> None:
    model = Language(padding=0)
    compress_(model, SMALL, select="emb", fit=None)
    tokens = torch.tensor([[0, 1, 2, 0]])
    scores = model(tokens)
    decompress_(model)
    torch.testing.assert_close(model(tokens), scores)


def test_a_module_used_twice_is_compressed_once() -> None:
    shared = nn.Linear(32, 32)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    compress_(model, SMALL, fit=None)
    assert model["a"] is model["b"][0] is shared
    assert type(shared) is adqc.nn.Linear
    assert len(list(model.parameters())) == 3


def test_a_bias_can_be_a_circuit_beside_its_layer() -> None:
    model = nn.Sequential(nn.Linear(64, 256))
    x = torch.randn(2, 64)
    compress_(model, Circuit(depth=1), select=["0.bias", "0"], fit=None)
    assert sorted(name for name, _ in model.named_parameters()) == [
        "0.circuit.gates", "0.circuit.scale", "0.parametrizations.bias.0.circuit.gates",
        "0.parametrizations.bias.0.circuit.scale",
    ]  # fmt: skip
    y = model(x)
    decompress_(model)
    assert type(model[0]) is nn.Linear
    torch.testing.assert_close(model(x), y)


def test_compression_in_two_steps_and_of_a_copy() -> None:
    model = Language()
    compress_(model, SMALL, select="lstm.weight_ih_l0", fit=None)
    twin = copy.deepcopy(model)
    compress_(model, SMALL, select="lstm.weight_hh_l0", fit=None)
    tokens = torch.randint(50, (2, 5))
    assert twin(tokens).shape == model(tokens).shape
    assert isinstance(twin.lstm.weight_hh_l0, nn.Parameter)
    decompress_(model)
    assert type(model.lstm) is nn.LSTM
    assert twin(tokens).shape == model(tokens).shape


def test_parametrizations_of_others_are_left_alone() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), nn.Linear(64, 64))
    assert [row.name for row in plan(model, SMALL).compressed] == ["1"]
    compress_(model, SMALL, fit=None)
    before = model(torch.ones(1, 64))
    decompress_(model)
    torch.testing.assert_close(model(torch.ones(1, 64)), before)


# --- stage 1 --------------------------------------------------------------------------------------------------------


def test_without_stage_1_the_start_is_random_with_the_weights_own_spread() -> None:
    model = nn.Sequential(nn.Linear(256, 256))
    with torch.no_grad():
        model[0].weight.mul_(3)
    std = model[0].weight.std().item()
    report = compress_(model, fit=None, generator=torch.Generator().manual_seed(1))
    assert model[0].weight.std().item() == pytest.approx(std, rel=0.1)
    assert report.rows[0].relative_error is None
    other = nn.Sequential(nn.Linear(256, 256))
    other.load_state_dict(copy.deepcopy(decompress_(nn.Sequential(copy.deepcopy(model[0]))).state_dict()))
    with torch.no_grad():
        other[0].weight.copy_(torch.randn(256, 256) * std)
    compress_(other, fit=None, generator=torch.Generator().manual_seed(1))
    assert torch.equal(other[0].circuit.gates, model[0].circuit.gates)


@pytest.mark.parametrize("gate", ["cartan", "free"])
def test_stage_1_reports_the_error_of_what_is_stored(gate: str) -> None:
    model = lenet()
    plain = copy.deepcopy(model)
    report = compress_(model, Circuit(depth=2, gate=gate), select=["3", "11"], fit=Fit(sweeps=3), progress=False)
    assert isinstance(report, Report)
    assert [row.name for row in report.compressed] == ["3", "11"]
    for row in report.compressed:
        dense, small = plain[int(row.name)].weight, model[int(row.name)].weight
        error = ((small - dense).square().sum() / dense.square().sum()).item()
        assert row.relative_error == pytest.approx(error, abs=1e-4)
        assert error < 1
        assert row.seconds is not None
    text = str(report)
    assert "relative error" in text
    assert "What was compressed" in text


def test_stage_1_in_bfloat16_reports_the_rounded_error() -> None:
    model = nn.Sequential(nn.Linear(32, 32)).bfloat16()
    dense = model[0].weight.detach().float()
    report = compress_(model, SMALL, fit=Fit(sweeps=2), progress=False)
    error = ((model[0].weight.float() - dense).square().sum() / dense.square().sum()).item()
    assert report.rows[0].relative_error == pytest.approx(error, rel=1e-3)


def test_a_weight_of_zeros() -> None:
    model = nn.Sequential(nn.Linear(32, 32))
    nn.init.zeros_(model[0].weight)
    compress_(model, SMALL, fit=Fit(sweeps=2), progress=False)
    assert model[0].weight.abs().max() == 0


def test_the_progress_bar_goes_to_stderr_and_only_where_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (True, False, None):
        compress_(lenet(), SMALL, select="9", fit=Fit(sweeps=1), progress=progress)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("compressing" in err) is bool(progress)


# --- errors: the model stays as it was ------------------------------------------------------------------------------


def tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.Linear(4, 2))


@pytest.mark.parametrize("select", [None, "re:.*", lambda name, _: True])
@pytest.mark.parametrize("gate", ["o16", "o64"])
def test_layers_with_fewer_qubits_than_a_gate_are_left_alone(gate: str, select: Any) -> None:
    model = tiny()
    config = Circuit(depth=1, gate=gate, wiring="staircase", stride=2)
    report = compress_(model, config, select=select, fit=None)
    assert type(model[0]) is adqc.nn.Linear
    assert type(model[1]) is nn.Linear
    assert f"too small for gate {gate!r}" in str(report)
    assert f"too small for gate {gate!r}" in str(plan(tiny(), config, select=select))


def damaged(value: float) -> nn.Module:
    model = lenet()
    with torch.no_grad():
        model[9].weight[3, 4] = value
    return model


@pytest.mark.parametrize(
    ("make", "config", "select", "message"),
    [
        (lambda: damaged(float("nan")), SMALL, None, "9: 1 of the 10080 entries of its weight are NaN or infinite"),
        (lambda: damaged(float("inf")), SMALL, ["3", "9"], "9: 1 of the 10080 entries"),
        (lenet, SMALL, "fc1", "no layer or tensor 'fc1'"),
        (lenet, SMALL, ["3", "re:classifier.*"], "matches no layer"),
        (lenet, Circuit(depth=60), ["3", "11"], "11 would not shrink"),
        (lenet, Circuit(depth=2500), None, "nothing to compress"),
        (lenet, Circuit(layout=(1, 0)), ["3"], "3: the order of sites"),
        (lenet, Circuit(axes=(16, 5, 31)), ["3"], r"3: axes \(16, 5, 31\) hold 2,480 entries, but the weight of shape"),
        (tiny, Circuit(gate="o16"), ["1"], "1: gates on 4 qubits need a weight of at least 16 entries, got 3 qubits"),
        (tiny, Circuit(gate="o64", depth=1), ["0", "1"], "1: gates on 6 qubits need a weight of at least 64 entries"),
        (lambda: nn.Sequential(nn.Linear(2, 4)), Circuit(gate="o16"), None, "nothing to compress .* gate 'o16'"),
        (lambda: nn.ReLU(), SMALL, None, "nothing to compress .the model has no weights"),
        (lambda: nn.Sequential(nn.Linear(8, 64, device="meta")), SMALL, None, "0: its weight is on the meta device"),
    ],
)
def test_after_an_error_the_model_is_as_it_was(
    make: Callable[[], nn.Module], config: Circuit, select: Any, message: str
) -> None:
    model = make()
    if next(model.parameters(), torch.ones(1)).is_meta:
        with pytest.raises(ValueError, match=message):
            compress_(model, config, select=select, fit=None)
        assert type(model[0]) is nn.Linear
        return
    before = Frozen(model)
    with pytest.raises(ValueError, match=message) as info:
        compress_(model, config, select=select, fit=None)
    assert "\n" not in str(info.value)
    before.check(model)


def test_compressed_layers_cannot_be_compressed_again() -> None:
    model = lenet()
    compress_(model, SMALL, select="9", fit=None)
    before = Frozen(model)
    with pytest.raises(ValueError, match=r"9: it is compressed already: use adqc\.decompress_ first"):
        compress_(model, SMALL, select="9", fit=None)
    before.check(model)
    report = compress_(model, SMALL, fit=None)
    assert ("9", "it is compressed already") in [(row.name, row.why) for row in report.skipped]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_leaves_the_model_as_it_was(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    import adqc.fit as fit

    model, fitted, real = lenet(), [], fit.fit_

    def interrupted(wall: Any, target: Tensor, **options: Any) -> Any:
        if fitted:
            raise error
        fitted.append(wall)
        return real(wall, target, **options)

    monkeypatch.setattr(fit, "fit_", interrupted)
    before = Frozen(model)
    with pytest.raises(error):
        compress_(model, SMALL, fit=Fit(sweeps=1), progress=False)
    before.check(model)


def test_an_interrupted_exchange_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import adqc.compress as module

    count, install = [], module.install_

    def interrupted(*args: Any) -> None:
        if len(count) == 4:
            raise KeyboardInterrupt
        count.append(1)
        install(*args)

    monkeypatch.setattr(module, "install_", interrupted)
    model = Language()
    before = Frozen(model)
    with pytest.raises(KeyboardInterrupt):
        compress_(model, SMALL, select=EVERYTHING, fit=None)
    before.check(model)
    assert model(torch.zeros(1, 2, dtype=torch.long)).shape == (1, 2, 50)


def test_decompress_leaves_a_plain_model_alone() -> None:
    model = lenet()
    before = Frozen(model)
    decompress_(model)
    before.check(model)
