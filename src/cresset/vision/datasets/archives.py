"""Unpacking an archive that nobody vouches for.

Members are unpacked one by one, never by ``extractall``, into a hidden folder inside the target;
when all are there, they are moved to their places, whole folders at once where there were none.
What must stay true: nothing is written outside of the target, whatever the names and links in the
archive; an archive that is refused, or a process that is killed, leaves nothing that looks
unpacked; nothing but files, folders and links that stay inside is made; and an archive cannot fill
the disk or the memory with what it claims to hold. Links come last, so that no member can be
written through a link of the same archive.
"""

from __future__ import annotations

import bz2
import contextlib
import fcntl
import gzip
import lzma
import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from cresset.serialization.replacing import replacing
from cresset.vision.datasets.integrity import Path

#: An archive may unpack to this many times its size, and in any case to SMALL bytes. Images and
#: text reach some 20; deflate cannot pass 1032, which only a file of one byte repeated comes near.
MAX_RATIO = 250
SMALL = 1 << 30
CHUNK = 1 << 16
#: No header of an archive needs more at once.
LARGEST_HEADER = 1 << 20
MEMBER = 512  # what a member costs on the disk beside its content

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


class _Budget:
    """The bytes that an archive may still unpack to."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive = archive
        self.limit = max(SMALL, MAX_RATIO * os.path.getsize(archive))
        self.why = f"{MAX_RATIO} times its size, as a zip bomb would"
        free = shutil.disk_usage(folder).free
        if free < self.limit:
            self.limit, self.why = free, "is free on the disk"
        self.left = self.limit

    def check(self, size: int) -> None:
        """Raises unless ``size`` more bytes may come."""
        if size > self.left:
            raise RuntimeError(
                f"'{self.archive}' unpacks to more than {self.limit} bytes, which is more than "
                f"{self.why}. Where that is meant, unpack it by hand."
            )

    def spend(self, size: int) -> None:
        self.check(size)
        self.left -= size

    def copy(self, source: IO[bytes], out: IO[bytes]) -> None:
        while chunk := source.read(CHUNK):
            self.spend(len(chunk))
            out.write(chunk)


class _Headers:
    """A file for ``tarfile``, which takes a header's word for how much to read at once."""

    def __init__(self, file: IO[bytes], budget: _Budget) -> None:
        self.file, self.budget = file, budget
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes in '{self.budget.archive}'")
        return self.file.read(size)

    def seek(self, place: int) -> int:
        # On the way there, everything is unpacked.
        self.budget.check(place - self.tell())
        return self.file.seek(place)


@contextlib.contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Turns the many errors of the decoders into one; those that say what is wrong pass."""
    try:
        yield
    except NotImplementedError as error:  # a kind of RuntimeError
        raise RuntimeError(f"'{archive}' cannot be unpacked: {error}") from error
    except (OSError, RuntimeError, EOFError, tarfile.TarError, zipfile.BadZipFile):
        raise
    except Exception as error:
        raise RuntimeError(f"'{archive}' is damaged: {error!r}") from error


@contextlib.contextmanager
def _workshop(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty hidden folder inside ``folder``, gone in the end.

    Its lock goes with the process, so that what a killed one left can be told and cleared away.
    """
    for left in folder.glob(".cresset-*.unpacking"):
        with contextlib.suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        while True:
            made = tempfile.mkdtemp(prefix=".cresset-", suffix=".unpacking", dir=folder)
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            try:
                stack.enter_context(_locked(pathlib.Path(made)))
            except (FileNotFoundError, BlockingIOError):
                continue  # another process took it for left over before it was locked
            except OSError:
                pass  # a file system without locks, where nothing is cleared away
            break
        yield pathlib.Path(made)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds the lock of a folder; an OSError if another process does, or it is gone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)
        yield
    finally:
        os.close(handle)


def _move_in(source: pathlib.Path, target: pathlib.Path, inside: pathlib.Path) -> None:
    """Moves what is in one folder into another, over the files that are there."""
    for entry in sorted(source.iterdir()):
        to = target / entry.name
        try:
            os.replace(entry, to)
        except OSError:  # of two folders, unless one is empty
            if entry.is_symlink() or not (entry.is_dir() and to.is_dir()):
                raise
            if not to.resolve().is_relative_to(inside):
                raise RuntimeError(
                    f"the archive's folder '{entry.name}' lies outside of {inside}"
                ) from None
            _move_in(entry, to, inside)


