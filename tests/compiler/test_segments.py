"""Tables of kernels, gone through by one thread and by several."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from cresset.compiler import build, segments, threads
from cresset.compiler.host import Module
from cresset.compiler.segments import Invocation, Use
from cresset.core.modes import PROCESS

pytestmark = pytest.mark.skipif(not PROCESS.compile, reason="nothing is compiled in this mode")

#: Adds 1 to element ``piece`` of its second argument if that is less than the number it is given,
#: else fails; writes its piece to its own memory, and 7 to what pieces share.
KERNEL = """
define i1 @count(ptr %list, i64 %piece) {
  %limit.p = load ptr, ptr %list
  %limit = load double, ptr %limit.p
  %at1 = getelementptr ptr, ptr %list, i64 1
  %counts = load ptr, ptr %at1
  %at2 = getelementptr ptr, ptr %list, i64 2
  %shared = load ptr, ptr %at2
  %at3 = getelementptr ptr, ptr %list, i64 3
  %own = load ptr, ptr %at3
  store i64 7, ptr %shared
  store i64 %piece, ptr %own
  %place = getelementptr double, ptr %counts, i64 %piece
  %old = load double, ptr %place
  %new = fadd double %old, 1.0
  store double %new, ptr %place
  %bad = fcmp ogt double %new, %limit
  ret i1 %bad
}
"""
MODULE = Module(KERNEL)
COUNT = MODULE.address("count")
TO_ARENA, TO_ARRAY = Use("arena", 0), Use("object", 1)


def _call(target=TO_ARRAY, pieces=1):
    return Invocation(COUNT, (Use("number", 1), target), pieces, (640, 64, 64))


class Memory:
    """What a plan hands to its segments."""

    def __init__(self, limit: float) -> None:
        self.array = np.zeros(16)
        self.numbers = (ctypes.c_double * 2)(0.0, limit)
        self.objects = (ctypes.c_int64 * 2)(0, id(self.array))
        self.arena = np.zeros(512)

    def run(self, calls, count):
        arena = self.arena.ctypes.data
        if count == 1:
            table = segments.serial_table(calls)
            return segments.serial()(ctypes.addressof(table), self.objects, self.numbers, arena)
        table, done = segments.staged_table(calls, count)
        address = ctypes.addressof(table)
        threads.POOL.start(count)
        return threads.POOL.run(address, self.objects, self.numbers, arena, done[-1])


@pytest.fixture(params=[1, 3])
def count(request):
    if request.param > 1 and not threads.available():
        pytest.skip("no pool of threads on this system")
    return request.param


def test_arguments_are_numbers_places_in_the_arena_and_arrays(count):
    memory = Memory(limit=9)
    assert memory.run([_call(), _call(TO_ARENA), _call(), _call(pieces=5)], count) == 0
    assert memory.array[:6].tolist() == [3, 1, 1, 1, 1, 0]
    assert memory.arena[:2].tolist() == [1, 0]


def test_each_piece_runs_once_and_has_memory_of_its_own(count):
    for _ in range(200):
        memory = Memory(limit=9)
        calls = [_call(), _call(pieces=7), _call(TO_ARENA, pieces=16), _call()]
        assert memory.run(calls, count) == 0
        assert memory.array[:8].tolist() == [3, 1, 1, 1, 1, 1, 1, 0]
        assert memory.arena[:16].tolist() == [1] * 16
        scratch = memory.arena.view(np.int64)[80:]
        assert scratch[0] == 7
        assert scratch[16 : 16 + 8 * 15 : 8].tolist() == list(range(1, 16))


def test_after_a_failure_nothing_more_runs(count):
    memory = Memory(limit=1)
    calls = [_call(pieces=4), _call(pieces=4), _call(TO_ARENA, pieces=4), _call(TO_ARENA)]
    assert memory.run(calls, count) == 1
    assert memory.array[0] == 2
    assert not memory.arena[:16].any()


def test_neighbours_that_are_not_cut_are_one_stage():
    calls = [_call(), _call(), _call(pieces=2), _call(pieces=2), _call()]
    assert segments.staged_table(calls, 2)[1] == [1, 1, 2, 3, 4]
    assert segments.staged_table([_call()] * 3, 2)[1] == [1, 1, 1]
    assert segments.staged_table([_call()] * 4, 2, {0, 2})[1] == [1, 2, 2, 3]
    assert segments.staged_table([_call(pieces=2)] * threads.MOST_STAGES, 2)[0] is not None
    assert segments.staged_table([_call(), _call(pieces=2)] * threads.MOST_STAGES, 2)[0] is None


@pytest.mark.skipif(not threads.available(), reason="no pool of threads on this system")
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_plan_that_is_left_runs_each_piece_once(workers):
    calls = [_call(), _call(pieces=7), _call(), _call(TO_ARENA, pieces=16), _call()]
    table, done = segments.staged_table(calls, workers + 1, {0})
    assert done == [1, 2, 3, 4, 5]
    for turn in range(200):
        memory = Memory(limit=9)
        assert leave(memory, table, done, workers, settled=turn % 6)
        for until in range(turn % 6, turn % 5):
            threads.POOL.wait(until)
            assert memory.array[0] >= until - (until > 3)
            assert until < 2 or memory.array[:7].tolist()[1:] == [1] * 6
            assert until < 4 or memory.arena[:16].tolist() == [1] * 16
        threads.POOL.finish()
        assert threads.POOL.left is None
        assert memory.array[:8].tolist() == [4, 1, 1, 1, 1, 1, 1, 0]
        assert memory.arena[:16].tolist() == [1] * 16
        threads.POOL.finish()  # nothing is left
        assert memory.array[0] == 4


@pytest.mark.skipif(not threads.available(), reason="no pool of threads on this system")
@pytest.mark.parametrize("workers", [0, 3])
def test_a_plan_that_fails_is_not_left(workers):
    calls = [_call(), _call(pieces=4), _call(TO_ARENA, pieces=4)]
    table, done = segments.staged_table(calls, workers + 1)
    for _ in range(50):
        memory = Memory(limit=1)
        assert not leave(memory, table, done, workers, settled=2)
        assert threads.POOL.left is None
        assert memory.array[0] == 2
        assert not memory.arena[:16].any()


def leave(memory, table, done, workers, settled=0):
    leaving = build.Leaving(table, ctypes.addressof(table), done[-1], settled, {}, workers + 1)
    arena = memory.arena.ctypes.data
    return threads.POOL.leave(
        leaving, workers + 1, memory.objects, memory.numbers, arena, (memory, table)
    )


@pytest.mark.skipif(not threads.available(), reason="no pool of threads on this system")
def test_an_interrupt_before_a_plan_has_begun_does_no_harm(monkeypatch):
    pool, memory = threads.POOL, Memory(limit=9)
    pool.start(2)
    table, done = segments.staged_table([_call(pieces=4)], 2)

    def interrupted(*args):
        raise KeyboardInterrupt

    real = pool._leave
    monkeypatch.setattr(pool, "_leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        leave(memory, table, done, 1)
    monkeypatch.setattr(pool, "_leave", real)
    pool.finish()
    assert pool.left is None and not memory.array.any()
    assert leave(memory, table, done, 1)
    pool.finish()
    assert memory.array[:4].tolist() == [1] * 4
