"""The studies: unitary or not, how deep, in which layout, how many layers; and the names of all."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adqc.baselines import replace_
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.experiments.stages import ask_two_stages
from adqc.experiments.study import Answer, Job, Question, Runner, picture, point, usual
from adqc.experiments.training import measure
from adqc.experiments.workshop import CIRCUITS, CONTROLS, Workshop
from adqc.fit import fit_
from adqc.relax import project_, relax_, unitarity
from adqc.selection import circuit_size, find_targets

PENALTIES = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DEPTHS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
# A free gate takes smaller steps than an angle; see adqc.finetune.
FREE_STEP = 1 / 3
POINT = 1.0
LEAST_WEIGHTS = 4096

Made = tuple[nn.Module, dict[str, Any]]


def _configs(shop: Workshop, **changes: Any) -> dict[str, Circuit]:
    return {name: dataclasses.replace(config, **changes) for name, config in shop.configs.items()}


def ask_unitarity(shop: Workshop, run: Runner, quick: bool) -> Answer:
    """From free gates (ADTN) over a penalty on what is not unitary to unitary gates (ADQC)."""

    def unitary(seed: int) -> Made:
        return shop.circuit(shop.dense(seed), _configs(shop, gate="cartan"), seed, fit=shop.recipe.fit)

    def free(seed: int) -> Made:
        model, facts = unitary(seed)
        return relax_(model), facts

    def look(model: nn.Module) -> dict[str, Any]:
        projected = project_(copy.deepcopy(model))
        return {"unitarity": float(unitarity(model).detach()), "projected": measure(projected, shop.test())}

    rate = shop.recipe.finetune.circuit_lr * FREE_STEP
    jobs = [
        Job(f"penalty-{strength:g}", {"penalty": strength}, free, {"penalty": strength, "lr": rate, "after": look})
        for strength in (PENALTIES[:3:2] if quick else PENALTIES)
    ]
    jobs.append(Job("penalty-inf", {"penalty": "∞"}, unitary, {"after": look}))
    rows = run(jobs)
    labels = [f"{row['penalty']:g}" if row["penalty"] != "∞" else "∞" for row in rows]
    accuracy = {
        "as trained": [point(row, k) for k, row in enumerate(rows)],
        "projected to unitary gates": [point(row, k, "projected") for k, row in enumerate(rows)],
    }
    distance = {"distance": [point(row, k, "unitarity") for k, row in enumerate(rows)]}
    against = "strength of the penalty"
    return Answer(
        [{**row, "penalty": label} for row, label in zip(rows, labels, strict=True)],
        [
            ("penalty", "penalty", None),
            ("accuracy", "accuracy, %", 2),
            ("unitarity", "distance", 4),
            ("projected", "projected, %", 2),
            *usual()[1:],
        ],
        [
            {**picture(accuracy, against, "Test accuracy against the penalty on gates that are not unitary")}
            | {"labels": labels},
            {
                **picture(distance, against, "Distance of the gates from unitary ones against the penalty"),
                "what": "mean ‖GᵀG − 1‖²",
                "labels": labels,
            },
        ],
        "Penalty 0 is ADTN: any real gates, from the same fitted start; ∞ is ADQC: the gates stay unitary. Free gates "
        "train at a third of the unitary ones' learning rate.",
    )


def ask_depth(shop: Workshop, run: Runner, quick: bool) -> Answer:
    """Accuracy, error of stage 1 and seconds against depth."""
    jobs = []
    for depth in (1, 3) if quick else DEPTHS:

        def make(seed: int, depth: int = depth) -> Made:
            return shop.circuit(shop.dense(seed), _configs(shop, depth=depth), seed, fit=shop.recipe.fit)

        jobs.append(Job(f"depth-{depth}", {"depth": depth}, make))
    rows = run(jobs)
    said = {
        "accuracy": "test accuracy, %",
        "relative_error": "relative squared error after stage 1",
        "seconds": "seconds of stage 2",
    }
    pictures = [
        {
            **picture({"circuit": [point(row, row["depth"], name) for row in rows]}, "depth", f"{what} against depth"),
            "what": what,
        }
        for name, what in said.items()
    ]
    return Answer(
        rows,
        [("depth", "depth", 0), *usual(error=True)],
        pictures,
        "All layers of the recipe have the same depth.",
    )


class Flat(nn.Module):
    """A weight whose entries, one row after another, are the amplitudes of one circuit, without room for each axis."""

    def __init__(self, weight: Tensor, circuit: Circuit, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = weight.shape
        std = float(weight.std())
        self.circuit = BrickWall((weight.numel(),), circuit, std=std, generator=generator, device=weight.device)

    def forward(self) -> Tensor:
        """The weight."""
        tensor: Tensor = self.circuit()
        return tensor.view(self.shape)

    def right_inverse(self, tensor: Tensor) -> tuple[()]:
        """Nothing of the dense weight is stored."""
        return ()


def ask_layout(shop: Workshop, run: Runner, quick: bool) -> Answer:
    """Which bit of which axis each qubit carries."""

    def named(layout: str) -> Any:
        return lambda seed: shop.circuit(shop.dense(seed), _configs(shop, layout=layout), seed, fit=shop.recipe.fit)

    def shuffled(seed: int, number: int) -> Made:
        configs = {}
        for name, config in shop.configs.items():
            sites = circuit_size(shop.shapes[name], config)[0].sites
            generator = torch.Generator().manual_seed(1000 * number + seed)
            order = tuple(torch.randperm(sites, generator=generator).tolist())
            configs[name] = dataclasses.replace(config, layout=order)
        return shop.circuit(shop.dense(seed), configs, seed, fit=shop.recipe.fit)

    def flat(seed: int) -> Made:
        model = copy.deepcopy(shop.dense(seed))
        generator, layers = shop.generator(seed, CIRCUITS), []
        for name, config in shop.configs.items():
            layer = model.get_submodule(name)
            weight: Tensor = layer.weight.detach().clone()  # type: ignore[operator]
            made = Flat(weight, dataclasses.replace(config, layout="rows-first"), generator)
            if shop.recipe.fit.sweeps:
                error = fit_(made.circuit, weight.flatten(), fit=shop.recipe.fit).relative_error
                with torch.no_grad():
                    made.circuit.scale.mul_(weight.norm() / made().norm())
                layers.append({"layer": name, "relative_error": error})
            # unsafe: torch would compare what is built with the dense weight, and their values differ by intent.
            parametrize.register_parametrization(layer, "weight", made, unsafe=True)
        return model, {"layers": layers}

    makers = {"interleaved": named("interleaved"), "rows-first": named("rows-first"), "flat": flat}
    for number in range(1, 2 if quick else 4):
        makers[f"random {number}"] = lambda seed, number=number: shuffled(seed, number)
    rows = run([Job(name.replace(" ", "-"), {"layout": name}, make) for name, make in makers.items()])
    series = {"circuit": [point(row, k) for k, row in enumerate(rows)]}
    shown = picture(series, "layout", "Test accuracy of each index layout")
    return Answer(
        rows,
        [("layout", "layout", None), *usual(error=True)],
        [{**shown, "labels": [row["layout"] for row in rows]}],
        "Interleaved: output and input bits alternate along the chain; rows-first: all output bits, then all input "
        "bits; flat: the bits of the entry's number; random: an order of its own for every layer and seed.",
    )


def ask_scale(shop: Workshop, run: Runner, quick: bool) -> Answer:
    """Which layers can be circuits, one at a time and together, before accuracy falls by a point."""
    depth = max(config.depth for config in shop.configs.values())
    template = dataclasses.replace(next(iter(shop.configs.values())), depth=depth)
    sizes = {
        target.name: math.prod(target.shape)
        for target in find_targets(shop.recipe.make_model())
        if target.is_layer and math.prod(target.shape) >= LEAST_WEIGHTS
    }
    names = sorted(sizes, key=lambda name: -sizes[name])[: 2 if quick else None]

    def circuits(chosen: list[str]) -> Any:
        def make(seed: int) -> Made:
            return shop.circuit(shop.dense(seed), dict.fromkeys(chosen, template), seed, fit=shop.recipe.fit)

        return make

    def frozen(chosen: list[str]) -> Any:
        def make(seed: int) -> Made:
            model = copy.deepcopy(shop.dense(seed))
            replace_(model, dict.fromkeys(chosen, 0), method="frozen", generator=shop.generator(seed, CONTROLS))
            return model, {}

        return make

    def labels(kind: str, chosen: list[str]) -> dict[str, Any]:
        shown = ", ".join(chosen) if len(chosen) < 2 else f"{len(chosen)}, last {chosen[-1]}"
        return {"kind": kind, "layers": shown, "count": len(chosen), "weights": sum(sizes[name] for name in chosen)}

    def dense(seed: int) -> Made:
        return copy.deepcopy(shop.dense(seed)), {}

    base = run([Job("dense", labels("dense", []), dense)])[0]
    singles = run([Job(f"one-{name}", labels("one layer", [name]), circuits([name])) for name in names])
    order = [names[k] for k in sorted(range(len(names)), key=lambda k: -singles[k]["accuracy"])]
    jobs = []
    for count in sorted({*(2**k for k in range(1, len(order).bit_length())), len(order)}):
        if 1 < count <= len(order):
            chosen = order[:count]
            jobs.append(Job(f"together-{count}", labels("together", chosen), circuits(chosen)))
            jobs.append(Job(f"frozen-{count}", labels("frozen", chosen), frozen(chosen)))
    rows = [base, *singles, *run(jobs)]
    for row in rows:
        row["drop"] = base["accuracy"] - row["accuracy"]
        row["within"] = "yes" if row["drop"] <= POINT else "no"
    fitting = [row for row in rows if row["kind"] == "together" and row["drop"] <= POINT]
    largest = max(fitting, key=lambda row: row["count"], default=None)
    alone = sum(row["drop"] <= POINT for row in singles)
    said = f"{largest['count']} of {len(names)} layers can be circuits together" if largest else "no two layers can be"
    series = {
        kind: [point(row, row["count"]) for row in rows if row["kind"] == kind] for kind in ("together", "frozen")
    }
    shown = picture(
        {{"together": "circuits", "frozen": "frozen at random"}[kind]: own for kind, own in series.items() if own},
        "layers replaced",
        "Test accuracy against the number of layers that are circuits or frozen",
    )
    single = picture(
        {"circuit": [point(row, k) for k, row in enumerate(singles)]},
        "layer",
        "Test accuracy with one layer as a circuit, for each layer",
    )
    levels = {"dense": base["accuracy"], "a point below": base["accuracy"] - POINT}
    return Answer(
        rows,
        [
            ("kind", "what", None),
            ("layers", "layers", None),
            ("weights", "weights", 0),
            *usual(),
            ("drop", "lost", 2),
            ("within", "≤ 1 point", None),
        ],
        [{**shown, "levels": levels}, {**single, "levels": levels, "labels": names}],
        f"Before accuracy falls by more than {POINT:g} point: {alone} of {len(names)} layers can be a circuit of depth "
        f"{depth} alone, and {said}. Together: the layers that lose least come first; the same layers frozen at random "
        "stand beside them.",
    )


STUDIES: dict[str, Question] = {
    "two-stage": Question("Single stage against two stages", "lenet5-mnist", ask_two_stages),
    "unitarity": Question("From free gates to unitary ones", "fc2-mnist", ask_unitarity),
    "depth": Question("Accuracy, error and seconds against depth", "fc2-mnist", ask_depth),
    "layout": Question("Which bits the qubits carry", "fc2-mnist", ask_layout),
    "scale": Question("How many layers can be circuits", "resnet18-cifar10", ask_scale),
}


def find_study(name: str) -> Question:
    """The study named so.

    Raises:
        ValueError: If there is none.
    """
    if name not in STUDIES:
        raise ValueError(f"unknown study {name!r}: use one of {', '.join(STUDIES)}")
    return STUDIES[name]
