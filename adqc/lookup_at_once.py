"""Embeddings of small circuits: from the numbers stored to the rows looked up, and back, in one step of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from adqc.array_circuit import Many, make_circuit
from adqc.arrays import NumpyArray, is_kept_elsewhere, is_plain
from adqc.at_once import Part, find_program, list_tensors, run_parts
from adqc.engine.apply import look_up
from adqc.engine.chain import Chain
from adqc.engine.lookup_loops import fits_lookup, look_up_arrays

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall


def look_up_at_once(wall: BrickWall, chain: Chain, index: Tensor) -> Tensor | None:
    """What :func:`adqc.engine.apply.look_up` finds.

    Args:
        wall: The circuit.
        chain: How its rows are looked up.
        index: (n,), which ones.

    Returns:
        (n, columns); None where the circuit is not small, or somebody looks on.

    Raises:
        MemoryError: If it would not fit in memory.
    """
    if wall.scale.device.type != "cpu" or not is_plain(index):
        return None
    program = find_program(wall, wall.gates, wall.scale, chain, wall.state)
    if program is None or not fits_lookup(chain, wall.scale.element_size()) or is_kept_elsewhere():
        return None
    tensors = list_tensors(wall.gates, wall.scale, wall.state)
    (high, low), (first, second), (bonds,) = chain.rows, chain.columns, chain.bonds
    columns, count = wall.shape[1], len(tensors)

    def make(*given: NumpyArray) -> tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]:
        def ending(pieces: Many, late: NumpyArray) -> tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]:
            left, right = pieces[0].reshape(high, first, bonds), pieces[1].reshape(bonds, low, second)
            sides = left.transpose(0, 2, 1), right.transpose(1, 0, 2)
            found, pull_found = look_up_arrays(given[count], *sides, columns)

            def pull_ending(grads: Many) -> tuple[Many, NumpyArray]:
                own, other = pull_found(grads[0])
                return (
                    own.transpose(0, 2, 1).reshape(1, -1, bonds),
                    other.transpose(1, 0, 2).reshape(bonds, -1, 1),
                ), late

            return (found,), pull_ending

        found, pull_all = make_circuit(wall, program, len(wall.wiring.gates), ending, *given[:count])
        return found, lambda grads: [*pull_all(grads), None]

    def in_steps(*given: Tensor) -> Sequence[Tensor]:
        return (look_up(given[count], wall.pieces_in_steps(chain, *given[:count]), chain, columns),)

    return run_parts([Part(make, in_steps, (*tensors, index))])[0]
