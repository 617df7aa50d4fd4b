"""The lines of the table: what was compared, the two figures, the target, and whether it is met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.table import Table

# The two layouts that the targets speak of; "grouped" is one of wide gates.
LAYOUTS = ("interleaved", "rows-first")
COLUMNS = ("#", "work", "against", "adqc", "other", "ratio", "target", "met")


@dataclass(frozen=True)
class Line:
    """One comparison.

    Args:
        row: Number of the row of targets that it belongs to.
        work: What is done.
        against: What it is compared with.
        ours: Figure of adqc.
        theirs: Figure of the other side; None where it did not run.
        at_least: Where set, ``theirs / ours`` shall be at least this.
        at_most: Where set, ``ours / theirs`` shall be at most this.
        unit: ``"s"`` or ``"bytes"``.
        note: What else is to be said, or why the other side did not run.
        ratios: The ratios of all rounds, where there was more than one.
    """

    row: int
    work: str
    against: str
    ours: float
    theirs: float | None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "s"
    note: str = ""
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        """The ratio that the target speaks of."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.at_least is None else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where the other side did not run."""
        if self.ratio is None:
            return None
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return self.at_most is None or self.ratio <= self.at_most

    def to_dict(self) -> dict[str, Any]:
        """Every figure, for the JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Line:
        """The line that :meth:`to_dict` wrote."""
        # Files that are older than a field go without it.
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**{**known, "ratios": tuple(values.get("ratios", ()))})

    def cells(self) -> list[str]:
        """The texts of :data:`COLUMNS`."""
        target = f"≥ {self.at_least:g}×" if self.at_least is not None else f"≤ {self.at_most:g}×"
        ratio = "–" if self.ratio is None else f"{self.ratio:.3g}×"
        if self.ratios:
            ratio += f" ({min(self.ratios):.3g} to {max(self.ratios):.3g})"
        met = {True: "yes", False: "no", None: "–"}[self.met]
        against = f"{self.against} ({self.note})" if self.note else self.against
        shown = [in_words(self.ours, self.unit), in_words(self.theirs, self.unit)]
        return [str(self.row), self.work, against, *shown, ratio, target, met]


def middle(rounds: Sequence[Line]) -> Line:
    """Of some rounds' figures of one line those with the median ratio, and the ratios of all."""
    ranked = sorted((line for line in rounds if line.ratio is not None), key=lambda line: line.ratio or 0.0)
    if not ranked:
        return rounds[0]
    ratios = tuple(line.ratio for line in ranked if line.ratio is not None)
    return replace(ranked[len(ranked) // 2], ratios=ratios if len(rounds) > 1 else ())


def in_words(figure: float | None, unit: str) -> str:
    """A figure with its unit, three digits."""
    if figure is None:
        return "–"
    if unit == "s":
        return f"{figure:.3g} s" if figure >= 1 else f"{1e3 * figure:.3g} ms"
    for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if figure >= size:
            return f"{figure / size:.3g} {name}"
    return f"{figure:.0f} B"


def make_table(lines: Iterable[Line], title: str) -> Table:
    """The table, for the terminal."""
    table = Table(title=title)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("#", "adqc", "other", "ratio", "target") else "left")
    before = None
    for line in lines:
        if before is not None and line.row != before:
            table.add_section()
        before = line.row
        table.add_row(*line.cells(), style="red" if line.met is False else None)
    return table


def short_rows(lines: Iterable[Line]) -> list[str]:
    """What is to be said at the end: one sentence for each line that misses its target or could not be compared."""
    found = []
    for line in lines:
        number, work, against, *_, ratio, target, _ = line.cells()
        if line.met is False:
            found.append(f"row {number}, {work}, against {against}: {ratio} where {target} was asked for")
        elif line.met is None:
            found.append(f"row {number}, {work}: not compared with {against}")
    return found
