"""Fetching a data set's files: from the first source that works, whole or not.

How a file is fetched, resumed and checked is told in ``cresset/download.py``.

``CRESSET_DATASETS_MIRROR`` in the environment is a URL or a folder that is asked first: MNIST's
files are looked for under ``<mirror>/MNIST/``, CIFAR10's under ``<mirror>/CIFAR10/``.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from cresset.download import USER_AGENT, claimed, fetch
from cresset.vision.datasets.integrity import Path, check_integrity


def with_mirror(name: str, bases: Sequence[str]) -> list[str]:
    """Where to look for the files of data set ``name``: the user's mirror, then ``bases``."""
    mirror = os.environ.get("CRESSET_DATASETS_MIRROR")
    if not mirror:
        return list(bases)
    if "://" not in mirror:
        mirror = pathlib.Path(mirror).expanduser().resolve().as_uri()
    return [f"{mirror.rstrip('/')}/{name}/", *bases]


def try_each(places: Sequence[str], fetch: Callable[[str], None]) -> None:
    """``fetch(place)`` with the first place where it works; the last one's error is raised."""
    *others, last = places
    for place in others:
        try:
            return fetch(place)
        except (RuntimeError, OSError) as error:
            print(f"Tried {place}, got: {error}")
    fetch(last)


def download_url(
    url: str,
    root: Path,
    filename: Path | None = None,
    md5: str | None = None,
    max_redirect_hops: int = 3,
) -> None:
    """Puts the file at ``url`` into the folder ``root``, unless a good copy is there.

    A connection that is lost, falls silent or is refused for a moment is tried again, and goes on
    from where it was where the server can do that.

    Args:
        url: http, https or file, or a file's page on Google Drive, for which the package gdown is
            needed.
        root: the folder, made where missing.
        filename: what to call it; else the last part of ``url``.
        md5: the sum that it must have.
        max_redirect_hops: accepted for compatibility.

    Raises:
        RuntimeError: the checksum is wrong. The file is not kept.
        urllib.error.URLError: it cannot be fetched.
    """
    file_id = _google_drive_id(url)
    if file_id is not None:
        return download_file_from_google_drive(file_id, root, filename, md5)
    target = _target(root, filename or os.path.basename(url))
    if check_integrity(target, md5):
        return
    print(f"Downloading {url} to {target}")
    fetch(url, target, lambda path: _check(path, md5), md5)


def _check(path: str, md5: str | None) -> None:
    if not check_integrity(path, md5):
        raise RuntimeError("File not found or corrupted.")


def _target(root: Path, filename: Path) -> str:
    root = os.path.expanduser(root)
    target = os.fspath(os.path.join(root, filename))
    if not os.path.basename(target):
        raise ValueError("the URL does not end with a file's name: say filename='...'")
    os.makedirs(root, exist_ok=True)
    return target


def _google_drive_id(url: str) -> str | None:
    """The file's id in a URL such as https://drive.google.com/file/d/<id>/view."""
    parts = urlsplit(url)
    if re.match(r"(drive|docs)[.]google[.]com", parts.netloc) is None:
        return None
    found = re.match(r"/file/d/([^/]+)", parts.path)
    return found and found.group(1)


def download_file_from_google_drive(
    file_id: str, root: Path, filename: Path | None = None, md5: str | None = None
) -> None:
    """Puts a file of Google Drive into the folder ``root``, unless a good copy is there.

    Raises:
        RuntimeError: the package gdown is not installed, or the checksum is wrong.
    """
    try:
        import gdown
    except ModuleNotFoundError:
        raise RuntimeError(
            "To download files from GDrive, 'gdown' is required. "
            "You can install it with 'pip install gdown'."
        ) from None
    target = _target(root, filename or file_id)
    if check_integrity(target, md5):
        return
    with claimed(target, md5) as part:
        try:
            part.file.truncate(0)
            gdown.download(id=file_id, output=part.file.name, quiet=False, user_agent=USER_AGENT)
            _check(part.file.name, md5)
            os.replace(part.file.name, target)
        except BaseException:
            part.discard()
            raise
