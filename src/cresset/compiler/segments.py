"""Segments: runs of neighbouring kernels, called at once, on one thread or on several.

A segment is a table of numbers: which kernels, and where their arguments are found. Two functions
that are the same for all plans go through such a table, ``serial`` and ``parallel``. (They were
written out for each segment once, and LLVM spent half of its time on them where a plan has
hundreds of kernels.)

On several threads, every thread goes through the *stages*: kernels that are too small to cut run
one after the other as a single piece, a larger one is a stage of its own, cut into pieces. See
``threads.py`` for who takes which. A stage also ends where somebody may want to wait for it.

A table's words, 64 bits each:

serial      how many calls; the most arguments that one has; the calls
parallel    how many stages; the most arguments; per stage: how many calls, how many pieces, how
            many of them are each thread's own, the words of the calls, and the calls
a call      the kernel's address; its pieces; where in the arena the memory begins that the pieces
            share, where their own, and the bytes of one piece; how many arguments; per argument
            its kind, number and offset
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Collection
from typing import Any, NamedTuple

from cresset.compiler.threads import ANYONE, COUNTERS, FAILED, MOST_STAGES, STAGE, pause

#: Where a NumPy array object keeps the address of its first element: right behind the header.
_DATA = object.__basicsize__
#: Words of a table before its calls, of a stage before its calls, and of a call before its
#: arguments.
_HEAD, _STAGE, _CALL = 2, 4, 6


class Use(NamedTuple):
    """A value as a kernel's argument: a run-time number, a place in the arena, or an object."""

    kind: str
    number: int
    #: Bytes from there to its first element.
    offset: int = 0


_KINDS = {"number": 0, "arena": 1, "object": 2}


class Invocation(NamedTuple):
    """One kernel called by a segment."""

    #: Its address.
    kernel: int
    arguments: tuple[Use, ...]
    pieces: int
    #: Where its scratch memory begins in the arena, how much all pieces share, and how much each
    #: has for itself behind that.
    scratch: tuple[int, int, int]


def _stages(calls: list[Invocation], ends: Collection[int]) -> list[list[Invocation]]:
    """Neighbours that are not cut make one stage, which ends behind each call in ``ends``."""
    stages: list[list[Invocation]] = []
    for i, call in enumerate(calls):
        if stages and call.pieces == 1 and stages[-1][-1].pieces == 1 and i - 1 not in ends:
            stages[-1].append(call)
        else:
            stages.append([call])
    return stages


def serial_table(calls: list[Invocation]) -> Any:
    """The table for one thread."""
    return _table([len(calls), _most(calls), *_all(calls)])


