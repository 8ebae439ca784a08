"""The one place that knows Pillow: everything else here imports ``Image`` from this file.

Pillow is an extra (``pip install 'cresset[vision]'``), so its absence must say what to do.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

try:
    from PIL import Image, ImageColor, ImageDraw, ImageEnhance, ImageFont, ImageOps
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "cresset.vision holds images as PIL images and needs Pillow: pip install 'cresset[vision]'",
        name=error.name,
    ) from error

__all__ = ["Image", "ImageColor", "ImageDraw", "ImageEnhance", "ImageFont", "ImageOps", "array_of",
           "channels_of", "image_from_array", "is_pil_image"]  # fmt: skip

#: The name of 16-bit grey in this machine's byte order.
GREY_16 = "I;16" if sys.byteorder == "little" else "I;16B"


def is_pil_image(img: Any) -> bool:
    """Whether ``img`` is a Pillow image."""
    return isinstance(img, Image.Image)


def channels_of(img: Image.Image) -> int:
    """How many bands an image has: 1 for L, 3 for RGB, 4 for RGBA."""
    return len(img.getbands())


def array_of(img: Image.Image) -> np.ndarray:
    """The pixels as a fresh (height, width, channels) array."""
    return np.array(img).reshape(img.height, img.width, channels_of(img))


def image_from_array(array: np.ndarray, mode: str) -> Image.Image:
    """Reads an array's bytes as an image of ``mode``.

    Unlike ``Image.fromarray(array).convert(mode)`` this takes the numbers as they are: an array
    of hue, saturation and value becomes an HSV image of just these numbers.
    """
    height, width = array.shape[:2]
    return Image.frombuffer(mode, (width, height), array.tobytes(), "raw", mode, 0, 1)
