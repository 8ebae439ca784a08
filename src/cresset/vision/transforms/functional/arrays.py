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
from cresset.tensor import Tensor, from_array
from cresset.vision.transforms.functional.dimensions import at_hand, max_value

_F = np.float32
#: Images of more numbers are worth a plan (``transforms.settle``).
_MOST = 1 << 14


def pixels_at_hand(img: Tensor, most: int = _MOST) -> np.ndarray | None:
    """The bytes or float32 numbers of a small image that are there to be read, else None."""
    if not at_hand(img) or get_default_dtype() is not dtypes.float32:
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


def mean_grey(pixels: np.ndarray) -> np.ndarray:
    """The mean over (..., C, H, W) of each image, in float32."""
    x = (grey(pixels) if pixels.shape[-3] == 3 else pixels).astype(_F, copy=False)
    dims = tuple(range(x.ndim - 3, x.ndim))
    mean: Any = MEAN_DIM.kernel
    return mean(np, x, dims, True, dtypes.float32).astype(_F, copy=False)


def blend(pixels: np.ndarray, other: Any, ratio: float) -> Tensor:
    """``ratio`` of an image and the rest of another one."""
    dtype = dtypes.from_numpy_dtype(pixels.dtype)
    mixed = _F(ratio) * pixels + _F(1.0 - ratio) * other
    np.clip(mixed, 0, max_value(dtype), out=mixed)
    return from_array(mixed.astype(pixels.dtype, copy=False), dtype)


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
    dtype = dtypes.from_numpy_dtype(pixels.dtype)
    x = pixels if dtype is dtypes.float32 else pixels.astype(_F) / _F(255)
    with np.errstate(all="ignore"):
        h, s, v = _hue_saturation_value(x)
        h = np.fmod(h / _F(6) + _F(1), _F(1))
        sixths = np.remainder(h + _F(factor), _F(1)) * _F(6)
        part = np.floor(sixths)
        f = sixths - part
        low = (v * (_F(1) - s)).clip(0, 1)
        falling = (v * (_F(1) - s * f)).clip(0, 1)
        rising = (v * (_F(1) - s * (_F(1) - f))).clip(0, 1)
        part = np.remainder(part, _F(6))
        out = np.empty(x.shape, _F)
        for k, choices in enumerate((
            (v, falling, low, low, rising, v),
            (rising, v, v, falling, low, low),
            (low, low, rising, v, v, falling),
        )):  # fmt: skip
            colour = choices[5]
            for i in range(5):
                colour = np.where(part == i, choices[i], colour)
            out[..., k, :, :] = colour
        if dtype is dtypes.uint8:
            out *= _F(256.0 - 1e-3)
            return from_array(out.astype(np.int32).astype(np.uint8), dtype)
    return from_array(out, dtype)


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
