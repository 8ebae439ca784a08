"""Resizing float images with the roundings of PyTorch's kernels.

Bytes are resized as floats and then rounded, and halves are frequent among results: the last bit
of a sum decides. So sums are formed here in the order, and with the products fused into them, that
PyTorch's compiled kernels have. Each pixel of the result is a sum of pixels along one axis and then
along the other; the axis is put first, so that whole lines are added.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.ops.resize_bytes import byte_taps
from cresset.random.fused import fma32
from cresset.tensor import Tensor, from_array
from cresset.vision.transforms.functional import machine

_F = np.float32
#: Outputs of at most this height and width together are made in one pass over both axes.
_SMALL = 128
#: Products before the last whole group of so many are rounded before they are added.
_GROUP = 4


def resize_array(
    pixels: np.ndarray, height: int, width: int, mode: str, antialias: bool, whole: bool = False
) -> np.ndarray:
    """float32 (..., H, W) resized: bilinear, or bilinear and bicubic with ``antialias``.

    ``whole``: the result in bytes, rounded.
    """
    out = _resized(pixels, height, width, mode, antialias, whole)
    if not whole or out.dtype == np.uint8:
        return out
    return np.rint(out).astype(np.int32).clip(0, 255).astype(np.uint8)


def _resized(
    pixels: np.ndarray, height: int, width: int, mode: str, antialias: bool, whole: bool
) -> np.ndarray:
    if not antialias and height + width <= _SMALL:
        return _bilinear_at_once(pixels, height, width)
    for axis, out in ((-1, width), (-2, height)):
        size = pixels.shape[axis]
        if antialias and size == out:
            continue
        taps = _taps(size, out, mode, antialias)
        made = machine.resampled(pixels, axis, taps, whole and axis == -2)
        if made is not None:
            pixels = made
            continue
        turned = np.swapaxes(pixels, axis, -1)
        lines = np.ascontiguousarray(turned.reshape(-1, size).T)
        if antialias:
            lines = _widened_sum(lines, *_widened_weights(size, out, mode))
        else:
            low, high, near, far = (a[:, None] for a in _pairs(size, out))
            lines = fma32(lines[low[:, 0]], near, lines[high[:, 0]] * far)
        pixels = np.swapaxes(lines.T.reshape(*turned.shape[:-1], out), axis, -1)
    return pixels


@lru_cache(maxsize=128)
def _pairs(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each output pixel the two pixels around it, and their weights."""
    step = _F(size) / _F(out)
    at = np.maximum(fma32(step, np.arange(out).astype(_F) + _F(0.5), -_F(0.5)), _F(0))
    low = np.minimum(at.astype(np.intp), size - 1)
    far = np.clip(at - low.astype(_F), _F(0), _F(1))
    return low, np.minimum(low + 1, size - 1), _F(1) - far, far


