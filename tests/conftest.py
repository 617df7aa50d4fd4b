"""What all tests share: one thread, and a fresh random stream for each test."""

import pytest
import torch

from adqc import threads
from adqc.engine import script, tiles


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def three_threads(monkeypatch):
    """Threads for compiled loops, however little there is to do; and not as many as divide everything."""
    monkeypatch.setattr(threads, "GRAIN", 1)
    # Windows of a few entries are taken by one thread alone, larger ones by all.
    monkeypatch.setattr(script, "ALONE", 2**9)
    forget_scripts()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)
    forget_scripts()


@pytest.fixture(params=[1, 3])
def team(request):
    """The same, and one thread alone."""
    if request.param > 1:
        request.getfixturevalue("three_threads")


def forget_scripts():
    """Let them be written anew, by other constants."""
    for kept in (script.script_windows, script.script_patches, tiles.make_tiles):
        kept.cache_clear()
