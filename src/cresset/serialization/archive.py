"""Reading the zip container of a checkpoint: named records of bytes under one root folder.

PyTorch writes plain zip files whose entries are *stored*, never compressed (``archive_writer``).
Neither side knows what the records mean.

A file may come from anyone. What must stay true: memory is taken only after a record's size was
checked against the file it lies in. A stored record cannot be longer than the file; records that
together claim more bytes than the file holds are refused; compressed records (somebody packed the
file again) may inflate to ``most_inflated`` bytes in total. Names lead nowhere: nothing is unpacked
to the disk.

Large records of a path are read, and their checksum computed, by two threads.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

from cresset.serialization.disk import in_small_pages

NEWEST_VERSION = 10
#: Larger records are read by two threads, in pieces of this size: the checksum of one is computed
#: while a core's cache holds it.
PIECE = 256 << 10

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CORRUPT = (
    "If you are seeing this error, there is a high likelihood that your checkpoint file is "
    "corrupted. This can happen if the checkpoint was not saved properly, was transferred "
    "incorrectly, or the file was modified after saving."
)


def most_inflated(length: int) -> int:
    """How many bytes the compressed records of a file of ``length`` bytes may hold together.

    PyTorch never compresses. Trained numbers shrink by a tenth or so, zeros a thousandfold.
    """
    return min(1 << 30, (64 << 20) + 16 * length)


def is_archive(f: BinaryIO) -> bool:
    """Whether a zip file starts at the present position (which stays as it is)."""
    start = f.tell()
    magic = f.read(4)
    f.seek(start)
    return magic == b"PK\x03\x04"


class ArchiveReader:
    """Reads records of the zip file ``f`` by name (without the root folder)."""

    def __init__(self, f: BinaryIO) -> None:
        self._file = f
        self._length = f.seek(0, os.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(f)
        except (
            zipfile.BadZipFile,
            struct.error,
            ValueError,
            NotImplementedError,
            OSError,
        ) as error:
            raise RuntimeError(
                f"PytorchStreamReader failed reading zip archive: {_zip_reason(error)}. {_CORRUPT}"
            ) from None
        entries = self._zip.infolist()
        if not entries:
            raise RuntimeError(
                f"PytorchStreamReader failed reading zip archive: archive is empty. {_CORRUPT}"
            )
        self._root = entries[0].filename.partition("/")[0] + "/"
        self._check_entries(entries)
        self._entries = {entry.filename[len(self._root) :]: entry for entry in entries}
        if len(self._entries) < len(entries):
            self._bad(self._root, "two records have the same name")
        self._descriptor = _descriptor(f)
        self._helper: ThreadPoolExecutor | None = None
        self._check_version()

    def _check_entries(self, entries: list[zipfile.ZipInfo]) -> None:
        stored = inflated = 0
        for entry in entries:
            name = entry.filename
            if not name.startswith(self._root):
                raise RuntimeError(
                    f"file in archive is not in a subdirectory {self._root[:99]}: {name[:99]}"
                )
            if entry.flag_bits & 1:
                raise RuntimeError(f"file in archive is encrypted: {name[:99]}")
            stored += entry.compress_size
            if entry.compress_type == zipfile.ZIP_STORED:
                if entry.compress_size != entry.file_size:
                    self._bad(name, "a stored record has two different sizes")
            elif entry.compress_type == zipfile.ZIP_DEFLATED:
                inflated += entry.file_size
            else:
                self._bad(name, f"compression method {entry.compress_type} is not supported")
        if stored > self._length:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: its records claim "
                f"{stored} bytes but the file has {self._length}. {_CORRUPT}"
            )
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < end:
                self._bad(entry.filename, "it lies over the record before it")
            end = entry.header_offset + _LOCAL_HEADER.size + entry.compress_size
        allowed = most_inflated(self._length)
        if inflated > allowed:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: its compressed records claim "
                f"{inflated} bytes, more than the {allowed} allowed. Pack the file again "
                "without compression if you trust it."
            )

    def _check_version(self) -> None:
        if "version" not in self._entries and ".data/version" not in self._entries:
            raise RuntimeError('Expected hasRecord("version") to be true, but got false.')
        name = "version" if "version" in self._entries else ".data/version"
        text = self.read(name).strip()
        if not text.isdigit() or len(text) > 18:
            self._bad(name, f"{text[:20]!r} is not a version number")
        if int(text) > NEWEST_VERSION:
            raise RuntimeError(
                f"Attempted to read a PyTorch file with version {int(text)}, but the maximum "
                f"supported version for reading is {NEWEST_VERSION}. The version of your PyTorch "
                "installation may be too old, please upgrade PyTorch to latest version to mitigate "
                "this issue."
            )

    def _bad(self, name: str, reason: str) -> None:
        raise RuntimeError(
            f"PytorchStreamReader failed reading file {name[:99]}: {reason}. {_CORRUPT}"
        )

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(name)
        if entry is None:
            raise RuntimeError(
                f"PytorchStreamReader failed locating file {name[:99]}: file not found. {_CORRUPT}"
            )
        return entry

    def size(self, name: str) -> int:
        """The number of bytes in a record."""
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:
        """All bytes of a record that is to be interpreted: a hundred times its size in objects."""
        if not self.is_stored(name) and self.size(name) > (1 << 20) + 8 * self._length:
            self._bad(name, "it is compressed far more than what it should hold can be")
        out = np.empty(self.size(name), np.uint8)
        self.read_into(name, out)
        return out.tobytes()

    def read_into(self, name: str, out: np.ndarray) -> None:
        """Fill ``out``, an array of exactly the record's size, with its bytes."""
        entry = self._entry(name)
        target = out.data.cast("B") if out.size else memoryview(bytearray())
        if len(target) != entry.file_size:
            raise ValueError(f"record {name} has {entry.file_size} bytes, not {len(target)}")
        checksum = None
        offset = self.offset(name)
        if entry.compress_type == zipfile.ZIP_STORED:
            if self._descriptor is not None and len(target) > PIECE:
                checksum = self._read_in_pieces(name, offset, target)
            else:
                self._file.seek(offset)
                self._fill(name, self._file, target)
        else:
            try:
                with self._zip.open(entry) as source:
                    self._fill(name, source, target)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                self._bad(name, str(error))
        # A checksum of 0 says that the writer was told not to compute any.
        if entry.CRC and (zlib.crc32(target) if checksum is None else checksum) != entry.CRC:
            self._bad(name, "its checksum (CRC-32) does not match")

    def _read_in_pieces(self, name: str, offset: int, target: memoryview) -> int:
        """Fill ``target`` from the file by two threads; its checksum."""
        pieces = [target[i : i + PIECE] for i in range(0, len(target), PIECE)]
        checksums = [0] * len(pieces)
        numbers = iter(range(len(pieces)))  # both threads take the next one from here

        def read() -> None:
            for i in numbers:
                _read_at(self._descriptor, offset + i * PIECE, pieces[i])
                checksums[i] = zlib.crc32(pieces[i])

        if self._helper is None:
            self._helper = ThreadPoolExecutor(1)
        with in_small_pages(target):
            other = self._helper.submit(read)
            try:
                read()
            finally:
                if not other.cancel():  # a helper without a processor so far is not waited for
                    wait([other])
        if not other.cancelled():
            other.result()
        whole = checksums[0]
        for checksum, piece in zip(checksums[1:], pieces[1:], strict=True):
            whole = crc32_combine(whole, checksum, len(piece))
        return whole

    def _fill(self, name: str, source: Any, target: memoryview) -> None:
        done = 0
        while done < len(target):
            if hasattr(source, "readinto"):
                count = source.readinto(target[done:])
            else:
                chunk = source.read(min(len(target) - done, 1 << 24))
                count = len(chunk)
                target[done : done + count] = chunk
            if not count:
                self._bad(name, f"it ends after {done} of {len(target)} bytes")
            done += count

    def offset(self, name: str) -> int:
        """Where a record's bytes begin in the file."""
        entry = self._entry(name)
        if not 0 <= entry.header_offset < self._length:
            self._bad(name, "it lies outside of the file")
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            self._bad(name, "its header is cut off")
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if magic != b"PK\x03\x04":
            self._bad(name, "its header is damaged")
        start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + entry.compress_size > self._length:
            self._bad(name, "it reaches beyond the end of the file")
        return start

    def is_stored(self, name: str) -> bool:
        """Whether a record lies in the file as it is, so that it can be mapped."""
        return self._entry(name).compress_type == zipfile.ZIP_STORED

    def close(self) -> None:
        """Let go of the helper; the file belongs to the caller."""
        if self._helper is not None:
            self._helper.shutdown()


def _zip_reason(error: Exception) -> str:
    """What PyTorch calls the failures that ``zipfile`` reports."""
    if "not a zip file" in str(error):
        return "failed finding central directory"
    return str(error)


def _descriptor(f: Any) -> int | None:
    """The number of an ordinary open file, if it can be read at any place; else None."""
    if not isinstance(f, io.BufferedReader) or not hasattr(os, "preadv"):
        return None
    descriptor = f.fileno()
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _read_at(descriptor: Any, offset: int, target: memoryview) -> None:
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
