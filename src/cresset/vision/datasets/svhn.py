"""SVHN: house numbers cut out of street photographs, in MATLAB files.

Each file holds ``X``, a uint8 array (32, 32, 3, N), and ``y``, classes (N, 1) in which 10 stands
for the digit 0.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.utils import check_integrity, fetch, verify_str_arg
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import Image

_HOME = "http://ufldl.stanford.edu/housenumbers/"


class SVHN(VisionDataset):
    """Street View House Numbers (Netzer et al., 2011), as (32x32 RGB PIL image, int).

    Args:
        root: the folder that holds ``train_32x32.mat`` and its like.
        split: ``train`` (73,257 digits), ``test`` (26,032) or ``extra`` (531,131 easier ones).
        transform, target_transform: applied to the image and to the class.
        download: fetch the file first where it is missing or damaged.

    ``data`` is a uint8 array (N, 3, 32, 32), ``labels`` an int64 array (N) of 0 to 9.

    Raises:
        ValueError: an unknown split.
        RuntimeError: file missing or damaged.
    """

    split_list = {
        "train": [
            _HOME + "train_32x32.mat",
            "train_32x32.mat",
            "e26dedcc434d2e4c54c9b2d4a06d8373",
        ],
        "test": [_HOME + "test_32x32.mat", "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"],
        "extra": [
            _HOME + "extra_32x32.mat",
            "extra_32x32.mat",
            "a93ce644f1a588dc4d68dda5feec44a7",
        ],
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = verify_str_arg(split, "split", tuple(self.split_list))
        self.url, self.filename, self.file_md5 = self.split_list[split]
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it"
            )
        from scipy.io import loadmat  # 0.2 s, which only this data set should cost

        content = loadmat(os.path.join(self.root, self.filename), variable_names=["X", "y"])
        self.data: Any = content["X"].transpose(3, 2, 0, 1)
        labels = content["y"].astype(np.int64).reshape(-1)
        self.labels: Any = np.where(labels == 10, 0, labels)

    @in_rows("data", "labels", "CHW")
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(self.data[index].transpose(1, 2, 0))
        return self._transformed(image, int(self.labels[index]))

    def __len__(self) -> int:
        return len(self.data)

    def _check_integrity(self) -> bool:
        return check_integrity(os.path.join(self.root, self.filename), self.file_md5)

    def download(self) -> None:
        """Fetches the file of this split, unless a good copy is there."""
        fetch(type(self).__name__, self.url, self.root, self.file_md5)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"
