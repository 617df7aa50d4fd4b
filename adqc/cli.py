"""The command ``adqc``."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from adqc.cli_gallery import gallery_app
from adqc.command import command as _command
from adqc.command import console as _console

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall

_Number = TypeVar("_Number", int, float)

app = typer.Typer(
    help="Neural-network weights as quantum circuits: compress layers to a few hundred parameters, train, export.",
    epilog="Start with: adqc run lenet5-mnist --quick",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(gallery_app, name="gallery")


def _recipes() -> str:
    folder = resources.files("adqc.experiments").joinpath("recipes")
    return ", ".join(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def _numbers(option: str, text: str, kind: type[_Number]) -> tuple[_Number, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        some = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{option} takes {some} with commas between, got {text!r}") from None


def _show_version(wanted: bool) -> None:
    if wanted:
        from adqc import __version__

        typer.echo(f"adqc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@_command(app, "run")
def run(
    recipe: Annotated[str, typer.Argument(help=f"Name of a recipe ({_recipes()}), or the path of a .toml file.")],
    quick: Annotated[bool, typer.Option("--quick", help="The short form: fewer images and epochs.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped; without it an earlier run is replaced.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe, e.g. finetune.epochs=3."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all starts and orders.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Data folder, laid out as torchvision's; else $ADQC_DATA, ./data.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the results go; else runs/NAME, or runs/NAME-quick.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where to train: cpu, cuda, cuda:1, …; else accelerate's choice under accelerate launch, cpu."
        ),
    ] = None,
) -> None:
    """Run an experiment and write its report.

    Trains the dense network, fits circuits to its layers (stage 1), trains the network with the circuits (stage 2),
    trains the controls with the same schedule, verifies every circuit in all ways there are, and writes report.html,
    metrics.json, model.safetensors and the circuits as OpenQASM.

    Exit code 1 if a circuit fails verification.
    """
    from adqc.experiments.recipe import load_recipe
    from adqc.experiments.runner import Run
    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    seeds = [] if seed is None else [f"seed={seed}"]
    chosen = load_recipe(recipe, quick=quick, changes=[*(changes or []), *seeds])
    metrics = Run(chosen, folder=out, data=data, device=device, resume=resume, console=_console()).execute()
    if not metrics.get("verify", {"passed": True})["passed"]:
        raise typer.Exit(1)


@_command(app, "plan")
def plan(
    what: Annotated[str, typer.Argument(help=f"A recipe ({_recipes()}, or a .toml file) or a network (lenet5, fc2).")],
    depth: Annotated[int | None, typer.Option(help="Number of layers of gates.")] = None,
    gate: Annotated[str | None, typer.Option(help="Gate family: cartan, so4, cartan-su4, su4, free.")] = None,
    layout: Annotated[str | None, typer.Option(help="interleaved or rows-first.")] = None,
    wiring: Annotated[str | None, typer.Option(help="brick-wall or staircase.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="LAYER", help="A layer's name, or re:PATTERN; can be given repeatedly.")
    ] = None,
) -> None:
    """Show what would be compressed.

    Layers, qubits, gates and parameters, in a table; nothing is changed. For a recipe, options replace the recipe's
    own values; for a network, every layer that shrinks is shown unless --select names some.
    """
    from dataclasses import replace

    from adqc import compress
    from adqc.config import Circuit
    from adqc.experiments.models import MODELS, make_model
    from adqc.experiments.recipe import load_recipe

    named = {"depth": depth, "gate": gate, "layout": layout, "wiring": wiring}
    given: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if what in MODELS:
        planned = compress.plan(make_model(what), Circuit(**given), select=select)
    else:
        recipe = load_recipe(what)
        circuits = {name: replace(config, **given) for name, config in recipe.circuits.items()}
        if select:
            circuits = {name: circuits.get(name, Circuit(**given)) for name in select}
        planned = compress.plan(recipe.make_model(), select=circuits)
    _console().print(planned)


@_command(app, "verify")
def verify(
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint (.safetensors), a .qasm file with its card, a folder of circuits, or the gallery."
        ),
    ],
    tolerance: Annotated[float, typer.Option(help="Largest relative difference that passes.")] = 1e-9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Check the circuits of a file in every way.

    Compares the gate-by-gate simulator, PennyLane, quimb and every route of the engine, values and gradients in double
    precision, and the QASM text as adqc, quimb and, where installed, Qiskit read it. Needs the files alone, not the
    model. Of the gallery, cards and networks are compared, too. Exit code 1 if a difference is larger than the
    tolerance.
    """
    from adqc.verify import verify as compare

    found = compare(file, tolerance=tolerance, show=False)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        _console().print(str(found), markup=False)
    if not found.passed:
        raise typer.Exit(1)


