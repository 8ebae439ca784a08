"""Reading and writing at places given by index tensors along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.pointwise import mul
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import expand, reshape
from cresset.tensor import from_array


def _check_index(s: Spec, name: str) -> None:
    if s.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index")


def _bounds(xp: Any, index: Any, size: int, dim: int, negative: bool = False) -> None:
    if index.size:
        low, high = int(index.min()), int(index.max())
        if high >= size or low < (-size if negative else 0):
            bad = high if high >= size else low
            raise RuntimeError(f"index {bad} is out of bounds for dimension {dim} with size {size}")


# -- gather and scatter -----------------------------------------------------------------------------


def _gather_infer(x: Spec, index: Spec, dim: int) -> Result:
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError("gather(): Expected dtype int64 for index")
    if max(x.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for d in range(index.ndim):
        if d != dim and x.ndim and index.shape[d] > x.shape[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no "
                f"larger than self {list(x.shape)} apart from dimension {dim}"
            )
    return Result((dense(x.dtype, index.shape, x.device),))


def _cut(x: Any, index: Any, dim: int) -> Any:
    """``x`` limited to the index's extent in the other dimensions."""
    return x[tuple(slice(None) if d == dim else slice(0, n) for d, n in enumerate(index.shape))]


def _gather_kernel(xp: Any, x: Any, index: Any, dim: int) -> Any:
    if x.ndim == 0:
        return x.reshape(index.shape).copy()
    index = index.astype(xp.int64)
    _bounds(xp, index, x.shape[dim], dim)
    return xp.take_along_axis(_cut(x, index, dim), index, dim)


