"""Large records, read ahead by two threads."""

from __future__ import annotations

import os
import random
import threading
import zlib

import pytest

import cresset as torch
from cresset.serialization import readahead
from cresset.serialization.readahead import ReadAhead, crc32_combine


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A descriptor, and its records: name, offset, size; chunks of 1000 bytes, pieces of 64."""
    monkeypatch.setattr(readahead, "_CHUNK", 1000)
    monkeypatch.setattr(readahead, "_PIECE", 64)
    monkeypatch.setattr(readahead, "_AHEAD", 5000)
    data = random.Random(0).randbytes(40_000)
    (path := tmp_path / "data").write_bytes(data)
    sizes = [1, 64, 999, 1000, 1001, 3000, 7, 8123, 2000, 12_345]
    records, offset = [], 3
    for i, size in enumerate(sizes):
        records.append((f"r{i}", offset, size))
        offset += size + i
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor, records, data
    os.close(descriptor)


def _check(found, offset, size, data):
    out, checksum = found
    assert out.tobytes() == data[offset : offset + size]
    assert checksum == zlib.crc32(out)


@pytest.mark.parametrize("seed", range(12))
def test_records_in_any_order_each_once(file, seed):
    descriptor, records, data = file
    reader = ReadAhead(descriptor, records)
    order = list(records)
    if seed:
        random.Random(seed).shuffle(order)
    for name, offset, size in order[: len(order) - seed % 3]:
        _check(reader.take(name), offset, size, data)
        assert reader.take(name) is None
    assert reader.take("r99") is None
    reader.close()


def test_not_more_is_read_ahead_than_was_said(file):
    descriptor, records, data = file
    reader = ReadAhead(descriptor, records)
    every = list(reader._records.values())
    _check(reader.take("r0"), *records[0][1:], data)
    reader._helper.join(0.1)
    made = [record for record in every if record.out is not None]
    assert made == every[: len(made)]
    assert 5000 <= sum(record.size for record in made[1:]) < 5000 + made[-1].size
    for record in every[len(made) :]:
        assert record.begun == 0
    reader.close()
    assert not reader._helper.is_alive()


def test_a_file_that_became_shorter_is_an_error_where_it_matters(file, tmp_path):
    descriptor, records, data = file
    os.truncate(tmp_path / "data", 20_000)
    reader = ReadAhead(descriptor, records)
    for name, offset, size in records:
        if offset + size <= 20_000:
            _check(reader.take(name), offset, size, data)
        else:
            with pytest.raises(OSError, match="became shorter while it was read"):
                reader.take(name)
    reader.close()


def test_an_interrupt_ends_the_reading(file, monkeypatch):
    descriptor, records, _ = file
    reader, real = ReadAhead(descriptor, records), readahead._read_at

    def interrupted(*args):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(readahead, "_read_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        for name, _, _ in records:
            reader.take(name)
    reader.close()
    assert not reader._helper.is_alive()


def test_a_checkpoint_of_large_tensors_comes_back(tmp_path):
    torch.manual_seed(0)
    state = {
        "a": torch.randn(3, 1 << 20), "b": torch.arange(9 << 20, dtype=torch.uint8),
        "small": torch.ones(3), "c": torch.randn(70_000), "view": None,
    }  # fmt: skip
    state["view"] = state["a"][1]
    torch.save(state, tmp_path / "state.pt")
    before = threading.active_count()
    found = torch.load(tmp_path / "state.pt")
    assert threading.active_count() == before
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor)
    found["a"][1, 0] = 7
    assert found["view"][0] == 7


@pytest.mark.parametrize("at", [0.001, 0.3, 0.99])
def test_a_flipped_bit_in_a_large_tensor_is_noticed(tmp_path, at):
    path = tmp_path / "state.pt"
    torch.save([torch.zeros(9 << 20, dtype=torch.uint8), torch.ones(1 << 20)], path)
    content = bytearray(path.read_bytes())
    start = content.index(bytes(1 << 20))
    content[start + int(at * (9 << 20))] ^= 1
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"checksum \(CRC-32\) does not match"):
        torch.load(path)


@pytest.mark.parametrize("length", [0, 1, 7, 4096, 1_000_003])
def test_checksums_of_parts_make_that_of_the_whole(length):
    first, second = random.Random(1).randbytes(1234), random.Random(2).randbytes(length)
    combined = crc32_combine(zlib.crc32(first), zlib.crc32(second), length)
    assert combined == zlib.crc32(first + second)
