"""The processes that train together: one, or as many as ``accelerate launch`` has started."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes that train together, through accelerate.

    Args:
        device: Where this one trains.
        number: Number of this one.
        count: Number of all.
        accelerator: accelerate's handle; None where one process trains in full precision.
    """

    device: torch.device
    number: int = 0
    count: int = 1
    accelerator: Any = None

    @property
    def main(self) -> bool:
        """Whether this process writes files and tables."""
        return self.number == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()

    def wrap(
        self, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, Any, Callable[[Tensor], object]]:
        """Model, optimiser and backward pass as :func:`adqc.finetune` shall use them; the parameters stay the same."""
        if self.accelerator is None:
            return model, optimizer, Tensor.backward
        if self.count > 1 and self.device.type == "cuda":
            # In one process the norms see whole batches, so they shall in several.
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        wrapped, stepped = self.accelerator.prepare(model, optimizer)
        return wrapped, stepped, self.accelerator.backward

    def release(self, model: nn.Module) -> None:
        """Undo what :meth:`wrap` did to a model."""
        if self.accelerator is not None:
            self.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
            self.accelerator.free_memory()

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        if self.count == 1:
            return value
        total: Tensor = self.accelerator.reduce(torch.tensor(value, device=self.device), reduction="mean")
        return float(total)


def join_processes(device: str | None = None) -> Processes:
    """This process among those that train together.

    Args:
        device: Where to train; None for accelerate's choice where ``accelerate launch`` started this process, else the
            CPU.

    Raises:
        ValueError: If there is no such device here.
        ImportError: If accelerate, which is then needed, is missing.
    """
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ or int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not launched:
        return Processes(_find_device(device or "cpu"))
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError("several processes need accelerate: pip install 'adqc[experiments]'") from error
    # Without a GPU accelerate joins processes only where it is told that they train on the CPU.
    accelerator = Accelerator(cpu=device == "cpu" or not torch.cuda.is_available())
    place = accelerator.device if device is None else _find_device(device)
    if accelerator.num_processes == 1 and accelerator.mixed_precision == "no":
        return Processes(place)
    return Processes(place, accelerator.process_index, accelerator.num_processes, accelerator)


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"there is no device {name!r} here: use cpu, or cuda on a machine that has it") from error
    return device
