"""Chains of two pieces, the second of which holds no rows, applied to inputs in one compiled call each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.engine.arrange import widen
from adqc.engine.block_loops import transpose
from adqc.engine.chain import Chain
from adqc.engine.gate_loops import add_up_
from adqc.engine.pair import Pulled
from adqc.engine.thin_loops import apply_part_, pull_inputs_part_
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries


def suits_thin(chain: Chain, itemsize: int) -> bool:
    """Whether a chain goes in these loops."""
    if not (chain.backwards and len(chain.rows) == 2 and chain.rows[1] == 1):
        return False
    return chain.columns[1] % (2 * count_entries(itemsize)) == 0


def apply_thin(
    x: NumpyArray, bias: NumpyArray | None, matrices: Sequence[NumpyArray], chain: Chain, rows: int
) -> tuple[NumpyArray, Callable[..., Pulled]]:
    """What :func:`adqc.engine.apply_loops.apply_arrays` makes of the same."""
    kind, pair, (bonds,) = x.dtype, 2 * count_entries(x.itemsize), chain.bonds
    parts, inner = chain.columns
    columns, many, filled = x.shape[1], parts * bonds, rows + -rows % pair
    sizes, batch = (parts, inner, bonds), len(x)
    first = np.ascontiguousarray(matrices[0])
    # With what is added as one more of its rows.
    second = widen(transpose(matrices[1][:rows]), (many + (bias is not None), filled))
    if bias is not None:
        second[many, :rows] = bias
    x = np.ascontiguousarray(widen(x, (batch, parts * inner)))
    between, found = np.empty((batch, len(second)), kind), np.empty((batch, rows), kind)
    team = find_team(batch * (inner + rows) * many // WORK)
    _apply_(*team, x, found, between, first.reshape(-1), _pack(second, pair), sizes, pair // 2)

    def pull(grad: NumpyArray, *, whole: bool) -> Pulled:
        x_grad = np.empty(x.shape if whole else (0, 0), kind)
        first_grads = np.zeros((team.size, bonds, inner), kind)
        second_grads = np.zeros((team.size, *second.shape), kind)
        grad = np.ascontiguousarray(widen(grad, (batch, filled)))
        _pull_(
            *team, x, grad, x_grad, between, _pack(first, pair), second.reshape(-1), first_grads, second_grads, sizes,
            pair // 2,
        )  # fmt: skip
        own = transpose(widen(second_grads[0, :many, :rows], (many, len(matrices[1]))))
        added = None if bias is None else second_grads[0, many, :rows]
        return x_grad[:, :columns] if whole else None, [first_grads[0], own], added

    return found, pull


def _pack(matrix: NumpyArray, pair: int) -> NumpyArray:
    """(rows, pairs · pair) -> (pairs, rows, pair), flat."""
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1, pair).transpose(1, 0, 2)).reshape(-1)


@compiled
def _apply_(
    addresses: Any, number: int, count: int, x: Any, found: Any, between: Any, first: Any, second: Any, sizes: Any,
    wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
    else:
        apply_part_(x, found, between, first, second, sizes, wide, number, count)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, x: Any, grad: Any, x_grad: Any, between: Any, first_back: Any, second: Any,
    first_grads: Any, second_grads: Any, sizes: Any, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        add_up_(first_grads)
        add_up_(second_grads)
    else:
        pull_inputs_part_(
            x, grad, x_grad, between, first_back, second, first_grads, second_grads, sizes, wide, number, count
        )
