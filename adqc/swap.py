"""Putting circuits in place of dense tensors and back, in place: modules keep their identity, hooks and options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from adqc.brickwall import BrickWall
from adqc.nn import PAIRS, compressed_type
from adqc.parametrization import CircuitTensor, parametrize_, unparametrize_
from adqc.selection import COMPRESSED, Place


@contextmanager
def undo_on_error(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Give every module its class, parameters and submodules back if the block fails or is interrupted."""
    kept = [(module, type(module), dict(module._parameters), dict(module._modules)) for module in modules]
    try:
        yield
    except BaseException:
        for module, kind, parameters, children in kept:
            module.__class__ = kind
            for now, before in ((module._parameters, parameters), (module._modules, children)):
                now.clear()
                now.update(before)  # type: ignore[arg-type]
        raise


def install_(place: Place, wall: BrickWall) -> None:
    """Let a circuit make a tensor from now on: a dense one, or one that another circuit made.

    Args:
        place: Which tensor of which module.
        wall: A circuit of the tensor's shape; shared if several places get the same one.
    """
    module, own = place.module, compressed_type(place.module)
    # The class changes in place, as torch's parametrizations do, so that hooks, handles and shared modules stay.
    if place.wall is not None:
        if place.is_layer:
            module._modules["circuit"] = wall
        else:
            holder = module.parametrizations[place.name][0]  # type: ignore[index]
            assert isinstance(holder, CircuitTensor)
            holder.circuit = wall
    elif place.name == "weight" and own is not None:
        module.__class__ = own
        del module._parameters["weight"]
        module.add_module("circuit", wall)
    else:
        parametrize_(module, place.name, wall=wall)
        module.parametrizations.train(module.training)  # type: ignore[union-attr]


def remove_(place: Place, dense: nn.Parameter) -> None:
    """Put a dense tensor in a circuit's place.

    Args:
        place: Which tensor of which module; a circuit makes it.
        dense: The parameter; shared if several places get the same one.
    """
    module = place.module
    if not (place.name == "weight" and isinstance(module, COMPRESSED)):
        unparametrize_(module, place.name)
        module._parameters[place.name] = dense
        return
    plain = next(torch_type for torch_type, own in PAIRS.items() if isinstance(module, own))
    # Lets go of a weight kept for evaluation.
    module.train(module.training)
    module.__class__ = plain
    del module._modules["circuit"]
    others = dict(module._parameters)
    module._parameters.clear()
    # The weight comes first, as in every layer of torch: optimisers number their parameters.
    module._parameters.update({"weight": dense, **others})


@torch.no_grad()
def dense_parameters(places: Sequence[Place], wall: BrickWall) -> list[nn.Parameter]:
    """The dense tensor that a circuit makes, for each of its places: one shared parameter where all are equal."""
    trained = any(parameter.requires_grad for parameter in wall.parameters())
    tensor = wall().clone(memory_format=torch.contiguous_format)
    shared = nn.Parameter(tensor, requires_grad=trained)
    found = []
    for place in places:
        padding = getattr(place.module, "padding_idx", None)
        if padding is None or (len(places) > 1 and not tensor[padding].any()):
            found.append(shared)
            continue
        # A compressed embedding's padding row is zero; a tied output head uses that row as the circuit makes it.
        masked = tensor.clone()
        masked[padding] = 0
        found.append(nn.Parameter(masked, requires_grad=trained))
    return found
