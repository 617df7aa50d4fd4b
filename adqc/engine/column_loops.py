"""The products of all columns as loops: each column grows layer by layer, and its gradient is pulled back, while it
lies in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from adqc.arrays import NumpyArray
from adqc.compiled import compiled

# The permutation of a column's axes ahead of the border, and that behind it.
Axes = tuple[tuple[int, ...], tuple[int, ...]]


def grow(
    first: NumpyArray, even: NumpyArray, odd: NumpyArray, last: NumpyArray, axes: Axes, border: int
) -> tuple[NumpyArray, NumpyArray, NumpyArray]:
    """The columns, (columns, entries), their axes permuted; and for :func:`pull` what they grew from and the layers.

    Args:
        first: (columns, …, 2): what they grow from.
        even: (layers · columns, 8, 2): the gates of layers 2, 4, ….
        odd: ((layers + 1) · columns, 2, 8): those of layers 1, 3, ….
        last: (columns, 2, 8): those of the last layer where it is an even one; else empty.
        axes: How axes are permuted.
        border: The first column behind it.
    """
    count, ends = len(first), len(last) > 0
    # Entries of a column behind each layer.
    sizes = [first[0].size * 4 * 16**k for k in range(len(even) // count + 1)]
    sizes = [first[0].size, *sizes, *[4 * sizes[-1]] * ends]
    grown = np.empty((count, sum(sizes)), first.dtype)
    layers = np.empty((count, 16 + 64 * (len(even) // count) + 16 * ends), first.dtype)
    return _grow_(first, even, odd, last, _orders(axes), border, grown, layers), grown, layers


def pull(
    grad: NumpyArray,
    grown: Sequence[NumpyArray],
    even: NumpyArray,
    odd: NumpyArray,
    last: NumpyArray,
    layers: NumpyArray,
    axes: Axes,
    border: int,
) -> tuple[NumpyArray, NumpyArray]:
    """The gradients of ``first``, flat, and of even, last and odd, one after another; arguments as of :func:`grow`.

    Args:
        grad: That of the columns.
        grown: ``first``, and what :func:`grow` has returned for it.
        even: As above, as what follows.
        odd: The same.
        last: The same.
        layers: What :func:`grow` has returned.
        axes: As above.
        border: The same.
    """
    first, behind = grown
    found = _pull_(grad, even, odd, last, _orders(axes), border, behind, layers, first[0].size)
    return found[: first.size], found[first.size :]


@lru_cache(maxsize=64)
def _orders(axes: Axes) -> NumpyArray:
    """Where the entries of a column come from when its axes are permuted, (2, entries)."""
    entries = np.arange(2 ** len(axes[0]), dtype=np.int32).reshape((2,) * len(axes[0]))
    return np.stack([entries.transpose(own).reshape(-1) for own in axes])


@compiled
def _grow_(first: Any, even: Any, odd: Any, last: Any, places: Any, border: int, grown: Any, layers: Any) -> Any:
    count, size = len(first), first[0].size
    more = len(even) // count
    found = np.empty((count, places.shape[1]), first.dtype)
    # An array of its own: machine code for it is several times as fast as for parts of larger ones.
    layer_here = np.empty(64, first.dtype)
    for c in range(count):
        start = first[c].reshape(-1)
        for i in range(size):
            grown[c, i] = start[i]
        for a in range(2):
            for b in range(8):
                layers[c, 8 * a + b] = odd[c, a, b]
        at = 16
        for layer in range(more):
            own, behind = even[layer * count + c], odd[(layer + 1) * count + c]
            for a in range(8):
                for b in range(8):
                    layers[c, at + 8 * a + b] = own[a, 0] * behind[0, b] + own[a, 1] * behind[1, b]
            at += 64
        if len(last):
            for a in range(2):
                for b in range(8):
                    layers[c, at + 8 * a + b] = last[c, a, b]
        low, rows, at = 0, size // 2, 0
        for layer in range(more + 1 + (len(last) > 0)):
            width = 32 if 0 < layer <= more else 8
            high = low + 2 * rows
            layer_here[: 2 * width] = layers[c, at : at + 2 * width]
            first_layer, second_layer = layer_here[:width], layer_here[width:]
            for i in range(rows):
                left, right = grown[c, low + 2 * i], grown[c, low + 2 * i + 1]
                made = grown[c, high + i * width : high + (i + 1) * width]
                for k in range(width):
                    made[k] = left * first_layer[k] + right * second_layer[k]
            low, rows, at = high, rows * width // 2, at + 2 * width
        # Rows by themselves: an index less to be made for each entry.
        entries, own_places, column = grown[c, low:], places[int(c >= border)], found[c]
        for k in range(len(column)):
            column[k] = entries[own_places[k]]
    return found


@compiled
def _pull_(
    grads: Any, even: Any, odd: Any, last: Any, places: Any, border: int, grown: Any, layers: Any, size: int
) -> Any:
    count, entries = grads.shape
    more = len(even) // count
    found = np.empty(count * size + even.size + last.size + odd.size, grads.dtype)
    ends = count * size, count * size + even.size, count * size + even.size + last.size
    zero = np.zeros(1, grads.dtype)[0]
    grad, own, layer_here = np.empty(entries, grads.dtype), np.empty(64, grads.dtype), np.empty(64, grads.dtype)
    for c in range(count):
        column, own_places = grads[c], places[int(c >= border)]
        for k in range(entries):
            grad[own_places[k]] = column[k]
        low, at, made = grown.shape[1] - entries, layers.shape[1], entries
        for layer in range(more + (len(last) > 0), -1, -1):
            width = 32 if 0 < layer <= more else 8
            rows = made // width
            low, at, made = low - 2 * rows, at - 2 * width, 2 * rows
            own[:] = 0
            first_own, second_own = own[:width], own[width:]
            layer_here[: 2 * width] = layers[c, at : at + 2 * width]
            first_layer, second_layer = layer_here[:width], layer_here[width:]
            # Rows come in twos at least, so that entries of the layer's gradient are written half as often.
            for i in range(0, rows, 2):
                one, other = grad[i * width : (i + 1) * width], grad[(i + 1) * width : (i + 2) * width]
                left, right = grown[c, low + 2 * i].conjugate(), grown[c, low + 2 * i + 1].conjugate()
                next_left, next_right = grown[c, low + 2 * i + 2].conjugate(), grown[c, low + 2 * i + 3].conjugate()
                for k in range(width):
                    first_own[k] += left * one[k] + next_left * other[k]
                    second_own[k] += right * one[k] + next_right * other[k]
            # What has been read may be written over.
            for i in range(rows):
                one, left, right = grad[i * width : (i + 1) * width], zero, zero
                for k in range(width):
                    left += one[k] * first_layer[k].conjugate()
                    right += one[k] * second_layer[k].conjugate()
                grad[2 * i], grad[2 * i + 1] = left, right
            if layer > more:
                for k in range(16):
                    found[ends[1] + 16 * c + k] = own[k]
            elif layer == 0:
                for k in range(16):
                    found[ends[2] + 16 * c + k] = own[k]
            else:
                block = (layer - 1) * count + c
                for a in range(8):
                    for s in range(2):
                        part = zero
                        for b in range(8):
                            part += own[8 * a + b] * odd[layer * count + c, s, b].conjugate()
                        found[ends[0] + 16 * block + 2 * a + s] = part
                for s in range(2):
                    for b in range(8):
                        part = zero
                        for a in range(8):
                            part += even[block, a, s].conjugate() * own[8 * a + b]
                        found[ends[2] + 16 * (block + count) + 8 * s + b] = part
        for k in range(size):
            found[c * size + k] = grad[k]
    return found
