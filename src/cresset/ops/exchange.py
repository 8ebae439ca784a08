"""Tensors over memory that others own: anything array-like, and raw buffers.

NumPy arrays are in ``creation.py`` (``from_numpy``), other libraries in ``cresset/dlpack.py``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cresset.device import device
from cresset.dlpack import from_dlpack
from cresset.dtypes import dtype
from cresset.ops.creation import Device, finish, from_numpy, resolve_device, tensor
from cresset.ops.inplace import scalar_name
from cresset.ops.registry import Tensor


def asarray(
    obj: Any, *, dtype: dtype | None = None, device: Device = None, copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``obj`` as a tensor: a tensor, an array, a DLPack capsule, a buffer, numbers or sequences.

    Memory is shared where it can be. ``copy=True`` always copies; ``copy=False`` never does, and
    raises ValueError where that needs a copy. The result is cut off from the tape, unless ``obj``
    is a tensor with history and ``requires_grad`` is left at its default.

    >>> import cresset as torch, numpy as np
    >>> a = np.zeros(2)
    >>> torch.asarray(a)[0] = 1; torch.asarray(a, copy=True)[1] = 1; a
    array([1., 0.])
    """
    shown = _shown(obj, dtype, copy)
    if shown is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    result = _converted(shown, dtype, device, copy)
    if requires_grad and not result.requires_grad:
        return result.detach().requires_grad_()
    return result


def _shown(obj: Any, d: dtype | None, copy: bool | None) -> Tensor | None:
    """A tensor over the memory of ``obj``, or None if it has no memory to show."""
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, np.ndarray):
        return from_numpy(obj)
    if isinstance(obj, np.generic):
        if copy is False:
            raise RuntimeError(
                "can't alias NumPy scalars. Either remove copy=False or transform it in a ndarray. "
            )
        return None
    if type(obj).__name__ == "PyCapsule":
        return from_dlpack(obj)
    try:
        memoryview(obj)
    except TypeError:
        return None
    from cresset.dtypes import get_default_dtype

    return frombuffer(obj, dtype=d or get_default_dtype())


def _converted(x: Tensor, d: dtype | None, where: Device, copy: bool | None) -> Tensor:
    to: device = x.device if where is None else resolve_device(where)
    if copy is False:
        if to != x.device:
            raise ValueError(f"can't alias tensor from device '{x.device}' to '{to}'.")
        if d is not None and d is not x.dtype:
            raise ValueError(
                f"can't alias tensor with dtype '{scalar_name(x.dtype)}' into dtype "
                f"'{scalar_name(d)}'."
            )
    result = x.to(device=to, dtype=d or x.dtype)  # type: ignore[attr-defined]
    return result.clone() if copy and result is x else result


def frombuffer(
    buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-dim tensor over an object that has the buffer protocol, sharing its memory.

    ``count`` elements (all that fit, if negative) from ``offset`` bytes on.

    >>> import cresset as torch
    >>> memory = bytearray(4)
    >>> torch.frombuffer(memory, dtype=torch.uint8)[1] = 7; memory
    bytearray(b'\\x00\\x07\\x00\\x00')
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    size, item = view.nbytes, dtype.itemsize
    if size == 0 or count == 0:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({size} bytes) minus 1"
        )
    if count > 0 and offset + count * item > size:
        raise ValueError(
            f"requested buffer length ({count} * {item} bytes) after offset ({offset} bytes) must "
            f"not be greater than actual buffer length ({size} bytes)"
        )
    if count < 0 and (size - offset) % item:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a "
            f"multiple of element size ({item})"
        )
    if view.readonly:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. "
            "This means you can write to the underlying (supposedly non-writable) buffer using the "
            "tensor. You may want to copy the buffer to protect its data or make it writable "
            "before converting it to a tensor. This type of warning will be suppressed for the "
            "rest of this program.",
            UserWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        elements = np.frombuffer(buffer, dtype.np, max(count, -1), offset)
        result = from_numpy(elements, dtype)
    return finish(result, requires_grad)


TORCH = ("asarray", "frombuffer", "from_dlpack")
