"""STL-10: colour 96x96 images in plain binary files, few with a class and many without.

An image is three planes of 96 columns each (MATLAB's order), a class a byte from 1 to 10.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.utils import check_integrity, fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import Image

NO_CLASS = -1


class STL10(VisionDataset):
    """Photographs for learning with few classes known (Coates et al., 2011), as (PIL image, int).

    Args:
        root: the folder that holds ``stl10_binary``.
        split: ``train`` (5,000), ``test`` (8,000), ``unlabeled`` (100,000, class -1) or
            ``train+unlabeled``.
        folds: 0 to 9: the thousand training images of this published fold only.
        transform, target_transform: applied to the image and to the class.
        download: fetch the archive first where files are missing or damaged.

    ``data`` is a uint8 array (N, 3, 96, 96), ``labels`` an array (N), ``classes`` the names.

    Raises:
        ValueError: an unknown split or fold.
        RuntimeError: files missing or damaged.
    """

    base_folder = "stl10_binary"
    url = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
    filename = "stl10_binary.tar.gz"
    tgz_md5 = "91f7769df0f17e558f3565bffb0c7dfb"
    class_names_file = "class_names.txt"
    folds_list_file = "fold_indices.txt"
    train_list = [
        ["train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"],
        ["train_y.bin", "5a34089d4802c674881badbb80307741"],
        ["unlabeled_X.bin", "5242ba1fed5e4be9e1e742405eb56ca4"],
    ]
    test_list = [
        ["test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"],
        ["test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"],
    ]
    splits = ("train", "train+unlabeled", "unlabeled", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        folds: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = verify_str_arg(split, "split", self.splits)
        self.folds = _checked_fold(folds)
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it"
            )
        self.data: Any
        self.labels: Any
        self.data, self.labels = self._load()
        names = self._path(self.class_names_file)
        if os.path.isfile(names):
            with open(names) as f:
                self.classes = f.read().splitlines()

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        train, classes, unlabeled = (name for name, _ in self.train_list)
        if self.split == "test":
            (images, _), (labels, _) = self.test_list
            return self._images(images), self._labels(labels)
        if self.split == "unlabeled":
            data = self._images(unlabeled)
            return data, np.full(len(data), NO_CLASS)
        data, labels_of = self._images(train), self._labels(classes)
        if self.folds is not None:
            with open(self._path(self.folds_list_file)) as f:
                chosen = np.array(f.read().splitlines()[self.folds].split(), np.int64)
            data, labels_of = data[chosen], labels_of[chosen]
        if self.split == "train":
            return data, labels_of
        more = self._images(unlabeled)
        return (
            np.concatenate((data, more)),
            np.concatenate((labels_of, np.full(len(more), NO_CLASS))),
        )

    def _path(self, name: str) -> str:
        return os.path.join(self.root, self.base_folder, name)

    def _images(self, name: str) -> np.ndarray:
        planes = np.fromfile(self._path(name), np.uint8).reshape(-1, 3, 96, 96)
        return planes.transpose(0, 1, 3, 2)

    def _labels(self, name: str) -> np.ndarray:
        return np.fromfile(self._path(name), np.uint8) - 1

    @in_rows("data", "labels", "CHW")
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(self.data[index].transpose(1, 2, 0))
        return self._transformed(image, int(self.labels[index]))

    def __len__(self) -> int:
        return len(self.data)

    def _check_integrity(self) -> bool:
        return all(
            check_integrity(self._path(name), md5)
            for name, md5 in [*self.train_list, *self.test_list]
        )

    def download(self) -> None:
        """Fetches and unpacks the archive, unless good files are there."""
        if self._check_integrity():
            return
        fetch(type(self).__name__, self.url, self.root, self.tgz_md5, unpack=True)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def _checked_fold(folds: Any) -> int | None:
    if folds is None or (isinstance(folds, int) and folds in range(10)):
        return folds
    if isinstance(folds, int):
        raise ValueError(
            f"Value for argument folds should be in the range [0, 10), but got {folds}."
        )
    raise ValueError(f"Expected type None or int for argument folds, but got type {type(folds)}.")
