"""Whole slices named by an index vector: index_select, index_add, index_copy, index_fill ..."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.cast import cast
from cresset.ops.gather import at_least_1d, bounds, is_index, out_of_bounds, scatter_reduce, written
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import mul
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import expand, reshape


def _select_infer(x: Spec, index: Spec, dim: int) -> Result:
    if not is_index(index):
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
    if not is_index(index):
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
    flat = at_least_1d(result)
    index = index.reshape(-1).astype(xp.int64)
    source = written(source, result)
    size = flat.shape[dim]
    if mode == "add":
        bounds(index, size, dim)
        moved = xp.moveaxis(flat, dim, 0)
        xp.add.at(moved, index, xp.moveaxis(at_least_1d(source), dim, 0))
        return result
    if mode == "copy":
        bounds(index, size, dim, 0, IndexError, "index_copy_(): ")
    else:
        bounds(index, size, dim, -size, IndexError)
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
