"""Putting samples together into a batch."""

from __future__ import annotations

import collections.abc
import copy
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import as_tensor, from_numpy, tensor
from cresset.ops.join import stack
from cresset.tensor import Tensor

_MESSAGE = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """Arrays inside a sample as tensors; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if np.asarray(data).dtype.kind in "SUO" else as_tensor(np.asarray(data))
    if isinstance(data, collections.abc.Mapping):
        return _mapping_like(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, (tuple, list)):
        return [default_convert(d) for d in data]
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return _sequence_like(data, [default_convert(d) for d in data])
    return data


def default_collate(batch: Any) -> Any:
    """Tensors and arrays stacked, numbers as a tensor, containers part by part.

    >>> import cresset as torch
    >>> torch.utils.data.default_collate([(0, 'a'), (1, 'b')])
    [tensor([0, 1]), ('a', 'b')]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_MESSAGE.format(first.dtype))
        return from_numpy(np.stack(batch)) if first.shape else as_tensor(np.array(batch))
    if isinstance(first, np.generic) and not isinstance(first, np.str_):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, collections.abc.Mapping):
        return _mapping_like(first, {k: default_collate([d[k] for d in batch]) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(s)) for s in zip(*batch, strict=True)))
    if isinstance(first, collections.abc.Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(_column(s)) for s in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _sequence_like(first, columns)
    raise TypeError(_MESSAGE.format(type(first)))


def _mapping_like(model: Any, made: dict) -> Any:
    """``made`` in a mapping of the model's class (a plain dict where that cannot be)."""
    try:
        if isinstance(model, collections.abc.MutableMapping):
            clone = copy.copy(model)  # keeps what the class adds, as defaultdict's factory
            clone.update(made)
            return clone
        return type(model)(made)  # type: ignore[call-arg]
    except TypeError:
        return made


def _sequence_like(model: Any, made: list) -> Any:
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


def _column(samples: tuple) -> Any:
    """Strings stay a tuple, as PyTorch leaves them."""
    return samples if isinstance(samples[0], (str, bytes)) else list(samples)
