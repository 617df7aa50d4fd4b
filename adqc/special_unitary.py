"""SU(4) gates as exponentials, by the eigenvectors of what is raised to: one step there, and one back."""

from __future__ import annotations

import numpy as np

from adqc.arrays import NumpyArray, Pull
from adqc.pauli import PAULI_WORDS, pauli

# (15, 4, 4): what the parameters multiply.
_WORDS = np.stack([pauli(word).numpy() for word in PAULI_WORDS])


def su4_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """``exp(i Σ p_k P_k)`` over PennyLane's 15 words of Pauli matrices, on an array.

    Args:
        params: (G, 15), in the order of PennyLane's ``SpecialUnitary``.

    Returns:
        (G, 4, 4), complex, and what makes the parameters' gradient of theirs.
    """
    # In double precision throughout, as the gates are few.
    words = _WORDS.reshape(15, 16)
    values, vectors = np.linalg.eigh((np.where(np.isfinite(params), params, 0) @ words).reshape(-1, 4, 4))
    # There are no eigenvectors of what is not finite, and no gate.
    values += (0 * params).sum(1, keepdims=True)
    turned = vectors.conj().swapaxes(1, 2)
    gates = (vectors * np.exp(1j * values)[:, None]) @ turned

    def pull(grad: NumpyArray) -> NumpyArray:
        # Between eigenvectors the derivative of f is (f(x) - f(y)) / (x - y), here without the difference of two
        # numbers that may be close.
        mean, half = (values[:, :, None] + values[:, None]) / 2, (values[:, :, None] - values[:, None]) / 2
        slopes = 1j * np.exp(1j * mean) * np.sinc(half / np.pi)
        inner = turned @ grad @ vectors * slopes.conj()
        pulled: NumpyArray = (vectors @ inner @ turned).reshape(-1, 16) @ words.conj().T
        return pulled.real.astype(params.dtype)

    return gates.astype(np.result_type(params.dtype, np.complex64)), pull
