"""Image files in and out, with torchvision 0.28's numbers.

torchvision's own functions are compiled, and missing where torch is here for comparison. The
literal numbers below came from them; everything else is held against Pillow and the PNG
specification.
"""

from __future__ import annotations

import base64
import io as python_io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cresset
from cresset.vision import io
from cresset.vision.io import image as image_files
from cresset.vision.io.png import read_16_bit_colour

MODES = list(io.ImageReadMode)
CHANNELS = {"GRAY": 1, "GRAY_ALPHA": 2, "RGB": 3, "RGB_ALPHA": 4}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def tensor_of(content: bytes) -> cresset.Tensor:
    return cresset.from_numpy(np.frombuffer(content, np.uint8).copy())


def file_of(image: Image.Image, format: str, **options: Any) -> cresset.Tensor:
    out = python_io.BytesIO()
    image.save(out, format, **options)
    return tensor_of(out.getvalue())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(pixels: np.ndarray) -> bytes:
    """Rows of uint16 (H, W, C) as PNG filters them: filter k in each row k modulo 5."""
    step = 2 * pixels.shape[2]
    above = np.zeros(step * (pixels.shape[1] + 1), np.int64)
    out = b""
    for k, row in enumerate(pixels.astype(">u2")):
        line = np.concatenate((np.zeros(step, np.int64), np.frombuffer(row.tobytes(), np.uint8)))
        left, corner = line[:-step], above[:-step]
        estimate = left + above[step:] - corner
        far = [abs(estimate - guess) for guess in (left, above[step:], corner)]
        nearest = np.choose(np.argmin(far, axis=0), [left, above[step:], corner])
        guesses = [0, left, above[step:], (left + above[step:]) // 2, nearest]
        out += bytes([k % 5]) + ((line[step:] - guesses[k % 5]) % 256).astype(np.uint8).tobytes()
        above = line
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip


def png16(pixels: np.ndarray, interlaced: bool = False) -> bytes:
    """A PNG file of uint16 (H, W, C)."""
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, interlaced)
    images = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [pixels]
    data = zlib.compress(b"".join(filtered(image) for image in images if image.size))
    half = len(data) // 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data[:half])
        + chunk(b"IDAT", data[half:])
        + chunk(b"IEND", b"")
    )


# -- torchvision's numbers -------------------------------------------------------------------------


def test_png_turns_grey_as_libpng_does() -> None:
    rgb = [[[217, 163, 130], [69, 78, 10], [19, 4, 17]],
           [[208, 186, 143], [255, 0, 1], [30, 30, 30]]]  # fmt: skip
    file = io.encode_png(cresset.tensor(rgb, dtype=cresset.uint8).permute(2, 0, 1))
    assert io.decode_png(file, "gray").tolist() == [[[175, 67, 9], [187, 76, 30]]]


def test_png_of_16_bits_keeps_them() -> None:
    rgb = np.array([[[65066, 21501, 15455], [100, 200, 301]], [[1, 2, 3], [65535, 0, 65535]]])
    file = tensor_of(png16(rgb.astype(np.uint16)))
    assert io.decode_png(file).permute(1, 2, 0).tolist() == rgb.tolist()
    want = [[[33832, 182], [2, 27068]], [[65535, 65535], [65535, 65535]]]
    assert io.decode_png(file, "GRAY_ALPHA").tolist() == want


