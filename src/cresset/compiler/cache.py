"""Machine code kept on disk between runs, so that a script's second run starts warm.

A file holds the object code of one text, mostly a kernel. Its name is a hash of everything the code
follows from: the text and what LLVM is asked to do with it, the processor and its features, the
versions of llvmlite, LLVM and Cresset. The folder belongs to the user alone; a folder that somebody
else owns or may write to is not used, as what lies there is run. Files are written beside and
renamed; one that is damaged (its own hash says so) is ignored and removed. Past the size limit the
files that were not used for longest go, a quarter of all that may be there.

CRESSET_CACHE_DIR    the folder (default: cresset in the user's cache folder)
CRESSET_CACHE_SIZE   the limit in MiB (default 256; 0 turns the cache off)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"cresset object 1\n"
_SUFFIX = ".plan"


def folder() -> Path:
    """Where the files are."""
    given = os.environ.get("CRESSET_CACHE_DIR")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "cresset"


def limit() -> int:
    """How many bytes the files may have together."""
    given = os.environ.get("CRESSET_CACHE_SIZE", "")
    try:
        return int(float(given) * 2**20) if given else 256 << 20
    except ValueError:
        return 256 << 20


def key(*parts: str) -> str:
    """The name of what follows from these texts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def load(name: str) -> bytes | None:
    """The object code of that name; None if there is none that can be trusted."""
    if not limit() or not _private(folder()):
        return None
    path = folder() / (name + _SUFFIX)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, code = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(code).digest() != digest:
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used just now
    return code


def store(name: str, code: bytes) -> None:
    """Keep object code; where that is not possible, nothing happens."""
    size = len(_MAGIC) + 32 + len(code)
    if size > limit():
        return
    where = folder()
    with contextlib.suppress(OSError):
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(where):
            return
        _make_room(name, size)
        handle, beside = tempfile.mkstemp(dir=where, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(code).digest() + code)
            os.replace(beside, where / (name + _SUFFIX))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise


def entries() -> Iterator[tuple[Path, os.stat_result]]:
    """The files of the cache."""
    try:
        with os.scandir(folder()) as files:
            found = list(files)
    except OSError:
        return
    for file in found:
        if file.name.endswith((_SUFFIX, ".part")):
            with contextlib.suppress(OSError):
                yield Path(file.path), file.stat()


def clear() -> int:
    """Remove all files; how many there were."""
    removed = 0
    for path, _ in list(entries()):
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def describe() -> str:
    """The folder, and how much lies there."""
    sizes = [status.st_size for _, status in entries()]
    if not limit():
        return "off (CRESSET_CACHE_SIZE=0)"
    if not sizes:
        return f"{folder()} (empty)"
    total, most = sum(sizes) / 2**20, limit() / 2**20
    return f"{folder()} ({count(len(sizes))}, {total:.1f} of {most:g} MiB)"


def count(files: int) -> str:
    """As a person writes it."""
    return f"{files} file" if files == 1 else f"{files} files"


def _private(where: Path) -> bool:
    """Whether the folder is ours and nobody else may write to it."""
    try:
        status = os.lstat(where)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True  # Windows: the user's own folder
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


#: By folder: the bytes stored since it was last looked through.
_STORED: dict[Path, int] = {}


def _make_room(name: str, size: int) -> None:
    """Where ``size`` more bytes would be over the limit, remove what was not used for longest.

    Files are small and many, so looking through the folder can take longer than compiling. It is
    done when this process has stored a sixteenth of the limit, and for one name in 256, so that
    programs that store little each keep to the limit together; a sixteenth is kept free for them.
    """
    where, share = folder(), limit() // 16
    _STORED[where] = _STORED.get(where, 0) + size
    if _STORED[where] <= share and not name.startswith("00"):
        return
    _STORED[where] = 0
    files = list(entries())
    total = sum(status.st_size for _, status in files) + size
    if total <= limit() - share:
        return
    files.sort(key=lambda entry: entry[1].st_mtime)
    for path, status in files:
        if total <= 12 * share:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            total -= status.st_size
