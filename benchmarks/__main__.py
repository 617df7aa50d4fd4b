"""Time adqc beside PennyLane, quimb, its own oracle, the joining product alone, and dense layers.

    python -m benchmarks [--threads 2] [--out benchmarks/results]

Prints one table and writes it as JSON with machine and versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import adqc
from adqc.circuit import tensor_from_pennylane
from adqc.engine.halves import contract_halves, find_cut, make_plan

Row = tuple[str, str, float, float]


def measure(work: Callable[[], object], budget: float = 2.0) -> float:
    """Median seconds of a call, over at least 3 calls and about ``budget`` seconds."""
    work()
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < budget:
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def both_ways(build: Callable[[], Tensor], parameters: list[Tensor], direction: Tensor) -> Callable[[], None]:
    """Forward and backward of a function of some parameters."""

    def work() -> None:
        for parameter in parameters:
            parameter.grad = None
        (build() * direction).sum().backward()

    return work


def weights() -> list[Row]:
    """The weight of 20 qubits, forward and backward, against every other way to it."""
    rows = []
    for depth in (4, 8):
        wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=depth), generator=torch.Generator().manual_seed(0))
        work = f"weight of 20 qubits, depth {depth}, forward + backward"
        parameters = list(wall.parameters())
        direction = torch.randn(wall.shape)
        ours = measure(both_ways(lambda wall=wall: wall(), parameters, direction))
        peers = {
            "PennyLane default.qubit": lambda wall=wall: tensor_from_pennylane(wall),
            "quimb, whole network": lambda wall=wall: wall("network"),
            "gate by gate in torch": lambda wall=wall: wall("gates"),
        }
        for name, build in peers.items():
            rows.append((work, name, ours, measure(both_ways(build, parameters, direction))))
        rows.append((work, "the joining product alone", ours, measure(_floor(wall))))
    return rows


def _floor(wall: adqc.BrickWall) -> Callable[[], None]:
    with torch.no_grad():
        plan = make_plan(wall.wiring, wall.layout)
        left, right = contract_halves(wall.matrices(), plan, wall.wiring)
    direction = torch.randn(left.shape[0], right.shape[1])
    assert left.shape[1] == find_cut(wall.wiring).bond

    def work() -> None:
        torch.mm(left, right)
        torch.mm(direction, right.T)
        torch.mm(left.T, direction)

    return work


def layers() -> list[Row]:
    """Whole layers against torch's dense ones: a training step, and inference with the weight kept."""
    rows = []
    cases = [("Linear(1024, 1024), depth 6, batch 64", 1024, 6), ("Linear(4096, 4096), depth 4, batch 64", 4096, 4)]
    for name, size, depth in cases:
        dense = nn.Linear(size, size)
        ours = adqc.nn.Linear(size, size, circuit=adqc.Circuit(depth=depth))
        batch = torch.randn(64, size)
        steps = [
            measure(both_ways(lambda layer=layer, batch=batch: layer(batch), list(layer.parameters()), batch))
            for layer in (ours, dense)
        ]
        rows.append((f"{name}, training step", "nn.Linear", steps[0], steps[1]))
        with torch.no_grad():
            kept = [measure(lambda layer=layer, batch=batch: layer(batch)) for layer in (ours.eval(), dense.eval())]
        rows.append((f"{name}, inference", "nn.Linear", kept[0], kept[1]))
    return rows


def main() -> None:
    """Run all, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time adqc beside its peers.")
    parser.add_argument("--threads", type=int, default=2, help="threads that torch uses (default 2)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = weights() + layers()
    table = Table("work", "against", "adqc [ms]", "other [ms]", "ratio", title="adqc against others, in one run")
    for work, other, ours, theirs in rows:
        table.add_row(work, other, f"{1e3 * ours:.2f}", f"{1e3 * theirs:.2f}", f"{theirs / ours:.2f}×")
    Console(width=130).print(table)
    machine = {
        "date": date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "versions": {name: version(name) for name in ("adqc", "torch", "pennylane", "quimb", "numpy")},
    }
    found = [
        {"work": work, "against": other, "adqc_seconds": ours, "other_seconds": theirs, "ratio": theirs / ours}
        for work, other, ours, theirs in rows
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "cpu.json"
    path.write_text(json.dumps({"machine": machine, "rows": found}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
