"""From a finished run to entries of the gallery: circuit, card, network, picture and a page about it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adqc.brickwall import BrickWall
from adqc.checkpoint import load_
from adqc.experiments.recipe import Recipe, load_recipe, recipe_from_dict, recipe_names
from adqc.files import CARD, CIRCUIT, read_json
from adqc.gallery import KEY, NETWORK, Entry, check_card, cropped, exact_weight, read_entry, write_index
from adqc.qasm import save_qasm
from adqc.selection import find_targets

LICENCE = "MIT"
DATA_LICENCES: Mapping[str, str] = {
    "mnist": "CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    "fashion-mnist": "MIT, Zalando SE",
    "cifar10": "none stated; Alex Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
}
# An entry is looked at and cloned by everyone: a network larger than this stays out of it.
MOST_BYTES = 160_000
PROBES = 8
SHOWN = 96


def add_run(
    run: str | Path,
    folder: str | Path,
    *,
    layers: Sequence[str] | None = None,
    prefix: str | None = None,
    command: str | None = None,
    licence: str = LICENCE,
) -> list[Entry]:
    """Put the circuits of a finished run into a gallery; entries of the same name are replaced.

    Args:
        run: The run's folder, as ``adqc run`` leaves it.
        folder: The gallery's folder, made where it is missing.
        layers: The layers whose circuits to take; None for all.
        prefix: What the entries' names begin with, before the layer; None for the recipe's name.
        command: What regenerates the run; None works it out, for a recipe that comes with the library.
        licence: SPDX name of the licence of the entries.

    Returns:
        The entries.

    Raises:
        FileNotFoundError: If the run is not finished or a file of it is missing.
        ValueError: If a file is damaged, a layer has no circuit or cannot be written as QASM, or the command is not
            known. Then nothing is written.
    """
    run, folder = Path(run), Path(folder)
    if not (run / "metrics.json").is_file():
        raise FileNotFoundError(f"{run} holds no finished run: there is no metrics.json, let adqc run finish first")
    metrics, recipe = read_json(run / "metrics.json"), recipe_from_dict(read_json(run / "recipe.json"))
    commands = [*_commands_of(recipe)] if command is None else [command]
    chosen = [*(f" --layer {layer}" for layer in layers or ()), *([f" --name {prefix}"] if prefix is not None else ())]
    commands.append(f"adqc gallery add {_default_folder(recipe)}{''.join(chosen)}")
    network = run / "model.safetensors"
    model = load_(recipe.make_model(), network)
    walls = {target.name: target.wall for target in find_targets(model) if target.wall is not None}
    unknown = [name for name in layers or () if name not in walls]
    if unknown:
        raise ValueError(f"{run} has no circuit for {', '.join(unknown)}: it has {', '.join(walls)}")
    try:
        about = _describe(recipe, metrics, commands, licence, network, list(walls))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{run / 'metrics.json'} is damaged: {error!r} is missing or wrong in it") from error
    made: list[tuple[Path, Path]] = []
    try:
        for layer in layers or walls:
            name = re.sub(r"[^\w.-]+", "-", f"{prefix or recipe.name}-{layer}")
            made.append((folder / f".{name}.part", folder / name))
            _write_entry(made[-1][0], walls[layer], {**about, "layer": layer}, metrics, name, network)
    except BaseException:
        for partial, _ in made:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    for partial, final in made:
        if final.is_dir():
            shutil.rmtree(final)
        partial.rename(final)
    write_index(folder)
    return [read_entry(final) for _, final in made]


def _describe(
    recipe: Recipe, metrics: Mapping[str, Any], commands: list[str], licence: str, network: Path, circuits: list[str]
) -> dict[str, Any]:
    """What the cards of all circuits of a run have in common."""
    content = network.read_bytes()
    stored = {"file": NETWORK, "sha256": hashlib.sha256(content).hexdigest()}
    versions = metrics["machine"]["versions"]
    controls = {
        name: {"accuracy": entry["accuracy"], "parameters": entry["parameters"]}
        for name, entry in metrics["controls"].items()
    }
    return {
        "title": recipe.title,
        "network": recipe.model,
        "layer": "",
        "recipe": recipe.name,
        "data": recipe.data,
        "commands": commands,
        "accuracy": {
            "network": metrics["finetune"]["accuracy"],
            "dense": metrics["dense"]["accuracy"],
            "controls": controls,
            "test_images": metrics["images"]["test"],
            "train_images": metrics["images"]["train"],
            "seed": recipe.seed,
            "layers": circuits,
            "parameters": metrics["plan"]["parameters"],
            "weights": metrics["plan"]["weights"],
        },
        "checkpoint": stored if len(content) <= MOST_BYTES else None,
        "licence": licence,
        "data_licence": DATA_LICENCES.get(recipe.data, "see the source of the data"),
        "made_with": {name: versions[name] for name in ("adqc", "python", "torch") if name in versions},
    }


def _write_entry(
    folder: Path, wall: BrickWall, about: dict[str, Any], metrics: Mapping[str, Any], name: str, network: Path
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        save_qasm(wall, folder)
    except ValueError as error:
        raise ValueError(f"{about['layer']}: {error}") from error
    card = read_json(folder / CARD)
    weight = exact_weight(wall)
    errors = {row["name"]: row.get("relative_error") for row in metrics["fit"]["layers"]}
    card[KEY] = {
        **about,
        "title": f"{about['layer']} of {about['title']}",
        "crop": [list(pair) for pair in zip(cropped(card), card["padded"], strict=True)],
        "weights": weight.numel(),
        "relative_error": errors.get(about["layer"]),
        "probe": _probe(weight),
    }
    check_card(card)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if about["checkpoint"] is not None:
        (folder / NETWORK).write_bytes(network.read_bytes())
    draw_weight(wall, folder / "picture.png")
    (folder / "README.md").write_text(_page(name, card), encoding="utf-8")


def _probe(weight: Tensor) -> dict[str, Any]:
    """The norm and some entries, spread over the tensor."""
    count = min(PROBES, weight.numel())
    flat = [round(k * (weight.numel() - 1) / max(1, count - 1)) for k in range(count)]
    indices = [[int(i) for i in torch.unravel_index(torch.tensor(k), weight.shape)] for k in flat]
    return {
        "norm": weight.norm().item(),
        "indices": indices,
        "values": [weight[tuple(index)].item() for index in indices],
    }


# --- the command --------------------------------------------------------------------------------------------------


def _default_folder(recipe: Recipe) -> str:
    return f"runs/{recipe.name}" + "-quick" * recipe.quick


def _commands_of(recipe: Recipe) -> list[str]:
    """The command lines that fetch the data, where the checkout lacks them, and run just this recipe.

    Raises:
        ValueError: If the recipe does not come with the library.
    """
    if recipe.name not in recipe_names():
        raise ValueError(
            f"the recipe {recipe.name!r} does not come with the library, so what regenerates the run is not known: "
            f"say it with --command"
        )
    base = load_recipe(recipe.name, quick=recipe.quick)
    changes = _changes(base.to_dict(), recipe.to_dict())
    if load_recipe(recipe.name, quick=recipe.quick, changes=changes) != recipe:
        raise ValueError(
            f"no options of adqc run {recipe.name} make the recipe of this run: say with --command what regenerates it"
        )
    options = [f"--set '{change}'" if re.search(r"[\s\"'{\[]", change) else f"--set {change}" for change in changes]
    fetch = [] if recipe.data == "mnist" else [f"adqc data fetch {recipe.data}"]
    return [*fetch, " ".join(["adqc run", recipe.name, *["--quick"] * recipe.quick, *options])]


def _changes(base: Any, wanted: Any, path: str = "") -> list[str]:
    """What to set so that plain values become others."""
    if isinstance(base, Mapping) and isinstance(wanted, Mapping) and base.keys() == wanted.keys():
        return [
            change
            for key in base
            for change in _changes(base[key], wanted[key], f"{path}.{key}" if path else str(key))
        ]  # fmt: skip
    return [] if base == wanted else [f"{path}={_toml(wanted)}"]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(entry)}" for key, entry in value.items()) + "}"
    # Numbers, texts, truth values and lists of them are written alike in TOML and JSON.
    return json.dumps(value)


# --- picture and page ---------------------------------------------------------------------------------------------


def draw_weight(wall: BrickWall, path: Path) -> None:
    """A picture: the circuit's bricks, and the weight that they make.

    Args:
        wall: The circuit.
        path: The file, by its ending a format of matplotlib.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'adqc[experiments]'") from error
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    bricks, picture = figure.subplots(1, 2, width_ratios=(3, 2))
    for site in range(wall.sites):
        bricks.axhline(site, color="0.6", linewidth=0.6, zorder=0)
    moments = [(number, column) for column, moment in enumerate(wall.wiring.moments) for number in moment]
    angles = wall.gate_parameters().detach().double().norm(dim=1)
    strength = (angles / angles.max().clamp_min(1e-12)).tolist()
    for number, column in moments:
        first, last = wall.wiring.gates[number][0], wall.wiring.gates[number][-1]
        shade = (0.93 - 0.7 * strength[number], 0.95 - 0.5 * strength[number], 1 - 0.25 * strength[number])
        box = Rectangle((column + 0.15, first - 0.25), 0.7, last - first + 0.5, facecolor=shade, edgecolor="0.2")
        box.set_linewidth(0.5)
        bricks.add_patch(box)
    bricks.set(xlim=(-0.2, len(wall.wiring.moments) + 0.2), ylim=(wall.sites - 0.4, -0.6))
    bricks.set(xlabel="layer of gates; darker: larger angles", ylabel="qubit")
    for axis in (bricks.xaxis, bricks.yaxis):
        axis.get_major_locator().set_params(integer=True)
    bricks.spines[:].set_visible(False)
    weight = exact_weight(wall)
    matrix = weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, -1)
    bound = 3 * matrix.std(correction=0).item()
    # Noise does not compress: a corner shows as much as the whole.
    corner = matrix[:SHOWN, :SHOWN]
    picture.imshow(corner.numpy(), cmap="RdBu", vmin=-bound, vmax=bound, interpolation="nearest")
    part = "" if corner.shape == matrix.shape else f", first {corner.shape[0]}×{corner.shape[1]}"
    picture.set(title="×".join(map(str, weight.shape)) + part, xlabel="inputs", ylabel="outputs")
    figure.savefig(path, dpi=80, metadata={"Software": None} if path.suffix == ".png" else None)


