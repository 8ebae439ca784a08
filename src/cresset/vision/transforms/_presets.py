"""The transforms that go with published weights."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.nn import Module
from cresset.tensor import Tensor
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional import InterpolationMode

__all__ = ["ImageClassification"]


class ImageClassification(Module):
    """Resize, crop the centre, scale to 0..1, normalise: how a classifier was shown its images.

    Args:
        crop_size: edge of the square that the model sees.
        resize_size: length of the shorter edge before the crop.
        mean, std: of each channel, ImageNet's by default.
        interpolation: an ``InterpolationMode`` or its value.
        antialias: widen the filter when a tensor shrinks.

    Takes a PIL image or a tensor (..., C, H, W); returns a float tensor (..., C, crop, crop).

    >>> import cresset as torch
    >>> ImageClassification(crop_size=4, resize_size=5)(torch.zeros(3, 8, 10)).shape
    torch.Size([3, 4, 4])
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.crop_size = [crop_size]
        self.resize_size = [resize_size]
        self.mean = list(mean)
        self.std = list(std)
        self.interpolation = InterpolationMode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        img = F.resize(
            img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias
        )
        img = F.center_crop(img, self.crop_size)
        if not isinstance(img, Tensor):
            img = F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(img, dtypes.float32), self.mean, self.std)

    def __repr__(self) -> str:
        names = ("crop_size", "resize_size", "mean", "std", "interpolation")
        lines = "".join(f"\n    {name}={getattr(self, name)}" for name in names)
        return f"{self.__class__.__name__}({lines}\n)"

    def describe(self) -> str:
        """What is done to an image, in a sentence for documentation."""
        return (
            "Accepts ``PIL.Image``, batched ``(B, C, H, W)`` and single ``(C, H, W)`` image "
            f"``torch.Tensor`` objects. Shorter edge to {self.resize_size} ({self.interpolation}), "
            f"centre crop of {self.crop_size}, values to ``[0.0, 1.0]``, then normalised by "
            f"mean={self.mean} and std={self.std}."
        )
