"""What a user chooses: frozen dataclasses, checked when they are made."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

from adqc.gates import FAMILIES, GateFamily, find_family
from adqc.geometry import LAYOUTS, WIRINGS

STARTS = ("auto", "haar", "layered", "near-identity")
ROUTES = ("auto", "halves", "fused", "matrix-free", "network", "gates")


@dataclass(frozen=True)
class Circuit:
    """What stands for a weight: a circuit's depth, gates, wiring, layout and start.

    Args:
        depth: Number of brick layers (or sweeps of a staircase), at least 1.
        gate: Gate family: ``"cartan"`` (4 parameters, real), ``"so4"`` (6), ``"cartan-su4"`` (9, complex),
            ``"su4"`` (15), ``"free"`` (16, ADTN), or one made by :func:`adqc.gate_family`.
        layout: Which qubit carries which bit: ``"interleaved"``, ``"rows-first"`` or the bit number of each site.
        wiring: ``"brick-wall"`` or ``"staircase"``.
        start: ``"haar"`` (random gates), ``"layered"`` (first two layers random, the rest near the identity),
            ``"near-identity"``, or ``"auto"``: haar up to depth 6, layered beyond.
        route: How the weight is built: ``"halves"`` (two halves, one product), ``"fused"`` (gates fused into blocks, on
            the whole state), ``"network"`` (quimb's generic contraction) or ``"gates"`` (gate by gate); or
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
        return values

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


def _whole_numbers(order: Any) -> tuple[int, ...]:
    try:
        numbers = tuple(operator.index(bit) for bit in order)
    except TypeError:
        numbers = ()
    if not numbers or sorted(numbers) != list(range(len(numbers))):
        raise ValueError(
            f"an explicit layout gives the bit number of each site, a permutation of 0, 1, …, got {order!r}; the named "
            f"ones are {', '.join(LAYOUTS)}"
        )
    return numbers


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
