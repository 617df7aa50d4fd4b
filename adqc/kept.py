"""What layers build from their circuits, kept in eval mode until a parameter changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CACHE = "_adqc_kept"
# A layer is used in few ways: its weight, and its pieces for few sizes of the batch.
MOST = 4


class _Kept(NamedTuple):
    """Tensors built before, and how to see that they still hold."""

    tensors: tuple[Tensor, ...]
    stamp: tuple[object, ...]
    own: tuple[object, ...] | None
    # Held so that no later parameter gets the address of one that is gone.
    parameters: tuple[Tensor, ...]


def keep(layer: nn.Module, name: object, build: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    """What ``build`` makes of ``layer.circuit``; in eval mode without gradients made once and kept.

    Args:
        layer: A layer with a circuit.
        name: What is built.
        build: Builds it from the circuit's parameters.
    """
    if not keeps(layer):
        return build()
    parameters = tuple(layer.circuit.parameters())  # type: ignore[union-attr]
    stamp = _stamp(parameters)
    if stamp is None:
        return build()
    # A fresh dictionary for each change, so that another thread never sees one half made.
    known: dict[object, _Kept] = layer.__dict__.get(CACHE, {})
    kept = known.get(name)
    # The kept tensors' own stamps: a caller may have written into the tensor that it was given.
    if kept is None or kept.stamp != stamp or _stamp(kept.tensors) != kept.own:
        # An inference tensor could not be used later where autograd looks on.
        with torch.inference_mode(False), torch.no_grad():
            tensors = tuple(build())
        kept = _Kept(tensors, stamp, _stamp(tensors), tuple(p.detach() for p in parameters))
        others = {key: value for key, value in known.items() if key != name and value.stamp == stamp}
        newest = dict(list(others.items())[1 - MOST :])
        layer.__dict__[CACHE] = {**newest, name: kept}
    return kept.tensors


def keeps(layer: nn.Module) -> bool:
    """Whether the layer keeps what it builds now."""
    return not (layer.training or torch.is_grad_enabled() or torch.compiler.is_compiling())


def forget(layer: nn.Module) -> None:
    """Let go of all that was kept."""
    layer.__dict__.pop(CACHE, None)


def _stamp(tensors: tuple[Tensor, ...]) -> tuple[object, ...] | None:
    """What changes when one of the tensors does; None where torch does not tell."""
    try:
        return tuple((t.data_ptr(), t._version, t.dtype, t.device) for t in tensors)
    except RuntimeError:
        # Inference tensors count no versions, and those under torch.func.vmap have no address.
        return None


def without_kept(state: dict[str, Any]) -> dict[str, Any]:
    """A layer's dictionary for copies and files: what was kept is built again rather than copied."""
    return {key: value for key, value in state.items() if key != CACHE}
