"""Reading and writing at places given by index tensors along one dimension.

``gather`` and ``scatter`` have an index per element, ``index_select``, ``index_add`` and their kin
one per slice, ``take`` and ``put`` one per element of the flattened tensor; masks name places by
being true there. Each reading op is the derivative of an adding one and the other way round.

Kernels check every index against its bound: NumPy would let negative ones count from the end.
Operands are not brought to a common dtype, as that would round large indices; a Python number is
turned into the dtype of the tensor it is written to by ``written``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.cast import cast
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.padding import pad
from cresset.ops.pointwise import mul
from cresset.ops.registry import Op, Result, Tensor, apply, broadcast_shapes, wrap_dim
from cresset.ops.select import where
from cresset.ops.view import expand, reshape
from cresset.tensor import from_array


def _is_index(s: Spec) -> bool:
    return s.dtype is dtypes.int64 or s.dtype is dtypes.int32


def written(source: Any, result: Any) -> Any:
    """A Python number in the dtype of the array it goes to (integers wrap as C casts do)."""
    if hasattr(source, "dtype"):
        return source
    if result.dtype.kind in "iu":
        return np.array(int(source)).astype(result.dtype)
    return np.array(source).astype(result.dtype)


def out_of_bounds(index: Any, low: int, high: int) -> int | None:
    """The first index that is not in [low, high), or None."""
    if index.size and (int(index.min()) < low or int(index.max()) >= high):
        flat = index.reshape(-1)
        return int(flat[(flat < low) | (flat >= high)][0])
    return None


def _bounds(index: Any, size: int, dim: int, low: int = 0, error: type = RuntimeError,
            name: str = "") -> None:  # fmt: skip
    bad = out_of_bounds(index, low, size)
    if bad is not None:
        raise error(f"{name}index {bad} is out of bounds for dimension {dim} with size {size}")


# -- gather and scatter ----------------------------------------------------------------------------
def _gather_infer(x: Spec, index: Spec, dim: int) -> Result:
    if index.numel and not _is_index(index):
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
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
    shape = index.shape
    x, index = _at_least_1d(x), _at_least_1d(index).astype(xp.int64)
    if not index.size:
        return xp.zeros(shape, x.dtype)
    _bounds(index, x.shape[dim], dim)
    return xp.take_along_axis(_cut(x, index, dim), index, dim).reshape(shape)


def _at_least_1d(array: Any) -> Any:
    return array if array.ndim else array.reshape(1)


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
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    d = wrap_dim(dim, input.ndim)
    shape = [max(a, b) for a, b in zip(input.shape, indices.shape, strict=True)]
    x = expand(input, [input.shape[d] if i == d else n for i, n in enumerate(shape)])
    index = expand(indices, [indices.shape[d] if i == d else n for i, n in enumerate(shape)])
    return into(out, gather(x, d, index))


def _scatter_infer(x: Spec, index: Spec, src: Spec, dim: int, *rest: Any) -> Result:
    if index.numel and not _is_index(index):
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    if index.numel and max(x.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src.number is None and src.dtype is not x.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    has_shape = src.number is None and index.numel
    if has_shape and max(src.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for d in range(index.ndim if index.numel else 0):
        beyond_x = x.ndim and d != dim and index.shape[d] > x.shape[d]
        if beyond_x or (has_shape and src.ndim and index.shape[d] > src.shape[d]):
            than_src = f" and to be no larger size than src {list(src.shape)}" if has_shape else ""
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} "
                f"apart from dimension {dim}{than_src}"
            )
    return Result((dense(x.dtype, x.shape, x.device),))


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
    if index.size == 0:
        return result
    flat = _at_least_1d(result)
    source = _at_least_1d(src) if hasattr(src, "ndim") else written(src, result)
    index = _at_least_1d(index).astype(xp.int64)
    return _scatter_at(xp, flat, index, source, dim, mode, keep).reshape(x.shape)


_UFUNCS = {"sum": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _scatter_at(xp: Any, result: Any, index: Any, src: Any, dim: int, mode: str, keep: bool) -> Any:
    _bounds(index, result.shape[dim], dim)
    places = _places(xp, index, dim)
    values = _sources(xp, src, index)
    if mode == "set":
        result[places] = values
        return result
    if not keep:
        start = {"sum": 0, "mean": 0, "prod": 1}.get(mode)
        if start is None:
            start = _extreme(result.dtype, lowest=mode == "amax")
        result[places] = start
    if mode == "mean":
        count = xp.full(result.shape, 1 if keep else 0, xp.int64)
        xp.add.at(result, places, values)
        xp.add.at(count, places, 1)
        count = xp.maximum(count, 1)
        return result / count if result.dtype.kind == "f" else result // count
    getattr(xp, _UFUNCS[mode]).at(result, places, values)
    return result


def _extreme(dtype: Any, lowest: bool) -> Any:
    """The neutral element of max (or min)."""
    if dtype.kind == "f":
        return -np.inf if lowest else np.inf
    if dtype.kind == "b":
        return not lowest
    return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max


def _scatter_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    dim = n.call.params[0]
    needs = n.needs
    zeros = apply(SCATTER_VALUE, (g, index, 0), (dim, "set", True)) if needs[0] else None
    return zeros, None, _reduce_src(gather(g, dim, index), n.call.specs[2]) if needs[2] else None


def _reduce_src(g: Tensor, src: Spec) -> Tensor:
    """A gradient of the used part of ``src``, in zeros of its whole shape."""
    if g.shape == src.shape:
        return g
    widths = [w for a, b in zip(reversed(src.shape), reversed(g.shape), strict=True)
              for w in (0, a - b)]  # fmt: skip
    return pad(g, widths)


SCATTER = Op("scatter", _scatter_infer, _scatter_kernel, vjp=_scatter_grad, save=(1,),
             checks_values=True, family="scatter")  # fmt: skip
SCATTER_VALUE = Op("scatter", _scatter_infer, _scatter_kernel, vjp=_scatter_grad, save=(1,),
                   checks_values=True, family="scatter",
                   grad_name="ScatterBackward1")  # fmt: skip


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
        op = SCATTER if isinstance(source, Tensor) else SCATTER_VALUE
        return into(out, apply(op, (input, index, source), (d, "set", True)))
    mode = {"add": "sum", "multiply": "prod"}.get(reduce)
    if mode is None:
        raise RuntimeError("reduce argument must be either add or multiply.")
    if isinstance(source, Tensor):
        import warnings

        warnings.warn(
            "The reduce argument of torch.scatter with Tensor src is deprecated and will be "
            "removed in a future PyTorch release. Use torch.scatter_reduce instead for more "
            "reduction options.",
            UserWarning,
            stacklevel=2,
        )
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
        # A zero among the factors: its own gradient is the product of the others.
        x_filled = x.masked_fill(x.eq(0), 1)  # type: ignore[attr-defined]
        without_x = scatter_reduce(x_filled, dim, index, src, mode, include_self=keep)
        to_x = g * without_x / x_filled  # type: ignore[operator]
        is_zero = src.eq(0)  # type: ignore[attr-defined]
        zeros = scatter_add(x.detach().new_zeros(x.shape), dim, index, is_zero.to(x.dtype))  # type: ignore[attr-defined]
        alone = is_zero & gather(zeros, dim, index).eq(1)  # type: ignore[attr-defined]
        filled = src.masked_fill(is_zero, 1)  # type: ignore[attr-defined]
        others = scatter_reduce(x, dim, index, filled, mode, include_self=keep)
        to_src = where(
            alone,
            gather(g * others, dim, index),
            gather(g * y, dim, index) / filled,  # type: ignore[operator]
        )
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
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(SCATTER_REDUCE, (input, index, src), (d, reduce, include_self)))


def scatter_reduce_(self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
                    include_self: bool = True) -> Tensor:  # fmt: skip
    """``scatter_reduce`` in place."""
    # The derivative reads the values from before the write, so it is given a copy of them.
    before = self.clone() if self._requires_grad or src._requires_grad else self  # type: ignore[attr-defined]
    return assign(self, scatter_reduce(before, dim, index, src, reduce, include_self=include_self))


# -- whole slices ----------------------------------------------------------------------------------
def _select_infer(x: Spec, index: Spec, dim: int) -> Result:
    if not _is_index(index):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    shape = tuple(index.numel if d == dim else n for d, n in enumerate(x.shape))
    return Result((dense(x.dtype, shape, x.device),))


def _select_kernel(xp: Any, x: Any, index: Any, dim: int) -> Any:
    index = index.reshape(-1)
    if x.ndim == 0:
        return x.copy()
    if out_of_bounds(index, 0, x.shape[dim]) is not None:
        raise IndexError("index out of range in self")
    return xp.take(x, index, dim)


INDEX_SELECT = Op(
    "index_select", _select_infer, _select_kernel, raw=True, checks_values=True, save=(1,),
    family="gather",
    vjp=(
        lambda n, g, index: index_add(
            g.new_zeros(n.call.specs[0].shape), n.call.params[0], index, g
        ),
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


def _index_write_infer(x: Spec, index: Spec, source: Spec, dim: int, mode: str) -> Spec:
    _CHECKS[mode](x, index, source, dim)
    return dense(x.dtype, x.shape, x.device)


def _check_add(x: Spec, index: Spec, source: Spec, dim: int) -> None:
    if index.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: "
            f"{scalar_name(index.dtype)} and size: {list(index.shape)}"
        )
    if not _is_index(index):
        raise RuntimeError(
            "index_add_(): Expected dtype int32/int64 for index but got: "
            f"{scalar_name(index.dtype)}"
        )
    if source.dtype is not x.dtype:
        raise RuntimeError(
            f"index_add_(): self ({scalar_name(x.dtype)}) and source "
            f"({scalar_name(source.dtype)}) must have the same scalar type"
        )
    count = source.shape[dim] if source.ndim else 1
    if index.numel != count:
        raise RuntimeError(
            f"index_add_(): Number of indices ({index.numel}) should be equal to source.size(dim): "
            f"({count}), for dim: {dim}"
        )
    if _slice_shape(x, dim) != _slice_shape(source, dim):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(x.shape)} source.shape = {list(source.shape)}"
        )


def _check_copy(x: Spec, index: Spec, source: Spec, dim: int) -> None:
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"index_copy_(): Expected a long tensor for index, but got {scalar_name(index.dtype)}"
        )
    if source.dtype is not x.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{scalar_name(x.dtype)} and (source) {scalar_name(source.dtype)}"
        )
    if source.ndim and x.ndim and _slice_shape(x, dim) != _slice_shape(source, dim):
        ours, theirs = (" ".join(map(str, _slice_shape(s, dim))) for s in (x, source))
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {ours} at dimension {dim} and source slice shape: {theirs} at dimension "
            f"{dim}."
        )
    count = source.shape[dim] if source.ndim else 1
    if index.numel != count:
        raise IndexError(
            f"index_copy_(): Number of indices ({index.numel}) should be equal to source.size(dim) "
            f"({count})"
        )


def _check_fill(x: Spec, index: Spec, value: Spec, dim: int) -> None:
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise IndexError("Index has to be a vector/scalar")
    if value.number is None and value.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )


_CHECKS = {"add": _check_add, "copy": _check_copy, "fill": _check_fill}


def _slice_shape(s: Spec, dim: int) -> tuple[int, ...]:
    return tuple(n for d, n in enumerate(s.shape) if d != dim)


def _index_write_kernel(xp: Any, x: Any, index: Any, source: Any, dim: int, mode: str) -> Any:
    result = x.copy()
    flat = _at_least_1d(result)
    index = index.reshape(-1).astype(xp.int64)
    source = written(source, result)
    size = flat.shape[dim]
    if mode == "add":
        _bounds(index, size, dim)
        moved = xp.moveaxis(flat, dim, 0)
        xp.add.at(moved, index, xp.moveaxis(_at_least_1d(source), dim, 0))
        return result
    if mode == "copy":
        _bounds(index, size, dim, 0, IndexError, "index_copy_(): ")
    else:
        _bounds(index, size, dim, -size, IndexError)
    flat[(slice(None),) * dim + (index,)] = source
    return result


def _index_write_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    dim, mode = n.call.params
    needs = n.needs
    to_x = None
    if needs[0]:
        to_x = g if mode == "add" else apply(INDEX_FILL, (g, index, 0), (dim, "fill"))
    to_source = None
    if needs[2]:
        if mode == "fill":
            # An index may be given twice: the value was written there once.
            filled = index_fill(g.detach().new_zeros(g.shape), dim, index, 1)  # type: ignore[attr-defined]
            to_source = mul(g, filled).sum()  # type: ignore[attr-defined]
        else:
            to_source = reshape(index_select(g, dim, index), n.call.specs[2].shape)
    return to_x, None, to_source


def _index_write(name: str, grad_name: str | None = None) -> Op:
    return Op(name, _index_write_infer, _index_write_kernel, vjp=_index_write_grad, save=(1,),
              checks_values=True, family="scatter", grad_name=grad_name)  # fmt: skip


INDEX_ADD, INDEX_COPY = _index_write("index_add"), _index_write("index_copy")
INDEX_FILL = _index_write("index_fill")
INDEX_FILL_TENSOR = _index_write("index_fill", "IndexFillBackward1")


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with slices of ``source`` added at ``index``; places may repeat."""
    if alpha != 1:
        source = mul(source, alpha)
    d = wrap_dim(dim, input.ndim)
    return into(out, apply(INDEX_ADD, (input, index, source), (d, "add")))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with slices of ``source`` at ``index``."""
    d = wrap_dim(dim, input.ndim)
    return apply(INDEX_COPY, (input, index, source), (d, "copy"))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with slices at ``index`` filled with a value."""
    d = wrap_dim(dim, input.ndim)
    op = INDEX_FILL_TENSOR if isinstance(value, Tensor) else INDEX_FILL
    if op is INDEX_FILL_TENSOR and value._spec.dtype is not input._spec.dtype:
        value = cast(value, input._spec.dtype)
    return apply(op, (input, index, value), (d, "fill"))


