"""Images turned, sheared, seen from the side and bent: rotate, affine, perspective, elastic.

PIL images are resampled by Pillow, tensors by ``sampling``. Both get the map from the result back
to the image: a 2x3 matrix, the eight coefficients of a perspective, or a displacement for each
pixel. Pillow counts pixels from the upper left corner, the matrices for tensors from the middle.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from scipy.linalg.lapack import dgels

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.ops.linalg import LinAlgError
from cresset.size import Size
from cresset.tensor import Tensor
from cresset.vision.pil import Image, is_pil_image
from cresset.vision.transforms.functional import sampling
from cresset.vision.transforms.functional.convert import pil_to_tensor, to_pil_image
from cresset.vision.transforms.functional.dimensions import (
    InterpolationMode,
    assert_image_tensor,
    assert_pil_image,
    get_dimensions,
    interpolation_mode,
    pil_modes_mapping,
)
from cresset.vision.transforms.functional.geometry import pil_fill


def _warped(img: Tensor, grid: Any, mode: str, fill: Any) -> Tensor:
    return sampling.sample(img, grid, mode, fill, sampling.weighted)


def _from_middle(center: Sequence[float] | None, img: Any) -> list[float]:
    """``center``, given from the upper left corner, as a distance from the middle."""
    if center is None:
        return [0.0, 0.0]
    _, height, width = get_dimensions(img)
    return [1.0 * (c - size * 0.5) for c, size in zip(center, (width, height))]


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[int] | None = None,
    fill: Any = None,
) -> Any:
    """An image turned by ``angle`` degrees counter-clockwise around ``center`` (x, y).

    ``expand`` makes the result large enough for all of it. Tensors know the interpolations nearest
    and bilinear.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.rotate(torch.arange(4.).reshape(1, 2, 2), 90)
    tensor([[[1., 3.],
             [0., 2.]]])
    """
    interpolation = interpolation_mode(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return img.rotate(
            angle, pil_modes_mapping[interpolation], expand, center, fillcolor=pil_fill(fill, img)
        )
    matrix = inverse_affine(_from_middle(center, img), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    assert_image_tensor(img)
    sampling.check_sampling(img, fill, interpolation.value)
    height, width = img.shape[-2:]
    if expand:
        height, width = sampling.affine_extent(matrix, width, height, inverse=False)
    grid = sampling.affine_grid(matrix, img, (height, width))
    return _warped(img, grid, interpolation.value, fill)


def affine(
    img: Any,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[int] | None = None,
) -> Any:
    """An image rotated, shifted (x, y), scaled and sheared (degrees), in a frame of its size.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.affine(torch.arange(6.).reshape(1, 2, 3), 0, [1, 0], 1.0, [0.0, 0.0])
    tensor([[[0., 0., 1.],
             [0., 3., 4.]]])
    """
    interpolation = interpolation_mode(interpolation)
    shear = check_affine(angle, translate, scale, shear, center)
    _, height, width = get_dimensions(img)
    if not isinstance(img, Tensor):
        middle = [width * 0.5, height * 0.5] if center is None else center
        matrix = inverse_affine(middle, angle, translate, scale, shear)
        return transform_pil(img, Image.Transform.AFFINE, matrix, interpolation, fill)
    matrix = inverse_affine(_from_middle(center, img), angle, translate, scale, shear)
    sampling.check_sampling(img, fill, interpolation.value)
    return _warped(img, sampling.affine_grid(matrix, img), interpolation.value, fill)


def check_affine(angle: Any, translate: Any, scale: Any, shear: Any, center: Any) -> Sequence[Any]:
    """The errors of ``affine``; returns the shear along x and y."""
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    shear = [shear, 0.0] if isinstance(shear, Number) else [*shear] * (2 if len(shear) == 1 else 1)
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    return shear


def transform_pil(img: Any, kind: Any, data: Any, mode: InterpolationMode, fill: Any) -> Any:
    """A PIL image through one of Pillow's maps, in a frame of its size."""
    assert_pil_image(img)
    colour = pil_fill(fill, img)
    return img.transform(img.size, kind, data, pil_modes_mapping[mode], fillcolor=colour)


