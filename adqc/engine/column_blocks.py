"""The matrices of a brick wall's columns, and their backward pass: both in a few batched products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Generic, NamedTuple

from adqc.arrays import Array, Numbers, adjoint, chain, fixed, multiply, take
from adqc.engine.arrange import permute_axes
from adqc.engine.columns import Columns, Entries

ZERO_ONE = Numbers((0.0, 1.0))


class Made(NamedTuple, Generic[Array]):
    """What the backward pass needs of the columns.

    Args:
        first: The first layer's entries, (columns, 2, 2), or its gates, (columns, 4, 4).
        even: The gates of layers 2, 4, … but the last of all, (layers · columns, 8, 2).
        last: The last layer's gates where it is an even one, (columns, 2, 8); else empty.
        odd: Those of layers 1, 3, …, (layers · columns, 2, 8).
        pairs: The start vectors of each column's two sites as one, (columns, 4, 1); None for |00>.
        grown: What the columns grow from, layer by layer, (columns, …, 2).
        between: What each two layers but the first do to them, (columns, 2, 32) each.
    """

    first: Array
    even: Array
    last: Array
    odd: Array
    pairs: Array | None
    grown: list[Array]
    between: list[Array]


def make_columns_of(gates: Array, columns: Columns, pairs: Array | None) -> tuple[list[Sequence[Array]], Made[Array]]:
    """The columns as the matrices that the pieces' steps apply.

    Args:
        gates: (G, 4, 4), in the order in which they act.
        columns: What :func:`adqc.engine.columns.make_columns` returned.
        pairs: The product state to begin with, (columns, 4, 1), see :class:`Made`; None for |0…0>.

    Returns:
        For each piece the column that it begins with, (rows, 1), and its other ones, (rows, columns) each; and what
        :func:`pull_columns` takes.
    """
    made = _take(gates, columns, pairs)
    return _cut(_multiply_out(made, columns), columns), made


def _take(gates: Array, columns: Columns, pairs: Array | None) -> Made[Array]:
    entries: Entries = columns.entries if pairs is None else columns.given
    # One index for all is one call.
    taken = take(chain([gates, fixed(ZERO_ONE, gates)]), entries.places)
    count, ends = columns.count, [*accumulate(entries.sizes, initial=0)]
    first, even, last, odd = (taken[a:b] for a, b in pairwise(ends))
    return Made(
        first.reshape(count, -1, 2) if pairs is None else first.reshape(count, 4, 4),
        even.reshape(-1, 8, 2),
        last.reshape(-1, 2, 8),
        odd.reshape(-1, 2, 8),
        pairs,
        [],
        [],
    )


def _multiply_out(made: Made[Array], columns: Columns) -> Array:
    """The columns, (columns, entries)."""
    count, grown = columns.count, made.grown
    grown.append(made.first if made.pairs is None else multiply(made.first, made.pairs).reshape(count, 2, 2))
    grown.append(multiply(grown[0], made.odd[:count]).reshape(count, 8, 2))
    if len(made.even):
        made.between.extend(multiply(made.even, made.odd[count:]).reshape(-1, count, 2, 32))
    for layer in made.between:
        grown.append(multiply(grown[-1], layer).reshape(count, -1, 2))
    found = multiply(grown[-1], made.last) if len(made.last) else grown.pop()
    return found.reshape(count, -1)


def _cut(found: Array, columns: Columns) -> list[Sequence[Array]]:
    """The blocks of each piece."""
    bond: int = 2 ** (columns.depth - 1)
    low: int
    high: int
    # shape: (columns, left bonds, outputs, right bonds)
    found = permute_axes(found, (2,) * len(columns.axes), columns.axes).reshape(columns.count, bond, 4, bond)
    edge = fixed(columns.edge, found).reshape(-1, bond)
    blocks: list[Sequence[Array]] = []
    for low, high in pairwise(columns.starts):
        own = found[low]
        start = own.reshape(-1, 1) if low else multiply(edge, own.reshape(bond, 4 * bond)).reshape(-1, 1)
        blocks.append([start, *found[low + 1 : high].reshape(-1, bond, 4 * bond).mT])
    # What lies beyond the last site is |0> and stays so.
    end = found[-1].reshape(-1, 2**columns.beyond * bond)[:, :1]
    blocks.append([end, *found[columns.starts[-1] : -1].reshape(-1, 4 * bond, bond)])
    return blocks


def pull_columns(grads: Sequence[Sequence[Array]], columns: Columns, made: Made[Array]) -> tuple[Array, Array | None]:
    """The gradients of the gates, flat, and of the pairs of start vectors from those of the blocks."""
    pulled, pulled_pairs = _pull(_pull_cut(grads, columns), made)
    entries = columns.entries if made.pairs is None else columns.given
    return take(chain([pulled, fixed(ZERO_ONE, pulled)]), entries.back), pulled_pairs


def _pull_cut(grads: Sequence[Sequence[Array]], columns: Columns) -> Array:
    """The gradient of the columns, (columns, entries), from those of the blocks."""
    bond = 2 ** (columns.depth - 1)
    parts: list[Array] = []
    for number, own in enumerate(grads[:-1]):
        edge = fixed(columns.edge, own[0]).reshape(-1, bond)
        parts.append(own[0] if number else multiply(edge.mT, own[0].reshape(-1, 4 * bond)))
        parts += [grad.mT for grad in own[1:]]
    # The entries that were left out: zeros behind each one.
    end = multiply(grads[-1][0], fixed(columns.padding, grads[-1][0]).reshape(1, -1))
    parts += grads[-1][1:]
    parts.append(end)
    found = chain(parts).reshape(columns.count, -1)
    return permute_axes(found, (2,) * len(columns.back), columns.back)


def _pull(grad: Array, made: Made[Array]) -> tuple[Array, Array | None]:
    """The gradients of the gates' entries and of the pairs of start vectors from that of the columns."""
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
    grad = grad.reshape(count, 2, 8)
    odd: list[Array] = [multiply(adjoint(first), grad)]
    grad = multiply(grad, adjoint(made.odd[:count]))
    pulled_pairs: Array | None = None
    if made.pairs is not None:
        grad = grad.reshape(count, 4, 1)
        pulled_pairs = multiply(adjoint(made.first), grad)
        grad = multiply(grad, adjoint(made.pairs))
    even: list[Array] = []
    if layers:
        both = chain(layers[::-1]).reshape(-1, 8, 8)
        even = [multiply(both, adjoint(made.odd[count:]))]
        odd.append(multiply(adjoint(made.even), both))
    parts: list[Array] = [grad]
    for own in (even, last, odd):
        parts += own
    return chain(parts), pulled_pairs
