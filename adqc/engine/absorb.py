"""Gates that do to |0…0> what these do to a product state: the first one on each site takes the site's vector in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from adqc.arrays import NumpyArray
from adqc.constants import constant
from adqc.geometry import Wiring


def is_absorbed(wiring: Wiring) -> bool:
    """Whether every site has a gate."""
    return all(wiring.wires)


def absorb(gates: Tensor, start: Tensor, wiring: Wiring) -> Tensor:
    """Such gates.

    Args:
        gates: (…, G, 2^k, 2^k).
        start: (…, Q, 2), the product state to begin with.
        wiring: Where they act; every site has a gate.
    """
    start = start.to(gates.dtype)
    like = start.detach()
    met = start[..., constant(wiring.gates, like, dtype=torch.long), :]
    fresh = constant(wiring.fresh, like, dtype=torch.bool)[:, :, None, None]
    unit = torch.eye(2, dtype=start.dtype, device=start.device)
    # What is |0> becomes the start vector, what is not stays.
    turns = torch.where(fresh, torch.stack([met, torch.zeros_like(met)], dim=-1), unit).unbind(-3)
    whole = turns[0]
    for turn in turns[1:]:
        whole = (whole[..., :, None, :, None] * turn[..., None, :, None, :]).flatten(-4, -3).flatten(-2)
    found: Tensor = gates @ whole
    return found


def absorb_arrays(
    gates: NumpyArray, start: NumpyArray, wiring: Wiring
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """The same of arrays, all gates of a wall, and what makes the gradients of gates and start of these gates'."""
    places, found = _find_fresh(wiring), gates.copy()
    size = gates.shape[1]
    given: list[NumpyArray] = []
    for wire, (numbers, sites) in enumerate(places):
        # shape: (gates, rows · wires ahead, values of this one, wires behind)
        own = found[numbers].reshape(len(numbers), size << wire, 2, -1)
        given.append(own)
        made = np.zeros_like(own)
        made[:, :, 0] = own[:, :, 0] * start[sites, :1, None] + own[:, :, 1] * start[sites, 1:, None]
        found[numbers] = made.reshape(-1, size, size)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        pulled, pulled_start = grad.copy(), np.zeros_like(start)
        for wire, (numbers, sites) in reversed(list(enumerate(places))):
            own, kept = pulled[numbers].reshape(given[wire].shape)[:, :, 0], given[wire]
            pulled_start[sites] = (own[:, :, None] * kept.conj()).sum((1, 3)).real
            pulled[numbers] = (own[:, :, None] * start[sites, None, :, None]).reshape(-1, size, size)
        return pulled, pulled_start

    return found, pull


@lru_cache(maxsize=256)
def _find_fresh(wiring: Wiring) -> tuple[tuple[NumpyArray, NumpyArray], ...]:
    """For each wire of a gate: the gates that are the first on it, and the sites that these meet there."""
    fresh, sites = np.array(wiring.fresh), np.array(wiring.gates)
    numbers = [np.flatnonzero(own) for own in fresh.T]
    return tuple((own, sites[own, wire]) for wire, own in enumerate(numbers))
