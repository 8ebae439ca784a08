"""A file that is replaced in one step: whoever looks, at whatever moment, finds the old or the new.

The new file is written where nobody sees it, flushed to the disk and only then given its name; then
the folder, which holds the name, is flushed too. On Linux the file has no name at all until it is
whole (``O_TMPFILE``), so that a process killed on the way leaves nothing behind. Where that cannot
be had it is called ``.name.<random>.tmp`` until then, and a kill can leave that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

#: From this size on a file that was replaced is closed beside us.
_LARGE = 64 << 20


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[BinaryIO]:
    """A file open for writing that becomes ``path`` when the block ends without an error.

    Links are followed, and a file that is there already passes its permissions on. A pipe or a
    device is written to as it is. Raises RuntimeError if there is no such folder or ``path`` is
    one; an error within the block, or of the disk, leaves the old file alone.
    """
    target = os.path.realpath(os.fsdecode(path))
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        shown = os.path.dirname(os.fsdecode(path)) or "."
        raise RuntimeError(f"Parent directory {shown} does not exist.")
    if os.path.isdir(target):
        raise RuntimeError("open file failed with strerror: Is a directory")
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as out:
            yield out
        return
    _wait_for_room()
    beside = os.path.join(folder, f".{name[:100]}.{uuid.uuid4().hex}.tmp")
    out = _unnamed(folder)
    named = out is None
    old = None
    try:
        with out or open(beside, "xb") as out:
            if os.path.exists(target):
                os.chmod(beside if named else out.fileno(), stat.S_IMODE(os.stat(target).st_mode))
            yield out
            out.flush()
            os.fsync(out.fileno())
            if not named:
                _give_name(out.fileno(), folder, beside)
        old = _held(target)
        os.replace(beside, target)
        _sync_folder(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    finally:
        if old is not None:
            _closing[:] = [threading.Thread(target=os.close, args=(old,))]
            _closing[0].start()


#: Gives the room of the file that was replaced last back to the system.
_closing: list[threading.Thread] = []


def _held(path: str) -> int | None:
    """A large file, open: its room is given back when it is closed, which takes a third of the time
    of a save and nobody need wait for."""
    try:
        if os.path.getsize(path) >= _LARGE:
            return os.open(path, os.O_RDONLY)
    except OSError:
        pass
    return None


def _wait_for_room() -> None:
    """Before another file takes room, that of the one before is there again."""
    for thread in list(_closing):
        thread.join()


def _unnamed(folder: str) -> BinaryIO | None:
    """A new file of this folder without a name, or None where that cannot be had."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except OSError:  # the file system cannot, or the folder may not be written: then open() says so
        return None
    return os.fdopen(descriptor, "wb")


def _give_name(descriptor: int, folder: str, name: str) -> None:
    # A folder's descriptor, which a full path does not need, makes os.link follow symbolic links.
    unnamed = f"/proc/self/fd/{descriptor}"
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.link(unnamed, name, src_dir_fd=handle)
    except OSError:  # a file system that makes such files and cannot name them
        with open(unnamed, "rb") as source, open(name, "xb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    finally:
        os.close(handle)


def _sync_folder(folder: str) -> None:
    """Make the new name itself last, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def replacing_by_name(path: Any) -> Iterator[str]:
    """The name of a new file beside ``path``, for writers that open files themselves.

    When the block ends without an error, it becomes ``path``, as with ``replacing``.
    """
    target = os.path.realpath(os.fsdecode(path))
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        shown = os.path.dirname(os.fsdecode(path)) or "."
        raise RuntimeError(f"Parent directory {shown} does not exist.")
    beside = os.path.join(folder, f".{name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        if os.path.exists(target):
            os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_folder(folder)
