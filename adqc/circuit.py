"""The circuit outside torch: PennyLane's quantum function and QNode, quimb's network, drawings, resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from adqc.bricks import KINDS, patterns
from adqc.brickwall import BrickWall
from adqc.elementary import Instruction, count
from adqc.engine.arrange import to_tensor
from adqc.engine.network import build_network, gate_arrays, network_indices
from adqc.engine.statevector import product_state
from adqc.translate import elementary, exact_copy

# Beyond this many elementary operations a drawing shows each gate as one box.
DRAWN_OPERATIONS = 60


def find_wall(layer: nn.Module) -> BrickWall:
    """The circuit of a compressed layer, or the circuit itself.

    Raises:
        TypeError: If the module is neither.
    """
    wall = layer if isinstance(layer, BrickWall) else getattr(layer, "circuit", None)
    if not isinstance(wall, BrickWall):
        raise TypeError(
            f"expected a compressed layer of adqc.nn or a BrickWall, got {type(layer).__name__}: compress it first, or "
            f"pass the circuit itself"
        )
    return wall


def to_pennylane(layer: nn.Module) -> Callable[..., None]:
    """The circuit as a PennyLane quantum function, for use inside any QNode on any device.

    Unitary families are differentiable there in every way that the device has; ``free`` gates are not unitary and need
    backprop on a simulator.

    Args:
        layer: A compressed layer, or a BrickWall.

    Returns:
        A function ``(params=None, state=None, *, wires=None)`` that queues the circuit's operations: ``params`` (G, p)
        as :meth:`BrickWall.gate_parameters` gives them and ``state`` (Q, 2) take the place of the circuit's own, which
        are read at each call; ``wires`` defaults to 0…Q-1, site by site.

    Raises:
        TypeError: If the module has no circuit.

    Example:
        >>> import adqc, pennylane as qml
        >>> prepare = to_pennylane(adqc.BrickWall((2, 2), adqc.Circuit(depth=2)))
        >>> @qml.qnode(qml.device("default.qubit"))
        ... def energy():
        ...     prepare()
        ...     return qml.expval(qml.Z(0) @ qml.Z(1))
        >>> energy().shape
        torch.Size([])
    """
    wall = find_wall(layer)

    def circuit(
        params: Tensor | None = None, state: Tensor | None = None, *, wires: Sequence[Any] | None = None
    ) -> None:
        import pennylane as qml

        names = list(range(wall.sites)) if wires is None else list(wires)
        rows = wall.gate_parameters() if params is None else params
        vectors = wall.state if state is None else state
        # PennyLane's interfaces know no 16-bit floats.
        rows = rows.float() if rows.dtype.itemsize < 4 else rows
        if vectors is not None and vectors.dtype.itemsize < 4:
            vectors = vectors.float()
        if vectors is not None:
            qml.StatePrep(product_state(vectors), wires=names, normalize=False, validate_norm=False)
        for row, sites in zip(rows, wall.wiring.gates, strict=True):
            gates = qml.tape.make_qscript(wall.family.operations)(row, [names[site] for site in sites])
            for operation in gates.operations:
                _apply(operation)

    return circuit


def _apply(operation: Any) -> None:
    """Queue the operation, ``SpecialUnitary`` with a matrix in full precision."""
    import pennylane as qml

    if isinstance(operation, qml.SpecialUnitary):
        _exact_special_unitary()(operation.data[0], operation.wires)
    else:
        qml.apply(operation)


@cache
def _exact_special_unitary() -> Any:
    import pennylane as qml

    class SpecialUnitary(qml.SpecialUnitary):  # type: ignore[misc]
        """PennyLane's, with all its ways to a gradient, but for the digits that torch loses."""

        @staticmethod
        def compute_matrix(theta: Any, num_wires: int) -> Any:
            """The matrix of one set of parameters, or of a batch."""
            if qml.math.ndim(theta) > 1:
                return qml.SpecialUnitary.compute_matrix(theta, num_wires)
            # torch's exponential of a lone matrix is off by up to 2e-10 (pytorch/pytorch#196592), that of two is not.
            return qml.SpecialUnitary.compute_matrix(qml.math.stack([theta, theta]), num_wires)[0]

    return SpecialUnitary


