"""The paired start: few inputs for every output, on every wiring, and columns as every wide gate has them."""

import pytest
import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.geometry import layout
from adqc.minimal import from_minimal_, isometries, to_minimal
from adqc.paired import find_pairs

# Threes of pairs, the kernel's bits after the first two of them.
KERNEL_INSIDE = (1, 4, 2, 5, 6, 7, 8, 9, 0, 3)
SHAPE = (8, 8, 3, 3)


def make(gate="o16", stride=2, *, shape=SHAPE, order=KERNEL_INSIDE, dtype=torch.float64, seed=0, **options):
    options = {"depth": 1, "wiring": "staircase", **options}
    config = Circuit(gate=gate, stride=stride, layout=order, start="paired", **options)
    return BrickWall(shape, config, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_pairs_are_neighbours_of_the_first_two_axes():
    assert find_pairs(layout((8, 8), "interleaved")) == [(0, 1), (2, 3), (4, 5)]
    assert find_pairs(layout((8, 8), "rows-first")) == [(2, 3)]
    assert find_pairs(layout(SHAPE, KERNEL_INSIDE)) == [(0, 1), (2, 3), (8, 9)]
    assert find_pairs(layout((4, 4), (0, 2, 1, 3))) == [(0, 1), (2, 3)]
    # A site is in one pair only.
    assert find_pairs(layout((4, 2), (0, 2, 1))) == [(0, 1)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("gate", "stride"), [("o8", 1), ("o8", 2), ("o16", 1), ("o16", 2), ("o16", 3), ("o32", 3)])
def test_every_output_sees_one_input_with_a_kernel_of_its_own(gate, stride, seed):
    kernels = make(gate, stride, seed=seed)("gates").detach()
    seen = kernels.abs().amax(dim=(2, 3)) > 1e-12
    torch.testing.assert_close(seen, torch.eye(8, dtype=torch.bool))
    own = torch.stack([kernels[channel, channel].flatten() for channel in range(8)])
    assert torch.linalg.matrix_rank(own) > 1


def test_a_bit_without_a_partner_is_free():
    # Four outputs share each input's two bits.
    seen = make("o8", 1, shape=(8, 2), order=(0, 1, 2, 3))("gates").detach().abs() > 1e-12
    low = torch.arange(8) % 2
    torch.testing.assert_close(seen, low.unsqueeze(1) == torch.arange(2))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("wiring", ["staircase", "brick-wall"])
@pytest.mark.parametrize("route", ["halves", "fused"])
def test_routes_and_gradients_agree_with_the_gates(route, wiring, depth):
    wall = make("o8", 1, wiring=wiring, depth=depth)
    weights = torch.randn(wall.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = {}
    for name in ("gates", route):
        wall.zero_grad()
        value = wall(name)
        (value * weights).sum().backward()
        found[name] = value.detach(), wall.gates.grad.clone()
    for own, oracle in zip(found[route], found["gates"], strict=True):
        torch.testing.assert_close(own, oracle, rtol=0, atol=1e-10)
    assert found[route][1].abs().max() > 1e-3


@pytest.mark.parametrize(("gate", "stride"), [("o8", 1), ("o8", 2), ("o16", 1), ("o16", 2), ("o32", 3)])
def test_stored_columns_are_orthonormal(gate, stride):
    for isometry in isometries(make(gate, stride)):
        unit = torch.eye(isometry.shape[1], dtype=torch.float64)
        torch.testing.assert_close(isometry.mT @ isometry, unit, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_stored_in_the_fewest_numbers(dtype):
    wall = make(
        shape=(128, 128, 3, 3), order=(3, 10, 4, 11, 5, 12, 6, 13, 14, 15, 16, 17, 0, 7, 1, 8, 2, 9), dtype=dtype
    )
    again = from_minimal_(make(shape=wall.shape, order=wall.layout.order, dtype=dtype, seed=5), to_minimal(wall))
    torch.testing.assert_close(again(), wall(), rtol=0, atol=1e-4 * wall().abs().max().item())


def test_the_generator_decides():
    assert torch.equal(make(seed=3).gates, make(seed=3).gates)
    assert not torch.equal(make(seed=3).gates, make(seed=4).gates)


def test_a_default_device_does_not_reach_the_draws():
    with torch.device("meta"):
        wall = make(gate="o8", stride=1)
    assert wall.gates.device.type == "meta"


def test_it_says_what_it_needs():
    with pytest.raises(ValueError, match=r"start='paired' is for wide gates: expected gate 'o8', .*, got 'cartan'"):
        Circuit(start="paired")
    with pytest.raises(ValueError, match="neighbouring qubits of the first two axes, and this layout has none"):
        make("o8", 1, shape=(16,), order="interleaved")
