"""Studies: one question each, answered by trainings on equal terms over seeds; what is finished is kept."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from adqc.experiments.compare_page import to_markdown
from adqc.experiments.page import write_page
from adqc.experiments.recipe import Recipe
from adqc.experiments.training import write_atomically
from adqc.experiments.trainings_bar import TrainingsBar
from adqc.experiments.workshop import Workshop
from adqc.tables import make_table

# Figures of a training whose mean and deviation a study reports, where they are there.
FIGURES = ("accuracy", "first", "relative_error", "unitarity", "projected", "seconds", "start_seconds", "parameters")


@dataclass(frozen=True)
class Job:
    """One row of a study: a training that is repeated for every seed.

    Args:
        name: Name of its files.
        labels: What tells it from the other rows.
        make: Gives the network of a seed, and what is to be remembered about it.
        options: What else :meth:`Workshop.train` shall know.
    """

    name: str
    labels: dict[str, Any]
    make: Callable[[int], tuple[nn.Module, dict[str, Any]]]
    options: dict[str, Any] = field(default_factory=dict)


Row = dict[str, Any]
Runner = Callable[[Sequence[Job]], list[Row]]


@dataclass(frozen=True)
class Answer:
    """What a study found.

    Args:
        rows: Labels and figures of every job.
        columns: Which of them the table shows: name in a row, head, number of digits (None for text).
        pictures: As :func:`adqc.experiments.page.draw` takes them.
        text: What the figures say, or how they are to be read.
    """

    rows: list[Row]
    columns: Sequence[tuple[str, str, int | None]]
    pictures: Sequence[dict[str, Any]]
    text: str


@dataclass(frozen=True)
class Question:
    """A study.

    Args:
        title: What is asked.
        recipe: Name of the recipe that it is asked of, unless another is given.
        ask: Does the trainings and gathers the answer; the flag says whether it is the short form.
    """

    title: str
    recipe: str
    ask: Callable[[Workshop, Runner, bool], Answer]


class Study:
    """A study on a recipe.

    Args:
        name: Its name.
        question: What is asked.
        recipe: Network, data, layers and schedule; its short form makes the study short.
        seeds: Number of seeds, the recipe's first.
        folder: Where results go; None for ``runs/study-NAME`` (``…-quick`` for the short form).
        data: Data folder, see :func:`adqc.experiments.data.read`.
        device: Where to train.
        progress: True shows a progress bar, False none, None where stderr is a terminal.
        console: A ``rich.console.Console`` to print on; None prints nothing.

    Raises:
        ValueError: If the number of seeds is below 1.
    """

    def __init__(
        self,
        name: str,
        question: Question,
        recipe: Recipe,
        *,
        seeds: int = 3,
        folder: str | Path | None = None,
        data: str | Path | None = None,
        device: str | None = None,
        progress: bool | None = None,
        console: Any = None,
    ) -> None:
        if seeds < 1:
            raise ValueError(f"a study needs at least 1 seed, got {seeds}")
        self.name, self.question, self.recipe, self.seeds = name, question, recipe, seeds
        place = Path(folder) if folder is not None else Path("runs") / f"study-{name}{'-quick' * recipe.quick}"
        self.bar = TrainingsBar(progress)
        self.shop = Workshop(recipe, place, settings={"study": name}, data=data, device=device, notify=self.bar.tell)
        if not self.shop.processes.main:
            self.bar.show = False
        self.console = console
        self._curves: dict[str, list[list[float]]] = {}

    def execute(self) -> dict[str, Any]:
        """Do every training that is not done yet, and write the results.

        Returns:
            What ``study.json`` holds.
        """
        with self.bar:
            answer = self.question.ask(self.shop, self._run, self.recipe.quick)
        heads: list[str] = [head if digits is None else f">{head}" for _, head, digits in answer.columns]
        cells = [[_cell(row, name, digits) for name, _, digits in answer.columns] for row in answer.rows]
        curves = {
            "series": {name: points for name, points in self._curves.items() if points},
            "what": "test accuracy, %",
            "against": "epoch of stage 2",
            "alt": f"Test accuracy after each epoch, {self.question.title}",
            "caption": "The first seed.",
        }
        title = f"{self.question.title}: {self.recipe.title}{', short form' * self.recipe.quick}"
        found = {
            "kind": "study",
            "name": self.name,
            "title": title,
            "quick": self.recipe.quick,
            "recipe": self.recipe.to_dict(),
            "settings": {"study": self.name, "seeds": self.seeds},
            "machine": self.shop.machine(),
            "images": {"train": len(self.shop.images.train_labels), "test": len(self.shop.images.test_labels)},
            "rows": answer.rows,
            "page": {
                "intro": f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}. {answer.text}",
                "parts": [
                    {"title": "Pictures", "pictures": list(answer.pictures)},
                    {"title": "Training", "pictures": [curves]},
                    {"title": "Table", "heads": heads, "rows": cells},
                ],
                "notes": ["Figures with ± are means and standard deviations over the seeds."] * (self.seeds > 1),
            },
        }
        if self.shop.processes.main:
            folder = self.shop.folder
            write_atomically(folder / "study.json", json.dumps(found, indent=1).encode())
            write_atomically(folder / "study.md", to_markdown(title, heads, cells).encode())
            path = write_page(folder, found)
            if self.console is not None:
                self.console.print(make_table(title, heads, cells))
                self.console.print(f"Report: {path}")
        return found

    def _run(self, jobs: Sequence[Job]) -> list[Row]:
        self.bar.expect(len(jobs) * self.seeds)
        rows = []
        for job in jobs:
            records = []
            for seed in range(self.recipe.seed, self.recipe.seed + self.seeds):

                def make(seed: int = seed, job: Job = job) -> tuple[nn.Module, dict[str, Any]]:
                    return job.make(seed)

                records.append(self.shop.train(f"{job.name}-seed{seed}", make, seed=seed, **job.options))
                self.bar.advance()
            accuracy = records[0]["epochs"].get("accuracy", [])
            self._curves[job.name.replace("-", " ")] = [[k, value, 0.0] for k, value in enumerate(accuracy, 1)]
            rows.append({**job.labels, "seeds": len(records), **_figures(records)})
        return rows


def _figures(records: Sequence[Mapping[str, Any]]) -> Row:
    row: Row = {}
    for name in FIGURES:
        values = [value for record in records if (value := _figure(record, name)) is not None]
        if values:
            row[name] = statistics.mean(values)
            row[f"{name}_deviation"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return row


def _figure(record: Mapping[str, Any], name: str) -> float | None:
    if name == "relative_error":
        errors = [layer["relative_error"] for layer in record.get("layers", []) if layer.get("relative_error")]
        return statistics.mean(errors) if errors else None
    value: float | None = record.get(name)
    return value


def _cell(row: Mapping[str, Any], name: str, digits: int | None) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    if digits is None or isinstance(value, str):
        return str(value)
    if isinstance(value, float) and math.isinf(value):
        return "∞"
    spread = row.get(f"{name}_deviation") if row["seeds"] > 1 else None
    shown = f"{value:,.{digits}f}"
    return shown if spread is None or name == "parameters" else f"{shown} ± {spread:.{digits}f}"


def point(row: Mapping[str, Any], place: float, name: str = "accuracy") -> list[float]:
    """Place, mean and deviation of a figure, for a picture."""
    return [place, row[name], row.get(f"{name}_deviation", 0.0)]


def picture(series: Mapping[str, list[list[float]]], against: str, alt: str) -> dict[str, Any]:
    """A plot of test accuracy, as :func:`adqc.experiments.page.draw` takes it."""
    return {
        "series": dict(series),
        "what": "test accuracy, %",
        "against": against,
        "alt": alt,
        "caption": f"{alt}.",
    }


def usual(*, error: bool = False) -> list[tuple[str, str, int | None]]:
    """The columns that most studies show."""
    columns: list[tuple[str, str, int | None]] = [("accuracy", "accuracy, %", 2), ("parameters", "parameters", 0)]
    if error:
        columns.append(("relative_error", "error, stage 1", 3))
    return [*columns, ("start_seconds", "s, stage 1", 1), ("seconds", "s, stage 2", 1)]
