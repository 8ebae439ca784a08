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


def convolve_planes(img: Tensor, weights: np.ndarray) -> Tensor:
    """A float image (..., C, H, W) filtered with ``weights`` (h, w), without padding."""
    wants_gradient = THREAD.grad and img.requires_grad
    if not wants_gradient and img.dtype == dtypes.float32 and img.device.type == "cpu":
        return from_numpy(_convolve_array(img.numpy(force=True), weights))
    channels = img.shape[-3]
    kernel = from_numpy(weights).to(device=img.device, dtype=img.dtype)
    kernel = kernel.expand(channels, 1, *weights.shape)
    out = conv2d(img.reshape(-1, *img.shape[-3:]), kernel, groups=channels)
    return out.reshape(*img.shape[:-2], *out.shape[-2:])


def _convolve_array(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows, columns = (n - k + 1 for n, k in zip(pixels.shape[-2:], weights.shape))
    pixels = np.ascontiguousarray(pixels)
    total = np.zeros((*pixels.shape[:-2], rows, columns), np.float32)
    for (y, x), weight in np.ndenumerate(weights):
        total = fma32(pixels[..., y : y + rows, x : x + columns], weight, total)
    return total
