"""Does the cost model pick the fastest way? A grid of layers, each way measured.

    python -m benchmarks.grid [--layer linear] [--points 120] [--gate cartan] [--threads 2] [--out FILE]

Linear layers of 2^6 to 2^13 a side, batch 1 to 4096; embeddings of 2^4 to 2^10 numbers for 32 times as many words, 16
to 16384 of them looked up; 3 x 3 convolutions of 2^4 to 2^9 channels, on 1 to 128 images of 8 x 8. Depth 1 to 16, both
layouts, both wirings, training and inference; the points are drawn from the whole grid with a fixed seed. A choice
counts as right where it is the fastest or within 1.3 of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from pathlib import Path

import torch
from torch import Tensor, nn

import adqc
from benchmarks.lines import LAYOUTS
from benchmarks.machine import describe

RIGHT = 1.3
# A way that is thought to take longer than this is not run for the grid.
LONGEST = 3.0


def points(kind: str) -> list[tuple[int, int, int, str, str]]:
    """All points: size, batch, depth, layout, wiring."""
    sizes, batches = {
        "linear": (range(6, 14), (0, 2, 4, 6, 8, 10, 12)),
        "embedding": (range(4, 11), (4, 6, 8, 10, 12, 14)),
        "conv": (range(4, 10), (0, 2, 4, 5, 6, 7)),
    }[kind]
    depths = [1, 2, 3, 4, 6, 8, 12, 16]
    counts = [[2**k for k in exponents] for exponents in (sizes, batches)]
    return list(itertools.product(*counts, depths, LAYOUTS, adqc.geometry.WIRINGS))


def make_case(kind: str, size: int, batch: int, circuit: adqc.Circuit) -> tuple[nn.Module, int | Tensor]:
    """A layer, and what :func:`adqc.explain` is given for it."""
    generator = torch.Generator().manual_seed(0)
    if kind == "linear":
        return adqc.nn.Linear(size, size, circuit=circuit, generator=generator), batch
    if kind == "embedding":
        return adqc.nn.Embedding(32 * size, size, circuit=circuit, generator=generator), batch
    layer = adqc.nn.Conv2d(size, size, 3, padding=1, circuit=circuit, generator=generator)
    return layer, torch.randn(batch, size, 8, 8, generator=generator).requires_grad_()


def main() -> None:
    """Measure, print how often the choice was right, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid", description="Check the cost model's choices.")
    parser.add_argument("--layer", choices=("linear", "embedding", "conv"), default="linear")
    parser.add_argument("--points", type=int, default=120)
    parser.add_argument("--gate", choices=("cartan", "so4", "cartan-su4", "su4", "free"), default="cartan")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="default benchmarks/results/grid[-LAYER][-GATE].json")
    options = parser.parse_args()
    named = [name for name, usual in ((options.layer, "linear"), (options.gate, "cartan")) if name != usual]
    out = options.out or Path("benchmarks/results") / f"{'-'.join(['grid', *named])}.json"
    torch.set_num_threads(options.threads)
    rows = []
    for size, batch, depth, layout, wiring in random.Random(0).sample(points(options.layer), options.points):
        config = adqc.Circuit(depth=depth, gate=options.gate, layout=layout, wiring=wiring)
        layer, given = make_case(options.layer, size, batch, config)
        planned = adqc.explain(layer, given, measure=False)
        if max(way.predicted for way in planned.ways) > LONGEST:
            # Where one way is out of the question by far, that one is not run.
            best = {way.situation: way for way in planned.ways if way.chosen}
            worst = [w.predicted / best[w.situation].predicted for w in planned.ways if not w.chosen] or [1.0]
            print(f"{size:5} {batch:5} {depth:3} {layout:11} {wiring:10} left out: predicted ratio {min(worst):.0f}")
            continue
        found = adqc.explain(layer, given)
        for situation in {way.situation for way in found.ways}:
            ways = [way for way in found.ways if way.situation == situation and way.measured is not None]
            fastest = min(way.measured for way in ways)
            taken = next(way for way in ways if way.chosen)
            ratio = taken.measured / fastest
            rows.append(
                {
                    "size": size, "batch": batch, "depth": depth, "layout": layout, "wiring": wiring,
                    "situation": situation, "chosen": taken.way, "ratio": ratio,
                    "ways": {way.way: {"predicted": way.predicted, "measured": way.measured} for way in ways},
                }
            )  # fmt: skip
            if ratio > RIGHT:
                figures = ", ".join(f"{w.way} {w.predicted * 1e3:.2f}/{w.measured * 1e3:.2f}" for w in ways)
                print(f"{size:5} {batch:5} {depth:3} {layout:11} {wiring:10} {situation}: {ratio:.1f}× ({figures})")
    right = sum(row["ratio"] <= RIGHT for row in rows)
    print(f"right in {right} of {len(rows)} cases ({100 * right / len(rows):.1f} %; target 90 %)")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": describe(options.threads), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
