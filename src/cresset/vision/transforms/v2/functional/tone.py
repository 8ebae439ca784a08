"""How bright and how sharp: gamma, posterize, solarize, inversion, sharpness, autocontrast,
equalize; blur and noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.random import randn_like
from cresset.ops.ranges import linspace
from cresset.ops.select import where
from cresset.random.fused import fma32
from cresset.tensor import Tensor
from cresset.vision.pil import ImageOps
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional import arrays
from cresset.vision.transforms.functional.blur import blurred, check_kernel_size, check_sigma
from cresset.vision.transforms.functional.dimensions import max_value
from cresset.vision.transforms.functional.filters import convolve_array, convolve_planes
from cresset.vision.transforms.functional.tone import equalized
from cresset.vision.transforms.v2.functional.color import bounded, check_channels, check_factor
from cresset.vision.transforms.v2.functional.convert import to_dtype, value_bits
from cresset.vision.transforms.v2.functional.dispatch import by_kind, fused_add


@by_kind(v1.adjust_gamma)
def adjust_gamma(image: Tensor, gamma: float, gain: float = 1.0) -> Tensor:
    """``gain * x ** gamma`` for brightness x in 0..1.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.adjust_gamma(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 0.5)
    tensor([[[  0, 160, 253]]], dtype=torch.uint8)
    """
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    levels = image if image.is_floating_point() else to_dtype(image, dtypes.float32, scale=True)
    levels = levels.pow(gamma)
    if gain != 1.0:
        levels = levels.mul(gain).clamp(0.0, 1.0)
    return to_dtype(levels, image.dtype, scale=True)


@by_kind(lambda image, bits: ImageOps.posterize(image, bits))
def posterize(image: Tensor, bits: int) -> Tensor:
    """Only ``2 ** bits`` levels of brightness.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.posterize(torch.tensor([[[0., 0.4, 0.9]]]), 1)
    tensor([[[0.0000, 0.0000, 0.5000]]])
    """
    if not isinstance(bits, int) or not 0 <= bits <= 8:
        raise TypeError(f"bits must be a positive integer in the range [0, 8], got {bits} instead.")
    if image.is_floating_point():
        levels = 2**bits
        return image.mul(levels).floor().clamp(0, levels - 1).mul(1.0 / levels)
    dropped = value_bits(image.dtype) - bits
    return image if dropped <= 0 else image & ((2**bits - 1) << dropped)


@by_kind(v1.solarize)
def solarize(image: Tensor, threshold: float) -> Tensor:
    """Pixels of at least ``threshold`` inverted.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.solarize(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 128)
    tensor([[[  0, 100,   5]]], dtype=torch.uint8)
    """
    if threshold > max_value(image.dtype):
        raise TypeError(
            f"Threshold should be less or equal the maximum value of the dtype, but got {threshold}"
        )
    return where(image.ge(threshold), invert(image), image)


@by_kind(v1.invert)
def invert(image: Tensor) -> Tensor:
    """Dark becomes bright.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.invert(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[255, 155,   5]]], dtype=torch.uint8)
    """
    if image.is_floating_point():
        return 1.0 - image  # type: ignore[return-value]
    if image.dtype == dtypes.uint8:
        return image.bitwise_not()
    return image.bitwise_xor(2 ** value_bits(image.dtype) - 1)


@by_kind(v1.adjust_sharpness)
def adjust_sharpness(image: Tensor, sharpness_factor: float) -> Tensor:
    """Factor 0 gives a smoothed image, 1 the image itself, 2 a sharper one.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.adjust_sharpness(torch.eye(3).reshape(1, 3, 3), 0.)
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.0000, 0.5385, 0.0000],
             [0.0000, 0.0000, 1.0000]]])
    """
    channels, height, width = image.shape[-3:]
    if channels not in (1, 3):
        raise TypeError(f"Input image tensor can have 1 or 3 channels, but found {channels}")
    check_factor("sharpness", sharpness_factor)
    if image.numel() == 0 or height <= 2 or width <= 2:
        return image
    levels = image if image.is_floating_point() else image.to(dtypes.float32)
    weights = np.full((3, 3), 1.0 / 13.0, levels.dtype.np)
    weights[1, 1] = 5.0 / 13.0
    if (pixels := arrays.pixels_at_hand(image)) is not None:
        return _sharpened_array(pixels, weights, sharpness_factor)
    smooth = convolve_planes(levels, weights)
    smooth = smooth if image.is_floating_point() else smooth.round()
    inner = levels[..., 1:-1, 1:-1]
    out = levels.clone()
    out[..., 1:-1, 1:-1] = fused_add(inner, smooth - inner, 1.0 - sharpness_factor)
    return bounded(out, image.dtype)


def _sharpened_array(pixels: np.ndarray, weights: np.ndarray, factor: float) -> Tensor:
    out = pixels.astype(np.float32)
    inner = out[..., 1:-1, 1:-1]
    smooth = convolve_array(out, weights)
    if pixels.dtype == np.uint8:
        np.rint(smooth, out=smooth)
    inner[...] = fma32(smooth - inner, np.float32(1.0 - factor), inner)
    return arrays.bounded(out, pixels.dtype)


@by_kind(v1.autocontrast)
def autocontrast(image: Tensor) -> Tensor:
    """Each channel stretched so that its darkest pixel is black and its brightest full.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.autocontrast(torch.tensor([[[50, 75, 100]]], dtype=torch.uint8))
    tensor([[[  0, 127, 254]]], dtype=torch.uint8)
    """
    check_channels(image)
    if image.numel() == 0:
        return image
    levels = image if image.is_floating_point() else image.to(dtypes.float32)
    low, high = levels.amin(dim=(-2, -1), keepdim=True), levels.amax(dim=(-2, -1), keepdim=True)
    flat = high.eq(low)
    span = where(flat, 1.0, (high - low) * (1.0 / max_value(image.dtype)))
    return bounded((levels - where(flat, 0.0, low)) / span, image.dtype)


@by_kind(v1.equalize)
def equalize(image: Tensor) -> Tensor:
    """Each channel with its grey levels spread so that all are about equally frequent.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.equalize(torch.arange(512).div(4).to(torch.uint8).reshape(1, 16, 32)).max()
    tensor(255, dtype=torch.uint8)
    """
    if image.numel() == 0:
        return image
    levels = equalized(to_dtype(image, dtypes.uint8, scale=True))
    return to_dtype(levels, image.dtype, scale=True)


def _gaussian_weights(size: int, sigma: float, dtype: Any) -> np.ndarray:
    """The softmax of ``-x ** 2``, where x counts in units of ``sqrt(2) sigma``; rounded as
    PyTorch's, which adds one by one and multiplies by the reciprocal."""
    limit = (size - 1) / (2.0 * math.sqrt(2.0))
    real = dtypes.float64 if dtype == np.float64 else dtypes.float32
    x = linspace(-limit, limit, size, dtype=real).numpy()
    exponent = -((x / dtype.type(sigma)) ** 2)
    weights = np.exp(exponent.astype(np.float64)).astype(dtype)
    return weights * (dtype.type(1) / np.add.accumulate(weights)[-1])


