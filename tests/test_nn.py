"""The layers: torch's own function with the weight of the circuit, over all options; the kept weight; exchange."""

from __future__ import annotations

import copy
import inspect
import io
import math
import random
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adqc.nn as cnn
from adqc.brickwall import BrickWall
from adqc.config import Circuit

PAIRS = {
    name: (getattr(nn, name), getattr(cnn, name)) for name in ("Linear", "Conv1d", "Conv2d", "Conv3d", "Embedding")
}
CONFIG = Circuit(depth=2)


@pytest.fixture
def built(monkeypatch):
    """How often a wall was built."""
    counts = []
    forward = BrickWall.forward
    monkeypatch.setattr(BrickWall, "forward", lambda self, *a, **k: (counts.append(1), forward(self, *a, **k))[1])
    return counts


def small(**options) -> cnn.Linear:
    return cnn.Linear(6, 5, circuit=CONFIG, **options)


# --- torch's own function ---------------------------------------------------------------------------------------------


def check_against_torch(name, arguments, options, inputs):
    """Values, and the gradients of input, bias and circuit, against torch's layer called with the weight built."""
    torch_type, own_type = PAIRS[name]
    layer = own_type(*arguments, **options, circuit=CONFIG, dtype=torch.float64)
    plain = torch_type(*arguments, **options, dtype=torch.float64)
    for mode in (True, False):
        layer.train(mode)
        inputs = inputs.detach().requires_grad_(inputs.is_floating_point())
        leaves = [leaf for leaf in (inputs, *layer.parameters()) if leaf.requires_grad]

        values = {"weight": layer.weight}
        if layer._parameters.get("bias") is not None:
            values["bias"] = layer.bias
        found = layer(inputs)
        if name == "Embedding" and options.get("max_norm"):
            # torch writes the shortened rows back into its own table, which must not be the circuit's.
            values["weight"] = values["weight"].clone()
        expected = torch.func.functional_call(plain, values, (inputs,))
        assert torch.equal(found, expected)
        seed = torch.randn_like(expected)
        for mine, other in zip(
            torch.autograd.grad(found, leaves, seed), torch.autograd.grad(expected, leaves, seed), strict=True
        ):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
        with torch.no_grad():
            torch.testing.assert_close(layer(inputs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (0, 6)], ids=str)
def test_linear_is_torchs(shape, bias):
    check_against_torch("Linear", (6, 5), {"bias": bias}, torch.randn(shape, dtype=torch.float64))


CONV_OPTIONS = {
    "kernel_size": (1, 2, 3),
    "stride": (1, 2),
    "padding": (0, 1, "same", "valid"),
    "dilation": (1, 2),
    "groups": (1, 2, 4),
    "bias": (True, False),
    "padding_mode": ("zeros", "reflect", "replicate", "circular"),
}


def conv_cases(count):
    """Random options, each value of each at least once; ``same`` needs stride 1."""
    draw = random.Random(count)
    columns = {
        name: draw.sample(values * math.ceil(count / len(values)), count) for name, values in CONV_OPTIONS.items()
    }
    cases = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for case in cases:
        if case["padding"] == "same":
            case["stride"] = 1
    return cases


