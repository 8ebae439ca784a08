"""Pieces of a file go to their places, directly or by way of the system's memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

import cresset
from cresset.serialization import disk, load, save
from cresset.serialization.disk import PAGE, Disk

pytestmark = pytest.mark.skipif(not hasattr(os, "pwrite"), reason="POSIX files")
CONTENT = np.random.default_rng(0).integers(0, 256, 9 * disk.LONG + 12_345, np.uint8).tobytes()


@pytest.fixture(params=["directly", "by way of memory"])
def large(request, monkeypatch):
    """Every file counts as large, or none does."""
    monkeypatch.setattr(disk, "_LARGE", 0 if request.param == "directly" else 1 << 60)
    return request.param


def written(path, cuts):
    with open(path, "wb") as f:
        out = Disk(f.fileno(), len(CONTENT))
        for start, end in zip(cuts, cuts[1:], strict=False):
            out.put(start, memoryview(CONTENT)[start:end])
        out.close()
    return path.read_bytes()


@pytest.mark.parametrize("first", [0, 1, 64, PAGE - 1, PAGE, PAGE + 1, disk.LONG + 1])
@pytest.mark.parametrize("length", [disk.LONG, disk.LONG + 1, 3 * disk.LONG + 777])
def test_pieces_of_any_length_at_any_place(tmp_path, large, first, length):
    cuts = [0, *range(first, len(CONTENT), length), len(CONTENT)]
    assert written(tmp_path / "x", sorted(set(cuts))) == CONTENT


def test_a_file_system_without_a_direct_way(tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *more, **options):
        if flags & getattr(os, "O_DIRECT", 0):
            raise OSError(22, "Invalid argument")
        return real(path, flags, *more, **options)

    monkeypatch.setattr(disk, "_LARGE", 0)
    monkeypatch.setattr(os, "open", refuse)
    assert written(tmp_path / "x", [0, 2 * disk.LONG, len(CONTENT)]) == CONTENT


def test_writes_that_end_early_go_on(tmp_path, large, monkeypatch):
    real = os.pwrite

    def some(descriptor, data, offset):
        data = memoryview(data)
        return real(descriptor, data[: max(len(data) // 2 // PAGE * PAGE, 1)], offset)

    monkeypatch.setattr(os, "pwrite", some)
    end = 2 * disk.LONG + 3 * PAGE
    assert written(tmp_path / "x", [0, disk.LONG, end])[:end] == CONTENT[:end]


def test_what_goes_wrong_is_told(tmp_path, large, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "x", list(range(0, len(CONTENT), disk.LONG)))


def test_descriptors_and_threads_are_given_back(tmp_path, large):
    import threading

    threads = threading.active_count()
    with open(tmp_path / "x", "wb") as f:
        out = Disk(f.fileno(), len(CONTENT))
        out.put(0, memoryview(CONTENT))
        direct = out._direct
        out.close()
        assert threading.active_count() == threads
        if direct is not None:
            with pytest.raises(OSError):
                os.fstat(direct)


def test_a_checkpoint_of_tensors_of_all_sizes(tmp_path, large):
    sizes = [0, 1, 1_000, 70_000, disk.LONG // 4 - 1, disk.LONG + 5, 3 * disk.LONG + 1]
    state = {str(n): cresset.arange(n) for n in sizes}
    save(state, tmp_path / "w.pt")
    found = load(tmp_path / "w.pt")
    assert all((found[name] == values).all() for name, values in state.items())
    one, other = tmp_path / "w.pt", tmp_path / "w2" / "w.pt"
    other.parent.mkdir()
    save(state, other)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("size", [0, 1, PAGE, disk._HUGE - 1, disk._HUGE, disk._HUGE + PAGE + 1])
def test_memory_that_is_given_at_once(size, small):
    target = np.empty(size, np.uint8)
    disk.in_small_pages(target.data, small)
    disk.provide(target.data)
    target[:] = 7
    disk.provide(target.data)
    disk.in_small_pages(target.data, False)
    assert (target == 7).all()
