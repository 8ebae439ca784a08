from __future__ import annotations

import io
import tarfile

import pytest

import cresset
from cresset.serialization import load

from .checkpoints import loaded, saved


def old(obj: object) -> bytes:
    return saved(obj, _use_new_zipfile_serialization=False)


def test_the_old_form_goes_through():
    whole = cresset.tensor([[1.0, 2.0], [3.0, 4.0]])
    first, second = loaded(old([whole, whole.t()]))
    assert second.tolist() == [[1, 3], [2, 4]] and second._storage is first._storage


def test_pytorch_reads_what_we_write_in_the_old_form():
    torch = pytest.importorskip("torch")
    theirs = torch.load(io.BytesIO(old({"w": cresset.tensor([1, 2]), "n": 3})))
    assert theirs["w"].tolist() == [1, 2] and theirs["n"] == 3


def test_the_old_form_loads_trusted_too():
    assert loaded(old([cresset.tensor([1.0]), range(2)]), weights_only=False)[1] == range(2)


def test_the_first_rebuild_function_is_known():
    """Files of PyTorch 0.2 and 0.3 call ``_rebuild_tensor`` with four arguments."""
    data = old(cresset.tensor([5.0, 6.0]))
    data = data.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor")
    start = data.index(b"\x89ccollections\nOrderedDict\n")
    end = data.index(b"t", start + len(b"\x89ccollections\nOrderedDict\n"))
    assert loaded(data[:start] + data[end:]).tolist() == [5, 6]


@pytest.mark.parametrize("missing", [5, 20])
def test_a_truncated_file_says_how_much_is_missing(missing):
    with pytest.raises(RuntimeError, match=r"unexpected EOF, expected \d+ more bytes"):
        loaded(old(cresset.tensor([1.0, 2.0, 3.0]))[:-missing])


def test_a_claim_of_much_memory_takes_none():
    data = old(cresset.tensor([1.0, 2.0, 3.0]))
    forged = data.replace(b"K\x03N", b"J\xff\xff\xff\x7fN")
    assert forged != data
    with pytest.raises(RuntimeError, match=r"unexpected EOF, expected \d{10} more bytes"):
        loaded(forged)


@pytest.mark.parametrize("weights_only", [True, False])
def test_another_pickle_is_told_by_its_magic_number(weights_only):
    with pytest.raises(RuntimeError, match="Invalid magic number; corrupt file?"):
        loaded(b"\x80\x02K\x05.", weights_only=weights_only)


def test_a_storage_of_another_size_than_claimed_is_refused():
    data = bytearray(old(cresset.tensor([1.0, 2.0, 3.0])))
    data[-20] = 2
    with pytest.raises(RuntimeError, match="storage has wrong size: expected 3 got 2"):
        loaded(bytes(data))


def test_a_storage_without_numbers_is_refused():
    data = old(cresset.tensor([1.0]))
    start = data.rindex(b"\x80\x02]q")
    assert data[start:].startswith(b"\x80\x02]q\x00X\x01\x00\x00\x000q\x01a.")
    with pytest.raises(RuntimeError, match="the list of storages is not that of the object"):
        loaded(data[:start] + b"\x80\x02]." + data[start:])


def test_the_tar_form_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.pth", "w") as tar:
        tar.add(__file__, "storages")
    with pytest.raises(RuntimeError, match="files saved in the legacy .tar format"):
        load(tmp_path / "x.pth")


def test_the_memory_map_needs_the_new_form(tmp_path):
    path = tmp_path / "x.t7"
    path.write_bytes(old(cresset.tensor([1.0])))
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        load(path, mmap=True)


def test_a_value_looked_at_too_early_is_an_error_not_a_zero():
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.save(torch.tensor([1 + 2j]).conj(), f, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="looked at before the file is read to its end"):
        loaded(f.getvalue())
