"""Time two things by turns, so that the machine's moods fall on both."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any


def peer() -> Any:
    """PyTorch, or None where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def looked_at(step: Callable[[], Any]) -> Callable[[], None]:
    """Run a step and look at what it returns, so that nothing is left to be computed."""

    def run() -> None:
        result = step()
        if hasattr(result, "item"):
            result.item()

    return run


def once(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def by_turns(runs: list[Callable[[], Any]], rounds: int = 15, budget: float = 0.05) -> list[float]:
    """Median seconds of each function over ``rounds`` turns of about ``budget`` seconds."""
    repeats = []
    for run in runs:
        for _ in range(3):  # plans, caches, threads
            run()
        repeats.append(max(1, int(budget / max(once(run, 1), 1e-7))))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for i, run in enumerate(runs):
            times[i].append(once(run, repeats[i]))
    return [statistics.median(t) for t in times]


def show(seconds: float) -> str:
    """Microseconds or milliseconds, to about three digits."""
    us = seconds * 1e6
    if us < 100:
        return f"{us:.2f} us"
    return f"{us:,.0f} us" if us < 9_999.5 else f"{us / 1e3:.1f} ms"
