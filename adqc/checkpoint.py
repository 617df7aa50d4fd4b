"""Save and load: safetensors with a JSON header, never pickle; parameters and configurations only."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.container import read, write
from adqc.gates import GateFamily
from adqc.selection import COMPRESSED, Place, find_targets
from adqc.swap import install_, undo_on_error
from adqc.tables import make_table, to_text


@dataclass(frozen=True)
class Stored:
    """A circuit in a file.

    Args:
        name: The full name of the tensor that it makes, such as ``"fc1.weight"``.
        kind: The layer's class, ``"tensor"``, or ``"BrickWall"`` for one that stands alone in the model.
        prefix: The name of the circuit's module in the model.
        shape: The tensor's shape.
        config: What ``Circuit.to_dict`` returned.
    """

    name: str
    kind: str
    prefix: str
    shape: tuple[int, ...]
    config: dict[str, Any]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Stored:
        """The entry of a file's header, where the shape is a list."""
        return cls(**{**values, "shape": tuple(values["shape"])})


@dataclass(frozen=True)
class Description:
    """What is in a file; prints as a table.

    Args:
        path: The file.
        version: The version of adqc that wrote it.
        circuits: The circuits in it, with the number of parameters of each.
        tensors: All tensors: name -> (dtype, shape).
        tied: Names that share the tensor of another name.
        file_bytes: The size of the file.
        sha256: The hash of its contents.
    """

    path: str
    version: str
    circuits: tuple[tuple[Stored, int], ...]
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    tied: dict[str, str]
    file_bytes: int
    sha256: str

    @property
    def numbers(self) -> int:
        """How many numbers the file stores."""
        return sum(math.prod(shape) for _, shape in self.tensors.values())

    def __rich__(self) -> Any:
        from rich.console import Group

        rows = [
            (
                item.name, item.kind, "×".join(map(str, item.shape)), item.config["gate"], item.config["depth"],
                item.config["wiring"], item.config["layout"], f"{count:,}", f"{math.prod(item.shape) / count:,.1f}",
            )
            for item, count in self.circuits
        ]  # fmt: skip
        columns = ("circuit", "kind", ">shape", "gate", ">depth", "wiring", "layout", ">parameters", ">ratio")
        own = {f"{item.prefix}." for item, _ in self.circuits}
        rest = sum(not any(name.startswith(prefix) for prefix in own) for name in self.tensors)
        notes = [
            f"{self.numbers:,} numbers in {self.file_bytes:,} bytes; {rest} other tensors; {len(self.tied)} tied names",
            f"written by adqc {self.version}; sha256 {self.sha256}",
        ]
        return Group(make_table(self.path, columns, rows), *notes)

    def __str__(self) -> str:
        return to_text(self.__rich__())


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model's parameters and buffers and the configurations of its circuits.

    A compressed weight takes as many numbers as its circuit has, whatever its dense size. Shared tensors are stored
    once. The file appears whole or not at all.

    Args:
        model: Any module.
        path: The file, by custom ``….safetensors``.

    Raises:
        ValueError: If the state dict holds something other than dense tensors.
        OSError: If the file cannot be written.

    Example:
        >>> import adqc, tempfile
        >>> net = nn.Sequential(adqc.nn.Linear(64, 64))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(net, f"{folder}/small.safetensors")
        ...     load_(nn.Sequential(nn.Linear(64, 64)), f"{folder}/small.safetensors")[0].circuit.sites
        12
    """
    state = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    tied = {}
    tensors = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise ValueError(f"{name} is a {type(tensor).__name__}, but a file holds dense tensors: store it apart")
        if tensor.is_meta:
            raise ValueError(f"{name} is on the meta device and has no values: load the model first")
        if id(tensor) in first:
            tied[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            tensors[name] = tensor
    circuits = [asdict(item) for item in _circuits_of(model)]
    write(path, tensors, {"circuits": circuits, "tied": tied})


def _circuits_of(model: nn.Module) -> list[Stored]:
    found: dict[str, Stored] = {}
    for target in find_targets(model):
        if target.wall is None:
            continue
        for place in target.places:
            own = next((k for k in COMPRESSED if isinstance(place.module, k) and place.is_layer), None)
            kind = own.__name__ if own is not None else "tensor"
            config = target.wall.config.to_dict()
            found[place.wall_path] = Stored(place.full_name, kind, place.wall_path, target.shape, config)
    for name, module in model.named_modules():
        if isinstance(module, BrickWall) and name not in found:
            found[name] = Stored(name, "BrickWall", name, module.shape, module.config.to_dict())
    return list(found.values())


def load_(model: nn.Module, path: str | os.PathLike[str], *, families: Sequence[GateFamily] = ()) -> nn.Module:
    """Read what :func:`save` wrote into a model of the same architecture, plain or compressed.

    The circuits of the file take the place of the model's weights; then all tensors are loaded. If anything does not
    fit, the model is as it was.

    Args:
        model: The model; changed in place.
        path: The file.
        families: Gate families made by :func:`adqc.gate_family` that the file names.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut short, altered, from a newer version or not one of adqc's, names a gate family
            that is not given, or belongs to another model (missing and unexpected names, shapes and dtypes are told).
    """
    tensors, header = read(path)
    stored = [Stored.from_dict(item) for item in header["circuits"]]
    for name, first in header["tied"].items():
        tensors[name] = tensors[first]
    places = {place.full_name: place for target in find_targets(model) for place in target.places}
    walls = dict(module for module in model.named_modules() if isinstance(module[1], BrickWall))
    lost = [item.name for item in stored if item.name not in (walls if item.kind == "BrickWall" else places)]
    if lost:
        raise ValueError(f"{path} belongs to another model: it has circuits for {_some(lost)}, which this one lacks")
    made: dict[str, BrickWall] = {}
    pairs = []
    for item in stored:
        # Tied circuits are one circuit in several places.
        key = header["tied"].get(f"{item.prefix}.gates", f"{item.prefix}.gates")
        try:
            config = Circuit.from_dict(item.config, families=tuple(families))
        except ValueError as error:
            raise ValueError(f"{path}: {item.name}: {error}") from error
        if item.kind == "BrickWall":
            _check_same(path, item, config, walls[item.name])
            continue
        if key not in made:
            made[key] = _empty_wall(path, item, config, places[item.name])
        pairs.append((places[item.name], made[key]))
    with undo_on_error(place.module for place, _ in pairs):
        for place, wall in sorted(pairs, key=lambda pair: not pair[0].is_layer):
            install_(place, wall)
        _compare(path, tensors, model.state_dict(keep_vars=True))
        model.load_state_dict(tensors)
    return model


def _empty_wall(path: str | os.PathLike[str], item: Stored, config: Circuit, place: Place) -> BrickWall:
    old = place.wall
    like = place.module._parameters[place.name] if old is None else old.scale
    shape = tuple(like.shape) if old is None and like is not None else item.shape if old is None else old.shape
    assert like is not None, "places are tensors or circuits"
    if shape != item.shape:
        raise ValueError(
            f"{path}: {item.name} has shape {item.shape} in the file, but {shape} in the model: build the model it was "
            f"saved from"
        )
    # Its own generator: what is drawn is overwritten, and must not move torch's global one.
    generator = torch.Generator().manual_seed(0)
    wall = BrickWall(item.shape, config, generator=generator, device=like.device, dtype=like.dtype)
    return wall.requires_grad_(like.requires_grad).train(place.module.training)


def _check_same(path: str | os.PathLike[str], item: Stored, config: Circuit, wall: BrickWall) -> None:
    if (item.shape, config) != (wall.shape, wall.config):
        raise ValueError(
            f"{path}: the circuit {item.name} has shape {item.shape} and {config} in the file, but {wall.shape} and "
            f"{wall.config} in the model: build the model that it was saved from"
        )


def _compare(path: str | os.PathLike[str], tensors: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Raise unless the file has exactly the tensors of the model."""
    wrong = {
        "missing": [name for name in state if name not in tensors],
        "unexpected": [name for name in tensors if name not in state],
    }
    if any(wrong.values()):
        parts = [f"{what}: {_some(names)}" for what, names in wrong.items() if names]
        raise ValueError(
            f"{path} belongs to another model ({'; '.join(parts)}): build the model that it was saved from"
        )
    first: dict[int, str] = {}
    for name, own in state.items():
        new = tensors[name]
        for what, theirs, ours in (("shape", tuple(new.shape), tuple(own.shape)), ("dtype", new.dtype, own.dtype)):
            if theirs != ours:
                remedy = (
                    "build the model that it was saved from" if what == "shape" else f"call model.to({theirs}) first"
                )
                raise ValueError(f"{path}: {name} has {what} {theirs} in the file, but {ours} in the model: {remedy}")
        if own.is_meta:
            raise ValueError(f"{name} is on the meta device: call model.to_empty(device=…) before loading")
        twin = first.setdefault(id(own), name)
        if not torch.equal(new.nan_to_num(), tensors[twin].nan_to_num()):
            raise ValueError(f"{path}: the model ties {name} to {twin}, which differ in the file: untie them first")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def describe(path: str | os.PathLike[str]) -> Description:
    """What is in a file that :func:`save` wrote; needs no model and no gate families.

    Args:
        path: The file.

    Returns:
        The description; print it for a table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut short, altered, from a newer version or not one of adqc's.
    """
    tensors, header = read(path)
    circuits = []
    for item in map(Stored.from_dict, header["circuits"]):
        prefix = header["tied"].get(f"{item.prefix}.gates", f"{item.prefix}.gates").removesuffix("gates")
        count = sum(tensor.numel() for name, tensor in tensors.items() if name.startswith(prefix))
        circuits.append((item, count))
    listed = {name: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in tensors.items()}
    size = Path(path).stat().st_size
    return Description(str(path), header["version"], tuple(circuits), listed, header["tied"], size, header["sha256"])
