"""``x[...]``: basic indexing gives views, index tensors and masks gather, assignment writes.

A key is normalised to one entry per dimension: integers and slices are applied as views first; what
remains, if anything, is a list with an index tensor or None per dimension, which one ``index`` op
reads and one ``index_put`` op writes. Masks are looked at (their result's shape depends on values).
"""

from __future__ import annotations

import warnings
from types import EllipsisType
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.core.spec import spec as make_spec
from cresset.ops.cast import cast, copy_, move
from cresset.ops.creation import from_numpy, tensor
from cresset.ops.gather import out_of_bounds, written
from cresset.ops.index_slices import index_add as index_add
from cresset.ops.index_slices import index_copy as index_copy
from cresset.ops.index_slices import index_fill as index_fill
from cresset.ops.index_slices import index_reduce as index_reduce
from cresset.ops.index_slices import index_select as index_select
from cresset.ops.inplace import assign, scalar_name
from cresset.ops.masks import argwhere as argwhere
from cresset.ops.masks import masked_scatter as masked_scatter
from cresset.ops.masks import masked_select as masked_select
from cresset.ops.masks import nonzero as nonzero
from cresset.ops.parts import select, slice_dim
from cresset.ops.registry import CPU, Op, Result, Tensor, apply, broadcast_shapes
from cresset.ops.view import ALIAS, expand, reshape, unsqueeze, view
from cresset.tensor import from_array, view_of

_EVERY = slice(None)
_LIST_WARNING = (
    "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in "
    "pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as "
    "tensor index, x[torch.tensor(seq)], which will result either in an error or a different result"
)


# -- the op ----------------------------------------------------------------------------------------


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
    given = iter(enumerate(indices))
    for used, n in zip(pattern, shape):  # noqa: B905
        if not used:
            key.append(_EVERY)
            continue
        # PyTorch numbers the dimensions among the indexed ones.
        place, index = next(given)
        bad = out_of_bounds(index, -n, n)
        if bad is not None:
            raise IndexError(f"index {bad} is out of bounds for dimension {place} with size {n}")
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
    values = written(values, result)
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


# -- keys ------------------------------------------------------------------------------------------


def _is_sequence(item: Any) -> bool:
    return isinstance(item, (list, tuple, range, np.ndarray))


def _items(key: Any) -> list[Any]:
    """The entries of a key. A list that holds more than numbers is a tuple, as in old NumPy."""
    if isinstance(key, tuple):
        return list(key)
    if isinstance(key, list) and len(key) < 32:
        for item in key:
            if item is None or isinstance(item, (Tensor, slice, EllipsisType)) or (
                _is_sequence(item)
            ):  # fmt: skip
                warnings.warn(_LIST_WARNING, UserWarning, stacklevel=4)
                return list(key)
    return [key]


def _as_index(item: Any, where: Any) -> Tensor:
    """A sequence, array or tensor as an int64 index tensor or a mask on the right device."""
    if not isinstance(item, Tensor):
        if isinstance(item, np.ndarray):
            item = from_numpy(np.ascontiguousarray(item).reshape(item.shape))
        elif (whole := _whole_numbers(item)) is not None:
            item = from_array(whole, dtypes.int64)
        else:
            item = list(item)
            if _has_strings(item):
                raise TypeError("new(): invalid data type 'str'")
            item = tensor(item) if item else tensor([], dtype=dtypes.int64)
        if item.dtype not in (dtypes.bool_, dtypes.uint8):
            item = cast(item, dtypes.int64)
    d = item._spec.dtype
    if d is dtypes.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=5,
        )
        item = cast(item, dtypes.bool_)
    elif d is dtypes.int32:
        item = cast(item, dtypes.int64)
    elif d is not dtypes.int64 and d is not dtypes.bool_:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if item.device is not CPU and item.device is not where:
        raise RuntimeError(
            f"indices should be either on cpu or on the same device as the indexed tensor ({where})"
        )
    return move(item, where)


