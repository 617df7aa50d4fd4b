"""What a layer's choice is, and that it can be read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import adqc
from adqc import explanation


def test_large_layers_are_applied_small_ones_built():
    large = adqc.nn.Linear(4096, 4096, circuit=adqc.Circuit(depth=4, layout="rows-first"))
    small = adqc.nn.Linear(64, 64, circuit=adqc.Circuit(depth=4))
    for layer, way in ((large, "matrix-free"), (small, "build")):
        found = adqc.explain(layer, 64, measure=False)
        assert {w.way for w in found.ways if w.chosen} == {way}


@pytest.mark.parametrize(
    ("layer", "batch"),
    [
        (adqc.nn.Linear(32, 24, circuit=adqc.Circuit(depth=3)), 5),
        (adqc.nn.Embedding(50, 16, circuit=adqc.Circuit(depth=3)), 7),
        (adqc.nn.Conv2d(3, 8, 3, circuit=adqc.Circuit(depth=3, layout="rows-first")), torch.randn(2, 3, 6, 6)),
        (adqc.nn.Linear(32, 24, circuit=adqc.Circuit(depth=1, gate="o8", wiring="staircase", stride=2)), 5),
    ],
    ids=["linear", "embedding", "conv", "wide gates"],
)
def test_every_way_is_measured_and_the_layer_left_alone(layer, batch):
    before = copy.deepcopy(layer.state_dict())
    found = adqc.explain(layer, batch)
    situations = {w.situation for w in found.ways}
    assert len(situations) == 3
    for situation in situations:
        ways = [w for w in found.ways if w.situation == situation]
        assert sorted(w.way for w in ways) == ["build", "matrix-free"]
        assert sum(w.chosen for w in ways) == 1
        assert all(w.measured > 0 and w.predicted > 0 for w in ways)
    assert "matrix-free" in str(found)
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize(("batch", "trained"), [(32, False), (torch.randn(8, 4, 512), True)], ids=["layer", "data"])
def test_tiles_are_named_where_they_are_made(batch, trained):
    layer = adqc.nn.Linear(512, 512, circuit=adqc.Circuit(depth=4))
    built = {way.situation: way for way in adqc.explain(layer, batch).ways if way.way == "build"}
    due = {"training step": trained, "inference, built anew": True, "inference, kept": False}
    assert {situation: "tile by tile" in way.note for situation, way in built.items()} == due
    assert all(way.measured > 0 for way in built.values())


def test_an_inputs_gradient_is_taken_where_it_requires_one(monkeypatch):
    asked = []
    measure = explanation._measure
    monkeypatch.setattr(
        explanation, "_measure", lambda layer, x, *given: asked.append(x.requires_grad) or measure(layer, x, *given)
    )
    layer, x = adqc.nn.Linear(16, 16), torch.randn(4, 16)
    for batch, wanted in ((4, True), (x, False), (x.clone().requires_grad_(), True)):
        adqc.explain(layer, batch)
        assert asked
        assert set(asked) == {wanted}
        asked.clear()
    assert not x.requires_grad


def test_it_does_not_matter_whether_gradients_are_switched_off():
    layer = adqc.nn.Linear(12, 20)
    with torch.no_grad():
        assert "training step" in str(adqc.explain(layer, 4))


def test_a_weight_with_other_axes_is_always_built():
    layer = adqc.nn.Linear(32, 24, circuit=adqc.Circuit(depth=2, gate="o8", axes=(24, 4, 8)))
    found = adqc.explain(layer, 5)
    assert [w.way for w in found.ways] == ["build"] * 3
    assert all(w.chosen and w.measured > 0 and w.predicted > 0 for w in found.ways)
    assert "matrix-free" not in str(found)


def test_what_cannot_be_explained():
    with pytest.raises(TypeError, match=r"explain needs a layer of adqc\.nn, got Linear: compress it first"):
        adqc.explain(nn.Linear(3, 3), 1)
    with pytest.raises(ValueError, match="explain needs an input for Conv2d"):
        adqc.explain(adqc.nn.Conv2d(3, 8, 3), 4)
    layer = adqc.nn.Linear(6, 5)
    for batch in (0, -3, True, "x"):
        with pytest.raises(ValueError, match="a number of inputs of at least 1, got"):
            adqc.explain(layer, batch)
    with pytest.raises(ValueError, match=r"Linear takes inputs of shape \(…, 6\), got \(3, 5\)"):
        adqc.explain(layer, torch.randn(3, 5))
