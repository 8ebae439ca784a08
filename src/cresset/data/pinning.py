"""Page-locked copies of batches, for quicker copies to an accelerator."""

from __future__ import annotations

import collections.abc
import copy
from typing import Any

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
        made = {k: pin_memory(v) for k, v in data.items()}
        try:
            if isinstance(data, collections.abc.MutableMapping):
                clone = copy.copy(data)
                clone.update(made)
                return clone
            return type(data)(made)  # type: ignore[call-arg]
        except TypeError:
            return made
    if isinstance(data, tuple):
        parts = [pin_memory(v) for v in data]
        return type(data)(*parts) if hasattr(data, "_fields") else type(data)(parts)
    if isinstance(data, collections.abc.Sequence):
        parts = [pin_memory(v) for v in data]
        try:
            if isinstance(data, collections.abc.MutableSequence):
                clone = copy.copy(data)
                for i, part in enumerate(parts):
                    clone[i] = part
                return clone
            return type(data)(parts)  # type: ignore[call-arg]
        except TypeError:
            return parts
    return data
