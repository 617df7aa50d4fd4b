"""Recipes and runs: what a recipe may say, what a run leaves, and that a stopped run goes on as if it had not been."""

import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from rich.console import Console

from adqc.checkpoint import load_
from adqc.config import Circuit
from adqc.experiments import training
from adqc.experiments.batches import Augment, Batches
from adqc.experiments.controls import put_control_
from adqc.experiments.models import MODELS, image_shape, make_model, narrow_model
from adqc.experiments.recipe import load_recipe, recipe_from_dict, recipe_names
from adqc.experiments.runner import Run
from adqc.experiments.summary import summarise
from adqc.experiments.training import Taught, load_model_, load_state, measure, save_state, train, write_atomically
from adqc.qasm import load_qasm

DATA = Path(__file__).resolve().parents[1] / "data"

TINY = """
title = "Tiny"
model = "lenet5"
data = "mnist"
seed = 3
train_images = 300
test_images = 100
rescale = true
dense = { epochs = 2, batch_size = 50, augment = { shift = 1 } }
fit = { sweeps = 2 }

[circuits]
conv2 = { depth = 2 }
fc2 = { depth = 2 }

[finetune]
epochs = 3
batch_size = 100
ema = 0.8
label_smoothing = 0.05
schedule = "one-cycle"
distil = { weight = 0.5 }
augment = { rotate = 5 }

[aims]
accuracy = 99.9
gap = 0.5
parameters = 1500
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    metrics = Run(load_recipe(tiny), folder=folder, data=DATA, progress=False).execute()
    return folder, metrics


# --- recipes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("quick", [False, True])
def test_every_recipe_that_comes_along_is_sound_and_survives_json(name, quick):
    recipe = load_recipe(name, quick=quick)
    assert recipe.name == name
    assert recipe.quick == quick
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    shorter = load_recipe(name, quick=True)
    assert 0 < shorter.train_images <= 10_000
    assert shorter.finetune.epochs < load_recipe(name).finetune.epochs


def test_the_demo_is_what_it_says():
    recipe = load_recipe("lenet5-mnist")
    assert recipe.aims.accuracy == 98.3
    assert recipe.aims.gap == 0.7
    assert recipe.aims.parameters == 1500
    assert set(recipe.circuits) == {"conv2", "fc1", "fc2"}
    assert {control.method for control in recipe.controls.values()} == {"frozen", "tensor-train", "cosine"}


def test_changes_reach_every_depth_and_beat_the_short_form(tiny):
    changes = ["seed=7", "finetune.epochs=4", "circuits.fc2.gate=so4", "circuit.depth=3", "finetune.augment.shift=2.5"]
    recipe = load_recipe(tiny, changes=changes)
    assert (recipe.seed, recipe.finetune.epochs, recipe.finetune.augment.shift) == (7, 4, 2.5)
    assert recipe.circuits["fc2"] == Circuit(depth=2, gate="so4")
    assert load_recipe("lenet5-mnist", quick=True, changes=["train_images=50"]).train_images == 50
    assert load_recipe(tiny, changes=["circuits.conv2.layout=[0,2,1,3,5,4,6,7,8,9,10,11,12]"]).circuits[
        "conv2"
    ].layout == (0, 2, 1, 3, 5, 4, 6, 7, 8, 9, 10, 11, 12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("finetune.epoch=3", r"unknown key 'finetune.epoch': did you mean epochs\?"),
        ("circuits.fc2.dept=3", r"unknown key 'circuits.fc2.dept': did you mean depth\?"),
        ("zzz=1", "unknown key 'zzz': there are name, title"),
        ("finetune.epochs=two", "finetune.epochs must be a whole number, got 'two'"),
        ("finetune.epochs=true", "finetune.epochs must be a whole number, got True"),
        ("seed=1.5", "seed must be a whole number, got 1.5"),
        ("finetune.epochs=-1", "epochs must be at least 0"),
        ("finetune.lr=0", "learning rates must be above 0"),
        ("finetune.ema=1", r"ema and label_smoothing lie in \[0, 1\)"),
        ("finetune.schedule=linear", "unknown schedule 'linear': use one of cosine"),
        ("finetune.augment.shift=-1", "augment.shift is the largest change and cannot be negative"),
        ("finetune.distil.weight=2", "a weight from 0 to 1"),
        ("finetune=3", "finetune.? must be a table"),
        ("circuits=3", "circuits must be a table"),
        ("circuits.fc2.depth=0", "circuits.fc2: depth counts layers"),
        ("circuits.fc2.gate=su5", "circuits.fc2: .*'su5'"),
        ("model=resnet", "unknown network 'resnet': use one of lenet5, fc2"),
        ("data=imagenet", "unknown data set 'imagenet'"),
        ("data=cifar10", "'lenet5' takes images of 1×28×28, those of cifar10 are 3×32×32"),
        ("controls.frozen.method=x", "controls.frozen: unknown control 'x'"),
        ("controls.frozen={method='frozen', lr=-1}", "controls.frozen: the learning rate"),
        ("train_images=-5", "cannot be negative"),
        ("epochs", "key=value, e.g. finetune.epochs=3, got 'epochs'"),
        ("=3", "key=value"),
    ],
)
def test_bad_changes_get_a_sentence(tiny, change, said):
    with pytest.raises(ValueError, match=said) as error:
        load_recipe(tiny, changes=[change])
    assert "\n" not in str(error.value)


def test_recipes_that_are_not_there_or_no_toml(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe 'nix': use one of .*lenet5-mnist"):
        load_recipe("nix")
    with pytest.raises(FileNotFoundError, match="no recipe file"):
        load_recipe(tmp_path / "nix.toml")
    (tmp_path / "bad.toml").write_text("title = ")
    with pytest.raises(ValueError, match="no valid TOML"):
        load_recipe(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text('title = "x"\ndata = "mnist"\ncircuits = { a = {} }')
    with pytest.raises(ValueError, match="model is missing: set it"):
        load_recipe(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text('title = "x"\ndata = "mnist"\nmodel = "fc2"\ncircuits = {}')
    with pytest.raises(ValueError, match="at least one layer"):
        load_recipe(tmp_path / "bad.toml")


def test_the_recipes_files_have_no_keys_twice():
    for path in (Path(training.__file__).parent / "recipes").glob("*.toml"):
        assert tomllib.loads(path.read_text())["title"]


# --- networks -----------------------------------------------------------------------------------------------------


def test_lenet_has_the_weights_that_the_tables_count():
    model = make_model("lenet5")
    sizes = [getattr(model, name).weight.numel() for name in ("conv2", "fc1", "fc2")]
    assert sizes == [2400, 48_000, 10_080]
    assert sum(sizes) == 60_480
    assert sum(p.numel() for p in model.parameters()) == 61_706


@pytest.mark.parametrize("name", MODELS)
def test_networks_start_from_their_seed_and_leave_torchs_generator_alone(name):
    state = torch.get_rng_state()
    one, two, other = make_model(name, seed=1), make_model(name, seed=1), make_model(name, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    images = torch.rand(2, *image_shape(name))
    assert one(images).shape == (2, 10)
    assert torch.equal(one(images), two(images))
    assert not torch.equal(one(images), other(images))
    with pytest.raises(ValueError, match="unknown network"):
        make_model("nix")


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("fc2", ["fc1"], 200_704),
        ("small-vgg", ["conv2", "conv3", "conv4"], 239_616),
        ("small-vgg-mean", ["conv2", "conv3", "conv4"], 239_616),
        ("vgg16", ["conv11", "conv12", "conv13"], 7_077_888),
        ("vgg16", ["fc1", "fc2"], 10_485_760),
        ("alexnet", ["fc1", "fc2"], 33_554_432),
        ("zfnet", ["conv3", "conv4", "conv5"], 3_096_576),
        ("resnet18", ["layer4.0.conv2", "layer4.1.conv1", "layer4.1.conv2"], 7_077_888),
        ("resnet50", ["layer4.0.conv2", "layer4.1.conv2", "layer4.2.conv2"], 7_077_888),
    ],
)
def test_layers_have_the_sizes_that_the_recipes_name(name, layers, weights):
    with torch.device("meta"):
        model = make_model(name, classes=100)
    assert sum(model.get_submodule(layer).weight.numel() for layer in layers) == weights
    assert [module for module in model.modules() if hasattr(module, "weight")][-1].weight.shape[0] == 100


def test_resnets_have_torchvisions_names_and_sizes():
    """Counts of torchvision's networks for 1000 classes, with the stem and the last layer of CIFAR's version."""
    for name, count, last in (("resnet18", 11_689_512, 512), ("resnet50", 25_557_032, 2048)):
        with torch.device("meta"):
            model = make_model(name)
        expected = count - 64 * 3 * (49 - 9) - 990 * (last + 1)
        assert sum(p.numel() for p in model.parameters()) == expected
        assert "layer2.0.downsample.0.weight" in model.state_dict()


def test_means_of_maps_do_not_see_where_things_are():
    """Unlike the network with a flat last layer; by whole pooling windows, and far from the borders."""
    images = torch.zeros(2, 3, 32, 32)
    images[0, :, 12:16, 12:16] = images[1, :, 16:20, 16:20] = torch.rand(
        3, 4, 4, generator=torch.Generator().manual_seed(0)
    )
    for name, same in (("small-vgg-mean", True), ("small-vgg", False)):
        model = make_model(name, seed=0).eval()
        assert torch.allclose(*model(images), atol=1e-6) is same


@pytest.mark.parametrize(
    ("name", "total"),
    [("fc2", 3000), ("lenet5", 3000), ("small-vgg", 22_000), ("small-vgg-mean", 3400), ("resnet18", 10**5)],
)
def test_narrow_networks_use_what_they_may(name, total):
    model = narrow_model(name, total, seed=0)
    count = sum(p.numel() for p in model.parameters())
    assert 0.6 * total < count <= total
    assert model(torch.rand(2, *image_shape(name))).shape == (2, 10)
    with pytest.raises(ValueError, match="the narrowest network has"):
        narrow_model(name, 10)


# --- training -----------------------------------------------------------------------------------------------------


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "sub" / "note"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    with pytest.raises(TypeError):
        write_atomically(path, "text")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in path.parent.iterdir()] == ["note"]


def test_states_come_back_bit_by_bit_and_damage_is_told(tmp_path):
    path = tmp_path / "state.safetensors"
    tensors = {"a": torch.randn(3, 4), "b.c": torch.tensor(5)}
    save_state(path, tensors, {"x": [1, 2.5]})
    found, note = load_state(path)
    assert note == {"x": [1, 2.5]}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"is damaged .*start anew without --resume"):
        load_state(path)


def test_targets_carry_the_teachers_scores_behind_the_label():
    images = torch.randint(0, 256, (6, 1, 28, 28)).to(torch.uint8)
    plain = Batches(images, torch.arange(6), batch_size=4, mean=(0.1,), std=(0.3,), seed=0)
    teacher = make_model("fc2", seed=0)
    taught = Taught(plain, teacher)
    assert len(taught) == 2
    (inputs, targets), _ = taught
    torch.testing.assert_close(targets[:, 1:], teacher(inputs))
    assert targets[:, 0].tolist() != [0, 1, 2, 3]


def test_distillation_at_full_weight_is_the_divergence_from_the_teacher(tiny):
    recipe = load_recipe(tiny, changes=["finetune.distil.weight=1", "finetune.distil.temperature=3"])
    loss = training._loss(recipe.finetune)
    own, taught = torch.randn(5, 10), torch.randn(5, 10)
    targets = torch.cat([torch.zeros(5, 1), taught], 1)
    p, q = (taught / 3).softmax(1), (own / 3).softmax(1)
    torch.testing.assert_close(loss(own, targets), 9 * (p * (p / q).log()).sum(1).mean())
    assert loss(taught, targets).abs() < 1e-6


@pytest.mark.parametrize("schedule", ["cosine", "constant", "one-cycle"])
def test_schedules_stay_within_bounds_and_end_low(schedule):
    factors = [training._factor(schedule, k / 100) for k in range(100)]
    assert 0 <= min(factors) <= max(factors) <= 1
    assert (factors[-1] < 0.01) == (schedule != "constant")
    assert (factors[0] < 0.1) == (schedule == "one-cycle")


def test_a_loss_that_is_not_finite_is_told(tiny, tmp_path):
    recipe = load_recipe(tiny, changes=["dense.lr=1e30", "dense.epochs=3"])
    with pytest.raises(FloatingPointError, match="lower lr"):
        Run(recipe, folder=tmp_path, data=DATA, progress=False).execute()


def test_a_snapshot_of_another_model_is_refused(finished, tiny, tmp_path):
    folder, _ = finished
    shutil.copy(folder / "stages" / "dense.safetensors", tmp_path / "dense.safetensors")
    batches = Batches(torch.zeros(4, 1, 28, 28).byte(), torch.zeros(4).long(), batch_size=2, mean=(0.0,), std=(1.0,))
    recipe = load_recipe(tiny)
    with pytest.raises(ValueError, match="belongs to another model"):
        train(make_model("fc2"), batches, batches, recipe.dense, path=tmp_path / "dense.safetensors")


def trained(batches, share, steps=2):
    """What one process of several gets of every batch, and with which weight."""
    batches.share = share
    return [(images, labels, batches.weight) for _ in range(steps) for images, labels in batches]


def test_processes_share_a_batch_and_their_mean_is_that_of_the_whole():
    images = torch.randint(0, 256, (11, 1, 28, 28)).to(torch.uint8)

    def make():
        augment = Augment(shift=2)
        return Batches(images, torch.arange(11) % 10, batch_size=4, mean=(0.1,), std=(0.3,), seed=0, augment=augment)

    model = make_model("fc2", seed=0)
    whole = trained(make(), (0, 1))
    parts = [trained(make(), (k, 3)) for k in range(3)]
    assert len(whole) == 6
    for step, (inputs, labels, weight) in enumerate(whole):
        assert weight == 1
        expected = torch.nn.functional.cross_entropy(model(inputs), labels)
        own = [torch.nn.functional.cross_entropy(model(x), y) * w for x, y, w in (part[step] for part in parts)]
        torch.testing.assert_close(sum(own) / 3, expected)
        if len(labels) >= 3:
            assert torch.equal(torch.cat([part[step][1] for part in parts]), labels)


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tiny, tmp_path):
    """Over gloo, as a user would start them."""
    options = ["--data", str(DATA), "--set", "finetune.augment.rotate=0", "--set", "train_images=250"]
    command = [sys.executable, "-m", "adqc", "run", str(tiny), *options, "--out"]
    # accelerate launches several processes on a CPU through MPI only; torch's launcher needs none.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(DATA.parent), "OMP_NUM_THREADS": "1"}
    found = []
    for start, name in ((command, "one"), ([*launch, *command[1:]], "two")):
        done = subprocess.run(
            [*start, str(tmp_path / name)], capture_output=True, text=True, env=environment, timeout=100
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("What would be compressed") == 1
        found.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    assert [metrics["machine"]["processes"] for metrics in found] == [1, 2]
    for part in ("dense", "finetune"):
        one, two = (torch.tensor(metrics[part]["epochs"]["loss"]) for metrics in found)
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
        assert found[0][part]["accuracy"] == pytest.approx(found[1][part]["accuracy"], abs=1.01)
    states = [load_state(tmp_path / name / "stages" / "circuit.safetensors")[0] for name in ("one", "two")]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-2, atol=1e-3)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_a_run_leaves_everything_behind(finished):
    folder, metrics = finished
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    for name in (
        "report.html",
        "model.safetensors",
        "recipe.json",
        "circuits/conv2/circuit.qasm",
        "circuits/fc2/card.json",
    ):
        assert (folder / name).is_file(), name
    assert not list(folder.rglob("*.part"))
    assert metrics["verify"]["passed"]
    assert metrics["verify"]["largest"] < 1e-10
    assert [row["network"] for row in metrics["summary"]["rows"]] == [
        "dense",
        "circuit, stage 1",
        "circuit, stage 2",
        "frozen",
        "tensor train",
    ]
    assert {"torch", "adqc", "python", "pennylane", "quimb"} <= set(metrics["machine"]["versions"])
    assert metrics["recipe"]["seed"] == 3
    for entry in (metrics["dense"], metrics["finetune"], *metrics["controls"].values()):
        epochs = entry["epochs"]
        assert len(epochs["loss"]) == len(epochs["accuracy"]) == len(epochs["seconds"]) > 0
        assert entry["accuracy"] == epochs["accuracy"][-1]


def test_parameters_are_counted_as_stored(finished):
    _, metrics = finished
    layers = metrics["fit"]["layers"]
    assert sum(layer["parameters"] for layer in layers) == metrics["plan"]["parameters"]
    train = metrics["controls"]["tensor train"]
    assert 0 < train["parameters"] <= metrics["plan"]["parameters"]
    for layer in layers:
        assert 0 < train["layers"][layer["name"]] <= layer["parameters"]
    assert metrics["controls"]["frozen"]["parameters"] == 0


def test_other_circuits_stand_beside_and_what_does_not_fit_is_left_out(tiny, tmp_path):
    changes = [
        "train_images=100", "dense.epochs=1", "finetune.epochs=1", "finetune.distil.weight=0", "fit.sweeps=0",
        "circuits={conv2={depth=7}, fc2={depth=7}}", "cosines={conv2={frequencies=[0, 0, 4, 4]}}",
        'controls={wider={method="wide"}, "of cosines"={method="cosine", lr=0.01}, thin={method="low-rank"}}',
    ]  # fmt: skip
    console = Console(file=io.StringIO(), width=200)
    recipe = load_recipe(tiny, changes=changes)
    metrics = Run(recipe, folder=tmp_path, data=DATA, progress=False, console=console).execute()
    budget = metrics["plan"]["parameters"]
    assert list(metrics["controls"]) == ["wider", "of cosines"]
    for entry in metrics["controls"].values():
        assert 0.5 * budget < entry["parameters"] == sum(entry["layers"].values()) <= budget
    # Of rivals alone it is said who is ahead.
    assert not any("wider" in aim["sentence"] for aim in metrics["summary"]["aims"])
    assert [row["network"] for row in metrics["summary"]["rows"]][3:] == ["wider", "of cosines"]
    assert "Without the control “thin”: " in console.file.getvalue()
    assert list(metrics["left_out"]) == ["thin"]
    assert "Without the control “thin”: conv2: low rank" in (tmp_path / "report.html").read_text(encoding="utf-8")
    model = make_model("lenet5")
    put_control_(model, recipe, "cosine", dict.fromkeys(("conv2", "fc2"), budget // 2))
    load_model_(model, tmp_path / "stages" / "of-cosines.safetensors")
    assert model.conv2.circuit.config.frequencies == (0, 0, 4, 4)
    assert (
        measure(model, Run(recipe, folder=tmp_path, data=DATA, resume=True)._test())
        == metrics["controls"]["of cosines"]["accuracy"]
    )


def test_the_checkpoint_is_the_network_of_the_table(finished):
    folder, metrics = finished
    model = load_(make_model("lenet5"), folder / "model.safetensors")
    run = Run(load_recipe_of(folder), folder=folder, data=DATA, resume=True, progress=False)
    assert measure(model, run._test()) == metrics["finetune"]["accuracy"]
    wall = load_qasm(folder / "circuits" / "fc2", dtype=torch.float32)
    torch.testing.assert_close(wall(), model.fc2.weight, atol=1e-5, rtol=1e-4)


def load_recipe_of(folder):
    return recipe_from_dict(json.loads((folder / "recipe.json").read_text()))


def test_after_stage_one_the_norm_of_the_trained_weight_comes_back(finished):
    folder, _ = finished
    recipe = load_recipe_of(folder)
    run = Run(recipe, folder=folder, data=DATA, resume=True, progress=False)
    dense, _ = run._train_dense()
    model, _ = run._fit(dense)
    torch.testing.assert_close(model.fc2.weight.norm(), dense.fc2.weight.norm())


def strip(metrics):
    """Without what may differ between two runs: seconds."""
    if isinstance(metrics, dict):
        return {key: strip(value) for key, value in metrics.items() if key != "seconds"}
    return [strip(value) for value in metrics] if isinstance(metrics, list) else metrics


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6, 8, 11])
def test_a_run_stopped_anywhere_goes_on_to_the_same_result(finished, tiny, tmp_path, monkeypatch, stop):
    folder, expected = finished
    calls = 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return measure(*args)

    for module in ("training", "runner"):
        monkeypatch.setattr(f"adqc.experiments.{module}.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Run(load_recipe(tiny), folder=tmp_path, data=DATA, progress=False).execute()
    assert not (tmp_path / "metrics.json").exists()
    run = Run(load_recipe(tiny), folder=tmp_path, data=DATA, resume=True, progress=False)
    monkeypatch.setattr(run, "_verify", lambda model: expected["verify"])
    monkeypatch.setattr(run, "_report", lambda: None)
    assert strip(run.execute()) == strip(expected)
    one, two = (load_state(path / "stages" / "circuit.safetensors")[0] for path in (folder, tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_finished_run_resumed_trains_nothing(finished, tmp_path, monkeypatch):
    folder, expected = finished
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr("adqc.experiments.training.finetune", None)
    monkeypatch.setattr(Run, "_verify", lambda self, model: expected["verify"])
    again = Run(load_recipe_of(folder), folder=tmp_path / "copy", data=DATA, resume=True, progress=False).execute()
    assert again == expected


def test_another_recipe_cannot_resume_and_a_new_run_replaces_the_old(finished, tiny, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    other = load_recipe(tiny, changes=["finetune.epochs=9", "seed=4"])
    with pytest.raises(ValueError, match=r"another recipe \(seed: 3 there, 4 here; finetune.epochs: 3 there, 9 here\)"):
        Run(other, folder=tmp_path / "copy", data=DATA, resume=True)
    assert (tmp_path / "copy" / "metrics.json").exists()
    Run(other, folder=tmp_path / "copy", data=DATA)
    assert not list((tmp_path / "copy" / "stages").iterdir())
    assert not (tmp_path / "copy" / "metrics.json").exists()


def test_bad_runs_are_refused_before_anything_is_written(tiny, tmp_path):
    recipe = load_recipe(tiny)
    with pytest.raises(FileNotFoundError, match="not found"):
        Run(recipe, folder=tmp_path / "run", data=tmp_path)
    with pytest.raises(ValueError, match=r"no device 'cuda:99' here"):
        Run(recipe, folder=tmp_path / "run", data=DATA, device="cuda:99")
    with pytest.raises(ValueError, match="fc9"):
        Run(load_recipe(tiny, changes=["circuits.fc9.depth=2"]), folder=tmp_path / "run", data=DATA)
    assert not (tmp_path / "run").exists()


def test_the_aims_say_what_is_met():
    metrics = {
        "dense": {"accuracy": 99.0, "seconds": 1.0},
        "fit": {"accuracy": 10.0, "seconds": 1.0},
        "finetune": {"accuracy": 98.35, "seconds": 1.0},
        "plan": {"weights": 60_480, "parameters": 1334},
        "controls": {
            "frozen": {"accuracy": 93.0, "parameters": 0, "seconds": 1.0, "method": "frozen"},
            "tensor train": {"accuracy": 98.35, "parameters": 1278, "seconds": 1.0, "method": "tensor-train"},
        },
        "recipe": {"aims": {"accuracy": 98.3, "gap": 0.6, "parameters": 1334}},
    }
    aims = summarise(metrics)["aims"]
    assert [aim["met"] for aim in aims] == [True, False, True, True, False]
    assert aims[1]["sentence"] == "they are 0.65 points below the dense network, the aim is at most 0.6 below"
    assert "level with the control “tensor train”" in aims[4]["sentence"]
