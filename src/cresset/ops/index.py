"""``x[...]``: basic indexing gives views, index tensors and masks gather, assignment writes.

A key is normalised to one entry per dimension: integers and slices are applied as views first; what
remains, if anything, is a list with an index tensor or None per dimension, which one ``index`` op
reads and one ``index_put`` op writes. Masks are looked at (their result's shape depends on values).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.cast import cast, copy_, move
from cresset.ops.creation import from_numpy, tensor
from cresset.ops.gather import nonzero
from cresset.ops.inplace import assign
from cresset.ops.registry import Op, Result, Tensor, apply, broadcast_shapes
from cresset.ops.view import reshape, select, slice_dim, unsqueeze

_EVERY = slice(None)


# -- the op -----------------------------------------------------------------------------------------


def _layout(pattern: tuple[bool, ...]) -> tuple[list[int], bool]:
    """Which dimensions are indexed, and whether they are next to one another."""
    dims = [d for d, used in enumerate(pattern) if used]
    return dims, dims == list(range(dims[0], dims[-1] + 1))


def _index_shape(x: Spec, indices: list[Spec], pattern: tuple[bool, ...]) -> tuple[int, ...]:
    try:
        shape = broadcast_shapes(*[i.shape for i in indices])
    except RuntimeError:
        shapes = ", ".join(str(list(i.shape)) for i in indices)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    dims, together = _layout(pattern)
    rest = [n for d, n in enumerate(x.shape) if d >= len(pattern) or not pattern[d]]
    before = dims[0] if together else 0
    return (*rest[:before], *shape, *rest[before:])


def _index_infer(x: Spec, *rest: Any) -> Result:
    *indices, pattern = rest
    return Result((dense(x.dtype, _index_shape(x, indices, pattern), x.device),))


def _key(xp: Any, shape: Any, indices: Any, pattern: tuple[bool, ...]) -> tuple:
    """The NumPy key, after checking every index against its dimension."""
    key: list[Any] = []
    given = iter(indices)
    for d, used in enumerate(pattern):
        if not used:
            key.append(_EVERY)
            continue
        index = next(given)
        if index.size:
            low, high = int(index.min()), int(index.max())
            if low < -shape[d] or high >= shape[d]:
                bad = high if high >= shape[d] else low
                raise IndexError(
                    f"index {bad} is out of bounds for dimension {d} with size {shape[d]}"
                )
        key.append(index)
    return tuple(key)


def _index_kernel(xp: Any, x: Any, *rest: Any) -> Any:
    *indices, pattern = rest
    return x[_key(xp, x.shape, indices, pattern)]


def _index_grad(n: Any, g: Tensor, *indices: Tensor) -> tuple:
    zeros = g.new_zeros(n.call.specs[0].shape)  # type: ignore[attr-defined]
    used = tuple(n.saved)
    result = apply(_put(len(used)), (zeros, g, *used), (n.call.params[0], True))
    return (result, *(None,) * len(used))


def _put_infer(x: Spec, values: Spec, *rest: Any) -> Result:
    *indices, pattern, accumulate = rest
    shape = _index_shape(x, indices, pattern)
    try:
        fits = broadcast_shapes(values.shape, shape) == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)}"
        )
    return Result((dense(x.dtype, x.shape, x.device),))


def _put_kernel(xp: Any, x: Any, values: Any, *rest: Any) -> Any:
    *indices, pattern, accumulate = rest
    result = x.copy()
    key = _key(xp, x.shape, indices, pattern)
    if not accumulate:
        result[key] = values
    elif len(indices) == x.ndim:
        # All dimensions indexed: bincount over flat positions beats add.at by far.
        where = xp.ravel_multi_index(
            xp.broadcast_arrays(*[xp.where(i < 0, i + n, i) for i, n in
                                  zip(indices, x.shape, strict=True)]), x.shape)  # fmt: skip
        if result.dtype.kind == "f":
            flat = xp.broadcast_to(values, where.shape).reshape(-1)
            added = xp.bincount(where.reshape(-1), flat, result.size)
            return (result.reshape(-1) + added).astype(result.dtype).reshape(x.shape)
        xp.add.at(result, key, values)
    else:
        xp.add.at(result, key, values)
    return result


def _put_grad(n: Any, g: Tensor, *indices: Tensor) -> tuple:
    pattern, accumulate = n.call.params
    count = len(indices)
    needs = n.needs
    to_x = None
    if needs[0]:
        if accumulate:
            to_x = g
        else:
            zeros = g.new_zeros(())  # type: ignore[attr-defined]
            to_x = apply(_put(count), (g, zeros, *indices), (pattern, False))
    to_values = None
    if needs[1]:
        spec = n.call.specs[1]
        picked = apply(_index(count), (g, *indices), (pattern,))
        to_values = picked._reduce_to(spec.shape, spec.dtype)
    return (to_x, to_values, *(None,) * count)


_indexes: dict[int, Op] = {}
_puts: dict[int, Op] = {}


def _index(count: int) -> Op:
    if count not in _indexes:
        _indexes[count] = Op(
            "index", _index_infer, _index_kernel, vjp=_index_grad, raw=True, checks_values=True,
            save=tuple(range(1, count + 1)), family="gather",
        )  # fmt: skip
    return _indexes[count]


def _put(count: int) -> Op:
    if count not in _puts:
        _puts[count] = Op(
            "index_put", _put_infer, _put_kernel, vjp=_put_grad, checks_values=True,
            save=tuple(range(2, count + 2)), family="scatter",
        )  # fmt: skip
    return _puts[count]


# -- keys -------------------------------------------------------------------------------------------


def _is_index_list(item: Any) -> bool:
    return isinstance(item, (list, range, np.ndarray))


def _as_index(item: Any, where: Any) -> Tensor:
    """A list, range, array or tensor as an index tensor or mask on the right device."""
    if not isinstance(item, Tensor):
        if isinstance(item, np.ndarray):
            item = from_numpy(np.ascontiguousarray(item))
        else:
            item = tensor(list(item)) if len(item) else tensor([], dtype=dtypes.int64)
    if item.dtype not in (dtypes.int64, dtypes.int32, dtypes.bool_, dtypes.uint8, dtypes.int16,
                          dtypes.int8):  # fmt: skip
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if item.dtype is dtypes.uint8:
        import warnings

        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=5,
        )
        item = cast(item, dtypes.bool_)
    return move(item, where)


def _bad(item: Any) -> IndexError:
    return IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})"
    )


def _width(item: Any) -> int:
    """How many dimensions an entry of the key uses up."""
    if item is None or item is Ellipsis or isinstance(item, (bool, np.bool_)):
        return 0
    if isinstance(item, Tensor) and item.dtype in (dtypes.bool_, dtypes.uint8):
        return item.ndim
    if isinstance(item, np.ndarray) and item.dtype == np.bool_:
        return item.ndim
    return 1


def _plan(x: Tensor, key: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Apply what makes views; return the view and an index tensor or None per dimension."""
    items = list(key) if isinstance(key, tuple) else [key]
    if not isinstance(key, tuple) and isinstance(key, list) and any(
        isinstance(i, (slice, Tensor, type(None), type(Ellipsis), list)) for i in key
    ) and not all(isinstance(i, (int, Tensor, list)) for i in key):  # fmt: skip
        items = list(key)
    used = sum(_width(i) for i in items)
    ndim = len(x._spec.shape)
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    indices: list[Tensor | None] = []
    dim = 0
    for item in items:
        if item.__class__ is int:
            x = _select(x, dim, item)
        elif item.__class__ is slice:
            if item != _EVERY:
                x = _slice(x, dim, item)
            indices.append(None)
            dim += 1
        elif item is None:
            x = unsqueeze(x, dim)
            indices.append(None)
            dim += 1
        elif item is Ellipsis:
            skip = ndim - used
            indices.extend([None] * skip)
            dim += skip
        elif isinstance(item, (bool, np.bool_)):
            x = unsqueeze(x, dim)
            indices.append(tensor([0] if item else [], dtype=dtypes.int64))
            dim += 1
        elif isinstance(item, Tensor) and not item.ndim and item.dtype.category == dtypes.INT:
            if item.dtype is dtypes.uint8:
                mask = _as_index(item, x.device)
                x = unsqueeze(x, dim)
                indices.append(reshape(nonzero(reshape(mask, (1,))), (-1,)))
                dim += 1
                continue
            # A 0-dim integer tensor that is known already selects; a pending one gathers.
            x = _select(x, dim, int(item))
        elif isinstance(item, Tensor) or _is_index_list(item):
            index = _as_index(item, x.device)
            if index.dtype is not dtypes.bool_:
                indices.append(cast(index, dtypes.int64))
                dim += 1
                continue
            _check_mask(index, x, dim)
            if not index.ndim:
                x = unsqueeze(x, dim)
                indices.append(reshape(nonzero(reshape(index, (1,))), (-1,)))
                dim += 1
            else:
                for places in nonzero(index, as_tuple=True):
                    indices.append(places)
                dim += index.ndim
        elif hasattr(item, "__index__"):
            x = _select(x, dim, item.__index__())
        else:
            raise _bad(item)
    return x, indices


