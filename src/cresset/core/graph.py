"""Recording: an op appends one node to the graph; the graph runs when a value is looked at.

A graph numbers values by *slots*. Operands that exist already (buffers, numbers) take slots as
inputs, outputs of nodes take the next ones. A node is a Call plus the slots of its operands. When
the graph is flushed, the tuple of Calls and slots, together with which outputs are still reachable
and which inputs nobody else can read, is the key of the plan to run. Numbers and buffers are inputs
by position, so a new learning rate or a new batch finds the same plan.

What must stay true:
- outputs are bound to exactly the storages that are alive and still name that slot;
- flushing costs by the pending graph, never by the number of live tensors;
- after a flush nothing points into the old graph;
- program order is kept, so reads see what was written before them and nothing later;
- a plan that goes on beside Python (``left``) is waited for before anybody looks at what it writes,
  sees what it reads from outside, or runs another;
- after an interrupt (Ctrl-C) no value is stale or garbage: a reference plan runs to its end before
  the interrupt goes on, a compiled one loses the values it was computing, and reading those raises.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from bisect import bisect_left
from itertools import count
from operator import itemgetter
from typing import Any
from weakref import ref

import numpy as np

from cresset.core.call import Call
from cresset.core.failures import (
    WAITING,
    belongs_to_another,
    older_versions,
    raise_waiting,
    without_failed,
)
from cresset.core.modes import PROCESS
from cresset.core.place import Place, line_of, user_place
from cresset.core.plan import Plan, Program, reference_plan
from cresset.core.plan_cache import PlanCache
from cresset.core.storage import Storage, put_buffer, write_through

MOST_NODES = 2_000
MOST_BYTES = 256 << 20
#: The epoch of concrete storages while somebody wants to know whether their values are looked at.
WATCHED = -2
#: Elements from which on an operand is looked at when it may be the graph alone that holds it.
_LARGE = 1 << 14

_new = object.__new__
#: Numbers of graphs. (A counter on the class would undo the interpreter's specialised code for it.)
_epochs = count(1)
_slot_first = itemgetter(0)

#: Guards the current graph; recording and flushing are short or release the GIL themselves.
LOCK = threading.RLock()


class Graph:
    """The nodes recorded since the last flush."""

    __slots__ = ("epoch", "calls", "operands", "owners", "keepers", "inputs", "numbers", "slots",
                 "nbytes", "large", "orphaned", "places", "tracing", "urgent", "renamed", "size",
                 "passes")  # fmt: skip

    def __init__(self, tracing: bool = False) -> None:
        self.epoch = next(_epochs)
        self.calls: list[Call] = []
        #: Per node: the slot of its first output, then the slots of its operands.
        self.operands: list[tuple[int, ...]] = []
        #: (slot, weak reference to the storage that was given it), in slot order.
        self.owners: list[tuple[int, Any]] = []
        #: Weak references to tape nodes whose ``inner`` are slots.
        self.keepers: list[Any] = []
        #: (slot, buffer or number, weak reference to the Storage it is the value of, or None).
        self.inputs: list[tuple[int, Any, Any]] = []
        #: (first slot, numbers that are further inputs).
        self.numbers: list[tuple[int, tuple]] = []
        self.slots = 0
        #: Bytes that wait with this graph: results to come, and operands nobody else holds.
        self.nbytes = 0
        #: Bytes of large operands since they were last looked at; of those only the graph holds.
        self.large = self.orphaned = 0
        #: Per node that may refuse its values, where in the user's program it was recorded.
        self.places: dict[int, Place] = {}
        self.tracing = tracing
        #: ``torch.compile`` had a hand in it: the plan is compiled at first sight.
        self.urgent = False
        #: A storage was given a slot later, so ``owners`` are not in slot order.
        self.renamed = False
        #: Nodes; those that stand for several Calls count as so many.
        self.size = 0
        #: Backward passes that were recorded.
        self.passes = 0

    def count_orphans(self) -> None:
        """Operands whose tensors have died, as batches do, count towards the cap on bytes."""
        self.large = 0
        orphaned = sum(
            [
                value.nbytes
                for _, value, owner in self.inputs
                if owner is not None and owner() is None
            ]
        )
        self.nbytes += orphaned - self.orphaned
        self.orphaned = orphaned

    def give_storages(self, keeper: Any) -> None:
        """Make storages for the slots that are ``inner`` to a tape node, for others to read."""
        storages = []
        for slot, spec in zip(keeper.inner, keeper.call.outs[1:], strict=True):
            storage = Storage(spec.dtype, spec.numel, spec.device)
            storage.epoch, storage.slot = self.epoch, slot
            self.owners.append((slot, ref(storage)))
            storages.append(storage)
        self.renamed = True
        keeper.inner = tuple(storages)

    def keep(self) -> None:
        """Have the values that tape nodes keep computed."""
        for keeper in self.keepers:
            node = keeper()
            if node is not None and node.inner.__class__ is range:
                self.give_storages(node)
        self.keepers.clear()

    def mend(self) -> None:
        """Drop a node that was recorded by half; its slots stay unused."""
        whole = min(len(self.calls), len(self.operands))
        del self.calls[whole:], self.operands[whole:]
        if self.numbers and self.numbers[-1][0] >= self.slots:
            del self.numbers[-1]
        for named in (self.inputs, self.owners):
            if named:
                self.slots = max(self.slots, named[-1][0] + 1)


class _Recorder:
    """Holds the current graph (one per process, so threads see one program order)."""

    __slots__ = (
        "graph", "cache", "flushes", "looks", "running", "compiler", "urgent",
        "history", "left", "mark", "leaves",
    )  # fmt: skip

    def __init__(self) -> None:
        #: ``compiler(program, plan)`` gives a faster plan; set by the package, which knows one.
        self.compiler: Any = None
        self.graph = Graph()
        self.cache = PlanCache()
        self.flushes = 0
        #: How often the value of a watched storage was looked at.
        self.looks = 0
        self.running = False
        #: How many calls of functions given to ``torch.compile`` are under way.
        self.urgent = 0
        #: What earlier processes met, if this one goes on from a checkpoint (``core/history.py``).
        self.history: Any = None
        #: A plan that goes on beside Python, the epoch of storages that it still may write, and
        #: whether there may be one.
        self.left: Plan | None = None
        self.mark = 0
        self.leaves = True


RECORDER = _Recorder()


def _before_fork() -> None:
    """No other thread may be in the middle of recording a node, nor a plan in that of running."""
    LOCK.acquire()
    finish()


def _new_lock() -> None:
    """A forked child has none of the threads that could hold the parent's lock."""
    global LOCK
    LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: LOCK.release(),
        after_in_child=_new_lock,
    )


