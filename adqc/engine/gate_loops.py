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
from adqc.engine.windows import CLOSE, TILE, Windows
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
    team = find_team(windows.size)
    limits = _limits(state.itemsize)
    run_windows_(*team, whole, made, gates, places, parts, sources, limits)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        own = move_back_and_fill(grad.reshape(windows.kept), windows.move, windows.shape, windows.kept)
        own = np.ascontiguousarray(own.reshape(-1))
        count = len(windows.windows.values)
        pulled = np.empty((min(2, count), windows.widest), state.dtype)
        found = np.zeros((team.size, *gates.shape), state.dtype)
        pull_windows_(*team, own, pulled, found, whole, made, gates, places, parts, sources, limits)
        return pulled[(count - 1) % 2, : len(state)], found[0]

    found = move_and_crop(made[-math.prod(windows.shape) :], windows.move, windows.shape, windows.kept)
    # Whoever keeps it shall not keep all the others.
    return found.copy() if np.may_share_memory(found, made) else found, pull


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
