"""Cutting a circuit into pieces along the chain: which gate lies where, and how many wires join the pieces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from adqc.geometry import Wiring


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
    piece = tuple(
        bisect_right(places, gate[0] - slope * layer) for gate, layer in zip(wiring.gates, wiring.layer_of, strict=True)
    )
    bonds = [0] * len(places)
    holder = []
    for site, gates in enumerate(wiring.wires):
        for a, b in pairwise(gates):
            low, high = sorted((piece[a], piece[b]))
            if high - low > 1:
                return None
            if high > low:
                bonds[low] += 1
        holder.append(piece[gates[-1]] if gates else bisect_right(places, site))
    if holder != sorted(holder) or set(holder) != set(range(len(places) + 1)):
        return None
    firsts = [holder.index(k) for k in range(len(places) + 1)] + [wiring.sites]
    return Split(piece, tuple(range(a, b) for a, b in pairwise(firsts)), tuple(bonds))


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
