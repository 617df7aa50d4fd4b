"""From the order of the sites to the axes of the weight, and back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from adqc.arrays import Array, NumpyArray, as_array, is_plain, is_traced
from adqc.geometry import Layout

# Looking entries up is faster than a permutation with more axes than the one, in runs up to the second of these;
# with more rows than the third, the list of places gets as large as what is moved.
MANY_AXES, SHORT_RUN, MOST_ROWS = 4, 32, 2**16
# Entries up to which numpy looks them up faster than torch, one by one, in runs, and where they are cropped as well.
MOST_MOVED, MOST_COPIED, MOST_CROPPED = 2**14, 2**17, 2**18


def block_sizes(bits: Sequence[int], sizes: Sequence[int] | None = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Runs of consecutive bit numbers, each to be treated as one axis.

    Args:
        bits: The bit numbers in the order in which they lie.
        sizes: What each of them stands for: two entries, where None.

    Returns:
        The sizes of the runs' axes, and the first bit number of each run.
    """
    each = [2] * len(bits) if sizes is None else sizes
    runs = [list(run) for _, run in groupby(range(len(bits)), key=lambda at: bits[at] - at)]
    return tuple(math.prod(each[at] for at in run) for run in runs), tuple(bits[run[0]] for run in runs)


@dataclass(frozen=True)
class Move:
    """A permutation of axes, runs of axes that stay together merged.

    Args:
        shape: Sizes of the runs as they lie.
        axes: The runs in their new order.
        shape_back: Sizes of the runs in the new order.
        axes_back: The permutation that undoes it.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    shape_back: tuple[int, ...]
    axes_back: tuple[int, ...]

    @property
    def run(self) -> int:
        """Number of entries that stay side by side."""
        return self.shape[-1] if self.axes[-1] == len(self.axes) - 1 else 1


def move_axes(tensor: Array, move: Move) -> Array:
    """The tensor, or array, flat, its axes in the new order."""
    return permute_axes(tensor.reshape(1, -1), move.shape, move.axes).reshape(-1)


def move_back(tensor: Array, move: Move) -> Array:
    """The inverse of :func:`move_axes`."""
    return permute_axes(tensor.reshape(1, -1), move.shape_back, move.axes_back).reshape(-1)


def permute_axes(items: Array, shape: Sequence[int], axes: Sequence[int]) -> Array:
    """The axes of several tensors, or arrays, in a new order, by whichever way is faster.

    Args:
        items: (count, entries).
        shape: The sizes of the axes of each.
        axes: The permutation.

    Returns:
        (count, entries).
    """
    if not isinstance(items, Tensor):
        return _permute_array(items, tuple(shape), tuple(axes))
    if _goes_by_runs(items, shape, axes):
        if items.numel() <= MOST_COPIED:
            return torch.from_numpy(_permute_array(as_array(items), tuple(shape), tuple(axes)))
        whole = (items.numel(),)
        there = torch.from_numpy(_find_runs(tuple(shape), tuple(axes), whole, whole).there)
        return items.reshape(-1, shape[-1]).index_select(0, there).reshape(1, -1)
    if axes[0] == 0 and len(axes) > 1:
        # As many tensors more, of fewer axes.
        parts = items.reshape(len(items) * shape[0], -1)
        return permute_axes(parts, shape[1:], [axis - 1 for axis in axes[1:]]).reshape(len(items), -1)
    count = items.shape[0]
    keeps = axes[-1] == len(axes) - 1
    run = shape[-1] if keeps else 1
    rows = math.prod(shape) // run
    plain = is_traced() or type(items) is not Tensor
    if plain or len(axes) <= MANY_AXES or run > SHORT_RUN or rows > MOST_ROWS:
        return items.reshape(count, *shape).permute(0, *(axis + 1 for axis in axes)).reshape(count, -1)
    shape, axes = (shape[:-1], axes[:-1]) if keeps else (shape, axes)
    there, back = _places(tuple(shape), tuple(axes), items.device)
    items = items.reshape(count, rows, run)
    if torch.is_grad_enabled() and items.requires_grad:
        items = _LookUp.apply(items, there, back)  # type: ignore[no-untyped-call]
    else:
        items = items.index_select(1, there)
    return items.reshape(count, -1)


def _goes_by_runs(items: Tensor, shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether a tensor's runs of a few entries are best copied one by one, in all of it at once."""
    if not (len(axes) > MANY_AXES and axes[-1] == len(axes) - 1 and 1 < shape[-1] <= SHORT_RUN):
        return False
    if len(items) > 1 or items.numel() > MOST_ROWS * shape[-1] or items.device.type != "cpu" or is_traced():
        return False
    return is_plain(items) and not (torch.is_grad_enabled() and items.requires_grad)


