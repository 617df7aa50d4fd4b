"""What holds for every shape and configuration, over examples that hypothesis draws."""

from __future__ import annotations

import copy
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from route_suite import TWO_QUBIT

import adqc.nn as cnn
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.engine import arrange, statevector
from adqc.gates import FAMILIES
from adqc.geometry import LAYOUTS, WIRINGS, layout, wire

GATES = (*TWO_QUBIT, "o8", "o16")

quick = settings(deadline=None, max_examples=60, derandomize=True, database=None)


@st.composite
def shapes(draw, bits=7):
    """1 to 4 axes, at most 2^bits padded entries."""
    sizes = []
    for _ in range(draw(st.integers(1, 4))):
        sizes.append(draw(st.integers(1, 2**bits)))
        bits -= (sizes[-1] - 1).bit_length()
    return tuple(draw(st.permutations(sizes)))


@st.composite
def circuits(draw, shape, depth=5):
    sites = layout(shape).sites
    gate = draw(st.sampled_from(sorted(name for name in GATES if FAMILIES[name].sites <= max(2, sites))))
    wiring = draw(st.sampled_from(WIRINGS))
    widest = max(1, FAMILIES[gate].sites - 1) if wiring == "staircase" else 1
    order = draw(st.one_of(st.sampled_from(LAYOUTS), st.permutations(range(sites)).map(tuple)))
    return Circuit(
        depth=draw(st.integers(1, depth)),
        gate=gate,
        layout=order,
        wiring=wiring,
        stride=draw(st.integers(1, widest)),
        start=draw(st.sampled_from(["haar", "layered", "near-identity"])),
    )


@st.composite
def walls(draw):
    shape = draw(shapes())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return BrickWall(shape, draw(circuits(shape)), generator=generator, dtype=torch.float64)


def gradients(wall, route):
    return torch.autograd.grad(wall(route).square().sum(), [p for p in wall.parameters() if p.numel()])


@quick
@given(walls())
def test_every_route_gives_the_tensor_and_the_gradients_of_the_oracle(wall):
    expected = wall("gates")
    for route in ("auto", "halves", "fused", "network"):
        torch.testing.assert_close(wall(route), expected, rtol=0, atol=1e-10)
        for mine, other in zip(gradients(wall, route), gradients(wall, "gates"), strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)


@quick
@given(walls())
def test_the_tensor_is_part_of_a_state_of_known_norm(wall):
    state = statevector.run_gates(wall.matrices(), wall.wiring, wall.state).detach()
    tensor = wall().detach()
    assert tensor.shape == wall.shape
    assert tensor.norm() <= wall.scale * state.norm() + 1e-12
    if wall.family.unitary:
        assert abs(state.norm() - 1) < 1e-12


@quick
@given(st.data())
def test_arranging_loses_nothing_inside_the_crop(data):
    shape = data.draw(shapes(bits=10))
    where = layout(shape, data.draw(circuits(shape)).layout)
    tensor = torch.arange(1.0, math.prod(shape) + 1).reshape(shape)
    state = arrange.to_state(tensor, where)
    assert state.shape == (2**where.sites,)
    assert state.count_nonzero() == tensor.numel()
    assert torch.equal(arrange.to_tensor(state, where), tensor)


@quick
@given(st.sampled_from(WIRINGS), st.integers(1, 12), st.integers(1, 9), st.integers(2, 6), st.integers(1, 5))
def test_moments_order_the_gates_and_hold_each_once(kind, sites, depth, width, stride):
    wiring = wire(kind, max(sites, width) if width > 2 else sites, depth, width=width, stride=min(stride, width - 1))
    at = {gate: k for k, moment in enumerate(wiring.moments) for gate in moment}
    assert sorted(at) == list(range(len(wiring.gates)))
    for moment in wiring.moments:
        touched = [site for gate in moment for site in wiring.gates[gate]]
        assert len(touched) == len(set(touched))
    for wire_gates in wiring.wires:
        assert [at[gate] for gate in wire_gates] == sorted({at[gate] for gate in wire_gates})
    for site, wire_gates in enumerate(wiring.wires):
        first = [gate for gate in wire_gates if wiring.fresh[gate][site - wiring.gates[gate][0]]]
        assert first == list(wire_gates[:1])


@quick
@given(walls(), st.integers(0, 3))
def test_growing_keeps_the_tensor(wall, more):
    values = {**wall.config.to_dict(), "depth": wall.config.depth + more}
    grown = BrickWall(wall.shape, Circuit.from_dict(values), start=wall, dtype=torch.float64)
    torch.testing.assert_close(grown(), wall(), rtol=0, atol=1e-12)
    assert grown.parameter_count >= wall.parameter_count


@quick
@given(walls())
def test_configuration_and_state_dict_make_the_same_wall_again(wall):
    twin = BrickWall(wall.shape, Circuit.from_dict(wall.config.to_dict()), dtype=torch.float64)
    twin.load_state_dict(wall.state_dict(), strict=True)
    assert torch.equal(twin(), wall())
    assert torch.equal(copy.deepcopy(wall)(), wall())


@quick
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_linear_layer_is_a_matrix_product(data, inputs, outputs, bias):
    config = data.draw(circuits((outputs, inputs)))
    layer = cnn.Linear(inputs, outputs, bias, circuit=config, dtype=torch.float64)
    x = torch.randn(3, inputs, dtype=torch.float64)
    expected = x @ layer.circuit("gates").T + (layer.bias if bias else 0)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-10)
    back = cnn.to_torch(layer)
    torch.testing.assert_close(back(x), expected, rtol=0, atol=1e-10)
