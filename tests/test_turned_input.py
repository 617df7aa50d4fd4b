"""Linear layers that turn their input into coefficients of cosines, against torch's own with the oracle's weight."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_matrix_free import GATES, compare
from torch.nn import functional as F

import adqc
from adqc.matrix_free import turns_input

CONFIG = adqc.Circuit(depth=2, axes=(24, 9, 7), frequencies=(0, 4, 2))


def make(config=CONFIG, seed=0):
    return adqc.nn.Linear(63, 24, circuit=config, generator=torch.Generator().manual_seed(seed)).double()


def batch(*sizes, seed=1):
    return torch.randn(*sizes, 63, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(layer, x):
    return F.linear(x, layer.circuit("gates"), layer.bias)


@pytest.fixture
def turned(monkeypatch):
    """How often an input was turned."""
    calls = []
    own = adqc.matrix_free.turned_linear
    monkeypatch.setattr(adqc.matrix_free, "turned_linear", lambda *given: calls.append(1) or own(*given))
    return calls


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(
    ("axes", "frequencies"),
    [((24, 9, 7), (0, 4, 2)), ((24, 9, 7), (0, 0, 2)), ((24, 3, 3, 7), (0, 2, 0, 2)), ((24, 63), (0, 8))],
)
@pytest.mark.parametrize("sizes", [(3,), (2, 5), ()])
def test_values_and_gradients(gate, axes, frequencies, sizes, turned):
    config = dataclasses.replace(CONFIG, gate=gate, axes=axes, frequencies=frequencies)
    compare(make(config), batch(*sizes), lambda weight, bias, x: F.linear(x, weight, bias))
    assert turned


@pytest.mark.parametrize(
    ("config", "count", "turns"),
    [
        (CONFIG, 1, True),
        (CONFIG, 64, True),
        (dataclasses.replace(CONFIG, frequencies=(0, 2, 1)), 4096, True),
        (dataclasses.replace(CONFIG, route="halves"), 1, False),
        # Outputs are no places of the input.
        (dataclasses.replace(CONFIG, axes=(4, 6, 63), frequencies=(0, 0, 8)), 1, False),
        (dataclasses.replace(CONFIG, frequencies=(8, 4, 2)), 1, False),
        # All frequencies kept: to turn many inputs would only take longer than to turn the few rows.
        (dataclasses.replace(CONFIG, frequencies=(0, 9, 7)), 4096, False),
        (dataclasses.replace(CONFIG, axes=None, frequencies=None), 1, False),
    ],
)
def test_it_is_done_where_it_costs_less(config, count, turns, turned):
    layer = make(config)
    assert turns_input(layer.circuit, count, kept=False, training=True) == turns
    x = batch(count)
    assert (layer(x) - dense(layer, x)).abs().max() < 1e-12
    assert bool(turned) == turns


def test_what_is_kept_follows_the_parameters(turned, monkeypatch):
    config = dataclasses.replace(CONFIG, axes=(512, 9, 7))
    layer = adqc.nn.Linear(63, 512, circuit=config).double().eval()
    x = batch(64)
    built = []
    own = adqc.BrickWall.coefficients
    monkeypatch.setattr(adqc.BrickWall, "coefficients", lambda wall: built.append(1) or own(wall))
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))
        assert len(built) == 1
        layer.circuit.gates.add_(0.5)
        assert (layer(x) - dense(layer, x)).abs().max() < 1e-12
    assert (len(built), len(turned)) == (2, 3)


def test_gradients_of_gradients_and_of_single_samples(turned):
    layer, x = make(), batch(3).requires_grad_()
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *numbers):
        return torch.func.functional_call(layer, dict(zip(names, numbers, strict=True)), (x,))

    numbers = tuple(value.detach().clone().requires_grad_() for value in values)
    assert torch.autograd.gradgradcheck(run, (x, *numbers))
    parameters = dict(zip(names, numbers, strict=True))

    def loss(parameters, sample):
        return torch.func.functional_call(layer, parameters, (sample,)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x.detach())
    for at, sample in enumerate(x.detach()):
        layer.zero_grad()
        loss(dict(layer.named_parameters()), sample).backward()
        torch.testing.assert_close(found["circuit.gates"][at], layer.circuit.gates.grad, rtol=0, atol=1e-10)
    assert turned


def test_autocast():
    layer, x = make().float(), batch(6).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), dense(layer, x), rtol=0, atol=3e-2)


def test_inputs_that_do_not_fit_are_refused_as_by_torch():
    layer = make()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        layer(torch.zeros(3, 62, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="dtype"):
        layer(torch.zeros(3, 63))
    assert layer(batch(0)).shape == (0, 24)


def test_layers_made_together_go_on_to_turn_their_input(turned):
    model = torch.nn.ModuleList([make(seed=0), make(seed=1)])
    model.forward = lambda x: [layer(x) for layer in model]
    x = batch(4)
    expected = [dense(layer, x) for layer in model]
    adqc.together_(model)
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(model(x), expected, strict=True))
    assert len(turned) == 2


def test_explain_tells_of_it():
    found = adqc.explain(make(), 5)
    assert [way.way for way in found.ways] == ["build", "turned input"] * 3
    assert all(way.measured > 0 and way.predicted > 0 for way in found.ways)
    # Five inputs are too few to pay where the weight is kept.
    assert [way.chosen for way in found.ways] == [False, True, False, True, True, False]
    assert "8 coefficients of cosines" in str(found)
