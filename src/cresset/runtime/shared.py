"""Memory that several processes see: anonymous files, mapped.

Such a file has no name, so nothing is left behind when a process is killed: the memory goes with
the last descriptor and the last mapping. A descriptor is needed to hand the file to another
process, not to use the memory. (Python's own ``mmap`` would keep one open per mapping, and
processes may have about a thousand.)
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Parts that are written to one file start at multiples of this: a cache line.
ALIGNMENT = 64
AVAILABLE = sys.platform != "win32"


def anonymous_file(size: int) -> int:
    """A descriptor of a new file of ``size`` bytes, all zero, that has no name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("cresset", os.MFD_CLOEXEC)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, max(size, 1))
    except BaseException:
        os.close(fd)
        raise
    return fd


class _Mapping:
    """Owns mapped memory; arrays over it keep it alive as their base."""

    def __init__(self, fd: int, size: int) -> None:
        self.size = 0  # until there is something to unmap: Ctrl-C may come in between
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        reach = mmap.PROT_READ | mmap.PROT_WRITE
        self.address = _libc().mmap(None, max(size, 1), reach, flags, fd, 0)
        if self.address in (None, ctypes.c_void_p(-1).value):
            code = ctypes.get_errno()
            raise OSError(code, f"cannot map {size} bytes: {os.strerror(code)}")
        self.size = max(size, 1)
        self.__array_interface__ = {
            "data": (self.address, False), "shape": (size,), "typestr": "|u1", "version": 3,
        }  # fmt: skip

    def __del__(self) -> None:
        if self.size:
            _LIBC[0].munmap(self.address, self.size)


_LIBC: list[Any] = []


def _libc() -> Any:
    if not _LIBC:
        found = ctypes.CDLL(None, use_errno=True)
        found.mmap.restype = ctypes.c_void_p
        found.mmap.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
            ctypes.c_long,
        ]  # fmt: skip
        found.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        _LIBC.append(found)
    return _LIBC[0]


def mapped(fd: int, size: int) -> np.ndarray:
    """The first ``size`` bytes of a file as an array; writes are seen by all who map it.

    OSError if the system has no room. The descriptor may be closed afterwards.
    """
    return np.asarray(_Mapping(fd, size))


def places(lengths: Sequence[int]) -> tuple[list[int], int]:
    """Where parts of these lengths begin in one file, and how long that file is."""
    starts, end = [], 0
    for length in lengths:
        starts.append(end)
        end += -(-length // ALIGNMENT) * ALIGNMENT
    return starts, end


def written(parts: Sequence[Any]) -> int:
    """A descriptor of a new file that holds ``parts`` (bytes) at their ``places``."""
    starts, size = places([len(part) for part in parts])
    fd = anonymous_file(size)
    try:
        for start, part in zip(starts, parts, strict=True):
            left = memoryview(part)
            while left:
                count = os.pwrite(fd, left, start)
                left, start = left[count:], start + count
    except BaseException:
        os.close(fd)
        raise
    return fd


class SharedMemory:
    """``size`` bytes that can be handed to other processes by their descriptor ``fd``."""

    def __init__(self, size: int, fd: int | None = None) -> None:
        self.fd = -1
        self.fd = anonymous_file(size) if fd is None else fd
        self.array = mapped(self.fd, size)

    def identity(self) -> tuple[int, int]:
        """Equal for all descriptors of one file, in all processes."""
        found = os.fstat(self.fd)
        return found.st_dev, found.st_ino

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
