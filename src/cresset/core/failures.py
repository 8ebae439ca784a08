"""What becomes of values and errors when an op of a flushed graph refuses its values.

A new value that failed, or depends on one that did, is the error from then on. A write that failed
did not happen: the storage keeps what was there before. The error is raised in the thread that
recorded the op: threads share a graph, and another one may be the first to look at a value.
"""

from __future__ import annotations

import threading
from threading import get_ident
from typing import TYPE_CHECKING, Any

from cresset.core.plan import Plan, Program, reference_plan
from cresset.core.storage import Storage, put_buffer

if TYPE_CHECKING:
    from cresset.core.graph import Graph

#: By thread: an error of an op that it recorded and another thread's flush ran.
WAITING: dict[int, BaseException] = {}


def without_failed(
    bound: list[tuple[int, Storage]], values: list[Any], older: dict[Storage, Any]
) -> list[tuple[int, Storage]]:
    """What has a value. A write that failed leaves what was there before; a new value is the
    error."""
    there = []
    for slot, storage in bound:
        value = values[slot]
        if not isinstance(value, BaseException):
            there.append((slot, storage))
            continue
        if storage in older:
            put_buffer(storage, older[storage])
        elif storage.buffer is None:
            storage.error = value
        storage.epoch = -1
    return there


def belongs_to_another(graph: Graph, plan: Plan, values: list[Any], failure: BaseException) -> bool:
    """Whether a thread that still runs recorded the op that failed; it is told at its next flush.

    Threads share the graph: one that merely looks at a value of its own must not get the error.
    """
    step = next((s for s in plan.steps if values[s.outs[0][0]] is failure), None)
    place = None if step is None else graph.places.get(step.node)
    thread = None if place is None else place[2]
    if thread is None or thread == get_ident() or thread not in _running_threads():
        return False
    failure.__traceback__ = None  # nobody was told yet
    WAITING[thread] = failure
    return True


def _running_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate()}


def raise_waiting() -> None:
    """Raise what waits for this thread, or for one that has ended, unless a value has told it."""
    running = _running_threads()
    for thread in list(WAITING):
        if thread == get_ident() or thread not in running:
            failure = WAITING.pop(thread)
            if failure.__traceback__ is None:
                raise failure


def older_versions(
    graph: Graph, plan: Plan, program: Program, values: list[Any], given: list[Any]
) -> dict[Storage, Any]:
    """After an op refused its values: storages whose last write failed, as they were before it.

    The plan kept their last versions only, so the one before is computed again.
    """
    refused = next((s for s in plan.steps if isinstance(values[s.outs[0][0]], BaseException)), None)
    if refused is None or not refused.call.op.checks_values:
        return {}  # inputs may have been overwritten by now
    versions = [
        (slot, storage)
        for slot, owner in graph.owners
        if (storage := owner()) is not None
        and storage.epoch == graph.epoch
        and storage.slot > slot
        and isinstance(values[storage.slot], BaseException)
    ]
    if not versions:
        return {}
    again = reference_plan(
        program._replace(live=tuple([slot for slot, _ in versions]), dead_inputs=()), graph.slots
    )
    found = [*given[: graph.slots], *[None] * (again.slots - graph.slots)]
    again.run(found, {})
    return {
        storage: found[slot]
        for slot, storage in versions
        if not isinstance(found[slot], BaseException)
    }
