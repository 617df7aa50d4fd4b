"""SO(4) gates as two quaternions, since SO(4) is SU(2) × SU(2): what a matrix exponential gives, with less rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adqc.arrays import Numbers, NumpyArray, Pull, fixed, multiply
from adqc.pauli import LEFT_WORDS, ODD_Y, PAULI_WORDS, RIGHT_WORDS, units

# (-1)^k / (2k)! and (-1)^k / (2k + 1)!: cos x and sin x / x as series in x², to all digits below x = 1.
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(10))
SINE_OVER = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(10))
# On arrays, where one derivative is enough, two terms below this angle are.
NARROW = 1e-2


def _products() -> tuple[tuple[float, ...], ...]:
    """(16, 16): the gate's entries for each pair of the two quaternions' components."""
    pairs = units(LEFT_WORDS)[:, None] @ units(RIGHT_WORDS)
    return tuple(map(tuple, pairs.reshape(16, 16).tolist()))


PLACES = Numbers(tuple([PAULI_WORDS[k] for k in ODD_Y].index(word) for word in LEFT_WORDS + RIGHT_WORDS))
PRODUCTS = Numbers(_products())


def so4_matrices(params: Tensor) -> Tensor:
    """``exp(i Σ p_k P_k)`` over the six words with an odd number of Y.

    Three of them generate the left quaternion, cos|v| + sin|v| v/|v| of the numbers v before them, the others the
    right one.

    Args:
        params: (…, 6), in the order of PennyLane's ``SpecialUnitary``.

    Returns:
        (…, 4, 4), real, ``matrix[out, in]``.
    """
    axes = params.index_select(-1, fixed(PLACES, params, index=True)).unflatten(-1, (2, 3))
    square = axes.square().sum(-1, keepdim=True)
    near = square < 1
    # Where the series holds, the other way shall have gradients, too.
    angle = torch.where(near, 1.0, square).sqrt()
    cos = torch.where(near, _series(COSINE, square), angle.cos())
    over = torch.where(near, _series(SINE_OVER, square), angle.sin() / angle)
    left, right = torch.cat([cos, over * axes], dim=-1).unbind(-2)
    pairs = (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2)
    gates: Tensor = (pairs @ fixed(PRODUCTS, params)).unflatten(-1, (4, 4))
    return gates


def _series(coefficients: Sequence[float], square: Tensor) -> Tensor:
    found = torch.full_like(square, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        found = found * square + coefficient
    return found


def so4_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """:func:`so4_matrices` on an array, and what makes the parameters' gradient of the gates'."""
    places, products = fixed(PLACES, params, index=True), fixed(PRODUCTS, params)
    # The two axes times their angles, (G, 2, 3).
    axes = params[:, places].reshape(-1, 2, 3)
    angle = np.sqrt((axes * axes).sum(-1, keepdims=True))
    cos, over = np.cos(angle), _sine_over(angle)
    quaternions = np.concatenate([cos, over * axes], axis=-1)
    left, right = quaternions[:, 0], quaternions[:, 1]
    gates = multiply((left[:, :, None] * right[:, None, :]).reshape(-1, 16), products).reshape(-1, 4, 4)

    def pull(grad: NumpyArray) -> NumpyArray:
        pairs = multiply(grad.reshape(-1, 16), products.T).reshape(-1, 4, 4)
        sides = [(pairs @ right[:, :, None])[..., 0], (left[:, None] @ pairs)[:, 0]]
        own = np.stack(sides, axis=1)
        along = (own[..., 1:] * axes).sum(-1, keepdims=True)
        pulled = over * own[..., 1:] + (along * _slope_over(angle, cos, over) - over * own[..., :1]) * axes
        found = np.empty_like(params)
        found[:, places] = pulled.reshape(-1, 6)
        return found

    return gates, pull


def _sine_over(angle: NumpyArray) -> NumpyArray:
    """sin(x) / x."""
    safe = np.maximum(angle, NARROW)
    square = angle * angle
    found: NumpyArray = np.where(angle < NARROW, 1 - square / 6 * (1 - square / 20), np.sin(safe) / safe)
    return found


def _slope_over(angle: NumpyArray, cos: NumpyArray, over: NumpyArray) -> NumpyArray:
    """The derivative of sin(x) / x, over x."""
    safe = np.maximum(angle, NARROW)
    square = angle * angle
    found: NumpyArray = np.where(
        angle < NARROW, -(1 - square / 10 * (1 - square / 28)) / 3, (cos - over) / (safe * safe)
    )
    return found
