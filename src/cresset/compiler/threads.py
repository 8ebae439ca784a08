"""The thread pool: workers that wait in native code and take pieces of a running plan.

Every thread goes through a plan's segment (``segments.py``). Where a kernel can be cut, each thread
claims pieces of it, first those that are always its own (their data lies in its cache), then what
others have not begun, and waits for the pieces that are still in hand; the next kernel begins. So
the caller never waits for a worker that has not come yet, a late worker skips what is done, and
which thread runs a piece makes no difference to the result. Kernels that are not cut are the
caller's, unless it leaves. Workers spin for a while after a plan and then sleep on a futex. Where
other programs keep the processors busy, the caller works alone for a while.

The caller may *leave* a plan to the workers after some stage and do something else: then whoever
comes first takes the kernels that are not cut. It comes back to ``wait`` for a stage or to
``finish`` the plan, and then takes its part again.

The pool itself is generated code, like the plans: it needs no C compiler and holds no GIL. It runs
on Linux; elsewhere plans run on one thread.

What must stay true: nobody is inside a segment when ``run`` or ``finish`` returns (its memory may
go away), and until then the pool holds what a plan reads and writes; a forked child starts a pool
of its own; plans run one at a time.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from time import perf_counter
from typing import Any

import numpy as np

#: Words of the pool's memory, in lines of the cache by who writes them and when.
EPOCH, SLEEPERS, JOB, ANYONE, GATE, LIMIT, FAILED, COUNTERS = 0, 16, 32, 36, 37, 48, 64, 80
#: Words per stage: how many pieces are done, then a flag per piece that says it was claimed.
STAGE, MOST_STAGES = 64, 1024
MOST_PIECES = STAGE - 1
#: The gate's word: whether a plan is running, above the number of workers inside.
_OPEN = 1 << 32
#: A worker that another program keeps from running holds up the caller for whole slices of the
#: scheduler's time. After a plan that took so many seconds too long the caller runs some alone:
#: so many at first, and up to so many where the next try is no better.
_STALL, _ALONE = 0.001, (2, 1024)
#: Rounds of waiting before a worker sleeps: about 20 us and 1 ms.
_SHORT, _LONG = 1_000, 40_000

_CALLS = {"x86_64": (202, "call void @llvm.x86.sse2.pause()"),
          "aarch64": (98, "call void @llvm.aarch64.hint(i32 1)")}  # fmt: skip
_DECLARED = {"x86_64": "declare void @llvm.x86.sse2.pause()",
             "aarch64": "declare void @llvm.aarch64.hint(i32)"}  # fmt: skip


def available() -> bool:
    """Whether this system can have a pool."""
    return sys.platform == "linux" and platform.machine() in _CALLS


def pause() -> str:
    """The instruction that says: this is a loop that waits."""
    return _CALLS[platform.machine()][1]


def declarations() -> str:
    """What code that waits has to declare."""
    return _DECLARED[platform.machine()]


#: What a plan is, as arguments of a function.
_JOB = "ptr %segment, ptr %objects, ptr %numbers, ptr %arena, i64 %stages"


def _source() -> str:
    number, wait = _CALLS[platform.machine()]
    return f"""
declare i64 @syscall(i64, ...)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
{declarations()}

define void @wake(ptr %pool) {{
  %epoch = getelementptr i64, ptr %pool, i64 {EPOCH}
  %old = atomicrmw add ptr %epoch, i32 1 seq_cst
  %sleepers = getelementptr i64, ptr %pool, i64 {SLEEPERS}
  %n = load atomic i64, ptr %sleepers seq_cst, align 8
  %any = icmp ne i64 %n, 0
  br i1 %any, label %call, label %done
call:
  %r = call i64 (i64, ...) @syscall(i64 {number}, ptr %epoch, i64 129, i64 2147483647)
  br label %done
done:
  ret void
}}

