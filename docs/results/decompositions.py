"""Two-qubit gates as CX and rotations by adqc, PennyLane and Qiskit side by side, and who reads adqc's files.

Run it again with ``python docs/results/decompositions.py``; it writes ``decompositions.json`` and ``decompositions.md``
beside itself. It needs the extra ``interop``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
import torch
from qiskit import qasm2, qasm3
from qiskit.circuit.library import CXGate
from qiskit.quantum_info import Operator, Statevector
from qiskit.synthesis import TwoQubitBasisDecomposer

import adqc
from adqc.elementary import count, product
from adqc.engine.statevector import run_gates
from adqc.gates import SO4, SU4
from adqc.kak import decompose

HERE = Path(__file__).parent
Outcome = tuple[np.ndarray, int, int]


def by_adqc(gate: np.ndarray) -> Outcome:
    """The gate's matrix rebuilt, phase included; number of CX; number of one-qubit gates."""
    instructions, phase = decompose(torch.from_numpy(gate))
    numbers = count(instructions)
    return np.exp(1j * phase) * product(instructions, (0, 1)), numbers["cx"], len(instructions) - numbers["cx"]


def by_pennylane(gate: np.ndarray) -> Outcome:
    """The same by ``qml.ops.two_qubit_decomposition``."""
    operations = qml.ops.two_qubit_decomposition(gate, [0, 1])
    found = np.eye(4)
    for operation in operations:
        found = qml.matrix(operation, wire_order=[0, 1]) @ found
    cx = sum(operation.name == "CNOT" for operation in operations)
    others = sum(operation.name != "GlobalPhase" for operation in operations) - cx
    return found, cx, others


def by_qiskit(gate: np.ndarray) -> Outcome:
    """The same by ``TwoQubitBasisDecomposer``, told not to approximate."""
    # Qiskit's first qubit is the least significant.
    swapped = gate[[0, 2, 1, 3]][:, [0, 2, 1, 3]]
    circuit = TwoQubitBasisDecomposer(CXGate(), euler_basis="ZYZ")(swapped, approximate=False)
    found = Operator(circuit).data[[0, 2, 1, 3]][:, [0, 2, 1, 3]]
    cx = circuit.count_ops().get("cx", 0)
    return found, cx, circuit.size() - cx


LIBRARIES: dict[str, Callable[[np.ndarray], Outcome]] = {
    "adqc": by_adqc,
    "PennyLane": by_pennylane,
    "Qiskit": by_qiskit,
}


def gate_sets(number: int) -> dict[str, np.ndarray]:
    """The gates, (number, 4, 4) complex for each kind."""
    generator = torch.Generator().manual_seed(0)
    fresh = torch.zeros(number, 2, dtype=torch.bool)
    small = 10 ** (-12 + 11 * torch.rand(number, 1, generator=generator, dtype=torch.float64))
    normal = torch.randn(number, 15, generator=generator, dtype=torch.float64)
    swap, cx = torch.eye(4, dtype=torch.complex128)[[0, 2, 1, 3]], torch.eye(4, dtype=torch.complex128)[[0, 1, 3, 2]]
    near = SU4.matrices(small * normal)
    kinds = {
        "random, SU(4)": SU4.matrices(SU4.random(fresh, generator)),
        "near the identity, SU(4)": near,
        "near CX": cx @ near,
        "near SWAP": swap @ near,
        "random, SO(4)": SO4.matrices(SO4.random(fresh, generator)),
        "near the identity, SO(4)": SO4.matrices(small * normal[:, :6]),
    }
    return {kind: gates.to(torch.complex128).numpy() for kind, gates in kinds.items()}


def compare(number: int) -> list[dict[str, Any]]:
    """Counts and errors of every library on every kind of gate."""
    rows = []
    for kind, gates in gate_sets(number).items():
        for library, way in LIBRARIES.items():
            errors, cx, others, failures = [], [], [], 0
            for gate in gates:
                try:
                    found, one, other = way(gate)
                except Exception:
                    # Some refuse gates in ways of their own; whatever the way, it is no decomposition.
                    failures += 1
                    continue
                overlap = np.vdot(found, gate)
                # Up to a phase, which not all of them keep.
                errors.append(np.abs(found * overlap / abs(overlap) - gate).max())
                cx.append(one)
                others.append(other)
            rows.append({
                "gates": kind, "number": number, "library": library, "failed": failures,
                "cx_mean": float(np.mean(cx)), "cx_max": max(cx),
                "one_qubit_mean": float(np.mean(others)), "one_qubit_max": max(others),
                "error_median": float(np.median(errors)), "error_max": float(max(errors)),
                "above_1e-12": int(np.sum(np.array(errors) > 1e-12)),
            })  # fmt: skip
    return rows


