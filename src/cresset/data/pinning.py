"""Page-locked copies of batches, for quicker copies to an accelerator."""

from __future__ import annotations

import collections.abc
from typing import Any

from cresset.data.collate import mapping_like, sequence_like
from cresset.tensor import Tensor


def pin_memory(data: Any) -> Any:
    """``data`` with every tensor in it (and whatever has ``pin_memory()``) pinned.

    Containers keep their class where they can be made anew, else they become a dict or a list.
    """
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, collections.abc.Mapping):
        return mapping_like(data, {k: pin_memory(v) for k, v in data.items()})
    if isinstance(data, tuple):
        parts = [pin_memory(v) for v in data]
        return type(data)(*parts) if hasattr(data, "_fields") else type(data)(parts)
    if isinstance(data, collections.abc.Sequence):
        return sequence_like(data, [pin_memory(v) for v in data])
    return data
