"""Reading and writing at places given by one index per element.

``gather`` and ``scatter`` index one dimension, ``take`` and ``put`` the flattened tensor. Each
reading op is the derivative of an adding one and the other way round. Whole slices are in
``index_slices``, places named by a mask in ``masks``.

Kernels check every index against its bound: NumPy would let negative ones count from the end.
Operands are not brought to a common dtype, as that would round large indices; a Python number is
turned into the dtype of the tensor it is written to by ``written``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.padding import pad
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.select import where
from cresset.ops.view import expand, reshape


def is_index(s: Spec) -> bool:
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


def bounds(index: Any, size: int, dim: int, low: int = 0, error: type = RuntimeError,
            name: str = "") -> None:  # fmt: skip
    bad = out_of_bounds(index, low, size)
    if bad is not None:
        raise error(f"{name}index {bad} is out of bounds for dimension {dim} with size {size}")


# -- gather and scatter ----------------------------------------------------------------------------
def _gather_infer(x: Spec, index: Spec, dim: int) -> Result:
    if index.numel and not is_index(index):
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
    x, index = at_least_1d(x), at_least_1d(index).astype(xp.int64)
    if not index.size:
        return xp.zeros(shape, x.dtype)
    bounds(index, x.shape[dim], dim)
    return xp.take_along_axis(_cut(x, index, dim), index, dim).reshape(shape)


def at_least_1d(array: Any) -> Any:
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
    if index.numel and not is_index(index):
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
    flat = at_least_1d(result)
    source = at_least_1d(src) if hasattr(src, "ndim") else written(src, result)
    index = at_least_1d(index).astype(xp.int64)
    return _scatter_at(xp, flat, index, source, dim, mode, keep).reshape(x.shape)


_UFUNCS = {"sum": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _scatter_at(xp: Any, result: Any, index: Any, src: Any, dim: int, mode: str, keep: bool) -> Any:
    bounds(index, result.shape[dim], dim)
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


TORCH = ("gather", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "take", "put")
METHODS = (*TORCH, "scatter_reduce_")
IN_PLACE = ("scatter", "scatter_add", "put")
