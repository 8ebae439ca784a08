"""Stretches: a stretch of recorded ops, taken as one node of the graph and one of the tape.

A network's forward pass records the same dozen ops step after step. ``capture`` runs it once and
looks at what it recorded: if that is nothing but ops on the given operands, it is taken back and
comes out as a ``StretchCall``, a composite whose body is the recorded Calls. ``play`` records such
a Call: one node, whatever it stands for. The plan expands it again, so kernels run as before and in
the same order.

On the tape a stretch is one ``StretchNode`` that saved what the nodes inside would have saved. Who
looks at it (``grad_fn``, a hook, a backward pass that is not replayed) makes it ``open``: it then
becomes the last of the nodes it stands for, with the others behind it.

What must stay true: playing a stretch gives the graph, the values, the tape and the errors that
running the ops would have given. So a stretch is refused if it read a value, drew random numbers
(they would be operands nobody named), wrote into an operand, or used a tensor that is not among its
operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cresset.core import graph
from cresset.core.call import Body, Call, Op, Result
from cresset.core.graph import RECORDER, WATCHED
from cresset.core.modes import PROCESS, THREAD
from cresset.core.spec import Spec
from cresset.core.spec import spec as make_spec
from cresset.core.tape import Node, edge_of, edges_of, next_sequence, node_class
from cresset.tensor import Tensor, wrap

_MOST_CALLS = 1_000
_MOST_STRETCHES = 1_024
_new = object.__new__


class Inside(NamedTuple):
    """A tape node inside a stretch."""

    op: Op
    call: Call
    #: Per operand None, ("node", number inside, output) or ("operand", number, 0).
    edges: tuple
    #: Per saved tensor None, or (kind, number, spec); kind is "operand", "result" or "inner".
    saved: tuple
    numbers: tuple
    outputs: int


class StretchCall(Call):
    """A composite made of what was recorded. Outputs: the result, then what the tape saves."""

    __slots__ = ("result", "version", "tape", "keeps")
    #: The spec of the result, which may be a view of the first output.
    result: Spec
    #: The result's version: writes in place happened on the way.
    version: int
    #: The nodes inside, oldest first; empty if nothing needs a gradient.
    tape: tuple[Inside, ...]
    #: The operands whose values the nodes inside save, by number; -1 is the result.
    keeps: tuple[int, ...]


#: Stretches by what they consist of: another network of the same structure records the same Calls.
_known: dict[tuple, StretchCall] = {}


class StretchNode(Node):
    """A stretch on the tape: see the module's docstring."""

    __slots__ = ()

    def open(self) -> Node:
        """Become the last of the nodes inside, with the others behind it."""
        call: StretchCall = self.call  # type: ignore[assignment]
        edges, released = self.edges, self.released
        kept = dict(zip(call.keeps, zip(self.saved, self.versions)))  # noqa: B905
        inner, sequence = self.storages(), self.sequence
        nodes: list[Node] = []
        for i, inside in enumerate(call.tape):
            last = i == len(call.tape) - 1
            kind = inside.op.node_class or node_class(inside.op)
            node: Node = self if last else kind()
            if last:
                node.__class__ = kind
            node.op, node.call, node.numbers = inside.op, inside.call, inside.numbers
            node.outputs, node.released, node.watch = inside.outputs, False, None
            # Younger than whatever is behind the stretch, older than the stretch's last node.
            node.sequence = sequence - 1 + (i + 1) / len(call.tape)
            node.edges = tuple(
                [None if e is None else edges[e[1]] if e[0] == "operand" else (nodes[e[1]], e[2])
                 for e in inside.edges]
            )  # fmt: skip
            node.saved = node.versions = ()
            if released:
                node.release()
            else:
                saved = [_saved(s, kept, inner) for s in inside.saved]
                node.saved = tuple([tensor for tensor, _ in saved])
                node.versions = tuple([version for _, version in saved])
            nodes.append(node)
        return self

    def storages(self) -> tuple:
        """Those of the values inside that are saved."""
        if self.inner.__class__ is range:
            with graph.LOCK:
                RECORDER.graph.give_storages(self)
        return self.inner  # type: ignore[return-value]


