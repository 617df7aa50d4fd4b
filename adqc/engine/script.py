"""What compiled loops are told of a small circuit, as arrays: of the gates on a state, or on several, each with gates
of its own; of the order that their entries shall have in the end; and of the product that joins two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray
from adqc.engine.join import Join
from adqc.engine.moves import find_origins
from adqc.engine.patches import Patches
from adqc.engine.pieces import Piece
from adqc.engine.placed import MOST_BONDS, Places, find_places
from adqc.engine.windows import CLOSE, TILE, Windows
from adqc.vectors import count_entries

# Bytes that go through a window together at least, unless there are fewer, for the sake of more threads.
LEAST = 2**12
# Bytes of what a window makes up to which threads would wait for one another longer than its gates take.
ALONE = 2**15


class Script(NamedTuple):
    """What loops are told, and how much room they need.

    Args:
        tables: Arrays of integers. Of the gates of all states what :attr:`adqc.engine.windows.Windows.gates` says, the
            places being those in the circuit's order; of their windows the same, one state after another; of their
            sources the same. For each state its first window and the one behind its last one, and where it begins: what
            there is at first, among those of all; what its windows but the last one make; what the last one makes. For
            each state how this gets into its order: the first of its ``high`` and how many there are, the same of
            ``low``, how many entries a unit has, none where nothing is moved, and where it begins then, among those of
            all. And of all what :class:`adqc.engine.moves.Origins` calls high, and low.
        places: Where the product of the two states' entries lie, see :class:`adqc.engine.placed.Places`; None where
            there is no product.
        limits: How many entries are a vector, how many go through a window together at most and at least, and with how
            many side by side no values of other sites ahead of it are brought together, fewer than how many one thread
            takes alone, and how many planes there are.
        firsts: Where each state begins in what all begin with.
        begins: How many entries that are.
        shapes: What comes of each state, or of the product.
        bounds: Where each of these begins, and behind the last one where it ends.
        widest: How many entries a window is given at most.
        made: How many the windows but the last ones make.
        last: How many the last ones make that are moved.
        cropped: Whether some of these are left out.
        row: Of the first state's two the row in which the gradient of what it begins with is found.
    """

    tables: tuple[NumpyArray, ...]
    places: Places | None
    limits: tuple[int, ...]
    firsts: NumpyArray
    begins: int
    shapes: tuple[tuple[int, ...], ...]
    bounds: tuple[int, ...]
    widest: int
    made: int
    last: int
    cropped: bool
    row: int


class _End(NamedTuple):
    """How a state's entries get into their order.

    Args:
        shape: The sizes of its axes.
        axes: Their new order.
        whole: The shape that they have then.
        kept: What is kept of it.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    whole: tuple[int, ...]
    kept: tuple[int, ...]


