"""Vectors in compiled loops, against numpy; of a machine's own width, and of the narrow one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from adqc.compiled import compiled
from adqc.vectors import (
    NARROW,
    UNITS,
    copy_,
    count_entries,
    fill,
    load,
    plus,
    repeat,
    store,
    times_plus,
    total,
    transpose_,
)


@compiled
def combine_(one, other, found, wide):
    for at in range(0, len(one), wide):
        a, b = load(one, at), load(other, at)
        store(found, at, plus(times_plus(a, b, fill(one.dtype.type(3))), repeat(one, 1)))


@compiled
def add_up(items, wide):
    sums = fill(items.dtype.type(0))
    for at in range(0, len(items), wide):
        sums = plus(sums, load(items, at))
    return total(sums)


@compiled
def turn_(items, found, rows, columns, wide):
    for row in range(0, rows, wide):
        for column in range(0, columns, wide):
            transpose_(items, row * columns + column, columns, found, column * rows + row, rows)


@compiled
def reverse_(items, found, unit):
    for k in range(0, len(items), unit):
        copy_(items, len(items) - unit - k, found, k, unit)


def draw(count, dtype):
    return np.random.default_rng(0).normal(size=count).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_do_to_each_entry_what_numpy_does(dtype):
    wide = count_entries(np.dtype(dtype).itemsize)
    one, other = draw(3 * wide, dtype), draw(4 * wide, dtype)[wide:]
    found = np.empty_like(one)
    combine_(one, other, found, wide)
    np.testing.assert_allclose(found, one * other + 3 + one[1], rtol=0, atol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(add_up(one, wide), one.sum(), rtol=0, atol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_is_transposed(dtype):
    wide = count_entries(np.dtype(dtype).itemsize)
    items = draw(6 * wide * wide, dtype)
    found = np.empty_like(items)
    turn_(items, found, 2 * wide, 3 * wide, wide)
    np.testing.assert_array_equal(found.reshape(3 * wide, 2 * wide), items.reshape(2 * wide, 3 * wide).T)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128, np.int16])
def test_a_few_entries_are_copied_as_they_are(dtype, unit):
    items = np.arange(1, 13).astype(dtype) * (1j if np.issubdtype(dtype, np.complexfloating) else 1)
    items = items.astype(dtype)
    found = np.zeros_like(items)
    reverse_(items, found, unit)
    np.testing.assert_array_equal(found, items.reshape(-1, unit)[::-1].reshape(-1))


def test_infinities_and_what_is_no_number_stay_so():
    wide = count_entries(8)
    items = np.ones(wide)
    items[2], items[3] = np.inf, np.nan
    found = np.empty_like(items)
    combine_(items, np.ones(wide), found, wide)
    assert np.isinf(found[2])
    assert np.isnan(found[3])


NARROWED = """
import numpy as np, torch
from adqc import vectors
assert vectors.count_entries(4) == %d
import adqc
for layout in ("interleaved", "rows-first"):
    layer = adqc.nn.Linear(48, 40, circuit=adqc.Circuit(depth=6, layout=layout), dtype=torch.float64)
    x = torch.randn(32, 48, dtype=torch.float64)
    for weight in (layer.weight, layer.circuit("halves")):
        torch.testing.assert_close(weight, layer.circuit("gates"), rtol=0, atol=1e-12)
        due = torch.autograd.grad(layer.circuit("gates").sin().sum(), layer.circuit.gates)
        own = torch.autograd.grad(weight.sin().sum(), layer.circuit.gates)
        torch.testing.assert_close(own, due, rtol=0, atol=1e-11)
"""


def test_machines_without_wide_vectors_take_narrow_ones(tmp_path):
    # Of numba's own settings, which know of no such vectors here; what it compiles for them is kept elsewhere.
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", NARROWED % (NARROW // 4)], env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
