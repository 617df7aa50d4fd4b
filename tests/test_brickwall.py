"""The wall: counts, starts, types, devices, and what bad input gets."""

from __future__ import annotations

import copy
import math
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from route_suite import CASES, TWO_QUBIT, WIDE_CASES, Case, make_wall

from adqc import engine, memory
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.engine import statevector
from adqc.gates import FAMILIES
from adqc.geometry import LAYOUTS, WIRINGS
from adqc.user_gates import gate_family

GATES = (*TWO_QUBIT, "o8", "o16")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- counts and states ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", range(1, 8))
@pytest.mark.parametrize("sites", [1, 2, 3, 6, 7])
def test_parameter_counts_of_a_brick_wall(sites, depth):
    even, odd = sites // 2, (sites - 1) // 2
    gates = (depth + 1) // 2 * even + depth // 2 * odd
    # An odd chain's last site meets its first gate in the second layer.
    edges = 1 if sites % 2 and sites > 1 and depth > 1 else 0
    expected = {
        "cartan": 4 * gates - even + 1,
        "so4": 6 * gates + 1,
        "cartan-su4": 9 * gates - 2 * even - edges + 1,
        "su4": 15 * gates + 1,
        "free": 16 * gates + 2 * sites + 1,
    }
    for name, count in expected.items():
        wall = BrickWall((2**sites,) if sites > 1 else (2,), Circuit(depth=depth, gate=name))
        assert wall.parameter_count == count == sum(p.numel() for p in wall.parameters()), name


@pytest.mark.parametrize(
    ("name", "first", "edge", "inner"),
    [("cartan", 3, 4, 4), ("so4", 6, 6, 6), ("cartan-su4", 7, 8, 9), ("su4", 15, 15, 15), ("free", 16, 16, 16)],
)
def test_parameter_counts_of_a_staircase(name, first, edge, inner):
    for sites, depth in ((4, 1), (4, 3), (5, 2)):
        wall = BrickWall((2**sites,), Circuit(depth=depth, gate=name, wiring="staircase"))
        state = 2 * sites if name == "free" else 0
        rest = (depth - 1) * (sites - 1) * inner
        assert wall.parameter_count == first + (sites - 2) * edge + rest + state + 1


def test_the_default_of_the_first_page():
    wall = BrickWall((256, 784))
    assert (wall.sites, len(wall.wiring.gates), wall.parameter_count) == (18, 51, 196)


@pytest.mark.parametrize("case", [*CASES[::4], *WIDE_CASES[::4]], ids=str)
def test_the_state_has_norm_one_and_real_amplitudes_where_promised(case):
    wall = make_wall(case).double()
    state = statevector.run_gates(wall.matrices(), wall.wiring)
    assert state.is_complex() is not wall.family.real
    if wall.family.unitary:
        torch.testing.assert_close(state.norm(), torch.ones((), dtype=torch.float64), rtol=0, atol=1e-12)


