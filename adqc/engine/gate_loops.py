"""Gates on a whole real state, and their gradients, as loops: window by window, see
:mod:`adqc.engine.windows`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from adqc.arrays import NumpyArray, fixed
from adqc.engine.arrange import move_and_crop, move_back_and_fill
from adqc.engine.patches import Patches
from adqc.engine.window_loops import pull_windows_, run_windows_
from adqc.engine.windows import CLOSE, TILE, Tables, Windows
from adqc.threads import find_team
from adqc.vectors import count_entries

# Bytes that go through a window together at least, unless there are fewer, for the sake of more threads.
LEAST = 2**12


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
    if len(state) < windows.begins:
        begun = np.zeros(windows.begins, state.dtype)
        begun[: len(state)] = state
    else:
        begun = np.ascontiguousarray(state)
    made, pull_made = _run(begun, gates, windows.tables, windows.size, windows.widest)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        pulled, found = pull_made(_pull_last(grad, windows))
        return pulled[(len(windows.windows.values) - 1) % 2, : len(state)], found

    return _find_last(made, windows), pull


def _run(
    begun: NumpyArray, gates: NumpyArray, tables: Tables, size: int, widest: int
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """What each window of some states makes, (size,), and what makes of the last ones' gradients, flat, those of what
    there was at first, each in the last row of its two that was written, and of the gates."""
    places, windows, sources, states = (fixed(numbers, begun, index=True) for numbers in tables)
    # Arrays that do not lie in one stretch would be compiled for anew.
    gates = np.ascontiguousarray(gates)
    made = np.empty(size, begun.dtype)
    team, count = find_team(size), len(tables.states.values)
    apart = count % team.size == 0
    limits = _limits(begun.itemsize)
    run_windows_(*team, begun, made, gates, places, windows, sources, states, apart, limits)

    def pull(grads: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        pulled = np.empty((2 * count, widest), begun.dtype)
        found = np.zeros((1 if apart else team.size, *gates.shape), begun.dtype)
        pull_windows_(*team, grads, pulled, found, begun, made, gates, places, windows, sources, states, apart, limits)
        return pulled, found[0]

    return made, pull


def _find_last(made: NumpyArray, windows: Windows) -> NumpyArray:
    """What the last window made, as it shall lie."""
    found = move_and_crop(made[-math.prod(windows.shape) :], windows.move, windows.shape, windows.kept)
    # Whoever keeps it shall not keep all the others.
    return found.copy() if np.may_share_memory(found, made) else found


def _pull_last(grad: NumpyArray, windows: Windows) -> NumpyArray:
    found = move_back_and_fill(grad.reshape(windows.kept), windows.move, windows.shape, windows.kept)
    return np.ascontiguousarray(found.reshape(-1))


@cache
def _limits(itemsize: int) -> tuple[int, int, int, int]:
    """For entries of so many bytes how many are a vector, how many go through a window together at most and at least,
    and with how many side by side no values of other sites ahead of it are brought together."""
    return count_entries(itemsize), TILE // itemsize, LEAST // itemsize, CLOSE // itemsize


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
    begun = np.zeros(patches.begins[-1], scale.dtype)
    begun[list(patches.begins[:-1])] = 1
    begun[0] = scale[0]
    widest = max(patch.windows.widest for patch in patches.patches)
    made, pull_made = _run(begun, gates, patches.tables, patches.size, widest)
    found, high = [], 0
    for piece, patch in zip(patches.pieces, patches.patches, strict=True):
        low, high = high, high + patch.windows.size
        found.append(_find_last(made[low:high], patch.windows).transpose(piece.back))

    def pull(grads: Sequence[NumpyArray]) -> tuple[NumpyArray, NumpyArray]:
        last = [
            _pull_last(grad.transpose(sorted(range(3), key=piece.back.__getitem__)), patch.windows)
            for grad, piece, patch in zip(grads, patches.pieces, patches.patches, strict=True)
        ]
        pulled, own = pull_made(np.concatenate(last))
        return own, pulled[(len(patches.patches[0].windows.windows.values) - 1) % 2, :1]

    return found, pull
