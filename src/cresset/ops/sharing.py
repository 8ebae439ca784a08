"""Memory that processes share, and memory pinned for quick copies to an accelerator.

``share_memory_`` moves a storage into an anonymous shared file (``runtime/shared.py``) for good.
From then on it is treated like memory that NumPy shows too: writes happen at once, in place, and a
read takes the values that are there when it is recorded. A forked child sees the same memory; any
other process is handed the file's descriptor when the tensor is pickled by ``multiprocessing``.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from cresset.core import graph
from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.dtypes import dtype
from cresset.ops.registry import COPY as _COPY
from cresset.ops.registry import Spec, Tensor, apply, make_spec
from cresset.runtime.shared import SharedMemory
from cresset.runtime.simulated import simulated_count
from cresset.size import Size
from cresset.tensor import wrap

#: The storage of each shared file that this process has mapped, so that one file is one storage.
_storages: WeakValueDictionary[tuple[int, int], Storage] = WeakValueDictionary()


def share_memory_(self: Tensor) -> Tensor:
    """Move the storage into memory that other processes can see; returns the tensor.

    All views of the storage move along. Does nothing to what is shared already, or not on the CPU.
    OSError if the system has no room.

    >>> import cresset as torch
    >>> torch.zeros(3).share_memory_().is_shared()
    True
    """
    storage = self._storage
    if storage.device is CPU and storage.shared_memory is None:
        old = graph.materialize(storage)
        memory = SharedMemory(storage.size * storage.dtype.itemsize)
        buffer = memory.array.view(storage.dtype.np)
        buffer[...] = old
        _attach(storage, memory, buffer)
    return self


def is_shared(self: Tensor) -> bool:
    """Whether other processes can see the memory (always so on a CUDA device)."""
    return self._storage.shared_memory is not None or self.is_cuda


def _attach(storage: Storage, memory: SharedMemory, buffer: Any) -> None:
    storage.buffer, storage.shared_memory = buffer, memory
    storage.export(forever=True)
    _storages[memory.identity()] = storage


def reduce_shared(self: Tensor) -> Any:
    """How ``multiprocessing`` takes a tensor apart: by its shared memory, into which it moves.

    RuntimeError for a tensor with history: that cannot follow it.
    """
    if self.requires_grad and not self.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    if self.device is not CPU:
        return self.__reduce_ex__(4)
    from multiprocessing.reduction import DupFd  # not at the top: importing Cresset stays quick

    share_memory_(self)
    storage, spec = self._storage, self._spec
    handle = DupFd(storage.shared_memory.fd)
    whole = (storage.dtype, storage.size)
    part = (spec.dtype, tuple(spec.shape), spec.stride, spec.offset)
    return _rebuild_shared, (handle, whole, part, self.requires_grad)


def _rebuild_shared(
    handle: Any, whole: tuple[dtype, int], part: tuple, requires_grad: bool
) -> Tensor:
    kind, size = whole
    memory = SharedMemory(size * kind.itemsize, handle.detach())
    storage = _storages.get(memory.identity())
    if storage is None:
        storage = Storage(kind, size, CPU)
        _attach(storage, memory, memory.array.view(kind.np))
    element, shape, stride, offset = part
    spec: Spec = make_spec(element, Size(shape), stride, offset, CPU)
    tensor = wrap(storage, spec)
    tensor._requires_grad = requires_grad
    return tensor


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in page-locked memory, or the tensor itself if it is in such memory.

    RuntimeError if there is no accelerator, or if the tensor is on one.
    """
    if simulated_count() == 0:
        raise RuntimeError("Cannot access accelerator device when none is available.")
    if self.device is not CPU:
        raise RuntimeError(f"cannot pin '{self._type_name()}' only dense CPU tensors can be pinned")
    if self._storage.pinned:
        return self
    pinned = apply(_COPY, (self.detach(),))
    pinned._storage.pinned = True
    return pinned


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the memory is page-locked."""
    return self._storage.pinned


METHODS = ("share_memory_", "is_shared", "pin_memory", "is_pinned")
