"""Which weights of a model become circuits, and which circuit each of them gets."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.utils import parametrize

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.geometry import Wiring
from adqc.nn import PAIRS, compressed_type
from adqc.parametrization import find_circuit

Rules = list[tuple[str, Circuit | None]]
Select = str | Sequence[str] | Callable[[str, nn.Module], bool] | Mapping[str, Circuit | None] | None

PATTERN = "re:"
COMPRESSED = tuple(PAIRS.values())


@dataclass(frozen=True)
class Place:
    """A tensor of a module: where a parameter, or the circuit in its stead, is registered.

    Args:
        module: The module that owns the tensor.
        name: The tensor's name in the module.
        path: The module's name in the model.
    """

    module: nn.Module
    name: str
    path: str

    @property
    def full_name(self) -> str:
        """The tensor's name in the model."""
        return f"{self.path}.{self.name}" if self.path else self.name

    @property
    def is_layer(self) -> bool:
        """Whether the tensor is the weight of a layer that has, or is, a compressed form."""
        return self.name == "weight" and (
            compressed_type(self.module) is not None or isinstance(self.module, COMPRESSED)
        )

    @property
    def wall(self) -> BrickWall | None:
        """The circuit that builds the tensor, if there is one."""
        if isinstance(self.module, COMPRESSED) and self.name == "weight":
            return self.module.get_submodule("circuit")  # type: ignore[return-value]
        return find_circuit(self.module, self.name)

    @property
    def wall_path(self) -> str:
        """The name that the circuit has, or would have, in the model."""
        own = "circuit" if self.is_layer else f"parametrizations.{self.name}.0.circuit"
        return f"{self.path}.{own}" if self.path else own


@dataclass(frozen=True, eq=False)
class Target:
    """One weight that could become a circuit, or is one already.

    Args:
        name: What tables and errors call it: the layer's name, or the parameter's full name.
        shape: The weight's shape.
        places: Everywhere the weight is used; more than one where weights are tied.
        names: Every name that selects it.
        parameter: The dense weight; None where a circuit stands for it.
        wall: The circuit that stands for it; None where it is dense.
    """

    name: str
    shape: tuple[int, ...]
    places: tuple[Place, ...]
    names: tuple[str, ...]
    parameter: nn.Parameter | None = None
    wall: BrickWall | None = None

    @property
    def kind(self) -> str:
        """The layer's class, or ``"tensor"``."""
        place = self.places[0]
        own = compressed_type(place.module) or type(place.module)
        return own.__name__ if place.is_layer else "tensor"

    @property
    def is_layer(self) -> bool:
        """Whether a layer with a compressed form uses this weight."""
        return any(place.is_layer for place in self.places)

    @property
    def weights(self) -> int:
        """Number of entries of the dense weight."""
        return math.prod(self.shape)

    @property
    def obstacle(self) -> str:
        """Why no circuit can stand for this weight, or nothing."""
        if self.parameter is None:
            return "it is compressed already: use adqc.decompress_ first to compress it anew"
        if isinstance(self.parameter, nn.parameter.UninitializedParameter):
            return "its shape is not known yet: run one batch through the model first"
        if not self.parameter.is_floating_point():
            return f"its weight has dtype {self.parameter.dtype}, a circuit makes real floating-point numbers"
        if self.parameter.layout != torch.strided:
            return f"its weight is stored as {self.parameter.layout}: use to_dense() first"
        if not self.weights:
            return f"its weight of shape {self.shape} has no entries"
        if any(isinstance(place.module, nn.Embedding) and place.module.sparse for place in self.places):
            return "sparse=True needs a stored table: use sparse=False, a circuit's gradients are dense"
        return ""


@dataclass(frozen=True)
class Choice:
    """What selection decided about a weight.

    Args:
        target: The weight.
        config: Its circuit; None where it is left alone.
        why: Why it is left alone; empty where it gets a circuit.
    """

    target: Target
    config: Circuit | None
    why: str = ""