# --- starts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("start", ["haar", "layered", "near-identity"])
def test_the_same_generator_gives_the_same_wall(gate, start):
    config = Circuit(depth=3, gate=gate, start=start)
    one, same, other = (BrickWall((5, 3), config, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one(), same())
    assert not torch.equal(one(), other())
    torch.manual_seed(1)
    assert torch.equal(BrickWall((5, 3), config).gates, one.gates)


@pytest.mark.parametrize("gate", GATES)
def test_starts_put_the_random_gates_where_they_say(gate):
    eye = torch.eye(2 ** FAMILIES[gate].sites, dtype=torch.complex128)

    shape = (32,) if gate in TWO_QUBIT else (512,)

    def distances(start, depth):
        wall = BrickWall(shape, Circuit(depth=depth, gate=gate, start=start), generator=seeded(), dtype=torch.float64)
        gates = wall.matrices().detach().to(eye.dtype)
        # What a gate does not store is zero.
        far = torch.where(gates.abs().sum(1, keepdim=True) > 0, gates - eye, 0).abs().amax((1, 2))
        layers = torch.tensor(wall.wiring.layer_of)
        return [far[layers == layer].max().item() for layer in range(depth)]

    assert max(distances("near-identity", 4)) < 0.7 < min(distances("haar", 4))
    layered = distances("layered", 5)
    assert max(layered[2:]) < 0.7 < min(layered[:2])
    assert distances("auto", 7) == distances("haar", 7)


@pytest.mark.parametrize("start", ["haar", "layered"])
@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("gate", [*TWO_QUBIT, "o8"])
def test_entries_start_with_the_standard_deviation_asked_for(gate, wiring, start):
    config = Circuit(depth=4, gate=gate, wiring=wiring, start=start)
    # Over the cropped entries of many walls; standard errors lie between 0.01 and 0.03.
    squares = [BrickWall((5, 11), config, std=0.3, generator=seeded(k))().detach().square().mean() for k in range(200)]
    assert abs(math.sqrt(torch.stack(squares).mean()) / 0.3 - 1) < 0.08


def test_without_a_standard_deviation_the_norm_is_one():
    assert abs(BrickWall((4, 8))().norm() - 1) < 1e-6


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("gate", GATES)
def test_a_deeper_wall_starts_with_the_same_tensor(gate, wiring):
    small = make_wall(Case(gate, wiring, "interleaved", 2, (5, 6)))
    for depth in (2, 3, 6):
        grown = BrickWall((5, 6), Circuit(depth=depth, gate=gate, wiring=wiring), start=small, dtype=torch.float64)
        torch.testing.assert_close(grown(), small(), rtol=0, atol=1e-12)
        assert grown.scale == small.scale
    assert grown.gates.data_ptr() != small.gates.data_ptr()


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ((6, 5), {}),
        ((5, 6), {"gate": "so4"}),
        ((5, 6), {"wiring": "staircase"}),
        ((5, 6), {"layout": "rows-first"}),
        ((5, 6), {"depth": 1}),
    ],
    ids=str,
)
def test_a_wall_starts_only_from_one_that_fits(shape, values):
    small = BrickWall((5, 6), Circuit(depth=2))
    with pytest.raises(ValueError, match="same shape, layout, wiring and gate and at most its depth") as caught:
        BrickWall(shape, Circuit(**{"depth": 3, **values}), start=small)
    assert "\n" not in str(caught.value)


def _ry_cz(p, wires):
    import pennylane as qml

    qml.RY(p[0], wires[0])
    qml.RY(p[1], wires[1])
    qml.CZ(wires)


def test_growing_needs_a_family_that_knows_its_identity():
    family = gate_family("ry-cz", 2, _ry_cz)
    small = BrickWall((4, 4), Circuit(depth=2, gate=family))
    torch.testing.assert_close(BrickWall((4, 4), Circuit(depth=2, gate=family), start=small)(), small())
    with pytest.raises(ValueError, match=r"identity's parameters .* 'ry-cz'"):
        BrickWall((4, 4), Circuit(depth=3, gate=family), start=small)


# --- axes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["cartan", "o8"])
@pytest.mark.parametrize(
    ("shape", "axes"), [((10, 12), (10, 3, 4)), ((6, 5, 2), (6, 10)), ((9,), (3, 3)), ((4, 4), (16,))], ids=str
)
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("route", ["auto", "halves", "fused", "network", "gates"])
def test_with_axes_the_tensor_is_that_of_their_shape(gate, shape, axes, order, route):
    config = Circuit(depth=2, gate=gate, layout=order)
    seen = BrickWall(axes, config, std=0.5, generator=seeded(), dtype=torch.float64)
    wall = BrickWall(shape, replace(config, axes=axes), std=0.5, generator=seeded(), dtype=torch.float64)
    assert wall.shape == wall(route).shape == shape
    assert wall.layout.shape == axes
    assert wall.sites == seen.sites
    assert torch.equal(wall.gates, seen.gates)
    assert torch.equal(wall.scale, seen.scale)
    assert torch.equal(wall(route), seen(route).reshape(shape))
    # Not the tensor of the weight's own axes.
    if order == "interleaved" and seen.sites == BrickWall(shape, config).sites:
        assert wall.layout != BrickWall(shape, config).layout


