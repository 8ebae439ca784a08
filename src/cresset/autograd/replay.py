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

from collections.abc import Sequence
from typing import Any, NamedTuple

from cresset.autograd import engine
from cresset.autograd.engine import Root
from cresset.core import graph
from cresset.core.call import Call, Op, Result
from cresset.core.check import same
from cresset.core.modes import PROCESS
from cresset.core.spec import NumberStandIn, Spec
from cresset.core.storage import Storage
from cresset.core.tape import Node, node_class
from cresset.core.trace import trace
from cresset.ops.inplace import contiguous
from cresset.ops.registry import dense_copy, outside
from cresset.tensor import Tensor, wrap

#: Longer tapes are not traced: the walk is paid in vain where structure never repeats.
_MOST_NODES = 1_000
_MOST_PASSES = 512
#: An edge is one number in the key: the node's (or leaf's) number, and which output.
_MOST_OUTPUTS = 1 << 12


class _Pass(NamedTuple):
    """A traced backward pass: its Call, and which leaf each output is the gradient of."""

    call: Call
    leaves: tuple[int, ...]


#: By structure: a pass, or None if it was seen once, or False if it cannot be traced.
_passes: dict[tuple, Any] = {}


class _Tape:
    """A tape about to be walked, as a key and the operands that the key leaves open."""

    __slots__ = ("nodes", "key", "specs", "storages", "leaves", "numbers", "run_now")

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.key: list[Any] = []
        self.specs: list[Spec] = []
        #: Per operand its storage, buffer or number: what ``graph.record`` takes.
        self.storages: list[Any] = []
        self.leaves: list[Tensor] = []
        #: By identity of nodes (0, 1, ...) and leaves (-1, -2, ...).
        self.numbers: dict[int, int] = {}
        self.run_now = False

    def add(self, tensor: Tensor) -> None:
        """Make a tensor's value an operand and its spec part of the key."""
        spec, storage = tensor._spec, tensor._storage
        if spec.offset or storage.exported:
            spec, storage, now = outside(spec, storage)
            self.run_now = self.run_now or now
        self.key.append(spec)
        self.specs.append(spec)
        self.storages.append(storage)


def run(roots: Sequence[Root], keep_graph: bool) -> bool:
    """Accumulate the leaves' gradients if this pass was seen before; False if it was not."""
    if PROCESS.eager:
        return False
    nodes = engine.reachable([root.edge[0] for root in roots])
    if not 0 < len(nodes) <= _MOST_NODES:
        return False
    tape = _describe(nodes, roots)
    if tape is None:
        return False
    key = tuple(tape.key)
    known = _passes.get(key)
    if known is None:
        if key not in _passes:
            if len(_passes) >= _MOST_PASSES:
                for old in list(_passes)[: _MOST_PASSES // 2]:
                    del _passes[old]
            _passes[key] = None
            return False
        known = _passes[key] = _trace(tape, roots)
    if known is False:
        return False
    call: Call = known.call
    expected = _through_the_engine(tape, roots) if PROCESS.check else None
    storages = graph.record(call, tape.storages)
    if not keep_graph:
        for node in nodes:
            node.release()
    if tape.run_now:
        graph.flush("backward read a large tensor that shares memory with NumPy")
    leaves = tape.leaves
    if expected is not None:
        _compare(expected, [wrap(s, spec) for s, spec in zip(storages, call.outs, strict=True)])
    for number, storage, spec in zip(known.leaves, storages, call.outs, strict=True):
        leaf = leaves[number]
        gradient = wrap(storage, spec)
        if leaf._grad is None:
            leaf._grad = gradient
        else:
            # In place, as PyTorch does: whoever holds leaf.grad sees it grow.
            leaf._grad.add_(gradient)  # type: ignore[attr-defined]
    return True


def _through_the_engine(tape: _Tape, roots: Sequence[Root]) -> list[Tensor]:
    """The gradients that should come out, for ``CRESSET_CHECK=1``."""
    wanted: dict[Any, Tensor | None] = {(leaf, 0): None for leaf in tape.leaves}
    engine.run(roots, True, False, accumulate=False, wanted=wanted)
    found = [wanted[leaf, 0] for leaf in tape.leaves]
    return [contiguous(g) for g in found if g is not None]


def _compare(expected: list[Tensor], found: list[Tensor]) -> None:
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a._spec.shape != b._spec.shape or not same(a._array(), b._array()):
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
                    node.unpack()  # raises
                if spec.offset or storage.exported:
                    tape.add(tensor)
                else:
                    put(spec)
                    specs.append(spec)
                    storages.append(storage)
        if node.released:
            node.unpack()  # raises
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
    return _Pass(call, tuple(reached))


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
    return nodes, [Root(place(r.edge), r.spec, r.gradient) for r in copies]
