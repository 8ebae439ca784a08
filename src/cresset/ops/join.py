"""Putting tensors together and rearranging them by copy: cat, stack, repeat, flip, roll, pad."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import into
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
from cresset.ops.view import expand, reshape, slice_dim, unsqueeze
from cresset.size import Size

# -- cat and stack ----------------------------------------------------------------------------------


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
        raise ValueError("expected a non-empty list of Tensors")
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
    return _each(tensors, lambda t: reshape(t, (1, -1)) if t.ndim < 2 else t)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than three dimensions with more of size 1."""

    def deep(t: Tensor) -> Tensor:
        if t.ndim < 2:
            return reshape(t, (1, -1, 1))
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


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the second dimension (the first for vectors)."""
    return input.tensor_split(indices_or_sections, 0 if input.ndim == 1 else 1)  # type: ignore[attr-defined]


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the first dimension."""
    return input.tensor_split(indices_or_sections, 0)  # type: ignore[attr-defined]


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """Parts along the third dimension."""
    return input.tensor_split(indices_or_sections, 2)  # type: ignore[attr-defined]


# -- repetition -------------------------------------------------------------------------------------


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
    if any(t < 0 for t in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {list(times)}")  # noqa: E501  # fmt: skip
    shape = (1,) * (len(times) - self.ndim) + tuple(self._spec.shape)
    x = reshape(self, shape)
    # (n1, n2) -> (1, n1, 1, n2) -> (t1, n1, t2, n2) -> (t1 n1, t2 n2)
    split = [v for n in shape for v in (1, n)]
    wide = [v for t, n in zip(times, shape, strict=True) for v in (t, n)]
    spread = expand(reshape(x, split), wide)
    final = [t * n for t, n in zip(times, shape, strict=True)]
    copy = apply(COPY_REPEAT, (spread,))
    return reshape(copy, final)


COPY_REPEAT = Op("repeat", lambda s: dense(s.dtype, s.shape, s.device), lambda xp, x: x.copy(),
                 raw=True, vjp=(lambda n, g: g,))  # fmt: skip


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
    from cresset.ops.creation import arange
    from cresset.tensor import from_array

    if repeats is None:
        counts = input._array()
        import numpy as np

        return from_array(np.repeat(np.arange(len(counts)), counts), dtypes.int64, input.device)
    x = reshape(input, (-1,)) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, input.ndim)
    n = x.shape[d]
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats)
    if isinstance(repeats, int):
        index = reshape(expand(reshape(arange(n, device=x.device), (n, 1)), (n, repeats)), (-1,))
    else:
        if not isinstance(repeats, Tensor):
            from cresset.ops.creation import tensor

            repeats = tensor(repeats)
        if repeats.numel() != n:
            raise RuntimeError("repeats must have the same size as input along dim, but got "
                               f"repeats.size(0) = {repeats.numel()} and input.size({d}) = {n}")  # fmt: skip
        index = repeat_interleave(repeats)
    return x.index_select(d, index)  # type: ignore[attr-defined]


# -- order ------------------------------------------------------------------------------------------


FLIP = Op(
    "flip", lambda s, dims: dense(s.dtype, s.shape, s.device),
    lambda xp, x, dims: xp.flip(x, dims).copy() if dims else x.copy(), raw=True,
    vjp=(lambda n, g: apply(FLIP, (g,), n.call.params),), family="gather",
)  # fmt: skip


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order along ``dims`` reversed (a copy).

    >>> import cresset as torch
    >>> torch.flip(torch.tensor([1, 2, 3]), [0])
    tensor([3, 2, 1])
    """
    return apply(FLIP, (input,), (tuple(wrap_dim(d, input.ndim) for d in as_shape(dims)),))


def fliplr(input: Tensor) -> Tensor:
    """The second dimension reversed."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The first dimension reversed."""
    return flip(input, 0)


