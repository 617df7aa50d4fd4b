"""Trainings on equal terms, one after another; each finished one is a JSON file, so a stopped study goes on."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adqc.baselines import allot, replace_
from adqc.compress import compress_
from adqc.config import Circuit, Fit
from adqc.cosine import kept_axes
from adqc.experiments.batches import Batches
from adqc.experiments.data import read
from adqc.experiments.depths import count
from adqc.experiments.methods import COSINES
from adqc.experiments.processes import join_processes
from adqc.experiments.recipe import Recipe, Training
from adqc.experiments.share import find_beyond, held_out, shorten
from adqc.experiments.sources import SOURCES
from adqc.experiments.summary import describe_machine
from adqc.experiments.training import History, train, write_atomically
from adqc.selection import find_targets, select_targets

# Different parts of one experiment draw from different streams, so that changing one leaves the others alone.
CIRCUITS, CONTROLS, DENSE_ORDER, ORDER = 1, 2, 3, 4


class Workshop:
    """The data of a recipe, its dense networks, and trainings that start from them.

    Args:
        recipe: Network, data, layers and schedule.
        folder: Where the results are kept: ``trainings/NAME.json``, ``snapshots/NAME.safetensors``.
        settings: What else the results depend on; the folder keeps it and refuses other ones.
        data: Data folder, see :func:`adqc.experiments.data.read`.
        device: Where to train; see :func:`adqc.experiments.processes.join_processes`.
        notify: Called with a sentence before each training and after each epoch.

    Raises:
        ValueError: If the folder holds results of another recipe, or there is no such device.
        FileNotFoundError: If the data set is not there.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: str | Path,
        *,
        settings: Mapping[str, Any] | None = None,
        data: str | Path | None = None,
        device: str | None = None,
        notify: Callable[[str], object] | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = Path(folder)
        self.processes = join_processes(device)
        self.device = self.processes.device
        self.notify = notify or (lambda sentence: None)
        found = read(recipe.data, data)
        self.images, self.beyond = shorten(found, recipe), find_beyond(found, recipe)
        # A layer that is not there shall be told before anything is trained.
        choices = select_targets(recipe.make_model(), Circuit(), dict(recipe.circuits))
        self.shapes = {choice.target.name: tuple(choice.target.shape) for choice in choices if not choice.why}
        self.cosines = _find_cosines(recipe, self.shapes)
        self.configs = {choice.target.name: choice.config for choice in choices if choice.config is not None}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_folder({"recipe": recipe.to_dict(), **(settings or {})})

    def _check_folder(self, wanted: dict[str, Any]) -> None:
        path = self.folder / "settings.json"
        if not path.is_file():
            if self.processes.main:
                write_atomically(path, json.dumps(wanted, indent=1).encode())
            self.processes.wait()
            return
        changed = changed_since(path, wanted, remedy="delete its folder or name another with --out")
        if changed:
            raise ValueError(
                f"the results in {self.folder} were made with another recipe ({'; '.join(changed)}): give the same "
                f"options, or name another folder with --out"
            )

    def machine(self) -> dict[str, Any]:
        """Where the results come from."""
        return {**describe_machine(self.device), "processes": self.processes.count}

    def batches(self, training: Training, seed: int, stream: int, *, holdout: bool = False) -> Batches:
        """Training batches; with ``holdout`` without those images that :meth:`test` then gives."""
        source, kept = SOURCES[self.recipe.data], self._kept(holdout)
        return Batches(
            self.images.train_images[:kept],
            self.images.train_labels[:kept],
            batch_size=training.batch_size,
            mean=source.mean,
            std=source.std,
            seed=10 * seed + stream,
            augment=training.augment,
            device=self.device,
            share=(self.processes.number, self.processes.count),
        )

    def test(self, *, holdout: bool = False) -> Batches:
        """The test images; with ``holdout`` training images beyond the recipe's, or the last of them if it has all."""
        source, kept = SOURCES[self.recipe.data], self._kept(holdout)
        images, labels = self.images.test_images, self.images.test_labels
        if holdout:
            images, labels = self.images.train_images[kept:], self.images.train_labels[kept:]
            if not len(labels):
                images, labels = self.beyond
        return Batches(images, labels, batch_size=1000, mean=source.mean, std=source.std, device=self.device)

    def calibration(self, count: int) -> Batches:
        """The first training images, unchanged and in their order, the same for every process."""
        source, images = SOURCES[self.recipe.data], self.images
        return Batches(
            images.train_images[:count],
            images.train_labels[:count],
            batch_size=self.recipe.finetune.batch_size,
            mean=source.mean,
            std=source.std,
            device=self.device,
        )

    def _kept(self, holdout: bool) -> int:
        count = len(self.images.train_labels)
        wanted = held_out(count)
        return count - wanted if holdout and len(self.beyond[1]) < wanted else count

    def generator(self, seed: int, stream: int) -> torch.Generator:
        """A stream of random numbers for one part of an experiment."""
        return torch.Generator().manual_seed(10 * seed + stream)

    def dense(self, seed: int, *, holdout: bool = False) -> nn.Module:
        """The dense network of a seed, trained with the recipe's own schedule; kept as a snapshot."""
        name = f"dense-start-seed{seed}" + "-holdout" * holdout
        model = self.recipe.make_model(seed).to(self.device)
        self._fit(model, name, self.recipe.dense, seed, DENSE_ORDER, holdout=holdout)
        return model

    def _fit(
        self,
        model: nn.Module,
        name: str,
        training: Training,
        seed: int,
        stream: int,
        *,
        holdout: bool,
        teacher: nn.Module | None = None,
        lr: float = 0.0,
        penalty: float = 0.0,
    ) -> History:
        def tell(history: History) -> None:
            self.notify(f"{name}, epoch {len(history.loss)}, {history.accuracy[-1]:.2f} %")

        self.notify(name)
        return train(
            model,
            self.batches(training, seed, stream, holdout=holdout),
            self.test(holdout=holdout),
            training,
            path=self.folder / "snapshots" / f"{name}.safetensors",
            teacher=teacher,
            lr=lr,
            notify=tell,
            progress=False,
            processes=self.processes,
            penalty=penalty,
        )

    def train_half_(self, model: nn.Module, name: str, seed: int) -> None:
        """Train a network for the first half of stage 2's epochs; nothing is remembered but its snapshot."""
        training = dataclasses.replace(self.recipe.finetune, epochs=self.recipe.finetune.epochs // 2)
        teacher = self.dense(seed) if training.distil.weight else None
        if training.epochs:
            self._fit(model, name, training, seed, ORDER, holdout=False, teacher=teacher)

    def find(self, name: str) -> dict[str, Any] | None:
        """The record of a finished training; None where there is none yet.

        Raises:
            ValueError: If its file is damaged.
        """
        path = self.folder / "trainings" / f"{name}.json"
        if not path.is_file():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): delete it") from error
        return found

    def keep(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Write a record as JSON; the training's snapshots are no longer needed."""
        if self.processes.main:
            write_atomically(self.folder / "trainings" / f"{name}.json", json.dumps(record, indent=1).encode())
            for own in (name, f"{name}-start"):
                (self.folder / "snapshots" / f"{own}.safetensors").unlink(missing_ok=True)
        return record

    def train(
        self,
        name: str,
        make: Callable[[], tuple[nn.Module, dict[str, Any]]],
        *,
        seed: int,
        lr: float = 0.0,
        factor: float = 1.0,
        holdout: bool = False,
        penalty: float = 0.0,
        both: bool = False,
        changes: Mapping[str, Any] | None = None,
        after: Callable[[nn.Module], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Train one network with the schedule of stage 2, or read what an earlier run found.

        Args:
            name: Name of the training and its file.
            make: Gives the network to train, and what is to be remembered about it.
            seed: Seed of the order of the images.
            lr: Learning rate of circuits and rivals; 0 for the recipe's.
            factor: Factor of the learning rate of everything else.
            holdout: Train without, and measure on, a part of the training images.
            penalty: Factor of :func:`adqc.unitarity` in the loss.
            both: Train with the dense network's schedule before, as what does not start from that network does.
            changes: Other fields of the training.
            after: More to be remembered, measured on the trained network.

        Returns:
            ``accuracy``, ``loss``, ``seconds``, ``epochs``, ``parameters``, ``dimension`` and what ``make`` and
            ``after`` gave; ``failed`` with a sentence where the loss was no longer finite.
        """
        found = self.find(name)
        if found is not None:
            return found
        if not both:
            # What the network starts from, so that the seconds below are those of its own start.
            self.dense(seed, holdout=holdout)
        begin = time.perf_counter()
        model, facts = make()
        model.to(self.device)
        made = time.perf_counter() - begin
        training = dataclasses.replace(self.recipe.finetune, **(changes or {}))
        training = dataclasses.replace(training, lr=training.lr * factor)
        teacher = self.dense(seed, holdout=holdout) if training.distil.weight else None
        record = {
            "name": name,
            "seed": seed,
            "lr": lr,
            "factor": factor,
            "start_seconds": made,
            "processor": self.machine()["processor"],
            **count(model),
            **facts,
        }
        try:
            if both:
                first = f"{name}-start"
                start = self._fit(
                    model, first, self.recipe.dense, seed, DENSE_ORDER, holdout=holdout, lr=lr, penalty=penalty
                )
                record["start_seconds"] += sum(start.seconds)
            history = self._fit(
                model, name, training, seed, ORDER, holdout=holdout, teacher=teacher, lr=lr, penalty=penalty
            )
        except FloatingPointError as error:
            # Chance, the only honest figure for a training that broke down.
            chance = 100 / SOURCES[self.recipe.data].classes
            return self.keep(name, {**record, "accuracy": chance, "seconds": 0.0, "failed": str(error), "epochs": {}})
        return self.keep(
            name,
            {
                **record,
                "accuracy": history.accuracy[-1],
                "loss": history.loss[-1] if history.loss else None,
                "seconds": sum(history.seconds),
                "epochs": dataclasses.asdict(history),
                **(after(model) if after is not None else {}),
            },
        )

    def circuit(
        self,
        dense: nn.Module,
        configs: Mapping[str, Circuit],
        seed: int,
        *,
        fit: Fit | None,
        rescale: bool = True,
        trained: bool = True,
    ) -> tuple[nn.Module, dict[str, Any]]:
        """A copy of a dense network with circuits in it, fitted to its weights or random, and facts about stage 1.

        Circuits that shall not be ``trained`` stay as they are in stage 2.
        """
        model = copy.deepcopy(dense)
        generator = self.generator(seed, CIRCUITS)
        fit = fit if fit is not None and fit.sweeps else None
        report = compress_(model, select=dict(configs), fit=fit, generator=generator, progress=False)
        if fit is not None and rescale:
            rescale_(model, dense)
        if not trained:
            for target in find_targets(model):
                if target.wall is not None:
                    target.wall.requires_grad_(False)
        layers = [
            {"layer": row.name, "parameters": row.parameters, "relative_error": row.relative_error}
            for row in report.compressed
        ]
        return model, {"layers": layers, "circuits": {name: config.to_dict() for name, config in configs.items()}}

    def allot(self, budget: int, method: str) -> dict[str, int]:
        """The budget of each layer under a rival.

        Raises:
            ValueError: If it does not fit.
        """
        shapes = {
            name: kept_axes(*self.cosines[name]) if method in COSINES and name in self.cosines else shape
            for name, shape in self.shapes.items()
        }
        return allot(budget, shapes, method=COSINES.get(method, method))

    def rival(
        self, dense: nn.Module, method: str, budget: int, seed: int, *, fitted: bool
    ) -> tuple[nn.Module, dict[str, Any]]:
        """A copy of a dense network with a rival in the layers' place."""
        model = copy.deepcopy(dense)
        counts = replace_(
            model,
            self.allot(budget, method),
            method=COSINES.get(method, method),
            fitted=fitted,
            cosines=self.cosines if method in COSINES else None,
            generator=self.generator(seed, CONTROLS),
        )
        return model, {"layers": [{"layer": name, "parameters": number} for name, number in counts.items()]}


def _find_cosines(
    recipe: Recipe, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Axes and frequencies of the layers that are seen in the cosine basis."""
    found = {}
    for name, config in recipe.cosines.items():
        if config.frequencies is not None and name in shapes:
            try:
                config.keep(shapes[name])
            except ValueError as error:
                raise ValueError(f"[cosines] {name}: {error}") from error
            found[name] = (config.see(shapes[name]), config.frequencies)
    return found


@torch.no_grad()
def rescale_(model: nn.Module, dense: nn.Module) -> None:
    """Give every circuit the norm of the trained weight that it stands for."""
    weights = {target.name: target.parameter for target in find_targets(dense)}
    for target in find_targets(model):
        weight = weights.get(target.name)
        if target.wall is not None and weight is not None:
            target.wall.scale.mul_(weight.norm() / target.wall().norm())


def changed_since(path: Path, wanted: dict[str, Any], *, remedy: str) -> list[str]:
    """Where settings differ from those that a folder was begun with, a phrase for each place.

    Args:
        path: The JSON file of the earlier settings.
        wanted: The settings now.
        remedy: What to do where the file is damaged.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    return differences(earlier, json.loads(json.dumps(wanted)))


def differences(earlier: Any, wanted: Any, path: str = "") -> list[str]:
    """Where two settings differ, a phrase for each place."""
    if isinstance(earlier, Mapping) and isinstance(wanted, Mapping):
        keys = list(dict.fromkeys([*earlier, *wanted]))
        return [
            line for key in keys for line in differences(earlier.get(key), wanted.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if earlier == wanted else [f"{path}: {earlier} there, {wanted} here"]
