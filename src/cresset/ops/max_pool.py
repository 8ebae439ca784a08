"""Max pooling, and its inverse.

Max pooling has two outputs, the values and the flat position of each maximum in its plane; the
gradient is scattered to those positions.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.elementwise import not_a_tensor
from cresset.ops.inplace import scalar_name
from cresset.ops.pooling import (
    check_numbers,
    check_window,
    each,
    is_single,
    pad_to,
    pooled_size,
    reach,
    windows,
)
from cresset.ops.registry import Op, Result, Tensor, apply, hashable
from cresset.ops.single import single


def _max_infer(x: Spec, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: bool) -> Result:
    spatial = x.shape[2:]
    check_numbers(kernel, stride, pad, dilation, f"max_pool{len(kernel)}d")
    out = tuple(
        pooled_size(n, k, s, p, d, ceil)
        for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    check_window(x, kernel, out, f"max_pool{len(kernel)}d")
    shape = (*x.shape[:2], *out)
    if x.dtype.is_complex or x.dtype is dtypes.bool_:
        raise NotImplementedError(
            f"\"max_pool{len(kernel)}d\" not implemented for '{scalar_name(x.dtype)}'"
        )
    return Result((dense(x.dtype, shape, x.device), dense(dtypes.int64, shape, x.device)))


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _max_kernel(
    xp: Any, x: Any, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: bool
) -> Any:
    spatial = x.shape[2:]
    out = tuple(
        pooled_size(n, k, s, p, d, ceil)
        for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    padded = pad_to(xp, x, pad, reach(out, kernel, stride, dilation), _lowest(x.dtype))
    best = where = None
    number = -1
    for place, _ in windows(kernel, stride, dilation, out):
        number += 1
        values = padded[place]
        if best is None:
            best = values.copy()
            where = xp.zeros(best.shape, xp.int16)
            continue
        better = (values > best) | (values != values)
        xp.copyto(best, values, where=better)
        xp.copyto(where, number, where=better)
    return best, _flat_positions(xp, where, spatial, kernel, stride, pad, dilation)


def _flat_positions(
    xp: Any, where: Any, spatial: Any, kernel: Any, stride: Any, pad: Any, dilation: Any
) -> Any:
    """Window-relative positions as flat indices into each input plane."""
    n = len(kernel)
    flat = xp.zeros(where.shape, xp.int64)
    rest = where.astype(xp.int64)
    step = math.prod(kernel)
    for i in range(n):
        step //= kernel[i]
        offset = rest // step
        rest = rest % step
        origin = xp.arange(where.shape[2 + i]) * stride[i] - pad[i]
        origin = origin.reshape((-1,) + (1,) * (n - 1 - i))
        position = origin + offset * dilation[i]
        # A window that starts in the padding and never found better points at its first real cell.
        flat = flat * spatial[i] + xp.maximum(position, 0)
    return flat


def _max_backward_kernel(xp: Any, g: Any, indices: Any, shape: Any) -> Any:
    planes = math.prod(shape[:2])
    size = math.prod(shape[2:])
    where = indices.reshape(planes, -1) + xp.arange(planes)[:, None] * size
    summed = xp.bincount(where.reshape(-1), g.reshape(-1), planes * size)
    return summed.astype(g.dtype).reshape(shape)


def _take_kernel(xp: Any, x: Any, indices: Any) -> Any:
    planes = math.prod(x.shape[:2])
    flat = xp.take_along_axis(x.reshape(planes, -1), indices.reshape(planes, -1), 1)
    return flat.reshape(indices.shape)


#: Picks elements of each plane by flat index: the derivative of max pooling's backward.
TAKE_PLANES = Op(
    "max_pool_take", lambda x, i: dense(x.dtype, i.shape, x.device), _take_kernel, save=(1,),
    vjp=(
        lambda n, g, i: apply(MAX_POOL_BACKWARD, (g, i), (tuple(n.call.specs[0].shape),)),
        None,
    ),
)  # fmt: skip


def _unpool_kernel(xp: Any, x: Any, indices: Any, shape: Any) -> Any:
    size = math.prod(shape[2:])
    wrong = (indices < 0) | (indices >= size)
    if wrong.any():
        volume = "x".join(map(str, shape[2:] if len(shape) > 3 else (*shape[2:], 1)))
        raise RuntimeError(
            f"Found an invalid max index: {int(indices[wrong][0])} (output volumes are of size "
            f"{volume})"
        )
    planes = math.prod(shape[:2])
    result = xp.zeros((planes, size), x.dtype)
    xp.put_along_axis(result, indices.reshape(planes, -1), x.reshape(planes, -1), 1)
    return result.reshape(shape)


def _scatter_op(grad_name: str, kernel: Any, name: str) -> Op:
    return Op(
        name, lambda g, i, shape: dense(g.dtype, shape, g.device),
        kernel, save=(1,), vjp=(lambda n, gg, i: apply(TAKE_PLANES, (gg, i)), None),
        checks_values=kernel is _unpool_kernel, grad_name=grad_name,
    )  # fmt: skip


MAX_POOL_BACKWARD = _scatter_op(
    "MaxPool2DWithIndicesBackwardBackward0", _max_backward_kernel, "max_pool_backward"
)
#: Unpooling puts values where a gradient would be added; by how many dimensions it has.
MAX_UNPOOL = {
    1: _scatter_op("SqueezeBackward1", _unpool_kernel, "max_unpool"),
    2: _scatter_op("MaxUnpool2DBackward0", _unpool_kernel, "max_unpool"),
    3: _scatter_op("MaxUnpool3DBackward0", _unpool_kernel, "max_unpool"),
}
MAX_UNPOOL_SINGLE = {n: single(op, 2) for n, op in MAX_UNPOOL.items()}


def _max_op(n: int, grad_name: str) -> Op:
    return Op(
        f"max_pool{n}d", _max_infer, _max_kernel, vjp=max_grad, save=(-2,),
        grad_name=grad_name, family="pool",
    )  # fmt: skip


def max_grad(n: Any, g: Tensor, g_indices: Any, indices: Tensor) -> tuple:
    return (apply(MAX_POOL_BACKWARD, (g, indices), (tuple(n.call.specs[0].shape),)),)


MAX_POOL = {
    1: _max_op(1, "SqueezeBackward1"),
    2: _max_op(2, "MaxPool2DWithIndicesBackward0"),
    3: _max_op(3, "MaxPool3DWithIndicesBackward0"),
}
MAX_POOL_SINGLE = {n: single(op) for n, op in MAX_POOL.items()}


@functools.lru_cache(1024, typed=True)
def _max_arguments(
    n: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any
) -> tuple:
    """The static arguments as the op takes them; the same object for the same arguments."""
    name = f"max_pool{n}d"
    sizes = each(kernel, n, "kernel_size", name)
    step = sizes if stride is None or stride == () else each(stride, n, "stride", name)
    pads, spread = each(padding, n, "padding", name), each(dilation, n, "dilation", name)
    return sizes, step, pads, spread, bool(ceil)


def _max_pool(
    n: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    try:
        params = _max_arguments(n, kernel_size, stride, padding, dilation, ceil_mode)
    except TypeError:  # a list
        sizes = map(hashable, (kernel_size, stride, padding, dilation))
        params = _max_arguments(n, *sizes, ceil_mode)
    try:
        ndim = len(x._spec.shape)
    except AttributeError:
        raise not_a_tensor(f"max_pool{n}d", x) from None
    if ndim == n + 2:
        return apply(MAX_POOL[n], (x,), params)
    is_single(n, x, f"max_pool{n}d")
    return apply(MAX_POOL_SINGLE[n], (x,), params)


def _max_pool_function(n: int, doc: str) -> Any:
    def function(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        both = _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode)
        return both if return_indices else both[0]

    function.__name__ = function.__qualname__ = f"max_pool{n}d"
    function.__doc__ = doc
    return function


max_pool1d = _max_pool_function(1, "The largest value in each window along one dimension.")
max_pool2d = _max_pool_function(
    2,
    """The largest value in each window of an image; ``stride`` defaults to the window's size.

    >>> import cresset as torch
    >>> torch.nn.functional.max_pool2d(torch.arange(16.).view(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """,
)
max_pool3d = _max_pool_function(3, "The largest value in each window of a volume.")


def _unpooled_size(
    have: Any, kernel: Any, stride: Any, pad: Any, output_size: Any
) -> tuple[int, ...]:
    """The spatial size after unpooling: the given one, if it can have been pooled to ``have``."""
    n = len(kernel)
    usual = tuple(
        (m - 1) * s - 2 * p + k for m, s, p, k in zip(have, stride, pad, kernel, strict=True)
    )
    if output_size is None:
        return usual
    given = tuple(output_size)
    if len(given) == n + 2:
        given = given[2:]
    if len(given) != n:
        raise ValueError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a "
            f"length of '{len(given)}'"
        )
    for d, (size, usual_size, step) in enumerate(zip(given, usual, stride, strict=True)):
        low, high = usual_size - step, usual_size + step
        if not low < size < high:
            raise ValueError(
                f'invalid output_size "{given}" (dim {d} must be between {low} and {high})'
            )
    return given


def _check_indices(n: int, x: Tensor, indices: Tensor) -> None:
    if indices._spec.dtype is not dtypes.int64:
        raise RuntimeError(
            f"elements in indices should be type int64 but got: {scalar_name(indices._spec.dtype)}"
        )
    if indices.shape != x.shape:
        row = [1] if n == 1 else []
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({[*x.shape, *row]}) but got indices tensor with shape: {[*indices.shape, *row]}"
        )


def _unpool(n: int, x: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any,
            output_size: Any) -> Tensor:  # fmt: skip
    name = f"max_unpool{n}d"
    kernel = each(kernel_size, n, "kernel_size", name)
    step = kernel if stride is None else each(stride, n, "stride", name)
    pads = each(padding, n, "padding", name)
    alone = is_single(n, x, name)
    spatial = _unpooled_size(x.shape[-n:], kernel, step, pads, output_size)
    _check_indices(n, x, indices)
    lead = (1, x.shape[0]) if alone else x.shape[:2]
    op = (MAX_UNPOOL_SINGLE if alone else MAX_UNPOOL)[n]
    return apply(op, (x, indices), ((*lead, *spatial),))


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Put values back where ``max_pool1d`` found them; zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Put values back where ``max_pool2d`` found them; zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:  # fmt: skip
    """Put values back where ``max_pool3d`` found them; zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


TORCH = ("max_pool1d", "max_pool2d", "max_pool3d")
