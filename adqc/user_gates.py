"""Gate families made by users, from any PennyLane operations on two qubits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from adqc.gates import FAMILIES, GateFamily, Operations, complex_type


@dataclass(frozen=True)
class _PennyLaneMatrices:
    """``matrices`` of a family made by a user; an object rather than a closure, so that pickle takes it."""

    operations: Operations
    real: bool
    batched: bool

    def __call__(self, params: Tensor) -> Tensor:
        if self.batched and params.numel():
            rows = params.reshape(-1, params.shape[-1])
            gates = _tape_matrix(self.operations, rows.T).expand(len(rows), 4, 4).reshape(*params.shape[:-1], 4, 4)
        else:
            gates = pennylane_matrices(self.operations, params)
        return gates.real.to(params.dtype) if self.real else gates.to(complex_type(params.dtype))


def gate_family(name: str, parameters: int, operations: Operations) -> GateFamily:
    """A gate family from any PennyLane two-qubit operation or template.

    Args:
        name: How configurations and files call it; not the name of a built-in family.
        parameters: Number of real parameters p.
        operations: Quantum function ``(p, wires)`` that queues PennyLane operations on the two wires; all zero
            parameters should give the identity where the near-identity starts are to be used.

    Returns:
        The family, ready for ``adqc.Circuit(gate=family)``. Whether its gates are real, and whether its operations
        take a batch of parameters at once, is found by trying.

    Raises:
        ValueError: If the name is taken, p is below 1, the operations do not make a unitary of two qubits, or they
            cut the parameters' gradient off.

    Example:
        >>> import adqc, pennylane as qml
        >>> family = adqc.gate_family("ry-cz", 2, lambda p, wires: [
        ...     qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)])
        >>> family.real, family.unitary
        (True, True)
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"a gate family needs a name, got {name!r}")
    if name in FAMILIES:
        raise ValueError(f"gate family {name!r} is built in: choose another name")
    if isinstance(parameters, bool) or not isinstance(parameters, int) or parameters < 1:
        raise ValueError(f"gate family {name!r} needs a whole number of at least 1 parameters, got {parameters!r}")
    generator = torch.Generator().manual_seed(0)
    # A count that no axis of a gate or of its parameters has, so that a batch axis cannot pass for one of those.
    count = 5 if parameters != 5 else 7
    probe = torch.rand(count, parameters, generator=generator, dtype=torch.float64, device="cpu") * 2 * math.pi
    probe.requires_grad_()
    try:
        gates = pennylane_matrices(operations, probe)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"gate family {name!r}: its operations must act on the two wires given, with {parameters} parameters: "
            f"{reason}"
        ) from error
    if not torch.allclose(gates @ gates.mH, torch.eye(4, dtype=gates.dtype).expand_as(gates), atol=1e-9):
        raise ValueError(f"gate family {name!r} is not unitary: only the built-in 'free' family relaxes unitarity")
    if not gates.requires_grad:
        raise ValueError(
            f"gate family {name!r}: its gates have no gradient with respect to the parameters: use them as torch "
            f"numbers, without float() or numpy"
        )
    real = bool(gates.imag.abs().max() < 1e-12)
    matrices = _PennyLaneMatrices(operations, real, _takes_batch(operations, probe, gates))
    return GateFamily(name, parameters, operations, matrices, real=real)


def _takes_batch(operations: Operations, probe: Tensor, gates: Tensor) -> bool:
    """Whether one call with a batch of parameters makes the same gates as one call for each."""
    try:
        together = _tape_matrix(operations, probe.T)
        return together.requires_grad and torch.allclose(together.expand_as(gates), gates, rtol=0, atol=1e-9)
    except Exception:
        # PennyLane and users' own code refuse a batch in many ways; whatever the way, gate by gate works.
        return False


def pennylane_matrices(operations: Operations, params: Tensor, *, sites: int = 2) -> Tensor:
    """The gates that PennyLane itself makes of these parameters, one after another; differentiable.

    Args:
        operations: Quantum function ``(p, wires)``.
        params: (…, p), real.
        sites: Number k of its wires.

    Returns:
        (…, 2^k, 2^k), complex128.
    """
    rows, shape = params.reshape(-1, params.shape[-1]), (*params.shape[:-1], 2**sites, 2**sites)
    if not len(rows):
        return params.new_zeros(shape, dtype=torch.complex128)
    return torch.stack([_tape_matrix(operations, row, sites) for row in rows]).reshape(shape)


def _tape_matrix(operations: Operations, p: Tensor, sites: int = 2) -> Tensor:
    import pennylane as qml

    wires = list(range(sites))
    tape = qml.tape.make_qscript(operations)(p, wires)
    product = torch.eye(2**sites, dtype=torch.complex128, device=p.device)
    for operation in tape.operations:
        matrix = qml.matrix(operation, wire_order=wires)
        product = torch.as_tensor(matrix, dtype=torch.complex128, device=p.device) @ product
    return product
