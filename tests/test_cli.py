"""The command line, as a user has it: through processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import adqc
from adqc.checkpoint import save
from adqc.compress import compress_
from adqc.experiments.recipe import load_recipe
from adqc.experiments.runner import Run
from adqc.experiments.training import load_state
from adqc.qasm import load_qasm

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "train_images=300",
    "test_images=100",
    "dense.epochs=2",
    "finetune.epochs=4",
    "fit.sweeps=1",
    "circuits={fc2={depth=2}}",
]


def command(*args):
    return [sys.executable, "-m", "adqc.cli", *map(str, args)]


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if key != "ADQC_DATA"}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120", **more}


def adqc_command(*args, cwd=ROOT, **more):
    return subprocess.run(command(*args), cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300)


def said_in_one_sentence(done, *parts):
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr + done.stdout
    for part in parts:
        assert part in done.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Sequential(nn.Linear(20, 16)), nn.LSTM(16, 16))
    layers = {"0": adqc.Circuit(depth=3), "2.0": adqc.Circuit(depth=2, gate="so4", layout="rows-first")}
    layers["3.weight_hh_l0"] = adqc.Circuit(depth=2, wiring="staircase")
    compress_(model, select=layers, fit=None)
    path = tmp_path_factory.mktemp("file") / "small.safetensors"
    save(model, path)
    return path, model


# --- help ---------------------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_a_way_to_begin():
    done = adqc_command("--help")
    assert done.returncode == 0
    for name in ("run", "compare", "study", "plan", "verify", "export", "show", "data", "report"):
        assert f"\n  {name} " in done.stdout
    assert "adqc run lenet5-mnist --quick" in done.stdout
    # None of the commands' descriptions is cut.
    assert not [line for line in done.stdout.splitlines() if line.endswith("...") and "Usage" not in line]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("run",), ("--quick", "--resume", "--set", "--data", "--out", "--device", "--seed", "lenet5-mnist")),
        (("plan",), ("--depth", "--gate", "--layout", "--wiring", "--select")),
        (("verify",), ("--tolerance", "--json", "Exit code 1")),
        (("export",), ("--version", "--out", "OpenQASM")),
        (("show",), ("--draw",)),
        (("data", "fetch"), ("mnist, fashion-mnist, cifar10 or cifar100", "--url", "ADQC_DATA")),
        (("report",), ("--open",)),
        (("compare",), ("--budgets", "--seeds", "--rates", "--starts", "--methods", "--quick", "--set", "--out")),
        (("study",), ("two-stage, unitarity, depth, layout or scale", "--recipe", "--seeds", "--quick", "--out")),
    ],
)
def test_each_command_explains_itself(args, parts):
    done = adqc_command(*args, "--help")
    assert done.returncode == 0
    for part in parts:
        assert part in done.stdout


def test_the_version_is_told():
    done = adqc_command("--version")
    assert (done.returncode, done.stdout) == (0, f"adqc {adqc.__version__}\n")


@pytest.mark.parametrize(
    "args",
    [("nix",), ("run",), ("run", "lenet5-mnist", "--fast"), ("plan", "fc2", "--depth", "two"), ("data", "nix"),
     ("export", "x", "--version", "4")],
)  # fmt: skip
def test_wrong_usage_exits_with_two(args):
    done = adqc_command(*args)
    assert done.returncode == 2
    assert "Usage" in done.stderr
    assert "Traceback" not in done.stderr


# --- plan ---------------------------------------------------------------------------------------------------------


def test_plan_shows_a_recipes_and_a_networks_circuits():
    recipe = adqc_command("plan", "lenet5-mnist")
    assert recipe.returncode == 0
    total = next(line for line in recipe.stdout.splitlines() if line.lstrip().startswith("total"))
    assert "60,480" in total
    assert int(total.split()[2].replace(",", "")) <= 1500
    other = adqc_command("plan", "lenet5-mnist", "--depth", "2", "--gate", "so4")
    assert other.stdout != recipe.stdout
    network = adqc_command("plan", "fc2", "--depth", "6", "--select", "fc1")
    assert "200,704" in network.stdout
    assert "fc2 (2,560 weights)" in network.stdout


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("plan", "nix"), ("no recipe 'nix'",)),
        (("plan", "fc2", "--depth", "0"), ("depth",)),
        (("plan", "fc2", "--gate", "su5"), ("su5", "cartan")),
        (("plan", "fc2", "--select", "fc7"), ("fc7",)),
        (("plan", "lenet5-mnist", "--layout", "zigzag"), ("zigzag", "interleaved")),
        (("run", "nix"), ("no recipe 'nix'", "lenet5-mnist")),
        (("run", "lenet5-mnist", "--set", "finetune.epoch=3"), ("finetune.epoch", "did you mean epochs?")),
        (("run", "lenet5-mnist", "--data", "/nowhere"), ("MNIST was not found in /nowhere", "adqc data fetch mnist")),
        (("run", "lenet5-mnist", "--device", "warp"), ("no device 'warp'",)),
        (("show", "nix"), ("no file nix",)),
        (("verify", "nix"), ("no file nix",)),
        (("export", "nix"), ("no file nix",)),
        (("verify", "tests"), ("circuit.qasm",)),
        (("show", "README.md"), ("README.md",)),
        (("report", "tests"), ("tests holds no finished run",)),
        (("compare", "fc2-mnist", "--methods", "magic"), ("unknown method 'magic'", "cartan")),
        (("compare", "fc2-mnist", "--budgets", "many"), ("--budgets", "whole numbers", "'many'")),
        (("compare", "fc2-mnist", "--rates", "0.01;0.03"), ("--rates", "commas", "'0.01;0.03'")),
        (("compare", "fc2-mnist", "--factors", "1,x"), ("--factors", "commas", "'1,x'")),
        (("study", "speed"), ("unknown study 'speed'", "two-stage")),
        (("data", "fetch", "imagenet"), ("unknown data set 'imagenet'", "mnist")),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_one(args, parts):
    said_in_one_sentence(adqc_command(*args), *parts)


def test_an_unreachable_address_gets_one_sentence(tmp_path):
    done = adqc_command("data", "fetch", "mnist", "--data", tmp_path, "--url", "http://127.0.0.1:9")
    said_in_one_sentence(done, "could not download", str(tmp_path / "MNIST" / "raw"), "--url")


# --- files --------------------------------------------------------------------------------------------------------


def test_show_tells_what_is_in_a_file(checkpoint):
    path, model = checkpoint
    done = adqc_command("show", path, "--draw")
    assert done.returncode == 0
    assert "so4" in done.stdout
    assert f"{model[0].circuit.parameter_count:,}" in done.stdout
    assert "3.weight_hh_l0" in done.stdout
    assert "10 qubits" in done.stdout


def test_verify_needs_the_file_alone_and_its_exit_code_tells(checkpoint):
    path, _ = checkpoint
    done = adqc_command("verify", path)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    for part in ("2.0", "3.weight_hh_l0", "pennylane", "quimb", "qasm"):
        assert part in done.stdout
    strict = adqc_command("verify", path, "--tolerance", "1e-30")
    assert strict.returncode == 1
    assert "FAILED" in strict.stdout


@pytest.mark.parametrize("version", [2, 3])
def test_export_writes_circuits_that_verify_and_give_the_weight(checkpoint, tmp_path, version):
    path, model = checkpoint
    done = adqc_command("export", path, "--version", version, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["0", "2.0", "3.weight_hh_l0"]
    assert (tmp_path / "out" / "0" / "circuit.qasm").read_text().startswith(f"OPENQASM {version}.0;")
    wall = load_qasm(tmp_path / "out" / "2.0", dtype=torch.float32)
    torch.testing.assert_close(wall(), model[2][0].weight)
    assert adqc_command("verify", tmp_path / "out" / "0").returncode == 0


def test_free_gates_are_not_exported_and_nothing_is_written(tmp_path):
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(32, 32))
    compress_(model, select={"0": adqc.Circuit(depth=1), "1": adqc.Circuit(depth=1, gate="free")}, fit=None)
    save(model, tmp_path / "free.safetensors")
    done = adqc_command("export", tmp_path / "free.safetensors", "--out", tmp_path / "out")
    said_in_one_sentence(done, "1: ", "'free'", "project_")
    assert not (tmp_path / "out").exists()


def test_damaged_files_get_one_sentence(checkpoint, tmp_path):
    content = checkpoint[0].read_bytes()
    altered = content[:-1] + bytes([content[-1] ^ 1])
    for verb, name, changed in (
        ("show", "cut", content[:-7]),
        ("verify", "altered", altered),
        ("export", "empty", b""),
    ):
        (tmp_path / name).write_bytes(changed)
        said_in_one_sentence(adqc_command(verb, tmp_path / name), name)


def test_a_file_without_circuits_gets_one_sentence(tmp_path):
    save(nn.Linear(3, 3), tmp_path / "plain.safetensors")
    said_in_one_sentence(adqc_command("verify", tmp_path / "plain.safetensors"), "holds no circuits")


def test_a_reader_that_stops_early_is_no_error(checkpoint):
    shell = f"{sys.executable} -m adqc.cli show {checkpoint[0]} --draw | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


# --- runs ---------------------------------------------------------------------------------------------------------


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def has_begun(path):
    return path.is_file() and not load_state(path)[1]["history"]["done"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return Run(load_recipe("lenet5-mnist", changes=TINY), folder=folder, data=ROOT / "data", progress=False).execute()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_to_the_same_result(tmp_path, whole, sent):
    changes = [part for change in TINY for part in ("--set", change)]
    process = subprocess.Popen(
        command("run", "lenet5-mnist", *changes, "--out", tmp_path / "run"),
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # Tests that run in the background of a shell ignore Ctrl-C, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait_for(lambda: has_begun(tmp_path / "run" / "stages" / "circuit.safetensors"), process)
    process.send_signal(sent)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if sent == signal.SIGKILL else 130)
    if sent == signal.SIGINT:
        assert error.strip().endswith("stopped; go on with --resume")
        assert "Traceback" not in error
        assert not list((tmp_path / "run").rglob("*.part"))
    for path in (tmp_path / "run").rglob("*.safetensors"):
        load_state(path)
    done = adqc_command("run", "lenet5-mnist", *changes, "--out", tmp_path / "run", "--resume")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for part in ("dense", "finetune"):
        assert found[part]["epochs"]["loss"] == whole[part]["epochs"]["loss"]
        assert found[part]["accuracy"] == whole[part]["accuracy"]
    assert found["controls"]["tensor train"]["accuracy"] == whole["controls"]["tensor train"]["accuracy"]


def test_the_short_demo_does_all_that_the_demo_does(tmp_path):
    done = adqc_command("run", "lenet5-mnist", "--quick", cwd=tmp_path, ADQC_DATA=str(ROOT / "data"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "lenet5-mnist-quick"
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy = {row["network"]: row["accuracy"] for row in metrics["summary"]["rows"]}
    assert accuracy["dense"] > 90
    assert accuracy["circuit, stage 2"] > accuracy["frozen"] + 5
    assert metrics["plan"]["weights"] == 60_480
    assert metrics["plan"]["parameters"] <= 1500
    assert metrics["verify"]["passed"]
    assert metrics["verify"]["largest"] < 1e-10
    for layer in ("conv2", "fc1", "fc2"):
        assert (folder / "circuits" / layer / "circuit.qasm").is_file()
    for part in ("What would be compressed", "After stage 1", "test accuracy", "short form", "passed", "report.html"):
        assert part in done.stdout
    assert done.stdout.count("met: ") == len(metrics["summary"]["aims"])
    shown = adqc_command("show", folder / "model.safetensors")
    assert shown.returncode == 0
    assert (folder / "model.safetensors").stat().st_size < 30_000