def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
                 include_self: bool = True, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with slices of ``source`` reduced into it (prod, mean, amax, amin).

    >>> import cresset as torch
    >>> x, i = torch.ones(2), torch.tensor([0, 0])
    >>> torch.index_reduce(x, 0, i, torch.tensor([2., 3.]), 'prod')
    tensor([6., 1.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    _check_add(input._spec, index._spec, source._spec, wrap_dim(dim, input.ndim))
    d = wrap_dim(dim, input.ndim)
    shape = [-1 if i == d else 1 for i in range(max(input.ndim, 1))]
    places = expand(reshape(index, shape), source.shape) if source.ndim else reshape(index, ())
    return scatter_reduce(input, d, places, source, reduce, include_self=include_self, out=out)


# -- the flattened tensor --------------------------------------------------------------------------
def _flat_places(xp: Any, index: Any, size: int) -> Any:
    bad = out_of_bounds(index, -size, size)
    if bad is not None:
        raise IndexError(
            f"out of range: tried to access index {bad} on a tensor of {size} elements."
        )
    return xp.where(index < 0, index + size, index)


def _take_infer(x: Spec, index: Spec) -> Spec:
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {scalar_name(index.dtype)}"
        )
    return dense(x.dtype, index.shape, x.device)


def _put_infer(x: Spec, index: Spec, source: Spec, accumulate: bool) -> Spec:
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {scalar_name(index.dtype)}"
        )
    if source.dtype is not x.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{scalar_name(x.dtype)} and source.dtype = {scalar_name(source.dtype)}"
        )
    if index.numel != source.numel:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel}, index.numel() = {index.numel}"
        )
    return dense(x.dtype, x.shape, x.device)


