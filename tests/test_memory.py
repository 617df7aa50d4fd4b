"""Memory that is given back: kept for what is asked for next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from adqc.memory import keep_freed_memory

if sys.argv[1:]:
    assert keep_freed_memory()

def step():
    return [torch.ones(2**24) for _ in range(2)]

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept_where_that_is_asked_for():
    # Three steps of 128 MB, in pages of 4 kB.
    assert faults("keep") < 1000 < 3 * 2**15 / 2 < faults()
