"""Writing the zip container of a checkpoint: the records as PyTorch lays them out.

Every record is *stored* (never compressed) and its bytes begin at a multiple of 64, so that a
storage can be mapped straight from disk. Sizes of 4 GiB and more take zip64's fields.

A header stands before its bytes and holds their checksum. Into a file that can be written at any
place, the bytes go by way of other threads (``disk.py``) while this one computes the checksum. Into
anything else, header and bytes go one after the other.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

from cresset.serialization.disk import PAGE, Disk

ALIGNMENT = 64
#: From here on a number is written in 64 bits; in its 32-bit place stands ``_ELSEWHERE``.
LIMIT = 0xFFFFFFFF
_ELSEWHERE = 0xFFFFFFFF
#: Larger records leave to the other threads, in pieces of about this size.
_PIECE = 4 << 20
#: Shorter records are gathered, to be written many at a time.
_SHORT = 64 << 10

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
#: The first of January 1980: a file depends on its content alone.
_DATE = 33
_PLAIN, _LARGE = 20, 45


class _Record(NamedTuple):
    """An entry of the table of contents."""

    name: bytes
    size: int
    checksum: int
    offset: int


class ArchiveWriter:
    """Writes records one after another into ``f``; ``close`` finishes the file.

    ``seekable`` says that ``f`` is an ordinary file of ours, at its beginning; ``size`` is about
    how long it will be.
    """

    def __init__(
        self, f: Any, root: str = "archive", seekable: bool = False, size: int = 0
    ) -> None:
        self._file = f
        self._root = root
        self._at = 0
        self._records: list[_Record] = []
        self._names = blake2b(digest_size=8)
        self._contents = blake2b(digest_size=8)
        self._disk = Disk(f.fileno(), size) if seekable else None

    def write(self, name: str, data: Any) -> None:
        """Add the record ``name`` with the bytes of ``data`` (anything with a flat buffer)."""
        data = memoryview(data).cast("B")
        path = f"{self._root}/{name}".encode()
        size = len(data)
        large = struct.pack("<2H2Q", 1, 16, size, size) if size >= LIMIT else b""
        # An extra field ("FB", its length, zeros) moves the data to the next multiple of 64.
        padding = -(self._at + _LOCAL.size + len(path) + len(large) + 4) % ALIGNMENT
        extra = large + b"FB" + struct.pack("<H", padding) + bytes(padding)
        start = self._at + _LOCAL.size + len(path) + len(extra)
        checksum = 0
        if self._disk is not None and size > _SHORT:
            # Cut where the file's pages begin, so that each thread has pages of its own.
            cuts = [0, *range(_PIECE - start % PAGE, size - _PIECE // 2, _PIECE), size]
            for first, end in pairwise(cuts):
                self._disk.put(start + first, data[first:end])
                checksum = zlib.crc32(data[first:end], checksum)
        else:
            checksum = zlib.crc32(data)
        short = _short(size)
        header = _LOCAL.pack(
            b"PK\x03\x04", _LARGE if large else _PLAIN, 0, 0, 0, _DATE, checksum, short, short,
            len(path), len(extra),
        )  # fmt: skip
        if self._disk is not None:
            self._disk.append(header + path + extra, self._at)
            if size <= _SHORT:
                self._disk.append(data, start)
        else:
            self._file.write(header + path + extra)
            self._file.write(data)
        self._records.append(_Record(path, size, checksum, self._at))
        self._at = start + size
        self._names.update(name.encode())
        self._contents.update(struct.pack("<I", checksum))

    def close(self) -> None:
        """Write the closing records and the table of contents."""
        self.write("version", b"3\n")
        names = int.from_bytes(self._names.digest(), "little")
        contents = int.from_bytes(self._contents.digest(), "little")
        self.write(".data/serialization_id", f"{names:020d}{contents:020d}".encode())
        table = b"".join(map(_central, self._records))
        end = table + _end(len(self._records), len(table), self._at)
        if self._disk is not None:
            self._disk.append(end, self._at)
            self._disk.close()
            os.ftruncate(self._file.fileno(), self._at + len(end))
        else:
            self._file.write(end)

    def abandon(self) -> None:
        """Let go of the file without finishing it (an error is on its way to the user)."""
        if self._disk is not None:
            with contextlib.suppress(OSError):
                self._disk.close()


def _short(number: int) -> int:
    return number if number < LIMIT else _ELSEWHERE


def _central(record: _Record) -> bytes:
    name, size, checksum, offset = record
    large = [n for n in (size, size, offset) if n >= LIMIT]
    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    short = _short(size)
    return (
        _CENTRAL.pack(
            b"PK\x01\x02", _LARGE if large else 0, _LARGE if large else _PLAIN, 0, 0, 0, _DATE,
            checksum, short, short, len(name), len(extra), 0, 0, 0, 0, _short(offset),
        )
        + name
        + extra
    )  # fmt: skip


def _end(count: int, size: int, offset: int) -> bytes:
    end = _END.pack(
        b"PK\x05\x06", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), _short(size),
        _short(offset), 0,
    )  # fmt: skip
    if count < 0xFFFF and size < LIMIT and offset < LIMIT:
        return end
    large = _END_64.pack(
        b"PK\x06\x06", _END_64.size - 12, _LARGE, _LARGE, 0, 0, count, count, size, offset
    )
    return large + _LOCATOR_64.pack(b"PK\x06\x07", 0, offset + size, 1) + end
