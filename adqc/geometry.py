"""Where the gates sit and which qubit carries which bit: integers only.

A circuit is a sequence of gates on neighbouring sites of an open chain. A wiring makes that sequence; the rest of
the library sees only the sequence. A layout says which bit of which axis of the weight a site carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

WIRINGS = ("brick-wall", "staircase")
LAYOUTS = ("interleaved", "grouped", "rows-first")
# Bits of the first axis, and of the others, that stand together where groups of bits take turns.
GROUPS = (2, 3)


@dataclass(frozen=True)
class Wiring:
    """A sequence of gates on an open chain of sites.

    Args:
        sites: Number of qubits Q, at least 1.
        gates: The sites of each gate, in the order in which the gates act; the sites of one gate are neighbours,
            in rising order.
        layers: Number of gates in each layer (a brick layer or a sweep), adding up to ``len(gates)``.

    Attributes:
        layer_of: The layer that each gate belongs to, counted from 0.
        wires: The gates on each site, in the order in which they act.
        fresh: For each gate and each of its sites: is this the first gate on that site?
        moments: Indices of gates that can act at the same time, as early as possible.

    Raises:
        ValueError: If a gate leaves the chain or its sites are not neighbours.
    """

    sites: int
    gates: tuple[tuple[int, ...], ...]
    layers: tuple[int, ...]
    layer_of: tuple[int, ...] = field(init=False, repr=False, compare=False)
    wires: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    fresh: tuple[tuple[bool, ...], ...] = field(init=False, repr=False, compare=False)
    moments: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.sites < 1:
            raise ValueError(f"a chain needs at least 1 site, got {self.sites}")
        for gate in self.gates:
            if not gate or gate != tuple(range(gate[0], gate[0] + len(gate))) or gate[0] < 0 or gate[-1] >= self.sites:
                raise ValueError(f"a gate acts on neighbouring sites of 0…{self.sites - 1} in rising order, got {gate}")
        if sum(self.layers) != len(self.gates):
            raise ValueError(f"the layers hold {sum(self.layers)} gates, but the sequence has {len(self.gates)}")
        # Computed here rather than at first use, which torch.compile could not trace.
        object.__setattr__(self, "_hash", hash((self.sites, self.gates, self.layers)))
        object.__setattr__(self, "layer_of", tuple(k for k, count in enumerate(self.layers) for _ in range(count)))
        object.__setattr__(self, "wires", self._find_wires())
        object.__setattr__(self, "fresh", self._find_fresh())
        object.__setattr__(self, "moments", self._find_moments())

    def __hash__(self) -> int:
        # Layers look plans up at every call, and a deep circuit has many gates.
        return self._hash

    def _find_wires(self) -> tuple[tuple[int, ...], ...]:
        touched: list[list[int]] = [[] for _ in range(self.sites)]
        for index, gate in enumerate(self.gates):
            for site in gate:
                touched[site].append(index)
        return tuple(tuple(indices) for indices in touched)

    def _find_fresh(self) -> tuple[tuple[bool, ...], ...]:
        return tuple(tuple(self.wires[site][0] == k for site in gate) for k, gate in enumerate(self.gates))

    def _find_moments(self) -> tuple[tuple[int, ...], ...]:
        level = [0] * self.sites
        found: dict[int, list[int]] = {}
        for index, gate in enumerate(self.gates):
            at = max(level[site] for site in gate)
            found.setdefault(at, []).append(index)
            for site in gate:
                level[site] = at + 1
        return tuple(tuple(found[at]) for at in sorted(found))


def brick_wall(sites: int, depth: int, *, width: int = 2) -> Wiring:
    """The native wiring: ``depth`` brick layers on (0,1),(2,3),… and (1,2),(3,4),… in turn, even first.

    Bricks of ``width`` sites lie side by side; every other layer begins ``width // 2`` sites further in.

    Source: arXiv:2305.06058, Fig. 1; arXiv:2104.14949, Fig. 1.
    """
    rows = [
        [tuple(range(s, s + width)) for s in range(layer % 2 * (width // 2), sites - width + 1, width)]
        for layer in range(depth)
    ]
    return Wiring(sites, tuple(chain.from_iterable(rows)), tuple(len(row) for row in rows))


def staircase(sites: int, depth: int, *, width: int = 2, stride: int = 1) -> Wiring:
    """``depth`` sweeps of gates (0,1),(1,2),…,(Q-2,Q-1), one gate after another.

    Gates of ``width`` sites begin ``stride`` sites after one another, or less: they are spread evenly, so that the last
    one ends at the last site. One sweep prepares matrix product states of bond ``2^(width - stride)``
    (arXiv:1908.07958).
    """
    steps = max(0, -(-(sites - width) // stride))
    firsts = [round(k * (sites - width) / steps) if steps else 0 for k in range(steps + 1)] if sites >= width else []
    sweep = [tuple(range(first, first + width)) for first in firsts]
    return Wiring(sites, tuple(sweep * depth), (len(sweep),) * depth)


def wire(kind: str, sites: int, depth: int, *, width: int = 2, stride: int = 1) -> Wiring:
    """The wiring named ``kind``: one of :data:`WIRINGS`.

    Args:
        kind: Its name.
        sites: Number of qubits.
        depth: Number of brick layers or sweeps.
        width: Number of neighbouring sites that a gate acts on.
        stride: Of a staircase, the sites from the beginning of one gate to that of the next.

    Raises:
        ValueError: If the name is unknown, the depth is below 1, or gates of more than two sites do not fit.
    """
    if depth < 1:
        raise ValueError(f"depth counts layers of gates and must be at least 1, got {depth}")
    if width > 2 and sites < width:
        raise ValueError(f"gates on {width} qubits need a weight of at least {2**width} entries, got {sites} qubits")
    if kind == "brick-wall":
        return brick_wall(sites, depth, width=width)
    if kind == "staircase":
        return staircase(sites, depth, width=width, stride=stride)
    raise ValueError(f"unknown wiring {kind!r}: use one of {', '.join(WIRINGS)}")


@dataclass(frozen=True)
class Layout:
    """Which bit of which axis each site carries.

    An axis of n entries takes ceil(log2 n) bits and keeps the first n of the padded entries (crop). The bits are
    numbered rows-first: all bits of axis 0 from the most significant down, then those of axis 1, and so on.

    Args:
        shape: The weight's shape, every axis at least 1.
        order: ``order[site]`` is the number of the bit that the site carries.

    Attributes:
        bits: Number of bits of each axis.
        sites: Number of qubits Q; a weight of one entry still gets one qubit.
        padded: The shape before the crop: every axis rounded up to a power of two.

    Raises:
        ValueError: If an axis is empty or the order is not a permutation of the bits.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    bits: tuple[int, ...] = field(init=False, repr=False, compare=False)
    sites: int = field(init=False, repr=False, compare=False)
    padded: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"a circuit needs a weight with at least one entry, got shape {self.shape}")
        bits = axis_bits(self.shape)
        sizes = [2**b for b in bits]
        if not sum(bits):
            sizes[-1] = 2
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "sites", max(1, sum(bits)))
        object.__setattr__(self, "padded", tuple(sizes))
        if sorted(self.order) != list(range(self.sites)):
            raise ValueError(
                f"the order of sites for shape {self.shape} must be a permutation of 0…{self.sites - 1}, "
                f"got {self.order}"
            )


