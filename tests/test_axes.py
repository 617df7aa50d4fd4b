"""Layers whose weight the circuit sees with other axes: nothing of what a layer can do changes."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adqc
from adqc.nn import from_torch, to_torch

KINDS = ["linear", "conv", "embedding"]


def make(kind: str, gate: str = "o8", dtype: torch.dtype = torch.float64) -> nn.Module:
    """A layer, 12 or 8 to 10, of a circuit with axes of its own."""
    options = {"generator": torch.Generator().manual_seed(0), "dtype": dtype}
    if kind == "linear":
        circuit = adqc.Circuit(depth=2, gate=gate, axes=(10, 3, 4))
        return adqc.nn.Linear(12, 10, circuit=circuit, **options)
    if kind == "conv":
        circuit = adqc.Circuit(depth=2, gate=gate, axes=(10, 8, 9), layout="rows-first")
        return adqc.nn.Conv2d(8, 10, 3, padding=1, circuit=circuit, **options)
    circuit = adqc.Circuit(depth=2, gate=gate, axes=(120,), wiring="staircase")
    return adqc.nn.Embedding(12, 10, circuit=circuit, **options)


def example(kind: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    if kind == "embedding":
        return torch.arange(12).view(4, 3)
    return torch.randn((5, 12) if kind == "linear" else (2, 8, 6, 5), dtype=dtype)


def expected(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    weight = layer.circuit("gates")
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, layer.bias)
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, layer.bias, padding=1)
    return F.embedding(x, weight)


@pytest.mark.parametrize("gate", ["cartan", "free", "o8", "o16"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_and_eval(kind, gate):
    layer, x = make(kind, gate), example(kind)
    grads = []
    for run in (layer, lambda x: expected(layer, x)):
        layer.zero_grad()
        run(x).square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    for found, due in zip(*grads, strict=True):
        torch.testing.assert_close(found, due, rtol=0, atol=1e-10)
    layer.eval()
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(layer(x), expected(layer, x), rtol=0, atol=1e-12)
            layer.circuit.gates.mul_(1.1).add_(0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_layers_and_copies(kind):
    layer, x = make(kind), example(kind)
    plain = to_torch(layer)
    assert plain.weight.shape == layer.circuit.shape
    assert layer.circuit.layout.shape == layer.circuit.config.axes != layer.circuit.shape
    twins = [plain, copy.deepcopy(layer), from_torch(plain, layer.circuit), make(kind)]
    twins[-1].load_state_dict(layer.state_dict(), strict=True)
    for twin in twins:
        torch.testing.assert_close(twin(x), layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_compile_in_one_graph(kind):
    torch._dynamo.reset()
    layer, x = make(kind), example(kind)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    grads = []
    for run in (compiled, layer):
        layer.zero_grad()
        run(x).square().sum().backward()
        grads.append(layer.circuit.gates.grad.clone())
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_export(kind):
    layer, x = make(kind).eval(), example(kind)
    with warnings.catch_warnings():
        # torch itself still calls what it has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(x), layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_autocast_begins_behind_the_weight(kind):
    layer, x = make(kind, dtype=torch.float32), example(kind, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.circuit.gates.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), layer(x), rtol=0, atol=5e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_ensembles_by_vmap(kind):
    layers, x = [make(kind) for _ in range(3)], example(kind)
    with torch.no_grad():
        for layer in layers:
            layer.circuit.gates.add_(torch.randn_like(layer.circuit.gates))
    parameters, buffers = torch.func.stack_module_state(layers)

    def run(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))

    found = torch.func.vmap(run)(parameters, buffers)
    for one, layer in zip(found, layers, strict=True):
        torch.testing.assert_close(one, layer(x), rtol=0, atol=1e-12)


def test_per_sample_gradients():
    layer, x = make("linear"), example("linear")
    parameters = dict(layer.named_parameters())

    def loss(parameters, sample):
        return torch.func.functional_call(layer, parameters, (sample.unsqueeze(0),)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for at, sample in enumerate(x):
        layer.zero_grad()
        loss(parameters, sample).backward()
        torch.testing.assert_close(found["circuit.gates"][at], layer.circuit.gates.grad, rtol=0, atol=1e-10)


def test_compress_and_decompress():
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32))
    config = adqc.Circuit(depth=1, gate="o8", wiring="staircase", stride=2, axes=(32, 8, 8))
    select = {"0": config, "2": adqc.Circuit(depth=2)}
    report = adqc.compress_(model, select=select, fit=adqc.Fit(method="adam", sweeps=3))
    assert len(report.compressed) == 2
    assert all(row.relative_error < 1 for row in report.compressed)
    assert model[0].circuit.config == config
    assert model[0].weight.shape == (32, 64)
    x = torch.randn(4, 64)
    due = model(x)
    adqc.decompress_(model)
    assert type(model[0]) is nn.Linear
    torch.testing.assert_close(model(x), due, rtol=0, atol=1e-5)


def test_stage_1_fits_the_weight_with_the_axes_seen():
    source = adqc.BrickWall((10, 12), adqc.Circuit(depth=2, axes=(10, 3, 4)), dtype=torch.float64)
    target = source().detach()
    wall = adqc.BrickWall((10, 12), source.config, start=source, dtype=torch.float64)
    assert adqc.fit_(wall, target).relative_error < 1e-12
    with torch.no_grad():
        wall.gates.add_(0.01)
    assert adqc.fit_(wall, target, fit=adqc.Fit(sweeps=20)).relative_error < 1e-4
