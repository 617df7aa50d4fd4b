"""Wide gates: orthogonal whatever the entries are, stored by the columns that fresh wires let through."""

from __future__ import annotations

import functools
import math
from itertools import pairwise

import pennylane as qml
import pytest
import torch

from adqc import arrays, orthogonal
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.gates import WIDE
from adqc.geometry import WIRINGS, wire
from adqc.orthogonal import complete, orthonormalise, stored_arrays

NAMES = [family.name for family in WIDE]


def entries(size: int, count: int = 5) -> torch.Tensor:
    return torch.randn(count, size, size, dtype=torch.float64)


def close_to_orthogonal(gates: torch.Tensor, atol: float = 1e-12) -> None:
    unit = torch.eye(gates.shape[-1], dtype=gates.dtype).expand_as(gates)
    torch.testing.assert_close(gates @ gates.mT, unit, rtol=0, atol=atol)


# --- the matrix ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4, 8, 16, 32, 64])
def test_gram_schmidt_takes_the_columns_in_their_order_and_leaves_zero_ones(size):
    given = entries(size)
    given[:, :, 3::4] = 0
    found = orthonormalise(given)
    # The textbook's: what is left of a column beside those ahead of it, as a unit vector in its own direction.
    made: list[torch.Tensor] = []
    for column in range(size):
        rest = given[:, :, column]
        if column % 4 == 3:
            assert not found[:, :, column].any()
            continue
        for _ in range(2):  # once more for the digits lost
            for other in made:
                rest = rest - (rest * other).sum(1, keepdim=True) * other
        made.append(rest / rest.norm(dim=1, keepdim=True))
        torch.testing.assert_close(found[:, :, column], made[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("empty", [slice(0, 0), slice(1, None, 2), slice(1, None), slice(None)])
def test_zero_columns_are_completed_to_an_orthogonal_gate(empty):
    given = entries(8)
    given[:, :, empty] = 0
    gates = orthonormalise(given)
    full = complete(gates)
    close_to_orthogonal(full)
    filled = gates.any(dim=1, keepdim=True)
    assert torch.equal(torch.where(filled, full, 0), gates)


def test_an_orthogonal_matrix_stays_as_it_is_and_scaling_a_column_changes_nothing():
    gates = orthonormalise(entries(16))
    torch.testing.assert_close(orthonormalise(gates), gates, rtol=0, atol=1e-13)
    given = entries(16)
    torch.testing.assert_close(
        orthonormalise(given * torch.rand(16, dtype=torch.float64).add(0.1)), orthonormalise(given), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("open_wires", [0, 1, 2])
def test_a_gate_stores_the_columns_that_fresh_wires_let_through(open_wires):
    (family, *_) = WIDE
    kept = list(family.stored([k >= open_wires for k in range(3)]))
    assert len(kept) == 8 * 2**open_wires
    assert sorted({k % 8 for k in kept}) == list(range(0, 8, 2 ** (3 - open_wires)))


@pytest.mark.parametrize("kind", WIRINGS)
@pytest.mark.parametrize("width", [3, 4, 5, 6])
def test_fresh_wires_are_always_a_gates_last(kind, width):
    for sites in range(width, 20):
        for stride in range(1, width if kind == "staircase" else 2):
            for fresh in wire(kind, sites, 3, width=width, stride=stride).fresh:
                assert list(fresh) == sorted(fresh), (sites, stride)


@pytest.mark.parametrize("family", WIDE, ids=NAMES)
def test_a_gate_is_pennylanes_qubit_unitary(family):
    wires = list(range(family.sites))
    params = entries(2**family.sites, 1)[0].flatten()
    (operation,) = qml.tape.make_qscript(family.operations)(params, wires).operations
    assert isinstance(operation, qml.QubitUnitary)
    assert operation.wires.tolist() == wires
    torch.testing.assert_close(torch.as_tensor(operation.matrix()), family.matrices(params), rtol=0, atol=1e-13)


# --- starts -------------------------------------------------------------------------------------------------------


def test_the_start_has_the_moments_of_the_haar_measure():
    (family, *_) = WIDE
    count = 20000
    fresh = torch.zeros(count, 3, dtype=torch.bool)
    gates = family.matrices(family.random(fresh, torch.Generator().manual_seed(0)))
    trace = gates.diagonal(dim1=1, dim2=2).sum(-1)
    # On O(n): E tr = 0, E tr² = 1, E tr⁴ = 3; standard errors are about 0.01 and 0.07.
    assert abs(trace.mean()) < 0.03
    assert abs(trace.square().mean() - 1) < 0.05
    assert abs(trace.pow(4).mean() - 3) < 0.4
    # Each column is uniform on the sphere: E x² = 1/n, E x⁴ = 3/(n(n + 2)).
    assert (gates.square().mean(0) - 1 / 8).abs().max() < 0.01
    assert (gates.pow(4).mean(0) - 3 / 80).abs().max() < 0.005
    assert abs(torch.linalg.det(gates).mean()) < 0.03


@pytest.mark.parametrize("family", WIDE, ids=NAMES)
def test_the_identitys_parameters_give_the_identity(family):
    gates = family.matrices(torch.tensor([family.identity], dtype=torch.float64))
    assert torch.equal(gates, torch.eye(2**family.sites, dtype=torch.float64)[None])


# --- gradients ----------------------------------------------------------------------------------------------------


# By torch, and by numpy.
@pytest.mark.parametrize("small", [0, 2**17])
@pytest.mark.parametrize("every", [1, 4])
def test_gradients_and_their_gradients(small, every, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    find = functools.partial(orthonormalise, every=every)
    given = entries(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(find, (given,))
    assert torch.autograd.gradgradcheck(find, (given,))
    assert torch.autograd.gradcheck(find, (entries(8, 1).requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [8, 32])
def test_of_so_many_columns_only_the_first_counts(size, dtype, monkeypatch):
    given = entries(size).to(dtype)
    # One of the columns that count is zero, which is not told ahead.
    given[..., 4] = 0
    found = orthonormalise(given.requires_grad_(), every=4)
    assert not found[..., torch.arange(size) % 4 > 0].any()
    torch.testing.assert_close(found[..., ::4], orthonormalise(given[..., ::4]), rtol=0, atol=1e-6)
    monkeypatch.setattr(arrays, "SMALL", 0)
    due = orthonormalise(given, every=4)
    torch.testing.assert_close(found, due, rtol=0, atol=1e-14 if dtype == torch.float64 else 1e-6)
    seed = torch.randn_like(due)
    a, b = (torch.autograd.grad((one * seed).sum(), given)[0] for one in (found, due))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_columns_come_out_as_many_do(dtype, monkeypatch):
    given = entries(8, 3).to(dtype).requires_grad_()
    seed = entries(8, 3).to(dtype)
    found = orthonormalise(given)
    (grad,) = torch.autograd.grad((found * seed).sum(), given)
    monkeypatch.setattr(orthogonal, "FEW", 0)
    due = orthonormalise(given)
    (grad_due,) = torch.autograd.grad((due * seed).sum(), given)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found, due, rtol=0, atol=50 * eps)
    torch.testing.assert_close(grad, grad_due, rtol=0, atol=1000 * eps * grad_due.abs().max().item())


def test_gradients_are_orthogonal_to_every_redundant_direction():
    given = entries(8).requires_grad_()
    (grad,) = torch.autograd.grad((orthonormalise(given) * entries(8)).sum(), given)
    # Column 0 comes first: its length does not matter, nor do parts of it in any other column.
    inner = given.detach()[:, :, 0].unsqueeze(1) @ grad
    assert inner.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_columns_that_are_not_stored_do_not_spoil_gradients(dtype):
    given = entries(8)
    given[:, :, 1::2] = 0
    # Unit vectors, as zeros in a weight make them.
    given[:, :, 0] = torch.eye(8, dtype=torch.float64)[3]
    given = given.to(dtype).requires_grad_()
    (grad,) = torch.autograd.grad((orthonormalise(given) * entries(8).to(dtype)).sum(), given)
    assert grad.isfinite().all()


# --- the circuit --------------------------------------------------------------------------------------------------


def test_numbers_stored():
    def count(gate, **options):
        return BrickWall((2**6,), Circuit(gate=gate, **options)).parameter_count - 1

    # The first gate meets |0> on all wires: one column. Each next one on as many as the stride brings.
    assert count("o8", depth=1, wiring="staircase") == 8 + 3 * 32
    assert count("o8", depth=1, wiring="staircase", stride=2) == 8 + 16 + 32
    assert count("o8", depth=2, wiring="staircase") == 8 + 3 * 32 + 4 * 64
    assert count("o16", depth=1, wiring="staircase", stride=2) == 16 + 64
    assert count("o8", depth=1) == 2 * 8
    assert count("o8", depth=2) == 2 * 8 + 64
    assert count("o64", depth=1) == 64


@pytest.mark.parametrize(("gate", "stride"), [("o8", 1), ("o8", 2), ("o16", 1), ("o16", 2), ("o16", 3), ("o32", 3)])
def test_one_sweep_has_the_bonds_that_its_stride_promises(gate, stride):
    config = Circuit(depth=1, gate=gate, wiring="staircase", stride=stride)
    wall = BrickWall((2**9,), config, dtype=torch.float64)
    state = wall().detach()
    for before, after in pairwise(wall.wiring.gates):
        shared = len(set(before) & set(after))
        assert shared >= wall.family.sites - stride
        left = after[0]
        rank = torch.linalg.matrix_rank(state.view(2**left, -1), rtol=1e-9).item()
        assert rank == 2 ** min(shared, left, 9 - left)


@pytest.mark.parametrize("gate", ["o8", "o16"])
def test_every_number_stored_has_a_gradient(gate):
    wall = BrickWall((32,), Circuit(depth=1, gate=gate, wiring="staircase"), dtype=torch.float64)
    seed = torch.randn(32, dtype=torch.float64)
    (grad,) = torch.autograd.grad((wall() * seed).sum(), wall.gates)
    assert (grad.abs() > 1e-12).all()


def test_a_wall_of_one_gate_that_spans_unstored_columns_trains():
    wall = BrickWall((8,), Circuit(depth=1, gate="o8"), dtype=torch.float64)
    with torch.no_grad():
        wall.gates.zero_()[5] = 1
    wall().square().mul(torch.arange(8)).sum().backward()
    assert wall.gates.grad.isfinite().all()
    torch.testing.assert_close(wall().detach(), torch.eye(8, dtype=torch.float64)[5])


def test_parameters_not_stored_are_zero():
    wall = BrickWall((32,), Circuit(depth=2, gate="o8"), dtype=torch.float64)
    params = wall.gate_parameters().detach()
    assert params.shape == (2, 64)
    assert not params[0].view(8, 8)[:, 1:].any()
    other = BrickWall((32,), wall.config, dtype=torch.float64).set_gate_parameters_(params)
    assert torch.equal(other(), wall())
    with pytest.raises(ValueError, match="must be zero"):
        other.set_gate_parameters_(torch.ones(2, 64))


@pytest.mark.parametrize(("gate", "least"), [("o8", 8), ("o16", 16), ("o32", 32), ("o64", 64)])
def test_a_gate_needs_as_many_qubits_as_it_acts_on(gate, least):
    assert BrickWall((least,), Circuit(gate=gate, depth=1)).sites == math.log2(least)
    small = least // 2
    with pytest.raises(ValueError, match=f"need a weight of at least {least} entries, got {least.bit_length() - 2} qu"):
        BrickWall((small,), Circuit(gate=gate, depth=1))


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("gate", ["o8", "o16"])
def test_stored_columns_give_the_same_gates_as_all_entries(gate, zero):
    wall = BrickWall((16, 32), Circuit(gate=gate, depth=1, wiring="staircase", stride=2), dtype=torch.float64)
    every, count, size = wall.every, len(wall.wiring.gates), 2**wall.family.sites
    assert every > 1
    column = wall.family.stored(wall.wiring.fresh[-1])[-1] % size
    if zero:
        # A column that the last gate stores: it stays zero.
        with torch.no_grad():
            whole = wall.gate_parameters()
            whole.reshape(-1, size, size)[-1, :, column] = 0
            wall.set_gate_parameters_(whole)
    gates = wall.gates.detach().numpy()
    found, pull = stored_arrays(gates, wall.slots, (count, size, size // every))
    due = wall.matrices()
    assert not due[..., 1::every].any()
    torch.testing.assert_close(torch.from_numpy(found), due[..., ::every].detach(), rtol=0, atol=1e-14)
    assert (found[-1, :, column // every] == 0).all() == zero
    seed = torch.randn(found.shape, dtype=torch.float64)
    # Of a zero column no gradient is of use; only those of the others are compared.
    due_grad = torch.autograd.grad(due[..., ::every], wall.gates, seed)[0]
    kept = wall.gates.detach() != 0
    torch.testing.assert_close(torch.from_numpy(pull(seed.numpy()))[kept], due_grad[kept], rtol=0, atol=1e-11)