def qnode(wall: BrickWall, *, device: Any = "default.qubit", diff_method: str = "backprop") -> Any:
    """The circuit as a PennyLane QNode with torch interface that returns the state.

    Args:
        wall: The circuit.
        device: Name of a PennyLane device, or a device with wires 0…Q-1.
        diff_method: PennyLane's way to the gradients; only backprop differentiates a state.

    Returns:
        A QNode of ``(params=None, state=None)``: gate parameters (G, p) and, for ``free``, product state (Q, 2); what
        is not given is the circuit's own at the time of the call, and gradients reach it. It returns (2^Q,) complex
        amplitudes, site 0 most significant; without the scale.

    Example:
        >>> import adqc
        >>> adqc.BrickWall((4, 4)).qnode()().shape
        torch.Size([16])
    """
    import pennylane as qml

    prepare = to_pennylane(wall)
    if isinstance(device, str):
        device = qml.device(device, wires=wall.sites)

    def circuit(params: Tensor | None = None, state: Tensor | None = None) -> Any:
        prepare(params, state)
        return qml.state()

    return qml.QNode(circuit, device, interface="torch", diff_method=diff_method)


def tensor_from_pennylane(wall: BrickWall, **options: Any) -> Tensor:
    """The tensor that the circuit stands for, its state computed by PennyLane: ``scale · Re(state)``, laid out.

    Args:
        wall: The circuit.
        **options: As for :func:`qnode`.

    Returns:
        A tensor of ``wall.shape`` in the circuit's dtype, differentiable with respect to its parameters.
    """
    state = qnode(wall, **options)()
    # Where no operation carries a parameter, PennyLane's result need not lie on the circuit's device.
    state = torch.as_tensor(state, device=wall.scale.device)
    return (wall.to_weight(to_tensor(state.real, wall.layout)) * wall.scale).to(wall.scale.dtype)


def to_quimb(layer: nn.Module) -> Any:
    """The state that the circuit prepares, as a quimb tensor network of torch tensors.

    Args:
        layer: A compressed layer, or a BrickWall.

    Returns:
        A ``quimb.tensor.TensorNetwork`` with open indices ``k0``, ``k1``, … for the sites and tags ``GATE{k}``,
        ``LAYER{l}``, ``SITE{q}``; inputs in |0> are sliced away; ``free`` has tensors ``START`` for its product state.
        The scale is not part of it. Gradients flow through it.

    Raises:
        TypeError: If the module has no circuit.

    Example:
        >>> import adqc
        >>> network = to_quimb(adqc.BrickWall((4, 4), adqc.Circuit(depth=2)))
        >>> network.to_dense(["k0", "k1", "k2", "k3"]).shape
        torch.Size([16])
    """
    wall = find_wall(layer)
    arrays = gate_arrays(wall.matrices(), wall.wiring, wall.state)
    fixed = wall.state is None
    network = build_network(wall.wiring, arrays, fixed_start=fixed)
    _, outputs = network_indices(wall.wiring, fixed_start=fixed)
    return network.reindex({index: f"k{site}" for site, index in enumerate(outputs)})


def tensor_from_quimb(wall: BrickWall) -> Tensor:
    """The tensor that the circuit stands for, its network contracted by quimb: ``scale · Re(state)``, laid out.

    Args:
        wall: The circuit.

    Returns:
        A tensor of ``wall.shape`` in the circuit's dtype, differentiable with respect to its parameters.
    """
    outputs = [f"k{site}" for site in range(wall.sites)]
    # quimb's own default searches for seconds; these networks are regular, greedy orders are good.
    state = to_quimb(wall).contract(output_inds=outputs, optimize="greedy", preserve_tensor=True).data.reshape(-1)
    return wall.to_weight(to_tensor(state.real if state.is_complex() else state, wall.layout)) * wall.scale


