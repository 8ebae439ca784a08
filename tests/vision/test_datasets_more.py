"""EMNIST, QMNIST, SVHN, STL10 and USPS, from stand-in files, and beside torchvision itself."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standins
from oracle import load_torchvision

import cresset
from cresset.vision import datasets, transforms


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("split", datasets.EMNIST.splits)
def test_emnist_reads_each_split(tmp_path: Path, split: str, train: bool) -> None:
    standins.make_emnist(tmp_path)
    data = datasets.EMNIST(tmp_path, split, train=train)
    count = standins.EMNIST_CLASSES[split]
    assert len(data) == (60 if train else 30)
    assert len(data.classes) == count + (split == "letters")
    first = np.arange(len(data)) % count + (split == "letters")
    assert data.targets.tolist() == first.tolist()
    image, target = data[4]
    assert (image.mode, image.size, target) == ("L", (28, 28), int(first[4]))
    assert (np.asarray(image) == data.data[4].numpy()).all()


def test_emnists_classes_say_which_letters_are_one() -> None:
    classes = datasets.EMNIST.classes_split_dict
    assert "".join(classes["byclass"][10:36]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert "".join(classes["balanced"][36:]) == "abdefghnqrt"
    assert classes["letters"][:3] == ["N/A", "a", "b"]


def test_emnist_needs_a_known_split_and_its_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown value 'all' for argument split. Valid values"):
        datasets.EMNIST(tmp_path, "all")
    with pytest.raises(RuntimeError, match="Dataset not found. You can use download=True"):
        datasets.EMNIST(tmp_path, "letters")


def test_emnist_downloads_one_archive_for_all_splits(tmp_path: Path, monkeypatch: Any) -> None:
    archive = standins.make_emnist_archive(tmp_path / "mirror")
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(datasets.EMNIST, "md5", standins.md5_of(archive))
    assert len(datasets.EMNIST(tmp_path, "digits", download=True)) == 60
    archive.unlink()
    assert len(datasets.EMNIST(tmp_path, "byclass", train=False, download=True)) == 30
    assert not (tmp_path / "EMNIST" / "raw" / "gzip").exists()


@pytest.mark.parametrize(("what", "file"), [("train", "train"), ("test", "test"), ("nist", "nist")])
def test_qmnist_has_a_class_or_the_whole_row(tmp_path: Path, what: str, file: str) -> None:
    standins.make_qmnist(tmp_path, file)
    data = datasets.QMNIST(tmp_path, what)
    assert data.targets.shape == (30, 8)
    assert data.targets.dtype == cresset.int64
    assert data[12][1] == 2
    row = datasets.QMNIST(tmp_path, what, compat=False)[12][1]
    assert row.tolist() == data.targets[12].tolist()
    assert "Split: " + what in repr(data)


def test_qmnist_takes_train_or_test_from_its_flag(tmp_path: Path) -> None:
    standins.make_qmnist(tmp_path, "test")
    assert datasets.QMNIST(tmp_path, train=False).what == "test"
    with pytest.raises(RuntimeError, match="Dataset not found"):
        datasets.QMNIST(tmp_path)


def test_qmnists_test_part_comes_in_two(tmp_path: Path) -> None:
    folder = tmp_path / "QMNIST" / "raw"
    folder.mkdir(parents=True)
    images, labels = np.zeros((10_003, 2, 2)), np.zeros((10_003, 8))
    labels[:, 0] = np.arange(10_003) % 251
    (folder / "qmnist-test-images-idx3-ubyte").write_bytes(standins.idx_bytes(images))
    (folder / "qmnist-test-labels-idx2-int").write_bytes(standins.idx_bytes(labels))
    assert len(datasets.QMNIST(tmp_path, "test10k")) == 10_000
    rest = datasets.QMNIST(tmp_path, "test50k")
    assert rest.targets[:, 0].tolist() == [k % 251 for k in range(10_000, 10_003)]


def test_qmnist_downloads_gz_and_xz(tmp_path: Path, monkeypatch: Any) -> None:
    for what, pack, suffix in (("test", gzip.compress, ".gz"), ("nist", lzma.compress, ".xz")):
        raw = standins.make_qmnist(tmp_path / what, what)
        mirror = tmp_path / "mirror" / "QMNIST"
        mirror.mkdir(parents=True, exist_ok=True)
        for file in raw.iterdir():
            (mirror / (file.name + suffix)).write_bytes(pack(file.read_bytes()))
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("CRESSET_DATASETS_CHECK", "0")
    assert len(datasets.QMNIST(tmp_path / "data", "test", download=True)) == 30
    assert len(datasets.QMNIST(tmp_path / "data", "nist", download=True)) == 30


@pytest.mark.parametrize("split", ["train", "test", "extra"])
def test_svhn_reads_matlabs_file(tmp_path: Path, monkeypatch: Any, split: str) -> None:
    file = standins.make_svhn(tmp_path, split)
    standins.accept_split(monkeypatch, datasets.SVHN, split, file)
    data = datasets.SVHN(tmp_path, split)
    assert (data.data.shape, data.data.dtype) == ((25, 3, 32, 32), np.uint8)
    assert (data.labels.dtype, data.labels.tolist()) == (np.int64, [k % 10 for k in range(25)])
    image, target = data[13]
    assert (image.mode, image.size, target) == ("RGB", (32, 32), 3)
    assert (np.asarray(image).transpose(2, 0, 1) == data.data[13]).all()


def test_svhn_downloads_what_its_sum_says(tmp_path: Path, monkeypatch: Any) -> None:
    file = standins.make_svhn(tmp_path / "mirror" / "SVHN")
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(datasets.SVHN, "split_list", {
        split: [(tmp_path / "none").as_uri() + "/" + name, name, md5]
        for split, (_, name, md5) in datasets.SVHN.split_list.items()
    })  # fmt: skip
    with pytest.raises(OSError, match="none"):  # the mirror's has another sum, the source no file
        datasets.SVHN(tmp_path, download=True)
    with pytest.raises(RuntimeError, match="Dataset not found or corrupted"):
        datasets.SVHN(tmp_path)
    standins.accept_split(monkeypatch, datasets.SVHN, "train", file)
    assert len(datasets.SVHN(tmp_path, download=True)) == 25
    with pytest.raises(ValueError, match="Unknown value 'valid' for argument split"):
        datasets.SVHN(tmp_path, "valid")


@pytest.mark.parametrize(
    ("split", "folds", "labels"),
    [
        ("train", None, [*range(10), *range(10)]),
        ("train", 3, [3, 6]),
        ("test", None, [*range(10)]),
        ("unlabeled", None, [-1] * 6),
        ("train+unlabeled", None, [*range(10), *range(10)] + [-1] * 6),
        ("train+unlabeled", 0, [0, 9] + [-1] * 6),
    ],
)
def test_stl10_reads_each_split(
    tmp_path: Path, monkeypatch: Any, split: str, folds: Any, labels: list[int]
) -> None:
    standins.make_stl10(tmp_path)
    standins.accept_stl10(monkeypatch, datasets.STL10, tmp_path)
    data = datasets.STL10(tmp_path, split, folds)
    assert data.data.shape == (len(labels), 3, 96, 96)
    assert [data[k][1] for k in range(len(data))] == labels
    assert data.classes == standins.CIFAR10_CLASSES
    want = standins.images_of(np.arange(10) % 10, 96, 3, 1)
    if split == "test":
        assert (np.asarray(data[7][0]).transpose(2, 0, 1) == want[7]).all()


@pytest.mark.parametrize(
    ("folds", "text"),
    [(10, "in the range .0, 10., but got 10"), ("1", "but got type <class 'str'>")],
)
def test_stl10_has_ten_folds(tmp_path: Path, folds: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        datasets.STL10(tmp_path, folds=folds)


def test_stl10_notices_what_is_missing(tmp_path: Path, monkeypatch: Any) -> None:
    folder = standins.make_stl10(tmp_path)
    standins.accept_stl10(monkeypatch, datasets.STL10, tmp_path)
    (folder / "test_y.bin").write_bytes(b"\1\2")
    with pytest.raises(RuntimeError, match="Dataset not found or corrupted"):
        datasets.STL10(tmp_path)


def test_usps_maps_its_values_to_bytes(tmp_path: Path) -> None:
    standins.make_usps(tmp_path)
    data = datasets.USPS(tmp_path)
    assert (data.data.shape, data.data.dtype) == ((20, 16, 16), np.uint8)
    assert data.data[0, 0, :3].tolist() == [0, 127, 255]
    assert data.targets == [k % 10 for k in range(20)]
    image, target = data[11]
    assert (image.mode, image.size, target) == ("L", (16, 16), 1)


def test_usps_replaces_a_damaged_file(tmp_path: Path, monkeypatch: Any) -> None:
    file = standins.make_usps(tmp_path / "mirror" / "USPS", train=False)
    standins.accept_split(monkeypatch, datasets.USPS, "test", file)
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress(b"1 1:0"))
    assert len(datasets.USPS(tmp_path, train=False, download=True)) == 20


class TestBesideTorchvision:
    """The same files, read by both."""

    @pytest.fixture(autouse=True)
    def _oracle(self) -> None:
        self.torch, self.torchvision = load_torchvision()

    @pytest.mark.parametrize("name", ["EMNIST", "QMNIST", "SVHN", "STL10", "USPS"])
    def test_class_attributes_are_torchvisions(self, name: str) -> None:
        ours, theirs = getattr(datasets, name), getattr(self.torchvision.datasets, name)
        attributes = """url md5 splits classes_split_dict subsets resources classes split_list
                        base_folder filename tgz_md5 class_names_file folds_list_file train_list
                        test_list"""
        compared = [a for a in attributes.split() if hasattr(theirs, a)]
        assert len(compared) >= 1
        for attribute in compared:
            assert getattr(ours, attribute) == getattr(theirs, attribute), attribute

    def _compare(self, name: str, *args: Any, count: int = 5, **options: Any) -> None:
        ours = getattr(datasets, name)(*args, transform=transforms.ToTensor(), **options)
        theirs = getattr(self.torchvision.datasets, name)(
            *args, transform=self.torchvision.transforms.ToTensor(), **options
        )
        assert repr(ours) == repr(theirs)
        assert len(ours) == len(theirs)
        for attribute in ("data", "targets", "labels", "classes", "class_to_idx"):
            if not hasattr(theirs, attribute):
                assert not hasattr(ours, attribute), attribute
                continue
            a, b = getattr(ours, attribute), getattr(theirs, attribute)
            if hasattr(b, "tolist"):
                assert str(a.dtype) == str(b.dtype)
                a, b = a.tolist(), b.tolist()
            assert a == b, attribute
        for i in [*range(count), -1]:
            (a, s), (b, t) = ours[i], theirs[i]
            assert a.tolist() == b.tolist()
            assert s == t if isinstance(t, int) else s.tolist() == t.tolist()

    @pytest.mark.parametrize("split", datasets.EMNIST.splits)
    def test_emnist(self, tmp_path: Path, split: str) -> None:
        standins.make_emnist(tmp_path)
        self._compare("EMNIST", str(tmp_path), split, train=False)

    @pytest.mark.parametrize("compat", [True, False])
    def test_qmnist(self, tmp_path: Path, compat: bool) -> None:
        standins.make_qmnist(tmp_path, "nist")
        self._compare("QMNIST", tmp_path, "nist", compat)

    def test_svhn(self, tmp_path: Path, monkeypatch: Any) -> None:
        file = standins.make_svhn(tmp_path, "extra")
        for cls in (datasets.SVHN, self.torchvision.datasets.SVHN):
            standins.accept_split(monkeypatch, cls, "extra", file)
        self._compare("SVHN", tmp_path, "extra", count=12)

    @pytest.mark.parametrize(
        ("split", "folds"),
        [("train", None), ("train", 4), ("test", None), ("unlabeled", 2), ("train+unlabeled", 9)],
    )
    def test_stl10(self, tmp_path: Path, monkeypatch: Any, split: str, folds: Any) -> None:
        standins.make_stl10(tmp_path)
        for cls in (datasets.STL10, self.torchvision.datasets.STL10):
            standins.accept_stl10(monkeypatch, cls, tmp_path)
        self._compare("STL10", tmp_path, split, folds=folds, count=2)

    def test_usps(self, tmp_path: Path) -> None:
        standins.make_usps(tmp_path)
        self._compare("USPS", tmp_path)
