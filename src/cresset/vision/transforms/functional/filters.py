"""Filters: each pixel becomes a weighted sum of its neighbours, in every channel alike.

Bytes are rounded after a sum, and rounding must not depend on the order of additions: where no
gradient is asked for, float32 images are summed here as PyTorch's kernel sums, weight by weight
along the rows of the filter, each product fused into the sum.
"""

from __future__ import annotations

import numpy as np

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.nn.functional import conv2d
from cresset.ops.creation import from_numpy
from cresset.random.fused import fma32
from cresset.tensor import Tensor
from cresset.vision.transforms.functional import machine


def pixels_of(img: Tensor) -> np.ndarray | None:
    """The float32 pixels of an image of bytes or float32 whose gradient nobody wants, else None."""
    if img.device.type != "cpu" or (THREAD.grad and img.requires_grad):
        return None
    if img.dtype not in (dtypes.float32, dtypes.uint8):
        return None
    return img.numpy(force=True).astype(np.float32, copy=False)


def bytes_of(pixels: np.ndarray) -> np.ndarray:
    """Levels within 0 to 255, rounded. NumPy's own way from floats to bytes is slow."""
    return np.rint(pixels, out=pixels).astype(np.int32).astype(np.uint8)


def convolve_planes(img: Tensor, weights: np.ndarray) -> Tensor:
    """A float image (..., C, H, W) filtered with ``weights`` (h, w), without padding."""
    wants_gradient = THREAD.grad and img.requires_grad
    if not wants_gradient and img.dtype == dtypes.float32 and img.device.type == "cpu":
        return from_numpy(convolve_array(img.numpy(force=True), weights))
    channels = img.shape[-3]
    kernel = from_numpy(weights).to(device=img.device, dtype=img.dtype)
    kernel = kernel.expand(channels, 1, *weights.shape)
    out = conv2d(img.reshape(-1, *img.shape[-3:]), kernel, groups=channels)
    return out.reshape(*img.shape[:-2], *out.shape[-2:])


def convolve_array(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32 (..., H, W) filtered with ``weights``, without padding."""
    if (made := machine.filtered(pixels, weights)) is not None:
        return made
    rows, columns = (n - k + 1 for n, k in zip(pixels.shape[-2:], weights.shape))
    pixels = np.ascontiguousarray(pixels)
    total = np.zeros((*pixels.shape[:-2], rows, columns), np.float32)
    for (y, x), weight in np.ndenumerate(weights):
        total = fma32(pixels[..., y : y + rows, x : x + columns], weight, total)
    return total
