"""Derivatives of composites from their bodies.

A composite whose ``vjp`` is ``core.tape.derived`` is one node on the tape, under one name. Its
gradient is found by running the body again on what was saved, with gradients on, and going back
through that. The plan drops what only the value needed.
"""

from __future__ import annotations

from typing import Any

from cresset.autograd.backward import grad
from cresset.core.modes import THREAD
from cresset.core.tape import DERIVATION, Node
from cresset.tensor import Tensor


def derive(node: Node, *args: Any) -> tuple:
    """Gradients of the operands; with ``create_graph`` they can be differentiated again."""
    gradients, saved = args[: node.outputs], args[node.outputs :]
    create = THREAD.grad
    operands: list[Any] = []
    numbers = node.numbers or (None,) * len(saved)
    for x, number, edge in zip(saved, numbers, node.edges, strict=True):
        if x is None:
            x = number
        elif not create:
            x = x._alias()
            x._requires_grad = edge is not None
        operands.append(x)
    THREAD.grad = True
    try:
        assert node.op.body is not None
        results = node.op.body(*operands, *node.call.params)
        outs = [results] if isinstance(results, Tensor) else list(results)
        pairs = [(y, g) for y, g in zip(outs, gradients, strict=True) if g is not None]
        inputs = [x for x, edge in zip(operands, node.edges, strict=True) if edge is not None]
        found = iter(
            grad(
                [y for y, _ in pairs],
                inputs,
                [g for _, g in pairs],
                create_graph=create,
                allow_unused=True,
            )
        )
    finally:
        THREAD.grad = create
    return tuple(None if edge is None else next(found) for edge in node.edges)


DERIVATION.run = derive
