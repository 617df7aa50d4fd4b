"""The report: one file that needs nothing else, with every table and picture, readable without seeing."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from adqc import BrickWall, Circuit
from adqc.experiments import pictures
from adqc.experiments.compare import Comparison, Settings
from adqc.experiments.recipe import load_recipe
from adqc.experiments.report import write_report
from adqc.experiments.runner import Run
from adqc.experiments.studies import find_study
from adqc.experiments.study import Study

DATA = Path(__file__).resolve().parents[1] / "data"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "img", "br", "link", "line", "rect", "path", "use"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    changes = ["train_images=200", "test_images=100", "dense.epochs=2", "finetune.epochs=2", "fit.sweeps=1"]
    changes += ["circuits={conv2={depth=3}, fc2={depth=2}}", 'title="Tiny & <small>"']
    Run(load_recipe("lenet5-mnist", changes=changes), folder=path, data=DATA, progress=False).execute()
    return path


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they are closed."""

    def __init__(self):
        super().__init__()
        self.found, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def test_nothing_is_loaded_from_elsewhere(page, read):
    for tag, attributes in read.found:
        for key in ("src", "href", "xlink:href", "data", "srcset"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (tag, key, value)
        assert tag not in ("script", "link", "iframe", "object")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_picture_says_what_it_shows(read):
    images = [attributes for tag, attributes in read.found if tag == "img"]
    drawings = [attributes for tag, attributes in read.found if tag == "svg"]
    assert len(images) == 6
    assert len(drawings) == 3 + 2 + 2
    assert all(len(attributes["alt"]) > 20 for attributes in images)
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in drawings)


