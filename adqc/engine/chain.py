"""Without the weight: the circuit's pieces are applied to the input one after another.

The weight is a product of pieces, W[(r0 r1 …), (c0 c1 …)] = Σ P0[r0 c0, a] P1[a, r1 c1, b] …, where each piece holds
some bits of the rows and some of the columns. The input's bits go in piece by piece, and the output's come out.

Of a chain of two pieces the last gate across the border may be left out, see :func:`adqc.engine.peel.find_crossing`: it
then acts on what the last piece has made of the input. Of its two sites one holds a bit of the columns, which the input
still has there, and one a bit of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

from adqc.constants import plans
from adqc.engine import cost
from adqc.engine.chain_cost import LOOPED, build_cost, find_loops, pair_cost, use_cost
from adqc.engine.columns import Columns
from adqc.engine.fusion import FUSIONS
from adqc.engine.patches import MOST_AXES, Patches, make_patches, peel_patches
from adqc.engine.peel import find_crossing, leave_out, place
from adqc.engine.program import Program, find_programs, make_program
from adqc.engine.split import Split, cut, slopes
from adqc.engine.train import Train
from adqc.geometry import Layout, Wiring

MOST_PIECES = 4
# What chains that do not go in loops of their own take in training beside these, for each second forward.
LONGER = 3.5 / 3
MOST_PLACES = 14


@dataclass(frozen=True)
class Chain:
    """How a matrix is applied piece by piece.

    Args:
        program: How the pieces are made.
        patches: How loops make them, from |0…0> on; None where they are too large.
        rows: For each piece, the number of rows (2^bits of the first axis) that it holds.
        columns: For each piece, the number of columns (2^bits of all other axes).
        bonds: The dimension of each border.
        backwards: Whether the input goes into the last piece first.
        build: What it costs to make the pieces.
        apply: What it costs to apply them to a batch of the size that the chain was made for.
        peeled: The gate that acts between the two pieces; none where they hold all gates. The bit of the columns that
            it meets is counted with the first piece, which gets it from the gate, that of the rows with the second.
        turned: Whether that bit of the rows is the first of the gate's two sites.
        others: The gates that ``program`` takes, by their numbers, where there is one that it does not.

    Attributes:
        size: Entries of all pieces together.
        items: For each piece, in the order in which they are applied, how many products it takes to apply it.
        widest: How many entries an input has at most between the pieces.
        met: How many all pieces meet of an input.
    """

    program: Program | Columns | Train
    patches: Patches | None
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    bonds: tuple[int, ...]
    backwards: bool
    build: float
    apply: float
    peeled: tuple[int, ...] = ()
    turned: bool = False
    others: tuple[int, ...] = ()

    size: int = field(init=False)
    items: tuple[int, ...] = field(init=False)
    widest: int = field(init=False)
    met: int = field(init=False)

    def __post_init__(self) -> None:
        # No properties: torch.compile reads fields only.
        sizes = list(zip(self.rows, self.columns, pairwise((1, *self.bonds, 1)), strict=True))
        object.__setattr__(self, "size", sum(r * c * a * b for r, c, (a, b) in sizes))
        done, left = 1, math.prod(self.columns)
        items, widest, met, entries = [], left, 0, left
        for row, column, (before, after) in reversed(sizes) if self.backwards else sizes:
            left //= column
            items.append(left if self.backwards else done)
            done *= row
            met += entries
            entries = done * left * (before if self.backwards else after)
            widest = max(widest, entries)
        object.__setattr__(self, "items", tuple(items))
        object.__setattr__(self, "widest", widest)
        object.__setattr__(self, "met", met)


def is_ordered(layout: Layout) -> bool:
    """Whether the bits of the rows, and those of the columns, come in falling significance along the chain."""
    rows = layout.bits[0]
    first = [bit for bit in layout.order if bit < rows]
    return first == sorted(first) and (others := [bit for bit in layout.order if bit >= rows]) == sorted(others)


@plans
def make_chain(
    wiring: Wiring, layout: Layout, batch: int, *, use: str = "linear", kept: bool = False, real: bool = True,
    in_loops: bool = True,
) -> Chain | None:  # fmt: skip
    """The cheapest chain for a batch.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites; the first axis makes the rows, all others the columns.
        batch: Number of inputs.
        kept: Whether the pieces are made once and kept, so that only applying them counts.
        use: ``"linear"``; ``"conv"``: two pieces, the first of which holds rows only; ``"lookup"``: two pieces.
        real: Whether the gates are real; the pieces of complex ones are made real, with twice the bonds.
        in_loops: Whether compiled loops may apply it, which alone take a gate between two pieces.

    Returns:
        The chain; None where the order of the bits does not allow any.
    """
    return _make_chain(wiring, layout, batch, use, kept, real, in_loops)


@lru_cache(maxsize=512)
def _make_chain(
    wiring: Wiring, layout: Layout, batch: int, use: str, kept: bool, real: bool, in_loops: bool
) -> Chain | None:
    if not is_ordered(layout):
        return None
    best: tuple[float, tuple[int, ...], int, bool] | None = None
    crossed: tuple[float, _Crossing] | None = None
    for slope in slopes(wiring):
        places = _places(wiring, slope)
        marks = sorted(places)
        for count in range(1, MOST_PIECES if use == "linear" else 2):
            # All places for two pieces; a choice of them for more, or a long chain would take a second to plan.
            for chosen in combinations(marks if count == 1 else marks[:: 1 + len(marks) // MOST_PLACES], count):
                shapes = _shapes(layout, chosen, [places[mark][1] + (not real) for mark in chosen])
                if use == "conv" and shapes[0][1] > 1:
                    continue
                build = sum(build_cost(wiring, *shape) for shape in shapes)
                # A convolution takes the kernel's piece first.
                for backwards in (True,) if use == "conv" else (False,) if use == "lookup" else (False, True):
                    apply = use_cost(layout, shapes, batch, use, backwards)
                    longer = 1.0 if kept or find_loops(shapes, batch, use, backwards) else LONGER
                    seconds = longer * apply + (0 if kept else build)
                    if best is None or seconds < best[0]:
                        best = (seconds, tuple(places[mark][0] for mark in chosen), slope, backwards)
    crosses = use == "linear" and real and in_loops and 4 * batch >= LOOPED
    for crossing in _find_crossings(wiring, layout) if crosses else ():
        build = sum(build_cost(wiring, *shape) for shape in crossing.shapes)
        seconds = pair_cost(crossing.shapes, batch, gated=True) + (0 if kept else build)
        if crossed is None or seconds < crossed[0]:
            crossed = (seconds, crossing)
    if crossed is not None and (best is None or crossed[0] < best[0]):
        return _finish_crossing(wiring, layout, crossed[1], batch)
    if best is None:
        return None
    split = cut(wiring, best[1], best[2])
    return None if split is None else _finish(wiring, layout, split, batch, best[3], use, real)


class _Crossing(NamedTuple):
    """A chain of two pieces with a gate between them.

    Args:
        gate: Which one.
        border: The first site of the second piece.
        turned: See :attr:`Chain.turned`.
        split: How the other gates are cut.
        shapes: See :func:`_shapes`.
    """

    gate: int
    border: int
    turned: bool
    split: Split
    shapes: list[tuple[int, int, int, int]]


def _find_crossings(wiring: Wiring, layout: Layout) -> list[_Crossing]:
    """All of them, where loops have enough values of rows and columns on both sides."""
    found = []
    for border in range(1, wiring.sites):
        gate = find_crossing(wiring, layout, border)
        if gate is None:
            continue
        split = cut(leave_out(wiring, (gate,))[1], (border,))
        if split is None or split.sites[1].start != border:
            continue
        # Larger pieces do not go in loops.
        if split.bonds[0] + max(map(len, split.sites)) > MOST_AXES:
            continue
        ((above, ahead, _, bond), (below, behind, _, _)) = _shapes(layout, (border,), split.bonds)
        turned = layout.order[border - 1] < layout.bits[0]
        if turned:
            above, ahead, below, behind = above // 2, 2 * ahead, 2 * below, behind // 2
        if min(above, ahead, below, behind) > 1:
            shapes = [(above, ahead, 1, bond), (below, behind, bond, 1)]
            found.append(_Crossing(gate, border, turned, split, shapes))
    return found


def _places(wiring: Wiring, slope: int) -> dict[int, tuple[int, int]]:
    """For each number of sites ahead of a cut: the place with the fewest bonds, and these."""
    found: dict[int, tuple[int, int]] = {}
    for at in range(1, wiring.sites - slope * (len(wiring.layers) - 1)):
        split = cut(wiring, (at,), slope)
        if split is not None:
            sites, bonds = len(split.sites[0]), split.bonds[0]
            if sites not in found or bonds < found[sites][1]:
                found[sites] = (at, bonds)
    return found


def _shapes(layout: Layout, marks: Sequence[int], bonds: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """For each piece its rows, columns, left and right bond."""
    rows = layout.bits[0]
    found = []
    borders = [0, *(2**bond for bond in bonds), 0]
    for number, (low, high) in enumerate(pairwise([0, *marks, layout.sites])):
        first = sum(layout.order[site] < rows for site in range(low, high))
        found.append((2**first, 2 ** (high - low - first), borders[number] or 1, borders[number + 1] or 1))
    return found


def _finish_crossing(wiring: Wiring, layout: Layout, crossing: _Crossing, batch: int) -> Chain:
    gate, border, turned, split, shapes = crossing
    alone = Wiring(wiring.sites, ((border - 1, border),), (1,))
    ranks = place(layout.order, alone, border)
    others, rest = leave_out(wiring, (gate,))
    programs = [make_program(rest, split, fusion, ranks=ranks, rising=True) for fusion in FUSIONS]
    program = min(programs, key=cost.program_cost)
    patches = peel_patches(wiring, (gate,), border, ranks=ranks)
    (above, ahead, _, bond), (below, behind, _, _) = shapes
    return Chain(
        program,
        patches,
        (above, below),
        (ahead, behind),
        (bond,),
        True,
        cost.program_cost(program if patches is None else patches),
        pair_cost(shapes, batch, gated=True),
        (gate,),
        turned,
        tuple(others),
    )


def _finish(wiring: Wiring, layout: Layout, split: Split, batch: int, backwards: bool, use: str, real: bool) -> Chain:
    program = min(find_programs(wiring, split, ranks=layout.order), key=cost.program_cost)
    rows = layout.bits[0]
    firsts = [sum(layout.order[site] < rows for site in sites) for sites in split.sites]
    bonds = [bond + (not real) for bond in split.bonds]
    shapes = _shapes(layout, [sites.start for sites in split.sites[1:]], bonds)
    patches = None
    if isinstance(program, Columns):
        # The wires that columns are cut at, of several with the same outputs on both sides.
        own = cut(wiring, [2 * start for start in program.starts[1:]])
        patches = None if own is None else make_patches(wiring, own, ranks=layout.order, real=real)
    return Chain(
        program,
        patches,
        tuple(2**first for first in firsts),
        tuple(2 ** (len(sites) - first) for sites, first in zip(split.sites, firsts, strict=True)),
        tuple(2**bond for bond in bonds),
        backwards,
        cost.program_cost(program if patches is None else patches),
        use_cost(layout, shapes, batch, use, backwards),
    )