def draw(wall: BrickWall, kind: str = "text", *, bricks: bool | None = None) -> Any:
    """A drawing of the circuit by PennyLane's drawers.

    Args:
        wall: The circuit.
        kind: ``"text"`` or ``"mpl"``.
        bricks: Whether each gate is one box ``G{k}`` rather than its elementary operations; None draws boxes where
            there would be more than 60 operations.

    Returns:
        A string, or a ``matplotlib.figure.Figure``.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in ("text", "mpl"):
        raise ValueError(f"unknown kind of drawing {kind!r}: use 'text' or 'mpl'")
    import pennylane as qml

    params = wall.gate_parameters().detach().cpu()
    if bricks is None:
        one = (
            qml.tape.make_qscript(wall.family.operations)(params[0], list(range(wall.family.sites)))
            if len(params)
            else ()
        )
        bricks = len(params) * len(one) > DRAWN_OPERATIONS

    class Box(qml.operation.Operation):  # type: ignore[misc]
        """A box with a text in it."""

        def __init__(self, text: str, wires: Any) -> None:
            self.text = text
            super().__init__(wires=wires)

        def label(self, decimals: Any = None, base_label: Any = None, cache: Any = None) -> str:
            """The text."""
            return self.text

    def function() -> None:
        for site in range(wall.sites if wall.state is not None else 0):
            Box(f"ψ{site}", wires=site)
        for number, (row, sites) in enumerate(zip(params, wall.wiring.gates, strict=True)):
            if bricks:
                Box(f"G{number}", wires=sites)
            else:
                wall.family.operations(row, sites)

    order = list(range(wall.sites))
    if kind == "text":
        text: str = qml.draw(function, wire_order=order, show_all_wires=True, decimals=2, show_matrices=False)()
        return text
    from matplotlib import pyplot

    figure, _ = qml.draw_mpl(function, wire_order=order, show_all_wires=True, decimals=2)()
    # The figure is the caller's: pyplot shall neither keep nor show it by itself.
    pyplot.close(figure)
    return figure


@dataclass(frozen=True)
class Resources:
    """What a circuit costs.

    Args:
        qubits: Number of qubits.
        gates: Number of gates (bricks).
        cx: Number of CX gates that they take; None where the gates are not unitary, or cannot be decomposed.
        depth: Number of layers of gates that act at the same time.
        parameters: Number of real numbers stored.
        rotations: Number of ``ry`` and ``rz``; None as for ``cx``.
        fixed: Number of one-qubit gates without an angle (``h``, ``s``, ``sdg``); None as for ``cx``.
        cx_layers: Number of layers of CX that act at the same time; None as for ``cx``.
        width: Number of qubits that a gate acts on.
    """

    qubits: int
    gates: int
    cx: int | None
    depth: int
    parameters: int
    rotations: int | None = None
    fixed: int | None = None
    cx_layers: int | None = None
    width: int = 2

    def __str__(self) -> str:
        cx = "no CX count (gates are not unitary)" if self.cx is None else f"{self.cx} CX"
        kind = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(self.width, str(self.width))
        return (
            f"{self.qubits} qubits, {self.gates} {kind}-qubit gates, {cx}, depth {self.depth} in {kind}-qubit layers, "
            f"{self.parameters} parameters"
        )


def resources(wall: BrickWall) -> Resources:
    """Gates, their elementary gates as QASM writes them, depth and parameters of a circuit.

    A real gate takes 2 CX, a complex one 3 (2 where a wire still holds |0>), and any gate on |00> takes 1
    (quant-ph/0308006, Theorems 3 and 4); a gate on three qubits and more what :func:`adqc.wide.decompose_wide` says,
    one made by a user what PennyLane's decomposition of its operations takes.

    Args:
        wall: The circuit.

    Returns:
        The counts.
    """
    width = wall.family.sites
    found = Resources(
        wall.sites, len(wall.wiring.gates), None, len(wall.wiring.moments), wall.parameter_count, width=width
    )
    if not wall.family.unitary:
        return found
    if wall.family.name in KINDS:
        listed = [Instruction(name, 0.0, wires) for brick in patterns(wall) for name, wires in brick]
    else:
        try:
            bricks, _ = elementary(exact_copy(wall))
        except ValueError:
            return found
        listed = [one for brick in bricks for one in brick]
    return replace(found, **count(listed))
