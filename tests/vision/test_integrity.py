"""Checksums: computed once for a file that stays, and again for one that does not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from cresset.vision.datasets import integrity

MD5 = hashlib.md5(b"content").hexdigest()


@pytest.fixture
def computed(monkeypatch: Any) -> list[Path]:
    """The files whose sums are computed, from now on."""
    paths: list[Path] = []
    original = integrity.calculate_md5
    monkeypatch.setattr(
        integrity, "calculate_md5", lambda path: (paths.append(path), original(path))[1]
    )
    monkeypatch.setattr(integrity, "_KNOWN", {})
    return paths


def test_sums_are_md5s(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    assert integrity.calculate_md5(tmp_path / "x", chunk_size=3) == MD5
    assert integrity.check_md5(str(tmp_path / "x"), MD5)
    assert MD5 == "9a0364b9e99bb480dd25e1f0284c8555"


def test_a_file_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    assert not integrity.check_integrity(tmp_path / "none")
    assert not integrity.check_integrity(tmp_path)
    (tmp_path / "x").write_bytes(b"")
    assert integrity.check_integrity(tmp_path / "x")
    assert not integrity.check_integrity(tmp_path / "x", MD5)


def test_the_sum_of_a_file_that_stays_is_computed_once(
    tmp_path: Path, computed: list[Path], monkeypatch: Any
) -> None:
    monkeypatch.setattr(integrity, "_SETTLED", 0.0)
    (tmp_path / "x").write_bytes(b"content")
    for _ in range(3):
        assert integrity.check_integrity(tmp_path / "x", MD5)
    assert not integrity.check_integrity(tmp_path / "x", "0" * 32)
    assert len(computed) == 1


def test_a_file_that_just_changed_may_change_again(tmp_path: Path, computed: list[Path]) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"content")
    assert integrity.check_integrity(file, MD5)
    with open(file, "r+b") as f:
        f.write(b"CONTENT")
    os.utime(file)
    assert not integrity.check_integrity(file, MD5)
    assert len(computed) == 2


@pytest.mark.parametrize("how", ["written", "replaced", "back in time"])
def test_a_changed_file_is_noticed(
    tmp_path: Path, computed: list[Path], monkeypatch: Any, how: str
) -> None:
    monkeypatch.setattr(integrity, "_SETTLED", 0.0)
    file = tmp_path / "x"
    file.write_bytes(b"content")
    assert integrity.check_integrity(file, MD5)
    status = os.stat(file)
    if how == "replaced":
        (tmp_path / "y").write_bytes(b"CONTENT")
        os.replace(tmp_path / "y", file)
    else:
        while os.stat(file).st_ctime_ns == status.st_ctime_ns:  # the clock of the file system ticks
            file.write_bytes(b"CONTENT")
    if how == "back in time":
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not integrity.check_integrity(file, MD5)


def test_sums_can_be_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "x").write_bytes(b"other")
    monkeypatch.setenv("CRESSET_DATASETS_CHECK", "0")
    assert integrity.check_integrity(tmp_path / "x", MD5)
    assert not integrity.check_integrity(tmp_path / "none", MD5)
