"""Memory that is given back: kept for what is asked for next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from adqc import memory
from adqc.cli import app

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


@pytest.mark.parametrize("words", [("run", "nothing"), ("compare", "nothing"), ("study", "nothing")])
def test_commands_that_train_ask_for_it(words, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: asked.append(True))
    # What is named does not exist, so nothing is trained.
    assert CliRunner().invoke(app, words).exit_code != 0
    assert asked == [True]


def test_other_commands_do_not(monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: asked.append(True))
    assert CliRunner().invoke(app, ["plan", "fc2"]).exit_code == 0
    assert asked == []
