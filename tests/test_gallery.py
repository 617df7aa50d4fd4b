"""The gallery: every entry is what its card says, in this library and outside of it; damage is named."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from adqc.checkpoint import load_, save
from adqc.engine.arrange import to_tensor
from adqc.experiments.models import make_model
from adqc.experiments.recipe import load_recipe, recipe_names
from adqc.gallery import (
    ACCURACY_TOLERANCE,
    check_card,
    exact_weight,
    find_gallery,
    is_gallery,
    read_entry,
    read_gallery,
    write_index,
)
from adqc.readers import quimb_state

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "circuits"
GALLERY = read_gallery(FOLDER)
MOST_BYTES = 300_000

entries = pytest.mark.parametrize("entry", GALLERY.entries, ids=lambda entry: entry.name)


# --- what is in it ------------------------------------------------------------------------------------------------


def test_the_networks_of_the_recipes_are_in_it():
    layers = {(entry.about["network"], entry.about["layer"]) for entry in GALLERY.entries}
    assert {("lenet5", "conv2"), ("lenet5", "fc1"), ("lenet5", "fc2"), ("fc2", "fc1")} <= layers


@entries
def test_text_card_and_network_say_the_same_weight(entry):
    wall = entry.wall()
    assert hashlib.sha256((entry.folder / "circuit.qasm").read_bytes()).hexdigest() == entry.card["sha256"]
    assert list(wall.shape) == entry.card["shape"]
    assert (wall.sites, wall.parameter_count) == (entry.card["qubits"], entry.card["parameters"])
    assert (wall.config.depth, wall.family.name) == (entry.card["depth"], entry.card["family"])
    exact = exact_weight(wall)
    size = exact.abs().max()
    for _, found, expected in entry.references(wall):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * size)
    with torch.no_grad():
        torch.testing.assert_close(wall(), exact, rtol=0, atol=1e-12 * size)
    # quimb reads the file by itself: no gate of ours takes part.
    state = quimb_state((entry.folder / "circuit.qasm").read_text(), entry.card["openqasm"])
    found = to_tensor(state.real, wall.layout) * entry.card["scale"]
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12 * size)


@entries
def test_the_network_has_the_weight(entry):
    if entry.about["checkpoint"] is None:
        pytest.skip("too large to be kept")
    layer = entry.network().get_submodule(entry.about["layer"])
    torch.testing.assert_close(layer.weight.double(), exact_weight(entry.wall()), rtol=0, atol=1e-5)
    assert sum(name.startswith("circuit.") for name, _ in layer.named_parameters()) > 0


@pytest.mark.parametrize("name", ["fc2-mnist-fc1", "lenet5-mnist-fc1"])
def test_the_accuracy_is_that_of_the_card(name):
    entry = GALLERY.find(name)
    assert entry.evaluate(ROOT / "data") == pytest.approx(
        entry.about["accuracy"]["network"], abs=ACCURACY_TOLERANCE
    )  # fmt: skip


@entries
def test_files_are_small_and_complete(entry):
    names = {path.name for path in entry.folder.iterdir()}
    assert {"circuit.qasm", "card.json", "README.md", "picture.png"} <= names
    assert sum(path.stat().st_size for path in entry.folder.iterdir()) < MOST_BYTES
    page = (entry.folder / "README.md").read_text()
    for part in (*entry.about["commands"], f"{entry.about['accuracy']['network']:.2f} %", entry.about["licence"]):
        assert part in page


@entries
def test_the_commands_exist_and_name_a_recipe_of_the_library(entry):
    run, add = entry.about["commands"][-2:]
    words = run.split()
    assert words[:2] == ["adqc", "run"]
    assert words[2] in recipe_names()
    changes = [word for before, word in itertools.pairwise(words) if before == "--set"]
    recipe = load_recipe(words[2], quick="--quick" in words, changes=[change.strip("'") for change in changes])
    assert recipe.model == entry.about["network"]
    assert entry.about["layer"] in recipe.circuits
    assert add.startswith("adqc gallery add runs/")


def test_it_stays_out_of_the_wheel():
    import tomllib

    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["packages"] == ["adqc"]
    assert not any(folder.suffix == ".py" for folder in FOLDER.rglob("*"))


def test_printed_it_lists_every_entry():
    printed = str(GALLERY)
    for entry in GALLERY.entries:
        (line,) = [line for line in printed.splitlines() if line.lstrip().startswith(entry.name)]
        assert f"{entry.about['accuracy']['network']:.2f} %" in line
        assert entry.card["sha256"][:12] in line


def test_it_is_found_from_a_checkout_and_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_gallery() == FOLDER
    shutil.copytree(FOLDER, tmp_path / "circuits")
    assert find_gallery() == Path("circuits")
    assert is_gallery("circuits")
    assert not is_gallery(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"is no gallery: it holds no index\.json"):
        find_gallery(tmp_path)
    with pytest.raises(ValueError, match="has no entry 'nix': it has fc2-mnist-fc1, "):
        GALLERY.find("nix")


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path):
    """Two entries and their index."""
    for name in ("fc2-mnist-fc1", "lenet5-mnist-conv2"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    write_index(tmp_path)
    return tmp_path


def rewrite(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_the_index_is_that_of_the_cards(copied):
    assert [entry.name for entry in read_gallery(copied).entries] == ["fc2-mnist-fc1", "lenet5-mnist-conv2"]
    assert json.loads((FOLDER / "index.json").read_text())["entries"] == [e.summary() for e in GALLERY.entries]


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        (lambda f: (f / "index.json").write_text("{"), ValueError, "index.json is damaged: it is no JSON"),
        (lambda f: (f / "index.json").write_text("[]"), ValueError, "index.json is damaged: it holds no JSON object"),
        (lambda f: (f / "index.json").write_text("{}"), ValueError, "must have format 'adqc-gallery'.*got None"),
        (lambda f: rewrite(f / "index.json", lambda v: v.update(format_version=2)), ValueError, "and 2: adqc gallery"),
        (lambda f: rewrite(f / "index.json", lambda v: v.update(entries=3)), ValueError, "'entries' must be a list"),
        (lambda f: rewrite(f / "index.json", lambda v: v.update(entries=[{}])), ValueError, "objects with a name"),
        (lambda f: rewrite(f / "index.json", lambda v: v["entries"].pop()), ValueError, "differ in lenet5-mnist-conv2"),
        (lambda f: shutil.rmtree(f / "fc2-mnist-fc1"), ValueError, "differ in fc2-mnist-fc1: adqc gallery index"),
        (
            lambda f: rewrite(f / "index.json", lambda v: v["entries"][0].update(depth=7, accuracy=99)),
            ValueError,
            "differs from the card of fc2-mnist-fc1 in depth, accuracy",
        ),
        (lambda f: (f / "fc2-mnist-fc1/card.json").unlink(), FileNotFoundError, "fc2-mnist-fc1 holds no card.json"),
        (lambda f: (f / "fc2-mnist-fc1/circuit.qasm").unlink(), FileNotFoundError, "holds no circuit.qasm"),
        (lambda f: (f / "fc2-mnist-fc1/card.json").write_text("nix"), ValueError, "card.json is damaged"),
        (
            lambda f: (f / "fc2-mnist-fc1/circuit.qasm").write_text("OPENQASM 3.0;"),
            ValueError,
            r"circuit.qasm is not the file that its card names \(its hash differs\)",
        ),
        (
            lambda f: rewrite(f / "fc2-mnist-fc1/card.json", lambda v: v.pop("gallery")),
            ValueError,
            "card.json: card lacks 'gallery'",
        ),
        (
            lambda f: rewrite(f / "fc2-mnist-fc1/card.json", lambda v: v["gallery"].update(accuracy={})),
            ValueError,
            "card.json: card.gallery.accuracy lacks 'network'",
        ),
    ],
)
def test_damage_is_named(copied, harm, kind, said):
    harm(copied)
    with pytest.raises(kind, match=said):
        read_gallery(copied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v["gallery"].update(weights=1), r"says 1 weights, but its shape \[256, 784\] has 200704"),
        (lambda v: v["gallery"]["crop"].reverse(), "crop .* is not that of shape"),
        (lambda v: v["padded"].append(1), "crop .* is not that of shape"),
        (lambda v: v.update(frequencies=[0]), "frequencies .* one number for each of its axes"),
        (lambda v: v["gallery"]["probe"]["values"].pop(), "as many values as indices"),
        (lambda v: v["gallery"]["probe"]["indices"][0].append(0), r"the index \[0, 0, 0\], which is outside"),
        (lambda v: v["gallery"]["probe"]["indices"].__setitem__(0, [256, 0]), r"\[256, 0\], which is outside"),
    ],
)  # fmt: skip
def test_a_card_whose_parts_differ_is_refused(change, said):
    card = json.loads((FOLDER / "fc2-mnist-fc1" / "card.json").read_text())
    check_card(card)
    change(card)
    with pytest.raises(ValueError, match=said):
        check_card(card)


def test_a_network_that_is_not_the_cards_is_refused(copied):
    entry = read_entry(copied / "lenet5-mnist-conv2")
    path = entry.folder / "network.safetensors"
    model = load_(make_model("lenet5"), path)
    with torch.no_grad():
        model.conv2.circuit.scale.mul_(1.001)
    save(model, path)
    for use in (entry.network, lambda: entry.references(entry.wall())):
        with pytest.raises(ValueError, match=r"network.safetensors is not the file that the card names"):
            use()
    # With a card that names it, the comparison finds what differs.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(entry.folder / "card.json", lambda v: v["gallery"]["checkpoint"].update(sha256=digest))
    entry = read_entry(entry.folder)
    differences = {name: (a - b).abs().max() / b.abs().max() for name, a, b in entry.references(entry.wall())}
    assert differences["checkpoint"] > 5e-4
    assert differences["card"] < 1e-12
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no network.safetensors, which its card names"):
        entry.network()


def test_a_network_of_another_layer_is_refused(copied):
    entry = read_entry(copied / "lenet5-mnist-conv2")
    rewrite(entry.folder / "card.json", lambda v: v["gallery"].update(layer="fc1"))
    entry = read_entry(entry.folder)
    with pytest.raises(ValueError, match=r"has no circuit of shape \(16, 6, 5, 5\) for the layer 'fc1'"):
        entry.references(entry.wall())


def test_a_probe_of_another_weight_is_found(copied):
    entry = read_entry(copied / "fc2-mnist-fc1")
    rewrite(entry.folder / "card.json", lambda v: v["gallery"]["probe"]["values"].__setitem__(3, 0.5))
    entry = read_entry(entry.folder)
    (_, found, expected), *_ = entry.references(entry.wall())
    assert (found - expected).abs().max() > 0.1


@pytest.mark.parametrize(("key", "said"), [("network", r"network 'nix': use .*lenet5"), ("data", "data set 'nix'")])
def test_networks_and_data_that_are_not_known(copied, key, said):
    entry = read_entry(copied / "fc2-mnist-fc1")
    rewrite(entry.folder / "card.json", lambda v: v["gallery"].update({key: "nix"}))
    with pytest.raises(ValueError, match=f"unknown {said}"):
        read_entry(entry.folder).network()


def test_an_entry_without_its_network(copied):
    entry = read_entry(copied / "fc2-mnist-fc1")
    rewrite(entry.folder / "card.json", lambda v: v["gallery"].update(checkpoint=None))
    entry = read_entry(entry.folder)
    assert [name for name, *_ in entry.references(entry.wall())] == ["card"]
    with pytest.raises(FileNotFoundError, match="comes without its network: its card says"):
        entry.evaluate()


def test_an_index_of_nothing(tmp_path):
    for folder in (tmp_path, tmp_path / "nix"):
        with pytest.raises(FileNotFoundError, match="holds no circuits: adqc gallery add RUN"):
            write_index(folder)
