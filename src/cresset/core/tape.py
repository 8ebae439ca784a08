"""The tape: one ``Node`` per differentiable op, linked to the nodes that made its operands.

``tensor.grad_fn`` is a Node. ``edges`` holds, per operand, where its gradient goes: ``None`` if it
needs none, ``(node, n)`` for output n of an earlier node, ``(tensor, 0)`` for a leaf. Saved tensors
remember their version; reading one that was changed in place raises, as in PyTorch. An op's own
output is saved through an alias without history, so that tensors and nodes never form a cycle.

Sequence numbers grow with time and an operand's node is always older than the node that uses it:
sorting by them is a topological order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import ref

from cresset.core.call import Call, Op
from cresset.core.modes import PROCESS, THREAD

#: The number of the next node.
next_sequence = itertools.count().__next__


class Node:
    """One step of the recorded computation; printed as PyTorch prints its ``grad_fn``."""

    __slots__ = (
        "op", "call", "edges", "saved", "versions", "numbers", "sequence", "released", "outputs",
        "watch", "inner", "__weakref__",
    )  # fmt: skip
    op: Op
    call: Call
    edges: tuple
    saved: tuple
    versions: tuple
    #: Python numbers among the operands, by position (None elsewhere).
    numbers: tuple
    #: Grows with time; between two whole numbers inside an opened stretch.
    sequence: float
    released: bool
    #: How many outputs there are.
    outputs: int
    #: Hooks and notes, where somebody left any.
    watch: Watch | None
    #: Of a ``StretchNode`` alone: storages of what it saved and nobody else has, or just its slots
    #: as long as the graph that computes it waits.
    inner: tuple | range

    def open(self) -> Node:
        """The node itself; a stretch becomes the last of the nodes that it stands for."""
        return self

    def name(self) -> str:
        """The name PyTorch gives this kind of node."""
        name = type(self).__name__
        return name if name != "CopySlices" else "torch::autograd::CopySlices"

    @property
    def needs(self) -> tuple[bool, ...]:
        """Per operand: does it need a gradient?"""
        return tuple(e is not None for e in self.edges)

    @property
    def next_functions(self) -> tuple:
        """``((node, output number), ...)`` for the tensor operands; leaves show AccumulateGrad."""
        result: list[Any] = []
        for edge in self.edges:
            if edge is None:
                result.append((None, 0))
            elif isinstance(edge[0], Node):
                result.append((edge[0].open(), edge[1]))
            else:
                result.append((accumulate_node(edge[0]), 0))
        return tuple(entry for i, entry in enumerate(result) if self._shows(i))

    def _shows(self, i: int) -> bool:
        """Whether PyTorch counts operand i among a node's inputs: not numbers, masks, indices."""
        if i < len(self.numbers) and self.numbers[i] is not None:
            return False
        if self.edges[i] is not None or i >= len(self.call.specs):
            return True
        vjp = self.op.vjp
        fixed = vjp.__class__ is tuple and (i >= len(vjp) or vjp[i] is None)
        indexing = self.op.family in ("gather", "scatter")
        return not ((fixed or indexing) and self.call.specs[i].dtype.category < 2)

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's own notes."""
        return self._watched().metadata

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node's backward ran."""
        return RemovableHandle(self._watched().hooks, hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this node's backward runs."""
        return RemovableHandle(self._watched().pre_hooks, hook)

    def _watched(self) -> Watch:
        if self.watch is None:
            self.watch = Watch()
        return self.watch

    def unpack(self) -> tuple:
        """The saved tensors, checked against the versions they were saved at."""
        if self.released:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                "graph are freed when you call .backward() or autograd.grad(). Specify "
                "retain_graph=True if you need to backward through the graph a second time or if "
                "you need to access saved tensors after calling backward."
            )
        if self.watch is not None and self.watch.unpack is not None:
            opened = self.watch.unpack
            return tuple(None if packed is None else opened(packed) for packed in self.saved)
        for i, (tensor, version) in enumerate(zip(self.saved, self.versions, strict=True)):
            if tensor is not None and tensor._version != version:
                raise _changed(self, i, tensor, version)
        if not THREAD.grad:
            return self.saved
        return tuple(
            tensor if tensor is None else self._with_history(i, tensor)
            for i, tensor in enumerate(self.saved)
        )

    def _with_history(self, i: int, tensor: Any) -> Any:
        """The saved tensor as it was: attached to the node that made it (for double backward)."""
        which = self.op.save[i]
        if which >= 0:
            edge = self.edges[which]
            if edge is None or edge[0] is tensor or edge[0] is tensor._grad_fn:
                return tensor
        else:
            edge = (self, -1 - which)
        alias = tensor._alias()
        if alias._spec.dtype.category >= 2:
            if isinstance(edge[0], Node):
                alias._grad_fn, alias._output_nr = edge
                alias._requires_grad = True
            else:
                return edge[0]
        return alias

    def backward(self, grads: tuple) -> tuple:
        """Gradients of the operands from those of the outputs; None where not needed."""
        op = self.op
        saved = self.unpack()
        vjp = op.vjp
        if vjp.__class__ is tuple:
            g = grads[0]
            if g is None:
                return (None,) * len(self.edges)
            results = []
            for i, edge in enumerate(self.edges):
                if edge is None or vjp[i] is None:
                    results.append(None)
                else:
                    grad = vjp[i](self, g, *saved)
                    fix = self.call.grad_fix
                    if fix and fix[i] is not None:
                        grad = grad._reduce_to(*fix[i])
                    results.append(grad)
            return tuple(results)
        return vjp(self, *grads, *saved)

    def become(self, other: Node, edges: tuple) -> None:
        """Take over what ``other`` is, but for its edges and what it saved."""
        self.op, self.call, self.edges = other.op, other.call, edges
        self.saved = self.versions = self.numbers = ()
        self.sequence, self.outputs, self.released = other.sequence, other.outputs, False
        self.watch = None

    def release(self) -> None:
        """Drop what was saved: the graph was used and is not to be kept."""
        release((self,))

    def __repr__(self) -> str:
        return f"<{self.name()} object at {hex(id(self))}>"

    # Properties, as ``__getattr__`` would make every attribute of a node slow to read.
    _saved_result = property(lambda self: self._saved(True))
    _saved_self = property(lambda self: self._saved(False, 0))
    _saved_other = property(lambda self: self._saved(False, 1))

    def _saved(self, result: bool, position: int = 0) -> Any:
        """A saved tensor by PyTorch's name for it: an output, or an operand by its position."""
        for which, tensor in zip(self.op.save, self.unpack(), strict=False):
            if which < 0 if result else which == position:
                return tensor
        name = "result" if result else ("self", "other")[position]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '_saved_{name}'")


