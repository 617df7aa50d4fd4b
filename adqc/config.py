"""What a user chooses: frozen dataclasses, checked when they are made."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adqc.cosine import kept_axes
from adqc.gates import FAMILIES, GateFamily, find_family
from adqc.geometry import LAYOUTS, WIRINGS, Layout, Wiring, layout, wire

_UNUSED = (("stride", 1), ("axes", None), ("frequencies", None))
STARTS = ("auto", "haar", "layered", "near-identity", "paired")
ROUTES = ("auto", "halves", "fused", "matrix-free", "network", "gates")


@dataclass(frozen=True)
class Circuit:
    """What stands for a weight: a circuit's depth, gates, wiring, layout and start.

    Args:
        depth: Number of brick layers (or sweeps of a staircase), at least 1.
        gate: Gate family: ``"cartan"`` (4 parameters, real), ``"so4"`` (6), ``"cartan-su4"`` (9, complex),
            ``"su4"`` (15), ``"free"`` (16, ADTN), ``"o8"``, ``"o16"``, ``"o32"`` or ``"o64"`` (orthogonal on three to
            six qubits, trained in redundant coordinates), or one made by :func:`adqc.gate_family`.
        layout: Which qubit carries which bit: ``"interleaved"``, ``"grouped"``, ``"rows-first"`` or the bit number of
            each site.
        wiring: ``"brick-wall"`` or ``"staircase"``.
        stride: Of a staircase of gates on k > 2 qubits: how many sites further the next gate begins, 1 to k - 1. One
            sweep has bonds of 2^(k - stride).
        axes: Axes that the weight is seen with, in the place of its own: ``(256, 28, 28)`` for one of (256, 784) whose
            inputs are images, so that neighbouring qubits carry rows and columns of pixels. None for its own.
        frequencies: Which of these axes are seen in the cosine basis, and how many of its lowest frequencies are kept:
            ``(0, 16, 16)`` leaves the first axis as it is and makes of the others sums of 16 cosines each, on fewer
            qubits; see :mod:`adqc.cosine`. None for none of them.
        start: ``"haar"`` (random gates), ``"layered"`` (first two layers random, the rest near the identity),
            ``"near-identity"``, ``"paired"`` (random wide gates that keep neighbouring bits of the first two axes
            equal: every output sees few inputs; see :mod:`adqc.paired`), or ``"auto"``, which is haar at any depth.
        route: How the weight is built: ``"halves"`` (two halves, one product), ``"fused"`` (all gates on the
            whole state), ``"network"`` (quimb's generic contraction) or ``"gates"`` (gate by gate); or
            ``"matrix-free"``: it is not, the circuit is applied to the layer's input piece by piece. ``"auto"`` takes
            what costs least for the layer and its batch; see :func:`adqc.explain`.

    Raises:
        ValueError: If a field has a value it cannot have.

    Example:
        >>> Circuit(depth=4, gate="so4").gate
        'so4'
    """

    depth: int = 6
    gate: str | GateFamily = "cartan"
    layout: str | tuple[int, ...] = "interleaved"
    wiring: str = "brick-wall"
    start: str = "auto"
    route: str = "auto"
    stride: int = 1
    axes: tuple[int, ...] | None = None
    frequencies: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.depth, bool) or not isinstance(self.depth, int) or self.depth < 1:
            raise ValueError(
                f"depth counts layers of gates and must be a whole number of at least 1, got {self.depth!r}"
            )
        find_family(self.gate)
        if not isinstance(self.layout, str):
            object.__setattr__(self, "layout", _whole_numbers(self.layout))
        elif self.layout not in LAYOUTS:
            raise ValueError(
                f"unknown layout {self.layout!r}: use one of {', '.join(LAYOUTS)}, or an explicit order of sites"
            )
        for field, value, known in (
            ("wiring", self.wiring, WIRINGS),
            ("start", self.start, STARTS),
            ("route", self.route, ROUTES),
        ):
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}: use one of {', '.join(known)}")

        if self.start == "paired" and not self.family.columns:
            raise ValueError(
                f"start='paired' is for wide gates: expected gate 'o8', 'o16', 'o32' or 'o64', got {self.family.name!r}"
            )
        self._check_stride()
        if self.axes is not None:
            object.__setattr__(self, "axes", _sizes(self.axes))
        if self.frequencies is not None:
            object.__setattr__(self, "frequencies", _counts(self.frequencies))

    def _check_stride(self) -> None:
        width = self.family.sites
        if isinstance(self.stride, bool) or not isinstance(self.stride, int) or not 1 <= self.stride < max(2, width):
            raise ValueError(
                f"stride counts sites from gate to gate and must leave neighbours one qubit in common: expected 1 to "
                f"{max(1, width - 1)} for gate {self.family.name!r}, got {self.stride!r}"
            )
        if self.stride > 1 and self.wiring != "staircase":
            raise ValueError(f"stride={self.stride} is for the wiring 'staircase', got {self.wiring!r}")

    def arrange(self, shape: Sequence[int]) -> Layout:
        """Which site carries which bit of a weight of this shape, seen as this configuration says.

        Raises:
            ValueError: If the axes hold another number of entries, or frequencies or layout do not fit.
        """
        return layout(self.keep(shape), self.layout)

    def see(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The axes that a weight of this shape is seen with.

        Raises:
            ValueError: If they hold another number of entries.
        """
        if self.axes is not None and math.prod(self.axes) != math.prod(shape):
            raise ValueError(
                f"axes {self.axes} hold {math.prod(self.axes):,} entries, but the weight of shape {tuple(shape)} has "
                f"{math.prod(shape):,}"
            )
        return tuple(shape) if self.axes is None else self.axes

    def keep(self, shape: Sequence[int]) -> tuple[int, ...]:
        """What the state holds of a weight of this shape: the axes that it is seen with, or their frequencies.

        Raises:
            ValueError: If axes or frequencies do not go with the shape.
        """
        axes = self.see(shape)
        if self.frequencies is None:
            return axes
        if len(self.frequencies) != len(axes) or any(map(operator.gt, self.frequencies, axes)):
            raise ValueError(
                f"frequencies {self.frequencies} do not go with the axes {axes}: expected one number for each axis, at "
                f"most its size, and 0 for one that stays as it is"
            )
        return kept_axes(axes, self.frequencies)

    def wire(self, sites: int) -> Wiring:
        """The gates on this many sites.

        Raises:
            ValueError: If its gates do not fit.
        """
        return wire(self.wiring, sites, self.depth, width=self.family.sites, stride=self.stride)

    @property
    def family(self) -> GateFamily:
        """The gate family itself."""
        return find_family(self.gate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a family made by a user is named, not stored."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["gate"] = self.family.name
        if not isinstance(self.layout, str):
            values["layout"] = list(self.layout)
        for name in ("axes", "frequencies"):
            if values[name] is not None:
                values[name] = list(values[name])
        # What a circuit does not use is not told, as in files that are older than these fields.
        return {name: value for name, value in values.items() if (name, value) not in _UNUSED}

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, families: tuple[GateFamily, ...] = ()) -> Circuit:
        """The configuration that :meth:`to_dict` wrote.

        Args:
            values: What ``to_dict`` returned.
            families: Gate families made by the user that the configuration may name.

        Raises:
            ValueError: If a field is unknown, or names a family that is neither built in nor given.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(f"a circuit has no field {unknown[0]!r}: use {', '.join(cls.__dataclass_fields__)}")
        values = dict(values)
        own = {family.name: family for family in families}
        if values.get("gate") in own:
            values["gate"] = own[values["gate"]]
        elif "gate" in values and values["gate"] not in FAMILIES:
            raise ValueError(
                f"the circuit uses the gate family {values['gate']!r}, which is not built in: pass it in families="
            )
        return cls(**values)


def _integers(values: Any) -> tuple[int, ...]:
    """Whole numbers of any kind; none where there is anything else."""
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError:
        return ()


def _whole_numbers(order: Any) -> tuple[int, ...]:
    numbers = _integers(order)
    if not numbers or sorted(numbers) != list(range(len(numbers))):
        raise ValueError(
            f"an explicit layout gives the bit number of each site, a permutation of 0, 1, …, got {order!r}; the named "
            f"ones are {', '.join(LAYOUTS)}"
        )
    return numbers


def _sizes(axes: Any) -> tuple[int, ...]:
    sizes = _integers(axes)
    if not sizes or min(sizes) < 1:
        raise ValueError(f"axes are sizes of at least 1, such as (256, 28, 28), got {axes!r}")
    return sizes


def _counts(frequencies: Any) -> tuple[int, ...]:
    counts = _integers(frequencies)
    if not counts or min(counts) < 0:
        raise ValueError(
            f"frequencies are numbers of cosines for each axis, 0 for an axis that stays, such as (0, 16, 16), got "
            f"{frequencies!r}"
        )
    return counts


FIT_METHODS = ("polar", "adam", "lbfgs")


@dataclass(frozen=True)
class Fit:
    """Stage 1: how a circuit is fitted to a trained weight.

    Args:
        sweeps: Number of polar (or least-squares) sweeps through the gates, or of optimiser steps, at least 0.
        method: ``"polar"`` (each gate in turn set to its best value; no learning rate), ``"adam"`` or ``"lbfgs"``.
        tolerance: Stop when a sweep lowers the relative squared error by less than this.
        lr: Learning rate of the optimiser methods.
        grow: Fit shallow walls first and append layers near the identity (deep circuits fit better so).

    Raises:
        ValueError: If a field has a value it cannot have.
    """

    sweeps: int = 50
    method: str = "polar"
    tolerance: float = 1e-6
    lr: float = 0.05
    grow: bool = True

    def __post_init__(self) -> None:
        if self.method not in FIT_METHODS:
            raise ValueError(f"unknown fit method {self.method!r}: use one of {', '.join(FIT_METHODS)}")
        if isinstance(self.sweeps, bool) or not isinstance(self.sweeps, int) or self.sweeps < 0:
            raise ValueError(
                f"sweeps counts passes through the circuit and must be a whole number >= 0, got {self.sweeps!r}"
            )
        if not (0 <= self.tolerance < math.inf and 0 < self.lr < math.inf):
            raise ValueError(f"tolerance must be >= 0 and lr > 0, got tolerance={self.tolerance}, lr={self.lr}")
