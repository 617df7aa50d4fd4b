"""Entries brought into a window's tile, and back: by vectors, transposed, or one by one.

Rows of a tile are the values of a window's sites, and side by side in each row lie values of others. A wire that comes
in as a copy of another has rows that are read twice, and whose gradients are added up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled
from adqc.vectors import copy_, load, plus, store, transpose_


@compiled
def read_window_(
    state: Any, tile: Any, spare: Any, size: int, b: int, at: int, sources: Any, given: int, behind: int, lanes: int,
    line: int, wide: int, planes: int,
) -> None:  # fmt: skip
    """Bring what goes through a window together, rows of ``line`` entries: each row from its source; of each plane of
    the state, so many entries, a plane of the tile. There is a spare tile."""
    part = len(tile) // planes
    for p in range(planes):
        own, to = state[p * size : (p + 1) * size], slice(p * part, (p + 1) * part)
        _read_plane_(own, tile[to], spare[to], b, at, sources, given, behind, lanes, line, wide)


@compiled
def write_window_(
    state: Any, tile: Any, spare: Any, size: int, b: int, at: int, sources: Any, given: int, behind: int, lanes: int,
    line: int, wide: int, planes: int,
) -> None:  # fmt: skip
    """The adjoint of :func:`read_window_`; all of the state is written."""
    part = len(tile) // planes
    for p in range(planes):
        own, to = state[p * size : (p + 1) * size], slice(p * part, (p + 1) * part)
        _write_plane_(own, tile[to], spare[to], b, at, sources, given, behind, lanes, line, wide)


@compiled
def _read_plane_(
    state: Any, tile: Any, spare: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int,
    wide: int,
) -> None:  # fmt: skip
    if lanes % wide == 0 and behind % wide == 0:
        _read_vectors_(state, tile, b, at, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, wide):
        whole = given == len(sources)
        found = tile if whole else spare
        if behind == 1:
            _turn_(state, b * given, given, found, 0, line, lanes, given, wide)
        else:
            pairs, units = state.view(np.float64), found.view(np.float64)
            _turn_(pairs, b * given, given, units, 0, line // 2, lanes // 2, given, wide // 2)
        if not whole:
            _read_vectors_(spare, tile, 0, 0, sources, given, line, lanes, wide)
        return
    _read_rows_(state, tile, b, at, sources, given, behind, lanes, line)


@compiled
def _write_plane_(
    state: Any, tile: Any, spare: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int,
    wide: int,
) -> None:  # fmt: skip
    if lanes % wide == 0 and behind % wide == 0:
        _write_vectors_(state, tile, b, at, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, wide):
        whole = given == len(sources)
        if not whole:
            _write_vectors_(spare, tile, 0, 0, sources, given, line, lanes, wide)
        own = tile if whole else spare
        if behind == 1:
            _turn_(own, 0, line, state, b * given, given, given, lanes, wide)
        else:
            units, pairs = own.view(np.float64), state.view(np.float64)
            _turn_(units, 0, line // 2, pairs, b * given, given, given, lanes // 2, wide // 2)
        return
    _write_rows_(state, tile, b, at, sources, given, behind, lanes, line)


@compiled
def _is_turned(given: int, behind: int, lanes: int, wide: int) -> bool:
    """Whether rows of the tile are columns of the state, by vectors of entries, or of two as one number."""
    return lanes % wide == 0 and given % wide == 0 and (behind == 1 or (behind == 2 and wide % 16 == 0))


@compiled
def _turn_(items: Any, at: int, step: int, found: Any, to: int, line: int, rows: int, columns: int, wide: int) -> None:
    """A matrix, transposed; of both, where they begin and how far rows are apart."""
    for r in range(0, rows, wide):
        for c in range(0, columns, wide):
            transpose_(items, at + r * step + c, step, found, to + c * line + r, line)


@compiled
def _read_vectors_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, wide: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    for r in range(len(sources)):
        to, last = r * lanes, (r + 1) * lanes
        if sources[r, 0] < 0:
            tile[to:last] = 0
            continue
        own = (b * given + sources[r, 0]) * behind + at
        while to < last:
            end = to + run
            while to < end:
                store(tile, to, load(state, own))
                to += wide
                own += wide
            own += step - run


@compiled
def _write_vectors_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, wide: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        to, last, again = r * lanes, (r + 1) * lanes, sources[r, 1] > 0
        own = (b * given + sources[r, 0]) * behind + at
        while to < last:
            end = to + run
            while to < end:
                row = load(tile, to)
                store(state, own, plus(row, load(state, own)) if again else row)
                to += wide
                own += wide
            own += step - run


@compiled
def _read_rows_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    unit = _find_unit(run)
    for r in range(len(sources)):
        to = r * line
        if sources[r, 0] < 0:
            tile[to : to + lanes] = 0
            continue
        own = (b * given + sources[r, 0]) * behind + at
        # Where few lie side by side, the values of several axes ahead of the window.
        last = to + lanes
        while to < last:
            end = to + run
            while to < end:
                copy_(state, own, tile, to, unit)
                own += unit
                to += unit
            own += step - run


@compiled
def _write_rows_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    unit = _find_unit(run)
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        to, again = r * line, sources[r, 1] > 0
        own = (b * given + sources[r, 0]) * behind + at
        last = to + lanes
        while to < last:
            end = to + run
            while to < end:
                if again:
                    for k in range(unit):
                        state[own + k] += tile[to + k]
                else:
                    copy_(tile, to, state, own, unit)
                own += unit
                to += unit
            own += step - run


@compiled
def _find_unit(run: int) -> int:
    """How many of so many entries are copied at once."""
    return 4 if run % 4 == 0 else 2 if run % 2 == 0 else 1
