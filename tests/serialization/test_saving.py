from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest

import cresset
from cresset.serialization import disk, load, save

from .checkpoints import loaded, saved

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")  # fmt: skip


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", DTYPES)
def test_pytorch_loads_every_dtype(torch, name, zipped):
    tensor = cresset.tensor([[0, 1, 2], [3, 4, 5]], dtype=getattr(cresset, name))
    data = saved(tensor, _use_new_zipfile_serialization=zipped)
    theirs = torch.load(io.BytesIO(data))
    assert theirs.dtype is getattr(torch, name)
    assert torch.equal(theirs, torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=theirs.dtype))
    assert loaded(data).tolist() == tensor.tolist()


def test_pytorch_loads_plain_values(torch):
    obj = {
        "plain": [1, -5, 2**70, 1.5, "é", b"a\xff", b"", None, True, (1, (2,)), {3}, 1j],
        "size": cresset.tensor([[1.0]]).shape,
        "device": [cresset.device("cuda", 1), cresset.device("cpu")],
        "dtype": cresset.bfloat16,
        "layout": cresset.tensor(1).layout,
        5: bytearray(b"xy"),
    }
    theirs = torch.load(io.BytesIO(saved(obj)))
    assert theirs["plain"] == obj["plain"] and theirs[5] == b"xy"
    assert type(theirs["size"]) is torch.Size and theirs["size"] == (1, 1)
    assert theirs["device"] == [torch.device("cuda", 1), torch.device("cpu")]
    assert theirs["dtype"] is torch.bfloat16 and theirs["layout"] is torch.strided
    ours = loaded(saved(obj))
    assert ours == obj and type(ours["size"]) is cresset.Size


