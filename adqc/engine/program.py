"""How the pieces of a circuit are contracted: gates fused into blocks, each block one matrix product.

A piece is a tensor whose axes of dimension 2 are wires. A block takes some of them as its columns and puts others, its
rows, in their place; wires to a neighbouring piece, leaving or coming in, stay behind as bonds. The order of the axes
is followed while the program is made, so that most products find their operands where they lie. A program is made of
plain integers, once for a geometry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations

from adqc.engine.arrange import Move, find_move
from adqc.engine.fusion import Block, Fusion, fuse
from adqc.engine.split import Split
from adqc.geometry import Wiring

# A stretch of wire: (site, how many gates lie before it).
Wire = tuple[int, int]
# Where a block's input on a site comes from: the piece itself, the start vector, or another piece.
LIVE, FRESH, OPEN = "live", "fresh", "open"
# What blocks that look alike have in common: gates, inputs, rows.
Key = tuple[tuple[tuple[int, ...], ...], tuple[str, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Group:
    """Blocks that look alike and are built together.

    Args:
        gates: The sites of each gate, counted from the block's first site, in the order in which they act.
        inputs: For each site of the block, where its input comes from.
        rows: The order of the block's row bits (its sites, then its open inputs), for sites that act no more.
        count: Number of blocks.
        fresh: For each fresh site of the block, the sites of the chain in all blocks.

    Attributes:
        shape: Rows and columns of a block's matrix.
    """

    gates: tuple[tuple[int, ...], ...]
    inputs: tuple[str, ...]
    rows: tuple[int, ...]
    count: int
    fresh: tuple[tuple[int, ...], ...]

    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        # No property: torch.compile reads fields only.
        object.__setattr__(self, "shape", (2 ** len(self.rows), 2 ** self.inputs.count(LIVE)))


@dataclass(frozen=True)
class Step:
    """One block applied to the tensor.

    Args:
        group: The kind of block.
        row: Which one of that kind.
        move: How the axes are moved before the product; None where they lie right.
        front: Whether the block's columns are the first axes of the tensor; otherwise they are the last.
        columns: Size of these axes together.
        rest: Size of all others together.
        lead: Whether the block's rows become the first axes of the result; otherwise the last.
    """

    group: int
    row: int
    move: Move | None
    front: bool
    columns: int
    rest: int
    lead: bool


@dataclass(frozen=True)
class Piece:
    """How a piece is contracted.

    Args:
        steps: The blocks, in the order in which they act.
        move: How left bonds, sites and right bonds are each brought together; None where they lie so.
        sizes: The sizes of these three, in the order in which they lie then.
        back: The permutation that makes them (left bonds, sites, right bonds).
        sites: Sites whose outputs the piece holds, in the order in which the tensor holds them.
    """

    steps: tuple[Step, ...]
    move: Move | None
    sizes: tuple[int, ...]
    back: tuple[int, ...]
    sites: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes of left bonds, sites and right bonds."""
        left, sites, right = (self.sizes[k] for k in self.back)
        return left, sites, right


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
    wiring: Wiring, split: Split, fusion: Fusion, *, ranks: Sequence[int] | None = None, running: bool = False
) -> Program:
    """The program that contracts the pieces.

    Args:
        wiring: The sequence of gates.
        split: Which piece each gate lies in.
        fusion: How to fuse.
        ranks: For each site its place in the order that the outputs of its piece shall have; None for site order.
        running: Whether the circuit goes on from a given state, in site order: then no site is fresh.
    """
    ranks = range(wiring.sites) if ranks is None else ranks
    keys: dict[Key, int] = {}
    members: dict[int, list[Block]] = defaultdict(list)
    makers, steps = [], []
    for number, sites in enumerate(split.sites):
        gates = [k for k, piece in enumerate(split.piece) if piece == number]
        blocks = fuse(wiring, gates, fusion, mirrored=number > 0)
        if not running:
            blocks += [Block(site, site + 1) for site in sites if not wiring.wires[site]]
        makers.append(_Maker(wiring, split, number, ranks, running))
        steps.append(makers[-1].lay_(blocks, keys, members))
    # The bonds of a border lie in the order in which the piece behind it has them.
    borders = [[], *(maker.bonds(number) for number, maker in enumerate(makers[1:])), []]
    pieces = [maker.finish(own, *bonds) for maker, own, bonds in zip(makers, steps, pairwise(borders), strict=True)]
    order: list[int] = []
    groups = []
    for (pattern, inputs, rows), at in keys.items():
        order += [block.gates[k] for k in range(len(pattern)) for block in members[at]]
        fresh = [tuple(b.low + k for b in members[at]) for k, kind in enumerate(inputs) if kind == FRESH]
        groups.append(Group(pattern, inputs, rows, len(members[at]), tuple(fresh)))
    return Program(tuple(order), tuple(groups), tuple(pieces))


