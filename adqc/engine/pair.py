"""Chains of two pieces, the second one first, applied to inputs in one compiled call each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.engine.block_loops import transpose
from adqc.engine.chain import Chain
from adqc.engine.gate_loops import add_up_
from adqc.engine.pair_loops import apply_part_, pull_inputs_part_
from adqc.threads import WORK, find_team, split
from adqc.vectors import count_entries

# The gradients of inputs, where it is wanted, of the matrices, and of what is added, where there is anything.
Pulled = tuple[NumpyArray | None, list[NumpyArray], NumpyArray | None]
# Rows of the second piece that meet an input one after another, while it lies in the nearest cache.
ROWS = 32
# How many bytes of what lies between the pieces are kept for the backward pass, or as a part of the weight's.
KEPT, PART = 5 * 2**19, 1 / 32


def suits_pair(chain: Chain) -> bool:
    """Whether a chain goes in these loops."""
    return chain.backwards and len(chain.rows) == 2 and min(*chain.rows, *chain.columns) > 1


def apply_pair(
    x: NumpyArray, bias: NumpyArray | None, matrices: Sequence[NumpyArray], chain: Chain, rows: int, *, trained: bool
) -> tuple[NumpyArray, Callable[..., Pulled]]:
    """What :func:`adqc.engine.apply_loops.apply_arrays` makes of the same."""
    kind, wide, (bonds,) = x.dtype, count_entries(x.itemsize), chain.bonds
    high, low, outer, inner = chain.rows[0], chain.rows[1] // 2, chain.columns[0] // 2, chain.columns[1]
    between, total = 2 * outer * bonds, -(-len(x) // wide)
    first, *gates, second = matrices
    # Rows that go through together lie side by side.
    first = np.ascontiguousarray(first.reshape(2 * bonds, low, inner).transpose(1, 0, 2))
    second = np.ascontiguousarray(second)
    gate = np.ascontiguousarray(gates[0]) if gates else np.empty((0, 0), kind)
    x, added = np.ascontiguousarray(x), np.empty(0, kind) if bias is None else np.ascontiguousarray(bias)
    size = total * low * between * 2 * wide
    team = find_team(size * (inner + high) // WORK)
    blocks = min(total, team.size)
    sizes = high, low, outer, inner, bonds, blocks, max(1, min(low, ROWS // (2 * bonds)))
    most = max(KEPT // x.itemsize, int(PART * rows * x.shape[1])) if trained else 0
    kept = np.empty(min(size, most), kind)
    found = np.empty((len(x), rows), kind)
    turned, made = (np.empty(blocks * side * wide, kind) for side in (2 * outer * inner, 2 * high * low))
    _apply_(*team, x, added, found, turned, made, kept, first.reshape(-1), gate, second.reshape(-1), sizes, wide)

    def pull(grad: NumpyArray, *, whole: bool) -> Pulled:
        filled, across = (side + -side % (2 * wide) for side in (inner, high))
        first_grads = np.zeros((team.size, low, 2 * bonds, filled), kind)
        gate_grads = np.zeros((team.size, *gate.shape), kind)
        second_grads = np.zeros((team.size, between, across), kind)
        bias_grads = np.zeros((team.size, len(added)), kind)
        x_grad = np.empty(x.shape if whole else (0, 0), kind)
        first_back = np.ascontiguousarray(first.transpose(0, 2, 1)) if whole else first[:0]
        pulled = np.empty((team.size if whole else 0, blocks * 2 * outer * inner * wide), kind)
        turned = np.empty(0 if len(kept) == size else blocks * 2 * outer * inner * wide, kind)
        beside, turned_grad = (np.empty(blocks * side * wide, kind) for side in (2 * outer * filled, 2 * high * low))
        _pull_(
            *team, x, np.ascontiguousarray(grad), x_grad, turned, beside, turned_grad, pulled, kept, first.reshape(-1),
            first_back.reshape(-1), gate, transpose(second).reshape(-1), first_grads, gate_grads,
            second_grads, bias_grads, sizes, wide,
        )  # fmt: skip
        own = first_grads[0, :, :, :inner].transpose(1, 0, 2).reshape(2 * bonds * low, inner)
        grads = [own, *gate_grads[: len(gates)], transpose(second_grads[0, :, :high])]
        return x_grad if whole else None, grads, None if bias is None else bias_grads[0]

    return found, pull


@compiled
def _apply_(
    addresses: Any, number: int, count: int, x: Any, bias: Any, found: Any, turned: Any, made: Any, kept: Any,
    first: Any, gate: Any, second: Any, sizes: Any, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
    else:
        apply_part_(x, bias, found, turned, made, kept, first, gate, second, sizes, wide, addresses, number, count)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, x: Any, grad: Any, x_grad: Any, turned: Any, beside: Any, grads: Any,
    pulled: Any, kept: Any, first: Any, first_back: Any, gate: Any, second_back: Any, first_grads: Any, gate_grads: Any,
    second_grads: Any, bias_grads: Any, sizes: Any, wide: int,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        add_up_(first_grads)
        add_up_(gate_grads)
        add_up_(second_grads)
        add_up_(bias_grads)
        return
    pull_inputs_part_(
        x, grad, x_grad, turned, beside, grads, pulled, kept, first, first_back, gate, second_back, first_grads,
        gate_grads, second_grads, bias_grads, sizes, wide, addresses, number, count,
    )  # fmt: skip
