"""What came out of a run: the table, and which aims are met."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adqc.experiments.recipe import OTHER_CIRCUITS
from adqc.tables import make_table

VERSIONS = ("torch", "numpy", "pennylane", "quimb", "cotengra", "safetensors")


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Where a result comes from: processor, threads, memory, device and versions."""
    from importlib.metadata import PackageNotFoundError, version

    import psutil

    from adqc import __version__

    versions = {"adqc": __version__, "python": platform.python_version()}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "versions": versions,
    }


def summarise(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The final table's rows and the aims.

    Args:
        metrics: What the runner has gathered: dense, plan, fit, finetune, controls, recipe.

    Returns:
        ``rows`` (network, accuracy, parameters, seconds) and ``aims`` (sentence, met).
    """
    dense, circuit = metrics["dense"], metrics["finetune"]
    count = metrics["plan"]["parameters"]
    rows: list[dict[str, Any]] = [
        _line("dense", dense["accuracy"], metrics["plan"]["weights"], dense["seconds"]),
        _line("circuit, stage 1", metrics["fit"]["accuracy"], count, metrics["fit"]["seconds"]),
        _line("circuit, stage 2", circuit["accuracy"], count, circuit["seconds"]),
    ]
    rows += [_line(name, c["accuracy"], c["parameters"], c["seconds"]) for name, c in metrics["controls"].items()]
    aims, wanted = [], metrics["recipe"]["aims"]
    reached = circuit["accuracy"]
    if wanted["accuracy"]:
        aims.append(
            _aim(
                reached >= wanted["accuracy"], f"the circuits reach {reached:.2f} %, the aim is {wanted['accuracy']} %"
            )
        )
    if wanted["gap"]:
        gap = dense["accuracy"] - reached
        said = f"{gap:.2f} points below" if gap > 0 else f"{-gap:.2f} points above" if gap < 0 else "level with"
        aims.append(
            _aim(
                gap <= wanted["gap"] + 1e-9,
                f"they are {said} the dense network, the aim is at most {wanted['gap']} below",
            )
        )
    if wanted["parameters"]:
        most = wanted["parameters"]
        aims.append(_aim(count <= most, f"they store {count:,} parameters, the aim is at most {most:,}"))
    for name, control in metrics["controls"].items():
        if control["method"] in OTHER_CIRCUITS:
            continue
        ahead = reached - control["accuracy"]
        said = f"{ahead:.2f} points above" if ahead > 0 else f"{-ahead:.2f} points below" if ahead < 0 else "level with"
        aims.append(
            _aim(
                ahead > 0,
                f"they are {said} the control “{name}” ({control['accuracy']:.2f} %, "
                f"{control['parameters']:,} parameters)",
            )
        )
    return {"rows": rows, "aims": aims}


def _line(network: str, accuracy: float, parameters: int, seconds: float) -> dict[str, Any]:
    return {"network": network, "accuracy": accuracy, "parameters": parameters, "seconds": seconds}


def _aim(met: bool, sentence: str) -> dict[str, Any]:
    return {"met": bool(met), "sentence": sentence}


def print_summary(metrics: Mapping[str, Any], console: Any) -> None:
    """Print the table and say which aims are met."""
    summary = metrics["summary"]
    layers = " + ".join(layer["name"] for layer in metrics["fit"]["layers"])
    title = metrics["title"] + (", short form (fewer images and epochs)" if metrics["quick"] else "")
    rows = [
        (row["network"], f"{row['accuracy']:.2f} %", f"{row['parameters']:,}", f"{row['seconds']:.1f}")
        for row in summary["rows"]
    ]
    console.print(make_table(title, ("network", ">test accuracy", f">parameters in {layers}", ">seconds"), rows))
    for aim in summary["aims"]:
        console.print(
            f"{'met' if aim['met'] else 'NOT met'}: {aim['sentence']}.", style="green" if aim["met"] else "yellow"
        )
    if metrics["quick"]:
        console.print("The aims are meant for the full run; this short form only shows that every part works.")
