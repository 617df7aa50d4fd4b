"""A few operations on torch's tensors and on numpy's arrays alike.

A shallow circuit is many products of tiny matrices, and on the CPU a call into numpy takes less time than one into
torch. So passes that make their own backward run on arrays that share the tensors' memory; what is large goes
through torch, which uses all of its threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from adqc.constants import constant

NumpyArray = npt.NDArray[Any]
Array = TypeVar("Array", Tensor, NumpyArray)
# The gradient of what a function was given, from that of what it gave.
Pull = Callable[[NumpyArray], NumpyArray]

# Entries up to which numpy's arrays are faster; from there on torch's threads are.
SMALL = 2**17
# So many times as many where most of what is done to them are products: large ones go to torch one by one.
MULTIPLIED = 8
# Multiply-adds of one product up to which numpy is faster; with more its library takes threads of its own, which get in
# the way of torch's: that costs milliseconds. Of complex numbers it does so from a quarter as many on, and of a matrix
# and a vector from one in so many.
PRODUCT, VECTOR = 2**18, 32
# A shared side up to which a product is made in blocks of so many rows, and a sum over a long side in parts of so many
# entries: the library that torch calls takes longer for it as one product, see row 3 of the benchmarks.
THIN, ROWS, PART = 8, 8, 256
# Entries of a product from which on that holds for a single thread, too.
WIDE = 2**19


def own_backward() -> bool:
    """Whether a backward pass of our own may be used: torch.compile and torch.func make theirs."""
    return torch.is_grad_enabled() and not is_traced()


def is_traced() -> bool:
    """Whether somebody looks on who takes plain functions of torch only.

    These are torch.compile, torch.func, forward-mode differentiation, torch.jit.trace and dispatch modes, such as the
    counter of operations.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


def is_many() -> bool:
    """Whether it is torch.func.vmap that looks on, and nobody else."""
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return False
    stack = torch._C._functorch.get_interpreter_stack() or []
    return [level.key() for level in stack] == [torch._C._functorch.TransformType.Vmap]


def is_kept_elsewhere() -> bool:
    """Whether what a backward pass needs shall be made again or kept elsewhere, as checkpoints do: they see tensors."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def is_small(tensor: Tensor, entries: int) -> bool:
    """Whether numpy is the faster way: on the CPU, with few entries."""
    return entries <= SMALL and tensor.device.type == "cpu" and is_plain(tensor)


def is_soon_multiplied(tensor: Tensor, entries: int) -> bool:
    """Whether numpy is the faster way where most of what is done to so many entries are products."""
    # A backward pass keeps arrays, where torch's tensors can be made again or kept elsewhere.
    return is_small(tensor, entries if is_kept_elsewhere() else -(-entries // MULTIPLIED))


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds its own numbers; gradients that torch takes in batches do not."""
    return type(tensor) in (Tensor, nn.Parameter) and not torch._C._functorch.is_legacy_batchedtensor(tensor)


class Numbers:
    """Fixed numbers, for :func:`fixed`.

    Args:
        values: Numbers, or tuples of them.
    """

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self.arrays: dict[Any, Any] = {}


def fixed(numbers: Numbers, like: Array, *, index: bool = False) -> Array:
    """The numbers as an array, made once for each kind and type; not to be written to.

    Args:
        numbers: What is wanted.
        like: Gives the kind of array and its type.
        index: Whether they are places, and so integers.
    """
    # No method: torch.compile reads fields of plans only.
    if isinstance(like, Tensor):
        kind: Any = torch.long if index else like.dtype
        if torch.compiler.is_compiling() or type(like) not in (Tensor, nn.Parameter):
            return constant(numbers.values, like, dtype=kind)
        key: Any = (kind, like.device)
        if key not in numbers.arrays:
            numbers.arrays[key] = constant(numbers.values, like, dtype=kind)
        tensor: Tensor = numbers.arrays[key]
        return tensor
    key = np.dtype(np.intp) if index else like.dtype
    if key not in numbers.arrays:
        numbers.arrays[key] = np.array(numbers.values, dtype=key)
    array: NumpyArray = numbers.arrays[key]
    return array


def identity(size: int, like: Array) -> Array:
    """The identity matrix, in the kind and type of another array; not to be written to."""
    if isinstance(like, Tensor):
        return torch.eye(size, dtype=like.dtype, device=like.device)
    return _identity(size, like.dtype)


@lru_cache(maxsize=64)
def _identity(size: int, dtype: np.dtype[Any]) -> NumpyArray:
    return np.eye(size, dtype=dtype)


def as_array(tensor: Tensor) -> NumpyArray:
    """The same numbers, in the same memory where that is possible; only for tensors on the CPU."""
    # Forced, as a gradient may be a conjugate that is yet to be taken.
    found: NumpyArray = tensor.numpy(force=True)
    return found


