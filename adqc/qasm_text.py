"""The subset of OpenQASM that this library writes: h, ry and cx on one register, without control flow."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

HEADERS = {2: ("OPENQASM 2.0;", "qelib1.inc", "qreg q[{}];"), 3: ("OPENQASM 3.0;", "stdgates.inc", "qubit[{}] q;")}


def number_text(value: float) -> str:
    """All digits of a number, with the decimal point that OpenQASM 2 asks for."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


@dataclass(frozen=True)
class Instruction:
    """One elementary gate of a text.

    Args:
        name: ``"h"``, ``"ry"`` or ``"cx"``.
        angle: Of ``ry``; else 0.
        wires: The qubits that it acts on.
        position: Where in the text it stands.
    """

    name: str
    angle: float
    wires: tuple[int, ...]
    position: int

    def __str__(self) -> str:
        return f"{self.name} {','.join(f'q[{wire}]' for wire in self.wires)}"


_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_HEAD = re.compile(r"OPENQASM\s+(2\.0|3\.0|3)\s*;")
_INCLUDE = re.compile(r'include\s+"([^"\n]{1,80})"\s*;')
_REGISTER = re.compile(r"(?:qreg\s+q\s*\[\s*([0-9]{1,6})\s*\]|qubit\s*\[\s*([0-9]{1,6})\s*\]\s*q)\s*;")
_WIRE = r"q\s*\[\s*([0-9]{1,6})\s*\]\s*"
_GATE = re.compile(
    r"(?:(h)\s+" + _WIRE + r"|(ry)\s*\(\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*\)\s*" + _WIRE
    + r"|(cx)\s+" + _WIRE + "," + r"\s*" + _WIRE + ");"
)  # fmt: skip


def fail(text: str, position: int, message: str) -> NoReturn:
    """Raise the error of a place in the text.

    Raises:
        ValueError: Always; with line and column, counted from 1.
    """
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    raise ValueError(f"QASM line {line}, column {column}: {message}")


def _expect(pattern: re.Pattern[str], text: str, position: int, what: str) -> re.Match[str]:
    start = _BLANK.match(text, position).end()  # type: ignore[union-attr]
    found = pattern.match(text, start)
    if found is None:
        rest = text[start : start + 30].split("\n")[0]
        fail(text, start, f"expected {what}, got {rest!r}" if rest else f"expected {what}, but the text ends here")
    return found


def parse(text: str) -> tuple[int, list[Instruction]]:
    """Read a text in the subset that :func:`adqc.qasm.to_qasm` writes.

    Args:
        text: OpenQASM 2 or 3.

    Returns:
        The number of qubits, and the instructions.

    Raises:
        ValueError: With line and column, at the first thing that is not in the subset.
    """
    head = _expect(_HEAD, text, 0, "'OPENQASM 2.0;' or 'OPENQASM 3.0;'")
    version = int(head[1][0])
    _, include, declaration = HEADERS[version]
    included = _expect(_INCLUDE, text, head.end(), f"'include \"{include}\";'")
    if included[1] != include:
        fail(text, included.start(), f"expected 'include \"{include}\";', got {included[0]!r}")
    what = f"a register {declaration.format('…')!r}"
    register = _expect(_REGISTER, text, included.end(), what)
    if (version == 2) != (register[1] is not None):
        fail(text, register.start(), f"expected {what}, got {register[0]!r}")
    qubits = int(register[1] or register[2])
    instructions = []
    position = _BLANK.match(text, register.end()).end()  # type: ignore[union-attr]
    while position < len(text):
        found = _expect(_GATE, text, position, "one of 'h q[…];', 'ry(number) q[…];', 'cx q[…],q[…];'")
        name, angle = found[1] or found[3] or found[6], float(found[4] or 0)
        wires = tuple(int(wire) for wire in (found[2], found[5], found[7], found[8]) if wire is not None)
        if max(wires) >= qubits:
            fail(text, position, f"the register has {qubits} qubits, got q[{max(wires)}]")
        if not math.isfinite(angle):
            fail(text, position, f"an angle must be a finite number, got {found[4]}")
        instructions.append(Instruction(name, angle, wires, position))
        position = _BLANK.match(text, found.end()).end()  # type: ignore[union-attr]
    return qubits, instructions
