"""The fast way to a weight: contract two halves of the chain, then join them by one matrix product.

The gates are split into a left and a right set. A stretch of wire whose two ends lie in different sets is a bond of
dimension 2; all other contractions happen inside a half, on 2^(Q/2)·bond numbers. Bits are permuted inside the
halves, so that after the product at most one transposition of whole blocks is left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from torch import Tensor

from adqc.engine.arrange import block_sizes, crop
from adqc.engine.schedule import Schedule, block_of, make_schedule, run_schedule
from adqc.geometry import Layout, Wiring


@dataclass(frozen=True)
class Cut:
    """A split of the gates into two halves.

    Args:
        left: For each gate, whether it belongs to the left half.
        left_sites: Number of sites whose outputs the left half holds.
        bonds: Number of wire stretches between the halves.
        widest: Number of wire stretches between the two neighbouring blocks that share most.
        place: The gates of the left half start at a site below ``place + slope · layer``.
        slope: How the cut moves from layer to layer.
    """

    left: tuple[bool, ...]
    left_sites: int
    bonds: int
    widest: int
    place: int
    slope: int

    @property
    def bond(self) -> int:
        """The bond dimension that the joining product sums over."""
        return int(2**self.bonds)


@dataclass(frozen=True)
class Plan:
    """How a geometry is contracted.

    Args:
        cut: Where the chain is cut.
        left: Schedule of the left half.
        right: Schedule of the right half.
        sort_left: Shape and permutation that bring the left half's bits into the weight's order.
        sort_right: The same for the right half.
        sizes: Axes of the joined tensor: runs of bits that lie together in the weight.
        permutation: Order of these axes in the weight.
    """

    cut: Cut
    left: Schedule
    right: Schedule
    sort_left: tuple[tuple[int, ...], tuple[int, ...]]
    sort_right: tuple[tuple[int, ...], tuple[int, ...]]
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
            # Joining a block to a half takes 4 · bond² multiply-adds for each of the half's outputs before it.
            work = cut.bond * 2.0**wiring.sites + 4.0**cut.widest * sizes
            if best is None or work < best[0]:
                best = (work, cut)
    assert best is not None, "a straight cut at any place holds a whole number of sites"
    return best[1]


def _cut(wiring: Wiring, place: int, slope: int) -> Cut | None:
    left = tuple(gate[0] < place + slope * layer for gate, layer in zip(wiring.gates, wiring.layer_of, strict=True))
    blocks = [block_of(gate, layer, place, slope) for gate, layer in zip(wiring.gates, wiring.layer_of, strict=True)]
    bonds = 0
    holds = []
    between: Counter[int] = Counter()
    for site, gates in enumerate(wiring.wires):
        for a, b in pairwise(gates):
            bonds += left[a] != left[b]
            low, high = sorted((blocks[a], blocks[b]))
            between.update(range(low, high))
        holds.append(left[gates[-1]] if gates else site < place)
    count = sum(holds)
    widest = max(between.values(), default=0)
    return Cut(left, count, bonds, widest, place, slope) if all(holds[:count]) else None


@lru_cache(maxsize=256)
def make_plan(wiring: Wiring, layout: Layout, left_sites: int | None = None) -> Plan:
    """The contraction plan of a geometry.

    Args:
        wiring: The sequence of gates.
        layout: Shape and order of the sites.
        left_sites: Number of sites the left half must hold; None leaves the choice open.
    """
    cut = find_cut(wiring, left_sites)
    schedules, sorts = [], []
    sizes: tuple[int, ...] = ()
    firsts: tuple[int, ...] = ()
    for left in (True, False):
        gates = [k for k, flag in enumerate(cut.left) if flag == left]
        sites = range(cut.left_sites) if left else range(cut.left_sites, wiring.sites)
        schedules.append(make_schedule(wiring, gates, sites, cut.place, cut.slope, left=left))
        bits = [layout.order[site] for site in sites]
        own_sizes, own_firsts = block_sizes(bits)
        order = tuple(sorted(range(len(own_firsts)), key=own_firsts.__getitem__))
        sorts.append((own_sizes, order))
        # What lies together after the bits of this half are sorted is one axis of the joined tensor.
        runs, starts = block_sizes(sorted(bits))
        sizes, firsts = sizes + runs, firsts + starts
    permutation = tuple(sorted(range(len(firsts)), key=firsts.__getitem__))
    return Plan(cut, schedules[0], schedules[1], sorts[0], sorts[1], sizes, permutation)


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
    left = run_schedule(gates, plan.left, wiring, start, left=True)
    right = run_schedule(gates, plan.right, wiring, start, left=False)
    sizes, order = plan.sort_left
    if order != tuple(range(len(order))):
        left = left.reshape(*sizes, -1).permute(*order, len(order)).reshape(left.shape)
    sizes, order = plan.sort_right
    if order != tuple(range(len(order))):
        right = right.reshape(-1, *sizes).permute(0, *(axis + 1 for axis in order)).reshape(right.shape)
    return left, right


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
    # Re(L R) = Re L Re R - Im L Im R: half the work of the complex product.
    product = left.real @ right.real
    if left.is_complex():
        product = product - left.imag @ right.imag
    return crop(product.reshape(plan.sizes).permute(plan.permutation).reshape(layout.padded), layout)


def build_by_halves(gates: Tensor, wiring: Wiring, layout: Layout, start: Tensor | None = None) -> Tensor:
    """The weight, through the two halves; shapes as in :func:`contract_halves` and :func:`join_halves`."""
    plan = make_plan(wiring, layout)
    left, right = contract_halves(gates, plan, wiring, start)
    return join_halves(left, right, plan, layout)
