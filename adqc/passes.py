"""Passes over elementary gates that keep the state: merge, drop, cancel, and round with a bound."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np

from adqc.elementary import ROTATIONS, Instruction, Matrix, add_phases, matrix, one_qubit

_NEGLIGIBLE = 1e-15
# Phases are sums over many gates; less than this is rounding.
_ROUNDED_PHASE = 1e-14
_ONE = np.eye(2, dtype=np.complex128)
_PAULIS = (
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    np.diag([1, -1]).astype(np.complex128),
)
# What passes the control and the target of a CX unchanged.
_PASSES = {"c": _PAULIS[2], "t": _PAULIS[0]}


def merge(instructions: Sequence[Instruction], *, fresh: bool = True) -> tuple[list[Instruction], float]:
    """Fewer gates for the same state: neighbouring one-qubit gates become one, and CX that undo each other go.

    A run of real one-qubit gates becomes one ``ry``, of complex ones ``rz ry rz``, or ``rz ry`` where a CX lets the
    last turn pass; whichever way takes the fewest CX, then the fewest gates, is taken. What only turns |0> goes, and so
    does a CX whose control is a qubit that is still |0>.

    Args:
        instructions: The circuit.
        fresh: Whether the qubits start in |0>; else the whole unitary is kept.

    Returns:
        The instructions, and the phase φ: the old circuit is ``exp(i φ)`` times the new one.
    """
    ways = [
        (list(instructions), 0.0),
        *(_merge_until_done(instructions, fresh, passing) for passing in ("", "c", "ct")),
    ]
    return min(ways, key=lambda way: (sum(one.name == "cx" for one in way[0]), len(way[0])))


def _merge_until_done(
    instructions: Sequence[Instruction], fresh: bool, passing: str
) -> tuple[list[Instruction], float]:
    found, phase = _merge_once(instructions, fresh, passing)
    while True:
        again, rest = _merge_once(_cancel(found), fresh, passing)
        if len(again) >= len(found):
            return found, phase
        found, phase = again, add_phases([phase, rest])


def _merge_once(instructions: Sequence[Instruction], fresh: bool, passing: str) -> tuple[list[Instruction], float]:
    """One walk through the circuit; ``passing`` names the ends of a CX that turns may pass: c, t or both."""
    found: list[Instruction] = []
    pending: dict[int, Matrix] = {}
    used: set[int] = set() if fresh else {wire for one in instructions for wire in one.wires}
    phases: list[float] = []

    def flush(wire: int, end: str) -> None:
        gate = pending.pop(wire, _ONE)
        if wire not in used:
            gate = _preparation(gate[:, 0])
            used.add(wire)
        if end and end in passing and gate.imag.any():
            turns, pending[wire] = _split(gate, end)
            found.extend(Instruction(name, angle, (wire,)) for name, angle in turns if angle)
            return
        if end and not gate.imag.any() and np.linalg.det(gate.real) < 0:
            # Of a reflection a turn is left, and what passes the CX.
            pending[wire] = _PASSES[end]
            gate = _PASSES[end] @ gate
        turned, left = one_qubit(gate, wire)
        found.extend(turned)
        phases.append(left)

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
                pending[target] = _PASSES["t"] @ pending.get(target, _ONE)
                continue
        flush(control, "c")
        flush(target, "t")
        found.append(one)
    for wire in sorted(pending):
        flush(wire, "")
    return found, add_phases(phases)


def _split(gate: Matrix, end: str) -> tuple[list[tuple[str, float]], Matrix]:
    """A gate as turns ``rz ry`` and what passes that end of a CX: a turn about Z the control, about X the target."""
    if end == "c":
        phases = gate[1] * cmath.exp(-0.5j * cmath.phase(np.linalg.det(gate)))
        first = cmath.phase(phases[1]) - cmath.phase(phases[0])
        second = 2 * math.atan2(abs(phases[0]), abs(phases[1]))
        frame = _ONE
    else:
        # As a rotation of space, with third column (sin β, -sin γ cos β, cos γ cos β), first row cos β (cos α, -sin α).
        row = [np.trace(_PASSES["t"] @ gate @ pauli @ gate.conj().T).real / 2 for pauli in _PAULIS]
        first, second = math.atan2(-row[1], row[0]), math.atan2(row[2], math.hypot(row[0], row[1]))
        frame = matrix("h")
    rest = frame @ gate @ (matrix("ry", second) @ matrix("rz", first)).conj().T @ frame
    return [("rz", first), ("ry", second)], frame @ np.diag(np.diag(rest)) @ frame


def _preparation(state: Matrix) -> Matrix:
    """A gate that makes this state of |0>, real where the state is, else without a turn that |0> does not notice."""
    if not state.imag.any():
        return np.array([[state[0], -state[1]], [state[1], state[0]]])
    # The phase of an amplitude that is zero is free.
    used = [cmath.phase(amplitude) for amplitude in state if abs(amplitude) > 1e-16]
    phases = np.array([used[0], used[-1]])
    turn = matrix("ry", 2 * math.atan2(abs(state[1]), abs(state[0])))
    return np.diag(np.exp(1j * phases)) @ turn


def _cancel(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Without pairs of equal CX that have nothing between them."""
    kept: list[Instruction | None] = []
    last: dict[int, list[int]] = {}
    for one in instructions:
        stacks = [last.setdefault(wire, [-1]) for wire in one.wires]
        tops = {stack[-1] for stack in stacks}
        top = tops.pop()
        before = kept[top] if top >= 0 and not tops else None
        if one.name == "cx" and before is not None and before[:3] == one[:3]:
            kept[top] = None
            for stack in stacks:
                stack.pop()
            continue
        for stack in stacks:
            stack.append(len(kept))
        kept.append(one)
    return [one for one in kept if one is not None]


def with_phase(instructions: list[Instruction], phase: float) -> list[Instruction]:
    """The instructions with the phase made good: a sign by a whole turn, another one by an ``rz`` on |0>."""
    phase = math.remainder(phase, 2 * math.pi)
    if abs(phase) < _ROUNDED_PHASE:
        return instructions
    if abs(abs(phase) - math.pi) < _ROUNDED_PHASE:
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
