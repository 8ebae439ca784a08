"""Ordering: sort, top k, searching, and counting of equal values."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.extremes import _named_repr
from cresset.ops.inplace import into
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import reshape
from cresset.tensor import from_array

sort_result = namedtuple("sort_result", ["values", "indices"])
topk_result = namedtuple("topk_result", ["values", "indices"])
kthvalue_result = namedtuple("kthvalue_result", ["values", "indices"])
for _t, _name in ((sort_result, "sort"), (topk_result, "topk"), (kthvalue_result, "kthvalue")):
    _t.__name__ = _t.__qualname__ = _name
    _t.__repr__ = _named_repr  # type: ignore[method-assign]


def _put_back(n: Any, g: Any, gi: Any, indices: Tensor) -> tuple:
    """Gradients go to the places the values came from."""
    if g is None:
        return (None,)
    whole = n.call.specs[0]
    if not whole.shape:
        return (g,)
    return (g.new_zeros(whole.shape).scatter(n.call.params[0], indices, g),)


def _order(xp: Any, x: Any, dim: int, descending: bool) -> Any:
    """A stable order; NaN counts as the largest value."""
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable")
    # Stable descending: sort the reversed array ascending and reverse the result.
    turned = xp.argsort(xp.flip(x, dim), axis=dim, kind="stable")
    return x.shape[dim] - 1 - xp.flip(turned, dim)


def _sort_infer(s: Spec, dim: int, descending: bool) -> Result:
    if s.dtype.is_complex:
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    return Result((dense(s.dtype, s.shape, s.device), dense(dtypes.int64, s.shape, s.device)))


def _sort_kernel(xp: Any, x: Any, dim: int, descending: bool) -> tuple:
    if x.ndim == 0:
        return x.copy(), xp.zeros((), xp.int64)
    order = _order(xp, x, dim, descending)
    return xp.take_along_axis(x, order, dim), order


SORT = Op("sort", _sort_infer, _sort_kernel, vjp=_put_back, save=(OUT - 1,), multi=True,
          family="sort")  # fmt: skip


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """Values in order along ``dim``, and where each came from. Equal values keep their order.

    >>> import cresset as torch
    >>> torch.sort(torch.tensor([3., 1., 2.])).indices
    tensor([1, 2, 0])
    """
    values, indices = apply(SORT, (input,), (wrap_dim(dim, input.ndim), bool(descending)))
    if out is not None:
        return sort_result(into(out[0], values), into(out[1], indices))
    return sort_result(values, indices)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that would sort ``input`` along ``dim``.

    >>> import cresset as torch
    >>> torch.argsort(torch.tensor([3., 1., 2.]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending).indices


def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    return sort(input, 0).values


def _topk_infer(s: Spec, dim: int, k: int, largest: bool) -> Result:
    size = s.shape[dim] if s.shape else 1
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    shape = tuple(k if i == dim else n for i, n in enumerate(s.shape))
    return Result((dense(s.dtype, shape, s.device), dense(dtypes.int64, shape, s.device)))


def _topk_kernel(xp: Any, x: Any, dim: int, k: int, largest: bool) -> tuple:
    if x.ndim == 0:
        return x.copy(), xp.zeros((), xp.int64)
    order = xp.take(_order(xp, x, dim, largest), xp.arange(k), dim)
    return xp.take_along_axis(x, order, dim), order


TOPK = Op("topk", _topk_infer, _topk_kernel, vjp=_put_back, save=(OUT - 1,), multi=True,
          family="sort")  # fmt: skip


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *,
    out: Any = None,
) -> Any:  # fmt: skip
    """The ``k`` largest (or smallest) values along ``dim`` and their places.

    >>> import cresset as torch
    >>> torch.topk(torch.tensor([1., 4., 3.]), 2).values
    tensor([4., 3.])
    """
    k = int(k)
    values, indices = apply(TOPK, (input,), (wrap_dim(dim, input.ndim), k, bool(largest)))
    if out is not None:
        return topk_result(into(out[0], values), into(out[1], indices))
    return topk_result(values, indices)


def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The ``k``-th smallest value along ``dim`` (1 is the smallest) and its place."""
    d = wrap_dim(dim, input.ndim)
    size = input.shape[d] if input.shape else 1
    if not 1 <= k <= size:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(d))
    values, indices = apply(TOPK, (input,), (d, k, False))
    if input.shape:
        values, indices = values.narrow(d, k - 1, 1), indices.narrow(d, k - 1, 1)
        if not keepdim:
            values, indices = values.squeeze(d), indices.squeeze(d)
    return kthvalue_result(values, indices)


