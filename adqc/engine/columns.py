"""Shallow brick walls contracted along time first: two neighbouring sites through all layers are one tensor, a column.

All columns look alike, so a few batched products make them all at once. A piece of the chain then takes one product for
each of its columns, where it lies side by side with the next and no axis has to be moved. Columns grow as 4^depth: in
deep walls blocks of gates (:mod:`adqc.engine.program`) take fewer multiply-adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from adqc.arrays import Numbers
from adqc.engine.pieces import Piece, Step, Wire, finish
from adqc.geometry import Wiring, brick_wall

# A column of a wall this deep has 2^16 entries.
DEEPEST = 8
_BITS = (0, 1)


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries that the products take, as places in the entries of all gates, behind which lie a zero and a one.

    Args:
        places: Of the first layer's gates, (columns · 4) or (columns · 16); of those of layers 2, 4, … but the last of
            all, (layers · columns · 16); of the last layer's where it is an even one; of those of layers 1, 3, ….
        sizes: How many each of these four are.
        back: Where each entry of the gates has been put; behind all of them where it is taken nowhere.
    """

    places: Numbers
    sizes: tuple[int, ...]
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
        entries: The gates' entries where the product state is |0…0>: of the first layer's only those that |0> meets.
        given: The same where the product state is given.
        axes: The permutation that makes (left bonds, outputs, right bonds) of a column's axes.
        edge: What the wire of site 0 does between the layers, (outputs of that site, left bonds), row by row.
        pieces: How the columns are put together.

    Attributes:
        count: Number of columns.
        size: How many entries all columns have, or what they are applied to, whichever is more.
        beyond: How many outputs of the last column lie beyond the last site.
        padding: A one, and zeros for the entries of the last column that are left out behind each one that is kept.
        back: The permutation that undoes ``axes``.
    """

    sites: int
    depth: int
    starts: tuple[int, ...]
    entries: Entries
    given: Entries
    axes: tuple[int, ...]
    edge: Numbers
    pieces: tuple[Piece, ...]

    count: int = field(init=False)
    size: int = field(init=False)
    beyond: int = field(init=False)
    padding: Numbers = field(init=False)
    back: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        # No properties: torch.compile reads fields only.
        count = (self.sites + 1) // 2
        object.__setattr__(self, "count", count)
        applied = sum(step.before * step.columns * step.behind for piece in self.pieces for step in piece.steps)
        object.__setattr__(self, "size", max(count << len(self.axes), applied))
        beyond = 2 * count + 1 - self.depth % 2 - self.sites
        object.__setattr__(self, "beyond", beyond)
        object.__setattr__(self, "padding", Numbers((1.0,) + (0.0,) * (2 ** (beyond + self.depth - 1) - 1)))
        object.__setattr__(self, "back", tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__)))


def make_columns(wiring: Wiring, borders: Sequence[int], *, ranks: Sequence[int] | None = None) -> Columns | None:
    """The columns of a brick wall.

    Args:
        wiring: The sequence of gates.
        borders: The first site of each piece but the first one.
        ranks: For each site its place in the order that the outputs of its piece shall have; None for site order.

    Returns:
        The columns; None where the circuit is no brick wall of gates on two sites, too deep or too short, or where a
        border is none between columns.
    """
    sites, depth = wiring.sites, len(wiring.layers)
    odd = depth % 2
    if not 2 <= depth <= DEEPEST or sites < 3 or wiring != brick_wall(sites, depth):
        return None
    # In walls of even depth the last gates lie across the columns.
    if not borders or any(border % 2 == odd for border in borders):
        return None
    starts = (0, *((border - 1 + odd) // 2 for border in borders))
    count = (sites + 1) // 2
    if starts[1] < 1 or any(a >= b for a, b in pairwise(starts)) or starts[-1] >= count:
        return None
    names, left, outputs, right = _name_axes(depth)
    return Columns(
        sites,
        depth,
        starts,
        *_find_entries(wiring, count),
        tuple(names.index(name) for name in (*left, *outputs, *right)),
        _edge(depth, left),
        tuple(_make_piece(wiring, starts, number, ranks) for number in range(len(starts))),
    )


def _name_axes(depth: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """A column's axes as the products leave them; those that are left bonds, outputs and right bonds, in order.

    The gate of layer 2t gets l from the left and s from the layer before, and gives a to the left and b to the gate of
    layer 2t + 1. That one gets b and, from the right, r, and gives d to the right and c, which is the next s.
    """
    pairs, odd = depth // 2, depth % 2
    names = ["a0", "d0", "r0"] + [f"{kind}{t}" for t in range(1, pairs) for kind in "aldr"]
    names += [f"{kind}{pairs}" for kind in "lab"] if odd else [f"c{pairs - 1}"]
    left = ["a0"] + [f"{kind}{t}" for t in range(1, pairs) for kind in "la"] + [f"l{pairs}"] * odd
    right = ["r0"] + [name for t in range(1, pairs) for name in (f"d{t - 1}", f"r{t}")] + [f"d{pairs - 1}"] * odd
    outputs = [f"a{pairs}", f"b{pairs}"] if odd else [f"c{pairs - 1}", f"d{pairs - 1}"]
    return names, left, outputs, right


def _find_entries(wiring: Wiring, count: int) -> tuple[Entries, Entries]:
    number = {(layer, gate[0]): k for k, (layer, gate) in enumerate(zip(wiring.layer_of, wiring.gates, strict=True))}
    depth, zero = len(wiring.layers), 16 * len(wiring.gates)

    def find(names: str, layers: range, shift: int = 0, *, given: str = "") -> tuple[int, ...]:
        """The entries of a gate [out, out, in, in] = "abls" for all columns, its axes in the order of ``names``."""
        found = []
        for layer, column, bits in product(layers, range(count), product(_BITS, repeat=len(names))):
            value = dict(zip(names, bits, strict=True)) | dict.fromkeys(given, 0)
            into, out = 2 * value["l"] + value["s"], 2 * value["a"] + value["b"]
            gate = number.get((layer, 2 * column + shift))
            found.append(zero + (out == into) if gate is None else 16 * gate + 4 * out + into)
        return tuple(found)

    odd = depth % 2
    parts = [
        find("salb", range(2, depth - odd, 2)),
        find("slab", range(depth - odd, depth, 2)),
        # Its inputs are b and r, its outputs c and d, taken in the order b, d, r, c.
        find("lbsa", range(1, depth, 2), 1),
    ]
    starting, given = ([first, *parts] for first in (find("ab", range(1), given="ls"), find("abls", range(1))))
    plain, full = (_gather(own, zero) for own in (starting, given))
    return plain, full


def _gather(parts: Sequence[tuple[int, ...]], count: int) -> Entries:
    places = sum(parts, ())
    # Each entry lies in one column, and there in one layer.
    known = {place: at for at, place in enumerate(places)}
    back = [known.get(entry, len(places)) for entry in range(count)]
    return Entries(Numbers(places), tuple(map(len, parts)), Numbers(tuple(back)))


def _edge(depth: int, left: Sequence[str]) -> Numbers:
    """Nothing is left of site 0: what a gate gives there is what the next one gets, in the end the site's output."""
    pairs = depth // 2
    found = []
    for out in (None,) if depth % 2 else _BITS:
        for bits in product(_BITS, repeat=len(left)):
            value = dict(zip(left, bits, strict=True))
            goes_on = all(value[f"a{t - 1}"] == value[f"l{t}"] for t in range(1, pairs + depth % 2))
            found.append(float(goes_on and out in (None, value[f"a{pairs - 1}"])))
    return Numbers(tuple(found))