ROLL = Op(
    "roll", lambda s, shifts, dims: dense(s.dtype, s.shape, s.device),
    lambda xp, x, shifts, dims: xp.roll(x, shifts, dims), raw=True,
    vjp=(
        lambda n, g: apply(ROLL, (g,), (tuple(-s for s in n.call.params[0]), n.call.params[1])),
    ),
    family="gather",
)  # fmt: skip


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements shifted along ``dims``, re-entering at the other end.

    >>> import cresset as torch
    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        flat = apply(ROLL, (reshape(input, (-1,)),), (steps[:1], (0,)))
        return reshape(flat, input.shape)
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(axes) != len(steps):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(axes)}"
        )
    return apply(ROLL, (input,), (steps, tuple(wrap_dim(d, input.ndim) for d in axes)))


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated by ``k`` quarter turns in the plane of two dimensions."""
    a, b = dims
    k %= 4
    if k == 0:
        return input.clone()  # type: ignore[attr-defined]
    if k == 2:
        return flip(input, [a, b])
    return flip(input, [b]).transpose(a, b) if k == 1 else flip(input.transpose(a, b), [b])  # type: ignore[attr-defined]


# -- grids ------------------------------------------------------------------------------------------


def broadcast_tensors(*tensors: Any) -> tuple:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[t._spec.shape for t in tensors])
    return tuple(expand(t, shape) for t in tensors)


def broadcast_shapes_(*shapes: Any) -> Size:
    """The shape to which all shapes broadcast."""
    return broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes])


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Coordinate matrices from coordinate vectors.

    >>> import cresset as torch
    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), indexing='ij')[0]
    tensor([[1],
            [2]])
    """
    import warnings

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
    swap = indexing == "xy" and len(tensors) >= 2
    order = [1, 0, *range(2, len(tensors))] if swap else list(range(len(tensors)))
    chosen = [tensors[i] for i in order]
    shape = [t.numel() for t in chosen]
    grids = [
        expand(reshape(t, [-1 if i == d else 1 for i in range(len(chosen))]), shape)
        for d, t in enumerate(chosen)
    ]
    if swap:
        grids = [g.transpose(0, 1) for g in grids]  # type: ignore[attr-defined]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element from each vector."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, (-1,)) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ``r``-element combinations of a vector's elements."""
    import itertools

    from cresset.ops.creation import tensor

    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(pick(range(input.numel()), r))
    if not rows:
        return input.new_empty((0, r))  # type: ignore[attr-defined]
    return reshape(input.index_select(0, reshape(tensor(rows), (-1,))), (len(rows), r))  # type: ignore[attr-defined]


def block_diag(*tensors: Tensor) -> Tensor:
    """The tensors as blocks on the diagonal of a matrix of zeros."""
    blocks = [atleast_2d(t) for t in tensors]
    width = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        rows.append(pad(b, (left, width - left - b.shape[1])))
        left += b.shape[1]
    return cat(rows, 0)


# -- padding ----------------------------------------------------------------------------------------


def _pad_infer(s: Spec, value: Spec, widths: Any) -> Result:
    shape = tuple(n + a + b for n, (a, b) in zip(s.shape, widths, strict=True))
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"The input size {list(s.shape)}, plus negative padding, resulted in a negative output "
            "size, which is invalid."
        )
    return Result((dense(s.dtype, shape, s.device),), s.dtype)


def _pad_kernel(xp: Any, x: Any, value: Any, widths: Any) -> Any:
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)
    )
    grow = [(max(a, 0), max(b, 0)) for a, b in widths]
    return xp.pad(x[cut], grow, constant_values=value)


PAD = Op(
    "constant_pad_nd", _pad_infer, _pad_kernel, family="gather", grad_name="ConstantPadNdBackward0",
    vjp=(
        lambda n, g: apply(PAD, (g, 0), (tuple((-a, -b) for a, b in n.call.params[0]),)), None,
    ),
)  # fmt: skip


def _mirror_infer(s: Spec, widths: Any, mode: str) -> Result:
    shape = tuple(n + a + b for n, (a, b) in zip(s.shape, widths, strict=True))
    for d, (n, (a, b)) in enumerate(zip(s.shape, widths, strict=True)):
        if mode == "reflect" and (a >= n or b >= n) and (a or b):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({a}, {b}) at dimension {d} of input {list(s.shape)}"
            )
        if mode == "wrap" and (a > n or b > n):
            raise RuntimeError("Padding value causes wrapping around more than once.")
    return Result((dense(s.dtype, shape, s.device),))


def _mirror_kernel(xp: Any, x: Any, widths: Any, mode: str) -> Any:
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)
    )
    return xp.pad(x[cut], [(max(a, 0), max(b, 0)) for a, b in widths], mode=mode)


def _mirror_grad(n: Any, g: Tensor) -> Tensor:
    """Add every padded element to the one it repeats, dimension by dimension."""
    import numpy as np

    from cresset.ops.creation import from_numpy

    widths, mode = n.call.params
    whole = n.call.specs[0].shape
    for d, (size, width) in enumerate(zip(whole, widths, strict=True)):
        if width != (0, 0):
            source = _mirror_kernel(np, np.arange(size), (width,), mode)
            index = from_numpy(source.copy()).to(g.device)  # type: ignore[attr-defined]
            shape = tuple(size if i == d else m for i, m in enumerate(g.shape))
            g = g.new_zeros(shape).index_add(d, index, g)  # type: ignore[attr-defined]
    return g


