"""Cutting a circuit into pieces along the chain: which gate lies where, and how many wires join the pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adqc.geometry import Wiring

Array = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Split:
    """A circuit cut into pieces, from the first site to the last.

    Args:
        piece: For each gate, the number of the piece that it lies in.
        sites: For each piece, the sites whose outputs it holds.
        bonds: For each border between neighbouring pieces, the number of wire stretches that cross it.
    """

    piece: tuple[int, ...]
    sites: tuple[range, ...]
    bonds: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self.sites)


def cut(wiring: Wiring, places: Sequence[int], slope: int = 0) -> Split | None:
    """The pieces between these places.

    Args:
        wiring: The sequence of gates.
        places: Rising. A gate of layer l lies left of a cut at p if its first site is below ``p + slope · l``.
        slope: How the cuts move from layer to layer; -1 follows the sweeps of a staircase.

    Returns:
        The pieces; None where one would hold no site, or sites that are not neighbours, or where a wire would jump
        over a piece.
    """
    links = _find_links(wiring)
    piece = np.searchsorted(places, links.first - slope * links.layer, side="right")
    ends = np.sort(piece[links.pairs], axis=1)
    if (ends[:, 1] - ends[:, 0] > 1).any():
        return None
    crossed = ends[ends[:, 0] < ends[:, 1], 0]
    idle = np.searchsorted(places, np.arange(wiring.sites), side="right")
    # A site without gates has -1 for its last one, which names the entry put behind.
    holder = np.where(links.last < 0, idle, np.append(piece, 0)[links.last])
    if (np.diff(holder) < 0).any() or len(np.unique(holder)) <= len(places):
        return None
    firsts = [*np.searchsorted(holder, range(len(places) + 1)).tolist(), wiring.sites]
    bonds = np.bincount(crossed, minlength=len(places)).tolist()
    return Split(tuple(piece.tolist()), tuple(range(a, b) for a, b in pairwise(firsts)), tuple(bonds))


class _Links(NamedTuple):
    """First site and layer of each gate, the pairs that follow one another on a wire, the last on each wire."""

    first: Array
    layer: Array
    pairs: Array
    last: Array


@lru_cache(maxsize=64)
def _find_links(wiring: Wiring) -> _Links:
    pairs = [pair for gates in wiring.wires for pair in pairwise(gates)]
    return _Links(
        np.array([gate[0] for gate in wiring.gates], dtype=int),
        np.array(wiring.layer_of, dtype=int),
        np.array(pairs, dtype=int).reshape(-1, 2),
        np.array([gates[-1] if gates else -1 for gates in wiring.wires], dtype=int),
    )


def whole(wiring: Wiring) -> Split:
    """The circuit in one piece."""
    return Split((0,) * len(wiring.gates), (range(wiring.sites),), ())


def slopes(wiring: Wiring) -> tuple[int, ...]:
    """The slants worth trying: a slanted cut crosses a sweep of a staircase once, a straight one twice."""
    neighbours = any(
        a == b and first[0] + 1 == second[0]
        for (a, first), (b, second) in pairwise(zip(wiring.layer_of, wiring.gates, strict=True))
    )
    return (-1, 0) if neighbours else (0,)


def shorten(wiring: Wiring, first: int, last: int) -> Wiring:
    """The circuit of the layers ``first`` to ``last - 1`` alone."""
    begin, end = (sum(wiring.layers[:layer]) for layer in (first, last))
    return Wiring(wiring.sites, wiring.gates[begin:end], wiring.layers[first:last])


def halves(wiring: Wiring) -> list[Split]:
    """Ways to cut a circuit in two, those with the least work first."""
    found: dict[tuple[int, int], tuple[float, Split]] = {}
    for slope in slopes(wiring):
        # Cuts far from the middle make one half nearly as large as the state.
        middle = wiring.sites // 2 - slope * (len(wiring.layers) - 1)
        for place in range(middle - 5, middle + 7):
            made = cut(wiring, (place,), slope)
            if made is None:
                continue
            left, right = (float(2 ** len(sites)) for sites in made.sites)
            bond = float(2 ** made.bonds[0])
            # The joining product, and the blocks of both halves.
            work = bond * left * right + 64 * bond * (left + right)
            key = (len(made.sites[0]), made.bonds[0])
            if key not in found or work < found[key][0]:
                found[key] = (work, made)
    return [made for _, made in sorted(found.values(), key=lambda pair: pair[0])]
