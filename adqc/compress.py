"""Whole models: what would be compressed, compress it, and back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from adqc import engine
from adqc.brickwall import BrickWall
from adqc.config import Circuit, Fit
from adqc.selection import Choice, Select, Target, circuit_size, find_targets, select_targets
from adqc.swap import dense_parameters, install_, remove_, undo_on_error
from adqc.tables import make_table, progress_bar, to_text

DEFAULT_FIT = Fit()


@dataclass(frozen=True)
class Row:
    """One weight of a plan or report.

    Args:
        name: The layer's name, or the parameter's full name.
        kind: The layer's class, or ``"tensor"``.
        shape: The weight's shape.
        weights: Number of its entries.
        qubits: Number of qubits of its circuit; 0 where it gets none.
        gates: Number of gates.
        parameters: Number of real numbers that the circuit stores.
        route: How the weight is built.
        why: Why it is left alone; empty where it gets a circuit.
        tied: The other names of the weight, where several modules share it.
        relative_error: ``||W - T||² / ||W||²`` after stage 1; None where there was none.
        seconds: Time that stage 1 took.
        sweeps: Sweeps that stage 1 took.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    qubits: int = 0
    gates: int = 0
    parameters: int = 0
    route: str = ""
    why: str = ""
    tied: tuple[str, ...] = ()
    relative_error: float | None = None
    seconds: float | None = None
    sweeps: int = 0

    @property
    def ratio(self) -> float:
        """Weights per parameter of the circuit."""
        return self.weights / self.parameters if self.parameters else 1.0


@dataclass(frozen=True)
class Plan:
    """What :func:`compress_` would do; prints as a table.

    Args:
        rows: Every weight that has a compressed form or was selected, in the order of the modules.
        model_parameters: Number of parameters of the whole model as it is, tied ones counted once.
    """

    rows: tuple[Row, ...]
    model_parameters: int

    @property
    def compressed(self) -> tuple[Row, ...]:
        """The rows that get a circuit."""
        return tuple(row for row in self.rows if not row.why)

    @property
    def skipped(self) -> tuple[Row, ...]:
        """The rows that are left alone."""
        return tuple(row for row in self.rows if row.why)

    @property
    def weights(self) -> int:
        """Number of dense entries that the circuits stand for."""
        return sum(row.weights for row in self.compressed)

    @property
    def parameters(self) -> int:
        """Number of real numbers that the circuits store."""
        return sum(row.parameters for row in self.compressed)

    @property
    def ratio(self) -> float:
        """Weights per parameter over all circuits."""
        return self.weights / self.parameters if self.parameters else 1.0

    @property
    def model_parameters_after(self) -> int:
        """Number of parameters of the whole model with the circuits in place."""
        return self.model_parameters - self.weights + self.parameters

    def __rich__(self) -> Any:
        return _render(self, "What would be compressed", fitted=False)

    def __str__(self) -> str:
        return to_text(self.__rich__())


@dataclass(frozen=True)
class Report(Plan):
    """What :func:`compress_` did: a :class:`Plan` with the relative error and seconds of stage 1; prints as a table."""

    @property
    def seconds(self) -> float:
        """Time that stage 1 took for all layers."""
        return sum(row.seconds or 0.0 for row in self.rows)

    def __rich__(self) -> Any:
        return _render(self, "What was compressed", fitted=True)

    def __str__(self) -> str:
        return to_text(self.__rich__())


def plan(model: nn.Module, config: Circuit | None = None, *, select: Select = None) -> Plan:
    """What :func:`compress_` would do with these arguments; changes nothing.

    Args:
        model: Any module.
        config: The circuit; None for the default ``Circuit()``.
        select: As in :func:`compress_`.

    Returns:
        The plan; print it for a table.

    Raises:
        TypeError: If ``select`` is none of the forms known.
        ValueError: If a name or pattern matches nothing, or a weight selected by name cannot be compressed or would
            not shrink.

    Example:
        >>> net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        >>> plan(net, Circuit(depth=6), select="0").parameters
        196
    """
    choices = select_targets(model, Circuit() if config is None else config, select)
    return Plan(tuple(_row(choice) for choice in choices), _count(model))


