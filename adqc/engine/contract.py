"""The pieces of a brick wall from its columns, or of a train from its cores, and the backward pass of both in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import (
    Array,
    Numbers,
    NumpyArray,
    adjoint,
    as_array,
    as_tensor,
    fixed,
    identity,
    is_many,
    is_plain,
    is_soon_multiplied,
    is_traced,
    multiply,
    own_backward,
    pull_again,
    put_rows,
    silently,
    take_rows,
    turn,
)
from adqc.engine.arrange import permute_axes
from adqc.engine.column_blocks import Made, build_slices, pull_slices
from adqc.engine.columns import Columns
from adqc.engine.pieces import Step
from adqc.engine.train import Train, build_cores, pull_cores


def contract(gates: Tensor, plan: Columns | Train, *, scale: Tensor | None = None) -> list[Tensor]:
    """Contract all pieces; arguments and result as for :func:`adqc.engine.evolve.run_program`."""
    # numpy makes plain numbers of arrays without axes.
    scale = None if scale is None else scale.reshape(1)
    if own_backward():
        return list(_Contract.apply(plan, gates, scale))  # type: ignore[no-untyped-call]
    if is_many():
        return list(_ContractMany.apply(plan, gates, scale))  # type: ignore[no-untyped-call]
    if is_traced() or not is_soon_multiplied(gates, plan.size):
        return _contract(gates, plan, scale)[0]
    factor = None if scale is None else as_array(scale)
    with silently():
        return [torch.from_numpy(piece) for piece in _contract(as_array(gates), plan, factor)[0]]


def contract_arrays(
    gates: NumpyArray, plan: Columns | Train, scale: NumpyArray
) -> tuple[list[NumpyArray], Callable[[Sequence[NumpyArray]], tuple[NumpyArray, NumpyArray]]]:
    """All pieces, on arrays.

    Args:
        gates: (G, 2^k, 2^k).
        plan: How they are contracted.
        scale: (1,), multiplies the first piece.

    Returns:
        The pieces, as of :func:`contract`, and what makes the gradients of gates and scale of theirs.
    """
    pieces, made, groups, operands = _contract(gates, plan, scale)

    def pull(grads: Sequence[NumpyArray]) -> tuple[NumpyArray, NumpyArray]:
        pulled, pulled_scale = _pull_all(grads, plan, (made, groups, operands), scale=True)
        assert pulled_scale is not None, "a scale was given"
        return pulled.reshape(gates.shape), pulled_scale

    return pieces, pull


def as_halves(pieces: Sequence[Array]) -> tuple[Array, Array]:
    """The two pieces of a cut as matrices: (outputs, bonds) and (bonds, outputs)."""
    left, right = pieces
    return left.reshape(left.shape[1:]), right.reshape(right.shape[:2])


_NO_TRAIN = "a train has no outputs beyond the last site"
# For each group of steps its matrices (an array of all or one for each step; of many walls those of all in each), and
# for each piece what each step multiplied.
Groups = Sequence[Any]
Operands = list[list[Array]]


def _build(gates: Array, plan: Columns | Train) -> tuple[Groups, Sequence[Made[Array]]]:
    return (build_cores(gates, plan), []) if isinstance(plan, Train) else build_slices(gates, plan)


def _pull(found: Groups, plan: Columns | Train, made: Sequence[Made[Array]]) -> Array:
    """The gradient of the gates."""
    gates: Array = pull_cores(found, plan) if isinstance(plan, Train) else pull_slices(found, plan, made)
    return gates


def _open(plan: Columns | Train, number: int, like: Array) -> Array:
    """What a piece begins with, flat."""
    opening = plan.openings[number]
    if opening is not None:
        return fixed(opening, like)
    assert isinstance(plan, Columns), "all pieces of a train say what they begin with"
    return identity(2 ** (plan.depth - 1), like).reshape(-1)


def _contract(
    gates: Array, plan: Columns | Train, scale: Array | None
) -> tuple[list[Array], Sequence[Made[Array]], Groups, Operands[Array]]:
    """The pieces of one wall, or of many where there are more axes ahead; and what the backward pass needs."""
    shape = gates.shape[:-3]
    # Matrices of one wall have no axis for it: single products take less time to call.
    many = len(shape) > 0
    gates = gates.reshape(-1, *gates.shape[-3:]) if many else gates
    groups, made = _build(gates, plan)
    pieces, operands = [], []
    for number, piece in enumerate(plan.pieces):
        x = _open(plan, number, gates)
        x = x.reshape(1, -1) if many else x
        if scale is not None and not number:
            x = x * (scale.reshape(-1, 1) if many else scale)
        met, kept, cut = [], _kept(plan, number), _cuts_at(plan, number)
        for at, step in enumerate(piece.steps):
            x = x.reshape(-1, *step.operand) if many else x.reshape(step.operand)
            met.append(x)
            block = groups[step.group][step.row]
            if kept is not None and at == len(piece.steps) - 1:
                block = take_rows(block, kept)
            x = _apply(block, x, step)
            if at == cut:
                assert isinstance(plan, Columns), _NO_TRAIN
                x = x.reshape(*x.shape[: int(many)], -1, 2**plan.beyond)[..., :1]
        if piece.move is not None:
            x = permute_axes(x.reshape(len(x) if many else 1, -1), piece.move.shape, piece.move.axes)
        pieces.append(_turn(x.reshape(*shape, *piece.sizes), piece.back))
        operands.append(met)
    return pieces, made, groups, operands


def _kept(plan: Columns | Train, number: int) -> Numbers | None:
    """The rows that a piece's last step takes of its matrices; None for all."""
    return None if isinstance(plan, Train) else plan.kept[number]