def test_axes_take_their_own_number_of_qubits():
    # 9 entries take 4 qubits, 3 by 3 take 2 each; 256 by 784 take 18, with the image's rows and columns too.
    assert BrickWall((9,)).sites == 4
    assert BrickWall((12, 12), Circuit(axes=(9, 16))).sites == 8
    assert BrickWall((8, 25), Circuit(axes=(200,))).sites == 8
    assert BrickWall((256, 784), Circuit(axes=(256, 28, 28))).sites == 18


def test_a_wall_with_axes_goes_out_and_in():
    wall = BrickWall((10, 12), Circuit(depth=2, axes=(10, 3, 4)), dtype=torch.float64)
    for twin in (copy.deepcopy(wall), pickle.loads(pickle.dumps(wall))):
        assert torch.equal(twin(), wall())
        assert (twin.config, twin.layout, twin.shape) == (wall.config, wall.layout, wall.shape)
    deeper = BrickWall((10, 12), Circuit(depth=4, axes=(10, 3, 4)), start=wall, dtype=torch.float64)
    torch.testing.assert_close(deeper(), wall(), rtol=0, atol=1e-12)
    for other in (Circuit(depth=4), Circuit(depth=4, axes=(2, 5, 12))):
        with pytest.raises(ValueError, match="same shape, layout, wiring and gate"):
            BrickWall((10, 12), other, start=wall)
    with pytest.raises(ValueError, match="same shape, layout, wiring and gate"):
        BrickWall((12, 10), wall.config, start=wall)


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*CASES[1::6], *WIDE_CASES[1::6]], ids=str)
def test_gate_parameters_go_out_and_in(case):
    wall, other = make_wall(case), make_wall(case, seed=1)
    params = wall.gate_parameters()
    assert params.shape == (len(wall.wiring.gates), wall.family.parameters)
    assert other.set_gate_parameters_(params) is other
    assert torch.equal(other.gates, wall.gates)


