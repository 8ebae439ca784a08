"""Whole batches at once, where that is the same as collating sample by sample.

A data set may have a method ``_whole_batch(indices)``. It returns what ``default_collate`` would
make of the samples at ``indices`` (and has drawn what they would have drawn), or None if this batch
must be fetched sample by sample. It is asked only where ``default_collate`` is at work as it came.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset.core.modes import THREAD
from cresset.device import CPU
from cresset.tensor import Tensor, from_array

_PLAIN = {int, np.int64}


def whole_batch(dataset: Any, indices: Any) -> Any:
    """What the data set's ``_whole_batch`` gives; None where it has none."""
    method = getattr(type(dataset), "_whole_batch", None)
    return None if method is None else method(dataset, indices)


def positions(indices: Any, length: int) -> np.ndarray | None:
    """Plain indices 0 to ``length - 1`` as an array; None if there is anything else among them."""
    if not indices or not _PLAIN.issuperset(map(type, indices)):
        return None
    if min(indices) < 0 or max(indices) >= length:
        return None
    return np.array(indices)


def rows(tensors: tuple[Tensor, ...], indices: Any) -> list[Tensor] | None:
    """For each tensor its rows at ``indices``, by one copy; None where history, another device or
    a class of the user's makes a difference."""
    if THREAD.inference or not tensors:
        return None
    for t in tensors:
        spec = t._spec
        if type(t) is not Tensor or t._requires_grad or spec.device is not CPU or not spec.shape:
            return None
        if spec.dtype.is_complex:  # may be conjugated lazily
            return None
    which = positions(indices, min([t._spec.shape[0] for t in tensors]))
    if which is None:
        return None
    return [from_array(t._array().take(which, axis=0), t._spec.dtype) for t in tensors]
