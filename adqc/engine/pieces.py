"""A piece of a circuit, and the blocks that act on it one after another: plain integers, found once for a geometry.

A piece is a tensor whose axes of dimension 2 are wires. A block takes some of them as its columns and puts others, its
rows, in their place; wires to a neighbouring piece stay behind as bonds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

from adqc.engine.arrange import Move, find_move

# A stretch of wire: (site, how many gates lie before it).
Wire = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """One block applied to the tensor, seen as (before, columns, behind): the rows take the place of the columns.

    Args:
        group: The kind of block.
        row: Which one of that kind.
        move: How the axes are moved before the product; None where the block's columns lie side by side.
        before: Size of the axes ahead of the columns together.
        columns: Size of the columns together.
        behind: Size of the axes behind them together.
        rows: Size of the rows together.
        widened: Whether the block is first multiplied with an identity on the axes behind, as many small products take
            longer than a large one with zeros.
        flipped: Whether the columns change places with the axes behind for the product, for the same reason.

    Attributes:
        operand: The tensor's shape, one of the outer two left out where it is 1.
    """

    group: int
    row: int
    move: Move | None
    before: int
    columns: int
    behind: int
    rows: int
    widened: bool = False
    flipped: bool = False

    operand: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        # No property: torch.compile reads fields only, and small circuits take as long as calls do.
        ahead = () if self.before == 1 else (self.before,)
        behind = () if self.behind == 1 and ahead else (self.behind,)
        object.__setattr__(self, "operand", (*ahead, self.columns, *behind))


@dataclass(frozen=True)
class Piece:
    """How a piece is contracted.

    Args:
        steps: The blocks, in the order in which they act.
        move: How left bonds, sites and right bonds are each brought together; None where they lie so.
        sizes: The sizes of these three, in the order in which they lie then.
        back: The permutation that makes them (left bonds, sites, right bonds).
        sites: Sites whose outputs the piece holds, in the order in which the tensor holds them.
        closed: Whether no wire comes in from another piece, so that unitary gates make isometries of all blocks.
    """

    steps: tuple[Step, ...]
    move: Move | None
    sizes: tuple[int, ...]
    back: tuple[int, ...]
    sites: tuple[int, ...]
    closed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes of left bonds, sites and right bonds."""
        left, sites, right = (self.sizes[k] for k in self.back)
        return left, sites, right


def finish(
    steps: Sequence[Step],
    axes: Sequence[Wire],
    *,
    left: Sequence[Wire],
    outputs: Sequence[Wire],
    right: Sequence[Wire],
    closed: bool,
) -> Piece:
    """The piece whose axes lie like this behind the last step.

    Args:
        steps: Its blocks.
        axes: All of its axes.
        left: The bonds on its left, in the order that they shall have.
        outputs: The sites' last wires, in the order that they shall have.
        right: The bonds on its right.
        closed: See :class:`Piece`.
    """
    parts = [left, outputs, right]
    # The three stay in the order that is cheapest to reach: a matrix product takes them in any.
    orders = permutations(range(3))
    moves = [(find_move(axes, [wire for k in order for wire in parts[k]]), order) for order in orders]
    # Axes that stay ahead of all others need not be moved.
    move, order = min(
        moves, key=lambda pair: 0 if pair[0] is None else 1 / pair[0].run + len(pair[0].axes) - (not pair[0].axes[0])
    )
    sizes = [2 ** len(part) for part in parts]
    back = tuple(order.index(k) for k in range(3))
    sites = tuple(site for site, _ in outputs)
    return Piece(tuple(steps), move, tuple(sizes[k] for k in order), back, sites, closed)
