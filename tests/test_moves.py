"""Entries looked up in two short lists, against numpy's own permutation and crop."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from adqc.engine.moves import find_origins, gather, scatter

BITS = (2,) * 11
CASES = [
    # The axes as they lie, their order, the shape that they make and what is kept of it.
    ((24,), (0,), (4, 6), (3, 5)),
    ((24,), (0,), (24,), (24,)),
    ((4, 3, 8), (1, 0, 2), (12, 8), (12, 8)),
    ((4, 3, 8), (1, 0, 2), (12, 8), (10, 8)),
    ((4, 3, 8), (1, 0, 2), (4, 24), (4, 19)),
    ((4, 3, 8), (2, 1, 0), (96,), (50,)),
    ((1, 5, 7), (0, 2, 1), (35,), (35,)),
    (BITS, tuple(random.Random(0).sample(range(11), 11)), (32, 64), (29, 50)),
    (BITS, tuple(random.Random(1).sample(range(11), 11)), (4, 4, 128), (3, 3, 100)),
    (BITS, (1, 0, 3, 2, 5, 4, 7, 6, 8, 9, 10), (2048,), (2048,)),
    (BITS, (1, 0, 3, 2, 5, 4, 7, 6, 8, 9, 10), (2048,), (2047,)),
    ((11, 8, 8, 16), (0, 2, 1, 3), (88, 128), (84, 120)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize(("shape", "axes", "whole", "kept"), CASES)
def test_entries_are_where_numpy_puts_them(shape, axes, whole, kept, dtype):
    items = (np.arange(math.prod(shape)) + 1).astype(dtype)
    due = items.reshape(shape).transpose(axes).reshape(whole)[tuple(map(slice, kept))]
    places = find_origins(shape, axes, whole, kept, items.itemsize)
    np.testing.assert_array_equal(gather(items, places).reshape(kept), due)
    back = scatter(due, places, items.size)
    np.testing.assert_array_equal(back, np.where(np.isin(items, due), items, 0))
    # What is not in one stretch, and of another shape.
    wide = np.stack([items, -items], axis=1)[:, 0].reshape(shape)
    np.testing.assert_array_equal(gather(wide, places).reshape(kept), due)


@pytest.mark.parametrize(
    ("axes", "kept", "itemsize", "unit", "run"),
    [
        ((1, 0, 2), (4, 3, 8), 4, 4, 8),
        ((1, 0, 2), (4, 3, 6), 4, 2, 6),
        ((1, 0, 2), (4, 3, 7), 4, 1, 7),
        ((1, 0, 2), (4, 3, 8), 8, 2, 8),
        ((1, 0, 2), (4, 3, 8), 16, 1, 8),
        ((1, 2, 0), (4, 8, 3), 4, 1, 1),
    ],
)
def test_entries_side_by_side_are_moved_as_one(axes, kept, itemsize, unit, run):
    whole = tuple((3, 4, 8)[axis] for axis in axes)
    places = find_origins((3, 4, 8), axes, whole, kept, itemsize)
    assert (places.unit, places.run) == (unit, run)


def test_the_lists_are_short():
    bits = tuple(range(0, 20, 2)) + tuple(range(1, 20, 2))
    places = find_origins((2,) * 20, bits, (1024, 1024), (1000, 1000), 4)
    assert len(places.high) * len(places.low) * places.unit == 10**6
    assert len(places.high) + len(places.low) <= 2000
