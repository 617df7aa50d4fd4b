"""Files of tensors: safetensors with a JSON header, a version and a hash, never pickle; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, uint8

FORMAT = 1
"""The version of the file format that this library writes and the newest that it reads."""

HEADER = "adqc"


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header of JSON values.

    Args:
        path: The file. It appears whole or not at all.
        tensors: Dense tensors.
        header: JSON values.

    Raises:
        OSError: If the file cannot be written.
    """
    from safetensors.torch import save_file

    from adqc import __version__

    # Clones, as safetensors refuses tensors that share memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "version": __version__, **header}
    header["sha256"] = _digest(plain, header)
    with replacing(Path(path)) as temporary:
        save_file(plain, temporary, metadata={HEADER: json.dumps(header)})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and else is removed.

    Raises:
        OSError: If ``path`` is a folder or its own folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}, create it first")
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder, give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(tensors: Mapping[str, Tensor], header: dict[str, Any]) -> str:
    found = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != "sha256"}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(uint8).numpy().data)
    return found.hexdigest()


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write` wrote.

    Args:
        path: The file.

    Returns:
        The tensors, on the CPU, and the header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut short, altered, from a newer version or not one of adqc's.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}: give the path of one that adqc.save wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if HEADER not in metadata:
                raise ValueError(f"{path} is a safetensors file, but adqc did not write it: load it with safetensors")
            header = json.loads(metadata[HEADER])
            if not isinstance(header, dict) or not isinstance(header.get("format"), int):
                raise ValueError(f"{path} has a damaged header: get the file anew")
            if header["format"] > FORMAT:
                raise ValueError(
                    f"{path} has format {header['format']}, written by adqc {header.get('version')}, but this version "
                    f"reads formats up to {FORMAT}: update adqc"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is cut short or no adqc file: get it anew ({error})") from error
    if header.get("sha256") != _digest(tensors, header):
        raise ValueError(f"{path} was altered after it was written (its hash differs): get it anew")
    return tensors, header
