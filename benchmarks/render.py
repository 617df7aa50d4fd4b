"""The documentation's table and plots from the measured figures: ``python -m benchmarks.render``.

Reads benchmarks/results/*.json, and in folders there what other machines wrote (``python -m benchmarks --out FOLDER``);
writes docs/benchmarks-table.md, which docs/benchmarks.md includes, and docs/pictures/bench-*.svg.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.growth import Series, draw
from benchmarks.lines import COLUMNS, Line, short_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
# The page that includes the table begins behind this line; the table's own page is reachable, but in no menu.
HEAD = "---\norphan: true\n---\n\n% Written by: python -m benchmarks.render\n"
NOTHING = "No figures have been taken yet: `make bench` takes them.\n"
WORDS = {"qubits": "the number of qubits", "depth": "the depth", "batch": "the batch"}


def table_page(results: Path = RESULTS) -> str:
    """The text of docs/benchmarks-table.md.

    Args:
        results: Folder with cpu.json and cuda.json, where there are such, and with folders of other machines' files.
    """
    parts = []
    for device in ("cpu", "cuda"):
        held = read(results / f"{device}.json")
        if "table" in held:
            parts += _table(device, held["table"])
            others = [read(path) for path in sorted(results.glob(f"*/{device}.json"))]
            parts += [
                part for other in others if "table" in other for part in _elsewhere(held["table"], other["table"])
            ]
        if "growth" in held:
            parts += _growth(device, held["growth"])
    return HEAD + "\n" + ("\n".join(parts) if parts else NOTHING)


def read(path: Path) -> dict[str, Any]:
    """What a run wrote; empty where there was none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _where(held: dict[str, Any]) -> str:
    machine = held["machine"]
    place = machine["cuda"] if machine["cuda"] else machine["processor"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{place}, {machine['cores']} cores, {machine['threads']} threads, {machine['date']}; Python "
        f"{machine['python']}; {versions}. The run took {held['seconds']:.0f} s."
    )


def _table(device: str, held: dict[str, Any]) -> list[str]:
    lines = [Line.from_dict(values) for values in held["lines"]]
    short = short_rows(lines)
    said = [f"{sum(line.met is True for line in lines)} of {len(lines)} lines meet their targets."]
    said += [f"- {sentence}" for sentence in short]
    if short:
        said[0] += " These do not:\n"
    return [f"**{device.upper()}.** {_where(held)}", "", *_rows(lines), "", *said, ""]


def _rows(lines: list[Line]) -> list[str]:
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'|'.join('---' for _ in COLUMNS)}|"]
    return head + [f"| {' | '.join(cell.replace('|', '/') for cell in line.cells())} |" for line in lines]


def _by_name(lines: list[Line]) -> dict[tuple[object, ...], Line]:
    """The lines by what they compare; some compare the same twice, with another size of the other side."""
    found: dict[tuple[object, ...], Line] = {}
    for line in lines:
        name = (line.row, line.work, line.against)
        found[*name, sum(known[:3] == name for known in found)] = line
    return found


def _elsewhere(held: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Another machine's table, as far as it comes out otherwise, and what was timed there alone."""
    here, there = (_by_name([Line.from_dict(values) for values in found["lines"]]) for found in (held, other))
    changed, alone = [], []
    for key, same in there.items():
        one = here.get(key)
        if one is None:
            alone.append(same)
        elif one.met is not same.met:
            row, work, against, _, _, ratio, target, met = (cell.replace("|", "/") for cell in one.cells())
            changed.append(
                f"| {row} | {work} | {against} | {target} | {ratio}, {met} | {', '.join(same.cells()[5::2])} |"
            )
    met = sum(line.met is True for line in there.values())
    missing = len(here.keys() - there.keys())
    parts = [
        f"**Another machine.** {_where(other)} There {met} of {len(there)} lines meet their targets"
        f"{f' ({missing} of those above were not timed)' if missing else ''}; these come out otherwise than above:",
        "",
        "| # | work | against | target | ratio, met above | there |",
        "|---|---|---|---|---|---|",
        *changed,
        "",
    ]
    return parts + (["These were timed there alone:", "", *_rows(alone), ""] if alone else [])


def _growth(device: str, held: dict[str, Any]) -> list[str]:
    plots: dict[str, list[Series]] = {}
    for values in held["lines"]:
        one = Series.from_dict(values)
        plots.setdefault(one.plot, []).append(one)
    parts = [f"**Growth, {device.upper()}.** {_where(held)}", ""]
    for plot, series in plots.items():
        slopes = "; ".join(f"{one.name}: {one.slope:.2f}" for one in series)
        if device == "cpu":
            parts += [f"![Seconds against {WORDS[plot]}](pictures/bench-{plot}.svg)", ""]
        parts += [f"Slopes against {WORDS[plot]}, over the last points: {slopes}.", ""]
    return parts


def main() -> None:
    """Write the page and the pictures."""
    path = DOCS / "benchmarks-table.md"
    path.write_text(table_page(), encoding="utf-8")
    print(f"written: {path.relative_to(ROOT)}")
    held = read(RESULTS / "cpu.json")
    if "growth" in held:
        for picture in draw([Series.from_dict(values) for values in held["growth"]["lines"]], DOCS / "pictures"):
            print(f"written: {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
