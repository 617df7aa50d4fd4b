"""The gallery: a folder of circuits with their cards, an index, and the networks that they belong to."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adqc.cosine import kept_axes
from adqc.files import CARD, CIRCUIT, read_checkpoint, read_circuit, read_json
from adqc.schema import find_misfit
from adqc.tables import make_table, to_text

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall

INDEX = "index.json"
NETWORK = "network.safetensors"
# The part of a card that only entries of the gallery have.
KEY = "gallery"
INDEX_FORMAT = "adqc-gallery"
INDEX_VERSION = 1
# Two machines round differently, and an image on the edge may fall to the other side.
ACCURACY_TOLERANCE = 0.05


@dataclass(frozen=True)
class Entry:
    """A circuit of the gallery.

    Args:
        folder: The folder, ``circuits/NAME``.
        card: What ``card.json`` holds, checked.
    """

    folder: Path
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def about(self) -> Mapping[str, Any]:
        """The part of the card that says where the circuit comes from."""
        about: Mapping[str, Any] = self.card[KEY]
        return about

    def wall(self) -> BrickWall:
        """The circuit, read from its QASM text, in float64.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the text and the card do not belong together.
        """
        return read_circuit(self.folder).wall

    def network(self) -> nn.Module:
        """The trained network that the circuit is part of, with all its circuits.

        Raises:
            FileNotFoundError: If the entry comes without its network, or the file is missing.
            ValueError: If the file is damaged, or is not the one that the card names, or the card names a network
                or data set that is not known.
        """
        from adqc.checkpoint import load_
        from adqc.experiments.models import make_model
        from adqc.experiments.sources import find_source

        network = make_model(self.about["network"], classes=find_source(self.about["data"]).classes)
        return load_(network, self._checkpoint())

    def _checkpoint(self) -> Path:
        stored = self.about["checkpoint"]
        if stored is None:
            raise FileNotFoundError(f"{self.name} comes without its network: its card says how to make it anew")
        path = self.folder / str(stored["file"])
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder} holds no {path.name}, which its card names: restore it")
        if hashlib.sha256(path.read_bytes()).hexdigest() != stored["sha256"]:
            raise ValueError(f"{path} is not the file that the card names (its hash differs): restore it")
        return path

    def references(self, wall: BrickWall) -> list[tuple[str, Tensor, Tensor]]:
        """What the entry says of the weight besides the QASM text.

        Args:
            wall: The circuit, as read from the text.

        Returns:
            For each of ``"card"`` (norm and probed entries) and ``"checkpoint"`` (the same layer in the network beside
            the card, where there is one): its name, what the wall makes, and what is expected, in float64.

        Raises:
            FileNotFoundError: If the network is missing.
            ValueError: If the network's file is damaged or has no such circuit.
        """
        weight = exact_weight(wall)
        probe = self.about["probe"]
        entries = [weight[tuple(index)] for index in probe["indices"]]
        # The norm counts as one typical entry.
        share = 1 / math.sqrt(weight.numel())
        expected = weight.new_tensor([probe["norm"] * share, *probe["values"]])
        found = [("card", torch.stack([weight.norm() * share, *entries]), expected)]
        if self.about["checkpoint"] is None:
            return found
        walls = {item.name: item.wall for item in read_checkpoint(self._checkpoint())}
        layer = self.about["layer"]
        if layer not in walls or walls[layer].shape != wall.shape:
            raise ValueError(f"{self.folder / NETWORK} has no circuit of shape {wall.shape} for the layer {layer!r}")
        return [*found, ("checkpoint", weight, exact_weight(walls[layer]))]

    def evaluate(self, data: str | os.PathLike[str] | None = None) -> float:
        """The test accuracy of the network, measured anew.

        Args:
            data: Data folder, see :func:`adqc.experiments.data.read`.

        Returns:
            Percent of the test images that the card speaks of.

        Raises:
            FileNotFoundError: If network or data are missing.
            ValueError: If network or data are damaged.
        """
        from adqc.experiments.batches import Batches
        from adqc.experiments.data import read
        from adqc.experiments.sources import SOURCES
        from adqc.experiments.training import measure

        network, name = self.network(), self.about["data"]
        images = read(name, None if data is None else Path(data))
        count, source = self.about["accuracy"]["test_images"], SOURCES[name]
        batches = Batches(
            images.test_images[:count], images.test_labels[:count], batch_size=1000, mean=source.mean, std=source.std
        )  # fmt: skip
        return measure(network, batches)

    def summary(self) -> dict[str, Any]:
        """The entry's line of the index."""
        card, about = self.card, self.about
        return {
            "name": self.name,
            "title": about["title"],
            "network": about["network"],
            "layer": about["layer"],
            "shape": list(card["shape"]),
            "qubits": card["qubits"],
            "depth": card["depth"],
            "family": card["family"],
            "parameters": card["parameters"],
            "accuracy": about["accuracy"]["network"],
            "dense_accuracy": about["accuracy"]["dense"],
            "sha256": card["sha256"],
        }