@_command(app, "export")
def export(
    file: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors) that adqc.save or adqc run wrote.")],
    version: Annotated[int, typer.Option(min=2, max=3, help="OpenQASM version: 2 or 3.")] = 3,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write DIR/LAYER/circuit.qasm and card.json.")
    ] = Path("circuits"),
) -> None:
    """Write the circuits of a file as OpenQASM.

    Each circuit gets a folder with circuit.qasm and card.json, which says how to read the state as a weight (shape,
    layout, scale). Gates must be unitary: all families but free.
    """
    from adqc.qasm import save_qasm, to_qasm

    walls = _circuits(file)
    for name, wall in walls.items():
        # All are tried before the first is written.
        try:
            to_qasm(wall, version=version)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    for name, wall in walls.items():
        path = save_qasm(wall, out / name, version=version)
        typer.echo(f"{path / 'circuit.qasm'}: {wall.resources()}")


@_command(app, "show")
def show(
    file: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors) that adqc.save or adqc run wrote.")],
    draw: Annotated[bool, typer.Option("--draw", help="Draw every circuit, too.")] = False,
) -> None:
    """Show what is in a file: circuits, size, hash."""
    from adqc.checkpoint import describe

    console = _console()
    console.print(describe(file))
    if draw:
        for name, wall in _circuits(file).items():
            console.print(f"\n{name}: {wall.resources()}\n{wall.draw()}", markup=False, soft_wrap=True)


@_command(data_app, "fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion-mnist, cifar10 or cifar100.")],
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Data folder to put it into; else $ADQC_DATA, ./data.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="A mirror with the same files; else the official address.")] = None,
) -> None:
    """Download a data set.

    From its official address, with checksums, laid out as torchvision does. Files that are there already and right are
    kept. MNIST comes with the source checkout (data/mnist).
    """
    from adqc.experiments.fetch import fetch as download

    typer.echo(f"{name} is in {download(name, data, url=url)}")


@_command(app, "report")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, comparison or study, e.g. runs/lenet5-mnist.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of a finished run, comparison or study anew.

    From the files that it has left in its folder.
    """
    from adqc.experiments.report import write_report

    path = write_report(folder)
    typer.echo(str(path))
    if show:
        typer.launch(str(path))


@_command(app, "compare")
def compare(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or the path of a .toml file.")],
    budgets: Annotated[str, typer.Option(help="Numbers of parameters, with commas between.")] = "300,600,1200,2400",
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    rates: Annotated[str, typer.Option(help="Learning rates to choose from.")] = "0.003,0.01,0.03",
    starts: Annotated[
        str, typer.Option(help="Starts to choose from: from scratch, or fitted or random in the trained network.")
    ] = "scratch,fitted,random",
    factors: Annotated[
        str, typer.Option(help="Factors of the recipe's rate to choose from, for the rest of the network.")
    ] = "1",
    methods: Annotated[str | None, typer.Option(help="Methods, with commas between; else all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The recipe's short form.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Data folder, as for run.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where results go; else runs/NAME-compare.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to train, as for run.")] = None,
) -> None:
    """Compare circuits with their rivals at equal parameters.

    Trains every method at every budget for every seed, with the recipe's schedule and each method at its own best
    learning rate. Called again, it goes on where it was stopped.
    """
    from adqc.experiments.compare import Comparison, Settings
    from adqc.experiments.methods import ALL
    from adqc.experiments.recipe import load_recipe
    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    settings = Settings(
        budgets=_numbers("--budgets", budgets, int),
        seeds=seeds,
        rates=_numbers("--rates", rates, float),
        methods=tuple(methods.split(",")) if methods else ALL,
        starts=tuple(starts.split(",")),
        factors=_numbers("--factors", factors, float),
    )
    chosen = load_recipe(recipe, quick=quick, changes=changes or [])
    Comparison(chosen, settings, folder=out, data=data, device=device, console=_console()).execute()


@_command(app, "study")
def study(
    name: Annotated[str, typer.Argument(help="two-stage, unitarity, depth, layout or scale.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe to ask it of; else the study's own.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="The short form: fewer images, epochs and cases.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Data folder, as for run.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where results go; else runs/study-NAME.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to train, as for run.")] = None,
) -> None:
    """Answer one question by trainings over seeds.

    two-stage: does stage 1 help? unitarity: from free to unitary gates. depth: accuracy, error and seconds. layout:
    which bits the qubits carry. scale: how many layers can be circuits. Called again, it goes on where it was stopped.
    """
    from adqc.experiments.recipe import load_recipe
    from adqc.experiments.studies import find_study
    from adqc.experiments.study import Study
    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    question = find_study(name)
    chosen = load_recipe(recipe or question.recipe, quick=quick, changes=changes or [])
    Study(name, question, chosen, seeds=seeds, folder=out, data=data, device=device, console=_console()).execute()


def _circuits(path: Path) -> dict[str, BrickWall]:
    """The circuits in a checkpoint, rebuilt from the file alone: layer or tensor -> circuit."""
    from adqc.files import find_circuits

    return {found.name: found.wall for found in find_circuits(path)}


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
