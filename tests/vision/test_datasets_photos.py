"""Data sets of photographs in folders, from stand-ins, and beside torchvision itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standins_photos as standins
from oracle import load_torchvision
from PIL import Image

import cresset
from cresset.vision import datasets, io


@pytest.fixture
def unchecked(monkeypatch: Any) -> None:
    monkeypatch.setenv("CRESSET_DATASETS_CHECK", "0")


def test_flowers_come_in_three_parts(tmp_path: Path, unchecked: None) -> None:
    standins.make_flowers(tmp_path)
    parts = [datasets.Flowers102(tmp_path, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [10, 5, 15]
    files = [file.name for part in parts for file in part._image_files]
    assert sorted(files) == [f"image_{k:05d}.jpg" for k in range(1, 31)]
    assert (parts[0].classes[0], parts[0].classes[101]) == ("pink primrose", "blackberry lily")
    image, target = parts[0][3]
    assert image.mode == "RGB"
    assert 0 <= target < 102


def test_a_loader_may_give_tensors(tmp_path: Path, unchecked: None) -> None:
    standins.make_flowers(tmp_path)
    tensor, _ = datasets.Flowers102(tmp_path, loader=io.decode_image)[0]
    image, _ = datasets.Flowers102(tmp_path)[0]
    assert tensor.dtype == cresset.uint8
    assert tensor.permute(1, 2, 0).tolist() == np.asarray(image).tolist()


def test_pets_have_three_kinds_of_targets(tmp_path: Path) -> None:
    standins.make_pets(tmp_path)
    assert datasets.OxfordIIITPet(tmp_path)[6][1] == 2
    assert datasets.OxfordIIITPet(tmp_path, "test", "binary-category")[1][1] == 1
    both = datasets.OxfordIIITPet(tmp_path, target_types=["category", "segmentation"])
    image, (breed, outline) = both[5]
    assert (image.mode, breed, outline.mode, outline.size) == ("RGB", 1, "L", image.size)
    assert both.classes == ["Abyssinian", "American Bulldog", "Bengal", "Great Pyrenees"]
    assert datasets.OxfordIIITPet(tmp_path, target_types=[])[0][1] is None
    together = datasets.OxfordIIITPet(tmp_path, transforms=lambda im, t: (im.size, -t))
    assert together[6] == ((9, 6), -2)


def test_caltech101_has_classes_and_outlines(tmp_path: Path) -> None:
    standins.make_caltech101(tmp_path)
    data = datasets.Caltech101(tmp_path, ["category", "annotation"])
    assert data.categories == ["Faces", "airplanes", "crab"]
    targets = [data[k][1] for k in range(len(data))]
    assert [target[0] for target in targets] == [0, 0, 1, 2, 2, 2]
    assert [target[1].shape for target in targets] == [(2, k) for k in (1, 2, 1, 1, 2, 3)]
    assert datasets.Caltech101(tmp_path, target_transform=lambda t: t + 10)[3][1] == 12


def test_caltech256_counts_images_only(tmp_path: Path) -> None:
    standins.make_caltech256(tmp_path)
    data = datasets.Caltech256(tmp_path)
    assert [data[k][1] for k in range(len(data))] == [0, 0, 1, 1, 1]
    assert data.categories == ["001.ak47", "002.american-flag"]


def test_food_is_listed_by_class(tmp_path: Path) -> None:
    standins.make_food(tmp_path)
    data = datasets.Food101(tmp_path, "test")
    assert data.class_to_idx == {"apple_pie": 0, "waffles": 1}
    assert [data[k][1] for k in range(len(data))] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "name", ["Flowers102", "OxfordIIITPet", "Caltech101", "Caltech256", "Food101"]
)
def test_without_files_each_says_how_to_get_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="You can use download=True to download it"):
        getattr(datasets, name)(str(tmp_path))


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    for cls in (datasets.Flowers102, datasets.OxfordIIITPet, datasets.Food101):
        with pytest.raises(ValueError, match="Unknown value 'none' for argument split"):
            cls(tmp_path, "none")
    with pytest.raises(ValueError, match="Unknown value 'x' for argument target_type"):
        datasets.Caltech101(tmp_path, ["category", "x"])
    with pytest.raises(ValueError, match="Unknown value 'x' for argument target_types"):
        datasets.OxfordIIITPet(tmp_path, target_types="x")


def test_each_is_downloaded_and_unpacked(tmp_path: Path, monkeypatch: Any, unchecked: None) -> None:
    mirror, scratch = tmp_path / "mirror", tmp_path / "scratch"
    monkeypatch.setenv("CRESSET_DATASETS_MIRROR", str(mirror))
    flowers = standins.make_flowers(scratch)
    standins.tar_of(mirror / "Flowers102" / "102flowers.tgz", flowers / "jpg")
    for name in ("imagelabels.mat", "setid.mat"):
        (flowers / name).rename(mirror / "Flowers102" / name)
    pets = standins.make_pets(scratch)
    for name in ("images", "annotations"):
        standins.tar_of(mirror / "OxfordIIITPet" / f"{name}.tar.gz", pets / name)
    standins.make_caltech101_archive(mirror, scratch)
    objects = standins.make_caltech256(scratch) / "256_ObjectCategories"
    standins.tar_of(mirror / "Caltech256" / "256_ObjectCategories.tar", objects)
    standins.tar_of(mirror / "Food101" / "food-101.tar.gz", standins.make_food(scratch))
    counts = {"Flowers102": 10, "OxfordIIITPet": 8, "Caltech101": 6, "Caltech256": 5, "Food101": 6}
    for name, count in counts.items():
        data = getattr(datasets, name)(tmp_path / "data", download=True)
        assert len(data) == count
        assert isinstance(data[count - 1][0], Image.Image)
        assert len(getattr(datasets, name)(tmp_path / "data", download=True)) == count
    outlines = datasets.Caltech101(tmp_path / "data", "annotation")
    assert outlines[5][1].shape == (2, 3)
    assert sorted(p.name for p in (tmp_path / "data" / "caltech101").iterdir()) == [
        "101_ObjectCategories", "Annotations",
    ]  # fmt: skip


class TestBesideTorchvision:
    """The same files, read by both."""

    @pytest.fixture(autouse=True)
    def _oracle(self, monkeypatch: Any) -> None:
        _, self.torchvision = load_torchvision()
        monkeypatch.setattr(
            self.torchvision.datasets.flowers102, "check_integrity", lambda path, md5=None: True
        )
        monkeypatch.setenv("CRESSET_DATASETS_CHECK", "0")

    @pytest.mark.parametrize(
        ("name", "make", "options"),
        [
            ("Flowers102", standins.make_flowers, {}),
            ("Flowers102", standins.make_flowers, {"split": "test"}),
            ("OxfordIIITPet", standins.make_pets, {}),
            ("OxfordIIITPet", standins.make_pets, {"split": "test", "target_types": []}),
            ("OxfordIIITPet", standins.make_pets,
             {"target_types": ["segmentation", "binary-category", "category"]}),
            ("Caltech101", standins.make_caltech101, {}),
            ("Caltech101", standins.make_caltech101, {"target_type": ["annotation", "category"]}),
            ("Caltech256", standins.make_caltech256, {}),
            ("Food101", standins.make_food, {}),
            ("Food101", standins.make_food, {"split": "test"}),
        ],
    )  # fmt: skip
    def test_samples_and_text_are_the_same(
        self, tmp_path: Path, name: str, make: Any, options: Any
    ) -> None:
        make(tmp_path)
        ours = getattr(datasets, name)(str(tmp_path), transform=np.asarray, **options)
        theirs = getattr(self.torchvision.datasets, name)(
            str(tmp_path), transform=np.asarray, **options
        )
        assert repr(ours) == repr(theirs)
        assert len(ours) == len(theirs)
        for attribute in """classes class_to_idx bin_classes bin_class_to_idx categories index y
                            annotation_categories _labels _bin_labels _image_files _images _segs
                            _URL _MD5 _RESOURCES _file_dict""".split():
            if hasattr(theirs, attribute):
                assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
        for k in range(len(theirs)):
            (a, s), (b, t) = ours[k], theirs[k]
            assert a.tolist() == b.tolist()
            assert self._plain(s) == self._plain(t)

    def _plain(self, target: Any) -> Any:
        if isinstance(target, tuple):
            return [self._plain(part) for part in target]
        return np.asarray(target).tolist() if hasattr(target, "__array_interface__") else target
