"""Cats and dogs of 37 breeds: photographs, with a list of classes and an outline of each animal."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from cresset.vision.datasets.folder import default_loader
from cresset.vision.datasets.utils import fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import Image


class OxfordIIITPet(VisionDataset):
    """The Oxford-IIIT Pet Dataset (Parkhi et al., 2012), as (RGB PIL image, target).

    Args:
        root: the folder that holds ``oxford-iiit-pet``.
        split: ``trainval`` (3,680) or ``test`` (3,669).
        target_types: what a target is; of several, a tuple; of none, None:
            ``category`` (the breed, 0 to 36), ``binary-category`` (cat 0, dog 1), or
            ``segmentation`` (a PIL image of 1 animal, 2 background, 3 its edge).
        transforms, transform, target_transform: applied to both, to the image, to the target.
        download: fetch the archives first where they are missing.

    Raises:
        ValueError: an unknown split or kind of target.
        RuntimeError: files missing.
    """

    _HOME = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
    _RESOURCES = (
        (_HOME + "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        (_HOME + "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    )
    _VALID_TARGET_TYPES = ("category", "binary-category", "segmentation")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "trainval",
        target_types: Sequence[str] | str = "category",
        transforms: Transform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        self._split = verify_str_arg(split, "split", ("trainval", "test"))
        kinds = [target_types] if isinstance(target_types, str) else target_types
        self._target_types = [
            verify_str_arg(kind, "target_types", self._VALID_TARGET_TYPES) for kind in kinds
        ]
        super().__init__(root, transforms, transform, target_transform)
        self._base_folder = pathlib.Path(self.root) / "oxford-iiit-pet"
        self._images_folder = self._base_folder / "images"
        self._anns_folder = self._base_folder / "annotations"
        self._segs_folder = self._anns_folder / "trimaps"
        if download:
            self._download()
        if not self._check_exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        with open(self._anns_folder / f"{split}.txt") as f:
            rows = [line.split() for line in f]
        names = [row[0] for row in rows]
        self._labels = [int(row[1]) - 1 for row in rows]
        self._bin_labels = [int(row[2]) - 1 for row in rows]
        self._images = [self._images_folder / f"{name}.jpg" for name in names]
        self._segs = [self._segs_folder / f"{name}.png" for name in names]
        breeds = {label: name.rpartition("_")[0] for name, label in zip(names, self._labels)}
        self.classes = [breeds[k].replace("_", " ").title() for k in sorted(breeds)]
        self.class_to_idx = {name: k for k, name in enumerate(self.classes)}
        self.bin_classes = ["Cat", "Dog"]
        self.bin_class_to_idx = {"Cat": 0, "Dog": 1}

    def _target(self, kind: str, index: int) -> Any:
        if kind == "segmentation":
            with Image.open(self._segs[index]) as image:
                image.load()
                return image
        return (self._labels if kind == "category" else self._bin_labels)[index]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = default_loader(self._images[index])
        targets = tuple(self._target(kind, index) for kind in self._target_types)
        target = targets if len(targets) > 1 else targets[0] if targets else None
        return self.transforms(image, target) if self.transforms else (image, target)

    def __len__(self) -> int:
        return len(self._images)

    def _check_exists(self) -> bool:
        return self._images_folder.is_dir() and self._anns_folder.is_dir()

    def _download(self) -> None:
        if self._check_exists():
            return
        for url, md5 in self._RESOURCES:
            fetch(type(self).__name__, url, self._base_folder, md5, unpack=True)
