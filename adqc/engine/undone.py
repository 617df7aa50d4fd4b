"""Gates on a whole state in its place, window by window, and back: a deep unitary circuit keeps one state.

On the way back transposed gates undo the gates, so that each window finds again what its gates were given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled
from adqc.engine.gate_kernels import apply_gate_, pull_gate_
from adqc.engine.gate_loops import add_up_, run_windows
from adqc.engine.moves import find_origins, gather, scatter
from adqc.engine.script import find_end, find_limits
from adqc.engine.window_loops import lay_tiles, most_entries, name_rows
from adqc.engine.window_moves import read_window_, write_window_
from adqc.engine.windows import TILE, Windows, split_windows
from adqc.threads import find_team, split, wait


def run_undone(
    state: NumpyArray, gates: NumpyArray, windows: Windows
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """What :func:`adqc.engine.gate_loops.run_windows` makes of the same; gates are orthogonal, of windows some are
    undone."""
    first, places, rest = split_windows(windows)
    gates = np.ascontiguousarray(gates)
    # Its own, as what is given and what is returned may be written into.
    whole, pull_first = (state.copy(), None) if first is None else run_windows(state, gates, first)
    team, size = find_team(whole.size), whole.itemsize
    _run_(*team, whole, gates, places, rest, find_limits(size, windows.planes))
    end = find_end(windows)
    origins = find_origins(*end, size)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        back, own = scatter(grad, origins, whole.size), np.zeros((team.size, *gates.shape), whole.dtype)
        # Two tiles of the state and two of its gradient, where one way there are two.
        _pull_(*team, whole.copy(), back, own, gates, places, rest, find_limits(size, windows.planes, tile=TILE // 2))
        if pull_first is None:
            return back, own[0]
        grad_first, own_first = pull_first(back)
        return grad_first, own[0] + own_first

    return gather(whole, origins).reshape(windows.kept), pull


@compiled
def _run_(
    addresses: Any, number: int, count: int, state: Any, gates: Any, places: Any, windows: Any, limits: Any
) -> None:
    if number < 0:
        split(addresses, number, count)
        return
    room, wide = np.empty((2, most_entries(windows, limits, count)), state.dtype), limits[0]
    own_rows, planes = name_rows(windows), limits[5]
    for w in range(len(windows)):
        start, stop, before, rows, behind, _, _ = windows[w]
        lanes, line, together, side, tiles = lay_tiles(before, rows, behind, limits, count)
        if lanes < line:
            room[:] = 0
        entries, size = planes * rows * line, before * rows * behind
        tile, other = room[0, :entries], room[1, :entries]
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            read_window_(state, tile, other, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
            for g in range(start, stop):
                inner, far = places[g, 1] * line, places[g, 2] * line
                apply_gate_(gates[places[g, 0]], False, tile, other, inner, far, wide, planes)
                tile, other = other, tile
            write_window_(state, tile, other, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
        if count > 1:
            wait(addresses[1])


@compiled
def _pull_(
    addresses: Any, number: int, count: int, state: Any, grad: Any, found: Any, gates: Any, places: Any, windows: Any,
    limits: Any,
) -> None:  # fmt: skip
    """The state becomes what there was at first, and its gradient the gradient of that."""
    if number < 0:
        split(addresses, number, count)
        add_up_(found)
        return
    room, wide = np.empty((4, most_entries(windows, limits, count)), state.dtype), limits[0]
    own_rows, own, planes = name_rows(windows), found[number], limits[5]
    for w in range(len(windows) - 1, -1, -1):
        start, stop, before, rows, behind, _, _ = windows[w]
        lanes, line, together, side, tiles = lay_tiles(before, rows, behind, limits, count)
        if lanes < line:
            room[:] = 0
        entries, size = planes * rows * line, before * rows * behind
        tile, other = room[0, :entries], room[1, :entries]
        back, spare = room[2, :entries], room[3, :entries]
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            read_window_(state, tile, other, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
            read_window_(grad, back, spare, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
            for g in range(stop - 1, start - 1, -1):
                place, inner, far = places[g, 0], places[g, 1] * line, places[g, 2] * line
                apply_gate_(gates[place], True, tile, other, inner, far, wide, planes)
                pull_gate_(own[place], other, back, inner, far, wide, planes)
                apply_gate_(gates[place], True, back, spare, inner, far, wide, planes)
                tile, other = other, tile
                back, spare = spare, back
            write_window_(state, tile, other, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
            write_window_(grad, back, spare, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
        if count > 1:
            wait(addresses[1])
