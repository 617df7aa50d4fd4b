"""Gates on the whole state of a circuit, a window of neighbouring sites at a time.

Most of what a gate on few sites takes is reading and writing the state. A window's sites, with some of the others'
values, fit into the nearest cache, where all gates act that need no site beyond it; the state is read and written once
for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from adqc.arrays import Numbers, NumpyArray
from adqc.engine.arrange import Move, find_move
from adqc.engine.planes import PLANE
from adqc.geometry import Layout, Wiring

# Sites of a window, and how many bytes go through it together: for each value of its own sites some values of others.
# Where fewer bytes of these than CLOSE lie side by side, those of several sites ahead of the window are brought
# together.
WIDEST, TILE, CLOSE = 7, 2**14, 2**9
# Of up to so many sites, but more than a window's, it has one less: few values of others are left to fill vectors.
FEW = 12
# To move entries into a window and back takes about as long as so many gates.
MOVED = 16
# Entries of which a backward pass keeps all that windows are given: 32 MB of them in single precision. Beyond, that of
# few windows is kept, or that of none, up to states of so many entries.
MOST, LARGEST = 2**23, 2**26


class Window(NamedTuple):
    """Some gates on neighbouring axes.

    Args:
        start: Its first gate.
        end: The gate behind its last one.
        before: How many values the axes ahead of it have together, of those that are there; planes are none.
        rows: How many values its own ones have.
        behind: How many values those behind it have.
        given: How many values its own ones have that are there already.
        sources: Where it begins in the list of sources.
    """

    start: int
    end: int
    before: int
    rows: int
    behind: int
    given: int
    sources: int


@dataclass(frozen=True, eq=False)
class Windows:
    """How gates act on a whole state.

    Args:
        gates: For each gate, in the order in which they act now, its place in the order that it was given in, and how
            many values the window's axes have together behind its last one and behind its first one (behind its last
            two and three, where it acts on more than two).
        windows: Each a :class:`Window`.
        sources: For each row of each window the row that it is given as, -1 where it begins with zeros, and whether
            that row was named before.
        begins: How many entries there are at first, in all planes.
        move: How the axes get into the order that they shall have in the end; None where they lie so. Planes, where
            there are two, are an axis ahead of the others.
        shape: The shape that they have then.
        kept: What is kept of it.
        side: Rows of the largest gate, as loops take it.
        undone: The first window of those that a backward pass undoes, with transposed gates, rather than keep what each
            of them is given; they are given all that there is. None where there are none.
        planes: 2 where the gates are complex: the real and the imaginary parts of the state, see
            :mod:`adqc.engine.planes`; else 1.
        kept_at: The windows of which a backward pass keeps what they are given, and makes the others' again from there,
            where it does not keep that of all; begins with the first one, or is empty.

    Attributes:
        size: How many entries a backward pass keeps, and makes again at once.
        widest: How many a window is given at most.
    """

    gates: Numbers
    windows: Numbers
    sources: Numbers
    begins: int
    move: Move | None
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    side: int
    undone: int | None = None
    planes: int = 1
    kept_at: tuple[int, ...] = ()

    size: int = field(init=False)
    widest: int = field(init=False)

    def __post_init__(self) -> None:
        sizes = [self.planes * own[2] * own[3] * own[4] for own in self.windows.values]
        size = sum(sizes[: self.undone]) if self.undone != 0 else sizes[-1]
        if self.kept_at:
            parts = [sum(sizes[a:b]) for a, b in pairwise((*self.kept_at, len(sizes)))]
            size = max(parts) + sum(sizes[at - 1] for at in self.kept_at[1:])
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "widest", max(self.planes * own[2] * own[5] * own[4] for own in self.windows.values))


def find_windows(
    wiring: Wiring, layout: Layout, order: Sequence[int], *, zeros: bool = False, unitary: bool = False,
    real: bool = True,
) -> Windows | None:  # fmt: skip
    """The windows of all gates on a weight's state.

    Args:
        wiring: The sequence of gates.
        layout: What the state is in the end.
        order: The sites in the order in which the state holds them.
        zeros: Whether the state is |0…0>.
        unitary: Whether transposed gates undo the gates.
        real: Whether the gates are real; of complex ones the state's real part is kept.

    Returns:
        The windows; None where :func:`lay_windows` finds none.
    """
    place = {site: at for at, site in enumerate(order)}
    gates = [tuple(place[site] for site in gate) for gate in wiring.gates]
    ahead = [] if real else [PLANE]
    move = find_move([*ahead, *(layout.order[site] for site in order)], [*ahead, *range(wiring.sites)])
    idle = [place[site] for site, own in enumerate(wiring.wires) if not own]
    there = idle if zeros else range(wiring.sites)
    shape, kept = (layout.padded, layout.shape) if real else ((2, *layout.padded), (1, *layout.shape))
    planes = 1 + len(ahead)
    return lay_windows(gates, wiring.sites, there, {}, move, shape, kept, unitary=unitary, planes=planes)


def lay_windows(
    gates: Sequence[tuple[int, ...]], axes: int, there: Iterable[int], copies: Mapping[int, int],
    move: Move | None, shape: tuple[int, ...], kept: tuple[int, ...], *, unitary: bool = False, planes: int = 1,
) -> Windows | None:  # fmt: skip
    """The windows of gates on any axes of two values.

    Args:
        gates: The axes of each gate, in the order in which the gates act.
        axes: Number of axes.
        there: Those that are there at first; others come with their first gate, as |0>.
        copies: For axes that come as a copy of an open wire, not as |0>, the axis behind them that stays as it is.
        move: See :class:`Windows`, as of the others.
        shape: The same.
        kept: The same.
        unitary: As of :func:`find_windows`.
        planes: As of :class:`Windows`.

    Returns:
        The windows; None where there is no gate, one on a single axis, one whose axes do not rise, one on more than two
        that are no neighbours, or two that lie too far apart, or where the state is too large.
    """
    if not gates or planes * 2**axes > LARGEST or any(not _suits(gate) for gate in gates):
        return None
    # The last axis that each needs: its own, or one that its own are copies of.
    left = [(number, gate, max(gate[-1], *(copies.get(axis, 0) for axis in gate))) for number, gate in enumerate(gates)]
    widest = max(last + 1 - gate[0] for _, gate, last in left)
    if widest > max(WIDEST, *map(len, gates)):
        return None
    wide = min(max(WIDEST - (WIDEST < axes <= FEW), widest), axes)
    alive = set(there)
    begins = planes * 2 ** len(alive)
    laid: list[tuple[int, int, int]] = []
    windows: list[Window] = []
    sources: list[tuple[int, int]] = []
    sizes: list[int] = []
    while left:
        found = [
            (taken, _come(taken, alive, copies))
            for first in range(axes - wide + 1)
            if (taken := _take(left, first, first + wide))
        ]
        # Most of what is done in each for what it takes to go through all that is there then.
        taken, new = max(found, key=lambda pair: len(pair[0]) / (len(pair[0]) + MOVED) / 2 ** len(pair[1] - alive))
        met = alive | new
        low, high = min(own[0] for _, own in taken), max(max(own[-1] for _, own in taken), *new, 0)
        rows = [axis for axis in range(low, high + 1) if axis in met]
        ahead = sum(axis < low for axis in met)
        window = Window(
            len(laid), len(laid) + len(taken), 2**ahead, 2 ** len(rows), 2 ** (len(met) - ahead - len(rows)),
            2 ** len(alive.intersection(rows)), len(sources),
        )  # fmt: skip
        windows.append(window)
        sizes.append(planes * 2 ** len(met))
        sources += _find_sources(rows, alive, copies)
        behind = {axis: 2 ** (len(rows) - 1 - at) for at, axis in enumerate(rows)}
        laid += [(number, behind[own[-1]], behind[own[-2]]) for number, own in taken]
        alive = met
        done = {number for number, _ in taken}
        left = [own for own in left if own[0] not in done]
    undone: int | None = None
    kept_at: tuple[int, ...] = ()
    if sum(sizes) > MOST:
        # From the first one on that is given all that there is.
        whole = (w for w, own in enumerate(windows) if own.before * own.given * own.behind == 2**axes)
        undone = next(whole, None) if unitary else None
        kept_at = _find_kept(sizes) if undone is None else ()
    return Windows(
        Numbers(tuple(laid)), Numbers(tuple(windows)), Numbers(tuple(sources)), begins, move, shape, kept,
        planes * 2 ** max(map(len, gates)), undone, planes, kept_at,
    )  # fmt: skip


def _find_kept(sizes: Sequence[int]) -> tuple[int, ...]:
    """Where stretches of windows begin whose entries are made again together."""
    most = max(MOST, math.isqrt(len(sizes)) * max(sizes))
    found, made = [0], 0
    for at, size in enumerate(sizes):
        if made and made + size > most:
            found.append(at)
            made = 0
        made += size
    return tuple(found)


def take_windows(windows: Windows, first: int, end: int) -> Windows:
    """Some of the windows, one behind another; what they make is moved where they are the last ones."""
    own, planes = windows.windows.values[first:end], windows.planes
    start, stop = own[0][0], own[-1][1]
    begins = windows.begins if not first else planes * own[0][2] * own[0][5] * own[0][4]
    size = planes * math.prod(own[-1][2:5])
    last = end == len(windows.windows.values)
    return Windows(
        Numbers(windows.gates.values[start:stop]),
        Numbers(tuple((a - start, b - start, *others) for a, b, *others in own)),
        windows.sources,
        begins,
        windows.move if last else None,
        windows.shape if last else (size,),
        windows.kept if last else (size,),
        windows.side,
        planes=planes,
    )


@lru_cache(maxsize=256)
def split_kept(windows: Windows) -> tuple[Windows, ...]:
    """The stretches of windows that are made again together.

    Args:
        windows: Such that what some of them are given is kept.
    """
    return tuple(
        take_windows(windows, first, end) for first, end in pairwise((*windows.kept_at, len(windows.windows.values)))
    )


@lru_cache(maxsize=256)
def split_windows(windows: Windows) -> tuple[Windows | None, NumpyArray, NumpyArray]:
    """Those ahead of the ones that are undone, which make the whole state as it lies, None where there are none; and
    of the others gates and windows, as arrays that compiled loops read.

    Args:
        windows: Some of them undone.
    """
    assert windows.undone is not None, "asked of circuits that are undone"
    begin = windows.windows.values[windows.undone][0]
    gates, places = (np.array(own.values, np.intp) for own in (windows.gates, windows.windows))
    places = places[windows.undone :]
    places[:, :2] -= begin
    return take_windows(windows, 0, windows.undone) if windows.undone else None, gates[begin:], places


def _suits(gate: tuple[int, ...]) -> bool:
    if len(gate) == 2:
        return gate[0] < gate[1]
    return len(gate) > 2 and gate == tuple(range(gate[0], gate[-1] + 1))


def _take(left: Sequence[tuple[int, tuple[int, ...], int]], first: int, end: int) -> list[tuple[int, tuple[int, ...]]]:
    """The gates that need no axis beyond those from ``first`` up to ``end`` and no gate that does."""
    found = []
    # Axes between these that wait for a gate that is not taken.
    waiting: set[int] = set()
    for number, axes, last in left:
        if axes[0] >= first and last < end and waiting.isdisjoint(axes):
            found.append((number, axes))
        elif axes[0] < end and first <= axes[-1]:
            for axis in axes:
                if first <= axis < end:
                    waiting.add(axis)
            if len(waiting) == end - first:
                break
    return found


def _come(taken: Sequence[tuple[int, tuple[int, ...]]], alive: set[int], copies: Mapping[int, int]) -> set[int]:
    """The axes that come with these gates."""
    new = {axis for _, axes in taken for axis in axes} - alive
    return new | {copies[axis] for axis in new if axis in copies}


def _find_sources(rows: Sequence[int], alive: set[int], copies: Mapping[int, int]) -> Iterable[tuple[int, int]]:
    count = len(rows)
    values = np.arange(2**count)
    bits = {axis: values >> (count - 1 - at) & 1 for at, axis in enumerate(rows)}
    old, new = [axis for axis in rows if axis in alive], [axis for axis in rows if axis not in alive]
    # The copied wire's own axis is told by its copy.
    told = {copies[axis] for axis in new if axis in copies}
    there = np.ones(len(values), np.bool_)
    for axis in new:
        if axis not in told:
            there &= bits[axis] == (bits[copies[axis]] if axis in copies else 0)
    sources = np.full(len(values), -1)
    sources[there] = sum((bits[axis][there] << (len(old) - 1 - at) for at, axis in enumerate(old)), np.zeros(1, int))
    again = there.copy()
    again[np.flatnonzero(there)[np.unique(sources[there], return_index=True)[1]]] = False
    return zip(sources.tolist(), again.astype(int).tolist(), strict=True)
