"""Reductions that pick: largest and smallest, their places, median and mode.

Two rules for gradients, as in PyTorch: over several dimensions or over everything (``amax``,
``max`` and ``median`` without ``dim``) the elements that equal the result share the gradient; along
one dimension, where the place is a result too, the element at that place gets all of it.
"""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.cast import cast
from cresset.ops.elementwise import into_typed, not_implemented
from cresset.ops.inplace import into, scalar_name
from cresset.ops.named import result
from cresset.ops.pointwise import add, div, mul
from cresset.ops.reduce import (
    reduced_dims,
    reduced_shape,
    unreduce,
)
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import unsqueeze

max_result = result("max", "values", "indices")
min_result = result("min", "values", "indices")
median_result = result("median", "values", "indices")
nanmedian_result = result("nanmedian", "values", "indices")
mode_result = result("mode", "values", "indices")
aminmax_result = result("aminmax", "min", "max")


def _not_empty(s: Spec, dims: tuple[int, ...], name: str) -> None:
    for d in dims:
        if s.shape and s.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


# -- extremes over everything or over several dimensions -------------------------------------------


def _over_dims(name: str, label: str, larger: bool, grad_name: str, all_at_once: bool) -> Op:
    def infer(s: Spec, dims: tuple[int, ...], keepdim: bool) -> Result:
        if s.numel == 0:
            if all_at_once or (s.ndim == 1 and name.startswith("a")):
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            _not_empty(s, dims[::-1], name)
        elif s.dtype.is_complex:
            raise not_implemented(label, s.dtype)
        return Result((dense(s.dtype, reduced_shape(s.shape, dims, keepdim), s.device),))

    def kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
        return (xp.max if larger else xp.min)(x, axis=dims, keepdims=keepdim)

    return Op(name, infer, kernel, vjp=(_shared_by_all if all_at_once else _shared,),
              save=(0, OUT), family="reduce", grad_name=grad_name)  # fmt: skip


