"""Products in compiled loops, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from adqc.engine import block_loops
from adqc.vectors import count_entries


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Rows in fours and not, one panel of two vectors, half of one, several; the shared side in one part and in several, and
# shorter than there are rows.
SHAPES = [(1, 4, 3, 2), (3, 5, 2, 1), (2, 1, 1, 3), (7, 6, 40, 5), (1, 33, 4, 36), (1, 42, 3, 1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("items", "rows", "shared", "vectors"), SHAPES)
def test_one_matrix_times_each_of_some(team, items, rows, shared, vectors, dtype):
    wide = count_entries(np.dtype(dtype).itemsize)
    left, right = draw(rows, shared, dtype=dtype), draw(items, shared, vectors * wide, seed=1, dtype=dtype)
    found = np.empty((items, rows, vectors * wide), dtype)
    block_loops.spread(left, right, found)
    np.testing.assert_allclose(found, left @ right, rtol=0, atol=1e3 * np.finfo(dtype).eps)
    # Neither side in one stretch.
    block_loops.spread(np.asfortranarray(left), right[:, :, ::-1], found)
    np.testing.assert_allclose(found, left @ right[:, :, ::-1], rtol=0, atol=1e3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("items", "rows", "columns", "vectors"), SHAPES)
def test_products_are_added_up(team, items, rows, columns, vectors, dtype):
    wide = count_entries(np.dtype(dtype).itemsize)
    for side in (columns, columns * wide):
        left, right = (draw(items, own, vectors * wide, seed=own, dtype=dtype) for own in (rows, side))
        due = np.einsum("imn,ikn->mk", left.astype(float), right.astype(float))
        np.testing.assert_allclose(block_loops.add_up(left, right), due, rtol=0, atol=1e4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("side", [16, 19, 33, 70, 300])
def test_sides_that_do_not_fill_vectors(team, side, dtype):
    near = {"rtol": 0, "atol": 1e3 * np.finfo(dtype).eps}
    # The shared side in one part and in several, and often, as threads might write into one another's sums.
    for rows, shared in ((5, 6), *[(40, 600)] * 20):
        left, right = draw(rows, shared, dtype=dtype), draw(3, shared, side, seed=1, dtype=dtype)
        found = np.empty((3, rows, side), dtype)
        block_loops.spread(left, right, found)
        np.testing.assert_allclose(found, left @ right, rtol=0, atol=10 * shared * near["atol"])
    left, right = draw(2, 5, side, dtype=dtype), draw(2, 39, side, seed=1, dtype=dtype)
    np.testing.assert_allclose(block_loops.add_up(left, right), np.einsum("imn,ikn->mk", left, right), **near)


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (5, 32), (32, 5), (64, 48), (1, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_matrix_is_transposed(team, shape, dtype):
    items = draw(*shape, dtype=dtype)
    for own in (items, np.asfortranarray(items), items[::-1]):
        found = block_loops.transpose(own)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, own.T)
