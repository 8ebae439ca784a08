"""``make bench``: training steps, programs that look, recording, start-up; beside PyTorch if there.

Each figure is a median over rounds taken by turns with the peer, each in its own process. Ratios
hold better than times: compare those. ``docs/benchmarks.md`` explains the rows.
"""

from __future__ import annotations

import os
import platform

import recording
import startup
import timing
import workloads

import cresset


def _table(title: str, table: str, peer: object) -> None:
    print(f"\n### {title}\n")
    print("| work | Cresset | PyTorch | Cresset / PyTorch |\n|---|---|---|---|")
    modules = ["cresset"] + (["torch"] if peer is not None else [])
    for name in getattr(workloads, table):
        ours, *theirs = timing.by_turns(modules, table, name)
        other = timing.show(theirs[0]) if theirs else "not installed"
        ratio = f"{ours / theirs[0]:.2f}" if theirs else ""
        print(f"| {name} | {timing.show(ours)} | {other} | {ratio} |", flush=True)


def main() -> None:
    peer = timing.peer()
    versions = f"Python {platform.python_version()}, cresset {cresset.__version__}"
    if peer is not None:
        versions += f", torch {peer.__version__}"
    print(f"{versions}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}")
    _table("One training step, then loss.item()", "TRAINING", peer)
    _table("A forward pass", "FORWARD", peer)
    _table("Programs that look at every value", "LOOKING", peer)
    print("\n### Recording and start-up\n")
    print("- " + recording.report())
    names = ["cresset"] + (["torch"] if peer is not None else [])
    times = startup.measure(names)
    print("- import: " + ", ".join(f"{n} {s * 1e3:.0f} ms" for n, s in times.items()))


if __name__ == "__main__":
    main()