def _page(name: str, card: Mapping[str, Any]) -> str:
    about = card[KEY]
    result, checkpoint = about["accuracy"], about["checkpoint"]
    crop = ", ".join(f"{kept} of {whole}" for kept, whole in about["crop"])
    controls = [
        f"| {title} in the same layers | {entry['accuracy']:.2f} % | {entry['parameters']:,} |"
        for title, entry in result["controls"].items()
    ]
    lines = [
        f"# {name}",
        "",
        f"The weight of `{about['layer']}` in `{about['network']}`, trained on {about['data']}: {about['weights']:,} "
        f"numbers of shape {'×'.join(map(str, card['shape']))}, prepared by a circuit on {card['qubits']} qubits that "
        f"stores {card['parameters']:,}.",
        "",
        "![The circuit's bricks, and the weight that they make](picture.png)",
        "",
        f"| network ({result['train_images']:,} training images, seed {result['seed']}) | accuracy on "
        f"{result['test_images']:,} test images | numbers in {', '.join(result['layers'])} |",
        "|---|---|---|",
        f"| with circuits in {', '.join(result['layers'])} | {result['network']:.2f} % | {result['parameters']:,} |",
        f"| dense | {result['dense']:.2f} % | {result['weights']:,} |",
        *controls,
        "",
        f"Gates `{card['family']}`, depth {card['depth']}, wiring {card['wiring']}, layout {card['layout']}; kept are "
        f"{crop}." + _error(about["relative_error"]),
        "",
        "Made by",
        "",
        "```console",
        *about["commands"],
        "```",
        "",
        f"`{CIRCUIT}` is the circuit as OpenQASM {card['openqasm']}, `{CARD}` says how its amplitudes become the weight"
        + (f", `{NETWORK}` is the whole network." if checkpoint else "."),
        "",
        f"Licence: {about['licence']}. The network was trained on {about['data']} ({about['data_licence']}).",
    ]
    return "\n".join(lines) + "\n"


def _error(error: float | None) -> str:
    if error is None:
        return ""
    return (
        f" After stage 1 the circuit's squared distance from the dense network's weight was {100 * error:.1f} % of its "
        f"square: the weight is not that of the dense network, the accuracy comes from training with the circuit."
    )
