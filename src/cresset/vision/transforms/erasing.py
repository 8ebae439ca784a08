"""Random erasing (Zhong et al., 2020, "Random Erasing Data Augmentation")."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

from cresset.nn.module import Module
from cresset.ops.creation import empty, tensor
from cresset.tensor import Tensor
from cresset.vision.transforms import draws
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.geometry import check_scale_and_ratio


class RandomErasing(Module):
    """A random rectangle of a tensor image (..., C, H, W) replaced, with probability ``p``.

    Args:
        scale: bounds of its area, as shares of the image's.
        ratio: bounds of its aspect ratio.
        value: the new pixels: a number, one for each channel, or ``'random'`` for normal noise.
        inplace: change the tensor itself.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> (transforms.RandomErasing(p=1.0)(torch.ones(3, 9, 9)) == 0).any()
    tensor(True)
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(value, (Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        check_scale_and_ratio(scale, ratio)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(
        img: Tensor,
        scale: Sequence[float],
        ratio: Sequence[float],
        value: Sequence[float] | None = None,
    ) -> tuple[int, int, int, int, Tensor]:
        """(top, left, height, width, new pixels); the image itself after ten misfits."""
        channels, height, width = img.shape[-3:]
        for _ in range(10):
            h, w = map(round, draws.area_and_aspect(height * width, scale, ratio))
            if not (h < height and w < width):
                continue
            if value is None:
                v = empty(channels, h, w).normal_()
            else:
                v = tensor(value)[:, None, None]
            return draws.offset(height - h), draws.offset(width - w), h, w, v
        return 0, 0, height, width, img

    def forward(self, img: Tensor) -> Tensor:
        if not draws.happens(self.p):
            return img
        value: list[float] | None = None
        if isinstance(self.value, (int, float)):
            value = [float(self.value)]
        elif not isinstance(self.value, str):
            value = [float(v) for v in self.value]
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        top, left, h, w, v = self.get_params(img, self.scale, self.ratio, value)
        return F.erase(img, top, left, h, w, v, self.inplace)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )
