"""The workers: where they run."""

from __future__ import annotations

import os

import pytest

from cresset.compiler import build, threads

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


@pytest.mark.parametrize("where", ["wait", "finish"])
def test_after_a_stall_of_a_plan_that_was_left_nothing_is_left_for_a_while(where, monkeypatch):
    pool, clock = threads.POOL, [0.0]
    pool.start(2)
    for name, value in (("_best", {}), ("_alone", 0), ("_penalty", threads._ALONE[0])):
        monkeypatch.setattr(pool, name, value)
    monkeypatch.setattr(threads, "perf_counter", lambda: clock[0])
    took = dict.fromkeys(("leave", "wait", "finish"), 0.0)

    def native(name):
        def function(*args):
            clock[0] += took[name]
            return 0

        return function

    for name in took:
        monkeypatch.setattr(pool, f"_{name}", native(name))

    leaving = build.Leaving(None, 1, 1, 0, {}, 2)

    def step():
        assert pool.leave(leaving, 2, None, None, 0, "held")
        assert pool.left == "held"
        clock[0] += 0.003  # what the caller does meanwhile
        pool.wait(1)
        pool.finish()
        assert pool.left is None

    for _ in range(3):
        step()
        assert not pool.is_alone
    took[where] = 0.5
    step()
    assert pool.is_alone
    for _ in range(threads._ALONE[0]):
        assert pool.is_alone
        pool.start(2)
    assert not pool.is_alone
