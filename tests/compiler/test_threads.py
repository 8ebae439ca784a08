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


def test_after_a_stall_the_caller_works_alone_for_a_while(monkeypatch):
    pool, clock = threads.POOL, [0.0]
    took = iter([0.001, 0.5, *[0.002] * 40])
    pool.start(2)
    monkeypatch.setattr(pool, "_best", {})
    monkeypatch.setattr(pool, "_alone", 0)
    monkeypatch.setattr(pool, "_penalty", threads._ALONE[0])
    monkeypatch.setattr(threads, "perf_counter", lambda: clock[0])

    def run(*args):
        clock[0] += next(took)
        return 0

    monkeypatch.setattr(pool, "_run", run)
    workers = []
    for _ in range(4 + threads._ALONE[0]):
        pool.start(2)
        workers.append(pool._words[threads.LIMIT])
        pool.run(1, None, None, 0, 1)
    assert workers == [1, 1, *[0] * threads._ALONE[0], 1, 1]
