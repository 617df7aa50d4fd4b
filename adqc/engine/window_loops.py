"""Windows of gates on a state, forward and back, each thread taking some of the tiles that it falls into."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled, merged
from adqc.engine.gate_kernels import apply_gate_, pull_gate_
from adqc.engine.moves import move_part_
from adqc.engine.window_moves import read_window_, write_window_
from adqc.threads import wait


@merged
def run_part_(
    begun: Any, made: Any, last: Any, found: Any, gates: Any, tables: Any, limits: Any, addresses: Any, number: int,
    count: int,
) -> None:  # fmt: skip
    """What each window of some states makes: of each state one thread the small ones at first, all threads the others.

    Args:
        begun: What there is at first, of all states.
        made: Gets what all windows but the last ones make.
        last: Gets what the last ones make that is moved.
        found: Gets what comes of all states.
        gates: (G, 2^k, 2^k), or (G, 2 · 2^k, 2 · 2^k) where states have two planes.
        tables: See :class:`adqc.engine.script.Script`.
        limits: See there.
        addresses: What threads wait at.
        number: This thread's.
        count: How many threads there are.
    """
    states, moves, high, low = tables[3:]
    # In one place, as a call with numbers that are known would be compiled for anew.
    for turn in range(2):
        large = turn > 0
        own, own_count, some, others = (number, count, 0, 1) if large else (0, 1, number, count)
        if large and count > 1:
            wait(addresses[1])
        for s in range(some, len(states), others):
            _run_state_(begun, made, last, found, gates, tables, s, large, limits, addresses, own, own_count, count)
    for s in range(len(states)):
        first, highs, begin, lows, unit, to = moves[s]
        if unit > 0:
            own_high, own_low = high[first : first + highs], low[begin : begin + lows]
            move_part_(last, states[s, 4], found, to, own_high, own_low, unit, False, number, count)


@compiled
def _run_state_(
    begun: Any, made: Any, last: Any, found: Any, gates: Any, tables: Any, s: int, large: bool, limits: Any,
    addresses: Any, number: int, count: int, team: int,
) -> None:  # fmt: skip
    """The small windows of a state or the large ones."""
    places, windows, sources, states, moves, _, _ = tables
    first, end, begin, at_first, into = states[s]
    alone = first + _count_small(windows[first:end], limits, team)
    if (alone == end) if large else (alone == first):
        return
    target = last[into:] if moves[s, 4] > 0 else found[moves[s, 5] :]
    before_it = begun[begin:]
    room = np.empty((2, most_entries(windows[first:end], limits, count)), begun.dtype)
    own_rows, wide, planes = name_rows(windows[first:end]), limits[0], limits[5]
    for w in range(first, end if large else alone):
        start, stop, before, rows, behind, given, source = windows[w]
        ahead, size = before * given * behind, before * rows * behind
        behind_it = target[: planes * size] if w == end - 1 else made[at_first : at_first + planes * size]
        at_first += planes * size
        if large and w < alone:
            before_it = behind_it
            continue
        lanes, line, together, side, tiles = lay_tiles(before, rows, behind, limits, count)
        tile, other = room[0, : planes * rows * line], room[1, : planes * rows * line]
        if lanes < line:
            tile[:] = 0
        named = sources[source : source + rows]
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            read_window_(before_it, tile, other, ahead, b, at, named, given, behind, lanes, line, wide, planes)
            for g in range(start, stop):
                inner, far = places[g, 1] * line, places[g, 2] * line
                apply_gate_(gates[places[g, 0]], False, tile, other, inner, far, wide, planes)
                tile, other = other, tile
            write_window_(behind_it, tile, other, size, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
        before_it = behind_it
        if count > 1:
            wait(addresses[1])


@compiled
def _count_small(windows: Any, limits: Any, team: int) -> int:
    """How many of a state's first windows one thread takes alone."""
    found = 0
    most = limits[4] // limits[5]
    while found < len(windows) and (team == 1 or windows[found, 2] * windows[found, 3] * windows[found, 4] < most):
        found += 1
    return found


@merged
def pull_part_(
    grads: Any, turned: Any, pulled: Any, found: Any, begun: Any, made: Any, gates: Any, tables: Any, limits: Any,
    addresses: Any, number: int, count: int,
) -> None:  # fmt: skip
    """The backward pass of :func:`run_part_`.

    Args:
        grads: The gradients of what comes of all states.
        turned: Gets those of what is moved; zeros where some of it is left out.
        pulled: (2 states, …): gets the gradients of what there is behind each window but the last one, and in the end
            of what there was at first, in two rows for each state, in turns.
        found: (threads, …), zeros: gets parts of that of the gates.
        begun: As there, as what follows.
        made: The same.
        gates: The same.
        tables: The same.
        limits: The same.
        addresses: The same.
        number: The same.
        count: The same.
    """
    states, moves, high, low = tables[3:]
    for s in range(len(states)):
        first, highs, begin, lows, unit, to = moves[s]
        if unit > 0:
            own_high, own_low = high[first : first + highs], low[begin : begin + lows]
            move_part_(turned, states[s, 4], grads, to, own_high, own_low, unit, True, number, count)
    if count > 1:
        wait(addresses[1])
    for turn in range(2):
        large = turn == 0
        own, own_count, some, others = (number, count, 0, 1) if large else (0, 1, number, count)
        for s in range(some, len(states), others):
            _pull_state_(
                grads, turned, pulled, found[number], begun, made, gates, tables, s, large, limits, addresses, own,
                own_count, count,
            )  # fmt: skip