define internal void @begin(ptr %pool, {_JOB}, i64 %anyone) {{
  %counters = getelementptr i64, ptr %pool, i64 {COUNTERS}
  %bytes = mul i64 %stages, {STAGE * 8}
  call void @llvm.memset.p0.i64(ptr %counters, i8 0, i64 %bytes, i1 false)
  %failed = getelementptr i64, ptr %pool, i64 {FAILED}
  %bad = load i64, ptr %failed
  %clean = icmp eq i64 %bad, 0
  br i1 %clean, label %tell, label %clear
clear:  ; only then, as the workers have this line too
  store i64 0, ptr %failed
  br label %tell
tell:
  %at.anyone = getelementptr i64, ptr %pool, i64 {ANYONE}
  store i64 %anyone, ptr %at.anyone
  %job = getelementptr i64, ptr %pool, i64 {JOB}
  store ptr %segment, ptr %job
  %job1 = getelementptr i64, ptr %job, i64 1
  store ptr %objects, ptr %job1
  %job2 = getelementptr i64, ptr %job, i64 2
  store ptr %numbers, ptr %job2
  %job3 = getelementptr i64, ptr %job, i64 3
  store ptr %arena, ptr %job3
  %gate = getelementptr i64, ptr %pool, i64 {GATE}
  store atomic i64 {_OPEN}, ptr %gate seq_cst, align 8
  %limit = getelementptr i64, ptr %pool, i64 {LIMIT}
  %allowed = load i64, ptr %limit
  %alone = icmp eq i64 %allowed, 0
  br i1 %alone, label %done, label %others
others:
  call void @wake(ptr %pool)
  br label %done
done:
  ret void
}}

define internal i32 @part(ptr %pool, i64 %me, i64 %until) {{
  %job = getelementptr i64, ptr %pool, i64 {JOB}
  %segment = load ptr, ptr %job
  %job1 = getelementptr i64, ptr %job, i64 1
  %objects = load ptr, ptr %job1
  %job2 = getelementptr i64, ptr %job, i64 2
  %numbers = load ptr, ptr %job2
  %job3 = getelementptr i64, ptr %job, i64 3
  %arena = load ptr, ptr %job3
  %result = call i32 @parallel(ptr %segment, ptr %objects, ptr %numbers, ptr %arena,
                            ptr %pool, i64 %me, i64 %until)
  ret i32 %result
}}

; What the caller calls: a plan from begin to end; its first stages, more of them, and its end.

define i32 @run(ptr %pool, {_JOB}) {{
  call void @begin(ptr %pool, {_JOB}, i64 0)
  %result = call i32 @finish(ptr %pool)
  ret i32 %result
}}

define i32 @leave(ptr %pool, {_JOB}, i64 %until) {{
  call void @begin(ptr %pool, {_JOB}, i64 1)
  %result = call i32 @part(ptr %pool, i64 0, i64 %until)
  ret i32 %result
}}

define i32 @wait_for(ptr %pool, i64 %until) {{
  %result = call i32 @part(ptr %pool, i64 0, i64 %until)
  ret i32 %result
}}

define i32 @finish(ptr %pool) {{
  %gate = getelementptr i64, ptr %pool, i64 {GATE}
  %state = load atomic i64, ptr %gate seq_cst, align 8
  %open = icmp uge i64 %state, {_OPEN}
  br i1 %open, label %go, label %none
none:  ; an interrupt came before it had begun
  ret i32 0
go:
  %result = call i32 @part(ptr %pool, i64 0, i64 {MOST_STAGES})
  %old = atomicrmw sub ptr %gate, i64 {_OPEN} seq_cst
  br label %leave
leave:
  %inside = load atomic i64, ptr %gate acquire, align 8
  %some = icmp ne i64 %inside, 0
  br i1 %some, label %wait, label %done
wait:
  {wait}
  br label %leave
done:
  ret i32 %result
}}

