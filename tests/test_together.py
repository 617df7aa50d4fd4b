"""Circuits generated together give what each gives alone."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

import adqc
from adqc import matrix_free, together
from adqc.gates import FAMILIES


def make(gate="cartan", count=4):
    torch.manual_seed(0)
    config = adqc.Circuit(depth=3, gate=gate)
    layers = [adqc.nn.Linear(12, 12, circuit=config) for _ in range(count)]
    return nn.Sequential(*layers, adqc.nn.Linear(12, 5, circuit=config)).double()


@pytest.mark.parametrize("gate", FAMILIES)
def test_outputs_and_gradients_are_those_of_each_alone(gate):
    model = make(gate)
    other = copy.deepcopy(model)
    adqc.together_(model)
    x = torch.randn(3, 12, dtype=torch.float64)
    for each in (model, other):
        each(x).square().sum().backward()
    torch.testing.assert_close(model(x), other(x), rtol=0, atol=1e-12)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)


def test_layers_of_equal_axes_and_unequal_shapes_go_apart():
    config = adqc.Circuit(depth=2, gate="o8", axes=(12, 12))
    sizes = (12, 12, 12, 16)
    layers = [adqc.nn.Linear(into, 144 // into, circuit=config) for into in sizes]
    # 12 -> 12 -> 12 -> 12, and 16 -> 9 beside it.
    model = nn.Sequential(*layers[:3], nn.ConstantPad1d((0, 4), 1.0), *layers[3:]).double()
    x = torch.randn(3, 12, dtype=torch.float64)
    due = model(x)
    adqc.together_(model)
    torch.testing.assert_close(model(x), due, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gate", ["cartan", "o8"])
def test_one_pass_for_all_of_a_kind(monkeypatch, gate):
    model = make(gate)
    model[1] = copy.deepcopy(model[2])  # a copy is of a kind with its original
    adqc.together_(model)
    # As on other devices.
    monkeypatch.setattr(together, "find_part", lambda *_: None)
    x = torch.randn(3, 12, dtype=torch.float64)
    due = copy.deepcopy(model)(x)
    calls = []
    build = adqc.BrickWall.build
    monkeypatch.setattr(adqc.BrickWall, "build", lambda *a, **k: calls.append(1) or build(*a, **k))
    torch.testing.assert_close(model(x), due, rtol=0, atol=1e-12)
    assert len(calls) == 2  # the four, and the last one alone


def test_layers_that_apply_their_circuit_go_on_to_do_so(monkeypatch):
    config = adqc.Circuit(depth=2, layout="rows-first")
    model = nn.Sequential(*(adqc.nn.Linear(1024, 1024, circuit=config) for _ in range(3)))
    used = []
    own = matrix_free.apply_at_once
    monkeypatch.setattr(matrix_free, "apply_at_once", lambda *a: used.append(1) or own(*a))
    x = torch.randn(2, 1024)
    due = model(x)
    assert len(used) == 3  # alone, each is applied without its weight
    adqc.together_(model)
    torch.testing.assert_close(model(x), due)
    assert len(used) == 6


def test_small_circuits_alike_are_made_in_one_step_of_autograd(monkeypatch):
    model, runs, run = make(), [], together.run_parts
    adqc.together_(model)
    monkeypatch.setattr(together, "run_parts", lambda parts: runs.append(len(parts)) or run(parts))
    monkeypatch.setattr(together, "_generate_alike", lambda walls: pytest.fail("all are small"))
    model(torch.randn(3, 12, dtype=torch.float64))
    assert runs == [5]


def test_nothing_is_left_behind_even_after_an_error():
    model = make()
    adqc.together_(model)
    with pytest.raises(RuntimeError):
        model(torch.randn(3, 11, dtype=torch.float64))
    assert not any(wall.ready for wall in model.modules() if isinstance(wall, adqc.BrickWall))
    with torch.no_grad():
        model[0].circuit.gates.add_(1)
    x = torch.randn(3, 12, dtype=torch.float64)
    torch.testing.assert_close(model(x), copy.deepcopy(model)(x))


def test_remove_and_copies():
    model = make()
    handle = adqc.together_(model)
    twin = copy.deepcopy(model)
    x = torch.randn(3, 12, dtype=torch.float64)
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=1e-12)
    handle.remove()
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=1e-12)


def test_two_threads_use_one_model():
    model = make()
    adqc.together_(model)
    due = {k: make()(torch.full((3, 12), float(k), dtype=torch.float64)) for k in range(4)}
    found: dict[int, list[torch.Tensor]] = {k: [] for k in due}

    def run(k):
        for _ in range(20):
            found[k].append(model(torch.full((3, 12), float(k), dtype=torch.float64)))

    threads = [threading.Thread(target=run, args=(k,)) for k in due]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, outputs in found.items():
        assert len(outputs) == 20
        for output in outputs:
            torch.testing.assert_close(output, due[k], rtol=0, atol=1e-12)


# --- those without a partner --------------------------------------------------------------------------------------


class Unlike(nn.Module):
    """Circuits of three geometries, a layer that is applied without its weight, and one that turns its input."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        wide = adqc.Circuit(depth=1, gate="o8", wiring="staircase", stride=2)
        self.conv = adqc.nn.Conv2d(3, 5, 3, padding=1, circuit=wide)
        self.first = adqc.nn.Linear(5 * 36, 200, circuit=adqc.Circuit(depth=6))
        self.second = adqc.nn.Linear(200, 256, circuit=adqc.Circuit(depth=24))
        self.third = adqc.nn.Linear(256, 2048, circuit=adqc.Circuit(depth=2, layout="rows-first"))
        cosines = adqc.Circuit(depth=3, axes=(10, 64, 32), frequencies=(0, 8, 8))
        self.fourth = adqc.nn.Linear(2048, 10, circuit=cosines)

    def forward(self, x):
        x = self.conv(x).flatten(1)
        for layer in (self.first, self.second, self.third, self.fourth):
            x = layer(x).relu()
        return x


