"""The workers: where they run."""

from __future__ import annotations

import os

import pytest

from cresset.compiler import threads

pytestmark = [
    pytest.mark.skipif(not threads.available(), reason="no pool on this system"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor only"),
]


def _pinned() -> list[int]:
    """The processors of this process's threads that may run on one only."""
    masks = [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]
    return [cpu for mask in masks if len(mask) == 1 for cpu in mask]


def test_workers_leave_the_processor_that_the_caller_moved_to():
    pool = threads.POOL
    first, second, *_ = sorted(os.sched_getaffinity(0))
    pool.start(2)
    pool._place(first)
    assert _pinned() == [second]
    pool._place(second)
    assert _pinned() == [first]