def test_views_are_written_once_and_share_again(torch):
    whole = cresset.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    data = saved([whole, whole.t().narrow(0, 1, 2), whole.select(0, 1)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert [n for n in archive.namelist() if "/data/" in n] == ["archive/data/0"]
    for parts in (torch.load(io.BytesIO(data)), loaded(data)):
        assert parts[1].tolist() == [[2, 5], [3, 6]] and parts[1].stride() == (1, 3)
        parts[2].numpy()[:] = 0
        assert parts[0].tolist() == [[1, 2, 3], [0, 0, 0]]


def test_one_tensor_met_twice_is_one_tensor():
    tensor = cresset.tensor([1.0])
    first, second = loaded(saved([tensor, tensor]))
    assert first is second


def test_a_dense_copy_is_written_for_values_still_pending():
    a = cresset.tensor([1.0, 2.0])
    assert loaded(saved(a * 2 + 1)).tolist() == [3, 5]


def test_requires_grad_survives(torch):
    tensor = cresset.tensor([1.0]).requires_grad_()
    for result in (torch.load(io.BytesIO(saved(tensor))), loaded(saved(tensor))):
        assert result.requires_grad and result.is_leaf


def test_a_result_of_an_op_is_a_leaf_after_loading():
    result = loaded(saved(cresset.tensor([1.0], requires_grad=True) * 2))
    assert result.requires_grad and result.grad_fn is None


def test_attributes_of_a_tensor_survive(torch):
    tensor = cresset.tensor([1.0])
    tensor.note = "mine"
    assert torch.load(io.BytesIO(saved(tensor))).note == "mine"
    assert loaded(saved(tensor)).note == "mine"


def test_the_metadata_of_a_state_dict_survives(torch):
    state = OrderedDict(w=cresset.tensor([1.0]))
    state._metadata = OrderedDict([("", {"version": 1})])
    for result in (torch.load(io.BytesIO(saved(state))), loaded(saved(state))):
        assert type(result) is OrderedDict and result._metadata == state._metadata


def test_parameters_are_parameters_on_both_sides(torch):
    nn = pytest.importorskip("cresset.nn.parameter")
    frozen = nn.Parameter(cresset.tensor([2.0]), requires_grad=False)
    named = nn.Parameter(cresset.tensor([3.0]))
    named.note = 5
    data = saved([nn.Parameter(cresset.tensor([1.0])), frozen, named])
    for parts, kind in ((torch.load(io.BytesIO(data)), torch.nn), (loaded(data), nn)):
        assert [type(p) is kind.Parameter for p in parts] == [True] * 3
        assert [p.requires_grad for p in parts] == [True, False, True]
        assert [p.tolist() for p in parts] == [[1], [2], [3]] and parts[2].note == 5


def test_a_buffer_is_a_plain_tensor_in_the_file(torch):
    nn = pytest.importorskip("cresset.nn.parameter")
    data = saved(nn.Buffer(cresset.tensor([1.0]), persistent=False))
    for result, kind in ((torch.load(io.BytesIO(data)), torch), (loaded(data), cresset)):
        assert type(result) is kind.Tensor and result.tolist() == [1]


def test_pytorch_loads_our_whole_modules_when_trusted(torch):
    nn = pytest.importorskip("cresset.nn")
    ours = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()).eval()
    theirs = torch.load(io.BytesIO(saved(ours)), weights_only=False)
    assert type(theirs[0]) is torch.nn.Linear and repr(theirs) == repr(ours)
    x = [[0.5, -1.0]]
    expected = ours(cresset.tensor(x)).tolist()[0]
    assert theirs(torch.tensor(x)).tolist()[0] == pytest.approx(expected)


def test_a_whole_module_loads_when_trusted():
    nn = pytest.importorskip("cresset.nn")
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    again = loaded(saved(model), weights_only=False)
    assert repr(again) == repr(model)
    assert again[0].weight.tolist() == model[0].weight.tolist()


def test_pytorchs_whole_modules_load_when_trusted(torch):
    nn = pytest.importorskip("cresset.nn")
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    f = io.BytesIO()
    torch.save(theirs, f)
    ours = loaded(f.getvalue(), weights_only=False)
    assert type(ours[0]) is nn.Linear and repr(ours) == repr(theirs)
    x = [[0.5, -1.0]]
    expected = theirs(torch.tensor(x)).tolist()[0]
    assert ours(cresset.tensor(x)).tolist()[0] == pytest.approx(expected)


def test_records_start_at_multiples_of_64():
    data = saved([cresset.tensor([1.0] * n) for n in (1, 7, 100)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            lengths = struct.unpack_from("<26x2H", data, entry.header_offset)
            assert (entry.header_offset + 30 + sum(lengths)) % 64 == 0, entry.filename


def test_the_records_are_those_of_pytorch(torch, tmp_path):
    ours, theirs = tmp_path / "net.pt", tmp_path / "theirs" / "net.pt"
    theirs.parent.mkdir()
    save({"w": cresset.tensor([1.0])}, ours)
    torch.save({"w": torch.tensor([1.0])}, theirs)
    with zipfile.ZipFile(ours) as a, zipfile.ZipFile(theirs) as b:
        assert a.namelist() == b.namelist()
        assert a.read("net/data.pkl") == b.read("net/data.pkl")
        assert len(a.read("net/.data/serialization_id")) == 40


def test_the_same_content_gives_the_same_file():
    assert saved({"w": cresset.tensor([1.0])}) == saved({"w": cresset.tensor([1.0])})


def test_a_path_a_string_and_a_file_get_the_same(tmp_path):
    tensor = cresset.tensor([1.0])
    save(tensor, tmp_path / "a.pt")
    save(tensor, str(tmp_path / "b.pt"))
    with open(tmp_path / "c.pt", "wb") as f:
        save(tensor, f)
    assert [load(tmp_path / n).tolist() for n in ("a.pt", "b.pt", "c.pt")] == [[1]] * 3
    assert sorted(os.listdir(tmp_path)) == ["a.pt", "b.pt", "c.pt"]


def test_an_object_with_write_and_flush_is_enough():
    class Sink:
        def __init__(self) -> None:
            self.data = b""

        def write(self, part: bytes) -> int:
            self.data += bytes(part)
            return len(part)

        def flush(self) -> None:
            pass

    sink = Sink()
    save(cresset.tensor([4.0]), sink)
    assert loaded(sink.data).tolist() == [4]


def test_a_failed_save_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "w.pt"
    save("old", path)

    class Broken:
        def __reduce__(self):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        save(Broken(), path)
    assert load(path) == "old" and os.listdir(tmp_path) == ["w.pt"]


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "w.pt"
    save("old", path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save("new", path)
    assert load(path) == "old" and os.listdir(tmp_path) == ["w.pt"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes")
def test_links_are_followed_and_modes_kept(tmp_path):
    target, link = tmp_path / "real.pt", tmp_path / "latest.pt"
    save(1, target)
    os.chmod(target, 0o640)
    link.symlink_to(target)
    save(2, link)
    assert link.is_symlink() and load(target) == 2 and target.stat().st_mode & 0o777 == 0o640


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"Parent directory .*gone does not exist\."):
        save(1, tmp_path / "gone" / "x.pt")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(RuntimeError, match="Is a directory"):
        save(1, tmp_path)


def test_neither_path_nor_file_is_refused():
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like obj"):
        save(1, 3)


def test_two_types_on_one_storage_are_refused():
    tensor = cresset.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        save([tensor, tensor.view(cresset.int32)], io.BytesIO())


def test_a_local_function_is_refused_as_by_pickle():
    with pytest.raises(AttributeError, match="Can't pickle local object"):
        save({"key": lambda x: x}, io.BytesIO())


def test_a_pickler_written_in_c_is_refused():
    class Module:
        __name__ = "fast"
        from pickle import Pickler

    with pytest.raises(TypeError, match="pickle_module 'fast' has a Pickler written in C"):
        save(1, io.BytesIO(), pickle_module=Module())


def test_a_hook_is_not_saved_and_says_so():
    tensor = cresset.tensor([1.0], requires_grad=True)
    tensor.register_hook(lambda grad: grad)
    with pytest.warns(UserWarning, match="on tensor will not be serialized"):
        data = saved(tensor)
    assert loaded(data).tolist() == [1]


def test_an_optimisers_state_dict_goes_through(torch):
    state = {
        "state": {0: {"step": cresset.tensor(3.0), "momentum_buffer": None}},
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}],
    }
    for result in (torch.load(io.BytesIO(saved(state))), loaded(saved(state))):
        assert result["param_groups"] == state["param_groups"]
        assert result["state"][0]["step"].item() == 3.0
        assert result["state"][0]["momentum_buffer"] is None


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_later_pickle_protocols_load_when_trusted(torch, protocol):
    obj = {"w": cresset.tensor([1.0]), "b": b"x"}
    data = saved(obj, pickle_protocol=protocol)
    for result in (
        torch.load(io.BytesIO(data), weights_only=False),
        loaded(data, weights_only=False),
    ):
        assert result["w"].tolist() == [1] and result["b"] == b"x"


def test_nothing_of_pytorch_is_imported(tmp_path):
    import subprocess
    import sys

    program = (
        "import sys, cresset, pickle\nfrom cresset.serialization import save, load\n"
        f"save({{'w': cresset.tensor([1.])}}, {str(tmp_path / 'x.pt')!r})\n"
        f"print(load({str(tmp_path / 'x.pt')!r}, weights_only=False)['w'].tolist())\n"
        "assert not any(m.partition('.')[0] == 'torch' for m in sys.modules)"
    )
    source = str(Path(cresset.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[1.0]\n", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's files")
def test_room_is_taken_beforehand_and_what_is_too_much_is_given_back(tmp_path, monkeypatch):
    asked = []
    reserve = disk.reserve

    def more(descriptor, size):
        asked.append(size)
        reserve(descriptor, 4 * size)

    monkeypatch.setattr(disk, "reserve", more)
    path = tmp_path / "w.pt"
    save({"w": cresset.ones(500_000), "view": cresset.ones(4)[1:]}, path)
    assert len(asked) == 1 and 2_000_016 <= asked[0] < 2_010_000
    assert 2_000_016 < path.stat().st_size < 2_010_000
    assert path.stat().st_blocks * 512 < 2_100_000
    assert load(path)["w"].sum().item() == 500_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's files")
def test_more_room_than_there_is_is_an_error_before_anything_is_written(tmp_path):
    with open(tmp_path / "x", "wb") as f:
        with pytest.raises(OSError, match="No space left on device|File too large"):
            disk.reserve(f.fileno(), 1 << 60)
        assert os.fstat(f.fileno()).st_size == 0


def test_without_that_function_a_save_does_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_fallocate", None)
    save(cresset.ones(500_000), tmp_path / "w.pt")
    assert load(tmp_path / "w.pt").sum().item() == 500_000
