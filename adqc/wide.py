"""Real orthogonal gates on three qubits and more as ``ry`` and ``cx``, by cosine-sine decompositions.

``U = (V0 ⊕ V1) Y (W0 ⊕ W1)``, where Y turns the first wire by an angle that the others choose. Split again and again,
a gate is a sequence of such turns, 2^k - 1 of them with 2^(k-1) angles each: as many numbers as SO(2^k) has dimensions.
Where wires hold |0> fewer do, as an isometry has fewer dimensions. A gate of determinant -1 ends with a sign of |1…1>.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from adqc.elementary import Instruction

Array = npt.NDArray[np.float64]
_QUARTER = math.pi / 2


class _Turn(NamedTuple):
    """``ry`` of one wire by an angle for each value of others, the first of which is most significant."""

    wire: int
    controls: tuple[int, ...]
    angles: Array


def decompose_wide(gate: Tensor, *, fresh: Sequence[bool]) -> tuple[list[Instruction], float]:
    """A real orthogonal gate on k qubits as elementary gates, to 1e-13; names and wires do not depend on its entries.

    Args:
        gate: (2^k, 2^k), real, orthogonal, ``gate[out, in]``.
        fresh: For each of its k wires whether it holds |0>: the gate's other columns may come out different.

    Returns:
        The instructions on wires 0…k-1, in the order in which they act, and the phase: the gate is ``exp(i phase)``
        times their product. ``(2^k - 1)(2^(k-1) - 1) + 1`` CX where no wire holds |0>, and ``2^k - 2`` more for
        determinant -1.

    Raises:
        ValueError: If the gate is not an orthogonal matrix of this size.

    Example:
        >>> import torch
        >>> instructions, _ = decompose_wide(torch.eye(8), fresh=(False, False, False))
        >>> sum(one.name == "cx" for one in instructions)
        22

    Source: quant-ph/0404089 (cosine-sine decomposition, uniformly controlled turns); quant-ph/0406176, Fig. 2 (one CX
    of each of those moves on).
    """
    count = len(fresh)
    size = 2**count
    if tuple(gate.shape) != (size, size) or gate.is_complex():
        raise ValueError(
            f"a real gate on {count} qubits is a {size}x{size} matrix, got {gate.dtype} {tuple(gate.shape)}"
        )
    exact = gate.detach().to("cpu").double().numpy()
    distance = float(np.abs(exact @ exact.T - np.eye(size)).max())
    if not distance < 1e-6:
        raise ValueError(f"a gate on {count} qubits must be orthogonal, but this one is off by {distance:.1e}")
    # Wires in |0> come first: the columns that count do so, too.
    wires = sorted(range(count), key=lambda wire: not fresh[wire])
    axes = [*wires, *(count + wire for wire in wires)]
    exact = exact.reshape((2,) * (2 * count)).transpose(axes).reshape(size, size)
    improper = not any(fresh) and np.linalg.det(exact) < 0
    if improper:
        exact = np.concatenate([exact[:-1], -exact[-1:]])
    found = _emit(_split(exact[None], tuple(wires), count - sum(fresh), ()))
    return (found + sign_of_ones(count), math.pi / size) if improper else (found, 0.0)


@cache
def pattern_wide(fresh: tuple[bool, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and wires of the elementary gates of a gate with these fresh wires and determinant 1."""
    import torch

    identity = torch.eye(2 ** len(fresh), dtype=torch.float64, device="cpu")
    return tuple((one.name, one.wires) for one in decompose_wide(identity, fresh=fresh)[0])


def sign_of_ones(count: int) -> list[Instruction]:
    """``exp(-iπ/2^k)`` times the sign of |1…1> on k wires: a turn ``rz`` of the parity of each set of wires."""
    found = []
    turn = 2 * math.pi / 2**count
    for wire in range(count):
        for step in range(2**wire):
            if step:
                found.append(Instruction("cx", 0.0, (_ruler(step), wire)))
            # The wires whose parity this one carries: itself and those of the Gray code.
            odd = (step ^ step >> 1).bit_count() % 2 == 0
            found.append(Instruction("rz", turn if odd else -turn, (wire,)))
        if wire:
            found.append(Instruction("cx", 0.0, (wire - 1, wire)))
    return found


def _ruler(step: int) -> int:
    """The bit in which a Gray code changes at this step."""
    return (step & -step).bit_length() - 1


# --- into turns -------------------------------------------------------------------------------------------------


