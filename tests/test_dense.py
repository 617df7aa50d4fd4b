"""Inputs times a weight that has been built, in compiled loops, against torch's own product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from route_suite import TWO_QUBIT
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import adqc
from adqc import linear_at_once, matrix_free
from adqc.engine import dense
from adqc.vectors import count_entries


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make(*shape, bias=True, **options):
    generator = torch.Generator().manual_seed(0)
    circuit = adqc.Circuit(**{"depth": 4, **options})
    layer = adqc.nn.Linear(*shape[::-1], bias, dtype=torch.float64, circuit=circuit, generator=generator)
    with torch.no_grad():
        layer.circuit.scale.fill_(1.75)
    return layer


@pytest.fixture
def seen(monkeypatch):
    """What is multiplied in loops: the shapes of inputs and weights."""
    shapes = []

    def note(module):
        own = module.multiply_inputs

        def multiply_inputs(x, weight, bias):
            shapes.append((x.shape, weight.shape))
            return own(x, weight, bias)

        monkeypatch.setattr(module, "multiply_inputs", multiply_inputs)

    note(dense)
    note(linear_at_once)
    return shapes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("batch", "rows", "columns"), [(16, 16, 16), (17, 33, 40), (64, 19, 700), (40, 130, 19)])
def test_outputs_and_gradients_are_numpys(team, batch, rows, columns, dtype):
    draws = np.random.default_rng(0)
    x, weight, bias = (draws.normal(size=own).astype(dtype) for own in ((batch, columns), (rows, columns), rows))
    grad = draws.normal(size=(batch, rows)).astype(dtype)
    near = {"rtol": 0, "atol": 2e3 * np.finfo(dtype).eps}
    due = grad @ weight, grad.T @ x, grad.sum(0)
    # Also where nothing lies in one stretch.
    for own in (x, np.asfortranarray(x)):
        found, pull = dense.multiply_inputs(own, weight, bias)
        np.testing.assert_allclose(found, x @ weight.T + bias, **near)
        for one, other in zip(pull(grad, (True, True, True)), due, strict=True):
            np.testing.assert_allclose(one, other, **near)
        np.testing.assert_allclose(pull(np.asfortranarray(grad), (True, True, True))[1], due[1], **near)
    found, pull = dense.multiply_inputs(x, weight, None)
    np.testing.assert_allclose(found, x @ weight.T, **near)
    for k in range(3):
        wanted = [k == number for number in range(3)]
        assert [one is not None for one in pull(grad, wanted)] == wanted


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(32,), (2, 9)])
def test_a_product_is_torchs(seen, lead, bias):
    x, weight = draw(*lead, 24).requires_grad_(), draw(11, 24, seed=1).requires_grad_()
    given = (x, weight, draw(11, seed=2).requires_grad_()) if bias else (x, weight)
    found, due = dense.linear(x, weight, given[2] if bias else None), F.linear(*given)
    assert len(seen) == 1
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12)
    grad = draw(*due.shape, seed=3)
    for one, other in zip(*(torch.autograd.grad(y, given, grad) for y in (found, due)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(dense.linear(x, weight, given[2] if bias else None), due, rtol=0, atol=1e-12)


def test_second_derivatives_and_batches_of_gradients():
    given = draw(8, 9).requires_grad_(), draw(8, 9, seed=1).requires_grad_(), draw(8, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(dense.linear, given)
    assert torch.autograd.gradgradcheck(dense.linear, given)
    grads = draw(4, 8, 8, seed=3)
    found, due = (
        torch.autograd.grad(function(*given), given, grads, is_grads_batched=True)
        for function in (dense.linear, F.linear)
    )
    for one, other in zip(found, due, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_what_is_written_into_before_the_backward_pass_is_noticed():
    x, weight = draw(16, 9), draw(8, 9, seed=1).requires_grad_()
    y = dense.linear(x, weight, None)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (draw(3, 40), draw(9, 40)),
        (draw(40, 3), draw(9, 3)),
        (draw(40), draw(9, 40)),
        (draw(40, 40), draw(3, 40)),
        (draw(0, 40), draw(9, 40)),
        (draw(40, 40).bfloat16(), draw(9, 40).bfloat16()),
        (draw(40, 40).to(torch.complex64), draw(9, 40).to(torch.complex64)),
    ],
)
def test_other_products_are_left_to_torch(seen, x, weight):
    assert torch.equal(dense.linear(x, weight, None), F.linear(x, weight))
    assert not seen


@pytest.mark.parametrize(("x", "weight"), [(draw(40, 39), draw(9, 40)), (draw(40, 40).float(), draw(9, 40))])
def test_errors_are_torchs(seen, x, weight):
    with pytest.raises(RuntimeError) as due:
        F.linear(x, weight)
    with pytest.raises(RuntimeError) as found:
        dense.linear(x, weight, None)
    assert str(found.value) == str(due.value)
    assert not seen


@pytest.mark.parametrize("gate", [*TWO_QUBIT, "o8"])
@pytest.mark.parametrize(("shape", "bias"), [((33, 20), True), ((64, 50), False)])
@pytest.mark.parametrize("layout", ["rows-first", "interleaved"])
@pytest.mark.parametrize("batch", [20, 1])
def test_a_layer_that_builds_its_weight(seen, gate, shape, bias, layout, batch):
    layer = make(*shape, bias=bias, gate=gate, layout=layout, route="halves")
    x = draw(2, batch, shape[1], seed=1).requires_grad_()
    given = (*layer.parameters(), x)
    found, due = layer(x), F.linear(x, layer.circuit("gates"), layer.bias)
    # Zeros stand behind inputs that do not fill a vector, where weight and product are one step.
    filled = max(2 * batch, count_entries(8))
    assert seen == ([] if gate == "o8" and filled > 2 * batch else [((filled, shape[1]), shape)])
    assert found.shape == due.shape
    torch.testing.assert_close(found, due, rtol=0, atol=1e-11)
    grad = draw(*due.shape, seed=2)
    for one, other in zip(*(torch.autograd.grad(y, given, grad) for y in (found, due)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def steps(y):
    """The names of the steps of autograd behind a result."""
    found, todo = set(), [y.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.add(node)
            todo += [other for other, _ in node.next_functions]
    return sorted(node.name() for node in found if "Accumulate" not in node.name())


def test_weight_and_product_are_one_step_of_autograd():
    layer = make(20, 12)
    assert steps(layer(draw(16, 12))) == ["_AtOnceBackward"]
    # Where somebody else has made the weight, it is another.
    model = torch.nn.Sequential(make(20, 12), make(9, 20))
    adqc.together_(model)
    assert steps(model(draw(16, 12))) == ["_AtOnceBackward", "_LinearBackward", "_LinearBackward"]


@pytest.mark.parametrize("batch", [8, 3])
def test_second_derivatives_through_weight_and_product(batch):
    layer, x = make(8, 8, depth=2), draw(batch, 8, seed=1).requires_grad_()
    given = [layer.circuit.gates, layer.bias, x]

    def run(gates, bias, x):
        found = linear_at_once.linear_at_once(layer.circuit, gates, layer.circuit.scale, x, bias)
        assert found is not None
        return found

    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


@pytest.mark.parametrize("route", ["halves", "matrix-free"])
def test_a_second_backward_pass_finds_the_same(route):
    layer, x = make(20, 12, route=route), draw(16, 12).requires_grad_()
    y, given = layer(x), (*layer.parameters(), x)
    assert steps(y) == ["_AtOnceBackward"]
    first, second = (torch.autograd.grad(y, given, draw(16, 20, seed=1), retain_graph=True) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("frozen", ["circuit", "bias", "input"])
def test_only_what_is_trained_gets_a_gradient(frozen):
    layer, x = make(20, 12), draw(16, 12).requires_grad_(frozen != "input")
    layer.circuit.requires_grad_(frozen != "circuit")
    layer.bias.requires_grad_(frozen != "bias")
    layer(x).square().sum().backward()
    assert (x.grad is not None) == (frozen != "input")
    assert (layer.bias.grad is not None) == (frozen != "bias")
    assert (layer.circuit.gates.grad is not None) == (frozen != "circuit")


def test_a_weight_that_is_kept_and_a_checkpoint(seen):
    layer, x = make(20, 12), draw(16, 12)
    due = layer(x)
    assert len(seen) == 1
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), due, rtol=0, atol=1e-12)
    assert len(seen) == 2
    # What it shall drop is not kept in arrays.
    torch.testing.assert_close(checkpoint(layer.train(), x, use_reentrant=False), due, rtol=0, atol=1e-12)


def test_autocast_decides_by_itself(seen):
    layer, x = make(20, 12).float(), draw(16, 12).float()
    with torch.autocast("cpu"):
        assert layer(x).dtype == torch.bfloat16
    assert not seen
    assert matrix_free.built_linear(layer, x).dtype == torch.float32
