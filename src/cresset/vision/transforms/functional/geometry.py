"""Where pixels go: crop, pad, flip, resize. Each for PIL images and for tensors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.ops.padding import pad as pad_tensor
from cresset.ops.resize import interpolate
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.pil import Image, ImageOps, channels_of
from cresset.vision.transforms.functional import machine
from cresset.vision.transforms.functional.dimensions import (
    InterpolationMode,
    assert_image_tensor,
    assert_pil_image,
    get_dimensions,
    interpolation_mode,
    pil_modes_mapping,
)
from cresset.vision.transforms.functional.resampling import resize_array, resized_at_once

_EVERY = slice(None)
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def check_padding(padding: Any, fill: Any, padding_mode: str) -> None:
    """The errors that ``pad`` and ``Pad`` share."""
    if not isinstance(padding, (Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if not isinstance(fill, (Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    if isinstance(padding, (tuple, list)) and len(padding) not in (1, 2, 4):
        raise ValueError(
            "Padding must be an int or a 1, 2, or 4 element tuple, not a "
            f"{len(padding)} element tuple"
        )
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")


def _borders(padding: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of one, two (horizontal, vertical) or four numbers."""
    numbers: list[int] = [*padding] if isinstance(padding, (tuple, list)) else [padding]
    left, top, right, bottom = numbers * (4 // len(numbers))
    return left, top, right, bottom


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Adds pixels at the borders.

    Args:
        img: a PIL image or a tensor (..., H, W).
        padding: one width, (left and right, top and bottom), or (left, top, right, bottom).
        fill: the new pixels' value, or one for each channel (PIL images).
        padding_mode: ``constant``; ``edge`` repeats the last pixel; ``reflect`` mirrors without it
            and ``symmetric`` with it.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.pad(torch.ones(1, 1, 2), [1, 0], fill=5)
    tensor([[[5., 1., 1., 5.]]])
    """
    fill = 0 if fill is None else fill
    check_padding(padding, fill, padding_mode)
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        if not isinstance(fill, (int, float)):
            raise TypeError("Got inappropriate fill arg")
        return _pad_tensor(img, _borders(padding), fill, padding_mode)
    assert_pil_image(img)
    if padding_mode == "constant":
        border = _borders(padding)
        padded = ImageOps.expand(img, border=border, fill=pil_fill(fill, img))
        if img.mode == "P":
            padded.putpalette(img.getpalette() or [])
        return padded
    return _pad_pil(img, _borders(padding), padding_mode)


def _pad_pil(img: Image.Image, borders: Sequence[int], mode: Any) -> Image.Image:
    left, top, right, bottom = np.maximum(borders, 0)
    cut = [max(-width, 0) for width in borders]
    if any(cut):
        img = img.crop((cut[0], cut[1], img.width - cut[2], img.height - cut[3]))
    pixels = np.asarray(img)
    widths = [(top, bottom), (left, right), (0, 0)][: pixels.ndim]
    padded = Image.fromarray(np.pad(pixels, widths, mode=mode))
    if img.mode == "P":
        padded.putpalette(img.getpalette() or [])
    return padded


def _pad_tensor(img: Tensor, borders: Sequence[int], fill: float, mode: str) -> Tensor:
    left, top, right, bottom = borders
    if mode == "symmetric":
        return pad_symmetric(img, borders)
    widths = [left, right, top, bottom]
    if mode == "constant":
        if _rows_at_hand(img) and fill == 0 and min(widths) >= 0:
            return _framed(img, left, top, right, bottom)
        return pad_tensor(img, widths, mode="constant", value=float(fill))
    batch = img.unsqueeze(0) if img.ndim < 4 else img
    exact = img.dtype in (dtypes.float32, dtypes.float64)
    batch = batch if exact else batch.to(dtypes.float32)
    padded = pad_tensor(batch, widths, mode="replicate" if mode == "edge" else mode)
    return (padded.squeeze(0) if img.ndim < 4 else padded).to(img.dtype)


def _rows_at_hand(img: Tensor) -> bool:
    """Whether the pixels can be read and lie row by row, as after a crop: then so does a copy."""
    stride = img._spec.stride
    return is_at_hand(img) and all(a >= b for a, b in zip(stride, stride[1:]))


def _framed(img: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """An image at hand with zeros around it."""
    pixels = img._array()
    height, width = pixels.shape[-2:]
    framed = np.zeros(
        (*pixels.shape[:-2], top + height + bottom, left + width + right), img.dtype.np
    )
    framed[..., top : top + height, left : left + width] = pixels
    return from_array(framed, img.dtype)


def pad_symmetric(img: Tensor, borders: Sequence[int]) -> Tensor:
    if img.ndim not in (3, 4):
        raise RuntimeError("Symmetric padding of N-D tensors are not supported yet")
    left, top, right, bottom = borders
    height, width = img.shape[-2:]
    img = img[..., max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]

    def sources(before: int, after: int, size: int) -> np.ndarray:
        mirrored = np.arange(before - 1, -1, -1), np.arange(-1, -after - 1, -1)
        return np.concatenate([mirrored[0], np.arange(size), mirrored[1]])

    rows = from_numpy(sources(top, bottom, img.shape[-2]))
    columns = from_numpy(sources(left, right, img.shape[-1]))
    return img[..., rows[:, None], columns[None, :]]


def pil_fill(fill: Any, img: Image.Image) -> Any:
    """``fill`` as Pillow wants it: a number for one channel, a tuple for several."""
    channels = channels_of(img)
    fill = 0 if fill is None else fill
    if isinstance(fill, (int, float)) and channels > 1:
        fill = (fill,) * channels
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * channels
        elif len(fill) != channels:
            raise ValueError(
                "The number of elements in 'fill' does not match the number of channels of the "
                f"image ({len(fill)} != {channels})"
            )
        return tuple(fill) if img.mode == "F" else tuple(int(x) for x in fill)
    return fill if img.mode == "F" else int(fill)


def window(img: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """``img[..., top:bottom, left:right]``; a third of the time that an ellipsis takes."""
    key = (*[_EVERY] * (img.ndim - 2), slice(top, bottom), slice(left, right))
    return img[key]


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of an image at (top, left) of this size; what lies outside of the image is 0.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.crop(torch.arange(6.).reshape(1, 2, 3), top=1, left=1, height=1, width=3)
    tensor([[[4., 5., 0.]]])
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return img.crop((left, top, left + width, top + height))
    _, h, w = get_dimensions(img)
    right, bottom = left + width, top + height
    part = window(img, max(top, 0), max(bottom, 0), max(left, 0), max(right, 0))
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return part
    borders = (
        max(min(right, 0) - left, 0),
        max(min(bottom, 0) - top, 0),
        max(right - max(w, left), 0),
        max(bottom - max(h, top), 0),
    )
    return pad(part, borders, fill=0)


def _pair(size: Any) -> Any:
    """(height, width) of one number, a sequence of one, or of two."""
    if isinstance(size, Number):
        return int(size), int(size)  # type: ignore[call-overload]
    return (size[0], size[0]) if len(size) == 1 else size


def _pair_or_error(size: Any) -> Any:
    size = _pair(size)
    if len(size) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    return size


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of an image, padded with 0 where the image is smaller.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.center_crop(torch.arange(6.).reshape(1, 2, 3), [2, 1])
    tensor([[[1.],
             [4.]]])
    """
    height, width = _pair(output_size)
    _, h, w = get_dimensions(img)
    if height > h or width > w:
        extra_h, extra_w = max(height - h, 0), max(width - w, 0)
        borders = (extra_w // 2, extra_h // 2, (extra_w + 1) // 2, (extra_h + 1) // 2)
        img = pad(img, borders, fill=0)
        _, h, w = get_dimensions(img)
        if (height, width) == (h, w):
            return img
    return crop(img, round((h - height) / 2.0), round((w - width) / 2.0), height, width)


def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """Top left, top right, bottom left, bottom right, centre.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> [part.tolist() for part in F.five_crop(torch.arange(6.).reshape(1, 2, 3), 1)]
    [[[[0.0]]], [[[2.0]]], [[[3.0]]], [[[5.0]]], [[[1.0]]]]
    """
    size = _pair_or_error(size)
    height, width = size
    _, h, w = get_dimensions(img)
    if height > h or width > w:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(h, w)}")
    corners = [(0, 0), (0, w - width), (h - height, 0), (h - height, w - width)]
    crops = [crop(img, top, left, height, width) for top, left in corners]
    return (*crops, center_crop(img, (height, width)))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """``five_crop`` of the image and of its mirror image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> len(F.ten_crop(torch.arange(6.).reshape(1, 2, 3), 1))
    10
    """
    size = _pair_or_error(size)
    mirrored = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(mirrored, size)


def hflip(img: Any) -> Any:
    """Left becomes right.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.hflip(torch.arange(6.).reshape(1, 2, 3))
    tensor([[[2., 1., 0.],
             [5., 4., 3.]]])
    """
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        if _rows_at_hand(img):
            return from_array(_mirrored(img._array()), img.dtype)
        return img.flip(-1)
    assert_pil_image(img)
    return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    """Lines backwards."""
    made = machine.mirrored(pixels)  # NumPy copies backwards number by number
    return pixels[..., ::-1] if made is None else made


def vflip(img: Any) -> Any:
    """Top becomes bottom.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.vflip(torch.arange(6.).reshape(1, 2, 3))
    tensor([[[3., 4., 5.],
             [0., 1., 2.]]])
    """
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        if _rows_at_hand(img):
            return from_array(img._array()[..., ::-1, :], img.dtype)
        return img.flip(-2)
    assert_pil_image(img)
    return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def resized_to(h: int, w: int, size: Sequence[int], max_size: int | None) -> tuple[int, int]:
    """(height, width) after resizing: ``size`` is both, or the shorter edge alone."""
    if len(size) == 2:
        return size[0], size[1]
    short, long = sorted((h, w))
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None:
        if max_size <= new_short:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested "
                f"size for the smaller edge size = {size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if w <= h else (new_short, new_long)


def resize(
    img: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """An image of another size.

    Args:
        img: a PIL image or a tensor (..., C, H, W).
        size: (height, width), or the length of the shorter edge, the other keeping the shape.
        interpolation: an ``InterpolationMode`` or Pillow's number.
        max_size: the longer edge at most, where ``size`` is one number.
        antialias: for tensors, widen the filter when shrinking. PIL images always do.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.resize(torch.tensor([[[0., 1., 2., 3.]]]), [1, 2])
    tensor([[[0.7143, 2.2857]]])
    """
    interpolation = interpolation_mode(interpolation)
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(
                f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element "
                "tuple/list"
            )
        if max_size is not None and len(size) != 1:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, "
                "i.e. size should be an int or a sequence of length 1 in torchscript mode."
            )
    _, h, w = get_dimensions(img)
    height, width = resized_to(h, w, [size] if isinstance(size, int) else size, max_size)
    if (h, w) == (height, width):
        return img
    if isinstance(img, Tensor):
        return _resize_tensor(img, height, width, interpolation.value, bool(antialias))
    if antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is "
            "ignored."
        )
    return img.resize((width, height), pil_modes_mapping[interpolation])


