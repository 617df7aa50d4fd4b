"""Layers that apply their circuit to the input, where that costs less than building the weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import is_traced
from adqc.at_once import is_undone
from adqc.brickwall import BrickWall
from adqc.constants import plans
from adqc.cosine import to_cosines, turning_seconds
from adqc.engine import cost, dense
from adqc.engine.apply import apply_chain, look_up
from adqc.engine.chain import LONGER, Chain, make_chain
from adqc.engine.materialise import make_plan
from adqc.engine.pair import suits_pair
from adqc.engine.products import apply_to_middle
from adqc.engine.thin import suits_thin
from adqc.geometry import Layout, Wiring
from adqc.kept import keep, keeps
from adqc.linear_at_once import apply_at_once, linear_at_once
from adqc.lookup_at_once import look_up_at_once

# What a training step takes for each pass forward: two products for one, and for large chains all of them once more.
PASSES, CHAIN_PASSES = 3, 3 * LONGER
# How often rows are looked up in a table, or in pieces, that are kept: to look up few takes no longer in a large one.
USES = 1000


def choose(wall: BrickWall, batch: int, *, use: str, kept: bool, training: bool | None = None) -> Chain | None:
    """The chain that a layer applies to a batch, or None where it builds its weight.

    Args:
        wall: The layer's circuit.
        batch: Number of inputs: rows, positions of a convolution, or indices.
        use: ``"linear"``, ``"conv"`` or ``"lookup"``.
        kept: Whether what is built from the circuit is kept, so that only applying it counts.
        training: Whether a backward pass follows; None where that is as autograd and the circuit's parameters say.

    Raises:
        ValueError: If ``route="matrix-free"`` is asked for and the layout does not allow it.
    """
    route = wall.config.route
    if route not in ("auto", "matrix-free"):
        return None
    rounded = round_batch(batch)
    if route == "matrix-free":
        chain = find_chain(wall, rounded, use=use, kept=kept)
        if chain is None:
            raise ValueError(
                f"a circuit of shape {wall.shape}, layout {wall.config.layout!r}, cannot be applied without its weight "
                f"here: use route='auto', or the weight's own axes without frequencies, "
                f"and layout='rows-first' for a convolution"
            )
        return chain
    if wall.config.axes is not None or wall.config.frequencies is not None:
        return None
    training = _trains(wall) if training is None else training
    return _cheaper_chain(wall.shape, wall.wiring, wall.layout, *_loops(wall), rounded, use, kept, training)


def round_batch(batch: int) -> int:
    """Few sizes, so that few plans are made: what is right for one batch is right for one a little larger."""
    return 1 << max(0, batch - 1).bit_length()


def find_chain(wall: BrickWall, batch: int, *, use: str, kept: bool) -> Chain | None:
    """The chain of a circuit, see :func:`adqc.engine.chain.make_chain`; None where it sees other axes or cosines."""
    if wall.config.axes is not None or wall.config.frequencies is not None:
        return None
    in_loops = goes_in_loops(wall)
    return make_chain(wall.wiring, wall.layout, batch, use=use, kept=kept, real=wall.family.real, in_loops=in_loops)


def predict(wall: BrickWall, chain: Chain, batch: int, *, use: str, kept: bool, training: bool) -> tuple[float, float]:
    """What applying the chain and what building the weight is thought to cost, in seconds of a typical machine."""
    free = _free_seconds(chain, use, kept, training)
    return free, predict_built(wall, batch, use=use, kept=kept, training=training)


def _free_seconds(chain: Chain, use: str, kept: bool, training: bool) -> float:
    passes = PASSES if suits_pair(chain) or suits_thin(chain, cost.ELEMENT) else CHAIN_PASSES
    return (passes if training else 1) * (chain.apply + _share(use, kept) * chain.build)


def _share(use: str, kept: bool) -> float:
    """How much of what it takes to build something counts for each use."""
    if not kept:
        return 1.0
    return 1 / USES if use == "lookup" else 0.0


def predict_built(wall: BrickWall, batch: int, *, use: str, kept: bool, training: bool) -> float:
    """What building the weight and using it is thought to cost, as :func:`predict` says."""
    seconds = _built_seconds(wall.shape, *wall.seen, wall.wiring, wall.layout, *_loops(wall), batch, use, kept)
    return (PASSES if training else 1) * seconds


def predict_turned(wall: BrickWall, batch: int, *, kept: bool, training: bool) -> float | None:
    """What a linear layer is thought to cost that turns its input into coefficients of cosines, not its weight from
    them; None where the outputs, or nothing, are sums of cosines."""
    axes, frequencies = wall.seen
    if frequencies is None or axes[0] != wall.shape[0] or frequencies[0]:
        return None
    seconds = _turned_seconds(axes, frequencies, wall.wiring, wall.layout, *_loops(wall), batch, kept)
    return (PASSES if training else 1) * seconds


def goes_in_loops(wall: BrickWall) -> bool:
    """Whether gates that act on a whole state do so in loops, where it is small or unitary."""
    return _loops(wall)[0]


def _loops(wall: BrickWall) -> tuple[bool, bool, bool, bool]:
    """Whether gates act in loops, whether these undo them, whether they are real, and whether the weight is multiplied
    by in loops."""
    on_cpu = wall.scale.device.type == "cpu"
    in_loops = on_cpu and wall.family.arrays is not None
    return in_loops, in_loops and is_undone(wall), wall.family.real, on_cpu


# Layers ask at every call, and what is decided is found in less time than it is made.
@plans
def _cheaper_chain(*case: Any) -> Chain | None:
    return _find_cheaper_chain(*case)


@lru_cache(maxsize=512)
def _find_cheaper_chain(
    shape: tuple[int, ...], wiring: Wiring, layout: Layout, in_loops: bool, unitary: bool, real: bool, on_cpu: bool,
    batch: int, use: str, kept: bool, training: bool,
) -> Chain | None:  # fmt: skip
    chain = make_chain(wiring, layout, batch, use=use, kept=kept, real=real, in_loops=in_loops)
    if chain is None:
        return None
    built = _make_built_seconds(shape, shape, None, wiring, layout, in_loops, unitary, real, on_cpu, batch, use, kept)
    return chain if _free_seconds(chain, use, kept, training) < (PASSES if training else 1) * built else None


@plans
def _built_seconds(*geometry: Any) -> float:
    return _make_built_seconds(*geometry)


@plans
def _turned_seconds(*geometry: Any) -> float:
    return _make_turned_seconds(*geometry)


@lru_cache(maxsize=512)
def _make_built_seconds(
    shape: tuple[int, ...], axes: tuple[int, ...], frequencies: tuple[int, ...] | None, wiring: Wiring, layout: Layout,
    in_loops: bool, unitary: bool, real: bool, on_cpu: bool, batch: int, use: str, kept: bool,
) -> float:  # fmt: skip
    built = cost.dense(shape[0], math.prod(shape[1:]), batch, use=use, in_loops=on_cpu)
    share = _share(use, kept)
    if share:
        built += share * make_plan(wiring, layout, in_loops=in_loops, unitary=unitary, real=real).seconds
        built += 0 if frequencies is None else share * turning_seconds(1, axes, frequencies)
    if use == "lookup":
        built += share * cost.another(math.prod(shape))
    return built


@lru_cache(maxsize=512)
def _make_turned_seconds(
    axes: tuple[int, ...], frequencies: tuple[int, ...], wiring: Wiring, layout: Layout, in_loops: bool, unitary: bool,
    real: bool, on_cpu: bool, batch: int, kept: bool,
) -> float:  # fmt: skip
    turned = turning_seconds(batch, axes[1:], frequencies[1:])
    turned += cost.dense(axes[0], math.prod(layout.shape[1:]), batch, use="linear", in_loops=on_cpu)
    if kept:
        return turned
    return turned + make_plan(wiring, layout, in_loops=in_loops, unitary=unitary, real=real).seconds


def turns_input(wall: BrickWall, batch: int, *, kept: bool, training: bool) -> bool:
    """Whether a linear layer turns its input into coefficients of cosines; else its weight is made from them."""
    if wall.config.route != "auto":
        return False
    batch = round_batch(batch)
    turned = predict_turned(wall, batch, kept=kept, training=training)
    return turned is not None and turned < predict_built(wall, batch, use="linear", kept=kept, training=training)


def linear(layer: Any, x: Tensor) -> Tensor | None:
    """The output of a linear layer, (…, in) -> (…, out); None where its weight shall be built."""
    wall: BrickWall = layer.circuit
    if x.dim() < 1 or x.shape[-1] != wall.shape[1]:
        return None
    batch = x.numel() // x.shape[-1]
    chain = _choose(layer, wall, batch, "linear") if batch else None
    if chain is None:
        if not batch:
            return None
        return turned_linear(layer, x) if _turns(layer, wall, x, batch) else built_linear(layer, x)
    y, flat = None, _flatten(x)
    if not (keeps(layer) or _is_cast(x)):
        y = apply_at_once(wall, wall.gates, wall.scale, chain, flat, layer.bias, wall.state)
    if y is None:
        y = _apply(layer, flat, chain)
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], wall.shape[0])


def _flatten(x: Tensor) -> Tensor:
    """(…, columns) -> (batch, columns)."""
    # A view would be a step of autograd of its own.
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


def _apply(layer: Any, x: Tensor, chain: Chain) -> Tensor:
    matrices = _matrices(layer, chain)
    with _Autocast(x, matrices) as (x, matrices):
        y = apply_chain(x, matrices, chain, layer.circuit.shape[0])
    if layer.bias is None:
        return y
    bias = layer.bias.to(y.dtype)
    # Where nobody looks on, nobody else has what has just been made.
    return y + bias if torch.is_grad_enabled() or is_traced() else y.add_(bias)


def turned_linear(layer: Any, x: Tensor) -> Tensor:
    """The output of a linear layer whose input is turned into coefficients of cosines, not its weight from them."""
    wall: BrickWall = layer.circuit
    axes, frequencies = wall.seen
    assert frequencies is not None, "asked of layers in the cosine basis only"
    (weight,) = keep(layer, "coefficients", lambda: (wall.coefficients(),))
    seen = to_cosines(x.reshape(-1, *axes[1:]), (0, *frequencies[1:]))
    y = dense.linear(seen.flatten(1), weight.flatten(1), layer.bias)
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], wall.shape[0])


def built_linear(layer: Any, x: Tensor) -> Tensor | None:
    """The output of a linear layer that builds its weight; None where autocast has a say in it."""
    wall: BrickWall = layer.circuit
    if _is_cast(x):
        return None
    if not (keeps(layer) or wall.is_ready()):
        y = linear_at_once(wall, wall.gates, wall.scale, _flatten(x), layer.bias, wall.state)
        if y is not None:
            return y if x.dim() == 2 else y.reshape(*x.shape[:-1], wall.shape[0])
    return dense.linear(x, layer.weight, layer.bias)


def _turns(layer: Any, wall: BrickWall, x: Tensor, batch: int) -> bool:
    # What torch says of an input of another dtype, or does with it under autocast, is left to it.
    if wall.config.frequencies is None or wall.is_ready() or x.dtype != wall.scale.dtype:
        return False
    return turns_input(wall, batch, kept=keeps(layer), training=_trains(wall))


def conv(layer: Any, x: Tensor) -> Tensor | None:
    """The output of a convolution, in two: one with as many channels as the bond, then a 1x1; None as above."""
    wall: BrickWall = layer.circuit
    if layer.groups != 1 or x.dim() != len(wall.shape) or x.shape[1] != wall.shape[1] or not x.numel():
        return None
    # A list, as torch.compile does not take a generator here.
    positions = x.shape[0] * math.prod([-(-size // step) for size, step in zip(x.shape[2:], layer.stride, strict=True)])
    chain = _choose(layer, wall, positions, "conv")
    if chain is None:
        return None
    matrices = _matrices(layer, chain)
    with _Autocast(x, matrices) as (x, (kernel, mix)):
        # shape: (bond · its rows, in, kernel axes), cropped
        kernel = kernel.reshape(-1, *wall.layout.padded[1:])
        kernel = kernel[(slice(None), *(slice(size) for size in wall.shape[1:]))]
        z = layer._conv_forward(x, kernel, None)
        # shape: (batch, bond, rows of the kernel · positions)
        y = apply_to_middle(mix, z.reshape(z.shape[0], mix.shape[1], -1))
        y = y.reshape(z.shape[0], -1, *z.shape[2:])[:, : wall.shape[0]]
        if layer.bias is not None:
            y = y + layer.bias.to(y.dtype).reshape(-1, *(1,) * (x.dim() - 2))
    return y


def embedding(layer: Any, index: Tensor) -> Tensor | None:
    """The rows of an embedding, looked up without the table; None where the table shall be built."""
    wall: BrickWall = layer.circuit
    # What torch says of an index of another type is left to it.
    if index.dtype not in (torch.int32, torch.int64) or not index.numel():
        return None
    if layer.max_norm is not None or layer.scale_grad_by_freq:
        return None
    chain = _choose(layer, wall, index.numel(), "lookup")
    if chain is None:
        return None
    if not torch.compiler.is_compiling():
        _check_range(layer, index)
    rows = None if keeps(layer) else look_up_at_once(wall, chain, index.flatten())
    if rows is None:
        rows = look_up(index.flatten(), _matrices(layer, chain), chain, wall.shape[1])
    if layer.padding_idx is not None:
        rows = rows.masked_fill((index.flatten() == layer.padding_idx).unsqueeze(1), 0)
    return rows.reshape(*index.shape, wall.shape[1])


def _check_range(layer: Any, index: Tensor) -> None:
    # A table tells by itself; digits of an index that is too large would name another row.
    low, high = index.min(), index.max()
    if low < 0 or high >= layer.num_embeddings:
        raise IndexError(
            f"{type(layer).__name__}: an index must lie in 0…{layer.num_embeddings - 1}, got {int(low)}…{int(high)}"
        )


def _choose(layer: Any, wall: BrickWall, batch: int, use: str) -> Chain | None:
    return None if wall.is_ready() else choose(wall, batch, use=use, kept=keeps(layer))


def _trains(wall: BrickWall) -> bool:
    # Not parameters(), which looks for modules within the wall and for parameters met twice.
    if not torch.is_grad_enabled():
        return False
    state = wall.state
    return wall.gates.requires_grad or wall.scale.requires_grad or (state is not None and state.requires_grad)


def _matrices(layer: Any, chain: Chain) -> Sequence[Tensor]:
    wall: BrickWall = layer.circuit
    # Chains of other batches that cut alike take the same matrices.
    name = (chain.rows, chain.columns, chain.bonds, chain.backwards, chain.peeled)
    return keep(layer, name, lambda: wall.pieces(chain))


def _is_cast(x: Tensor) -> bool:
    """Whether autocast is switched on for products with such an input."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


class _Autocast:
    """Tensors in autocast's dtype and autocast switched off, as products with a backward pass of our own need it."""

    def __init__(self, x: Tensor, matrices: Sequence[Tensor]) -> None:
        self.x, self.matrices = x, matrices
        kind = x.device.type
        self.context = torch.autocast(kind, enabled=False) if _is_cast(x) else None

    def __enter__(self) -> tuple[Tensor, Sequence[Tensor]]:
        if self.context is None:
            wanted = self.matrices[0].dtype
            if self.x.dtype != wanted:
                # The type of error that torch's own layers raise here.
                raise RuntimeError(
                    f"a layer whose circuit is in {wanted} got an input in {self.x.dtype}: convert one of them, as in "
                    f"x.to({wanted})"
                )
            return self.x, self.matrices
        dtype = torch.get_autocast_dtype(self.x.device.type)
        self.context.__enter__()
        return self.x.to(dtype), [matrix.to(dtype) for matrix in self.matrices]

    def __exit__(self, *error: Any) -> None:
        if self.context is not None:
            self.context.__exit__(*error)