def staged_table(
    calls: list[Invocation], threads: int, ends: Collection[int] = ()
) -> tuple[Any, list[int]]:
    """The table for several, and for each call how many stages are done when it is.

    Nothing (and no table) if there are too many stages.
    """
    stages = _stages(calls, ends)
    if len(stages) > MOST_STAGES:
        return None, []
    words = [len(stages), _most(calls)]
    for stage in stages:
        told, pieces = _all(stage), stage[0].pieces
        words += [len(stage), pieces, max(1, pieces // threads), len(told), *told]
    return _table(words), [n for n, stage in enumerate(stages, 1) for _ in stage]


def _most(calls: list[Invocation]) -> int:
    return max(len(call.arguments) for call in calls)


def _table(words: list[int]) -> Any:
    return (ctypes.c_int64 * len(words))(*words)


def _all(calls: list[Invocation]) -> list[int]:
    return [word for call in calls for word in _words(call)]


def _words(call: Invocation) -> list[int]:
    start, shared, size = call.scratch
    words = [call.kernel, call.pieces, start, start + shared, size, len(call.arguments)]
    for kind, number, offset in call.arguments:
        words += [_KINDS[kind], number, offset]
    return words


# -- what goes through a table ---------------------------------------------------------------------

_ARGUMENTS = "ptr %objects, ptr %numbers, ptr %arena"

#: ``arguments`` puts those of a call into a list, behind them the memory that its pieces share, and
#: returns where the next call is told; ``piece`` runs one piece of a call.
_COMMON = f"""
define internal ptr @arguments(ptr %call, {_ARGUMENTS}, ptr %list) noinline optsize {{
  %at.count = getelementptr i64, ptr %call, i64 5
  %count = load i64, ptr %at.count
  %first = getelementptr i64, ptr %call, i64 {_CALL}
  br label %next
next:
  %use = phi ptr [%first, %0], [%after, %found]
  %n = phi i64 [0, %0], [%n1, %found]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %find, label %done
find:
  %kind = load i64, ptr %use
  %at.number = getelementptr i64, ptr %use, i64 1
  %number = load i64, ptr %at.number
  switch i64 %kind, label %object [i64 0, label %run i64 1, label %place]
run:
  %p.run = getelementptr double, ptr %numbers, i64 %number
  br label %found
place:
  %p.place = getelementptr i8, ptr %arena, i64 %number
  br label %found
object:
  %at.object = getelementptr ptr, ptr %objects, i64 %number
  %array = load ptr, ptr %at.object
  %at.data = getelementptr i8, ptr %array, i64 {_DATA}
  %p.object = load ptr, ptr %at.data
  br label %found
found:
  %base = phi ptr [%p.run, %run], [%p.place, %place], [%p.object, %object]
  %at.offset = getelementptr i64, ptr %use, i64 2
  %offset = load i64, ptr %at.offset
  %p = getelementptr i8, ptr %base, i64 %offset
  %at.p = getelementptr ptr, ptr %list, i64 %n
  store ptr %p, ptr %at.p
  %n1 = add i64 %n, 1
  %after = getelementptr i64, ptr %use, i64 3
  br label %next
done:
  %at.start = getelementptr i64, ptr %call, i64 2
  %start = load i64, ptr %at.start
  %shared = getelementptr i8, ptr %arena, i64 %start
  %at.shared = getelementptr ptr, ptr %list, i64 %count
  store ptr %shared, ptr %at.shared
  ret ptr %use
}}

define internal i1 @piece(ptr %call, ptr %arena, ptr %list, i64 %piece) noinline optsize {{
  %kernel = load ptr, ptr %call
  %at.own = getelementptr i64, ptr %call, i64 3
  %own = load i64, ptr %at.own
  %at.size = getelementptr i64, ptr %call, i64 4
  %size = load i64, ptr %at.size
  %before = mul i64 %piece, %size
  %offset = add i64 %own, %before
  %scratch = getelementptr i8, ptr %arena, i64 %offset
  %at.count = getelementptr i64, ptr %call, i64 5
  %count = load i64, ptr %at.count
  %last = add i64 %count, 1
  %at.scratch = getelementptr ptr, ptr %list, i64 %last
  store ptr %scratch, ptr %at.scratch
  %failed = call i1 %kernel(ptr %list, i64 %piece)
  ret i1 %failed
}}
"""

_BEGIN = f"""
  %count = load i64, ptr %table
  %at.most = getelementptr i64, ptr %table, i64 1
  %most = load i64, ptr %at.most
  %room = add i64 %most, 2
  %list = alloca ptr, i64 %room
  %begin = getelementptr i64, ptr %table, i64 {_HEAD}
  br label %next
"""

#: The calls of a table one after the other; 1 as soon as one fails.
_SERIAL = f"""
define i32 @serial(ptr %table, {_ARGUMENTS}) optsize {{
{_BEGIN}
next:
  %call = phi ptr [%begin, %0], [%after, %ran]
  %n = phi i64 [0, %0], [%n1, %ran]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %prepare, label %done
prepare:
  %after = call ptr @arguments(ptr %call, {_ARGUMENTS}, ptr %list)
  %at.pieces = getelementptr i64, ptr %call, i64 1
  %pieces = load i64, ptr %at.pieces
  br label %run
run:
  %i = phi i64 [0, %prepare], [%i1, %good]
  %failed = call i1 @piece(ptr %call, ptr %arena, ptr %list, i64 %i)
  br i1 %failed, label %bad, label %good
good:
  %i1 = add i64 %i, 1
  %again = icmp ult i64 %i1, %pieces
  br i1 %again, label %run, label %ran
ran:
  %n1 = add i64 %n, 1
  br label %next
done:
  ret i32 0
bad:
  ret i32 1
}}
"""


def parallel() -> str:
    """The text of ``parallel``, which each thread runs: ``me`` is 0 for the caller, who may stop
    before stage ``until``.

    A failure is noted for all threads, and they leave together after its stage.
    """
    return f"""
{_COMMON}
declare i32 @sched_yield()

define internal i32 @parallel(ptr %table, {_ARGUMENTS}, ptr %pool, i64 %me, i64 %until) optsize {{
  %at.anyone = getelementptr i64, ptr %pool, i64 {ANYONE}
  %anyone = load i64, ptr %at.anyone
{_BEGIN}
next:
  %stage = phi ptr [%begin, %0], [%after, %on]
  %s = phi i64 [0, %0], [%s1, %on]
  %here = icmp ult i64 %s, %count
  %wanted = icmp ult i64 %s, %until
  %more = and i1 %here, %wanted
  br i1 %more, label %look, label %over
look:
  %calls = load i64, ptr %stage
  %at.pieces = getelementptr i64, ptr %stage, i64 1
  %pieces = load i64, ptr %at.pieces
  %at.words = getelementptr i64, ptr %stage, i64 3
  %words = load i64, ptr %at.words
  %first = getelementptr i64, ptr %stage, i64 {_STAGE}
  %after = getelementptr i64, ptr %first, i64 %words
  %before = mul i64 %s, {STAGE}
  %counter = add i64 %before, {COUNTERS}
  %done = getelementptr i64, ptr %pool, i64 %counter
  %failed = getelementptr i64, ptr %pool, i64 {FAILED}
  %whole = icmp eq i64 %pieces, 1
  %known = load atomic i64, ptr %done acquire, align 8
  %late = icmp uge i64 %known, %pieces
  br i1 %late, label %checked, label %kind
kind:
  br i1 %whole, label %alone, label %cut

alone:  ; the caller's, or of whoever is the first
  %free.for.all = icmp ne i64 %anyone, 0
  br i1 %free.for.all, label %take, label %mine.only
take:
  %at.taken = getelementptr i64, ptr %done, i64 1
  %taken = atomicrmw xchg ptr %at.taken, i64 1 acq_rel
  %got = icmp eq i64 %taken, 0
  br i1 %got, label %one, label %wait
mine.only:
  %caller = icmp eq i64 %me, 0
  br i1 %caller, label %one, label %wait
one:
  %call = phi ptr [%first, %take], [%first, %mine.only], [%following, %ran]
  %c = phi i64 [0, %take], [0, %mine.only], [%c1, %ran]
  %following = call ptr @arguments(ptr %call, {_ARGUMENTS}, ptr %list)
  %f = call i1 @piece(ptr %call, ptr %arena, ptr %list, i64 0)
  br i1 %f, label %note, label %ran
note:
  store atomic i64 1, ptr %failed seq_cst, align 8
  br label %ran
ran:
  %c1 = add i64 %c, 1
  %c.more = icmp ult i64 %c1, %calls
  br i1 %c.more, label %one, label %tell
tell:
  store atomic i64 1, ptr %done release, align 8
  br label %wait

cut:  ; each thread begins with its own pieces and goes on round
  %unused = call ptr @arguments(ptr %first, {_ARGUMENTS}, ptr %list)
  %at.share = getelementptr i64, ptr %stage, i64 2
  %share = load i64, ptr %at.share
  %own = mul i64 %me, %share
  br label %try
try:
  %j = phi i64 [0, %cut], [%j1, %tried]
  %sum = add i64 %own, %j
  %i = urem i64 %sum, %pieces
  %i1 = add i64 %i, 1
  %flag = getelementptr i64, ptr %done, i64 %i1
  %seen = load atomic i64, ptr %flag monotonic, align 8
  %free = icmp eq i64 %seen, 0
  br i1 %free, label %claim, label %tried
claim:
  %was = atomicrmw xchg ptr %flag, i64 1 acq_rel
  %mine = icmp eq i64 %was, 0
  br i1 %mine, label %run, label %tried
run:
  %g = call i1 @piece(ptr %first, ptr %arena, ptr %list, i64 %i)
  br i1 %g, label %mark, label %count.it
mark:
  store atomic i64 1, ptr %failed seq_cst, align 8
  br label %count.it
count.it:
  %old = atomicrmw add ptr %done, i64 1 acq_rel
  br label %tried
tried:
  %j1 = add i64 %j, 1
  %left = icmp ult i64 %j1, %pieces
  br i1 %left, label %try, label %wait

wait:  ; for pieces that are still in hand
  %turn = phi i32 [0, %take], [0, %mine.only], [0, %tell], [0, %tried], [%turn1, %round]
  %have = load atomic i64, ptr %done acquire, align 8
  %all = icmp uge i64 %have, %pieces
  br i1 %all, label %checked, label %paused
paused:
  {pause()}
  %turn1 = add i32 %turn, 1
  %long = icmp ugt i32 %turn1, 2000
  br i1 %long, label %yield, label %round
yield:
  %y = call i32 @sched_yield()
  br label %round
round:
  br label %wait
checked:
  %bad = load atomic i64, ptr %failed seq_cst, align 8
  %stop = icmp ne i64 %bad, 0
  br i1 %stop, label %broken, label %on
on:
  %s1 = add i64 %s, 1
  br label %next
over:
  ret i32 0
broken:
  ret i32 1
}}
"""


@functools.cache
def _module() -> Any:
    from cresset.compiler.host import Module

    return Module(_COMMON + _SERIAL)


@functools.cache
def serial() -> Any:
    """What goes through a table on one thread: a function of the table's address, the objects, the
    numbers and the arena."""
    return _module().function("serial", *[ctypes.c_void_p] * 4)