def _shared(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """The gradient is shared evenly by the elements that reach the extreme."""
    dims, keepdim = n.call.params
    whole = n.call.specs[0]
    at = unreduce(out, whole, dims, keepdim).eq(x)  # type: ignore[attr-defined]
    return _share(g, at, whole, dims, keepdim)


def _share(g: Tensor, at: Any, whole: Spec, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    mask = cast(at, g.dtype)
    count = sum_(mask, dims, True) if dims else mask
    return div(mul(unreduce(g, whole, dims, keepdim), mask), count)


def _shared_by_all(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """As ``_shared``; if the result is NaN, the elements that are NaN share."""
    whole = n.call.specs[0]
    nan = x.isnan().logical_and(out.isnan())  # type: ignore[attr-defined]
    return _share(g, x.eq(out).logical_or(nan), whole, tuple(range(whole.ndim)), False)  # type: ignore[attr-defined]


AMAX = _over_dims("amax", "max_values_cpu", True, "AmaxBackward0", False)
AMIN = _over_dims("amin", "min_values_cpu", False, "AminBackward0", False)
MAX_ALL = _over_dims("max", "max_all", True, "MaxBackward1", True)
MIN_ALL = _over_dims("min", "min_all", False, "MinBackward1", True)


def _same_dtype_out(out: Tensor | None, result: Tensor) -> Tensor:
    if out is not None and out.dtype is not result.dtype:
        raise RuntimeError(
            "Expected the dtype for input and out to match, but got "
            f"{scalar_name(result.dtype)} for input's dtype and {scalar_name(out.dtype)} for "
            "out's dtype."
        )
    return into(out, result)


def amax(
    input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The largest value over ``dim``; equal ones share the gradient.

    >>> import cresset as torch
    >>> torch.amax(torch.tensor([[1., 5.], [7., 3.]]), 1)
    tensor([5., 7.])
    """
    dims = reduced_dims(dim, input.ndim)
    return _same_dtype_out(out, apply(AMAX, (input,), (dims, keepdim)))


def amin(
    input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The smallest value over ``dim``; equal ones share the gradient.

    >>> import cresset as torch
    >>> torch.amin(torch.tensor([[1., 5.], [7., 3.]]), 1)
    tensor([1., 3.])
    """
    dims = reduced_dims(dim, input.ndim)
    return _same_dtype_out(out, apply(AMIN, (input,), (dims, keepdim)))


def _aminmax_infer(s: Spec, dim: int | None, keepdim: bool) -> Result:
    dims = reduced_dims(dim, s.ndim)
    if s.numel == 0:
        if dim is None:
            raise RuntimeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                "identity."
            )
        if s.shape[dim] == 0:
            raise IndexError(f"aminmax: Expected reduction dim {dim} to have non-zero size.")
    elif s.dtype.is_complex:
        raise not_implemented("aminmax_cpu", s.dtype)
    out = dense(s.dtype, reduced_shape(s.shape, dims, keepdim), s.device)
    return Result((out, out))


def _aminmax_kernel(xp: Any, x: Any, dim: int | None, keepdim: bool) -> tuple:
    axis = None if x.ndim == 0 else dim
    return xp.min(x, axis=axis, keepdims=keepdim), xp.max(x, axis=axis, keepdims=keepdim)


def _aminmax_grad(n: Any, g_min: Any, g_max: Any, x: Tensor, low: Tensor, high: Tensor) -> tuple:
    dim, keepdim = n.call.params
    whole = n.call.specs[0]
    dims = reduced_dims(dim, whole.ndim)
    parts = [
        _share(g, unreduce(y, whole, dims, keepdim).eq(x), whole, dims, keepdim)  # type: ignore[attr-defined]
        for g, y in ((g_min, low), (g_max, high))
        if g is not None
    ]
    return (add(*parts) if len(parts) == 2 else parts[0],)


AMINMAX = Op("aminmax", _aminmax_infer, _aminmax_kernel, vjp=_aminmax_grad, save=(0, OUT, OUT - 1),
             multi=True, family="reduce")  # fmt: skip


def aminmax(
    input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None
) -> Any:
    """``(min, max)`` of all elements, or along ``dim``.

    >>> import cresset as torch
    >>> torch.aminmax(torch.tensor([3., 1., 2.])).max
    tensor(3.)
    """
    d = None if dim is None else wrap_dim(dim, input.ndim)
    low, high = apply(AMINMAX, (input,), (d, keepdim))
    if out is not None:
        return aminmax_result(into_typed(out[0], low), into_typed(out[1], high))
    return aminmax_result(low, high)


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


def _pick(name: str, choose: Any, label: str = "", refuse: tuple[int, ...] = (dtypes.COMPLEX,),
          title: str = "", grad_name: str = "") -> Op:  # fmt: skip
    def infer(s: Spec, dim: int, keepdim: bool) -> Result:
        if s.dtype.is_complex and not label:
            raise RuntimeError(f"{name}(): does not support complex input")
        _not_empty(s, (dim,), title or name)
        if s.dtype.category in refuse:
            raise not_implemented(label, s.dtype)
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
              grad_name=grad_name or name.title() + "Backward0")  # fmt: skip


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


_NO_MEDIAN = (dtypes.BOOL, dtypes.COMPLEX)
MAX_DIM = _pick("max", lambda xp, x, d: xp.argmax(x, axis=d))
MIN_DIM = _pick("min", lambda xp, x, d: xp.argmin(x, axis=d))
MEDIAN_DIM = _pick("median", _median_places, "median_out", _NO_MEDIAN, "", "MedianBackward1")
NANMEDIAN_DIM = _pick("nanmedian", _nanmedian_places, "median_out", _NO_MEDIAN, "median",
                      "NanmedianBackward1")  # fmt: skip
MODE = _pick("mode", _mode_places, "mode_cpu")


def _along(op: Op, kind: Any, x: Tensor, dim: int, keepdim: bool, out: Any) -> Any:
    d = wrap_dim(dim, x.ndim)
    values, indices = apply(op, (x,), (d, keepdim))
    if out is not None:
        return kind(into_typed(out[0], values), into_typed(out[1], indices))
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
                + ("to be specified for input.numel() == 0."
                   if dim is None else f"{dim} to have non-zero size.")
            )  # fmt: skip
        if s.dtype.is_complex or s.dtype is dtypes.bool_:
            kind = "complex" if s.dtype.is_complex else "bool"
            raise RuntimeError(f"{name}(): does not support {kind} input")
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
        return into_typed(out, apply(op, (input,), (d, keepdim)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Where the {"largest" if larger else "smallest"} value is (along ``dim``).

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([3., 1., 2.]))
    tensor({0 if larger else 1})
    """
    return function


argmax, argmin = _arg("argmax", True), _arg("argmin", False)


def _median_of_all(name: str, places: Any) -> Op:
    def infer(s: Spec) -> Result:
        if s.dtype.category in _NO_MEDIAN:
            raise not_implemented("median_cpu", s.dtype)
        return Result((dense(s.dtype, (), s.device),))

    def kernel(xp: Any, x: Any) -> Any:
        flat = x.reshape(-1)
        if flat.size:
            return flat[places(xp, flat, 0)]
        # Of nothing: what a NaN becomes when it is converted.
        signed = x.dtype.kind == "i" and x.dtype.itemsize >= 4
        nothing = xp.nan if x.dtype.kind == "f" else xp.iinfo(x.dtype).min if signed else 0
        return xp.asarray(nothing, x.dtype)

    return Op(name, infer, kernel, vjp=(_shared_by_all,), save=(0, OUT), family="reduce")


def _median(name: str, op_all: Op, op: Op, kind: Any, doc: str) -> Any:
    def function(input: Tensor, dim: int | None = None, keepdim: bool = False, *,
                 out: Any = None) -> Any:  # fmt: skip
        if dim is None:
            return apply(op_all, (input,))
        return _along(op, kind, input, dim, keepdim, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


MEDIAN, NANMEDIAN = (
    _median_of_all("median", _median_places), _median_of_all("nanmedian", _nanmedian_places),
)  # fmt: skip
median = _median(
    "median", MEDIAN, MEDIAN_DIM, median_result,
    """The lower median of all elements, or along ``dim`` (values, indices); NaN wins.

    >>> import cresset as torch
    >>> torch.median(torch.tensor([4., 1., 3., 2.]))
    tensor(2.)
    """,
)  # fmt: skip
nanmedian = _median(
    "nanmedian", NANMEDIAN, NANMEDIAN_DIM, nanmedian_result,
    """The median of what is not NaN.

    >>> import cresset as torch
    >>> torch.nanmedian(torch.tensor([4., float('nan'), 3.]))
    tensor(3.)
    """,
)  # fmt: skip


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent value along ``dim`` and the last place where it occurs.

    >>> import cresset as torch
    >>> torch.mode(torch.tensor([3., 1., 3.])).indices
    tensor(2)
    """
    return _along(MODE, mode_result, input, dim, keepdim, out)


TORCH = (
    "amax", "amin", "aminmax", "max=max_", "min=min_", "argmax", "argmin", "median", "nanmedian",
    "mode",
)  # fmt: skip
METHODS = TORCH