def _place_for(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Where a member goes. Symbolic links on the way are followed before the check."""
    inside = folder.resolve()
    target = (inside / name).resolve()
    if target != inside and inside not in target.parents:
        raise RuntimeError(f"the archive's member '{name}' lies outside of the target folder")
    return target


def _extract_file(name: str, source: IO[bytes], folder: pathlib.Path, budget: _Budget) -> None:
    target = _place_for(name, folder)
    if target.is_dir():
        raise RuntimeError(f"the archive's member '{name}' is a file and a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, open(target, "wb") as out:
        budget.copy(source, out)


def _make_link(member: tarfile.TarInfo, folder: pathlib.Path) -> None:
    """A symbolic link that climbs no higher than ``folder`` and only at its beginning."""
    place = pathlib.PurePath(member.name)
    inside, parent = folder.resolve(), _place_for(str(place.parent), folder)
    to = pathlib.PurePosixPath(member.linkname)
    climbs = next((i for i, part in enumerate(to.parts) if part != ".."), len(to.parts))
    too_high = climbs > len(parent.relative_to(inside).parts)
    if to.is_absolute() or too_high or ".." in to.parts[climbs:] or place.name in ("", ".."):
        raise RuntimeError(f"the archive's link '{member.name}' leads outside of the target folder")
    parent.mkdir(parents=True, exist_ok=True)
    link = parent / place.name
    if link.is_symlink():
        link.unlink()
    link.symlink_to(to)


def _extract_tar(
    from_path: Path, folder: pathlib.Path, compression: str | None, budget: _Budget
) -> None:
    opened = _OPENERS[compression](from_path, "rb") if compression else open(from_path, "rb")
    links = []
    stream: Any = _Headers(opened, budget)
    with opened, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            budget.spend(MEMBER)
            if member.isdir():
                _place_for(member.name, folder).mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                budget.check(member.size)
                source = tar.extractfile(member)
                assert source is not None  # as it is a regular file
                _extract_file(member.name, source, folder, budget)
            elif member.issym() or member.islnk():
                links.append(member)
            else:
                raise RuntimeError(
                    f"the archive's member '{member.name}' is neither a file nor a folder"
                )
            tar.members = []  # else a million small members stay in memory
    for member in links:  # hard links first: their names mean members, not what a link leads to
        if member.islnk():
            _extract_file(member.name, _linked_file(member, folder), folder, budget)
    for member in links:
        if member.issym():
            _make_link(member, folder)


def _linked_file(member: tarfile.TarInfo, folder: pathlib.Path) -> IO[bytes]:
    """What a hard link stands for, to be copied."""
    source = _place_for(member.linkname, folder)
    if not source.is_file():
        raise RuntimeError(
            f"the archive's link '{member.name}' leads to '{member.linkname}', which is no file"
        )
    return open(source, "rb")


def _extract_zip(from_path: Path, folder: pathlib.Path, budget: _Budget) -> None:
    with zipfile.ZipFile(from_path) as archive:
        members = archive.infolist()
        budget.check(sum(MEMBER + member.file_size for member in members))
        for member in members:
            budget.spend(MEMBER)
            if member.is_dir():
                _place_for(member.filename, folder).mkdir(parents=True, exist_ok=True)
            else:
                _extract_file(member.filename, archive.open(member), folder, budget)


def extract_archive(
    from_path: Path, to_path: Path | None = None, remove_finished: bool = False
) -> Path:
    """Unpacks ``.tar``, ``.tar.gz``, ``.zip``, ``.gz`` and the like, by the file's name.

    What is in ``to_path`` stays, except for files that are in the archive too. Returns the folder,
    or the file where only a compression had to be undone.

    Raises:
        RuntimeError: an unknown suffix; a member that lies outside of ``to_path``, leads there, or
            is a device; more content than an archive of this size, or this disk, should have; or
            damage, for which also EOFError, ``tarfile.TarError`` and ``zipfile.BadZipFile`` stand.
    """
    to_path = os.path.dirname(from_path) if to_path is None else to_path
    suffix, archive, compression = _detect_file_type(from_path)
    folder = pathlib.Path(to_path)
    folder.mkdir(parents=True, exist_ok=True)
    budget = _Budget(from_path, folder)
    result: Path = to_path
    if archive is not None:
        with _workshop(folder) as workshop, _damage_named(from_path):
            if archive == ".tar":
                _extract_tar(from_path, workshop, compression, budget)
            else:
                _extract_zip(from_path, workshop, budget)
            _move_in(workshop, folder, folder.resolve())
    else:
        assert compression is not None  # else _detect_file_type would have raised
        result = os.path.join(to_path, os.path.basename(from_path)[: -len(suffix)])
        opened = _OPENERS[compression](from_path, "rb")
        with _damage_named(from_path), opened as source, replacing(result) as out:
            budget.copy(source, out)
    if remove_finished:
        os.remove(from_path)
    return os.fspath(pathlib.Path(result)) if isinstance(from_path, str) else pathlib.Path(result)