@dataclass(frozen=True)
class Gallery:
    """A folder of entries; printed, it is a table.

    Args:
        folder: The folder.
        entries: Its entries, by name.
    """

    folder: Path
    entries: tuple[Entry, ...]

    def find(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            ValueError: If there is none.
        """
        names = [entry.name for entry in self.entries]
        if name not in names:
            raise ValueError(f"{self.folder} has no entry {name!r}: it has {', '.join(names)}")
        return self.entries[names.index(name)]

    def __rich__(self) -> Any:
        rows = []
        for entry in self.entries:
            line = entry.summary()
            rows.append(
                (
                    line["name"], line["network"], line["layer"], "×".join(map(str, line["shape"])), line["qubits"],
                    line["family"], line["depth"], f"{line['parameters']:,}", f"{line['accuracy']:.2f} %",
                    f"{line['dense_accuracy']:.2f} %", line["sha256"][:12],
                )
            )  # fmt: skip
        columns = ("circuit", "network", "layer", ">shape", ">qubits", "gate", ">depth", ">parameters", ">accuracy",
                   ">dense", "sha256")  # fmt: skip
        return make_table(f"{self.folder}: {len(rows)} {'circuit' if len(rows) == 1 else 'circuits'}", columns, rows)

    def __str__(self) -> str:
        return to_text(self.__rich__())


@torch.no_grad()
def exact_weight(wall: BrickWall) -> Tensor:
    """The tensor of a circuit in float64, gate by gate; the circuit is left as it is."""
    weight: Tensor = copy.deepcopy(wall).double()("gates")
    return weight


def is_gallery(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with an index."""
    return (Path(path) / INDEX).is_file()


def find_gallery(folder: str | os.PathLike[str] | None = None) -> Path:
    """The gallery's folder.

    Args:
        folder: The folder; None looks for ``circuits/`` in the current directory, then in the source checkout.

    Raises:
        FileNotFoundError: If there is none.
    """
    if folder is not None:
        if not is_gallery(folder):
            raise FileNotFoundError(f"{folder} is no gallery: it holds no {INDEX} (adqc gallery index writes one)")
        return Path(folder)
    for path in (Path("circuits"), Path(__file__).resolve().parents[1] / "circuits"):
        if is_gallery(path):
            return path
    raise FileNotFoundError("there is no gallery here: go to a source checkout, or name its folder with --folder")


def read_gallery(folder: str | os.PathLike[str] | None = None) -> Gallery:
    """Read a gallery; index and cards are checked, circuits are not built.

    Args:
        folder: The folder; None as in :func:`find_gallery`.

    Returns:
        The gallery.

    Raises:
        FileNotFoundError: If there is no gallery, or an entry's file is missing.
        ValueError: If the index or a card is damaged, or they do not agree.
    """
    path = find_gallery(folder)
    index = read_json(path / INDEX)
    remedy = "adqc gallery index writes it anew from the cards"
    if index.get("format") != INDEX_FORMAT or index.get("format_version") != INDEX_VERSION:
        raise ValueError(
            f"{path / INDEX} must have format {INDEX_FORMAT!r} and format_version {INDEX_VERSION}, got "
            f"{index.get('format')!r} and {index.get('format_version')!r}: {remedy}"
        )
    listed = index.get("entries")
    if not isinstance(listed, list) or not all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in listed):
        raise ValueError(f"{path / INDEX} is damaged: its 'entries' must be a list of objects with a name; {remedy}")
    names, there = [entry["name"] for entry in listed], entry_names(path)
    if sorted(names) != there:
        differing = sorted(set(names) ^ set(there)) or names
        raise ValueError(f"{path / INDEX} and the folders beside it differ in {', '.join(differing)}: {remedy}")
    gallery = Gallery(path, tuple(read_entry(path / name) for name in names))
    for entry, line in zip(gallery.entries, listed, strict=True):
        wrong = [key for key, value in entry.summary().items() if line.get(key) != value]
        if wrong:
            raise ValueError(f"{path / INDEX} differs from the card of {entry.name} in {', '.join(wrong)}: {remedy}")
    return gallery


