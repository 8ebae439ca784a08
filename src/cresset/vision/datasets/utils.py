"""Fetching, checking and unpacking data files.

A file appears under its final name only when it is whole and its checksum is right: everything is
written beside it first and then renamed. Archives are unpacked member by member, plain files and
folders only, and never outside of the target folder.

Two environment variables:

``CRESSET_DATASETS_MIRROR``  a URL or a folder that is asked first; MNIST's files are looked for
                             under ``<mirror>/MNIST/``, CIFAR10's under ``<mirror>/CIFAR10/``
``CRESSET_DATASETS_CHECK=0`` no checksums: for stand-in files that you made yourself
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import http.client
import lzma
import os
import pathlib
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, TypeAlias

Path: TypeAlias = "str | os.PathLike[str]"

USER_AGENT = "cresset/vision"
ATTEMPTS = 3
RETRY_AFTER = 0.5  # seconds, doubled each time
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 16


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


def check_integrity(fpath: Path, md5: str | None = None) -> bool:
    """Whether the file exists and, where a sum is given, has it."""
    if not os.path.isfile(fpath):
        return False
    if md5 is None or os.environ.get("CRESSET_DATASETS_CHECK") == "0":
        return True
    return check_md5(fpath, md5)


@contextlib.contextmanager
def _written_whole(target: Path, md5: str | None = None) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the name ``target`` at the end if all went well."""
    folder, name = os.path.split(os.fspath(target))
    handle, temporary = tempfile.mkstemp(dir=folder or ".", prefix=f".{name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as f:
            yield f
        if not check_integrity(temporary, md5):
            raise RuntimeError("File not found or corrupted.")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp gives 0o600
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


class _Progress:
    """One line on stderr: percentage, bar and megabytes. Nothing unless a terminal shows it."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name, self.total = name, total
        self.done = 0
        self.shown_at = 0.0
        self.visible = sys.stderr.isatty()

    def advance(self, count: int) -> None:
        self.done += count
        if self.visible and time.monotonic() - self.shown_at > 0.1:
            self.show()

    def show(self) -> None:
        self.shown_at = time.monotonic()
        text = f"{self.done / 1e6:.1f} MB"
        if self.total:
            part = min(self.done / self.total, 1.0)
            text = f"{part:4.0%} |{'#' * int(30 * part):30}| {text} of {self.total / 1e6:.1f} MB"
        print(f"\r{self.name}: {text}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.visible:
            self.show()
            print(file=sys.stderr)


def _fetch_once(url: str, target: str, md5: str | None) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT) as response,
        _written_whole(target, md5) as out,
    ):
        length = response.headers.get("Content-Length")
        progress = _Progress(os.path.basename(target), int(length) if length else None)
        while chunk := response.read(CHUNK):
            out.write(chunk)
            progress.advance(len(chunk))
        progress.close()
        if length and progress.done < int(length):  # read(n) takes a cut connection for the end
            raise http.client.IncompleteRead(b"", int(length) - progress.done)


def _fetch(url: str, target: str, md5: str | None) -> None:
    """Tries again after a lost connection; a refusal (404 and the like) is final."""
    for attempt in range(ATTEMPTS):
        try:
            return _fetch_once(url, target, md5)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS - 1:
                raise
        except urllib.error.URLError as error:
            if isinstance(error.reason, FileNotFoundError) or attempt == ATTEMPTS - 1:
                raise
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == ATTEMPTS - 1:
                raise urllib.error.URLError(error) from error
        time.sleep(RETRY_AFTER * 2**attempt)


def download_url(
    url: str,
    root: Path,
    filename: Path | None = None,
    md5: str | None = None,
    max_redirect_hops: int = 3,
) -> None:
    """Puts the file at ``url`` into the folder ``root``, unless a good copy is there.

    Args:
        url: http, https or file.
        root: the folder, made where missing.
        filename: what to call it; else the last part of ``url``.
        md5: the sum that it must have.
        max_redirect_hops: accepted for compatibility.

    Raises:
        RuntimeError: the checksum is wrong. The file is not kept.
        urllib.error.URLError: it cannot be fetched.
    """
    root = os.path.expanduser(root)
    target = os.path.join(root, filename or os.path.basename(url))
    os.makedirs(root, exist_ok=True)
    if check_integrity(target, md5):
        return
    print(f"Downloading {url} to {target}")
    _fetch(url, target, md5)


_OPENERS: dict[str, Callable[..., Any]] = {
    ".bz2": bz2.open,
    ".gz": gzip.open,
    ".xz": lzma.open,
}
_ALIASES = {".tbz": (".tar", ".bz2"), ".tbz2": (".tar", ".bz2"), ".tgz": (".tar", ".gz")}


def _detect_file_type(file: Path) -> tuple[str, str | None, str | None]:
    """(suffix, archive type, compression): ``x.tar.gz`` gives ``('.tar.gz', '.tar', '.gz')``."""
    suffixes = pathlib.Path(file).suffixes
    if not suffixes:
        raise RuntimeError(
            f"File '{file}' has no suffixes that could be used to detect the archive type and "
            "compression."
        )
    last = suffixes[-1]
    if last in _ALIASES:
        return (last, *_ALIASES[last])
    if last in (".tar", ".zip"):
        return last, last, None
    if last in _OPENERS:
        before = suffixes[-2] if len(suffixes) > 1 else ""
        return (before + last, before, last) if before in (".tar", ".zip") else (last, None, last)
    valid = sorted({*_ALIASES, ".tar", ".zip", *_OPENERS})
    raise RuntimeError(
        f"Unknown compression or archive type: '{last}'.\nKnown suffixes are: '{valid}'."
    )


def _place_for(name: str, folder: Path) -> pathlib.Path:
    """Where an archive's member goes. Symbolic links on the way are followed before the check."""
    inside = pathlib.Path(folder).resolve()
    target = (inside / name).resolve()
    if target != inside and inside not in target.parents:
        raise RuntimeError(f"the archive's member '{name}' lies outside of {inside}")
    return target


def _extract_member(name: str, is_folder: bool, source: IO[bytes] | None, folder: Path) -> None:
    target = _place_for(name, folder)
    if is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    if source is None:
        raise RuntimeError(f"the archive's member '{name}' is neither a file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, _written_whole(target) as out:
        shutil.copyfileobj(source, out)


def _extract_tar(from_path: Path, to_path: Path) -> None:
    with tarfile.open(from_path) as tar:
        for member in tar:
            source = tar.extractfile(member) if member.isreg() else None
            _extract_member(member.name, member.isdir(), source, to_path)


def _extract_zip(from_path: Path, to_path: Path) -> None:
    with zipfile.ZipFile(from_path) as archive:
        for member in archive.infolist():
            source = None if member.is_dir() else archive.open(member)
            _extract_member(member.filename, member.is_dir(), source, to_path)


def extract_archive(
    from_path: Path, to_path: Path | None = None, remove_finished: bool = False
) -> Path:
    """Unpacks ``.tar``, ``.tar.gz``, ``.zip``, ``.gz`` and the like, by the file's name.

    Returns the folder, or the file where only a compression had to be undone.

    Raises:
        RuntimeError: an unknown suffix, or a member that is a link or lies outside of ``to_path``.
    """
    to_path = os.path.dirname(from_path) if to_path is None else to_path
    suffix, archive, compression = _detect_file_type(from_path)
    result: Path = to_path
    if archive == ".tar":
        _extract_tar(from_path, to_path)
    elif archive == ".zip":
        _extract_zip(from_path, to_path)
    else:
        assert compression is not None  # else _detect_file_type would have raised
        name = os.path.basename(from_path)
        result = os.path.join(to_path, name[: -len(suffix)])
        with _OPENERS[compression](from_path, "rb") as source, _written_whole(result) as out:
            shutil.copyfileobj(source, out)
    if remove_finished:
        os.remove(from_path)
    return os.fspath(result) if isinstance(from_path, str) else pathlib.Path(result)


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
        names = "', '".join(map(str, valid_values))
        raise ValueError(
            custom_msg
            or f"Unknown value '{value}' for argument {arg}. Valid values are {{'{names}'}}."
        )
    return value
