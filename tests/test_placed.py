"""Products whose entries are made where they shall lie, against a product that is moved and cropped."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from adqc.engine.arrange import Move, find_move, move_and_crop, move_back_and_fill
from adqc.engine.placed import find_places, multiply_placed, pull_placed


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def spoil_memory():
    """Memory that is given out next holds no numbers, rather than zeros; what is returned keeps it from going back to
    the system."""
    arrays = [np.full(2**power, 255, np.uint8) for power in range(16, 6, -1) for _ in range(2 ** (22 - power))]
    return arrays[len(arrays) // 2]


# Bits of the product as they lie, of its rows first, and in the order that they shall have.
INTERLEAVED = [0, 1, 5, 6, 2, 3, 4, 7, 8, 9, 10]
CASES = [
    # rows, columns, bits, the shape that they make, what is kept of it
    (16, 128, None, (16, 128), (16, 128)),
    (16, 128, None, (2048,), (2048,)),
    (13, 32, None, (13, 32), (13, 32)),
    (16, 128, INTERLEAVED, (32, 64), (32, 64)),
    (16, 128, INTERLEAVED, (32, 64), (29, 64)),
    # Runs, and all columns, that do not fill vectors.
    (5, 50, None, (250,), (250,)),
    (75, 48, None, (75, 48), (75, 48)),
    (12, 150, ((4, 3, 3, 50), (0, 2, 1, 3)), (12, 150), (12, 150)),
    (12, 150, ((4, 3, 3, 50), (0, 2, 1, 3)), (12, 3, 50), (10, 3, 50)),
    (16, 128, INTERLEAVED, (32, 64), (32, 48)),
    (16, 128, INTERLEAVED, (4, 8, 64), (3, 7, 48)),
]


def make_move(bits):
    if isinstance(bits, tuple):
        shape, axes = bits
        return Move(shape, axes, tuple(shape[axis] for axis in axes), tuple(np.argsort(axes).tolist()))
    return None if bits is None else find_move(bits, sorted(bits))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
# The last ones fill pairs of vectors.
@pytest.mark.parametrize("bonds", [1, 6, 12, 20, 32, 64])
@pytest.mark.parametrize(("rows", "columns", "bits", "whole", "kept"), CASES)
def test_entries_are_where_a_move_puts_them(team, rows, columns, bits, whole, kept, bonds, dtype):
    move = make_move(bits)
    places = find_places(rows, columns, move, whole, kept, np.dtype(dtype).itemsize)
    assert places is not None
    left, right = draw(rows, bonds, dtype=dtype), draw(bonds, columns, seed=1, dtype=dtype)
    found, sides = multiply_placed(left, right, places), (left, right)
    near = {"rtol": 0, "atol": 2e3 * np.finfo(dtype).eps}
    np.testing.assert_allclose(found, move_and_crop(left @ right, move, whole, kept), **near)
    grad = draw(*kept, seed=2, dtype=dtype)
    moved = move_back_and_fill(grad, move, whole, kept).reshape(rows, columns)
    for own, due in zip(pull_placed(grad, *sides, places), (moved @ right.T, left.T @ moved), strict=True):
        np.testing.assert_allclose(own, due, **near)
    # Neither side in one stretch.
    np.testing.assert_allclose(multiply_placed(left[:, ::-1], right[::-1], places), found, **near)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [40, 48, 50])
def test_what_memory_held_before_does_not_matter(team, columns, dtype):
    places = find_places(37, columns, None, (37, columns), (37, columns), np.dtype(dtype).itemsize)
    left, right = draw(37, 6, dtype=dtype), draw(6, columns, seed=1, dtype=dtype)
    grad = draw(37, columns, seed=2, dtype=dtype)
    results = []
    for _ in range(2):
        results.append((multiply_placed(left, right, places), *pull_placed(grad, left, right, places)))
        kept = spoil_memory()
        assert len(kept)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


FEWER = """
import numpy as np, torch
from adqc import threads
from adqc.engine.placed import find_places, pull_placed
threads.GRAIN = 1
torch.set_num_threads(3)
left, right, grad = (np.random.default_rng(0).normal(size=shape) for shape in ((200, 5), (5, 64), (200, 64)))
places = find_places(200, 64, None, (200, 64), (200, 64), 8)
held = [np.full(2**power // 8, np.nan) for power in range(16, 6, -1) for _ in range(2 ** (22 - power))]
kept = held[len(held) // 2]
del held
own, across = pull_placed(grad, left, right, places)
np.testing.assert_allclose(own, grad @ right.T, rtol=0, atol=1e-12)
np.testing.assert_allclose(across, left.T @ grad, rtol=0, atol=1e-12)
"""


def test_fewer_threads_than_were_asked_for_do_all():
    subprocess.run([sys.executable, "-c", FEWER], env={**os.environ, "OMP_THREAD_LIMIT": "2"}, check=True)


@pytest.mark.parametrize(
    ("rows", "columns", "bits", "whole", "kept"),
    [
        # Single columns, runs of three, a crop within a vector.
        (4, 512, [0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9], (2048,), (2048,)),
        (8, 3, None, (24,), (24,)),
        (16, 128, None, (16, 128), (16, 100)),
    ],
)
def test_where_too_few_stay_side_by_side_there_are_no_places(rows, columns, bits, whole, kept):
    move = make_move(bits)
    assert find_places(rows, columns, move, whole, kept, 4) is None
