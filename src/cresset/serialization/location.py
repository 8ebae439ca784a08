"""Where loaded storages go: location tags in files, and ``map_location``.

Each storage in a file carries a tag, ``'cpu'`` or ``'cuda:0'``. A *restore* function takes the
freshly read storage (in host memory) and its tag and returns the storage to use. ``restorer`` turns
every form of ``map_location`` into one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cresset.core import graph
from cresset.core.storage import Storage
from cresset.device import CPU, device
from cresset.runtime import backend
from cresset.runtime.simulated import simulated_count


class UntypedStorage:
    """A storage seen as bytes: what ``map_location`` functions receive and return.

    >>> import io
    >>> import cresset as torch
    >>> file = io.BytesIO()
    >>> torch.save(torch.ones(3), file)
    >>> _ = file.seek(0)
    >>> torch.load(file, map_location=lambda storage, location: storage)
    tensor([1., 1., 1.])
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def device(self) -> device:
        """Where the bytes are."""
        return self._storage.device

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._storage.size * self._storage.dtype.itemsize

    size = __len__ = nbytes

    def element_size(self) -> int:
        """Always 1."""
        return 1

    def _bytes(self) -> np.ndarray:
        storage = self._storage
        buffer = backend(storage.device).to_host(graph.materialize(storage))
        return np.ascontiguousarray(buffer).view(np.uint8)

    def tolist(self) -> list[int]:
        """The bytes as a list of ints."""
        return self._bytes().tolist()

    def __getitem__(self, index: int) -> int:
        return int(self._bytes()[index])

    def data_ptr(self) -> int:
        """The address of the first byte."""
        buffer = graph.materialize(self._storage)
        return int(buffer.__array_interface__["data"][0]) if buffer.size else 0

    def to(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """This storage if it is on ``device`` already, else a copy there."""
        where = _with_index(self.device if device is None else _device(device))
        if where is self.device:
            return self
        storage = self._storage
        host = backend(storage.device).to_host(graph.materialize(storage))
        return UntypedStorage(
            Storage(storage.dtype, storage.size, where, backend(where).from_host(host))
        )

    def cpu(self) -> UntypedStorage:
        """The storage in host memory."""
        return self.to(CPU)

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """The storage on a CUDA device (the first one if none is named)."""
        return self.to("cuda" if device is None else device)

    def clone(self) -> UntypedStorage:
        """A copy on the same device."""
        storage = self._storage
        home = backend(storage.device)
        host = home.to_host(graph.materialize(storage))
        return UntypedStorage(
            Storage(storage.dtype, storage.size, storage.device, home.from_host(host))
        )

    def __repr__(self) -> str:
        rows = "\n ".join(map(str, self.tolist()))
        return (
            f" {rows}\n[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"
        )


Restore = Callable[[UntypedStorage, str], UntypedStorage]


def _device(where: Any) -> device:
    return where if isinstance(where, device) else device(where)


def _with_index(where: device) -> device:
    return device("cuda", 0) if where.type == "cuda" and where.index is None else where


def location_tag(storage: Any) -> str:
    """The tag of a storage in a file: ``'cpu'``, ``'cuda:1'``."""
    return str(storage.device)


def default_restore_location(storage: UntypedStorage, location: Any) -> UntypedStorage:
    """Bring a storage to the device that a location tag names.

    Raises RuntimeError if the tag is unknown or there is no such device.
    """
    if isinstance(location, bytes):
        location = location.decode("ascii")
    location = str(location)
    if location == "cpu":
        return storage.cpu()
    if location.partition(":")[0] == "cuda":
        where = _with_index(device(location))
        count = simulated_count()
        if count == 0:
            raise RuntimeError(
                "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() "
                "is False. If you are running on a CPU-only machine, please use torch.load with "
                "map_location=torch.device('cpu') to map your storages to the CPU."
            )
        if (where.index or 0) >= count:
            raise RuntimeError(
                f"Attempting to deserialize object on CUDA device {where.index} but "
                f"torch.cuda.device_count() is {count}. Please use torch.load with map_location "
                "to map your storages to an existing device."
            )
        return storage.to(where)
    raise RuntimeError(
        "don't know how to restore data location of torch.storage.UntypedStorage "
        f"(tagged with {location})"
    )


def restorer(map_location: Any) -> Restore:
    """The restore function for any form of ``map_location``."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, tag: default_restore_location(storage, map_location.get(tag, tag))
    if isinstance(map_location, (str, bytes, device)):
        return lambda storage, tag: default_restore_location(storage, map_location)

    def restore(storage: UntypedStorage, tag: str) -> UntypedStorage:
        result = map_location(storage, tag)
        if result is None:
            return default_restore_location(storage, tag)
        if not isinstance(result, UntypedStorage):
            raise TypeError(
                f"map_location must return an UntypedStorage or None, but got {type(result)}"
            )
        return result

    return restore
