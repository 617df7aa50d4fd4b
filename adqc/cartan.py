"""The minimal brick as a matrix, in few calls for a whole batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adqc.arrays import Numbers, NumpyArray, Pull, as_array, fixed, is_plain, is_small, is_traced, own_backward
from adqc.compiled import compiled


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
    return torch.from_numpy(cartan_arrays(as_array(params))[0])


def cartan_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    """:func:`cartan_matrices` on an array, and what makes the parameters' gradient of the gates'."""
    flat = np.ascontiguousarray(params).reshape(-1, 4)
    gates = np.empty((len(flat), 4, 4), flat.dtype)
    _make_(flat, gates)

    def pull(grad: NumpyArray) -> NumpyArray:
        found = np.empty_like(flat)
        _pull_(np.ascontiguousarray(grad).reshape(-1, 4, 4), gates, found)
        return found.reshape(params.shape)

    return gates.reshape(*params.shape[:-1], 4, 4), pull


@compiled
def _make_(params: Any, gates: Any) -> None:
    for g in range(len(params)):
        a, b, c, d = params[g]
        first = np.cos(c / 2), np.sin(c / 2)
        second = np.cos(d / 2), np.sin(d / 2)
        outer = np.cos(a + b), np.sin(a + b)
        inner = np.cos(a - b), np.sin(a - b)
        for i in range(2):
            for j in range(2):
                # A row of RY(c) ⊗ RY(d), and the planes of |00>, |11> and of |01>, |10> turned.
                one, other = (first[1], first[0]) if i else (first[0], -first[1])
                left, right = (second[1], second[0]) if j else (second[0], -second[1])
                row = gates[g, 2 * i + j]
                row[0] = one * left * outer[0] - other * right * outer[1]
                row[3] = other * right * outer[0] + one * left * outer[1]
                row[1] = one * right * inner[0] + other * left * inner[1]
                row[2] = other * left * inner[0] - one * right * inner[1]


@compiled
def _pull_(grads: Any, gates: Any, found: Any) -> None:
    """An angle's derivative turns rows or columns of the gate into one another by a quarter of a turn."""
    zero = np.zeros(1, gates.dtype)[0]
    for g in range(len(gates)):
        gate, grad = gates[g], grads[g]
        outer, inner, c, d = zero, zero, zero, zero
        for k in range(4):
            outer += grad[k, 3] * gate[k, 0] - grad[k, 0] * gate[k, 3]
            inner += grad[k, 1] * gate[k, 2] - grad[k, 2] * gate[k, 1]
            c += grad[2, k] * gate[0, k] - grad[0, k] * gate[2, k] + grad[3, k] * gate[1, k] - grad[1, k] * gate[3, k]
            d += grad[1, k] * gate[0, k] - grad[0, k] * gate[1, k] + grad[3, k] * gate[2, k] - grad[2, k] * gate[3, k]
        found[g, 0], found[g, 1], found[g, 2], found[g, 3] = outer + inner, outer - inner, c / 2, d / 2


def _matrices(params: Tensor) -> tuple[Tensor, Tensor]:
    """The gates, and the cosines and sines that their entries are sums of."""
    angles = params @ fixed(ANGLES, params)
    found = torch.cat([angles.cos(), angles.sin()], dim=-1)
    gates: Tensor = (found @ fixed(WEIGHTS, params)).reshape(*params.shape[:-1], 4, 4)
    return gates, found


def _pull(grad: Tensor, known: Tensor) -> Tensor:
    """The parameters' gradient."""
    grad = grad.reshape(*grad.shape[:-2], 16) @ fixed(WEIGHTS, grad).mT
    turned = grad[..., 8:] * known[..., :8] - grad[..., :8] * known[..., 8:]
    pulled: Tensor = turned @ fixed(ANGLES, grad).mT
    return pulled


class _Cartan(torch.autograd.Function):
    """autograd by itself would take a step for each of nine calls."""

    @staticmethod
    def forward(ctx: Any, params: Tensor) -> Tensor:
        ctx.pull = None
        if is_small(params, params.numel()):
            gates, ctx.pull = cartan_arrays(as_array(params))
            ctx.save_for_backward(params)
            return torch.from_numpy(gates)
        found, known = _matrices(params)
        ctx.save_for_backward(params, known)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        params, *known = ctx.saved_tensors
        if ctx.pull is not None and not torch.is_grad_enabled() and is_plain(grad):
            return torch.from_numpy(ctx.pull(as_array(grad)))
        return _pull(grad, known[0] if known and not torch.is_grad_enabled() else _matrices(params)[1])


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
