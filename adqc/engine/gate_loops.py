"""Gates on whole real states, or on the pieces of a circuit, and their gradients, in loops: window by window, see
:mod:`adqc.engine.windows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled, merged
from adqc.engine.join import Join, join_sides, pull_sides
from adqc.engine.patches import Patches
from adqc.engine.placed import count_packed, count_turned
from adqc.engine.placed_loops import multiply_part_
from adqc.engine.placed_loops import pull_part_ as pull_product_part_
from adqc.engine.planes import open_planes
from adqc.engine.script import Script, script_patches, script_windows
from adqc.engine.window_loops import pull_part_, run_part_
from adqc.engine.windows import Windows, split_kept
from adqc.threads import WORK, find_team, split, wait

Many = Sequence[NumpyArray]


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
    (found,), pull = _run(state, gates, script_windows(windows, state.dtype))
    return found, lambda grad: pull([grad])


def run_again(
    state: NumpyArray, gates: NumpyArray, windows: Windows
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """What :func:`run_windows` makes of the same; of what windows are given that of a few is kept, and the others' made
    again for the gradients."""
    parts = split_kept(windows)
    given = [state]
    for part in parts[:-1]:
        given.append(run_windows(given[-1], gates, part)[0])
    found, pull_last = run_windows(given[-1], gates, parts[-1])
    # What it keeps is let go before that of another stretch is made.
    last = [pull_last]

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        total = np.zeros_like(gates)
        for part, state in zip(parts[::-1], given[::-1], strict=True):
            pull_part = last.pop() if last else run_windows(state, gates, part)[1]
            grad, own = pull_part(grad)
            total += own
        return grad, total

    return found, pull


def run_patches(
    gates: NumpyArray, patches: Patches, scale: NumpyArray
) -> tuple[Many, Callable[[Many], tuple[NumpyArray, NumpyArray]]]:
    """All pieces of a circuit that begins with |0…0>.

    Args:
        gates: (G, 2^k, 2^k), real, in the order in which they act.
        patches: How the pieces are made.
        scale: (1,), multiplies the first piece.

    Returns:
        For each piece (left bonds, 2^sites, right bonds), and what makes the gradients of scale and gates of theirs.
    """
    made, pull_made = _run(scale, gates, script_patches(patches, None, scale.dtype))
    if patches.patches[0].windows.planes == 1 or len(made) == 2:
        return made, pull_made
    opened = [open_planes(piece) for piece in made[1:-1]]

    def pull(grads: Many) -> tuple[NumpyArray, NumpyArray]:
        pairs = zip(opened, grads[1:-1], strict=True)
        return pull_made([grads[0], *(pull_piece(grad) for (_, pull_piece), grad in pairs), grads[-1]])

    return [made[0], *(piece for piece, _ in opened), made[-1]], pull


def run_halves(
    gates: NumpyArray, patches: Patches, join: Join, scale: NumpyArray
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    """The product of two pieces; arguments and results as of :func:`run_patches`, but one array of ``join.kept``."""
    script = script_patches(patches, join, scale.dtype)
    made, pull_made = _run(scale, gates, script)
    if script.places is not None:
        return made[0], lambda grad: pull_made([grad])
    left, right = made
    return join_sides(left, right, join), lambda grad: pull_made(pull_sides(grad, left, right, join))


def _run(
    start: NumpyArray, gates: NumpyArray, script: Script
) -> tuple[Many, Callable[[Many], tuple[NumpyArray, NumpyArray]]]:
    """What comes of each state, or of their product, and what makes the gradients of ``start`` and gates of theirs.

    Args:
        start: What the first state begins with, or the first entries of that, the others being zero.
        gates: (G, 2^k, 2^k).
        script: What is done.
    """
    kind, places, count = start.dtype, script.places, len(script.firsts)
    begun = begin(start, script)
    # Arrays that do not lie in one stretch would be compiled for anew.
    gates = np.ascontiguousarray(gates)
    made, last, found = np.empty(script.made, kind), np.empty(script.last, kind), np.empty(script.bounds[-1], kind)
    work = script.made + len(found)
    if places is not None:
        work += found.size * len(places.rows) // WORK
    team = find_team(work)
    given = begun, made, gates, script.tables, script.limits
    if places is None:
        _run_(*team, last, found, *given)
        pairs = zip(pairwise(script.bounds), script.shapes, strict=True)
        ends = [found[low:high].reshape(shape) for (low, high), shape in pairs]
    else:
        product = np.empty(places.kept, kind)
        spots, bonds = places[:-1], script.bounds[1] // len(places.rows)
        packed = np.empty(count_packed(places, bonds, script.limits[0]), kind)
        _build_(*team, last, found, packed, product.reshape(-1), spots, *given)
        ends = [product]

    def pull(grads: Many) -> tuple[NumpyArray, NumpyArray]:
        flat = grads[0] if len(grads) == 1 else np.concatenate([grad.reshape(-1) for grad in grads])
        flat = np.ascontiguousarray(flat).reshape(-1)
        turned = np.zeros(script.last, kind) if script.cropped else np.empty(script.last, kind)
        pulled = np.empty((2 * count, script.widest), kind)
        own = np.zeros((team.size, *gates.shape), kind)
        if places is None:
            _pull_(*team, flat, turned, pulled, own, *given)
        else:
            parts, sides = np.empty((team.size, len(packed)), kind), np.empty(len(found), kind)
            across = np.empty(count_turned(packed, bonds, script.limits[0]), kind)
            _pull_product_(*team, flat, found, packed, across, sides, parts, spots, turned, pulled, own, *given)
        return pulled[script.row, : len(start)], own[0]

    return ends, pull


def begin(start: NumpyArray, script: Script) -> NumpyArray:
    """What all states begin with; arguments as of :func:`_run`."""
    if len(start) == script.begins:
        return np.ascontiguousarray(start)
    begun = np.zeros(script.begins, start.dtype)
    begun[script.firsts] = 1
    begun[: len(start)] = start
    return begun


@compiled
def _run_(
    addresses: Any, number: int, count: int, last: Any, found: Any, begun: Any, made: Any, gates: Any, tables: Any,
    limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
    else:
        run_part_(begun, made, last, found, gates, tables, limits, addresses, number, count)


@compiled
def _build_(
    addresses: Any, number: int, count: int, last: Any, found: Any, packed: Any, product: Any, places: Any, begun: Any,
    made: Any, gates: Any, tables: Any, limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        return
    run_part_(begun, made, last, found, gates, tables, limits, addresses, number, count)
    if count > 1:
        wait(addresses[1])
    left, right = _sides(found, places, packed, limits[0])
    multiply_part_(left, right, packed, product, places, limits[0], addresses, number, count)


@merged
def _sides(found: Any, places: Any, packed: Any, wide: int) -> Any:
    """Both sides of the product, which lie one behind another."""
    rows, vectors = places[0], places[1]
    bonds = len(packed) // ((len(vectors) + 1) // 2 * 2 * wide)
    end = len(rows) * bonds
    return found[:end].reshape(len(rows), bonds), found[end:].reshape(bonds, (len(found) - end) // bonds)


@compiled
def _pull_(
    addresses: Any, number: int, count: int, grads: Any, turned: Any, pulled: Any, own: Any, begun: Any, made: Any,
    gates: Any, tables: Any, limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        add_up_(own)
    else:
        pull_part_(grads, turned, pulled, own, begun, made, gates, tables, limits, addresses, number, count)


@compiled
def _pull_product_(
    addresses: Any, number: int, count: int, grad: Any, found: Any, packed: Any, across: Any, sides: Any, parts: Any,
    places: Any, turned: Any, pulled: Any, own: Any, begun: Any, made: Any, gates: Any, tables: Any, limits: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        add_up_(own)
        return
    wide = limits[0]
    left, _ = _sides(found, places, packed, wide)
    left_grad, right_grad = _sides(sides, places, packed, wide)
    pull_product_part_(grad, left, packed, across, left_grad, right_grad, parts, places, wide, addresses, number, count)
    if count > 1:
        wait(addresses[1])
    pull_part_(sides, turned, pulled, own, begun, made, gates, tables, limits, addresses, number, count)


@compiled
def add_up_(found: Any) -> None:
    """The threads' parts, in the first one's place."""
    flat = found.reshape(len(found), -1)
    for number in range(1, len(flat)):
        for k in range(flat.shape[1]):
            flat[0, k] += flat[number, k]
