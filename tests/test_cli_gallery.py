"""The commands that read, check and fill the gallery, and verify on files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import adqc
from adqc.cli import app
from adqc.gallery import Entry, read_entry, write_index
from adqc.qasm import save_qasm

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "circuits"


def adqc_command(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def said_in_one_sentence(done, *parts):
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert isinstance(done.exception, SystemExit)
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def small(tmp_path):
    """A gallery of one entry, the smallest."""
    folder = tmp_path / "circuits"
    shutil.copytree(FOLDER / "lenet5-mnist-conv2", folder / "lenet5-mnist-conv2")
    write_index(folder)
    return folder


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ((), ("\n  gallery ",)),
        (("gallery",), ("--folder", "--json", "\n  add ", "\n  index ", "\n  evaluate ")),
        (("gallery", "add"), ("--layer", "--name", "--command", "--licence", "--folder")),
        (("gallery", "evaluate"), ("--folder", "--data", "0.05 points")),
    ],
)
def test_each_command_explains_itself(args, parts):
    done = adqc_command(*args, "--help")
    assert done.exit_code == 0
    for part in parts:
        assert part in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.endswith("...") and "Usage" not in line]


def test_the_gallery_is_listed():
    done = adqc_command("gallery", "--folder", FOLDER)
    assert done.exit_code == 0, done.output
    listed = json.loads((FOLDER / "index.json").read_text())["entries"]
    for entry in listed:
        (line,) = [line for line in done.stdout.splitlines() if line.lstrip().startswith(entry["name"])]
        assert f"{entry['accuracy']:.2f} %" in line
    assert json.loads(adqc_command("gallery", "--folder", FOLDER, "--json").stdout) == listed


@pytest.mark.parametrize(("measured", "code"), [(0.04, 0), (-0.06, 1), (0.5, 1)])
def test_the_networks_are_measured_anew(small, monkeypatch, measured, code):
    entry = read_entry(small / "lenet5-mnist-conv2")
    said = entry.about["accuracy"]["network"]
    # What evaluate itself does is tested with the entries.
    monkeypatch.setattr(Entry, "evaluate", lambda self, data: said + measured)
    for names in ([], [entry.name]):
        done = adqc_command("gallery", "evaluate", *names, "--folder", small)
        assert done.exit_code == code, done.output
        assert f"{said:.2f} %" in done.stdout
        assert f"{said + measured:.2f} %" in done.stdout


def test_verify_compares_text_card_and_network(small):
    done = adqc_command("verify", small, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["passed"]
    compared = {row["route"]: row["passed"] for row in found["rows"]}
    for route in ("pennylane", "quimb", "halves", "qasm", "qasm in quimb", "card", "checkpoint"):
        assert compared[route] is True
    assert "qasm in qiskit" in compared
    table = adqc_command("verify", small / "lenet5-mnist-conv2", "--tolerance", "1e-30")
    assert table.exit_code == 1
    assert table.stdout.rstrip().splitlines()[-1].startswith("FAILED: tolerance 1e-30")


def test_verify_finds_a_card_that_makes_another_weight(small):
    card = small / "lenet5-mnist-conv2" / "card.json"
    values = json.loads(card.read_text())
    values["scale"] *= 1 + 1e-6
    card.write_text(json.dumps(values))
    found = json.loads(adqc_command("verify", small, "--json").stdout)
    assert {row["route"] for row in found["rows"] if row["passed"] is False} == {"card", "checkpoint"}


def test_verify_on_a_qasm_file_and_its_card(tmp_path):
    save_qasm(adqc.BrickWall((3, 4), adqc.Circuit(depth=3), dtype=torch.float64), tmp_path / "mine", version=2)
    done = adqc_command("verify", tmp_path / "mine" / "circuit.qasm")
    assert done.exit_code == 0, done.output
    assert "mine" in done.stdout
    assert "qasm in quimb" in done.stdout


def harmed_index(folder):
    (folder / "index.json").write_text('{"format": "adqc-gallery", "format_version": 1, "entries": [7]}')


@pytest.mark.parametrize(
    ("harm", "args", "parts"),
    [
        (shutil.rmtree, ("gallery", "--folder", "{}"), ("is no gallery", "index.json")),
        (harmed_index, ("gallery", "--folder", "{}"), ("index.json is damaged", "adqc gallery index")),
        (harmed_index, ("verify", "{}"), ("index.json is damaged",)),
        (harmed_index, ("gallery", "evaluate", "--folder", "{}"), ("index.json is damaged",)),
        (lambda f: None, ("gallery", "evaluate", "nix", "--folder", "{}"), ("no entry 'nix'", "lenet5-mnist-conv2")),
        (lambda f: None, ("gallery", "evaluate", "--folder", "{}", "--data", "/nowhere"), ("MNIST was not found",)),
        (lambda f: None, ("gallery", "add", "{}", "--folder", "{}"), ("holds no finished run",)),
        (lambda f: (f / "lenet5-mnist-conv2/circuit.qasm").write_text("OPENQASM 3.0;"), ("verify", "{}"), ("hash",)),
        (lambda f: (f / "lenet5-mnist-conv2/network.safetensors").unlink(), ("verify", "{}"), ("network.safetensors",)),
        (lambda f: (f / "lenet5-mnist-conv2/card.json").unlink(), ("verify", "{}"), ("card.json",)),
        (lambda f: (f / "index.json").unlink() or shutil.rmtree(f / "lenet5-mnist-conv2"),
         ("verify", "{}"), ("holds no circuits",)),
        (lambda f: shutil.rmtree(f / "lenet5-mnist-conv2"), ("gallery", "index", "--folder", "{}"), ("no circuits",)),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_exit_code_one(small, harm, args, parts):
    harm(small)
    said_in_one_sentence(adqc_command(*(arg.format(small) for arg in args)), *parts)


def test_wrong_usage_exits_with_two():
    assert adqc_command("gallery", "nix").exit_code == 2
    assert adqc_command("gallery", "add").exit_code == 2


def test_as_a_process_it_is_told_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "adqc.cli", "gallery", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
