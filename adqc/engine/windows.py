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
        gates: For each gate, in the order in which they act now, its place in the order that it was given in, and how
            many values the window's axes have together behind its last one and behind its first one (behind its last
            two and three, where it acts on more than two).
        windows: For each window where its gates begin and end, and how many values the axes ahead of it, its own ones
            and those behind it have together.
        move: How the axes get into the order that they shall have in the end; None where they lie so.
        shape: The shape that they have then.
        kept: What is kept of it.
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
    """The windows of all gates on a weight's state.

    Args:
        wiring: The sequence of gates.
        layout: What the state is in the end.
        order: The sites in the order in which the state holds them.

    Returns:
        The windows; None where :func:`lay_windows` finds none.
    """
    place = {site: at for at, site in enumerate(order)}
    gates = [tuple(place[site] for site in gate) for gate in wiring.gates]
    move = find_move([layout.order[site] for site in order], range(wiring.sites))
    return lay_windows(gates, wiring.sites, move, layout.padded, layout.shape)


def lay_windows(
    gates: Sequence[tuple[int, ...]], axes: int, move: Move | None, shape: tuple[int, ...], kept: tuple[int, ...]
) -> Windows | None:
    """The windows of gates on any axes of two values.

    Args:
        gates: The axes of each gate, in the order in which the gates act.
        axes: Number of axes.
        move: See :class:`Windows`, as of the others.
        shape: The same.
        kept: The same.

    Returns:
        The windows; None where there is no gate, one on a single axis, one whose axes do not rise, one on more than two
        that are no neighbours, or two that lie too far apart.
    """
    if not gates or any(not _suits(gate) for gate in gates):
        return None
    widest = max(gate[-1] + 1 - gate[0] for gate in gates)
    if widest > max(WIDEST, *map(len, gates)):
        return None
    wide = min(max(WIDEST, widest), axes)
    left = list(enumerate(gates))
    laid: list[tuple[int, int, int]] = []
    windows: list[tuple[int, ...]] = []
    while left:
        found = [(first, _take(left, range(first, first + wide))) for first in range(axes - wide + 1)]
        # Of as many, those with more values side by side.
        first, taken = max(found, key=lambda pair: (len(pair[1]), -pair[0]))
        last = first + wide - 1
        windows.append((len(laid), len(laid) + len(taken), 2**first, 2**wide, 2 ** (axes - 1 - last)))
        laid += [(number, 2 ** (last - own[-1]), 2 ** (last - own[-2])) for number, own in taken]
        done = {number for number, _ in taken}
        left = [gate for gate in left if gate[0] not in done]
    return Windows(Numbers(tuple(laid)), Numbers(tuple(windows)), move, shape, kept, 2 ** max(map(len, gates)))


def _suits(gate: tuple[int, ...]) -> bool:
    if len(gate) == 2:
        return gate[0] < gate[1]
    return len(gate) > 2 and gate == tuple(range(gate[0], gate[-1] + 1))


def _take(left: Sequence[tuple[int, tuple[int, ...]]], window: range) -> list[tuple[int, tuple[int, ...]]]:
    """The gates that need no axis beyond the window and no gate that does."""
    found = []
    # Axes of the window that wait for a gate that is not taken.
    waiting: set[int] = set()
    for number, axes in left:
        if window.start <= axes[0] and axes[-1] < window.stop and waiting.isdisjoint(axes):
            found.append((number, axes))
        elif axes[0] < window.stop and window.start <= axes[-1]:
            waiting.update(axis for axis in axes if axis in window)
            if len(waiting) == len(window):
                break
    return found
