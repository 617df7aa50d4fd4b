"""Stage 1 on outputs: circuits that answer real inputs as the trained layers do, rather than resemble their weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.finetune import parameter_groups
from adqc.selection import find_targets
from adqc.tables import make_table, progress_bar, to_text

# What a layer was given and what it answered, call by call.
Call = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class OutputsRow:
    """One circuit that was fitted to outputs.

    Args:
        name: The layer's name.
        before: ``Σ ||f(x) - t||² / Σ ||t||²`` over all inputs ahead of the fit, ``t`` the trained layer's output.
        after: The same behind it; never more.
        seconds: Time it took.
        why: Why the circuit was left alone; empty where it was fitted.
    """

    name: str
    before: float
    after: float
    seconds: float
    why: str = ""


@dataclass(frozen=True)
class OutputsReport:
    """What :func:`fit_outputs_` did; prints as a table."""

    rows: tuple[OutputsRow, ...]

    def __str__(self) -> str:
        cells = [
            [row.name, "–", "–", "–", row.why]
            if row.why
            else [row.name, f"{row.before:.4f}", f"{row.after:.4f}", f"{row.seconds:.2f}", ""]
            for row in self.rows
        ]
        columns = ["layer", ">error of the outputs before", ">after", ">seconds", "left alone"]
        return to_text(make_table("Fitted to the layers' outputs", columns, cells))


def fit_outputs_(
    model: nn.Module,
    dense: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int = 200,
    lr: float | None = None,
    progress: bool | None = None,
) -> OutputsReport:
    """Fit a model's circuits to the outputs of the layers they stand for, one layer after another.

    The layers take their turns in the order in which the network calls them. Each is given what the layers fitted
    before it make of the inputs, and asked for what the trained layer says in the trained network:
    ``min Σ ||f(x) - t||²``, by Adam on the circuit's parameters. No labels are used.

    Args:
        model: A model with compressed layers; their circuits are changed in place, everything else stays.
        dense: The model that it was made from, with the same names.
        batches: Inputs for calibration: tensors, or pairs ``(inputs, targets)`` whose targets are not used. All of
            them are kept in memory, and for one layer at a time its inputs and outputs.
        steps: Number of optimiser steps for each layer; each takes one batch.
        lr: Learning rate of the circuits; None for :func:`adqc.parameter_groups`' own. It goes down to zero.
        progress: True shows a progress bar on stderr, False none, None where stderr is a terminal.

    Returns:
        The error of each layer's outputs before and after; print it for a table. Circuits of tensors that are no
        layer's weight, and layers that are not called, are left alone and named.

    Raises:
        ValueError: If the model has no circuit, ``dense`` lacks one of its layers or has it in another shape, there are
            no batches or they are one tensor, ``steps`` or ``lr`` is out of range, or the trained network's outputs are
            not finite. The model is then as it was, and so it is where the network does not take a batch: its own error
            then has a note that tells which.

    Example:
        >>> import adqc
        >>> dense = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> model = copy.deepcopy(dense)
        >>> _ = adqc.compress_(model, adqc.Circuit(depth=4), select="0", progress=False)
        >>> (row,) = adqc.fit_outputs_(model, dense, [torch.randn(128, 64)], steps=20, progress=False).rows
        >>> row.after < row.before
        True

    Source: arXiv:2305.06058 (stage 1, there on weights).
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"fit_outputs_ needs a whole number of steps for each layer, at least 1, got steps={steps!r}")
    if lr is not None and not 0 < lr < math.inf:
        raise ValueError(f"fit_outputs_ needs a learning rate above 0, got lr={lr}")
    if isinstance(batches, Tensor):
        raise ValueError("fit_outputs_ takes a list of batches, and got one tensor: put it in a list")
    layers, rows = _find_layers(model)
    partners = _find_partners(dense, layers)
    kept = [_inputs(batch) for batch in batches]
    if not kept:
        raise ValueError("fit_outputs_ got no batches: give it inputs for calibration")
    before = {name: copy.deepcopy(layer.circuit.state_dict()) for name, layer in layers.items()}  # type: ignore[union-attr]
    try:
        with _looking(model, dense), progress_bar(progress) as bar:
            order = list(_listen(dense, partners, kept[:1]))
            task = bar.add_task("fitting outputs", total=len(order) * steps, note="")
            for name in order:
                bar.update(task, note=name)
                asked = _listen(dense, {name: partners[name]}, kept)[name]
                given = _listen(model, {name: layers[name]}, kept)[name]
                calls = [(x, target) for (x, _), (_, target) in zip(given, asked, strict=True)]
                if not all(target.isfinite().all() for _, target in calls):
                    raise ValueError(f"{name}: the trained network's outputs are NaN or infinite for these inputs")
                rows.append(_fit_layer_(name, layers[name], calls, steps, lr, partial(bar.advance, task)))
    except BaseException:
        for name, state in before.items():
            layers[name].circuit.load_state_dict(state)  # type: ignore[union-attr]
        raise
    rows += [OutputsRow(name, 0.0, 0.0, 0.0, "the network does not call it") for name in layers if name not in order]
    return OutputsReport(tuple(rows))


