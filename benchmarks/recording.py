"""What recording costs: the CIFAR net's whole training step, with the computing taken out.

``python benchmarks/recording.py`` prints the microseconds per step that Python spends on checks,
nodes, the tape, the backward pass and the optimiser; what a flush adds besides the kernels; and how
many nodes a step has. For the measurement every plan is replaced by one that hands out buffers
computed before.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import workloads

import cresset
from cresset.core import graph


class _Hollow:
    """A plan that computes nothing: outputs keep the values of the first run."""

    def __init__(self, plan: Any) -> None:
        self.plan = plan
        self.slots = plan.slots
        self.seen = plan.seen
        self.compile_at = -1
        self.values: list[Any] | None = None

    def start(self, values: list[Any]) -> bool:
        return False

    def run(self, values: list[Any], lines: dict[int, str]) -> Any:
        if self.values is None:
            failure = self.plan.run(values, lines)
            self.values = list(values)
            return failure
        values[:] = self.values
        return None


class _HollowCache:
    """A plan cache that empties the plans it is given."""

    def __init__(self) -> None:
        self.plans: dict[Any, _Hollow] = {}

    def get(self, program: Any) -> _Hollow | None:
        return self.plans.get(program)

    def put(self, program: Any, plan: Any) -> None:
        self.plans[program] = _Hollow(plan)


def measure(rounds: int = 40, repeats: int = 50) -> dict[str, Any]:
    """Seconds per recorded step (best of the rounds) and per flush; nodes and kernels of a step."""
    step = workloads.cifar(4)(cresset)
    for _ in range(3):
        step().item()
    real_cache, real_flush = graph.RECORDER.cache, graph.flush
    flushing = [0.0]
    nodes = [0]

    def timed_flush(reason: str = "asked for", leave: bool = False) -> None:
        nodes[0] = len(graph.RECORDER.graph.calls) or nodes[0]
        start = time.perf_counter()
        real_flush(reason, leave)
        flushing[0] += time.perf_counter() - start

    cache = _HollowCache()
    graph.RECORDER.cache = cache  # type: ignore[assignment]
    graph.flush = timed_flush
    try:
        for _ in range(5):
            step()
        records, flushes = [], []
        for _ in range(rounds):
            flushing[0] = 0.0
            start = time.perf_counter()
            for _ in range(repeats):
                step()
            total = time.perf_counter() - start
            records.append((total - flushing[0]) / repeats)
            flushes.append(flushing[0] / repeats)
    finally:
        graph.RECORDER.cache, graph.flush = real_cache, real_flush
    plans = cache.plans.values()
    return {
        "ops": max(len(hollow.plan.steps) for hollow in plans),
        "record": min(records),
        "record, median": statistics.median(records),
        "flush": min(flushes),
        "nodes": nodes[0],
    }


def report() -> str:
    found = measure()
    return (
        f"recording a CIFAR step, batch 4: {found['record'] * 1e6:.0f} us "
        f"(median {found['record, median'] * 1e6:.0f}), {found['nodes']} nodes that stand for "
        f"{found['ops']} kernels; its flush adds {found['flush'] * 1e6:.0f} us to theirs"
    )


if __name__ == "__main__":
    print(report())