@dataclass
class _Found:
    places: list[Place] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    own: nn.Parameter | BrickWall | None = None


def _modules(module: nn.Module, path: str = "") -> Iterable[tuple[str, nn.Module]]:
    # Every path to every module, as a shared module has several names; circuits are no weights to be compressed.
    yield path, module
    for name, child in module._modules.items():
        if child is not None and not isinstance(child, BrickWall | parametrize.ParametrizationList):
            yield from _modules(child, f"{path}.{name}" if path else name)


def find_targets(model: nn.Module) -> list[Target]:
    """Every parameter of a model and every circuit in it, in the order of the modules.

    Args:
        model: Any module.

    Returns:
        One target a parameter: tied weights are one target with several places.
    """
    found: dict[int, _Found] = {}
    for path, module in _modules(model):
        if isinstance(module, BrickWall):
            continue
        tensors: dict[str, nn.Parameter | BrickWall | None] = dict(module._parameters)
        if isinstance(module, COMPRESSED):
            tensors["weight"] = Place(module, "weight", path).wall
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:  # type: ignore[union-attr]
                tensors[str(name)] = find_circuit(module, str(name))
        for name, own in tensors.items():
            if own is None:
                continue
            entry = found.setdefault(id(own), _Found(own=own))
            place = Place(module, name, path)
            if not any(known.module is module and known.name == name for known in entry.places):
                entry.places.append(place)
            entry.names[place.full_name] = None
            if place.is_layer and path:
                entry.names[path] = None
    return [_target(entry) for entry in found.values()]


def _target(entry: _Found) -> Target:
    # A tied weight is called by the first layer that uses it.
    entry.places.sort(key=lambda place: not place.is_layer)
    place = entry.places[0]
    name = place.path if place.is_layer and place.path else place.full_name
    places, names = tuple(entry.places), tuple(entry.names)
    if isinstance(entry.own, BrickWall):
        return Target(name, entry.own.shape, places, names, wall=entry.own)
    assert entry.own is not None, "only tensors that exist are found"
    lazy = isinstance(entry.own, nn.parameter.UninitializedParameter)
    return Target(name, () if lazy else tuple(entry.own.shape), places, names, parameter=entry.own)


def circuit_size(shape: Sequence[int], config: Circuit) -> tuple[Wiring, int]:
    """The wiring of the circuit that would make a tensor, and the number of parameters that it would store.

    Args:
        shape: The tensor's shape.
        config: The circuit.

    Raises:
        ValueError: If the circuit cannot have this shape.
    """
    wiring = config.wire(config.arrange(shape).sites)
    family = config.family
    gates = sum(len(family.stored(fresh)) for fresh in wiring.fresh)
    return wiring, gates + 1 + (0 if family.unitary else 2 * wiring.sites)


def select_targets(model: nn.Module, config: Circuit, select: Select = None) -> list[Choice]:
    """Decide which weights get a circuit.

    Args:
        model: Any module.
        config: The circuit for everything selected without one of its own.
        select: See :func:`adqc.compress_`.

    Returns:
        A choice for every layer that has a compressed form and every other parameter of two axes or more, and for
        whatever else was selected by name.

    Raises:
        TypeError: If ``select`` is none of the forms known.
        ValueError: If a name or pattern matches nothing, or a weight selected by name cannot be compressed or would
            not shrink.
    """
    targets = find_targets(model)
    candidates = [target for target in targets if target.is_layer or len(target.shape) > 1]
    chosen: dict[int, Circuit | None] = {}
    exact: set[int] = set()
    if select is None:
        chosen = {id(target): config for target in candidates if target.is_layer}
    elif callable(select):
        hits = [target for target in candidates if _accepts(select, target)]
        if not hits:
            raise ValueError("the selection matches nothing: the predicate is false for every layer and tensor")
        chosen = {id(target): config for target in hits}
    else:
        for key, own in _rules(select, config):
            hits = _match(key, targets, candidates, model)
            for target in hits:
                # A tied weight may be named twice, but can have only one circuit.
                chosen.setdefault(id(target), own)
                if not key.startswith(PATTERN):
                    exact.add(id(target))
    return [
        _choose(target, chosen.get(id(target)), named=id(target) in exact, selected=id(target) in chosen)
        for target in targets
        if target in candidates or id(target) in chosen
    ]


