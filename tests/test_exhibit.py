"""From a run to the gallery: what is written is whole and right, and the command makes the run again."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from adqc.experiments import exhibit
from adqc.experiments.exhibit import add_run, draw_weight
from adqc.experiments.recipe import load_recipe
from adqc.experiments.runner import Run
from adqc.gallery import exact_weight, read_entry, read_gallery

DATA = Path(__file__).resolve().parents[1] / "data"
CHANGES = [
    "train_images=300",
    "test_images=200",
    "dense.epochs=1",
    "finetune.epochs=1",
    "fit.sweeps=1",
    'circuits={fc1={depth=2},fc2={depth=2,gate="so4"}}',
    'controls={"random sharing"={method="hashing"}}',
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    recipe = load_recipe("lenet5-mnist", changes=CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        # The report takes as long as all the rest, and plays no part here.
        patch.setattr("adqc.experiments.runner.write_report", lambda folder: folder)
        return folder, Run(recipe, folder=folder, data=DATA, progress=False).execute()


@pytest.fixture
def run(finished, tmp_path):
    """A copy that a test may harm."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder, ignore=shutil.ignore_patterns("stages", "report.html"))
    return folder


def test_every_circuit_of_a_run_becomes_an_entry(finished, tmp_path):
    folder, metrics = finished
    entries = add_run(folder, tmp_path / "circuits")
    assert [entry.name for entry in entries] == ["lenet5-mnist-fc1", "lenet5-mnist-fc2"]
    gallery = read_gallery(tmp_path / "circuits")
    assert gallery.entries == tuple(entries)
    for entry in entries:
        result = entry.about["accuracy"]
        assert result["network"] == metrics["finetune"]["accuracy"]
        assert result["dense"] == metrics["dense"]["accuracy"]
        assert result["controls"]["random sharing"]["accuracy"] == metrics["controls"]["random sharing"]["accuracy"]
        assert (result["train_images"], result["test_images"]) == (300, 200)
        assert result["layers"] == ["fc1", "fc2"]
        (fitted,) = [row for row in metrics["fit"]["layers"] if row["name"] == entry.about["layer"]]
        assert entry.about["relative_error"] == fitted["relative_error"] > 0
        assert entry.evaluate(DATA) == result["network"]
        wall = entry.wall()
        for _, found, expected in entry.references(wall):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        network = entry.network().get_submodule(entry.about["layer"]).circuit
        torch.testing.assert_close(exact_weight(network), exact_weight(wall), rtol=0, atol=1e-12)
        assert {path.name for path in entry.folder.iterdir()} == {
            "circuit.qasm", "card.json", "network.safetensors", "picture.png", "README.md",
        }  # fmt: skip
    assert not list((tmp_path / "circuits").glob(".*"))


def test_the_command_makes_the_run_again(finished, tmp_path):
    entry = add_run(finished[0], tmp_path)[0]
    words = shlex.split(entry.about["commands"][0])
    assert words[:3] == ["adqc", "run", "lenet5-mnist"]
    changes = words[4::2]
    assert set(words[3::2]) == {"--set"}
    assert load_recipe("lenet5-mnist", changes=changes) == load_recipe("lenet5-mnist", changes=CHANGES)
    assert entry.about["commands"][1] == "adqc gallery add runs/lenet5-mnist"


@pytest.mark.parametrize("name", ["fc2-mnist", "lenet5-mnist"])
def test_the_command_of_a_plain_or_short_run_is_short(name):
    assert exhibit._commands_of(load_recipe(name)) == [f"adqc run {name}"]
    assert exhibit._commands_of(load_recipe(name, quick=True)) == [f"adqc run {name} --quick"]
    seeded = load_recipe(name, quick=True, changes=["seed=3", 'title="Mine, of 2"'])
    (command,) = exhibit._commands_of(seeded)
    assert command.startswith(f"adqc run {name} --quick --set ")
    assert load_recipe(name, quick=True, changes=shlex.split(command)[5::2]) == seeded


def test_data_that_the_checkout_lacks_are_fetched_first():
    recipe = load_recipe("lenet5-mnist", changes=["data=fashion-mnist"])
    assert exhibit._commands_of(recipe)[0] == "adqc data fetch fashion-mnist"
    assert len(exhibit._commands_of(recipe)) == 2


def test_layers_names_and_commands_can_be_chosen(finished, tmp_path):
    add_run(finished[0], tmp_path)
    (entry,) = add_run(finished[0], tmp_path, layers=["fc2"], prefix="mine", command="make it", licence="CC0-1.0")
    assert entry.name == "mine-fc2"
    assert entry.about["commands"] == ["make it", "adqc gallery add runs/lenet5-mnist --layer fc2 --name mine"]
    assert entry.about["licence"] == "CC0-1.0"
    assert len(read_gallery(tmp_path).entries) == 3


def test_an_entry_is_replaced_whole(finished, tmp_path):
    add_run(finished[0], tmp_path, layers=["fc1"])
    (tmp_path / "lenet5-mnist-fc1" / "old").write_text("")
    add_run(finished[0], tmp_path, layers=["fc1"])
    assert not (tmp_path / "lenet5-mnist-fc1" / "old").exists()


def test_a_large_network_stays_out(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(exhibit, "MOST_BYTES", 1000)
    (entry,) = add_run(finished[0], tmp_path, layers=["fc1"])
    assert entry.about["checkpoint"] is None
    assert not (entry.folder / "network.safetensors").exists()
    assert "network.safetensors" not in (entry.folder / "README.md").read_text()


def rewrite(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("harm", "options", "kind", "said"),
    [
        (lambda r: (r / "metrics.json").unlink(), {}, FileNotFoundError, "holds no finished run"),
        (lambda r: (r / "metrics.json").write_text("{"), {}, ValueError, "metrics.json is damaged"),
        (lambda r: rewrite(r / "metrics.json", lambda v: v.pop("dense")), {}, ValueError, "metrics.json is .*'dense'"),
        (lambda r: (r / "recipe.json").unlink(), {}, FileNotFoundError, "recipe.json"),
        (lambda r: (r / "model.safetensors").write_bytes(b"no"), {}, ValueError, "model.safetensors is cut short"),
        (lambda r: rewrite(r / "recipe.json", lambda v: v.update(name="mine")), {}, ValueError, "say it with --comm"),
        (lambda r: None, {"layers": ["fc9"]}, ValueError, "has no circuit for fc9: it has fc1, fc2"),
        (
            lambda r: rewrite(r / "metrics.json", lambda v: v["finetune"].update(accuracy=None)),
            {},
            ValueError,
            "card.gallery.accuracy.network must be of type number, got None",
        ),
    ],
)
def test_what_is_wrong_with_a_run_is_said_and_nothing_written(run, tmp_path, harm, options, kind, said):
    harm(run)
    with pytest.raises(kind, match=said):
        add_run(run, tmp_path / "circuits", **options)
    assert not list((tmp_path / "circuits").rglob("*"))


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2, 2), (200, 120)])
def test_pictures_of_any_shape(shape, tmp_path):
    from adqc import BrickWall, Circuit

    wall = BrickWall(shape, Circuit(depth=3))
    before = wall.gates.clone()
    draw_weight(wall, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert torch.equal(wall.gates, before)
    assert wall.gates.dtype == before.dtype


def test_cards_read_back_equal(finished, tmp_path):
    for entry in add_run(finished[0], tmp_path):
        assert read_entry(entry.folder) == entry
