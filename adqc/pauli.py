"""The Pauli words of two qubits, and the two sets of them that make SO(4) a pair of quaternions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The words of qml.SpecialUnitary(·, wires of two), in its own order; those with an odd number of Y are imaginary.
PAULI_WORDS = ("IX", "IY", "IZ", "XI", "XX", "XY", "XZ", "YI", "YX", "YY", "YZ", "ZI", "ZX", "ZY", "ZZ")
ODD_Y = tuple(k for k, word in enumerate(PAULI_WORDS) if word.count("Y") % 2)
# Times i, the quaternion units i, j, k of either factor of SO(4).
LEFT_WORDS = ("YI", "XY", "ZY")
RIGHT_WORDS = ("IY", "YX", "YZ")


def pauli(word: str) -> Tensor:
    """The matrix of a word, (4, 4), complex128."""
    letters = {
        "I": [[1, 0], [0, 1]],
        "X": [[0, 1], [1, 0]],
        "Y": [[0, -1j], [1j, 0]],
        "Z": [[1, 0], [0, -1]],
    }
    left, right = (torch.tensor(letters[letter], dtype=torch.complex128, device="cpu") for letter in word)
    return torch.kron(left, right)


def units(words: Sequence[str]) -> Tensor:
    """The quaternion units 1, i, j, k that these three words stand for, (4, 4, 4), float64."""
    imaginary = [(1j * pauli(word)).real for word in words]
    return torch.stack([torch.eye(4, dtype=torch.float64, device="cpu"), *imaginary])
