"""Circuits generated together give what each gives alone."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

import adqc
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
    calls = []
    build = adqc.BrickWall.build
    monkeypatch.setattr(adqc.BrickWall, "build", lambda *a, **k: calls.append(1) or build(*a, **k))
    model(torch.randn(3, 12, dtype=torch.float64))
    assert len(calls) == 2  # the four, and the last one alone


def test_what_is_there_is_not_made_again(monkeypatch):
    config = adqc.Circuit(depth=2, layout="rows-first")
    model = nn.Sequential(*(adqc.nn.Linear(1024, 1024, circuit=config) for _ in range(3)))
    used = []
    pieces = adqc.BrickWall.pieces
    monkeypatch.setattr(adqc.BrickWall, "pieces", lambda *a: used.append(1) or pieces(*a))
    x = torch.randn(2, 1024)
    due = model(x)
    assert len(used) == 3  # alone, each is applied without its weight
    adqc.together_(model)
    torch.testing.assert_close(model(x), due)
    assert len(used) == 3


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
