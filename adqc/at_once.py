"""Small circuits: from the numbers stored to the tensor or its pieces, and back, in one step of autograd.

A small circuit takes the time of calls, and a step of torch's autograd takes that of many of numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from adqc.array_circuit import Many, cut_pieces, join_pieces, make_circuit
from adqc.arrays import (
    NumpyArray,
    as_array,
    is_kept_elsewhere,
    is_plain,
    is_small,
    is_soon_multiplied,
    is_traced,
    pull_again,
)
from adqc.engine.absorb import is_absorbed
from adqc.engine.chain import Chain
from adqc.engine.columns import Columns
from adqc.engine.materialise import Plan, make_plan
from adqc.engine.patches import Patches
from adqc.engine.program import Program
from adqc.engine.train import Train
from adqc.engine.windows import Windows
from adqc.memory import check_memory

if TYPE_CHECKING:
    from adqc.brickwall import BrickWall

# Pieces are few where so many times their entries lie beside them.
FEW = 8
ROUTES = ("auto", "halves", "fused", "matrix-free")


class Part(NamedTuple):
    """What one circuit has in a step of autograd.

    Args:
        make: What of its tensors, as arrays, is made: some arrays, and what makes the tensors' gradients of theirs.
        in_steps: The same as tensors, as a function that has gradients of any order.
        tensors: Its gates, its scale, and the product state where it begins with one.
    """

    make: Callable[..., tuple[Many, Callable[[Many], Sequence[NumpyArray | None]]]]
    in_steps: Callable[..., Sequence[Tensor]]
    tensors: tuple[Tensor, ...]


def build_at_once(
    wall: BrickWall, gates: Tensor, scale: Tensor, route: str, state: Tensor | None = None
) -> Tensor | None:
    """What the wall's state holds, cropped, or the weight where that is but another shape of it; None where the circuit
    is not small, or somebody looks on.

    Args:
        wall: The circuit.
        gates: (P,), as ``wall.gates``.
        scale: (), as ``wall.scale``.
        route: One of :data:`adqc.config.ROUTES`.
        state: (Q, 2), as ``wall.state``.

    Returns:
        A tensor of ``wall.layout.shape``, or of ``wall.shape`` where there are no frequencies.

    Raises:
        MemoryError: If it would not fit in memory.
    """
    part = find_part(wall, gates, scale, route, state)
    return None if part is None else run_parts([part])[0]


def find_part(wall: BrickWall, gates: Tensor, scale: Tensor, route: str, state: Tensor | None = None) -> Part | None:
    """How :func:`build_at_once` builds it, for :func:`run_parts`; arguments, None and errors as there."""
    plan = find_plan(wall, gates, scale, route, state)
    return None if plan is None else make_part(wall, plan, list_tensors(gates, scale, state))


def find_plan(wall: BrickWall, gates: Tensor, scale: Tensor, route: str, state: Tensor | None = None) -> Plan | None:
    """The plan by which it does; arguments, None and errors as there."""
    if route not in ROUTES or not _is_small(wall, gates, scale, state):
        return None
    unitary, real = is_undone(wall), wall.family.real
    plan = make_plan(wall.wiring, wall.layout, route, in_loops=True, unitary=unitary, real=real)
    if not (real or isinstance(plan.head, Patches) or isinstance(plan.tail, Windows)):
        return None
    if plan.tail is not None and (is_kept_elsewhere() or not isinstance(plan.tail, Windows)):
        return None
    beside = 0 if plan.tail is None else plan.tail.size
    if (plan.join is not None and plan.join.in_blocks) or not _fits(plan.head, gates, beside):
        return None
    check_memory(wall.layout, gates)
    return plan


def is_undone(wall: BrickWall) -> bool:
    """Whether the transposes of the wall's gates, as its loops take them, undo these."""
    return wall.family.unitary and wall.every == 1


def make_part(wall: BrickWall, plan: Plan, tensors: tuple[Tensor, ...]) -> Part:
    """What builds a wall by such a plan, given what :func:`list_tensors` lists."""
    shape = wall.shape if wall.config.frequencies is None else wall.layout.shape

    def in_steps(gates: Tensor, scale: Tensor, state: Tensor | None = None) -> Sequence[Tensor]:
        return (wall.build_in_steps(gates, scale, state).reshape(shape),)

    head, tail = plan.head, plan.tail
    assert not isinstance(head, Program), "find_plan takes none with blocks"
    assert not isinstance(tail, Program), "find_plan takes none with blocks"
    # Loops join what they have made, but for a complex state.
    doubled = not wall.family.real and tail is not None
    joined, join = (plan.join, None) if isinstance(head, Patches) and not doubled else (None, plan.join)
    ending = partial(join_pieces, join=join, tail=tail, shape=shape, doubled=doubled)
    make = partial(make_circuit, wall, head, plan.first, ending, peeled=plan.peeled, join=joined)
    return Part(make, in_steps, tensors)


