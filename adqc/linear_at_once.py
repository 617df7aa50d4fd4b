"""Linear layers of small circuits: from inputs and the numbers stored to outputs, and back, in one step of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from adqc.array_circuit import Many, make_circuit
from adqc.arrays import NumpyArray, as_array, is_kept_elsewhere
from adqc.at_once import Part, find_plan, find_program, list_tensors, make_part, run_parts
from adqc.engine.apply import apply_chain, as_matrices, pull_peeled, pull_pieces
from adqc.engine.apply_loops import apply_arrays, goes_at_once
from adqc.engine.arrange import widen
from adqc.engine.chain import Chain
from adqc.engine.dense import goes_in_loops, multiply_inputs
from adqc.engine.materialise import Plan
from adqc.engine.patches import Patches
from adqc.engine.products import suits_loops
from adqc.engine.tiles import Tiles, apply_tiles, make_tiles
from adqc.vectors import count_entries

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall


def apply_at_once(
    wall: BrickWall, gates: Tensor, scale: Tensor, chain: Chain, x: Tensor, bias: Tensor | None,
    state: Tensor | None = None,
) -> Tensor | None:  # fmt: skip
    """What :func:`adqc.engine.apply.apply_chain` makes of inputs, and the bias.

    Args:
        wall: The circuit.
        gates: (P,), as ``wall.gates``.
        scale: (), as ``wall.scale``.
        chain: How it is applied.
        x: (batch, columns).
        bias: (rows,), what is added.
        state: (Q, 2), as ``wall.state``.

    Returns:
        (batch, rows); None where circuit or inputs are not small, or somebody looks on.

    Raises:
        MemoryError: If it would not fit in memory.
    """
    if not suits_loops(gates, x) or not (bias is None or suits_loops(bias, x)) or is_kept_elsewhere():
        return None
    program = find_program(wall, gates, scale, chain, state)
    if program is None or not goes_at_once(len(x), x.element_size(), chain):
        return None
    tensors = list_tensors(gates, scale, state)
    rows, whole, count = wall.shape[0], x.requires_grad, len(tensors)
    others = [] if bias is None else [bias]
    trained = torch.is_grad_enabled() and any(map(_is_trained, (*tensors, x)))

    def make(*given: NumpyArray) -> tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]:
        inputs, *added = given[count:]
        pulled: list[NumpyArray | None] = []

        def ending(pieces: Many, late: NumpyArray) -> tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]:
            matrices = as_matrices(pieces, chain, list(late[: len(chain.peeled)]))
            numbers = added[0] if added else None
            found, pull_found = apply_arrays(inputs, matrices, chain, rows, bias=numbers, trained=trained)

            def pull_ending(grads: Many) -> tuple[Many, NumpyArray]:
                own, found_grads, last = pull_found(grads[0], whole=whole)
                pulled.extend((own, *[last] * len(added)))
                peeled = pull_peeled(found_grads, chain)
                return pull_pieces(found_grads, chain), np.stack(peeled) if peeled else late

            return (found,), pull_ending

        count_gates = len(wall.wiring.gates)
        found, pull_all = make_circuit(wall, program, count_gates, ending, *given[:count], peeled=chain.peeled)

        def pull(grads: Many) -> Sequence[NumpyArray | None]:
            pulled.clear()
            return *pull_all(grads), *pulled

        return found, pull

    def in_steps(*given: Tensor) -> Sequence[Tensor]:
        found = apply_chain(given[count], wall.pieces_in_steps(chain, *given[:count]), chain, rows)
        return (found if bias is None else found + given[-1],)

    return run_parts([Part(make, in_steps, (*tensors, x, *others))])[0]


def linear_at_once(
    wall: BrickWall, gates: Tensor, scale: Tensor, x: Tensor, bias: Tensor | None, state: Tensor | None = None
) -> Tensor | None:
    """The same with the weight, which is built; arguments, None and errors as above."""
    found = _find(wall, gates, scale, x, bias, state)
    if found is None:
        return None
    plan, tiles = found
    tensors = list_tensors(gates, scale, state)
    part = make_part(wall, plan, tensors)
    if tiles is None:
        wanted = x.requires_grad, any(map(_is_trained, tensors)), bias is not None and bias.requires_grad
        make = partial(_build_and_multiply, part, wanted)
    else:
        make = partial(_apply_tiles, wall, plan, tiles, len(tensors))
    count, own = len(tensors), part
    least = count_entries(x.element_size())
    if len(x) < least:
        make = partial(_fill_vectors, make, count, least)

    def in_steps(*given: Tensor) -> Sequence[Tensor]:
        (weight,) = own.in_steps(*given[:count])
        return (F.linear(given[count], weight, *given[count + 1 :]),)

    return run_parts([Part(make, in_steps, (*tensors, x, *([] if bias is None else [bias])))])[0]


def makes_tiles(wall: BrickWall, x: Tensor, bias: Tensor | None) -> bool:
    """Whether it makes the wall's weight tile by tile."""
    found = _find(wall, wall.gates, wall.scale, x, bias, wall.state)
    return found is not None and found[1] is not None


