"""What data sets and their users need around files; the work is done in the files named here.

``integrity.py`` has checksums, ``download.py`` fetching, ``archives.py`` unpacking.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from cresset.vision.datasets.archives import extract_archive
from cresset.vision.datasets.download import (
    download_file_from_google_drive,
    download_url,
    try_each,
    with_mirror,
)
from cresset.vision.datasets.integrity import Path, calculate_md5, check_integrity, check_md5

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_and_extract_archive",
           "download_file_from_google_drive", "download_url", "extract_archive", "fetch",
           "iterable_to_str", "list_dir", "list_files", "try_each", "verify_str_arg",
           "with_mirror"]  # fmt: skip


def download_and_extract_archive(
    url: str,
    download_root: Path,
    extract_root: Path | None = None,
    filename: Path | None = None,
    md5: str | None = None,
    remove_finished: bool = False,
) -> None:
    """``download_url``, then ``extract_archive`` into ``extract_root`` or the same folder."""
    download_root = os.path.expanduser(download_root)
    extract_root = download_root if extract_root is None else extract_root
    filename = filename or os.path.basename(url)
    download_url(url, download_root, filename, md5)
    archive = os.path.join(download_root, filename)
    print(f"Extracting {archive} to {extract_root}")
    extract_archive(archive, extract_root, remove_finished)


def fetch(name: str, url: str, root: Path, md5: str, *, unpack: bool = False) -> None:
    """Puts a file of data set ``name`` into ``root``, from the user's mirror or else from ``url``.

    ``unpack``: and unpacks it there.
    """
    base, _, file = url.rpartition("/")
    get = download_and_extract_archive if unpack else download_url
    try_each(
        with_mirror(name, [base + "/"]),
        lambda place: get(place + file, root, filename=file, md5=md5),
    )


def list_dir(root: Path, prefix: bool = False) -> list[str]:
    """The folders in ``root``, with its path in front if ``prefix``."""
    root = os.path.expanduser(root)
    found = [p for p in os.listdir(root) if os.path.isdir(os.path.join(root, p))]
    return [os.path.join(root, p) for p in found] if prefix is True else found


def list_files(root: Path, suffix: str, prefix: bool = False) -> list[str]:
    """The files in ``root`` whose names end with ``suffix``."""
    root = os.path.expanduser(root)
    found = [
        p for p in os.listdir(root) if os.path.isfile(os.path.join(root, p)) and p.endswith(suffix)
    ]
    return [os.path.join(root, p) for p in found] if prefix is True else found


def iterable_to_str(iterable: Iterable[Any]) -> str:
    """``'a', 'b'`` of a and b."""
    return "'" + "', '".join(map(str, iterable)) + "'"


def verify_str_arg(
    value: Any,
    arg: str | None = None,
    valid_values: Iterable[str] | None = None,
    custom_msg: str | None = None,
) -> Any:
    """``value``, if it is a string and one of ``valid_values``; else a ValueError."""
    if not isinstance(value, str):
        place = "" if arg is None else f" for argument {arg}"
        raise ValueError(f"Expected type str{place}, but got type {type(value)}.")
    if valid_values is not None and value not in valid_values:
        raise ValueError(
            custom_msg
            or f"Unknown value '{value}' for argument {arg}. "
            f"Valid values are {{{iterable_to_str(valid_values)}}}."
        )
    return value
