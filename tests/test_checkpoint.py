"""Files: bit-exact there and back, small, whole or not at all, and refused where they do not fit."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import adqc
from adqc import BrickWall, Circuit, container
from adqc.checkpoint import describe, load_, save
from adqc.compress import compress_, decompress_
from adqc.relax import relax_

SMALL = Circuit(depth=2)


class Net(nn.Module):
    """A tied embedding and head, a parametrized tensor, a layer with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(40, 32)
        self.attn = nn.MultiheadAttention(32, 4)
        self.norm = nn.BatchNorm1d(32)
        self.fc = nn.Linear(32, 64)
        self.out = nn.Linear(64, 32)
        self.head = nn.Linear(32, 40, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.emb(tokens)
        x = self.norm(self.attn(x, x, x)[0].flatten(0, 1))
        scores: Tensor = self.head(self.out(self.fc(x)))
        return scores


SELECT = ["emb", "attn.in_proj_weight", "fc"]


def small(config: Circuit = SMALL, dtype: torch.dtype = torch.float32) -> nn.Module:
    model = Net()
    with torch.no_grad():
        model.norm.running_mean.normal_()
    compress_(model, config, select=SELECT, fit=None)
    return model.to(dtype)


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return list(one) == list(two) and all(
        one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in one
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        Circuit(depth=3, gate="free", wiring="staircase"),
        Circuit(depth=1, gate="su4", layout="rows-first"),
        Circuit(depth=2, gate="cartan-su4", start="near-identity", route="gates"),
        Circuit(depth=1, gate="o8", wiring="staircase", stride=2),
        Circuit(depth=2, gate="o16", layout="rows-first"),
    ],
)
def test_round_trip_is_bit_exact(config: Circuit, dtype: torch.dtype, tmp_path: Path) -> None:
    model = small(config, dtype)
    save(model, tmp_path / "model.safetensors")
    fresh = Net().to(dtype)
    assert load_(fresh, tmp_path / "model.safetensors") is fresh
    assert same(model, fresh)
    assert fresh.emb.circuit is fresh.head.circuit
    assert type(fresh.fc) is adqc.nn.Linear
    assert fresh.fc.circuit.config == config
    assert torch.equal(model.eval()(torch.arange(40)[None]), fresh.eval()(torch.arange(40)[None]))


def test_axes_come_back(tmp_path: Path) -> None:
    model = Net()
    config = Circuit(depth=2, gate="o8", axes=(64, 4, 8))
    compress_(model, select={"fc": config, "out": Circuit(depth=2, axes=(2048,))}, fit=None)
    save(model, tmp_path / "model.safetensors")
    fresh = load_(Net(), tmp_path / "model.safetensors")
    assert same(model, fresh)
    assert fresh.fc.circuit.config == config
    assert fresh.fc.circuit.shape == fresh.fc.weight.shape == (64, 32)
    assert torch.equal(model.eval()(torch.arange(40)[None]), fresh.eval()(torch.arange(40)[None]))


def test_loading_into_a_compressed_model_and_a_trained_form(tmp_path: Path) -> None:
    model = relax_(small())
    save(model, tmp_path / "model.safetensors")
    for fresh in (small(), small(Circuit(depth=4))):
        load_(fresh, tmp_path / "model.safetensors")
        assert same(model, fresh)
        assert fresh.fc.circuit.config.gate == "free"


def test_a_plain_model_and_a_decompressed_one(tmp_path: Path) -> None:
    model = decompress_(small())
    save(model, tmp_path / "model.safetensors")
    fresh = Net()
    load_(fresh, tmp_path / "model.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name])


def test_modes_and_random_numbers_are_kept(tmp_path: Path) -> None:
    save(small(), tmp_path / "model.safetensors")
    fresh = Net().eval()
    fresh.fc.weight.requires_grad_(False)
    state = torch.get_rng_state()
    load_(fresh, tmp_path / "model.safetensors")
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module.training for module in fresh.modules())
    assert [name for name, p in fresh.named_parameters() if not p.requires_grad] == [
        "fc.circuit.gates",
        "fc.circuit.scale",
    ]


def test_explicit_orders_user_families_and_walls_that_stand_alone(tmp_path: Path) -> None:
    import pennylane as qml

    family = adqc.gate_family("ry-cz", 2, lambda p, w: [qml.RY(p[0], w[0]), qml.RY(p[1], w[1]), qml.CZ(w)])
    order = (3, 1, 4, 0, 2, 5)
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "wall": BrickWall((8, 8), Circuit(depth=3))})
    compress_(model, Circuit(depth=1, gate=family, layout=order), select="a", fit=None)
    path = tmp_path / "model.safetensors"
    save(model, path)
    fresh = nn.ModuleDict({"a": nn.Linear(8, 8), "wall": BrickWall((8, 8), Circuit(depth=3))})
    with pytest.raises(ValueError, match=r"a\.weight: the circuit uses the gate family 'ry-cz', which is not"):
        load_(fresh, path)
    load_(fresh, path, families=(family,))
    assert same(model, fresh)
    assert fresh["a"].circuit.layout.order == order
    text = str(describe(path))
    assert "ry-cz" in text
    assert "BrickWall" in text
    other = nn.ModuleDict({"a": nn.Linear(8, 8), "wall": BrickWall((8, 8), Circuit(depth=3, start="haar"))})
    with pytest.raises(ValueError, match="the circuit wall has shape"):
        load_(other, path, families=(family,))


