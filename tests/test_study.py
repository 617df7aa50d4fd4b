"""The studies: what each trains, that it goes on after a stop, and what it writes."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import adqc
from adqc.brickwall import BrickWall
from adqc.experiments import study as module
from adqc.experiments import training
from adqc.experiments.recipe import load_recipe
from adqc.experiments.report import write_report
from adqc.experiments.stages import grow_
from adqc.experiments.studies import STUDIES, Flat, find_study
from adqc.experiments.study import Study
from adqc.experiments.workshop import Workshop

DATA = Path(__file__).resolve().parents[1] / "data"
TINY = [
    "train_images=240",
    "test_images=100",
    "dense={epochs=1, batch_size=60}",
    "finetune.epochs=1",
    "fit.sweeps=1",
    "circuits={conv2={depth=2}, fc2={depth=3}}",
]


def study(name, folder, *changes, seeds=1, quick=True):
    recipe = load_recipe("lenet5-mnist", quick=quick, changes=[*TINY, *changes])
    return Study(name, find_study(name), recipe, seeds=seeds, folder=folder, data=DATA, progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return folder, {name: study(name, folder / name, seeds=2).execute() for name in STUDIES}


def rows(finished, name, key):
    return {row[key]: row for row in finished[1][name]["rows"]}


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_leaves_json_table_and_page(finished, name):
    folder, found = finished[0] / name, finished[1][name]
    assert json.loads((folder / "study.json").read_text()) == found
    assert found["rows"]
    assert all(row["seeds"] == 2 and 0 <= row["accuracy"] <= 100 for row in found["rows"])
    markdown = (folder / "study.md").read_text().splitlines()
    assert len(markdown) == len(found["rows"]) + 4
    assert markdown[0] == f"**{STUDIES[name].title}: LeNet-5 on MNIST, short form**"
    page = (folder / "report.html").read_text()
    assert STUDIES[name].title in page
    assert page.count("<svg") == len(found["page"]["parts"][0]["pictures"]) + 1 >= 2
    assert "short form" in page
    for row in found["page"]["parts"][2]["rows"]:
        assert "".join(f"<td>{row[0]}</td>") in page or f'<td class="n">{row[0]}</td>' in page


def test_only_a_fit_to_weights_tells_their_error(finished):
    found = finished[1]["two-stage"]["rows"]
    stages = ("single stage", "on weights", "on outputs")
    assert [(row["start"], row["stage"]) for row in found] == [(s, k) for s in ("haar", "grown") for k in stages]
    for row in found:
        assert ("relative_error" in row) == (row["stage"] == "on weights")
        assert 0 <= row["first"] <= 100
    assert all(0 < row["relative_error"] < 1 for row in found if row["stage"] == "on weights")


def test_a_grown_circuit_trains_half_of_the_epochs_with_half_of_the_layers(tmp_path):
    found = study("two-stage", tmp_path, "finetune.epochs=3").execute()
    by_start = {row["start"]: row for row in found["rows"] if row["stage"] == "single stage"}
    assert by_start["grown"]["parameters"] == by_start["haar"]["parameters"]
    record = json.loads((tmp_path / "trainings" / "grown-none-seed0.json").read_text())
    assert len(record["epochs"]["accuracy"]) == 2
    half = sorted(path.name for path in (tmp_path / "snapshots").glob("grown-*-half-*"))
    assert half == [f"grown-{stage}-half-seed0.safetensors" for stage in ("none", "outputs", "weights")]


def test_growing_keeps_the_weights():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Linear(8, 16))
    adqc.compress_(model, adqc.Circuit(depth=2), select="0", fit=None, progress=False)
    before = model[0].weight.detach().clone()
    grow_(model, {"0": adqc.Circuit(depth=5)})
    assert model[0].circuit.config.depth == 5
    assert torch.allclose(model[0].weight, before, atol=1e-6)


def test_unitary_gates_stay_so_and_are_their_own_projection(finished):
    found = rows(finished, "unitarity", "penalty")
    assert list(found) == ["0", "0.01", "∞"]
    assert found["∞"]["unitarity"] == 0
    assert found["∞"]["projected"] == found["∞"]["accuracy"]
    assert found["0"]["unitarity"] > 0
    assert found["0"]["parameters"] > found["∞"]["parameters"]


def test_a_strong_penalty_keeps_free_gates_near_unitary_ones(tmp_path):
    shop = study("unitarity", tmp_path, "finetune.epochs=3").shop
    from adqc.relax import relax_, unitarity

    found = []
    for penalty in (0.0, 1000.0):

        def make():
            model, facts = shop.circuit(shop.dense(0), shop.configs, 0, fit=None)
            return relax_(model), facts

        options = {"penalty": penalty, "lr": 0.01, "after": lambda model: {"far": float(unitarity(model).detach())}}
        found.append(shop.train(f"p{penalty}", make, seed=0, **options)["far"])
    assert found[1] < 0.5 * found[0]


def test_deeper_circuits_store_more_and_fit_no_worse(finished):
    found = rows(finished, "depth", "depth")
    assert list(found) == [1, 3]
    assert found[3]["parameters"] > found[1]["parameters"]
    assert found[3]["relative_error"] < found[1]["relative_error"]


def test_layouts_have_equal_counts_but_the_flat_one(finished):
    found = rows(finished, "layout", "layout")
    assert list(found) == ["interleaved", "rows-first", "flat", "random 1"]
    counts = {name: row["parameters"] for name, row in found.items()}
    assert counts["interleaved"] == counts["rows-first"] == counts["random 1"] >= counts["flat"]
    assert len({row["relative_error"] for row in found.values()}) == 4


def test_flat_amplitudes_are_the_entries_row_after_row():
    weight = torch.randn(5, 6)
    flat = Flat(weight, load_recipe("fc2-mnist").circuits["fc1"], torch.Generator().manual_seed(0))
    assert flat.circuit.sites == 5
    assert torch.equal(flat().flatten(), flat.circuit())
    assert flat().shape == (5, 6)


def test_scale_tells_which_layers_lose_less_than_a_point(finished):
    found = finished[1]["scale"]["rows"]
    assert [row["kind"] for row in found] == ["dense", "one layer", "one layer", "together", "frozen"]
    base = found[0]["accuracy"]
    for row in found:
        assert row["drop"] == pytest.approx(base - row["accuracy"])
        assert row["within"] == ("yes" if row["drop"] <= 1 else "no")
    assert found[3]["weights"] == found[1]["weights"] + found[2]["weights"]
    assert found[4]["parameters"] == found[0]["parameters"] == 0
    best = max(found[1:3], key=lambda row: row["accuracy"])
    assert best["layers"] not in found[3]["layers"]


def test_called_again_a_study_trains_nothing_and_writes_the_same(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0] / "depth", tmp_path / "copy")
    monkeypatch.setattr(training, "finetune", None)
    before = (tmp_path / "copy" / "report.html").read_bytes()
    assert study("depth", tmp_path / "copy", seeds=2).execute() == finished[1]["depth"]
    assert write_report(tmp_path / "copy").read_bytes() == before


def test_more_seeds_only_train_what_is_new(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0] / "depth", tmp_path / "copy")
    trained = []
    kept = Workshop.keep
    monkeypatch.setattr(Workshop, "keep", lambda self, name, record: trained.append(name) or kept(self, name, record))
    found = study("depth", tmp_path / "copy", seeds=3).execute()
    assert trained == ["depth-1-seed2", "depth-3-seed2"]
    assert all(row["seeds"] == 3 for row in found["rows"])


def test_another_study_in_the_same_folder_is_refused(finished):
    with pytest.raises(ValueError, match="study: depth there, layout here"):
        study("layout", finished[0] / "depth")


def test_bad_input_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="unknown study 'speed': use one of two-stage"):
        find_study("speed")
    with pytest.raises(ValueError, match="at least 1 seed, got 0"):
        study("depth", tmp_path, seeds=0)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ValueError, match=r"study\.json is damaged"):
        write_report(tmp_path)


def test_cells():
    row = {"a": 3.14159, "a_deviation": 0.5, "seeds": 2, "b": "x", "c": math.inf, "parameters": 12.0}
    row["parameters_deviation"] = 0.0
    assert module._cell(row, "a", 2) == "3.14 ± 0.50"
    assert module._cell({**row, "seeds": 1}, "a", 2) == "3.14"
    assert module._cell(row, "b", None) == "x"
    assert module._cell(row, "c", 1) == "∞"
    assert module._cell(row, "parameters", 0) == "12"
    assert module._cell(row, "nothing", 0) == "–"


def test_the_scale_study_replaces_convolutions_of_a_resnet_by_name():
    model = load_recipe("resnet18-cifar10").make_model()
    assert not [part for part in model.modules() if isinstance(part, BrickWall)]
    assert model.get_submodule("layer4.1.conv2").weight.shape == (512, 512, 3, 3)
