"""Rows looked up in two pieces in compiled loops, against the table that these multiply out to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import adqc
from adqc.engine import lookup_loops
from adqc.engine.apply import _look_up
from adqc.engine.lookup_loops import look_up_arrays
from adqc.vectors import count_entries

# Rows and columns of both pieces, bonds, and columns that are kept: one or many slices of the second piece, whole
# vectors and pairs of them or one alone, bonds that fill vectors or not, columns of the first one that are left out.
CASES = [
    ((5, 1), (1, 64), 8, 64),
    ((5, 1), (1, 64), 3, 50),
    ((5, 1), (1, 64), 40, 4),
    ((7, 3), (1, 32), 4, 81),
    ((4, 6), (3, 16), 2, 96),
    ((3, 5), (8, 16), 16, 70),
    ((1, 1), (9, 96), 32, 96),
    ((16, 2), (4, 48), 5, 60),
    ((2, 9), (2, 64), 1, 10),
]


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("small", [0, 2**16])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("one", "other", "bonds", "columns"), CASES)
def test_rows_and_gradients_are_the_tables(monkeypatch, team, one, other, bonds, columns, dtype, small):
    monkeypatch.setattr(lookup_loops, "SMALL", small)
    (high, first), (low, second) = one, other
    left, right = draw(high, bonds, first, dtype=dtype), draw(low, bonds, second, seed=1, dtype=dtype)
    # Some rows come several times, others never.
    index = np.random.default_rng(2).integers(0, max(1, high * low - 1), 37)
    tensors = [torch.from_numpy(own.astype(np.float64)).requires_grad_() for own in (left, right)]
    table = torch.einsum("hbc,lbd->hlcd", *tensors).reshape(high * low, -1)[:, :columns]
    due = table[torch.from_numpy(index)]
    found, pull = look_up_arrays(index, left, right, columns)
    rounding = 1e-11 if dtype == np.float64 else 1e-4
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, due.detach(), rtol=0, atol=rounding)
    # Twice, and not in one stretch: neither may what is kept be written into.
    seed = draw(columns, 37, seed=3, dtype=dtype).T
    grads = torch.autograd.grad(due, tensors, torch.from_numpy(seed.astype(np.float64)))
    for _ in range(2):
        for own, expected in zip(pull(seed), grads, strict=True):
            assert own.shape == expected.shape
            np.testing.assert_allclose(own, expected, rtol=0, atol=10 * rounding)
    # As in steps, which second derivatives and other devices take.
    torch.testing.assert_close(_look_up(torch.from_numpy(index), *tensors, columns), due, rtol=0, atol=1e-11)


def make(*shape, **options):
    settings = adqc.Circuit(**{"depth": 3, "route": "matrix-free", **options})
    return adqc.nn.Embedding(*shape, dtype=torch.float64, circuit=settings)


def compare(layer, found, due):
    """Rows, and the gradients of the layer's parameters."""
    torch.testing.assert_close(found, due, rtol=0, atol=1e-11)
    seed = torch.randn_like(due)
    parameters = list(layer.parameters())
    for own, expected in zip(
        torch.autograd.grad(found, parameters, seed), torch.autograd.grad(due, parameters, seed), strict=True
    ):
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-10)


