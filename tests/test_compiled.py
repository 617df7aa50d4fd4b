"""Loops as machine code: compiled once for each type, with or without a folder to keep them in."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from adqc.compiled import compiled

ROOT = Path(__file__).parent.parent


def add_up(items):
    total = np.zeros(1, items.dtype)[0]
    for item in items:
        total += item
    return total


def test_it_is_the_function_in_every_type():
    loop = compiled(add_up)
    assert loop.__name__ == "add_up"
    # The last one is lost in single precision.
    items = np.array([2**24, 1])
    assert loop(items.astype(np.float32)) == 2**24
    assert loop(items.astype(np.float64)) == 2**24 + 1
    assert loop(items * 1j) == (2**24 + 1) * 1j


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_stays_so(bad):
    found = compiled(add_up)(np.array([1.0, bad, 2.0]))
    assert np.isnan(found) if math.isnan(bad) else found == bad


def test_where_nothing_can_be_written_it_is_compiled_each_time(monkeypatch):
    asked = []
    njit = numba.njit

    def refuse(cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'add_up': no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", refuse)
    loop = compiled(add_up)
    assert not asked, "nothing is compiled ahead of the first call"
    assert loop(np.ones(3)) == 3
    assert loop(np.ones(4)) == 4
    assert asked == [True, False]


@compiled
def twice(item):
    return 2 * item


@compiled
def add_up_twice(items):
    total = np.zeros(1, items.dtype)[0]
    for item in items:
        total += twice(item)
    return total


def test_one_may_call_another():
    # Called as Python's own it could not be compiled.
    assert add_up_twice(np.arange(4.0)) == 12


@compiled
def add(one, other):
    return one + other


@compiled
def add_several(item):
    return add(item, 1) + add(item, 2) + add(3, item)


def test_numbers_that_a_caller_names_are_taken_as_any_other():
    assert add_several(10) == 36
    assert len(add.compile_once("linked").overloads) == 1


SOURCES = {
    "inner": "from adqc.compiled import compiled\n\n\n@compiled\ndef inner(item):\n    return item + {}\n",
    "outer": "from adqc.compiled import compiled\nfrom inner import inner\n\n\n"
    "@compiled\ndef outer(item):\n    return 10 * inner(item)\n",
}


def test_what_is_kept_is_not_taken_where_a_function_that_it_calls_has_changed(tmp_path):
    def run(number, program="from outer import outer; print(outer(1))"):
        for name, text in SOURCES.items():
            path = tmp_path / f"{name}.py"
            if name == "inner" or not path.exists():
                path.write_text(text.format(number))
        program = f"import sys; sys.path.insert(0, '.'); {program}"
        options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
        kept = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", program], env=kept, **options)
        return int(done.stdout), done.stderr.count("compiles its loops")

    # It is said once, where something is compiled.
    assert run(1) == (20, 1)
    files = {path.name for path in tmp_path.glob("kept/**/*.nbc")}
    assert run(1) == (20, 0)
    # Found again as it was.
    assert {path.name for path in tmp_path.glob("kept/**/*.nbc")} == files
    # What another function calls is no way in from Python, and not taken for one.
    assert run(1, "from inner import inner; print(inner(1))") == (2, 1)
    assert run(25) == (260, 1)


def test_without_a_compiler_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(RuntimeError, match="unset NUMBA_DISABLE_JIT"):
        compiled(add_up)(np.ones(3))
