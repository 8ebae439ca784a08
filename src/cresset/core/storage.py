"""``Storage``: what holds a tensor's memory, now or once the graph has run.

A storage is in one of two states. *Concrete*: ``buffer`` is a one-dimensional array of the device's
namespace. *Pending*: ``epoch`` is the number of the graph being recorded and ``slot`` the value in
it that this storage will own. Writing never changes a value: it binds the storage to a newer slot,
so whatever was recorded before keeps reading the older one (static single assignment).

A storage is *exported* while memory outside (a NumPy array, DLPack, shared memory) shows the same
bytes. Then values must be live on both sides: reads are taken at once and writes go into the very
same buffer at once. For NumPy the end of sharing is seen from the buffer owner's reference count.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cresset.device import CPU, device
from cresset.dtypes import dtype


class Storage:
    """Memory of ``size`` elements of ``dtype`` on ``device``, versioned."""

    # Defaults live on the class: recording makes many storages, and most never change these.
    buffer: Any = None
    epoch: int = -1
    slot: int = -1
    version: int = 0
    dtype: dtype
    size: int
    device: device
    #: Outside memory may show this buffer: see ``shared``.
    exported: bool = False
    #: The address was given out, so results must land in this very buffer.
    home: bool = False
    #: The ``SharedMemory`` that holds the buffer, if other processes see it.
    shared_memory: Any = None
    #: In page-locked memory.
    pinned: bool = False
    #: What went wrong when the pending value was computed.
    error: BaseException | None = None

    def __init__(self, dtype: Any, size: int, device: Any, buffer: Any = None) -> None:
        self.dtype = dtype
        self.size = size
        self.device = device
        if buffer is not None:
            self.buffer = buffer

    def export(self, forever: bool = False) -> None:
        """Note that memory outside shows this (concrete) buffer."""
        self.exported = True
        if forever:
            self.home = True

    def shared(self) -> bool:
        """Whether outside memory still shows the buffer (ends the sharing once it does not)."""
        if not self.exported:
            return False
        if self.home or self.device is not CPU:
            return True
        if _others_hold(self):
            return True
        self.exported = False
        return False


def write_through(storage: Storage, buffer: Any) -> None:
    """Copy a result into memory that others see."""
    if storage.buffer is not buffer:
        storage.buffer[...] = buffer
    storage.epoch = -1


def put_buffer(storage: Storage, buffer: Any) -> None:
    """Make ``buffer`` the storage's value; memory that others see takes a copy of it."""
    if storage.buffer is not None and (storage.home or storage.exported):
        write_through(storage, buffer)
    else:
        storage.buffer = buffer


def owner_of(array: np.ndarray) -> Any:
    """The object that owns an array's memory: an array without a base, or a foreign buffer."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _references(storage: Storage) -> int:
    """References to the buffer and to its owner, counted the same way every time."""
    buffer = storage.buffer
    owner = owner_of(buffer)
    if owner is buffer:
        return sys.getrefcount(buffer)
    return sys.getrefcount(owner) + sys.getrefcount(buffer)


def _baseline(through_view: bool) -> int:
    """What ``_references`` says of a storage that is alone; measured, as it differs by Python."""
    from cresset import dtypes

    storage = Storage(dtypes.uint8, 1, CPU, np.zeros(1, np.uint8))
    if through_view:
        storage.buffer = storage.buffer.reshape(-1)[:]
    return _references(storage)


_ALONE = _baseline(False)
_ALONE_VIEW = _baseline(True)


def _others_hold(storage: Storage) -> bool:
    owner = owner_of(storage.buffer)
    if owner is storage.buffer:
        del owner
        return _references(storage) > _ALONE
    if not isinstance(owner, np.ndarray):
        return True  # bytes, mmap, another library's memory: no way to tell
    del owner
    return _references(storage) > _ALONE_VIEW
