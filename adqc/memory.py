"""How much memory there is, whether a tensor would fit, and what becomes of memory that is given back."""

from __future__ import annotations

import ctypes
import math
import platform

import torch
from torch import Tensor

from adqc.geometry import Layout

MAX_BYTES_SHARE = 0.8
# Of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def check_memory(arrangement: Layout, like: Tensor, *, entries: int | None = None) -> None:
    """Refuse a tensor that cannot fit, before trying.

    Args:
        arrangement: Shape and order of the sites.
        like: Gives dtype and device.
        entries: Number of entries, where not the padded tensor but the circuit's pieces are built.

    Raises:
        MemoryError: If they need more than 80 % of the memory that the device has.
    """
    what, advice = (
        ("weight", "use a smaller layer") if entries is None else ("pieces", "use route='auto' or less depth")
    )
    needed = (math.prod(arrangement.padded) if entries is None else entries) * like.element_size()
    # Small walls always fit; asking the system costs more than building them.
    if needed < 2**30:
        return
    available = free_memory(like.device)
    if needed > MAX_BYTES_SHARE * available:
        raise MemoryError(
            f"building the {what} of shape {arrangement.shape} on {arrangement.sites} qubits needs {needed:,} bytes, "
            f"but {like.device} has {available:,} bytes free: {advice}"
        )


def free_memory(device: torch.device) -> int:
    """Bytes of memory free on a device; on the CPU, what the system says is available."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def keep_freed_memory() -> bool:
    """Have the C library keep what this process gives back, for what it asks for next.

    By default glibc hands blocks beyond 32 MB, and the end of its heap, back to the system, and a training step that
    gives back as much gets it anew, page by page, each time. For processes that train; the commands ``run``,
    ``compare`` and ``study`` call it, importing adqc does not.

    Returns:
        Whether it was done: only glibc can.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # No blocks apart from the heap, and no end of the heap handed back below 2 GB.
    return all(library.mallopt(option, value) for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)))
