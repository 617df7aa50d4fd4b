"""The subset of OpenQASM that this library writes, and Qiskit's dump of it: one register, no control flow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from adqc.elementary import ROTATIONS, Instruction

HEADERS = {2: ("OPENQASM 2.0;", "qelib1.inc", "qreg q[{}];"), 3: ("OPENQASM 3.0;", "stdgates.inc", "qubit[{}] q;")}
# Some 200,000 gates; a longer text is refused before it costs time and memory.
MOST_CHARACTERS = 20_000_000
# In sums with a larger angle the others would lose too many digits.
LARGEST_ANGLE = 1e6


def number_text(value: float) -> str:
    """All digits of a number, with the decimal point that OpenQASM 2 asks for."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def write_lines(instructions: Iterable[Instruction]) -> Iterator[str]:
    """A line of text for each instruction."""
    for name, angle, wires, *_ in instructions:
        operands = ",".join(f"q[{wire}]" for wire in wires)
        yield f"{name}({number_text(angle)}) {operands};" if name in ROTATIONS else f"{name} {operands};"


_BLANK = re.compile(r"\s*+(?://[^\n]*+\s*+)*+")
_HEAD = re.compile(r"OPENQASM\s+(2\.0|3\.0|3)\s*;")
_INCLUDE = re.compile(r'include\s+"([^"\n]{1,80})"\s*;')
_REGISTER = re.compile(r"(?:qreg\s+q\s*\[\s*([0-9]{1,6})\s*\]|qubit\s*\[\s*([0-9]{1,6})\s*\]\s*q)\s*;")
_WIRE = r"q\s*\[\s*([0-9]{1,6})\s*\]\s*"
_GATE = re.compile(
    r"(?:(h|sdg|s)\s+" + _WIRE
    + r"|(ry|rz)\s*\(([^;()\n]{0,60}(?:\([^;()\n]{1,60}\)[^;()\n]{0,20})?)\)\s*"
    + _WIRE + r"|(cx)\s+" + _WIRE + "," + r"\s*" + _WIRE + ");"
)  # fmt: skip
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,5})?")
_TOKEN = re.compile(r"\s*((?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,5})?|pi|[-+*/()])\s*")


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


def read_angle(text: str) -> float | None:
    """A number, or a product and quotient of numbers and pi as Qiskit writes it; None for anything else."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        tokens.append(found[1])
        at = found.end()
    try:
        return _read_product(iter([*tokens, ""]), "")
    except (ArithmeticError, ValueError, StopIteration):
        return None


def _read_product(tokens: Iterator[str], end: str) -> float:
    sign, token = 1.0, next(tokens)
    if token in ("-", "+"):
        sign, token = (-1.0 if token == "-" else 1.0), next(tokens)
    value = sign * _read_factor(token, tokens)
    while (token := next(tokens)) != end:
        if token == "*":
            value *= _read_factor(next(tokens), tokens)
        elif token == "/":
            value /= _read_factor(next(tokens), tokens)
        else:
            raise ValueError(token)
    return value


def _read_factor(token: str, tokens: Iterator[str]) -> float:
    if token == "(":
        return _read_product(tokens, ")")
    return math.pi if token == "pi" else float(token)


def parse(text: str) -> tuple[int, list[Instruction]]:
    """Read a text in the subset that :func:`adqc.qasm.to_qasm` writes, or Qiskit's dump of one.

    Args:
        text: OpenQASM 2 or 3.

    Returns:
        The number of qubits, and the instructions.

    Raises:
        ValueError: With line and column, at the first thing that is not in the subset, or if the text is too long.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"the QASM text has {len(text):,} characters, but adqc reads at most {MOST_CHARACTERS:,}")
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
    what = "one of 'h q[…];', 's q[…];', 'sdg q[…];', 'ry(number) q[…];', 'rz(number) q[…];', 'cx q[…],q[…];'"
    while position < len(text):
        found = _expect(_GATE, text, position, what)
        wires = tuple(int(wire) for wire in (found[2], found[5], found[7], found[8]) if wire is not None)
        if max(wires) >= qubits:
            fail(text, position, f"the register has {qubits} qubits, got q[{max(wires)}]")
        if len(wires) == 2 and wires[0] == wires[1]:
            fail(text, position, f"a cx acts on two qubits, got q[{wires[0]}] twice")
        angle = 0.0 if found[4] is None else read_angle(found[4])
        if angle is None:
            fail(text, position, f"expected {what}, got the angle {found[4]!r}")
        if not abs(angle) <= LARGEST_ANGLE:
            fail(text, position, f"an angle must be a finite number up to {LARGEST_ANGLE:,.0f}, got {found[4]}")
        rounded = found[4] is not None and ("pi" in found[4] or not angle)
        instructions.append(Instruction(found[1] or found[3] or found[6], angle, wires, position, rounded))
        position = _BLANK.match(text, found.end()).end()  # type: ignore[union-attr]
    return qubits, instructions
