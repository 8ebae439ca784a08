"""Reductions beside sum and mean: truth, products, counting, sums without NaN, logsumexp."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import conj, div, mul, sub
from cresset.ops.reduce import accumulator, reduced_dims, reduced_shape, unreduce
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import reshape

# -- truth -----------------------------------------------------------------------------------------


def _truth(name: str, every: bool) -> Any:
    def infer(s: Spec, dims: tuple[int, ...], keepdim: bool) -> Result:
        d = dtypes.uint8 if s.dtype is dtypes.uint8 else dtypes.bool_
        return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),))

    def kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        return (xp.all if every else xp.any)(x, axis=dims, keepdims=keepdim)

    op = Op(name, infer, kernel, family="reduce")

    def function(input: Tensor, dim: Any = None, keepdim: bool = False, *,
                 out: Tensor | None = None, axis: Any = None) -> Tensor:  # fmt: skip
        dims = reduced_dims(axis if dim is None else dim, input.ndim)
        result = apply(op, (input,), (dims, keepdim))
        if out is not None and out.dtype not in (dtypes.bool_, dtypes.uint8):
            raise RuntimeError(
                f"{name} only supports bool tensor for result, got: {scalar_name(out.dtype)}"
            )
        return into(out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Whether {name} element{"s are" if every else " is"} true, in ``dim``.

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([True, False]))
    tensor({not every})
    """
    return function


all_, any_ = _truth("all", True), _truth("any", False)


# -- products and counts ---------------------------------------------------------------------------


def _prod_infer(s: Spec, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _prod_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """The product of the others: by prefix and suffix products, so that zeros are right."""
    dims, keepdim, _ = n.call.params
    whole = n.call.specs[0]
    g = unreduce(g, whole, dims, keepdim)
    if len(dims) == 1:
        return mul(g, _others(x, dims[0]))
    flat = _others(reshape(x, (-1,)), 0)
    return mul(g, reshape(flat, whole.shape))


def _others(x: Tensor, dim: int) -> Tensor:
    """Per element, the product of the other elements along ``dim``."""
    if not x.shape or x.shape[dim] <= 1:
        return x.new_ones(x.shape)  # type: ignore[attr-defined]
    from cresset.ops.join import cat
    from cresset.ops.rearrange import flip
    from cresset.ops.scan import cumprod

    size = x.shape[dim]
    ones = x.new_ones(tuple(1 if i == dim else m for i, m in enumerate(x.shape)))  # type: ignore[attr-defined]
    before = cumprod(cat([ones, x.narrow(dim, 0, size - 1)], dim), dim)  # type: ignore[attr-defined]
    turned = flip(x, [dim])
    after = flip(cumprod(cat([ones, turned.narrow(dim, 0, size - 1)], dim), dim), [dim])  # type: ignore[attr-defined]
    return mul(before, after).conj()  # type: ignore[attr-defined]


def _prod_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Any:
    return xp.prod(x, axis=dims, keepdims=keepdim)


PROD = Op("prod", _prod_infer, _prod_kernel, vjp=(_prod_grad,), save=(0, OUT), family="reduce")
PROD_DIM = Op("prod", _prod_infer, _prod_kernel, vjp=(_prod_grad,), save=(0, OUT), family="reduce",
              grad_name="ProdBackward1")  # fmt: skip


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The product of all elements, or along ``dim``.

    >>> import cresset as torch
    >>> torch.prod(torch.tensor([2., 3.]))
    tensor(6.)
    """
    d = dtype or (dtypes.int64 if input.dtype.category < dtypes.FLOAT else input.dtype)
    op = PROD if dim is None else PROD_DIM
    return into(out, apply(op, (input,), (reduced_dims(dim, input.ndim), keepdim, d)))


def _nansum_infer(s: Spec, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    if s.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _nansum_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Any:
    return xp.nansum(x, axis=dims, keepdims=keepdim, dtype=accumulator(xp, x, dims))


def _nansum_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    dims, keepdim, _ = n.call.params
    whole = n.call.specs[0]
    g = unreduce(cast(g, whole.dtype), whole, dims, keepdim)
    return mul(g, x.isnan().logical_not())  # type: ignore[attr-defined]


NANSUM = Op("nansum", _nansum_infer, _nansum_kernel, vjp=(_nansum_grad,), save=(0,),
            family="reduce")  # fmt: skip


def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The sum of what is not NaN.

    >>> import cresset as torch
    >>> torch.nansum(torch.tensor([1., float('nan'), 2.]))
    tensor(3.)
    """
    if input.dtype.category < dtypes.FLOAT:
        return sum_(input, dim, keepdim, dtype=dtype, out=out)
    params = (reduced_dims(dim, input.ndim), keepdim, dtype or input.dtype)
    return into(out, apply(NANSUM, (input,), params))


def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The mean of what is not NaN.

    >>> import cresset as torch
    >>> torch.nanmean(torch.tensor([1., float('nan'), 2.]))
    tensor(1.5000)
    """
    if input.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            + scalar_name(input.dtype)
        )
    total = nansum(input, dim, keepdim, dtype=dtype)
    count = sum_(cast(input.isnan().logical_not(), dtypes.int64), dim, keepdim)  # type: ignore[attr-defined]
    return into(out, div(total, count))


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero.

    >>> import cresset as torch
    >>> torch.count_nonzero(torch.tensor([[0, 1], [2, 3]]), dim=0)
    tensor([1, 2])
    """
    return sum_(cast(input.ne(0), dtypes.int64), dim)  # type: ignore[attr-defined]


# -- logarithms of sums ----------------------------------------------------------------------------


def _lse_infer(s: Spec, dims: tuple[int, ...], keepdim: bool) -> Result:
    d = s.dtype if s.dtype.category >= dtypes.FLOAT else dtypes.get_default_dtype()
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _lse_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    if x.size == 0:
        return xp.full(reduced_shape(x.shape, dims, keepdim), -xp.inf)
    if x.dtype == xp.float16:
        x = x.astype(xp.float32)
    top = xp.max(x.real, axis=dims, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.log(xp.sum(xp.exp(x - shift), axis=dims, keepdims=True)) + shift
    return total if keepdim else total.reshape(reduced_shape(x.shape, dims, False))


def _lse_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    dims, keepdim = n.call.params
    whole = n.call.specs[0]
    share = conj(sub(x, unreduce(out, whole, dims, keepdim)).exp())  # type: ignore[attr-defined]
    return mul(unreduce(g, whole, dims, keepdim), share)


LOGSUMEXP = Op("logsumexp", _lse_infer, _lse_kernel, vjp=(_lse_grad,), save=(0, OUT),
               family="reduce")  # fmt: skip


def logsumexp(
    input: Tensor, dim: Any, keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim``, without overflow.

    >>> import cresset as torch
    >>> torch.logsumexp(torch.tensor([1000., 1000.]), 0)
    tensor(1000.6932)
    """
    return into(out, apply(LOGSUMEXP, (input,), (reduced_dims(dim, input.ndim), keepdim)))


TORCH = (
    "all=all_", "any=any_", "prod", "nansum", "nanmean", "count_nonzero", "logsumexp",
)  # fmt: skip
METHODS = TORCH