def _permute_array(items: NumpyArray, shape: tuple[int, ...], axes: tuple[int, ...]) -> NumpyArray:
    run = shape[-1] if axes[-1] == len(axes) - 1 else 1
    # Runs are copied one by one; single entries take longer than torch does where there are many.
    if items.size > (MOST_MOVED if run == 1 else MOST_COPIED):
        return permute_axes(torch.from_numpy(items), shape, axes).numpy()
    whole = (math.prod(shape),)
    there = _find_runs(shape, axes, whole, whole).there
    return items.reshape(len(items), -1, run).take(there, axis=1).reshape(len(items), -1)


class _Runs(NamedTuple):
    """Entries that stay side by side while axes are permuted and cropped.

    Args:
        length: How many they are.
        there: For each run of the result where it comes from.
        back: For each run of what is permuted where it goes to, 0 for those that are left out.
        lost: The latter.
    """

    length: int
    there: NumpyArray
    back: NumpyArray
    lost: NumpyArray


@lru_cache(maxsize=256)
def _find_runs(shape: tuple[int, ...], axes: tuple[int, ...], whole: tuple[int, ...], kept: tuple[int, ...]) -> _Runs:
    run = shape[-1] if axes[-1] == len(axes) - 1 else 1
    # The axes from the last one on that is cropped are one axis, of which the first entries are kept.
    at = max((k for k in range(len(whole)) if kept[k] < whole[k]), default=0)
    sizes = (*whole[:at], math.prod(whole[at:]))
    first = (*kept[:at], math.prod(kept[at:]))
    length = math.gcd(run, sizes[-1], first[-1])
    count = math.prod(shape) // length
    places = np.arange(count).reshape(*shape[:-1], -1).transpose(axes).reshape(*sizes[:-1], -1)
    there = places[tuple(map(slice, (*first[:-1], first[-1] // length)))].reshape(-1)
    back = np.full(count, -1)
    back[there] = np.arange(len(there))
    lost = np.flatnonzero(back < 0)
    back[lost] = 0
    return _Runs(length, there, back, lost)


def move_and_crop(items: NumpyArray, move: Move | None, whole: Sequence[int], kept: Sequence[int]) -> NumpyArray:
    """An array's axes in their new order, and of the shape that these make the first entries of every axis.

    Args:
        items: The array, of any shape.
        move: How the axes are moved; None where they lie so.
        whole: The shape that they have then.
        kept: The shape that is kept.
    """
    runs = _runs_of(items, move, whole, kept)
    if runs is None:
        moved = items if move is None else permute_axes(items.reshape(1, -1), move.shape, move.axes)
        return narrow(moved.reshape(whole), kept)
    return items.reshape(-1, runs.length).take(runs.there, axis=0).reshape(kept)


def move_back_and_fill(items: NumpyArray, move: Move | None, whole: Sequence[int], kept: Sequence[int]) -> NumpyArray:
    """The inverse of :func:`move_and_crop`, flat, zeros where it has cut off entries."""
    runs = _runs_of(items, move, whole, kept)
    if runs is None:
        filled = widen(items, whole).reshape(1, -1)
        return filled if move is None else permute_axes(filled, move.shape_back, move.axes_back)
    found = items.reshape(-1, runs.length).take(runs.back, axis=0)
    if len(runs.lost):
        found[runs.lost] = 0
    return found.reshape(-1)


def _runs_of(items: NumpyArray, move: Move | None, whole: Sequence[int], kept: Sequence[int]) -> _Runs | None:
    """The runs of both at once; None where one after the other is faster, or there is nothing to do."""
    if items.size > MOST_CROPPED or (move is None and tuple(whole) == tuple(kept)):
        return None
    shape, axes = ((math.prod(whole),), (0,)) if move is None else (move.shape, move.axes)
    runs = _find_runs(shape, axes, tuple(whole), tuple(kept))
    return runs if runs.length > 1 or items.size <= MOST_MOVED else None


@lru_cache(maxsize=256)
def _places(shape: tuple[int, ...], axes: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each entry comes from, and where it goes to."""
    with torch.inference_mode(False):
        there = torch.arange(math.prod(shape), device=device).reshape(shape).permute(axes).reshape(-1)
        return there, there.argsort()


class _LookUp(torch.autograd.Function):
    """A permutation along the second axis; autograd would add up the gradient entry by entry."""

    @staticmethod
    def forward(ctx: Any, items: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.places = there, back
        return items.index_select(1, there)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.places
        if torch.is_grad_enabled():
            return _LookUp.apply(grad, back, there), None, None  # type: ignore[no-untyped-call]
        return grad.index_select(1, back), None, None


def find_move(
    axes: Sequence[Hashable], wanted: Sequence[Hashable], *, sizes: Mapping[Any, int] | None = None
) -> Move | None:
    """How axes get from one order into another; None where they lie so already.

    Args:
        axes: The axes as they lie.
        wanted: The same in the order that they shall have.
        sizes: Sizes of those that have more or less than two entries.
    """
    where = {axis: at for at, axis in enumerate(axes)}
    places = [where[axis] for axis in wanted]
    if places == sorted(places):
        return None
    runs, firsts = block_sizes(places, [(sizes or {}).get(axis, 2) for axis in wanted])
    ranked = sorted(range(len(firsts)), key=firsts.__getitem__)
    order = tuple(ranked.index(k) for k in range(len(ranked)))
    return Move(tuple(runs[k] for k in ranked), order, runs, tuple(ranked))


def sort_bits(state: Tensor, layout: Layout) -> Tensor:
    """The amplitudes in the weight's row-major order, before the crop: (2^Q,) -> ``layout.padded``."""
    sizes, firsts = block_sizes(layout.order)
    permutation = sorted(range(len(firsts)), key=firsts.__getitem__)
    return state.reshape(sizes).permute(permutation).reshape(layout.padded)


def to_tensor(state: Tensor, layout: Layout) -> Tensor:
    """The weight that a state stands for: bits in order, axes cropped.

    Args:
        state: (2^Q,), the first site most significant.
        layout: Shape and order of the sites.

    Returns:
        A tensor of ``layout.shape``; a view of the state where that is possible.
    """
    return crop(sort_bits(state, layout), layout)


def crop(tensor: Tensor, layout: Layout) -> Tensor:
    """The first entries of every axis: ``layout.padded`` -> ``layout.shape``."""
    return narrow(tensor, layout.shape)


def narrow(items: Array, shape: Sequence[int]) -> Array:
    """The first entries of every axis."""
    if tuple(items.shape) == tuple(shape):
        return items
    if not isinstance(items, Tensor):
        return items[tuple(map(slice, shape))]
    for axis, size in enumerate(shape):
        if items.shape[axis] != size:
            items = items.narrow(axis, 0, size)
    return items


def widen(items: Array, shape: Sequence[int]) -> Array:
    """Zeros behind the entries of every axis: to what :func:`narrow` cuts off."""
    if tuple(items.shape) == tuple(shape):
        return items
    if not isinstance(items, Tensor):
        found = np.zeros(shape, items.dtype)
        found[tuple(map(slice, items.shape))] = items
        return found
    room = [(0, wide - size) for size, wide in zip(items.shape, shape, strict=True)]
    return pad(items, [amount for pair in reversed(room) for amount in pair])


def to_state(tensor: Tensor, layout: Layout) -> Tensor:
    """The inverse of :func:`to_tensor`: entries beyond the crop are zero.

    Args:
        tensor: A tensor of ``layout.shape``.
        layout: Shape and order of the sites.

    Returns:
        (2^Q,), the first site most significant.
    """
    full = widen(tensor, layout.padded)
    sizes, firsts = block_sizes(layout.order)
    permutation = sorted(range(len(firsts)), key=firsts.__getitem__)
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)
    return full.reshape([sizes[k] for k in permutation]).permute(inverse).reshape(-1)
