"""What colours become: grey, brightness, contrast, saturation, hue, inversion, erasing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import zeros_like
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.pil import Image, ImageEnhance, ImageOps, image_from_array, is_pil_image
from cresset.vision.transforms.functional import arrays
from cresset.vision.transforms.functional.convert import can_be_spread, convert_image_dtype
from cresset.vision.transforms.functional.dimensions import (
    assert_channels,
    assert_image_tensor,
    assert_pil_image,
    get_dimensions,
    max_value,
)
from cresset.vision.transforms.functional.hsv import fall_and_rise, hsv_to_rgb, rgb_to_hsv

_BLACK = np.float32(0)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Image.Image:
    """A PIL image in grey, as one channel or as three equal ones.

    >>> from cresset.vision.transforms import functional as F
    >>> from PIL import Image
    >>> F.to_grayscale(Image.new('RGB', (2, 2), 'red')).getpixel((0, 0))
    76
    """
    if not is_pil_image(img):
        raise TypeError("Input should be PIL Image")
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    grey = img.convert("L")
    return grey if num_output_channels == 1 else Image.merge("RGB", (grey, grey, grey))


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """An image in grey: 0.2989 R + 0.587 G + 0.114 B for tensors, Pillow's integers otherwise.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.rgb_to_grayscale(torch.tensor([200, 100, 0], dtype=torch.uint8).reshape(3, 1, 1))
    tensor([[[118]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return to_grayscale(img, num_output_channels)
    if img.ndim < 3:
        raise TypeError(
            f"Input image tensor should have at least 3 dimensions, but found {img.ndim}"
        )
    assert_channels(img, [1, 3])
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    pixels = arrays.pixels_at_hand(img, sys.maxsize)
    if img.shape[-3] == 3 and pixels is not None:
        grey = from_array(arrays.grey(pixels), img.dtype)
    elif img.shape[-3] == 3:
        r, g, b = img.unbind(dim=-3)
        grey = (0.2989 * r + 0.587 * g + 0.114 * b).to(img.dtype).unsqueeze(dim=-3)
    else:
        grey = img.clone()
    return grey.expand(img.shape) if num_output_channels == 3 else grey


def blend(img: Tensor, other: Tensor, ratio: float) -> Tensor:
    """``ratio`` of an image and the rest of another one; ratios above 1 exaggerate."""
    ratio = float(ratio)
    mixed = ratio * img + (1.0 - ratio) * other
    return mixed.clamp(0, max_value(img.dtype)).to(img.dtype)


def check_factor(name: str, factor: float, img: Tensor) -> None:
    """The errors that the functions ``adjust_...`` of a tensor share."""
    if factor < 0:
        raise ValueError(f"{name}_factor ({factor}) is not non-negative.")
    assert_image_tensor(img)
    assert_channels(img, [3, 1] if name == "contrast" else [1, 3])  # torchvision's words


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Factor 0 gives black, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.adjust_brightness(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 1.5)
    tensor([[[  0, 150, 255]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageEnhance.Brightness(img).enhance(brightness_factor)
    check_factor("brightness", brightness_factor, img)
    if (pixels := arrays.pixels_at_hand(img)) is not None:
        return arrays.blend(pixels, _BLACK, float(brightness_factor))
    return blend(img, zeros_like(img), brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Factor 0 gives the mean grey, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.adjust_contrast(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8), 0.5)
    tensor([[[ 58, 108, 183]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageEnhance.Contrast(img).enhance(contrast_factor)
    check_factor("contrast", contrast_factor, img)
    if img.ndim >= 3 and (pixels := arrays.pixels_at_hand(img)) is not None:
        return arrays.blend(pixels, arrays.mean_grey(pixels), float(contrast_factor))
    grey = rgb_to_grayscale(img) if get_dimensions(img)[0] == 3 else img
    dtype = img.dtype if img.is_floating_point() else dtypes.float32
    return blend(img, grey.to(dtype).mean(dim=(-3, -2, -1), keepdim=True), contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Factor 0 gives grey, 1 the image itself.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> image = torch.tensor([200, 100, 0], dtype=torch.uint8).reshape(3, 1, 1)
    >>> F.adjust_saturation(image, 0.0).flatten()
    tensor([118, 118, 118], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageEnhance.Color(img).enhance(saturation_factor)
    check_factor("saturation", saturation_factor, img)
    if get_dimensions(img)[0] == 1:
        return img
    if (pixels := arrays.pixels_at_hand(img)) is not None:
        return arrays.blend(pixels, arrays.grey(pixels), float(saturation_factor))
    return blend(img, rgb_to_grayscale(img), saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Turns the colour circle by ``hue_factor`` of a turn, -0.5 to 0.5.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.adjust_hue(torch.tensor([1., 0., 0.]).reshape(3, 1, 1), 0.5).flatten()
    tensor([0., 1., 1.])
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if isinstance(img, Tensor):
        assert_image_tensor(img)
        assert_channels(img, [1, 3])
        if get_dimensions(img)[0] == 1:
            return img
        if (pixels := arrays.pixels_at_hand(img)) is not None and np.isfinite(pixels).all():
            return arrays.turned_hue(pixels, hue_factor)
        h, s, v = rgb_to_hsv(convert_image_dtype(img, dtypes.float32))
        h = (h / 6.0 + 1.0).fmod(1.0)
        turned = hsv_to_rgb((h + hue_factor) % 1.0, s, v, fall_and_rise)
        return convert_image_dtype(turned, img.dtype)
    assert_pil_image(img)
    if img.mode in ("L", "1", "I", "F"):
        return img
    h, s, v = img.convert("HSV").split()
    # The circle has 256 steps and closes: addition modulo 256 is what is wanted.
    turned = np.array(h, dtype=np.uint8) + np.int32(hue_factor * 255).astype(np.uint8)
    return Image.merge("HSV", (image_from_array(turned, "L"), s, v)).convert(img.mode)


def invert(img: Any) -> Any:
    """Dark becomes bright.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.invert(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[255, 155,   5]]], dtype=torch.uint8)
    """
    if not isinstance(img, Tensor):
        assert_pil_image(img)
        return ImageOps.invert(img)
    assert_image_tensor(img)
    if img.ndim < 3:
        raise TypeError(
            f"Input image tensor should have at least 3 dimensions, but found {img.ndim}"
        )
    assert_channels(img, [1, 3])
    if (pixels := arrays.pixels_at_hand(img, sys.maxsize)) is not None:
        return from_array(arrays.inverted(pixels), img.dtype)
    return max_value(img.dtype) - img


def erase(img: Any, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """A tensor image whose part at row ``i``, column ``j`` of size (h, w) is ``v``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.erase(torch.arange(6.).reshape(1, 2, 3), 0, 1, 1, 2, torch.tensor(-1.))
    tensor([[[ 0., -1., -1.],
             [ 3.,  4.,  5.]]])
    """
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    assert_image_tensor(img)
    if not inplace and is_at_hand(img) and is_at_hand(v):
        pixels = img._array().copy()
        part = pixels[..., i : i + h, j : j + w]
        if can_be_spread(v.shape, part.shape) and _fits(v, img.dtype):
            part[...] = v._array()
            return from_array(pixels, img.dtype)
    img = img if inplace else img.clone()
    img[..., i : i + h, j : j + w] = v
    return img


def _fits(v: Tensor, dtype: Any) -> bool:
    """Whether the numbers of a tensor become those of a dtype as NumPy converts them."""
    if v.dtype is dtype:
        return True
    if v.dtype is not dtypes.float32 or dtype is not dtypes.uint8:
        return False
    values = v._array()
    return bool((values >= 0).all() and (values < 256).all())
