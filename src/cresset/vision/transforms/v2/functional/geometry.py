"""Where pixels go: crop, pad, flip, resize."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from cresset import dtypes
from cresset.ops.creation import tensor
from cresset.ops.padding import pad as pad_tensor
from cresset.ops.resize import interpolate
from cresset.tensor import Tensor
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional.dimensions import InterpolationMode, pil_modes_mapping
from cresset.vision.transforms.functional.geometry import (
    PADDING_MODES,
    pad_symmetric,
    resized_to,
    window,
)
from cresset.vision.transforms.functional.resampling import resized_at_once
from cresset.vision.transforms.v2.functional.dimensions import get_size, mode_of
from cresset.vision.transforms.v2.functional.dispatch import by_kind, gathered

_SMOOTH = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.LANCZOS)
_INTEGERS = (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)


@by_kind(v1.hflip)
def horizontal_flip(image: Tensor) -> Tensor:
    """Left becomes right.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.horizontal_flip(torch.arange(6.).reshape(1, 2, 3))
    tensor([[[2., 1., 0.],
             [5., 4., 3.]]])
    """
    return v1.hflip(gathered(image))


@by_kind(v1.vflip)
def vertical_flip(image: Tensor) -> Tensor:
    """Top becomes bottom.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.vertical_flip(torch.arange(6.).reshape(1, 2, 3))
    tensor([[[3., 4., 5.],
             [0., 1., 2.]]])
    """
    return v1.vflip(gathered(image))


hflip, vflip = horizontal_flip, vertical_flip


# -- resize ----------------------------------------------------------------------------------------


def _resized(image: Any, size: Any, max_size: int | None) -> tuple[int, int]:
    """(height, width) after resizing; with ``size`` None, the longer edge becomes ``max_size``."""
    height, width = get_size(image)
    if isinstance(size, int):
        size = [size]
    if max_size is not None and size is not None and len(size) != 1:
        raise ValueError(
            "max_size should only be passed if size is None or specifies the length of the smaller "
            "edge, i.e. size should be an int or a sequence of length 1 in torchscript mode."
        )
    if size is not None:
        return resized_to(height, width, size, max_size)
    if not isinstance(max_size, int):
        raise ValueError(
            f"max_size must be an integer when size is None, but got {max_size} instead."
        )
    shorter = int(max_size * min(height, width) / max(height, width))
    return (max_size, shorter) if width <= height else (shorter, max_size)


def _resized_picture(
    image: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    if antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is "
            "ignored."
        )
    height, width = _resized(image, size, max_size)
    mode = mode_of(interpolation)
    if (height, width) == (image.height, image.width):
        return image
    return image.resize((width, height), resample=pil_modes_mapping[mode])


@by_kind(_resized_picture)
def resize(
    image: Tensor,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Tensor:
    """An image of another size.

    Args:
        image: a PIL image or a tensor (..., C, H, W); bytes are resized in whole numbers.
        size: (height, width); the length of the shorter edge; or None, with ``max_size``.
        interpolation: an ``InterpolationMode``, its name, or Pillow's number.
        max_size: the longer edge at most, where ``size`` is not both.
        antialias: for tensors, widen the filter when shrinking. PIL images always do.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.resize(torch.tensor([[[0, 100], [200, 255]]], dtype=torch.uint8), [1, 1])
    tensor([[[139]]], dtype=torch.uint8)
    """
    mode = mode_of(interpolation)
    if mode is InterpolationMode.LANCZOS and not antialias:
        raise ValueError("InterpolationMode.LANCZOS requires antialias=True")
    height, width = _resized(image, size, max_size)
    if (height, width) == tuple(image.shape[-2:]):
        return image
    shape = (*image.shape[:-2], height, width)
    if image.numel() == 0:
        return image.reshape(shape)
    resized = resized_at_once(image, height, width, mode.value, bool(antialias))
    if resized is not None:
        return resized
    exact = image.dtype in (dtypes.float32, dtypes.float64, dtypes.uint8)
    x = image if exact else image.to(dtypes.float32)
    smooth = mode in _SMOOTH
    x = interpolate(
        x.reshape(-1, *image.shape[-3:]),
        size=(height, width),
        mode=mode.value,
        align_corners=False if smooth else None,
        antialias=bool(antialias) and smooth,
    )
    if image.dtype in _INTEGERS and not exact:
        x = x.round()
    return x.to(image.dtype).reshape(shape)


# -- pad and crop ----------------------------------------------------------------------------------


def borders(padding: Any) -> list[int]:
    """[left, right, top, bottom] of one, two (horizontal, vertical) or four numbers (left, top,
    right, bottom)."""
    if not isinstance(padding, (int, tuple, list)):
        raise TypeError(
            f"`padding` should be an integer or tuple or list of integers, but got {padding}"
        )
    numbers = [padding] if isinstance(padding, int) else [*padding]
    if len(numbers) not in (1, 2, 4):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element tuple or list. Found {len(numbers)}"
        )
    left, top, right, bottom = numbers * (4 // len(numbers))
    return [left, right, top, bottom]


@by_kind(v1.pad)
def pad(image: Tensor, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Tensor:
    """Adds pixels at the borders: see the first interface. Tensors, too, take a colour for each
    channel.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.pad(torch.zeros(2, 1, 1), [1, 0], fill=[5, 6]).tolist()
    [[[5.0, 0.0, 5.0]], [[6.0, 0.0, 6.0]]]
    """
    widths = borders(padding)
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            "`padding_mode` should be either `'constant'`, `'edge'`, `'reflect'` or "
            f"`'symmetric'`, but got `'{padding_mode}'`."
        )
    colour = 0 if fill is None else fill
    if not isinstance(colour, (int, float)) and len(colour) == 1:
        colour = colour[0]
    if isinstance(colour, (int, float)):
        return _padded(image, widths, colour, padding_mode)
    if padding_mode != "constant":
        raise ValueError(f"Padding mode '{padding_mode}' is not supported if fill is not scalar")
    out = _padded(image, widths, 0, "constant")
    left, right, top, bottom = widths
    height, width = out.shape[-2:]
    column = tensor(colour, device=image.device).to(image.dtype).reshape(-1, 1, 1)
    out[..., : max(top, 0), :] = column
    out[..., :, : max(left, 0)] = column
    out[..., height - max(bottom, 0) :, :] = column
    out[..., :, width - max(right, 0) :] = column
    return out


def _padded(image: Tensor, widths: Sequence[int], fill: float, padding_mode: str) -> Tensor:
    left, right, top, bottom = widths
    if padding_mode == "constant":
        return v1.pad(gathered(image), [left, top, right, bottom], float(fill))
    batch = image.reshape(math.prod(image.shape[:-3]), *image.shape[-3:])
    if padding_mode == "symmetric":
        batch = pad_symmetric(batch, [left, top, right, bottom])
    else:
        floats = batch if batch.is_floating_point() else batch.to(dtypes.float32)
        mode = "replicate" if padding_mode == "edge" else padding_mode
        batch = pad_tensor(floats, widths, mode=mode).to(image.dtype)
    return batch.reshape(*image.shape[:-2], *batch.shape[-2:])


@by_kind(v1.crop)
def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """The part of an image at (top, left) of this size; what lies outside of the image is 0.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.crop(torch.arange(6.).reshape(1, 2, 3), top=1, left=1, height=1, width=3)
    tensor([[[4., 5., 0.]]])
    """
    h, w = image.shape[-2:]
    right, bottom = left + width, top + height
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return window(image, top, bottom, left, right)
    part = window(image, max(top, 0), max(bottom, 0), max(left, 0), max(right, 0))
    widths = [
        max(min(right, 0) - left, 0),
        max(right - max(w, left), 0),
        max(min(bottom, 0) - top, 0),
        max(bottom - max(h, top), 0),
    ]
    return _padded(part, widths, 0, "constant")


@by_kind(v1.center_crop)
def center_crop(image: Tensor, output_size: Any) -> Tensor:
    """The middle of an image, padded with 0 where the image is smaller.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.center_crop(torch.arange(6.).reshape(1, 2, 3), [2, 1])
    tensor([[[1.],
             [4.]]])
    """
    if isinstance(output_size, (int, float)):
        output_size = (int(output_size),) * 2
    elif len(output_size) == 1:
        output_size = (output_size[0],) * 2
    height, width = output_size
    if image.numel() == 0:
        return image.reshape(*image.shape[:-2], height, width)
    h, w = image.shape[-2:]
    if height > h or width > w:
        extra_h, extra_w = max(height - h, 0), max(width - w, 0)
        sides = [n for extra in (extra_w, extra_h) for n in (extra // 2, math.ceil(extra / 2))]
        image = pad_tensor(image, sides)
        h, w = image.shape[-2:]
    top, left = round((h - height) / 2.0), round((w - width) / 2.0)
    return window(image, top, top + height, left, left + width)


def _resized_crop_of_picture(
    image: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    part = v1.crop(image, top, left, height, width)
    return resize(part, size, interpolation, antialias=antialias)


@by_kind(_resized_crop_of_picture)
def resized_crop(
    image: Tensor,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Tensor:
    """``crop``, then ``resize``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.resized_crop(torch.arange(6.).reshape(1, 2, 3), 0, 0, 2, 2, [1, 1])
    tensor([[[2.]]])
    """
    part = crop(image, top, left, height, width)
    return resize(part, size, interpolation, antialias=antialias)


def _five_crops(image: Any, size: Any) -> tuple[Any, ...]:
    """``five_crop`` of either kind; the size is named in errors as it was given."""
    pair = [int(size)] * 2 if isinstance(size, (int, float)) else size
    pair = [*pair] * (2 if len(pair) == 1 else 1)
    height, width = get_size(image)
    if len(pair) == 2 and (pair[0] > height or pair[1] > width):
        raise ValueError(f"Requested crop size {size} is bigger than input size {(height, width)}")
    return v1.five_crop(image, pair)


def _ten_crops(image: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    mirrored = (v1.vflip if vertical_flip else v1.hflip)(image)
    return _five_crops(image, size) + _five_crops(mirrored, size)


@by_kind(_five_crops)
def five_crop(image: Tensor, size: Any) -> tuple[Tensor, ...]:
    """Top left, top right, bottom left, bottom right, centre.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> [part.tolist() for part in F.five_crop(torch.arange(6.).reshape(1, 2, 3), 1)]
    [[[[0.0]]], [[[2.0]]], [[[3.0]]], [[[5.0]]], [[[1.0]]]]
    """
    return _five_crops(image, size)


@by_kind(_ten_crops)
def ten_crop(image: Tensor, size: Any, vertical_flip: bool = False) -> tuple[Tensor, ...]:
    """``five_crop`` of the image and of its mirror image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> len(F.ten_crop(torch.arange(6.).reshape(1, 2, 3), 1))
    10
    """
    return _ten_crops(image, size, vertical_flip)
