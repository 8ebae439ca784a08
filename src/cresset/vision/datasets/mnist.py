"""MNIST and its look-alikes: grey 28x28 images in IDX files under ``root/<class name>/raw``.

A subclass says which files it wants, where they are fetched and how they become ``data`` and
``targets``; loading, warnings for old names and printing are MNIST's.
"""

from __future__ import annotations

import os
import shutil
import string
import warnings
from collections.abc import Sequence
from typing import Any

from cresset import dtypes
from cresset.serialization import load
from cresset.tensor import Tensor
from cresset.vision.datasets.idx import (
    read_image_file,
    read_label_file,
    read_sn3_pascalvincent_tensor,
)
from cresset.vision.datasets.rows import in_rows
from cresset.vision.datasets.utils import (
    check_integrity,
    download_and_extract_archive,
    extract_archive,
    fetch,
    verify_str_arg,
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

    @in_rows("data", "targets", "HW")
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


class _OnePair(MNIST):
    """A data set that loads one file of images and one of classes, whatever else it can load."""

    @property
    def images_file(self) -> str:
        """The file of the images."""
        raise NotImplementedError

    @property
    def labels_file(self) -> str:
        """The file of the classes."""
        raise NotImplementedError

    def _check_exists(self) -> bool:
        return all(check_integrity(file) for file in (self.images_file, self.labels_file))


class EMNIST(_OnePair):
    """Handwritten letters and digits in MNIST's format (Cohen et al., 2017), as (PIL image, int).

    Args:
        root: the folder that holds ``EMNIST/raw/emnist-<split>-train-images-idx3-ubyte`` etc.
        split: ``byclass`` (62 classes), ``bymerge`` and ``balanced`` (47: letters that look alike
            in both cases are one class), ``letters`` (26, numbered from 1), ``digits``, ``mnist``.
        train, transform, target_transform, download: as for MNIST.

    The images lie on their side, as they are published: rows and columns are exchanged.

    Raises:
        ValueError: an unknown split.
        RuntimeError: files missing, or no good copy could be fetched.
    """

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    _merged_classes = set("cijklmopsuvwxyz")
    _all_classes = set(string.digits + string.ascii_letters)
    classes_split_dict = {
        "byclass": sorted(_all_classes),
        "bymerge": sorted(_all_classes - _merged_classes),
        "balanced": sorted(_all_classes - _merged_classes),
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(self, root: str | os.PathLike[str], split: str, **kwargs: Any) -> None:
        self.split = verify_str_arg(split, "split", self.splits)
        self.training_file = f"training_{split}.pt"
        self.test_file = f"test_{split}.pt"
        super().__init__(root, **kwargs)
        self.classes = self.classes_split_dict[self.split]

    def _file(self, kind: str) -> str:
        part = "train" if self.train else "test"
        return os.path.join(self.raw_folder, f"emnist-{self.split}-{part}-{kind}-ubyte")

    @property
    def images_file(self) -> str:
        """The file of the images of this split and part."""
        return self._file("images-idx3")

    @property
    def labels_file(self) -> str:
        """The file of the classes of this split and part."""
        return self._file("labels-idx1")

    def _load_data(self) -> tuple[Tensor, Tensor]:
        return read_image_file(self.images_file), read_label_file(self.labels_file)

    def download(self) -> None:
        """Fetches the one archive of all splits and unpacks the files in it."""
        if self._check_exists():
            return
        os.makedirs(self.raw_folder, exist_ok=True)
        fetch(type(self).__name__, self.url, self.raw_folder, self.md5, unpack=True)
        inner = os.path.join(self.raw_folder, "gzip")
        for name in sorted(os.listdir(inner)):
            if name.endswith(".gz"):
                extract_archive(os.path.join(inner, name), self.raw_folder)
        shutil.rmtree(inner)


class QMNIST(_OnePair):
    """MNIST with its lost test digits and each digit's origin (Yadav and Bottou, 2019).

    Args:
        root: the folder that holds ``QMNIST/raw``.
        what: ``train`` (MNIST's 60,000), ``test`` (60,000), ``test10k`` (the 10,000 of these in
            MNIST's test part), ``test50k`` (the others), or ``nist`` (all 402,953 of NIST).
        compat: a target is a class, as MNIST's; otherwise a row of eight numbers: class, series,
            writer, the digit's number for this writer, NIST's code of the class, its number in
            NIST, and two that are 0.
        train: what to take where ``what`` is not given.
        transform, target_transform, download: as for MNIST. Only what is asked for is fetched.

    ``targets`` is an int64 tensor (N, 8).
    """

    subsets = {
        "train": "train",
        "test": "test",
        "test10k": "test",
        "test50k": "test",
        "nist": "nist",
    }
    _home = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"
    resources: dict[str, list[tuple[str, str]]] = {  # type: ignore[assignment]
        "train": [
            (_home + "qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
            (_home + "qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
        ],
        "test": [
            (_home + "qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
            (_home + "qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
        ],
        "nist": [
            (_home + "xnist-images-idx3-ubyte.xz", "7f124b3b8ab81486c9d8c2749c17f834"),
            (_home + "xnist-labels-idx2-int.xz", "5ed0e788978e45d4a8bd4b7caec3d79d"),
        ],
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        what: str | None = None,
        compat: bool = True,
        train: bool = True,
        **kwargs: Any,
    ) -> None:
        what = ("train" if train else "test") if what is None else what
        self.what = verify_str_arg(what, "what", tuple(self.subsets))
        self.compat = compat
        self.data_file = self.training_file = self.test_file = what + ".pt"
        super().__init__(root, train, **kwargs)

    def _unpacked(self, which: int) -> str:
        url, _ = self.resources[self.subsets[self.what]][which]
        return os.path.join(self.raw_folder, os.path.splitext(os.path.basename(url))[0])

    @property
    def images_file(self) -> str:
        """The file of the images."""
        return self._unpacked(0)

    @property
    def labels_file(self) -> str:
        """The file of the classes and origins."""
        return self._unpacked(1)

    def _load_data(self) -> tuple[Tensor, Tensor]:
        data = read_sn3_pascalvincent_tensor(self.images_file)
        if data.dtype != dtypes.uint8:
            raise TypeError(f"data should be of dtype torch.uint8 instead of {data.dtype}")
        if data.ndim != 3:
            raise ValueError(f"data should have 3 dimensions instead of {data.ndim}")
        targets = read_sn3_pascalvincent_tensor(self.labels_file).to(dtypes.int64)
        if targets.ndim != 2:
            raise ValueError(f"targets should have 2 dimensions instead of {targets.ndim}")
        part = {"test10k": slice(None, 10000), "test50k": slice(10000, None)}.get(self.what)
        if part is None:
            return data, targets
        return data[part].clone(), targets[part].clone()

    def download(self) -> None:
        """Fetches and unpacks the two files of ``what``."""
        if self._check_exists():
            return
        os.makedirs(self.raw_folder, exist_ok=True)
        for url, md5 in self.resources[self.subsets[self.what]]:
            fetch(type(self).__name__, url, self.raw_folder, md5, unpack=True)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = image_from_array(self.data[index].numpy(), mode="L")
        row = self.targets[index]
        return self._transformed(image, int(row[0]) if self.compat else row)

    def extra_repr(self) -> str:
        return f"Split: {self.what}"
