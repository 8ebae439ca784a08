"""Fetching a file: from the first source that works, resumed where it was cut off, whole or not.

The bytes gather in ``.<name>.part`` beside the target, and ``.<name>.note`` says which source and
which version of the file they are of. The part takes the target's name when it is as long as the
server said and its checksum is right. A later call, also one in another process after this one was
killed, goes on from the part if it can know that the rest will fit: the note has the checksum that
is wanted now, or the same source with a version to ask the server for (``If-Range``). Otherwise it
starts anew. One process at a time writes to a part, under a lock that goes with the process.

``CRESSET_DATASETS_MIRROR`` in the environment is a URL or a folder that is asked first: MNIST's
files are looked for under ``<mirror>/MNIST/``, CIFAR10's under ``<mirror>/CIFAR10/``.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from cresset.vision.datasets.integrity import Path, check_integrity, written_whole

USER_AGENT = "cresset/vision"
ATTEMPTS = 3  # without a new byte
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


class _Progress:
    """One line on stderr: percentage, bar and megabytes. Nothing unless a terminal shows it."""

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self.name, self.done, self.total = name, done, total
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


class _Part:
    """The bytes of ``target`` that have arrived, and the note of where they are from."""

    def __init__(self, target: str, file: IO[bytes], md5: str | None) -> None:
        self.target, self.file, self.md5 = target, file, md5
        self.note_path = _beside(target, "note")

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def start_anew(self, url: str, version: str | None) -> None:
        self.file.truncate(0)  # first, so that a note is never about another source's bytes
        note = {"url": url, "version": version, "md5": self.md5}
        with written_whole(self.note_path) as f:
            f.write(json.dumps(note).encode())

    def fits(self, url: str) -> tuple[bool, str | None]:
        """Whether a rest from ``url`` may be put behind these bytes, and the version to ask for."""
        try:
            with open(self.note_path, "rb") as f:
                note = json.load(f)
            version = note["version"] if note["url"] == url else None
            same_sum = self.md5 is not None and note["md5"] == self.md5
        except (OSError, ValueError, TypeError, KeyError):
            return False, None
        return self.size() > 0 and (same_sum or version is not None), version

    def finish(self) -> None:
        """Gives the bytes the target's name."""
        os.fsync(self.file.fileno())
        os.replace(self.file.name, self.target)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.note_path)

    def discard(self) -> None:
        for path in (self.file.name, self.note_path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _beside(target: str, kind: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{kind}")


@contextlib.contextmanager
def _claimed(target: str, md5: str | None) -> Iterator[_Part]:
    """The part of ``target``, ours alone; waits while another process has it."""
    path = _beside(target, "part")
    while True:
        with open(path, "a+b", buffering=0) as f:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(f, fcntl.LOCK_EX)
            try:  # the one before us may have given the file another name
                ours = os.path.samestat(os.fstat(f.fileno()), os.stat(path))
            except FileNotFoundError:
                ours = False
            if ours:
                yield _Part(target, f, md5)
                return


def _version(headers: Any) -> str | None:
    """What names the server's present version of a file: a strong ETag, or its date."""
    tag: str | None = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _receive(url: str, part: _Part) -> bool:
    """Asks once, for the rest if there is a beginning. Whether the part is of two requests."""
    fits, version = part.fits(url)
    have = part.size() if fits else 0
    headers = {"User-Agent": USER_AGENT}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version is not None:
            headers["If-Range"] = version
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return True  # there was no rest
        part.file.truncate(0)
        raise ConnectionError("the server has fewer bytes than were received before") from error
    with response:
        if have and response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.file.truncate(0)
                raise ConnectionError("the server sent another part of the file than asked for")
        else:
            have = 0
            part.start_anew(url, _version(response.headers))
        length = response.headers.get("Content-Length")
        rest = int(length) if length else None
        total = None if rest is None else have + rest
        progress = _Progress(os.path.basename(part.target), have, total)
        try:
            while chunk := response.read1(CHUNK):  # read() would lose what came before a silence
                part.write(chunk)
                progress.advance(len(chunk))
        finally:
            progress.close()
        if total is not None and progress.done < total:  # read1 takes a cut for the end
            raise http.client.IncompleteRead(b"", total - progress.done)
    return have > 0


def _is_final(error: Exception) -> bool:
    """Whether asking again would give the same error."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in (408, 429)
    if not isinstance(error, urllib.error.URLError):
        lost = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
        return not isinstance(error, lost)
    refused = (str, FileNotFoundError, IsADirectoryError, PermissionError,
               ssl.SSLCertVerificationError)  # fmt: skip
    return isinstance(error.reason, refused)  # a str: "unknown url type" and the like


def _receive_all(url: str, part: _Part) -> bool:
    """Asks until everything is here; gives up after ``ATTEMPTS`` times without a new byte."""
    failures, most, joined = 0, part.size(), False
    while True:
        try:
            return _receive(url, part) or joined
        except Exception as error:
            failures = 0 if part.size() > most else failures + 1
            if _is_final(error):
                raise
            if failures >= ATTEMPTS:
                if isinstance(error, urllib.error.URLError):
                    raise
                raise urllib.error.URLError(error) from error
        most, joined = max(most, part.size()), True
        time.sleep(RETRY_AFTER * 2**failures)


def _fetch(url: str, target: str, md5: str | None) -> None:
    with _claimed(target, md5) as part:
        try:
            if check_integrity(target, md5):  # by a process that had the part before us
                part.discard()
                return
            joined = _receive_all(url, part)
            good = check_integrity(part.file.name, md5)
            if joined and not good:
                part.file.truncate(0)
                _receive_all(url, part)
                good = check_integrity(part.file.name, md5)
            if not good:
                part.discard()
                raise RuntimeError("File not found or corrupted.")
            part.finish()
        except BaseException:
            if not part.fits(url)[0]:
                part.discard()
            raise


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
    _fetch(url, target, md5)


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
    with _claimed(target, md5) as part:
        try:
            part.file.truncate(0)
            gdown.download(id=file_id, output=part.file.name, quiet=False, user_agent=USER_AGENT)
            if not check_integrity(part.file.name, md5):
                raise RuntimeError("File not found or corrupted.")
            os.replace(part.file.name, target)
        except BaseException:
            part.discard()
            raise
