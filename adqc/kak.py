"""Any two-qubit gate as elementary ones: at most 3 CX, 2 for real gates, exact near every special point.

``exp(i(a XX + b YY + c ZZ))`` takes 3 CX (quant-ph/0308006, Fig. 6), 2 where one of the three is zero, and 1 where it
is a CX up to one-qubit gates. The three numbers come from eigenvectors that are right to rounding however close
eigenvalues are (see :mod:`adqc.gauge`), so nothing is lost near the identity or at the corners of the Weyl chamber.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from adqc import angles, gauge
from adqc.bricks import fill, pattern
from adqc.elementary import Instruction, one_qubit
from adqc.gates import _zyz
from adqc.passes import merge

# Coordinates this close to a multiple of pi/4 are rounding of it.
_ROUNDING = 2e-15
_PAULIS = [
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    np.array([[1, 0], [0, -1]], dtype=np.complex128),
]


def decompose(gate: Tensor, *, wires: tuple[int, int] = (0, 1)) -> tuple[list[Instruction], float]:
    """A unitary two-qubit gate as elementary gates, to 1e-14.

    Args:
        gate: (4, 4), unitary, real or complex, ``gate[out, in]``.
        wires: The qubits that it acts on, the most significant first.

    Returns:
        The instructions, in the order in which they act, with at most 3 CX (2 for real gates of determinant 1), and
        the phase: the gate is ``exp(i phase)`` times their product.

    Raises:
        ValueError: If the gate is not a unitary 4x4 matrix.

    Example:
        >>> import torch
        >>> swap = torch.eye(4)[[0, 2, 1, 3]]
        >>> instructions, phase = decompose(swap)
        >>> sum(one.name == "cx" for one in instructions)
        3

    Source: quant-ph/0308006, Theorems 3 and 4.
    """
    if tuple(gate.shape) != (4, 4):
        raise ValueError(f"a two-qubit gate is a 4x4 matrix, got shape {tuple(gate.shape)}")
    exact = gate.detach().to("cpu", torch.complex128)
    distance = (exact @ exact.mH - torch.eye(4, dtype=exact.dtype, device="cpu")).abs().max().item()
    if not distance < 1e-6:
        raise ValueError(f"a two-qubit gate must be unitary, but this one is off by {distance:.1e}")
    if not exact.imag.any() and torch.linalg.det(exact.real) > 0:
        inner = _decompose_real(exact.real, wires)
        special = all(abs(math.remainder(one.angle, math.pi / 2)) < _ROUNDING for one in inner[4:6])
        ways = [merge(inner, fresh=False), *([_decompose_complex(exact, wires)] if special else [])]
        return min(ways, key=lambda way: sum(one.name == "cx" for one in way[0]))
    return _decompose_complex(exact, wires)


def _decompose_real(gate: Tensor, wires: tuple[int, int]) -> list[Instruction]:
    left, right = (angles.euler_angles(q).tolist() for q in angles.split_rotation(gate))
    turns = [-2 * left[2], -2 * right[2], 2 * right[1], -2 * left[1], -2 * left[0], -2 * right[0]]
    return fill(pattern("so4", wires, (False, False)), turns)


def _decompose_complex(gate: Tensor, wires: tuple[int, int]) -> tuple[list[Instruction], float]:
    params, *before = gauge._split_unitary(gate)
    after = _zyz(params[3:].view(2, 3)).numpy()
    first, second = (side.numpy() for side in before)
    core = []
    for coordinate, pauli in zip(params[:3].tolist(), _PAULIS, strict=True):
        # exp(i pi/2 PP) = i P ⊗ P is local, so a coordinate counts up to quarter turns only.
        turns = math.ceil(coordinate / (math.pi / 2) - 0.5 - 1e-14)
        rest = coordinate - turns * math.pi / 2
        core.append(0.0 if abs(rest) < _ROUNDING else rest)
        for _ in range(turns % 4):
            first, second = 1j * pauli @ first, pauli @ second
    sides = [one_qubit(side, wire) for side, wire in zip((first, second, *after), wires * 2, strict=True)]
    inner, phase = _canonical(core, wires)
    listed = [*sides[0][0], *sides[1][0], *inner, *sides[2][0], *sides[3][0]]
    merged, rest = merge(listed, fresh=False)
    return merged, math.remainder(phase + rest + sum(side[1] for side in sides), 2 * math.pi)


def _canonical(core: list[float], wires: tuple[int, int]) -> tuple[list[Instruction], float]:
    """exp(i(a XX + b YY + c ZZ)) for coordinates in (-pi/4, pi/4], and a phase."""
    used = [axis for axis in range(3) if core[axis]]
    if len(used) == 3:
        a, b, c = core
        half = math.pi / 2
        gates, turns = pattern("complex", wires, (False, False))[:8], [-half, half - 2 * c, 2 * a - half, half - 2 * b]
        return fill(gates, turns), 0.0
    if not used:
        return [], 0.0
    first, second = ((wire,) for wire in wires)
    basis = {0: (["h"], []), 1: (["sdg", "h"], ["sdg"]), 2: ([], ["h"])}
    if len(used) == 1 and abs(core[used[0]] - math.pi / 4) < _ROUNDING:
        # CX is exp(i pi/4 ZX) up to local turns; Z and X become the axis that is meant.
        into = [(name, wire) for names, wire in zip(basis[used[0]], (first, second), strict=True) for name in names]
        undo = [({"s": "sdg", "sdg": "s"}.get(name, name), wire) for name, wire in reversed(into)]
        turn = [("rz", first), ("h", second), ("rz", second), ("h", second), ("cx", wires)]
        return fill([*into, *turn, *undo], [-math.pi / 2] * 2), -math.pi / 4
    if not core[2]:
        gates = [("s", second), *pattern("core", wires, (False, False)), ("sdg", second)]
        return fill(gates, [-2 * core[1], -2 * core[0]]), 0.0
    # XX and ZZ between two CX are one turn of each wire; YY is XX in another frame.
    middle = [("cx", wires), ("h", first), ("rz", first), ("h", first), ("rz", second), ("cx", wires)]
    if core[1]:
        middle = [("sdg", first), ("sdg", second), *middle, ("s", first), ("s", second)]
    return fill(middle, [-2 * (core[1] or core[0]), -2 * core[2]]), 0.0