def compress_(
    model: nn.Module,
    config: Circuit | None = None,
    *,
    select: Select = None,
    fit: Fit | None = DEFAULT_FIT,
    generator: torch.Generator | None = None,
    progress: bool | None = None,
) -> Report:
    """Put circuits in the place of a model's weights, fitted to them (stage 1: min ||W - T||²).

    Layers keep their identity, biases, hooks, device, dtype and training mode; all other keys of the state dict stay.
    Tied weights get one shared circuit. After an error or Ctrl-C the model is as it was.

    Args:
        model: Any module; changed in place.
        config: The circuit for everything selected without one of its own; None for the default ``Circuit()``.
        select: Which weights. A name (``"fc1"`` for a layer, ``"attn.in_proj_weight"`` for any other parameter), a
            pattern (``"re:features.*|classifier.1"``, which must match a whole name), a list of both, a predicate
            ``(name, module) -> bool``, or a mapping of names and patterns to a :class:`Circuit`, or to None to leave
            alone (the first match wins). Patterns and predicates see layers and parameters of two axes or more. None
            takes every ``Linear``, ``Conv1d``, ``Conv2d``, ``Conv3d`` and ``Embedding`` that would shrink.
        fit: Stage 1; None leaves it out and starts from random circuits with each weight's own standard deviation.
        generator: Source of the random starts, on the CPU.
        progress: True shows a progress bar on stderr, False none, None where stderr is a terminal.

    Returns:
        The report, with the relative error and the seconds of each layer; print it for a table.

    Raises:
        TypeError: If ``select`` is none of the forms known.
        ValueError: If a name or pattern matches nothing, a weight selected by name cannot be compressed or would not
            shrink, nothing is left to compress, or a weight has NaN or infinite entries.
        MemoryError: If a weight is too large to be built.

    Example:
        >>> net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> report = compress_(net, Circuit(depth=4), select="0", fit=Fit(sweeps=2), progress=False)
        >>> net[0]
        Linear(
          in_features=64, out_features=64, bias=True
          (circuit): BrickWall(shape=(64, 64), qubits=12, gate='cartan', depth=4, wiring='brick-wall', layout='interleaved', gates=22, parameters=83)
        )

    Source: arXiv:2305.06058, Sec. "Two-stage optimization".
    """  # noqa: E501
    choices = select_targets(model, Circuit() if config is None else config, select)
    chosen = [choice for choice in choices if choice.config is not None]
    if not chosen:
        reasons = "; ".join(f"{choice.target.name}: {choice.why}" for choice in choices[:4])
        raise ValueError(f"nothing to compress ({reasons or 'the model has no weights'}): select other layers")
    for choice in chosen:
        _check_entries(choice.target)
    before = _count(model)
    walls: dict[int, BrickWall] = {}
    rows = []
    with progress_bar(progress) as bar:
        task = bar.add_task("compressing", total=len(chosen), note="")
        for choice in choices:
            row = _row(choice)
            if choice.config is not None:
                bar.update(task, note=choice.target.name)
                notify = _notifier(bar, task, choice.target.name)
                walls[id(choice)], row = _make_wall(choice.target, choice.config, row, fit, generator, notify)
                bar.advance(task)
            rows.append(row)
    places = [(place, walls[id(choice)]) for choice in chosen for place in choice.target.places]
    # A layer's class must be torch's own when its circuit comes, so parametrizations of its other tensors come last.
    places.sort(key=lambda pair: not pair[0].is_layer)
    with undo_on_error(place.module for place, _ in places):
        for place, wall in places:
            install_(place, wall)
    return Report(tuple(rows), before)


def decompress_(model: nn.Module) -> nn.Module:
    """Turn every compressed weight back into a dense one, with the same function.

    Tied weights stay tied. (An embedding with ``padding_idx`` tied to an output head becomes untied where the circuit's
    padding row is not zero, as the two use different rows there.)

    Args:
        model: Any module; changed in place. Without compressed weights nothing happens.

    Returns:
        The model.

    Raises:
        MemoryError: If a weight is too large to be built.
    """
    targets = [target for target in find_targets(model) if target.wall is not None]
    dense = [dense_parameters(target.places, target.wall) for target in targets if target.wall is not None]
    pairs = [
        (place, parameter)
        for target, parameters in zip(targets, dense, strict=True)
        for place, parameter in zip(target.places, parameters, strict=True)
    ]
    pairs.sort(key=lambda pair: pair[0].is_layer)
    with undo_on_error(place.module for place, _ in pairs):
        for place, parameter in pairs:
            remove_(place, parameter)
    return model


