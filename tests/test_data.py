"""Data sets: reading from disk and what damaged files get, fetching from a local server, batches."""

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import shutil
import struct
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adqc.experiments.batches import Augment, Batches
from adqc.experiments.data import data_folders, normalise, read
from adqc.experiments.fetch import fetch
from adqc.experiments.sources import SOURCES, DataFile, Layout

CARRIED = Path(__file__).resolve().parents[1] / "data" / "mnist"
NAMES = [file.name for file in SOURCES["mnist"].train + SOURCES["mnist"].test]


def idx(values):
    head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.to(torch.uint8).numpy().tobytes()


def entry(name, content):
    return DataFile(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def small(monkeypatch):
    """Small data sets in the official formats, in the places of MNIST and CIFAR-10: name -> contents."""
    torch.manual_seed(1)
    contents = {}
    for kind, count in (("train", 12), ("t10k", 5)):
        contents[f"{kind}-images-idx3-ubyte"] = idx(torch.randint(0, 256, (count, 28, 28)))
        contents[f"{kind}-labels-idx1-ubyte"] = idx(torch.randint(0, 10, (count,)))
    for name, count in (("data_batch_1.bin", 4), ("data_batch_2.bin", 3), ("test_batch.bin", 2)):
        records = torch.randint(0, 256, (count, 3073)).to(torch.uint8)
        records[:, 0] %= 10
        contents[name] = records.numpy().tobytes()
    files = {name: entry(name, content) for name, content in contents.items()}
    mnist = replace(SOURCES["mnist"], train=tuple(files[n] for n in NAMES[:2]), test=tuple(files[n] for n in NAMES[2:]))
    cifar = replace(
        SOURCES["cifar10"],
        train=(files["data_batch_1.bin"], files["data_batch_2.bin"]),
        test=(files["test_batch.bin"],),
    )
    monkeypatch.setitem(SOURCES, "mnist", mnist)
    monkeypatch.setitem(SOURCES, "cifar10", cifar)
    return contents


def write(folder, contents, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(contents[name])


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist():
    return read("mnist", CARRIED.parent)


def test_the_repository_carries_all_of_mnist(mnist):
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_images.dtype == torch.uint8
    assert mnist.train_labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.folder == CARRIED


def test_the_carried_files_have_the_checksums_beside_them():
    lines = (CARRIED / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split()) for line in lines if not line.startswith("#"))
    assert sorted(sums) == sorted(f"{name}.gz" for name in NAMES)
    for name, digest in sums.items():
        assert hashlib.sha256((CARRIED / name).read_bytes()).hexdigest() == digest
    assert (CARRIED / "README.md").is_file()
    assert "CC BY-SA 3.0" in (CARRIED / "LICENSE").read_text()


def test_normalised_images_have_mean_zero_and_deviation_one(mnist):
    values = mnist.normalise(mnist.train_images[::3])
    assert values.dtype == torch.float32
    assert abs(float(values.mean())) < 0.01
    assert abs(float(values.std()) - 1) < 0.01


def test_torchvisions_folders_are_read_compressed_or_not(small, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    write(raw, small)
    plain = read("mnist", tmp_path)
    assert plain.folder == raw
    for name in NAMES[1:]:
        (raw / f"{name}.gz").write_bytes(gzip.compress(small[name]))
        (raw / name).unlink()
    packed = read("mnist", tmp_path)
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(plain, field), getattr(packed, field))
    assert torch.equal(read("mnist", raw).test_images, plain.test_images)
    expected = torch.frombuffer(bytearray(small[NAMES[0]]), dtype=torch.uint8, offset=16).view(12, 1, 28, 28)
    assert torch.equal(plain.train_images, expected)


def test_cifars_binary_records_are_read(small, tmp_path):
    names = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]
    write(tmp_path / "cifar-10-batches-bin", small, names)
    images = read("cifar10", tmp_path)
    assert images.train_images.shape == (7, 3, 32, 32)
    records = torch.frombuffer(bytearray(small["data_batch_2.bin"]), dtype=torch.uint8).view(3, 3073)
    assert torch.equal(images.train_labels[4:], records[:, 0].long())
    assert torch.equal(images.train_images[5].flatten(), records[1, 1:])


