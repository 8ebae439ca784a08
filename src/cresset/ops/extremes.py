"""Reductions that pick or order: max, min, all, any, prod, norms, median, counting."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import add, div, mul, pow, sub
from cresset.ops.reduce import (
    reduced_dims,
    reduced_shape,
    unreduce,
)
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import reshape, unsqueeze

max_result = namedtuple("max_result", ["values", "indices"])
min_result = namedtuple("min_result", ["values", "indices"])
median_result = namedtuple("median_result", ["values", "indices"])
nanmedian_result = namedtuple("nanmedian_result", ["values", "indices"])
mode_result = namedtuple("mode_result", ["values", "indices"])
aminmax_result = namedtuple("aminmax_result", ["min", "max"])
for _t, _name in ((max_result, "max"), (min_result, "min"), (median_result, "median"),
                  (mode_result, "mode"), (nanmedian_result, "nanmedian")):  # fmt: skip
    _t.__module__ = "torch.return_types"
    _t.__name__ = _t.__qualname__ = _name


def _named_repr(self: Any) -> str:
    parts = ",\n".join(f"{f}={getattr(self, f)!r}" for f in self._fields)
    return f"torch.return_types.{type(self).__name__}(\n{parts})"


for _t in (max_result, min_result, median_result, mode_result, nanmedian_result, aminmax_result):
    _t.__repr__ = _named_repr  # type: ignore[method-assign]


def _not_empty(s: Spec, dims: tuple[int, ...], name: str) -> None:
    for d in dims:
        if s.shape and s.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


# -- extremes over everything or over several dimensions -------------------------------------------


def _extreme(name: str, larger: bool) -> Op:
    def infer(s: Spec, dims: tuple[int, ...], keepdim: bool) -> Result:
        if s.dtype.is_complex:
            raise RuntimeError(f"{name}(): does not support complex input")
        if s.numel == 0:
            if len(dims) == s.ndim and not all(s.shape):
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            _not_empty(s, dims, name)
        return Result((dense(s.dtype, reduced_shape(s.shape, dims, keepdim), s.device),))

    def kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        return (xp.max if larger else xp.min)(x, axis=dims, keepdims=keepdim)

    return Op(name, infer, kernel, vjp=(_extreme_grad,), save=(0, OUT), family="reduce",
              grad_name="".join(w.title() for w in name.split("_")) + (
                  "Backward1" if name in ("max", "min") else "Backward0"))  # fmt: skip


def _extreme_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """The gradient is shared evenly by the elements that reach the extreme."""
    dims, keepdim = n.call.params
    whole = n.call.specs[0]
    at = unreduce(out, whole, dims, keepdim).eq(x)  # type: ignore[attr-defined]
    mask = cast(at, g.dtype)
    count = sum_(mask, dims, True) if dims else mask
    return div(mul(unreduce(g, whole, dims, keepdim), mask), count)


AMAX, AMIN = _extreme("amax", True), _extreme("amin", False)
MAX_ALL, MIN_ALL = _extreme("max", True), _extreme("min", False)


def amax(
    input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The largest value over ``dim``; equal ones share the gradient.

    >>> import cresset as torch
    >>> torch.amax(torch.tensor([[1., 5.], [7., 3.]]), 1)
    tensor([5., 7.])
    """
    dims = reduced_dims(dim, input.ndim)
    return into(out, apply(AMAX, (input,), (dims, keepdim)))


