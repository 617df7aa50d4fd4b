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
from adqc.engine.columns import Columns
from adqc.engine.fusion import FUSIONS
from adqc.engine.patches import MOST_AXES, Patches, make_patches, peel_patches
from adqc.engine.peel import find_crossing, leave_out, place
from adqc.engine.program import Program, find_programs, make_program
from adqc.engine.split import Split, cut, slopes
from adqc.engine.train import Train
from adqc.geometry import Layout, Wiring

# Inputs from which on products go in compiled loops; a quarter as many may, with zeros for the others. And a
# second piece's columns from which on rows are looked up in loops.
LOOPED = 16
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
    wiring: Wiring, layout: Layout, batch: int, *, use: str = "linear", kept: bool = False, real: bool = True
) -> Chain | None:
    """The cheapest chain for a batch.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites; the first axis makes the rows, all others the columns.
        batch: Number of inputs.
        kept: Whether the pieces are made once and kept, so that only applying them counts.
        use: ``"linear"``; ``"conv"``: two pieces, the first of which holds rows only; ``"lookup"``: two pieces.
        real: Whether the gates are real; the pieces of complex ones are made real, with twice the bonds.

    Returns:
        The chain; None where the order of the bits does not allow any.
    """
    return _make_chain(wiring, layout, batch, use, kept, real)


@lru_cache(maxsize=512)
def _make_chain(wiring: Wiring, layout: Layout, batch: int, use: str, kept: bool, real: bool) -> Chain | None:
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
                build = sum(_build_cost(wiring, *shape) for shape in shapes)
                # A convolution takes the kernel's piece first.
                for backwards in (True,) if use == "conv" else (False,) if use == "lookup" else (False, True):
                    apply = _use_cost(layout, shapes, batch, use, backwards)
                    longer = 1.0 if kept or _find_loops(shapes, batch, use, backwards) else LONGER
                    seconds = longer * apply + (0 if kept else build)
                    if best is None or seconds < best[0]:
                        best = (seconds, tuple(places[mark][0] for mark in chosen), slope, backwards)
    crossings = _find_crossings(wiring, layout) if use == "linear" and real and 4 * batch >= LOOPED else ()
    for crossing in crossings:
        build = sum(_build_cost(wiring, *shape) for shape in crossing.shapes)
        seconds = _pair_cost(crossing.shapes, batch, gated=True) + (0 if kept else build)
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


