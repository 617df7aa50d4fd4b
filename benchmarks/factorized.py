"""Row 13: against tensorly-torch's block tensor trains with as many parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import torch
from torch import nn

import adqc
from benchmarks.layers import BATCH
from benchmarks.lines import LAYOUTS, Line
from benchmarks.timing import Setup, inference, medians, training_step

TARGET = 3.0
DEPTH = 6
# Sizes of the cores, the same for inputs and outputs, and the rank.
Train = tuple[tuple[int, ...], int]


def factorized(setup: Setup) -> Iterator[Line]:
    """Linear layers, inference with everything made anew and training, both ways that tensorly-torch has."""
    for size in (1024, 4096):
        side, depth = setup.size(size), setup.depth(DEPTH)
        layers = {}
        for layout in LAYOUTS:
            generator = torch.Generator().manual_seed(0)
            config = adqc.Circuit(depth=depth, layout=layout)
            layers[layout] = adqc.nn.Linear(side, side, device=setup.device, circuit=config, generator=generator)
        x = torch.randn(BATCH, side, device=setup.device)
        count = layers["interleaved"].circuit.parameter_count
        steps = {"inference": inference, "training step": training_step}
        # A train of rank 1 is a mere Kronecker product; where it is the nearest in size, one with bonds is timed, too.
        trains = dict.fromkeys([nearest_train(side, count), nearest_train(side, count, least=2)])
        for train, way, (step, make) in product(trains, ("factorized", "reconstructed"), steps.items()):
            works = {layout: make(layer, x) for layout, layer in layers.items()}
            try:
                peer, how = block_train(side, train, way)
                found = medians({**works, "peer": make(peer.to(setup.device), x)}, setup)
            # Whatever a peer raises belongs in the table.
            except Exception as error:
                how = f"did not run: {type(error).__name__}: {' '.join(str(error).split())[:120]}"
                found = medians(works, setup)
            for layout in layers:
                work = f"Linear({side}, {side}), {layout}, depth {depth}, {count} parameters, batch {BATCH}, {step}"
                against = f"tensorly-torch block TT, {way}"
                yield Line(13, work, against, found[layout], found.get("peer"), at_least=TARGET, note=how)


def block_train(side: int, train: Train, way: str) -> tuple[nn.Module, str]:
    """A layer of tensorly-torch, and what it is.

    Args:
        side: Number of inputs and of outputs.
        train: Sizes of the cores, and the rank.
        way: ``"factorized"`` or ``"reconstructed"``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tltorch

    sizes, rank = train
    options: dict[str, Any] = {"factorization": "blocktt", "rank": rank, "implementation": way, "bias": True}
    layer: nn.Module = tltorch.FactorizedLinear(sizes, sizes, **options)
    held = sum(parameter.numel() for parameter in layer.parameters()) - side
    return layer, f"{len(sizes)} cores of rank {rank}, {held} parameters"


def nearest_train(side: int, count: int, *, least: int = 1) -> Train:
    """Sizes of the cores (2, 4 or 8 on each side) and rank of the block tensor train whose size is nearest.

    Of two as near the one with fewer cores, which is the faster one, is taken.

    Args:
        side: Number of inputs and of outputs.
        count: Number of parameters asked for.
        least: The least rank.
    """
    bits = side.bit_length() - 1
    found = []
    for each in (3, 2, 1):
        sizes = (2**each,) * (bits // each) + ((2 ** (bits % each),) if bits % each else ())
        for rank in range(least, 17):
            ranks = (1, *(rank,) * (len(sizes) - 1), 1)
            held = sum(a * size * size * b for (a, b), size in zip(pairwise(ranks), sizes, strict=True))
            found.append((abs(math.log(held / count)), len(sizes), sizes, rank))
    *_, sizes, rank = min(found)
    return sizes, rank
