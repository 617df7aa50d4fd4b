"""Rows 4 to 8, 10, 12 and 14: layers and whole networks, against torch's dense ones."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import adqc
from adqc.experiments.depths import choose_widths
from adqc.experiments.models import make_model
from adqc.experiments.recipe import load_recipe
from benchmarks.lines import LAYOUTS, Line
from benchmarks.timing import Setup, both_ways, held_bytes, inference, medians, peak_bytes, training_step

LARGE = 65536
BATCH = 64
WORDS = 8192


def pair(setup: Setup, size: int, depth: int, layout: str) -> tuple[nn.Module, nn.Module, str]:
    """A circuit's linear layer, torch's, and what they are called."""
    side, depth = setup.size(size), setup.depth(depth)
    config = adqc.Circuit(depth=depth, layout=layout)
    generator = torch.Generator().manual_seed(0)
    ours = adqc.nn.Linear(side, side, device=setup.device, circuit=config, generator=generator)
    return ours, nn.Linear(side, side, device=setup.device), f"Linear({side}, {side}), {layout}, depth {depth}"


def linear(setup: Setup) -> Iterator[Line]:
    """Rows 4, 5 and 8: a large linear layer in each layout, its time in three situations and its memory."""
    memory = []
    for row, layout, targets in ((4, "rows-first", (15, 10, 40)), (5, "interleaved", (5, 3, 5))):
        ours, dense, name = pair(setup, 4096, 4, layout)
        x = torch.randn(BATCH, setup.size(4096), device=setup.device)
        name += f", batch {BATCH}"
        situations = {
            "inference, built anew": (inference, True),
            "training step": (training_step, True),
            "inference, kept": (inference, False),
        }
        for (situation, (make, mode)), target in zip(situations.items(), targets, strict=True):
            found = medians({side: make(layer.train(mode), x) for side, layer in _sides(ours, dense)}, setup)
            yield Line(row, f"{name}, {situation}", "nn.Linear", found["ours"], found["theirs"], at_least=target)
        held = [
            held_bytes(layer) + peak_bytes(training_step(layer.train(), x), setup.device) for layer in (ours, dense)
        ]
        memory.append(Line(8, f"{name}, training step", "nn.Linear", *held, at_most=0.05, unit="bytes", note="peak"))
    for depth in (4, 6):
        ours, dense, name = pair(setup, 1024, depth, "interleaved")
        x = torch.randn(BATCH, setup.size(1024), device=setup.device)
        found = medians({side: training_step(layer, x) for side, layer in _sides(ours, dense)}, setup)
        work = f"{name}, batch {BATCH}, training step"
        yield Line(6, work, "nn.Linear", found["ours"], found["theirs"], at_most=1.0)
    yield from convolution(setup)
    yield from memory


def _sides(ours: nn.Module, dense: nn.Module) -> tuple[tuple[str, nn.Module], ...]:
    return ("ours", ours), ("theirs", dense)


def convolution(setup: Setup) -> Iterator[Line]:
    """Row 7: a convolution in each layout."""
    channels, depth = setup.size(512), setup.depth(4)
    dense = nn.Conv2d(channels, channels, 3, padding=1, device=setup.device)
    x = torch.randn(BATCH, channels, 8, 8, device=setup.device)
    works = {"theirs": training_step(dense, x)}
    for layout in LAYOUTS:
        generator = torch.Generator().manual_seed(0)
        config = adqc.Circuit(depth=depth, layout=layout)
        layer = adqc.nn.Conv2d(
            channels, channels, 3, padding=1, device=setup.device, circuit=config, generator=generator
        )
        works[layout] = training_step(layer, x)
    found = medians(works, setup)
    for layout, target in (("interleaved", {"at_most": 1.1}), ("rows-first", {"at_least": 3.0})):
        work = f"Conv2d({channels}, {channels}, 3), {layout}, depth {depth}, 8 × 8, batch {BATCH}, training step"
        yield Line(7, work, "nn.Conv2d", found[layout], found["theirs"], **target)


def embedding(setup: Setup) -> Iterator[Line]:
    """Row 14: the table of a language model's words in each layout; its targets are not to be slower."""
    words, numbers, depth = setup.size(50257), setup.size(768), setup.depth(4)
    index = torch.randint(0, words, (WORDS,), generator=torch.Generator().manual_seed(0)).to(setup.device)
    dense = nn.Embedding(words, numbers, device=setup.device)
    for layout in LAYOUTS:
        generator = torch.Generator().manual_seed(0)
        config = adqc.Circuit(depth=depth, layout=layout)
        ours = adqc.nn.Embedding(words, numbers, device=setup.device, circuit=config, generator=generator)
        for situation, make in (("inference, built anew", inference), ("training step", training_step)):
            found = medians({side: make(layer.train(), index) for side, layer in _sides(ours, dense)}, setup)
            work = f"Embedding({words}, {numbers}), {layout}, depth {depth}, {WORDS} words, {situation}"
            yield Line(14, work, "nn.Embedding", found["ours"], found["theirs"], at_least=1.0)


