"""How long ``import`` takes, in fresh processes; by turns with PyTorch where it is installed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def _seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def measure(names: list[str], rounds: int = 7) -> dict[str, float]:
    """Median seconds that ``import name`` adds to starting Python."""
    statements = {"": "pass", **{name: f"import {name}" for name in names}}
    for statement in statements.values():
        _seconds(statement)  # warm the file cache
    times: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            times[name].append(_seconds(statement))
    bare = statistics.median(times.pop(""))
    return {name: statistics.median(t) - bare for name, t in times.items()}


if __name__ == "__main__":
    for name, seconds in measure(sys.argv[1:] or ["numpy", "cresset"]).items():
        print(f"import {name}: {seconds * 1e3:.0f} ms")
