"""Which way a layer takes from its circuit to its output, and what each way costs."""

from __future__ import annotations

import copy
import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from adqc.at_once import is_undone
from adqc.brickwall import BrickWall
from adqc.engine import describe_route
from adqc.linear_at_once import makes_tiles
from adqc.matrix_free import (
    built_linear,
    choose,
    find_chain,
    goes_in_loops,
    predict,
    predict_built,
    predict_turned,
    round_batch,
    turned_linear,
    turns_input,
)
from adqc.tables import make_table, to_text

# A layer is used in three situations; whether a backward pass follows, and whether what is built is kept.
SITUATIONS = {"training step": (True, False), "inference, built anew": (False, False), "inference, kept": (False, True)}


@dataclasses.dataclass(frozen=True)
class Way:
    """One way in one situation.

    Args:
        situation: One of :data:`SITUATIONS`.
        way: ``"build"``, ``"matrix-free"``, or ``"turned input"`` where a linear layer takes its input's coefficients
            of cosines rather than its weight from them.
        chosen: Whether ``route="auto"`` takes it.
        predicted: What the cost model says, in seconds of a typical machine; only ratios count.
        measured: Seconds here; None where it was not run.
        note: How it is done.
    """

    situation: str
    way: str
    chosen: bool
    predicted: float
    measured: float | None
    note: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What :func:`explain` found; printed, it is a table."""

    title: str
    ways: tuple[Way, ...]

    def __str__(self) -> str:
        columns = ["situation", "way", "chosen", ">predicted [ms]", ">measured [ms]", "how"]
        cells = [
            [
                w.situation,
                w.way,
                "yes" if w.chosen else "",
                _milliseconds(w.predicted),
                _milliseconds(w.measured),
                w.note,
            ]
            for w in self.ways
        ]
        return to_text(make_table(self.title, columns, cells))


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.3g}"


def explain(layer: nn.Module, batch: int | Tensor, *, measure: bool = True) -> Explanation:
    """The choice that a layer makes for a batch, and the predicted and measured cost of each way.

    Args:
        layer: A layer of :mod:`adqc.nn`.
        batch: An input, of which a training step takes the gradient where it requires one, as one from another layer
            does and data do not; or the number of inputs (or indices) for ``Linear`` and ``Embedding``, as from another
            layer.
        measure: Whether to run each way, too; the layer is left as it is.

    Returns:
        The table.

    Raises:
        TypeError: If the layer has no circuit of its own.
        ValueError: If the batch is no input of the layer and no number of at least 1, or a convolution gets a number.

    Example:
        >>> import adqc
        >>> layer = adqc.nn.Linear(64, 64, circuit=adqc.Circuit(depth=4))
        >>> [way.way for way in adqc.explain(layer, 8, measure=False).ways if way.chosen]
        ['build', 'build', 'build']
    """
    wall = getattr(layer, "circuit", None)
    if not isinstance(wall, BrickWall):
        raise TypeError(f"explain needs a layer of adqc.nn, got {type(layer).__name__}: compress it first")
    use, x, count = _prepare(layer, wall, batch)
    ways = []
    for situation, (training, kept) in SITUATIONS.items():
        rounded = round_batch(count)
        chain = find_chain(wall, rounded, use=use, kept=kept)
        taken = choose(wall, count, use=use, kept=kept, training=training)
        turned = predict_turned(wall, rounded, kept=kept, training=training) if use == "linear" else None
        turns = turned is not None and turns_input(wall, rounded, kept=kept, training=training)
        built = predict_built(wall, rounded, use=use, kept=kept, training=training)
        own = wall.config.route if wall.config.route not in ("auto", "matrix-free") else "auto"
        how = own
        if own == "auto":
            loops = goes_in_loops(wall)
            unitary, real = loops and is_undone(wall), wall.family.real
            how = describe_route(wall.wiring, wall.layout, in_loops=loops, unitary=unitary, real=real)
        given = x if training else x.detach()
        if isinstance(layer, nn.Linear) and not kept and makes_tiles(wall, given, layer.bias):
            how += ", tile by tile"
        runs = measure and _fits(wall)
        seconds = _measure(layer, x, own, training, kept, _built) if runs else None
        # Routes are choices of the wall as well: "auto" with a chain is matrix-free, all else builds.
        ways.append(Way(situation, "build", taken is None and not turns, built, seconds, how))
        if turned is not None:
            seconds = _measure(layer, x, own, training, kept, turned_linear) if runs else None
            note = f"{math.prod(wall.layout.shape[1:])} coefficients of cosines; weight by {how}"
            ways.append(Way(situation, "turned input", turns, turned, seconds, note))
        if chain is None:
            continue
        free, _ = predict(wall, chain, rounded, use=use, kept=kept, training=training)
        seconds = _measure(layer, x, "matrix-free", training, kept) if measure else None
        sizes = " · ".join(f"{r}×{c}" for r, c in zip(chain.rows, chain.columns, strict=True))
        note = f"pieces {sizes}, bonds {', '.join(map(str, chain.bonds))}" + ", and a gate" * len(chain.peeled)
        ways.append(Way(situation, "matrix-free", taken is not None, free, seconds, note))
    title = f"{type(layer).__name__} {'×'.join(map(str, wall.shape))}, {wall.sites} qubits, batch {count:,}"
    return Explanation(title, tuple(ways))


def _prepare(layer: nn.Module, wall: BrickWall, batch: int | Tensor) -> tuple[str, Tensor, int]:
    device, dtype = wall.scale.device, wall.scale.dtype
    if not isinstance(batch, Tensor) and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise ValueError(f"explain needs an input, or a number of inputs of at least 1, got {batch!r}")
    if isinstance(batch, Tensor) and isinstance(layer, nn.Linear) and batch.shape[-1:] != (wall.shape[1],):
        raise ValueError(f"{type(layer).__name__} takes inputs of shape (…, {wall.shape[1]}), got {tuple(batch.shape)}")
    if isinstance(layer, nn.Embedding):
        index = batch if isinstance(batch, Tensor) else torch.randint(wall.shape[0], (batch,), device=device)
        return "lookup", index, index.numel()
    if isinstance(layer, nn.Linear):
        x = batch if isinstance(batch, Tensor) else torch.randn(batch, wall.shape[1], device=device, dtype=dtype)
        x = x.reshape(-1, x.shape[-1]).detach().requires_grad_(not isinstance(batch, Tensor) or batch.requires_grad)
        return "linear", x, len(x)
    if not isinstance(batch, Tensor):
        raise ValueError(f"explain needs an input for {type(layer).__name__}, as its size counts, got {batch!r}")
    steps: tuple[int, ...] = layer.stride  # type: ignore[assignment]
    count = batch.shape[0] * math.prod(-(-n // step) for n, step in zip(batch.shape[2:], steps, strict=True))
    return "conv", batch, count


def _fits(wall: BrickWall) -> bool:
    return math.prod(wall.layout.padded) <= 2**26


def _measure(
    layer: Any, x: Tensor, route: str, training: bool, kept: bool, use: Callable[[Any, Tensor], Tensor] | None = None
) -> float:
    """Seconds of a pass through a copy of the layer; ``use`` stands for its own forward."""
    twin = copy.deepcopy(layer).train(not kept)
    # Building is forced by any route but auto and matrix-free; halves falls back to fused where it must.
    twin.circuit.config = dataclasses.replace(twin.circuit.config, route=route)
    if use is not None:
        twin.forward = partial(use, twin)
    x = x.detach().requires_grad_(training and x.requires_grad)

    def run() -> None:
        with torch.set_grad_enabled(training):
            y = twin(x)
            if training:
                y.sum().backward()

    return median_seconds(run, x.device)


def _built(layer: Any, x: Tensor) -> Tensor:
    """The layer's forward with the weight."""
    if isinstance(layer, nn.Linear):
        found = built_linear(layer, x)
        return torch.nn.functional.linear(x, layer.weight, layer.bias) if found is None else found
    if isinstance(layer, nn.Embedding):
        return torch.nn.functional.embedding(x, layer.weight, layer.padding_idx)
    convolved: Tensor = layer._conv_forward(x, layer.weight, layer.bias)
    return convolved


def median_seconds(run: Callable[[], object], device: torch.device, *, budget: float = 0.2) -> float:
    """Median time of a call, over at least 3 calls and about ``budget`` seconds, after two to warm up."""
    # The second one is the first to find memory that it had before.
    run()
    run()
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < budget:
        _wait(device)
        begin = time.perf_counter()
        run()
        _wait(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
