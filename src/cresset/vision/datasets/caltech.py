"""Caltech 101 and Caltech 256: photographs in a folder per class, numbered from 1."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

from cresset.vision.datasets.utils import extract_archive, fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import Image

_NOT_FOUND = "Dataset not found or corrupted. You can use download=True to download it"
#: Classes whose outlines are kept under another name.
_OUTLINE_FOLDERS = {"Faces": "Faces_2", "Faces_easy": "Faces_3", "Motorbikes": "Motorbikes_16",
                    "airplanes": "Airplanes_Side_2"}  # fmt: skip


class _Numbered(VisionDataset):
    """``categories`` are the classes; sample k is image ``index[k]`` of class ``y[k]``."""

    categories: list[str]

    def _find(self, folder: str, suffix: str = "") -> None:
        self.index: list[int] = []
        self.y: list[int] = []
        for k, name in enumerate(self.categories):
            files = os.listdir(os.path.join(self.root, folder, name))
            count = sum(file.endswith(suffix) for file in files)
            self.index += range(1, count + 1)
            self.y += [k] * count

    def _image(self, *path: str) -> Image.Image:
        image = Image.open(os.path.join(self.root, *path))
        image.load()  # and with it the file is closed
        return image

    def __len__(self) -> int:
        return len(self.index)


class Caltech101(_Numbered):
    """Objects of 101 kinds (Fei-Fei et al., 2004), as (PIL image, target); some images are grey.

    Args:
        root: the folder that holds ``caltech101``.
        target_type: what a target is, or a list of it: ``category`` (the class) or ``annotation``
            (an outline drawn by hand, an array (2, points)).
        transform, target_transform: applied to the image and to the target.
        download: fetch the archive first where it is missing.

    Raises:
        ValueError: an unknown kind of target.
        RuntimeError: files missing.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        target_type: Sequence[str] | str = "category",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(
            os.path.join(root, "caltech101"), transform=transform, target_transform=target_transform
        )
        os.makedirs(self.root, exist_ok=True)
        kinds = [target_type] if isinstance(target_type, str) else target_type
        self.target_type = [
            verify_str_arg(kind, "target_type", ("category", "annotation")) for kind in kinds
        ]
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(_NOT_FOUND)
        self.categories = sorted(os.listdir(os.path.join(self.root, "101_ObjectCategories")))
        self.categories.remove("BACKGROUND_Google")  # pictures of nothing in particular
        self.annotation_categories = [_OUTLINE_FOLDERS.get(c, c) for c in self.categories]
        self._find("101_ObjectCategories")

    def _target(self, kind: str, index: int) -> Any:
        if kind == "category":
            return self.y[index]
        from scipy.io import loadmat  # 0.2 s, which only outlines should cost

        folder = self.annotation_categories[self.y[index]]
        file = f"annotation_{self.index[index]:04d}.mat"
        return loadmat(os.path.join(self.root, "Annotations", folder, file))["obj_contour"]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        folder = self.categories[self.y[index]]
        image = self._image("101_ObjectCategories", folder, f"image_{self.index[index]:04d}.jpg")
        targets = tuple(self._target(kind, index) for kind in self.target_type)
        return self._transformed(image, targets if len(targets) > 1 else targets[0])

    def _check_integrity(self) -> bool:
        return os.path.exists(os.path.join(self.root, "101_ObjectCategories"))

    def download(self) -> None:
        """Fetches the archive and unpacks the two archives in it: outlines, then images."""
        if self._check_integrity():
            return
        url = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
        md5 = "3138e1922a9193bfa496528edbbc45d0"
        fetch(type(self).__name__, url, self.root, md5, unpack=True)
        inner = os.path.join(self.root, "caltech-101")
        for name in sorted(os.listdir(inner), reverse=True):
            if name.endswith((".gz", ".tar")):
                extract_archive(os.path.join(inner, name), self.root)
        shutil.rmtree(inner)
        os.remove(os.path.join(self.root, "caltech-101.zip"))

    def extra_repr(self) -> str:
        return f"Target type: {self.target_type}"


class Caltech256(_Numbered):
    """Objects of 256 kinds and clutter (Griffin et al., 2007), as (PIL image, int).

    Arguments as for ``Caltech101``, without ``target_type``; the folder is ``caltech256``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(
            os.path.join(root, "caltech256"), transform=transform, target_transform=target_transform
        )
        os.makedirs(self.root, exist_ok=True)
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(_NOT_FOUND)
        self.categories = sorted(os.listdir(os.path.join(self.root, "256_ObjectCategories")))
        self._find("256_ObjectCategories", ".jpg")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        target = self.y[index]
        file = f"{target + 1:03d}_{self.index[index]:04d}.jpg"
        image = self._image("256_ObjectCategories", self.categories[target], file)
        return self._transformed(image, target)

    def _check_integrity(self) -> bool:
        return os.path.exists(os.path.join(self.root, "256_ObjectCategories"))

    def download(self) -> None:
        """Fetches and unpacks the archive."""
        if self._check_integrity():
            return
        url = "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar"
        md5 = "67b4f42ca05d46448c6bb8ecd2220f6d"
        fetch(type(self).__name__, url, self.root, md5, unpack=True)
