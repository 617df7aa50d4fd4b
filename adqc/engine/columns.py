"""Shallow brick walls contracted along time first: two neighbouring sites through all layers are one tensor, a column.

All columns look alike, so a few batched products make them all at once. A piece of the chain then takes one product for
each of its columns, where it lies side by side with the next and no axis has to be moved. Columns grow as 4^depth; cut
in two slices of layers, each applied on its own, they stay small. In deep walls blocks of gates
(:mod:`adqc.engine.program`) take over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

import numpy as np

from adqc.arrays import Numbers
from adqc.engine.pieces import Piece, Step, Wire, finish
from adqc.geometry import Wiring, brick_wall

# A column of a wall this deep has 2^16 entries; in two slices it may be deeper.
DEEPEST, DEEPEST_SLICED = 8, 10
_BITS = (0, 1)


@dataclass(frozen=True, eq=False)
class Slice:
    """Some layers of all columns: the tensor that a column is of them, and as a matrix.

    Between slices one wire goes on inside of a column, from its gate of an odd layer to its gate of the next layer.

    Args:
        first: The slice begins with layer 2 · first.
        entries: The entries that the products take: of the gates of the first layer, of layers 2, 4, … behind that one,
            of the last layer where it is an even one, and of the odd layers, those of all columns one after another.
            They are places in the entries of all gates, behind which lie a zero and a one.
        sizes: How many each of these four are.
        axes: The permutation of a column's axes that makes a matrix of it, for pieces that are contracted to the right,
            and for the last one, which is contracted to the left.
        back: What undoes these.
        shapes: Rows and columns of these matrices.
    """

    first: int
    entries: tuple[int, ...]
    sizes: tuple[int, ...]
    axes: tuple[tuple[int, ...], tuple[int, ...]]
    back: tuple[tuple[int, ...], tuple[int, ...]]
    shapes: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Places:
    """Where entries of the gates lie.

    Args:
        entries: For each slice the places of what its products take, in the entries of the gates.
        back: For each entry of the gates where it has been put, in what all slices take, behind which lies a zero.
    """

    entries: tuple[Numbers, ...]
    back: Numbers


@dataclass(frozen=True, eq=False)
class Columns:
    """How a brick wall is contracted in columns.

    Column c holds the gates on sites 2c, 2c + 1 (layers 0, 2, …) and those on 2c + 1, 2c + 2 (layers 1, 3, …). Where
    the chain ends, gates that are missing are identities on sites that hold |0> and are left out in the end.

    Args:
        sites: Number of sites Q.
        depth: Number of layers, at least 2.
        starts: For each piece the number of its first column.
        slices: The layers in one or two.
        openings: What each piece begins with: for the first one what the wire of site 0 does between the layers, for
            the last one |0> on all bonds, for others None, the identity of their left bonds.
        pieces: How the columns are put together. A step's group is twice the slice's number, and one more in the last
            piece; its row is the number of the column, in the last piece counted from its own first one.
        places: Where the products find the gates' entries.
        kept: For each piece the rows that are kept of its last column's matrix; None for all. Others there are only
            beside gates that are left out, see :mod:`adqc.engine.peel`.

    Attributes:
        count: Number of columns.
        entries: Number of entries of all gates.
        size: How many entries all columns have, or what they are applied to, whichever is more.
        beyond: How many outputs of the last column lie beyond the last site.
        padding: A one, and zeros for the entries that are left out there.
    """

    sites: int
    depth: int
    starts: tuple[int, ...]
    slices: tuple[Slice, ...]
    openings: tuple[Numbers | None, ...]
    pieces: tuple[Piece, ...]
    places: Places
    kept: tuple[Numbers | None, ...]

    count: int = field(init=False)
    entries: int = field(init=False)
    size: int = field(init=False)
    beyond: int = field(init=False)
    padding: Numbers = field(init=False)

    def __post_init__(self) -> None:
        # No properties: torch.compile reads fields only.
        count, beyond = (self.sites + 1) // 2, _beyond(self.sites, self.depth)
        applied = sum(step.before * step.columns * step.behind for piece in self.pieces for step in piece.steps)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "entries", len(self.places.back.values))
        object.__setattr__(self, "size", max(applied, *(count << len(own.axes[0]) for own in self.slices)))
        object.__setattr__(self, "beyond", beyond)
        object.__setattr__(self, "padding", Numbers((1.0,) + (0.0,) * (2**beyond - 1)))


def _beyond(sites: int, depth: int) -> int:
    return sites % 2 + 1 - depth % 2


def make_columns(
    wiring: Wiring,
    borders: Sequence[int],
    *,
    ranks: Sequence[int] | None = None,
    sliced: bool = False,
    peeled: Collection[int] = (),
) -> Columns | None:
    """The columns of a brick wall.

    Args:
        wiring: The sequence of gates.
        borders: The first site of each piece but the first one.
        ranks: For each site its place in the order that the outputs of its piece shall have; None for site order.
        sliced: Whether the layers are taken in two slices: less arithmetic for deep walls, more products.
        peeled: The gates that are left out: none, or those that :func:`adqc.engine.peel.find_peel` finds at the one
            border.

    Returns:
        The columns; None where the circuit is no brick wall of gates on two sites, too deep or too short, or where a
        border is none between columns.
    """
    sites, depth = wiring.sites, len(wiring.layers)
    odd = depth % 2
    if not (4 if sliced else 2) <= depth <= (DEEPEST_SLICED if sliced else DEEPEST):
        return None
    if sites < 3 or wiring != brick_wall(sites, depth):
        return None
    # In walls of even depth the last gates lie across the columns.
    if not borders or any(border % 2 == odd for border in borders):
        return None
    starts = (0, *((border - 1 + odd) // 2 for border in borders))
    count = (sites + 1) // 2
    if starts[1] < 1 or any(a >= b for a, b in pairwise(starts)) or starts[-1] >= count:
        return None
    pairs = depth // 2
    ends = [0, (pairs + 1) // 2, pairs] if sliced else [0, pairs]
    slices = tuple(_make_slice(wiring, first, last, peeled) for first, last in pairwise(ends))
    edge = Numbers(_edge(depth, rows_first=not sliced))
    ends_in_zero = Numbers((1.0,) + (0.0,) * (2 ** (depth - 1) - 1))
    return Columns(
        sites,
        depth,
        starts,
        slices,
        (edge, *(None,) * (len(starts) - 2), ends_in_zero),
        tuple(_make_piece(wiring, starts, number, slices, ranks, bool(peeled)) for number in range(len(starts))),
        find_places(slices, count, 16 * len(wiring.gates)),
        _find_kept(depth, slices[-1].first) if peeled else (None,) * len(starts),
    )


def _make_slice(wiring: Wiring, first: int, last: int, peeled: Collection[int]) -> Slice:
    """The slice of layers 2 · first to 2 · last - 1, and of the one behind where that is the last of all."""
    depth = len(wiring.layers)
    final = last == depth // 2
    names, left, outputs, right = _name_axes(first, last, final=final, odd=bool(final and depth % 2))
    inputs = ["s"] if first else []
    # The wire that goes on lies beside the next slice's bonds.
    forms = [(right + outputs, left), (left + outputs, right)]
    if final and not first:
        forms[0] = (outputs + right, left)
    forms = [(rows, inputs + columns) for rows, columns in forms]
    axes = tuple(tuple(names.index(name) for name in rows + columns) for rows, columns in forms)
    back = tuple(tuple(sorted(range(len(own)), key=own.__getitem__)) for own in axes)
    shapes = tuple((2 ** len(rows), 2 ** len(columns)) for rows, columns in forms)
    entries, sizes = _find_entries(wiring, first, last, peeled)
    return Slice(
        first, entries, sizes, (axes[0], axes[1]), (back[0], back[1]),
        (shapes[0], shapes[1]),
    )  # fmt: skip


def _name_axes(first: int, last: int, *, final: bool, odd: bool) -> tuple[list[str], list[str], list[str], list[str]]:
    """A slice's axes as the products leave them; those that are left bonds, outputs and right bonds, in order.

    The gate of layer 2t gets l from the left and s from the layer before, and gives a to the left and b to the gate of
    layer 2t + 1. That one gets b and, from the right, r, and gives d to the right and c, which is the next s.
    """
    names = ["s", *(f"{kind}{first}" for kind in "aldr")] if first else ["a0", "d0", "r0"]
    names += [f"{kind}{t}" for t in range(first + 1, last) for kind in "aldr"]
    names += [f"{kind}{last}" for kind in "lab"] if odd else [f"c{last - 1}"]
    left = [name for t in range(first, last) for name in (f"l{t}", f"a{t}") if name != "l0"] + [f"l{last}"] * odd
    right = [name for t in range(first, last) for name in (f"r{t}", f"d{t}")]
    outputs = [f"a{last}", f"b{last}"] if odd else [f"c{last - 1}"]
    if final and not odd:
        outputs.append(right.pop())
    return names, left, outputs, right


def _find_entries(
    wiring: Wiring, first: int, last: int, peeled: Collection[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # Gates that are left out are identities, as those beyond the ends of the chain.
    number = {
        (layer, gate[0]): k
        for k, (layer, gate) in enumerate(zip(wiring.layer_of, wiring.gates, strict=True))
        if k not in peeled
    }
    depth, zero = len(wiring.layers), 16 * len(wiring.gates)

    def find(names: str, layers: range, shift: int = 0) -> tuple[int, ...]:
        """The entries of a gate [out, out, in, in] = "abls" for all columns, its axes in the order of ``names``."""
        # An input without a name is |0>.
        values = [
            dict.fromkeys("ls", 0) | dict(zip(names, bits, strict=True)) for bits in product(_BITS, repeat=len(names))
        ]
        pairs = [(2 * value["l"] + value["s"], 2 * value["a"] + value["b"]) for value in values]
        identity = [zero + (out == into) for into, out in pairs]
        own = [4 * out + into for into, out in pairs]
        found: list[int] = []
        for layer, column in product(layers, range((wiring.sites + 1) // 2)):
            gate = number.get((layer, 2 * column + shift))
            found += identity if gate is None else [16 * gate + entry for entry in own]
        return tuple(found)

    start = 2 * first
    ends = depth - 1 if depth % 2 and last == depth // 2 else depth
    parts = [
        find("salb" if first else "ab", range(start, start + 1)),
        find("salb", range(start + 2, 2 * last, 2)),
        find("slab", range(ends, depth, 2)),
        # Its inputs are b and r, its outputs c and d, taken in the order b, d, r, c.
        find("lbsa", range(start + 1, 2 * last, 2), 1),
    ]
    return sum(parts, ()), tuple(map(len, parts))


def find_places(slices: Sequence[Slice], count: int, entries: int, *, copies: int = 1) -> Places:
    """Where the products find the gates' entries, for some walls of one kind at once.

    Args:
        slices: The slices.
        count: Number of columns.
        entries: Number of entries of the gates of one wall.
        copies: Number of walls. Behind the gates' entries of all walls lie a zero and a one; the first columns of all
            walls lie side by side, then the second ones.
    """
    found = []
    for own in slices:
        places = np.array(own.entries)
        parts = np.split(places, np.cumsum(own.sizes)[:-1])
        # The first layer's entries of a column may be fewer than the others'.
        rows = [part.reshape(-1, len(parts[0]) // count if not number else 16) for number, part in enumerate(parts)]
        walls = entries * np.arange(copies).reshape(-1, 1)
        beyond = entries * (copies - 1)
        shifted = [row[:, None] + np.where(row[:, None] < entries, walls, beyond) for row in rows]
        found.append(np.concatenate([part.reshape(-1) for part in shifted]))
    together = np.concatenate(found)
    # Each entry lies in one column, and there in one layer.
    back = np.full(entries * copies + 2, len(together))
    back[together] = np.arange(len(together))
    return Places(
        tuple(Numbers(tuple(own.tolist())) for own in found), Numbers(tuple(back[: entries * copies].tolist()))
    )


def _edge(depth: int, *, rows_first: bool) -> tuple[float, ...]:
    """Nothing is left of site 0: what a gate gives there is what the next one gets, in the end the site's output.

    The entries (outputs of that site, left bonds), row by row or column by column.
    """
    pairs, odd = depth // 2, depth % 2
    _, left, _, _ = _name_axes(0, pairs, final=True, odd=bool(odd))
    found = []
    for out in (None,) if odd else _BITS:
        for bits in product(_BITS, repeat=len(left)):
            value = dict(zip(left, bits, strict=True))
            goes_on = all(value[f"a{t - 1}"] == value[f"l{t}"] for t in range(1, pairs + odd))
            found.append(float(goes_on and out in (None, value[f"a{pairs - 1}"])))
    if rows_first or odd:
        return tuple(found)
    half = len(found) // 2
    return tuple(entry for pair in zip(found[:half], found[half:], strict=True) for entry in pair)


def _find_kept(depth: int, first: int) -> tuple[Numbers, Numbers]:
    """Rows of the last slice's matrices beside the border that are kept where gates are left out there.

    Through an identity a wire goes on at its site: two bits of each matrix are then given by its neighbour, or are one
    bit twice, and count where they are 0.
    """
    last, odd = depth // 2, depth % 2
    _, left, outputs, right = _name_axes(first, last, final=True, odd=bool(odd))
    at = last - 1
    dropped = {f"r{at}", f"d{at}"}, {f"l{at + odd}", f"a{at + odd}"}
    forms = right + outputs if first else outputs + right, left + outputs
    kept = []
    for names, own in zip(forms, dropped, strict=True):
        mask = sum(1 << bit for bit, name in enumerate(reversed(names)) if name in own)
        kept.append(Numbers(tuple(row for row in range(2 ** len(names)) if not row & mask)))
    return kept[0], kept[1]


def _make_piece(
    wiring: Wiring,
    starts: Sequence[int],
    number: int,
    slices: Sequence[Slice],
    ranks: Sequence[int] | None,
    peeled: bool,
) -> Piece:
    sites, depth = wiring.sites, len(wiring.layers)
    bond, even = depth - 1, 1 - depth % 2
    low, high = (*starts, (sites + 1) // 2)[number : number + 2]
    last = number == len(starts) - 1
    # Bonds lie on no site: these numbers only tell them apart.
    left: list[Wire] = [(-1, k) for k in range(bond) if number]
    right: list[Wire] = [(-2, k) for k in range(bond) if not last]
    outputs: list[Wire] = [] if number else [(0, depth)] * even
    # What lies beside the bonds that the next column takes.
    others = left + outputs if not last else []
    steps = []
    # The last piece begins at the end of the chain: nothing is open there.
    for column in range(high - 1, low - 1, -1) if last else range(low, high):
        row = column - low if last else column
        own: list[Wire] = [(site, depth) for site in (2 * column + even, 2 * column + even + 1) if site < sites]
        count = 2 ** len(others)
        if len(slices) == 1:
            before, behind = (1, count) if last else (count, 1)
            # The column's outputs beyond the last site are left out behind it.
            steps.append(Step(last, row, None, before, 2**bond, behind, 2 ** (bond + 2)))
        else:
            (rows, columns), (more_rows, more) = (made.shapes[last] for made in slices)
            steps.append(Step(last, row, None, 1, columns, more // 2 * count, rows))
            steps.append(Step(2 + last, row, None, rows // 2, more, count, more_rows))
        others = others + own if len(slices) == 1 and not last else own + others
        outputs = outputs + own
    bonds, ended = left if last else right, list[Wire]()
    if peeled:
        steps[-1] = replace(steps[-1], rows=steps[-1].rows // 4)
        del bonds[bond - 2 :]
        if last != bool(even):
            # What was a bond is now the last wire of a site that a gate has been left out of.
            ended = [outputs[-2] if last else outputs[-1]]
            others.remove(*ended)
    outputs.sort()
    axes = others + bonds + ended if len(slices) == 1 and not last else bonds + ended + others
    ranked = outputs if ranks is None else sorted(outputs, key=lambda wire: ranks[wire[0]])
    return finish(steps, axes, left=left, outputs=ranked, right=right, closed=False)
