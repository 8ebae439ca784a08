"""Time two things by turns, so that the machine's moods fall on both."""

from __future__ import annotations

import importlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


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
            (result if result.ndim == 0 else result[(0,) * result.ndim]).item()

    return run


def once(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


class Timed(NamedTuple):
    """What a workload took in a process of its own."""

    seconds: float
    #: The most memory the process held, Python and the library included.
    bytes: int


def by_turns(
    modules: list[str], table: str, name: str, rounds: int = 15, **environment: str
) -> list[Timed]:
    """Median seconds per step of a workload, per module; each in its own process, by turns."""
    script = str(Path(__file__).with_name("child.py"))
    children = [
        subprocess.Popen(
            [sys.executable, script, module, table, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        for module in modules
    ]
    times: list[list[float]] = [[] for _ in modules]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for _ in range(rounds):
        for i, child in enumerate(children):
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            times[i].append(float(child.stdout.readline()))
    memory = [int(child.communicate()[0]) for child in children]
    return [Timed(statistics.median(t), m) for t, m in zip(times, memory, strict=True)]


def show(seconds: float) -> str:
    """Microseconds or milliseconds, to about three digits."""
    us = seconds * 1e6
    if us < 100:
        return f"{us:.2f} us"
    return f"{us:,.0f} us" if us < 9_999.5 else f"{us / 1e3:.1f} ms"