def _whole_numbers(items: Any) -> np.ndarray | None:
    """A flat sequence of plain ints as an array (in no time where it is a range), else None."""
    if isinstance(items, range):
        array = np.arange(items.start, items.stop, items.step)
    elif set(map(type, items)) == {int}:
        array = np.array(items)
    else:
        return None
    return array if array.dtype == np.int64 else None  # numbers beyond 64 bits make other types


def _has_strings(items: Any) -> bool:
    return any(
        isinstance(i, str) or (isinstance(i, (list, tuple)) and _has_strings(i)) for i in items
    )


def _entry(item: Any, where: Any) -> tuple[Any, int]:
    """An entry in one of the forms int, slice, None, ..., bool, tensor; and how many dimensions
    of the indexed tensor it uses up."""
    if item.__class__ is int or item.__class__ is slice:
        return item, 1
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item, 0
    if isinstance(item, Tensor) or _is_sequence(item):
        if isinstance(item, Tensor) and not item.ndim:
            if item.dtype.category == dtypes.INT and item.dtype is not dtypes.uint8:
                return int(item), 1
            if item.dtype is dtypes.bool_ or item.dtype is dtypes.uint8:
                return bool(item), 0
        item = _as_index(item, where)
        if item.dtype is dtypes.bool_:
            return (item, item.ndim) if item.ndim else (bool(item), 0)
        return item, 1
    if isinstance(item, np.bool_):
        return bool(item), 0
    if hasattr(item, "__index__"):
        return item.__index__(), 1
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})"
    )


def _plan(x: Tensor, key: Any, given: str = "") -> tuple[Tensor, list[Tensor | None]]:
    """Apply what makes views; return the view and an index tensor or None per dimension."""
    entries = [_entry(item, x.device) for item in _items(key)]
    used = sum([width for _, width in entries])
    ndim = len(x._spec.shape)
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}{given}")
    indices: list[Tensor | None] = []
    dim = selected = 0
    for item, width in entries:
        if item.__class__ is int:
            x = _select(x, dim, item, dim + selected)
            selected += 1
            continue
        if item.__class__ is slice:
            if item != _EVERY:
                x = _slice(x, dim, item)
            indices.append(None)
        elif item is Ellipsis:
            indices.extend([None] * (ndim - used))
            dim += ndim - used - 1
        elif item is None:
            x = unsqueeze(x, dim)
            indices.append(None)
        elif isinstance(item, bool):
            x = unsqueeze(x, dim)
            indices.append(tensor([0] if item else [], dtype=dtypes.int64, device=x.device))
        elif item._spec.dtype is dtypes.bool_:
            _check_mask(item, x, dim)
            indices.extend(nonzero(item, as_tuple=True))
            dim += width - 1
        else:
            indices.append(item)
        dim += 1
    return x, indices


def _basic(x: Tensor, items: tuple) -> Tensor | None:
    """A view by integers and slices only, in one step; None if that is not all there is to do."""
    spec = x._spec
    shape, stride, offset = spec.shape, spec.stride, spec.offset
    count = len(items)
    if count > len(shape):
        return None
    new_shape: list[int] = []
    new_stride: list[int] = []
    for item, n, step in zip(items, shape, stride):  # noqa: B905
        if item.__class__ is int:
            if not -n <= item < n:
                return None
            offset += (item + n if item < 0 else item) * step
        elif item.__class__ is slice:
            if item == _EVERY:
                new_shape.append(n)
                new_stride.append(step)
                continue
            start, stop, jump = item.indices(n)
            if jump <= 0:
                return None
            new_shape.append(max(0, (stop - start + jump - 1) // jump))
            new_stride.append(step * jump)
            offset += start * step
        else:
            return None
    return view_of(
        x, make_spec(spec.dtype, (*new_shape, *shape[count:]), (*new_stride, *stride[count:]),
                     offset, spec.device)
    )  # fmt: skip


def _check_mask(mask: Tensor, x: Tensor, dim: int) -> None:
    for i, n in enumerate(mask.shape):
        if n != x.shape[dim + i]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {i} does not match the shape "
                f"of the indexed tensor {list(x.shape)} at index {dim + i}"
            )


def _select(x: Tensor, dim: int, index: int, place: int) -> Tensor:
    shape = x._spec.shape
    if not shape:
        if index:
            raise IndexError(f"index {index} is out of bounds for dimension 0 with size 0")
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in C++ to convert a 0-dim tensor to a number"
        )
    n = shape[dim]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {place} with size {n}")
    return select(x, dim, index)


