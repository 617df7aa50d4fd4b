"""Small constant tensors, made once for each device: making them anew would copy to the device at every call."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn


def constant(values: tuple[Any, ...], like: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of these (nested) values, on the device of ``like``; not to be written to.

    Args:
        values: Numbers, or tuples of them.
        like: Gives the device, and the dtype where none is named.
        dtype: Type of the entries.
    """
    dtype = like.dtype if dtype is None else dtype
    # Tensors made while torch.compile or torch.export traces are no real ones, and must not be kept.
    if torch.compiler.is_compiling() or type(like) not in (Tensor, nn.Parameter):
        return torch.tensor(values, dtype=dtype, device=like.device)
    return _kept(values, dtype, like.device)


@lru_cache(maxsize=1024)
def _kept(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def plans(function: _Function) -> _Function:
    """Mark a function of plain numbers, so that torch.compile takes its result as given instead of tracing it.

    It is the mark that ``torch.compiler.assume_constant_result`` sets, which would import the compiler for it.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