def _build_cost(wiring: Wiring, rows: int, columns: int, left: int, right: int) -> float:
    entries = rows * columns * left * right
    if entries <= 2**MOST_AXES:
        # In loops; a gate acts on half of it on average, as a state grows with its gates.
        adds = len(wiring.gates) * math.log2(rows * columns) / wiring.sites * len(wiring.gates[0])
        return 3 * cost.CALL + 2 * cost.copy(entries, fresh=True) + cost.LOOPED * adds * entries / cost.RATE
    # A layer doubles the bonds: all layers together move and multiply about twice what the last one does.
    calls = len(wiring.layers) * max(1, (rows * columns).bit_length() // 4) * 3
    return calls * cost.CALL + 2 * (cost.copy(entries) + 32 * entries / cost.RATE)


def _use_cost(
    layout: Layout, shapes: Sequence[tuple[int, int, int, int]], batch: int, use: str, backwards: bool
) -> float:
    if use == "lookup":
        return _lookup_cost(shapes, batch)
    if use == "conv":
        return _conv_cost(shapes, math.prod(layout.shape[1:]), batch)
    return _apply_cost(shapes, batch, backwards)


def _apply_cost(shapes: Sequence[tuple[int, int, int, int]], batch: int, backwards: bool) -> float:
    """The products of a chain, and turning input and output so that the batch lies last."""
    columns, rows = 1, 1
    for row, column, _, _ in shapes:
        rows, columns = rows * row, columns * column
    # Loops turn a part of the batch at a time, and go on with it at once.
    fresh = batch >= LOOPED
    loops = _find_loops(shapes, batch, "linear", backwards)
    if loops:
        return _thin_cost(shapes, batch) if loops == "thin" else _pair_cost(shapes, batch, gated=False)
    seconds = sum(cost.copy(batch * side, fresh=fresh) for side in (rows, columns)) + (6 + 3 * len(shapes)) * cost.CALL
    done, left = 1, columns
    for row, column, before, after in reversed(shapes) if backwards else shapes:
        inner, outer = (after, before) if backwards else (before, after)
        left //= column
        items, rest = (left, done) if backwards else (done, left)
        sides = items, row * outer, column * inner
        looped = cost.spread(*sides, rest * max(batch, LOOPED))
        if 4 * batch < LOOPED:
            seconds += cost.batched(*sides, rest * batch)
        else:
            seconds += looped if batch >= LOOPED else min(looped, cost.batched(*sides, rest * batch))
        done *= row
    return seconds


def _pair_cost(shapes: Sequence[tuple[int, int, int, int]], batch: int, *, gated: bool) -> float:
    """The same of two pieces backwards in the loops of :mod:`adqc.engine.pair`."""
    (above, ahead, _, bond), (below, behind, _, _) = shapes
    entries = below * bond * ahead * (batch + -batch % LOOPED)
    # They take four rows and two vectors at a time.
    adds = _fill(above) + _fill(behind) * max(1.0, 2 / bond) + 4 * gated
    turned = cost.ELEMENT * batch * (above * below + ahead * behind) / cost.CACHED
    return 12 * cost.CALL + turned + cost.PAIRED * entries * adds / cost.RATE


def _thin_cost(shapes: Sequence[tuple[int, int, int, int]], batch: int) -> float:
    """The same in the loops of :mod:`adqc.engine.thin`."""
    (above, ahead, _, bond), (_, behind, _, _) = shapes
    sides = above + behind
    # They take four inputs at a time, and read and write these where they lie.
    seconds = 8 * cost.CALL + cost.PLACED * (batch + -batch % 4) * ahead * bond * sides / cost.RATE
    size = cost.ELEMENT * batch * (above + ahead * behind)
    # Both pieces are brought into order.
    seconds += 2 * cost.copy(ahead * bond * sides, fresh=True)
    return seconds + size / (cost.CACHED if size < cost.CACHE else cost.BYTES)


def _find_loops(shapes: Sequence[tuple[int, int, int, int]], batch: int, use: str, backwards: bool) -> str:
    """Which loops of their own such pieces go in: those of a thin pair, of a pair, or none."""
    if use != "linear" or not backwards or len(shapes) != 2:
        return ""
    if shapes[1][0] == 1:
        return "thin" if shapes[1][1] >= 2 * LOOPED else ""
    return "pair" if batch >= LOOPED and min(side for shape in shapes for side in shape[:2]) > 1 else ""


def _fill(side: int) -> float:
    """A side that one product in three takes in pairs of vectors."""
    return (2 * side + max(side, 2 * LOOPED)) / 3


def _conv_cost(shapes: Sequence[tuple[int, int, int, int]], columns: int, batch: int) -> float:
    """A convolution with as many channels as the bond and the second piece's rows, and the product that mixes them."""
    (high, _, _, bond), (low, _, _, _) = shapes
    seconds = 10 * cost.CALL + cost.dense(bond * low, columns, batch, use="conv")
    return seconds + cost.product(high, bond, low * batch) + cost.copy(batch * high * low)


def _lookup_cost(shapes: Sequence[tuple[int, int, int, int]], batch: int) -> float:
    """Gathering a slice of each piece for every index, and the products of these."""
    (_, first, _, bond), (low, second, _, _) = shapes
    seconds = 8 * cost.CALL + cost.ELEMENT * batch * first * second / cost.BYTES
    if low == 1:
        return seconds + cost.copy(batch * first * bond) + cost.placed(batch * first, bond, second)
    if second < LOOPED:
        return seconds + cost.copy(batch * bond * (first + second)) + cost.batched(batch, first, bond, second)
    # Loops take four rows and two vectors at a time.
    seconds += cost.placed(batch * -(-first // 4) * 4, bond, max(second, 2 * LOOPED))
    return seconds + cost.ELEMENT * batch * bond * (first + second) / cost.CACHED


def _finish_crossing(wiring: Wiring, layout: Layout, crossing: _Crossing, batch: int) -> Chain:
    gate, border, turned, split, shapes = crossing
    alone = Wiring(wiring.sites, ((border - 1, border),), (1,))
    ranks = place(layout.order, alone, border)
    others = leave_out(wiring, (gate,))[1]
    programs = [make_program(others, split, fusion, ranks=ranks, rising=True) for fusion in FUSIONS]
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
        _pair_cost(shapes, batch, gated=True),
        (gate,),
        turned,
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
        _use_cost(layout, shapes, batch, use, backwards),
    )