def test_bad_gate_parameters_leave_the_wall_as_it_was():
    wall = BrickWall((4, 4), Circuit(depth=2))
    before = wall.gates.clone()
    good = wall.gate_parameters().detach()
    redundant, broken = good.clone(), good.clone()
    redundant[0, 1] = 0.5
    broken[1, 2] = math.nan
    for params, message in (
        (good[:-1], r"shape \(3, 4\) \(gates, parameters\), got \(2, 4\)"),
        (redundant, "must be zero"),
        (broken, "finite, got NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            wall.set_gate_parameters_(params)
        assert torch.equal(wall.gates, before)


@pytest.mark.parametrize("gate", GATES)
def test_state_dict_deepcopy_and_pickle_keep_the_tensor(gate):
    wall = make_wall(Case(gate, "brick-wall", "interleaved", 3, (5, 3)))
    names = {"gates", "scale", *(["state"] if gate == "free" else [])}
    assert set(wall.state_dict()) == names == {name for name, _ in wall.named_parameters()}
    other = BrickWall((5, 3), wall.config, dtype=torch.float64)
    other.load_state_dict(wall.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(wall), pickle.loads(pickle.dumps(wall))):
        assert torch.equal(twin(), wall())
        assert twin.config == wall.config
        assert twin.family == wall.family


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_tensor_has_the_type_of_the_parameters(dtype):
    wall = BrickWall((3, 5), Circuit(gate="free", depth=2), dtype=dtype)
    assert {p.dtype for p in wall.parameters()} == {dtype}
    assert wall().dtype == dtype
    assert wall.double()().dtype == torch.float64


def test_torchs_default_type_is_the_default():
    assert BrickWall((2, 2))().dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert BrickWall((2, 2))().dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_autocast_begins_behind_the_weight():
    wall = BrickWall((16, 16), generator=seeded())
    expected = wall()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for route in ("halves", "fused", "network", "gates"):
            torch.testing.assert_close(wall(route), expected, rtol=0, atol=1e-6)
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("by", ["argument", "context"])
def test_a_wall_on_the_meta_device_is_filled_later(gate, by):
    source = BrickWall((5, 6), Circuit(gate=gate, depth=3))

    def empty():
        if by == "argument":
            return BrickWall((5, 6), source.config, device="meta")
        with torch.device("meta"):
            return BrickWall((5, 6), source.config)

    assert {p.device.type for p in empty().parameters()} == {"meta"}
    moved = empty()
    # Looking at it there must not leave anything behind.
    assert moved.gate_parameters().device.type == "meta"
    moved.to_empty(device="cpu")
    moved.load_state_dict(source.state_dict())
    assigned = empty()
    assigned.load_state_dict(source.state_dict(), assign=True)
    for wall in (moved, assigned):
        assert torch.equal(wall(), source())
        assert torch.equal(wall.gate_parameters(), source.gate_parameters())


def test_repr_says_what_matters():
    text = repr(BrickWall((256, 784)))
    for part in ("shape=(256, 784)", "qubits=18", "gate='cartan'", "depth=6", "gates=51", "parameters=196"):
        assert part in text


# --- what bad input gets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BrickWall((4, 0)), r"at least one entry, got shape \(4, 0\)"),
        (lambda: BrickWall(()), r"at least one entry, got shape \(\)"),
        (lambda: BrickWall((4, 4), Circuit(layout=(1, 0))), r"permutation of 0…3, got \(1, 0\)"),
        (
            lambda: BrickWall((4, 4), Circuit(axes=(2, 2, 2))),
            r"axes \(2, 2, 2\) hold 8 entries, but the weight of shape \(4, 4\) has 16",
        ),
        (lambda: BrickWall((4, 4), Circuit(axes=(2, 8), layout=(1, 0))), r"permutation of 0…3, got \(1, 0\)"),
        (lambda: BrickWall((2, 2), Circuit(gate="o8")), "gates on 3 qubits need a weight of at least 8 entries, got 2"),
        (lambda: BrickWall((4, 4), dtype=torch.int64), "floating point, got dtype torch.int64"),
        (lambda: BrickWall((4, 4), dtype=torch.complex64), "floating point, got dtype torch.complex64"),
        (
            lambda: BrickWall((4, 4))("scenic"),
            "unknown route 'scenic': use one of auto, halves, fused, matrix-free, network, gates",
        ),
    ],
)
def test_bad_walls_get_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("route", ["auto", "halves", "fused", "network", "gates"])
def test_a_wall_too_large_for_memory_is_refused_before_it_is_built(route, monkeypatch):
    wall = BrickWall((2**25, 3 * 2**24), Circuit(depth=2))
    monkeypatch.setattr(engine, "build", lambda *_, **__: pytest.fail("memory was asked for"))
    with pytest.raises(MemoryError, match=re.escape(f"on 51 qubits needs {2**51 * 4:,} bytes, but cpu has")) as caught:
        wall(route)
    assert "\n" not in str(caught.value)
    assert "(33554432, 50331648)" in str(caught.value)


def test_the_limit_counts_the_bytes_of_an_entry(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**31)
    like = torch.zeros(1)
    memory.check_memory(BrickWall((2**14, 2**14)).layout, like)
    with pytest.raises(MemoryError, match=f"{2**31:,} bytes"):
        memory.check_memory(BrickWall((2**14, 2**14)).layout, like.double())


def test_import_is_cheap():
    heavy = ["pennylane", "quimb", "cotengra", "matplotlib", "rich", "typer", "accelerate", "psutil", "scipy"]
    code = (
        "import sys, torch; before = set(sys.modules); import adqc; "
        f"print(sorted(set({heavy}) & (set(sys.modules) - before)), torch.cuda.is_initialized())"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[] False", run.stdout + run.stderr
