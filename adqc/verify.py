"""Every way from a circuit to its weight against the gate-by-gate oracle: values and gradients, in float64."""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adqc import engine
from adqc.brickwall import BrickWall, free_memory
from adqc.circuit import tensor_from_pennylane, to_quimb
from adqc.engine.arrange import to_tensor
from adqc.qasm import card, from_qasm, to_qasm

# Beyond this many entries the oracle, and PennyLane with it, would run for minutes.
MOST_ENTRIES = 2**24
# Measured: PennyLane's backprop keeps up to 12 complex states a gate, the other ways up to 2.
KEPT_STATES = {"pennylane": 16, "other": 3}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        name: Where in the model the circuit is.
        qubits: Number of qubits.
        route: The way that was compared with the oracle.
        values: Largest difference of the weight's entries, relative to the largest entry; None where not compared.
        gradients: Largest difference of the gradients with respect to the stored parameters, relative to the largest
            one; None where not compared.
        note: Why something was not compared.
    """

    name: str
    qubits: int
    route: str
    values: float | None
    gradients: float | None
    note: str = ""


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found; printed, it is a table.

    Args:
        rows: The comparisons.
        tolerance: The largest difference that passes.
    """

    rows: tuple[Row, ...]
    tolerance: float

    @property
    def largest(self) -> float:
        """The largest difference of all; NaN where one is NaN."""
        found = [value for row in self.rows for value in (row.values, row.gradients) if value is not None]
        return max(found, key=lambda value: math.inf if math.isnan(value) else value, default=0.0)

    @property
    def passed(self) -> bool:
        """Whether no difference is larger than the tolerance; what was skipped counts for nothing."""
        return self.largest <= self.tolerance

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the circuits that were not compared at all."""
        return tuple(row.name for row in self.rows if row.route == "all")

    def __str__(self) -> str:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        title = f"largest relative difference from the gate-by-gate oracle: {_figure(self.largest)}"
        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
        for heading in ("circuit", "qubits", "route", "values", "gradients", "note"):
            table.add_column(heading, justify="right" if heading in ("qubits", "values", "gradients") else "left")
        for row in self.rows:
            figures = _figure(row.values), _figure(row.gradients)
            table.add_row(row.name, str(row.qubits), row.route, *figures, row.note)
        output = io.StringIO()
        Console(file=output, width=120, highlight=False, markup=False).print(table)
        lines = [line.rstrip() for line in output.getvalue().rstrip().splitlines()]
        skipped = f"; not compared: {', '.join(self.skipped)}" if self.skipped else ""
        lines.append(f"{'passed' if self.passed else 'FAILED'}: tolerance {self.tolerance:g}{skipped}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Verification(passed={self.passed}, largest={self.largest:.3g}, rows={len(self.rows)})"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def verify(model: nn.Module, *, tolerance: float = 1e-9, show: bool = True) -> Verification:
    """Compare every way to the weight of each circuit with the gate-by-gate oracle, in float64.

    The ways: PennyLane's QNode, the quimb network, the layer's own route, and the circuit's QASM read back (values
    only, for real unitary gates). The model is not changed: the work is done on copies.

    Args:
        model: A model, a compressed layer or a BrickWall.
        tolerance: The largest relative difference that passes.
        show: Whether to print the table.

    Returns:
        The comparisons, with ``passed`` and ``largest``.

    Raises:
        ValueError: If the model has no circuit.

    Example:
        >>> import adqc
        >>> verify(adqc.nn.Linear(6, 3), show=False).passed
        True
    """
    walls = [(name, module) for name, module in model.named_modules() if isinstance(module, BrickWall)]
    if not walls:
        raise ValueError(f"{type(model).__name__} has no circuit to verify: compress it first with adqc.compress_")
    rows: list[Row] = []
    # The caller may be in a no_grad block or in inference mode.
    with torch.inference_mode(False), torch.enable_grad():
        for name, wall in walls:
            rows += _compare(_plain_name(name) or type(model).__name__, wall)
    found = Verification(tuple(rows), tolerance)
    if show:
        print(found)
    return found


def _plain_name(name: str) -> str:
    """The layer's or tensor's name as users know it, from that of its circuit."""
    return re.sub(r"parametrizations\.(\w+)\.\d+$", r"\1", re.sub(r"(^|\.)circuit$", "", name))


def _compare(name: str, wall: BrickWall) -> Iterator[Row]:
    entries = 2**wall.sites
    if entries > MOST_ENTRIES:
        note = f"{entries:,} entries are too many for the oracle, which stops at {MOST_ENTRIES:,}"
        yield Row(name, wall.sites, "all", None, None, note)
        return
    wall = copy.deepcopy(wall).double().requires_grad_()
    states = entries * 16 * max(1, len(wall.wiring.gates))
    room = free_memory(wall.scale.device) / 2
    with_gradients = states * KEPT_STATES["other"] < room
    expected, slopes = _evaluate(wall, lambda: wall("gates"), gradients=with_gradients)
    own = wall.config.route
    ways: list[tuple[str, Callable[[], Tensor], bool]] = [
        ("pennylane", lambda: tensor_from_pennylane(wall), states * KEPT_STATES["pennylane"] < room),
        ("quimb", lambda: _tensor_from_quimb(wall), with_gradients),
        (
            f"layer ({engine.describe_route(wall.wiring, wall.layout) if own in ('auto', 'halves') else own})",
            wall,
            with_gradients,
        ),
    ]
    for route, build, fits in ways:
        values, gradients = _evaluate(wall, build, gradients=with_gradients and fits)
        note = "" if gradients else "values only: too little memory for the gradients"
        slope = _difference(gradients, slopes) if gradients else None
        yield Row(name, wall.sites, route, _difference((values,), (expected,)), slope, note)
    if not (wall.family.real and wall.family.unitary):
        yield Row(name, wall.sites, "qasm", None, None, f"QASM needs real unitary gates, not {wall.family.name!r}")
        return
    try:
        read = from_qasm(to_qasm(wall), card(wall), device=wall.scale.device)
    except ValueError as error:
        yield Row(name, wall.sites, "qasm", math.nan, None, str(error))
        return
    values, _ = _evaluate(read, lambda: read("gates"), gradients=False)
    yield Row(name, wall.sites, "qasm", _difference((values,), (expected,)), None)


def _tensor_from_quimb(wall: BrickWall) -> Tensor:
    outputs = [f"k{site}" for site in range(wall.sites)]
    # quimb's own default searches for seconds; these networks are regular, greedy orders are good.
    state = to_quimb(wall).contract(output_inds=outputs, optimize="greedy", preserve_tensor=True).data.reshape(-1)
    return to_tensor(state.real if state.is_complex() else state, wall.layout) * wall.scale


def _evaluate(wall: BrickWall, build: Callable[[], Tensor], *, gradients: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The tensor, and the gradients of its product with a fixed random tensor."""
    with torch.set_grad_enabled(gradients):
        tensor = build()
    if not gradients:
        return tensor, ()
    weights = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0), dtype=tensor.dtype, device="cpu")
    loss = (tensor * weights.to(tensor.device)).sum()
    found = torch.autograd.grad(loss, list(wall.parameters()), allow_unused=True, materialize_grads=True)
    return tensor.detach(), found


def _difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest difference, relative to the largest entry expected."""
    flat, due = (torch.cat([t.flatten() for t in tensors]) for tensors in (found, expected))
    difference, size = (flat - due).abs().max().item(), due.abs().max().item()
    return difference / size if size > 0 else difference