def _saved(which: Any, kept: dict, inner: tuple) -> tuple[Any, int]:
    """A tensor that a node inside saves, with its version."""
    if which is None:
        return None, 0
    kind, number, spec = which
    if kind == "inner":
        return wrap(inner[number], spec), inner[number].version
    tensor, version = kept[number]
    own = tensor._spec
    if kind == "operand" and own.offset:  # a window into a buffer; it was captured as a whole
        if own.at_zero() is spec:
            return tensor, version
        offset = spec.offset + own.offset
        spec = make_spec(spec.dtype, spec.shape, spec.stride, offset, spec.device)
    elif own is spec:
        return tensor, version
    alias = tensor._alias()
    alias._spec = spec
    return alias, version


def play(call: StretchCall, operands: Sequence[Tensor], args: list) -> Tensor:
    """Record a stretch; ``args`` holds per operand its storage, or a buffer (``outside``)."""
    node = None
    if call.tape and THREAD.grad:
        node = _new(StretchNode)
        node.op = call.op
        node.call = call
        node.released = False
    storages = graph.record(call, args, keeper=node)
    out = _new(Tensor)
    out._storage = storages[0]
    out._spec = call.result
    if call.version:
        storages[0].version = call.version
    if node is not None:
        node.edges = tuple(edges_of(operands))
        saved = []
        versions = []
        for number in call.keeps:
            x = operands[number] if number >= 0 else out._alias()
            own = x._own_version
            saved.append(x)
            versions.append(x._storage.version if own is None else own[0])
        node.saved = tuple(saved)
        node.versions = tuple(versions)
        node.numbers = ()
        node.sequence = next_sequence()
        node.outputs = 1
        node.watch = None
        out._grad_fn = node
        out._requires_grad = True
    if PROCESS.unusual and THREAD.inference:
        out._inference = True
    return out


def capture(
    run: Callable[[], Any], operands: Sequence[Tensor], fit: Callable[[], bool] = lambda: True
) -> tuple[Any, StretchCall | None, tuple[int, ...]]:
    """Run a stretch. Returns its result, and if it can be played the Call and its operands.

    In that case what was recorded is taken back and there is no result: the caller plays the Call
    instead. The operands must be whole tensors of their own (no window into a buffer, nothing that
    NumPy sees). ``fit`` is asked after the run.
    """
    with graph.LOCK:
        graph.finish()
        if not _plain(operands):
            return run(), None, ()
        stretch = _Look(operands)
        THREAD.plain = True
        try:
            result = run()
            found = stretch.describe(result) if fit() else None
        finally:
            THREAD.plain = False
            stretch.end()
        if found is None:
            return result, None, ()
        stretch.take_back()
        return None, *found


def _plain(operands: Sequence[Tensor]) -> bool:
    storages = [x._storage for x in operands]
    return len({id(s) for s in storages}) == len(storages) and not any(
        s.shared() or s.error is not None or x._spec.offset
        for s, x in zip(storages, operands, strict=True)
    )


