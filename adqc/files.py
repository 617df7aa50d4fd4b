"""The circuits in files: a checkpoint, a QASM file with its card, or a folder of such files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adqc.brickwall import BrickWall
from adqc.qasm_text import MOST_CHARACTERS

CIRCUIT, CARD = "circuit.qasm", "card.json"
MOST_CARD_BYTES = 10_000_000


@dataclass(frozen=True)
class Found:
    """A circuit in a file.

    Args:
        name: The layer or tensor that it makes, or its folder's name.
        wall: The circuit.
        text: The QASM text that it was read from; None for a checkpoint.
        card: The card beside the text.
        folder: The folder that the two lie in.
    """

    name: str
    wall: BrickWall
    text: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or no object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return values


def read_pair(circuit: Path, card: Path) -> tuple[str, dict[str, Any]]:
    """A QASM text and its card, not yet compared with each other.

    Args:
        circuit: The QASM file.
        card: The card's file.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If one is damaged or larger than any that adqc reads.
    """
    for path, most in ((circuit, MOST_CHARACTERS), (card, MOST_CARD_BYTES)):
        size = path.stat().st_size
        if size > most:
            raise ValueError(f"{path} has {size:,} bytes, but adqc reads at most {most:,}")
    described = read_json(card)
    try:
        return circuit.read_bytes().decode(), described
    except ValueError as error:
        raise ValueError(f"{circuit} is damaged: it is no text in UTF-8 ({error})") from error


def read_circuit(path: Path) -> Found:
    """A QASM file with its card: ``NAME.json`` beside ``NAME.qasm``, else ``card.json``.

    Args:
        path: The QASM file, or a folder with ``circuit.qasm``.

    Raises:
        FileNotFoundError: If the file or its card is missing.
        ValueError: If one is damaged, or they do not belong together.
    """
    from adqc.qasm import from_qasm

    file = path / CIRCUIT if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}: expected one of OpenQASM, with its card beside it")
    own, shared = file.with_suffix(".json"), file.with_name(CARD)
    if not own.is_file() and not shared.is_file():
        raise FileNotFoundError(f"{file} has no card: expected {own.name} or {CARD} beside it, as adqc export writes")
    text, card = read_pair(file, own if own.is_file() else shared)
    try:
        wall = from_qasm(text, card)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    named_by_folder = file.name == CIRCUIT
    name = file.resolve().parent.name if named_by_folder else file.stem
    return Found(name, wall, text, card, file.parent)


def read_checkpoint(path: Path) -> list[Found]:
    """The circuits in a checkpoint, rebuilt from the file alone, without the model.

    Args:
        path: A file that :func:`adqc.save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds no circuits, or names a gate family that is not built in.
    """
    from adqc.checkpoint import Stored
    from adqc.config import Circuit
    from adqc.container import read

    tensors, header = read(path)
    tensors.update({name: tensors[first] for name, first in header.get("tied", {}).items()})
    found = []
    for item in map(Stored.from_dict, header.get("circuits", [])):
        own = {name.removeprefix(f"{item.prefix}."): value for name, value in tensors.items()}
        wall = BrickWall(item.shape, Circuit.from_dict(item.config), dtype=own["gates"].dtype)
        wall.load_state_dict({name: own[name] for name in wall.state_dict()})
        found.append(Found(item.name.removesuffix(".weight"), wall))
    if not found:
        raise ValueError(f"{path} holds no circuits: nothing in that model is compressed")
    return found


def find_circuits(path: str | os.PathLike[str]) -> list[Found]:
    """The circuits in a file or folder.

    Args:
        path: A checkpoint; a QASM file with its card; a folder with ``circuit.qasm`` and ``card.json``; or a folder of
            such folders, as ``adqc export`` writes it.

    Returns:
        One entry a circuit, at least one.

    Raises:
        FileNotFoundError: If there is no such file or folder, a card is missing, or the folder has no circuits.
        ValueError: If a file is damaged or does not match its card.
    """
    path = Path(path)
    if path.is_dir():
        if (path / CIRCUIT).is_file() or (path / CARD).is_file():
            return [read_circuit(path)]
        inner = sorted(file.parent for file in path.glob(f"*/{CIRCUIT}"))
        if not inner:
            raise FileNotFoundError(
                f"{path} holds no circuits: expected {CIRCUIT} and {CARD} in it, or folders that have them"
            )
        return [read_circuit(folder) for folder in inner]
    if path.suffix == ".qasm":
        return [read_circuit(path)]
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: give a checkpoint, a QASM file, or a folder of circuits")
    return read_checkpoint(path)