def _put_kernel(xp: Any, x: Any, index: Any, source: Any, accumulate: bool) -> Any:
    flat = x.reshape(-1).copy()
    where = _flat_places(xp, index.reshape(-1), flat.size)
    if accumulate:
        xp.add.at(flat, where, source.reshape(-1))
    else:
        flat[where] = source.reshape(-1)
    return flat.reshape(x.shape)


def _put_grad(n: Any, g: Tensor, index: Tensor) -> tuple:
    (accumulate,) = n.call.params
    to_x = None
    if n.needs[0]:
        zeros = g.new_zeros(index.shape)  # type: ignore[attr-defined]
        to_x = g if accumulate else put(g, index, zeros)
    return to_x, None, take(g, index).reshape(n.call.specs[2].shape) if n.needs[2] else None  # type: ignore[attr-defined]


TAKE = Op(
    "take", _take_infer,
    lambda xp, x, index: x.reshape(-1)[_flat_places(xp, index, x.size)],
    raw=True, checks_values=True, save=(1,), family="gather",
    vjp=(lambda n, g, index: put(g.new_zeros(n.call.specs[0].shape), index, g, True), None),
)  # fmt: skip
PUT = Op("put", _put_infer, _put_kernel, vjp=_put_grad, save=(1,), checks_values=True,
         family="scatter")  # fmt: skip