MIRROR = {
    mode: Op(f"{name}_pad", _mirror_infer, _mirror_kernel, vjp=(_mirror_grad,), raw=True,
             family="gather", grad_name=f"{title}Pad2DBackward0")
    for mode, name, title in (
        ("reflect", "reflection", "Reflection"), ("edge", "replication", "Replication"),
        ("wrap", "circular", "Circular"),
    )
}  # fmt: skip


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Padding given from the last dimension backwards: (left, right, top, bottom, ...).

    ``mode``: constant (with ``value``), reflect, replicate, circular. Negative widths crop.

    >>> import cresset as torch
    >>> torch.nn.functional.pad(torch.tensor([1., 2.]), (1, 0))
    tensor([0., 1., 2.])
    """
    widths = [int(w) for w in pad]
    if len(widths) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(widths) // 2 > input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(widths)} and input of dimension {input.ndim}"
        )
    pairs = [(0, 0)] * input.ndim
    for i in range(len(widths) // 2):
        pairs[input.ndim - 1 - i] = (widths[2 * i], widths[2 * i + 1])
    if mode == "constant":
        fill = 0 if value is None else value
        if isinstance(fill, float) and input.dtype.category < dtypes.FLOAT:
            fill = int(fill)
        return apply(PAD, (input, fill), (tuple(pairs),))
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    found = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}.get(mode)
    if found is None:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return apply(MIRROR[found], (input,), (tuple(pairs), found))


def constant_pad_nd(input: Tensor, pad_: Any, value: float = 0) -> Tensor:
    """``pad`` with a constant."""
    return pad(input, pad_, "constant", value)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r r, h, w) to (..., c, h r, w r)."""
    *lead, c, h, w = input.shape
    r = upscale_factor
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    x = reshape(input, (-1, c // (r * r), r, r, h, w)).permute(0, 1, 4, 2, 5, 3)  # type: ignore[attr-defined]
    return reshape(x, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., c, h r, w r) to (..., c r r, h, w)."""
    *lead, c, h, w = input.shape
    r = downscale_factor
    x = reshape(input, (-1, c, h // r, r, w // r, r)).permute(0, 1, 3, 5, 2, 4)  # type: ignore[attr-defined]
    return reshape(x, (*lead, c * r * r, h // r, w // r))


# -- the storage itself -----------------------------------------------------------------------------


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Change the shape in place; more elements than before are uninitialised (zeros here)."""
    from cresset.core import graph
    from cresset.core.storage import Storage
    from cresset.ops.registry import backend

    shape = as_shape(sizes)
    spec = self._spec
    new = dense(spec.dtype, shape, spec.device)
    if self._requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    room = self._storage.size - spec.offset
    if new.numel > room:
        home = backend(spec.device)
        buffer = home.empty(new.numel, spec.dtype.np)
        buffer[...] = 0
        old = graph.materialize(self._storage)[spec.offset :]
        buffer[: old.size] = old
        fresh = Storage(spec.dtype, new.numel, spec.device, buffer)
        fresh.version = self._storage.version + 1
        self._storage = fresh
        self._spec = new
    else:
        from cresset.core.spec import spec as make_spec

        self._spec = make_spec(spec.dtype, new.shape, new.stride, spec.offset, spec.device)
    return self


def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """``resize_`` to the shape of ``other``."""
    return resize_(self, tuple(other.shape))


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None,
         stride: Any = None) -> Tensor:  # fmt: skip
    """Share ``source``'s memory from now on."""
    if source is None:
        source = self.new_empty((0,))  # type: ignore[attr-defined]
    if isinstance(source, Tensor):
        self._storage, self._spec = source._storage, source._spec
    return self


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place."""
    return _become(self, self.squeeze(dim) if dim is not None else self.squeeze())  # type: ignore[attr-defined]


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """``unsqueeze`` in place."""
    return _become(self, unsqueeze(self, dim))


def t_(self: Tensor) -> Tensor:
    """``t`` in place."""
    return _become(self, self.t())  # type: ignore[attr-defined]


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place."""
    return _become(self, self.transpose(dim0, dim1))  # type: ignore[attr-defined]


def _become(self: Tensor, view: Tensor) -> Tensor:
    """Take over the geometry (and history) of a view of oneself."""
    if self._requires_grad and self.grad_fn is None and view.grad_fn is not None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    self._spec = view._spec
    if view._grad_fn is not None:
        self._grad_fn, self._output_nr = view._grad_fn, view._output_nr
    return self


def tril_triu_mask(rows: int, columns: int, diagonal: int, lower: bool) -> Any:
    """Which elements of a matrix ``tril`` (or ``triu``) keeps."""
    import numpy as np

    mask = np.tri(rows, columns, diagonal, dtype=bool)
    return mask if lower else ~np.tri(rows, columns, diagonal - 1, dtype=bool)


def _triangle(name: str, lower: bool) -> tuple[Op, Any]:
    def infer(s: Spec, diagonal: int) -> Result:
        if s.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return Result((dense(s.dtype, s.shape, s.device),))

    def kernel(xp: Any, x: Any, diagonal: int) -> Any:
        mask = xp.asarray(tril_triu_mask(x.shape[-2], x.shape[-1], diagonal, lower))
        return xp.where(mask, x, xp.zeros((), x.dtype))

    op = Op(name, infer, kernel, vjp=(lambda n, g: apply(op, (g,), n.call.params),), raw=True,
            family="pointwise")  # fmt: skip

    def function(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
        return into(out, apply(op, (input,), (diagonal,)))

    side = "below" if lower else "above"
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The part of matrices on and {side} a diagonal; zeros elsewhere."
    return op, function


TRIL, tril = _triangle("tril", True)
TRIU, triu = _triangle("triu", False)


def _indices(lower: bool, row: int, col: int, offset: int, d: Any, where: Any) -> Tensor:
    import numpy as np

    from cresset.ops.creation import tensor

    found = np.nonzero(tril_triu_mask(row, col, offset, lower))
    return tensor(np.stack(found), dtype=d or dtypes.int64, device=where)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:  # fmt: skip
    """Row and column indices of the lower triangle."""
    return _indices(True, row, col, offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:  # fmt: skip
    """Row and column indices of the upper triangle."""
    return _indices(False, row, col, offset, dtype, device)


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector.

    >>> import cresset as torch
    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim == 1:
        return into(out, diag_embed(input, diagonal))
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return into(out, input.diagonal(diagonal).clone())  # type: ignore[attr-defined]


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension as the diagonal of two new ones."""
    n = input.shape[-1] + abs(offset)
    lead = input.shape[:-1]
    zeros = input.new_zeros((*lead, n, n))  # type: ignore[attr-defined]
    zeros.diagonal(offset, -2, -1).copy_(input)
    ndim = zeros.ndim
    d1, d2 = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    return zeros.movedim((ndim - 2, ndim - 1), (d1, d2))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements as the diagonal of a matrix."""
    return diag_embed(reshape(input, (-1,)), offset)


def _scattered(input: Tensor, src: Tensor, place: Any) -> Tensor:
    copy = input.clone()  # type: ignore[attr-defined]
    place(copy).copy_(src)
    return copy


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` at one index of a dimension."""
    return _scattered(input, src, lambda c: c.select(dim, index))


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None,
                  step: int = 1) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` in a slice of a dimension."""
    return _scattered(input, src, lambda c: slice_dim(c, wrap_dim(dim, c.ndim), start, end, step))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0,
                     dim2: int = 1) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` on a diagonal."""
    return _scattered(input, src, lambda c: c.diagonal(offset, dim1, dim2))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """The p-norm distances between all rows of two batches of matrices."""
    difference = unsqueeze(x1, -2) - unsqueeze(x2, -3)  # type: ignore[operator]
    return difference.norm(p, -1)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector's elements as columns."""
    n = x.numel() if N is None else N
    powers = [x**k for k in range(n)]  # type: ignore[operator]
    return stack(powers if increasing else powers[::-1], -1)


TORCH = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "row_stack", "dstack",
    "column_stack", "hsplit", "vsplit", "dsplit", "atleast_1d", "atleast_2d", "atleast_3d", "tile",
    "repeat_interleave", "flip", "fliplr", "flipud", "roll", "rot90", "broadcast_tensors",
    "broadcast_shapes=broadcast_shapes_", "meshgrid", "cartesian_prod", "combinations",
    "block_diag", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "tril", "triu",
    "tril_indices", "triu_indices", "diag", "diag_embed", "diagflat", "select_scatter",
    "slice_scatter", "diagonal_scatter", "cdist", "vander",
)  # fmt: skip
METHODS = (
    "repeat", "tile=tile_method", "repeat_interleave", "flip", "fliplr", "flipud", "roll", "rot90",
    "hsplit", "vsplit", "dsplit", "tril", "triu", "diag", "diag_embed", "diagflat",
    "select_scatter", "slice_scatter", "diagonal_scatter", "resize_", "resize_as_", "set_",
    "squeeze_", "unsqueeze_", "t_", "transpose_",
)  # fmt: skip
IN_PLACE = ("tril", "triu")