def _make_wall(
    target: Target,
    config: Circuit,
    row: Row,
    fit: Fit | None,
    generator: torch.Generator | None,
    notify: Callable[[int, int, float], None],
) -> tuple[BrickWall, Row]:
    weight = target.parameter
    assert weight is not None, "selection refuses weights that are compressed already"
    dense = weight.detach()
    # Short floats are for storage: the fit runs in float32 at least and its result is rounded once.
    work = dense.float() if dense.dtype.itemsize < 4 else dense
    std = work.std(correction=0).item()
    begin = time.perf_counter()
    try:
        wall = BrickWall(target.shape, config, std=std, generator=generator, device=dense.device, dtype=work.dtype)
        if fit is not None:
            from adqc.fit import fit_

            result = fit_(wall, work, fit=fit, progress=notify)
            row = replace(row, sweeps=result.sweeps, relative_error=result.relative_error)
    except (ValueError, MemoryError) as error:
        raise type(error)(f"{target.name}: {error}") from error
    wall.to(dense.dtype).requires_grad_(weight.requires_grad).train(target.places[0].module.training)
    if fit is not None and dense.dtype != work.dtype:
        row = replace(row, relative_error=_relative_error(wall, work))
    return wall, replace(row, seconds=time.perf_counter() - begin)


@torch.no_grad()
def _relative_error(wall: BrickWall, weight: Tensor) -> float:
    norm = weight.square().sum().item()
    return (wall().to(weight.dtype) - weight).square().sum().item() / norm if norm else 0.0


def _notifier(bar: Any, task: Any, name: str) -> Callable[[int, int, float], None]:
    def notify(step: int, total: int, error: float) -> None:
        bar.update(task, note=f"{name}: {step}/{total}, error {error:.4f}")

    return notify


def _check_entries(target: Target) -> None:
    assert target.parameter is not None
    if target.parameter.is_meta:
        raise ValueError(f"{target.name}: its weight is on the meta device and has no values: load the model first")
    bad = target.weights - int(target.parameter.detach().isfinite().sum())
    if bad:
        raise ValueError(
            f"{target.name}: {bad} of the {target.weights} entries of its weight are NaN or infinite, a circuit needs "
            f"finite ones: repair the weight or leave the layer out"
        )


def _count(model: nn.Module) -> int:
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if not isinstance(parameter, nn.parameter.UninitializedParameter)
    )


def _row(choice: Choice) -> Row:
    target = choice.target
    tied = tuple(place.full_name for place in target.places[1:])
    if choice.config is None:
        weights = math.prod(target.shape) if target.shape else 0
        return Row(target.name, target.kind, target.shape, weights, why=choice.why, tied=tied)
    wiring, parameters = circuit_size(target.shape, choice.config)
    route = choice.config.route
    if route == "auto":
        family, layout = choice.config.family, choice.config.arrange(target.shape)
        in_loops = family.arrays is not None
        unitary, real = in_loops and family.unitary, family.real
        route = engine.describe_route(wiring, layout, in_loops=in_loops, unitary=unitary, real=real)
    return Row(
        target.name, target.kind, target.shape, target.weights, qubits=wiring.sites, gates=len(wiring.gates),
        parameters=parameters, route=route, tied=tied,
    )  # fmt: skip


def _render(result: Plan, title: str, *, fitted: bool) -> Any:
    from rich.console import Group

    columns = ["layer", "kind", ">shape", ">weights", ">qubits", ">gates", ">parameters", ">ratio"]
    columns += [">relative error", ">seconds"] if fitted else ["route"]
    cells = []
    for row in result.compressed:
        shape = "×".join(map(str, row.shape))
        line = [row.name + "".join(f" = {name}" for name in row.tied), row.kind, shape, f"{row.weights:,}", row.qubits]
        line += [row.gates, f"{row.parameters:,}", f"{row.ratio:,.1f}"]
        if fitted:
            line += ["–" if row.relative_error is None else f"{row.relative_error:.4f}", f"{row.seconds or 0:.2f}"]
        else:
            line += [row.route]
        cells.append(line)
    totals: list[str] = [
        "total",
        "",
        "",
        f"{result.weights:,}",
        "",
        "",
        f"{result.parameters:,}",
        f"{result.ratio:,.1f}",
    ]
    totals += ["", f"{sum(row.seconds or 0 for row in result.rows):.2f}"] if fitted else [""]
    notes = [f"left alone: {row.name} ({row.why})" for row in result.skipped if row.why != "not selected"]
    rest = [row for row in result.skipped if row.why == "not selected"]
    if rest:
        names = ", ".join(row.name for row in rest[:6]) + (", …" if len(rest) > 6 else "")
        notes.append(f"not selected: {names} ({sum(row.weights for row in rest):,} weights)")
    notes.append(f"whole model: {result.model_parameters:,} parameters -> {result.model_parameters_after:,}")
    return Group(make_table(title, columns, cells, totals=totals), *notes)
