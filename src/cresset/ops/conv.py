"""Convolution in one, two and three dimensions, and its transpose.

Three primitives that are each other's derivatives, because convolution is linear in both operands:

- ``CONV(x, w)``          y[n,o,p] = sum over c, k of x[n, c, p*stride + k*dilation - pad] w[o,c,k]
- ``CONV_INPUT(g, w)``    the gradient with respect to x, which is also the transposed convolution
- ``CONV_WEIGHT(g, x)``   the gradient with respect to w

The reference kernels see patches of the padded input through strides (no copy), fold them into a
matrix, and call matmul (Chellapilla et al., 2006).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.core.tape import derived
from cresset.ops.elementwise import not_a_tensor
from cresset.ops.inplace import scalar_name
from cresset.ops.parts import narrow
from cresset.ops.pointwise import add
from cresset.ops.reduce import SUM_DIM
from cresset.ops.registry import Op, Result, Tensor, apply, common_device, hashable
from cresset.ops.view import reshape, squeeze, unsqueeze

#: Indexes all samples and channels; spatial slices are added to it.
_PLANES: tuple = (slice(None), slice(None))


class Geometry(NamedTuple):
    """Static arguments of a convolution, one entry per spatial dimension."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


def _out_size(n: int, k: int, stride: int, pad: int, dilation: int) -> int:
    return (n + 2 * pad - dilation * (k - 1) - 1) // stride + 1


def _conv_infer(x: Spec, w: Spec, *rest: Any) -> Result:
    bias = rest[0] if isinstance(rest[0], Spec) else None
    geometry: Geometry = rest[-1]
    _check(x, w, bias, geometry)
    out = tuple(
        _out_size(n, k, s, p, d)
        for n, k, s, p, d in zip(
            x.shape[2:], w.shape[2:], geometry.stride, geometry.padding, geometry.dilation,
            strict=True,
        )
    )  # fmt: skip
    where = common_device(x, w) if bias is None else common_device(x, w, bias)
    return Result((dense(x.dtype, (x.shape[0], w.shape[0], *out), where),))


def _check_numbers(geometry: Geometry, x: Spec, w: Spec) -> None:
    stride, padding, dilation, groups = geometry
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    for values, name, low in (
        (padding, "negative padding", 0), (stride, "non-positive stride", 1),
        (dilation, "non-positive dilation", 1),
    ):  # fmt: skip
        if min(values) < low:
            raise RuntimeError(f"{name} is not supported")
    if w.ndim < 3:
        raise RuntimeError("weight should have at least three dimensions")
    if w.ndim != len(stride) + 2:
        raise RuntimeError(
            f"Expected {w.ndim}-dimensional input for {w.ndim}-dimensional weight "
            f"{list(w.shape)}, but got {x.ndim}-dimensional input of size {list(x.shape)} instead"
        )


def _check_dtypes(x: Spec, w: Spec) -> None:
    if x.dtype is w.dtype:
        return
    have, held = scalar_name(x.dtype), scalar_name(w.dtype)
    if x.dtype is not dtypes.float32:
        raise RuntimeError(f"expected scalar type {have} but found {held}")
    raise RuntimeError(
        f"Input type (torch.{have}Tensor) and weight type (torch.{held}Tensor) should be the same "
        "or input should be a MKLDNN tensor and weight is a dense tensor"
    )


def _by(sizes: Any) -> str:
    return " x ".join(map(str, sizes))


def _check(x: Spec, w: Spec, bias: Spec | None, geometry: Geometry) -> None:
    padding, groups = geometry.padding, geometry.groups
    dilation = geometry.dilation
    _check_numbers(geometry, x, w)
    _check_dtypes(x, w)
    if bias is not None and bias.dtype is not x.dtype:
        from cresset.ops.matmul import _c_name

        raise RuntimeError(
            f"Input type ({_c_name(x)}) and bias type ({_c_name(bias)}) should be the same"
        )
    if w.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {list(w.shape)} instead"
        )
    if w.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{list(w.shape)}] instead"
        )
    if x.shape[1] != w.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w.shape)}, expected "
            f"input{list(x.shape)} to have {w.shape[1] * groups} channels, but got {x.shape[1]} "
            "channels instead"
        )
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != w.shape[0]):
        raise RuntimeError(
            f"Given weight of size {list(w.shape)}, expected bias to be 1-dimensional with "
            f"{w.shape[0]} elements, but got bias of size {list(bias.shape)} instead"
        )
    padded = [s + 2 * p for s, p in zip(x.shape[2:], padding, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    if any(a < b for a, b in zip(padded, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_by(padded)}). Kernel size: "
            f"({_by(reach)}). Kernel size can't be greater than actual input size"
        )


# -- reference kernels -----------------------------------------------------------------------------


def _padded(xp: Any, x: Any, padding: tuple[int, ...]) -> Any:
    if not any(padding):
        return x
    return xp.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))


