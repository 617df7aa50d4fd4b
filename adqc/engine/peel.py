"""Gates taken out of the halves of a brick wall and put behind the product that joins them.

Of the gates that lie across the border each is a factor of four in the bond, whose every entry costs a multiply-add for
each of the state's. The last one of them, and the two behind it, are one block on the four sites in the middle: 16
multiply-adds for each of the state's entries. So halves of depth 8 share 32 entries and not 128.

Where the halves are not joined but applied to inputs, the last gate across the border alone may act between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from adqc.engine.split import Split
from adqc.geometry import Layout, Wiring, brick_wall


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


def find_crossing(wiring: Wiring, layout: Layout, border: int) -> int | None:
    """The gate across a border that a chain of two pieces may take between them, which halves their bond's dimension.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        border: The first site of the second piece.

    Returns:
        Its number; None where no gate is the last one of both sites there, and not their first one, or where these do
        not hold a bit of the rows and one of the columns.
    """
    pair = (border - 1, border)
    rows = [layout.order[site] < layout.bits[0] for site in pair]
    wires = [wiring.wires[site] for site in pair]
    if rows[0] == rows[1] or min(map(len, wires)) < 2 or wires[0][-1] != wires[1][-1]:
        return None
    gate = wires[0][-1]
    return gate if wiring.gates[gate] == pair else None


def leave_out(wiring: Wiring, peeled: Sequence[int]) -> tuple[list[int], Wiring]:
    """The other gates' numbers, and a circuit of these alone."""
    left = [gate for gate in range(len(wiring.gates)) if gate not in peeled]
    layers = [0] * len(wiring.layers)
    for gate in left:
        layers[wiring.layer_of[gate]] += 1
    return left, Wiring(wiring.sites, tuple(wiring.gates[gate] for gate in left), tuple(layers))


def place(ranks: Sequence[int], block: Wiring, border: int) -> list[int]:
    """Ranks of the sites by which those of the block come to lie side by side: at the end of the half ahead of the
    border and at the beginning of the one behind it."""
    count = len(ranks)
    found = list(ranks)
    for site, gates in enumerate(block.wires):
        if gates:
            found[site] = site + count if site < border else site - block.sites
    return found
