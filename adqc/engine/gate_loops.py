"""Gates on a whole real state, and their gradients, as loops: window by window, see
:mod:`adqc.engine.windows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray, fixed
from adqc.compiled import compiled
from adqc.engine.arrange import move_and_crop, move_back_and_fill
from adqc.engine.patches import Patches
from adqc.engine.windows import CLOSE, TILE, Windows


def multiply_out(
    scale: NumpyArray, sites: NumpyArray
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """A product state.

    Args:
        scale: (1,), its factor.
        sites: (Q, 2).

    Returns:
        The state, (2^Q,), and what makes the gradients of scale and sites of its own.
    """
    # Of the first sites, one more each time.
    states = [scale]
    for site in sites:
        states.append(np.outer(states[-1], site).reshape(-1))

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        found = np.empty_like(sites)
        for at in range(len(sites) - 1, -1, -1):
            pairs = grad.reshape(-1, 2)
            found[at], grad = states[at] @ pairs, pairs @ sites[at]
        return grad, found

    return states[-1], pull


def run_windows(
    state: NumpyArray, gates: NumpyArray, windows: Windows
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """What the gates make of a state.

    Args:
        state: What there is at first, flat, real; or (1,) for that factor times |0…0>.
        gates: (G, 2^k, 2^k), real, in the order in which they act.
        windows: How they act.

    Returns:
        An array of ``windows.kept``, and what makes the gradients of state and gates of its own.
    """
    places, parts, sources = (
        fixed(numbers, state, index=True) for numbers in (windows.gates, windows.windows, windows.sources)
    )
    # Arrays that do not lie in one stretch would be compiled for anew.
    if len(state) < windows.begins:
        whole = np.zeros(windows.begins, state.dtype)
        whole[: len(state)] = state
    else:
        whole = np.ascontiguousarray(state)
    gates = np.ascontiguousarray(gates)
    # What each window makes.
    made = np.empty(windows.size, state.dtype)
    last = _run_(whole, made, gates, places, parts, sources, TILE, CLOSE)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        own = move_back_and_fill(grad.reshape(windows.kept), windows.move, windows.shape, windows.kept)
        own, turned = np.ascontiguousarray(own.reshape(-1)), np.ascontiguousarray(gates.mT)
        begun, found = _pull_(own, whole, made, gates, turned, places, parts, sources, TILE, CLOSE)
        return begun[: len(state)], found

    found = move_and_crop(made[last:], windows.move, windows.shape, windows.kept)
    # Whoever keeps it shall not keep all the others.
    return found.copy() if np.may_share_memory(found, made) else found, pull


def run_patches(
    gates: NumpyArray, patches: Patches, scale: NumpyArray
) -> tuple[list[NumpyArray], Callable[[Sequence[NumpyArray]], tuple[NumpyArray, NumpyArray]]]:
    """All pieces of a circuit that begins with |0…0>.

    Args:
        gates: (G, 2^k, 2^k), real, in the order in which they act.
        patches: How the pieces are made.
        scale: (1,), multiplies the first piece.

    Returns:
        For each piece (left bonds, 2^sites, right bonds), and what makes the gradients of gates and scale of theirs.
    """
    found, pulls = [], []
    for number, (piece, patch) in enumerate(zip(patches.pieces, patches.patches, strict=True)):
        factor = np.ones_like(scale) if number else scale
        own, pull_own = run_windows(factor, gates.take(fixed(patch.gates, gates, index=True), axis=0), patch.windows)
        found.append(own.transpose(piece.back))
        pulls.append(pull_own)

    def pull(grads: Sequence[NumpyArray]) -> tuple[NumpyArray, NumpyArray]:
        pulled = np.zeros_like(gates)
        begun = []
        for grad, piece, patch, pull_own in zip(grads, patches.pieces, patches.patches, pulls, strict=True):
            factor, own = pull_own(grad.transpose(sorted(range(3), key=piece.back.__getitem__)))
            pulled[fixed(patch.gates, gates, index=True)] = own
            begun.append(factor)
        return pulled, begun[0]

    return found, pull


@compiled
def _lanes_of(before: int, rows: int, behind: int, tile: int, close: int) -> int:
    """How many values of other sites go through a window together."""
    most = max(1, tile // rows)
    return min(most, behind) if behind >= close else min(most, before * behind)


@compiled
def _most_entries(windows: Any, tile: int, close: int) -> int:
    """The size of the largest window's part of the state."""
    found = 0
    for w in range(len(windows)):
        found = max(found, windows[w, 3] * _lanes_of(windows[w, 2], windows[w, 3], windows[w, 4], tile, close))
    return found


