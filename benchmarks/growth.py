"""Cost as work grows: seconds against the number of qubits, the depth and the batch, and the slopes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import adqc
from benchmarks.lines import LAYOUTS
from benchmarks.timing import Setup, Work, medians, training_step
from benchmarks.weights import weight_step

# Gate by gate in torch takes seconds beyond these.
MOST_QUBITS, MOST_DEPTH = 20, 8
# The slope is that of the last points, where overhead no longer counts.
LAST = 4
COLOURS = ("#4f7cd8", "#259b82", "#d98a1f", "#79818c")


@dataclass(frozen=True)
class Series:
    """One line of a plot.

    Args:
        plot: ``"qubits"``, ``"depth"`` or ``"batch"``.
        name: What was run.
        sizes: What grows; for qubits the number of weights, 2^Q.
        seconds: Median seconds of a call.
    """

    plot: str
    name: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Exponent of a power law through the last points, by least squares."""
        xs, ys = ([math.log(v) for v in values[-LAST:]] for values in (self.sizes, self.seconds))
        middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - middle) ** 2 for x in xs)
        return sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True)) / spread if spread else math.nan

    def to_dict(self) -> dict[str, Any]:
        """For the JSON."""
        return {**asdict(self), "slope": self.slope}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Series:
        """The series that :meth:`to_dict` wrote."""
        return cls(values["plot"], values["name"], tuple(values["sizes"]), tuple(values["seconds"]))


def grow(setup: Setup) -> Iterator[Series]:
    """All series of the three plots."""
    yield from _series("qubits", _by_qubits(setup), setup)
    yield from _series("depth", _by_depth(setup), setup)
    yield from _series("batch", _by_batch(setup), setup)


Point = tuple[int, dict[str, Callable[[], Work]]]


def _series(plot: str, points: Iterable[Point], setup: Setup) -> list[Series]:
    found: dict[str, list[tuple[int, float]]] = {}
    for size, makers in points:
        for name, seconds in medians({name: make() for name, make in makers.items()}, setup).items():
            found.setdefault(name, []).append((size, seconds))
    return [Series(plot, name, *zip(*pairs, strict=True)) for name, pairs in found.items()]


def _wall(sites: int, depth: int, setup: Setup, gate: str = "cartan") -> adqc.BrickWall:
    shape = (2 ** (sites // 2), 2 ** (sites - sites // 2))
    generator = torch.Generator().manual_seed(0)
    return adqc.BrickWall(shape, adqc.Circuit(depth=depth, gate=gate), generator=generator, device=setup.device)


def _by_qubits(setup: Setup) -> Iterator[Point]:
    for sites in (6, 8) if setup.small else range(14, 27, 2):
        makers = {}
        for depth in (4, 8):
            wall = _wall(sites, depth, setup)
            makers[f"adqc, depth {depth}"] = lambda wall=wall: weight_step(wall)
            if depth == 4 and sites <= MOST_QUBITS:
                makers[f"gate by gate, depth {depth}"] = lambda wall=wall: weight_step(wall, "gates")
        yield 2**sites, makers


def _by_depth(setup: Setup) -> Iterator[Point]:
    for depth in (2, 4) if setup.small else (2, 4, 8, 16, 32, 64):
        walls = {gate: _wall(8 if setup.small else 20, depth, setup, gate) for gate in ("cartan", "cartan-su4", "free")}
        makers = {f"adqc, {gate}": lambda wall=wall: weight_step(wall) for gate, wall in walls.items()}
        if depth <= MOST_DEPTH:
            makers["gate by gate, cartan"] = lambda wall=walls["cartan"]: weight_step(wall, "gates")
        yield depth, makers


def _by_batch(setup: Setup) -> Iterator[Point]:
    side = setup.size(1024)
    layers: dict[str, nn.Module] = {"nn.Linear": nn.Linear(side, side, device=setup.device)}
    for layout in LAYOUTS:
        config = adqc.Circuit(depth=setup.depth(6), layout=layout)
        generator = torch.Generator().manual_seed(0)
        layers[f"adqc, {layout}"] = adqc.nn.Linear(side, side, device=setup.device, circuit=config, generator=generator)
    for batch in (1, 4) if setup.small else [4**k for k in range(7)]:
        x = torch.randn(batch, side, device=setup.device)
        yield batch, {name: lambda layer=layer, x=x: training_step(layer, x) for name, layer in layers.items()}


TITLES = {
    "qubits": ("weights, 2^Q (Q = 14 to 26)", "The weight, forward and backward"),
    "depth": ("depth", "The weight of 20 qubits, forward and backward"),
    "batch": ("batch", "Linear(1024, 1024), depth 6, training step"),
}


def draw(series: Sequence[Series], folder: Path) -> list[Path]:
    """One log-log plot for each of the three, as SVG; the same figures give the same file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    for plot in dict.fromkeys(one.plot for one in series):
        words, title = TITLES[plot]
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for one, colour in zip((one for one in series if one.plot == plot), COLOURS, strict=False):
            label = f"{one.name}: slope {one.slope:.2f}"
            axes.loglog(one.sizes, [1e3 * s for s in one.seconds], "o-", color=colour, label=label)
        axes.set(xlabel=words, ylabel="milliseconds", title=title)
        axes.set_xscale("log", base=2)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        path = folder / f"bench-{plot}.svg"
        with mpl.rc_context({"svg.hashsalt": plot, "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None})
        paths.append(path)
    return paths
