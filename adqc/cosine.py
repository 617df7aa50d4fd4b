"""Axes in the cosine basis: a weight whose rows, columns or kernel axes are sums of few cosines.

A circuit's qubits then carry the bits of a frequency rather than those of a position. Filters that learn from images
are smooth: their low frequencies hold nearly all of them, and a circuit of fewer qubits stands for the same weight. The
basis is that of the cosine transform (DCT-II, orthonormal); it has no parameters.

Source: Ahmed, Natarajan, Rao, IEEE Trans. Computers C-23 (1974) 90.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from adqc.arrays import Numbers, fixed
from adqc.constants import plans
from adqc.engine import cost
from adqc.engine.products import apply_to_middle

# Neighbouring axes are turned by one matrix where it has few entries: many tiny products take longer.
FEW = 1024


@plans
def _rows(sizes: tuple[int, ...], kept: tuple[int, ...]) -> Numbers:
    """The rows of neighbouring axes together, in double precision: orthonormal to the last digit of any dtype."""
    return _make_rows(sizes, kept)


@lru_cache(maxsize=64)
def _make_rows(sizes: tuple[int, ...], kept: tuple[int, ...]) -> Numbers:
    whole: npt.NDArray[Any] = np.ones((1, 1))
    for size, count in zip(sizes, kept, strict=True):
        place, number = np.arange(size) + 0.5, np.arange(count)[:, None]
        rows = np.cos(number * place * (math.pi / size)) * math.sqrt(2 / size)
        rows[0] = 1 / math.sqrt(size)
        whole = np.kron(whole, rows)
    return Numbers(tuple(map(tuple, whole.tolist())))


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
    for first, last in _find_runs(axes, frequencies):
        tensor = _turn(tensor, first, last, _find_rows(axes, frequencies, first, last, tensor).mT, axes)
    return tensor


def to_cosines(tensor: Tensor, frequencies: Sequence[int]) -> Tensor:
    """The coefficients of a tensor: the inverse of :func:`from_cosines` where that has one, else the nearest to it."""
    axes = tensor.shape
    # From the last axis on, as the product there is one large one, and leaves less to those in the middle.
    for first, last in reversed(list(_find_runs(axes, frequencies))):
        tensor = _turn(tensor, first, last, _find_rows(axes, frequencies, first, last, tensor), frequencies)
    return tensor


def turning_seconds(count: int, axes: Sequence[int], frequencies: Sequence[int]) -> float:
    """What :func:`to_cosines` is thought to cost for ``count`` tensors of shape ``axes``, on a typical machine."""
    left, found = list(axes), 0.0
    for first, last in reversed(list(_find_runs(axes, frequencies))):
        size, kept = math.prod(axes[first:last]), math.prod(frequencies[first:last])
        found += cost.product(kept, size, count * math.prod(left) // size)
        left[first:last] = frequencies[first:last]
    return found


def _find_runs(axes: Sequence[int], frequencies: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The axes that have frequencies, as many neighbours at once as one small matrix turns."""
    first = 0
    while first < len(axes):
        last, entries = first + 1, axes[first] * frequencies[first]
        while last < len(axes) and 0 < (more := entries * axes[last] * frequencies[last]) <= FEW:
            last, entries = last + 1, more
        if entries:
            yield first, last
        first = last


def _find_rows(axes: Sequence[int], frequencies: Sequence[int], first: int, last: int, like: Tensor) -> Tensor:
    """The lowest frequencies of these axes, (their product, the axes' product), as ``like``; not to be written to."""
    return fixed(_rows(tuple(axes[first:last]), tuple(frequencies[first:last])), like)


def _turn(tensor: Tensor, first: int, last: int, matrix: Tensor, sizes: Sequence[int]) -> Tensor:
    """These axes together multiplied by a matrix, (new size, size); they have the sizes named then."""
    before, behind = tensor.shape[:first], tensor.shape[last:]
    flat = tensor.reshape(math.prod(before), matrix.shape[1], math.prod(behind))
    # A product of matrices where nothing lies behind, one for each of what lies before elsewhere.
    found = flat.squeeze(-1) @ matrix.mT if flat.shape[2] == 1 else apply_to_middle(matrix, flat)
    return found.reshape(*before, *sizes[first:last], *behind)
