"""Files from before PyTorch 1.6: a magic number, three more pickles, then the storages.

The order in the file: magic number, protocol version, facts about the system, the object, the list
of storage keys; then per key its number of elements (8 bytes) and its raw memory. The object comes
before the numbers, so storages are made empty and filled afterwards; until then they hold an error
for whoever looks. Their sizes are the pickle's claim: together they may not exceed the file.

The numbers are little-endian whatever the machine was: PyTorch swaps them as it writes. Only the
count before them is in the machine's own order in files of its first years. So the fact "not
little-endian" swaps nothing; but it makes the file one that has to be asked for (``byteorder``).
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.runtime import backend
from cresset.serialization.byteorder import refuse_big_endian
from cresset.serialization.callables import shown
from cresset.serialization.location import Restore, UntypedStorage
from cresset.serialization.names import StorageType
from cresset.serialization.rebuild import TypedStorage
from cresset.serialization.saving import LEGACY_MAGIC, LEGACY_PROTOCOL

_CHUNK = 8 << 20


def storage_id(saved: Any) -> tuple[StorageType, str, str, int, Any]:
    """``(storage type, key, location, elements, view)`` of a persistent id, checked."""
    if not isinstance(saved, tuple) or len(saved) not in (5, 6):
        raise pickle.UnpicklingError("saved_id must be a tuple of 5 or 6")
    tag, kind, key, location, numel, *view = saved
    if _text(tag) != "storage":
        raise RuntimeError(f"Unknown saved id type: {shown(tag)}")
    if not isinstance(kind, StorageType):
        raise pickle.UnpicklingError(f"expected a storage type, but got {shown(kind)}")
    if not isinstance(key, (str, bytes, int)) or not isinstance(location, (str, bytes)):
        raise pickle.UnpicklingError("a storage's key and location are texts")
    if type(numel) is not int or not 0 <= numel < 1 << 63:
        raise pickle.UnpicklingError(f"a storage cannot have {shown(numel)} elements")
    return kind, str(_text(key)), str(_text(location)), numel, (view or [None])[0]


def as_named(storage: Storage, kind: StorageType) -> TypedStorage | UntypedStorage:
    """A storage in the form in which the pickle asked for it."""
    if kind.name == "storage.UntypedStorage":
        return UntypedStorage(storage)
    return TypedStorage(storage, kind.dtype)


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def is_tar(f: Any) -> bool:
    """Whether this is the still older form, a tar file."""
    start = f.tell()
    header = f.read(512)
    f.seek(start)
    return header[257:262] == b"ustar"


def load(f: Any, restore: Restore, unpickler: Callable[[Any, Any], Any]) -> Any:
    """Read a legacy file. ``unpickler(stream, persistent_load)`` makes one for each pickle."""
    start = f.tell()
    available = f.seek(0, os.SEEK_END) - start
    f.seek(start)
    if unpickler(f, None).load() != LEGACY_MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = unpickler(f, None).load()
    if version != LEGACY_PROTOCOL:
        raise RuntimeError(f"Invalid protocol version: {shown(version)}")
    system = unpickler(f, None).load()
    big = isinstance(system, dict) and not system.get("little_endian", True)
    refuse_big_endian(big, "This file (in the form from before PyTorch 1.6)")
    storages: dict[str, tuple[Storage, StorageType, int]] = {}

    def persistent_load(saved: Any) -> Any:
        nonlocal available
        if isinstance(saved, tuple) and len(saved) > 1 and _text(saved[0]) == "module":
            return saved[1]  # a class whose source was saved along; we have ours
        kind, key, location, numel, view = storage_id(saved)
        if view is not None:
            raise RuntimeError("storages that are views of other storages are not supported")
        if key not in storages:
            available -= numel * kind.dtype.itemsize
            if available < 0:
                raise RuntimeError(
                    f"unexpected EOF, expected {-available} more bytes. The file might be "
                    "corrupted."
                )
            empty = Storage(kind.dtype, numel, CPU, np.zeros(numel, kind.dtype.np))
            storage = restore(UntypedStorage(empty), location)._storage
            storage.error = RuntimeError("a value is looked at before the file is read to its end")
            storages[key] = (storage, kind, numel)
        return as_named(storages[key][0], kind)

    result = unpickler(f, persistent_load).load()
    keys = unpickler(f, None).load()
    known = isinstance(keys, list) and all(isinstance(key, (str, bytes)) for key in keys)
    if not known or sorted(map(_text, keys)) != sorted(storages):
        raise RuntimeError("the list of storages is not that of the object; corrupt file?")
    for key in map(_text, keys):
        storage, kind, numel = storages[key]
        values = _read_storage(f, kind, numel, big)
        storage.buffer = backend(storage.device).from_host(values)
        storage.error = None
    return result


def _read_storage(f: Any, kind: StorageType, numel: int, big: bool) -> np.ndarray:
    data = _read(f, 8)
    (count,) = struct.unpack("<q", data)
    if count != numel and not (big and struct.unpack(">q", data) == (numel,)):
        raise RuntimeError(f"storage has wrong size: expected {numel} got {count}")
    values = np.empty(numel, kind.dtype.np)
    target, done = values.view(np.uint8), 0
    while done < target.size:
        part = _read(f, min(target.size - done, _CHUNK))
        target[done : done + len(part)] = np.frombuffer(part, np.uint8)
        done += len(part)
    return values.byteswap() if sys.byteorder == "big" else values


def _read(f: Any, count: int) -> bytes:
    data = f.read(count)
    if len(data) < count:
        raise RuntimeError(
            f"unexpected EOF, expected {count - len(data)} more bytes. The file might be corrupted."
        )
    return data
