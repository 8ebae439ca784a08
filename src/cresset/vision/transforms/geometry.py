"""Transforms that crop, pad, flip, resize and rotate, on PIL images and (most) on tensors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Number
from typing import Any

from cresset.nn.module import Module
from cresset.tensor import Tensor
from cresset.vision.transforms import draws
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional.dimensions import InterpolationMode, interpolation_mode
from cresset.vision.transforms.functional.geometry import check_padding

_TWO = "Please provide only two dimensions (h, w) for size."


def size_pair(size: Any, error: str = _TWO) -> Any:
    """(height, width) of a number, a sequence of one, or of two."""
    if isinstance(size, Number):
        return int(size), int(size)  # type: ignore[call-overload]
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(error)
    return size


def _check_length(x: Any, name: str, lengths: Sequence[int]) -> None:
    text = f"{name} should be a sequence of length {' or '.join(map(str, lengths))}."
    if not isinstance(x, Sequence):
        raise TypeError(text)
    if len(x) not in lengths:
        raise ValueError(text)


def _angles(x: Any, name: str, lengths: Sequence[int] = (2,)) -> list[float]:
    """(-x, x) of a number x; else the numbers themselves."""
    if isinstance(x, (int, float)):
        if x < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        x = [-x, x]
    else:
        _check_length(x, name, lengths)
    return [float(degrees) for degrees in x]


def _checked_fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def _fill_per_channel(fill: Any, img: Any) -> Any:
    """For a tensor a list with a float for each channel."""
    channels, _, _ = F.get_dimensions(img)
    if not isinstance(img, Tensor):
        return fill
    return [float(fill)] * channels if isinstance(fill, (int, float)) else [float(f) for f in fill]


class Resize(Module):
    """An image of another size: see ``functional.resize``.

    Args:
        size: (height, width), or the length of the shorter edge.
        interpolation: an ``InterpolationMode`` or Pillow's number.
        max_size: the longer edge at most, where ``size`` is one number.
        antialias: for tensors; PIL images always are.
    """

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.max_size = max_size
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.interpolation = interpolation
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class CenterCrop(Module):
    """The middle of an image, padded with 0 where the image is smaller."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size_pair(size)

    def forward(self, img: Any) -> Any:
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class Pad(Module):
    """Pixels added at the borders: see ``functional.pad``."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        check_padding(padding, fill, padding_mode)
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, "
            f"padding_mode={self.padding_mode})"
        )


class RandomCrop(Module):
    """A part of this size, each place equally likely.

    Args:
        size: (height, width) or one number.
        padding, fill, padding_mode: borders added first, see ``functional.pad``.
        pad_if_needed: add borders where the image is smaller than ``size``.
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = tuple(size_pair(size))
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the next crop."""
        _, h, w = F.get_dimensions(img)
        height, width = output_size
        if h < height or w < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than input image size {(h, w)}"
            )
        if (h, w) == (height, width):  # nothing to choose, and nothing drawn
            return 0, 0, h, w
        return draws.offset(h - height), draws.offset(w - width), height, width

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        _, h, w = F.get_dimensions(img)
        if self.pad_if_needed and w < width:
            img = F.pad(img, [width - w, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and h < height:
            img = F.pad(img, [0, height - h], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomHorizontalFlip(Module):
    """Left becomes right with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        return F.hflip(img) if draws.happens(self.p) else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(Module):
    """Top becomes bottom with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        return F.vflip(img) if draws.happens(self.p) else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomResizedCrop(Module):
    """A part of random area and aspect ratio, resized: the usual training image of ImageNet.

    Args:
        size: (height, width) of the result, or one number.
        scale: bounds of the part's area, as shares of the image's.
        ratio: bounds of its width over height.
        interpolation, antialias: see ``functional.resize``.
    """

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = size_pair(size)
        check_scale_and_ratio(scale, ratio)
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.interpolation = interpolation
        self.antialias = antialias
        self.scale = scale
        self.ratio = ratio

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the next crop; the central one after ten misfits."""
        _, height, width = F.get_dimensions(img)
        for _ in range(10):
            w, h = map(round, draws.area_and_aspect(height * width, scale, ratio))
            if 0 < w <= width and 0 < h <= height:
                return draws.offset(height - h), draws.offset(width - w), h, w
        h, w = height, width
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, img: Any) -> Any:
        part = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *part, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}"
            f", scale={tuple(round(s, 4) for s in self.scale)}"
            f", ratio={tuple(round(r, 4) for r in self.ratio)}"
            f", interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def check_scale_and_ratio(scale: Any, ratio: Any) -> None:
    """The errors that ``RandomResizedCrop`` and ``RandomErasing`` share."""
    if not isinstance(scale, Sequence):
        raise TypeError("Scale should be a sequence")
    if not isinstance(ratio, Sequence):
        raise TypeError("Ratio should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)")


