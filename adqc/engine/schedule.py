"""Contracting a half of the chain in few, batched products.

The gates are cut into blocks of two neighbouring columns. Within a block they are multiplied in the order of time;
the blocks of a regular wiring look alike, so each step is one batched product for all of them. The blocks are then
joined from the ends of the chain towards the cut. A schedule is made of plain integers, found once for a geometry.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adqc.engine.arrange import block_sizes
from adqc.geometry import Wiring

# A stretch of wire: (site, how many gates lie before it).
Wire = tuple[int, int]


@dataclass(frozen=True)
class View:
    """Rows of earlier results, turned into a stack of matrices.

    Args:
        parts: For each result taken from: its number, and the rows as (first, last + 1, step) or a list of rows.
        shape: Axes of one row, runs of indices that stay together merged.
        permutation: Order of these axes; None where they already lie right.
        matrix: Rows and columns of the matrix.
    """

    parts: tuple[tuple[int, tuple[int, ...] | slice], ...]
    shape: tuple[int, ...]
    permutation: tuple[int, ...] | None
    matrix: tuple[int, int]


@dataclass(frozen=True)
class Block:
    """A block's tensor: the result and row where it lies, and the sizes of its three axes."""

    result: int
    row: int
    before: int
    outputs: int
    after: int


@dataclass(frozen=True)
class Schedule:
    """The products that contract one half.

    Args:
        opened: For each kind of fresh wires of a gate: the gates of that kind.
        idle: Sites that no gate touches.
        products: Pairs of views to multiply, each making a new result; a lone view is only rearranged.
        joins: The blocks from the end of the chain to the cut.
    """

    opened: tuple[tuple[tuple[bool, ...], tuple[int, ...]], ...]
    idle: tuple[int, ...]
    products: tuple[tuple[View, View | None], ...]
    joins: tuple[Block, ...]


@dataclass
class _Piece:
    """A tensor while the schedule is made: where it lies, and what its indices are called."""

    result: int
    row: int
    wires: list[Wire]


class _Maker:
    """Collects steps; equal ones become one batched product."""

    def __init__(self) -> None:
        self.results = 0
        self.products: list[tuple[View, View | None]] = []

    def add(self, rows: int) -> list[tuple[int, int]]:
        number = self.results
        self.results += 1
        return [(number, row) for row in range(rows)]

    def multiply(self, pairs: list[tuple[_Piece, _Piece]]) -> list[_Piece]:
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
        for at, (a, b) in enumerate(pairs):
            shared = [wire for wire in a.wires if wire in b.wires]
            axes_a = tuple(a.wires.index(wire) for wire in shared)
            axes_b = tuple(b.wires.index(wire) for wire in shared)
            groups[(len(a.wires),), axes_a, (len(b.wires),), axes_b].append(at)
        made: dict[int, _Piece] = {}
        for ((rank_a,), axes_a, (rank_b,), axes_b), members in groups.items():
            free_a = [axis for axis in range(rank_a) if axis not in axes_a]
            free_b = [axis for axis in range(rank_b) if axis not in axes_b]
            left = _view([pairs[at][0] for at in members], free_a, axes_a)
            right = _view([pairs[at][1] for at in members], axes_b, free_b)
            self.products.append((left, right))
            for at, (result, row) in zip(members, self.add(len(members)), strict=True):
                a, b = pairs[at]
                made[at] = _Piece(result, row, [a.wires[k] for k in free_a] + [b.wires[k] for k in free_b])
        return [made[at] for at in range(len(pairs))]

    def rearrange(self, pieces: list[_Piece], orders: list[list[Wire]]) -> list[_Piece]:
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for at, (piece, order) in enumerate(zip(pieces, orders, strict=True)):
            groups[tuple(piece.wires.index(wire) for wire in order)].append(at)
        made: dict[int, _Piece] = {}
        for axes, members in groups.items():
            self.products.append((_view([pieces[at] for at in members], axes, ()), None))
            for at, (result, row) in zip(members, self.add(len(members)), strict=True):
                made[at] = _Piece(result, row, orders[at])
        return [made[at] for at in range(len(pieces))]