@pytest.fixture
def cifar100(monkeypatch):
    """A small CIFAR-100 in both official formats: (images, fine labels) of both halves, and files."""
    images = torch.randint(0, 256, (9, 3, 32, 32)).to(torch.uint8)
    fine, coarse = torch.arange(9) * 12, torch.arange(9)
    heads = torch.stack([coarse, fine], 1).to(torch.uint8)
    records = torch.cat([heads, images.flatten(1)], 1)
    files = {}
    for kind, part in (("train", slice(0, 6)), ("test", slice(6, 9))):
        files[f"{kind}.bin"] = records[part].numpy().tobytes()
        batch = {b"coarse_labels": coarse[part].tolist(), b"fine_labels": fine[part].tolist()}
        files[kind] = pickle.dumps({b"data": images[part].flatten(1).numpy(), **batch}, protocol=3)
    entries = {name: DataFile(name, 0, md5=hashlib.md5(content).hexdigest()) for name, content in files.items()}
    for name in ("train.bin", "test.bin"):
        entries[name] = DataFile(name, len(files[name]))
    layout = Layout(("cifar-100-python",), (entries["train"],), (entries["test"],))
    own = replace(SOURCES["cifar100"], train=(entries["train.bin"],), test=(entries["test.bin"],), python=layout)
    monkeypatch.setitem(SOURCES, "cifar100", own)
    return images, fine, files


@pytest.mark.parametrize(
    ("folder", "names"), [("cifar-100-binary", ["train.bin", "test.bin"]), ("cifar-100-python", ["train", "test"])]
)
def test_cifar100_is_read_in_both_official_formats(cifar100, tmp_path, folder, names):
    images, fine, files = cifar100
    write(tmp_path / folder, files, names)
    found = read("cifar100", tmp_path)
    assert found.folder == tmp_path / folder
    assert torch.equal(torch.cat([found.train_images, found.test_images]), images)
    assert torch.equal(torch.cat([found.train_labels, found.test_labels]), fine)
    assert found.train_labels.dtype == torch.int64


def test_cifar100_that_is_damaged_gets_a_sentence(cifar100, tmp_path, monkeypatch):
    _, _, files = cifar100
    write(tmp_path / "a" / "cifar-100-binary", {**files, "test.bin": files["test.bin"][:-1]}, ["train.bin", "test.bin"])
    with pytest.raises(ValueError, match=r"test\.bin should hold 9,222 bytes uncompressed, got 9,221"):
        read("cifar100", tmp_path / "a")
    write(tmp_path / "b" / "cifar-100-python", {**files, "train": files["train"] + b"x"}, ["train", "test"])
    with pytest.raises(ValueError, match="its MD5 does not match"):
        read("cifar100", tmp_path / "b")
    wrong = bytearray(files["train.bin"])
    wrong[1] = 100
    write(tmp_path / "c" / "cifar-100-binary", {**files, "train.bin": bytes(wrong)}, ["train.bin", "test.bin"])
    with pytest.raises(ValueError, match="has the label 100, but 100 classes"):
        read("cifar100", tmp_path / "c")


class Harmful:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("content", [pickle.dumps({b"data": Harmful()}), pickle.dumps({b"labels": [1]}), b"nothing"])
def test_a_pickle_of_anything_else_is_refused_and_runs_nothing(cifar100, tmp_path, monkeypatch, capsys, content):
    _, _, files = cifar100
    layout = Layout(("cifar-100-python",), (DataFile("train", 0),), (DataFile("test", 0),))
    monkeypatch.setitem(SOURCES, "cifar100", replace(SOURCES["cifar100"], python=layout))
    write(tmp_path / "cifar-100-python", {**files, "train": content}, ["train", "test"])
    with pytest.raises(ValueError, match="is no batch of CIFAR's Python version"):
        read("cifar100", tmp_path)
    assert capsys.readouterr().out == ""


