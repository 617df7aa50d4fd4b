"""Stage 2: groups of parameters, the loop, going on after a stop, and what happens to a loss that explodes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import adqc
from adqc import Circuit
from adqc.compress import compress_
from adqc.finetune import Epoch, finetune, parameter_groups
from adqc.relax import relax_, unitarity


def data(count: int = 256) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 16, generator=generator)
    return TensorDataset(x, (x @ torch.randn(16, 4, generator=generator)).argmax(1))


def loader(seed: int = 0, **options: Any) -> DataLoader[Any]:
    return DataLoader(data(), 32, shuffle=True, generator=torch.Generator().manual_seed(seed), **options)


def network(gate: str = "cartan", dropout: float = 0.0) -> nn.Module:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 32), nn.Linear(32, 4))
    compress_(model, Circuit(depth=3, gate=gate), select="3", fit=None)
    return model


def names_of(model: nn.Module, group: dict[str, Any]) -> list[str]:
    return [name for name, parameter in model.named_parameters() if any(parameter is own for own in group["params"])]


# --- groups ---------------------------------------------------------------------------------------------------------


def test_circuits_and_the_rest_are_different_groups() -> None:
    model = network()
    groups = {group["name"]: group for group in parameter_groups(model, lr=2e-3, weight_decay=0.1)}
    assert names_of(model, groups["circuits"]) == ["3.circuit.gates"]
    assert names_of(model, groups["scales"]) == ["3.circuit.scale"]
    assert names_of(model, groups["rest"]) == ["0.weight", "0.bias", "3.bias", "4.weight", "4.bias"]
    assert [groups[name]["weight_decay"] for name in ("circuits", "scales", "rest")] == [0, 0, 0.1]
    assert (groups["circuits"]["lr"], groups["rest"]["lr"]) == (0.03, 2e-3)
    ratio = groups["scales"]["lr"] / 0.03 / model[3].circuit.scale.item()
    assert 0.7 < ratio < 1.42


def test_every_parameter_is_in_one_group_once_also_where_tied() -> None:
    model = nn.ModuleDict({"emb": nn.Embedding(64, 32), "head": nn.Linear(32, 64), "free": nn.Linear(32, 32)})
    model["head"].weight = model["emb"].weight
    compress_(model, select={"free": Circuit(gate="free", depth=2), "emb": Circuit(depth=2)}, fit=None)
    groups = parameter_groups(model)
    torch.optim.AdamW(groups)
    found = sorted(name for group in groups for name in names_of(model, group))
    assert found == sorted(name for name, _ in model.named_parameters())
    rates = {name: group["lr"] for group in groups for name in names_of(model, group)}
    assert rates["free.circuit.gates"] == rates["free.circuit.scale"] == rates["free.circuit.state"] == 0.01
    assert rates["emb.circuit.gates"] == 0.03
    assert {group["lr"] for group in parameter_groups(model, circuit_lr=0.5) if group["name"] == "circuits"} == {0.5}


def test_frozen_parameters_and_plain_models() -> None:
    model = network()
    model[0].requires_grad_(False)
    model[3].requires_grad_(False)
    assert [names_of(model, group) for group in parameter_groups(model)] == [["4.weight", "4.bias"]]
    assert [group["name"] for group in parameter_groups(nn.Linear(2, 2))] == ["rest"]
    with torch.no_grad():
        silent = adqc.nn.Linear(16, 16)
        natural = {group["name"]: group["lr"] for group in parameter_groups(silent)}["scales"]
        silent.circuit.scale.zero_()
    assert {group["name"]: group["lr"] for group in parameter_groups(silent)}["scales"] == natural


# --- the loop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
def test_a_compressed_model_learns(gate: str) -> None:
    model = network(gate).eval()
    history = finetune(model, loader(), epochs=12, lr=1e-2, validation=loader(1))
    assert [entry.epoch for entry in history] == list(range(1, 13))
    assert all(isinstance(entry, Epoch) for entry in history)
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[-1].accuracy is not None
    assert history[-1].accuracy > 0.9
    assert history[-1].validation_accuracy is not None
    assert history[-1].validation_accuracy > 0.9
    assert not model.training


def test_the_figures_are_those_of_an_ordinary_loop() -> None:
    model = network()
    plain = copy.deepcopy(model)
    history = finetune(model, loader(), epochs=2, scheduler="constant", validation=DataLoader(data(), 100))
    optimizer = torch.optim.Adam(parameter_groups(plain, lr=2e-3))
    batches = loader()
    for entry in history:
        losses = []
        for x, y in batches:
            loss = nn.functional.cross_entropy(plain(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert entry.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    x, y = data().tensors
    with torch.no_grad():
        scores = plain(x)
    assert history[-1].validation_loss == pytest.approx(nn.functional.cross_entropy(scores, y).item(), rel=1e-5)
    assert history[-1].validation_accuracy == pytest.approx((scores.argmax(1) == y).float().mean().item())


def test_a_plain_model_any_loss_and_an_own_optimizer() -> None:
    model = nn.Linear(16, 3)
    batches = [(torch.randn(8, 16), torch.randn(8, 3)) for _ in range(4)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = finetune(model, batches, epochs=3, loss=nn.functional.mse_loss, optimizer=optimizer, validation=batches)
    assert history[-1].loss < history[0].loss
    assert history[-1].accuracy is history[-1].validation_accuracy is None
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_the_cosine_schedule_falls_to_zero() -> None:
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    model = nn.Linear(16, 4)
    finetune(model, loader(), epochs=2, optimizer=Spy(model.parameters(), lr=1.0))
    expected = [(1 + torch.cos(torch.tensor(torch.pi * k / 16)).item()) / 2 for k in range(16)]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_the_penalty_holds_free_gates_near_unitary_ones() -> None:
    ends = []
    for penalty in (0.0, 10.0):
        torch.manual_seed(1)
        model = relax_(network())
        finetune(model, loader(), epochs=4, penalty=penalty)
        ends.append(unitarity(model).item())
    assert ends[1] < 0.1 * ends[0]


def test_a_stream_without_a_length() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([(x, y) for x, y in zip(*data(64).tensors, strict=True)])

    batches = DataLoader(Stream(), 16)
    assert len(finetune(nn.Linear(16, 4), batches, epochs=2, scheduler="constant")) == 2
    with pytest.raises(ValueError, match="needs a loader with a length"):
        finetune(nn.Linear(16, 4), batches)


def test_the_progress_bar_is_shown_where_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (True, False, None):
        finetune(nn.Linear(16, 4), loader(), epochs=1, progress=progress)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("training" in err) is bool(progress)


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["cosine", "constant"])
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(scheduler: str) -> None:
    start = network(dropout=0.3)
    torch.manual_seed(7)
    whole = copy.deepcopy(start)
    history = finetune(whole, loader(), epochs=4, scheduler=scheduler)

    torch.manual_seed(7)
    kept: dict[str, Any] = {}

    def stop(entry: Epoch, state: dict[str, Any]) -> None:
        if entry.epoch == 2:
            kept.update(copy.deepcopy({"state": state, "model": model.state_dict()}))
            raise KeyboardInterrupt

    model = copy.deepcopy(start)
    with pytest.raises(KeyboardInterrupt):
        finetune(model, loader(), epochs=4, scheduler=scheduler, callback=stop)
    torch.manual_seed(99)
    other = copy.deepcopy(start)
    other.load_state_dict(kept["model"])
    resumed = finetune(other, loader(3), epochs=4, scheduler=scheduler, state=kept["state"])
    assert [entry.loss for entry in resumed] == [entry.loss for entry in history]
    for one, two in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_state_can_be_stored_without_pickled_code(tmp_path: Any) -> None:
    states = []
    finetune(network(), loader(), epochs=1, callback=lambda entry, state: states.append(state))
    torch.save(states[0], tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["history"][0]["epoch"] == 1


# --- errors ---------------------------------------------------------------------------------------------------------


def test_a_loss_that_explodes_leaves_the_last_good_epoch() -> None:
    model, good = network(), {}
    calls = []

    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        value = nn.functional.cross_entropy(scores, targets)
        return value * torch.nan if len(calls) == 20 else value

    def keep(entry: Epoch, state: dict[str, Any]) -> None:
        good.update({name: tensor.clone() for name, tensor in model.state_dict().items()})

    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 3, .*lower lr") as info:
        finetune(model, loader(), epochs=5, loss=loss, callback=keep)
    assert "\n" not in str(info.value)
    assert all(torch.equal(tensor, good[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs >= 1"),
        ({"penalty": -1.0}, "penalty >= 0"),
        ({"scheduler": "linear"}, "unknown scheduler 'linear': use one of cosine, constant"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finetune(nn.Linear(16, 4), loader(), **options)


def test_wrong_batches() -> None:
    with pytest.raises(ValueError, match="gave no batches"):
        finetune(nn.Linear(16, 4), [])
    with pytest.raises(ValueError, match=r"a batch must be a pair \(inputs, targets\), got a Tensor"):
        finetune(nn.Linear(16, 4), [torch.zeros(4, 16)])