def _blurred_picture(image: Any, kernel_size: Any, sigma: Any = None) -> Any:
    return v1.to_pil_image(
        gaussian_blur(v1.pil_to_tensor(image), kernel_size, sigma), mode=image.mode
    )


@by_kind(_blurred_picture)
def gaussian_blur(image: Tensor, kernel_size: Any, sigma: Any = None) -> Tensor:
    """Each pixel as a mean of its neighbours, weighted by a Gaussian: see the first interface.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.gaussian_blur(torch.tensor([[[0., 0., 1.]] * 3]), 3, 1.0)[0, 0]
    tensor([0.0000, 0.2741, 0.4519])
    """
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else kernel_size
    check_kernel_size(sizes)
    if sigma is None:
        sigma = [size * 0.15 + 0.35 for size in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = check_sigma(sigma)
    if image.numel() == 0:
        return image
    return blurred(image, sizes, sigmas, _gaussian_weights)


def _no_noise(image: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    raise ValueError("Gaussian Noise is not implemented for PIL images.")


@by_kind(_no_noise)
def gaussian_noise(
    image: Tensor, mean: float = 0.0, sigma: float = 0.1, clip: bool = True
) -> Tensor:
    """Normal noise added; ``mean`` and ``sigma`` are shares of full brightness.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.gaussian_noise(torch.ones(1, 1, 2), sigma=0.0)
    tensor([[[1., 1.]]])
    """
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if image.is_floating_point():
        out = image + (mean + randn_like(image) * sigma)
        return out.clamp(0, 1) if clip else out
    if image.dtype != dtypes.uint8:
        raise ValueError(
            f"Input tensor is expected to be in uint8 or float dtype, got dtype={image.dtype}"
        )
    noise = mean * 255 + randn_like(image, dtype=dtypes.float32) * (sigma * 255)
    out = image + noise.to(dtypes.int16)
    return (out.clamp(0, 255) if clip else out).to(dtypes.uint8)
