"""What is known about the data sets: their files with sizes and checksums, folders, addresses, means.

Sizes and checksums are those of the official files; where one is not known here, the other has to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DataFile:
    """A file of a data set, uncompressed; on disk it may also be there as ``name.gz``.

    Args:
        name: Its name in the folder.
        size: Its size in bytes; 0 where it is not known.
        sha256: Its checksum; empty where it is not known.
        md5: The checksum that the data set's authors give, for files whose SHA-256 is not known.
    """

    name: str
    size: int
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True)
class Layout:
    """Another form of the same data set: CIFAR's version for Python, which torchvision keeps.

    Args:
        folders: Where its files may lie below a data folder.
        train: The training files, pickled dictionaries of arrays.
        test: The test files.
    """

    folders: tuple[str, ...]
    train: tuple[DataFile, ...]
    test: tuple[DataFile, ...]


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
        label_bytes: Bytes before the pixels in a record, the last of them the label (CIFAR-100's first is a group).
        python: CIFAR's version for Python.
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
    label_bytes: int = 1
    python: Layout | None = None


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
        python=Layout(
            ("cifar-10-batches-py",),
            tuple(
                DataFile(f"data_batch_{k}", 0, md5=digest)
                for k, digest in enumerate(
                    [
                        "c99cafc152244af753f735de768cd75f",
                        "d4bba439e000b95fd0a9bffe97cbabec",
                        "54ebc095f3ab1f0389bbae665268c751",
                        "634d18415352ddfa80567beed471001a",
                        "482c414d41f54cd18b22e5b47cb7c3cb",
                    ],
                    1,
                )
            ),
            (DataFile("test_batch", 0, md5="40351d587109b95175f43aff81a1287e"),),
        ),
    ),
    "cifar100": Source(
        title="CIFAR-100",
        folders=("cifar-100-binary", "cifar100"),
        train=(DataFile("train.bin", 50_000 * 3074),),
        test=(DataFile("test.bin", 10_000 * 3074),),
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        shape=(3, 32, 32),
        classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        label_bytes=2,
        python=Layout(
            ("cifar-100-python",),
            (DataFile("train", 0, md5="16019d7e3df5f24257cddd939b257f8d"),),
            (DataFile("test", 0, md5="f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        ),
    ),
}


def find_source(name: str) -> Source:
    """The data set named so.

    Raises:
        ValueError: If there is none.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}: use one of {', '.join(SOURCES)}")
    return SOURCES[name]