GATHER = Op(
    "gather", _gather_infer, _gather_kernel, raw=True, checks_values=True, save=(1,),
    family="gather",
    vjp=(
        lambda n, g, index: apply(
            SCATTER_ADD,
            (g.new_zeros(n.call.specs[0].shape), index, g), n.call.params,
        ),
        None,
    ),
)  # fmt: skip


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False,
           out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on.

    >>> import cresset as torch
    >>> torch.gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    return into(out, apply(GATHER, (input, index), (wrap_dim(dim, input.ndim),)))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *,
                   out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``gather`` with broadcasting; without ``dim`` on the flattened tensor."""
    if dim is None:
        return into(out, gather(reshape(input, (-1,)), 0, reshape(indices, (-1,))))
    d = wrap_dim(dim, input.ndim)
    shape = [max(a, b) for a, b in zip(input.shape, indices.shape, strict=True)]
    x = expand(input, [input.shape[d] if i == d else n for i, n in enumerate(shape)])
    index = expand(indices, [indices.shape[d] if i == d else n for i, n in enumerate(shape)])
    return into(out, gather(x, d, index))


def _scatter_infer(x: Spec, index: Spec, src: Spec, dim: int, *rest: Any) -> Result:
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError("scatter(): Expected dtype int64 for index")
    if index.numel and max(x.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src.number is None and src.dtype is not x.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    for d in range(index.ndim if index.numel else 0):
        if x.ndim and d != dim and index.shape[d] > x.shape[d]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} "
                f"apart from dimension {dim}"
            )
        if src.number is None and src.ndim and index.shape[d] > src.shape[d]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than src {list(src.shape)} "
                f"apart from dimension {dim}"
            )
    return Result((dense(x.dtype, x.shape, x.device),), x.dtype)


def _places(xp: Any, index: Any, dim: int) -> tuple:
    """The index as a full tuple of coordinate arrays."""
    grids = list(xp.ogrid[tuple(slice(0, n) for n in index.shape)])
    grids[dim] = index
    return tuple(grids)


def _sources(xp: Any, src: Any, index: Any) -> Any:
    if hasattr(src, "ndim") and src.ndim:
        return src[tuple(slice(0, n) for n in index.shape)]
    return src


def _scatter_kernel(xp: Any, x: Any, index: Any, src: Any, dim: int, mode: str, keep: bool) -> Any:
    result = x.copy()
    index = index.astype(xp.int64)
    if index.size == 0:
        return result
    if result.ndim == 0:
        result, index = result.reshape(1), index.reshape(-1)
        return _scatter_at(xp, result, index, src if not hasattr(src, "ndim") else src.reshape(-1),
                           0, mode, keep).reshape(x.shape)  # fmt: skip
    return _scatter_at(xp, result, index, src, dim, mode, keep)


_UFUNCS = {"sum": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _scatter_at(xp: Any, result: Any, index: Any, src: Any, dim: int, mode: str, keep: bool) -> Any:
    _bounds(xp, index, result.shape[dim], dim)
    places = _places(xp, index, dim)
    values = _sources(xp, src, index)
    if mode == "set":
        result[places] = values
        return result
    if not keep:
        start = {"sum": 0, "mean": 0, "prod": 1}.get(mode)
        if start is None:
            info = np.finfo if result.dtype.kind == "f" else np.iinfo
            low = -xp.inf if result.dtype.kind == "f" else info(result.dtype).min
            high = xp.inf if result.dtype.kind == "f" else info(result.dtype).max
            start = low if mode == "amax" else high
        result[places] = start
    if mode == "mean":
        count = xp.full(result.shape, 1 if keep else 0, xp.int64)
        xp.add.at(result, places, values)
        xp.add.at(count, places, 1)
        count = xp.maximum(count, 1)
        return result / count if result.dtype.kind == "f" else result // count
    getattr(xp, _UFUNCS[mode]).at(result, places, values)
    return result


def _scatter_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    dim = n.call.params[0]
    needs = n.needs
    zeros = apply(SCATTER, (g, index, 0), (dim, "set", True)) if needs[0] else None
    return zeros, None, _reduce_src(gather(g, dim, index), n.call.specs[2]) if needs[2] else None


def _reduce_src(g: Tensor, src: Spec) -> Tensor:
    """A gradient of the used part of ``src``, in zeros of its whole shape."""
    if g.shape == src.shape:
        return g
    from cresset.ops.join import pad

    widths = [w for a, b in zip(reversed(src.shape), reversed(g.shape), strict=True)
              for w in (0, a - b)]  # fmt: skip
    return pad(g, widths)


SCATTER = Op("scatter", _scatter_infer, _scatter_kernel, vjp=_scatter_grad, save=(1,),
             checks_values=True, family="scatter")  # fmt: skip


def _scatter_add_kernel(xp: Any, x: Any, index: Any, src: Any, dim: int) -> Any:
    return _scatter_kernel(xp, x, index, src, dim, "sum", True)


def _scatter_add_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    needs = n.needs
    part = gather(g, n.call.params[0], index) if needs[2] else None
    return (
        g if needs[0] else None,
        None,
        part if part is None else _reduce_src(part, n.call.specs[2]),
    )


SCATTER_ADD = Op("scatter_add", _scatter_infer, _scatter_add_kernel, vjp=_scatter_add_grad,
                 save=(1,), checks_values=True, family="scatter")  # fmt: skip


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
            reduce: str | None = None, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` (a tensor or number) written at ``index`` along ``dim``.

    >>> import cresset as torch
    >>> torch.zeros(1, 3).scatter(1, torch.tensor([[2]]), 1.0)
    tensor([[0., 0., 1.]])
    """
    d = wrap_dim(dim, input.ndim)
    source = value if src is None else src
    if reduce is None:
        return into(out, apply(SCATTER, (input, index, source), (d, "set", True)))
    mode = {"add": "sum", "multiply": "prod"}.get(reduce)
    if mode is None:
        raise RuntimeError("reduce argument must be either add or multiply.")
    if mode == "sum":
        return into(out, apply(SCATTER_ADD, (input, index, source), (d,)))
    return into(out, apply(SCATTER_REDUCE, (input, index, source), (d, mode, True)))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *,
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` added at ``index`` along ``dim``; places may repeat."""
    return into(out, apply(SCATTER_ADD, (input, index, src), (wrap_dim(dim, input.ndim),)))


def _scatter_reduce_grad(
    n: Any, g: Tensor, x: Tensor, index: Tensor, src: Tensor, y: Tensor
) -> tuple:
    dim, mode, keep = n.call.params
    ones = src.detach().new_ones(src.shape)  # type: ignore[attr-defined]
    if mode == "sum":
        to_x, to_src = g, gather(g, dim, index)
    elif mode == "mean":
        start = x.detach().new_ones(x.shape) if keep else x.detach().new_zeros(x.shape)  # type: ignore[attr-defined]
        count = scatter_add(start, dim, index, ones).clamp_min(1)  # type: ignore[attr-defined]
        to_x, to_src = g / count, gather(g / count, dim, index)  # type: ignore[operator]
    elif mode == "prod":
        to_x = (g * y) / x  # type: ignore[operator]
        to_src = gather(g * y, dim, index) / src  # type: ignore[operator]
    else:
        hit_src = gather(y, dim, index).eq(src).to(g.dtype)  # type: ignore[attr-defined]
        hit_x = x.eq(y).to(g.dtype)  # type: ignore[attr-defined]
        if not keep:
            hit_x = scatter(hit_x, dim, index, 0.0)
        count = scatter_add(hit_x, dim, index, hit_src)
        to_x = g * hit_x / count  # type: ignore[operator]
        to_src = gather(g / count, dim, index) * hit_src  # type: ignore[operator]
    if not keep and mode in ("sum", "mean", "prod"):
        to_x = scatter(to_x, dim, index, 0.0)
    return to_x, None, to_src


SCATTER_REDUCE = Op("scatter_reduce", _scatter_infer, _scatter_kernel, vjp=_scatter_reduce_grad,
                    save=(0, 1, 2, -1), checks_values=True, family="scatter")  # fmt: skip


def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                   include_self: bool = True, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` reduced into it (sum, prod, mean, amax, amin)."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}."
        )
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(SCATTER_REDUCE, (input, index, src), (d, reduce, include_self)))


