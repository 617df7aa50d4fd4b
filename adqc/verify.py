"""Every way from a circuit to its weight against the gate-by-gate oracle: values and gradients, in float64."""

from __future__ import annotations

import copy
import io
import itertools
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.circuit import tensor_from_pennylane, tensor_from_quimb
from adqc.config import ROUTES
from adqc.engine.arrange import to_tensor
from adqc.layer_oracle import example_input, expected_output
from adqc.matrix_free import find_chain
from adqc.memory import free_memory
from adqc.nn import PAIRS
from adqc.qasm import card, from_qasm, to_qasm
from adqc.readers import READERS, missing_package

# Beyond this many entries the oracle, and PennyLane with it, would run for minutes.
MOST_ENTRIES = 2**24
# Measured: PennyLane's backprop keeps up to 12 complex states a gate, the other ways up to 2.
KEPT_STATES = {"pennylane": 16, "other": 3}
# "auto" is one of the others, "gates" is the oracle itself, and "matrix-free" a way of layers, not of their weight.
COMPARED_ROUTES = tuple(route for route in ROUTES if route not in ("auto", "gates", "matrix-free"))
# Bonds grow with the depth: the pieces of a deep circuit can be thousands of times larger than the weight.
# As many entries are always allowed.
MOST_PIECES = 2**20
# A layer may choose its way by the number of samples.
BATCHES = (1, 32)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        name: Where in the model the circuit is.
        qubits: Number of qubits.
        route: The way that was compared with the oracle.
        values: Largest difference of the weight's entries, or of the layer's output, relative to the largest entry;
            None where not compared.
        gradients: Largest difference of the gradients with respect to the stored parameters, relative to the largest
            one; None where not compared.
        note: Why something was not compared, or failed.
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
        return max(found, key=_nan_last, default=0.0)

    @property
    def passed(self) -> bool:
        """Whether no difference is larger than the tolerance; what was skipped counts for nothing."""
        return self.largest <= self.tolerance

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the circuits that were not compared at all."""
        return tuple(row.name for row in self.rows if row.route == "all")

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """Circuit and route of each single comparison that could not be made; the row's note says why."""
        return tuple((row.name, row.route) for row in self.rows if row.values is None and row.route != "all")

    @property
    def _missing(self) -> list[str]:
        return [*self.skipped, *(f"{name} by {route}" for name, route in self.refused)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None stands for what was not compared and for a difference that is no number."""

        def plain(row: Row) -> dict[str, Any]:
            found = [value for value in (row.values, row.gradients) if value is not None]
            passed = all(value <= self.tolerance for value in found) if found else None
            return {**asdict(row), "values": _finite(row.values), "gradients": _finite(row.gradients), "passed": passed}

        return {
            "passed": self.passed,
            "tolerance": self.tolerance,
            "largest": _finite(self.largest),
            "not_compared": self._missing,
            "rows": [plain(row) for row in self.rows],
        }

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
        skipped = f"; not compared: {', '.join(self._missing)}" if self._missing else ""
        lines.append(f"{'passed' if self.passed else 'FAILED'}: tolerance {self.tolerance:g}{skipped}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Verification(passed={self.passed}, largest={self.largest:.3g}, rows={len(self.rows)})"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def verify(model: nn.Module | str | os.PathLike[str], *, tolerance: float = 1e-9, show: bool = True) -> Verification:
    """Compare every way to the weight of each circuit with the gate-by-gate oracle, in float64.

    The ways: PennyLane's QNode, the quimb network, every route of the engine, and the circuit's QASM (values only) as
    this library, quimb and, where installed, Qiskit read it. A compressed layer's output is compared with that of
    torch's layer with the oracle's weight. A model is not changed: the work is done on copies.

    Args:
        model: A model, a compressed layer or a BrickWall; or the path of a checkpoint, of a QASM file with its card, of
            a folder of circuits, or of a gallery, whose cards and networks are compared, too.
        tolerance: The largest relative difference that passes.
        show: Whether to print the table.

    Returns:
        The comparisons, with ``passed`` and ``largest``.

    Raises:
        ValueError: If the model has no circuit, or a file is damaged or does not match its card.
        FileNotFoundError: If there is no such file, or no circuit in the folder.

    Example:
        >>> import adqc
        >>> verify(adqc.nn.Linear(6, 3), show=False).passed
        True
    """
    # The caller may be in a no_grad block or in inference mode.
    with torch.inference_mode(False), torch.enable_grad():
        rows = tuple(_compare_model(model) if isinstance(model, nn.Module) else _compare_files(model))
    found = Verification(rows, tolerance)
    if show:
        print(found)
    return found


def _compare_model(model: nn.Module) -> Iterator[Row]:
    walls = [(name, module) for name, module in model.named_modules() if isinstance(module, BrickWall)]
    if not walls:
        raise ValueError(f"{type(model).__name__} has no circuit to verify: compress it first with adqc.compress_")
    # Several layers may share one circuit.
    layers: dict[int, list[tuple[str, Any]]] = {}
    for name, module in model.named_modules():
        if type(module) in PAIRS.values():
            layers.setdefault(id(module.circuit), []).append((name or type(model).__name__, module))
    for name, wall in walls:
        yield from _compare(_plain_name(name) or type(model).__name__, wall)
        if 2**wall.sites <= MOST_ENTRIES:
            for layer_name, layer in layers.get(id(wall), []):
                yield from _compare_outputs(layer_name, layer)


def _plain_name(name: str) -> str:
    """The layer's or tensor's name as users know it, from that of its circuit."""
    return re.sub(r"parametrizations\.(\w+)\.\d+$", r"\1", re.sub(r"(^|\.)circuit$", "", name))


def _compare_files(path: str | os.PathLike[str]) -> Iterator[Row]:
    from adqc import gallery
    from adqc.files import find_circuits

    if gallery.is_gallery(path):
        # What is wrong with the index or a card is said before anything is computed.
        gallery.read_gallery(path)
    for found in find_circuits(path):
        yield from _compare(found.name, found.wall, text=found.text, version=found.card.get("openqasm", 3))
        known = gallery.KEY in found.card and 2**found.wall.sites <= MOST_ENTRIES
        if known and found.folder is not None:
            for route, own, expected in gallery.read_entry(found.folder).references(found.wall):
                yield Row(found.name, found.wall.sites, route, _difference((own,), (expected,)), None)


def _compare(name: str, wall: BrickWall, *, text: str | None = None, version: int = 3) -> Iterator[Row]:
    entries = 2**wall.sites
    if entries > MOST_ENTRIES:
        note = f"{entries:,} entries are too many for the oracle, which stops at {MOST_ENTRIES:,}"
        yield Row(name, wall.sites, "all", None, None, note)
        return
    wall = copy.deepcopy(wall).double().requires_grad_()
    with_gradients = _gradients_fit(wall, "other")
    expected, slopes = _evaluate(wall, lambda: wall("gates"), gradients=with_gradients)
    ways: dict[str, Callable[[], Tensor]] = {
        "pennylane": lambda: tensor_from_pennylane(wall),
        "quimb": lambda: tensor_from_quimb(wall),
    }
    for route in dict.fromkeys([*COMPARED_ROUTES, wall.config.route]):
        label = f"{route} (its own)" if route == wall.config.route else route
        ways[label] = lambda route=route: wall(route)  # type: ignore[misc]
    for route, build in ways.items():
        fits = with_gradients and (route != "pennylane" or _gradients_fit(wall, route))
        try:
            values, gradients = _evaluate(wall, build, gradients=fits)
        except (ValueError, NotImplementedError) as error:
            # Not every route need serve every circuit; the last line of the table says which did not.
            yield Row(name, wall.sites, route, None, None, str(error))
            continue
        slope = _difference(gradients, slopes) if gradients else None
        yield Row(name, wall.sites, route, _difference((values,), (expected,)), slope, "" if fits else _TOO_LITTLE)
    yield from _compare_qasm(name, wall, expected, text, version)


_TOO_LARGE = "the circuit's pieces are too large: use another route, or a shallower circuit"
_TOO_LITTLE = "values only: too little memory for the gradients"


def _gradients_fit(wall: BrickWall, way: str) -> bool:
    states = 2**wall.sites * 16 * max(1, len(wall.wiring.gates))
    fits: bool = states * KEPT_STATES[way] < free_memory(wall.scale.device) / 2
    return fits


def _compare_outputs(name: str, layer: Any) -> Iterator[Row]:
    """A layer's output by its own choice and, where its layout allows it, without its weight."""
    own = layer.circuit.config.route
    for route in dict.fromkeys((own, "matrix-free")):
        label = "output" if route == own else f"output ({route})"
        if route == "matrix-free" and not pieces_fit(layer):
            if route == own:
                yield Row(name, layer.circuit.sites, label, None, None, _TOO_LARGE)
            continue
        try:
            yield _compare_output(name, label, layer, route)
        except ValueError as error:
            if route == own:
                yield Row(name, layer.circuit.sites, label, None, None, str(error))


def pieces_fit(layer: nn.Module) -> bool:
    """Whether the pieces that a layer without its weight makes are small, or not much larger than the weight."""
    wall = layer.get_submodule("circuit")
    assert isinstance(wall, BrickWall)
    use = "linear" if isinstance(layer, nn.Linear) else "lookup" if isinstance(layer, nn.Embedding) else "conv"
    # Of a convolution the positions of all samples count, some 27 of each at the most.
    for batch, kept in itertools.product((*BATCHES, 32 * BATCHES[-1]), (False, True)):
        chain = find_chain(wall, batch, use=use, kept=kept)
        if chain is not None and chain.size > max(MOST_PIECES, 8 * 2**wall.sites):
            return False
    return True


def _compare_output(name: str, label: str, layer: nn.Module, route: str) -> Row:
    """A layer's output for a lone sample and for a batch, in training and after it, against torch's own layer."""
    layer = copy.deepcopy(layer).double().requires_grad_()
    wall = layer.get_submodule("circuit")
    assert isinstance(wall, BrickWall)
    wall.config = replace(wall.config, route=route)
    gradients = _gradients_fit(wall, "other")
    # Past the hooks that the user may have put on the layer.
    forward = type(layer).forward
    values, slopes = [], []
    for sample in [example_input(layer, batch) for batch in BATCHES]:

        def oracle(x: Tensor = sample) -> Tensor:
            return expected_output(layer, wall("gates"), x)

        def own(x: Tensor = sample) -> Tensor:
            output: Tensor = forward(layer, x)
            return output

        expected, due = _evaluate(wall, oracle, gradients=gradients)
        layer.train()
        found, turned = _evaluate(wall, own, gradients=gradients)
        layer.eval()
        later, _ = _evaluate(wall, own, gradients=False)
        values += [_difference((found,), (expected,)), _difference((later,), (expected,))]
        slopes += [_difference(turned, due)] if gradients else []
    slope = max(slopes, key=_nan_last, default=None)
    return Row(name, wall.sites, label, max(values, key=_nan_last), slope, "" if gradients else _TOO_LITTLE)


def _compare_qasm(name: str, wall: BrickWall, expected: Tensor, text: str | None, version: int) -> Iterator[Row]:
    """The circuit's QASM, given or written here, as each reader has it."""
    row, written = _read_back(name, wall, expected, version)
    yield row
    # Gates that are not unitary can still come from a text: a user's real ones of determinant -1.
    given_text = written if text is None else text
    if given_text is None:
        return
    for reader, read_state in READERS.items():
        route, given, which = f"qasm in {reader}", given_text, version
        if text is None and missing_package(reader, 3):
            # What is written here can as well be written for a reader of version 2.
            given, which = to_qasm(wall, version=2), 2
        missing = missing_package(reader, which)
        if missing is not None:
            yield Row(name, wall.sites, route, None, None, f"{missing} is not installed")
            continue
        state = read_state(given, which).real.to(expected.device)
        tensor = wall.to_weight(to_tensor(state, wall.layout)) * wall.scale.detach()
        yield Row(name, wall.sites, route, _difference((tensor,), (expected,)), None)


def _read_back(name: str, wall: BrickWall, expected: Tensor, version: int) -> tuple[Row, str | None]:
    """The circuit as this library writes and reads it, and the text; None where it cannot be written."""
    if not wall.family.unitary:
        note = f"QASM needs unitary gates, not {wall.family.name!r}"
        return Row(name, wall.sites, "qasm", None, None, note), None
    try:
        written, described = to_qasm(wall, version=version), card(wall, version=version)
    except ValueError as error:
        # Gates that QASM cannot hold are no failure; numbers that are none are.
        sound = all(bool(parameter.isfinite().all()) for parameter in wall.parameters())
        return Row(name, wall.sites, "qasm", None if sound else math.nan, None, str(error)), None
    try:
        read = from_qasm(written, described, device=wall.scale.device)
    except ValueError as error:
        return Row(name, wall.sites, "qasm", math.nan, None, str(error)), None
    values, _ = _evaluate(read, lambda: read("gates"), gradients=False)
    return Row(name, wall.sites, "qasm", _difference((values,), (expected,)), None), written


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
    flat, due = (torch.cat([t.detach().flatten() for t in tensors]) for tensors in (found, expected))
    difference, size = (flat - due).abs().max().item(), due.abs().max().item()
    return difference / size if size > 0 else difference
