"""``Batch``: the parameters that one node of a step updates.

A step of a small network costs what Python does per parameter, so a batch is kept from step to
step: the next one only looks whether all tensors are the ones it knows, and takes the new
gradients. Between steps it holds no gradient: ``zero_grad`` frees them.
"""

from __future__ import annotations

from itertools import repeat
from operator import attrgetter, is_
from typing import Any

from cresset.core import graph
from cresset.core.call import CALLS, Call, Op
from cresset.core.spec import Spec, number_spec
from cresset.core.storage import Storage
from cresset.ops.inplace import write
from cresset.ops.registry import apply
from cresset.tensor import Tensor

_SPEC, _STORAGE, _GRAD = attrgetter("_spec"), attrgetter("_storage"), attrgetter("_grad")
_OFFSET, _NUMEL, _DTYPE = attrgetter("offset"), attrgetter("numel"), attrgetter("dtype")
_EXPORTED, _SIZE = attrgetter("exported"), attrgetter("size")


class Batch:
    """Parameters, and the operands of their update: each parameter, its gradient, its state."""

    __slots__ = ("parameters", "operands", "states", "held", "_call", "_specs", "_static", "_into")

    def __init__(self) -> None:
        self.parameters: list[Tensor] = []
        self.operands: list[Tensor] = []
        #: Per parameter its state, and all state tensors of all parameters.
        self.states: list[dict[str, Any]] = []
        self.held: list[Tensor] = []
        # The node recorded last: its Call, what it was made for, and what it wrote into.
        self._call: Call | None = None
        self._specs: list[Spec] = []
        self._static: tuple = ()
        self._into: list[Storage] = []

    def add(self, p: Tensor, g: Tensor, state: dict[str, Any], held: list[Tensor]) -> None:
        """One more parameter."""
        self.parameters.append(p)
        self.operands.append(p)
        self.operands.append(g)
        self.operands.extend(held)
        self.states.append(state)
        self.held.extend(held)

    def renew(self, params: list[Tensor], states: dict[Any, Any], names: tuple[str, ...]) -> bool:
        """Take the gradients of another step, if these are the same tensors as before."""
        mine = self.parameters
        if len(params) != len(mine) or not all(map(is_, params, mine)):
            return False
        gradients = list(map(_GRAD, params))
        if any(map(is_, gradients, repeat(None))):
            return False
        if names:
            if not all(map(is_, map(states.get, params), self.states)):
                return False
            held = [state.get(name) for state in self.states for name in names]
            if len(held) != len(self.held) or not all(map(is_, held, self.held)):
                return False
        self.operands[1 :: 2 + len(names)] = gradients
        return True

    def record(self, op: Op, numbers: tuple, static: tuple, state: int) -> None:
        """One node that updates all parameters and their state, which is there."""
        self._record(op, numbers, static, state)
        self.operands[1 :: 2 + state] = [None] * len(self.parameters)  # type: ignore[list-item]

    def _record(self, op: Op, numbers: tuple, static: tuple, state: int) -> None:
        operands, width = self.operands, 2 + state
        storages = list(map(_STORAGE, operands))
        into = storages.copy()
        del into[1::width]
        specs = list(map(_SPEC, operands))
        specs += map(number_spec, numbers)
        if specs != self._specs or into != self._into or static != self._static:
            self._call = _fitting(op, specs, into, self._params(state, static), width)
            self._specs, self._into, self._static = specs, into, static
        written = operands.copy()
        del written[1::width]
        if self._call is None or any(map(_EXPORTED, storages)):
            results = apply(op, (*operands, *numbers), self._params(state, static))
            self._specs = []  # there is a Call now
            for x, result in zip(written, results, strict=True):
                write(x, result)
            return
        graph.record(self._call, storages, into, numbers)
        for x, storage in zip(written, into):  # noqa: B905
            own = x._own_version
            if own is None:
                storage.version += 1
            else:
                own[0] += 1

    def _params(self, state: int, static: tuple) -> tuple:
        """The static arguments of the node's Call."""
        return len(self.parameters), (False,) * state, static


def _fitting(
    op: Op, specs: list[Spec], into: list[Storage], params: tuple, width: int
) -> Call | None:
    """The Call whose outputs can become the values of ``into`` as they are, if it is known."""
    call = CALLS.get((op, params, tuple(specs)))
    operands = specs[: params[0] * width]
    if call is None or any(map(_OFFSET, operands)):
        return None
    del operands[1::width]
    fits = (
        tuple(operands) == call.outs
        and list(map(_NUMEL, call.outs)) == list(map(_SIZE, into))
        and list(map(_DTYPE, call.outs)) == list(map(_DTYPE, into))
    )
    return call if fits else None
