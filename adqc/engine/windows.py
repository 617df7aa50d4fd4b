"""Gates on the whole state of a small circuit, a window of neighbouring sites at a time.

Most of what a gate on few sites takes is reading and writing the state. A window's sites, with some of the others'
values, fit into the nearest cache, where all gates act that need no site beyond it; the state is read and written once
for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adqc.arrays import Numbers
from adqc.engine.arrange import Move, find_move
from adqc.geometry import Layout, Wiring

# Sites of a window. With LANES values each it makes 2^13 entries, and as many behind a gate.
WIDEST = 7
# The values of other sites that go through a window together, at most; where fewer of them than CLOSE lie side by side,
# those of several sites ahead of the window are brought together.
LANES, CLOSE = 64, 16


@dataclass(frozen=True, eq=False)
class Windows:
    """How gates act on a whole state.

    Args:
        gates: For each gate, in the order in which they act now, its place in the circuit's order and how many values
            the window's sites behind its own have together.
        windows: For each window where its gates begin and end, and how many values the sites ahead of it, its own ones
            and those behind it have together.
        move: How the state's bits get into the weight's order; None where they lie so.
        shape: The weight's shape before its crop.
        kept: Its shape.
        side: Rows of the largest gate.
    """

    gates: Numbers
    windows: Numbers
    move: Move | None
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    side: int

    @property
    def size(self) -> int:
        """How many entries the backward pass keeps."""
        _, _, before, rows, behind = self.windows.values[0]
        return int(before * rows * behind * len(self.windows.values))


def find_windows(wiring: Wiring, layout: Layout, order: Sequence[int]) -> Windows | None:
    """The windows.

    Args:
        wiring: The sequence of gates.
        layout: What the state is in the end.
        order: The sites in the order in which the state holds them.

    Returns:
        The windows; None where there is no gate, one on a single site, or one on sites that do not lie side by side.
    """
    place = {site: at for at, site in enumerate(order)}
    ranges = [range(place[gate[0]], place[gate[0]] + len(gate)) for gate in wiring.gates]
    if any([place[site] for site in gate] != list(own) for gate, own in zip(wiring.gates, ranges, strict=True)):
        return None
    widths = set(map(len, ranges))
    if min(widths, default=0) < 2:
        return None
    left = list(enumerate(ranges))
    wide = min(max(WIDEST, *widths), wiring.sites)
    gates: list[tuple[int, int]] = []
    windows: list[tuple[int, ...]] = []
    while left:
        found = [(first, _take(left, range(first, first + wide))) for first in range(wiring.sites - wide + 1)]
        # Of as many, those with more values side by side.
        first, taken = max(found, key=lambda pair: (len(pair[1]), -pair[0]))
        before, behind = 2**first, 2 ** (wiring.sites - first - wide)
        windows.append((len(gates), len(gates) + len(taken), before, 2**wide, behind))
        gates += [(number, 2 ** (first + wide - own.stop)) for number, own in taken]
        done = {number for number, _ in taken}
        left = [gate for gate in left if gate[0] not in done]
    move = find_move([layout.order[site] for site in order], range(wiring.sites))
    return Windows(Numbers(tuple(gates)), Numbers(tuple(windows)), move, layout.padded, layout.shape, 2 ** max(widths))


def _take(left: Sequence[tuple[int, range]], window: range) -> list[tuple[int, range]]:
    """The gates that need no site beyond the window and no gate that does."""
    found = []
    # Sites of the window that wait for a gate that is not taken.
    waiting: set[int] = set()
    for number, sites in left:
        inside = window.start <= sites.start and sites.stop <= window.stop
        if inside and waiting.isdisjoint(sites):
            found.append((number, sites))
        elif sites.start < window.stop and window.start < sites.stop:
            waiting.update(set(sites).intersection(window))
            if len(waiting) == len(window):
                break
    return found