def pull_again(
    found: Sequence[Tensor], needed: Sequence[Tensor], grads: Sequence[Tensor], *, create_graph: bool = True
) -> tuple[Tensor, ...]:
    """``torch.autograd.grad``, for outputs of which some may depend on nothing that is needed."""
    pairs = [(own, grad) for own, grad in zip(found, grads, strict=True) if own.requires_grad]
    outputs, seeds = [own for own, _ in pairs], [grad for _, grad in pairs]
    return torch.autograd.grad(outputs, needed, seeds, create_graph=create_graph)


def silently() -> np.errstate:
    """Where numbers grow beyond all bounds, numpy shall say as little as torch does."""
    return np.errstate(all="ignore")


def by_torch(function: Callable[[Tensor], Tensor], given: NumpyArray) -> tuple[NumpyArray, Pull]:
    """A function of tensors on an array, and what makes the gradient of what it is given of that of its result."""
    # Whoever calls it may have switched gradients off, as steps of autograd do, or want what is kept in between for
    # himself, as checkpoints do.
    own_keeping = torch.autograd.graph.saved_tensors_hooks(_same, _same) if is_kept_elsewhere() else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), own_keeping:
        own = torch.from_numpy(given.copy()).requires_grad_()
        found = function(own)

    def pull(grad: NumpyArray) -> NumpyArray:
        (pulled,) = torch.autograd.grad(found, own, torch.from_numpy(grad), retain_graph=True, materialize_grads=True)
        return as_array(pulled)

    return as_array(found), pull


def _same(tensor: Tensor) -> Tensor:
    return tensor


def as_tensor(array: Array) -> Tensor:
    """The inverse of :func:`as_array`; a tensor stays one."""
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def take(items: Array, places: Numbers) -> Array:
    """Entries along the last axis, all those whose places are named."""
    index = fixed(places, items, index=True)
    return items.index_select(-1, index) if isinstance(items, Tensor) else items.take(index, axis=-1)


def take_rows(matrices: Array, rows: Numbers) -> Array:
    """Those rows of each matrix that are named."""
    index = fixed(rows, matrices, index=True)
    return matrices.index_select(-2, index) if isinstance(matrices, Tensor) else matrices.take(index, axis=-2)


def put_rows(matrices: Array, rows: Numbers, count: int) -> Array:
    """The inverse of :func:`take_rows`: matrices of so many rows, zero where none is named."""
    index = fixed(rows, matrices, index=True)
    shape = (*matrices.shape[:-2], count, matrices.shape[-1])
    if isinstance(matrices, Tensor):
        return matrices.new_zeros(shape).index_copy(-2, index, matrices)
    found = np.zeros(shape, matrices.dtype)
    found[..., index, :] = matrices
    return found


def concatenate(parts: Sequence[Array]) -> Array:
    """All entries of these one after another, flat."""
    flat = [part.reshape(-1) for part in parts]
    return torch.cat(flat) if isinstance(flat[0], Tensor) else np.concatenate(flat)


def side_by_side(parts: Sequence[Array]) -> Array:
    """One behind another along the last axis."""
    return torch.cat(list(parts), dim=-1) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis=-1)


def multiply(left: Array, right: Array) -> Array:
    """``left @ right``, of matrices or of as many matrices each; where there is but one it serves all."""
    if isinstance(left, Tensor):
        return torch.bmm(left, right) if left.ndim == 3 and len(left) == len(right) else left @ right
    if is_single(max(left.size * right.shape[-1], right.size * left.shape[-2]), left, right):
        # One product alone takes half as long to call.
        return left.dot(right) if left.ndim == right.ndim == 2 else left @ right
    return multiply_tensors(torch.from_numpy(left), torch.from_numpy(right)).numpy()


def is_single(count: int, left: NumpyArray, right: NumpyArray) -> bool:
    """Whether numpy makes products of so many multiply-adds in a single thread."""
    if left.shape[-2] == 1 or right.shape[-1] == 1:
        count *= VECTOR
    return count <= PRODUCT if left.dtype.kind == right.dtype.kind == "f" else 4 * count < PRODUCT


def multiply_tensors(left: Tensor, right: Tensor) -> Tensor:
    """The same in the form that is fast on the CPU, for use where autograd does not look on."""
    if left.ndim != 2 or right.ndim != 2 or left.device.type != "cpu":
        return multiply(left, right)
    (rows, shared), columns = left.shape, right.shape[1]
    if torch.get_num_threads() == 1 and max(rows, shared) * columns < WIDE:
        return left @ right
    if shared <= THIN and rows > ROWS and rows % ROWS == 0:
        parts = left.reshape(-1, ROWS, shared)
        return torch.bmm(parts, right.expand(len(parts), -1, -1)).reshape(rows, columns)
    if rows <= THIN and shared > PART and shared % PART == 0:
        # shape: (parts, rows, PART) and (parts, PART, columns)
        return torch.bmm(left.reshape(rows, -1, PART).transpose(0, 1), right.reshape(-1, PART, columns)).sum(0)
    return left @ right


def turn(items: Array, axes: Sequence[int]) -> Array:
    """The axes in another order."""
    return items.permute(tuple(axes)) if isinstance(items, Tensor) else items.transpose(axes)


def adjoint(matrices: Array) -> Array:
    """Conjugate transpose of the last two axes."""
    return matrices.mT.conj()
