"""Reductions over dimensions: sum, mean and their kin."""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.arguments import refused
from cresset.ops.cast import cast
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import div, mul, sub, where_zero
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import expand, reshape


def reduced_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions to reduce, sorted; all of them for None or an empty list."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int) or hasattr(dim, "__index__"):
        return (wrap_dim(dim, ndim),) if ndim else (() if wrap_dim(dim, 0) == 0 else ())
    dims = [wrap_dim(d, ndim) for d in dim]
    if len(set(dims)) != len(dims):
        again = next(d for i, d in enumerate(dims) if d in dims[:i])
        raise RuntimeError(f"dim {again} appears multiple times in the list of dims")
    return tuple(sorted(dims)) if dims else tuple(range(ndim))


def reduced_shape(shape: Any, dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing ``dims``."""
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def unreduce(g: Tensor, whole: Spec, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced gradient expanded to the shape it was reduced from."""
    if not keepdim and g._spec.shape != whole.shape:
        g = reshape(g, reduced_shape(whole.shape, dims, True))
    return expand(g, whole.shape)


def _sum_infer(s: Spec, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def accumulator(xp: Any, x: Any, dims: tuple[int, ...]) -> Any:
    """The type to add up in (None: the array's own).

    Half precision adds up in float32. NumPy adds pairwise along the last dimension and one by one
    along the others, where the error grows with the count: long float32 columns use float64.
    """
    if x.dtype == xp.float16:
        return xp.float32
    long = x.dtype == xp.float32 and dims and dims[-1] != x.ndim - 1
    return xp.float64 if long and count_of(x.shape, dims) > 4096 else None


def _sum_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Any:
    return xp.sum(x, axis=dims, keepdims=keepdim, dtype=accumulator(xp, x, dims))


def _sum_grad(n: Any, g: Tensor) -> Tensor:
    dims, keepdim, _ = n.call.params
    g = cast(g, n.call.specs[0].dtype)
    return unreduce(g, n.call.specs[0], dims, keepdim)


SUM = Op("sum", _sum_infer, _sum_kernel, vjp=(_sum_grad,), family="reduce")
SUM_DIM = Op("sum", _sum_infer, _sum_kernel, vjp=(_sum_grad,), family="reduce",
             grad_name="SumBackward1")  # fmt: skip


def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None, axis: Any = None, keepdims: bool | None = None,
) -> Tensor:  # fmt: skip
    """The sum over all elements, or over ``dim``. Integers and bools add up in int64.

    >>> import cresset as torch
    >>> torch.sum(torch.tensor([[1., 2.], [3., 4.]]), 0)
    tensor([4., 6.])
    """
    dim = axis if dim is None else dim
    keepdim = keepdim if keepdims is None else keepdims
    try:  # an exception costs nothing where it does not happen
        spec = input._spec
    except AttributeError:
        raise refused("sum", input) from None
    d = dtype or (dtypes.int64 if spec.dtype.category < dtypes.FLOAT else spec.dtype)
    dims = reduced_dims(dim, len(spec.shape))
    result = apply(SUM if dim is None else SUM_DIM, (input,), (dims, keepdim, d))
    return result if out is None else into(out, result)


def reduce_to(g: Tensor, shape: Any, d: dtype) -> Tensor:
    """Sum a gradient over broadcast dimensions back to an operand's shape and dtype."""
    have = g._spec.shape
    if have != shape:
        extra = len(have) - len(shape)
        dims = tuple(
            i for i, n in enumerate(have) if i < extra or (shape[i - extra] == 1 and n != 1)
        )
        if dims:
            g = apply(SUM_DIM, (g,), (dims, True, g._spec.dtype))
        if extra:
            g = reshape(g, shape)
    return to_operand_dtype(g, d)


def to_operand_dtype(g: Tensor, d: dtype) -> Tensor:
    """The gradient in the operand's dtype (its real part if the operand is real)."""
    return g if g._spec.dtype is d else cast(g, d)


def float_dtype(input: Tensor, d: dtype | None, name: str) -> dtype:
    """The dtype a floating-point reduction works in; integers are refused as in PyTorch."""
    d = d or input._spec.dtype
    if d.category < dtypes.FLOAT:
        kind = "Input dtype" if d is input._spec.dtype else "Optional dtype"
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {kind} must be either a floating point or "
            f"complex dtype. Got: {scalar_name(d)}"
        )
    return d


def count_of(shape: Any, dims: tuple[int, ...]) -> int:
    """How many elements are reduced into one."""
    return math.prod(shape[i] for i in dims)


# -- mean ------------------------------------------------------------------------------------------


def _mean_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Any:
    count = count_of(x.shape, dims)
    if count == 0:
        return xp.full(reduced_shape(x.shape, dims, keepdim), xp.nan)
    total = xp.sum(x, axis=dims, keepdims=keepdim, dtype=accumulator(xp, x, dims))
    return total / total.dtype.type(count)


def _mean_grad(n: Any, g: Tensor) -> Tensor:
    dims, keepdim, _ = n.call.params
    whole = n.call.specs[0]
    g = cast(g, whole.dtype)
    if not whole.numel:
        return unreduce(g, whole, dims, keepdim)
    return unreduce(div(g, count_of(whole.shape, dims)), whole, dims, keepdim)


