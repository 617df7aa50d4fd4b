"""Tables and progress bars for people: plain text in a pipe, coloured in a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any


def make_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, totals: Sequence[object] = ()
) -> Any:
    """A ``rich.table.Table``.

    Args:
        title: Its heading.
        columns: The column names; a leading ``>`` aligns to the right.
        rows: The cells of each row.
        totals: The cells of a last row, set apart; none if empty.
    """
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_footer=bool(totals))
    for k, column in enumerate(columns):
        footer = str(totals[k]) if totals else ""
        table.add_column(column.lstrip(">"), footer, justify="right" if column[0] == ">" else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def to_text(table: Any) -> str:
    """A rich renderable as plain text, as wide as it needs to be."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=500, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(table)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines()).strip("\n")


def progress_bar(show: bool | None) -> Any:
    """A ``rich.progress.Progress`` on stderr.

    Args:
        show: True shows it, False does not, None shows it where stderr is a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    disable = not (console.is_terminal if show is None else show)
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=console, disable=disable)