@lru_cache(maxsize=128)
def _taps(size: int, out: int, mode: str, antialias: bool) -> machine.Taps:
    """The same weights as a table."""
    if not antialias:
        low, high, near, far = _pairs(size, out)
        return machine.Taps(np.stack([high, low]), np.stack([far, near]), np.ones(out))
    low, count, weights = _widened_weights(size, out, mode)
    places = np.minimum(low + np.arange(weights.shape[1])[:, None], size - 1)
    return machine.Taps(places, weights.T, 1 + (count - 1) // _GROUP * _GROUP)


def _bilinear_at_once(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    corners = _corners(*pixels.shape[-2:], height, width)
    flat = pixels.reshape(*pixels.shape[:-2], -1)
    (place, weight), *others = corners
    total = flat.take(place, -1) * weight
    for place, weight in others:
        total = fma32(flat.take(place, -1), weight, total)
    return total


@lru_cache(maxsize=32)
def _corners(
    rows: int, columns: int, height: int, width: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and weights of the four pixels around each output pixel, in the order of addition."""
    top, bottom, up, down = (a[:, None] for a in _pairs(rows, height))
    left, right, before, after = _pairs(columns, width)
    return [
        (top * columns + right, up * after), (top * columns + left, up * before),
        (bottom * columns + left, down * before), (bottom * columns + right, down * after),
    ]  # fmt: skip


def _filter(mode: str, x: np.ndarray) -> np.ndarray:
    """Triangle, or Keys' cubic (1981) with a = -0.5, in single precision."""
    x = np.abs(x)
    if mode == "bilinear":
        return np.maximum(_F(1) - x, _F(0))
    a = _F(-0.5)
    near = fma32(fma32(a + _F(2), x, -(a + _F(3))) * x, x, _F(1))
    far = fma32(fma32(fma32(a, x, _F(-5) * a), x, _F(8) * a), x, _F(-4) * a)
    return np.where(x < 1, near, np.where(x < 2, far, _F(0)))


@lru_cache(maxsize=128)
def _widened_weights(size: int, out: int, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first input pixel of each output pixel, how many follow, and their weights (out, most):
    the filter is at least as wide as an output pixel."""
    step = _F(size) / _F(out)
    wide = step >= 1
    half = _F(1 if mode == "bilinear" else 2)
    reach = half * step if wide else half
    centre = step * (np.arange(out) + 0.5).astype(_F)
    low = np.maximum((centre - reach + _F(0.5)).astype(np.intp), 0)
    count = np.minimum((centre + reach + _F(0.5)).astype(np.intp), size) - low
    place = np.arange(count.max())
    distance = ((place + low[:, None]).astype(_F) - centre[:, None]) + _F(0.5)
    weights = _filter(mode, distance * (_F(1) / step if wide else _F(1)))
    weights = np.where(place < count[:, None], weights, _F(0)).astype(_F)
    total = np.add.accumulate(weights, axis=1)[:, -1:]
    return low, count, weights / total


def _widened_sum(
    lines: np.ndarray, low: np.ndarray, count: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    grouped = 1 + (count - 1) // _GROUP * _GROUP
    total = lines[low] * weights[:, :1]
    for k in range(1, weights.shape[1]):
        line = lines[np.minimum(low + k, len(lines) - 1)]
        weight = weights[:, k : k + 1]
        fused = fma32(line, weight, total) if (k >= grouped).any() else total
        total = np.where((k < grouped)[:, None], total + line * weight, fused)
    return total


def resize_bytes_array(
    pixels: np.ndarray, height: int, width: int, mode: str, antialias: bool
) -> np.ndarray | None:
    """Bytes (..., H, W) resized in whole numbers, as ``ops.resize_bytes`` does; None where machine
    code is not to be had."""
    for axis, out in ((-1, width), (-2, height)):
        size = pixels.shape[axis]
        if size != out:
            found = machine.resampled_bytes(pixels, axis, _byte_taps(size, out, mode, antialias))
            if found is None:
                return None
            pixels = found
    return pixels


@lru_cache(maxsize=128)
def _byte_taps(size: int, out: int, mode: str, antialias: bool) -> machine.Taps:
    taps, bits = byte_taps(size, out, mode, False, antialias, None)
    places, weights = zip(*taps, strict=True)
    return machine.Taps(np.stack(places), np.stack(weights)[..., 0], bits=bits)


def resized_at_once(
    img: Tensor, height: int, width: int, mode: str, antialias: bool
) -> Tensor | None:
    """A float32 image or one of bytes whose gradient nobody wants, with PyTorch's bits; None for
    other images and modes."""
    if img.device.type != "cpu" or (THREAD.grad and img.requires_grad):
        return None
    if img.dtype is dtypes.float32 and (mode == "bilinear" or (mode == "bicubic" and antialias)):
        found = resize_array(img.numpy(force=True), height, width, mode, antialias)
        return from_array(found, img.dtype)
    if img.dtype is dtypes.uint8 and mode in ("bilinear", "bicubic", "lanczos"):
        whole = resize_bytes_array(img.numpy(force=True), height, width, mode, antialias)
        return None if whole is None else from_array(whole, img.dtype)
    return None