def find_nodes(y):
    """The steps of autograd behind a result."""
    found, todo = set(), [y.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.add(node)
            todo += [before for before, _ in node.next_functions]
    return found


def find_names(y):
    return {node.name() for node in find_nodes(y)}


@pytest.mark.parametrize("gate", ["cartan", "su4", "cartan-su4", "free"])
@pytest.mark.parametrize("order", ["rows-first", "interleaved"])
@pytest.mark.parametrize("type_", [torch.int64, torch.int32])
def test_a_layer_is_one_step_of_autograd(gate, order, type_):
    layer = make(300, 60, gate=gate, layout=order)
    index = torch.randint(0, 300, (4, 30), dtype=type_)
    index[1] = index[0]
    found = layer(index)
    assert found.shape == (4, 30, 60)
    assert any("AtOnce" in name for name in find_names(found))
    assert not any("Embedding" in name or "LookUp" in name for name in find_names(found))
    due = F.embedding(index, layer.circuit("gates"))
    compare(layer, found, due)
    with torch.no_grad():
        torch.testing.assert_close(layer(index), due.detach(), rtol=0, atol=1e-11)
        torch.testing.assert_close(layer.eval()(index), due.detach(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("depth", [3, 9])
def test_pieces_made_in_steps_are_looked_up_in_loops(depth):
    layer = make(300, 60, depth=depth)
    index = torch.randint(0, 300, (40,))
    # A checkpoint keeps what it is given elsewhere, and pieces of deep circuits are no small ones.
    found = checkpoint(layer, index, use_reentrant=False) if depth == 3 else layer(index)
    due = F.embedding(index, layer.circuit("gates"))
    compare(layer, found, due)


def test_what_a_checkpoint_shall_drop_is_not_kept_in_arrays():
    layer = make(300, 64, layout="rows-first")
    index = torch.randint(0, 300, (40,))
    held = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: held.append(tensor) or len(held) - 1, held.__getitem__
    ):
        found = layer(index)
    (node,) = [node for node in find_nodes(found) if "LookUp" in node.name()]
    assert node.pull is None
    compare(layer, found, F.embedding(index, layer.circuit("gates")))


@pytest.mark.parametrize("at_once", [True, False])
def test_second_derivatives_and_batches_of_gradients(monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(adqc.matrix_free, "look_up_at_once", lambda *given: None)
    layer = make(20, 32, depth=2, layout="rows-first")
    index = torch.randint(0, 20, (5,))
    names, values = zip(*layer.named_parameters(), strict=True)
    numbers = tuple(value.detach().clone().requires_grad_() for value in values)

    def run(*numbers):
        return torch.func.functional_call(layer, dict(zip(names, numbers, strict=True)), (index,))

    assert any("LookUp" in name for name in find_names(run(*numbers))) != at_once
    assert torch.autograd.gradcheck(run, numbers, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(run, numbers)


def test_an_index_changed_before_the_backward_pass_is_noticed():
    layer, index = make(300, 60), torch.randint(0, 300, (40,))
    found = layer(index)
    index.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_rows_too_narrow_for_vectors_are_left_to_torch():
    layer = make(300, count_entries(8) // 2)
    index = torch.randint(0, 300, (40,))
    found = layer(index)
    assert any("Embedding" in name for name in find_names(found))
    torch.testing.assert_close(found, F.embedding(index, layer.circuit("gates")), rtol=0, atol=1e-11)


def test_a_table_that_is_never_built(monkeypatch):
    monkeypatch.setattr(adqc.BrickWall, "forward", lambda *given: pytest.fail("built"))
    layer = adqc.nn.Embedding(2**20, 1024, circuit=adqc.Circuit(depth=4))
    index = torch.randint(0, 2**20, (64,))
    layer(index).square().sum().backward()
    assert layer.circuit.gates.grad.isfinite().all()
    # Nor where it would be kept, for a single word.
    with torch.no_grad():
        assert layer.eval()(index[:1]).shape == (1, 1024)


@pytest.mark.parametrize(
    ("make_layer", "count", "use", "applied"),
    [
        (lambda circuit: adqc.nn.Embedding(32768, 256, circuit=circuit), 1024, "lookup", True),
        (lambda circuit: adqc.nn.Embedding(1000, 64, circuit=circuit), 64, "lookup", False),
        (lambda circuit: adqc.nn.Conv2d(128, 128, 3, circuit=circuit), 8192, "conv", True),
        (lambda circuit: adqc.nn.Conv2d(16, 16, 3, circuit=circuit), 8192, "conv", False),
    ],
)
def test_what_is_cheaper_on_fixed_cases(make_layer, count, use, applied):
    layer = make_layer(adqc.Circuit(depth=4, layout="rows-first"))
    found = adqc.matrix_free.choose(layer.circuit, count, use=use, kept=False, training=True)
    assert (found is not None) == applied


@pytest.mark.parametrize("type_", [torch.uint8, torch.float32])
def test_an_index_of_another_type_is_refused_as_by_torch(type_):
    index = torch.ones(3, dtype=type_)
    with pytest.raises(RuntimeError) as due:
        torch.nn.Embedding(300, 64)(index)
    with pytest.raises(RuntimeError) as found:
        make(300, 64)(index)
    assert str(found.value) == str(due.value)


def test_memory_shared_with_the_index_may_change():
    layer, shared = make(300, 64), np.arange(40)
    found = layer(torch.from_numpy(shared))
    due = F.embedding(torch.arange(40), layer.circuit("gates"))
    shared[:] = 10**9
    compare(layer, found, due)
