"""Resizing images of bytes in whole numbers, as Pillow and PyTorch do on CPUs.

Rows are resampled first, then columns; between them values are bytes again. Weights are computed in
double precision, then scaled by the largest power of two that keeps them in 16 bits, and rounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import dense
from cresset.ops.registry import Op, Tensor, apply

#: How many input pixels a filter covers that is not widened.
_REACH = {"bilinear": 2, "bicubic": 4, "lanczos": 6}
_MOST_BITS = 22


def widened_filter(mode: str, x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Triangle, Keys' cubic (1981) or Lanczos' window, at distances ``x`` in pixels."""
    x = np.abs(x)
    if mode == "bilinear":
        return np.maximum(1.0 - x, 0.0)
    if mode == "lanczos":
        return np.where(x < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


@lru_cache(maxsize=128)
def byte_taps(
    size: int, out: int, mode: str, align: bool, antialias: bool, scale: float | None
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Pairs (which input pixel, its weight) for all output pixels, and by how many bits the weights
    were scaled. An output pixel is the sum over the pairs."""
    if align:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    else:
        step = size / out if scale is None else 1.0 / scale
    weights = _widened(size, out, step, mode) if antialias else _plain(size, out, step, mode, align)
    most = float(weights.max())
    bits = 0
    while bits < _MOST_BITS and int(0.5 + most * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weights * (1 << bits)
    whole = np.where(scaled < 0, scaled - 0.5, scaled + 0.5).astype(np.int32)
    used = whole != 0
    first = used.argmax(1)
    count = int((size - used[:, ::-1].argmax(1) - first).max())
    padded = np.pad(whole, [(0, 0), (0, count)])
    every = np.arange(out)
    taps = [(first + k, padded[every, first + k][:, None]) for k in range(count)]
    return [(np.minimum(index, size - 1), weight) for index, weight in taps], bits


def _widened(size: int, out: int, step: float, mode: str) -> np.ndarray:
    """(out, size), with the filter at least as wide as an output pixel. As in PyTorch, aligned
    corners change the step and no more."""
    stretch = max(step, 1.0)
    reach = _REACH[mode] * 0.5 * stretch
    centre = step * (np.arange(out)[:, None] + 0.5)
    low = (centre - reach + 0.5).astype(int)
    high = (centre + reach + 0.5).astype(int)
    j = np.arange(size)
    weights = widened_filter(mode, (j - centre + 0.5) * (1.0 / stretch))
    weights = np.where((j >= low) & (j < high), weights, 0.0)
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total == 0, 1.0, total)


def _plain(size: int, out: int, step: float, mode: str, align: bool) -> np.ndarray:
    """(out, size): the two or four pixels around each output pixel; those outside of the image go
    to its border."""
    i = np.arange(out)
    at = i * step if align else step * (i + 0.5) - 0.5
    if mode == "bilinear":
        at = np.maximum(at, 0.0)
    base = np.minimum(np.floor(at).astype(int), size - 1)
    part = np.clip(at - base, 0.0, 1.0)
    half = _REACH[mode] // 2
    weights = np.zeros((out, size))
    for j in range(1 - half, 1 + half):
        place = np.clip(base + j, 0, size - 1)
        np.add.at(weights, (i, place), widened_filter(mode, j - part, -0.75))
    return weights


def _pass(xp: Any, x: Any, taps: list, bits: int) -> Any:
    """The last dimension but one resampled: whole lines are added."""
    shape = (*x.shape[:-2], len(taps[0][0]), x.shape[-1])
    total, part = xp.full(shape, 1 << bits >> 1, xp.int32), xp.empty(shape, xp.int32)
    for index, weight in taps:
        xp.multiply(x.take(xp.asarray(index), axis=-2), xp.asarray(weight), out=part)
        total += part
    total >>= bits
    return xp.clip(total, 0, 255, out=total).astype(xp.uint8)


def _kernel(xp: Any, x: Any, out: Any, mode: str, scales: Any, align: bool, antialias: bool) -> Any:
    for axis in (3, 2):  # rows first: the order shows, as values are bytes in between
        size, n = x.shape[axis], out[axis - 2]
        if size != n:
            taps, bits = byte_taps(size, n, mode, align, antialias, scales[axis - 2])
            turned = xp.ascontiguousarray(xp.swapaxes(x, axis, 2))
            x = xp.swapaxes(_pass(xp, turned, taps, bits), axis, 2)
    return xp.array(x, order="C")


RESIZE_BYTES = Op(
    "upsample_bytes", lambda s, out, *rest: dense(dtypes.uint8, (*s.shape[:2], *out), s.device),
    _kernel,
)  # fmt: skip


def resize_bytes(
    x: Tensor, out: tuple[int, ...], mode: str, scales: tuple, align: bool, antialias: bool
) -> Tensor:
    """(n, c, h, w) bytes resized to ``out``, bilinear, bicubic or Lanczos'."""
    return apply(RESIZE_BYTES, (x,), (out, mode, scales, align, antialias))
