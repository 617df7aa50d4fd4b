"""From the order of the sites to the axes of the weight, and back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor
from torch.nn.functional import pad

from adqc.geometry import Layout


def block_sizes(bits: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Runs of consecutive bit numbers, each to be treated as one axis.

    Args:
        bits: The bit numbers in the order in which they lie.

    Returns:
        The sizes of the runs' axes, and the first bit number of each run.
    """
    runs = [[bit for _, bit in run] for _, run in groupby(enumerate(bits), key=lambda pair: pair[1] - pair[0])]
    return tuple(2 ** len(run) for run in runs), tuple(run[0] for run in runs)


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
    return tensor.reshape(move.shape).permute(move.axes).reshape(-1)


def move_back(tensor: Tensor, move: Move) -> Tensor:
    """The inverse of :func:`move_axes`."""
    return tensor.reshape(move.shape_back).permute(move.axes_back).reshape(-1)


def find_move(axes: Sequence[Hashable], wanted: Sequence[Hashable]) -> Move | None:
    """How axes of dimension 2 get from one order into another; None where they lie so already."""
    where = {axis: at for at, axis in enumerate(axes)}
    places = [where[axis] for axis in wanted]
    if places == sorted(places):
        return None
    sizes, firsts = block_sizes(places)
    ranked = sorted(range(len(firsts)), key=firsts.__getitem__)
    order = tuple(ranked.index(k) for k in range(len(ranked)))
    return Move(tuple(sizes[k] for k in ranked), order, sizes, tuple(ranked))


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
    for axis, size in enumerate(layout.shape):
        if tensor.shape[axis] != size:
            tensor = tensor.narrow(axis, 0, size)
    return tensor


def to_state(tensor: Tensor, layout: Layout) -> Tensor:
    """The inverse of :func:`to_tensor`: entries beyond the crop are zero.

    Args:
        tensor: A tensor of ``layout.shape``.
        layout: Shape and order of the sites.

    Returns:
        (2^Q,), the first site most significant.
    """
    room = [(0, wide - size) for size, wide in zip(layout.shape, layout.padded, strict=True)]
    full = pad(tensor, [amount for pair in reversed(room) for amount in pair])
    sizes, firsts = block_sizes(layout.order)
    permutation = sorted(range(len(firsts)), key=firsts.__getitem__)
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)
    return full.reshape([sizes[k] for k in permutation]).permute(inverse).reshape(-1)
