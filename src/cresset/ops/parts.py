"""Views of part of a tensor: one index, a range, a diagonal, sliding windows."""

from __future__ import annotations

from typing import Any

from cresset.core.spec import Spec
from cresset.ops.registry import Tensor, wrap_dim
from cresset.ops.view import respec, summed_into_zeros, view, view_op
from cresset.tensor import view_of


def _select_geometry(spec: Spec, dim: int, index: int) -> Spec:
    return respec(
        spec,
        spec.shape[:dim] + spec.shape[dim + 1 :],
        spec.stride[:dim] + spec.stride[dim + 1 :],
        spec.offset + index * spec.stride[dim],
    )


SELECT = view_op("select", _select_geometry)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part at ``index`` of one dimension, without that dimension.

    >>> import cresset as torch
    >>> torch.select(torch.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    shape = input._spec.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(shape))
    index = index.__index__()
    n = shape[d]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at "
            f"dimension {d}"
        )
    params = (d, index % n)
    if input._requires_grad:
        return view(SELECT, input, params)
    # Loops select every index once: not worth a place in the table.
    return view_of(input, _select_geometry(input._spec, *params))


def _slice_geometry(spec: Spec, dim: int, start: int, length: int, step: int) -> Spec:
    shape, stride = list(spec.shape), list(spec.stride)
    offset = spec.offset + start * stride[dim]
    shape[dim] = length
    stride[dim] *= step
    return respec(spec, shape, stride, offset)


SLICE = view_op("slice", _slice_geometry)


def slice_dim(input: Tensor, dim: int, start: Any, stop: Any, step: int = 1) -> Tensor:
    """``input[start:stop:step]`` along one dimension; bounds are clamped as for lists."""
    shape = input._spec.shape
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(start, stop, step).indices(shape[dim])
    length = max(0, -(-(stop - start) // step))
    params = (dim, start, length, step)
    if input._requires_grad:
        return view(SLICE, input, params)
    return view_of(input, _slice_geometry(input._spec, *params))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``length`` elements of one dimension from ``start`` on.

    >>> import cresset as torch
    >>> torch.narrow(torch.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    shape = input._spec.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(shape))
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    start = int(start)
    n = shape[d]
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    if start < 0:
        start += n
    if start > n - length:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_dim(input, d, start, start + length)


def _diagonal_geometry(spec: Spec, offset: int, dim1: int, dim2: int) -> Spec:
    d1, d2 = wrap_dim(dim1, spec.ndim), wrap_dim(dim2, spec.ndim)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = spec.shape[d1], spec.shape[d2]
    n = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    n = max(n, 0)
    start = spec.offset
    if n:
        start += offset * spec.stride[d2] if offset >= 0 else -offset * spec.stride[d1]
    rest = [i for i in range(spec.ndim) if i not in (d1, d2)]
    return respec(
        spec,
        [spec.shape[i] for i in rest] + [n],
        [spec.stride[i] for i in rest] + [spec.stride[d1] + spec.stride[d2]],
        start,
    )


DIAGONAL = view_op("diagonal", _diagonal_geometry)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal over two dimensions, as the last dimension of a view.

    >>> import cresset as torch
    >>> torch.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return view(DIAGONAL, input, (offset, dim1, dim2))


def _unfold_geometry(spec: Spec, dim: int, size: int, step: int) -> Spec:
    d = wrap_dim(dim, spec.ndim)
    n = spec.shape[d] if spec.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not spec.shape:
        return respec(spec, (size,), (1,))
    shape, stride = list(spec.shape), list(spec.stride)
    shape[d], stride[d] = (n - size) // step + 1, spec.stride[d] * step
    return respec(spec, [*shape, size], [*stride, spec.stride[d]])


UNFOLD = view_op("unfold", _unfold_geometry, summed_into_zeros)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of ``size`` along a dimension, ``step`` apart, as a new last dimension.

    >>> import cresset as torch
    >>> torch.arange(5).unfold(0, 2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    return view(UNFOLD, input, (dimension, size, step))


TORCH = ("select", "narrow", "diagonal")
METHODS = (*TORCH, "unfold")
