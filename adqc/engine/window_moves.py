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
    for p in range(planes):
        _read_plane_(
            state, tile, spare, p * size + at, p * len(sources) * line, b, sources, given, behind, lanes, line, wide
        )


@compiled
def write_window_(
    state: Any, tile: Any, spare: Any, size: int, b: int, at: int, sources: Any, given: int, behind: int, lanes: int,
    line: int, wide: int, planes: int,
) -> None:  # fmt: skip
    """The adjoint of :func:`read_window_`; all of the state is written."""
    for p in range(planes):
        _write_plane_(
            state, tile, spare, p * size + at, p * len(sources) * line, b, sources, given, behind, lanes, line, wide
        )


@compiled
def _read_plane_(
    state: Any, tile: Any, spare: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int,
    line: int, wide: int,
) -> None:  # fmt: skip
    if lanes % wide == 0 and behind % wide == 0:
        _read_vectors_(state, tile, at, begin, b, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, wide):
        whole = given == len(sources)
        found = tile if whole else spare
        if behind == 1:
            _turn_(state, at + b * given, given, found, begin, line, lanes, given, wide)
        else:
            pairs, units = state.view(np.float64), found.view(np.float64)
            _turn_(pairs, at // 2 + b * given, given, units, begin // 2, line // 2, lanes // 2, given, wide // 2)
        if not whole:
            _read_vectors_(spare, tile, begin, begin, 0, sources, given, line, lanes, wide)
        return
    _read_rows_(state, tile, at, begin, b, sources, given, behind, lanes, line)


@compiled
def _write_plane_(
    state: Any, tile: Any, spare: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int,
    line: int, wide: int,
) -> None:  # fmt: skip
    if lanes % wide == 0 and behind % wide == 0:
        _write_vectors_(state, tile, at, begin, b, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, wide):
        whole = given == len(sources)
        if not whole:
            _write_vectors_(spare, tile, begin, begin, 0, sources, given, line, lanes, wide)
        own = tile if whole else spare
        if behind == 1:
            _turn_(own, begin, line, state, at + b * given, given, given, lanes, wide)
        else:
            units, pairs = own.view(np.float64), state.view(np.float64)
            _turn_(units, begin // 2, line // 2, pairs, at // 2 + b * given, given, given, lanes // 2, wide // 2)
        return
    _write_rows_(state, tile, at, begin, b, sources, given, behind, lanes, line)


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
    state: Any, tile: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int, wide: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    for r in range(len(sources)):
        to = begin + r * lanes
        last = to + lanes
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
    state: Any, tile: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int, wide: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        to, again = begin + r * lanes, sources[r, 1] > 0
        last = to + lanes
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
    state: Any, tile: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    unit = _find_unit(run)
    for r in range(len(sources)):
        to = begin + r * line
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
    state: Any, tile: Any, at: int, begin: int, b: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step, run = given * behind, min(behind, lanes)
    unit = _find_unit(run)
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        to, again = begin + r * line, sources[r, 1] > 0
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
