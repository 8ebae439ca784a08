"""Ordering: sort, top k, and places in sorted sequences. NaN counts as the largest value."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.elementwise import into_typed, not_implemented
from cresset.ops.inplace import into, scalar_name
from cresset.ops.named import result
from cresset.ops.reduce import reduced_shape
from cresset.ops.registry import Op, Result, Tensor, apply, result_dtype, wrap_dim
from cresset.ops.view import unsqueeze

sort_result = result("sort", "values", "indices")
topk_result = result("topk", "values", "indices")
kthvalue_result = result("kthvalue", "values", "indices")


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
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
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
        return sort_result(into_typed(out[0], values), into_typed(out[1], indices))
    return sort_result(values, indices)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that would sort ``input`` along ``dim``.

    >>> import cresset as torch
    >>> torch.argsort(torch.tensor([3., 1., 2.]))
    tensor([1, 2, 0])
    """
    return sort(input, dim, descending).indices


def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension.

    >>> import cresset as torch
    >>> torch.msort(torch.tensor([3., 1., 2.]))
    tensor([1., 2., 3.])
    """
    return sort(input, 0).values


def _topk_infer(s: Spec, dim: int, k: int, largest: bool) -> Result:
    if s.dtype.is_complex:
        raise RuntimeError(" topk does not support complex dtypes on CPU")
    size = s.shape[dim] if s.shape else 1
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    if s.dtype is dtypes.bool_:
        raise RuntimeError("topk does not support bool dtypes on CPU")
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
        return topk_result(into_typed(out[0], values), into_typed(out[1], indices))
    return topk_result(values, indices)


def _kth_infer(s: Spec, dim: int, k: int, keepdim: bool) -> Result:
    size = s.shape[dim] if s.shape else 1
    if size == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if s.dtype is dtypes.bool_ or s.dtype.is_complex:
        raise not_implemented("kthvalue_cpu", s.dtype)
    shape = reduced_shape(s.shape, (dim,), keepdim) if s.shape else ()
    return Result((dense(s.dtype, shape, s.device), dense(dtypes.int64, shape, s.device)))


def _kth_kernel(xp: Any, x: Any, dim: int, k: int, keepdim: bool) -> tuple:
    if x.ndim == 0:
        return x.copy(), xp.zeros((), xp.int64)
    place = xp.take(_order(xp, x, dim, False), xp.arange(k - 1, k), dim)
    value = xp.take_along_axis(x, place, dim)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


def _kth_grad(n: Any, g: Any, gi: Any, indices: Tensor) -> tuple:
    dim, _, keepdim = n.call.params
    whole = n.call.specs[0]
    if g is None or not whole.shape:
        return (g,)
    if not keepdim:
        g, indices = unsqueeze(g, dim), unsqueeze(indices, dim)
    return (g.new_zeros(whole.shape).scatter(dim, indices, g),)


KTHVALUE = Op("kthvalue", _kth_infer, _kth_kernel, vjp=_kth_grad, save=(OUT - 1,), multi=True,
              family="sort")  # fmt: skip


def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The ``k``-th smallest value along ``dim`` (1 is the smallest) and its place.

    >>> import cresset as torch
    >>> torch.kthvalue(torch.tensor([3., 1., 2.]), 2).values
    tensor(2.)
    """
    params = (wrap_dim(dim, input.ndim), int(k), bool(keepdim))
    values, indices = apply(KTHVALUE, (input,), params)
    if out is not None:
        return kthvalue_result(into_typed(out[0], values), into_typed(out[1], indices))
    return kthvalue_result(values, indices)


# -- places in a sorted sequence ----------------------------------------------------------------


def _search_infer(edges: Spec, values: Spec, right: bool, d: Any) -> Result:
    compute = result_dtype(edges, values)
    if compute is dtypes.bool_ or compute.is_complex:
        raise not_implemented("searchsorted_out_cpu", compute)
    return Result((dense(d, values.shape, values.device),), compute)


def _search_kernel(xp: Any, edges: Any, values: Any, right: bool, d: Any) -> Any:
    side = "right" if right else "left"
    if edges.ndim == 1:
        return xp.searchsorted(edges, values, side=side)
    found = xp.empty(values.shape, xp.int64)
    for row in xp.ndindex(values.shape[:-1]):
        found[row] = xp.searchsorted(edges[row], values[row], side=side)
    return found


SEARCH = Op("searchsorted", _search_infer, _search_kernel, family="sort")


def _check_search(edges: Tensor, values: Any, right: bool, side: Any, sorter: Any) -> None:
    """PyTorch's conditions on the arguments of ``searchsorted``."""

    def refuse(words: str) -> None:
        raise RuntimeError("torch.searchsorted(): " + words)

    if side not in (None, "left", "right"):
        refuse(f"side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        refuse("side and right can't be set to opposites, got side of left while right was True")
    if not edges.ndim:
        refuse("boundaries tensor should have positive dimension, but got 0 dimension")
    if not isinstance(values, Tensor) or not values.ndim:
        if edges.ndim != 1:
            refuse(
                "input value can be a scalar only when boundaries tensor dimension is 1, but we "
                f"got boundaries tensor dim({edges.ndim}) and input value's dim(0) numel(1)"
            )
    elif edges.ndim > 1 and edges.shape[:-1] != values.shape[:-1]:
        refuse(
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor "
            f"{list(edges.shape)} and input value tensor {list(values.shape)}"
        )
    if sorter is None:
        return
    if sorter.shape != edges.shape:
        refuse(
            "boundary and sorter must have the same size, but got boundary tensor "
            f"{list(edges.shape)}and got sorter tensor {list(sorter.shape)}"
        )
    if sorter.dtype is not dtypes.int64:
        refuse(f"sorter must be a tensor of long dtype but got dtype {scalar_name(sorter.dtype)}")
    places = sorter._host()
    if places.size and not 0 <= places.min() <= places.max() < edges.shape[-1]:
        refuse("sorter index out of range")


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where each value would be inserted to keep the sequence sorted: the place before equal ones,
    or behind them with ``right``.

    Shapes: a sequence (n) takes values of any shape; sequences (*, n) take values (*, m).

    >>> import cresset as torch
    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([3, 6]))
    tensor([1, 3])
    """
    _check_search(sorted_sequence, input, right, side, sorter)
    d = dtypes.int32 if out_int32 else dtypes.int64
    if out is not None and out.dtype is not d:
        raise RuntimeError(
            "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or "
            "Long(int64) depending on whether out_int32 flag is True, but we got output tensor's "
            f"dtype {scalar_name(out.dtype)} and out_int32 flag is {out_int32}"
        )
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)  # type: ignore[attr-defined]
    if not isinstance(input, Tensor):
        kind = sorted_sequence.dtype
        if isinstance(input, float) and kind.category < dtypes.FLOAT:
            kind = dtypes.get_default_dtype()
        input = sorted_sequence.new_tensor(input, dtype=kind)  # type: ignore[attr-defined]
    return into(out, apply(SEARCH, (sorted_sequence.detach(), input.detach()),
                           (right or side == "right", d)))  # fmt: skip


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The bucket of each value between sorted ``boundaries``.

    >>> import cresset as torch
    >>> torch.bucketize(torch.tensor([0.5, 2.]), torch.tensor([0., 1., 2.]))
    tensor([1, 2])
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


TORCH = ("sort", "argsort", "msort", "topk", "kthvalue", "searchsorted", "bucketize")
METHODS = ("sort", "argsort", "msort", "topk", "kthvalue")
