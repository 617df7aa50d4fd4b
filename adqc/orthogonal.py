"""Orthogonal gates on three qubits and more: trained as the entries of a matrix, whose columns are made orthonormal.

The entries are redundant: scaling a column, or mixing it with those ahead of it, leaves the gate as it is. Such
coordinates train better than minimal ones; what a circuit of these gates stores can be minimal, see
:mod:`adqc.minimal`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adqc.arrays import NumpyArray, Pull, as_array, is_plain, is_small, own_backward


def orthonormalise(entries: Tensor, *, every: int = 1) -> Tensor:
    """Gram-Schmidt on the columns; those that are zero stay so.

    Args:
        entries: (…, n, m), real, m at most n; the columns that are not zero independent.
        every: Of so many columns only the first is looked at, and the others are zero.

    Returns:
        (…, n, m), orthonormal columns and zero ones.
    """
    if own_backward() and is_small(entries, entries.numel()):
        found: Tensor = _Orthonormalise.apply(entries, every)  # type: ignore[no-untyped-call]
        return found
    return _orthonormalise(entries, every)


def _orthonormalise(entries: Tensor, every: int) -> Tensor:
    entries = entries[..., ::every]
    empty = (entries == 0).all(dim=-2)
    # Rows of their own keep zero columns independent of the others, which they do not change.
    q, r = torch.linalg.qr(torch.cat([entries, torch.diag_embed(empty.to(entries.dtype))], dim=-2))
    # The columns that Gram-Schmidt gives, as the signs of a QR decomposition are free.
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).to(q.dtype)
    gates: Tensor = (q * signs.unsqueeze(-2))[..., : entries.shape[-2], :]
    return gates if every == 1 else nn.functional.pad(gates.unsqueeze(-1), (0, every - 1)).flatten(-2)


def orthonormal_arrays(entries: NumpyArray, *, every: int = 1) -> tuple[NumpyArray, Pull]:
    """:func:`orthonormalise` for few entries, mostly by numpy, and what makes the entries' gradient of the result's.

    Of small matrices torch's own backward pass is mostly calls.
    """
    given = entries[..., ::every]
    empty = (given == 0).all(axis=-2)
    whole = np.concatenate([given, empty[..., None] * _unit(given.shape[-1], given.dtype)], axis=-2)
    # Not numpy's, whose LAPACK rounds otherwise than torch's: under torch.func gates shall come out the same.
    q, r = (part.numpy() for part in torch.linalg.qr(torch.from_numpy(whole)))
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(given.dtype)
    gates, r = q[..., : given.shape[-2], :] * signs[..., None, :], r * signs[..., None]

    def pull(grad: NumpyArray) -> NumpyArray:
        seen = grad[..., ::every]
        # arXiv:2009.10071, the deep case, where nothing is asked of r.
        upper, strictly = _triangles(gates.shape[-1], gates.dtype)
        inner = gates.mT @ seen
        left = torch.from_numpy(seen - gates @ (inner * upper + (inner * strictly).mT))
        pulled = torch.linalg.solve_triangular(torch.from_numpy(r).mT, left, upper=False, left=False)
        return _spread(pulled.numpy(), every)

    return _spread(gates, every), pull


class _Orthonormalise(torch.autograd.Function):
    """:func:`orthonormal_arrays` in one step of autograd."""

    @staticmethod
    def forward(ctx: Any, entries: Tensor, every: int) -> Tensor:
        found, ctx.pull = orthonormal_arrays(as_array(entries), every=every)
        ctx.save_for_backward(entries)
        ctx.every = every
        return torch.from_numpy(found)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (entries,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_plain(grad):
            # As a function that has gradients itself, or for a batch of them.
            create = torch.is_grad_enabled()
            with torch.enable_grad():
                found = _orthonormalise(entries, ctx.every)
            return torch.autograd.grad(found, entries, grad, create_graph=create)[0], None
        return torch.from_numpy(ctx.pull(as_array(grad))), None


@lru_cache(maxsize=64)
def _unit(size: int, dtype: np.dtype[Any]) -> NumpyArray:
    return np.eye(size, dtype=dtype)


@lru_cache(maxsize=64)
def _triangles(size: int, dtype: np.dtype[Any]) -> tuple[NumpyArray, NumpyArray]:
    """Ones on and above the diagonal, and above it."""
    ones = np.ones((size, size), dtype)
    return np.triu(ones), np.triu(ones, 1)


def _spread(columns: NumpyArray, every: int) -> NumpyArray:
    """The columns with zero ones between them."""
    if every == 1:
        return columns
    found = np.zeros((*columns.shape[:-1], columns.shape[-1] * every), columns.dtype)
    found[..., ::every] = columns
    return found


def complete(gates: Tensor) -> Tensor:
    """Orthogonal gates from orthonormal columns and zero ones: what a gate does where its input is never seen.

    Args:
        gates: (…, n, n).

    Returns:
        (…, n, n), orthogonal; no gradient flows to what was added.
    """
    empty = (gates == 0).all(dim=-2, keepdim=True)
    # The space that the columns leave, by the projector on it; where they leave none, there is nothing to add.
    known = gates.detach()
    unit = torch.eye(gates.shape[-1], dtype=gates.dtype, device=gates.device)
    _, vectors = torch.linalg.eigh(unit - known @ known.mT)
    # Of k empty columns the j-th takes the j-th of the k last vectors, those of eigenvalue 1.
    rank = gates.shape[-1] - empty.sum(-1, keepdim=True) + empty.cumsum(-1) - 1
    added = vectors.take_along_dim(rank.clamp(min=0).expand(gates.shape), dim=-1)
    return torch.where(empty, added, gates)


def orthogonal_matrices(params: Tensor, *, every: int = 1) -> Tensor:
    """The gates, (…, n²) -> (…, n, n), ``matrix[out, in]``; columns that are not stored are zero.

    Args:
        params: The entries of a matrix each, row by row.
        every: Of so many columns only the first is stored, in all gates.
    """
    size = math.isqrt(params.shape[-1])
    return orthonormalise(params.unflatten(-1, (size, size)), every=every)


def orthogonal_arrays(params: NumpyArray, *, every: int = 1) -> tuple[NumpyArray, Pull]:
    """:func:`orthogonal_matrices` on an array, and what makes the parameters' gradient of the gates'."""
    size = math.isqrt(params.shape[-1])
    gates, pull = orthonormal_arrays(params.reshape(*params.shape[:-1], size, size), every=every)
    return gates, lambda grad: pull(grad).reshape(params.shape)


def orthogonal_operations(p: Any, wires: Any) -> None:
    """The gate as a PennyLane quantum function: ``QubitUnitary`` of the orthonormal columns, completed."""
    import pennylane as qml

    size = 2 ** len(wires)
    entries = torch.as_tensor(qml.math.stack([p[k] for k in range(size**2)], axis=-1))
    qml.QubitUnitary(complete(orthonormalise(entries.unflatten(-1, (size, size)))), wires=wires)


def orthogonal_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normal entries, whose orthonormal columns are Haar-random, (G, k) -> (G, 4^k) in float64 on the CPU."""
    size = 2 ** fresh.shape[1]
    normal = torch.randn(len(fresh), size**2, generator=generator, dtype=torch.float64, device="cpu")
    return normal / math.sqrt(size)