def large(setup: Setup) -> Iterator[Line]:
    """Row 10: a layer whose weight would not fit, in a process of its own."""
    size, depth = setup.size(LARGE), setup.depth(4)
    command = [sys.executable, "-m", "benchmarks.large", str(size), str(depth), str(torch.get_num_threads())]
    # The device follows torch's name for it; the process's own memory is what is counted on the CPU.
    command += ["--device", setup.device.type]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    work = f"Linear({size}, {size}), rows-first, depth {depth}, batch 8, training step"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1][:120]
        yield Line(10, work, "a limit", 0.0, None, at_most=1.0, unit="bytes", note=f"did not run: {last}")
        return
    found = json.loads(done.stdout)
    dense = size * size * 4
    note = f"{found['seconds']:.3g} s a step; the weight alone would take {dense / 2**30:.3g} GiB"
    yield Line(10, work, "2 GB", found["bytes"], 2e9, at_most=1.0, unit="bytes", note=note)


def networks(setup: Setup) -> Iterator[Line]:
    """Row 12: a training step of the experiments' networks, the layers of their recipes compressed, and circuits of
    several layers generated together."""
    recipes = {
        "fc2": [{"fc1": 6}],
        "lenet5": [{"conv2": 6, "fc1": 6, "fc2": 6}, {"conv2": 14, "fc1": 20, "fc2": 16}],
    }
    # The budgets of the accuracy tables, whose wide gates these are.
    budgets = {"fc2": ("fc2-mnist", (300, 1200)), "lenet5": ("lenet5-mnist", (700, 1400))}
    images = torch.randn(128, 1, 28, 28, device=setup.device)
    labels = torch.arange(128, device=setup.device) % 10
    for name, choices in recipes.items():
        dense = make_model(name, seed=0).to(setup.device)
        models = {"theirs": dense}
        compressed = {
            f"depths {', '.join(f'{layer} {depth}' for layer, depth in depths.items())}": {
                layer: adqc.Circuit(depth=depth) for layer, depth in depths.items()
            }
            for depths in choices
        }
        recipe, amounts = load_recipe(budgets[name][0]), budgets[name][1]
        shapes = {layer: tuple(dense.get_parameter(f"{layer}.weight").shape) for layer in recipe.circuits}
        for kind, configs in (("wide gates", recipe.wide), ("wide gates of cosines", recipe.wide | recipe.cosines)):
            for budget in amounts:
                compressed[f"{kind}, budget {budget}"] = choose_widths(budget, shapes, configs)
        for key, select in compressed.items():
            models[key] = copy.deepcopy(dense)
            generator = torch.Generator().manual_seed(0)
            adqc.compress_(models[key], select=select, fit=None, progress=False, generator=generator)
            adqc.together_(models[key])
        works = {
            key: both_ways(lambda model=model: F.cross_entropy(model(images), labels), list(model.parameters()), None)
            for key, model in models.items()
        }
        found = medians(works, setup)
        for key in list(found)[1:]:
            work = f"{name}, {key}, batch 128, training step"
            yield Line(12, work, "the dense network", found[key], found["theirs"], at_most=1.3)
