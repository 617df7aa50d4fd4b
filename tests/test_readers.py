"""Other packages' readers of OpenQASM: the same state as ours, and told where they are missing."""

import importlib.util

import pytest
import torch

from adqc import BrickWall, Circuit, to_qasm
from adqc.engine.statevector import run_gates
from adqc.readers import READERS, missing_package


@pytest.mark.parametrize("shape", [(3,), (4, 5), (2, 3, 2)])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("reader", READERS)
def test_the_state_is_the_same(reader, version, shape):
    if missing_package(reader, version):
        pytest.skip(f"{missing_package(reader, version)} is not installed")
    wall = BrickWall(shape, Circuit(depth=5, gate="so4"), dtype=torch.float64)
    state = READERS[reader](to_qasm(wall, version=version), version)
    assert state.dtype == torch.complex128
    expected = run_gates(wall.matrices(), wall.wiring).detach().to(torch.complex128)
    torch.testing.assert_close(state, expected, rtol=0, atol=1e-13)


def test_missing_packages_are_named(monkeypatch):
    assert missing_package("quimb", 3) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "qiskit_qasm3_import" else name)
    assert missing_package("qiskit", 2) is None
    assert missing_package("qiskit", 3) == "qiskit-qasm3-import"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_package("qiskit", 2) == "qiskit"
    assert missing_package("quimb", 2) == "quimb"
