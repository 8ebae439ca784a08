"""A file's bytes on their way to the disk: threads that write pieces of it to their places.

Long pieces of a large file go to the disk directly (``O_DIRECT``) and not by way of the system's
memory, so that ``fsync`` finds nothing left to be done. That takes whole pages from memory that
begins on a page: a thread copies them into a page-aligned room of its own, and what lies around
whole pages goes the ordinary way. On the machine this was measured on, 500 MB are on the disk in
0.23 to 0.33 s so, and in 1.4 s by way of the system's memory where that has to be found first.

Where there is no direct way, the system is told to send what is written on to the disk at once. The
room is taken beforehand where the file system can: finding it piece by piece, while pieces leave
for the disk, has been seen to take four times as long as all the rest.

``in_small_pages`` and ``provide`` are for the way back: what large reads need to know of the
system's memory.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
import threading
from queue import Queue
from typing import Any

import numpy as np

#: What is worth being sent to the disk by itself, or directly.
LONG = 1 << 20
#: Files from this size on go directly: smaller ones may well be read again soon.
_LARGE = 64 << 20
#: Threads of a large file, and what each writes at once.
_WRITERS, _BLOCK = 2, 1 << 19
#: From this size on NumPy asks for huge pages.
_HUGE = 4 << 20
#: A file's pages: what goes directly begins and ends on one.
PAGE = mmap.PAGESIZE
#: Pieces that may wait: their memory is held until they are written.
_WAITING = 4


class Disk:
    """Writes to a file that is open as ``descriptor`` and will have about ``size`` bytes.

    Raises OSError if there is not enough room.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        if size >= LONG:
            reserve(descriptor, size)
        self._descriptor = descriptor
        self._direct = _open_direct(descriptor) if size >= _LARGE else None
        self._waiting: Queue[tuple[int, memoryview] | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._gathered, self._gathered_at = bytearray(), 0
        rooms = [None] if self._direct is None else [_room() for _ in range(_WRITERS)]
        self._threads = [
            threading.Thread(target=self._run, args=(room,), daemon=True) for room in rooms
        ]
        for thread in self._threads:
            thread.start()

    def put(self, offset: int, piece: memoryview) -> None:
        """Write ``piece`` at ``offset``, soon. Raises what went wrong with an earlier one."""
        if self._error is not None:
            raise self._error
        self._waiting.put((offset, piece))

    def append(self, data: Any, offset: int) -> None:
        """Write some bytes at ``offset``, together with those that end there."""
        if offset != self._gathered_at + len(self._gathered) or len(self._gathered) > LONG:
            self._put_gathered()
            self._gathered_at = offset
        self._gathered += data

    def _put_gathered(self) -> None:
        if self._gathered:
            self.put(self._gathered_at, memoryview(self._gathered))
            self._gathered = bytearray()

    def close(self) -> None:
        """Wait until everything is written; raises what went wrong."""
        try:
            self._put_gathered()
        finally:
            self._end()

    def _end(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None
        if self._error is not None:
            raise self._error

    def _run(self, room: np.ndarray | None) -> None:
        while (task := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # nobody may wait for a place in the queue for ever
            try:
                offset, piece = task
                if room is not None and len(piece) >= LONG:
                    self._write_pages(offset, piece, room)
                    continue
                self._write(offset, piece)
                if len(piece) >= LONG:
                    _start_writing(self._descriptor, offset, len(piece))
            except BaseException as error:
                self._error = error

    def _write(self, offset: int, piece: memoryview) -> None:
        done = 0
        while done < len(piece):
            done += os.pwrite(self._descriptor, piece[done:], offset + done)

    def _write_pages(self, offset: int, piece: memoryview, room: np.ndarray) -> None:
        """Write whole pages directly, and what is before and behind them as usual."""
        assert self._direct is not None
        first, last = -offset % PAGE, len(piece) - (offset + len(piece)) % PAGE
        self._write(offset, piece[:first])
        self._write(offset + last, piece[last:])
        pages = np.frombuffer(piece, np.uint8)
        for start in range(first, last, _BLOCK):
            count = min(_BLOCK, last - start)
            room[:count] = pages[start : start + count]
            written = os.pwrite(self._direct, room.data[:count], offset + start)
            if written < count:  # a signal, or a file system that does so: the ordinary way
                self._write(offset + start + written, piece[start + written : start + count])


def _room() -> np.ndarray:
    """Page-aligned memory for a block, of what the process holds anyway where it can be."""
    memory = np.empty(_BLOCK + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    return memory[start : start + _BLOCK]


def _open_direct(descriptor: int) -> int | None:
    """The same file, open for writing directly; None where that cannot be had."""
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return None


def _linux_function(name: str, *types: Any) -> Any:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None:
        function.argtypes = types
    return function


_sync_file_range = _linux_function(
    "sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
)
_fallocate = _linux_function(
    "fallocate64", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64
)

_madvise = _linux_function("madvise", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def reserve(descriptor: int, size: int) -> None:
    """Take room for ``size`` bytes; OSError if the disk has less.

    Nothing happens where the system or the file system has no such function. (``posix_fallocate``
    would write zeros then.)
    """
    if _fallocate is not None and _fallocate(descriptor, 0, 0, size) != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(number, os.strerror(number))


def in_small_pages(target: memoryview, small: bool = True) -> None:
    """Have the system give memory to ``target`` page by page, or no longer so.

    NumPy asks for huge pages for large arrays, which pay while one computes. But the system may
    have to put memory in order before it can give one: the first 500 MB that a process read took
    0.35 to 0.6 s so, and 0.2 s in small pages. The system may join the pages later.
    """
    if len(target) >= _HUGE:
        _advise(target, 15 if small else 14)  # MADV_NOHUGEPAGE, MADV_HUGEPAGE


def provide(target: memoryview) -> None:
    """Have memory for ``target`` now, into which a file is about to be read: that takes less time
    than to be given it page by page while the read writes there."""
    _advise(target, 23)  # MADV_POPULATE_WRITE, from Linux 5.14 on


def _advise(target: memoryview, advice: int) -> None:
    """``madvise`` for the whole pages of ``target``; refusals do no harm."""
    address = np.frombuffer(target, np.uint8).ctypes.data
    start = -(-address // PAGE) * PAGE
    length = (address + len(target)) // PAGE * PAGE - start
    if _madvise is not None and length > 0:
        _madvise(start, length, advice)


def _start_writing(descriptor: int, offset: int, length: int) -> None:
    """Have the system send a part of a file to the disk now, without waiting for it."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, length, 2)  # SYNC_FILE_RANGE_WRITE