# -- whole slices -----------------------------------------------------------------------------------


def _select_infer(x: Spec, index: Spec, dim: int) -> Result:
    _check_index(index, "index_select")
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    shape = tuple(index.numel if d == dim else n for d, n in enumerate(x.shape))
    return Result((dense(x.dtype, shape, x.device),))


def _select_kernel(xp: Any, x: Any, index: Any, dim: int) -> Any:
    index = index.reshape(-1)
    if x.ndim == 0:
        return x.copy()
    if index.size and (int(index.min()) < 0 or int(index.max()) >= x.shape[dim]):
        raise IndexError("index out of range in self")
    return xp.take(x, index, dim)


INDEX_SELECT = Op(
    "index_select", _select_infer, _select_kernel, raw=True, checks_values=True, save=(1,),
    family="gather",
    vjp=(
        lambda n, g, index: index_add(g.new_zeros(n.call.specs[0].shape), n.call.params[0], index, g),
        None,
    ),
)  # fmt: skip


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of ``input`` along ``dim`` at ``index``.

    >>> import cresset as torch
    >>> torch.index_select(torch.tensor([[1, 2], [3, 4]]), 0, torch.tensor([1]))
    tensor([[3, 4]])
    """
    return into(out, apply(INDEX_SELECT, (input, index), (wrap_dim(dim, input.ndim),)))


def _index_write_infer(x: Spec, index: Spec, source: Spec, dim: int, mode: str) -> Result:
    _check_index(index, f"index_{mode}")
    if source.number is None and source.dtype is not x.dtype:
        raise RuntimeError(
            f"index_{mode}(): self ({scalar_name(x.dtype)}) and source "
            f"({scalar_name(source.dtype)}) must have the same scalar type"
        )
    return Result((dense(x.dtype, x.shape, x.device),), x.dtype)


def _index_write_kernel(xp: Any, x: Any, index: Any, source: Any, dim: int, mode: str) -> Any:
    result = x.copy()
    index = index.reshape(-1).astype(xp.int64)
    if result.ndim == 0:
        result[...] = result + source if mode == "add" else source
        return result
    size = result.shape[dim]
    if index.size and (int(index.min()) < -size or int(index.max()) >= size):
        raise IndexError("index out of range in self")
    place = (slice(None),) * dim + (index,)
    if mode != "add":
        result[place] = source
    else:
        moved = xp.moveaxis(result, dim, 0)
        xp.add.at(moved, index, xp.moveaxis(source, dim, 0) if source.ndim else source)
    return result


def _index_write_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    dim, mode = n.call.params
    needs = n.needs
    to_x = None
    if needs[0]:
        to_x = g if mode == "add" else apply(INDEX_WRITE["fill"], (g, index, 0), (dim, "fill"))
    to_source = None
    if needs[2]:
        part = index_select(g, dim, index)
        to_source = part.sum() if not n.call.specs[2].shape else part  # type: ignore[attr-defined]
    return to_x, None, to_source


INDEX_WRITE = {
    mode: Op(f"index_{mode}", _index_write_infer, _index_write_kernel, vjp=_index_write_grad,
             save=(1,), checks_values=True, family="scatter")
    for mode in ("add", "copy", "fill")
}  # fmt: skip


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with slices of ``source`` added at ``index``; places may repeat."""
    if alpha != 1:
        source = mul(source, alpha)
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(INDEX_WRITE["add"], (input, index, source), (d, "add")))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with slices of ``source`` at ``index``."""
    d = wrap_dim(dim, input.ndim)
    return apply(INDEX_WRITE["copy"], (input, index, source), (d, "copy"))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with slices at ``index`` filled with a value."""
    d = wrap_dim(dim, input.ndim)
    return apply(INDEX_WRITE["fill"], (input, index, value), (d, "fill"))


