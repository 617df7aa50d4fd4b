"""Data sets of images: found on disk in torchvision's folders, checked, and read into memory.

A data set is looked for in the folder given, else in the one that the environment variable ``ADQC_DATA`` names, else
in ``data/`` of the current directory or of the source checkout (which carries MNIST).
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ENVIRONMENT = "ADQC_DATA"


@dataclass(frozen=True)
class DataFile:
    """A file of a data set, uncompressed; on disk it may also be there as ``name.gz``.

    Args:
        name: Its name in the folder.
        size: Its size in bytes.
        sha256: Its checksum.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """What is known about a data set.

    Args:
        title: Its name in sentences.
        folders: Where its files may lie below a data folder, torchvision's place first.
        train: The training files: images and labels (idx), or records (CIFAR's binary version).
        test: The test files.
        url: Official address: the folder of the ``.gz`` files, or the archive.
        shape: Channels, height and width of an image.
        classes: Number of classes.
        mean: Mean of each channel of the training images, in [0, 1].
        std: Their standard deviation.
    """

    title: str
    folders: tuple[str, ...]
    train: tuple[DataFile, ...]
    test: tuple[DataFile, ...]
    url: str
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _idx(kind: str, count: int, images: str, labels: str) -> tuple[DataFile, ...]:
    return (
        DataFile(f"{kind}-images-idx3-ubyte", 16 + count * 784, images),
        DataFile(f"{kind}-labels-idx1-ubyte", 8 + count, labels),
    )


def _cifar(names: Sequence[str], sums: Sequence[str]) -> tuple[DataFile, ...]:
    return tuple(DataFile(f"{name}.bin", 30_730_000, digest) for name, digest in zip(names, sums, strict=True))


SOURCES: dict[str, Source] = {
    "mnist": Source(
        title="MNIST",
        folders=("MNIST/raw", "mnist"),
        train=_idx(
            "train",
            60_000,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        test=_idx(
            "t10k",
            10_000,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        shape=(1, 28, 28),
        classes=10,
        mean=(0.1307,),
        std=(0.3081,),
    ),
    "fashion-mnist": Source(
        title="Fashion-MNIST",
        folders=("FashionMNIST/raw", "fashion-mnist"),
        train=_idx(
            "train",
            60_000,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        test=_idx(
            "t10k",
            10_000,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        shape=(1, 28, 28),
        classes=10,
        mean=(0.2860,),
        std=(0.3530,),
    ),
    "cifar10": Source(
        title="CIFAR-10",
        folders=("cifar-10-batches-bin", "cifar10"),
        train=_cifar(
            [f"data_batch_{k}" for k in range(1, 6)],
            [
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            ],
        ),
        test=_cifar(["test_batch"], ["8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"]),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        shape=(3, 32, 32),
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
}


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


def find_source(name: str) -> Source:
    """The data set named so.

    Raises:
        ValueError: If there is none.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}: use one of {', '.join(SOURCES)}")
    return SOURCES[name]


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
        name: ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"``.
        folder: Data folder, laid out as torchvision does, or the folder of the files themselves.

    Raises:
        FileNotFoundError: If no folder has it, or files are missing.
        ValueError: If the name is unknown, or a file is cut short, altered or of another kind.
    """
    source = find_source(name)
    roots = data_folders(folder)
    files = source.train + source.test
    for root in roots:
        for place in [root / sub for sub in source.folders] + [root]:
            there = [file.name for file in files if _path(place, file) is not None]
            if len(there) == len(files):
                train, test = _read_split(place, source, source.train), _read_split(place, source, source.test)
                return Images(name, *train, *test, folder=place)
            if there:
                missing = [file.name for file in files if file.name not in there]
                raise FileNotFoundError(
                    f"{source.title} in {place} is incomplete, {', '.join(missing)} missing: put "
                    f"{'it' if len(missing) == 1 else 'them'} there, or get all files with `adqc data fetch {name}`"
                )
    raise FileNotFoundError(
        f"{source.title} was not found in {' or '.join(str(root) for root in roots)}: put {files[0].name} and the "
        f"other {len(files) - 1} files into {roots[0] / source.folders[0]}, name another folder with --data or "
        f"{ENVIRONMENT}, or get them with `adqc data fetch {name}`"
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
            data = stream.read(file.size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    if file.name.endswith("-ubyte"):
        expected = b"\0\0\x08" + bytes([3 if "images" in file.name else 1])
        if data[:4] != expected:
            raise ValueError(
                f"{path} is no idx file of {'images' if expected[3] == 3 else 'labels'}: it should begin with the "
                f"bytes {expected.hex(' ')}, got {data[:4].hex(' ') or 'none'}; {remedy}"
            )
    if len(data) != file.size:
        found = f"{len(data):,}" if len(data) < file.size else "more"
        raise ValueError(f"{path} should hold {file.size:,} bytes uncompressed, got {found}: {remedy}")
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ValueError(f"{path} differs from the official file (its SHA-256 does not match): {remedy}")
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
    else:
        # CIFAR's record: the label, then the red, green and blue planes.
        records = np.concatenate([np.frombuffer(data, np.uint8) for data in contents])
        records = records.reshape(-1, 1 + math.prod(source.shape))
        labels, images = records[:, 0], records[:, 1:].reshape(-1, *source.shape)
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))


def _unpack_idx(name: str, data: bytes) -> np.ndarray:
    axes = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if math.prod(shape) != values.size:
        raise ValueError(
            f"{name} announces {shape} entries, but holds {values.size:,}: get it anew with `adqc data fetch`"
        )
    return values.reshape(shape)
