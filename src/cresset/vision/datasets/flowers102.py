"""Flowers of 102 kinds, in photographs of many sizes, with classes and parts in MATLAB files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

from cresset.vision.datasets.folder import default_loader
from cresset.vision.datasets.utils import check_integrity, fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset

_CLASSES = """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold,
    tiger lily, moon orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's
    foot, king protea, spear thistle, yellow iris, globe-flower, purple coneflower, peruvian
    lily, balloon flower, giant white arum lily, fire lily, pincushion flower, fritillary,
    red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian,
    artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster,
    alpine sea holly, ruby-lipped cattleya, cape flower, great masterwort, siam tulip,
    lenten rose, barbeton daisy, daffodil, sword lily, poinsettia, bolero deep blue,
    wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy,
    primula, sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange dahlia,
    pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan, silverbush,
    californian poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy,
    gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus,
    toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree
    mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss,
    foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower,
    trumpet creeper, blackberry lily
"""


class Flowers102(VisionDataset):
    """Oxford's 102 Category Flower Dataset (Nilsback and Zisserman, 2008), as (image, int).

    Args:
        root: the folder that holds ``flowers-102``.
        split: ``train`` (1,020), ``val`` (1,020) or ``test`` (6,149).
        transform, target_transform: applied to the image and to the class.
        download: fetch the files first where they are missing.
        loader: path to image; else RGB PIL images. ``vision.io.decode_image`` gives tensors.

    Raises:
        ValueError: an unknown split.
        RuntimeError: files missing or damaged.
    """

    _download_url_prefix = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    _file_dict = {
        "image": ("102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
        "label": ("imagelabels.mat", "e0620be6f572b9609742df49c70aed4d"),
        "setid": ("setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
    }
    _splits_map = {"train": "trnid", "val": "valid", "test": "tstid"}
    classes = [" ".join(name.split()) for name in _CLASSES.split(",")]

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
        self._split = verify_str_arg(split, "split", tuple(self._splits_map))
        self._base_folder = pathlib.Path(self.root) / "flowers-102"
        self._images_folder = self._base_folder / "jpg"
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it"
            )
        from scipy.io import loadmat  # 0.2 s, which only this data set should cost

        numbers = loadmat(self._base_folder / "setid.mat")[self._splits_map[split]].ravel().tolist()
        classes = loadmat(self._base_folder / "imagelabels.mat")["labels"].ravel().tolist()
        self._labels = [classes[number - 1] - 1 for number in numbers]
        self._image_files = [self._images_folder / f"image_{n:05d}.jpg" for n in numbers]
        self.loader = loader

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(self.loader(self._image_files[index]), self._labels[index])

    def __len__(self) -> int:
        return len(self._image_files)

    def _check_integrity(self) -> bool:
        return self._images_folder.is_dir() and all(
            check_integrity(self._base_folder / name, md5)
            for name, md5 in (self._file_dict["label"], self._file_dict["setid"])
        )

    def download(self) -> None:
        """Fetches what is missing and unpacks the images."""
        if self._check_integrity():
            return
        for kind, (name, md5) in self._file_dict.items():
            url, unpack = self._download_url_prefix + name, kind == "image"
            fetch(type(self).__name__, url, self._base_folder, md5, unpack=unpack)

    def extra_repr(self) -> str:
        return f"split={self._split}"
