"""Transforms that turn, shear, bend and change the point of view."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

from cresset.nn.module import Module
from cresset.ops.join import cat
from cresset.ops.random import rand
from cresset.tensor import Tensor
from cresset.vision.transforms import draws
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional.dimensions import InterpolationMode, interpolation_mode


def check_length(x: Any, name: str, lengths: Sequence[int]) -> None:
    """The errors about sequences of a wrong kind or length."""
    text = f"{name} should be a sequence of length {' or '.join(map(str, lengths))}."
    if not isinstance(x, Sequence):
        raise TypeError(text)
    if len(x) not in lengths:
        raise ValueError(text)


def angle_bounds(x: Any, name: str, lengths: Sequence[int] = (2,)) -> list[float]:
    """(-x, x) of a number x; else the numbers themselves."""
    if isinstance(x, (int, float)):
        if x < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        x = [-x, x]
    else:
        check_length(x, name, lengths)
    return [float(degrees) for degrees in x]


def _checked_fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def fill_per_channel(fill: Any, img: Any) -> Any:
    """For a tensor a list with a float for each channel."""
    channels, _, _ = F.get_dimensions(img)
    if not isinstance(img, Tensor):
        return fill
    return [float(fill)] * channels if isinstance(fill, (int, float)) else [float(f) for f in fill]


class RandomRotation(Module):
    """Turned by an angle uniform in ``degrees`` = (low, high), or (-degrees, degrees).

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomRotation((90, 90))(torch.arange(4.).reshape(1, 2, 2))
    tensor([[[1., 3.],
             [0., 2.]]])
    """

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
        self.degrees = angle_bounds(degrees, "degrees")
        if center is not None:
            check_length(center, "center", (2,))
        self.center = center
        self.interpolation = interpolation
        self.expand = expand
        self.fill = _checked_fill(fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The next angle."""
        return draws.uniform(float(degrees[0]), float(degrees[1]))

    def forward(self, img: Any) -> Any:
        fill = fill_per_channel(self.fill, img)
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

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomAffine(30, scale=(0.5, 2.0))(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
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
        self.degrees = angle_bounds(degrees, "degrees")
        if translate is not None:
            check_length(translate, "translate", (2,))
            if not all(0.0 <= t <= 1.0 for t in translate):
                raise ValueError("translation values should be between 0 and 1")
        self.translate = translate
        if scale is not None:
            check_length(scale, "scale", (2,))
            if not all(s > 0 for s in scale):
                raise ValueError("scale values should be positive")
        self.scale = scale
        self.shear = None if shear is None else angle_bounds(shear, "shear", (2, 4))
        self.interpolation = interpolation
        self.fill = _checked_fill(fill)
        if center is not None:
            check_length(center, "center", (2,))
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
        fill = fill_per_channel(self.fill, img)
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


class RandomPerspective(Module):
    """As seen from the side, with probability ``p``: each corner moves inwards.

    Args:
        distortion_scale: how far at most, as a share of half the width and height.
        interpolation, fill: see ``functional.perspective``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.RandomPerspective(p=1.0)(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.p = p
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.interpolation = interpolation
        self.distortion_scale = distortion_scale
        self.fill = _checked_fill(fill)

    @staticmethod
    def get_params(
        width: int, height: int, distortion_scale: float
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The four corners, clockwise from the upper left one, and where they go."""
        x_space = int(distortion_scale * (width // 2))
        y_space = int(distortion_scale * (height // 2))
        ends = [
            [
                draws.integer(width - x_space - 1, width) if right else draws.offset(x_space),
                draws.integer(height - y_space - 1, height) if bottom else draws.offset(y_space),
            ]
            for right, bottom in ((False, False), (True, False), (True, True), (False, True))
        ]
        starts = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        return starts, ends

    def forward(self, img: Any) -> Any:
        fill = fill_per_channel(self.fill, img)
        _, height, width = F.get_dimensions(img)
        if not draws.happens(self.p):
            return img
        starts, ends = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, starts, ends, self.interpolation, fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class ElasticTransform(Module):
    """As if seen through moving water: see ``functional.elastic_transform``.

    Args:
        alpha: how far pixels move, along x and y, or one float.
        sigma: how far neighbours move alike: the Gaussian's sigma that smooths random moves.
        interpolation, fill: see ``functional.elastic_transform``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.ElasticTransform(alpha=20.0, sigma=0.5)(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        alpha: Any = 50.0,
        sigma: Any = 5.0,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha = _two_floats(alpha, "alpha")
        self.sigma = _two_floats(sigma, "sigma")
        if isinstance(interpolation, int):
            interpolation = interpolation_mode(interpolation)
        self.interpolation = interpolation
        if not isinstance(fill, (int, float, list, tuple)):
            raise TypeError(
                f"fill should be int or float or a list or tuple of them. Got {type(fill)}"
            )
        self.fill = [float(f) for f in (fill if isinstance(fill, (list, tuple)) else [fill])]

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
        """The next displacement, (1, height, width, 2)."""
        return displacement(alpha, sigma, size, F.gaussian_blur)

    def forward(self, tensor: Any) -> Any:
        _, height, width = F.get_dimensions(tensor)
        moves = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(tensor, moves, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


def displacement(
    alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int], blur: Any
) -> Tensor:
    """Uniform noise along x, then along y; smoothed with ``blur`` and scaled."""
    moves = []
    for strength, smooth, pixels in zip(alpha, sigma, reversed(size)):
        noise = rand(1, 1, *size) * 2 - 1
        if smooth > 0.0:
            width = int(8 * smooth + 1) | 1
            noise = blur(noise, [width, width], list(sigma))
        moves.append(noise * strength / pixels)
    return cat(moves, 1).permute(0, 2, 3, 1)


def _two_floats(x: Any, name: str) -> Sequence[float]:
    """A float for each axis."""
    if not isinstance(x, (float, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(x)}")
    if isinstance(x, float):
        return [x, x]
    if len(x) != 2:
        raise ValueError(f"If {name} is a sequence its length should be 2. Got {len(x)}")
    for number in x:
        if not isinstance(number, float):
            raise TypeError(f"{name} should be a sequence of floats. Got {type(number)}")
    return x
