"""``save``: an object into a file that PyTorch loads, too.

A path is replaced in one step (``replacing``), so that a crash at any moment leaves either the old
checkpoint or the new one.
"""

from __future__ import annotations

import io
import os
import pickle
import stat
import struct
import sys
from typing import Any

from cresset.serialization.archive_writer import ALIGNMENT, ArchiveWriter
from cresset.serialization.pickler import StorageTable, make_pickler, storage_bytes
from cresset.serialization.replacing import replacing

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
        write(f, "archive", stream.getvalue(), table, False)
        return
    path = os.fspath(f)
    root = os.path.splitext(os.path.basename(os.fsdecode(path)))[0]
    with replacing(path) as out:
        ours = hasattr(os, "pwrite") and stat.S_ISREG(os.fstat(out.fileno()).st_mode)
        write(out, root if root.isascii() and root else "archive", stream.getvalue(), table, ours)


def _write_archive(f: Any, root: str, pickled: bytes, table: StorageTable, seekable: bool) -> None:
    size = sum(storage.size * storage.dtype.itemsize for storage, _ in table.storages)
    writer = ArchiveWriter(f, root, seekable, size + len(pickled))
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


def _write_legacy(f: Any, root: str, pickled: bytes, table: StorageTable, seekable: bool) -> None:
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
        numbers = storage_bytes(typed.storage)
        if sys.byteorder == "big":
            numbers = numbers.view(typed.storage.dtype.np).byteswap()
        f.write(numbers.data)
