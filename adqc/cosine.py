"""Axes in the cosine basis: a weight whose rows, columns or kernel axes are sums of few cosines.

A circuit's qubits then carry the bits of a frequency rather than those of a position. Filters that learn from images
are smooth: their low frequencies hold nearly all of them, and a circuit of fewer qubits stands for the same weight. The
basis is that of the cosine transform (DCT-II, orthonormal); it has no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def cosines(size: int, kept: int, like: Tensor) -> Tensor:
    """The lowest frequencies of the orthonormal cosine transform, in the dtype and on the device of ``like``.

    Args:
        size: Number of places of the axis.
        kept: Number of frequencies, at most as many.
        like: Gives dtype and device.

    Returns:
        (kept, size), orthonormal rows.

    Example:
        >>> rows = cosines(28, 16, torch.zeros((), dtype=torch.float64))
        >>> bool(torch.allclose(rows @ rows.T, torch.eye(16, dtype=torch.float64)))
        True

    Source: Ahmed, Natarajan, Rao, IEEE Trans. Computers C-23 (1974) 90.
    """
    # In double precision, so that the rows are orthonormal to the last digit of the dtype that is asked for.
    place = torch.arange(size, dtype=torch.float64, device=like.device) + 0.5
    number = torch.arange(kept, dtype=torch.float64, device=like.device).unsqueeze(1)
    rows = torch.cos(number * place * (math.pi / size)) * math.sqrt(2 / size)
    return torch.where(number == 0, 1 / math.sqrt(size), rows).to(like.dtype)


def kept_axes(axes: Sequence[int], frequencies: Sequence[int]) -> tuple[int, ...]:
    """Shape of the coefficients of a tensor of shape ``axes``."""
    return tuple(kept or size for kept, size in zip(frequencies, axes, strict=True))


def from_cosines(tensor: Tensor, axes: Sequence[int], frequencies: Sequence[int]) -> Tensor:
    """A tensor from its coefficients, axis by axis; axes of frequency 0 stay.

    Args:
        tensor: As many axes as ``axes``, of the sizes that ``frequencies`` says, or of the axis' own where that is 0.
        axes: Sizes that the axes shall have.
        frequencies: Of each axis the number of its coefficients, 0 for an axis that has none.

    Returns:
        A tensor of shape ``axes``.
    """
    for axis, (size, kept) in enumerate(zip(axes, frequencies, strict=True)):
        if kept:
            tensor = torch.tensordot(tensor, cosines(size, kept, tensor), ([axis], [0])).movedim(-1, axis)
    return tensor


def to_cosines(tensor: Tensor, frequencies: Sequence[int]) -> Tensor:
    """The coefficients of a tensor: the inverse of :func:`from_cosines` where that has one, else the nearest to it."""
    for axis, (size, kept) in enumerate(zip(tensor.shape, frequencies, strict=True)):
        if kept:
            tensor = torch.tensordot(tensor, cosines(size, kept, tensor), ([axis], [1])).movedim(-1, axis)
    return tensor
