"""Rotations of four real dimensions as pairs of unit quaternions, exactly.

SO(4) is SU(2) x SU(2), up to a common sign: ``exp(i(x1 YI + x2 XY + x3 ZY)) exp(i(y1 IY + y2 YX + y3 YZ))``. The
two triples of Pauli words commute with each other, and each multiplies as the three units of the quaternions do. So a
gate is split by arithmetic alone, near the identity as well as anywhere else (quant-ph/0308006, Theorem 3, real form).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from adqc.pauli import LEFT_WORDS, ODD_Y, PAULI_WORDS, RIGHT_WORDS, units


def split_rotation(rotations: Tensor) -> tuple[Tensor, Tensor]:
    """The two unit quaternions of each rotation; their common sign is free.

    Args:
        rotations: (…, 4, 4), real, orthogonal, of determinant 1.

    Returns:
        Left and right quaternions, (…, 4), float64.
    """
    rotations = rotations.double()
    pairs = torch.einsum("mij,njk->mnik", units(LEFT_WORDS), units(RIGHT_WORDS)) / 4
    # The 16 products of units are orthogonal, so these are the products of the two quaternions' entries: rank one.
    products = torch.einsum("mnik,...ik->...mn", pairs.to(rotations.device), rotations)
    largest = products.norm(dim=-1).argmax(dim=-1)[..., None, None]
    right = products.take_along_dim(largest, dim=-2).squeeze(-2)
    right = right / right.norm(dim=-1, keepdim=True)
    left = (products @ right.unsqueeze(-1)).squeeze(-1)
    return left / left.norm(dim=-1, keepdim=True), right


def join_rotation(left: Tensor, right: Tensor) -> Tensor:
    """The inverse of :func:`split_rotation`: two quaternions (…, 4) -> (…, 4, 4)."""
    first = torch.einsum("...m,mij->...ij", left, units(LEFT_WORDS).to(left))
    return first @ torch.einsum("...m,mij->...ij", right, units(RIGHT_WORDS).to(right))


def euler_angles(quaternions: Tensor) -> Tensor:
    """Angles (α, β, γ) with ``q = exp(α i) exp(β j) exp(γ i)``.

    Args:
        quaternions: (…, 4), of norm 1.

    Returns:
        (…, 3); β lies in [0, π/2].
    """
    w, i, j, k = quaternions.unbind(-1)
    total, difference = torch.atan2(i, w), torch.atan2(k, j)
    middle = torch.atan2(torch.hypot(j, k), torch.hypot(w, i))
    return torch.stack([(total + difference) / 2, middle, (total - difference) / 2], dim=-1)


def from_euler(angles: Tensor) -> Tensor:
    """The inverse of :func:`euler_angles`: (…, 3) -> (…, 4)."""
    # No sums of angles: large ones would lose digits in them.
    (c1, c2, c3), (s1, s2, s3) = (part.unbind(-1) for part in (angles.cos(), angles.sin()))
    entries = c2 * (c1 * c3 - s1 * s3), c2 * (s1 * c3 + c1 * s3), s2 * (c1 * c3 + s1 * s3), s2 * (s1 * c3 - c1 * s3)
    return torch.stack(entries, dim=-1)


def quaternion_logarithm(quaternions: Tensor) -> Tensor:
    """The vector x with ``q = exp(x1 i + x2 j + x3 k)``, of length at most π.

    Args:
        quaternions: (…, 4), of norm 1.

    Returns:
        (…, 3).
    """
    vector = quaternions[..., 1:]
    length = vector.norm(dim=-1, keepdim=True)
    angle = torch.atan2(length, quaternions[..., :1])
    # At q = -1 every axis is right.
    first = vector.new_tensor([1.0, 0.0, 0.0])
    axis = torch.where(length > 0, vector / length.clamp_min(torch.finfo(length.dtype).tiny), first)
    return axis * angle


def real_schmidt(states: Tensor) -> Tensor:
    """Angles (t, c, d) with ``state = (RY(c) ⊗ RY(d)) (cos t |00> + sin t |11>)``.

    Args:
        states: (…, 4), real two-qubit states of norm 1.

    Returns:
        (…, 3).
    """
    w, x, y, z = states.unbind(-1)
    # As a 2x2 matrix the state is RY(c) diag(cos t, sin t) RY(d)ᵀ: a turn by (c-d)/2 times cos t + sin t, and a
    # reflection at (c+d)/2 times cos t - sin t.
    turn, mirror = torch.atan2(y - x, w + z), torch.atan2(x + y, w - z)
    angle = math.pi / 4 - torch.atan2(torch.hypot(w - z, x + y), torch.hypot(w + z, y - x))
    return torch.stack([angle, turn + mirror, mirror - turn], dim=-1)


def to_special_unitary(left: Tensor, right: Tensor) -> Tensor:
    """The 6 parameters of ``so4`` of ``exp(i x·LEFT_WORDS) exp(i y·RIGHT_WORDS)``.

    Args:
        left: (…, 3), x.
        right: (…, 3), y.

    Returns:
        (…, 6), in the order of ``qml.SpecialUnitary``.
    """
    words = LEFT_WORDS + RIGHT_WORDS
    order = [words.index(PAULI_WORDS[k]) for k in ODD_Y]
    return torch.cat([left, right], dim=-1)[..., order]
