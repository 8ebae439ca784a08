"""MNIST and its look-alikes: grey 28x28 images in IDX files, ten classes.

An IDX file is a big-endian header (magic number: element type and number of dimensions; then each
size as 32 bits) followed by the elements. ``root/<class name>/raw`` holds four of them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.serialization import load
from cresset.tensor import Tensor
from cresset.vision.datasets.utils import (
    check_integrity,
    download_and_extract_archive,
    with_mirror,
)
from cresset.vision.datasets.vision import Transform, VisionDataset
from cresset.vision.pil import image_from_array


class MNIST(VisionDataset):
    """Handwritten digits, 60,000 to train and 10,000 to test, as (PIL image, int).

    Args:
        root: the folder that holds ``MNIST/raw/train-images-idx3-ubyte`` and the other three.
        train: the training part, otherwise the test part.
        transform, target_transform: applied to the image and to the class.
        download: fetch the files first where they are missing.

    ``data`` is a uint8 tensor (N, 28, 28), ``targets`` an int64 tensor (N).

    Raises:
        RuntimeError: files missing, or no mirror gave a good copy.
    """

    mirrors: Sequence[str] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ]
    resources: Sequence[tuple[str, str]] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    training_file = "training.pt"
    test_file = "test.pt"
    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
               "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"]  # fmt: skip

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
        if self._check_legacy_exist():
            self.data, self.targets = self._load_legacy_data()
            return
        if download:
            self.download()
        if not self._check_exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.data, self.targets = self._load_data()

    def _check_legacy_exist(self) -> bool:
        """Whether torchvision 0.8 or older left its two tensor files here."""
        return all(
            os.path.isfile(os.path.join(self.processed_folder, file))
            for file in (self.training_file, self.test_file)
        )

    def _load_legacy_data(self) -> Any:
        file = self.training_file if self.train else self.test_file
        return load(os.path.join(self.processed_folder, file), weights_only=True)

    def _load_data(self) -> tuple[Tensor, Tensor]:
        part = "train" if self.train else "t10k"
        data = read_image_file(os.path.join(self.raw_folder, f"{part}-images-idx3-ubyte"))
        targets = read_label_file(os.path.join(self.raw_folder, f"{part}-labels-idx1-ubyte"))
        return data, targets

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = image_from_array(self.data[index].numpy(), mode="L")
        return self._transformed(image, int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def raw_folder(self) -> str:
        """Where the IDX files lie."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def processed_folder(self) -> str:
        """Where torchvision 0.8 and older kept tensors."""
        return os.path.join(self.root, type(self).__name__, "processed")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name to number."""
        return {name: i for i, name in enumerate(self.classes)}

    def _check_exists(self) -> bool:
        return all(
            check_integrity(os.path.join(self.raw_folder, os.path.splitext(file)[0]))
            for file, _ in self.resources
        )

    def download(self) -> None:
        """Fetches and unpacks what is missing, from the first mirror that gives a good copy."""
        if self._check_exists():
            return
        os.makedirs(self.raw_folder, exist_ok=True)
        mirrors = with_mirror(type(self).__name__, self.mirrors)
        for filename, md5 in self.resources:
            errors = []
            for mirror in mirrors:
                try:
                    download_and_extract_archive(
                        mirror + filename, self.raw_folder, filename=filename, md5=md5
                    )
                except (RuntimeError, OSError) as error:
                    errors.append(f"Tried {mirror}, got:\n{error}\n")
                else:
                    break
            else:
                raise RuntimeError(f"Error downloading {filename}:\n" + "".join(errors))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train is True else 'Test'}"

    def _renamed(self, old: str, new: str) -> Any:
        warnings.warn(f"{old} has been renamed {new}")
        return getattr(self, new)

    @property
    def train_labels(self) -> Tensor:
        """The old name of ``targets``."""
        return self._renamed("train_labels", "targets")

    @property
    def test_labels(self) -> Tensor:
        """The old name of ``targets``."""
        return self._renamed("test_labels", "targets")

    @property
    def train_data(self) -> Tensor:
        """The old name of ``data``."""
        return self._renamed("train_data", "data")

    @property
    def test_data(self) -> Tensor:
        """The old name of ``data``."""
        return self._renamed("test_data", "data")


class FashionMNIST(MNIST):
    """Zalando's articles of clothing, in MNIST's format and sizes (Xiao et al., 2017)."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
               "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]  # fmt: skip


class KMNIST(MNIST):
    """Ten characters of cursive Japanese, in MNIST's format and sizes (Clanuwat et al., 2018)."""

    mirrors = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


#: The third byte of the magic number. Elements are big-endian.
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_sn3_pascalvincent_tensor(path: str, strict: bool = True) -> Tensor:
    """Reads an IDX file of one to three dimensions.

    Raises:
        RuntimeError: not such a file, or not as long as its header says. (``strict`` is accepted
            for compatibility: a length that is wrong is always an error.)
    """
    with open(path, "rb") as f:
        content = f.read()
    kind, ndim = int.from_bytes(content[:3], "big"), content[3] if len(content) > 3 else 0
    start = 4 * (ndim + 1)
    if kind not in IDX_TYPES or not 1 <= ndim <= 3 or len(content) < start:
        raise RuntimeError(f"{path} is not an IDX file of 1 to 3 dimensions")
    shape = np.frombuffer(content, ">u4", ndim, offset=4).tolist()
    dtype = np.dtype(IDX_TYPES[kind])
    expected = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise RuntimeError(
            f"{path} should have {expected} bytes for its shape {shape}, but has {len(content)}"
        )
    elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return from_numpy(elements.astype(dtype.newbyteorder("=")))  # a copy, so it can be written to


def _read_bytes(path: str, ndim: int, plural: str) -> Tensor:
    x = read_sn3_pascalvincent_tensor(path, strict=False)
    if x.dtype != dtypes.uint8:
        raise TypeError(f"x should be of dtype torch.uint8 instead of {x.dtype}")
    if x.ndim != ndim:
        raise ValueError(f"x should have {ndim} dimension{plural} instead of {x.ndim}")
    return x


def read_label_file(path: str) -> Tensor:
    """The classes in an IDX file, as int64 (N)."""
    return _read_bytes(path, 1, "").to(dtypes.int64)


def read_image_file(path: str) -> Tensor:
    """The images in an IDX file, as uint8 (N, height, width)."""
    return _read_bytes(path, 3, "")
