"""Elementary gates, and circuits of them: what QASM files hold, with the sign and phase that every reader gives them.

``ry(t) = exp(-i t Y/2)`` and ``rz(t) = exp(-i t Z/2)`` have determinant 1, ``s = diag(1, i)``, ``sdg = diag(1, -i)``,
``h`` is real, ``cx`` flips its second wire where the first is |1>. A circuit of them gives up one-qubit gates to their
neighbours freely, but a global phase only in eighths of a turn; the rest is an ``rz`` on a qubit in |0>.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from adqc.geometry import Wiring

Matrix = npt.NDArray[np.complex128]


class Instruction(NamedTuple):
    """One elementary gate.

    Args:
        name: ``"h"``, ``"s"``, ``"sdg"``, ``"ry"``, ``"rz"`` or ``"cx"``.
        angle: Of ``ry`` and ``rz``; else 0.
        wires: The qubits that it acts on.
        position: Where in a text it stands, if it was read from one.
        rounded: Whether Qiskit may have written its angle with fewer digits, as a fraction of pi.
    """

    name: str
    angle: float
    wires: tuple[int, ...]
    position: int = 0
    rounded: bool = False

    def __str__(self) -> str:
        return f"{self.name} {','.join(f'q[{wire}]' for wire in self.wires)}"


ROTATIONS = ("ry", "rz")
_FIXED: dict[str, Matrix] = {
    "h": np.array([[1, 1], [1, -1]], dtype=np.complex128) / math.sqrt(2),
    "s": np.array([[1, 0], [0, 1j]], dtype=np.complex128),
    "sdg": np.array([[1, 0], [0, -1j]], dtype=np.complex128),
    "cx": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128),
}
_SWAP = [0, 2, 1, 3]


def matrix(name: str, angle: float = 0.0) -> Matrix:
    """The gate's matrix, (2, 2) or (4, 4), ``matrix[out, in]``."""
    if name == "ry":
        cos, sin = math.cos(angle / 2), math.sin(angle / 2)
        return np.array([[cos, -sin], [sin, cos]], dtype=np.complex128)
    if name == "rz":
        return np.array([[cmath.exp(-0.5j * angle), 0], [0, cmath.exp(0.5j * angle)]], dtype=np.complex128)
    return _FIXED[name]


def product(instructions: Iterable[Instruction], sites: Sequence[int]) -> Matrix:
    """The (2^k, 2^k) matrix of instructions on k >= 2 sites, the first one most significant."""
    result: Matrix = np.eye(2 ** len(sites), dtype=np.complex128)
    for name, angle, wires, *_ in instructions:
        result = _widen(matrix(name, angle), [sites.index(wire) for wire in wires], len(sites)) @ result
    return result


def _widen(gate: Matrix, places: Sequence[int], count: int) -> Matrix:
    """A gate on the places given of ``count`` wires, as a gate on all of them."""
    if count > 2:
        own = len(places)
        unit = np.eye(2**count, dtype=np.complex128).reshape((2,) * count + (-1,))
        turned = np.tensordot(gate.reshape((2,) * (2 * own)), unit, axes=(range(own, 2 * own), places))
        return np.moveaxis(turned, range(own), places).reshape(2**count, -1)
    if len(places) == 2:
        return gate if places[0] == 0 else gate[_SWAP][:, _SWAP]
    wide = np.kron(gate, np.eye(2)) if places[0] == 0 else np.kron(np.eye(2), gate)
    return wide.astype(np.complex128, copy=False)


def run(qubits: int, instructions: Iterable[Instruction]) -> Matrix:
    """The amplitudes that a circuit prepares from |0…0>, (2^Q,), qubit 0 most significant; for small circuits."""
    state: Matrix = np.zeros((2,) * qubits, dtype=np.complex128)
    state[(0,) * qubits] = 1
    for name, angle, wires, *_ in instructions:
        count = len(wires)
        gate = matrix(name, angle).reshape((2,) * (2 * count))
        moved = np.tensordot(gate, state, axes=(list(range(count, 2 * count)), list(wires)))
        state = np.moveaxis(moved, list(range(count)), list(wires))
    return state.reshape(-1)


def one_qubit(gate: Matrix, wire: int) -> tuple[list[Instruction], float]:
    """A unitary one-qubit gate as ``ry``, ``ry h`` or ``rz ry rz``, fewer where they suffice, and the phase left."""
    if not gate.imag.any():
        reflects = (gate[0, 0] * gate[1, 1] - gate[0, 1] * gate[1, 0]).real < 0
        low, side = ((_FIXED["h"] @ gate if reflects else gate)[:, 0]).real
        listed = _rotations([("ry", 2 * math.atan2(side, low))], wire)
        return ([*listed, Instruction("h", 0.0, (wire,))] if reflects else listed), 0.0
    phase = cmath.phase(gate[0, 0] * gate[1, 1] - gate[0, 1] * gate[1, 0]) / 2
    side, high = gate[1] * cmath.exp(-1j * phase)
    if abs(side) < 1e-16:
        return _rotations([("rz", 2 * cmath.phase(high))], wire), phase
    if abs(high) < 1e-16:
        return _rotations([("ry", math.pi), ("rz", 2 * cmath.phase(side))], wire), phase
    total, difference = cmath.phase(high), cmath.phase(side)
    turns = [("rz", total - difference), ("ry", 2 * math.atan2(abs(side), abs(high))), ("rz", total + difference)]
    return _rotations(turns, wire), phase


