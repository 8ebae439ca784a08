"""How long ``import`` takes, in fresh processes; by turns with PyTorch where it is installed.

Byte code is compiled beforehand, as it is for an installed package.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time


def _seconds(statement: str, env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=env)
    return time.perf_counter() - start


def environment(folder: str) -> dict[str, str]:
    """Variables of a process that keeps its byte code in ``folder``, whatever they are here."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPYCACHEPREFIX": folder}


def measure(names: list[str], rounds: int = 7) -> dict[str, float]:
    """Median seconds that ``import name`` adds to starting Python."""
    statements = {"": "pass", **{name: f"import {name}" for name in names}}
    times: dict[str, list[float]] = {name: [] for name in statements}
    with tempfile.TemporaryDirectory() as folder:
        env = environment(folder)
        for statement in statements.values():
            _seconds(statement, env)  # byte code, and the system's file cache
        for _ in range(rounds):
            for name, statement in statements.items():
                times[name].append(_seconds(statement, env))
    bare = statistics.median(times.pop(""))
    return {name: statistics.median(t) - bare for name, t in times.items()}


FIRST_STEPS = """
import cresset as torch
import workloads
step = workloads.cifar(4)(torch)
for _ in range(8):
    step().item()
"""


def first_steps(rounds: int = 3) -> tuple[float, float]:
    """Median seconds of a whole process that trains the CIFAR-10 net for eight steps at batch 4:
    with nothing compiled before, and with the machine code of an earlier run on disk."""
    here = os.path.dirname(os.path.abspath(__file__))
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as folder:
        env = environment(folder)
        env["PYTHONPATH"] = os.pathsep.join([here, env.get("PYTHONPATH", "")])
        for n in range(rounds + 1):  # once for byte code
            env["CRESSET_CACHE_DIR"] = os.path.join(folder, f"plans{n}")
            cold.append(_seconds(FIRST_STEPS, env))
            warm.append(_seconds(FIRST_STEPS, env))
    return statistics.median(cold[1:]), statistics.median(warm[1:])


if __name__ == "__main__":
    for name, seconds in measure(sys.argv[1:] or ["numpy", "cresset"]).items():
        print(f"import {name}: {seconds * 1e3:.0f} ms")
    cold, warm = first_steps()
    print(f"eight steps: {cold:.2f} s with nothing compiled before, {warm:.2f} s later")
