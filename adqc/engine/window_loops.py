"""Windows of gates on a real state, forward and back, each thread taking some of the tiles that it falls into."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled
from adqc.engine.gate_kernels import apply_gate_, pull_gate_
from adqc.engine.moves import gather_part_, scatter_part_
from adqc.threads import wait
from adqc.vectors import load, store, transpose_


@compiled
def run_part_(
    begun: Any, made: Any, last: Any, found: Any, gates: Any, tables: Any, apart: bool, limits: Any, addresses: Any,
    number: int, count: int,
) -> None:  # fmt: skip
    """What each window of some states makes.

    Args:
        begun: What there is at first, of all states.
        made: Gets what all windows but the last ones make.
        last: Gets what the last ones make that is moved.
        found: Gets what comes of all states.
        gates: (G, 2^k, 2^k).
        tables: See :class:`adqc.engine.script.Script`.
        apart: Whether each thread takes some states, else each takes a part of every one.
        limits: See there.
        addresses: What threads wait at.
        number: This thread's.
        count: How many threads there are.
    """
    places, windows, sources, states, moves, high, low = tables
    some, others, own, own_count = (number, count, 0, 1) if apart else (0, 1, number, count)
    for s in range(some, len(states), others):
        first, end, begin, at, into = states[s]
        moved = moves[s, 4] > 0
        target = last[into:] if moved else found[moves[s, 5] :]
        _run_state_(
            begun[begin:], made[at:], target, gates, places, windows[first:end], sources, limits, addresses, own,
            own_count,
        )  # fmt: skip
        if moved:
            _move_(last[into:], found, moves[s], high, low, False, addresses, own, own_count)


@compiled
def _run_state_(
    state: Any, made: Any, target: Any, gates: Any, places: Any, windows: Any, sources: Any, limits: Any,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    room = np.empty((2, _most_entries(windows, limits, count)), state.dtype)
    own_rows, wide, at_first = _name_rows(windows), limits[0], 0
    before_it = state
    for w in range(len(windows)):
        start, end, before, rows, behind, given, first = windows[w]
        lanes = _count_lanes(before, rows, behind, limits, count)
        line = max(lanes, wide)
        tile, other = room[0, : rows * line], room[1, : rows * line]
        if lanes < line:
            tile[:] = 0
        size = before * rows * behind
        behind_it = target[:size] if w == len(windows) - 1 else made[at_first : at_first + size]
        named = sources[first : first + rows]
        together, side = max(1, lanes // behind), max(1, behind // lanes)
        tiles = before // together * side
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            _read_(before_it, tile, b, at, named, given, behind, lanes, line, wide)
            for g in range(start, end):
                apply_gate_(gates[places[g, 0]], False, tile, other, places[g, 1] * line, places[g, 2] * line, wide)
                tile, other = other, tile
            _write_(behind_it, tile, b, at, own_rows[:rows], rows, behind, lanes, line, wide)
        before_it = behind_it
        at_first += size
        if count > 1:
            wait(addresses[1])


@compiled
def _move_(
    last: Any, found: Any, move: Any, high: Any, low: Any, back: bool, addresses: Any, number: int, count: int
) -> None:
    """What a last window makes, as it shall lie; or back."""
    unit, to = move[4], move[5]
    places, others = high[move[0] : move[0] + move[1]], low[move[2] : move[2] + move[3]]
    items = found[to : to + len(places) * len(others) * unit]
    last = last[: len(last) // unit * unit]
    given = places, others, back, addresses, number, count
    if unit * last.itemsize == 16:
        _move_units_(last.view(np.complex128), items.view(np.complex128), *given)
    elif unit > 1:
        _move_units_(last.view(np.complex64), items.view(np.complex64), *given)
    else:
        _move_units_(last, items, *given)


@compiled
def _move_units_(
    last: Any, items: Any, high: Any, low: Any, back: bool, addresses: Any, number: int, count: int
) -> None:
    if back:
        scatter_part_(items, last, high, low, addresses, number, count)
    else:
        gather_part_(last, items, high, low, addresses, number, count)


@compiled
def pull_part_(
    grads: Any, turned: Any, pulled: Any, found: Any, begun: Any, made: Any, gates: Any, tables: Any, apart: bool,
    limits: Any, addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """The backward pass of :func:`run_part_`.

    Args:
        grads: The gradients of what comes of all states.
        turned: Gets those of what is moved; zeros where some of it is left out.
        pulled: (2 states, …): gets the gradients of what there is behind each window but the last one, and in the end
            of what there was at first, in two rows for each state, in turns.
        found: (threads, G, 2^k, 2^k), or (1, …) for those ``apart``; zeros: gets parts of that of the gates.
        begun: As there, as what follows.
        made: The same.
        gates: The same.
        tables: The same.
        apart: The same.
        limits: The same.
        addresses: The same.
        number: The same.
        count: The same.
    """
    places, windows, sources, states, moves, high, low = tables
    some, others, own, own_count = (number, count, 0, 1) if apart else (0, 1, number, count)
    for s in range(some, len(states), others):
        first, end, begin, at, into = states[s]
        grad = grads[moves[s, 5] :]
        if moves[s, 4] > 0:
            grad = turned[into:]
            _move_(grad, grads, moves[s], high, low, True, addresses, own, own_count)
            if own_count > 1:
                wait(addresses[1])
        stop = states[s + 1, 3] if s + 1 < len(states) else len(made)
        _pull_state_(
            grad, pulled[2 * s : 2 * s + 2], found[own], begun[begin:], made[at:stop], gates, places,
            windows[first:end], sources, limits, addresses, own, own_count,
        )  # fmt: skip


@compiled
def _pull_state_(
    grad: Any, pulled: Any, found: Any, state: Any, made: Any, gates: Any, places: Any, windows: Any,
    sources: Any, limits: Any, addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    steps = (windows[:, 1] - windows[:, 0]).max()
    # What each gate of a window was given, and in turns the gradients.
    room = np.empty((steps + 2, _most_entries(windows, limits, count)), grad.dtype)
    own_rows, wide, high = _name_rows(windows), limits[0], len(made)
    for w in range(len(windows) - 1, -1, -1):
        start, end, before, rows, behind, given, first = windows[w]
        lanes = _count_lanes(before, rows, behind, limits, count)
        line = max(lanes, wide)
        own, other = room[steps, : rows * line], room[steps + 1, : rows * line]
        if lanes < line:
            room[0, : rows * line] = 0
            own[:] = 0
        size = before * given * behind
        before_it = state if w == 0 else made[high - size : high]
        high -= size
        into, named = pulled[(len(windows) - 1 - w) % 2], sources[first : first + rows]
        together, side = max(1, lanes // behind), max(1, behind // lanes)
        tiles = before // together * side
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            _read_(before_it, room[0, : rows * line], b, at, named, given, behind, lanes, line, wide)
            _read_(grad, own, b, at, own_rows[:rows], rows, behind, lanes, line, wide)
            for g in range(start, end - 1):
                tile, behind_it = room[g - start, : rows * line], room[g - start + 1, : rows * line]
                apply_gate_(gates[places[g, 0]], False, tile, behind_it, places[g, 1] * line, places[g, 2] * line, wide)
            for g in range(end - 1, start - 1, -1):
                inner, far = places[g, 1] * line, places[g, 2] * line
                pull_gate_(found[places[g, 0]], room[g - start, : rows * line], own, inner, far, wide)
                apply_gate_(gates[places[g, 0]], True, own, other, inner, far, wide)
                own, other = other, own
            _write_(into, own, b, at, named, given, behind, lanes, line, wide)
        grad = into
        if count > 1:
            wait(addresses[1])


@compiled
def _count_lanes(before: int, rows: int, behind: int, limits: Any, count: int) -> int:
    """How many values of other sites go through a window together, on each of so many threads."""
    _, most, least, close = limits
    lanes = max(1, most // rows)
    while count * lanes > before * behind and lanes * rows > least:
        lanes //= 2
    found: int = min(lanes, behind) if behind >= close else min(lanes, before * behind)
    return found


@compiled
def _most_entries(windows: Any, limits: Any, count: int) -> int:
    """The size of the largest window's tile."""
    found = 0
    for w in range(len(windows)):
        lanes = _count_lanes(windows[w, 2], windows[w, 3], windows[w, 4], limits, count)
        found = max(found, windows[w, 3] * max(lanes, limits[0]))
    return found


