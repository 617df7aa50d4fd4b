"""The comparison with PennyLane and Qiskit runs, and the page shows what it found."""

import json
import runpy
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture
def script():
    for name in ("qiskit", "qiskit_qasm3_import", "openqasm3"):
        pytest.importorskip(name, reason="needs the extra interop: pip install 'adqc[interop]'")
    return runpy.run_path(str(RESULTS / "decompositions.py"))


def test_the_page_shows_the_stored_result(script):
    found = json.loads((RESULTS / "decompositions.json").read_text(encoding="utf-8"))
    assert script["report"](found) == (RESULTS / "decompositions.md").read_text(encoding="utf-8")
    ours = [row for row in found["gates"] if row["library"] == "adqc"]
    assert all((row["number"], row["above_1e-12"], row["failed"]) == (1000, 0, 0) for row in ours)
    assert max(row["cx_max"] for row in ours) == 3
    assert max(row["error"] for row in found["readers"]) < 1e-10


@pytest.mark.filterwarnings("ignore")
def test_it_runs_again(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["decompositions.py", "--number", "2", "--out", str(tmp_path)])
    script["main"]()
    found = json.loads((tmp_path / "decompositions.json").read_text(encoding="utf-8"))
    assert {row["library"] for row in found["gates"]} == {"adqc", "PennyLane", "Qiskit"}
    assert "Who reads the files" in capsys.readouterr().out
