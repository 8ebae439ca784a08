"""Average pooling, and the power-average pooling that follows from it."""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import scalar_name
from cresset.ops.pooling import (
    PLANES,
    check_numbers,
    check_window,
    each,
    is_single,
    pad_to,
    pooled_size,
    reach,
    windows,
)
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.single import single


def _avg_infer(
    x: Spec, kernel: Any, stride: Any, pad: Any, ceil: bool, count_pad: bool, divisor: Any
) -> Result:
    check_numbers(kernel, stride, pad, (), f"avg_pool{len(kernel)}d")
    out = tuple(
        pooled_size(n, k, s, p, 1, ceil)
        for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)
    )
    check_window(x, kernel, out, f"avg_pool{len(kernel)}d")
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    if x.dtype.category < dtypes.FLOAT and x.dtype is not dtypes.int64:
        raise NotImplementedError(
            f"\"avg_pool{len(kernel)}d\" not implemented for '{scalar_name(x.dtype)}'"
        )
    return Result((dense(x.dtype, (*x.shape[:2], *out), x.device),))


def _divisors(
    xp: Any, spatial: Any, out: Any, kernel: Any, stride: Any, pad: Any, count_pad: bool,
    divisor: Any, dtype: Any,
) -> Any:  # fmt: skip
    """How many cells each window averages over, as an array of the output's spatial shape."""
    if divisor is not None:
        return xp.full(out, divisor, dtype)
    result = xp.ones((), dtype)
    for i, (n, m, k, s, p) in enumerate(zip(spatial, out, kernel, stride, pad, strict=True)):
        start = xp.arange(m) * s - p
        end = xp.minimum(start + k, n + p)
        if not count_pad:
            start, end = xp.maximum(start, 0), xp.minimum(end, n)
        counts = (end - start).astype(dtype)
        result = result[..., None] * counts if i else counts
    return result


def _avg_kernel(
    xp: Any, x: Any, kernel: Any, stride: Any, pad: Any, ceil: bool, count_pad: bool, divisor: Any
) -> Any:
    out = tuple(
        pooled_size(n, k, s, p, 1, ceil)
        for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)
    )
    ones = (1,) * len(kernel)
    padded = pad_to(xp, x, pad, reach(out, kernel, stride, ones), 0)
    total = xp.zeros((*x.shape[:2], *out), x.dtype)
    for place, _ in windows(kernel, stride, ones, out):
        total += padded[place]
    counts = _divisors(xp, x.shape[2:], out, kernel, stride, pad, count_pad, divisor, x.dtype)
    return total / counts if x.dtype.kind == "f" else total // counts


def _avg_backward_kernel(
    xp: Any, g: Any, spatial: Any, kernel: Any, stride: Any, pad: Any, ceil: bool, count_pad: bool,
    divisor: Any,
) -> Any:  # fmt: skip
    out = g.shape[2:]
    ones = (1,) * len(kernel)
    counts = _divisors(xp, spatial, out, kernel, stride, pad, count_pad, divisor, g.dtype)
    share = g / counts
    room = [
        max(r, p + n)
        for r, p, n in zip(reach(out, kernel, stride, ones), pad, spatial, strict=True)
    ]
    result = xp.zeros((*g.shape[:2], *room), g.dtype)
    for place, _ in windows(kernel, stride, ones, out):
        result[place] += share
    inside = tuple(slice(p, p + n) for p, n in zip(pad, spatial, strict=True))
    return result[PLANES + tuple(inside)]


AVG_POOL_BACKWARD = Op(
    "avg_pool_backward",
    lambda g, spatial, *rest: dense(g.dtype, (*g.shape[:2], *spatial), g.device),
    _avg_backward_kernel,
    vjp=(lambda n, gg: apply(_avg_op(gg), (gg,), n.call.params[1:]),),
    grad_name="AvgPool2DBackwardBackward0",
)


def _avg_op(x: Tensor) -> Op:
    return AVG_POOL[len(x._spec.shape) - 2]


AVG_POOL = {
    n: Op(
        f"avg_pool{n}d", _avg_infer, _avg_kernel, family="pool",
        vjp=(
            lambda n, g: apply(
                AVG_POOL_BACKWARD, (g,), (tuple(n.call.specs[0].shape[2:]), *n.call.params)
            ),
        ),
        grad_name=name,
    )
    for n, name in ((1, "SqueezeBackward1"), (2, "AvgPool2DBackward0"), (3, "AvgPool3DBackward0"))
}  # fmt: skip


AVG_POOL_SINGLE = {n: single(op) for n, op in AVG_POOL.items()}


def _avg_pool(
    n: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: Any = None,
) -> Tensor:  # fmt: skip
    name = f"avg_pool{n}d"
    kernel = each(kernel_size, n, "kernel_size", name)
    step = kernel if stride is None or stride == [] else each(stride, n, "stride", name)
    return apply(
        (AVG_POOL_SINGLE if is_single(n, x, name) else AVG_POOL)[n], (x,),
        (kernel, step, each(padding, n, "padding", name), bool(ceil_mode),
         bool(count_include_pad), divisor_override),
    )  # fmt: skip


def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:  # fmt: skip
    """The mean of each window along one dimension."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """The mean of each window of an image.

    >>> import cresset as torch
    >>> torch.nn.functional.avg_pool2d(torch.arange(16.).view(1, 1, 4, 4), 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)  # fmt: skip


def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """The mean of each window of a volume."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)  # fmt: skip


# -- power averages --------------------------------------------------------------------------------


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: int, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:  # fmt: skip
    """``(sum of x ** p over each window) ** (1 / p)``."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:  # fmt: skip
    """``(sum of x ** p over each window) ** (1 / p)``."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:  # fmt: skip
    """``(sum of x ** p over each window) ** (1 / p)``."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(n: int, x: Tensor, p: float, kernel_size: Any, stride: Any, ceil: bool) -> Tensor:
    from cresset.ops.pointwise import mul, pow

    count = math.prod(each(kernel_size, n, "kernel_size", "lp_pool"))
    mean = _avg_pool(n, pow(x, p), kernel_size, stride, 0, ceil, True)
    return pow(mul(mean.sign() * mean.abs().relu(), count), 1.0 / p)  # type: ignore[attr-defined]


TORCH = ("avg_pool1d",)
