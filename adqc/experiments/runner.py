"""Run a recipe: dense network, circuits in two stages, controls, verification, files, report.

Every stage leaves a file in ``stages/`` of the run's folder when an epoch is through, so a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adqc.compress import Plan, compress_, plan
from adqc.experiments.batches import Batches
from adqc.experiments.controls import put_control_
from adqc.experiments.data import read
from adqc.experiments.processes import join_processes
from adqc.experiments.recipe import Recipe, Training
from adqc.experiments.report import write_report
from adqc.experiments.share import shorten
from adqc.experiments.sources import SOURCES
from adqc.experiments.summary import describe_machine, print_summary, summarise
from adqc.experiments.training import History, load_model_, measure, save_state, train, write_atomically
from adqc.experiments.workshop import CIRCUITS, CONTROLS, DENSE_ORDER, ORDER, changed_since, rescale_
from adqc.selection import find_targets


class Run:
    """One run of a recipe.

    Args:
        recipe: What to do.
        folder: Where the results go; None for ``runs/<name>`` (``runs/<name>-quick`` for the short form).
        data: Data folder, see :func:`adqc.experiments.data.read`.
        device: Where to train; None for accelerate's choice where it started this process, else the CPU.
        resume: Go on with a run that was stopped; otherwise an earlier run in the folder is replaced.
        progress: True shows progress bars, False none, None where stderr is a terminal.
        console: A ``rich.console.Console`` to print on; None prints nothing.

    Raises:
        FileNotFoundError: If the data set is not there.
        ValueError: If the data are damaged, there is no such device, or the earlier run in the folder was made with
            another recipe.
        ImportError: If matplotlib, which draws the report, is missing.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        folder: str | Path | None = None,
        data: str | Path | None = None,
        device: str | None = None,
        resume: bool = False,
        progress: bool | None = None,
        console: Any = None,
    ) -> None:
        self.recipe = recipe
        self.folder = Path(folder) if folder is not None else Path("runs") / (recipe.name + "-quick" * recipe.quick)
        self.processes = join_processes(device)
        self.device = self.processes.device
        self.progress = progress
        self.console = console
        if importlib.util.find_spec("matplotlib") is None:
            raise ImportError("the report needs matplotlib: pip install 'adqc[experiments]'")
        self.images = shorten(read(recipe.data, data), recipe)
        # A layer that is not there shall be told before anything is trained.
        plan(recipe.make_model(), select=recipe.circuits)
        self.stages = self.folder / "stages"
        if self.processes.main:
            self._prepare(resume)
        self.processes.wait()

    def _prepare(self, resume: bool) -> None:
        path, wanted = self.folder / "recipe.json", self.recipe.to_dict()
        if resume and path.is_file():
            changed = changed_since(path, wanted, remedy="start anew without --resume")
            if changed:
                raise ValueError(
                    f"the run in {self.folder} was made with another recipe ({'; '.join(changed)}): resume it with the "
                    f"same options, or start anew without --resume"
                )
            return
        if self.stages.is_dir():
            self._say(f"Starting anew: the earlier run in {self.folder} is replaced (--resume would go on with it).")
            shutil.rmtree(self.stages)
            (self.folder / "metrics.json").unlink(missing_ok=True)
        self.stages.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(wanted, indent=1).encode())

    def _say(self, what: object) -> None:
        if self.console is not None and self.processes.main:
            self.console.print(what)

    def _tell_epoch(self, history: History) -> None:
        # In a terminal the progress bar says it.
        if self.console is not None and not self.console.is_terminal:
            self._say(f"  epoch {len(history.loss)}: loss {history.loss[-1]:.4f}, test {history.accuracy[-1]:.2f} %")

    def _batches(self, training: Training, stream: int) -> Batches:
        source = SOURCES[self.recipe.data]
        return Batches(
            self.images.train_images,
            self.images.train_labels,
            batch_size=training.batch_size,
            mean=source.mean,
            std=source.std,
            seed=10 * self.recipe.seed + stream,
            augment=training.augment,
            device=self.device,
            share=(self.processes.number, self.processes.count),
        )

    def _test(self) -> Batches:
        source = SOURCES[self.recipe.data]
        images, labels = self.images.test_images, self.images.test_labels
        return Batches(images, labels, batch_size=1000, mean=source.mean, std=source.std, device=self.device)

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(10 * self.recipe.seed + stream)

    def execute(self) -> dict[str, Any]:
        """Do all stages that are not done yet, and write the results.

        Returns:
            What ``metrics.json`` holds; in a process that only helps to train, the part up to the controls.
        """
        recipe = self.recipe
        metrics: dict[str, Any] = {
            "name": recipe.name,
            "title": recipe.title,
            "quick": recipe.quick,
            "recipe": recipe.to_dict(),
            "machine": {**describe_machine(self.device), "processes": self.processes.count},
            "images": {"train": len(self.images.train_labels), "test": len(self.images.test_labels)},
        }
        self._say(f"[bold]{recipe.title}[/]: {len(self.images.train_labels):,} training images, {self.images.folder}")
        dense, history = self._train_dense()
        metrics["dense"] = _entry(history)
        planned = plan(dense, select=recipe.circuits)
        self._say(planned)
        metrics["plan"] = {"weights": planned.weights, "parameters": planned.parameters}

        model, metrics["fit"] = self._fit(dense)
        history = self._finetune(model, "circuit", dense)
        metrics["finetune"] = _entry(history)

        metrics["controls"], metrics["left_out"] = self._controls(dense, planned)
        if not self.processes.main:
            return metrics
        metrics["verify"] = self._verify(model)
        metrics["circuits"] = self._export(model)
        metrics["summary"] = summarise(metrics)
        write_atomically(self.folder / "metrics.json", json.dumps(metrics, indent=1).encode())
        if self.console is not None:
            print_summary(metrics, self.console)
        self._report()
        return metrics

    def _train_dense(self) -> tuple[nn.Module, History]:
        recipe = self.recipe
        self._say("Training: dense network…")
        model = recipe.make_model(recipe.seed).to(self.device)
        history = train(
            model,
            self._batches(recipe.dense, DENSE_ORDER),
            self._test(),
            recipe.dense,
            path=self.stages / "dense.safetensors",
            notify=self._tell_epoch,
            progress=self.progress,
            processes=self.processes,
        )
        self._say(f"Dense network: {history.accuracy[-1]:.2f} % after {len(history.loss)} epochs.")
        return model, history

    def _fit(self, dense: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        recipe, path = self.recipe, self.stages / "fit.safetensors"
        model = copy.deepcopy(dense)
        if path.is_file():
            compress_(model, select=recipe.circuits, fit=None, progress=False)
            return model, load_model_(model, path)
        begin = time.perf_counter()
        # Without sweeps there is no stage 1: the circuits start at random, with the trained weights' deviation.
        fit = recipe.fit if recipe.fit.sweeps else None
        generator = self._generator(CIRCUITS)
        report = compress_(model, select=recipe.circuits, fit=fit, generator=generator, progress=self.progress)
        self._say(report)
        entry = {
            "accuracy": measure(model, self._test()),
            "seconds": time.perf_counter() - begin,
            "layers": [
                {
                    "name": row.name,
                    "shape": list(row.shape),
                    "weights": row.weights,
                    "qubits": row.qubits,
                    "gates": row.gates,
                    "parameters": row.parameters,
                    "relative_error": row.relative_error,
                    "sweeps": row.sweeps,
                    "seconds": row.seconds,
                }
                for row in report.compressed
            ],
        }
        if recipe.rescale:
            rescale_(model, dense)
        if self.processes.main:
            save_state(path, {f"model.{name}": tensor for name, tensor in model.state_dict().items()}, entry)
        self._say(f"After stage 1: {entry['accuracy']:.2f} %.")
        return model, entry

    def _finetune(self, model: nn.Module, name: str, teacher: nn.Module, *, lr: float = 0.0) -> History:
        training = self.recipe.finetune
        self._say(f"Training: {name}…")
        history = train(
            model,
            self._batches(training, ORDER),
            self._test(),
            training,
            path=self.stages / f"{name.replace(' ', '-')}.safetensors",
            teacher=teacher,
            lr=lr,
            notify=self._tell_epoch,
            progress=self.progress,
            processes=self.processes,
        )
        self._say(f"{name.capitalize()}: {history.accuracy[-1]:.2f} % after {len(history.loss)} epochs.")
        return history

    def _controls(self, dense: nn.Module, planned: Plan) -> tuple[dict[str, Any], dict[str, str]]:
        """The controls, and why others are left out."""
        recipe, entries, left_out = self.recipe, {}, {}
        budgets = {row.name: row.parameters for row in planned.compressed}
        for name, control in recipe.controls.items():
            model = copy.deepcopy(dense)
            try:
                counts = put_control_(model, recipe, control.method, budgets, generator=self._generator(CONTROLS))
            except ValueError as error:
                left_out[name] = str(error)
                self._say(f"Without the control “{name}”: {error}.")
                continue
            history = self._finetune(model, name, dense, lr=control.lr)
            entries[name] = {
                **_entry(history),
                "method": control.method,
                "parameters": sum(counts.values()),
                "layers": counts,
            }
        return entries, left_out

    def _verify(self, model: nn.Module) -> dict[str, Any]:
        from adqc.verify import verify

        begin = time.perf_counter()
        self._say("Verifying every circuit…")
        result = verify(model, show=False)
        self._say(str(result))
        return {
            "passed": result.passed,
            "largest": result.largest,
            "tolerance": result.tolerance,
            "seconds": time.perf_counter() - begin,
            "rows": [dataclasses.asdict(row) for row in result.rows],
        }

    def _export(self, model: nn.Module) -> list[dict[str, Any]]:
        from adqc.checkpoint import save
        from adqc.qasm import save_qasm

        save(model, self.folder / "model.safetensors")
        entries = []
        for target in find_targets(model):
            if target.wall is None:
                continue
            entry = {"layer": target.name, **dataclasses.asdict(target.wall.resources())}
            if target.wall.family.unitary and target.wall.family.real:
                path = save_qasm(target.wall, self.folder / "circuits" / target.name)
                entry["file"] = path.relative_to(self.folder).as_posix()
            entries.append(entry)
        return entries

    def _report(self) -> None:
        path = write_report(self.folder)
        self._say(f"Report: {path}")


def _entry(history: History) -> dict[str, Any]:
    return {
        "accuracy": history.accuracy[-1],
        "seconds": sum(history.seconds),
        "epochs": {"loss": history.loss, "accuracy": history.accuracy, "seconds": history.seconds},
    }