def _split(blocks: Array, wires: tuple[int, ...], old: int, outer: tuple[int, ...]) -> list[_Turn]:
    """Gates on ``wires``, one for each value of the ``outer`` wires, as turns.

    Args:
        blocks: (2^outer, 2^j, 2^j); of determinant 1 where no wire is fresh.
        wires: The j wires, the fresh ones first.
        old: How many of them are not fresh.
        outer: The wires that choose the gate.
    """
    if not wires:
        return []
    if len(wires) == old == 1:
        return [_Turn(wires[0], outer, 2 * np.arctan2(blocks[:, 1, 0], blocks[:, 0, 0]).reshape(-1))]
    top, rest = wires[0], wires[1:]
    used = rest if old > len(rest) else rest[len(rest) - old :]
    parts = [_cosine_sine(block, 2 ** len(used), square=old > len(rest)) for block in blocks]
    before, angles, after = (np.concatenate([part[k] for part in parts]) for k in range(3))
    # Only a first wire that is not fresh chooses what is done before its turn.
    first = _split(before, used, len(used), (*outer, top) if old > len(rest) else outer)
    turn = _Turn(top, (*outer, *used), 2 * angles)
    return [*first, turn, *_split(after, rest, min(old, len(rest)), (*outer, top))]


def _cosine_sine(block: Array, columns: int, *, square: bool) -> tuple[Array, Array, Array]:
    """``block = (V0 ⊕ V1) [[cos, -sin], [sin, cos]] (W0 ⊕ W1)``, or its first columns as ``(V0 ⊕ V1) [cos, sin] W``.

    Args:
        block: (2h, 2h), orthogonal.
        columns: Number of first columns to keep, at most h.
        square: Whether to keep all columns; then ``columns`` is h, and the block of determinant 1.

    Returns:
        W (2, h, h) or (1, columns, columns), the angles (columns,), and V (2, h, h). All W have determinant 1, and so
        have all V where none of their columns is free.
    """
    # Its import takes a while, and only writing needs it.
    from scipy.linalg import cossin

    half = len(block) // 2
    after, angles, before = cossin(block, p=half, q=columns, separate=True)
    (upper, lower), rows, angles = (part.copy() for part in after), list(before), angles.copy()
    if columns < half:
        # LAPACK puts the sines last.
        lower = np.concatenate([lower[:, half - columns :], lower[:, : half - columns]], axis=1)
    rows = [row.copy() for row in rows[: 1 + square]]
    for number, row in enumerate(rows):
        if np.linalg.det(row) < 0:
            # A sign goes through the turn: to both halves where there is one column, else to its own.
            row[0] *= -1
            (upper, lower)[number][:, 0] *= -1
            if square:
                angles[0] *= -1
            else:
                lower[:, 0] *= -1
    if columns == half and np.linalg.det(upper) < 0:
        upper[:, 0] *= -1
        if square:
            lower[:, 0] *= -1
            angles[0] += math.pi
        else:
            angles[0] = math.pi - angles[0]
    if columns == half and not square and np.linalg.det(lower) < 0:
        lower[:, 0] *= -1
        angles[0] *= -1
    return np.stack(rows), angles, np.stack([upper, lower])


# --- into gates -------------------------------------------------------------------------------------------------


def _emit(turns: Sequence[_Turn]) -> list[Instruction]:
    """The turns as ``ry`` and ``cx``, with one CX less for each of them than they take alone.

    A turn that others choose is ``ry`` and CZ by turns, and the last CZ can wait: on its way through later turns it
    changes signs of their angles, and most of those that wait undo each other.
    """
    found: list[Instruction] = []
    waiting: set[frozenset[int]] = set()

    def add(name: str, angle: float, *wires: int) -> None:
        if name == "ry" and found and found[-1].name == "ry" and found[-1].wires == wires:
            found[-1] = found[-1]._replace(angle=found[-1].angle + angle)
        else:
            found.append(Instruction(name, angle, wires))

    for wire, controls, angles in turns:
        count = len(controls)
        table = angles.reshape((2,) * count).copy()
        for axis, control in enumerate(controls):
            if {wire, control} in waiting:
                table[(slice(None),) * axis + (1,)] *= -1
        # The last wire of the Gray code keeps its CZ waiting: one that meets its like, if there is one.
        order = sorted(range(count), key=lambda axis: frozenset((wire, controls[axis])) in waiting)
        for step, angle in enumerate(_gray_angles(table.transpose(order[::-1]).reshape(-1))):
            if step:
                add("cx", 0.0, controls[order[_ruler(step)]], wire)
            # CZ is CX between quarter turns, which undo each other but for the first and the last.
            edge = (step == 0) - (step == 2**count - 1)
            add("ry", float(angle) + edge * _QUARTER, wire)
        if count:
            waiting ^= {frozenset((wire, controls[order[-1]]))}
    for pair in sorted(waiting, key=sorted):
        last = turns[-1].wire
        wire = last if last in pair else max(pair)
        (control,) = pair - {wire}
        add("ry", _QUARTER, wire)
        add("cx", 0.0, control, wire)
        add("ry", -_QUARTER, wire)
    return found


def _gray_angles(angles: Array) -> Array:
    """Angles of the single turns, from those for each value of the controls, (2^c,); bit 0 of a value changes first."""
    turned: Array = _signs(len(angles)) @ angles / len(angles)
    return turned


@cache
def _signs(size: int) -> Array:
    return np.array(
        [[1.0 - 2.0 * ((value & (step ^ step >> 1)).bit_count() % 2) for value in range(size)] for step in range(size)]
    )
