"""What the other files ask of an image first: is it one, how large is it, how to resample it.

Everywhere below, an *image* is a PIL image or a tensor (..., channels, height, width); a tensor of
two dimensions is (height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from cresset import dtypes
from cresset.tensor import Tensor
from cresset.vision.pil import channels_of, is_pil_image


class InterpolationMode(Enum):
    """Ways to resample. ``BOX`` and ``HAMMING`` are for PIL images only, ``LANCZOS`` for these and,
    in the second interface, for tensors.

    >>> from cresset.vision.transforms import functional as F
    >>> F.InterpolationMode("bilinear")
    <InterpolationMode.BILINEAR: 'bilinear'>
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


#: Pillow's numbers for them.
pil_modes_mapping = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.NEAREST_EXACT: 0,
}
_BY_NUMBER = {
    number: mode
    for mode, number in pil_modes_mapping.items()
    if mode is not InterpolationMode.NEAREST_EXACT
}

#: The largest value that stands for full brightness; 1 for floating point.
_MAX_VALUES = {
    dtypes.uint8: 255,
    dtypes.int8: 127,
    dtypes.int16: 32767,
    dtypes.int32: 2147483647,
    dtypes.int64: 9223372036854775807,
}


def interpolation_mode(mode: Any) -> InterpolationMode:
    """``mode``, which may also be Pillow's number."""
    if isinstance(mode, int):
        return _BY_NUMBER[mode]
    if not isinstance(mode, InterpolationMode):
        raise TypeError(
            "Argument interpolation should be a InterpolationMode or a corresponding Pillow "
            "integer constant"
        )
    return mode


def max_value(dtype: Any) -> int:
    """Full brightness in this dtype."""
    return _MAX_VALUES.get(dtype, 1)


def assert_pil_image(img: Any) -> None:
    """TypeError for anything but a PIL image."""
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image. Got {type(img)}")


def assert_image_tensor(img: Tensor) -> None:
    """TypeError for a tensor of less than two dimensions."""
    if img.ndim < 2:
        raise TypeError("Tensor is not a torch image.")


def assert_channels(img: Tensor, permitted: Sequence[int]) -> None:
    """TypeError for another number of channels."""
    channels = get_dimensions(img)[0]
    if channels not in permitted:
        raise TypeError(
            f"Input image tensor permitted channel values are {list(permitted)}, "
            f"but found {channels}"
        )


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width] of an image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.get_dimensions(torch.zeros(2, 3, 4, 5))
    [3, 4, 5]
    """
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        return [1 if img.ndim == 2 else img.shape[-3], img.shape[-2], img.shape[-1]]
    if is_pil_image(img):
        return [channels_of(img), img.height, img.width]
    raise TypeError(f"Unexpected type {type(img)}")


def get_image_size(img: Any) -> list[int]:
    """[width, height] of an image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.get_image_size(torch.zeros(3, 4, 5))
    [5, 4]
    """
    _, height, width = get_dimensions(img)
    return [width, height]


def get_image_num_channels(img: Any) -> int:
    """How many channels an image has.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.get_image_num_channels(torch.zeros(3, 4, 5))
    3
    """
    return get_dimensions(img)[0]
