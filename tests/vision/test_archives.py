"""Unpacking: all of it or an error, and nothing outside of the folder, whatever an archive has."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cresset.vision.datasets import archives, utils

FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


class Member(NamedTuple):
    name: str
    content: bytes = b""
    kind: bytes = FILE
    to: str = ""


def tar_of(path: Path, *members: Member, mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content, kind, to in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, to, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def zip_of(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_archives_unpack_by_their_names(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar.gz", Member("d", kind=FOLDER), Member("d/x", b"1"))
    zip_of(tmp_path / "b.zip", ("e/y", b"2"))
    (tmp_path / "z.gz").write_bytes(gzip.compress(b"3"))
    for name in ("a.tar.gz", "b.zip", "z.gz"):
        utils.extract_archive(str(tmp_path / name), remove_finished=True)
    assert (tmp_path / "d" / "x").read_bytes() == b"1"
    assert (tmp_path / "e" / "y").read_bytes() == b"2"
    assert (tmp_path / "z").read_bytes() == b"3"
    assert not (tmp_path / "b.zip").exists()
    with pytest.raises(RuntimeError, match="Unknown compression or archive type: '.rar'"):
        utils.extract_archive(tmp_path / "x.rar")
    with pytest.raises(RuntimeError, match="has no suffixes"):
        utils.extract_archive(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "mode"),
    [("x.tar", "w"), ("x.tgz", "w:gz"), ("x.tar.bz2", "w:bz2"), ("x.tbz2", "w:bz2"),
     ("x.tbz", "w:bz2"), ("x.tar.xz", "w:xz")],
)  # fmt: skip
def test_a_tar_file_may_be_compressed_in_any_way(tmp_path: Path, name: str, mode: str) -> None:
    archive = tar_of(tmp_path / name, Member("a/b", b"1" * 3000), Member("c", b""), mode=mode)
    assert utils.extract_archive(archive, tmp_path / "in") == tmp_path / "in"
    assert files(tmp_path / "in") == ["a/b", "c"]
    assert (tmp_path / "in" / "a" / "b").read_bytes() == b"1" * 3000


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_single_file_loses_its_suffix(tmp_path: Path, suffix: str, pack: Any) -> None:
    (tmp_path / f"x.bin{suffix}").write_bytes(pack(b"content"))
    result = utils.extract_archive(str(tmp_path / f"x.bin{suffix}"))
    assert result == str(tmp_path / "x.bin")
    assert Path(result).read_bytes() == b"content"


def test_names_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    name = "n" * 255
    utils.extract_archive(tar_of(tmp_path / "x.tar.gz", Member(f"{'d/' * 100}{name}", b"1")))
    assert (tmp_path / ("d/" * 100) / name).read_bytes() == b"1"


def test_unpacking_again_replaces_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mine").write_bytes(b"mine")
    (tmp_path / "in" / "a").write_bytes(b"old and longer")
    archive = tar_of(tmp_path / "x.tar.gz", Member("a", b"new"))
    for _ in range(2):
        utils.extract_archive(archive, tmp_path / "in")
    assert (tmp_path / "in" / "a").read_bytes() == b"new"
    assert files(tmp_path / "in") == ["a", "mine"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/cresset-evil", "a/../../evil", "link/evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_outside_of_the_folder_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    if kind == "tar":
        archive = tar_of(tmp_path / "x.tar.gz", Member(name, b"evil"))
    else:
        archive = zip_of(tmp_path / "x.zip", (name, b"evil"))
    with pytest.raises(RuntimeError, match="lies outside of"):
        utils.extract_archive(archive, folder)
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/cresset-evil").exists()


def test_a_folder_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "x.tar.gz", Member("../evil", kind=FOLDER))
    with pytest.raises(RuntimeError, match="lies outside of"):
        utils.extract_archive(archive, tmp_path / "in")
    with pytest.raises(RuntimeError, match="lies outside of"):
        utils.extract_archive(zip_of(tmp_path / "x.zip", ("../evil/", b"")), tmp_path / "in")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices_in_an_archive_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "x.tgz", Member("ok", b"fine"), Member("bad", kind=kind))
    with pytest.raises(RuntimeError, match="'bad' is neither a file nor a folder"):
        utils.extract_archive(archive, tmp_path / "in")
    assert not os.path.lexists(tmp_path / "in" / "bad")


def test_links_that_stay_inside_are_made(tmp_path: Path) -> None:
    archive = tar_of(
        tmp_path / "x.tgz",
        Member("d/e/up", kind=LINK, to="../../a"),
        Member("d/there", kind=LINK, to="e"),
        Member("same", kind=HARD, to="a"),
        Member("a", b"1"),
        Member("d/e/b", b"2"),
    )
    for _ in range(2):
        utils.extract_archive(archive, tmp_path / "in")
        assert os.readlink(tmp_path / "in/d/e/up") == "../../a"
        assert (tmp_path / "in/d/e/up").read_bytes() == b"1"
        assert (tmp_path / "in/d/there/b").read_bytes() == b"2"
        assert (tmp_path / "in/same").read_bytes() == b"1"
        assert (tmp_path / "in/same").stat().st_nlink == 1


@pytest.mark.parametrize(
    "members",
    [
        [Member("l", kind=LINK, to="/etc/passwd")],
        [Member("l", kind=LINK, to="..")],
        [Member("l", kind=LINK, to="../outside")],
        [Member("d/l", kind=LINK, to="../../outside")],
        [Member("l", kind=LINK, to="d/../../outside")],
        [Member("d", kind=LINK, to="."), Member("l", kind=LINK, to="d/../outside")],
        [Member("d", kind=LINK, to="."), Member("d/d/l", kind=LINK, to="../../outside")],
        [Member("..", kind=LINK, to="outside")],
        [Member("../l", kind=LINK, to="in/a")],
        [Member("l", kind=HARD, to="/etc/passwd")],
        [Member("l", kind=HARD, to="../outside")],
        [Member("l", kind=HARD, to="nothing")],
        [Member("s", kind=LINK, to="../outside"), Member("l", kind=HARD, to="s")],
        [Member("l", kind=LINK, to=".."), Member("l/evil", b"evil")],
        [Member("l", kind=LINK, to="."), Member("l/evil", b"evil")],
    ],
)
def test_links_that_lead_outside_are_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    archive = tar_of(tmp_path / "x.tgz", Member("a", b"fine"), *members)
    for _ in range(2):  # what the first try left must not open a way for the second
        with pytest.raises((RuntimeError, OSError)):
            utils.extract_archive(archive, tmp_path / "in")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "outside", "x.tgz"]
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert files(tmp_path / "in") == []


def test_a_link_in_a_zip_file_is_a_file_with_its_text(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("l")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        out.writestr(entry, "/etc/passwd")
    utils.extract_archive(tmp_path / "x.zip", tmp_path / "in")
    assert not (tmp_path / "in" / "l").is_symlink()
    assert (tmp_path / "in" / "l").read_text() == "/etc/passwd"


ZEROS = bytes(3_000_000)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar", "x.zip", "x.gz", "x.xz", "links.tar.gz"])
def test_a_bomb_is_refused_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    monkeypatch.setattr(archives, "SMALL", 100_000)
    archive = tmp_path / name
    if name == "x.zip":
        zip_of(archive, *((f"f{i}", ZEROS[:50_000]) for i in range(60)))
    elif name == "links.tar.gz":
        links = (Member(f"l{i}", kind=HARD, to="a") for i in range(50))
        tar_of(archive, Member("a", ZEROS[:50_000]), *links)
    elif "tar" in name:
        tar_of(archive, Member("a", ZEROS), mode="w:gz" if name.endswith("gz") else "w")
    else:
        archive.write_bytes((gzip if name == "x.gz" else lzma).compress(ZEROS))  # type: ignore[attr-defined]
    if name == "x.tar":
        utils.extract_archive(archive, tmp_path / "in")  # as large as it says
        return
    with pytest.raises(RuntimeError, match="unpacks to more than .* as a zip bomb would"):
        utils.extract_archive(archive, tmp_path / "in")
    assert files(tmp_path / "in") == []


def test_more_than_the_disk_has_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    archive = zip_of(tmp_path / "x.zip", ("a", b"1" * 1001))
    with pytest.raises(RuntimeError, match="more than 1000 bytes, which is more than is free"):
        utils.extract_archive(archive, tmp_path / "in")
    assert files(tmp_path / "in") == []


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    (tmp_path / "x.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(tarfile.ReadError, match="a header of 8589934592 bytes"):
        utils.extract_archive(tmp_path / "x.tar", tmp_path / "in")


def test_a_zip_file_that_lies_about_a_size_is_an_error(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "x.zip", ("a", ZEROS[:5000]))
    raw = archive.read_bytes()
    assert raw.count(struct.pack("<I", 5000)) == 2
    archive.write_bytes(raw.replace(struct.pack("<I", 5000), struct.pack("<I", 50)))
    with pytest.raises(zipfile.BadZipFile):
        utils.extract_archive(archive, tmp_path / "in")
    assert files(tmp_path / "in") == []


@pytest.mark.parametrize("name", ["x.gz", "x.tar.gz", "x.zip"])
def test_a_broken_archive_leaves_no_half_file(tmp_path: Path, name: str) -> None:
    content = np.random.default_rng(0).bytes(100_000)
    archive = tmp_path / name
    if name == "x.zip":
        zip_of(archive, ("x", content))
    elif name == "x.gz":
        archive.write_bytes(gzip.compress(content))
    else:
        tar_of(archive, Member("x", content))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises((EOFError, zipfile.BadZipFile)):
        utils.extract_archive(archive, tmp_path / "in")
    assert files(tmp_path / "in") == []


def test_damage_that_a_decoder_meets_is_named(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3000)
    packed = bytearray(lzma.compress(content))
    packed[1000] ^= 255
    (tmp_path / "x.xz").write_bytes(packed)
    with pytest.raises(RuntimeError, match="x.xz' is damaged: LZMAError"):
        utils.extract_archive(tmp_path / "x.xz")
    raw = bytearray(zip_of(tmp_path / "x.zip", ("name", content)).read_bytes())
    for place in (8, raw.rindex(b"PK\1\2") + 10):  # the method of compression
        raw[place] = 77
    (tmp_path / "x.zip").write_bytes(raw)
    with pytest.raises(RuntimeError, match="x.zip' cannot be unpacked: That compression method"):
        utils.extract_archive(tmp_path / "x.zip")


UNPACK = """
import sys, time
from cresset.vision.datasets import archives

