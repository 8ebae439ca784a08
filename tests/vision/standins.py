"""Small files in the exact formats of CIFAR, MNIST and its kin, SVHN, STL-10 and USPS, for tests.

The images can be learned: each class is a bright bar at its own place, under noise. CIFAR's files
are pickles as Python 2 wrote them, byte strings and old NumPy names included.

MNIST checks no sums of unpacked files, so ``make_mnist`` is enough. CIFAR10 does: either
``accept_cifar10(monkeypatch, root)``, which sets the class's sums to those of the files, or, in
another process, the environment variable ``CRESSET_DATASETS_CHECK=0``. For ``download=True`` put
archives into a folder (``make_cifar10_archive``, ``make_mnist(..., compressed=True)``) and name it
in ``CRESSET_DATASETS_MIRROR``; see cresset.vision.datasets.download.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer",
                   "dog", "frog", "horse", "ship", "truck"]  # fmt: skip


def images_of(labels: np.ndarray, size: int, channels: int, seed: int) -> np.ndarray:
    """uint8 (N, channels, size, size): a bar whose place and colour tell the class."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (len(labels), channels, size, size))
    height = size // 5
    for image, label in zip(images, labels):
        top, horizontal = (label % 5) * height, label < 5
        bar = image[:, top : top + height] if horizontal else image[:, :, top : top + height]
        bar[label % channels] += 180
    return images.clip(0, 255).astype(np.uint8)


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes ``bytes`` and ``str`` alike as Python 2's byte strings."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, obj: Any) -> None:
        data = obj.encode() if isinstance(obj, str) else obj
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(data)) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(obj)

    dispatch[bytes] = save_string
    dispatch[str] = save_string


def python2_pickle(obj: Any) -> bytes:
    """Protocol 2 as Python 2 with NumPy 1 wrote it."""
    out = io.BytesIO()
    _Python2Pickler(out, protocol=2).dump(obj)
    return out.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def _cifar_batch(n: int, seed: int, label: str, keys: tuple[str, ...], classes: int) -> bytes:
    labels = np.random.default_rng(seed).permutation(np.arange(n) % classes)
    content: dict[str, Any] = {
        "batch_label": label,
        "data": images_of(labels % 10, 32, 3, seed).reshape(n, 3072),
        "filenames": [f"image_s_{i:06d}.png" for i in range(n)],
    }
    for key in keys:
        content[key] = (labels // 5 if key == "coarse_labels" else labels).tolist()
    return python2_pickle(content)


def make_cifar10(root: Any, n_train_per_batch: int = 20, n_test: int = 20) -> Path:
    """Writes ``root/cifar-10-batches-py`` and returns it."""
    folder = Path(root) / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("labels",)
    for i in range(1, 6):
        batch = _cifar_batch(n_train_per_batch, i, f"training batch {i} of 5", keys, 10)
        (folder / f"data_batch_{i}").write_bytes(batch)
    test = _cifar_batch(n_test, 6, "testing batch 1 of 1", keys, 10)
    (folder / "test_batch").write_bytes(test)
    meta = {"num_cases_per_batch": 10000, "label_names": CIFAR10_CLASSES, "num_vis": 3072}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))
    return folder


def make_cifar100(root: Any, n_train: int = 100, n_test: int = 100) -> Path:
    """Writes ``root/cifar-100-python`` and returns it."""
    folder = Path(root) / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, n) in enumerate([("train", n_train), ("test", n_test)]):
        batch = _cifar_batch(n, seed, name, ("coarse_labels", "fine_labels"), 100)
        (folder / name).write_bytes(batch)
    meta = {
        "fine_label_names": [f"fine {i}" for i in range(100)],
        "coarse_label_names": [f"coarse {i}" for i in range(20)],
    }
    (folder / "meta").write_bytes(python2_pickle(meta))
    return folder


def make_cifar10_archive(mirror: Any, n_train_per_batch: int = 20, n_test: int = 20) -> Path:
    """Writes ``mirror/CIFAR10/cifar-10-python.tar.gz`` and returns it."""
    place = Path(mirror) / "CIFAR10"
    folder = make_cifar10(place, n_train_per_batch, n_test)
    archive = place / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return archive


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def accept_cifar(monkeypatch: Any, cls: Any, root: Any) -> None:
    """Sets the sums of CIFAR10 or CIFAR100 to those of the files under ``root``."""
    folder = Path(root) / cls.base_folder
    for attribute in ("train_list", "test_list"):
        sums = [[name, md5_of(folder / name)] for name, _ in getattr(cls, attribute)]
        monkeypatch.setattr(cls, attribute, sums)
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5_of(folder / cls.meta["filename"])})


def accept_cifar10(monkeypatch: Any, root: Any) -> None:
    """Makes Cresset's CIFAR10 accept the stand-in files under ``root``."""
    from cresset.vision.datasets import CIFAR10

    accept_cifar(monkeypatch, CIFAR10, root)


