"""Data sets of images: found on disk in torchvision's folders, checked, and read into memory.

A data set is looked for in the folder given, else in the one that the environment variable ``ADQC_DATA`` names, else
in ``data/`` of the current directory or of the source checkout (which carries MNIST).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adqc.experiments.sources import SOURCES, DataFile, Source, find_source

ENVIRONMENT = "ADQC_DATA"
# No file of a data set is larger, uncompressed.
LARGEST = 1 << 28


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes:
        name: Its name in :data:`SOURCES`.
        train_images: uint8, (N, C, H, W).
        train_labels: int64, (N,).
        test_images: uint8, (M, C, H, W).
        test_labels: int64, (M,).
        folder: Where the files were found.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    folder: Path

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images, (N, C, H, W), as float32 with the training set's mean and deviation taken out."""
        source = SOURCES[self.name]
        return normalise(images, source.mean, source.std)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images with channel means and deviations taken out.

    Args:
        images: uint8, or float in [0, 1]; (N, C, H, W).
        mean: Mean of each channel.
        std: Standard deviation of each channel.

    Returns:
        float32, (N, C, H, W).
    """
    values = images.float() / 255 if images.dtype == torch.uint8 else images
    shift = torch.tensor(mean, device=images.device).view(-1, 1, 1)
    return (values - shift) / torch.tensor(std, device=images.device).view(-1, 1, 1)


def data_folders(folder: str | Path | None = None) -> list[Path]:
    """The folders to look in: the one given, else ``ADQC_DATA``'s, else ``data/`` here and in the checkout."""
    if folder is not None:
        return [Path(folder)]
    if os.environ.get(ENVIRONMENT):
        return [Path(os.environ[ENVIRONMENT])]
    checkout = Path(__file__).resolve().parents[2]
    here = [Path.cwd() / "data"]
    is_checkout = (checkout / "pyproject.toml").is_file() and checkout != Path.cwd()
    return [*here, checkout / "data"] if is_checkout else here


def read(name: str, folder: str | Path | None = None) -> Images:
    """Read a data set.

    Args:
        name: ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"`` or ``"cifar100"``.
        folder: Data folder, laid out as torchvision does, or the folder of the files themselves.

    Raises:
        FileNotFoundError: If no folder has it, or files are missing.
        ValueError: If the name is unknown, or a file is cut short, altered or of another kind.
    """
    source = find_source(name)
    roots = data_folders(folder)
    forms = [(source.folders, source.train, source.test)]
    if source.python is not None:
        forms.append((source.python.folders, source.python.train, source.python.test))
    partial: FileNotFoundError | None = None
    for root in roots:
        for folders, train, test in forms:
            for place in [root / sub for sub in folders] + [root]:
                missing = [file.name for file in train + test if _path(place, file) is None]
                if not missing:
                    halves = _read_split(place, source, train), _read_split(place, source, test)
                    return Images(name, *halves[0], *halves[1], folder=place)
                if len(missing) < len(train + test) and partial is None:
                    partial = FileNotFoundError(
                        f"{source.title} in {place} is incomplete, {', '.join(missing)} missing: put "
                        f"{'it' if len(missing) == 1 else 'them'} there, or get all files with `adqc data fetch {name}`"
                    )
        if partial is not None:
            raise partial
    raise FileNotFoundError(
        f"{source.title} was not found in {' or '.join(str(root) for root in roots)}: put {source.train[0].name} and "
        f"the other {len(source.train + source.test) - 1} files into {roots[0] / source.folders[0]}, name another "
        f"folder with --data or {ENVIRONMENT}, or get them with `adqc data fetch {name}`"
    )


def _path(place: Path, file: DataFile) -> Path | None:
    return next((path for path in (place / file.name, place / f"{file.name}.gz") if path.is_file()), None)


def load_file(path: Path, file: DataFile) -> bytes:
    """The uncompressed contents of a file, with the size and checksum that they must have.

    Raises:
        ValueError: If the file is cut short, altered or of another kind.
    """
    remedy = "get it anew with `adqc data fetch`"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # One byte more than there should be: enough to see that a file is too long, whatever its size.
            data = stream.read(file.size + 1 if file.size else LARGEST)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    if file.name.endswith("-ubyte"):
        expected = b"\0\0\x08" + bytes([3 if "images" in file.name else 1])
        if data[:4] != expected:
            raise ValueError(
                f"{path} is no idx file of {'images' if expected[3] == 3 else 'labels'}: it should begin with the "
                f"bytes {expected.hex(' ')}, got {data[:4].hex(' ') or 'none'}; {remedy}"
            )
    if file.size and len(data) != file.size:
        found = f"{len(data):,}" if len(data) < file.size else "more"
        raise ValueError(f"{path} should hold {file.size:,} bytes uncompressed, got {found}: {remedy}")
    for kind, digest in (("sha256", file.sha256), ("md5", file.md5)):
        if digest and hashlib.new(kind, data, usedforsecurity=False).hexdigest() != digest:
            raise ValueError(f"{path} differs from the official file (its {kind.upper()} does not match): {remedy}")
    return data


def _read_split(place: Path, source: Source, files: tuple[DataFile, ...]) -> tuple[Tensor, Tensor]:
    contents = []
    for file in files:
        path = _path(place, file)
        assert path is not None, "read() has looked for every file"
        contents.append(load_file(path, file))
    if files[0].name.endswith("-ubyte"):
        pixels, labels = (_unpack_idx(files[k].name, contents[k]) for k in (0, 1))
        images = pixels.reshape(-1, *source.shape)
    elif files[0].name.endswith(".bin"):
        # CIFAR's record: the label, then the red, green and blue planes.
        records = np.concatenate([np.frombuffer(data, np.uint8) for data in contents])
        records = records.reshape(-1, source.label_bytes + math.prod(source.shape))
        labels = records[:, source.label_bytes - 1]
        images = records[:, source.label_bytes :].reshape(-1, *source.shape)
    else:
        parts = [_unpack_python(place / file.name, data) for file, data in zip(files, contents, strict=True)]
        images = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, *source.shape)
        labels = np.concatenate([classes for _, classes in parts])
    if labels.max(initial=0) >= source.classes:
        raise ValueError(
            f"{source.title} in {place} has the label {labels.max()}, but {source.classes} classes: get it anew with "
            f"`adqc data fetch`"
        )
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries of arrays, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("_reconstruct", "multiarray"): np.empty(0).__reduce__()[0],
            ("ndarray", "numpy"): np.ndarray,
            ("dtype", "numpy"): np.dtype,
        }
        found = known.get((name, module.rpartition(".")[2]))
        if found is None or not module.startswith("numpy"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return found


def _unpack_python(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        found = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        labels = found[b"fine_labels" if b"fine_labels" in found else b"labels"]
        return np.asarray(found[b"data"], np.uint8), np.asarray(labels, np.int64)
    except (pickle.UnpicklingError, KeyError, TypeError, EOFError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no batch of CIFAR's Python version ({error}): get the binary version") from error


def _unpack_idx(name: str, data: bytes) -> np.ndarray:
    axes = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if math.prod(shape) != values.size:
        raise ValueError(
            f"{name} announces {shape} entries, but holds {values.size:,}: get it anew with `adqc data fetch`"
        )
    return values.reshape(shape)
