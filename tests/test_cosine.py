"""The cosine basis: its rows, there and back, and circuits that stand for a weight in it."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from scipy.fft import dctn, idctn

import adqc
from adqc import BrickWall, Circuit, Fit, fit_
from adqc.cosine import from_cosines, to_cosines
from adqc.engine.arrange import to_tensor
from adqc.engine.statevector import run_gates
from adqc.qasm import card, from_qasm, to_qasm

AXES, KEPT = (12, 9, 7), (0, 5, 7)
CONFIG = Circuit(depth=3, gate="so4", axes=AXES, frequencies=KEPT)
WIDE = Circuit(depth=1, gate="o8", wiring="staircase", stride=2, axes=AXES, frequencies=KEPT)


def make(config=CONFIG, seed=0, dtype=torch.float64):
    return BrickWall((12, 63), config, std=0.1, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_rows_are_those_of_the_orthonormal_transform():
    for size in (1, 2, 5, 28):
        unit = torch.eye(size, dtype=torch.float64)
        rows = from_cosines(unit, (size, size), (0, size))
        expected = torch.from_numpy(idctn(torch.eye(size, dtype=torch.float64).numpy(), axes=(1,), norm="ortho"))
        assert (rows - expected).abs().max() < 1e-14
        assert (from_cosines(unit[:1, :1], (1, size), (0, 1)) - rows[:1]).abs().max() < 1e-15
    assert from_cosines(torch.eye(2, dtype=torch.bfloat16), (2, 3), (0, 2)).dtype == torch.bfloat16


def test_coefficients_and_entries_are_turned_into_each_other_axis_by_axis():
    tensor = torch.randn(AXES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = to_cosines(tensor, KEPT)
    expected = torch.from_numpy(dctn(tensor.numpy(), axes=(1, 2), norm="ortho"))[:, :5]
    assert (found - expected).abs().max() < 1e-13
    # The nearest tensor of these frequencies: what is left out is at right angles to it.
    nearest = from_cosines(found, AXES, KEPT)
    assert to_cosines(tensor - nearest, KEPT).abs().max() < 1e-13


@pytest.mark.parametrize("config", [CONFIG, WIDE, dataclasses.replace(CONFIG, gate="free")])
@pytest.mark.parametrize("route", adqc.config.ROUTES)
def test_every_route_builds_the_transform_of_the_state(config, route):
    wall = make(config)
    start = wall.state if wall.state is None else wall.state.detach()
    state = run_gates(wall.matrices(), wall.wiring, start)
    coefficients = to_tensor(state.detach(), wall.layout) * wall.scale.detach()
    whole = torch.zeros(AXES, dtype=torch.float64)
    whole[:, :5, :] = coefficients
    expected = torch.from_numpy(idctn(whole.numpy(), axes=(1, 2), norm="ortho")).reshape(12, 63)
    assert (wall(route) - expected).abs().max() < 1e-13


def test_the_start_has_the_deviation_that_was_asked_for():
    found = [make(seed=seed)().detach().square().mean() for seed in range(50)]
    assert torch.stack(found).mean().sqrt() == pytest.approx(0.1, rel=0.1)


def test_a_wall_does_not_grow_from_one_that_sees_its_weight_in_another_basis():
    # Axes and layout of both are the same.
    plain = make(dataclasses.replace(CONFIG, frequencies=(0, 5, 0)))
    assert plain.layout == make().layout
    with pytest.raises(ValueError, match="a wall can start from one with the same shape"):
        BrickWall((12, 63), dataclasses.replace(CONFIG, depth=4), start=plain)
    grown = BrickWall((12, 63), dataclasses.replace(CONFIG, depth=4), start=make(), dtype=torch.float64)
    assert (grown() - make()()).abs().max() < 1e-12


def test_a_small_scale_trains_at_the_rate_of_a_fresh_layer():
    layer = adqc.nn.Linear(63, 12, circuit=dataclasses.replace(CONFIG, frequencies=(0, 1, 7)))
    rates = []
    for _ in range(2):
        groups = {group["name"]: group["lr"] for group in adqc.parameter_groups(layer, circuit_lr=1.0)}
        rates.append(groups["scales"])
        with torch.no_grad():
            layer.circuit.scale.fill_(1e-6)
    assert rates[0] == rates[1] > 1


def test_a_wall_tells_how_it_sees_its_weight():
    assert "shape=(12, 63), axes=(12, 9, 7), frequencies=(0, 5, 7), qubits=10" in repr(make())


def test_layers_compute_with_it_and_gradients_flow():
    for layer, x in (
        (adqc.nn.Linear(63, 12, circuit=CONFIG, dtype=torch.float64), torch.randn(3, 63, dtype=torch.float64)),
        (
            adqc.nn.Conv2d(
                4, 6, 5, circuit=Circuit(depth=2, layout="rows-first", frequencies=(0, 0, 4, 3)), dtype=torch.float64
            ),
            torch.randn(2, 4, 8, 8, dtype=torch.float64),
        ),
    ):
        dense = adqc.decompress_(copy.deepcopy(layer))
        assert (layer(x) - dense(x)).abs().max() < 1e-12
        layer(x).square().sum().backward()
        assert layer.circuit.gates.grad.abs().max() > 0


@pytest.mark.parametrize("config", [CONFIG, WIDE])
def test_stage_one_fits_what_the_frequencies_hold_and_tells_all_that_is_left(config):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(12, 63, dtype=torch.float64, generator=generator)
    wall, told = make(config), []
    result = fit_(wall, target, fit=Fit(sweeps=8), progress=lambda step, total, error: told.append(error))
    left = float((wall().detach() - target).square().sum() / target.square().sum())
    missing = 1 - float(to_cosines(target.reshape(AXES), KEPT).square().sum() / target.square().sum())
    assert result.relative_error == pytest.approx(left, abs=1e-12)
    assert missing < left < result.history[0]
    assert told == list(result.history[1:])
    assert told[-1] == pytest.approx(left, abs=1e-9)
    # A target that it can stand for is found again.
    again = make(config)
    assert fit_(again, wall().detach(), fit=Fit(sweeps=200)).relative_error < 1e-3


def test_a_target_without_these_frequencies_leaves_nothing_to_fit():
    wall = make(dataclasses.replace(CONFIG, frequencies=(0, 1, 0)))
    target = torch.zeros(AXES, dtype=torch.float64)
    target[:, 0], target[:, 1] = 1, -1
    assert fit_(wall, target.reshape(12, 63)).relative_error == pytest.approx(1)


@pytest.mark.parametrize("config", [CONFIG, WIDE])
def test_it_is_kept_by_cards_files_and_other_libraries(config, tmp_path):
    wall = make(config)
    assert Circuit.from_dict(wall.config.to_dict()) == wall.config
    back = from_qasm(to_qasm(wall), card(wall))
    assert back.config == wall.config
    assert (back() - wall()).abs().max() < 1e-12
    model = torch.nn.Sequential(adqc.nn.from_torch(torch.nn.Linear(63, 12, dtype=torch.float64), wall))
    adqc.save(model, tmp_path / "net.safetensors")
    other = adqc.load_(torch.nn.Sequential(torch.nn.Linear(63, 12, dtype=torch.float64)), tmp_path / "net.safetensors")
    assert other[0].circuit.config == wall.config
    assert (adqc.circuit.tensor_from_pennylane(wall) - wall()).abs().max() < 1e-12
    assert adqc.verify(model).passed


def test_walls_of_other_axes_are_not_made_together():
    one = adqc.nn.Linear(63, 12, circuit=CONFIG)
    other = adqc.nn.Linear(63, 12, circuit=dataclasses.replace(CONFIG, axes=(12, 7, 9), frequencies=(0, 5, 7)))
    assert one.circuit.layout == other.circuit.layout
    expected = [layer(torch.ones(63)) for layer in (one, other)]
    model = torch.nn.ModuleDict({"one": one, "other": other})
    model.forward = lambda x: [layer(x) for layer in model.values()]
    adqc.together_(model)
    assert all(map(torch.equal, model(torch.ones(63)), expected))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frequencies": (0, 5)}, "one number for each axis"),
        ({"frequencies": (0, 5, 8)}, "at most its size"),
        ({"frequencies": ()}, "numbers of cosines"),
        ({"frequencies": (0, -1, 2)}, "numbers of cosines"),
        ({"frequencies": "many"}, "numbers of cosines"),
    ],
)
def test_frequencies_that_cannot_be_get_a_sentence(changes, said):
    with pytest.raises(ValueError, match=said):
        make(dataclasses.replace(CONFIG, **changes))
