"""The way through deep walls: neighbouring gates of one moment fused into blocks that multiply the state."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import torch
from torch import Tensor

from adqc.engine.statevector import product_state, zero_state
from adqc.geometry import Wiring

# 2^6 x 2^6 blocks: large enough for a matrix product to pay, small enough to build.
WIDTH = 6


@lru_cache(maxsize=256)
def fuse(wiring: Wiring) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Groups of gates that lie side by side and act at the same time.

    Args:
        wiring: The sequence of gates.

    Returns:
        For each block the indices of its gates, and for each block its first site, in the order in which they act.
    """
    blocks: list[tuple[int, ...]] = []
    for moment in wiring.moments:
        group: list[int] = []
        for k in sorted(moment, key=lambda k: wiring.gates[k][0]):
            wide = wiring.gates[k][-1] + 1 - wiring.gates[group[0]][0] if group else 0
            if group and (wiring.gates[k][0] != wiring.gates[group[-1]][-1] + 1 or wide > WIDTH):
                blocks.append(tuple(group))
                group = []
            group.append(k)
        blocks.append(tuple(group))
    return tuple(blocks), tuple(wiring.gates[block[0]][0] for block in blocks)


def run_fused(gates: Tensor, wiring: Wiring, start: Tensor | None = None) -> Tensor:
    """The state that the circuit prepares; arguments and result as in :func:`adqc.engine.statevector.run_gates`."""
    state = zero_state(wiring.sites, gates) if start is None else product_state(start.to(gates.dtype))
    blocks, sites = fuse(wiring)
    for matrix, site in zip(_block_matrices(gates, blocks), sites, strict=True):
        size = matrix.shape[0]
        if 2**site * size == state.shape[0]:
            # shape: (sites before, block) x (block, block); the general form would make many products of one column.
            state = (state.reshape(-1, size) @ matrix.mT).reshape(-1)
        else:
            state = torch.matmul(matrix, state.reshape(2**site, size, -1)).reshape(-1)
    return state


def _block_matrices(gates: Tensor, blocks: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    """The Kronecker product of each block's gates, all blocks of one length at once."""
    single = gates.unbind(0)
    lengths: dict[int, list[int]] = defaultdict(list)
    for number, block in enumerate(blocks):
        lengths[len(block)].append(number)
    found: dict[int, Tensor] = {}
    for length, numbers in lengths.items():
        # shape: (block, gate in the block, 4, 4)
        stack = torch.stack([single[k] for number in numbers for k in blocks[number]]).unflatten(0, (-1, length))
        product = stack[:, 0]
        for at in range(1, length):
            product = (product[:, :, None, :, None] * stack[:, at, None, :, None, :]).flatten(3, 4).flatten(1, 2)
        found.update(zip(numbers, product.unbind(0), strict=True))
    return [found[number] for number in range(len(blocks))]
