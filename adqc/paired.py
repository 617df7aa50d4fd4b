"""A start in which every output sees few inputs: neighbouring qubits of the first two axes hold the same bit.

A weight that is dense and random mixes all inputs into every output, and a few hundred numbers can undo little of that.
Started this way a convolution is one random kernel for each output, a linear layer a scaled permutation; the mixing is
left to training.
"""

from __future__ import annotations

import itertools
from bisect import bisect

import torch
from torch import Tensor

from adqc.geometry import Layout, Wiring


def find_pairs(arrangement: Layout) -> list[tuple[int, int]]:
    """Neighbouring sites that carry a bit of the first axis and one of the second; no site is in two pairs.

    Example:
        >>> from adqc.geometry import layout
        >>> find_pairs(layout((4, 4, 3), "interleaved"))
        [(0, 1), (3, 4)]
    """
    ends = list(itertools.accumulate(arrangement.bits))
    axes = [bisect(ends, bit) for bit in arrangement.order]
    pairs: list[tuple[int, int]] = []
    for site, own in enumerate(itertools.pairwise(axes)):
        if set(own) == {0, 1} and (not pairs or pairs[-1][1] < site):
            pairs.append((site, site + 1))
    return pairs


def paired_start(wiring: Wiring, arrangement: Layout, *, generator: torch.Generator | None = None) -> Tensor:
    """Random gates that keep the two bits of every pair equal, as entries of orthogonal matrices.

    Args:
        wiring: The gates, on three qubits or more each.
        arrangement: Which site carries which bit.
        generator: Source of the random numbers, on the CPU.

    Returns:
        (G, 4^k), float64, on the CPU; orthonormal columns, and zero ones that a gate never meets.

    Raises:
        ValueError: If the layout has no pair.
    """
    pairs = find_pairs(arrangement)
    if not pairs:
        raise ValueError(
            "start='paired' joins neighbouring qubits of the first two axes, and this layout has none: use "
            "layout='interleaved', or start='haar'"
        )
    joined: set[tuple[int, int]] = set()
    gates = []
    for sites, fresh in zip(wiring.gates, wiring.fresh, strict=True):
        met = [pair for pair in pairs if set(pair) <= set(sites)]
        # Of these the other bit is elsewhere, so that this one must stay as it is.
        held = [site for pair in joined for site in pair if site in sites and not set(pair) <= set(sites)]
        known = [pair for pair in met if pair in joined]
        gates.append(_draw(sites, fresh, met, known, held, generator))
        joined.update(met)
    return torch.stack(gates).flatten(1)


def _draw(
    sites: tuple[int, ...],
    fresh: tuple[bool, ...],
    met: list[tuple[int, int]],
    known: list[tuple[int, int]],
    held: list[int],
    generator: torch.Generator | None,
) -> Tensor:
    size = 2 ** len(sites)
    number = torch.arange(size, device="cpu")
    bits = {site: (number >> (len(sites) - 1 - place)) & 1 for place, site in enumerate(sites)}
    right = torch.ones(size, size, dtype=torch.bool, device="cpu")
    for a, b in met:
        right &= (bits[a] == bits[b]).unsqueeze(1)
    for site in held:
        right &= bits[site].unsqueeze(1) == bits[site]
    # What comes in with unequal bits never does; such columns come last, as those before them make no use of them.
    seen = torch.ones(size, dtype=torch.bool, device="cpu")
    for a, b in known:
        seen &= bits[a] == bits[b]
    stored = torch.ones(size, dtype=torch.bool, device="cpu")
    for site, new in zip(sites, fresh, strict=True):
        if new:
            stored &= bits[site] == 0
    columns = torch.cat([torch.nonzero(stored & seen), torch.nonzero(stored & ~seen)]).flatten()
    entries = torch.randn(size, size, generator=generator, dtype=torch.float64, device="cpu")
    entries = torch.where(right | ~seen, entries, 0.0)
    gate = torch.zeros_like(entries)
    gate[:, columns] = torch.linalg.qr(entries[:, columns])[0]
    return gate
