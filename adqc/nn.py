"""torch's layers with a circuit in place of the weight.

Each class is torch's own, with all its options and its own forward; only ``weight`` is no parameter any more, but is
built from ``layer.circuit``.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.kept import forget, keep, without_kept
from adqc.matrix_free import conv, embedding, linear


def _weight(layer: Any) -> Tensor:
    """The layer's weight, built from its circuit; in eval mode without gradients kept until a parameter changes."""
    (weight,) = keep(layer, "weight", lambda: (_masked(layer, layer.circuit()),))
    return weight


def _masked(layer: Any, weight: Tensor) -> Tensor:
    if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
        row = torch.tensor([layer.padding_idx], device=weight.device)
        return weight.index_fill(0, row, 0)
    return weight


def _refuse(layer: Any, value: Any) -> None:
    raise AttributeError(
        f"the weight of {type(layer).__name__} is built from its circuit and cannot be assigned: change layer.circuit, "
        f"or turn it back into a torch layer with adqc.decompress_"
    )


def _register_parameter(layer: nn.Module, name: str, param: nn.Parameter | None) -> None:
    if name == "weight":
        _refuse(layer, param)
    nn.Module.register_parameter(layer, name, param)


def _train(layer: Any, mode: bool = True) -> Any:
    # Also lets go of a weight whose parameters were written through .data, which torch does not count.
    forget(layer)
    return nn.Module.train(layer, mode)


def _reset_parameters(layer: Any) -> None:
    """Draw a new random start, as at construction; torch calls this after ``to_empty``."""
    wall: BrickWall = layer.circuit
    with torch.no_grad():
        fresh = BrickWall(wall.shape, wall.config, std=_standard_deviation(layer, wall.shape), device="cpu")
        for own, new in zip(wall.parameters(), fresh.parameters(), strict=True):
            own.copy_(new)
        if getattr(layer, "bias", None) is not None:
            bound = _bias_bound(wall.shape)
            layer.bias.uniform_(-bound, bound)


def _standard_deviation(layer: nn.Module, shape: tuple[int, ...]) -> float:
    # torch draws U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for linear and convolution weights and N(0, 1) for embeddings.
    return 1.0 if isinstance(layer, nn.Embedding) else _bias_bound(shape) / math.sqrt(3)


def _bias_bound(shape: tuple[int, ...]) -> float:
    return 1 / math.sqrt(max(1, math.prod(shape[1:])))


def _getstate(layer: Any) -> dict[str, Any]:
    return without_kept(layer.__dict__)


_MEMBERS = {
    "weight": property(_weight, _refuse, doc="The weight, built from the circuit; a tensor of torch's shape."),
    "register_parameter": _register_parameter,
    "reset_parameters": _reset_parameters,
    "train": _train,
    "__getstate__": _getstate,
}

_Layer = TypeVar("_Layer", bound=nn.Module)


def _with_circuit(cls: type[_Layer]) -> type[_Layer]:
    """Give a subclass of a torch layer what all layers of this module share."""
    for name, member in _MEMBERS.items():
        setattr(cls, name, member)
    return cls


# The other dictionaries of a module hold hooks, whose handles must still find them to remove them.
_OWN = ("_parameters", "_buffers", "_modules")


def adopt(layer: nn.Module, plain: nn.Module, wall: BrickWall) -> None:
    """Give ``layer`` all that ``plain`` has but its weight, and ``wall`` in its place.

    Args:
        layer: A layer of this module whose ``__init__`` has not run.
        plain: A layer of torch; bias, options and hooks are shared with it.
        wall: The circuit that builds the weight.
    """
    layer.__dict__.update({key: value.copy() if key in _OWN else value for key, value in plain.__dict__.items()})
    del layer._parameters["weight"]
    layer.add_module("circuit", wall)


def from_torch(plain: nn.Module, wall: BrickWall) -> nn.Module:
    """A compressed layer in place of a torch layer; the bias is shared, the weight is the wall's.

    Raises:
        TypeError: If there is no compressed form of this layer.
        ValueError: If the wall's shape differs from the weight's.
    """
    cls = compressed_type(plain)
    if cls is None:
        raise TypeError(
            f"{type(plain).__name__} has no compressed form: use {', '.join(k.__name__ for k in PAIRS)}, with an "
            f"ordinary weight parameter"
        )
    shape = tuple(plain.get_parameter("weight").shape)
    if wall.shape != shape:
        raise ValueError(f"{type(plain).__name__} has a weight of shape {shape}, but the circuit makes {wall.shape}")
    if isinstance(plain, nn.Embedding):
        _check_embedding(plain)
    layer = cls.__new__(cls)
    adopt(layer, plain, wall)
    return layer


def compressed_type(plain: nn.Module) -> type[nn.Module] | None:
    """The class of this module that stands in for a torch layer, or None."""
    # Hooks such as those of torch's old weight_norm build the weight themselves.
    if plain._parameters.get("weight") is None:
        return None
    # Subclasses may use their weight in their own way; this one, in nn.MultiheadAttention, does not.
    kind = nn.Linear if type(plain) is NonDynamicallyQuantizableLinear else type(plain)
    return PAIRS.get(kind)


def to_torch(layer: nn.Module) -> nn.Module:
    """The plain torch layer with the same function; the bias is shared.

    Raises:
        TypeError: If the layer is not one of this module.
    """
    for torch_type, own in PAIRS.items():
        if type(layer) is own:
            plain = torch_type.__new__(torch_type)
            plain.__dict__.update({k: v.copy() if k in _OWN else v for k, v in _getstate(layer).items()})
            del plain._modules["circuit"]
            with torch.no_grad():
                weight = nn.Parameter(_weight(layer).clone(memory_format=torch.contiguous_format))
            bias = plain._parameters.pop("bias", None)
            plain.register_parameter("weight", weight)
            if "bias" in layer._parameters:
                plain.register_parameter("bias", bias)
            return plain
    raise TypeError(f"{type(layer).__name__} is no compressed layer")


