"""Backward passes seen before: recorded as one node instead of op by op.

The ops that a backward pass records follow from the tape alone: which Calls, how they hang
together, which specs were saved. So the second pass over a tape of the same structure is traced
once, on stand-ins for the saved tensors, as the body of a composite. From then on such a pass costs
one walk over the tape and one node, whose operands are the saved tensors and whose outputs are the
gradients of the leaves. The plan expands it again: the kernels run as before, in the same order.

What must stay true: everything a derivative reads is an operand or part of the key. Anything that
could look inside (hooks, ``create_graph``, anomaly mode, a user's ``Function``) goes the ordinary
way through the engine, and so does eager mode, which thereby checks this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cresset.autograd import engine
from cresset.autograd.engine import Root
from cresset.core import graph
from cresset.core.call import Call, Op, Result
from cresset.core.check import close, same
from cresset.core.fingerprint import fingerprint
from cresset.core.modes import PROCESS
from cresset.core.spec import NumberStandIn, Spec
from cresset.core.storage import Storage
from cresset.core.tape import Node, node_class, release
from cresset.core.trace import trace
from cresset.ops.inplace import contiguous
from cresset.ops.registry import dense_copy, outside
from cresset.ops.stretch import StretchNode
from cresset.tensor import Tensor, wrap

#: Longer tapes are not traced: the walk is paid in vain where structure never repeats.
_MOST_NODES = 1_000
_MOST_PASSES = 512
#: An edge is one number in the key: the node's (or leaf's) number, and which output.
_MOST_OUTPUTS = 1 << 12
_new = object.__new__


class _Visit(NamedTuple):
    """What a walk over a known tape expects of one node."""

    call: Call
    #: Per edge None, or: number of the node or leaf, its output, and if it is met for the first
    #: time its class (a leaf's is Tensor).
    edges: tuple[tuple[int, int, Any] | None, ...]
    #: Per saved tensor its spec, or None.
    specs: tuple[Spec | None, ...]


class _Pass(NamedTuple):
    """A traced backward pass: its Call, and which leaf each output is the gradient of."""

    call: Call
    leaves: tuple[int, ...]
    visits: tuple[_Visit, ...]


#: By structure: a pass, or None if it was seen once, or False if it cannot be traced.
_passes: dict[tuple, Any] = {}
#: The last pass that started at a node of this Call: the one to expect.
_expected: dict[Call, _Pass] = {}


#: Passes of the process that this one goes on from, by fingerprint (``core/history.py``).
_before: set[str] = set()


def known_passes() -> list[str]:
    """Every structure that was seen, for ``recall_passes`` in another process."""
    names = {fingerprint(key) for key in _passes}
    return sorted(_before.union(name for name in names if name is not None))


def recall_passes(names: Iterable[str]) -> None:
    """Trace these passes when they are first seen here, as they were seen elsewhere before."""
    _passes.clear()
    _expected.clear()
    _before.clear()
    _before.update(names)


class _Walk:
    """What a walk over a tape finds."""

    __slots__ = ("nodes", "storages", "leaves", "run_now")

    def __init__(self, nodes: list[Any]) -> None:
        self.nodes = nodes
        #: Per operand its storage, buffer or number: what ``graph.record`` takes.
        self.storages: list[Any] = []
        self.leaves: list[Tensor] = []
        self.run_now = False


class _Tape(_Walk):
    """A tape that has to be looked up, as a key and the operands that the key leaves open."""

    __slots__ = ("key", "specs", "numbers")

    def __init__(self, nodes: list[Node]) -> None:
        super().__init__(nodes)
        self.key: list[Any] = []
        self.specs: list[Spec] = []
        #: By identity of nodes (0, 1, ...) and leaves (-1, -2, ...).
        self.numbers: dict[int, int] = {}

    def add(self, tensor: Tensor) -> None:
        """Make a tensor's value an operand and its spec part of the key."""
        spec, storage = tensor._spec, tensor._storage
        if spec.offset or storage.exported:
            spec, storage, now = outside(spec, storage)
            self.run_now = self.run_now or now
        self.key.append(spec)
        self.specs.append(spec)
        self.storages.append(storage)


