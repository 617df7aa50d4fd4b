"""The tables of docs/results: every method at equal parameters on several networks, with a schedule for two cores.

    python docs/results/tables.py            train what is missing (hours; stop and go on at will), write all pages
    python docs/results/tables.py fc2-mnist  one table

Trainings are kept in runs/tables. Two tables can be made side by side, each by a call of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from adqc.experiments.compare import Comparison, Settings
from adqc.experiments.compare_page import picture
from adqc.experiments.methods import CIRCUITS, FAMILIES, FLAT, STARTS, TITLES
from adqc.experiments.page import draw
from adqc.experiments.recipe import load_recipe

HERE = Path(__file__).parent
PICTURES = HERE.parent / "pictures"
# Colours that can be read on a light and on a dark page.
GREY = "#79818c"
COLORS = (
    "#5574e8", "#e8590c", "#2f9e44", "#ae3ec9", "#8d949b", "#1098ad", "#d6336c", "#74a816", "#e69500", "#6b7684",
)  # fmt: skip
FC2 = (
    "dense.epochs=3", "finetune.epochs=4", 'finetune.schedule="one-cycle"', "finetune.lr=1e-2",
    "finetune.batch_size=64",
)  # fmt: skip
LENET = ("train_images=20000", *FC2)
# The recipes' [cosines] for circuits of two-qubit gates as well, which else would train for hours.
FC2_OF_COSINES = (
    *FC2, "circuits.fc1.axes=[256, 28, 28]", "circuits.fc1.frequencies=[0, 16, 16]",
    "circuits.fc1.layout=[0, 8, 1, 9, 2, 10, 11, 3, 4, 12, 13, 5, 6, 14, 15, 7]",
)  # fmt: skip
VGG = (
    "train_images=10000", "test_images=5000", "dense.epochs=4", "finetune.epochs=3", "finetune.lr=6e-3",
    "finetune.batch_size=64",
)  # fmt: skip
RIVALS = (
    "frozen", "hashing", "low-rank", "tensor-train", "cosine-train", "quantised-train", "pruned", "narrow", "dense",
)  # fmt: skip
CONVOLUTIONS = ("tucker", "cp")
OWN = ("wide", "cosine", "frozen-circuit")
# Of the gates on two qubits, where there is no time for all.
FEW = ("cartan", "free")
# What has but one start.
STARTED = {"narrow": "scratch", "dense": "scratch", "pruned": "trained"}
# Name of the recipe: budgets, seeds, starts, methods, changes of the recipe.
TABLES: dict[str, tuple[tuple[int, ...], int, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "fc2-mnist": ((300, 600, 1200), 3, STARTS, (*OWN, *FAMILIES, *RIVALS), FC2_OF_COSINES),
    "fc2-fashion": ((300, 600, 1200), 3, STARTS, (*OWN, *FAMILIES, *RIVALS), FC2_OF_COSINES),
    "lenet5-mnist": ((700, 1400), 3, STARTS, (*OWN, *FAMILIES, *RIVALS, *CONVOLUTIONS), LENET),
    "lenet5-fashion": ((700, 1400), 3, STARTS, (*OWN, *FAMILIES, *RIVALS, *CONVOLUTIONS), LENET),
    "small-vgg-cifar10": ((600, 1200), 3, ("scratch", "random"), (*OWN, *FAMILIES, *RIVALS, *CONVOLUTIONS), VGG),
    "small-vgg-mean-cifar10": ((600, 1200), 3, ("scratch", "random"), (*OWN, *FEW, *RIVALS), VGG),
}  # fmt: skip
RATES = (0.003, 0.01, 0.03)
# Factors of the recipe's rate that the rest of each network is tried with, where not that rate alone.
FACTORS = {"small-vgg-mean-cifar10": (1.0, 3.0)}


def make(name: str, *, data: str | None = None, runs: str = "runs/tables") -> dict[str, Any]:
    """Train what is missing of a table and read it."""
    budgets, seeds, starts, methods, changes = TABLES[name]
    settings = Settings(budgets, seeds, RATES, methods, starts, FACTORS.get(name, (1.0,)))
    recipe = load_recipe(name, changes=changes)
    found = Comparison(recipe, settings, folder=Path(runs) / name, data=data).execute()
    # The page is made again from the rest.
    return {key: value for key, value in found.items() if key not in ("page", "curves")}


def render(found: dict[str, Any]) -> str:
    """One table: methods down, budgets across, each cell accuracy and parameters."""
    budgets = found["settings"]["budgets"]
    rows = {(row["method"], row["budget"]): row for row in found["rows"]}
    methods = list(dict.fromkeys(row["method"] for row in found["rows"]))
    lines = [f"## {found['title'].split(':')[0]}", "", settings_line(found), ""]
    lines += ["| method | start | " + " | ".join(f"{budget:,} parameters" for budget in budgets) + " |"]
    lines += ["| --- | --- |" + " ---: |" * len(budgets)]
    for method in methods:
        own = [rows.get((method, 0 if method in FLAT else budget)) for budget in budgets]
        start = next((row["start"] for row in own if row and row["seeds"]), "")
        lines.append(f"| {TITLES[method]} | {STARTED.get(method, start)} | " + " | ".join(map(cell, own)) + " |")
    lines.append(
        f"| **best circuit less best rival** | | {' | '.join(margin(rows, methods, budget) for budget in budgets)} |"
    )
    if "cosine-train" in methods:
        plain = [method for method in methods if method != "cosine-train"]
        cells = [margin(rows, plain, budget) for budget in budgets]
        lines.append(f"| less best rival without cosines | | {' | '.join(cells)} |")
    shown = picture(found)
    lines += ["", f"![{shown['alt']}](../pictures/table-{found['name']}.svg)", "", shown["caption"]]
    return "\n".join(lines) + "\n"


def draw_alone(found: dict[str, Any]) -> str:
    """The picture of a table as a file of its own, which brings the colours that a page would give it."""
    svg = draw(picture(found)).replace("font-family: inherit", "font-family: system-ui, sans-serif")
    colors = ";".join(f"--s{k}:{color}" for k, color in enumerate(COLORS))
    style = f"<style>svg{{color:{GREY};--line:{GREY}55;{colors}}}</style>"
    return svg.replace(">", f">{style}", 1) + "\n"


def cell(row: dict[str, Any] | None) -> str:
    """Mean and deviation of the accuracy, and how many numbers it took."""
    if row is None or not row["seeds"]:
        return "does not fit"
    spread = f" ± {row['deviation']:.2f}" if row["seeds"] > 1 else ""
    count = "" if row["method"] == "narrow" else f" ({row['parameters']:,})"
    return f"{row['accuracy']:.2f}{spread}{count}" + (f", {row['failed']} failed" if row["failed"] else "")


def margin(rows: dict[tuple[str, int], dict[str, Any]], methods: list[str], budget: int) -> str:
    """How far the best circuit is ahead of the best rival with as many parameters."""
    reached = {
        method: rows[method, budget]["accuracy"] for method in methods if rows.get((method, budget), {}).get("seeds")
    }
    own = {method: value for method, value in reached.items() if method in CIRCUITS}
    # Circuits that are not trained are a control of the circuits, no rival.
    others = {method: value for method, value in reached.items() if method not in (*CIRCUITS, "frozen-circuit")}
    if not own or not others:
        return "–"
    best = max(others, key=lambda method: others[method])
    return f"{max(own.values()) - others[best]:+.2f} ({TITLES[best]})"


def settings_line(found: dict[str, Any]) -> str:
    """What was trained, on what."""
    recipe, images, settings = found["recipe"], found["images"], found["settings"]
    factors = settings.get("factors", [1.0])
    rest = f"; rate of the rest × {', '.join(f'{factor:g}' for factor in factors)}" if factors != [1.0] else ""
    return (
        f"{', '.join(found['layers'])}: {found['weights']:,} weights. {images['train']:,} training images, "
        f"{images['test']:,} test images; schedules of {recipe['dense']['epochs']} and "
        f"{recipe['finetune']['epochs']} epochs; {settings['seeds']} seed{'s' * (settings['seeds'] > 1)}; rates "
        f"{', '.join(map(str, settings['rates']))}, starts {', '.join(settings['starts'])}{rest}."
    )


def write(names: list[str], *, data: str | None = None) -> None:
    """Train what is missing of these tables, and write the page of all that there are."""
    for name in names:
        (HERE / f"{name}.json").write_text(json.dumps(make(name, data=data), indent=1) + "\n")
    all_found = [json.loads((HERE / f"{name}.json").read_text()) for name in TABLES if (HERE / f"{name}.json").exists()]
    for found in all_found:
        (PICTURES / f"table-{found['name']}.svg").write_text(draw_alone(found))
    (HERE / "tables.md").write_text(introduce(all_found) + "\n".join(render(found) for found in all_found))


def introduce(all_found: list[dict[str, Any]]) -> str:
    """What is said ahead of the tables."""
    seconds = sum(own["seconds"] + own["start_seconds"] for found in all_found for own in found["trainings"])
    return INTRODUCTION.replace("HOURS", f"{seconds / 3600:.1f}")


INTRODUCTION = """# Circuits and their rivals at equal parameters

