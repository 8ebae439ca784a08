"""Pixels of a tensor image at positions between its pixels: what turning and bending share.

A *grid* is an array (1, height, width, 2) with the position (x, y) that each pixel of the result
comes from; -1 and 1 are the outer edges of the image. Positions follow from a few numbers, not from
tensors, so they are computed in NumPy.

Rounding decides which neighbour is the nearest one, and images have many exact ties. So where no
gradient is asked for, float32 images are sampled here with the roundings of PyTorch's kernel, which
fuses multiplications into additions; ``grid_sample`` does the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.ops.creation import from_numpy, ones, tensor
from cresset.ops.grid import grid_sample
from cresset.ops.join import cat
from cresset.ops.ranges import linspace
from cresset.ops.select import where
from cresset.random.fused import fma32
from cresset.tensor import Tensor, from_array
from cresset.vision.transforms.functional import machine
from cresset.vision.transforms.functional.dimensions import get_dimensions

_MODES = ("nearest", "bilinear")
_INTEGERS = (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)
#: How many positions are looked up at a time.
_BLOCK = 1 << 13

#: Mixes samples with the colour around the image by how much of each sample lies inside.
Mix = Callable[[Any, Any, Any], Any]


def weighted(inside: Any, share: Any, colour: Any) -> Any:
    """As torchvision's first interface mixes."""
    return inside * share + (1.0 - share) * colour


def moved(inside: Any, share: Any, colour: Any) -> Any:
    """As ``transforms.v2`` mixes."""
    return (inside - colour) * share + colour


MIXES: list[Mix] = [weighted, moved]


def check_sampling(img: Tensor, fill: Any, mode: str) -> None:
    """The errors about colours and modes that all maps of tensors share."""
    if fill is not None and not isinstance(fill, (int, float, tuple, list)):
        warnings.warn("Argument fill should be either int, float, tuple or list")
    channels = get_dimensions(img)[0]
    if isinstance(fill, (tuple, list)) and len(fill) > 1 and len(fill) != channels:
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of "
            f"the image ({len(fill)} != {channels})"
        )
    if mode not in _MODES:
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")


# -- grids -----------------------------------------------------------------------------------------


def real_dtype(img: Tensor) -> Any:
    """The dtype in which positions in ``img`` are computed."""
    return img.dtype if img.dtype in (dtypes.float32, dtypes.float64) else dtypes.float32


def _centres(size: int, dtype: Any) -> np.ndarray:
    """Distances of pixel centres from the middle."""
    return (np.arange(size) - (size - 1) / 2).astype(dtype)


def affine_grid(
    matrix: Sequence[float], img: Tensor, out: tuple[int, int] | None = None
) -> np.ndarray:
    """The positions that the 2x3 ``matrix`` gives, in pixels from the middle of the image.

    ``out`` is (height, width) of the result, else the image's.
    """
    dtype = real_dtype(img).np
    height, width = img.shape[-2:]
    rows, columns = out or (height, width)
    x, y = _centres(columns, dtype)[None, :], _centres(rows, dtype)[:, None]
    half = np.array([[0.5 * width], [0.5 * height]], dtype)
    (a, b, c), (d, e, f) = np.array(matrix, dtype).reshape(2, 3) / half
    return np.stack([x * a + y * b + c, x * d + y * e + f], -1)[None]


def affine_extent(matrix: Sequence[float], width: int, height: int, inverse: bool) -> list[int]:
    """[height, width] of the smallest frame around an image after the map of ``matrix``.

    Corners are cut to four decimals, so that 90 degrees make no extra pixel. ``inverse``: by a
    product with 10,000 in place of a quotient, which rounds differently.
    """
    m = np.array(matrix, np.float32).reshape(2, 3)
    half = np.array([0.5 * width, 0.5 * height], np.float32)
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)], np.float32) * half
    moved = corners[:, :1] * m[:, 0] + corners[:, 1:] * m[:, 1] + m[:, 2] + half
    tolerance = np.float32(1e-4)
    scaled = moved * np.float32(1e4) if inverse else moved / tolerance
    cut = np.trunc(scaled) * tolerance
    size = np.ceil(cut.max(0)) - np.floor(cut.min(0))
    return [int(size[1]), int(size[0])]


def perspective_grid(coefficients: Sequence[float], img: Tensor) -> np.ndarray:
    """Positions ``(a x + b y + c) / (g x + h y + 1)``, ``(d x + e y + f) / (g x + h y + 1)`` for
    the eight coefficients a to h, in pixels from the upper left corner."""
    dtype = real_dtype(img).np
    height, width = img.shape[-2:]
    half = np.array([[0.5 * width], [0.5 * height]], dtype)
    upper = np.array(coefficients[:6], dtype).reshape(2, 3) / half
    g, h = np.array(coefficients[6:], dtype)
    x = (np.arange(width) + 0.5).astype(dtype)[None, :]
    y = (np.arange(height) + 0.5).astype(dtype)[:, None]
    below = x * g + y * h + dtype.type(1)
    above = [x * a + y * b + c for a, b, c in upper]
    return np.stack([row / below - dtype.type(1) for row in above], -1)[None]


def identity_grid(height: int, width: int, dtype: Any) -> np.ndarray:
    """The position of each pixel itself."""
    axes = [linspace((1 - n) / n, (n - 1) / n, n, dtype=dtype).numpy() for n in (height, width)]
    y, x = np.meshgrid(*axes, indexing="ij")
    return np.stack([x, y], -1)[None]


