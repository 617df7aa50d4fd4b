"""Circuits of one geometry generated together: the blocks of a transformer in one batched pass."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from adqc.brickwall import BrickWall

# Beyond this many entries a weight keeps the machine busy by itself, and copies of several cost more than calls.
MOST_ENTRIES = 2**20


class Together:
    """What :func:`together_` switched on; :meth:`remove` switches it off."""

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Generate every circuit on its own again."""
        for handle in self._handles:
            handle.remove()


def together_(model: nn.Module) -> Together:
    """Generate all circuits of equal geometry in one batched pass, at each call of the model that trains.

    Small circuits cost calls, not arithmetic: of many alike all take little longer than one. The weights are made when
    the model is called and let go when it returns. Layers that apply their circuit without building the weight, and
    circuits without a partner, go on as before.

    Args:
        model: A model with compressed layers; it is this module whose calls are followed, not those of its parts.

    Returns:
        A handle whose ``remove()`` undoes it.

    Example:
        >>> import adqc
        >>> model = nn.Sequential(*(adqc.nn.Linear(32, 32) for _ in range(6)))
        >>> handle = adqc.together_(model)
        >>> model(torch.zeros(1, 32)).shape
        torch.Size([1, 32])
    """
    return Together(
        (
            model.register_forward_pre_hook(_generate),
            model.register_forward_hook(_let_go, always_call=True),
        )
    )


def _generate(model: nn.Module, inputs: Any) -> None:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    for walls in _alike(model):
        first = walls[0]
        stacked = [torch.stack([wall.get_parameter(name) for wall in walls]) for name, _ in first.named_parameters()]
        build = partial(first.build, route=first.config.route)
        for wall, tensor in zip(walls, torch.func.vmap(build)(*stacked).unbind(0), strict=True):
            wall.ready[get_ident()] = tensor


def _let_go(model: nn.Module, inputs: Any, output: Any) -> None:
    for module in model.modules():
        if isinstance(module, BrickWall):
            module.ready.pop(get_ident(), None)


def _alike(model: nn.Module) -> list[list[BrickWall]]:
    groups: dict[object, list[BrickWall]] = defaultdict(list)
    for module in model.modules():
        if isinstance(module, BrickWall) and module.config.route != "matrix-free":
            if 2**module.sites > MOST_ENTRIES:
                continue
            kind = (module.scale.dtype, module.scale.device, module.config.route)
            groups[module.wiring, module.layout, module.shape, module.seen, module.family, kind].append(module)
    return [walls for walls in groups.values() if len(walls) > 1]
