"""A circuit for any tensor of any module, through torch's parametrizations (``in_proj_weight``, LSTM weights, …)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adqc.brickwall import BrickWall


class CircuitTensor(nn.Module):
    """The parametrization that builds a tensor from a circuit; no dense original is kept."""

    def __init__(self, wall: BrickWall) -> None:
        super().__init__()
        self.circuit = wall
        self.registered = False

    def forward(self) -> Tensor:
        """The tensor that the circuit stands for."""
        tensor: Tensor = self.circuit()
        return tensor

    def right_inverse(self, tensor: Tensor) -> tuple[()]:
        """Nothing of the dense tensor is stored; torch calls this at registration, and again on assignment.

        Raises:
            AttributeError: If the tensor is assigned to after registration.
        """
        if self.registered:
            raise AttributeError(
                f"this tensor of shape {tuple(tensor.shape)} is built from its circuit and cannot be assigned: change "
                f"the circuit, or turn it back with adqc.decompress_"
            )
        return ()


def parametrize_(module: nn.Module, name: str, *, wall: BrickWall) -> None:
    """Build ``module.name`` from a circuit from now on.

    Args:
        module: Any module.
        name: Name of one of its parameters.
        wall: A circuit of the same shape.

    Raises:
        ValueError: If the module has no such parameter, or the shapes differ.
    """
    parameter = module._parameters.get(name)
    if parameter is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}: it has {', '.join(module._parameters)}")
    if tuple(parameter.shape) != wall.shape:
        raise ValueError(f"{name} has shape {tuple(parameter.shape)}, but the circuit makes {wall.shape}")
    circuit = CircuitTensor(wall)
    kind = type(module)
    if parametrize.is_parametrized(module):
        # Copies of the module share its class, so the tensor's property goes to a class of its own.
        module.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
    # torch compares what the circuit makes with the dense tensor; unsafe spares nothing but that.
    parametrize.register_parametrization(module, name, circuit, unsafe=True)
    circuit.registered = True


def find_circuit(module: nn.Module, name: str) -> BrickWall | None:
    """The circuit that builds ``module.name``, or None."""
    if not parametrize.is_parametrized(module, name):
        return None
    last = module.parametrizations[name][0]  # type: ignore[index]
    return last.circuit if isinstance(last, CircuitTensor) else None


def unparametrize_(module: nn.Module, name: str) -> None:
    """Put the dense tensor that the circuit builds back as an ordinary parameter."""
    wall = find_circuit(module, name)
    assert wall is not None, "only called for tensors with a circuit"
    with torch.no_grad():
        dense = wall().clone(memory_format=torch.contiguous_format)
    circuits = cast(nn.ModuleDict, module.parametrizations)
    del circuits[name]
    kind = type(module)
    if not circuits:
        del module.parametrizations
        module.__class__ = kind.__mro__[1]
    else:
        # Copies of the module share its class, so the tensor's property goes from a class of its own.
        module.__class__ = type(kind.__name__, kind.__bases__, {k: v for k, v in vars(kind).items() if k != name})
    module.register_parameter(name, nn.Parameter(dense))
