"""A circuit as elementary gates: built-in bricks by patterns, wide gates by cosine-sine, users' own by PennyLane's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adqc.bricks import KINDS, fill, patterns, turns_of
from adqc.brickwall import BrickWall
from adqc.elementary import Instruction, Matrix, add_phases, one_qubit, product
from adqc.gates import GateFamily
from adqc.kak import decompose
from adqc.wide import decompose_wide

# PennyLane's decompositions are a few steps deep; a family's own ones that never end shall not hang us.
_MOST_STEPS = 30
_TOLERANCE = 1e-12
_NAMES = {"RY": "ry", "RZ": "rz", "Hadamard": "h", "S": "s", "Adjoint(S)": "sdg", "CNOT": "cx"}


def exact_copy(wall: BrickWall) -> BrickWall:
    """A float64 copy on the CPU of a circuit that QASM can hold.

    Raises:
        ValueError: If its gates are not unitary, or not finite.
    """
    if not wall.family.unitary:
        raise ValueError(
            f"QASM needs unitary gates, but the circuit of shape {wall.shape} has the gate {wall.family.name!r}, which "
            f"is not unitary: project it with adqc.project_"
        )
    wall = copy.deepcopy(wall).to("cpu", torch.float64)
    for name, parameter in wall.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"the circuit of shape {wall.shape} has NaN or infinity in {name!r}: QASM needs numbers")
    return wall


@torch.no_grad()
def elementary(wall: BrickWall) -> tuple[list[list[Instruction]], float]:
    """The elementary gates of each brick of a unitary circuit, and the phase that is left.

    Args:
        wall: The circuit, in float64 on the CPU.

    Returns:
        For each gate its instructions, in the order in which they act, and the phase: the circuit is ``exp(i phase)``
        times their product.

    Raises:
        ValueError: If a gate of a family made by a user is not what its operations decompose into, or a wide one is
            not orthogonal.
    """
    if wall.family.name in KINDS:
        return [fill(*brick) for brick in zip(patterns(wall), turns_of(wall), strict=True)], 0.0
    found: list[list[Instruction]] = []
    phases = []
    rows = wall.gate_parameters()
    for number, (sites, fresh) in enumerate(zip(wall.wiring.gates, wall.wiring.fresh, strict=True)):
        params = rows[number]
        try:
            gate = wall.family.full_matrices(params)
            wide = wall.family.sites > 2
            part, rest = decompose_wide(gate, fresh=fresh) if wide else instructions_of(wall.family, params, gate)
        except ValueError as error:
            raise ValueError(f"gate {number} on sites {sites} cannot be written: {error}") from None
        found.append([one._replace(wires=tuple(sites[wire] for wire in one.wires)) for one in part])
        phases.append(rest)
    return found, add_phases(phases)


def instructions_of(family: GateFamily, params: Tensor, expected: Tensor) -> tuple[list[Instruction], float]:
    """One gate of a family made by a user, on wires 0 and 1, from the operations that define it.

    Args:
        family: The family.
        params: (p,), float64.
        expected: The gate's matrix, (4, 4).

    Returns:
        The instructions, and the phase: the gate is ``exp(i phase)`` times their product.

    Raises:
        ValueError: If the operations cannot be decomposed, or what they give is not the gate.
    """
    import pennylane as qml

    tape = qml.tape.make_qscript(family.operations)(params, [0, 1])
    found: list[Instruction] = []
    phase = 0.0
    for operation in tape.operations:
        part, rest = translate(operation)
        found += part
        phase += rest
    gate = expected.detach().to("cpu", torch.complex128).numpy()
    distance = np.abs(np.exp(1j * phase) * product(found, (0, 1)) - gate).max()
    if not distance < 1e-10:
        raise ValueError(
            f"gate family {family.name!r}: the decomposition of its operations is off by {distance:.1e} from its "
            f"matrix, so no QASM is written: see that operations and matrices of the family agree"
        )
    return found, phase


def translate(operation: Any, depth: int = 0) -> tuple[list[Instruction], float]:
    """An operation on one or two wires as instructions on these wires, and the phase that is left.

    Raises:
        ValueError: If the operation has neither a decomposition nor a unitary matrix on at most two wires.
    """
    wires = tuple(operation.wires)
    if operation.name == "GlobalPhase":
        return [], -number_of(operation)
    if operation.name in _NAMES:
        angle = number_of(operation) if operation.data else 0.0
        return [Instruction(_NAMES[operation.name], angle, wires)], 0.0
    if not wires or operation.name in ("Identity", "Barrier"):
        return [], 0.0
    if operation.name == "CZ":
        # PennyLane's own decomposition is by phases; this one is real.
        turn = Instruction("h", 0.0, wires[1:])
        return [turn, Instruction("cx", 0.0, wires), turn], 0.0
    gate = matrix_of(operation)
    if gate is not None and len(wires) == 1:
        return one_qubit(gate, wires[0])
    # PennyLane's numerical decomposition of a matrix loses digits near the identity, so it is not asked for one.
    if operation.has_decomposition and depth < _MOST_STEPS and operation.name not in ("QubitUnitary", "SpecialUnitary"):
        found: list[Instruction] = []
        phase = 0.0
        for step in operation.decomposition():
            part, rest = translate(step, depth + 1)
            found += part
            phase += rest
        if gate is None or _is_close(found, phase, wires, gate):
            return found, phase
    if gate is None:
        raise ValueError(f"{operation.name} on {len(wires)} wires has neither a decomposition nor a matrix to use")
    return decompose(torch.from_numpy(gate), wires=(wires[0], wires[1]))


def number_of(operation: Any) -> float:
    """The one parameter of an operation."""
    (value,) = operation.data
    return float(value.detach() if isinstance(value, Tensor) else value)


def matrix_of(operation: Any, widest: int = 2) -> Matrix | None:
    """The matrix of an operation on ``widest`` wires at most, in full precision; None where it has none."""
    import pennylane as qml

    if not operation.has_matrix or not 1 <= len(operation.wires) <= widest:
        return None
    if operation.name == "SpecialUnitary":
        # torch's exponential of a lone matrix is off by up to 2e-10 (pytorch/pytorch#196592); that of two is not.
        (params,) = operation.data
        gate = qml.SpecialUnitary.compute_matrix(qml.math.stack([params, params]), len(operation.wires))[0]
    else:
        gate = operation.matrix()
    return np.asarray(gate.detach().cpu() if isinstance(gate, Tensor) else gate, dtype=np.complex128)


def _is_close(found: Sequence[Instruction], phase: float, wires: Sequence[Any], gate: Matrix) -> bool:
    return bool(np.abs(np.exp(1j * phase) * product(found, wires) - gate).max() < _TOLERANCE)
