"""Tracing: what a composite's body records, kept as the steps it expands to.

The body runs once per Call on stand-in tensors in a graph of its own. It may only record ops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.core import graph as recording
from cresset.core.call import Body, Op
from cresset.core.modes import THREAD
from cresset.core.spec import NumberStandIn, Spec
from cresset.core.storage import Storage


def trace(
    op: Op,
    params: tuple,
    specs: tuple[Spec, ...],
    wrap: Callable[[Storage, Spec], Any],
    copy: Callable[[Any], Any],
) -> tuple[tuple[Spec, ...], Body]:
    """Run ``op.body`` on stand-ins; return the specs of its outputs and its steps.

    ``wrap`` makes a tensor (or a NumberStandIn) of a storage, ``copy`` records a dense copy of one.
    """
    assert op.body is not None
    with recording.LOCK:
        outer = recording.RECORDER.graph
        graph = recording.RECORDER.graph = recording.Graph(tracing=True)
        grad, THREAD.grad = THREAD.grad, False
        try:
            stand_ins = []
            for spec in specs:
                storage = Storage(spec.dtype, spec.numel, spec.device)
                storage.epoch, storage.slot = graph.epoch, graph.slots
                graph.slots += 1
                stand_ins.append(wrap(storage, spec))
            result = op.body(*stand_ins, *params)
            outputs = list(result) if isinstance(result, (tuple, list)) else [result]
            seen = set(range(len(specs)))
            for i, out in enumerate(outputs):
                own = out._spec.offset == 0 and out._spec.numel == out._storage.size
                dense = out._spec.contiguous or out._spec.memory_order() is not None
                if not (own and dense) or out._storage.slot in seen:
                    outputs[i] = out = copy(out)
                seen.add(out._storage.slot)
            numbers = {
                slot: value.slot
                for slot, value, _ in graph.inputs
                if value.__class__ is NumberStandIn
            }
            steps = tuple(
                (
                    call,
                    tuple([numbers.get(slot, slot) for slot in operands]),
                    tuple(range(first, first + len(call.outs))),
                )
                for call, (first, *operands) in zip(graph.calls, graph.operands, strict=True)
            )
            body = Body(
                steps,
                tuple(range(len(specs))),
                tuple((slot, v) for slot, v, _ in graph.inputs if slot not in numbers),
                tuple(out._storage.slot for out in outputs),
                graph.slots,
            )
            return tuple(out._spec for out in outputs), body
        finally:
            THREAD.grad = grad
            recording.RECORDER.graph = outer
