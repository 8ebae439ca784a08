"""Changes of brightness levels and sharpness that happen with a probability."""

from __future__ import annotations

from typing import Any

from cresset.nn.module import Module
from cresset.ops.random import rand
from cresset.vision.transforms import functional as F


class _Sometimes(Module):
    """``change`` with probability ``p``; what classes below set is printed in their order."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def change(self, img: Any) -> Any:
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        return self.change(img) if rand(1).item() < self.p else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomInvert(_Sometimes):
    """Dark becomes bright with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomInvert(p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[255, 155,   5]]], dtype=torch.uint8)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def change(self, img: Any) -> Any:
        return F.invert(img)


class RandomPosterize(_Sometimes):
    """Only the ``bits`` highest bits of each byte, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> image = torch.tensor([[[0, 100, 250]]], dtype=torch.uint8)
    >>> transforms.RandomPosterize(bits=2, p=1.0)(image)
    tensor([[[  0,  64, 192]]], dtype=torch.uint8)
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def change(self, img: Any) -> Any:
        return F.posterize(img, self.bits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bits={self.bits},p={self.p})"


class RandomSolarize(_Sometimes):
    """Pixels of at least ``threshold`` inverted, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> image = torch.tensor([[[0, 100, 250]]], dtype=torch.uint8)
    >>> transforms.RandomSolarize(threshold=128, p=1.0)(image)
    tensor([[[  0, 100,   5]]], dtype=torch.uint8)
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def change(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(_Sometimes):
    """Sharper (a factor above 1) or smoother, with probability ``p``.

    >>> from cresset.vision import transforms
    >>> transforms.RandomAdjustSharpness(2.0)
    RandomAdjustSharpness(sharpness_factor=2.0,p=0.5)
    """

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sharpness_factor={self.sharpness_factor},p={self.p})"


class RandomAutocontrast(_Sometimes):
    """Each channel stretched from black to full brightness, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomAutocontrast(p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[  0, 102, 255]]], dtype=torch.uint8)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def change(self, img: Any) -> Any:
        return F.autocontrast(img)


class RandomEqualize(_Sometimes):
    """Grey levels made equally frequent, with probability ``p``.

    >>> from cresset.vision import transforms
    >>> transforms.RandomEqualize()
    RandomEqualize(p=0.5)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def change(self, img: Any) -> Any:
        return F.equalize(img)