def _find_layers(model: nn.Module) -> tuple[dict[str, nn.Module], list[OutputsRow]]:
    layers: dict[str, nn.Module] = {}
    rows = []
    for target in find_targets(model):
        if target.wall is None:
            continue
        place = next((place for place in target.places if place.is_layer), None)
        if place is None:
            rows.append(OutputsRow(target.name, 0.0, 0.0, 0.0, "it is no layer's weight"))
        else:
            layers[place.path] = place.module
    if not layers:
        raise ValueError("fit_outputs_ found no compressed layer: use adqc.compress_ first")
    return layers, rows


def _find_partners(dense: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    modules = dict(dense.named_modules())
    for name, layer in layers.items():
        shape = layer.circuit.shape
        found = getattr(modules.get(name), "weight", None)
        if not isinstance(found, Tensor) or tuple(found.shape) != shape:
            seen = f"one of shape {tuple(found.shape)}" if isinstance(found, Tensor) else "none"
            raise ValueError(
                f"the dense model must have a layer {name!r} with a weight of shape {shape}, and has {seen}: give the "
                "model that was compressed, or a copy"
            )
    return {name: modules[name] for name in layers}


def _inputs(batch: Any) -> Any:
    return batch[0] if isinstance(batch, list | tuple) and len(batch) == 2 else batch


@contextmanager
def _looking(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each layer called as such: torch's fused encoder would pass the layers by."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for model in models:
            model.eval()
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def _listen(model: nn.Module, layers: Mapping[str, nn.Module], batches: Sequence[Any]) -> dict[str, list[Call]]:
    """What these layers are given and answer, in the order of their first calls."""
    heard: dict[str, list[Call]] = {}
    place = next(model.parameters()).device

    def note(name: str, _: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
        heard.setdefault(name, []).append(((*inputs, *named.values())[0], output))

    handles = [layer.register_forward_hook(partial(note, name), with_kwargs=True) for name, layer in layers.items()]
    try:
        for number, batch in enumerate(batches, 1):
            try:
                model(batch.to(place) if isinstance(batch, Tensor) else batch)
            except Exception as error:
                seen = f"a tensor of shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
                error.add_note(f"fit_outputs_ gave the network batch {number}, {seen}, which it does not take")
                raise
    finally:
        for handle in handles:
            handle.remove()
    return heard


def _fit_layer_(
    name: str, layer: nn.Module, calls: Sequence[Call], steps: int, lr: float | None, advance: Any
) -> OutputsRow:
    began = time.perf_counter()
    # In half precision small steps are lost; and of a copy the gradients concern nobody.
    work = copy.deepcopy(layer)
    wall: BrickWall = work.circuit  # type: ignore[assignment]
    work.requires_grad_(False)
    if wall.scale.dtype.itemsize < 4:
        work.float()
    wall.requires_grad_(True)
    dtype = wall.scale.dtype
    wide = [(x.to(dtype) if x.is_floating_point() else x, target.to(dtype)) for x, target in calls]
    power = sum(float(target.square().sum()) for _, target in wide) or 1.0
    entries = sum(target.numel() for _, target in wide)
    optimizer = torch.optim.Adam(parameter_groups(wall, circuit_lr=lr))
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    with torch.enable_grad():
        for step in range(steps):
            x, target = wide[step % len(wide)]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            loss = (work.forward(x) - target).square().mean() * (entries / power)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            advance()
    own: BrickWall = layer.circuit  # type: ignore[assignment]
    earlier = [parameter.detach().clone() for parameter in own.parameters()]
    before = _error(layer, calls) / power
    _write_(own, wall.parameters())
    after = _error(layer, calls) / power
    if not after < before:
        _write_(own, earlier)
        after = before
    return OutputsRow(name, before, after, time.perf_counter() - began)


@torch.no_grad()
def _write_(wall: BrickWall, values: Iterable[Tensor]) -> None:
    for parameter, value in zip(wall.parameters(), values, strict=True):
        parameter.copy_(value)


@torch.no_grad()
def _error(layer: nn.Module, calls: Sequence[Call]) -> float:
    # Past the layer's hooks, which are for the network's own calls.
    return sum(float((layer.forward(x) - target).float().square().sum()) for x, target in calls)