@compiled
def _name_rows(windows: Any) -> Any:
    """Rows that are their own sources."""
    found = np.zeros((windows[:, 3].max(), 2), windows.dtype)
    for r in range(len(found)):
        found[r, 0] = r
    return found


@compiled
def _read_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int, wide: int
) -> None:
    """Bring what goes through a window together, rows of ``line`` entries: each row from its source."""
    if lanes % wide == 0 and behind % wide == 0:
        _read_vectors_(state, tile, b, at, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, len(sources), wide):
        if behind == 1:
            _turn_(state, b * given, given, tile, 0, line, lanes, given, wide)
        else:
            pairs, units = state.view(np.float64), tile.view(np.float64)
            _turn_(pairs, b * given, given, units, 0, line // 2, lanes // 2, given, wide // 2)
        return
    per = 16 // tile.itemsize
    if per > 1 and behind < lanes and behind % per == 0 and line % per == 0:
        # So many entries at once as are one complex number.
        units = tile.view(np.complex128)
        _read_rows_(state.view(np.complex128), units, b, at, sources, given, behind // per, lanes // per, line // per)
    else:
        _read_rows_(state, tile, b, at, sources, given, behind, lanes, line)


@compiled
def _write_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int, wide: int
) -> None:
    """The adjoint of :func:`_read_`; all of the state is written."""
    if lanes % wide == 0 and behind % wide == 0 and len(sources) == given:
        _write_vectors_(state, tile, b, at, sources, given, behind, lanes, wide)
        return
    if _is_turned(given, behind, lanes, len(sources), wide):
        if behind == 1:
            _turn_(tile, 0, line, state, b * given, given, given, lanes, wide)
        else:
            units, pairs = tile.view(np.float64), state.view(np.float64)
            _turn_(units, 0, line // 2, pairs, b * given, given, given, lanes // 2, wide // 2)
        return
    per = 16 // tile.itemsize
    # Where rows are added up, they are so entry by entry.
    if per > 1 and behind < lanes and behind % per == 0 and line % per == 0 and len(sources) == given:
        units = tile.view(np.complex128)
        _write_rows_(state.view(np.complex128), units, b, at, sources, given, behind // per, lanes // per, line // per)
    else:
        _write_rows_(state, tile, b, at, sources, given, behind, lanes, line)


@compiled
def _is_turned(given: int, behind: int, lanes: int, rows: int, wide: int) -> bool:
    """Whether rows of the tile are columns of the state, by vectors of entries, or of two as one number."""
    return (
        given == rows and lanes % wide == 0 and rows % wide == 0 and (behind == 1 or (behind == 2 and wide % 16 == 0))
    )


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
        to, last = r * lanes, (r + 1) * lanes
        own = (b * given + sources[r, 0]) * behind + at
        while to < last:
            end = to + run
            while to < end:
                store(state, own, load(tile, to))
                to += wide
                own += wide
            own += step - run


@compiled
def _read_rows_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step = given * behind
    for r in range(len(sources)):
        row = tile[r * line : r * line + lanes]
        if sources[r, 0] < 0:
            row[:] = 0
            continue
        own = state[(b * given + sources[r, 0]) * behind + at :]
        if behind >= lanes:
            for j in range(lanes):
                row[j] = own[j]
        elif behind == 1:
            for k in range(lanes):
                row[k] = own[k * step]
        else:
            # The values of several axes ahead of the window side by side.
            for j in range(behind):
                for k in range(lanes // behind):
                    row[k * behind + j] = own[k * step + j]


@compiled
def _write_rows_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, line: int
) -> None:
    step = given * behind
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        row = tile[r * line : r * line + lanes]
        own = state[(b * given + sources[r, 0]) * behind + at :]
        if sources[r, 1]:
            for k in range(max(1, lanes // behind)):
                for j in range(min(behind, lanes)):
                    own[k * step + j] += row[k * behind + j]
        elif behind >= lanes:
            for j in range(lanes):
                own[j] = row[j]
        elif behind == 1:
            for k in range(lanes):
                own[k * step] = row[k]
        else:
            for j in range(behind):
                for k in range(lanes // behind):
                    own[k * step + j] = row[k * behind + j]
