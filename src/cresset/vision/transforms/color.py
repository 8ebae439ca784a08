"""Transforms of colour."""

from __future__ import annotations

from numbers import Number
from typing import Any

from cresset.nn.module import Module
from cresset.ops.random import randperm
from cresset.tensor import Tensor
from cresset.vision.transforms import draws
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.settle import settled

Range = tuple[float, float]


class Grayscale(Module):
    """In grey, as one channel or three equal ones.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.Grayscale()(torch.ones(3, 1, 2))
    tensor([[[0.9999, 0.9999]]])
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, num_output_channels=self.num_output_channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class RandomGrayscale(Module):
    """In grey with probability ``p``, with as many channels as before.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomGrayscale(p=1.0)(torch.ones(3, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        channels, _, _ = F.get_dimensions(img)
        if draws.happens(self.p):
            return F.rgb_to_grayscale(img, num_output_channels=channels)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class ColorJitter(Module):
    """Brightness, contrast, saturation and hue changed by random factors, in random order.

    Args:
        brightness, contrast, saturation: the factor's bounds, or x for (max(0, 1 - x), 1 + x).
        hue: bounds within -0.5 to 0.5, or x for (-x, x).

    >>> from cresset.vision import transforms
    >>> transforms.ColorJitter(brightness=0.4, hue=0.1)
    ColorJitter(brightness=(0.6, 1.4), contrast=None, saturation=None, hue=(-0.1, 0.1))
    """

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        super().__init__()
        self.brightness = self._factors(brightness, "brightness")
        self.contrast = self._factors(contrast, "contrast")
        self.saturation = self._factors(saturation, "saturation")
        self.hue = self._range(hue, "hue", 0, (-0.5, 0.5))

    @classmethod
    def _factors(cls, value: Any, name: str) -> Range | None:
        bounds = (0, float("inf"))
        if isinstance(value, (int, float)) and value > 1:
            return cls._range((0.0, 1 + float(value)), name, 1, bounds)
        return cls._range(value, name, 1, bounds)

    @staticmethod
    def _range(value: Any, name: str, center: float, bounds: tuple[float, float]) -> Range | None:
        """(low, high), or None where nothing would change."""
        if isinstance(value, Number):
            if value < 0:  # type: ignore[operator]
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            limits = [center - float(value), center + float(value)]  # type: ignore[arg-type]
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            limits = [float(value[0]), float(value[1])]
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        low, high = limits
        if not bounds[0] <= low <= high <= bounds[1]:
            raise ValueError(f"{name} values should be between {bounds}, but got {limits}.")
        return None if low == high == center else (low, high)

    @staticmethod
    def get_params(
        brightness: Range | None,
        contrast: Range | None,
        saturation: Range | None,
        hue: Range | None,
    ) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four changes, then their factors."""
        order = randperm(4)
        factors = [
            None if limits is None else draws.uniform(limits[0], limits[1])
            for limits in (brightness, contrast, saturation, hue)
        ]
        return order, factors[0], factors[1], factors[2], factors[3]

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for which in order.tolist():
            factor = factors[which]
            if factor is not None:
                img = settled(changes[which](img, factor))
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )
