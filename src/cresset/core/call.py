"""``Op`` and ``Call``: what an operation means, and one use of it at fixed shapes.

An :class:`Op` is written once, in ``cresset/ops``: its shape and dtype rule (``infer``), its
reference kernel or its body, and its derivative. A :class:`Call` is an op applied to operands of
known specs with known static arguments. Calls are interned in a table keyed by (op, params, specs),
so the shape rule of a line in a loop runs once, and a graph is a sequence of Calls that compares by
identity.

*Primitives* have a ``kernel(xp, *arrays, *params)`` that returns fresh arrays. *Composites* have a
``body(*tensors, *params)`` over other ops: it is traced once per Call and expanded when a plan is
built.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from cresset.core.spec import Spec
from cresset.dtypes import dtype

#: Marks an output in ``Op.save``: OUT is the first output, OUT - 1 the second.
OUT = -1


class Result(NamedTuple):
    """What a shape rule returns: output specs, and the dtype operands are converted to first."""

    outs: tuple[Spec, ...]
    compute: dtype | None = None


class Op:
    """One operation; see the module docstring. Identity is the name."""

    __slots__ = (
        "name", "infer", "kernel", "body", "vjp", "save", "grad_name", "raw", "writes", "family",
        "node_class", "checks_values", "multi", "batch_grad", "save_if",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        infer: Callable[..., Any] | None,
        kernel: Callable[..., Any] | None = None,
        *,
        body: Callable[..., Any] | None = None,
        vjp: Any = None,
        save: tuple[int, ...] = (),
        save_if: tuple[int | None, ...] = (),
        grad_name: str | None = None,
        raw: bool = False,
        writes: bool = False,
        family: str = "opaque",
        checks_values: bool = False,
        multi: bool = False,
        broadcasts: bool = False,
    ) -> None:
        self.name = name
        #: ``infer(*specs, *params)`` -> Spec, tuple of Specs, or Result (a body needs none).
        self.infer: Any = infer
        self.kernel = kernel
        self.body = body
        #: A tuple with one function per operand (None: no derivative), or one function for all.
        self.vjp = vjp
        #: Which operands (0, 1, ...) and outputs (OUT) the derivative reads.
        self.save = save
        #: Per entry of ``save``: the operand whose gradient reads it (None: always saved).
        self.save_if = save_if or (None,) * len(save)
        self.grad_name = grad_name or "".join(w.title() for w in name.split("_")) + "Backward0"
        #: The kernel moves elements and does not compute: half types stay in storage form.
        self.raw = raw
        #: ``write`` ops return their first operand changed, and may change it in place if it is
        #: dead.
        self.writes = writes
        #: What the compiler may do with it: pointwise, reduce, view, gather, matmul, conv, opaque.
        self.family = family
        #: The kernel can reject values (an index out of range): the user's line is remembered.
        self.checks_values = checks_values
        #: The op always returns a tuple.
        self.multi = multi
        #: Operands were broadcast, so gradients are summed back to each operand's shape.
        self.batch_grad = broadcasts
        self.node_class: Any = None

    def named(self, grad_name: str) -> Op:
        """The same op, whose node on the tape has another name."""
        twin = copy.copy(self)
        twin.grad_name, twin.node_class = grad_name, None
        return twin

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class Body(NamedTuple):
    """A traced composite: steps over local slots. Operand i has slot ``inputs[i]``."""

    steps: tuple[tuple[Call, tuple[int, ...], tuple[int, ...]], ...]
    inputs: tuple[int, ...]
    constants: tuple[tuple[int, Any], ...]
    outputs: tuple[int, ...]
    slots: int


class Call:
    """An op at known operand specs and static arguments, with its output specs."""

    __slots__ = ("op", "params", "specs", "outs", "compute", "nbytes", "body", "grad_fix", "plain",
                 "size", "shown", "hidden")  # fmt: skip

    def __init__(self, op: Op, params: tuple, specs: tuple[Spec, ...], result: Any) -> None:
        self.op = op
        self.params = params
        self.specs = specs
        if isinstance(result, Spec):
            result = Result((result,))
        elif not isinstance(result, Result):
            result = Result(tuple(result))
        self.outs: tuple[Spec, ...] = result.outs
        self.compute: dtype | None = result.compute
        self.nbytes = sum(s.nbytes for s in self.outs)
        #: Outputs that get a storage when it is recorded; how many more there are.
        self.shown, self.hidden = self.outs, 0
        #: For how many Calls it stands where a graph's nodes are counted.
        self.size = 1
        #: All operands are tensors.
        self.plain = all([s.number is None for s in specs])
        #: For a composite: what it expands to.
        self.body: Body | None = None
        #: Per operand: None, or the (shape, dtype) its gradient must be brought back to.
        out = self.outs[0] if self.outs else None
        self.grad_fix: tuple = ()
        if out is not None and op.batch_grad:
            self.grad_fix = tuple(
                None
                if s.number is not None or (s.shape == out.shape and s.dtype is out.dtype)
                else (s.shape, s.dtype)
                for s in specs
            )

    def __repr__(self) -> str:
        operands = ", ".join(map(repr, self.specs))
        params = f" {self.params}" if self.params else ""
        return f"{self.op.name}({operands}){params} -> {', '.join(map(repr, self.outs))}"


#: Every Call by (op, params, specs); the recording fast path reads it.
CALLS: dict[tuple, Call] = {}
_MOST_CALLS = 20_000


def intern(op: Op, params: tuple, specs: tuple[Spec, ...], call: Call) -> Call:
    """Put a new Call into the table."""
    if len(CALLS) >= _MOST_CALLS:
        # Shapes that never come back must not pile up: forget the older half.
        for old in list(CALLS)[: _MOST_CALLS // 2]:
            del CALLS[old]
    CALLS[(op, params, specs)] = call
    return call


class _Setting:
    """Counts the times that a setting changed on which shape rules depend."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0


SETTING = _Setting()


def forget_calls() -> None:
    """Drop the table (a shape rule depends on a setting that was changed: the default dtype)."""
    CALLS.clear()
    SETTING.changes += 1