def _cuts_at(plan: Columns | Train, number: int) -> int:
    """The step that applies a piece's last column where what lies beyond the last site, |0>, is left out behind it;
    -1 where there is no such step."""
    if isinstance(plan, Train) or not plan.beyond or number < len(plan.pieces) - 1:
        return -1
    return len(plan.slices) - 1


def _apply(block: Array, x: Array, step: Step) -> Array:
    """A matrix, (rows, columns), on what it is for, or those of all walls, (walls, rows, columns)."""
    if step.before == 1:
        return multiply(block, x)
    return multiply(x, block.mT) if step.behind == 1 else multiply(block[..., None, :, :], x)


def _turn(x: Array, back: Sequence[int]) -> Array:
    """A piece's three axes in the order of its bonds and outputs."""
    first: int = x.ndim - 3
    return turn(x, (*range(first), *(first + axis for axis in back)))


def _pull_piece(
    grad: Array, plan: Columns | Train, number: int, groups: Groups, operands: Sequence[Array],
    found: Sequence[list[Any]],
) -> Array:  # fmt: skip
    """The gradient of what a piece begins with from its own; those of the matrices are put into ``found``."""
    piece = plan.pieces[number]
    # shape: (walls,), or () for one alone
    lead = groups[0][0].shape[:-2]
    # Of the last step's matrices, which comes first here.
    kept, cut = _kept(plan, number), _cuts_at(plan, number)
    grad = _turn(grad, sorted(range(3), key=piece.back.__getitem__)).reshape(math.prod(lead), -1)
    if piece.move is not None:
        grad = permute_axes(grad, piece.move.shape_back, piece.move.axes_back)
    for at in range(len(piece.steps) - 1, -1, -1):
        step, x = piece.steps[at], operands[at]
        whole = groups[step.group][step.row]
        block = whole if kept is None else take_rows(whole, kept)
        if at == cut:
            assert isinstance(plan, Columns), _NO_TRAIN
            grad = multiply(grad.reshape(-1, 1), fixed(plan.padding, grad).reshape(1, -1))
        if step.before == 1:
            grad = grad.reshape(*lead, step.rows, -1)
            found[step.group][step.row] = multiply(grad, adjoint(x))
            grad = multiply(adjoint(block), grad)
        elif step.behind == 1:
            grad = grad.reshape(*lead, -1, step.rows)
            found[step.group][step.row] = multiply(grad.mT, x.conj())
            grad = multiply(grad, block.conj())
        else:
            grad = grad.reshape(*lead, step.before, step.rows, -1)
            found[step.group][step.row] = multiply(grad, adjoint(x)).sum(-3)
            grad = multiply(adjoint(block)[..., None, :, :], grad)
        if kept is not None:
            own = found[step.group]
            own[step.row], kept = put_rows(own[step.row], kept, whole.shape[-2]), None
    return grad


