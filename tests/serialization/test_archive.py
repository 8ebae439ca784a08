from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

import cresset
from cresset.serialization import archive, archive_writer
from cresset.serialization.archive import ArchiveReader, is_archive
from cresset.serialization.archive_writer import ArchiveWriter

from .checkpoints import loaded, repacked, saved

CORRUPT = "PytorchStreamReader failed reading zip archive: failed finding central directory"


@pytest.fixture
def data() -> bytes:
    return saved({"w": cresset.tensor([1.0] * 30)})


def test_what_is_written_is_read():
    f = io.BytesIO()
    writer = ArchiveWriter(f, "net")
    writer.write("a", b"abc")
    writer.write("empty", b"")
    writer.write("numbers", np.arange(4.0))
    writer.close()
    reader = ArchiveReader(f)
    assert reader.read("a") == b"abc" and reader.read("empty") == b""
    assert np.frombuffer(reader.read("numbers")).tolist() == [0, 1, 2, 3]
    assert "a" in reader and "b" not in reader and reader.size("numbers") == 32


def test_large_records_are_aligned_too(monkeypatch):
    monkeypatch.setattr(archive_writer, "LIMIT", 300)
    large = cresset.tensor([1.0] * 400)
    data = saved([large, cresset.tensor([2.0])])
    with zipfile.ZipFile(io.BytesIO(data)) as records:
        entry = records.getinfo("archive/data/0")
    name_length, extra_length = struct.unpack_from("<26x2H", data, entry.header_offset)
    assert (entry.header_offset + 30 + name_length + extra_length) % 64 == 0
    assert loaded(data)[0].tolist() == [1.0] * 400
    torch = pytest.importorskip("torch")
    assert torch.load(io.BytesIO(data))[1].tolist() == [2.0]


def test_the_magic_number_tells_an_archive(data):
    f = io.BytesIO(data)
    assert is_archive(f) and f.tell() == 0
    assert not is_archive(io.BytesIO(b"\x80\x02.")) and not is_archive(io.BytesIO())


@pytest.mark.parametrize("keep", [0.5, 0.99, 0.01])
def test_a_truncated_file_is_called_corrupted(data, keep):
    with pytest.raises(RuntimeError, match=CORRUPT):
        loaded(data[: int(len(data) * keep)])


def test_a_flipped_bit_is_noticed(data):
    broken = bytearray(data)
    broken[data.index(b"\0\0\x80?\0\0\x80?")] ^= 1
    with pytest.raises(RuntimeError, match=r"failed reading file data/0: its checksum \(CRC-32\)"):
        loaded(bytes(broken))


def test_files_without_checksums_load(data):
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.tensor([1.0, 2.0]), f)
    finally:
        torch.serialization.set_crc32_options(True)
    assert loaded(f.getvalue()).tolist() == [1, 2]


def test_a_compressed_file_loads(data):
    packed = repacked(data, lambda records: None, zipfile.ZIP_DEFLATED)
    assert loaded(packed)["w"].tolist() == [1.0] * 30


def test_a_compressed_file_may_not_inflate_without_bound(data, monkeypatch):
    monkeypatch.setattr(archive, "most_inflated", lambda length: 1 << 16)
    zeros = repacked(data, lambda r: r.update({"archive/data/0": bytes(1 << 17)}), 8)
    with pytest.raises(RuntimeError, match="its compressed records claim .* more than the 65536"):
        loaded(zeros)


def test_other_compressions_are_refused(data):
    with pytest.raises(RuntimeError, match="compression method 12 is not supported"):
        loaded(repacked(data, lambda records: None, zipfile.ZIP_BZIP2))


def test_records_that_overlap_are_refused(data):
    """Many entries of the table of contents name the same bytes: a bomb without compression."""
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w") as bomb:
        bomb.writestr("archive/data.pkl", b"\x80\x02N." + bytes(1000))
        bomb.writestr("archive/version", b"3\n")
        first = bomb.infolist()[0]
        for i in range(50):
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.file_size = twin.compress_size = first.file_size
            bomb.filelist.append(twin)
            bomb.NameToInfo[twin.filename] = twin
        bomb._didModify = True
    with pytest.raises(RuntimeError, match="its records claim .* bytes but the file has"):
        loaded(f.getvalue())


def test_a_record_cannot_reach_beyond_the_file(data):
    """The table of contents says that a record starts near the end."""
    start = data.rindex(b"PK\x01\x02")
    entry = bytearray(data)
    entry[start + 42 : start + 46] = struct.pack("<I", len(data) - 10)
    with pytest.raises(RuntimeError, match="serialization_id: its header is|failed reading zip"):
        ArchiveReader(io.BytesIO(bytes(entry))).read(".data/serialization_id")


@pytest.mark.parametrize("gone", ["data.pkl", "data/0"])
def test_a_missing_record_is_named(data, gone):
    broken = repacked(data, lambda records: records.pop(f"archive/{gone}"))
    with pytest.raises(RuntimeError, match=f"failed locating file {gone}: file not found"):
        loaded(broken)


def test_a_file_of_the_future_is_refused(data):
    newer = repacked(data, lambda records: records.update({"archive/version": b"11\n"}))
    with pytest.raises(RuntimeError, match="file with version 11, but the maximum supported ver"):
        loaded(newer)


def test_a_file_without_a_version_is_refused(data):
    with pytest.raises(RuntimeError, match=r'Expected hasRecord\("version"\) to be true'):
        loaded(repacked(data, lambda records: records.pop("archive/version")))


def test_an_unknown_byte_order_is_refused(data):
    with pytest.raises(ValueError, match="Unknown endianness type: middle"):
        loaded(repacked(data, lambda r: r.update({"archive/byteorder": b"middle"})))


def test_a_second_root_folder_is_refused(data):
    with pytest.raises(RuntimeError, match="file in archive is not in a subdirectory archive/: o"):
        loaded(repacked(data, lambda records: records.update({"other/x": b""})))


def test_damage_anywhere_raises_only_known_errors(data):
    """Every byte of a small file inverted in turn: an error of ours, or a harmless change."""
    from pickle import UnpicklingError

    small = saved(cresset.tensor([1.0]))
    for i in range(0, len(small), 3):
        broken = bytearray(small)
        broken[i] ^= 0xFF
        try:
            loaded(bytes(broken))
        except (RuntimeError, UnpicklingError, EOFError, ValueError):
            pass