def record(
    call: Call, args: list, into: list | None = None, numbers: tuple = (), keeper: Any = None
) -> list[Storage]:
    """Append a node. ``args`` holds, per operand, a Storage, a buffer (array), a number, or a range
    of this graph's slots; operands that are ``numbers`` may also be given apart, behind them.

    Returns the storages that own its outputs: fresh ones, or those of ``into``, which then hold a
    new version (their memory must not be visible outside). Outputs that the Call hides get none:
    they belong to the ``keeper``, whose ``inner`` becomes their slots.
    """
    with LOCK:
        graph = RECORDER.graph
        epoch = graph.epoch
        slots = [0]
        slot = graph.slots
        try:
            for arg in args:
                if arg.__class__ is not Storage:
                    if arg.__class__ is range:
                        slots += arg
                        continue
                    graph.inputs.append((slot, arg, None))
                    slots.append(slot)
                    slot += 1
                elif arg.epoch == epoch:
                    slots.append(arg.slot)
                else:  # concrete: from now on it has a name in this graph
                    if arg.error is not None:
                        raise arg.error
                    graph.inputs.append((slot, arg.buffer, ref(arg)))
                    arg.epoch = epoch
                    arg.slot = slot
                    slots.append(slot)
                    slot += 1
                    if arg.size >= _LARGE:
                        graph.large += arg.buffer.nbytes
            if numbers:
                graph.numbers.append((slot, numbers))
                slots += range(slot, slot + len(numbers))
                slot += len(numbers)
            slots[0] = slot
            owners = graph.owners
            if into is None:
                into = []
                for spec in call.shown:
                    storage = _new(Storage)
                    storage.dtype = spec.dtype
                    storage.size = spec.numel
                    storage.device = spec.device
                    storage.epoch = epoch
                    storage.slot = slot
                    owners.append((slot, ref(storage)))
                    slot += 1
                    into.append(storage)
            else:
                for storage in into:
                    storage.error = None
                    storage.epoch = epoch
                    storage.slot = slot
                    owners.append((slot, ref(storage)))
                    slot += 1
            if keeper is not None:
                keeper.inner = range(slot, slot + call.hidden)
                graph.keepers.append(ref(keeper))
            graph.slots = slot + call.hidden
            graph.calls.append(call)
            graph.operands.append(tuple(slots))
        except BaseException:  # an operand that failed, or Ctrl-C
            graph.mend()
            raise
        graph.nbytes += call.nbytes
        graph.size += call.size
        if call.op.checks_values or PROCESS.debug:
            graph.places[len(graph.calls) - 1] = user_place(call)
        if graph.nbytes + graph.large >= MOST_BYTES or graph.size >= MOST_NODES or PROCESS.eager:
            _relieve(graph)
    return into


