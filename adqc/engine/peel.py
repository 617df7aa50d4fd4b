"""Gates taken out of the halves of a brick wall and put behind the product that joins them.

Of the gates that lie across the border each is a factor of four in the bond, whose every entry costs a multiply-add for
each of the state's. The last one of them, and the two behind it, are one block on the four sites in the middle: 16
multiply-adds for each of the state's entries. So halves of depth 8 share 32 entries and not 128.
"""

from __future__ import annotations

from collections.abc import Sequence

from adqc.engine.split import Split
from adqc.geometry import Wiring, brick_wall


def find_peel(wiring: Wiring, split: Split) -> tuple[int, ...]:
    """The gates that are better put behind the join.

    Args:
        wiring: The sequence of gates.
        split: Two halves.

    Returns:
        Three gates in the order in which they act; none where the circuit is no brick wall of gates on two sites, or
        too shallow, or where the border lies at its ends or elsewhere than between columns.
    """
    depth = len(wiring.layers)
    # Below this depth the block costs more than the bond.
    if depth < 5 or split.bonds != (depth - 1,) or wiring != brick_wall(wiring.sites, depth):
        return ()
    number = {(layer, gate[0]): k for k, (layer, gate) in enumerate(zip(wiring.layer_of, wiring.gates, strict=True))}
    # The gate of the last layer but one next to the border, and those of the last one beside it.
    first = split.sites[1].start - 1
    places = [(depth - 2, first), (depth - 1, first - 1), (depth - 1, first + 1)]
    found = [number[place] for place in places if place in number]
    # The last piece's first column is no border of the chain's end.
    return tuple(found) if len(found) == 3 and first + 3 < wiring.sites else ()


def place(ranks: Sequence[int], block: Wiring, border: int) -> list[int]:
    """Ranks of the sites by which those of the block come to lie side by side: at the end of the half ahead of the
    border and at the beginning of the one behind it."""
    count = len(ranks)
    found = list(ranks)
    for site, gates in enumerate(block.wires):
        if gates:
            found[site] = site + count if site < border else site - block.sites
    return found