def _find(
    wall: BrickWall, gates: Tensor, scale: Tensor, x: Tensor, bias: Tensor | None, state: Tensor | None
) -> tuple[Plan, Tiles | None] | None:
    """How the weight is built, and the tiles where it is made of these; None as above."""
    if wall.config.frequencies is not None or not goes_in_loops(x, wall.shape, (scale, bias), filled=True):
        return None
    if is_kept_elsewhere():
        return None
    plan = find_plan(wall, gates, scale, wall.config.route, state)
    if plan is None:
        return None
    by_tiles = not x.requires_grad and any(map(_is_trained, list_tensors(gates, scale, state)))
    return plan, _find_tiles(wall, plan, scale) if by_tiles else None


def _is_trained(tensor: Tensor) -> bool:
    return tensor.requires_grad


def _find_tiles(wall: BrickWall, plan: Plan, scale: Tensor) -> Tiles | None:
    """How the weight is made tile by tile, where it is a product of patches and nothing else."""
    if not isinstance(plan.head, Patches) or plan.join is None or plan.tail is not None or wall.config.axes is not None:
        return None
    return make_tiles(plan.head, plan.join, wall.layout, as_array(scale).dtype)


def _build_and_multiply(
    part: Part, wanted: Sequence[bool], *given: NumpyArray
) -> tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]:
    """The outputs, the weight being built; and the gradients of inputs, circuit and bias that are wanted."""
    count = len(part.tensors)
    (weight,), pull_weight = part.make(*given[:count])
    inputs, *others = given[count:]
    found, pull_found = multiply_inputs(inputs, weight, others[0] if others else None)

    def pull(grads: Many) -> Sequence[NumpyArray | None]:
        first, pulled, last = pull_found(grads[0], wanted)
        stored = [None] * count if pulled is None else pull_weight([pulled])
        return [*stored, first, *[last] * len(others)]

    return (found,), pull


def _fill_vectors(
    make: Callable[..., tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]], at: int, least: int,
    *given: NumpyArray,
) -> tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]:  # fmt: skip
    """The same for fewer inputs than fill a vector, with zeros behind them."""
    batch = len(given[at])
    (found,), pull_all = make(*given[:at], widen(given[at], (least, given[at].shape[1])), *given[at + 1 :])

    def pull(grads: Many) -> Sequence[NumpyArray | None]:
        pulled = list(pull_all([widen(grads[0], (least, grads[0].shape[1]))]))
        first = pulled[at]
        pulled[at] = None if first is None else first[:batch]
        return pulled

    return (found[:batch],), pull


def _apply_tiles(
    wall: BrickWall, plan: Plan, tiles: Tiles, count: int, *given: NumpyArray
) -> tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]:
    """The same tile by tile, for inputs whose gradient is not wanted."""
    lasts: list[NumpyArray] = []
    x, *others = given[count:]

    def contract(gates: NumpyArray, scale: NumpyArray) -> tuple[Many, Callable[[Many], tuple[NumpyArray, NumpyArray]]]:
        found, pull_found = apply_tiles(x, others[0] if others else None, gates, scale, tiles, wall.shape[0])

        def pull_tiles(grads: Many) -> tuple[NumpyArray, NumpyArray]:
            own_scale, own, last = pull_found(grads[0])
            lasts[:] = [last] * len(others)
            return own, own_scale

        return (found,), pull_tiles

    def ending(outputs: Many, late: NumpyArray) -> tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]:
        return outputs, lambda grads: (grads, late)

    assert isinstance(plan.head, Patches), "others have no tiles"
    found, pull_all = make_circuit(wall, plan.head, plan.first, ending, *given[:count], contract=contract)

    def pull(grads: Many) -> Sequence[NumpyArray | None]:
        return [*pull_all(grads), None, *lasts]

    return found, pull
