"""The commands ``adqc gallery …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from adqc.command import command, console, guarded_command

gallery_app = typer.Typer(invoke_without_command=True)

Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="The gallery; else ./circuits, or the checkout's.")
]


def gallery(
    context: typer.Context,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the index as JSON.")] = False,
) -> None:
    """List the gallery of circuits, or change it.

    Each entry is a trained layer of a network as a circuit: circuit.qasm, card.json and, where it is small, the whole
    network. Index and cards are checked; `adqc verify circuits` computes the weights in every way.
    """
    if context.invoked_subcommand is not None:
        return
    from adqc.gallery import read_gallery

    found = read_gallery(folder)
    if as_json:
        typer.echo(json.dumps([entry.summary() for entry in found.entries], indent=1))
    else:
        console().print(found)


gallery_app.callback()(guarded_command(gallery, "gallery"))


@command(gallery_app, "add")
def gallery_add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, e.g. runs/fc2-mnist.")],
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="The gallery.")] = Path("circuits"),
    layers: Annotated[
        list[str] | None, typer.Option("--layer", help="Only this layer; can be given repeatedly.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the names begin with; else the recipe's name.")] = None,
    command: Annotated[
        str | None, typer.Option(help="What regenerates the run; else worked out from its recipe.")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX name of the entries' licence.")] = "MIT",
) -> None:
    """Put the circuits of a finished run into the gallery.

    Entries of the same name are replaced, and the index is written anew.
    """
    from adqc.experiments.exhibit import add_run

    for entry in add_run(run, folder, layers=layers, prefix=name, command=command, licence=licence):
        typer.echo(f"{entry.folder}: {entry.card['parameters']} parameters for {entry.about['weights']:,} weights")


@command(gallery_app, "index")
def gallery_index(
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="The gallery.")] = Path("circuits"),
) -> None:
    """Write the index anew from the cards."""
    from adqc.gallery import write_index

    typer.echo(str(write_index(folder)))


@command(gallery_app, "evaluate")
def gallery_evaluate(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Entries; else all with a network.")] = None,
    folder: Folder = None,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Data folder, laid out as torchvision's; else $ADQC_DATA, ./data.")
    ] = None,
) -> None:
    """Measure the test accuracy of the gallery's networks anew.

    Exit code 1 if one differs from its card by more than 0.05 points.
    """
    from adqc.gallery import ACCURACY_TOLERANCE, read_gallery
    from adqc.tables import make_table

    found = read_gallery(folder)
    entries = [found.find(name) for name in names] if names else [e for e in found.entries if e.about["checkpoint"]]
    rows, worst, known = [], 0.0, dict[str, float]()
    for entry in entries:
        said = entry.about["accuracy"]["network"]
        # The entries of one run share a network.
        key = str(entry.about["checkpoint"])
        measured = known[key] if key in known else known.setdefault(key, entry.evaluate(data))
        worst = max(worst, abs(measured - said))
        rows.append((entry.name, entry.about["network"], entry.about["data"], f"{said:.2f} %", f"{measured:.2f} %"))
    columns = ("circuit", "network", "data", ">on the card", ">measured")
    console().print(make_table("Test accuracy", columns, rows))
    if worst > ACCURACY_TOLERANCE:
        raise typer.Exit(1)