@pytest.mark.parametrize("options", conv_cases(12), ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_are_torchs(dims, options):
    # An odd and an even channel count; another size on every axis, and options that differ between the axes.
    options = dict(options)
    if dims > 1:
        for name in ("stride", "dilation", "kernel_size"):
            value = options[name]
            if options["padding"] != "same" or name != "stride":
                options[name] = (value, *([max(1, value - 1)] * (dims - 1)))
        if isinstance(options["padding"], int):
            options["padding"] = (options["padding"], *([0] * (dims - 1)))
    channels = 4 if options["groups"] > 1 else 3
    inputs = torch.randn(2, channels, *(9, 8, 7)[:dims], dtype=torch.float64)
    with warnings.catch_warnings():
        # torch says that "same" with an even kernel copies the input.
        warnings.filterwarnings("ignore", message="Using padding='same'")
        check_against_torch(f"Conv{dims}d", (channels, 8), options, inputs)


@pytest.mark.parametrize("options", [
    {},
    {"padding_idx": 3},
    {"padding_idx": -1},
    {"max_norm": 0.5},
    {"max_norm": 0.5, "norm_type": 1.0},
    {"scale_grad_by_freq": True},
    {"padding_idx": 0, "max_norm": 2.0, "norm_type": 3.0, "scale_grad_by_freq": True},
], ids=str)  # fmt: skip
def test_embedding_is_torchs(options):
    check_against_torch("Embedding", (11, 6), options, torch.tensor([[3, 3, 0], [10, 1, 3]]))


def test_the_padding_row_is_zero_and_stays_so():
    layer = cnn.Embedding(11, 6, padding_idx=-1, circuit=CONFIG)
    assert layer.padding_idx == 10
    assert not layer.weight[10].any()
    assert layer.weight[:10].any(1).all()


def test_max_norm_does_not_write_into_the_kept_table(built):
    layer = cnn.Embedding(11, 6, max_norm=0.5, circuit=CONFIG).eval()
    with torch.no_grad():
        before = layer.weight.clone()
        assert (layer(torch.arange(11)).norm(dim=1) <= 0.5 + 1e-5).all()
        assert torch.equal(layer.weight, before)
    assert len(built) == 1


@pytest.mark.parametrize("name", PAIRS)
def test_the_signature_is_torchs_and_two_names_more(name):
    theirs, ours = (list(inspect.signature(kind.__init__).parameters.items()) for kind in PAIRS[name])
    theirs = [(key, value.default) for key, value in theirs if not key.startswith("_")]
    assert [(key, value.default) for key, value in ours[:-2]] == theirs
    assert [key for key, _ in ours[-2:]] == ["circuit", "generator"]
    assert isinstance(PAIRS[name][1](4, 4, *([3] if "Conv" in name else [])), PAIRS[name][0])


@pytest.mark.parametrize("build", [
    lambda **o: cnn.Linear(6, 5, **o),
    lambda **o: cnn.Conv1d(4, 6, 3, groups=2, **o),
    lambda **o: cnn.Conv2d(3, 6, 3, **o),
    lambda **o: cnn.Conv3d(3, 6, 2, **o),
    lambda **o: cnn.Embedding(6, 5, padding_idx=1, **o),
], ids=list(PAIRS))  # fmt: skip
def test_device_and_type(build):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        layer = build(dtype=dtype, device="cpu")
        assert {p.dtype for p in layer.parameters()} == {dtype} == {layer.weight.dtype}
    layer = build(device="meta")
    assert {p.device.type for p in layer.parameters()} == {"meta"} == {layer.weight.device.type}
    source = build()
    layer.to_empty(device="cpu")
    layer.load_state_dict(source.state_dict())
    assert torch.equal(layer.weight, source.weight)
    assert layer.to(torch.float64).weight.dtype == torch.float64


@pytest.mark.parametrize("name", PAIRS)
def test_the_start_is_as_wide_as_torchs(name):
    arguments = {"Linear": (24, 20), "Embedding": (24, 20)}.get(name, (6, 10, 3))
    options = {"groups": 2} if "Conv" in name else {}
    torch_type, own_type = PAIRS[name]
    mine, theirs = [], []
    for seed in range(60):
        torch.manual_seed(seed)
        theirs.append(torch_type(*arguments, **options))
        mine.append(own_type(*arguments, **options, generator=torch.Generator().manual_seed(seed)))
    for field in ("weight", "bias") if name != "Embedding" else ("weight",):
        own, other = (torch.stack([getattr(layer, field).detach() for layer in layers]) for layers in (mine, theirs))
        assert own.shape == other.shape
        assert abs(own.std() / other.std() - 1) < 0.08, field
        assert abs(own.mean()) < 0.1 * own.std(), field


def test_a_layer_follows_its_generator():
    one, same, other = (small(generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.weight, same.weight)
    assert torch.equal(one.bias, same.bias)
    assert not torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("name", PAIRS)
def test_reset_parameters_draws_a_new_start_in_place(name):
    layer = PAIRS[name][1](6, 5, *([3] if "Conv" in name else []), circuit=Circuit(depth=2, gate="free"))
    parameters = dict(layer.named_parameters())
    before = {key: value.clone() for key, value in parameters.items()}
    layer.reset_parameters()
    assert all(dict(layer.named_parameters())[key] is value for key, value in parameters.items())
    assert not torch.equal(layer.circuit.gates, before["circuit.gates"])
    assert torch.equal(layer.circuit.scale, before["circuit.scale"])
    if "bias" in before:
        assert not torch.equal(layer.bias, before["bias"])


# --- a layer as a module ----------------------------------------------------------------------------------------------


def test_repr_shows_torchs_options_and_the_circuit():
    text = repr(cnn.Conv2d(3, 6, 3, stride=2, circuit=CONFIG))
    assert text.startswith(
        "Conv2d(\n  3, 6, kernel_size=(3, 3), stride=(2, 2)\n  (circuit): BrickWall(shape=(6, 3, 3, 3)"
    )
    assert "in_features=6, out_features=5, bias=True" in repr(small())
    assert "11, 6, padding_idx=3" in repr(cnn.Embedding(11, 6, 3))


def test_only_circuit_and_bias_are_parameters():
    assert set(small().state_dict()) == {"bias", "circuit.gates", "circuit.scale"}
    assert set(small(bias=False).state_dict()) == {"circuit.gates", "circuit.scale"}


def test_state_dict_loads_strictly_and_names_what_does_not_fit():
    one, other = small(), small()
    other.load_state_dict(one.state_dict(), strict=True)
    assert torch.equal(one(torch.ones(1, 6)), other(torch.ones(1, 6)))
    with pytest.raises(RuntimeError, match=r'(?s)Missing key.*"circuit.gates".*Unexpected key.*"weight"'):
        one.load_state_dict(nn.Linear(6, 5).state_dict())


@pytest.mark.parametrize("name", PAIRS)
def test_deepcopy_and_torch_save_keep_the_function_not_the_kept_weight(name):
    layer = PAIRS[name][1](32, 40, *([3] if "Conv" in name else []), circuit=CONFIG).eval()
    with torch.no_grad():
        weight = layer.weight
    file = io.BytesIO()
    torch.save(layer, file)
    assert file.tell() < 20_000
    file.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert type(twin) is type(layer)
        assert torch.equal(twin.weight, weight)
        assert not set(map(id, twin.parameters())) & set(map(id, layer.parameters()))
        assert twin.__dict__.keys() <= nn.Module().__dict__.keys() | layer.__dict__.keys() - {"_adqc_weight"}


def test_the_weight_cannot_be_assigned():
    layer = small()
    before = layer.weight.clone()
    for value in (nn.Parameter(torch.zeros(5, 6)), torch.zeros(5, 6), None):
        with pytest.raises(AttributeError, match="Linear is built from its circuit and cannot be assigned"):
            layer.weight = value
    with pytest.raises(AttributeError):
        layer.register_parameter("weight", nn.Parameter(torch.zeros(5, 6)))
    with pytest.raises(AttributeError):
        del layer.weight
    assert torch.equal(layer.weight, before)
    layer.bias = nn.Parameter(torch.ones(5))
    assert torch.equal(layer(torch.zeros(6)), torch.ones(5))


def test_an_ordinary_training_loop_trains_the_circuit():
    layer = small(generator=torch.Generator().manual_seed(0))
    inputs, target = torch.randn(64, 6), torch.randn(64, 5)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01


# --- the kept weight --------------------------------------------------------------------------------------------------


def test_in_eval_mode_without_gradients_the_weight_is_built_once(built):
    layer = small().eval()
    inputs = torch.randn(2, 6)
    with torch.no_grad():
        first = layer(inputs)
        for _ in range(3):
            assert torch.equal(layer(inputs), first)
    assert len(built) == 1
    with torch.inference_mode():
        assert torch.equal(layer(inputs), first)
    assert len(built) == 1
    # A gradient, or training, needs the circuit itself.
    layer(inputs)
    assert len(built) == 2
    layer.train()
    with torch.no_grad():
        layer(inputs)
        layer(inputs)
    assert len(built) == 4
    assert "_adqc_weight" not in layer.__dict__


def change_in_place(layer):
    with torch.no_grad():
        layer.circuit.gates.add_(0.1)


def change_scale(layer):
    with torch.no_grad():
        layer.circuit.scale.mul_(2)


def load(layer):
    layer.load_state_dict(small().state_dict())


def load_assign(layer):
    layer.load_state_dict(small().state_dict(), assign=True)


def to_double(layer):
    layer.double()


def through_data(layer):
    layer.circuit.gates.data = layer.circuit.gates.data + 0.1


def through_data_behind_a_mode(layer):
    layer.circuit.gates.data.add_(0.1)
    layer.eval()


def step(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with torch.enable_grad():
        layer(torch.ones(1, 6)).square().sum().backward()
    optimizer.step()


def a_new_parameter(layer):
    layer.circuit.gates = nn.Parameter(layer.circuit.gates.detach() + 0.1)


@pytest.mark.parametrize(
    "change",
    [
        change_in_place,
        change_scale,
        load,
        load_assign,
        to_double,
        through_data,
        through_data_behind_a_mode,
        step,
        a_new_parameter,
    ],
)
def test_the_kept_weight_follows_every_change(change):
    layer = small().eval()
    with torch.no_grad():
        before = layer.weight
        change(layer)
        found = layer.weight
        torch.testing.assert_close(found, layer.circuit(), rtol=0, atol=0)
        assert found.dtype != before.dtype or not torch.equal(found, before)


def test_a_parameter_at_the_address_of_one_that_is_gone_is_still_seen():
    # Enough numbers that the allocator hands a block that was given back out again, here after every second change.
    layer = cnn.Linear(16, 16, circuit=Circuit(depth=80, gate="su4", route="gates")).eval()
    gates = layer.circuit.gates
    with torch.no_grad():
        for k in range(3):
            for value in (0.1, 0.01 * k):
                gates.data = torch.full_like(gates, value)
            assert torch.equal(layer.weight, layer.circuit())


def test_what_a_caller_writes_into_the_kept_weight_does_not_stay():
    layer = small().eval()
    with torch.no_grad():
        expected = layer.weight.clone()
        layer.weight.zero_()
        assert torch.equal(layer.weight, expected)
        assert torch.equal(layer(torch.eye(6)), F.linear(torch.eye(6), expected, layer.bias))


def test_a_weight_kept_under_inference_mode_serves_autograd_later():
    layer = small().eval()
    with torch.inference_mode():
        layer(torch.ones(1, 6))
    with torch.no_grad():
        weight = layer.weight
    factor = torch.ones(5, 6, requires_grad=True)
    (weight * factor).sum().backward()
    assert torch.equal(factor.grad, weight)


def test_a_layer_made_under_inference_mode_works():
    with torch.inference_mode():
        layer = small().eval()
        assert torch.equal(layer(torch.eye(6)), F.linear(torch.eye(6), layer.circuit(), layer.bias))


def test_ensembles_by_vmap_in_eval_mode():
    layers = [small().eval() for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(layers)
    inputs = torch.randn(4, 6)
    with torch.no_grad():
        found = torch.func.vmap(
            lambda p, b: torch.func.functional_call(layers[0], (p, b), (inputs,)), randomness="error"
        )(parameters, buffers)
        expected = torch.stack([layer(inputs) for layer in layers])
    torch.testing.assert_close(found, expected)


def test_an_error_while_building_reaches_the_caller(monkeypatch):
    layer = small()

    def refuse(self, route=None):
        raise MemoryError("too large")

    monkeypatch.setattr(BrickWall, "forward", refuse)
    with pytest.raises(MemoryError, match="too large"):
        layer(torch.ones(1, 6))


# --- exchange with torch ----------------------------------------------------------------------------------------------


def plain_layers():
    return [
        nn.Linear(6, 5, bias=False),
        nn.Linear(6, 5),
        nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(3, 6, 3, padding="same", padding_mode="reflect"),
        nn.Conv3d(2, 3, 2, dilation=2, bias=False),
        nn.Embedding(11, 6, padding_idx=2),
    ]


@pytest.mark.parametrize("plain", plain_layers(), ids=str)
def test_from_torch_and_back(plain):
    plain = plain.eval()
    wall = BrickWall(tuple(plain.weight.shape), CONFIG)
    layer = cnn.from_torch(plain, wall)
    assert type(layer) is cnn.compressed_type(plain)
    assert layer.circuit is wall
    assert not layer.training
    bias = getattr(plain, "bias", None)
    assert getattr(layer, "bias", None) is bias
    assert plain.weight.shape == layer.weight.shape
    back = cnn.to_torch(layer)
    assert type(back) is type(plain)
    assert list(back.state_dict()) == list(plain.state_dict())
    assert back.weight.is_leaf
    assert back.weight.requires_grad
    assert back.weight.is_contiguous()
    assert torch.equal(back.weight, layer.weight)
    assert str(back) == str(plain)
    inputs = torch.arange(11) if isinstance(plain, nn.Embedding) else torch.randn(2, *_input_shape(plain))
    assert torch.equal(back(inputs), layer(inputs))
    # The layer itself still has its circuit.
    assert layer.circuit is wall


def _input_shape(plain):
    if isinstance(plain, nn.Linear):
        return (plain.in_features,)
    return (plain.in_channels, *[7] * (plain.weight.dim() - 2))


def test_hooks_go_along_and_their_handles_still_remove_them():
    plain = nn.Linear(6, 5)
    seen = []
    handle = plain.register_forward_hook(lambda module, inputs, output: seen.append(type(module)))
    pre = plain.register_forward_pre_hook(lambda module, inputs: seen.append("pre"))
    layer = cnn.from_torch(plain, BrickWall((5, 6), CONFIG))
    layer(torch.ones(1, 6))
    assert seen == ["pre", cnn.Linear]
    cnn.to_torch(layer)(torch.ones(1, 6))
    assert seen[2:] == ["pre", nn.Linear]
    handle.remove()
    pre.remove()
    layer(torch.ones(1, 6))
    assert len(seen) == 4


def test_the_plain_layer_is_left_as_it_was():
    plain = nn.Linear(6, 5)
    before = copy.deepcopy(plain.state_dict())
    layer = cnn.from_torch(plain, BrickWall((5, 6), CONFIG))
    layer.extra = nn.Identity()
    assert list(plain.state_dict()) == ["weight", "bias"]
    assert all(torch.equal(plain.state_dict()[key], value) for key, value in before.items())
    assert not list(plain.children())


class Own(nn.Linear):
    """A user's subclass may use its weight in any way."""


def normed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(6, 5))


@pytest.mark.parametrize(
    "plain", [Own(6, 5), normed(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.LazyLinear(5), nn.ReLU()]
)
def test_layers_whose_weight_is_not_an_ordinary_one_have_no_compressed_form(plain):
    assert cnn.compressed_type(plain) is None
    with pytest.raises(TypeError, match="has no compressed form: use Linear, Conv1d"):
        cnn.from_torch(plain, BrickWall((5, 6), CONFIG))


def test_the_output_projection_of_attention_has_one():
    assert cnn.compressed_type(nn.MultiheadAttention(4, 2).out_proj) is cnn.Linear


# --- what bad input gets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "kind", "message"), [
    (lambda: cnn.Linear(0, 5), ValueError, r"at least one entry, got shape \(5, 0\)"),
    (lambda: cnn.Linear(5, 0), ValueError, r"at least one entry, got shape \(0, 5\)"),
    (lambda: cnn.Linear(6, 5, circuit=Circuit(layout=(0, 1))), ValueError, "permutation of 0…5"),
    (lambda: cnn.Embedding(6, 5, sparse=True), ValueError, "use sparse=False"),
    (lambda: cnn.from_torch(nn.Embedding(6, 5, sparse=True), BrickWall((6, 5))), ValueError, "use sparse=False"),
    (lambda: cnn.from_torch(nn.Linear(6, 5), BrickWall((6, 5))), ValueError, r"shape \(5, 6\), .* makes \(6, 5\)"),
    (lambda: cnn.to_torch(nn.Linear(6, 5)), TypeError, "Linear is no compressed layer"),
    (lambda: cnn.Conv2d(3, 6, 3, groups=2), ValueError, "divisible by groups"),
    (lambda: cnn.Conv2d(3, 6, 3, padding="same", stride=2), ValueError, "strided"),
])  # fmt: skip
def test_bad_layers_get_one_sentence(build, kind, message):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        with pytest.raises(kind, match=message) as caught:
            build()
    assert "\n" not in str(caught.value)


def test_torch_export_takes_a_layer():
    layer = small().eval()
    inputs = torch.randn(4, 6)
    with warnings.catch_warnings():
        # torch itself still calls what it has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.export.export(layer, (inputs,))
    assert set(exported.state_dict) == set(layer.state_dict())
    torch.testing.assert_close(exported.module()(inputs), layer(inputs))
