"""The pages of docs/results show the figures that are stored beside them."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import adqc
from adqc.experiments.depths import choose_widths
from adqc.experiments.recipe import load_recipe
from adqc.selection import select_targets

RESULTS = Path(__file__).parents[1] / "docs" / "results"
MEAN = "small-vgg-mean-cifar10"
TRAINS = ("tensor-train", "quantised-train", "cosine-train")


@pytest.fixture
def script(monkeypatch):
    # The scripts import one another as files of one folder.
    monkeypatch.syspath_prepend(str(RESULTS))
    yield lambda name: runpy.run_path(str(RESULTS / f"{name}.py"))
    sys.modules.pop("tables", None)


def _words(svg: str) -> list[str]:
    return re.findall(r'aria-label="([^"]*)"', svg) + re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_tables_show_the_stored_results(script):
    tables = script("tables")
    page = (RESULTS / "tables.md").read_text(encoding="utf-8")
    for name, (budgets, seeds, starts, methods, _) in tables["TABLES"].items():
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        assert tables["render"](found) in page
        # Positions depend on matplotlib's version, words do not.
        drawn = (RESULTS.parent / "pictures" / f"table-{name}.svg").read_text(encoding="utf-8")
        assert "test accuracy, %" in _words(drawn)
        assert "--s0:#" in drawn
        ElementTree.fromstring(drawn)
        assert _words(drawn) == _words(tables["draw_alone"](found))
        settings = found["settings"]
        assert (tuple(settings["budgets"]), settings["seeds"], tuple(settings["starts"])) == (budgets, seeds, starts)
        assert tuple(settings["rates"]) == tables["RATES"]
        assert tuple(settings.get("factors", [1.0])) == tables["FACTORS"].get(name, (1.0,))
        if name.startswith("fc2"):
            # Two-qubit gates see the weight as wide ones do.
            seen = [found["recipe"][part]["fc1"] for part in ("circuits", "cosines")]
            assert all(seen[0][key] == seen[1][key] for key in ("axes", "frequencies", "layout"))
        matrices = all(len(shape) == 2 for shape in found["layers"].values())
        assert {row["method"] for row in found["rows"]} == set(methods) - ({"tucker", "cp"} if matrices else set())


def test_readme_says_what_the_tables_show(script):
    tables = script("tables")
    margins = {True: [], False: []}
    for name in ("fc2-mnist", "fc2-fashion", "lenet5-mnist", "lenet5-fashion", "small-vgg-cifar10"):
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        rows = {(row["method"], row["budget"]): row for row in found["rows"]}
        for cosines, own in margins.items():
            methods = [method for method, _ in rows if cosines or method != "cosine-train"]
            own += [float(tables["margin"](rows, methods, b).split()[0]) for b in found["settings"]["budgets"]]
    readme = " ".join((RESULTS.parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert len(margins[True]) == 12
    assert min(margins[True]) > 0
    assert "ahead of every rival at all twelve budgets" in readme
    assert f"{sum(margins[True]) / 12:.2f} on average" in readme
    assert f"circuits are {sum(margins[False]) / 12:.1f} points ahead on average" in readme


def test_readme_says_where_circuits_lose(script):
    script("tables")
    readme = " ".join((RESULTS.parents[1] / "README.md").read_text(encoding="utf-8").split())
    gaps = {}
    for name in ("fc2-mnist", "fc2-fashion", "lenet5-mnist", "lenet5-fashion", "small-vgg-cifar10", MEAN):
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        reached = {(row["method"], row["budget"]): row["accuracy"] for row in found["rows"] if row["seeds"]}
        for budget in found["settings"]["budgets"]:
            frozen = reached["frozen", 0]
            wide = max(reached[method, budget] for method in ("wide", "cosine"))
            two = max(reached[method, budget] for method in ("cartan", "so4", "su4") if (method, budget) in reached)
            train = max(reached[method, budget] for method in TRAINS)
            learned = wide - reached["frozen-circuit", budget]
            gaps.setdefault(name, []).append((wide - frozen, wide - train, train - two, two - frozen, learned))
    near = [gap[2] for name in ("fc2-mnist", "fc2-fashion", "lenet5-mnist") for gap in gaps[name]]
    assert f"end {min(near):.1f} to {max(near):.1f} points behind the best tensor train in FC-2 and" in readme
    fashion, vgg, mean = (
        [[f"{value:.1f}" for value in column] for column in zip(*gaps[name], strict=True)]
        for name in ("lenet5-fashion", "small-vgg-cifar10", MEAN)
    )
    assert f"{' and '.join(fashion[2])} in LeNet-5 on Fashion-MNIST, {' and '.join(vgg[2])} on CIFAR-10" in readme
    assert f"{' and '.join(vgg[3])} points ahead of frozen layers" in readme
    assert f"On CIFAR-10 they are {min(vgg[0])} points ahead of layers frozen at random" in readme
    assert f"come within {' and '.join(vgg[4])} points of it" in readme
    assert f"{' and '.join(mean[0])} points ahead of the frozen layers, {' and '.join(mean[4])} of them by" in readme
    page = " ".join((RESULTS / "tables.md").read_text(encoding="utf-8").split())
    assert f"In the small VGG it is {' and '.join(vgg[4])} points of {min(vgg[0])}:" in page
    assert f"it is {' and '.join(mean[4])} points of {' and '.join(mean[0])}." in page
    ahead, behind = (gap[1] for gap in gaps[MEAN])
    assert f"{ahead:.1f} ahead with 600 numbers and {-behind:.1f} behind with 1,200" in readme


def test_the_levers_show_the_stored_results(script):
    levers = script("levers")
    page = (RESULTS / "levers.md").read_text(encoding="utf-8")
    stored = json.loads((RESULTS / "levers.json").read_text(encoding="utf-8"))
    assert list(stored) == list(levers["LEVERS"])
    for name, found in stored.items():
        assert levers["render"](found) in page
        assert [row["lever"] for row in found["rows"]] == list(levers["LEVERS"][name][2])


def test_the_studies_show_the_stored_results(script):
    studies = script("studies")
    page = (RESULTS / "studies.md").read_text(encoding="utf-8")
    stored = json.loads((RESULTS / "studies.json").read_text(encoding="utf-8"))
    assert set(stored) == set(studies["LENGTHS"])
    for name, found in stored.items():
        recipe, seeds, _ = studies["LENGTHS"][name]
        assert studies["render"](name, found) in page
        assert (found["recipe"]["name"], found["settings"]["seeds"]) == (recipe, seeds)


def test_each_lever_changes_something_and_can_be_built(script):
    module = script("levers")
    for name, (budget, _, changes) in module["LEVERS"].items():
        recipe = load_recipe(name)
        choices = select_targets(recipe.make_model(), adqc.Circuit(), dict(recipe.circuits))
        shapes = {choice.target.name: tuple(choice.target.shape) for choice in choices if not choice.why}
        chosen = choose_widths(budget, shapes, recipe.wide)
        seen = []
        for words, lever in changes.items():
            changed = {layer: lever(config) for layer, config in chosen.items()}
            for layer, config in changed.items():
                config.wire(config.arrange(shapes[layer]).sites)
            assert changed not in seen or words in (module["IN_THE_DENSE"], module["STAGE_1"]), words
            seen.append(changed)
