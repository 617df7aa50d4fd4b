"""The pieces of a small circuit as states of their own: each stretch of a wire in a piece is an axis.

A wire that comes in from another piece is an axis that stays as it is, and one more that begins as its copy and goes
through the piece's gates; one that goes out ends where the other piece takes it over. So a piece is a state on which
its gates act, window by window, as they do on that of a whole circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adqc.arrays import Numbers
from adqc.engine.peel import leave_out
from adqc.engine.pieces import Piece, Wire, finish
from adqc.engine.planes import PLANES
from adqc.engine.split import Split, cut
from adqc.engine.windows import Windows, lay_windows
from adqc.geometry import Wiring

# Larger pieces are made of columns, which take less arithmetic.
MOST_AXES = 17


@dataclass(frozen=True, eq=False)
class Patch:
    """How a piece is made.

    Args:
        gates: Its gates, by their places in the circuit's order.
        windows: How they act on it.
    """

    gates: Numbers
    windows: Windows


@dataclass(frozen=True, eq=False)
class Patches:
    """How all pieces of a circuit that begins with |0…0> are made.

    Args:
        pieces: What they are, from left to right; without steps.
        patches: How each is made.

    Attributes:
        size: How many entries the backward pass keeps.
    """

    pieces: tuple[Piece, ...]
    patches: tuple[Patch, ...]

    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(patch.windows.size for patch in self.patches))


def make_patches(wiring: Wiring, split: Split, *, ranks: Sequence[int], real: bool = True) -> Patches | None:
    """The patches of a circuit.

    Args:
        wiring: The sequence of gates.
        split: Which piece each gate lies in.
        ranks: For each site its place in the order that the outputs of its piece shall have.
        real: Whether the gates are real; pieces of complex ones are made real, see :mod:`adqc.engine.planes`.

    Returns:
        The patches; None where a piece has no gate or is too large, or has gates that no window takes.
    """
    found = [_make_patch(wiring, split, number, ranks, real) for number in range(split.count)]
    made = [pair for pair in found if pair is not None]
    return Patches(*map(tuple, zip(*made, strict=True))) if len(made) == len(found) else None


def peel_patches(
    wiring: Wiring, peeled: Sequence[int], border: int, *, ranks: Sequence[int], real: bool = True
) -> Patches | None:
    """The two patches of a circuit without some of its gates, see :mod:`adqc.engine.peel`.

    Args:
        wiring: The sequence of gates.
        peeled: The gates that are left out.
        border: The first site of the second one.
        ranks: As for :func:`make_patches`; None as there.
        real: The same.
    """
    left, rest = leave_out(wiring, peeled)
    split = cut(rest, (border,))
    made = None if split is None else make_patches(rest, split, ranks=ranks, real=real)
    if made is None:
        return None
    patches = (
        Patch(Numbers(tuple(left[gate] for gate in patch.gates.values)), patch.windows) for patch in made.patches
    )
    return Patches(made.pieces, tuple(patches))


def _make_patch(
    wiring: Wiring, split: Split, number: int, ranks: Sequence[int], real: bool
) -> tuple[Piece, Patch] | None:
    own = [gate for gate, piece in enumerate(split.piece) if piece == number]
    # For each stretch the wire that it begins with, and that which it ends with.
    ends: dict[Wire, Wire] = {(site, 0): (site, 0) for site in split.sites[number] if not wiring.wires[site]}
    opened: set[Wire] = set()
    begun: dict[int, Wire] = {}
    taken: list[list[Wire]] = []
    for gate in own:
        taken.append([])
        for site in wiring.gates[gate]:
            on_wire = wiring.wires[site]
            at = on_wire.index(gate)
            if not at or split.piece[on_wire[at - 1]] != number:
                begun[site] = (site, at)
                if at:
                    opened.add((site, at))
            ends[begun[site]] = (site, at + 1)
            taken[-1].append(begun[site])
    stretches = sorted(ends)
    # A wire from elsewhere lies behind its copy, so that both come in one window.
    axes = [wire for stretch in stretches for wire in (ends[stretch], *[stretch] * (stretch in opened))]
    planes = [] if real else [PLANES]
    if len(axes) > MOST_AXES:
        return None
    place = {stretch: axes.index(ends[stretch]) for stretch in stretches}
    outputs = [wire for wire in axes if wire[0] in split.sites[number] and wire[1] == len(wiring.wires[wire[0]])]
    bonds = sorted(set(axes) - set(outputs))

    def crosses(wire: Wire, border: int) -> bool:
        """Whether a bond crosses the border between that piece and the next."""
        site, at = wire
        return min(split.piece[gate] for gate in wiring.wires[site][at - 1 : at + 1]) == border

    piece = finish(
        (),
        [*planes, *axes],
        left=[*(planes if number else []), *(wire for wire in bonds if crosses(wire, number - 1))],
        outputs=sorted(outputs, key=lambda wire: ranks[wire[0]]),
        right=[*([] if number else planes), *(wire for wire in bonds if crosses(wire, number))],
        closed=False,
    )
    gates = [tuple(place[stretch] for stretch in stretches_of) for stretches_of in taken]
    copies = {place[wire]: place[wire] + 1 for wire in opened}
    idle = [at for wire, at in place.items() if ends[wire] == wire]
    sizes, count = piece.sizes, 1 + len(planes)
    windows = lay_windows(gates, len(axes), idle, copies, piece.move, sizes, sizes, planes=count)
    # Pieces keep all that their windows are given.
    return None if windows is None or windows.kept_at else (piece, Patch(Numbers(tuple(own)), windows))