def _view(pieces: Sequence[_Piece], rows: Sequence[int], columns: Sequence[int]) -> View:
    parts: list[tuple[int, list[int]]] = []
    for piece in pieces:
        if parts and parts[-1][0] == piece.result:
            parts[-1][1].append(piece.row)
        else:
            parts.append((piece.result, [piece.row]))
    order = [*rows, *columns]
    # Runs of axes that keep their order move as one.
    sizes, firsts = block_sizes(order)
    ranked = sorted(range(len(firsts)), key=firsts.__getitem__)
    permutation = tuple(ranked.index(k) + 1 for k in range(len(ranked)))
    return View(
        tuple((result, _rows(members)) for result, members in parts),
        tuple(sizes[k] for k in ranked),
        None if permutation == tuple(range(1, len(permutation) + 1)) else (0, *permutation),
        (2 ** len(rows), 2 ** len(columns)),
    )


def _rows(members: list[int]) -> tuple[int, ...] | slice:
    step = members[1] - members[0] if len(members) > 1 else 1
    if step > 0 and members == list(range(members[0], members[0] + step * len(members), step)):
        return slice(members[0], members[-1] + 1, step)
    return tuple(members)


def block_of(gate: tuple[int, ...], layer: int, place: int, slope: int) -> int:
    """The block that a gate lies in: two columns a block, numbered from the cut, the left half's below zero."""
    return (gate[0] - slope * layer - place) // 2


def make_schedule(
    wiring: Wiring, gates: Sequence[int], sites: range, place: int, slope: int, *, left: bool
) -> Schedule:
    """The schedule of one half.

    Args:
        wiring: The whole sequence of gates.
        gates: Indices of the gates in this half.
        sites: Sites whose outputs this half holds.
        place: Where the cut lies: the gates of the left half start at a site below ``place + slope · layer``.
        slope: How the cut moves from layer to layer.
        left: Whether this is the left half.
    """
    passed: Counter[int] = Counter()
    wires: dict[int, list[Wire]] = {}
    for k, gate in enumerate(wiring.gates):
        inputs = [(site, passed[site]) for site in gate if passed[site]]
        passed.update(gate)
        wires[k] = [(site, passed[site]) for site in gate] + inputs
    maker = _Maker()
    kinds: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for k in gates:
        kinds[wiring.fresh[k]].append(k)
    idle = tuple(site for site in sites if not passed[site])
    blocks: dict[int, list[_Piece]] = defaultdict(list)
    placed: dict[int, tuple[int, int]] = {}
    for members in kinds.values():
        placed.update(zip(members, maker.add(len(members)), strict=True))
    for k in gates:
        result, row = placed[k]
        blocks[block_of(wiring.gates[k], wiring.layer_of[k], place, slope)].append(_Piece(result, row, wires[k]))
    for site, (result, row) in zip(idle, maker.add(len(idle)) if idle else [], strict=True):
        blocks[block_of((site,), 0, place, 0)].append(_Piece(result, row, [(site, 0)]))
    chains = [blocks[number] for number in sorted(blocks)]
    _contract_blocks_(maker, chains)
    outputs = {(site, passed[site]) for site in sites}
    joins = _arrange_blocks(maker, [chain[0] for chain in chains], outputs, left=left)
    opened = tuple((kind, tuple(members)) for kind, members in kinds.items())
    return Schedule(opened, idle, tuple(maker.products), joins)


def _contract_blocks_(maker: _Maker, chains: list[list[_Piece]]) -> None:
    """Multiply each block's gates down to one tensor, all blocks at the same time."""
    first = True
    while any(len(chain) > 1 for chain in chains):
        jobs = []
        for number, chain in enumerate(chains):
            # In the first round all neighbours in time pair up; then the earliest takes in one after another.
            stop = len(chain) - 1 if first else min(1, len(chain) - 1)
            jobs += [(number, at) for at in range(0, stop, 2)]
        made = maker.multiply([(chains[number][at], chains[number][at + 1]) for number, at in jobs])
        for (number, at), piece in zip(reversed(jobs), reversed(made), strict=True):
            chains[number][at : at + 2] = [piece]
        first = False


