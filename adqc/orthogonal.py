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

from adqc.arrays import Numbers, NumpyArray, Pull, as_array, is_plain, is_small, own_backward
from adqc.householder import decompose_, pull_back_

# Columns up to which loops of our own are no slower than LAPACK, and within a network faster.
FEW = 8


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
    whole = np.concatenate([given, empty[..., None] * np.eye(given.shape[-1], dtype=given.dtype)], axis=-2)
    gates, _, pull = _decompose(whole, given.shape[-2])
    return spread_columns(gates, every), lambda grad: spread_columns(pull(grad[..., ::every]), every)


def stored_arrays(stored: NumpyArray, slots: Numbers, shape: tuple[int, int, int]) -> tuple[NumpyArray, Pull]:
    """Gates from the entries that they store, and what makes the gradient of these of the gates'.

    Args:
        stored: (P,), as :attr:`adqc.BrickWall.gates`.
        slots: Where each stands among all entries, (G, n, n) row by row.
        shape: G, n and m: of n / m columns each only the first is stored.

    Returns:
        (G, n, m), the columns that may be stored; those that are not are zero.
    """
    whole, there, index = _frame(slots, shape, stored.dtype)
    whole = whole.copy()
    whole.reshape(-1)[there] = stored
    gates, diagonal, pull = _decompose(whole, shape[1])
    if not diagonal.all():
        # A column that is stored and is zero: it stays so.
        gates, pull = orthonormal_arrays(whole[:, : shape[1]])
    return gates, lambda grad: pull(grad).reshape(-1).take(index)


@lru_cache(maxsize=64)
def _frame(slots: Numbers, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> tuple[NumpyArray, ...]:
    """What to write the stored entries into, (G, n + m, m), ones in the last rows of columns without any; where they
    stand in it, and where in the gates, (G, n, m)."""
    count, size, kept = shape
    index = np.array(slots.values, dtype=np.intp) // (size // kept)
    gate, entry = np.divmod(index, size * kept)
    whole = np.zeros((count, size + kept, kept), dtype)
    whole[:, size:] = np.eye(kept)
    whole[gate, size + entry % kept, entry % kept] = 0
    return whole, gate * (size + kept) * kept + entry, index


def _decompose(whole: NumpyArray, rows: int) -> tuple[NumpyArray, NumpyArray, Pull]:
    """Gram-Schmidt on independent columns: so many rows of what it gives, the diagonal of r, and what pulls these
    rows' gradient back to the same rows of ``whole``."""
    if whole.shape[-1] > FEW:
        return _decompose_many(whole, rows)
    *lead, size, kept = whole.shape
    whole = np.ascontiguousarray(whole).reshape(-1, size, kept)
    gates, upper = (np.empty((len(whole), count, kept), whole.dtype) for count in (rows, kept))
    decompose_(whole, gates, upper)

    def pull(grad: NumpyArray) -> NumpyArray:
        found = np.empty_like(gates)
        pull_back_(np.ascontiguousarray(grad).reshape(gates.shape), gates, upper, found)
        return found.reshape(*lead, rows, kept)

    return gates.reshape(*lead, rows, kept), upper.diagonal(axis1=-2, axis2=-1), pull


def _decompose_many(whole: NumpyArray, rows: int) -> tuple[NumpyArray, NumpyArray, Pull]:
    """The same for many columns, by LAPACK, which works on blocks of them."""
    # Not numpy's, whose LAPACK rounds otherwise than torch's: under torch.func gates come out the same.
    q, r = (part.numpy() for part in torch.linalg.qr(torch.from_numpy(whole)))
    diagonal = r.diagonal(axis1=-2, axis2=-1)
    signs = np.copysign(diagonal.dtype.type(1), diagonal)
    gates = q[..., :rows, :] * signs[..., None, :]

    def pull(grad: NumpyArray) -> NumpyArray:
        # arXiv:2009.10071, the deep case, where nothing is asked of r.
        inner = gates.mT @ grad
        left = torch.from_numpy(grad - gates @ np.where(_upper(gates.shape[-1]), inner, inner.mT))
        own = torch.from_numpy(r * signs[..., None])
        found: NumpyArray = torch.linalg.solve_triangular(own.mT, left, upper=False, left=False).numpy()
        return found

    return gates, diagonal, pull


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
def _upper(size: int) -> NumpyArray:
    """Whether an entry lies on the diagonal or above it."""
    return np.triu(np.ones((size, size), dtype=bool))


def spread_columns(columns: NumpyArray, every: int) -> NumpyArray:
    """The columns, with so many in place of each: itself and zero ones behind it."""
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
