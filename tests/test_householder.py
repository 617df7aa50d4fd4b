"""Householder's reflections beside LAPACK's, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adqc.householder import decompose_, pull_back_


def decompose(whole, rows=None):
    count, size, kept = whole.shape
    gates = np.empty((count, size if rows is None else rows, kept), whole.dtype)
    upper = np.empty((count, kept, kept), whole.dtype)
    decompose_(whole, gates, upper)
    return gates, upper


def draw(*shape, dtype=np.float64):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize(("rows", "kept"), [(1, 1), (7, 1), (8, 2), (12, 8), (8, 8), (64, 3)])
def test_it_is_the_decomposition_with_a_positive_diagonal(rows, kept, dtype, tolerance):
    whole = draw(3, rows, kept, dtype=dtype)
    q, r = decompose(whole)
    size = np.abs(whole).max()
    assert np.abs(q @ r - whole).max() < tolerance * size
    assert np.abs(q.mT @ q - np.eye(kept)).max() < tolerance
    assert (r.diagonal(axis1=1, axis2=2) > 0).all()
    assert not np.tril(r, -1).any()


def test_the_first_rows_alone():
    whole = draw(2, 12, 4)
    np.testing.assert_array_equal(decompose(whole, 8)[0], decompose(whole)[0][:, :8])


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_squares_may_be_beyond_single_precision(size):
    whole = draw(2, 8, 3, dtype=np.float32) * np.float32(size)
    q, r = decompose(whole)
    assert np.abs(q.mT @ q - np.eye(3)).max() < 3e-6
    assert np.abs(q @ (r / np.float32(size)) - whole / np.float32(size)).max() < 1e-5


def test_a_column_of_zeros_has_a_zero_on_the_diagonal():
    whole = draw(1, 8, 3)
    whole[..., 1] = 0
    q, r = decompose(whole)
    assert r[0, 1, 1] == 0
    assert np.abs(q.mT @ q - np.eye(3)).max() < 1e-14


@pytest.mark.parametrize("rows", [8, 12])
@pytest.mark.parametrize("kept", [1, 2, 5, 8])
def test_gradients_are_autograds(rows, kept):
    whole = torch.from_numpy(draw(3, rows, kept)).requires_grad_()
    q, r = torch.linalg.qr(whole)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    # What lies behind the first n rows of gates is not asked for, and is not changed by these.
    grads = torch.randn(3, rows, kept, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (due,) = torch.autograd.grad((q * grads).sum(), whole)
    gates, upper = decompose(whole.detach().numpy())
    found = np.empty_like(gates)
    pull_back_(grads.numpy(), gates, upper, found)
    np.testing.assert_allclose(found, due.numpy(), rtol=0, atol=1e-11 * due.abs().max().item())
