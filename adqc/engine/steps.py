"""One block on a tensor: the operand's shape, the product, and the gradients of both of its sides."""

from __future__ import annotations

from torch import Tensor

from adqc.arrays import adjoint, identity, multiply
from adqc.engine.arrange import permute_axes
from adqc.engine.pieces import Step
from adqc.engine.products import pull_matrix, spread


def as_operand(tensor: Tensor, step: Step) -> Tensor:
    """As (before, columns, behind), one of them left out where it is 1, or as (before · behind, columns)."""
    return _shape(tensor, step.columns, step)


def as_product(tensor: Tensor, step: Step) -> Tensor:
    """As (before, rows, behind), in the same way."""
    return _shape(tensor, step.rows, step)


def _shape(tensor: Tensor, middle: int, step: Step) -> Tensor:
    if step.before == 1:
        return tensor.reshape(middle, step.behind)
    if step.flipped:
        return permute_axes(tensor.reshape(step.before, -1), (middle, step.behind), (1, 0)).reshape(-1, middle)
    if step.widened or step.behind == 1:
        return tensor.reshape(step.before, middle * step.behind)
    return tensor.reshape(step.before, middle, step.behind)


def flip_back(x: Tensor, step: Step) -> Tensor:
    """From what :func:`as_operand` or :func:`as_product` made of a tensor to its entries in their own order."""
    if not step.flipped:
        return x
    return permute_axes(x.reshape(step.before, -1), (step.behind, x.shape[1]), (1, 0))


def _widen(block: Tensor, step: Step) -> Tensor:
    if not step.widened:
        return block
    # Not torch.kron, which refuses blocks that do not lie in one stretch.
    unit = identity(step.behind, block)
    return (block[:, None, :, None] * unit[:, None, :]).reshape(len(block) * step.behind, -1)


def apply_block(block: Tensor, x: Tensor, step: Step) -> Tensor:
    """The product, its rows where the operand has the columns."""
    if step.before == 1:
        return multiply(block, x)
    return spread(block, x) if x.ndim == 3 else flip_back(multiply(x, _widen(block, step).mT), step)


def pull_operand(grad: Tensor, block: Tensor, step: Step) -> Tensor:
    """The operand's gradient, as :func:`as_operand`, from the product's; for an isometry also the operand from the
    product."""
    if step.before == 1:
        return multiply(adjoint(block), grad)
    return spread(adjoint(block), grad) if grad.ndim == 3 else multiply(grad, _widen(block, step).conj())


def pull_block(grad: Tensor, x: Tensor, step: Step) -> Tensor:
    """The block's gradient from the product's."""
    if step.before == 1:
        return multiply(grad, adjoint(x))
    if grad.ndim == 3:
        return pull_matrix(grad, x)
    found = multiply(grad.mT, x.conj())
    if step.widened:
        found = found.reshape(-1, step.behind, step.columns, step.behind).diagonal(0, 1, 3).sum(-1)
    return found
