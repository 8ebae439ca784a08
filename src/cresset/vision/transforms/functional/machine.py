"""Machine code for images: positions looked up, axes resampled, neighbourhoods summed.

Each function computes what the NumPy code beside its caller computes, to the bit, in one pass in
place of dozens. The code (told by ``machine_code``) is made when enough pixels were transformed to
pay for it; until then, where compiling is off, and for images too narrow for a vector, the
functions return None and callers go NumPy's way.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections import Counter
from typing import Any

import numpy as np

from cresset.core.modes import PROCESS

#: Pixels made at a time. The last of a line overlap those before.
LANES = 16
#: Pixels (times what each is made of) that NumPy makes before a function is compiled: about as
#: long as that takes.
_WORTH_IT = 1 << 21
_made: Counter[str] = Counter()


def _function(name: str, narrowest: int, pixels: int) -> Any:
    """A compiled function, if so many pixels in lines of this length should be made with it."""
    if narrowest < LANES or not PROCESS.compile:
        return None
    if _made[name] < _WORTH_IT:
        _made[name] += pixels
        return None
    return _compiled(name)


@functools.cache
def _compiled(name: str) -> Any:
    from cresset.vision.transforms.functional import machine_code

    try:
        from cresset.compiler.host import Module

        module = Module(machine_code.text(name))
    except Exception as error:  # NumPy's way is still there
        warnings.warn(
            f"cresset: images are transformed by NumPy, as no machine code could be made ({error})",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    _modules.append(module)
    kinds = {"ptr": ctypes.c_void_p, "i64": ctypes.c_int64}
    arguments = machine_code.FUNCTIONS[name][0].split(", ")
    return module.function(name, *[kinds[a.split()[0]] for a in arguments])


_modules: list[Any] = []  # their memory holds the code


def sampled(
    pixels: np.ndarray, grid: np.ndarray, mode: str, form: int, colours: Any, whole: bool
) -> np.ndarray | None:
    """float32 (..., C, H, W) at the positions (h, w, 2), as float32 or rounded to bytes.

    ``form``: 0 for black outside of the image, else which of ``sampling.MIXES`` mixes in
    ``colours``, one or one for each channel.
    """
    *planes, height, width = pixels.shape
    rows, columns = grid.shape[:2]
    count = rows * columns
    name = ("nearest" if mode == "nearest" else "bilinear") + "_bytes" * whole
    function = _function(name, count, 8 * count)
    if function is None or height * width >= 1 << 24 or not pixels.size:
        return None
    pixels, grid = np.ascontiguousarray(pixels), np.ascontiguousarray(grid)
    table = np.empty(planes, np.float32)
    table[...] = colours
    out = np.empty((*planes, rows, columns), np.uint8 if whole else np.float32)
    function(
        _address(pixels), _address(grid), _address(out), _address(table), form, table.size, width,
        height, count,
    )  # fmt: skip
    return out


def _address(x: np.ndarray) -> int:
    address: int = x.__array_interface__["data"][0]  # a fifth of the time of x.ctypes.data
    return address


class Taps:
    """Which pixels each of ``out`` outputs along an axis is the sum of, with what weights.

    ``places`` and ``weights`` are (taps, out). Products before ``grouped`` are rounded and then
    added, the others fused. Where weights are whole numbers, they are scaled by 2 ** ``bits``.
    """

    def __init__(
        self, places: np.ndarray, weights: np.ndarray, grouped: Any = 0, bits: int = 0
    ) -> None:
        self.count, self.out = places.shape
        self.places = np.ascontiguousarray(places, np.int32)
        whole = weights.dtype.kind == "i"
        self.weights = np.ascontiguousarray(weights, np.int32 if whole else np.float32)
        self.bits = bits
        self.grouped = np.ascontiguousarray(grouped, np.int32)
        self.addresses = [_address(x) for x in (self.places, self.weights, self.grouped)]


def resampled(pixels: np.ndarray, axis: int, taps: Taps, whole: bool = False) -> np.ndarray | None:
    """float32 (..., H, W) with another number of pixels along the axis -1 or -2; along the second
    one also rounded to bytes."""
    *planes, height, width = pixels.shape
    across = axis == -1
    size = (height, taps.out) if across else (taps.out, width)
    count = int(np.prod(planes))
    pixels_made = count * size[0] * size[1]
    name = "rows" if across else "lines" + "_bytes" * whole
    function = _function(name, size[1], pixels_made * taps.count)
    if function is None or not pixels.size:
        return None
    pixels = np.ascontiguousarray(pixels)
    out = np.empty((*planes, *size), np.uint8 if whole else np.float32)
    function(
        _address(pixels), _address(out), *taps.addresses, count * height if across else count,
        height, width, taps.out, taps.count,
    )  # fmt: skip
    return out


def resampled_bytes(pixels: np.ndarray, axis: int, taps: Taps) -> np.ndarray | None:
    """``resampled`` for bytes, in whole numbers; the result is rounded to bytes."""
    *planes, height, width = pixels.shape
    across = axis == -1
    size = (height, taps.out) if across else (taps.out, width)
    count = int(np.prod(planes))
    name = "byte_rows" if across else "byte_lines"
    function = _function(name, size[1], count * size[0] * size[1] * taps.count)
    if function is None or not pixels.size:
        return None
    pixels = np.ascontiguousarray(pixels)
    out = np.empty((*planes, *size), np.uint8)
    line = np.empty(width, np.int32)
    function(
        _address(pixels), _address(out), *taps.addresses[:2], _address(line),
        count * height if across else count, height, width, taps.out, taps.count, taps.bits,
    )  # fmt: skip
    return out


def filtered(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """float32 (..., H, W) with each pixel a sum of the neighbours right of and below it, product
    after product fused into the sum."""
    *planes, height, width = pixels.shape
    rows, columns = (n - k + 1 for n, k in zip((height, width), weights.shape))
    count = int(np.prod(planes))
    name = f"filter_{max(n for n in (1, 2, 4) if n == 1 or columns >= n * LANES)}"
    function = _function(name, columns, count * rows * columns * weights.size)
    if function is None or not count or rows < 4:
        return None
    pixels, weights = np.ascontiguousarray(pixels), np.ascontiguousarray(weights, np.float32)
    out = np.empty((*planes, rows, columns), np.float32)
    function(
        _address(pixels), _address(out), _address(weights),
        count, height, width, rows, columns, *weights.shape,
    )  # fmt: skip
    return out


def mirrored(pixels: np.ndarray) -> np.ndarray | None:
    """An array (..., W) of one or four bytes per element, with its lines backwards."""
    width = pixels.shape[-1]
    if pixels.itemsize not in (1, 4) or not pixels.flags.c_contiguous or not pixels.size:
        return None
    function = _function(f"mirror_{pixels.itemsize}", width, pixels.size // 8)
    if function is None:
        return None
    out = np.empty(pixels.shape, pixels.dtype)
    function(_address(pixels), _address(out), pixels.size // width, width)
    return out