def _check_mask(mask: Tensor, x: Tensor, dim: int) -> None:
    for i, n in enumerate(mask.shape):
        if n != x.shape[dim + i]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {i} does not match the shape "
                f"of the indexed tensor {list(x.shape)} at index {dim + i}"
            )


def _select(x: Tensor, dim: int, index: int) -> Tensor:
    shape = x._spec.shape
    if not shape:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in C++ to convert a 0-dim tensor to a number"
        )
    n = shape[dim]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    return select(x, dim, index)


def _slice(x: Tensor, dim: int, item: slice) -> Tensor:
    if not x._spec.shape:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    start, stop, step = (
        None if v is None else int(v) if isinstance(v, Tensor) else v.__index__()
        for v in (item.start, item.stop, item.step)
    )
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero")
    return slice_dim(x, dim, start, stop, 1 if step is None else step)


def __getitem__(self: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for integers, slices, None and ...; a copy for index tensors and masks.

    >>> import cresset as torch
    >>> x = torch.arange(6).view(2, 3)
    >>> x[:, 1], x[torch.tensor([1, 1]), torch.tensor([0, 2])], x[x > 3]
    (tensor([1, 4]), tensor([3, 5]), tensor([4, 5]))
    """
    if key.__class__ is int:
        return _select(self, 0, key)
    if key.__class__ is slice and self._spec.shape:
        return _slice(self, 0, key)
    view, indices = _plan(self, key)
    given = [i for i in indices if i is not None]
    if not given:
        return slice_dim(view, 0, None, None) if view is self and view.ndim else (
            view if view is not self else self.view(self.shape)  # type: ignore[attr-defined]
        )  # fmt: skip
    pattern = tuple(i is not None for i in indices)
    return apply(_index(len(given)), (view, *given), (pattern,))


def __setitem__(self: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``: numbers and tensors are broadcast and converted."""
    view, indices = _plan(self, key)
    given = [i for i in indices if i is not None]
    if isinstance(value, (list, tuple, np.ndarray, np.generic)):
        value = tensor(value, dtype=self.dtype)
    if not given:
        if isinstance(value, Tensor):
            _assign_view(view, value)
        else:
            view.fill_(value)  # type: ignore[attr-defined]
        return
    pattern = tuple(i is not None for i in indices)
    source = value if isinstance(value, Tensor) else tensor(value, dtype=self.dtype)
    source = cast(move(source, self.device), self.dtype)
    while source.ndim and source.shape[0] == 1 and source.ndim > _result_ndim(view, given, pattern):
        source = source.squeeze(0)  # type: ignore[attr-defined]
    new = apply(_put(len(given)), (view, source, *given), (pattern, False))
    assign(view, new)


def _result_ndim(x: Tensor, given: list[Tensor], pattern: tuple[bool, ...]) -> int:
    return len(_index_shape(x._spec, [i._spec for i in given], pattern))


def _assign_view(view: Tensor, value: Tensor) -> None:
    while value.ndim > view.ndim and value.shape[0] == 1:
        value = value.squeeze(0)  # type: ignore[attr-defined]
    try:
        copy_(view, value)
    except RuntimeError as error:
        if "expand" in str(error):
            raise RuntimeError(
                f"The expanded size of the tensor ({view.shape[-1] if view.ndim else 1}) must match "
                f"the existing size ({value.shape[-1] if value.ndim else 1}) at non-singleton "
                f"dimension {max(view.ndim - 1, 0)}.  Target sizes: {list(view.shape)}.  Tensor "
                f"sizes: {list(value.shape)}"
            ) from None
        raise


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``values`` written (or added) at index tensors.

    >>> import cresset as torch
    >>> torch.zeros(3).index_put((torch.tensor([0, 0]),), torch.tensor(1.), accumulate=True)
    tensor([2., 0., 0.])
    """
    view, plan = _plan(input, tuple(_EVERY if i is None else i for i in indices))
    given = [i for i in plan if i is not None]
    if values.dtype is not input.dtype:
        from cresset.ops.inplace import scalar_name

        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{scalar_name(input.dtype)} for the destination and {scalar_name(values.dtype)} for "
            "the source."
        )
    pattern = tuple(i is not None for i in plan)
    return apply(_put(len(given)), (view, values, *given), (pattern, bool(accumulate)))


def __contains__(self: Tensor, element: Any) -> bool:
    """Whether any element equals ``element``."""
    if isinstance(element, (Tensor, int, float, complex, bool)):
        return bool((self == element).any())  # type: ignore[attr-defined]
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
    )


TORCH = ("index_put",)
METHODS = ("index_put", "__getitem__", "__setitem__", "__contains__")
IN_PLACE = ("index_put",)
