"""The zip container of a checkpoint: named records of bytes under one root folder.

PyTorch writes plain zip files whose entries are *stored* (never compressed) and begin at multiples
of 64 bytes, so that a storage can be mapped straight from disk. ``ArchiveWriter`` writes such
files, ``ArchiveReader`` reads them; neither knows what the records mean.

A file may come from anyone. What must stay true of the reader: memory is taken only after a
record's size was checked against the file it lies in. A stored record cannot be longer than the
file; compressed records (somebody packed the file again) may inflate to ``MOST_INFLATED`` bytes in
total; records that together claim more bytes than the file holds are refused.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from hashlib import blake2b
from typing import Any, BinaryIO

import numpy as np

ALIGNMENT = 64
#: Compressed records may hold this many bytes together; PyTorch itself never compresses.
MOST_INFLATED = 1 << 30
NEWEST_VERSION = 10

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CORRUPT = (
    "If you are seeing this error, there is a high likelihood that your checkpoint file is "
    "corrupted. This can happen if the checkpoint was not saved properly, was transferred "
    "incorrectly, or the file was modified after saving."
)


class ArchiveWriter:
    """Writes records one after another into ``f``; ``close`` finishes the file."""

    def __init__(self, f: Any, root: str = "archive") -> None:
        self._zip = zipfile.ZipFile(f, "w", zipfile.ZIP_STORED)
        self._root = root
        self._names = blake2b(digest_size=8)
        self._contents = blake2b(digest_size=8)

    def write(self, name: str, data: Any) -> None:
        """Add the record ``name`` with the bytes of ``data`` (anything with a flat buffer)."""
        data = memoryview(data).cast("B")
        entry = zipfile.ZipInfo(f"{self._root}/{name}")
        entry.file_size = len(data)
        large = len(data) >= zipfile.ZIP64_LIMIT // 2
        header = 30 + len(entry.filename.encode()) + (20 if large else 0)
        # An extra field ("FB", its length, zeros) moves the data to the next multiple of 64.
        padding = -(self._zip.start_dir + header + 4) % ALIGNMENT
        entry.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
        with self._zip.open(entry, "w", force_zip64=large) as record:
            record.write(data)
        self._names.update(name.encode())
        self._contents.update(struct.pack("<I", entry.CRC))

    def close(self) -> None:
        """Write the closing records and the table of contents."""
        self.write("version", b"3\n")
        names = int.from_bytes(self._names.digest(), "little")
        contents = int.from_bytes(self._contents.digest(), "little")
        self.write(".data/serialization_id", f"{names:020d}{contents:020d}".encode())
        self._zip.close()

    def abandon(self) -> None:
        """Let go of the file without finishing it (an error is on its way to the user)."""
        self._zip.fp = None  # else ZipFile's finalizer would write a table of contents


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
        self._check_version()

    def _check_entries(self, entries: list[zipfile.ZipInfo]) -> None:
        stored = inflated = 0
        for entry in entries:
            name = entry.filename
            if not name.startswith(self._root):
                raise RuntimeError(f"file in archive is not in a subdirectory {self._root}: {name}")
            if entry.flag_bits & 1:
                raise RuntimeError(f"file in archive is encrypted: {name}")
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
        if inflated > MOST_INFLATED:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: its compressed records claim "
                f"{inflated} bytes, more than the {MOST_INFLATED} allowed. Pack the file again "
                "without compression if you trust it."
            )

    def _check_version(self) -> None:
        if "version" not in self._entries and ".data/version" not in self._entries:
            raise RuntimeError('Expected hasRecord("version") to be true, but got false.')
        name = "version" if "version" in self._entries else ".data/version"
        text = self.read(name).strip()
        if not text.isdigit():
            self._bad(name, f"{text[:20]!r} is not a version number")
        if int(text) > NEWEST_VERSION:
            raise RuntimeError(
                f"Attempted to read a PyTorch file with version {int(text)}, but the maximum "
                f"supported version for reading is {NEWEST_VERSION}. The version of your PyTorch "
                "installation may be too old, please upgrade PyTorch to latest version to mitigate "
                "this issue."
            )

    def _bad(self, name: str, reason: str) -> None:
        raise RuntimeError(f"PytorchStreamReader failed reading file {name}: {reason}. {_CORRUPT}")

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(name)
        if entry is None:
            raise RuntimeError(
                f"PytorchStreamReader failed locating file {name}: file not found. {_CORRUPT}"
            )
        return entry

    def size(self, name: str) -> int:
        """The number of bytes in a record."""
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:
        """All bytes of a record."""
        out = np.empty(self.size(name), np.uint8)
        self.read_into(name, out)
        return out.tobytes()

    def read_into(self, name: str, out: np.ndarray) -> None:
        """Fill ``out``, an array of exactly the record's size, with its bytes."""
        entry = self._entry(name)
        target = out.data.cast("B") if out.size else memoryview(bytearray())
        if len(target) != entry.file_size:
            raise ValueError(f"record {name} has {entry.file_size} bytes, not {len(target)}")
        if entry.compress_type == zipfile.ZIP_STORED:
            self._file.seek(self.offset(name))
            self._fill(name, self._file, target)
        else:
            try:
                with self._zip.open(entry) as source:
                    self._fill(name, source, target)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                self._bad(name, str(error))
        # A checksum of 0 says that the writer was told not to compute any.
        if entry.CRC and zlib.crc32(target) != entry.CRC:
            self._bad(name, "its checksum (CRC-32) does not match")

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
        """Where a stored record's bytes begin in the file."""
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
        self._zip.close()


def _zip_reason(error: Exception) -> str:
    """What PyTorch calls the failures that ``zipfile`` reports."""
    if "not a zip file" in str(error):
        return "failed finding central directory"
    return str(error)
