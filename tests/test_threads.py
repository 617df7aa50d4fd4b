"""Compiled loops in parts: every thread does its own, together they do all, and without a library one does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from adqc import threads
from adqc.compiled import compiled
from adqc.threads import find_team, split, wait


@compiled
def fill_(addresses, number, count, found, sums):
    if number < 0:
        split(addresses, number, count)
        return
    for k in range(number * len(found) // count, (number + 1) * len(found) // count):
        found[k] = number
    if count > 1:
        wait(addresses[1])
    # What another thread has written.
    for k in range(len(found)):
        sums[number] += found[k]


def fill(entries, count):
    found, sums = np.full(entries, -1.0), np.zeros(count)
    fill_(*find_team(entries)._replace(size=count), found, sums)
    return found, sums


def test_torchs_own_library_is_found():
    assert torch.backends.openmp.is_available()
    addresses, process = threads._find_addresses()
    assert addresses.all()
    assert process == os.getpid()
    assert threads.shares_threads()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_thread_does_its_part(three_threads, count):
    found, sums = fill(15, count)
    due = [number for number in range(count) for _ in range(number * 15 // count, (number + 1) * 15 // count)]
    np.testing.assert_array_equal(found, due)
    np.testing.assert_array_equal(sums, np.full(count, found.sum()))


def test_a_team_is_as_large_as_torch_and_the_work_allow(monkeypatch):
    monkeypatch.setattr(threads, "GRAIN", 100)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        assert [find_team(entries).size for entries in (0, 199, 200, 399, 4000)] == [1, 1, 2, 3, 4]
        torch.set_num_threads(1)
        assert find_team(4000).size == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_without_a_library_one_thread_does_all(three_threads, monkeypatch, error):
    def refuse(path):
        raise error

    monkeypatch.setattr(threads.ctypes, "CDLL", refuse)
    monkeypatch.setattr(threads, "_find_addresses", threads._find_addresses.__wrapped__)
    team = find_team(10**6)
    assert team.size == 1
    assert not threads.shares_threads()
    found, sums = np.full(9, -1.0), np.zeros(1)
    fill_(*team, found, sums)
    assert not found.any()


def test_several_of_pythons_threads_have_a_team_each(three_threads):
    right = []

    def run():
        right.append(all(np.array_equal(fill(30, 3)[0], np.arange(30) // 10) for _ in range(50)))

    several = [threading.Thread(target=run) for _ in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert right == [True] * 3


FORKED = """
import os
import numpy as np
import torch
import adqc
torch.set_num_threads(2)
wall = adqc.BrickWall((256, 256), adqc.Circuit(depth=12))
with torch.no_grad():
    # torch's own operations would wait there.
    due = wall().numpy()
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(wall().numpy(), due) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_all_itself():
    # It would wait for its parent's threads for ever.
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_they_are_for_loops_alone():
    with pytest.raises(TypeError, match="for compiled loops alone"):
        wait(0)
