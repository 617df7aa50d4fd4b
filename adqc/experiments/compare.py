"""Every method at equal parameters, equal schedule, its own best learning rate, over seeds: the comparison.

What counts as parameters: the numbers stored in the place of the recipe's layers, for every method alike. Beside them
stands how many are left without the gauge (changes of basis that leave the weight the same), again for every method.
Pruning's positions and the seeds of hashing and of random weights are not counted.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from adqc.baselines import METHODS
from adqc.config import Circuit
from adqc.experiments.compare_page import describe, table, to_markdown
from adqc.experiments.depths import choose_depths, choose_widths
from adqc.experiments.methods import ALL, CIRCUITS, COSINES, FACTORS, FLAT, STARTS, WHOLE
from adqc.experiments.models import narrow_model
from adqc.experiments.page import write_page
from adqc.experiments.recipe import Recipe
from adqc.experiments.sources import SOURCES
from adqc.experiments.training import write_atomically
from adqc.experiments.trainings_bar import TrainingsBar
from adqc.experiments.workshop import Workshop
from adqc.tables import make_table


@dataclass(frozen=True)
class Settings:
    """What a comparison covers.

    Args:
        budgets: Largest numbers of parameters in the recipe's layers.
        seeds: Number of seeds, the recipe's first.
        rates: Learning rates that each method's own parameters are tried with.
        methods: Which methods, of :data:`ALL`.
        starts: Starts that each method is tried with, of :data:`STARTS`; the rates are tried with the first of them.
        factors: Factors of the recipe's learning rate that the rest of each method's network is tried with.

    Raises:
        ValueError: If something is empty, unknown or not positive.
    """

    budgets: tuple[int, ...] = (300, 600, 1200, 2400)
    seeds: int = 3
    rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    methods: tuple[str, ...] = ALL
    starts: tuple[str, ...] = STARTS
    factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        numbers = (self.budgets, (self.seeds,), self.rates, self.factors)
        if not all(numbers) or min(map(min, numbers)) <= 0:
            raise ValueError(
                f"a comparison needs budgets, seeds, learning rates and factors above 0, got budgets={self.budgets}, "
                f"seeds={self.seeds}, rates={self.rates}, factors={self.factors}"
            )
        for name, values, known in (("method", self.methods, ALL), ("start", self.starts, STARTS)):
            unknown = [value for value in values if value not in known]
            if unknown or not values:
                raise ValueError(f"unknown {name} {unknown[0] if unknown else ''!r}: use one of {', '.join(known)}")


@dataclass(frozen=True)
class _Choice:
    rate: float
    start: str
    factor: float = 1.0


class Comparison:
    """A comparison of all methods on a recipe.

    Args:
        recipe: Network, data, layers and schedule.
        settings: What it covers.
        folder: Where results go; None for ``runs/NAME-compare`` (``runs/NAME-quick-compare`` for the short form).
        data: Data folder, see :func:`adqc.experiments.data.read`.
        device: Where to train.
        progress: True shows a progress bar, False none, None where stderr is a terminal.
        console: A ``rich.console.Console`` to print on; None prints nothing.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings | None = None,
        *,
        folder: str | Path | None = None,
        data: str | Path | None = None,
        device: str | None = None,
        progress: bool | None = None,
        console: Any = None,
    ) -> None:
        self.recipe, self.settings = recipe, settings or Settings()
        place = Path(folder) if folder is not None else Path("runs") / f"{recipe.name}{'-quick' * recipe.quick}-compare"
        # Budgets, seeds and methods can be added later; what the choices rest on cannot.
        fixed = {"rates": list(self.settings.rates), "starts": list(self.settings.starts)}
        if self.settings.factors != (1.0,):
            fixed["factors"] = list(self.settings.factors)
        self.bar = TrainingsBar(progress)
        self.shop = Workshop(recipe, place, settings=fixed, data=data, device=device, notify=self.bar.tell)
        if not self.shop.processes.main:
            self.bar.show = False
        kernels = any(len(shape) > 2 for shape in self.shop.shapes.values())
        # Of matrices alone they are low rank, and of weights without cosines the same train; both are there already.
        idle = (() if kernels else ("tucker", "cp")) + (() if self.shop.cosines else tuple(COSINES))
        self.methods = [name for name in self.settings.methods if name not in idle]
        self.console = console

    def execute(self) -> dict[str, Any]:
        """Do every training that is not done yet, and write the results.

        Returns:
            What ``comparison.json`` holds.
        """
        settings, records = self.settings, []
        jobs = [
            (method, budget, self.recipe.seed + k)
            for method in self.methods
            for budget in ((0,) if method in FLAT else settings.budgets)
            for k in range(settings.seeds)
        ]
        with self.bar:
            # One step for the choice of rate and start of each method, too.
            self.bar.expect(len(jobs) + len(self.methods))
            choices: dict[str, _Choice | None] = {}
            for method, budget, seed in jobs:
                if method not in choices:
                    choices[method] = self._choose(method)
                    self.bar.advance()
                choice = choices[method]
                if choice is not None and self._fits(method, budget):
                    records.append(self._train(method, budget, seed, choice, holdout=False))
                self.bar.advance()
        found = self._gather(records, choices)
        if self.shop.processes.main:
            self._write(found)
        return found

    def _fits(self, method: str, budget: int) -> bool:
        try:
            self._plan(method, budget)
        except ValueError:
            return False
        return True

    def _plan(self, method: str, budget: int) -> None:
        """Refuses what does not fit."""
        if method in CIRCUITS or method == "frozen-circuit":
            self._configs(method, budget)
        elif method == "narrow":
            self._narrow(budget, seed=None)
        elif method in METHODS or method in COSINES:
            self.shop.allot(budget, method)

    def _configs(self, method: str, budget: int) -> dict[str, Circuit]:
        """The circuit of each layer: as deep, or of gates as wide, as fits."""
        shop = self.shop
        if method in ("wide", "cosine", "frozen-circuit"):
            cosines = self.recipe.cosines if method != "wide" else {}
            return choose_widths(budget, shop.shapes, {**self.recipe.wide, **cosines})
        configs = {name: dataclasses.replace(config, gate=method) for name, config in shop.configs.items()}
        depths = choose_depths(budget, shop.shapes, configs)
        return {name: dataclasses.replace(config, depth=depths[name]) for name, config in configs.items()}

    def _narrow(self, budget: int, seed: int | None) -> nn.Module:
        whole = sum(parameter.numel() for parameter in self.recipe.make_model().parameters())
        layers = sum(_product(shape) for shape in self.shop.shapes.values())
        classes = SOURCES[self.recipe.data].classes
        return narrow_model(self.recipe.model, whole - layers + budget, classes=classes, seed=seed)

    def _choose(self, method: str) -> _Choice | None:
        """The best rates and start at the middle budget that fits, measured on training images held out."""
        settings = self.settings
        fitting = [0] if method in FLAT else [budget for budget in settings.budgets if self._fits(method, budget)]
        if not fitting:
            return None
        budget, seed = fitting[len(fitting) // 2], self.recipe.seed
        rates = FACTORS if method in WHOLE else settings.rates
        starts = _starts(method, settings.starts)
        rates = rates if len(settings.rates) > 1 else rates[len(rates) // 2 :][:1]
        factors = (1.0,) if method in WHOLE else settings.factors
        if len(rates) * len(starts) * len(factors) == 1:
            return _Choice(rates[0], starts[0], factors[0])

        # A later call with more budgets keeps the choice: every training of a method shares it.
        kept = self.shop.find(f"{method}-choice")
        if kept is not None:
            return _Choice(kept["rate"], kept["start"], kept.get("factor", 1.0))

        def reached(choice: _Choice) -> float:
            accuracy: float = self._train(method, budget, seed, choice, holdout=True)["accuracy"]
            return accuracy

        best = max((_Choice(rate, starts[0], factors[0]) for rate in rates), key=reached)
        best = max((dataclasses.replace(best, start=start) for start in starts), key=reached)
        best = max((dataclasses.replace(best, factor=factor) for factor in factors), key=reached)
        self.shop.keep(f"{method}-choice", {**dataclasses.asdict(best), "budget": budget, "seed": seed})
        return best

    def _train(self, method: str, budget: int, seed: int, choice: _Choice, *, holdout: bool) -> dict[str, Any]:
        name = f"{method}-{budget}-seed{seed}" if budget else f"{method}-seed{seed}"
        if holdout:
            name += f"-{choice.start}-rate{choice.rate:.4g}{f'-rest{choice.factor:.4g}' * (choice.factor != 1)}-holdout"
        whole = method in WHOLE
        record = self.shop.train(
            name,
            self._maker(method, budget, seed, choice, holdout=holdout),
            seed=seed,
            lr=0.0 if whole else choice.rate,
            factor=choice.rate if whole else choice.factor,
            holdout=holdout,
            both=method == "narrow" or choice.start == "scratch",
        )
        return {**record, "method": method, "budget": budget, "rate": choice.rate, "start": choice.start}

    def _maker(
        self, method: str, budget: int, seed: int, choice: _Choice, *, holdout: bool
    ) -> Callable[[], tuple[nn.Module, dict[str, Any]]]:
        shop, fitted = self.shop, choice.start == "fitted"

        def make() -> tuple[nn.Module, dict[str, Any]]:
            if method == "narrow":
                return self._narrow(budget, seed), {}
            dense = self.recipe.make_model(seed) if choice.start == "scratch" else shop.dense(seed, holdout=holdout)
            if method == "dense":
                return copy.deepcopy(dense), {}
            if method in CIRCUITS:
                configs = self._configs(method, budget)
                return shop.circuit(dense, configs, seed, fit=self.recipe.fit if fitted else None)
            if method == "frozen-circuit":
                return shop.circuit(dense, self._configs(method, budget), seed, fit=None, trained=False)
            return shop.rival(dense, method, budget, seed, fitted=fitted)

        return make

    def _gather(self, records: Sequence[Mapping[str, Any]], choices: Mapping[str, _Choice | None]) -> dict[str, Any]:
        layers = sum(_product(shape) for shape in self.shop.shapes.values())
        rows = []
        for method in self.methods:
            for budget in (0,) if method in FLAT else self.settings.budgets:
                own = [record for record in records if (record["method"], record["budget"]) == (method, budget)]
                if not own:
                    rows.append({"method": method, "budget": budget, "seeds": 0, "why": self._why(method, budget)})
                    continue
                # A narrow network is smaller everywhere: of it only the whole can be compared.
                stored = {"dense": layers, "narrow": None}.get(method, own[0]["parameters"])
                dimension = own[0]["dimension"] if method not in ("dense", "narrow") else stored
                choice = choices[method]
                assert choice is not None, "what was trained had been chosen"
                rows.append(
                    {
                        "method": method,
                        "budget": budget,
                        "seeds": len(own),
                        "parameters": stored,
                        "dimension": dimension,
                        "whole": own[0]["whole"],
                        **_spread([record["accuracy"] for record in own]),
                        "seconds": statistics.mean(record["seconds"] for record in own),
                        "start_seconds": statistics.mean(record["start_seconds"] for record in own),
                        "rate": choice.rate,
                        "factor": choice.factor,
                        "start": choice.start,
                        "failed": sum("failed" in record for record in own),
                    }
                )
        return {
            "kind": "comparison",
            "name": self.recipe.name,
            "title": f"{self.recipe.title}: every method at equal parameters{', short form' * self.recipe.quick}",
            "quick": self.recipe.quick,
            "recipe": self.recipe.to_dict(),
            "settings": dataclasses.asdict(self.settings),
            "machine": self.shop.machine(),
            "images": {"train": len(self.shop.images.train_labels), "test": len(self.shop.images.test_labels)},
            "layers": {name: list(shape) for name, shape in self.shop.shapes.items()},
            "weights": layers,
            "rows": rows,
            "curves": {
                method: record["epochs"]["accuracy"]
                for method in self.methods
                for record in records
                if record["method"] == method
                and record["seed"] == self.recipe.seed
                and record["budget"] in (0, max(self.settings.budgets))
                and record["epochs"]
            },
            "trainings": [{key: value for key, value in record.items() if key != "epochs"} for record in records],
        }

    def _why(self, method: str, budget: int) -> str:
        try:
            self._plan(method, budget)
        except ValueError as error:
            return str(error)
        return "not trained"

    def _write(self, found: dict[str, Any]) -> None:
        folder = self.shop.folder
        found["page"] = describe(found)
        write_atomically(folder / "comparison.json", json.dumps(found, indent=1).encode())
        heads, rows = table(found)
        write_atomically(folder / "comparison.md", to_markdown(found["title"], heads, rows).encode())
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        names = [
            "method",
            "budget",
            "parameters",
            "dimension",
            "whole",
            "accuracy",
            "deviation",
            "seeds",
            "rate",
            "factor",
            "start",
        ]
        writer.writerow([*names, "seconds", "start_seconds", "failed"])
        for row in found["rows"]:
            writer.writerow([row.get(name, "") for name in (*names, "seconds", "start_seconds", "failed")])
        write_atomically(folder / "comparison.csv", out.getvalue().encode())
        path = write_page(folder, found)
        if self.console is not None:
            self.console.print(make_table(found["title"], heads, rows))
            self.console.print(f"Report: {path}")


def _starts(method: str, starts: Sequence[str]) -> tuple[str, ...]:
    """Those of the starts that a method can have."""
    if method in ("dense", "narrow", "pruned"):
        return ("fitted" if method == "pruned" else "random",)
    # Layers that are not trained and fitted to trained ones would be no control.
    return tuple(start for start in starts if start != "fitted" or method not in WHOLE) or ("random",)


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "accuracy": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "lowest": min(values),
        "highest": max(values),
    }