def _make_piece(wiring: Wiring, starts: Sequence[int], number: int, ranks: Sequence[int] | None) -> Piece:
    sites, depth = wiring.sites, len(wiring.layers)
    bond, even = depth - 1, 1 - depth % 2
    low, high = (*starts, (sites + 1) // 2)[number : number + 2]
    own = list(range(2 * low + even * bool(low), min(2 * high + even, sites)))
    bonds = bond * (bool(number) + (number < len(starts) - 1))
    last = number == len(starts) - 1
    # The last piece begins at the end of the chain: nothing is open there.
    order = range(high - 1, low - 1, -1) if last else range(low, high)
    steps = []
    known = 0
    for column in order:
        done = _outputs_of(column, sites, even)
        if not known:
            known = len(done) + bonds
            steps.append(Step(number, 0, None, 1, 1, 1, 2**known))
            continue
        before, behind = (1, 2 ** (known - bond)) if last else (2 ** (known - bond), 1)
        row = column - low + last
        steps.append(Step(number, row, None, before, 2**bond, behind, 2 ** (bond + len(done))))
        known += len(done)
    # Bonds lie on no site: these numbers only tell them apart.
    left, right = [(-1, k) for k in range(bond) if number], [(-2, k) for k in range(bond) if not last]
    outputs = [(site, depth) for site in own]
    ranked: list[Wire] = outputs if ranks is None else sorted(outputs, key=lambda wire: ranks[wire[0]])
    return finish(steps, [*left, *outputs, *right], left=left, outputs=ranked, right=right, closed=False)


def _outputs_of(column: int, sites: int, even: int) -> list[int]:
    """The sites whose outputs a column holds; site 0 is left over in walls of even depth, and goes with the first."""
    found = [site for site in (2 * column + even, 2 * column + even + 1) if site < sites]
    return [0, *found] if even and not column else found
