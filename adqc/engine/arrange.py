"""From the order of the sites to the axes of the weight, and back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from adqc.arrays import Array, NumpyArray, as_array, is_plain, is_traced
from adqc.engine.moves import Origins, find_origins, gather, gather_, scatter
from adqc.geometry import Layout

# Looking entries up is faster than a permutation with more axes than the one, in runs up to the second of these;
# with more rows than the third, the list of places gets as large as what is moved.
MANY_AXES, SHORT_RUN, MOST_ROWS = 4, 32, 2**16
# Runs of so many bytes, of so many in all, torch moves faster than loops do.
LONG, MOST = 128, 2**19
_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


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


def move_axes(tensor: Tensor, move: Move) -> Tensor:
    """The tensor, flat, its axes in the new order."""
    return permute_axes(tensor.reshape(1, -1), move.shape, move.axes).reshape(-1)


def move_back(tensor: Tensor, move: Move) -> Tensor:
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
    if _is_array(items):
        origins = _find_origins(items, (len(items), *shape), (0, *(axis + 1 for axis in axes)))
        if origins is not None:
            # Memory of torch's, which counts it as its own.
            found = torch.empty(items.shape, dtype=items.dtype)
            gather_(as_array(found), as_array(items), origins)
            return found
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


def _is_array(items: Tensor) -> bool:
    """Whether nobody minds a tensor's axes being moved in another way than torch's."""
    if items.device.type != "cpu" or items.dtype not in _DTYPES or is_traced() or not is_plain(items):
        return False
    return not (torch.is_grad_enabled() and items.requires_grad)


def _permute_array(items: NumpyArray, shape: tuple[int, ...], axes: tuple[int, ...]) -> NumpyArray:
    count = len(items)
    whole = (count, *shape), (0, *(axis + 1 for axis in axes))
    origins = _find_origins(items, *whole)
    if origins is None:
        return _permute_all(items, *whole).reshape(count, -1)
    return gather(items, origins).reshape(count, -1)


def _permute_all(items: NumpyArray, shape: tuple[int, ...], axes: tuple[int, ...]) -> NumpyArray:
    """By torch, which takes all of its threads for it."""
    return torch.from_numpy(items).reshape(shape).permute(axes).contiguous().numpy()


def _find_origins(
    items: Array,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    whole: Sequence[int] = (),
    kept: Sequence[int] = (),
) -> Origins | None:
    """Where entries come from; None where torch moves them faster."""
    origins = find_origins(shape, axes, tuple(whole), tuple(kept), items.itemsize)
    return None if origins.run * items.itemsize >= LONG and items.nbytes >= MOST else origins


def move_and_crop(items: NumpyArray, move: Move | None, whole: Sequence[int], kept: Sequence[int]) -> NumpyArray:
    """An array's axes in their new order, and of the shape that these make the first entries of every axis.

    Args:
        items: The array, of any shape.
        move: How the axes are moved; None where they lie so.
        whole: The shape that they have then.
        kept: The shape that is kept.
    """
    if move is None and tuple(whole) == tuple(kept):
        return items.reshape(kept)
    shape, axes = _axes_of(move, whole)
    origins = _find_origins(items, shape, axes, whole, kept)
    if origins is None:
        return narrow(_permute_all(items, shape, axes).reshape(whole), kept)
    return gather(items, origins).reshape(kept)


def move_back_and_fill(items: NumpyArray, move: Move | None, whole: Sequence[int], kept: Sequence[int]) -> NumpyArray:
    """The inverse of :func:`move_and_crop`, flat, zeros where it has cut off entries."""
    if move is None and tuple(whole) == tuple(kept):
        return items.reshape(-1)
    shape, axes = _axes_of(move, whole)
    origins = _find_origins(items, shape, axes, whole, kept)
    if origins is None:
        filled = widen(items, whole)
        return (filled if move is None else _permute_all(filled, move.shape_back, move.axes_back)).reshape(-1)
    return scatter(items, origins, math.prod(whole))


def _axes_of(move: Move | None, whole: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return ((math.prod(whole),), (0,)) if move is None else (move.shape, move.axes)


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
