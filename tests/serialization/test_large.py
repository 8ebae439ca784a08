"""Tensors of more than 4 GiB, without writing or reading 4 GiB: most of the file is a hole."""

from __future__ import annotations

import os
import sys
import zlib

import numpy as np
import pytest

import cresset
from cresset.serialization import archive_writer, disk, load, save

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files with holes")
LENGTH = (1 << 32) + 1000


@pytest.fixture
def holes(monkeypatch):
    """Long pieces, which hold zeros, are not written, and have no checksum."""
    put, crc32 = disk.Disk.put, zlib.crc32

    def put_short(self, offset, piece):
        if len(piece) < disk.LONG or any(piece[-4:]):
            put(self, offset, piece)

    def crc32_short(data, value=0):
        return crc32(data, value) if len(data) < 10_000 and value == 0 else 0

    monkeypatch.setattr(disk, "reserve", lambda descriptor, size: None)
    monkeypatch.setattr(disk.Disk, "put", put_short)
    monkeypatch.setattr(archive_writer.zlib, "crc32", crc32_short)


@pytest.fixture
def large(tmp_path, holes):
    path = tmp_path / "large.pt"
    values = np.zeros(LENGTH, np.uint8)  # memory that nobody has touched takes no room
    values[-3:] = 1, 2, 3
    save({"large": cresset.from_numpy(values), "after": cresset.arange(5.0)}, path)
    status = os.stat(path)
    if status.st_blocks * 512 > 100 << 20:
        pytest.skip("this disk has no files with holes")
    assert status.st_size > LENGTH
    return path


def test_a_tensor_beyond_4_gib_is_mapped(large):
    found = load(large, mmap=True)
    assert found["large"].shape == (LENGTH,)
    assert found["large"][-4:].tolist() == [0, 1, 2, 3]
    assert found["after"].tolist() == [0, 1, 2, 3, 4]


def test_pytorch_maps_it_too(large):
    torch = pytest.importorskip("torch")
    found = torch.load(large, mmap=True)
    assert found["large"].shape == (LENGTH,)
    assert found["large"][-4:].tolist() == [0, 1, 2, 3]
    assert found["after"].tolist() == [0, 1, 2, 3, 4]


def test_what_lies_behind_4_gib_is_read_without_a_map(large):
    from cresset.serialization.archive import ArchiveReader

    with open(large, "rb") as f:
        reader = ArchiveReader(f)
        assert np.frombuffer(reader.read("data/1"), "<f4").tolist() == [0, 1, 2, 3, 4]
        assert reader.offset("data/1") > 1 << 32 and reader.size("data/0") == LENGTH


def test_a_map_touches_only_what_is_used(large):
    def resident() -> int:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    load(large, mmap=True)  # whatever is imported at first use
    before = resident()
    found = load(large, mmap=True)["large"]
    assert found[10_000:20_000].sum().item() == 0
    assert resident() - before < 16 << 20
