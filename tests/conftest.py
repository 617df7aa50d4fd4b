"""What all tests share: one thread, and a fresh random stream for each test."""

import pytest
import torch

from adqc import threads


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
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.fixture(params=[1, 3])
def team(request):
    """The same, and one thread alone."""
    if request.param > 1:
        request.getfixturevalue("three_threads")
