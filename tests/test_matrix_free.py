"""Layers that apply their circuit without building the weight, against torch's own with the oracle's weight."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from route_suite import TWO_QUBIT
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import adqc
from adqc import arrays, linear_at_once
from adqc.engine import apply_loops, chain
from adqc.engine.apply import apply_chain
from adqc.engine.chain import is_ordered
from adqc.engine.split import cut
from adqc.geometry import LAYOUTS, WIRINGS, layout
from adqc.matrix_free import choose


def circuit(**options):
    return adqc.Circuit(**{"depth": 4, "route": "matrix-free", **options})


def compare(layer, x, expected):
    """Output and gradients of a layer against those of ``expected(weight, bias)``, in float64."""
    layer = layer.double()
    with torch.no_grad():
        layer.circuit.scale.fill_(1.75)
    inputs = [p for p in layer.parameters() if p.numel()]
    if x.is_floating_point():
        x = x.double().requires_grad_()
        inputs.append(x)
    found = layer(x)
    due = expected(layer.circuit("gates"), getattr(layer, "bias", None), x)
    assert found.shape == due.shape
    assert found.dtype == due.dtype
    torch.testing.assert_close(found, due, rtol=0, atol=1e-10 * max(1, due.abs().max().item()))
    seed = torch.randn(due.shape, generator=torch.Generator().manual_seed(1), dtype=due.dtype)
    for a, b in zip(*(torch.autograd.grad(y, inputs, seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * max(1, b.abs().max().item()))


GATES = (*TWO_QUBIT, "o8")
GRID = list(itertools.product(GATES, WIRINGS, LAYOUTS))


@pytest.mark.parametrize(("gate", "wiring", "order"), GRID)
@pytest.mark.parametrize(("shape", "depth", "batch"), [((12, 20), 3, 5), ((33, 7), 2, 1), ((64, 50), 5, 40)])
def test_linear(gate, wiring, order, shape, depth, batch):
    out, into = shape
    generator = torch.Generator().manual_seed(0)
    options = circuit(gate=gate, wiring=wiring, layout=order, depth=depth)
    layer = adqc.nn.Linear(into, out, circuit=options, generator=generator)
    x = torch.randn(2, batch, into, generator=generator)
    compare(layer, x, lambda weight, bias, x: F.linear(x, weight, bias))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("places", [(6,), (4, 8), (3, 6, 9)])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_number_of_pieces_and_both_directions(gate, places, backwards):
    wall = adqc.BrickWall((60, 50), adqc.Circuit(depth=4, gate=gate), dtype=torch.float64)
    split = cut(wall.wiring, places)
    plan = chain._finish(wall.wiring, wall.layout, split, 3, backwards, "linear", wall.family.real)
    assert len(plan.rows) == len(places) + 1
    x = torch.randn(3, 50, dtype=torch.float64)
    found = apply_chain(x, wall.pieces(plan), plan, 60)
    torch.testing.assert_close(found, F.linear(x, wall("gates")), rtol=0, atol=1e-10)


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize("places", [(6,), (4, 8), (3, 6, 9)])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("frozen", [(), ("x",), ("circuit",)], ids=str)
def test_a_batch_in_parts(gate, places, backwards, frozen, monkeypatch):
    wall = adqc.BrickWall((60, 50), adqc.Circuit(depth=4, gate=gate), dtype=torch.float64)
    split = cut(wall.wiring, places)
    compare_parts(
        wall, chain._finish(wall.wiring, wall.layout, split, 8, backwards, "linear", wall.family.real), frozen,
        monkeypatch,
    )  # fmt: skip


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("frozen", [(), ("x",), ("circuit",)], ids=str)
def test_a_batch_in_parts_with_a_gate_between_the_pieces(depth, frozen, monkeypatch):
    wall = adqc.BrickWall((60, 50), adqc.Circuit(depth=depth, layout="interleaved"), dtype=torch.float64)
    for crossing in chain._find_crossings(wall.wiring, wall.layout):
        compare_parts(wall, chain._finish_crossing(wall.wiring, wall.layout, crossing, 8), frozen, monkeypatch)


def compare_parts(wall, plan, frozen, monkeypatch):
    monkeypatch.setattr(apply_loops, "AT_MOST", 0)
    monkeypatch.setattr(apply_loops, "LEAST", 3)
    x = torch.randn(8, 50, dtype=torch.float64).requires_grad_("x" not in frozen)
    wall.requires_grad_("circuit" not in frozen)
    leaves = [leaf for leaf in (x, *wall.parameters()) if leaf.requires_grad]
    ways = (apply_chain(x, wall.pieces(plan), plan, 60), F.linear(x, wall("gates")))
    assert "InParts" in ways[0].grad_fn.name()
    grads = [torch.autograd.grad(y.square().sum(), leaves, create_graph=True) for y in ways]
    # The first derivatives with and without a graph, and the second ones.
    plain = [torch.autograd.grad(y.square().sum(), leaves, retain_graph=True) for y in ways]
    seconds = [torch.autograd.grad(sum(g.square().sum() for g in own), leaves) for own in grads]
    torch.testing.assert_close(*ways, rtol=0, atol=1e-10)
    for found, due in (grads, plain, seconds):
        for a, b in zip(found, due, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture
def _no_pairs(monkeypatch):
    """Chains as if two pieces had no loops of their own."""
    monkeypatch.setattr(chain, "_find_crossings", lambda *given: [])
    monkeypatch.setattr(apply_loops, "suits_pair", lambda own: False)
    monkeypatch.setattr(apply_loops, "suits_thin", lambda own, itemsize: False)
    chain._make_chain.cache_clear()
    yield
    chain._make_chain.cache_clear()


@pytest.mark.usefixtures("_no_pairs")
@pytest.mark.parametrize("kept", [0, 2**30])
@pytest.mark.parametrize("gate", ["cartan", "cartan-su4", "free"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_batch_in_parts_in_one_step(kept, gate, order, dtype, monkeypatch):
    for name, value in (("KEPT", kept), ("AT_MOST", 0), ("LEAST", 16)):
        monkeypatch.setattr(apply_loops, name, value)
    runs = []
    own = apply_loops._operands
    monkeypatch.setattr(apply_loops, "_operands", lambda *given: runs.append(len(given[0])) or own(*given))
    settings = circuit(depth=3, gate=gate, layout=order, route="matrix-free")
    layer = adqc.nn.Linear(100, 90, circuit=settings, dtype=dtype)
    # Neither in one stretch nor a multiple of what fills a vector, but for the parts ahead of the last.
    wide = torch.randn(75, 200, dtype=dtype)
    x = wide[:, ::2].requires_grad_()
    y = layer(x)
    assert "AtOnce" in y.grad_fn.name()
    forward = len(runs)
    assert forward > 1
    assert sum(runs) == 75
    assert all(size % 16 == 0 for size in runs[:-1])
    leaves = [*layer.parameters(), x]
    weight = layer.circuit("gates")
    due = F.linear(x, weight, layer.bias)
    seed = torch.randn(90, 75, dtype=dtype).T
    rounding = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(y, due, rtol=0, atol=rounding)
    # Twice, as what has been kept must be there the second time.
    for _ in range(2):
        runs.clear()
        found = torch.autograd.grad(y, leaves, seed, retain_graph=True)
        assert len(runs) == (0 if kept else forward)
        for a, b in zip(found, torch.autograd.grad(due, leaves, seed, retain_graph=True), strict=True):
            torch.testing.assert_close(a, b, rtol=rounding, atol=rounding * max(1, b.abs().max().item()))
    x = x.detach()
    found = torch.autograd.grad(layer(x), leaves[:-1], seed)
    for a, b in zip(found, torch.autograd.grad(due, leaves[:-1], seed), strict=True):
        torch.testing.assert_close(a, b, rtol=rounding, atol=rounding * max(1, b.abs().max().item()))
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), due.detach(), rtol=0, atol=rounding)


def test_sums_over_many_parts_keep_their_digits(monkeypatch):
    wall = adqc.BrickWall((32, 32), adqc.Circuit(depth=3), generator=torch.Generator().manual_seed(0))
    plan = chain._finish(wall.wiring, wall.layout, cut(wall.wiring, (4,)), 8, False, "linear", True)
    x = torch.randn(2048, 32, generator=torch.Generator().manual_seed(1))
    pieces = [piece.detach() for piece in wall.pieces(plan)]

    def gradients(dtype):
        leaves = [piece.to(dtype).requires_grad_() for piece in pieces]
        y = apply_chain(x.to(dtype), leaves, plan, 32)
        return torch.autograd.grad(y, leaves, x.to(dtype))

    due = gradients(torch.float64)
    whole = gradients(torch.bfloat16)
    monkeypatch.setattr(apply_loops, "AT_MOST", 0)
    monkeypatch.setattr(apply_loops, "LEAST", 2)
    parts = gradients(torch.bfloat16)
    for a, b, exact in zip(parts, whole, due, strict=True):
        assert (a - exact).norm() < 1.5 * (b - exact).norm() + 0.004 * exact.norm()


def test_batches_of_other_sizes_share_what_is_kept(monkeypatch):
    layer = adqc.nn.Linear(256, 256, circuit=circuit(layout="rows-first")).eval()
    built = []
    pieces = adqc.BrickWall.pieces
    monkeypatch.setattr(adqc.BrickWall, "pieces", lambda self, plan: built.append(plan) or pieces(self, plan))
    plans = {}
    with torch.no_grad():
        for batch in (1, 2, 4, 8, 16, 32, 64):
            layer(torch.randn(batch, 256))
            plan = adqc.matrix_free.find_chain(layer.circuit, batch, use="linear", kept=True)
            plans[plan.rows, plan.columns, plan.bonds, plan.backwards] = plan
    assert len(built) == len(plans) < 7


def test_parts_need_little_memory(monkeypatch):
    kept = []
    monkeypatch.setattr(apply_loops, "AT_MOST", 2**16)
    layer = adqc.nn.Linear(256, 256, circuit=circuit())
    x = torch.randn(512, 256)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        layer(x)
    assert max(kept) <= x.nbytes


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        ("Conv1d", (9,), {"stride": 2, "padding": 1}),
        ("Conv2d", (6, 7), {"padding": "same", "padding_mode": "circular"}),
        ("Conv2d", (7, 6), {"stride": (2, 1), "dilation": 2, "padding": 2, "bias": False}),
        ("Conv3d", (4, 5, 3), {"padding": 1}),
    ],
)
def test_conv(gate, wiring, kind, sizes, options):
    generator = torch.Generator().manual_seed(0)
    settings = circuit(gate=gate, wiring=wiring, layout="rows-first", depth=3)
    layer = getattr(adqc.nn, kind)(5, 12, 3, circuit=settings, generator=generator, **options)
    x = torch.randn(2, 5, *sizes, generator=generator)
    compare(layer, x, lambda weight, bias, x: layer._conv_forward(x, weight, bias))


@pytest.mark.parametrize(("gate", "wiring", "order"), GRID)
@pytest.mark.parametrize("padding", [None, 3])
def test_embedding(gate, wiring, order, padding):
    generator = torch.Generator().manual_seed(0)
    settings = circuit(gate=gate, wiring=wiring, layout=order, depth=3)
    layer = adqc.nn.Embedding(21, 10, padding_idx=padding, circuit=settings, generator=generator)
    x = torch.randint(0, 21, (4, 7), generator=generator)
    x[0, :2] = 3

    def expected(weight, _, x):
        if padding is not None:
            weight = weight.index_fill(0, torch.tensor([padding]), 0)
        return F.embedding(x, weight, padding)

    compare(layer, x, expected)


@pytest.mark.parametrize("index", [-1, 21])
def test_an_index_that_is_not_there(index):
    layer = adqc.nn.Embedding(21, 10, circuit=circuit())
    with pytest.raises(IndexError, match=r"an index must lie in 0…20, got"):
        layer(torch.tensor([2, index]))


def test_what_cannot_be_applied_says_so():
    conv = adqc.nn.Conv2d(4, 8, 3, circuit=circuit(layout="interleaved"))
    with pytest.raises(ValueError, match="layout='rows-first' for a convolution"):
        conv(torch.zeros(1, 4, 5, 5))
    linear = adqc.nn.Linear(8, 6, circuit=circuit(axes=(6, 2, 4)))
    with pytest.raises(ValueError, match=r"shape \(6, 8\), .* cannot be .* own axes without frequencies"):
        linear(torch.zeros(1, 8))
    order = (3, 1, 0, 2)
    linear = adqc.nn.Linear(4, 4, circuit=circuit(layout=order))
    assert not is_ordered(layout((4, 4), order))
    with pytest.raises(ValueError, match="cannot be applied without its weight"):
        linear(torch.zeros(1, 4))


def test_a_wrong_input_is_refused_as_by_torch():
    layer = adqc.nn.Linear(12, 5, circuit=circuit())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        layer(torch.zeros(3, 11))


def test_eval_keeps_the_pieces_until_a_parameter_changes(monkeypatch):
    layer = adqc.nn.Linear(20, 12, circuit=circuit()).eval()
    calls = []
    build = adqc.BrickWall.pieces
    monkeypatch.setattr(adqc.BrickWall, "pieces", lambda *a: calls.append(1) or build(*a))
    x = torch.randn(3, 20)
    with torch.no_grad():
        first = layer(x)
        assert torch.equal(layer(x), first)
        assert len(calls) == 1
        layer.circuit.gates.add_(0.5)
        changed = layer(x)
        assert len(calls) == 2
        torch.testing.assert_close(changed, F.linear(x, layer.circuit("gates"), layer.bias), rtol=0, atol=1e-5)
        layer.load_state_dict(layer.state_dict())
        layer(x)
        assert len(calls) == 3
    layer(x)
    assert len(calls) == 4


def test_what_is_kept_is_bounded():
    layer = adqc.nn.Linear(64, 64, circuit=circuit()).eval()
    with torch.no_grad():
        for batch in (1, 4, 16, 64, 256, 1024, 4096):
            layer(torch.randn(batch, 64))
    assert len(layer.__dict__["_adqc_kept"]) <= 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    layer = adqc.nn.Linear(40, 24, circuit=circuit())
    x = torch.randn(6, 40)
    with torch.autocast("cpu", dtype):
        y = layer(x)
        y.float().square().sum().backward()
    assert y.dtype == dtype
    assert layer.circuit.gates.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), F.linear(x, layer.circuit("gates"), layer.bias), rtol=0, atol=3e-2)


def test_gradients_of_gradients():
    layer = adqc.nn.Linear(6, 5, circuit=circuit(depth=2)).double()
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *numbers):
        return torch.func.functional_call(layer, dict(zip(names, numbers, strict=True)), (x,))

    numbers = tuple(value.detach().clone().requires_grad_() for value in values)
    assert torch.autograd.gradcheck(run, (x, *numbers))
    assert torch.autograd.gradgradcheck(run, (x, *numbers))


@pytest.mark.parametrize(
    ("order", "batch", "seen"),
    [("interleaved", 1, 0), *(("interleaved", batch, 1) for batch in (2, 9, 16, 40, 16 * 2**7)), ("rows-first", 1, 1)],
)
def test_a_batch_that_fills_vectors_goes_in_one_step(monkeypatch, order, batch, seen):
    used = []
    own = linear_at_once.apply_arrays
    monkeypatch.setattr(linear_at_once, "apply_arrays", lambda *given, **more: used.append(1) or own(*given, **more))
    layer = adqc.nn.Linear(120, 100, circuit=circuit(layout=order), dtype=torch.float64)
    x = torch.randn(batch, 120, dtype=torch.float64)
    y = layer(x)
    assert len(used) == seen
    assert y.is_contiguous() or not seen
    torch.testing.assert_close(y, F.linear(x, layer.circuit("gates"), layer.bias), rtol=0, atol=1e-12)
    # What is kept is applied by itself, and under a checkpoint all go in steps.
    used.clear()
    checkpoint(layer, x, use_reentrant=False).sum().backward()
    with torch.no_grad():
        layer.eval()(x)
    assert not used


def test_gradients_of_gradients_of_one_step():
    layer = adqc.nn.Linear(6, 5, circuit=circuit(depth=2)).double()
    x = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)
    numbers = tuple(value.detach().clone().requires_grad_() for value in values)

    def run(x, *numbers):
        return torch.func.functional_call(layer, dict(zip(names, numbers, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *numbers), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(run, (x, *numbers))


def test_a_layer_in_threads_of_torch(three_threads):
    layer = adqc.nn.Linear(40, 50, circuit=circuit(depth=5))
    compare(layer, torch.randn(24, 40), lambda weight, bias, x: F.linear(x, weight, bias))


def test_vmap_over_models_and_per_sample_gradients():
    layer = adqc.nn.Linear(12, 7, circuit=circuit()).double()
    x = torch.randn(5, 12, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def loss(parameters, sample):
        return torch.func.functional_call(layer, parameters, (sample.unsqueeze(0),)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for at, sample in enumerate(x):
        layer.zero_grad()
        loss(parameters, sample).backward()
        torch.testing.assert_close(found["circuit.gates"][at], layer.circuit.gates.grad, rtol=0, atol=1e-10)


def test_small_layers_build_their_weight_and_large_ones_do_not():
    small = adqc.BrickWall((64, 64), adqc.Circuit(depth=4))
    large = adqc.BrickWall((4096, 4096), adqc.Circuit(depth=4, layout="rows-first"))
    for training in (False, True):
        assert choose(small, 256, use="linear", kept=not training, training=training) is None
        assert choose(large, 64, use="linear", kept=not training, training=training) is not None


def test_between_them_batch_depth_and_training_decide():
    def applies(depth, batch, training):
        wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=depth))
        return choose(wall, batch, use="linear", kept=False, training=training) is not None

    # A training step takes more passes through some chains than through a weight.
    assert (applies(1, 8, False), applies(1, 8, True)) == (True, False)
    assert applies(6, 64, True)
    assert applies(4, 1024, True)
    assert not applies(6, 256, True)
    assert not applies(8, 64, True)


def test_a_bias_of_many_under_no_grad():
    layer = adqc.nn.Linear(64, 48, circuit=circuit(layout="rows-first"), dtype=torch.float64)
    x, biases = torch.randn(3, 64, dtype=torch.float64), torch.randn(4, 48, dtype=torch.float64)
    before = layer.bias.detach().clone()
    with torch.no_grad():
        found = torch.func.vmap(lambda bias: torch.func.functional_call(layer, {"bias": bias}, (x,)))(biases)
        for own, bias in zip(found, biases, strict=True):
            torch.testing.assert_close(own, layer(x) - layer.bias + bias, rtol=0, atol=1e-12)
    assert torch.equal(layer.bias, before)


def test_a_layer_too_large_to_build_runs():
    layer = adqc.nn.Linear(2**18, 2**18, bias=False, circuit=adqc.Circuit(depth=2))
    with pytest.raises(MemoryError):
        _ = layer.weight
    y = layer(torch.randn(2, 2**18))
    y.square().mean().backward()
    assert layer.circuit.gates.grad.isfinite().all()


def test_pieces_too_large_for_memory_are_refused_before_they_are_tried():
    layer = adqc.nn.Linear(64, 64, circuit=circuit(depth=60))
    with pytest.raises(MemoryError, match=r"building the pieces of shape \(64, 64\).*use route='auto' or less depth"):
        layer(torch.zeros(1, 64))


def test_what_is_kept_follows_dtype_and_assignment():
    layer = adqc.nn.Linear(20, 12, circuit=circuit()).eval()
    x = torch.randn(5, 20)
    other = adqc.nn.Linear(20, 12, circuit=circuit())
    with torch.no_grad():
        layer(x)
        assert layer.double()(x.double()).dtype == torch.float64
        layer.float().load_state_dict(other.state_dict(), assign=True)
        torch.testing.assert_close(layer(x), other(x), rtol=0, atol=1e-5)


def test_threads_share_a_layer_whose_parameters_change():
    layer = adqc.nn.Linear(20, 12, circuit=circuit()).double().eval()
    x = torch.randn(5, 20, dtype=torch.float64)
    wrong = []

    def run():
        with torch.no_grad():
            for _ in range(30):
                low = layer.circuit.scale.item()
                y = layer(x)
                high = layer.circuit.scale.item()
                # The scale only grows, so the output lies between those of the scales before and after.
                sizes = (y - layer.bias).norm() / unit
                wrong.append(not low - 1e-9 <= sizes <= high + 1e-9)

    threads = [threading.Thread(target=run) for _ in range(4)]
    with torch.no_grad():
        layer.circuit.scale.fill_(1.0)
        unit = F.linear(x, layer.circuit("gates")).norm()
        for thread in threads:
            thread.start()
        for _ in range(50):
            layer.circuit.scale.add_(0.01)
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert not any(wrong)


def test_an_input_of_another_type_is_told():
    layer = adqc.nn.Linear(12, 5, circuit=circuit())
    with pytest.raises(RuntimeError, match=r"circuit is in torch.float32 got an input in torch.float64: convert one"):
        layer(torch.zeros(3, 12, dtype=torch.float64))


@pytest.mark.parametrize("small", [0, arrays.SMALL])
def test_second_derivatives_where_some_pieces_depend_on_nothing_that_is_trained(small, monkeypatch):
    # Only the first piece depends on the scale.
    monkeypatch.setattr(arrays, "SMALL", small)
    config = adqc.Circuit(depth=4, layout="rows-first", route="matrix-free")
    layer = adqc.nn.Linear(64, 48, circuit=config, dtype=torch.float64)
    layer.circuit.gates.requires_grad_(False)
    x = torch.randn(3, 64, dtype=torch.float64)
    scale = layer.circuit.scale
    (first,) = torch.autograd.grad((layer(x) - layer.bias).square().sum(), scale, create_graph=True)
    (second,) = torch.autograd.grad(first, scale)
    # A square of the scale: its first derivative is its second one times the scale.
    torch.testing.assert_close(first, second * scale)