def release(nodes: Iterable[Node]) -> None:
    """Drop what these nodes saved; one loop, as a step has many of them."""
    for node in nodes:
        node.saved = node.versions = node.inner = ()
        node.released = bool(node.op.save)


_INFERENCE = (
    "Inference tensors cannot be saved for backward. Please do not use Tensors created in "
    "inference mode in computation tracked by autograd. To work around this, you can make a clone "
    "to get a normal tensor and use it in autograd, or use `torch.no_grad()` instead of "
    "`torch.inference_mode()`."
)


class Watch:
    """What hangs on a node besides its derivative; few nodes have it."""

    __slots__ = ("hooks", "pre_hooks", "metadata", "watchers", "where", "unpack")

    def __init__(self) -> None:
        self.hooks: dict = {}
        self.pre_hooks: dict = {}
        #: The user's own notes.
        self.metadata: dict = {}
        #: By (output number, identity of the hooks): hooks of an output tensor, weak reference to
        #: that tensor.
        self.watchers: dict = {}
        #: The stack that made the node, in anomaly mode.
        self.where: str | None = None
        #: Opens what ``saved_tensors_hooks`` packed; then ``saved`` holds packed things.
        self.unpack: Any = None


class RemovableHandle:
    """What ``register_hook`` returns: ``remove()`` takes the hook away (also a context manager)."""

    _next = itertools.count()

    def __init__(self, hooks: dict, hook: Any) -> None:
        self.id = next(RemovableHandle._next)
        self.hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


class AccumulateGrad:
    """Stands where a leaf's gradient arrives: what ``next_functions`` shows and hooks attach to."""

    __slots__ = ("variable", "_hooks", "_pre_hooks", "__weakref__")

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self._hooks: dict | None = None
        self._pre_hooks: dict | None = None

    next_functions: tuple = ()

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {hex(id(self))}>"

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, hook: Any) -> RemovableHandle:
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        if self._pre_hooks is None:
            self._pre_hooks = {}
        return RemovableHandle(self._pre_hooks, hook)


def accumulate_node(leaf: Any) -> AccumulateGrad:
    """The leaf's AccumulateGrad; the leaf refers to it weakly, so keep it while hooks matter."""
    node = leaf._accumulator() if leaf._accumulator is not None else None
    if node is None:
        node = AccumulateGrad(leaf)
        leaf._accumulator = ref(node)
    return node


