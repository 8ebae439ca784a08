"""Putting samples together into a batch.

``collate`` walks through the samples' structure; what happens to the leaves is a table from types
to functions, ``default_collate_fn_map``, which users may extend.
"""

from __future__ import annotations

import collections.abc
import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import as_tensor, from_numpy, tensor
from cresset.ops.join import stack
from cresset.tensor import Tensor, from_array, is_at_hand

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
#: By type (or tuple of types): ``function(batch, collate_fn_map=table)``.
FunctionMap = dict[Any, Callable[..., Any]]


def default_convert(data: Any) -> Any:
    """Arrays inside a sample as tensors; everything else as it is.

    >>> import numpy as np
    >>> import cresset as torch
    >>> torch.utils.data.default_convert({"a": np.array([1, 2]), "b": "text"})
    {'a': tensor([1, 2]), 'b': 'text'}
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if np.asarray(data).dtype.kind in "SUO" else as_tensor(np.asarray(data))
    if isinstance(data, collections.abc.Mapping):
        return mapping_like(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, tuple):
        return [default_convert(d) for d in data]
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return sequence_like(data, [default_convert(d) for d in data])
    return data


def collate(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Any:
    """Samples as a batch, part by part: containers keep their structure, leaves go by the table.

    The function for a leaf's type is taken, else that of the first type in the table that the leaf
    is an instance of. RuntimeError for sequences of different length, TypeError for what is neither
    in the table nor a container.

    >>> from cresset.data.collate import collate
    >>> def longest(batch, *, collate_fn_map=None):
    ...     return max(batch, key=len)
    >>> collate([{"a": "x"}, {"a": "xyz"}], collate_fn_map={str: longest})
    {'a': 'xyz'}
    """
    first = batch[0]
    function = _function_for(first, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)

    def part(samples: Any) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, collections.abc.Mapping):
        return mapping_like(first, {k: part([d[k] for d in batch]) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(part(samples) for samples in zip(*batch)))
    if isinstance(first, collections.abc.Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        parts = [part(samples) for samples in zip(*batch)]
        return parts if isinstance(first, tuple) else sequence_like(first, parts)
    raise TypeError(default_collate_err_msg_format.format(type(first)))


def _function_for(leaf: Any, table: FunctionMap) -> Callable[..., Any] | None:
    found = table.get(type(leaf))
    if found is None:
        found = next((f for kind, f in table.items() if isinstance(leaf, kind)), None)
    return found


def collate_tensor_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Tensor:
    """Tensors of one shape, stacked."""
    spec = batch[0]._spec
    if spec.contiguous and all([is_at_hand(x) and x._spec is spec for x in batch]):
        return from_array(np.stack([x._array() for x in batch]), spec.dtype)
    return stack(batch, 0)


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Any:
    """Arrays of one shape, stacked; TypeError for strings and objects."""
    first = batch[0]
    if first.dtype.kind in "SUO":
        raise TypeError(default_collate_err_msg_format.format(first.dtype))
    if first.shape and all(a.shape == first.shape and a.dtype == first.dtype for a in batch):
        return from_numpy(np.stack(batch))  # one copy, where tensors would cost one each
    return collate([as_tensor(a) for a in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Tensor:
    return as_tensor(np.array(batch))


def collate_float_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Tensor:
    return tensor(batch, dtype=dtypes.float64)


def collate_int_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Tensor:
    return tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: FunctionMap | None = None) -> Any:
    return batch


default_collate_fn_map: FunctionMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


_AS_IT_CAME = dict(default_collate_fn_map)


def collates_as_usual(collate_fn: Any) -> bool:
    """Whether this is ``default_collate``, and nobody has changed what it does to any type."""
    return collate_fn is default_collate and default_collate_fn_map == _AS_IT_CAME


def default_collate(batch: Any) -> Any:
    """Tensors and arrays stacked, numbers as a tensor, containers part by part.

    >>> import cresset as torch
    >>> torch.utils.data.default_collate([(0, 'a'), (1, 'b')])
    [tensor([0, 1]), ('a', 'b')]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def mapping_like(model: Any, made: dict) -> Any:
    """``made`` in a mapping of the model's class (a plain dict where that cannot be)."""
    try:
        if isinstance(model, collections.abc.MutableMapping):
            clone = copy.copy(model)  # keeps what the class adds, as defaultdict's factory
            clone.update(made)
            return clone
        return type(model)(made)  # type: ignore[call-arg]
    except TypeError:
        return made


def sequence_like(model: Any, made: list) -> Any:
    """``made`` in a sequence of the model's class (a list where that cannot be)."""
    try:
        if isinstance(model, collections.abc.MutableSequence):
            clone = copy.copy(model)
            for i, value in enumerate(made):
                clone[i] = value
            return clone
        return type(model)(made)  # type: ignore[call-arg]
    except TypeError:
        return made
