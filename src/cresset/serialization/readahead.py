"""Large records of a file, read by two threads ahead of whoever asks for them.

A checkpoint is read from its beginning to its end, a record after the other. While one is asked
for, a helper reads what comes behind it, and whoever has to wait for a record reads on as well. So
both threads have a record each, or chunks of one that is very large: two that fill neighbouring
memory would wait for each other where the system gives it to them. The checksum of a piece is
computed while a core's cache holds it.

On the machine this was measured on, 500 MB that the system holds in its memory take 0.18 to 0.22 s
so; with both threads on one record, and memory given while it is read, 0.22 to 0.26 s.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from cresset.serialization.disk import in_small_pages, provide

#: Bytes from which on a record is worth a thread.
LARGE = 256 << 10
#: What a thread takes of a record, and what it reads at once.
_CHUNK, _PIECE = 8 << 20, 1 << 20
#: How many bytes are read that nobody has asked for so far.
_AHEAD = 64 << 20


class _Record:
    """A record, and how far it is read."""

    __slots__ = ("offset", "size", "out", "begun", "left", "checksums", "error")

    def __init__(self, offset: int, size: int) -> None:
        self.offset, self.size = offset, size
        #: Where it is read to; None as long as it may not be read yet.
        self.out: np.ndarray | None = None
        #: Chunks that a thread has taken; those that are not read.
        self.begun, self.left = 0, -(-size // _CHUNK)
        self.checksums = [0] * self.left
        self.error: BaseException | None = None

    def make(self) -> None:
        """Memory to read it to."""
        self.out = np.empty(self.size, np.uint8)
        in_small_pages(self.out.data)


class ReadAhead:
    """Reads ``records``, told by name, offset and size, in this order."""

    def __init__(self, descriptor: int, records: Iterable[tuple[str, int, int]]) -> None:
        self._descriptor = descriptor
        self._records = {name: _Record(offset, size) for name, offset, size in records}
        #: Records of which there are chunks to be taken; those that have no memory.
        self._queue = deque(self._records.values())
        self._later = deque(self._queue)
        #: Bytes that may still be read before somebody asks for them.
        self._room = _AHEAD
        self._closed = False
        #: Guards all this; told when a chunk is read or there is something to be taken.
        self._news = threading.Condition()
        self._helper = threading.Thread(target=self._help, daemon=True)
        self._helper.start()

    def take(self, name: str) -> tuple[np.ndarray, int] | None:
        """The bytes of a record and their CRC-32; None if it is unknown or was taken already."""
        record = self._records.pop(name, None)
        if record is None:
            return None
        with self._news:
            self._make_room(record)
            self._news.notify_all()
        while record.left:
            task = self._next()
            if task is not None:
                self._read(*task)
                continue
            with self._news:
                self._news.wait_for(lambda: not record.left)
        if record.error is not None:
            raise record.error
        assert record.out is not None
        in_small_pages(record.out.data, False)
        whole, *others = record.checksums
        for i, checksum in enumerate(others, 1):
            whole = crc32_combine(whole, checksum, min(_CHUNK, record.size - i * _CHUNK))
        return record.out, whole

    def close(self) -> None:
        """Read no further."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._helper.join()

    def _make_room(self, wanted: _Record) -> None:
        """Memory for a record and what may be read behind it. Always by the thread that asks: the
        system keeps a thread's memory for that thread."""
        if wanted.out is not None:
            self._room += wanted.size
        else:
            wanted.make()
            self._later.remove(wanted)
            if self._queue[0] is not wanted:  # out of order
                self._queue.remove(wanted)
                self._queue.appendleft(wanted)
        while self._later and self._room > 0:
            record = self._later.popleft()
            record.make()
            self._room -= record.size

    def _help(self) -> None:
        while not self._closed:
            task = self._next()
            if task is not None:
                self._read(*task)
                continue
            with self._news:
                if not self._queue:
                    return
                self._news.wait_for(lambda: self._closed or self._is_ready())

    def _is_ready(self) -> bool:
        return not self._queue or self._queue[0].out is not None

    def _next(self) -> tuple[_Record, int] | None:
        """A chunk to be read, by its record and number; None if there is none that may be."""
        with self._news:
            if self._closed or not self._queue or not self._is_ready():
                return None
            record = self._queue[0]
            number = record.begun
            record.begun += 1
            if record.begun == len(record.checksums):
                self._queue.popleft()
            return record, number

    def _read(self, record: _Record, number: int) -> None:
        try:
            record.checksums[number] = self._fill(record, number)
        except BaseException as error:
            record.error = error
            if not isinstance(error, Exception):
                raise  # Ctrl-C
        finally:
            with self._news:
                record.left -= 1
                self._news.notify_all()

    def _fill(self, record: _Record, number: int) -> int:
        """Read a chunk; its checksum."""
        assert record.out is not None
        start = number * _CHUNK
        target = record.out.data[start : start + _CHUNK]
        checksum = 0
        for i in range(0, len(target), _PIECE):
            piece = target[i : i + _PIECE]
            provide(piece)
            _read_at(self._descriptor, record.offset + start + i, piece)
            checksum = zlib.crc32(piece, checksum)
        return checksum


def _read_at(descriptor: int, offset: int, target: memoryview) -> None:
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], offset + done)
        if not count:
            raise OSError("the file became shorter while it was read")
        done += count


# -- checksums of parts --------------------------------------------------------------------------
# CRC-32 is the remainder of the text, read as a polynomial over {0, 1}, by P. So the remainder of
# two texts after one another is that of the first times x^(8 * length of the second), plus that of
# the second (Mark Adler, zlib, crc32_combine). Bit 31 of a number is the coefficient of 1.

_POLYNOMIAL = 0xEDB88320


def _times(a: int, b: int) -> int:
    """``a * b`` modulo P."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=64)
def _shift(length: int) -> int:
    """x^(8 * length) modulo P."""
    power, square = 1 << 31, 1 << 23  # 1, x^8
    while length:
        if length & 1:
            power = _times(power, square)
        square = _times(square, square)
        length >>= 1
    return power


def crc32_combine(first: int, second: int, length: int) -> int:
    """The checksum of two texts after one another, the second of ``length`` bytes.

    >>> import zlib
    >>> crc32_combine(zlib.crc32(b"ab"), zlib.crc32(b"cde"), 3) == zlib.crc32(b"abcde")
    True
    """
    return _times(_shift(length), first) ^ second