def node_class(op: Op) -> type[Node]:
    """The Node subclass that carries the op's grad_fn name."""
    if op.node_class is None:
        op.node_class = type(op.grad_name, (Node,), {"__slots__": ()})
    return op.node_class


def edge_of(tensor: Any) -> tuple | None:
    """Where a gradient for this tensor goes."""
    if not tensor._requires_grad:
        return None
    if tensor._base is not None and tensor._base_generation != tensor._base._generation:
        tensor._regenerate_history()
    grad_fn = tensor._grad_fn
    if grad_fn is None:
        return (tensor, 0)
    return (grad_fn, tensor._output_nr)


def edges_of(tensors: Sequence[Any]) -> list[tuple | None]:
    """``edge_of`` for each of them, on the hot path."""
    edges: list[tuple | None] = []
    for x in tensors:
        if not x._requires_grad:
            edges.append(None)
        elif x._base is None:
            grad_fn = x._grad_fn
            edges.append((x, 0) if grad_fn is None else (grad_fn, x._output_nr))
        else:
            edges.append(edge_of(x))
    return edges


def new_node(op: Op, call: Call, operands: tuple, outs: tuple) -> Node:
    """Record a node for an op that was just recorded; ``outs`` are its fresh output tensors."""
    node = (op.node_class or node_class(op))()
    node.op = op
    node.call = call
    edges: list[Any] = []
    if call.plain:
        node.numbers = ()
        edges = edges_of(operands)
    else:
        numbers = []
        for x, spec in zip(operands, call.specs):  # noqa: B905
            tensor = spec.number is None
            numbers.append(None if tensor else x)
            edges.append(edge_of(x) if tensor else None)
        node.numbers = tuple(numbers)
    node.edges = tuple(edges)
    saved: list[Any] = []
    versions = []
    for which, condition in zip(op.save, op.save_if):  # noqa: B905
        kept: Any = None
        if condition is None or edges[condition] is not None:
            if which < 0:
                kept = outs[-1 - which]._alias()
            elif call.plain or call.specs[which].number is None:
                kept = operands[which]
        saved.append(kept)
        if kept is None:
            versions.append(0)
        else:
            own = kept._own_version
            versions.append(kept._storage.version if own is None else own[0])
    node.saved = tuple(saved)
    node.versions = tuple(versions)
    node.sequence = next_sequence()
    node.released = False
    node.outputs = len(outs)
    node.watch = None
    if PROCESS.unusual:
        _look_closer(node)
    for i, out in enumerate(outs):
        if out._spec.dtype.category >= 2:
            out._grad_fn = node
            out._output_nr = i
            out._requires_grad = True
    return node


def _look_closer(node: Node) -> None:
    """What only programs that used one of these modes must pay for."""
    if any(x is not None and x._inference for x in node.saved):
        raise RuntimeError(_INFERENCE)
    if THREAD.saved_hooks is not None:
        pack, node._watched().unpack = THREAD.saved_hooks
        node.saved = tuple([None if x is None else pack(x) for x in node.saved])
    if ANOMALY.enabled:
        node._watched().where = ANOMALY.stack()


class _Derivation:
    """How a composite gets a derivative from its body; ``autograd`` sets it, being able to."""

    run: Any = None


DERIVATION = _Derivation()


def derived(node: Node, *args: Any) -> tuple:
    """The derivative of a composite that has one node on the tape but no formula of its own."""
    return DERIVATION.run(node, *args)


class _Anomaly:
    """Whether nodes remember the stack that made them (``detect_anomaly``)."""

    enabled = False
    check_nan = True

    def stack(self) -> str:
        import traceback

        return "".join(traceback.format_stack()[:-4])


ANOMALY = _Anomaly()


def _changed(node: Node, i: int, tensor: Any, version: int) -> RuntimeError:
    kind = tensor._type_name()
    which = node.op.save[i]
    made_by = ""
    if which < 0:
        made_by = f", which is output {-1 - which} of {_plain(node)},"
    elif isinstance(tensor.grad_fn, Node):
        made_by = f", which is output {tensor.output_nr} of {_plain(tensor.grad_fn)},"
    shape = list(tensor._spec.shape)
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{kind} {shape}]{made_by} is at version {tensor._version}; expected version "
        f"{version} instead. Hint: enable anomaly detection to find the operation that failed to "
        "compute its gradient, with torch.autograd.set_detect_anomaly(True, "
        "check_nan=False)."
    )


def _plain(node: Node) -> str:
    """The operation that a node is the derivative of: ``Exp`` for ``ExpBackward0``."""
    return node.name().rstrip("0123456789").removesuffix("Backward")
