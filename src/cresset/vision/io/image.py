"""Reading and writing image files, and their bytes in tensors.

Pillow decodes and encodes. What must stay true: a file that is damaged, of another kind or of no
kind gives a RuntimeError, and images have torchvision's channels, order and numbers (16-bit images
as int32, as there is no uint16 here).
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.tensor import Tensor
from cresset.vision.io.pixels import ImageReadMode, converted, oriented, pixels_of
from cresset.vision.io.png import SIGNATURE, has_16_bit_colour, read_16_bit_colour
from cresset.vision.pil import Image

Path = str | os.PathLike[str]
Mode = ImageReadMode | str


def read_file(path: Path) -> Tensor:
    """The bytes of a file as a uint8 tensor (N).

    Raises:
        RuntimeError: there is no such file, or nothing in it.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise RuntimeError(f"[Errno {error.errno}] {error.strerror}: '{path}'") from error
    if len(content) == 0:
        raise RuntimeError("Expected a non empty file")
    return from_numpy(content)


def write_file(filename: Path, data: Tensor) -> None:
    """Writes the bytes of a uint8 tensor (N) to a file.

    Raises:
        RuntimeError: the tensor is of another type or shape, or the file cannot be written.
    """
    if data.dtype is not dtypes.uint8:
        raise RuntimeError("Input tensor dtype should be uint8")
    if data.dim() != 1:
        raise RuntimeError("Input data should be a 1-dimensional tensor")
    try:
        with open(filename, "wb") as f:
            f.write(data.detach().cpu().numpy().tobytes())
    except OSError as error:
        raise RuntimeError(f"Error opening output file '{filename}': {error}") from error


def _mode(mode: Mode) -> ImageReadMode:
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    if not isinstance(mode, ImageReadMode):
        raise TypeError(f"mode should be an ImageReadMode or its name, got {mode!r}")
    return mode


def _content(data: Any, function: str) -> bytes:
    """The bytes of an encoded image in a tensor."""
    if not isinstance(data, Tensor):
        raise RuntimeError(
            f"image::{function}() Expected a value of type 'Tensor' for argument 'data' but "
            f"instead found type '{type(data).__name__}'."
        )
    if data.dtype is not dtypes.uint8:
        raise RuntimeError(f"Input tensor must have uint8 data type, got {data.dtype}")
    if data.dim() != 1 or data.numel() == 0:
        raise RuntimeError(
            "Input tensor must be 1-dimensional and non-empty, got "
            f"{data.dim()} dims  and {data.numel()} numels."
        )
    return data.detach().cpu().numpy().tobytes()


def _opened(content: bytes, format: str) -> Image.Image:
    """An image of one kind of file. Its pixels are decoded later."""
    try:
        return Image.open(io.BytesIO(content), formats=[format])
    except Image.DecompressionBombError as error:
        raise RuntimeError(f"{error} PIL.Image.MAX_IMAGE_PIXELS sets this limit.") from error
    except Exception as error:  # Pillow's readers know no common kind of error
        raise RuntimeError(f"Content is not {format.lower()}!") from error


def _decoded(image: Image.Image) -> Image.Image:
    """The same image with its pixels at hand."""
    with _damage():
        image.load()
    return image


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # nor do its decoders
        raise RuntimeError(
            f"Image is incomplete or truncated, or otherwise corrupted: {error}"
        ) from error