def images():
    return torch.randn(128, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_unlike_circuits_are_made_in_one_step_of_autograd(monkeypatch):
    model, other = Unlike(), Unlike()
    adqc.together_(model)
    runs = []
    run = together.run_parts
    monkeypatch.setattr(together, "run_parts", lambda parts: runs.append(len(parts)) or run(parts))
    x = images()
    found, due = model(x), other(x)
    assert runs == [3]
    # The same calls in another order: nothing may differ.
    assert torch.equal(found, due)
    for each in (found, due):
        each.square().sum().backward()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
    assert not any(wall.ready for wall in model.modules() if isinstance(wall, adqc.BrickWall))
    with torch.no_grad():
        model(x)
    assert runs == [3]


def test_unlike_circuits_in_double_backward_and_with_frozen_ones():
    model, other = Unlike().double(), Unlike().double()
    adqc.together_(model)
    x = images().double()
    found = []
    for each in (model, other):
        each.second.circuit.gates.requires_grad_(False)
        each.conv.circuit.requires_grad_(False)
        leaves = [p for p in each.parameters() if p.requires_grad]
        first = torch.autograd.grad(each(x).square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves, allow_unused=True)
        found.append([*first, *(g for g in second if g is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_unlike_circuits_under_autocast_copied_and_of_another_kind():
    model, other = Unlike(), Unlike()
    adqc.together_(model)
    x = images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), other(x))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for each in (twin, other):
            each.first.circuit.gates.mul_(0.5)
    assert torch.equal(twin(x), other(x))
    assert not torch.equal(model(x), other(x))
    # One of 16 bits is made in steps, beside the others.
    for each in (twin, other):
        each.second.bfloat16()
        each.second.register_forward_pre_hook(lambda layer, inputs: (inputs[0].bfloat16(),))
        each.second.register_forward_hook(lambda layer, inputs, output: output.float())
    assert torch.equal(twin(x), other(x))


def test_alike_circuits_of_which_one_was_converted_are_made_alone():
    model = make()
    adqc.together_(model)
    x = torch.randn(3, 12, dtype=torch.float64)
    due = model(x)
    model[1].float()
    model[1].register_forward_pre_hook(lambda layer, inputs: (inputs[0].float(),))
    model[1].register_forward_hook(lambda layer, inputs, output: output.double())
    torch.testing.assert_close(model(x), due, rtol=0, atol=1e-5)


def test_circuits_that_the_model_does_not_use_have_no_gradients():
    model = Unlike()
    adqc.together_(model)
    x = images()
    model.forward = lambda x: model.first(x.flatten(1)[:, :180])
    model(x.repeat(1, 2, 1, 1)).sum().backward()
    used = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert used == {"first"}


def test_two_losses_of_one_call():
    model, other = Unlike(), Unlike()
    adqc.together_(model)
    for each in (model, other):
        each.forward = lambda x, each=each: (each.first(x.flatten(1)), each.second(torch.ones(128, 200)))
        one, two = each(images().repeat(1, 2, 1, 1)[:, :5])
        one.sum().backward(retain_graph=True)
        two.sum().backward()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)


def test_layers_that_are_put_in_later_go_as_before():
    model, other = Unlike(), Unlike()
    adqc.together_(model)
    torch.manual_seed(1)
    late = adqc.nn.Linear(5 * 36, 200, circuit=adqc.Circuit(depth=3))
    model.first, other.first = late, copy.deepcopy(late)
    assert torch.equal(model(images()), other(images()))
    assert not any(wall.ready for wall in model.modules() if isinstance(wall, adqc.BrickWall))
