"""A training step of a layer whose weight is never built, in a process of its own: ``python -m benchmarks.large``.

Prints the median seconds of a step, and by how much the process's largest resident size grew from before the layer was
made, as JSON. On a CUDA device the bytes are the device's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys

import torch

import adqc
from benchmarks.timing import Setup, medians, training_step, warm_up

BATCH = 8


def resident() -> int:
    """The largest resident size that this process has had, in bytes."""
    # The system counts in kilobytes, but on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Make the layer, take its steps, print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description="A layer never built.")
    parser.add_argument("size", type=int)
    parser.add_argument("depth", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    setup = Setup(torch.device(options.device))
    warm_up()
    # Both a first product and a first backward pass load libraries that are not the layer's.
    small = adqc.nn.Linear(64, 64, device=setup.device, circuit=adqc.Circuit(depth=4, layout="rows-first"))
    training_step(small, torch.randn(BATCH, 64, device=setup.device))()
    before = resident()
    config = adqc.Circuit(depth=options.depth, layout="rows-first")
    generator = torch.Generator().manual_seed(0)
    layer = adqc.nn.Linear(options.size, options.size, device=setup.device, circuit=config, generator=generator)
    x = torch.randn(BATCH, options.size, device=setup.device)
    found = medians({"step": training_step(layer, x)}, setup)
    grown = resident() - before
    if setup.device.type == "cuda":
        grown = torch.cuda.max_memory_allocated(setup.device)
    print(json.dumps({"seconds": found["step"], "bytes": grown}))


if __name__ == "__main__":
    main()
