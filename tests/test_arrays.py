"""Numpy's arrays in torch's place: nobody shall be able to tell."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from adqc import BrickWall, Circuit, arrays
from adqc.engine import contract
from adqc.engine.evolve import run_program
from adqc.engine.materialise import make_plan


def wall(gate="cartan", depth=4):
    return BrickWall((16, 20), Circuit(gate=gate, depth=depth), dtype=torch.float64)


def test_what_runs_where():
    assert arrays.is_small(torch.zeros(3), 3)
    assert not arrays.is_small(torch.zeros(3), arrays.SMALL + 1)
    assert not arrays.is_small(torch.zeros(3, device="meta"), 3)


def test_more_entries_are_small_where_they_are_multiplied_and_nobody_wants_them_elsewhere():
    most = arrays.MULTIPLIED * arrays.SMALL
    assert arrays.is_soon_multiplied(torch.zeros(3), most)
    assert not arrays.is_soon_multiplied(torch.zeros(3), most + 1)
    assert not arrays.is_soon_multiplied(torch.zeros(3, device="meta"), 3)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        assert arrays.is_soon_multiplied(torch.zeros(3), arrays.SMALL)
        assert not arrays.is_soon_multiplied(torch.zeros(3), arrays.SMALL + 1)


@pytest.mark.parametrize(
    ("shapes", "dtype", "most"),
    [
        (((64, 64), (64, 64)), np.float32, 2**18),
        (((8, 64, 64), (64, 64)), np.float64, 2**18),
        (((64, 32), (32, 32)), np.complex64, 2**16 - 1),
        (((128, 64), (64, 1)), np.float32, 2**13),
        (((1, 64), (64, 128)), np.float64, 2**13),
        (((128, 64), (64, 1)), np.complex128, 2**11 - 1),
    ],
)
def test_what_numpy_multiplies_in_one_thread(shapes, dtype, most):
    left, right = (np.zeros(shape, dtype) for shape in shapes)
    assert arrays.is_single(most, left, right)
    assert not arrays.is_single(most + 1, left, right)


@pytest.mark.parametrize("small", [0, arrays.SMALL])
def test_products_of_all_kinds(small, monkeypatch):
    monkeypatch.setattr(arrays, "PRODUCT", small)
    one, many, more = torch.randn(3, 4), torch.randn(5, 3, 4), torch.randn(5, 4, 2)
    for left, right in ((one, more[0]), (many, more), (one, more)):
        found = arrays.multiply(left.numpy(), right.numpy())
        torch.testing.assert_close(torch.from_numpy(found), left @ right)
        torch.testing.assert_close(arrays.multiply(left, right), left @ right)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("rows", "shared", "columns"),
    # A thin product in blocks of rows, a long sum in parts, those with a remainder, and one that is neither.
    [(64, 8, 100), (60, 8, 100), (16, 3, 5), (8, 2, 9), (8, 1024, 40), (4, 1000, 40), (5, 512, 7), (100, 16, 100)],
)
def test_thin_products_in_whatever_form(rows, shared, columns, threads, monkeypatch):
    monkeypatch.setattr(arrays, "WIDE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    left = torch.randn(rows, shared, dtype=torch.float64)
    right = torch.randn(shared, columns, dtype=torch.float64)
    for a, b in ((left, right), (left.mT.contiguous().mT, right), (left, right.mT.contiguous().mT)):
        torch.testing.assert_close(arrays.multiply_tensors(a, b), left @ right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_which_products_are_split(threads, monkeypatch):
    calls = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda *given: calls.append(tuple(given[0].shape)) or bmm(*given))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for rows, shared, columns in ((512, 8, 2048), (8, 512, 2048), (512, 16, 2048), (256, 8, 784)):
        arrays.multiply_tensors(torch.zeros(rows, shared), torch.zeros(shared, columns))
    # A single thread gains by it for large products only.
    assert calls == [(64, 8, 8), (2, 8, 256)] + [(32, 8, 8)] * (threads > 1)


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 1e300])
def test_no_warnings_where_numbers_have_no_bounds(bad):
    for gate in ("cartan", "free"):
        own = wall(gate)
        with torch.no_grad():
            own.gates.fill_(bad)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            own().sum().backward()
            with torch.no_grad():
                own()
        assert not own.gates.grad.isfinite().all() or gate == "cartan"


def test_a_gradient_may_be_a_conjugate_yet_to_be_taken():
    own = wall("cartan-su4")
    gates = own.matrices().detach().requires_grad_()
    columns = make_plan(own.wiring, own.layout).head
    left, right = run_program(gates, columns)
    seed = torch.randn_like(left)
    found = torch.autograd.grad((left.conj() * seed).sum().real + right.abs().square().sum(), gates)[0]
    left, right = run_program(gates, columns)
    due = torch.autograd.grad((left * seed.conj()).sum().real + right.abs().square().sum(), gates)[0]
    torch.testing.assert_close(found, due)


# torch warns of what it uses itself.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_forward_mode():
    own = wall()
    tangent = torch.randn_like(own.gates)
    due = torch.func.jvp(lambda gates: own.build(gates, own.scale), (own.gates.detach(),), (tangent,))[1]
    for mode in (torch.no_grad, torch.enable_grad):
        with mode(), forward_ad.dual_level():
            found = own.build(forward_ad.make_dual(own.gates.detach(), tangent), own.scale)
            torch.testing.assert_close(forward_ad.unpack_dual(found).tangent, due)


def test_whoever_looks_on_sees_all_operations(monkeypatch):
    own = wall()
    counts = []
    for small in (arrays.SMALL, 0):
        monkeypatch.setattr(arrays, "SMALL", small)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            own()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


# torch warns of what it uses itself.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_wall_follows_its_parameters():
    own = wall()
    with torch.no_grad():
        traced = torch.jit.trace(own, (), check_trace=False)
        own.gates.add_(0.3)
        torch.testing.assert_close(traced(), own())


@pytest.mark.parametrize("gate", ["cartan", "free"])
def test_gradients_in_batches(gate):
    own = BrickWall((3, 4), Circuit(gate=gate, depth=4), dtype=torch.float64)

    def build(gates):
        return own.build(gates, own.scale, own.state)

    found, due = (
        torch.autograd.functional.jacobian(build, own.gates.detach(), vectorize=together) for together in (True, False)
    )
    torch.testing.assert_close(found, due)


@pytest.mark.parametrize("small", [0, arrays.SMALL])
@pytest.mark.parametrize("depth", [4, 7])
@pytest.mark.parametrize("gate", ["cartan", "cartan-su4", "free"])
def test_many_walls_in_the_same_products(gate, depth, small, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    walls = [wall(gate, depth) for _ in range(3)]
    called = []
    apply = contract._Contract.apply
    monkeypatch.setattr(contract._Contract, "apply", lambda *a: called.append(1) or apply(*a))
    stacked = [torch.stack([own.get_parameter(name) for own in walls]) for name, _ in walls[0].named_parameters()]
    found = torch.func.vmap(walls[0].build)(*stacked)
    assert len(called) == 1
    seed = torch.randn_like(found)
    leaves = [parameter for own in walls for parameter in own.parameters()]
    grads = torch.autograd.grad(found, leaves, seed)
    due = torch.stack([own() for own in walls])
    torch.testing.assert_close(found, due, rtol=0, atol=1e-12 * max(1, due.abs().max().item()))
    for a, b in zip(grads, torch.autograd.grad(due, leaves, seed), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11 * max(1, b.abs().max().item()))


def test_one_wall_with_some_scales():
    own = wall()
    scales = torch.randn(3, dtype=torch.float64)
    found = torch.func.vmap(own.build, (None, 0))(own.gates, scales)
    torch.testing.assert_close(found, torch.stack([own.build(own.gates, scale) for scale in scales]))


def test_functions_of_tensors_on_arrays():
    given = np.linspace(0.1, 2, 6).reshape(2, 3)

    def refuse(tensor):
        pytest.fail("what is kept is nobody else's business")

    hooks = torch.autograd.graph.saved_tensors_hooks(refuse, refuse)
    for looking_on in (torch.enable_grad(), torch.no_grad(), torch.inference_mode(), hooks):
        with looking_on:
            found, pull = arrays.by_torch(lambda x: torch.complex(x.sin(), x**2), given)
        np.testing.assert_allclose(found, np.sin(given) + 1j * given**2, rtol=1e-14)
        # Twice, as for two losses of one call.
        for _ in range(2):
            np.testing.assert_allclose(pull((2 + 3j) * np.ones_like(found)), 2 * np.cos(given) + 6 * given, rtol=1e-14)
    # What depends on nothing has no gradient.
    _, pull = arrays.by_torch(lambda x: torch.ones(2, 2, dtype=x.dtype) + 0 * x[:, :2].detach().requires_grad_(), given)
    np.testing.assert_array_equal(pull(np.ones((2, 2))), np.zeros((2, 3)))