def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Elements of the flattened tensor; negative indices count from the end.

    >>> import cresset as torch
    >>> torch.take(torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, -1]))
    tensor([1, 4])
    """
    return into(out, apply(TAKE, (input, index)))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with elements of ``source`` written (or added) at places of the flattened tensor."""
    return apply(PUT, (input, index, source), (bool(accumulate),))


# -- by mask ---------------------------------------------------------------------------------------
def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of all elements that are not zero, one row each (or one tensor per dimension).

    >>> import cresset as torch
    >>> torch.nonzero(torch.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    # The result's shape depends on the values, so they are looked at here.
    places = np.nonzero(input._host()) if input.ndim else (
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
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(mask.shape, input.shape)
    where = reshape(nonzero(reshape(expand(mask, shape), (-1,))), (-1,))
    return into(out, apply(MASKED_SELECT, (input, where), (shape,)))


def _masked_select_grad(n: Any, g: Tensor, where: Tensor) -> tuple:
    x = n.call.specs[0]
    spread = put(g.new_zeros(n.call.params[0]), where, g)  # type: ignore[attr-defined]
    return spread._reduce_to(x.shape, x.dtype), None  # type: ignore[attr-defined]


MASKED_SELECT = Op(
    "masked_select", lambda x, where, shape: dense(x.dtype, where.shape, x.device),
    lambda xp, x, where, shape: xp.broadcast_to(x, shape).reshape(-1)[where],
    vjp=_masked_select_grad, raw=True, save=(1,), family="gather",
)  # fmt: skip


def _masked_scatter_infer(x: Spec, mask: Spec, source: Spec) -> Spec:
    if source.dtype is not x.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{scalar_name(x.dtype)} and {scalar_name(source.dtype)}"
        )
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{scalar_name(mask.dtype)}"
        )
    return dense(x.dtype, broadcast_shapes(x.shape, mask.shape), x.device)


