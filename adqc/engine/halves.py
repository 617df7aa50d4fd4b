"""The fast way to a weight: contract two halves of the chain, then join them by one matrix product.

The gates are split into a left and a right set. A stretch of wire whose two ends lie in different sets is a bond of
dimension 2; all other contractions happen inside a half, on 2^(Q/2)·bond numbers. Bits are permuted inside the
halves, so that after the product at most one transposition of whole blocks is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from adqc.engine.arrange import block_sizes, crop
from adqc.engine.network import contraction, gate_arrays, network_indices, placeholder_network
from adqc.geometry import Layout, Wiring


@dataclass(frozen=True)
class Cut:
    """A split of the gates into two halves.

    Args:
        left: For each gate, whether it belongs to the left half.
        left_sites: Number of sites whose outputs the left half holds.
        bonds: Number of wire stretches between the halves.
    """

    left: tuple[bool, ...]
    left_sites: int
    bonds: int

    @property
    def bond(self) -> int:
        """The bond dimension that the joining product sums over."""
        return int(2**self.bonds)


@dataclass(frozen=True)
class Half:
    """One half: which tensors of the network it holds, and their compiled contraction."""

    tensors: tuple[int, ...]
    contract: Any


@dataclass(frozen=True)
class Plan:
    """How a geometry is contracted: the cut, the halves, and the final transposition of blocks."""

    cut: Cut
    left: Half
    right: Half
    sizes: tuple[int, ...]
    permutation: tuple[int, ...]


@lru_cache(maxsize=256)
def find_cut(wiring: Wiring, left_sites: int | None = None) -> Cut:
    """The split of the chain in two that costs the least work.

    Args:
        wiring: The sequence of gates.
        left_sites: Number of sites the left half must hold; None leaves the choice open.
    """
    best: tuple[float, Cut] | None = None
    for place in range(-len(wiring.layers), wiring.sites + len(wiring.layers) + 1):
        # A slanted cut follows the sweeps of a staircase: one bond a sweep instead of two.
        for slope in (0, -1, 1):
            cut = _cut(wiring, place, slope)
            if cut is None or (left_sites is not None and cut.left_sites != left_sites):
                continue
            sizes = 2.0**cut.left_sites + 2.0 ** (wiring.sites - cut.left_sites)
            # A gate inside a half is bound by memory: measured, it costs as much as some 16 times its arithmetic.
            work = cut.bond * (2.0**wiring.sites + 64 * len(wiring.layers) * sizes)
            if best is None or work < best[0]:
                best = (work, cut)
    assert best is not None, "a straight cut at any place holds a whole number of sites"
    return best[1]


def _cut(wiring: Wiring, place: int, slope: int) -> Cut | None:
    left = tuple(gate[0] < place + slope * layer for gate, layer in zip(wiring.gates, wiring.layer_of, strict=True))
    bonds = 0
    holds = []
    for site, gates in enumerate(wiring.wires):
        bonds += sum(left[a] != left[b] for a, b in zip(gates, gates[1:], strict=False))
        holds.append(left[gates[-1]] if gates else site < place)
    count = sum(holds)
    return Cut(left, count, bonds) if all(holds[:count]) else None


@lru_cache(maxsize=256)
def make_plan(wiring: Wiring, layout: Layout, *, fixed_start: bool, left_sites: int | None = None) -> Plan:
    """The contraction plan of a geometry.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        fixed_start: Whether the sites start in |0> rather than in a trainable product state.
        left_sites: Number of sites the left half must hold; None leaves the choice open.
    """
    cut = find_cut(wiring, left_sites)
    names, outputs = network_indices(wiring, fixed_start=fixed_start)
    own = list(cut.left)
    for (wire,) in names[len(own) :]:
        site = int(wire[1:].split(",")[0])
        touched = wiring.wires[site]
        own.append(cut.left[touched[0]] if touched else site < cut.left_sites)
    network = placeholder_network(wiring, fixed_start=fixed_start)
    tensors = list(network)
    site_of_bit = {bit: site for site, bit in enumerate(layout.order)}
    halves = []
    bits: list[list[int]] = []
    for is_left in (True, False):
        sites = range(cut.left_sites) if is_left else range(cut.left_sites, wiring.sites)
        bits.append(sorted(layout.order[site] for site in sites))
        physical = [outputs[site_of_bit[bit]] for bit in bits[-1]]
        members = tuple(k for k, flag in enumerate(own) if flag == is_left)
        part = type(network)([tensors[k] for k in members])
        bonds = sorted(set(part.outer_inds()) - set(outputs)) if members else []
        order = physical + bonds if is_left else bonds + physical
        halves.append(Half(members, contraction(part, order) if members else None))
    sizes, firsts = zip(*(block_sizes(own_bits) for own_bits in bits), strict=True)
    starts = firsts[0] + firsts[1]
    permutation = tuple(sorted(range(len(starts)), key=starts.__getitem__))
    return Plan(cut, halves[0], halves[1], sizes[0] + sizes[1], permutation)


def contract_halves(gates: Tensor, plan: Plan, wiring: Wiring, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two halves as matrices.

    Args:
        gates: (G, 4, 4), in the order in which they act.
        plan: What :func:`make_plan` returned for this wiring.
        wiring: Where the gates act.
        start: (Q, 2), the product state to begin with; None for |0…0>.

    Returns:
        Left (2^left_sites, bond) and right (bond, 2^right_sites), their bits in the weight's order.
    """
    arrays = gate_arrays(gates, wiring, start)
    left, right = (
        half.contract(*(arrays[k] for k in half.tensors)) if half.tensors else gates.new_ones(1)
        for half in (plan.left, plan.right)
    )
    return left.reshape(-1, plan.cut.bond), right.reshape(plan.cut.bond, -1)


def join_halves(left: Tensor, right: Tensor, plan: Plan, layout: Layout) -> Tensor:
    """One matrix product, one transposition of blocks, the crop: the weight.

    Args:
        left: (2^left_sites, bond).
        right: (bond, 2^right_sites).
        plan: The plan the halves were made with.
        layout: Shape and order of the sites.

    Returns:
        A tensor of ``layout.shape``; real, the real part where the halves are complex.
    """
    if left.is_complex():
        # Re(L R) = Re L Re R - Im L Im R, half the work of the complex product.
        product = left.real @ right.real - left.imag @ right.imag
    else:
        product = left @ right
    return crop(product.reshape(plan.sizes).permute(plan.permutation).reshape(layout.padded), layout)


def build_by_halves(gates: Tensor, wiring: Wiring, layout: Layout, start: Tensor | None = None) -> Tensor:
    """The weight, through the two halves; shapes as in :func:`contract_halves` and :func:`join_halves`."""
    plan = make_plan(wiring, layout, fixed_start=start is None)
    left, right = contract_halves(gates, plan, wiring, start)
    return join_halves(left, right, plan, layout)
