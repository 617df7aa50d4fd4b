"""Seconds and bytes of two sides of a comparison, taken side by side in one run."""

from __future__ import annotations

import gc
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Work = Callable[[], object]


@dataclass(frozen=True)
class Setup:
    """Where and how long things are timed.

    Args:
        device: Where the tensors are.
        calls: The least number of calls that a median is taken over.
        budget: Seconds after which no further round of calls begins, once there are enough.
        small: Whether all sizes are tiny: to see that the machinery works, not to time anything.
    """

    device: torch.device
    calls: int = 5
    budget: float = 1.0
    small: bool = False

    def size(self, full: int) -> int:
        """A side of a weight: the full one, or a tiny one."""
        return max(8, full // 64) if self.small else full

    def depth(self, full: int) -> int:
        """A depth: the full one, or a shallow one."""
        return min(full, 6) if self.small else full


def warm_up() -> None:
    """Let the allocator keep large blocks from here on.

    glibc gives blocks above its mmap threshold back to the system, and every fresh page costs a fault: more than the
    work of some of the sides. Freeing one block just below 32 MiB raises the threshold, for both sides alike.
    """
    block = torch.empty(7_900_000)
    del block


def medians(works: Mapping[str, Work], setup: Setup) -> dict[str, float]:
    """Median seconds of a call of each side.

    The sides take turns, so that whatever slows the machine slows them all. In one turn a side that is fast is called
    once before it counts, and then until 20 ms are over: a first call after a large one finds the caches full of the
    other's numbers, and memory that has gone back to the system.

    Args:
        works: The sides, by name.
        setup: Device, number of calls, budget.
    """
    first = {name: seconds_of(work, setup.device) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    begin = time.perf_counter()
    while min(map(len, seconds.values())) < setup.calls or time.perf_counter() - begin < setup.budget:
        for name, work in works.items():
            # What one side left for the collector is not the next one's to clear away.
            gc.collect()
            if first[name] < 1 and not setup.small:
                work()
            turn = 0.0
            while turn == 0.0 or turn < (0.0 if setup.small else 0.02):
                found = seconds_of(work, setup.device)
                seconds[name].append(found)
                turn += found
        if setup.small and min(map(len, seconds.values())) >= setup.calls:
            break
    return {name: statistics.median(found) for name, found in seconds.items()}


def seconds_of(work: Work, device: torch.device) -> float:
    """Seconds of one call; on a CUDA device by its own events."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return begin.elapsed_time(end) / 1e3
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def both_ways(build: Callable[[], Tensor], parameters: Sequence[Tensor], direction: Tensor | None = None) -> Work:
    """Forward and backward of a function of some parameters.

    Args:
        build: The forward pass.
        parameters: What the gradients are taken for.
        direction: The gradient of the result, made before; None where the result is a loss, ().
    """
    wanted = [parameter for parameter in parameters if parameter.requires_grad]

    def work() -> None:
        torch.autograd.grad(build(), wanted, direction)

    return work


def training_step(layer: nn.Module, x: Tensor) -> Work:
    """Forward and backward of a layer, gradients for all its parameters."""
    with torch.no_grad():
        direction = torch.randn_like(layer(x))
    return both_ways(lambda: layer(x), list(layer.parameters()), direction)


def inference(layer: nn.Module, x: Tensor) -> Work:
    """Forward without gradients, in the mode (train or eval) that the layer is in."""

    def work() -> None:
        with torch.no_grad():
            layer(x)

    return work


def peak_bytes(work: Work, device: torch.device) -> int:
    """The most memory that a call holds at one time beyond what was held before it.

    On the CPU from the allocator's own record (every allocation and release, as torch's profiler keeps it), to which
    the peak of Python's and numpy's allocations is added (as if both came at one time); on a CUDA device from its
    allocator's peak. The call is made once before, so that nothing kept for later is counted.
    """
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # The profiler's library tells on stderr when it starts and stops, unless its messages are switched off.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.autograd.profiler.profile(profile_memory=True) as record:
        work()
    found = record.kineto_results
    assert found is not None, "the profiler has a record once it is closed"
    events = sorted((event.start_ns(), event.nbytes()) for event in found.events() if event.name() == "[memory]")
    held = most = 0
    for _, change in events:
        held += change
        most = max(most, held)
    tracemalloc.start()
    work()
    _, others = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most + others


def held_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
