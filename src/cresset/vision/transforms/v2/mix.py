"""Batches mixed with themselves, labels too: MixUp and CutMix.

The second image of each pair is the image before it in the batch, as data loaders shuffle anyway.
"""

from __future__ import annotations

import math
from typing import Any

from cresset.nn.functional import one_hot
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import draws
from cresset.vision.transforms.v2.inputs import has_any, labels_getter, query_size
from cresset.vision.transforms.v2.transform import Transform
from cresset.vision.transforms.v2.tree import leaves, rebuilt


class _Mix(Transform):
    """Draws the share of each image's own part from a Beta(alpha, alpha) distribution."""

    def __init__(
        self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default"
    ) -> None:
        super().__init__()
        self.alpha = float(alpha)
        if self.alpha <= 0:
            raise ValueError(f"Expected alpha to be positive, but got {alpha}")
        self.num_classes = num_classes
        self._labels_getter = _getter(labels_getter)

    def share(self) -> float:
        """The next share."""
        return float(draws.shares(self.alpha, 2, 1)[0, 0])

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        wanted = self._needs_transform_list(flat)
        if has_any(flat, Image.Image):
            raise ValueError(
                f"{type(self).__name__}() does not support PIL images, bounding boxes, keypoints "
                "and masks."
            )
        labels = self._checked(self._labels_getter(sample))
        images = [x for x, want in zip(flat, wanted) if want]
        params = {"labels": labels, "batch_size": labels.shape[0], **self.make_params(images)}
        new = (
            self.transform(x, params) if want or x is labels else x for x, want in zip(flat, wanted)
        )
        return rebuilt(sample, new)

    def _checked(self, labels: Any) -> Tensor:
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.ndim not in (1, 2):
            raise ValueError(
                "labels should be index based with shape (batch_size,) or probability based with "
                "shape (batch_size, num_classes), but got a tensor of shape "
                f"{labels.shape} instead."
            )
        classes = self.num_classes
        if labels.ndim == 2 and classes is not None and labels.shape[-1] != classes:
            raise ValueError(
                "When passing 2D labels, the number of elements in last dimension must match "
                f"num_classes: {labels.shape[-1]} != {classes}. You can Leave num_classes to None."
            )
        if labels.ndim == 1 and classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        return labels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if inpt is params["labels"]:
            return self._mixed_labels(inpt, params["label_share"])
        if not isinstance(inpt, Tensor):
            return inpt
        if inpt.ndim != 4:
            raise ValueError(
                f"Expected a batched input with 4 dims, but got {inpt.ndim} dimensions instead."
            )
        if inpt.shape[0] != params["batch_size"]:
            raise ValueError(
                "The batch size of the image or video does not match the batch size of the labels: "
                f"{inpt.shape[0]} != {params['batch_size']}."
            )
        return self.mixed(inpt, params)

    def mixed(self, images: Tensor, params: dict[str, Any]) -> Tensor:
        """The images (n, c, h, w) mixed."""
        raise NotImplementedError

    def _mixed_labels(self, labels: Tensor, share: float) -> Tensor:
        if labels.ndim == 1 and self.num_classes is not None:
            labels = one_hot(labels, num_classes=self.num_classes)
        if not labels.dtype.is_floating_point:
            labels = labels.float()
        return _blend(labels, share)


_getter = labels_getter


def _blend(x: Tensor, share: float) -> Tensor:
    """``share`` of each item, and the rest of the item before it."""
    others = x.roll(1, 0)
    others.mul_(1.0 - share)
    return others.add_(x.mul(share))


class MixUp(_Mix):
    """Sums of two images, and of their labels (Zhang et al., 2018, "mixup: Beyond Empirical Risk
    Minimization").

    Args:
        alpha: of the Beta distribution of shares.
        num_classes: how many classes there are, for labels that are class numbers.
        labels_getter: finds the labels of a sample: ``'default'`` or a function.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> mix = v2.MixUp(num_classes=10)
    >>> images, labels = mix(torch.zeros(4, 3, 8, 8), torch.tensor([1, 3, 5, 7]))
    >>> images.shape, labels.shape
    (torch.Size([4, 3, 8, 8]), torch.Size([4, 10]))
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        share = self.share()
        return {"share": share, "label_share": share}

    def mixed(self, images: Tensor, params: dict[str, Any]) -> Tensor:
        return _blend(images, params["share"])


class CutMix(_Mix):
    """A rectangle of another image, and labels in proportion to the areas (Yun et al., 2019,
    "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features").

    Args:
        alpha: of the Beta distribution of areas.
        num_classes: how many classes there are, for labels that are class numbers.
        labels_getter: finds the labels of a sample: ``'default'`` or a function.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> mix = v2.CutMix(num_classes=10)
    >>> images, labels = mix(torch.zeros(4, 3, 8, 8), torch.tensor([1, 3, 5, 7]))
    >>> images.shape, labels.shape
    (torch.Size([4, 3, 8, 8]), torch.Size([4, 10]))
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        share = self.share()
        height, width = query_size(flat_inputs)
        x, y = draws.integer(0, width), draws.integer(0, height)
        half = 0.5 * math.sqrt(1.0 - share)
        half_width, half_height = int(half * width), int(half * height)
        left, right = max(x - half_width, 0), min(x + half_width, width)
        top, bottom = max(y - half_height, 0), min(y + half_height, height)
        area = (right - left) * (bottom - top)
        return {
            "rows": slice(top, bottom),
            "columns": slice(left, right),
            "label_share": float(1.0 - area / (width * height)),
        }

    def mixed(self, images: Tensor, params: dict[str, Any]) -> Tensor:
        place = (..., params["rows"], params["columns"])
        out = images.clone()
        out[place] = images.roll(1, 0)[place]
        return out
