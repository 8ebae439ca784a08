"""What colours become: grey, brightness, contrast, saturation, hue, exchanged channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.tensor import Tensor, from_array
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional import arrays
from cresset.vision.transforms.functional.dimensions import max_value
from cresset.vision.transforms.functional.hsv import hsv_to_rgb, rgb_to_hsv
from cresset.vision.transforms.v2.functional.convert import to_dtype
from cresset.vision.transforms.v2.functional.dispatch import by_kind, fused_add


def check_channels(image: Tensor) -> int:
    """How many channels there are; TypeError for anything but 1 and 3."""
    channels = image.shape[-3]
    if channels not in (1, 3):
        raise TypeError(
            f"Input image tensor permitted channel values are 1 or 3, but found {channels}"
        )
    return channels


def check_factor(name: str, factor: float) -> None:
    """ValueError for a negative factor."""
    if factor < 0:
        raise ValueError(f"{name}_factor ({factor}) is not non-negative.")


def bounded(values: Tensor, dtype: Any) -> Tensor:
    """Between black and full brightness, in ``dtype``."""
    return values.clamp(0, max_value(dtype)).to(dtype)


def _grey(image: Tensor) -> Tensor:
    """0.2989 R + 0.587 G + 0.114 B as floats, (..., 1, H, W)."""
    r, g, b = image.unbind(dim=-3)
    return fused_add(fused_add(r.mul(0.2989), g, 0.587), b, 0.114).unsqueeze(-3)


def _whole_grey(image: Tensor) -> Tensor:
    """``_grey``, cut to whole levels where the image has such."""
    grey = _grey(image)
    return grey if image.is_floating_point() else grey.floor()


def _blend(image: Tensor, other: Tensor, ratio: float) -> Tensor:
    ratio = float(ratio)
    return bounded(fused_add(image.mul(ratio), other, 1.0 - ratio), image.dtype)


def _check_grey_channels(count: int) -> None:
    if count not in (1, 3):
        raise ValueError(f"num_output_channels must be 1 or 3, got {count}.")


def _grey_picture(image: Any, num_output_channels: int = 1) -> Any:
    _check_grey_channels(num_output_channels)
    return v1.to_grayscale(image, num_output_channels)


@by_kind(_grey_picture)
def rgb_to_grayscale(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """In grey, as one channel or three equal ones.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.rgb_to_grayscale(torch.tensor([200, 100, 0], dtype=torch.uint8).reshape(3, 1, 1))
    tensor([[[118]]], dtype=torch.uint8)
    """
    _check_grey_channels(num_output_channels)
    if image.shape[-3] == 1:
        repeats = [1] * (image.ndim - 3) + [num_output_channels, 1, 1]
        return image.clone() if num_output_channels == 1 else image.repeat(repeats)
    if (pixels := arrays.pixels_at_hand(image)) is not None:
        grey = from_array(arrays.fused_grey(pixels), image.dtype)
    else:
        grey = _grey(image).to(image.dtype)
    return grey if num_output_channels == 1 else grey.expand(image.shape)


to_grayscale = rgb_to_grayscale


@by_kind(lambda image: image.convert(mode="RGB"))
def grayscale_to_rgb(image: Tensor) -> Tensor:
    """Grey images with three equal channels; others as they are.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.grayscale_to_rgb(torch.ones(1, 4, 4)).shape
    torch.Size([3, 4, 4])
    """
    return image if image.shape[-3] >= 3 else rgb_to_grayscale(image, 3)


@by_kind(v1.adjust_brightness)
def adjust_brightness(image: Tensor, brightness_factor: float) -> Tensor:
    """Factor 0 gives black, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.adjust_brightness(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 1.5)
    tensor([[[  0, 150, 255]]], dtype=torch.uint8)
    """
    check_factor("brightness", brightness_factor)
    check_channels(image)
    if (pixels := arrays.pixels_at_hand(image)) is not None:
        return arrays.bounded(pixels * np.float32(brightness_factor), pixels.dtype)
    return bounded(image.mul(brightness_factor), image.dtype)


@by_kind(v1.adjust_saturation)
def adjust_saturation(image: Tensor, saturation_factor: float) -> Tensor:
    """Factor 0 gives grey, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> image = torch.tensor([200, 100, 0], dtype=torch.uint8).reshape(3, 1, 1)
    >>> F.adjust_saturation(image, 0.0).flatten()
    tensor([118, 118, 118], dtype=torch.uint8)
    """
    check_factor("saturation", saturation_factor)
    if check_channels(image) == 1:
        return image
    if (pixels := arrays.pixels_at_hand(image)) is not None:
        grey = arrays.fused_whole_grey(pixels)
        return arrays.fused_blend(pixels, grey, float(saturation_factor))
    return _blend(image, _whole_grey(image), saturation_factor)


@by_kind(v1.adjust_contrast)
def adjust_contrast(image: Tensor, contrast_factor: float) -> Tensor:
    """Factor 0 gives the mean grey, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.adjust_contrast(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 0.5)
    tensor([[[ 58, 108, 183]]], dtype=torch.uint8)
    """
    check_factor("contrast", contrast_factor)
    channels = check_channels(image)
    if (pixels := arrays.pixels_at_hand(image)) is not None:
        mean = arrays.mean_grey(pixels, arrays.fused_whole_grey)
        return arrays.fused_blend(pixels, mean, float(contrast_factor))
    if channels == 3:
        grey = _whole_grey(image)
    else:
        grey = image if image.is_floating_point() else image.to(dtypes.float32)
    return _blend(image, grey.mean(dim=(-3, -2, -1), keepdim=True), contrast_factor)


def _fall_and_rise(s: Tensor, v: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    part = s * f
    falling: Any = (1.0 - part) * v
    rising: Any = (part + (1.0 - s)) * v
    return falling, rising


@by_kind(v1.adjust_hue)
def adjust_hue(image: Tensor, hue_factor: float) -> Tensor:
    """Turns the colour circle by ``hue_factor`` of a turn, -0.5 to 0.5.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.adjust_hue(torch.tensor([1., 0., 0.]).reshape(3, 1, 1), 0.5).flatten()
    tensor([0., 1., 1.])
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if check_channels(image) == 1 or image.numel() == 0:
        return image
    if (pixels := arrays.pixels_at_hand(image)) is not None and np.isfinite(pixels).all():
        return arrays.fused_turned_hue(pixels, hue_factor)
    h, s, v = rgb_to_hsv(to_dtype(image, dtypes.float32, scale=True))
    h = (h * (1.0 / 6.0) + 1.0).fmod(1.0)
    turned = hsv_to_rgb((h + hue_factor).remainder(1.0), s, v, _fall_and_rise)
    return to_dtype(turned, image.dtype, scale=True)


def _permuted_picture(image: Any, permutation: Any) -> Any:
    return v1.to_pil_image(permute_channels(v1.pil_to_tensor(image), permutation))


@by_kind(_permuted_picture)
def permute_channels(image: Tensor, permutation: Any) -> Tensor:
    """Channel i becomes channel ``permutation[i]`` of the image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> image = torch.tensor([200, 100, 0], dtype=torch.uint8).reshape(3, 1, 1)
    >>> F.permute_channels(image, [2, 0, 1]).flatten()
    tensor([  0, 200, 100], dtype=torch.uint8)
    """
    channels = image.shape[-3]
    if len(permutation) != channels:
        raise ValueError(
            "Length of permutation does not match number of channels: "
            f"{len(permutation)} != {channels}"
        )
    return image[..., permutation, :, :]
