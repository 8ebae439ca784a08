"""Colours of small images at once, in NumPy.

Recording a transform and running what was recorded costs some 20 us, as much as NumPy needs for a
dozen passes over 32 x 32 pixels. So small images whose values are there are changed here, by the
same operations in the same order: results have the same bits. Larger ones become plans, which
are compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.dtypes import get_default_dtype
from cresset.ops.reduce import MEAN_DIM
from cresset.random.fused import fma32
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.transforms.functional.dimensions import max_value

_F = np.float32
#: Images of more numbers are worth a plan (``transforms.settle``).
_MOST = 1 << 14


def pixels_at_hand(img: Tensor, most: int = _MOST) -> np.ndarray | None:
    """The bytes or float32 numbers of a small image that are there to be read, else None."""
    if not is_at_hand(img) or get_default_dtype() is not dtypes.float32:
        return None
    if img.dtype not in (dtypes.uint8, dtypes.float32) or not 0 < img.numel() <= most:
        return None
    return img._array()


def grey(pixels: np.ndarray) -> np.ndarray:
    """(..., 1, H, W) of (..., 3, H, W)."""
    r, g, b = (pixels[..., k, :, :] for k in range(3))
    total = _F(0.2989) * r
    part = _F(0.587) * g
    total += part
    total += np.multiply(_F(0.114), b, out=part)
    return total.astype(pixels.dtype, copy=False)[..., None, :, :]


def mean_grey(pixels: np.ndarray, to_grey: Any = grey) -> np.ndarray:
    """The mean over (..., C, H, W) of each image, in float32."""
    x = (to_grey(pixels) if pixels.shape[-3] == 3 else pixels).astype(_F, copy=False)
    dims = tuple(range(x.ndim - 3, x.ndim))
    mean: Any = MEAN_DIM.kernel
    return mean(np, x, dims, True, dtypes.float32).astype(_F, copy=False)


def blend(pixels: np.ndarray, other: Any, ratio: float) -> Tensor:
    """``ratio`` of an image and the rest of another one."""
    return bounded(_F(ratio) * pixels + _F(1.0 - ratio) * other, pixels.dtype)


def fused_grey(pixels: np.ndarray) -> np.ndarray:
    """``grey`` as ``transforms.v2`` has it: in float32, each product fused into the sum."""
    r, g, b = (pixels[..., k, :, :] for k in range(3))
    total = fma32(g, _F(0.587), r * _F(0.2989))
    return fma32(b, _F(0.114), total)[..., None, :, :]


def fused_whole_grey(pixels: np.ndarray) -> np.ndarray:
    """``fused_grey``, cut to whole levels where the image has such."""
    found = fused_grey(pixels)
    return np.floor(found, out=found) if pixels.dtype == np.uint8 else found


def fused_blend(pixels: np.ndarray, other: np.ndarray, ratio: float) -> Tensor:
    """``blend`` as ``transforms.v2`` has it."""
    return bounded(fma32(other, _F(1.0 - ratio), pixels * _F(ratio)), pixels.dtype)


def bounded(levels: np.ndarray, dtype: np.dtype) -> Tensor:
    """Fresh float32 levels between black and full brightness, in the dtype of an image."""
    d = dtypes.from_numpy_dtype(dtype)
    np.clip(levels, 0, max_value(d), out=levels)
    return from_array(levels.astype(dtype, copy=False), d)


def inverted(pixels: np.ndarray) -> np.ndarray:
    """Full brightness minus each number."""
    bound = max_value(dtypes.from_numpy_dtype(pixels.dtype))
    return np.subtract(pixels.dtype.type(bound), pixels)


def autocontrast(pixels: np.ndarray) -> Tensor:
    """Each channel from black to full brightness."""
    dtype = dtypes.from_numpy_dtype(pixels.dtype)
    bound = max_value(dtype)
    low, high = (
        f(axis=(-2, -1), keepdims=True).astype(_F) for f in (pixels.min, pixels.max)
    )  # fmt: skip
    with np.errstate(all="ignore"):
        scale = _F(1) / (high - low) * _F(bound)  # as PyTorch divides a number by a tensor
        usable = np.isfinite(scale)
        low, scale = np.where(usable, low, _F(0)), np.where(usable, scale, _F(1))
        stretched = ((pixels - low) * scale).clip(0, bound)
    return from_array(stretched.astype(pixels.dtype, copy=False), dtype)


def turned_hue(pixels: np.ndarray, factor: float) -> Tensor:
    """(..., 3, H, W) with the colour circle turned: what ``hsv`` does, operation by operation."""
    x = pixels if pixels.dtype == _F else pixels.astype(_F) / _F(255)
    with np.errstate(all="ignore"):
        h, s, v = _hue_saturation_value(x)
        f, part = _place(np.fmod(h / _F(6) + _F(1), _F(1)), factor)
        falling, rising = v * (_F(1) - s * f), v * (_F(1) - s * (_F(1) - f))
    return _painted(pixels.dtype, part, s, v, falling, rising)


def fused_turned_hue(pixels: np.ndarray, factor: float) -> Tensor:
    """``turned_hue`` as ``transforms.v2`` has it."""
    x = pixels if pixels.dtype == _F else pixels.astype(_F) * _F(1.0 / 255)
    with np.errstate(all="ignore"):
        h, s, v = _hue_saturation_value(x)
        f, part = _place(np.fmod(h * _F(1.0 / 6.0) + _F(1), _F(1)), factor)
        share = s * f
        falling, rising = (_F(1) - share) * v, (share + (_F(1) - s)) * v
    return _painted(pixels.dtype, part, s, v, falling, rising)


def _place(h: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a hue lies within its part of the circle, and which part that is."""
    sixths = np.remainder(h + _F(factor), _F(1)) * _F(6)
    part = np.floor(sixths)
    return sixths - part, np.remainder(part, _F(6))


def _painted(
    dtype: np.dtype, part: np.ndarray, s: np.ndarray, v: np.ndarray, falling: np.ndarray,
    rising: np.ndarray,
) -> Tensor:  # fmt: skip
    """The colours (..., 3, H, W) in a dtype."""
    low, falling, rising = (x.clip(0, 1) for x in (v * (_F(1) - s), falling, rising))
    which = np.where(part < 5, part, _F(5)).astype(np.intp)  # what is no number is in the last part
    out = np.empty((*v.shape[:-2], 3, *v.shape[-2:]), _F)
    for k, choices in enumerate((
        (v, falling, low, low, rising, v),
        (rising, v, v, falling, low, low),
        (low, low, rising, v, v, falling),
    )):  # fmt: skip
        out[..., k, :, :] = np.choose(which, choices)
    if dtype == np.uint8:
        out *= _F(256.0 - 1e-3)
        return from_array(out.astype(np.int32).astype(np.uint8), dtypes.uint8)
    return from_array(out, dtypes.float32)


def _hue_saturation_value(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r, g, b = (x[..., k, :, :] for k in range(3))
    top, bottom = x.max(-3), x.min(-3)
    span = top - bottom
    grey = top == bottom
    saturation = span / np.where(grey, _F(1), top)
    divisor = np.where(grey, _F(1), span)
    rc, gc, bc = ((top - colour) / divisor for colour in (r, g, b))
    green = np.where(top == g, _F(2) + rc - bc, _F(4) + gc - rc)
    return np.where(top == r, bc - gc, green), saturation, top
