"""The backward pass: gradients flow from the outputs to the leaves, newest node first.

Every node is younger than the nodes its operands came from, so visiting the reachable nodes by
falling sequence number is a reverse topological order, and no recursion is needed however deep the
graph is. Each node's ``backward`` records ordinary ops: with ``create_graph`` those go on the tape
themselves, which is all that higher derivatives take.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from cresset.core import graph
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import ANOMALY, Node, Watch, edge_of
from cresset.ops.inplace import contiguous, filled
from cresset.ops.pointwise import add
from cresset.tensor import Tensor


class Root(NamedTuple):
    """Where a backward pass starts: the edge of an output, its spec, and its gradient."""

    edge: tuple
    spec: Spec
    #: None for ones.
    gradient: Tensor | None

    def first_gradient(self) -> Tensor:
        """The gradient that is sent into the edge."""
        if self.gradient is not None:
            return self.gradient
        spec = self.spec
        return filled(1, dense(spec.dtype, spec.shape, spec.device))


def run(
    roots: Sequence[Root],
    keep_graph: bool,
    create_graph: bool,
    accumulate: bool,
    wanted: dict[Any, Tensor | None] | None = None,
) -> None:
    """Send the gradients of ``roots`` through the tape.

    With ``accumulate`` the leaves' ``grad`` grow. ``wanted`` maps (node, output number) or
    (tensor, 0) to gradients to capture; if given, only those leaves accumulate.
    """
    pending: dict[Any, list[Tensor | None]] = {}
    leaves: dict[int, tuple[Tensor, Tensor]] = {}
    #: Gradient memory that somebody besides one leaf may look at.
    seen_outside = set()
    nodes = reachable([root.edge[0] for root in roots])
    waiting = _edges_to_leaves(nodes)
    if wanted is not None:
        nodes = _leading_to(nodes, wanted)
    previous, THREAD.grad = THREAD.grad, create_graph
    try:
        for root in roots:
            gradient = root.first_gradient()
            seen_outside.add(gradient._storage)
            _deliver(root.edge, gradient, pending, leaves)
        for root in roots:
            start = root.edge[0]
            if not isinstance(start, Node) and not waiting.get(id(start)):
                _finish_leaf(leaves, start, create_graph, accumulate, wanted, seen_outside)
        for node in nodes:
            grads = pending.pop(node, None)
            if grads is None:
                results: tuple = (None,) * len(node.edges)
            else:
                results = _step(node, grads, wanted, seen_outside)
                if not keep_graph:
                    node.release()
            for edge, gradient in zip(node.edges, results, strict=True):
                if edge is None:
                    continue
                target = edge[0]
                if gradient is not None:
                    _deliver(edge, gradient, pending, leaves)
                if not isinstance(target, Node):
                    key = id(target)
                    left = waiting[key] - 1
                    waiting[key] = left
                    if left == 0:
                        _finish_leaf(leaves, target, create_graph, accumulate, wanted, seen_outside)
    finally:
        THREAD.grad = previous
    if accumulate:
        graph.count_pass()


def reachable(starts: list, opened: bool = True) -> list[Node]:
    """Nodes to visit, youngest first; stretches among them stay shut unless ``opened``."""
    seen: set[int] = set()
    stack = [s for s in starts if isinstance(s, Node)]
    nodes: list[Node] = []
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if opened:
            node.open()
        nodes.append(node)
        for edge in node.edges:
            if edge is not None and isinstance(edge[0], Node):
                stack.append(edge[0])
    nodes.sort(key=_youngest_first)
    return nodes


def _edges_to_leaves(nodes: list[Node]) -> dict[int, int]:
    """How many edges lead to each leaf, by the leaf's identity."""
    count: dict[int, int] = {}
    for node in nodes:
        for edge in node.edges:
            if edge is not None and not isinstance(edge[0], Node):
                key = id(edge[0])
                count[key] = count.get(key, 0) + 1
    return count


def _youngest_first(node: Node) -> float:
    return -node.sequence


def _leading_to(nodes: list[Node], wanted: dict[Any, Tensor | None]) -> list[Node]:
    """Only the nodes from which some wanted gradient can be reached, or whose own is wanted."""
    targets = {key[0] if isinstance(key[0], Node) else id(key[0]) for key in wanted}
    useful: set[Node] = set()
    for node in reversed(nodes):
        for edge in node.edges:
            if edge is None:
                continue
            target = edge[0]
            if (target in useful or target in targets) if isinstance(target, Node) else (
                id(target) in targets
            ):  # fmt: skip
                useful.add(node)
                break
    return [n for n in nodes if n in useful or n in targets]


def _deliver(edge: tuple, gradient: Tensor, pending: dict, leaves: dict) -> None:
    """Add a gradient to what has arrived at an edge so far."""
    target, number = edge
    if isinstance(target, Node):
        slots = pending.get(target)
        if slots is None:
            slots = pending[target] = [None] * target.outputs
        have = slots[number]
        slots[number] = gradient if have is None else add(have, gradient)
    else:
        entry = leaves.get(id(target))
        leaves[id(target)] = (target, gradient if entry is None else add(entry[1], gradient))


def _step(
    node: Node, grads: list, wanted: dict[Any, Tensor | None] | None, seen_outside: set
) -> tuple:
    """Hooks, then the node's own backward."""
    watch = node.watch
    if watch is not None:
        _before(node, watch, grads)
    if wanted is not None:
        for number, gradient in enumerate(grads):
            if gradient is not None and (node, number) in wanted:
                wanted[node, number] = gradient
    if watch is None or watch.where is None:
        results = node.backward(tuple(grads))
    else:
        results = _careful_backward(node, watch.where, tuple(grads))
    if watch is not None:
        for hook in list(watch.hooks.values()):
            changed = hook(results, tuple(grads))
            if changed is not None:
                results = changed if isinstance(changed, tuple) else (changed,)
    if watch is not None or node.op.family == "user":
        seen_outside.update(g._storage for g in (*grads, *results) if g is not None)
    return results


