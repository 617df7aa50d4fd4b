"""The comparison: budgets kept, equal terms, choices on held-out images, going on after a stop, what it writes."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from scipy.fft import dctn

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.experiments import training
from adqc.experiments.compare import Comparison, Settings, _Choice
from adqc.experiments.compare_page import describe, leave_out, to_markdown
from adqc.experiments.data import read
from adqc.experiments.depths import choose_depths, choose_widths, count, dimension
from adqc.experiments.methods import ALL, FLAT, TITLES, WHOLE
from adqc.experiments.recipe import load_recipe
from adqc.experiments.report import write_report
from adqc.experiments.workshop import ORDER, Workshop
from adqc.selection import circuit_size

DATA = Path(__file__).resolve().parents[1] / "data"
TINY = [
    "train_images=240",
    "test_images=100",
    "dense={epochs=1, batch_size=60}",
    "finetune.epochs=1",
    "fit.sweeps=1",
    "circuits={conv2={}, fc2={}}",
]
SMALL = Settings(budgets=(150, 700), seeds=2, rates=(0.01,), starts=("fitted",))


def recipe(*changes):
    return load_recipe("lenet5-mnist", changes=[*TINY, *changes])


def comparison(folder, settings=SMALL, *changes):
    return Comparison(recipe(*changes), settings, folder=folder, data=DATA, progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return folder, comparison(folder).execute()


def test_every_method_has_a_row_at_every_budget_and_keeps_it(finished):
    _, found = finished
    rows = {(row["method"], row["budget"]): row for row in found["rows"]}
    assert {method for method, _ in rows} == set(ALL) == set(TITLES)
    for method in ALL:
        budgets = (0,) if method in FLAT else SMALL.budgets
        for budget in budgets:
            row = rows[method, budget]
            if not row["seeds"]:
                assert "at least" in row["why"]
                continue
            assert row["seeds"] == 2
            if method == "frozen-circuit":
                assert row["parameters"] == row["dimension"] == 0
                assert row["whole"] == rows["frozen", 0]["whole"]
            elif method not in (*FLAT, "narrow"):
                assert 0.5 * budget < row["parameters"] <= budget or method in ("low-rank", "cp", "tucker", "su4")
                assert 0 < row["dimension"] <= row["parameters"] <= budget
    assert rows["frozen", 0]["parameters"] == 0
    assert rows["dense", 0]["parameters"] == found["weights"] == 2400 + 10_080
    rest = rows["dense", 0]["whole"] - found["weights"]
    for budget in SMALL.budgets:
        assert rows["narrow", budget]["whole"] <= rest + budget
        assert rows["cartan", budget]["whole"] == rest + rows["cartan", budget]["parameters"]
    assert not rows["low-rank", 150]["seeds"]
    assert "370 parameters, not 150" in rows["low-rank", 150]["why"]


def test_mean_and_deviation_are_those_of_the_trainings(finished):
    folder, found = finished
    row = next(row for row in found["rows"] if row["method"] == "hashing" and row["budget"] == 700)
    own = [json.loads((folder / "trainings" / f"hashing-700-seed{k}.json").read_text()) for k in (0, 1)]
    one, two = (record["accuracy"] for record in own)
    assert row["accuracy"] == pytest.approx((one + two) / 2)
    assert {record["processor"] for record in own} == {found["machine"]["processor"]}
    assert row["deviation"] == pytest.approx(abs(one - two) / math.sqrt(2))
    assert all(len(record["epochs"]["loss"]) == 1 for record in own)


def test_what_is_written(finished):
    folder, found = finished
    assert json.loads((folder / "comparison.json").read_text())["rows"] == found["rows"]
    lines = list(csv.DictReader((folder / "comparison.csv").read_text().splitlines()))
    assert len(lines) == len(found["rows"])
    assert {line["method"] for line in lines} == set(ALL)
    markdown = (folder / "comparison.md").read_text().splitlines()[2:]
    assert len(markdown) == len(found["rows"]) + 2
    assert len({line.count("|") for line in markdown}) == 1
    assert markdown[1].startswith("| --- | ---: |")
    page = (folder / "report.html").read_text()
    for title in TITLES.values():
        assert title in page
    assert "Test accuracy of each method against its parameters" in page
    assert "best for its size" in page
    assert set(found["curves"]) == set(ALL)
    assert not list((folder / "snapshots").glob("hashing*"))


def test_called_again_it_trains_nothing_and_writes_the_same(finished, monkeypatch):
    folder, found = finished
    monkeypatch.setattr(training, "finetune", None)
    before = (folder / "report.html").read_text()
    again = comparison(folder).execute()
    assert again["rows"] == found["rows"]
    assert (folder / "report.html").read_text() == before
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text() == before


def test_a_stopped_comparison_goes_on_to_the_same_figures(finished, tmp_path, monkeypatch):
    _, found = finished
    settings = Settings(budgets=(150,), seeds=1, rates=(0.01,), starts=("fitted",), methods=("hashing", "cartan"))
    calls = 0
    measured = training.measure

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return measured(*args)

    monkeypatch.setattr(training, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        comparison(tmp_path, settings).execute()
    assert not (tmp_path / "comparison.json").exists()
    assert (tmp_path / "trainings" / "hashing-150-seed0.json").is_file()
    again = comparison(tmp_path, settings).execute()
    expected = {
        record["method"]: record["accuracy"]
        for record in found["trainings"]
        if record["seed"] == 0 and record["budget"] == 150
    }
    assert {row["method"]: row["accuracy"] for row in again["rows"]} == {
        method: expected[method] for method in settings.methods
    }


def test_rate_and_start_are_chosen_on_held_out_images_and_kept(tmp_path, monkeypatch):
    settings = Settings(budgets=(150, 700), seeds=1, rates=(1e-6, 0.02), methods=("hashing",), factors=(1.0, 1e-3))
    found = comparison(tmp_path, settings).execute()
    tried = sorted(path.stem for path in (tmp_path / "trainings").glob("*-holdout.json"))
    assert len(tried) == 5
    assert all("hashing-700-seed0" in name for name in tried)
    records = {name: json.loads((tmp_path / "trainings" / f"{name}.json").read_text()) for name in tried}
    row = found["rows"][0]
    best = max(record["accuracy"] for record in records.values())
    rest = f"-rest{row['factor']:.4g}" if row["factor"] != 1 else ""
    chosen = records[f"hashing-700-seed0-{row['start']}-rate{row['rate']:.4g}{rest}-holdout"]
    assert chosen["accuracy"] == best
    assert sorted(record["factor"] for record in records.values()) == [1e-3, 1.0, 1.0, 1.0, 1.0]
    assert [record["factor"] for record in found["trainings"]] == [row["factor"]] * 2
    shop = Workshop(recipe(), tmp_path / "other", data=DATA)
    kept, held = shop.batches(recipe().finetune, 0, 1, holdout=True), shop.test(holdout=True)
    everything = read("mnist", DATA)
    assert (len(kept.labels), len(held.labels)) == (240, 10_000)
    assert torch.equal(torch.cat([kept.images, held.images]), everything.train_images[:10_240])
    assert torch.equal(held.labels, everything.train_labels[240:10_240])
    # A recipe that trains on all of them gives up some.
    shop.beyond = (everything.train_images[:0], everything.train_labels[:0])
    kept, held = shop.batches(recipe().finetune, 0, 1, holdout=True), shop.test(holdout=True)
    assert (len(kept.labels), len(held.labels)) == (200, 40)
    assert torch.equal(torch.cat([kept.images, held.images]), shop.images.train_images)


@pytest.mark.parametrize("method", ["cosine", "hashing", "frozen", "frozen-circuit", "narrow"])
def test_from_scratch_both_schedules_are_trained(tmp_path, monkeypatch, method):
    settings = Settings(budgets=(700,), seeds=1, rates=(0.02,), starts=("scratch",), methods=(method,))
    found = comparison(tmp_path, settings, "finetune.epochs=2", "finetune.batch_size=40")
    schedules, first = [], {}

    def fit(model, name, schedule, seed, stream, *, lr, **options):
        first.setdefault("conv1", model.conv1.weight.clone())
        schedules.append((name, schedule.epochs, schedule.batch_size, lr))
        return Workshop._fit(found.shop, model, name, schedule, seed, stream, lr=lr, **options)

    monkeypatch.setattr(found.shop, "_fit", fit)
    row = found.execute()["rows"][0]
    name = f"{method}-seed0" if method in FLAT else f"{method}-700-seed0"
    rate = 0.0 if method in WHOLE else 0.02
    # Nothing of the trained dense network is asked for.
    assert schedules == [(f"{name}-start", 1, 60, rate), (name, 2, 40, rate)]
    assert row["start"] == ("random" if method == "narrow" else "scratch")
    assert row["start_seconds"] > 0
    if method != "narrow":
        assert torch.equal(first["conv1"], found.recipe.make_model(0).conv1.weight)
    assert not list((tmp_path / "snapshots").iterdir())


def test_pruning_and_the_dense_network_have_one_start(tmp_path):
    settings = Settings(budgets=(700,), seeds=1, rates=(0.02,), starts=("scratch",), methods=("pruned", "dense"))
    rows = comparison(tmp_path, settings).execute()["rows"]
    assert [row["start"] for row in rows] == ["fitted", "random"]


def test_the_rest_trains_at_its_own_rate(tmp_path):
    settings = Settings(
        budgets=(150,), seeds=1, rates=(0.02,), starts=("random",), methods=("hashing",), factors=(2.0,)
    )
    found = comparison(tmp_path, settings).execute()
    assert [record["factor"] for record in found["trainings"]] == [row["factor"] for row in found["rows"]] == [2.0]
    assert "| 0.02, rest × 2 |" in (tmp_path / "comparison.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"factors: \[2\.0\] there"):
        comparison(tmp_path, Settings(rates=(0.02,), starts=("random",)))


def test_methods_of_cosines_are_for_recipes_that_have_them(tmp_path):
    settings = dataclasses.replace(SMALL, methods=("wide", "cosine", "cosine-train", "hashing"))
    found = comparison(tmp_path / "one", settings)
    assert found.methods == list(settings.methods)
    with_cosines, without = found._configs("cosine", 700), found._configs("wide", 700)
    assert with_cosines["conv2"].frequencies == (0, 0, 4, 4)
    assert without["conv2"].frequencies is None
    assert with_cosines["fc2"].layout == without["fc2"].layout
    model, facts = found.shop.rival(found.shop.dense(0), "cosine-train", 700, 0, fitted=True)
    coefficients = dctn(model.conv2.weight.detach().numpy(), axes=(2, 3), norm="ortho")
    assert abs(coefficients[:, :, 4:]).max() < 1e-6 < abs(coefficients[:, :, 3]).max()
    assert 350 < sum(row["parameters"] for row in facts["layers"]) == count(model)["parameters"] <= 700
    assert comparison(tmp_path / "other", settings, "cosines={}").methods == ["wide", "hashing"]
    with pytest.raises(ValueError, match=r"\[cosines\] conv2: frequencies \(4,\) do not go with the axes"):
        comparison(tmp_path / "third", settings, "cosines.conv2.frequencies=[4]")


def test_frozen_circuits_stay_as_they_began(tmp_path):
    found = comparison(tmp_path, dataclasses.replace(SMALL, methods=("frozen-circuit",)))
    model, facts = found._maker("frozen-circuit", 700, 0, _Choice(1.0, "random"), holdout=False)()
    trained, _ = found._maker("cosine", 700, 0, _Choice(1.0, "random"), holdout=False)()
    before, rest = model.conv2.circuit().clone(), model.conv1.weight.clone()
    assert torch.equal(before, trained.conv2.circuit())
    assert facts["circuits"]["conv2"]["frequencies"] == [0, 0, 4, 4]
    found.shop._fit(model, "frozen", found.recipe.finetune, 0, ORDER, holdout=False)
    assert torch.equal(model.conv2.circuit(), before)
    assert not torch.equal(model.conv1.weight, rest)


@pytest.mark.parametrize("budget", [600, 1200])
def test_every_output_of_the_small_vgg_begins_with_one_input(budget):
    with_cosines = load_recipe("small-vgg-cifar10")
    shapes = {"conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3), "conv4": (128, 128, 3, 3)}
    for name, config in choose_widths(budget, shapes, with_cosines.cosines).items():
        assert config.frequencies == (0, 0, 2, 2)
        size = (
            BrickWall(shapes[name], config, generator=torch.Generator().manual_seed(0))().square().sum((2, 3)).double()
        )
        most = size.max(1).values
        assert (most > 0).all()
        torch.testing.assert_close(most, size.sum(1), rtol=1e-5, atol=0)


def test_a_picture_leaves_out_and_names_what_would_press_the_rest_together(finished):
    _, found = finished
    levels = {"frozen at random": 80.0, "dense network": 90.0}
    series = {"hashing": [(300, 85.0, 0.1), (600, 74.9, 0.1)], "low rank": [(300, 60.0, 2.0)], "CP": [(300, 75.0, 1.0)]}
    shown, said = leave_out(series, levels)
    assert shown == {"hashing": [(300, 85.0, 0.1)], "CP": [(300, 75.0, 1.0)]}
    assert said == " Not shown, below 75.0 %: hashing, low rank."
    for other in ({}, {"frozen at random": 80.0}, {"frozen at random": 90.0, "dense network": 80.0}):
        assert leave_out(series, other) == (series, "")
    low = {"low rank": [(300, 60.0, 2.0)]}
    assert leave_out(low, levels) == (low, "")

    rows = [
        {"method": method, "budget": 300, "parameters": 300, "accuracy": accuracy, "deviation": 0.0, "seeds": 1}
        for method, accuracy in (("frozen", 80.0), ("dense", 90.0), ("hashing", 85.0), ("low-rank", 20.0))
    ]
    rows[-1] |= {"budget": 200, "parameters": 200}
    filled = [{**found["rows"][0], **row} for row in rows]
    picture = describe({**found, "rows": filled})["parts"][0]["pictures"][0]
    assert list(picture["series"]) == ["hashing"]
    assert picture["caption"].endswith("Not shown, below 75.0 %: low rank.")
    assert picture["front"] == [[300, 85.0]]


def test_another_recipe_in_the_same_folder_is_refused(finished):
    folder, _ = finished
    with pytest.raises(ValueError, match=r"another recipe \(recipe\.finetune\.epochs: 1 there, 2 here\).*--out"):
        comparison(folder, SMALL, "finetune.epochs=2")
    with pytest.raises(ValueError, match=r"rates: \[0\.01\] there"):
        comparison(folder, Settings(rates=(0.02,)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budgets": ()}, "needs budgets"),
        ({"seeds": 0}, "needs budgets, seeds"),
        ({"rates": (0.0,)}, "learning rates and factors above 0"),
        ({"factors": (-1.0,)}, "factors above 0"),
        ({"methods": ("magic",)}, "unknown method 'magic': use one of cartan"),
        ({"starts": ("warm",)}, "unknown start 'warm': use one of scratch, fitted, random"),
    ],
)
def test_bad_settings_get_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        Settings(**given)


@pytest.mark.parametrize("start", ["random", "scratch"])
def test_a_training_that_breaks_down_counts_as_chance(tmp_path, start):
    settings = Settings(budgets=(150,), seeds=1, rates=(1e30,), starts=(start,), methods=("hashing",))
    row = comparison(tmp_path, settings).execute()["rows"][0]
    assert (row["accuracy"], row["failed"]) == (10.0, 1)
    assert "10.00 (1 failed)" in (tmp_path / "comparison.md").read_text()


@pytest.mark.parametrize("gate", ["cartan", "so4", "su4", "free"])
@pytest.mark.parametrize("budget", [300, 700, 2400])
def test_no_circuit_could_be_deeper(gate, budget):
    shapes = {"conv2": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120)}
    configs = dict.fromkeys(shapes, Circuit(gate=gate))
    try:
        depths = choose_depths(budget, shapes, configs)
    except ValueError as error:
        assert gate in ("free", "su4")
        assert "at least" in str(error)  # noqa: PT017
        return

    def size(depths):
        return sum(circuit_size(shapes[name], Circuit(gate=gate, depth=depth))[1] for name, depth in depths.items())

    assert size(depths) <= budget
    assert max(depths.values()) - min(depths.values()) <= 1
    for name in shapes:
        assert size({**depths, name: depths[name] + 1}) > budget


@pytest.mark.parametrize("gate", ["cartan", "so4", "su4", "free"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [(8, 8), (8, 16)])
def test_a_circuits_dimension_is_no_less_than_the_rank_of_its_jacobian(gate, depth, shape):
    wall = BrickWall(shape, Circuit(depth=depth, gate=gate, start="haar"), dtype=torch.float64)
    own = dict(wall.named_parameters())

    def build(*values):
        return torch.func.functional_call(wall, dict(zip(own, values, strict=True))).flatten()

    parts = torch.autograd.functional.jacobian(build, tuple(own.values()))
    jacobian = torch.cat([part.reshape(parts[0].shape[0], -1) for part in parts], 1)
    rank = int(torch.linalg.matrix_rank(jacobian, rtol=1e-9))
    assert rank <= dimension(wall) <= wall.parameter_count
    if depth <= 2 and gate != "su4":
        assert rank == dimension(wall)


def test_markdown_aligns_figures_to_the_right():
    assert to_markdown("T", ("a", ">b"), [("x", "1")]) == "**T**\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n"
