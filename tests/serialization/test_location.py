from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cresset
from cresset.serialization import UntypedStorage, default_restore_location

from .checkpoints import loaded, saved


@pytest.fixture
def data() -> bytes:
    return saved(cresset.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "where",
    [
        None,
        "cpu",
        b"cpu",
        cresset.device("cpu"),
        {"cuda:0": "cpu"},
        lambda storage, location: storage,
        lambda storage, location: None,
        lambda storage, location: storage.cpu(),
        lambda storage, location: storage.clone(),
        lambda storage, location: default_restore_location(storage, "cpu"),
    ],
)
def test_every_form_of_map_location_is_understood(data, where):
    assert loaded(data, map_location=where).tolist() == [1, 2, 3]


def test_the_function_receives_a_storage_of_bytes_and_its_tag(data):
    seen = []

    def look(storage, location):
        seen.append((type(storage), location, storage.nbytes(), len(storage), storage.device))
        assert storage.tolist()[:4] == [0, 0, 128, 63] and storage[3] == 63
        assert storage.element_size() == 1 and not storage.is_cuda
        return storage

    loaded(data, map_location=look)
    assert seen == [(UntypedStorage, "cpu", 12, 12, cresset.device("cpu"))]


def test_the_function_is_called_once_for_each_storage():
    tags = []
    tensor = cresset.tensor([1.0, 2.0])
    other = cresset.tensor([3.0])
    data = saved([tensor, tensor.view(2, 1), other])
    loaded(data, map_location=lambda storage, tag: tags.append(tag))
    assert tags == ["cpu", "cpu"]


def test_what_the_function_returns_must_be_a_storage(data):
    with pytest.raises(
        TypeError, match="must return an UntypedStorage or None, but got <class 'in"
    ):
        loaded(data, map_location=lambda storage, location: 3)


def test_without_a_gpu_the_error_says_what_to_do(data, monkeypatch):
    monkeypatch.delenv("CRESSET_SIMULATE_CUDA", raising=False)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
        loaded(data, map_location="cuda")


def test_an_unknown_tag_is_named(data):
    with pytest.raises(RuntimeError, match=r"don't know how to restore .* \(tagged with moon\)"):
        loaded(data, map_location="moon")


def test_a_bare_storage_goes_through():
    storage = UntypedStorage(cresset.tensor([1.0])._storage)
    again = loaded(saved(storage))
    assert type(again) is UntypedStorage and again.tolist() == [0, 0, 128, 63]


def test_tensors_of_simulated_devices_keep_their_place():
    program = """
import io
import cresset as torch
from cresset.serialization import save, load
f = io.BytesIO()
save([torch.tensor([1.0, 2.0]).to("cuda:1"), torch.tensor([3.0])], f)
def read(**kwargs):
    f.seek(0)
    parts = load(f, **kwargs)
    return [(str(p.device), p.tolist()) for p in parts]
assert read() == [("cuda:1", [1, 2]), ("cpu", [3])], read()
assert read(map_location="cpu") == [("cpu", [1, 2]), ("cpu", [3])]
assert read(map_location={"cuda:1": "cuda:0"}) == [("cuda:0", [1, 2]), ("cpu", [3])]
assert read(map_location="cuda")[1] == ("cuda:0", [3])
assert read(map_location=lambda s, tag: s.cuda(1))[1] == ("cuda:1", [3])
try:
    read(map_location="cuda:2")
except RuntimeError as error:
    assert "CUDA device 2 but torch.cuda.device_count() is 2" in str(error), error
else:
    raise AssertionError
"""
    source = str(Path(cresset.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": source, "CRESSET_SIMULATE_CUDA": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
