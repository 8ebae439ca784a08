"""Sizes of images, and names of ways to resample, as the second interface has them."""

from __future__ import annotations

import warnings
from typing import Any

from cresset.tensor import Tensor
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional.dimensions import InterpolationMode, interpolation_mode
from cresset.vision.transforms.v2.functional.dispatch import by_kind

_BY_NAME = {mode.value: mode for mode in InterpolationMode}


def mode_of(interpolation: Any) -> InterpolationMode:
    """An ``InterpolationMode`` by itself, by its name or by Pillow's number."""
    if isinstance(interpolation, str):
        if interpolation not in _BY_NAME:
            raise ValueError(
                f"Invalid interpolation mode: '{interpolation}'. Supported string values are: "
                f"{[*_BY_NAME]}."
            )
        return _BY_NAME[interpolation]
    if not isinstance(interpolation, (int, InterpolationMode)):
        raise ValueError(
            "Argument interpolation should be an `InterpolationMode` or a corresponding Pillow "
            f"integer constant, but got {interpolation}."
        )
    return interpolation_mode(interpolation)


def _no_image(dimensions: int) -> TypeError:
    return TypeError(f"Input tensor should have at least two dimensions, but got {dimensions}")


@by_kind(v1.get_dimensions)
def get_dimensions(image: Tensor) -> list[int]:
    """[channels, height, width].

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.get_dimensions(torch.zeros(2, 3, 4, 5))
    [3, 4, 5]
    """
    if image.ndim < 2:
        raise _no_image(image.ndim)
    return [1, *image.shape] if image.ndim == 2 else list(image.shape[-3:])


@by_kind(v1.get_image_num_channels)
def get_num_channels(image: Tensor) -> int:
    """How many channels an image has.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.get_num_channels(torch.zeros(3, 4, 5))
    3
    """
    if image.ndim < 2:
        raise _no_image(image.ndim)
    return 1 if image.ndim == 2 else image.shape[-3]


get_image_num_channels = get_num_channels


@by_kind(lambda image: [image.height, image.width])
def get_size(image: Tensor) -> list[int]:
    """[height, width].

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.get_size(torch.zeros(3, 4, 5))
    [4, 5]
    """
    if image.ndim < 2:
        raise _no_image(image.ndim)
    return list(image.shape[-2:])


@by_kind(None)
def get_num_frames(video: Tensor) -> int:
    """How many images a tensor (..., T, C, H, W) has along T.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.get_num_frames(torch.zeros(9, 3, 4, 5))
    9
    """
    return video.shape[-4]


def get_image_size(inpt: Any) -> list[int]:
    """[width, height]; ``get_size`` is to be preferred."""
    warnings.warn(
        "The function `get_image_size(...)` is deprecated and will be removed in a future release. "
        "Instead, please use `get_size(...)` which returns `[h, w]` instead of `[w, h]`."
    )
    return v1.get_image_size(inpt)
