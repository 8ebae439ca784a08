"""PNG images in colour or with alpha whose samples have 16 bits, which Pillow cuts down to 8.

A PNG file is a list of chunks (length, type, content, checksum). The contents of its IDAT chunks
are one zlib stream of rows. A row starts with the number of its filter, which predicts each byte
from those to the left (a), above (b) and above left (c); the file has what is left over (PNG
specification, section 9). As each pixel waits for these three and no others, all pixels of an
anti-diagonal can be done at once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Channels of the colour types that Pillow reads with 8 bits only: RGB, grey and alpha, RGBA.
_CHANNELS = {2: 3, 4: 2, 6: 4}
#: First column and row, and steps, of the seven images that an interlaced file is made of.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
_WHOLE = ((0, 0, 1, 1),)
#: Deflate cannot do better.
_MAX_RATIO = 1032


def has_16_bit_colour(content: bytes) -> bool:
    """Whether a PNG file's header says so."""
    return content[12:16] == b"IHDR" and content[24] == 16 and content[25] in _CHANNELS


def read_16_bit_colour(content: bytes) -> np.ndarray:
    """The pixels as uint16 (height, width, channels).

    Raises:
        ValueError: the file is damaged. Memory is taken only for what the file can hold.
    """
    chunks = list(_chunks(content))
    (width, height, _, colour, _, _, interlaced) = struct.unpack(">IIBBBBB", chunks[0][1])
    if width == 0 or height == 0 or interlaced > 1:
        raise ValueError("malformed header")
    packed = b"".join(data for kind, data in chunks if kind == b"IDAT")
    pixel = 2 * _CHANNELS[colour]
    passes = [
        (x, y, dx, dy, -((x - width) // dx), -((y - height) // dy))
        for x, y, dx, dy in (_ADAM7 if interlaced else _WHOLE)
        if x < width and y < height
    ]
    size = sum(rows * (1 + columns * pixel) for *_, columns, rows in passes)
    if size > _MAX_RATIO * len(packed):
        raise ValueError("more pixels than data")
    raw = np.frombuffer(zlib.decompressobj().decompress(packed, size), np.uint8)
    if len(raw) < size:
        raise ValueError("the data end before the last row")
    result = np.empty((height, width, pixel // 2), np.uint16)
    for x, y, dx, dy, columns, rows in passes:
        part, raw = np.split(raw, [rows * (1 + columns * pixel)])
        samples = _unfiltered(part.reshape(rows, -1), pixel).view(">u2")
        result[y::dy, x::dx] = samples.reshape(rows, columns, -1)
    return result


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Types and contents, up to the end of the image."""
    place, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if place + 12 > len(content):
            raise ValueError("the file ends too early")
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        if len(data) < length or content[place + 8 + length : place + 12 + length] != (
            zlib.crc32(kind + data).to_bytes(4, "big")
        ):
            raise ValueError(f"the chunk {kind!r} is damaged")
        yield kind, data
        place += 12 + length


def _unfiltered(rows: np.ndarray, pixel: int) -> np.ndarray:
    """The bytes of the pixels of (height, 1 + width * pixel) filtered bytes."""
    filters = rows[:, 0]
    if filters.max() > 4:
        raise ValueError("a row has no known filter")
    left_over = rows[:, 1:].reshape(len(rows), -1, pixel)
    height, width = left_over.shape[:2]
    done = np.zeros((height + 1, width + 1, pixel), np.int16)  # with a row and a column of zeros
    for diagonal in range(height + width - 1):
        i = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        j = diagonal - i
        a, b, c = done[i + 1, j], done[i, j + 1], done[i, j]
        guess = np.choose(filters[i, None], [np.zeros_like(a), a, b, (a + b) >> 1, _paeth(a, b, c)])
        done[i + 1, j + 1] = (left_over[i, j] + guess) & 255
    return np.ascontiguousarray(done[1:, 1:].astype(np.uint8))


def _paeth(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The one of a, b, c that is nearest to a + b - c; a before b before c."""
    far_a, far_b, far_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return np.where((far_a <= far_b) & (far_a <= far_c), a, np.where(far_b <= far_c, b, c))
