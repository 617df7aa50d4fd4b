"""Draw the pictures of the documentation: ``python docs/pictures.py`` writes docs/pictures/*.svg.

The gates and the order of the qubits come from the library's own geometry, so the pictures show what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from adqc.geometry import Wiring, brick_wall, layout, staircase

FOLDER = Path(__file__).parent / "pictures"

# Colours and greys that can be read on a light and on a dark page.
GREY = "#79818c"
BLUE = "#4f7cd8"
GREEN = "#259b82"
AMBER = "#d98a1f"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"

STEP = 34  # between neighbouring wires
COLUMN = 54  # between gates that act one after another


def text(x: float, y: float, words: str, *, size: int = 14, colour: str = GREY, anchor: str = "middle") -> str:
    """A line of text whose middle is at height y."""
    return (
        f"<text x='{x:g}' y='{y + size * 0.35:g}' font-size='{size}' fill='{colour}' text-anchor='{anchor}' "
        f"{FONT}>{words}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = GREY, width: float = 1.5, dash: str = "") -> str:
    """A straight line."""
    dashed = f" stroke-dasharray='{dash}'" if dash else ""
    return (
        f"<line x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}' stroke='{colour}' stroke-width='{width:g}' "
        f"stroke-linecap='round'{dashed}/>"
    )


def box(x: float, y: float, width: float, height: float, *, fill: str, radius: float = 7, opacity: float = 1) -> str:
    """A filled rectangle with round corners."""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='{radius:g}' fill='{fill}' "
        f"fill-opacity='{opacity:g}'/>"
    )


def arrow(x1: float, x2: float, y: float) -> str:
    """A horizontal arrow."""
    head = f"<path d='M{x2 - 7:g} {y - 5:g} L{x2:g} {y:g} L{x2 - 7:g} {y + 5:g}' fill='none' stroke='{GREY}' "
    return line(x1, y, x2, y) + head + "stroke-width='1.5' stroke-linecap='round' stroke-linejoin='round'/>"


def page(width: float, height: float, label: str, parts: list[str]) -> str:
    """The finished picture."""
    opening = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}' "
        f"height='{height:g}' role='img' aria-label='{label}'>"
    )
    return "\n".join([opening, *parts, "</svg>"]) + "\n"


def column_of(wiring: Wiring) -> dict[int, int]:
    """The column that each gate is drawn in: gates that act at the same time share one."""
    return {gate: column for column, moment in enumerate(wiring.moments) for gate in moment}


def circuit(wiring: Wiring, x: float, y: float, colour: Callable[[int], str]) -> list[str]:
    """The wires and gates of a circuit whose first wire starts at (x, y)."""
    columns = column_of(wiring)
    width = len(wiring.moments) * COLUMN
    parts = [line(x, y + STEP * site, x + width, y + STEP * site) for site in range(wiring.sites)]
    for index, sites in enumerate(wiring.gates):
        left = x + columns[index] * COLUMN + 11
        parts.append(box(left, y + STEP * sites[0] - 9, COLUMN - 22, STEP * (len(sites) - 1) + 18, fill=colour(index)))
    return parts


def starts(wiring: Wiring, x: float, y: float) -> list[str]:
    """|0> in front of every wire."""
    return [text(x, y + STEP * site, "|0⟩") for site in range(wiring.sites)]


def weight_picture() -> str:
    """From stored numbers to a weight."""
    wiring = brick_wall(6, 3)
    top = 62
    middle = top + STEP * 2.5
    parts = [text(76, 20, "stored", size=15)]
    parts += [text(76, middle + 22 * (k - 2), words) for k, words in enumerate(("θ₁", "θ₂", "…", "θₚ", "scale"))]
    x = 150
    parts += [arrow(108, x - 10, middle), text(x + 34 + 1.5 * COLUMN, 20, "circuit", size=15)]
    parts += starts(wiring, x + 12, top)
    parts += circuit(wiring, x + 34, top, lambda gate: BLUE if wiring.layer_of[gate] % 2 == 0 else GREEN)
    x += 34 + 3 * COLUMN + 16
    parts += [arrow(x, x + 40, middle), text(x + 70, 20, "state", size=15)]
    shades = [0.1 + 0.09 * ((7 * k * k + 3 * k) % 11) for k in range(64)]
    parts += [box(x + 60, top - 9 + 2.94 * k, 20, 2.6, fill=AMBER, radius=0, opacity=shades[k]) for k in range(64)]
    parts += [text(x + 70, top + STEP * 5 + 26, "2⁶ amplitudes", size=12)]
    x += 100
    order = layout((8, 8)).order
    parts += [arrow(x, x + 40, middle), text(x + 56 + 92, 20, "weight", size=15)]
    for k, shade in enumerate(shades):
        bits = {bit: (k >> (5 - site)) & 1 for site, bit in enumerate(order)}
        row, column = (sum(bits[3 * axis + n] << (2 - n) for n in range(3)) for axis in (0, 1))
        parts.append(box(x + 56 + 23 * column, top - 7 + 23 * row, 22, 22, fill=AMBER, radius=2, opacity=shade))
    parts += [text(x + 56 + 92, top + STEP * 5 + 26, "8 × 8", size=12)]
    return page(x + 56 + 184 + 20, top + STEP * 5 + 44, "Stored angles, the circuit, its state, the weight", parts)


def brick_wall_picture() -> str:
    """The native wiring, and the staircase."""
    wall, stairs = brick_wall(8, 4), staircase(8, 1)
    parts = [text(62 + 2 * COLUMN, 20, "brick wall, depth 4", size=15)]
    parts += starts(wall, 34, 56) + circuit(wall, 56, 56, lambda gate: BLUE if wall.layer_of[gate] % 2 == 0 else GREEN)
    for layer in range(4):
        name = "even" if layer % 2 == 0 else "odd"
        parts.append(text(56 + (layer + 0.5) * COLUMN, 56 + STEP * 8 - 4, name, size=12))
    right = 56 + 4 * COLUMN + 90
    parts += [text(right + 22 + 3.5 * COLUMN, 20, "staircase, depth 1", size=15)]
    parts += starts(stairs, right, 56) + circuit(stairs, right + 22, 56, lambda gate: AMBER)
    return page(right + 22 + 7 * COLUMN + 20, 56 + STEP * 8 + 16, "A brick wall and a staircase on 8 qubits", parts)


def layout_picture() -> str:
    """Which qubit carries which bit, and what the first half of the chain then says."""
    parts = []
    side, rows = 160, 16
    for panel, name in enumerate(("interleaved", "rows-first")):
        x, y = 20 + panel * 400, 20
        order = layout((rows, rows), name).order
        parts.append(text(x + 166, y, name, size=15))
        for site, bit in enumerate(order):
            is_row = bit < 4
            centre = x + 12 + 44 * site
            if site:
                parts.append(line(centre - 31, y + 46, centre - 13, y + 46))
            parts.append(f"<circle cx='{centre:g}' cy='{y + 46:g}' r='14' fill='{BLUE if is_row else GREEN}'/>")
            subscript = "₀₁₂₃"[bit % 4]
            parts.append(text(centre, y + 46, f"{'r' if is_row else 'c'}{subscript}", colour="#ffffff", size=13))
        left, top = x + 86, y + 104
        parts.append(line(x + 166, y + 24, x + 166, y + 84, colour=AMBER, width=2, dash="4 4"))
        says = "block" if name == "interleaved" else "row"
        parts.append(text(x + 78, y + 84, f"these say which {says}", size=12))
        parts.append(text(x + 256, y + 84, f"these: where in the {says}", size=12))
        cell = side / rows
        # The entries whose first four qubits read 0110.
        known = {bit: int(value) for bit, value in zip(order[:4], "0110", strict=True)}
        for row in range(rows):
            for column in range(rows):
                bits = [(row >> (3 - k)) & 1 for k in range(4)] + [(column >> (3 - k)) & 1 for k in range(4)]
                chosen = all(bits[bit] == value for bit, value in known.items())
                fill, opacity = (AMBER, 1.0) if chosen else (GREY, 0.22)
                parts.append(
                    box(
                        left + cell * column, top + cell * row, cell - 1, cell - 1, fill=fill, radius=1, opacity=opacity
                    )
                )
        parts.append(text(left - 8, top + side / 2, "rows", size=12, anchor="end", colour=BLUE))
        parts.append(text(left + side / 2, top + side + 14, "columns", size=12, colour=GREEN))
    return page(780, 316, "A 16 by 16 weight on 8 qubits: the interleaved and the rows-first layout", parts)


def halves_picture() -> str:
    """The circuit cut in two, and the product that joins the halves."""
    wall = brick_wall(10, 4)
    x, y = 56, 56
    is_left = [sites[0] < 4 for sites in wall.gates]
    columns = column_of(wall)
    parts = [text(x + 2 * COLUMN, 20, "cut the chain", size=15), *starts(wall, x - 22, y)]
    parts += circuit(wall, x, y, lambda gate: BLUE if is_left[gate] else GREEN)
    bonds = 0
    for site, gates in enumerate(wall.wires):
        for before, after in pairwise(gates):
            if is_left[before] != is_left[after]:
                bonds += 1
                start, stop = x + columns[before] * COLUMN + COLUMN - 11, x + columns[after] * COLUMN + 11
                parts.append(line(start, y + STEP * site, stop, y + STEP * site, colour=AMBER, width=4))
    held = sum(is_left[gates[-1]] for gates in wall.wires)
    px, py = x + 4 * COLUMN + 70, 104
    height, width, bond = 176, 176, 44
    parts += [arrow(px - 46, px - 12, py + height / 2)]
    parts += [text(px + 262, 20, "one matrix product joins the halves", size=15)]
    parts += [
        box(px + 6, py, bond, height, fill=BLUE),
        text(px + 6 + bond / 2, py + height + 18, f"2{sup(held)} × {2**bonds}"),
    ]
    parts += [text(px + bond + 26, py + height / 2, "·", size=26)]
    parts += [box(px + bond + 46, py + (height - bond) / 2, width, bond, fill=GREEN)]
    parts += [
        text(px + bond + 46 + width / 2, py + (height + bond) / 2 + 18, f"{2**bonds} × 2{sup(wall.sites - held)}")
    ]
    parts += [text(px + bond + width + 68, py + height / 2, "=", size=22)]
    last = px + bond + width + 92
    parts += [
        box(last, py, width, height, fill=GREY, opacity=0.3),
        text(last + width / 2, py + height / 2, "weight", size=15),
    ]
    parts += [text(last + width / 2, py + height + 18, f"2{sup(held)} × 2{sup(wall.sites - held)}")]
    parts += [line(x, y + STEP * 10 + 12, x + 28, y + STEP * 10 + 12, colour=AMBER, width=4)]
    parts += [
        text(x + 38, y + STEP * 10 + 12, f"{bonds} wires cut: bond 2{sup(bonds)} = {2**bonds}", anchor="start", size=13)
    ]
    return page(last + width + 20, y + STEP * 10 + 34, "A brick wall cut in two halves, joined by one product", parts)


def sup(number: int) -> str:
    """A number in superscript digits."""
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))


PICTURES = {
    "weight": weight_picture,
    "brick-wall": brick_wall_picture,
    "layouts": layout_picture,
    "halves": halves_picture,
}


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