def again(output: Tensor, keep_graph: bool) -> bool:
    """``output.backward()`` if the last pass that began at such an output serves; else False."""
    if PROCESS.eager:
        return False
    start = output._grad_fn
    if start is None or output._base is not None or output._output_nr:
        return False
    with graph.LOCK:  # slots that the walk finds are those of the graph that gets the node
        found = _follow(start, output._spec)
        if found is None:
            return False
        _record(*found, keep_graph, ())
    return True


def run(roots: Sequence[Root], keep_graph: bool) -> bool:
    """Accumulate the leaves' gradients if this pass was seen before; False if it was not."""
    if PROCESS.eager:
        return False
    found = _look_up(roots)
    if found is None:
        return False
    _record(*found, keep_graph, roots)
    return True


def _record(tape: _Walk, known: _Pass, keep_graph: bool, roots: Sequence[Root]) -> None:
    """One node for the whole pass; its outputs go to the leaves."""
    call = known.call
    expected = None
    if PROCESS.check:
        start = tape.nodes[0]
        roots = roots or (Root((start, 0), start.call.outs[0], None),)
        expected = _through_the_engine(tape, roots)
    storages = graph.record(call, tape.storages)
    if not keep_graph:
        release(tape.nodes)
    if tape.run_now:
        graph.flush("backward read a large tensor that shares memory with NumPy")
    leaves = tape.leaves
    if expected is not None:
        _compare(expected, [wrap(s, spec) for s, spec in zip(storages, call.outs, strict=True)])
    with graph.LOCK:  # other threads' passes may reach the same leaves
        for number, storage, spec in zip(known.leaves, storages, call.outs):  # noqa: B905
            leaf = leaves[number]
            gradient = _new(Tensor)
            gradient._storage = storage
            gradient._spec = spec
            if leaf._grad is None:
                leaf._grad = gradient
            else:
                # In place, as PyTorch does: whoever holds leaf.grad sees it grow.
                leaf._grad.add_(gradient)  # type: ignore[attr-defined]
    graph.count_pass()


def _follow(start: Node, spec: Spec) -> tuple[_Walk, _Pass] | None:
    """Walk the tape as the last one that began like it; nothing if it turns out different."""
    known = _expected.get(start.call)
    if known is None or spec is not start.call.outs[0]:
        return None
    nodes: list[Any] = [None] * len(known.visits)
    nodes[0] = start
    tape = _Walk(nodes)
    leaves, storages = tape.leaves, tape.storages
    before = start.sequence + 1
    for node, (call, edges, specs) in zip(nodes, known.visits):  # noqa: B905
        sequence = node.sequence
        if node.call is not call or node.watch is not None or node.released or sequence >= before:
            return None
        before = sequence
        for edge, expected in zip(node.edges, edges):  # noqa: B905
            if edge is None or expected is None:
                if edge is not expected:
                    return None
                continue
            target, output = edge
            number, want, kind = expected
            if output != want:
                return None
            if kind is None:  # met before
                if target is not (nodes[number] if number >= 0 else leaves[-1 - number]):
                    return None
            elif number >= 0:
                if target.__class__ is not kind:
                    return None
                nodes[number] = target
            elif not isinstance(target, kind) or (
                target._hooks or target._post_hooks or target._accumulator is not None
            ):
                return None
            else:
                leaves.append(target)
        if node.numbers:
            storages.extend([value for value in node.numbers if value is not None])
        for tensor, version, expected in zip(node.saved, node.versions, specs):  # noqa: B905
            if tensor is None or expected is None:
                if tensor is not expected:
                    return None
                continue
            spec, storage = tensor._spec, tensor._storage
            own = tensor._own_version
            if (storage.version if own is None else own[0]) != version:
                return None
            if spec is not expected or storage.exported:
                spec, storage, now = outside(spec, storage)
                tape.run_now = tape.run_now or now
                if spec is not expected:
                    return None
            storages.append(storage)
        if node.__class__ is StretchNode:
            inner = node.inner
            if inner.__class__ is range:
                storages.append(inner)
            else:
                storages.extend(inner)
    if len(set(map(id, leaves))) != len(leaves):
        return None
    return tape, known


