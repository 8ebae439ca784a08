"""What all image data sets share: a root folder, transforms, and how they print.

A sample goes through one function, ``self.transforms(image, target)``, which is built from
``transform`` and ``target_transform`` unless the user gave it whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cresset.data import Dataset
from cresset.vision.datasets.rows import batch

Transform = Callable[..., Any]


class VisionDataset(Dataset):
    """Base class: a subclass gives ``__getitem__`` and ``__len__``.

    Args:
        root: the folder with the data; ``~`` is expanded.
        transforms: takes (image, target) and returns both, changed.
        transform: changes the image only; excludes ``transforms``.
        target_transform: changes the target only; excludes ``transforms``.

    Raises:
        ValueError: ``transforms`` together with one of the other two.
    """

    _repr_indent = 4

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Transform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        self.root: Any = os.path.expanduser(root) if isinstance(root, str) else root
        separate = transform is not None or target_transform is not None
        if transforms is not None and separate:
            raise ValueError(
                "Only transforms or transform/target_transform can be passed as argument"
            )
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def _transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        """The sample as a user gets it. Reads the attributes, as users replace them later."""
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def _whole_batch(self, indices: Any) -> Any:
        """A collated batch made at once, where the result is the same; see ``data/gather.py``."""
        if type(self)._transformed is not _TRANSFORMED or "_transformed" in self.__dict__:
            return None
        return batch(self, indices)

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if getattr(self, "transforms", None) is not None:
            body.append(repr(self.transforms))
        indent = " " * self._repr_indent
        return "\n".join([f"Dataset {type(self).__name__}", *(indent + line for line in body)])

    def extra_repr(self) -> str:
        """Further lines for ``repr``."""
        return ""


_TRANSFORMED = VisionDataset._transformed


class StandardTransform:
    """Applies one function to the image and one to the target."""

    def __init__(
        self, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for head, function in (
            ("Transform: ", self.transform),
            ("Target transform: ", self.target_transform),
        ):
            if function is not None:
                first, *rest = repr(function).splitlines()
                lines += [head + first, *(" " * len(head) + line for line in rest)]
        return "\n".join(lines)
