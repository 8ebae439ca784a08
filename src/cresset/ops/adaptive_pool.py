"""Adaptive pooling: windows chosen so that the output has a given size."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import dense
from cresset.ops.inplace import scalar_name
from cresset.ops.max_pool import max_grad
from cresset.ops.pooling import PLANES, is_single
from cresset.ops.reduce import mean
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.single import single


def _spans(n: int, m: int) -> list[tuple[int, int]]:
    """The window of each of ``m`` outputs over ``n`` inputs."""
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _adaptive_matrix(n: int, m: int) -> np.ndarray:
    matrix = np.zeros((m, n))
    for i, (a, b) in enumerate(_spans(n, m)):
        matrix[i, a:b] = 1 / (b - a)
    return matrix


def _adaptive_avg_kernel(xp: Any, x: Any, out: tuple[int, ...]) -> Any:
    for i, m in enumerate(out):
        matrix = xp.asarray(_adaptive_matrix(x.shape[2 + i], m), x.dtype)
        x = xp.moveaxis(xp.tensordot(x, matrix, ([2 + i], [1])), -1, 2 + i)
    return x.copy() if not out else x


def _adaptive_avg_backward_kernel(xp: Any, g: Any, spatial: tuple[int, ...]) -> Any:
    for i, n in enumerate(spatial):
        matrix = xp.asarray(_adaptive_matrix(n, g.shape[2 + i]), g.dtype)
        g = xp.moveaxis(xp.tensordot(g, matrix, ([2 + i], [0])), -1, 2 + i)
    return g


ADAPTIVE_AVG_BACKWARD = Op(
    "adaptive_avg_pool_backward",
    lambda g, spatial: dense(g.dtype, (*g.shape[:2], *spatial), g.device),
    _adaptive_avg_backward_kernel,
    vjp=(
        lambda n, gg: apply(ADAPTIVE_AVG[gg.ndim - 2], (gg,), (tuple(n.call.specs[0].shape[2:]),)),
    ),
)
ADAPTIVE_AVG = {
    n: Op(
        "adaptive_avg_pool",
        lambda x, out: dense(x.dtype, (*x.shape[:2], *out), x.device),
        _adaptive_avg_kernel,
        vjp=(lambda n, g: apply(ADAPTIVE_AVG_BACKWARD, (g,), (tuple(n.call.specs[0].shape[2:]),)),),
        grad_name=f"AdaptiveAvgPool{n}DBackward0" if n > 1 else "SqueezeBackward1",
        family="pool",
    )
    for n in (1, 2, 3)
}
ADAPTIVE_AVG_SINGLE = {n: single(op) for n, op in ADAPTIVE_AVG.items()}


def _adaptive_size(x: Tensor, output_size: Any, n: int, pool: str) -> tuple[int, ...]:
    wanted = (output_size,) * n if not isinstance(output_size, (tuple, list)) else output_size
    if len(wanted) != n:
        if n == 1:
            raise RuntimeError(
                f"{pool}() argument 'output_size' should contain one int (got {len(wanted)})"
            )
        inner = "(): internal error: output_size.size()" if "max" in pool else ": output_size"
        raise RuntimeError(f"{pool}{inner} must be {n}")
    sizes = tuple(
        size if want is None else int(want)
        for size, want in zip(x._spec.shape[-n:], wanted, strict=True)
    )
    if min(sizes) < 0:
        shown = "{" + ", ".join(map(str, sizes)) + "}"
        raise RuntimeError(
            f"{pool}: elements of output_size must be greater than or equal to 0 but received "
            f"{shown}"
        )
    return sizes


def _adaptive_avg(n: int, x: Tensor, output_size: Any) -> Tensor:
    alone = is_single(n, x, f"adaptive_avg_pool{n}d")
    out = _adaptive_size(x, output_size, n, f"adaptive_avg_pool{n}d")
    if x._spec.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(
            f"\"adaptive_avg_pool{max(n, 2)}d\" not implemented for '{scalar_name(x._spec.dtype)}'"
        )
    if out == (1,) * n and n > 1:
        return mean(x, tuple(range(-1, -1 - n, -1)), True)
    return apply((ADAPTIVE_AVG_SINGLE if alone else ADAPTIVE_AVG)[n], (x,), (out,))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen to give ``output_size`` values."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen to give an image of ``output_size`` (None keeps a size).

    >>> import cresset as torch
    >>> torch.nn.functional.adaptive_avg_pool2d(torch.arange(16.).view(1, 1, 4, 4), 1)
    tensor([[[[7.5000]]]])
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows chosen to give a volume of ``output_size``."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max_kernel(xp: Any, x: Any, out: tuple[int, ...]) -> Any:
    n, c = x.shape[:2]
    spatial = x.shape[2:]
    values = xp.empty((n, c, *out), x.dtype)
    where = xp.empty((n, c, *out), xp.int64)
    plane = xp.arange(math.prod(spatial)).reshape(spatial)
    spans = [_spans(a, b) for a, b in zip(spatial, out, strict=True)]
    for cell in itertools.product(*(range(m) for m in out)):
        window = tuple(slice(*spans[i][j]) for i, j in enumerate(cell))
        part = x[PLANES + tuple(window)].reshape(n, c, -1)
        best = part.argmax(-1)
        if x.dtype.kind == "f":
            # Of several NaN PyTorch takes the last.
            nan = xp.isnan(part)
            last = part.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
            best = xp.where(nan.any(-1), last, best)
        values[PLANES + tuple(cell)] = xp.take_along_axis(part, best[..., None], -1)[..., 0]
        where[PLANES + tuple(cell)] = plane[window].reshape(-1)[best]
    return values, where


ADAPTIVE_MAX = {
    n: Op(
        "adaptive_max_pool",
        lambda x, out: Result(
            (
                dense(x.dtype, (*x.shape[:2], *out), x.device),
                dense(dtypes.int64, (*x.shape[:2], *out), x.device),
            )
        ),
        _adaptive_max_kernel,
        vjp=max_grad,
        save=(-2,),
        grad_name=f"AdaptiveMaxPool{n}DBackward0" if n > 1 else "SqueezeBackward1",
        family="pool",
    )
    for n in (1, 2, 3)
}
ADAPTIVE_MAX_SINGLE = {n: single(op) for n, op in ADAPTIVE_MAX.items()}


def _adaptive_max_function(n: int) -> Any:
    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        name = f"adaptive_max_pool{n}d"
        op = (ADAPTIVE_MAX_SINGLE if is_single(n, input, name) else ADAPTIVE_MAX)[n]
        out = _adaptive_size(input, output_size, n, name)
        for d in range(input.ndim - n, input.ndim):
            if not input._spec.shape[d]:
                raise RuntimeError(
                    f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                    f"input has sizes {list(input.shape)} with dimension {d} being empty"
                )
        both = apply(op, (input,), (out,))
        return both if return_indices else both[0]

    function.__name__ = function.__qualname__ = f"adaptive_max_pool{n}d"
    function.__doc__ = "Maxima over windows chosen to give ``output_size`` values per dimension."
    return function


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_max_function(n) for n in (1, 2, 3)
)


TORCH = ("adaptive_avg_pool1d", "adaptive_max_pool1d")
