"""Fetching a file: resumed where it was cut off, whole and right, or not at all.

The bytes gather in ``.<name>.part`` beside the target, and ``.<name>.note`` says which source and
which version of the file they are of. The part takes the target's name when it is as long as the
server said and a check passes. A later call, also one in another process after this one was killed,
goes on from the part if it can know that the rest will fit: the note has the mark (a checksum) that
is wanted now, or the same source with a version to ask the server for (``If-Range``). Otherwise it
starts anew. One process at a time writes to a part, under a lock that goes with the process.

``vision.datasets`` and ``hub`` fetch through this file; it knows neither.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO, Any

from cresset.serialization.replacing import replacing

USER_AGENT = "cresset"
ATTEMPTS = 3  # without a new byte
RETRY_AFTER = 0.5  # seconds, doubled each time
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 16


class _Progress:
    """One line on stderr: percentage, bar and megabytes. Nothing unless a terminal shows it."""

    def __init__(self, name: str, done: int, total: int | None, wanted: bool) -> None:
        self.name, self.done, self.total = name, done, total
        self.shown_at = 0.0
        self.visible = wanted and sys.stderr.isatty()

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


class Part:
    """The bytes of ``target`` that have arrived, and the note of where they are from."""

    def __init__(self, target: str, file: IO[bytes], mark: str | None) -> None:
        self.target, self.file, self.mark = target, file, mark
        self.note_path = _beside(target, "note")

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def start_anew(self, url: str, version: str | None) -> None:
        self.file.truncate(0)  # first, so that a note is never about another source's bytes
        note = {"url": url, "version": version, "mark": self.mark}
        with replacing(self.note_path) as f:
            f.write(json.dumps(note).encode())

    def fits(self, url: str) -> tuple[bool, str | None]:
        """Whether a rest from ``url`` may be put behind these bytes, and the version to ask for."""
        try:
            with open(self.note_path, "rb") as f:
                note = json.load(f)
            version = note["version"] if note["url"] == url else None
            same_mark = self.mark is not None and note["mark"] == self.mark
        except (OSError, ValueError, TypeError, KeyError):
            return False, None
        return self.size() > 0 and (same_mark or version is not None), version

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
def claimed(target: str, mark: str | None) -> Iterator[Part]:
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
                yield Part(target, f, mark)
                return


def _version(headers: Any) -> str | None:
    """What names the server's present version of a file: a strong ETag, or its date."""
    tag: str | None = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _receive(url: str, part: Part, show: bool) -> bool:
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
        progress = _Progress(os.path.basename(part.target), have, total, show)
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


def _receive_all(url: str, part: Part, show: bool) -> bool:
    """Asks until everything is here; gives up after ``ATTEMPTS`` times without a new byte."""
    failures, most, joined = 0, part.size(), False
    while True:
        try:
            return _receive(url, part, show) or joined
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


def _receive_right(url: str, part: Part, check: Callable[[str], None], show: bool) -> None:
    """Everything, checked; what two requests gave and is wrong is asked for once more, whole."""
    joined = _receive_all(url, part, show)
    while True:
        try:
            return check(part.file.name)
        except RuntimeError:
            part.file.truncate(0)
            if not joined:
                raise
        joined = False
        _receive_all(url, part, show)


def _identity(path: str) -> tuple[int, int] | None:
    """What changes when another file takes the name ``path``."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def fetch(
    url: str,
    target: str,
    check: Callable[[str], None],
    mark: str | None = None,
    progress: bool = True,
) -> None:
    """Puts the file at ``url`` in the place ``target``, over what was there.

    A connection that is lost, falls silent or is refused for a moment is tried again, and goes on
    from where it was where the server can do that.

    Args:
        url: http, https or file.
        target: the file's whole path; its folder exists.
        check: raises RuntimeError for a path whose content is wrong.
        mark: a checksum that names the content, where one is known.
        progress: show how far it is, on stderr, where that is a terminal.

    Raises:
        RuntimeError: from ``check``. The file is not kept.
        urllib.error.URLError: it cannot be fetched.
    """
    before = _identity(target)
    with claimed(target, mark) as part:
        try:
            if _identity(target) != before:
                with contextlib.suppress(RuntimeError):
                    check(target)  # fetched by a process that had the part before us
                    return part.discard()
            _receive_right(url, part, check, progress)
            part.finish()
        except BaseException:
            if not part.fits(url)[0]:
                part.discard()
            raise