def inverse_affine(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
) -> list[float]:
    """Output to input coordinates: the six numbers of the inverse of T C RotateScaleShear C^-1."""
    rot, sx, sy = (math.radians(degrees) for degrees in (angle, *shear))
    a = math.cos(rot - sy) / math.cos(sy)
    b = -math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)
    c = math.sin(rot - sy) / math.cos(sy)
    d = -math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)
    m = [x / scale for x in (d, -b, -c, a)]  # the determinant of rotation and shear is 1
    x, y = -center[0] - translate[0], -center[1] - translate[1]
    return [
        m[0], m[1], m[0] * x + m[1] * y + center[0],
        m[2], m[3], m[2] * x + m[3] * y + center[1],
    ]  # fmt: skip


def perspective(
    img: Any,
    startpoints: Sequence[Sequence[int]],
    endpoints: Sequence[Sequence[int]],
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """An image as seen from the side: the four ``startpoints`` (x, y) move to ``endpoints``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> corners = [[0, 0], [2, 0], [2, 2], [0, 2]]
    >>> F.perspective(torch.arange(4.).reshape(1, 2, 2), corners, corners)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    coefficients = perspective_coefficients(startpoints, endpoints)
    interpolation = interpolation_mode(interpolation)
    if not isinstance(img, Tensor):
        return transform_pil(img, Image.Transform.PERSPECTIVE, coefficients, interpolation, fill)
    assert_image_tensor(img)
    sampling.check_sampling(img, fill, interpolation.value)
    grid = sampling.perspective_grid(coefficients, img)
    return _warped(img, grid, interpolation.value, fill)


def perspective_coefficients(startpoints: Any, endpoints: Any) -> list[float]:
    """a to h with ``x0 = (a x + b y + c) / (g x + h y + 1)``, ``y0 = (d x + e y + f) / (...)`` for
    each end point (x, y) and its start point (x0, y0): two linear equations a point."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and "
            f"{len(endpoints)} endpoints."
        )
    rows = []
    for (x0, y0), (x, y) in zip(startpoints, endpoints):
        rows.append([x, y, 1, 0, 0, 0, -x0 * x, -x0 * y])
        rows.append([0, 0, 0, x, y, 1, -y0 * x, -y0 * y])
    known = np.array(startpoints, np.float64).reshape(8, 1)
    _, solution, code = dgels(np.array(rows, np.float32).astype(np.float64), known)
    if code:
        raise LinAlgError(
            "torch.linalg.lstsq: The least squares solution could not be computed because the "
            f"input matrix does not have full rank (error code: {code})."
        )
    return solution[:, 0].astype(np.float32).tolist()


def elastic_transform(
    img: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Every pixel taken from elsewhere (Simard et al., 2003, "Best Practices for Convolutional
    Neural Networks Applied to Visual Document Analysis").

    Args:
        displacement: (1, height, width, 2), how far along x and y, where 2 is the whole image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.elastic_transform(torch.arange(6.).reshape(1, 2, 3), torch.zeros(1, 2, 3, 2)).shape
    torch.Size([1, 2, 3])
    """
    if isinstance(interpolation, int):
        warnings.warn(
            "Argument interpolation should be of type InterpolationMode instead of int. Please, "
            "use InterpolationMode enum."
        )
        interpolation = interpolation_mode(interpolation)
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    if not isinstance(img, Tensor) and not is_pil_image(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    x = img if isinstance(img, Tensor) else pil_to_tensor(img)
    height, width = x.shape[-2:]
    check_displacement(displacement, height, width)
    own = from_numpy(sampling.identity_grid(height, width, dtypes.float32)).to(x.device)
    grid = own + displacement.to(x.device)
    out = _warped(x, grid, interpolation.value, fill)
    return out if isinstance(img, Tensor) else to_pil_image(out, mode=img.mode)


def check_displacement(displacement: Tensor, height: int, width: int) -> None:
    """ValueError for a displacement of another size than the image."""
    shape = Size((1, height, width, 2))
    if displacement.shape != shape:
        raise ValueError(
            f"Argument displacement shape should be {shape}, but given {displacement.shape}"
        )
