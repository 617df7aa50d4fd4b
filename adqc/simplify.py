"""A circuit with fewer elementary gates that prepares the same state, and what that saves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from adqc.circuit import Resources, find_wall, resources
from adqc.elementary import Instruction, count
from adqc.passes import merge, round_angles, with_phase
from adqc.translate import elementary, exact_copy


@dataclass(frozen=True)
class Simplified:
    """What :func:`simplify` found; printed, it says what was saved.

    Args:
        instructions: The elementary gates, in the order in which they act.
        before: What the circuit costs as it is.
        after: What it costs simplified.
        bound: The largest distance (2-norm) of the weight from the circuit's own that rounding can cause; 0 without
            rounding.
    """

    instructions: tuple[Instruction, ...]
    before: Resources
    after: Resources
    bound: float

    def __str__(self) -> str:
        rounding = f"; rounding moves the weight by at most {self.bound:.1e} (2-norm)" if self.bound else ""
        return f"before: {_counts(self.before)}\nafter:  {_counts(self.after)}{rounding}"


def _counts(found: Resources) -> str:
    return (
        f"{found.cx} CX in {found.cx_layers} layers, {found.rotations} rotations, {found.fixed} gates without an angle"
    )


def simplify(layer: nn.Module, *, decimals: int | None = None) -> Simplified:
    """Fewer elementary gates for the same state, and a count of both.

    Neighbouring one-qubit gates become one, what only acts on |0> goes, CX that undo each other go. With ``decimals``
    every angle is rounded: a rotation moves by at most half of what its angle does, so the weight moves by at most
    ``|scale| / 2`` times the sum of all changes.

    Args:
        layer: A compressed layer, or a BrickWall, with unitary gates.
        decimals: Digits behind the point of each angle, 0 to 15; None keeps all.

    Returns:
        The gates, resources before and after, and the bound.

    Raises:
        ValueError: As :func:`adqc.to_qasm`, or if ``decimals`` is not a whole number from 0 to 15.
        TypeError: If the module has no circuit.

    Example:
        >>> import adqc
        >>> result = simplify(adqc.BrickWall((4, 4), adqc.Circuit(depth=4, gate="so4")), decimals=6)
        >>> result.before.rotations, result.after.rotations
        (30, 22)
    """
    if decimals is not None and (isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals < 16):
        raise ValueError(f"decimals must be a whole number from 0 to 15, or None to keep all digits, got {decimals!r}")
    wall = find_wall(layer)
    exact = exact_copy(wall)
    bricks, phase = elementary(exact)
    merged, rest = merge([one for brick in bricks for one in brick])
    found, error = with_phase(merged, phase + rest), 0.0
    if decimals is not None:
        found, error = round_angles(found, decimals)
    before = resources(wall)
    return Simplified(tuple(found), before, replace(before, **count(found)), abs(exact.scale.item()) * error)