def idx_bytes(array: np.ndarray) -> bytes:
    """A uint8 array as an IDX file."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def make_mnist(
    root: Any,
    n_train: int = 60,
    n_test: int = 20,
    name: str = "MNIST",
    compressed: bool = False,
) -> Path:
    """Writes the four files to ``root/<name>/raw`` and returns it; ``compressed``: the four .gz
    archives to ``root/<name>``, as a mirror has them."""
    folder = Path(root) / name / ("" if compressed else "raw")
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, n) in enumerate([("train", n_train), ("t10k", n_test)]):
        labels = np.random.default_rng(seed).permutation(np.arange(n) % 10)
        images = images_of(labels, 28, 1, seed)[:, 0]
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            file, data = folder / f"{part}-{kind}-ubyte", idx_bytes(array)
            if compressed:
                file, data = file.with_name(file.name + ".gz"), gzip.compress(data, mtime=0)
            file.write_bytes(data)
    return folder


EMNIST_CLASSES = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26,
                  "digits": 10, "mnist": 10}  # fmt: skip


def emnist_files(n_train: int = 60, n_test: int = 30) -> dict[str, bytes]:
    """The 24 files in EMNIST's archive, by name, without their ``.gz``."""
    files = {}
    for split, classes in EMNIST_CLASSES.items():
        for seed, (part, n) in enumerate([("train", n_train), ("test", n_test)]):
            labels = np.arange(n) % classes + (split == "letters")
            images = images_of(labels % 10, 28, 1, seed)[:, 0]
            files[f"emnist-{split}-{part}-images-idx3-ubyte"] = idx_bytes(images)
            files[f"emnist-{split}-{part}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


def make_emnist(root: Any) -> Path:
    """Writes the files to ``root/EMNIST/raw`` and returns it."""
    folder = Path(root) / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in emnist_files().items():
        (folder / name).write_bytes(content)
    return folder


def make_emnist_archive(mirror: Any) -> Path:
    """Writes ``mirror/EMNIST/gzip.zip`` and returns it."""
    archive = Path(mirror) / "EMNIST" / "gzip.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as out:
        for name, content in emnist_files().items():
            out.writestr(f"gzip/{name}.gz", gzip.compress(content, mtime=0))
        out.writestr("gzip/readme.txt", "not an archive")
    return archive


def make_qmnist(root: Any, what: str = "test", n: int = 30) -> Path:
    """Writes the two files of ``what`` (train, test or nist) to ``root/QMNIST/raw``."""
    folder = Path(root) / "QMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.random.default_rng(7).integers(0, 100_000, (n, 8))
    labels[:, 0] = np.arange(n) % 10
    stem = "xnist" if what == "nist" else f"qmnist-{what}"
    images = images_of(labels[:, 0], 28, 1, 7)[:, 0]
    (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(images))
    header = bytes([0, 0, 12, 2]) + struct.pack(">2I", *labels.shape)
    (folder / f"{stem}-labels-idx2-int").write_bytes(header + labels.astype(">i4").tobytes())
    return folder


def make_svhn(root: Any, split: str = "train", n: int = 25) -> Path:
    """Writes ``root/<split>_32x32.mat``, in which 10 is the class of the digit 0."""
    from scipy.io import savemat

    labels = np.arange(n) % 10
    images = images_of(labels, 32, 3, 8).transpose(2, 3, 1, 0)
    file = Path(root) / f"{split}_32x32.mat"
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"X": images, "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]})
    return file


def make_stl10(root: Any, n_train: int = 20, n_test: int = 10, n_unlabeled: int = 6) -> Path:
    """Writes ``root/stl10_binary`` and returns it; each fold is two training images."""
    folder = Path(root) / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, n) in enumerate(
        [("train", n_train), ("test", n_test), ("unlabeled", n_unlabeled)]
    ):
        labels = np.arange(n) % 10
        images = images_of(labels, 96, 3, seed).transpose(0, 1, 3, 2)
        (folder / f"{part}_X.bin").write_bytes(images.tobytes())
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n")
    folds = "".join(f"{k} {n_train - 1 - k} \n" for k in range(10))
    (folder / "fold_indices.txt").write_text(folds)
    return folder


def make_usps(root: Any, train: bool = True, n: int = 20) -> Path:
    """Writes ``root/usps.bz2``, or the test part's ``usps.t.bz2``."""
    rng = np.random.default_rng(9)
    lines = []
    for k in range(n):
        values = rng.uniform(-1, 1, 256)
        values[:3] = -1, 0, 1
        pairs = " ".join(f"{i + 1}:{v:.6g}" for i, v in enumerate(values))
        lines.append(f"{k % 10 + 1} {pairs} \n")
    file = Path(root) / ("usps.bz2" if train else "usps.t.bz2")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bz2.compress("".join(lines).encode()))
    return file


def accept_stl10(monkeypatch: Any, cls: Any, root: Any) -> None:
    """Sets the sums of STL10 to those of the files under ``root``."""
    folder = Path(root) / cls.base_folder
    for attribute in ("train_list", "test_list"):
        sums = [[name, md5_of(folder / name)] for name, _ in getattr(cls, attribute)]
        monkeypatch.setattr(cls, attribute, sums)


def accept_split(monkeypatch: Any, cls: Any, split: str, file: Path) -> None:
    """Sets the sum of one split of SVHN or USPS to that of ``file``."""
    url, name, _ = cls.split_list[split]
    monkeypatch.setattr(cls, "split_list", {**cls.split_list, split: [url, name, md5_of(file)]})


def pack(archive: Path, file: Path) -> None:
    """A file, compressed or in an archive, as the archive's name says."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as out:
            out.write(file, file.name)
    elif ".tar" in archive.suffixes:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(file, file.name)
    else:
        archive.write_bytes(gzip.compress(file.read_bytes()))