def _before(node: Node, watch: Watch, grads: list) -> None:
    """Hooks of the output tensors and of the node; they may replace ``grads``."""
    for (number, _), (hooks, owner) in list(watch.watchers.items()):
        gradient = grads[number]
        if gradient is None:
            continue
        for hook in list(hooks.values()):
            changed = hook(gradient)
            if changed is not None:
                gradient = grads[number] = changed
        tensor = owner()
        if tensor is not None and tensor._retains:
            have = tensor._grad
            tensor._grad = gradient if have is None else add(have, gradient)
    for hook in list(watch.pre_hooks.values()):
        changed = hook(tuple(grads))
        if changed is not None:
            grads[:] = [changed] if isinstance(changed, Tensor) else list(changed)


def _careful_backward(node: Node, where: str, grads: tuple) -> tuple:
    """Anomaly mode: name the forward call of the node that failed or made NaNs."""
    import warnings

    try:
        results = node.backward(grads)
    except Exception:
        warnings.warn(
            f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
            f"{where}",
            UserWarning,
            stacklevel=2,
        )
        raise
    if ANOMALY.check_nan:
        for i, result in enumerate(results):
            if result is not None and bool((result != result).any()):
                warnings.warn(
                    f"Error detected in {node.name()}. Traceback of forward call that caused the "
                    f"error:\n{where}",
                    UserWarning,
                    stacklevel=2,
                )
                raise RuntimeError(
                    f"Function '{node.name()}' returned nan values in its {i}th output."
                )
    return results


def _finish_leaf(
    leaves: dict,
    leaf: Tensor,
    create_graph: bool,
    accumulate: bool,
    wanted: dict[Any, Tensor | None] | None,
    seen_outside: set,
) -> None:
    """All gradients of a leaf have arrived: hooks, then ``grad``."""
    entry = leaves.pop(id(leaf), None)
    if entry is None:
        return
    gradient = entry[1]
    del entry
    if leaf._hooks:
        for hook in list(leaf._hooks.values()):
            seen_outside.add(gradient._storage)
            changed = hook(gradient)
            if changed is not None:
                gradient = changed
                seen_outside.add(gradient._storage)
    if wanted is not None and (leaf, 0) in wanted:
        wanted[leaf, 0] = gradient
    if not accumulate or (wanted is not None and (leaf, 0) not in wanted):
        return
    node = leaf._accumulator() if leaf._accumulator is not None else None
    if node is not None and node._pre_hooks:
        for hook in list(node._pre_hooks.values()):
            changed = hook((gradient,))
            if changed is not None:
                gradient = changed[0] if isinstance(changed, tuple) else changed
    with graph.LOCK:  # other threads' passes may reach the same leaf
        have = leaf._grad
        if have is None:
            leaf._grad = _own_gradient(gradient, create_graph, seen_outside)
        elif create_graph:
            leaf._grad = add(have, gradient)
        else:
            # In place, as PyTorch does: whoever holds leaf.grad sees it grow.
            have.add_(gradient)  # type: ignore[attr-defined]
    if node is not None and node._hooks:
        for hook in list(node._hooks.values()):
            hook((), (gradient,))
    if leaf._post_hooks:
        for hook in list(leaf._post_hooks.values()):
            hook(leaf)


def _own_gradient(gradient: Tensor, create_graph: bool, seen_outside: set) -> Tensor:
    """A gradient that only this leaf holds: taken over if nobody else can see it, else copied."""
    if create_graph:
        return gradient
    spec, storage = gradient._spec, gradient._storage
    if (
        spec.compact
        and spec.numel == storage.size
        and storage not in seen_outside
        and sys.getrefcount(storage) <= _ONE_TENSOR
        and not storage.exported
    ):
        seen_outside.add(storage)
        return gradient._alias()
    if not spec.contiguous:
        return contiguous(gradient._alias())
    return gradient._alias().clone()  # type: ignore[attr-defined]


def _count_for_one_tensor() -> int:
    """References to a storage that one tensor holds, counted as ``_own_gradient`` counts them."""
    from cresset import dtypes
    from cresset.core.spec import dense
    from cresset.core.storage import Storage
    from cresset.device import CPU
    from cresset.tensor import wrap

    tensor = wrap(Storage(dtypes.float32, 1, CPU), dense(dtypes.float32, (1,)))
    storage = tensor._storage
    return sys.getrefcount(storage)


_ONE_TENSOR = _count_for_one_tensor()


def root(tensor: Tensor, gradient: Tensor | None, create_graph: bool) -> Root:
    """The edge and first gradient of an output, checked as PyTorch checks them."""
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    if gradient is None:
        if tensor._spec.numel != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if not tensor._spec.dtype.is_floating_point:
            raise RuntimeError(
                "grad can be implicitly created only for real scalar outputs but got "
                f"{tensor.dtype}"
            )
    else:
        if gradient._spec.shape != tensor._spec.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] "
                f"has a shape of {tensor.shape}."
            )
        if gradient.dtype.is_complex != tensor.dtype.is_complex:
            raise RuntimeError(
                "For complex Tensors, both grad_output and output are required to have the same "
                f"dtype. Mismatch in dtype: grad_output[0] has a dtype of {gradient.dtype} and "
                f"output[0] has a dtype of {tensor.dtype}."
            )
        if not create_graph and gradient._requires_grad:
            gradient = gradient.detach()
    return Root(edge, tensor._spec, gradient)
