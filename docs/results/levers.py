"""What each choice behind the tables' wide circuits brings: one changed at a time, on the tables' own schedules.

    python docs/results/levers.py            train what is missing (about half an hour), write levers.json and levers.md
    python docs/results/levers.py fc2-fashion

Trainings are kept in runs/levers.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables import TABLES
from torch import nn

from adqc.config import Circuit
from adqc.experiments.depths import choose_widths
from adqc.experiments.recipe import load_recipe
from adqc.experiments.workshop import Workshop

HERE = Path(__file__).parent
AS_IN_THE_TABLES = "as in the tables"
IN_THE_DENSE = "put into the trained dense network"
STAGE_1 = "put there and fitted first (stage 1)"
Change = Callable[[Circuit], Circuit]


def change(**fields: Any) -> Change:
    """Set fields of a layer's circuit."""
    return lambda config: dataclasses.replace(config, **fields)


TWOS = (0, 1, 8, 9, 10, 2, 3, 11, 12, 4, 5, 13, 14, 15, 6, 7, 16, 17)
THREES = (0, 1, 2, 8, 9, 10, 3, 4, 5, 11, 12, 13, 6, 7, 14, 15, 16, 17)
# Name of the recipe: budget, rate, and what is changed.
LEVERS: dict[str, tuple[int, float, dict[str, Change]]] = {
    "fc2-fashion": (
        600, 0.01,
        {
            AS_IN_THE_TABLES: change(),
            IN_THE_DENSE: change(),
            STAGE_1: change(),
            "random gates (`haar`)": change(start="haar"),
            "two bits of outputs and two or three of pixels in turns": change(layout=TWOS),
            "random gates, three bits of outputs and pixels in turns": change(start="haar", layout=THREES),
            "weight's own axes, 256 × 784": change(axes=None),
            "bits in turns one by one (`interleaved`)": change(layout="interleaved"),
            "all bits of the outputs first (`rows-first`)": change(start="haar", layout="rows-first"),
            "gates on three qubits": change(gate="o8", stride=1),
            "gates on four qubits": change(gate="o16", stride=2),
            "gates on six qubits": change(gate="o64", stride=4),
        },
    ),
    "small-vgg-cifar10": (
        600, 0.003,
        {
            AS_IN_THE_TABLES: change(),
            IN_THE_DENSE: change(),
            "random gates (`haar`)": change(start="haar"),
        },
    ),
}  # fmt: skip


def make(name: str, *, data: str | None = None, runs: str = "runs/levers") -> dict[str, Any]:
    """Train what is missing of a recipe's levers and read it."""
    budget, rate, levers = LEVERS[name]
    _, seeds, _, _, changes = TABLES[name]
    recipe = load_recipe(name, changes=changes)
    shop = Workshop(recipe, Path(runs) / name, data=data)
    chosen = choose_widths(budget, shop.shapes, recipe.wide)
    rows = []
    for number, (words, lever) in enumerate(levers.items()):
        configs = {layer: lever(config) for layer, config in chosen.items()}
        found = [train(shop, f"lever{number}", words, configs, recipe.seed + k, rate) for k in range(seeds)]
        reached = [record["accuracy"] for record in found]
        row = {"lever": words, "parameters": found[0]["parameters"], "accuracy": statistics.mean(reached)}
        rows.append({**row, "reached": reached, "loss": statistics.mean(record["loss"] for record in found)})
        print(name, words, row["parameters"], f"{row['accuracy']:.2f} %", flush=True)
    return {"title": recipe.title, "budget": budget, "rate": rate, "machine": shop.machine(), "rows": rows}


def train(shop: Workshop, name: str, words: str, configs: dict[str, Circuit], seed: int, rate: float) -> dict[str, Any]:
    """One training of these circuits, from scratch where the lever does not say otherwise."""
    scratch = words not in (IN_THE_DENSE, STAGE_1)
    fit = shop.recipe.fit if words == STAGE_1 else None

    def put_in() -> tuple[nn.Module, dict[str, Any]]:
        return shop.circuit(shop.recipe.make_model(seed) if scratch else shop.dense(seed), configs, seed, fit=fit)

    return shop.train(f"{name}-seed{seed}", put_in, seed=seed, lr=rate, both=scratch)


def render(found: dict[str, Any]) -> str:
    """One table: what is changed, and what that makes of the accuracy."""
    base = found["rows"][0]["accuracy"]
    seeds = len(found["rows"][0]["reached"])
    lines = [
        f"## {found['title']}",
        "",
        f"Budget {found['budget']:,}, circuits' rate {found['rate']}, {seeds} seed{'s' * (seeds > 1)}; schedule of the "
        f"tables.",
        "",
        "| changed | parameters | test accuracy | against the tables' | training loss |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in found["rows"]:
        less = "" if row is found["rows"][0] else f"{row['accuracy'] - base:+.2f}"
        lines.append(f"| {row['lever']} | {row['parameters']:,} | {row['accuracy']:.2f} | {less} | {row['loss']:.3f} |")
    return "\n".join(lines) + "\n"


def write(names: list[str], *, data: str | None = None) -> None:
    """Train what is missing of these recipes' levers, and write the page of all that there are."""
    path = HERE / "levers.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept.update({name: make(name, data=data) for name in names})
    path.write_text(json.dumps(kept, indent=1) + "\n")
    shown = "\n".join(render(kept[name]) for name in LEVERS if name in kept)
    (HERE / "levers.md").write_text(f"{INTRODUCTION}\n{shown}")


INTRODUCTION = """# What moves the accuracy of a circuit

`python docs/results/levers.py` makes this page: the wide circuits of [the tables](tables.md) with one choice changed at
a time, trained from scratch where nothing else is said. What was tried and does not pay is told in [another
page](tried.md).
"""

if __name__ == "__main__":
    import os
    import sys

    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    write(sys.argv[1:] or list(LEVERS), data=os.environ.get("ADQC_DATA"))
