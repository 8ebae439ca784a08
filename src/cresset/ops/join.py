"""Putting tensors together, repeating them, and grids of them: cat, stack, repeat, meshgrid.

What follows from one tensor alone has files of its own (``rearrange``, ``padding``, ``triangle``,
``geometry``); their names are listed here, so that one family attaches them all.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.creation import from_numpy, tensor
from cresset.ops.geometry import (
    resize_ as resize_,
)
from cresset.ops.geometry import (
    resize_as_ as resize_as_,
)
from cresset.ops.geometry import (
    set_ as set_,
)
from cresset.ops.geometry import (
    squeeze_ as squeeze_,
)
from cresset.ops.geometry import (
    t_ as t_,
)
from cresset.ops.geometry import (
    transpose_ as transpose_,
)
from cresset.ops.geometry import (
    unsqueeze_ as unsqueeze_,
)
from cresset.ops.inplace import into, scalar_name
from cresset.ops.padding import (
    constant_pad_nd as constant_pad_nd,
)
from cresset.ops.padding import (
    pad as pad,
)
from cresset.ops.parts import slice_dim
from cresset.ops.ranges import arange
from cresset.ops.rearrange import (
    channel_shuffle as channel_shuffle,
)
from cresset.ops.rearrange import (
    flip as flip,
)
from cresset.ops.rearrange import (
    fliplr as fliplr,
)
from cresset.ops.rearrange import (
    flipud as flipud,
)
from cresset.ops.rearrange import (
    pixel_shuffle as pixel_shuffle,
)
from cresset.ops.rearrange import (
    pixel_unshuffle as pixel_unshuffle,
)
from cresset.ops.rearrange import (
    roll as roll,
)
from cresset.ops.rearrange import (
    rot90 as rot90,
)
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    as_shape,
    broadcast_shapes,
    common_device,
    wrap_dim,
)
from cresset.ops.triangle import (
    as_strided_scatter as as_strided_scatter,
)
from cresset.ops.triangle import (
    diag as diag,
)
from cresset.ops.triangle import (
    diag_embed as diag_embed,
)
from cresset.ops.triangle import (
    diagflat as diagflat,
)
from cresset.ops.triangle import (
    diagonal_scatter as diagonal_scatter,
)
from cresset.ops.triangle import (
    select_scatter as select_scatter,
)
from cresset.ops.triangle import (
    slice_scatter as slice_scatter,
)
from cresset.ops.triangle import (
    tril as tril,
)
from cresset.ops.triangle import (
    tril_indices as tril_indices,
)
from cresset.ops.triangle import (
    triu as triu,
)
from cresset.ops.triangle import (
    triu_indices as triu_indices,
)
from cresset.ops.view import expand, reshape, unsqueeze
from cresset.size import Size

# -- cat and stack ---------------------------------------------------------------------------------


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


# -- repetition ------------------------------------------------------------------------------------


def repeat(self: Tensor, *sizes: Any) -> Tensor:
    """The tensor repeated ``sizes[i]`` times along each dimension (more sizes add dimensions).

    >>> import cresset as torch
    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = as_shape(sizes)
    if len(times) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    return apply(REPEAT, (self,), (times,))


def _repeat_infer(x: Spec, times: tuple[int, ...]) -> Spec:
    lead = (1,) * (len(times) - x.ndim)
    shape = [t * n for t, n in zip(times, lead + tuple(x.shape), strict=True)]
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {shape}")
    return dense(x.dtype, tuple(shape), x.device)


def _repeat_grad(n: Any, g: Tensor) -> Tensor:
    (times,) = n.call.params
    whole = n.call.specs[0].shape
    lead = len(times) - len(whole)
    if 0 in times:
        return g.new_zeros(whole)  # type: ignore[attr-defined]
    # (t1 n1, t2 n2) -> (t1, n1, t2, n2), then sum over the t's.
    pairs = [v for t, n in zip(times, (1,) * lead + tuple(whole), strict=True) for v in (t, n)]
    summed = reshape(g, pairs).sum(tuple(range(0, len(pairs), 2))) if pairs else g  # type: ignore[attr-defined]
    return reshape(summed, whole)


REPEAT = Op("repeat", _repeat_infer, lambda xp, x, times: xp.tile(x, times), raw=True,
            family="gather", vjp=(_repeat_grad,))  # fmt: skip


def tile(input: Tensor, dims: Any) -> Tensor:
    """``repeat`` with missing leading sizes 1."""
    times = as_shape((dims,))
    return repeat(input, (1,) * (input.ndim - len(times)) + tuple(times))


def tile_method(self: Tensor, *dims: Any) -> Tensor:
    """``repeat`` with missing leading sizes 1."""
    return tile(self, as_shape(dims))


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated in place.

    >>> import cresset as torch
    >>> torch.repeat_interleave(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return _counted(input, input.device)
    x = reshape(input, (-1,)) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, input.ndim)
    n = x.shape[d]
    if isinstance(repeats, Tensor):
        if repeats.ndim > 1:
            raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
        if repeats.numel() == 1:
            repeats = int(repeats)
    elif not isinstance(repeats, int):
        repeats = tensor(repeats)
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        index = reshape(expand(reshape(arange(n, device=x.device), (n, 1)), (n, repeats)), (-1,))
    else:
        if repeats.numel() != n:
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{repeats.numel()} and input.size({d}) = {n}"
            )
        index = _counted(repeats, x.device)
    return x.index_select(d, index)  # type: ignore[attr-defined]