# -- sampling --------------------------------------------------------------------------------------


def sample(img: Tensor, grid: Any, mode: str, fill: Any, mix: Mix) -> Tensor:
    """A tensor image (..., C, H, W) at the positions of ``grid``; 0 or ``fill`` outside of it."""
    if _as_arrays(img, grid):
        positions = grid.numpy(force=True) if isinstance(grid, Tensor) else grid
        return from_array(_sample_image(img, positions[0], mode, fill, mix), img.dtype)
    if not isinstance(grid, Tensor):
        grid = from_numpy(grid).to(img.device)
    x = img.to(grid.dtype).reshape(-1, *img.shape[-3:])
    if fill is not None:  # one more channel tells what came from inside
        inside = ones(x.shape[0], 1, *x.shape[-2:], dtype=x.dtype, device=x.device)
        x = cat([x, inside], 1)
    out = grid_sample(x, grid.expand(x.shape[0], *grid.shape[1:]), mode, "zeros", False)
    if fill is not None:
        colour = tensor(_colours(fill), dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        out, share = out[:, :-1], out[:, -1:]
        out = where(share < 0.5, colour, out) if mode == "nearest" else mix(out, share, colour)
    out = out.reshape(*img.shape[:-2], *out.shape[-2:])
    if img.dtype in _INTEGERS:
        out = out.round()
    return out.to(img.dtype)


def _colours(fill: Any) -> list[float]:
    return [*fill] if isinstance(fill, (tuple, list)) else [float(fill)]


def _as_arrays(img: Tensor, grid: Any) -> bool:
    """Whether the result is one of single precision that nobody wants the gradient of."""
    if isinstance(grid, Tensor):
        single, wants_gradient = grid.dtype == dtypes.float32, grid.requires_grad
    else:
        single, wants_gradient = grid.dtype == np.float32, False
    wants_gradient = THREAD.grad and (img.requires_grad or wants_gradient)
    known = img.dtype in (*_INTEGERS, dtypes.float32, dtypes.float64)
    return single and known and not wants_gradient and img.device.type == "cpu"


def _sample_image(img: Tensor, grid: np.ndarray, mode: str, fill: Any, mix: Mix) -> np.ndarray:
    pixels = img.numpy(force=True).astype(np.float32, copy=False)
    height, width = pixels.shape[-2:]
    form, colours = (0, [0.0]) if fill is None else (1 + MIXES.index(mix), _colours(fill))
    whole = img.dtype is dtypes.uint8
    found = machine.sampled(pixels, grid, mode, form, colours, whole)
    if found is not None:
        return found if whole or img.dtype is dtypes.float32 else _in_dtype(found, img.dtype)
    out = _sample_array(pixels.reshape(-1, *pixels.shape[-3:]), grid, mode)
    if fill is not None:
        colour = np.array(colours, np.float32).reshape(1, -1, 1, 1)
        share = _sample_array(np.ones((1, 1, height, width), np.float32), grid, mode)
        out = np.where(share < 0.5, colour, out) if mode == "nearest" else mix(out, share, colour)
    return _in_dtype(out.reshape(*img.shape[:-2], *grid.shape[:2]), img.dtype)


def _in_dtype(x: np.ndarray, dtype: Any) -> np.ndarray:
    return (np.rint(x) if dtype in _INTEGERS else x).astype(dtype.np, copy=False)


def _sample_array(pixels: np.ndarray, grid: np.ndarray, mode: str) -> np.ndarray:
    """(N, C, H, W) at the positions (h, w, 2), in float32; some rows at a time, as what is computed
    on the way then stays in the cache."""
    rows, columns = grid.shape[:2]
    out = np.empty((*pixels.shape[:-2], rows, columns), np.float32)
    step = max(_BLOCK // max(columns, 1), 1)
    for top in range(0, rows, step):
        out[..., top : top + step, :] = _sample_rows(pixels, grid[top : top + step], mode)
    return out


def _sample_rows(pixels: np.ndarray, grid: np.ndarray, mode: str) -> np.ndarray:
    height, width = pixels.shape[-2:]
    half = np.float32(0.5)
    x = fma32(grid[..., 0] + np.float32(1), width * half, -half)
    y = fma32(grid[..., 1] + np.float32(1), height * half, -half)
    if mode == "nearest":
        return _pixels_at(pixels, np.rint(y), np.rint(x))
    left, top = np.floor(x), np.floor(y)
    to_left, to_top = x - left, y - top
    to_right, to_bottom = np.float32(1) - to_left, np.float32(1) - to_top
    out = _pixels_at(pixels, top, left) * (to_bottom * to_right)
    out = fma32(_pixels_at(pixels, top, left + 1), to_bottom * to_left, out)
    out = fma32(_pixels_at(pixels, top + 1, left), to_top * to_right, out)
    return fma32(_pixels_at(pixels, top + 1, left + 1), to_top * to_left, out)


def _pixels_at(pixels: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Pixels at whole coordinates, 0 outside."""
    height, width = pixels.shape[-2:]
    with np.errstate(invalid="ignore"):
        inside = (x > -1) & (x < width) & (y > -1) & (y < height)
        row, column = np.where(inside, y, 0).astype(np.intp), np.where(inside, x, 0).astype(np.intp)
    found = pixels.reshape(*pixels.shape[:-2], -1).take(row * width + column, axis=-1)
    np.copyto(found, 0, where=~inside)
    return found