@compiled
def _pull_state_(
    grads: Any, turned: Any, pulled: Any, found: Any, begun: Any, made: Any, gates: Any, tables: Any, s: int,
    large: bool, limits: Any, addresses: Any, number: int, count: int, team: int,
) -> None:  # fmt: skip
    """The large windows of a state, or the small ones."""
    places, windows, sources, states, moves, _, _ = tables
    first, end, begin, _, into = states[s]
    alone = first + _count_small(windows[first:end], limits, team)
    if (alone == end) if large else (alone == first):
        return
    grad = turned[into:] if moves[s, 4] > 0 else grads[moves[s, 5] :]
    steps = (windows[first:end, 1] - windows[first:end, 0]).max()
    # What each gate of a window was given, and in turns the gradients.
    room = np.empty((steps + 2, most_entries(windows[first:end], limits, count)), grad.dtype)
    own_rows, wide, planes = name_rows(windows[first:end]), limits[0], limits[5]
    high = states[s + 1, 3] if s + 1 < len(states) else len(made)
    for w in range(end - 1, (alone if large else first) - 1, -1):
        start, stop, before, rows, behind, given, source = windows[w]
        size, behind_it = before * given * behind, before * rows * behind
        before_it = begun[begin:] if w == first else made[high - planes * size : high]
        high -= planes * size
        into_it = pulled[2 * s + (end - 1 - w) % 2]
        if not large and w >= alone:
            grad = into_it
            continue
        lanes, line, together, side, tiles = lay_tiles(before, rows, behind, limits, count)
        entries = planes * rows * line
        own, other = room[steps, :entries], room[steps + 1, :entries]
        if lanes < line:
            room[0, :entries] = 0
            own[:] = 0
        named = sources[source : source + rows]
        for t in range(number * tiles // count, (number + 1) * tiles // count):
            b, at = t // side * together, t % side * lanes
            tile = room[0, :entries]
            read_window_(before_it, tile, other, size, b, at, named, given, behind, lanes, line, wide, planes)
            read_window_(grad, own, other, behind_it, b, at, own_rows[:rows], rows, behind, lanes, line, wide, planes)
            for g in range(start, stop - 1):
                inner, far, next_one = places[g, 1] * line, places[g, 2] * line, room[g - start + 1, :entries]
                apply_gate_(gates[places[g, 0]], False, room[g - start, :entries], next_one, inner, far, wide, planes)
            for g in range(stop - 1, start - 1, -1):
                inner, far = places[g, 1] * line, places[g, 2] * line
                pull_gate_(found[places[g, 0]], room[g - start, :entries], own, inner, far, wide, planes)
                apply_gate_(gates[places[g, 0]], True, own, other, inner, far, wide, planes)
                own, other = other, own
            write_window_(into_it, own, other, size, b, at, named, given, behind, lanes, line, wide, planes)
        grad = into_it
        if count > 1:
            wait(addresses[1])


@compiled
def count_lanes(before: int, rows: int, behind: int, limits: Any, count: int) -> int:
    """How many values of other sites go through a window together, on each of so many threads."""
    wide, most, least, close, _, planes = limits
    lanes = max(wide, most // (planes * rows))
    while count * lanes > before * behind and planes * lanes * rows > least:
        lanes //= 2
    found: int = min(lanes, behind) if behind >= close else min(lanes, before * behind)
    return found


@compiled
def lay_tiles(before: int, rows: int, behind: int, limits: Any, count: int) -> Any:
    """How many values of other sites go through a window together, and with how many zeros as many as fill vectors; how
    many of the axes ahead of it that are, how many tiles those behind it fall into, and how many tiles there are."""
    lanes = count_lanes(before, rows, behind, limits, count)
    together, side = max(1, lanes // behind), max(1, behind // lanes)
    return lanes, max(lanes, limits[0]), together, side, before // together * side


@compiled
def most_entries(windows: Any, limits: Any, count: int) -> int:
    """The size of the largest window's tile, all planes."""
    found = 0
    for w in range(len(windows)):
        lanes = count_lanes(windows[w, 2], windows[w, 3], windows[w, 4], limits, count)
        found = max(found, limits[5] * windows[w, 3] * max(lanes, limits[0]))
    return found


@compiled
def name_rows(windows: Any) -> Any:
    """Rows that are their own sources."""
    found = np.zeros((windows[:, 3].max(), 2), windows.dtype)
    for r in range(len(found)):
        found[r, 0] = r
    return found
