"""How the pieces of a circuit are contracted: gates fused into blocks, each block one matrix product.

The axes of a piece lie in the order of the sites, the border last, so that a block's columns lie side by side and no
axis has to be moved: moving the axes of a tensor takes longer than the product.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from adqc.engine.arrange import Move, find_move
from adqc.engine.columns import Columns, make_columns
from adqc.engine.fusion import FUSIONS, Block, Fusion, fuse
from adqc.engine.pieces import Piece, Step, Wire, finish
from adqc.engine.split import Split
from adqc.engine.train import Train, make_train
from adqc.geometry import Wiring

# Where a block's input on a site comes from: the piece itself, the start vector, or another piece.
LIVE, FRESH, OPEN = "live", "fresh", "open"
# What blocks that look alike have in common: gates, inputs, rows, and whether the columns are mirrored.
Key = tuple[tuple[tuple[int, ...], ...], tuple[str, ...], tuple[int, ...], bool]
# torch multiplies batches of products with fewer multiply-adds than this each entry by entry.
SMALL = 400
# Axes ahead of a block have so many entries at least where it is of any use to widen or to flip it.
MANY = 32
# What flipping costs, in multiply-adds for each entry of the tensor.
FLIP = 30
# Many products of so many columns take so many times as long as one of as many multiply-adds; with more columns they
# take about as long as it, with fewer far longer.
FEW, LONGER = 8, 4
# Tensors with fewer entries lie in the cache, where many products take less than that.
NEAR = 2**14


@dataclass(frozen=True)
class Group:
    """Blocks that look alike and are built together.

    Args:
        gates: The sites of each gate, counted from the block's first site, in the order in which they act.
        inputs: For each site of the block, where its input comes from.
        rows: The order of the block's row bits (its sites, then its open inputs).
        mirrored: Whether its column bits come from the last site to the first.
        count: Number of blocks.
        fresh: For each fresh site of the block, the sites of the chain in all blocks.

    Attributes:
        shape: Rows and columns of a block's matrix.
    """

    gates: tuple[tuple[int, ...], ...]
    inputs: tuple[str, ...]
    rows: tuple[int, ...]
    mirrored: bool
    count: int
    fresh: tuple[tuple[int, ...], ...]

    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        # No property: torch.compile reads fields only.
        object.__setattr__(self, "shape", (2 ** len(self.rows), 2 ** self.inputs.count(LIVE)))


@dataclass(frozen=True)
class Program:
    """How all pieces are contracted.

    Args:
        order: The gates in the order in which the groups take them: group by group, gate of the block by gate.
        groups: The kinds of blocks.
        pieces: The pieces, from left to right.
    """

    order: tuple[int, ...]
    groups: tuple[Group, ...]
    pieces: tuple[Piece, ...]


def make_program(
    wiring: Wiring,
    split: Split,
    fusion: Fusion,
    *,
    ranks: Sequence[int] | None = None,
    running: Sequence[int] | None = None,
    rising: bool = False,
) -> Program:
    """The program that contracts the pieces.

    Args:
        wiring: The sequence of gates.
        split: Which piece each gate lies in.
        fusion: How to fuse.
        ranks: For each site its place in the order that the outputs of its piece shall have; None for site order.
        running: The sites in the order in which a state holds them that the circuit goes on from; None where it
            begins with fresh sites.
        rising: Whether bonds lie in their own order, as in patches, and not as blocks leave them.
    """
    ranks = range(wiring.sites) if ranks is None else ranks
    keys: dict[Key, int] = {}
    members: dict[int, list[Block]] = defaultdict(list)
    makers, steps = [], []
    for number, sites in enumerate(split.sites):
        gates = [k for k, piece in enumerate(split.piece) if piece == number]
        # From the border on: what is left over for a small block lies at the end, where products are plain.
        blocks = fuse(wiring, gates, fusion, mirrored=number == 0)
        if running is None:
            blocks += [Block(site, site + 1) for site in sites if not wiring.wires[site]]
        makers.append(_Maker(wiring, split, number, ranks, running))
        steps.append(makers[-1].lay_(blocks, keys, members))
    # The bonds of a border lie in the order in which the piece behind it has them.
    borders = [[], *(maker.bonds(number) for number, maker in enumerate(makers[1:])), []]
    borders = [sorted(bonds) for bonds in borders] if rising else borders
    pieces = [maker.finish(own, *bonds) for maker, own, bonds in zip(makers, steps, pairwise(borders), strict=True)]
    order: list[int] = []
    groups = []
    for (pattern, inputs, rows, mirrored), at in keys.items():
        order += [block.gates[k] for k in range(len(pattern)) for block in members[at]]
        fresh = [tuple(b.low + k for b in members[at]) for k, kind in enumerate(inputs) if kind == FRESH]
        groups.append(Group(pattern, inputs, rows, mirrored, len(members[at]), tuple(fresh)))
    return Program(tuple(order), tuple(groups), tuple(pieces))


def find_programs(
    wiring: Wiring, split: Split, *, ranks: Sequence[int] | None = None
) -> list[Program | Columns | Train]:
    """The ways to contract the pieces that are worth comparing: a train, or columns where there are any, and blocks."""
    train = make_train(wiring, split, ranks=ranks)
    if train is not None:
        return [train]
    columns: list[Program | Columns | Train] = []
    if set(split.bonds) == {len(wiring.layers) - 1}:
        borders = [sites.start for sites in split.sites[1:]]
        made = (make_columns(wiring, borders, ranks=ranks, sliced=sliced) for sliced in (False, True))
        columns = [own for own in made if own is not None]
    # Where there are columns, blocks are no better or, in deep walls, small ones.
    fusions = FUSIONS[:1] if columns else FUSIONS
    return columns + [make_program(wiring, split, fusion, ranks=ranks) for fusion in fusions]


def _choose_form(before: int, columns: int, behind: int, rows: int) -> tuple[bool, bool]:
    """Whether a block is widened and whether it is flipped: the fewest multiply-adds, or what takes as long as them."""
    if before < MANY or behind == 1:
        return False, False
    many: float = rows
    if behind < FEW or rows * columns * behind < SMALL:
        many = math.inf
    elif behind == FEW and before * columns * behind >= NEAR:
        many = rows * LONGER
    widened, flipped = rows * behind, rows + FLIP
    return widened < min(many, flipped), flipped < min(many, widened)


class _Maker:
    """Follows the axes of one piece through its blocks."""

    def __init__(
        self, wiring: Wiring, split: Split, number: int, ranks: Sequence[int], running: Sequence[int] | None
    ) -> None:
        self.wiring, self.split, self.number, self.ranks = wiring, split, number, ranks
        self.running = running is not None
        # Bonds lie behind the sites: those of the first piece rise towards its border, those of the others fall.
        self.mirrored = number > 0
        self.axes: list[Wire] = [(site, 0) for site in running or ()]
        self.closed = True

    def lay_(
        self, blocks: Sequence[Block], keys: dict[Key, int], members: Mapping[int, list[Block]]
    ) -> tuple[Step, ...]:
        """The steps, equal blocks gathered in ``members``."""
        steps = []
        for block in blocks:
            inputs, columns, rows = self._ports(block)
            places = self._row_order(rows, block)
            gates = tuple(tuple(site - block.low for site in self.wiring.gates[k]) for k in block.gates)
            mirrored = self.mirrored and len(columns) > 1
            group = keys.setdefault((gates, inputs, places, mirrored), len(keys))
            columns = columns[::-1] if mirrored else columns
            move, before, behind = self._place_(columns, [rows[k] for k in places], block)
            sizes = (before, 2 ** len(columns), behind, 2 ** len(rows))
            steps.append(Step(group, len(members[group]), move, *sizes, *_choose_form(*sizes)))
            self.closed &= OPEN not in inputs
            members[group].append(block)
        return tuple(steps)

    def _ports(self, block: Block) -> tuple[tuple[str, ...], list[Wire], list[Wire]]:
        """Where the block's inputs come from, the wires that are its columns, and those that are its rows."""
        wiring = self.wiring
        inputs, columns, rows, opened = [], [], [], []
        for site in range(block.low, block.high):
            own = [k for k in block.gates if site in wiring.gates[k]]
            first = wiring.wires[site].index(own[0]) if own else 0
            if not first:
                kind = LIVE if self.running else FRESH
            else:
                kind = LIVE if self.split.piece[wiring.wires[site][first - 1]] == self.number else OPEN
            inputs.append(kind)
            if kind == LIVE:
                columns.append((site, first))
            if kind == OPEN:
                opened.append((site, first))
            rows.append((site, first + len(own)))
        return tuple(inputs), columns, rows + opened

    def _row_order(self, rows: list[Wire], block: Block) -> tuple[int, ...]:
        """Outputs of the circuit in the order they shall have in the end; others as sites lie, open inputs last."""
        if all(n == len(self.wiring.wires[site]) for site, n in rows):
            return tuple(sorted(range(len(rows)), key=lambda k: self.ranks[rows[k][0]]))
        sites, opened = range(block.high - block.low), range(block.high - block.low, len(rows))
        return (*sites[::-1], *opened) if self.mirrored else (*sites, *opened[::-1])

    def _place_(self, columns: list[Wire], rows: list[Wire], block: Block) -> tuple[Move | None, int, int]:
        """Put the rows in the columns' place, which is found or made."""
        count, total = len(columns), len(self.axes)
        if not columns:
            at = sum(site > block.low if self.mirrored else site < block.low for site, _ in self.axes)
        else:
            at = self.axes.index(columns[0])
        move = None
        if self.axes[at : at + count] != columns:
            wanted = columns + [wire for wire in self.axes if wire not in columns]
            move, at = find_move(self.axes, wanted), 0
            self.axes = wanted
        self.axes[at : at + count] = rows
        return move, 2**at, 2 ** (total - at - count)

    def bonds(self, border: int) -> list[Wire]:
        """The wires across a border, in the order of this piece's axes."""
        return [wire for wire in self.axes if not self._is_output(wire) and self._border(wire) == border]

    def finish(self, steps: tuple[Step, ...], left: list[Wire], right: list[Wire]) -> Piece:
        """The piece, given the order of the bonds on both of its sides."""
        outputs = sorted((wire for wire in self.axes if self._is_output(wire)), key=lambda wire: self.ranks[wire[0]])
        return finish(steps, self.axes, left=left, outputs=outputs, right=right, closed=self.closed)

    def _is_output(self, wire: Wire) -> bool:
        return wire[0] in self.split.sites[self.number] and wire[1] == len(self.wiring.wires[wire[0]])

    def _border(self, wire: Wire) -> int:
        """The border that a bond crosses: that between this piece and the next has this piece's number."""
        site, n = wire
        gates = self.wiring.wires[site]
        return min(self.split.piece[gates[n - 1]], self.split.piece[gates[n]])
