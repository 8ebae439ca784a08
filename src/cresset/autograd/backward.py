"""``backward`` and ``grad``: the two ways to start the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cresset.autograd import engine, replay
from cresset.core.tape import edge_of
from cresset.tensor import Tensor


def _tensors(x: Any) -> tuple:
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _gradients(given: Any, count: int) -> tuple:
    if given is None:
        return (None,) * count
    return _tensors(given)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulate into ``x.grad`` the gradient of ``sum(tensors * grad_tensors)`` for every leaf x.

    ``inputs`` limits which leaves accumulate. ``create_graph`` records the backward pass itself.

    >>> import cresset as torch
    >>> x = torch.tensor([2.], requires_grad=True)
    >>> torch.autograd.backward(x ** 3)
    >>> x.grad
    tensor([12.])
    """
    if grad_variables is not None and grad_tensors is None:
        grad_tensors = grad_variables
    outputs = _tensors(tensors)
    wanted: dict[Any, Tensor | None] | None = None
    if inputs is not None:
        chosen = _tensors(inputs)
        if not chosen:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        wanted = {}
        for x in chosen:
            edge = edge_of(x)
            if edge is None:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
            wanted[edge] = None
    roots = [
        engine.root(t, g, create_graph)
        for t, g in zip(outputs, _gradients(grad_tensors, len(outputs)), strict=True)
    ]
    keep = create_graph if retain_graph is None else retain_graph
    if not create_graph and wanted is None and replay.run(roots, keep):
        return
    engine.run(roots, keep, create_graph, accumulate=True, wanted=wanted)
    if wanted is not None:
        for x in _tensors(inputs):
            if x.grad_fn is not None:
                gradient = wanted[edge_of(x)]
                if gradient is not None:
                    have = x._grad
                    x._grad = gradient if have is None else have + gradient  # type: ignore[operator]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of ``sum(outputs * grad_outputs)`` with respect to ``inputs``, as a tuple.

    >>> import cresset as torch
    >>> x = torch.tensor(3., requires_grad=True)
    >>> g, = torch.autograd.grad(x ** 2, x, create_graph=True)
    >>> torch.autograd.grad(g, x)
    (tensor(2.),)
    """
    outs, ins = _tensors(outputs), _tensors(inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, "  # noqa: E501
                         "but got: allow_unused=False.")  # fmt: skip
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    if is_grads_batched:
        batch = _gradients(grad_outputs, len(outs))
        from cresset.ops.join import stack

        rows = [
            grad(outs, ins, tuple(g[i] for g in batch), True, create_graph, True, allow_unused)
            for i in range(len(batch[0]))
        ]
        return tuple(stack(list(column)) for column in zip(*rows, strict=True))
    wanted: dict[Any, Tensor | None] = {}
    for x in ins:
        edge = edge_of(x)
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        wanted[edge] = None
    edges = [edge_of(x) for x in ins]
    roots = [
        engine.root(t, g, create_graph)
        for t, g in zip(outs, _gradients(grad_outputs, len(outs)), strict=True)
    ]
    for root in roots:
        if root.edge in wanted:
            wanted[root.edge] = root.first_gradient()
    keep = create_graph if retain_graph is None else retain_graph
    engine.run(roots, keep, create_graph, accumulate=False, wanted=wanted)
    results = []
    for i, (x, edge) in enumerate(zip(ins, edges, strict=True)):
        gradient = wanted[edge]
        if gradient is None:
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the "
                    "graph. Set allow_unused=True if this is the desired behavior."
                )
            if materialize_grads:
                gradient = x.new_zeros(x.shape)  # type: ignore[attr-defined]
        results.append(gradient)
    return tuple(results)


def tensor_backward(
    self: Tensor, gradient: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False, inputs: Any = None,
) -> None:  # fmt: skip
    """Accumulate the gradient of this tensor into ``grad`` of the leaves it was made from.

    A scalar needs no ``gradient``; other tensors need one of their shape (the vector of the
    vector-Jacobian product). Saved values are freed unless ``retain_graph``.
    """
    if gradient is None and inputs is None and not create_graph:
        if replay.again(self, bool(retain_graph)):
            return
    elif gradient is not None and not isinstance(gradient, Tensor):
        raise TypeError(
            f"gradients can be either Tensors or None, but got {type(gradient).__name__}"
        )
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


Tensor.backward = tensor_backward  # type: ignore[attr-defined]