def axis_bits(shape: Sequence[int]) -> tuple[int, ...]:
    """Number of bits that each axis takes: ceil(log2 n)."""
    return tuple((n - 1).bit_length() for n in shape)


def layout(shape: Sequence[int], order: str | Sequence[int] = "interleaved") -> Layout:
    """The layout of a weight of this shape.

    Args:
        shape: The weight's shape.
        order: ``"interleaved"`` (the axes' bits take turns along the chain, most significant first), ``"grouped"``
            (two of the first axis take turns with three of all others), ``"rows-first"`` (all bits of the first axis,
            then the next), or the bit number of each site.

    Raises:
        ValueError: If the name is unknown or the order is not a permutation.
    """
    shape = tuple(int(n) for n in shape)
    bits = axis_bits(shape)
    total = max(1, sum(bits))
    if not isinstance(order, str):
        return Layout(shape, tuple(int(b) for b in order))
    if order == "rows-first":
        return Layout(shape, tuple(range(total)))
    if order == "interleaved":
        return Layout(shape, _take_turns(bits, (1,) * len(bits)))
    if order == "grouped":
        return Layout(shape, _take_turns((bits[0], total - bits[0]), GROUPS) if sum(bits) else (0,))
    raise ValueError(f"unknown layout {order!r}: use one of {', '.join(LAYOUTS)}, or an explicit order of sites")


def _take_turns(counts: Sequence[int], most: Sequence[int]) -> tuple[int, ...]:
    """Bits in consecutive runs of these lengths, from each run in turn as many as ``most`` says for it."""
    starts = [sum(counts[:run]) for run in range(len(counts))]
    groups = [
        [range(bit, min(bit + size, start + count)) for bit in range(start, start + count, size)]
        for start, count, size in zip(starts, counts, most, strict=True)
    ]
    # A weight of one entry has no bit, but a site.
    return tuple(bit for turn in zip_longest(*groups, fillvalue=()) for group in turn for bit in group) or (0,)
