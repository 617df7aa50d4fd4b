"""Time adqc beside its peers, the floor and dense layers: ``python -m benchmarks`` (``make bench``).

    python -m benchmarks [--part table|growth|all] [--device cpu|cuda] [--threads 2] [--rows 1,2] [--rounds 3]
                         [--out FOLDER]

Prints one table with target and ratio in each row, says which rows fall short, and writes every figure with machine and
versions as JSON. ``python -m benchmarks.render`` makes the documentation's table and plots of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks import factorized, growth, layers, planning, weights
from benchmarks.lines import Line, make_table, middle, short_rows
from benchmarks.machine import describe
from benchmarks.timing import Setup, warm_up

# Which rows each part gives.
SECTIONS: dict[Callable[[Setup], Iterator[Line]], tuple[int, ...]] = {
    weights.peers: (1, 2),
    weights.floor: (3,),
    layers.linear: (4, 5, 6, 7, 8),
    weights.deep: (9,),
    layers.large: (10,),
    planning.planning: (11,),
    layers.networks: (12,),
    factorized.factorized: (13,),
    layers.embedding: (14,),
}
WIDTH = 190


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time adqc beside its peers.")
    parser.add_argument("--part", choices=("table", "growth", "all"), default="all", help="what to run (default all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to run (default cpu)")
    parser.add_argument("--threads", type=int, default=2, help="threads that torch uses (default 2)")
    parser.add_argument("--rows", type=_numbers, help="only these rows of the table, as in 1,2,9; nothing is written")
    parser.add_argument(
        "--rounds", type=int, default=1, help="run the table so many times and take each line's median (default 1)"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the JSON")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that all runs; nothing is written")
    options = parser.parse_args(words)
    if options.rounds < 1:
        parser.error(f"--rounds counts how often the table is run, at least once, got {options.rounds}")
    return options


def _numbers(words: str) -> tuple[int, ...]:
    return tuple(int(word) for word in words.split(","))


def run_table(setup: Setup, rows: tuple[int, ...] | None = None, *, say: Callable[[str], None]) -> list[Line]:
    """The lines of the table, in the order of the rows.

    Args:
        setup: Device, sizes, number of calls.
        rows: Only these; None for all.
        say: Told what is going on.
    """
    lines: list[Line] = []
    for section, numbers in SECTIONS.items():
        if rows is not None and not set(rows) & set(numbers):
            continue
        begin = time.perf_counter()
        lines += section(setup)
        said = ", ".join(map(str, numbers))
        say(f"rows {said}: {time.perf_counter() - begin:.0f} s")
    # The sort is stable, so that within a row the order stays.
    return sorted((line for line in lines if rows is None or line.row in rows), key=lambda line: line.row)


def write(path: Path, part: str, found: list[dict[str, Any]], threads: int, seconds: float) -> None:
    """Put one part into the JSON; the other one stays as it is, with the machine that it ran on."""
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    held[part] = {"machine": describe(threads), "seconds": round(seconds, 1), "lines": found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(words: list[str] | None = None) -> None:
    """Run, print, write."""
    options = parse(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here: use --device cpu")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    warm_up()
    device = torch.device(options.device)
    console = Console(width=WIDTH)
    progress = Console(stderr=True)
    path = options.out / f"{options.device}.json"
    kept = not options.small and options.rows is None
    if options.part != "growth":
        begin = time.perf_counter()
        budget = 0.0 if options.small else 1.0
        setup = Setup(device, budget=budget, small=options.small)
        rounds = [run_table(setup, options.rows, say=progress.print) for _ in range(options.rounds)]
        lines = [middle(same) for same in zip(*rounds, strict=True)]
        threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
        console.print(make_table(lines, f"adqc beside others, in one run, {options.device}, {threads}"))
        if kept:
            found = [line.to_dict() for line in lines]
            write(path, "table", found, options.threads, time.perf_counter() - begin)
        short = short_rows(lines)
        console.print("All rows meet their targets." if not short else "These fall short of their targets:")
        for sentence in short:
            console.print(f"- {sentence}", soft_wrap=True)
    if options.part != "table" and options.rows is None:
        begin = time.perf_counter()
        series = list(growth.grow(Setup(device, budget=0.0 if options.small else 0.2, small=options.small)))
        for one in series:
            console.print(f"{one.plot}: {one.name}: slope {one.slope:.2f} over the last {growth.LAST} points")
        if kept:
            found = [one.to_dict() for one in series]
            write(path, "growth", found, options.threads, time.perf_counter() - begin)
    if kept:
        console.print(f"Written to {path}. For the documentation: python -m benchmarks.render")


if __name__ == "__main__":
    main()