def entry_names(folder: Path) -> list[str]:
    """Names of the folders in a gallery that hold a circuit or a card."""
    return sorted({file.parent.name for name in (CIRCUIT, CARD) for file in folder.glob(f"*/{name}")})


def read_entry(folder: str | os.PathLike[str]) -> Entry:
    """Read an entry's card and check it; the circuit is not built.

    Args:
        folder: The entry's folder.

    Raises:
        FileNotFoundError: If card or circuit is missing.
        ValueError: If the card is damaged or does not match the circuit's file.
    """
    path = Path(folder)
    for name in (CIRCUIT, CARD):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} holds no {name}: expected a folder with {CIRCUIT} and {CARD}")
    card = read_json(path / CARD)
    try:
        check_card(card)
    except ValueError as error:
        raise ValueError(f"{path / CARD}: {error}") from error
    if hashlib.sha256((path / CIRCUIT).read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(f"{path / CIRCUIT} is not the file that its card names (its hash differs): restore it")
    return Entry(path, card)


def write_index(folder: str | os.PathLike[str]) -> Path:
    """Write the index anew from the cards.

    Args:
        folder: The gallery's folder.

    Returns:
        The index.

    Raises:
        FileNotFoundError: If the folder has no entries, or a file of one is missing.
        ValueError: If a card is damaged.
    """
    from adqc.container import replacing

    path = Path(folder)
    names = entry_names(path) if path.is_dir() else []
    if not names:
        raise FileNotFoundError(f"{path} holds no circuits: adqc gallery add RUN puts those of a run there")
    lines = [read_entry(path / name).summary() for name in names]
    index = {"format": INDEX_FORMAT, "format_version": INDEX_VERSION, "entries": lines}
    with replacing(path / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return path / INDEX


# --- cards --------------------------------------------------------------------------------------------------------


@functools.cache
def card_schema() -> Mapping[str, Any]:
    """The JSON Schema of a card, ``adqc/card.schema.json``."""
    text = resources.files("adqc").joinpath("card.schema.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def cropped(card: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes of the axes that a card's amplitudes are cropped to.

    Raises:
        ValueError: If its frequencies are not as many as its axes.
    """
    axes = card.get("axes", card["shape"])
    frequencies = card.get("frequencies", [0] * len(axes))
    if len(frequencies) != len(axes):
        raise ValueError(f"the card's frequencies {frequencies} are not one number for each of its axes {axes}")
    return kept_axes(axes, frequencies)


def check_card(card: Any) -> None:
    """Check a card of the gallery against the schema, and its parts against each other.

    Args:
        card: What ``card.json`` holds.

    Raises:
        ValueError: If it does not fit, with the place.
    """
    problem = find_misfit(card, card_schema(), "card")
    if problem is not None:
        raise ValueError(problem)
    about, shape, padded = card[KEY], card["shape"], card["padded"]
    axes = cropped(card)
    if about["weights"] != math.prod(shape):
        raise ValueError(f"the card says {about['weights']} weights, but its shape {shape} has {math.prod(shape)}")
    if about["crop"] != [list(pair) for pair in zip(axes, padded, strict=False)] or len(axes) != len(padded):
        raise ValueError(f"the card's crop {about['crop']} is not that of shape {axes} in {padded}")
    probe = about["probe"]
    if len(probe["indices"]) != len(probe["values"]):
        raise ValueError("the card's probe must have as many values as indices")
    for index in probe["indices"]:
        if len(index) != len(shape) or any(k >= size for k, size in zip(index, shape, strict=True)):
            raise ValueError(f"the card's probe has the index {index}, which is outside of the shape {shape}")
