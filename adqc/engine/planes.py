"""Complex gates as real ones: the real and the imaginary parts of a state are two planes, one behind another.

A complex gate A + iB is the real one (A, -B; B, A) on both planes together. The pieces of a complex circuit, of whose
product the real part is wanted, are real ones with one bond more, that of the planes. With the last piece conjugated
those of two need nothing else, Re(l r) = Re l Re r* + Im l Im r*; one between others is once more (A, -B; B, A).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adqc.arrays import NumpyArray, Pull

# The planes as a stretch of wire, ahead of those of all sites; and as a bit.
PLANES, PLANE = (-1, 0), -1


def as_planes(gates: NumpyArray, conjugated: Sequence[int] = ()) -> tuple[NumpyArray, Pull]:
    """Complex gates, some of them conjugated, as real ones on both planes.

    Args:
        gates: (G, 2^k, 2^k), complex.
        conjugated: The numbers of those that are.

    Returns:
        (G, 2 · 2^k, 2 · 2^k), and what makes the gates' gradient of theirs, as torch defines it.
    """
    count, size, _ = gates.shape
    signs = np.ones((count, 1, 1), gates.real.dtype)
    signs[list(conjugated)] = -1
    found = np.empty((count, 2, size, 2, size), gates.real.dtype)
    found[:, 0, :, 0] = found[:, 1, :, 1] = gates.real
    found[:, 1, :, 0] = imaginary = signs * gates.imag
    found[:, 0, :, 1] = -imaginary

    def pull(grad: NumpyArray) -> NumpyArray:
        own = grad.reshape(found.shape)
        pulled = np.empty_like(gates)
        pulled.real = own[:, 0, :, 0] + own[:, 1, :, 1]
        pulled.imag = signs * (own[:, 1, :, 0] - own[:, 0, :, 1])
        return pulled

    return found.reshape(count, 2 * size, 2 * size), pull


def double_rows(left: NumpyArray) -> tuple[NumpyArray, Pull]:
    """The first of two pieces as what makes both planes of their product, (sites, planes · bonds) -> (planes · sites,
    planes · bonds), and what makes its gradient of that one's."""
    sites, bonds = left.shape
    parts = left.reshape(sites, 2, -1)
    found = np.empty((2, *parts.shape), left.dtype)
    found[0] = parts
    # Im(l r) = Im l Re r* - Re l Im r*
    found[1, :, 0] = parts[:, 1]
    found[1, :, 1] = -parts[:, 0]

    def pull(grad: NumpyArray) -> NumpyArray:
        own = grad.reshape(found.shape)
        pulled = np.stack([own[0, :, 0] - own[1, :, 1], own[0, :, 1] + own[1, :, 0]], axis=1)
        return pulled.reshape(left.shape)

    return found.reshape(2 * sites, bonds), pull


def open_planes(piece: NumpyArray) -> tuple[NumpyArray, Pull]:
    """A piece between others, (planes · left bonds, sites, right bonds), with planes on both sides: (planes · left
    bonds, sites, planes · right bonds), and what makes its gradient of that one's."""
    parts = piece.reshape(2, -1, *piece.shape[1:])
    _, left, sites, right = parts.shape
    found = np.empty((2, left, sites, 2, right), piece.dtype)
    found[0, :, :, 0] = found[1, :, :, 1] = parts[0]
    found[0, :, :, 1] = parts[1]
    found[1, :, :, 0] = -parts[1]

    def pull(grad: NumpyArray) -> NumpyArray:
        own = grad.reshape(found.shape)
        pulled = np.stack([own[0, :, :, 0] + own[1, :, :, 1], own[0, :, :, 1] - own[1, :, :, 0]])
        return pulled.reshape(piece.shape)

    return found.reshape(2 * left, sites, 2 * right), pull