def add_phases(phases: Iterable[float]) -> float:
    """Their sum, within half a turn of zero; a sum of many as numbers would lose digits to its whole turns."""
    whole = 1 + 0j
    for phase in phases:
        whole *= cmath.exp(1j * phase)
    return cmath.phase(whole)


def _rotations(turns: list[tuple[str, float]], wire: int) -> list[Instruction]:
    # What is below is rounding of gates that undo each other.
    return [Instruction(name, angle, (wire,)) for name, angle in turns if abs(angle) > 5e-16]


# --- onto a wiring ----------------------------------------------------------------------------------------------

Step = tuple[Matrix, tuple[int, ...], int]


def regroup(steps: Iterable[Step], wiring: Wiring, refuse: Callable[[int, str], NoReturn]) -> Matrix:
    """The gates of a wiring that do what a circuit on |0…0> does.

    Each gate on two qubits or more goes to the earliest gate of the wiring that can take it; one-qubit gates go to the
    gate before them on their wire, or else to the first one. Gates of the wiring that nothing goes to are identities.

    Args:
        steps: Matrix (2^n, 2^n), its n wires, and a position for ``refuse``.
        wiring: Where the gates act.
        refuse: Called with a position and a message where a gate does not fit; raises.

    Returns:
        (G, 2^k, 2^k), complex, for gates on k sites.
    """
    width = len(wiring.gates[0]) if wiring.gates else 2
    found = np.tile(np.eye(2**width, dtype=np.complex128), (len(wiring.gates), 1, 1))
    at = [-1] * wiring.sites
    before: dict[int, tuple[Matrix, int]] = {}
    # The gates that hold both sites of a pair.
    places: dict[tuple[int, int], list[int]] = {}
    for number, sites in enumerate(wiring.gates):
        for low, high in combinations(sites, 2):
            places.setdefault((low, high), []).append(number)

    def enter(wire: int, number: int) -> None:
        if at[wire] < 0 and wire in before:
            place = wiring.gates[number].index(wire)
            found[number] = found[number] @ _widen(before.pop(wire)[0], [place], width)
        at[wire] = number

    for gate, wires, position in steps:
        if len(wires) == 1:
            wire = wires[0]
            if at[wire] >= 0:
                number = at[wire]
                found[number] = _widen(gate, [wiring.gates[number].index(wire)], width) @ found[number]
            else:
                before[wire] = (gate @ before[wire][0] if wire in before else gate, position)
            continue
        low, high = min(wires), max(wires)
        if high - low >= width:
            apart = "not neighbours" if width == 2 else f"too far apart for gates on {width} qubits"
            refuse(position, f"a gate on qubits {low} and {high}, which are {apart}")
        latest = max(at[wire] for wire in wires)
        if latest < 0 or not {low, high} <= set(wiring.gates[latest]):
            # Those before the latest are passed for good, so each is looked at once.
            queue = places.get((low, high), [])
            while queue and queue[0] <= latest:
                queue.pop(0)
            if not queue:
                refuse(position, f"the wiring has no gate left on qubits {low} and {high} here")
            latest = queue[0]
        for wire in wires:
            if at[wire] != latest:
                enter(wire, latest)
        found[latest] = _widen(gate, [wiring.gates[latest].index(wire) for wire in wires], width) @ found[latest]
    for wire, (gate, position) in list(before.items()):
        if wiring.wires[wire]:
            enter(wire, wiring.wires[wire][0])
        elif abs(gate[1, 0]) > 1e-12 or (abs(gate[0, 0] - 1) > 1e-12 and not len(found)):
            refuse(position, f"the wiring has no gate on qubit {wire}")
        elif len(found):
            found[0] = found[0] * gate[0, 0]
    return found


def make_real(gates: Matrix) -> npt.NDArray[np.float64] | None:
    """The gates with their phases taken out, where that makes all of them real and leaves no phase but a sign."""
    if not len(gates):
        return gates.real
    flat = gates.reshape(len(gates), -1)
    largest = np.take_along_axis(flat, np.abs(flat).argmax(axis=1)[:, None], axis=1)[:, 0]
    phases = largest / np.abs(largest)
    turned = gates / phases[:, None, None]
    whole = np.prod(phases)
    if np.abs(turned.imag).max() > 1e-11 or abs(whole.imag) > 1e-11:
        return None
    real = turned.real.copy()
    real[0] *= round(whole.real)
    return real


def count(instructions: Iterable[Instruction]) -> dict[str, Any]:
    """Numbers of ``cx``, ``rotations`` and ``fixed`` one-qubit gates, and the depth in ``cx_layers``."""
    level: dict[int, int] = {}
    numbers = {"cx": 0, "rotations": 0, "fixed": 0}
    for name, _, wires, *_ in instructions:
        numbers["cx" if name == "cx" else "rotations" if name in ROTATIONS else "fixed"] += 1
        if name == "cx":
            level.update(dict.fromkeys(wires, 1 + max(level.get(wire, 0) for wire in wires)))
    return {**numbers, "cx_layers": max(level.values(), default=0)}
