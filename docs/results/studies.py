"""The five studies at length, with schedules for two cores: their tables and figures.

    python docs/results/studies.py           train what is missing (an hour or more), write the page
    python docs/results/studies.py depth     one study

Trainings are kept in runs/studies, each study's report.html among them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import FC2, LENET, TABLES

from adqc.experiments.compare_page import to_markdown
from adqc.experiments.recipe import load_recipe
from adqc.experiments.studies import STUDIES, find_study
from adqc.experiments.study import Study

HERE = Path(__file__).parent
# Study: recipe, seeds, changes of the recipe.
LENGTHS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "two-stage": ("lenet5-mnist", 3, ("train_images=10000", *FC2)),
    "unitarity": ("fc2-mnist", 3, LENET),
    "depth": ("fc2-mnist", 3, LENET),
    "layout": ("fc2-mnist", 3, LENET),
    "scale": ("small-vgg-cifar10", 1, TABLES["small-vgg-cifar10"][-1]),
}


def make(name: str, *, data: str | None = None, runs: str = "runs/studies") -> dict[str, Any]:
    """Train what is missing of a study and read it."""
    recipe, seeds, changes = LENGTHS[name]
    study = Study(
        name, find_study(name), load_recipe(recipe, changes=changes), seeds=seeds, folder=Path(runs) / name, data=data
    )
    found = study.execute()
    table = found["page"]["parts"][-1]
    kept = {key: found[key] for key in ("title", "recipe", "settings", "machine", "images", "rows")}
    return {**kept, "text": found["page"]["intro"], "heads": table["heads"], "cells": table["rows"]}


def render(name: str, found: dict[str, Any]) -> str:
    """One study: what was trained, what is asked, and its table."""
    recipe, images = found["recipe"], found["images"]
    table = to_markdown(found["title"], found["heads"], found["cells"]).split("\n", 2)[2]
    return (
        f"## {found['title']}\n\n`{name}`: {images['train']:,} training images, {images['test']:,} test images; dense "
        f"network {recipe['dense']['epochs']} epochs, then {recipe['finetune']['epochs']}. {found['text']}\n\n{table}"
    )


def write(names: list[str], *, data: str | None = None) -> None:
    """Train what is missing of these studies, and write the page of all that there are."""
    path = HERE / "studies.json"
    for name in names:
        found = make(name, data=data)
        # Read late, so that studies made side by side keep each other's.
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**kept, name: found}, indent=1, ensure_ascii=False) + "\n")
    kept = json.loads(path.read_text())
    shown = "\n".join(render(name, kept[name]) for name in STUDIES if name in kept)
    (HERE / "studies.md").write_text(f"{INTRODUCTION}\n{shown}")


INTRODUCTION = """# The studies

`python docs/results/studies.py` makes this page; the figures of each study, with the machine, are in `studies.json`.
The schedules are short, so that two cores make all of it in about an hour; `adqc study NAME` takes the recipes' own.

In short: fitting the weights first brings 0.3 points from random gates and three to four from gates near the identity.
Fitted to outputs from random gates, the network is right for seven tenths of the digits before any training with
labels; after training little of that is left. Growing circuits while they train does not pay. Gates that are unitary
cost half a point at equal depth and store less than a quarter of the numbers; a penalty that keeps free gates unitary
loses less. At this schedule depth beyond 6 brings nothing, and bits in turns do best.
"""

if __name__ == "__main__":
    import os
    import sys

    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    write(sys.argv[1:] or list(LENGTHS), data=os.environ.get("ADQC_DATA"))