def test_cifar10s_python_version_is_read_in_the_order_of_its_batches(monkeypatch, tmp_path):
    images, labels = torch.randint(0, 256, (6, 3, 32, 32)).to(torch.uint8), torch.arange(6)
    contents = {
        name: pickle.dumps({b"data": images[part].flatten(1).numpy(), b"labels": labels[part].tolist()}, protocol=3)
        for name, part in (("data_batch_1", slice(0, 3)), ("data_batch_2", slice(3, 5)), ("test_batch", slice(5, 6)))
    }
    train = tuple(DataFile(name, 0) for name in ("data_batch_1", "data_batch_2"))
    layout = Layout(("cifar-10-batches-py",), train, (DataFile("test_batch", 0),))
    monkeypatch.setitem(SOURCES, "cifar10", replace(SOURCES["cifar10"], python=layout))
    write(tmp_path / "cifar-10-batches-py", contents, list(contents))
    found = read("cifar10", tmp_path)
    assert torch.equal(found.train_images, images[:5])
    assert found.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert found.test_labels.tolist() == [5]


def test_the_folder_given_comes_before_the_environment_and_that_before_the_current_one(monkeypatch, tmp_path):
    monkeypatch.setenv("ADQC_DATA", str(tmp_path / "named"))
    assert data_folders(tmp_path / "given") == [tmp_path / "given"]
    assert data_folders() == [tmp_path / "named"]
    monkeypatch.delenv("ADQC_DATA")
    monkeypatch.chdir(tmp_path)
    assert data_folders() == [tmp_path / "data", CARRIED.parent]
    assert read("mnist").folder == CARRIED


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown data set 'imagenet': use one of mnist"):
        read("imagenet")


def test_a_missing_folder_says_where_the_files_belong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not found in .*MNIST/raw.*ADQC_DATA.*adqc data fetch mnist"):
        read("mnist", tmp_path / "nowhere")


def test_an_incomplete_folder_names_what_is_missing(small, tmp_path):
    write(tmp_path / "MNIST" / "raw", small, NAMES[:3])
    with pytest.raises(FileNotFoundError, match=r"incomplete, t10k-labels-idx1-ubyte missing.*adqc data fetch mnist"):
        read("mnist", tmp_path)


def damaged_magic(content):
    return b"\x89PNG" + content[4:]


def cut(content):
    return content[:-1]


def longer(content):
    return content + b"\0"


