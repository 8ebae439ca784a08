"""Cumulative ops along one dimension."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.elementwise import into_typed, not_implemented
from cresset.ops.inplace import into
from cresset.ops.named import result
from cresset.ops.pointwise import add, conj, div, mul, neg, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim

cummax_result = result("cummax", "values", "indices")
cummin_result = result("cummin", "values", "indices")


def _scan_infer(s: Spec, dim: int, d: dtype) -> Result:
    return Result((dense(d, s.shape, s.device),), d)


def _reversed_sum(g: Tensor, dim: int) -> Tensor:
    """Sums of the tail: the transpose of cumsum."""
    from cresset.ops.rearrange import flip

    if not g.shape:
        return g
    return flip(cumsum(flip(g, [dim]), dim), [dim])


def _running(xp: Any, x: Any) -> Any:
    """The type to go on in: half precision is rounded only in the result."""
    return xp.float32 if x.dtype == xp.float16 else x.dtype


CUMSUM = Op(
    "cumsum", _scan_infer,
    lambda xp, x, dim, d: xp.cumsum(x, axis=dim, dtype=_running(xp, x)) if x.ndim else x.copy(),
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
    if not x.shape or not x.numel():
        return cast(g, x.dtype)
    given = x.dtype
    x = cast(x, out.dtype)
    safe = x.eq(0)  # type: ignore[attr-defined]
    quotient = div(_reversed_sum(mul(g, conj(out)), dim), conj(x))
    zeros_before = cumsum(safe, dim)
    direct = _cumprod_direct(g, x, dim)
    from cresset.ops.select import where

    return cast(where(zeros_before.gt(0), direct, quotient), given)  # type: ignore[attr-defined]


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
        parts.append(sum_(mul(g.narrow(dim, i, size - i), conj(tail)), dim))  # type: ignore[attr-defined]
    return stack(parts, dim)


CUMPROD = Op(
    "cumprod", _scan_infer,
    lambda xp, x, dim, d: xp.cumprod(x, axis=dim, dtype=_running(xp, x)) if x.ndim else x.copy(),
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
        if s.dtype.is_complex:
            raise not_implemented(name + "_cpu", s.dtype)
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


def _along(op: Op, kind: Any, x: Tensor, dim: int, out: Any) -> Any:
    values, indices = apply(op, (x,), (wrap_dim(dim, x.ndim),))
    if out is not None:
        return kind(into_typed(out[0], values), into_typed(out[1], indices))
    return kind(values, indices)


def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Running maxima along ``dim`` and where they were found (the last of equals).

    >>> import cresset as torch
    >>> torch.cummax(torch.tensor([3., 1., 5.]), 0).indices
    tensor([0, 0, 2])
    """
    return _along(CUMMAX, cummax_result, input, dim, out)


