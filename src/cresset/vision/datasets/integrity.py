"""Whole files or none: checksums, and writing beside a file before taking its name.

What must stay true: a file appears under its final name only when all of it is on the disk and its
checksum, if one is known, is right. A process killed at any moment leaves at most a hidden file
that no data set reads.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any, TypeAlias

__all__ = ["Path", "calculate_md5", "check_integrity", "check_md5"]

Path: TypeAlias = "str | os.PathLike[str]"


def calculate_md5(fpath: Path, chunk_size: int = 1 << 20) -> str:
    """The MD5 sum of a file, in hexadecimal."""
    md5 = hashlib.md5(usedforsecurity=False)
    with open(fpath, "rb") as f:
        while chunk := f.read(chunk_size):
            md5.update(chunk)
    return md5.hexdigest()


def check_md5(fpath: Path, md5: str, **kwargs: Any) -> bool:
    """Whether a file has this MD5 sum."""
    return md5 == calculate_md5(fpath, **kwargs)


#: Sums of files that were read before, by what the system says of them. A data set checks its files
#: when it downloads and when it loads, and its test part the same files again.
_KNOWN: dict[tuple[int, ...], str] = {}
#: Seconds. A younger file might change again with no change of its time.
_SETTLED = 2.0


def _remembered_md5(path: Path) -> str:
    status = os.stat(path)
    key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    if key not in _KNOWN:
        md5 = calculate_md5(path)
        if abs(time.time() - max(status.st_mtime, status.st_ctime)) < _SETTLED:
            return md5
        _KNOWN[key] = md5
    return _KNOWN[key]


def check_integrity(fpath: Path, md5: str | None = None) -> bool:
    """Whether the file exists and, where a sum is given, has it.

    The sum of a file that did not change since the last look is not computed again.
    ``CRESSET_DATASETS_CHECK=0`` in the environment leaves the sums out.
    """
    if not os.path.isfile(fpath):
        return False
    if md5 is None or os.environ.get("CRESSET_DATASETS_CHECK") == "0":
        return True
    return _remembered_md5(fpath) == md5
