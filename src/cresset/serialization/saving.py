"""``save``: an object into a file that PyTorch loads, too.

A path is replaced in one step: the file is written beside it, flushed to disk and renamed, so that
a crash at any moment leaves either the old checkpoint or the new one.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import stat
import struct
import sys
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

from cresset.serialization.archive import ALIGNMENT, ArchiveWriter
from cresset.serialization.pickler import StorageTable, make_pickler, storage_bytes

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write ``obj`` to ``f``, a path or a file open for writing in binary mode.

    Tensors, containers of them, ``state_dict()`` results, numbers and strings can be read back
    by ``load`` as they are, and by PyTorch. Tensors that share memory share it again after loading.
    Whole modules can be saved; loading one takes ``load(..., weights_only=False)``.

    Raises RuntimeError if the folder of ``f`` does not exist or two tensors view one storage as
    different types, PicklingError or AttributeError for objects that cannot be pickled.

    >>> import io
    >>> import cresset as torch
    >>> file = io.BytesIO()
    >>> torch.save({'weight': torch.arange(3), 'epoch': 7}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'weight': tensor([0, 1, 2]), 'epoch': 7}
    """
    is_path = isinstance(f, (str, os.PathLike))
    if not is_path and not hasattr(f, "write"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    # Pickled before any file is touched: what cannot be pickled leaves no trace.
    table = StorageTable(legacy=not _use_new_zipfile_serialization)
    stream = io.BytesIO()
    make_pickler(stream, pickle_protocol, pickle_module, table).dump(obj)
    write = _write_archive if _use_new_zipfile_serialization else _write_legacy
    if not is_path:
        write(f, "archive", stream.getvalue(), table)
        return
    path = os.fspath(f)
    root = os.path.splitext(os.path.basename(os.fsdecode(path)))[0]
    with _replacing(path) as out:
        write(out, root if root.isascii() and root else "archive", stream.getvalue(), table)


def _write_archive(f: Any, root: str, pickled: bytes, table: StorageTable) -> None:
    writer = ArchiveWriter(f, root)
    try:
        writer.write("data.pkl", pickled)
        writer.write(".format_version", b"1")
        writer.write(".storage_alignment", str(ALIGNMENT).encode())
        writer.write("byteorder", sys.byteorder.encode())
        for key, (storage, _) in enumerate(table.storages):
            writer.write(f"data/{key}", storage_bytes(storage))
    except BaseException:
        writer.abandon()
        raise
    writer.close()


def _write_legacy(f: Any, root: str, pickled: bytes, table: StorageTable) -> None:
    """The form from before PyTorch 1.6: pickles one after another, then the storages."""
    system = {
        "protocol_version": LEGACY_PROTOCOL,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for header in (LEGACY_MAGIC, LEGACY_PROTOCOL, system):
        f.write(pickle.dumps(header, 2))
    f.write(pickled)
    f.write(pickle.dumps([str(key) for key in range(len(table.storages))], 2))
    for typed in table.storages:
        f.write(struct.pack("<q", typed.numel))
        f.write(storage_bytes(typed.storage).data)


@contextlib.contextmanager
def _replacing(path: Any) -> Iterator[BinaryIO]:
    """A file open for writing that becomes ``path`` when the block ends without an error."""
    target = os.path.realpath(os.fsdecode(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        shown = os.path.dirname(os.fsdecode(path)) or "."
        raise RuntimeError(f"Parent directory {shown} does not exist.")
    if os.path.isdir(target):
        raise RuntimeError("open file failed with strerror: Is a directory")
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as out:  # a pipe or a device: nothing to rename over
            yield out
        return
    beside = os.path.join(folder, f".{os.path.basename(target)[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        with open(beside, "xb") as out:
            if os.path.exists(target):
                os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode))
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make the new name itself last, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