def pieces_at_once(
    wall: BrickWall, gates: Tensor, scale: Tensor, chain: Chain, state: Tensor | None = None
) -> Sequence[Tensor] | None:
    """The matrices that :func:`adqc.engine.apply.apply_chain` takes; arguments and None as above."""
    program = find_program(wall, gates, scale, chain, state)
    if program is None:
        return None
    ending = partial(cut_pieces, chain=chain)
    make = partial(make_circuit, wall, program, len(wall.wiring.gates), ending, peeled=chain.peeled)
    return run_parts([Part(make, partial(wall.pieces_in_steps, chain), list_tensors(gates, scale, state))])


def find_program(
    wall: BrickWall, gates: Tensor, scale: Tensor, chain: Chain, state: Tensor | None
) -> Columns | Train | Patches | None:
    """How a chain's pieces are made of arrays; None as for :func:`build_at_once`."""
    if not _is_small(wall, gates, scale, state):
        return None
    # Complex gates go in loops only.
    others = wall.family.real and not chain.peeled
    for plan in (chain.patches, chain.program if others else None):
        if plan is not None and _fits(plan, gates):
            return plan
    return None


def list_tensors(gates: Tensor, scale: Tensor, state: Tensor | None) -> tuple[Tensor, ...]:
    """Those that there are."""
    return (gates, scale) if state is None else (gates, scale, state)


def run_parts(parts: Sequence[Part]) -> Sequence[Tensor]:
    """What all parts make, in one step of autograd."""
    if torch.is_grad_enabled():
        tensors = [tensor for part in parts for tensor in part.tensors]
        found: Sequence[Tensor] = _AtOnce.apply(parts, *tensors)  # type: ignore[no-untyped-call]
        return found
    made = [part.make(*map(as_array, part.tensors))[0] for part in parts]
    return [torch.from_numpy(own) for found in made for own in found]


def _fits(plan: object, gates: Tensor, beside: int = 0) -> TypeGuard[Columns | Train | Patches | None]:
    """Whether such pieces, with so many entries kept beside them, are better made of arrays."""
    if plan is None:
        return True
    if isinstance(plan, Patches):
        # Of whole states so much is kept that whoever wants it elsewhere shall have it.
        return not is_kept_elsewhere()
    if not isinstance(plan, Columns | Train):
        return False
    return is_soon_multiplied(gates, 0 if FEW * plan.size < beside else plan.size)


def _is_small(wall: BrickWall, gates: Tensor, scale: Tensor, state: Tensor | None) -> bool:
    if wall.family.arrays is None or is_traced() or gates.dtype not in (torch.float32, torch.float64):
        return False
    for one in (scale, state):
        if one is not None and not (one.dtype == gates.dtype and is_plain(one)):
            return False
    return is_small(gates, gates.numel()) and (state is None or is_absorbed(wall.wiring))


class _AtOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: Sequence[Part], *tensors: Tensor) -> tuple[Tensor, ...]:
        # What nobody has used has no gradient, as if it had been made alone.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.parts = []
        made: list[NumpyArray] = []
        for part in parts:
            found, pull = part.make(*map(as_array, part.tensors))
            ctx.parts.append((pull, part.in_steps, len(part.tensors), [own.shape for own in found]))
            made += found
        return tuple(map(torch.from_numpy, made))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors, needs, given = iter(ctx.saved_tensors), iter(ctx.needs_input_grad[1:]), iter(grads)
        create = torch.is_grad_enabled()
        pulled: list[Tensor | None] = []
        for pull, in_steps, count, shapes in ctx.parts:
            own, asked = list(islice(tensors, count)), list(islice(needs, count))
            some = list(islice(given, len(shapes)))
            if not any(asked) or all(seed is None for seed in some):
                pulled += [None] * count
                continue
            seeds = [
                own[0].new_zeros(shape) if seed is None else seed for seed, shape in zip(some, shapes, strict=True)
            ]
            if not create and all(map(is_plain, seeds)):
                some_pulled = pull(list(map(as_array, seeds)))
                pulled += (None if one is None else torch.from_numpy(one) for one in some_pulled)
                continue
            # As functions that have gradients themselves, or for a batch of them.
            needed = [tensor for tensor, need in zip(own, asked, strict=True) if need]
            with torch.enable_grad():
                found = in_steps(*own)
            again = iter(pull_again(found, needed, seeds, create_graph=create))
            pulled += (next(again) if need else None for need in asked)
        return None, *pulled
