"""Pictures of the report, each a piece of HTML: curves and circuits as inline SVG, weights as PNG."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adqc.brickwall import BrickWall

# Colours that stand in matplotlib's output for the page's own, which change between light and dark.
INK, GRID = "#010203", "#010204"
SERIES = tuple(f"#0102{k:02x}" for k in range(16, 26))
COLORS = {INK: "currentColor", GRID: "var(--line)", **{color: f"var(--s{k})" for k, color in enumerate(SERIES)}}
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "d")
LARGEST_SIDE = 400
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))


def curves(
    series: Mapping[str, Sequence[float]],
    what: str,
    *,
    alt: str,
    log: bool = False,
    level: tuple[str, float] | None = None,
    first: int = 0,
) -> str:
    """Figures against epochs.

    Args:
        series: Name of each curve and its value after each epoch.
        what: Name of the values.
        alt: What the picture shows, in words.
        log: Whether the values' axis is logarithmic.
        level: Name and height of a line for comparison.
        first: Number of the first colour.
    """
    figure, axes = _axes(what, "epoch")
    for number, (name, values) in enumerate(series.items(), first):
        style = {"color": SERIES[number], "linestyle": DASHES[number], "marker": ".", "markersize": 4}
        axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1.6, **style)
    if level is not None:
        axes.axhline(level[1], color=SERIES[4], linestyle=DASHES[4], linewidth=1.2, label=level[0])
    if log:
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _finish(figure, axes, alt, legend=len(series) > 1)


def points(
    series: Mapping[str, Sequence[Sequence[float]]],
    what: str,
    against: str,
    *,
    alt: str,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    labels: Sequence[str] = (),
    front: Sequence[Sequence[float]] = (),
    names: Sequence[str] = (),
) -> str:
    """Figures against something, with their deviations.

    Args:
        series: Name of each curve and its points: place, value, deviation.
        what: Name of the values.
        against: Name of the places.
        alt: What the picture shows, in words.
        log: Whether the places' axis is logarithmic.
        levels: Name and height of lines for comparison.
        labels: Names of the places 0, 1, …, where they are no numbers.
        front: Places and values that no other point beats in both, from left to right.
        names: All names of the page, so that each has the same colour in all of its pictures.
    """
    order = {name: number for number, name in enumerate(dict.fromkeys([*names, *series]))}
    figure, axes = _axes(what, against)
    figure.set_size_inches(5.6, 4.2 + 0.12 * len(series))
    for name, own in series.items():
        number = order[name]
        color, mark, dash = _style(number)
        places, values, errors = zip(*sorted(map(tuple, own)), strict=True)
        style = {"color": color, "marker": mark, "linestyle": dash, "markersize": 4}
        axes.errorbar(places, values, yerr=errors, label=name, linewidth=1.3, elinewidth=0.9, capsize=2, **style)
    if front:
        places, values = zip(*front, strict=True)
        axes.step(places, values, where="post", color=INK, alpha=0.18, linewidth=5, label="best for its size", zorder=0)
    for number, (name, level) in enumerate((levels or {}).items()):
        axes.axhline(level, color=INK, linestyle=DASHES[1 + number], linewidth=1, label=name)
    if log:
        from matplotlib.ticker import FuncFormatter, LogLocator

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 3, 5, 7)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    elif labels:
        axes.set_xticks(range(len(labels)), labels, rotation=25 if len(labels) > 4 else 0)
    elif all(float(point[0]).is_integer() for own in series.values() for point in own):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _finish(figure, axes, alt, legend=len(series) + len(levels or {}) > 1)


def spectrum(series: Mapping[str, Tensor], *, alt: str) -> str:
    """Singular values, largest first, on a logarithmic axis.

    Args:
        series: Name of each weight and its singular values.
        alt: What the picture shows, in words.
    """
    figure, axes = _axes("singular value", "number")
    # The dense weight is the thing compared with, the circuit keeps its colour of the other pictures.
    order = {"circuit": 0, "dense": 4}
    for number, (name, values) in enumerate(series.items(), 1):
        style = order.get(name, number - 1)
        # What is below single precision is rounding.
        kept = values[values > 1e-6]
        axes.plot(
            range(1, len(kept) + 1),
            kept.tolist(),
            label=name,
            linewidth=1.6,
            color=SERIES[style],
            linestyle=DASHES[style],
        )
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _finish(figure, axes, alt, legend=True)


def _style(number: int) -> tuple[str, str, Any]:
    # Past the last colour other marks and dashes begin.
    dash = DASHES[(number + number // len(SERIES)) % len(DASHES)]
    return SERIES[number % len(SERIES)], MARKS[number % len(MARKS)], dash


def _axes(what: str, against: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.5, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel(what, color=INK)
    axes.set_xlabel(against, color=INK)
    axes.tick_params(which="both", colors=INK, width=0.8)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    return figure, axes


def _finish(figure: Any, axes: Any, alt: str, *, legend: bool) -> str:
    import matplotlib

    if legend:
        # Above the curves, where it hides none of them.
        axes.legend(
            frameon=False,
            labelcolor=INK,
            fontsize="small",
            ncols=2,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderpad=0,
        )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    out = io.StringIO()
    # Text stays text: it can be read aloud, searched, and takes the page's font and colour.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt, "font.size": 10}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'font: ([\d.]+px) [^;"]*', r"font-size: \1; font-family: inherit", svg)
    for color, own in COLORS.items():
        svg = svg.replace(color, own)
    # Ids are names in the whole page: each picture gets its own.
    own = f"p{abs(hash_text(alt))}-"
    svg = re.sub(r'\bid="', f'id="{own}', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}", svg)
    svg = re.sub(r'\b(width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt, quote=True)}"', 1)


def hash_text(text: str) -> int:
    """A number for a text, the same in every process."""
    import zlib

    return zlib.crc32(text.encode())


def color_limit(weight: Tensor) -> float:
    """The value at the end of the colour scale: 99 % of the entries lie within."""
    # A million entries say enough, and torch takes no quantile of many millions.
    entries = weight.abs().flatten()
    return float(entries[:: max(1, len(entries) // 1_000_000)].quantile(0.99)) or 1.0


def matrix(weight: Tensor, *, alt: str) -> str:
    """A matrix as a picture, one pixel an entry, blue to red; of a large one its upper left corner.

    Args:
        weight: (rows, columns); long sides are shown first axis down.
        alt: What the picture shows, in words.
    """
    from matplotlib import colormaps
    from matplotlib.image import imsave

    limit = color_limit(weight)
    out = io.BytesIO()
    shades = colormaps["RdBu_r"](((weight[:LARGEST_SIDE, :LARGEST_SIDE] / limit).clamp(-1, 1).numpy() + 1) / 2)
    imsave(out, shades, format="png", metadata={"Software": ""})
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt, quote=True)}">'


@torch.no_grad()
def entanglement(gates: Tensor) -> Tensor:
    """How much each gate entangles: the entropy of its operator Schmidt values, 0 (a product) to 1.

    Args:
        gates: (G, 4, 4).

    Returns:
        (G,).

    Source: Zanardi, arXiv:quant-ph/0010074.
    """
    # shape: (gate, out a, out b, in a, in b) -> (gate, a's indices, b's indices)
    operators = gates.reshape(-1, 2, 2, 2, 2).permute(0, 1, 3, 2, 4).reshape(-1, 4, 4)
    shares = torch.linalg.svdvals(operators).square()
    shares = shares / shares.sum(1, keepdim=True)
    entropy: Tensor = -(shares * shares.clamp_min(1e-30).log()).sum(1) / math.log(4)
    return entropy


def circuit(wall: BrickWall, *, alt: str) -> str:
    """A circuit as a drawing of lines and bricks.

    Args:
        wall: The circuit.
        alt: What the picture shows, in words.
    """
    step, column, left, top = 16, 20, 64, 10
    moments = wall.wiring.moments
    width, height = left + column * len(moments) + 12, top + step * wall.sites
    strength = entanglement(wall.matrices().detach()).tolist()
    parts = []
    for site, label in enumerate(_bit_labels(wall)):
        y = top + step * site
        parts.append(f'<text x="{left - 8}" y="{y + 3.5}" text-anchor="end" fill="currentColor">{label}</text>')
        parts.append(f'<line x1="{left - 3}" x2="{width - 3}" y1="{y}" y2="{y}" stroke="currentColor" opacity="0.45"/>')
    for number, moment in enumerate(moments):
        x = left + column * number + 4
        for gate in moment:
            sites = wall.wiring.gates[gate]
            y, tall = top + step * sites[0] - 5, step * (len(sites) - 1) + 10
            shape = f'x="{x}" y="{y}" width="{column - 8}" height="{tall}" rx="3"'
            # The paper's colour first, so that the lines do not shine through.
            parts.append(f'<rect {shape} fill="var(--card)"/>')
            parts.append(
                f'<rect {shape} fill="var(--s0)" fill-opacity="{0.12 + 0.88 * min(1.0, strength[gate]):.2f}" '
                f'stroke="var(--s0)"/>'
            )
    return (
        f'<svg class="natural" role="img" aria-label="{html.escape(alt, quote=True)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-size="10" font-family="inherit">{"".join(parts)}</svg>'
    )


def _bit_labels(wall: BrickWall) -> list[str]:
    bits = wall.layout.bits
    known = {2: ("row", "column"), 4: ("out", "in", "y", "x")}
    names = known.get(len(bits), tuple(f"axis {k}:" for k in range(len(bits))))
    labels = [f"{name} {bit}" for name, count in zip(names, bits, strict=True) for bit in range(count)] or ["–"]
    return [labels[bit] for bit in wall.layout.order]