def test_shared_tensors_are_stored_once_and_a_large_layer_takes_a_few_kb(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    model = nn.Sequential(adqc.nn.Linear(4096, 4096, bias=False))
    save(model, path)
    assert path.stat().st_size < 4096
    model = nn.ModuleDict({"emb": nn.Embedding(64, 64), "head": nn.Linear(64, 64, bias=False)})
    model["head"].weight = model["emb"].weight
    save(model, path)
    with safe_open(path, framework="pt") as file:
        assert file.keys() == ["emb.weight"]


def test_describe_tells_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = small()
    save(model, path)
    found = describe(path)
    assert [item.name for item, _ in found.circuits] == [
        "emb.weight",
        "head.weight",
        "attn.in_proj_weight",
        "fc.weight",
    ]
    assert found.circuits[0][1] == model.emb.circuit.parameter_count
    assert found.numbers == sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())
    text = str(found)
    for part in ("attn.in_proj_weight", "96×32", "cartan", "brick-wall", "interleaved", "2 tied names", "sha256"):
        assert part in text


# --- files that are not right ---------------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, object]], None]) -> None:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["adqc"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, header)
    save_file(tensors, path, metadata={"adqc": json.dumps(header)})


def _alter_tensor(tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    tensors["fc.circuit.gates"][0] += 1


def _alter_header(tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    header["circuits"][0]["config"]["depth"] = 3  # type: ignore[index]


def _newer(tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    header.update(format=container.FORMAT + 1, version="9.0")


def _no_format(tensors: dict[str, Tensor], header: dict[str, object]) -> None:
    del header["format"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_alter_tensor, "was altered after it was written"),
        (_alter_header, "was altered after it was written"),
        (_newer, "has format 2, written by adqc 9.0, but this version reads formats up to 1: update adqc"),
        (_no_format, "damaged header"),
    ],
)
def test_altered_and_newer_files(
    change: Callable[[dict[str, Tensor], dict[str, object]], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save(small(), path)
    rewrite(path, change)
    refused(Net(), path, message)
    with pytest.raises(ValueError, match=message):
        describe(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_files_cut_short(share: float, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(small(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(Net(), path, "is cut short or no adqc file")


def test_one_flipped_bit_anywhere_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = nn.Sequential(adqc.nn.Linear(16, 16, circuit=SMALL))
    save(model, path)
    data = path.read_bytes()
    for place in range(8, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            load_(nn.Sequential(nn.Linear(16, 16)), path)


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    refused(Net(), path, "adqc did not write it")
    path.write_text("no tensors at all")
    refused(Net(), path, "is cut short or no adqc file")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_(Net(), tmp_path / "nothing.safetensors")


# --- models that do not fit -----------------------------------------------------------------------------------------


def refused(model: nn.Module, path: Path, message: str) -> None:
    """The file is refused in one sentence, and the model is as it was: objects, classes and values."""
    kept = {name: (module, type(module)) for name, module in model.named_modules()}
    parameters = list(model.parameters())
    values = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message) as info:
        load_(model, path)
    assert "\n" not in str(info.value)
    assert {name: (module, type(module)) for name, module in model.named_modules()} == kept
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == list(values)
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items() if not tensor.is_meta)


class Wider(Net):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(32, 65)


class Deeper(Net):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Linear(32, 32)


class Shallower(Net):
    def __init__(self) -> None:
        super().__init__()
        del self.out


class Renamed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = self.fc
        del self.fc


class Longer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 33)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Wider, r"fc\.weight has shape \(64, 32\) in the file, but \(65, 32\) in the model"),
        (Deeper, r"belongs to another model \(missing: more\.weight, more\.bias\)"),
        (Shallower, r"belongs to another model \(unexpected: out\.bias, out\.weight\)"),
        (Renamed, r"circuits for fc\.weight, which this one lacks"),
        (Longer, r"out\.weight has shape \(32, 64\) in the file, but \(33, 64\) in the model"),
        (lambda: Net().double(), r"dtype torch\.float32 in the file, but torch\.float64 in the model"),
        (lambda: nn.Linear(3, 3), "circuits for emb"),
        (lambda: Net().to("meta"), "on the meta device"),
    ],
)
def test_checkpoints_for_another_model(make: Callable[[], nn.Module], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(small(), path)
    refused(make(), path, message)


def test_a_dense_file_for_a_compressed_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(Net(), path)
    refused(small(), path, r"missing: emb.circuit.gates.*unexpected: attn.in_proj_weight, emb.weight")


def test_ties_that_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    untied = Net()
    untied.head.weight = nn.Parameter(torch.randn(40, 32))
    save(untied, path)
    refused(Net(), path, r"the model ties head\.weight to emb\.weight, which differ in the file")


# --- writing --------------------------------------------------------------------------------------------------------


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save(small(), path)
    before = path.read_bytes()

    def interrupted(tensors: object, target: Path, metadata: object) -> None:
        Path(target).write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(small(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save(Net(), tmp_path / "no" / "model.safetensors")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        save(Net(), tmp_path)
    with pytest.raises(ValueError, match="on the meta device"):
        save(Net().to("meta"), tmp_path / "meta.safetensors")

    class Extra(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"a": 1}

    with pytest.raises(ValueError, match="_extra_state is a dict"):
        save(Extra(2, 2), tmp_path / "extra.safetensors")
    assert list(tmp_path.iterdir()) == []