@compiled
def _read_(state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, per: int) -> None:
    """Bring what goes through a window together, (rows, lanes): each row from its source."""
    if behind < lanes and per > 1 and behind % per == 0:
        # So many entries at once as are one complex number.
        units = tile.view(np.complex128)
        _read_rows_(state.view(np.complex128), units, b, at, sources, given, behind // per, lanes // per)
    else:
        _read_rows_(state, tile, b, at, sources, given, behind, lanes)


@compiled
def _write_(
    state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int, per: int
) -> None:
    """The adjoint of :func:`_read_`; all of the state is written."""
    # Where rows are added up, they are so entry by entry.
    if behind < lanes and per > 1 and behind % per == 0 and len(sources) == given:
        units = tile.view(np.complex128)
        _write_rows_(state.view(np.complex128), units, b, at, sources, given, behind // per, lanes // per)
    else:
        _write_rows_(state, tile, b, at, sources, given, behind, lanes)


@compiled
def _read_rows_(state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int) -> None:
    step = given * behind
    for r in range(len(sources)):
        line = tile[r * lanes : (r + 1) * lanes]
        if sources[r, 0] < 0:
            line[:] = 0
            continue
        own = state[(b * given + sources[r, 0]) * behind + at :]
        if behind >= lanes:
            for j in range(lanes):
                line[j] = own[j]
        elif behind == 1:
            for k in range(lanes):
                line[k] = own[k * step]
        else:
            # The values of several axes ahead of the window side by side.
            for j in range(behind):
                for k in range(lanes // behind):
                    line[k * behind + j] = own[k * step + j]


@compiled
def _write_rows_(state: Any, tile: Any, b: int, at: int, sources: Any, given: int, behind: int, lanes: int) -> None:
    step = given * behind
    for r in range(len(sources)):
        if sources[r, 0] < 0:
            continue
        line = tile[r * lanes : (r + 1) * lanes]
        own = state[(b * given + sources[r, 0]) * behind + at :]
        if sources[r, 1]:
            for k in range(max(1, lanes // behind)):
                for j in range(min(behind, lanes)):
                    own[k * step + j] += line[k * behind + j]
        elif behind >= lanes:
            for j in range(lanes):
                own[j] = line[j]
        elif behind == 1:
            for k in range(lanes):
                own[k * step] = line[k]
        else:
            for j in range(behind):
                for k in range(lanes // behind):
                    own[k * step + j] = line[k * behind + j]


@compiled
def _apply_(gate: Any, tile: Any, found: Any, inner: int, far: int) -> None:
    """A gate, neighbouring values of whose last axis lie so many entries apart, and those of the one ahead of it."""
    size = len(gate)
    span = max(size * inner, 2 * far)
    for row in range(0, size, 4):
        for column in range(0, size, 4):
            own = gate[row : row + 4, column : column + 4]
            g00, g01, g02, g03 = own[0, 0], own[0, 1], own[0, 2], own[0, 3]
            g10, g11, g12, g13 = own[1, 0], own[1, 1], own[1, 2], own[1, 3]
            g20, g21, g22, g23 = own[2, 0], own[2, 1], own[2, 2], own[2, 3]
            g30, g31, g32, g33 = own[3, 0], own[3, 1], own[3, 2], own[3, 3]
            for at in range(0, len(tile), span):
                for middle in range(at, at + far, 2 * inner):
                    x, y = middle + column * inner, middle + row * inner
                    x0, x1 = tile[x : x + inner], tile[x + inner : x + 2 * inner]
                    y0, y1 = found[y : y + inner], found[y + inner : y + 2 * inner]
                    x, y = x + far, y + far
                    x2, x3 = tile[x : x + inner], tile[x + inner : x + 2 * inner]
                    y2, y3 = found[y : y + inner], found[y + inner : y + 2 * inner]
                    if column == 0:
                        for j in range(inner):
                            a, b, c, d = x0[j], x1[j], x2[j], x3[j]
                            y0[j] = g00 * a + g01 * b + g02 * c + g03 * d
                            y1[j] = g10 * a + g11 * b + g12 * c + g13 * d
                            y2[j] = g20 * a + g21 * b + g22 * c + g23 * d
                            y3[j] = g30 * a + g31 * b + g32 * c + g33 * d
                    else:
                        for j in range(inner):
                            a, b, c, d = x0[j], x1[j], x2[j], x3[j]
                            y0[j] += g00 * a + g01 * b + g02 * c + g03 * d
                            y1[j] += g10 * a + g11 * b + g12 * c + g13 * d
                            y2[j] += g20 * a + g21 * b + g22 * c + g23 * d
                            y3[j] += g30 * a + g31 * b + g32 * c + g33 * d


@compiled
def _pull_gate_(own: Any, tile: Any, grad: Any, inner: int, far: int) -> None:
    """Add a tile's part of a gate's gradient to it, from what the gate was given and the gradient of what it made."""
    size = len(own)
    span = max(size * inner, 2 * far)
    zero = np.zeros(1, tile.dtype)[0]
    for at in range(0, len(tile), span):
        for middle in range(at, at + far, 2 * inner):
            for row in range(0, size, 2):
                # More sums than for two rows at once do not find a place in the registers of every machine.
                y = middle + row // 4 * 4 * inner + row % 4 // 2 * far
                first, second = grad[y : y + inner], grad[y + inner : y + 2 * inner]
                for column in range(0, size, 4):
                    x = middle + column * inner
                    x0, x1 = tile[x : x + inner], tile[x + inner : x + 2 * inner]
                    x += far
                    x2, x3 = tile[x : x + inner], tile[x + inner : x + 2 * inner]
                    s0, s1, s2, s3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
                    for j in range(inner):
                        a, b, c, d, e, f = x0[j], x1[j], x2[j], x3[j], first[j], second[j]
                        s0 += e * a
                        s1 += e * b
                        s2 += e * c
                        s3 += e * d
                        t0 += f * a
                        t1 += f * b
                        t2 += f * c
                        t3 += f * d
                    own[row, column] += s0
                    own[row, column + 1] += s1
                    own[row, column + 2] += s2
                    own[row, column + 3] += s3
                    own[row + 1, column] += t0
                    own[row + 1, column + 1] += t1
                    own[row + 1, column + 2] += t2
                    own[row + 1, column + 3] += t3


@compiled
def _run_(state: Any, made: Any, gates: Any, places: Any, windows: Any, sources: Any, entries: int, close: int) -> int:
    """Fill ``made`` with the states behind all windows, one after another; where the last one begins."""
    room = np.empty((2, _most_entries(windows, entries, close)), state.dtype)
    own_rows = _name_rows(windows)
    per, low, last = 16 // state.itemsize, 0, 0
    before_it = state
    for w in range(len(windows)):
        start, end, before, rows, behind, given, first = windows[w]
        lanes = _lanes_of(before, rows, behind, entries, close)
        tile, other = room[0, : rows * lanes], room[1, : rows * lanes]
        last, low = low, low + before * rows * behind
        behind_it, named = made[last:low], sources[first : first + rows]
        for b in range(0, before, max(1, lanes // behind)):
            for at in range(0, behind, lanes):
                _read_(before_it, tile, b, at, named, given, behind, lanes, per)
                for g in range(start, end):
                    _apply_(gates[places[g, 0]], tile, other, places[g, 1] * lanes, places[g, 2] * lanes)
                    tile, other = other, tile
                _write_(behind_it, tile, b, at, own_rows[:rows], rows, behind, lanes, per)
        before_it = behind_it
    return last


@compiled
def _name_rows(windows: Any) -> Any:
    """Rows that are their own sources."""
    found = np.zeros((windows[:, 3].max(), 2), windows.dtype)
    for r in range(len(found)):
        found[r, 0] = r
    return found


@compiled
def _pull_(
    grad: Any, state: Any, made: Any, gates: Any, turned: Any, places: Any, windows: Any, sources: Any, entries: int,
    close: int,
) -> Any:  # fmt: skip
    """The gradients of what there was at first and of the gates."""
    found = np.zeros_like(gates)
    steps = (windows[:, 1] - windows[:, 0]).max()
    # What each gate of a window was given, and in turns the gradients.
    room = np.empty((steps + 2, _most_entries(windows, entries, close)), grad.dtype)
    own_rows = _name_rows(windows)
    per, high = 16 // grad.itemsize, len(made)
    for w in range(len(windows) - 1, -1, -1):
        start, end, before, rows, behind, given, first = windows[w]
        lanes = _lanes_of(before, rows, behind, entries, close)
        own, other = room[steps, : rows * lanes], room[steps + 1, : rows * lanes]
        high -= before * rows * behind
        count = before * given * behind
        before_it = state if w == 0 else made[high - count : high]
        pulled, named = np.empty(count, grad.dtype), sources[first : first + rows]
        for b in range(0, before, max(1, lanes // behind)):
            for at in range(0, behind, lanes):
                _read_(before_it, room[0, : rows * lanes], b, at, named, given, behind, lanes, per)
                _read_(grad, own, b, at, own_rows[:rows], rows, behind, lanes, per)
                for g in range(start, end - 1):
                    tile, behind_it = room[g - start, : rows * lanes], room[g - start + 1, : rows * lanes]
                    _apply_(gates[places[g, 0]], tile, behind_it, places[g, 1] * lanes, places[g, 2] * lanes)
                for g in range(end - 1, start - 1, -1):
                    inner, far = places[g, 1] * lanes, places[g, 2] * lanes
                    _pull_gate_(found[places[g, 0]], room[g - start, : rows * lanes], own, inner, far)
                    _apply_(turned[places[g, 0]], own, other, inner, far)
                    own, other = other, own
                _write_(pulled, own, b, at, named, given, behind, lanes, per)
        grad = pulled
    return grad, found