class _Maker:
    """Follows the axes of one piece through its blocks."""

    def __init__(self, wiring: Wiring, split: Split, number: int, ranks: Sequence[int], running: bool) -> None:
        self.wiring, self.split, self.number, self.ranks, self.running = wiring, split, number, ranks, running
        self.axes: list[Wire] = [(site, 0) for site in split.sites[number]] if running else []

    def lay_(
        self, blocks: Sequence[Block], keys: dict[Key, int], members: Mapping[int, list[Block]]
    ) -> tuple[Step, ...]:
        """The steps, equal blocks gathered in ``members``."""
        ports = [self._ports(block) for block in blocks]
        steps = []
        for at, (block, (inputs, columns, rows)) in enumerate(zip(blocks, ports, strict=True)):
            places = self._row_order(rows)
            gates = tuple(tuple(site - block.low for site in self.wiring.gates[k]) for k in block.gates)
            group = keys.setdefault((gates, inputs, places), len(keys))
            following = ports[at + 1][1] if at + 1 < len(ports) else []
            move, front, lead = self._place_(columns, [rows[k] for k in places], following)
            rest = 2 ** (len(self.axes) - len(rows))
            steps.append(Step(group, len(members[group]), move, front, 2 ** len(columns), rest, lead))
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

    def _row_order(self, rows: list[Wire]) -> tuple[int, ...]:
        """Outputs of the circuit in the order that they shall have in the end; where others are made, as they come."""
        if any(n < len(self.wiring.wires[site]) for site, n in rows):
            return tuple(range(len(rows)))
        return tuple(sorted(range(len(rows)), key=lambda k: self.ranks[rows[k][0]]))

    def _place_(self, columns: list[Wire], rows: list[Wire], following: list[Wire]) -> tuple[Move | None, bool, bool]:
        count = len(columns)
        move = None
        front = self.axes[:count] == columns
        if not front and (not count or self.axes[-count:] != columns):
            wanted = columns + [wire for wire in self.axes if wire not in columns]
            move = find_move(self.axes, wanted)
            self.axes, front = wanted, True
        rest = self.axes[count:] if front else self.axes[: len(self.axes) - count]
        lead = _is_end(following, rows + rest) or not _is_end(following, rest + rows)
        self.axes = rows + rest if lead else rest + rows
        return move, front, lead

    def bonds(self, border: int) -> list[Wire]:
        """The wires across a border, in the order of this piece's axes."""
        return [wire for wire in self.axes if not self._is_output(wire) and self._border(wire) == border]

    def finish(self, steps: tuple[Step, ...], left: list[Wire], right: list[Wire]) -> Piece:
        """The piece, given the order of the bonds on both of its sides."""
        outputs = sorted((wire for wire in self.axes if self._is_output(wire)), key=lambda wire: self.ranks[wire[0]])
        parts = [left, outputs, right]
        # The three stay in the order that is cheapest to reach: a matrix product takes them in any.
        orders = permutations(range(3))
        moves = [(find_move(self.axes, [wire for k in order for wire in parts[k]]), order) for order in orders]
        move, order = min(moves, key=lambda pair: 0 if pair[0] is None else 1 / pair[0].run + len(pair[0].axes))
        sizes = [2 ** len(part) for part in parts]
        back = tuple(order.index(k) for k in range(3))
        return Piece(steps, move, tuple(sizes[k] for k in order), back, tuple(site for site, _ in outputs))

    def _is_output(self, wire: Wire) -> bool:
        return wire[0] in self.split.sites[self.number] and wire[1] == len(self.wiring.wires[wire[0]])

    def _border(self, wire: Wire) -> int:
        """The border that a bond crosses: that between this piece and the next has this piece's number."""
        site, n = wire
        gates = self.wiring.wires[site]
        return min(self.split.piece[gates[n - 1]], self.split.piece[gates[n]])


def _is_end(wires: list[Wire], axes: list[Wire]) -> bool:
    return bool(wires) and wires in (axes[: len(wires)], axes[-len(wires) :])