#: The specs of ``x[i]`` and ``x[a:b]`` by the spec of x and i, or a and b: loops over rows and
#: batches come back for the same ones.
_known: dict[tuple, Spec] = {}
_MOST_KNOWN = 20_000


def _remember(x: Tensor, key: int | slice) -> Tensor:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    if isinstance(key, int):
        row = _select(x, 0, key, 0)
        _known[x._spec, key] = row._spec
        return row
    part = _slice(x, 0, key)
    _known[x._spec, key.start, key.stop] = part._spec
    return part


def _is_plain(bound: Any) -> bool:
    """A tensor would be looked up by identity, whatever its value is now."""
    return bound is None or bound.__class__ is int


def _slice(x: Tensor, dim: int, item: slice) -> Tensor:
    if item.step is not None and item.step.__index__() <= 0:
        raise ValueError(
            "step must be greater than zero" if item.step else "slice step cannot be zero"
        )
    if not x._spec.shape:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    start, stop, step = item.indices(x._spec.shape[dim])
    if step <= 0:
        raise ValueError("step must be greater than zero")
    return slice_dim(x, dim, start, stop, step)


def __getitem__(self: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for integers, slices, None and ...; a copy for index tensors and masks.

    >>> import cresset as torch
    >>> x = torch.arange(6).view(2, 3)
    >>> x[:, 1], x[torch.tensor([1, 1]), torch.tensor([0, 2])], x[x > 3]
    (tensor([1, 4]), tensor([3, 5]), tensor([4, 5]))
    """
    kind = key.__class__
    if self._requires_grad or self._inference:
        if kind is int:
            return _select(self, 0, key, 0)
        if kind is slice:
            return _slice(self, 0, key)
    elif kind is int:
        known = _known.get((self._spec, key))
        return _remember(self, key) if known is None else view_of(self, known)
    elif kind is slice:
        if key.step is not None or not _is_plain(key.start) or not _is_plain(key.stop):
            return _slice(self, 0, key)
        known = _known.get((self._spec, key.start, key.stop))
        return _remember(self, key) if known is None else view_of(self, known)
    elif kind is tuple:
        found = _basic(self, key)
        if found is not None:
            return found
    view, indices = _plan(self, key)
    given = [i for i in indices if i is not None]
    if not given:
        return view if view is not self else _alias(self)
    pattern = tuple([i is not None for i in indices])
    return apply(_index(len(given)), (view, *given), (pattern,))


def _alias(x: Tensor) -> Tensor:
    """The whole tensor once more, as a view."""
    return view(ALIAS, x, ())


def __setitem__(self: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``: numbers and tensors are broadcast; views also convert.

    >>> import cresset as torch
    >>> x = torch.zeros(3)
    >>> x[1:] = torch.tensor([1, 2]); x[x > 1] = 7; x
    tensor([0., 1., 7.])
    """
    if not isinstance(value, (Tensor, int, float, complex)):
        if not isinstance(value, np.integer):
            raise TypeError(f"can't assign a {_c_name(value)} to a {self._type_name()}")
        value = int(value)
    if isinstance(key, Tensor) and key._spec.dtype is dtypes.bool_ and _is_single(value):
        _put_where(self, key, value)
        return
    view, indices = _plan(self, key)
    given = [i for i in indices if i is not None]
    if not given:
        if isinstance(value, Tensor):
            value = _without_leading_ones(value, view.ndim)
            if value._spec.shape != view._spec.shape:
                value = expand(value, view._spec.shape)
            copy_(view, value)
        else:
            view.fill_(value)  # type: ignore[attr-defined]
        return
    pattern = tuple([i is not None for i in indices])
    if isinstance(value, Tensor):
        _check_same_dtype(view, value)
        ndim = len(_index_shape(view._spec, [i._spec for i in given], pattern))
        value = move(_without_leading_ones(value, ndim), view.device)
    else:
        _check_number(value, view.dtype)
    assign(view, apply(_put(len(given)), (view, value, *given), (pattern, False)))


def _is_single(value: Any) -> bool:
    return not isinstance(value, Tensor) or value._spec.numel == 1


def _c_name(value: Any) -> str:
    """The type's name as CPython's C API gives it."""
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _check_same_dtype(x: Tensor, value: Tensor) -> None:
    if value._spec.dtype is not x._spec.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{scalar_name(x.dtype)} for the destination and {scalar_name(value.dtype)} for the "
            "source."
        )


