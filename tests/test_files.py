"""Circuits found in files and folders, and what is said where there are none."""

import json
import shutil

import pytest
import torch
from torch import nn

import adqc
from adqc.files import find_circuits, read_json
from adqc.qasm import save_qasm


@pytest.fixture
def wall():
    return adqc.BrickWall((4, 6), adqc.Circuit(depth=3))


def test_a_checkpoint_gives_all_of_its_circuits(tmp_path):
    model = nn.Sequential(adqc.nn.Linear(6, 5), nn.LSTM(5, 4), adqc.nn.Linear(4, 4))
    model[2].circuit = adqc.BrickWall((4, 4), adqc.Circuit(gate="free", depth=2))
    adqc.compress_(model, adqc.Circuit(depth=2), select="1.weight_ih_l0", fit=None)
    adqc.save(model, tmp_path / "file")
    found = {item.name: item for item in find_circuits(tmp_path / "file")}
    assert sorted(found) == ["0", "1.weight_ih_l0", "2"]
    assert torch.equal(found["0"].wall(), model[0].circuit())
    assert torch.equal(found["1.weight_ih_l0"].wall(), model[1].weight_ih_l0)
    assert torch.equal(found["2"].wall(), model[2].circuit())
    assert found["0"].text is None
    assert found["0"].folder is None


@pytest.mark.parametrize("given", ["folder", "folder/circuit.qasm", "other/mine.qasm", "other/lone.qasm"])
def test_a_qasm_file_is_read_with_the_card_beside_it(wall, tmp_path, given):
    save_qasm(wall, tmp_path / "folder")
    (tmp_path / "other").mkdir()
    for name, card in (("mine.qasm", "mine.json"), ("lone.qasm", "card.json")):
        shutil.copy(tmp_path / "folder" / "circuit.qasm", tmp_path / "other" / name)
        shutil.copy(tmp_path / "folder" / "card.json", tmp_path / "other" / card)
    (found,) = find_circuits(tmp_path / given)
    torch.testing.assert_close(found.wall(), wall().double(), rtol=0, atol=1e-6)
    assert found.name == given.split("/")[1 if "other" in given else 0].removesuffix(".qasm")
    assert found.text.startswith("OPENQASM 3.0;")
    assert found.card["shape"] == [4, 6]
    assert found.folder == (tmp_path / given.split("/")[0])


def test_a_card_of_the_same_name_comes_first(wall, tmp_path):
    save_qasm(wall, tmp_path)
    (tmp_path / "circuit.json").write_text("{}")
    with pytest.raises(ValueError, match="this is none"):
        find_circuits(tmp_path)


def test_a_folder_of_folders_gives_one_each(wall, tmp_path):
    for name in ("b", "a"):
        save_qasm(wall, tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert [found.name for found in find_circuits(tmp_path)] == ["a", "b"]


def test_the_name_is_that_of_the_folder_wherever_one_stands(wall, tmp_path, monkeypatch):
    save_qasm(wall, tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert find_circuits(".")[0].name == "mine"
    assert find_circuits("circuit.qasm")[0].name == "mine"


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        (lambda f: (f / "card.json").unlink(), FileNotFoundError, "has no card: expected circuit.json or card.json"),
        (lambda f: (f / "circuit.qasm").unlink(), FileNotFoundError, "there is no file .*circuit.qasm"),
        (lambda f: (f / "card.json").write_text("{"), ValueError, "card.json is damaged: it is no JSON"),
        (lambda f: (f / "card.json").write_text("[" * 100_000), ValueError, "card.json is damaged: it is no JSON"),
        (lambda f: (f / "card.json").write_text("[1]"), ValueError, "card.json is damaged: it holds no JSON object"),
        (lambda f: (f / "card.json").write_text("{}"), ValueError, "circuit.qasm: .*this is none"),
        (lambda f: (f / "circuit.qasm").write_text("ry(1) q[0];"), ValueError, "mine/circuit.qasm: "),
        (
            lambda f: (f / "circuit.qasm").write_bytes(b"\xff\xfe"),
            ValueError,
            "circuit.qasm is damaged: it is no text in UTF-8",
        ),
    ],
)
def test_damaged_files_are_named(wall, tmp_path, harm, kind, said):
    harm(save_qasm(wall, tmp_path / "mine"))
    with pytest.raises(kind, match=said):
        find_circuits(tmp_path / "mine")


def test_nothing_there(wall, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no circuits: expected circuit\.qasm and card\.json in it, or"):
        find_circuits(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nix"):
        find_circuits(tmp_path / "nix")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nix\.qasm"):
        find_circuits(tmp_path / "nix.qasm")
    adqc.save(nn.Linear(2, 2), tmp_path / "plain")
    with pytest.raises(ValueError, match="holds no circuits: nothing in that model is compressed"):
        find_circuits(tmp_path / "plain")


def test_json(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": [1]}))
    assert read_json(tmp_path / "a.json") == {"a": [1]}
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_json(tmp_path / "b.json")