class FiveCrop(Module):
    """A tuple of the four corners and the centre."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = size_pair(size)

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class TenCrop(Module):
    """``FiveCrop`` of the image and of its mirror image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size = size_pair(size)
        self.vertical_flip = vertical_flip

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"


class RandomRotation(Module):
    """Turned by an angle uniform in ``degrees`` = (low, high), or (-degrees, degrees)."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[int] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.degrees = _angles(degrees, "degrees")
        if center is not None:
            _check_length(center, "center", (2,))
        self.center = center
        self.interpolation = interpolation
        self.expand = expand
        self.fill = _checked_fill(fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The next angle."""
        return draws.uniform(float(degrees[0]), float(degrees[1]))

    def forward(self, img: Any) -> Any:
        fill = _fill_per_channel(self.fill, img)
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"{type(self).__name__}(degrees={self.degrees}"
            f", interpolation={self.interpolation.value}, expand={self.expand}"
            f"{center}, fill={self.fill})"
        )


class RandomAffine(Module):
    """Turned, shifted, scaled and sheared by random amounts.

    Args:
        degrees: as for ``RandomRotation``.
        translate: largest shifts as shares of (width, height).
        scale: bounds of the factor.
        shear: degrees along x: a bound or (low, high); with four numbers along y as well.
        interpolation, fill, center: see ``functional.affine``.
    """

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.degrees = _angles(degrees, "degrees")
        if translate is not None:
            _check_length(translate, "translate", (2,))
            if not all(0.0 <= t <= 1.0 for t in translate):
                raise ValueError("translation values should be between 0 and 1")
        self.translate = translate
        if scale is not None:
            _check_length(scale, "scale", (2,))
            if not all(s > 0 for s in scale):
                raise ValueError("scale values should be positive")
        self.scale = scale
        self.shear = None if shear is None else _angles(shear, "shear", (2, 4))
        self.interpolation = interpolation
        self.fill = _checked_fill(fill)
        if center is not None:
            _check_length(center, "center", (2,))
        self.center = center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """(angle, shift, factor, shear) of the next image; drawn in this order."""
        angle = draws.uniform(float(degrees[0]), float(degrees[1]))
        shift = (0, 0)
        if translate is not None:
            most_x, most_y = (float(t * size) for t, size in zip(translate, img_size))
            x = round(draws.uniform(-most_x, most_x))
            shift = (x, round(draws.uniform(-most_y, most_y)))
        factor = 1.0 if scale_ranges is None else draws.uniform(scale_ranges[0], scale_ranges[1])
        shear = [0.0, 0.0]
        for axis in range(0 if shears is None else len(shears) // 2):
            shear[axis] = draws.uniform(shears[2 * axis], shears[2 * axis + 1])  # type: ignore
        return angle, shift, factor, (shear[0], shear[1])

    def forward(self, img: Any) -> Any:
        fill = _fill_per_channel(self.fill, img)
        size = F.get_image_size(img)
        params = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return F.affine(
            img, *params, interpolation=self.interpolation, fill=fill, center=self.center
        )

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        parts += [
            f"{name}={getattr(self, name)}"
            for name in ("translate", "scale", "shear")
            if getattr(self, name) is not None
        ]
        if self.interpolation != InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"