def altered(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def cut_gzip(content):
    return gzip.compress(content)[:-20]


def no_gzip(content):
    return b"<html>not found</html>"


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
@pytest.mark.parametrize(
    ("damage", "ending", "said"),
    [
        (damaged_magic, "", "is no idx file of (images|labels).*89 50 4e 47"),
        (cut, "", "should hold .* bytes uncompressed, got"),
        (longer, "", "should hold .* bytes uncompressed, got more"),
        (altered, "", "differs from the official file"),
        (cut_gzip, ".gz", "is damaged"),
        (no_gzip, ".gz", "is damaged"),
    ],
)
def test_damaged_files_get_a_sentence(small, tmp_path, name, damage, ending, said):
    write(tmp_path, small)
    (tmp_path / name).unlink()
    (tmp_path / (name + ending)).write_bytes(damage(small[name]))
    with pytest.raises(ValueError, match=said) as error:
        read("mnist", tmp_path)
    assert name in str(error.value)
    assert "adqc data fetch" in str(error.value)


# --- fetching -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A local server of a folder: (folder, address, paths asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

        def send_header(self, keyword, value):
            if keyword == "Content-Length" and (folder / "lie").exists():
                value = str(int(value) + 1000)
            super().send_header(keyword, value)

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{service.server_port}", asked
    service.shutdown()
    thread.join()
    service.server_close()


def serve_mnist(folder, contents):
    for name in NAMES:
        (folder / f"{name}.gz").write_bytes(gzip.compress(contents[name]))


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_files_are_fetched_once_and_can_be_read(small, server, tmp_path):
    folder, url, asked = server
    serve_mnist(folder, small)
    place = fetch("mnist", tmp_path / "data", url=url, quiet=True)
    assert place == tmp_path / "data" / "MNIST" / "raw"
    assert left_over(place) == sorted(NAMES)
    assert len(asked) == 4
    assert read("mnist", tmp_path / "data").train_images.shape == (12, 1, 28, 28)
    (place / NAMES[2]).write_bytes(b"broken")
    fetch("mnist", tmp_path / "data", url=f"{url}/", quiet=True)
    assert len(asked) == 5
    assert (place / NAMES[2]).read_bytes() == small[NAMES[2]]


def test_an_archive_is_fetched_and_unpacked(small, server, tmp_path):
    folder, url, _ = server
    names = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        for name in [*names, "readme.html"]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            content = small.get(name, b"read me")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    place = fetch("cifar10", tmp_path / "data", url=f"{url}/cifar.tar.gz", quiet=True)
    assert left_over(place) == names
    assert read("cifar10", tmp_path / "data").train_labels.shape == (7,)


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda folder, contents: None, ConnectionError, "could not download train-images.*404"),
        (lambda folder, contents: (folder / "lie").touch(), ConnectionError, "only .* bytes came|IncompleteRead"),
        (
            lambda folder, contents: [(folder / f"{n}.gz").write_bytes(b"<html>") for n in NAMES],
            ValueError,
            "differs from the official file: try another --url",
        ),
        (
            lambda folder, contents: [(folder / f"{n}.gz").write_bytes(cut_gzip(contents[n])) for n in NAMES],
            ValueError,
            "differs from the official file",
        ),
        (
            lambda folder, contents: [
                (folder / f"{n}.gz").write_bytes(gzip.compress(altered(contents[n]))) for n in NAMES
            ],
            ValueError,
            "differs from the official file",
        ),
    ],
)
def test_a_failed_download_leaves_no_file(small, server, tmp_path, damage, error, said):
    folder, url, _ = server
    damage(folder, small)
    if (folder / "lie").exists():
        serve_mnist(folder, small)
    with pytest.raises(error, match=said):
        fetch("mnist", tmp_path / "data", url=url, quiet=True)
    assert left_over(tmp_path / "data") == []


@pytest.mark.parametrize("content", [b"<html>", None])
def test_a_wrong_archive_leaves_no_file(small, server, tmp_path, content):
    folder, url, _ = server
    with tarfile.open(folder / "empty.tar.gz", "w:gz"):
        pass
    if content is not None:
        (folder / "empty.tar.gz").write_bytes(content)
    said = "does not hold data_batch_1.bin" if content is None else "is no complete archive"
    with pytest.raises(ValueError, match=said):
        fetch("cifar10", tmp_path / "data", url=f"{url}/empty.tar.gz", quiet=True)
    assert left_over(tmp_path / "data") == []


def test_an_unreachable_address_says_where_to_put_the_files(small, tmp_path):
    with pytest.raises(ConnectionError, match="refused") as error:
        fetch("mnist", tmp_path, url="http://127.0.0.1:9", quiet=True)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)
    assert "train-images-idx3-ubyte" in str(error.value)
    assert "\n" not in str(error.value)


# --- batches ------------------------------------------------------------------------------------------------------


def batches(images, labels, **options):
    return Batches(images, labels, **{"batch_size": 4, "mean": (0.0,), "std": (1.0,), "seed": 3, **options})


@pytest.fixture
def numbered():
    return torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 6, 6).contiguous(), torch.arange(10)