`python docs/results/tables.py` trains everything below and writes this page; the figures of each table, with the
machine and every single training, are in the `.json` beside it. Each cell is the test accuracy in per cent, mean and
standard deviation over the seeds, and in brackets the numbers stored in the layers' place. How methods are set on equal
terms is told in [Experiments](../experiments.md); the schedules are short, so that two cores make all tables in about
six hours.

Every network has the epochs of both schedules. **Start** says what a method's layers begin as: random before anything
is trained (`scratch`), or in the trained dense network, fitted to its weights (not in the convolution networks of
CIFAR-10) or random; it was chosen on training images held out, as the rate was. One rate, chosen at the middle budget,
serves all budgets: FC-2's free gates on MNIST end at chance with it for two of three seeds at the largest.

Wide gates are counted by what it takes to store them (`adqc.minimal`); they are trained in up to 1.8 times as many
coordinates. The layouts of the recipes' `[wide]` for FC-2 and LeNet-5 come from a search on training images held out,
which began from layouts found in trials that looked at the test images; those for the small VGGs, the axes and how
gates begin come from such trials. The frequencies and layouts of the recipes' `[cosines]` come from trials on training
images held out. All of these trials put the circuits into a trained network.

"Of cosines" are circuits, and a tensor train, for the coefficients of weights whose pixel or kernel axes are sums of
few cosines ([how](../how-to/layouts-and-depth.md#cosines)): of FC-2's 28 × 28 pixels 16 × 16 frequencies, of LeNet-5's
kernels of 5 × 5 in conv2 4 × 4, of the small VGGs' kernels of 3 × 3 2 × 2. They serve both; the last line of each of
these tables leaves out the train that has them. FC-2's circuits of two-qubit gates are of cosines, too, with the same
order of the bits: on all pixels they would train for hours. (Of LeNet-5 and the small VGGs they are not.)

"Wide gates, frozen at their start" are these circuits with gates that are not trained, so that a seed stands for
them: what is above this line is what training the gates brings. In FC-2 and LeNet-5 that is most or all of what they
are ahead of layers frozen at random. In the small VGG it is 0.5 and 1.3 points of 7.5: there it matters most that
every output sees one input at the start, with a kernel of its own. With the mean of each map ahead of its linear
layer it is 4.1 and 6.3 points of 8.7 and 10.2.

Of what the small VGG still stores, nine tenths are its linear layer, which only the narrow network shrinks. With the
mean of each map before that layer it stores 2,858 numbers beside the compressed ones, and it is the circuits and
their rivals that make the network: the last table. Of the gates on two qubits it has but two kinds, for time. In it
the rate of the rest of each network was chosen, too, after a trial that looked at test images; in the other tables it
was for networks without circuits and rivals alone. The choices for the small VGG's dense network and the last table's
narrow and dense ones were made on a sixth of the images that they train on, before those beyond them were used for
that. Such choices are uncertain.

The trainings were made on several machines; each record names its processor. Together they took HOURS hours of a core;
those on held-out images that choose rate and start come on top and are not recorded.

"""

if __name__ == "__main__":
    import os

    from adqc.memory import keep_freed_memory

    keep_freed_memory()
    write(sys.argv[1:] or list(TABLES), data=os.environ.get("ADQC_DATA"))