def _relieve(graph: Graph) -> None:
    """Run a graph that has grown too large (or every graph, in eager mode)."""
    if graph.tracing:
        return
    if graph.large >= MOST_BYTES:
        graph.count_orphans()
    if PROCESS.eager:
        flush("eager mode")
    elif graph.nbytes >= MOST_BYTES or graph.size >= MOST_NODES:
        flush("cap on pending nodes or bytes")


def rebind(storage: Storage, fresh: Storage) -> None:
    """Make ``storage`` own the value of ``fresh``, a temporary of the same size and dtype.

    This is how a write of a whole storage is recorded: no node, only a newer name.
    """
    with LOCK:
        graph = RECORDER.graph
        if fresh.epoch != graph.epoch:
            finish()
        if fresh.epoch == graph.epoch:
            if storage.home or storage.exported:
                flush("write to shared memory")
                write_through(storage, fresh.buffer)
                return
            graph.owners.append((fresh.slot, ref(storage)))
            graph.renamed = True
            storage.epoch, storage.slot, storage.error = fresh.epoch, fresh.slot, None
        elif storage.home or storage.exported:
            if storage.epoch == graph.epoch:
                flush("write to shared memory")
            write_through(storage, fresh.buffer)
        else:
            storage.epoch, storage.slot, storage.error = -1, -1, fresh.error
            storage.buffer = fresh.buffer


def materialize(storage: Storage) -> Any:
    """The storage's buffer, after running whatever it waits for."""
    if storage.epoch != -1:
        with LOCK:
            if storage.epoch == WATCHED:
                RECORDER.looks += 1
            if storage.epoch == RECORDER.graph.epoch and RECORDER.graph.calls:
                flush("a value is looked at")
            if RECORDER.left is not None:
                if storage.epoch == RECORDER.mark:
                    RECORDER.left.wait(storage.slot)
                else:
                    finish()
            if storage.buffer is None and storage.error is None:
                raise RuntimeError(
                    "this value is being computed; a signal handler or finaliser cannot read it"
                )
            storage.epoch = -1
    if storage.error is not None:
        raise storage.error
    return storage.buffer


def expose(storage: Storage, forever: bool = False) -> Any:
    """The storage's buffer, from now on shown outside: what was recorded before has read it.

    A slice of a buffer is an operand without a name (see ``outside`` in ``ops/registry.py``), so
    looking at the storage alone would not run it.
    """
    buffer = materialize(storage)
    finish()
    if not storage.exported:
        with LOCK:
            for _, value, owner in RECORDER.graph.inputs:
                if owner is None and isinstance(value, np.ndarray) and value.base is not None:
                    if np.may_share_memory(value, buffer):
                        flush("memory is shown outside")
                        break
            storage.export(forever)
    else:
        storage.export(forever)
    return buffer


def is_pending(storage: Storage) -> bool:
    """Whether the storage's value is still to be computed by the current graph."""
    if storage.epoch != RECORDER.graph.epoch:
        return False
    if storage.buffer is None:
        return True
    with LOCK:  # another thread may be flushing
        graph = RECORDER.graph
        inputs = graph.inputs  # in slot order
        i = bisect_left(inputs, storage.slot, key=_slot_first)
        named = i < len(inputs) and inputs[i][0] == storage.slot
        return storage.epoch == graph.epoch and not named


def count_pass() -> None:
    """A backward pass was recorded. The second one in a graph makes it run.

    A training loop without an optimiser (weights changed by hand) looks at nothing, step after
    step. Run by steps it comes to the same program again and again; run when the graph is full,
    the program would begin at another point of the loop each time.
    """
    graph = RECORDER.graph
    graph.passes += 1
    if graph.passes > 1 and not graph.tracing:
        flush("a second backward pass", leave=True)
        RECORDER.graph.passes = 1  # so the next one ends a program of one step


def flush(reason: str = "asked for", leave: bool = False) -> None:
    """Run everything recorded so far and bind the results.

    With ``leave`` the plan may go on beside Python as soon as nothing in it can fail any more.
    """
    with LOCK:
        if WAITING:
            raise_waiting()
        graph = RECORDER.graph
        if not graph.calls:
            if not leave:
                finish()
            return
        if graph.tracing:
            raise RuntimeError("a composite's body looked at a value; it may only record ops")
        RECORDER.graph = Graph()
        RECORDER.flushes += 1
        try:
            _flush(graph, reason, leave and RECORDER.leaves)
        except BaseException:
            _give_up(graph)
            raise


