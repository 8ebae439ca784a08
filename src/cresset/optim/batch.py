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
#: Options that stay what they are as long as they are the same object.
_FIXED = (bool, int, float, str, type(None))


class Batch:
    """Parameters, and the operands of their update: each parameter, its gradient, its state.

    ``names`` are those of the state tensors, ``fresh`` says of each whether the step makes it.
    """

    __slots__ = ("parameters", "gradients", "written", "states", "names", "fresh", "_op",
                 "_numbers", "_kinds", "_static", "options", "_call", "_specs",
                 "_into", "_operands")  # fmt: skip

    def __init__(self, names: tuple[str, ...], fresh: tuple[bool, ...]) -> None:
        self.parameters: list[Tensor] = []
        self.gradients: list[Tensor] = []
        #: Per parameter it and the state tensors that are there.
        self.written: list[Tensor] = []
        self.states: list[dict[str, Any]] = []
        self.names, self.fresh = names, fresh
        #: The options that numbers and static arguments were made from, if they stay what they are
        #: as long as they are the same objects.
        self.options: list[Any] = [object()]
        # The node recorded last: its Call, what it was made for, and what it wrote into.
        self._call: Call | None = None
        self._specs: list[Spec] = []
        self._into: list[Storage] = []
        #: The node's tensor operands but for the gradients, which change places with something.
        self._operands: list[Storage] = []

    def add(self, p: Tensor, g: Tensor, state: dict[str, Any], held: list[Tensor]) -> None:
        """One more parameter."""
        self.parameters.append(p)
        self.gradients.append(g)
        self.written.append(p)
        self.written.extend(held)
        self.states.append(state)

    def set(self, op: Op, numbers: tuple, static: tuple, options: dict[str, Any]) -> None:
        """What the next nodes do. ``options`` say what numbers and arguments depend on."""
        self._op, self._numbers = op, numbers
        self._kinds = list(map(number_spec, numbers))
        if self._call is not None and static != self._static:
            self._call, self._specs = None, []
        self._static = static
        values = list(options.values())
        fixed = all(isinstance(v, _FIXED) or v is options.get("params") for v in values)
        self.options = values if fixed else [object()]

    def renew(self, params: list[Tensor], states: dict[Any, Any]) -> bool:
        """Take the gradients of another step, if these are the same tensors as before."""
        mine = self.parameters
        if len(params) != len(mine) or not all(map(is_, params, mine)):
            return False
        gradients = list(map(_GRAD, params))
        if any(map(is_, gradients, repeat(None))):
            return False
        names = self.names
        if names:
            if not all(map(is_, map(states.get, params), self.states)):
                return False
            held = [state.get(name) for state in self.states for name in names]
            mine = self.written.copy()
            del mine[:: 1 + len(names)]
            if not all(map(is_, held, mine)):
                return False
        self.gradients = gradients
        return True

    def record(self) -> None:
        """One node that updates all parameters and their state, which is there; lets the gradients
        go."""
        gradients, written = self.gradients, self.written
        self.gradients = []
        into = list(map(_STORAGE, written))
        specs = [*map(_SPEC, written), *map(_SPEC, gradients), *self._kinds]
        if specs != self._specs or into != self._into:
            self._call = self._fitting(specs, into)
            self._specs, self._into = specs, into
            self._operands = self._mixed(into, into[: len(gradients)])
        storages = self._operands.copy()
        storages[1 :: len(into) // len(gradients) + 1] = map(_STORAGE, gradients)
        if self._call is None or any(map(_EXPORTED, storages)):
            self._record_singly(gradients)
            return
        graph.record(self._call, storages, into, self._numbers)
        for x, storage in zip(written, into):  # noqa: B905
            own = x._own_version
            if own is None:
                storage.version += 1
            else:
                own[0] += 1

    def _record_singly(self, gradients: list[Tensor]) -> None:
        """Record the node, and write each of its outputs where it belongs."""
        results = self.results(gradients)
        self._specs = []  # there is a Call now
        for x, result in zip(self.written, results, strict=True):
            write(x, result)

    def results(self, gradients: list[Tensor]) -> tuple[Tensor, ...]:
        """The new values of each parameter and its state."""
        operands = (*self._mixed(self.written, gradients), *self._numbers)
        return tuple(apply(self._op, operands, self._params()))

    def _mixed(self, written: list[Any], gradients: list[Any]) -> list[Any]:
        """In the order of the node's operands: the gradient second of each parameter's."""
        width = len(written) // len(gradients)
        if width == 1:
            mixed = written + gradients
            mixed[::2], mixed[1::2] = written, gradients
            return mixed
        mixed = []
        for i, gradient in enumerate(gradients):
            p, *held = written[i * width : (i + 1) * width]
            mixed += [p, gradient, *held]
        return mixed

    def _params(self) -> tuple:
        """The static arguments of the node's Call."""
        return len(self.parameters), self.fresh, self._static

    def _fitting(self, specs: list[Spec], into: list[Storage]) -> Call | None:
        """The Call whose outputs can become the values of ``into`` as they are, if it is known."""
        written, count = specs[: len(into)], len(into) + len(self.parameters)
        operands = self._mixed(written, specs[len(into) : count]) + self._kinds
        call = CALLS.get((self._op, self._params(), tuple(operands)))
        if call is None or any(map(_OFFSET, specs[:count])):
            return None
        fits = (
            tuple(written) == call.outs
            and list(map(_NUMEL, call.outs)) == list(map(_SIZE, into))
            and list(map(_DTYPE, call.outs)) == list(map(_DTYPE, into))
        )
        return call if fits else None