def _build(
    layer: nn.Module,
    plain: nn.Module,
    config: Circuit | None,
    generator: torch.Generator | None,
    device: Any,
    dtype: torch.dtype | None,
) -> None:
    """Finish a layer whose options ``plain``, a torch layer on the meta device, has checked."""
    weight = plain.get_parameter("weight")
    shape = tuple(weight.shape)
    std = _standard_deviation(plain, shape)
    wall = BrickWall(shape, config, std=std, generator=generator, device=device, dtype=dtype)
    adopt(layer, plain, wall)
    bias = layer._parameters.get("bias")
    if bias is not None:
        bound = _bias_bound(shape)
        drawn = torch.rand(bias.shape, generator=generator, dtype=torch.float64, device="cpu") * (2 * bound) - bound
        layer._parameters["bias"] = nn.Parameter(drawn.to(device=wall.scale.device, dtype=wall.scale.dtype))


def _check_embedding(plain: nn.Embedding) -> None:
    if plain.sparse:
        raise ValueError(
            "Embedding: sparse=True needs a stored table; a circuit's gradients are dense, use sparse=False"
        )


@_with_circuit
class Linear(nn.Linear):
    """``torch.nn.Linear`` with a circuit for its weight.

    Args:
        in_features: Size of each input.
        out_features: Size of each output.
        bias: Whether to add a bias.
        device: Device of the parameters.
        dtype: Type of the parameters.
        circuit: The circuit; None for the default ``Circuit()``.
        generator: Source of the random start, on the CPU.

    Shape:
        Input (…, in_features), output (…, out_features), weight (out_features, in_features).

    Raises:
        ValueError: If the circuit cannot have this shape.

    Example:
        >>> layer = Linear(784, 256, circuit=Circuit(depth=6))
        >>> layer(torch.zeros(2, 784)).shape
        torch.Size([2, 256])
    """

    circuit: BrickWall

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        circuit: Circuit | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        plain = nn.Linear(in_features, out_features, bias, device="meta", dtype=dtype)
        _build(self, plain, circuit, generator, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """As in torch; the circuit is applied to the input itself where that is cheaper than building the weight."""
        found = linear(self, input)
        return F.linear(input, self.weight, self.bias) if found is None else found


def _conv_init(torch_type: type[nn.Module]) -> Any:
    def init(
        self: Any,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        circuit: Circuit | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        plain = torch_type(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device="meta", dtype=dtype,
        )  # fmt: skip
        _build(self, plain, circuit, generator, device, dtype)

    return init


def _conv_forward(layer: Any, input: Tensor) -> Tensor:
    """As in torch; the circuit is applied to the input itself where that is cheaper than building the weight."""
    found = conv(layer, input)
    return layer._conv_forward(input, layer.weight, layer.bias) if found is None else found


@_with_circuit
class Conv1d(nn.Conv1d):
    """``torch.nn.Conv1d`` with a circuit for its weight; arguments as torch's, and those of :class:`Linear`.

    Shape:
        Input (N, in_channels, L), weight (out_channels, in_channels / groups, kernel).
    """

    circuit: BrickWall
    forward = _conv_forward
    __init__ = _conv_init(nn.Conv1d)


@_with_circuit
class Conv2d(nn.Conv2d):
    """``torch.nn.Conv2d`` with a circuit for its weight; arguments as torch's, and those of :class:`Linear`.

    Shape:
        Input (N, in_channels, H, W), weight (out_channels, in_channels / groups, kernel height, kernel width).
    """

    circuit: BrickWall
    forward = _conv_forward
    __init__ = _conv_init(nn.Conv2d)


@_with_circuit
class Conv3d(nn.Conv3d):
    """``torch.nn.Conv3d`` with a circuit for its weight; arguments as torch's, and those of :class:`Linear`.

    Shape:
        Input (N, in_channels, D, H, W), weight (out_channels, in_channels / groups, kernel depth, height, width).
    """

    circuit: BrickWall
    forward = _conv_forward
    __init__ = _conv_init(nn.Conv3d)


@_with_circuit
class Embedding(nn.Embedding):
    """``torch.nn.Embedding`` with a circuit for its table; the row of ``padding_idx`` is zero.

    Args:
        num_embeddings: Size of the dictionary.
        embedding_dim: Size of each vector.
        padding_idx: As in torch.
        max_norm: As in torch; applied to the vectors looked up.
        norm_type: As in torch.
        scale_grad_by_freq: As in torch.
        sparse: Must be False: a circuit's gradients are dense.
        device: Device of the parameters.
        dtype: Type of the parameters.
        circuit: The circuit; None for the default ``Circuit()``.
        generator: Source of the random start, on the CPU.

    Raises:
        ValueError: If ``sparse`` is set, or the circuit cannot have this shape.
    """

    circuit: BrickWall

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        circuit: Circuit | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        plain = nn.Embedding(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            device="meta", dtype=dtype,
        )  # fmt: skip
        _check_embedding(plain)
        _build(self, plain, circuit, generator, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The vectors of these indices; as in torch, but what ``max_norm`` shortens is not written back."""
        found = embedding(self, input)
        if found is not None:
            return found
        weight = self.weight
        if self.max_norm is not None:
            # torch shortens long rows in place: here in a copy, as a kept weight must stay what the circuit says.
            weight = weight.clone()
        return F.embedding(
            input, weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )


PAIRS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.Embedding: Embedding,
}
