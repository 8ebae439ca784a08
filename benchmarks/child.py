"""Runs one workload in a process of its own, a round whenever it is told to.

``python child.py MODULE TABLE NAME`` prints seconds per step for each line it reads, and at the end
the most memory it held, in bytes. A process each, so that one library's waiting threads do not take
the other's cores. ``torch+compile`` is PyTorch with its nets given to ``torch.compile``.
"""

from __future__ import annotations

import importlib
import sys

import timing
import workloads


def _most_memory() -> int:
    """The largest resident set so far. (``getrusage`` would count the parent's before the exec.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main() -> None:
    how, table, name = sys.argv[1:]
    module = importlib.import_module(how.removesuffix("+compile"))
    if how.endswith("+compile"):
        workloads.Compiling.prepare = module.compile
    step = getattr(workloads, table)[name](module)
    run = timing.looked_at(step)
    for _ in range(5):  # plans, compiling, caches, threads
        run()
    repeats = max(1, int(0.2 / max(timing.once(run, 3), 1e-7)))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(timing.once(run, repeats), flush=True)
    print(_most_memory())


if __name__ == "__main__":
    main()