def _masked_scatter_kernel(xp: Any, x: Any, mask: Any, source: Any) -> Any:
    x, mask = xp.broadcast_arrays(x, mask)
    count = int(mask.sum())
    if count > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    result = x.copy()
    result[mask] = source.reshape(-1)[:count]
    return result


def _unscatter_kernel(xp: Any, g: Any, mask: Any, shape: Any) -> Any:
    taken = g[xp.broadcast_to(mask, g.shape)]
    result = xp.zeros(shape, g.dtype)
    result.reshape(-1)[: taken.size] = taken
    return result


def _masked_scatter_grad(n: Any, g: Tensor, mask: Tensor) -> tuple:
    x, _, source = n.call.specs
    to_x = to_source = None
    if n.needs[0]:
        to_x = g.masked_fill(mask, 0)._reduce_to(x.shape, x.dtype)  # type: ignore[attr-defined]
    if n.needs[2]:
        to_source = apply(UNSCATTER, (g, mask), (source.shape,))
    return to_x, None, to_source


def _unscatter_grad(n: Any, h: Tensor, mask: Tensor) -> tuple:
    zeros = h.new_zeros(n.call.specs[0].shape)  # type: ignore[attr-defined]
    return masked_scatter(zeros, mask, h), None


MASKED_SCATTER = Op("masked_scatter", _masked_scatter_infer, _masked_scatter_kernel, save=(1,),
                    vjp=_masked_scatter_grad, raw=True, checks_values=True,
                    family="scatter")  # fmt: skip
UNSCATTER = Op("masked_scatter_backward",
               lambda g, mask, shape: dense(g.dtype, shape, g.device), _unscatter_kernel,
               vjp=_unscatter_grad, save=(1,), raw=True, family="gather")  # fmt: skip


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with elements of ``source``, in order, where ``mask`` is true.

    >>> import cresset as torch
    >>> mask = torch.tensor([True, False, True])
    >>> torch.masked_scatter(torch.zeros(3), mask, torch.tensor([1., 2.]))
    tensor([1., 0., 2.])
    """
    return apply(MASKED_SCATTER, (input, mask, source))


TORCH = (
    "gather", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "index_select",
    "index_add", "index_copy", "index_fill", "index_reduce", "take", "put", "nonzero", "argwhere",
    "masked_select", "masked_scatter",
)  # fmt: skip
METHODS = (*TORCH, "scatter_reduce_")
IN_PLACE = (
    "scatter", "scatter_add", "index_add", "index_copy", "index_fill", "index_reduce", "put",
    "masked_scatter",
)  # fmt: skip
