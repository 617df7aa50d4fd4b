"""The documentation is true: its code runs, prints what the pages say, and the pages build without a warning."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from typer.testing import CliRunner

from adqc.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
# These train for minutes or reach for the network: of them only the options are checked.
LONG = ("adqc run", "adqc data", "adqc report", "adqc compare", "adqc study")


@dataclass
class Block:
    """A block of Python or of shell commands, and what the page says that it prints."""

    language: str
    code: str
    line: int
    output: str | None


def read_blocks(page: Path) -> list[Block]:
    """The blocks of a page that run; a block of ``text`` right behind one is its output."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = -1
    for match in FENCE.finditer(text):
        language, body = match.groups()
        runs = language in ("python", "console")
        if runs:
            blocks.append(Block(language, body, text.count("\n", 0, match.start()) + 1, None))
        elif language == "text" and end >= 0 and not text[end : match.start()].strip():
            blocks[-1].output = body
        end = match.end() if runs else -1
    return blocks


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run_command(line: str) -> None:
    """Run a command of adqc and print what it prints; of the others only see that they exist."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), f"the Makefile has no target {words[1]}"
    elif words[0] == "adqc":
        words = words[1:]
        options = [word for word in words if word.startswith("--")]
        if line.startswith(LONG):
            words = [*words[: 2 if words[0] == "data" else 1], "--help"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        if line.startswith(LONG):
            missing = [option for option in options if option not in result.output]
            assert not missing, f"{line}: no option {missing}"
        else:
            print(result.output)


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page)], ids=page_id)
def test_blocks_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    torch.manual_seed(0)
    names = {"__name__": "__main__"}
    for block in read_blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if block.language == "python":
                # Empty lines in front, so that an error names the line of the page.
                exec(compile("\n" * block.line + block.code, page_id(page), "exec"), names)
            else:
                for line in block.code.splitlines():
                    run_command(line)
        if block.output is not None:
            same = doctest.OutputChecker().check_output(
                block.output, printed.getvalue(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )
            assert same, f"{page_id(page)}, line {block.line} prints\n{printed.getvalue()}\nnot\n{block.output}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files(page):
    targets = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in targets if not (page.parent / link).exists()]
    assert not missing


def test_pictures_are_what_the_script_draws():
    pictures = runpy.run_path(str(DOCS / "pictures.py"))["PICTURES"]
    drawn = {name: draw() for name, draw in pictures.items()}
    # The plots of benchmarks and tables are drawn from measured figures, see test_benchmarks and test_results.
    paths = [path for path in (DOCS / "pictures").glob("*.svg") if not path.stem.startswith(("bench-", "table-"))]
    kept = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    assert kept == drawn, "run: python docs/pictures.py"


def test_pages_build_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").stat().st_size > 0


def test_the_reference_names_everything_public():
    import adqc

    reference = (DOCS / "reference.md").read_text(encoding="utf-8")
    missing = [name for name in adqc.__all__ if not re.search(rf"adqc(\.\w+)*\.{name}\b", reference)]
    assert not missing, "add to docs/reference.md"
