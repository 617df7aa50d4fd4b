"""Download data sets from their official addresses."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import IO

from adqc.experiments.data import data_folders, load_file
from adqc.experiments.sources import DataFile, find_source

TIMEOUT = 30


def fetch(name: str, folder: str | Path | None = None, *, url: str | None = None, quiet: bool = False) -> Path:
    """Download a data set, check it, and lay it out as torchvision does.

    Files that are already there and right are kept. A file appears under its name only when it is complete.

    Args:
        name: ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"`` or ``"cifar100"``.
        folder: Data folder; None for ``ADQC_DATA``'s, else ``data/`` in the current directory.
        url: Another address with the same files; None for the official one.
        quiet: Show no progress bar.

    Returns:
        The folder that holds the files.

    Raises:
        ConnectionError: If the address cannot be reached or does not have the files.
        ValueError: If the name is unknown, or what came differs from the official files.
    """
    source = find_source(name)
    place = data_folders(folder)[0] / source.folders[0]
    place.mkdir(parents=True, exist_ok=True)
    files = source.train + source.test
    missing = [file for file in files if not _is_right(place, file)]
    address = url or source.url
    archive = source.url.endswith(".tar.gz")
    hint = (
        f"check the connection, name a mirror with --url, or put {', '.join(file.name for file in files)} into {place} "
        f"yourself"
    )
    if missing and archive:
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            packed = Path(scratch) / "archive"
            _download(address, packed, source.title, hint, quiet)
            _unpack(packed, Path(scratch), place, missing, address)
    elif missing:
        for file in missing:
            with tempfile.TemporaryDirectory(dir=place) as scratch:
                packed, plain = Path(scratch) / "packed.gz", Path(scratch) / file.name
                _download(f"{address.rstrip('/')}/{file.name}.gz", packed, file.name, hint, quiet)
                with gzip.open(packed) as stream:
                    _write(stream, plain, file, address)
                os.replace(plain, place / file.name)
    return place


def _is_right(place: Path, file: DataFile) -> bool:
    for path in (place / file.name, place / f"{file.name}.gz"):
        if path.is_file():
            try:
                load_file(path, file)
            except ValueError:
                continue
            return True
    return False


def _download(address: str, target: Path, title: str, hint: str, quiet: bool) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    try:
        with (
            urllib.request.urlopen(address, timeout=TIMEOUT) as answer,
            target.open("wb") as out,
            Progress(*columns, disable=quiet) as progress,
        ):
            length = int(answer.headers.get("Content-Length") or 0)
            task = progress.add_task(title, total=length or None)
            received = 0
            while block := answer.read(1 << 16):
                out.write(block)
                received += len(block)
                progress.update(task, completed=received)
            if length and received < length:
                raise ConnectionError(f"only {received:,} of {length:,} bytes came")
    except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        reason: object = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        elif isinstance(error, urllib.error.URLError):
            # Its own text is the reason in angle brackets.
            reason = error.reason
        raise ConnectionError(f"could not download {title} from {address} ({reason}): {hint}") from error


def _write(stream: IO[bytes] | gzip.GzipFile, target: Path, file: DataFile, address: str) -> None:
    try:
        with target.open("wb") as out:
            # One byte more than expected shows that the file is too long without unpacking all of it.
            out.write(stream.read(file.size + 1))
        load_file(target, file)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{file.name} from {address} differs from the official file: try another --url") from error


def _unpack(packed: Path, scratch: Path, place: Path, files: list[DataFile], address: str) -> None:
    try:
        with tarfile.open(packed, "r:gz") as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            for file in files:
                if file.name not in members:
                    raise ValueError(f"the archive from {address} does not hold {file.name}: try another --url")
                stream = archive.extractfile(members[file.name])
                assert stream is not None, "only plain files were kept"
                _write(stream, scratch / file.name, file, address)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"what came from {address} is no complete archive: try another --url") from error
    for file in files:
        shutil.move(scratch / file.name, place / file.name)
