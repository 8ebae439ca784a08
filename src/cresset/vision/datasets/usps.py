"""USPS: grey 16x16 digits of envelopes, a line of text each in LIBSVM's format.

A line is ``class 1:value 2:value ... 256:value`` with classes 1 to 10 and values -1 to 1.
"""

from __future__ import annotations

import bz2
import os
from typing import Any

import numpy as np

from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.utils import check_integrity, fetch
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import image_from_array

_HOME = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"


class USPS(VisionDataset):
    """Digits from envelopes (Hull, 1994), 7,291 to train and 2,007 to test, as (PIL image, int).

    Args:
        root: the folder that holds ``usps.bz2`` and ``usps.t.bz2``.
        train: the training part, otherwise the test part.
        transform, target_transform: applied to the image and to the class.
        download: fetch the file first where it is missing or damaged.

    ``data`` is a uint8 array (N, 16, 16), ``targets`` a list of N ints from 0 to 9.
    """

    split_list = {
        "train": [_HOME + "usps.bz2", "usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"],
        "test": [_HOME + "usps.t.bz2", "usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"],
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
        url, filename, md5 = self.split_list["train" if train else "test"]
        path = os.path.join(self.root, filename)
        if download and not check_integrity(path, md5):
            fetch(type(self).__name__, url, self.root, md5)
        with bz2.open(path, "rt", encoding="ascii") as f:
            rows = [line.split() for line in f]
        values = np.array([[pair.partition(":")[2] for pair in row[1:]] for row in rows])
        pixels = (values.astype(np.float32).reshape(-1, 16, 16) + 1) / 2 * 255
        self.data: Any = pixels.astype(np.uint8)
        self.targets = [int(row[0]) - 1 for row in rows]

    @in_rows("data", "targets", "HW")
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = image_from_array(self.data[index], mode="L")
        return self._transformed(image, int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)
