"""A small circuit on arrays: from the numbers stored to what is made of its gates, and back, by loops and numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from adqc.arrays import NumpyArray, Pull, fixed, silently
from adqc.engine.absorb import absorb_arrays
from adqc.engine.apply import as_matrices, pull_peeled, pull_pieces
from adqc.engine.chain import Chain
from adqc.engine.columns import Columns
from adqc.engine.contract import as_halves, contract_arrays
from adqc.engine.gate_loops import run_again, run_halves, run_patches, run_windows
from adqc.engine.join import Join, join_arrays
from adqc.engine.patches import Patches
from adqc.engine.planes import as_planes, double_rows
from adqc.engine.train import Train, narrow_train
from adqc.engine.train_loops import is_looped, run_train
from adqc.engine.undone import run_undone
from adqc.engine.windows import Windows
from adqc.orthogonal import spread_columns

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall

Many = Sequence[NumpyArray]
# What is made of a circuit's pieces and of the gates behind them, and what makes their gradients of its own.
Ending = Callable[[Many, NumpyArray], tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]]


# What is made of gates and a scale, and what makes their gradients of its own.
Contract = Callable[[NumpyArray, NumpyArray], tuple[Many, Callable[[Many], tuple[NumpyArray, NumpyArray]]]]


def make_circuit(
    wall: BrickWall,
    plan: Columns | Train | Patches | None,
    first: int,
    ending: Ending,
    gates: NumpyArray,
    scale: NumpyArray,
    state: NumpyArray | None = None,
    *,
    peeled: tuple[int, ...] = (),
    join: Join | None = None,
    contract: Contract | None = None,
) -> tuple[Many, Callable[[Many], Many]]:
    """What the ending makes of the circuit, and what makes the gradients of gates, scale and state of its own.

    Args:
        wall: The circuit.
        plan: How its pieces are made; None where there are none.
        first: How many gates they take.
        ending: What is made of them and of the other gates.
        gates: (P,), as ``wall.gates``.
        scale: (), as ``wall.scale``.
        state: (Q, 2), as ``wall.state``.
        peeled: Those of the first gates that act behind the pieces.
        join: How patches are joined; None for pieces.
        contract: What makes of the first gates and the scale what comes in the place of pieces; None for these.
    """
    with silently():
        matrices, pull_params = _make_gates(wall, gates)
        if wall.every > 1 and state is None and isinstance(plan, Train):
            plan = narrow_train(plan, wall.every)
        elif wall.every > 1:
            matrices, pull_params = _fill_up(matrices, pull_params, wall.every)
        pull_state = None
        if state is not None:
            matrices, pull_state = absorb_arrays(matrices, state, wall.wiring)
        pull_planes = None
        if not wall.family.real:
            matrices, pull_planes = _part_planes(matrices, plan)
        contract = partial(_contract, plan, join) if contract is None else contract
        pieces, pull_head = contract(matrices[:first], scale.reshape(1))
        late = np.concatenate([matrices[list(peeled)], matrices[first:]]) if peeled else matrices[first:]
        found, pull_found = ending(pieces, late)

    def pull(grads: Many) -> Many:
        with silently():
            own_pieces, behind = pull_found(grads)
            own, own_scale = pull_head(own_pieces)
            if peeled:
                # The head has left them alone.
                own[list(peeled)], behind = behind[: len(peeled)], behind[len(peeled) :]
            own = np.concatenate([own, behind]) if len(behind) else own
            own = own if pull_planes is None else pull_planes(own)
            if pull_state is None:
                return pull_params(own), own_scale.reshape(scale.shape)
            own, own_state = pull_state(own)
            return pull_params(own), own_scale.reshape(scale.shape), own_state

    return found, pull


def join_pieces(
    pieces: Many,
    gates: NumpyArray,
    *,
    join: Join | None,
    tail: Windows | None,
    shape: tuple[int, ...],
    doubled: bool,
) -> tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]:
    """The ending that makes a weight, or the state that it is a part of.

    Args:
        pieces: Two, or one that is the state, or what it begins with.
        gates: Those that act on it then.
        join: How two are joined; None for one.
        tail: How the gates act; None where there are none.
        shape: The result's.
        doubled: Whether both planes of the two pieces' product are wanted, see :mod:`adqc.engine.planes`.
    """
    found, pull_pieces_of = (pieces[0], None) if join is None else _join_halves(pieces, join, doubled)
    # Not the pieces, as one may be a whole state that nobody needs behind the gates on it.
    shapes = [piece.shape for piece in pieces]
    pull_tail = None
    if tail is not None:
        run = run_undone if tail.undone is not None else run_again if tail.kept_at else run_windows
        found, pull_tail = run(found.reshape(-1), gates, tail)

    def pull(grads: Many) -> tuple[Many, NumpyArray]:
        grad, own = grads[0], gates
        if pull_tail is not None:
            grad, own = pull_tail(grad)
        if pull_pieces_of is None:
            return (grad,), own
        return [one.reshape(size) for one, size in zip(pull_pieces_of(grad), shapes, strict=True)], own

    return (found.reshape(shape),), pull


def _join_halves(
    pieces: Many, join: Join, doubled: bool
) -> tuple[NumpyArray, Callable[[NumpyArray], tuple[NumpyArray, NumpyArray]]]:
    left, right = as_halves(pieces)
    if not doubled:
        return join_arrays(left, right, join)
    rows, pull_rows = double_rows(left)
    found, pull_found = join_arrays(rows, right, join)

    def pull(grad: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
        first, second = pull_found(grad)
        return pull_rows(first), second

    return found, pull


def cut_pieces(
    pieces: Many, gates: NumpyArray, *, chain: Chain
) -> tuple[Many, Callable[[Many], tuple[Many, NumpyArray]]]:
    """The ending that makes the matrices of a chain."""

    def pull(grads: Many) -> tuple[Many, NumpyArray]:
        own = pull_peeled(grads, chain)
        return pull_pieces(grads, chain), np.stack(own) if own else gates

    return as_matrices(pieces, chain, list(gates[: len(chain.peeled)])), pull


def _make_gates(wall: BrickWall, stored: NumpyArray) -> tuple[NumpyArray, Pull]:
    """The gates, of wide ones the columns that may be stored, and what makes the stored numbers' gradient of theirs."""
    family, slots, count = wall.family, wall.slots, len(wall.wiring.gates)
    assert family.arrays is not None, "asked of families that have it"
    if family.columns:
        size = 2**family.sites
        return family.arrays(stored, slots, (count, size, size // wall.every))
    if slots is None:
        matrices, pull = family.arrays(stored.reshape(count, family.parameters))
        return matrices, lambda grad: pull(grad).reshape(-1)
    index = fixed(slots, stored, index=True)
    params = np.zeros(count * family.parameters, stored.dtype)
    params[index] = stored
    matrices, pull = family.arrays(params.reshape(count, family.parameters))
    return matrices, lambda grad: pull(grad).reshape(-1).take(index)


def _fill_up(matrices: NumpyArray, pull: Pull, every: int) -> tuple[NumpyArray, Pull]:
    """Whole gates of those with one column in so many."""
    return spread_columns(matrices, every), lambda grad: pull(grad[..., ::every])


def _part_planes(matrices: NumpyArray, plan: Columns | Train | Patches | None) -> tuple[NumpyArray, Pull]:
    """Real gates in the place of complex ones."""
    return as_planes(matrices, plan.patches[-1].gates.values if isinstance(plan, Patches) else ())


def _contract(
    plan: Columns | Train | Patches | None,
    join: Join | None,
    gates: NumpyArray,
    scale: NumpyArray,
) -> tuple[Many, Callable[[Many], tuple[NumpyArray, NumpyArray]]]:
    """The pieces, where there are any, or their product; or what a tail begins with."""
    if isinstance(plan, Patches):
        if join is None:
            pieces, pull_pieces = run_patches(gates, plan, scale)
            return pieces, lambda grads: pull_pieces(grads)[::-1]
        product, pull_product = run_halves(gates, plan, join, scale)
        return (product,), lambda grads: pull_product(grads[0])[::-1]
    if isinstance(plan, Train) and is_looped(plan):
        pieces, pull_train = run_train(gates, plan, scale)
        return pieces, pull_train
    if plan is not None:
        return contract_arrays(gates, plan, scale)
    # Of |0…0> the factor is all that there is to tell.
    return (scale,), lambda grads: (gates, grads[0])