JPEG = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQ
ERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU
FBQUFBQUFBQUFBQUFBT/wAARCAAIAAgDASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAA
AgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6
Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXG
x8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREA
AgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5
OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPE
xcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDwn4W/BT/U/wCj+naiiivFzXOMZ9ZfvH6b
wDn2P/sSn75//9k=
"""

CMYK_JPEG = """
/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBET
FBUVFQwPFxgWFBgSFBUU/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//E
ALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2
Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrC
w8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwDu/wDgoj/zE/8AgVfTH/DW3/T7
/wCPV6RX2P8AtE/8vX41/9k=
"""


def test_jpeg_has_libjpegs_colours_and_the_files_own_grey() -> None:
    file = tensor_of(base64.b64decode(JPEG))
    assert io.decode_jpeg(file)[:, ::3, ::3].tolist() == [
        [[5, 81, 173], [11, 87, 180], [13, 88, 181]],
        [[0, 5, 5], [55, 60, 59], [114, 119, 119]],
        [[87, 93, 93], [94, 101, 102], [96, 103, 104]],
    ]
    grey = io.decode_jpeg(file, io.ImageReadMode.GRAY)
    assert grey[:, ::3, ::3].tolist() == [[[11, 38, 65], [46, 73, 100], [82, 108, 136]]]


def test_jpeg_for_printing_is_read_as_adobe_stores_it() -> None:
    file = tensor_of(base64.b64decode(CMYK_JPEG))
    assert io.decode_jpeg(file)[:, ::5, ::5].tolist() == [
        [[255, 106], [255, 106]], [[255, 255], [156, 156]],
        [[155, 155], [155, 155]], [[255, 181], [255, 181]],
    ]  # fmt: skip
    assert io.decode_jpeg(file, "RGB")[:, ::5, ::5].tolist() == [
        [[255, 75], [255, 75]], [[255, 181], [156, 111]], [[155, 110], [155, 110]],
    ]  # fmt: skip
    assert io.decode_jpeg(file, "GRAY")[:, ::5, ::5].tolist() == [[[244, 141], [185, 100]]]


# -- channels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_each_kind_of_png_gives_each_mode(kind: str, mode: io.ImageReadMode) -> None:
    rgba = Image.fromarray(noise(5, 7, 4))
    if kind == "I;16":
        image = Image.fromarray(np.arange(35, dtype=np.uint16).reshape(5, 7) * 1800)
    elif kind == "P":
        image = rgba.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    else:
        image = rgba.convert(kind)
    got = io.decode_png(file_of(image, "PNG"), mode)
    bands = len(image.getbands())
    assert got.shape == (CHANNELS.get(mode.name, bands), 5, 7)
    assert got.dtype == (cresset.int32 if kind == "I;16" else cresset.uint8)
    array = np.array(image.convert("L") if kind == "1" else image).reshape(5, 7, bands)
    if mode is io.ImageReadMode.UNCHANGED:
        assert got.permute(1, 2, 0).tolist() == array.tolist()
        return
    if kind == "P":
        array = np.array(image.convert("RGB"))
    colour, alpha = (array[..., :-1], array[..., -1]) if kind in ("LA", "RGBA") else (array, None)
    if mode.value in (2, 4):
        opaque = 65535 if kind == "I;16" else 255
        want = np.full((5, 7), opaque) if alpha is None else alpha
        assert got[-1].tolist() == want.tolist()
    if mode.value >= 3:
        assert got[:3].permute(1, 2, 0).tolist() == np.broadcast_to(colour, (5, 7, 3)).tolist()
    else:
        grey = colour @ [0.2989, 0.587, 0.1141] if colour.shape[2] == 3 else colour[..., 0]
        assert abs(got[0].numpy() - grey).max() < 1 + 1e-3 * (colour.shape[2] == 3)


def test_a_palette_may_have_transparent_colours() -> None:
    image = Image.fromarray(noise(4, 4, 3)).convert("P", palette=Image.Palette.ADAPTIVE)
    got = io.decode_png(file_of(image, "PNG", transparency=bytes([7, 99])), "RGBA")
    numbers = np.array(image)
    want = np.select([numbers == 0, numbers == 1], [7, 99], 255)
    assert got[3].tolist() == want.tolist()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 9, 3), (12, 5, 2), (6, 17, 4), (3, 2, 4)])
def test_a_png_of_16_bits_is_unfiltered(shape: tuple[int, int, int], interlaced: bool) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 65536, shape).astype(np.uint16)
    file = png16(pixels, interlaced)
    assert (read_16_bit_colour(file) == pixels).all()
    # Pillow knows the upper byte, where it reads such a file with that many channels.
    seen = np.asarray(Image.open(python_io.BytesIO(file)))
    if seen.shape == shape:
        assert (seen == pixels >> 8).all()
    got = io.decode_image(tensor_of(file))
    assert got.dtype == cresset.int32
    assert got.permute(1, 2, 0).tolist() == pixels.tolist()


def test_a_damaged_png_of_16_bits_is_an_error_and_takes_no_memory() -> None:
    whole = png16(np.arange(60, dtype=np.uint16).reshape(4, 5, 3) * 1000)
    for place in range(8, len(whole)):
        with pytest.raises(RuntimeError):
            io.decode_png(tensor_of(whole[:place]))
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        with pytest.raises(RuntimeError):
            io.decode_png(tensor_of(bytes(damaged)))
    header = struct.pack(">IIBBBBB", 20_000, 4_000, 16, 2, 0, 0, 0)
    lying = whole[:8] + chunk(b"IHDR", header) + whole[33:]
    with pytest.raises(RuntimeError, match="more pixels than data"):
        io.decode_png(tensor_of(lying))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_and_pillow_agree(channels: int) -> None:
    image = Image.fromarray(noise(20, 30, 3)).convert("L" if channels == 1 else "RGB")
    file = file_of(image, "JPEG", quality=90)
    seen = Image.open(python_io.BytesIO(file.numpy().tobytes()))
    for mode in (None, "RGB"):
        got = io.decode_jpeg(file, *([mode] if mode else []))
        want = np.array(seen.convert(mode) if mode else seen).reshape(20, 30, -1)
        assert got.permute(1, 2, 0).tolist() == want.tolist()
    for mode in ("RGBA", "GRAY_ALPHA"):
        with pytest.raises(RuntimeError, match="The provided mode is not supported for JPEG"):
            io.decode_jpeg(file, mode)


def test_webp_has_colour_and_alpha_but_no_grey() -> None:
    image = Image.fromarray(noise(6, 5, 4))
    file = file_of(image, "WEBP", lossless=True, exact=True)
    assert io.decode_webp(file).permute(1, 2, 0).tolist() == np.array(image).tolist()
    assert (
        io.decode_image(file, "RGB").permute(1, 2, 0).tolist() == np.array(image)[..., :3].tolist()
    )
    with pytest.warns(UserWarning, match="Webp does not support grayscale conversions"):
        assert io.decode_webp(file, "GRAY").shape == (4, 6, 5)


def test_a_gif_is_one_picture_or_many() -> None:
    pictures = [Image.fromarray(noise(6, 5, 3, seed=k)).quantize() for k in range(3)]
    one = io.decode_gif(file_of(pictures[0], "GIF"))
    assert one.permute(1, 2, 0).tolist() == np.array(pictures[0].convert("RGB")).tolist()
    all_three = file_of(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    got = io.decode_image(all_three, "GRAY")  # the mode means nothing here
    assert got.shape == (3, 3, 6, 5)
    for frame, picture in zip(got, pictures):
        assert frame.permute(1, 2, 0).tolist() == np.array(picture.convert("RGB")).tolist()


def gif_claiming(width: int, height: int, pictures: int) -> cresset.Tensor:
    """A canvas of any size, with pictures of one pixel."""
    canvas = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    picture = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return tensor_of(canvas + picture * pictures + b";")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("claim", [(13_000, 13_000, 1), (65_535, 600, 1), (3_000, 3_000, 40)])
def test_a_few_bytes_that_claim_a_huge_gif_are_refused_before_memory_is_taken(claim) -> None:
    tracemalloc.start()
    with pytest.raises(RuntimeError, match=r"claims \d+ pictures of .* decompression bomb"):
        io.decode_image(gif_claiming(*claim))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_gif_may_be_as_large_as_its_bytes_allow() -> None:
    assert io.decode_gif(gif_claiming(200, 100, 50)).shape == (50, 3, 100, 200)


def test_pillows_switch_lifts_the_limit_of_gifs_too(monkeypatch) -> None:
    monkeypatch.setattr(image_files, "_GIF_PIXELS", 100)
    monkeypatch.setattr(image_files, "_GIF_PIXELS_PER_BYTE", 1)
    with pytest.raises(RuntimeError, match="claims 1 pictures of 20 x 20 pixels in 35 bytes"):
        io.decode_gif(gif_claiming(20, 20, 1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert io.decode_gif(gif_claiming(20, 20, 1)).shape == (3, 20, 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda x: x),
        (2, lambda x: x.flip(2)),
        (3, lambda x: x.rot90(2, (1, 2))),
        (4, lambda x: x.flip(1)),
        (5, lambda x: x.transpose(1, 2)),
        (6, lambda x: x.rot90(-1, (1, 2))),
        (7, lambda x: x.rot90(2, (1, 2)).transpose(1, 2)),
        (8, lambda x: x.rot90(1, (1, 2))),
    ],
)
def test_an_image_is_turned_as_its_camera_was_held(
    kind: str, orientation: int, turned: Any
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    file = file_of(Image.fromarray(noise(4, 6, 3)), kind, exif=exif.tobytes())
    as_stored = io.decode_image(file)
    assert as_stored.shape == (3, 4, 6)
    upright = io.decode_image(file, apply_exif_orientation=True)
    assert upright.tolist() == turned(as_stored).tolist()


def test_decoded_images_lie_in_memory_as_torchvisions() -> None:
    file = io.encode_png(cresset.from_numpy(noise(3, 4, 5)))
    assert io.decode_png(file).stride() == (1, 15, 3)
    assert io.decode_png(file, "GRAY").is_contiguous()


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 6, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_gives_back_what_was_written(tmp_path: Path, channels: int, level: int) -> None:
    image = cresset.from_numpy(noise(channels, 9, 8))
    io.write_png(image, tmp_path / "x.png", level)
    assert io.read_image(str(tmp_path / "x.png")).tolist() == image.tolist()
    assert io.decode_image(tmp_path / "x.png").tolist() == image.tolist()
    with Image.open(tmp_path / "x.png") as seen:
        assert seen.mode == {1: "L", 3: "RGB"}[channels]


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_comes_as_near_as_its_quality(tmp_path: Path, channels: int) -> None:
    wave = np.sin(np.arange(32) / 5)
    planes = 128 + 100 * np.stack([np.outer(wave, np.roll(wave, 9 * k)) for k in range(channels)])
    image = cresset.from_numpy(planes.astype(np.uint8))
    errors = []
    for quality in (5, 50, 100):
        io.write_jpeg(image, tmp_path / "x.jpg", quality)
        again = io.read_image(tmp_path / "x.jpg")
        errors.append(float((again.float() - image.float()).abs().mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 3


def test_strided_images_are_written_as_they_look() -> None:
    image = cresset.from_numpy(noise(6, 8, 3)).permute(2, 0, 1)[:, ::2, 1::3]
    assert io.decode_png(io.encode_png(image)).tolist() == image.tolist()


def test_lists_of_jpegs_come_and_go_as_lists() -> None:
    images = [cresset.from_numpy(noise(3, 8, 8, seed=k)) for k in range(2)]
    files = io.encode_jpeg(images, 90)
    assert [f.tolist() for f in files] == [io.encode_jpeg(i, 90).tolist() for i in images]
    read = io.decode_jpeg(files, "GRAY")
    assert [tuple(r.shape) for r in read] == [(1, 8, 8)] * 2


def test_bytes_go_to_a_file_and_back(tmp_path: Path) -> None:
    data = cresset.from_numpy(noise(100))
    io.write_file(tmp_path / "x", data)
    assert (tmp_path / "x").read_bytes() == data.numpy().tobytes()
    assert io.read_file(str(tmp_path / "x")).tolist() == data.tolist()


# -- errors ----------------------------------------------------------------------------------------

EMPTY = cresset.zeros(0, dtype=cresset.uint8)
IMAGE = cresset.zeros(3, 4, 4, dtype=cresset.uint8)


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (io.decode_png, EMPTY, "must be 1-dimensional and non-empty, got 1 dims  and 0 numels."),
        (io.decode_jpeg, IMAGE, "must be 1-dimensional and non-empty, got 3 dims  and 48 numels."),
        (io.decode_gif, cresset.zeros(3), "Input tensor must have uint8 data type"),
        (io.decode_webp, EMPTY, "must be 1-dimensional and non-empty"),
        (io.decode_image, EMPTY, "Expected a non empty 1-dimensional tensor"),
        (io.decode_image, cresset.zeros(3), "Expected a torch.uint8 tensor"),
        (io.decode_image, tensor_of(b"BM" + bytes(99)), "Only jpeg, png, webp and gif are"),
        (io.decode_png, tensor_of(bytes(99)), "Content is not png!"),
        (io.decode_jpeg, tensor_of(bytes([0, 1])), "Not a JPEG file: starts with 0x00 0x01"),
        (io.decode_jpeg, tensor_of(b"\xff\xd8\xff"), "Content is not jpeg!"),
        (io.decode_gif, tensor_of(bytes(99)), "Content is not gif!"),
        (io.decode_webp, tensor_of(bytes(99)), "Content is not webp!"),
        (io.decode_avif, tensor_of(bytes(99)), "Content is not avif!"),
        (io.decode_heic, EMPTY, "HEIC images cannot be decoded"),
        (io.decode_png, [1], "but instead found type 'list'"),
        (io.encode_png, IMAGE.float(), "Input tensor dtype should be uint8"),
        (io.encode_png, IMAGE[0], "Input data should be a 3-dimensional tensor"),
        (io.encode_png, IMAGE[:2], "The number of channels should be 1 or 3, got: 2"),
        (io.encode_png, IMAGE[:, :0], "Invalid IHDR data"),
        (io.encode_jpeg, IMAGE[:, :, :0], "Empty JPEG image"),
        (io.read_file, "/no/such", "Errno 2. No such file or directory: '/no/such'"),
        (io.read_image, "/no/such", "Errno 2. No such file or directory: '/no/such'"),
        (io.read_file, "/dev/null", "Expected a non empty file"),
    ],
)
def test_what_cannot_be_done_is_a_runtime_error(function: Any, argument: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        function(argument)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Compression level should be between 0 and 9"):
        io.encode_png(IMAGE, 10)
    for quality in (0, 101):
        with pytest.raises(ValueError, match="Image quality should be a positive number between"):
            io.encode_jpeg(IMAGE, quality)
    with pytest.raises(ValueError, match="requires at least one input tensor"):
        io.encode_jpeg([])
    with pytest.raises(ValueError, match="must contain at least one element"):
        io.decode_jpeg([])
    with pytest.raises(ValueError, match="All elements of the input list must be tensors."):
        io.decode_jpeg([b"bytes"])
    with pytest.raises(KeyError, match="BGR"):
        io.decode_png(io.encode_png(IMAGE), "bgr")
    with pytest.raises(RuntimeError, match="Error opening output file"):
        io.write_png(IMAGE, tmp_path / "none" / "x.png")
    with pytest.raises(RuntimeError, match="Input data should be a 1-dimensional tensor"):
        io.write_file(tmp_path / "x", IMAGE)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_file_that_ends_early_is_a_runtime_error(format: str) -> None:
    content = file_of(Image.fromarray(noise(64, 64, 3)), format).numpy().tobytes()
    for length in (4, 20, 100, len(content) // 2):
        with pytest.raises(RuntimeError):
            io.decode_image(tensor_of(content[:length]))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_damaged_file_is_read_or_a_runtime_error(format: str) -> None:
    image = Image.fromarray(noise(12, 12, 3)).quantize().convert("P" if format == "GIF" else "RGB")
    options = {"save_all": True, "append_images": [image.rotate(90)]} if format == "GIF" else {}
    content = file_of(image, format, **options).numpy().tobytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.choice([0, 255, damaged[place] ^ 1])
        try:
            io.decode_image(tensor_of(bytes(damaged)), apply_exif_orientation=True)
        except RuntimeError:
            pass


def test_an_image_that_claims_to_be_huge_is_a_runtime_error() -> None:
    header = struct.pack(">IIBBBBB", 1 << 15, 1 << 15, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
    with pytest.raises(RuntimeError, match="PIL.Image.MAX_IMAGE_PIXELS sets this limit"):
        io.decode_png(tensor_of(content))


def test_programs_find_it_under_torchvisions_names(tmp_path: Path) -> None:
    program = """
import torch, torchvision.io, torchvision
from torchvision.io import ImageReadMode, read_image, write_png
from torchvision.io.image import decode_image
image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
write_png(image, "x.png")
print(read_image("x.png", ImageReadMode.RGB).equal(image), torchvision.io.decode_png.__name__)
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "cresset", "program.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout == "True decode_png\n", done.stderr