MEAN = Op("mean", _sum_infer, _mean_kernel, vjp=(_mean_grad,), family="reduce")
MEAN_DIM = Op("mean", _sum_infer, _mean_kernel, vjp=(_mean_grad,), family="reduce",
              grad_name="MeanBackward1")  # fmt: skip


def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None, axis: Any = None, keepdims: bool | None = None,
) -> Tensor:  # fmt: skip
    """The mean over all elements, or over ``dim``.

    >>> import cresset as torch
    >>> torch.mean(torch.tensor([[1., 2.], [3., 4.]]), 1)
    tensor([1.5000, 3.5000])
    """
    dim = axis if dim is None else dim
    keepdim = keepdim if keepdims is None else keepdims
    try:
        d = float_dtype(input, dtype, "mean")
    except AttributeError:
        raise refused("mean", input) from None
    dims = reduced_dims(dim, len(input._spec.shape))
    result = apply(MEAN if dim is None else MEAN_DIM, (input,), (dims, keepdim, d))
    return result if out is None else into(out, result)


# -- variance --------------------------------------------------------------------------------------


def _var_infer(s: Spec, dims: tuple[int, ...], keepdim: bool, correction: float) -> Result:
    d = s.dtype.to_real()
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), s.dtype)


def _var_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    count = count_of(x.shape, dims)
    wide = x.astype(xp.float64) if x.dtype.kind == "f" else x.astype(xp.complex128)
    if count == 0:
        return xp.full(reduced_shape(x.shape, dims, keepdim), xp.nan)
    centred = wide - wide.mean(axis=dims, keepdims=True)
    total = (centred * centred.conj()).real.sum(axis=dims, keepdims=keepdim)
    left = max(count - correction, 0)
    # NumPy warns about a division by a zero number; the result is nan or inf all the same.
    return total / xp.asarray(left, total.dtype)


def _var_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    dims, keepdim, correction = n.call.params
    whole = n.call.specs[0]
    g = unreduce(g, whole, dims, keepdim)
    if not whole.numel:
        return g
    left = count_of(whole.shape, dims) - correction
    centred = sub(x, mean(x, dims, True)) if dims else sub(x, x)
    if left <= 0 and len(dims) == whole.ndim:
        # 2 / 0 times the deviation: nan where that is 0, else infinite.
        steep = centred.new_full(whole.shape, math.inf)  # type: ignore[attr-defined]
        return mul(g, steep.masked_fill(centred.eq(0), math.nan))  # type: ignore[attr-defined]
    return mul(mul(g, 2.0 / left if left else math.inf), centred)


VAR = Op("var", _var_infer, _var_kernel, vjp=(_var_grad,), save=(0,), family="reduce")


def _correction(unbiased: Any, correction: Any) -> float:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _var_args(input: Tensor, dim: Any, unbiased: Any, name: str) -> tuple[Any, Any]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if input._spec.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"{name} only support floating point and complex dtypes")
    return dim, unbiased


def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: Any = None, out: Tensor | None = None, axis: Any = None,
) -> Tensor:  # fmt: skip
    """The variance over all elements or over ``dim``: squares of deviations over n - correction.

    >>> import cresset as torch
    >>> torch.var(torch.tensor([1., 2., 3., 4.])), torch.var(torch.tensor([1., 3.]), correction=0)
    (tensor(1.6667), tensor(1.))
    """
    dim, unbiased = _var_args(input, axis if dim is None else dim, unbiased, "std and var")
    dims = reduced_dims(dim, len(input._spec.shape))
    result = apply(VAR, (input,), (dims, keepdim, _correction(unbiased, correction)))
    return result if out is None else into(out, result)


def _std_kernel(xp: Any, x: Any, *params: Any) -> Any:
    return xp.sqrt(_var_kernel(xp, x, *params))


def _std_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    halved = div(g, mul(out, 2.0))
    return _var_grad(n, where_zero(out, halved), x)


STD = Op("std", _var_infer, _std_kernel, vjp=(_std_grad,), save=(0, OUT), family="reduce")


def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: Any = None, out: Tensor | None = None, axis: Any = None,
) -> Tensor:  # fmt: skip
    """The standard deviation: the root of ``var``.

    >>> import cresset as torch
    >>> torch.std(torch.tensor([1., 2., 3., 4.]))
    tensor(1.2910)
    """
    dim, unbiased = _var_args(input, axis if dim is None else dim, unbiased, "std and var")
    dims = reduced_dims(dim, len(input._spec.shape))
    result = apply(STD, (input,), (dims, keepdim, _correction(unbiased, correction)))
    return result if out is None else into(out, result)


def var_mean(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False,
             *, correction: Any = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``(var, mean)``."""
    dim, unbiased = _var_args(input, dim, unbiased, "var_mean")
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        mean(input, dim, keepdim),
    )


def std_mean(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False,
             *, correction: Any = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``(std, mean)``."""
    dim, unbiased = _var_args(input, dim, unbiased, "std_mean")
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        mean(input, dim, keepdim),
    )


TORCH = ("sum", "mean", "var", "std", "var_mean", "std_mean")
METHODS = ("sum", "mean", "var", "std", "_reduce_to=reduce_to")
