"""Recipes: an experiment as a small TOML file.

A recipe names a network, a data set, the circuits that replace its layers and how everything is trained. The tables
``[quick]`` and ``--set key=value`` change single values of it.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from adqc.baselines import METHODS
from adqc.config import Circuit, Fit
from adqc.experiments.batches import Augment
from adqc.experiments.models import MODELS, image_shape, make_model
from adqc.experiments.sources import find_source

SCHEDULES = ("cosine", "constant", "one-cycle")
# Controls that are circuits themselves.
OTHER_CIRCUITS = ("wide", "cosine")


@dataclass(frozen=True)
class Distil:
    """Learning from the dense network's scores besides the labels (arXiv:1503.02531, section 2).

    Args:
        weight: Share of the teacher's part in the loss, 0 (off) to 1.
        temperature: What the scores are divided by.
    """

    weight: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or self.temperature <= 0:
            raise ValueError(
                f"distil needs a weight from 0 to 1 and a temperature above 0, got weight={self.weight}, "
                f"temperature={self.temperature}"
            )


@dataclass(frozen=True)
class Training:
    """A training run.

    Args:
        epochs: Passes over the training images; 0 trains nothing.
        batch_size: Images in a batch.
        lr: Adam's learning rate.
        circuit_lr: That of the circuits' parameters; for a control, of the parameters that stand in their place.
        schedule: ``"cosine"`` (falling to 0), ``"one-cycle"`` (rising over the first fifth, then cosine) or
            ``"constant"``.
        weight_decay: L2 penalty on all parameters but the circuits'.
        label_smoothing: Share of the label spread over all classes.
        ema: Decay, per step, of a running mean of the parameters, which is then the result; 0 is off.
        augment: Random changes of the images.
        distil: Learning from the dense network; not used by the dense network itself.
    """

    epochs: int = 5
    batch_size: int = 128
    lr: float = 2e-3
    circuit_lr: float = 2e-2
    schedule: str = "cosine"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    augment: Augment = field(default_factory=Augment)
    distil: Distil = field(default_factory=Distil)

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r}: use one of {', '.join(SCHEDULES)}")
        if self.epochs < 0 or self.batch_size < 1:
            raise ValueError(
                f"epochs must be at least 0 and batch_size at least 1, got epochs={self.epochs}, "
                f"batch_size={self.batch_size}"
            )
        if self.lr <= 0 or self.circuit_lr <= 0:
            raise ValueError(f"learning rates must be above 0, got lr={self.lr}, circuit_lr={self.circuit_lr}")
        if not 0 <= self.ema < 1 or not 0 <= self.label_smoothing < 1 or self.weight_decay < 0:
            raise ValueError(
                f"ema and label_smoothing lie in [0, 1) and weight_decay is not negative, got ema={self.ema}, "
                f"label_smoothing={self.label_smoothing}, weight_decay={self.weight_decay}"
            )


@dataclass(frozen=True)
class Control:
    """A rival at equal parameters, or circuits of another kind, trained with the schedule of stage 2.

    Args:
        method: ``"frozen"``, ``"tensor-train"`` or another of :data:`adqc.baselines.METHODS`; ``"wide"`` for circuits
            of the recipe's wide gates, ``"cosine"`` for such of cosines where it has them. Circuits start random.
        lr: Learning rate of its own parameters; 0 takes the circuits'.
    """

    method: str
    lr: float = 0.0

    def __post_init__(self) -> None:
        known = (*METHODS, *OTHER_CIRCUITS)
        if self.method not in known:
            raise ValueError(f"unknown control {self.method!r}: use one of {', '.join(known)}")
        if self.lr < 0:
            raise ValueError(f"the learning rate of a control cannot be negative, got {self.lr}")


@dataclass(frozen=True)
class Aims:
    """What the result is measured by; 0 leaves an aim out.

    Args:
        accuracy: Test accuracy to reach, in percent.
        gap: Largest distance below the dense network, in points.
        parameters: Largest number of parameters in the circuits.
    """

    accuracy: float = 0.0
    gap: float = 0.0
    parameters: int = 0


# One sweep of wide gates, see Recipe.wide.
WIDE = {"depth": 1, "gate": "o16", "wiring": "staircase", "stride": 2, "layout": "grouped", "start": "paired"}


@dataclass(frozen=True)
class Recipe:
    """An experiment.

    Args:
        name: Its name; also that of the folder below ``runs/``.
        title: What it is, for people.
        model: Network, see :data:`adqc.experiments.models.MODELS`.
        data: Data set, see :data:`adqc.experiments.data.SOURCES`.
        seed: Seed of all starts and orders.
        train_images: Number of training images to use; 0 for all.
        test_images: Number of test images to use; 0 for all.
        circuits: Which layers become circuits (names, or ``re:`` patterns), and which circuit each gets.
        wide: What wide gates, in a comparison or a control, have beside the gate: axes, layout or start of a layer. It
            takes ``"grouped"``, ``"paired"`` and the weight's own axes where nothing is said.
        cosines: The same for those layers that wide gates shall see in the cosine basis, as a method of its own.
        dense: Training of the dense network.
        fit: Stage 1; without sweeps the circuits start at random.
        rescale: Give every circuit the norm of the trained weight after stage 1. The best fit is a short vector, from
            which training starts slowly.
        finetune: Stage 2, and the controls.
        controls: The rivals, and other circuits to set beside them.
        aims: What the result is measured by.
        quick: Whether this is the short form.
    """

    name: str
    title: str
    model: str
    data: str
    circuits: dict[str, Circuit]
    wide: dict[str, Circuit] = field(default_factory=dict)
    cosines: dict[str, Circuit] = field(default_factory=dict)
    seed: int = 0
    train_images: int = 0
    test_images: int = 0
    dense: Training = field(default_factory=Training)
    fit: Fit = field(default_factory=Fit)
    rescale: bool = False
    finetune: Training = field(default_factory=Training)
    controls: dict[str, Control] = field(
        default_factory=lambda: {"frozen": Control("frozen"), "tensor train": Control("tensor-train")}
    )
    aims: Aims = field(default_factory=Aims)
    quick: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"unknown network {self.model!r}: use one of {', '.join(MODELS)}")
        source = find_source(self.data)
        if source.shape != image_shape(self.model):
            wanted, found = ("×".join(map(str, shape)) for shape in (image_shape(self.model), source.shape))
            raise ValueError(f"the network {self.model!r} takes images of {wanted}, those of {self.data} are {found}")
        if self.train_images < 0 or self.test_images < 0:
            raise ValueError("train_images and test_images count images, 0 for all, and cannot be negative")
        if not self.circuits:
            raise ValueError("a recipe needs at least one layer in [circuits]")

    def make_model(self, seed: int | None = None) -> nn.Module:
        """The network, with as many classes as the data set has."""
        return make_model(self.model, classes=find_source(self.data).classes, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        for name in ("dense", "fit", "finetune", "aims"):
            plain[name] = dataclasses.asdict(plain[name])
        for name in ("circuits", "wide", "cosines"):
            plain[name] = {layer: config.to_dict() for layer, config in plain[name].items()}
        plain["controls"] = {name: dataclasses.asdict(control) for name, control in self.controls.items()}
        return plain


def recipe_names() -> list[str]:
    """Names of the recipes that come with the library."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files("adqc.experiments").joinpath("recipes").iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(name: str | Path, *, quick: bool = False, changes: Iterable[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name: Name of a recipe that comes with the library, or path of a ``.toml`` file.
        quick: Apply the recipe's ``[quick]`` table: fewer images and epochs.
        changes: ``key=value`` each, dotted keys (``finetune.epochs=3``), the value as in TOML.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If a key is unknown or a value is not what it must be.
    """
    text, stem = _read(name)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"recipe {name} is no valid TOML: {error}") from error
    short = values.pop("quick", {})
    if quick:
        _merge(values, short)
    for change in changes:
        _set(values, change)
    # What all circuits share stands in [circuit]; each layer's own table overrules it.
    shared = values.pop("circuit", {})
    layers = values.get("circuits", {})
    if isinstance(layers, dict) and isinstance(shared, dict):
        values["circuits"] = {key: {**shared, **own} if isinstance(own, dict) else own for key, own in layers.items()}
    for table in ("wide", "cosines"):
        layers = values.get(table, {})
        if isinstance(layers, dict):
            values[table] = {key: {**WIDE, **own} if isinstance(own, dict) else own for key, own in layers.items()}
    recipe: Recipe = _build(Recipe, {"name": stem, **values, "quick": quick}, "")
    return recipe


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe that :meth:`Recipe.to_dict` wrote."""
    recipe: Recipe = _build(Recipe, dict(values), "")
    return recipe