# -- equal values (the shape of the result depends on the values, so these run at once) ------------


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The distinct values in order; optionally where each element went and how often each occurs.

    >>> import cresset as torch
    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = input.detach()._array()
    axis = None if dim is None else wrap_dim(dim, input.ndim)
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=axis)
    results = [from_array(values.copy(), input.dtype, input.device)]
    if return_inverse:
        shaped = inverse.reshape(x.shape) if axis is None else inverse.reshape(-1)
        results.append(from_array(shaped, dtypes.int64, input.device))
    if return_counts:
        results.append(from_array(counts, dtypes.int64, input.device))
    return results[0] if len(results) == 1 else tuple(results)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The values without repetitions of neighbours."""
    x = input.detach()._array()
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, wrap_dim(dim, input.ndim), 0)
    flat = rows.reshape(rows.shape[0], -1) if rows.size else rows.reshape(rows.shape[0], 0)
    new = np.ones(rows.shape[0], bool)
    if rows.shape[0] > 1:
        new[1:] = (flat[1:] != flat[:-1]).any(1)
    starts = np.nonzero(new)[0]
    kept = rows[starts]
    if dim is not None:
        kept = np.moveaxis(kept, 0, wrap_dim(dim, input.ndim))
    results = [from_array(kept.copy(), input.dtype, input.device)]
    if return_inverse:
        inverse = np.cumsum(new) - 1
        results.append(
            from_array(inverse.reshape(x.shape) if dim is None else inverse, dtypes.int64)
        )
    if return_counts:
        counts = np.diff(np.append(starts, rows.shape[0]))
        results.append(from_array(counts, dtypes.int64))
    return results[0] if len(results) == 1 else tuple(results)


def _search_infer(edges: Spec, values: Spec, right: bool, d: Any) -> Result:
    return Result((dense(d, values.shape, values.device),))


def _search_kernel(xp: Any, edges: Any, values: Any, right: bool, d: Any) -> Any:
    side = "right" if right else "left"
    if edges.ndim == 1:
        return xp.searchsorted(edges, values, side=side)
    flat_edges = edges.reshape(-1, edges.shape[-1])
    flat_values = values.reshape(-1, values.shape[-1])
    rows = [xp.searchsorted(e, v, side=side) for e, v in zip(flat_edges, flat_values, strict=True)]
    return xp.stack(rows).reshape(values.shape)


SEARCH = Op("searchsorted", _search_infer, _search_kernel, family="sort")


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where each value would be inserted to keep the sequence sorted.

    >>> import cresset as torch
    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([3, 6]))
    tensor([1, 3])
    """
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)  # type: ignore[attr-defined]
    if not isinstance(input, Tensor):
        input = sorted_sequence.new_tensor(input)  # type: ignore[attr-defined]
    if side is not None:
        right = side == "right"
    d = dtypes.int32 if out_int32 else dtypes.int64
    return into(out, apply(SEARCH, (sorted_sequence.detach(), input.detach()), (right, d)))


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The bucket of each value between sorted ``boundaries``."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative int occurs.

    >>> import cresset as torch
    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if input.ndim != 1 or input.dtype.category != dtypes.INT:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    x = input._array()
    if x.size and x.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return from_array(np.bincount(x, minlength=minlength), dtypes.int64, input.device)
    d = weights.dtype if weights.dtype is dtypes.float32 else dtypes.float64
    counts = np.bincount(x, weights._host(), minlength)
    return from_array(counts, d, input.device)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *,
          out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Counts in ``bins`` equal intervals between ``min`` and ``max`` (the data's own if equal)."""
    x = input._host().reshape(-1)
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(x, bins, (low, high))
    return into(out, from_array(counts, input.dtype, input.device))


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The ``q``-quantiles of all elements or along ``dim``.

    >>> import cresset as torch
    >>> torch.quantile(torch.tensor([1., 2., 3., 4.]), 0.5)
    tensor(2.5000)
    """
    x = reshape(input, (-1,)) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, input.ndim)
    ordered = sort(x, d).values
    if not isinstance(q, Tensor):
        q = x.new_tensor(q)  # type: ignore[attr-defined]
    last = x.shape[d] - 1
    position = q * last
    below = position.floor().clamp(0, last)
    if interpolation == "nearest":
        below = position.round()
    above = position.ceil().clamp(0, last)
    flat_below, flat_above = reshape(below, (-1,)).long(), reshape(above, (-1,)).long()
    low, high = ordered.index_select(d, flat_below), ordered.index_select(d, flat_above)
    part = reshape(position - below, [-1 if i == d else 1 for i in range(x.ndim)])
    if interpolation in ("lower", "nearest"):
        result = low
    elif interpolation == "higher":
        result = high
    elif interpolation == "midpoint":
        result = (low + high) * 0.5
    else:
        result = low + (high - low) * part
    result = result.movedim(d, 0)
    if keepdim:
        shape = (
            [1] * input.ndim if dim is None else [1 if i == d else n for i, n in enumerate(x.shape)]
        )
        result = reshape(result, (*([len(flat_below)] if q.ndim else []), *shape))
    elif not q.ndim:
        result = result.squeeze(0)
    return into(out, result)


TORCH = (
    "sort", "argsort", "msort", "topk", "kthvalue", "unique", "unique_consecutive", "searchsorted",
    "bucketize", "bincount", "histc", "quantile",
)  # fmt: skip
METHODS = (
    "sort", "argsort", "msort", "topk", "kthvalue", "unique", "unique_consecutive", "bincount",
    "histc", "quantile",
)  # fmt: skip
