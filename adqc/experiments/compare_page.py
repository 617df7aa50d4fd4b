"""A comparison's table and page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from adqc.experiments.methods import FLAT, TITLES, WHOLE


def table(found: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Column names (a leading ``>`` aligns to the right) and cells of the comparison."""
    heads: tuple[str, ...] = ("method", ">budget", ">parameters", ">without gauge", ">whole network")
    heads = (*heads, ">test accuracy, %", ">seconds", ">rate", "start")
    rows: list[tuple[str, ...]] = []
    for row in found["rows"]:
        budget = f"{row['budget']:,}" if row["budget"] else "–"
        name = TITLES[row["method"]]
        if not row["seeds"]:
            rows.append((name, budget, "–", "–", "–", "does not fit", "–", "–", "–"))
            continue
        spread = f" ± {row['deviation']:.2f}" if row["seeds"] > 1 else ""
        rate = f"× {row['rate']:.2g}" if row["method"] in WHOLE else f"{row['rate']:.3g}"
        factor = row.get("factor", 1.0)
        rate += f", rest × {factor:.2g}" if factor != 1 else ""
        rows.append(
            (
                name,
                budget,
                "–" if row["parameters"] is None else f"{row['parameters']:,}",
                "–" if row["dimension"] is None else f"{row['dimension']:,}",
                f"{row['whole']:,}",
                f"{row['accuracy']:.2f}{spread}" + (f" ({row['failed']} failed)" if row["failed"] else ""),
                f"{row['seconds'] + row['start_seconds']:.0f}",
                rate,
                "–" if row["method"] in WHOLE else row["start"],
            )
        )
    return heads, rows


def to_markdown(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, below its title."""
    marks = ["---:" if head.startswith(">") else "---" for head in heads]
    lines = [[head.lstrip(">") for head in heads], marks, *rows]
    return f"**{title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def find_front(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """The points that no other beats: none has as few parameters or fewer, and a higher accuracy.

    Example:
        >>> find_front([(300, 95.0), (200, 96.0), (400, 97.0)])
        [[200, 96.0], [400, 97.0]]
    """
    front: list[list[float]] = []
    for place, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append([place, value])
    return front


def leave_out(
    series: Mapping[str, Sequence[Sequence[float]]], levels: Mapping[str, float]
) -> tuple[dict[str, list[Sequence[float]]], str]:
    """The points that a picture has room for, and a sentence that names the methods of the others.

    Methods far below layers frozen at random would press all others into a narrow band: those that are further below
    them than half of what the dense network is above them are left out.

    Args:
        series: Name of each method and its points: parameters, accuracy, deviation.
        levels: Accuracy of the methods that do not depend on the budget; all points stay where one of the two is not
            there, or all lie so low.

    Example:
        >>> levels = {TITLES["frozen"]: 80.0, TITLES["dense"]: 90.0}
        >>> leave_out({"hashing": [(300, 85.0, 0.1)], "low rank": [(300, 60.0, 2.0)]}, levels)
        ({'hashing': [(300, 85.0, 0.1)]}, ' Not shown, below 75.0 %: low rank.')
    """
    frozen, dense = levels.get(TITLES["frozen"], math.inf), levels.get(TITLES["dense"], -math.inf)
    floor = frozen - (dense - frozen) / 2 if frozen < dense else -math.inf
    if all(point[1] < floor for points in series.values() for point in points):
        floor = -math.inf
    shown = {name: [point for point in points if point[1] >= floor] for name, points in series.items()}
    gone = [name for name, points in series.items() if len(shown[name]) < len(points)]
    sentence = f" Not shown, below {floor:.1f} %: {', '.join(gone)}." if gone else ""
    return {name: points for name, points in shown.items() if points}, sentence


def picture(found: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy of each method against its parameters, for :func:`adqc.experiments.page.draw`."""
    series: dict[str, list[list[float]]] = {}
    levels = {}
    for row in found["rows"]:
        if not row["seeds"]:
            continue
        if row["method"] in FLAT:
            levels[TITLES[row["method"]]] = row["accuracy"]
        else:
            # The narrow network and frozen circuits stand at the budget that they share with the others.
            point = [row["parameters"] or row["budget"], row["accuracy"], row["deviation"]]
            series.setdefault(TITLES[row["method"]], []).append(point)
    seeds = found["settings"]["seeds"]
    shown, missing = leave_out(series, levels)
    return {
        "series": shown,
        "names": _names(found),
        "levels": levels,
        "what": "test accuracy, %",
        "against": "parameters in the layers",
        "log": True,
        "front": find_front([place[:2] for own in shown.values() for place in own]),
        "alt": f"Test accuracy of each method against its parameters, {found['title']}",
        "caption": f"Mean and standard deviation over {seeds} seed{'s' * (seeds > 1)}.{missing}",
    }


def _names(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(TITLES[row["method"]] for row in found["rows"]))


def describe(found: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison as a page: tables and pictures for :func:`adqc.experiments.page.write_page`."""
    heads, rows = table(found)
    layers = ", ".join(found["layers"])
    return {
        "intro": f"{layers}: {found['weights']:,} weights, replaced by each method within each budget. All start from "
        f"the same dense network and train on the same schedule; epochs: {found['recipe']['finetune']['epochs']}.",
        "parts": [
            {"title": "Accuracy against parameters", "pictures": [picture(found)]},
            {
                "title": "Training",
                "pictures": [
                    {
                        "series": {
                            TITLES[method]: [[epoch, value, 0.0] for epoch, value in enumerate(values, 1)]
                            for method, values in found["curves"].items()
                        },
                        "names": _names(found),
                        "what": "test accuracy, %",
                        "against": "epoch of stage 2",
                        "alt": f"Test accuracy of each method after each epoch, {found['title']}",
                        "caption": "The largest budget, first seed.",
                    }
                ],
            },
            {"title": "Table", "heads": list(heads), "rows": [list(row) for row in rows]},
        ],
        "notes": [
            "Parameters are the numbers stored in the place of the layers, counted for every method alike. “Without "
            "gauge” leaves out, for every method alike, those that only choose between equal weights (for circuits an "
            "upper bound). Positions of pruned entries and seeds of random numbers are not counted; of circuits "
            "frozen at their start nothing else is stored.",
            "Each method has its best learning rate and start (from scratch, with the epochs of both schedules; in the "
            "trained dense network, fitted to its weights or random) of a small grid, chosen at the middle budget on "
            "training images held out; rates with × are factors of the recipe's.",
            "The narrow dense network is the same network with all widths scaled, so that it has as many parameters in "
            "all as the compressed ones; it and the dense network have trained for the epochs of both schedules.",
        ],
    }
