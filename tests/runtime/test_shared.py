"""Anonymous shared files: parts come back whole, memory is given back."""

from __future__ import annotations

import gc
import os
import sys

import numpy as np
import pytest

from cresset.runtime import shared

pytestmark = pytest.mark.skipif(not shared.AVAILABLE, reason="needs mmap")


@pytest.mark.parametrize(
    "parts", [[b"abc"], [b"", b"x" * 65, b"y"], [bytes(range(256)) * 5000, b"end"], [], [b""]]
)
def test_parts_lie_where_they_should(parts):
    starts, size = shared.places([len(part) for part in parts])
    fd = shared.written(parts)
    memory = shared.mapped(fd, size)
    os.close(fd)  # the mapping stays
    assert [bytes(memory[i : i + len(p)]) for i, p in zip(starts, parts, strict=True)] == parts
    assert all(start % shared.ALIGNMENT == 0 for start in starts)


def test_two_mappings_of_one_file_are_the_same_memory():
    memory = shared.SharedMemory(8)
    other = shared.SharedMemory(8, os.dup(memory.fd))
    memory.array[3] = 7
    assert other.array.tolist() == [0, 0, 0, 7, 0, 0, 0, 0]
    assert memory.identity() == other.identity() != shared.SharedMemory(8).identity()


def test_a_view_keeps_the_mapping_alive():
    fd = shared.anonymous_file(4096)
    part = shared.mapped(fd, 4096)[100:].view(np.float32)
    os.close(fd)
    gc.collect()
    part[:] = 2
    assert part.sum() == 2 * part.size


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_nothing_stays_open_when_writing_fails():
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TypeError):
        shared.written([b"abc", 5])
    with pytest.raises(OSError):
        shared.SharedMemory(1 << 62)
    assert len(os.listdir("/proc/self/fd")) == before
