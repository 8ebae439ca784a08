"""How bright and how sharp: gamma, posterize, solarize, sharpness, autocontrast, equalize."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.ops.select import where
from cresset.tensor import Tensor, from_array
from cresset.vision.pil import ImageEnhance, ImageOps
from cresset.vision.transforms.functional import arrays
from cresset.vision.transforms.functional.color import blend, check_factor, invert
from cresset.vision.transforms.functional.convert import convert_image_dtype
from cresset.vision.transforms.functional.dimensions import (
    assert_channels,
    assert_image_tensor,
    assert_pil_image,
    max_value,
)
from cresset.vision.transforms.functional.filters import (
    bytes_of,
    convolve_array,
    convolve_planes,
)


def _check_planes(img: Tensor) -> None:
    assert_image_tensor(img)
    if img.ndim < 3:
        raise TypeError(
            f"Input image tensor should have at least 3 dimensions, but found {img.ndim}"
        )


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * x ** gamma`` for brightness x in 0..1: dark parts become brighter below gamma 1.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.adjust_gamma(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 0.5)
    tensor([[[  0, 160, 253]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
    else:
        assert_channels(img, [1, 3])
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if not isinstance(img, Tensor):
        levels = [int((256 - 1e-3) * gain * pow(x / 255.0, gamma)) for x in range(256)]
        return img.convert("RGB").point(levels * 3).convert(img.mode)
    x = img if img.is_floating_point() else convert_image_dtype(img)
    return convert_image_dtype((gain * x.pow(gamma)).clamp(0, 1), img.dtype)


def posterize(img: Any, bits: int) -> Any:
    """Only the ``bits`` highest bits of each byte.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.posterize(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 2)
    tensor([[[  0,  64, 192]]], dtype=torch.uint8)
    """
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageOps.posterize(img, bits)
    _check_planes(img)
    if img.dtype != dtypes.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    assert_channels(img, [1, 3])
    if (pixels := arrays.pixels_at_hand(img, sys.maxsize)) is not None:
        return from_array(pixels & np.uint8((256 - 2 ** (8 - bits)) & 255), img.dtype)
    return img & (256 - 2 ** (8 - bits))


def solarize(img: Any, threshold: float) -> Any:
    """Pixels of at least ``threshold`` inverted.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.solarize(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 128)
    tensor([[[  0, 100,   5]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageOps.solarize(img, threshold)  # type: ignore[arg-type]
    _check_planes(img)
    assert_channels(img, [1, 3])
    if threshold > max_value(img.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    if (pixels := arrays.pixels_at_hand(img)) is not None:
        bright = pixels >= np.float32(threshold)
        return from_array(np.where(bright, arrays.inverted(pixels), pixels), img.dtype)
    return where(img.ge(threshold), invert(img), img)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Factor 0 gives a smoothed image, 1 the image itself, 2 a sharper one.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.adjust_sharpness(torch.eye(3).reshape(1, 3, 3), 0.)
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.0000, 0.5385, 0.0000],
             [0.0000, 0.0000, 1.0000]]])
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageEnhance.Sharpness(img).enhance(sharpness_factor)
    check_factor("sharpness", sharpness_factor, img)
    if img.shape[-1] <= 2 or img.shape[-2] <= 2:
        return img
    if (pixels := arrays.pixels_at_hand(img)) is not None:
        return arrays.blend(pixels, _smoothed_array(pixels), float(sharpness_factor))
    return blend(img, _smoothed(img), sharpness_factor)


def smoothing_weights(dtype: Any) -> np.ndarray:
    """(3, 3): the pixel itself counts five times as much as each neighbour."""
    weights = np.ones((3, 3), dtype)
    weights[1, 1] = 5
    return weights / weights.sum()


def _smoothed(img: Tensor) -> Tensor:
    """Each pixel but the border's as a mean of its neighbourhood."""
    dtype = img.dtype if img.is_floating_point() else dtypes.float32
    out = img.clone()
    inner = convolve_planes(img.to(dtype), smoothing_weights(dtype.np))
    inner = inner if img.is_floating_point() else inner.round()
    out[..., 1:-1, 1:-1] = inner.to(img.dtype)
    return out


def _smoothed_array(pixels: np.ndarray) -> np.ndarray:
    out = pixels.copy()
    weights = smoothing_weights(np.dtype(np.float32))
    inner = convolve_array(pixels.astype(np.float32, copy=False), weights)
    out[..., 1:-1, 1:-1] = bytes_of(inner) if pixels.dtype == np.uint8 else inner
    return out


def autocontrast(img: Any) -> Any:
    """Each channel stretched so that its darkest pixel is black and its brightest full.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.autocontrast(torch.tensor([[[50, 75, 100]]], dtype=torch.uint8))
    tensor([[[  0, 127, 255]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageOps.autocontrast(img)
    _check_planes(img)
    assert_channels(img, [1, 3])
    if (pixels := arrays.pixels_at_hand(img)) is not None:
        return arrays.autocontrast(pixels)
    bound = max_value(img.dtype)
    dtype = img.dtype if img.is_floating_point() else dtypes.float32
    low = img.amin(dim=(-2, -1), keepdim=True).to(dtype)
    high = img.amax(dim=(-2, -1), keepdim=True).to(dtype)
    scale = bound / (high - low)
    usable = scale.isfinite()
    low, scale = where(usable, low, 0.0), where(usable, scale, 1.0)
    return ((img - low) * scale).clamp(0, bound).to(img.dtype)


def equalize(img: Any) -> Any:
    """Each channel with its grey levels spread so that all are about equally frequent.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.equalize(torch.arange(512).div(4).to(torch.uint8).reshape(1, 16, 32)).max()
    tensor(255, dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageOps.equalize(img)
    assert_image_tensor(img)
    if not 3 <= img.ndim <= 4:
        raise TypeError(f"Input image tensor should have 3 or 4 dimensions, but found {img.ndim}")
    if img.dtype != dtypes.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    assert_channels(img, [1, 3])
    return equalized(img)


def equalized(img: Tensor) -> Tensor:
    """``equalize`` of the channels (..., H, W) of bytes.

    A level becomes how many pixels are darker than it, divided by a 255th of all pixels but those
    of the brightest level. An image of too few pixels for that keeps its levels.
    """
    planes = img.numpy(force=True)
    out = np.empty_like(planes)
    for place in np.ndindex(planes.shape[:-2]):
        counts = np.bincount(planes[place].ravel(), minlength=256)
        step = int(counts[: counts.nonzero()[0][-1]].sum()) // 255 if counts.any() else 0
        if step == 0:
            out[place] = planes[place]
            continue
        darker = np.concatenate([[0], counts.cumsum()[:-1] + step // 2])
        out[place] = (darker // step).clip(0, 255).astype(np.uint8)[planes[place]]
    return from_numpy(out).to(img.device)