def _pull_all(
    grads: Sequence[Array], plan: Columns | Train, rest: tuple[Sequence[Made[Array]], Groups, Operands[Array]], *,
    scale: bool,
) -> tuple[Array, Array | None]:  # fmt: skip
    """The gradients of the gates and of the scale, where there is one, from the pieces'."""
    made: Sequence[Made[Array]]
    made, groups, operands = rest
    found: list[list[Any]] = [[None] * len(group) for group in groups]
    openings = [
        _pull_piece(grad, plan, number, groups, met, found)
        for number, (grad, met) in enumerate(zip(grads, operands, strict=True))
    ]
    gates = _pull(found, plan, made)
    if not scale:
        return gates, None
    opening = _open(plan, 0, openings[0])
    return gates, (openings[0].reshape(-1, len(opening)) * opening).sum(1)


def _flatten(nested: Any) -> Iterator[Any]:
    """All that lies in tuples and lists."""
    if isinstance(nested, (tuple, list)):
        for part in nested:
            yield from _flatten(part)
    else:
        yield nested


def _refill(nested: Any, leaves: Iterator[Any]) -> Any:
    """The same tuples and lists, filled with these."""
    if isinstance(nested, Made):
        return Made(*(_refill(part, leaves) for part in nested))
    if isinstance(nested, (tuple, list)):
        return [_refill(part, leaves) for part in nested]
    return next(leaves)


class _Contract(torch.autograd.Function):
    """autograd by itself would take a step for every view, which are more than the products."""

    @staticmethod
    def forward(ctx: Any, plan: Columns | Train, gates: Tensor, scale: Tensor | None) -> tuple[Tensor, ...]:
        ctx.plan, ctx.fits = plan, is_soon_multiplied(gates, plan.size * (gates.numel() // plan.entries))
        inputs: list[Any] = [gates, scale]
        if ctx.fits:
            inputs = [None if tensor is None else as_array(tensor) for tensor in inputs]
        with silently():
            pieces, made, groups, operands = _contract(inputs[0], plan, inputs[1])
        ctx.rest = made, groups, operands
        # What torch holds can be computed again or kept elsewhere, as checkpoints do; arrays are small then.
        kept = () if ctx.fits else tuple(_flatten(ctx.rest))
        ctx.rest = ctx.rest if ctx.fits else _refill(ctx.rest, iter(range(len(kept))))
        ctx.save_for_backward(gates, scale, *kept)
        return tuple(map(as_tensor, pieces))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        plan: Columns | Train = ctx.plan
        gates, scale, *kept = ctx.saved_tensors
        create = torch.is_grad_enabled()
        # Gradients may come in batches of torch's own, and what was made on arrays is not made as on tensors.
        if create or (ctx.fits and not all(map(is_plain, grads))):
            # The same products once more, as functions that have gradients themselves.
            wanted = ctx.needs_input_grad[1:]
            needed = [tensor for tensor, need in zip((gates, scale), wanted, strict=True) if need]
            with torch.enable_grad():
                pieces = _contract(gates, plan, scale)[0]
            again = iter(pull_again(pieces, needed, grads, create_graph=create))
            return None, *(next(again) if need else None for need in wanted)
        rest = ctx.rest if ctx.fits else _refill(ctx.rest, iter(kept))
        with silently():
            given = [as_array(grad) for grad in grads] if ctx.fits else grads
            pulled, own_scale = _pull_all(given, plan, rest, scale=scale is not None)
        return (
            None,
            as_tensor(pulled).reshape(gates.shape),
            None if own_scale is None else as_tensor(own_scale).reshape(scale.shape),
        )


class _ContractMany(torch.autograd.Function):
    """Under torch.func.vmap: the columns of all walls are made in the same products."""

    @staticmethod
    def forward(plan: Columns | Train, gates: Tensor, scale: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(_contract(gates, plan, scale)[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing: vmap takes the rule below, which has its own backward pass."""

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], plan: Columns | Train, *tensors: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        stacked = [
            tensor if tensor is None else _stack(tensor, dim, info.batch_size)
            for tensor, dim in zip(tensors, dims[1:], strict=True)
        ]
        pieces = _Contract.apply(plan, *stacked)  # type: ignore[no-untyped-call]
        return pieces, (0,) * len(pieces)


def _stack(tensor: Tensor, dim: int | None, count: int) -> Tensor:
    """All of a batch along the first axis."""
    return tensor.expand(count, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
