"""CIFAR-10 and CIFAR-100: colour 32x32 images in pickles of Python 2.

Each pickle is a dict: ``data``, a uint8 array (N, 3072) of planes R, G, B, and a list of classes.
They are read by ``unpickle.py``, which executes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.unpickle import load_plain
from cresset.vision.datasets.utils import check_integrity, fetch
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import Image


class CIFAR10(VisionDataset):
    """Photographs of ten kinds of things, 50,000 to train and 10,000 to test, as (PIL image, int).

    Args:
        root: the folder that holds ``cifar-10-batches-py``.
        train: the training part, otherwise the test part.
        transform, target_transform: applied to the image and to the class.
        download: fetch the archive first where files are missing or damaged.

    ``data`` is a uint8 array (N, 32, 32, 3), ``targets`` a list of N ints.

    Raises:
        RuntimeError: files missing or damaged.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list: Sequence[Sequence[str]] = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: Sequence[Sequence[str]] = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": "5ff9c542aee3614f3951f8cda6e48888",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it"
            )
        batches: list[np.ndarray] = []
        self.targets: list[int] = []
        for name, _ in self.train_list if self.train else self.test_list:
            entry = load_plain(self._path(name))
            batches.append(entry["data"])
            self.targets.extend(entry["labels"] if "labels" in entry else entry["fine_labels"])
        planes = np.vstack(batches).reshape(-1, 3, 32, 32)
        self.data: Any = planes.transpose(0, 2, 3, 1)
        self._load_meta()

    def _path(self, name: str) -> str:
        return os.path.join(self.root, self.base_folder, name)

    def _load_meta(self) -> None:
        path = self._path(self.meta["filename"])
        if not check_integrity(path, self.meta["md5"]):
            raise RuntimeError(
                "Dataset metadata file not found or corrupted. "
                "You can use download=True to download it"
            )
        self.classes: list[str] = load_plain(path)[self.meta["key"]]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    @in_rows("data", "targets", "HWC")
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(Image.fromarray(self.data[index]), self.targets[index])

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
            print("Files already downloaded and verified")
            return
        fetch(type(self).__name__, self.url, self.root, self.tgz_md5, unpack=True)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train is True else 'Test'}"


class CIFAR100(CIFAR10):
    """As CIFAR10 with 100 classes, of which ``targets`` has the fine ones."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta = {
        "filename": "meta",
        "key": "fine_label_names",
        "md5": "7973b15100ade9c7d40fb424638fde48",
    }
