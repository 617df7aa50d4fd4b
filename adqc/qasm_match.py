"""A text's instructions, gate by gate, as the circuit of its card must have them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np

from adqc.bricks import Pattern
from adqc.elementary import Instruction, Matrix, product
from adqc.geometry import Wiring
from adqc.qasm_text import fail
from adqc.wide import pattern_wide, sign_of_ones


def match(
    text: str,
    instructions: Sequence[Instruction],
    gates: Sequence[tuple[int, ...]],
    patterns: Sequence[Pattern],
    *,
    tails: Sequence[Pattern] | None = None,
) -> list[list[Instruction]]:
    """The instructions of each gate, which must be the patterns' and nothing else.

    Args:
        text: Where they were read, for messages.
        instructions: What was read.
        gates: The sites of each gate.
        patterns: Names and wires of the instructions of each gate.
        tails: What may follow them, for each gate: all of it if its first name does, else nothing.

    Returns:
        The instructions of each gate.

    Raises:
        ValueError: With line and column, at the first instruction that is not the one due.
    """
    found: list[list[Instruction]] = []
    at = 0
    for number, (sites, pattern) in enumerate(zip(gates, patterns, strict=True)):
        tail = [] if tails is None else tails[number]
        part: list[Instruction] = []
        after = at + len(pattern)
        follows = bool(tail) and after < len(instructions) and instructions[after].name == tail[0][0]
        for name, wires in [*pattern, *tail] if follows else pattern:
            due = str(Instruction(name, 0.0, wires))
            if at == len(instructions):
                fail(text, len(text), f"gate {number} on sites {sites} should go on with '{due}', but the text ends")
            given = instructions[at]
            if str(given) != due:
                fail(text, given.position, f"gate {number} on sites {sites} should go on with '{due}', got '{given}'")
            part.append(given)
            at += 1
        found.append(part)
    if at < len(instructions):
        fail(text, instructions[at].position, f"the circuit of the card ends before '{instructions[at]}'")
    return found


def match_wide(text: str, instructions: Sequence[Instruction], wiring: Wiring) -> Matrix:
    """The gates of a circuit of gates on three qubits and more, (G, 2^k, 2^k); complex, but real if all is well.

    Raises:
        ValueError: As :func:`match`.
    """
    patterns = [_on(sites, pattern_wide(fresh)) for sites, fresh in zip(wiring.gates, wiring.fresh, strict=True)]
    # Only a gate that meets no |0> has a determinant.
    tails = [
        [] if any(fresh) else _on(sites, [(one.name, one.wires) for one in sign_of_ones(len(sites))])
        for sites, fresh in zip(wiring.gates, wiring.fresh, strict=True)
    ]
    # The gates' own begin with ry, so this one makes the phase good.
    phase = instructions[:1] if instructions and str(instructions[0]) == "rz q[0]" else []
    found = match(text, instructions[len(phase) :], wiring.gates, patterns, tails=tails)
    gates = np.stack([product(part, sites) for part, sites in zip(found, wiring.gates, strict=True)])
    # What each tail lacks, the first rz gives back for all.
    whole = sum(-one.angle / 2 for one in phase)
    for number, (part, pattern, sites) in enumerate(zip(found, patterns, wiring.gates, strict=True)):
        if len(part) > len(pattern):
            gates[number] *= cmath.exp(1j * math.pi / 2 ** len(sites))
            whole -= math.pi / 2 ** len(sites)
    gates[0] *= cmath.exp(1j * whole)
    return gates


def _on(sites: tuple[int, ...], pattern: Sequence[tuple[str, tuple[int, ...]]]) -> Pattern:
    return [(name, tuple(sites[wire] for wire in wires)) for name, wires in pattern]