class _Look:
    """A part of the current graph, from now on."""

    def __init__(self, operands: Sequence[Tensor]) -> None:
        self.graph = now = RECORDER.graph
        self.runs = RECORDER.flushes, RECORDER.looks
        self.first = len(now.calls), len(now.inputs), len(now.owners)
        self.counts = now.slots, now.nbytes, now.large, now.orphaned, now.size
        self.operands = operands
        self.state = self._state()
        self.edges = [edge_of(x) for x in operands]
        self.sequence = next_sequence()
        #: Slots of operands that have a name in the graph already; the others are watched.
        self.slots: dict[int, int] = {}
        self.watched = []
        for i, x in enumerate(operands):
            storage = x._storage
            if storage.epoch == now.epoch:
                self.slots[storage.slot] = i
            else:
                storage.epoch = WATCHED
                self.watched.append(storage)

    def _state(self) -> list[tuple]:
        """What the ops may not change."""
        return [(x._version, x._requires_grad, id(x._storage)) for x in self.operands]

    def end(self) -> None:
        """Operands are no longer watched."""
        for storage in self.watched:
            if storage.epoch == WATCHED:
                storage.epoch = -1

    def _name_operands(self) -> list[tuple[int, Any, Any]] | None:
        """The inputs that are no operands, once operands that were used have a slot; None if one
        was written."""
        numbers = {id(x._storage): i for i, x in enumerate(self.operands)}
        others = []
        for slot, value, owner in self.graph.inputs[self.first[1] :]:
            i = None if owner is None else numbers.get(id(owner()))
            if i is None:
                others.append((slot, value, owner))
            else:
                self.slots[slot] = i
        for i, x in enumerate(self.operands):
            if x._storage.epoch == self.graph.epoch and self.slots.get(x._storage.slot) != i:
                return None
        return others

    def take_back(self) -> None:
        """Forget the nodes, and the names of values."""
        now = self.graph
        calls, inputs, owners = self.first
        for _, owner in now.owners[owners:]:
            storage = owner()
            if storage is not None:
                storage.epoch = storage.slot = -1
                storage.error = RuntimeError("this value was only looked at by its shape")
        for storage in self.watched:
            storage.epoch = storage.slot = -1
        del now.calls[calls:], now.operands[calls:], now.inputs[inputs:], now.owners[owners:]
        now.slots, now.nbytes, now.large, now.orphaned, now.size = self.counts
        for node in [node for node in now.places if node >= calls]:
            del now.places[node]

    def describe(self, result: Any) -> tuple[StretchCall, tuple[int, ...]] | None:
        """The stretch as a Call, with the numbers of the operands that it has."""
        if RECORDER.graph is not self.graph or (RECORDER.flushes, RECORDER.looks) != self.runs:
            return None
        if self._state() != self.state or type(result) is not Tensor:
            return None
        others = self._name_operands()
        steps = None if others is None else self._steps(others)
        if steps is None:
            return None
        calls, local, constants, sources, count = steps
        storage = result._storage
        place = local.get(storage.slot) if storage.epoch == self.graph.epoch else None
        if place is None or place not in sources or result._own_version is not None:
            return None
        if (
            result._hooks is not None
            or result._retains
            or result._inference is not THREAD.inference
        ):
            return None
        tape: list[Inside] = []
        outs = [place]
        if result._requires_grad:
            found = self._tape(result, local, sources, outs)
            if found is None:
                return None
            tape = found
        return self._call(result, calls, constants, sources, count, outs, tape)

    def _steps(self, others: list[tuple[int, Any, Any]]) -> Any:
        """The Calls over local slots: operands first, then in order of their making."""
        now, first = self.graph, self.first[0]
        recorded = list(zip(now.calls[first:], now.operands[first:], strict=True))
        if not 0 < len(recorded) <= _MOST_CALLS:
            return None
        local = dict(self.slots)
        count = len(self.operands)
        constants: list[tuple[int, Any]] = []
        for slot, value, owner in others:
            if owner is not None or value.__class__ not in (bool, int, float):
                return None
            local[slot] = count
            constants.append((count, value))
            count += 1
        #: The Call that makes a local slot, and which output of it.
        sources: dict[int, tuple[Call, int]] = {}
        calls = []
        for call, (first, *slots) in recorded:
            operands = tuple([local.get(slot, -1) for slot in slots])
            if -1 in operands:
                return None
            outs = tuple(range(count, count + len(call.outs)))
            for i, out in enumerate(outs):
                local[first + i] = out
                sources[out] = call, i
            count += len(outs)
            calls.append((call, operands, outs))
        return tuple(calls), local, tuple(constants), sources, count

    def _tape(
        self, result: Tensor, local: dict, sources: dict, outs: list[int]
    ) -> list[Inside] | None:
        """The nodes behind the result that were made here; ``outs`` grows by what they save."""
        edge = edge_of(result)
        if edge is None or not isinstance(edge[0], Node) or edge[1]:
            return None
        behind = {(id(e[0]), e[1]): i for i, e in enumerate(self.edges) if e is not None}
        if len(behind) != sum(e is not None for e in self.edges):
            return None
        nodes = self._inside(edge[0])
        numbers = {id(node): i for i, node in enumerate(nodes)}
        tape = []
        for node in nodes:
            if node.watch is not None or node.released or node.op.family == "user":
                return None
            edges: list[Any] = []
            for e in node.edges:
                if e is None:
                    edges.append(None)
                elif id(e[0]) in numbers:
                    edges.append(("node", numbers[id(e[0])], e[1]))
                elif (id(e[0]), e[1]) in behind:
                    edges.append(("operand", behind[id(e[0]), e[1]], 0))
                else:
                    return None
            saved: list[Any] = []
            for tensor, version in zip(node.saved, node.versions, strict=True):
                if tensor is None:
                    saved.append(None)
                    continue
                storage = tensor._storage
                place = local.get(storage.slot) if storage.epoch == self.graph.epoch else None
                if place is None or tensor._version != version:
                    return None
                if place < len(self.operands):
                    saved.append(("operand", place, tensor._spec))
                elif place == outs[0]:
                    saved.append(("result", -1, tensor._spec))
                elif place in sources:
                    if place not in outs:
                        outs.append(place)
                    saved.append(("inner", outs.index(place) - 1, tensor._spec))
                else:
                    return None
            tape.append(
                Inside(node.op, node.call, tuple(edges), tuple(saved), node.numbers, node.outputs)
            )
        return tape

    def _inside(self, last: Node) -> list[Node]:
        """The nodes that were made here and lead to ``last``, oldest first."""
        found = {id(last): last}
        stack = [last]
        while stack:
            for edge in stack.pop().edges:
                if edge is None or not isinstance(edge[0], Node) or id(edge[0]) in found:
                    continue
                if edge[0].sequence > self.sequence:
                    found[id(edge[0])] = edge[0]
                    stack.append(edge[0])
        return sorted(found.values(), key=lambda node: node.sequence)

    def _call(
        self, result: Tensor, calls: tuple, constants: tuple, sources: dict, count: int,
        outs: list[int], tape: list[Inside],
    ) -> tuple[StretchCall, tuple[int, ...]] | None:  # fmt: skip
        reads = {slot for _, operands, _ in calls for slot in operands}
        behind = {e[1] for node in tape for e in node.edges if e is not None and e[0] == "operand"}
        kept = {s[1] for node in tape for s in node.saved if s is not None and s[0] == "operand"}
        used = tuple(i for i in range(len(self.operands)) if i in reads | behind | kept)
        number = {i: n for n, i in enumerate(used)}
        tape = [_renumbered(node, number) for node in tape]
        keeps = tuple(sorted(number[i] for i in kept))
        if any(s is not None and s[0] == "result" for node in tape for s in node.saved):
            keeps = (*keeps, -1)
        specs = tuple([self.operands[i]._spec for i in used])
        body = Body(calls, used, constants, tuple(outs), count)
        version = result._version
        # As text, since 1 == 1.0 == True and 0.0 == -0.0.
        key = (specs, body, repr(constants), result._spec, version, tuple(tape))
        call = _known.get(key)
        if call is None:
            if len(_known) >= _MOST_STRETCHES:
                _known.clear()
            call = _known[key] = _stretch(specs, body, sources)
            call.result, call.version = result._spec, version
            call.tape, call.keeps = tuple(tape), keeps
        return call, used


def _renumbered(node: Inside, number: dict[int, int]) -> Inside:
    """With operands counted among those that the stretch uses."""
    edges = tuple(
        [e if e is None or e[0] == "node" else ("operand", number[e[1]], 0) for e in node.edges]
    )
    saved = tuple(
        [s if s is None or s[0] != "operand" else ("operand", number[s[1]], s[2])
         for s in node.saved]
    )  # fmt: skip
    return node._replace(edges=edges, saved=saved)


def _stretch(specs: tuple[Spec, ...], body: Body, sources: dict) -> StretchCall:
    """The composite: its outputs have the specs that the Calls inside gave them."""
    op = Op("stretch", None, multi=True, family="composite", save=(0,),
            checks_values=any(call.op.checks_values for call, _, _ in body.steps))  # fmt: skip
    op.node_class = StretchNode
    outs = []
    for slot in body.outputs:
        made_by, i = sources[slot]
        outs.append(made_by.outs[i])
    call = StretchCall(op, (), specs, Result(tuple(outs)))
    call.body, call.size = body, len(body.steps)
    call.shown, call.hidden = call.outs[:1], len(outs) - 1
    call.nbytes = sum(step[0].nbytes for step in body.steps)
    return call