def _patches(xp: Any, x: Any, kernel: Any, out: Any, geometry: Geometry) -> Any:
    """A view (n, c, *kernel, *out) of the padded input: element [k, p] is
    x[p*stride+k*dilation]."""
    x = _padded(xp, x, geometry.padding)
    spatial = x.strides[2:]
    shape = (*x.shape[:2], *kernel, *out)
    strides = (
        *x.strides[:2],
        *(s * d for s, d in zip(spatial, geometry.dilation, strict=True)),
        *(s * t for s, t in zip(spatial, geometry.stride, strict=True)),
    )
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def _conv_kernel(xp: Any, x: Any, w: Any, *rest: Any) -> Any:
    geometry: Geometry = rest[-1]
    groups = geometry.groups
    n = x.shape[0]
    kernel = w.shape[2:]
    out = tuple(
        _out_size(a, k, s, p, d)
        for a, k, s, p, d in zip(x.shape[2:], kernel, *geometry[:3], strict=True)
    )
    patches = _patches(xp, x, kernel, out, geometry)
    rows = w.shape[1] * math.prod(kernel)
    columns = patches.reshape(n, groups, rows, math.prod(out))
    result = xp.matmul(w.reshape(groups, w.shape[0] // groups, rows), columns)
    result = result.reshape(n, w.shape[0], *out)
    if len(rest) == 2:
        result += rest[0].reshape(-1, *(1,) * len(out))
    return result


def _input_kernel(xp: Any, g: Any, w: Any, shape: tuple[int, ...], geometry: Geometry) -> Any:
    """Scatter each output gradient, times the weights, back over the patch it came from."""
    groups = geometry.groups
    n, o = g.shape[:2]
    out, kernel = g.shape[2:], w.shape[2:]
    rows = w.shape[1] * math.prod(kernel)
    weights = w.reshape(groups, o // groups, rows).transpose(0, 2, 1)
    columns = xp.matmul(weights, g.reshape(n, groups, o // groups, math.prod(out)))
    columns = columns.reshape(n, shape[1], *kernel, *out)
    padded = [s + 2 * p for s, p in zip(shape[2:], geometry.padding, strict=True)]
    result = xp.zeros((n, shape[1], *padded), g.dtype)
    for k in _positions(kernel):
        place = tuple(
            slice(i * d, i * d + s * (m - 1) + 1, s)
            for i, d, s, m in zip(k, geometry.dilation, geometry.stride, out, strict=True)
        )
        result[_PLANES + tuple(place)] += columns[_PLANES + tuple(k)]
    if any(geometry.padding):
        inside = tuple(slice(p, p + s) for p, s in zip(geometry.padding, shape[2:], strict=True))
        result = result[_PLANES + tuple(inside)]
    return result


def _positions(kernel: tuple[int, ...]) -> Any:
    import itertools

    return itertools.product(*map(range, kernel))


def _weight_kernel(xp: Any, g: Any, x: Any, shape: tuple[int, ...], geometry: Geometry) -> Any:
    groups = geometry.groups
    n, o = g.shape[:2]
    out, kernel = g.shape[2:], shape[2:]
    rows = shape[1] * math.prod(kernel)
    patches = _patches(xp, x, kernel, out, geometry)
    columns = patches.reshape(n, groups, rows, math.prod(out)).swapaxes(2, 3)
    gradients = g.reshape(n, groups, o // groups, math.prod(out))
    return xp.matmul(gradients, columns).sum(0).reshape(shape)


# -- ops and derivatives ---------------------------------------------------------------------------


def _conv_grad(n: Any, g: Tensor, x: Tensor, w: Tensor) -> tuple:
    needs = n.needs
    geometry = n.call.params[0]
    x_shape, w_shape = n.call.specs[0].shape, n.call.specs[1].shape
    operands = (g, g if x is None else x, g if w is None else w)
    parts = iter(apply(CONV_GRAD, operands, (needs, x_shape, w_shape, geometry)))
    return tuple(next(parts) if needed else None for needed in needs)


def _conv_grad_body(
    g: Tensor, x: Tensor, w: Tensor, needs: tuple, x_shape: Any, w_shape: Any, geometry: Geometry
) -> tuple:
    results = []
    if needs[0]:
        results.append(apply(CONV_INPUT, (g, w), (tuple(x_shape), geometry)))
    if needs[1]:
        results.append(apply(CONV_WEIGHT, (g, x), (tuple(w_shape), geometry)))
    if len(needs) == 3 and needs[2]:
        dims = (0, *range(2, g.ndim))
        results.append(apply(SUM_DIM, (g,), (dims, False, g._spec.dtype)))
    return tuple(results)


def _cropped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The part of ``x`` that has a counterpart: output padding can make room for more windows."""
    for d, n in enumerate(shape):
        if x._spec.shape[d] > n:
            x = narrow(x, d, 0, n)
    return x


CONV_GRAD = Op("convolution_backward", None, body=_conv_grad_body, multi=True)
CONV = Op("convolution", _conv_infer, _conv_kernel, vjp=_conv_grad, save=(0, 1), save_if=(1, 0),
          family="conv")  # fmt: skip
CONV_INPUT = Op(
    "convolution_input",
    lambda g, w, shape, geometry: dense(g.dtype, shape, g.device),
    _input_kernel,
    vjp=(
        lambda n, gg, g, w: _cropped(
            apply(CONV, (gg, w), (n.call.params[1],)), n.call.specs[0].shape
        ),
        lambda n, gg, g, w: apply(CONV_WEIGHT, (g, gg), (n.call.specs[1].shape, n.call.params[1])),
    ),
    save=(0, 1), save_if=(1, 0), family="conv", grad_name="ConvolutionBackward0",
)  # fmt: skip
CONV_WEIGHT = Op(
    "convolution_weight",
    lambda g, x, shape, geometry: dense(g.dtype, shape, g.device),
    _weight_kernel,
    vjp=(
        lambda n, gw, g, x: _cropped(
            apply(CONV, (x, gw), (n.call.params[1],)), n.call.specs[0].shape
        ),
        lambda n, gw, g, x: apply(CONV_INPUT, (g, gw), (n.call.specs[1].shape, n.call.params[1])),
    ),
    save=(0, 1), save_if=(1, 0), family="conv", grad_name="ConvolutionBackward0",
)  # fmt: skip


def _each(value: Any, n: int, name: str) -> tuple[int, ...]:
    """A number for every spatial dimension, or one number for all."""
    if value.__class__ is int:
        return (value,) * n
    values = tuple(value)
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the "
            f"convolution dimensions, but got {name}={list(values)}"
        )
    return values


@functools.lru_cache(1024, typed=True)
def _geometry(n: int, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Geometry]:
    """The static arguments as the op takes them; the same object for the same arguments."""
    return (
        Geometry(
            _each(stride, n, "stride"), _each(padding, n, "padding"),
            _each(dilation, n, "dilation"), groups,
        ),
    )  # fmt: skip


def _convolve(
    n: int, x: Tensor, w: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Tensor:  # fmt: skip
    try:
        ndim = len(x._spec.shape)
    except AttributeError:
        raise not_a_tensor(f"conv{n}d", x) from None
    if ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to conv{n}d, but got input "
            f"of size: {list(x.shape)}"
        )
    if isinstance(padding, str):
        stride, dilation = _each(stride, n, "stride"), _each(dilation, n, "dilation")
        x, padding = _named_padding(n, x, w, stride, dilation, padding)
    try:
        geometry = _geometry(n, stride, padding, dilation, groups)
    except TypeError:  # a list
        geometry = _geometry(n, *map(hashable, (stride, padding, dilation)), groups)
    if ndim == n + 1:
        x = unsqueeze(x, 0)
    y = apply(CONV, (x, w) if bias is None else (x, w, bias), geometry)
    return squeeze(y, 0) if ndim == n + 1 else y


def _named_padding(
    n: int, x: Tensor, w: Tensor, stride: Any, dilation: Any, padding: str
) -> tuple[Tensor, tuple[int, ...]]:
    if padding == "valid":
        return x, (0,) * n
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: {padding!r}")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(w._spec.shape[2:], dilation, strict=True)]
    if any(p % 2 for p in total):
        from cresset.ops.padding import pad

        extra = [v for p in reversed(total) for v in (0, p % 2)]
        x = pad(x, extra)
    return x, tuple(p // 2 for p in total)


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation along one dimension.

    Shapes: input (n, c, l) or (c, l), weight (o, c / groups, k), bias (o).

    >>> import cresset as torch
    >>> x, w = torch.arange(5.).view(1, 1, 5), torch.ones(1, 1, 3)
    >>> torch.nn.functional.conv1d(x, w)
    tensor([[[3., 6., 9.]]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation over images.

    Shapes: input (n, c, h, w) or (c, h, w), weight (o, c / groups, kh, kw), bias (o).

    >>> import cresset as torch
    >>> torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation over volumes: input (n, c, d, h, w), weight (o, c / groups, kd, kh, kw)."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def _transposed_body(x: Tensor, w: Tensor, bias: Tensor, whole: Any, geometry: Geometry) -> Tensor:
    y = apply(CONV_INPUT, (x, w), (whole, geometry))
    return add(y, reshape(bias, (-1, *(1,) * (len(whole) - 2))))


CONV_TRANSPOSED = Op(
    "convolution_transposed", None, body=_transposed_body, vjp=derived, save=(0, 1, 2),
    grad_name="ConvolutionBackward0",
)  # fmt: skip


def _check_transposed(
    x: Spec, w: Spec, bias: Tensor | None, geometry: Geometry, extra: tuple[int, ...]
) -> None:
    _check_numbers(geometry, x, w)
    if min(extra) < 0:
        raise RuntimeError("negative output_padding is not supported")
    sizes = list(w.shape)
    if w.shape[0] % geometry.groups:
        raise RuntimeError(
            f"Given groups={geometry.groups}, expected weight to be divisible by {geometry.groups} "
            f"at dimension 0, but got weight of size [{sizes}] instead"
        )
    if x.shape[1] != w.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {sizes}, expected input{list(x.shape)} to have "
            f"{w.shape[0]} channels, but got {x.shape[1]} channels instead"
        )
    out = w.shape[1] * geometry.groups
    if bias is not None and tuple(bias.shape) != (out,):
        raise RuntimeError(
            f"Given transposed=1, weight of size {sizes}, expected bias to be 1-dimensional with "
            f"{out} elements, but got bias of size {list(bias.shape)} instead"
        )
    _check_dtypes(x, w)
    rows = (extra, geometry.stride, geometry.dilation)
    if all(e < s or e < d for e, s, d in zip(*rows, strict=True)):
        return
    axes = ("depth", "height", "width")[-max(len(extra), 2) :]
    blank = (0, 1, 1) if len(extra) == 1 else ()  # PyTorch adds a height to one dimension
    words = [
        f"{name}_{axis}: {value}"
        for i, (name, row) in enumerate(
            zip(("output_padding", "stride", "dilation"), rows, strict=True)
        )
        for axis, value in zip(axes, (*blank[i : i + 1], *row), strict=True)
    ]
    raise RuntimeError(
        "output padding must be smaller than either stride or dilation, but got " + " ".join(words)
    )


def _convolve_transposed(
    n: int, x: Tensor, w: Tensor, bias: Tensor | None, stride: Any, padding: Any,
    output_padding: Any, groups: int, dilation: Any,
) -> Tensor:  # fmt: skip
    ndim = len(x._spec.shape)
    if ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to conv_transpose{n}d, but "
            f"got input of size: {list(x.shape)}"
        )
    if ndim == n + 1:
        x = unsqueeze(x, 0)
    stride, dilation = _each(stride, n, "stride"), _each(dilation, n, "dilation")
    pads, extra = _each(padding, n, "padding"), _each(output_padding, n, "output_padding")
    geometry = Geometry(stride, pads, dilation, groups)
    _check_transposed(x._spec, w._spec, bias, geometry, extra)
    shape = x._spec.shape
    out = tuple(
        (m - 1) * s - 2 * p + d * (k - 1) + e + 1
        for m, s, p, d, k, e in zip(
            shape[2:], stride, pads, dilation, w._spec.shape[2:], extra, strict=True
        )
    )
    if min(out) < 1:
        one = (1,) if n == 1 else ()  # PyTorch adds a height to one dimension
        given, found = (" x ".join(map(str, (*one, *sizes))) for sizes in (shape[2:], out))
        raise RuntimeError(
            f"Given input size per channel: ({given}). Calculated output size per channel: "
            f"({found}). Output size is too small"
        )
    whole = (shape[0], w._spec.shape[1] * groups, *out)
    if bias is None:
        y = apply(CONV_INPUT, (x, w), (whole, geometry))
    else:
        y = apply(CONV_TRANSPOSED, (x, w, bias), (whole, geometry))
    return squeeze(y, 0) if ndim == n + 1 else y


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv1d``: weight (c, o / groups, k)."""
    return _convolve_transposed(1, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)  # fmt: skip


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv2d``: weight (c, o / groups, kh, kw)."""
    return _convolve_transposed(2, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)  # fmt: skip


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The transpose of ``conv3d``."""
    return _convolve_transposed(3, input, weight, bias, stride, padding, output_padding, groups,
                                dilation)  # fmt: skip


TORCH = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
)  # fmt: skip
