"""The minimal brick as a matrix, in few calls for a whole batch."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import (
    Array,
    Numbers,
    NumpyArray,
    Pull,
    as_array,
    fixed,
    is_plain,
    is_small,
    is_traced,
    own_backward,
    silently,
    waves,
)


def cartan_matrices(params: Tensor) -> Tensor:
    """``(RY(c) ⊗ RY(d)) · exp(i(a·XY + b·YX))``.

    The exponential turns the plane of |00>, |11> by a + b and that of |01>, |10> by a - b. So each entry is a product
    of a cosine or sine of c/2, of d/2 and of a turn: a sum of cosines and sines of eight angles.

    Args:
        params: (…, 4), the angles a, b, c, d.

    Returns:
        (…, 4, 4), real, ``matrix[out, in]``.
    """
    if own_backward():
        found: Tensor = _Cartan.apply(params)  # type: ignore[no-untyped-call]
        return found
    if is_traced() or not is_small(params, params.numel()):
        return _matrices(params)[0]
    with silently():
        return torch.from_numpy(_matrices(as_array(params))[0])


def cartan_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """:func:`cartan_matrices` on an array, and what makes the parameters' gradient of the gates'."""
    gates, known = _matrices(params)
    return gates, lambda grad: _pull(grad, known)


def _matrices(params: Array) -> tuple[Array, Array]:
    """The gates, and the cosines and sines that their entries are sums of."""
    found = waves(params @ fixed(ANGLES, params))
    gates: Array = (found @ fixed(WEIGHTS, params)).reshape(*params.shape[:-1], 4, 4)
    return gates, found


def _pull(grad: Array, known: Array) -> Array:
    """The parameters' gradient."""
    grad = grad.reshape(*grad.shape[:-2], 16) @ fixed(WEIGHTS, grad).mT
    turned = grad[..., 8:] * known[..., :8] - grad[..., :8] * known[..., 8:]
    pulled: Array = turned @ fixed(ANGLES, grad).mT
    return pulled


class _Cartan(torch.autograd.Function):
    """autograd by itself would take a step for each of nine calls."""

    @staticmethod
    def forward(ctx: Any, params: Tensor) -> Tensor:
        ctx.small = is_small(params, params.numel())
        if ctx.small:
            with silently():
                found, known = map(torch.from_numpy, _matrices(as_array(params)))
        else:
            found, known = _matrices(params)
        ctx.save_for_backward(params, known)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        params: Tensor
        known: Tensor
        params, known = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _pull(grad, _matrices(params)[1])
        if not (ctx.small and is_plain(grad)):
            return _pull(grad, known)
        with silently():
            return torch.from_numpy(_pull(as_array(grad), as_array(known)))


# cos x cos y cos z is the mean of cos(±x ± y + z) over the signs.
SIGNS = tuple(itertools.product((1, -1), repeat=3))
# (4, 8): how the angles come from the parameters, x = ±(a + b) or ±(a - b), y = ±c/2, z = d/2.
ANGLES = Numbers(tuple(zip(*((s, s * u, t / 2, 1 / 2) for s, t, u in SIGNS), strict=True)))


def _entry(row: int, column: int) -> list[float]:
    """The weights of the cosines and sines of the eight angles in one entry of the gate."""
    weights = [0.0] * 16
    for turned in (False, True):
        # The turn keeps a column or takes the opposite one, the sine of its angle with this sign.
        inner, sign = (3 - column, -1 if column in (0, 2) else 1) if turned else (column, 1)
        sines = []
        for out, into in ((row // 2, inner // 2), (row % 2, inner % 2)):
            sines.append(out != into)
            sign *= -1 if out < into else 1
        for at, (s, t, u) in enumerate(SIGNS):
            if (u == 1) == (column in (0, 3)):
                # A sine is a cosine a quarter of a turn earlier.
                half_turns, odd = divmod((s * turned + t * sines[0] + sines[1]) % 4, 2)
                weights[at + 8 * odd] += sign * (-1 if half_turns else 1) / 4
    return weights


# (16, 16): how the entries come from the waves.
WEIGHTS = Numbers(tuple(zip(*(_entry(row, column) for row in range(4) for column in range(4)), strict=True)))
