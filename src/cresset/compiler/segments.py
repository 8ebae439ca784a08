"""The text of a segment: the function that runs neighbouring kernels, on one thread or on several.

On one thread it is a list of calls. On several, every thread runs the same function, which goes
through *stages*: kernels that are too small to cut run one after the other as a single piece, a
larger one is a stage of its own, cut into pieces. See ``threads.py`` for who takes which.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cresset.compiler.threads import COUNTERS, FAILED, MOST_STAGES, STAGE, declarations, pause

#: Where a NumPy array object keeps the address of its first element: right behind the header.
_DATA = object.__basicsize__


class Use(NamedTuple):
    """A value as a kernel's argument: a run-time number, a place in the arena, or an object."""

    kind: str
    number: int


class Invocation(NamedTuple):
    """One kernel called by a segment."""

    name: str
    arguments: tuple[Use, ...]
    pieces: int
    #: Where its scratch memory begins in the arena, how much all pieces share, and how much each
    #: has for itself behind that.
    scratch: tuple[int, int, int]
    #: It can reject values: then the segment ends early.
    fails: bool


def _stages(calls: list[Invocation]) -> list[list[Invocation]]:
    """Neighbours that are not cut make one stage."""
    stages: list[list[Invocation]] = []
    for call in calls:
        if stages and call.pieces == 1 and stages[-1][-1].pieces == 1:
            stages[-1].append(call)
        else:
            stages.append([call])
    return stages


def segment(name: str, calls: list[Invocation], threads: int) -> tuple[str, int]:
    """The text of the function, and how many stages it has (0: it is for one thread)."""
    stages = _stages(calls) if threads > 1 else []
    if not any(stage[0].pieces > 1 for stage in stages) or len(stages) > MOST_STAGES:
        return _serial(name, calls), 0
    return _parallel(name, stages, threads), len(stages)


def _head(name: str) -> str:
    return f"define i32 @{name}(ptr %objects, ptr %numbers, ptr %arena, ptr %pool, i64 %me) {{"


def _serial(name: str, calls: list[Invocation]) -> str:
    lines = [_head(name)]
    for n, call in enumerate(calls):
        for piece in range(call.pieces):
            label = f"{n}_{piece}"
            lines += _call(label, call, str(piece) if call.pieces > 1 else None)
            lines.append(f"  br i1 %f{label}, label %failed, label %after{label}")
            lines.append(f"after{label}:")
    return "\n".join([*lines, "  ret i32 0", "failed:", "  ret i32 1", "}"])


def _parallel(name: str, stages: list[list[Invocation]], threads: int) -> str:
    lines = [
        _head(name),
        f"  %failed = getelementptr i64, ptr %pool, i64 {FAILED}",
        "  %caller = icmp eq i64 %me, 0",
    ]
    for s, stage in enumerate(stages):
        lines += _alone(s, stage) if stage[0].pieces == 1 else _cut(s, stage[0], threads)
        lines += [
            f"  br label %wait{s}",
            f"wait{s}:",
            f"  %turn{s} = phi i32 [0, %finished{s}], [%turns{s}, %round{s}]",
            f"  %have{s} = load atomic i64, ptr %done{s} acquire, align 8",
            f"  %all{s} = icmp uge i64 %have{s}, {stage[0].pieces}",
            f"  br i1 %all{s}, label %after{s}, label %paused{s}",
            f"paused{s}:",
            f"  {pause()}",
            f"  %turns{s} = add i32 %turn{s}, 1",
            f"  %long{s} = icmp ugt i32 %turns{s}, 2000",
            f"  br i1 %long{s}, label %yield{s}, label %round{s}",
            f"yield{s}:",
            f"  %y{s} = call i32 @sched_yield()",
            f"  br label %round{s}",
            f"round{s}:",
            f"  br label %wait{s}",
            f"after{s}:",
        ]
        if any(call.fails for call in stage):
            lines += [
                f"  %bad{s} = load atomic i64, ptr %failed seq_cst, align 8",
                f"  %stop{s} = icmp ne i64 %bad{s}, 0",
                f"  br i1 %stop{s}, label %over, label %on{s}",
                f"on{s}:",
            ]
    lines.append("  ret i32 0")
    if any(call.fails for stage in stages for call in stage):
        lines += ["over:", "  ret i32 1"]
    return "\n".join([*lines, "}"])