define ptr @work(ptr %own) {{
  ; own: the pool, then this worker's number
  %pool = load ptr, ptr %own
  %own1 = getelementptr i64, ptr %own, i64 1
  %number = load i64, ptr %own1
  %epoch = getelementptr i64, ptr %pool, i64 {EPOCH}
  %gate = getelementptr i64, ptr %pool, i64 {GATE}
  %sleepers = getelementptr i64, ptr %pool, i64 {SLEEPERS}
  %limit = getelementptr i64, ptr %pool, i64 {LIMIT}
  br label %outer
outer:
  %seen = phi i32 [0, %0], [%now, %later]
  %patience = phi i32 [{_SHORT}, %0], [%patient, %later]
  br label %spin
spin:
  %i = phi i32 [0, %outer], [%i1, %spun]
  %e = load atomic i32, ptr %epoch acquire, align 4
  %new = icmp ne i32 %e, %seen
  br i1 %new, label %go, label %spun
spun:
  {wait}
  %i1 = add i32 %i, 1
  %again = icmp ult i32 %i1, %patience
  br i1 %again, label %spin, label %sleep
sleep:
  %a = atomicrmw add ptr %sleepers, i64 1 seq_cst
  %r = call i64 (i64, ...) @syscall(i64 {number}, ptr %epoch, i64 128, i32 %seen, ptr null)
  %b = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  %e2 = load atomic i32, ptr %epoch acquire, align 4
  %new2 = icmp ne i32 %e2, %seen
  br i1 %new2, label %go, label %sleep
go:
  %now = load atomic i32, ptr %epoch acquire, align 4
  %allowed = load i64, ptr %limit
  %mine = icmp ult i64 %number, %allowed
  br i1 %mine, label %enter, label %late
enter:
  %state = load atomic i64, ptr %gate acquire, align 8
  %open = icmp uge i64 %state, {_OPEN}
  br i1 %open, label %try, label %late
try:
  %entered = add i64 %state, 1
  %swap = cmpxchg ptr %gate, i64 %state, i64 %entered seq_cst seq_cst
  %ok = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %ok, label %inside, label %enter
inside:
  %me = add i64 %number, 1
  %result = call i32 @part(ptr %pool, i64 %me, i64 {MOST_STAGES})
  %left = atomicrmw sub ptr %gate, i64 1 seq_cst
  br label %later
late:
  br label %later
later:
  ; whoever found work soon will wait longer next time
  %patient = phi i32 [{_LONG}, %inside], [%patience, %late]
  br label %outer
}}
"""


class Pool:
    """The workers of this process; started when the first plan can use them."""

    def __init__(self) -> None:
        self.address = 0
        self._memory: Any = None
        self._owns: list[Any] = []
        self._module: Any = None
        self._run: Any = None
        self._leave: Any = None
        self._wait: Any = None
        self._finish: Any = None
        self._wake: Any = None
        #: What a plan that the caller left reads and writes.
        self.left: Any = None
        #: Of that plan: its segment, when it was begun, and how many seconds the caller has waited.
        self._segment: Any = None
        self._begun = self._waited = 0.0
        self._threads: list[int] = []
        #: For how many threads, the caller's among them, there are workers.
        self._ready = 0
        #: How many may run the next plan.
        self._limit = 0
        #: The processor that the caller was on when the workers were placed.
        self._here = -1
        self._processor: Any = None
        #: The least time that each segment took, in seconds.
        self._best: dict[Any, float] = {}
        #: How many plans the caller will run alone, and how many after the next stall.
        self._alone, self._penalty = 0, _ALONE[0]

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._threads)

    def start(self, threads: int) -> None:
        """Have workers for ``threads`` threads, the caller being one of them."""
        if threads > self._ready:
            self._grow(threads)
        here = self._processor()
        if here != self._here:
            self._place(here)
        if self._alone:
            self._alone -= 1
            threads = 1
        if threads != self._limit:  # the workers read this word again and again
            self._words[LIMIT] = threads - 1
            self._limit = threads

    def _grow(self, threads: int) -> None:
        """Have workers for so many threads."""
        if self._memory is None:
            self._prepare()
        while self.count < threads - 1:
            self._spawn()
        self._ready, self._here = threads, -1

    def _prepare(self) -> None:
        from cresset.compiler import segments
        from cresset.compiler.host import Module

        self._memory = np.zeros((COUNTERS + STAGE * MOST_STAGES) * 8 + 128, np.uint8)
        self.address = -(-self._memory.ctypes.data // 128) * 128
        self._words = (ctypes.c_int64 * COUNTERS).from_address(self.address)
        self._module = Module(_source() + segments.parallel())
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._run = self._module.function("run", *[pointer] * 5, number)
        self._leave = self._module.function("leave", *[pointer] * 5, number, number)
        self._wait = self._module.function("wait_for", pointer, number)
        self._finish = self._module.function("finish", pointer)
        self._wake = self._module.function("wake", pointer)
        self._processor = ctypes.PyDLL(None).sched_getcpu

    def _spawn(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        own = (ctypes.c_int64 * 2)(self.address, self.count)
        self._owns.append(own)
        thread = ctypes.c_ulong()
        entry = ctypes.c_void_p(self._module.address("work"))
        # Signals are Python's business: a worker that inherits this mask gets none.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            failed = libc.pthread_create(ctypes.byref(thread), None, entry, own)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if failed:
            raise OSError(failed, "a worker thread could not be started")
        self._threads.append(thread.value)

    def _place(self, here: int) -> None:
        """Pin the workers to processors besides the caller's, where they would gain nothing.

        The system moves the caller now and then. A worker left on the processor that it came to
        would take turns with it, for whole slices of the scheduler's time.
        """
        self._here = here
        libc = ctypes.CDLL(None)
        others = [cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu != here]
        for thread, cpu in zip(self._threads, others):  # noqa: B905
            mask = (ctypes.c_uint64 * (cpu // 64 + 1))()
            mask[cpu // 64] = 1 << (cpu % 64)
            libc.pthread_setaffinity_np(ctypes.c_ulong(thread), ctypes.sizeof(mask), mask)

    def run(self, segment: Any, objects: Any, numbers: Any, arena: int, stages: int) -> int:
        """Run a segment with all workers that come; 1 if one of its kernels failed."""
        begin = perf_counter()
        failed = self._run(self.address, segment, objects, numbers, arena, stages)
        took = perf_counter() - begin
        self._judge(segment, took, took)
        return int(failed)

    @property
    def is_alone(self) -> bool:
        """Whether the next plans are the caller's alone, as other programs keep workers waiting."""
        return self._alone > 0

    def leave(
        self, leaving: Any, threads: int, objects: Any, numbers: Any, arena: int, held: Any
    ) -> bool:
        """Begin a plan, and leave it to the workers when nothing in it can fail any more; False if
        something did. ``held`` is what must stay alive until it is finished."""
        self.start(threads)
        self.left, self._segment, self._waited = held, leaving.address, 0.0
        self._begun = perf_counter()
        failed = self._leave(
            self.address, leaving.address, objects, numbers, arena, leaving.stages, leaving.settled
        )
        if failed:
            self.finish()
        return not failed

    def wait(self, until: int) -> None:
        """Have the first ``until`` stages of the plan that was left done."""
        if self.left is not None:
            begin = perf_counter()
            self._wait(self.address, until)
            self._waited += perf_counter() - begin

    def finish(self) -> None:
        """Have the plan that was left done, and let go of what it holds."""
        if self.left is None:
            return
        begin = perf_counter()
        self._finish(self.address)
        now = perf_counter()
        waited = self._waited + now - begin
        if waited > _STALL or self._segment not in self._best:
            self._judge(self._segment, now - self._begun, waited)
        self.left = None

    def _judge(self, segment: Any, took: float, waited: float) -> None:
        """Note the time of a plan, and how long it kept the caller: are there processors free?"""
        best = self._best.get(segment, took)
        if self._limit == 1:  # alone: no threads could be faster than their share of this
            best = max(best, took / (1 + self.count))
        elif waited > 3 * best + _STALL:
            self._alone = self._penalty
            self._penalty = min(2 * self._penalty, _ALONE[1])
        else:
            self._penalty = _ALONE[0]
        self._best[segment] = min(best, took)

    def wake(self) -> None:
        """Get sleeping workers up, for a plan that is about to run."""
        self._wake(self.address)

    def forget(self) -> None:
        """In a forked child: the workers stayed with the parent."""
        self.__init__()  # type: ignore[misc]


POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
