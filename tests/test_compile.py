"""torch.compile without graph breaks, torch.export, CUDA graphs: each way from circuit to output."""

from __future__ import annotations

import pytest
import torch

import adqc
from adqc import constants

WAYS = [
    ("halves", "cartan", "interleaved", 4),
    ("auto", "cartan", "interleaved", 12),
    ("fused", "su4", "rows-first", 4),
    ("auto", "so4", "interleaved", 3),
    ("matrix-free", "cartan", "interleaved", 4),
    ("matrix-free", "free", "rows-first", 4),
    ("matrix-free", "cartan-su4", "interleaved", 3),
    ("auto", "o8", "interleaved", 2),
    ("matrix-free", "o16", "rows-first", 1),
    ("auto", "o8", "rows-first", 2, (29, 4, 8)),
    ("auto", "o16", "interleaved", 1, None, None, "staircase"),
    ("matrix-free", "o16", "rows-first", 1, None, None, "staircase"),
    ("auto", "o8", "rows-first", 1, (29, 4, 8), (0, 3, 4), "staircase"),
]


def make(route, gate, order, depth, axes=None, frequencies=None, wiring="brick-wall"):
    config = adqc.Circuit(
        depth=depth, gate=gate, layout=order, route=route, wiring=wiring, axes=axes, frequencies=frequencies
    )
    return adqc.nn.Linear(32, 29, circuit=config, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_compile_in_one_graph(way):
    torch._dynamo.reset()
    layer, x = make(*way), torch.randn(4, 32)
    # The graph is traced as for the default backend; generating C++ for it is torch's own business.
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    grads = []
    for run in (compiled, layer):
        layer.zero_grad()
        y = run(x)
        y.square().sum().backward()
        grads.append((y.detach(), layer.circuit.gates.grad.clone()))
    for found, due in zip(*grads, strict=True):
        torch.testing.assert_close(found, due, rtol=1e-4, atol=1e-4)
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("route", ["auto", "matrix-free"])
def test_compile_a_convolution_in_one_graph(route):
    torch._dynamo.reset()
    config = adqc.Circuit(depth=2, layout="rows-first", route=route)
    layer, x = adqc.nn.Conv2d(4, 6, 3, stride=2, circuit=config), torch.randn(2, 4, 7, 6)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_export(way):
    layer, x = make(*way).eval(), torch.randn(4, 32)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x), rtol=0, atol=1e-5)
    # Nothing that was made while tracing stays behind.
    torch.testing.assert_close(layer(x), make(*way)(x), rtol=0, atol=1e-5)


def test_fake_tensors_are_not_kept():
    layer = make(*WAYS[0])
    constants._kept.cache_clear()
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(layer.circuit.gates)
        params = {"gates": fake, "scale": mode.from_tensor(layer.circuit.scale)}
        torch.func.functional_call(layer.circuit, params, ())
    assert type(layer.circuit()) is torch.Tensor


def test_inference_mode_leaves_constants_that_train():
    constants._kept.cache_clear()
    layer, x = make(*WAYS[0]), torch.randn(4, 32)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.circuit.gates.grad is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_cuda_graph(way):
    layer, x = make(*way).cuda().eval(), torch.randn(4, 32, device="cuda")
    with torch.no_grad():
        due = layer.train()(x)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            layer(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = layer(x)
        graph.replay()
    torch.testing.assert_close(found, due, rtol=0, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_cuda_values_and_gradients(way, dtype):
    layer = make(*way).to(dtype)
    x = torch.randn(4, 32, dtype=dtype)
    found = []
    for device in ("cpu", "cuda"):
        copy = make(*way).to(device, dtype)
        copy.load_state_dict(layer.state_dict())
        y = copy(x.to(device))
        y.float().square().sum().backward()
        found.append((y.detach().cpu().double(), copy.circuit.gates.grad.cpu().double()))
    tolerance = 1e-9 if dtype == torch.float64 else 5e-2
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item())