def _arrange_blocks(maker: _Maker, pieces: list[_Piece], outputs: set[Wire], *, left: bool) -> tuple[Block, ...]:
    """Bring every block's axes into the order (wires to the block before, outputs, wires to the block after)."""
    orders = []
    for number, piece in enumerate(pieces):
        inner = [wire for wire in piece.wires if wire not in outputs]
        # The half's open wires lie in its block at the cut: the last of the left half, the first of the right.
        if left:
            known = pieces[number - 1].wires if number else []
            before = [wire for wire in inner if wire in known]
        else:
            known = pieces[number + 1].wires if number + 1 < len(pieces) else []
            before = [wire for wire in inner if wire not in known]
        after = [wire for wire in inner if wire not in before]
        orders.append((sorted(before), sorted(wire for wire in piece.wires if wire in outputs), sorted(after)))
    pieces = maker.rearrange(pieces, [before + out + after for before, out, after in orders])
    blocks = [
        Block(piece.result, piece.row, *(2 ** len(wires) for wires in order))
        for piece, order in zip(pieces, orders, strict=True)
    ]
    return tuple(blocks if left else reversed(blocks))


def open_gates(gates: Tensor, schedule: Schedule, wiring: Wiring, start: Tensor | None) -> list[Tensor]:
    """The first results: gates with the inputs on fresh wires fixed, (rows, 2^indices), kind by kind."""
    results = []
    for kind, members in schedule.opened:
        taken = _pick(gates, _rows(list(members)))
        shape = [len(members), taken.shape[1], *(2 for _ in kind)]
        taken = taken.reshape(shape)
        for axis in reversed(range(len(kind))):
            if not kind[axis]:
                continue
            if start is None:
                taken = taken.select(axis + 2, 0)
            else:
                vectors = _pick(start, _rows([wiring.gates[k][axis] for k in members]))
                sizes = [2 if at == axis + 2 else 1 for at in range(1, taken.dim())]
                taken = (taken * vectors.reshape(-1, *sizes)).sum(axis + 2)
        results.append(taken.reshape(len(members), -1))
    if schedule.idle:
        zero = gates.new_zeros(len(schedule.idle), 2)
        zero[:, 0] = 1
        results.append(zero if start is None else _pick(start, _rows(list(schedule.idle))))
    return results


def _pick(stack: Tensor, rows: tuple[int, ...] | slice) -> Tensor:
    if isinstance(rows, slice):
        return stack if rows == slice(0, stack.shape[0], 1) else stack[rows]
    return torch.stack([stack[row] for row in rows])


def _matrices(view: View, results: Sequence[Tensor]) -> Tensor:
    taken = [_pick(results[number], rows) for number, rows in view.parts]
    rows = taken[0] if len(taken) == 1 else torch.cat(taken)
    if view.permutation is not None:
        rows = rows.reshape(rows.shape[0], *view.shape).permute(view.permutation)
    return rows.reshape(-1, *view.matrix)


def run_schedule(gates: Tensor, schedule: Schedule, wiring: Wiring, start: Tensor | None, *, left: bool) -> Tensor:
    """Contract one half.

    Args:
        gates: (G, 4, 4), in the order in which they act.
        schedule: What :func:`make_schedule` returned for this half.
        wiring: Where the gates act.
        start: (Q, 2), the product state to begin with; None for |0…0>.
        left: Whether this is the left half.

    Returns:
        (2^sites, bond) for the left half, (bond, 2^sites) for the right one, bits in site order.
    """
    results = open_gates(gates, schedule, wiring, start)
    for a, b in schedule.products:
        product = _matrices(a, results)
        if b is not None:
            product = torch.bmm(product, _matrices(b, results))
        results.append(product.reshape(product.shape[0], -1))
    half = gates.new_ones(1, 1)
    for block in schedule.joins:
        tensor = results[block.result][block.row]
        if left:
            # shape: (outputs so far, before) x (before, outputs · after)
            half = half @ tensor.reshape(block.before, -1) if half.numel() > 1 else tensor
            half = half.reshape(-1, block.after)
        else:
            # shape: (before · outputs, after) x (after, outputs so far)
            half = tensor.reshape(-1, block.after) @ half if half.numel() > 1 else tensor
            half = half.reshape(block.before, -1)
    return half
