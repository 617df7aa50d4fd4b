"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version

import torch


def describe(threads: int) -> dict[str, object]:
    """Machine and versions, for the JSON."""
    packages = ("adqc", "torch", "pennylane", "quimb", "cotengra", "numpy", "numba", "tensorly", "tensorly-torch")
    packages += ("tensorcircuit-ng", "pyqtorch", "deepquantum")
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions,
    }


def _processor() -> str:
    """Its name and, as names of rented machines are short, its family and model where the system tells them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            pairs = [line.split(":", 1) for line in lines if ":" in line]
    except OSError:
        pairs = []
    # Of the last core, as of all.
    told = {name.strip(): value.strip() for name, value in pairs}
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name}, family {told['cpu family']}, model {told['model']}" if "cpu family" in told else name
