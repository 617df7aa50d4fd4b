"""Row 11: how long a geometry's first use takes to plan."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from adqc.engine.chain import _make_chain, make_chain
from adqc.engine.materialise import _make_plan, make_plan
from adqc.geometry import WIRINGS, Layout, Wiring, layout, wire
from benchmarks.lines import LAYOUTS, Line
from benchmarks.timing import Setup

LIMIT = 0.1
DEPTHS = (1, 2, 4, 6, 8, 12, 16)
BUILT = (
    (4, 4), (84, 120), (256, 784), (512, 512), (1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192), (64, 32768),
    (16, 6, 5, 5), (128, 64, 3, 3), (512, 512, 3, 3),
)  # fmt: skip
APPLIED = (*BUILT, (16384, 16384), (32768, 32768), (65536, 65536), (50257, 768))
BATCHES = (1, 64, 4096)
# The slowest of this many are planned again, so that one interruption by the system is not taken for a slow plan.
AGAIN = 5

Work = Callable[[], object]


def planning(setup: Setup) -> Iterator[Line]:
    """The slowest first plan of a grid of geometries, for building a weight and for applying it."""
    depths = DEPTHS[:3] if setup.small else DEPTHS
    built = BUILT[:2] if setup.small else BUILT
    applied = APPLIED[:2] if setup.small else APPLIED
    works: dict[str, dict[str, Work]] = {"building": {}, "applying": {}}
    for shape, depth, order, wiring in product(applied, depths, LAYOUTS, WIRINGS):
        arrangement = layout(shape, order)
        gates = wire(wiring, arrangement.sites, depth)
        name = f"{'×'.join(map(str, shape))}, depth {depth}, {order}, {wiring}"
        if shape in built:
            works["building"][name] = lambda gates=gates, arrangement=arrangement: plan_both(gates, arrangement)
        use = "linear" if len(shape) == 2 else "conv"
        for batch, kept in product(BATCHES, (False, True)):
            options: dict[str, Any] = {"use": use, "kept": kept}
            works["applying"][f"{name}, batch {batch}{', kept' if kept else ''}"] = (
                lambda gates=gates, arrangement=arrangement, batch=batch, options=options: make_chain(
                    gates, arrangement, batch, **options
                )
            )
    for kind, choices in works.items():
        seconds = {name: first_use(work) for name, work in choices.items()}
        for name in sorted(seconds, key=seconds.__getitem__)[-AGAIN:]:
            seconds[name] = statistics.median([seconds[name], *(first_use(choices[name]) for _ in range(2))])
        worst = max(seconds, key=seconds.__getitem__)
        yield Line(
            11,
            f"plan for {kind}, slowest of {len(seconds)} first uses",
            "100 ms",
            seconds[worst],
            LIMIT,
            at_most=1.0,
            note=worst,
        )


def plan_both(gates: Wiring, arrangement: Layout) -> None:
    """What a first call plans at most: with loops, and without them where these would keep too much."""
    make_plan(gates, arrangement, in_loops=True, unitary=True)
    make_plan(gates, arrangement)


def first_use(work: Work) -> float:
    """Seconds of a plan of which nothing is known yet."""
    _make_plan.cache_clear()
    _make_chain.cache_clear()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
