"""Food-101: photographs of 101 dishes, listed by class in JSON files."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from cresset.vision.datasets.folder import default_loader
from cresset.vision.datasets.utils import fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset


class Food101(VisionDataset):
    """Photographs of 101 dishes (Bossard et al., 2014), as (image, int).

    Args:
        root: the folder that holds ``food-101``.
        split: ``train`` (75,750, some of them in the wrong class) or ``test`` (25,250).
        transform, target_transform: applied to the image and to the class.
        download: fetch the archive first where it is missing.
        loader: path to image; else RGB PIL images. ``vision.io.decode_image`` gives tensors.

    Raises:
        ValueError: an unknown split.
        RuntimeError: files missing.
    """

    _URL = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
    _MD5 = "85eeb15f3717b99a5da872d97d918f87"

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
        loader: Callable[[Any], Any] = default_loader,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._split = verify_str_arg(split, "split", ("train", "test"))
        self._base_folder = pathlib.Path(self.root) / "food-101"
        self._meta_folder = self._base_folder / "meta"
        self._images_folder = self._base_folder / "images"
        if download:
            self._download()
        if not self._check_exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        files_of = json.loads((self._meta_folder / f"{split}.json").read_text())
        self.classes = sorted(files_of)
        self.class_to_idx = {name: k for k, name in enumerate(self.classes)}
        pairs = [(file, name) for name, files in files_of.items() for file in files]
        self._image_files = [self._images_folder / f"{file}.jpg" for file, _ in pairs]
        self._labels = [self.class_to_idx[name] for _, name in pairs]
        self.loader = loader

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(self.loader(self._image_files[index]), self._labels[index])

    def __len__(self) -> int:
        return len(self._image_files)

    def _check_exists(self) -> bool:
        return self._meta_folder.is_dir() and self._images_folder.is_dir()

    def _download(self) -> None:
        if not self._check_exists():
            fetch(type(self).__name__, self._URL, self.root, self._MD5, unpack=True)

    def extra_repr(self) -> str:
        return f"split={self._split}"
