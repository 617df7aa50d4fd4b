"""Circuits of a model generated together: small ones in one step of autograd, others of one geometry, as of a
transformer's blocks, in one batched pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from adqc.at_once import find_part, run_parts
from adqc.brickwall import BrickWall, without_autocast
from adqc.matrix_free import choose, predict_turned
from adqc.nn import Conv1d, Conv2d, Conv3d, Embedding, Linear

# Beyond this many entries a weight keeps the machine busy by itself, and copies of several cost more than calls.
MOST_ENTRIES = 2**20
# What a batch is taken for before one has been seen.
BATCH = 128
# What the layers that can do without their weight do, see :func:`adqc.matrix_free.choose`.
USES: dict[type[nn.Module], str] = {
    Linear: "linear", Conv1d: "conv", Conv2d: "conv", Conv3d: "conv", Embedding: "lookup"
}  # fmt: skip


class Together:
    """What :func:`together_` switched on; :meth:`remove` switches it off."""

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Generate every circuit on its own again."""
        for handle in self._handles:
            handle.remove()


def together_(model: nn.Module) -> Together:
    """Generate the circuits of a model together, at each call of the model that trains.

    Small circuits cost calls, not arithmetic. On the CPU they are made one after another in one step of autograd, which
    finds code and numbers of one still in the caches when it comes to the next. Elsewhere those of equal geometry are
    made in one batched pass: of many alike all take little longer than one. The weights are made when the model is
    called and let go when it returns. One backward pass takes the gradients of all: add two losses of one call up, or
    take the first one's with ``retain_graph=True``.

    Layers that on the CPU apply their circuit without building the weight, and larger circuits without a partner, go on
    as before; so do layers that are put into the model later.

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
    circuits = _Circuits(model)
    return Together(
        (
            model.register_forward_pre_hook(circuits.generate),
            model.register_forward_hook(circuits.let_go, always_call=True),
        )
    )


class _Circuits:
    """The circuits of a model that are generated together.

    Attributes:
        walls: The circuits.
        kinds: For each the number of its geometry.
        applied: For each whether its layer may go without the weight, as on the CPU it then does.
    """

    def __init__(self, model: nn.Module) -> None:
        uses = {id(getattr(layer, "circuit", None)): USES.get(type(layer)) for layer in model.modules()}
        kinds: dict[object, int] = {}
        self.walls: list[BrickWall] = []
        self.kinds: list[int] = []
        self.applied: list[bool] = []
        for wall in model.modules():
            if not isinstance(wall, BrickWall) or wall.config.route == "matrix-free" or 2**wall.sites > MOST_ENTRIES:
                continue
            use = uses.get(id(wall))
            kind = (wall.wiring, wall.layout, wall.shape, wall.seen, wall.family, wall.config.route)
            self.walls.append(wall)
            self.kinds.append(kinds.setdefault(kind, len(kinds)))
            self.applied.append(use is not None and _is_applied(wall, use))

    def generate(self, model: nn.Module, inputs: Any) -> None:
        """Ahead of the model's call."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        # Parts of a model may have been moved or converted since.
        known = zip(self.walls, self.kinds, self.applied, strict=True)
        built = [(wall, kind) for wall, kind, applied in known if not (applied and wall.scale.device.type == "cpu")]
        _generate_small([wall for wall, _ in built])
        groups: dict[object, list[BrickWall]] = defaultdict(list)
        for wall, kind in built:
            if not wall.is_ready():
                groups[kind, wall.scale.dtype, wall.scale.device].append(wall)
        for walls in groups.values():
            if len(walls) > 1:
                _generate_alike(walls)

    def let_go(self, model: nn.Module, inputs: Any, output: Any) -> None:
        """Behind it, whether it has raised an error or not."""
        for wall in self.walls:
            wall.ready.pop(get_ident(), None)


def _is_applied(wall: BrickWall, use: str) -> bool:
    """Whether the layer may go without the circuit's weight, for a batch of usual size."""
    if use == "linear" and predict_turned(wall, BATCH, kept=False, training=True) is not None:
        return True
    return choose(wall, BATCH, use=use, kept=False, training=True) is not None


def _generate_alike(walls: Sequence[BrickWall]) -> None:
    """Generate them in one batched pass."""
    first = walls[0]
    stacked = [torch.stack([wall.get_parameter(name) for wall in walls]) for name, _ in first.named_parameters()]
    build = partial(first.build, route=first.config.route)
    for wall, tensor in zip(walls, torch.func.vmap(build)(*stacked).unbind(0), strict=True):
        wall.ready[get_ident()] = tensor


def _generate_small(walls: Sequence[BrickWall]) -> None:
    """Generate those that are small, where there are several, in one step of autograd."""
    found = [(wall, find_part(wall, wall.gates, wall.scale, wall.config.route, wall.state)) for wall in walls]
    parts = [(wall, part) for wall, part in found if part is not None]
    if len(parts) < 2:
        return
    # As circuits alone do; all that are small are on the CPU.
    with without_autocast("cpu"):
        tensors = run_parts([part for _, part in parts])
        for (wall, _), tensor in zip(parts, tensors, strict=True):
            wall.ready[get_ident()] = wall.to_weight(tensor)
