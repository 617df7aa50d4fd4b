"""BrickWall: a tensor of any shape as the amplitude vector of a quantum circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from adqc import engine
from adqc.arrays import Numbers
from adqc.at_once import build_at_once, pieces_at_once
from adqc.config import ROUTES, Circuit
from adqc.constants import constant
from adqc.cosine import from_cosines, to_cosines
from adqc.engine.absorb import absorb, is_absorbed
from adqc.engine.apply import as_matrices
from adqc.engine.chain import Chain
from adqc.engine.evolve import run_program
from adqc.gates import GateFamily
from adqc.geometry import Layout, Wiring
from adqc.memory import check_memory
from adqc.orthogonal import orthogonal_matrices
from adqc.paired import paired_start


class BrickWall(nn.Module):
    """A circuit that stands for a tensor.

    The tensor is ``scale · Re <b|U|start>`` for the bit strings b of its indices, cropped to its shape
    (arXiv:2305.06058, Eqs. (1)-(3); arXiv:2104.14949, Eq. (2)). For unitary families ``start`` is |0…0>, for
    ``free`` a trainable product state.

    Args:
        shape: The tensor's shape.
        config: The circuit; None for the default ``Circuit()``.
        std: Standard deviation that the entries shall have at the start; None starts with scale 1 (norm 1).
        start: A wall of the same shape and wiring to start from; layers beyond its depth are identities.
        generator: Source of the random start, on the CPU.
        device: Device of the parameters.
        dtype: float32 (torch's default), float64, bfloat16 or float16.

    Attributes:
        gates: The stored parameters of all gates, (P,), in the order in which the gates act.
        scale: The number that multiplies the unit-norm state, ().
        shape: Shape of the tensor.
        state: The product state to begin with, (Q, 2), for ``free``; else None.
        slots: Where the stored parameters stand among all p of every gate; None where all are stored.
        every: Of so many columns of a wide gate only the first is stored, in all gates.

    Raises:
        ValueError: If the shape is empty, the layout is no permutation of its bits, or ``start`` does not fit.

    Example:
        >>> wall = BrickWall((6, 10), Circuit(depth=4), generator=torch.Generator().manual_seed(0))
        >>> wall().shape
        torch.Size([6, 10])
    """

    gates: nn.Parameter
    scale: nn.Parameter
    state: nn.Parameter | None

    def __init__(
        self,
        shape: Sequence[int],
        config: Circuit | None = None,
        *,
        std: float | None = None,
        start: BrickWall | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        # The tensor made together with others, for each thread that is calling the model; see adqc.together_.
        self.ready: dict[int, Tensor] = {}
        self.config = Circuit() if config is None else config
        # Not the layout's, which has the axes and frequencies of the configuration.
        self.shape: tuple[int, ...] = tuple(int(n) for n in shape)
        self.layout: Layout = self.config.arrange(shape)
        self.wiring: Wiring = self.config.wire(self.layout.sites)
        self.family: GateFamily = self.config.family
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            raise ValueError(f"a circuit's parameters are real numbers in floating point, got dtype {dtype}")
        count = len(self.wiring.gates)
        stored = [self.family.stored(fresh) for fresh in self.wiring.fresh]
        slots = [gate * self.family.parameters + k for gate, kept in enumerate(stored) for k in kept]
        # Wires in |0> that all gates have, their last ones, let one column in so many through.
        fewest = min((sum(fresh) for fresh in self.wiring.fresh), default=0)
        self.every = 2**fewest if self.family.matrices is orthogonal_matrices else 1
        # Stored numbers -> all p parameters of every gate, where some of them are fixed at zero.
        self.slots = None if len(slots) == count * self.family.parameters else Numbers(tuple(slots))
        # No buffer: what is no parameter must come out right from to_empty() and load_state_dict(assign=True) as well.
        self._index: Tensor | None = None if self.slots is None else torch.tensor(self.slots.values, device=device)
        device = torch.get_default_device() if device is None else device
        params, states, scale = self._start(generator, start)
        if std is not None:
            # A norm-1 real state has mean square 2^-Q; the real part of a complex one holds half of it.
            scale = std * math.sqrt(2.0**self.sites * self.spread * (1 if self.family.real else 2))
        self.gates = nn.Parameter(params.flatten()[slots].to(device=device, dtype=dtype))
        self.scale = nn.Parameter(torch.tensor(scale, device=device, dtype=dtype))
        self.register_parameter(
            "state", None if states is None else nn.Parameter(states.to(device=device, dtype=dtype))
        )

    def _start(self, generator: torch.Generator | None, start: BrickWall | None) -> tuple[Tensor, Tensor | None, float]:
        family, wiring = self.family, self.wiring
        count = len(wiring.gates)
        fresh = torch.tensor(wiring.fresh, dtype=torch.bool, device="cpu").reshape(count, family.sites)
        states = None
        if not family.unitary:
            states = torch.zeros(self.sites, 2, dtype=torch.float64, device="cpu")
            states[:, 0] = 1
        if start is not None:
            return self._grown_from(start, count)
        # Layers near the identity train worse: see the study of stage 1.
        kind = "haar" if self.config.start == "auto" else self.config.start
        if kind == "paired":
            return paired_start(wiring, self.layout, generator=generator), states, 1.0
        near = family.near_identity(count, generator=generator)
        if kind == "near-identity":
            return near, states, 1.0
        params = family.random(fresh, generator).reshape(count, family.parameters)
        if kind == "layered":
            behind = torch.tensor([layer >= 2 for layer in wiring.layer_of], dtype=torch.bool, device="cpu")
            params = torch.where(behind.unsqueeze(1), near, params)
        return params, states, 1.0

    def _grown_from(self, start: BrickWall, count: int) -> tuple[Tensor, Tensor | None, float]:
        known = len(start.wiring.gates)
        wanted = (self.seen, self.shape, self.layout, self.wiring.gates[:known], self.family)
        if (start.seen, start.shape, start.layout, start.wiring.gates, start.family) != wanted:
            raise ValueError(
                f"a wall can start from one with the same shape, layout, wiring and gate and at most its depth: "
                f"expected {self.extra_repr()}, got {start.extra_repr()}"
            )
        params = self.family.near_identity(count, 0.0)
        added = self.family.matrices(params[known:])
        unit = torch.eye(2**self.family.sites, dtype=added.dtype, device="cpu")
        if not torch.allclose(added, unit.expand_as(added), atol=1e-9):
            raise ValueError(
                f"a deeper wall keeps the tensor only where the identity's parameters are known, which gate family "
                f"{self.family.name!r} does not tell: start from a wall of the same depth, got {start.extra_repr()}"
            )
        params[:known] = start.gate_parameters().detach().to("cpu", torch.float64)
        states = None if start.state is None else start.state.detach().to("cpu", torch.float64)
        return params, states, start.scale.detach().item()

    @property
    def sites(self) -> int:
        """Number of qubits Q."""
        return self.wiring.sites

    @property
    def seen(self) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Axes and frequencies that the weight is seen with; the layout tells neither."""
        return self.config.see(self.shape), self.config.frequencies

    @property
    def spread(self) -> float:
        """How many entries of the weight there are for each that the state holds: 1 without frequencies."""
        return math.prod(self.shape) / math.prod(self.layout.shape)

    @property
    def parameter_count(self) -> int:
        """Number of real numbers stored."""
        return sum(parameter.numel() for parameter in self.parameters())

    def gate_parameters(self) -> Tensor:
        """All p parameters of every gate, (G, p): the stored ones, and zeros where a gate stores fewer.

        Where a family stores ``columns``, the others are the identity's.
        """
        return self._all_parameters(self.gates)

    def _all_parameters(self, gates: Tensor) -> Tensor:
        count, each = len(self.wiring.gates), self.family.parameters
        if self.slots is None:
            return gates.view(count, each)
        return gates.new_zeros(count * each).index_copy(0, self._stored_index(), gates).view(count, each)

    def _stored_index(self) -> Tensor:
        index = self._index
        if index is None or index.device != self.gates.device:
            assert self.slots is not None, "asked for only where some parameters are not stored"
            index = torch.tensor(self.slots.values, device=self.gates.device)
            if not torch.compiler.is_compiling():
                self._index = index
        return index

    def matrices(self) -> Tensor:
        """The gates, (G, 2^k, 2^k), in the order in which they act; at least float32, complex where the family is."""
        return self._matrices(self.gates)

    def _matrices(self, gates: Tensor) -> Tensor:
        params = self._all_parameters(gates)
        params = params.float() if params.dtype.itemsize < 4 else params
        if self.every > 1:
            return orthogonal_matrices(params, every=self.every)
        return self.family.matrices(params)

    def is_ready(self) -> bool:
        """Whether the tensor has been made already, together with others; see :func:`adqc.together_`."""
        return bool(self.ready) and get_ident() in self.ready

    def forward(self, route: str | None = None) -> Tensor:
        """The tensor.

        Args:
            route: One of :data:`adqc.config.ROUTES`; None takes the configuration's. ``"matrix-free"`` says how a layer
                shall use its circuit; the tensor itself is built as with ``"auto"``.

        Returns:
            A tensor of ``self.shape``, in the dtype of the parameters.

        Raises:
            MemoryError: If the tensor would not fit in memory.
            ValueError: If the route is unknown.
        """
        if route is None and self.is_ready():
            return self.ready[get_ident()]
        route = self.config.route if route is None else route
        if route not in ROUTES:
            raise ValueError(f"unknown route {route!r}: use one of {', '.join(ROUTES)}")
        return self.build(self.gates, self.scale, self.state, route=route)

    def build(self, gates: Tensor, scale: Tensor, state: Tensor | None = None, *, route: str = "auto") -> Tensor:
        """The tensor that these numbers stand for, as a function of them alone; see :meth:`forward`.

        Args:
            gates: (P,), as ``self.gates``.
            scale: (), as ``self.scale``.
            state: (Q, 2), as ``self.state``.
            route: One of :data:`adqc.config.ROUTES`.
        """
        # A product of many gates keeps few digits in a 16-bit type, so autocast begins behind the weight.
        with without_autocast(scale.device.type):
            return self.to_weight(self._build_state(gates, scale, state, route)).to(scale.dtype)

    def coefficients(self) -> Tensor:
        """What :meth:`to_weight` makes the weight of: with frequencies its coefficients, ``self.layout.shape``."""
        with without_autocast(self.scale.device.type):
            found = self._build_state(self.gates, self.scale, self.state, self.config.route)
            found = found if found.shape == self.layout.shape else found.reshape(self.layout.shape)
            return found.to(self.scale.dtype)

    def _build_state(self, gates: Tensor, scale: Tensor, state: Tensor | None, route: str) -> Tensor:
        found = build_at_once(self, gates, scale, route, state)
        return self.build_in_steps(gates, scale, state, route=route) if found is None else found

    def build_in_steps(
        self, gates: Tensor, scale: Tensor, state: Tensor | None = None, *, route: str = "auto"
    ) -> Tensor:
        """What :meth:`to_weight` makes the weight of, without :mod:`adqc.at_once`; arguments as for :meth:`build`."""
        matrices = self._matrices(gates)
        check_memory(self.layout, matrices)
        return engine.build(
            matrices,
            self.wiring,
            self.layout,
            scale=scale.to(matrices.real.dtype),
            start=None if state is None else state.to(matrices.dtype),
            route=route,
            unitary=self.family.unitary,
        )

    def to_weight(self, tensor: Tensor) -> Tensor:
        """What stands in the state, cropped to ``self.layout.shape``, as the weight: axes and shape are its own."""
        axes, frequencies = self.seen
        if frequencies is not None:
            tensor = from_cosines(tensor.reshape(self.layout.shape), axes, frequencies)
        return tensor if tensor.shape == self.shape else tensor.reshape(self.shape)

    def from_weight(self, weight: Tensor) -> Tensor:
        """What :meth:`to_weight` makes this weight, or the one nearest to it, of; a tensor of ``self.layout.shape``."""
        axes, frequencies = self.seen
        if frequencies is not None:
            weight = to_cosines(weight.reshape(axes), frequencies)
        return weight.reshape(self.layout.shape)

    def pieces(self, chain: Chain) -> Sequence[Tensor]:
        """The circuit cut in pieces whose product is the tensor, for applying it without building it.

        Args:
            chain: Where to cut, see :func:`adqc.engine.chain.make_chain`.

        Returns:
            The pieces as matrices, in the order in which :func:`adqc.engine.apply.apply_chain` takes them, in the dtype
            of the parameters.
        """
        with without_autocast(self.scale.device.type):
            found = pieces_at_once(self, self.gates, self.scale, chain, self.state)
            return self.pieces_in_steps(chain, self.gates, self.scale, self.state) if found is None else found

    def pieces_in_steps(
        self, chain: Chain, gates: Tensor, scale: Tensor, state: Tensor | None = None
    ) -> Sequence[Tensor]:
        """The same without :mod:`adqc.at_once`, as a function of these numbers."""
        matrices = self._matrices(gates)
        check_memory(self.layout, matrices, entries=chain.size)
        start = None if state is None else state.to(matrices.dtype)
        if start is not None and is_absorbed(self.wiring):
            matrices, start = absorb(matrices, start, self.wiring), None
        own, peeled = matrices, [matrices[gate] for gate in chain.peeled]
        if peeled:
            own = matrices.index_select(0, constant(chain.others, matrices, dtype=torch.long))
        pieces = run_program(own, chain.program, start, scale.to(matrices.real.dtype), unitary=self.family.unitary)
        return [piece.to(scale.dtype) for piece in as_matrices(pieces, chain, peeled)]

    @torch.no_grad()
    def set_gate_parameters_(self, params: Tensor) -> BrickWall:
        """Write the parameters of every gate, (G, p); those not stored must be as :meth:`gate_parameters` gives them.

        Raises:
            ValueError: If the shape is wrong, a number is not finite, or one that is not stored differs from that.
        """
        expected = (len(self.wiring.gates), self.family.parameters)
        if tuple(params.shape) != expected:
            raise ValueError(
                f"gate parameters must have shape {expected} (gates, parameters), got {tuple(params.shape)}"
            )
        flat = params.detach().flatten()
        if not flat.isfinite().all():
            raise ValueError("gate parameters must be finite, got NaN or infinity")
        if self.slots is not None:
            stored = self._stored_index().to(flat.device)
            if flat.index_fill(0, stored, 0).abs().sum() > 1e-9 * (1 + flat.abs().sum()):
                raise ValueError("gates on fresh qubits store fewer parameters: those not stored must be zero")
            flat = flat.index_select(0, stored)
        self.gates.copy_(flat)
        return self

    def extra_repr(self) -> str:
        """What ``repr`` shows of the wall."""
        config = self.config
        seen = "".join(
            f"{name}={value}, "
            for name, value in (("axes", config.axes), ("frequencies", config.frequencies))
            if value is not None
        )
        return (
            f"shape={self.shape}, {seen}qubits={self.sites}, gate={self.family.name!r}, depth={config.depth}, "
            f"wiring={config.wiring!r}, layout={config.layout!r}, gates={len(self.wiring.gates)}, "
            f"parameters={self.parameter_count}"
        )

    def qnode(self, **options: Any) -> Any:
        """The circuit as a PennyLane QNode; see :func:`adqc.circuit.qnode`."""
        from adqc import circuit

        return circuit.qnode(self, **options)

    def to_quimb(self) -> Any:
        """The circuit as a quimb tensor network; see :func:`adqc.circuit.to_quimb`."""
        from adqc import circuit

        return circuit.to_quimb(self)

    def draw(self, kind: str = "text") -> Any:
        """A drawing, ``"text"`` or ``"mpl"``; see :func:`adqc.circuit.draw`."""
        from adqc import circuit

        return circuit.draw(self, kind)

    def resources(self) -> Any:
        """Gates, CX count, depth and parameters; see :func:`adqc.circuit.resources`."""
        from adqc import circuit

        return circuit.resources(self)


def without_autocast(device: str) -> AbstractContextManager[None]:
    """A context in which autocast is off."""
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
