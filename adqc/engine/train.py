"""One sweep of a staircase as a matrix product state, whose cores are its gates on what they meet.

Where wires of a gate still hold |0>, few of its columns count. Left of a cut the cores follow one another from the
first gate on, right of it from the last one back: each takes one product, and no axis is moved before the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from adqc.arrays import Array, Numbers, fixed, side_by_side, take
from adqc.engine.pieces import Piece, Step, Wire, finish
from adqc.engine.split import Split
from adqc.geometry import Wiring

ZERO = Numbers((0.0,))


@dataclass(frozen=True, eq=False)
class Train:
    """How one sweep of a staircase is contracted.

    Args:
        pieces: How the cores are put together. A step's group is the number of its piece, its row the core's number
            there.
        openings: What each piece begins with: a one, or between two cuts the identity of its left bonds.
        cores: For each piece the rows and columns of its cores' matrices, core by core.
        places: The entries of all cores, one after another, as places in the entries of all gates.
        back: For each entry of the gates where it is among these, behind which lies a zero.

    Attributes:
        entries: Number of entries of all gates.
        size: How many entries all cores are applied to.
    """

    pieces: tuple[Piece, ...]
    openings: tuple[Numbers, ...]
    cores: tuple[tuple[tuple[int, int], ...], ...]
    places: Numbers
    back: Numbers

    entries: int = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        # No properties: torch.compile reads fields only.
        applied = sum(step.before * step.columns * step.behind for piece in self.pieces for step in piece.steps)
        object.__setattr__(self, "entries", len(self.back.values))
        object.__setattr__(self, "size", max(applied, len(self.places.values)))


def make_train(wiring: Wiring, split: Split, *, ranks: Sequence[int] | None = None) -> Train | None:
    """The train of a staircase of one sweep.

    Args:
        wiring: The sequence of gates.
        split: Which piece each gate lies in.
        ranks: For each site its place in the order that the outputs of its piece shall have; None for site order.

    Returns:
        The train; None where the circuit is no such staircase.
    """
    gates = wiring.gates
    if len(wiring.layers) != 1 or split.count < 2:
        return None
    if gates[0][0] != 0 or gates[-1][-1] != wiring.sites - 1 or len({len(gate) for gate in gates}) > 1:
        return None
    if any(gate != tuple(range(gate[0], gate[-1] + 1)) for gate in gates):
        return None
    if any(not one[0] < other[0] <= one[-1] for one, other in pairwise(gates)):
        return None
    members = [[gate for gate, piece in enumerate(split.piece) if piece == number] for number in range(split.count)]
    made = [_make_piece(wiring, number, own, ranks) for number, own in enumerate(members)]
    size = 4 ** len(gates[0])
    places = np.concatenate([place for _, _, own in made for place in own])
    met = [2 ** wiring.fresh[own[0]].count(False) for own in members]
    between = [Numbers(tuple(np.eye(count).reshape(-1).tolist())) for count in met[1:-1]]
    return Train(
        tuple(piece for piece, _, _ in made),
        (Numbers((1.0,)), *between, Numbers((1.0,))),
        tuple(tuple(shapes) for _, shapes, _ in made),
        Numbers(tuple(places.tolist())),
        _find_back(places, size * len(gates)),
    )


def _find_back(places: npt.NDArray[np.int_], entries: int) -> Numbers:
    back = np.full(entries, len(places))
    back[places] = np.arange(len(places))
    return Numbers(tuple(back.tolist()))


@lru_cache(maxsize=256)
def narrow_train(train: Train, every: int) -> Train:
    """The same train for gates whose columns are given one in so many, the others never being met."""
    places = np.array(train.places.values) // every
    return replace(train, places=Numbers(tuple(places.tolist())), back=_find_back(places, train.entries // every))


def _make_piece(
    wiring: Wiring, number: int, own: Sequence[int], ranks: Sequence[int] | None
) -> tuple[Piece, list[tuple[int, int]], list[npt.NDArray[np.int_]]]:
    """The piece of these gates, the shapes of its cores, and where their entries lie in those of all gates."""
    last = own[-1] == len(wiring.gates) - 1
    met = [[site for site, new in zip(wiring.gates[k], wiring.fresh[k], strict=True) if not new] for k in own]
    # The first site that is not this gate's alone any more.
    ends = [wiring.sites if last and gate == own[-1] else wiring.gates[gate + 1][0] for gate in own]
    left: list[Wire] = [(site, -1) for site in met[0]]
    outputs = [(site, 0) for site in range(wiring.gates[own[0]][0], ends[-1])]
    right: list[Wire] = [] if last else [(site, 1) for site in wiring.gates[own[-1]] if site >= ends[-1]]
    steps: list[Step] = []
    shapes, places = [], []
    others = 1 if last else 2 ** len(left)
    for at in range(len(own) - 1, -1, -1) if last else range(len(own)):
        gate = wiring.gates[own[at]]
        given, all_out, closed = 2 ** len(met[at]), 2 ** len(gate), 2 ** (ends[at] - gate[0])
        # Wires in |0> are a gate's last ones: it keeps one column in so many.
        place = own[at] * all_out**2 + np.arange(all_out**2).reshape(all_out, given, -1)[:, :, 0]
        if last:
            rows, columns = given * closed, all_out // closed
            place = place.reshape(closed, columns, given).transpose(2, 0, 1)
            before, behind = 1, others
        else:
            rows, columns = all_out, given
            before, behind = others, 1
        steps.append(Step(number, len(steps), None, before, columns, behind, rows))
        shapes.append((rows, columns))
        places.append(place.reshape(-1))
        others *= closed
    ranked = outputs if ranks is None else sorted(outputs, key=lambda wire: ranks[wire[0]])
    axes = [*left, *outputs, *right]
    return finish(steps, axes, left=left, outputs=ranked, right=right, closed=False), shapes, places


def build_cores(gates: Array, train: Train) -> Sequence[Sequence[Array]]:
    """The cores of some walls as the matrices that the pieces' steps apply.

    Args:
        gates: (walls, G, 2^k, 2^k), in the order in which they act; of one wall also without its axis.
        train: What :func:`make_train` returned.

    Returns:
        For each piece its cores, (walls, rows, columns) each, or (rows, columns).
    """
    lead = gates.shape[:-3]
    taken = take(gates.reshape(*lead, -1), train.places)
    found: list[list[Array]] = []
    low = 0
    for shapes in train.cores:
        found.append([])
        for rows, columns in shapes:
            high = low + rows * columns
            found[-1].append(taken[..., low:high].reshape(*lead, rows, columns))
            low = high
    return found


def pull_cores(grads: Sequence[Sequence[Array]], train: Train) -> Array:
    """The gradients of the gates, (walls, entries) or (entries,), from those of the cores."""
    lead = grads[0][0].shape[:-2]
    flat: list[Array] = []
    for part in chain.from_iterable(grads):
        flat.append(part.reshape(*lead, -1))
    walls = math.prod(lead)
    flat.append(fixed(ZERO if walls == 1 else Numbers((0.0,) * walls), flat[0]).reshape(*lead, 1))
    return take(side_by_side(flat), train.back)