def test_ids_are_unique_and_references_lead_somewhere(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert set(referred) <= set(ids)


def test_all_figures_of_the_run_are_in_it(folder, read):
    metrics = json.loads((folder / "metrics.json").read_text())
    text = " ".join(read.text)
    for row in metrics["summary"]["rows"]:
        assert row["network"] in text
        assert f"{row['accuracy']:.2f} %" in text
        assert f"{row['parameters']:,}" in text
    for aim in metrics["summary"]["aims"]:
        assert aim["sentence"] in text
        assert ("Met: " if aim["met"] else "Not met: ") + aim["sentence"] in text
    for row in metrics["verify"]["rows"]:
        assert row["route"] in text
    assert metrics["machine"]["versions"]["torch"] in text
    assert "Tiny & <small>" in text


def test_it_suits_dark_screens_phones_and_paper(page):
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert "@media print" in page
    assert '<html lang="en">' in page
    for color in pictures.COLORS:
        assert color not in page


def test_writing_it_again_gives_the_same_file(folder, page):
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text(encoding="utf-8") == page
    assert len(page) < 3_000_000


def test_folders_without_a_finished_run_get_a_sentence(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no finished run \(no metrics.json\)"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"is damaged .*run the recipe again"):
        write_report(tmp_path)
    shutil.copy(folder / "metrics.json", tmp_path / "metrics.json")
    with pytest.raises((ValueError, FileNotFoundError), match=r"dense\.safetensors"):
        write_report(tmp_path)


def test_entanglement_is_zero_for_products_and_one_for_swap():
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    swap = torch.eye(4)[[0, 2, 1, 3]]
    cx = torch.eye(4)[[0, 1, 3, 2]]
    found = pictures.entanglement(torch.stack([torch.eye(4), torch.kron(turn, turn.T.contiguous()), cx, swap]))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.5, 1.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("gate", ["cartan", "so4", "su4", "free"])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
def test_a_drawing_has_a_line_for_each_qubit_and_a_brick_for_each_gate(gate, wiring):
    wall = BrickWall((6, 5, 3), Circuit(depth=3, gate=gate, wiring=wiring))
    svg = pictures.circuit(wall, alt="a <circuit>")
    assert svg.count("<line") == wall.sites == svg.count("<text")
    assert svg.count("<rect") == 2 * len(wall.wiring.gates)
    assert "a &lt;circuit&gt;" in svg


def test_a_weight_of_zeros_can_be_drawn():
    assert pictures.color_limit(torch.zeros(3, 4)) == 1.0
    assert pictures.matrix(torch.zeros(3, 4), alt="nothing").startswith('<img src="data:image/png;base64,')


# Runs in a copy of the page, and tells through its title what a reader would miss.
PROBE = """<script>
addEventListener("load", () => {
  const images = [...document.images].filter((image) => !image.complete || !image.naturalWidth);
  const drawings = [...document.querySelectorAll("svg")].filter((svg) => {
    const box = svg.getBoundingClientRect();
    return box.width < 50 || box.height < 20 || !svg.querySelector("path, rect");
  });
  const wide = document.documentElement.scrollWidth > innerWidth + 1;
  document.title = `missing ${images.length + drawings.length}, of ${document.images.length}, wide ${wide}`;
});
</script>"""


def browse(page, scratch, width, dark):
    """What Chromium says of a page: its document after loading, what the console told, and a picture of it."""
    copy, picture = scratch / "page.html", scratch / "shot.png"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --disable-background-networking"
    flags += f" --disable-component-update --enable-logging=stderr --window-size={width},1500"
    flags += " --blink-settings=preferredColorScheme=0" if dark else ""
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={scratch}/profile"]
    found = []
    for what in (["--dump-dom"], [f"--screenshot={picture}"]):
        found.append(subprocess.run([*command, *what, copy.as_uri()], capture_output=True, text=True, timeout=120))
    return found[0].stdout, "".join(done.stderr for done in found), picture


@pytest.fixture(scope="module")
def pages(folder, tmp_path_factory):
    """The pages of a run, a comparison and a study."""
    changes = ["train_images=120", "test_images=60", "dense.epochs=1", "finetune.epochs=1", "fit.sweeps=1"]
    recipe = load_recipe("lenet5-mnist", quick=True, changes=[*changes, "circuits={fc2={depth=2}}"])
    root = tmp_path_factory.mktemp("pages")
    settings = Settings(budgets=(300, 600), seeds=2, rates=(0.01,), starts=("random",), methods=("cartan", "hashing"))
    Comparison(recipe, settings, folder=root / "compare", data=DATA, progress=False).execute()
    Study("depth", find_study("depth"), recipe, seeds=1, folder=root / "study", data=DATA, progress=False).execute()
    return {"run": folder, "compare": root / "compare", "study": root / "study"}


@pytest.mark.parametrize("kind", ["compare", "study"])
def test_pages_of_comparisons_and_studies_need_nothing_else(pages, kind):
    text = (pages[kind] / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    test_nothing_is_loaded_from_elsewhere(text, reader)
    test_ids_are_unique_and_references_lead_somewhere(text)
    test_it_suits_dark_screens_phones_and_paper(text)
    drawings = [attributes for tag, attributes in reader.found if tag == "svg"]
    assert drawings
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in drawings)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("kind", ["run", "compare", "study"])
@pytest.mark.parametrize(("width", "dark"), [(500, True), (1200, False)])
def test_a_browser_shows_every_picture_without_complaint(pages, tmp_path, kind, width, dark):
    document, told, picture = browse(pages[kind] / "report.html", tmp_path, width, dark)
    assert re.search(r"<title>missing 0, of \d+, wide false</title>", document), document[:500]
    assert "CONSOLE" not in told
    assert picture.stat().st_size > 20_000, told


def test_a_name_keeps_its_colour_in_all_pictures_of_a_page():
    both = {"one": [[1, 90.0, 0.0], [2, 91.0, 0.0]], "two": [[1, 80.0, 0.0], [2, 81.0, 0.0]]}
    alone = {"two": both["two"]}
    drawn = pictures.points(alone, "accuracy", "epoch", alt="two alone", names=list(both))
    assert "var(--s1)" in drawn
    assert "var(--s0)" not in drawn
    assert "var(--s0)" in pictures.points(alone, "accuracy", "epoch", alt="two alone")


def test_curves_of_one_colour_differ_in_marks_and_dashes():
    styles = [pictures._style(number) for number in range(20)]
    for k, (color, mark, dash) in enumerate(styles):
        assert all(mark != other[1] and dash != other[2] for other in styles[k + 1 :] if other[0] == color)


@pytest.mark.parametrize(
    ("places", "log", "shown"),
    [([700, 1400], True, ["700", "1,000"]), ([1, 2, 3, 4], False, ["1", "2", "3", "4"])],
)
def test_places_are_marked_by_round_numbers(places, log, shown, monkeypatch):
    marked = []

    def look(figure, axes, *_, **__):
        figure.canvas.draw()
        low, high = axes.get_xlim()
        marked.extend(
            label.get_text()
            for at, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= at <= high
        )
        return ""

    monkeypatch.setattr(pictures, "_finish", look)
    pictures.points({"one": [[place, 90.0, 0.0] for place in places]}, "accuracy", "size", alt="one", log=log)
    assert marked == shown
