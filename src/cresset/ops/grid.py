"""Sampling images at given positions: ``grid_sample``, and grids of affine maps.

A position in [-1, 1] is turned into a pixel coordinate per dimension, brought inside as
``padding_mode`` says, and the pixels around it are mixed: the nearest, two per dimension, or four
per dimension (bicubic). One composite does all of it, so that the tape has one node.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from cresset.core.tape import derived
from cresset.ops.creation import from_numpy
from cresset.ops.inplace import scalar_name
from cresset.ops.matmul import matmul
from cresset.ops.parts import select
from cresset.ops.pointwise import add, mul, sub
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.select import where
from cresset.ops.view import expand, reshape, transpose, unsqueeze

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` thrown back between ``low`` and ``high`` as often as it takes."""
    if low == high:
        return mul(x, 0.0)
    span = high - low
    away = sub(x, low).abs()  # type: ignore[attr-defined]
    extra = away.fmod(span)
    odd = away.detach().div(span).floor().remainder(2.0).eq(1.0)
    return add(where(odd, sub(span, extra), extra), low)


def _inside(x: Tensor, size: int, padding: str, align: bool) -> Tensor:
    """A coordinate as the padding mode has it."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        bounds = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        x = _reflected(x, *bounds)
    return x.clamp(0, size - 1)  # type: ignore[attr-defined]


def _pick(flat: Tensor, corner: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """The pixels at whole coordinates, 0 outside: (n, c, *positions)."""
    n, c = flat._spec.shape[:2]
    place: Any = None
    valid: Any = None
    for coordinate, size in zip(corner, sizes, strict=True):
        x: Any = coordinate.detach()
        within = x.ge(0) & x.le(size - 1)
        x = x.clamp(0, size - 1).long()
        place = x if place is None else add(mul(place, size), x)
        valid = within if valid is None else valid & within
    shape = tuple(corner[0]._spec.shape)
    index = expand(reshape(place, (n, 1, -1)), (n, c, math.prod(shape[1:])))
    values = reshape(flat.gather(2, index), (n, c, *shape[1:]))  # type: ignore[attr-defined]
    return mul(values, unsqueeze(valid, 1).to(flat._spec.dtype))  # type: ignore[attr-defined]


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Weights of the pixels at -1, 0, 1, 2 for an offset t (Keys, 1981, a = -0.75)."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return add(mul(mul(sub(mul(x, a + 2), a + 3), x), x), 1)

    def far(x: Tensor) -> Tensor:
        return sub(mul(add(mul(sub(mul(x, a), 5 * a), x), 8 * a), x), 4 * a)

    return [far(add(t, 1)), near(t), near(sub(1, t)), far(sub(2, t))]


def _sample(image: Tensor, grid: Tensor, mode: str, padding: str, align: bool) -> Tensor:
    n, c, *sizes = image._spec.shape
    flat = reshape(image, (n, c, -1))
    last = grid.ndim - 1
    points = []
    for i, size in enumerate(sizes):
        x = select(grid, last, len(sizes) - 1 - i)  # x comes first in the grid, last in the image
        x = mul(add(x, 1), (size - 1) / 2) if align else mul(sub(mul(add(x, 1), size), 1), 0.5)
        points.append(x if mode == "bicubic" else _inside(x, size, padding, align))
    if mode == "nearest":
        return _pick(flat, [x.detach().round() for x in points], sizes)  # type: ignore[attr-defined]
    corners = [x.detach().floor() for x in points]  # type: ignore[attr-defined]
    offsets = [sub(x, x0) for x, x0 in zip(points, corners, strict=True)]
    if mode == "bicubic":
        steps: tuple[int, ...] = (-1, 0, 1, 2)
        weights = [_cubic_weights(t) for t in offsets]
    else:
        steps = (0, 1)
        weights = [[sub(1, t), t] for t in offsets]
    total: Any = None
    for choice in itertools.product(range(len(steps)), repeat=len(sizes)):
        corner, weight = [], None
        for k, x0, size, w in zip(choice, corners, sizes, weights, strict=True):
            x = add(x0, steps[k])
            corner.append(_inside(x, size, padding, align) if mode == "bicubic" else x)
            weight = w[k] if weight is None else mul(weight, w[k])
        assert weight is not None
        part = mul(_pick(flat, corner, sizes), unsqueeze(weight, 1))
        total = part if total is None else add(total, part)
    return total


GRID_SAMPLER = {
    n: Op(f"grid_sampler_{n}d", None, body=_sample, vjp=derived, save=(0, 1),
          grad_name=f"GridSampler{n}DBackward0")
    for n in (2, 3)
}  # fmt: skip


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """Values of images or volumes at positions in [-1, 1] (Jaderberg et al., 2015).

    Shapes: input (n, c, h, w) and grid (n, h', w', 2), or input (n, c, d, h, w) and grid
    (n, d', h', w', 3); the last dimension of the grid is x, y(, z).

    >>> import cresset as torch
    >>> image = torch.tensor([[[[1., 2.], [3., 4.]]]])
    >>> torch.nn.functional.grid_sample(image, torch.zeros(1, 1, 1, 2), align_corners=True)
    tensor([[[[2.5000]]]])
    """
    if mode not in _MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        _warn_default()
    _check_grid(input, grid, mode)
    params = (mode, padding_mode, bool(align_corners))
    return apply(GRID_SAMPLER[input.ndim - 2], (input, grid), params)


def _warn_default() -> None:
    warnings.warn(
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
        "1.3.0. Please specify align_corners=True if the old behavior is desired. See the "
        "documentation of grid_sample for details.",
        stacklevel=3,
    )


def _check_grid(x: Tensor, grid: Tensor, mode: str) -> None:
    shape, points = list(x.shape), list(grid.shape)
    if shape[0] != points[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {shape} and grid with sizes {points}"
        )
    if points[-1] != x.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {x.ndim - 2} in last dimension, but got "
            f"grid with sizes {points}"
        )
    if x.ndim not in (4, 5) or grid.ndim != x.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {shape} and grid with sizes {points}"
        )
    if grid.dtype is not x.dtype:
        raise RuntimeError(
            f"expected scalar type {scalar_name(x.dtype)} but found {scalar_name(grid.dtype)}"
        )
    if x.ndim == 5 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid for ``grid_sample`` that samples through affine maps.

    Shapes: theta (n, 2, 3) and size (n, c, h, w), result (n, h, w, 2); or theta (n, 3, 4) and size
    (n, c, d, h, w), result (n, d, h, w, 3).

    >>> import cresset as torch
    >>> theta = torch.tensor([[[1., 0., 0.], [0., 1., 0.]]])
    >>> torch.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    sizes = [int(s) for s in size]
    if align_corners is None:
        _warn_default()
    if not theta.is_floating_point():  # type: ignore[attr-defined]
        raise ValueError("Expected theta to have floating point type, but got " + str(theta.dtype))
    n = len(sizes) - 2
    if n not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    if theta.ndim != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got "
            f"{theta.shape}."
        )
    if min(sizes) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    axes = [_centres(m, bool(align_corners)) for m in sizes[2:]]
    mesh = np.meshgrid(*axes, indexing="ij")
    rows = np.stack([*reversed(mesh), np.ones_like(mesh[0])], -1).reshape(1, -1, n + 1)
    base = from_numpy(rows).to(device=theta.device, dtype=theta.dtype)  # type: ignore[attr-defined]
    base = expand(base, (sizes[0], *base.shape[1:]))
    return apply(AFFINE_GRID, (theta, base), ((sizes[0], *sizes[2:], n),))


def _affine_body(theta: Tensor, base: Tensor, shape: tuple[int, ...]) -> Tensor:
    return reshape(matmul(base, transpose(theta, 1, 2)), shape)


AFFINE_GRID = Op("affine_grid_generator", None, body=_affine_body, vjp=derived, save=(0, 1))


def _centres(n: int, align: bool) -> np.ndarray:
    """Positions of ``n`` pixels in [-1, 1]: of their centres, or from corner to corner."""
    if n <= 1:
        return np.zeros(n)
    line = np.linspace(-1.0, 1.0, n)
    return line if align else line * ((n - 1) / n)


TORCH = ()
