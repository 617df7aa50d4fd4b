"""Pages of comparisons and studies: one HTML file from what their JSON says, in the style of the runs' reports."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adqc.experiments import pictures
from adqc.experiments.training import write_atomically

FILES = ("comparison.json", "study.json")

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5b6475; --paper: #fdfdfc; --card: #ffffff; --line: #d9dde5;
  --good: #14733c; --bad: #a84300; --s0: #3b5bdb; --s1: #d9480f; --s2: #2b8a3e; --s3: #862e9c; --s4: #868e96;
  --s5: #0b7285; --s6: #a61e4d; --s7: #5c940d; --s8: #e67700; --s9: #343a40; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5; --paper: #14171d; --card: #1b1f27;
  --line: #333a46; --good: #69db7c; --bad: #ffa94d; --s0: #91a7ff; --s1: #ff922b; --s2: #69db7c; --s3: #da77f2;
  --s4: #adb5bd; --s5: #66d9e8; --s6: #faa2c1; --s7: #c0eb75; --s8: #ffd43b; --s9: #dee2e6; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --card: #fff; --line: #bbb;
  --good: #14733c; --bad: #a84300; --s0: #3b5bdb; --s1: #d9480f; --s2: #2b8a3e; --s3: #862e9c; --s4: #868e96;
  --s5: #0b7285; --s6: #a61e4d; --s7: #5c940d; --s8: #e67700; --s9: #343a40; }
  body { font-size: 10pt; } details { display: none; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .88rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .85rem; color: var(--soft); vertical-align: bottom; }
td { white-space: nowrap; } .n { text-align: right; }
@media (max-width: 36rem) { th, td { padding-right: .5rem; font-size: .85rem; } th { font-size: .78rem; } }
tr.main td { font-weight: 700; }
ul.aims { list-style: none; padding: 0; margin: 1rem 0; }
ul.aims li { padding: .15rem 0 .15rem 1.6rem; text-indent: -1.6rem; }
.met::before { content: "✓"; color: var(--good); } .unmet::before { content: "✗"; color: var(--bad); }
.met::before, .unmet::before { display: inline-block; width: 1.6rem; text-indent: 0; font-weight: 700; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.broad { grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  break-inside: avoid; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; color: var(--ink); }
.broad figure svg { max-width: 46rem; }
figure svg.natural { width: auto; max-width: none; }
figure img { display: block; width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
figcaption { margin-top: .5rem; }
code, pre { font: .85rem/1.5 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; padding: .8rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.badge { display: inline-block; padding: 0 .5rem; border: 1px solid var(--bad); border-radius: 1rem; color: var(--bad);
  font-size: .8rem; }
"""


def write_page(folder: str | Path, found: Mapping[str, Any] | None = None) -> Path:
    """Write ``report.html`` of a comparison or study.

    Args:
        folder: Its folder.
        found: What its JSON file holds; None reads it.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the folder holds none.
        ValueError: If its file is damaged.
    """
    folder = Path(folder)
    if found is None:
        path = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(f"{folder} holds no comparison or study: run it first")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            page = found["page"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error}): run the command again") from error
    page = found["page"]
    parts = [_head(found, page["intro"])]
    for part in page["parts"]:
        parts.append(f"<h2>{html.escape(part['title'])}</h2>")
        if part.get("text"):
            parts.append(f"<p>{html.escape(part['text'])}</p>")
        if part.get("pictures"):
            figures = [
                f"<figure>{draw(picture)}<figcaption>{html.escape(picture['caption'])}</figcaption></figure>"
                for picture in part["pictures"]
            ]
            parts.append(f'<div class="grid broad">{"".join(figures)}</div>')
        if part.get("rows"):
            rows = [[html.escape(cell) for cell in row] for row in part["rows"]]
            parts.append(make_html_table(part["heads"], rows))
    parts += [f'<p class="soft">{html.escape(note)}</p>' for note in page["notes"]]
    parts.append(_making(found))
    target = folder / "report.html"
    write_atomically(target, wrap(found["title"], parts).encode())
    return target


def draw(picture: Mapping[str, Any]) -> str:
    """A picture that the JSON describes: series of points (x, y, deviation), levels, axes."""
    return pictures.points(
        picture["series"],
        picture["what"],
        picture["against"],
        alt=picture["alt"],
        log=picture.get("log", False),
        levels=picture.get("levels") or {},
        labels=picture.get("labels") or (),
        front=picture.get("front") or (),
        names=picture.get("names") or (),
    )


def wrap(title: str, parts: Sequence[str]) -> str:
    """A whole page."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _head(found: Mapping[str, Any], intro: str) -> str:
    images = found["images"]
    badge = ' <span class="badge">short form: fewer images and epochs</span>' if found["quick"] else ""
    return (
        f"<h1>{html.escape(found['title'])}</h1>\n"
        f'<p class="soft">{images["train"]:,} training and {images["test"]:,} test images{badge}</p>\n'
        f"<p>{html.escape(intro)}</p>"
    )


def _making(found: Mapping[str, Any]) -> str:
    recipe = html.escape(json.dumps({"settings": found["settings"], "recipe": found["recipe"]}, indent=1))
    return (
        f"{describe_making(found['machine'])}\n"
        f"<details><summary>The recipe and the settings</summary><pre>{recipe}</pre></details>"
    )


def describe_making(machine: Mapping[str, Any]) -> str:
    """Where the figures come from."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"<h2>How it was made</h2>\n<p>{html.escape(machine['processor'])}, {machine['threads']} of {machine['cores']} "
        f"cores, {machine['memory_bytes'] / 2**30:.0f} GiB, device {html.escape(machine['device'])}.</p>\n"
        f'<p class="soft">{html.escape(versions)}</p>'
    )


def make_html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, main: int = -1) -> str:
    """A table; a leading ``>`` in a head aligns its column to the right.

    Args:
        heads: Column names.
        rows: Cells, in HTML.
        main: Number of the row that stands out.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        marks = [' class="n"' if head.startswith(">") else "" for head in heads]
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(f"<{tag}{scope}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, row, strict=True))

    lines = [f"<tr{' class=main' * (number == main)}>{cells('td', row)}</tr>" for number, row in enumerate(rows)]
    head = cells("th", [head.lstrip(">") for head in heads])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
