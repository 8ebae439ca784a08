"""Pooling: maxima and averages over windows, plain and adaptive.

Max pooling has two outputs, the values and the flat position of each maximum in its plane; the
gradient is scattered to those positions. Reference kernels loop over the few positions inside a
window and work on all windows at once.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.elementwise import not_a_tensor
from cresset.ops.inplace import scalar_name
from cresset.ops.reduce import mean
from cresset.ops.registry import Op, Result, Tensor, apply, hashable
from cresset.ops.single import single

#: Indexes all samples and channels; spatial slices are added to it.
_PLANES: tuple = (slice(None), slice(None))


def _each(value: Any, n: int, name: str, pool: str) -> tuple[int, ...]:
    if value.__class__ is int:
        return (value,) * n
    values = tuple(value)
    if len(values) == 1:
        return values * n
    if len(values) != n:
        count = {1: "one", 2: "two", 3: "three"}[n]
        raise RuntimeError(
            f"{pool}: {name} must either be a single int, or a tuple of {count} ints"
        )
    return values


def _pooled_size(n: int, k: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    reach = n + 2 * pad - dilation * (k - 1) - 1
    size = (-(-reach // stride) if ceil else reach // stride) + 1
    if ceil and (size - 1) * stride >= n + pad:
        size -= 1  # the last window must start inside the input or its left padding
    return size


def _check_numbers(kernel: Any, stride: Any, pad: Any, dilation: Any, pool: str) -> None:
    """Checks that come before any size is computed."""
    if pool == "max_pool1d":
        for name, (value,) in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
            if value <= 0:
                raise RuntimeError(
                    f"max_pool1d() {name} must be greater than zero, but got {value}"
                )
        if pad[0] < 0:
            raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {pad[0]}")
        if pad[0] > kernel[0] // 2:
            raise RuntimeError(
                "max_pool1d() padding should be at most half of kernel size, but got "
                f"padding={pad[0]} and kernel_size={kernel[0]}"
            )
        return
    axes = "THW"[-max(len(kernel), 2) :]
    for name, letter, values in (("stride", "d", stride), ("kernel size", "k", kernel)):
        if 0 in stride:
            raise RuntimeError("stride should not be zero")
        if min(values) <= 0:
            shown = " ".join(f"{letter}{a}: {v}" for a, v in zip(axes[-len(values) :], values))
            raise RuntimeError(f"{name} should be greater than zero, but got {shown}")
    for p, k in zip(pad, kernel, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > k // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation=1"
            )


def _check_window(x: Spec, kernel: Any, out: Any, pool: str) -> None:
    n = len(kernel)
    if any(m == 0 for m in x.shape[1:]):
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got:{list(x.shape)}"
        )
    if all(o >= 1 for o in out):
        return
    if pool == "max_pool1d":
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
    if pool == "avg_pool3d":
        have = " ".join(f"{a}: {m}" for a, m in zip("THW", x.shape[2:], strict=True))
        want = " ".join(f"k{a}: {k}" for a, k in zip("THW", kernel, strict=True))
        raise RuntimeError(f"input image ({have}) smaller than kernel size ({want})")
    row = (1,) if n == 1 else ()  # PyTorch pools one dimension as an image of one row
    sizes = "x".join(map(str, (x.shape[1], *row, *x.shape[2:])))
    outs = "x".join(map(str, (x.shape[1], *row, *out)))
    raise RuntimeError(
        f"Given input size: ({sizes}). Calculated output size: ({outs}). Output size is too small"
    )


def _windows(kernel: Any, stride: Any, dilation: Any, out: Any) -> Any:
    """Per position in the window: the slices that pick it for all windows of a padded input."""
    for k in itertools.product(*map(range, kernel)):
        yield (Ellipsis, *(
            slice(i * d, i * d + s * (m - 1) + 1, s)
            for i, d, s, m in zip(k, dilation, stride, out, strict=True)
        )), k  # fmt: skip


# -- max -------------------------------------------------------------------------------------------


def _max_infer(x: Spec, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: bool) -> Result:
    spatial = x.shape[2:]
    _check_numbers(kernel, stride, pad, dilation, f"max_pool{len(kernel)}d")
    out = tuple(
        _pooled_size(n, k, s, p, d, ceil)
        for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    _check_window(x, kernel, out, f"max_pool{len(kernel)}d")
    shape = (*x.shape[:2], *out)
    if x.dtype.is_complex or x.dtype is dtypes.bool_:
        raise NotImplementedError(
            f"\"max_pool{len(kernel)}d\" not implemented for '{scalar_name(x.dtype)}'"
        )
    return Result((dense(x.dtype, shape, x.device), dense(dtypes.int64, shape, x.device)))


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _room(out: Any, kernel: Any, stride: Any, dilation: Any) -> list[int]:
    """How much padded input the windows reach over."""
    return [
        s * (m - 1) + d * (k - 1) + 1
        for m, k, s, d in zip(out, kernel, stride, dilation, strict=True)
    ]


def _pad_to(xp: Any, x: Any, pad: Any, room: Any, value: Any) -> Any:
    """Pad left by ``pad`` and right so far that every window has a value."""
    spatial = x.shape[2:]
    right = [max(0, r - p - n) for r, p, n in zip(room, pad, spatial, strict=True)]
    if not any(pad) and not any(right):
        return x
    width = ((0, 0), (0, 0), *zip(pad, right, strict=True))
    return xp.pad(x, width, constant_values=value)


def _max_kernel(
    xp: Any, x: Any, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: bool
) -> Any:
    spatial = x.shape[2:]
    out = tuple(
        _pooled_size(n, k, s, p, d, ceil)
        for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    padded = _pad_to(xp, x, pad, _room(out, kernel, stride, dilation), _lowest(x.dtype))
    best = where = None
    number = -1
    for place, _ in _windows(kernel, stride, dilation, out):
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
        f"max_pool{n}d", _max_infer, _max_kernel, vjp=_max_grad_n, save=(-2,),
        grad_name=grad_name, family="pool",
    )  # fmt: skip


def _max_grad_n(n: Any, g: Tensor, g_indices: Any, indices: Tensor) -> tuple:
    return (apply(MAX_POOL_BACKWARD, (g, indices), (tuple(n.call.specs[0].shape),)),)


MAX_POOL = {
    1: _max_op(1, "SqueezeBackward1"),
    2: _max_op(2, "MaxPool2DWithIndicesBackward0"),
    3: _max_op(3, "MaxPool3DWithIndicesBackward0"),
}
MAX_POOL_SINGLE = {n: single(op) for n, op in MAX_POOL.items()}


def _is_single(n: int, x: Tensor, pool: str) -> bool:
    """Whether ``x`` has no batch dimension; RuntimeError if it fits neither way."""
    ndim = len(x._spec.shape)
    if ndim == n + 2:
        return False
    if ndim == n + 1:
        return True
    both = f"{n + 1}D or {n + 2}D"
    if pool == "max_pool1d":
        raise RuntimeError(
            f"max_pool1d: Expected {both} (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got:{list(x.shape)}"
        )
    if n == 1 and "unpool" not in pool:
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {ndim}-dimensional tensor for argument #1 'self' "
            f"(while checking arguments for {pool})"
        )
    if pool.startswith("adaptive"):
        after = "" if "avg" in pool else ":"
        raise RuntimeError(f"{pool}(): Expected {both} tensor, but got{after} {list(x.shape)}")
    if "unpool" in pool:
        raise RuntimeError(
            f"Input to {pool.replace('pool', 'pooling')} should be a {n + 1}d or {n + 2}d Tensor, "
            f"but got a tensor with {ndim} dimensions."
        )
    raise RuntimeError(f"non-empty {both} (batch mode) tensor expected for input")


@functools.lru_cache(1024, typed=True)
def _max_arguments(
    n: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any
) -> tuple:
    """The static arguments as the op takes them; the same object for the same arguments."""
    name = f"max_pool{n}d"
    sizes = _each(kernel, n, "kernel_size", name)
    step = sizes if stride is None or stride == () else _each(stride, n, "stride", name)
    pads, spread = _each(padding, n, "padding", name), _each(dilation, n, "dilation", name)
    return sizes, step, pads, spread, bool(ceil)


def _max_pool(
    n: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    try:
        params = _max_arguments(n, kernel_size, stride, padding, dilation, ceil_mode)
    except TypeError:  # a list
        windows = map(hashable, (kernel_size, stride, padding, dilation))
        params = _max_arguments(n, *windows, ceil_mode)
    try:
        ndim = len(x._spec.shape)
    except AttributeError:
        raise not_a_tensor(f"max_pool{n}d", x) from None
    if ndim == n + 2:
        return apply(MAX_POOL[n], (x,), params)
    _is_single(n, x, f"max_pool{n}d")
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
    kernel = _each(kernel_size, n, "kernel_size", name)
    step = kernel if stride is None else _each(stride, n, "stride", name)
    pads = _each(padding, n, "padding", name)
    alone = _is_single(n, x, name)
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


# -- average ---------------------------------------------------------------------------------------


def _avg_infer(
    x: Spec, kernel: Any, stride: Any, pad: Any, ceil: bool, count_pad: bool, divisor: Any
) -> Result:
    _check_numbers(kernel, stride, pad, (), f"avg_pool{len(kernel)}d")
    out = tuple(
        _pooled_size(n, k, s, p, 1, ceil)
        for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)
    )
    _check_window(x, kernel, out, f"avg_pool{len(kernel)}d")
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
        _pooled_size(n, k, s, p, 1, ceil)
        for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)
    )
    ones = (1,) * len(kernel)
    padded = _pad_to(xp, x, pad, _room(out, kernel, stride, ones), 0)
    total = xp.zeros((*x.shape[:2], *out), x.dtype)
    for place, _ in _windows(kernel, stride, ones, out):
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
        for r, p, n in zip(_room(out, kernel, stride, ones), pad, spatial, strict=True)
    ]
    result = xp.zeros((*g.shape[:2], *room), g.dtype)
    for place, _ in _windows(kernel, stride, ones, out):
        result[place] += share
    inside = tuple(slice(p, p + n) for p, n in zip(pad, spatial, strict=True))
    return result[_PLANES + tuple(inside)]


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
    kernel = _each(kernel_size, n, "kernel_size", name)
    step = kernel if stride is None or stride == [] else _each(stride, n, "stride", name)
    return apply(
        (AVG_POOL_SINGLE if _is_single(n, x, name) else AVG_POOL)[n], (x,),
        (kernel, step, _each(padding, n, "padding", name), bool(ceil_mode),
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


# -- adaptive: windows chosen so that the output has a given size ----------------------------------


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
    alone = _is_single(n, x, f"adaptive_avg_pool{n}d")
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
        part = x[_PLANES + tuple(window)].reshape(n, c, -1)
        best = part.argmax(-1)
        values[_PLANES + tuple(cell)] = xp.take_along_axis(part, best[..., None], -1)[..., 0]
        where[_PLANES + tuple(cell)] = plane[window].reshape(-1)[best]
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
        vjp=_max_grad_n,
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
        op = (ADAPTIVE_MAX_SINGLE if _is_single(n, input, name) else ADAPTIVE_MAX)[n]
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

    count = math.prod(_each(kernel_size, n, "kernel_size", "lp_pool"))
    mean = _avg_pool(n, pow(x, p), kernel_size, stride, 0, ceil, True)
    return pow(mul(mean.sign() * mean.abs().relu(), count), 1.0 / p)  # type: ignore[attr-defined]


TORCH = (
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
)  # fmt: skip
