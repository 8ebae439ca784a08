"""From a Pillow image to an array of what was asked for.

Conversions are done here and not by Pillow, as libpng's and libjpeg's numbers differ from its: grey
is cut off and not rounded, alpha is dropped and not applied, 16 bits stay 16 bits.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from cresset.vision.pil import Image


class ImageReadMode(Enum):
    """What an image becomes while it is decoded; wherever one is wanted, its name will do.

    ``UNCHANGED`` leaves it as it is in the file: 1 channel (grey, or the numbers of a palette's
    colours), 2 (grey and alpha), 3 (RGB) or 4 (RGBA). ``GRAY``, ``GRAY_ALPHA``, ``RGB`` and
    ``RGB_ALPHA`` (or ``RGBA``) convert to 1, 2, 3 and 4 channels. JPEG has no alpha, WebP and GIF
    no grey.
    """

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4
    RGBA = RGB_ALPHA


#: libpng's fixed-point form of 0.2989 R + 0.587 G + 0.1141 B, for which torchvision asks.
_RED, _GREEN = 29890 * 32768 // 100000, 58700 * 32768 // 100000
_BLUE = 32768 - _RED - _GREEN


def _grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) to (H, W, 1) as libpng does it; 16 bits are rounded, 8 bits cut off."""
    wide = rgb.astype(np.int64)
    mixed = wide[..., 0] * _RED + wide[..., 1] * _GREEN + wide[..., 2] * _BLUE
    half = 16384 if rgb.dtype == np.uint16 else 0
    return ((mixed + half) >> 15).astype(rgb.dtype)[..., None]


def converted(pixels: np.ndarray, mode: ImageReadMode) -> np.ndarray:
    """(H, W, 1 to 4 channels) in the channels of ``mode``."""
    if mode is ImageReadMode.UNCHANGED or pixels.shape[2] == mode.value:
        return pixels
    has_colour, has_alpha = pixels.shape[2] >= 3, pixels.shape[2] in (2, 4)
    image, alpha = (pixels[..., :-1], pixels[..., -1:]) if has_alpha else (pixels, None)
    if mode in (ImageReadMode.GRAY, ImageReadMode.GRAY_ALPHA):
        image = _grey(image) if has_colour else image
    elif not has_colour:
        image = np.repeat(image, 3, axis=2)
    if mode in (ImageReadMode.GRAY, ImageReadMode.RGB):
        return np.ascontiguousarray(image)
    if alpha is None:
        alpha = np.full_like(image[..., :1], np.iinfo(image.dtype).max)
    return np.concatenate((image, alpha), axis=2)


def pixels_of(image: Image.Image, palette: bool = False) -> np.ndarray:
    """The pixels as (H, W, channels), 8 or 16 bits; ``palette`` gives numbers for colours."""
    if image.mode == "P" and not palette:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    array = np.array(image)
    if array.dtype not in (np.uint8, np.uint16):  # Pillow's mode I is 16 bits in 32
        array = array.astype(np.uint16)
    return array.reshape(image.height, image.width, -1)


_ORIENTATION = 0x0112  # the EXIF tag


def oriented(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """(H, W, C), flipped and turned as the EXIF data of ``image`` say, to stand upright."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
