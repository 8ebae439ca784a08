"""Ops of batches that also take one sample: a batch of one is made and taken away again.

The whole is one composite, so that it has one node on the tape, under the name of the op.
"""

from __future__ import annotations

from typing import Any

from cresset.core.tape import derived
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.view import squeeze, unsqueeze


def single(op: Op, operands: int = 1) -> Op:
    """``op`` for operands without the batch dimension."""

    def body(*args: Any) -> Any:
        batch = tuple(unsqueeze(x, 0) for x in args[:operands])
        outs = apply(op, batch, args[operands:])
        return squeeze(outs, 0) if isinstance(outs, Tensor) else tuple(squeeze(y, 0) for y in outs)

    return Op(
        op.name + "_single", None, body=body, vjp=derived, save=tuple(range(operands)),
        grad_name=op.grad_name, checks_values=op.checks_values,
    )  # fmt: skip
