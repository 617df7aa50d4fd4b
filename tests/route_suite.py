"""Grids of walls that meet every pair of values of any two axes at least once."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from typing import NamedTuple

import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.engine.absorb import absorb
from adqc.gates import FAMILIES
from adqc.geometry import LAYOUTS, WIRINGS

# What only gates on two qubits can do is tested with these.
TWO_QUBIT = tuple(name for name, family in FAMILIES.items() if family.sites == 2)

AXES = {
    "gate": TWO_QUBIT,
    "wiring": WIRINGS,
    "layout": (*LAYOUTS, "random"),
    "depth": (1, 2, 3, 4, 5, 6, 7),
    "shape": (
        (1,),  # one qubit
        (2,),
        (3,),  # two qubits
        (1, 1, 4),
        (13,),
        (5, 7),
        (16, 8),
        (1, 6),
        (3, 2, 5),
        (4, 3, 1, 5),
        (2, 3, 2, 2),
        (33, 3),
    ),
    "dtype": (torch.float64, torch.float32, torch.bfloat16),
    "start": ("haar", "layered", "near-identity"),
}

# Every shape has qubits enough for every gate.
WIDE_AXES = {
    "gate": ("o8", "o16"),
    "wiring": (*WIRINGS, "staircase/2"),
    "layout": AXES["layout"],
    "depth": (1, 2, 3),
    "shape": ((16,), (1, 9), (5, 7), (3, 2, 5), (2, 3, 2, 2), (33, 3)),
    "dtype": AXES["dtype"],
    "start": AXES["start"],
    "flat": (False, True),
    "cosines": (False, True),
}


class Case(NamedTuple):
    """One point of a grid; the wiring ``staircase/2`` has stride 2, ``flat`` sees the weight as a vector, and
    ``cosines`` its largest axis as a sum of fewer cosines."""

    gate: str
    wiring: str
    layout: str
    depth: int
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float64
    start: str = "haar"
    flat: bool = False
    cosines: bool = False

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        dtype = str(self.dtype).removeprefix("torch.")
        seen = "-flat" * self.flat + "-cosines" * self.cosines
        return f"{self.gate}-{self.wiring}-{self.layout}-{self.depth}-{sizes}-{dtype}-{self.start}{seen}"


def make_wall(case: Case, seed: int = 0) -> BrickWall:
    """The wall of this case, its scale and product state moved away from their special values."""
    wiring, _, stride = case.wiring.partition("/")
    config = Circuit(
        depth=case.depth, gate=case.gate, wiring=wiring, start=case.start, stride=int(stride or 1),
        axes=(math.prod(case.shape),) if case.flat else None,
    )  # fmt: skip
    if case.cosines:
        seen = config.see(case.shape)
        # One less, but where the gates would lose a qubit that they need.
        fewer = max(seen) - (max(seen) != 9)
        config = dataclasses.replace(config, frequencies=[fewer if size == max(seen) else 0 for size in seen])
    sites = config.arrange(case.shape).sites
    order = random.Random(str(case)).sample(range(sites), sites) if case.layout == "random" else case.layout
    config = dataclasses.replace(config, layout=order)
    generator = torch.Generator().manual_seed(seed)
    wall = BrickWall(case.shape, config, generator=generator, dtype=case.dtype)
    with torch.no_grad():
        wall.scale.fill_(1.75)
        if wall.state is not None:
            wall.state += 0.5 * torch.randn(wall.state.shape, generator=generator).to(case.dtype)
    return wall


def take_in(gates, start, wiring):
    """Gates that do to |0…0> what these do to the product state, where there is one."""
    return gates if start is None else absorb(gates, start, wiring)


def joined(pieces):
    """The product of a circuit's pieces, flat."""
    state = pieces[0].flatten(0, 1)
    for piece in pieces[1:]:
        state = (state @ piece.flatten(1)).reshape(-1, piece.shape[2])
    return state.flatten()


def all_pairs(axes: dict[str, tuple], seed: int = 0) -> list[Case]:
    """Few cases in which any two values of two different axes meet: each next case is the best of some random ones."""
    names = list(axes)
    missing = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(range(len(names)), 2)
        for i in range(len(axes[names[a]]))
        for j in range(len(axes[names[b]]))
    }
    draw = random.Random(seed)
    cases = []
    while missing:
        fixed = dict(draw.choice(sorted(missing)))
        best, covered = None, set()
        for _ in range(30):
            choice = [fixed.get(a, draw.randrange(len(axes[name]))) for a, name in enumerate(names)]
            meets = set(itertools.combinations(enumerate(choice), 2)) & missing
            if len(meets) > len(covered):
                best, covered = choice, meets
        missing -= covered
        cases.append(Case(**{name: axes[name][k] for name, k in zip(names, best, strict=True)}))
    return cases


CASES = all_pairs(AXES)
WIDE_CASES = [*all_pairs(WIDE_AXES), Case("o32", "staircase/2", "interleaved", 2, (9, 11))]