# -- the flattened tensor ---------------------------------------------------------------------------


def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor; negative indices count from the end."""
    n = input.numel()
    wrapped = index + index.lt(0).to(index.dtype) * n  # type: ignore[attr-defined, operator]
    return reshape(gather(reshape(input, (-1,)), 0, reshape(wrapped, (-1,))), index.shape)


def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Write elements of ``source`` at places of the flattened tensor."""
    flat, where = reshape(self, (-1,)), reshape(index, (-1,))
    values = reshape(source, (-1,))
    new = scatter_add(flat, 0, where, values) if accumulate else scatter(flat, 0, where, values)
    return assign(self, reshape(new, self.shape).clone())  # type: ignore[attr-defined]


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``put_`` on a copy."""
    return put_(input.clone(), index, source, accumulate)  # type: ignore[attr-defined]


# -- by mask (shapes depend on values, so the mask is looked at) --------------------------------------


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of all elements that are not zero, one row each (or one tensor per dimension).

    >>> import cresset as torch
    >>> torch.nonzero(torch.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    places = np.nonzero(input.detach()._array()) if input.ndim else (
        np.zeros(int(bool(input)), np.int64),
    )  # fmt: skip
    if as_tuple:
        return tuple(from_array(p, dtypes.int64, input.device) for p in places)
    columns = np.stack(places, 1) if input.ndim else np.zeros((len(places[0]), 0), np.int64)
    return into(out, from_array(columns, dtypes.int64, input.device))


argwhere = nonzero


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where ``mask`` is true, as a vector.

    >>> import cresset as torch
    >>> torch.masked_select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    from cresset.ops.join import broadcast_tensors

    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    x, m = broadcast_tensors(input, mask)
    where = nonzero(reshape(m, (-1,)))
    return into(out, index_select(reshape(x, (-1,)), 0, reshape(where, (-1,))))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with elements of ``source``, in order, where ``mask`` is true."""
    from cresset.ops.join import broadcast_tensors

    x, m = broadcast_tensors(input, mask)
    where = reshape(nonzero(reshape(m, (-1,))), (-1,))
    if where.numel() > source.numel():
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            if source.dtype is not input.dtype
            else "Number of elements of source < number of ones in mask"
        )
    values = reshape(source, (-1,)).narrow(0, 0, where.numel())  # type: ignore[attr-defined]
    return reshape(scatter(reshape(x, (-1,)), 0, where, values), x.shape)


TORCH = (
    "gather", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "index_select",
    "index_add", "index_copy", "index_fill", "take", "put", "nonzero", "argwhere", "masked_select",
    "masked_scatter",
)  # fmt: skip
METHODS = (*TORCH, "put_")
IN_PLACE = (
    "scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy", "index_fill",
    "masked_scatter",
)  # fmt: skip
