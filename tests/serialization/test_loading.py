from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import cresset
from cresset.nn.parameter import Parameter
from cresset.serialization import load, save

from .checkpoints import GOLDEN, loaded, repacked, saved, with_pickle


@pytest.fixture(params=["zip.pt", "legacy.t7"])
def golden(request):
    return load(GOLDEN / request.param)


def test_all_dtypes_that_pytorch_wrote_load(golden):
    for name, tensor in golden["dtypes"].items():
        assert tensor.dtype is getattr(cresset, name)
        expected = np.arange(6).reshape(2, 3).astype(bool if name == "bool" else complex)
        assert (np.array(tensor.tolist()) == expected).all(), name


def test_views_that_pytorch_wrote_share_one_storage(golden):
    whole, view, row = golden["whole"], golden["view"], golden["row"]
    assert whole._storage is view._storage is row._storage
    assert (view.stride(), view.storage_offset()) == ((1, 4), 1)
    assert view.tolist() == [[1, 5, 9], [2, 6, 10], [3, 7, 11]]
    row.numpy()[:] = 0
    assert whole.tolist()[1] == [0, 0, 0, 0]


def test_shapes_at_the_edge_load(golden):
    assert golden["scalar"].shape == () and golden["scalar"].item() == 2.5
    assert golden["empty"].shape == (0, 3)
    assert golden["expanded"].stride() == (0,) and golden["expanded"].tolist() == [1, 1, 1, 1]


def test_plain_values_that_pytorch_wrote_load(golden):
    plain = [1, -5, 2**70, 1.5, "é", b"a\xff", None, True, (1, 2), {3}, 1j]
    assert golden["plain"] == plain
    size, device, dtype, layout = golden["torch"]
    assert type(size) is cresset.Size and size == (2, 3)
    assert device is cresset.device("cuda:1") and dtype is cresset.bfloat16
    assert repr(layout) == "torch.strided"
    assert type(golden["state"]) is OrderedDict


def test_parameters_that_pytorch_wrote_are_parameters(golden):
    parameter = golden["parameter"]
    assert type(parameter) is Parameter and parameter.requires_grad


def test_a_conjugated_view_loads_with_its_values():
    assert load(GOLDEN / "zip.pt")["conj"].tolist() == [1 - 2j]


def test_what_pytorch_saves_now_loads_both_ways(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.randn(4, 3)
    path = tmp_path / "w.pt"
    torch.save({"w": weight, "t": weight.t()}, path)
    ours = load(path)
    assert ours["w"].tolist() == weight.tolist() and ours["t"]._storage is ours["w"]._storage
    save(ours, path)
    again = torch.load(path)
    assert torch.equal(again["w"], weight) and again["t"].data_ptr() == again["w"].data_ptr()


def test_the_memory_map_reads_and_writes_only_a_copy(tmp_path):
    path = tmp_path / "w.pt"
    save(cresset.tensor([1.0, 2.0]), path)
    before = path.read_bytes()
    tensor = load(path, mmap=True)
    tensor.numpy()[:] = 5
    assert tensor.tolist() == [5, 5] and path.read_bytes() == before


def test_the_memory_map_needs_a_path():
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap arg"):
        loaded(saved(1), mmap=True)


def test_a_missing_file_is_file_not_found():
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        load("/nowhere/x.pt")


@pytest.mark.parametrize("weights_only", [True, False])
def test_an_empty_file_is_end_of_file(weights_only):
    with pytest.raises(EOFError, match="Ran out of input"):
        loaded(b"", weights_only=weights_only)


def test_files_that_cannot_seek_are_refused():
    class Pipe:
        def read(self, n: int = -1) -> bytes:
            return b""

    with pytest.raises(AttributeError, match="You can only torch.load from a file that is seek"):
        load(Pipe())


def test_an_unpickler_of_ones_own_excludes_weights_only():
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_mod"):
        loaded(saved(1), pickle_module=pickle, weights_only=True)


def test_an_unpickler_of_ones_own_is_used():
    assert loaded(saved([range(3)]), pickle_module=pickle) == [range(3)]


def test_the_environment_can_force_safe_loading(monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(pickle.UnpicklingError, match="GLOBAL range was not an allowed global"):
        loaded(saved(range(3)), weights_only=False)


def test_arguments_of_the_unpickler_warn_when_they_do_nothing():
    with pytest.warns(UserWarning, match="pickle_load_args only works if `weights_only=False`"):
        loaded(saved(1), encoding="ascii")


def test_a_storage_smaller_than_claimed_is_refused():
    data = repacked(
        saved(cresset.tensor([1.0, 2.0])), lambda r: r.update({"archive/data/0": b"123"})
    )
    with pytest.raises(RuntimeError, match=r"record size \(3 bytes\) does not match expected size"):
        loaded(data)


@pytest.mark.parametrize("numel", [2**31 - 1, 2**20])
def test_a_claim_of_much_memory_takes_none(numel):
    """The pickle says gigabytes, the record has 12 bytes."""
    claim = b"J" + numel.to_bytes(4, "little")
    pickled = b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
    with pytest.raises(RuntimeError, match="does not match expected size"):
        loaded(with_pickle(pickled + claim + b"tQ."))


@pytest.mark.parametrize("offset, size, stride", [(0, 4, 1), (1, 3, 1), (0, 3, 2), (0, 2, 200)])
def test_a_tensor_beyond_its_storage_is_refused(offset, size, stride):
    pickled = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
        b"X\x01\0\0\x000X\x03\0\0\0cpuK\x03tQ"
        + bytes([75, offset, 75, size, 0x85, 75, stride, 0x85])
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )
    with pytest.raises(RuntimeError, match="are out of bounds for storage of size 12"):
        loaded(with_pickle(pickled))


def test_a_torchscript_archive_is_refused():
    data = repacked(saved(1), lambda r: r.update({"archive/constants.pkl": b""}))
    with pytest.raises(RuntimeError, match="Cannot use ``weights_only=True`` with TorchScript"):
        loaded(data)


def test_the_file_named_by_a_path_is_closed(tmp_path):
    path = tmp_path / "x.pt"
    save({}, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert load(path) == {}
        assert load(str(path)) == {}
    Path(path).unlink()


def test_a_file_object_stays_open():
    f = io.BytesIO(saved(3))
    assert load(f) == 3 and not f.closed