def _as_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) as a view (C, H, W), as torchvision returns it."""
    wide = pixels.astype(np.int32) if pixels.dtype == np.uint16 else pixels
    return from_numpy(wide).permute(2, 0, 1)


def decode_png(
    input: Tensor, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """A PNG image as a tensor (C, H, W): uint8, or int32 of 0 to 65535 where it has 16 bits.

    Args:
        input: the bytes of the file, uint8 (N).
        mode: what to convert it to, an ``ImageReadMode`` or its name.
        apply_exif_orientation: turn it as its EXIF data say.

    Raises:
        RuntimeError: the bytes are no PNG file, or a damaged one.

    >>> import cresset as torch
    >>> from cresset.vision.io import decode_png, encode_png
    >>> image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    >>> torch.equal(decode_png(encode_png(image)), image)
    True
    """
    mode, content = _mode(mode), _content(input, "decode_png")
    if not content.startswith(SIGNATURE):
        raise RuntimeError("Content is not png!")
    image = _opened(content, "PNG")
    if has_16_bit_colour(content):
        with _damage():
            pixels = read_16_bit_colour(content)
    else:
        pixels = pixels_of(_decoded(image), mode is ImageReadMode.UNCHANGED)
    if apply_exif_orientation:
        pixels = oriented(pixels, image)
    return _as_tensor(converted(pixels, mode))


def _decode_one_jpeg(input: Tensor, mode: ImageReadMode, apply_exif_orientation: bool) -> Tensor:
    content = _content(input, "decode_jpeg")
    if not content.startswith(b"\xff\xd8"):
        start = " ".join(f"0x{byte:02x}" for byte in content[:2])
        raise RuntimeError(f"Not a JPEG file: starts with {start}")
    image = _opened(content, "JPEG")
    if mode not in (ImageReadMode.UNCHANGED, ImageReadMode.GRAY, ImageReadMode.RGB):
        raise RuntimeError("The provided mode is not supported for JPEG files")
    if mode is ImageReadMode.GRAY:
        image.draft("L", image.size)  # the file's own brightness, not one made of its colours
    image = _decoded(image)
    if mode is ImageReadMode.UNCHANGED:
        # Adobe stores these inverted, which Pillow undoes and torchvision does not.
        pixels = 255 - pixels_of(image) if image.mode == "CMYK" else pixels_of(image)
    else:
        colours = image.convert("RGB") if image.mode == "CMYK" else image
        pixels = pixels_of(colours.convert("L" if mode is ImageReadMode.GRAY else "RGB"))
    return _as_tensor(oriented(pixels, image) if apply_exif_orientation else pixels)


def decode_jpeg(
    input: Any,
    mode: Mode = ImageReadMode.UNCHANGED,
    device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:
    """A JPEG image as a uint8 tensor (C, H, W); a list of them for a list.

    Args:
        input: the bytes of a file, uint8 (N), or a list of such tensors.
        mode: ``UNCHANGED``, ``GRAY`` or ``RGB``.
        device: where the result goes. The decoding is done on the CPU.
        apply_exif_orientation: turn it as its EXIF data say.

    Raises:
        RuntimeError: the bytes are no JPEG file, or a damaged one; a mode with alpha.
        ValueError: an empty list, or something else than tensors in it.
    """
    mode = _mode(mode)
    if not isinstance(input, list):
        return _decode_one_jpeg(input, mode, apply_exif_orientation).to(device)
    if len(input) == 0:
        raise ValueError("Input list must contain at least one element")
    if not all(isinstance(t, Tensor) for t in input):
        raise ValueError("All elements of the input list must be tensors.")
    return [_decode_one_jpeg(t, mode, apply_exif_orientation).to(device) for t in input]


#: Pixels of a GIF that any file may claim, and beyond those how many for each of its bytes: LZW
#: makes at most 2,731 pixels of a byte, but pictures need not cover the canvas. Without a limit a
#: file of 35 bytes takes gigabytes.
_GIF_PIXELS, _GIF_PIXELS_PER_BYTE = 1 << 25, 1 << 12


def _check_gif(width: int, height: int, count: int, length: int) -> None:
    """Refuse a GIF that claims far more than its bytes can hold, before anything is decoded."""
    most = max(_GIF_PIXELS, _GIF_PIXELS_PER_BYTE * length)
    if width * height * count > most and Image.MAX_IMAGE_PIXELS is not None:
        raise RuntimeError(
            f"The GIF claims {count} pictures of {width} x {height} pixels in {length} bytes, "
            "could be decompression bomb DOS attack. PIL.Image.MAX_IMAGE_PIXELS = None lifts this "
            "limit."
        )


def decode_gif(input: Tensor) -> Tensor:
    """A GIF image as a uint8 tensor (3, H, W), or (N, 3, H, W) if it has N pictures.

    Raises:
        RuntimeError: the bytes are no GIF file, or a damaged one, or a few of them claim to be
            pictures of many million pixels.
    """
    content = _content(input, "decode_gif")
    image = _opened(content, "GIF")
    with _damage():
        count = getattr(image, "n_frames", 1)
    width, height = image.size
    _check_gif(width, height, count, len(content))
    frames = np.empty((count, height, width, 3), np.uint8)
    with _damage():
        for k in range(count):
            image.seek(k)
            if image.size != (width, height):
                raise ValueError(f"picture {k} is larger than the first")
            frames[k] = image.convert("RGB")
    pixels = from_numpy(frames).permute(0, 3, 1, 2)
    return pixels[0] if count == 1 else pixels


def decode_webp(input: Tensor, mode: Mode = ImageReadMode.UNCHANGED) -> Tensor:
    """A WebP image as a uint8 tensor (3, H, W), or (4, H, W) with alpha. Grey is not to be had."""
    mode, content = _mode(mode), _content(input, "decode_webp")
    return _in_colour(_opened(content, "WEBP"), mode, "Webp")


def decode_avif(input: Tensor, mode: Mode = ImageReadMode.UNCHANGED) -> Tensor:
    """An AVIF image as a uint8 tensor (3, H, W), or (4, H, W) with alpha, if Pillow can read it."""
    mode, content = _mode(mode), _content(input, "decode_avif")
    return _in_colour(_opened(content, "AVIF"), mode, "Avif")


def decode_heic(input: Tensor, mode: Mode = ImageReadMode.UNCHANGED) -> Tensor:
    """There for its name's sake: HEIC cannot be read.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("HEIC images cannot be decoded: convert them to another format first")


