"""Reading the zip container of a checkpoint: named records of bytes under one root folder.

PyTorch writes plain zip files whose entries are *stored*, never compressed (``archive_writer``).
Neither side knows what the records mean.

A file may come from anyone. What must stay true: memory is taken only after a record's size was
checked against the file it lies in. A stored record cannot be longer than the file; records that
together claim more bytes than the file holds are refused; compressed records (somebody packed the
file again) may inflate to ``most_inflated`` bytes in total. Names lead nowhere: nothing is unpacked
to the disk.

Large records of a path are read ahead by two threads (``readahead``).
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from cresset.serialization.readahead import LARGE, ReadAhead

NEWEST_VERSION = 10
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
        self._ahead: ReadAhead | None = None
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
        return self.read_array(name).tobytes()

    def read_array(self, name: str) -> np.ndarray:
        """All bytes of a record, in an array of its own."""
        entry = self._entry(name)
        found = self._read_ahead(name)
        if found is None:
            out = np.empty(entry.file_size, np.uint8)
            target = out.data if out.size else memoryview(bytearray())
            self._read(entry, name, target)
            checksum = zlib.crc32(target)
        else:
            out, checksum = found
        # A checksum of 0 says that the writer was told not to compute any.
        if entry.CRC and checksum != entry.CRC:
            self._bad(name, "its checksum (CRC-32) does not match")
        return out

    def _read(self, entry: zipfile.ZipInfo, name: str, target: memoryview) -> None:
        if entry.compress_type == zipfile.ZIP_STORED:
            self._file.seek(self.offset(name))
            self._fill(name, self._file, target)
            return
        self.offset(name)  # raises if the record is not where it should be
        try:
            with self._zip.open(entry) as source:
                self._fill(name, source, target)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            self._bad(name, str(error))

    def _read_ahead(self, name: str) -> tuple[np.ndarray, int] | None:
        """A large record and its checksum, perhaps read already; None if it is not read so."""
        if self._descriptor is None or self.size(name) < LARGE or not self.is_stored(name):
            return None
        if self._ahead is None:
            self._ahead = ReadAhead(self._descriptor, self._large_records())
        return self._ahead.take(name)

    def _large_records(self) -> Iterator[tuple[str, int, int]]:
        """Name, offset and size of the large records in their order, but for damaged ones."""
        for name, entry in self._entries.items():
            if entry.file_size >= LARGE and self.is_stored(name):
                with contextlib.suppress(RuntimeError):
                    yield name, self.offset(name), entry.file_size

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
        """Read no further; the file belongs to the caller."""
        if self._ahead is not None:
            self._ahead.close()


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