def _check_number(value: Any, d: dtypes.dtype) -> None:
    if isinstance(value, complex) and not d.is_complex:
        raise RuntimeError("value cannot be converted to type float without overflow")


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    """PyTorch lets a value have more dimensions than its place if they are 1."""
    shape = value._spec.shape
    extra = 0
    while len(shape) - extra > ndim and shape[extra] == 1:
        extra += 1
    return reshape(value, shape[extra:]) if extra else value


def _put_where(x: Tensor, mask: Tensor, value: Any) -> None:
    """``x[mask] = value`` for one value: needs no look at the mask."""
    ndim, width = x.ndim, mask.ndim
    if width > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    _check_mask(mask, x, 0)
    if isinstance(value, Tensor):
        _check_same_dtype(x, value)
        value = reshape(value, ())
    else:
        _check_number(value, x.dtype)
    mask = reshape(move(mask, x.device), (*mask.shape, *(1,) * (ndim - width)))
    assign(x, apply(PUT_WHERE, (x, mask, value)))


def _put_where_grad(n: Any, g: Tensor, mask: Tensor) -> tuple:
    to_x = g.masked_fill(mask, 0) if n.needs[0] else None  # type: ignore[attr-defined]
    to_value = None
    if n.needs[2]:
        to_value = g.masked_fill(mask.logical_not(), 0).sum()  # type: ignore[attr-defined]
    return to_x, None, to_value


PUT_WHERE = Op(
    "put_where", lambda x, mask, value: dense(x.dtype, x.shape, x.device),
    lambda xp, x, mask, value: xp.where(mask, written(value, x), x), vjp=_put_where_grad,
    save=(1,), family="pointwise", grad_name="IndexPutBackward0",
)  # fmt: skip


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``values`` written (or added) at index tensors.

    >>> import cresset as torch
    >>> torch.zeros(3).index_put((torch.tensor([0, 0]),), torch.tensor(1.), accumulate=True)
    tensor([2., 0., 0.])
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            "index_put(): argument 'indices' (position 1) must be tuple of Tensors, not "
            f"{type(indices).__name__}"
        )
    key = tuple([_EVERY if i is None else i for i in indices])
    view, plan = _plan(input, key, f" (got {len(indices)})")
    given = [i for i in plan if i is not None]
    _check_same_dtype(input, values)
    pattern = tuple([i is not None for i in plan])
    return apply(_put(len(given)), (view, values, *given), (pattern, bool(accumulate)))


def __contains__(self: Tensor, element: Any) -> bool:
    """Whether any element equals ``element``."""
    if isinstance(element, (Tensor, int, float, complex, bool)):
        return bool((self == element).any())  # type: ignore[attr-defined]
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
    )


#: The names of ``index_slices`` and ``masks`` among them, so that one family attaches them all.
TORCH = (
    "index_put", "index_select", "index_add", "index_copy", "index_fill", "index_reduce", "nonzero",
    "argwhere", "masked_select", "masked_scatter",
)  # fmt: skip
METHODS = (*TORCH, "__getitem__", "__setitem__", "__contains__")
IN_PLACE = (
    "index_put", "index_add", "index_copy", "index_fill", "index_reduce", "masked_scatter",
)  # fmt: skip