def _alone(s: int, stage: list[Invocation]) -> list[str]:
    """A stage that the caller runs."""
    lines = [
        f"  %done{s} = getelementptr i64, ptr %pool, i64 {COUNTERS + STAGE * s}",
        f"  br i1 %caller, label %run{s}, label %finished{s}",
        f"run{s}:",
    ]
    for n, call in enumerate(stage):
        lines += _guarded(f"{s}_{n}", call, None)
    return [
        *lines,
        f"  store atomic i64 1, ptr %done{s} release, align 8",
        f"  br label %finished{s}",
        f"finished{s}:",
    ]


def _cut(s: int, call: Invocation, threads: int) -> list[str]:
    """A stage that all threads run: each begins with its own pieces and goes on round."""
    pieces = call.pieces
    return [
        f"  %done{s} = getelementptr i64, ptr %pool, i64 {COUNTERS + STAGE * s}",
        f"  %own{s} = mul i64 %me, {max(1, pieces // threads)}",
        f"  br label %begin{s}",
        f"begin{s}:",
        f"  br label %next{s}",
        f"next{s}:",
        f"  %j{s} = phi i64 [0, %begin{s}], [%further{s}, %more{s}]",
        f"  %sum{s} = add i64 %own{s}, %j{s}",
        f"  %i{s} = urem i64 %sum{s}, {pieces}",
        f"  %n{s} = add i64 %i{s}, 1",
        f"  %flag{s} = getelementptr i64, ptr %done{s}, i64 %n{s}",
        f"  %seen{s} = load atomic i64, ptr %flag{s} monotonic, align 8",
        f"  %free{s} = icmp eq i64 %seen{s}, 0",
        f"  br i1 %free{s}, label %claim{s}, label %more{s}",
        f"claim{s}:",
        f"  %was{s} = atomicrmw xchg ptr %flag{s}, i64 1 acq_rel",
        f"  %mine{s} = icmp eq i64 %was{s}, 0",
        f"  br i1 %mine{s}, label %run{s}, label %more{s}",
        f"run{s}:",
        *_guarded(f"{s}", call, f"%i{s}"),
        f"  %one{s} = atomicrmw add ptr %done{s}, i64 1 acq_rel",
        f"  br label %more{s}",
        f"more{s}:",
        f"  %further{s} = add i64 %j{s}, 1",
        f"  %left{s} = icmp ult i64 %further{s}, {pieces}",
        f"  br i1 %left{s}, label %next{s}, label %finished{s}",
        f"finished{s}:",
    ]


def _guarded(label: str, call: Invocation, piece: str | None) -> list[str]:
    """The call; a failure is noted for all threads."""
    lines = _call(label, call, piece)
    if call.fails:
        lines.append(f"  %z{label} = zext i1 %f{label} to i64")
        lines.append(f"  %w{label} = atomicrmw or ptr %failed, i64 %z{label} seq_cst")
    return lines


def waits() -> Iterable[str]:
    """Declarations that a segment for several threads needs."""
    return (declarations(), "declare i32 @sched_yield()")


def _call(label: str, call: Invocation, piece: str | None) -> list[str]:
    """Lines that find the arguments and call the kernel; its result is ``%f{label}``."""
    lines: list[str] = []
    passed: list[Any] = []
    for n, (kind, index) in enumerate(call.arguments):
        register = f"%p{label}_{n}"
        if kind == "number":
            lines.append(f"  {register} = getelementptr double, ptr %numbers, i64 {index}")
        elif kind == "arena":
            lines.append(f"  {register} = getelementptr i8, ptr %arena, i64 {index}")
        else:
            lines.append(f"  {register}.s = getelementptr i64, ptr %objects, i64 {index}")
            lines.append(f"  {register}.o = load ptr, ptr {register}.s")
            lines.append(f"  {register}.d = getelementptr i8, ptr {register}.o, i64 {_DATA}")
            lines.append(f"  {register} = load ptr, ptr {register}.d")
        passed.append(f"ptr {register}")
    start, shared, size = call.scratch
    lines.append(f"  %h{label} = getelementptr i8, ptr %arena, i64 {start}")
    lines.append(f"  %t{label} = getelementptr i8, ptr %arena, i64 {start + shared}")
    passed.append(f"ptr %h{label}")
    if piece is None:
        passed.append(f"ptr %t{label}")
    else:
        lines.append(f"  %u{label} = mul i64 {piece}, {size}")
        lines.append(f"  %s{label} = getelementptr i8, ptr %t{label}, i64 %u{label}")
        passed += [f"ptr %s{label}", f"i64 {piece}"]
    lines.append(f"  %f{label} = call i1 @{call.name}({', '.join(passed)})")
    return lines