def _look_up(roots: Sequence[Root]) -> tuple[_Tape, _Pass] | None:
    """The tape with the pass for its structure, traced when it is seen for the second time."""
    nodes = engine.reachable([root.edge[0] for root in roots], opened=False)
    if not 0 < len(nodes) <= _MOST_NODES:
        return None
    tape = _describe(nodes, roots)
    if tape is None:
        return None
    key = tuple(tape.key)
    known = _passes.get(key)
    if known is None:
        first = key not in _passes and not (_before and fingerprint(key) in _before)
        if first and len(_passes) >= _MOST_PASSES:
            for old in list(_passes)[: _MOST_PASSES // 2]:
                del _passes[old]
        known = _passes[key] = None if first else _trace(tape, roots)
    if not known:
        return None
    root = roots[0]
    if len(roots) == 1 and root.gradient is None and root.edge == (nodes[0], 0):
        if len(_expected) >= _MOST_PASSES:
            _expected.clear()
        _expected[nodes[0].call] = known
    return tape, known


def _through_the_engine(tape: _Walk, roots: Sequence[Root]) -> list[Tensor]:
    """The gradients that should come out, for ``CRESSET_CHECK=1``."""
    wanted: dict[Any, Tensor | None] = {(leaf, 0): None for leaf in tape.leaves}
    engine.run(roots, True, False, accumulate=False, wanted=wanted)
    found = [wanted[leaf, 0] for leaf in tape.leaves]
    return [contiguous(g) for g in found if g is not None]


def _compare(expected: list[Tensor], found: list[Tensor]) -> None:
    """To the bit, or to rounding where plans may be compiled: the two passes need not become the
    same kernels there."""
    agree = (lambda x, y: close(x, y, [])) if PROCESS.compile else same
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a._spec.shape != b._spec.shape or not agree(a._array(), b._array()):
            raise RuntimeError(
                f"internal error: gradient {number} of a repeated backward pass differs from the "
                "engine's"
            )


def _describe(nodes: list[Node], roots: Sequence[Root]) -> _Tape | None:
    """The structure of a tape, or None where somebody could tell the difference."""
    tape = _Tape(nodes)
    key, specs, storages, leaves = tape.key, tape.specs, tape.storages, tape.leaves
    numbers = tape.numbers = {id(node): i for i, node in enumerate(nodes)}
    put = key.append
    for root in roots:
        target, output = root.edge
        put(numbers.get(id(target)))
        put(output)
        if root.gradient is None:
            put(root.spec)
        else:
            put(None)
            tape.add(root.gradient)
    for node in nodes:
        call = node.call
        if node.watch is not None or call.op.family == "user" or node.outputs > _MOST_OUTPUTS:
            return None
        if node.released and node.__class__ is StretchNode:
            return None  # the engine finds which of the nodes inside minds
        put(call)
        for edge in node.edges:
            if edge is None:
                put(None)
                continue
            target, output = edge
            number = numbers.get(id(target))
            if number is None:
                if target._hooks or target._post_hooks or target._accumulator is not None:
                    if _leaf_is_watched(target):
                        return None
                leaves.append(target)
                number = numbers[id(target)] = -len(leaves)
            put(number * _MOST_OUTPUTS + output)
        if node.numbers:
            for value, spec in zip(node.numbers, call.specs):  # noqa: B905
                if value is not None:
                    if value.__class__ is complex:
                        return None  # conjugated by Python
                    storages.append(value)
                    specs.append(spec)
        for tensor, version in zip(node.saved, node.versions):  # noqa: B905
            if tensor is not None:
                spec, storage = tensor._spec, tensor._storage
                own = tensor._own_version
                if (storage.version if own is None else own[0]) != version:
                    if node.__class__ is StretchNode:
                        return None
                    node.unpack()  # raises
                if spec.offset or storage.exported:
                    tape.add(tensor)
                else:
                    put(spec)
                    specs.append(spec)
                    storages.append(storage)
        if node.released:
            node.unpack()  # raises
        if node.__class__ is StretchNode:
            specs.extend(call.outs[1:])
            storages.extend(node.storages())
    return tape


def _leaf_is_watched(leaf: Any) -> bool:
    """Whether somebody is to be told when the leaf's gradient arrives."""
    if leaf._hooks or leaf._post_hooks:
        return True
    node = leaf._accumulator()
    return node is not None and bool(node._hooks or node._pre_hooks)


def _trace(tape: _Tape, roots: Sequence[Root]) -> Any:
    """Run the engine on a copy of the tape made of stand-ins; False if it looks at values."""
    reached: list[int] = []

    def body(*operands: Any) -> list[Tensor]:
        leaves = [_stand_in_leaf(leaf._spec) for leaf in tape.leaves]
        given = iter(operands)
        nodes, copies = _copy_tape(tape, roots, leaves, given)
        wanted: dict[Any, Tensor | None] = {(leaf, 0): None for leaf in leaves}
        engine.run(copies, False, False, accumulate=False, wanted=wanted)
        gradients = []
        for i, leaf in enumerate(leaves):
            gradient = wanted[leaf, 0]
            if gradient is not None:
                reached.append(i)
                gradients.append(contiguous(gradient))
        return gradients

    specs = tuple(tape.specs)
    op = Op("backward", None, body=body, multi=True, family="composite")
    try:
        outs, traced = trace(op, (), specs, _stand_in, dense_copy)
    except (RuntimeError, TypeError, AttributeError):
        return False
    op.body = None  # it would keep the tape alive
    call = Call(op, (), specs, Result(outs))
    call.body = traced
    return _Pass(call, tuple(reached), _visits(tape))


def _visits(tape: _Tape) -> tuple[_Visit, ...]:
    """What a walk over a tape of this structure meets, node by node."""
    met = {0}
    visits = []
    given = iter(tape.specs)
    for node in tape.nodes:
        edges: list[Any] = []
        for edge in node.edges:
            if edge is None:
                edges.append(None)
                continue
            number = tape.numbers[id(edge[0])]
            kind = type(edge[0]) if number >= 0 else Tensor
            edges.append((number, edge[1], None if number in met else kind))
            met.add(number)
        for value in node.numbers:
            if value is not None:
                next(given)
        specs = tuple([None if t is None else next(given) for t in node.saved])
        if isinstance(node, StretchNode):
            for _ in node.call.outs[1:]:
                next(given)
        visits.append(_Visit(node.call, tuple(edges), specs))
    return tuple(visits)


def _stand_in(storage: Storage, spec: Spec) -> Any:
    return wrap(storage, spec) if spec.number is None else NumberStandIn(spec, storage.slot)


def _stand_in_leaf(spec: Spec) -> Tensor:
    leaf = wrap(Storage(spec.dtype, spec.numel, spec.device), spec)
    leaf._requires_grad = True
    return leaf


def _copy_tape(
    tape: _Tape, roots: Sequence[Root], leaves: list[Tensor], given: Any
) -> tuple[list[Node], list[Root]]:
    """The same nodes and edges, with the operands of the body in place of what was saved."""
    numbers = tape.numbers
    copies = [
        Root(
            root.edge,
            root.spec,
            None if root.gradient is None else next(given),
        )
        for root in roots
    ]
    nodes = [(n.op.node_class or node_class(n.op))() for n in tape.nodes]

    def place(edge: Any) -> Any:
        if edge is None:
            return None
        number = numbers[id(edge[0])]
        return (nodes[number] if number >= 0 else leaves[-1 - number], edge[1])

    for node, copy in zip(tape.nodes, nodes, strict=True):
        copy.become(node, tuple(place(edge) for edge in node.edges))
        copy.numbers = tuple(None if value is None else next(given) for value in node.numbers)
        copy.saved = tuple(None if t is None else next(given) for t in node.saved)
        copy.versions = tuple(0 if t is None else t._version for t in copy.saved)
        if isinstance(node, StretchNode):
            copy.inner = tuple(next(given)._storage for _ in node.call.outs[1:])
    return nodes, [Root(place(r.edge), r.spec, r.gradient) for r in copies]
