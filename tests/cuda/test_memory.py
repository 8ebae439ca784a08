"""What tensors take on a device is counted when somebody asks."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset import cuda


def test_memory_is_counted_per_device_and_given_back():
    before = cuda.memory_allocated(), cuda.memory_allocated(1)
    x = torch.ones(1024, device="cuda")
    view, small = x[3:], torch.ones(1, device="cuda:1")
    pending = x * 2
    assert cuda.memory_allocated() - before[0] == 2 * 4096
    assert cuda.memory_allocated("cuda:1") - before[1] == 512
    del x, pending
    assert cuda.memory_allocated() - before[0] == 4096  # the view holds it
    del view, small
    assert (cuda.memory_allocated(0), cuda.memory_allocated(1)) == before


def test_the_peak_stays_until_it_is_reset():
    cuda.reset_peak_memory_stats()
    before = cuda.memory_allocated()
    x = torch.ones(4096, device="cuda")
    assert cuda.memory_reserved() - before == 16384
    del x
    assert cuda.max_memory_allocated() - before == 16384
    assert cuda.memory_stats()["allocated_bytes.all.peak"] == before + 16384
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == cuda.memory_allocated() == before
    assert "allocated_bytes.all.peak" in cuda.memory_summary()


def test_free_memory_is_part_of_all_memory():
    free, total = cuda.mem_get_info()
    assert 0 < free <= total
    assert torch.accelerator.get_memory_info()[1] == total


def test_out_of_memory_can_be_caught_by_its_name():
    assert issubclass(cuda.OutOfMemoryError, RuntimeError)
    for fraction, kind in ((2.0, ValueError), (1, TypeError)):
        with pytest.raises(kind):
            cuda.set_per_process_memory_fraction(fraction)
    cuda.set_per_process_memory_fraction(0.5)
