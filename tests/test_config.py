"""What a user chooses: checked when it is made, and the same after a round trip through plain values."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from adqc.config import FIT_METHODS, ROUTES, STARTS, Circuit, Fit
from adqc.gates import FAMILIES
from adqc.geometry import layout, wire
from adqc.user_gates import gate_family


def _rotations(p, wires):
    import pennylane as qml

    qml.RY(p[0], wires[0])
    qml.CNOT(wires)
    qml.RY(p[1], wires[1])


@pytest.mark.parametrize("config", [
    Circuit(),
    *(Circuit(gate=name) for name in FAMILIES),
    *(Circuit(gate="o8", start=name) for name in STARTS),
    *(Circuit(route=name) for name in ROUTES),
    Circuit(depth=1, layout=(2, 0, 1), wiring="staircase"),
    Circuit(layout="rows-first"),
    Circuit(gate="o16", wiring="staircase", stride=3),
    Circuit(axes=(256, 28, 28)),
    Circuit(gate="o8", wiring="staircase", stride=2, axes=[2, 3], layout=(1, 0, 2)),
])  # fmt: skip
def test_round_trip_through_json(config):
    assert Circuit.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_round_trip_of_a_user_family():
    family = gate_family("ry-cx", 2, _rotations)
    config = Circuit(gate=family)
    values = json.loads(json.dumps(config.to_dict()))
    assert Circuit.from_dict(values, families=(family,)) == config
    with pytest.raises(ValueError, match="'ry-cx', which is not built in: pass it in families="):
        Circuit.from_dict(values)


def test_from_dict_fills_defaults_and_refuses_unknown_fields():
    assert Circuit.from_dict({"depth": 3}) == Circuit(depth=3)
    with pytest.raises(ValueError, match="no field 'width': use depth, gate"):
        Circuit.from_dict({"width": 3})


def test_what_a_circuit_does_not_use_is_not_told():
    # Files and cards that are older than these fields stay as they are, bit by bit.
    assert list(Circuit().to_dict()) == ["depth", "gate", "layout", "wiring", "start", "route"]
    values = Circuit(gate="o8", wiring="staircase", stride=2, axes=(4, 6)).to_dict()
    assert (values["stride"], values["axes"]) == (2, [4, 6])


def test_axes_are_kept_as_whole_numbers():
    assert Circuit(axes=[torch.tensor(4), np.int64(6)]).axes == (4, 6)
    assert type(Circuit(axes=[np.int64(6)]).axes[0]) is int
    assert hash(Circuit(axes=[4, 6])) == hash(Circuit(axes=(4, 6)))


def test_arrange_and_wire_are_what_the_wall_has():
    config = Circuit(depth=2, gate="o8", wiring="staircase", stride=2, axes=(4, 3, 7))
    where = config.arrange((12, 7))
    assert where == layout((4, 3, 7))
    assert config.wire(where.sites) == wire("staircase", 7, 2, width=3, stride=2)


def test_fit_round_trip():
    for method in FIT_METHODS:
        fit = Fit(sweeps=7, method=method, grow=False)
        assert Fit(**json.loads(json.dumps(dataclasses.asdict(fit)))) == fit


def test_a_configuration_is_frozen_and_hashable():
    config = Circuit(layout=[1, 0])
    assert config.layout == (1, 0)
    assert len({config, Circuit(layout=(1, 0)), Circuit()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depth = 3


@pytest.mark.parametrize(("values", "message"), [
    ({"depth": 0}, "depth .* whole number .* got 0"),
    ({"depth": -1}, "got -1"),
    ({"depth": 2.0}, "got 2.0"),
    ({"depth": True}, "got True"),
    ({"gate": "so5"}, "unknown gate 'so5': use one of cartan, so4"),
    ({"gate": ["so4"]}, r"unknown gate \['so4'\]"),
    ({"gate": None}, "unknown gate None"),
    ({"layout": "spiral"}, "unknown layout 'spiral': use one of interleaved, grouped, rows-first"),
    ({"layout": (0, 0)}, r"permutation .* got \(0, 0\)"),
    ({"layout": (1, 2)}, r"permutation .* got \(1, 2\)"),
    ({"layout": (0.0, 1.0)}, r"permutation .* got \(0.0, 1.0\)"),
    ({"layout": ()}, r"permutation .* got \(\)"),
    ({"layout": 5}, "permutation .* got 5"),
    ({"wiring": "ring"}, "unknown wiring 'ring': use one of brick-wall, staircase"),
    ({"start": "cold"}, "unknown start 'cold': use one of auto, haar"),
    ({"stride": 2}, "expected 1 to 1 for gate 'cartan', got 2"),
    ({"stride": 0}, "expected 1 to 1 for gate 'cartan', got 0"),
    ({"stride": 3, "gate": "o8", "wiring": "staircase"}, "in common: expected 1 to 2 for gate 'o8', got 3"),
    ({"stride": 1.0}, "got 1.0"),
    ({"stride": True}, "got True"),
    ({"stride": 2, "gate": "o8"}, "stride=2 is for the wiring 'staircase', got 'brick-wall'"),
    ({"axes": ()}, r"sizes of at least 1, .* got \(\)"),
    ({"axes": (4, 0)}, r"got \(4, 0\)"),
    ({"axes": (4, -2)}, r"got \(4, -2\)"),
    ({"axes": (4, 2.0)}, r"got \(4, 2.0\)"),
    ({"axes": 12}, "got 12"),
    ({"axes": "flat"}, "got 'flat'"),
    ({"route": "scenic"}, "unknown route 'scenic': use one of auto, halves"),
])  # fmt: skip
def test_bad_circuits_get_one_sentence(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        Circuit(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("values", "message"), [
    ({"method": "sgd"}, "unknown fit method 'sgd': use one of polar, adam, lbfgs"),
    ({"sweeps": -1}, "sweeps .* got -1"),
    ({"sweeps": 1.5}, "sweeps .* got 1.5"),
    ({"tolerance": -1e-3}, "tolerance must be >= 0"),
    ({"tolerance": float("nan")}, "tolerance=nan"),
    ({"lr": 0.0}, "lr > 0"),
    ({"lr": float("inf")}, "lr=inf"),
])  # fmt: skip
def test_bad_fits_get_one_sentence(values, message):
    with pytest.raises(ValueError, match=message):
        Fit(**values)
