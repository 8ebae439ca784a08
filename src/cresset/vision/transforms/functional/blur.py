"""Images out of focus: Gaussian blur."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.padding import pad
from cresset.tensor import Tensor, from_array
from cresset.vision.pil import is_pil_image
from cresset.vision.transforms.functional.convert import pil_to_tensor, to_pil_image
from cresset.vision.transforms.functional.dimensions import assert_image_tensor
from cresset.vision.transforms.functional.filters import (
    bytes_of,
    convolve_array,
    convolve_planes,
    pixels_of,
)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Each pixel as a mean of its neighbours, weighted by ``exp(-d ** 2 / (2 sigma ** 2))``.

    Args:
        img: a PIL image or a tensor (..., C, H, W). Over the border it is mirrored.
        kernel_size: (width, height) of the neighbourhood, odd, or one number.
        sigma: along x and y, or one number; else ``0.15 kernel_size + 0.35``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.gaussian_blur(torch.tensor([[[0., 0., 1.]] * 3]), 3, 1.0)[0, 0]
    tensor([0.0000, 0.2741, 0.4519])
    """
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(
            f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}"
        )
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else kernel_size
    check_kernel_size(sizes)
    if sigma is None:
        sigma = [size * 0.15 + 0.35 for size in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = check_sigma(sigma)
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        return blurred(img, sizes, sigmas, gaussian_weights)
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    out = blurred(pil_to_tensor(img), sizes, sigmas, gaussian_weights)
    return to_pil_image(out, mode=img.mode)


def check_kernel_size(sizes: Sequence[int]) -> None:
    """ValueError for anything but two odd numbers."""
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")


def check_sigma(sigma: Any) -> Sequence[float]:
    """Sigma along x and y; ValueError for anything but positive numbers."""
    if isinstance(sigma, (int, float)):
        sigma = [float(sigma)] * 2
    elif len(sigma) == 1:
        sigma = [sigma[0]] * 2
    if len(sigma) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigma)}")
    if any(s <= 0.0 for s in sigma):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    return sigma


def gaussian_weights(size: int, sigma: float, dtype: Any) -> np.ndarray:
    """The weights along one axis; their sum is 1."""
    x = (np.arange(size) - (size - 1) / 2).astype(dtype)
    exponent = dtype.type(-0.5) * (x / dtype.type(sigma)) ** 2
    weights = np.exp(exponent.astype(np.float64)).astype(dtype)
    return weights / _sum(weights)


def _sum(x: np.ndarray) -> np.floating:
    """The sum in the order in which PyTorch adds: eight by eight, and these in four turns."""
    whole = len(x) - len(x) % 8
    if not whole:
        return _sum_in_turns(x)
    total = x.dtype.type(0)
    for part in (*x[whole:], *_sum_in_turns(x[:whole].reshape(-1, 8))):
        total = total + part
    return total


def _sum_in_turns(x: np.ndarray) -> Any:
    whole = len(x) - len(x) % 4
    turns = [x[k:whole:4] for k in range(4)]
    totals = [np.add.accumulate(turn)[-1] if len(turn) else x.dtype.type(0) for turn in turns]
    for rest in x[whole:]:
        totals[0] = totals[0] + rest
    return totals[0] + totals[1] + totals[2] + totals[3]


def blurred(img: Tensor, sizes: Sequence[int], sigmas: Sequence[float], weights: Any) -> Tensor:
    """A tensor image blurred with the ``weights`` along x times those along y."""
    dtype = img.dtype if img.is_floating_point() else dtypes.float32
    real = dtype.np if dtype in (dtypes.float32, dtypes.float64) else np.dtype(np.float32)
    row, column = (weights(size, sigma, real) for size, sigma in zip(sizes, sigmas))
    half = [size // 2 for size in sizes]
    pixels = pixels_of(img)
    if pixels is not None and all(n < m for n, m in zip(half, reversed(pixels.shape[-2:]))):
        for axis, n in zip((-1, -2), half):
            pixels = pixels.take(_mirrored(pixels.shape[axis], n), axis)
        found = convolve_array(pixels, column[:, None] * row)
        return from_array(bytes_of(found) if img.dtype == dtypes.uint8 else found, img.dtype)
    x = img.to(dtype).reshape(-1, *img.shape[-3:])
    x = pad(x, [half[0], half[0], half[1], half[1]], mode="reflect")
    out = convolve_planes(x, column[:, None] * row).reshape(img.shape)
    return out if img.is_floating_point() else out.round().to(img.dtype)


@lru_cache(maxsize=64)
def _mirrored(size: int, border: int) -> np.ndarray:
    """The places of a line of ``size`` pixels with mirrored ones on both sides."""
    return np.pad(np.arange(size), border, mode="reflect")
