from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cresset
from cresset.serialization import safetensors as ours

safetensors = pytest.importorskip("safetensors")
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "complex64")  # fmt: skip


def tensors() -> dict:
    base = cresset.arange(6).view(2, 3)
    found = {name: base.to(getattr(cresset, name)) for name in DTYPES}
    return {**found, "empty": cresset.zeros(0, 3), "scalar": cresset.tensor(2.5), "é": base[1]}


def test_every_dtype_goes_through_a_file_and_through_bytes(tmp_path):
    path = tmp_path / "x.safetensors"
    expected = tensors()
    del expected["int64"]  # shares its memory with é
    ours.save_file(expected, path, {"made by": "a test"})
    with safetensors.safe_open(str(path), framework="np") as opened:
        assert opened.metadata() == {"made by": "a test"}
    for found in (ours.load_file(path), ours.load(ours.save(expected))):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert found[name].dtype is tensor.dtype and found[name].shape == tensor.shape
            assert found[name].tolist() == tensor.tolist(), name


def test_the_bytes_are_those_of_the_format():
    data = ours.save({"a": cresset.tensor([1.0, 2.0])})
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    assert header == {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    assert np.frombuffer(data[8 + length :], "<f4").tolist() == [1, 2]


def test_pytorch_reads_ours_and_we_read_pytorchs(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    expected = tensors()
    del expected["int64"]
    ours.save_file(expected, tmp_path / "ours")
    found = theirs.load_file(tmp_path / "ours")
    assert {k: (str(v.dtype), v.tolist()) for k, v in found.items()} == {
        k: (str(v.dtype), v.tolist()) for k, v in expected.items()
    }
    theirs.save_file(found, tmp_path / "theirs")
    again = ours.load_file(tmp_path / "theirs")
    assert {k: v.tolist() for k, v in again.items()} == {k: v.tolist() for k, v in expected.items()}
    theirs.save_file({"u": torch.zeros(2, dtype=torch.uint16)}, tmp_path / "theirs")
    with pytest.raises(RuntimeError, match="`u` is of dtype U16, which Cresset does not have"):
        ours.load_file(tmp_path / "theirs")


@pytest.mark.parametrize(
    "what, error, words",
    [
        ([1], ValueError, r"Expected a dict of \[str, torch.Tensor\] but received <class 'list'>"),
        ({"a": 1}, ValueError, "Key `a` is invalid, expected torch.Tensor but received <class 'i"),
        ({"a": cresset.ones(2, 3).t()}, ValueError, "save a non contiguous tensor: `a`"),
        ({"a": cresset.ones(2).to(cresset.complex128)}, ValueError, "which the format does not"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(what, error, words):
    with pytest.raises(error, match=words):
        ours.save(what)


def test_tensors_that_share_memory_are_refused():
    whole = cresset.ones(4)
    with pytest.raises(RuntimeError, match="Some tensors share memory: 'a' and 'b'"):
        ours.save({"a": whole, "b": whole[:2]})


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "x"
    ours.save_file({"a": cresset.ones(100)}, path)
    data = path.read_bytes()
    huge = struct.pack("<Q", 1 << 60) + data[8:]
    lying = data.replace(b"[100]", b"[900]")
    for broken in (b"", data[:20], data[:-1], huge, lying, data + b"x"):
        path.write_bytes(broken)
        with pytest.raises((safetensors.SafetensorError, OSError)):
            ours.load_file(path)
    with pytest.raises(FileNotFoundError):
        ours.load_file(tmp_path / "gone")


def test_a_failed_save_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "x"
    ours.save_file({"a": cresset.ones(1)}, path)
    with pytest.raises(TypeError):
        ours.save_file({"a": cresset.zeros(1)}, path, {"metadata": 3})
    assert ours.load_file(path)["a"].item() == 1 and os.listdir(tmp_path) == ["x"]


def test_tensors_can_be_loaded_to_a_device(tmp_path):
    ours.save_file({"a": cresset.ones(1)}, tmp_path / "x")
    assert ours.load_file(tmp_path / "x", device="cpu")["a"].device.type == "cpu"
    with pytest.raises(RuntimeError, match="torch.cuda.is_available"):
        ours.load_file(tmp_path / "x", device="cuda:0")


PROGRAM = """
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, load_model, save, save_file, save_model
assert torch.__name__ == "cresset"
tensors = {"a": torch.arange(6.).view(2, 3), "b": torch.ones(3, dtype=torch.bfloat16)}
save_file(tensors, PATH, metadata={"format": "pt"})
assert load_file(PATH)["a"].tolist() == tensors["a"].tolist()
assert load(save(tensors))["b"].dtype is torch.bfloat16
with safe_open(PATH, framework="pt") as opened:
    assert opened.get_slice("a")[:, 1].tolist() == [1, 4]
model, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
save_model(model, PATH)
assert load_model(other, PATH) == (set(), [])
assert torch.equal(model.weight, other.weight)
print("well")
"""


def test_the_librarys_own_module_works_where_cresset_is_torch(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("PATH", repr(str(tmp_path / "x"))))
    done = subprocess.run(
        [sys.executable, "-m", "cresset", str(script)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(cresset.__file__).parents[1])},
    )  # fmt: skip
    assert done.stdout == "well\n", done.stderr
