"""Orthogonal gates on three qubits and more: trained as the entries of a matrix, whose columns are made orthonormal.

The entries are redundant: scaling a column, or mixing it with those ahead of it, leaves the gate as it is. Such
coordinates train better than minimal ones; what a circuit of these gates stores can be minimal, see
:mod:`adqc.minimal`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def orthonormalise(entries: Tensor) -> Tensor:
    """Gram-Schmidt on the columns, those first whose last bits are zero.

    A gate that meets |0> on its last wires uses only columns of that kind; so they depend on each other alone.

    Args:
        entries: (…, n, n), real, n a power of two. A column that those ahead of it span, such as a zero one, becomes
            some unit vector orthogonal to them.

    Returns:
        (…, n, n), orthogonal.
    """
    order, back = _order(entries.shape[-1])
    q, r = torch.linalg.qr(_regular(entries[..., order]))
    # The columns that Gram-Schmidt gives, as the signs of a QR decomposition are free.
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).to(q.dtype)
    gates: Tensor = (q * signs.unsqueeze(-2))[..., back]
    return gates


def _regular(columns: Tensor) -> Tensor:
    """The same columns, but one that those ahead of it span gets a part of its own: QR's gradient divides by it."""
    q, r = torch.linalg.qr(columns.detach())
    size, parts = columns.shape[-1], r.diagonal(dim1=-2, dim2=-1)
    lengths = columns.detach().norm(dim=-2)
    spanned = parts.abs() <= size * torch.finfo(q.dtype).eps * lengths
    lengths = torch.where(lengths > 0, lengths, 1).copysign(parts)
    return columns + q * torch.where(spanned, lengths, 0).unsqueeze(-2)


def _order(size: int) -> tuple[list[int], list[int]]:
    def last_zeros(column: int) -> int:
        return size if column == 0 else (column & -column).bit_length() - 1

    order = sorted(range(size), key=last_zeros, reverse=True)
    return order, [order.index(column) for column in range(size)]


def orthogonal_matrices(params: Tensor) -> Tensor:
    """The gates, (…, n²) -> (…, n, n), ``matrix[out, in]``."""
    size = math.isqrt(params.shape[-1])
    return orthonormalise(params.unflatten(-1, (size, size)))


def orthogonal_operations(p: Any, wires: Any) -> None:
    """The gate as a PennyLane quantum function: ``QubitUnitary`` of the orthonormal columns."""
    import pennylane as qml

    size = 2 ** len(wires)
    entries = torch.as_tensor(qml.math.stack([p[k] for k in range(size**2)], axis=-1))
    qml.QubitUnitary(orthonormalise(entries.unflatten(-1, (size, size))), wires=wires)


def orthogonal_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normal entries, whose orthonormal columns are Haar-random, (G, k) -> (G, 4^k) in float64 on the CPU."""
    size = 2 ** fresh.shape[1]
    normal = torch.randn(len(fresh), size**2, generator=generator, dtype=torch.float64, device="cpu")
    return normal / math.sqrt(size)