def half(budget, source, out):
    out.write(source.read(1000))
    out.flush()
    print("half", flush=True)
    time.sleep(60)

archives._Budget.copy = half
archives.extract_archive(*sys.argv[1:])
"""


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_a_process_killed_on_the_way_leaves_no_half_file(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    if name == "x.zip":
        zip_of(archive, ("a", b"1" * 2000))
    else:
        tar_of(archive, Member("a", b"1" * 2000))
    command = [sys.executable, "-c", UNPACK, str(archive), str(tmp_path / "in")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    (left,) = (tmp_path / "in").iterdir()
    assert left.name.startswith(".cresset-")
    utils.extract_archive(archive, tmp_path / "in")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a"]
    assert (tmp_path / "in" / "a").read_bytes() == b"1" * 2000


def test_what_another_process_is_unpacking_stays(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "x.zip", ("a", b"1"))
    with archives._workshop(tmp_path) as other:
        (other / "half").write_bytes(b"2")
        utils.extract_archive(archive)
        assert (other / "half").exists()
    assert files(tmp_path) == ["a", "x.zip"]


def test_a_refused_archive_leaves_nothing_of_itself(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_bytes(b"mine")
    archive = tar_of(tmp_path / "x.tar", Member("a", b"1"), Member("b", b"2"), Member("../c", b"3"),
                     mode="w")  # fmt: skip
    with pytest.raises(RuntimeError, match="lies outside of"):
        utils.extract_archive(archive, folder)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_bytes() == b"mine"


def test_a_folder_that_is_there_takes_in_the_archives(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "mine").write_bytes(b"mine")
    (tmp_path / "d" / "e" / "both").write_bytes(b"old")
    utils.extract_archive(zip_of(tmp_path / "x.zip", ("d/e/both", b"new"), ("d/f/g", b"1")))
    assert files(tmp_path / "d") == ["e/both", "e/mine", "f/g"]
    assert (tmp_path / "d" / "e" / "both").read_bytes() == b"new"


def test_every_damaged_byte_of_an_archive_is_unpacked_or_refused(tmp_path: Path) -> None:
    raw = tar_of(tmp_path / "x.tar", Member("a", b"1" * 30), Member("l", kind=LINK, to="a"),
                 mode="w").read_bytes()[:2048]  # fmt: skip
    folder = tmp_path / "deep" / "in"
    for place in [*range(0, 160), *range(257, 265), *range(1024, 1200, 3)]:
        damaged = bytearray(raw)
        damaged[place] ^= 0x2E ^ (raw[place] if place % 2 else 0)  # a full stop, or near
        begin = place // 512 * 512
        header = damaged[begin : begin + 512]
        header[148:156] = b" " * 8
        damaged[begin + 148 : begin + 156] = b"%06o\0 " % sum(header)  # so that it gets further
        (tmp_path / "y.tar").write_bytes(damaged)
        try:
            utils.extract_archive(tmp_path / "y.tar", folder)
        except (RuntimeError, OSError, EOFError, tarfile.TarError):
            pass
        assert [p.name for p in (tmp_path / "deep").iterdir()] == ["in"]
        shutil.rmtree(folder)