def _read(name: str | Path) -> tuple[str, str]:
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise FileNotFoundError(f"there is no recipe file {path}")
        return path.read_text(encoding="utf-8"), path.stem
    entry = resources.files("adqc.experiments").joinpath("recipes", f"{name}.toml")
    if not entry.is_file():
        raise FileNotFoundError(
            f"there is no recipe {str(name)!r}: use one of {', '.join(recipe_names())}, or the path of a .toml file"
        )
    return entry.read_text(encoding="utf-8"), str(name)


def _set(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"a change has the form key=value, e.g. finetune.epochs=3, got {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        # Words need no quotes on the command line.
        value = text.strip()
    *tables, last = key.strip().split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{key.strip()} cannot be set: {table} is no table")
        values = inner
    values[last] = value


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _build(cls: Any, values: Any, path: str) -> Any:
    """A dataclass from plain values; every field is checked against its annotation."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{path} must be a table of {', '.join(f.name for f in dataclasses.fields(cls))}, got {values!r}"
        )
    hints = typing.get_type_hints(cls)
    known = {entry.name: entry for entry in dataclasses.fields(cls)}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, 3, 0.5)
            meant = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
            raise ValueError(f"unknown key {path + key!r}: {meant}")
    for key, entry in known.items():
        missing = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if missing and key not in values:
            raise ValueError(f"{path + key} is missing: set it in the recipe or with --set {path + key}=…")
    built = {key: _convert(hints[key], value, path + key) for key, value in values.items()}
    try:
        return cls(**built)
    except ValueError as error:
        raise ValueError(f"{path.rstrip('.')}: {error}" if path else str(error)) from error


def _convert(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, f"{path}.")
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} must be a table, got {value!r}")
        inner = typing.get_args(kind)[1]
        return {key: _convert(inner, entry, f"{path}.{key}") for key, entry in value.items()}
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        # A circuit's layout is a name or a list of bits; its own class checks which.
        return tuple(value) if isinstance(value, list) else value
    wanted = (int, float) if kind is float else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{path} must be {_said(kind)}, got {value!r}")
    return float(value) if kind is float else value


def _said(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
