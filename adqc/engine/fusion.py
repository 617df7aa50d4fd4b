"""Fusing gates into blocks: fewer and larger matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adqc.geometry import Wiring


@dataclass(frozen=True)
class Fusion:
    """How gates are fused.

    Args:
        width: Largest number of sites of a block.
        tall: Whether gates that act one after another may share a block; otherwise only gates side by side.
    """

    width: int
    tall: bool


# Those worth trying: others are hardly ever cheaper, and each takes time to plan.
FUSIONS = (Fusion(4, True), Fusion(6, True))


@dataclass
class Block:
    """Gates that are multiplied before they act on the tensor.

    Args:
        low: First site.
        high: Last site + 1.
        moment: When the first of its gates acts.
        gates: Indices of the gates, in the order in which they act.
        last: The last gate on each site.
    """

    low: int
    high: int
    moment: int = 0
    gates: list[int] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)


def fuse(wiring: Wiring, members: Sequence[int], fusion: Fusion, *, mirrored: bool = False) -> list[Block]:
    """Blocks of gates, in an order in which they can act.

    Args:
        wiring: The sequence of gates.
        members: Indices of the gates to fuse.
        fusion: How to fuse.
        mirrored: Whether to begin at the end of the chain.
    """
    level = [0] * wiring.sites
    ranked = []
    for k in members:
        at = max(level[site] for site in wiring.gates[k])
        ranked.append((at, -wiring.gates[k][0] if mirrored else wiring.gates[k][0], k))
        for site in wiring.gates[k]:
            level[site] = at + 1
    blocks: list[Block] = []
    latest: dict[int, int] = {}
    for moment, _, k in sorted(ranked):
        sites = wiring.gates[k]
        first = max(latest.get(site, 0) for site in sites)
        at = next((b for b in range(first, len(blocks)) if _takes(blocks[b], wiring, k, moment, fusion)), len(blocks))
        if at == len(blocks):
            blocks.append(Block(sites[0], sites[-1] + 1, moment))
        block = blocks[at]
        block.low, block.high = min(block.low, sites[0]), max(block.high, sites[-1] + 1)
        block.gates.append(k)
        latest.update(dict.fromkeys(sites, at))
        block.last.update(dict.fromkeys(sites, k))
    return blocks


def _takes(block: Block, wiring: Wiring, gate: int, moment: int, fusion: Fusion) -> bool:
    sites = wiring.gates[gate]
    if not fusion.tall and block.moment != moment:
        return False
    low, high = min(sites[0], block.low), max(sites[-1] + 1, block.high)
    if sites[0] > block.high or sites[-1] + 1 < block.low or high - low > fusion.width:
        return False
    for site in sites:
        if site in block.last:
            # A wire that went through another piece in between must come in anew.
            on_wire = wiring.wires[site]
            if on_wire[on_wire.index(gate) - 1] != block.last[site]:
                return False
    return True
