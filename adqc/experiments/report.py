"""The report of a run: one HTML file with everything in it, for screens light and dark, phones and paper."""

from __future__ import annotations

import copy
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.compress import compress_
from adqc.experiments import pictures
from adqc.experiments.controls import put_control_
from adqc.experiments.page import FILES, describe_making, make_html_table, wrap, write_page
from adqc.experiments.recipe import Recipe, recipe_from_dict
from adqc.experiments.training import load_model_, write_atomically
from adqc.selection import find_targets

# Singular values of larger matrices take minutes.
LARGEST_SPECTRUM = 1024


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a run, comparison or study, from what it has left there.

    Args:
        folder: Folder of a finished run.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the folder holds no finished run.
        ValueError: If its files are damaged.
    """
    folder = Path(folder)
    if any((folder / name).is_file() for name in FILES):
        return write_page(folder)
    path = folder / "metrics.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no finished run (no metrics.json): run the recipe first, or --resume it"
        )
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        recipe = recipe_from_dict(metrics["recipe"])
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): run the recipe again") from error
    weights, walls = _read_weights(folder / "stages", recipe, metrics)
    parts = [
        _result(metrics),
        _curves(metrics),
        _stage_one(metrics),
        _weights(weights),
        _spectra(weights),
        _circuits(walls),
        _verification(metrics),
        _making(metrics, folder),
    ]
    target = folder / "report.html"
    write_atomically(target, wrap(metrics["title"], parts).encode())
    return target


def _read_weights(
    stages: Path, recipe: Recipe, metrics: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, BrickWall]]:
    """Each layer's weight in each network, as a matrix: first axis × the others; and the trained circuits."""
    dense = recipe.make_model()
    load_model_(dense, stages / "dense.safetensors")
    model = copy.deepcopy(dense)
    compress_(model, select=recipe.circuits, fit=None, progress=False)
    load_model_(model, stages / "fit.safetensors")
    names = [target.name for target in find_targets(model) if target.wall is not None]
    weights = {name: {"dense": _matrix(dense, name), "stage 1": _matrix(model, name)} for name in names}
    load_model_(model, stages / "circuit.safetensors")
    for name in names:
        weights[name]["stage 2"] = _matrix(model, name)
    for control, entry in metrics["controls"].items():
        if entry["method"] != "frozen":
            rival = copy.deepcopy(dense)
            budgets = {layer["name"]: layer["parameters"] for layer in metrics["fit"]["layers"]}
            put_control_(rival, recipe, entry["method"], budgets)
            load_model_(rival, stages / f"{control.replace(' ', '-')}.safetensors")
            for name in names:
                weights[name][control] = _matrix(rival, name)
    return weights, {target.name: target.wall for target in find_targets(model) if target.wall is not None}


@torch.no_grad()
def _matrix(model: nn.Module, name: str) -> Tensor:
    weight: Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
    return weight.detach().flatten(1).float().cpu()


def _result(metrics: Mapping[str, Any]) -> str:
    layers = ", ".join(layer["name"] for layer in metrics["fit"]["layers"])
    dense = metrics["plan"]["weights"]
    rows = [
        (
            html.escape(row["network"]),
            f"{row['accuracy']:.2f} %",
            f"{row['parameters']:,}",
            f"{dense / row['parameters']:,.0f} ×" if row["parameters"] else "–",
            f"{row['seconds']:.0f}",
        )
        for row in metrics["summary"]["rows"]
    ]
    heads = ("network", ">test accuracy", f">parameters in {layers}", ">smaller by", ">seconds")
    aims = "".join(
        f'<li class="{"met" if aim["met"] else "unmet"}">{"Met" if aim["met"] else "Not met"}: '
        f"{html.escape(aim['sentence'])}.</li>"
        for aim in metrics["summary"]["aims"]
    )
    left_out = "".join(
        f" Without the control “{html.escape(name)}”: {html.escape(why)}."
        for name, why in metrics.get("left_out", {}).items()
    )
    images = metrics["images"]
    badge = ' <span class="badge">short form: fewer images and epochs</span>' if metrics["quick"] else ""
    return (
        f"<h1>{html.escape(metrics['title'])}</h1>\n"
        f'<p class="soft">Weights as quantum circuits · {images["train"]:,} training and {images["test"]:,} test images'
        f"{badge}</p>\n<h2>Result</h2>\n{make_html_table(heads, rows, main=2)}\n"
        f'<ul class="aims">{aims}</ul>\n<p class="soft">Accuracy is that after the last epoch, on all test '
        f"images. Parameters are the numbers stored for the weights of {layers}; all else in the networks is equal. "
        f"The controls train with the circuits' schedule, from the same dense network.{left_out}</p>"
    )


def _curves(metrics: Mapping[str, Any]) -> str:
    runs = {"circuit": metrics["finetune"], **metrics["controls"]}
    accuracy = {name: entry["epochs"]["accuracy"] for name, entry in runs.items()}
    loss = {name: entry["epochs"]["loss"] for name, entry in runs.items()}
    dense = {"dense": metrics["dense"]["epochs"]["accuracy"]}
    level = metrics["dense"]["accuracy"]
    figures = [
        pictures.curves(
            accuracy, "test accuracy, %", level=("dense", level), alt="Test accuracy after each epoch of stage 2"
        ),
        pictures.curves(loss, "training loss", log=True, alt="Training loss in each epoch of stage 2"),
        pictures.curves(dense, "test accuracy, %", first=4, alt="Test accuracy of the dense network after each epoch"),
    ]
    captions = ("Stage 2: test accuracy.", "Stage 2: training loss.", "The dense network, before compression.")
    return f'<h2>Training</h2>\n<div class="grid">{_figures(figures, captions)}</div>'


