"""The 1,797 handwritten digits that come with Cresset: real data without a download.

Source, licence and citation stand in ``data/README.md``.
"""

from __future__ import annotations

import gzip
from importlib import resources
from typing import Any

import numpy as np

from cresset.ops.creation import from_numpy
from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import image_from_array


class Digits(VisionDataset):
    """UCI's Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998; CC BY 4.0).

    Args:
        root: not used; it is there so that ``Digits`` can stand where ``MNIST`` stands.
        train: four of each five images (1,438), otherwise every fifth, from the fifth on (359).
            The table is in the order of the writers, so both parts have digits by the same hands.
        transform, target_transform: applied to the image and to the class.
        download: not used either.

    A sample is (8x8 grey PIL image, int). The table's values 0 to 16 are scaled to 0 to 255,
    ``round(v * 255 / 16)``. ``data`` is a uint8 tensor (N, 8, 8), ``targets`` an int64 tensor (N).

    >>> from cresset.vision.datasets import Digits
    >>> digits = Digits(train=False)
    >>> len(digits), digits.data.shape, digits[0][1]
    (359, torch.Size([359, 8, 8]), 4)
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        file = resources.files(__package__).joinpath("data/digits.csv.gz")
        lines = gzip.decompress(file.read_bytes()).decode("ascii").splitlines()
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        held_out = np.arange(len(table)) % 5 == 4
        part = table[~held_out if train else held_out]
        pixels = (part[:, :64] * 255 + 8) // 16
        self.data = from_numpy(pixels.astype(np.uint8).reshape(-1, 8, 8))
        self.targets = from_numpy(part[:, 64].copy())

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name to number."""
        return {name: i for i, name in enumerate(self.classes)}

    @in_rows("data", "targets", "HW")
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = image_from_array(self.data[index].numpy(), mode="L")
        return self._transformed(image, int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train is True else 'Test'}"
