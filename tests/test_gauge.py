import math

import pytest
import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.engine.statevector import run_gates
from adqc.gates import CARTAN, CARTAN_SU4, FREE, SO4, SU4
from adqc.gauge import convert, coordinates
from adqc.geometry import wire
from adqc.user_gates import gate_family

PAIRS = (
    ("so4", "cartan"),
    ("cartan", "so4"),
    ("su4", "cartan-su4"),
    ("cartan-su4", "su4"),
    ("cartan", "cartan-su4"),
    ("so4", "su4"),
    ("cartan", "free"),
)
CNOT = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.float64)
SWAP = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)


def random_wall(size, depth, gate, wiring, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return BrickWall((size,), Circuit(depth=depth, gate=gate, wiring=wiring), generator=generator, dtype=torch.float64)


def haar(count, kind, seed=0):
    generator = torch.Generator().manual_seed(seed)
    fresh = torch.zeros(count, 2, dtype=torch.bool)
    family = SO4 if kind == "real" else SU4
    gates = family.matrices(family.random(fresh, generator))
    if kind == "real":
        return gates
    return gates * torch.exp(6j * torch.rand(count, 1, 1, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize(("old", "new"), PAIRS)
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
def test_conversion_keeps_the_tensor(old, new, wiring):
    for sites in range(1, 10):
        for depth in range(1, 8) if sites in (3, 6) else (1, 2, 5):
            wall = random_wall(2**sites, depth, old, wiring, seed=sites + depth)
            made = convert(wall, new)
            assert made.config.family.name == new
            assert (made("gates") - wall("gates")).abs().max() < 1e-13


@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
def test_there_and_back(wiring):
    for old, new in (("so4", "cartan"), ("su4", "cartan-su4")):
        wall = random_wall(2**6, 4, old, wiring)
        back = convert(convert(wall, new), old)
        assert back.config.family == wall.config.family
        assert (back() - wall()).abs().max() < 1e-13


def test_minimal_walls_store_fewer_parameters():
    for wiring in ("brick-wall", "staircase"):
        for sites in (2, 5, 8):
            wall = convert(random_wall(2**sites, 3, "so4", wiring), "cartan")
            first = sum(all(fresh) for fresh in wall.wiring.fresh)
            assert wall.gates.numel() == 4 * len(wall.wiring.gates) - first


@pytest.mark.parametrize("start", ["haar", "layered", "near-identity"])
@pytest.mark.parametrize(("old", "new"), PAIRS[:4])
def test_conversion_of_every_start(start, old, new):
    config = Circuit(depth=5, gate=old, start=start)
    wall = BrickWall((5, 6, 3), config, std=0.1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert (convert(wall, new)() - wall()).abs().max() < 1e-13


def special_gates():
    eye = torch.eye(4, dtype=torch.float64)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    real = [eye, -eye, torch.kron(turn, turn), torch.kron(turn, torch.eye(2)), torch.kron(torch.eye(2), turn)]
    flips = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
    real += [flips, CNOT @ SWAP, SWAP @ torch.diag(torch.tensor([1.0, 1, 1, -1], dtype=torch.float64))]
    for exponent in (-3, -8, -12, -15):
        noise = torch.randn(6, generator=torch.Generator().manual_seed(-exponent), dtype=torch.float64)
        real.append(SO4.matrices(10.0**exponent * noise))
        real.append(real[5] @ SO4.matrices(10.0**exponent * noise))
    phase = torch.diag(torch.exp(1j * torch.tensor([0.1, 0.1, 0.1, 0.1]).double()))
    entangler = SU4.matrices(torch.tensor([0.0] * 4 + [math.pi / 4] + [0.0] * 10).double())
    quarter = SU4.matrices(torch.tensor([0.0] * 4 + [math.pi / 8] + [0.0] * 4 + [math.pi / 8] + [0.0] * 5).double())
    unitary = [CNOT, SWAP, phase, entangler, quarter, CNOT @ SWAP @ CNOT, torch.diag(torch.tensor([1, 1, 1, 1j]))]
    for exponent in (-3, -8, -12, -15):
        noise = torch.randn(15, generator=torch.Generator().manual_seed(-exponent), dtype=torch.float64)
        near = SU4.matrices(10.0**exponent * noise)
        unitary += [near, CNOT.to(near.dtype) @ near, near @ SWAP.to(near.dtype)]
    return real, [gate.to(torch.complex128) for gate in real + unitary]


@pytest.mark.parametrize("family", [CARTAN, SO4, CARTAN_SU4, SU4], ids=lambda family: family.name)
@pytest.mark.parametrize(("sites", "depth"), [(2, 1), (2, 2), (3, 2), (3, 3), (4, 3)])
def test_special_gates(family, sites, depth):
    real, unitary = special_gates()
    for kind in ("brick-wall", "staircase"):
        wiring = wire(kind, sites, depth)
        for k, special in enumerate(real if family.real else unitary):
            gates = haar(len(wiring.gates), "real" if family.real else "complex", seed=k)
            for place in range(len(gates) + 1):
                # The special gate alone in a random circuit; at the end, everywhere.
                mixed = gates.clone()
                mixed[slice(place, place + 1) if place < len(gates) else slice(None)] = special
                found = family.matrices(coordinates(family, wiring, mixed))
                assert (run_gates(found, wiring) - run_gates(mixed, wiring)).abs().max() < 1e-12


def test_improper_real_gates_on_fresh_wires():
    # CZ has determinant -1; on |0> its last column meets no state.
    wiring = wire("staircase", 4, 1)
    gates = torch.diag(torch.tensor([1.0, 1, 1, -1], dtype=torch.float64)) @ haar(3, "real")
    for family in (CARTAN, SO4):
        found = family.matrices(coordinates(family, wiring, gates))
        assert (run_gates(found, wiring) - run_gates(gates, wiring)).abs().max() < 1e-13


def test_walls_of_user_families_convert():
    import pennylane as qml

    family = gate_family("ry-cz", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)])
    wall = random_wall(2**4, 1, family, "staircase")
    assert (convert(wall, "cartan")() - wall()).abs().max() < 1e-13
    deep = random_wall(2**4, 2, family, "staircase")
    assert (convert(deep, "cartan-su4")() - deep()).abs().max() < 1e-13
    with pytest.raises(ValueError, match=r"gate 5 on sites \(2, 3\) cannot become 'cartan': its determinant is -1"):
        convert(deep, "cartan")
    with pytest.raises(ValueError, match="'ry-cz' gives no parameters"):
        convert(random_wall(4, 1, "cartan", "staircase"), family)


def test_conversion_leaves_the_wall_and_the_global_generator():
    wall = random_wall(2**5, 3, "so4", "brick-wall")
    before, state = wall.gates.detach().clone(), torch.get_rng_state()
    convert(wall, "cartan")
    assert torch.equal(wall.gates, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_conversion_keeps_dtype_and_scale():
    wall = BrickWall((7, 9), Circuit(gate="so4"), std=0.3, generator=torch.Generator().manual_seed(0))
    made = convert(wall, "cartan")
    assert made.scale.dtype == torch.float32
    assert torch.equal(made.scale, wall.scale)
    assert (made() - wall()).abs().max() < 1e-5
    same = convert(wall, "so4")
    assert torch.equal(same.gates, wall.gates)


def test_what_cannot_be_converted():
    with pytest.raises(ValueError, match="gate family 'cartan' is real, but the gates are complex"):
        convert(random_wall(8, 2, "su4", "brick-wall"), "cartan")
    with pytest.raises(ValueError, match="not a unitary circuit"):
        convert(random_wall(8, 2, "free", "brick-wall"), "cartan")
    wiring = wire("brick-wall", 3, 2)
    with pytest.raises(ValueError, match="is unitary, but the gates are not"):
        coordinates(CARTAN, wiring, 2 * haar(2, "real"))
    assert coordinates(FREE, wiring, 2 * haar(2, "real")).shape == (2, 16)