def test_an_epoch_shows_every_image_once_with_its_label(numbered):
    made = batches(*numbered)
    assert len(made) == 3
    parts = list(made)
    assert [len(labels) for _, labels in parts] == [4, 4, 2]
    images, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    assert sorted(labels.tolist()) == list(range(10))
    assert labels.tolist() != list(range(10))
    torch.testing.assert_close(images[:, 0, 2, 3] * 255, labels.float())


def test_the_order_depends_on_seed_and_epoch_alone(numbered):
    def orders(made, count):
        return [torch.cat([labels for _, labels in made]).tolist() for _ in range(count)]

    three = orders(batches(*numbered), 3)
    assert len({tuple(order) for order in three}) == 3
    again = batches(*numbered)
    again.epoch = 2
    assert orders(again, 1) == three[2:]
    assert orders(batches(*numbered, seed=4), 1) != three[:1]


def test_without_a_seed_the_order_stays(numbered):
    made = batches(*numbered, seed=None, batch_size=7)
    assert torch.cat([labels for _, labels in made]).tolist() == list(range(10))


def test_batches_are_normalised(numbered):
    images, labels = numbered
    found, which = next(iter(batches(images, labels, mean=(0.5,), std=(0.25,))))
    torch.testing.assert_close(found, (images[which].float() / 255 - 0.5) / 0.25)
    torch.testing.assert_close(found, normalise(images[which], (0.5,), (0.25,)))


def test_shifts_move_whole_pixels_within_the_limit():
    image = torch.zeros(1, 2, 9, 9)
    image[0, :, 4, 4] = torch.tensor([1.0, 2.0])
    shifted = Augment(shift=2)(image.expand(200, -1, -1, -1), torch.Generator().manual_seed(0))
    assert shifted.shape == (200, 2, 9, 9)
    places = shifted[:, 0].nonzero()
    assert len(places) == 200
    assert {tuple(p) for p in places[:, 1:].tolist()} == {(y, x) for y in range(2, 7) for x in range(2, 7)}
    torch.testing.assert_close(shifted[:, 1], 2 * shifted[:, 0])


def test_a_warp_by_next_to_nothing_changes_nothing():
    images = torch.rand(5, 1, 28, 28)
    warped = Augment(scale=1e-7)(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(warped, images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("change", [{"rotate": 20}, {"scale": 0.2}, {"shear": 10}, {"rotate": 5, "shift": 2}])
def test_warps_change_every_image_in_its_own_way_and_repeat_with_the_seed(change):
    images = torch.rand(1, 1, 28, 28).expand(4, -1, -1, -1)
    one, two = (Augment(**change)(images, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.allclose(one[0], one[1], atol=1e-3)


def test_half_of_the_images_are_mirrored():
    images = torch.arange(3.0).expand(400, 1, 1, 3)
    flipped = Augment(flip=True)(images, torch.Generator().manual_seed(0))
    mirrored = (flipped[:, 0, 0, 0] == 2).sum()
    assert 150 < mirrored < 250
    assert ((flipped == images) | (flipped == images.flip(-1))).all()


def test_bad_options_are_refused(numbered):
    with pytest.raises(ValueError, match=r"augment\.rotate.*cannot be negative, got -3"):
        Augment(rotate=-3)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batches(*numbered, batch_size=0)


def test_the_carried_files_stay_as_they_are_when_copied(tmp_path):
    place = tmp_path / "mnist"
    shutil.copytree(CARRIED, place)
    (place / f"{NAMES[3]}.gz").write_bytes((place / f"{NAMES[3]}.gz").read_bytes()[:-9])
    with pytest.raises(ValueError, match=NAMES[3]):
        read("mnist", tmp_path)


def test_batches_lie_with_the_channels_last():
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    for seed in (None, 0):
        batches = Batches(images, torch.arange(6), batch_size=4, mean=(0.0,) * 3, std=(1.0,) * 3, seed=seed)
        assert all(own.is_contiguous(memory_format=torch.channels_last) for own, _ in batches)
