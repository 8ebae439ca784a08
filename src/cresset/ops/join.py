"""Putting tensors together, and taking the result apart again: cat, stack, hstack, hsplit."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import into
from cresset.ops.parts import slice_dim
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    common_device,
    wrap_dim,
)
from cresset.ops.view import reshape, unsqueeze


def _skipped(s: Spec) -> bool:
    """Empty 1-D tensors of any width may stand among others: an old habit PyTorch keeps."""
    return s.ndim == 1 and s.shape[0] == 0


def _cat_infer(*args: Any) -> Result:
    *specs, dim = args
    real = [s for s in specs if not _skipped(s)] or specs[:1]
    first = real[0]
    if not first.shape:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = wrap_dim(dim, first.ndim)
    total = 0
    for i, s in enumerate(specs):
        if _skipped(s) and s not in real:
            continue
        if s.ndim != first.ndim:
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {first.ndim} and {s.ndim}"
            )
        for d in range(first.ndim):
            if d != dim and s.shape[d] != first.shape[d]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{first.shape[d]} but got size {s.shape[d]} for tensor number {i} in the list."
                )
        total += s.shape[dim]
    shape = (*first.shape[:dim], total, *first.shape[dim + 1 :])
    d = specs[0].dtype
    for s in specs[1:]:
        d = dtypes.promote(d, s.dtype)
    return Result((dense(d, shape, common_device(*specs)),), None if all(
        s.dtype is d for s in specs) else d)  # fmt: skip


def _cat_kernel(xp: Any, *args: Any) -> Any:
    *arrays, dim = args
    real = [a for a in arrays if not (a.ndim == 1 and a.shape[0] == 0)]
    return xp.concatenate(real, dim) if real else arrays[0].copy()


def _cat_grad(n: Any, g: Tensor) -> tuple:
    dim = n.call.params[0]
    axis = wrap_dim(dim, g.ndim)
    results, start = [], 0
    for spec, needed in zip(n.call.specs, n.needs, strict=True):
        if _skipped(spec) and g.ndim != 1:
            results.append(g.new_zeros((0,)) if needed else None)  # type: ignore[attr-defined]
            continue
        size = spec.shape[axis]
        part = slice_dim(g, axis, start, start + size) if needed else None
        if part is not None and part._spec.dtype is not spec.dtype:
            part = part.to(spec.dtype)  # type: ignore[attr-defined]
        results.append(part)
        start += size
    return tuple(results)


CAT = Op("cat", _cat_infer, _cat_kernel, vjp=_cat_grad, raw=True, family="gather")


CAT_MIXED = Op("cat", _cat_infer, _cat_kernel, vjp=_cat_grad, family="gather")


def _list(tensors: Any, name: str) -> tuple:
    if isinstance(tensors, Tensor):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )
    items = tuple(tensors)
    for i, t in enumerate(items):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}"
            )
    return items


def cat(
    tensors: Any, dim: int = 0, *, axis: int | None = None, out: Tensor | None = None
) -> Tensor:
    """Tensors joined along an existing dimension.

    >>> import cresset as torch
    >>> torch.cat([torch.zeros(1, 2), torch.ones(1, 2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    items = _list(tensors, "cat")
    if not items:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    op = CAT if all(t._spec.dtype is items[0]._spec.dtype for t in items) else CAT_MIXED
    return into(out, apply(op, items, (dim if axis is None else axis,)))


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors of one shape joined along a new dimension.

    >>> import cresset as torch
    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    items = _list(tensors, "stack")
    if not items:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = items[0]._spec.shape
    for i, t in enumerate(items):
        if t._spec.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(t.shape)} at entry {i}"
            )
    d = wrap_dim(dim, len(first) + 1)
    if any(t._requires_grad for t in items) or len(items) < 16:
        op = STACK if all(t._spec.dtype is items[0]._spec.dtype for t in items) else STACK_MIXED
        return into(out, apply(op, items, (d,)))
    return into(out, cat([unsqueeze(t, d) for t in items], d))


def _stack_infer(*args: Any) -> Result:
    *specs, dim = args
    d = specs[0].dtype
    for s in specs[1:]:
        d = dtypes.promote(d, s.dtype)
    shape = (*specs[0].shape[:dim], len(specs), *specs[0].shape[dim:])
    same = all(s.dtype is d for s in specs)
    return Result((dense(d, shape, common_device(*specs)),), None if same else d)


def _stack_grad(n: Any, g: Tensor) -> tuple:
    dim = n.call.params[0]
    return tuple(
        g.select(dim, i).to(spec.dtype) if needed else None  # type: ignore[attr-defined]
        for i, (spec, needed) in enumerate(zip(n.call.specs, n.needs, strict=True))
    )


STACK = Op("stack", _stack_infer, lambda xp, *a: xp.stack(a[:-1], a[-1]), vjp=_stack_grad, raw=True,
           family="gather")  # fmt: skip


STACK_MIXED = Op("stack", _stack_infer, lambda xp, *a: xp.stack(a[:-1], a[-1]), vjp=_stack_grad,
                 family="gather")  # fmt: skip


def atleast_1d(*tensors: Any) -> Any:
    """0-dim tensors as vectors of one element."""
    return _each(tensors, lambda t: reshape(t, (1,)) if not t.ndim else t)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer than two dimensions as rows of a matrix."""
    return _each(
        tensors, lambda t: t if t.ndim > 1 else unsqueeze(t, 0) if t.ndim else reshape(t, (1, 1))
    )


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than three dimensions with more of size 1."""

    def deep(t: Tensor) -> Tensor:
        if not t.ndim:
            return reshape(t, (1, 1, 1))
        if t.ndim == 1:
            return unsqueeze(unsqueeze(t, 0), -1)
        return unsqueeze(t, -1) if t.ndim == 2 else t

    return _each(tensors, deep)


def _each(tensors: tuple, function: Any) -> Any:
    if len(tensors) == 1:
        if isinstance(tensors[0], Tensor):
            return function(tensors[0])
        tensors = tuple(tensors[0])
    return tuple(function(t) for t in tensors)


def hstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Joined along the second dimension (the first for vectors)."""
    items = atleast_1d(list(tensors))
    return into(out, cat(items, 0 if items[0].ndim == 1 else 1))


def vstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Joined along the first dimension, vectors as rows."""
    return into(out, cat(atleast_2d(list(tensors)), 0))


row_stack = vstack


def dstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Joined along the third dimension."""
    return into(out, cat(atleast_3d(list(tensors)), 2))


def column_stack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Vectors as columns, matrices side by side."""
    items = [reshape(t, (-1, 1)) if t.ndim < 2 else t for t in tensors]
    return into(out, cat(items, 1))


def _split(input: Tensor, parts: Any, name: str, ndim: int, dim: int) -> tuple:
    if input.ndim < ndim:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {ndim} dimension, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    size = input.shape[dim]
    if isinstance(parts, int) and (parts == 0 or size % parts):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
            f"{size} is not divisible by the split_size {parts}!"
        )
    return input.tensor_split(parts, dim)  # type: ignore[attr-defined]


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the second dimension (the first for vectors)."""
    return _split(input, indices_or_sections, "hsplit", 1, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the first dimension."""
    return _split(input, indices_or_sections, "vsplit", 2, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the third dimension."""
    return _split(input, indices_or_sections, "dsplit", 3, 2)


TORCH = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "row_stack", "dstack",
    "column_stack", "hsplit", "vsplit", "dsplit", "atleast_1d", "atleast_2d", "atleast_3d",
)  # fmt: skip


METHODS = ("hsplit", "vsplit", "dsplit")