def _accepts(predicate: Callable[[str, nn.Module], bool], target: Target) -> bool:
    for place in target.places:
        name = place.path if place.is_layer and place.path else place.full_name
        if predicate(name, place.module):
            return True
    return False


def _rules(select: str | Sequence[str] | Mapping[str, Circuit | None], config: Circuit) -> Rules:
    if isinstance(select, str):
        return [(select, config)]
    if isinstance(select, Mapping):
        rules = list(select.items())
    elif isinstance(select, Iterable):
        rules = [(key, config) for key in select]
    else:
        rules = [(select, config)]
    for key, own in rules:
        if not isinstance(key, str) or not (own is None or isinstance(own, Circuit)):
            raise TypeError(
                f"select takes names, 're:' patterns, a predicate (name, module) -> bool, or a mapping of names and "
                f"patterns to adqc.Circuit or None, got {key!r}" + (f": {own!r}" if isinstance(select, Mapping) else "")
            )
    if not rules:
        raise ValueError("the selection is empty: leave select out to compress every layer that would shrink")
    return rules


def _match(key: str, targets: list[Target], candidates: list[Target], model: nn.Module) -> list[Target]:
    if key.startswith(PATTERN):
        try:
            pattern = re.compile(key.removeprefix(PATTERN))
        except re.error as error:
            raise ValueError(f"the pattern {key!r} is no regular expression: {error}") from error
        hits = [target for target in candidates if any(pattern.fullmatch(name) for name in target.names)]
        if hits:
            return hits
        raise ValueError(
            f"the pattern {key!r} matches no layer or tensor (it must match a whole name): "
            + _suggest(key.removeprefix(PATTERN), candidates)
        )
    hits = [target for target in targets if key in target.names]
    if hits:
        return hits
    modules = dict(model.named_modules(remove_duplicate=False))
    if key in modules:
        inside = [name for target in candidates for name in target.names[-1:] if name.startswith(f"{key}.")]
        remedy = f"select what is in it, such as {', '.join(map(repr, inside[:4]))}" if inside else "leave it out"
        raise ValueError(f"{key!r} is a {type(modules[key]).__name__}, which has no weight of its own: {remedy}")
    raise ValueError(f"the model has no layer or tensor {key!r}: " + _suggest(key, candidates))


def _suggest(key: str, candidates: list[Target]) -> str:
    names = [name for target in candidates for name in target.names]
    close = difflib.get_close_matches(key, names, n=4, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    shown = [target.name for target in candidates]
    return (
        f"it has {', '.join(map(repr, shown[:8]))}{', …' if len(shown) > 8 else ''}" if shown else "it has no weights"
    )


def _choose(target: Target, config: Circuit | None, *, named: bool, selected: bool) -> Choice:
    if config is None:
        if target.wall is not None and not selected:
            return Choice(target, None, "compressed already")
        return Choice(target, None, "left alone" if selected else "not selected")
    if target.obstacle:
        if named:
            raise ValueError(f"{target.name}: {target.obstacle}")
        return Choice(target, None, target.obstacle.split(":")[0])
    try:
        if not named and config.arrange(target.shape).sites < config.family.sites > 2:
            return Choice(target, None, f"too small for gate {config.family.name!r}")
        _, count = circuit_size(target.shape, config)
    except ValueError as error:
        raise ValueError(f"{target.name}: {error}") from error
    if count >= target.weights:
        if named:
            raise ValueError(
                f"{target.name} would not shrink: its weight of shape {target.shape} has {target.weights} entries, the "
                f"circuit {count} parameters; leave it out or lower the depth"
            )
        return Choice(target, None, f"would not shrink: {count} parameters for {target.weights} weights")
    return Choice(target, config)
