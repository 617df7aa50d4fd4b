"""Two halves become the weight: one product, behind which the bits are moved where they belong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

import torch
from torch import Tensor

from adqc import arrays
from adqc.arrays import Array, NumpyArray, is_traced
from adqc.engine import cost
from adqc.engine.arrange import Move, find_move, move_and_crop, move_back_and_fill, narrow, permute_axes, widen
from adqc.engine.pieces import Piece
from adqc.engine.placed import MOST_BONDS, Places, find_places, multiply_placed, pull_placed
from adqc.engine.products import NARROW, multiply, multiply_in_blocks
from adqc.geometry import Layout

Pair = tuple[NumpyArray, NumpyArray]
# Entries of the product, and for each bond, from which on moving them costs more than many small products, and the
# shortest side of a block with which it does.
MANY, MANY_A_BOND, SHORTEST = 2**21, 2**17, 16


@dataclass(frozen=True)
class Crop:
    """What is left out of a half ahead of the product, for axes of the weight whose first bits lie in it.

    Args:
        sizes: Sizes of the half's axes.
        kept: How many entries of each are kept.
    """

    sizes: tuple[int, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Join:
    """How two halves are joined.

    Args:
        crops: What is left out of each half; None where nothing is.
        swapped: Whether the second half's bits come first in the product.
        move: How the bits of the product get into their order; None where they lie so.
        in_blocks: Whether blocks of the product are better made where they shall lie than moved there.
        shape: The shape that the product has then: the weight's before the rest of its crop, or flat.
        kept: What is kept of that: the weight's shape, or all.
        seconds: What it costs.
        in_loops: The same where compiled loops join them.
    """

    crops: tuple[Crop | None, ...]
    swapped: bool
    move: Move | None
    in_blocks: bool
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    seconds: float
    in_loops: float


def make_join(pieces: Sequence[Piece], layout: Layout | None = None, *, planes: int = 1) -> Join:
    """The join whose move keeps the longest runs together.

    Args:
        pieces: Two halves, their outputs in the order of the bits.
        layout: What they make; None for a state, the bits of which lie in the order of the sites.
        planes: How many planes the state has, see :mod:`adqc.engine.planes`.
    """
    leading = [{} if layout is None else _find_leading(piece, layout) for piece in pieces]
    halves = [_find_labels(piece, layout, axes) for piece, axes in zip(pieces, leading, strict=True)]
    sizes = {bit: kept for axes in leading for bit, (_, kept) in axes.items()}
    left, right = (math.prod(sizes.get(label, 2) for label in half) for half in halves)
    found = []
    for swapped in (False, True):
        labels = halves[1] + halves[0] if swapped else halves[0] + halves[1]
        found.append((swapped, find_move(labels, sorted(labels), sizes=sizes)))
    swapped, move = max(found, key=lambda pair: math.inf if pair[1] is None else pair[1].run)
    left, bond = planes * left, pieces[0].shape[2]
    in_blocks = move is not None and _is_large(move, bond)
    seconds = cost.product(left, bond, right)
    if move is not None:
        # What is moved is written and read once more.
        seconds += cost.copy(left * right, move.run, fresh=True) / (1 + in_blocks)
    shape: tuple[int, ...] = (left * right,)
    if layout is not None:
        whole = {bit: size for axes in leading for bit, (size, _) in axes.items()}
        firsts = _first_bits(layout)
        shape = tuple(
            size // whole.get(bit, 1) * sizes.get(bit, 1) for bit, size in zip(firsts, layout.padded, strict=True)
        )
    crops = tuple(_find_crop(half, axes) for half, axes in zip(halves, leading, strict=True))
    kept = shape if layout is None else layout.shape
    in_loops = cost.placed(left, bond, right) if bond <= MOST_BONDS else seconds
    return Join(crops, swapped, move, in_blocks, shape, kept, seconds, in_loops)


def join_as_they_lie(pieces: Sequence[Piece], *, planes: int = 1) -> Join:
    """The join that leaves the product's bits where they are; of so many planes."""
    (_, left, bond), (_, right, _) = (piece.shape for piece in pieces)
    left = planes * left
    shape = (left * right,)
    seconds = cost.product(left, bond, right)
    in_loops = cost.placed(left, bond, right) if bond <= MOST_BONDS else seconds
    return Join((None, None), False, None, False, shape, shape, seconds, in_loops)


def _is_large(move: Move, bond: int) -> bool:
    return (
        move.axes == (0, 2, 1, 3)
        and math.prod(move.shape) >= max(MANY, MANY_A_BOND * bond)
        and min(move.shape[1], move.shape[3]) >= SHORTEST
    )


def _first_bits(layout: Layout) -> list[int]:
    # Axes of one entry have no bit: those get numbers that no bit has.
    firsts = accumulate(layout.bits, initial=0)
    return [first if count else -1 for first, count in zip(firsts, layout.bits, strict=False)]


def _find_leading(piece: Piece, layout: Layout) -> dict[int, tuple[int, int]]:
    """Of each axis whose first bits lie in the piece, and that ends before the last of their values: the first bit, how
    many values these bits have, and how many are kept."""
    own = {layout.order[site] for site in piece.sites}
    found = {}
    for first, count, size in zip(_first_bits(layout), layout.bits, layout.shape, strict=True):
        held = sum(1 for _ in takewhile(own.__contains__, range(first, first + count)))
        values, kept = 2**held, -(-size >> (count - held))
        if kept < values:
            found[first] = values, kept
    return found


