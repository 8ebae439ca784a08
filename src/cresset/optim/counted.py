"""Optimisers that keep numbers per parameter: 0-dim state that the host reads and writes.

Those numbers (a running product, an average's weight) never enter a plan as tensors. They are
read when the step is recorded and become its run-time numbers; parameters with the same ones are
still updated by one node.
"""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.dtypes import float32
from cresset.ops.creation import tensor
from cresset.optim.optimizer import Batch, Optimizer, _advance
from cresset.tensor import Tensor


def replace_number(held: Tensor, value: float) -> None:
    """Put a number into a 0-dim tensor without a node; earlier recorded reads keep theirs."""
    storage = held._storage
    old = graph.materialize(storage)
    if storage.home or storage.exported:
        old[held._spec.offset] = value
    else:
        storage.buffer = old.copy()
        storage.buffer[held._spec.offset] = value
    held._bump_version()


class CountedOptimizer(Optimizer):
    """Base of optimisers whose run-time numbers differ by parameter."""

    counts_steps = True

    def _turn(self, state: dict[str, Any], group: dict[str, Any], step: int) -> tuple:
        """The numbers of a parameter's update; moves its 0-dim state on."""
        raise NotImplementedError

    def _step_group(self, group: dict[str, Any]) -> None:
        names = self._state_names(group)
        batches: dict[Any, Batch] = {}
        for p in group["params"]:
            g = p._grad
            if g is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = tensor(0.0, dtype=float32)
                state.update(self._new_state(p, group))
            numbers = self._turn(state, group, _advance(state["step"]))
            key = (p._spec.dtype, p._spec.device, numbers)
            batch = batches.setdefault(key, Batch(names, (False,) * len(names)))
            batch.add(p, g, state, [state[name] for name in names])
        for (_, _, numbers), batch in batches.items():
            batch.set(self._op(), numbers, self._static(group), group)
            batch.record()
