"""Bricks of the built-in families as elementary gates, each angle an affine function of one parameter.

Real: ``exp(i(a XY + b YX)) = H(0) CX [RY(2b) ⊗ RY(-2a)] CX H(0)``, between the RY that the family stores. Complex:
``exp(i(a XX + b YY + c ZZ))`` with 3 CX (quant-ph/0308006, Fig. 6), with 2 where a wire still holds |0>, as c is zero
there, and with 1 on |00>. Signs and phases are exact: no reader has to know of a global phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from adqc import angles
from adqc.brickwall import BrickWall
from adqc.elementary import ROTATIONS, Instruction
from adqc.gates import CARTAN_SU4
from adqc.gauge import coordinates

Pattern = list[tuple[str, tuple[int, ...]]]
KINDS = {"cartan": "cartan", "so4": "so4", "cartan-su4": "complex", "su4": "complex"}


def pattern(kind: str, wires: tuple[int, ...], fresh: tuple[bool, ...]) -> Pattern:
    """Names and wires of the elementary gates of a brick: ``cartan``, ``so4``, ``complex``, or the real ``core``."""
    first, second = ((wire,) for wire in wires)
    zyz: Pattern = [(name, wire) for wire in (first, second) for name in ("rz", "ry", "rz")]
    if kind == "complex" and all(fresh):
        # exp(i(a XX + c ZZ))|00> = exp(ic) (cos a |00> + i sin a |11>); one rz of the two before the ry is redundant.
        return [("rz", second), ("ry", first), ("cx", wires), ("s", first), *zyz[:3], *zyz[4:]]
    if kind == "complex" and any(fresh):
        # XX and YY are XY and YX seen through an S on the wire in |0>, which does not notice the first S.
        inner = pattern("core", wires if fresh[1] else wires[::-1], fresh)
        return [*inner, ("sdg", second if fresh[1] else first), *zyz]
    if kind == "complex":
        back = wires[::-1]
        turns: Pattern = [("rz", first), ("ry", second), ("cx", wires), ("ry", second), ("cx", back)]
        return [("rz", second), ("cx", back), *turns, ("s", first), *zyz]
    after: Pattern = [("ry", first), ("ry", second)]
    if kind == "core":
        return [("h", first), ("cx", wires), *after, ("cx", wires), ("h", first)]
    if all(fresh):
        return [("ry", first), ("cx", wires), *after]
    return [*(after if kind == "so4" else []), *pattern("core", wires, fresh), *after]


def fill(gates: Pattern, turns: Sequence[float]) -> list[Instruction]:
    """The instructions of a pattern, whose rotations take the turns in order."""
    left = iter(turns)
    return [Instruction(name, next(left) if name in ROTATIONS else 0.0, wires) for name, wires in gates]


def patterns(wall: BrickWall) -> list[Pattern]:
    """The patterns of the bricks of a built-in unitary family."""
    kind, wiring = KINDS[wall.family.name], wall.wiring
    return [pattern(kind, sites, fresh) for sites, fresh in zip(wiring.gates, wiring.fresh, strict=True)]


@torch.no_grad()
def turns_of(wall: BrickWall) -> list[list[float]]:
    """The turns that the rotations of each brick of a built-in unitary family take; the wall in float64 on the CPU."""
    fresh = wall.wiring.fresh
    name = wall.family.name
    if name == "cartan":
        # Doubling and halving are exact, so these parameters come back bit by bit.
        rows = wall.gate_parameters().tolist()
        return [
            [-2 * a, c, d] if all(f) else [2 * b, -2 * a, c, d]
            for (a, b, c, d), f in zip(rows, fresh, strict=True)
        ]  # fmt: skip
    if name == "so4":
        matrices = wall.matrices()
        states = angles.real_schmidt(matrices[:, :, 0]).tolist()
        pairs = [angles.euler_angles(quaternion).tolist() for quaternion in angles.split_rotation(matrices)]
        return [
            [2 * t, c, d] if all(f) else [-2 * x[2], -2 * y[2], 2 * y[1], -2 * x[1], -2 * x[0], -2 * y[0]]
            for (t, c, d), x, y, f in zip(states, *pairs, fresh, strict=True)
        ]
    rows = wall.gate_parameters().tolist()
    if name == "su4":
        # On their way to the family that stores fewer numbers gates lose what they need not do, and 2 to 3 rotations.
        rows = coordinates(CARTAN_SU4, wall.wiring, wall.matrices()).tolist()
    half = math.pi / 2
    found = []
    for (a, b, c, *zyz), f in zip(rows, fresh, strict=True):
        if all(f):
            # The redundant rz is zero.
            found.append([-2 * c, 2 * a, *zyz[:3], *zyz[4:]])
        elif any(f):
            found.append([-2 * b, -2 * a, *zyz])
        else:
            found.append([-half, half - 2 * c, 2 * a - half, half - 2 * b, *zyz])
    return found


def parameters_of(wall: BrickWall, turns: list[list[float]]) -> torch.Tensor:
    """The inverse of :func:`turns_of` for ``cartan`` and ``so4``: gate parameters (G, p), float64 on the CPU."""
    if wall.family.name == "cartan":
        rows = [[t[0] / -2, 0.0, *t[1:]] if len(t) == 3 else [t[1] / -2, t[0] / 2, *t[2:]] for t in turns]
        return torch.tensor(rows, dtype=torch.float64, device="cpu").reshape(-1, 4)
    # Quaternions' Euler angles, which are zero where a brick on |00> has no rotation.
    rows = [
        [t[1] / -2, t[0] / -2, 0.0, t[2] / -2, 0.0, 0.0]
        if len(t) == 3
        else [t[4] / -2, t[3] / -2, t[0] / -2, t[5] / -2, t[2] / 2, t[1] / -2]
        for t in turns
    ]
    halves = torch.tensor(rows, dtype=torch.float64, device="cpu").reshape(-1, 2, 3)
    return angles.to_special_unitary(*(angles.quaternion_logarithm(angles.from_euler(halves[:, k])) for k in range(2)))