def _in_colour(image: Image.Image, mode: ImageReadMode, kind: str) -> Tensor:
    image = _decoded(image)
    if mode in (ImageReadMode.GRAY, ImageReadMode.GRAY_ALPHA):
        warnings.warn(
            f"{kind} does not support grayscale conversions. The returned tensor will be in the "
            "colorspace of the original image."
        )
        mode = ImageReadMode.UNCHANGED
    return _as_tensor(converted(pixels_of(image), mode))


def decode_image(
    input: Any, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """An image of a JPEG, PNG, GIF or WebP file as a tensor (C, H, W).

    Args:
        input: the bytes of the file, uint8 (N), or its path.
        mode: what to convert it to, an ``ImageReadMode`` or its name; GIF is always RGB.
        apply_exif_orientation: turn it as its EXIF data say (JPEG and PNG).

    Raises:
        RuntimeError: no such file, another kind of file, or a damaged one.
    """
    if not isinstance(input, Tensor):
        input = read_file(str(input))
    mode = _mode(mode)
    if input.dtype is not dtypes.uint8:
        raise RuntimeError("Expected a torch.uint8 tensor")
    if input.dim() != 1 or input.numel() == 0:
        raise RuntimeError("Expected a non empty 1-dimensional tensor")
    start = input[:15].cpu().numpy().tobytes()
    if start.startswith(b"\xff\xd8\xff"):
        return _decode_one_jpeg(input, mode, apply_exif_orientation)
    if start.startswith(b"\x89PNG"):
        return decode_png(input, mode, apply_exif_orientation)
    if start.startswith((b"GIF87a", b"GIF89a")):
        return decode_gif(input)
    if start.startswith(b"RIFF") and start[8:15] == b"WEBPVP8":
        return decode_webp(input, mode)
    raise RuntimeError(
        "Unsupported image file. Only jpeg, png, webp and gif are currently supported. For avif "
        "and heic format, please rely on `decode_avif` and `decode_heic` directly."
    )


def read_image(
    path: Path, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """``decode_image`` of a file."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def _encoded(input: Tensor, empty: str, **options: Any) -> Tensor:
    """The bytes of an image (1 or 3, H, W) in a file."""
    if input.dtype is not dtypes.uint8:
        raise RuntimeError("Input tensor dtype should be uint8")
    if input.dim() != 3:
        raise RuntimeError("Input data should be a 3-dimensional tensor")
    channels = input.size(0)
    if channels not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {channels}")
    if input.numel() == 0:
        raise RuntimeError(empty)
    pixels = np.ascontiguousarray(input.detach().cpu().numpy().transpose(1, 2, 0))
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(out, **options)
    return from_numpy(np.frombuffer(out.getvalue(), np.uint8).copy())


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """The bytes of a PNG file, uint8 (N), of a uint8 image (1 or 3, H, W).

    Args:
        input: the image.
        compression_level: 0 (none) to 9 (slowest and smallest).

    Raises:
        RuntimeError: another type, shape or level.
    """
    if not 0 <= compression_level <= 9:
        raise RuntimeError("Compression level should be between 0 and 9")
    return _encoded(input, "Invalid IHDR data", format="PNG", compress_level=compression_level)


def write_png(input: Tensor, filename: Path, compression_level: int = 6) -> None:
    """Writes a uint8 image (1 or 3, H, W) to a PNG file; see ``encode_png``."""
    write_file(filename, encode_png(input, compression_level))


def encode_jpeg(input: Any, quality: int = 75) -> Any:
    """The bytes of a JPEG file, uint8 (N), of a uint8 image (1 or 3, H, W); a list for a list.

    Args:
        input: the image or images.
        quality: 1 to 100.

    Raises:
        ValueError: another quality, or an empty list.
        RuntimeError: another type or shape.
    """
    if quality < 1 or quality > 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    if not isinstance(input, list):
        empty = "Empty JPEG image (DNL not supported)"
        return _encoded(input, empty, format="JPEG", quality=quality)
    if not input:
        raise ValueError("encode_jpeg requires at least one input tensor when a list is passed")
    return [encode_jpeg(image, quality) for image in input]


def write_jpeg(input: Tensor, filename: Path, quality: int = 75) -> None:
    """Writes a uint8 image (1 or 3, H, W) to a JPEG file; see ``encode_jpeg``."""
    write_file(filename, encode_jpeg(input, quality))