def _counted(repeats: Tensor, where: Any) -> Tensor:
    """``i`` as often as ``repeats[i]`` says; the counts are looked at, as the shape needs them."""
    if repeats.dtype not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{scalar_name(repeats.dtype)}'"
        )
    counts = repeats._host()
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return from_numpy(np.repeat(np.arange(counts.size), counts)).to(where)  # type: ignore[attr-defined]


# -- grids -----------------------------------------------------------------------------------------


def broadcast_tensors(*tensors: Any) -> tuple:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[t._spec.shape for t in tensors])
    return tuple(t if t._spec.shape == shape else expand(t, shape) for t in tensors)


def broadcast_shapes_(*shapes: Any) -> Size:
    """The shape to which all shapes broadcast.

    >>> import cresset as torch
    >>> torch.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    joint: Size = Size()
    for i, given in enumerate(shapes):
        shape = (given,) if isinstance(given, int) else tuple(given)
        if any(n < 0 for n in shape):
            raise ValueError("Attempting to broadcast a dimension with negative length!")
        for d in range(-1, -min(len(shape), len(joint)) - 1, -1):
            if shape[d] not in (1, joint[d]) and joint[d] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[d]} at {d}! Mismatching "
                    f"argument at index {i} had {shape}; but expected shape should be "
                    f"broadcastable to {list(joint)}"
                )
        joint = broadcast_shapes(joint, shape)
    return joint


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Coordinate matrices from coordinate vectors.

    >>> import cresset as torch
    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), indexing='ij')[0]
    tensor([[1],
            [2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in tensors:
        if t.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                + "".join(f" {n} " for n in t.shape)
            )
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    count = len(tensors)
    # "xy": the first two vectors run along columns and rows, not rows and columns.
    place = list(range(count))
    if indexing == "xy" and count >= 2:
        place[:2] = [1, 0]
    shape = [0] * count
    for d, t in zip(place, tensors, strict=True):
        shape[d] = t.numel()
    return tuple(
        expand(reshape(t, [-1 if i == d else 1 for i in range(count)]), shape)
        for d, t in zip(place, tensors, strict=True)
    )


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element from each vector."""
    for t in tensors:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, (-1,)) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ``r``-element combinations of a vector's elements."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))  # type: ignore[attr-defined]
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(pick(range(input.numel()), r))
    if not rows:
        return input.new_empty((0, r))  # type: ignore[attr-defined]
    return reshape(input.index_select(0, reshape(tensor(rows), (-1,))), (len(rows), r))  # type: ignore[attr-defined]


def block_diag(*tensors: Tensor) -> Tensor:
    """The tensors as blocks on the diagonal of a matrix of zeros."""
    for i, t in enumerate(tensors):
        if t.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{t.ndim} dimensions"
            )
    blocks = [atleast_2d(t) for t in tensors]
    width = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        rows.append(pad(b, (left, width - left - b.shape[1])))
        left += b.shape[1]
    return cat(rows, 0)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of ``shape``, of places in the flattened tensor.

    >>> import cresset as torch
    >>> torch.unravel_index(torch.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    if indices.dtype.category != dtypes.INT:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    found = []
    step = 1
    for n in reversed(sizes):
        found.append(indices.div(step, rounding_mode="floor") % n)  # type: ignore[attr-defined]
        step *= n
    return tuple(reversed(found))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """The p-norm distances between all rows of two batches of matrices."""
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    difference = unsqueeze(x1, -2) - unsqueeze(x2, -3)  # type: ignore[operator]
    return difference.norm(p, -1)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector's elements as columns."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    powers = [x**k for k in range(x.numel() if N is None else N)]  # type: ignore[operator]
    return stack(powers if increasing else powers[::-1], -1)


TORCH = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "row_stack", "dstack",
    "column_stack", "hsplit", "vsplit", "dsplit", "atleast_1d", "atleast_2d", "atleast_3d", "tile",
    "repeat_interleave", "flip", "fliplr", "flipud", "roll", "rot90", "broadcast_tensors",
    "broadcast_shapes=broadcast_shapes_", "meshgrid", "cartesian_prod", "combinations",
    "block_diag", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "tril", "triu",
    "tril_indices", "triu_indices", "diag", "diag_embed", "diagflat", "select_scatter",
    "slice_scatter", "diagonal_scatter", "as_strided_scatter", "cdist", "vander",
    "unravel_index",
)  # fmt: skip


METHODS = (
    "repeat", "tile=tile_method", "repeat_interleave", "flip", "fliplr", "flipud", "roll", "rot90",
    "hsplit", "vsplit", "dsplit", "tril", "triu", "diag", "diag_embed", "diagflat",
    "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter", "resize_",
    "resize_as_", "set_",
    "squeeze_", "unsqueeze_", "t_", "transpose_",
)  # fmt: skip


IN_PLACE = ("tril", "triu")
