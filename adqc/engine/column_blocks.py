"""The matrices of a brick wall's columns, and their backward pass: both in a few batched products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import Generic, NamedTuple

from torch import Tensor

from adqc.arrays import Array, Numbers, adjoint, concatenate, fixed, multiply, take
from adqc.engine.arrange import permute_axes
from adqc.engine.column_loops import grow, pull
from adqc.engine.columns import Columns, Places, Slice, find_places

ZERO_ONE = Numbers((0.0, 1.0))


class Made(NamedTuple, Generic[Array]):
    """What the backward pass needs of a slice of the columns.

    Args:
        first: The first layer's entries, (columns, 2, 2), or in a slice behind others (columns, 8, 2).
        even: The gates of layers 2, 4, … behind it but the last of all, (layers · columns, 8, 2).
        last: The last layer's gates where it is an even one, (columns, 2, 8); else empty.
        odd: Those of layers 1, 3, …, (layers · columns, 2, 8).
        grown: What the columns grow from, layer by layer, (columns, …, 2); on arrays the first, and all behind it as
            one, see :func:`adqc.engine.column_loops.grow`.
        between: What each two layers but the first do to them, (columns, 2, 32) each; on arrays all layers as one.
    """

    first: Array
    even: Array
    last: Array
    odd: Array
    grown: list[Array]
    between: list[Array]


def build_slices(gates: Array, columns: Columns) -> tuple[list[Array], list[Made[Array]]]:
    """The columns of some walls as the matrices that the pieces' steps apply.

    Args:
        gates: (walls, G, 4, 4), in the order in which they act; of one wall also without its axis.
        columns: What :func:`adqc.engine.columns.make_columns` returned.

    Returns:
        For each group of steps its matrices, (columns, walls, rows, columns of the matrix), the walls' axis as the
        gates have it; and what :func:`pull_slices` takes.
    """
    entries = concatenate([gates, fixed(ZERO_ONE, gates)])
    groups: list[Array] = []
    made: list[Made[Array]] = []
    lead = gates.shape[:-3]
    walls = math.prod(lead)
    border = columns.starts[-1] * walls
    places = _places(columns, walls)
    for own, numbers in zip(columns.slices, places.entries, strict=True):
        taken = _take(entries, numbers, own, columns.count * walls)
        for part, shape in zip(_multiply_out(taken, own, columns.count * walls, border), own.shapes, strict=True):
            groups.append(part.reshape(-1, *lead, *shape))
        made.append(taken)
    return groups, made


def _places(columns: Columns, walls: int) -> Places:
    return _places_of_many(columns, walls) if walls > 1 else columns.places


@lru_cache(maxsize=64)
def _places_of_many(columns: Columns, walls: int) -> Places:
    return find_places(columns.slices, columns.count, columns.entries, copies=walls)


def _take(entries: Array, places: Numbers, own: Slice, count: int) -> Made[Array]:
    # One index for all is one call.
    taken = take(entries, places)
    factor = len(taken) // sum(own.sizes)
    ends = [factor * end for end in accumulate(own.sizes, initial=0)]
    first, even, last, odd = (taken[a:b] for a, b in pairwise(ends))
    return Made(
        first.reshape(count, -1, 2),
        even.reshape(-1, 8, 2),
        last.reshape(-1, 2, 8),
        odd.reshape(-1, 2, 8),
        [],
        [],
    )


def _multiply_out(made: Made[Array], own: Slice, count: int, border: int) -> tuple[Array, Array]:
    """The columns ahead of the border and those behind it, (columns, entries)."""
    made.grown.append(made.first)
    if isinstance(made.first, Tensor):
        found = _multiply_tensors(made, count).reshape(count, -1)
        return _permute_bits(found[:border], own.axes[0]), _permute_bits(found[border:], own.axes[1])
    found, grown, layers = grow(made.first, made.even, made.odd, made.last, own.axes, border)
    made.grown.append(grown)
    made.between.append(layers)
    return found[:border], found[border:]


def _multiply_tensors(made: Made[Array], count: int) -> Array:
    grown = made.grown
    grown.append(multiply(grown[0], made.odd[:count]).reshape(count, -1, 2))
    if len(made.even):
        made.between.extend(multiply(made.even, made.odd[count:]).reshape(-1, count, 2, 32))
    for layer in made.between:
        grown.append(multiply(grown[-1], layer).reshape(count, -1, 2))
    return multiply(grown[-1], made.last) if len(made.last) else grown.pop()


def _permute_bits(items: Array, axes: tuple[int, ...]) -> Array:
    return permute_axes(items, (2,) * len(axes), axes)


def pull_slices(grads: Sequence[Sequence[Array]], columns: Columns, made: Sequence[Made[Array]]) -> Array:
    """The gradient of the gates, flat, from those of the matrices.

    Args:
        grads: For each group the gradient of each column's matrices, (walls, rows, columns of the matrix), the walls'
            axis as above.
        columns: The columns.
        made: What :func:`build_slices` returned.
    """
    pulled: list[Array] = []
    border = columns.starts[-1] * math.prod(grads[0][0].shape[:-2])
    for number, (own, taken) in enumerate(zip(columns.slices, made, strict=True)):
        parts = list(chain.from_iterable(grads[2 * number : 2 * number + 2]))
        pulled.append(_pull(concatenate(parts).reshape(-1, 2 ** len(own.axes[0])), taken, own, border))
    # What no gate has taken has no gradient.
    pulled.append(fixed(ZERO_ONE, pulled[0]))
    return take(concatenate(pulled), _places(columns, math.prod(grads[0][0].shape[:-2])).back)


def _pull(grad: Array, made: Made[Array], own: Slice, border: int) -> Array:
    """The gradient of the gates' entries from that of the columns."""
    if isinstance(grad, Tensor):
        back = [_permute_bits(grad[:border], own.back[0]), _permute_bits(grad[border:], own.back[1])]
        first, others = _pull_tensors(concatenate(back).reshape(grad.shape), made)
    else:
        first, others = pull(grad, made.grown, made.even, made.odd, made.last, made.between[0], own.axes, border)
    return concatenate([first, others])


def _pull_tensors(grad: Array, made: Made[Array]) -> tuple[Array, Array]:
    first, grown = made.grown[0], made.grown[1:]
    count = len(first)
    last: list[Array] = []
    if len(made.last):
        grad = grad.reshape(count, -1, 8)
        last = [multiply(adjoint(grown[-1]), grad)]
        grad = multiply(grad, adjoint(made.last))
        grown = grown[:-1]
    layers: list[Array] = []
    for layer, before in zip(reversed(made.between), reversed(grown), strict=True):
        grad = grad.reshape(count, -1, 32)
        layers.append(multiply(adjoint(before), grad))
        grad = multiply(grad, adjoint(layer))
    grad = grad.reshape(count, -1, 8)
    odd: list[Array] = [multiply(adjoint(first), grad)]
    grad = multiply(grad, adjoint(made.odd[:count]))
    even: list[Array] = []
    if layers:
        both = concatenate(layers[::-1]).reshape(-1, 8, 8)
        even = [multiply(both, adjoint(made.odd[count:]))]
        odd.append(multiply(adjoint(made.even), both))
    parts: list[Array] = []
    for own in (even, last, odd):
        parts += own
    return grad, concatenate(parts)
