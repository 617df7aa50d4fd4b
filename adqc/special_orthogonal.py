"""SO(4) gates on arrays: two quaternions, since SO(4) is SU(2) × SU(2)."""

from __future__ import annotations

import numpy as np

from adqc.arrays import Numbers, NumpyArray, Pull, fixed
from adqc.pauli import LEFT_WORDS, ODD_Y, PAULI_WORDS, RIGHT_WORDS, units

# Below this angle sines are taken from their series.
NARROW = 1e-2


def _products() -> tuple[tuple[float, ...], ...]:
    """(16, 16): the gate's entries for each pair of the two quaternions' components."""
    pairs = units(LEFT_WORDS)[:, None] @ units(RIGHT_WORDS)
    return tuple(map(tuple, pairs.reshape(16, 16).tolist()))


PLACES = Numbers(tuple([PAULI_WORDS[k] for k in ODD_Y].index(word) for word in LEFT_WORDS + RIGHT_WORDS))
PRODUCTS = Numbers(_products())


def so4_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """``exp(i Σ p_k P_k)`` over the six words with an odd number of Y, and what makes the parameters' gradient of the
    gates'.

    Args:
        params: (G, 6), in the order of PennyLane's ``SpecialUnitary``.
    """
    places, products = fixed(PLACES, params, index=True), fixed(PRODUCTS, params)
    # The two axes times their angles, (G, 2, 3).
    axes = params[:, places].reshape(-1, 2, 3)
    angle = np.sqrt((axes * axes).sum(-1, keepdims=True))
    cos, over = np.cos(angle), _sine_over(angle)
    quaternions = np.concatenate([cos, over * axes], axis=-1)
    left, right = quaternions[:, 0], quaternions[:, 1]
    gates = ((left[:, :, None] * right[:, None, :]).reshape(-1, 16) @ products).reshape(-1, 4, 4)

    def pull(grad: NumpyArray) -> NumpyArray:
        pairs = (grad.reshape(-1, 16) @ products.T).reshape(-1, 4, 4)
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