def finish() -> None:
    """Wait for the plan that goes on beside Python."""
    left = RECORDER.left
    if left is not None:
        with LOCK:
            left.finish()
            if RECORDER.left is left:
                RECORDER.left = None


def _end() -> None:
    """The process ends, and takes away what a plan reads and writes."""
    with LOCK:
        RECORDER.leaves = False
        finish()


atexit.register(_end)


def _give_up(graph: Graph) -> None:
    """Mark what an interrupted flush did not bind: a write did not happen, a new value is lost."""
    finish()
    graph.keep()
    for slot, owner in graph.owners:
        storage = owner()
        if storage is not None and storage.epoch == graph.epoch and storage.slot == slot:
            if storage.buffer is None:
                storage.error = RuntimeError("the computation of this value was interrupted")
            storage.epoch = -1


def _flush(graph: Graph, reason: str, leave: bool) -> None:
    epoch = graph.epoch
    if graph.keepers:
        graph.keep()
    bound = [
        (slot, storage)
        for slot, owner in graph.owners
        if (storage := owner()) is not None and storage.slot == slot and storage.epoch == epoch
    ]
    live = tuple(map(_slot_first, bound))
    values: list[Any] = [None] * graph.slots
    dead_inputs = []
    for slot, value, owner in graph.inputs:
        values[slot] = value
        if owner is not None:
            storage = owner()
            if storage is None:
                dead_inputs.append(slot)
            elif storage.slot != slot or storage.epoch != epoch:
                # Nobody can read this version any more (unless its memory is given out).
                if not (storage.home or storage.exported):
                    dead_inputs.append(slot)
    for slot, numbers in graph.numbers:
        values[slot : slot + len(numbers)] = numbers
    graph.inputs.clear()
    program = Program(tuple(graph.calls), tuple(graph.operands), live, tuple(dead_inputs))
    plan = RECORDER.cache.get(program)
    if PROCESS.debug:
        where = line_of(user_place(None))
        print(f"[cresset] flush of {len(graph.calls)} ops: {reason} ({where})", file=sys.stderr)
    if plan is None:
        plan = reference_plan(program, graph.slots)
        RECORDER.cache.put(program, plan)
        if RECORDER.history is not None:
            RECORDER.history.meet(program, plan)
    if plan.compile_at and PROCESS.compile:
        urgent = (graph.urgent or RECORDER.urgent) and 0 < plan.seen < plan.compile_at
        if urgent or plan.seen == plan.compile_at:
            plan.compile_at = 0
            plan = _compile(program, plan)
    values += [None] * (plan.slots - graph.slots)
    _run(graph, plan, program, values, bound, leave)


def _compile(program: Program, plan: Plan) -> Plan:
    """The plan on the second tier, from now on in the cache; itself if it has to stay."""
    if RECORDER.compiler is None:
        return plan
    native = RECORDER.compiler(program, plan)
    if native is not plan:
        RECORDER.cache.put(program, native)
        if PROCESS.debug:
            print(f"[cresset] compiled a plan of {len(plan.steps)} kernels", file=sys.stderr)
    return native


def _run(
    graph: Graph, plan: Plan, program: Program, values: list[Any],
    bound: list[tuple[int, Storage]], leave: bool,
) -> None:  # fmt: skip
    finish()
    if graph.renamed:
        bound.sort(key=_slot_first)
    failure, epoch = None, -1
    if leave and not PROCESS.check:
        RECORDER.left = plan  # an interrupt may come when it has only just begun
        if plan.start(values):
            RECORDER.mark = epoch = -3 - graph.epoch
        else:
            RECORDER.left = None
    if epoch == -1:
        given = values.copy() if graph.places else None
        if PROCESS.check:
            from cresset.core.check import run_checked

            failure = run_checked(plan, values, graph.places, program.live, program.dead_inputs)
        else:
            failure = plan.run(values, graph.places)
        if failure is not None:
            older = {} if given is None else older_versions(graph, plan, program, values, given)
            bound = without_failed(bound, values, older)
    last = -1
    for slot, storage in bound:
        if slot == last:
            # Two storages may name one value (a write takes over a temporary): one memory each.
            finish()
            put_buffer(storage, values[slot].copy())
        elif storage.exported:
            finish()
            put_buffer(storage, values[slot])
        else:
            storage.buffer = values[slot]
        storage.epoch = epoch  # last: other threads may read without the lock
        last = slot
    if failure is not None and not belongs_to_another(graph, plan, values, failure):
        raise failure
