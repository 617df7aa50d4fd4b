"""The study of stage 1: none, on weights, or on outputs, for each start of the circuits."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

from torch import nn

from adqc.brickwall import BrickWall
from adqc.compress import compress_
from adqc.config import Circuit
from adqc.experiments.study import Answer, Job, Runner, picture, point, usual
from adqc.experiments.training import measure
from adqc.experiments.workshop import CIRCUITS, Workshop, rescale_
from adqc.outputs import fit_outputs_
from adqc.selection import find_targets
from adqc.swap import install_

STARTS = ("haar", "layered", "near-identity", "grown")
STAGES = {"none": "single stage", "weights": "on weights", "outputs": "on outputs"}
# Training images whose outputs are fitted.
IMAGES = 1024

Made = tuple[nn.Module, dict[str, Any]]


def ask_two_stages(shop: Workshop, run: Runner, quick: bool) -> Answer:
    """Circuits without a first stage, against those that are fitted to weights or to outputs before."""
    jobs = []
    for start in STARTS[:: 3 if quick else 1]:
        for stage in STAGES:

            def make(seed: int, start: str = start, stage: str = stage) -> Made:
                return _make(shop, start, stage, seed)

            epochs = shop.recipe.finetune.epochs
            # A grown circuit has trained with half of its layers before.
            options = {"changes": {"epochs": epochs - epochs // 2}} if start == "grown" else {}
            jobs.append(Job(f"{start}-{stage}", {"start": start, "stage": STAGES[stage]}, make, options))
    rows = run(jobs)
    places = list(dict.fromkeys(row["start"] for row in rows))
    series = {
        name: [point(row, places.index(row["start"])) for row in rows if row["stage"] == name]
        for name in STAGES.values()
    }
    shown = picture(series, "start of the circuits", "Test accuracy by start and first stage")
    return Answer(
        rows,
        [
            ("start", "start", None),
            ("stage", "stage 1", None),
            ("first", "after stage 1, %", 2),
            *usual(error=True),
        ],
        [{**shown, "labels": places}],
        "Single stage: circuits start with the trained weights' deviation and train with the network. On weights: they "
        "are fitted to the trained weights before; on outputs: to what the trained layers answer to "
        f"{IMAGES:,} training images, from the same start. Grown: half of the layers are trained for half of "
        "the epochs, then as many identities are added.",
    )


def _make(shop: Workshop, start: str, stage: str, seed: int) -> Made:
    dense = shop.dense(seed)
    configs = shop.configs
    if start == "grown":
        configs = {name: dataclasses.replace(config, depth=-(-config.depth // 2)) for name, config in configs.items()}
    else:
        configs = {name: dataclasses.replace(config, start=start) for name, config in configs.items()}
    begin = time.perf_counter()
    model = copy.deepcopy(dense)
    fit = shop.recipe.fit if stage == "weights" and shop.recipe.fit.sweeps else None
    report = compress_(model, select=dict(configs), fit=fit, generator=shop.generator(seed, CIRCUITS), progress=False)
    if fit is not None:
        rescale_(model, dense)
    facts: dict[str, Any] = {
        "layers": [{"layer": row.name, "relative_error": row.relative_error} for row in report.compressed]
    }
    if stage == "outputs":
        fit_outputs_(model, dense, shop.calibration(IMAGES), progress=False)
    facts["start_seconds"] = time.perf_counter() - begin
    facts["first"] = measure(model, shop.test())
    if start == "grown":
        shop.train_half_(model, f"grown-{stage}-half-seed{seed}", seed)
        grow_(model, shop.configs)
    return model, facts


def grow_(model: nn.Module, configs: dict[str, Circuit]) -> None:
    """Deepen circuits by layers of identities; the weights stay as they are.

    Args:
        model: A model with compressed layers, changed in place.
        configs: The deeper circuit of each layer.
    """
    for target in find_targets(model):
        if target.wall is None or target.name not in configs:
            continue
        wall = target.wall
        deeper = BrickWall(
            wall.shape, configs[target.name], start=wall, device=wall.scale.device, dtype=wall.scale.dtype
        )
        for place in target.places:
            install_(place, deeper)