def state_by_qiskit(text: str, number: int) -> np.ndarray:
    """Amplitudes as Qiskit reads the text, its qubit 0 made the most significant."""
    return Statevector((qasm2 if number == 2 else qasm3).loads(text).reverse_bits()).data


def state_by_quimb(text: str, number: int) -> np.ndarray:
    """Amplitudes as quimb reads the text."""
    import quimb.tensor as qtn

    circuit = (qtn.Circuit.from_openqasm2_str if number == 2 else qtn.Circuit.from_openqasm3_str)(text)
    return circuit.to_dense(optimize="greedy").ravel()


def state_by_pennylane(text: str, number: int) -> np.ndarray:
    """Amplitudes as PennyLane reads the text, without the include that its grammar lacks."""
    prepare = qml.from_qasm3(text.replace('include "stdgates.inc";\n', ""), {})
    qubits = int(text.split("qubit[")[1].split("]")[0])

    @qml.qnode(qml.device("default.qubit", wires=[f"q[{k}]" for k in range(qubits)]))
    def state() -> Any:
        prepare()
        return qml.state()

    return np.asarray(state())


READERS = [
    ("Qiskit, qasm2.loads", 2, state_by_qiskit),
    ("Qiskit, qasm3.loads", 3, state_by_qiskit),
    ("quimb, from_openqasm2_str", 2, state_by_quimb),
    ("quimb, from_openqasm3_str", 3, state_by_quimb),
    ("PennyLane, from_qasm3", 3, state_by_pennylane),
]


def read() -> list[dict[str, Any]]:
    """The largest difference of the amplitudes that each reader finds, phase included, for each family."""
    own = adqc.gate_family(
        "own", 2, lambda p, wires: [qml.PhaseShift(p[0], wires[0]), qml.RX(p[1], wires[1]), qml.CZ(wires)]
    )
    rows = []
    for gate in ("cartan", "so4", "cartan-su4", "su4", own):
        torch.manual_seed(0)
        wall = adqc.BrickWall((16, 16), adqc.Circuit(depth=6, gate=gate), dtype=torch.float64)
        due = run_gates(wall.matrices(), wall.wiring).detach().numpy()
        for reader, number, way in READERS:
            errors = [
                np.abs(way(adqc.to_qasm(wall, version=number, simplify=simplify), number) - due).max()
                for simplify in (False, True)
            ]
            rows.append({"family": wall.family.name, "reader": reader, "error": float(max(errors))})
    return rows


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(found: dict[str, Any]) -> str:
    """The page."""
    gates = [
        [r["gates"], r["library"], f"{r['cx_mean']:.2f}", str(r["cx_max"]), f"{r['one_qubit_mean']:.1f}",
         f"{r['error_median']:.0e}", f"{r['error_max']:.0e}", str(r["above_1e-12"] + r["failed"])]
        for r in found["gates"]
    ]  # fmt: skip
    readers = sorted({r["reader"] for r in found["readers"]})
    families = list(dict.fromkeys(r["family"] for r in found["readers"]))
    error = {(r["family"], r["reader"]): f"{r['error']:.0e}" for r in found["readers"]}
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    number = found["gates"][0]["number"]
    headings = ["gates", "library", "CX, mean", "CX, max", "one-qubit gates, mean", "error, median", "error, max"]
    return f"""# Two-qubit gates as CX and rotations

`python docs/results/decompositions.py` writes this page and `decompositions.json`. It ran on {found["machine"]},
with {versions}.

{number:,} gates of each kind; near means a distance of 1e-12 to 1e-1, evenly by order of magnitude. The error is the
largest entry of the difference between the gate and what was made of it, up to a global phase. One-qubit gates are
counted as each library hands them out: rotations for adqc and Qiskit (`euler_basis="ZYZ"`, `approximate=False`),
rotations and whole one-qubit gates for PennyLane.

{table([*headings, "above 1e-12 or failed"], gates)}

## Who reads the files

The largest difference of the amplitudes, sign and global phase included, for circuits of 8 qubits and depth 6, as
written and simplified. PennyLane's grammar has no `include`, so that line is taken out for it.

{table(["reader", *families], [[reader, *(error[family, reader] for family in families)] for reader in readers])}
"""


def main() -> None:
    """Compare, and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="gates of each kind")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    packages = ("torch", "pennylane", "qiskit", "quimb")
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}",
        "versions": {"adqc": adqc.__version__, **{name: version(name) for name in packages}},
        "gates": compare(options.number),
        "readers": read(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "decompositions.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.out / "decompositions.md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
