"""The minimal complex brick as a matrix, in loops, and the gradient of its angles."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.arrays import NumpyArray, Pull
from adqc.compiled import compiled


def cartan_su4_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """``(V(p_3, p_4, p_5) ⊗ V(p_6, p_7, p_8)) · exp(i(p_0·XX + p_1·YY + p_2·ZZ))`` with V(a, b, c) = RZ(c) RY(b) RZ(a).

    Args:
        params: (G, 9).

    Returns:
        (G, 4, 4), complex, and what makes the parameters' gradient of theirs.
    """
    params = np.ascontiguousarray(params)
    gates = np.empty((len(params), 4, 4), np.result_type(params.dtype, np.complex64))
    _make_(params, gates)

    def pull(grad: NumpyArray) -> NumpyArray:
        found = np.empty_like(params)
        _pull_(params, np.ascontiguousarray(grad), gates, found)
        return found

    return gates, pull


@compiled
def _turn_(angles: Any, found: Any) -> None:
    """RZ(c) RY(b) RZ(a)."""
    a, b, c = angles
    plus, minus = (a + c) / 2, (c - a) / 2
    cos, sin = np.cos(b / 2), np.sin(b / 2)
    found[1, 1] = complex(cos * np.cos(plus), cos * np.sin(plus))
    found[1, 0] = complex(sin * np.cos(minus), sin * np.sin(minus))
    found[0, 0], found[0, 1] = np.conj(found[1, 1]), -np.conj(found[1, 0])


@compiled
def _make_(params: Any, gates: Any) -> None:
    sides = np.empty((2, 2, 2), gates.dtype)
    for g in range(len(params)):
        _turn_(params[g, 3:6], sides[0])
        _turn_(params[g, 6:9], sides[1])
        a, b, c = params[g, 0], params[g, 1], params[g, 2]
        for j in range(4):
            # |00> and |11> get the phase c and turn into one another by a - b, |01> and |10> by a + b with -c.
            outer = j == 0 or j == 3
            phase, angle = (c, a - b) if outer else (-c, a + b)
            turn = complex(np.cos(phase), np.sin(phase))
            keep, swap = np.cos(angle) * turn, np.sin(angle) * 1j * turn
            for i in range(4):
                own = sides[0, i // 2, j // 2] * sides[1, i % 2, j % 2]
                other = sides[0, i // 2, 1 - j // 2] * sides[1, i % 2, 1 - j % 2]
                gates[g, i, j] = own * keep + other * swap


@compiled
def _pull_(params: Any, grads: Any, gates: Any, found: Any) -> None:
    """An angle's derivative multiplies the gate by half a Pauli word, which the turns behind it have turned."""
    side, kernel = np.empty((2, 2), gates.dtype), np.empty((2, 2), gates.dtype)
    for g in range(len(params)):
        gate, grad, own = gates[g], grads[g], found[g]
        own[:] = 0
        for i in range(4):
            for j in range(4):
                outer = j == 0 or j == 3
                kept = (np.conj(grad[i, j]) * gate[i, j]).imag
                swapped = (np.conj(grad[i, j]) * gate[i, 3 - j]).imag
                own[0] -= swapped
                own[1] += swapped if outer else -swapped
                own[2] += -kept if outer else kept
        for s in range(2):
            angles = params[g, 3 + 3 * s : 6 + 3 * s]
            _turn_(angles, side)
            # What the other wire and the inputs leave of the gradient.
            for p in range(2):
                for q in range(2):
                    kernel[p, q] = 0
                    for r in range(2):
                        out, into = (2 * r + p, 2 * r + q) if s else (2 * p + r, 2 * q + r)
                        for j in range(4):
                            kernel[p, q] += np.conj(grad[out, j]) * gate[into, j]
            cross = 2 * side[0, 0] * np.conj(side[1, 0])
            level = abs(side[0, 0]) ** 2 - abs(side[0, 1]) ** 2
            turn = complex(-np.sin(angles[2]), -np.cos(angles[2]))
            flat = kernel[0, 0] - kernel[1, 1]
            own[3 + 3 * s] = (level * flat + cross * kernel[0, 1] + np.conj(cross) * kernel[1, 0]).imag / 2
            own[4 + 3 * s] = (turn * kernel[0, 1] + np.conj(turn) * kernel[1, 0]).imag / 2
            own[5 + 3 * s] = flat.imag / 2