def _figures(bodies: Sequence[str], captions: Sequence[str]) -> str:
    return "".join(
        f"<figure>{body}<figcaption>{caption}</figcaption></figure>"
        for body, caption in zip(bodies, captions, strict=True)
    )


def _stage_one(metrics: Mapping[str, Any]) -> str:
    rows = [
        (
            html.escape(layer["name"]),
            "×".join(str(n) for n in layer["shape"]),
            f"{layer['weights']:,}",
            str(layer["qubits"]),
            str(layer["gates"]),
            f"{layer['parameters']:,}",
            "–" if layer["relative_error"] is None else f"{layer['relative_error']:.3f}",
            f"{layer['seconds']:.1f}",
        )
        for layer in metrics["fit"]["layers"]
    ]
    heads = ("layer", "shape", ">weights", ">qubits", ">gates", ">parameters", ">squared error", ">seconds")
    return (
        f"<h2>Stage 1: circuits fitted to the trained weights</h2>\n{make_html_table(heads, rows)}\n"
        f'<p class="soft">The squared error is ‖W − T‖² / ‖W‖². A few hundred numbers cannot hold a trained weight; '
        f"stage 1 finds a start for stage 2.</p>"
    )


def _weights(weights: Mapping[str, Mapping[str, Tensor]]) -> str:
    parts = ["<h2>Weights before and after</h2>"]
    said = {"dense": "dense, trained", "stage 1": "circuit, after stage 1", "stage 2": "circuit, after stage 2"}
    for name, kinds in weights.items():
        rows, columns = kinds["dense"].shape
        bodies = [
            pictures.matrix(kinds[kind], alt=f"Weight of {name}, {text}, as a picture of {rows} by {columns} pixels")
            for kind, text in said.items()
        ]
        captions = [f"{text.capitalize()}, ±{_limit(kinds[kind]):.2g}" for kind, text in said.items()]
        parts.append(
            f'<h3>{html.escape(name)} ({rows}×{columns})</h3>\n<div class="grid">{_figures(bodies, captions)}</div>'
        )
    parts.append(
        '<p class="soft">One pixel an entry, of a large weight the corner; blue is negative, red positive, white '
        "zero. Each picture has its own scale, named below it (99 % of the entries are within).</p>"
    )
    return "\n".join(parts)


def _limit(weight: Tensor) -> float:
    return pictures.color_limit(weight)


def _spectra(weights: Mapping[str, Mapping[str, Tensor]]) -> str:
    figures, captions = [], []
    for name, kinds in weights.items():
        if min(kinds["dense"].shape) > LARGEST_SPECTRUM:
            continue
        shown = {kind: torch.linalg.svdvals(weight) for kind, weight in kinds.items() if kind != "stage 1"}
        shown = {{"stage 2": "circuit"}.get(kind, kind): values / values[0] for kind, values in shown.items()}
        figures.append(pictures.spectrum(shown, alt=f"Singular values of the weight of {name}"))
        captions.append(f"{html.escape(name)}: singular values, the largest set to 1.")
    if not figures:
        return ""
    return f'<h2>Singular values</h2>\n<div class="grid">{_figures(figures, captions)}</div>'


def _circuits(walls: Mapping[str, BrickWall]) -> str:
    bodies = [
        f'<div class="wide">{pictures.circuit(wall, alt=f"Circuit of {name}: {wall.resources()}")}</div>'
        for name, wall in walls.items()
    ]
    captions = [f"{html.escape(name)}: {wall.resources()}." for name, wall in walls.items()]
    return (
        f'<h2>The circuits</h2>\n<div class="grid broad">{_figures(bodies, captions)}</div>\n<p class="soft">'
        "Time runs to the right, every line is a qubit, every brick a gate on two of them; the darker, the more it "
        "entangles them. On the left: which bit of which axis of the weight the qubit carries, 0 the most "
        "significant.</p>"
    )


def _verification(metrics: Mapping[str, Any]) -> str:
    found = metrics["verify"]
    rows = [
        (html.escape(row["name"]), html.escape(row["route"]), _power(row["values"]), _power(row["gradients"]))
        for row in found["rows"]
    ]
    said = "passed" if found["passed"] else "FAILED"
    heads = ("circuit", "route", ">values", ">gradients")
    return (
        f"<h2>Verification</h2>\n<p>Every way from the circuit to the weight, against the gate-by-gate simulation in "
        f"double precision: {said}, largest relative difference {_power(found['largest'])}.</p>\n"
        f"{make_html_table(heads, rows)}"
    )


def _power(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _making(metrics: Mapping[str, Any], folder: Path) -> str:
    files = "".join(
        f"<li><code>{entry['file']}</code>: {entry['qubits']} qubits, {entry['gates']} gates, {entry['cx']} CX</li>"
        for entry in metrics["circuits"]
        if "file" in entry
    )
    recipe = html.escape(json.dumps(metrics["recipe"], indent=1))
    return (
        f"<h2>Files</h2>\n<ul><li><code>model.safetensors</code>: the compressed network (<code>adqc show</code>, "
        f"<code>adqc verify</code>)</li>{files}<li><code>metrics.json</code>: every figure</li></ul>\n"
        f"{describe_making(metrics['machine'])}\n"
        f"<details><summary>The recipe</summary><pre>{recipe}</pre></details>"
    )
