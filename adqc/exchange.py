"""Circuits built in PennyLane or quimb become BrickWalls, where their gates fit a wiring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.elementary import Matrix, Step, make_real, regroup
from adqc.gauge import coordinates
from adqc.geometry import WIRINGS, axis_bits, wire
from adqc.translate import matrix_of, number_of

# Deeper than any circuit that someone builds by hand; a wall of it is still made in a second.
MOST_DEPTH = 10_000


def from_pennylane(
    circuit: Any,
    shape: Sequence[int],
    config: Circuit | None = None,
    *,
    wires: Sequence[Any] | None = None,
    scale: float = 1.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> BrickWall:
    """A wall that prepares the state of a circuit built in PennyLane.

    Args:
        circuit: A quantum function or QNode without arguments, or a tape, of one-qubit gates and two-qubit gates on
            neighbouring wires, or of gates that fit those of ``config``; its measurements at the end count for nothing.
        shape: The weight's shape, which has as many bits as the circuit has wires.
        config: The circuit's form; None takes the shallowest wall that holds the gates, of ``cartan`` gates where they
            are real and of ``cartan-su4`` gates where not.
        wires: The wires in the order of the sites; None takes 0…Q-1.
        scale: The wall's scale.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Returns:
        The wall; its weight is ``scale · Re(state)``, laid out.

    Raises:
        ValueError: If a gate is not unitary, acts on more wires than a gate of the configuration (two without one) or
            on wires that are not neighbours, or the gates do not fit the configuration.
        TypeError: If the circuit is neither a function nor a tape.

    Example:
        >>> import adqc, pennylane as qml
        >>> def bell():
        ...     qml.Hadamard(0)
        ...     qml.CNOT([0, 1])
        >>> from_pennylane(bell, (2, 2)).config.depth
        1
    """
    import pennylane as qml

    if isinstance(circuit, qml.QNode):
        tape = qml.workflow.construct_tape(circuit)()
    elif isinstance(circuit, qml.tape.QuantumScript):
        tape = circuit
    elif callable(circuit):
        tape = qml.tape.make_qscript(circuit)()
    else:
        raise TypeError(f"expected a quantum function, a QNode or a tape of PennyLane, got {type(circuit).__name__}")
    count = _sites(shape, config)
    names = list(range(count)) if wires is None else list(wires)
    unknown = [wire for wire in tape.wires if wire not in names]
    if len(names) != count or unknown:
        reason = f"the circuit also acts on wire {unknown[0]!r}" if unknown else f"wires names {len(names)}"
        raise ValueError(f"a weight of shape {tuple(shape)} takes {count} wires, but {reason}")
    site = {wire: number for number, wire in enumerate(names)}
    steps = list(_steps_of(tape.operations, site, _widest(config)))
    return _build(steps, shape, config, scale, device, dtype)


def _steps_of(operations: Iterable[Any], site: dict[Any, int], widest: int) -> Iterator[Step]:
    for number, operation in enumerate(operations):
        if operation.name in ("Barrier", "Snapshot"):
            continue
        if operation.name == "GlobalPhase":
            yield np.exp(-1j * number_of(operation)) * np.eye(2), (0,), number
            continue
        gate = matrix_of(operation, widest) if hasattr(operation, "has_matrix") else None
        if gate is not None:
            yield gate, tuple(site[wire] for wire in operation.wires), number
        elif len(operation.wires) > widest and operation.has_decomposition:
            # A template or a gate on more wires may still be made of neighbours' gates.
            inner = _steps_of(operation.decomposition(), site, widest)
            yield from ((gate, sites, number) for gate, sites, _ in inner)
        else:
            most = "one or two wires" if widest == 2 else f"at most {widest} wires"
            raise ValueError(
                f"operation {number}, {operation.name} on wires {operation.wires.tolist()}, is not a unitary gate on "
                f"{most}"
            )


def from_quimb(
    circuit: Any,
    shape: Sequence[int],
    config: Circuit | None = None,
    *,
    scale: float = 1.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> BrickWall:
    """A wall that prepares the state of a circuit built in quimb.

    Args:
        circuit: A ``quimb.tensor.Circuit`` on |0…0> of one-qubit gates and two-qubit gates on neighbouring sites.
        shape: The weight's shape, which has as many bits as the circuit has sites; site 0 is the most significant.
        config: As for :func:`from_pennylane`.
        scale: The wall's scale.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Returns:
        The wall; its weight is ``scale · Re(state)``, laid out.

    Raises:
        ValueError: As :func:`from_pennylane`.
        TypeError: If it is not a circuit of quimb's.

    Example:
        >>> import adqc, quimb.tensor as qtn
        >>> bell = qtn.Circuit(2)
        >>> bell.h(0)
        >>> bell.cx(0, 1)
        >>> from_quimb(bell, (2, 2)).config.gate
        'cartan'
    """
    from quimb.tensor import Circuit as QuimbCircuit

    if not isinstance(circuit, QuimbCircuit):
        raise TypeError(f"expected a quimb.tensor.Circuit, got {type(circuit).__name__}")
    count = _sites(shape, config)
    if count != circuit.N:
        raise ValueError(f"a weight of shape {tuple(shape)} takes {count} sites, but the circuit has {circuit.N}")
    steps, widest = [], _widest(config)
    for number, gate in enumerate(circuit.gates):
        sites = (*(gate.controls or ()), *gate.qubits)
        if len(sites) > widest:
            most = "one or two sites" if widest == 2 else f"at most {widest} sites"
            raise ValueError(f"gate {number}, {gate.label} on sites {sites}, is not a gate on {most}")
        array = np.asarray(gate.array, dtype=np.complex128).reshape(2 ** len(gate.qubits), -1)
        if gate.controls:
            whole = np.eye(2 ** len(sites), dtype=np.complex128)
            whole[-len(array) :, -len(array) :] = array
            array = whole
        steps.append((array, tuple(int(site) for site in sites), number))
    return _build(steps, shape, config, scale, device, dtype)


def _sites(shape: Sequence[int], config: Circuit | None) -> int:
    if config is not None and (config.axes is not None or config.frequencies is not None):
        return config.arrange(shape).sites
    return max(1, sum(axis_bits(tuple(int(n) for n in shape))))


def _widest(config: Circuit | None) -> int:
    """The number of sites that one gate may act on."""
    return 2 if config is None else config.family.sites


def _refuse(number: int, message: str) -> NoReturn:
    raise ValueError(f"operation {number} does not fit: {message}")


def _build(
    steps: list[Step],
    shape: Sequence[int],
    config: Circuit | None,
    scale: float,
    device: torch.device | str | None,
    dtype: torch.dtype,
) -> BrickWall:
    for gate, sites, number in steps:
        if gate.shape != (2 ** len(sites),) * 2:
            _refuse(number, f"a gate on {len(sites)} sites has one matrix of {2 ** len(sites)} rows, got {gate.shape}")
        if not np.abs(gate @ gate.conj().T - np.eye(len(gate))).max() < 1e-9:
            raise ValueError(f"operation {number} on sites {sites} is not unitary, or not finite")
        if len(sites) == 2 == _widest(config) and abs(sites[0] - sites[1]) != 1:
            _refuse(number, f"sites {sites[0]} and {sites[1]} are not neighbours")
    count = _sites(shape, config)
    if config is None:
        kind, depth = _shallowest(steps, count)
        wiring = wire(kind, count, depth)
    else:
        wiring = config.wire(count)
    gates = regroup(steps, wiring, _refuse)
    real = make_real(gates)
    if config is None:
        proper = real is not None and _is_proper(real, wiring.fresh)
        config = Circuit(depth=depth, gate="cartan" if proper else "cartan-su4", wiring=kind)
    family = config.family
    if family.real and real is None:
        raise ValueError(f"the circuit's gates are complex, but gate family {family.name!r} is real")
    generator = torch.Generator().manual_seed(0)
    wall = BrickWall(shape, config, generator=generator, device="cpu", dtype=torch.float64)
    wall.set_gate_parameters_(coordinates(family, wiring, torch.from_numpy(real if family.real else gates)))
    with torch.no_grad():
        wall.scale.fill_(scale)
    return wall.to(torch.get_default_device() if device is None else device, dtype)


def _is_proper(gates: np.ndarray[Any, Any], fresh: Sequence[Sequence[bool]]) -> bool:
    return all(any(f) or np.linalg.det(gate) > 0 for gate, f in zip(gates, fresh, strict=True))


def _shallowest(steps: list[Step], sites: int) -> tuple[str, int]:
    """The wiring and depth with the fewest gates that hold these steps."""
    found = []
    for kind in WIRINGS:
        depth = _depth(steps, sites, kind)
        # A one-qubit gate needs a gate of the wiring on its wire.
        lonely = {wires[0] for gate, wires, _ in steps if len(wires) == 1 and not _is_scalar(gate)}
        while depth < 2 and not lonely <= {site for gate in wire(kind, sites, depth).gates for site in gate}:
            depth += 1
        found.append((len(wire(kind, sites, depth).gates), kind, depth))
    _, kind, depth = min(found, key=lambda entry: entry[0])
    return kind, depth


def _is_scalar(gate: Matrix) -> bool:
    return bool(np.abs(gate - gate[0, 0] * np.eye(2)).max() < 1e-12)


def _depth(steps: list[Step], sites: int, kind: str) -> int:
    """The depth that a wiring needs for these steps, at least 1."""
    # When the last gate on each site acted: (layer, place in the layer).
    last: list[tuple[int, int]] = [(-1, 0)] * sites
    depth = 1
    for _, wires, number in steps:
        if len(wires) == 1:
            continue
        low = min(wires)
        before = max(last[low], last[low + 1])
        if last[low] == last[low + 1] == (before[0], low) and before[0] >= 0:
            continue
        layer = before[0]
        if kind == "brick-wall":
            layer += 1
            layer += (layer - low) % 2
        elif layer < 0 or before[1] >= low:
            layer += 1
        last[low] = last[low + 1] = (layer, low)
        depth = max(depth, layer + 1)
        if depth > MOST_DEPTH:
            _refuse(number, f"the circuit is deeper than {MOST_DEPTH:,} layers")
    return depth