def find_limits(itemsize: int, planes: int, *, tile: int = TILE) -> tuple[int, ...]:
    """See :attr:`Script.limits`."""
    return count_entries(itemsize), *(size // itemsize for size in (tile, LEAST, CLOSE, ALONE)), planes


def find_end(windows: Windows) -> tuple[tuple[int, ...], ...]:
    """How the entries of a whole state get into their order: the sizes of its axes, their new order, the shape that
    they have then, and what is kept of it."""
    if windows.move is None:
        return windows.shape, tuple(range(len(windows.shape))), windows.shape, windows.kept
    return windows.move.shape, windows.move.axes, windows.shape, windows.kept


@lru_cache(maxsize=256)
def script_windows(windows: Windows, dtype: np.dtype[Any]) -> Script:
    """The script of gates on a whole state, real and of this type."""
    end = _End(*find_end(windows))
    gates = range(1 + max(number for number, *_ in windows.gates.values))
    return _write([(windows, gates)], [end], [windows.kept], dtype)


@lru_cache(maxsize=256)
def script_patches(patches: Patches, join: Join | None, dtype: np.dtype[Any]) -> Script:
    """The script of pieces: each (left bonds, sites, right bonds), or two of them as the sides of their product, (rows,
    bonds) and (bonds, columns); and of this, where compiled loops make it.

    Args:
        patches: How the pieces are made.
        join: How they are joined; None where they are not.
        dtype: Their type.
    """
    if join is None:
        ends = [_turn(piece, number, None) for number, piece in enumerate(patches.pieces)]
        return _write(_states(patches), ends, [piece.shape for piece in patches.pieces], dtype)
    found = script_sides(patches, join, dtype)
    (rows, bonds), (_, columns) = found.shapes
    if bonds > MOST_BONDS:
        return found
    places = find_places(rows, columns, join.move, join.shape, join.kept, dtype.itemsize)
    return found if places is None else found._replace(places=places, shapes=(join.kept,))


def script_sides(patches: Patches, join: Join, dtype: np.dtype[Any], *, inner: tuple[int, int] | None = None) -> Script:
    """The script of two pieces as the sides of their product, (rows, bonds) and (bonds, columns).

    Args:
        patches: How the pieces are made.
        join: How they are joined.
        dtype: Their type.
        inner: How many values the weight's columns have within the second piece, and how many of those of its rows lie
            behind these; None where they all lie ahead.
    """
    ends = [_turn(piece, number, join, inner if number else None) for number, piece in enumerate(patches.pieces)]
    bonds = patches.pieces[0].shape[2]
    sizes = [math.prod(end.kept) // bonds for end in ends]
    rows, columns = sizes[::-1] if join.swapped else sizes
    return _write(_states(patches), ends, [(rows, bonds), (bonds, columns)], dtype, swapped=join.swapped)


def _states(patches: Patches) -> list[tuple[Windows, Sequence[int]]]:
    return [(patch.windows, patch.gates.values) for patch in patches.patches]


def _turn(piece: Piece, number: int, join: Join | None, inner: tuple[int, int] | None = None) -> _End:
    bits = [size.bit_length() - 1 for size in piece.sizes]
    axes = list(range(sum(bits)))
    if piece.move is not None:
        counts = [size.bit_length() - 1 for size in piece.move.shape]
        begins = [0, *accumulate(counts)]
        axes = [begins[run] + k for run in piece.move.axes for k in range(counts[run])]
    ends = [0, *accumulate(bits)]
    left, sites, right = (axes[ends[part] : ends[part + 1]] for part in piece.back)
    if inner is not None:
        behind, last = (size.bit_length() - 1 for size in inner)
        middle = len(sites) - behind
        sites = [*sites[: middle - last], *sites[middle:], *sites[middle - last : middle]]
    if join is None:
        order, whole, kept = [*left, *sites, *right], piece.shape, piece.shape
    else:
        # Of these two one has no bond on its left, and the other none on its right.
        bonds, crop = [*left, *right], join.crops[number]
        sizes, some = ((2 ** len(sites),),) * 2 if crop is None else (crop.sizes, crop.kept)
        if (number == 0) != join.swapped:
            order, whole, kept = [*sites, *bonds], (*sizes, 2 ** len(bonds)), (*some, 2 ** len(bonds))
        else:
            order, whole, kept = [*bonds, *sites], (2 ** len(bonds), *sizes), (2 ** len(bonds), *some)
    return _End((2,) * len(axes), tuple(order), whole, kept)


def _write(
    states: Sequence[tuple[Windows, Sequence[int]]],
    ends: Sequence[_End],
    shapes: Sequence[tuple[int, ...]],
    dtype: np.dtype[Any],
    *,
    swapped: bool = False,
) -> Script:
    """The script of some states, each with the places of its gates in the circuit's order; what comes of the first one
    lies behind the others' where they are swapped."""
    gates: list[tuple[int, ...]] = []
    windows: list[tuple[int, ...]] = []
    sources: list[tuple[int, ...]] = []
    rows: list[tuple[int, ...]] = []
    moves: list[tuple[int, ...]] = []
    high: list[NumpyArray] = []
    low: list[NumpyArray] = []
    begin = made = last = 0
    firsts = []
    sizes = [math.prod(end.kept) for end in ends]
    places = [0, *accumulate(sizes[::-1] if swapped else sizes)]
    for (own, numbers), end, place in zip(states, ends, places[-2::-1] if swapped else places, strict=False):
        rows.append((len(windows), len(windows) + len(own.windows.values), begin, made, last))
        for start, behind, *sides, source in own.windows.values:
            windows.append((start + len(gates), behind + len(gates), *sides, source + len(sources)))
        gates += [(numbers[number], *apart) for number, *apart in own.gates.values]
        sources += own.sources.values
        ahead = [sum(map(len, lists)) for lists in (high, low)]
        if end.axes == tuple(range(len(end.axes))) and end.whole == end.kept:
            moves.append((ahead[0], 0, ahead[1], 0, 0, place))
        else:
            origins = find_origins(*end, dtype.itemsize)
            high.append(origins.high)
            low.append(origins.low)
            moves.append((ahead[0], len(origins.high), ahead[1], len(origins.low), origins.unit, place))
            last += math.prod(end.whole)
        firsts.append(begin)
        begin += own.begins
        made += own.planes * sum(math.prod(window[2:5]) for window in own.windows.values[:-1])
    tables = (
        *(np.array(table, np.intp).reshape(len(table), -1) for table in (gates, windows, sources, rows, moves)),
        *(np.concatenate([*lists, np.empty(0, np.intp)]).astype(np.intp) for lists in (high, low)),
    )
    return Script(
        tables=tables,
        places=None,
        limits=find_limits(dtype.itemsize, states[0][0].planes),
        firsts=np.array(firsts, np.intp),
        begins=begin,
        shapes=tuple(shapes),
        bounds=tuple(places),
        widest=max(own.widest for own, _ in states),
        made=made,
        last=last,
        cropped=any(end.whole != end.kept for end in ends),
        row=(len(states[0][0].windows.values) - 1) % 2,
    )