def amin(
    input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The smallest value over ``dim``; equal ones share the gradient."""
    dims = reduced_dims(dim, input.ndim)
    return into(out, apply(AMIN, (input,), (dims, keepdim)))


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """``(min, max)``."""
    chosen = () if dim is None else dim
    return aminmax_result(amin(input, chosen, keepdim), amax(input, chosen, keepdim))


# -- extremes along one dimension, with their places -----------------------------------------------


def _take(n: Any, g: Tensor, indices: Tensor) -> Tensor:
    """The gradient put back at the chosen places along one dimension."""
    dim, keepdim = n.call.params
    whole = n.call.specs[0]
    if not whole.shape:
        return g
    if not keepdim:
        g, indices = unsqueeze(g, dim), unsqueeze(indices, dim)
    zeros = g.new_zeros(whole.shape)  # type: ignore[attr-defined]
    return zeros.scatter(dim, indices, g)


def _pick_grad(n: Any, g: Any, gi: Any, indices: Tensor) -> tuple:
    return (None if g is None else _take(n, g, indices),)


def _pick(name: str, choose: Any) -> Op:
    def infer(s: Spec, dim: int, keepdim: bool) -> Result:
        if s.dtype.is_complex:
            raise RuntimeError(f"{name}(): does not support complex input")
        _not_empty(s, (dim,), name)
        shape = reduced_shape(s.shape, (dim,), keepdim) if s.shape else ()
        return Result((dense(s.dtype, shape, s.device), dense(dtypes.int64, shape, s.device)))

    def kernel(xp: Any, x: Any, dim: int, keepdim: bool) -> tuple:
        if x.ndim == 0:
            return x.copy(), xp.zeros((), xp.int64)
        where = xp.expand_dims(choose(xp, x, dim), dim)
        values = xp.take_along_axis(x, where, dim)
        if not keepdim:
            values, where = values.squeeze(dim), where.squeeze(dim)
        return values, where

    return Op(name, infer, kernel, vjp=_pick_grad, save=(OUT - 1,), multi=True, family="reduce",
              grad_name=name.title() + "Backward0")  # fmt: skip


def _mode_places(xp: Any, x: Any, dim: int) -> Any:
    """Where the most frequent value (the smallest of several) last occurs."""
    moved = xp.moveaxis(x, dim, -1)
    flat = moved.reshape(-1, moved.shape[-1])
    places = []
    for row in flat:
        values, counts = xp.unique(row, return_counts=True)
        best = values[counts.argmax()]
        places.append(int(xp.nonzero(row == best)[0][-1]))
    return xp.asarray(places, xp.int64).reshape(moved.shape[:-1])


def _median_places(xp: Any, x: Any, dim: int) -> Any:
    order = xp.argsort(x, axis=dim, kind="stable")
    middle = xp.take(order, (x.shape[dim] - 1) // 2, dim)
    if x.dtype.kind == "f":
        nan = xp.isnan(x)
        middle = xp.where(nan.any(dim), nan.argmax(dim), middle)
    return middle


def _nanmedian_places(xp: Any, x: Any, dim: int) -> Any:
    order = xp.argsort(x, axis=dim, kind="stable")
    count = (~xp.isnan(x)).sum(dim) if x.dtype.kind == "f" else xp.full(
        xp.take(x, 0, dim).shape, x.shape[dim]
    )  # fmt: skip
    middle = xp.expand_dims(xp.maximum(count - 1, 0) // 2, dim)
    return xp.take_along_axis(order, middle, dim).squeeze(dim)


MAX_DIM = _pick("max", lambda xp, x, d: xp.argmax(x, axis=d))
MIN_DIM = _pick("min", lambda xp, x, d: xp.argmin(x, axis=d))
MEDIAN_DIM = _pick("median", _median_places)
NANMEDIAN_DIM = _pick("nanmedian", _nanmedian_places)
MODE = _pick("mode", _mode_places)


def _along(op: Op, kind: Any, x: Tensor, dim: int, keepdim: bool, out: Any) -> Any:
    d = wrap_dim(dim, x.ndim)
    values, indices = apply(op, (x,), (d, keepdim))
    if out is not None:
        return kind(into(out[0], values), into(out[1], indices))
    return kind(values, indices)


def _max_or_min(larger: bool) -> Any:
    name = "max" if larger else "min"
    kind = max_result if larger else min_result

    def function(
        input: Tensor,
        dim: Any = None,
        keepdim: Any = False,
        *,
        out: Any = None,
        other: Tensor | None = None,
        axis: Any = None,
        keepdims: Any = None,
    ) -> Any:
        dim = axis if dim is None else dim
        keepdim = keepdim if keepdims is None else keepdims
        other = dim if isinstance(dim, Tensor) else other
        if other is not None:
            pair = getattr(input, name + "imum")
            return into(out, pair(other))
        if dim is None:
            every = tuple(range(input.ndim))
            return into(out, apply(MAX_ALL if larger else MIN_ALL, (input,), (every, False)))
        return _along(MAX_DIM if larger else MIN_DIM, kind, input, dim, keepdim, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""The {name}imum of all elements, along ``dim``, or of two tensors.

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([3., 1., 2.]))
    tensor({3 if larger else 1}.)
    """
    return function


max_, min_ = _max_or_min(True), _max_or_min(False)


def _arg(name: str, larger: bool) -> Any:
    def infer(s: Spec, dim: int | None, keepdim: bool) -> Result:
        if s.numel == 0 and (dim is None or s.shape[dim] == 0):
            raise IndexError(
                f"{name}(): Expected reduction dim "
                + ("to be specified for input.numel() == 0. Specify the reduction dim with the "
                   "'dim' argument." if dim is None else f"{dim} to have non-zero size.")
            )  # fmt: skip
        if dim is None:
            shape: tuple[int, ...] = (1,) * s.ndim if keepdim else ()
        else:
            shape = reduced_shape(s.shape, (dim,), keepdim) if s.shape else ()
        return Result((dense(dtypes.int64, shape, s.device),))

    def kernel(xp: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
        function = xp.argmax if larger else xp.argmin
        if dim is None or x.ndim == 0:
            return xp.asarray(function(x)).reshape((1,) * x.ndim if keepdim else ())
        found = function(x, axis=dim)
        return xp.expand_dims(found, dim) if keepdim else found

    op = Op(name, infer, kernel, family="reduce")

    def function(input: Tensor, dim: int | None = None, keepdim: bool = False, *,
                 out: Tensor | None = None, axis: int | None = None) -> Tensor:  # fmt: skip
        dim = axis if dim is None else dim
        d = None if dim is None else wrap_dim(dim, input.ndim)
        if input.dtype is dtypes.bool_:
            raise RuntimeError(f"\"{name}_cpu\" not implemented for 'Bool'")
        return into(out, apply(op, (input,), (d, keepdim)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Where the {"largest" if larger else "smallest"} value is (along ``dim``).

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([3., 1., 2.]))
    tensor({0 if larger else 1})
    """
    return function


argmax, argmin = _arg("argmax", True), _arg("argmin", False)


def _all_median(name: str, op: Op, kind: Any, doc: str) -> Any:
    def function(input: Tensor, dim: int | None = None, keepdim: bool = False, *,
                 out: Any = None) -> Any:  # fmt: skip
        if dim is not None:
            return _along(op, kind, input, dim, keepdim, out)
        if not input.numel():
            return input.new_full((), math.nan)  # type: ignore[attr-defined]
        return apply(op, (reshape(input, (-1,)),), (0, False))[0]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


median = _all_median(
    "median", MEDIAN_DIM, median_result,
    """The lower median of all elements, or along ``dim`` (values, indices); NaN wins.

    >>> import cresset as torch
    >>> torch.median(torch.tensor([4., 1., 3., 2.]))
    tensor(2.)
    """,
)  # fmt: skip
nanmedian = _all_median("nanmedian", NANMEDIAN_DIM, nanmedian_result,
                        "The median of what is not NaN.")  # fmt: skip


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent value along ``dim`` and the last place where it occurs."""
    return _along(MODE, mode_result, input, dim, keepdim, out)


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
        return into(out, apply(op, (input,), (dims, keepdim)))

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
    from cresset.ops.join import cat, flip
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
    return into(out, apply(PROD, (input,), (reduced_dims(dim, input.ndim), keepdim, d)))


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of what is not NaN."""
    return sum_(input.nan_to_num(0.0, math.inf, -math.inf) if input.is_floating_point() else input,  # type: ignore[attr-defined]
                dim, keepdim, dtype=dtype)  # fmt: skip


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of what is not NaN."""
    count = sum_(cast(input.isnan().logical_not(), dtypes.int64), dim, keepdim)  # type: ignore[attr-defined]
    return div(nansum(input, dim, keepdim, dtype=dtype), count)


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero."""
    return sum_(cast(input.ne(0), dtypes.int64), dim)  # type: ignore[attr-defined]


# -- logsumexp and norms ---------------------------------------------------------------------------


def _lse_infer(s: Spec, dims: tuple[int, ...], keepdim: bool) -> Result:
    d = s.dtype if s.dtype.category >= dtypes.FLOAT else dtypes.get_default_dtype()
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _lse_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    if x.size == 0:
        return xp.full(reduced_shape(x.shape, dims, keepdim), -xp.inf)
    top = xp.max(x, axis=dims, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.log(xp.sum(xp.exp(x - shift), axis=dims, keepdims=True)) + shift
    return total if keepdim else total.reshape(reduced_shape(x.shape, dims, False))


def _lse_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    dims, keepdim = n.call.params
    whole = n.call.specs[0]
    share = sub(x, unreduce(out, whole, dims, keepdim)).exp()  # type: ignore[attr-defined]
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


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False,
    out: Tensor | None = None, dtype: dtype | None = None,
) -> Tensor:  # fmt: skip
    """The vector norm ``(sum |x|^p)^(1/p)`` over all elements or over ``dim``.

    >>> import cresset as torch
    >>> torch.norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    if p == "nuc":
        from cresset.ops.linalg import svdvals

        return into(out, sum_(svdvals(input), -1))
    order = 2.0 if p in ("fro", None) else float(p)
    return into(out, vector_norm(input, order, dim, keepdim, dtype=dtype))


def _norm_infer(s: Spec, order: float, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    return Result((dense(d.to_real(), reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _norm_kernel(
    xp: Any, x: Any, order: float, dims: tuple[int, ...], keepdim: bool, d: dtype
) -> Any:
    size = xp.abs(x)
    if order == 2:
        return xp.sqrt(xp.sum(size * size, axis=dims, keepdims=keepdim))
    if order == 1:
        return xp.sum(size, axis=dims, keepdims=keepdim)
    if order == math.inf:
        return xp.max(size, axis=dims, keepdims=keepdim, initial=0)
    if order == -math.inf:
        return xp.min(size, axis=dims, keepdims=keepdim)
    if order == 0:
        return xp.sum(x != 0, axis=dims, keepdims=keepdim)
    return xp.sum(size**order, axis=dims, keepdims=keepdim) ** (1 / order)


def _norm_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    order, dims, keepdim, _ = n.call.params
    whole = n.call.specs[0]
    size = unreduce(out, whole, dims, keepdim)
    g = unreduce(g, whole, dims, keepdim)
    if order == 0:
        return mul(x, 0.0)
    if order == 2:
        return mul(g, x.div(size).masked_fill(size.eq(0), 0.0))  # type: ignore[attr-defined]
    if order == 1:
        return mul(g, x.sgn())  # type: ignore[attr-defined]
    magnitude = x.abs()  # type: ignore[attr-defined]
    if math.isinf(order):
        at = cast(magnitude.eq(size), g.dtype)
        return mul(div(mul(g, at), sum_(at, dims, True)), x.sgn())  # type: ignore[attr-defined]
    slope = mul(x, pow(magnitude, order - 2))
    if order < 2:
        slope = slope.masked_fill(x.eq(0), 0.0)  # type: ignore[attr-defined]
    scale = pow(size, order - 1)
    return mul(g, div(slope, scale).masked_fill(size.eq(0), 0.0))  # type: ignore[attr-defined]


NORM = Op("linalg_vector_norm", _norm_infer, _norm_kernel, vjp=(_norm_grad,), save=(0, OUT),
          family="reduce")  # fmt: skip


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *,
    dtype: dtype | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The vector norm of order ``ord`` (2, 1, 0, inf, -inf or any other number)."""
    d = dtype or x.dtype
    if d.category < dtypes.FLOAT:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{scalar_name(d)}"
        )
    dims = reduced_dims(dim, x.ndim)
    if x.numel() == 0 and ord < 0:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return into(out, apply(NORM, (x,), (float(ord), dims, keepdim, d)))


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``."""
    return vector_norm(sub(input, other), p)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each part along ``dim`` scaled down so that its p-norm is at most ``maxnorm``."""
    d = wrap_dim(dim, input.ndim)
    rest = [i for i in range(input.ndim) if i != d]
    size = vector_norm(input, p, rest, True)
    scale = div(maxnorm, add(size, 1e-7))
    factor = scale.masked_fill(size.le(maxnorm), 1.0)  # type: ignore[attr-defined]
    return mul(input, factor)


TORCH = (
    "amax", "amin", "aminmax", "max=max_", "min=min_", "argmax", "argmin", "median", "nanmedian",
    "mode", "all=all_", "any=any_", "prod", "nansum", "nanmean", "count_nonzero", "logsumexp",
    "norm", "dist", "renorm",
)  # fmt: skip
METHODS = TORCH
IN_PLACE = ("renorm",)
