"""Images turned, sheared, seen from the side and bent: see the first interface.

The second interface computes its matrices in another order, so that the last bits differ, and turns
tensors by multiples of 90 degrees without sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional import sampling
from cresset.vision.transforms.functional.dimensions import InterpolationMode
from cresset.vision.transforms.functional.warp import (
    check_affine,
    perspective_coefficients,
    transform_pil,
)
from cresset.vision.transforms.v2.functional.dimensions import mode_of
from cresset.vision.transforms.v2.functional.dispatch import by_kind


def _warped(image: Tensor, grid: Any, mode: InterpolationMode, fill: Any) -> Tensor:
    if image.numel() == 0:
        return image.reshape(*image.shape[:-2], *grid.shape[1:3])
    return sampling.sample(image, grid, mode.value, fill, sampling.moved)


def _check(image: Tensor, mode: InterpolationMode, fill: Any) -> None:
    if fill is not None and not isinstance(fill, (int, float, tuple, list)):
        raise ValueError("Argument fill should be either int, float, tuple or list")
    sampling.check_sampling(image, fill, mode.value)


def _from_middle(center: Sequence[float] | None, image: Tensor) -> list[float]:
    if center is None:
        return [0.0, 0.0]
    height, width = image.shape[-2:]
    return [c - size * 0.5 for c, size in zip(center, (width, height))]


def _inverse_affine(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
) -> list[float]:
    """The inverse of T C RotateScaleShear C^-1, six numbers."""
    turn, sx, sy = (math.radians(degrees) for degrees in (angle, *shear))
    a = math.cos(turn - sy) / math.cos(sy)
    c = math.sin(turn - sy) / math.cos(sy)
    b = -(a * math.tan(sx) + math.sin(turn))
    d = math.cos(turn) - c * math.tan(sx)
    x, y = center[0] + translate[0], center[1] + translate[1]
    first, second = (d / scale, -b / scale), (-c / scale, a / scale)
    return [
        *first, center[0] - first[0] * x - first[1] * y,
        *second, center[1] - second[0] * x - second[1] * y,
    ]  # fmt: skip


def _affine_picture(
    image: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    mode = mode_of(interpolation)
    shear = check_affine(angle, translate, scale, shear, center)
    middle = [image.width * 0.5, image.height * 0.5] if center is None else center
    matrix = _inverse_affine([float(c) for c in middle], angle, translate, scale, shear)
    return transform_pil(image, Image.Transform.AFFINE, matrix, mode, fill)


@by_kind(_affine_picture)
def affine(
    image: Tensor,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Tensor:
    """An image rotated, shifted (x, y), scaled and sheared (degrees), in a frame of its size.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.affine(torch.arange(6.).reshape(1, 2, 3), 0, [1, 0], 1.0, [0.0, 0.0])
    tensor([[[0., 0., 1.],
             [0., 3., 4.]]])
    """
    mode = mode_of(interpolation)
    shear = check_affine(angle, translate, scale, shear, center)
    matrix = _inverse_affine(_from_middle(center, image), angle, translate, scale, shear)
    _check(image, mode, fill)
    return _warped(image, sampling.affine_grid(matrix, image), mode, fill)


def _rotated_picture(
    image: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    return v1.rotate(image, angle, mode_of(interpolation), expand, center, fill)  # type: ignore


@by_kind(_rotated_picture)
def rotate(
    image: Tensor,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Tensor:
    """An image turned by ``angle`` degrees counter-clockwise around ``center`` (x, y).

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.rotate(torch.arange(6.).reshape(1, 2, 3), 90, expand=True)
    tensor([[[2., 5.],
             [1., 4.],
             [0., 3.]]])
    """
    angle = angle % 360
    height, width = image.shape[-2:]
    if center is None:
        if angle == 0:
            return image.clone()
        if angle == 180 or (angle in (90, 270) and (expand or height == width)):
            return image.rot90(k=int(angle) // 90, dims=(-2, -1))
    mode = mode_of(interpolation)
    matrix = _inverse_affine(_from_middle(center, image), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    _check(image, mode, fill)
    if expand:
        height, width = sampling.affine_extent(matrix, width, height, inverse=True)
    return _warped(image, sampling.affine_grid(matrix, image, (height, width)), mode, fill)


def _coefficients(startpoints: Any, endpoints: Any, coefficients: Any) -> Sequence[float]:
    if coefficients is None:
        if startpoints is None or endpoints is None:
            raise ValueError(
                "Either the startpoints/endpoints or the coefficients must have non `None` values."
            )
        return perspective_coefficients(startpoints, endpoints)
    if startpoints is not None and endpoints is not None:
        raise ValueError(
            "The startpoints/endpoints and the coefficients shouldn't be defined concurrently."
        )
    if len(coefficients) != 8:
        raise ValueError("Argument coefficients should have 8 float values")
    return coefficients


def _perspective_of_picture(
    image: Any,
    startpoints: Any,
    endpoints: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
    coefficients: Sequence[float] | None = None,
) -> Any:
    data = _coefficients(startpoints, endpoints, coefficients)
    kind = Image.Transform.PERSPECTIVE
    return transform_pil(image, kind, data, mode_of(interpolation), fill)


@by_kind(_perspective_of_picture)
def perspective(
    image: Tensor,
    startpoints: Any,
    endpoints: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
    coefficients: Sequence[float] | None = None,
) -> Tensor:
    """An image as seen from the side: four ``startpoints`` (x, y) move to ``endpoints``; or by the
    eight ``coefficients`` of the map back.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> image = torch.arange(6.).reshape(1, 2, 3)
    >>> F.perspective(image, None, None, coefficients=[1, 0, 0, 0, 1, 0, 0, 0])
    tensor([[[5.9605e-08, 1.0000e+00, 2.0000e+00],
             [3.0000e+00, 4.0000e+00, 5.0000e+00]]])
    """
    data = _coefficients(startpoints, endpoints, coefficients)
    mode = mode_of(interpolation)
    _check(image, mode, fill)
    return _warped(image, sampling.perspective_grid(data, image), mode, fill)


def _elastic_picture(
    image: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    out = elastic(v1.pil_to_tensor(image), displacement, interpolation, fill)
    return v1.to_pil_image(out, mode=image.mode)


@by_kind(_elastic_picture)
def elastic(
    image: Tensor,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Tensor:
    """Every pixel taken from elsewhere; ``displacement`` is (1, height, width, 2), in units of half
    the image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.elastic(torch.arange(6.).reshape(1, 2, 3), torch.zeros(1, 2, 3, 2)).shape
    torch.Size([1, 2, 3])
    """
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    mode = mode_of(interpolation)
    height, width = image.shape[-2:]
    shape = (1, height, width, 2)
    if tuple(displacement.shape) != shape:
        raise ValueError(
            f"Argument displacement shape should be {shape}, but given {displacement.shape}"
        )
    if image.dtype == dtypes.float16:
        wide = elastic(image.to(dtypes.float32), displacement, interpolation, fill)
        return wide.to(dtypes.float16)
    dtype = sampling.real_dtype(image)
    own = from_numpy(sampling.identity_grid(height, width, dtype)).to(image.device)
    moves = displacement.to(device=image.device, dtype=dtype)
    return _warped(image, own + moves, mode, fill)


elastic_transform = elastic
