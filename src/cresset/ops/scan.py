"""Cumulative ops along one dimension."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.inplace import into
from cresset.ops.pointwise import div, mul, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim

cummax_result = namedtuple("cummax_result", ["values", "indices"])
cummin_result = namedtuple("cummin_result", ["values", "indices"])


def _scan_infer(s: Spec, dim: int, d: dtype) -> Result:
    return Result((dense(d, s.shape, s.device),), d)


def _reversed_sum(g: Tensor, dim: int) -> Tensor:
    """Sums of the tail: the transpose of cumsum."""
    from cresset.ops.join import flip

    if not g.shape:
        return g
    return flip(cumsum(flip(g, [dim]), dim), [dim])


CUMSUM = Op(
    "cumsum", _scan_infer,
    lambda xp, x, dim, d: xp.cumsum(x, axis=dim, dtype=x.dtype) if x.ndim else x.copy(),
    vjp=(lambda n, g: _reversed_sum(g, n.call.params[0]).to(n.call.specs[0].dtype),),  # type: ignore[attr-defined]
    family="scan",
)  # fmt: skip


def _scan_dtype(x: Tensor, d: dtype | None) -> dtype:
    return d or (dtypes.int64 if x.dtype.category < dtypes.FLOAT else x.dtype)


def cumsum(
    input: Tensor, dim: int, *, dtype: dtype | None = None, out: Tensor | None = None
) -> Tensor:
    """Running sums along ``dim``.

    >>> import cresset as torch
    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(CUMSUM, (input,), (d, _scan_dtype(input, dtype))))


def _cumprod_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """dx[i] = sum over k >= i of g[k] * out[k] / x[i]; with a zero the quotient is built
    directly."""
    dim = n.call.params[0]
    if not x.shape:
        return g
    safe = x.eq(0)  # type: ignore[attr-defined]
    quotient = div(_reversed_sum(mul(g, out), dim), x)
    zeros_before = cumsum(safe, dim)
    direct = _cumprod_direct(g, x, dim)
    from cresset.ops.select import where

    return where(zeros_before.gt(0), direct, quotient)  # type: ignore[attr-defined]


def _cumprod_direct(g: Tensor, x: Tensor, dim: int) -> Tensor:
    """The same gradient by products that leave out one factor; quadratic, right at zeros."""
    from cresset.ops.join import stack

    size = x.shape[dim]
    parts = []
    for i in range(size):
        # product of x[0..k] without x[i], for every k >= i
        without = x.clone()  # type: ignore[attr-defined]
        without.select(dim, i).fill_(1)
        products = apply(CUMPROD, (without,), (dim, x.dtype))
        tail = products.narrow(dim, i, size - i)
        parts.append(sum_(mul(g.narrow(dim, i, size - i), tail), dim))  # type: ignore[attr-defined]
    return stack(parts, dim)


CUMPROD = Op(
    "cumprod", _scan_infer,
    lambda xp, x, dim, d: xp.cumprod(x, axis=dim, dtype=x.dtype) if x.ndim else x.copy(),
    vjp=(_cumprod_grad,), save=(0, OUT), family="scan",
)  # fmt: skip


def cumprod(
    input: Tensor, dim: int, *, dtype: dtype | None = None, out: Tensor | None = None
) -> Tensor:
    """Running products along ``dim``.

    >>> import cresset as torch
    >>> torch.cumprod(torch.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(CUMPROD, (input,), (d, _scan_dtype(input, dtype))))


def _extreme_scan(name: str, larger: bool) -> Op:
    def infer(s: Spec, dim: int) -> Result:
        return Result((dense(s.dtype, s.shape, s.device), dense(dtypes.int64, s.shape, s.device)))

    def kernel(xp: Any, x: Any, dim: int) -> tuple:
        if x.ndim == 0 or x.size == 0:
            return x.copy(), xp.zeros(x.shape, xp.int64)
        running = (xp.maximum if larger else xp.minimum).accumulate(x, axis=dim)
        # A position is taken over where the value equals the running extreme (later ones win).
        index = xp.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
        hit = (x == running) | (x != x)
        places = xp.maximum.accumulate(xp.where(hit, index, 0), axis=dim)
        return running, places

    return Op(name, infer, kernel, vjp=_extreme_scan_grad, save=(OUT - 1,), multi=True,
              family="scan")  # fmt: skip


def _extreme_scan_grad(n: Any, g: Any, gi: Any, indices: Tensor) -> tuple:
    if g is None:
        return (None,)
    if not g.shape:
        return (g,)
    zeros = g.new_zeros(g.shape)
    return (zeros.scatter_add(n.call.params[0], indices, g),)


CUMMAX, CUMMIN = _extreme_scan("cummax", True), _extreme_scan("cummin", False)


def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Running maxima along ``dim`` and where they were found."""
    return cummax_result(*apply(CUMMAX, (input,), (wrap_dim(dim, input.ndim),)))


def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Running minima along ``dim`` and where they were found."""
    return cummin_result(*apply(CUMMIN, (input,), (wrap_dim(dim, input.ndim),)))


def _logcumsumexp_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    dim = n.call.params[0]
    scaled = mul(g, out.neg().exp())  # type: ignore[attr-defined]
    return mul(_reversed_sum(scaled, dim), x.exp())  # type: ignore[attr-defined]


LOGCUMSUMEXP = Op(
    "logcumsumexp", _scan_infer,
    lambda xp, x, dim, d: xp.logaddexp.accumulate(x, axis=dim) if x.ndim else x.copy(),
    vjp=(_logcumsumexp_grad,), save=(0, OUT), family="scan",
)  # fmt: skip


def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """``log(cumsum(exp(input)))`` along ``dim``, without overflow."""
    return into(out, apply(LOGCUMSUMEXP, (input,), (wrap_dim(dim, input.ndim), input.dtype)))


def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
         append: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Differences of neighbours along ``dim``, ``n`` times.

    >>> import cresset as torch
    >>> torch.diff(torch.tensor([1, 3, 6]))
    tensor([2, 3])
    """
    if prepend is not None or append is not None:
        from cresset.ops.join import cat

        input = cat([t for t in (prepend, input, append) if t is not None], dim)
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    d = wrap_dim(dim, input.ndim)
    for _ in range(n):
        size = input.shape[d]
        if size <= 1:
            return input.narrow(d, 0, 0)  # type: ignore[attr-defined]
        later, earlier = input.narrow(d, 1, size - 1), input.narrow(d, 0, size - 1)  # type: ignore[attr-defined]
        input = later.ne(earlier) if input.dtype is dtypes.bool_ else sub(later, earlier)
    return into(out, input)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral of ``y`` by the trapezoidal rule."""
    n = y.shape[dim]
    pairs = y.narrow(dim, 1, n - 1) + y.narrow(dim, 0, n - 1)  # type: ignore[attr-defined]
    width = dx if x is None else diff(x, dim=-1 if x.ndim == 1 else dim)
    return mul(sum_(mul(pairs, width), dim), 0.5)


trapz = trapezoid

TORCH = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff", "trapezoid", "trapz")
METHODS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff")
IN_PLACE = ("cumsum", "cumprod")