def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Running minima along ``dim`` and where they were found (the last of equals).

    >>> import cresset as torch
    >>> torch.cummin(torch.tensor([3., 1., 5.]), 0).indices
    tensor([0, 1, 1])
    """
    return _along(CUMMIN, cummin_result, input, dim, out)


def _logcumsumexp_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """``exp(x) * reversed cumsum(g exp(-out))``, in logarithms so that nothing overflows; positive
    and negative gradients apart."""
    dim = n.call.params[0]
    lowest = dtypes.finfo(g.dtype).min

    def part(size: Any) -> Tensor:
        logs = size.clamp(min=0).log().clamp(min=lowest)
        tail = logcumsumexp(flip(sub(logs, out), [dim]), dim)
        return add(flip(tail, [dim]), x).exp()  # type: ignore[attr-defined]

    from cresset.ops.rearrange import flip

    if not x.shape:
        return g
    return sub(part(g), part(neg(g)))


LOGCUMSUMEXP = Op(
    "logcumsumexp", _scan_infer,
    lambda xp, x, dim, d: xp.logaddexp.accumulate(x, axis=dim) if x.ndim else x.copy(),
    vjp=(_logcumsumexp_grad,), save=(0, OUT), family="scan",
)  # fmt: skip


def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """``log(cumsum(exp(input)))`` along ``dim``, without overflow.

    >>> import cresset as torch
    >>> torch.logcumsumexp(torch.tensor([0., 0.]), 0)
    tensor([0.0000, 0.6931])
    """
    d = wrap_dim(dim, input.ndim)
    if input.dtype.category < dtypes.FLOAT:
        raise not_implemented("logcumsumexp_out_cpu", input.dtype)
    return into(out, apply(LOGCUMSUMEXP, (input,), (d, input.dtype)))


def _check_fits(input: Tensor, more: Tensor | None, dim: int) -> None:
    """Whether ``more`` can be put before or behind ``input``."""
    if more is None:
        return
    if more.ndim != input.ndim:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for i, (n, m) in enumerate(zip(input.shape, more.shape, strict=True)):
        if i != dim and n != m:
            raise RuntimeError(
                "diff expects the shape of tensor to prepend or append to match that of input "
                f"except along the differencing dimension; input.size({i}) = {n}, but got "
                f"tensor.size({i}) = {m}"
            )


def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
         append: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Differences of neighbours along ``dim``, ``n`` times.

    >>> import cresset as torch
    >>> torch.diff(torch.tensor([1, 3, 6]))
    tensor([2, 3])
    """
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    d = wrap_dim(dim, input.ndim)
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if prepend is not None or append is not None:
        from cresset.ops.join import cat

        for more in (prepend, append):
            _check_fits(input, more, d)
        input = cat([t for t in (prepend, input, append) if t is not None], d)
    if n == 0:
        return into(out, input.clone())  # type: ignore[attr-defined]
    for _ in range(n):
        size = input.shape[d]
        if size <= 1:
            return into(out, input.narrow(d, 0, 0))  # type: ignore[attr-defined]
        later, earlier = input.narrow(d, 1, size - 1), input.narrow(d, 0, size - 1)  # type: ignore[attr-defined]
        input = later.ne(earlier) if input.dtype is dtypes.bool_ else sub(later, earlier)
    return into(out, input)


def _strips(y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    """The areas between neighbours: mean height times width."""
    d = wrap_dim(dim, y.ndim)
    n = y.shape[d]
    pairs = add(y.narrow(d, 1, n - 1), y.narrow(d, 0, n - 1))  # type: ignore[attr-defined]
    if x is None:
        return mul(pairs, dx / 2)
    if x.ndim == 1 and y.ndim > 1:
        width = diff(x).reshape([-1 if i == d else 1 for i in range(y.ndim)])  # type: ignore[attr-defined]
    else:
        width = diff(x, dim=d - y.ndim)
    return div(mul(pairs, width), 2)


def _no_strips(name: str, y: Tensor, x: Tensor | None, dim: int) -> bool:
    """Whether there is no strip; raises for what has no dimension to integrate over."""
    if not y.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if dtypes.bool_ in (y.dtype, None if x is None else x.dtype):
        which = "y" if y.dtype is dtypes.bool_ else "x"
        raise RuntimeError(
            f"{name}: received a bool input for `{which}`, but bool is not supported"
        )
    n = y.shape[wrap_dim(dim, y.ndim)]
    if x is not None and x.ndim == 1 and x.shape[0] != n:
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    return n <= 1


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral of ``y`` by the trapezoidal rule, at points ``x`` or in steps of ``dx``.

    >>> import cresset as torch
    >>> torch.trapezoid(torch.tensor([1., 5., 10.]))
    tensor(10.5000)
    """
    if _no_strips("trapezoid", y, x, dim):
        return y.new_zeros(y.shape[:-1])  # type: ignore[attr-defined]
    return sum_(_strips(y, x, dx, dim), dim)


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1
) -> Tensor:
    """The running integral of ``y`` by the trapezoidal rule; one element shorter than ``y``.

    >>> import cresset as torch
    >>> torch.cumulative_trapezoid(torch.tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000])
    """
    if _no_strips("cumulative_trapezoid", y, x, dim):
        return y.new_zeros(y.shape[:-1])  # type: ignore[attr-defined]
    return cumsum(_strips(y, x, dx, dim), dim)


trapz = trapezoid

TORCH = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff", "trapezoid", "trapz",
         "cumulative_trapezoid")  # fmt: skip
METHODS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff")
IN_PLACE = ("cumsum", "cumprod")
