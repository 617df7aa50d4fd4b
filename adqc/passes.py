"""Passes over elementary gates that keep the state: merge, drop, cancel, and round with a bound."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np

from adqc.elementary import ROTATIONS, Instruction, Matrix, matrix, one_qubit

_NEGLIGIBLE = 1e-15
_Z = np.diag([1, -1]).astype(np.complex128)
_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_ONE = np.eye(2, dtype=np.complex128)


def merge(instructions: Sequence[Instruction], *, fresh: bool = True) -> tuple[list[Instruction], float]:
    """Fewer gates for the same state: neighbouring one-qubit gates become one, and CX that undo each other go.

    A run of real one-qubit gates becomes one ``ry``, of complex ones ``rz ry rz``. What only turns |0> goes, and so
    does a CX whose control is a qubit that is still |0>.

    Args:
        instructions: The circuit.
        fresh: Whether the qubits start in |0>; else the whole unitary is kept.

    Returns:
        The instructions, and the phase φ: the old circuit is ``exp(i φ)`` times the new one.
    """
    found, phase = _merge_once(instructions, fresh)
    while True:
        again, rest = _merge_once(_cancel(found), fresh)
        phase += rest
        if len(again) == len(found):
            return again, math.remainder(phase, 2 * math.pi)
        found = again


def _merge_once(instructions: Sequence[Instruction], fresh: bool) -> tuple[list[Instruction], float]:
    found: list[Instruction] = []
    pending: dict[int, Matrix] = {}
    used: set[int] = set() if fresh else {wire for one in instructions for wire in one.wires}
    phase = 0.0

    def flush(wire: int, reflection: Matrix | None) -> None:
        """Write what is pending; of a real reflection only a turn, where the CX lets the rest pass."""
        nonlocal phase
        gate = pending.pop(wire, _ONE)
        if wire not in used:
            gate = _preparation(gate[:, 0])
            used.add(wire)
        if not gate.imag.any() and np.linalg.det(gate.real) < 0:
            rest = _FIXED_H if reflection is None else reflection
            turned, left = one_qubit(rest @ gate, wire)
            found.extend(turned)
            phase += left
            if reflection is None:
                found.append(Instruction("h", 0.0, (wire,)))
            else:
                pending[wire] = reflection
            return
        turned, left = one_qubit(gate, wire)
        found.extend(turned)
        phase += left

    for one in instructions:
        if len(one.wires) == 1:
            wire = one.wires[0]
            pending[wire] = matrix(one.name, one.angle) @ pending.get(wire, _ONE)
            continue
        control, target = one.wires
        if control not in used:
            up, down = pending.get(control, _ONE)[:, 0]
            if abs(down) < _NEGLIGIBLE:
                continue
            if abs(up) < _NEGLIGIBLE:
                pending[target] = _X @ pending.get(target, _ONE)
                continue
        flush(control, _Z)
        flush(target, _X)
        found.append(one)
    for wire in sorted(pending):
        flush(wire, None)
    return found, phase


_FIXED_H = matrix("h")


def _preparation(state: Matrix) -> Matrix:
    """A gate that makes this state of |0>, real where the state is, else without a turn that |0> does not notice."""
    if not state.imag.any():
        return np.array([[state[0], -state[1]], [state[1], state[0]]])
    phases = np.array([cmath.phase(amplitude) for amplitude in state])
    turn = matrix("ry", 2 * math.atan2(abs(state[1]), abs(state[0])))
    return np.diag(np.exp(1j * phases)) @ turn


def _cancel(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Without pairs of equal CX that have nothing between them."""
    kept: list[Instruction | None] = []
    last: dict[int, list[int]] = {}
    for one in instructions:
        tops = [last.get(wire, [-1])[-1] if last.get(wire) else -1 for wire in one.wires]
        before = kept[tops[0]] if tops[0] >= 0 else None
        if one.name == "cx" and before is not None and before.wires == one.wires and tops[0] == tops[1]:
            kept[tops[0]] = None
            for wire in one.wires:
                last[wire].pop()
            continue
        for wire in one.wires:
            last.setdefault(wire, []).append(len(kept))
        kept.append(one)
    return [one for one in kept if one is not None]


def with_phase(instructions: list[Instruction], phase: float) -> list[Instruction]:
    """The instructions with the phase made good: a sign by a whole turn, another one by an ``rz`` on |0>."""
    phase = math.remainder(phase, 2 * math.pi)
    if abs(phase) < _NEGLIGIBLE * (4 + len(instructions)):
        return instructions
    if abs(abs(phase) - math.pi) < _NEGLIGIBLE * (4 + len(instructions)):
        turn = Instruction("ry", 2 * math.pi, (0,))
        for number, one in enumerate(instructions):
            if one.name in ROTATIONS:
                turned = one._replace(angle=one.angle - math.copysign(2 * math.pi, one.angle))
                return [*instructions[:number], turned, *instructions[number + 1 :]]
        return [turn, *instructions]
    return [Instruction("rz", -2 * phase, (0,)), *instructions]


def round_angles(instructions: Sequence[Instruction], decimals: int) -> tuple[list[Instruction], float]:
    """Angles with so many decimals; zero ones go.

    Args:
        instructions: The circuit.
        decimals: Number of digits behind the point.

    Returns:
        The instructions, and a bound on the error of the state: half the sum of all changes of angles, as a rotation
        by a small angle is at most half of it away from the identity.
    """
    found: list[Instruction] = []
    error = 0.0
    for one in instructions:
        if one.name not in ROTATIONS:
            found.append(one)
            continue
        angle = round(one.angle, decimals)
        error += abs(angle - one.angle) / 2
        if angle:
            found.append(one._replace(angle=angle))
    return found, error