def _find_labels(piece: Piece, layout: Layout | None, leading: Mapping[int, tuple[int, int]]) -> list[int]:
    """The piece's bits, the first one for all of an axis' leading ones."""
    bits = [site if layout is None else layout.order[site] for site in piece.sites]
    others = {bit for first, (size, _) in leading.items() for bit in range(first + 1, first + size.bit_length() - 1)}
    return [bit for bit in bits if bit not in others]


def _find_crop(labels: Sequence[int], leading: Mapping[int, tuple[int, int]]) -> Crop | None:
    if not leading:
        return None
    pairs = [leading.get(label, (2, 2)) for label in labels]
    return Crop(tuple(size for size, _ in pairs), tuple(kept for _, kept in pairs))


def join_halves(left: Tensor, right: Tensor, join: Join, *, real: bool) -> Tensor:
    """The product.

    Args:
        left: (first half's outputs, bonds).
        right: (bonds, second half's outputs).
        join: How they are joined.
        real: Whether only the real part is wanted.

    Returns:
        A tensor of ``join.kept``.
    """
    left, right = _find_sides(left, right, join)
    move = join.move
    if real and left.is_complex():
        # Re(L R) = Re L Re R - Im L Im R: a real product over twice the bond, half the work of the complex one.
        left = torch.view_as_real(left.resolve_conj()).flatten(1)
        right = torch.view_as_real(right.conj().resolve_conj()).mT.flatten(0, 1)
    if move is not None and join.in_blocks and left.device.type == "cpu" and not (left.is_complex() or is_traced()):
        return narrow(multiply_in_blocks(left, right, move.shape).reshape(join.shape), join.kept)
    return _arrange(multiply(left, right), join)


def join_arrays(left: NumpyArray, right: NumpyArray, join: Join) -> tuple[NumpyArray, Callable[[NumpyArray], Pair]]:
    """The product of real halves, and what makes their gradients of its own."""
    sides = _find_sides(left, right, join)

    def pull(grad: NumpyArray) -> Pair:
        rows, columns = pull_sides(grad, *sides, join)
        first, second = (columns.mT, rows) if join.swapped else (rows, columns.mT)
        return _uncrop(first, join.crops[0]), _uncrop(second, join.crops[1]).mT

    return join_sides(*sides, join), pull


def join_sides(left: NumpyArray, right: NumpyArray, join: Join) -> NumpyArray:
    """The product, (m, k) x (k, n), real, as an array of ``join.kept``."""
    places = _find_places(left, right, join)
    if places is not None:
        return multiply_placed(left, right, places)
    return move_and_crop(arrays.multiply(left, right), join.move, join.shape, join.kept)


def pull_sides(grad: NumpyArray, left: NumpyArray, right: NumpyArray, join: Join) -> Pair:
    """The gradients of both sides from that of what :func:`join_sides` has made."""
    places = _find_places(left, right, join)
    if places is not None:
        return pull_placed(grad.reshape(join.kept), left, right, places)
    grad = move_back_and_fill(grad.reshape(join.kept), join.move, join.shape, join.kept)
    grad = grad.reshape(left.shape[0], right.shape[1])
    # The long side last, which is the faster way for few bonds.
    few = left.shape[1] < NARROW
    rows = arrays.multiply(right, grad.mT).mT if few else arrays.multiply(grad, right.mT)
    return rows, arrays.multiply(left.mT, grad)


def _find_places(left: NumpyArray, right: NumpyArray, join: Join) -> Places | None:
    (rows, bonds), columns = left.shape, right.shape[1]
    if bonds > MOST_BONDS:
        return None
    return find_places(rows, columns, join.move, join.shape, join.kept, left.itemsize)


def _find_sides(left: Array, right: Array, join: Join) -> tuple[Array, Array]:
    """Left and right side of the product, without what is cropped from the halves."""
    one, other = join.crops
    if one is None and other is None:
        return (right.mT, left.mT) if join.swapped else (left, right)
    first, second = _crop(left, one), _crop(right.mT, other)
    return (second, first.mT) if join.swapped else (first, second.mT)


def _crop(half: Array, crop: Crop | None) -> Array:
    """A half, (outputs, bonds), without the outputs that are cropped."""
    return half if crop is None else _resize(half, crop.sizes, crop.kept, narrow)


def _uncrop(half: Array, crop: Crop | None) -> Array:
    """The gradient of the half that :func:`_crop` was given."""
    return half if crop is None else _resize(half, crop.kept, crop.sizes, widen)


def _resize(
    half: Array, sizes: tuple[int, ...], wanted: tuple[int, ...], change: Callable[[Array, Sequence[int]], Array]
) -> Array:
    bonds = half.shape[1]
    return change(half.reshape(*sizes, bonds), (*wanted, bonds)).reshape(-1, bonds)


def _arrange(product: Array, join: Join) -> Array:
    """The product's entries where they belong."""
    if join.move is not None:
        product = permute_axes(product.reshape(1, -1), join.move.shape, join.move.axes)
    return narrow(product.reshape(join.shape), join.kept)