def _resize_tensor(img: Tensor, height: int, width: int, mode: str, antialias: bool) -> Tensor:
    assert_image_tensor(img)
    antialias = antialias and mode in ("bilinear", "bicubic")
    if antialias or mode == "bilinear":
        if img.dtype == dtypes.uint8:
            pixels = img.numpy(force=True).astype(np.float32)
            levels = resize_array(pixels, height, width, mode, antialias, whole=True)
            return from_array(levels, dtypes.uint8).to(img.device)
        resized = resized_at_once(img, height, width, mode, antialias)
        if resized is not None:
            return resized
    exact = img.dtype in (dtypes.float32, dtypes.float64)
    x = img if exact else img.to(dtypes.float32)
    batch = x.unsqueeze(0) if x.ndim < 4 else x
    align = False if mode in ("bilinear", "bicubic") else None
    batch = interpolate(
        batch, size=(height, width), mode=mode, align_corners=align, antialias=antialias
    )
    x = batch.squeeze(0) if x.ndim < 4 else batch
    if mode == "bicubic" and img.dtype == dtypes.uint8:
        x = x.clamp(0, 255)
    if not exact and not img.is_floating_point():
        x = x.round()
    return x.to(img.dtype)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """``crop``, then ``resize``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.resized_crop(torch.arange(6.).reshape(1, 2, 3), 0, 0, 2, 2, [1, 1])
    tensor([[[2.]]])
    """
    part = crop(img, top, left, height, width)
    return resize(part, size, interpolation, antialias=antialias)
